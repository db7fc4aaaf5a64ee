/* SPDX-License-Identifier: Apache-2.0
 *
 * c_outage.c: docs/promises.md, what holds while a store fails and afterwards.
 * The number in a name is the statement's. */
#include "config.h"

#include "tests/world.h"

#include "session/manager_impl.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- weather ---- */

static void weather_down(struct world *w)
{
    atomic_store(&w->faults.down, true);
}

/* Everything works again, and each server has noticed: it has written. */
static bool weather_clear(struct world *w)
{
    int64_t end = instant_read().mono + 20000;
    atomic_store(&w->faults.percent, 0);
    atomic_store(&w->faults.fail_puts, 0);
    atomic_store(&w->faults.fail_gets, 0);
    atomic_store(&w->faults.down, false);
    for (unsigned i = 0; i < w->count; i++) {
        uint8_t id[ID_SIZE];
        do {
            if (instant_read().mono > end)
                return false;
            if (world_create(w, i, id) == RC_OK)
                world_look(w, i, id, NULL);
            sched_yield();
        } while (!world_stats(w, i).store_available);
    }
    /* What only one server has is sent some at a time. */
    for (unsigned i = 0; i < w->count; i++)
        while (world_stats(w, i).unsaved > 0) {
            if (instant_read().mono > end)
                return false;
            world_tick(w);
            sched_yield();
        }
    return true;
}

static void weather_fail_next_put(struct world *w, enum failing_how how)
{
    atomic_store(&w->faults.how, how);
    atomic_store(&w->faults.fail_puts, 1);
}

/* ---- onStoreOutage="refuse" ---- */

static const struct setting two_per_user[] = {{"maxSessionsPerUser", "2"},
                                              {NULL, NULL}};

/* Whether the oldest is alive cannot be asked: it is neither ended nor
 * forgotten. */
static void p15_who_cannot_be_asked_still_counts(struct world *w)
{
    uint8_t guest[ID_SIZE], id[4][ID_SIZE];
    struct visit v;
    unsigned alive = 0;
    for (unsigned n = 0; n < 2; n++) {
        CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
        CHECK_INT_FATAL(world_login(w, 0, guest, "kim", id[n]), RC_OK);
        world_pass(w, 1000);
    }
    CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, guest), RC_OK);
    CHECK_INT(session_login(&v.s, "kim", NULL), RC_OK);
    memcpy(id[2], session_id(&v.s), ID_SIZE);
    atomic_store(&w->faults.fail_gets, 1);
    CHECK_INT(visit_commit(&v, w), RC_UNCERTAIN);
    CHECK_INT(atomic_load(&w->faults.fail_gets), 0);
    visit_end(&v);
    world_pass(w, 1000);
    CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
    CHECK_INT(world_login(w, 0, guest, "kim", id[3]), RC_OK);
    for (unsigned n = 0; n < 4; n++)
        alive += world_look(w, 1, id[n], NULL) == RC_OK;
    CHECK_INT(alive, 2);
    CHECK_INT(world_look(w, 1, id[3], NULL), RC_OK);
}

static void p30_an_outage_ends_nothing(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE], other[ID_SIZE], made_up[ID_SIZE] = {7};
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "kept"), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    weather_down(w);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, NULL), RC_UNAVAILABLE);
        CHECK_INT(world_look(w, i, made_up, NULL), RC_UNAVAILABLE);
    }
    CHECK_INT(world_create(w, 0, other), RC_UNAVAILABLE);
    visit_set(&v, "k", "lost");
    CHECK_INT(visit_commit(&v, w), RC_UNAVAILABLE);
    visit_end(&v);

    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id, "k", "kept"));
        CHECK_INT(world_look(w, i, made_up, NULL), RC_ABSENT);
    }
    CHECK_INT(world_put(w, 1, id, "k", "again"), RC_OK);
    CU_ASSERT(world_holds(w, 2, id, "k", "again"));
}

