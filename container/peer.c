/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/peer.h"

#include "container/response.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

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
