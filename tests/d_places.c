/* SPDX-License-Identifier: Apache-2.0
 *
 * The place of a session, and the table of all of them: merging in any order
 * comes to the same, the table does what a simple list would do, its sums are
 * those of a scan, and a million entries take little room. */
#include "config.h"

#include "managers/cluster/places.h"

#include "managers/cluster/replica.h"
#include "session/buf.h"
#include "session/table.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SELF = 3 };

/* From few stamps, reasons and nodes, so that two of them collide. */
static struct place any_place(struct dice *d)
{
    struct place p = {.kind = (enum place_kind)dice_below(d, 3),
                      .stamp = 1 + dice_below(d, 3),
                      .count = 1 + dice_below(d, PLACE_HOLDERS)};
    uint64_t first = 1 + dice_below(d, 5);

    if (p.kind != PLACE_LIST)
        p.reason = REASON_IDLE + dice_below(d, 3);
    for (unsigned i = 0; i < p.count; i++)
        p.holders[i] = 1 + (first + i) % 6;
    return p;
}

static void any_id(struct dice *d, uint8_t id[ID_SIZE])
{
    for (size_t i = 0; i < ID_SIZE; i += 8) {
        uint64_t u = dice_next(d);
        memcpy(id + i, &u, 8);
    }
}

/* ---- one place ---- */

static bool laws_hold(uint64_t seed)
{
    struct dice d = dice_of(seed);
    struct place a = any_place(&d), b = any_place(&d), c = any_place(&d);
    struct place ab = a, ba = b, bc = b, left, right, again;

    bool changed = place_merge(&ab, &b);
    place_merge(&ba, &a);
    place_merge(&bc, &c);
    left = ab;
    place_merge(&left, &c);
    right = a;
    place_merge(&right, &bc);
    again = left;
    return place_equal(&ab, &ba) && place_equal(&left, &right) &&
           changed == !place_equal(&ab, &a) && !place_merge(&again, &a) &&
           !place_merge(&again, &left) && place_is_valid(&left);
}

static void merging_keeps_the_laws(void)
{
    run_seeds("places", laws_hold, dice_count("MARGAY_PLACES", 200000));
}

static struct place list_of(uint64_t stamp, uint64_t first, uint64_t second)
{
    return (struct place){.kind = PLACE_LIST,
                          .stamp = stamp,
                          .count = second ? 2 : 1,
                          .holders = {first, second}};
}

static struct place end_of(enum place_kind kind, uint64_t stamp,
                           enum reason reason)
{
    return (struct place){.kind = kind,
                          .stamp = stamp,
                          .reason = reason,
                          .count = 1,
                          .holders = {1}};
}

static bool beats(struct place a, struct place b)
{
    return !place_merge(&a, &b) && place_merge(&b, &a) && place_equal(&a, &b);
}

static void who_beats_whom_is_as_the_header_says(void)
{
    struct place final = end_of(PLACE_FINAL, 5, REASON_LOGOUT);

    CU_ASSERT(beats(list_of(2, 1, 2), list_of(1, 8, 9)));
    CU_ASSERT(beats(final, list_of(99, 1, 2)));
    CU_ASSERT(beats(final, end_of(PLACE_OVER, 99, REASON_IDLE)));
    CU_ASSERT(beats(final, end_of(PLACE_FINAL, 6, REASON_LIFETIME)));
    CU_ASSERT(beats(final, end_of(PLACE_FINAL, 5, REASON_ADMIN)));
    CU_ASSERT(beats(end_of(PLACE_OVER, 2, REASON_IDLE), list_of(2, 8, 9)));
    CU_ASSERT(beats(list_of(3, 1, 0), end_of(PLACE_OVER, 2, REASON_LOST)));
    CU_ASSERT(beats(list_of(1, 1, 2), list_of(1, 9, 0)));
    CU_ASSERT(beats(list_of(1, 2, 1), list_of(1, 1, 9)));
}

static void a_stamp_is_later_than_the_one_before(void)
{
    struct place p = list_of(100, 1, 0);

    CHECK_INT((int64_t)place_stamp(NULL, 50), 50);
    CHECK_INT((int64_t)place_stamp(&p, 50), 101);
    CHECK_INT((int64_t)place_stamp(&p, 500), 500);
    CHECK_INT((int64_t)place_stamp(NULL, -7), 1);
    p.stamp = PLACE_STAMP_MAX;
    CHECK_INT((int64_t)place_stamp(&p, 1), (int64_t)PLACE_STAMP_MAX);
    CHECK_INT((int64_t)place_stamp(NULL, INT64_MAX), (int64_t)PLACE_STAMP_MAX);
}

