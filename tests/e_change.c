/* SPDX-License-Identifier: Apache-2.0
 *
 * e_change.c: the way in which sessions are kept is changed while they are
 * used, through HAProxy: all-to-all, Redis, primary-secondary, each by one
 * rolling restart to both and one to the next alone. Nobody is logged out, no
 * request fails, and who has logged out stays out.
 * MARGAY_CHANGE_ALL: as far as primary-secondary; else as far as Redis.
 * MARGAY_CHANGE_INSTANCES: 2 unless set. MARGAY_CHANGE_IDLE: sessions that
 * nobody uses meanwhile, 20 unless set.
 *
 * Timeout: 400 s */
#include "config.h"

#include "tests/redis_server.h"
#include "tests/traffic.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_MAX 2000
#define LEAVERS 5 /* one before, and one after each rolling restart */

/* What stands beside <Cluster> in each of them. */
#define REDIS                                                                  \
    "className=\"PersistentManager\"><Store className=\"RedisStore\" "         \
    "url=\"${store.url}\"/></Manager>"
#define BACKUP "className=\"BackupManager\"/>"
#define DELTA "className=\"DeltaManager\"/>"
#define COOKIES "<CookieProcessor sameSiteCookies=\"lax\"/>"

static const char *const stages[] = {
    COOKIES "<Manager " DELTA,
    COOKIES "<Manager " REDIS "<Manager role=\"previous\" " DELTA,
    COOKIES "<Manager " REDIS "<!-- alone -->",
    COOKIES "<Manager " BACKUP "<Manager role=\"previous\" " REDIS,
    COOKIES "<Manager " BACKUP "<!-- alone -->",
};

struct change {
    struct fleet *f;
    struct fleet door; /* the balancer, as a fleet of one */
    struct traffic t;
    struct browser leavers[LEAVERS];
    unsigned instances, rolls, idle;
    char cookies[IDLE_MAX][128];
};

static bool all_are_complete(void *user)
{
    struct change *c = user;
    for (unsigned i = 0; i < c->f->count; i++)
        if (server_metric(&c->f->servers[i],
                          "margay_previous_complete{context=\"/login\"} 1") < 1)
            return false;
    return true;
}

static bool is_in(struct change *c, unsigned leaver)
{
    return browser_get(&c->leavers[leaver], &c->door.servers[0], "/login/me") ==
           200;
}

static void leave(struct change *c, unsigned leaver)
{
    CU_ASSERT(is_in(c, leaver));
    CHECK_INT(browser_post(&c->leavers[leaver], &c->door.servers[0],
                           "/login/logout", ""),
              200);
}

/* One more rolling restart, to the next stage. */
static void roll_to(struct change *c, unsigned stage)
{
    char said[64];
    CU_ASSERT_FATAL(fleet_edit(c->f, stages[stage - 1], stages[stage]));
    server_signal(&c->f->launcher, SIGHUP);
    snprintf(said, sizeof said, "rolling restart: %u instances replaced",
             c->instances);
    c->rolls++;
    long long end = clock_ms() + 90000 * slowness();
    while (server_said_times(&c->f->launcher, said) < c->rolls &&
           clock_ms() < end)
        traffic_pass(&c->t, 20);
    CHECK_INT_FATAL(server_said_times(&c->f->launcher, said), c->rolls);
    if (stage % 2)
        CU_ASSERT_FATAL(eventually(60000, all_are_complete, c));
    leave(c, stage);
    for (unsigned i = 0; i < LEAVERS; i++)
        CHECK_INT(is_in(c, i), i > stage);
    CU_ASSERT(traffic_pass(&c->t, 100));
}

static void log_in_those_who_wait(struct change *c)
{
    for (unsigned i = 0; i < c->idle; i++) {
        struct browser b;
        browser_open(&b);
        CHECK_INT(browser_login(&b, &c->door.servers[0], "lee"), 303);
        CHECK_INT(browser_get(&b, &c->door.servers[0], "/login/hit"), 200);
        CU_ASSERT(browser_cookie(&b, "/login", c->cookies[i]));
        browser_close(&b);
    }
    for (unsigned i = 0; i < LEAVERS; i++) {
        browser_open(&c->leavers[i]);
        CHECK_INT(browser_login(&c->leavers[i], &c->door.servers[0], "park"),
                  303);
    }
}

/* Nobody has asked for them since. */
static void those_who_waited_are_in(struct change *c)
{
    unsigned in = 0;
    for (unsigned i = 0; i < c->idle; i++) {
        struct browser b;
        char header[160];
        browser_open(&b);
        snprintf(header, sizeof header, "Cookie: %s", c->cookies[i]);
        in += browser_get_with(&b, &c->door.servers[0], "/login/me", header) ==
                  200 &&
              strstr(b.body, "hits=1\n") != NULL;
        browser_close(&b);
    }
    CHECK_INT(in, c->idle);
}

static bool open_the_door(struct change *c)
{
    int port = fleet_free_port();
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    traffic_door(&c->door, port);
    return fleet_launch(
        c->f, c->instances,
        (const char *[]){"--balancer", "haproxy", "--listen", listen, NULL});
}

static void nobody_notices_a_change(void)
{
    static struct change c;
    char url[320];
    memset(&c, 0, sizeof c);
    if (access("/usr/sbin/haproxy", X_OK) != 0) {
        unit_skip("no haproxy");
        return;
    }
    if (!redis_is_there() || !(c.f = fleet_new("delta.xml")))
        return;
    c.instances = (unsigned)setting_number("MARGAY_CHANGE_INSTANCES", 2);
    c.idle = (unsigned)setting_number("MARGAY_CHANGE_IDLE", 20);
    if (c.idle > IDLE_MAX)
        c.idle = IDLE_MAX;
    fleet_define(c.f, "store.url", redis_address(redis_start(NULL), url));
    fleet_define(c.f, "drain", "1");
    CU_ASSERT_FATAL(fleet_edit(c.f, COOKIES, stages[0]));
    CU_ASSERT_FATAL(open_the_door(&c));
    log_in_those_who_wait(&c);
    traffic_login(&c.t, &c.door, TRAFFIC_SESSIONS);
    traffic_go(&c.t, 8);
    CU_ASSERT_FATAL(traffic_pass(&c.t, 100));
    leave(&c, 0);
    unsigned last = setting_number("MARGAY_CHANGE_ALL", 0) ? 4 : 2;
    for (unsigned stage = 1; stage <= last; stage++)
        roll_to(&c, stage);
    traffic_halt(&c.t);
    traffic_unnoticed(&c.t);
    those_who_waited_are_in(&c);
    for (unsigned i = 0; i < LEAVERS; i++) {
        CHECK_INT(is_in(&c, i), i > last);
        browser_close(&c.leavers[i]);
    }
    CHECK_INT(server_stop(&c.f->launcher), 0);
}

UNIT_MAIN_AROUND("change", NULL, fleet_end, CASE(nobody_notices_a_change))
