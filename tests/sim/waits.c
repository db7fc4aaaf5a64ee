/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel of a member, and what is expected of it: each wait and each ask
 * is completed exactly once, within a bounded time. */
#include "config.h"

#include "tests/sim/waits.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* What the core waits with, in place of the manager's own. */
struct watch {
    struct channel_wait wait; /* first */
    struct channel_ask ask;
    struct watch *next;
    struct member *member;
    uint32_t life;
    int64_t since;
    bool is_ask, done;
    struct channel_wait *outer;
    struct channel_ask *outer_ask;
};

struct waits {
    struct watch *first;
};

/* Something on its way from the manager's threads to the core's. */
struct handoff {
    struct handoff *next;
    struct watch *watch; /* NULL: nobody waits */
    struct channel_update update;
    enum copies copies;
    char *name; /* an ask: of that member */
};

struct waits *waits_new(void)
{
    return mem_zero(sizeof(struct waits));
}

void waits_free(struct waits **waits)
{
    struct watch *w;

    while ((w = (*waits)->first)) {
        (*waits)->first = w->next;
        free(w);
    }
    free(*waits);
    *waits = NULL;
}

static void watch_over(struct watch *w)
{
    if (w->done)
        sim_fail(w->member->sim, "%s completes %s twice", w->member->name,
                 w->is_ask ? "an ask" : "a wait");
    w->done = true;
}

static void wait_done(struct channel_wait *wait, enum rc rc)
{
    struct watch *w = (struct watch *)wait;
    struct channel_wait *outer = w->outer;

    watch_over(w);
    w->outer = NULL;
    if (outer)
        outer->done(outer, rc);
}

static void ask_done(struct channel_ask *ask)
{
    struct watch *w =
        (struct watch *)((char *)ask - offsetof(struct watch, ask));
    struct channel_ask *outer = w->outer_ask;

    watch_over(w);
    w->outer_ask = NULL;
    if (!outer)
        return;
    outer->rc = ask->rc;
    outer->done(outer);
}

static struct watch *watch_new(struct member *m)
{
    struct watch *w = mem_zero(sizeof *w);

    w->member = m;
    w->life = m->life;
    w->since = m->sim->now;
    w->next = m->sim->waits->first;
    m->sim->waits->first = w;
    return w;
}

static bool is_overdue(const struct sim *sim, const struct watch *w)
{
    const struct member *m = w->member;
    int64_t since = w->since > m->resumed ? w->since : m->resumed;
    /* an ask has half a second; a wait for all goes on until who does not
     * answer is given up, one-way links included */
    int64_t limit = w->is_ask ? 600 * MS : (3 * sim->plan.drop_ms + 2000) * MS;

    /* who may not answer acknowledges nothing; each fault begins that anew */
    if (since < sim->troubled)
        since = sim->troubled;
    if (m->paused_until > sim->now || m->cost_us)
        return false;
    if (!w->is_ask && !channel_may_answer(&m->channel, member_now(m)))
        return false; /* it acknowledges nothing; that it ends is looked at */
    return sim->now - since > limit + sim->plan.handoff_us;
}

void waits_check(struct sim *sim)
{
    for (struct watch *w = sim->waits->first; w; w = w->next) {
        if (w->done)
            continue;
        if (!w->member->up || w->life != w->member->life)
            sim_fail(sim, "%s of %s was never completed",
                     w->is_ask ? "an ask" : "a wait", w->member->name);
        else if (is_overdue(sim, w))
            sim_fail(sim, "%s at %s waits since %.3f s",
                     w->is_ask ? "an ask" : "a commit", w->member->name,
                     (double)w->since / SECOND);
    }
}

bool waits_open(const struct sim *sim)
{
    for (const struct watch *w = sim->waits->first; w; w = w->next)
        if (!w->done)
            return true;
    return false;
}

/* ---- from the manager's threads to the core's ---- */

static void hand_over(struct member *m, struct handoff *h)
{
    struct instant now = member_now(m);
    struct watch *w = h->watch;

    if (h->name && m->up)
        core_ask(m->core, &w->ask, h->name, strlen(h->name), now);
    else if (h->name) {
        w->ask.rc = RC_UNAVAILABLE;
        w->ask.done(&w->ask);
    } else if (m->up)
        core_send(m->core, &h->update, w ? &w->wait : NULL, h->copies, now);
    else {
        record_unref(&h->update.record);
        if (w)
            w->wait.done(&w->wait, RC_UNCERTAIN);
    }
    free(h->name);
    free(h);
}

void waits_hand_over(struct member *m)
{
    struct handoff *h;

    member_enter(m);
    while ((h = m->handoffs)) {
        m->handoffs = h->next;
        if (!h->next)
            m->handoff_last = &m->handoffs;
        hand_over(m, h);
    }
    member_exit(m);
}

static void enqueue(struct member *m, struct handoff *h)
{
    struct sim *sim = m->sim;

    *m->handoff_last = h;
    m->handoff_last = &h->next;
    if (m->handing || !m->up)
        return;
    if (!sim->plan.handoff_us && m->depth == 0) {
        waits_hand_over(m);
        return;
    }
    m->handing = true;
    sim_at(sim, &(struct event){.at = sim->now +
                                      (sim->plan.handoff_us
                                           ? rng_between(&sim->net_rng, 0,
                                                         sim->plan.handoff_us)
                                           : 0),
                                .kind = EVENT_HANDOFF,
                                .slot = m->slot,
                                .life = m->life});
}

static void channel_sim_send(struct channel *c, const struct channel_update *u,
                             struct channel_wait *wait, enum copies copies)
{
    struct member *m = (struct member *)c;
    struct handoff *h = mem_zero(sizeof *h);

    h->update = *u;
    h->copies = copies;
    if (wait) {
        h->watch = watch_new(m);
        h->watch->wait.done = wait_done;
        h->watch->wait.min_copies = wait->min_copies;
        h->watch->outer = wait;
    }
    enqueue(m, h);
}

static void channel_sim_ask(struct channel *c, struct channel_ask *ask,
                            const char *member, size_t member_len)
{
    struct member *m = (struct member *)c;
    struct handoff *h = mem_zero(sizeof *h);

    h->name = mem_strndup(member, member_len);
    h->watch = watch_new(m);
    h->watch->is_ask = true;
    h->watch->outer_ask = ask;
    h->watch->ask = *ask;
    h->watch->ask.done = ask_done;
    enqueue(m, h);
}

static void channel_sim_join(struct channel *c, struct replica *replica)
{
    struct member *m = (struct member *)c;

    m->replica = replica;
    core_join(m->core, replica);
}

static void channel_sim_leave(struct channel *c, struct replica *replica)
{
    struct member *m = (struct member *)c;

    m->replica = NULL;
    if (m->core)
        core_leave(m->core, replica);
}

static bool channel_sim_is_mine(struct channel *c, const uint8_t id[ID_SIZE],
                                uint64_t owner)
{
    return core_is_mine(((struct member *)c)->core, id, owner);
}

static void channel_sim_figures(struct channel *c, struct channel_figures *out)
{
    struct member *m = (struct member *)c;

    core_figures(m->core, out, member_now(m));
}

const struct channel_ops channel_sim = {
    .send = channel_sim_send,
    .ask = channel_sim_ask,
    .join = channel_sim_join,
    .leave = channel_sim_leave,
    .is_mine = channel_sim_is_mine,
    .figures = channel_sim_figures,
};
