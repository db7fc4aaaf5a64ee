/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions.h"

#include "container/sessions_common.h"
#include "container/sessions_json.h"
#include "container/sessions_users.h"
#include "session/farewell_id.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 20
#define LOOK_UP_MS 200 /* for a signal */
#define BLOCK 65536

struct import {
    const struct instance *in;
    const char *context; /* NULL: the file's */
    const char *name;    /* of the file, for errors */
    int fd;
    bool over;  /* of the file nothing is left to read, */
    int failed; /* since this errno came; 0: none */
    char block[BLOCK];
    size_t at, len; /* in block */
    struct buf line;
    uint64_t number; /* of the line */
    bool cut;        /* it has no newline */
    bool ended;      /* the end was read */

    struct sessions_store store;
    struct sessions_users users;
    struct sessions_progress progress;
    uint64_t sessions, written, merged, same, ended_there, expired, uncertain;
};

/* ---- lines ---- */

/* The next block. A pipe may be silent for long, and the signals that end us
 * are blocked. false: there is none. */
static bool fill(struct import *im)
{
    struct pollfd readable = {.fd = im->fd, .events = POLLIN};
    ssize_t len;

    while (poll(&readable, 1, LOOK_UP_MS) == 0)
        if (sessions_stopped())
            return false;
    do
        len = read(im->fd, im->block, sizeof im->block);
    while (len < 0 && errno == EINTR);
    im->failed = len < 0 ? errno : 0;
    im->over = len <= 0;
    im->at = 0;
    im->len = len > 0 ? (size_t)len : 0;
    return len > 0;
}

/* false: there is no more. */
static bool next_line(struct import *im)
{
    bool any = false;

    buf_reset(&im->line);
    im->cut = true;
    while (im->cut) {
        if (im->at == im->len && !fill(im))
            break;
        const char *from = im->block + im->at;
        const char *end = memchr(from, '\n', im->len - im->at);
        size_t part = end ? (size_t)(end - from) : im->len - im->at;
        any = true;
        im->cut = !end;
        im->at += part + !im->cut;
        if (!buf_add(&im->line, from, part))
            break;
    }
    im->number += any;
    return any;
}

static enum rc bad_line(const struct import *im, enum rc rc, const char *why,
                        struct err *err)
{
    return err_set(err, rc, "%s:%" PRIu64 ": %s%s", im->name, im->number, why,
                   im->cut && im->over ? "; the file is cut here" : "");
}

static const char *what_next(const struct import *im, enum rc rc)
{
    if (rc == RC_UNAVAILABLE)
        return ". Import it again then: what is there is skipped";
    if (im->number == 1)
        return "";
    return ". What stands before it was imported; export anew, or take this "
           "line out, count in the last line how many \"sessions\" are left, "
           "and import again";
}

/* A line that ends it, though others may follow. */
static enum rc bad_session(const struct import *im, enum rc rc, const char *why,
                           struct err *err)
{
    struct err said;

    bad_line(im, rc, why, &said);
    return err_set(err, rc, "%s%s", said.text, what_next(im, rc));
}

static enum rc stopped(const struct import *im, struct err *err)
{
    return err_set(err, RC_UNAVAILABLE,
                   "margay: stopped by a signal at line %" PRIu64
                   ": import it once more, what is there is skipped",
                   im->number);
}

/* RC_ABSENT: there is no more. */
static enum rc read_line(struct import *im, struct sessions_line *line,
                         struct err *err)
{
    struct err why = {""};
    enum rc rc;

    bool any = next_line(im);
    if (im->failed)
        return err_set(err, RC_UNAVAILABLE, "%s: cannot be read: %s", im->name,
                       strerror(im->failed));
    if (im->cut && !im->over && !im->line.full)
        return stopped(im, err);
    if (!any)
        return RC_ABSENT;
    if (im->line.full)
        rc = err_set(&why, RC_INVALID, "a line of more than %u MB",
                     SESSIONS_LINE_MAX >> 20);
    else
        rc = sessions_line_read(buf_str(&im->line), im->line.len, line, &why);
    return rc == RC_OK ? rc : bad_session(im, rc, why.text, err);
}

/* ---- a session ---- */

enum fate {
    FATE_WRITTEN,
    FATE_MERGED,
    FATE_SAME,
    FATE_ENDED,
    FATE_EXPIRED,
    FATE_UNCERTAIN /* it is there; whether by this write nobody said */
};

/* Joins what the file says (own) with what is stored (row). FATE_WRITTEN: it is
 * to be put. */
static enum fate join(const struct import *im, const struct sessions_row *own,
                      struct sessions_row *row)
{
    struct record *merged;
    bool same;

    if (record_ended(row->record, NULL))
        return FATE_ENDED;
    merged = record_merge(row->record, own->record);
    same = record_equal(merged, row->record) && row->access >= own->access;
    record_unref(&row->record);
    row->record = merged;
    if (row->access < own->access)
        row->access = own->access;
    if (!sessions_row_lives(&im->store, row))
        return FATE_EXPIRED;
    return same ? FATE_SAME : FATE_WRITTEN;
}

