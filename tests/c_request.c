/* SPDX-License-Identifier: Apache-2.0
 *
 * c_request.c: docs/promises.md, what one request sees, may change, and tells
 * others of: listeners, and of an end exactly one. The number in a name is the
 * statement's. */
#include "config.h"

#include "tests/world.h"

#include "session/manager_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often it was told. */
static unsigned told(struct world *w, const char *event)
{
    unsigned count = 0;

    for (const char *at = w->events; (at = strstr(at, event)); at++)
        count++;
    return count;
}

static uint64_t logouts(struct world *w)
{
    uint64_t ended = 0;

    for (unsigned i = 0; i < w->count; i++)
        ended += world_stats(w, i).ended[REASON_LOGOUT];
    return ended;
}

static void fail_next_put(struct world *w, enum failing_how how)
{
    atomic_store(&w->faults.how, how);
    atomic_store(&w->faults.fail_puts, how == FAILING_UNAVAILABLE ? 1 : 3);
}

/* ---- who tells of an end ---- */

static void p19_of_two_logouts_one_is_told(struct world *w)
{
    struct visit v[2];
    uint8_t id[ID_SIZE];

    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (unsigned n = 0; n < 2; n++)
        CHECK_INT_FATAL(visit_find(&v[n], w, 0, id), RC_OK);
    for (unsigned n = 0; n < 2; n++)
        CHECK_INT(session_invalidate(&v[n].s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_INT(told(w, "destroyed"), 1);
    CHECK_INT(visit_commit(&v[1], w), RC_OK); /* the one that did not tell */
    CHECK_INT(visit_commit(&v[0], w), RC_ENDED);
    for (unsigned n = 0; n < 2; n++)
        visit_end(&v[n]);
    CHECK_INT(told(w, "destroyed"), 1);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

/* Another request's failure does not let a second one tell of it. */
static void p19_a_failure_leaves_who_tells(struct world *w)
{
    static const enum failing_how how[] = {FAILING_UNAVAILABLE, FAILING_LOST};

    world_stay(w);
    for (unsigned n = 0; n < 2; n++) {
        struct visit put, end, late;
        uint8_t id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&put, w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&end, w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&late, w, 0, id), RC_OK);
        world_events_clear(w);
        CHECK_INT(visit_set(&put, "k", "v"), RC_OK);
        CHECK_INT(session_invalidate(&end.s, REASON_LOGOUT, NULL), RC_OK);
        fail_next_put(w, how[n]);
        CHECK_INT(visit_commit(&put, w),
                  n == 0 ? RC_UNAVAILABLE : RC_UNCERTAIN);
        CHECK_INT(session_invalidate(&late.s, REASON_LOGOUT, NULL), RC_OK);
        CHECK_INT(told(w, "destroyed"), 1);
        CHECK_INT(visit_commit(&end, w), RC_OK);
        CHECK_INT(visit_commit(&late, w), RC_ENDED);
        visit_end(&put);
        visit_end(&end);
        visit_end(&late);
        CHECK_INT(logouts(w), n + 1);
    }
}

/* Who could not end it is not the one who did: the next one tells and counts.
 */
static void p22_a_logout_after_one_that_failed_counts(struct world *w)
{
    static const enum failing_how how[] = {FAILING_UNAVAILABLE, FAILING_LOST};

    world_stay(w);
    for (unsigned n = 0; n < 2; n++) {
        struct visit v;
        uint8_t id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        fail_next_put(w, how[n]);
        CHECK_INT(world_end(w, 0, id, REASON_LOGOUT),
                  n == 0 ? RC_UNAVAILABLE : RC_UNCERTAIN);
        CHECK_INT(logouts(w), n);
        world_events_clear(w);
        CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
        CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
        CHECK_INT(told(w, "destroyed:logout"), 1);
        CHECK_INT(visit_commit(&v, w), RC_OK);
        visit_end(&v);
        CHECK_INT(logouts(w), n + 1);
        for (unsigned i = 0; i < w->count; i++)
            CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
    }
}

/* ---- what listeners see ---- */

struct ear {
    char seen[256];
};

static void hear(void *user, struct session *s, const char *name)
{
    struct ear *ear = user;
    size_t used = strlen(ear->seen);
    struct value value = session_get(s, name);

    snprintf(ear->seen + used, sizeof ear->seen - used, "%s=%.*s ", name,
             value.type == VALUE_STRING ? (int)value.len : 0,
             value.type == VALUE_STRING ? (const char *)value.data : "");
}

/* As in Tomcat: it is told when it is done. */
static void p19_a_listener_sees_what_it_is_told_of(struct world *w)
{
    struct session_listeners *l = &w->m[0]->env.listeners;
    struct session_listeners before = *l;
    struct ear ear = {""};
    struct visit v;

    world_stay(w);
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    *l = (struct session_listeners){.user = &ear,
                                    .attribute_added = hear,
                                    .attribute_replaced = hear,
                                    .attribute_removed = hear};
    CHECK_INT(visit_set(&v, "k", "one"), RC_OK);
    CHECK_INT(visit_set(&v, "k", "two"), RC_OK);
    CHECK_INT(session_remove(&v.s, "k", NULL), RC_OK);
    CHECK_STR(ear.seen, "k=one k=two k= ");
    *l = before;
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
}

static void p19_what_ends_along_is_told_in_order(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];

    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "c", "stored"), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(visit_set(&v, "d", "of this request"), RC_OK);
    CHECK_INT(visit_set(&v, "a", "of this request"), RC_OK);
    world_events_clear(w);
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_STR(w->events, "destroyed:logout removed:a removed:c removed:d");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
}

