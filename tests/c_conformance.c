/* SPDX-License-Identifier: Apache-2.0
 *
 * c_conformance.c: docs/promises.md, on every manager with every store: values,
 * ends, new ids. The number in a name is the statement's. */
#include "config.h"

#include "tests/world.h"

#include <stdio.h>
#include <string.h>

#define MINUTE 60000

/* ---- a session is a value ---- */

static void p01_created_is_found(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    CHECK_INT(visit_set(&v, "text", "kept"), RC_OK);
    struct value bytes = {.type = VALUE_BYTES, .data = "a\0b", .len = 3};
    CHECK_INT(session_set(&v.s, "bytes", &bytes, NULL), RC_OK);
    struct value number = {.type = VALUE_INT, .number = INT64_MIN};
    CHECK_INT(session_set(&v.s, "int", &number, NULL), RC_OK);
    struct value real = {.type = VALUE_DOUBLE, .real = 0.1};
    CHECK_INT(session_set(&v.s, "double", &real, NULL), RC_OK);
    struct value truth = {.type = VALUE_BOOL, .truth = true};
    CHECK_INT(session_set(&v.s, "bool", &truth, NULL), RC_OK);
    CHECK_INT(visit_add(&v, "counter", 41), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);

    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT_FATAL(visit_find(&v, w, i, id), RC_OK);
        CHECK_STR(visit_get(&v, "text"), "kept");
        bytes = session_get(&v.s, "bytes");
        CHECK_INT(bytes.type, VALUE_BYTES);
        CU_ASSERT(bytes.len == 3 && memcmp(bytes.data, "a\0b", 3) == 0);
        CHECK_INT(session_get(&v.s, "int").number, INT64_MIN);
        CU_ASSERT(session_get(&v.s, "double").real == 0.1);
        CU_ASSERT(session_get(&v.s, "bool").truth);
        CHECK_INT(visit_count(&v, "counter"), 41);
        CHECK_INT(session_get(&v.s, "other").type, VALUE_NONE);
        visit_end(&v);
    }
}

static void p02_a_request_sees_its_snapshot(struct world *w)
{
    struct visit slow, quick;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "first"), RC_OK);

    CHECK_INT_FATAL(visit_find(&slow, w, 0, id), RC_OK);
    const char *given = visit_get(&slow, "k");
    CHECK_INT_FATAL(visit_find(&quick, w, 1, id), RC_OK);
    CHECK_INT(visit_set(&quick, "k", "second"), RC_OK);
    CHECK_STR(visit_get(&quick, "k"), "second");
    CU_ASSERT(world_holds(w, 2, id, "k", "first"));
    CHECK_INT(visit_commit(&quick, w), RC_OK);
    CU_ASSERT(world_holds(w, 2, id, "k", "second"));
    CHECK_STR(visit_get(&slow, "k"), "first");

    /* What a servlet was given stays valid until its request ends. */
    world_pass(w, 100); /* else neither is the later one */
    CHECK_INT(visit_set(&slow, "k", "third"), RC_OK);
    CHECK_INT(session_remove(&slow.s, "k", NULL), RC_OK);
    CHECK_INT(visit_commit(&slow, w), RC_OK);
    CHECK_STR(given, "first");
    visit_end(&quick);
    visit_end(&slow);
    CU_ASSERT(world_holds(w, 2, id, "k", ""));
}

static void put_many(struct worker *worker)
{
    for (unsigned n = 0; n < 25; n++) {
        char name[32];
        snprintf(name, sizeof name, "k%u.%u", worker->number, n);
        worker->answers[world_put(worker->w, worker->number + n, worker->with,
                                  name, name)]++;
    }
}

static void p03_parallel_changes_are_all_kept(struct world *w)
{
    uint8_t id[ID_SIZE];
    struct worker sum;
    struct visit v;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    world_parallel(w, 8, put_many, id, &sum);
    CHECK_INT(sum.answers[RC_OK], 8 * 25);

    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        unsigned there = 0;
        CHECK_INT_FATAL(visit_find(&v, w, i, id), RC_OK);
        for (unsigned n = 0; n < 8 * 25; n++) {
            char name[32];
            snprintf(name, sizeof name, "k%u.%u", n / 25, n % 25);
            there += strcmp(visit_get(&v, name), name) == 0;
        }
        CHECK_INT(there, 8 * 25);
        visit_end(&v);
    }
}

