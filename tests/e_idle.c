/* SPDX-License-Identifier: Apache-2.0
 *
 * e_idle.c: Tomcat's idle modes, on one instance over each store: what a kill
 * leaves, what leaves memory and comes back, what a stop keeps.
 * Timeout: 300 s */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 15000

/* One instance with these attributes on its <Manager>. */
static struct fleet *fleet_with(const char *conf, const char *attributes)
{
    static const char at[] = "maxLifetime=\"${maxLifetime:-0}\"";
    struct fleet *f = fleet_new(conf);
    char text[256];
    if (!f)
        return NULL;
    snprintf(text, sizeof text, "%s %s", at, attributes);
    CU_ASSERT_FATAL(fleet_edit(f, at, text));
    CU_ASSERT_FATAL(fleet_start(f, 1));
    return f;
}

static bool all_is_stored(void *user)
{
    return server_metric(user, "margay_replication_unacknowledged_updates") ==
           0;
}

static bool nothing_is_in_memory(void *user)
{
    return server_metric(user, "margay_sessions_active{") == 0;
}

static bool nine_are_in_memory(void *user)
{
    return server_metric(user, "margay_sessions_active{") == 9;
}

static void log_in(struct browser *b, struct server *s, unsigned hits)
{
    browser_open(b);
    CHECK_INT(browser_login(b, s, "kim"), 303);
    while (hits--)
        CHECK_INT(browser_get(b, s, "/login/hit"), 200);
}

static void is_kim(struct browser *b, struct server *s, const char *hits)
{
    char line[128];
    CHECK_INT(browser_get(b, s, "/login/me"), 200);
    CHECK_STR(browser_line(b, "user", line), "kim");
    CHECK_STR(browser_line(b, "hits", line), hits);
}

static void is_out(struct browser *b, struct server *s, const char *reason)
{
    char said[64];
    CHECK_INT(browser_get(b, s, "/login/me"), 401);
    snprintf(said, sizeof said, "not logged in: %s\n", reason);
    CHECK_STR(b->body, said);
}

static void killed(struct fleet *f)
{
    server_kill(fleet_server(f, 0));
    CU_ASSERT_FATAL(fleet_restart(f, 0));
}

static void stopped(struct fleet *f)
{
    CHECK_INT(server_stop(fleet_server(f, 0)), 0);
    CU_ASSERT_FATAL(fleet_restart(f, 0));
}

static void a_kill_leaves_what_was_stored(const char *conf)
{
    struct fleet *f = fleet_with(conf, "maxIdleBackup=\"1\"");
    struct browser kim, lee, fresh;
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    log_in(&kim, s, 3);
    log_in(&lee, s, 1);
    CU_ASSERT(!all_is_stored(s));
    CU_ASSERT_FATAL(eventually(WAIT_MS, all_is_stored, s));
    CHECK_INT(browser_post(&lee, s, "/login/logout", ""), 200);
    log_in(&fresh, s, 1);
    CHECK_INT(browser_get(&kim, s, "/login/hit"), 200);
    killed(f);
    is_kim(&kim, s, "3"); /* the fourth is lost, as was said */
    is_out(&lee, s, "logout");
    is_out(&fresh, s, "unknown");
    browser_close(&kim);
    browser_close(&lee);
    browser_close(&fresh);
}

static void who_is_idle_leaves_memory_and_comes_back(const char *conf)
{
    struct fleet *f = fleet_with(conf, "maxIdleSwap=\"1\"");
    struct browser b;
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    log_in(&b, s, 2);
    for (int round = 0; round < 2; round++) {
        CU_ASSERT_FATAL(eventually(WAIT_MS, nothing_is_in_memory, s));
        is_kim(&b, s, round ? "3" : "2");
        if (!round)
            CHECK_INT(browser_get(&b, s, "/login/hit"), 200);
    }
    CHECK_INT(browser_post(&b, s, "/login/logout", ""), 200);
    killed(f);
    is_out(&b, s, "logout");
    browser_close(&b);
}

static void a_stop_keeps_all(const char *conf)
{
    struct fleet *f = fleet_with(conf, "writeThrough=\"false\"");
    struct browser b;
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    log_in(&b, s, 2);
    stopped(f);
    is_kim(&b, s, "2");
    CHECK_INT(browser_get(&b, s, "/login/hit"), 200);
    stopped(f);
    is_kim(&b, s, "3");
    browser_close(&b);
}

static void a_stop_may_end_all(const char *conf)
{
    struct fleet *f =
        fleet_with(conf, "maxIdleBackup=\"1\" saveOnRestart=\"false\"");
    struct browser b, fresh;
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    log_in(&b, s, 2);
    CU_ASSERT_FATAL(eventually(WAIT_MS, all_is_stored, s));
    log_in(&fresh, s, 1);
    CHECK_INT(server_stop(s), 0);
    CHECK_INT(server_said_times(s, "did not come back"), 0);
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    is_out(&b, s, "lost");
    is_out(&fresh, s, "lost");
    browser_close(&b);
    browser_close(&fresh);
}

static void of_too_many_some_leave(const char *conf)
{
    struct fleet *f =
        fleet_with(conf, "minIdleSwap=\"1\" maxActiveSessions=\"10\"");
    struct browser b[11];
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    for (unsigned n = 0; n < 10; n++)
        log_in(&b[n], s, n);
    CU_ASSERT_FATAL(eventually(WAIT_MS, nine_are_in_memory, s));
    log_in(&b[10], s, 0);
    for (unsigned n = 0; n < 11; n++) {
        char hits[16];
        snprintf(hits, sizeof hits, "%u", n % 10);
        is_kim(&b[n], s, hits);
        browser_close(&b[n]);
    }
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(a_kill_leaves_what_was_stored)                                           \
    S(who_is_idle_leaves_memory_and_comes_back) S(a_stop_keeps_all)            \
    S(a_stop_may_end_all) S(of_too_many_some_leave)
#define ON_EACH(name)                                                          \
    static void name##_on_sqlite(void) { name("sqlite.xml"); }                 \
    static void name##_on_file(void) { name("file.xml"); }                     \
    static void name##_on_redis(void) { name("redis.xml"); }
#define CASES(name)                                                            \
    CASE(name##_on_sqlite), CASE(name##_on_file), CASE(name##_on_redis),
STATEMENTS(ON_EACH)
UNIT_MAIN_AROUND("idle_http", NULL, fleet_end, STATEMENTS(CASES))
/* clang-format on */
