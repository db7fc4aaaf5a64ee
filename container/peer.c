/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/peer.h"

#include "container/response.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool peer_has_left(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 ||
           (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool peer_waits(int fd)
{
    int bytes = 0;
    return !ioctl(fd, FIONREAD, &bytes) && bytes > 0;
}

int peer_unsent(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) ? 0 : bytes;
}

/* ---- handshakes under way ---- */

static bool ask_half_open(int netlink, int listening)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 wanted;
    } ask = {
        .head = {.nlmsg_len = sizeof ask,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .wanted = {.sdiag_protocol = IPPROTO_TCP,
                   .idiag_states = 1 << TCP_SYN_RECV},
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct sockaddr_in6 here;
    socklen_t len = sizeof here;

    if (getsockname(listening, (struct sockaddr *)&here, &len))
        return false;
    ask.wanted.sdiag_family = (uint8_t)here.sin6_family;
    ask.wanted.id.idiag_sport = here.sin6_port; /* in sockaddr_in, too */
    return sendto(netlink, &ask, sizeof ask, 0, (struct sockaddr *)&kernel,
                  sizeof kernel) == sizeof ask;
}

bool peer_knocks(int listening)
{
    const struct timeval most = {.tv_usec = 10000};
    int netlink =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    bool knocks = true;
    struct nlmsghdr answer[256];

    if (netlink < 0)
        return true;
    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    /* The first message says it: one of them, or that there are none. */
    if (ask_half_open(netlink, listening) &&
        recv(netlink, answer, sizeof answer, 0) >= (ssize_t)sizeof answer[0])
        knocks = answer[0].nlmsg_type != NLMSG_DONE;
    close(netlink);
    return knocks;
}

void peer_tell(int fd, int status)
{
    const char *reason = response_reason(status);
    char text[256];
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %d %s\r\nConnection: close\r\n"
                       "Content-Type: text/plain;charset=UTF-8\r\n"
                       "Content-Length: %zu\r\n\r\n%s\n",
                       status, reason, strlen(reason) + 1, reason);
    (void)!send(fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
}
