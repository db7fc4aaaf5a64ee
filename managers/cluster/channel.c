/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/channel.h"
#include "managers/cluster/rendezvous.h"
#include "managers/cluster/replica.h"

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

unsigned channel_choose(const struct channel *channel,
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
        if (state == MEMBER_HERE && !is_among(node, except, except_count))
            count = insert(out, count, max, node, id);
    }
    return count;
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
