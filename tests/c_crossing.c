/* SPDX-License-Identifier: Apache-2.0
 *
 * c_crossing.c: docs/promises.md, requests that cross one another, on every
 * manager with every store: what comes between two steps of one comes there
 * because the case says so, never by chance. The number in a name is the
 * statement's. */
#include "config.h"

#include "tests/world.h"

#include "session/manager_impl.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

static const struct setting idle[] = {{"maxInactive", "100"}, {NULL, NULL}};

static void tick_one(struct world *w, unsigned i)
{
    manager_tick(w->m[i % w->count], w->now);
}

/* ---- what is over ---- */

static void p06_a_login_does_not_outlive_a_logout(struct world *w)
{
    struct visit login;
    uint8_t old[ID_SIZE], id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    CHECK_INT_FATAL(visit_find(&login, w, 0, old), RC_OK);
    CHECK_INT(session_login(&login.s, "kim", NULL), RC_OK);
    memcpy(id, session_id(&login.s), ID_SIZE);
    CHECK_INT(world_end(w, 1, old, REASON_LOGOUT), RC_OK);
    CHECK_INT(visit_commit(&login, w), RC_ENDED);
    CHECK_INT(login.reason, REASON_LOGOUT);
    visit_end(&login);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, old, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LOGOUT);
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
        CHECK_INT(world_stats(w, i).active, 0);
    }
}

static void p06_a_logout_of_before_goes_along(struct world *w)
{
    for (unsigned at = 0; at < WORLD_MANAGERS; at++) {
        struct visit logout;
        uint8_t old[ID_SIZE], id[ID_SIZE];
        enum reason reason;
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&logout, w, at, old), RC_OK);
        CHECK_INT(session_invalidate(&logout.s, REASON_LOGOUT, NULL), RC_OK);
        CHECK_INT_FATAL(world_login(w, 0, old, "kim", id), RC_OK);
        CHECK_INT(visit_commit(&logout, w), RC_OK);
        visit_end(&logout);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
            CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
            CHECK_INT(reason, REASON_LOGOUT);
        }
    }
}

static void write_now(struct world *w, struct manager_write *q)
{
    CHECK_INT_FATAL(w->m[0]->ops->write(w->m[0], q), RC_OK);
}

/* Gives it a new id, of which the record lacks what the old one had. Returns
 * that, as it has to go on; the caller's. */
static struct record *move_empty(struct world *w, const uint8_t old[ID_SIZE],
                                 uint8_t id[ID_SIZE])
{
    struct manager_write q;
    struct changes none;

    id_mint(id);
    changes_init(&none);
    manager_write_init(&q, WRITE_CREATE, id, w->now);
    q.record = record_new(RECORD_SESSION, id, w->now.wall, &none, 9);
    write_now(w, &q);
    record_unref(&q.record);
    manager_write_init(&q, WRITE_END, old, w->now);
    q.reason = REASON_RENAMED;
    memcpy(q.new_id, id, ID_SIZE);
    write_now(w, &q);
    struct record *rest = record_rekey(q.before, id);
    manager_write_release(&q);
    return rest;
}

/* What a request saw was written by a server whose clock is an hour fast; what
 * it sets over that meets a new id, where that has not come yet. */
