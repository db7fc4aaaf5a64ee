/* SPDX-License-Identifier: Apache-2.0
 *
 * PersistentManager: a store has the truth, this process keeps copies.
 *
 * Promises With onStoreOutage="refuse" (the default) an acknowledged change is
 *          in the store; every attach is as new as the store; while the store
 *          cannot be asked, nobody gets an answer that may be wrong (503).
 *          With "local" an answer during an outage promises this process's
 *          copy only; what changed is merged when the store returns.
 * Source   org/apache/catalina/session/PersistentManager.java and
 *          org/apache/catalina/valves/PersistentValve.java, whose place it
 *          takes: write-through at each request is the rule here. */
#include "config.h"

#include "managers/persistent.h"

#include "session/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_ROW_MS 60000
#define EXPIRY_STEP_MS 10000
#define EXPIRE_EVERY_MS 5000
#define EXPIRE_AT_ONCE 1000

static const struct option persistent_options[] = {
    {"onStoreOutage", OPTION_CHOICE,
     offsetof(struct persistent_options, on_store_outage), "refuse",
     "while the store is away: refuse (503) or serve this process's copies", 0,
     0, "refuse|local"},
    {"minReplicas", OPTION_INT,
     offsetof(struct persistent_options, min_replicas), "0",
     "RedisStore: a change is answered when so many replicas have it, too", 0,
     100, NULL},
    {"writeThrough", OPTION_CHOICE,
     offsetof(struct persistent_options, write_through), "auto",
     "every change is stored before its response leaves, unless an idle mode "
     "is set; false: at a stop, and as the idle modes say",
     0, 0, "auto|true|false"},
    {"maxIdleBackup", OPTION_INT,
     offsetof(struct persistent_options, max_idle_backup), "-1",
     "store a copy after so many idle seconds, instead of at each change; -1: "
     "no",
     -1, INT32_MAX, NULL},
    {"maxIdleSwap", OPTION_INT,
     offsetof(struct persistent_options, max_idle_swap), "-1",
     "leave memory for the store after so many idle seconds; -1: no", -1,
     INT32_MAX, NULL},
    {"minIdleSwap", OPTION_INT,
     offsetof(struct persistent_options, min_idle_swap), "-1",
     "stay in memory for so many idle seconds; then a session may leave it "
     "when there are more than nine tenths of maxActiveSessions; -1: none "
     "leaves for that",
     -1, INT32_MAX, NULL},
    {"saveOnRestart", OPTION_BOOL,
     offsetof(struct persistent_options, save_on_restart), "true",
     "an orderly stop stores all sessions; false: it ends those in memory "
     "(idle modes only)",
     0, 0, NULL},
    {NULL, 0, 0, NULL, NULL, 0, 0, NULL},
};

/* ---- rows ---- */

void persistent_encode(struct pack_writer *w, const struct record *record,
                       int64_t access_wall)
{
    pack_array(w, 2);
    pack_int(w, access_wall);
    pack_bin(w, record->bytes, record->len);
}

/* Once per row: whoever sends its id again must not fill the log. */
static void tell_unreadable(struct persistent *p, const uint8_t id[ID_SIZE],
                            size_t len, const struct err *err)
{
    char text[LOG_ID_SIZE];
    uint64_t part;

    memcpy(&part, id, sizeof part);
    if (atomic_exchange(&p->told[part % TOLD_ROWS], part | 1) == (part | 1))
        return;
    atomic_fetch_add(&p->unreadable, 1);
    log_line(p->base.env.log, LOG_ERROR, "manager",
             "the stored row %s of %s (%zu bytes) cannot be read: %s; it "
             "counts as absent",
             log_id(text, id), p->base.env.app, len, err->text);
}

