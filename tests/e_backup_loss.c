/* SPDX-License-Identifier: Apache-2.0
 *
 * e_backup_loss.c: of five members that hold a session in pairs some die or
 * stand still.
 *
 * Timeout: 300 s. MARGAY_CHAOS_SECONDS says for how long they are killed. */
#include "config.h"

#include "tests/line.h"
#include "tests/traffic.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 5
#define DROP_MS 1000
#define ADDED_MS 500 /* what a death may cost a request */
#define ROLE(role)                                                             \
    "margay_sessions_active{context=\"/login\",role=\"" role "\"}"

static struct fleet *running; /* CUnit's teardown has no argument */

static void loss_end(void)
{
    for (unsigned i = 0; running && i < running->count; i++)
        server_signal(fleet_server(running, i), SIGCONT);
    running = NULL;
    fleet_end();
}

static bool is_ready(void *user)
{
    return server_health(user) == 200;
}

static void nobody_was_failed(const struct traffic *t)
{
    CHECK_INT(t->stale, 0);
    CHECK_INT(t->beyond, 0);
    CHECK_INT(t->ended, 0);
    CHECK_INT(t->unavailable, 0);
    CHECK_INT(t->others, 0);
    if (t->stale + t->beyond + t->ended + t->unavailable + t->others)
        printf("the last: %s\n", t->strange);
}

static double sum_of(const struct traffic *t, const char *metric)
{
    double sum = 0;
    for (unsigned i = 0; i < t->fleet->count; i++)
        if (!atomic_load(&t->away[i]))
            sum += server_metric(fleet_server(t->fleet, i), metric);
    return sum;
}

/* ---- the primary dies ---- */

/* One who hits at the others in turn; the longest of these took so long. */
static long long hit_on(struct browser *b, struct fleet *f, unsigned without,
                        unsigned *hits, unsigned times)
{
    long long worst = 0;
    char expected[16];
    for (unsigned n = 0; n < times; n++) {
        unsigned at = (without + 1 + n % (MEMBERS - 1)) % MEMBERS;
        long long begin = clock_ms();
        int status = browser_get(b, fleet_server(f, at), "/login/hit");
        long long ms = clock_ms() - begin;
        worst = ms > worst ? ms : worst;
        snprintf(expected, sizeof expected, "%u\n", ++*hits);
        CHECK_INT(status, 200);
        CHECK_STR(b->body, expected);
    }
    return worst;
}

static void kill_its_primary(struct traffic *t, unsigned victim)
{
    struct fleet *f = t->fleet;
    struct browser b;
    unsigned hits = 0;
    browser_open(&b);
    CHECK_INT_FATAL(browser_login(&b, fleet_server(f, victim), "lee"), 303);
    CU_ASSERT_FATAL(traffic_pass(t, 1000));
    atomic_store(&t->worst_ms, 0);
    long long before = hit_on(&b, f, victim, &hits, 40);
    long long all_before = atomic_load(&t->worst_ms);
    atomic_store(&t->worst_ms, 0);
    atomic_store(&t->away[victim], true);
    server_signal(fleet_server(f, victim), SIGKILL);
    long long after = hit_on(&b, f, victim, &hits, 40);
    CU_ASSERT(traffic_pass(t, 1000));
    long long all_after = atomic_load(&t->worst_ms);
    printf("the longest before and after a kill: %lld and %lld ms; of all "
           "requests %lld and %lld ms\n",
           before, after, all_before, all_after);
    CU_ASSERT(after - before < ADDED_MS * slowness());
    CU_ASSERT(all_after - all_before < ADDED_MS * slowness());
    browser_close(&b);
    server_wait(fleet_server(f, victim), 5000);
    CU_ASSERT_FATAL(fleet_restart(f, victim));
    CU_ASSERT(eventually(20000, is_ready, fleet_server(f, victim)));
    atomic_store(&t->away[victim], false);
}

static void the_next_request_after_a_kill_is_right(struct fleet *f)
{
    struct traffic t;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, 32);
    for (unsigned victim = 0; victim < 3; victim++)
        kill_its_primary(&t, victim);
    traffic_halt(&t);
    nobody_was_failed(&t);
    traffic_check(&t);
}

/* ---- one after the other ---- */

struct repair {
    const struct traffic *traffic;
    unsigned living;
};

