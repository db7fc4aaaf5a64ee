/* SPDX-License-Identifier: Apache-2.0
 *
 * DeltaManager: every member of the cluster has a copy of every session.
 *
 * Promises With replication="all" (the default) an acknowledged change has been
 *          applied by every member of the present view, so the next request
 *          finds it wherever it goes; it survives as long as one of them. With
 *          "one" at least one other member has it, with "none" nobody was
 *          waited for; an id that is not known here is then asked for at the
 *          member that its cookie names. A member answers from its copies only
 *          while it can know that nothing was acknowledged without it
 *          (channel_may_answer); else it says so (503).
 * Source   org/apache/catalina/ha/session/DeltaManager.java. Unlike it: a
 *          change waits for the other copies, what is sent are changes that
 *          merge, and listeners do not hear of what other members did unless
 *          notifySessionListenersOnReplication says so. */
#include "config.h"

#include "managers/cluster/replica.h"
#include "session/buf.h"
#include "session/manager_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An end that is another member's part is looked at again. */
#define NOT_MINE_MS 1000
/* How long a session that is over waits for the member that is to end it. */
#define OVERDUE_MS 10000

struct delta_options {
    int replication; /* enum copies */
    int64_t min_copies;
    bool expire_on_shutdown, notify_sessions;
};

struct delta {
    struct manager base;
    struct channel *channel;
    struct replica *replica; /* from the start on */
    enum copies copies;
    unsigned min_copies;
};

#define AT(member) offsetof(struct delta_options, member)
/* clang-format off */
#define IGNORED(name, help) {name, OPTION_IGNORED, 0, NULL, help, 0, 0, NULL}
/* clang-format on */

static const struct option delta_options[] = {
    {"replication", OPTION_CHOICE, AT(replication), "all",
     "how many other members have applied a change before its response leaves",
     0, 0, "none|one|all"},
    {"minCopies", OPTION_INT, AT(min_copies), "0",
     "with fewer other members that hold all copies a change is refused (503)",
     0, FRAME_MEMBERS_MAX, NULL},
    {"expireSessionsOnShutdown", OPTION_BOOL, AT(expire_on_shutdown), "false",
     "an orderly stop of this member ends all sessions, everywhere", 0, 0,
     NULL},
    {"notifySessionListenersOnReplication", OPTION_BOOL, AT(notify_sessions),
     "false", "session listeners hear here what other members did, too", 0, 0,
     NULL},
    IGNORED("enableStatistics", "figures are always kept (/metrics)"),
    IGNORED("name", "the path of the application names it"),
    IGNORED("notifyContainerListenersOnReplication",
            "makes sense in Java only"),
    IGNORED("notifyListenersOnReplication",
            "listeners of attributes hear what requests here changed"),
    IGNORED("recordAllActions", "what a request leads to is sent, once"),
    IGNORED("sendAllSessions", "copies are handed over piece by piece"),
    IGNORED("sendAllSessionsSize", "copies are handed over piece by piece"),
    IGNORED("sendAllSessionsWaitTime",
            "who takes the copies asks for each piece"),
    IGNORED("stateTimestampDrop", "what comes meanwhile is merged"),
    IGNORED("stateTransferTimeout",
            "a member serves when its copies are complete"),
    {NULL, 0, 0, NULL, NULL, 0, 0, NULL},
};

static struct delta *delta_of(struct manager *m)
{
    return (struct delta *)m;
}

/* ---- find ---- */

/* A find that another member is asked for. */
struct question {
    struct channel_ask ask; /* first */
    struct delta *d;
    struct find_op *op;
};

/* *known: there is something of that id. */
static enum rc find_here(struct delta *d, struct find_op *op, bool *known)
{
    struct table_stripe *stripe = table_lock(d->base.table, op->id);
    struct entry *e = table_find(stripe, op->id);
    enum rc rc = RC_ABSENT;
    bool touch = false;
    int64_t access = 0;

    op->reason = REASON_UNKNOWN;
    *known = e != NULL;
    if (e)
        rc = manager_find_entry(&d->base, stripe, e, e->record, op);
    if (rc == RC_OK && !op->peek) {
        touch = replica_note_access(d->replica, e);
        access = e->access;
    }
    table_unlock(stripe);
    if (touch)
        replica_send_touch(d->replica, op->id, access);
    return rc;
}

