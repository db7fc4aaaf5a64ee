/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes on their way out: `out` gathers (in clear when there is TLS), `wire` is
 * what the socket has not taken yet, `flying` belongs to libuv until its
 * callback. */
#include "config.h"

#include "managers/cluster/link.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define LINK_KEPT (256u << 10) /* bytes of an empty buffer that stay */

static void link_step(struct link *l);

/* --- its end ----------------------------------------------------------------
 */

static void link_gone(uv_handle_t *handle)
{
    struct link *l = handle->data;

    l->owner->gone(l);
    tls_free(&l->tls);
    buf_release(&l->out);
    buf_release(&l->wire);
    buf_release(&l->flying);
    buf_release(&l->part);
    free(l);
}

void link_kill(struct link *l)
{
    if (l->state == LINK_CLOSED)
        return;
    l->state = LINK_CLOSED;
    uv_close(&l->handle, link_gone);
}

static void link_end(struct link *l, enum link_end end, const char *why)
{
    if (l->state == LINK_CLOSED)
        return;
    if (l->state != LINK_LINGERING)
        l->owner->end(l, end, why);
    link_kill(l);
}

void link_close(struct link *l)
{
    if (l->state != LINK_OPEN) {
        if (l->state != LINK_LINGERING)
            link_kill(l);
        return;
    }
    l->state = LINK_LINGERING;
    l->deadline = uv_now(l->owner->loop) + LINK_LINGER_MS;
    link_flush(l);
}

/* --- writing ----------------------------------------------------------------
 */

static void buf_swap(struct buf *a, struct buf *b)
{
    struct buf c = *a;
    *a = *b;
    *b = c;
}

static void buf_rest(struct buf *b)
{
    if (b->cap > LINK_KEPT)
        buf_release(b);
    else
        buf_reset(b);
}

static void link_written(uv_write_t *write, int status)
{
    struct link *l = write->data;

    l->writing = false;
    buf_rest(&l->flying);
    if (status < 0 && status != UV_ECANCELED)
        link_end(l, LINK_LOST, uv_strerror(status));
    else if (l->state != LINK_CLOSED)
        link_flush(l);
}

static void link_shut(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status; /* the deadline ends it */
}

/* What the socket takes at once goes without a callback. */
static void link_write(struct link *l)
{
    uv_buf_t b = uv_buf_init(l->wire.data, (unsigned)l->wire.len);
    int n = uv_try_write(&l->stream, &b, 1);

    if (n == (int)l->wire.len) {
        buf_rest(&l->wire);
        return;
    }
    if (n < 0 && n != UV_EAGAIN) {
        link_end(l, LINK_LOST, uv_strerror(n));
        return;
    }
    if (n < 0)
        n = 0;
    buf_swap(&l->wire, &l->flying);
    b = uv_buf_init(l->flying.data + n, (unsigned)l->flying.len - (unsigned)n);
    l->write.data = l;
    l->writing = true;
    n = uv_write(&l->write, &l->stream, &b, 1, link_written);
    if (n < 0) {
        l->writing = false;
        link_end(l, LINK_LOST, uv_strerror(n));
    }
}

static bool link_seal(struct link *l)
{
    bool sealed;

    if (!l->tls) {
        buf_swap(&l->out, &l->wire);
        return true;
    }
    sealed = tls_seal(l->tls, l->out.data, l->out.len);
    buf_rest(&l->out);
    return sealed;
}

void link_flush(struct link *l)
{
    if (l->state == LINK_CONNECTING || l->state == LINK_CLOSED)
        return;
    if (l->overfull) {
        link_end(l, LINK_FULL, "it does not read what it is sent");
        return;
    }
    if (l->writing)
        return;
    if (l->out.len && l->state != LINK_SHAKING && (l->tls || !l->wire.len) &&
        !link_seal(l)) {
        link_end(l, LINK_LOST, "TLS failed");
        return;
    }
    if (l->wire.len)
        link_write(l);
    if (l->state == LINK_LINGERING && !l->writing && !l->shut) {
        l->shut = true;
        uv_shutdown(&l->shutdown, &l->stream, link_shut);
    }
}

