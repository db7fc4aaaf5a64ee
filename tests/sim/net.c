/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/net.h"

#include "managers/cluster/frame.h"
#include "session/buf.h"
#include "tests/sim/member.h"

#include <stdlib.h>
#include <string.h>

struct message {
    struct message *next;
    bool fin; /* no frame: the sender closed */
    uint32_t len;
    uint8_t body[];
};

enum end_state { END_PENDING, END_OPEN, END_GONE };

struct end {
    enum end_state state;
    int slot;
    uint32_t life;
    int number; /* by which its core knows it */
    bool reset; /* is about to be told that the other end is gone */
};

/* To the end of the same index. */
struct pipe {
    int64_t last; /* nothing arrives before what was sent before it */
    struct message *held, **held_last;
};

struct link {
    struct end end[2]; /* 0: who dialled */
    struct pipe pipe[2];
    bool broken, loses;
    int next; /* of the same two members; -1 */
};

struct direction {
    uint16_t blocks;
    bool hold;
};

struct net {
    struct sim *sim;
    struct link *links;
    int count, cap;
    unsigned members;
    int *pairs;               /* the first link of two members; -1 */
    struct direction *blocks; /* from * members + to */
    int64_t *slow;            /* us, by host */
    unsigned lost, doubled, overtaken;
};

struct net *net_new(struct sim *sim)
{
    struct net *n = mem_zero(sizeof *n);
    size_t pairs = (size_t)sim->count * sim->count;

    n->sim = sim;
    n->members = sim->count;
    n->pairs = mem_alloc(pairs * sizeof *n->pairs);
    for (size_t i = 0; i < pairs; i++)
        n->pairs[i] = -1;
    n->blocks = mem_zero(pairs * sizeof *n->blocks);
    n->slow = mem_zero(sim->count * sizeof *n->slow);
    return n;
}

static void drop_held(struct pipe *pipe)
{
    struct message *m;

    while ((m = pipe->held)) {
        pipe->held = m->next;
        free(m);
    }
    pipe->held_last = &pipe->held;
}

void net_free(struct net **net)
{
    struct net *n = *net;

    *net = NULL;
    for (int i = 0; i < n->count; i++) {
        drop_held(&n->links[i].pipe[0]);
        drop_held(&n->links[i].pipe[1]);
    }
    free(n->links);
    free(n->pairs);
    free(n->blocks);
    free(n->slow);
    free(n);
}

static struct direction *direction(struct net *n, int from, int to)
{
    return &n->blocks[(unsigned)from * n->members + (unsigned)to];
}

static int *pair_of(struct net *n, int a, int b)
{
    unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
    return &n->pairs[low * n->members + high];
}

static int64_t delay(struct net *n, int from, int to)
{
    const struct plan *p = &n->sim->plan;

    return rng_between(&n->sim->net_rng, p->delay_low, p->delay_high) +
           n->slow[from] + n->slow[to];
}

/* ---- what the ends are told ---- */

static void tell(struct sim *sim, enum event_kind kind, int at, int64_t when,
                 int64_t more)
{
    const struct end *e = &sim->net->links[at / 2].end[at % 2];

    sim_at(sim, &(struct event){.at = when,
                                .kind = kind,
                                .slot = e->slot,
                                .life = e->life,
                                .number = at,
                                .more = more});
}

/* Somebody who still believes in the link will hear that it is over. */
static void tell_down(struct sim *sim, int at, int64_t when)
{
    struct end *e = &sim->net->links[at / 2].end[at % 2];

    if (e->state == END_GONE || e->reset)
        return;
    e->reset = true;
    tell(sim, EVENT_LINK_DOWN, at, when, 0);
}

/* About when TCP gives up what it cannot send. */
static int64_t give_up_time(struct sim *sim)
{
    return sim->now +
           sim->plan.drop_ms * MS * rng_between(&sim->net_rng, 70, 140) / 100;
}

static void link_break(struct sim *sim, int number, bool loses)
{
    struct link *l = &sim->net->links[number];

    l->broken = true;
    l->loses = loses;
    drop_held(&l->pipe[0]);
    drop_held(&l->pipe[1]);
}

static void end_gone(struct sim *sim, struct end *e)
{
    struct member *m = &sim->members[e->slot];

    if (e->state == END_OPEN && m->life == e->life && m->ends)
        m->ends[e->number] = -1;
    e->state = END_GONE;
}