enum rc persistent_decode(struct persistent *p, const uint8_t id[ID_SIZE],
                          const void *bytes, size_t len, struct record **record,
                          int64_t *access_wall, struct err *err)
{
    struct pack_reader r = {bytes, (const uint8_t *)bytes + len};
    struct pack_token t;
    enum rc rc = err_set(err, RC_INVALID, "not [last access, record]");

    if (pack_read(&r, &t) && t.type == PACK_ARRAY && t.len == 2 &&
        pack_read(&r, &t) && t.type == PACK_INT && t.i >= 0 &&
        t.i < INT64_MAX / 4) {
        *access_wall = t.i;
        if (pack_read(&r, &t) && t.type == PACK_BIN)
            rc = record_decode(t.p, t.len, record, err);
        if (rc == RC_OK && id_equal(record_id(*record), id))
            return RC_OK;
        if (rc == RC_OK) {
            record_unref(record);
            err_set(err, RC_INVALID, "it is the record of another id");
        }
    }
    if (rc == RC_UNSUPPORTED)
        return RC_UNAVAILABLE;
    tell_unreadable(p, id, len, err);
    return RC_ABSENT;
}

/* A store that sorts its rows by their expiry has less to do where that is the
 * same again at the next request. */
static int64_t later_step(int64_t wall)
{
    return (wall + EXPIRY_STEP_MS - 1) / EXPIRY_STEP_MS * EXPIRY_STEP_MS;
}

int64_t persistent_expiry(const struct persistent *p,
                          const struct record *record, int64_t access_mono,
                          struct instant now)
{
    struct record_life life;
    enum reason reason;

    record_life(record, &life);
    if (life.ended || manager_idle_end_holds(&life, access_mono, now))
        return now.wall + KEEP_ROW_MS;
    int64_t due = manager_due(&p->base, &life, access_mono, now, &reason);
    if (due == INT64_MAX)
        return later_step(now.wall + PERSISTENT_FOREVER_MS);
    return later_step(instant_wall_of(now, due) + KEEP_ROW_MS);
}

/* Does the idle end that somebody wrote hold, as far as we know? */
static void absorb_idle(struct persistent *p, struct table_stripe *stripe,
                        struct entry *entry, struct instant now)
{
    struct record_life life;

    record_life(entry->record, &life);
    bool idle =
        !life.ended && manager_idle_end_holds(&life, entry->access, now);
    if (idle && !entry->idle)
        table_arm(stripe, entry, now.mono + p->base.keep_ended_ms);
    table_set_idle(stripe, entry, idle);
}

struct entry *persistent_absorb(struct persistent *p,
                                struct table_stripe *stripe,
                                struct entry *entry, struct record *record,
                                int64_t access_wall, uint64_t version,
                                struct instant now)
{
    int64_t mono = instant_mono_of(now, access_wall);
    bool ended = record_ended(record, NULL);

    if (mono > now.mono)
        mono = now.mono;
    if (entry && copy_of(entry)->flight)
        persistent_rebase(entry, record);
    if (!entry) {
        entry = table_insert(stripe, record, ended ? now.mono : mono);
        if (ended)
            table_arm(stripe, entry, now.mono + p->base.keep_ended_ms);
        else
            manager_arm(&p->base, stripe, entry, now);
    } else if (ended || record_kind(record) != record_kind(entry->record)) {
        /* what is stored has happened, whatever we had in mind */
        table_replace(stripe, entry, record);
        entry->access = now.mono;
        table_arm(stripe, entry, now.mono + p->base.keep_ended_ms);
    } else {
        table_replace(stripe, entry, record_merge(entry->record, record));
        record_unref(&record);
        if (mono > entry->access)
            entry->access = mono;
    }
    absorb_idle(p, stripe, entry, now);
    copy_of(entry)->version = version;
    if (mono > copy_of(entry)->told)
        copy_of(entry)->told = mono;
    return entry;
}

/* ---- find ---- */

struct find_call {
    struct store_call call; /* first */
    struct persistent *p;
    struct find_op *op;
    bool touch;
};

static enum rc find_again(struct find_call *fc);

/* The copy stands; the lock is held. */
static enum rc found_entry(struct find_call *fc, struct table_stripe *stripe,
                           struct entry *e)
{
    struct persistent *p = fc->p;
    enum rc rc =
        manager_find_entry(&p->base, stripe, e, persistent_shown(e), fc->op);

