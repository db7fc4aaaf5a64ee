/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/commit.h"

#include "session/aside.h"
#include "session/buf.h"
#include "session/farewell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HOPS 8

static void flow_write(struct commit_flow *flow, enum write_kind kind,
                       const uint8_t id[ID_SIZE])
{
    struct manager_write *w = &flow->w;
    struct record *delta = w->delta;

    w->delta = NULL;
    manager_write_release(w);
    manager_write_init(w, kind, id, flow->now);
    w->delta = delta;
}

static void drop_delta(struct commit_flow *flow)
{
    record_unref(&flow->w.delta);
}

static void finish(struct commit_flow *flow, enum rc rc)
{
    if (rc == RC_UNAVAILABLE && ((flow->s && flow->s->flushed) || flow->maybe))
        rc = RC_UNCERTAIN; /* a part was done */
    flow->rc = rc;
    flow->step = STEP_DONE;
}

static void finish_ended(struct commit_flow *flow, enum reason reason)
{
    flow->reason = reason;
    finish(flow, RC_ENDED);
}

/* The session went on under a new id while this request ran: so does what the
 * request did. A stamped delta stays what it is, so it counts once. */
static bool follow(struct commit_flow *flow)
{
    struct manager_write *w = &flow->w;

    if (w->rc != RC_ENDED || w->ended.reason != REASON_RENAMED)
        return false;
    flow->maybe |= w->maybe;
    if (++flow->hops > MAX_HOPS) { /* it lives, but is always elsewhere */
        w->rc = err_set(&w->err, RC_UNAVAILABLE, "new ids all the time");
        return false;
    }
    memcpy(flow->id, w->ended.new_id, ID_SIZE);
    if (w->delta) {
        struct record *moved = record_rekey(w->delta, flow->id);
        record_unref(&w->delta);
        w->delta = moved;
    }
    return true;
}

/* ---- preparing the next write ---- */

static void prepare_rename_create(struct commit_flow *flow)
{
    struct session *s = flow->s;
    struct record *delta =
        record_delta(s->record, flow->changes, flow->now.wall,
                     manager_writer(flow->m, s->next_id));
    struct record *full =
        delta ? record_merge(s->record, delta) : record_ref(s->record);

    flow->whole = record_rekey(full, s->next_id);
    record_unref(&full);
    record_unref(&delta);
    flow_write(flow, WRITE_CREATE, s->next_id);
    flow->w.record = flow->whole;
}

static void prepare(struct commit_flow *flow)
{
    struct session *s = flow->s;

    switch (flow->step) {
    case STEP_CREATE:
        flow->whole =
            record_new(RECORD_SESSION, flow->id, flow->birth, flow->changes,
                       manager_writer(flow->m, flow->id));
        flow_write(flow, WRITE_CREATE, flow->id);
        flow->w.record = flow->whole;
        break;
    case STEP_CHANGE:
        flow_write(flow, WRITE_CHANGE, flow->id);
        flow->w.changes = flow->changes;
        flow->w.seen = s && s->record ? s->record->newest : 0;
        break;
    case STEP_END:
        drop_delta(flow);
        flow_write(flow, WRITE_END, flow->id);
        flow->w.reason = s->end_reason;
        break;
    case STEP_RENAME_CREATE:
        prepare_rename_create(flow);
        break;
    case STEP_RENAME_END:
        flow_write(flow, WRITE_END, s->id);
        flow->w.reason = REASON_RENAMED;
        memcpy(flow->w.new_id, s->next_id, ID_SIZE);
        break;
    case STEP_RENAME_MERGE: /* w.delta holds what is to be merged */
        flow_write(flow, WRITE_CHANGE, s->next_id);
        break;
    case STEP_RENAME_UNDO:
        drop_delta(flow);
        flow_write(flow, WRITE_END, s->next_id);
        flow->w.reason = flow->reason;
        break;
    default:
        commit_user_prepare(flow);
    }
}

/* ---- looking at what came back ---- */

/* A login, or a new id of somebody who is logged in. */
static bool is_listed(const struct session *s)
{
    return s->login || (s->renaming && session_user(s));
}

/* Where logins are counted, one whose place in the count is not known would
 * make another record of the same user. */
static bool is_uncounted(const struct manager *m, const struct session *s)
{
    return m->secret_shared && m->common.max_sessions_per_user >= 0 &&
           s->state == SESSION_LIVE && is_listed(s) &&
           !atomic_load(&m->secret_known);
}

