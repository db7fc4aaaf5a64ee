/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions in one SQLite file that the processes of one machine share.
 *
 * Laws
 * - One connection writes, on the store's thread, under the writer's turn of
 *   the gate (gate.h): BEGIN IMMEDIATE never meets another of us, so nobody
 *   ever sees a busy error. SQLite's own locks remain what guards the data.
 * - Reads are inline, each on a read-only connection out of a pool: what it
 *   sees is what was committed last, by whichever process.
 * - Before COMMIT the files at their places must be the ones that we have
 *   open, else it is rolled back: UNAVAILABLE, nothing was written. After it
 *   once more: a commit into a file that is no longer there is UNCERTAIN,
 *   never OK.
 * - A file that was moved or deleted stays open, and we stay present, so that
 *   nobody begins a new one; we answer UNAVAILABLE. Where only -wal or -shm
 *   was removed, what the old ones hold is first brought home by a checkpoint,
 *   then all who are present close, and the first one alone opens anew: two
 *   processes never write by different indexes into one file.
 * - A CONFLICT with a row that this same transaction wrote is told only after
 *   its commit: nobody is shown bytes that may be rolled back. */
#include "config.h"

#include "managers/stores/gate.h"
#include "managers/stores/sqlite.h"
#include "managers/stores/stores.h"
#include "managers/stores/versions.h"
#include "session/store_impl.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS 750 /* with SQLite's 250 ms a batch ends within about 1 s */

struct sqlite_store {
    struct store_base base;
    struct db *db;

    /* the store's thread only */
    struct gate gate;
    uint64_t issued[STORE_BATCH_MAX]; /* versions of this transaction */
    unsigned issued_count;
    struct versions versions;
};

static store_open_fn sqlite_open;
static store_close_fn sqlite_close;
static store_get_fn sqlite_get;
static store_run_fn sqlite_run;
static store_expire_fn sqlite_expire;
static store_list_fn sqlite_list;
static store_check_fn sqlite_check;
static store_describe_fn sqlite_describe;

static const char *const sqlite_companions[] = {"-wal", "-shm", NULL};

/* --- opening and closing -------------------------------------------------- */

static enum rc sqlite_start(struct sqlite_store *s, struct err *err)
{
    bool is_new;
    enum rc rc = gate_lock(&s->gate, TURN_MS, err);

    if (rc != RC_OK)
        return rc;
    rc = gate_enter(&s->gate, &is_new, err);
    if (rc != RC_OK)
        goto unlock;
    rc = db_open(s->db, is_new, err);
    if (rc != RC_OK)
        goto leave;
    rc = gate_record(&s->gate, err);
    if (rc != RC_OK)
        goto close;
    db_serve(s->db);
    goto unlock;
close:
    db_close(s->db, false);
leave:
    gate_leave(&s->gate);
unlock:
    gate_unlock(&s->gate);
    return rc;
}

/* The last one who closes brings the log home and removes it: under the turn,
 * and only where the files are at their places. */
static void sqlite_stop(struct sqlite_store *s)
{
    struct err err;
    bool turn;

    if (!db_is_open(s->db))
        return;
    turn = gate_lock(&s->gate, TURN_MS, &err) == RC_OK;
    db_close(s->db, turn && gate_look(&s->gate, &err) == GATE_HOME);
    gate_leave(&s->gate);
    if (turn)
        gate_unlock(&s->gate);
}

/* --- the check ------------------------------------------------------------ */

/* Our log has no name any more: all that it holds goes into the file, before
 * somebody opens that with a new one. */
static enum rc sqlite_save(struct sqlite_store *s, struct err *err)
{
    enum rc rc;

    log_state(s->base.env.log, LOG_WARN, "store",
              "a file that belongs to %s was removed; it is made anew",
              s->gate.path);
    rc = gate_lock(&s->gate, TURN_MS, err);
    if (rc != RC_OK)
        return rc;
    rc = db_save(s->db, err);
    gate_unlock(&s->gate);
    return rc;
}

/* Perhaps the log can give room by now; who waits for the turn comes first. */
static void sqlite_make_room(struct sqlite_store *s)
{
    struct err err;

    if (!db_is_full(s->db) || gate_lock(&s->gate, 0, &err) != RC_OK)
        return;
    if (gate_look(&s->gate, &err) == GATE_HOME)
        db_tidy(s->db);
    gate_unlock(&s->gate);
}

