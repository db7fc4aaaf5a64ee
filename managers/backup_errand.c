/* SPDX-License-Identifier: Apache-2.0
 *
 * A request at a member that is not the acting primary. The errand goes to
 * whoever is, and again when that turns out to be another, or dead: what it
 * brings may arrive twice, and counts once. */
#include "config.h"

#include "managers/backup_impl.h"
#include "session/farewell.h"

#include <stdlib.h>
#include <string.h>

/* Of an instance of which each request may wait for another member, there are
 * ten times as many as may wait. */
#define ERRANDS_MAX 10000
#define INQUIRE_AGAIN_MS 500
/* the one that the cookie names, and those that its creator chose */
#define ASKED_MAX (PLACE_HOLDERS + 1)

struct errand {
    struct channel_call call; /* first */
    struct channel_pause pause;
    struct backup *b;
    struct find_op *op; /* one of these */
    struct manager_write *w;
    int64_t deadline, inquire_at;
    uint64_t listed;    /* the stamp of the place by which it asks; 0: none */
    uint64_t uncertain; /* WRITE: when it was applied */
    /* members that were asked for an id that has no place here */
    uint64_t asked[ASKED_MAX];
    unsigned asked_count;
    bool unsure;  /* one of them could not say */
    bool applied; /* WRITE: to the copy here, which must stay */
    bool made;    /* END: but for that: the copy here gets it with the answer */
    bool sent;    /* WRITE: it may have arrived */
    bool maybe;   /* and one to whom it was sent did not say what came of it */
};

static void errand_go_on(struct errand *r, struct instant now);

static const uint8_t *errand_id(const struct errand *r)
{
    return r->op ? r->op->id : r->w->id;
}

static bool is_making(const struct errand *r)
{
    return r->w && r->w->kind == WRITE_CREATE;
}

/* ---- answers ---- */

static void unpin(struct errand *r)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, r->w->id);
    struct entry *e = table_find(stripe, r->w->id);

    if (e && backup_entry(e)->errands)
        backup_entry(e)->errands--;
    table_unlock(stripe);
    r->applied = false;
}

static void errand_free(struct errand *r)
{
    atomic_fetch_sub(&r->b->errands, 1);
    free(r);
}

static void errand_end(struct errand *r, enum rc rc)
{
    struct backup *b = r->b;
    struct find_op *op = r->op;
    struct manager_write *w = r->w;

    if (r->applied)
        unpin(r);
    errand_free(r);
    if (op) {
        op->rc = rc;
        manager_found(&b->base, op);
    } else {
        w->rc = rc;
        w->done(w);
    }
}

static void errand_fail(struct errand *r)
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

static void errand_pause(struct errand *r, struct instant now)
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
        errand_end(r, RC_ABSENT);
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

static void errand_absent(struct errand *r, enum reason reason,
                          struct instant now)
{
    if (reason == REASON_LOST)
        reason = reason_here(r->b, errand_id(r), now);
    if (reason == REASON_LOST && !lost_is_sure(r->b, errand_id(r)))
        errand_inquire(r, now);
    else
        errand_tell_absent(r, reason);
}

/* ---- what came back ---- */

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

/* A write needs a copy to be applied to: it is here now. */
static void write_came(struct errand *r, struct instant now)
{
    struct backup *b = r->b;

    struct table_stripe *stripe = table_lock(b->base.table, r->w->id);
    if (r->call.record)
        keep_fetched(b, stripe, r->call.record, r->call.access, now);
    table_unlock(stripe);
    record_unref(&r->call.record);
    errand_go_on(r, now);
}

/* The end that was made of the copy here stands in it from now on. RC_ENDED:
 * another one does. Stripe locked. */
static enum rc stand(struct errand *r, struct table_stripe *stripe,
                     struct entry *e)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;

    if (!r->made)
        return RC_OK;
    r->made = false;
    if (record_ended(e->record, &w->ended))
        return record_equal(e->record, w->delta) ? RC_OK : RC_ENDED;
    manager_apply(&b->base, stripe, e, w, NULL);
    if (is_copy(e))
        replica_recount(b->replica, e, w->now);
    return RC_OK;
}

static void stand_here(struct errand *r)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, r->w->id);
    struct entry *e = table_find(stripe, r->w->id);

    if (e && !(e->flags & ENTRY_DROPPED))
        stand(r, stripe, e);
    table_unlock(stripe);
}

static void commit_came(struct errand *r)
{
    struct manager_write *w = r->w;
    struct record *record = r->call.record;

    r->call.record = NULL;
    if (r->made)
        stand_here(r);
    if (record && w->kind == WRITE_END) {
        record_unref(&w->before); /* what stood at the primary */
        w->before = record;
    } else if (record) {
        record_unref(&w->after);
        w->after = record;
    }
    errand_end(r, RC_OK);
}