static void p30_a_long_outage_ends_nothing_early(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    weather_down(w);
    for (int s = 0; s < 90; s++) {
        world_pass(w, 1000);
        world_tick(w);
    }
    CHECK_INT(world_look(w, 0, id, NULL), RC_UNAVAILABLE);
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
}

/* A request that has to ask for another id in the middle of its commit. */
static void p30_an_outage_in_a_commit_sends_nobody_away(struct world *w)
{
    struct visit late;
    uint8_t old[ID_SIZE], id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    CHECK_INT_FATAL(visit_find(&late, w, 1, old), RC_OK);
    CHECK_INT_FATAL(world_login(w, 0, old, "kim", id), RC_OK);
    CHECK_INT(visit_set(&late, "k", "v"), RC_OK);
    atomic_store(&w->faults.fail_gets, 1);
    CHECK_INT(visit_commit(&late, w), RC_UNAVAILABLE);
    CHECK_INT(atomic_load(&w->faults.fail_gets), 0);
    visit_end(&late);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT(world_holds(w, i, id, "k", ""));
}

static void p31_unavailable_did_nothing(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    weather_fail_next_put(w, FAILING_UNAVAILABLE);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_UNAVAILABLE);
    weather_fail_next_put(w, FAILING_UNAVAILABLE);
    CHECK_INT(world_put(w, 1, id, "k", "v"), RC_UNAVAILABLE);
    weather_fail_next_put(w, FAILING_UNAVAILABLE);
    CHECK_INT(world_end(w, 2, id, REASON_LOGOUT), RC_UNAVAILABLE);
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_count(w, i, id, "hits"), 1);
        CU_ASSERT(world_holds(w, i, id, "k", ""));
    }
    CHECK_INT(world_end(w, 2, id, REASON_LOGOUT), RC_OK);
}

/* One put that is done or not, and of which nobody is told: once it is retried
 * in time, once not. */
static void p32_uncertain_counts_once(struct world *w)
{
    for (int how = FAILING_APPLIED; how <= FAILING_LOST; how++) {
        uint8_t id[ID_SIZE];
        int64_t least = 0, most = 0;
        unsigned uncertain = 0;
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        for (int n = 0; n < 10; n++) {
            atomic_store(&w->faults.how, (unsigned)how);
            atomic_store(&w->faults.fail_puts, n % 2 ? 1 : 1000);
            enum rc rc = world_hit(w, 0, id, "hits");
            atomic_store(&w->faults.fail_puts, 0);
            CU_ASSERT(rc == RC_OK || rc == RC_UNCERTAIN);
            uncertain += rc == RC_UNCERTAIN;
            least += rc == RC_OK || how == FAILING_APPLIED;
            CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
            least++;
            most += 2;
        }
        CU_ASSERT(uncertain > 0);
        CU_ASSERT_FATAL(weather_clear(w));
        int64_t hits = world_count(w, 1, id, "hits");
        CU_ASSERT(hits >= least && hits <= most);
        CHECK_INT(world_count(w, 0, id, "hits"), hits);
        CHECK_INT(world_count(w, 2, id, "hits"), hits);
    }
}

/* What was UNCERTAIN is there, or is not: on every server the same. */
static void p32_all_agree_afterwards(struct world *w)
{
    for (int how = FAILING_APPLIED; how <= FAILING_LOST; how++)
        for (int what = 0; what < 3; what++) {
            uint8_t id[ID_SIZE];
            enum rc rc;
            CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
            for (unsigned i = 0; i < WORLD_MANAGERS; i++)
                CHECK_INT(world_hit(w, i, id, "hits"), RC_OK);
            atomic_store(&w->faults.how, (unsigned)how);
            atomic_store(&w->faults.fail_puts, 1000);
            rc = what == 0   ? world_hit(w, 0, id, "hits")
                 : what == 1 ? world_put(w, 0, id, "k", "v")
                             : world_end(w, 0, id, REASON_LOGOUT);
            /* The retry finds that its own end is stored: it is done. */
            bool found = what == 2 && how == FAILING_APPLIED;
            CU_ASSERT(rc == (found ? RC_OK : RC_UNCERTAIN));
            CU_ASSERT_FATAL(weather_clear(w));
            int64_t hits = world_count(w, 0, id, "hits");
            bool holds = world_holds(w, 0, id, "k", "v");
            CU_ASSERT(what == 2 || hits >= 3);
            for (unsigned i = 1; i < WORLD_MANAGERS; i++) {
                CHECK_INT(world_count(w, i, id, "hits"), hits);
                CHECK_INT(world_holds(w, i, id, "k", "v"), holds);
            }
        }
}