static bool bytes_come_back(uint64_t seed)
{
    struct dice d = dice_of(seed);
    struct place p = any_place(&d), out;
    uint8_t id[ID_SIZE], bytes[PLACE_MAX + 1] = {0}, back[ID_SIZE];

    any_id(&d, id);
    for (unsigned i = 0; i < p.count; i++)
        p.holders[i] = dice_next(&d) | 1;
    p.stamp = 1 + dice_next(&d) % PLACE_STAMP_MAX;
    size_t len = place_encode(&p, id, bytes);
    bool good = len == PLACE_MIN + 8 * ((size_t)p.count - 1) &&
                place_decode(bytes, len, back, &out) && id_equal(id, back) &&
                place_equal(&p, &out);
    for (size_t cut = 0; cut <= PLACE_MAX + 1; cut++)
        good = good && (cut == len || !place_decode(bytes, cut, back, &out));
    return good;
}

static void its_bytes_come_back(void)
{
    run_seeds("bytes", bytes_come_back, dice_count("MARGAY_PLACES", 20000));
}

static void what_is_no_place_is_refused(void)
{
    static const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = {
        {16, 0},                               /* stamp 0 */
        {23, 0x20},                            /* a stamp beyond the limit */
        {24, 1},                               /* an end without a reason */
        {24, 3},                               /* no kind */
        {25, 5},                               /* a list with a reason */
        {26, 0},    {26, 1}, {26, 3}, {26, 5}, /* another count */
        {27, 0},                               /* holder 0 */
        {27, 8},                               /* one twice */
    };
    struct place p = list_of(1, 7, 8), out;
    uint8_t id[ID_SIZE] = "0123456789abcde", bytes[PLACE_MAX], back[ID_SIZE];
    size_t len = place_encode(&p, id, bytes);

    CU_ASSERT(place_decode(bytes, len, back, &out));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t right = bytes[wrong[i].at];
        bytes[wrong[i].at] = wrong[i].byte;
        CU_ASSERT(!place_decode(bytes, len, back, &out));
        bytes[wrong[i].at] = right;
    }
    bytes[24] = PLACE_FINAL;
    for (unsigned reason = 0; reason < 256; reason++) {
        bytes[25] = (uint8_t)reason;
        CHECK_INT(place_decode(bytes, len, back, &out),
                  reason == REASON_UNKNOWN ||
                      (reason >= REASON_IDLE && reason < REASON_COUNT));
    }
}

/* ---- the table ---- */

enum { IDS = 300, STEPS = 2000 };

/* What a simple list would do. */
struct model {
    struct places *places;
    uint8_t ids[IDS][ID_SIZE];
    struct place place[IDS]; /* stamp 0: none */
    int64_t learnt[IDS];
    uint64_t order[IDS], next_order; /* of ends */
};

static void model_ids(struct model *m, struct dice *d)
{
    bool crowded = dice_one_in(d, 2);

    for (size_t i = 0; i < IDS; i++) {
        any_id(d, m->ids[i]);
        if (crowded) /* into one leaf, */
            memset(m->ids[i] + 8, 0, 8);
        if (crowded && i % 3 == 0) { /* and not at random */
            memset(m->ids[i], i % 2 ? 0xff : 0, 7);
            m->ids[i][5] = (uint8_t)(i / 256);
            m->ids[i][6] = (uint8_t)i;
        }
    }
}

static bool model_put(struct model *m, struct dice *d, size_t i)
{
    struct place p = any_place(d), before, now = m->place[i];
    int64_t learnt = dice_below(d, 100);
    bool none = now.stamp == 0, change = none || place_merge(&now, &p);
    bool changed = places_put(m->places, m->ids[i], &p, learnt, &before);
    bool good = changed == change && before.stamp == m->place[i].stamp &&
                place_equal(&before, &m->place[i]);

    if (!change)
        return good;
    m->place[i] = none ? p : now;
    m->learnt[i] = learnt;
    m->order[i] = m->next_order++;
    return good;
}

static void model_put_off(struct model *m, size_t i)
{
    places_put_off(m->places, m->ids[i], 7);
    if (m->place[i].stamp == 0 || m->place[i].kind == PLACE_LIST)
        return;
    m->learnt[i] = 7;
    m->order[i] = m->next_order++;
}

