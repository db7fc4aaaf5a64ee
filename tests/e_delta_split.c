/* SPDX-License-Identifier: Apache-2.0
 *
 * e_delta_split.c: members that replicate to each other are cut off, and stand
 * still.
 *
 * Timeout: 300 s. MARGAY_CUT_SECONDS says for how long they are cut off,
 * MARGAY_PAUSES how often one is stopped. */
#include "config.h"

#include "tests/line.h"
#include "tests/relay.h"
#include "tests/traffic.h"
#include "tests/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DROP_MS 1000

/* CUnit's teardown has no argument. */
static struct {
    struct fleet *fleet;
    struct relay *relay;
} running;

static struct fleet *split_fleet(bool relayed)
{
    struct fleet *f = running.fleet = fleet_new("delta.xml");
    char seconds[16];
    if (!f)
        return NULL;
    snprintf(seconds, sizeof seconds, "%d", DROP_MS / 1000 * slowness());
    fleet_define(f, "cluster.dropTime", seconds);
    if (relayed) {
        running.relay = relay_new(3, f->member_port);
        for (unsigned i = 0; i < 3; i++)
            f->relay_port[i] = relay_port(running.relay, i);
    }
    CU_ASSERT_FATAL(fleet_start(f, 3));
    return f;
}

static void split_end(void)
{
    for (unsigned i = 0; running.fleet && i < running.fleet->count; i++)
        server_signal(fleet_server(running.fleet, i), SIGCONT);
    running.fleet = NULL;
    fleet_end();
    relay_free(&running.relay);
}

static bool is_past(void *user)
{
    return clock_ms() >= *(long long *)user;
}

/* ---- people ---- */

#define PEOPLE 4

struct people {
    struct fleet *fleet;
    struct browser browsers[PEOPLE];
};

static void people_open(struct people *p, struct fleet *f)
{
    p->fleet = f;
    for (unsigned n = 0; n < PEOPLE; n++) {
        browser_open(&p->browsers[n]);
        CHECK_INT(browser_login(&p->browsers[n], fleet_server(f, n), "lee"),
                  303);
    }
}

static void people_close(struct people *p)
{
    for (unsigned n = 0; n < PEOPLE; n++)
        browser_close(&p->browsers[n]);
}

/* None of them is known anywhere. */
static bool all_are_out(struct people *p)
{
    for (unsigned n = 0; n < PEOPLE; n++)
        for (unsigned i = 0; i < 3; i++)
            if (browser_get(&p->browsers[n], fleet_server(p->fleet, i),
                            "/login/me") != 401)
                return false;
    return true;
}

/* ---- a partition ---- */

/* The sides have their own books of the same sessions. */
struct sides {
    struct traffic many, one;
    struct people people;
};

static bool sides_are_equal(void *user)
{
    struct sides *s = user;
    for (unsigned n = 0; n < s->many.sessions; n++) {
        int hits = traffic_read(&s->many, n, 0);
        if (hits < 0 || traffic_read(&s->many, n, 1) != hits ||
            traffic_read(&s->many, n, 2) != hits)
            return false;
    }
    return all_are_out(&s->people);
}

static void sides_open(struct sides *s, struct fleet *f)
{
    traffic_login(&s->many, f, 12);
    s->one = s->many;
    atomic_store(&s->many.away[2], true);
    atomic_store(&s->one.away[0], true);
    atomic_store(&s->one.away[1], true);
    s->many.only_hits = s->one.only_hits = true;
    people_open(&s->people, f);
    traffic_go(&s->many, 8);
    traffic_go(&s->one, 8);
    CU_ASSERT(traffic_pass(&s->many, 500) && traffic_pass(&s->one, 500));
}

