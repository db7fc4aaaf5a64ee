/* SPDX-License-Identifier: Apache-2.0
 *
 * load [OPTION]... PORT[,PORT]... PATH: requests over keep-alive connections
 * to 127.0.0.1, from one thread; prints what came of it in one line of
 * NAME=VALUE (times in microseconds). Exit 1 when a response was not the
 * expected one, or none.
 *
 *   -c N       clients, 1 to 64 (1); each has one request under way
 *   -s         of several ports each client stays at one; else it goes to the
 *              next with every request, and has a connection to each
 *   -n N       so many requests (1)
 *   -d S       instead: for so many seconds
 *   -r N       so many requests a second, at even distances. The time of a
 *              request counts from when it was due, not from when a free
 *              connection was found: a slow answer makes others late, too
 *   -k FILE    cookies, NAME=VALUE, one a line; the clients share them out
 *   -p FORM    POST this form
 *   -e STATUS  what is expected (200)
 *   -i         print the last response as it came instead
 *   -t S       give up after so many seconds (120)
 *
 * SIGTERM: no further request, but all that was measured. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 64,
    PORTS_MAX = 8,
    RESPONSE_MAX = 1 << 18,
    REQUEST_MAX = 2048
};

struct client {
    bool busy;
    unsigned at; /* which of the ports */
    int fds[PORTS_MAX];
    int64_t due; /* ns, of the request under way */
    size_t request_len, len;
    char request[REQUEST_MAX];
    char *response; /* RESPONSE_MAX and a 0 */
};

struct load {
    long client_count, requests, seconds, rate, status, patience;
    bool show, sticky;
    unsigned ports[PORTS_MAX], port_count;
    const char *path, *form, *cookies;
    struct client *clients;
    struct pollfd polls[CLIENTS_MAX];
    int64_t begun, sent, done, wrong;
    uint32_t *times; /* us, of each request that is done */
    size_t room;
};

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

/* ---- clients ---- */

