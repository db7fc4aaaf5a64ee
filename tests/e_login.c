/* SPDX-License-Identifier: Apache-2.0
 *
 * e_login.c: one login at several instances. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/buf.h"

static void a_login_is_known_everywhere(struct fleet *f)
{
    struct browser b;
    char id[128], line[128];
    browser_open(&b);
    CHECK_INT_FATAL(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CHECK_STR(browser_header(&b, "Location", 0), "/login/me");
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    browser_line(&b, "session", id);
    CHECK_INT((int64_t)strlen(id), 32);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        CHECK_STR(browser_line(&b, "user", line), "kim");
        CHECK_STR(browser_line(&b, "session", line), id);
        CHECK_STR(browser_line(&b, "instance", line), fleet_server(f, i)->node);
        CHECK_STR(browser_line(&b, "hits", line), "0");
        CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    }
    CHECK_INT(browser_post(&b, fleet_server(f, 1), "/login/logout", NULL), 200);
    CHECK_STR(b.body, "bye\n");
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 401);
        CHECK_STR(b.body, "not logged in: logout\n");
    }
    browser_close(&b);
}

#define PUTS 200

static unsigned shots_with(const struct shot *shots, unsigned count, int status,
                           const char *body)
{
    unsigned sum = 0;
    for (unsigned n = 0; n < count; n++)
        sum += shots[n].status == status &&
               (!body || strcmp(shots[n].body, body) == 0);
    return sum;
}

static void parallel_puts_are_all_there(struct fleet *f)
{
    static const unsigned parallel = 32;
    struct shot *shots = mem_zero(PUTS * sizeof *shots);
    struct battery *battery = battery_new(parallel);
    struct browser b;
    char cookie[128], body[32];
    unsigned there = 0;
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", cookie));
    for (unsigned n = 0; n < PUTS; n++) {
        shots[n].server = fleet_server(f, n);
        shots[n].cookie = cookie;
        snprintf(shots[n].path, sizeof shots[n].path,
                 "/login/put?k=key%u&v=value%u", n, n);
    }
    volley(battery, shots, PUTS);
    CHECK_INT(shots_with(shots, PUTS, 200, "ok\n"), PUTS);

    for (unsigned n = 0; n < PUTS; n++) {
        shots[n].server = fleet_server(f, n + 1);
        snprintf(shots[n].path, sizeof shots[n].path, "/login/get?k=key%u", n);
    }
    volley(battery, shots, PUTS);
    for (unsigned n = 0; n < PUTS; n++) {
        snprintf(body, sizeof body, "value%u\n", n);
        there += shots_with(&shots[n], 1, 200, body);
    }
    CHECK_INT(there, PUTS);
    battery_free(&battery);
    browser_close(&b);
    free(shots);
}

struct hits {
    struct fleet *fleet;
    const char *cookie;
    unsigned want, sent, ok;
};

static bool hit_next(void *user, struct shot *shot)
{
    struct hits *h = user;
    if (h->sent == h->want)
        return false;
    shot->server = fleet_server(h->fleet, h->sent++);
    shot->cookie = h->cookie;
    snprintf(shot->path, sizeof shot->path, "/login/hit");
    return true;
}

static void hit_answered(void *user, const struct shot *shot)
{
    struct hits *h = user;
    h->ok += shot->status == 200;
}

static void ten_thousand_hits_are_ten_thousand(struct fleet *f)
{
    struct hits hits = {.fleet = f,
                        .want = (unsigned)setting_number("MARGAY_HITS", 10000)};
    struct battery *battery = battery_new(32);
    struct browser b;
    char cookie[128], line[128], expected[16];
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", cookie));
    hits.cookie = cookie;
    long long begin = clock_ms();
    volley_run(battery, hit_next, hit_answered, &hits);
    printf("%u hits in %lld ms\n", hits.sent, clock_ms() - begin);
    CHECK_INT(hits.ok, hits.want);
    snprintf(expected, sizeof expected, "%u", hits.want);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        CHECK_STR(browser_line(&b, "hits", line), expected);
    }
    battery_free(&battery);
    browser_close(&b);
}

FLEET_CASES(a_login_is_known_everywhere)
FLEET_CASES(parallel_puts_are_all_there)
FLEET_CASES(ten_thousand_hits_are_ten_thousand)
UNIT_MAIN_AROUND("login", NULL, fleet_end,
                 FLEET_ENTRIES(a_login_is_known_everywhere),
                 FLEET_ENTRIES(parallel_puts_are_all_there),
                 FLEET_ENTRIES(ten_thousand_hits_are_ten_thousand))