/* Each side ends some; the others' copies are in use there meanwhile. */
static void sides_log_out(struct sides *s)
{
    struct fleet *f = s->people.fleet;
    for (unsigned n = 0; n < PEOPLE; n++) {
        struct browser *b = &s->people.browsers[n];
        unsigned here = n % 2 ? 2 : n / 2, there = n % 2 ? n / 2 : 2;
        CHECK_INT(browser_get(b, fleet_server(f, there), "/login/hit"), 200);
        CHECK_INT(browser_post(b, fleet_server(f, here), "/login/logout", NULL),
                  200);
        CHECK_INT(browser_get(b, fleet_server(f, here), "/login/me"), 401);
    }
}

/* Whatever was answered on either side is in it. */
static void sides_check(const struct sides *s)
{
    const struct traffic *a = &s->many, *b = &s->one;
    for (unsigned n = 0; n < a->sessions; n++) {
        int final = traffic_read(a, n, 0);
        CU_ASSERT((int)(a->acknowledged[n] + b->acknowledged[n]) <= final);
        CU_ASSERT(final <= (int)(a->sent[n] + b->sent[n]));
    }
    CHECK_INT(a->stale + b->stale, 0);
    CHECK_INT(a->ended + b->ended, 0);
    CHECK_INT(a->others + b->others, 0);
    CHECK_INT(a->unanswered + b->unanswered, 0);
}

static void a_partition_heals(enum relay_way way)
{
    struct fleet *f = split_fleet(true);
    long long end;
    struct sides s;
    if (!f)
        return;
    sides_open(&s, f);
    end = clock_ms() + 1000 * setting_number("MARGAY_CUT_SECONDS", 4);
    relay_isolate(running.relay, 2, way);
    /* not one at a time: what is under way waits for dropTime */
    CU_ASSERT(traffic_pass(&s.many, 1000));
    CU_ASSERT(traffic_pass(&s.one, 1000));
    sides_log_out(&s);
    CU_ASSERT(eventually(60000, is_past, &end));
    CU_ASSERT(traffic_pass(&s.many, 500) && traffic_pass(&s.one, 500));
    traffic_halt(&s.many);
    traffic_halt(&s.one);
    end = clock_ms();
    relay_isolate(running.relay, 2, RELAY_OPEN);
    CU_ASSERT(eventually(5000, sides_are_equal, &s));
    printf("equal %lld ms after the network was whole again\n",
           clock_ms() - end);
    sides_check(&s);
    people_close(&s.people);
}

static void a_silent_partition_heals(void)
{
    a_partition_heals(RELAY_HOLE);
}

static void a_loud_partition_heals(void)
{
    a_partition_heals(RELAY_CUT);
}

/* Two that reach a third, but not each other: what each did comes by the
 * third. */
static void a_broken_way_is_gone_around(void)
{
    struct fleet *f = split_fleet(true);
    struct traffic t;
    if (!f)
        return;
    traffic_login(&t, f, 12);
    traffic_go(&t, 16);
    CU_ASSERT(traffic_pass(&t, 500));
    relay_set(running.relay, 0, 1, RELAY_HOLE);
    CU_ASSERT(traffic_pass(&t, 2000));
    traffic_halt(&t);
    printf("%u read late\n", t.stale);
    CHECK_INT(t.ended, 0);
    CHECK_INT(t.beyond, 0);
    CHECK_INT(t.unanswered, 0);
    long long begin = clock_ms();
    traffic_check(&t);
    printf("equal after %lld ms\n", clock_ms() - begin);
    relay_set(running.relay, 0, 1, RELAY_OPEN);
}

static void links_that_break_lose_nothing(void)
{
    struct fleet *f = split_fleet(true);
    struct traffic t;
    if (!f)
        return;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    for (unsigned n = 0; n < 12; n++) {
        CU_ASSERT_FATAL(traffic_pass(&t, 200));
        relay_set(running.relay, n % 3, (n + 1) % 3, RELAY_CUT);
        relay_set(running.relay, n % 3, (n + 1) % 3, RELAY_OPEN);
    }
    relay_delay(running.relay, 5);
    CU_ASSERT(traffic_pass(&t, 2000));
    traffic_halt(&t);
    CHECK_INT(t.stale, 0);
    CHECK_STR(t.strange, "");
    traffic_check(&t);
}

