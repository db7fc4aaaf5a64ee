/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/relay.h"

#include "managers/cluster/frame.h"
#include "session/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS_MAX 8
#define WIRES_MAX 64
#define HELD_MAX (4u << 20) /* bytes of one direction */
#define HEAD_MAX 2048       /* of a HELLO */
#define NOBODY (-1)         /* has not said who it is */
#define STRANGER (-2)       /* said something else */

struct chunk {
    struct chunk *next;
    long long due;
    size_t len, at;
    uint8_t bytes[];
};

/* What came over one end and has to leave by the other. */
struct flow {
    struct chunk *first, **last;
    size_t held;
    bool over, told; /* nothing more comes; and the other end knows */
};

struct wire {
    int fd[2]; /* of who dialled, of who was; -1: there is no wire */
    int from, to;
    struct flow flow[2];
    uint8_t head[HEAD_MAX];
    size_t head_len;
    struct pollfd *poll[2]; /* of this turn; NULL: not looked at */
};

struct relay {
    unsigned count;
    int targets[MEMBERS_MAX], listeners[MEMBERS_MAX], ports[MEMBERS_MAX];
    int wake;
    pthread_t thread;
    pthread_mutex_t lock; /* all below, but for the sleep */
    bool ends;
    enum relay_way ways[MEMBERS_MAX][MEMBERS_MAX];
    enum relay_way any[MEMBERS_MAX]; /* of strangers to it */
    bool is_other[MEMBERS_MAX];      /* it speaks another language */
    int delay;
    struct wire wires[WIRES_MAX];
};

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)port)};
}

/* ---- one direction ---- */

static void flow_add(struct flow *f, const uint8_t *bytes, size_t len,
                     long long due)
{
    struct chunk *c = mem_alloc(sizeof *c + len);
    *c = (struct chunk){.len = len, .due = due};
    memcpy(c->bytes, bytes, len);
    *f->last = c;
    f->last = &c->next;
    f->held += len;
}

static void flow_drop(struct flow *f)
{
    struct chunk *c = f->first;
    f->first = c->next;
    if (!f->first)
        f->last = &f->first;
    f->held -= c->len - c->at;
    free(c);
}

static bool flow_is_due(const struct flow *f, long long now)
{
    return f->first && f->first->due <= now;
}

/* false: the end it leaves by is broken. */
static bool flow_write(struct flow *f, int fd, long long now)
{
    while (flow_is_due(f, now)) {
        struct chunk *c = f->first;
        ssize_t n = send(fd, c->bytes + c->at, c->len - c->at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        c->at += (size_t)n;
        f->held -= (size_t)n;
        if (c->at < c->len)
            return true;
        flow_drop(f);
    }
    if (f->over && !f->first && !f->told) {
        shutdown(fd, SHUT_WR);
        f->told = true;
    }
    return true;
}

/* ---- wires ---- */

static void wire_reset(struct wire *w)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int end = 0; end < 2; end++) {
        setsockopt(w->fd[end], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(w->fd[end]);
        while (w->flow[end].first)
            flow_drop(&w->flow[end]);
        w->fd[end] = -1;
    }
}

static enum relay_way wire_way(const struct relay *r, const struct wire *w)
{
    return w->from < 0 ? r->any[w->to] : r->ways[w->from][w->to];
}

/* Who dials has advertised one of our ports. */
static int member_of(const struct relay *r, const struct frame_hello *hello)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)hello->address.len,
             hello->address.p);
    const char *colon = strrchr(text, ':');
    for (unsigned i = 0; colon && i < r->count; i++)
        if (r->ports[i] == atoi(colon + 1))
            return (int)i;
    return STRANGER;
}

