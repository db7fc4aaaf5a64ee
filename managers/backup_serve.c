/* SPDX-License-Identifier: Apache-2.0
 *
 * What other members ask of the acting primary. */
#include "config.h"

#include "managers/backup_impl.h"
#include "session/farewell.h"

#include <stdlib.h>
#include <string.h>

#define LATER_MS 1000

static struct channel_reply reply_to(const struct backup *b,
                                     const struct channel_called *call,
                                     enum call_answer answer)
{
    struct channel_reply reply = {.to = call->from,
                                  .no = call->no,
                                  .app = replica_app(b->replica),
                                  .answer = answer};

    memcpy(reply.id, call->id, ID_SIZE);
    return reply;
}

/* ---- whose it is ---- */

/* It is over at others, who may know more than the copy here does. */
static bool is_stray(const struct backup *b, const struct place *p)
{
    return p->kind == PLACE_OVER && !place_has(p, self(b)) &&
           acting_primary(b, p);
}

/* Answers where this member is not to do it; its stripe is locked. */
static bool is_for_us(const struct backup *b, const struct entry *e,
                      struct channel_reply *reply)
{
    reply->placed = place_of(b, reply->id, &reply->place);
    if (!reply->placed)
        reply->answer = is_copy(e) ? CALL_UNAVAILABLE : CALL_ABSENT;
    else if (reply->place.kind != PLACE_LIST &&
             (!is_copy(e) || (reply->place.kind == PLACE_FINAL &&
                              !record_ended(e->record, NULL))))
        reply->answer = CALL_ABSENT;
    else if ((reply->place.kind == PLACE_LIST &&
              acting_primary(b, &reply->place) != self(b)) ||
             is_stray(b, &reply->place))
        reply->answer = CALL_ELSEWHERE;
    else if (!is_copy(e))
        reply->answer = CALL_UNAVAILABLE;
    else
        return true;
    return false;
}

/* Nothing is here of what is lost, or will be. That says that there is nothing,
 * but for those that cannot be asked. Its stripe is locked. */
static void deny(const struct backup *b, const struct entry *e,
                 struct channel_reply *reply, struct instant now)
{
    const struct place *p = &reply->place;

    if (!reply->placed || is_copy(e) || acting_primary(b, p) ||
        (p->kind != PLACE_LIST && p->reason != REASON_LOST))
        return;
    reply->answer =
        lost_is_doubtful(b, reply->id, now) ? CALL_UNAVAILABLE : CALL_ABSENT;
}

/* Does it come so often from there that it should live there? Stripe locked. */
static bool note_streak(struct entry *e, uint64_t from)
{
    struct backup_entry *own = backup_entry(e);

    if (own->streak_node != from)
        own->streak = 0;
    own->streak_node = from;
    if (++own->streak < MOVE_AFTER)
        return false;
    own->streak = 0;
    return true;
}

/* ---- find ---- */

/* It is over by its limits, and nobody has ended it yet: that is told with a
 * place that no member believes. */
static void say_why(struct place *p, enum reason reason)
{
    p->kind = PLACE_OVER;
    p->reason = reason;
    p->stamp = 1;
}

static bool answer_find(struct backup *b, const struct channel_called *call,
                        struct table_stripe *stripe, struct entry *e,
                        struct channel_reply *reply, struct instant now)
{
    struct find_op op = {.now = now, .peek = call->kind == CALL_PEEK};
    int64_t before = e->access;
    bool touch = false;

    if (manager_find_entry(&b->base, stripe, e, e->record, &op) != RC_OK) {
        if (op.reason == REASON_IDLE && !channel_knows_uses(b->channel, now))
            return false; /* a later use may be on its way here */
        reply->answer = CALL_ABSENT;
        bool ended = record_ended(e->record, NULL);
        if (!ended)
            say_why(&reply->place, op.reason);
        /* of an idle one, too: a change that is under way brings it back */
        if (ended || (op.peek && op.reason == REASON_IDLE))
            reply->record = record_ref(e->record);
        reply->access = before;
        return false;
    }
    if (!op.peek)
        touch = replica_note_access(b->replica, e);
    reply->access = before;
    reply->owner = replica_entry(e)->owner;
    reply->answer = call->have && call->have == replica_entry(e)->hash
                        ? CALL_SAME
                        : CALL_OK;
    if (reply->answer == CALL_OK)
        reply->record = record_ref(op.record);
    record_unref(&op.record);
    return touch;
}