static void p10_under_a_new_id_the_later_value_stands(void)
{
    struct world *w = world_with(&fixture_standard, "maxInactive", "0");
    struct manager_write rest;
    struct visit v;
    uint8_t old[ID_SIZE], id[ID_SIZE];

    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    w->now.wall += 3600000;
    CHECK_INT(world_put(w, 0, old, "k", "early"), RC_OK);
    w->now.wall -= 3600000;
    CHECK_INT_FATAL(visit_find(&v, w, 0, old), RC_OK);
    CU_ASSERT_STRING_EQUAL(visit_get(&v, "k"), "early");
    struct record *had = move_empty(w, old, id);
    CHECK_INT(visit_set(&v, "k", "late"), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    manager_write_init(&rest, WRITE_CHANGE, id, w->now);
    rest.delta = had;
    write_now(w, &rest);
    manager_write_release(&rest);
    CU_ASSERT(world_holds(w, 0, id, "k", "late"));
    world_free(&w);
}

/* Is there a row of that id? */
struct asked {
    struct store_call call; /* first */
    atomic_bool answered;
};

static void asked_done(struct store_call *call)
{
    atomic_store(&((struct asked *)call)->answered, true);
}

static enum rc asked_wait(struct asked *asked, enum rc rc)
{
    while (rc == RC_PENDING && !atomic_load(&asked->answered))
        sched_yield();
    return rc == RC_PENDING ? asked->call.rc : rc;
}

static bool is_stored(struct world *w, const uint8_t id[ID_SIZE])
{
    struct asked asked = {.call = {.done = asked_done}};
    if (!world_store(w))
        return false;
    memcpy(asked.call.id, id, ID_SIZE);
    enum rc rc = asked_wait(&asked, store_get(world_store(w), &asked.call));
    free(asked.call.found);
    return rc == RC_OK;
}

/* A store that expires rows by itself does so by the time that really passes:
 * the row as it is, for a moment only. */
static void lapse_soon(struct world *w, const uint8_t id[ID_SIZE])
{
    struct asked found = {.call = {.done = asked_done}};
    struct asked put = {.call = {.done = asked_done}};

    memcpy(found.call.id, id, ID_SIZE);
    if (asked_wait(&found, store_get(world_store(w), &found.call)) != RC_OK)
        return;
    memcpy(put.call.id, id, ID_SIZE);
    put.call.version = found.call.new_version;
    put.call.bytes = found.call.found;
    put.call.len = found.call.found_len;
    put.call.expiry = instant_read().wall + 20;
    asked_wait(&put, store_put(world_store(w), &put.call));
    free(put.call.found);
    free(found.call.found);
}

/* The end is long ago and its row is gone; only server 0 has noticed. */
static bool row_lapses(struct world *w, const uint8_t id[ID_SIZE])
{
    int64_t end = instant_read().mono + 20000;

    if (w->fixture->expires_itself)
        lapse_soon(w, id);
    for (int s = 0; s < 70 || is_stored(w, id); s++) {
        if (instant_read().mono > end)
            return false;
        world_pass(w, 1000);
        tick_one(w, 0);
    }
    return true;
}

static void p09_a_copy_is_no_session(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
    CHECK_INT(world_end(w, 2, id, REASON_LOGOUT), RC_OK);
    CU_ASSERT_FATAL(row_lapses(w, id));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
        CHECK_INT(world_put(w, i, id, "k", "v"), RC_ABSENT);
    }
    CU_ASSERT(!is_stored(w, id));
}

/* Until no server has anything of a session, alive or ended. */
static bool all_forget(struct world *w)
{
    int64_t end = instant_read().mono + 20000;
    for (unsigned i = 0; i < w->count;) {
        struct manager_stats stats = world_stats(w, i);
        if (instant_read().mono > end)
            return false;
        if (stats.active + stats.tombstones == 0) {
            i++;
            continue;
        }
        world_pass(w, 1000);
        world_tick(w);
    }
    return true;
}

static void p09_a_commit_never_creates_what_all_forgot(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 1, id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    CU_ASSERT_FATAL(row_lapses(w, id));
    CU_ASSERT_FATAL(all_forget(w));
    visit_set(&v, "k", "from the dead");
    CHECK_INT(visit_commit(&v, w), RC_ENDED);
    CHECK_INT(v.reason, REASON_UNKNOWN);
    visit_end(&v);
    CU_ASSERT(!is_stored(w, id));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

/* ---- new ids ---- */

/* Changes between the moment at which a login takes its snapshot and the one
 * at which it leaves the old id; on its own server they are counted in the
 * slot that the login counts in. */
static void p10_what_comes_between_goes_along(struct world *w)
{
    for (unsigned at = 0; at < WORLD_MANAGERS; at++) {
        struct visit login;
        uint8_t old[ID_SIZE], id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        CHECK_INT(world_put(w, 0, old, "gone", "soon"), RC_OK);
        CHECK_INT_FATAL(visit_find(&login, w, 0, old), RC_OK);
        CHECK_INT(session_login(&login.s, "kim", NULL), RC_OK);
        CHECK_INT(visit_add(&login, "hits", 1), RC_OK);
        CHECK_INT(world_put(w, at, old, "cart", "full"), RC_OK);
        CHECK_INT(world_put(w, at, old, "gone", "now"), RC_OK);
        CHECK_INT(world_hit(w, at, old, "hits"), RC_OK);
        CHECK_INT(world_hit(w, at, old, "hits"), RC_OK);
        CHECK_INT(visit_commit(&login, w), RC_OK);
        memcpy(id, session_id(&login.s), ID_SIZE);
        visit_end(&login);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
            CU_ASSERT(world_holds(w, i, id, "cart", "full"));
            CU_ASSERT(world_holds(w, i, id, "gone", "now"));
            CHECK_INT(world_count(w, i, id, "hits"), 3);
            CHECK_INT(world_look(w, i, old, NULL), RC_ABSENT);
        }
    }
}