/* Every session stands at two members, and all know who is there. */
static bool is_repaired(void *user)
{
    const struct repair *r = user;
    const struct traffic *t = r->traffic;
    return sum_of(t, "margay_cluster_members ") == r->living * r->living &&
           sum_of(t, ROLE("primary")) == t->sessions &&
           sum_of(t, ROLE("backup")) == t->sessions &&
           sum_of(t, "margay_sessions_exposed") == 0;
}

static void down_to_two(struct fleet *f)
{
    struct traffic t;
    struct repair r = {&t, MEMBERS};
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    for (unsigned i = 0; i < MEMBERS - 2; i++) {
        CU_ASSERT_FATAL(traffic_pass(&t, 1000));
        long long begin = clock_ms();
        atomic_store(&t.away[i], true);
        server_kill(fleet_server(f, i));
        r.living--;
        CU_ASSERT(eventually(20000, is_repaired, &r));
        printf("%u are left, repaired after %lld ms\n", r.living,
               clock_ms() - begin);
    }
    CU_ASSERT(traffic_pass(&t, 1000));
    traffic_halt(&t);
    nobody_was_failed(&t);
    CU_ASSERT(sum_of(&t, "margay_sessions_handed_over_total") > 0);
    traffic_check(&t);
}

/* xorshift64 (Marsaglia) */
static unsigned draw(uint64_t *state, unsigned below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)(*state >> 33) % below;
}

/* Any of them, and the next one as soon as it has been replaced; it comes back
 * before or after that. */
static void acknowledged_is_kept(struct fleet *f)
{
    int seconds = setting_number("MARGAY_CHAOS_SECONDS", 5);
    uint64_t seed = (uint64_t)clock_ms() * 2 + 1;
    long long end = clock_ms() + seconds * 1000LL;
    unsigned kills = 0;
    struct traffic t;
    struct repair r = {&t, MEMBERS};
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    for (; clock_ms() < end; kills++) {
        unsigned victim = draw(&seed, MEMBERS);
        struct server *s = fleet_server(f, victim);
        CU_ASSERT_FATAL(traffic_pass(&t, 200));
        traffic_bury(&t, victim);
        server_kill(s);
        r.living = MEMBERS - 1;
        if (draw(&seed, 2))
            CU_ASSERT_FATAL(eventually(20000, is_repaired, &r));
        CU_ASSERT_FATAL(fleet_restart(f, victim));
        CU_ASSERT_FATAL(eventually(20000, is_ready, s));
        atomic_store(&t.away[victim], false);
        r.living = MEMBERS;
        CU_ASSERT_FATAL(eventually(20000, is_repaired, &r));
    }
    traffic_halt(&t);
    printf("%u killed within %d s\n", kills, seconds);
    printf("%u of %u came to who had just begun\n", t.too_early, t.asked);
    nobody_was_failed(&t);
    traffic_check(&t);
}

/* ---- too many at once ---- */

#define GUESTS 24

struct guests {
    struct fleet *fleet;
    char cookies[GUESTS][128];
    unsigned backup[GUESTS]; /* who holds it beside instance 0 */
    unsigned dead[2];
};

/* All were made at instance 0: whose gauge moves holds it as well. */
static void guests_make(struct guests *g, struct fleet *f)
{
    double held[MEMBERS] = {0};
    struct browser b;
    g->fleet = f;
    browser_open(&b);
    for (unsigned n = 0; n < GUESTS; n++) {
        browser_forget(&b);
        CHECK_INT_FATAL(browser_get(&b, fleet_server(f, 0), "/login/new"), 200);
        CU_ASSERT_FATAL(browser_cookie(&b, "/login", g->cookies[n]));
        for (unsigned i = 1; i < MEMBERS; i++) {
            double now = server_metric(fleet_server(f, i), ROLE("backup"));
            if (now > held[i])
                g->backup[n] = i;
            held[i] = now;
        }
        CU_ASSERT(g->backup[n] > 0);
    }
    browser_close(&b);
}

static bool is_told(const struct guests *g, unsigned n, unsigned at)
{
    struct browser b;
    char header[160];
    bool lost = g->backup[n] == g->dead[1], told;
    browser_open(&b);
    snprintf(header, sizeof header, "Cookie: %s", g->cookies[n]);
    int status =
        browser_get_with(&b, fleet_server(g->fleet, at), "/login/me", header);
    told = lost ? status == 401 && !strcmp(b.body, "not logged in: lost\n")
                : status == 200;
    /* until it is certain, nobody is told anything else */
    CU_ASSERT(told || status == 503);
    browser_close(&b);
    return told;
}

