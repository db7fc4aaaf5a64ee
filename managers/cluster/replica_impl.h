/* SPDX-License-Identifier: Apache-2.0
 *
 * replica_impl.h: the inside of a replica, for managers/cluster/replica*.c
 * only.
 *
 * Threads sums, ended: each is written under the lock of its leaf's stripe and
 *         read by anybody; root by anybody. strays, touches: the channel's
 *         thread. */
#ifndef MARGAY_MANAGERS_CLUSTER_REPLICA_IMPL_H
#define MARGAY_MANAGERS_CLUSTER_REPLICA_IMPL_H

#include "managers/cluster/replica.h"

/* Deltas put aside, and their bytes: beyond these a delta is dropped, and what
 * is asked for brings its change, too, or a comparison does. */
#define STRAYS_MAX 65536
#define STRAYS_MAX_BYTES ((size_t)32 << 20)

/* An access that the others are to hear of. */
struct touch {
    uint8_t id[ID_SIZE];
    int64_t access;
};

struct replica {
    struct manager *m;
    struct channel *channel;
    uint32_t app;
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
    _Atomic uint64_t stray_count, conflicts;
};

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
/* Is it over: a tombstone, or an idle end that holds? */
static inline bool entry_is_over(const struct entry *e)
{
    return e->idle || record_ended(e->record, NULL);
}

#endif
