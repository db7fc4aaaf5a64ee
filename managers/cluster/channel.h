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
 * Targets An update goes to all members (DeltaManager), or to those that it
 *         names (BackupManager: the holders of a session). Who is not named
 *         hears that there was one, and nothing else.
 * Calls   What has to be done by one certain member is asked of it and
 *         answered by its manager (replica.h: replica_serve). A call to a
 *         member whose link ends is answered at once.
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_CHANNEL_H
#define MARGAY_MANAGERS_CLUSTER_CHANNEL_H

#include "managers/cluster/frame.h"
#include "managers/cluster/place.h"
#include "session/instant.h"
#include "session/record.h"

struct channel;
struct replica;

/* The other holders of a session, as many that are to be holders, and one that
 * is to be the primary: a change leaves none of them out. */
#define CHANNEL_TARGETS (2 * PLACE_HOLDERS + 1)

/* How many others must have applied an update before `done`: of its targets,
 * where it has any. */
enum copies { COPIES_NONE, COPIES_ONE, COPIES_ALL };
/* "for none of them": whom a change waits for. */
const char *copies_words(enum copies copies);

struct channel_wait {
    void (*done)(struct channel_wait *wait, enum rc rc);
    unsigned min_copies; /* RC_UNCERTAIN when fewer have it in the end */
    /* the answer, of an update with targets: a bit for each that has applied
     * it, 1 << its index. The others were given up meanwhile */
    unsigned applied;
    struct instant now; /* of the answer */
    /* the channel's own */
    struct channel_wait *next, **at; /* at: what points to it */
    uint64_t seq;
    uint32_t app;
    enum copies copies;
    unsigned target_count;
    uint64_t targets[CHANNEL_TARGETS];
};

struct channel_update {
    enum update_kind kind;
    uint32_t app;
    uint8_t id[ID_SIZE];
    int64_t access;        /* mono, of the last access */
    struct record *record; /* UPDATE_RECORD: a reference, which the channel
                              takes; else NULL */
    struct place place;    /* UPDATE_PLACE */
    /* nodes; none: all members. This member's own number is passed over */
    unsigned target_count;
    uint64_t targets[CHANNEL_TARGETS];
    uint64_t owner; /* node that had the access; 0: this one */
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

/* One session's matter, brought before one certain member. */
struct channel_call {
    void (*done)(struct channel_call *call);
    uint64_t to; /* node */
    uint32_t app;
    uint8_t id[ID_SIZE];
    enum call_kind kind;  /* frame.h */
    uint64_t have;        /* FIND: hash of the copy that is here; 0: none */
    struct record *delta; /* COMMIT: the caller's until done */
    int64_t deadline;     /* mono; UNAVAILABLE without an answer by then */

