/* SPDX-License-Identifier: Apache-2.0
 *
 * e_delta_loss.c: members that replicate to each other die, stop and come back
 * under load.
 *
 * Timeout: 300 s. MARGAY_CHAOS_SECONDS says for how long they are killed. */
#include "config.h"

#include "tests/traffic.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* xorshift64 (Marsaglia) */
static unsigned draw(uint64_t *state, unsigned below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)(*state >> 33) % below;
}

static bool is_past(void *user)
{
    return clock_ms() >= *(long long *)user;
}

static bool is_ready(void *user)
{
    return server_health(user) == 200;
}

/* No member that says that it is ready failed anybody. */
static void nobody_was_failed(const struct traffic *t)
{
    CHECK_INT(t->stale, 0);
    CHECK_INT(t->beyond, 0);
    CHECK_INT(t->ended, 0);
    CHECK_INT(t->unavailable, 0);
    CHECK_INT(t->others, 0);
}

static bool come_back(struct traffic *t, unsigned victim)
{
    struct server *s = fleet_server(t->fleet, victim);
    if (!fleet_restart(t->fleet, victim) || !eventually(20000, is_ready, s))
        return false;
    atomic_store(&t->away[victim], false);
    return true;
}

static void acknowledged_is_kept(struct fleet *f)
{
    int seconds = setting_number("MARGAY_CHAOS_SECONDS", 8);
    uint64_t seed = (uint64_t)clock_ms() * 2 + 1;
    long long end = clock_ms() + seconds * 1000LL, next = 0;
    unsigned kills = 0;
    struct traffic t;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    while (clock_ms() < end) {
        unsigned victim = draw(&seed, 3);
        next = clock_ms() + 1000;
        server_kill(fleet_server(f, victim));
        atomic_store(&t.away[victim], true);
        kills++;
        CU_ASSERT_FATAL(traffic_pass(&t, 200));
        CU_ASSERT_FATAL(come_back(&t, victim));
        CU_ASSERT_FATAL(traffic_pass(&t, 200));
        eventually(1000, is_past, &next);
    }
    traffic_halt(&t);
    printf("%u killed within %d s\n", kills, seconds);
    nobody_was_failed(&t);
    if (t.strange[0])
        printf("the last: %s\n", t.strange);
    traffic_check(&t);
}

/* Each in turn; `rounds` times. */
static void stop_each(struct fleet *f, unsigned rounds)
{
    struct traffic t;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    for (unsigned n = 0; n < 3 * rounds; n++) {
        CU_ASSERT_FATAL(traffic_pass(&t, 1000));
        long long begin = clock_ms();
        server_signal(fleet_server(f, n), SIGTERM);
        CHECK_INT(server_wait(fleet_server(f, n), 15000 * slowness()), 0);
        printf("stopped within %lld ms\n", clock_ms() - begin);
        atomic_store(&t.away[n % 3], true);
        CU_ASSERT_FATAL(traffic_pass(&t, 1000));
        CU_ASSERT_FATAL(come_back(&t, n % 3));
    }
    CU_ASSERT(traffic_pass(&t, 1000));
    traffic_halt(&t);
    nobody_was_failed(&t);
    CHECK_INT(t.unanswered, 0);
    CHECK_STR(t.strange, "");
    traffic_check(&t);
}

static void a_rolling_restart_logs_nobody_out(struct fleet *f)
{
    stop_each(f, (unsigned)setting_number("MARGAY_CHAOS_SECONDS", 8) / 8);
}

/* The last one has what nobody else has any more. */
static void what_one_kept_is_enough(struct fleet *f)
{
    struct traffic t;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_FATAL(traffic_pass(&t, 500));
        server_kill(fleet_server(f, i));
        atomic_store(&t.away[i], true);
    }
    CU_ASSERT_FATAL(traffic_pass(&t, 500));
    for (unsigned i = 0; i < 2; i++)
        CU_ASSERT_FATAL(come_back(&t, i));
    CU_ASSERT_FATAL(traffic_pass(&t, 500));
    server_kill(fleet_server(f, 2));
    atomic_store(&t.away[2], true);
    CU_ASSERT_FATAL(traffic_pass(&t, 500));
    CU_ASSERT_FATAL(come_back(&t, 2));
    traffic_halt(&t);
    nobody_was_failed(&t);
    traffic_check(&t);
}

/* Without a copy that was waited for nothing is promised but that it goes on
 * and that copies become equal. */
static void goes_on_at(const char *replication)
{
    struct fleet *f = fleet_new("delta.xml");
    struct traffic t;
    if (!f)
        return;
    fleet_define(f, "replication", replication);
    CU_ASSERT_FATAL(fleet_start(f, 3));
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_FATAL(traffic_pass(&t, 1000));
        server_kill(fleet_server(f, i));
        atomic_store(&t.away[i], true);
        CU_ASSERT_FATAL(traffic_pass(&t, 1000));
        CU_ASSERT_FATAL(come_back(&t, i));
    }
    CU_ASSERT_FATAL(traffic_pass(&t, 1000));
    traffic_halt(&t);
    CHECK_INT(t.others, 0);
    CHECK_INT(t.unavailable, 0);
    CHECK_INT(t.ended, 0);
    for (unsigned n = 0; n < t.sessions; n++)
        t.acknowledged[n] = 0;
    traffic_check(&t);
}

static void goes_on_at_one(void)
{
    goes_on_at("one");
}

static void goes_on_at_none(void)
{
    goes_on_at("none");
}

FLEET_CASE(acknowledged_is_kept, delta, "delta.xml", 3)
FLEET_CASE(a_rolling_restart_logs_nobody_out, delta, "delta.xml", 3)
FLEET_CASE(what_one_kept_is_enough, delta, "delta.xml", 3)
UNIT_MAIN_AROUND("delta_loss", NULL, fleet_end,
                 CASE(acknowledged_is_kept_on_delta),
                 CASE(a_rolling_restart_logs_nobody_out_on_delta),
                 CASE(what_one_kept_is_enough_on_delta), CASE(goes_on_at_one),
                 CASE(goes_on_at_none))