static enum rc look_again(struct import *im, const struct sessions_row *own,
                          struct sessions_row *row, struct err *err)
{
    sessions_row_release(row);
    return sessions_get(&im->store, record_id(own->record), row, err);
}

/* One try to store row, which is what is known of it joined with own. RC_OK:
 * *fate says what has become of it; RC_PENDING: try again. */
static enum rc try_put(struct import *im, const struct sessions_row *own,
                       struct sessions_row *row, enum fate *fate,
                       struct err *err)
{
    bool anew = row->version == 0, uncertain;
    enum rc why, rc = sessions_put(&im->store, row, &why, err);

    uncertain = rc == RC_UNCERTAIN;
    if (rc == RC_OK) {
        *fate = anew ? FATE_WRITTEN : FATE_MERGED;
        return RC_OK;
    }
    if (rc == RC_UNCERTAIN) {
        rc = look_again(im, own, row, err);
        if (rc == RC_ABSENT) { /* it was not written */
            *row = (struct sessions_row){.access = own->access,
                                         .record = record_ref(own->record)};
            return RC_PENDING;
        }
        why = rc == RC_OK ? RC_OK : rc;
        rc = RC_CONFLICT;
    }
    if (rc == RC_ABSENT) { /* the row has lapsed */
        *fate = FATE_ENDED;
        return RC_OK;
    }
    if (rc != RC_CONFLICT || why != RC_OK)
        return rc == RC_CONFLICT ? why : rc;
    if (record_kind(row->record) != RECORD_SESSION)
        return err_set(err, RC_INVALID, "its row is none of a session");
    *fate = join(im, own, row);
    if (*fate == FATE_WRITTEN)
        return RC_PENDING;
    if (*fate == FATE_SAME && uncertain)
        *fate = FATE_UNCERTAIN;
    return RC_OK;
}

/* It was ended in a rolling change of managers, by who knew but one. */
static enum rc has_farewell(struct import *im, const struct sessions_row *own,
                            bool *has, struct err *err)
{
    struct sessions_row row;
    uint8_t id[ID_SIZE];
    enum rc rc;

    farewell_id(record_id(own->record), id);
    rc = sessions_get(&im->store, id, &row, err);
    *has = rc == RC_OK && farewell_is(row.record) &&
           sessions_row_lives(&im->store, &row);
    sessions_row_release(&row);
    return rc == RC_ABSENT || rc == RC_INVALID ? RC_OK : rc;
}

/* No row tells any more that it has ended, but the list of its user knows it,
 * or its farewell. */
static enum rc has_gone(struct import *im, const struct sessions_row *own,
                        bool *gone, struct err *err)
{
    struct sessions_row row;
    enum rc rc = sessions_users_know(&im->users, own, gone, err);

    if (rc == RC_OK && !*gone)
        rc = has_farewell(im, own, gone, err);
    if (rc != RC_OK || !*gone)
        return rc;
    rc = sessions_get(&im->store, record_id(own->record), &row, err);
    *gone = rc == RC_ABSENT;
    sessions_row_release(&row);
    return *gone || rc == RC_INVALID ? RC_OK : rc;
}

static enum rc import_session(struct import *im, const struct sessions_row *own,
                              enum fate *fate, struct err *err)
{
    struct sessions_row row = {.access = own->access,
                               .record = record_ref(own->record)};
    bool lives = sessions_row_lives(&im->store, own), gone = false;
    enum rc rc = lives ? has_gone(im, own, &gone, err) : RC_OK;

    *fate = gone ? FATE_ENDED : FATE_EXPIRED;
    if (rc == RC_OK && lives && !gone)
        rc = RC_PENDING;
    for (int i = 0; i < TRIES && rc == RC_PENDING; i++)
        rc = try_put(im, own, &row, fate, err);
    if (rc == RC_PENDING)
        rc = err_set(err, RC_UNAVAILABLE, "others write it all the time");
    if (rc == RC_OK && (*fate == FATE_WRITTEN || *fate == FATE_MERGED ||
                        *fate == FATE_SAME || *fate == FATE_UNCERTAIN))
        rc = sessions_users_enter(&im->users, &row, err);
    sessions_row_release(&row);
    return rc;
}

static enum rc import_line(struct import *im, struct sessions_line *line,
                           struct err *err)
{
    struct sessions_row own = {.access = instant_read().wall,
                               .record = line->record};
    struct err why = {""};
    enum fate fate;
    enum rc rc;

    if (own.access > line->access)
        own.access = line->access; /* nobody used it later than now */
    rc = import_session(im, &own, &fate, &why);

