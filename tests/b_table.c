/* SPDX-License-Identifier: Apache-2.0
 *
 * The table: what was put in is found, counted and woken, by one thread and
 * by many. Meant to be run under ThreadSanitizer as well. */
#include "config.h"

#include "session/table.h"

#include "session/manager_impl.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct instant start = {.mono = 5000400, .wall = 1700000000000};

static struct instant after(int64_t ms)
{
    return (struct instant){start.mono + ms, start.wall + ms};
}

static struct record *record_of(enum record_kind kind,
                                const uint8_t id[ID_SIZE])
{
    struct changes c;
    changes_init(&c);
    struct record *r = record_new(kind, id, start.wall, &c, 1);
    changes_release(&c);
    return r;
}

static struct entry *insert(struct table *t, const uint8_t id[ID_SIZE])
{
    struct table_stripe *s = table_lock(t, id);
    struct entry *e = table_insert(s, record_of(RECORD_SESSION, id), 7);
    table_unlock(s);
    return e;
}

static bool holds(struct table *t, const uint8_t id[ID_SIZE])
{
    struct table_stripe *s = table_lock(t, id);
    struct entry *e = table_find(s, id);
    bool found = e && id_equal(record_id(e->record), id);
    table_unlock(s);
    return found;
}

static bool take_out(struct table *t, const uint8_t id[ID_SIZE])
{
    struct table_stripe *s = table_lock(t, id);
    struct entry *e = table_find(s, id);
    if (e)
        table_remove(s, e);
    table_unlock(s);
    return e != NULL;
}

static void arm(struct table *t, const uint8_t id[ID_SIZE], int64_t due_mono)
{
    struct table_stripe *s = table_lock(t, id);
    table_arm(s, table_find(s, id), due_mono);
    table_unlock(s);
}

static bool count_one(void *user, struct entry *entry)
{
    size_t *left = user;
    (void)entry;
    return --*left != 0;
}

static size_t each_count(struct table *t)
{
    size_t left = SIZE_MAX;
    table_each(t, count_one, &left);
    return SIZE_MAX - left;
}

/* ---- one thread ---- */

enum { MANY = 20000 };

static void finds_what_was_inserted(void)
{
    static uint8_t ids[MANY][ID_SIZE];
    struct table *t = table_new(0, start);
    struct table_counts counts;

    for (int i = 0; i < MANY; i++) {
        id_mint(ids[i]);
        CU_ASSERT(!holds(t, ids[i]));
        insert(t, ids[i]);
    }
    for (int i = 0; i < MANY; i++)
        CU_ASSERT(holds(t, ids[i]));
    table_counts(t, &counts);
    CHECK_INT(counts.live, MANY);
    CHECK_INT(each_count(t), MANY);
    for (int i = 0; i < MANY; i += 2)
        CU_ASSERT(take_out(t, ids[i]));
    for (int i = 0; i < MANY; i++)
        CU_ASSERT(holds(t, ids[i]) == (i % 2 != 0));
    CU_ASSERT(!take_out(t, ids[0]));
    table_counts(t, &counts);
    CHECK_INT(counts.live, MANY / 2);
    CHECK_INT(each_count(t), MANY / 2);
    table_free(&t);
    CU_ASSERT_PTR_NULL(t);
    table_free(&t);
}

static void ids_with_patterns_are_found(void)
{
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE] = {0};

    for (int byte = 0; byte < ID_SIZE; byte++)
        for (int v = 1; v < 256; v++) {
            memset(id, 0, sizeof id);
            id[byte] = (uint8_t)v;
            insert(t, id);
        }
    CHECK_INT(each_count(t), ID_SIZE * 255);
    CU_ASSERT(holds(t, id));
    memset(id, 0, sizeof id);
    CU_ASSERT(!holds(t, id));
    table_free(&t);
}

static bool add_steps(void *user, struct entry *entry)
{
    for (const struct entry *e = entry; e; e = e->next)
        ++*(size_t *)user;
    return true;
}

