/* SPDX-License-Identifier: Apache-2.0
 *
 * e_haproxy.c: real HAProxy before real instances (stories.h). */
#include "config.h"

#include "tests/stories.h"
#include "tests/unit.h"

#define BALANCER "haproxy"
STORIES

UNIT_MAIN_AROUND(BALANCER, NULL, stories_after, STORY_CASES)