    fc->touch =
        rc == RC_OK && !p->lazy && !fc->op->peek && !p->outage_since &&
        manager_tells_access(&p->base, e->record, e->access - copy_of(e)->told);
    return rc;
}

static enum rc found_none(struct find_call *fc);

static enum rc found_row(struct find_call *fc)
{
    struct persistent *p = fc->p;
    struct store_call *call = &fc->call;
    struct record *record;
    int64_t access;

    enum rc rc = persistent_decode(p, call->id, call->found, call->found_len,
                                   &record, &access, &fc->op->err);
    free(call->found);
    call->found = NULL;
    if (rc != RC_OK)
        return rc == RC_ABSENT ? found_none(fc) : rc;
    struct table_stripe *stripe = table_lock(p->base.table, call->id);
    struct entry *e =
        persistent_absorb(p, stripe, table_find(stripe, call->id), record,
                          access, call->new_version, fc->op->now);
    rc = found_entry(fc, stripe, e);
    table_unlock(stripe);
    if (rc == RC_OK && p->lazy)
        manager_tell_activate(&p->base, fc->op->record, fc->op->now);
    return rc;
}

static enum rc found_unchanged(struct find_call *fc)
{
    struct table_stripe *stripe = table_lock(fc->p->base.table, fc->call.id);
    struct entry *e = table_find(stripe, fc->call.id);
    enum rc rc = e ? found_entry(fc, stripe, e) : RC_CONFLICT;

    table_unlock(stripe);
    return rc == RC_CONFLICT ? find_again(fc) : rc;
}

void persistent_gone(struct persistent *p, struct table_stripe *stripe,
                     struct entry *entry, enum reason reason,
                     struct instant now)
{
    if (reason == REASON_UNKNOWN ||
        record_kind(entry->record) != RECORD_SESSION) {
        table_remove(stripe, entry);
        return;
    }
    table_replace(
        stripe, entry,
        record_end_delta(entry->record, reason, NULL, now.wall,
                         manager_writer(&p->base, record_id(entry->record))));
    entry->access = now.mono;
    table_arm(stripe, entry, now.mono + p->base.keep_ended_ms);
}

/* No row. What was never stored (a creation under way, or made while the store
 * was away) counts; a copy of what is no longer stored does not. */
static enum rc found_none(struct find_call *fc)
{
    struct persistent *p = fc->p;
    struct find_op *op = fc->op;
    struct record_end end;
    struct table_stripe *stripe = table_lock(p->base.table, fc->call.id);
    struct entry *e = table_find(stripe, fc->call.id);
    enum reason why = REASON_UNKNOWN;
    enum rc rc = RC_ABSENT;

    op->reason = REASON_UNKNOWN;
    if (e && copy_of(e)->version == 0) {
        rc = found_entry(fc, stripe, e);
    } else if (e) {
        if (manager_liveness(&p->base, e->record, e->access, op->now, &end) !=
            RC_OK) {
            op->reason = end.reason;
            memcpy(op->new_id, end.new_id, ID_SIZE);
        } else {
            op->reason = why = fc->call.gone;
        }
        if (!(e->flags & ENTRY_BUSY) && !record_ended(e->record, NULL))
            persistent_gone(p, stripe, e, why, op->now);
    }
    table_unlock(stripe);
    return rc;
}

static enum rc found_unavailable(struct find_call *fc)
{
    struct persistent *p = fc->p;
    int64_t none = 0;
    enum rc rc = RC_UNAVAILABLE;

    if (!fc->call.only_this)
        atomic_compare_exchange_strong(&p->outage_since, &none,
                                       fc->op->now.mono);
    fc->op->err = fc->call.err;
    if (!p->local)
        return rc;
    struct table_stripe *stripe = table_lock(p->base.table, fc->call.id);
    struct entry *e = table_find(stripe, fc->call.id);
    if (e)
        rc = found_entry(fc, stripe, e);
    table_unlock(stripe);
    return rc;
}

