/* SPDX-License-Identifier: Apache-2.0
 *
 * e_store_stop.c: an orderly stop while Redis is away: what only the instance
 * has is kept when it comes back in time, and waited for no longer than that.
 */
#include "config.h"

#include "tests/client.h"
#include "tests/redis_server.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITS "waiting up to"
#define LOST "are lost with this instance"

struct scene {
    struct redis_server *redis;
    struct fleet *fleet;
    struct browser kim, lee;
};

static bool scene_new(struct scene *s)
{
    return redis_is_there() && (s->fleet = fleet_new("redis.xml"));
}

/* Two who are logged in, one of them stored for certain, in an instance with
 * these attributes on its <Manager>. */
static void scene_go(struct scene *s, const char *attributes,
                     const char *stop_timeout)
{
    static const char at[] = "maxLifetime=\"${maxLifetime:-0}\"";
    char text[320];
    s->redis = redis_start("appendonly yes\nappendfsync always");
    fleet_define(s->fleet, "store.url", redis_address(s->redis, text));
    fleet_define(s->fleet, "stopTimeout", stop_timeout);
    snprintf(text, sizeof text, "%s %s", at, attributes);
    CU_ASSERT_FATAL(fleet_edit(s->fleet, at, text));
    CU_ASSERT_FATAL(fleet_start(s->fleet, 1));
    browser_open(&s->kim);
    browser_open(&s->lee);
    CHECK_INT(browser_login(&s->kim, fleet_server(s->fleet, 0), "kim"), 303);
    CHECK_INT(browser_login(&s->lee, fleet_server(s->fleet, 0), "lee"), 303);
}

static bool scene_begin(struct scene *s, const char *attributes,
                        const char *stop_timeout)
{
    if (!scene_new(s))
        return false;
    scene_go(s, attributes, stop_timeout);
    return true;
}

static void scene_end(struct scene *s)
{
    browser_close(&s->kim);
    browser_close(&s->lee);
    fleet_end();
    redis_stop_all();
}

static void hits(struct scene *s, unsigned count)
{
    while (count--)
        CHECK_INT(browser_get(&s->kim, fleet_server(s->fleet, 0), "/login/hit"),
                  200);
}

static void kim_has(struct scene *s, const char *count)
{
    char line[128];
    CHECK_INT(browser_get(&s->kim, fleet_server(s->fleet, 0), "/login/me"),
              200);
    CHECK_STR(browser_line(&s->kim, "user", line), "kim");
    CHECK_STR(browser_line(&s->kim, "hits", line), count);
}

static void lee_is_out(struct scene *s, const char *body)
{
    CHECK_INT(browser_get(&s->lee, fleet_server(s->fleet, 0), "/login/me"),
              401);
    CHECK_STR(s->lee.body, body);
}

/* Redis comes back when the instance says that it waits for it. */
static void stop_and_return(struct scene *s)
{
    struct server *server = fleet_server(s->fleet, 0);
    server_signal(server, SIGTERM);
    CU_ASSERT(server_said(server, WAITS, 10000));
    redis_restart(s->redis);
    CHECK_INT(server_wait(server, 20000), 0);
    CHECK_INT(server_said_times(server, LOST), 0);
    CU_ASSERT_FATAL(fleet_restart(s->fleet, 0));
}

static bool is_noticed(void *user)
{
    return server_metric(user, "margay_store_available{context=\"/login\"") ==
           0;
}

static void redis_goes(struct scene *s)
{
    redis_kill(s->redis);
    CU_ASSERT(eventually(10000, is_noticed, fleet_server(s->fleet, 0)));
}

/* Of a scene in which nothing is stored before the stop. */
static void hits_without_it_are_kept(struct scene *s)
{
    redis_goes(s);
    hits(s, 3);
    stop_and_return(s);
    kim_has(s, "3");
    scene_end(s);
}

