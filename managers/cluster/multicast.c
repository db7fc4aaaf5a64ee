/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/multicast.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "margay"
#define MAGIC_SIZE 6
#define ANNOUNCE_VERSION 1
#define HEAD_SIZE (MAGIC_SIZE + 2) /* and version, and whether it is signed */

struct multicast {
    struct multicast_owner owner;
    const struct tls_key *key;
    struct log *log;
    uv_udp_t udp;
    uv_timer_t timer;
    unsigned open; /* handles */
    bool is_mute;  /* told that nothing can be sent */
    struct sockaddr_in group;
    char cluster[ADDRESS_MAX];
    uint64_t node;
    uint8_t own[MULTICAST_MAX];
    size_t own_len;
    uint64_t ignored;
    char **heard; /* addresses that were told */
    size_t heard_count;
    char in[MULTICAST_MAX + 1]; /* what is longer is none of ours */
};

/* --- the datagram -----------------------------------------------------------
 */

size_t announcement_write(const struct announcement *a,
                          const struct tls_key *key, uint8_t out[MULTICAST_MAX])
{
    const uint8_t head[2] = {ANNOUNCE_VERSION, key != NULL};
    struct pack_writer w;
    size_t len;

    pack_init(&w, MULTICAST_MAX);
    pack_raw(&w, MAGIC, MAGIC_SIZE);
    pack_raw(&w, head, sizeof head);
    pack_array(&w, 4);
    pack_uint(&w, a->node);
    pack_str(&w, a->cluster, strlen(a->cluster));
    pack_str(&w, a->name, strlen(a->name));
    pack_str(&w, a->address, strlen(a->address));
    len = w.len;
    assert(len + TLS_TAG_SIZE <= MULTICAST_MAX);
    memcpy(out, w.data, len);
    pack_release(&w);
    if (!key)
        return len;
    tls_tag(key, out, len, out + len);
    return len + TLS_TAG_SIZE;
}

static bool read_text(struct pack_reader *r, char out[ADDRESS_MAX])
{
    struct pack_token t;

    if (!pack_read(r, &t) || t.type != PACK_STR || t.len >= ADDRESS_MAX ||
        memchr(t.p, 0, t.len))
        return false;
    memcpy(out, t.p, t.len);
    out[t.len] = '\0';
    return true;
}

bool announcement_read(const uint8_t *bytes, size_t len,
                       const struct tls_key *key, struct announcement *out)
{
    char host[ADDRESS_HOST_MAX];
    struct pack_reader r;
    struct pack_token t;
    unsigned port;

    if (len < HEAD_SIZE || memcmp(bytes, MAGIC, MAGIC_SIZE) != 0 ||
        bytes[MAGIC_SIZE] != ANNOUNCE_VERSION ||
        bytes[MAGIC_SIZE + 1] != (key != NULL))
        return false;
    if (key) {
        if (len < HEAD_SIZE + TLS_TAG_SIZE)
            return false;
        len -= TLS_TAG_SIZE;
        if (!tls_tag_fits(key, bytes, len, bytes + len))
            return false;
    }
    r = (struct pack_reader){bytes + HEAD_SIZE, bytes + len};
    return pack_read(&r, &t) && t.type == PACK_ARRAY && t.len == 4 &&
           pack_read_uint(&r, &out->node) && out->node &&
           read_text(&r, out->cluster) && read_text(&r, out->name) &&
           read_text(&r, out->address) && r.p == r.end &&
           address_split(out->address, host, &port);
}

/* --- hearing ----------------------------------------------------------------
 */

static bool multicast_knows(const struct multicast *m, const char *address)
{
    for (size_t i = 0; i < m->heard_count; i++)
        if (strcmp(m->heard[i], address) == 0)
            return true;
    return false;
}

static void multicast_hear(struct multicast *m, const uint8_t *bytes,
                           size_t len)
{
    struct announcement a;

    if (!announcement_read(bytes, len, m->key, &a) ||
        strcmp(a.cluster, m->cluster) != 0) {
        m->ignored++;
        return;
    }
    if (a.node == m->node || multicast_knows(m, a.address))
        return;
    if (m->heard_count == FRAME_MEMBERS_MAX) {
        m->ignored++;
        return;
    }
    m->heard = mem_resize(m->heard, (m->heard_count + 1) * sizeof *m->heard);
    m->heard[m->heard_count++] = mem_strdup(a.address);
    m->owner.heard(m->owner.user, a.address);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *b)
{
    struct multicast *m = handle->data;

    (void)wanted;
    *b = uv_buf_init(m->in, sizeof m->in);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *b,
                        const struct sockaddr *from, unsigned flags)
{
    struct multicast *m = udp->data;

    (void)flags;
    if (n > 0 && from)
        multicast_hear(m, (const uint8_t *)b->base, (size_t)n);
}

