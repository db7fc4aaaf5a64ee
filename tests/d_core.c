/* SPDX-License-Identifier: Apache-2.0
 *
 * Cores alone, wired by hand: what the simulator meets too rarely, or cannot
 * see. Most cases need no sessions: an update is a touch of an application that
 * nobody has. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include "managers/managers.h"
#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS = 6, WIRES = 512, DROP = 3000, FORGET = 20000, STEP = 10 };

struct net;

struct host {
    struct net *net;
    struct core *core;
    struct channel channel;
    struct core_out out;
    struct log log;
    int number;
    int links;               /* numbers that were given */
    int dropped;             /* how often it dropped what it had */
    bool paused, deaf;       /* deaf: hears greetings, and nothing else */
    size_t said, most;       /* bytes sent at one frame that came */
    struct manager *manager; /* NULL: none */
};

/* Ends are (host, link number of that host). */
struct wire {
    bool open;
    int host[2], link[2];
};

struct event {
    enum { DIAL, FRAME, DOWN } kind;
    int host, link, place;
    uint8_t *bytes;
    size_t len;
};

struct net {
    struct host hosts[HOSTS];
    int count;
    struct instant now;
    struct wire wires[WIRES];
    int wire_count;
    bool cut[HOSTS][HOSTS];
    bool refuse; /* what is cut off refuses */
    struct event *events;
    size_t event_count, event_cap;
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

static void frames_to(struct net *n, struct host *h, const struct event *e)
{
    const uint8_t *body;
    size_t at = 0, len, need;
    struct wire *w;
    int other;

    while (other_end(n, h->number, e->link, &w, &other) &&
           frame_split(e->bytes + at, e->len - at, &body, &len, &need) == 1) {
        h->said = 0;
        core_received(h->core, e->link, body, len, n->now);
        at = (size_t)(body + len - e->bytes);
    }
}

static bool must_wait(const struct net *n, const struct event *e)
{
    const struct host *h = &n->hosts[e->host];

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
static void deliver(struct net *n)
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

static void pass(struct net *n, int64_t ms)
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
        deliver(n);
    }
}

static void start(struct net *n, int i, uint64_t node)
{
    struct host *h = &n->hosts[i];
    char name[16], address[16];

    h->out = (struct core_out){h, out_send, out_close, out_dial};
    snprintf(name, sizeof name, "h%d", i);
    snprintf(address, sizeof address, "h%d:1", i);
    const struct core_options options = {
        .cluster = "test",
        .name = name,
        .address = address,
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

static struct net *net_new(int count)
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
        start(n, i, (uint64_t)(100 - i)); /* the last is the lowest */
    }
    return n;
}

static void net_free(struct net **n)
{
    for (int i = 0; i < (*n)->count; i++) {
        core_free(&(*n)->hosts[i].core);
        manager_free(&(*n)->hosts[i].manager);
    }
    for (size_t i = 0; i < (*n)->event_count; i++)
        free((*n)->events[i].bytes);
    free((*n)->events);
    free(*n);
    *n = NULL;
}

static void cut(struct net *n, int a, int b, bool is_cut)
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

static bool answers(struct net *n, int i)
{
    return channel_may_answer(&n->hosts[i].channel, n->now);
}

static struct peer *peer_at(struct net *n, int at, int of)
{
    return peer_of(n->hosts[at].core, n->hosts[of].channel.node);
}

struct commit {
    struct channel_wait wait; /* first */
    struct net *net;
    int host, done;
    enum rc rc;
    bool answered; /* might the member at that time? */
};

static void commit_done(struct channel_wait *wait, enum rc rc)
{
    struct commit *c = (struct commit *)wait;

    c->done++;
    c->rc = rc;
    c->answered = answers(c->net, c->host);
}

static void commit(struct net *n, int i, struct commit *c)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = 1, .access = n->now.mono};

    *c = (struct commit){.wait.done = commit_done, .net = n, .host = i};
    core_send(n->hosts[i].core, &u, &c->wait, COPIES_ALL, n->now);
}

