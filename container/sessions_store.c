/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions_store.h"

#include "container/context.h"
#include "container/serverxml.h"
#include "session/pack.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define SAY_SO_MS 1000
#define ASK_AGAIN_NS 50000000L
#define KEEP_ROW_MS 60000
#define ROW_HEAD 32
#define IDLE_TOLERANCE_MS 1000 /* docs/stored-form.md */
#define FOREVER_MS (INT64_C(100) * 365 * 24 * 3600 * 1000)

/* ---- what its manager knows ---- */

static unsigned replicas_of(const struct manager_config *m)
{
    const struct option *o = option_find(m->kind->options, "minReplicas");

    if (!o || o->kind != OPTION_INT)
        return 0;
    return (unsigned)*(const int64_t *)((const char *)m->options + o->offset);
}

/* ---- where its files are ---- */

struct place {
    const char *path; /* NULL: it has none */
    char folder[PATH_MAX];
    bool is_file; /* in the folder; else the folder itself */
};

static const char *string_option(const struct store_config *store,
                                 const char *name)
{
    const struct option *o = option_find(store->kind->options, name);

    return o && o->kind == OPTION_STRING
               ? *(char *const *)((const char *)store->options + o->offset)
               : NULL;
}

static struct place place_of(const struct store_config *store)
{
    struct place p = {.path = string_option(store, "path")};
    const char *slash = p.path ? strrchr(p.path, '/') : NULL;

    p.is_file = p.path;
    if (!p.is_file)
        p.path = string_option(store, "directory");
    if (!p.is_file)
        snprintf(p.folder, sizeof p.folder, "%s", p.path ? p.path : "");
    else if (slash)
        snprintf(p.folder, sizeof p.folder, "%.*s/", (int)(slash - p.path),
                 p.path);
    else
        snprintf(p.folder, sizeof p.folder, ".");
    return p;
}

#define AS_THAT_USER                                                           \
    "as that user, for example by setpriv --reuid=%u --clear-groups margay "   \
    "sessions ..."

/* What root makes is root's alone, and the instances run as who they are. */
static enum rc check_new(const struct place *p, const struct xml_element *at,
                         struct err *err)
{
    struct stat st;

    if (geteuid() != 0)
        return RC_OK;
    if (stat(p->folder, &st) != 0)
        return xml_error(at, RC_ILLEGAL, err,
                         "%s is not there, and what root makes is of no use to "
                         "instances of another user: make the folder, give it "
                         "to the user that they run as, and import as that one",
                         p->path);
    if (!p->is_file || st.st_uid == 0)
        return RC_OK;
    return xml_error(
        at, RC_ILLEGAL, err,
        "%s is not there, and its folder belongs to user %u, who "
        "could not use what root makes there: import " AS_THAT_USER,
        p->path, st.st_uid, st.st_uid);
}

/* guest: root uses the files of another user, and makes none beside them. */
static enum rc check_place(const struct store_config *store,
                           enum sessions_use use, bool *guest, struct err *err)
{
    struct place p = place_of(store);
    struct stat st;

    *guest = false;
    if (!p.path)
        return RC_OK;
    if (stat(p.path, &st) != 0 && use == SESSIONS_EXPORT)
        return xml_error(store->at, RC_ABSENT, err,
                         "%s: %s: are FILE, the -D and the user those of the "
                         "instances?",
                         p.path, strerror(errno));
    if (stat(p.path, &st) != 0)
        return check_new(&p, store->at, err);
    *guest = geteuid() == 0 && st.st_uid != 0;
    if (!*guest || p.is_file || use == SESSIONS_EXPORT)
        return RC_OK;
    return xml_error(store->at, RC_ILLEGAL, err,
                     "%s belongs to user %u, who could not read what root "
                     "writes there: import " AS_THAT_USER,
                     p.path, st.st_uid, st.st_uid);
}

/* Where a file is, whether it is there or not; false: nowhere. *name is a part
 * of file. */
static bool find_folder(const char *file, char folder[PATH_MAX],
                        const char **name)
{
    char above[PATH_MAX];
    const char *slash = strrchr(file, '/');

    *name = slash ? slash + 1 : file;
    int len = snprintf(above, sizeof above, "%.*s", (int)(*name - file), file);
    return len < (int)sizeof above && realpath(len ? above : ".", folder);
}

static bool is_within(const char *folder, const char *other)
{
    size_t len = strlen(other);

    if (strncmp(folder, other, len) != 0)
        return false;
    return folder[len] == '\0' || folder[len] == '/' || strcmp(other, "/") == 0;
}

/* SQLite's own, and the one that we put beside it. */
static bool is_companion(const char *folder, const char *name,
                         const char *database)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".lock"};
    char own[PATH_MAX];
    const char *begin;

    if (!find_folder(database, own, &begin) || strcmp(folder, own) != 0 ||
        strncmp(name, begin, strlen(begin)) != 0)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(name + strlen(begin), ends[i]) == 0)
            return true;
    return false;
}

