/* SPDX-License-Identifier: Apache-2.0
 *
 * BackupManager: a primary and `backups` other members hold a session, every
 * other member knows who they are.
 *
 * Promises With replication="all" (the default) an acknowledged change has been
 *          applied by every holder, so it survives as long as one of them; the
 *          next request finds it wherever it goes, since who holds nothing asks
 *          the primary. With "one" one backup has it, with "none" nobody was
 *          waited for. A holder that is given up is replaced at the next change
 *          or, at the latest, by the sweep in the background.
 * Source   org/apache/catalina/ha/session/BackupManager.java and
 *          org/apache/catalina/tribes/tipis/LazyReplicatedMap.java. Unlike it:
 * a request at another member neither moves the session nor copies it; a holder
 * that cannot be reached is a 503, never a new session; there can be more than
 * one backup.
 *
 * docs/backup.md explains it with pictures. */
#include "config.h"

#include "managers/backup_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An end that is another member's part is looked at again. */
#define NOT_MINE_MS 1000
#define LEFT_OUT_MS 60000 /* between two lines of the log */

#define AT(member) offsetof(struct backup_options, member)
#define IGNORED(name, help)                                                    \
    {                                                                          \
        name, OPTION_IGNORED, 0, NULL, help, 0, 0, NULL                        \
    }

static const struct option backup_options[] = {
    {"replication", OPTION_CHOICE, AT(replication), "all",
     "how many backups have applied a change before its response leaves", 0, 0,
     "none|one|all"},
    {"backups", OPTION_INT, AT(backups), "1",
     "how many members hold a session besides its primary", 1,
     PLACE_HOLDERS - 1, NULL},
    {"mapSendOptions", OPTION_STRING, AT(map_send_options), NULL,
     "Tomcat's way to say it: 8 or 1 is none, 2, 4 or 6 all; replication wins",
     0, 0, NULL},
    {"minCopies", OPTION_INT, AT(min_copies), "0",
     "where fewer backups can be had a change is refused (503)", 0,
     PLACE_HOLDERS - 1, NULL},
    {"expireSessionsOnShutdown", OPTION_BOOL, AT(expire_on_shutdown), "false",
     "an orderly stop of this member ends all sessions of which it is the "
     "primary, everywhere",
     0, 0, NULL},
    {"notifySessionListenersOnReplication", OPTION_BOOL, AT(notify_sessions),
     "false", "session listeners hear at a backup what its primary did, too", 0,
     0, NULL},
    IGNORED("accessTimeout", "who is there is known from the links; see "
                             "dropTime of <Cluster>"),
    IGNORED("enableStatistics", "figures are always kept (/metrics)"),
    IGNORED("name", "the path of the application names it"),
    IGNORED("notifyContainerListenersOnReplication",
            "makes sense in Java only"),
    IGNORED("notifyListenersOnReplication",
            "listeners of attributes hear what requests here changed"),
    IGNORED("recordAllActions", "what a request leads to is sent, once"),
    IGNORED("rpcTimeout", "a holder is waited for as long as it is a member; "
                          "see dropTime of <Cluster>"),
    IGNORED("terminateOnStartFailure",
            "an instance that cannot open its cluster port never starts"),
    {NULL, 0, 0, NULL, NULL, 0, 0, NULL},
};

/* ---- who holds it ---- */

uint64_t acting_primary(const struct backup *b, const struct place *p)
{
    uint64_t leaver = 0;

    for (unsigned i = 0; i < p->count; i++) {
        if (stays(b, p->holders[i]))
            return p->holders[i];
        if (!leaver && is_here(b, p->holders[i]))
            leaver = p->holders[i];
    }
    return leaver;
}

bool place_of(const struct backup *b, const uint8_t id[ID_SIZE],
              struct place *out)
{
    return places_get(replica_places(b->replica), id, out);
}

/* ---- find ---- */

void tell_access(struct backup *b, const uint8_t id[ID_SIZE],
                 const struct place *p, int64_t access)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = replica_app(b->replica), .access = access};

    for (unsigned i = 0; i < p->count; i++)
        if (p->holders[i] != self(b))
            u.targets[u.target_count++] = p->holders[i];
    memcpy(u.id, id, ID_SIZE);
    if (u.target_count)
        channel_send(b->channel, &u, NULL, COPIES_NONE);
}

