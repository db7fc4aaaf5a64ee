/* SPDX-License-Identifier: Apache-2.0
 *
 * e_roll.c: one command runs a cluster: an instance that crashes comes back,
 * all are replaced one after another under load and nobody notices, through
 * real balancers, too, and what cannot be started stops that.
 * MARGAY_ROLL_ALL=1: every manager behind every balancer.
 *
 * Timeout: 400 s */
#include "config.h"

#include "tests/traffic.h"
#include "tests/unit.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT 4

/* ---- the launcher ---- */

static struct fleet *launched(const char *conf)
{
    struct fleet *f = fleet_new(conf);
    if (!f)
        return NULL;
    fleet_define(f, "drain", "1");
    CU_ASSERT_FATAL(fleet_launch(f, COUNT, NULL));
    return f;
}

static void children(const struct fleet *f, pid_t out[COUNT])
{
    for (unsigned i = 0; i < COUNT; i++) {
        out[i] = fleet_child(f, i);
        CU_ASSERT_FATAL(out[i] > 0);
    }
}

static unsigned in_common(const pid_t a[COUNT], const pid_t b[COUNT])
{
    unsigned n = 0;
    for (unsigned i = 0; i < COUNT; i++)
        n += a[i] == b[i];
    return n;
}

static bool is_ready_again(void *user)
{
    struct fleet *f = user;
    for (unsigned i = 0; i < f->count; i++)
        if (server_health(&f->servers[i]) != 200)
            return false;
    return true;
}

static void rolls_unnoticed(const char *conf)
{
    struct fleet *f = launched(conf);
    pid_t before[COUNT], after[COUNT];
    struct traffic t;
    struct guard g;
    if (!f)
        return;
    children(f, before);
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    guard_go(&g, &t);
    traffic_go(&t, 16);
    CU_ASSERT_FATAL(traffic_pass(&t, 200));
    server_signal(&f->launcher, SIGHUP);
    CU_ASSERT(server_said(&f->launcher, "rolling restart: 4 instances replaced",
                          60000 * slowness()));
    CU_ASSERT(traffic_pass(&t, 200));
    traffic_halt(&t);
    guard_halt(&g);
    children(f, after);
    CHECK_INT(in_common(before, after), 0);
    CHECK_INT(server_said_times(&f->launcher, "rolling restart: node"), COUNT);
    traffic_unnoticed(&t);
}

static void rolls_unnoticed_on_delta(void)
{
    rolls_unnoticed("delta.xml");
}

/* ---- through a balancer that margay cluster runs ---- */

static const char *const fronts[][2] = {
    {"haproxy", "/usr/sbin/haproxy"},
    {"nginx", "/usr/sbin/nginx"},
    {"httpd", "/usr/sbin/apache2"},
};

static bool has_front(const char *kind)
{
    for (size_t i = 0; i < sizeof fronts / sizeof fronts[0]; i++)
        if (strcmp(fronts[i][0], kind) == 0 && access(fronts[i][1], X_OK) == 0)
            return true;
    unit_skip("no %s", kind);
    return false;
}

static void rolls_behind(const char *kind, const char *conf)
{
    struct fleet *f = has_front(kind) ? fleet_new(conf) : NULL;
    static struct fleet door;
    char listen[32];
    struct traffic t;
    int port;
    if (!f)
        return;
    printf("%s, %s: ", kind, conf);
    port = fleet_free_port();
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    fleet_define(f, "drain", "2");
    CU_ASSERT_FATAL(fleet_launch(
        f, COUNT,
        (const char *[]){"--balancer", kind, "--listen", listen, NULL}));
    traffic_door(&door, port);
    traffic_login(&t, &door, TRAFFIC_SESSIONS);
    traffic_go(&t, 16);
    CU_ASSERT_FATAL(traffic_pass(&t, 200));
    server_signal(&f->launcher, SIGHUP);
    CU_ASSERT(server_said(&f->launcher, "rolling restart: 4 instances replaced",
                          90000 * slowness()));
    CU_ASSERT(traffic_pass(&t, 200));
    traffic_halt(&t);
    traffic_unnoticed(&t);
    CHECK_INT(server_stop(&f->launcher), 0);
}

/* That one, or all with MARGAY_ROLL_ALL. */
static void each_behind(const char *kind, const char *conf)
{
    static const char *const confs[] = {"delta.xml", "backup.xml", "sqlite.xml",
                                        "redis.xml"};
    if (!setting_number("MARGAY_ROLL_ALL", 0)) {
        rolls_behind(kind, conf);
        return;
    }
    for (size_t i = 0; i < sizeof confs / sizeof confs[0]; i++) {
        rolls_behind(kind, confs[i]);
        fleet_end();
    }
}

static void rolls_behind_haproxy(void)
{
    each_behind("haproxy", "delta.xml");
}

