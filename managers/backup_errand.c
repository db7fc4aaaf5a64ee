/* SPDX-License-Identifier: Apache-2.0
 *
 * Errands: their life, whom they ask, what comes back; find. */
#include "config.h"

#include "managers/backup_errand.h"

#include <stdlib.h>
#include <string.h>

/* Of an instance of which each request may wait for another member, there are
 * ten times as many as may wait. */
#define ERRANDS_MAX 10000
#define INQUIRE_AGAIN_MS 500

/* ---- the end ---- */

void errand_free(struct errand *r)
{
    atomic_fetch_sub(&r->b->errands, 1);
    free(r);
}

void errand_end(struct errand *r, enum rc rc)
{
    struct backup *b = r->b;
    struct find_op *op = r->op;
    struct manager_write *w = r->w;

    if (r->applied)
        errand_unpin(r);
    errand_free(r);
    if (op) {
        op->rc = rc;
        manager_found(&b->base, op);
    } else {
        w->rc = rc;
        w->done(w);
    }
}

void errand_fail(struct errand *r)
{
    static const char why[] = "the members that hold this session cannot be "
                              "reached";

    if (r->applied)
        atomic_compare_exchange_strong(&r->b->uncertain, &r->uncertain,
                                       r->uncertain + 1);
    if (r->op)
        errand_end(r, err_set(&r->op->err, RC_UNAVAILABLE, why));
    else
        errand_end(r,
                   err_set(&r->w->err,
                           r->sent || (r->applied && !r->made) ? RC_UNCERTAIN
                                                               : RC_UNAVAILABLE,
                           why));
}

/* ---- waiting for a better time ---- */

static void errand_paused(struct channel_pause *pause)
{
    struct errand *r =
        (struct errand *)((char *)pause - offsetof(struct errand, pause));

    if (pause->stopped)
        errand_fail(r);
    else
        errand_go_on(r, pause->now);
}

void errand_pause(struct errand *r, struct instant now)
{
    if (now.mono >= r->deadline) {
        errand_fail(r);
        return;
    }
    r->pause.done = errand_paused;
    channel_pause(r->b->channel, &r->pause);
}

/* ---- nothing is there ---- */

static void errand_tell_absent(struct errand *r, enum reason reason)
{
    if (r->op) {
        r->op->reason = reason;
        errand_end(r, RC_ABSENT);
    } else if (reason == REASON_UNKNOWN || reason == REASON_RENAMED) {
        bool stands = r->w->kind == WRITE_CHANGE && errand_may_stand(r);
        errand_end(r, stands ? err_set(&r->w->err, RC_UNCERTAIN,
                                       "the id that it has now is not known")
                             : RC_ABSENT);
    } else {
        r->w->ended = (struct record_end){.reason = reason};
        errand_end(r, RC_ENDED);
    }
}

static void errand_inquired(void *user, bool sure, struct instant now)
{
    if (sure)
        errand_tell_absent(user, REASON_LOST);
    else
        errand_pause(user, now);
}

/* Who cannot say so now is asked again, but not all the time. */
static void errand_inquire(struct errand *r, struct instant now)
{
    int64_t at = r->inquire_at;

    r->inquire_at = now.mono + INQUIRE_AGAIN_MS;
    if (now.mono >= at &&
        lost_ask(r->b, errand_id(r), r->deadline, errand_inquired, r, now))
        return;
    r->inquire_at = at;
    errand_pause(r, now);
}

void errand_absent(struct errand *r, enum reason reason, struct instant now)
{
    if (reason == REASON_LOST)
        reason = reason_here(r->b, errand_id(r), now);
    if (reason == REASON_LOST && !lost_is_sure(r->b, errand_id(r)))
        errand_inquire(r, now);
    else
        errand_tell_absent(r, reason);
}

/* ---- what came back ---- */

struct entry *keep_fetched(struct backup *b, struct table_stripe *stripe,
                           struct record *record, int64_t access,
                           struct instant now)
{
    const uint8_t *id = record_id(record);
    struct entry *e = table_find(stripe, id);

    if (e && e->flags & ENTRY_DROPPED) {
        entry_drop(b, stripe, e);
        e = NULL;
    }
    if (!e) {
        e = table_insert(stripe, record_ref(record), access);
        e->flags |= ENTRY_CACHED;
        manager_arm(&b->base, stripe, e, now);
        row_add(b, &b->cached, id, now.mono + CACHED_MS);
    } else if (record_kind(e->record) == record_kind(record)) {
        table_replace(stripe, e,
                      is_copy(e) || backup_entry(e)->errands
                          ? record_merge(e->record, record)
                          : record_ref(record));
    }
    if (e->flags & ENTRY_CACHED)
        replica_entry(e)->told = now.mono;
    else
        replica_recount(b->replica, e, now);
    if (e->access < access)
        e->access = access;
    return e;
}