static void hit_in_bad_weather(struct worker *worker)
{
    for (unsigned n = 0; n < 100; n++)
        worker->answers[world_hit(worker->w, worker->number + n, worker->with,
                                  "hits")]++;
}

static void p33_nothing_acknowledged_is_lost(struct world *w)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        uint8_t id[ID_SIZE];
        struct worker sum;
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        atomic_store(&w->faults.seed, seed);
        atomic_store(&w->faults.percent, 20 * seed);
        world_parallel(w, 6, hit_in_bad_weather, id, &sum);
        CU_ASSERT(atomic_load(&w->faults.injected) > 0);
        CU_ASSERT_FATAL(weather_clear(w));
        CHECK_INT(sum.answers[RC_OK] + sum.answers[RC_UNAVAILABLE] +
                      sum.answers[RC_UNCERTAIN],
                  600);
        int64_t hits = world_count(w, 0, id, "hits");
        CU_ASSERT(hits >= sum.answers[RC_OK]);
        CU_ASSERT(hits <= sum.answers[RC_OK] + sum.answers[RC_UNCERTAIN]);
        CHECK_INT(world_count(w, 1, id, "hits"), hits);
        CHECK_INT(world_count(w, 2, id, "hits"), hits);
    }
}

struct moving {
    pthread_mutex_t lock;
    uint8_t id[ID_SIZE];
    atomic_bool torn; /* a new id was UNCERTAIN: none may be known */
};

static void moving_get(struct moving *moving, uint8_t id[ID_SIZE])
{
    pthread_mutex_lock(&moving->lock);
    memcpy(id, moving->id, ID_SIZE);
    pthread_mutex_unlock(&moving->lock);
}

static void moving_on(struct worker *worker, struct moving *moving)
{
    uint8_t old[ID_SIZE], id[ID_SIZE];
    moving_get(moving, old);
    enum rc rc = world_login(worker->w, worker->number, old, "kim", id);
    if (rc == RC_OK) {
        pthread_mutex_lock(&moving->lock);
        memcpy(moving->id, id, ID_SIZE);
        pthread_mutex_unlock(&moving->lock);
    } else if (rc != RC_UNAVAILABLE) {
        atomic_store(&moving->torn, true);
    }
}

/* Worker 0 gives the session new ids; the others hit it under whatever id it
 * has, and follow it. */
static void hit_what_moves(struct worker *worker)
{
    struct moving *moving = (struct moving *)worker->with;
    for (unsigned n = 0; n < 40 && !atomic_load(&moving->torn); n++) {
        uint8_t id[ID_SIZE];
        if (worker->number == 0 && n % 8 == 0)
            moving_on(worker, moving);
        moving_get(moving, id);
        worker->answers[world_hit(worker->w, worker->number + n, id, "hits")]++;
    }
}

