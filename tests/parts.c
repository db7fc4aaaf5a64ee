/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/parts.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

/* ---- what stands around a replica ---- */

static void node_send(struct channel *c, const struct channel_update *u,
                      struct channel_wait *wait, enum copies copies)
{
    struct part *n = (struct part *)c;
    struct record *record = u->record;

    (void)copies;
    n->sent = *u;
    n->sent_count++;
    record_unref(&record);
    if (wait)
        wait->done(wait, RC_OK);
}

static void node_reply(struct channel *c, const struct channel_reply *reply)
{
    struct part *n = (struct part *)c;

    n->reply = *reply;
    n->reply_count++;
}

static const struct channel_ops node_channel = {.send = node_send,
                                                .reply = node_reply};

static const struct manager_ops node_manager = {
    .name = "none",
    .size = sizeof(struct manager),
    .entry_extra = sizeof(struct replica_entry),
    .flags = MANAGER_AGES,
    .find = manager_find_local,
    .write = manager_write_local,
};

static void node_placed(void *user, const uint8_t id[ID_SIZE],
                        const struct place *place, struct instant now)
{
    struct part *n = user;

    (void)now;
    n->placed_count++;
    n->placed = *place;
    memcpy(n->placed_id, id, ID_SIZE);
}

static void node_called(void *user, const struct channel_called *call,
                        struct instant now)
{
    struct part *n = user;

    (void)now;
    n->called_count += call->kind == CALL_PEEK;
}

struct parts *parts_new(void)
{
    static const struct manager_options common = {.max_active_sessions = -1,
                                                  .max_session_bytes = 65536,
                                                  .max_inactive = 1800,
                                                  .max_sessions_per_user = -1};
    struct parts *c = mem_zero(sizeof *c);

    c->now = (struct instant){.mono = 1000000, .wall = INT64_C(1700000000000)};
    for (unsigned i = 0; i < NODES; i++) {
        struct part *n = &c->nodes[i];
        struct manager_env env = {
            .app = "/a", .node = "n", .node_number = i + 1};
        n->channel.ops = &node_channel;
        n->channel.node = i + 1;
        CHECK_INT_FATAL(manager_new(&node_manager, &common, NULL, NULL, NULL,
                                    &env, &n->m, NULL),
                        RC_OK);
        CHECK_INT_FATAL(manager_start(n->m, c->now, NULL), RC_OK);
        n->r = replica_new_partial(n->m, &n->channel);
        replica_serve(n->r, node_placed, node_called, n);
    }
    return c;
}

void parts_free(struct parts **c)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct part *n = &(*c)->nodes[i];
        replica_free(&n->r);
        manager_stop(n->m, (*c)->now, 0);
        manager_free(&n->m);
    }
    free(*c);
    *c = NULL;
}

/* ---- what a manager does ---- */

bool parts_put_place(struct parts *c, unsigned i, const uint8_t *id,
                     struct place p)
{
    struct part *n = &c->nodes[i];
    struct table_stripe *stripe = table_lock(n->m->table, id);
    bool changed =
        replica_place_put(n->r, table_find(stripe, id), id, &p, c->now, &p);
    table_unlock(stripe);
    return changed;
}

struct record *parts_session(const uint8_t *id, int64_t wall)
{
    struct changes none;

    changes_init(&none);
    struct record *r = record_new(RECORD_SESSION, id, wall, &none, 9);
    changes_release(&none);
    return r;
}

void parts_put_copy(struct parts *c, unsigned i, struct record *record,
                    uint32_t flags)
{
    struct part *n = &c->nodes[i];
    struct table_stripe *stripe = table_lock(n->m->table, record_id(record));
    struct entry *e = table_find(stripe, record_id(record));

    if (e)
        table_replace(stripe, e, record);
    else
        e = table_insert(stripe, record, c->now.mono);
    e->flags = flags;
    replica_recount(n->r, e, c->now);
    table_unlock(stripe);
}

void parts_drop_copy(struct parts *c, unsigned i, const uint8_t *id)
{
    struct part *n = &c->nodes[i];
    struct table_stripe *stripe = table_lock(n->m->table, id);
    struct entry *e = table_find(stripe, id);

    if (e) {
        replica_uncount(n->r, e);
        table_remove(stripe, e);
    }
    table_unlock(stripe);
}

struct record *parts_copy(struct parts *c, unsigned i, const uint8_t *id,
                          uint32_t *flags)
{
    struct table_stripe *stripe = table_lock(c->nodes[i].m->table, id);
    struct entry *e = table_find(stripe, id);
    struct record *record = e ? record_ref(e->record) : NULL;

    *flags = e ? e->flags : 0;
    table_unlock(stripe);
    return record;
}

bool parts_has_copy(struct parts *c, unsigned i, const uint8_t *id)
{
    uint32_t flags;
    struct record *r = parts_copy(c, i, id, &flags);
    bool has = r && !(flags & (ENTRY_CACHED | ENTRY_DROPPED));

    record_unref(&r);
    return has;
}

/* ---- what the core does ---- */

static enum replica_rc apply(struct parts *c, unsigned to, unsigned from,
                             struct frame_update u, uint64_t owner);

static void apply_item(struct parts *c, unsigned to, unsigned from,
                       const struct replica_item *item)
{
    struct frame_update updates[2];
    uint8_t bytes[PLACE_MAX];
    unsigned count = replica_item_updates(item, 1, bytes, updates);

    for (unsigned i = 0; i < count; i++)
        apply(c, to, from, updates[i], updates[i].owner);
}

static void give_one(struct parts *c, unsigned to, unsigned from,
                     const uint8_t *id)
{
    struct replica_item item;

    if (!replica_take(c->nodes[from].r, to + 1, id, &item))
        return;
    apply_item(c, to, from, &item);
    record_unref(&item.record);
}

