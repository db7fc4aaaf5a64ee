/* SPDX-License-Identifier: Apache-2.0
 *
 * e_memcached.c: of three Memcached servers one dies, stands still, is
 * swallowed by the network, forgets, runs full, under running instances.
 * MARGAY_PAUSE_SECONDS: how long it is away (2).
 * Timeout: 300 s */
#include "config.h"

#include "tests/load.h"
#include "tests/memcached_server.h"
#include "tests/page.h"
#include "tests/relay.h"
#include "tests/unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 24

static struct fleet *fleet_on(struct memcached_group *g)
{
    struct fleet *f = fleet_new("memcached.xml");
    if (!f)
        return NULL;
    fleet_define(f, "store.url", g->url);
    CU_ASSERT_FATAL(fleet_start(f, 3));
    return f;
}

/* The server that has the session of this cookie ("JSESSIONID=..."); -1. */
static int holder_of(struct memcached_group *g, const char *cookie)
{
    char said[256];
    for (int i = 0; i < 3; i++) {
        /* It looks, and does not count as a use. */
        memcached_do(g->servers[i], said, sizeof said, "me margay:/login:%.32s",
                     cookie + strlen("JSESSIONID="));
        if (strncmp(said, "ME", 2) == 0)
            return i;
    }
    return -1;
}

/* ---- load ---- */

static struct load *load_on(struct fleet *f, struct memcached_group *g)
{
    struct load *load = load_start(f, SESSIONS, 8);
    for (unsigned n = 0; n < SESSIONS; n++) {
        load->holders[n] = holder_of(g, load->cookies[n]);
        CU_ASSERT(load->holders[n] >= 0);
    }
    return load;
}

/* A session of which server `at` has (or, `has` false, has not) the row. */
static unsigned session_at(const struct load *load, int at, bool has)
{
    unsigned n = 0;
    while (n + 1 < SESSIONS && (load->holders[n] == at) != has)
        n++;
    return n;
}

static unsigned sum_at(const struct load *load, atomic_uint *counts, int at,
                       bool has)
{
    unsigned sum = 0;
    for (unsigned n = 0; n < SESSIONS; n++)
        sum += (load->holders[n] == at) == has ? counts[n] : 0;
    return sum;
}

/* Every session that is not in the share of server `but` has its hits. */
static void hits_are_there(struct load *load, int but)
{
    struct browser b;
    browser_open(&b);
    for (unsigned n = 0; n < SESSIONS; n++) {
        char header[160], line[128];
        struct look look = {load->fleet, &b, header, 200};
        if (load->holders[n] == but)
            continue;
        snprintf(header, sizeof header, "Cookie: %s", load->cookies[n]);
        CU_ASSERT(eventually(5000, all_answer, &look));
        unsigned final = (unsigned)atoi(browser_line(&b, "hits", line));
        CU_ASSERT(final >= load->acknowledged[n] && final <= load->sent[n]);
    }
    browser_close(&b);
}

/* Do all instances come to answer that for this session? */
static bool session_answers(struct load *load, unsigned n, int status)
{
    struct browser b;
    char header[160];
    struct look look = {load->fleet, &b, header, status};
    browser_open(&b);
    snprintf(header, sizeof header, "Cookie: %s", load->cookies[n]);
    bool all = eventually(10000, all_answer, &look);
    browser_close(&b);
    return all;
}

/* The slowest of some requests to a session, in ms; what they were answered is
 * checked. */
static long long slowest(struct load *load, unsigned n, int status,
                         unsigned count)
{
    long long worst = 0;
    char header[160];
    struct browser b;
    browser_open(&b);
    snprintf(header, sizeof header, "Cookie: %s", load->cookies[n]);
    for (unsigned i = 0; i < count; i++) {
        long long begin = clock_ms();
        CHECK_INT(browser_get_with(&b, fleet_server(load->fleet, i),
                                   "/login/me", header),
                  status);
        CU_ASSERT(status == 200 || !browser_header(&b, "Set-Cookie", 0));
        if (clock_ms() - begin > worst)
            worst = clock_ms() - begin;
    }
    browser_close(&b);
    return worst;
}

/* ---- one of three ---- */

