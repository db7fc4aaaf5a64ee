/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel of a member, and what is expected of it: each wait, ask, call and
 * pause is completed exactly once, within a bounded time. */
#include "config.h"

#include "tests/sim/waits.h"

#include "session/buf.h"
#include "tests/sim/holders.h"

#include <stdlib.h>
#include <string.h>

enum kind { SEND, ASK, CALL, REPLY, PAUSE };
static const char *const kind_names[] = {"a commit", "an ask", "a call",
                                         "a reply", "a pause"};

/* What the core waits with, in place of the manager's own. */
struct watch {
    union {
        struct channel_wait wait;
        struct channel_ask ask;
        struct channel_call call;
        struct channel_pause pause;
    }; /* first */
    struct watch *next;
    struct member *member;
    uint32_t life;
    int64_t since, limit; /* us */
    enum kind kind;
    bool done;
    union {
        struct channel_wait *wait;
        struct channel_ask *ask;
        struct channel_call *call;
        struct channel_pause *pause;
    } outer;
};

struct waits {
    struct watch *first;
};

/* Something on its way from the manager's threads to the core's. */
struct handoff {
    struct handoff *next;
    enum kind kind;
    struct watch *watch; /* NULL: nobody waits */
    struct channel_update update;
    enum copies copies;
    char *name; /* an ask: of that member */
    struct channel_reply reply;
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
                 kind_names[w->kind]);
    w->done = true;
}

static void wait_done(struct channel_wait *wait, enum rc rc)
{
    struct watch *w = (struct watch *)wait;
    struct channel_wait *outer = w->outer.wait;

    watch_over(w);
    w->outer.wait = NULL;
    if (!outer)
        return;
    outer->applied = wait->applied;
    outer->now = wait->now;
    outer->done(outer, rc);
}

static void ask_done(struct channel_ask *ask)
{
    struct watch *w = (struct watch *)ask;
    struct channel_ask *outer = w->outer.ask;

    watch_over(w);
    w->outer.ask = NULL;
    if (!outer)
        return;
    outer->rc = ask->rc;
    outer->done(outer);
}

static void call_done(struct channel_call *call)
{
    struct watch *w = (struct watch *)call;
    struct channel_call *outer = w->outer.call;

    watch_over(w);
    w->outer.call = NULL;
    if (!outer)
        return;
    void (*done)(struct channel_call *) = outer->done;
    *outer = *call;
    outer->done = done;
    outer->done(outer);
}

static void pause_done(struct channel_pause *pause)
{
    struct watch *w = (struct watch *)pause;
    struct channel_pause *outer = w->outer.pause;

    watch_over(w);
    w->outer.pause = NULL;
    if (!outer)
        return;
    outer->now = pause->now;
    outer->stopped = pause->stopped;
    outer->done(outer);
}

/* limit: of an ask half a second; of a commit: it goes on until who does not
 * answer is given up, one-way links included. */
static struct watch *watch_new(struct member *m, enum kind kind,
                               int64_t limit_ms)
{
    struct watch *w = mem_zero(sizeof *w);

    w->member = m;
    w->kind = kind;
    w->life = m->life;
    w->since = m->sim->now;
    w->limit = limit_ms * MS;
    w->next = m->sim->waits->first;
    m->sim->waits->first = w;
    return w;
}

static bool is_overdue(const struct sim *sim, const struct watch *w)
{
    const struct member *m = w->member;
    int64_t since = w->since > m->resumed ? w->since : m->resumed;

    /* who may not answer acknowledges nothing; each fault begins that anew */
    if (since < sim->troubled)
        since = sim->troubled;
    if (m->paused_until > sim->now || m->cost_us)
        return false;
    if (w->kind == SEND && !channel_may_answer(&m->channel, member_now(m)))
        return false; /* it acknowledges nothing; that it ends is looked at */
    return sim->now - since > w->limit + sim->plan.handoff_us;
}

