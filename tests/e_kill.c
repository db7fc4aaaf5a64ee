/* SPDX-License-Identifier: Apache-2.0
 *
 * e_kill.c: kill -9 of one instance after the other, under load. */
#include "config.h"

#include "tests/load.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>

#define SESSIONS 6

/* So many are answered before each kill, while one is missing, after. */
#define STRETCH 2000

static void acknowledged_is_kept(struct fleet *f)
{
    struct load *load = load_start(f, SESSIONS, 16);
    struct browser b;
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(load_pass(load, STRETCH));
        server_kill(fleet_server(f, i));
        atomic_store(&load->away[i], true);
        CU_ASSERT(load_pass(load, STRETCH));
        CU_ASSERT(fleet_restart(f, i));
        atomic_store(&load->away[i], false);
        CHECK_INT(server_health(fleet_server(f, i)), 200);
    }
    CU_ASSERT(load_pass(load, STRETCH));
    load_halt(load);
    printf("%u sent, %u answered, %u without an answer\n", load->number,
           atomic_load(&load->answered), load->unanswered);
    CHECK_INT(load_sum(load->refused), 0);
    CHECK_INT(load_sum(load->gone), 0);
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
    load_free(&load);
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