static void serve_find(struct backup *b, const struct channel_called *call,
                       struct instant now)
{
    struct channel_reply reply = reply_to(b, call, CALL_UNAVAILABLE);
    bool touch = false, move = false, better;
    int64_t access = 0;

    struct table_stripe *stripe = table_lock(b->base.table, call->id);
    struct entry *e = table_find(stripe, call->id);
    bool ours = is_for_us(b, e, &reply);
    better = reply.placed && knows_better(b, e, &reply.place, now);
    if (ours) {
        touch = answer_find(b, call, stripe, e, &reply, now);
        access = e->access;
        move = call->kind == CALL_FIND &&
               (reply.answer == CALL_OK || reply.answer == CALL_SAME) &&
               note_streak(e, call->from);
    } else {
        deny(b, e, &reply, now);
    }
    table_unlock(stripe);
    if (touch)
        tell_access(b, call->id, &reply.place, access);
    channel_reply(b->channel, &reply);
    if (better)
        look_at(b, call->id, now);
    if (move)
        move_to(b, call->id, call->from, now);
}

/* ---- commit ---- */

/* Does a change of now beat its idle end? Clocks are read a little apart. */
static bool is_later(const struct entry *e, struct instant now)
{
    return now.mono > e->access + LATER_MS;
}

/* A call that waits for the holders. */
struct served {
    struct channel_reply reply;
    struct record *delta; /* references */
};

static void served_free(struct served *s)
{
    record_unref(&s->delta);
    free(s);
}

/* What stands here after the others have it. An end may have come too late. */
static void served_settle(struct backup *b, struct served *s)
{
    struct record_end end;

    struct table_stripe *stripe = table_lock(b->base.table, s->reply.id);
    struct entry *e = table_find(stripe, s->reply.id);
    if (e && record_ended(s->delta, &end)) {
        if (!record_equal(e->record, s->delta)) {
            s->reply.answer = CALL_ENDED;
            record_unref(&s->reply.record);
            s->reply.record = record_ref(e->record);
        }
    } else if (e && record_kind(e->record) == RECORD_USER) {
        s->reply.record = record_ref(e->record);
    }
    s->reply.placed = place_of(b, s->reply.id, &s->reply.place);
    if (!record_ended(s->delta, NULL) && s->reply.placed &&
        is_replaced(e, &s->reply.place))
        s->reply.answer = CALL_UNAVAILABLE; /* the next call says what it is */
    table_unlock(stripe);
}

static void served_answer(struct backup *b, struct served *s, enum rc rc)
{
    s->reply.answer = CALL_OK;
    if (rc == RC_OK)
        served_settle(b, s);
    else
        s->reply.answer = CALL_UNAVAILABLE;
    if (s->reply.answer == CALL_UNAVAILABLE)
        record_unref(&s->reply.record);
    channel_reply(b->channel, &s->reply);
    served_free(s);
}

static void served_landed(struct flight *f, enum rc rc)
{
    if (rc == RC_OK && lacks_copies(f->b, f->id))
        rc = RC_UNCERTAIN;
    served_answer(f->b, f->user, rc);
}

/* The delta into the copy here, as if it came from a holder. RC_OK; RC_ENDED:
 * it had ended before. */
static enum rc merge_delta(struct backup *b, const struct channel_called *call,
                           struct instant now)
{
    struct frame_update u = {
        .kind = UPDATE_RECORD,
        .app = replica_app(b->replica),
        .owner = call->from,
        .bytes = call->delta->bytes,
        .len = call->delta->len,
    };
    uint8_t id[ID_SIZE];
    int64_t newer;