static void after_session(struct commit_flow *flow)
{
    if (flow->s && is_listed(flow->s))
        commit_user_begin(flow);
    else
        finish(flow, RC_OK);
}

static void answer_create(struct commit_flow *flow)
{
    if (flow->w.rc != RC_OK) {
        /* an id of 122 random bits that exists already is no id of ours */
        finish(flow, flow->w.rc == RC_CONFLICT ? RC_UNAVAILABLE : flow->w.rc);
        return;
    }
    struct table_counts counts;
    count_one(&flow->m->counters->created);
    table_counts(flow->m->table, &counts);
    count_max(&flow->m->counters->max_active, counts.live);
    after_session(flow);
}

static void answer_change(struct commit_flow *flow)
{
    struct manager_write *w = &flow->w;

    if (follow(flow))
        return; /* the same step under the new id */
    if (w->rc == RC_ENDED)
        finish_ended(flow, w->ended.reason);
    else if (w->rc == RC_ABSENT && flow->maybe)
        finish(flow, err_set(&w->err, RC_UNCERTAIN, "its new id is not known"));
    else if (w->rc == RC_ABSENT)
        finish_ended(flow, REASON_UNKNOWN);
    else if (w->rc == RC_OK)
        after_session(flow);
    else
        finish(flow, w->rc);
}

static void answer_end(struct commit_flow *flow)
{
    struct manager_write *w = &flow->w;
    struct session *s = flow->s;

    if (follow(flow))
        return;
    if (w->rc == RC_OK && s->claimed)
        count_end(flow->m, s->end_reason, flow->birth, flow->now);
    if (w->rc == RC_ENDED)
        finish_ended(flow, w->ended.reason);
    else
        finish(flow, w->rc == RC_ABSENT ? RC_OK : w->rc);
}

/* The old id ended with what stood there then. What came after the snapshot
 * was taken is still missing under the new id; merging all of it is right
 * whatever part that is. */
static void answer_rename_end(struct commit_flow *flow)
{
    struct manager_write *w = &flow->w;
    struct session *s = flow->s;

    if (w->rc == RC_OK) {
        count_one(&flow->m->counters->renamed);
        bool same = record_equal(w->before, s->record);
        if (!same) {
            drop_delta(flow);
            w->delta = record_rekey(w->before, s->next_id);
        }
        flow->step = STEP_RENAME_MERGE;
        if (same) {
            drop_delta(flow);
            after_session(flow);
        }
    } else if (w->rc == RC_ENDED && w->ended.reason == REASON_RENAMED) {
        /* two logins under one old id: both sessions live */
        count_one(&flow->m->counters->created);
        after_session(flow);
    } else if (w->rc == RC_ENDED || w->rc == RC_ABSENT) {
        flow->reason = w->rc == RC_ENDED ? w->ended.reason : REASON_UNKNOWN;
        flow->rc = RC_ENDED;
        flow->step = STEP_RENAME_UNDO;
    } else if (w->rc == RC_UNAVAILABLE) {
        /* the old id lives, so nobody is ever told the new one */
        flow->reason = REASON_UNKNOWN;
        flow->rc = RC_UNAVAILABLE;
        flow->step = STEP_RENAME_UNDO;
    } else {
        finish(flow, w->rc);
    }
}

/* Whether that was done or not: the answer is why it had to be. */
static void answer_rename_undo(struct commit_flow *flow)
{
    if (flow->rc == RC_UNAVAILABLE)
        err_set(&flow->w.err, RC_UNAVAILABLE,
                "the new id was made, the old one could not be ended");
    finish(flow, flow->rc);
}

static void answer_rename_merge(struct commit_flow *flow)
{
    struct manager_write *w = &flow->w;

    if (w->rc == RC_OK)
        after_session(flow);
    else if (w->rc == RC_ENDED || w->rc == RC_ABSENT)
        finish_ended(flow,
                     w->rc == RC_ENDED ? w->ended.reason : REASON_UNKNOWN);
    else /* the old id is over already */
        finish(flow, w->rc == RC_UNAVAILABLE ? RC_UNCERTAIN : w->rc);
}