bool sessions_store_owns(const struct store_config *store, const char *file,
                         char where[PATH_MAX])
{
    struct place p = place_of(store);
    char folder[PATH_MAX];
    const char *name;

    if (!p.path || !find_folder(file, folder, &name))
        return false;
    if (!p.is_file)
        return realpath(p.path, where) && is_within(folder, where);
    snprintf(where, PATH_MAX, "%s", p.path);
    return is_companion(folder, name, where);
}

/* ---- open ---- */

enum rc sessions_store_open(struct sessions_store *s, const struct context *x,
                            enum sessions_use use, struct err *err)
{
    const struct manager_config *m = x->config->level.manager;
    struct err why = {""};
    bool guest;
    enum rc rc = check_place(m->store, use, &guest, err);

    if (rc != RC_OK)
        return rc;
    *s = (struct sessions_store){.context = x};
    log_init(&s->log, "sessions");
    s->log.level = LOG_ERROR; /* what is wrong is said here, once */
    snprintf(s->app, sizeof s->app, "%s", x->path[0] ? x->path : "/");
    struct store_env env = {.log = &s->log,
                            .app = s->app,
                            .node = "sessions",
                            .min_replicas = replicas_of(m),
                            .makes_nothing = guest};
    rc = store_open(m->store->kind->ops, m->store->options, &env, &s->store,
                    &why);
    if (rc != RC_OK)
        return xml_error(m->store->at, rc, err, "%s", why.text);
    s->log.level = LOG_WARN;
    store_describe(s->store, s->describe, sizeof s->describe);
    return RC_OK;
}

void sessions_store_close(struct sessions_store *s)
{
    if (s->store)
        store_close(&s->store, 1000);
}

bool sessions_stopped(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
           sigismember(&pending, SIGHUP);
}

/* ---- asking ---- */

struct asked {
    union {
        struct store_call call;
        struct store_page page;
    } of; /* first */
    sem_t answered;
};

static void call_answered(struct store_call *call)
{
    sem_post(&((struct asked *)call)->answered);
}

static void page_answered(struct store_page *page)
{
    sem_post(&((struct asked *)page)->answered);
}

static void asked_wait(struct asked *a)
{
    while (sem_wait(&a->answered) != 0)
        ;
}

/* What is in the place of that row stays there, whoever asks how often. A store
 * of several servers, which cannot list, says so of one that is away. */
static bool is_unusable(const struct sessions_store *s,
                        const struct store_call *call)
{
    return call->only_this && store_lists(s->store);
}

static void tell_why_it_takes(struct sessions_store *s, int64_t begun,
                              const struct err *err)
{
    if (s->waits || instant_read().mono - begun < SAY_SO_MS)
        return;
    s->waits = true;
    fprintf(stderr, "margay: %s; asked again for %d s\n", err->text,
            PATIENCE_MS / 1000);
}

/* Once more? Not after ten seconds, or when the process is to end. */
static bool may_ask_again(struct sessions_store *s, int64_t begun,
                          struct err *err)
{
    if (sessions_stopped()) {
        err_set(err, RC_UNAVAILABLE, "stopped by a signal");
        return false;
    }
    if (instant_read().mono - begun > PATIENCE_MS)
        return false;
    tell_why_it_takes(s, begun, err);
    nanosleep(&(struct timespec){.tv_nsec = ASK_AGAIN_NS}, NULL);
    return true;
}

static enum rc ask_page(struct sessions_store *s, struct asked *a)
{
    enum rc rc = store_list(s->store, &a->of.page);

    if (rc != RC_PENDING)
        return rc;
    asked_wait(a);
    return a->of.page.rc;
}

enum rc sessions_page(struct sessions_store *s, struct store_page *page,
                      struct err *err)
{
    int64_t begun = instant_read().mono;
    struct asked a = {.of.page = *page};
    enum rc rc;

    sem_init(&a.answered, 0, 0);
    a.of.page.done = page_answered;
    do {
        a.of.page.ids = NULL;
        a.of.page.count = 0;
        rc = ask_page(s, &a);
        if (rc == RC_UNAVAILABLE)
            err_set(err, rc, "%s", a.of.page.err.text);
    } while (rc == RC_UNAVAILABLE && !a.of.page.refused &&
             may_ask_again(s, begun, err));
    sem_destroy(&a.answered);
    *page = a.of.page;
    return rc;
}

typedef enum rc store_question(struct store *store, struct store_call *call);

static enum rc ask(struct sessions_store *s, struct asked *a,
                   store_question *question, struct err *err)
{
    int64_t begun = instant_read().mono;
    struct store_call *call = &a->of.call;
    enum rc rc;

    sem_init(&a->answered, 0, 0);
    call->done = call_answered;
    do {
        call->only_this = call->newer = false;
        rc = question(s->store, call);
        if (rc == RC_PENDING) {
            asked_wait(a);
            rc = call->rc;
        }
        if (rc == RC_UNAVAILABLE || rc == RC_TOOBIG)
            err_set(err, rc, "%s", call->err.text);
    } while (rc == RC_UNAVAILABLE && !call->refused && !is_unusable(s, call) &&
             may_ask_again(s, begun, err));
    sem_destroy(&a->answered);
    return rc;
}

