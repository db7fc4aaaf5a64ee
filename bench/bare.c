/* SPDX-License-Identifier: Apache-2.0
 *
 * bare MEMORY THREADS BODY [NAME: VALUE]...: what libmicrohttpd alone costs.
 * The daemon that container/connector.c starts, with its flags and its memory
 * per connection, and nothing of ours behind it: each request gets 200, these
 * headers and this body. Listens on a free port of loopback, says which one
 * as margay does, and ends on SIGTERM. */
#include "config.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

enum { HEADERS_MAX = 16 };

struct bare {
    struct MHD_Daemon *daemon;
    int listener;
    const char *body;
    size_t body_len, header_count;
    struct {
        const char *name, *value;
    } headers[HEADERS_MAX];
};

/* A response of its own for each request, as everybody needs whose answers
 * differ. */
static enum MHD_Result answer(const struct bare *b, struct MHD_Connection *mhd)
{
    struct MHD_Response *m = MHD_create_response_from_buffer(
        b->body_len, (void *)b->body, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result sent;

    if (!m)
        return MHD_NO;
    for (size_t i = 0; i < b->header_count; i++)
        MHD_add_response_header(m, b->headers[i].name, b->headers[i].value);
    sent = MHD_queue_response(mhd, 200, m);
    MHD_destroy_response(m);
    return sent;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd,
                                  const char *url, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    (void)url, (void)method, (void)version, (void)upload;
    if (!*context) {
        *context = cls;
        return MHD_YES;
    }
    *upload_len = 0;
    return answer(cls, mhd);
}

static void *accept_all(void *user)
{
    struct bare *b = user;
    struct sockaddr_in from;

    for (;;) {
        socklen_t len = sizeof(from);
        int fd = accept4(b->listener, (struct sockaddr *)&from, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        MHD_add_connection(b->daemon, fd, (struct sockaddr *)&from, len);
    }
}

static unsigned listen_on_loopback(struct bare *b)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (b->listener < 0 ||
        bind(b->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(b->listener, 100) != 0 ||
        getsockname(b->listener, (struct sockaddr *)&at, &len) != 0)
        return 0;
    return ntohs(at.sin_port);
}

static void take_headers(struct bare *b, char **lines, int count)
{
    for (int i = 0; i < count && i < HEADERS_MAX; i++) {
        char *colon = strstr(lines[i], ": ");
        if (!colon)
            continue;
        *colon = 0;
        b->headers[b->header_count].name = lines[i];
        b->headers[b->header_count++].value = colon + 2;
    }
}

int main(int argc, char **argv)
{
    struct bare b = {.listener = -1};
    pthread_t acceptor;
    sigset_t term;
    int got;

    if (argc < 4) {
        fprintf(stderr, "usage: bare MEMORY THREADS BODY [NAME: VALUE]...\n");
        return 2;
    }
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
    b.body = argv[3];
    b.body_len = strlen(b.body);
    take_headers(&b, argv + 4, argc - 4);
    b.daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
            MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, &b, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)strtoul(argv[1], NULL, 10), MHD_OPTION_CONNECTION_TIMEOUT, 60u,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)strtoul(argv[2], NULL, 10),
        MHD_OPTION_END);
    unsigned port = listen_on_loopback(&b);
    if (!b.daemon || !port ||
        pthread_create(&acceptor, NULL, accept_all, &b) != 0) {
        perror("bare");
        return 1;
    }
    fprintf(stderr, "bare: ready on http://127.0.0.1:%u/\n", port);
    sigwait(&term, &got);
    shutdown(b.listener, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    MHD_stop_daemon(b.daemon);
    close(b.listener);
    return 0;
}
