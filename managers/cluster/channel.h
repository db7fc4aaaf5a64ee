/* SPDX-License-Identifier: Apache-2.0
 *
 * channel.h: what a manager asks of the cluster.
 *
 * What    A manager hands in an update that it has already applied to its own
 *         copies, and may wait until other members have applied it too. What
 *         members send comes to the manager's replica (replica.h). Behind a
 *         channel stands the cluster's shell (cluster.h), or the simulator of
 *         the tests: a manager cannot tell.
 * Law     Apply first, send second: a comparison of copies relies on it.
 * Waiting `done` is called exactly once, from any thread, perhaps before
 *         channel_send returned, and never while the caller holds a lock of a
 *         table. A member that is given up is not waited for any more.
 * Leases  channel_may_answer is one load: may this member answer from its own
 *         copies at this moment?
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_CHANNEL_H
#define MARGAY_MANAGERS_CLUSTER_CHANNEL_H

#include "managers/cluster/frame.h"
#include "session/instant.h"
#include "session/record.h"

struct channel;
struct replica;

/* How many others must have applied an update before `done`. */
enum copies { COPIES_NONE, COPIES_ONE, COPIES_ALL };

struct channel_wait {
    void (*done)(struct channel_wait *wait, enum rc rc);
    unsigned min_copies; /* RC_UNCERTAIN when fewer have it in the end */
    /* the channel's own */
    struct channel_wait *next;
    uint64_t seq;
    enum copies copies;
};

struct channel_update {
    enum update_kind kind;
    uint32_t app;
    uint8_t id[ID_SIZE];
    int64_t access;        /* mono, of the last access */
    struct record *record; /* UPDATE_RECORD: a reference, which the channel
                              takes; else NULL */
};

struct channel_ask {
    void (*done)(struct channel_ask *ask);
    uint32_t app;
    uint8_t id[ID_SIZE];
    /* the answer. RC_OK: the replica has it now; RC_ABSENT: the member has no
     * such session, or there is none of that name (any more); RC_UNAVAILABLE:
     * it cannot know, or does not answer */
    enum rc rc;
    /* the channel's own */
    struct channel_ask *next;
    uint64_t no, node;
    int64_t deadline;
};

struct channel_figures {
    unsigned members;  /* this one included */
    unsigned complete; /* of the others, those that hold a whole copy */
    uint64_t bytes_sent, frames_sent, bytes_received, frames_received;
    uint64_t unacknowledged;     /* updates that no other complete member has */
    double oldest;               /* seconds since the oldest of these */
    uint64_t garbage;            /* frames and connections that were refused */
    uint64_t compared, repaired; /* comparisons; leaves that differed */
    uint64_t resent, given_up;
};

struct channel_ops {
    void (*send)(struct channel *c, const struct channel_update *u,
                 struct channel_wait *wait, enum copies copies);
    void (*ask)(struct channel *c, struct channel_ask *ask, const char *member,
                size_t member_len);
    void (*join)(struct channel *c, struct replica *replica);
    void (*leave)(struct channel *c, struct replica *replica);
    bool (*is_mine)(struct channel *c, const uint8_t id[ID_SIZE],
                    uint64_t owner);
    void (*figures)(struct channel *c, struct channel_figures *out);
};

struct channel {
    const struct channel_ops *ops;
    uint64_t node; /* of this start */
    /* ID_SIZE bytes, the same on all members and known to nobody else: what
     * keys of users' records are made of. Set before a manager is started */
    const uint8_t *secret;
    int64_t drop_ms; /* a silent member is waited for that long */
    /* mono ms until which this member may answer; moved on while it may */
    _Atomic int64_t answer_until;
    _Atomic unsigned complete; /* other members that hold a whole copy */
    /* bytes that were sent and that the channel has not taken up yet */
    _Atomic size_t queued;
};

static inline bool channel_may_answer(const struct channel *c,
                                      struct instant now)
{
    return now.mono < atomic_load_explicit(&((struct channel *)c)->answer_until,
                                           memory_order_acquire);
}
/* Threads bring more than the channel takes up: who sends now waits, so that
 * memory does not have to hold it all. */
#define CHANNEL_CROWD ((size_t)16 << 20)
static inline bool channel_is_crowded(const struct channel *c)
{
    return atomic_load_explicit(&((struct channel *)c)->queued,
                                memory_order_relaxed) > CHANNEL_CROWD;
}
/* Takes u->record's reference. wait: may be NULL with COPIES_NONE, and is told
 * there when the channel has taken the update up. */
static inline void channel_send(struct channel *c,
                                const struct channel_update *u,
                                struct channel_wait *wait, enum copies copies)
{
    c->ops->send(c, u, wait, copies);
}
/* Asks the member of that name (the cookie's route) for one session. done is
 * called exactly once, within half a second. */
static inline void channel_ask(struct channel *c, struct channel_ask *ask,
                               const char *member, size_t member_len)
{
    c->ops->ask(c, ask, member, member_len);
}
/* Is it this member's part to end that idle session and to tell listeners? It
 * is the owner's (who had the last access), and when that is gone the first's
 * of the living by rendezvous order. The channel's thread. */
static inline bool channel_is_mine(struct channel *c, const uint8_t id[ID_SIZE],
                                   uint64_t owner)
{
    return c->ops->is_mine(c, id, owner);
}
/* From now on what members say of the replica's application comes to it; a
 * member is ready when it is complete in all that joined. Before the cluster
 * is started, or at any time later. */
static inline void channel_join(struct channel *c, struct replica *replica)
{
    c->ops->join(c, replica);
}
/* Returns when the replica will not be called any more. */
static inline void channel_leave(struct channel *c, struct replica *replica)
{
    c->ops->leave(c, replica);
}

#endif