static int open_socket(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        give_up("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* Header lines as curl sends them. */
static void prepare(const struct load *l, struct client *k, const char *cookie)
{
    int n = snprintf(k->request, sizeof(k->request),
                     "%s %s HTTP/1.1\r\nHost: localhost:%u\r\n"
                     "User-Agent: curl/7.88.1\r\nAccept: */*\r\n%s%s%s",
                     l->form ? "POST" : "GET", l->path, l->ports[0],
                     cookie ? "Cookie: " : "", cookie ? cookie : "",
                     cookie ? "\r\n" : "");
    size_t len = n < 0 ? sizeof(k->request) : (size_t)n;

    if (len < sizeof(k->request)) {
        n = l->form
                ? snprintf(k->request + len, sizeof(k->request) - len,
                           "Content-Type: application/x-www-form-urlencoded\r\n"
                           "Content-Length: %zu\r\n\r\n%s",
                           strlen(l->form), l->form)
                : snprintf(k->request + len, sizeof(k->request) - len, "\r\n");
        len += (size_t)n;
    }
    if (len >= sizeof(k->request))
        give_up("the request is too long");
    k->request_len = len;
    k->response = malloc(RESPONSE_MAX + 1);
    if (!k->response)
        give_up("out of memory");
}

/* The file is read again and again. NULL: no cookies. */
static char *next_cookie(FILE *file, char *line, int size)
{
    if (!file)
        return NULL;
    if (!fgets(line, size, file)) {
        rewind(file);
        if (!fgets(line, size, file))
            give_up("there is no cookie in the file of -k");
    }
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

static void open_all(struct load *l)
{
    FILE *file = l->cookies ? fopen(l->cookies, "r") : NULL;
    char line[512];

    if (l->cookies && !file)
        give_up("cannot read the file of -k");
    l->clients = calloc((size_t)l->client_count, sizeof(*l->clients));
    if (!l->clients)
        give_up("out of memory");
    for (long i = 0; i < l->client_count; i++) {
        struct client *k = &l->clients[i];
        prepare(l, k, next_cookie(file, line, sizeof(line)));
        k->at = (unsigned)i % l->port_count;
        for (unsigned n = 0; n < l->port_count; n++)
            if (!l->sticky || n == k->at)
                k->fds[n] = open_socket(l->ports[n]);
        l->polls[i].fd = k->fds[k->at];
        l->polls[i].events = POLLIN;
    }
    if (file)
        fclose(file);
}

/* ---- requests ---- */

static int64_t due_at(const struct load *l, int64_t i)
{
    return l->begun + i * 1000000000 / l->rate;
}

static bool is_told_to_end(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

static bool has_more(const struct load *l, int64_t now)
{
    if (is_told_to_end())
        return false;
    if (l->seconds)
        return (l->rate ? due_at(l, l->sent) : now) - l->begun <
               l->seconds * 1000000000;
    return l->sent < l->requests;
}

static void send_request(struct load *l, long i, int64_t due)
{
    struct client *k = &l->clients[i];

    k->busy = true;
    k->due = due;
    k->len = 0;
    l->sent++;
    if (!l->sticky)
        k->at = (k->at + 1) % l->port_count;
    l->polls[i].fd = k->fds[k->at];
    if (send(l->polls[i].fd, k->request, k->request_len, MSG_NOSIGNAL) !=
        (ssize_t)k->request_len)
        give_up("a connection was closed, or takes no more");
}

static void send_due(struct load *l, int64_t now)
{
    for (long i = 0; i < l->client_count && has_more(l, now); i++) {
        if (l->rate && due_at(l, l->sent) > now)
            return;
        if (!l->clients[i].busy)
            send_request(l, i, l->rate ? due_at(l, l->sent) : now);
    }
}

/* ---- responses ---- */

static bool is_whole(const struct client *k)
{
    static const char name[] = "\r\nContent-Length:";
    const char *end = strstr(k->response, "\r\n\r\n");
    const char *length = strcasestr(k->response, name);

    if (!end)
        return false;
    if (!length || length > end)
        give_up("a response without a length");
    return k->len >= (size_t)(end + 4 - k->response) +
                         strtoul(length + sizeof(name) - 1, NULL, 10);
}

static void note_time(struct load *l, int64_t ns)
{
    if ((size_t)l->done == l->room) {
        l->room = l->room ? l->room * 2 : 4096;
        l->times = realloc(l->times, l->room * sizeof(*l->times));
        if (!l->times)
            give_up("out of memory");
    }
    l->times[l->done++] = (uint32_t)(ns / 1000);
}

static void take(struct load *l, long i)
{
    struct client *k = &l->clients[i];
    ssize_t n = recv(l->polls[i].fd, k->response + k->len,
                     RESPONSE_MAX - k->len, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        give_up("a connection was closed, or an answer is too long");
    k->len += (size_t)n;
    k->response[k->len] = 0;
    if (!is_whole(k))
        return;
    k->busy = false;
    note_time(l, clock_ns() - k->due);
    if (strtol(k->response + sizeof("HTTP/1.1"), NULL, 10) != l->status &&
        l->wrong++ == 0)
        fprintf(stderr, "load: the first wrong answer:\n%s\n", k->response);
    if (l->show && !has_more(l, clock_ns()))
        fwrite(k->response, 1, k->len, stdout);
}

/* When the next one is due; a second when only answers are to come. */
static struct timespec wait_time(const struct load *l, int64_t now)
{
    int64_t ns = 1000000000;

    if (l->rate && l->sent - l->done < l->client_count && has_more(l, now))
        ns = due_at(l, l->sent) - now;
    if (ns < 0)
        ns = 0;
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static void run(struct load *l)
{
    int64_t now = l->begun = clock_ns();

    while (has_more(l, now) || l->done < l->sent) {
        send_due(l, now);
        struct timespec most = wait_time(l, clock_ns());
        if (ppoll(l->polls, (nfds_t)l->client_count, &most, NULL) < 0 &&
            errno != EINTR)
            give_up("poll failed");
        for (long i = 0; i < l->client_count; i++)
            if (l->polls[i].revents)
                take(l, i);
        now = clock_ns();
        if (now - l->begun > l->patience * 1000000000)
            give_up("not done in time (-t)");
    }
}

/* ---- what came of it ---- */

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void print_result(const struct load *l, double seconds)
{
    size_t n = (size_t)l->done;

    if (!n)
        give_up("no request was made");
    qsort(l->times, n, sizeof(*l->times), by_time);
    printf("requests=%zu wrong=%lld seconds=%.2f rate=%.0f p50=%u p90=%u "
           "p99=%u p999=%u max=%u\n",
           n, (long long)l->wrong, seconds, (double)n / seconds,
           l->times[n / 2], l->times[n * 9 / 10], l->times[n * 99 / 100],
           l->times[n * 999 / 1000], l->times[n - 1]);
}

static long number(const char *text, long most)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (!*text || *end || n < 0 || n > most)
        give_up("not a number, or out of its range: see load.c");
    return n;
}

static void read_ports(struct load *l, char *list)
{
    char *port;

    while ((port = strsep(&list, ","))) {
        if (l->port_count == PORTS_MAX)
            give_up("too many ports");
        l->ports[l->port_count++] = (unsigned)number(port, 65535);
    }
}

static void read_options(struct load *l, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "c:n:d:r:k:p:e:ist:")) != -1) {
        switch (c) {
        case 'c':
            l->client_count = number(optarg, CLIENTS_MAX);
            break;
        case 'n':
            l->requests = number(optarg, 1000000000);
            break;
        case 'd':
            l->seconds = number(optarg, 86400);
            break;
        case 'r':
            l->rate = number(optarg, 1000000);
            break;
        case 'k':
            l->cookies = optarg;
            break;
        case 'p':
            l->form = optarg;
            break;
        case 'e':
            l->status = number(optarg, 999);
            break;
        case 'i':
            l->show = true;
            break;
        case 's':
            l->sticky = true;
            break;
        case 't':
            l->patience = number(optarg, 86400);
            break;
        default:
            exit(2);
        }
    }
    if (argc - optind != 2 || !l->client_count)
        give_up(
            "usage: load [OPTION]... PORT[,PORT]... PATH; load.c says which");
    read_ports(l, argv[optind]);
    l->path = argv[optind + 1];
}

int main(int argc, char **argv)
{
    struct load l = {
        .client_count = 1, .requests = 1, .status = 200, .patience = 120};

    sigset_t term;

    read_options(&l, argc, argv);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    prctl(PR_SET_TIMERSLACK, 1);
    open_all(&l);
    run(&l);
    if (!l.show)
        print_result(&l, (double)(clock_ns() - l.begun) / 1e9);
    return l.wrong ? 1 : 0;
}
