/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster_impl.h: the inside of the shell, for managers/cluster/cluster*.c.
 *
 * Laws    `core_lock` is held whenever the core is called; core_out's functions
 *         run under it. What the core wants done (send, close, dial) is noted
 *         there and done by cluster_turn, after the core has returned.
 *         `queue.lock` guards the queue, `asleep` and `stopped`. It is taken
 *         last, held for a moment, and nothing is called under it.
 *         Everything else belongs to the loop's thread. */
#ifndef MARGAY_MANAGERS_CLUSTER_CLUSTER_IMPL_H
#define MARGAY_MANAGERS_CLUSTER_CLUSTER_IMPL_H

#include "managers/cluster/cluster.h"
#include "managers/cluster/link.h"
#include "managers/cluster/multicast.h"

#include <pthread.h>

#define CLUSTER_TICK_MS 50
#define CLUSTER_STRANGERS_MAX 64 /* accepted, and no member yet */
#define CLUSTER_LINKS_MAX (2 * FRAME_MEMBERS_MAX + CLUSTER_STRANGERS_MAX)
#define CLUSTER_LOG_MS 60000
/* Names that are asked for at a time: libuv's threads have other work, too. */
#define CLUSTER_RESOLVING_MAX 2

/* What happened on the way to one place, until core_link_up or _dial_failed. */
struct dial {
    struct cluster *cluster; /* NULL: nobody waits for it any more */
    struct dial *next;
    int place;
    bool begun, all_refused;
    char address[ADDRESS_MAX];
    uv_getaddrinfo_t resolve;
    struct addrinfo *list, *at; /* NULL for a number */
    struct link *link;
};

struct queued_update {
    struct channel_update update;
    struct channel_wait *wait;
    enum copies copies;
};
struct queued_ask {
    struct channel_ask *ask;
    char *member;
};
struct queued_errand {
    enum { ERRAND_CALL, ERRAND_REPLY, ERRAND_PAUSE } kind;
    union {
        struct channel_call *call;
        struct channel_reply reply;
        struct channel_pause *pause;
    };
};
struct errands {
    struct queued_errand *items;
    size_t count, cap;
};
struct cluster_queue {
    pthread_mutex_t lock;
    struct queued_update *updates;
    size_t update_count, update_cap;
    struct queued_ask *asks;
    size_t ask_count;
    struct errands errands;
    bool asleep;  /* the loop is, or is about to be */
    bool stopped; /* nothing is queued any more */
};

/* Kinds of lines that strangers can cause, each at most once a minute. */
enum cluster_say {
    SAY_GARBAGE,
    SAY_DENIED,
    SAY_CROWD,
    SAY_CLEAR, /* a link beyond loopback without a key */
    SAY_KINDS
};

struct cluster {
    struct channel channel; /* first */
    struct log *log;
    char name[FRAME_NAME_MAX + 1], identity[FRAME_NAME_MAX + 1];
    uint64_t node;

    /* settings, constant after cluster_new */
    struct core_options settings;
    int64_t ended_keep_ms;
    char *host;      /* to listen at */
    char *advertise; /* NULL: there */
    unsigned port, port_tries;
    char **members; /* others, as listed */
    size_t member_count;
    bool listed, by_multicast;
    struct multicast_options mcast;
    char *mcast_group, *mcast_bind;
    struct tls_key *key;
    uint8_t secret[ID_SIZE]; /* channel.h */

    /* cluster_open */
    int listen_fd; /* -1 */
    char address[ADDRESS_MAX];
    struct sockaddr_storage bound;
    struct core *core;
    pthread_mutex_t core_lock;
    struct cluster_queue queue;

    /* the loop's */
    uv_loop_t *loop;
    uv_tcp_t listener;
    /* An eventfd, open until the end. With uv_async_send a loop that wakes at
     * once spins until its waker, whom it may have interrupted, has gone on. */
    int wake_fd; /* -1 */
    uv_poll_t wake;
    uv_timer_t tick;
    uv_prepare_t prepare;
    uv_check_t check;
    struct multicast *multicast;
    unsigned handles; /* open, links and multicast included */
    struct link_owner owner;
    uint8_t *scratch;
    struct link **links; /* all that are not gone */
    size_t link_count;
    struct link **numbers; /* those that the core knows, by its numbers */
    size_t number_cap;
    struct link *to_flush;
    struct dial *dials;
    unsigned resolving; /* names that are asked for */
    unsigned strangers;
    bool dirty;                  /* the core was called since its last flush */
    struct queued_update *spare; /* the queue's other array */
    size_t spare_cap;
    int64_t say_next[SAY_KINDS];
    _Atomic uint64_t garbage;

    /* stopping */
    enum { RUNS, DRAINS, LEAVES, CLOSES, ENDED } phase;
    uint64_t leave_by, stop_by;
    void (*stopped)(void *user);
    void *stopped_user;
};

/* cluster_queue.c */
extern const struct channel_ops cluster_channel_ops;
void cluster_queue_init(struct cluster_queue *q);
void cluster_queue_release(struct cluster_queue *q);
/* Hands what is queued to the core (locked). Returns whether there was any. */
bool cluster_queue_drain(struct cluster *c);
/* From now on what is sent is answered at once; answers what is queued. */
void cluster_queue_close(struct cluster *c);
/* false: something is queued, go on turning. */
bool cluster_queue_sleep(struct cluster *c);
void cluster_queue_wake(struct cluster *c);
/* Something was queued; its lock is held. true: the caller wakes the loop when
 * it has released it. */
bool cluster_queue_needs_wake(struct cluster *c);

/* cluster_calls.c: a part of the queue */
void cluster_call(struct channel *channel, struct channel_call *call);
void cluster_reply(struct channel *channel, const struct channel_reply *reply);
void cluster_pause(struct channel *channel, struct channel_pause *pause);
void errands_take(struct cluster_queue *q, struct errands *out); /* locked */
void errands_run(struct cluster *c, struct errands *all, struct instant now);
void errands_refuse(struct errands *all);
void errands_release(struct errands *all);

/* cluster_links.c */
void cluster_out_send(void *user, int number, const uint8_t *bytes, size_t len);
void cluster_out_close(void *user, int number);
void cluster_on_connection(uv_stream_t *listener, int status);
void cluster_links_init(struct cluster *c);
void cluster_flush_links(struct cluster *c);
void cluster_tick_links(struct cluster *c);
void cluster_close_links(struct cluster *c);
void cluster_say(struct cluster *c, enum cluster_say kind, const char *format,
                 ...) __attribute__((format(printf, 3, 4)));

/* cluster_dial.c */
void cluster_out_dial(void *user, int place, const char *address);
void cluster_begin_dials(struct cluster *c);
/* The link of a dial ended before it was open. */
void dial_link_ended(struct dial *d, bool refused);
/* It is open: the dial is over. */
void dial_done(struct dial *d);
void cluster_drop_dials(struct cluster *c);

/* cluster.c */
void cluster_core_lock(struct cluster *c); /* and something happens there */
void cluster_core_unlock(struct cluster *c);
void cluster_wake(struct cluster *c); /* any thread */
void cluster_handle_closed(struct cluster *c);

/* cluster_open.c */
enum rc cluster_settle(struct cluster *c, const struct cluster_options *o,
                       struct err *err);
/* Refuses what would go beyond loopback in clear. bound has been resolved. */
enum rc cluster_check_clear(const struct cluster *c, struct err *err);
/* At bound, on the first free one of port_tries ports from port on. */
enum rc cluster_listen(struct cluster *c, struct err *err);

#endif