/* The row of its secret is asked for; there need not be one. */
enum rc sessions_reach(struct sessions_store *s, struct err *err)
{
    struct asked a = {.of.call = {.version = 0}};
    struct err why = {""};
    enum rc rc;

    if (store_is_split(s->store)) /* the others may do */
        return RC_OK;
    rc = ask(s, &a, store_get, &why);
    free(a.of.call.found);
    if (rc != RC_UNAVAILABLE || is_unusable(s, &a.of.call))
        return RC_OK;
    return err_set(err, rc, "margay: %s", why.text);
}

/* ---- rows ---- */

static enum rc unreadable(const uint8_t id[ID_SIZE], enum rc rc,
                          const char *why, struct err *err)
{
    char shown[LOG_ID_SIZE];

    return err_set(err, rc, "the stored row %s %s: %s", log_id(shown, id),
                   rc == RC_UNSUPPORTED ? "was written by a newer release"
                                        : "cannot be read",
                   why);
}

static enum rc decode(const struct store_call *call, struct sessions_row *row,
                      struct err *err)
{
    const uint8_t *bytes = call->found;
    struct pack_reader r = {bytes, bytes + call->found_len};
    struct pack_token t;
    struct err why = {"not [last access, record]"};
    enum rc rc = RC_INVALID;

    if (pack_read(&r, &t) && t.type == PACK_ARRAY && t.len == 2 &&
        pack_read(&r, &t) && t.type == PACK_INT && t.i >= 0 &&
        t.i < INT64_MAX / 4) {
        row->access = t.i;
        if (pack_read(&r, &t) && t.type == PACK_BIN)
            rc = record_decode(t.p, t.len, &row->record, &why);
        if (rc == RC_OK && !id_equal(record_id(row->record), call->id)) {
            record_unref(&row->record);
            rc = err_set(&why, RC_INVALID, "it is the record of another id");
        }
    }
    return rc == RC_OK ? rc : unreadable(call->id, rc, why.text, err);
}

enum rc sessions_get(struct sessions_store *s, const uint8_t id[ID_SIZE],
                     struct sessions_row *row, struct err *err)
{
    struct asked a = {.of.call = {.version = 0}};
    enum rc rc;

    *row = (struct sessions_row){.version = 0};
    memcpy(a.of.call.id, id, ID_SIZE);
    rc = ask(s, &a, store_get, err);
    if (rc == RC_OK) {
        row->version = a.of.call.new_version;
        rc = decode(&a.of.call, row, err);
        free(a.of.call.found);
    } else if (rc == RC_UNAVAILABLE && is_unusable(s, &a.of.call)) {
        rc = unreadable(id, a.of.call.newer ? RC_UNSUPPORTED : RC_INVALID,
                        a.of.call.err.text, err);
    }
    return rc;
}

static bool is_limit(int64_t seconds)
{
    return seconds > 0 && seconds < FOREVER_MS / 1000;
}

/* Wall ms; INT64_MAX: never. */
static int64_t due_at(const struct sessions_store *s,
                      const struct sessions_row *row,
                      const struct record_life *life)
{
    int64_t due = INT64_MAX;

    if (is_limit(life->max_inactive))
        due = row->access + life->max_inactive * 1000 +
              manager_own_grace_ms(&s->context->manager_options,
                                   life->max_inactive);
    if (is_limit(life->max_lifetime) &&
        life->birth + life->max_lifetime * 1000 < due)
        due = life->birth + life->max_lifetime * 1000;
    return due;
}

bool sessions_row_lives(const struct sessions_store *s,
                        const struct sessions_row *row)
{
    struct record_life life;

    record_life(row->record, &life);
    if (life.ended || (life.idle_ended &&
                       row->access <= life.idle_access + IDLE_TOLERANCE_MS))
        return false;
    return due_at(s, row, &life) > instant_read().wall;
}

static int64_t expiry_of(const struct sessions_store *s,
                         const struct sessions_row *row)
{
    struct record_life life;
    int64_t due;

    record_life(row->record, &life);
    due = due_at(s, row, &life);
    return due == INT64_MAX ? instant_read().wall + FOREVER_MS
                            : due + KEEP_ROW_MS;
}

enum rc sessions_put(struct sessions_store *s, struct sessions_row *row,
                     enum rc *why, struct err *err)
{
    struct asked a = {.of.call = {.version = row->version}};
    struct pack_writer w;
    enum rc rc;

    memcpy(a.of.call.id, record_id(row->record), ID_SIZE);
    pack_init(&w, row->record->len + ROW_HEAD);
    pack_array(&w, 2);
    pack_int(&w, row->access);
    pack_bin(&w, row->record->bytes, row->record->len);
    a.of.call.bytes = w.data;
    a.of.call.len = w.len;
    a.of.call.expiry = expiry_of(s, row);
    rc = ask(s, &a, store_put, err);
    pack_release(&w);
    *why = RC_OK;
    if (rc == RC_CONFLICT) {
        sessions_row_release(row);
        row->version = a.of.call.new_version;
        *why = decode(&a.of.call, row, err);
        free(a.of.call.found);
    }
    return rc;
}

void sessions_row_release(struct sessions_row *row)
{
    record_unref(&row->record);
}
