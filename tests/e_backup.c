/* SPDX-License-Identifier: Apache-2.0
 *
 * e_backup.c: five members of which two hold a session, while all is well. */
#include "config.h"

#include "tests/traffic.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS 5
#define ROLE(role)                                                             \
    "margay_sessions_active{context=\"/login\",role=\"" role "\"}"

static double sum_of(struct fleet *f, const char *metric)
{
    double sum = 0;
    for (unsigned i = 0; i < f->count; i++)
        sum += server_metric(fleet_server(f, i), metric);
    return sum;
}

/* ---- nobody reads stale ---- */

static void nobody_reads_stale(struct fleet *f, bool sticky)
{
    struct traffic t;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    t.sticky = sticky;
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    CU_ASSERT(traffic_pass(&t, 20000));
    traffic_halt(&t);
    printf("the longest took %lld ms\n", atomic_load(&t.worst_ms));
    CHECK_INT(t.stale, 0);
    CHECK_INT(t.beyond, 0);
    CHECK_INT(t.unavailable, 0);
    CHECK_STR(t.strange, "");
    traffic_check(&t);
    /* each is where it was made, with one more that holds it */
    CHECK_INT((int)sum_of(f, ROLE("primary")), TRAFFIC_SESSIONS);
    CHECK_INT((int)sum_of(f, ROLE("backup")), TRAFFIC_SESSIONS);
    CHECK_INT((int)sum_of(f, "margay_sessions_exposed"), 0);
    CHECK_INT((int)sum_of(f, "margay_sessions_moved_total"), 0);
}

static void nobody_reads_stale_round_robin(struct fleet *f)
{
    nobody_reads_stale(f, false);
}

static void nobody_reads_stale_sticky(struct fleet *f)
{
    nobody_reads_stale(f, true);
}

/* The balancer has a new mind: the session follows, once. */
static void a_session_follows_its_requests(struct fleet *f)
{
    struct browser b;
    char line[128], expected[16];
    double held[MEMBERS];
    unsigned to = 0;
    browser_open(&b);
    CHECK_INT_FATAL(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (unsigned i = 1; i < MEMBERS; i++) {
        held[i] = server_metric(fleet_server(f, i), ROLE("backup"));
        to = held[i] == 0 ? i : to; /* one that holds nothing */
    }
    CU_ASSERT_FATAL(to > 0);
    for (unsigned n = 1; n <= 100; n++) {
        snprintf(expected, sizeof expected, "%u\n", n);
        CHECK_INT(browser_get(&b, fleet_server(f, to), "/login/hit"), 200);
        CHECK_STR(b.body, expected);
    }
    CHECK_INT((int)server_metric(fleet_server(f, to), ROLE("primary")), 1);
    CHECK_INT((int)sum_of(f, ROLE("primary")), 1);
    CHECK_INT((int)sum_of(f, "margay_sessions_moved_total"), 1);
    for (unsigned i = 0; i < MEMBERS; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        CHECK_STR(browser_line(&b, "hits", line), "100");
    }
    browser_close(&b);
}

/* ---- what a member without a copy says ---- */

static bool all_say(struct fleet *f, struct browser *b, const char *text)
{
    bool all = true;
    for (unsigned i = 0; i < f->count; i++) {
        int status = browser_get(b, fleet_server(f, i), "/login/me");
        if (status != 401 || strcmp(b->body, text) != 0) {
            printf("%s: %d %s\n", fleet_server(f, i)->node, status, b->body);
            all = false;
        }
    }
    return all;
}

static void a_logout_is_one_everywhere(struct fleet *f)
{
    for (unsigned at = 0; at < MEMBERS; at++) {
        struct browser b;
        browser_open(&b);
        CHECK_INT_FATAL(browser_login(&b, fleet_server(f, 0), "kim"), 303);
        CHECK_INT(browser_post(&b, fleet_server(f, at), "/login/logout", NULL),
                  200);
        CU_ASSERT(all_say(f, &b, "not logged in: logout\n"));
        browser_close(&b);
    }
}

static bool has_idled(void *user)
{
    return sum_of(user, "margay_sessions_ended_total{reason=\"idle\"}") >= 1;
}

static void an_idle_end_is_one_everywhere(void)
{
    struct fleet *f = fleet_new("backup.xml");
    struct browser b;
    if (!f)
        return;
    fleet_define(f, "maxInactive", "2");
    CU_ASSERT_FATAL(fleet_start(f, MEMBERS));
    browser_open(&b);
    CHECK_INT_FATAL(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CU_ASSERT(eventually(10000, has_idled, f));
    CU_ASSERT(all_say(f, &b, "not logged in: idle\n"));
    CHECK_INT((int)sum_of(f, "margay_sessions_ended_total{reason=\"idle\"}"),
              1);
    browser_close(&b);
}

/* An id that was made up is asked for where it would be, and is nobody's. */
static void an_id_of_nobody_is_unknown(struct fleet *f)
{
    struct browser b;
    browser_open(&b);
    for (unsigned i = 0; i < MEMBERS; i++) {
        CHECK_INT(browser_get_with(&b, fleet_server(f, i), "/login/me",
                                   "Cookie: JSESSIONID="
                                   "0123456789ABCDEF0123456789ABCDEF.node3"),
                  401);
        CHECK_STR(b.body, "not logged in: unknown\n");
    }
    browser_close(&b);
}

/* ---- fewer copies are waited for ---- */

static void copies_converge_at_one(void)
{
    traffic_converges("backup.xml", MEMBERS, "one");
}

static void copies_converge_at_none(void)
{
    traffic_converges("backup.xml", MEMBERS, "none");
}

FLEET_CASE(nobody_reads_stale_round_robin, backup, "backup.xml", MEMBERS)
FLEET_CASE(nobody_reads_stale_sticky, backup, "backup.xml", MEMBERS)
FLEET_CASE(a_session_follows_its_requests, backup, "backup.xml", MEMBERS)
FLEET_CASE(a_logout_is_one_everywhere, backup, "backup.xml", MEMBERS)
FLEET_CASE(an_id_of_nobody_is_unknown, backup, "backup.xml", MEMBERS)
UNIT_MAIN_AROUND("backup", NULL, fleet_end,
                 CASE(nobody_reads_stale_round_robin_on_backup),
                 CASE(nobody_reads_stale_sticky_on_backup),
                 CASE(a_session_follows_its_requests_on_backup),
                 CASE(a_logout_is_one_everywhere_on_backup),
                 CASE(an_idle_end_is_one_everywhere),
                 CASE(an_id_of_nobody_is_unknown_on_backup),
                 CASE(copies_converge_at_one), CASE(copies_converge_at_none))
