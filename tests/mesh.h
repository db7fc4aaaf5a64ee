/* SPDX-License-Identifier: Apache-2.0
 *
 * mesh.h: a cluster without a network, for tests of what stands on a channel.
 *
 * What    Up to five members whose channels lead straight to one another's
 *         replicas. What is sent is applied at the others at once; or it is
 *         held, and delivered later in any order, twice, or not at all.
 *         Members may have clocks of their own; accesses travel as ages.
 *         Calls are answered at once, also while updates are held. A pause ends
 *         when mesh_turn is called, 50 ms later by the time it is told.
 *         Comparing and settling are asked for, they do not happen alone.
 * Owns    The mesh has nothing of the managers'. Free it after them.
 * Threads Any: one thread at a time is inside. */
#ifndef MARGAY_TESTS_MESH_H
#define MARGAY_TESTS_MESH_H

#include "managers/cluster/replica.h"
#include "tests/records.h"

#define MESH_MAX 5

struct mesh;

/* now: read at each use. */
struct mesh *mesh_new(unsigned members, const struct instant *now);
void mesh_free(struct mesh **mesh);
/* Of member i, whose name is "node<i + 1>" and whose node number is i + 1, at
 * a later start a greater one. */
struct channel *mesh_channel(struct mesh *mesh, unsigned i);
/* NULL while no manager has joined. */
struct replica *mesh_replica(struct mesh *mesh, unsigned i);

/* Member i's clocks are that much ahead. Before its manager starts. */
void mesh_skew(struct mesh *mesh, unsigned i, int64_t mono, int64_t wall);
struct instant mesh_now(struct mesh *mesh, unsigned i);
/* Cut off: nothing reaches it or leaves it; nobody waits for it. */
void mesh_cut(struct mesh *mesh, unsigned i, bool cut);
/* May it answer? true at first. */
void mesh_answering(struct mesh *mesh, unsigned i, bool answering);

/* Ends what pauses now, once; false: nothing did. */
bool mesh_turn(struct mesh *mesh);
/* From now on what is sent is held. */
void mesh_hold(struct mesh *mesh, bool hold);
size_t mesh_held(struct mesh *mesh);
/* Delivers all that is held; dice: in any order, some of it twice. Returns
 * how many. */
size_t mesh_deliver(struct mesh *mesh, struct dice *dice);
/* Loses all that is held; who waits for it is told UNCERTAIN. */
void mesh_lose(struct mesh *mesh);
/* The bytes of records sent so far, and how many touches. */
size_t mesh_sent_bytes(struct mesh *mesh);
size_t mesh_sent_touches(struct mesh *mesh);

/* `to` compares its copies with those of `from`, as a pull does. ended: it
 * wants tombstones as well. Returns how many leaves differed. */
size_t mesh_compare(struct mesh *mesh, unsigned to, unsigned from, bool ended);
/* Has everybody the same live sessions? */
bool mesh_is_equal(struct mesh *mesh);
/* Everybody has compared with everybody up to now. */
void mesh_settle(struct mesh *mesh);

#endif