static bool model_next_is_right(const struct model *m, int64_t before)
{
    size_t first = IDS;
    uint8_t id[ID_SIZE];

    for (size_t i = 0; i < IDS; i++)
        if (m->place[i].stamp && m->place[i].kind != PLACE_LIST &&
            (first == IDS || m->order[i] < m->order[first]))
            first = i;
    bool found = first < IDS && m->learnt[first] <= before;
    if (places_next_over(m->places, before, id) != found)
        return false;
    return !found || id_equal(id, m->ids[first]);
}

struct tally {
    const struct model *m;
    size_t count, users;
    bool good;
};

static void tally_alike(void *user, const struct place *list, size_t sessions,
                        size_t users)
{
    struct tally *t = user;
    size_t alike[2] = {0, 0};

    for (size_t i = 0; i < IDS; i++) {
        const struct place *p = &t->m->place[i];
        alike[id_is_of_user(t->m->ids[i])] +=
            p->stamp && p->kind == PLACE_LIST && p->count == list->count &&
            memcmp(p->holders, list->holders, p->count * sizeof *p->holders) ==
                0;
    }
    t->good = t->good && alike[0] == sessions && alike[1] == users &&
              place_has(list, SELF);
    t->count += sessions;
    t->users += users;
}

static bool model_is_right(const struct model *m)
{
    struct tally tally = {.m = m, .good = true};
    struct places_counts found, expected = {0};
    uint64_t root = 0;
    size_t users = 0; /* of them, in lists with SELF */
    bool good = true;

    for (size_t i = 0; i < IDS; i++) {
        const struct place *p = &m->place[i];
        struct place out;
        bool end = p->stamp && p->kind != PLACE_LIST;
        good = good &&
               places_get(m->places, m->ids[i], &out) == (p->stamp != 0) &&
               place_equal(&out, p) &&
               places_learnt(m->places, m->ids[i]) ==
                   (end ? m->learnt[i] : INT64_MAX);
        expected.over += end;
        if (end || p->stamp == 0)
            continue;
        expected.lists++;
        bool user = id_is_of_user(m->ids[i]), first = p->holders[0] == SELF;
        expected.users += user;
        users += user && place_has(p, SELF);
        expected.primary += !user && first;
        expected.backup += !user && !first && place_has(p, SELF);
        root += place_hash(p, m->ids[i]);
    }
    places_counts(m->places, &found);
    places_each_alike(m->places, tally_alike, &tally);
    return good && tally.good &&
           tally.count == expected.primary + expected.backup &&
           tally.users == users && root == places_root(m->places) &&
           found.lists == expected.lists && found.over == expected.over &&
           found.users == expected.users && found.primary == expected.primary &&
           found.backup == expected.backup;
}

struct scan {
    uint8_t last[ID_SIZE];
    uint64_t sum;
    size_t count, over, in_leaf, unsorted, limit;
    unsigned leaf;
};

static bool scan_one(void *user, const uint8_t id[ID_SIZE],
                     const struct place *place)
{
    struct scan *s = user;

    s->unsorted += s->in_leaf && memcmp(s->last, id, ID_SIZE) >= 0;
    s->unsorted += table_leaf(id) != s->leaf;
    memcpy(s->last, id, ID_SIZE);
    s->sum += place_hash(place, id);
    s->over += place->kind != PLACE_LIST;
    s->count++;
    return ++s->in_leaf < s->limit;
}

/* What is kept up to date at each change is what a scan finds. */
static bool sums_are_those_of_a_scan(const struct places *p)
{
    struct places_counts counts;
    size_t count = 0;
    bool good = true;

    for (unsigned leaf = 0; leaf < TABLE_LEAVES; leaf++) {
        struct scan s = {.leaf = leaf, .limit = SIZE_MAX};
        places_each_in(p, leaf, scan_one, &s);
        good = good && s.unsorted == 0 && s.sum == places_sum(p, leaf) &&
               places_has_over(p, leaf) == (s.over > 0);
        count += s.count;
    }
    places_counts(p, &counts);
    return good && count == counts.lists + counts.over;
}

