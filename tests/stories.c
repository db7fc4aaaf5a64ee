/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/stories.h"

#include "tests/client.h"
#include "tests/front.h"
#include "tests/traffic.h"
#include "tests/unit.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define JARS 100
#define KILLED 1
#define DRAINED 2

/* CUnit's teardown has no argument. */
static struct {
    struct front front;
    struct browser jars[JARS];
    int at[JARS]; /* the instance that answers it */
    unsigned sent_back;
    bool on;
} site;

void stories_after(void)
{
    if (site.on) {
        for (unsigned i = 0; i < JARS; i++)
            browser_close(&site.jars[i]);
        front_end(&site.front);
    }
    site.on = false;
    fleet_end();
}

/* ---- one jar ---- */

/* "instance=node2" is 1; -1: it said something else. */
static int node_of(const struct browser *b)
{
    char line[128];
    int number;

    return sscanf(browser_line(b, "instance", line), "node%d", &number) == 1
               ? number - 1
               : -1;
}

static int ask(struct browser *b)
{
    return browser_get(b, &site.front.server, "/login/me") == 200 ? node_of(b)
                                                                  : -1;
}

/* Logs in as often as the balancer sends back: where; -1: it did not work. */
static int log_in(struct browser *b, const char *user)
{
    int status = 307;

    for (int tries = 0; status == 307 && tries < 8; tries++) {
        status = browser_login(b, &site.front.server, user);
        site.sent_back += status == 307;
    }
    if (status != 303)
        printf("login: %d %s\n", status, b->problem);
    return status == 303 ? ask(b) : -1;
}

struct asker {
    struct browser *b;
    int at;
};

static bool is_answered(void *user)
{
    struct asker *a = user;

    a->at = ask(a->b);
    return a->at >= 0 || a->b->status == 401;
}

/* Where it is answered in the end; -1: 401, or never. */
static int settle(struct browser *b)
{
    struct asker a = {.b = b, .at = -1};

    eventually(15000, is_answered, &a);
    return a.at;
}

static bool begin(struct fleet *f, const char *kind, const char *sticky)
{
    site.on = true;
    for (unsigned i = 0; i < JARS; i++)
        browser_open(&site.jars[i]);
    return front_start(&site.front, kind, sticky, f);
}

/* ---- a hundred ---- */

static void check_stuck(const char *when)
{
    unsigned moved = 0;

    for (unsigned i = 0; i < JARS; i++) {
        struct browser *b = &site.jars[i];
        for (int k = 0; k < 2; k++) {
            CHECK_INT(browser_get(b, &site.front.server, "/login/hit"), 200);
            moved += ask(b) != site.at[i];
        }
    }
    if (moved)
        printf("%s: moved\n", when);
    CHECK_INT(moved, 0);
}

static void all_log_in(struct fleet *f)
{
    unsigned users[FLEET_MAX] = {0};
    char user[16];

    for (unsigned i = 0; i < JARS; i++) {
        snprintf(user, sizeof user, "u%u", i);
        site.at[i] = log_in(&site.jars[i], user);
        CU_ASSERT_FATAL(site.at[i] >= 0 && site.at[i] < (int)f->count);
        users[site.at[i]]++;
    }
    for (unsigned i = 0; i < f->count; i++)
        CU_ASSERT(users[i] >= JARS / f->count / 3);
    check_stuck("at first");
}

/* `at` is set anew for those that were at `gone`. A balancer that a dead
 * instance costs an answer gives the next one. */
static void all_go_on(struct fleet *f, int gone, bool shared)
{
    for (unsigned i = 0; i < JARS; i++) {
        struct browser *b = &site.jars[i];
        char user[16], line[128];
        int at = settle(b);

        if (site.at[i] == gone && !shared) {
            CHECK_INT(b->status, 401);
            CU_ASSERT(strstr(b->body, ": lost") || strstr(b->body, "unknown"));
            snprintf(user, sizeof user, "u%u", i);
            at = log_in(b, user);
        }
        snprintf(user, sizeof user, "u%u", i);
        CHECK_STR(browser_line(b, "user", line), user);
        CU_ASSERT_FATAL(at >= 0 && at != gone && at < (int)f->count);
        if (site.at[i] == gone)
            site.at[i] = at;
        CHECK_INT(at, site.at[i]);
    }
    check_stuck("without one");
    check_stuck("still without it");
}

