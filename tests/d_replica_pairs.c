/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that hold some of the sessions each, at random: what two of them have
 * in common is summed up at each change, and is the same when they have
 * compared. Many members, and many threads. */
#include "config.h"

#include "tests/parts.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- at random ---- */

enum { IDS = 24, STEPS = 150 };

struct play {
    struct parts *c;
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
    struct record *r = parts_copy(p->c, i, id, &flags), *delta;
    int64_t wall = p->c->now.wall += 1 + dice_below(&p->d, 10);

    if (!r)
        return;
    delta = dice_one_in(&p->d, 20)
                ? record_end_delta(r, REASON_LOGOUT, NULL, wall, i + 1)
                : delta_add(r, "hits", 1, wall, i + 1);
    parts_put_copy(p->c, i, record_merge(r, delta), flags);
    if (dice_one_in(&p->d, 2)) /* and tells somebody */
        parts_apply_record(p->c, (i + 1) % NODES, i, delta);
    record_unref(&delta);
    record_unref(&r);
}

static void play_one(struct play *p)
{
    unsigned i = dice_below(&p->d, NODES), j = (i + 1) % NODES;
    const uint8_t *id = p->ids[dice_below(&p->d, IDS)];
    struct place place = any_place(&p->d);
    uint32_t flags;
    struct record *r = parts_copy(p->c, i, id, &flags);

    switch (dice_below(&p->d, 10)) {
    case 0:
    case 1:
        if (!r)
            parts_put_copy(p->c, i, parts_session(id, 77), 0);
        break;
    case 2:
        parts_put_copy(p->c, i, r ? record_ref(r) : parts_session(id, 77),
                       dice_one_in(&p->d, 2) ? ENTRY_CACHED : 0);
        break;
    case 3:
        if (r)
            parts_apply_record(p->c, j, i, r);
        break;
    case 4:
        parts_drop_copy(p->c, i, id);
        break;
    case 5:
        parts_put_place(p->c, i, id, place);
        break;
    case 6:
        parts_apply_place(p->c, i, j, id, place);
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
                parts_drop_copy(p->c, i, p->ids[n]);
        }
}

static bool is_listed(struct parts *c, unsigned i, const uint8_t *id,
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
        struct record *r = parts_copy(p->c, i, id, &flags);
        same = same && is_listed(p->c, i, id, &other) == listed &&
               (!listed || place_equal(&first, &other));
        if (listed && place_has(&first, i + 1) && parts_has_copy(p->c, i, id)) {
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
    struct play p = {.c = parts_new(), .d = dice_of(seed)};
    bool good = true;

    for (unsigned n = 0; n < IDS; n++)
        id_mint(p.ids[n]);
    for (int step = 0; good && step < STEPS; step++) {
        play_one(&p);
        if (step % 30 == 0)
            good = parts_all_sums_right(p.c);
    }
    for (int round = 0; round < 4; round++)
        parts_compare_all(p.c);
    good = good && parts_all_sums_right(p.c);
    let_go(&p);
    for (int round = 0; round < 4; round++)
        parts_compare_all(p.c);
    good = good && parts_compare_all(p.c) == 0 && parts_all_sums_right(p.c);
    for (unsigned i = 0; i < NODES; i++)
        good = good && parts_same_roots(p.c, i, (i + 1) % NODES);
    for (unsigned n = 0; n < IDS; n++)
        good = good && is_same(&p, p.ids[n]);
    parts_free(&p.c);
    return good;
}

static void pairs_that_have_compared_are_equal(void)
{
    run_seeds("pairs", compared_once, dice_count("MARGAY_SEEDS", 60));
}

/* ---- many ---- */

static void many_members_with_few_sessions_cost_little(void)
{
    struct parts *c = parts_new();
    struct mallinfo2 before = mallinfo2();
    size_t count = 1000;
    uint8_t(*ids)[ID_SIZE] = mem_alloc(count * ID_SIZE);

    for (size_t i = 0; i < count; i++) {
        id_mint(ids[i]);
        parts_put_place(c, 0, ids[i], list_of(5, 1, 100 + i % 200));
    }
    struct mallinfo2 placed = mallinfo2();
    for (size_t i = 0; i < count; i++)
        parts_put_copy(c, 0, parts_session(ids[i], 1), 0);
    struct mallinfo2 after = mallinfo2();
    printf("  %zu bytes for 200 pairs of 5 sessions, and the sessions; the "
           "places took %zu\n",
           after.uordblks - placed.uordblks, placed.uordblks - before.uordblks);
    CU_ASSERT(after.uordblks - placed.uordblks < 1500000);
    for (size_t i = 0; i < count; i++)
        parts_drop_copy(c, 0, ids[i]);
    CU_ASSERT(parts_sums_right(c, 0, 100));
    /* a pair of which nothing counts is gone */
    CU_ASSERT(mallinfo2().uordblks < placed.uordblks + 100000);
    free(ids);
    parts_free(&c);
}

enum { THREADS = 3, ROUNDS = 5000 };

struct worker {
    pthread_t thread;
    struct parts *c;
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
            parts_put_place(w->c, 0, id, p);
            break;
        case 1:
            parts_drop_copy(w->c, 0, id);
            break;
        case 2:
            replica_root(w->c->nodes[0].r, 2);
            break;
        default:
            parts_put_copy(w->c, 0, parts_session(id, dice_below(&d, 1000)), 0);
        }
    }
    return NULL;
}

static void threads_keep_the_sums(void)
{
    struct parts *c = parts_new();
    struct worker workers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.c = c, .seed = i};
        CHECK_INT_FATAL(
            pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    CU_ASSERT(parts_all_sums_right(c));
    parts_free(&c);
}

UNIT_MAIN("replica_pairs", CASE(pairs_that_have_compared_are_equal),
          CASE(many_members_with_few_sessions_cost_little),
          CASE(threads_keep_the_sums))