static void p03_two_changes_of_one_attribute(struct world *w)
{
    struct visit a, b;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&a, w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&b, w, 1, id), RC_OK);
    visit_set(&a, "same", "a");
    visit_set(&a, "only.a", "a");
    visit_set(&b, "same", "b");
    visit_set(&b, "only.b", "b");
    CHECK_INT(visit_commit(&a, w), RC_OK);
    CHECK_INT(visit_commit(&b, w), RC_OK);
    visit_end(&a);
    visit_end(&b);
    bool is_b = world_holds(w, 0, id, "same", "b");
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id, "same", is_b ? "b" : "a"));
        CU_ASSERT(world_holds(w, i, id, "only.a", "a"));
        CU_ASSERT(world_holds(w, i, id, "only.b", "b"));
    }
}

static void hit_many(struct worker *worker)
{
    for (unsigned n = 0; n < 250; n++)
        worker->answers[world_hit(worker->w, worker->number + n, worker->with,
                                  "hits")]++;
}

static void p04_counters_are_exact(struct world *w)
{
    uint8_t id[ID_SIZE];
    struct worker sum;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    world_parallel(w, 8, hit_many, id, &sum);
    CHECK_INT(sum.answers[RC_OK], 2000);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_count(w, i, id, "hits"), 2000);
}

static void p05_seen_is_beaten_whatever_the_clocks_say(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "first"), RC_OK);
    w->now.wall -= 5 * MINUTE; /* a server whose clock is behind */
    CHECK_INT(world_put(w, 1, id, "k", "second"), RC_OK);
    w->now.wall += 5 * MINUTE;
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT(world_holds(w, i, id, "k", "second"));
}

/* ---- ends ---- */

static void p06_a_logout_is_final(struct world *w)
{
    struct visit late, hit;
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&late, w, 1, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&hit, w, 0, id), RC_OK);
    CHECK_INT(world_end(w, 2, id, REASON_LOGOUT), RC_OK);

    visit_set(&late, "k", "too late");
    CHECK_INT(visit_commit(&late, w), RC_ENDED);
    CHECK_INT(late.reason, REASON_LOGOUT);
    visit_add(&hit, "hits", 1);
    CHECK_INT(visit_commit(&hit, w), RC_ENDED);
    CHECK_INT(hit.reason, REASON_LOGOUT);
    visit_end(&hit);
    visit_end(&late);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LOGOUT);
    }
}

/* Hits until there is nothing to hit; a suite must fail, not hang. */
static void race_logout(struct worker *worker)
{
    struct world *w = worker->w;
    int64_t end = instant_read().mono + 2000;
    enum rc rc = RC_OK;
    if (worker->number == 0)
        rc = world_end(w, 0, worker->with, REASON_LOGOUT);
    while (worker->number > 0 && rc == RC_OK && instant_read().mono < end)
        rc = world_hit(w, worker->number, worker->with, "hits");
    worker->answers[rc]++;
}

static void p06_a_logout_among_many_is_final(struct world *w)
{
    for (int round = 0; round < 50; round++) {
        uint8_t id[ID_SIZE];
        struct worker sum;
        enum reason reason;
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        world_parallel(w, 4, race_logout, id, &sum);
        CHECK_INT_FATAL(sum.answers[RC_OK], 1);
        CHECK_INT(sum.answers[RC_ENDED] + sum.answers[RC_ABSENT], 3);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
            CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
            CHECK_INT(reason, REASON_LOGOUT);
        }
    }
}

static void p07_the_first_reason_stays(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 1, id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_ADMIN), RC_OK);
    world_pass(w, 1000);
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    visit_commit(&v, w);
    visit_end(&v);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_ADMIN);
    }
}