/* ---- it comes back ---- */

struct newcomer {
    int wanted, found;
    unsigned count;
};

static bool reaches(void *user)
{
    struct newcomer *n = user;
    struct browser b;

    browser_open(&b);
    n->found = log_in(&b, "new");
    n->count++;
    browser_close(&b);
    return n->found == n->wanted;
}

static void new_users_reach(int instance)
{
    struct newcomer n = {.wanted = instance};

    CU_ASSERT(eventually(15000, reaches, &n));
    printf("%u new users until one was at node%d\n", n.count, instance + 1);
}

static bool is_ready(void *user)
{
    return server_health(user) == 200;
}

static bool is_draining(void *user)
{
    return server_health(user) == 404;
}

static void one_drains(struct fleet *f)
{
    struct server *s = fleet_server(f, DRAINED);
    struct newcomer n = {.wanted = DRAINED};
    bool httpd = strcmp(site.front.kind, "httpd") == 0;
    unsigned there = 0;

    new_users_reach(DRAINED);
    server_signal(s, SIGTERM);
    CU_ASSERT_FATAL(eventually(10000, is_draining, s));
    /* httpd sends a newcomer where the fewest requests went: not soon there */
    site.sent_back = 0;
    for (int i = 0; i < 20 || (httpd && site.sent_back < 3 && i < 3000); i++) {
        reaches(&n);
        CU_ASSERT(n.found >= 0);
        there += n.found == DRAINED;
    }
    CHECK_INT(there, 0);
    CU_ASSERT(!httpd || site.sent_back >= 3);
    check_stuck("while one drains");
    CHECK_INT(server_health(s), 404); /* it still did */
    server_signal(s, SIGTERM);
    CHECK_INT(server_wait(s, 20000), 0);
}

/* ---- the whole story ---- */

/* That of those that are left is of no interest. */
static void skip_drains(struct fleet *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct server *s = fleet_server(f, i);
        server_signal(s, SIGTERM);
        if (server_runs(s))
            CU_ASSERT(eventually(5000, is_draining, s));
    }
}

static struct fleet *run(const char *kind, const char *sticky, const char *conf)
{
    bool own = strcmp(sticky, "cookie") == 0;
    struct fleet *f = front_program(kind) ? fleet_new(conf) : NULL;
    char valves[640];

    snprintf(valves, sizeof valves,
             "<Valve className=\"AccessLogValve\" directory=\"%s\" "
             "prefix=\"access\" rotatable=\"false\" buffered=\"false\" "
             "pattern=\"%%a %%r\" requestAttributesEnabled=\"true\"/>"
             "<Valve className=\"RemoteIpValve\"/>"
             "<Valve className=\"LoadBalancerDrainingValve\"%s/><Host name",
             f ? f->dir : "", own ? " balancerCookieName=\"MARGAY\"" : "");
    if (!f)
        return NULL;
    CU_ASSERT_FATAL(fleet_edit(f, "<Host name", valves));
    fleet_define(f, "drain", "60");
    CU_ASSERT_FATAL(fleet_start(f, strcmp(conf, "backup.xml") ? 3 : 4));
    CU_ASSERT_FATAL(begin(f, kind, sticky));
    return f;
}