/* ---- sending ---- */

static void carry(struct sim *sim, int to_end, struct message *msg,
                  bool in_order)
{
    struct net *n = sim->net;
    struct link *l = &n->links[to_end / 2];
    const struct end *to = &l->end[to_end % 2], *from = &l->end[!(to_end % 2)];
    struct pipe *pipe = &l->pipe[to_end % 2];
    int64_t at = sim->now + delay(n, from->slot, to->slot);

    if (in_order && at < pipe->last)
        at = pipe->last;
    if (in_order)
        pipe->last = at;
    else
        at += delay(n, from->slot, to->slot);
    sim_at(sim, &(struct event){.at = at,
                                .kind = EVENT_FRAME,
                                .slot = to->slot,
                                .life = to->life,
                                .number = to_end,
                                .p = msg});
}

static struct message *message_new(const uint8_t *body, size_t len)
{
    struct message *msg = mem_alloc(sizeof *msg + len);

    *msg = (struct message){.len = (uint32_t)len};
    if (len)
        memcpy(msg->body, body, len);
    return msg;
}

static void put(struct sim *sim, int to_end, struct message *msg)
{
    struct net *n = sim->net;
    struct link *l = &n->links[to_end / 2];
    struct pipe *pipe = &l->pipe[to_end % 2];
    int from = l->end[!(to_end % 2)].slot, to = l->end[to_end % 2].slot;
    const struct direction *d = direction(n, from, to);
    struct rng *r = &sim->net_rng;
    bool open = !d->blocks && !direction(n, to, from)->blocks;

    if (l->broken && open) /* who hears of an unknown link refuses it */
        tell_down(sim, to_end ^ 1, sim->now + 2 * delay(n, from, to));
    if (l->broken || (d->blocks && !d->hold) || rng_below(r, 100) < n->lost) {
        free(msg);
        return;
    }
    if (d->blocks) {
        msg->next = NULL;
        *pipe->held_last = msg;
        pipe->held_last = &msg->next;
        return;
    }
    if (!msg->fin && n->doubled && rng_below(r, 100) < n->doubled)
        carry(sim, to_end, message_new(msg->body, msg->len), false);
    carry(sim, to_end, msg,
          msg->fin || !n->overtaken || rng_below(r, 100) >= n->overtaken);
}

void net_send(struct sim *sim, int slot, int link, const uint8_t *bytes,
              size_t len)
{
    const struct member *m = &sim->members[slot];

    if (link < 0 || (size_t)link >= m->end_count || m->ends[link] < 0) {
        sim_fail(sim, "%s sends on link %d, which it does not have", m->name,
                 link);
        return;
    }
    while (len > 0 && !sim->failure[0]) {
        const uint8_t *body;
        size_t body_len, need;
        if (frame_split(bytes, len, &body, &body_len, &need) != 1) {
            sim_fail(sim, "%s sends what is no whole frame", m->name);
            return;
        }
        put(sim, m->ends[link] ^ 1, message_new(body, body_len));
        len -= (size_t)(body + body_len - bytes);
        bytes = body + body_len;
    }
}

static void send_fin(struct sim *sim, int to_end)
{
    struct message *msg = message_new(NULL, 0);

    msg->fin = true;
    put(sim, to_end, msg);
}

void net_close(struct sim *sim, int slot, int link)
{
    struct member *m = &sim->members[slot];

    if (link < 0 || (size_t)link >= m->end_count || m->ends[link] < 0) {
        sim_fail(sim, "%s closes link %d, which it does not have", m->name,
                 link);
        return;
    }
    int at = m->ends[link];
    end_gone(sim, &sim->net->links[at / 2].end[at % 2]);
    if (!sim->net->links[at / 2].broken)
        send_fin(sim, at ^ 1);
}

/* ---- dialling ---- */

static int slot_of(const struct sim *sim, const char *address)
{
    for (unsigned i = 0; i < sim->count; i++)
        if (strcmp(sim->members[i].address, address) == 0)
            return (int)i;
    return -1;
}

static void dial_failed(struct sim *sim, int slot, int place, bool refused,
                        int64_t when)
{
    sim_at(sim, &(struct event){.at = when,
                                .kind = EVENT_DIAL_FAILED,
                                .slot = slot,
                                .life = sim->members[slot].life,
                                .number = place,
                                .more = refused});
}