bool learn_place(struct backup *b, const uint8_t id[ID_SIZE],
                 const struct place *place, struct instant now)
{
    struct place p = *place;

    struct table_stripe *stripe = table_lock(b->base.table, id);
    bool changed = place_change(b, table_find(stripe, id), id, &p, now);
    table_unlock(stripe);
    if (changed)
        placed_here(b, id, &p, now);
    return changed;
}

/* Who answered has heard of a later use than the idle end that came here: a
 * copy that no list names any more hears of none. Stripe locked. */
static void live_again(struct backup *b, struct table_stripe *stripe,
                       struct entry *e, struct instant now)
{
    if (!e->idle)
        return;
    table_set_idle(stripe, e, false);
    manager_arm(&b->base, stripe, e, now);
    replica_recount(b->replica, e, now);
}

static void find_came(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    struct find_op *op = r->op;
    struct record *record = r->call.record;
    enum rc rc = RC_ABSENT;

    op->reason = REASON_UNKNOWN;
    struct table_stripe *stripe = table_lock(b->base.table, op->id);
    struct entry *e = record
                          ? keep_fetched(b, stripe, record, r->call.access, now)
                          : table_find(stripe, op->id);
    if (e) {
        live_again(b, stripe, e, now);
        rc = manager_find_entry(&b->base, stripe, e, e->record, op);
        if (rc != RC_OK && !record) { /* it was used elsewhere meanwhile */
            e->access = now.mono;
            rc = manager_find_entry(&b->base, stripe, e, e->record, op);
        }
        if (e->flags & ENTRY_CACHED)
            replica_entry(e)->told = now.mono;
    }
    table_unlock(stripe);
    record_unref(&r->call.record);
    if (!e) { /* "the same as yours", and ours is gone: once more */
        errand_go_on(r, now);
        return;
    }
    errand_end(r, rc);
}

static void absent_came(struct errand *r, bool placed, struct instant now)
{
    struct record_end end = {.reason = REASON_UNKNOWN};

    if (r->call.record && record_ended(r->call.record, &end) && r->w) {
        /* a write learns how, and under which new id */
        errand_ended_came(r, now);
        return;
    }
    if (r->call.record && r->w) { /* it idled out while its request ran */
        errand_write_came(r, now);
        return;
    }
    if (r->call.placed && r->call.place.kind != PLACE_LIST)
        end.reason = r->call.place.reason;
    record_unref(&r->call.record);
    if (end.reason == REASON_LOST &&
        is_found(r->b, errand_id(r), &r->call.place, now)) {
        errand_pause(r, now);
        return;
    }
    if (placed || end.reason != REASON_UNKNOWN) {
        errand_absent(r, end.reason, now);
        return;
    }
    errand_go_on(r, now); /* perhaps another one knows it */
}

/* What another list's primary had says nothing of what was acknowledged since,
 * by this member's requests among others. */
static bool is_outdated(const struct errand *r, uint64_t listed)
{
    struct place p;

    return r->call.kind != CALL_COMMIT &&
           (listed != r->listed ||
            (place_of(r->b, errand_id(r), &p) && p.kind == PLACE_LIST &&
             acting_primary(r->b, &p) != r->call.to));
}

static void errand_answered(struct channel_call *call)
{
    struct errand *r = (struct errand *)call;
    struct instant now = call->now;
    struct place p = {.stamp = 0};
    bool had = place_of(r->b, errand_id(r), &p) &&
               (p.kind != PLACE_LIST || acting_primary(r->b, &p) == call->to);
    bool makes = is_making(r);
    bool learnt =
        call->placed && learn_place(r->b, errand_id(r), &call->place, now);

    if (makes && (call->answer == CALL_ABSENT || call->answer == CALL_LACKS))
        call->answer = CALL_UNAVAILABLE; /* it is another one's part by now */
    switch (call->answer) {
    case CALL_OK:
    case CALL_SAME:
        if (is_outdated(r, p.stamp)) {
            record_unref(&call->record);
            errand_go_on(r, now);
        } else if (r->op)
            find_came(r, now);
        else if (call->kind == CALL_COMMIT)
            errand_commit_came(r);
        else
            errand_write_came(r, now);
        return;
    case CALL_ENDED:
        errand_ended_came(r, now);
        return;
    case CALL_ABSENT:
        absent_came(r, had, now);
        return;
    case CALL_ELSEWHERE:
        record_unref(&call->record);
        if (learnt)
            errand_go_on(r, now);
        else
            errand_pause(r, now);
        return;
    case CALL_LACKS: /* the next one may know; a holder's word is on its way */
        record_unref(&call->record);
        if (had)
            errand_pause(r, now);
        else
            errand_go_on(r, now);
        return;
    default:
        record_unref(&call->record);
        r->unsure = true;
        r->maybe |= call->kind == CALL_COMMIT;
        if (had || learnt || makes)
            errand_pause(r, now);
        else
            errand_go_on(r, now);
    }
}

