/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/cores.h"

#include "managers/backup_impl.h"
#include "managers/managers.h"
#include "session/buf.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event {
    enum { DIAL, FRAME, DOWN } kind;
    int host, link, place;
    uint8_t *bytes;
    size_t len;
};

static struct event *event_add(struct net *n, int kind, int host, int link)
{
    if (n->event_count == n->event_cap) {
        n->event_cap = n->event_cap ? 2 * n->event_cap : 256;
        n->events = mem_resize(n->events, n->event_cap * sizeof *n->events);
    }
    struct event *e = &n->events[n->event_count++];
    *e = (struct event){.kind = kind, .host = host, .link = link};
    return e;
}

/* The other end of an open wire; false: there is none. */
static bool other_end(struct net *n, int host, int link, struct wire **wire,
                      int *other)
{
    for (int i = 0; i < n->wire_count; i++)
        for (int end = 0; end < 2; end++) {
            struct wire *w = &n->wires[i];
            if (!w->open || w->host[end] != host || w->link[end] != link)
                continue;
            *wire = w;
            *other = !end;
            return true;
        }
    return false;
}

static void out_send(void *user, int link, const uint8_t *bytes, size_t len)
{
    struct host *h = user;
    struct wire *w;
    int other;

    if (!other_end(h->net, h->number, link, &w, &other))
        return;
    struct event *e = event_add(h->net, FRAME, w->host[other], w->link[other]);
    e->bytes = mem_alloc(len);
    e->len = len;
    memcpy(e->bytes, bytes, len);
    h->said += len;
    if (h->said > h->most)
        h->most = h->said;
}

static void out_close(void *user, int link)
{
    struct host *h = user;
    struct wire *w;
    int other;

    if (!other_end(h->net, h->number, link, &w, &other))
        return;
    w->open = false;
    event_add(h->net, DOWN, w->host[other], w->link[other]);
}

static void out_dial(void *user, int place, const char *address)
{
    struct host *h = user;
    struct event *e = event_add(h->net, DIAL, h->number, 0);

    e->place = place;
    e->link = address[1] - '0';
}

static void log_heard(void *user, enum log_level level, const char *line)
{
    struct host *h = user;

    (void)level;
    h->dropped += strstr(line, "are dropped") != NULL;
    h->warned += strstr(line, "has another manager") != NULL;
    if (getenv("D_CORE_TRACE"))
        printf("%6lld h%d %s\n", (long long)h->net->now.mono, h->number, line);
}

static void connect_hosts(struct net *n, struct host *from, int place, int to)
{
    struct host *there = &n->hosts[to];

    if (to >= n->count || n->cut[from->number][to] || there->paused) {
        core_dial_failed(from->core, place, n->refuse, n->now);
        return;
    }
    CU_ASSERT_FATAL(n->wire_count < WIRES);
    n->wires[n->wire_count++] =
        (struct wire){.open = true,
                      .host = {from->number, to},
                      .link = {from->links, there->links}};
    core_link_up(there->core, there->links++, -1, n->now);
    core_link_up(from->core, from->links++, place, n->now);
}

static void count_updates(struct host *h, const uint8_t *body, size_t len)
{
    struct frame f;

    if (frame_decode(body, len, &f, NULL) != RC_OK)
        return;
    h->missed += f.type == FRAME_MISSED;
    if (f.type != FRAME_UPDATES)
        return;
    h->frames += f.updates.count > 0;
    h->heard += f.updates.count;
}

static void frames_to(struct net *n, struct host *h, const struct event *e)
{
    const uint8_t *body;
    size_t at = 0, len, need;
    struct wire *w;
    int other;

    while (other_end(n, h->number, e->link, &w, &other) &&
           frame_split(e->bytes + at, e->len - at, &body, &len, &need) == 1) {
        h->said = 0;
        count_updates(h, body, len);
        core_received(h->core, e->link, body, len, n->now);
        at = (size_t)(body + len - e->bytes);
    }
}

static bool must_wait(struct net *n, const struct event *e)
{
    const struct host *h = &n->hosts[e->host];
    struct wire *w;
    int other;

    if (e->kind == FRAME && other_end(n, e->host, e->link, &w, &other) &&
        n->held[w->host[other]][e->host])
        return true;
    return h->paused ||
           (h->deaf && e->kind == FRAME && e->bytes[5] != FRAME_HELLO);
}