static enum rc find_answer(struct find_call *fc)
{
    _Atomic int64_t *since = &fc->p->outage_since;

    fc->op->reason = REASON_UNKNOWN;
    if ((fc->call.rc == RC_OK || fc->call.rc == RC_ABSENT) &&
        atomic_load_explicit(since, memory_order_relaxed))
        atomic_store(since, 0);
    switch (fc->call.rc) {
    case RC_OK:
        return fc->call.unchanged ? found_unchanged(fc) : found_row(fc);
    case RC_ABSENT:
        return found_none(fc);
    default:
        return found_unavailable(fc);
    }
}

static void find_finish(struct find_call *fc)
{
    if (fc->touch)
        persistent_touch(fc->p, fc->call.id, fc->op->now);
}

static void find_done(struct store_call *call)
{
    struct find_call *fc = (struct find_call *)call;
    struct persistent *p = fc->p;
    struct find_op *op = fc->op;

    enum rc rc = find_answer(fc);
    if (rc == RC_PENDING)
        return;
    op->rc = rc;
    find_finish(fc);
    free(fc);
    manager_found(&p->base, op);
}

static enum rc find_ask(struct find_call *fc)
{
    struct persistent *p = fc->p;
    struct table_stripe *stripe = table_lock(p->base.table, fc->call.id);
    struct entry *e = table_find(stripe, fc->call.id);

    fc->call.version = e ? copy_of(e)->version : 0;
    table_unlock(stripe);
    fc->call.unchanged = false;
    fc->call.found = NULL;
    return store_get(p->base.store, &fc->call);
}

/* The copy went away between question and answer. */
static enum rc find_again(struct find_call *fc)
{
    enum rc rc = find_ask(fc);
    if (rc == RC_PENDING)
        return rc;
    fc->call.rc = rc;
    return find_answer(fc);
}

static enum rc find_inline(struct persistent *p, struct find_op *op)
{
    struct find_call fc = {.p = p, .op = op};

    memcpy(fc.call.id, op->id, ID_SIZE);
    fc.call.rc = find_ask(&fc);
    enum rc rc = find_answer(&fc);
    find_finish(&fc);
    return rc;
}

static enum rc persistent_find(struct manager *m, struct find_op *op)
{
    struct persistent *p = persistent_of(m);
    enum rc here = p->lazy ? persistent_find_lazy(p, op) : RC_PENDING;

    if (here != RC_PENDING)
        return here;
    if (store_reads_inline(m->store))
        return find_inline(p, op);
    struct find_call *fc = mem_zero(sizeof *fc);
    fc->p = p;
    fc->op = op;
    fc->call.done = find_done;
    memcpy(fc->call.id, op->id, ID_SIZE);
    enum rc rc = find_ask(fc);
    if (rc == RC_PENDING)
        return rc;
    fc->call.rc = rc;
    rc = find_answer(fc);
    if (rc == RC_PENDING)
        return rc;
    find_finish(fc);
    free(fc);
    return rc;
}

/* ---- what is due ---- */

struct due_look {
    struct find_op op; /* first */
    enum reason reason;
};

/* Our copy says that its time is over; the store knows what others did. */
static void due_looked(struct due_look *look)
{
    struct manager *m = look->op.manager;
    struct find_op *op = &look->op;

    if (op->rc == RC_ABSENT && op->reason == look->reason)
        manager_end_due(m, op->id, look->reason, op->now);
    if (op->rc == RC_OK &&
        !persistent_of(m)->lazy) { /* used elsewhere: this copy is of no use */
        struct table_stripe *stripe = table_lock(m->table, op->id);
        struct entry *e = table_find(stripe, op->id);
        if (e && !(e->flags & ENTRY_BUSY))
            table_remove(stripe, e);
        table_unlock(stripe);
    }
    record_unref(&op->record);
    free(look);
}

static void due_done(struct find_op *op)
{
    due_looked((struct due_look *)op);
}

