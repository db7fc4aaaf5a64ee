/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request publishes before its end. Nobody waits for a flush, but the
 * commit answers for all that the request did: it takes the answers of its
 * flushes first. A flush and its commit meet once, at `meet`: whoever comes
 * second goes on with both. */
#include "config.h"

#include "session/commit.h"

enum { MEET_NOBODY, MEET_ANSWERED, MEET_AWAITED, MEET_LEFT };

/* *at has its answer. */
static void flush_take(struct session *s, struct commit_flow **at)
{
    struct commit_flow *f = *at;

    *at = f->next;
    if (f->rc == RC_OK) {
        s->flushed = true;
    } else if (s->flush_rc == RC_OK) {
        s->flush_rc = f->rc;
        s->flush_reason = f->reason;
    }
    commit_flow_free(&f);
}

void commit_flush_answered(struct commit_flow *f)
{
    int met = atomic_exchange(&f->meet, MEET_ANSWERED);

    if (met == MEET_AWAITED)
        commit_flow_go_on(f->waiter);
    else if (met == MEET_LEFT)
        commit_flow_free(&f);
}

bool commit_flush_wait(struct commit_flow *flow)
{
    struct session *s = flow->s;

    while (s->flushes) {
        struct commit_flow *f = s->flushes;
        int nobody = MEET_NOBODY;
        f->waiter = flow;
        if (atomic_compare_exchange_strong(&f->meet, &nobody, MEET_AWAITED))
            return false;
        flush_take(s, &s->flushes);
    }
    return true;
}

void commit_flush_leave(struct session *s)
{
    while (s->flushes) {
        struct commit_flow *f = s->flushes;
        s->flushes = f->next;
        if (atomic_exchange(&f->meet, MEET_LEFT) == MEET_ANSWERED)
            commit_flow_free(&f);
    }
}

/* So that a request which flushes for ever does not grow for ever. */
static void take_answered(struct session *s)
{
    struct commit_flow **at = &s->flushes;

    while (*at)
        if (atomic_load(&(*at)->meet) == MEET_ANSWERED)
            flush_take(s, at);
        else
            at = &(*at)->next;
}

/* The request goes on with what it published as its snapshot. The slots of
 * counters in it are for its own eyes: what is published is made from the
 * changes, where the session is kept. */
static void view_as_published(struct manager *m, struct session *s,
                              struct instant now)
{
    uint64_t writer = manager_writer(m, s->id);
    struct record *next;

    if (!s->record) {
        next = record_new(RECORD_SESSION, s->id, s->birth, &s->changes, writer);
    } else {
        struct record *delta =
            record_delta(s->record, &s->changes, now.wall, writer);
        if (!delta)
            return;
        next = record_merge(s->record, delta);
        record_unref(&delta);
    }
    session_pin(s, next);
}

void manager_flush(struct manager *m, struct session *s, struct instant now)
{
    enum commit_step step = commit_first_step(s);

    take_answered(s);
    /* an end, a new id, a login: these wait for the end of the request */
    if ((step != STEP_CREATE && step != STEP_CHANGE) || s->login)
        return;
    struct commit_flow *flow = commit_flow_new(m, s, now);
    flow->step = step;
    flow->s = NULL;
    changes_copy(&commit_more_of(flow)->own, &s->changes);
    flow->changes = &flow->more->own;
    view_as_published(m, s, now);
    changes_clear(&s->changes);
    s->created = s->created && step == STEP_CREATE;
    flow->next = s->flushes;
    s->flushes = flow;
    commit_flow_go_on(flow);
}