static void p33_nothing_is_lost_over_new_ids(struct world *w)
{
    unsigned whole = 0;
    const char *given = getenv("MARGAY_ROUNDS");
    unsigned rounds = given ? (unsigned)strtoul(given, NULL, 10) : 20;
    for (unsigned seed = 1; seed <= rounds; seed++) {
        struct moving moving = {.lock = PTHREAD_MUTEX_INITIALIZER};
        struct worker sum;
        CHECK_INT_FATAL(world_create(w, 0, moving.id), RC_OK);
        atomic_store(&w->faults.seed, seed);
        atomic_store(&w->faults.percent, 5 + seed % 4 * 5);
        world_parallel(w, 4, hit_what_moves, &moving, &sum);
        CU_ASSERT_FATAL(weather_clear(w));
        CHECK_INT(sum.answers[RC_ENDED], 0);
        if (atomic_load(&moving.torn))
            continue;
        whole++;
        int64_t hits = world_count(w, 0, moving.id, "hits");
        CU_ASSERT(hits >= sum.answers[RC_OK]);
        CU_ASSERT(hits <= sum.answers[RC_OK] + sum.answers[RC_UNCERTAIN]);
        CHECK_INT(world_count(w, 1, moving.id, "hits"), hits);
        CHECK_INT(world_count(w, 2, moving.id, "hits"), hits);
    }
    CU_ASSERT(whole > 0);
}

static void put_in_bad_weather(struct worker *worker)
{
    for (unsigned n = 0; n < 16; n++) {
        char name[32];
        snprintf(name, sizeof name, "k%u", n);
        if (world_put(worker->w, n, worker->with, name, name) == RC_OK)
            worker->answers[n]++;
    }
}

static void p33_no_acknowledged_attribute_is_lost(struct world *w)
{
    uint8_t id[ID_SIZE];
    struct worker sum;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    atomic_store(&w->faults.seed, 42);
    atomic_store(&w->faults.percent, 40);
    world_parallel(w, 2, put_in_bad_weather, id, &sum);
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned n = 0; n < 16; n++) {
        char name[32];
        snprintf(name, sizeof name, "k%u", n);
        if (sum.answers[n] > 0)
            for (unsigned i = 0; i < WORLD_MANAGERS; i++)
                CU_ASSERT(world_holds(w, i, id, name, name));
    }
}

static void p34_a_failed_login_leaves_an_id_that_lives(struct world *w)
{
    unsigned failed = 0;
    for (unsigned round = 0; round < 60; round++) {
        uint8_t old[ID_SIZE], id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        atomic_store(&w->faults.seed, round);
        atomic_store(&w->faults.percent, 40);
        enum rc rc = world_login(w, round, old, "kim", id);
        atomic_store(&w->faults.percent, 0);
        failed += rc != RC_OK;
        CU_ASSERT_FATAL(weather_clear(w));
        if (rc == RC_OK)
            CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
        else if (rc == RC_UNAVAILABLE)
            CHECK_INT(world_look(w, 1, old, NULL), RC_OK);
        else
            CHECK_INT(rc, RC_UNCERTAIN);
    }
    CU_ASSERT(failed > 0);
}

static void flush_put(struct visit *v, struct world *w, const char *name)
{
    visit_set(v, name, name);
    manager_flush(v->manager, &v->s, w->now);
}

