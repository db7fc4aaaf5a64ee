/* SPDX-License-Identifier: Apache-2.0
 *
 * e_redis.c: Redis dies and forgets, under running instances, and tells what
 * was changed elsewhere.
 * Timeout: 300 s */
#include "config.h"

#include "tests/load.h"
#include "tests/page.h"
#include "tests/redis_server.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 6

/* ---- load ---- */

/* Ends the load. How many acknowledged hits are not there. */
static unsigned load_end(struct load *load)
{
    struct browser b;
    unsigned lost = 0;
    load_halt(load);
    CHECK_INT(load->unanswered, 0);
    CHECK_INT(load_sum(load->gone), 0);
    browser_open(&b);
    for (unsigned n = 0; n < SESSIONS; n++) {
        char header[160], line[128];
        struct look look = {load->fleet, &b, header, 200};
        snprintf(header, sizeof header, "Cookie: %s", load->cookies[n]);
        CU_ASSERT(eventually(5000, all_answer, &look));
        unsigned final = (unsigned)atoi(browser_line(&b, "hits", line));
        CU_ASSERT(final <= load->sent[n]);
        if (final < load->acknowledged[n])
            lost += load->acknowledged[n] - final;
    }
    browser_close(&b);
    load_free(&load);
    return lost;
}

/* ---- the master dies ---- */

static struct fleet *fleet_on(const char *url, const char *min_replicas)
{
    struct fleet *f = fleet_new("redis.xml");
    if (!f)
        return NULL;
    fleet_define(f, "store.url", url);
    fleet_define(f, "minReplicas", min_replicas);
    CU_ASSERT_FATAL(fleet_start(f, 3));
    return f;
}

struct change {
    struct redis_group *group;
    struct redis_server *old;
};

static bool is_replaced(void *user)
{
    struct change *c = user;
    struct redis_server *now = redis_group_master(c->group, false);
    return now && now != c->old;
}

static unsigned a_master_dies(const char *min_replicas)
{
    struct redis_group *g = redis_group_start(1000 * slowness());
    struct fleet *f = fleet_on(g->url, min_replicas);
    struct change change = {g, g->servers[0]};
    if (!f)
        return 0;
    struct load *load = load_start(f, SESSIONS, 8);
    CU_ASSERT(load_pass(load, 2000));
    long long begin = clock_ms();
    redis_kill(change.old);
    CU_ASSERT(eventually(30000, is_replaced, &change));
    long long named = clock_ms() - begin;
    /* It comes back empty, and takes itself for the master at first. */
    redis_restart(change.old);
    CU_ASSERT(load_pass(load, 2000));
    long long over = atomic_load(&load->last_refused) - begin;
    printf("minReplicas=%s: another master after %lld ms, the last 503 after "
           "%lld ms; %u requests, %u of them 503\n",
           min_replicas, named, over, load->number, load_sum(load->refused));
    unsigned lost = load_end(load);
    printf("%u acknowledged hits lost\n", lost);
    return lost;
}

static void nothing_is_lost_that_all_replicas_had(void)
{
    if (redis_is_there())
        CHECK_INT(a_master_dies("2"), 0);
}

/* What the replicas had not yet is lost, and nothing else is wrong: load_end
 * looks. */
static void without_waiting_the_last_moment_may_be_lost(void)
{
    if (redis_is_there())
        CU_ASSERT(a_master_dies("0") < 2000);
}

/* ---- it forgets ---- */

static void it_forgets_its_script_and_is_restarted_under_load(void)
{
    if (!redis_is_there())
        return;
    /* everysec holds writes back while the disk is at work: they die with it */
    struct redis_server *redis =
        redis_start("appendonly yes\nappendfsync always");
    char url[320], said[64];
    struct fleet *f = fleet_on(redis_address(redis, url), "0");
    if (!f)
        return;
    struct load *load = load_start(f, SESSIONS, 8);
    for (int i = 0; i < 100; i++) {
        CHECK_STR(redis_do(redis, said, sizeof said, "SCRIPT FLUSH"), "OK");
        CU_ASSERT(load_pass(load, 20));
    }
    CHECK_INT(load_sum(load->refused), 0);
    for (int i = 0; i < 3; i++) {
        redis_kill(redis);
        redis_restart(redis);
        CU_ASSERT(load_pass(load, 500));
    }
    printf("%u requests, %u of them 503\n", load->number,
           load_sum(load->refused));
    CHECK_INT(load_end(load), 0);
}

/* ---- what is told ---- */