/* ---- */

/* A link breaks, and who dials again is refused though the other lives (a
 * firewall that rejects): one side forgets the other, which knows nothing of
 * it and has to be told all the same that changes were made without it. */
static void who_was_thought_dead_compares_first(void)
{
    struct net *n = net_new(2);
    struct commit c;

    pass(n, DROP + 1000);
    CU_ASSERT(answers(n, 0) && answers(n, 1));
    n->refuse = true;
    cut(n, 0, 1, true);
    core_dial_failed(n->hosts[0].core, 0, true, n->now);
    core_tick(n->hosts[0].core, n->now);
    CU_ASSERT_PTR_NULL(peer_at(n, 0, 1));
    commit(n, 0, &c);
    core_flush(n->hosts[0].core, n->now);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    cut(n, 0, 1, false);
    core_link_up(n->hosts[0].core, n->hosts[0].links, 0, n->now);
    n->wires[n->wire_count++] =
        (struct wire){.open = true,
                      .host = {0, 1},
                      .link = {n->hosts[0].links++, n->hosts[1].links}};
    core_link_up(n->hosts[1].core, n->hosts[1].links++, -1, n->now);
    uint64_t before = n->hosts[1].core->stale_no;
    pass(n, 2 * DROP);
    CU_ASSERT(n->hosts[1].core->stale_no > before);
    CU_ASSERT(answers(n, 0) && answers(n, 1));
    CHECK_INT(peer_at(n, 1, 0)->applied, 1);
    net_free(&n);
}

/* Its host died without a word, and came back with a clock that is slow. */
static void a_new_start_with_an_older_clock_is_let_in(void)
{
    struct net *n = net_new(2);

    pass(n, DROP + 1000);
    n->hosts[1].paused = true;
    pass(n, 2 * DROP);
    cut(n, 0, 1, true);
    core_free(&n->hosts[1].core);
    n->now.wall -= 3600000;
    start(n, 1, 77);
    n->hosts[1].paused = false;
    cut(n, 0, 1, false);
    pass(n, DROP);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_at(n, 0, 1));
    CU_ASSERT(peer_linked(peer_at(n, 0, 1)));
    CU_ASSERT(answers(n, 0) && answers(n, 1));
    net_free(&n);
}

static void heal(struct net *n, int a, int b)
{
    cut(n, a, b, false);
    pass(n, 1000);
}

/* Three and two are apart for longer than forgetAfter; then the pairs find
 * one another, one after the other. */
static void only_the_smaller_side_drops(void)
{
    struct net *n = net_new(5);
    int pairs[6][2] = {{0, 3}, {1, 4}, {2, 3}, {0, 4}, {1, 3}, {2, 4}};

    pass(n, DROP + 1000);
    for (int i = 0; i < 6; i++)
        cut(n, pairs[i][0], pairs[i][1], true);
    pass(n, FORGET + DROP);
    for (int i = 0; i < 5; i++)
        CU_ASSERT(answers(n, i));
    for (int i = 0; i < 6; i++)
        heal(n, pairs[i][0], pairs[i][1]);
    pass(n, DROP);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT(answers(n, i));
        CHECK_INT(n->hosts[i].dropped > 0, i >= 3);
    }
    net_free(&n);
}

/* However long: the tombstones of that time are forgotten. */
static void the_smaller_side_drops_after_days(void)
{
    struct net *n = net_new(3);

    pass(n, DROP + 1000);
    cut(n, 0, 2, true);
    cut(n, 1, 2, true);
    pass(n, 5 * FORGET);
    cut(n, 0, 2, false);
    heal(n, 1, 2);
    CHECK_INT(n->hosts[0].dropped + n->hosts[1].dropped, 0);
    CU_ASSERT(n->hosts[2].dropped > 0);
    net_free(&n);
}