static void only_its_share_is_503_and_then_gone(void)
{
    if (!memcached_is_there())
        return;
    struct memcached_group *g = memcached_group_start(NULL);
    struct fleet *f = fleet_on(g);
    if (!f)
        return;
    struct load *load = load_on(f, g);
    int dead = load->holders[0];
    unsigned away = session_at(load, dead, true);
    unsigned well = session_at(load, dead, false);
    CU_ASSERT(load_pass(load, 1000));
    CHECK_INT(sum_at(load, load->refused, dead, true), 0);

    memcached_kill(g->servers[dead]);
    CU_ASSERT(load_pass(load, 500));
    long long worst_away = slowest(load, away, 503, 30);
    long long worst_well = slowest(load, well, 200, 30);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(server_health(fleet_server(f, i)), 200);
        unsigned said =
            server_said_times(fleet_server(f, i), "nobody answers there");
        CU_ASSERT(said > 0 && said <= 4); /* one an application */
    }
    CU_ASSERT(load_pass(load, 500));
    CHECK_INT(sum_at(load, load->gone, dead, true), 0);

    memcached_restart(g->servers[dead]);
    long long begin = clock_ms();
    CU_ASSERT(session_answers(load, away, 401));
    CU_ASSERT(load_pass(load, 1500));
    load_halt(load);
    CHECK_INT(load->unanswered, 0);
    /* It came back empty: who was its is logged out, and stays so. */
    slowest(load, away, 401, 6);
    printf("share of the dead server: %u requests 503, then %u 401; its last "
           "503 %lld ms after it was back; the others: %u 503, %u 401; slowest "
           "503 %lld ms, slowest beside it %lld ms\n",
           sum_at(load, load->refused, dead, true),
           sum_at(load, load->gone, dead, true),
           atomic_load(&load->last_refused) - begin,
           sum_at(load, load->refused, dead, false),
           sum_at(load, load->gone, dead, false), worst_away, worst_well);
    CU_ASSERT(sum_at(load, load->refused, dead, true) > 0);
    CU_ASSERT(sum_at(load, load->gone, dead, true) > 0);
    CHECK_INT(sum_at(load, load->refused, dead, false), 0);
    CHECK_INT(sum_at(load, load->gone, dead, false), 0);
    CU_ASSERT(worst_away < 1000 + 1000 * slowness());
    CU_ASSERT(worst_well < 1000 * slowness());
    hits_are_there(load, dead);
    load_free(&load);
}

/* One of three is away, and comes back with all that it had. relay: what lies
 * before them; NULL: it stands still instead. */
static void nobody_is_logged_out(struct memcached_group *g, struct relay *relay)
{
    struct fleet *f = fleet_on(g);
    if (!f)
        return;
    struct load *load = load_on(f, g);
    int still = load->holders[0];
    unsigned away = session_at(load, still, true);
    unsigned well = session_at(load, still, false);
    CU_ASSERT(load_pass(load, 1000));
    long long before = slowest(load, well, 200, 100);
    if (relay)
        relay_any(relay, (unsigned)still, RELAY_HOLE);
    else
        memcached_signal(g->servers[still], SIGSTOP);
    long long begin = clock_ms(), worst_away = 0, worst_well = 0;
    long long end = begin + 1000LL * setting_number("MARGAY_PAUSE_SECONDS", 2);
    do {
        long long a = slowest(load, away, 503, 10);
        long long w = slowest(load, well, 200, 10);
        worst_away = a > worst_away ? a : worst_away;
        worst_well = w > worst_well ? w : worst_well;
    } while (clock_ms() < end);
    if (relay)
        relay_any(relay, (unsigned)still, RELAY_OPEN);
    else
        memcached_signal(g->servers[still], SIGCONT);
    begin = clock_ms();
    CU_ASSERT(session_answers(load, away, 200));
    CU_ASSERT(load_pass(load, 2000));
    load_halt(load);
    CHECK_INT(load->unanswered, 0);
    long long after = slowest(load, away, 200, 100);
    printf("share of the one that %s: %u 503; its last 503 %lld ms "
           "after it was back; the others: %u 503; slowest 503 %lld ms, "
           "slowest beside it %lld ms (%lld before, %lld after)\n",
           relay ? "was swallowed" : "stood still",
           sum_at(load, load->refused, still, true),
           atomic_load(&load->last_refused) - begin,
           sum_at(load, load->refused, still, false), worst_away, worst_well,
           before, after);
    CHECK_INT(sum_at(load, load->refused, still, false), 0);
    CHECK_INT(sum_at(load, load->gone, still, true), 0);
    CHECK_INT(sum_at(load, load->gone, still, false), 0);
    CU_ASSERT(worst_away < 1000 + 1000 * slowness());
    CU_ASSERT(worst_well < 1000 * slowness());
    hits_are_there(load, -1);
    load_free(&load);
}

static void nobody_is_logged_out_while_one_stands_still(void)
{
    if (memcached_is_there())
        nobody_is_logged_out(memcached_group_start(NULL), NULL);
}

