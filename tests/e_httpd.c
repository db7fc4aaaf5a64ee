/* SPDX-License-Identifier: Apache-2.0
 *
 * e_httpd.c: real Apache httpd before real instances (stories.h). */
#include "config.h"

#include "tests/stories.h"
#include "tests/unit.h"

#define BALANCER "httpd"
STORIES

UNIT_MAIN_AROUND(BALANCER, NULL, stories_after, STORY_CASES)