static void rolls_behind_nginx(void)
{
    each_behind("nginx", "redis.xml");
}

static void rolls_behind_httpd(void)
{
    each_behind("httpd", "backup.xml");
}

/* ---- what goes wrong ---- */

static void one_that_crashes_comes_back(void)
{
    struct fleet *f = launched("delta.xml");
    pid_t before[COUNT], after[COUNT];
    struct browser b;
    if (!f)
        return;
    children(f, before);
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 1), "kim"), 303);
    for (unsigned n = 0; n < 3; n++) {
        char delay[64];
        kill(fleet_child(f, 1), SIGKILL);
        snprintf(delay, sizeof delay,
                 "node2 was ended by signal 9; it starts anew in %.2f s",
                 0.25 * (1 << n));
        CU_ASSERT(server_said(&f->launcher, delay, 5000 * slowness()));
        CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
        CU_ASSERT(eventually(15000, is_ready_again, f));
    }
    CHECK_INT(browser_get(&b, fleet_server(f, 1), "/login/me"), 200);
    children(f, after);
    CHECK_INT(in_common(before, after), COUNT - 1);
    browser_close(&b);
}

static void a_bad_configuration_touches_nothing(void)
{
    struct fleet *f = fleet_new("delta.xml");
    pid_t before[COUNT], after[COUNT];
    if (!f)
        return;
    fleet_define(f, "drain", "0");
    CU_ASSERT_FATAL(fleet_edit(f, "DeltaManager", "DeltaManager"));
    CU_ASSERT_FATAL(fleet_launch(f, COUNT, NULL));
    children(f, before);
    CU_ASSERT_FATAL(fleet_edit(f, "DeltaManager", "DeltoManager"));
    server_signal(&f->launcher, SIGHUP);
    CU_ASSERT(server_said(&f->launcher, "nothing was restarted: mend",
                          10000 * slowness()));
    CU_ASSERT(server_said(&f->launcher, "DeltoManager", 100));
    children(f, after);
    CHECK_INT(in_common(before, after), COUNT);
    CU_ASSERT_FATAL(fleet_edit(f, "DeltoManager", "DeltaManager"));
    server_signal(&f->launcher, SIGHUP);
    CU_ASSERT(
        server_said(&f->launcher, "4 instances replaced", 60000 * slowness()));
    children(f, after);
    CHECK_INT(in_common(before, after), 0);
}

struct thief {
    int port, fd;
};

static bool has_taken(void *user)
{
    struct thief *t = user;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)t->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    if (t->fd < 0)
        t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(t->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    return bind(t->fd, (struct sockaddr *)&a, sizeof a) == 0 &&
           listen(t->fd, 1) == 0;
}

/* Somebody takes the port of the second one while it is away. */
static void one_that_cannot_start_stops_the_roll(void)
{
    struct fleet *f = fleet_new("delta.xml");
    pid_t before[COUNT], after[COUNT];
    struct thief thief = {.fd = -1};
    if (!f)
        return;
    fleet_define(f, "drain", "0");
    CU_ASSERT_FATAL(fleet_launch(f, COUNT, NULL));
    children(f, before);
    thief.port = fleet_server(f, 1)->port;
    server_signal(&f->launcher, SIGHUP);
    CU_ASSERT_FATAL(eventually(20000, has_taken, &thief));
    CU_ASSERT(server_said(&f->launcher,
                          "rolling restart: stops here, since node2",
                          20000 * slowness()));
    CHECK_INT(fleet_child(f, 2), before[2]);
    CHECK_INT(fleet_child(f, 3), before[3]);
    close(thief.fd);
    CU_ASSERT(eventually(30000, is_ready_again, f));
    children(f, after);
    CHECK_INT(in_common(before, after), 2);
}

static void a_stop_kills_what_hangs(void)
{
    struct fleet *f = fleet_new("standard.xml");
    if (!f)
        return;
    fleet_define(f, "drain", "0");
    fleet_define(f, "stopTimeout", "1");
    CU_ASSERT_FATAL(fleet_launch(f, 2, NULL));
    kill(fleet_child(f, 1), SIGSTOP);
    server_signal(&f->launcher, SIGTERM);
    CHECK_INT(server_wait(&f->launcher, 20000 * slowness()), 1);
    CU_ASSERT(server_said(&f->launcher, "node2 does not end: it is killed", 0));
}

UNIT_MAIN_AROUND("roll", NULL, fleet_end, CASE(one_that_crashes_comes_back),
                 CASE(a_bad_configuration_touches_nothing),
                 CASE(one_that_cannot_start_stops_the_roll),
                 CASE(a_stop_kills_what_hangs), CASE(rolls_behind_haproxy),
                 CASE(rolls_behind_nginx), CASE(rolls_behind_httpd),
                 CASE(rolls_unnoticed_on_delta))