void waits_check(struct sim *sim)
{
    for (struct watch *w = sim->waits->first; w; w = w->next) {
        if (w->done)
            continue;
        if (!w->member->up || w->life != w->member->life)
            sim_fail(sim, "%s of %s was never completed", kind_names[w->kind],
                     w->member->name);
        else if (is_overdue(sim, w))
            sim_fail(sim, "%s at %s waits since %.3f s", kind_names[w->kind],
                     w->member->name, (double)w->since / SECOND);
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

static void give_to_core(struct member *m, struct handoff *h)
{
    struct instant now = member_now(m);
    struct watch *w = h->watch;

    switch (h->kind) {
    case SEND:
        core_send(m->core, &h->update, w ? &w->wait : NULL, h->copies, now);
        break;
    case ASK:
        core_ask(m->core, &w->ask, h->name, strlen(h->name), now);
        break;
    case CALL:
        core_call(m->core, &w->call, now);
        break;
    case REPLY:
        core_reply(m->core, &h->reply, now);
        break;
    case PAUSE:
        core_pause(m->core, &w->pause, now);
        break;
    }
}

/* Its process is gone. */
static void refuse(struct member *m, struct handoff *h)
{
    struct watch *w = h->watch;

    switch (h->kind) {
    case SEND:
        record_unref(&h->update.record);
        if (!w)
            break;
        w->wait.now = member_now(m);
        w->wait.done(&w->wait, RC_UNCERTAIN);
        break;
    case ASK:
        w->ask.rc = RC_UNAVAILABLE;
        w->ask.done(&w->ask);
        break;
    case CALL:
        w->call.answer = CALL_UNAVAILABLE;
        w->call.now = member_now(m);
        w->call.done(&w->call);
        break;
    case REPLY:
        record_unref(&h->reply.record);
        break;
    case PAUSE:
        w->pause.now = member_now(m);
        w->pause.stopped = true;
        w->pause.done(&w->pause);
        break;
    }
}

static void hand_over(struct member *m, struct handoff *h)
{
    if (m->up)
        give_to_core(m, h);
    else
        refuse(m, h);
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

static struct handoff *handoff_new(enum kind kind)
{
    struct handoff *h = mem_zero(sizeof *h);

    h->kind = kind;
    return h;
}

static void channel_sim_send(struct channel *c, const struct channel_update *u,
                             struct channel_wait *wait, enum copies copies)
{
    struct member *m = (struct member *)c;
    struct handoff *h = handoff_new(SEND);

    if (u->kind == UPDATE_PLACE)
        holders_named(m->sim, m, u->id, &u->place);
    h->update = *u;
    h->copies = copies;
    if (wait) {
        h->watch = watch_new(m, SEND, 3 * m->sim->plan.drop_ms + 2000);
        h->watch->wait.done = wait_done;
        h->watch->wait.min_copies = wait->min_copies;
        h->watch->outer.wait = wait;
    }
    enqueue(m, h);
}

static void channel_sim_ask(struct channel *c, struct channel_ask *ask,
                            const char *member, size_t member_len)
{
    struct member *m = (struct member *)c;
    struct handoff *h = handoff_new(ASK);

    h->name = mem_strndup(member, member_len);
    h->watch = watch_new(m, ASK, 600);
    h->watch->outer.ask = ask;
    h->watch->ask = *ask;
    h->watch->ask.done = ask_done;
    enqueue(m, h);
}

static void channel_sim_call(struct channel *c, struct channel_call *call)
{
    struct member *m = (struct member *)c;
    struct handoff *h = handoff_new(CALL);
    int64_t left = call->deadline - member_now(m).mono;

    h->watch = watch_new(m, CALL, (left > 0 ? left : 0) + 150);
    h->watch->outer.call = call;
    h->watch->call = *call;
    h->watch->call.done = call_done;
    h->watch->call.record = NULL;
    h->watch->call.placed = false;
    enqueue(m, h);
}

static void channel_sim_reply(struct channel *c,
                              const struct channel_reply *reply)
{
    struct handoff *h = handoff_new(REPLY);

    h->reply = *reply;
    enqueue((struct member *)c, h);
}

static void channel_sim_pause(struct channel *c, struct channel_pause *pause)
{
    struct member *m = (struct member *)c;
    struct handoff *h = handoff_new(PAUSE);

    h->watch = watch_new(m, PAUSE, 150);
    h->watch->outer.pause = pause;
    h->watch->pause.done = pause_done;
    enqueue(m, h);
}

static void channel_sim_join(struct channel *c, struct replica *replica)
{
    struct member *m = (struct member *)c;

    m->replica = replica;
    core_join(m->core, replica);
}

static void channel_sim_wonder(struct channel *c, uint64_t node)
{
    struct member *m = (struct member *)c;

    core_wonder(m->core, node, member_now(m));
}

static void channel_sim_withdraw(struct channel *c, struct replica *replica)
{
    struct member *m = (struct member *)c;

    member_enter(m);
    core_withdraw(m->core, replica, member_now(m));
    member_exit(m);
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
    .call = channel_sim_call,
    .reply = channel_sim_reply,
    .pause = channel_sim_pause,
    .wonder = channel_sim_wonder,
    .join = channel_sim_join,
    .withdraw = channel_sim_withdraw,
    .leave = channel_sim_leave,
    .is_mine = channel_sim_is_mine,
    .figures = channel_sim_figures,
};
