/* SPDX-License-Identifier: Apache-2.0
 *
 * The copies of an application on members that are wired directly: what is
 * sent is shuffled, doubled, lost, late; copies are compared; ends are written
 * by the right member and forgotten when everybody knows. */
#include "config.h"

#include "managers/cluster/replica.h"

#include "managers/managers.h"
#include "tests/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static void pass(struct world *w, int64_t ms)
{
    w->now.mono += ms;
    w->now.wall += ms;
}

/* Managers' ticks alone: nobody compares. */
static void tick(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        manager_tick(w->m[i], world_now(w, i));
}

static void pass_seconds(struct world *w, int seconds)
{
    while (seconds--) {
        pass(w, SECOND);
        tick(w);
    }
}

/* ---- the hash and the sums ---- */

static void the_hash_is_what_the_header_says(void)
{
    static const uint8_t bytes[40] = "All members compute the same of this.";

    CHECK_INT((int64_t)replica_hash(bytes, 0), (int64_t)0x5880a127e271c1d8u);
    CHECK_INT((int64_t)replica_hash(bytes, 1), (int64_t)0xe1be767f1520b3efu);
    CHECK_INT((int64_t)replica_hash(bytes, 16), (int64_t)0xecbd22084a9698b0u);
    CHECK_INT((int64_t)replica_hash(bytes, 37), (int64_t)0xc9458d8ccc9e17bcu);
}

struct sum {
    uint64_t sums[FRAME_LEAVES];
    uint32_t over[FRAME_LEAVES];
};

static bool add_to_sum(void *user, struct entry *e)
{
    struct sum *sum = user;
    unsigned leaf = table_leaf(record_id(e->record));

    if (record_ended(e->record, NULL) || e->idle)
        sum->over[leaf]++;
    else
        sum->sums[leaf] += replica_hash(e->record->bytes, e->record->len);
    return true;
}

/* What is kept up to date at each change is what a scan finds. */
static bool sums_are_right(struct world *w, unsigned i)
{
    static struct sum scan;
    static uint64_t sums[FRAME_LEAVES];
    uint8_t ended[FRAME_BITS];
    bool right = true;

    memset(&scan, 0, sizeof scan);
    table_each(w->m[i]->table, add_to_sum, &scan);
    replica_sums(mesh_replica(w->mesh, i), 0, sums, ended);
    for (unsigned leaf = 0; leaf < FRAME_LEAVES; leaf++)
        right = right && sums[leaf] == scan.sums[leaf] &&
                (ended[leaf / 8] >> leaf % 8 & 1) == (scan.over[leaf] > 0);
    return right;
}

/* ---- convergence ---- */

enum { IDS = 12, STEPS = 150 };

struct play {
    struct world *w;
    struct dice d;
    uint8_t ids[IDS][ID_SIZE];
};

static void play_one(struct play *p)
{
    struct world *w = p->w;
    unsigned i = dice_below(&p->d, w->count);
    uint8_t *id = p->ids[dice_below(&p->d, IDS)];
    char name[] = "a", text[] = "x";

    name[0] = (char)('a' + dice_below(&p->d, 4));
    text[0] = (char)('0' + dice_below(&p->d, 10));
    switch (dice_below(&p->d, 12)) {
    case 0:
        world_create(w, i, id);
        break;
    case 1:
        world_end(w, i, id, REASON_LOGOUT);
        break;
    case 2:
        world_login(w, i, id, text, id);
        break;
    case 3:
        pass(w, dice_below(&p->d, 4000));
        break;
    case 4:
    case 5:
    case 6:
        world_put(w, i, id, name, text);
        break;
    default:
        world_hit(w, i, id, "hits");
    }
}

static bool all_sums_are_right(struct world *w)
{
    bool right = true;
    for (unsigned i = 0; i < w->count; i++)
        right = right && sums_are_right(w, i);
    return right;
}

static bool is_same_everywhere(struct play *p)
{
    bool same = mesh_is_equal(p->w->mesh);

    for (unsigned n = 0; n < IDS; n++) {
        int64_t hits = world_count(p->w, 0, p->ids[n], "hits");
        for (unsigned i = 1; i < p->w->count; i++)
            same = same && world_count(p->w, i, p->ids[n], "hits") == hits;
    }
    return same;
}

