/* SPDX-License-Identifier: Apache-2.0
 *
 * Tomcat's idle modes of PersistentManager, on every store: what is stored
 * when, what leaves memory, and what is lost when a process is killed. */
#include "config.h"

#include "tests/world.h"

#include "managers/managers.h"
#include "session/manager_impl.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Time passes though not everything is stored. */
static void pass(struct world *w, int64_t seconds)
{
    w->now.mono += seconds * 1000;
    w->now.wall += seconds * 1000;
}

static uint64_t in_memory(struct world *w)
{
    return world_stats(w, 0).active;
}

/* Looks for what is idle until `want` sessions are in memory, and `unsaved` of
 * them not stored; false after 20 s. */
static bool comes_to(struct world *w, uint64_t want, uint64_t unsaved)
{
    int64_t end = instant_read().mono + 20000;

    manager_tick(w->m[0], w->now);
    while (in_memory(w) != want || world_stats(w, 0).unsaved != unsaved) {
        if (instant_read().mono > end)
            return false;
        sched_yield();
    }
    return true;
}

/* The process ends without a stop. */
static void kill_it(struct world *w)
{
    manager_free(&w->m[0]);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
}

static void restart(struct world *w)
{
    world_stop(w, 0);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
}

static const struct setting backup[] = {{"maxIdleBackup", "10"}, {0}};
static const struct setting swap[] = {{"maxIdleSwap", "10"}, {0}};
static const struct setting later[] = {
    {"maxIdleSwap", "10"}, {"minIdleSwap", "30"}, {0}};
static const struct setting few[] = {
    {"minIdleSwap", "5"}, {"maxActiveSessions", "10"}, {0}};
static const struct setting at_stop[] = {{"writeThrough", "false"}, {0}};
static const struct setting none_kept[] = {
    {"maxIdleSwap", "10"}, {"saveOnRestart", "false"}, {0}};

static void a_copy_is_stored_once_per_use(struct world *w)
{
    uint8_t id[ID_SIZE];
    uint64_t before = world_puts(w, 0);

    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "v"), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    pass(w, 9);
    CU_ASSERT(comes_to(w, 1, 1));
    CHECK_INT(world_puts(w, 0), before);
    pass(w, 2);
    CU_ASSERT(comes_to(w, 1, 0));
    CHECK_INT(world_puts(w, 0), before + 1);
    for (int i = 0; i < 5; i++) {
        pass(w, 11);
        CU_ASSERT(comes_to(w, 1, 0));
    }
    CHECK_INT(world_puts(w, 0), before + 1);
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    pass(w, 11);
    CU_ASSERT(comes_to(w, 1, 0));
    CHECK_INT(world_puts(w, 0), before + 2);
    CHECK_INT(world_count(w, 0, id, "n"), 2);
}

/* One that is stored; COPIES in memory after that (comes_to). */
static void one_is_stored(struct world *w, unsigned copies, uint8_t id[ID_SIZE])
{
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    pass(w, 11);
    CU_ASSERT(comes_to(w, copies, 0));
}

static void a_kill_loses_what_was_not_stored(struct world *w)
{
    uint8_t old[ID_SIZE], fresh[ID_SIZE];

    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    CHECK_INT(world_put(w, 0, old, "k", "stored"), RC_OK);
    pass(w, 11);
    CU_ASSERT(comes_to(w, 1, 0));
    CHECK_INT(world_put(w, 0, old, "k", "not stored"), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, fresh), RC_OK);
    CHECK_INT(world_stats(w, 0).unsaved, 2);
    kill_it(w);
    CU_ASSERT(world_holds(w, 0, old, "k", "stored"));
    CHECK_INT(world_look(w, 0, fresh, NULL), RC_ABSENT);
}

static void what_was_logged_out_stays_out(struct world *w)
{
    uint8_t id[ID_SIZE];

    one_is_stored(w, 1, id);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    kill_it(w);
    CHECK_INT(world_reason(w, 0, id), REASON_LOGOUT);
}

