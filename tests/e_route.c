/* SPDX-License-Identifier: Apache-2.0
 *
 * e_route.c: the part of JSESSIONID behind the dot. It is written anew when the
 * member that it names is known to be gone, or to drain; without a membership
 * after three requests in a row elsewhere; never otherwise. And who comes while
 * an instance drains. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* "JSESSIONID=32 digits" and the route behind the dot. */
static void cookie_split(struct browser *b, char id[128], char route[128])
{
    char *dot;

    CU_ASSERT_FATAL(browser_cookie(b, "/login", id));
    dot = strchr(id, '.');
    CU_ASSERT_PTR_NOT_NULL_FATAL(dot);
    snprintf(route, 128, "%s", dot + 1);
    *dot = 0;
}

/* Begins a session at instance 0; id as above. */
static void begin(struct browser *b, struct fleet *f, char id[128])
{
    char route[128];

    browser_open(b);
    CHECK_INT_FATAL(browser_login(b, fleet_server(f, 0), "kim"), 303);
    cookie_split(b, id, route);
    CHECK_STR(route, "node1");
}

/* Asks instance i; returns the route that was set, "" none. The id stays. */
static const char *ask(struct browser *b, struct fleet *f, unsigned i,
                       const char *path, const char *id)
{
    static char route[128];
    char now[128];

    CHECK_INT(browser_get(b, fleet_server(f, i), path), 200);
    CU_ASSERT_PTR_NULL(browser_header(b, "Set-Cookie", 1));
    if (!browser_header(b, "Set-Cookie", 0))
        return "";
    cookie_split(b, now, route);
    CHECK_STR(now, id);
    return route;
}

struct asked {
    struct browser *b;
    struct server *s;
};

/* Has it answered, and given the cookie another route? */
static bool is_rebound(void *user)
{
    struct asked *a = user;
    return browser_get(a->b, a->s, "/login/me") == 200 &&
           browser_header(a->b, "Set-Cookie", 0);
}

static bool is_complete(void *user)
{
    return server_health(user) == 200;
}

static void gone(struct fleet *f)
{
    struct browser b;
    char id[128], line[128];
    unsigned last = f->count - 1;

    begin(&b, f, id);
    for (int i = 0; i < 8; i++)
        CHECK_STR(ask(&b, f, 1, i % 2 ? "/login/hit" : "/login/me", id), "");
    server_kill(fleet_server(f, 0));
    struct asked a = {&b, fleet_server(f, 1)};
    char now[128], route[128];
    CU_ASSERT_FATAL(eventually(20000, is_rebound, &a));
    cookie_split(&b, now, route);
    CHECK_STR(route, "node2");
    CHECK_STR(now, id);
    CHECK_STR(browser_line(&b, "user", line), "kim");
    CHECK_STR(ask(&b, f, 1, "/login/hit", id), "");
    /* node2 is there: whoever else answers leaves its name alone */
    CHECK_STR(ask(&b, f, last, "/login/hit", id), "");
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    CU_ASSERT_FATAL(eventually(20000, is_complete, fleet_server(f, 0)));
    CHECK_STR(ask(&b, f, 0, "/login/hit", id), "");
    browser_close(&b);
}

static void a_dead_members_name_on_delta(void)
{
    struct fleet *f = fleet_run("delta.xml", 3);
    if (f)
        gone(f);
}

static void a_dead_members_name_on_backup(void)
{
    struct fleet *f = fleet_run("backup.xml", 4);
    if (f)
        gone(f);
}

/* It says good-bye, so the others know at once. */
static void a_stopped_members_name(void)
{
    struct fleet *f = fleet_run("delta.xml", 3);
    struct browser b;
    char id[128];

    if (!f)
        return;
    begin(&b, f, id);
    CHECK_INT(server_stop(fleet_server(f, 0)), 0);
    CHECK_STR(ask(&b, f, 1, "/login/me", id), "node2");
    CHECK_STR(ask(&b, f, 2, "/login/me", id), "");
    browser_close(&b);
}

static bool drains(void *user)
{
    return server_health(user) == 404;
}

/* The second signal skips the rest. */
static void stop_draining(struct server *s)
{
    server_signal(s, SIGTERM);
    CU_ASSERT_FATAL(eventually(10000, drains, s));
    server_signal(s, SIGTERM);
    CHECK_INT(server_wait(s, 15000), 0);
}

/* It serves whom it is sent; who comes elsewhere is to stay there. */
static void draining(const char *conf, unsigned members)
{
    struct fleet *f = fleet_new(conf);
    struct browser b, stays;
    char id[128], other[128], now[128], route[128];

    if (!f)
        return;
    fleet_define(f, "drain", "20");
    CU_ASSERT_FATAL(fleet_start(f, members));
    begin(&b, f, id);
    begin(&stays, f, other);
    CHECK_STR(ask(&b, f, 1, "/login/me", id), "");
    server_signal(fleet_server(f, 0), SIGTERM);
    struct asked a = {&b, fleet_server(f, 1)};
    CU_ASSERT_FATAL(eventually(10000, is_rebound, &a));
    cookie_split(&b, now, route);
    CHECK_STR(route, "node2");
    CHECK_STR(now, id);
    CHECK_INT(server_health(fleet_server(f, 0)), 404);
    CHECK_STR(ask(&stays, f, 0, "/login/hit", other), "");
    CHECK_STR(ask(&b, f, members - 1, "/login/hit", id), "");
    server_signal(fleet_server(f, 0), SIGTERM);
    CHECK_INT(server_wait(fleet_server(f, 0), 15000), 0);
    /* who comes again under that name is there */
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    CU_ASSERT_FATAL(eventually(20000, is_complete, fleet_server(f, 0)));
    CHECK_STR(ask(&stays, f, 1, "/login/hit", other), "");
    for (unsigned i = 0; i < members; i++)
        stop_draining(fleet_server(f, i));
    browser_close(&stays);
    browser_close(&b);
}