/* A look-up's mean number of steps, with ids as they are minted. */
static void chains_stay_short(void)
{
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE];
    size_t steps = 0;

    for (int i = 0; i < 5 * MANY; i++) {
        id_mint(id);
        insert(t, id);
    }
    table_each(t, add_steps, &steps);
    CU_ASSERT((double)steps / (5 * MANY) < 1.6);
    table_free(&t);
}

static void entries_carry_what_a_manager_adds(void)
{
    struct table *t = table_new(24, start);
    uint8_t id[ID_SIZE];

    id_mint(id);
    struct entry *e = insert(t, id);
    CHECK_INT(e->access, 7);
    CHECK_INT(e->flags, 0);
    CHECK_INT(e->extra[0] | e->extra[1] | e->extra[2], 0);
    CU_ASSERT(!wheel_armed(&e->timer));
    e->extra[2] = UINT64_MAX;
    e->flags = 5;
    struct table_stripe *s = table_lock(t, id);
    table_replace(s, e, record_of(RECORD_SESSION, id));
    CU_ASSERT(table_find(s, id) == e && e->extra[2] == UINT64_MAX);
    CU_ASSERT(e->flags == 5 && e->access == 7);
    table_unlock(s);
    table_free(&t);
}

static void counts_follow_the_records(void)
{
    struct table *t = table_new(0, start);
    struct table_counts c;
    uint8_t id[ID_SIZE], user[ID_SIZE];

    id_mint(id);
    id_mint(user);
    struct entry *e = insert(t, id);
    struct table_stripe *s = table_lock(t, user);
    table_insert(s, record_of(RECORD_USER, user), 0);
    table_unlock(s);
    table_counts(t, &c);
    CU_ASSERT(c.live == 1 && c.tombstones == 0 && c.others == 1);
    s = table_lock(t, id);
    table_set_idle(s, e, true);
    table_set_idle(s, e, true);
    table_counts(t, &c);
    CU_ASSERT(c.live == 0 && c.tombstones == 1);
    table_replace(s, e, record_of(RECORD_SESSION, id));
    table_counts(t, &c);
    CU_ASSERT(c.live == 0 && c.tombstones == 1);
    table_set_idle(s, e, false); /* a later access brought it back */
    table_counts(t, &c);
    CU_ASSERT(c.live == 1 && c.tombstones == 0);
    table_replace(s, e, record_end_delta(e->record, REASON_LOGOUT, NULL, 0, 1));
    table_unlock(s);
    table_counts(t, &c);
    CU_ASSERT(c.live == 0 && c.tombstones == 1 && c.others == 1);
    take_out(t, id);
    take_out(t, user);
    table_counts(t, &c);
    CU_ASSERT(c.live == 0 && c.tombstones == 0 && c.others == 0);
    table_free(&t);
}

static void each_can_be_ended(void)
{
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE];
    size_t left = 10;

    for (int i = 0; i < 100; i++) {
        id_mint(id);
        insert(t, id);
    }
    table_each(t, count_one, &left);
    CHECK_INT(left, 0);
    table_free(&t);
}

/* ---- leaves ---- */

struct in_leaf {
    unsigned leaf;
    size_t entries, strangers;
};

static bool look_in_leaf(void *user, struct entry *entry)
{
    struct in_leaf *in = user;
    in->entries++;
    in->strangers += table_leaf(record_id(entry->record)) != in->leaf;
    return true;
}

static void leaves_part_the_entries(void)
{
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE];

    for (int inserted = 0, step = 1; step <= 5 * MANY; step *= 10) {
        size_t all = 0, most = 0;
        for (; inserted < step; inserted++) {
            id_mint(id);
            insert(t, id);
        }
        for (unsigned leaf = 0; leaf < TABLE_LEAVES; leaf++) {
            struct in_leaf in = {.leaf = leaf};
            table_each_in(t, leaf, look_in_leaf, &in);
            CHECK_INT(in.strangers, 0);
            all += in.entries;
            most = in.entries > most ? in.entries : most;
        }
        CHECK_INT(all, inserted);
        CU_ASSERT(most <= 20 + 3 * (size_t)inserted / TABLE_LEAVES);
    }
    size_t left = 3;
    for (unsigned leaf = 0; left && leaf < TABLE_LEAVES; leaf++)
        table_each_in(t, leaf, count_one, &left);
    CHECK_INT(left, 0);
    table_free(&t);
}