/* May the copy here answer, whoever is the primary? With `all` a backup has
 * what was acknowledged; else only the primary is sure to. */
static bool may_read(const struct backup *b, const struct entry *e,
                     const struct place *p)
{
    if (!is_copy(e) || p->kind != PLACE_LIST || !place_has(p, self(b)))
        return false;
    return b->copies == COPIES_ALL || acting_primary(b, p) == self(b);
}

/* *elsewhere: others have to be asked before it is told. */
static enum rc find_ended(const struct backup *b, struct find_op *op,
                          const struct entry *e, const struct place *p,
                          bool *elsewhere)
{
    op->reason =
        p->reason == REASON_LOST ? lost_reason(b, e, op->now) : p->reason;
    *elsewhere = op->reason == REASON_LOST && !lost_is_sure(b, op->id);
    return RC_ABSENT;
}

/* By the last use that is known here it is over, and a later one may be on its
 * way to this member, which was away. */
static bool may_have_been_used(const struct backup *b, const struct find_op *op,
                               enum rc rc)
{
    return rc == RC_ABSENT && op->reason == REASON_IDLE &&
           !channel_knows_uses(b->channel, op->now);
}

/* *elsewhere: another member has to be asked, or this one a moment later. */
static enum rc find_copy(struct backup *b, struct find_op *op, bool *elsewhere)
{
    struct table_stripe *stripe = table_lock(b->base.table, op->id);
    struct entry *e = table_find(stripe, op->id);
    struct place p = {0};
    bool placed = place_of(b, op->id, &p), touch = false;
    int64_t access = 0;
    enum rc rc = RC_ABSENT;

    op->reason = REASON_UNKNOWN;
    *elsewhere = false;
    if (e && e->flags & ENTRY_DROPPED) {
        rc = manager_find_entry(&b->base, stripe, e, e->record, op);
    } else if (placed && p.kind != PLACE_LIST &&
               !knows_better(b, e, &p, op->now)) {
        rc = find_ended(b, op, e, &p, elsewhere);
    } else if (placed && may_read(b, e, &p)) {
        rc = manager_find_entry(&b->base, stripe, e, e->record, op);
        *elsewhere = may_have_been_used(b, op, rc);
        backup_entry(e)->streak = 0;
        if (rc == RC_OK && !op->peek)
            touch = replica_note_access(b->replica, e);
        access = e->access;
    } else {
        *elsewhere = true;
    }
    table_unlock(stripe);
    if (touch)
        tell_access(b, op->id, &p, access);
    return rc;
}

enum rc find_here(struct backup *b, struct find_op *op)
{
    bool elsewhere;
    enum rc rc = find_copy(b, op, &elsewhere);

    if (elsewhere)
        rc = err_set(&op->err, RC_UNAVAILABLE,
                     "the copy of this session is not complete here");
    return rc;
}

static enum rc backup_find(struct manager *m, struct find_op *op)
{
    struct backup *b = backup_of(m);
    bool elsewhere;

    if (!channel_may_answer(b->channel, op->now))
        return err_set(&op->err, RC_UNAVAILABLE,
                       "this member's copies are not complete");
    enum rc rc = find_copy(b, op, &elsewhere);
    return elsewhere ? errand_find(b, op) : rc;
}

/* ---- write ---- */

enum rc settle(struct backup *b, struct manager_write *w, struct instant now)
{
    if (!replica_must_settle(w))
        return RC_OK;
    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    struct place p, over;
    bool tell = false;
    enum rc rc = e ? replica_settle(w, e) : RC_OK;

    if (e && w->kind == WRITE_IDLE_END && w->before && place_of(b, w->id, &p) &&
        p.kind == PLACE_LIST) {
        place_end(&over, &p, PLACE_OVER, REASON_IDLE, now);
        tell = place_change(b, e, w->id, &over, now);
    }
    table_unlock(stripe);
    if (tell)
        tell_place(b, w->id, &over);
    return rc;
}

bool was_replaced(struct backup *b, const struct manager_write *w)
{
    struct place p = {0};
    bool was;

    if (w->kind != WRITE_CHANGE)
        return false;
    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    place_of(b, w->id, &p);
    was = is_replaced(e, &p);
    table_unlock(stripe);
    return was;
}