static int link_new(struct sim *sim, int from, int to)
{
    struct net *n = sim->net;

    if (n->count == n->cap) {
        int cap = n->cap ? 2 * n->cap : 64;
        struct link *links = mem_alloc((size_t)cap * sizeof *links);
        if (n->count)
            memcpy(links, n->links, (size_t)n->count * sizeof *links);
        for (int i = 0; i < 2 * n->count; i++) {
            struct pipe *p = &links[i / 2].pipe[i % 2];
            if (!p->held)
                p->held_last = &p->held;
        }
        free(n->links);
        n->links = links;
        n->cap = cap;
    }
    int *pair = pair_of(n, from, to);
    struct link *l = &n->links[n->count];
    *l = (struct link){.next = *pair};
    *pair = n->count;
    l->end[0] = (struct end){.slot = from, .life = sim->members[from].life};
    l->end[1] = (struct end){.slot = to, .life = sim->members[to].life};
    l->pipe[0].held_last = &l->pipe[0].held;
    l->pipe[1].held_last = &l->pipe[1].held;
    return n->count++;
}

void net_dial(struct sim *sim, int slot, int place, const char *address)
{
    struct net *n = sim->net;
    int to = slot_of(sim, address);

    if (to < 0 || to == slot) {
        sim_fail(sim, "%s dials %s", sim->members[slot].name, address);
        return;
    }
    const struct member *m = &sim->members[to];
    int64_t there = sim->now + delay(n, slot, to);
    int64_t back = there + delay(n, to, slot);
    if (direction(n, slot, to)->blocks || direction(n, to, slot)->blocks ||
        (!m->up && m->silent)) {
        dial_failed(sim, slot, place, false,
                    sim->now + rng_between(&sim->net_rng, 200, 1500) * MS);
    } else if (!m->up) {
        dial_failed(sim, slot, place, true, back);
    } else {
        int number = link_new(sim, slot, to);
        n->links[number].pipe[1].last = there;
        n->links[number].pipe[0].last = back;
        tell(sim, EVENT_LINK_UP, 2 * number + 1, there, -1);
        tell(sim, EVENT_LINK_UP, 2 * number, back, place);
    }
}

/* ---- what arrives ---- */

static int number_for(struct member *m, int at)
{
    size_t i = 0;

    while (i < m->end_count && m->ends[i] >= 0)
        i++;
    if (i == m->end_count) {
        m->ends = mem_resize(m->ends, (i + 8) * sizeof *m->ends);
        for (; m->end_count < i + 8; m->end_count++)
            m->ends[m->end_count] = -1;
    }
    m->ends[i] = at;
    return (int)i;
}

static void event_up(struct sim *sim, const struct event *e)
{
    struct member *m = &sim->members[e->slot];
    struct link *l = &sim->net->links[e->number / 2];
    struct end *end = &l->end[e->number % 2];

    if (l->broken || end->state == END_GONE) {
        end->state = END_GONE;
        if (e->more >= 0)
            core_dial_failed(m->core, (int)e->more, false, member_now(m));
        return;
    }
    end->state = END_OPEN;
    end->number = number_for(m, (int)e->number);
    SAY(sim, e->slot, "link %d up, %s %s", end->number,
        e->more >= 0 ? "to" : "from",
        sim->members[l->end[!(e->number % 2)].slot].name);
    core_link_up(m->core, end->number, (int)e->more, member_now(m));
}

static void end_down(struct sim *sim, int at)
{
    struct link *l = &sim->net->links[at / 2];
    struct end *end = &l->end[at % 2];
    struct member *m = &sim->members[end->slot];
    int number = end->number;

    l->broken = true;
    if (end->state != END_OPEN) {
        end->state = END_GONE;
        return;
    }
    SAY(sim, end->slot, "link %d down (%s)", number,
        sim->members[l->end[!(at % 2)].slot].name);
    end_gone(sim, end);
    core_link_down(m->core, number, member_now(m));
}