    if (rc != RC_OK)
        return bad_session(im, rc, why.text, err);
    im->sessions++;
    im->written += fate == FATE_WRITTEN;
    im->merged += fate == FATE_MERGED;
    im->same += fate == FATE_SAME;
    im->ended_there += fate == FATE_ENDED;
    im->expired += fate == FATE_EXPIRED;
    im->uncertain += fate == FATE_UNCERTAIN;
    return RC_OK;
}

/* ---- the file ---- */

static enum rc open_file(struct import *im, const char *file, struct err *err)
{
    bool standard = strcmp(file, "-") == 0;

    im->name = standard ? "standard input" : file;
    im->fd = standard ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (im->fd >= 0)
        return RC_OK;
    return err_set(err, RC_ABSENT, "margay: cannot read %s: %s", file,
                   strerror(errno));
}

static enum rc read_head(struct import *im, struct err *err)
{
    struct sessions_line line = {.kind = LINE_HEAD};
    const struct context *x;
    enum rc rc = read_line(im, &line, err);

    if (rc == RC_ABSENT)
        return err_set(err, RC_INVALID, "%s: it is empty", im->name);
    if (rc == RC_OK && line.kind != LINE_HEAD)
        rc = bad_line(im, RC_INVALID,
                      "this is no file of `margay sessions export`", err);
    if (rc == RC_OK)
        rc = sessions_context(im->in, im->context ? im->context : line.context,
                              &x, err);
    sessions_line_release(&line);
    if (rc == RC_OK)
        rc = sessions_store_open(&im->store, x, SESSIONS_IMPORT, err);
    return rc == RC_OK ? sessions_reach(&im->store, err) : rc;
}

/* All that stand before it are in the store by now. */
static enum rc bad_count(const struct import *im,
                         const struct sessions_line *end, struct err *err)
{
    return err_set(err, RC_INVALID,
                   "%s:%" PRIu64 ": the end counts %" PRId64 " sessions, and "
                   "%" PRIu64 " stand before it, which were imported: export "
                   "anew; or, if lines were taken out on purpose, write "
                   "\"sessions\":%" PRIu64 " here",
                   im->name, im->number, end->sessions, im->sessions,
                   im->sessions);
}

static enum rc take_line(struct import *im, struct sessions_line *line,
                         struct err *err)
{
    if (im->ended)
        return bad_line(im, RC_INVALID, "a line behind the end", err);
    if (line->kind == LINE_HEAD)
        return bad_line(im, RC_INVALID, "a second head", err);
    if (line->kind == LINE_SESSION)
        return import_line(im, line, err);
    im->ended = true;
    if ((uint64_t)line->sessions == im->sessions)
        return RC_OK;
    return bad_count(im, line, err);
}

static enum rc read_all(struct import *im, struct err *err)
{
    struct sessions_line line;
    enum rc rc = RC_OK;

    while (rc == RC_OK) {
        if (sessions_stopped())
            return stopped(im, err);
        rc = read_line(im, &line, err);
        if (rc != RC_OK)
            break;
        rc = take_line(im, &line, err);
        sessions_line_release(&line);
        sessions_progress_tell(&im->progress, im->sessions);
    }
    if (rc != RC_ABSENT)
        return rc;
    if (im->ended)
        return RC_OK;
    return err_set(err, RC_INVALID,
                   "%s: it has no end: sessions are missing from it; those "
                   "that it has were imported",
                   im->name);
}

static void tell(const struct import *im)
{
    fprintf(stderr,
            "margay: %" PRIu64 " sessions of %s read: %" PRIu64 " written, "
            "%" PRIu64 " merged, %" PRIu64 " skipped (%" PRIu64 " as new in "
            "the store, %" PRIu64 " ended there), %" PRIu64 " expired",
            im->sessions, im->store.app, im->written, im->merged,
            im->same + im->ended_there, im->same, im->ended_there, im->expired);
    if (im->uncertain > 0)
        fprintf(stderr,
                ", %" PRIu64 " uncertain (they are there; the store did not "
                "say whether this import wrote them)",
                im->uncertain);
    fprintf(stderr, "; %s\n", im->store.describe);
}

enum rc sessions_import(const struct instance *in, const char *context,
                        const char *file, struct err *err)
{
    struct import *im = mem_zero(sizeof *im);
    enum rc rc;

    im->in = in;
    im->context = context;
    buf_init(&im->line, SESSIONS_LINE_MAX);
    sessions_progress_begin(&im->progress, "read");
    rc = open_file(im, file, err);
    sessions_block_signals();
    if (rc == RC_OK)
        rc = read_head(im, err);
    if (rc == RC_OK) {
        sessions_users_begin(&im->users, &im->store);
        rc = read_all(im, err);
        sessions_progress_end(&im->progress);
        tell(im);
    }
    sessions_store_close(&im->store);
    if (im->fd > STDIN_FILENO)
        close(im->fd);
    buf_release(&im->line);
    free(im);
    return rc;
}
