/* SPDX-License-Identifier: Apache-2.0
 *
 * listener.h: a listening socket that can be closed without losing anybody.
 *
 * What    A thread of its own accepts and hands each connection on.
 *         listener_close first lets the kernel ignore newcomers (a filter on
 *         the listening socket drops their SYN), gives handshakes under way a
 *         moment, accepts all that stand in the queue, then closes. A plain
 *         close resets those who wait in the queue, perhaps with their request
 *         sent. Whoever was ignored tries again after a second (RFC 6298): so
 *         where no handshake is under way it closes at once.
 *         libmicrohttpd could listen itself; but MHD_quiesce_daemon of 0.9.75
 *         races with its own threads for the entry in epoll and aborts.
 * Threads open, close: one. The handler runs in the listener's thread. */
#ifndef MARGAY_CONTAINER_LISTENER_H
#define MARGAY_CONTAINER_LISTENER_H

#include "session/log.h"
#include "session/rc.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct listener;

struct listener_handler {
    void *user;
    /* Owns fd (non-blocking, close on exec, TCP_NODELAY) from now on. */
    void (*accepted)(void *user, int fd, const struct sockaddr *address,
                     socklen_t len);
    /* May another one come now? It is asked again soon. */
    bool (*may_accept)(void *user);
};

/* address NULL: loopback; "*": all. port 0: any free one. */
enum rc listener_open(const char *address, unsigned port, int backlog,
                      const struct listener_handler *handler, struct log *log,
                      struct listener **out, struct err *err);
unsigned listener_port(const struct listener *l);
/* When it returns, all that had connected were handed on. */
void listener_close(struct listener **l);

/* The peer's address in digits, an IPv4 one as such also where it came over
 * IPv6; "" when it has none. */
void listener_peer_text(const struct sockaddr *a, char out[INET6_ADDRSTRLEN]);

#endif