static void persistent_due(struct manager *m, const uint8_t id[ID_SIZE],
                           enum reason reason, struct instant now)
{
    struct due_look *look = mem_zero(sizeof *look);

    look->reason = reason;
    look->op = (struct find_op){.done = due_done, .now = now, .peek = true};
    memcpy(look->op.id, id, ID_SIZE);
    if (manager_find(m, &look->op) != RC_PENDING)
        due_looked(look);
}

/* A row that lapsed and that no process ended: whoever had it is gone. */
static void row_removed(void *user, const uint8_t id[ID_SIZE],
                        const void *bytes, size_t len)
{
    struct persistent *p = user;
    struct instant now = instant_read();
    struct record *record;
    struct record_life life;
    struct record_end end;
    struct err err;
    int64_t access;

    if (persistent_decode(p, id, bytes, len, &record, &access, &err) != RC_OK)
        return;
    int64_t mono = instant_mono_of(now, access);
    if (p->lazy && persistent_row_lapsed(p, id, now)) {
        record_unref(&record);
        return;
    }
    record_life(record, &life);
    if (!life.ended && !manager_idle_end_holds(&life, mono, now) &&
        manager_liveness(&p->base, record, mono, now, &end) != RC_OK)
        manager_tell_end(&p->base, record, end.reason, now);
    record_unref(&record);
}

/* ---- changes that only we have ---- */

struct unsaved {
    struct persistent *p;
    struct instant now;
    struct flight **flights;
    size_t count, seen;
    bool stopping;
};

static bool collect_unsaved(void *user, struct entry *e)
{
    struct unsaved *u = user;

    if (!(e->flags & ENTRY_UNSAVED) || copy_of(e)->flight ||
        (u->stopping && copy_of(e)->too_big))
        return true;
    u->seen++;
    if (store_usable(u->p->base.store, record_id(e->record)))
        u->flights[u->count++] =
            persistent_save(u->p, e, u->now, SAVE_CATCH_UP);
    return u->count < SAVES_AT_ONCE;
}

size_t persistent_flush_unsaved(struct persistent *p, struct instant now)
{
    struct unsaved u = {
        .p = p, .now = now, .stopping = atomic_load(&p->stopping)};

    u.flights = mem_alloc(SAVES_AT_ONCE * sizeof *u.flights);
    table_each(p->base.table, collect_unsaved, &u);
    for (size_t i = 0; i < u.count; i++)
        persistent_send(u.flights[i]);
    free(u.flights);
    return u.seen;
}

struct store_look {
    struct store_call call; /* first */
    struct persistent *p;
    struct instant now;
};

static void store_looked(struct store_look *look)
{
    if (look->call.rc == RC_OK || look->call.rc == RC_ABSENT) {
        atomic_store(&look->p->outage_since, 0);
        persistent_flush_unsaved(look->p, look->now);
    }
    free(look->call.found);
    free(look);
}

static void look_done(struct store_call *call)
{
    store_looked((struct store_look *)call);
}

/* One question a second finds out whether the store is back. */
static void look_for_store(struct persistent *p, struct instant now)
{
    struct store_look *look = mem_zero(sizeof *look);

    look->p = p;
    look->now = now;
    look->call.done = look_done;
    enum rc rc = store_get(p->base.store, &look->call);
    if (rc != RC_PENDING) {
        look->call.rc = rc;
        store_looked(look);
    }
}

/* Of several servers each is looked for by the store itself. */
static void catch_up(struct persistent *p, struct instant now)
{
    if (store_is_split(p->base.store))
        persistent_flush_unsaved(p, now);
    else
        look_for_store(p, now);
}

static void persistent_tick(struct manager *m, struct instant now)
{
    struct persistent *p = persistent_of(m);

    if (now.mono >= atomic_load(&p->expire_at)) {
        atomic_store(&p->expire_at, now.mono + EXPIRE_EVERY_MS);
        store_expire(m->store, now, EXPIRE_AT_ONCE, row_removed, p);
        if (store_forgets(m->store))
            persistent_secret_ask(p);
    }
    if (!atomic_load(&m->secret_known))
        persistent_secret_ask(p);
    if (p->lazy)
        persistent_idle_tick(p, now);
    else if (atomic_load(&p->unsaved) && !atomic_load(&p->catching_up))
        catch_up(p, now);
}