static void what_was_to_be_stored_later_is_kept(void)
{
    struct scene s = {0};
    if (scene_begin(&s, "writeThrough=\"false\"", "10"))
        hits_without_it_are_kept(&s);
}

static void what_was_acknowledged_without_it_is_kept(void)
{
    struct scene s = {0};
    if (!scene_begin(&s, "onStoreOutage=\"local\"", "10"))
        return;
    hits(&s, 1);
    redis_goes(&s);
    hits(&s, 2);
    CHECK_INT(
        browser_post(&s.lee, fleet_server(s.fleet, 0), "/login/logout", ""),
        200);
    stop_and_return(&s);
    kim_has(&s, "3");
    lee_is_out(&s, "not logged in: logout\n");
    scene_end(&s);
}

static void it_is_waited_for_no_longer_than_stop_timeout(void)
{
    struct scene s = {0};
    if (!scene_begin(&s, "writeThrough=\"false\"", "1"))
        return;
    struct server *server = fleet_server(s.fleet, 0);
    redis_goes(&s);
    long long begin = clock_ms();
    server_signal(server, SIGTERM);
    CHECK_INT(server_wait(server, 20000), 0);
    long long took = clock_ms() - begin;
    CU_ASSERT(took >= 500 && took < 1000 + 2000 * slowness());
    CU_ASSERT(server_said(server, LOST, 1000));
    scene_end(&s);
}

#define ONE "<Manager className=\"PersistentManager\""
#define NEXT_LATER                                                             \
    ONE " writeThrough=\"false\"><Store className=\"SQLiteStore\" "            \
        "path=\"next.db\"/></Manager>"

static void scene_of_two(struct scene *s, const char *stop_timeout)
{
    if (!scene_new(s))
        return;
    CU_ASSERT_FATAL(
        fleet_edit(s->fleet, ONE, NEXT_LATER ONE " role=\"previous\""));
    scene_go(s, "writeThrough=\"false\"", stop_timeout);
}

static void the_store_of_the_previous_one_is_waited_for(void)
{
    struct scene s = {0};
    scene_of_two(&s, "10");
    if (s.redis)
        hits_without_it_are_kept(&s);
}

/* The next manager has stopped long before the previous one gives up. */
static void the_previous_one_is_stopped_alone(void)
{
    struct scene s = {0};
    scene_of_two(&s, "4");
    if (!s.redis)
        return;
    struct server *server = fleet_server(s.fleet, 0);
    redis_goes(&s);
    server_signal(server, SIGTERM);
    CHECK_INT(server_wait(server, 20000), 0);
    CU_ASSERT_FATAL(server_said(server, WAITS, 1000));
    /* the next one needs none of the time */
    CU_ASSERT(atoi(strstr(server->log, WAITS) + strlen(WAITS)) > 4000 / 2);
    CU_ASSERT(server_said(server, LOST, 1000));
    scene_end(&s);
}

static void a_second_signal_skips_the_wait(void)
{
    struct scene s = {0};
    if (!scene_begin(&s, "writeThrough=\"false\"", "60"))
        return;
    struct server *server = fleet_server(s.fleet, 0);
    redis_goes(&s);
    server_signal(server, SIGTERM);
    CU_ASSERT(server_said(server, WAITS, 10000));
    server_signal(server, SIGTERM);
    CHECK_INT(server_wait(server, 20000), 0);
    CU_ASSERT(server_said(server, LOST, 1000));
    scene_end(&s);
}

UNIT_MAIN_AROUND("store_stop", NULL, fleet_end,
                 CASE(what_was_to_be_stored_later_is_kept),
                 CASE(what_was_acknowledged_without_it_is_kept),
                 CASE(the_store_of_the_previous_one_is_waited_for),
                 CASE(the_previous_one_is_stopped_alone),
                 CASE(it_is_waited_for_no_longer_than_stop_timeout),
                 CASE(a_second_signal_skips_the_wait))