static void happen(struct net *n, struct event *e)
{
    struct host *h = &n->hosts[e->host];

    if (e->kind == DIAL)
        connect_hosts(n, h, e->place, e->link);
    else if (e->kind == DOWN)
        core_link_down(h->core, e->link, n->now);
    else
        frames_to(n, h, e);
    free(e->bytes);
    core_flush(h->core, n->now);
}

/* In the order in which it was said; what is for a paused host waits. */
void net_deliver(struct net *n)
{
    bool any = true;

    while (any) {
        struct event *events = n->events;
        size_t count = n->event_count;
        n->events = NULL;
        n->event_count = n->event_cap = 0;
        any = false;
        for (size_t i = 0; i < count; i++) {
            struct event *e = &events[i];
            if (must_wait(n, e)) {
                *event_add(n, e->kind, e->host, e->link) = *e;
            } else {
                happen(n, e);
                any = true;
            }
        }
        free(events);
    }
}

void net_pass(struct net *n, int64_t ms)
{
    for (int64_t end = n->now.mono + ms; n->now.mono < end;) {
        n->now.mono += STEP;
        n->now.wall += STEP;
        for (int i = 0; i < n->count; i++) {
            struct host *h = &n->hosts[i];
            if (!h->paused && n->now.mono % 50 == 0)
                core_tick(h->core, n->now);
            if (!h->paused)
                core_flush(h->core, n->now);
        }
        net_deliver(n);
    }
}

void net_live_but(struct net *n, int seconds, int but)
{
    while (seconds--) {
        net_pass(n, 1000);
        for (int i = 0; i < n->count; i++)
            if (n->hosts[i].manager && !n->hosts[i].paused && i != but)
                manager_tick(n->hosts[i].manager, n->now);
    }
}

void net_live(struct net *n, int seconds)
{
    net_live_but(n, seconds, -1);
}

struct backup *net_backup(struct net *n, int i)
{
    return backup_of(n->hosts[i].manager);
}

void net_start(struct net *n, int i, uint64_t node)
{
    char name[16], address[16];

    snprintf(name, sizeof name, "h%d", i);
    snprintf(address, sizeof address, "h%d:1", i);
    net_start_as(n, i, node, name, address);
}

void net_start_as(struct net *n, int i, uint64_t node, const char *name,
                  const char *own)
{
    struct host *h = &n->hosts[i];
    char address[16];

    h->out = (struct core_out){h, out_send, out_close, out_dial};
    const struct core_options options = {
        .cluster = "test",
        .name = name,
        .address = own,
        .node = node,
        .drop_ms = DROP,
        .forget_ms = FORGET,
        .listed = true,
        .log = &h->log,
    };
    h->core = core_new(&options, &h->out, &h->channel, n->now);
    for (int j = 0; j < n->count; j++) {
        snprintf(address, sizeof address, "h%d:1", j);
        if (j != i)
            core_place(h->core, address, true);
    }
}

struct net *net_new(int count)
{
    struct net *n = mem_zero(sizeof *n);
    char name[16];

    n->count = count;
    n->now = (struct instant){.mono = 1000000, .wall = 1700000000000};
    for (int i = 0; i < count; i++) {
        struct host *h = &n->hosts[i];
        *h = (struct host){.net = n, .number = i};
        snprintf(name, sizeof name, "h%d", i);
        log_init(&h->log, name);
        h->log.sink = log_heard;
        h->log.user = h;
        net_start(n, i, (uint64_t)(100 - i)); /* the last is the lowest */
    }
    return n;
}

void net_free(struct net **n)
{
    for (int i = 0; i < (*n)->count; i++) {
        core_free(&(*n)->hosts[i].core);
        replica_free(&(*n)->hosts[i].partial);
        manager_free(&(*n)->hosts[i].other);
        manager_free(&(*n)->hosts[i].manager);
    }
    for (size_t i = 0; i < (*n)->event_count; i++)
        free((*n)->events[i].bytes);
    free((*n)->events);
    free(*n);
    *n = NULL;
}

void net_cut(struct net *n, int a, int b, bool is_cut)
{
    n->cut[a][b] = n->cut[b][a] = is_cut;
    for (int i = 0; is_cut && i < n->wire_count; i++) {
        struct wire *w = &n->wires[i];
        if (!w->open || !((w->host[0] == a && w->host[1] == b) ||
                          (w->host[0] == b && w->host[1] == a)))
            continue;
        w->open = false;
        for (int end = 0; end < 2; end++)
            core_link_down(n->hosts[w->host[end]].core, w->link[end], n->now);
    }
}

