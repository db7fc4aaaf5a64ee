/* SPDX-License-Identifier: Apache-2.0
 *
 * Three members that hold some of the sessions each: what two of them have in
 * common is summed up at each change, differs where one lacks something, and is
 * the same when they have compared. */
#include "config.h"

#include "managers/cluster/places.h"
#include "managers/cluster/replica.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 3, SECOND = 1000 };

struct node {
    struct channel channel; /* first; node n is number n + 1 */
    struct manager *m;
    struct replica *r;
    /* what it was told, and what it sent */
    size_t placed_count, called_count, reply_count;
    uint8_t placed_id[ID_SIZE];
    struct place placed;
    struct channel_reply reply;
    struct channel_update sent;
    size_t sent_count;
};

struct cluster {
    struct instant now;
    struct node nodes[NODES];
};

/* ---- what stands around a replica ---- */

static void node_send(struct channel *c, const struct channel_update *u,
                      struct channel_wait *wait, enum copies copies)
{
    struct node *n = (struct node *)c;
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
    struct node *n = (struct node *)c;

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
    struct node *n = user;

    (void)now;
    n->placed_count++;
    n->placed = *place;
    memcpy(n->placed_id, id, ID_SIZE);
}

static void node_called(void *user, const struct channel_called *call,
                        struct instant now)
{
    struct node *n = user;

    (void)now;
    n->called_count += call->kind == CALL_PEEK;
}

static struct cluster *cluster_new(void)
{
    static const struct manager_options common = {.max_active_sessions = -1,
                                                  .max_session_bytes = 65536,
                                                  .max_inactive = 1800,
                                                  .max_sessions_per_user = -1};
    struct cluster *c = mem_zero(sizeof *c);

    c->now =
        (struct instant){.mono = 1000 * SECOND, .wall = INT64_C(1700000000000)};
    for (unsigned i = 0; i < NODES; i++) {
        struct node *n = &c->nodes[i];
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

static void cluster_free(struct cluster **c)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct node *n = &(*c)->nodes[i];
        replica_free(&n->r);
        manager_stop(n->m, (*c)->now, 0);
        manager_free(&n->m);
    }
    free(*c);
    *c = NULL;
}

/* ---- what a manager does ---- */

static struct place list_of(uint64_t stamp, uint64_t first, uint64_t second)
{
    return (struct place){.kind = PLACE_LIST,
                          .stamp = stamp,
                          .count = second ? 2 : 1,
                          .holders = {first, second}};
}

static struct place end_of(enum place_kind kind, uint64_t stamp, uint64_t node)
{
    struct place p = list_of(stamp, node, 0);

    p.kind = kind;
    p.reason = kind == PLACE_FINAL ? REASON_LOGOUT : REASON_IDLE;
    return p;
}

static bool put_place(struct cluster *c, unsigned i, const uint8_t *id,
                      struct place p)
{
    struct node *n = &c->nodes[i];
    struct table_stripe *stripe = table_lock(n->m->table, id);
    bool changed =
        replica_place_put(n->r, table_find(stripe, id), id, &p, c->now, &p);
    table_unlock(stripe);
    return changed;
}

static struct record *session_new(const uint8_t *id, int64_t wall)
{
    struct changes none;

    changes_init(&none);
    struct record *r = record_new(RECORD_SESSION, id, wall, &none, 9);
    changes_release(&none);
    return r;
}