static void wire_identify(const struct relay *r, struct wire *w,
                          const uint8_t *bytes, size_t len)
{
    size_t room = sizeof w->head - w->head_len, body_len, need;
    const uint8_t *body;
    struct frame frame;
    if (w->from != NOBODY)
        return;
    memcpy(w->head + w->head_len, bytes, len < room ? len : room);
    w->head_len += len < room ? len : room;
    int n = frame_split(w->head, w->head_len, &body, &body_len, &need);
    if (n == 0 && w->head_len < sizeof w->head)
        return;
    w->from = STRANGER;
    if (n > 0 && frame_decode(body, body_len, &frame, NULL) == RC_OK &&
        frame.type == FRAME_HELLO)
        w->from = member_of(r, &frame.hello);
}

/* false: that end is broken. */
static bool wire_read(const struct relay *r, struct wire *w, int end,
                      long long now)
{
    uint8_t bytes[65536];
    ssize_t n = recv(w->fd[end], bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
        w->flow[end].over = true;
        return true;
    }
    if (end == 0)
        wire_identify(r, w, bytes, (size_t)n);
    flow_add(&w->flow[end], bytes, (size_t)n, now + r->delay);
    return true;
}

static void wire_serve(const struct relay *r, struct wire *w, long long now)
{
    bool whole = true;
    for (int end = 0; end < 2; end++)
        if (w->poll[end] && (w->poll[end]->revents & ~POLLOUT))
            whole &= wire_read(r, w, end, now);
    if (!whole || wire_way(r, w) == RELAY_CUT) {
        wire_reset(w);
        return;
    }
    if (wire_way(r, w) == RELAY_HOLE || w->from == NOBODY) {
        if (w->from == NOBODY && w->flow[0].over)
            wire_reset(w);
        return;
    }
    for (int end = 0; end < 2; end++)
        whole &= flow_write(&w->flow[end], w->fd[!end], now);
    if (!whole || (w->flow[0].told && w->flow[1].told))
        wire_reset(w);
}

static void wire_accept(struct relay *r, unsigned to)
{
    struct sockaddr_in a = loopback(r->targets[to]);
    struct wire *w = r->wires;
    int dialler = accept4(r->listeners[to], NULL, NULL, SOCK_CLOEXEC);
    int target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (w < r->wires + WIRES_MAX && w->fd[0] >= 0)
        w++;
    if (w == r->wires + WIRES_MAX || dialler < 0 || target < 0 ||
        connect(target, (struct sockaddr *)&a, sizeof a)) {
        if (dialler >= 0)
            close(dialler);
        if (target >= 0)
            close(target);
        return;
    }
    memset(w, 0, sizeof *w);
    w->fd[0] = dialler;
    w->fd[1] = target;
    w->from = r->is_other[to] ? STRANGER : NOBODY;
    w->to = (int)to;
    for (int end = 0; end < 2; end++)
        w->flow[end].last = &w->flow[end].first;
}

/* ---- the thread ---- */

struct turn {
    struct pollfd polls[1 + MEMBERS_MAX + 2 * WIRES_MAX];
    nfds_t count;
    long long until; /* -1: for ever */
};

static struct pollfd *turn_add(struct turn *t, int fd, short events)
{
    t->polls[t->count] = (struct pollfd){.fd = fd, .events = events};
    return &t->polls[t->count++];
}

static void turn_add_wire(struct turn *t, const struct relay *r, struct wire *w,
                          long long now)
{
    w->poll[0] = w->poll[1] = NULL;
    if (w->fd[0] < 0 || wire_way(r, w) == RELAY_HOLE)
        return;
    for (int end = 0; end < 2; end++) {
        const struct flow *in = &w->flow[end], *out = &w->flow[!end];
        short events = 0;
        if (!in->over && in->held < HELD_MAX)
            events |= POLLIN;
        if (flow_is_due(out, now) && w->from != NOBODY)
            events |= POLLOUT;
        else if (out->first && w->from != NOBODY &&
                 (t->until < 0 || out->first->due < t->until))
            t->until = out->first->due;
        if (events)
            w->poll[end] = turn_add(t, w->fd[end], events);
    }
}