static bool shuffled_once(uint64_t seed)
{
    struct play p = {.w = world_with(&fixture_delta, "replication", "none"),
                     .d = dice_of(seed)};
    bool good = true;

    for (unsigned n = 0; n < IDS; n++)
        world_create(p.w, n, p.ids[n]);
    mesh_hold(p.w->mesh, true);
    for (int step = 0; step < STEPS; step++) {
        play_one(&p);
        if (dice_one_in(&p.d, 30))
            mesh_deliver(p.w->mesh, &p.d);
    }
    mesh_deliver(p.w->mesh, &p.d);
    good = is_same_everywhere(&p) && all_sums_are_right(p.w);
    world_free(&p.w);
    return good;
}

static void what_comes_in_any_order_and_twice_ends_equal(void)
{
    run_seeds("shuffled", shuffled_once, dice_count("MARGAY_SEEDS", 60));
}

/* Everybody compares with everybody until nothing differs. */
static size_t compare_all(struct world *w, bool ended)
{
    size_t differed = 0;

    for (unsigned to = 0; to < w->count; to++)
        for (unsigned from = 0; from < w->count; from++)
            if (to != from)
                differed += mesh_compare(w->mesh, to, from, ended);
    return differed;
}

static bool lost_once(uint64_t seed)
{
    struct play p = {.w = world_with(&fixture_delta, "replication", "none"),
                     .d = dice_of(seed)};
    unsigned ends = 0;

    for (unsigned n = 0; n < IDS; n++)
        world_create(p.w, n, p.ids[n]);
    for (int step = 0; step < STEPS; step++) {
        mesh_hold(p.w->mesh, true);
        play_one(&p);
        if (dice_one_in(&p.d, 3))
            mesh_lose(p.w->mesh);
        else if (dice_one_in(&p.d, 4))
            mesh_deliver(p.w->mesh, &p.d);
    }
    mesh_lose(p.w->mesh);
    mesh_hold(p.w->mesh, false);
    compare_all(p.w, true);
    compare_all(p.w, true);
    bool good = is_same_everywhere(&p) && all_sums_are_right(p.w) &&
                compare_all(p.w, false) == 0;
    for (unsigned n = 0; n < IDS; n++)
        ends +=
            world_reason(p.w, 0, p.ids[n]) != world_reason(p.w, 1, p.ids[n]);
    world_free(&p.w);
    return good && ends == 0;
}

static void what_was_lost_is_found_by_comparing(void)
{
    run_seeds("lost", lost_once, dice_count("MARGAY_SEEDS", 60));
}

static void one_difference_costs_one_leaf(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "none");
    uint8_t id[ID_SIZE], other[ID_SIZE];

    for (int i = 0; i < 200; i++)
        CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_hold(w->mesh, true);
    CHECK_INT(world_put(w, 0, id, "k", "v"), RC_OK);
    do
        CHECK_INT(world_create(w, 1, other), RC_OK);
    while (table_leaf(other) == table_leaf(id)); /* one in 4,096 */
    mesh_lose(w->mesh);
    mesh_hold(w->mesh, false);
    CU_ASSERT(!mesh_is_equal(w->mesh));
    CHECK_INT(mesh_compare(w->mesh, 1, 0, false), 2);
    CHECK_INT(mesh_compare(w->mesh, 2, 1, false), 2);
    CU_ASSERT(world_holds(w, 1, id, "k", "v"));
    CHECK_INT(world_look(w, 0, other, NULL), RC_OK); /* it was wanted */
    CU_ASSERT(mesh_is_equal(w->mesh));
    world_free(&w);
}

static void changed_on_both_sides_is_counted(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "none");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_cut(w->mesh, 2, true);
    CHECK_INT(world_put(w, 0, id, "a", "left"), RC_OK);
    CHECK_INT(world_put(w, 2, id, "b", "right"), RC_OK);
    CHECK_INT(world_hit(w, 1, id, "hits"), RC_OK);
    CHECK_INT(world_hit(w, 2, id, "hits"), RC_OK);
    mesh_cut(w->mesh, 2, false);
    CHECK_INT(mesh_compare(w->mesh, 2, 0, false), 1);
    CHECK_INT(mesh_compare(w->mesh, 1, 0, false), 1);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(world_holds(w, i, id, "a", "left"));
        CU_ASSERT(world_holds(w, i, id, "b", "right"));
        CHECK_INT(world_count(w, i, id, "hits"), 2);
    }
    CHECK_INT(world_stats(w, 0).conflicts, 1);
    CHECK_INT(world_stats(w, 1).conflicts, 0);
    CHECK_INT(world_stats(w, 2).conflicts, 1);
    world_free(&w);
}