/* ---- a pause ---- */

static bool is_ready(void *user)
{
    return server_health(user) == 200;
}

/* What it answers for who has logged out meanwhile; asked before it wakes, over
 * a connection that it knows and over one that it does not. */
static unsigned pause_once(struct fleet *f, unsigned sleeper)
{
    struct server *s = fleet_server(f, sleeper);
    struct line known, fresh;
    struct browser b;
    char cookie[128];
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, sleeper + 1), "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", cookie));
    line_open(&known, s);
    line_ask(&known, cookie);
    CHECK_INT(line_answer(&known), 200);

    server_signal(s, SIGSTOP);
    CU_ASSERT(eventually(5000, server_is_stopped, s));
    CHECK_INT(
        browser_post(&b, fleet_server(f, sleeper + 1), "/login/logout", NULL),
        200);
    line_open(&fresh, s);
    line_ask(&known, cookie);
    line_ask(&fresh, cookie);
    server_signal(s, SIGCONT);
    int first = line_answer(&known), second = line_answer(&fresh);
    CU_ASSERT(first == 401 || first == 503);
    CU_ASSERT(second == 401 || second == 503);
    CU_ASSERT(eventually(10000, is_ready, s));
    CHECK_INT(browser_get(&b, s, "/login/me"), 401);
    browser_close(&b);
    close(known.fd);
    close(fresh.fd);
    return (unsigned)(first == 503) + (unsigned)(second == 503);
}

static void who_stood_still_does_not_answer_for_the_gone(void)
{
    struct fleet *f = split_fleet(false);
    unsigned times = (unsigned)setting_number("MARGAY_PAUSES", 6), later = 0;
    if (!f)
        return;
    for (unsigned n = 0; n < times; n++)
        later += pause_once(f, n);
    printf("%u pauses: %u answers 503, %u answers 401\n", times, later,
           2 * times - later);
}

static bool serves(void *user)
{
    struct traffic *t = user;
    return traffic_read(t, 0, 0) >= 0;
}

/* The only neighbour hangs, its connections stand: after dropTime the one that
 * is left serves alone; then both are equal. */
static void the_last_one_goes_on(void)
{
    struct fleet *f = split_fleet(false);
    struct traffic t;
    if (!f)
        return;
    traffic_login(&t, f, 4);
    CHECK_INT(server_stop(fleet_server(f, 2)), 0);
    server_signal(fleet_server(f, 1), SIGSTOP);
    CU_ASSERT(eventually(5000, server_is_stopped, fleet_server(f, 1)));
    atomic_store(&t.away[1], true);
    atomic_store(&t.away[2], true);
    traffic_go(&t, 8);
    CU_ASSERT(traffic_pass(&t, 200));
    CU_ASSERT(eventually(5000, serves, &t));
    traffic_halt(&t);
    CHECK_INT(t.stale + t.ended + t.others + t.unanswered, 0);
    server_signal(fleet_server(f, 1), SIGCONT);
    CU_ASSERT(eventually(10000, is_ready, fleet_server(f, 1)));
    CU_ASSERT_FATAL(fleet_restart(f, 2));
    CU_ASSERT(eventually(10000, is_ready, fleet_server(f, 2)));
    atomic_store(&t.away[1], false);
    atomic_store(&t.away[2], false);
    traffic_check(&t);
}

UNIT_MAIN_AROUND("delta_split", NULL, split_end, CASE(a_silent_partition_heals),
                 CASE(a_loud_partition_heals),
                 CASE(a_broken_way_is_gone_around),
                 CASE(links_that_break_lose_nothing),
                 CASE(who_stood_still_does_not_answer_for_the_gone),
                 CASE(the_last_one_goes_on))
