/* SPDX-License-Identifier: Apache-2.0
 *
 * e_leave.c: members that stop in order, several of them at the same moment. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MEMBERS 5
#define GUESTS 120
#define ROLE(role)                                                             \
    "margay_sessions_active{context=\"/login\",role=\"" role "\"}"

struct guests {
    struct fleet *fleet;
    unsigned count;
    char cookies[GUESTS][128];
    bool away[FLEET_MAX];
};

/* At those that are not away, one after the other. */
static unsigned next_here(const struct guests *g, unsigned i)
{
    do
        i = (i + 1) % g->fleet->count;
    while (g->away[i]);
    return i;
}

static void guests_make(struct guests *g, struct fleet *f, unsigned count)
{
    struct shot shots[GUESTS];
    struct battery *battery = battery_new(8);
    unsigned at = 0;
    memset(shots, 0, sizeof shots);
    g->fleet = f;
    g->count = count;
    for (unsigned n = 0; n < count; n++) {
        shots[n].server = fleet_server(f, at);
        snprintf(shots[n].path, sizeof shots[n].path, "/login/new");
        at = next_here(g, at);
    }
    volley(battery, shots, count);
    for (unsigned n = 0; n < count; n++) {
        CHECK_INT(shots[n].status, 200);
        snprintf(g->cookies[n], sizeof g->cookies[n], "%s",
                 shots[n].cookie_set);
    }
    battery_free(&battery);
}

/* How many of them are there, each asked for at one that is. */
static unsigned guests_there(const struct guests *g, const char *path)
{
    struct shot shots[GUESTS];
    struct battery *battery = battery_new(8);
    unsigned at = g->fleet->count - 1, there = 0;
    memset(shots, 0, sizeof shots);
    for (unsigned n = 0; n < g->count; n++) {
        at = next_here(g, at);
        shots[n].server = fleet_server(g->fleet, at);
        shots[n].cookie = g->cookies[n];
        snprintf(shots[n].path, sizeof shots[n].path, "%s", path);
    }
    volley(battery, shots, g->count);
    for (unsigned n = 0; n < g->count; n++) {
        there += shots[n].status == 200;
        if (shots[n].status != 200)
            printf("%s: %d %s", shots[n].server->node, shots[n].status,
                   shots[n].body);
    }
    battery_free(&battery);
    return there;
}

static double sum_of(const struct guests *g, const char *metric)
{
    double sum = 0;
    for (unsigned i = 0; i < g->fleet->count; i++)
        if (!g->away[i])
            sum += server_metric(fleet_server(g->fleet, i), metric);
    return sum;
}

static bool all_hold(void *user)
{
    const struct guests *g = user;
    return sum_of(g, ROLE("primary")) == g->count &&
           sum_of(g, ROLE("backup")) == g->count &&
           sum_of(g, "margay_sessions_exposed") == 0;
}

static bool is_ready(void *user)
{
    return server_health(user) == 200;
}

/* Those whose bits are set, at the same moment. */
static void stop_at_once(struct guests *g, unsigned which)
{
    long long begin = clock_ms();
    for (unsigned i = 0; i < g->fleet->count; i++)
        if (which & 1u << i) {
            g->away[i] = true;
            server_signal(fleet_server(g->fleet, i), SIGTERM);
        }
    for (unsigned i = 0; i < g->fleet->count; i++)
        if (which & 1u << i)
            CHECK_INT(server_wait(fleet_server(g->fleet, i), 15000), 0);
    printf("stopped within %lld ms\n", clock_ms() - begin);
    CU_ASSERT(clock_ms() - begin < 10000);
}

static void start_again(struct guests *g, unsigned which)
{
    for (unsigned i = 0; i < g->fleet->count; i++) {
        if (!(which & 1u << i))
            continue;
        CU_ASSERT_FATAL(fleet_restart(g->fleet, i));
        CU_ASSERT(eventually(20000, is_ready, fleet_server(g->fleet, i)));
        g->away[i] = false;
    }
    CU_ASSERT(eventually(20000, all_hold, g));
}

/* More than there are backups: a session that two of them hold goes to one of
 * the two that stay. */
static void three_of_five_stop_at_once(struct fleet *f)
{
    static const unsigned which[] = {0x07, 0x1c, 0x15, 0x0e};
    struct guests g = {.count = 0};
    guests_make(&g, f, GUESTS);
    for (unsigned n = 0; n < sizeof which / sizeof *which; n++) {
        stop_at_once(&g, which[n]);
        CHECK_INT(guests_there(&g, "/login/me"), GUESTS);
        CHECK_INT(guests_there(&g, "/login/hit"), GUESTS);
        start_again(&g, which[n]);
    }
}