/* On one side of a partition a session is ended, on the other its id is
 * replaced, in this order or the other: does it live under the new one? */
static bool lives_on(enum reason reason, bool end_first)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE], next[ID_SIZE];
    unsigned alive = 0;

    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_cut(w->mesh, 2, true);
    if (end_first)
        CHECK_INT(world_end(w, 0, id, reason), RC_OK);
    pass(w, SECOND);
    CHECK_INT(world_login(w, 2, id, "kim", next), RC_OK);
    pass(w, SECOND);
    if (!end_first)
        CHECK_INT(world_end(w, 0, id, reason), RC_OK);
    mesh_cut(w->mesh, 2, false);
    compare_all(w, true);
    compare_all(w, true);
    CU_ASSERT(mesh_is_equal(w->mesh));
    for (unsigned i = 0; i < w->count; i++) {
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
        alive += world_look(w, i, next, NULL) == RC_OK;
        CU_ASSERT(alive || world_reason(w, i, next) == reason);
        CU_ASSERT(sums_are_right(w, i));
    }
    CU_ASSERT(alive == 0 || alive == w->count);
    world_free(&w);
    return alive;
}

static void an_end_of_the_other_side_follows_a_new_id(void)
{
    for (int first = 0; first < 2; first++) {
        CU_ASSERT(!lives_on(REASON_LOGOUT, first));
        CU_ASSERT(!lives_on(REASON_ADMIN, first));
        /* that login is the newest of its user */
        CU_ASSERT(lives_on(REASON_REPLACED, first));
    }
}

/* ---- strays ---- */

static struct frame_update update_of(const struct record *r)
{
    return (struct frame_update){
        .kind = UPDATE_RECORD, .bytes = r->bytes, .len = r->len};
}

static enum replica_rc apply(struct world *w, unsigned i,
                             const struct record *r)
{
    struct frame_update u = update_of(r);
    struct instant now = world_now(w, i);
    uint8_t id[ID_SIZE];
    int64_t newer;
    return replica_apply(mesh_replica(w->mesh, i), &u, now.mono, 9, now, id,
                         &newer);
}

static struct record *session_new(uint8_t id[ID_SIZE], struct instant now)
{
    struct changes c;
    struct value inactive = value_number(VALUE_INT, 1800);

    id_mint(id);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &inactive);
    struct record *r = record_new(RECORD_SESSION, id, now.wall, &c, 9);
    changes_release(&c);
    return r;
}

static void a_stray_is_merged_when_its_session_comes(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE];
    struct record *whole = session_new(id, w->now);
    struct record *one = delta_add(whole, "hits", 1, w->now.wall, 7);
    struct record *two = delta_add(whole, "hits", 1, w->now.wall, 8);

    CHECK_INT(apply(w, 0, one), REPLICA_STRAY);
    CHECK_INT(apply(w, 0, two), REPLICA_STRAY);
    CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT); /* it creates nothing */
    CHECK_INT(apply(w, 0, whole), REPLICA_DONE);
    CHECK_INT(world_count(w, 0, id, "hits"), 2);
    CHECK_INT(world_stats(w, 0).strays, 2);
    CU_ASSERT(sums_are_right(w, 0));
    record_unref(&one);
    record_unref(&two);
    record_unref(&whole);
    world_free(&w);
}

static void a_stray_is_dropped_after_half_a_minute(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE];
    struct record *whole = session_new(id, w->now);
    struct record *one = delta_add(whole, "hits", 1, w->now.wall, 7);

    CHECK_INT(apply(w, 0, one), REPLICA_STRAY);
    pass_seconds(w, 33);
    CHECK_INT(apply(w, 0, whole), REPLICA_DONE);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    CHECK_INT(world_count(w, 0, id, "hits"), 0);
    record_unref(&one);
    record_unref(&whole);
    world_free(&w);
}