/* Two that reach each other through a third only were never apart. */
static void a_third_keeps_two_together(void)
{
    struct net *n = net_new(3);

    pass(n, DROP + 1000);
    cut(n, 0, 1, true);
    pass(n, FORGET + DROP);
    heal(n, 0, 1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(n->hosts[i].dropped, 0);
    net_free(&n);
}

/* Who joins while a change is on its way is to have it, too, before it is
 * acknowledged. */
static void a_change_on_its_way_waits_for_newcomers(void)
{
    struct net *n = net_new(3);
    struct commit c;

    pass(n, DROP + 1000);
    cut(n, 0, 2, true);
    cut(n, 1, 2, true);
    pass(n, DROP + 1000);
    n->hosts[1].paused = true;
    commit(n, 0, &c);
    pass(n, 50);
    n->hosts[2].deaf = true;
    cut(n, 0, 2, false);
    pass(n, 700);
    CU_ASSERT(peer_at(n, 0, 2)->waited);
    n->hosts[1].paused = false;
    pass(n, 500);
    CU_ASSERT(peer_at(n, 0, 1)->acked >= c.wait.seq);
    CHECK_INT(c.done, 0);
    n->hosts[2].deaf = false;
    pass(n, 500);
    CHECK_INT(c.done, 1);
    net_free(&n);
}

static void touch(struct net *n, int i)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = 1, .access = n->now.mono};

    core_send(n->hosts[i].core, &u, NULL, COPIES_NONE, n->now);
}

/* What is not waited for needs no frame for its ack; what is, is acknowledged
 * at once, and so is much. */
static void acks_are_sent_when_somebody_waits(void)
{
    struct net *n = net_new(2);
    struct commit c;

    pass(n, DROP + 1000);
    struct core *other = n->hosts[1].core;
    pass(n, (int64_t)(2000 - n->now.mono % 1000)); /* just behind a tick */
    uint64_t frames = other->frames_sent;
    touch(n, 0);
    pass(n, 2 * STEP);
    CHECK_INT(peer_at(n, 1, 0)->applied, 1);
    CHECK_INT(other->frames_sent, frames);
    CHECK_INT(peer_at(n, 0, 1)->acked, 0);
    touch(n, 1); /* it goes with this one */
    pass(n, STEP);
    CHECK_INT(other->frames_sent, frames + 1);
    CHECK_INT(peer_at(n, 0, 1)->acked, 1);
    commit(n, 0, &c);
    pass(n, 2 * STEP);
    CHECK_INT(c.done, 1);
    pass(n, 50);
    frames = other->frames_sent;
    touch(n, 0);
    pass(n, 50 + STEP);
    CHECK_INT(other->frames_sent, frames + 1);
    CHECK_INT(peer_at(n, 0, 1)->acked, 3);
    pass(n, (int64_t)(1000 - n->now.mono % 1000));
    for (int i = 0; i < 2000; i++)
        touch(n, 0);
    pass(n, 2 * STEP);
    CU_ASSERT(peer_at(n, 0, 1)->acked > 1000);
    net_free(&n);
}

/* Somebody may have come meanwhile of whom it has not heard. */
static void who_was_away_acknowledges_nothing(void)
{
    struct net *n = net_new(2);
    struct commit c;

    pass(n, DROP + 1000);
    n->hosts[0].paused = true;
    pass(n, 2 * DROP);
    n->hosts[0].paused = false;
    commit(n, 0, &c);
    pass(n, DROP);
    CHECK_INT(c.done, 1);
    CU_ASSERT(c.answered && c.rc == RC_OK);
    net_free(&n);
}

