/* SPDX-License-Identifier: Apache-2.0
 *
 * e_store_outage.c: a store behind a network that is away for a while, under
 * instances that run or start: it stands still, the network swallows
 * everything, it is killed and restarted. MARGAY_PAUSE_SECONDS: how long it is
 * away (2). Timeout: 300 s */
#include "config.h"

#include "tests/client.h"
#include "tests/redis_server.h"
#include "tests/relay.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READS 2000
#define WAITS_US 1000000 /* who starts, for its store */

enum way { STANDS_STILL, SWALLOWED, KILLED };

struct scene {
    struct redis_server *redis;
    struct relay *relay;
    struct fleet *fleet;
    struct browser browser;
    char cookie[128];
    unsigned hits;
    bool was_missed; /* by who starts */
};

/* ---- how long it takes ---- */

static long long clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int by_number(const void *a, const void *b)
{
    long long d = *(const long long *)a - *(const long long *)b;
    return d < 0 ? -1 : d > 0;
}

/* us */
static long long p99_of_me(struct scene *s)
{
    static long long took[READS];
    for (unsigned i = 0; i < READS; i++) {
        long long begin = clock_us();
        CHECK_INT(
            browser_get(&s->browser, fleet_server(s->fleet, i), "/login/me"),
            200);
        took[i] = clock_us() - begin;
    }
    qsort(took, READS, sizeof *took, by_number);
    return took[READS * 99 / 100];
}

/* ---- away and back ---- */

static void scene_away(struct scene *s, enum way way)
{
    if (way == STANDS_STILL)
        redis_signal(s->redis, SIGSTOP);
    else if (way == SWALLOWED)
        relay_any(s->relay, 0, RELAY_HOLE);
    else
        redis_kill(s->redis);
}

static void scene_back(struct scene *s, enum way way)
{
    if (way == STANDS_STILL)
        redis_signal(s->redis, SIGCONT);
    else if (way == SWALLOWED)
        relay_any(s->relay, 0, RELAY_OPEN);
    else
        redis_restart(s->redis);
}

static bool all_answer(void *user)
{
    struct scene *s = user;
    for (unsigned i = 0; i < 3; i++)
        if (browser_get(&s->browser, fleet_server(s->fleet, i), "/login/me") !=
            200)
            return false;
    return true;
}

/* Asks until `end`; the longest answer, us. What was answered before anything
 * could be noticed may be anything that is right. */
static long long ask_until(struct scene *s, long long end, long long noticed)
{
    static const char *const paths[] = {"/login/me", "/login/hit",
                                        "/login/new"};
    long long worst = 0;
    unsigned refused = 0, n = 0;
    for (; clock_us() < end; n++) {
        struct server *at = fleet_server(s->fleet, n + n / 3);
        long long begin = clock_us();
        int status = browser_get(&s->browser, at, paths[n % 3]);
        long long took = clock_us() - begin;
        worst = took > worst ? took : worst;
        refused += status == 503;
        if (status == 200 && n % 3 == 1)
            s->hits++;
        CU_ASSERT(status == 503 || (status == 200 && begin < noticed));
        if (status == 503) {
            CU_ASSERT_PTR_NOT_NULL(
                browser_header(&s->browser, "Retry-After", 0));
            CU_ASSERT_PTR_NULL(browser_header(&s->browser, "Set-Cookie", 0));
        }
        if (n % 30 == 0)
            CHECK_INT(server_health(at), 200);
    }
    CU_ASSERT(refused > 0);
    return worst;
}

static bool scene_begin(struct scene *s, const char *validate)
{
    char url[64];
    s->redis = redis_start("appendonly yes\nappendfsync always");
    s->relay = relay_new(1, &s->redis->port);
    relay_any(s->relay, 0, RELAY_OPEN);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/0",
             relay_port(s->relay, 0));
    s->fleet = fleet_new("redis.xml");
    if (!s->fleet)
        return false;
    fleet_define(s->fleet, "store.url", url);
    fleet_define(s->fleet, "store.validate", validate);
    CU_ASSERT_FATAL(fleet_start(s->fleet, 3));
    browser_open(&s->browser);
    CHECK_INT(browser_login(&s->browser, fleet_server(s->fleet, 0), "kim"),
              303);
    CU_ASSERT(browser_cookie(&s->browser, "/login", s->cookie));
    for (; s->hits < 10; s->hits++)
        CHECK_INT(browser_get(&s->browser, fleet_server(s->fleet, s->hits),
                              "/login/hit"),
                  200);
    return true;
}

/* Nobody was logged out, no cookie replaced, nothing acknowledged lost; what
 * was under way when it went may have been done. */