/* Takes the record. */
static void put_copy(struct cluster *c, unsigned i, struct record *record,
                     uint32_t flags)
{
    struct node *n = &c->nodes[i];
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

static void drop_copy(struct cluster *c, unsigned i, const uint8_t *id)
{
    struct node *n = &c->nodes[i];
    struct table_stripe *stripe = table_lock(n->m->table, id);
    struct entry *e = table_find(stripe, id);

    if (e) {
        replica_uncount(n->r, e);
        table_remove(stripe, e);
    }
    table_unlock(stripe);
}

/* A reference; NULL: it is not here. flags: the entry's. */
static struct record *copy_of(struct cluster *c, unsigned i, const uint8_t *id,
                              uint32_t *flags)
{
    struct table_stripe *stripe = table_lock(c->nodes[i].m->table, id);
    struct entry *e = table_find(stripe, id);
    struct record *record = e ? record_ref(e->record) : NULL;

    *flags = e ? e->flags : 0;
    table_unlock(stripe);
    return record;
}

static bool has_copy(struct cluster *c, unsigned i, const uint8_t *id)
{
    uint32_t flags;
    struct record *r = copy_of(c, i, id, &flags);
    bool has = r && !(flags & (ENTRY_CACHED | ENTRY_DROPPED));

    record_unref(&r);
    return has;
}

/* Its counter "hits"; -1: no copy. */
static int64_t hits_of(struct cluster *c, unsigned i, const uint8_t *id)
{
    uint32_t flags;
    struct record *r = copy_of(c, i, id, &flags);
    int64_t hits = r ? record_get(r, key_text("hits")).number : -1;

    record_unref(&r);
    return hits;
}

/* ---- what the core does ---- */

static enum replica_rc apply(struct cluster *c, unsigned to, unsigned from,
                             struct frame_update u, uint64_t owner);

static void give_one(struct cluster *c, unsigned to, unsigned from,
                     const uint8_t *id)
{
    struct frame_update updates[2];
    struct replica_item item;
    uint8_t bytes[PLACE_MAX];

    if (!replica_take(c->nodes[from].r, to + 1, id, &item))
        return;
    unsigned count = replica_item_updates(&item, 1, bytes, updates);
    for (unsigned i = 0; i < count; i++)
        apply(c, to, from, updates[i], updates[i].owner);
    record_unref(&item.record);
}

static enum replica_rc apply(struct cluster *c, unsigned to, unsigned from,
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

static enum replica_rc apply_record(struct cluster *c, unsigned to,
                                    unsigned from, const struct record *r)
{
    return apply(c, to, from,
                 (struct frame_update){.kind = UPDATE_RECORD,
                                       .app = 1,
                                       .access = c->now.mono,
                                       .bytes = r->bytes,
                                       .len = r->len},
                 0);
}

static enum replica_rc apply_place(struct cluster *c, unsigned to,
                                   unsigned from, const uint8_t *id,
                                   struct place p)
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

static void compare_leaf(struct cluster *c, unsigned to, unsigned from,
                         unsigned leaf, bool ended)
{
    struct replica_diff diff;
    uint8_t *entries;
    size_t count = replica_list(c->nodes[to].r, from + 1, leaf, &entries);

    replica_diff(c->nodes[from].r, to + 1, leaf, entries, (uint32_t)count,
                 ended, &diff);
    for (size_t i = 0; i < diff.want_count; i++)
        give_one(c, from, to, diff.wants + i * ID_SIZE);
    for (size_t i = 0; i < diff.count; i++) {
        struct frame_update updates[2];
        uint8_t bytes[PLACE_MAX];
        unsigned n = replica_item_updates(&diff.items[i], 1, bytes, updates);
        for (unsigned k = 0; k < n; k++)
            apply(c, to, from, updates[k], updates[k].owner);
    }
    replica_diff_release(&diff);
    free(entries);
}

/* `to` pulls. Returns how many leaves differed. */
static size_t compare(struct cluster *c, unsigned to, unsigned from, bool ended)
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

static size_t compare_all(struct cluster *c)
{
    size_t differed = 0;

    for (unsigned to = 0; to < NODES; to++)
        for (unsigned from = 0; from < NODES; from++)
            if (to != from)
                differed += compare(c, to, from, false);
    return differed;
}

static bool same_roots(struct cluster *c, unsigned i, unsigned j)
{
    return replica_root(c->nodes[i].r, j + 1) ==
           replica_root(c->nodes[j].r, i + 1);
}

/* ---- at random ---- */

enum { IDS = 24, STEPS = 150 };

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

/* What is kept up to date at each change is what a scan finds. */
static bool sums_are_right(struct cluster *c, unsigned i, uint64_t peer)
{
    static struct scan s;
    static uint64_t sums[FRAME_LEAVES];
    struct node *n = &c->nodes[i];
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

static bool all_sums_are_right(struct cluster *c)
{
    bool right = true;

    for (unsigned i = 0; i < NODES; i++)
        for (uint64_t peer = 1; peer <= NODES + 2; peer++)
            if (peer != i + 1)
                right = right && sums_are_right(c, i, peer);
    return right;
}

struct play {
    struct cluster *c;
    struct dice d;
    uint8_t ids[IDS][ID_SIZE];
};

static struct place any_place(struct dice *d)
{
    struct place p = list_of(1 + dice_below(d, 50), 1 + dice_below(d, 4), 0);

    for (uint64_t node = 1; node <= 4; node++)
        if (!place_has(&p, node) && dice_one_in(d, 3))
            p.holders[p.count++] = node;
    if (dice_one_in(d, 15)) {
        p.kind = dice_one_in(d, 2) ? PLACE_OVER : PLACE_FINAL;
        p.reason = REASON_IDLE + dice_below(d, 4);
    }
    return p;
}

static void change_copy(struct play *p, unsigned i, const uint8_t *id)
{
    uint32_t flags;
    struct record *r = copy_of(p->c, i, id, &flags), *delta;
    int64_t wall = p->c->now.wall += 1 + dice_below(&p->d, 10);

    if (!r)
        return;
    delta = dice_one_in(&p->d, 20)
                ? record_end_delta(r, REASON_LOGOUT, NULL, wall, i + 1)
                : delta_add(r, "hits", 1, wall, i + 1);
    put_copy(p->c, i, record_merge(r, delta), flags);
    if (dice_one_in(&p->d, 2)) /* and tells somebody */
        apply_record(p->c, (i + 1) % NODES, i, delta);
    record_unref(&delta);
    record_unref(&r);
}

static void play_one(struct play *p)
{
    unsigned i = dice_below(&p->d, NODES), j = (i + 1) % NODES;
    const uint8_t *id = p->ids[dice_below(&p->d, IDS)];
    struct place place = any_place(&p->d);
    uint32_t flags;
    struct record *r = copy_of(p->c, i, id, &flags);

    switch (dice_below(&p->d, 10)) {
    case 0:
    case 1:
        if (!r)
            put_copy(p->c, i, session_new(id, 77), 0);
        break;
    case 2:
        put_copy(p->c, i, r ? record_ref(r) : session_new(id, 77),
                 dice_one_in(&p->d, 2) ? ENTRY_CACHED : 0);
        break;
    case 3:
        if (r)
            apply_record(p->c, j, i, r);
        break;
    case 4:
        drop_copy(p->c, i, id);
        break;
    case 5:
        put_place(p->c, i, id, place);
        break;
    case 6:
        apply_place(p->c, i, j, id, place);
        break;
    default:
        change_copy(p, i, id);
    }
    record_unref(&r);
}

/* What managers do with copies that do not fit to their place: they are not
 * here any more. */
static void let_go(struct play *p)
{
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned n = 0; n < IDS; n++) {
            struct place place = {0};
            places_get(replica_places(p->c->nodes[i].r), p->ids[n], &place);
            if (place.kind != PLACE_LIST || !place_has(&place, i + 1))
                drop_copy(p->c, i, p->ids[n]);
        }
}

static bool is_listed(struct cluster *c, unsigned i, const uint8_t *id,
                      struct place *out)
{
    return places_get(replica_places(c->nodes[i].r), id, out) &&
           out->kind == PLACE_LIST;
}

/* All that know of holders know the same ones, and these have the same. (Who
 * has not heard of an end knows nothing: ends do not count.) */
static bool is_same(struct play *p, const uint8_t *id)
{
    struct place first, other;
    struct record *one = NULL;
    bool listed = is_listed(p->c, 0, id, &first), same = true;

    for (unsigned i = 0; i < NODES; i++) {
        uint32_t flags;
        struct record *r = copy_of(p->c, i, id, &flags);
        same = same && is_listed(p->c, i, id, &other) == listed &&
               (!listed || place_equal(&first, &other));
        if (listed && place_has(&first, i + 1) && has_copy(p->c, i, id)) {
            same = same && (!one || record_equal(one, r));
            if (!one)
                one = record_ref(r);
        }
        record_unref(&r);
    }
    record_unref(&one);
    return same;
}

static bool compared_once(uint64_t seed)
{
    struct play p = {.c = cluster_new(), .d = dice_of(seed)};
    bool good = true;

    for (unsigned n = 0; n < IDS; n++)
        id_mint(p.ids[n]);
    for (int step = 0; good && step < STEPS; step++) {
        play_one(&p);
        if (step % 30 == 0)
            good = all_sums_are_right(p.c);
    }
    for (int round = 0; round < 4; round++)
        compare_all(p.c);
    good = good && all_sums_are_right(p.c);
    let_go(&p);
    for (int round = 0; round < 4; round++)
        compare_all(p.c);
    good = good && compare_all(p.c) == 0 && all_sums_are_right(p.c);
    for (unsigned i = 0; i < NODES; i++)
        good = good && same_roots(p.c, i, (i + 1) % NODES);
    for (unsigned n = 0; n < IDS; n++)
        good = good && is_same(&p, p.ids[n]);
    cluster_free(&p.c);
    return good;
}

static void pairs_that_have_compared_are_equal(void)
{
    run_seeds("pairs", compared_once, dice_count("MARGAY_SEEDS", 60));
}

/* ---- one by one ---- */

static void who_is_not_in_the_place_gets_the_place_only(void)
{
    struct cluster *c = cluster_new();
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    CU_ASSERT(put_place(c, 0, id, list_of(5, 1, 2)));
    put_copy(c, 0, session_new(id, 1), 0);
    CU_ASSERT(!same_roots(c, 0, 1) && !same_roots(c, 0, 2));
    CHECK_INT((int64_t)compare(c, 1, 0, false), 1);
    CHECK_INT((int64_t)compare(c, 2, 0, false), 1);
    CU_ASSERT(has_copy(c, 1, id) && !has_copy(c, 2, id));
    CU_ASSERT(places_get(replica_places(c->nodes[2].r), id, &p));
    CHECK_INT((int64_t)compare_all(c), 0);
    CU_ASSERT(same_roots(c, 0, 1) && same_roots(c, 0, 2));
    cluster_free(&c);
}

/* Whichever side asks. */
static void a_holder_that_is_not_in_the_list_pushes_by_comparing(void)
{
    for (unsigned puller = 0; puller < 2; puller++) {
        struct cluster *c = cluster_new();
        uint8_t id[ID_SIZE];

        id_mint(id);
        for (unsigned i = 0; i < NODES; i++)
            put_place(c, i, id, list_of(6, 2, 3));
        put_copy(c, 0, session_new(id, 1), 0);
        CHECK_INT((int64_t)compare(c, puller, 1 - puller, false), 1);
        CU_ASSERT(has_copy(c, 0, id) && has_copy(c, 1, id));
        CHECK_INT((int64_t)compare(c, 2, 1, false), 1);
        CU_ASSERT(has_copy(c, 2, id));
        CU_ASSERT(!same_roots(c, 0, 1)); /* as long as it has its copy */
        drop_copy(c, 0, id);
        CHECK_INT((int64_t)compare_all(c), 0);
        CU_ASSERT(all_sums_are_right(c));
        cluster_free(&c);
    }
}

static void a_cached_copy_is_nobodys(void)
{
    struct cluster *c = cluster_new();
    struct replica_item item;
    uint8_t id[ID_SIZE];
    uint32_t flags;

    id_mint(id);
    put_place(c, 0, id, list_of(5, 2, 3));
    put_place(c, 1, id, list_of(5, 2, 3));
    struct record *whole = session_new(id, 1);
    put_copy(c, 0, record_ref(whole), ENTRY_CACHED);
    CU_ASSERT(same_roots(c, 0, 1));
    CU_ASSERT(!replica_take(c->nodes[0].r, 0, id, &item));
    CU_ASSERT(replica_take(c->nodes[0].r, 2, id, &item) && !item.record);
    /* a change is not for it: there is nothing to which it belongs */
    struct record *delta = delta_add(whole, "hits", 1, c->now.wall, 2);
    CHECK_INT(apply_record(c, 0, 1, delta), REPLICA_STRAY);
    CHECK_INT(hits_of(c, 0, id), 0);
    CHECK_INT((int64_t)c->nodes[0].placed_count, 0);
    /* but when it becomes a holder it has what it heard */
    CHECK_INT(apply_record(c, 0, 1, whole), REPLICA_DONE);
    struct record *now = copy_of(c, 0, id, &flags);
    CU_ASSERT(now && !(flags & ENTRY_CACHED));
    CHECK_INT(hits_of(c, 0, id), 1);
    CHECK_INT((int64_t)c->nodes[0].placed_count, 1); /* not in its place yet */
    CU_ASSERT(c->nodes[0].placed.stamp == 5 &&
              id_equal(c->nodes[0].placed_id, id));
    CU_ASSERT(all_sums_are_right(c));
    record_unref(&now);
    record_unref(&delta);
    record_unref(&whole);
    cluster_free(&c);
}

static void the_manager_hears_of_places_and_odd_copies(void)
{
    struct cluster *c = cluster_new();
    struct node *n = &c->nodes[0];
    uint8_t id[ID_SIZE], other[ID_SIZE];

    id_mint(id);
    id_mint(other);
    CHECK_INT(apply_place(c, 0, 1, id, list_of(5, 2, 1)), REPLICA_DONE);
    CHECK_INT((int64_t)n->placed_count, 1);
    CU_ASSERT(n->placed.stamp == 5 && id_equal(n->placed_id, id));
    apply_place(c, 0, 1, id, list_of(5, 2, 1));
    apply_place(c, 0, 1, id, list_of(4, 3, 1));
    CHECK_INT((int64_t)n->placed_count, 1); /* nothing new */
    struct record *r = session_new(id, 1);
    apply_record(c, 0, 1, r);
    CHECK_INT((int64_t)n->placed_count, 1); /* it is named */
    record_unref(&r);
    r = session_new(other, 1);
    apply_record(c, 0, 1, r);
    CHECK_INT((int64_t)n->placed_count, 2); /* no place is known */
    CU_ASSERT(n->placed.stamp == 0 && id_equal(n->placed_id, other));
    record_unref(&r);
    CU_ASSERT(put_place(c, 0, id, list_of(9, 1, 2)));
    CHECK_INT((int64_t)n->placed_count, 2); /* it made that itself */
    cluster_free(&c);
}

static void what_is_final_does_not_come_back(void)
{
    struct cluster *c = cluster_new();
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    for (unsigned i = 0; i < 2; i++) {
        put_place(c, i, id, list_of(5, 1, 2));
        put_copy(c, i, session_new(id, 1), 0);
    }
    /* a copy stays until the manager has dealt with it */
    CHECK_INT(apply_place(c, 0, 2, id, end_of(PLACE_FINAL, 7, 2)),
              REPLICA_DONE);
    CHECK_INT((int64_t)c->nodes[0].placed_count, 1);
    CU_ASSERT(has_copy(c, 0, id) && all_sums_are_right(c));
    drop_copy(c, 0, id);
    /* who says that it lives hears that it does not */
    struct record *r = session_new(id, 1);
    CHECK_INT(apply_record(c, 0, 1, r), REPLICA_NEWER);
    CU_ASSERT(!has_copy(c, 0, id));
    CU_ASSERT(places_get(replica_places(c->nodes[1].r), id, &p));
    CHECK_INT(p.kind, PLACE_FINAL);
    CHECK_INT(apply_place(c, 0, 2, id, list_of(99, 3, 1)), REPLICA_NEWER);
    CU_ASSERT(places_get(replica_places(c->nodes[2].r), id, &p));
    CHECK_INT(p.kind, PLACE_FINAL);
    record_unref(&r);
    cluster_free(&c);
}

static void what_is_over_may_come_back(void)
{
    struct cluster *c = cluster_new();
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    put_place(c, 0, id, end_of(PLACE_OVER, 7, 2));
    struct record *r = session_new(id, 1);
    CHECK_INT(apply_record(c, 0, 1, r), REPLICA_DONE);
    CU_ASSERT(has_copy(c, 0, id));
    CHECK_INT(apply_place(c, 0, 1, id, list_of(8, 2, 1)), REPLICA_DONE);
    CU_ASSERT(places_get(replica_places(c->nodes[0].r), id, &p));
    CHECK_INT(p.kind, PLACE_LIST);
    CU_ASSERT(all_sums_are_right(c));
    record_unref(&r);
    cluster_free(&c);
}

static size_t ends_at(struct cluster *c, unsigned i)
{
    struct places_counts counts;

    places_counts(replica_places(c->nodes[i].r), &counts);
    return counts.over;
}

static void pass(struct cluster *c, int seconds)
{
    while (seconds--) {
        c->now.mono += SECOND;
        c->now.wall += SECOND;
        for (unsigned i = 0; i < NODES; i++)
            replica_tick(c->nodes[i].r, c->now);
    }
}

static void settle(struct cluster *c, unsigned i)
{
    replica_settled(c->nodes[i].r, c->now.mono);
    CHECK_INT(replica_settled_at(c->nodes[i].r), c->now.mono);
}

static void an_end_is_forgotten_when_all_have_compared(void)
{
    struct cluster *c = cluster_new();
    uint8_t id[ID_SIZE];

    id_mint(id);
    for (unsigned i = 0; i < 2; i++)
        put_place(c, i, id, end_of(PLACE_FINAL, 7, 1));
    pass(c, 100);
    CHECK_INT((int64_t)ends_at(c, 0), 1); /* nobody has compared */
    settle(c, 0);
    pass(c, 2);
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    CHECK_INT((int64_t)ends_at(c, 1), 1);
    compare(c, 0, 1, true); /* and is not taken again from another */
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    compare(c, 2, 1, true); /* who never heard of it takes it: a joiner */
    CHECK_INT((int64_t)ends_at(c, 2), 1);
    /* what somebody says of himself, now, is news */
    CHECK_INT(apply_place(c, 0, 2, id, end_of(PLACE_FINAL, 7, 1)),
              REPLICA_DONE);
    CHECK_INT((int64_t)ends_at(c, 0), 1);
    settle(c, 0);
    pass(c, 30);
    CHECK_INT((int64_t)ends_at(c, 0), 1); /* not before its reason was told */
    settle(c, 0);
    pass(c, 40);
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    cluster_free(&c);
}

static void an_end_stays_while_a_copy_lives(void)
{
    struct cluster *c = cluster_new();
    uint8_t id[ID_SIZE];

    id_mint(id);
    put_copy(c, 0, session_new(id, 1), 0);
    put_place(c, 0, id, end_of(PLACE_OVER, 7, 2));
    settle(c, 0);
    pass(c, 70);
    settle(c, 0);
    pass(c, 70);
    CHECK_INT((int64_t)ends_at(c, 0), 1);
    drop_copy(c, 0, id);
    for (int i = 0; i < 3; i++) {
        settle(c, 0);
        pass(c, 70);
    }
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    CU_ASSERT(all_sums_are_right(c));
    cluster_free(&c);
}

static void a_joiner_takes_places_ends_and_its_own(void)
{
    struct cluster *c = cluster_new();
    uint8_t ids[4][ID_SIZE];

    for (unsigned i = 0; i < 4; i++)
        id_mint(ids[i]);
    for (unsigned i = 0; i < 3; i++) {
        put_place(c, 0, ids[i], list_of(5, 1, i == 2 ? 3 : 2));
        put_copy(c, 0, session_new(ids[i], 1), 0);
    }
    put_place(c, 0, ids[3], end_of(PLACE_FINAL, 5, 1));
    struct record *r = session_new(ids[3], 1);
    struct record *end =
        record_end_delta(r, REASON_LOGOUT, NULL, c->now.wall, 1);
    put_copy(c, 0, record_merge(r, end), 0);
    compare(c, 2, 0, true);
    CU_ASSERT(same_roots(c, 2, 0));
    CHECK_INT((int64_t)ends_at(c, 2), 1);
    CU_ASSERT(!has_copy(c, 2, ids[0]) && has_copy(c, 2, ids[2]));
    CU_ASSERT(!has_copy(c, 2, ids[3])); /* a tombstone is for its holders */
    record_unref(&end);
    record_unref(&r);
    cluster_free(&c);
}

static void who_was_away_for_too_long_brings_nothing(void)
{
    struct cluster *c = cluster_new();
    uint8_t ids[3][ID_SIZE];
    struct places_counts counts;

    for (unsigned i = 0; i < 3; i++) {
        id_mint(ids[i]);
        put_place(c, 0, ids[i], list_of(5, i == 1 ? 2 : 1, 3));
    }
    put_place(c, 1, ids[0], list_of(5, 1, 2));
    put_copy(c, 0, session_new(ids[0], 1), 0);
    put_copy(c, 0, session_new(ids[1], 1), ENTRY_CACHED);
    CHECK_INT((int64_t)replica_drop_all(c->nodes[0].r, REASON_LOST, c->now), 1);
    places_counts(replica_places(c->nodes[0].r), &counts);
    CHECK_INT((int64_t)(counts.lists + counts.over), 0);
    CU_ASSERT(!has_copy(c, 0, ids[0]));
    CU_ASSERT(replica_root(c->nodes[0].r, 2) == 0);
    CU_ASSERT(replica_root(c->nodes[0].r, 3) == 0);
    CHECK_INT((int64_t)compare(c, 0, 1, true), 1);
    CU_ASSERT(same_roots(c, 0, 1) && all_sums_are_right(c));
    cluster_free(&c);
}

static void a_touch_goes_to_the_holders(void)
{
    struct cluster *c = cluster_new();
    struct node *n = &c->nodes[0];
    uint8_t id[ID_SIZE];

    id_mint(id);
    replica_send_touch(n->r, id, 5);
    CHECK_INT((int64_t)n->sent_count, 0); /* nobody is known to have it */
    put_place(c, 0, id, list_of(5, 1, 3));
    replica_send_touch(n->r, id, 5);
    CHECK_INT((int64_t)n->sent_count, 1);
    CHECK_INT(n->sent.kind, UPDATE_TOUCH);
    CHECK_INT(n->sent.target_count, 2);
    CU_ASSERT(n->sent.targets[0] == 1 && n->sent.targets[1] == 3);
    cluster_free(&c);
}

static void a_call_is_handed_to_who_serves(void)
{
    struct cluster *c = cluster_new();
    struct node *n = &c->nodes[0];
    struct channel_called call = {
        .from = 2, .no = 7, .app = 1, .kind = CALL_PEEK};

    id_mint(call.id);
    replica_called(n->r, &call, c->now);
    CU_ASSERT(n->called_count == 1 && n->reply_count == 0);
    replica_serve(n->r, NULL, NULL, NULL);
    replica_called(n->r, &call, c->now);
    CU_ASSERT(n->called_count == 1 && n->reply_count == 1);
    CHECK_INT(n->reply.answer, CALL_UNAVAILABLE);
    CU_ASSERT(n->reply.to == 2 && n->reply.no == 7);
    CU_ASSERT(id_equal(n->reply.id, call.id));
    cluster_free(&c);
}

/* ---- many ---- */

static void many_members_with_few_sessions_cost_little(void)
{
    struct cluster *c = cluster_new();
    struct mallinfo2 before = mallinfo2();
    size_t count = 1000;
    uint8_t(*ids)[ID_SIZE] = mem_alloc(count * ID_SIZE);

    for (size_t i = 0; i < count; i++) {
        id_mint(ids[i]);
        put_place(c, 0, ids[i], list_of(5, 1, 100 + i % 200));
    }
    struct mallinfo2 placed = mallinfo2();
    for (size_t i = 0; i < count; i++)
        put_copy(c, 0, session_new(ids[i], 1), 0);
    struct mallinfo2 after = mallinfo2();
    printf("  %zu bytes for 200 pairs of 5 sessions, and the sessions; the "
           "places took %zu\n",
           after.uordblks - placed.uordblks, placed.uordblks - before.uordblks);
    CU_ASSERT(after.uordblks - placed.uordblks < 1500000);
    for (size_t i = 0; i < count; i++)
        drop_copy(c, 0, ids[i]);
    CU_ASSERT(sums_are_right(c, 0, 100));
    /* a pair of which nothing counts is gone */
    CU_ASSERT(mallinfo2().uordblks < placed.uordblks + 100000);
    free(ids);
    cluster_free(&c);
}

enum { THREADS = 3, ROUNDS = 5000 };

struct worker {
    pthread_t thread;
    struct cluster *c;
    uint64_t seed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct dice d = dice_of(w->seed);
    uint8_t id[ID_SIZE] = {0};

    for (int i = 0; i < ROUNDS; i++) {
        struct place p = any_place(&d);
        id[8] = (uint8_t)dice_below(&d, 100);
        p.stamp = 1 + dice_below(&d, 1000000);
        switch (dice_below(&d, 4)) {
        case 0:
            put_place(w->c, 0, id, p);
            break;
        case 1:
            drop_copy(w->c, 0, id);
            break;
        case 2:
            replica_root(w->c->nodes[0].r, 2);
            break;
        default:
            put_copy(w->c, 0, session_new(id, dice_below(&d, 1000)), 0);
        }
    }
    return NULL;
}

static void threads_keep_the_sums(void)
{
    struct cluster *c = cluster_new();
    struct worker workers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.c = c, .seed = i};
        CHECK_INT_FATAL(
            pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    CU_ASSERT(all_sums_are_right(c));
    cluster_free(&c);
}

UNIT_MAIN("replica_partial", CASE(pairs_that_have_compared_are_equal),
          CASE(who_is_not_in_the_place_gets_the_place_only),
          CASE(a_holder_that_is_not_in_the_list_pushes_by_comparing),
          CASE(a_cached_copy_is_nobodys),
          CASE(the_manager_hears_of_places_and_odd_copies),
          CASE(what_is_final_does_not_come_back),
          CASE(what_is_over_may_come_back),
          CASE(an_end_is_forgotten_when_all_have_compared),
          CASE(an_end_stays_while_a_copy_lives),
          CASE(a_joiner_takes_places_ends_and_its_own),
          CASE(who_was_away_for_too_long_brings_nothing),
          CASE(a_touch_goes_to_the_holders),
          CASE(a_call_is_handed_to_who_serves),
          CASE(many_members_with_few_sessions_cost_little),
          CASE(threads_keep_the_sums))