void story_of_a_hundred(const char *kind, const char *sticky, const char *conf)
{
    bool shared = strcmp(conf, "standard.xml") != 0;
    struct fleet *f = run(kind, sticky, conf);
    long long from = clock_ms();

    if (!f)
        return;
    all_log_in(f);
    server_kill(fleet_server(f, KILLED));
    all_go_on(f, KILLED, shared);
    CU_ASSERT_FATAL(fleet_restart(f, KILLED));
    CU_ASSERT_FATAL(eventually(10000, is_ready, fleet_server(f, KILLED)));
    new_users_reach(KILLED);
    check_stuck("when it is back");
    one_drains(f);
    all_go_on(f, DRAINED, shared);
    printf("%lld ms\n", clock_ms() - from);
    skip_drains(f);
}

/* ---- what goes through ---- */

/* Of those that read no less than this of it; others are checks of health. */
#define WEIGHT 3000

/* Has somebody sent the server, which stands still, so much? */
static bool has_got_it(void *user)
{
    const struct server *s = user;
    FILE *file = fopen("/proc/net/tcp", "r");
    char line[512];
    bool got = false;

    while (file && !got && fgets(line, sizeof line, file)) {
        unsigned port, state, unread;
        if (sscanf(line, "%*d: %*8x:%x %*8x:%*x %x %*x:%x", &port, &state,
                   &unread) == 3)
            got = port == (unsigned)s->port && unread > WEIGHT;
    }
    if (file)
        fclose(file);
    return got;
}

struct asking {
    struct browser *b;
    bool post;
};

static void *ask_heavily(void *user)
{
    struct asking *a = user;
    char text[WEIGHT + 512];

    snprintf(text, sizeof text, "%s%0*d",
             a->post ? "k=" : "/login/hit?k=", WEIGHT + 200, 0);
    if (a->post)
        browser_post(a->b, &site.front.server, "/login/logout", text);
    else
        browser_get(a->b, &site.front.server, text);
    return NULL;
}

struct home {
    struct fleet *fleet;
    struct browser *b;
    int at;
};

/* Does the one that its cookie names answer it? A balancer that takes that one
 * for dead for a while yet sends it elsewhere, and then back. */
static bool is_at_home(void *user)
{
    struct home *h = user;
    char cookie[128];
    const char *dot;

    h->at = ask(h->b);
    dot = browser_cookie(h->b, "/login", cookie) ? strrchr(cookie, '.') : NULL;
    return h->at >= 0 && dot &&
           strcmp(fleet_server(h->fleet, (unsigned)h->at)->node, dot + 1) == 0;
}

/* It had the whole request when it was killed; returns what the client got. */
static int killed_with_it(struct fleet *f, struct browser *b, bool post)
{
    struct asking a = {.b = b, .post = post};
    struct home home = {.fleet = f, .b = b};
    siginfo_t stopped;
    struct server *s;
    pthread_t thread;
    int at;

    CU_ASSERT_FATAL(log_in(b, "kim") >= 0);
    CU_ASSERT_FATAL(eventually(10000, is_at_home, &home));
    at = home.at;
    s = fleet_server(f, (unsigned)at);
    server_signal(s, SIGSTOP);
    /* until its last thread stands still: kill does not wait for that */
    CU_ASSERT_FATAL(waitid(P_PID, (id_t)s->pid, &stopped, WSTOPPED) == 0);
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, ask_heavily, &a) == 0);
    CU_ASSERT(eventually(10000, has_got_it, s));
    server_kill(s);
    pthread_join(thread, NULL);
    CU_ASSERT_FATAL(fleet_restart(f, (unsigned)at));
    CU_ASSERT_FATAL(eventually(10000, is_ready, s));
    return b->status;
}

void story_of_repeating(const char *kind)
{
    struct fleet *f = run(kind, "route", "sqlite.xml");
    struct browser *b = &site.jars[0];
    bool httpd = strcmp(kind, "httpd") == 0;

    if (!f)
        return;
    /* On a connection that was kept HAProxy and httpd say nothing at all, and
     * libcurl would repeat the request. */
    if (strcmp(kind, "nginx") != 0)
        browser_renew(b);
    /* The user is still there: nobody repeated the logout elsewhere. */
    CHECK_INT(killed_with_it(f, b, true), 502);
    CU_ASSERT(settle(b) >= 0);
    browser_forget(b);
    CHECK_INT(killed_with_it(f, b, false), httpd ? 502 : 200);
    skip_drains(f);
}

