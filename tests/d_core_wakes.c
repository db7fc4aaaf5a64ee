/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may answer again after it stood still: what it has to have heard, and
 * from whom. Cores that are wired by hand. */
#include "config.h"

#include "tests/cores.h"

#include "tests/unit.h"

/* It stands still, wakes, and hears of one that it is waited for, but not of
 * the other one; then it stands still again, and the first one goes on without
 * it. What that one said between says nothing of now. */
static void a_word_from_before_a_second_pause_is_void(void)
{
    struct net *n = net_new(3);
    struct commit c;

    net_pass(n, DROP + 1000);
    n->hosts[1].paused = n->hosts[2].paused = true;
    net_pass(n, DROP / 2 + 300);
    n->hosts[1].paused = false;
    net_pass(n, DROP / 10);
    CU_ASSERT(!net_answers(n, 1));
    CU_ASSERT(net_peer(n, 1, 0)->lease >= n->hosts[1].core->lapsed_at);
    n->hosts[1].paused = true;
    net_pass(n, 2 * DROP);
    CU_ASSERT(net_answers(n, 0));
    net_commit(n, 0, &c);
    core_flush(n->hosts[0].core, n->now);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    n->held[0][1] = n->held[1][0] = true;
    n->hosts[1].paused = n->hosts[2].paused = false;
    net_pass(n, DROP / 3);
    CU_ASSERT(net_peer(n, 1, 2)->lease > n->now.mono - DROP / 3);
    CU_ASSERT(!net_answers(n, 1));
    n->held[0][1] = n->held[1][0] = false;
    net_pass(n, 2 * DROP);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(net_answers(n, i));
    net_free(&n);
}

/* It has to compare, and the link to the only other one was made anew just now,
 * or is being made: that nobody says anything does not make it complete. */
static void who_has_not_heard_from_one_is_not_complete(void)
{
    struct net *n = net_new(2);

    net_pass(n, DROP + 1000);
    struct core *core = n->hosts[1].core;
    struct peer *p = net_peer(n, 1, 0);
    int link = p->link;
    lease_stale(core);
    p->pulsed = false;
    lease_check_complete(core, n->now);
    CU_ASSERT(!core->complete);
    p->pulsed = true;
    p->link = NO_LINK;
    lease_check_complete(core, n->now);
    CU_ASSERT(!core->complete);
    p->link = link;
    net_pass(n, DROP / 2);
    CU_ASSERT(net_answers(n, 1));
    net_free(&n);
}

/* It was away, and finds nobody: it looks for others as when it started. */
static void who_was_away_looks_before_it_is_alone(void)
{
    struct net *n = net_new(1);

    net_pass(n, 3 * DROP);
    CU_ASSERT(net_answers(n, 0));
    n->hosts[0].core->lapsed = true;
    lease_stale(n->hosts[0].core);
    lease_check_complete(n->hosts[0].core, n->now);
    CU_ASSERT(!net_answers(n, 0));
    CHECK_INT(n->hosts[0].core->joining_since, n->now.mono);
    net_pass(n, DROP + 1000);
    CU_ASSERT(net_answers(n, 0));
    net_free(&n);
}

/* It stood still for so long that the others went on without it. One of them
 * has heard of it again, and the other one, for which nothing has come from it
 * yet, acknowledges without it. */
static void who_wakes_is_complete_when_all_wait_for_it(void)
{
    struct net *n = net_new(3);
    struct commit c;

    net_pass(n, DROP + 1000);
    n->hosts[2].paused = true;
    net_pass(n, DROP + 500);
    n->held[2][1] = true;
    n->hosts[2].paused = false;
    net_pass(n, DROP / 3);
    CU_ASSERT(net_peer(n, 0, 2)->waited && !net_peer(n, 1, 2)->waited);
    net_commit(n, 1, &c);
    core_flush(n->hosts[1].core, n->now);
    net_pass(n, 100);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    CU_ASSERT(!net_answers(n, 2));
    n->held[2][1] = false;
    net_pass(n, DROP / 2);
    CU_ASSERT(net_answers(n, 2));
    CHECK_INT(net_peer(n, 2, 1)->applied, n->hosts[1].core->seq);
    net_free(&n);
}

/* It stood still for so long that the others went on without it. When it wakes,
 * another one has just fallen asleep, which has not heard of it since, and for
 * which the third one waits. So must it: else the two would acknowledge what
 * the sleeper, with the third one's lease, does not know when it wakes. */
static void who_sleeps_is_waited_for_by_who_wakes(void)
{
    struct net *n = net_new(3);
    int ms = 0;

    net_pass(n, DROP + 1000);
    n->hosts[2].paused = true;
    net_pass(n, DROP + 500);
    CU_ASSERT(!net_peer(n, 0, 2)->waited && !net_peer(n, 1, 2)->waited);
    n->hosts[1].paused = true;
    n->hosts[2].paused = false;
    for (; net_peer(n, 0, 1)->waited && ms < 2 * DROP; ms += STEP) {
        CU_ASSERT_FATAL(net_peer(n, 2, 1)->waited);
        net_pass(n, STEP);
    }
    CU_ASSERT(ms < DROP + 500);
    net_pass(n, DROP);
    CU_ASSERT(net_answers(n, 0) && net_answers(n, 2));
    net_free(&n);
}

/* The first pulse of somebody who has not heard of this member yet says so, and
 * not that it hears nothing: or it is given up where this member stands still
 * just then, and a newcomer begins without what all others have. */
static void who_has_not_heard_yet_is_waited_for(void)
{
    struct net *n = net_new(3);

    net_pass(n, DROP + 1000);
    n->hosts[1].paused = true;
    for (int i = 0; i < n->count; i += 2)
        net_cut(n, 1, i, true);
    net_pass(n, DROP);
    core_free(&n->hosts[1].core);
    net_start(n, 1, 77);
    n->hosts[1].paused = false;
    for (int i = 0; i < n->count; i += 2)
        net_cut(n, 1, i, false);
    n->hosts[0].deaf = n->hosts[2].deaf = true;
    net_pass(n, DROP / 3);
    for (int i = 0; i < n->count; i += 2) {
        struct peer *p = net_peer(n, 1, i);
        CU_ASSERT_FATAL(p && p->pulsed && p->waited);
        CU_ASSERT(p->echo == NEVER && p->withdrawn == NEVER);
    }
    n->hosts[0].deaf = n->hosts[2].deaf = false;
    net_pass(n, DROP);
    CU_ASSERT(net_answers(n, 1));
    net_free(&n);
}

/* The answers to its announcements wait in its sockets. */
static void who_sleeps_has_not_looked_for_others(void)
{
    struct net *n = net_new(1);
    struct core *core = n->hosts[0].core;

    core->options.listed = false;
    net_pass(n, DROP / 12);
    n->hosts[0].paused = true;
    net_pass(n, DROP / 3 - 50);
    n->hosts[0].paused = false;
    net_pass(n, DROP / 12);
    CU_ASSERT(!core->complete);
    net_pass(n, DROP / 3);
    CU_ASSERT(core->complete && net_answers(n, 0));
    net_free(&n);
}

UNIT_MAIN("core_wakes", CASE(a_word_from_before_a_second_pause_is_void),
          CASE(who_has_not_heard_from_one_is_not_complete),
          CASE(who_was_away_looks_before_it_is_alone),
          CASE(who_wakes_is_complete_when_all_wait_for_it),
          CASE(who_sleeps_is_waited_for_by_who_wakes),
          CASE(who_has_not_heard_yet_is_waited_for),
          CASE(who_sleeps_has_not_looked_for_others))