    switch (
        replica_apply(b->replica, &u, now.mono, call->from, now, id, &newer)) {
    case REPLICA_DONE:
        return RC_OK;
    case REPLICA_STRAY: /* a new id, of which this member holds nothing */
        return record_ended(call->delta, NULL) ? RC_OK : RC_INVALID;
    case REPLICA_NEWER: /* an idle end that a later access beats ended nothing
                         */
        return newer ? RC_OK : RC_ENDED;
    default:
        return RC_INVALID;
    }
}

/* The place goes with the end. Stripe locked. */
static bool end_place(struct backup *b, struct entry *e, struct place *p,
                      struct instant now)
{
    struct place before = *p;
    struct record_end end;

    if (!record_ended(e->record, &end) || p->kind == PLACE_FINAL)
        return false;
    place_end(p, &before, PLACE_FINAL, end.reason, now);
    return place_change(b, e, record_id(e->record), p, now);
}

/* The change stands here; now the other holders. */
static void commit_on(struct backup *b, const struct channel_called *call,
                      struct served *s, struct instant now)
{
    struct outgoing out;
    bool tell = false, sends = false, move = false;
    struct place p;

    struct table_stripe *stripe = table_lock(b->base.table, call->id);
    struct entry *e = table_find(stripe, call->id);
    bool here =
        is_copy(e) && place_of(b, call->id, &p) &&
        !(record_ended(e->record, NULL) && !record_ended(s->delta, NULL));
    if (here) {
        tell = end_place(b, e, &p, now) || place_again(b, e, &p, now);
        replica_entry(e)->told = e->access;
        sends = outgoing_plan(b, e, &p, s->delta, call->from, call->from, &out);
        move = !tell && note_streak(e, call->from);
    }
    table_unlock(stripe);
    if (!here) { /* it ended, or was let go, since it was looked at */
        served_answer(b, s, RC_UNAVAILABLE);
        return;
    }
    if (tell)
        tell_place(b, call->id, &p);
    if (sends && b->copies != COPIES_NONE) {
        outgoing_send(b, &out, true, call->id, served_landed, s);
    } else {
        if (sends)
            outgoing_send(b, &out, false, call->id, NULL, NULL);
        served_answer(b, s, RC_OK);
    }
    if (move)
        move_to(b, call->id, call->from, now);
}

/* ---- a user's record that is new ---- */

struct making {
    struct manager_write w; /* first */
    struct backup *b;
    struct served *s;
};

static void making_done(struct manager_write *w)
{
    struct making *k = (struct making *)w;

    /* made by somebody meanwhile: whoever called hears of it, and tries anew */
    served_answer(k->b, k->s, w->rc == RC_OK ? RC_OK : RC_UNAVAILABLE);
    manager_write_release(w);
    free(k);
}

/* Is it one that nothing is known of here? */
static bool is_new_user(const struct entry *e, const struct served *s)
{
    return record_kind(s->delta) == RECORD_USER && record_is_whole(s->delta) &&
           !is_copy(e) &&
           (!s->reply.placed || s->reply.place.kind == PLACE_OVER);
}

static void serve_making(struct backup *b, struct served *s, struct instant now)
{
    struct making *k = mem_zero(sizeof *k);
    bool elsewhere;

    k->b = b;
    k->s = s;
    k->w.done = making_done;
    manager_write_init(&k->w, WRITE_CREATE, s->reply.id, now);
    k->w.record = s->delta;
    /* who calls may not know yet who has joined */
    enum rc rc = first_of(b, s->reply.id) == self(b)
                     ? write_here(b, &k->w, &elsewhere)
                     : RC_UNAVAILABLE;
    if (rc == RC_PENDING)
        return;
    k->w.rc = rc;
    making_done(&k->w);
}

static void serve_write(struct backup *b, const struct channel_called *call,
                        struct instant now)
{
    struct served *s = mem_zero(sizeof *s);
    struct record_end end;