    enum call_answer answer;
    struct record *record; /* what came with it: a reference; or NULL */
    int64_t access;        /* with it: mono */
    bool placed;           /* and the place, as that member knows it */
    struct place place;
    struct instant now;
    /* the channel's own */
    struct channel_call *next;
    uint64_t no;
};

/* A call that came; replica_serve's function gets it, and answers it exactly
 * once with channel_reply, then or later. */
struct channel_called {
    uint64_t from, no; /* copied into the reply, as app and id are */
    uint32_t app;
    uint8_t id[ID_SIZE];
    enum call_kind kind;
    uint64_t have;
    struct record *delta; /* borrowed: only during the call */
};
struct channel_reply {
    uint64_t to, no;
    uint32_t app;
    uint8_t id[ID_SIZE];
    enum call_answer answer;
    struct record *record; /* a reference, which the channel takes; or NULL */
    int64_t access;        /* mono */
    uint64_t owner;
    bool placed;
    struct place place;
};

/* A moment later: about 50 ms, or when a member is given up or admitted. */
struct channel_pause {
    void (*done)(struct channel_pause *pause);
    struct instant now;         /* of the answer */
    bool stopped;               /* no better time will come */
    struct channel_pause *next; /* the channel's own */
};

/* What this member thinks of another start. */
enum member_state {
    MEMBER_UNKNOWN, /* never heard of */
    MEMBER_HERE,    /* in the view: commits wait for it */
    MEMBER_AWAY,    /* given up, or not admitted yet; it may come back */
    MEMBER_GONE     /* its process is gone for good */
};
/* And what that one has of one application, as far as it has said so. */
enum app_state {
    APP_UNKNOWN, /* it has not said yet */
    APP_LACKS,   /* nothing: none of its updates count there */
    APP_LEAVES,  /* it stops in order, and is to hold no more sessions of it */
    APP_HAS
};
struct channel_app {
    _Atomic uint8_t at[FRAME_MEMBERS_MAX]; /* enum app_state, by slot */
    _Atomic bool leaves;                   /* this member does */
    _Atomic bool left; /* and all that are here know that, and what they did
                          before is here */
    /* The manager's: all are to be heard of once more. The channel takes `left`
     * back, then this. */
    _Atomic bool again;
    /* the channel's own */
    int64_t left_from;
    bool only_heard;
};
struct channel_member {
    _Atomic uint64_t node; /* 0: nobody yet */
    _Atomic uint64_t name; /* replica_hash of it */
    _Atomic unsigned state;
    _Atomic bool left;   /* GONE: it has said so itself, as the last thing */
    _Atomic bool drains; /* its instance ends soon, and serves until then */
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
    unsigned version;  /* of frames, that this member speaks at most */
    unsigned older;    /* links on which an older one is spoken */
    uint64_t releases; /* FRAME_RELEASE that came */
};

struct channel_ops {
    void (*send)(struct channel *c, const struct channel_update *u,
                 struct channel_wait *wait, enum copies copies);
    void (*ask)(struct channel *c, struct channel_ask *ask, const char *member,
                size_t member_len);
    void (*join)(struct channel *c, struct replica *replica);
    void (*withdraw)(struct channel *c, struct replica *replica);
    void (*leave)(struct channel *c, struct replica *replica);
    void (*call)(struct channel *c, struct channel_call *call);
    void (*reply)(struct channel *c, const struct channel_reply *reply);
    void (*pause)(struct channel *c, struct channel_pause *pause);
    void (*wonder)(struct channel *c, uint64_t node);
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
    /* so much is kept for those who have not acknowledged it; 0: no limit */
    size_t log_bytes;
    /* mono ms until which this member may answer; moved on while it may */
    _Atomic int64_t answer_until;
    /* mono ms: from then on the uses have come that this member missed while it
     * was away; comparing brings what was changed, and no uses */
    _Atomic int64_t uses_from;
    _Atomic unsigned complete; /* other members that hold a whole copy */
    /* Other starts, as many as member_slots says, in no order. A slot keeps its
     * node as long as there are free ones; then that of one that is GONE is
     * taken. view counts up after each change of a state. */
    struct channel_member members[FRAME_MEMBERS_MAX];
    _Atomic unsigned member_slots;
    _Atomic uint64_t view;
    /* addresses of the list where somebody may be who was never heard of */
    _Atomic unsigned unheard;
    /* bytes that were sent and that the channel has not taken up yet */
    _Atomic size_t queued;
};

static inline bool channel_may_answer(const struct channel *c,
                                      struct instant now)
{
    return now.mono < atomic_load_explicit(&((struct channel *)c)->answer_until,
                                           memory_order_acquire);
}
/* Does it know who was used elsewhere? Not for a moment after it was away: what
 * idles by what it knows may live. */
static inline bool channel_knows_uses(const struct channel *c,
                                      struct instant now)
{
    return now.mono >= atomic_load_explicit(&((struct channel *)c)->uses_from,
                                            memory_order_relaxed);
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
/* done is called exactly once, from the channel's thread, or before it returned
 * where there is no link to that member. */
static inline void channel_call(struct channel *c, struct channel_call *call)
{
    c->ops->call(c, call);
}
/* Any thread, also from inside replica_serve's function. Who called may be gone
 * by now. */
static inline void channel_reply(struct channel *c,
                                 const struct channel_reply *reply)
{
    c->ops->reply(c, reply);
}
/* done is called exactly once, from the channel's thread; at a stop at once. */
static inline void channel_pause(struct channel *c, struct channel_pause *pause)
{
    c->ops->pause(c, pause);
}
/* A start that is UNKNOWN, and that others have told of: it becomes GONE when
 * nobody who is here, or may come back, waits for it any more. Any thread, not
 * from inside the channel's calls. */
static inline void channel_wonder(struct channel *c, uint64_t node)
{
    c->ops->wonder(c, node);
}
/* Any thread; this member's own number is HERE. */
static inline enum member_state channel_state(const struct channel *channel,
                                              uint64_t node)
{
    struct channel *c = (struct channel *)channel;
    unsigned count =
        atomic_load_explicit(&c->member_slots, memory_order_acquire);

    if (node == c->node)
        return MEMBER_HERE;
    for (unsigned i = 0; i < count; i++)
        if (atomic_load_explicit(&c->members[i].node, memory_order_relaxed) ==
            node)
            return (enum member_state)atomic_load_explicit(
                &c->members[i].state, memory_order_relaxed);
    return MEMBER_UNKNOWN;
}
/* Any thread: has that other one stopped in order? */
bool channel_left(const struct channel *c, uint64_t node);
/* channel_state for one application, of which *state says what it has. A member
 * that is there and lacks it is GONE: so is all that it had of it. */
enum member_state channel_holder(const struct channel *c,
                                 const struct channel_app *app, uint64_t node,
                                 enum app_state *state);
/* The first `max` by rendezvous order of id of the others that are HERE, and
 * not among `except`. app: it has that one and stays; NULL: whatever it has.
 * Returns how many. */
unsigned channel_choose(const struct channel *c, const struct channel_app *app,
                        const uint8_t id[ID_SIZE], const uint64_t *except,
                        unsigned except_count, uint64_t *out, unsigned max);
/* The same of those that may hold sessions of it now, also who leaves. */
unsigned channel_choose_asked(const struct channel *c,
                              const struct channel_app *app,
                              const uint8_t id[ID_SIZE], const uint64_t *except,
                              unsigned except_count, uint64_t *out,
                              unsigned max);
/* The first of those that are HERE, have that application and stay; this member
 * is one of them, unless it leaves and another one stays. */
uint64_t channel_first(const struct channel *c, const struct channel_app *app,
                       const uint8_t id[ID_SIZE]);
/* Any thread. Are all who may have something of that application HERE? Not, if
 * one is AWAY, or may be where nobody was heard of yet. */
bool channel_is_whole(const struct channel *c, const struct channel_app *app);
/* Any thread. The node of the member of that name that is HERE; 0: none. */
uint64_t channel_named(const struct channel *c, const char *name, size_t len);
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
/* This member is to hold no more sessions of it, and says so to all: the first
 * step of an orderly leave. Updates and calls come as before. `left` of its
 * channel_app says when all know. */
static inline void channel_withdraw(struct channel *c, struct replica *replica)
{
    c->ops->withdraw(c, replica);
}
/* Returns when the replica will not be called any more. The others hear that
 * this member lacks the application before anything is acknowledged that it
 * passes over. */
static inline void channel_leave(struct channel *c, struct replica *replica)
{
    c->ops->leave(c, replica);
}

#endif
