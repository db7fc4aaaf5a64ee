/* SPDX-License-Identifier: Apache-2.0
 *
 * e_kill.c: kill -9 of one instance after the other, under load. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 6

struct load {
    struct fleet *fleet;
    char cookies[SESSIONS][128];
    unsigned sent[SESSIONS], acknowledged[SESSIONS];
    unsigned number, unanswered, server_errors, others;
    char strange[64]; /* an answer that should not have come */
    atomic_uint answered;
    atomic_bool stop;
    atomic_bool away[3]; /* not ready: a balancer would pass it over */
};

static bool load_next(void *user, struct shot *shot)
{
    struct load *load = user;
    if (atomic_load(&load->stop))
        return false;
    unsigned n = load->number++;
    unsigned at = n / SESSIONS % 3;
    while (atomic_load(&load->away[at]))
        at = (at + 1) % 3;
    shot->number = n % SESSIONS;
    shot->server = fleet_server(load->fleet, at);
    shot->cookie = load->cookies[shot->number];
    snprintf(shot->path, sizeof shot->path, "/login/hit");
    shot->sends = &load->sent[shot->number];
    return true;
}

static void load_hit(void *user, const struct shot *shot)
{
    struct load *load = user;
    bool is_strange = shot->status != 0 && shot->status != 200;
    load->acknowledged[shot->number] += shot->status == 200;
    load->unanswered += shot->status == 0;
    load->server_errors += shot->status >= 500;
    load->others += is_strange && shot->status < 500;
    if (is_strange)
        snprintf(load->strange, sizeof load->strange, "%d %.40s", shot->status,
                 shot->body);
    if (shot->status == 200)
        atomic_fetch_add(&load->answered, 1);
}

static void *load_run(void *argument)
{
    struct load *load = argument;
    struct battery *battery = battery_new(16);
    volley_run(battery, load_next, load_hit, load);
    battery_free(&battery);
    return NULL;
}

struct until {
    struct load *load;
    unsigned answered;
};

static bool is_answered(void *user)
{
    struct until *until = user;
    return atomic_load(&until->load->answered) >= until->answered;
}

/* Lets `more` requests be answered. */
static bool let_pass(struct load *load, unsigned more)
{
    struct until until = {load, atomic_load(&load->answered) + more};
    return eventually(30000, is_answered, &until);
}

/* So many are answered before each kill, while one is missing, after. */
#define STRETCH 2000

static void acknowledged_is_kept(struct fleet *f)
{
    struct load *load = calloc(1, sizeof *load);
    struct browser b;
    pthread_t thread;
    load->fleet = f;
    for (unsigned n = 0; n < SESSIONS; n++) {
        browser_open(&b);
        CHECK_INT_FATAL(browser_login(&b, fleet_server(f, n), "kim"), 303);
        CU_ASSERT_FATAL(browser_cookie(&b, "/login", load->cookies[n]));
        browser_close(&b);
    }
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, load_run, load) == 0);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(let_pass(load, STRETCH));
        server_kill(fleet_server(f, i));
        atomic_store(&load->away[i], true);
        CU_ASSERT(let_pass(load, STRETCH));
        CU_ASSERT(fleet_restart(f, i));
        atomic_store(&load->away[i], false);
        CHECK_INT(server_health(fleet_server(f, i)), 200);
    }
    CU_ASSERT(let_pass(load, STRETCH));
    atomic_store(&load->stop, true);
    pthread_join(thread, NULL);

    printf("%u sent, %u answered, %u without an answer\n", load->number,
           atomic_load(&load->answered), load->unanswered);
    CHECK_INT(load->server_errors, 0);
    CHECK_INT(load->others, 0);
    CHECK_STR(load->strange, "");
    browser_open(&b);
    for (unsigned n = 0; n < SESSIONS; n++) {
        char header[160], line[128];
        snprintf(header, sizeof header, "Cookie: %s", load->cookies[n]);
        for (unsigned i = 0; i < 3; i++) {
            CHECK_INT(
                browser_get_with(&b, fleet_server(f, i), "/login/me", header),
                200);
            unsigned final = (unsigned)atoi(browser_line(&b, "hits", line));
            CU_ASSERT(load->acknowledged[n] <= final);
            CU_ASSERT(final <= load->sent[n]);
        }
    }
    browser_close(&b);
    free(load);
}

static void all_are_killed(struct fleet *f)
{
    struct browser b;
    char line[128];
    browser_open(&b);
    CHECK_INT_FATAL(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 200);
    for (unsigned i = 0; i < 3; i++)
        server_kill(fleet_server(f, i));
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_FATAL(fleet_restart(f, i));
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        CHECK_STR(browser_line(&b, "user", line), "kim");
        CHECK_STR(browser_line(&b, "hits", line), "3");
    }
    browser_close(&b);
}

FLEET_CASE(acknowledged_is_kept, sqlite, "sqlite.xml", 3)
FLEET_CASE(acknowledged_is_kept, redis, "redis.xml", 3)
FLEET_CASE(acknowledged_is_kept, memcached, "memcached.xml", 3)
FLEET_CASE(acknowledged_is_kept, file, "file.xml", 3)
FLEET_CASE(all_are_killed, file, "file.xml", 3)
FLEET_CASE(all_are_killed, redis, "redis.xml", 3)
FLEET_CASE(acknowledged_is_kept, delta, "delta.xml", 3)
FLEET_CASE(acknowledged_is_kept, backup, "backup.xml", 5)
FLEET_CASE(all_are_killed, sqlite, "sqlite.xml", 3)
UNIT_MAIN_AROUND("kill", NULL, fleet_end, CASE(acknowledged_is_kept_on_sqlite),
                 CASE(acknowledged_is_kept_on_redis),
                 CASE(acknowledged_is_kept_on_memcached),
                 CASE(acknowledged_is_kept_on_file),
                 CASE(all_are_killed_on_file), CASE(all_are_killed_on_redis),
                 CASE(acknowledged_is_kept_on_delta),
                 CASE(acknowledged_is_kept_on_backup),
                 CASE(all_are_killed_on_sqlite))