    s->reply = reply_to(b, call, CALL_UNAVAILABLE);
    s->delta = record_ref(call->delta);
    struct table_stripe *stripe = table_lock(b->base.table, call->id);
    struct entry *e = table_find(stripe, call->id);
    bool ours = is_for_us(b, e, &s->reply);
    bool new_user = !ours && is_new_user(e, s);
    /* the same end once more: who sends it knows what it replaced */
    bool again = ours && record_equal(e->record, call->delta);
    if (ours && !again && record_ended(e->record, &end)) {
        s->reply.answer = CALL_ENDED;
        s->reply.record = record_ref(e->record);
        ours = false;
    } else if (ours && e->idle && !is_later(e, now) &&
               !record_ended(call->delta, NULL)) {
        s->reply.answer = CALL_ABSENT;
        say_why(&s->reply.place, REASON_IDLE);
        ours = false;
    } else if (ours && !again && record_ended(call->delta, NULL)) {
        s->reply.record = record_ref(e->record); /* what the end replaces */
    }
    table_unlock(stripe);
    if (new_user) {
        serve_making(b, s, now);
        return;
    }
    enum rc rc = ours ? merge_delta(b, call, now) : RC_UNAVAILABLE;
    if (rc == RC_OK) {
        commit_on(b, call, s, now);
        return;
    }
    if (ours) { /* it ended between the two looks */
        record_unref(&s->reply.record);
        s->reply.answer = CALL_UNAVAILABLE;
    }
    channel_reply(b->channel, &s->reply);
    served_free(s);
}

/* ---- an end of what is marked: who sends it may not have known ---- */

struct parting {
    struct farewell f; /* first */
    struct backup *b;
    struct channel_called call;
};

static void parted(struct farewell *f, enum rc rc)
{
    struct parting *p = (struct parting *)f;

    /* after a pause the lease is taken back before the answer that came in it
     * is looked at, so the time of the call will do */
    if (rc == RC_OK && channel_may_answer(p->b->channel, f->w.now)) {
        serve_write(p->b, &p->call, f->w.now);
    } else {
        struct channel_reply reply = reply_to(p->b, &p->call, CALL_UNAVAILABLE);
        channel_reply(p->b->channel, &reply);
    }
    farewell_release(f);
    record_unref(&p->call.delta);
    free(p);
}

/* What the end replaces here, if its farewell is to be left; a reference. */
static struct record *to_part(struct backup *b,
                              const struct channel_called *call)
{
    struct channel_reply reply = reply_to(b, call, CALL_UNAVAILABLE);
    struct record_end end;
    struct record *r = NULL;

    if (!record_ended(call->delta, &end) || end.reason == REASON_LIFETIME ||
        end.reason == REASON_LOST)
        return NULL;
    struct table_stripe *stripe = table_lock(b->base.table, call->id);
    struct entry *e = table_find(stripe, call->id);
    if (is_for_us(b, e, &reply) && farewell_is_due(e->record) &&
        !record_ended(e->record, NULL))
        r = record_ref(e->record);
    table_unlock(stripe);
    return r;
}

static bool is_left(struct backup *b, const uint8_t of[ID_SIZE])
{
    uint8_t id[ID_SIZE];
    struct place p;

    farewell_id(of, id);
    return place_of(b, id, &p) && p.kind == PLACE_LIST;
}

static void serve_commit(struct backup *b, const struct channel_called *call,
                         struct instant now)
{
    struct record *ended = to_part(b, call);

    if (!ended || is_left(b, call->id)) {
        record_unref(&ended);
        serve_write(b, call, now);
        return;
    }
    struct parting *p = mem_zero(sizeof *p);
    p->f.done = parted;
    p->b = b;
    p->call = *call;
    p->call.delta = record_ref(call->delta);
    enum rc rc = farewell_leave(&p->f, &b->base, ended, call->id, now);
    record_unref(&ended);
    if (rc != RC_PENDING)
        parted(&p->f, rc);
}

void serve_call(void *user, const struct channel_called *call,
                struct instant now)
{
    struct backup *b = user;

    if (!channel_may_answer(b->channel, now)) {
        struct channel_reply reply = reply_to(b, call, CALL_UNAVAILABLE);
        channel_reply(b->channel, &reply);
    } else if (call->kind == CALL_COMMIT) {
        serve_commit(b, call, now);
    } else {
        serve_find(b, call, now);
    }
}