static const struct setting only_changed[] = {
    {"notifyAttributeListenerOnUnchangedValue", "false"}, {NULL, NULL}};

static void p19_the_same_value_again_is_not_told(struct world *w)
{
    struct visit v;

    world_stay(w);
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    CHECK_INT(visit_set(&v, "k", "same"), RC_OK);
    CHECK_INT(visit_set(&v, "k", "same"), RC_OK);
    CHECK_INT(visit_set(&v, "k", "other"), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_STR(w->events, "created added:k replaced:k");
}

/* ---- what one request may change ---- */

static const struct setting bytes[] = {{"maxSessionBytes", "4096"},
                                       {NULL, NULL}};

/* What this request has put already counts before it is committed. */
static void p18_the_changes_of_one_request_sum_up(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    char name[8], big[901];
    unsigned count = 0;

    world_stay(w);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    for (unsigned n = 0; n < 8; n++) {
        snprintf(name, sizeof name, "n%u", n);
        enum rc rc = visit_set(&v, name, big);
        count += rc == RC_OK;
        CHECK_INT(rc, n < 4 ? RC_OK : RC_TOOBIG);
    }
    CHECK_INT(count, 4);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CU_ASSERT(world_holds(w, w->count - 1, id, "n3", big));
    CU_ASSERT(world_holds(w, w->count - 1, id, "n4", ""));
}

/* What was read before a flush stays readable after it. */
static void p02_what_was_given_outlives_a_flush(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];

    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "given before"), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    struct value given = session_get(&v.s, "k");
    for (unsigned n = 0; n < 3; n++) {
        CHECK_INT(world_put(w, w->count - 1, id, "k", "otherwise"), RC_OK);
        CHECK_INT(visit_set(&v, "mine", n % 2 ? "odd" : "even"), RC_OK);
        manager_flush(v.manager, &v.s, w->now);
        CU_ASSERT(world_settle(w));
    }
    CHECK_INT(given.len, strlen("given before"));
    CU_ASSERT(memcmp(given.data, "given before", given.len) == 0);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
}

#define STATEMENTS(S)                                                          \
    S(p02_what_was_given_outlives_a_flush, NULL)                               \
    S(p18_the_changes_of_one_request_sum_up, bytes)                            \
    S(p19_of_two_logouts_one_is_told, NULL)                                    \
    S(p19_a_listener_sees_what_it_is_told_of, NULL)                            \
    S(p19_what_ends_along_is_told_in_order, NULL)                              \
    S(p19_the_same_value_again_is_not_told, only_changed)

#define WEATHER(S)                                                             \
    S(p19_a_failure_leaves_who_tells, NULL)                                    \
    S(p22_a_logout_after_one_that_failed_counts, NULL)

#define ON_FAILING(name, settings) STATEMENT_ON(name, settings, failing)
#define FAILING_CASES(name, settings) CASE(name##_on_failing),

STATEMENTS(STATEMENT_ON_ALL)
WEATHER(ON_FAILING)
/* clang-format off */
UNIT_MAIN("request", STATEMENTS(STATEMENT_CASES) WEATHER(FAILING_CASES))
/* clang-format on */