static void nobody_is_logged_out_while_one_is_swallowed(void)
{
    int ports[3];
    if (!memcached_is_there())
        return;
    struct memcached_group *g = memcached_group_start(NULL);
    for (unsigned i = 0; i < 3; i++)
        ports[i] = g->servers[i]->port;
    struct relay *relay = relay_new(3, ports);
    for (unsigned i = 0; i < 3; i++)
        relay_any(relay, i, RELAY_OPEN);
    snprintf(g->url, sizeof g->url,
             "memcached://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
             relay_port(relay, 0), relay_port(relay, 1), relay_port(relay, 2));
    nobody_is_logged_out(g, relay);
    fleet_end();
    relay_free(&relay);
}

/* ---- what it forgets ---- */

static bool is_logged_out(struct browser *b, struct server *s,
                          const char *reason)
{
    char body[64];
    snprintf(body, sizeof body, "not logged in: %s\n", reason);
    return browser_get(b, s, "/login/me") == 401 && strcmp(b->body, body) == 0;
}

struct login {
    struct browser *browser;
    struct server *server;
};

static bool can_log_in(void *user)
{
    struct login *login = user;
    return browser_login(login->browser, login->server, "kim") == 303;
}

static void a_logout_outlives_a_restart(void)
{
    if (!memcached_is_there())
        return;
    struct memcached_group *g = memcached_group_start(NULL);
    struct fleet *f = fleet_on(g);
    struct browser b, held;
    char cookie[128];
    if (!f)
        return;
    browser_open(&b);
    browser_open(&held);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CHECK_INT(browser_login(&held, fleet_server(f, 0), "lee"), 303);
    /* All three have a copy of both. */
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 200);
        CHECK_INT(browser_get(&held, fleet_server(f, i), "/login/hit"), 200);
    }
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    CU_ASSERT(browser_cookie(&b, "/login", cookie));
    CHECK_INT(browser_post(&b, fleet_server(f, 1), "/login/logout", NULL), 200);
    CU_ASSERT(browser_cookie(&held, "/login", cookie));
    for (int i = 0; i < 3; i++) {
        memcached_kill(g->servers[i]);
        memcached_restart(g->servers[i]);
    }
    /* Of the logout nothing is left but what two instances know; no copy of
     * the session brings it back, not even by a change. */
    struct look look = {f, &held, NULL, 401};
    CU_ASSERT(eventually(10000, all_answer, &look));
    look.browser = &b;
    CU_ASSERT(eventually(10000, all_answer, &look));
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 401);
        CU_ASSERT(is_logged_out(&b, fleet_server(f, i), "logout") ||
                  is_logged_out(&b, fleet_server(f, i), "lost"));
        CU_ASSERT(is_logged_out(&held, fleet_server(f, i), "lost"));
    }
    CHECK_INT(holder_of(g, cookie), -1);
    /* All goes on. */
    struct login login = {&b, fleet_server(f, 2)};
    CU_ASSERT(eventually(10000, can_log_in, &login));
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    browser_close(&held);
    browser_close(&b);
}

struct crowd {
    struct fleet *fleet;
    struct memcached_group *group;
    const char *cookie;
    unsigned number;
    bool over;
};

static bool crowd_next(void *user, struct shot *shot)
{
    struct crowd *c = user;
    if (c->number % 500 == 0)
        c->over = holder_of(c->group, c->cookie) < 0;
    if (c->over || c->number == 60000)
        return false;
    c->number++;
    shot->server = fleet_server(c->fleet, 1);
    snprintf(shot->path, sizeof shot->path, "/login/new");
    return true;
}

static void crowd_hit(void *user, const struct shot *shot)
{
    (void)user, (void)shot;
}

static void who_is_dropped_for_room_is_told(void)
{
    if (!memcached_is_there())
        return;
    struct memcached_group *g = memcached_group_start("-m 2");
    struct fleet *f = fleet_on(g);
    struct battery *battery;
    struct browser b;
    char cookie[128];
    if (!f)
        return;
    browser_open(&b);
    /* A guest that came once; what is used again is dropped last. */
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/new"), 200);
    CU_ASSERT(browser_cookie(&b, "/login", cookie));
    struct crowd crowd = {f, g, cookie, 0, false};
    battery = battery_new(8);
    volley_run(battery, crowd_next, crowd_hit, &crowd);
    battery_free(&battery);
    CU_ASSERT(crowd.over);
    CU_ASSERT(is_logged_out(&b, fleet_server(f, 0), "evicted"));
    CU_ASSERT(is_logged_out(&b, fleet_server(f, 0), "evicted"));
    CU_ASSERT(is_logged_out(&b, fleet_server(f, 1), "unknown"));
    CU_ASSERT(server_said(fleet_server(f, 0),
                          "drops sessions for want of memory", 5000));
    browser_close(&b);
}