/* Does a change of 64 KB that comes before its session survive until then? */
static bool is_put_aside(struct world *w, const struct record *whole)
{
    return world_count(w, 0, record_id(whole), "hits") == 1;
}

static struct record *large_delta(const struct record *whole, int64_t now)
{
    static char text[64 << 10];
    struct value value = {
        .type = VALUE_BYTES, .data = text, .len = sizeof text};
    struct changes c;

    changes_init(&c);
    changes_set(&c, key_text("large"), &value);
    changes_add(&c, key_text("hits"), 1);
    struct record *delta = record_delta(whole, &c, now, 7);
    changes_release(&c);
    return delta;
}

static void strays_are_bounded_in_bytes(void)
{
    enum { MANY = 600 }; /* 37 MB of them */
    struct world *w = world_with(&fixture_delta, "replication", "all");
    struct record *wholes[MANY + 1], *delta;
    uint8_t id[ID_SIZE];

    for (int i = 0; i <= MANY; i++) {
        wholes[i] = session_new(id, w->now);
        delta = large_delta(wholes[i], w->now.wall);
        if (i < MANY)
            CHECK_INT(apply(w, 0, delta), REPLICA_STRAY);
        record_unref(&delta);
    }
    for (int i = 0; i < MANY; i++)
        CHECK_INT(apply(w, 0, wholes[i]), REPLICA_DONE);
    CU_ASSERT(is_put_aside(w, wholes[0]));
    CU_ASSERT(is_put_aside(w, wholes[MANY / 2]));
    CU_ASSERT(!is_put_aside(w, wholes[MANY - 1]));
    delta = large_delta(wholes[MANY], w->now.wall); /* there is room again */
    CHECK_INT(apply(w, 0, delta), REPLICA_STRAY);
    CHECK_INT(apply(w, 0, wholes[MANY]), REPLICA_DONE);
    CU_ASSERT(is_put_aside(w, wholes[MANY]));
    record_unref(&delta);
    for (int i = 0; i <= MANY; i++)
        record_unref(&wholes[i]);
    world_free(&w);
}

static void what_is_no_record_changes_nothing(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    struct replica *r = mesh_replica(w->mesh, 0);
    uint8_t id[ID_SIZE], zero[ID_SIZE] = {0};
    struct record *whole = session_new(id, w->now);
    struct record *user, *secret;
    struct frame_update u = update_of(whole);
    struct changes none;
    int64_t newer;

    for (u.len = 0; u.len < whole->len; u.len++)
        CHECK_INT(replica_apply(r, &u, 0, 9, w->now, zero, &newer),
                  REPLICA_BAD);
    u = (struct frame_update){.kind = UPDATE_TOUCH, .bytes = id, .len = 3};
    CHECK_INT(replica_apply(r, &u, 0, 9, w->now, zero, &newer), REPLICA_BAD);
    changes_init(&none);
    user = record_new(RECORD_USER, id, w->now.wall, &none, 9);
    secret = record_new(RECORD_SECRET, zero, w->now.wall, &none, 9);
    changes_release(&none);
    CHECK_INT(apply(w, 0, secret), REPLICA_BAD);
    CHECK_INT(replica_root(r, 0), 0);
    CHECK_INT(apply(w, 0, whole), REPLICA_DONE);
    CHECK_INT(apply(w, 0, user), REPLICA_BAD); /* of another kind */
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    record_unref(&user);
    record_unref(&secret);
    record_unref(&whole);
    world_free(&w);
}

/* ---- ends ---- */

static size_t tombstones(struct world *w)
{
    size_t sum = 0;
    for (unsigned i = 0; i < w->count; i++)
        sum += world_stats(w, i).tombstones;
    return sum;
}

