/* SPDX-License-Identifier: Apache-2.0
 *
 * places.h: the location table of one application: who holds which session.
 *
 * What    Id -> place, for every session of the cluster. Compact: 32 bytes a
 *         session in one sorted row per leaf (table_leaf), grown by a quarter,
 *         so about 40 with everything; nodes are kept once and counted, rows
 *         name them by a number of 16 bits. Sums over the live lists of each
 *         leaf, and the counts of roles, are kept up to date at each change.
 * Over    Ends (OVER, FINAL) take no part in sums, as in replica.h, and stand
 *         until they may be forgotten: `learnt` is when this member came to
 *         know of it.
 * Laws    The lock of a leaf is the innermost of all: it may be taken under the
 *         lock of a table's stripe; nothing is called under it but each() of
 *         places_each_in.
 *         Who changes a place holds the stripe's lock of that id in the
 *         manager's table, so that a session's copy and its place change
 *         together (replica_place_put).
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_PLACES_H
#define MARGAY_MANAGERS_CLUSTER_PLACES_H

#include "managers/cluster/place.h"

struct places;

/* self: this start's node. now_mono: ms. */
struct places *places_new(uint64_t self, int64_t now_mono);
void places_free(struct places **p);

/* false: nothing is known of that id. */
bool places_get(const struct places *p, const uint8_t id[ID_SIZE],
                struct place *out);
/* Merges. true: that changed what stands there; before (may be NULL): what
 * stood there (count 0 and stamp 0: nothing). learnt: mono ms, of an end. */
bool places_put(struct places *p, const uint8_t id[ID_SIZE],
                const struct place *place, int64_t learnt,
                struct place *before);
/* Forgets it, whatever it is. */
void places_remove(struct places *p, const uint8_t id[ID_SIZE]);

/* The next end whose `learnt` is at or before that moment (mono ms): its id.
 * false: none. In about the order in which they were learnt; the caller then
 * removes it, or puts it off (it comes again after those behind it). Costs
 * what it returns, never a scan. */
bool places_next_over(struct places *p, int64_t learnt_before,
                      uint8_t id[ID_SIZE]);
void places_put_off(struct places *p, const uint8_t id[ID_SIZE]);

/* The hash (replica_hash) of a live list's bytes; 0 of an end. */
uint64_t place_hash(const struct place *p, const uint8_t id[ID_SIZE]);
uint64_t places_sum(const struct places *p, unsigned leaf);
uint64_t places_root(const struct places *p); /* of all leaves, modulo 2^64 */
bool places_has_over(const struct places *p, unsigned leaf);

/* All of a leaf in the order of their ids, under its lock. false ends. */
typedef bool places_each_fn(void *user, const uint8_t id[ID_SIZE],
                            const struct place *place);
void places_each_in(const struct places *p, unsigned leaf,
                    places_each_fn *each, void *user);

struct places_counts {
    size_t lists, over;
    size_t primary, backup; /* lists in which self is the first, or another */
    size_t bytes;           /* that the table takes */
};
void places_counts(const struct places *p, struct places_counts *out);

#endif