static void answer(struct commit_flow *flow)
{
    switch (flow->step) {
    case STEP_CREATE:
        answer_create(flow);
        break;
    case STEP_CHANGE:
        answer_change(flow);
        break;
    case STEP_END:
        answer_end(flow);
        break;
    case STEP_RENAME_CREATE:
        if (flow->w.rc == RC_OK)
            flow->step = STEP_RENAME_END;
        else
            finish(flow,
                   flow->w.rc == RC_CONFLICT ? RC_UNAVAILABLE : flow->w.rc);
        break;
    case STEP_RENAME_END:
        answer_rename_end(flow);
        break;
    case STEP_RENAME_MERGE:
        drop_delta(flow);
        answer_rename_merge(flow);
        break;
    case STEP_RENAME_UNDO:
        answer_rename_undo(flow);
        break;
    default:
        commit_user_answer(flow);
    }
}

/* ---- an end that another manager may not have heard of ---- */

struct parting {
    struct farewell f; /* first */
    struct commit_flow *flow;
    bool before; /* the end comes after it */
};

static void parting_answered(struct parting *p, enum rc rc)
{
    struct commit_flow *flow = p->flow;
    bool before = p->before;

    flow->parted = before && rc == RC_OK;
    if (rc != RC_OK) {
        flow->w.err = p->f.w.err;
        /* while only the end stands, and nobody can hear of it, it is not known
         * to last */
        flow->w.rc = before ? RC_UNAVAILABLE : RC_UNCERTAIN;
    }
    farewell_release(&p->f);
    free(p);
    if (!flow->parted)
        answer(flow);
}

static void parting_done(struct farewell *f, enum rc rc)
{
    struct commit_flow *flow = ((struct parting *)f)->flow;

    parting_answered((struct parting *)f, rc);
    commit_flow_go_on(flow);
}

/* false: it is not over yet. */
static bool part(struct commit_flow *flow, struct record *ended, bool before)
{
    struct parting *p = mem_zero(sizeof *p);

    p->flow = flow;
    p->before = before;
    p->f.done = parting_done;
    enum rc rc = farewell_leave(&p->f, flow->m, ended, flow->w.id, flow->now);
    if (rc == RC_PENDING)
        return false;
    parting_answered(p, rc);
    return true;
}

/* What is about to be ended and stands in two managers, as far as this request
 * knows; NULL: nothing does. */
static struct record *leaves(const struct commit_flow *flow)
{
    struct record *r = NULL;

    if (flow->w.kind != WRITE_END || flow->parted)
        return NULL;
    if (flow->step == STEP_USER_END)
        return flow->others[flow->other_at].marked;
    if (flow->step == STEP_END || flow->step == STEP_RENAME_END)
        r = flow->s->record;
    return r && farewell_is_due(r) ? r : NULL;
}

/* It was not when this request began. */
static bool is_marked_now(const struct manager_write *w)
{
    return w->kind == WRITE_END && w->rc == RC_CONFLICT && w->before;
}

/* What was written has its answer. false: it is not over yet. */
static bool settle(struct commit_flow *flow)
{
    bool parted = flow->parted;

    flow->parted = false;
    if (!parted && is_marked_now(&flow->w))
        return part(flow, flow->w.before, true);
    if (!parted && farewell_is_missed(&flow->w))
        return part(flow, flow->w.before, false);
    answer(flow);
    return true;
}

/* ---- turning ---- */

static void write_done(struct manager_write *w);
static void find_done(struct find_op *op);

void commit_flow_free(struct commit_flow **flow)
{
    struct commit_flow *f = *flow;

    *flow = NULL;
    manager_write_release(&f->w);
    record_unref(&f->whole);
    commit_user_release(f);
    if (f->more) {
        record_unref(&f->more->find.record);
        changes_release(&f->more->own);
        free(f->more);
    }
    free(f);
}

struct commit_more *commit_more_of(struct commit_flow *flow)
{
    if (!flow->more) {
        flow->more = mem_alloc(sizeof *flow->more);
        changes_init(&flow->more->own);
        flow->more->find.record = NULL;
        flow->more->find.user_data = flow;
    }
    return flow->more;
}

/* What the session asks for; STEP_DONE: nothing. */
enum commit_step commit_first_step(const struct session *s)
{
    bool published = s->record != NULL;

    if (s->state == SESSION_ENDED)
        return published ? STEP_END : STEP_DONE;
    if (!published)
        return STEP_CREATE;
    if (s->renaming)
        return STEP_RENAME_CREATE;
    /* what stays here: only whether the session still lives */
    if (!changes_empty(&s->changes) || aside_is_changed(s->aside))
        return STEP_CHANGE;
    return STEP_DONE;
}

