/* SPDX-License-Identifier: Apache-2.0
 *
 * e_stop.c: the beginning and the orderly end of an instance. */
#include "config.h"

#include "tests/client.h"
#include "tests/neighbour.h"
#include "tests/unit.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>

struct load {
    struct fleet *fleet;
    char cookie[128];
    const char *path, *form;
    unsigned ok, refused, others;
    int problem; /* libcurl's code of one that got no answer */
    char strange[64];
    atomic_uint answered;
    atomic_bool stop;
};

static bool load_next(void *user, struct shot *shot)
{
    struct load *load = user;
    if (atomic_load(&load->stop))
        return false;
    shot->server = fleet_server(load->fleet, 0);
    shot->cookie = load->cookie;
    shot->form = load->form;
    snprintf(shot->path, sizeof shot->path, "%s", load->path);
    return true;
}

static void load_hit(void *user, const struct shot *shot)
{
    struct load *load = user;
    atomic_fetch_add(&load->answered, 1);
    if (shot->status == (load->form ? 303 : 200)) {
        load->ok++;
    } else if (shot->problem == CURLE_COULDNT_CONNECT) {
        load->refused++; /* the port is closed: nothing arrived */
        atomic_store(&load->stop, true);
    } else {
        load->others++;
        load->problem = shot->problem;
        snprintf(load->strange, sizeof load->strange, "%d %.40s", shot->status,
                 shot->body);
    }
}

static void *load_run(void *argument)
{
    struct load *load = argument;
    struct battery *battery = battery_new(16);
    volley_run(battery, load_next, load_hit, load);
    battery_free(&battery);
    return NULL;
}

static bool has_begun(void *user)
{
    return atomic_load(&((struct load *)user)->answered) >= 64;
}

static void stop_under_load(struct fleet *f, int rounds, const char *path,
                            const char *form)
{
    for (int round = 0; round < rounds; round++) {
        struct load load = {.fleet = f, .path = path, .form = form};
        struct browser b;
        pthread_t thread;
        browser_open(&b);
        CHECK_INT_FATAL(browser_get(&b, fleet_server(f, 0), "/login/new"), 200);
        CU_ASSERT_FATAL(browser_cookie(&b, "/login", load.cookie));
        browser_close(&b);
        CU_ASSERT_FATAL(pthread_create(&thread, NULL, load_run, &load) == 0);
        CU_ASSERT(eventually(20000, has_begun, &load));
        long long begin = clock_ms();
        CHECK_INT(server_stop(fleet_server(f, 0)), 0);
        printf("stopped within %lld ms\n", clock_ms() - begin);
        CU_ASSERT(clock_ms() - begin < 10000);
        atomic_store(&load.stop, true);
        pthread_join(thread, NULL);
        CHECK_INT(load.problem, 0);
        CHECK_STR(load.strange, "");
        CHECK_INT(load.others, 0);
        CU_ASSERT(load.ok >= 64);
        CU_ASSERT_FATAL(fleet_restart(f, 0));
    }
}

static void what_arrived_is_answered(struct fleet *f)
{
    stop_under_load(f, 3, "/login/hit", NULL);
}

/* Each of these computes a hash on the Executor's threads. */
static void what_computes_is_answered(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    if (!f)
        return;
    fleet_define(f, "login.anyone", "false");
    /* On a busy machine a hash waits longer than 1 s for its thread: 503. */
    fleet_define(f, "waitTimeout", "20");
    CU_ASSERT_FATAL(fleet_start(f, 1));
    stop_under_load(f, 2, "/login/login", "user=kim&password=margay");
}

#define SLEEPERS 8

/* Requests that run when the signal comes, on the Executor's threads. */
static void *sleepers_run(void *argument)
{
    struct shot *shots = argument;
    struct battery *battery = battery_new(SLEEPERS);
    volley(battery, shots, SLEEPERS);
    battery_free(&battery);
    return NULL;
}

static bool sleepers_run_now(void *user)
{
    return server_metric(user, "margay_http_requests_total") >= 1;
}

