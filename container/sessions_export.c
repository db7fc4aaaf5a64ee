/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions.h"

#include "container/context.h"
#include "container/instance.h"
#include "container/serverxml.h"
#include "container/sessions_common.h"
#include "container/sessions_json.h"
#include "container/sessions_seen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN "{\"margay\":\"sessions\"" /* sessions_json.c */
#define PAGE 256
#define ASIDE_TRIES 3
#define HOPS 16
#define RECENT_MS 60000 /* as long as the end of an id is told */

struct export
{
    struct sessions_store store;
    struct sessions_progress progress;
    struct buf line;
    const char *file;     /* "-" */
    char aside[PATH_MAX]; /* FILE.unfinished, locked; "": none */
    FILE *out;
    uint64_t written, over, unreadable, newer;
    int64_t recent;            /* wall ms */
    struct sessions_seen seen; /* those written that were used since */
};

/* ---- the file ---- */

static enum rc cannot(const struct export *e, const char *what, struct err *err)
{
    return err_set(err, RC_UNAVAILABLE, "margay: %s %s: %s", what,
                   strcmp(e->file, "-") ? e->file : "standard output",
                   strerror(errno));
}

static enum rc check_standard_output(struct err *err)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return err_set(err, RC_INVALID,
                       "margay: standard output is closed: use -o FILE, or "
                       "redirect it");
    if (isatty(STDOUT_FILENO))
        return err_set(err, RC_INVALID,
                       "margay: a copy holds whole session ids, and standard "
                       "output is a terminal: use -o FILE, or redirect it");
    return RC_OK;
}

/* A former copy, or an empty file. */
static bool is_copy(const char *file)
{
    static const char begin[] = BEGIN;
    char there[sizeof begin - 1];
    int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, there, sizeof there);

    if (fd >= 0)
        close(fd);
    return got == 0 || (got == (ssize_t)sizeof there &&
                        memcmp(there, begin, sizeof there) == 0);
}

/* A copy among the rows of a store, or under a name that SQLite takes for its
 * own, can harm it: of every Context, since several may share a folder. */
static enum rc check_stores(const struct export *e, const struct instance *in,
                            struct err *err)
{
    char where[PATH_MAX];

    for (size_t i = 0; i < in->context_count; i++) {
        const struct manager_config *m = in->contexts[i]->config->level.manager;
        for (; m; m = m->previous)
            if (m->store && sessions_store_owns(m->store, e->file, where))
                return err_set(err, RC_INVALID,
                               "margay: -o %s belongs to %s %s, which has the "
                               "sessions: name a file elsewhere",
                               e->file, m->store->kind->name, where);
    }
    return RC_OK;
}

/* Before anything is asked. What is renamed over a file takes its place,
 * whatever it is. */
static enum rc check_target(const struct export *e, const struct instance *in,
                            struct err *err)
{
    struct stat st;

    if (strcmp(e->file, "-") == 0)
        return check_standard_output(err);
    enum rc rc = check_stores(e, in, err);
    if (rc != RC_OK)
        return rc;
    if (lstat(e->file, &st) != 0 || (S_ISREG(st.st_mode) && is_copy(e->file)))
        return RC_OK;
    if (S_ISREG(st.st_mode))
        return err_set(err, RC_INVALID,
                       "margay: -o %s is there and no copy of sessions, which "
                       "alone would be replaced: name another file, or remove "
                       "that one",
                       e->file);
    return err_set(err, RC_INVALID,
                   "margay: -o %s is there and no plain file: name another "
                   "one, or use -o - and redirect it",
                   e->file);
}

