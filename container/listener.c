/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/listener.h"

#include "container/peer.h"
#include "session/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How soon to look again when no connection can be taken now; how long a
 * handshake that is under way at the close may take. */
enum { RETRY_MS = 20, HANDSHAKE_MS = 20, LOOPBACK_US = 200 };

struct listener {
    struct listener_handler handler;
    struct log *log;
    int fd, wake;
    unsigned port;
    pthread_t thread;
    bool full; /* the process is out of descriptors; logged once */
};

/* ---- the socket ---- */

static int bind_one(const struct addrinfo *a, int backlog)
{
    int one = 1;
    int fd =
        socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Accepted sockets inherit it. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, backlog)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static enum rc say_why(int error, const char *address, unsigned port,
                       struct err *err)
{
    const char *hint = "choose another address or port";
    if (error == EADDRINUSE)
        hint = "another program listens there: stop it or choose another port";
    else if (error == EACCES)
        hint = "ports below 1024 need a privilege: choose another port";
    else if (error == EADDRNOTAVAIL)
        hint = "this machine has no such address";
    return err_set(err, RC_UNAVAILABLE, "cannot listen on %s port %u (%s): %s",
                   address, port, strerror(error), hint);
}

static enum rc open_socket(const char *address, unsigned port, int backlog,
                           int *fd, struct err *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    struct addrinfo *list = NULL;
    char service[12];
    bool all = address && !strcmp(address, "*");
    if (!address || !*address)
        address = "127.0.0.1";
    snprintf(service, sizeof service, "%u", port);
    int bad = getaddrinfo(all ? "0.0.0.0" : address, service, &hints, &list);
    if (bad)
        return err_set(err, RC_INVALID, "the address %.100s is unknown (%s)",
                       address, gai_strerror(bad));
    *fd = bind_one(list, backlog);
    enum rc rc = *fd < 0 ? say_why(errno, address, port, err) : RC_OK;
    freeaddrinfo(list);
    return rc;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len))
        return 0;
    return ntohs(a.ss_family == AF_INET6
                     ? ((struct sockaddr_in6 *)&a)->sin6_port
                     : ((struct sockaddr_in *)&a)->sin_port);
}

/* ---- the thread ---- */

/* Returns the reason why it stopped. */
static int accept_all(struct listener *l, bool closing)
{
    struct sockaddr_storage address;
    for (;;) {
        if (!closing && !l->handler.may_accept(l->handler.user))
            return EBUSY;
        socklen_t len = sizeof address;
        int fd = accept4(l->fd, (struct sockaddr *)&address, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            l->handler.accepted(l->handler.user, fd,
                                (struct sockaddr *)&address, len);
        else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
            return errno;
    }
}

/* Lets the kernel drop packets for the listening socket itself. It sees them
 * from the TCP header on: byte 13 has the flags. */
static void drop_packets(int fd, bool all)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, all ? 0 : UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {
        .len = sizeof code / sizeof code[0],
        .filter = code,
    };
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static bool is_on_loopback(const struct listener *l)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getsockname(l->fd, (struct sockaddr *)&a, &len))
        return false;
    listener_peer_text((struct sockaddr *)&a, text);
    return !strcmp(text, "::1") || !strncmp(text, "127.", 4);
}

/* Handshakes under way: on loopback the kernel does the whole of one at once,
 * unless it is very busy; and to ask it takes longer. */
static bool may_still_come(struct listener *l)
{
    const struct timespec moment = {.tv_nsec = LOOPBACK_US * 1000L};
    struct pollfd on = {.fd = l->fd, .events = POLLIN};
    if (!is_on_loopback(l))
        return peer_knocks(l->fd) && poll(&on, 1, HANDSHAKE_MS) > 0;
    nanosleep(&moment, NULL);
    return poll(&on, 1, 0) > 0;
}

/* No connection begins any more; those that have begun may finish. */
static void accept_last(struct listener *l)
{
    drop_packets(l->fd, false);
    do
        accept_all(l, true);
    while (may_still_come(l));
    drop_packets(l->fd, true);
    accept_all(l, true);
}

static void *listener_thread(void *arg)
{
    struct listener *l = arg;
    struct pollfd on[2] = {{.fd = l->wake, .events = POLLIN},
                           {.fd = l->fd, .events = POLLIN}};
    int why = EAGAIN;
    for (;;) {
        bool pause = why != EAGAIN && why != EWOULDBLOCK;
        poll(on, pause ? 1 : 2, pause ? RETRY_MS : -1);
        if (on[0].revents)
            break;
        why = accept_all(l, false);
        bool full = why == EMFILE || why == ENFILE;
        if (full && !l->full)
            log_line(l->log, LOG_WARN, "http",
                     "no connection can be accepted (%s): raise the limit of "
                     "open files (ulimit -n) or lower maxConnections",
                     strerror(why));
        l->full = full;
    }
    accept_last(l);
    return NULL;
}

/* ---- life ---- */

enum rc listener_open(const char *address, unsigned port, int backlog,
                      const struct listener_handler *handler, struct log *log,
                      struct listener **out, struct err *err)
{
    struct listener *l = mem_zero(sizeof *l);
    l->handler = *handler;
    l->log = log;
    l->wake = -1;
    enum rc rc = open_socket(address, port, backlog, &l->fd, err);
    if (rc != RC_OK)
        goto no_socket;
    l->port = port_of(l->fd);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int bad = l->wake < 0
                  ? errno
                  : pthread_create(&l->thread, NULL, listener_thread, l);
    if (bad) {
        rc = err_set(err, RC_UNAVAILABLE, "no thread to accept connections: %s",
                     strerror(bad));
        goto no_thread;
    }
    *out = l;
    return RC_OK;

no_thread:
    if (l->wake >= 0)
        close(l->wake);
    close(l->fd);
no_socket:
    free(l);
    return rc;
}

unsigned listener_port(const struct listener *l)
{
    return l->port;
}

void listener_close(struct listener **listener)
{
    struct listener *l = *listener;
    if (!l)
        return;
    eventfd_write(l->wake, 1);
    pthread_join(l->thread, NULL);
    close(l->fd);
    close(l->wake);
    free(l);
    *listener = NULL;
}

void listener_peer_text(const struct sockaddr *a, char out[INET6_ADDRSTRLEN])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    out[0] = 0;
    if (a && a->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, out,
                  INET6_ADDRSTRLEN);
    } else if (a && a->sa_family == AF_INET6) {
        const uint8_t *bytes =
            ((const struct sockaddr_in6 *)a)->sin6_addr.s6_addr;
        bool v4 = !memcmp(bytes, mapped, sizeof mapped);
        inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + 12 : bytes, out,
                  INET6_ADDRSTRLEN);
    }
}