static void what_still_runs_is_answered(struct fleet *f)
{
    struct shot shots[SLEEPERS];
    pthread_t thread;
    memset(shots, 0, sizeof shots);
    for (unsigned n = 0; n < SLEEPERS; n++) {
        shots[n].server = fleet_server(f, 0);
        snprintf(shots[n].path, sizeof shots[n].path, "/probe/sleep?ms=1000");
    }
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, sleepers_run, shots) == 0);
    CU_ASSERT(eventually(5000, sleepers_run_now, fleet_server(f, 0)));
    CHECK_INT(server_stop(fleet_server(f, 0)), 0);
    pthread_join(thread, NULL);
    for (unsigned n = 0; n < SLEEPERS; n++)
        if (shots[n].problem != CURLE_COULDNT_CONNECT)
            CHECK_INT(shots[n].status, 200);
}

static bool is_draining(void *user)
{
    return server_health(user) == 404;
}

static void draining_serves_on(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    struct server *s;
    struct browser b;
    if (!f)
        return;
    fleet_define(f, "drain", "2");
    CU_ASSERT_FATAL(fleet_start(f, 1));
    s = fleet_server(f, 0);
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    long long begin = clock_ms();
    server_signal(s, SIGTERM);
    CU_ASSERT(eventually(1500, is_draining, s));
    CHECK_INT(browser_get(&b, s, "/health"), 404);
    CHECK_STR(b.body, "draining\n");
    CHECK_INT(browser_get(&b, s, "/login/hit"), 200);
    CHECK_STR(browser_header(&b, "Connection", 0), "close");
    CHECK_INT(server_wait(s, 15000), 0);
    CU_ASSERT(clock_ms() - begin >= 1900);
    CHECK_INT(browser_get(&b, s, "/login/hit"), 0);
    browser_close(&b);
}

static void a_second_signal_skips_the_wait(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    if (!f)
        return;
    fleet_define(f, "drain", "30");
    CU_ASSERT_FATAL(fleet_start(f, 1));
    struct server *s = fleet_server(f, 0);
    server_signal(s, SIGTERM);
    CU_ASSERT(eventually(5000, is_draining, s));
    server_signal(s, SIGINT);
    CHECK_INT(server_wait(s, 5000), 0);
}

static void a_hang_up_is_an_orderly_stop(void)
{
    struct fleet *f = fleet_run("sqlite.xml", 1);
    if (!f)
        return;
    server_signal(fleet_server(f, 0), SIGHUP);
    CHECK_INT(server_wait(fleet_server(f, 0), 5000), 0);
}

/* nohup: who started it wants it to outlive the terminal. */
static void a_hang_up_that_is_ignored_is_none(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    if (!f)
        return;
    fleet_define(f, "drain", "2");
    signal(SIGHUP, SIG_IGN);
    bool started = fleet_start(f, 1);
    signal(SIGHUP, SIG_DFL);
    CU_ASSERT_FATAL(started);
    struct server *s = fleet_server(f, 0);
    long long begin = clock_ms();
    server_signal(s, SIGHUP);
    server_signal(s, SIGTERM); /* were it the second one, it would hurry */
    CHECK_INT(server_wait(s, 15000), 0);
    CU_ASSERT(clock_ms() - begin >= 1900);
}

/* Has somebody connected, and begun to speak? */
static bool is_spoken_to(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    if (poll(&p, 1, 20000 * slowness()) != 1)
        return false;
    int link = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    bool spoken = link >= 0 && recv(link, &byte, 1, 0) == 1;
    close(fd); /* the link stays, and says nothing */
    return spoken;
}

static pid_t run_delta(const char *members)
{
    char binary[400], conf[400], port[64];
    pid_t parent = getpid();

    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    snprintf(conf, sizeof conf, "%s/etc/margay/delta.xml", stage_dir());
    snprintf(port, sizeof port, "cluster.port=%d", fleet_free_port());
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        execl(binary, binary, "run", "-c", conf, "-D", "port=0", "-D",
              "drain=3600", "-D", "cluster.dropTime=60", "-D", port, "-D",
              members, (char *)NULL);
    _exit(127);
}

static bool has_ended(void *user)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t) * (pid_t *)user, &info,
                  WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

/* Nobody is served yet, so there is nothing to drain, and nothing to wait
 * for. */