static bool does_as_a_list(uint64_t seed)
{
    struct dice d = dice_of(seed);
    struct model *m = mem_zero(sizeof *m);
    bool good = true;

    m->places = places_new(SELF);
    model_ids(m, &d);
    for (int step = 0; good && step < STEPS; step++) {
        size_t i = dice_below(&d, IDS);
        switch (dice_below(&d, 8)) {
        case 0:
        case 1:
            places_remove(m->places, m->ids[i]);
            m->place[i] = (struct place){0};
            break;
        case 2:
            model_put_off(m, i);
            break;
        default:
            good = model_put(m, &d, i);
        }
        good = good && model_next_is_right(m, dice_below(&d, 100));
        if (step % 100 == 0)
            good = good && model_is_right(m);
    }
    good = good && model_is_right(m) && sums_are_those_of_a_scan(m->places);
    for (size_t i = 0; i < IDS; i++)
        places_remove(m->places, m->ids[i]);
    good = good && places_root(m->places) == 0;
    places_free(&m->places);
    free(m);
    return good;
}

static void the_table_does_what_a_list_would(void)
{
    run_seeds("tables", does_as_a_list, dice_count("MARGAY_SEEDS", 60));
}

static void a_walk_ends_when_it_is_told_to(void)
{
    struct places *p = places_new(SELF);
    struct place list = list_of(1, 2, 0), over = end_of(PLACE_OVER, 1, 3);
    struct scan s = {.limit = 2};
    uint8_t id[ID_SIZE] = {0};

    for (uint8_t i = 0; i < 9; i++) {
        id[0] = i;
        CU_ASSERT(places_put(p, id, i % 2 ? &over : &list, 0, NULL));
    }
    places_each_in(p, 0, scan_one, &s);
    CHECK_INT((int64_t)s.count, 2);
    CHECK_INT(s.last[0], 1);
    places_free(&p);
}

/* Ends come in the order in which they were put, whatever they are. */
static void ends_come_in_their_order(void)
{
    struct places *p = places_new(SELF);
    struct place over = end_of(PLACE_OVER, 1, REASON_IDLE);
    struct place list = list_of(2, 2, 0);
    uint8_t id[ID_SIZE] = {0}, out[ID_SIZE];

    for (uint8_t i = 1; i <= 4; i++) {
        id[0] = i;
        CU_ASSERT(places_put(p, id, &over, 10 * i, NULL));
    }
    CU_ASSERT(!places_next_over(p, 9, out));
    CU_ASSERT(places_next_over(p, 10, out) && out[0] == 1);
    places_put_off(p, out, 50);
    CU_ASSERT(!places_next_over(p, 19, out));
    CU_ASSERT(places_next_over(p, 100, out) && out[0] == 2);
    CU_ASSERT(places_put(p, out, &list, 0, NULL)); /* it lives again */
    CU_ASSERT(places_next_over(p, 100, out) && out[0] == 3);
    places_remove(p, out);
    CU_ASSERT(places_next_over(p, 100, out) && out[0] == 4);
    places_remove(p, out);
    CU_ASSERT(!places_next_over(p, 49, out));
    CU_ASSERT(places_next_over(p, 50, out) && out[0] == 1);
    places_keep(p, out, 70);
    CHECK_INT(places_learnt(p, out), 50);
    CU_ASSERT(!places_next_over(p, 69, out));
    CU_ASSERT(places_next_over(p, 70, out) && out[0] == 1);
    places_remove(p, out);
    CU_ASSERT(!places_next_over(p, 100, out));
    places_free(&p);
}

/* Nodes come and go; their numbers are used again, and there are only so
 * many. */
static void nodes_are_numbered_while_they_count(void)
{
    struct places *p = places_new(SELF);
    struct places_counts counts;
    uint8_t id[ID_SIZE] = {0};
    struct place out;
    size_t taken = 0;

    for (uint64_t node = 1; node <= 200000; node++) {
        struct place list = list_of(node, node, node + 1);
        CU_ASSERT(places_put(p, id, &list, 0, NULL));
    }
    CU_ASSERT(places_get(p, id, &out) && out.holders[1] == 200001);
    places_counts(p, &counts);
    CU_ASSERT(counts.bytes < 250000);
    for (uint32_t i = 1; i <= 70000; i++) {
        struct place list = list_of(1, i, 0);
        memcpy(id, &i, sizeof i);
        taken += places_put(p, id, &list, 0, NULL);
    }
    CHECK_INT((int64_t)taken, 65535 - 2);
    CU_ASSERT(!places_get(p, id, &out));
    CU_ASSERT(sums_are_those_of_a_scan(p));
    places_free(&p);
}

/* ---- a million ---- */

enum { MANY = 1000000, MEMBERS = 200 };