static void write_landed(struct flight *f, enum rc rc)
{
    struct manager_write *w = f->user;

    if (rc == RC_OK && was_replaced(f->b, w)) {
        errand_follow(f->b, w, f->wait.now);
        return;
    }
    if (rc != RC_OK || (w->kind != WRITE_IDLE_END && lacks_copies(f->b, w->id)))
        w->rc = err_set(&w->err, RC_UNCERTAIN,
                        "not every copy is known to have it");
    else
        w->rc = settle(f->b, w, f->wait.now);
    w->done(w);
}

/* What is to be told of the place, besides the change. Stripe locked. */
static bool write_places(struct backup *b, struct entry *e,
                         const struct manager_write *w, struct place *p)
{
    struct place before = *p;
    struct record_end end;

    if (w->kind == WRITE_CREATE) {
        place_list(p, before.stamp ? &before : NULL, w->now);
        p->holders[0] = self(b);
        p->count =
            1 + choose(b, w->id, p->holders, 1, p->holders + 1, b->backups);
        return place_change(b, e, w->id, p, w->now);
    }
    if (w->kind == WRITE_CHANGE)
        return place_again(b, e, p, w->now);
    if (w->kind != WRITE_END || !record_ended(e->record, &end))
        return false;
    place_end(p, &before, PLACE_FINAL, end.reason, w->now);
    return place_change(b, e, w->id, p, w->now);
}

static bool has_few(const struct backup *b, const struct manager_write *w)
{
    uint64_t others[PLACE_HOLDERS];

    return w->kind != WRITE_IDLE_END && b->min_copies &&
           choose(b, w->id, NULL, 0, others, b->min_copies) < b->min_copies;
}

/* Is it this member's to write? */
static enum rc write_gate(const struct backup *b, const struct manager_write *w,
                          const struct entry *e, const struct place *p,
                          bool placed, bool *elsewhere)
{
    if (w->kind == WRITE_CREATE)
        return (placed && p->kind != PLACE_OVER) || is_copy(e) ? RC_CONFLICT
                                                               : RC_OK;
    /* a copy that does not know of its end yet is nobody's to write to */
    *elsewhere = !is_copy(e) || !placed ||
                 (p->kind == PLACE_FINAL && !record_ended(e->record, NULL)) ||
                 (p->kind == PLACE_LIST && acting_primary(b, p) != self(b)) ||
                 knows_better(b, e, p, w->now);
    return *elsewhere ? RC_UNAVAILABLE : RC_OK;
}

enum rc write_here(struct backup *b, struct manager_write *w, bool *elsewhere)
{
    struct place p = {0};
    struct outgoing out;
    bool tell = false, sends = false, touch = false;
    int64_t access = 0;

    *elsewhere = false;
    if (has_few(b, w))
        return err_set(&w->err, RC_UNAVAILABLE,
                       "fewer than minCopies=\"%u\" other members are there",
                       b->min_copies);
    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    bool placed = place_of(b, w->id, &p);
    enum rc rc = write_gate(b, w, e, &p, placed, elsewhere);
    if (rc == RC_OK && w->kind == WRITE_CREATE && e) {
        entry_drop(b, stripe, e);
        e = NULL;
    }
    if (rc == RC_OK)
        rc = manager_apply(&b->base, stripe, e, w, &e);
    if (rc == RC_OK) {
        struct record *said = w->kind == WRITE_CREATE ? w->record : w->delta;
        backup_entry(e)->streak = 0;
        if (w->kind == WRITE_CREATE)
            e->flags |= ENTRY_LISTED;
        if (w->kind != WRITE_IDLE_END)
            touch = replica_note_access(b->replica, e);
        tell = write_places(b, e, w, &p);
        replica_recount(b->replica, e, w->now);
        access = e->access;
        if (said) {
            replica_entry(e)->told = access;
            sends = outgoing_plan(b, e, &p, said, 0, 0, &out);
        }
    }
    table_unlock(stripe);
    if (rc != RC_OK)
        return rc;
    if (tell)
        tell_place(b, w->id, &p);
    if (sends) {
        /* an end in the background costs nobody time */
        bool wait = b->copies != COPIES_NONE || w->kind == WRITE_IDLE_END;
        outgoing_send(b, &out, wait, w->id, write_landed, w);
        if (wait)
            return RC_PENDING;
    } else if (touch && !tell) {
        tell_access(b, w->id, &p, access);
    }
    if (!channel_may_answer(b->channel, w->now))
        return err_set(&w->err, RC_UNCERTAIN,
                       "who else holds it is not known now");
    return settle(b, w, w->now);
}