/* Where no locks are, nobody can hold one. */
static bool lock_aside(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

/* What an export left that was killed; the lock says that none is at it. Only
 * its name is looked at. */
static enum rc drop_leftover(const struct export *e, struct err *err)
{
    int fd = open(e->aside, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st, named;
    bool ours, gone;

    if (fd < 0)
        return errno == ENOENT ? RC_OK : cannot(e, "cannot write beside", err);
    ours = lock_aside(fd);
    gone = ours && (fstat(fd, &st) != 0 || lstat(e->aside, &named) != 0 ||
                    st.st_dev != named.st_dev || st.st_ino != named.st_ino);
    if (ours && !gone && unlink(e->aside) == 0)
        fprintf(stderr,
                "margay: removed %s, which an export that was killed has "
                "left\n",
                e->aside);
    close(fd);
    return ours ? RC_OK
                : err_set(err, RC_UNAVAILABLE,
                          "margay: another export writes %s now", e->aside);
}

static enum rc open_stream(struct export *e, int fd, struct err *err)
{
    enum rc rc;

    e->out = fdopen(fd, "w");
    if (e->out)
        return RC_OK;
    rc = cannot(e, "cannot write beside", err);
    unlink(e->aside);
    close(fd);
    return rc;
}

static enum rc lost_each_time(const struct export *e, struct err *err)
{
    return err_set(err, RC_UNAVAILABLE,
                   "margay: %s was made or removed by others %d times: is "
                   "another export at work? Export it once more",
                   e->aside, ASIDE_TRIES);
}

static enum rc make_aside(struct export *e, struct err *err)
{
    enum rc rc = RC_OK;
    struct stat st;

    for (int i = 0; i < ASIDE_TRIES && rc == RC_OK; i++) {
        int fd =
            open(e->aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 0600);
        if (fd < 0 && errno != EEXIST)
            return cannot(e, "cannot write beside", err);
        if (fd >= 0 && lock_aside(fd) && fstat(fd, &st) == 0 && st.st_nlink)
            return open_stream(e, fd, err);
        if (fd >= 0)
            close(fd);
        rc = drop_leftover(e, err);
    }
    return rc == RC_OK ? lost_each_time(e, err) : rc;
}

static enum rc open_file(struct export *e, struct err *err)
{
    enum rc rc;

    if (strcmp(e->file, "-") == 0) {
        e->out = stdout;
        return RC_OK;
    }
    if ((size_t)snprintf(e->aside, sizeof e->aside, "%s.unfinished", e->file) >=
        sizeof e->aside) {
        errno = ENAMETOOLONG;
        rc = cannot(e, "cannot write", err);
    } else {
        rc = make_aside(e, err);
    }
    if (rc != RC_OK)
        e->aside[0] = '\0';
    return rc;
}

static enum rc close_file(struct export *e, struct err *err)
{
    bool good = fflush(e->out) == 0 && !ferror(e->out);

    if (!e->aside[0])
        return good ? RC_OK : cannot(e, "cannot write", err);
    if (!good || fsync(fileno(e->out)) != 0 || rename(e->aside, e->file) != 0)
        return cannot(e, "cannot write", err);
    e->aside[0] = '\0';
    return RC_OK;
}

/* As long as it has that name it is locked. */
static void drop_file(struct export *e)
{
    if (e->aside[0])
        unlink(e->aside);
    if (e->out && e->out != stdout)
        fclose(e->out);
}

static enum rc put_line(struct export *e, struct err *err)
{
    bool good = fwrite(e->line.data, 1, e->line.len, e->out) == e->line.len;

    buf_reset(&e->line);
    return good ? RC_OK : cannot(e, "cannot write", err);
}

/* ---- sessions ---- */

/* Its new id, if that is why it has ended. */
static bool goes_on_as(const struct record *record, uint8_t id[ID_SIZE])
{
    struct record_end end;

    if (!record_ended(record, &end) || end.reason != REASON_RENAMED)
        return false;
    memcpy(id, end.new_id, ID_SIZE);
    return true;
}

static enum rc export_row(struct export *e, const struct sessions_row *row,
                          struct err *err)
{
    enum rc rc;

    if (!sessions_row_lives(&e->store, row)) {
        e->over++;
        return RC_OK;
    }
    if (row->access >= e->recent &&
        !sessions_seen_add(&e->seen, record_id(row->record)))
        return RC_OK;
    rc = sessions_write_session(&e->line, row->record, row->access, err);
    if (rc == RC_OK)
        rc = put_line(e, err);
    e->written += rc == RC_OK;
    return rc;
}

static enum rc cannot_get(struct export *e, enum rc rc, const struct err *why,
                          struct err *err)
{
    if (rc == RC_ABSENT) /* it went meanwhile */
        return RC_OK;
    if (rc != RC_INVALID && rc != RC_UNSUPPORTED)
        return err_set(err, rc, "margay: %s", why->text);
    sessions_progress_end(&e->progress);
    fprintf(stderr, "warning: %s; it is left out\n", why->text);
    e->unreadable += rc == RC_INVALID;
    e->newer += rc == RC_UNSUPPORTED;
    return RC_OK;
}

/* RC_PENDING: the session goes on under the id that id has now. */
static enum rc export_id(struct export *e, uint8_t id[ID_SIZE], struct err *err)
{
    struct sessions_row row;
    struct err why = {""};
    enum rc rc;

    if (sessions_stopped())
        return err_set(err, RC_UNAVAILABLE,
                       "margay: stopped by a signal: nothing was written");
    rc = sessions_get(&e->store, id, &row, &why);
    if (rc != RC_OK)
        return cannot_get(e, rc, &why, err);
    if (record_kind(row.record) != RECORD_SESSION)
        rc = RC_OK;
    else if (goes_on_as(row.record, id))
        rc = RC_PENDING;
    else
        rc = export_row(e, &row, err);
    sessions_row_release(&row);
    return rc;
}

/* A new id that was made since the listing began may stand where it has been
 * already: the old one, which is kept for a minute, leads to it. */
static enum rc export_one(struct export *e, const uint8_t listed[ID_SIZE],
                          struct err *err)
{
    uint8_t id[ID_SIZE];
    enum rc rc = RC_PENDING;

    if (id_is_of_user(listed))
        return RC_OK;
    memcpy(id, listed, ID_SIZE);
    for (int i = 0; i < HOPS && rc == RC_PENDING; i++)
        rc = export_id(e, id, err);
    return rc == RC_PENDING ? RC_OK : rc;
}

static enum rc export_page(struct export *e, const struct store_page *page,
                           struct err *err)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < page->count && rc == RC_OK; i++) {
        rc = export_one(e, page->ids[i], err);
        sessions_progress_tell(&e->progress, e->written);
    }
    return rc;
}