/* ---- stopped and started by hand ---- */

#define BY_HAND 4

static void restarts_unnoticed(const char *conf)
{
    struct fleet *f = fleet_new(conf);
    static struct fleet door;
    struct traffic t;

    if (!f)
        return;
    printf("%s: ", conf);
    CU_ASSERT_FATAL(fleet_start(f, BY_HAND));
    CU_ASSERT_FATAL(begin(f, "nginx", "route"));
    traffic_door(&door, site.front.server.port);
    traffic_login(&t, &door, TRAFFIC_SESSIONS);
    traffic_go(&t, 16);
    for (unsigned i = 0; i < BY_HAND; i++) {
        CU_ASSERT_FATAL(traffic_pass(&t, 200));
        CHECK_INT(server_stop(fleet_server(f, i)), 0);
        CU_ASSERT_FATAL(traffic_pass(&t, 200));
        CU_ASSERT_FATAL(fleet_restart(f, i));
    }
    CU_ASSERT(traffic_pass(&t, 200));
    traffic_halt(&t);
    traffic_unnoticed(&t);
}

void story_of_bare_restarts(void)
{
    static const char *const all[] = {"backup.xml", "delta.xml", "sqlite.xml",
                                      "redis.xml"};
    size_t count = setting_number("MARGAY_ROLL_ALL", 0) ? 4 : 1;

    for (size_t i = 0; front_program("nginx") && i < count; i++) {
        restarts_unnoticed(all[i]);
        stories_after();
    }
}

/* The first of two cookies of that name counts, as for the instance. A comma in
 * a cookie parts nothing, though one parts the values of other headers. */
void story_of_two_cookies(const char *kind)
{
    struct fleet *f = run(kind, "route", "standard.xml");
    struct browser *b = &site.jars[0], *other = &site.jars[1];
    char mine[128], header[256];
    int at;

    if (!f)
        return;
    browser_renew(other);
    at = log_in(b, "kim");
    for (int i = 0; i < 5 && at == 0; i++) { /* not the first one of a list */
        browser_renew(b);
        at = log_in(b, "kim");
    }
    CU_ASSERT_FATAL(at > 0 && browser_cookie(b, "/login", mine));
    for (int i = 0; i < 3; i++) {
        snprintf(header, sizeof header,
                 "Cookie: a=1,2; %s; b=1,2; JSESSIONID=%032d.node%d", mine, 0,
                 i + 1);
        CHECK_INT(
            browser_get_with(other, &site.front.server, "/login/me", header),
            200);
        CHECK_INT(node_of(other), at);
        browser_forget(other);
    }
    skip_drains(f);
}

static bool was_logged(struct fleet *f, const char *line)
{
    char path[320], text[65536];
    FILE *file;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/access", f->dir);
    file = fopen(path, "r");
    if (file) {
        n = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[n] = 0;
    return strstr(text, line) != NULL;
}

/* The balancer itself refuses them, so that no instance is asked. */
static void figures_stay_inside(struct fleet *f, struct browser *b)
{
    static const char *const spellings[] = {
        "/metrics", "/metrics?a", "//metrics", "/%6detrics", "/metrics;a=b",
    };
    const struct server *s = &site.front.server;

    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        CU_ASSERT(browser_get(b, s, spellings[i]) >= 403);
        CU_ASSERT_PTR_NULL(strstr(b->body, "margay_sessions_active"));
    }
    CHECK_INT(browser_get(b, s, "/login/hello?last"), 200);
    CU_ASSERT(was_logged(f, "/login/hello?last"));
    CU_ASSERT_FALSE(was_logged(f, "etrics"));
}

