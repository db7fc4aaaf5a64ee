/* SPDX-License-Identifier: Apache-2.0
 *
 * replica_impl.h: the inside of a replica, for managers/cluster/replica*.c
 * only.
 *
 * Threads sums, ended: each is written under the lock of its leaf's stripe and
 *         read by anybody; root by anybody. strays, touches: the channel's
 *         thread.
 * Pairs   What an entry adds to the sums between this member and another, it
 *         adds for all that stand in the place of its id; so the entry and the
 *         place change under one hold of the stripe's lock. pair_lock guards
 *         the pairs; it is taken under that, for a few additions. */
#ifndef MARGAY_MANAGERS_CLUSTER_REPLICA_IMPL_H
#define MARGAY_MANAGERS_CLUSTER_REPLICA_IMPL_H

#include "managers/cluster/places.h"
#include "managers/cluster/replica.h"

#include <pthread.h>

/* Deltas put aside, and their bytes: beyond these a delta is dropped, and what
 * is asked for brings its change, too, or a comparison does. */
#define STRAYS_MAX 65536
#define STRAYS_MAX_BYTES ((size_t)32 << 20)
#define PAIR_HEADS 64
#define PAIR_CHUNKS 64
#define PAIR_LEAVES (FRAME_LEAVES / PAIR_CHUNKS)
#define SETTLED_STEPS 8

/* An access that the others are to hear of. */
struct touch {
    uint8_t id[ID_SIZE];
    int64_t access;
};

/* What is here, and counts, of the sessions in whose place one other member
 * stands. It exists as long as there is something. */
struct pair {
    struct pair *next;
    uint64_t node, root;
    size_t entries;
    uint64_t *sums[PAIR_CHUNKS]; /* of PAIR_LEAVES leaves; NULL: all are 0 */
};

struct replica {
    struct manager *m;
    struct channel *channel;
    uint32_t app;
    struct channel_app members;
    replica_heard_fn *heard;
    void *user;
    _Atomic uint64_t sums[FRAME_LEAVES];
    _Atomic uint64_t root; /* the sum of them, for every pulse */
    _Atomic uint32_t ended[FRAME_LEAVES];
    _Atomic int64_t latest;  /* mono: no call brought a later one */
    _Atomic int64_t settled; /* mono */
    struct table *strays;    /* NULL until there is one */
    size_t stray_bytes;      /* in there */
    struct touch *touches;   /* with the next tick */
    size_t touch_count, touch_cap;
    int64_t tell_since; /* mono; INT64_MAX: nothing */
    _Atomic uint64_t stray_count, conflicts, lost;
    /* partial */
    struct places *places; /* NULL: it is not */
    pthread_mutex_t pair_lock;
    struct pair *pairs[PAIR_HEADS];
    replica_placed_fn *placed;
    replica_called_fn *called;
    replica_left_fn *left;
    replica_release_fn *release; /* NULL: none */
    void *serve_user;
    /* what `settled` was, every so often within the last keep_ended_ms, the
     * oldest first: the tick's */
    struct {
        int64_t at, settled; /* mono */
    } was[SETTLED_STEPS];
    unsigned was_count;
    _Atomic int64_t known; /* and before that: the ends learnt by then (mono)
                              are known to all for that long */
};

/* Ends that were learnt at or before that moment (mono) need be kept for nobody
 * any more. Who holds parts asks others where a session goes on whose new id it
 * has heard of at last, and so all keep for a while what all know. */
static inline int64_t replica_known_at(const struct replica *r)
{
    return atomic_load(r->places ? &r->known : &r->settled);
}

/* A comparison that began after this moment (mono) began after now. */
int64_t replica_moment_learnt(const struct replica *r, struct instant now);

/* Told so that a moment at which something is learnt is never too early. */
void replica_note_time(struct replica *r, struct instant now);
/* A delta whose session is not here. */
void replica_keep_stray(struct replica *r, struct record *delta,
                        struct instant now);
/* What was put aside for that session, and is no longer: a reference; NULL. */
struct record *replica_take_stray(struct replica *r, const uint8_t id[ID_SIZE]);
void replica_drop_strays(struct replica *r);
/* Tells all members with the next tick. */
void replica_note_touch(struct replica *r, const uint8_t id[ID_SIZE],
                        int64_t access);

static inline bool entry_is_dropped(const struct entry *e)
{
    return e->flags & ENTRY_DROPPED;
}
static inline bool entry_is_copy(const struct entry *e)
{
    return !(e->flags & (ENTRY_DROPPED | ENTRY_CACHED));
}
/* Is it over: a tombstone, or an idle end that holds? */
static inline bool entry_is_over(const struct entry *e)
{
    return e->idle || record_ended(e->record, NULL);
}

/* ---- replica_partial.c; r->places is there, stripes as it says ---- */

/* The hash that the entry adds from here on; its stripe is locked. */
void partial_set_hash(struct replica *r, const uint8_t id[ID_SIZE],
                      struct replica_entry *own, uint64_t hash);
uint64_t partial_root(const struct replica *r, uint64_t peer);
void partial_sums(const struct replica *r, uint64_t peer,
                  uint64_t sums[FRAME_LEAVES], uint8_t ended[FRAME_BITS]);
enum replica_rc partial_apply(struct replica *r, const struct frame_update *u,
                              int64_t since, struct instant now,
                              uint8_t id[ID_SIZE]);
/* Tells of a copy that came where the place does not name this member; no lock
 * is held. */
void partial_tell_odd(struct replica *r, const uint8_t id[ID_SIZE],
                      struct instant now);
/* Forgets ends whose time is over. */
void partial_forget(struct replica *r, struct instant now);
/* Forgets all places of which nothing here counts. */
void partial_drop(struct replica *r);
void partial_release(struct replica *r);

#endif