static enum rc sqlite_check(struct store_base *base, struct err *err)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    enum gate_place place;
    enum rc rc;

    if (!db_is_open(s->db))
        return sqlite_start(s, err);
    place = gate_look(&s->gate, err);
    if (place == GATE_AWAY) {
        gate_keep(&s->gate, NULL);
        return RC_UNAVAILABLE;
    }
    rc = gate_keep(&s->gate, err);
    if (rc != RC_OK)
        return rc;
    if (place == GATE_HOME && !db_is_broken(s->db)) {
        sqlite_make_room(s);
        return RC_OK;
    }
    if (place == GATE_LOOSE) {
        rc = sqlite_save(s, err);
        if (rc != RC_OK)
            return rc;
    }
    sqlite_stop(s);
    return sqlite_start(s, err);
}

/* --- batches -------------------------------------------------------------- */

/* RC_OK: with the turn and in a transaction; else with neither. */
static enum rc sqlite_enter(struct sqlite_store *s, struct err *err)
{
    enum rc rc = gate_lock(&s->gate, TURN_MS, err);

    if (rc != RC_OK)
        return rc;
    s->issued_count = 0;
    rc = gate_look(&s->gate, err) == GATE_HOME ? db_begin(s->db, err)
                                               : RC_UNAVAILABLE;
    if (rc != RC_OK)
        gate_unlock(&s->gate);
    return rc;
}

static enum rc sqlite_commit(struct sqlite_store *s, struct err *err)
{
    enum rc rc;

    if (gate_look(&s->gate, err) != GATE_HOME) {
        db_rollback(s->db);
        return RC_UNAVAILABLE;
    }
    rc = db_commit(s->db, err);
    if (rc == RC_OK && gate_look(&s->gate, err) != GATE_HOME)
        rc = RC_UNCERTAIN;
    return rc;
}

static bool is_issued(const struct sqlite_store *s, uint64_t version)
{
    for (unsigned i = 0; i < s->issued_count; i++) {
        if (s->issued[i] == version)
            return true;
    }
    return false;
}

/* Commits what there is, tells it, begins again: the law of conflicts. */
static enum rc sqlite_turn_over(struct sqlite_store *s,
                                struct store_batch *batch, struct err *err)
{
    enum rc rc = sqlite_commit(s, err);

    store_batch_settle(batch, rc, err);
    s->issued_count = 0;
    return rc == RC_OK ? db_begin(s->db, err) : RC_UNAVAILABLE;
}

static enum rc sqlite_put(struct sqlite_store *s, struct store_batch *batch,
                          struct store_call *call, struct err *err)
{
    enum rc rc = db_put(s->db, call, versions_next(&s->versions), err);

    if (rc == RC_CONFLICT && is_issued(s, call->new_version)) {
        free(call->found);
        call->found = NULL;
        rc = sqlite_turn_over(s, batch, err);
        if (rc == RC_OK)
            rc = db_put(s->db, call, versions_next(&s->versions), err);
    }
    return rc;
}

/* RC_OK: the batch goes on. */
static enum rc sqlite_apply(struct sqlite_store *s, struct store_batch *batch,
                            struct store_call *call, struct err *err)
{
    enum rc rc;

    if (!call->is_put) {
        store_batch_answer(batch, call, db_read(s->db, call));
        return RC_OK;
    }
    rc = sqlite_put(s, batch, call, err);
    if (rc == RC_OK) {
        assert(s->issued_count < STORE_BATCH_MAX);
        s->issued[s->issued_count++] = call->new_version;
        store_batch_hold(batch, call);
        return RC_OK;
    }
    if (rc == RC_UNAVAILABLE)
        call->err = *err;
    store_batch_answer(batch, call, rc);
    return rc == RC_UNAVAILABLE ? rc : RC_OK;
}

static void sqlite_refuse(struct store_batch *batch, const struct err *err)
{
    struct store_call *call;

    while ((call = store_batch_next(batch))) {
        call->err = *err;
        store_batch_answer(batch, call, RC_UNAVAILABLE);
    }
}