static void p08_a_reason_is_told_for_a_minute(struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    for (int s = 0; s < 59; s++) {
        world_pass(w, 1000);
        world_tick(w);
    }
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LOGOUT);
    }
    for (int s = 0; s < 180; s++) {
        world_pass(w, 1000);
        world_tick(w);
    }
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_stats(w, i).tombstones, 0);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

static void p09_a_commit_never_creates(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 1, id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    for (int s = 0; s < 300; s++) { /* until nobody remembers the end */
        world_pass(w, 1000);
        world_tick(w);
    }
    visit_set(&v, "k", "from the dead");
    CHECK_INT(visit_commit(&v, w), RC_ENDED);
    visit_end(&v);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
        CHECK_INT(world_stats(w, i).active, 0);
    }
}

/* ---- new ids ---- */

static void p10_a_new_id_takes_everything_along(struct world *w)
{
    struct visit v;
    uint8_t old[ID_SIZE], id[ID_SIZE];
    enum reason reason;
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    CHECK_INT(world_put(w, 0, old, "k", "kept"), RC_OK);
    CHECK_INT(world_hit(w, 1, old, "hits"), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, old), RC_OK);
    CHECK_INT(session_change_id(&v.s, NULL), RC_OK);
    CHECK_INT(visit_add(&v, "hits", 1), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    CU_ASSERT(!id_equal(id, old));
    CHECK_INT(world_hit(w, 2, id, "hits"), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id, "k", "kept"));
        CHECK_INT(world_count(w, i, id, "hits"), 3);
        CHECK_INT(world_look(w, i, old, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_RENAMED);
    }
    CHECK_INT(world_stats(w, 0).renamed, 1);
}

static void p10_changes_of_before_go_along(struct world *w)
{
    for (unsigned at = 0; at < WORLD_MANAGERS; at++) {
        struct visit late, later;
        uint8_t old[ID_SIZE], id[ID_SIZE], newest[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&late, w, at, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&later, w, at, old), RC_OK);
        CHECK_INT_FATAL(world_login(w, 0, old, "kim", id), RC_OK);
        visit_set(&late, "k", "put");
        visit_add(&late, "hits", 1);
        enum rc rc = visit_commit(&late, w);
        CU_ASSERT(rc == RC_OK || rc == RC_ENDED);
        visit_end(&late);
        if (rc == RC_OK) {
            CU_ASSERT(world_holds(w, 1, id, "k", "put"));
            CHECK_INT(world_count(w, 2, id, "hits"), 1);
        }
        /* And once more over a chain of new ids. */
        CHECK_INT_FATAL(world_login(w, 1, id, "kim", newest), RC_OK);
        visit_set(&later, "later", "put");
        rc = visit_commit(&later, w);
        CU_ASSERT(rc == RC_OK || rc == RC_ENDED);
        visit_end(&later);
        if (rc == RC_OK)
            CU_ASSERT(world_holds(w, 2, newest, "later", "put"));
        CHECK_INT(world_look(w, 0, old, NULL), RC_ABSENT);
    }
}

struct login_race {
    uint8_t old[ID_SIZE];
    uint8_t id[2][ID_SIZE];
};

static void race_login(struct worker *worker)
{
    struct login_race *race = (struct login_race *)worker->with;
    unsigned n = worker->number;
    char name[8];
    snprintf(name, sizeof name, "k%u", n);
    if (n < 2)
        worker->answers[world_login(worker->w, n, race->old, n ? "lee" : "kim",
                                    race->id[n])]++;
    else
        worker->answers[world_put(worker->w, n, race->old, name, name)]++;
}

static void p11_of_racing_logins_both_live(struct world *w)
{
    for (int round = 0; round < 50; round++) {
        struct login_race race;
        struct worker sum;
        CHECK_INT_FATAL(world_create(w, 0, race.old), RC_OK);
        memset(race.id, 0, sizeof race.id);
        world_parallel(w, 2, race_login, &race, &sum);
        /* One may come after the other: the old id is then over. */
        CHECK_INT(sum.answers[RC_OK] + sum.answers[RC_ABSENT], 2);
        CU_ASSERT(sum.answers[RC_OK] >= 1);
        for (unsigned n = 0; n < 2; n++) {
            struct visit v;
            static const uint8_t nobody[ID_SIZE];
            if (id_equal(race.id[n], nobody))
                continue;
            CHECK_INT_FATAL(visit_find(&v, w, 2, race.id[n]), RC_OK);
            CHECK_STR(session_user(&v.s), n ? "lee" : "kim");
            visit_end(&v);
        }
    }
}

