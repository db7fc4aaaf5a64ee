/* SPDX-License-Identifier: Apache-2.0
 *
 * link.h: one connection to a member, as frames.
 *
 * What    TCP on libuv, with TLS in between when the cluster has a key. What
 *         is sent gathers until link_flush, so that much becomes one write.
 *         What comes is cut into frames where it lies; only a frame that is not
 *         all here is kept.
 * Trust   Until the owner says so (link_trust, after a member's HELLO) a link
 *         is a stranger's: no frame of it may be longer than FRAME_FULL, and
 *         its time is bounded. Room for a longer frame grows with what comes of
 *         it, never ahead of it.
 * Ends    `end` is told once, unless the owner closed the link itself; `gone`
 *         always, as the last thing: the link is freed behind it. link_close
 *         sends what has gathered and waits for the other side to have read
 *         it; link_kill does not.
 * Bound   Who does not read what it is sent loses its link (LINK_FULL): the
 *         members' log and comparison bring what it lacks.
 * Threads The loop's. */
#ifndef MARGAY_MANAGERS_CLUSTER_LINK_H
#define MARGAY_MANAGERS_CLUSTER_LINK_H

#include "managers/cluster/address.h"
#include "managers/cluster/tls.h"

#include <uv.h>

#define LINK_OUT_MAX (2 * (size_t)FRAME_MAX) /* bytes that wait for writing */
#define LINK_READ_SIZE (64u << 10)
#define LINK_LINGER_MS 500

struct link;

enum link_end {
    LINK_REFUSED,   /* nobody listens there */
    LINK_UNREACHED, /* no connection, or not in time */
    LINK_SILENT,    /* a connection, but no member's first frame in time */
    LINK_GARBAGE,   /* what came is no frame */
    LINK_DENIED,    /* TLS: not the same key */
    LINK_LOST,      /* the connection ended */
    LINK_FULL       /* it does not read what it is sent */
};

struct link_owner {
    uv_loop_t *loop;
    const struct tls_key *key; /* NULL: no TLS */
    int64_t drop_ms;           /* TCP_USER_TIMEOUT */
    int64_t patience_ms;       /* until trusted */
    uint8_t *scratch;          /* LINK_READ_SIZE + TLS_RECORD_MAX bytes */
    /* Frames can be sent. A dialled link only. */
    void (*open)(struct link *l);
    /* It may close the link, and nothing more comes. */
    void (*frame)(struct link *l, const uint8_t *body, size_t len);
    void (*end)(struct link *l, enum link_end end, const char *why);
    void (*gone)(struct link *l);
};

enum link_state {
    LINK_CONNECTING,
    LINK_SHAKING, /* hands, of TLS */
    LINK_OPEN,
    LINK_LINGERING,
    LINK_CLOSED
};

struct link {
    /* the owner's */
    void *user; /* the owner of the link */
    int number; /* the core's; -1: it does not know the link */
    int place;  /* dialled; else -1 */
    void *dial;
    struct link *next; /* in a list of the owner's */
    bool listed;

    /* to be read */
    enum link_state state;
    bool dialled, trusted;
    char peer[ADDRESS_MAX]; /* "host:port" */

    /* its own */
    struct link_owner *owner;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
    };
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct tls *tls;
    uint64_t deadline; /* loop's ms; 0: none */
    bool writing, shut, failed, overfull;
    struct err why;               /* TLS failed */
    struct buf out, wire, flying; /* gathered; to be written; being written */
    struct buf part;              /* the beginning of a frame */
    size_t need;                  /* of part */
};

/* Takes the next connection of a listener. NULL: there was none. */
struct link *link_accept(struct link_owner *owner, void *user,
                         uv_stream_t *listener);
struct link *link_dial(struct link_owner *owner, void *user,
                       const struct sockaddr *to);
void link_trust(struct link *l);
/* Never ends the link from inside: link_flush does. */
void link_send(struct link *l, const void *bytes, size_t len);
void link_flush(struct link *l);
/* The deadlines; every 50 ms or so. */
void link_tick(struct link *l);
void link_close(struct link *l);
void link_kill(struct link *l);
/* Did the stranger speak TLS, where we have no key? For a better word. */
bool link_is_tls(const uint8_t *bytes, size_t len);

#endif
