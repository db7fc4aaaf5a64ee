/* SPDX-License-Identifier: Apache-2.0
 *
 * places.h: the location table of one application: who holds which session.
 *
 * What    Id -> place, for every session of the cluster. Compact: 32 bytes a
 *         session in one row per leaf (table_leaf), sorted by id and grown by a
 *         quarter, so about 37 with everything; nodes are kept once and
 *         counted, rows name them by a number of 16 bits. (More than 65,535
 *         nodes at a time are not taken.) Sums over the live lists of each
 *         leaf, and the counts of roles, are kept up to date at each change.
 * Over    Ends (OVER, FINAL) take no part in sums, as in replica.h, and stand
 *         beside the rows until they may be forgotten: `learnt` is when this
 *         member came to know of it.
 * Laws    The locks inside are the innermost of all: they may be taken under
 *         the lock of a table's stripe; nothing is called under them but each()
 *         of places_each_in and places_each_alike.
 *         Who changes a place holds the stripe's lock of that id in the
 *         manager's table, so that a session's copy and its place change
 *         together (replica_place_put).
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_PLACES_H
#define MARGAY_MANAGERS_CLUSTER_PLACES_H

#include "managers/cluster/place.h"

struct places;

/* self: this start's node. */
struct places *places_new(uint64_t self);
void places_free(struct places **p);

/* false: nothing is known of that id. */
bool places_get(const struct places *p, const uint8_t id[ID_SIZE],
                struct place *out);
/* Merges a valid place. true: that changed what stands there; before (may be
 * NULL), in any case: what stood there (count 0 and stamp 0: nothing). learnt:
 * mono ms, of an end. */
bool places_put(struct places *p, const uint8_t id[ID_SIZE],
                const struct place *place, int64_t learnt,
                struct place *before);
/* Forgets it, whatever it is. */
void places_remove(struct places *p, const uint8_t id[ID_SIZE]);

/* The end that was put first of those that are here: its id, when it was learnt
 * at or before that moment (mono ms); else false. The caller then removes it,
 * or puts it off until it is learnt anew (mono ms; it comes again after those
 * that are here now). Costs what it returns, never a scan. */
bool places_next_over(struct places *p, int64_t learnt_before,
                      uint8_t id[ID_SIZE]);
void places_put_off(struct places *p, const uint8_t id[ID_SIZE],
                    int64_t learnt);
/* Puts it off as well, and leaves when it was learnt as it is. */
void places_keep(struct places *p, const uint8_t id[ID_SIZE], int64_t moment);
/* When an end was learnt; INT64_MAX: no end stands there. */
int64_t places_learnt(const struct places *p, const uint8_t id[ID_SIZE]);

/* A mark of this member's own at the end of that stamp that stands there; it
 * goes with it. */
void places_confirm(struct places *p, const uint8_t id[ID_SIZE],
                    uint64_t stamp);
bool places_is_confirmed(const struct places *p, const uint8_t id[ID_SIZE]);

/* The hash (replica_hash) of a live list's bytes; 0 of an end. */
uint64_t place_hash(const struct place *p, const uint8_t id[ID_SIZE]);
uint64_t places_sum(const struct places *p, unsigned leaf);
uint64_t places_root(const struct places *p); /* of all leaves, modulo 2^64 */
bool places_has_over(const struct places *p, unsigned leaf);

/* All of a leaf in the order of their ids, under its lock. false ends. */
typedef bool places_each_fn(void *user, const uint8_t id[ID_SIZE],
                            const struct place *place);
void places_each_in(const struct places *p, unsigned leaf, places_each_fn *each,
                    void *user);

struct places_counts {
    size_t lists, over;
    size_t users; /* of the lists, those of users' records; the next two count
                     none of them */
    size_t primary, backup; /* lists in which self is the first, or another */
    size_t bytes;           /* that the table takes */
};
void places_counts(const struct places *p, struct places_counts *out);

/* Lists in which self stands, those with the same holders together: their kind
 * and holders, and how many they are, of sessions and of users' records. It
 * costs as much as there are different ones, and no look at the sessions. */
typedef void places_alike_fn(void *user, const struct place *list,
                             size_t sessions, size_t users);
void places_each_alike(const struct places *p, places_alike_fn *each,
                       void *user);

#endif