static void p35_a_commit_answers_for_what_was_flushed(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE], created[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    weather_fail_next_put(w, FAILING_UNAVAILABLE);
    flush_put(&v, w, "a");
    CHECK_INT(visit_commit(&v, w), RC_UNAVAILABLE);
    visit_end(&v);
    CU_ASSERT(world_holds(w, 1, id, "a", ""));

    /* What came before it is done, what comes after it not even tried. */
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    flush_put(&v, w, "b");
    CU_ASSERT(world_settle(w));
    weather_fail_next_put(w, FAILING_UNAVAILABLE);
    flush_put(&v, w, "c");
    CU_ASSERT(world_settle(w));
    visit_set(&v, "d", "d");
    CHECK_INT(visit_commit(&v, w), RC_UNCERTAIN);
    visit_end(&v);
    CU_ASSERT(world_holds(w, 1, id, "b", "b"));
    CU_ASSERT(world_holds(w, 1, id, "c", ""));
    CU_ASSERT(world_holds(w, 1, id, "d", ""));

    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    weather_fail_next_put(w, FAILING_UNAVAILABLE);
    flush_put(&v, w, "a");
    CHECK_INT(visit_commit(&v, w), RC_UNAVAILABLE);
    memcpy(created, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    CHECK_INT(world_look(w, 0, created, NULL), RC_ABSENT);
}

static void p35_a_commit_waits_for_what_was_flushed(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    atomic_store(&w->faults.delay_ms, 20);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    flush_put(&v, w, "a");
    flush_put(&v, w, "b");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CU_ASSERT(world_holds(w, 1, id, "a", "a"));
    CU_ASSERT(world_holds(w, 1, id, "b", "b"));

    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    flush_put(&v, w, "c");
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_INT(world_look(w, 1, id, NULL), RC_ABSENT);

    /* A request that ends without a commit leaves its flush behind. */
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    flush_put(&v, w, "a");
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    CU_ASSERT(world_settle(w));
    CU_ASSERT(world_holds(w, 1, id, "a", "a"));
}

static const struct setting one_settings[] = {{"maxSessionsPerUser", "1"},
                                              {NULL, NULL}};

/* A server that started while the store was away does not know yet under
 * which key the others list the sessions of a user. */
static void p36_a_late_start_keeps_the_limit(struct world *w)
{
    uint8_t guest[ID_SIZE], first[ID_SIZE], second[ID_SIZE];
    struct err err;
    CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
    CHECK_INT_FATAL(world_login(w, 0, guest, "kim", first), RC_OK);
    struct manager_env env = w->m[1]->env;
    world_stop(w, 1);
    weather_down(w);
    CHECK_INT_FATAL(manager_new(w->ops, &w->common, w->options,
                                w->fixture->store, w->store_options, &env,
                                &w->m[1], &err),
                    RC_OK);
    CHECK_INT_FATAL(manager_start(w->m[1], w->now, &err), RC_OK);
    CU_ASSERT_FATAL(weather_clear(w));
    CHECK_INT_FATAL(world_create(w, 1, guest), RC_OK);
    CHECK_INT(world_login(w, 1, guest, "kim", second), RC_UNAVAILABLE);
    CHECK_INT(world_look(w, 1, guest, NULL), RC_OK);
    while (!atomic_load(&w->m[1]->secret_known)) {
        world_tick(w);
        sched_yield();
    }
    CHECK_INT(world_login(w, 1, guest, "kim", second), RC_OK);
    CHECK_INT(world_look(w, 1, first, NULL), RC_ABSENT);
    CHECK_INT(world_look(w, 0, second, NULL), RC_OK);
}

/* ---- onStoreOutage="local" ---- */

static const struct setting local[] = {{"onStoreOutage", "local"},
                                       {NULL, NULL}};

static void p40_a_local_copy_serves_on(struct world *w)
{
    uint8_t id[ID_SIZE], made_up[ID_SIZE] = {7};
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "before"), RC_OK);
    weather_down(w);
    CU_ASSERT(world_holds(w, 0, id, "k", "before"));
    CHECK_INT(world_put(w, 0, id, "k", "meanwhile"), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    CU_ASSERT(world_holds(w, 0, id, "k", "meanwhile"));
    CU_ASSERT(world_stats(w, 0).unsaved > 0);

    /* No copy: neither there nor not there. */
    CHECK_INT(world_look(w, 1, id, NULL), RC_UNAVAILABLE);
    CHECK_INT(world_look(w, 0, made_up, NULL), RC_UNAVAILABLE);

    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id, "k", "meanwhile"));
        CHECK_INT(world_count(w, i, id, "hits"), 1);
    }
}

static void p41_changes_merge_when_the_store_returns(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(world_hit(w, i, id, "hits"), RC_OK);
    weather_down(w);
    static const char *const names[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(world_put(w, i, id, names[i], "there"), RC_OK);
        for (unsigned n = 0; n <= i; n++)
            CHECK_INT(world_hit(w, i, id, "hits"), RC_OK);
    }
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < 3; n++)
            CU_ASSERT(world_holds(w, i, id, names[n], "there"));
        CHECK_INT(world_count(w, i, id, "hits"), 3 + 6);
    }
}