static void p10_what_began_before_goes_along(struct world *w)
{
    for (unsigned at = 0; at < WORLD_MANAGERS; at++) {
        struct visit late, later;
        uint8_t old[ID_SIZE], id[ID_SIZE], newest[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&late, w, at, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&later, w, at, old), RC_OK);
        CHECK_INT_FATAL(world_login(w, 0, old, "kim", id), RC_OK);
        CHECK_INT(visit_set(&late, "k", "put"), RC_OK);
        CHECK_INT(visit_add(&late, "hits", 1), RC_OK);
        CHECK_INT(visit_commit(&late, w), RC_OK);
        CHECK_INT_FATAL(world_login(w, 1, id, "kim", newest), RC_OK);
        CHECK_INT(visit_add(&later, "hits", 1), RC_OK);
        CHECK_INT(visit_commit(&later, w), RC_OK); /* over two new ids */
        visit_end(&late);
        visit_end(&later);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
            CU_ASSERT(world_holds(w, i, newest, "k", "put"));
            CHECK_INT(world_count(w, i, newest, "hits"), 2);
        }
    }
}

/* However often: it lives, so whoever does not catch up is not sent away. */
static void p10_many_new_ids_send_nobody_away(struct world *w)
{
    struct visit late, later;
    uint8_t id[10][ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id[0]), RC_OK);
    CHECK_INT_FATAL(visit_find(&late, w, 1, id[0]), RC_OK);
    CHECK_INT_FATAL(visit_find(&later, w, 1, id[0]), RC_OK);
    CHECK_INT(visit_set(&late, "late", "put"), RC_OK);
    CHECK_INT(visit_set(&later, "later", "put"), RC_OK);
    for (unsigned n = 0; n < 9; n++) {
        CHECK_INT_FATAL(world_login(w, n, id[n], "kim", id[n + 1]), RC_OK);
        if (n == 7)
            CHECK_INT(visit_commit(&late, w), RC_OK);
    }
    CHECK_INT(visit_commit(&later, w), RC_UNAVAILABLE);
    CU_ASSERT(later.err.text[0] != 0);
    visit_end(&late);
    visit_end(&later);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id[9], "late", "put"));
        CU_ASSERT(world_holds(w, i, id[9], "later", ""));
    }
}

/* Its own process tells of its end, under whatever id it is by then. */
static void p22_a_logout_after_a_new_id_counts_once(struct world *w)
{
    world_stay(w);
    for (unsigned at = 0; at < WORLD_MANAGERS; at++) {
        struct visit logout;
        uint8_t old[ID_SIZE], id[ID_SIZE], newest[ID_SIZE];
        uint64_t ended = 0;
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&logout, w, at, old), RC_OK);
        CHECK_INT_FATAL(world_login(w, 0, old, "kim", id), RC_OK);
        CHECK_INT_FATAL(world_login(w, 0, id, "kim", newest), RC_OK);
        world_events_clear(w);
        CHECK_INT(session_invalidate(&logout.s, REASON_LOGOUT, NULL), RC_OK);
        CHECK_INT(visit_commit(&logout, w), RC_OK);
        visit_end(&logout);
        CHECK_STR(w->events, at % w->count ? "" : "destroyed:logout");
        for (unsigned i = 0; i < w->count; i++)
            ended += world_stats(w, i).ended[REASON_LOGOUT];
        CHECK_INT(ended, at + 1);
        CHECK_INT(world_look(w, 1, newest, NULL), RC_ABSENT);
    }
}