/* ---- the page ---- */

static void the_page_shows_how_to_read_a_session(void)
{
    if (!memcached_is_there())
        return;
    struct memcached_group *g = memcached_group_start(NULL);
    struct fleet *f = fleet_on(g);
    const char *python = getenv("PYTHON");
    char id[128], arguments[600], out[8192];
    struct browser b;
    if (!f)
        return;
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 200);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    browser_line(&b, "session", id);
    snprintf(arguments, sizeof arguments, "'%s' %s", g->url, id);
    page_run(f, "Memcached", "python", python ? python : "/usr/bin/python3",
             arguments, out, sizeof out);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\"user\": \"kim\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\"hits\": 3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, id));
    if (CU_get_number_of_failures())
        puts(out);
    browser_close(&b);
}

/* ---- what a request costs ---- */

#define REQUESTS 2000
#define IDLE_MS 3000

struct costs {
    long long gets, sets, in, out;
};

static long long cost_named(const char *stats, const char *name)
{
    const char *at = strstr(stats, name);
    return at ? atoll(at + strlen(name)) : 0;
}

/* One question to each: it costs bytes, too. */
static struct costs costs_now(struct memcached_group *g)
{
    struct costs sum = {0};
    char said[8192];
    for (int i = 0; i < 3; i++) {
        memcached_do(g->servers[i], said, sizeof said, "stats");
        sum.gets += cost_named(said, "STAT cmd_get ");
        sum.sets += cost_named(said, "STAT cmd_set ");
        sum.in += cost_named(said, "STAT bytes_read ");
        sum.out += cost_named(said, "STAT bytes_written ");
    }
    return sum;
}

/* What passes anyway, in IDLE_MS. */
static struct costs costs_idle(struct memcached_group *g)
{
    struct costs before = costs_now(g);
    poll(NULL, 0, IDLE_MS);
    struct costs after = costs_now(g);
    return (struct costs){after.gets - before.gets, after.sets - before.sets,
                          after.in - before.in, after.out - before.out};
}

/* What one of REQUESTS costs, without that. */
static void cost_of(struct fleet *f, struct memcached_group *g,
                    struct browser *b, const char *path, unsigned servers,
                    const struct costs *idle)
{
    double gets, sets, in, out, part;
    struct costs before = costs_now(g);
    long long begin = clock_ms();
    for (int i = 0; i < REQUESTS; i++)
        CHECK_INT(browser_get(b, fleet_server(f, (unsigned)i % servers), path),
                  200);
    long long took = clock_ms() - begin;
    struct costs after = costs_now(g);
    part = (double)took / IDLE_MS / REQUESTS;
    gets = (double)(after.gets - before.gets) / REQUESTS;
    sets = (double)(after.sets - before.sets) / REQUESTS;
    in = (double)(after.in - before.in) / REQUESTS - (double)idle->in * part;
    out =
        (double)(after.out - before.out) / REQUESTS - (double)idle->out * part;
    printf("%s at %u instances: %.2f gets, %.2f puts; %.0f bytes to Memcached, "
           "%.0f back\n",
           path, servers, gets, sets, in, out);
    CU_ASSERT(gets < 1.1 + (servers > 1));
    CU_ASSERT(sets < 1.1);
    if (strcmp(path, "/login/me") == 0)
        CU_ASSERT(sets < 0.1);
}

static void a_request_costs_little(void)
{
    if (!memcached_is_there())
        return;
    struct memcached_group *g = memcached_group_start(NULL);
    struct fleet *f = fleet_on(g);
    struct browser b;
    if (!f)
        return;
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    struct costs idle = costs_idle(g);
    for (unsigned servers = 1; servers <= 3; servers += 2) {
        cost_of(f, g, &b, "/login/me", servers, &idle);
        cost_of(f, g, &b, "/login/hit", servers, &idle);
    }
    browser_close(&b);
}

UNIT_MAIN_AROUND("memcached", NULL, fleet_end,
                 CASE(only_its_share_is_503_and_then_gone),
                 CASE(nobody_is_logged_out_while_one_stands_still),
                 CASE(nobody_is_logged_out_while_one_is_swallowed),
                 CASE(a_logout_outlives_a_restart),
                 CASE(who_is_dropped_for_room_is_told),
                 CASE(the_page_shows_how_to_read_a_session),
                 CASE(a_request_costs_little))