static void find_asked(struct channel_ask *ask)
{
    struct question *q = (struct question *)ask;
    struct manager *m = &q->d->base;
    struct find_op *op = q->op;
    bool known;

    if (ask->rc == RC_OK || ask->rc == RC_ABSENT)
        op->rc = find_here(q->d, op, &known);
    else
        op->rc = err_set(&op->err, RC_UNAVAILABLE,
                         "the member that the cookie names does not say");
    free(q);
    manager_found(m, op);
}

static enum rc find_ask(struct delta *d, struct find_op *op)
{
    struct question *q = mem_zero(sizeof *q);

    q->ask.done = find_asked;
    q->ask.app = replica_app(d->replica);
    memcpy(q->ask.id, op->id, ID_SIZE);
    q->d = d;
    q->op = op;
    channel_ask(d->channel, &q->ask, op->route, op->route_len);
    return RC_PENDING;
}

/* Where nobody waited for us, the cookie may be here before the session. */
static bool may_be_elsewhere(const struct delta *d, const struct find_op *op)
{
    return d->copies != COPIES_ALL && op->route_len > 0 &&
           (strlen(d->base.env.node) != op->route_len ||
            memcmp(d->base.env.node, op->route, op->route_len) != 0);
}

static enum rc delta_find(struct manager *m, struct find_op *op)
{
    struct delta *d = delta_of(m);
    bool known;

    if (!channel_may_answer(d->channel, op->now))
        return err_set(&op->err, RC_UNAVAILABLE,
                       "this member's copies are not complete");
    enum rc rc = find_here(d, op, &known);
    if (!known && may_be_elsewhere(d, op))
        return find_ask(d, op);
    if (rc == RC_ABSENT && op->reason == REASON_IDLE &&
        !channel_knows_uses(d->channel, op->now))
        return err_set(&op->err, RC_UNAVAILABLE,
                       "this member was away, and has not heard yet whether "
                       "the session was used elsewhere");
    return rc;
}

/* ---- write ---- */

/* A write that other members are waited for. */
struct flight {
    struct channel_wait wait; /* first */
    struct delta *d;
    struct manager_write *w;
};

/* The id has a successor: did the end go along (replica_apply)? */
static bool went_along(struct delta *d, const struct manager_write *w)
{
    struct record_end end = w->ended;
    bool same = false;

    for (int hops = 0; !same && hops < 8 && end.reason == REASON_RENAMED;
         hops++) {
        struct record *moved = record_rekey(w->delta, end.new_id);
        struct table_stripe *stripe = table_lock(d->base.table, end.new_id);
        struct entry *e = table_find(stripe, end.new_id);
        same = e && record_equal(e->record, moved);
        if (!e || !record_ended(e->record, &end))
            end.reason = REASON_NONE;
        table_unlock(stripe);
        record_unref(&moved);
    }
    return same;
}