static uint64_t ended_in_all(struct world *w, enum reason reason)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < w->count; i++)
        ended += world_stats(w, i).ended[reason];
    return ended;
}

static const struct setting lifetime[] = {{"maxLifetime", "300"}, {NULL, NULL}};

/* The request has told of its end, and has not written it yet. */
static void p22_a_logout_goes_before_a_lifetime(struct world *w)
{
    struct visit logout;
    uint8_t id[ID_SIZE];
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&logout, w, 0, id), RC_OK);
    CHECK_INT(session_invalidate(&logout.s, REASON_LOGOUT, NULL), RC_OK);
    world_pass(w, 301000);
    tick_one(w, 0);
    CHECK_INT(visit_commit(&logout, w), RC_OK);
    visit_end(&logout);
    CU_ASSERT(world_told_once(w, "lifetime"));
    CHECK_INT(ended_in_all(w, REASON_LOGOUT), 1);
    CHECK_INT(ended_in_all(w, REASON_LIFETIME), 0);
}

/* One that never writes it keeps no session for longer than half a minute. */
static void p22_a_logout_that_is_given_up_keeps_nothing(struct world *w)
{
    struct visit logout;
    uint8_t id[ID_SIZE];
    int64_t end = instant_read().mono + 20000;
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&logout, w, 0, id), RC_OK);
    CHECK_INT(session_invalidate(&logout.s, REASON_LOGOUT, NULL), RC_OK);
    visit_end(&logout);
    world_pass(w, 301000);
    tick_one(w, 0);
    CHECK_INT(ended_in_all(w, REASON_LIFETIME), 0);
    world_pass(w, 30000);
    tick_one(w, 0);
    while (!ended_in_all(w, REASON_LIFETIME) && instant_read().mono < end)
        sched_yield();
    CHECK_INT(ended_in_all(w, REASON_LIFETIME), 1);
}

/* ---- idle ends ---- */

/* A read that is too soon after the last notice is told to nobody. */
static void p12_a_use_that_nobody_was_told_of_counts(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
    world_pass(w, 4000);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    world_pass(w, 99000);
    world_tick(w);
    CU_ASSERT(world_settle(w));
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT(world_stats(w, i).ended[REASON_IDLE], 0);
}

/* Its time seemed over; before the end was written, somebody used it. */
static void p12_a_use_before_the_end_is_written_counts(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < w->count; i++) {
        world_pass(w, 90000);
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
        manager_end_due(w->m[i], id, REASON_IDLE, w->now);
        CU_ASSERT(world_settle(w));
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
        CHECK_INT(world_stats(w, i).ended[REASON_IDLE], 0);
    }
}

static bool no_session_is_left(struct world *w, unsigned i)
{
    int64_t end = instant_read().mono + 20000;
    tick_one(w, i);
    while (world_stats(w, i).active > 0) {
        if (instant_read().mono > end)
            return false;
        sched_yield();
    }
    return world_settle(w);
}

static void p12_one_after_the_other_counts_an_idle_end_once(struct world *w)
{
    uint8_t id[ID_SIZE];
    uint64_t ended = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
    world_pass(w, 107000);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT_FATAL(no_session_is_left(w, i));
    for (unsigned i = 0; i < w->count; i++) {
        /* Answered after all that its store was asked before. */
        CHECK_INT(world_create(w, i, id), RC_OK);
        ended += world_stats(w, i).ended[REASON_IDLE];
    }
    CHECK_INT(ended, 1);
}

static bool nothing_is_left(struct world *w)
{
    int64_t end = instant_read().mono + 20000;
    uint64_t active;
    do {
        world_tick(w);
        active = 0;
        for (unsigned i = 0; i < w->count; i++)
            active += world_stats(w, i).active;
    } while (active && instant_read().mono < end);
    return !active && world_settle(w);
}