static void a_draining_members_name_on_delta(void)
{
    draining("delta.xml", 3);
}

static void a_draining_members_name_on_backup(void)
{
    draining("backup.xml", 4);
}

/* A name that nobody has heard of is nobody that has gone. */
static void a_name_that_never_was(void)
{
    struct fleet *f = fleet_run("delta.xml", 2);
    struct browser b;
    char id[128], header[192];

    if (!f)
        return;
    begin(&b, f, id);
    snprintf(header, sizeof header, "Cookie: %s.node9", id);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(browser_get_with(&b, fleet_server(f, 1), "/login/me", header),
                  200);
        CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    }
    snprintf(header, sizeof header, "Cookie: %s", id);
    CHECK_INT(browser_get_with(&b, fleet_server(f, 1), "/login/me", header),
              200);
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    browser_close(&b);
}

static void three_in_a_row(struct fleet *f)
{
    struct browser b;
    char id[128];

    begin(&b, f, id);
    /* taking turns is no row, however quick */
    for (int i = 0; i < 24; i++)
        CHECK_STR(ask(&b, f, 1 + i % 2, "/login/hit", id), "");
    CHECK_STR(ask(&b, f, 0, "/login/hit", id), "");
    CHECK_STR(ask(&b, f, 1, "/login/hit", id), "");
    CHECK_STR(ask(&b, f, 1, "/login/me", id), "");
    CHECK_STR(ask(&b, f, 1, "/login/hit", id), "node2");
    for (int i = 0; i < 4; i++)
        CHECK_STR(ask(&b, f, 1, "/login/hit", id), "");
    browser_close(&b);
}
FLEET_CASE(three_in_a_row, sqlite, "sqlite.xml", 3)

static void the_valve_switches_it_off(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    struct browser b;
    char id[128];

    if (!f)
        return;
    CU_ASSERT_FATAL(
        fleet_edit(f, "<Host name",
                   "<Valve className=\"org.apache.catalina.ha.session."
                   "JvmRouteBinderValve\" enabled=\"false\"/><Host name"));
    CU_ASSERT_FATAL(fleet_start(f, 2));
    begin(&b, f, id);
    for (int i = 0; i < 8; i++)
        CHECK_STR(ask(&b, f, 1, "/login/hit", id), "");
    browser_close(&b);
}

static void who_comes_while_it_drains(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    struct browser b, stranger;
    char id[128];

    if (!f)
        return;
    CU_ASSERT_FATAL(fleet_edit(
        f, "<Host name",
        "<Valve className=\"LoadBalancerDrainingValve\"/><Host name"));
    fleet_define(f, "drain", "20");
    CU_ASSERT_FATAL(fleet_start(f, 1));
    begin(&b, f, id);
    browser_open(&stranger);
    CHECK_INT(browser_get(&stranger, fleet_server(f, 0), "/login/new"), 200);
    browser_forget(&stranger);
    server_signal(fleet_server(f, 0), SIGTERM);
    CU_ASSERT_FATAL(eventually(10000, drains, fleet_server(f, 0)));
    CHECK_INT(browser_get(&stranger, fleet_server(f, 0), "/login/new?x=1"),
              307);
    CHECK_STR(browser_header(&stranger, "Location", 0), "/login/new?x=1");
    CU_ASSERT_PTR_NULL(browser_header(&stranger, "Set-Cookie", 0));
    CHECK_INT(browser_get_with(
                  &stranger, fleet_server(f, 0), "/login/me",
                  "Cookie: JSESSIONID=00112233445566778899AABBCCDDEEFF.node1"),
              307);
    const char *cookie = browser_header(&stranger, "Set-Cookie", 0);
    CU_ASSERT(cookie && strstr(cookie, "JSESSIONID=; Expires=Thu, 01 Jan"));
    /* what touches no session is served, and who has one goes on */
    CHECK_INT(browser_get(&stranger, fleet_server(f, 0), "/login/hello"), 200);
    CHECK_STR(ask(&b, f, 0, "/login/hit", id), "");
    browser_close(&stranger);
    browser_close(&b);
    server_signal(fleet_server(f, 0), SIGTERM);
    CHECK_INT(server_wait(fleet_server(f, 0), 15000), 0);
}

UNIT_MAIN_AROUND("route", NULL, fleet_end, CASE(a_dead_members_name_on_delta),
                 CASE(a_dead_members_name_on_backup),
                 CASE(a_stopped_members_name),
                 CASE(a_draining_members_name_on_delta),
                 CASE(a_draining_members_name_on_backup),
                 CASE(a_name_that_never_was), CASE(three_in_a_row_on_sqlite),
                 CASE(the_valve_switches_it_off),
                 CASE(who_comes_while_it_drains))