static enum rc settle(struct delta *d, struct manager_write *w)
{
    struct table_stripe *stripe = table_lock(d->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    enum rc rc = e ? replica_settle(w, e) : RC_OK;

    table_unlock(stripe);
    return rc == RC_ENDED && went_along(d, w) ? RC_OK : rc;
}

static void write_arrived(struct channel_wait *wait, enum rc rc)
{
    struct flight *f = (struct flight *)wait;
    struct manager_write *w = f->w;

    if (rc != RC_OK)
        w->rc = err_set(&w->err, RC_UNCERTAIN,
                        "not every copy is known to have it");
    else
        w->rc = replica_must_settle(w) ? settle(f->d, w) : RC_OK;
    free(f);
    w->done(w);
}

static enum rc write_send(struct delta *d, struct manager_write *w,
                          const struct channel_update *u)
{
    /* an end in the background costs nobody time */
    enum copies copies = w->kind == WRITE_IDLE_END ? COPIES_ALL : d->copies;

    if (copies == COPIES_NONE && !channel_is_crowded(d->channel)) {
        channel_send(d->channel, u, NULL, COPIES_NONE);
        return RC_OK;
    }
    struct flight *f = mem_zero(sizeof *f);
    f->wait.done = write_arrived;
    f->wait.min_copies = w->kind == WRITE_IDLE_END ? 0 : d->min_copies;
    f->d = d;
    f->w = w;
    channel_send(d->channel, u, &f->wait, copies);
    return RC_PENDING;
}

static enum rc write_here(struct delta *d, struct table_stripe *stripe,
                          struct manager_write *w, struct entry **e)
{
    *e = table_find(stripe, w->id);
    if (w->kind == WRITE_CREATE && *e)
        return RC_CONFLICT;
    if (w->kind != WRITE_CREATE && !*e)
        return RC_ABSENT;
    return manager_apply(&d->base, stripe, *e, w, e);
}

static struct channel_update update_of(struct delta *d, struct entry *e,
                                       const uint8_t id[ID_SIZE])
{
    struct channel_update u = {.kind = UPDATE_TOUCH,
                               .app = replica_app(d->replica),
                               .access = e->access};

    memcpy(u.id, id, ID_SIZE);
    return u;
}

/* What the others are to hear of the write that was applied to the entry; its
 * stripe is locked. False: nothing. */
static bool write_says(struct delta *d, struct entry *e,
                       const struct manager_write *w, struct channel_update *u)
{
    struct record *said = w->kind == WRITE_CREATE ? w->record : w->delta;
    bool touch = false;

    if (w->kind != WRITE_IDLE_END)
        touch = replica_note_access(d->replica, e);
    replica_recount(d->replica, e, w->now);
    *u = update_of(d, e, w->id);
    if (!said)
        return touch;
    u->kind = UPDATE_RECORD;
    u->record = record_ref(said);
    replica_entry(e)->told = e->access;
    return true;
}

static void all_know(struct channel_wait *wait, enum rc rc)
{
    struct flight *f = (struct flight *)wait;
    struct manager_write *w = f->w;

    w->rc = rc == RC_OK ? RC_ENDED
                        : err_set(&w->err, RC_UNAVAILABLE,
                                  "not every copy is known to have ended");
    free(f);
    w->done(w);
}

/* Another request has just ended it here, and that may be on its way: who is
 * told that it is over must not find it at the next member. */
static enum rc tell_ended(struct delta *d, struct manager_write *w,
                          const struct channel_update *u)
{
    struct flight *f = mem_zero(sizeof *f);

    f->wait.done = all_know;
    f->w = w;
    channel_send(d->channel, u, &f->wait, COPIES_ALL);
    return RC_PENDING;
}

static enum rc delta_write(struct manager *m, struct manager_write *w)
{
    struct delta *d = delta_of(m);
    struct channel_update u;
    struct entry *e;

    if (w->kind != WRITE_IDLE_END &&
        atomic_load(&d->channel->complete) < d->min_copies)
        return err_set(&w->err, RC_UNAVAILABLE,
                       "fewer than minCopies=\"%u\" other members hold copies",
                       d->min_copies);
    struct table_stripe *stripe = table_lock(m->table, w->id);
    enum rc rc = write_here(d, stripe, w, &e);
    bool says = rc == RC_OK && write_says(d, e, w, &u);
    bool over = rc == RC_ENDED && w->kind == WRITE_END &&
                d->copies == COPIES_ALL && record_ended(e->record, NULL);
    if (over) {
        u = update_of(d, e, w->id);
        u.kind = UPDATE_RECORD;
        u.record = record_ref(e->record);
        u.owner = replica_entry(e)->owner; /* not our news */
    }
    table_unlock(stripe);
    if (over)
        return tell_ended(d, w, &u);
    if (!says)
        return rc;
    if (u.kind == UPDATE_RECORD)
        return write_send(d, w, &u);
    channel_send(d->channel, &u, NULL, COPIES_NONE);
    return RC_OK;
}

/* ---- what is due ---- */

/* Whose part it was has not done it: perhaps that one has forgotten it. */
static bool is_overdue(const struct manager *m, const struct entry *e,
                       struct instant now)
{
    struct record_life life;
    enum reason reason;

    record_life(e->record, &life);
    return now.mono - OVERDUE_MS >=
           manager_due(m, &life, e->access, now, &reason);
}

static void delta_due(struct manager *m, const uint8_t id[ID_SIZE],
                      enum reason reason, struct instant now)
{
    struct delta *d = delta_of(m);
    struct table_stripe *stripe = table_lock(m->table, id);
    struct entry *e = table_find(stripe, id);
    uint64_t owner = e ? replica_entry(e)->owner : 0;
    bool overdue = e && is_overdue(m, e, now);

    if (e)
        table_arm(stripe, e, now.mono + NOT_MINE_MS);
    table_unlock(stripe);
    if (e && channel_may_answer(d->channel, now) &&
        channel_knows_uses(d->channel, now) &&
        (overdue || channel_is_mine(d->channel, id, owner)))
        manager_end_due(m, id, reason, now);
}

static bool delta_forget(struct manager *m, struct table_stripe *stripe,
                         struct entry *e, struct instant now)
{
    struct delta *d = delta_of(m);

