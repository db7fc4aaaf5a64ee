/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_say(struct cluster *c, enum cluster_say kind, const char *format,
                 ...)
{
    int64_t now = instant_read().mono;
    char text[512];
    va_list ap;

    if (now < c->say_next[kind])
        return;
    c->say_next[kind] = now + CLUSTER_LOG_MS;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    log_line(c->log, LOG_WARN, "cluster", "%s", text);
}

/* --- what the core wants ----------------------------------------------------
 */

void cluster_out_send(void *user, int number, const uint8_t *bytes, size_t len)
{
    struct cluster *c = user;
    struct link *l = c->numbers[number];

    if (!l)
        return; /* all links were closed: this member stops */
    link_send(l, bytes, len);
    if (!l->listed) {
        l->listed = true;
        l->next = c->to_flush;
        c->to_flush = l;
    }
}

static void forget_number(struct cluster *c, struct link *l)
{
    c->numbers[l->number] = NULL;
    l->number = -1;
}

void cluster_out_close(void *user, int number)
{
    struct cluster *c = user;
    struct link *l = c->numbers[number];

    if (!l)
        return;
    forget_number(c, l);
    link_close(l);
}

/* The smallest that is free. */
static void take_number(struct cluster *c, struct link *l)
{
    size_t n = 0;

    while (n < c->number_cap && c->numbers[n])
        n++;
    if (n == c->number_cap) {
        c->number_cap += 16;
        c->numbers = mem_resize(c->numbers, c->number_cap * sizeof *c->numbers);
        memset(c->numbers + n, 0, 16 * sizeof *c->numbers);
    }
    c->numbers[n] = l;
    l->number = (int)n;
}

void cluster_flush_links(struct cluster *c)
{
    struct link *l;

    while ((l = c->to_flush)) {
        c->to_flush = l->next;
        l->listed = false;
        link_flush(l);
    }
}

/* --- what links tell --------------------------------------------------------
 */

static void introduce(struct cluster *c, struct link *l)
{
    take_number(c, l);
    core_link_up(c->core, l->number, l->place, instant_read());
}

static void on_open(struct link *l)
{
    struct cluster *c = l->user;

    if (l->dial)
        dial_done(l->dial);
    l->dial = NULL;
    cluster_core_lock(c);
    introduce(c, l);
    cluster_core_unlock(c);
}

/* In every version: an array that begins with FRAME_HELLO. */
static bool is_greeting(const uint8_t *body, size_t len)
{
    struct pack_reader r = {body, body + len};
    struct pack_token t;
    uint64_t type;

    return pack_read(&r, &t) && t.type == PACK_ARRAY && t.len >= 2 &&
           pack_read_uint(&r, &type) && type == FRAME_HELLO;
}

static void on_frame(struct link *l, const uint8_t *body, size_t len)
{
    struct cluster *c = l->user;

    if (l->number < 0 && !is_greeting(body, len)) {
        atomic_fetch_add(&c->garbage, 1);
        cluster_say(c, SAY_GARBAGE,
                    "%s sent something else than a member's greeting: closed",
                    l->peer);
        link_kill(l);
        return;
    }
    cluster_core_lock(c);
    if (l->number < 0)
        introduce(c, l);
    if (l->number >= 0)
        core_received(c->core, l->number, body, len, instant_read());
    cluster_core_unlock(c);
    if (l->number >= 0 && !l->trusted)
        link_trust(l);
}

static void say_end(struct cluster *c, const struct link *l, enum link_end end,
                    const char *why)
{
    const char *verb = l->dialled ? "cannot link to" : "refused";

    if (end == LINK_DENIED)
        cluster_say(c, SAY_DENIED,
                    "%s %s: %s: has it the same cluster.key (or authority) as "
                    "this member?",
                    verb, l->peer, why);
    else if (end == LINK_GARBAGE)
        cluster_say(c, SAY_GARBAGE, "%s %s: %s", verb, l->peer, why);
    else if (end == LINK_FULL)
        log_line(c->log, LOG_WARN, "cluster",
                 "the link to %s is closed: %s; it is dialled again", l->peer,
                 why);
}

