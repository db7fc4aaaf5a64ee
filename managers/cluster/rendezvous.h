/* SPDX-License-Identifier: Apache-2.0
 *
 * rendezvous.h: the order in which members come for a session.
 *
 * What    All members put the nodes of a session in the same order, without
 *         asking each other, and a node that comes or goes changes the place of
 *         no other: the greatest weight is the first.
 *         Source: Thaler, Ravishankar, "Using Name-Based Mappings to Increase
 *         Hit Rates", IEEE/ACM Trans. Netw. 6 (1998). The mixing is that of
 *         splitmix64; no two nodes have the same weight for one id.
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_RENDEZVOUS_H
#define MARGAY_MANAGERS_CLUSTER_RENDEZVOUS_H

#include "session/id.h"

#include <endian.h>
#include <string.h>

static inline uint64_t rendezvous_weight(uint64_t node,
                                         const uint8_t id[ID_SIZE])
{
    uint64_t x;

    memcpy(&x, id, sizeof x);
    x = le64toh(x) ^ node;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif
