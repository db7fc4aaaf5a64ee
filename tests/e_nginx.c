/* SPDX-License-Identifier: Apache-2.0
 *
 * e_nginx.c: real nginx before real instances (stories.h). */
#include "config.h"

#include "tests/stories.h"
#include "tests/unit.h"

#define BALANCER "nginx"
STORIES

static void a_drain_by_hand(void)
{
    story_of_a_drain_by_hand();
}

static void bare_restarts(void)
{
    story_of_bare_restarts();
}

UNIT_MAIN_AROUND(BALANCER, NULL, stories_after, STORY_CASES,
                 CASE(a_drain_by_hand), CASE(bare_restarts))
