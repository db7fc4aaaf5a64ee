/* SPDX-License-Identifier: Apache-2.0
 *
 * waits.h: the channel between a member's manager and its core.
 *
 * What    Hands updates over as the real shell does from other threads: some
 *         time after they were applied, in order, never from inside the core.
 *         Each wait and ask that goes to the core is watched: completed
 *         exactly once, within a bounded time, and also when the member dies.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_WAITS_H
#define MARGAY_TESTS_SIM_WAITS_H

#include "tests/sim/member.h"

extern const struct channel_ops channel_sim;

struct waits *waits_new(void);
void waits_free(struct waits **waits);
/* None is older than it may be. */
void waits_check(struct sim *sim);
bool waits_open(const struct sim *sim);
/* What the manager wants goes to the core. */
void waits_hand_over(struct member *m);

#endif