static bool all_are_told(void *user)
{
    const struct guests *g = user;
    for (unsigned n = 0; n < GUESTS; n++)
        for (unsigned i = 0; i < MEMBERS; i++)
            if (i != g->dead[0] && i != g->dead[1] && !is_told(g, n, i))
                return false;
    return true;
}

static void only_who_lost_both_is_lost(struct fleet *f)
{
    struct guests g = {.fleet = f};
    unsigned lost = 0;
    guests_make(&g, f);
    g.dead[1] = g.backup[0];
    for (unsigned n = 0; n < GUESTS; n++)
        lost += g.backup[n] == g.dead[1];
    CU_ASSERT_FATAL(lost < GUESTS);
    long long begin = clock_ms();
    for (unsigned i = 0; i < 2; i++)
        server_signal(fleet_server(f, g.dead[i]), SIGKILL);
    for (unsigned i = 0; i < 2; i++)
        server_wait(fleet_server(f, g.dead[i]), 5000);
    CU_ASSERT(eventually(30000, all_are_told, &g));
    printf("%u of %u sessions lost, told after %lld ms\n", lost, GUESTS,
           clock_ms() - begin);
    double counted = 0;
    for (unsigned i = 0; i < MEMBERS; i++)
        if (i != g.dead[0] && i != g.dead[1])
            counted +=
                server_metric(fleet_server(f, i),
                              "margay_sessions_ended_total{reason=\"lost\"}");
    CHECK_INT((int)counted, lost);
}

/* ---- the primary stands still ---- */

/* One who asks the others to log her out, until one does. */
struct leaving {
    struct fleet *fleet;
    struct browser *browser;
    unsigned sleeper, asked;
};

static bool is_out(void *user)
{
    struct leaving *l = user;
    unsigned at = l->sleeper + 1 + l->asked++ % (MEMBERS - 1);
    return browser_post(l->browser, fleet_server(l->fleet, at), "/login/logout",
                        NULL) == 200;
}

/* Longer than dropTime: the others have given it up, and her session ends. */
static void pause_its_primary(struct fleet *f, unsigned sleeper)
{
    struct server *s = fleet_server(f, sleeper);
    struct line known, fresh;
    struct browser b;
    char cookie[128];
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", cookie));
    line_open(&known, s);
    line_ask(&known, cookie);
    CHECK_INT(line_answer(&known), 200);

    server_signal(s, SIGSTOP);
    CU_ASSERT(eventually(5000, server_is_stopped, s));
    struct leaving l = {f, &b, sleeper, 0};
    long long begin = clock_ms();
    CU_ASSERT_FATAL(eventually(10000, is_out, &l));
    printf("logged out after %lld ms, asked %u times\n", clock_ms() - begin,
           l.asked);
    line_open(&fresh, s);
    line_ask(&known, cookie);
    line_ask(&fresh, cookie);
    server_signal(s, SIGCONT);
    int first = line_answer(&known), second = line_answer(&fresh);
    CU_ASSERT(first == 401 || first == 503);
    CU_ASSERT(second == 401 || second == 503);
    CU_ASSERT(eventually(10000, is_ready, s));
    CHECK_INT(browser_get(&b, s, "/login/me"), 401);
    CHECK_STR(b.body, "not logged in: logout\n");
    browser_close(&b);
    close(known.fd);
    close(fresh.fd);
}

static void who_stood_still_does_not_answer_for_the_gone(void)
{
    struct fleet *f = running = fleet_new("backup.xml");
    char seconds[16];
    if (!f)
        return;
    snprintf(seconds, sizeof seconds, "%d", DROP_MS / 1000 * slowness());
    fleet_define(f, "cluster.dropTime", seconds);
    CU_ASSERT_FATAL(fleet_start(f, MEMBERS));
    for (unsigned n = 0; n < 3; n++)
        pause_its_primary(f, n);
}

FLEET_CASE(the_next_request_after_a_kill_is_right, backup, "backup.xml",
           MEMBERS)
FLEET_CASE(down_to_two, backup, "backup.xml", MEMBERS)
FLEET_CASE(acknowledged_is_kept, backup, "backup.xml", MEMBERS)
FLEET_CASE(only_who_lost_both_is_lost, backup, "backup.xml", MEMBERS)
UNIT_MAIN_AROUND("backup_loss", NULL, loss_end,
                 CASE(the_next_request_after_a_kill_is_right_on_backup),
                 CASE(down_to_two_on_backup),
                 CASE(acknowledged_is_kept_on_backup),
                 CASE(only_who_lost_both_is_lost_on_backup),
                 CASE(who_stood_still_does_not_answer_for_the_gone))