static void turn_sleep(struct turn *t, struct relay *r, long long now)
{
    long long left = t->until < 0 ? -1 : t->until > now ? t->until - now : 0;
    pthread_mutex_unlock(&r->lock);
    poll(t->polls, t->count, (int)left);
    pthread_mutex_lock(&r->lock);
}

static void relay_turn(struct relay *r)
{
    struct turn t = {.until = -1};
    long long now = now_ms();
    uint64_t woken;
    turn_add(&t, r->wake, POLLIN);
    for (unsigned i = 0; i < r->count; i++)
        turn_add(&t, r->listeners[i], POLLIN);
    for (struct wire *w = r->wires; w < r->wires + WIRES_MAX; w++)
        turn_add_wire(&t, r, w, now);
    turn_sleep(&t, r, now);
    now = now_ms();
    if (t.polls[0].revents && read(r->wake, &woken, sizeof woken) < 0)
        abort();
    for (struct wire *w = r->wires; w < r->wires + WIRES_MAX; w++)
        if (w->fd[0] >= 0)
            wire_serve(r, w, now);
    for (unsigned i = 0; i < r->count; i++)
        if (t.polls[1 + i].revents)
            wire_accept(r, i);
}

static void *relay_run(void *argument)
{
    struct relay *r = argument;
    pthread_mutex_lock(&r->lock);
    while (!r->ends)
        relay_turn(r);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- from outside ---- */

static void relay_listen(struct relay *r, unsigned i)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        abort();
    r->listeners[i] = fd;
    r->ports[i] = ntohs(a.sin_port);
}

struct relay *relay_new(unsigned count, const int *targets)
{
    struct relay *r = mem_zero(sizeof *r);
    if (count > MEMBERS_MAX)
        abort();
    r->count = count;
    for (unsigned i = 0; i < count; i++) {
        r->targets[i] = targets[i];
        relay_listen(r, i);
    }
    for (unsigned i = 0; i < WIRES_MAX; i++)
        r->wires[i].fd[0] = r->wires[i].fd[1] = -1;
    r->wake = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&r->lock, NULL);
    if (r->wake < 0 || pthread_create(&r->thread, NULL, relay_run, r))
        abort();
    return r;
}

static void relay_woken(struct relay *r)
{
    uint64_t one = 1;
    pthread_mutex_unlock(&r->lock);
    if (write(r->wake, &one, sizeof one) != sizeof one)
        abort();
}

void relay_free(struct relay **relay)
{
    struct relay *r = *relay;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->ends = true;
    relay_woken(r);
    pthread_join(r->thread, NULL);
    for (unsigned i = 0; i < WIRES_MAX; i++)
        if (r->wires[i].fd[0] >= 0)
            wire_reset(&r->wires[i]);
    for (unsigned i = 0; i < r->count; i++)
        close(r->listeners[i]);
    close(r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
    *relay = NULL;
}

int relay_port(const struct relay *relay, unsigned member)
{
    return relay->ports[member];
}

void relay_set(struct relay *relay, unsigned a, unsigned b, enum relay_way way)
{
    pthread_mutex_lock(&relay->lock);
    relay->ways[a][b] = relay->ways[b][a] = way;
    relay_woken(relay);
}

void relay_isolate(struct relay *relay, unsigned member, enum relay_way way)
{
    for (unsigned i = 0; i < relay->count; i++)
        if (i != member)
            relay_set(relay, member, i, way);
}

void relay_any(struct relay *relay, unsigned member, enum relay_way way)
{
    pthread_mutex_lock(&relay->lock);
    relay->is_other[member] = true;
    relay->any[member] = way;
    relay_woken(relay);
}

void relay_delay(struct relay *relay, int ms)
{
    pthread_mutex_lock(&relay->lock);
    relay->delay = ms;
    relay_woken(relay);
}

unsigned relay_count(struct relay *relay)
{
    unsigned count = 0;
    pthread_mutex_lock(&relay->lock);
    for (unsigned i = 0; i < WIRES_MAX; i++)
        count += relay->wires[i].fd[0] >= 0;
    pthread_mutex_unlock(&relay->lock);
    return count;
}