/* Server 0 ends it without having looked whether it knows the last use. */
static void p12_an_end_of_an_old_access_counts_once(struct world *w)
{
    uint8_t id[ID_SIZE];
    uint64_t ended = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    world_pass(w, 50000);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    world_pass(w, 107000);
    manager_end_due(w->m[0], id, REASON_IDLE, w->now);
    CU_ASSERT(world_settle(w));
    CU_ASSERT_FATAL(nothing_is_left(w));
    for (unsigned i = 0; i < w->count; i++) {
        /* Answered after all that its store was asked before. */
        CHECK_INT(world_create(w, i, id), RC_OK);
        ended += world_stats(w, i).ended[REASON_IDLE];
    }
    CHECK_INT(ended, 1);
}

/* Server 0 ends it without knowing of the use at server 1. */
static void p12_a_later_use_brings_it_back(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "kept"), RC_OK);
    world_pass(w, 4000);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    world_pass(w, 102000);
    CU_ASSERT_FATAL(no_session_is_left(w, 0));
    CHECK_INT(world_look(w, 2, id, NULL), RC_ABSENT);
    CU_ASSERT(world_holds(w, 1, id, "k", "kept"));
    CU_ASSERT(world_settle(w));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT(world_holds(w, i, id, "k", "kept"));
    world_pass(w, 99000);
    world_tick(w);
    CHECK_INT(world_look(w, 2, id, NULL), RC_OK);
}

/* A request lasts for longer than the session may idle, at a server that does
 * not hold it: its change is a use after the end, as it is anywhere. */
static void p12_a_long_request_anywhere_brings_it_back(struct world *w)
{
    for (unsigned at = 0; at < WORLD_MANAGERS; at++) {
        struct visit v;
        uint8_t id[ID_SIZE];
        world_stay(w);
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&v, w, at, id), RC_OK);
        world_pass(w, 110000);
        for (int n = 0; n < 5; n++) {
            world_tick(w);
            CU_ASSERT(world_settle(w));
            world_pass(w, 1000);
        }
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
        visit_set(&v, "k", "back");
        CHECK_INT(visit_commit(&v, w), RC_OK);
        visit_end(&v);
        CU_ASSERT(world_settle(w));
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            CU_ASSERT(world_holds(w, i, id, "k", "back"));
    }
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p06_a_login_does_not_outlive_a_logout, NULL)                             \
    S(p06_a_logout_of_before_goes_along, NULL)                                 \
    S(p09_a_copy_is_no_session, NULL)                                          \
    S(p09_a_commit_never_creates_what_all_forgot, idle)                        \
    S(p10_what_comes_between_goes_along, NULL)                                 \
    S(p10_what_began_before_goes_along, NULL)                                  \
    S(p10_many_new_ids_send_nobody_away, NULL)                                 \
    S(p12_a_use_that_nobody_was_told_of_counts, idle)                          \
    S(p12_a_long_request_anywhere_brings_it_back, idle)                        \
    S(p12_a_use_before_the_end_is_written_counts, idle)                        \
    S(p12_one_after_the_other_counts_an_idle_end_once, idle)                   \
    S(p12_an_end_of_an_old_access_counts_once, idle)                           \
    S(p22_a_logout_after_a_new_id_counts_once, NULL)                           \
    S(p22_a_logout_goes_before_a_lifetime, lifetime)                           \
    S(p22_a_logout_that_is_given_up_keeps_nothing, lifetime)

/* Where several servers may each know something else. */
#define STORED(S)                                                              \
    S(p12_a_later_use_brings_it_back, idle)
#define ON_STORES(name, settings)                                              \
    STATEMENT_ON(name, settings, memory)                                       \
    STATEMENT_ON(name, settings, queued)                                       \
    STATEMENT_ON(name, settings, sqlite)                                       \
    STATEMENT_ON(name, settings, file)                                         \
    STATEMENT_ON(name, settings, traced)
#define STORED_CASES(name, settings)                                           \
    CASE(name##_on_memory), CASE(name##_on_queued), CASE(name##_on_sqlite),    \
        CASE(name##_on_file),                                                  \
        CASE(name##_on_traced),
/* clang-format on */

STATEMENTS(STATEMENT_ON_ALL)
STORED(ON_STORES)
UNIT_MAIN("crossing", STATEMENTS(STATEMENT_CASES) STORED(STORED_CASES)
                          CASE(p10_under_a_new_id_the_later_value_stands))