/* A broken member says of another one's stream what cannot be. */
static void a_wrong_vector_hides_nothing(void)
{
    struct net *n = net_new(3);
    struct commit c;

    pass(n, DROP + 1000);
    struct peer *lie = peer_at(n, 0, 2), *source = peer_at(n, 1, 0);
    uint64_t right = lie->applied, compared = n->hosts[1].core->compared;
    lie->applied = UINT64_C(1) << 60;
    source->compared = source->next_compare = NEVER;
    core_tick(n->hosts[1].core, n->now);
    deliver(n);
    CU_ASSERT(n->hosts[1].core->compared > compared);
    lie->applied = right;
    CHECK_INT(peer_at(n, 1, 2)->applied, n->hosts[2].core->seq);
    commit(n, 2, &c);
    pass(n, 200);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    CHECK_INT(peer_at(n, 1, 2)->applied, n->hosts[2].core->seq);
    net_free(&n);
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

static const struct channel_ops to_core = {.send = channel_to_core,
                                           .join = channel_to_join};

static void give_manager(struct net *n, struct host *h)
{
    static const uint8_t secret[ID_SIZE] = "the same for all";
    struct manager_options common;
    struct err err = {""};
    struct manager_env env = {.log = &h->log,
                              .app = "/core",
                              .node = "h",
                              .node_number = h->channel.node,
                              .channel = &h->channel};

    option_defaults(manager_option_table, &common);
    h->channel.ops = &to_core;
    h->channel.secret = secret;
    CHECK_INT_FATAL(manager_new(managers_find("DeltaManager"), &common, NULL,
                                NULL, NULL, &env, &h->manager, &err),
                    RC_OK);
    CHECK_INT(manager_start(h->manager, n->now, &err), RC_OK);
}

static int64_t access_at(struct host *h, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(h->manager->table, id);
    struct entry *e = table_find(stripe, id);
    int64_t access = e ? e->access : -1;

    table_unlock(stripe);
    return access;
}

static void create_done(struct commit_op *op)
{
    CHECK_INT(op->rc, RC_OK);
}

/* A session at that member, as if a request had made it. */
static void create(struct net *n, struct host *h, uint8_t id[ID_SIZE])
{
    struct session s;
    struct commit_op op = {.done = create_done, .session = &s, .now = n->now};

    CHECK_INT_FATAL(manager_create(h->manager, n->now, NULL, &s, NULL), RC_OK);
    memcpy(id, session_id(&s), ID_SIZE);
    CHECK_INT(manager_commit(h->manager, &op), RC_PENDING);
    pass(n, 500);
    session_detach(&s);
}

/* Sums that are equal say that all is here which the other has done: but for
 * the accesses that are on their way. */
static void comparing_swallows_no_access(void)
{
    struct net *n = net_new(2);
    struct host *a = &n->hosts[0], *b = &n->hosts[1];
    uint8_t id[ID_SIZE];

    give_manager(n, a);
    give_manager(n, b);
    pass(n, DROP + 1000);
    create(n, a, id);
    CU_ASSERT_FATAL(access_at(b, id) == access_at(a, id));
    struct peer *source = peer_at(n, 1, 0);
    source->compared = source->next_compare = NEVER;
    uint64_t compared = b->core->compared;
    n->now.mono += STEP;
    core_tick(b->core, n->now);
    struct channel_update touch = {.kind = UPDATE_TOUCH,
                                   .app = replica_app(b->core->replicas[0]),
                                   .access = n->now.mono};
    memcpy(touch.id, id, ID_SIZE);
    core_send(a->core, &touch, NULL, COPIES_NONE, n->now);
    deliver(n);
    CU_ASSERT(b->core->compared > compared);
    CHECK_INT(access_at(b, id), n->now.mono);
    core_leave(a->core, a->core->replicas[0]);
    core_leave(b->core, b->core->replicas[0]);
    net_free(&n);
}

/* However few they are. */
static void large_updates_fill_the_window(void)
{
    enum { MANY = 400, SIZE = 60000 };
    struct net *n = net_new(2);
    struct value value = {
        .type = VALUE_BYTES, .data = mem_zero(SIZE), .len = SIZE};
    struct changes c;

    pass(n, DROP + 1000);
    changes_init(&c);
    changes_set(&c, key_text("k"), &value);
    struct record *r =
        record_new(RECORD_SESSION, (const uint8_t *)"0123456789abcdef",
                   n->now.wall, &c, 9);
    n->hosts[1].deaf = true;
    for (int i = 0; i < MANY; i++) {
        struct channel_update u = {.kind = UPDATE_RECORD,
                                   .app = 1,
                                   .access = n->now.mono,
                                   .record = record_ref(r)};
        core_send(n->hosts[0].core, &u, NULL, COPIES_NONE, n->now);
    }
    pass(n, 300);
    struct peer *p = peer_at(n, 0, 1);
    CHECK_INT(p->acked, 0);
    CU_ASSERT(p->sent * SIZE > WINDOW_BYTES / 2);
    CU_ASSERT(p->sent * SIZE <= WINDOW_BYTES + FRAME_FULL);
    n->hosts[1].deaf = false;
    pass(n, DROP);
    CHECK_INT(peer_at(n, 0, 1)->acked, MANY);
    record_unref(&r);
    changes_release(&c);
    free((void *)value.data);
    net_free(&n);
}

/* A session of that size in leaf 7. */
static void session_in_leaf(struct net *n, struct host *h, uint64_t *last,
                            size_t size)
{
    struct value value = {
        .type = VALUE_BYTES, .data = mem_zero(size), .len = size};
    struct value inactive = value_number(VALUE_INT, 1800);
    struct changes c;
    uint8_t id[ID_SIZE] = {0}, out[ID_SIZE];
    int64_t newer;

    do {
        ++*last;
        memcpy(id + 8, last, sizeof *last);
        memcpy(id, (const uint8_t *)last + 1, 1);
    } while (table_leaf(id) != 7);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &inactive);
    changes_set(&c, key_text("k"), &value);
    struct record *r = record_new(RECORD_SESSION, id, n->now.wall, &c, 9);
    struct frame_update u = {
        .kind = UPDATE_RECORD, .bytes = r->bytes, .len = r->len};
    CHECK_INT(replica_apply(h->core->replicas[0], &u, n->now.mono, 9, n->now,
                            out, &newer),
              REPLICA_DONE);
    record_unref(&r);
    changes_release(&c);
    free((void *)value.data);
}

