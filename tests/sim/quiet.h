/* SPDX-License-Identifier: Apache-2.0
 *
 * quiet.h: what must hold with BackupManager after quiet.
 *
 * What    All members have equal places. Every live session is held whole and
 *         byte for byte equal by exactly its listed holders, backups + 1 of
 *         them (or all members, where there are fewer), and nobody else has a
 *         copy; nobody says that sessions are exposed. Later nothing is left of
 *         what ended: no tombstone, no place, no row of ids to be looked at.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_QUIET_H
#define MARGAY_TESTS_SIM_QUIET_H

#include "tests/sim/sim.h"

/* why: size bytes for what is not so; may be NULL, of size 0. */
bool quiet_equal(const struct sim *sim, char *why, size_t size);
bool quiet_forgotten(const struct sim *sim, char *why, size_t size);
/* At any moment: the sessions that a member says are exposed are those that a
 * look at all places finds. */
void quiet_count(struct sim *sim, int slot);
/* Sessions that got another primary. */
uint64_t quiet_moved(const struct sim *sim);

#endif
