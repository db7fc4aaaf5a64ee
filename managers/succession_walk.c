/* SPDX-License-Identifier: Apache-2.0
 *
 * What nobody uses comes over, too: a thread looks, one after another, at every
 * id that one of the parts keeps; the look brings to each what it lacks. It
 * does so again and again: what an instance that does not know the next one
 * ends is told for 60 s only. */
#include "config.h"

#include "managers/succession.h"

#include "session/buf.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 256
#define PAUSE_MS 5000
#define PAUSE_MAX_MS 20000
#define TELL_MS 60000 /* between two lines about what does not come over */
#define ASK_AGAIN_MS 20
/* An era outlives every rolling change. */
#define MARKER_SECONDS (365 * 24 * 3600)

/* ---- asking, and waiting for the answer ---- */

enum what { ASK_FIND, ASK_WRITE, ASK_PAGE };

/* Whoever asks may leave before it is answered. */
struct asked {
    union {
        struct find_op find;
        struct manager_write write;
        struct store_page page;
    } of; /* first */
    enum what what;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool done, left;
};

static struct asked *asked_new(enum what what)
{
    struct asked *a = mem_zero(sizeof *a);

    a->what = what;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->news, NULL);
    return a;
}

static void asked_free(struct asked *a)
{
    if (a->what == ASK_FIND && a->of.find.rc == RC_OK)
        record_unref(&a->of.find.record);
    else if (a->what == ASK_WRITE)
        manager_write_release(&a->of.write);
    else if (a->what == ASK_PAGE)
        free(a->of.page.ids);
    pthread_cond_destroy(&a->news);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static void answered(struct asked *a)
{
    pthread_mutex_lock(&a->lock);
    bool left = a->left;
    a->done = true;
    pthread_cond_signal(&a->news);
    pthread_mutex_unlock(&a->lock);
    if (left)
        asked_free(a);
}

static void find_answered(struct find_op *op)
{
    answered((struct asked *)op);
}

static void write_answered(struct manager_write *w)
{
    answered((struct asked *)w);
}

static void page_answered(struct store_page *page)
{
    answered((struct asked *)page);
}

static bool is_stopped(struct succession *s, struct instant *now)
{
    pthread_mutex_lock(&s->walk.lock);
    bool stopped = s->walk.stop;
    if (now)
        *now = s->walk.now;
    pthread_mutex_unlock(&s->walk.lock);
    return stopped;
}

static void in_ms(struct timespec *at, int ms)
{
    clock_gettime(CLOCK_REALTIME, at);
    at->tv_nsec += ms * 1000000L;
    at->tv_sec += at->tv_nsec / 1000000000;
    at->tv_nsec %= 1000000000;
}

/* false: this instance stops; what was asked is not ours any more. */
static bool asked_wait(struct succession *s, struct asked *a)
{
    struct timespec at;
    bool done;

    pthread_mutex_lock(&a->lock);
    while (!a->done && !is_stopped(s, NULL)) {
        in_ms(&at, ASK_AGAIN_MS);
        pthread_cond_timedwait(&a->news, &a->lock, &at);
    }
    done = a->done;
    a->left = !done;
    pthread_mutex_unlock(&a->lock);
    return done;
}

/* A little later, or at once when this instance stops. */
static void walk_rest(struct succession *s)
{
    struct timespec at;

    in_ms(&at, ASK_AGAIN_MS);
    pthread_mutex_lock(&s->walk.lock);
    if (!s->walk.stop)
        pthread_cond_timedwait(&s->walk.news, &s->walk.lock, &at);
    pthread_mutex_unlock(&s->walk.lock);
}

/* ---- eras ---- */

static struct record *marker_new(struct succession *s, int part,
                                 struct instant now)
{
    struct value keep = {.type = VALUE_INT, .number = MARKER_SECONDS};
    struct value era = {.type = VALUE_INT};
    struct changes changes;
    uint8_t id[ID_SIZE];

    marker_id(part, id);
    era.number = (int64_t)(id_mint_node() >> 1) | 1;
    changes_init(&changes);
    changes_set(&changes, key_name("era", 3), &era);
    changes_set(&changes, key_field(FIELD_MAX_INACTIVE), &keep);
    struct record *marker = record_new(RECORD_USER, id, now.wall, &changes,
                                       manager_writer(&s->base, id));
    changes_release(&changes);
    return marker;
}

static void put_marker(struct succession *s, int part, struct instant now)
{
    struct asked *a = asked_new(ASK_WRITE);
    struct manager_write *w = &a->of.write;
    struct record *marker = marker_new(s, part, now);

    w->done = write_answered;
    manager_write_init(w, WRITE_CREATE, record_id(marker), now);
    w->record = marker;
    if (part_write(s->part[part], w) != RC_PENDING || asked_wait(s, a)) {
        record_unref(&marker);
        asked_free(a);
    } /* else it is borrowed for as long as the process lasts */
}

/* RC_OK: known; RC_ABSENT: there was none. */
static enum rc learn_era(struct succession *s, int part, struct instant now)
{
    struct asked *a = asked_new(ASK_FIND);
    struct find_op *op = &a->of.find;
    enum rc rc;

    op->done = find_answered;
    op->now = now;
    op->peek = true;
    marker_id(part, op->id);
    rc = part_find(s->part[part], op);
    if (rc == RC_PENDING) {
        if (!asked_wait(s, a))
            return RC_UNAVAILABLE;
        rc = op->rc;
    }
    op->rc = rc;
    int64_t era = rc == RC_OK ? era_of(op->record) : 0;
    asked_free(a);
    if (era && atomic_exchange(&s->era[part], era) != era)
        atomic_store(&s->complete, false);
    return rc;
}

/* Asks for both markers, and makes what is not there. */
static bool learn_eras(struct succession *s)
{
    struct instant now;
    bool known = true;

    for (int part = 0; part < PARTS && !is_stopped(s, &now); part++) {
        enum rc rc = learn_era(s, part, now);
        if (rc == RC_ABSENT) {
            put_marker(s, part, now);
            rc = learn_era(s, part, now);
        }
        known = known && rc == RC_OK;
    }
    return known;
}

/* ---- one id after another ---- */

struct ids {
    uint8_t (*items)[ID_SIZE];
    size_t count, cap;
};

static bool collect(void *user, struct entry *e)
{
    struct ids *ids = user;

    if (record_kind(e->record) != RECORD_SESSION)
        return true;
    if (ids->count == ids->cap) {
        ids->cap = ids->cap ? 2 * ids->cap : PAGE;
        ids->items = mem_resize(ids->items, ids->cap * sizeof *ids->items);
    }
    memcpy(ids->items[ids->count++], record_id(e->record), ID_SIZE);
    return true;
}

/* The look does what there is to be done. false: it cannot be told; err: why,
 * where that is known. */
static bool look_at(struct succession *s, const uint8_t id[ID_SIZE],
                    struct instant now, struct err *err)
{
    struct asked *a = asked_new(ASK_FIND);
    struct find_op *op = &a->of.find;
    enum rc rc;

    op->done = find_answered;
    op->now = now;
    op->peek = true;
    memcpy(op->id, id, ID_SIZE);
    rc = manager_find(&s->base, op);
    if (rc == RC_PENDING) {
        if (!asked_wait(s, a))
            return false;
        rc = op->rc;
    }
    *err = op->err;
    bool lost = rc == RC_OK && op->reason == REASON_LOST;
    if (lost)
        err_set(err, RC_UNAVAILABLE,
                "the manager to which you change has lost it, and is given it "
                "again when it has forgotten that");
    asked_free(a);
    return (rc == RC_OK && !lost) || rc == RC_ABSENT;
}

struct round {
    struct succession *s;
    uint64_t open;
    struct err why; /* of the first of them */
    bool unlisted;  /* one of the two cannot list */
    bool stopped;
};

static void look_at_all(struct round *r, const struct ids *ids)
{
    struct err err = {""};
    struct instant now;

    for (size_t i = 0; i < ids->count; i++) {
        r->stopped = is_stopped(r->s, &now);
        if (r->stopped)
            return;
        if (look_at(r->s, ids->items[i], now, &err))
            continue;
        if (r->open++ == 0)
            r->why = err;
        walk_rest(r->s);
    }
}

static void walk_table(struct round *r, struct manager *part)
{
    for (unsigned leaf = 0; leaf < TABLE_LEAVES && !r->stopped; leaf++) {
        struct ids ids = {0};
        table_each_in(part->table, leaf, collect, &ids);
        look_at_all(r, &ids);
        free(ids.items);
    }
}

/* What stands in the table has been looked at. */
static void look_at_page(struct round *r, struct manager *part,
                         const struct store_page *page)
{
    struct ids ids = {.items = mem_alloc((page->count + 1) * ID_SIZE)};

    for (size_t i = 0; i < page->count; i++) {
        struct table_stripe *stripe = table_lock(part->table, page->ids[i]);
        bool here = table_find(stripe, page->ids[i]) != NULL;
        table_unlock(stripe);
        if (!here && !id_is_of_user(page->ids[i]))
            memcpy(ids.items[ids.count++], page->ids[i], ID_SIZE);
    }
    look_at_all(r, &ids);
    free(ids.items);
}

static enum rc next_page(struct round *r, struct manager *part,
                         struct store_cursor *cursor, bool *more)
{
    struct asked *a = asked_new(ASK_PAGE);
    struct store_page *page = &a->of.page;
    enum rc rc;

    page->done = page_answered;
    page->cursor = *cursor;
    page->limit = PAGE;
    rc = store_list(part->store, page);
    if (rc == RC_PENDING) {
        if (!asked_wait(r->s, a)) {
            r->stopped = true;
            return RC_UNAVAILABLE;
        }
        rc = page->rc;
    }
    if (rc == RC_OK) {
        look_at_page(r, part, page);
        *cursor = page->cursor;
        *more = page->more;
    }
    asked_free(a);
    return rc;
}

static void walk_store(struct round *r, struct manager *part)
{
    struct store_cursor cursor = {0};
    bool more = true;

    if (!store_lists(part->store)) {
        r->unlisted = true;
        return;
    }
    while (more && !r->stopped) {
        enum rc rc = next_page(r, part, &cursor, &more);
        if (rc == RC_CONFLICT)
            cursor = (struct store_cursor){0};
        else if (rc != RC_OK)
            break;
    }
    r->open += more;
}

static void walk_part(struct round *r, struct manager *part)
{
    walk_table(r, part);
    if (part->store && !r->stopped)
        walk_store(r, part);
}

/* ---- what it says ---- */

struct told {
    bool unlisted, complete;
    uint64_t lost; /* as often as that */
    struct err why;
    int64_t why_at; /* mono ms */
};

/* Where no list is to be had, everything has been used, or is over, by then. */
static int64_t unlisted_seconds(const struct succession *s)
{
    int64_t idle = s->base.common.max_inactive;

    return idle ? idle + s->part[PREVIOUS]->grace_ms / 1000 + 1 : INT64_MAX;
}

static void tell_unlisted(struct succession *s)
{
    int64_t seconds = unlisted_seconds(s);
    char wait[64] = "no session may be older than the first";

    if (seconds != INT64_MAX)
        snprintf(wait, sizeof wait, "wait for %" PRId64 " s", seconds);
    log_line(s->base.env.log, LOG_WARN, "manager",
             "one of the two stores of %s cannot list its sessions: those that "
             "nobody uses do not come over by themselves; before the second "
             "rolling restart: %s",
             s->base.env.app, wait);
}

static void tell_complete(struct succession *s)
{
    char next[256];

    log_line(s->base.env.log, LOG_INFO, "manager",
             "all sessions of %s are in %s as well (%" PRIu64
             " were brought over here): when every instance says so, the "
             "second rolling restart may begin",
             s->base.env.app,
             manager_describe(s->part[NEXT], next, sizeof next),
             atomic_load(&s->carried));
}

/* The same is told once; another reason, which may name another session or
 * member each time, once a minute. */
static void tell_open(const struct round *r, struct told *told,
                      struct instant now)
{
    if (!r->open || r->stopped || !r->why.text[0] ||
        strcmp(r->why.text, told->why.text) == 0 ||
        (told->why.text[0] && now.mono - told->why_at < TELL_MS))
        return;
    told->why = r->why;
    told->why_at = now.mono;
    log_line(r->s->base.env.log, LOG_WARN, "manager",
             "%" PRIu64 " sessions of %s could not be brought over, one of "
             "them: %s",
             r->open, r->s->base.env.app, r->why.text);
}

/* Something was lost while this walk came to its end. */
static bool is_undone(struct succession *s, uint64_t lost)
{
    if (atomic_load(&s->lost) == lost)
        return false;
    atomic_store(&s->complete, false);
    return true;
}

/* Returns when the next one begins (mono ms). */
static int64_t walk_all(struct succession *s, struct told *told)
{
    struct round r = {.s = s};
    struct instant begun, now;
    bool known = learn_eras(s);
    uint64_t lost = atomic_load(&s->lost);

    is_stopped(s, &begun);
    walk_part(&r, s->part[PREVIOUS]);
    walk_part(&r, s->part[NEXT]);
    is_stopped(s, &now);
    if (r.unlisted && !told->unlisted) {
        tell_unlisted(s);
        told->unlisted = true;
    }
    tell_open(&r, told, now);
    atomic_store(&s->open, r.open);
    bool whole =
        known && !r.stopped && r.open == 0 && lost == atomic_load(&s->lost);
    if (whole &&
        (!r.unlisted ||
         (now.mono - s->walk.began) / 1000 >= unlisted_seconds(s)) &&
        !atomic_exchange(&s->complete, true) && !is_undone(s, lost) &&
        (!told->complete || told->lost != lost)) {
        tell_complete(s);
        told->complete = true;
        told->lost = lost;
    }
    int64_t pause = 4 * (now.mono - begun.mono);
    if (pause < PAUSE_MS)
        pause = PAUSE_MS;
    return now.mono + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
}

/* ---- the thread ---- */

static bool wait_for_next(struct succession *s)
{
    struct walk *w = &s->walk;

    pthread_mutex_lock(&w->lock);
    while (!w->stop && w->now.mono < w->next)
        pthread_cond_wait(&w->news, &w->lock);
    bool go = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go;
}

static void *walk_run(void *argument)
{
    struct succession *s = argument;
    const struct manager_pair *pair = s->base.options;
    struct instant now;
    struct told told = {0};

    while (!is_stopped(s, &now) && !learn_eras(s))
        walk_rest(s);
    while (!pair->by_use && wait_for_next(s)) {
        int64_t next = walk_all(s, &told);
        pthread_mutex_lock(&s->walk.lock);
        s->walk.next = next;
        pthread_mutex_unlock(&s->walk.lock);
    }
    return NULL;
}

void walk_start(struct succession *s, struct instant now)
{
    sigset_t all, old;

    s->walk.now = now;
    s->walk.began = s->walk.next = now.mono;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    s->walk.started = pthread_create(&s->walk.thread, NULL, walk_run, s) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (s->walk.started)
        pthread_setname_np(s->walk.thread, "walk");
    else
        log_line(s->base.env.log, LOG_ERROR, "manager",
                 "no thread for what is to be brought over for %s: it does not "
                 "serve; look at the limits of this process",
                 s->base.env.app);
}

void walk_tick(struct succession *s, struct instant now)
{
    pthread_mutex_lock(&s->walk.lock);
    s->walk.now = now;
    pthread_cond_broadcast(&s->walk.news);
    pthread_mutex_unlock(&s->walk.lock);
}

void walk_stop(struct succession *s)
{
    pthread_mutex_lock(&s->walk.lock);
    s->walk.stop = true;
    bool started = s->walk.started;
    s->walk.started = false;
    pthread_cond_broadcast(&s->walk.news);
    pthread_mutex_unlock(&s->walk.lock);
    if (started)
        pthread_join(s->walk.thread, NULL);
}