/* Other members of a cluster compute the same. */
static void a_leaf_is_what_the_header_says(void)
{
    uint8_t id[ID_SIZE] = {0};

    CHECK_INT(table_leaf(id), 0);
    id[8] = 1; /* the lowest byte */
    CHECK_INT(table_leaf(id), 0x9e3);
    memset(id, 0xff, 8); /* of no account */
    CHECK_INT(table_leaf(id), 0x9e3);
    id[8] = 2;
    CHECK_INT(table_leaf(id), 0x3c6);
    id[8] = 0;
    id[15] = 1; /* the highest byte: 0x15 << 56 of the product are left */
    CHECK_INT(table_leaf(id), 0x150);
}

/* ---- timers ---- */

static size_t due(struct table *t, int64_t ms)
{
    uint8_t ids[64][ID_SIZE];
    return table_due(t, after(ms), ids, 64);
}

static void due_is_never_early_and_at_most_a_second_late(void)
{
    static const int64_t rows[] = {1,    599,  600,   601,     1000,
                                   1599, 1600, 59600, 3600000, 86400000};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct table *t = table_new(0, start);
        uint8_t id[ID_SIZE];
        id_mint(id);
        insert(t, id);
        arm(t, id, start.mono + rows[i]);
        CHECK_INT(due(t, rows[i] - 1), 0);
        CHECK_INT(due(t, rows[i] + 999), 1);
        CHECK_INT(due(t, rows[i] + 100000), 0); /* once */
        CU_ASSERT(holds(t, id)); /* what is to be done is the manager's */
        table_free(&t);
    }
}

static void a_later_arm_replaces_an_earlier_one(void)
{
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE];

    id_mint(id);
    insert(t, id);
    arm(t, id, start.mono + 5000);
    arm(t, id, start.mono + 60000);
    CHECK_INT(due(t, 30000), 0);
    arm(t, id, start.mono + 40000);
    CHECK_INT(due(t, 45000), 1);
    arm(t, id, start.mono + 1000); /* past: at the next second */
    CHECK_INT(due(t, 46000), 1);
    arm(t, id, start.mono + 50000);
    CU_ASSERT(take_out(t, id));
    CHECK_INT(due(t, 90000), 0);
    table_free(&t);
}

static void what_is_far_away_neither_fires_nor_spins(void)
{
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE];

    id_mint(id);
    insert(t, id);
    arm(t, id, INT64_MAX);
    CHECK_INT(due(t, 86400000), 0);
    arm(t, id, start.mono + (int64_t)3000000000 * 1000); /* 95 years */
    CHECK_INT(due(t, 2 * 86400000), 0);
    arm(t, id, INT64_MIN);
    CHECK_INT(due(t, 2 * 86400000 + 1000), 1);
    arm(t, id, -1); /* used before this machine started */
    CHECK_INT(due(t, 2 * 86400000 + 2000), 1);
    table_free(&t);
}

static void due_comes_in_portions(void)
{
    enum { COUNT = 1000 };
    struct table *t = table_new(0, start);
    uint8_t id[ID_SIZE], ids[7][ID_SIZE];
    size_t total = 0, n;

    for (int i = 0; i < COUNT; i++) {
        id_mint(id);
        insert(t, id);
        arm(t, id, start.mono + 1000 * (1 + i % 90));
    }
    do {
        n = table_due(t, after(45999), ids, 7);
        for (size_t i = 0; i < n; i++)
            CU_ASSERT(take_out(t, ids[i])); /* so none comes twice */
        total += n;
    } while (n == 7);
    size_t expected = 0;
    for (int i = 0; i < COUNT; i++)
        expected +=
            (400 + 1000 * (1 + i % 90) + 999) / 1000 <= (400 + 45999) / 1000;
    CHECK_INT(total, expected);
    CHECK_INT(due(t, 45999), 0);
    CHECK_INT(each_count(t), COUNT - expected);
    table_free(&t);
}

