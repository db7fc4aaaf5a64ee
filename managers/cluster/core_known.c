/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts of members that this one has never met, and that stand in places: are
 * they gone? Who has met them knows. As long as one of the members that are
 * here, or may come back, does not take such a start for gone, neither does
 * this one. It asks all of them in rounds, and what is decided is decided by
 * the answers of one: who has just said no may meet that start the next
 * moment. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include <string.h>

#define ASK_AGAIN_MS 1000
#define KNOWN_AGAIN_MS 10000 /* between two rounds */
/* Somebody may be on his way: nobody is taken for gone before. */
#define PATIENCE(core) (10 * (core)->options.drop_ms)

static struct stranger *stranger_of(struct core *core, uint64_t node)
{
    for (size_t i = 0; i < core->stranger_count; i++)
        if (core->strangers[i].node == node)
            return &core->strangers[i];
    return NULL;
}

static uint64_t bit_of(const struct core *core, const struct stranger *s)
{
    return UINT64_C(1) << (s - core->strangers);
}

static bool is_patient(const struct core *core, const struct stranger *s,
                       int64_t mono)
{
    return mono - s->since < PATIENCE(core);
}

/* Everybody is asked about it, from now on. */
static void round_begin(struct core *core, struct stranger *s,
                        struct instant now)
{
    s->known = false;
    s->begun = now.mono;
    s->next = now.mono + KNOWN_AGAIN_MS;
    for (size_t i = 0; i < core->peer_count; i++)
        core->peers[i]->denied &= ~bit_of(core, s);
}

void core_wonder(struct core *core, uint64_t node, struct instant now)
{
    struct stranger *s;

    lease_time(core, now);
    if (peer_of(core, node) || stranger_of(core, node) ||
        core->stranger_count == STRANGERS_MAX)
        return;
    s = &core->strangers[core->stranger_count++];
    *s = (struct stranger){.node = node, .since = now.mono};
    round_begin(core, s, now);
}

static void stranger_drop(struct core *core, struct stranger *s)
{
    struct stranger *last = &core->strangers[core->stranger_count - 1];

    for (size_t i = 0; i < core->peer_count; i++) {
        struct peer *p = core->peers[i];
        bool denied = p->denied & bit_of(core, last);
        p->denied &= ~(bit_of(core, s) | bit_of(core, last));
        if (denied && s != last)
            p->denied |= bit_of(core, s);
    }
    *s = *last;
    core->stranger_count--;
}

/* ---- who is asked ---- */

static bool is_known(struct core *core, uint64_t node, struct instant now)
{
    const struct peer *p = peer_of(core, node);

    return node == core->options.node ||
           (p && view_state(core, p, now) != MEMBER_GONE);
}

static void on_known_ask(struct core *core, struct peer *p,
                         struct frame_known_ask *f, struct instant now)
{
    struct frame_known_one all[FRAME_MEMBERS_MAX];
    uint32_t count = 0;
    uint64_t node;

    while (frame_next_node(f, &node))
        all[count++] = (struct frame_known_one){
            .node = node, .known = is_known(core, node, now)};
    frame_known(&core->w, all, count);
    core_post(core, p);
}

/* ---- who asks ---- */

static void on_known(struct core *core, struct peer *p, struct frame_known *f)
{
    struct frame_known_one one;

    while (frame_next_known(f, &one)) {
        struct stranger *s = stranger_of(core, one.node);
        if (s && one.known)
            s->known = true;
        else if (s)
            p->denied |= bit_of(core, s);
    }
}

void known_frame(struct core *core, struct peer *p, struct frame *f,
                 struct instant now)
{
    if (f->type == FRAME_KNOWN_ASK)
        on_known_ask(core, p, &f->known_ask, now);
    else
        on_known(core, p, &f->known);
}

static void ask(struct core *core, struct peer *p, struct instant now)
{
    uint64_t nodes[STRANGERS_MAX];
    uint32_t count = 0;

    if (!peer_linked(p) || !p->pulsed || now.mono < p->next_ask)
        return;
    for (size_t i = 0; i < core->stranger_count; i++) {
        const struct stranger *s = &core->strangers[i];
        if (!s->known && !(p->denied & bit_of(core, s)))
            nodes[count++] = s->node;
    }
    if (!count)
        return;
    p->next_ask = now.mono + ASK_AGAIN_MS;
    frame_known_ask(&core->w, nodes, count);
    core_post(core, p);
}

/* Of everybody who could know. */
static bool all_deny(const struct core *core, const struct stranger *s,
                     struct instant now)
{
    if (!core->complete || s->known || is_patient(core, s, s->begun))
        return false;
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (view_state(core, p, now) != MEMBER_GONE &&
            !(p->denied & bit_of(core, s)))
            return false;
    }
    return true;
}

void known_tick(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->stranger_count; i++) {
        struct stranger *s = &core->strangers[i];
        bool last = !s->known && is_patient(core, s, s->begun) &&
                    !is_patient(core, s, now.mono);
        if (last || now.mono >= s->next)
            round_begin(core, s, now);
    }
    for (size_t i = 0; core->stranger_count && i < core->peer_count; i++)
        ask(core, core->peers[i], now);
    for (size_t i = core->stranger_count; i-- > 0;) {
        struct stranger *s = &core->strangers[i];
        bool gone = !peer_of(core, s->node) && all_deny(core, s, now);
        if (gone)
            view_gone(core, s->node);
        if (gone || peer_of(core, s->node))
            stranger_drop(core, s);
    }
}