static enum rc export_all(struct export *e, struct err *err)
{
    struct store_page page = {.limit = PAGE};
    struct err why = {""};
    enum rc rc = RC_OK;

    do {
        rc = sessions_page(&e->store, &page, &why);
        if (rc == RC_OK)
            rc = export_page(e, &page, err);
        else if (rc == RC_CONFLICT)
            err_set(err, rc,
                    "margay: %s was replaced meanwhile: export it once more",
                    e->store.describe);
        else
            err_set(err, rc, "margay: %s", why.text);
        free(page.ids);
    } while (rc == RC_OK && page.more);
    return rc;
}

static enum rc export_whole(struct export *e, struct err *err)
{
    enum rc rc = sessions_write_head(&e->line, e->store.app, err);

    if (rc == RC_OK)
        rc = put_line(e, err);
    if (rc == RC_OK)
        rc = export_all(e, err);
    if (rc == RC_OK)
        rc = sessions_write_end(&e->line, (int64_t)e->written, err);
    if (rc == RC_OK)
        rc = put_line(e, err);
    return rc == RC_OK ? close_file(e, err) : rc;
}

static enum rc tell_left_out(const struct export *e, struct err *err)
{
    static const char rest[] = "all others are in the copy";

    if (e->newer == 0)
        return err_set(err, RC_INVALID,
                       "margay: %" PRIu64 " rows could not be read; %s",
                       e->unreadable, rest);
    if (e->unreadable == 0)
        return err_set(err, RC_UNSUPPORTED,
                       "margay: %" PRIu64 " rows were written by a newer "
                       "release: export with that one; %s",
                       e->newer, rest);
    return err_set(err, RC_UNSUPPORTED,
                   "margay: %" PRIu64 " rows were written by a newer release: "
                   "export with that one; %" PRIu64 " could not be read; %s",
                   e->newer, e->unreadable, rest);
}

static enum rc tell(struct export *e, struct err *err)
{
    bool all = e->unreadable + e->newer == 0;

    fprintf(stderr,
            "margay: %" PRIu64 " sessions of %s exported from %s; %" PRIu64
            " that have ended were left out%s\n",
            e->written, e->store.app, e->store.describe, e->over,
            e->written + e->over > 0 || !all
                ? "; whoever reads the copy can go on with them: keep it secret"
                : "; it is empty: are FILE, the -D and the user those of the "
                  "instances?");
    return all ? RC_OK : tell_left_out(e, err);
}

/* What can be said before anything is opened. */
static enum rc check_listing(struct sessions_store *s, struct err *err)
{
    if (store_lists(s->store))
        return RC_OK;
    return err_set(err, RC_UNSUPPORTED,
                   "margay: %s cannot list what it keeps, so it cannot be "
                   "exported; another store can: change to it while "
                   "sessions are used (docs/rolling-change.md), and export "
                   "that. import works",
                   s->describe);
}

enum rc sessions_export(const struct instance *in, const char *context,
                        const char *file, struct err *err)
{
    struct export e = {.file = file};
    const struct context *x;
    enum rc rc = sessions_context(in, context, &x, err);

    if (rc == RC_OK)
        rc = check_target(&e, in, err);
    if (rc != RC_OK)
        return rc;
    if (strcmp(file, "-") != 0) /* else there is nothing to tidy */
        sessions_block_signals();
    e.recent = instant_read().wall - RECENT_MS;
    rc = sessions_store_open(&e.store, x, SESSIONS_EXPORT, err);
    if (rc != RC_OK)
        return rc;
    buf_init(&e.line, SESSIONS_LINE_MAX);
    sessions_progress_begin(&e.progress, "exported");
    rc = check_listing(&e.store, err);
    if (rc == RC_OK)
        rc = open_file(&e, err);
    if (rc == RC_OK)
        rc = export_whole(&e, err);
    sessions_progress_end(&e.progress);
    if (rc == RC_OK)
        rc = tell(&e, err);
    drop_file(&e);
    buf_release(&e.line);
    sessions_seen_release(&e.seen);
    sessions_store_close(&e.store);
    return rc;
}
