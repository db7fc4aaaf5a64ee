/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/line.h"

#include "tests/unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void line_open(struct line *l, const struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)s->port)};
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(l->fd >= 0 &&
                    connect(l->fd, (struct sockaddr *)&a, sizeof a) == 0);
}

void line_ask(struct line *l, const char *cookie)
{
    char text[512];
    int len = snprintf(text, sizeof text,
                       "GET /login/me HTTP/1.1\r\nHost: localhost\r\n"
                       "Cookie: %s\r\n\r\n",
                       cookie);
    CU_ASSERT(send(l->fd, text, (size_t)len, MSG_NOSIGNAL) == len);
}

int line_answer(struct line *l)
{
    struct pollfd ready = {.fd = l->fd, .events = POLLIN};
    size_t len = 0, whole = sizeof l->said - 1;
    int status = 0;
    while (len < whole && poll(&ready, 1, 10000) == 1) {
        ssize_t n = recv(l->fd, l->said + len, whole - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        l->said[len] = 0;
        const char *body = strstr(l->said, "\r\n\r\n");
        const char *size = strstr(l->said, "Content-Length: ");
        if (body && size)
            whole = (size_t)(body + 4 - l->said) + (size_t)atoi(size + 16);
    }
    sscanf(l->said, "HTTP/1.1 %d", &status);
    return len ? status : 0;
}

bool server_is_stopped(void *server)
{
    const struct server *s = server;
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)s->pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    const char *behind = strrchr(text, ')');
    return behind && behind[1] && behind[2] == 'T';
}