void link_send(struct link *l, const void *bytes, size_t len)
{
    if (l->state == LINK_OPEN && !buf_add(&l->out, bytes, len))
        l->overfull = true;
}

/* --- reading ----------------------------------------------------------------
 */

/* Cuts frames off `bytes` and hands them over. Returns how many bytes were
 * used; what is left is the beginning of a frame of l->need bytes. */
static size_t link_cut(struct link *l, const uint8_t *bytes, size_t len)
{
    const uint8_t *body;
    size_t used = 0, body_len;

    while (l->state == LINK_OPEN) {
        int n =
            frame_split(bytes + used, len - used, &body, &body_len, &l->need);
        if (n < 0 || (n == 0 && !l->trusted && l->need > FRAME_FULL)) {
            link_end(l, LINK_GARBAGE,
                     link_is_tls(bytes + used, len - used)
                         ? "it speaks TLS, and this member has no key"
                         : "what it sent is no frame of a member");
            return len;
        }
        if (n == 0)
            return used;
        used = (size_t)(body + body_len - bytes);
        l->owner->frame(l, body, body_len);
    }
    return len;
}

static void link_take(struct link *l, const uint8_t *bytes, size_t len)
{
    while (len && l->state == LINK_OPEN) {
        size_t n;

        if (!l->part.len) {
            n = link_cut(l, bytes, len);
            if (n < len && l->state == LINK_OPEN)
                buf_add(&l->part, bytes + n, len - n);
            return;
        }
        n = l->need - l->part.len;
        if (n > len)
            n = len;
        buf_add(&l->part, bytes, n);
        bytes += n;
        len -= n;
        if (l->part.len == l->need &&
            link_cut(l, (uint8_t *)l->part.data, l->part.len) == l->part.len)
            buf_rest(&l->part);
    }
}

static void link_opened(struct link *l)
{
    l->state = LINK_OPEN;
    if (l->dialled)
        l->owner->open(l);
}

static void link_shake(struct link *l)
{
    enum tls_step step = tls_handshake(l->tls, &l->why);

    link_flush(l);
    if (l->state == LINK_CLOSED)
        return;
    if (step == TLS_DONE)
        link_opened(l);
    else if (step == TLS_REFUSED)
        link_end(l, LINK_DENIED, l->why.text);
}

static void link_unseal(struct link *l)
{
    uint8_t *clear = l->owner->scratch + LINK_READ_SIZE;
    long n;

    while (l->state == LINK_OPEN) {
        n = tls_open(l->tls, clear, TLS_RECORD_MAX, &l->why);
        if (n == 0)
            return;
        if (n < 0) /* a certificate is refused after the handshake */
            link_end(l, l->trusted ? LINK_LOST : LINK_DENIED, l->why.text);
        else
            link_take(l, clear, (size_t)n);
    }
}

static void link_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct link *l = stream->data;

    if (n == 0 || l->state == LINK_CLOSED)
        return;
    if (n < 0) {
        bool denied = l->state == LINK_SHAKING && l->dialled;
        link_end(l, denied ? LINK_DENIED : LINK_LOST,
                 denied ? "it closed the connection during TLS's handshake"
                        : uv_strerror((int)n));
        return;
    }
    if (l->state == LINK_LINGERING)
        return;
    if (!l->tls) {
        link_take(l, (uint8_t *)b->base, (size_t)n);
        return;
    }
    tls_feed(l->tls, b->base, (size_t)n);
    link_step(l);
}

static void link_step(struct link *l)
{
    if (l->state == LINK_SHAKING)
        link_shake(l);
    if (l->state == LINK_OPEN && l->tls)
        link_unseal(l);
}

static void link_room(uv_handle_t *handle, size_t wanted, uv_buf_t *b)
{
    const struct link *l = handle->data;

    (void)wanted;
    *b = uv_buf_init((char *)l->owner->scratch, LINK_READ_SIZE);
}