bool net_answers(struct net *n, int i)
{
    return channel_may_answer(&n->hosts[i].channel, n->now);
}

struct peer *net_peer(struct net *n, int at, int of)
{
    return peer_of(n->hosts[at].core, n->hosts[of].channel.node);
}

static void commit_done(struct channel_wait *wait, enum rc rc)
{
    struct commit *c = (struct commit *)wait;

    c->done++;
    c->rc = rc;
    c->answered = net_answers(c->net, c->host);
}

void net_commit_init(struct net *n, int i, struct commit *c)
{
    *c = (struct commit){.wait.done = commit_done, .net = n, .host = i};
}

void net_commit(struct net *n, int i, struct commit *c)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = 1, .access = n->now.mono};

    net_commit_init(n, i, c);
    core_send(n->hosts[i].core, &u, &c->wait, COPIES_ALL, n->now);
}

/* ---- with sessions ---- */

static struct host *host_of(struct channel *c)
{
    return (struct host *)((char *)c - offsetof(struct host, channel));
}

static void channel_to_core(struct channel *c, const struct channel_update *u,
                            struct channel_wait *wait, enum copies copies)
{
    struct host *h = host_of(c);
    core_send(h->core, u, wait, copies, h->net->now);
}

static void channel_to_join(struct channel *c, struct replica *r)
{
    core_join(host_of(c)->core, r);
}

static void channel_to_leave(struct channel *c, struct replica *r)
{
    if (host_of(c)->core)
        core_leave(host_of(c)->core, r);
}

static void channel_to_call(struct channel *c, struct channel_call *call)
{
    core_call(host_of(c)->core, call, host_of(c)->net->now);
}

static void channel_to_reply(struct channel *c,
                             const struct channel_reply *reply)
{
    core_reply(host_of(c)->core, reply, host_of(c)->net->now);
}

static void channel_to_pause(struct channel *c, struct channel_pause *pause)
{
    core_pause(host_of(c)->core, pause, host_of(c)->net->now);
}

static void channel_to_wonder(struct channel *c, uint64_t node)
{
    core_wonder(host_of(c)->core, node, host_of(c)->net->now);
}

static void channel_to_withdraw(struct channel *c, struct replica *r)
{
    core_withdraw(host_of(c)->core, r, host_of(c)->net->now);
}

static const struct channel_ops to_core = {.send = channel_to_core,
                                           .call = channel_to_call,
                                           .reply = channel_to_reply,
                                           .pause = channel_to_pause,
                                           .wonder = channel_to_wonder,
                                           .withdraw = channel_to_withdraw,
                                           .join = channel_to_join,
                                           .leave = channel_to_leave};

static struct manager *manage(struct net *n, int i, const char *class_name,
                              struct manager *face)
{
    static const uint8_t secret[ID_SIZE] = "the same for all";
    struct host *h = &n->hosts[i];
    struct manager_options common;
    struct err err = {""};
    struct manager_env env = {.log = &h->log,
                              .app = "/core",
                              .node = "h",
                              .node_number = h->channel.node,
                              .channel = &h->channel};
    struct manager *m = NULL;

    option_defaults(manager_option_table, &common);
    h->channel.ops = &to_core;
    h->channel.secret = secret;
    CHECK_INT_FATAL(manager_new(managers_find(class_name), &common, NULL, NULL,
                                NULL, &env, &m, &err),
                    RC_OK);
    m->face = face;
    CHECK_INT(manager_start(m, n->now, &err), RC_OK);
    return m;
}

void net_manage_as(struct net *n, int i, const char *class_name)
{
    n->hosts[i].manager = manage(n, i, class_name, NULL);
}

void net_manage(struct net *n, int i)
{
    net_manage_as(n, i, "DeltaManager");
}

void net_manage_pair(struct net *n, int i)
{
    struct host *h = &n->hosts[i];

    h->manager = manage(n, i, "DeltaManager", &h->face);
    h->other = manage(n, i, "BackupManager", &h->face);
}

void net_manage_partial(struct net *n, int i, replica_called_fn *called,
                        void *user)
{
    struct host *h = &n->hosts[i];

    net_manage(n, i);
    core_leave(h->core, h->core->replicas[0]);
    h->partial = replica_new_partial(h->manager, &h->channel);
    replica_serve(h->partial, NULL, called, user);
    core_join(h->core, h->partial);
}