static void it_leaves_memory_and_comes_back(struct world *w)
{
    uint8_t id[ID_SIZE];

    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "v"), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    pass(w, 9);
    CU_ASSERT(comes_to(w, 1, 1));
    pass(w, 2);
    CU_ASSERT(comes_to(w, 0, 0));
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    CHECK_INT(in_memory(w), 1);
    CHECK_INT(world_stats(w, 0).unsaved, 1);
    CU_ASSERT(world_holds(w, 0, id, "k", "v"));
    CHECK_INT(world_count(w, 0, id, "n"), 2);
    pass(w, 11);
    CU_ASSERT(comes_to(w, 0, 0));
    CHECK_INT(world_count(w, 0, id, "n"), 2);
}

static void not_before_it_may(struct world *w)
{
    uint8_t id[ID_SIZE];

    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    pass(w, 29);
    CU_ASSERT(comes_to(w, 1, 1));
    pass(w, 10);
    CU_ASSERT(comes_to(w, 0, 0));
}

static void the_least_used_make_room(struct world *w)
{
    uint8_t ids[11][ID_SIZE];

    for (int i = 0; i < 10; i++) {
        CHECK_INT_FATAL(world_create(w, 0, ids[i]), RC_OK);
        pass(w, 1);
    }
    CHECK_INT(world_create(w, 0, ids[10]), RC_TOOBIG);
    pass(w, 6);
    CHECK_INT(world_hit(w, 0, ids[0], "n"), RC_OK);
    CU_ASSERT(comes_to(w, 9, 9));
    uint64_t gets = world_stats(w, 0).store_ops[0];
    for (int i = 0; i < 10; i++)
        if (i != 1)
            CHECK_INT(world_look(w, 0, ids[i], NULL), RC_OK);
    CHECK_INT(world_stats(w, 0).store_ops[0], gets);
    CHECK_INT_FATAL(world_create(w, 0, ids[10]), RC_OK);
    CHECK_INT(world_look(w, 0, ids[1], NULL), RC_OK);
    CHECK_INT(world_stats(w, 0).store_ops[0], gets + 1);
}

static void a_stop_stores_all(struct world *w)
{
    uint8_t id[ID_SIZE];
    uint64_t before = world_puts(w, 0);

    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "v"), RC_OK);
    for (int i = 0; i < 20; i++) {
        pass(w, 60);
        CU_ASSERT(comes_to(w, 1, 1));
    }
    CHECK_INT(world_puts(w, 0), before);
    CU_ASSERT(world_holds(w, 0, id, "k", "v"));
    restart(w);
    CHECK_INT(in_memory(w), 0);
    CU_ASSERT(world_holds(w, 0, id, "k", "v"));
}

static void a_stop_ends_what_is_in_memory(struct world *w)
{
    uint8_t away[ID_SIZE], here[ID_SIZE], back[ID_SIZE], user[ID_SIZE];

    CHECK_INT_FATAL(world_create(w, 0, away), RC_OK);
    one_is_stored(w, 0, back);
    CHECK_INT_FATAL(world_create(w, 0, here), RC_OK);
    CHECK_INT(world_look(w, 0, back, NULL), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, user), RC_OK);
    CHECK_INT(world_login(w, 0, user, "kim", user), RC_OK);
    restart(w);
    CHECK_INT(world_look(w, 0, away, NULL), RC_OK);
    CHECK_INT(world_reason(w, 0, here), REASON_LOST);
    CHECK_INT(world_reason(w, 0, back), REASON_LOST);
    CHECK_INT(world_reason(w, 0, user), REASON_LOST);
    CU_ASSERT(!world_logged(w, "did not come back"));
}