/* ---- life ---- */

static struct store_env store_env_of(const void *options,
                                     const struct manager_env *env)
{
    const struct persistent_options *o = options;

    return (struct store_env){.log = env->log,
                              .app = env->app,
                              .node = env->node,
                              .min_replicas =
                                  o ? (unsigned)o->min_replicas : 0};
}

static enum rc persistent_examine(const void *options,
                                  const struct store_ops *store,
                                  const void *store_options,
                                  const struct manager_env *env,
                                  struct err *err)
{
    struct store_env of_store = store_env_of(options, env);

    return store_examine(store, store_options, &of_store, err);
}

static enum rc persistent_open(struct manager *m, struct err *err)
{
    struct persistent *p = persistent_of(m);
    const struct persistent_options *o = m->options;
    struct store_env env = store_env_of(o, &m->env);

    p->local = o && o->on_store_outage == OUTAGE_LOCAL;
    p->lazy = o && persistent_is_lazy(o);
    m->secret_shared = !p->local;
    return store_open(m->store_ops, m->store_options, &env, &m->store, err);
}

static void persistent_close(struct manager *m)
{
    struct persistent *p = persistent_of(m);

    if (m->store)
        store_close(&m->store, 0);
    pack_release(&p->secret_bytes);
}

static enum rc persistent_start(struct manager *m, struct instant now,
                                struct err *err)
{
    struct persistent *p = persistent_of(m);

    (void)err;
    atomic_store(&p->expire_at, now.mono + EXPIRE_EVERY_MS);
    persistent_secret_ask(p);
    atomic_store(&m->ready, 1);
    return RC_OK;
}

static void persistent_stats(struct manager *m, struct manager_stats *out)
{
    struct persistent *p = persistent_of(m);
    struct store_stats s;

    /* acknowledged during an outage, or not yet answered by the store */
    out->unsaved = atomic_load(&p->unsaved) + atomic_load(&p->flights);
    out->unreadable = atomic_load(&p->unreadable);
    int64_t since = atomic_load(&p->outage_since);
    if (out->unsaved && since)
        out->oldest_unsaved_ms = (uint64_t)(instant_read().mono - since);
    if (p->lazy)
        persistent_idle_stats(p, out);
    if (!m->store)
        return;
    store_stats(m->store, &s);
    out->has_store = true;
    out->store_available = s.available;
    out->conflicts = s.put_conflict;
    uint64_t ops[8] = {s.get_ok + s.get_unchanged,
                       s.get_absent,
                       s.get_failed,
                       s.put_ok,
                       s.put_conflict,
                       s.put_absent,
                       s.put_failed,
                       s.put_uncertain};
    memcpy(out->store_ops, ops, sizeof ops);
}

static void persistent_describe(const struct manager *m, char *out, size_t size)
{
    char where[256] = "";

    if (m->store)
        store_describe(m->store, where, sizeof where);
    snprintf(out, size, "PersistentManager: %s", where);
}

const struct manager_ops manager_persistent = {
    .name = "PersistentManager",
    .summary = "sessions in a store, written through (any server serves any "
               "user) unless an idle mode is set",
    .size = sizeof(struct persistent),
    .options_size = sizeof(struct persistent_options),
    .options = persistent_options,
    .flags = MANAGER_NEEDS_STORE,
    .entry_extra = sizeof(struct copy),
    .find = persistent_find,
    .write = persistent_write,
    .open = persistent_open,
    .close = persistent_close,
    .start = persistent_start,
    .stop = persistent_stop,
    .due = persistent_due,
    .tick = persistent_tick,
    .stats = persistent_stats,
    .cost = persistent_cost,
    .advise = persistent_advise,
    .examine = persistent_examine,
    .describe = persistent_describe,
};