/* It is gone when its sessions have another copy, not before. */
static void a_backup_that_stops_is_replaced_before(struct fleet *f)
{
    struct guests g = {.count = 0};
    g.away[1] = g.away[2] = true; /* all are made at the first */
    guests_make(&g, f, GUESTS);
    g.away[1] = g.away[2] = false;
    stop_at_once(&g, 1u << 1);
    g.away[0] = true;
    server_signal(fleet_server(f, 0), SIGKILL);
    server_wait(fleet_server(f, 0), 5000);
    CHECK_INT(guests_there(&g, "/login/me"), GUESTS);
}

/* Nor does it wait for one that stands still to say good-bye. */
static void who_stops_beside_one_that_stands_still(struct fleet *f)
{
    struct guests g = {.count = 0};
    guests_make(&g, f, GUESTS);
    server_signal(fleet_server(f, 2), SIGSTOP);
    g.away[2] = true;
    long long begin = clock_ms();
    stop_at_once(&g, 1u << 1);
    CU_ASSERT(clock_ms() - begin < 8000); /* stopTimeout: 10 s */
    CHECK_INT(server_said_times(fleet_server(f, 1), "the stop hangs"), 0);
    CHECK_INT(guests_there(&g, "/login/me"), GUESTS);
    server_signal(fleet_server(f, 2), SIGCONT);
}

/* Each says how many that it was the last to hold had nobody to go to. */
static unsigned said_alone(struct fleet *f)
{
    static const char what[] = " sessions of /login have nobody to go to";
    unsigned alone = 0;
    for (unsigned i = 0; i < f->count; i++) {
        const char *log = fleet_server(f, i)->log;
        const char *at = log ? strstr(log, what) : NULL;
        while (at && at > log && at[-1] >= '0' && at[-1] <= '9')
            at--;
        alone += at ? (unsigned)atoi(at) : 0;
    }
    return alone;
}

static void when_all_stop_the_last_say_what_is_lost(struct fleet *f)
{
    struct guests g = {.count = 0};
    guests_make(&g, f, GUESTS);
    stop_at_once(&g, 7);
    CHECK_INT(said_alone(f), GUESTS);
}

/* One starts again without the application: the others hold its sessions among
 * them, and lose nothing when one of them dies. */
static void who_lacks_the_application_holds_nothing(struct fleet *f)
{
    struct guests g = {.count = 0};
    char few[320];
    CHECK_INT(server_stop(fleet_server(f, 3)), 0);
    snprintf(few, sizeof few, "%s/few", f->dir);
    CHECK_INT(mkdir(few, 0700), 0);
    fleet_define(f, "webapps", few);
    CU_ASSERT_FATAL(fleet_restart(f, 3));
    CU_ASSERT(eventually(20000, is_ready, fleet_server(f, 3)));
    g.away[3] = true;
    guests_make(&g, f, GUESTS);
    CU_ASSERT(all_hold(&g));
    g.away[0] = true;
    server_signal(fleet_server(f, 0), SIGKILL);
    server_wait(fleet_server(f, 0), 5000);
    CHECK_INT(guests_there(&g, "/login/hit"), GUESTS);
    CU_ASSERT(eventually(20000, all_hold, &g));
}

FLEET_CASE(three_of_five_stop_at_once, backup, "backup.xml", MEMBERS)
FLEET_CASE(a_backup_that_stops_is_replaced_before, backup, "backup.xml", 3)
FLEET_CASE(who_stops_beside_one_that_stands_still, backup, "backup.xml", 3)
FLEET_CASE(who_lacks_the_application_holds_nothing, backup, "backup.xml", 4)
FLEET_CASE(when_all_stop_the_last_say_what_is_lost, backup, "backup.xml", 3)
UNIT_MAIN_AROUND("leave", NULL, fleet_end,
                 CASE(three_of_five_stop_at_once_on_backup),
                 CASE(a_backup_that_stops_is_replaced_before_on_backup),
                 CASE(who_stops_beside_one_that_stands_still_on_backup),
                 CASE(who_lacks_the_application_holds_nothing_on_backup),
                 CASE(when_all_stop_the_last_say_what_is_lost_on_backup))