/* One leaf of sessions that only h0 has, and of sessions that only h1 has. */
static void compare_leaf(unsigned count, size_t size)
{
    struct net *n = net_new(2);
    struct host *a = &n->hosts[0], *b = &n->hosts[1];
    struct table_counts counts;
    uint64_t last = 0;

    give_manager(n, a);
    give_manager(n, b);
    for (unsigned i = 0; i < count; i++)
        session_in_leaf(n, i % 2 ? a : b, &last, size);
    pass(n, DROP);
    for (int i = 0; i < 2; i++) {
        struct host *h = &n->hosts[i];
        table_counts(h->manager->table, &counts);
        CHECK_INT(counts.live, count);
        CU_ASSERT(answers(n, i));
        /* what was wanted, and the next question; before that, what fits
         * into one frame, and the largest session */
        CU_ASSERT(h->most <= 3 * FRAME_FULL);
        core_leave(h->core, h->core->replicas[0]);
    }
    net_free(&n);
}

static void a_leaf_is_compared_in_parts(void)
{
    compare_leaf(100, 60000);
    compare_leaf(3000, 20);
    compare_leaf(3 * FRAME_LIST_MAX, 1);
}

UNIT_MAIN("core", CASE(who_was_thought_dead_compares_first),
          CASE(a_new_start_with_an_older_clock_is_let_in),
          CASE(only_the_smaller_side_drops),
          CASE(the_smaller_side_drops_after_days),
          CASE(a_third_keeps_two_together),
          CASE(a_change_on_its_way_waits_for_newcomers),
          CASE(acks_are_sent_when_somebody_waits),
          CASE(who_was_away_acknowledges_nothing),
          CASE(a_wrong_vector_hides_nothing),
          CASE(comparing_swallows_no_access),
          CASE(large_updates_fill_the_window),
          CASE(a_leaf_is_compared_in_parts))