bool link_is_tls(const uint8_t *bytes, size_t len)
{
    return len >= 3 && bytes[0] >= 0x14 && bytes[0] <= 0x17 && bytes[1] == 3 &&
           bytes[2] <= 4;
}

/* --- its beginning ----------------------------------------------------------
 */

static struct link *link_new(struct link_owner *owner, void *user)
{
    struct link *l = mem_zero(sizeof *l);

    l->owner = owner;
    l->user = user;
    l->number = l->place = -1;
    l->deadline = uv_now(owner->loop) + (uint64_t)owner->patience_ms;
    buf_init(&l->out, LINK_OUT_MAX);
    /* sealed, it is a little longer */
    buf_init(&l->wire, LINK_OUT_MAX + LINK_OUT_MAX / 64 + LINK_READ_SIZE);
    buf_init(&l->flying, l->wire.max);
    buf_init(&l->part, FRAME_MAX + 4);
    uv_tcp_init(owner->loop, &l->tcp);
    l->handle.data = l;
    return l;
}

static void link_connected(struct link *l)
{
    unsigned ms = (unsigned)l->owner->drop_ms;
    int fd;

    uv_tcp_nodelay(&l->tcp, 1);
    if (uv_fileno(&l->handle, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    uv_read_start(&l->stream, link_room, link_read);
    if (!l->owner->key) {
        link_opened(l);
        return;
    }
    l->tls = tls_new(l->owner->key, l->dialled, &l->wire);
    l->state = LINK_SHAKING;
    link_step(l);
}

struct link *link_accept(struct link_owner *owner, void *user,
                         uv_stream_t *listener)
{
    struct link *l = link_new(owner, user);
    struct sockaddr_storage from;
    int len = sizeof from;
    char host[ADDRESS_HOST_MAX];

    if (uv_accept(listener, &l->stream) < 0) {
        link_kill(l);
        return NULL;
    }
    if (uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&from, &len) == 0)
        address_join(address_host((struct sockaddr *)&from, host),
                     address_port((struct sockaddr *)&from), l->peer);
    link_connected(l);
    return l;
}

/* Both ends are one: the kernel chose as our own port the one that was called,
 * since nobody listens there. */
static bool link_is_own(const struct link *l)
{
    struct sockaddr_storage here, there;
    int n = sizeof here, m = sizeof there;

    return uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&here, &n) == 0 &&
           uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&there, &m) == 0 &&
           address_equal((struct sockaddr *)&here, (struct sockaddr *)&there);
}

static void link_dialled(uv_connect_t *connect, int status)
{
    struct link *l = connect->data;

    if (status == UV_ECANCELED || l->state == LINK_CLOSED)
        return;
    if (status == UV_ECONNREFUSED || (status == 0 && link_is_own(l)))
        link_end(l, LINK_REFUSED, "nobody listens there");
    else if (status < 0)
        link_end(l, LINK_UNREACHED, uv_strerror(status));
    else
        link_connected(l);
}

struct link *link_dial(struct link_owner *owner, void *user,
                       const struct sockaddr *to)
{
    struct link *l = link_new(owner, user);
    char host[ADDRESS_HOST_MAX];
    int n;

    l->dialled = true;
    l->connect.data = l;
    address_join(address_host(to, host), address_port(to), l->peer);
    n = uv_tcp_connect(&l->connect, &l->tcp, to, link_dialled);
    if (n < 0) /* libuv tells what the network says later, and this now */
        l->failed = true;
    return l;
}

void link_trust(struct link *l)
{
    l->trusted = true;
    l->deadline = 0;
}

void link_tick(struct link *l)
{
    if (l->failed)
        link_end(l, LINK_UNREACHED, "no connection can be begun");
    if (l->state == LINK_CLOSED || !l->deadline ||
        uv_now(l->owner->loop) < l->deadline)
        return;
    if (l->state == LINK_CONNECTING)
        link_end(l, LINK_UNREACHED, "no answer");
    else
        link_end(l, LINK_SILENT, "no member's greeting");
}