/* Of this thread alone: others use the machine as well. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const char *what, double since)
{
    printf("  %s: %.0f ns each\n", what, (seconds() - since) * 1e9 / MANY);
}

static struct place place_of(struct dice *d, uint64_t stamp)
{
    struct place p = {.kind = PLACE_LIST, .stamp = stamp, .count = 2};

    p.holders[0] = 1 + dice_below(d, MEMBERS);
    p.holders[1] = 1 + (p.holders[0] + 1 + dice_below(d, 100)) % MEMBERS;
    return p;
}

static void put_all(struct places *p, const uint8_t (*ids)[ID_SIZE],
                    uint64_t stamp)
{
    struct dice d = dice_of(stamp);

    for (size_t i = 0; i < MANY; i++) {
        struct place place = place_of(&d, stamp);
        if (!places_put(p, ids[i], &place, 0, NULL))
            abort();
    }
}

/* What every member keeps of each session of which it has no copy. */
static void a_million_take_little_room(void)
{
    uint8_t(*ids)[ID_SIZE] = mem_alloc((size_t)MANY * ID_SIZE);
    struct dice d = dice_of(1);
    struct places_counts counts;
    struct place out;
    size_t found = 0;

    for (size_t i = 0; i < MANY; i++)
        any_id(&d, ids[i]);
    struct mallinfo2 before = mallinfo2();
    struct places *p = places_new(SELF);
    double since = seconds();
    put_all(p, (const uint8_t(*)[ID_SIZE])ids, 1);
    say("new", since);
    struct mallinfo2 after = mallinfo2();
    since = seconds();
    put_all(p, (const uint8_t(*)[ID_SIZE])ids, 2);
    say("changed", since);
    since = seconds();
    for (size_t i = 0; i < MANY; i++)
        found += places_get(p, ids[i], &out);
    say("looked up", since);
    CHECK_INT((int64_t)found, MANY);
    places_counts(p, &counts);
    CHECK_INT((int64_t)counts.lists, MANY);
    double each = (double)counts.bytes / MANY;
    double real = (double)(after.uordblks + after.hblkhd - before.uordblks -
                           before.hblkhd) /
                  MANY;
    printf("  %.1f bytes a session, %.1f with what malloc adds\n", each, real);
    CU_ASSERT(each <= 40 && real <= 64);
    CU_ASSERT(sums_are_those_of_a_scan(p));
    since = seconds();
    for (size_t i = 0; i < MANY; i++)
        places_remove(p, ids[i]);
    say("removed", since);
    places_counts(p, &counts);
    CU_ASSERT(counts.lists == 0 && counts.bytes < 2000000);
    CU_ASSERT(places_root(p) == 0);
    places_free(&p);
    free(ids);
}

/* ---- threads ---- */

enum { THREADS = 4, SHARED_IDS = 64, ROUNDS = 20000 };

struct worker {
    pthread_t thread;
    struct places *places;
    uint64_t seed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct dice d = dice_of(w->seed);
    uint8_t id[ID_SIZE] = {0};
    struct place out;

    for (int i = 0; i < ROUNDS; i++) {
        struct place p = any_place(&d);
        id[0] = id[8] = (uint8_t)dice_below(&d, SHARED_IDS);
        p.holders[p.count - 1] = 10 + dice_below(&d, 1000);
        if (dice_one_in(&d, 4))
            places_remove(w->places, id);
        else
            places_put(w->places, id, &p, 0, NULL);
        if (places_get(w->places, id, &out) && !place_is_valid(&out))
            abort();
        if (places_next_over(w->places, 0, id))
            places_put_off(w->places, id, 0);
    }
    return NULL;
}

static void threads_do_not_hurt_each_other(void)
{
    struct worker workers[THREADS];
    struct places *p = places_new(SELF);

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.places = p, .seed = i};
        CHECK_INT_FATAL(
            pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    CU_ASSERT(sums_are_those_of_a_scan(p));
    places_free(&p);
}

UNIT_MAIN("places", CASE(merging_keeps_the_laws),
          CASE(who_beats_whom_is_as_the_header_says),
          CASE(a_stamp_is_later_than_the_one_before), CASE(its_bytes_come_back),
          CASE(what_is_no_place_is_refused),
          CASE(the_table_does_what_a_list_would),
          CASE(a_walk_ends_when_it_is_told_to), CASE(ends_come_in_their_order),
          CASE(nodes_are_numbered_while_they_count),
          CASE(a_million_take_little_room),
          CASE(threads_do_not_hurt_each_other))