static void p42_a_logout_meanwhile_is_final(struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
    weather_down(w);
    CHECK_INT(world_put(w, 1, id, "k", "before"), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    CHECK_INT(world_look(w, 0, id, &reason), RC_ABSENT);
    CHECK_INT(reason, REASON_LOGOUT);
    world_pass(w, 1000);
    CHECK_INT(world_put(w, 2, id, "k", "after"), RC_OK);
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LOGOUT);
    }
}

/* Whichever of them comes to the store first, and though the put was later. */
static void p42_a_logout_that_arrives_last_is_final(struct world *w)
{
    for (unsigned first = 0; first < 2; first++) {
        uint8_t id[ID_SIZE];
        enum reason reason;
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            CHECK_INT(world_look(w, i, id, NULL), RC_OK);
        weather_down(w);
        CHECK_INT(world_end(w, first ? 0 : 1, id, REASON_LOGOUT), RC_OK);
        w->now.mono += 1000;
        w->now.wall += 1000;
        CHECK_INT(world_put(w, first ? 1 : 0, id, "k", "after"), RC_OK);
        CU_ASSERT_FATAL(weather_clear(w));
        for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
            CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
            CHECK_INT(reason, REASON_LOGOUT);
        }
    }
}

static void p43_what_is_made_meanwhile_is_known_afterwards(struct world *w)
{
    uint8_t guest[ID_SIZE], id[ID_SIZE];
    weather_down(w);
    CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
    CHECK_INT(world_put(w, 0, guest, "cart", "full"), RC_OK);
    CHECK_INT(world_look(w, 1, guest, NULL), RC_UNAVAILABLE);
    memcpy(id, guest, ID_SIZE);
    enum rc rc = world_login(w, 0, guest, "kim", id);
    CU_ASSERT(rc == RC_OK || rc == RC_UNAVAILABLE);
    CU_ASSERT(world_holds(w, 0, id, "cart", "full"));
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id, "cart", "full"));
        if (rc == RC_OK)
            CHECK_INT(world_look(w, i, guest, NULL), RC_ABSENT);
    }
}

/* Reads go through, writes do not. */
static void weather_read_only(struct world *w)
{
    atomic_store(&w->faults.how, FAILING_UNAVAILABLE);
    atomic_store(&w->faults.fail_puts, UINT32_MAX);
}

/* The store answers that it has no such session: it has not yet. */
static void p43_what_is_not_stored_yet_is_there(struct world *w)
{
    uint8_t id[ID_SIZE];
    weather_read_only(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "cart", "full"), RC_OK);
    CU_ASSERT(world_holds(w, 0, id, "cart", "full"));
    CHECK_INT(world_look(w, 1, id, NULL), RC_ABSENT);
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT(world_holds(w, i, id, "cart", "full"));
}

static const struct setting local_idle[] = {
    {"onStoreOutage", "local"}, {"maxInactive", "100"}, {NULL, NULL}};