    (void)stripe;
    if (!replica_may_forget(d->replica, e, now))
        return false;
    replica_uncount(d->replica, e);
    return true;
}

static void delta_tick(struct manager *m, struct instant now)
{
    replica_tick(delta_of(m)->replica, now);
}

/* ---- life ---- */

static enum rc delta_open(struct manager *m, struct err *err)
{
    struct delta *d = delta_of(m);
    const struct delta_options *o = m->options;

    (void)err;
    d->channel = m->env.channel;
    d->copies = o ? (enum copies)o->replication : COPIES_ALL;
    d->min_copies = o ? (unsigned)o->min_copies : 0;
    m->secret_shared = true;
    return RC_OK;
}

static void delta_close(struct manager *m)
{
    replica_free(&delta_of(m)->replica);
}

static enum rc delta_start(struct manager *m, struct instant now,
                           struct err *err)
{
    struct delta *d = delta_of(m);
    const struct delta_options *o = m->options;

    (void)now;
    (void)err;
    assert(d->channel->secret);
    d->replica = replica_new(m, d->channel);
    if (o && o->notify_sessions && manager_may_hear(m))
        replica_listen(d->replica, replica_hear, d->replica);
    atomic_store(&m->secret_known, d->channel->secret);
    m->commit_ms = d->channel->drop_ms + 500;
    channel_join(d->channel, d->replica);
    atomic_store(&m->ready, 1);
    return RC_OK;
}

struct live_ids {
    uint8_t (*ids)[ID_SIZE];
    size_t count, cap;
};

static bool add_live(void *user, struct entry *e)
{
    struct live_ids *live = user;

    if (record_kind(e->record) != RECORD_SESSION || e->idle ||
        record_ended(e->record, NULL))
        return true;
    if (live->count == live->cap) {
        live->cap = live->cap ? 2 * live->cap : 1024;
        live->ids = mem_resize(live->ids, live->cap * sizeof *live->ids);
    }
    memcpy(live->ids[live->count++], record_id(e->record), ID_SIZE);
    return true;
}

static void end_all(struct manager *m, struct instant now)
{
    struct live_ids live = {0};

    table_each(m->table, add_live, &live);
    for (size_t i = 0; i < live.count; i++)
        manager_end_due(m, live.ids[i], REASON_ADMIN, now);
    log_line(m->env.log, LOG_INFO, "manager",
             "%zu sessions of %s end on all members "
             "(expireSessionsOnShutdown)",
             live.count, m->env.app);
    free(live.ids);
}

static void delta_stop(struct manager *m, struct instant now, int within_ms)
{
    struct delta *d = delta_of(m);
    const struct delta_options *o = m->options;

    (void)within_ms; /* the cluster's stop waits for what was sent */
    if (!d->replica)
        return;
    if (o && o->expire_on_shutdown && !m->face)
        end_all(m, now);
    channel_leave(d->channel, d->replica);
}

static bool delta_ready(const struct manager *m, struct instant now)
{
    return channel_may_answer(((const struct delta *)m)->channel, now);
}

static void delta_stats(struct manager *m, struct manager_stats *out)
{
    struct delta *d = delta_of(m);
    struct replica_figures f;

    if (!d->replica)
        return;
    replica_figures(d->replica, &f);
    out->conflicts = f.conflicts;
    out->strays = f.strays;
}

static void delta_describe(const struct manager *m, char *out, size_t size)
{
    const struct delta *d = (const struct delta *)m;

    snprintf(out, size,
             "DeltaManager: a copy at every member of the cluster; a change "
             "waits %s",
             copies_words(d->copies));
}

const struct manager_ops manager_delta = {
    .name = "DeltaManager",
    .summary = "every member of the cluster has every session; any server "
               "serves any user",
    .size = sizeof(struct delta),
    .options_size = sizeof(struct delta_options),
    .options = delta_options,
    .flags = MANAGER_AGES | MANAGER_NEEDS_CLUSTER,
    .entry_extra = sizeof(struct replica_entry),
    .find = delta_find,
    .write = delta_write,
    .open = delta_open,
    .close = delta_close,
    .start = delta_start,
    .stop = delta_stop,
    .due = delta_due,
    .forget = delta_forget,
    .ready = delta_ready,
    .tick = delta_tick,
    .stats = delta_stats,
    .describe = delta_describe,
};