static void a_tombstone_stays_until_everybody_has_compared(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_cut(w->mesh, 2, true);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    pass_seconds(w, 300);
    CHECK_INT(tombstones(w), 2);
    CHECK_INT(world_reason(w, 1, id), REASON_LOGOUT);
    CHECK_INT(world_look(w, 2, id, NULL), RC_OK); /* it does not know */
    mesh_cut(w->mesh, 2, false);
    CHECK_INT(mesh_compare(w->mesh, 0, 2, false), 1);
    CHECK_INT(world_reason(w, 0, id), REASON_LOGOUT);
    CHECK_INT(mesh_compare(w->mesh, 2, 0, false), 1);
    CHECK_INT(world_reason(w, 2, id), REASON_LOGOUT);
    CU_ASSERT(mesh_is_equal(w->mesh));
    pass_seconds(w, 2);
    mesh_settle(w->mesh);
    pass_seconds(w, 70);
    CHECK_INT(tombstones(w), 0);
    CHECK_INT(world_reason(w, 2, id), REASON_UNKNOWN);
    world_free(&w);
}

/* Who forgot an end does not take it again from one who has not. */
static void what_all_have_forgotten_does_not_go_round(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    for (int second = 0; second < 200; second++) {
        pass_seconds(w, 1);
        compare_all(w, true);
        mesh_settle(w->mesh);
        CU_ASSERT(second > 55 || tombstones(w) == 3);
    }
    CHECK_INT(tombstones(w), 0);
    world_free(&w);
}

static void a_joiner_gets_tombstones_too(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t live[ID_SIZE], gone[ID_SIZE];

    CHECK_INT(world_create(w, 0, live), RC_OK);
    CHECK_INT(world_create(w, 0, gone), RC_OK);
    CHECK_INT(world_put(w, 0, live, "k", "v"), RC_OK);
    CHECK_INT(world_end(w, 1, gone, REASON_LOGOUT), RC_OK);
    world_stop(w, 2);
    CHECK_INT(world_start(w, 2), RC_OK);
    CU_ASSERT(world_holds(w, 2, live, "k", "v"));
    CHECK_INT(world_reason(w, 2, gone), REASON_LOGOUT);
    CU_ASSERT(mesh_is_equal(w->mesh));
    CU_ASSERT(all_sums_are_right(w));
    world_free(&w);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

/* The member that had the last access ends it, and its listeners hear. */
static void idle_sessions_end_where_they_were_used_last(void)
{
    struct world *w = world_new(&fixture_delta);
    uint8_t here[ID_SIZE], there[ID_SIZE];

    CU_ASSERT(world_set(w, "maxInactive", "100"));
    CU_ASSERT(world_set(w, "accessInterval", "5"));
    CHECK_INT_FATAL(world_open(w), RC_OK);
    CHECK_INT(world_create(w, 1, here), RC_OK);
    CHECK_INT(world_create(w, 0, there), RC_OK);
    pass_seconds(w, 10);
    CHECK_INT(world_hit(w, 0, here, "hits"), RC_OK);
    CHECK_INT(world_hit(w, 2, there, "hits"), RC_OK);
    world_events_clear(w);
    pass_seconds(w, 99);
    CHECK_INT(tombstones(w), 0);
    pass_seconds(w, 8);
    CHECK_INT(tombstones(w), 6);
    CHECK_INT(count_of(w->events, "destroyed:idle"), 1);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(world_reason(w, i, here), REASON_IDLE);
        CHECK_INT(world_stats(w, i).ended[REASON_IDLE], i == 1 ? 0 : 1);
        CU_ASSERT(sums_are_right(w, i));
    }
    world_free(&w);
}

static void when_its_member_is_gone_the_first_of_the_living_ends_it(void)
{
    struct world *w = world_with(&fixture_delta, "maxInactive", "100");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 2, id), RC_OK);
    mesh_cut(w->mesh, 2, true);
    world_events_clear(w);
    pass_seconds(w, 110);
    CHECK_INT(count_of(w->events, "destroyed:idle"), 1);
    CHECK_INT(world_reason(w, 1, id), REASON_IDLE);
    world_free(&w);
}

static void clocks_that_are_wrong(struct world *w)
{
    mesh_skew(w->mesh, 0, 5 * MINUTE, 60 * MINUTE);
    mesh_skew(w->mesh, 1, 0, -60 * MINUTE);
    mesh_skew(w->mesh, 2, 12345, 0);
}
static const struct fixture fixture_skewed = {.name = "skewed",
                                              .manager = "DeltaManager",
                                              .servers = 3,
                                              .clustered = true,
                                              .prepare = clocks_that_are_wrong};

