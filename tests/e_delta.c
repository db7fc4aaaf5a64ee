/* SPDX-License-Identifier: Apache-2.0
 *
 * e_delta.c: three members that replicate to each other, while all is well. */
#include "config.h"

#include "tests/traffic.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/buf.h"

#define VISITORS 32

/* One who logs in, reads at the next member, logs out at the third, and asks
 * once more at the first; then as somebody else. */
struct visitor {
    unsigned step, user;
    char cookie[128];
};
struct visits {
    struct fleet *fleet;
    unsigned want, begun, done;
    unsigned lost, wrong, revived;
    char strange[160];
    struct visitor visitors[VISITORS];
    unsigned idle[VISITORS], idle_count;
};

static bool visit_next(void *user, struct shot *shot)
{
    struct visits *v = user;
    static const char *const paths[] = {"login", "me", "logout", "me"};
    if (!v->idle_count)
        return false;
    unsigned n = v->idle[--v->idle_count];
    struct visitor *who = &v->visitors[n];
    static const char form[] = "user=kim&password=margay";
    shot->number = n;
    shot->server = fleet_server(v->fleet, who->user + who->step);
    shot->form = who->step == 0 ? form : who->step == 2 ? "" : NULL;
    shot->cookie = who->step ? who->cookie : NULL;
    snprintf(shot->path, sizeof shot->path, "/login/%s", paths[who->step]);
    return true;
}

static void visit_over(struct visits *v, unsigned n)
{
    v->done++;
    if (v->begun == v->want)
        return;
    v->visitors[n] = (struct visitor){.user = v->begun++};
    v->idle[v->idle_count++] = n;
}

static void visit_hit(void *user, const struct shot *shot)
{
    struct visits *v = user;
    static const int expected[] = {303, 200, 200, 401};
    struct visitor *who = &v->visitors[shot->number];
    unsigned step = who->step;
    if (shot->status != expected[step] ||
        (step == 1 && strncmp(shot->body, "user=kim\n", 9) != 0)) {
        bool lost = step == 1 && shot->status == 401;
        bool revived = step == 3 && shot->status == 200;
        v->lost += lost;
        v->revived += revived;
        v->wrong += !lost && !revived; /* 503, or no answer at all */
        snprintf(v->strange, sizeof v->strange, "step %u at %s: %d/%d %.60s",
                 step, shot->server->node, shot->status, shot->problem,
                 shot->body);
        visit_over(v, shot->number);
        return;
    }
    if (step == 0)
        snprintf(who->cookie, sizeof who->cookie, "%s", shot->cookie_set);
    if (++who->step == 4) {
        visit_over(v, shot->number);
        return;
    }
    v->idle[v->idle_count++] = shot->number;
}

static void visit(struct fleet *f, unsigned want)
{
    struct visits *v = mem_zero(sizeof *v);
    struct battery *battery = battery_new(VISITORS);
    *v = (struct visits){.fleet = f, .want = want};
    for (unsigned n = VISITORS; n-- > 0;) {
        v->visitors[n].user = v->begun++;
        v->idle[v->idle_count++] = n;
    }
    long long begin = clock_ms();
    volley_run(battery, visit_next, visit_hit, v);
    printf("%u logins, reads and logouts in %lld ms\n", v->done,
           clock_ms() - begin);
    CHECK_INT(v->done, want);
    CHECK_INT(v->lost, 0);
    CHECK_INT(v->revived, 0);
    CHECK_INT(v->wrong, 0);
    CHECK_STR(v->strange, "");
    battery_free(&battery);
    free(v);
}

static void a_login_is_known_at_once(struct fleet *f)
{
    visit(f, (unsigned)setting_number("MARGAY_LOGINS", 10000));
}

static void nobody_reads_stale(struct fleet *f)
{
    struct traffic t;
    traffic_login(&t, f, TRAFFIC_SESSIONS);
    traffic_go(&t, TRAFFIC_CONNECTIONS);
    CU_ASSERT(traffic_pass(&t, 20000));
    traffic_halt(&t);
    CHECK_INT(t.stale, 0);
    CHECK_INT(t.beyond, 0);
    CHECK_STR(t.strange, "");
    traffic_check(&t);
}

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void a_login_is_known_at_once_with_a_key(void)
{
    struct fleet *f = fleet_new("delta.xml");
    if (!f)
        return;
    fleet_define(f, "cluster.key", KEY);
    CU_ASSERT_FATAL(fleet_start(f, 3));
    visit(f, 1000);
}

static void copies_converge_at_one(void)
{
    traffic_converges("delta.xml", 3, "one");
}

static void copies_converge_at_none(void)
{
    traffic_converges("delta.xml", 3, "none");
}

FLEET_CASE(a_login_is_known_at_once, delta, "delta.xml", 3)
FLEET_CASE(nobody_reads_stale, delta, "delta.xml", 3)
UNIT_MAIN_AROUND("delta", NULL, fleet_end,
                 CASE(a_login_is_known_at_once_on_delta),
                 CASE(nobody_reads_stale_on_delta),
                 CASE(a_login_is_known_at_once_with_a_key),
                 CASE(copies_converge_at_one), CASE(copies_converge_at_none))