/* Half a frame, or half a handshake, counts as well. */
static bool is_garbage(const struct link *l, enum link_end end)
{
    if (end == LINK_GARBAGE || end == LINK_DENIED)
        return true;
    if (l->dialled || l->trusted)
        return false;
    return end == LINK_SILENT || (end == LINK_LOST && (l->tls || l->part.len));
}

static void on_end(struct link *l, enum link_end end, const char *why)
{
    struct cluster *c = l->user;
    struct dial *d = l->dial;
    int number = l->number;

    say_end(c, l, end, why);
    if (is_garbage(l, end))
        atomic_fetch_add(&c->garbage, 1);
    l->dial = NULL;
    if (number >= 0) {
        forget_number(c, l);
        cluster_core_lock(c);
        core_link_down(c->core, number, instant_read());
        cluster_core_unlock(c);
    } else if (d) {
        dial_link_ended(d, end == LINK_REFUSED);
    }
}

static void on_gone(struct link *l)
{
    struct cluster *c = l->user;
    struct link **at = &c->to_flush;

    if (l->listed) {
        while (*at != l)
            at = &(*at)->next;
        *at = l->next;
    }
    for (size_t i = 0; i < c->link_count; i++)
        if (c->links[i] == l) {
            c->links[i] = c->links[--c->link_count];
            break;
        }
    cluster_handle_closed(c);
}

void cluster_links_init(struct cluster *c)
{
    c->scratch = mem_alloc(LINK_READ_SIZE + TLS_RECORD_MAX);
    c->owner = (struct link_owner){
        .loop = c->loop,
        .key = c->key,
        .drop_ms = c->settings.drop_ms,
        .patience_ms = c->settings.drop_ms < 1000 ? 1000 : c->settings.drop_ms,
        .scratch = c->scratch,
        .open = on_open,
        .frame = on_frame,
        .end = on_end,
        .gone = on_gone,
    };
}

/* --- strangers --------------------------------------------------------------
 */

static bool is_stranger(const struct link *l)
{
    return !l->dialled && !l->trusted && l->state != LINK_CLOSED;
}

/* A member greets at once: of too many that do not, the first goes. */
static void thin_out(struct cluster *c)
{
    struct link *oldest = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < c->link_count; i++) {
        struct link *l = c->links[i];
        if (!is_stranger(l))
            continue;
        count++;
        if (!oldest || l->deadline < oldest->deadline)
            oldest = l;
    }
    if (count <= CLUSTER_STRANGERS_MAX)
        return;
    atomic_fetch_add(&c->garbage, 1);
    cluster_say(c, SAY_CROWD,
                "more than %d connections at %s that do not greet: the oldest "
                "is closed (%s)",
                CLUSTER_STRANGERS_MAX, c->address, oldest->peer);
    if (oldest->number >= 0) {
        int number = oldest->number;
        forget_number(c, oldest);
        cluster_core_lock(c);
        core_link_down(c->core, number, instant_read());
        cluster_core_unlock(c);
    }
    link_kill(oldest);
}

void cluster_on_connection(uv_stream_t *listener, int status)
{
    struct cluster *c = listener->data;
    struct link *l;

    if (status < 0)
        return;
    c->handles++;
    l = link_accept(&c->owner, c, listener);
    if (!l)
        return;
    c->links = mem_resize(c->links, (c->link_count + 1) * sizeof *c->links);
    c->links[c->link_count++] = l;
    if (c->link_count > CLUSTER_LINKS_MAX)
        link_kill(l);
    thin_out(c);
}

void cluster_tick_links(struct cluster *c)
{
    /* a link that ends stays in the list until it is gone */
    for (size_t i = 0; i < c->link_count; i++)
        link_tick(c->links[i]);
}

void cluster_close_links(struct cluster *c)
{
    for (size_t i = 0; i < c->link_count; i++) {
        struct link *l = c->links[i];
        if (l->number >= 0)
            forget_number(c, l);
        link_close(l);
    }
}