void errand_call(struct errand *r, uint64_t to, enum call_kind kind,
                 uint64_t have, struct record *delta)
{
    r->call = (struct channel_call){
        .done = errand_answered,
        .to = to,
        .app = replica_app(r->b->replica),
        .kind = kind,
        .have = have,
        .delta = delta,
        .deadline = r->deadline,
    };
    memcpy(r->call.id, errand_id(r), ID_SIZE);
    r->sent |= kind == CALL_COMMIT;
    channel_call(r->b->channel, &r->call);
}

/* ---- an id that has no place here ---- */

/* Who the cookie says is the primary, then whom that one may have chosen. */
static bool next_to_ask(struct errand *r, uint64_t *node)
{
    const struct channel *c = r->b->channel;
    bool first = r->asked_count == 0 && r->op && r->op->route_len;

    *node = first ? channel_named(c, r->op->route, r->op->route_len) : 0;
    if (r->asked_count > r->b->backups + 1 ||
        (!*node &&
         !channel_choose_asked(c, replica_members(r->b->replica), errand_id(r),
                               r->asked, r->asked_count, node, 1)))
        return false;
    r->asked[r->asked_count++] = *node;
    return true;
}

/* The change came, and where it stands did not: that was lost on its way. The
 * tick gives it a list when nobody knows. */
static bool lives_here(const struct errand *r)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, errand_id(r));
    const struct entry *e = table_find(stripe, errand_id(r));
    bool lives = is_copy(e) && !e->idle && !record_ended(e->record, NULL);

    table_unlock(stripe);
    return lives;
}

static void ask_around(struct errand *r, struct instant now)
{
    uint64_t node;

    if (next_to_ask(r, &node)) {
        bool peek = !r->op || r->op->peek;
        errand_call(r, node, peek ? CALL_PEEK : CALL_FIND, 0, NULL);
    } else if (r->unsure || lives_here(r)) {
        r->unsure = false;
        r->asked_count = 0;
        errand_pause(r, now);
    } else {
        errand_absent(r, REASON_UNKNOWN, now);
    }
}

void errand_ask_others(struct errand *r, struct instant now)
{
    r->unsure = true;
    ask_around(r, now);
}

/* ---- find ---- */

static void find_go_on(struct errand *r, const struct place *p,
                       struct instant now)
{
    struct backup *b = r->b;
    struct find_op *op = r->op;
    uint64_t primary = acting_primary(b, p), have = 0;

    if (primary == self(b)) {
        enum rc rc = find_here(b, op);
        if (rc == RC_UNAVAILABLE)
            errand_pause(r, now);
        else
            errand_end(r, rc);
        return;
    }
    if (!primary) {
        errand_ask_others(r, now);
        return;
    }
    struct table_stripe *stripe = table_lock(b->base.table, op->id);
    struct entry *e = table_find(stripe, op->id);
    if (e && !(e->flags & ENTRY_DROPPED) && !record_ended(e->record, NULL))
        have = replica_hash(e->record->bytes, e->record->len);
    table_unlock(stripe);
    errand_call(r, primary, op->peek ? CALL_PEEK : CALL_FIND, have, NULL);
}

/* ---- both ---- */

void errand_go_on(struct errand *r, struct instant now)
{
    struct place p;

    if (now.mono >= r->deadline) {
        errand_fail(r);
        return;
    }
    if (is_making(r)) {
        errand_create_go_on(r, now);
        return;
    }
    bool placed = place_of(r->b, errand_id(r), &p);
    r->listed = placed ? p.stamp : 0;
    if (!placed) {
        ask_around(r, now);
        return;
    }
    if (p.kind != PLACE_LIST && is_found(r->b, errand_id(r), &p, now))
        errand_pause(r, now);
    else if (r->op && p.kind != PLACE_LIST)
        errand_absent(r, p.reason, now);
    else if (r->op)
        find_go_on(r, &p, now);
    else
        /* ended: a holder says what came of it */
        errand_write_go_on(r, &p, now);
}

struct errand *errand_new(struct backup *b, struct instant now, struct err *err)
{
    struct errand *r;

    if (atomic_fetch_add(&b->errands, 1) >= ERRANDS_MAX) {
        atomic_fetch_sub(&b->errands, 1);
        err_set(err, RC_UNAVAILABLE,
                "%d requests wait for other members, which is too many",
                ERRANDS_MAX);
        return NULL;
    }
    r = mem_zero(sizeof *r);
    r->b = b;
    r->deadline = now.mono + errand_ms(b);
    return r;
}

enum rc errand_find(struct backup *b, struct find_op *op)
{
    struct errand *r = errand_new(b, op->now, &op->err);

    if (!r)
        return RC_UNAVAILABLE;
    r->op = op;
    errand_go_on(r, op->now);
    return RC_PENDING;
}