static void sqlite_run(struct store_base *base, struct store_batch *batch)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    struct store_call *call;
    struct err err;
    enum rc rc = sqlite_enter(s, &err);

    if (rc != RC_OK) {
        sqlite_refuse(batch, &err);
        return;
    }
    while (rc == RC_OK && (call = store_batch_next(batch)))
        rc = sqlite_apply(s, batch, call, &err);
    if (rc == RC_OK)
        rc = sqlite_commit(s, &err);
    else
        db_rollback(s->db);
    store_batch_settle(batch, rc, &err);
    /* After the answers, so that nobody waits for it but the next writer. */
    db_tidy(s->db);
    gate_unlock(&s->gate);
}

static void sqlite_expire(struct store_base *base, struct instant now,
                          unsigned limit, store_removed_fn *each, void *user)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    struct db_row *rows;
    struct err err; /* nobody waits; the next time will do */

    if (!db_any_due(s->db, now.wall) || sqlite_enter(s, &err) != RC_OK)
        return;
    if (db_remove_due(s->db, now.wall, limit, &rows, &err) != RC_OK)
        db_rollback(s->db);
    else if (sqlite_commit(s, &err) != RC_OK)
        db_rows_free(&rows);
    db_tidy(s->db);
    gate_unlock(&s->gate);
    for (const struct db_row *r = rows; r; r = r->next)
        each(user, r->id, r->bytes, r->len);
    db_rows_free(&rows);
}

/* The writer's connection sees what was committed last. */
static enum rc sqlite_list(struct store_base *base, struct store_page *page)
{
    return db_list(((struct sqlite_store *)base)->db, page);
}

static void sqlite_get(struct store_base *base, struct store_call *call)
{
    call->rc = db_read(((struct sqlite_store *)base)->db, call);
}

/* --- the store ------------------------------------------------------------ */

static enum rc sqlite_examine(const void *options, const struct store_env *env,
                              struct err *err)
{
    const struct sqlite_options *o = options;

    (void)env;
    if (!o->path || !*o->path)
        return err_set(err, RC_INVALID,
                       "SQLiteStore needs path=\"...\", the file that keeps "
                       "the sessions");
    if (strlen(o->path) > 2048)
        return err_set(err, RC_INVALID, "SQLiteStore: path is too long");
    return db_examine(o->path, err);
}

static enum rc sqlite_open(struct store_base *base, struct err *err)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    const struct sqlite_options *o = base->options;

    (void)err;
    gate_init(&s->gate, base->env.log, o->path, sqlite_companions);
    s->gate.makes_nothing = base->env.makes_nothing;
    s->db = db_new(s->gate.path, base->env.app, o->synchronous == DB_SYNC_FULL);
    log_state(base->env.log, LOG_INFO, "store",
              "SQLiteStore keeps the "
              "sessions in %s",
              s->gate.path);
    return RC_OK;
}

static void sqlite_close(struct store_base *base)
{
    struct sqlite_store *s = (struct sqlite_store *)base;

    sqlite_stop(s);
    db_free(&s->db);
    gate_release(&s->gate);
}

static void sqlite_describe(const struct store_base *base, char *out,
                            size_t size)
{
    const char *path = ((const struct sqlite_store *)base)->gate.path;
    const char *slash = strrchr(path, '/');

    snprintf(out, size, "SQLite file %s", slash ? slash + 1 : path);
}

static const struct option sqlite_options[] = {
    {.name = "path",
     .kind = OPTION_STRING,
     .offset = offsetof(struct sqlite_options, path),
     .help = "the file that keeps the sessions; instances of one machine that "
             "name the same file share them"},
    {.name = "synchronous",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct sqlite_options, synchronous),
     .preset = "NORMAL",
     .choices = "NORMAL|FULL",
     .help = "NORMAL: what was answered survives the end of any process; "
             "FULL: a power cut as well, for one fsync a batch"},
    {0},
};

const struct store_ops store_sqlite = {
    .name = "SQLiteStore",
    .summary = "one SQLite file, shared by the processes of one machine",
    .size = sizeof(struct sqlite_store),
    .options_size = sizeof(struct sqlite_options),
    .options = sqlite_options,
    .flags = STORE_READS_INLINE | STORE_LISTS,
    .examine = sqlite_examine,
    .open = sqlite_open,
    .close = sqlite_close,
    .run = sqlite_run,
    .get = sqlite_get,
    .expire = sqlite_expire,
    .list = sqlite_list,
    .check = sqlite_check,
    .describe = sqlite_describe,
};