static void ended_came(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;
    struct record *record = r->call.record;

    r->call.record = NULL;
    if (!record || !record_ended(record, &w->ended)) {
        record_unref(&record);
        errand_absent(r, REASON_UNKNOWN, now);
        return;
    }
    record_unref(&w->before);
    record_unref(&w->after);
    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    /* it goes on under the new id */
    w->maybe = r->maybe || (r->applied && !r->made && is_copy(e));
    if (e && e->flags & ENTRY_CACHED) {
        table_replace(stripe, e, record_merge(e->record, record));
        replica_recount(b->replica, e, now);
    }
    table_unlock(stripe);
    record_unref(&record);
    errand_end(r, RC_ENDED);
}

static void absent_came(struct errand *r, bool placed, struct instant now)
{
    struct record_end end = {.reason = REASON_UNKNOWN};

    if (r->call.record && record_ended(r->call.record, &end) && r->w) {
        ended_came(r, now); /* a write learns how, and under which new id */
        return;
    }
    if (r->call.record && r->w) { /* it idled out while its request ran */
        write_came(r, now);
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
            commit_came(r);
        else
            write_came(r, now);
        return;
    case CALL_ENDED:
        ended_came(r, now);
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

static void errand_call(struct errand *r, uint64_t to, enum call_kind kind,
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

/* None of its holders is here: one that took their place may not have told us
 * yet, and it was chosen in the same order. */
static void ask_others(struct errand *r, struct instant now)
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
        ask_others(r, now);
        return;
    }
    struct table_stripe *stripe = table_lock(b->base.table, op->id);
    struct entry *e = table_find(stripe, op->id);
    if (e && !(e->flags & ENTRY_DROPPED) && !record_ended(e->record, NULL))
        have = replica_hash(e->record->bytes, e->record->len);
    table_unlock(stripe);
    errand_call(r, primary, op->peek ? CALL_PEEK : CALL_FIND, have, NULL);
}

/* ---- write ---- */

/* Of two ends only one is the one that ended it, and the acting primary says
 * which: so no other copy has an end before that one has it. Two that are made
 * here in the same millisecond are not to be taken for one: each has a writer
 * of its own. */
static enum rc end_make(struct errand *r, struct entry *e)
{
    struct manager_write *w = r->w;
    struct backup *b = r->b;
    bool renamed = w->reason == REASON_RENAMED;

    if (record_ended(e->record, &w->ended))
        return RC_ENDED;
    record_unref(&w->before);
    w->before = record_ref(e->record);
    if (w->unmarked && farewell_is_due(e->record))
        return RC_CONFLICT;
    w->delta = record_end_delta(e->record, w->reason,
                                renamed ? w->new_id : NULL, w->now.wall,
                                manager_writer(&b->base, w->id) ^
                                    (atomic_fetch_add(&b->ends_made, 1) + 1) *
                                        UINT64_C(0x9e3779b97f4a7c15));
    r->made = true;
    return RC_OK;
}

/* A slot that is filled twice counts once: what this member adds on top of a
 * record that it fetched goes into another one than what that record may lack,
 * which is what another primary had acknowledged, and what nobody knows of
 * whether it has come. */
static uint64_t writer_at(struct backup *b, const uint8_t id[ID_SIZE],
                          uint64_t primary, uint64_t uncertain)
{
    return manager_writer(&b->base, id) ^
           primary * UINT64_C(0x9e3779b97f4a7c15) ^
           uncertain * UINT64_C(0xc2b2ae3d27d4eb4f);
}

/* Applies it to the copy here, once; the delta is what travels. RC_PENDING: it
 * has to travel. */
static enum rc write_apply(struct errand *r, uint64_t primary, bool *copy)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;
    enum rc rc = RC_UNAVAILABLE;

    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    uint64_t uncertain = atomic_load(&b->uncertain);

    *copy = e && !(e->flags & ENTRY_DROPPED);
    if (*copy) {
        w->writer = writer_at(b, w->id, primary, uncertain);
        rc = w->kind == WRITE_END ? end_make(r, e)
                                  : manager_apply(&b->base, stripe, e, w, NULL);
        if (is_copy(e))
            replica_recount(b->replica, e, w->now);
        if (rc == RC_OK && w->delta) {
            backup_entry(e)->errands++;
            r->uncertain = uncertain;
            r->applied = true;
            rc = RC_PENDING;
        }
    }
    table_unlock(stripe);
    return rc;
}

static void became_primary(struct flight *f, enum rc rc)
{
    struct errand *r = f->user;

    if (rc != RC_OK || lacks_copies(r->b, r->w->id)) {
        r->sent = true;
        errand_fail(r);
        return;
    }
    errand_end(r, settle(r->b, r->w, f->wait.now));
}

/* Another request's end stands in the copy here, perhaps since this errand was
 * under way: whoever asks for it goes on under the new id, if there is one, as
 * with an end at another member. Stripe locked. */