/* --- speaking ---------------------------------------------------------------
 */

static void on_turn(uv_timer_t *timer)
{
    struct multicast *m = timer->data;
    uv_buf_t b = uv_buf_init((char *)m->own, (unsigned)m->own_len);
    int n = uv_udp_try_send(&m->udp, &b, 1, (struct sockaddr *)&m->group);

    if (n < 0 && n != UV_EAGAIN && !m->is_mute)
        log_line(m->log, LOG_WARN, "cluster",
                 "cannot announce this member by multicast (%s): it goes on "
                 "trying; members can also be listed (cluster.members)",
                 uv_strerror(n));
    if (n >= 0 && m->is_mute)
        log_line(m->log, LOG_INFO, "cluster",
                 "this member is announced by multicast again");
    m->is_mute = n < 0 && n != UV_EAGAIN;
}

/* --- its life ---------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    struct multicast *m = handle->data;
    struct multicast_owner owner = m->owner;

    if (--m->open)
        return;
    for (size_t i = 0; i < m->heard_count; i++)
        free(m->heard[i]);
    free(m->heard);
    free(m);
    owner.closed(owner.user);
}

void multicast_close(struct multicast **m)
{
    if (!*m)
        return;
    uv_close((uv_handle_t *)&(*m)->udp, on_closed);
    uv_close((uv_handle_t *)&(*m)->timer, on_closed);
    *m = NULL;
}

static int multicast_join(struct multicast *m,
                          const struct multicast_options *o)
{
    int n =
        uv_udp_bind(&m->udp, (struct sockaddr *)&m->group, UV_UDP_REUSEADDR);

    if (n == 0)
        n = uv_udp_set_membership(&m->udp, o->group, o->bind, UV_JOIN_GROUP);
    if (n == 0 && o->bind)
        n = uv_udp_set_multicast_interface(&m->udp, o->bind);
    if (n == 0)
        n = uv_udp_set_multicast_loop(&m->udp, !o->loop_off);
    if (n == 0 && o->ttl > 0)
        n = uv_udp_set_multicast_ttl(&m->udp, o->ttl);
    if (n == 0)
        n = uv_udp_recv_start(&m->udp, on_room, on_datagram);
    return n;
}

static void multicast_describe(struct multicast *m,
                               const struct multicast_options *o)
{
    struct announcement a = {.node = o->node};

    snprintf(a.cluster, sizeof a.cluster, "%s", o->cluster);
    snprintf(a.name, sizeof a.name, "%s", o->name);
    snprintf(a.address, sizeof a.address, "%s", o->address);
    snprintf(m->cluster, sizeof m->cluster, "%s", o->cluster);
    m->own_len = announcement_write(&a, o->key, m->own);
}

enum rc multicast_open(const struct multicast_options *o,
                       const struct multicast_owner *owner, uv_loop_t *loop,
                       struct multicast **out, struct err *err)
{
    struct sockaddr_storage group;
    struct multicast *m;
    int n;

    if (!address_numeric(o->group, o->port, &group) ||
        group.ss_family != AF_INET ||
        !IN_MULTICAST(ntohl(((struct sockaddr_in *)&group)->sin_addr.s_addr)))
        return err_set(err, RC_INVALID,
                       "%.64s is no multicast address: they go from 224.0.0.0 "
                       "to 239.255.255.255",
                       o->group);
    m = mem_zero(sizeof *m);
    m->owner = *owner;
    m->key = o->key;
    m->log = o->log;
    m->node = o->node;
    memcpy(&m->group, &group, sizeof m->group);
    multicast_describe(m, o);
    uv_udp_init(loop, &m->udp);
    uv_timer_init(loop, &m->timer);
    m->udp.data = m->timer.data = m;
    m->open = 2;
    n = multicast_join(m, o);
    if (n < 0) {
        err_set(err, RC_UNAVAILABLE,
                "cannot join the multicast group %s port %u on %s (%s): list "
                "the members instead (cluster.members)",
                o->group, o->port, o->bind ? o->bind : "any interface",
                uv_strerror(n));
        multicast_close(&m);
        return RC_UNAVAILABLE;
    }
    uv_timer_start(&m->timer, on_turn, 0, (uint64_t)o->frequency_ms);
    *out = m;
    return RC_OK;
}

uint64_t multicast_ignored(const struct multicast *m)
{
    return m->ignored;
}
