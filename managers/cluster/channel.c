/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/channel.h"
#include "managers/cluster/rendezvous.h"
#include "managers/cluster/replica.h"

const char *copies_words(enum copies copies)
{
    static const char *const waits[] = {
        [COPIES_NONE] = "for none of them",
        [COPIES_ONE] = "for one of them",
        [COPIES_ALL] = "for all of them",
    };

    return waits[copies];
}

static bool is_among(uint64_t node, const uint64_t *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

/* Into its place by weight; the last one falls out where there is no room. */
static unsigned insert(uint64_t *nodes, unsigned count, unsigned max,
                       uint64_t node, const uint8_t id[ID_SIZE])
{
    uint64_t weight = rendezvous_weight(node, id);
    unsigned at = count;

    while (at > 0 && rendezvous_weight(nodes[at - 1], id) < weight)
        at--;
    if (at == max)
        return count;
    if (count < max)
        count++;
    memmove(nodes + at + 1, nodes + at, (count - at - 1) * sizeof *nodes);
    nodes[at] = node;
    return count;
}

static enum app_state app_at(const struct channel_app *app, unsigned slot)
{
    return (enum app_state)atomic_load_explicit(
        &((struct channel_app *)app)->at[slot], memory_order_relaxed);
}

enum member_state channel_holder(const struct channel *channel,
                                 const struct channel_app *app, uint64_t node,
                                 enum app_state *state)
{
    struct channel *c = (struct channel *)channel;
    unsigned slots =
        atomic_load_explicit(&c->member_slots, memory_order_acquire);
    enum member_state there = MEMBER_UNKNOWN;

    *state = APP_UNKNOWN;
    if (node == c->node) {
        bool leaves = atomic_load_explicit(&((struct channel_app *)app)->leaves,
                                           memory_order_relaxed);
        *state = leaves ? APP_LEAVES : APP_HAS;
        return MEMBER_HERE;
    }
    for (unsigned i = 0; i < slots; i++) {
        struct channel_member *m = &c->members[i];
        if (atomic_load_explicit(&m->node, memory_order_relaxed) != node)
            continue;
        there = (enum member_state)atomic_load_explicit(&m->state,
                                                        memory_order_relaxed);
        *state = app_at(app, i);
        break;
    }
    return there == MEMBER_HERE && *state == APP_LACKS ? MEMBER_GONE : there;
}

bool channel_left(const struct channel *channel, uint64_t node)
{
    struct channel *c = (struct channel *)channel;
    unsigned slots =
        atomic_load_explicit(&c->member_slots, memory_order_acquire);

    for (unsigned i = 0; i < slots; i++)
        if (atomic_load(&c->members[i].node) == node)
            return atomic_load(&c->members[i].state) == MEMBER_GONE &&
                   atomic_load(&c->members[i].left);
    return false;
}

/* Of an application the state has a bit in `states`. */
static unsigned choose(const struct channel *channel,
                       const struct channel_app *app, unsigned states,
                       const uint8_t id[ID_SIZE], const uint64_t *except,
                       unsigned except_count, uint64_t *out, unsigned max)
{
    struct channel *c = (struct channel *)channel;
    unsigned slots =
        atomic_load_explicit(&c->member_slots, memory_order_acquire);
    unsigned count = 0;

    for (unsigned i = 0; i < slots; i++) {
        struct channel_member *m = &c->members[i];
        unsigned state = atomic_load_explicit(&m->state, memory_order_relaxed);
        uint64_t node = atomic_load_explicit(&m->node, memory_order_relaxed);
        if (state == MEMBER_HERE && (!app || states & 1u << app_at(app, i)) &&
            !is_among(node, except, except_count))
            count = insert(out, count, max, node, id);
    }
    return count;
}

unsigned channel_choose(const struct channel *c, const struct channel_app *app,
                        const uint8_t id[ID_SIZE], const uint64_t *except,
                        unsigned except_count, uint64_t *out, unsigned max)
{
    return choose(c, app, 1u << APP_HAS, id, except, except_count, out, max);
}

unsigned channel_choose_asked(const struct channel *c,
                              const struct channel_app *app,
                              const uint8_t id[ID_SIZE], const uint64_t *except,
                              unsigned except_count, uint64_t *out,
                              unsigned max)
{
    return choose(c, app, ~(1u << APP_LACKS), id, except, except_count, out,
                  max);
}

uint64_t channel_first(const struct channel *c, const struct channel_app *app,
                       const uint8_t id[ID_SIZE])
{
    uint64_t node;

    if (channel_choose(c, app, id, NULL, 0, &node, 1) &&
        (atomic_load(&app->leaves) ||
         rendezvous_weight(node, id) > rendezvous_weight(c->node, id)))
        return node;
    return c->node;
}

bool channel_is_whole(const struct channel *channel,
                      const struct channel_app *app)
{
    struct channel *c = (struct channel *)channel;
    unsigned slots =
        atomic_load_explicit(&c->member_slots, memory_order_acquire);
    bool whole = !atomic_load(&c->unheard);

    for (unsigned i = 0; i < slots; i++)
        whole &= atomic_load(&c->members[i].state) != MEMBER_AWAY ||
                 app_at(app, i) == APP_LACKS;
    return whole;
}

uint64_t channel_named(const struct channel *channel, const char *name,
                       size_t len)
{
    struct channel *c = (struct channel *)channel;
    uint64_t hash = replica_hash((const uint8_t *)name, len);
    unsigned slots =
        atomic_load_explicit(&c->member_slots, memory_order_acquire);

    for (unsigned i = 0; i < slots; i++) {
        struct channel_member *m = &c->members[i];
        if (atomic_load_explicit(&m->name, memory_order_relaxed) == hash &&
            atomic_load_explicit(&m->state, memory_order_relaxed) ==
                MEMBER_HERE)
            return atomic_load_explicit(&m->node, memory_order_relaxed);
    }
    return 0;
}