/* Only its server hears of the uses, so the row is removed as any other. */
static void p41_what_lapsed_meanwhile_is_let_go(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    weather_read_only(w);
    int64_t end = instant_read().mono + 20000;
    for (int s = 0; s < 200 || world_look(w, 1, id, NULL) == RC_OK; s++) {
        w->now.mono += 1000;
        w->now.wall += 1000;
        if (s % 20 == 0 && s < 100)
            CHECK_INT(world_put(w, 0, id, "k", "meanwhile"), RC_OK);
        world_tick(w);
        CU_ASSERT_FATAL(instant_read().mono < end);
    }
    world_look(w, 0, id, NULL);
    CU_ASSERT_FATAL(weather_clear(w)); /* nothing is unsaved for ever */
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

static void p41_a_stop_saves_what_only_it_has(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    weather_down(w);
    CHECK_INT(world_put(w, 0, id, "k", "meanwhile"), RC_OK);
    CHECK_INT(world_stats(w, 0).unsaved, 1);
    atomic_store(&w->faults.down, false);
    int64_t end = instant_read().mono + 20000;
    while (!world_stats(w, 0).store_available && instant_read().mono < end)
        sched_yield();
    world_stop(w, 0);
    while (!world_stats(w, 1).store_available && instant_read().mono < end)
        sched_yield();
    CU_ASSERT(world_holds(w, 1, id, "k", "meanwhile"));
    CU_ASSERT(!world_logged(w, "are lost with this instance"));
}

/* Reads go through, writes do not (a full disk): what is unsaved is tried once
 * a second, not at each request. */
static void p44_requests_do_not_hammer_a_store_that_only_reads(struct world *w)
{
    uint8_t id[20][ID_SIZE];
    for (unsigned n = 0; n < 20; n++)
        CHECK_INT_FATAL(world_create(w, 0, id[n]), RC_OK);
    weather_read_only(w);
    for (unsigned n = 0; n < 20; n++)
        CHECK_INT(world_put(w, 0, id[n], "k", "meanwhile"), RC_OK);
    uint64_t puts = world_puts(w, 0);
    for (unsigned n = 0; n < 200; n++)
        CU_ASSERT(world_holds(w, 0, id[n % 20], "k", "meanwhile"));
    CHECK_INT(world_puts(w, 0), puts);
    CU_ASSERT_FATAL(weather_clear(w));
    for (unsigned n = 0; n < 20; n++)
        CU_ASSERT(world_holds(w, 1, id[n], "k", "meanwhile"));
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p15_who_cannot_be_asked_still_counts, two_per_user)                      \
    S(p30_an_outage_ends_nothing, NULL)                                        \
    S(p30_a_long_outage_ends_nothing_early, NULL)                              \
    S(p30_an_outage_in_a_commit_sends_nobody_away, NULL)                       \
    S(p31_unavailable_did_nothing, NULL)                                       \
    S(p32_uncertain_counts_once, NULL)                                         \
    S(p32_all_agree_afterwards, NULL)                                          \
    S(p33_nothing_acknowledged_is_lost, NULL)                                  \
    S(p33_nothing_is_lost_over_new_ids, NULL)                                  \
    S(p33_no_acknowledged_attribute_is_lost, NULL)                             \
    S(p34_a_failed_login_leaves_an_id_that_lives, NULL)                        \
    S(p35_a_commit_answers_for_what_was_flushed, NULL)                         \
    S(p35_a_commit_waits_for_what_was_flushed, NULL)                           \
    S(p36_a_late_start_keeps_the_limit, one_settings)                          \
    S(p40_a_local_copy_serves_on, local)                                       \
    S(p41_changes_merge_when_the_store_returns, local)                         \
    S(p41_what_lapsed_meanwhile_is_let_go, local_idle)                         \
    S(p41_a_stop_saves_what_only_it_has, local)                                \
    S(p42_a_logout_meanwhile_is_final, local)                                  \
    S(p42_a_logout_that_arrives_last_is_final, local)                          \
    S(p43_what_is_made_meanwhile_is_known_afterwards, local)                   \
    S(p43_what_is_not_stored_yet_is_there, local)                              \
    S(p44_requests_do_not_hammer_a_store_that_only_reads, local)
/* clang-format on */

#define ON_BOTH(name, settings)                                                \
    STATEMENT_ON(name, settings, failing)                                      \
    STATEMENT_ON(name, settings, failing_queued)                               \
    STATEMENT_ON(name, settings, failing_file)                                 \
    STATEMENT_ON(name, settings, failing_redis)                                \
    STATEMENT_ON(name, settings, failing_memcached)
#define CASES(name, settings)                                                  \
    CASE(name##_on_failing), CASE(name##_on_failing_queued),                   \
        CASE(name##_on_failing_file), CASE(name##_on_failing_redis),           \
        CASE(name##_on_failing_memcached),

STATEMENTS(ON_BOTH)
UNIT_MAIN("outage", STATEMENTS(CASES))