static void p11_two_logins_under_one_old_id(struct world *w)
{
    struct visit kim, lee;
    uint8_t old[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    CHECK_INT(world_put(w, 0, old, "cart", "full"), RC_OK);
    CHECK_INT_FATAL(visit_find(&kim, w, 0, old), RC_OK);
    CHECK_INT_FATAL(visit_find(&lee, w, 1, old), RC_OK);
    CHECK_INT(session_login(&kim.s, "kim", NULL), RC_OK);
    CHECK_INT(session_login(&lee.s, "lee", NULL), RC_OK);
    CHECK_INT(visit_commit(&kim, w), RC_OK);
    CHECK_INT(visit_commit(&lee, w), RC_OK);
    CU_ASSERT(!id_equal(session_id(&kim.s), session_id(&lee.s)));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        struct visit v;
        CHECK_INT_FATAL(visit_find(&v, w, i, session_id(&kim.s)), RC_OK);
        CHECK_STR(session_user(&v.s), "kim");
        visit_end(&v);
        CHECK_INT_FATAL(visit_find(&v, w, i, session_id(&lee.s)), RC_OK);
        CHECK_STR(session_user(&v.s), "lee");
        CHECK_STR(visit_get(&v, "cart"), "full");
        visit_end(&v);
    }
    visit_end(&kim);
    visit_end(&lee);
}

/* ---- what a request may and may not do ---- */

static void p23_a_reading_request_changes_nothing(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find_to_read(&v, w, 1, id), RC_OK);
    CHECK_INT(visit_set(&v, "k", "v"), RC_ILLEGAL);
    CHECK_INT(visit_add(&v, "n", 1), RC_ILLEGAL);
    CHECK_INT(session_remove(&v.s, "k", NULL), RC_ILLEGAL);
    CHECK_INT(session_change_id(&v.s, NULL), RC_ILLEGAL);
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_ILLEGAL);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
}

static void p24_a_flush_publishes_early(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    visit_add(&v, "hits", 2);
    manager_flush(v.manager, &v.s, w->now);
    CU_ASSERT(world_settle(w));
    CHECK_INT(world_count(w, 1, id, "hits"), 2);
    visit_add(&v, "hits", 3);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_INT(world_count(w, 1, id, "hits"), 5);
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p01_created_is_found, NULL)                                              \
    S(p02_a_request_sees_its_snapshot, NULL)                                   \
    S(p03_parallel_changes_are_all_kept, NULL)                                 \
    S(p03_two_changes_of_one_attribute, NULL)                                  \
    S(p04_counters_are_exact, NULL)                                            \
    S(p05_seen_is_beaten_whatever_the_clocks_say, NULL)                        \
    S(p06_a_logout_is_final, NULL)                                             \
    S(p06_a_logout_among_many_is_final, NULL)                                  \
    S(p07_the_first_reason_stays, NULL)                                        \
    S(p08_a_reason_is_told_for_a_minute, NULL)                                 \
    S(p09_a_commit_never_creates, NULL)                                        \
    S(p10_a_new_id_takes_everything_along, NULL)                               \
    S(p10_changes_of_before_go_along, NULL)                                    \
    S(p11_of_racing_logins_both_live, NULL)                                    \
    S(p11_two_logins_under_one_old_id, NULL)                                   \
    S(p23_a_reading_request_changes_nothing, NULL)                             \
    S(p24_a_flush_publishes_early, NULL)
/* clang-format on */

STATEMENTS(STATEMENT_ON_ALL)
UNIT_MAIN("conformance", STATEMENTS(STATEMENT_CASES))