static void a_logout_elsewhere_is_told(void)
{
    if (!redis_is_there())
        return;
    struct redis_server *redis = redis_start(NULL);
    char url[320];
    long long worst = 0;
    struct fleet *f = fleet_new("redis.xml");
    struct browser b;
    struct look look = {f, &b, NULL, 401};
    if (!f)
        return;
    fleet_define(f, "store.url", redis_address(redis, url));
    fleet_define(f, "store.validate", "tracking");
    CU_ASSERT_FATAL(fleet_start(f, 3));
    for (unsigned round = 0; round < 30; round++) {
        char cookie[128], header[160], line[128];
        browser_open(&b);
        CHECK_INT(browser_login(&b, fleet_server(f, round), "kim"), 303);
        CU_ASSERT(browser_cookie(&b, "/login", cookie));
        snprintf(header, sizeof header, "Cookie: %s", cookie);
        for (unsigned i = 0; i < 3; i++)
            CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 200);
        for (unsigned i = 0; i < 12; i++)
            CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        CHECK_STR(browser_line(&b, "user", line), "kim");
        CHECK_INT(browser_post(&b, fleet_server(f, round), "/login/logout", ""),
                  200);
        long long begin = clock_ms();
        look.header = header;
        CU_ASSERT(eventually(5000, all_answer, &look));
        long long took = clock_ms() - begin;
        worst = took > worst ? took : worst;
        browser_close(&b);
    }
    printf("a logout is seen by all after %lld ms at the worst of 30\n", worst);
    CU_ASSERT(worst <= 1000 * slowness());
}

/* ---- what it costs ---- */

struct cost {
    double commands, bytes;
};

static double info_number(struct redis_server *redis, const char *name)
{
    static char said[65536];
    redis_do(redis, said, sizeof said, "INFO everything");
    const char *at = strstr(said, name);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

/* Of the commands that requests are made of; bytes both ways. The script of a
 * write counts as the GETRANGE in it. */
static struct cost cost_now(struct redis_server *redis)
{
    static const char *const commands[] = {"get", "getrange"};
    struct cost cost = {0, info_number(redis, "total_net_input_bytes:") +
                               info_number(redis, "total_net_output_bytes:")};
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "cmdstat_%s:calls=", commands[i]);
        cost.commands += info_number(redis, name);
    }
    return cost;
}

/* Of `count` requests beyond what it costs to be there; looking costs, too. */
static struct cost cost_of(struct fleet *f, struct redis_server *redis,
                           struct browser *b, const char *path, unsigned count)
{
    struct cost begin = cost_now(redis), idle = cost_now(redis), end;
    double look = idle.bytes - begin.bytes;
    begin = idle;
    for (unsigned n = 0; n < count; n++)
        CHECK_INT(browser_get(b, fleet_server(f, n), path), 200);
    end = cost_now(redis);
    return (struct cost){(end.commands - begin.commands) / count,
                         (end.bytes - begin.bytes - look) / count};
}

static void tracking_asks_less(void)
{
    if (!redis_is_there())
        return;
    for (int tracking = 0; tracking < 2; tracking++) {
        struct redis_server *redis = redis_start(NULL);
        char url[320];
        struct browser b;
        struct fleet *f = fleet_new("redis.xml");
        if (!f)
            return;
        fleet_define(f, "store.url", redis_address(redis, url));
        fleet_define(f, "store.validate", tracking ? "tracking" : "version");
        CU_ASSERT_FATAL(fleet_start(f, 1));
        browser_open(&b);
        CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
        CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
        struct cost me = cost_of(f, redis, &b, "/login/me", 2000);
        struct cost hit = cost_of(f, redis, &b, "/login/hit", 2000);
        printf("%s: me %.3f commands, %.0f bytes; hit %.3f commands, %.0f "
               "bytes\n",
               tracking ? "tracking" : "version", me.commands, me.bytes,
               hit.commands, hit.bytes);
        CU_ASSERT(tracking ? me.commands < 0.1 : me.commands > 0.9);
        CU_ASSERT(hit.commands < 2.1);
        browser_close(&b);
        fleet_end();
    }
}

/* ---- the page ---- */

static void the_page_shows_how_to_read_a_session(void)
{
    if (!redis_is_there())
        return;
    struct redis_server *redis = redis_start("requirepass pw");
    const char *python = getenv("PYTHON");
    char url[320], id[128], arguments[600], out[8192];
    struct fleet *f = fleet_on(redis_address(redis, url), "0");
    struct browser b;
    if (!f)
        return;
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 200);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    browser_line(&b, "session", id);
    snprintf(arguments, sizeof arguments, "'%s' %s", url, id);
    page_run(f, "Redis", "python", python ? python : "/usr/bin/python3",
             arguments, out, sizeof out);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\"user\": \"kim\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\"hits\": 3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, id));
    snprintf(arguments, sizeof arguments, "redis://default:pw@127.0.0.1:%d/0",
             redis->port);
    setenv("URL", arguments, 1);
    setenv("ID", id, 1);
    page_run(f, "Redis", "sh", "sh -e", "", out, sizeof out);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, id));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "kim"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\n19")); /* PTTL of 32 minutes */
    if (CU_get_number_of_failures())
        puts(out);
    browser_close(&b);
}

UNIT_MAIN_AROUND("redis", NULL, fleet_end,
                 CASE(nothing_is_lost_that_all_replicas_had),
                 CASE(without_waiting_the_last_moment_may_be_lost),
                 CASE(it_forgets_its_script_and_is_restarted_under_load),
                 CASE(a_logout_elsewhere_is_told), CASE(tracking_asks_less),
                 CASE(the_page_shows_how_to_read_a_session))