static void scene_check(struct scene *s)
{
    char cookie[128], line[128];
    CU_ASSERT(browser_cookie(&s->browser, "/login", cookie));
    cookie[11 + 32] = s->cookie[11 + 32] = 0; /* the route may move */
    CHECK_STR(cookie, s->cookie);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(
            browser_get(&s->browser, fleet_server(s->fleet, i), "/login/me"),
            200);
        CHECK_STR(browser_line(&s->browser, "user", line), "kim");
        unsigned hits = (unsigned)atoi(browser_line(&s->browser, "hits", line));
        CU_ASSERT(hits >= s->hits && hits <= s->hits + 6);
        CU_ASSERT(server_said(fleet_server(s->fleet, i), "can be used", 1000));
    }
}

static void scene_end(struct scene *s)
{
    browser_close(&s->browser);
    fleet_end();
    relay_free(&s->relay);
    redis_stop_all();
}

static void away_and_back(const char *name, enum way way, const char *validate)
{
    struct scene s = {0};
    if (!redis_is_there() || !scene_begin(&s, validate))
        return;
    long long before = p99_of_me(&s), begin = clock_us(), limit;
    limit = 1000000LL * (1 + slowness());
    scene_away(&s, way);
    long long worst = ask_until(
        &s, begin + 1000000LL * setting_number("MARGAY_PAUSE_SECONDS", 2),
        begin + limit);
    begin = clock_us();
    scene_back(&s, way);
    CU_ASSERT(eventually(10000, all_answer, &s));
    long long back = clock_us() - begin, after = p99_of_me(&s);
    printf("%s, %s: an answer takes %lld ms at most, all are right %lld ms "
           "after it is back; p99 of me %lld us before, %lld us afterwards\n",
           name, validate, worst / 1000, back / 1000, before, after);
    CU_ASSERT(worst < limit);
    CU_ASSERT(after < before * 5 + 20000 * slowness());
    scene_check(&s);
    scene_end(&s);
}

static void redis_stands_still(void)
{
    away_and_back("it stands still", STANDS_STILL, "version");
}

static void redis_is_swallowed(void)
{
    away_and_back("the network swallows it", SWALLOWED, "version");
}

static void redis_is_killed_and_restarted(void)
{
    away_and_back("it is killed and restarted", KILLED, "version");
}

static void redis_that_is_tracked_is_swallowed(void)
{
    away_and_back("the network swallows it", SWALLOWED, "tracking");
}

/* ---- who starts meanwhile ---- */

static bool is_missed(void *user)
{
    struct scene *s = user;
    return server_said_times(fleet_server(s->fleet, 0), "no answer in time");
}

/* Asserts nothing: it is not the case's thread. */
static void *store_back_when_missed(void *user)
{
    struct scene *s = user;
    s->was_missed = eventually(20000, is_missed, s);
    scene_back(s, STANDS_STILL);
    return NULL;
}

/* A balancer that sees it come must not send users to a 503; but it waits for
 * its store for a second only (where all is slow, that passes). */
static void who_starts_meanwhile_is_ready_with_it(void)
{
    struct scene s = {0};
    pthread_t thread;
    if (!redis_is_there() || !scene_begin(&s, "version"))
        return;
    server_stop(fleet_server(s.fleet, 0));
    scene_away(&s, STANDS_STILL);
    if (pthread_create(&thread, NULL, store_back_when_missed, &s))
        abort();
    long long begin = clock_us();
    bool started = fleet_restart(s.fleet, 0);
    bool waited = clock_us() - begin < WAITS_US;
    int status = browser_get(&s.browser, fleet_server(s.fleet, 0), "/login/me");
    pthread_join(thread, NULL);
    CU_ASSERT_FATAL(started);
    CU_ASSERT(s.was_missed);
    CU_ASSERT(status == 200 || (!waited && status == 503));
    CU_ASSERT(eventually(10000, all_answer, &s));
    CHECK_INT(
        server_said_times(fleet_server(s.fleet, 0), "RedisStore can be used"),
        1);
    scene_end(&s);
}

/* All of them starting would help nobody. */
static void who_starts_without_it_is_ready(void)
{
    struct scene s = {0};
    if (!redis_is_there() || !scene_begin(&s, "version"))
        return;
    server_stop(fleet_server(s.fleet, 0));
    scene_away(&s, KILLED);
    CU_ASSERT_FATAL(fleet_restart(s.fleet, 0));
    CHECK_INT(server_health(fleet_server(s.fleet, 0)), 200);
    CHECK_INT(browser_get(&s.browser, fleet_server(s.fleet, 0), "/login/me"),
              503);
    scene_back(&s, KILLED);
    CU_ASSERT(eventually(10000, all_answer, &s));
    scene_end(&s);
}

UNIT_MAIN_AROUND("store_outage", NULL, fleet_end, CASE(redis_stands_still),
                 CASE(redis_is_swallowed), CASE(redis_is_killed_and_restarted),
                 CASE(redis_that_is_tracked_is_swallowed),
                 CASE(who_starts_meanwhile_is_ready_with_it),
                 CASE(who_starts_without_it_is_ready))