/* All flushes have their answers. */
static void go_on_flushed(struct commit_flow *flow)
{
    struct session *s = flow->s;

    if (s->flush_rc == RC_OK) {
        flow->step = commit_first_step(s);
    } else if (s->flush_rc == RC_ENDED) {
        finish_ended(flow, s->flush_reason);
    } else {
        finish(flow, s->flush_rc);
        err_set(&flow->w.err, flow->rc, "what was flushed was not kept");
    }
}

/* Takes steps until all is done (true) or a write is under way (false; the
 * flow then belongs to whoever completes it). */
static bool flow_turn(struct commit_flow *flow)
{
    while (flow->step != STEP_DONE) {
        enum rc rc;
        if (flow->step == STEP_FLUSHED) {
            if (!commit_flush_wait(flow))
                return false;
            go_on_flushed(flow);
            continue;
        }
        if (flow->step == STEP_USER_LOOK) {
            commit_user_prepare(flow);
            flow->more->find.done = find_done;
            rc = manager_find(flow->m, &flow->more->find);
            if (rc == RC_PENDING)
                return false;
            commit_user_looked(flow);
            continue;
        }
        prepare(flow);
        struct record *ended = leaves(flow);
        if (ended) {
            if (!part(flow, ended, true))
                return false;
            continue;
        }
        flow->w.unmarked = flow->w.kind == WRITE_END && !flow->parted;
        flow->w.done = write_done;
        rc = flow->m->ops->write(flow->m, &flow->w);
        if (rc == RC_PENDING)
            return false;
        flow->w.rc = rc;
        if (!settle(flow))
            return false;
    }
    return true;
}

/* A request of this process that could not end the session gives the right to
 * tell of its end back. */
static void unclaim(struct commit_flow *flow)
{
    const uint8_t *id = flow->s->claimed_id;
    struct table_stripe *stripe = table_lock(flow->m->table, id);
    struct entry *e = table_find(stripe, id);
    if (e)
        e->flags &= ~(uint32_t)ENTRY_ENDING;
    table_unlock(stripe);
}

static enum rc flow_finish(struct commit_flow *flow)
{
    struct commit_op *op = flow->op;
    struct session *s = flow->s;
    enum rc rc = flow->rc;

    if (s && s->claimed && !s->created && rc != RC_OK && rc != RC_ENDED)
        unclaim(flow);
    if (s && rc == RC_OK)
        aside_commit(flow->m, s, flow->id, flow->now);
    if (op) {
        op->rc = rc;
        op->reason = flow->reason;
        if (rc != RC_OK)
            op->err = flow->w.err;
    }
    commit_flow_free(&flow);
    return rc;
}

void commit_flow_go_on(struct commit_flow *flow)
{
    struct commit_op *op = flow->op;

    if (!flow_turn(flow))
        return;
    if (!op) {
        commit_flush_answered(flow);
        return;
    }
    flow_finish(flow);
    op->done(op);
}

static void write_done(struct manager_write *w)
{
    struct commit_flow *flow = (struct commit_flow *)w;

    if (settle(flow))
        commit_flow_go_on(flow);
}

static void find_done(struct find_op *op)
{
    struct commit_flow *flow = op->user_data;

    commit_user_looked(flow);
    commit_flow_go_on(flow);
}

struct commit_flow *commit_flow_new(struct manager *m, struct session *s,
                                    struct instant now)
{
    struct commit_flow *flow = mem_alloc(sizeof *flow);

    /* but for w, whose text of an error most commits never look at */
    memset((char *)flow + sizeof flow->w, 0, sizeof *flow - sizeof flow->w);
    manager_write_init(&flow->w, WRITE_CHANGE, s->id, now);
    flow->m = m;
    flow->s = s;
    flow->now = now;
    flow->changes = &s->changes;
    flow->birth = s->birth;
    memcpy(flow->id, s->id, ID_SIZE);
    return flow;
}

enum rc manager_commit(struct manager *m, struct commit_op *op)
{
    struct session *s = op->session;
    enum commit_step step = s->flushes || s->flush_rc != RC_OK
                                ? STEP_FLUSHED
                                : commit_first_step(s);

    count_one(&m->counters->commits);
    op->rc = RC_OK;
    if (step == STEP_DONE)
        return RC_OK;
    if (is_uncounted(m, s))
        return op->rc = err_set(&op->err, RC_UNAVAILABLE,
                                "who else is logged in is not known yet");
    count_one(&m->counters->commits_changed);
    struct commit_flow *flow = commit_flow_new(m, s, op->now);
    flow->op = op;
    flow->step = step;
    if (!flow_turn(flow))
        return RC_PENDING;
    return flow_finish(flow);
}