/* An access that only its own member knows beats the idle end of another, and
 * no listener hears of an end that was none. */
static void an_access_not_told_yet_beats_an_idle_end(void)
{
    struct world *w = world_new(&fixture_skewed);
    uint8_t id[ID_SIZE];

    CU_ASSERT(world_set(w, "maxInactive", "100"));
    CU_ASSERT(world_set(w, "accessInterval", "20"));
    CHECK_INT_FATAL(world_open(w), RC_OK);
    CHECK_INT(world_create(w, 0, id), RC_OK);
    pass_seconds(w, 15);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK); /* too early for a touch */
    CHECK_INT(mesh_sent_touches(w->mesh), 0);
    world_events_clear(w);
    /* 0 takes its time to be over: 120 s after the creation */
    pass_seconds(w, 107);
    CHECK_INT(count_of(w->events, "destroyed"), 0);
    CHECK_INT(world_stats(w, 0).ended[REASON_IDLE], 0);
    CHECK_INT(tombstones(w), 0);
    CU_ASSERT(mesh_is_equal(w->mesh));
    CU_ASSERT(mesh_sent_touches(w->mesh) > 0); /* 2 heard of it as well */
    /* and 1, which had the last access, ends it: 120 s after that */
    pass_seconds(w, 16);
    CHECK_INT(tombstones(w), 3);
    CHECK_INT(world_stats(w, 1).ended[REASON_IDLE], 1);
    CHECK_INT(world_stats(w, 0).ended[REASON_IDLE], 0);
    world_free(&w);
}

static void a_touch_brings_an_idle_session_back(void)
{
    struct world *w = world_new(&fixture_skewed);
    uint8_t id[ID_SIZE];

    CU_ASSERT(world_set(w, "maxInactive", "100"));
    CU_ASSERT(world_set(w, "accessInterval", "5"));
    CHECK_INT_FATAL(world_open(w), RC_OK);
    CHECK_INT(world_create(w, 0, id), RC_OK);
    pass_seconds(w, 50);
    mesh_cut(w->mesh, 2, true); /* it goes on alone */
    CHECK_INT(world_put(w, 2, id, "k", "v"), RC_OK);
    pass_seconds(w, 60);
    CHECK_INT(world_reason(w, 0, id), REASON_IDLE);
    mesh_cut(w->mesh, 2, false);
    compare_all(w, false);
    CU_ASSERT(mesh_is_equal(w->mesh));
    CU_ASSERT(world_lives(w, id));
    CU_ASSERT(all_sums_are_right(w));
    /* and ends once more */
    pass_seconds(w, 115);
    CHECK_INT(tombstones(w), 3);
    world_free(&w);
}