void story_of_the_client(const char *kind)
{
    struct fleet *f = run(kind, "route", "sqlite.xml");
    struct browser *b = &site.jars[0];
    const struct server *s = &site.front.server;
    const char *cookie;

    if (!f)
        return;
    CHECK_INT(browser_get_with(b, s, "/login/hello?a", NULL), 200);
    CU_ASSERT(was_logged(f, "127.0.0.1 GET /login/hello?a"));
    /* behind another proxy of ours; the one before wrote this down */
    CHECK_INT(browser_get_with(b, s, "/login/hello?b",
                               "X-Forwarded-For: 10.9.9.9, 203.0.113.7"),
              200);
    CU_ASSERT(was_logged(f, "203.0.113.7 GET /login/hello?b"));
    /* what a client says of its protocol and host is not handed on */
    CHECK_INT(browser_get_with(b, s, "/login/new", "X-Forwarded-Proto: https"),
              200);
    cookie = browser_header(b, "Set-Cookie", 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(cookie);
    CU_ASSERT_PTR_NULL(strstr(cookie, "Secure"));
    figures_stay_inside(f, b);
    skip_drains(f);
}

/* ---- by its own word ---- */

static void check_syntax(const char *kind, char *const margay[])
{
    const char *program = front_program(kind);
    char conf[320], log[320], option[320];
    char *haproxy[] = {(char *)program, (char *)"-c", (char *)"-f", conf, NULL};
    char *nginx[] = {(char *)program,
                     (char *)"-t",
                     (char *)"-p",
                     (char *)unit_tmpdir(),
                     (char *)"-e",
                     (char *)"stderr",
                     (char *)"-g",
                     option,
                     (char *)"-c",
                     conf,
                     NULL};
    char *httpd[] = {
        (char *)program, (char *)"-t", (char *)"-d", (char *)unit_tmpdir(),
        (char *)"-f",    conf,         NULL};
    char **check = kind[0] == 'n' ? nginx : kind[1] == 'a' ? haproxy : httpd;

    snprintf(conf, sizeof conf, "%s/%s.conf", unit_tmpdir(), kind);
    snprintf(log, sizeof log, "%s/syntax.log", unit_tmpdir());
    snprintf(option, sizeof option, "pid %s/nginx.pid;", unit_tmpdir());
    remove(conf);
    CHECK_INT(front_run(margay, conf, 10000), 0);
    CHECK_INT(front_run(check, log, 10000), 0);
}

void story_of_the_syntax(const char *kind)
{
    static const char *const counts[] = {"1", "2", "3", "64"};
    static const char *const stickies[] = {"route", "cookie"};
    char binary[PATH_MAX];

    if (!front_program(kind))
        return;
    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    for (size_t i = 0; i < 8; i++) {
        char *margay[] = {binary,
                          (char *)"balancer",
                          (char *)kind,
                          (char *)"-n",
                          (char *)counts[i / 2],
                          (char *)"-p",
                          (char *)"9081",
                          (char *)"--sticky",
                          (char *)stickies[i % 2],
                          NULL};
        check_syntax(kind, margay);
    }
}

/* Twenty in a row: a worker that is still old would take some of them. */
static bool nobody_reaches_it(void *user)
{
    struct newcomer *n = user;
    unsigned there = 0;

    for (int i = 0; i < 20; i++) {
        reaches(n);
        there += n->found == DRAINED;
    }
    return there == 0;
}

void story_of_a_drain_by_hand(void)
{
    struct fleet *f = run("nginx", "route", "sqlite.xml");
    struct newcomer n = {.wanted = DRAINED};
    char line[64], with[80];

    if (!f)
        return;
    all_log_in(f);
    snprintf(line, sizeof line, "fail_timeout=2s; # node%d", DRAINED + 1);
    snprintf(with, sizeof with, "fail_timeout=2s down; # node%d", DRAINED + 1);
    CU_ASSERT_FATAL(front_edit(&site.front, line, with));
    CU_ASSERT(eventually(10000, nobody_reaches_it, &n));
    check_stuck("while one drains");
    skip_drains(f);
}
