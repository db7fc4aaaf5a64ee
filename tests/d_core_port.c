/* SPDX-License-Identifier: Apache-2.0
 *
 * Another start listens at the port of one: whether that one is gone. */
#include "config.h"

#include "tests/cores.h"
#include "tests/unit.h"

/* Is the process of that start gone, as host i sees it? */
static bool is_gone(struct net *n, int i, uint64_t node)
{
    struct channel *c = &n->hosts[i].channel;

    for (unsigned k = 0; k < atomic_load(&c->member_slots); k++)
        if (atomic_load(&c->members[k].node) == node)
            return atomic_load(&c->members[k].state) == MEMBER_GONE;
    return false;
}

/* The process of host i died, and another one says that it listens at h1:1. */
static void start_at_h1(struct net *n, int i, const char *name)
{
    for (int k = 0; k < n->count; k++)
        net_cut(n, i, k, true);
    core_free(&n->hosts[i].core);
    net_start_as(n, i, 77, name, "h1:1");
    for (int k = 0; k < n->count; k++)
        net_cut(n, i, k, false);
}

/* Its process died, and another one listens at its port, under another name,
 * before anybody saw that port refuse. */
static void who_lost_its_port_is_gone(void)
{
    struct net *n = net_new(3);
    uint64_t old = n->hosts[1].channel.node;

    net_pass(n, DROP + 1000);
    start_at_h1(n, 1, "other");
    net_pass(n, DROP / 2);
    CU_ASSERT(is_gone(n, 0, old) && is_gone(n, 2, old));
    CU_ASSERT_PTR_NOT_NULL_FATAL(net_peer(n, 0, 1));
    CU_ASSERT(peer_linked(net_peer(n, 0, 1)) && net_answers(n, 1));
    net_free(&n);
}

/* Two hosts that believe to have one address: who answers is there, and who is
 * away when one comes back that was met before is not gone either. */
static void who_shares_an_address_is_there(void)
{
    struct net *n = net_new(3);
    uint64_t first = n->hosts[1].channel.node;

    net_pass(n, DROP + 1000);
    start_at_h1(n, 2, "h2");
    net_pass(n, DROP);
    CU_ASSERT_PTR_NOT_NULL_FATAL(net_peer(n, 0, 1));
    CU_ASSERT(peer_linked(net_peer(n, 0, 1)) && !is_gone(n, 0, first));
    CU_ASSERT(peer_linked(net_peer(n, 0, 2)));
    net_cut(n, 0, 1, true);
    net_cut(n, 0, 2, true);
    net_cut(n, 0, 2, false);
    net_pass(n, 2 * DROP);
    CU_ASSERT(peer_linked(net_peer(n, 0, 2)) && !is_gone(n, 0, first));
    net_free(&n);
}

UNIT_MAIN("core, ports", CASE(who_lost_its_port_is_gone),
          CASE(who_shares_an_address_is_there))