/* The limits of a record with the wrapper's reading of them. */
static int64_t due_of(const struct manager *m, const struct record_life *life,
                      enum reason *reason)
{
    /* born at the start, used 10 s later, looked at after 20 s */
    return manager_due(m, life, start.mono + 10000, after(20000), reason);
}

static void limits_say_when_a_record_is_due(void)
{
    static const struct {
        int64_t inactive, lifetime, grace; /* seconds */
        int64_t due;                       /* ms from start */
        enum reason reason;
    } rows[] = {
        {0, 0, 0, INT64_MAX, REASON_IDLE},
        {-1, -1, 0, INT64_MAX, REASON_IDLE},
        {60, 0, 0, 70000, REASON_IDLE},
        {60, 0, 5, 73000, REASON_IDLE},
        {0, 100, 5, 100000, REASON_LIFETIME},
        {60, 71, 0, 70000, REASON_IDLE},
        {60, 69, 0, 69000, REASON_LIFETIME},
        {60, 70, 5, 70000, REASON_LIFETIME},
        {INT64_MAX, INT64_MAX, 0, INT64_MAX, REASON_IDLE},
        /* shorter than the usual 1800: a twentieth of its own, 1 to 60 */
        {60, 0, 60, 73000, REASON_IDLE},
        {2, 0, 60, 13000, REASON_IDLE},
        {1799, 0, 300, 1869000, REASON_IDLE},
        {1800, 0, 300, 2110000, REASON_IDLE},
        {3600, 0, 5, 3615000, REASON_IDLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct manager m = {
            .common = {.max_inactive = 1800, .access_interval = rows[i].grace},
            .grace_ms = rows[i].grace * 1000};
        struct record_life life = {.birth = start.wall,
                                   .max_inactive = rows[i].inactive,
                                   .max_lifetime = rows[i].lifetime};
        enum reason reason = REASON_NONE;
        int64_t at = due_of(&m, &life, &reason);
        CHECK_INT(at, rows[i].due == INT64_MAX ? INT64_MAX
                                               : start.mono + rows[i].due);
        if (at != INT64_MAX)
            CHECK_INT(reason, rows[i].reason);
    }
}

/* ---- many threads ---- */

enum { OTHERS = 500 };

struct others {
    struct table *table;
    uint8_t ids[OTHERS][ID_SIZE];
};

static void *use_the_others(void *arg)
{
    struct others *o = arg;
    for (int i = 0; i < OTHERS; i++)
        insert(o->table, o->ids[i]);
    return NULL;
}

static struct table_stripe *stripe_of(struct table *t,
                                      const uint8_t id[ID_SIZE])
{
    struct table_stripe *s = table_lock(t, id);
    table_unlock(s);
    return s;
}

/* While one stripe is held, the others serve: a single lock would leave the
 * thread waiting for ever. */
static void stripes_are_held_one_by_one(void)
{
    static struct others o;
    uint8_t id[ID_SIZE];
    pthread_t thread;
    unsigned same = 0;

    o.table = table_new(0, start);
    id_mint(id);
    struct table_stripe *held = stripe_of(o.table, id);
    for (int i = 0; i < OTHERS;) {
        id_mint(o.ids[i]);
        if (stripe_of(o.table, o.ids[i]) != held)
            i++;
        else
            same++;
    }
    CU_ASSERT(same < OTHERS / 10);
    table_lock(o.table, id);
    CHECK_INT_FATAL(pthread_create(&thread, NULL, use_the_others, &o), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    table_unlock(held);
    CHECK_INT(each_count(o.table), OTHERS);
    table_free(&o.table);
}

enum { IDS = 300, WORKERS = 4, ROUNDS = 20000 };

struct crowd {
    struct table *table;
    uint8_t ids[IDS][ID_SIZE];
    _Atomic int64_t clock; /* ms after the start */
    atomic_bool over;
    _Atomic size_t inserted, removed, woken, seen;
    _Atomic int64_t added; /* to the counters of all sessions that stay */
};

struct worker {
    struct crowd *crowd;
    uint64_t number;
};

static void work_once(struct crowd *c, struct dice *d, uint64_t node)
{
    const uint8_t *id = c->ids[dice_below(d, IDS)];
    int64_t now = atomic_load(&c->clock);
    struct record *kept = NULL;
    struct table_stripe *s = table_lock(c->table, id);
    struct entry *e = table_find(s, id);

    if (!e) {
        e = table_insert(s, record_of(RECORD_SESSION, id), now);
        atomic_fetch_add(&c->inserted, 1);
    } else if (dice_one_in(d, 50)) {
        kept = record_ref(e->record);
        atomic_fetch_sub(&c->added, record_attribute(e->record, "n", 1).number);
        table_remove(s, e);
        atomic_fetch_add(&c->removed, 1);
        e = NULL;
    } else {
        struct record *delta = delta_add(e->record, "n", 1, now, node);
        table_replace(s, e, record_merge(e->record, delta));
        atomic_fetch_add(&c->added, 1);
        kept = record_ref(e->record);
        record_unref(&delta);
    }
    if (e && dice_one_in(d, 3))
        table_arm(s, e, start.mono + now + dice_below(d, 5000));
    table_unlock(s);
    /* outside the lock: a reference is enough */
    if (kept && !id_equal(record_id(kept), id))
        abort();
    record_unref(&kept);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct dice d = dice_of(w->number);
    for (int i = 0; i < ROUNDS; i++)
        work_once(w->crowd, &d, w->number);
    return NULL;
}

static bool see_one(void *user, struct entry *entry)
{
    struct crowd *c = user;
    if (record_kind(entry->record) == RECORD_SESSION)
        atomic_fetch_add(&c->seen, 1);
    return true;
}

static void *wake(void *arg)
{
    struct crowd *c = arg;
    uint8_t ids[16][ID_SIZE];
    struct table_counts counts;

    while (!atomic_load(&c->over)) {
        int64_t now = atomic_fetch_add(&c->clock, 50) + 50;
        atomic_fetch_add(&c->woken, table_due(c->table, after(now), ids, 16));
        table_counts(c->table, &counts);
        if (now % 5000 == 0)
            table_each(c->table, see_one, c);
    }
    return NULL;
}

static bool sum_one(void *user, struct entry *entry)
{
    *(int64_t *)user += record_attribute(entry->record, "n", 1).number;
    return true;
}

static void many_threads_agree(void)
{
    static struct crowd c;
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS], waker;
    struct table_counts counts;
    int64_t sum = 0;

    c.table = table_new(8, start);
    for (int i = 0; i < IDS; i++)
        id_mint(c.ids[i]);
    CHECK_INT_FATAL(pthread_create(&waker, NULL, wake, &c), 0);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){&c, (uint64_t)i + 1};
        CHECK_INT_FATAL(pthread_create(&threads[i], NULL, work, &workers[i]),
                        0);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&c.over, true);
    pthread_join(waker, NULL);

    table_counts(c.table, &counts);
    CHECK_INT(counts.live, c.inserted - c.removed);
    CHECK_INT(each_count(c.table), c.inserted - c.removed);
    table_each(c.table, sum_one, &sum);
    CHECK_INT(sum, c.added); /* no add was lost */
    CU_ASSERT(c.removed > 100 && sum > 1000 && c.woken > 0);
    table_free(&c.table);
}

UNIT_MAIN("table", CASE(finds_what_was_inserted),
          CASE(ids_with_patterns_are_found), CASE(chains_stay_short),
          CASE(entries_carry_what_a_manager_adds),
          CASE(counts_follow_the_records), CASE(each_can_be_ended),
          CASE(leaves_part_the_entries), CASE(a_leaf_is_what_the_header_says),
          CASE(due_is_never_early_and_at_most_a_second_late),
          CASE(a_later_arm_replaces_an_earlier_one),
          CASE(what_is_far_away_neither_fires_nor_spins),
          CASE(due_comes_in_portions), CASE(limits_say_when_a_record_is_due),
          CASE(stripes_are_held_one_by_one), CASE(many_threads_agree))