static enum replica_rc apply(struct parts *c, unsigned to, unsigned from,
                             struct frame_update u, uint64_t owner)
{
    uint8_t id[ID_SIZE];
    int64_t newer;

    u.owner = owner;
    enum replica_rc rc =
        replica_apply(c->nodes[to].r, &u, u.access, owner ? owner : from + 1,
                      c->now, id, &newer);
    CU_ASSERT(rc != REPLICA_BAD);
    if (rc == REPLICA_STRAY)
        give_one(c, to, from, id);
    if (rc == REPLICA_NEWER)
        give_one(c, from, to, id);
    return rc;
}

enum replica_rc parts_apply_record(struct parts *c, unsigned to, unsigned from,
                                   const struct record *r)
{
    return apply(c, to, from,
                 (struct frame_update){.kind = UPDATE_RECORD,
                                       .app = 1,
                                       .access = c->now.mono,
                                       .bytes = r->bytes,
                                       .len = r->len},
                 0);
}

enum replica_rc parts_apply_place(struct parts *c, unsigned to, unsigned from,
                                  const uint8_t *id, struct place p)
{
    uint8_t bytes[PLACE_MAX];
    size_t len = place_encode(&p, id, bytes);

    return apply(c, to, from,
                 (struct frame_update){.kind = UPDATE_PLACE,
                                       .app = 1,
                                       .bytes = bytes,
                                       .len = (uint32_t)len},
                 0);
}

static void compare_leaf(struct parts *c, unsigned to, unsigned from,
                         unsigned leaf, bool ended)
{
    struct frame_leaf f = {.leaf = leaf, .ended = ended};
    struct replica_diff diff = {.more = true};
    uint8_t *entries, after[ID_SIZE];

    while (diff.more) {
        f.count = (uint32_t)replica_list(c->nodes[to].r, from + 1, leaf,
                                         f.after, &entries);
        f.entries = entries;
        replica_diff(c->nodes[from].r, to + 1, &f, &diff);
        for (size_t i = 0; i < diff.want_count; i++)
            give_one(c, from, to, diff.wants + i * ID_SIZE);
        for (size_t i = 0; i < diff.count; i++)
            apply_item(c, to, from, &diff.items[i]);
        f.after = memcpy(after, diff.upto, ID_SIZE);
        replica_diff_release(&diff);
        free(entries);
    }
}

size_t parts_compare(struct parts *c, unsigned to, unsigned from, bool ended)
{
    uint64_t mine[FRAME_LEAVES], theirs[FRAME_LEAVES];
    uint8_t my_ended[FRAME_BITS], their_ended[FRAME_BITS];
    size_t differed = 0;

    replica_sums(c->nodes[to].r, from + 1, mine, my_ended);
    replica_sums(c->nodes[from].r, to + 1, theirs, their_ended);
    for (unsigned leaf = 0; leaf < FRAME_LEAVES; leaf++) {
        bool over = ended && (their_ended[leaf / 8] >> leaf % 8 & 1);
        if (mine[leaf] == theirs[leaf] && !over)
            continue;
        compare_leaf(c, to, from, leaf, ended);
        differed += mine[leaf] != theirs[leaf];
    }
    return differed;
}

size_t parts_compare_all(struct parts *c)
{
    size_t differed = 0;

    for (unsigned to = 0; to < NODES; to++)
        for (unsigned from = 0; from < NODES; from++)
            if (to != from)
                differed += parts_compare(c, to, from, false);
    return differed;
}

bool parts_same_roots(struct parts *c, unsigned i, unsigned j)
{
    return replica_root(c->nodes[i].r, j + 1) ==
           replica_root(c->nodes[j].r, i + 1);
}

struct scan {
    struct places *places;
    uint64_t peer, sums[FRAME_LEAVES];
};

static bool scan_copy(void *user, struct entry *e)
{
    struct scan *s = user;
    const uint8_t *id = record_id(e->record);
    struct place p;

    if (e->flags & (ENTRY_CACHED | ENTRY_DROPPED) || e->idle ||
        record_ended(e->record, NULL) || !places_get(s->places, id, &p) ||
        !place_has(&p, s->peer))
        return true;
    s->sums[table_leaf(id)] += replica_hash(e->record->bytes, e->record->len);
    return true;
}

static bool scan_place(void *user, const uint8_t id[ID_SIZE],
                       const struct place *place)
{
    struct scan *s = user;

    s->sums[table_leaf(id)] += place_hash(place, id);
    return true;
}

bool parts_sums_right(struct parts *c, unsigned i, uint64_t peer)
{
    static struct scan s;
    static uint64_t sums[FRAME_LEAVES];
    struct part *n = &c->nodes[i];
    uint8_t ended[FRAME_BITS];
    uint64_t root = 0;

    s = (struct scan){.places = replica_places(n->r), .peer = peer};
    table_each(n->m->table, scan_copy, &s);
    for (unsigned leaf = 0; leaf < FRAME_LEAVES; leaf++)
        places_each_in(s.places, leaf, scan_place, &s);
    replica_sums(n->r, peer, sums, ended);
    for (unsigned leaf = 0; leaf < FRAME_LEAVES; leaf++)
        root += s.sums[leaf];
    return memcmp(sums, s.sums, sizeof sums) == 0 &&
           root == replica_root(n->r, peer);
}

bool parts_all_sums_right(struct parts *c)
{
    bool right = true;

    for (unsigned i = 0; i < NODES; i++)
        for (uint64_t peer = 1; peer <= NODES + 2; peer++)
            if (peer != i + 1)
                right = right && parts_sums_right(c, i, peer);
    return right;
}