/* The store is away for as long as the stop takes. */
static void a_stop_that_cannot_end_what_is_stored_says_so(struct world *w)
{
    uint8_t back[ID_SIZE], here[ID_SIZE];

    one_is_stored(w, 0, back);
    CHECK_INT(world_look(w, 0, back, NULL), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, here), RC_OK);
    atomic_store(&w->faults.fail_puts, UINT32_MAX);
    world_events_clear(w);
    manager_stop(w->m[0], w->now, 300);
    manager_free(&w->m[0]);
    atomic_store(&w->faults.fail_puts, 0);
    CU_ASSERT(world_logged(w, "1 sessions of /test were not ended"));
    CHECK_STR(w->events, "destroyed:lost");
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    CHECK_INT(world_look(w, 0, back, NULL), RC_OK);
    CHECK_INT(world_look(w, 0, here, NULL), RC_ABSENT);
}

/* It stands still, and then fails: what was under way counts, too. */
static void a_stop_whose_store_hangs_says_so(struct world *w)
{
    uint8_t id[ID_SIZE];

    one_is_stored(w, 0, id);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    atomic_store(&w->faults.delay_ms, 500);
    atomic_store(&w->faults.fail_puts, UINT32_MAX);
    manager_stop(w->m[0], w->now, 100);
    manager_free(&w->m[0]);
    atomic_store(&w->faults.delay_ms, 0);
    atomic_store(&w->faults.fail_puts, 0);
    CU_ASSERT(world_logged(w, "1 sessions of /test were not ended"));
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
}

/* In use for longer than its row is kept. */
static void a_row_that_lapsed_is_made_anew(struct world *w)
{
    uint8_t id[ID_SIZE];

    one_is_stored(w, 1, id);
    for (int i = 0; i < 60; i++) {
        CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
        pass(w, 60);
        if (i < 59)
            CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    }
    CU_ASSERT(comes_to(w, 1, 0));
    kill_it(w);
    CHECK_INT(world_count(w, 0, id, "n"), 60);
}

static void an_idle_session_ends_though_it_changed(struct world *w)
{
    uint8_t id[ID_SIZE];

    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    pass(w, 2000);
    CHECK_INT(world_reason(w, 0, id), REASON_IDLE);
    manager_tick(w->m[0], w->now);
    CU_ASSERT(comes_to(w, 0, 0));
    CHECK_INT(world_stats(w, 0).ended[REASON_IDLE], 1);
}

/* Looks for what is idle until no more than so many puts are left to fail: what
 * failed before may still be on its way back. */
static bool fails_again(struct world *w, unsigned left)
{
    for (int i = 0; i < 40 && atomic_load(&w->faults.fail_puts) > left; i++) {
        pass(w, 11);
        manager_tick(w->m[0], w->now);
        poll(NULL, 0, 10);
    }
    return atomic_load(&w->faults.fail_puts) <= left;
}

static void an_outage_is_not_noticed_in_memory(struct world *w)
{
    uint8_t id[ID_SIZE];

    one_is_stored(w, 1, id);
    atomic_store(&w->faults.fail_puts, 3);
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    for (unsigned left = 3; left--;)
        CU_ASSERT_FATAL(fails_again(w, left));
    pass(w, 11);
    CU_ASSERT(comes_to(w, 1, 0));
    CHECK_INT(world_count(w, 0, id, "n"), 1);
    /* An end must be stored; where it cannot, it did not happen. */
    atomic_store(&w->faults.fail_puts, 1);
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_UNAVAILABLE);
    CHECK_INT(world_count(w, 0, id, "n"), 2);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    CHECK_INT(world_reason(w, 0, id), REASON_LOGOUT);
}

static bool comes_to_puts(struct world *w, uint64_t puts)
{
    int64_t end = instant_read().mono + 20000;

    while (world_puts(w, 0) < puts && instant_read().mono < end)
        sched_yield();
    return world_puts(w, 0) == puts;
}

static bool comes_to_injected(struct world *w, unsigned count)
{
    int64_t end = instant_read().mono + 20000;

    while (atomic_load(&w->faults.injected) < count &&
           instant_read().mono < end)
        sched_yield();
    return atomic_load(&w->faults.injected) == count;
}