static enum rc backup_write(struct manager *m, struct manager_write *w)
{
    struct backup *b = backup_of(m);
    bool elsewhere;

    if (w->kind == WRITE_CREATE && record_kind(w->record) == RECORD_USER)
        return errand_write(b, w);
    enum rc rc = write_here(b, w, &elsewhere);

    /* whether it idles, the acting primary knows: it hears of every use */
    if (elsewhere && w->kind == WRITE_IDLE_END)
        return RC_CONFLICT;
    if (elsewhere)
        return errand_write(b, w);
    return rc == RC_ENDED && w->kind != WRITE_IDLE_END ? errand_ended(b, w)
                                                       : rc;
}

/* ---- what is due ---- */

static void backup_due(struct manager *m, const uint8_t id[ID_SIZE],
                       enum reason reason, struct instant now)
{
    struct backup *b = backup_of(m);
    struct place p;
    bool mine = false;

    struct table_stripe *stripe = table_lock(m->table, id);
    struct entry *e = table_find(stripe, id);
    /* where others say that it is over, each copy is ended by itself */
    if (is_copy(e) && place_of(b, id, &p) && p.kind != PLACE_FINAL)
        mine = p.kind == PLACE_OVER || acting_primary(b, &p) == self(b);
    if (e)
        table_arm(stripe, e, now.mono + NOT_MINE_MS);
    table_unlock(stripe);
    if (mine && channel_may_answer(b->channel, now) &&
        channel_knows_uses(b->channel, now))
        manager_end_due(m, id, reason, now);
}

/* A user's record, which nobody ends: its place goes with it. The others are
 * told when no lock is held. */
static void forget_place(struct backup *b, struct entry *e, struct place *p,
                         struct instant now)
{
    struct place over;

    place_end(&over, p, PLACE_OVER, REASON_IDLE, now);
    if (place_change(b, e, record_id(e->record), &over, now))
        row_add(b, &b->soon, record_id(e->record), now.mono);
}

static bool backup_forget(struct manager *m, struct table_stripe *stripe,
                          struct entry *e, struct instant now)
{
    struct backup *b = backup_of(m);
    struct place p;

    (void)stripe;
    if (e->flags & ENTRY_CACHED && backup_entry(e)->errands)
        return false;
    if (is_copy(e) && !replica_may_forget(b->replica, e, now))
        return false;
    bool listed = is_copy(e) && place_of(b, record_id(e->record), &p) &&
                  p.kind == PLACE_LIST && place_has(&p, self(b));
    if (listed && record_ended(e->record, NULL)) { /* nobody has said so yet */
        row_add(b, &b->soon, record_id(e->record), now.mono);
        return false;
    }
    if (listed && acting_primary(b, &p) == self(b))
        forget_place(b, e, &p, now);
    replica_uncount(b->replica, e);
    handover_free(e);
    return true;
}

static void say_left_out(struct backup *b, struct instant now)
{
    uint64_t left_out = atomic_load(&b->left_out);

    if (left_out == b->left_out_said || now.mono < b->say_left_out)
        return;
    log_line(b->base.env.log, LOG_WARN, "manager",
             "%" PRIu64 " changes that members made to sessions of %s under an "
             "id that was replaced meanwhile are not known to be written under "
             "the new one: its holders did not answer in time",
             left_out - b->left_out_said, b->base.env.app);
    b->left_out_said = left_out;
    b->say_left_out = now.mono + LEFT_OUT_MS;
}

static void backup_tick(struct manager *m, struct instant now)
{
    struct backup *b = backup_of(m);

    say_left_out(b, now);
    replica_tick(b->replica, now);
    sweep_tick(b, now);
}

/* ---- life ---- */

static enum rc backup_open(struct manager *m, struct err *err)
{
    struct backup *b = backup_of(m);
    const struct backup_options *o = m->options;

    (void)err;
    pthread_mutex_init(&b->lock, NULL);
    b->channel = m->env.channel;
    b->copies = o ? (enum copies)o->replication : COPIES_ALL;
    b->backups = o ? (unsigned)o->backups : 1;
    b->min_copies = o ? (unsigned)o->min_copies : 0;
    if (b->min_copies > b->backups)
        b->min_copies = b->backups;
    b->leave.looks = LEAVE_LOOKS;
    b->swept_view = UINT64_MAX; /* none: also who is alone counts */
    m->secret_shared = true;
    return RC_OK;
}

