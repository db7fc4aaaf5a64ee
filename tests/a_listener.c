/* SPDX-License-Identifier: Apache-2.0
 *
 * a_listener.c: who is about to connect, and a listener that closes. */
#include "config.h"

#include "container/listener.h"
#include "container/peer.h"
#include "session/rc.h"
#include "tests/unit.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static int connect_to(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -errno;
    }
    return fd;
}

/* With a handshake that ends with the first bytes only, where deferred. */
static int listen_at(bool deferred, unsigned *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int seconds = 60;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (deferred)
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&a, len) == 0);
    CU_ASSERT_FATAL(listen(fd, 10) == 0);
    CU_ASSERT_FATAL(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void a_handshake_under_way_is_seen(void)
{
    unsigned port, other;
    int slow = listen_at(true, &port), quick = listen_at(false, &other);
    int comer, there, guest;

    if (peer_knocks(slow)) {
        close(slow);
        close(quick);
        SKIP("the kernel does not say who is about to come (sock_diag)");
    }
    comer = connect_to(port);
    there = connect_to(other);
    CU_ASSERT_FATAL(comer >= 0 && there >= 0);
    CU_ASSERT(peer_knocks(slow));
    CU_ASSERT(!peer_knocks(quick)); /* it stands in the queue */
    CHECK_INT(send(comer, "x", 1, MSG_NOSIGNAL), 1);
    guest = accept4(slow, NULL, NULL, SOCK_CLOEXEC);
    CU_ASSERT(guest >= 0);
    CU_ASSERT(!peer_knocks(slow));
    close(guest);
    close(comer);
    close(there);
    close(slow);
    close(quick);
}

static void take(void *user, int fd, const struct sockaddr *a, socklen_t len)
{
    (void)a;
    (void)len;
    atomic_fetch_add((atomic_uint *)user, 1);
    close(fd);
}

static bool refuse(void *user)
{
    (void)user;
    return false;
}

/* Nobody is accepted before the close, which still takes all of them. */
static void the_close_takes_who_waits(void)
{
    atomic_uint taken = 0;
    struct listener_handler handler = {&taken, take, refuse};
    struct listener *l = NULL;
    struct err err = {""};
    unsigned port;
    int fds[50];

    CU_ASSERT_FATAL(listener_open(NULL, 0, 100, &handler, NULL, &l, &err) ==
                    RC_OK);
    port = listener_port(l);
    for (size_t i = 0; i < 50; i++) {
        fds[i] = connect_to(port);
        CU_ASSERT_FATAL(fds[i] >= 0);
    }
    CHECK_INT((int)atomic_load(&taken), 0);
    listener_close(&l);
    CHECK_INT((int)atomic_load(&taken), 50);
    CHECK_INT(connect_to(port), -ECONNREFUSED);
    for (size_t i = 0; i < 50; i++)
        close(fds[i]);
}

/* Knocks once, from within the close. */
struct late {
    unsigned port, taken;
    int fd;
};

static void take_and_knock(void *user, int fd, const struct sockaddr *a,
                           socklen_t len)
{
    struct late *late = user;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)late->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)a;
    (void)len;
    close(fd);
    if (late->taken++ > 0)
        return;
    late->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)!connect(late->fd, (struct sockaddr *)&to, sizeof to);
}

/* Whoever comes during the close is not let in and left alone then: it
 * knocks again later, and is refused. */
static void the_close_lets_nobody_in(void)
{
    struct late late = {.fd = -1};
    struct listener_handler handler = {&late, take_and_knock, refuse};
    struct listener *l = NULL;
    struct err err = {""};
    int before;

    CU_ASSERT_FATAL(listener_open(NULL, 0, 100, &handler, NULL, &l, &err) ==
                    RC_OK);
    late.port = listener_port(l);
    before = connect_to(late.port);
    CU_ASSERT_FATAL(before >= 0);
    listener_close(&l);
    CHECK_INT(late.taken, 1);
    /* no answer yet, or, a second later, no: never yes */
    struct pollfd on = {.fd = late.fd, .events = POLLOUT};
    CU_ASSERT(poll(&on, 1, 0) == 0 || on.revents & (POLLERR | POLLHUP));
    close(late.fd);
    close(before);
}

UNIT_MAIN("listener", CASE(a_handshake_under_way_is_seen),
          CASE(the_close_takes_who_waits), CASE(the_close_lets_nobody_in))