/* Used under the old id where the new one was not known yet. */
static void a_use_under_the_old_id_is_one_of_the_new(void)
{
    struct world *w = world_with(&fixture_delta, "maxInactive", "100");
    uint8_t id[ID_SIZE], next[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_cut(w->mesh, 2, true);
    CHECK_INT(world_login(w, 2, id, "kim", next), RC_OK);
    pass_seconds(w, 60);
    CHECK_INT(world_put(w, 0, id, "k", "v"), RC_OK);
    mesh_cut(w->mesh, 2, false);
    compare_all(w, true);
    compare_all(w, true);
    pass_seconds(w, 60);
    CU_ASSERT(mesh_is_equal(w->mesh));
    CU_ASSERT(world_lives(w, next));
    world_free(&w);
}

static void a_member_that_may_not_answer_ends_nothing(void)
{
    struct world *w = world_with(&fixture_delta, "maxInactive", "100");
    uint8_t id[ID_SIZE];
    struct visit v;

    CHECK_INT(world_create(w, 0, id), RC_OK);
    CU_ASSERT(manager_ready(w->m[0], w->now));
    mesh_answering(w->mesh, 0, false);
    CU_ASSERT(!manager_ready(w->m[0], w->now));
    CHECK_INT(visit_find(&v, w, 0, id), RC_UNAVAILABLE);
    CU_ASSERT(v.err.text[0]);
    visit_end(&v);
    pass_seconds(w, 112);
    CHECK_INT(tombstones(w), 0);
    mesh_answering(w->mesh, 0, true);
    pass_seconds(w, 5);
    CHECK_INT(tombstones(w), 3);
    /* whose it is does not do it: in the end the others do */
    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_answering(w->mesh, 0, false);
    pass_seconds(w, 130);
    CHECK_INT(tombstones(w), 6); /* nobody compared: the first ones are kept */
    CHECK_INT(world_reason(w, 1, id), REASON_IDLE);
    world_free(&w);
}

static void users_records_are_forgotten_without_a_trace(void)
{
    struct world *w = world_with(&fixture_delta, "maxInactive", "0");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_login(w, 0, id, "kim", id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    CU_ASSERT(replica_root(mesh_replica(w->mesh, 1), 0) != 0);
    pass(w, (int64_t)30 * 24 * 60 * MINUTE + 2 * SECOND);
    manager_tick(w->m[0], w->now);
    CHECK_INT((int64_t)replica_root(mesh_replica(w->mesh, 0), 0), 0);
    compare_all(w, true); /* the others' are too old to be taken again */
    CHECK_INT((int64_t)replica_root(mesh_replica(w->mesh, 0), 0), 0);
    tick(w);
    CU_ASSERT(mesh_is_equal(w->mesh));
    world_free(&w);
}

static void who_was_away_for_too_long_brings_nothing(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t shared[ID_SIZE], own[ID_SIZE], ended[ID_SIZE];

    CHECK_INT(world_create(w, 1, shared), RC_OK);
    CHECK_INT(world_create(w, 1, ended), RC_OK);
    mesh_cut(w->mesh, 0, true);
    CHECK_INT(world_create(w, 0, own), RC_OK);
    CHECK_INT(world_put(w, 0, shared, "k", "alone"), RC_OK);
    CHECK_INT(world_end(w, 0, ended, REASON_LOGOUT), RC_OK);
    world_events_clear(w);
    CHECK_INT(replica_drop_all(mesh_replica(w->mesh, 0), REASON_LOST, w->now),
              2);
    CHECK_INT(count_of(w->events, "destroyed:lost"), 2);
    CHECK_INT(world_reason(w, 0, own), REASON_LOST);
    CU_ASSERT(sums_are_right(w, 0) ||
              replica_root(mesh_replica(w->mesh, 0), 0) == 0);
    mesh_cut(w->mesh, 0, false);
    compare_all(w, true);
    CU_ASSERT(mesh_is_equal(w->mesh));
    CHECK_INT(world_reason(w, 0, own), REASON_LOST);
    CHECK_INT(world_reason(w, 1, own), REASON_UNKNOWN);
    CU_ASSERT(world_lives(w, shared));
    CU_ASSERT(world_lives(w, ended));
    CU_ASSERT(world_holds(w, 0, shared, "k", ""));
    pass_seconds(w, 63);
    CHECK_INT(world_reason(w, 0, own), REASON_UNKNOWN);
    world_free(&w);
}

UNIT_MAIN("replica", CASE(the_hash_is_what_the_header_says),
          CASE(what_comes_in_any_order_and_twice_ends_equal),
          CASE(what_was_lost_is_found_by_comparing),
          CASE(one_difference_costs_one_leaf),
          CASE(changed_on_both_sides_is_counted),
          CASE(an_end_of_the_other_side_follows_a_new_id),
          CASE(a_stray_is_merged_when_its_session_comes),
          CASE(a_stray_is_dropped_after_half_a_minute),
          CASE(strays_are_bounded_in_bytes),
          CASE(what_is_no_record_changes_nothing),
          CASE(a_tombstone_stays_until_everybody_has_compared),
          CASE(what_all_have_forgotten_does_not_go_round),
          CASE(a_joiner_gets_tombstones_too),
          CASE(idle_sessions_end_where_they_were_used_last),
          CASE(when_its_member_is_gone_the_first_of_the_living_ends_it),
          CASE(an_access_not_told_yet_beats_an_idle_end),
          CASE(a_touch_brings_an_idle_session_back),
          CASE(a_use_under_the_old_id_is_one_of_the_new),
          CASE(a_member_that_may_not_answer_ends_nothing),
          CASE(users_records_are_forgotten_without_a_trace),
          CASE(who_was_away_for_too_long_brings_nothing))