/* Its first put is done and nobody says so: neither that one, nor the two by
 * which it is tried again. So it may be there when the session ends. */
static void what_may_be_stored_stays_out_as_well(struct world *w)
{
    uint8_t id[ID_SIZE];
    uint64_t puts = world_puts(w, 0);

    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    pass(w, 11);
    atomic_store(&w->faults.delay_ms, 300); /* time to change the weather */
    atomic_store(&w->faults.how, FAILING_APPLIED);
    atomic_store(&w->faults.fail_puts, 3);
    manager_tick(w->m[0], w->now);
    CU_ASSERT_FATAL(comes_to_injected(w, 1));
    atomic_store(&w->faults.how, FAILING_LOST);
    CU_ASSERT_FATAL(comes_to_injected(w, 3));
    CU_ASSERT_FATAL(comes_to_puts(w, puts + 3));
    atomic_store(&w->faults.delay_ms, 0);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    kill_it(w);
    CHECK_INT(world_reason(w, 0, id), REASON_LOGOUT);
}

static void check_says_what_it_costs(void)
{
    static const struct {
        const struct setting *settings;
        const char *text;
    } cases[] = {{backup, "after 10 idle seconds"},
                 {few, "too many"},
                 {at_stop, "at an orderly stop only"},
                 {none_kept, "a stop ends the sessions in memory"}};
    char text[256];

    for (int i = 0; i < 4; i++) {
        struct world *w = world_new(&fixture_memory);
        CHECK_STR(managers_cost(w->ops, w->options, text, sizeof text), "");
        for (const struct setting *s = cases[i].settings; s->name; s++)
            CU_ASSERT(world_set(w, s->name, s->value));
        managers_cost(w->ops, w->options, text, sizeof text);
        CU_ASSERT(strstr(text, cases[i].text) != NULL);
        CU_ASSERT(strstr(text, "kill -9 loses") != NULL);
        world_free(&w);
    }
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(a_copy_is_stored_once_per_use, backup)                                   \
    S(a_kill_loses_what_was_not_stored, backup)                                \
    S(what_was_logged_out_stays_out, backup)                                   \
    S(it_leaves_memory_and_comes_back, swap)                                   \
    S(not_before_it_may, later)                                                \
    S(the_least_used_make_room, few)                                           \
    S(a_stop_stores_all, at_stop)                                              \
    S(a_stop_ends_what_is_in_memory, none_kept)                                \
    S(a_row_that_lapsed_is_made_anew, backup)                                  \
    S(an_idle_session_ends_though_it_changed, at_stop)
/* clang-format on */

#define ON_EACH(name, settings)                                                \
    STATEMENT_ON(name, settings, memory)                                       \
    STATEMENT_ON(name, settings, queued)                                       \
    STATEMENT_ON(name, settings, sqlite)                                       \
    STATEMENT_ON(name, settings, file)
#define CASES(name, settings)                                                  \
    CASE(name##_on_memory), CASE(name##_on_queued), CASE(name##_on_sqlite),    \
        CASE(name##_on_file),

STATEMENTS(ON_EACH)
STATEMENT_ON(an_outage_is_not_noticed_in_memory, backup, failing)
STATEMENT_ON(what_may_be_stored_stays_out_as_well, backup, failing)
STATEMENT_ON(a_stop_that_cannot_end_what_is_stored_says_so, none_kept, failing)
STATEMENT_ON(a_stop_whose_store_hangs_says_so, none_kept, failing)
UNIT_MAIN("idle", CASE(check_says_what_it_costs),
          STATEMENTS(CASES) CASE(an_outage_is_not_noticed_in_memory_on_failing),
          CASE(what_may_be_stored_stays_out_as_well_on_failing),
          CASE(a_stop_that_cannot_end_what_is_stored_says_so_on_failing),
          CASE(a_stop_whose_store_hangs_says_so_on_failing))