static void event_frame(struct sim *sim, const struct event *e)
{
    struct member *m = &sim->members[e->slot];
    struct link *l = &sim->net->links[e->number / 2];
    struct end *end = &l->end[e->number % 2];
    struct message *msg = e->p;

    sim_note(sim, msg->len);
    if (end->state == END_OPEN && msg->fin)
        end_down(sim, (int)e->number);
    else if (end->state == END_OPEN && !(l->broken && l->loses))
        core_received(m->core, end->number, msg->body, msg->len, member_now(m));
    else if (end->state == END_GONE && !msg->fin)
        tell_down(sim, (int)e->number ^ 1,
                  sim->now +
                      delay(sim->net, e->slot, l->end[!(e->number % 2)].slot));
    free(msg);
}

void net_event(struct sim *sim, const struct event *e)
{
    struct member *m = &sim->members[e->slot];

    member_enter(m);
    switch (e->kind) {
    case EVENT_FRAME:
        event_frame(sim, e);
        break;
    case EVENT_LINK_UP:
        event_up(sim, e);
        break;
    case EVENT_LINK_DOWN:
        end_down(sim, (int)e->number);
        break;
    default:
        core_dial_failed(m->core, (int)e->number, e->more, member_now(m));
    }
    member_exit(m);
}

void net_drop(struct sim *sim, const struct event *e)
{
    (void)sim;
    if (e->kind == EVENT_FRAME)
        free(e->p);
}

/* ---- how it breaks ---- */

void net_crash(struct sim *sim, int slot, bool silent)
{
    struct net *n = sim->net;
    uint32_t life = sim->members[slot].life;

    for (int i = 0; i < 2 * n->count; i++) {
        struct link *l = &n->links[i / 2];
        struct end *e = &l->end[i % 2];
        if (e->slot != slot || e->life != life || e->state == END_GONE)
            continue;
        end_gone(sim, e);
        if (l->broken)
            continue;
        if (silent)
            tell_down(sim, i ^ 1, give_up_time(sim));
        else
            send_fin(sim, i ^ 1);
    }
}

bool net_cut(struct sim *sim, int a, int b)
{
    struct net *n = sim->net;
    struct rng *r = &sim->net_rng;

    for (int i = *pair_of(n, a, b); i >= 0; i = n->links[i].next) {
        struct link *l = &n->links[i];
        if (l->broken || l->end[0].state != END_OPEN ||
            l->end[1].state != END_OPEN)
            continue;
        link_break(sim, i, rng_chance(r, 50));
        int first = (int)rng_below(r, 2);
        tell_down(sim, 2 * i + first,
                  sim->now + rng_mostly_small(r, 0, 500 * MS));
        tell_down(sim, 2 * i + !first,
                  rng_chance(r, 50) ? sim->now + 100 * MS : give_up_time(sim));
        return true;
    }
    return false;
}

void net_block(struct sim *sim, int from, int to, bool hold)
{
    struct net *n = sim->net;
    struct direction *d = direction(n, from, to);

    if (!d->blocks++)
        d->hold = hold;
    for (int i = *pair_of(n, from, to); i >= 0; i = n->links[i].next) {
        struct link *l = &n->links[i];
        int sender = l->end[0].slot == from ? 0 : 1;
        if (l->end[sender].state == END_OPEN && !l->broken &&
            rng_chance(&sim->net_rng, 60))
            tell_down(sim, 2 * i + sender, give_up_time(sim));
    }
}

static void release_held(struct sim *sim, int to_end)
{
    struct pipe *pipe = &sim->net->links[to_end / 2].pipe[to_end % 2];
    struct message *msg = pipe->held, *next;

    pipe->held = NULL;
    pipe->held_last = &pipe->held;
    for (; msg; msg = next) {
        next = msg->next;
        carry(sim, to_end, msg, true);
    }
}

void net_unblock(struct sim *sim, int from, int to)
{
    struct net *n = sim->net;

    if (--direction(n, from, to)->blocks)
        return;
    for (int i = *pair_of(n, from, to); i >= 0; i = n->links[i].next)
        release_held(sim, 2 * i + (n->links[i].end[0].slot == to ? 0 : 1));
}

void net_weather(struct sim *sim, unsigned lost, unsigned doubled,
                 unsigned overtaken)
{
    sim->net->lost = lost;
    sim->net->doubled = doubled;
    sim->net->overtaken = overtaken;
}

void net_delay(struct sim *sim, int slot, int64_t us)
{
    sim->net->slow[slot] = us;
}