static bool free_handover(void *user, struct entry *e)
{
    (void)user;
    handover_free(e);
    return true;
}

static void backup_close(struct manager *m)
{
    struct backup *b = backup_of(m);

    if (m->table)
        table_each(m->table, free_handover, NULL);
    replica_free(&b->replica);
    free(b->cached.items);
    free(b->soon.items);
    free(b->odd.items);
    pthread_mutex_destroy(&b->lock);
}

static enum rc backup_start(struct manager *m, struct instant now,
                            struct err *err)
{
    struct backup *b = backup_of(m);
    const struct backup_options *o = m->options;

    (void)now;
    (void)err;
    assert(b->channel->secret);
    b->replica = replica_new_partial(m, b->channel);
    if (o && o->notify_sessions && manager_may_hear(m))
        replica_listen(b->replica, replica_hear, b->replica);
    replica_serve(b->replica, placed_here, serve_call, b);
    replica_serve_left(b->replica, left_take);
    replica_serve_release(b->replica, handover_free);
    atomic_store(&m->secret_known, b->channel->secret);
    m->commit_ms = errand_ms(b);
    channel_join(b->channel, b->replica);
    atomic_store(&m->ready, 1);
    return RC_OK;
}

static void backup_leave(struct manager *m, struct instant now)
{
    struct backup *b = backup_of(m);
    const struct backup_options *o = m->options;

    if (!b->replica || b->leave.begun)
        return;
    if (o && o->expire_on_shutdown && !m->face)
        sweep_end_all(b, now);
    leave_begin(b, now);
}

static bool backup_left(struct manager *m)
{
    struct backup *b = backup_of(m);

    return !b->leave.begun || atomic_load(&b->left);
}

static void backup_stop(struct manager *m, struct instant now, int within_ms)
{
    struct backup *b = backup_of(m);

    (void)within_ms; /* the cluster's stop waits for what was sent */
    if (!b->replica)
        return;
    backup_leave(m, now);
    leave_end(b, now);
    channel_leave(b->channel, b->replica);
}

static bool backup_ready(const struct manager *m, struct instant now)
{
    return channel_may_answer(((const struct backup *)m)->channel, now);
}

static void backup_stats(struct manager *m, struct manager_stats *out)
{
    struct backup *b = backup_of(m);
    struct replica_figures f;
    struct places_counts c;

    if (!b->replica)
        return;
    replica_figures(b->replica, &f);
    places_counts(replica_places(b->replica), &c);
    out->conflicts = f.conflicts;
    out->strays = f.strays;
    out->active = c.primary;
    out->backups = c.backup;
    out->proxies = c.lists - c.users - c.primary - c.backup;
    out->exposed = exposed_count(b);
    out->ended[REASON_LOST] += f.lost;
    out->moved = atomic_load(&b->moved);
    out->handed_over = atomic_load(&b->handed_over);
    out->left_out = atomic_load(&b->left_out);
    out->place_bytes = c.bytes;
}

static void backup_describe(const struct manager *m, char *out, size_t size)
{
    const struct backup *b = (const struct backup *)m;

    snprintf(out, size,
             "BackupManager: each session at a primary and %u other member%s "
             "of the cluster; a change waits %s",
             b->backups, b->backups == 1 ? "" : "s", copies_words(b->copies));
}

const struct manager_ops manager_backup = {
    .name = "BackupManager",
    .summary = "each session at a primary and a backup, the other members know "
               "where; any server serves any user",
    .size = sizeof(struct backup),
    .options_size = sizeof(struct backup_options),
    .options = backup_options,
    .flags = MANAGER_AGES | MANAGER_NEEDS_CLUSTER,
    .entry_extra = sizeof(struct backup_entry),
    .find = backup_find,
    .write = backup_write,
    .open = backup_open,
    .close = backup_close,
    .start = backup_start,
    .leave = backup_leave,
    .left = backup_left,
    .stop = backup_stop,
    .due = backup_due,
    .forget = backup_forget,
    .ready = backup_ready,
    .tick = backup_tick,
    .stats = backup_stats,
    .describe = backup_describe,
};