static void a_stop_before_the_port_opens_is_at_once(void)
{
    char members[64];
    int status = -1, port;
    if (!fleet_new("delta.xml")) /* skips */
        return;
    int fd = neighbour_listen(&port);
    snprintf(members, sizeof members, "cluster.members=127.0.0.1:%d", port);
    pid_t pid = run_delta(members);
    CU_ASSERT(is_spoken_to(fd));
    kill(pid, SIGTERM);
    if (!eventually(15000, has_ended, &pid)) {
        CU_FAIL("it still runs");
        kill(pid, SIGKILL);
    }
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

static void loses_nothing(struct fleet *f)
{
    struct browser b;
    char line[128];
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (int n = 0; n < 3; n++)
        CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/hit"), 200);
    CHECK_INT(server_stop(fleet_server(f, 0)), 0);
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    CHECK_STR(browser_line(&b, "user", line), "kim");
    CHECK_STR(browser_line(&b, "hits", line), "3");
    browser_close(&b);
}

static void an_orderly_restart_with_a_store_loses_nothing(void)
{
    struct fleet *f = fleet_run("sqlite.xml", 1);
    if (f)
        loses_nothing(f);
}

static void an_orderly_restart_with_a_file_loses_nothing(void)
{
    struct fleet *f = fleet_new("standard.xml");
    char with[400];
    if (!f)
        return;
    snprintf(with, sizeof with,
             "className=\"StandardManager\" pathname=\"%s/saved\"", f->dir);
    CU_ASSERT_FATAL(fleet_edit(f, "className=\"StandardManager\"", with));
    CU_ASSERT_FATAL(fleet_start(f, 1));
    loses_nothing(f);
}

/* The best of five, since others use this machine too. */
static void it_is_ready_soon(struct fleet *f)
{
    int best = -1, limit = 30 * slowness();
    for (int n = 0; n < 5; n++) {
        struct server *s = fleet_server(f, 0);
        CHECK_INT(server_stop(s), 0);
        size_t from = s->log_len;
        CU_ASSERT_FATAL(fleet_restart(f, 0));
        const char *in = strstr(s->log + from, "/ in ");
        int ms = in ? atoi(in + 5) : -1;
        CU_ASSERT(ms >= 0);
        if (best < 0 || ms < best)
            best = ms;
    }
    printf("ready in %d ms\n", best);
    CU_ASSERT(best >= 0 && best <= limit);
}

/* One line that says what and where, and a status. */
static void what_cannot_start_says_so(void)
{
    struct fleet *f = fleet_new("no-such-file.xml");
    if (!f)
        return;
    CU_ASSERT(!fleet_start(f, 1));
    struct server *s = fleet_server(f, 0);
    CHECK_INT(server_wait(s, 5000), 1);
    CU_ASSERT(server_said(s, "no-such-file.xml", 0));
}

#define ON_ONE(name)                                                           \
    FLEET_CASE(name, sqlite, "sqlite.xml", 1)                                  \
    FLEET_CASE(name, redis, "redis.xml", 1)                                    \
    FLEET_CASE(name, memcached, "memcached.xml", 1)                            \
    FLEET_CASE(name, file, "file.xml", 1)                                      \
    FLEET_CASE(name, delta, "delta.xml", 1)                                    \
    FLEET_CASE(name, backup, "backup.xml", 1)                                  \
    FLEET_CASE(name, standard, "standard.xml", 1)

ON_ONE(what_arrived_is_answered)
ON_ONE(what_still_runs_is_answered)
ON_ONE(it_is_ready_soon)
UNIT_MAIN_AROUND(
    "stop", NULL, fleet_end, FLEET_ENTRIES(what_arrived_is_answered),
    CASE(what_computes_is_answered), FLEET_ENTRIES(what_still_runs_is_answered),
    CASE(draining_serves_on), CASE(a_second_signal_skips_the_wait),
    CASE(a_hang_up_is_an_orderly_stop), CASE(a_hang_up_that_is_ignored_is_none),
    CASE(a_stop_before_the_port_opens_is_at_once),
    CASE(an_orderly_restart_with_a_store_loses_nothing),
    CASE(an_orderly_restart_with_a_file_loses_nothing),
    FLEET_ENTRIES(it_is_ready_soon), CASE(what_cannot_start_says_so))
