/* SPDX-License-Identifier: Apache-2.0
 *
 * e_upgrade.c: two releases in one cluster. The instances of a cluster are
 * replaced, one after another and under load, by those of a build that plays
 * the next release (./configure --with-frame-version=+1: one field more in its
 * records, one frame more), and back again: nobody is logged out, no request
 * fails, the field survives what the older ones do, and the frame goes to those
 * only that know it. $MARGAY_STAGE_NEXT is the installation of that build;
 * ./dev test upgrade makes one.
 *
 * Timeout: 400 s */
#include "config.h"

#include "managers/cluster/frame.h"
#include "tests/traffic.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 3, USERS = 8 };

struct upgrade {
    struct fleet *fleet;
    const char *next; /* an installation */
    bool is_delta;    /* each has a copy of each session */
    struct traffic traffic;
    struct guard guard;
    struct browser users[USERS]; /* whose sessions the next release made */
};

/* ---- looking ---- */

static int metric(struct upgrade *u, unsigned i, const char *name)
{
    char prefix[80];

    snprintf(prefix, sizeof prefix, "margay_%s", name);
    return (int)server_metric(fleet_server(u->fleet, i), prefix);
}

static int sum_of(struct upgrade *u, const char *name)
{
    int sum = 0;

    for (unsigned i = 0; i < COUNT; i++)
        sum += metric(u, i, name);
    return sum;
}

static bool is_next(struct upgrade *u, unsigned i)
{
    return metric(u, i, "cluster_frame_version ") == FRAME_VERSION + 1;
}

static unsigned next_count(struct upgrade *u)
{
    unsigned n = 0;

    for (unsigned i = 0; i < COUNT; i++)
        n += is_next(u, i);
    return n;
}

/* What is left to be upgraded, and who was told what program another one is. */
static bool speaks_as_it_should(void *user)
{
    struct upgrade *u = user;
    int others = (int)next_count(u) - 1;
    bool good = true;

    for (unsigned i = 0; i < COUNT; i++) {
        bool next = is_next(u, i);
        good &= metric(u, i, "cluster_members ") == COUNT &&
                metric(u, i, "cluster_links_of_older_version ") ==
                    (next ? COUNT - 1 - others : 0) &&
                (next ? metric(u, i, "cluster_releases_told_total ") >= others
                      : metric(u, i, "cluster_releases_told_total ") == 0);
    }
    return good;
}

static void look(struct upgrade *u)
{
    CU_ASSERT(eventually(10000, speaks_as_it_should, u));
    for (unsigned i = 0; i < COUNT; i++)
        CHECK_INT(metric(u, i, "cluster_garbage_total "), 0);
}

/* ---- doing ---- */

static void become(struct upgrade *u, unsigned i, const char *stage)
{
    struct server *s = fleet_server(u->fleet, i);

    CHECK_INT(server_stop(s), 0);
    u->fleet->stage[i] = stage;
    CU_ASSERT_FATAL(fleet_restart(u->fleet, i));
    CU_ASSERT(traffic_pass(&u->traffic, 100));
    look(u);
}

/* Every session is changed at every instance. */
static void hit_all(struct upgrade *u)
{
    for (unsigned n = 0; n < USERS; n++)
        for (unsigned i = 0; i < COUNT; i++)
            CHECK_INT(browser_get(&u->users[n], fleet_server(u->fleet, i),
                                  "/login/hit"),
                      200);
}

static void made_by_next(struct upgrade *u, unsigned at)
{
    for (unsigned n = 0; n < USERS; n++) {
        browser_open(&u->users[n]);
        CHECK_INT(
            browser_login(&u->users[n], fleet_server(u->fleet, at), "lee"),
            303);
    }
}

/* Copies that still have the field, as far as the next release counts. */
static bool all_kept(void *user)
{
    struct upgrade *u = user;
    static const char name[] = "sessions_of_next_version";

    if (next_count(u) == COUNT && !u->is_delta)
        return sum_of(u, name) == 2 * USERS;
    for (unsigned i = 0; u->is_delta && i < COUNT; i++)
        if (is_next(u, i) && metric(u, i, name) != USERS)
            return false;
    return true;
}

static void kept(struct upgrade *u)
{
    hit_all(u);
    CU_ASSERT(eventually(10000, all_kept, u));
}

static void up_down_and_up(struct upgrade *u)
{
    CHECK_INT(next_count(u), 0);
    become(u, 0, u->next);
    made_by_next(u, 0);
    kept(u);
    for (unsigned i = 1; i < COUNT; i++) {
        become(u, i, u->next);
        kept(u);
    }
    CHECK_INT(next_count(u), COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        become(u, i, NULL);
        kept(u);
    }
    CHECK_INT(next_count(u), 0);
    for (unsigned i = 0; i < COUNT; i++)
        become(u, i, u->next);
    kept(u); /* as it was before the older ones had it alone */
}

static void upgrades(const char *conf)
{
    static struct upgrade u;

    u = (struct upgrade){.next = getenv("MARGAY_STAGE_NEXT"),
                         .is_delta = strcmp(conf, "delta.xml") == 0};
    if (!u.next) {
        unit_skip("no $MARGAY_STAGE_NEXT: see ./dev test upgrade");
        return;
    }
    u.fleet = fleet_new(conf);
    if (!u.fleet)
        return;
    fleet_define(u.fleet, "drain", "1");
    CU_ASSERT_FATAL(fleet_start(u.fleet, COUNT));
    traffic_login(&u.traffic, u.fleet, TRAFFIC_SESSIONS);
    guard_go(&u.guard, &u.traffic);
    traffic_go(&u.traffic, 8);
    CU_ASSERT_FATAL(traffic_pass(&u.traffic, 200));
    up_down_and_up(&u);
    traffic_halt(&u.traffic);
    guard_halt(&u.guard);
    printf("%s: %u asked, %u answered, the longest took %lld ms\n", conf,
           u.traffic.asked, atomic_load(&u.traffic.answered),
           atomic_load(&u.traffic.worst_ms));
    traffic_unnoticed(&u.traffic);
    for (unsigned n = 0; n < USERS; n++)
        browser_close(&u.users[n]);
}

static void a_cluster_is_upgraded_unnoticed_on_delta(void)
{
    upgrades("delta.xml");
}

static void a_cluster_is_upgraded_unnoticed_on_backup(void)
{
    upgrades("backup.xml");
}

UNIT_MAIN_AROUND("upgrade", NULL, fleet_end,
                 CASE(a_cluster_is_upgraded_unnoticed_on_delta),
                 CASE(a_cluster_is_upgraded_unnoticed_on_backup))