static enum rc stand_as_primary(struct errand *r, struct table_stripe *stripe,
                                struct entry *e)
{
    struct manager_write *w = r->w;

    if (record_ended(w->delta, NULL) || !record_ended(e->record, &w->ended))
        return stand(r, stripe, e);
    r->maybe = true;
    return RC_ENDED;
}

/* The change is in the copy here, and this member is the primary now, or
 * was a moment ago: whom it is sent to is what the place says under the lock.
 */
static void write_as_primary(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;
    struct place p, before;
    struct outgoing out;
    struct record_end end;
    bool tell = false, sends = false;
    enum rc rc = RC_OK;

    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    bool mine = is_copy(e) && place_of(b, w->id, &p) &&
                acting_primary(b, &p) == self(b);
    if (mine)
        rc = stand_as_primary(r, stripe, e);
    if (mine && rc == RC_OK) {
        before = p;
        if (record_ended(e->record, &end)) {
            place_end(&p, &before, PLACE_FINAL, end.reason, now);
            tell = place_change(b, e, w->id, &p, now);
        } else {
            tell = place_again(b, e, &p, now);
        }
        sends = outgoing_plan(b, e, &p, w->delta, 0, 0, &out);
    }
    table_unlock(stripe);
    if (!mine) {
        errand_pause(r, now);
        return;
    }
    if (rc != RC_OK) {
        w->maybe = r->maybe;
        errand_end(r, rc);
        return;
    }
    if (tell)
        tell_place(b, w->id, &p);
    if (sends)
        outgoing_send(b, &out, true, w->id, became_primary, r);
    else if (channel_may_answer(b->channel, now))
        errand_end(r, settle(b, w, now));
    else
        errand_pause(r, now);
}

/* Can the copy here say what came of a session that is over? */
static bool can_say(struct backup *b, const uint8_t id[ID_SIZE],
                    const struct place *p)
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    const struct entry *e = table_find(stripe, id);
    bool can =
        is_copy(e) && (p->kind == PLACE_OVER || record_ended(e->record, NULL));

    table_unlock(stripe);
    return can;
}

/* As any write at the acting primary. */
static void write_by_itself(struct errand *r, struct instant now)
{
    bool elsewhere;
    enum rc rc = write_here(r->b, r->w, &elsewhere);

    if (rc == RC_PENDING)
        errand_free(r); /* its own flight answers */
    else if (elsewhere)
        errand_pause(r, now);
    else
        errand_end(r, rc);
}

static void write_go_on(struct errand *r, struct place *p, struct instant now)
{
    struct backup *b = r->b;
    uint64_t primary = acting_primary(b, p);
    enum rc rc;
    bool copy;

    if (p->kind != PLACE_LIST && (!primary || (primary == self(b) && !r->made &&
                                               !can_say(b, r->w->id, p)))) {
        errand_absent(r, p->reason, now); /* forgotten where it was known */
        return;
    }
    if (!r->applied && primary == self(b)) {
        write_by_itself(r, now);
        return;
    }
    if (!primary) {
        ask_others(r, now);
        return;
    }
    if (!r->applied) {
        rc = write_apply(r, primary, &copy);
        if (!copy) {
            errand_call(r, primary, CALL_PEEK, 0, NULL);
            return;
        }
        if (rc != RC_PENDING) {
            errand_end(r, rc);
            return;
        }
    }
    if (primary == self(b))
        write_as_primary(r, now);
    else
        errand_call(r, primary, CALL_COMMIT, 0, r->w->delta);
}

/* ---- a user's record ---- */

static void create_go_on(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    uint64_t maker = first_of(b, r->w->id);
    struct place p;

    if (place_of(b, r->w->id, &p) && p.kind != PLACE_OVER)
        errand_end(r, RC_CONFLICT);
    else if (maker != self(b))
        errand_call(r, maker, CALL_COMMIT, 0, r->w->record);
    else if (channel_may_answer(b->channel, now))
        write_by_itself(r, now);
    else
        errand_pause(r, now);
}

/* ---- both ---- */

static void errand_go_on(struct errand *r, struct instant now)
{
    struct place p;

    if (now.mono >= r->deadline) {
        errand_fail(r);
        return;
    }
    if (is_making(r)) {
        create_go_on(r, now);
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
        write_go_on(r, &p, now); /* ended: a holder says what came of it */
}

/* NULL: there are too many. */
static struct errand *errand_new(struct backup *b, struct instant now,
                                 struct err *err)
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

enum rc errand_write(struct backup *b, struct manager_write *w)
{
    struct errand *r = errand_new(b, w->now, &w->err);

    if (!r)
        return RC_UNAVAILABLE;
    r->w = w;
    errand_go_on(r, w->now);
    return RC_PENDING;
}
