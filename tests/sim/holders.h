/* SPDX-License-Identifier: Apache-2.0
 *
 * holders.h: which members have what was acknowledged of a session.
 *
 * What    BackupManager keeps a session at some members. What was acknowledged
 *         may be missing later only when all members that had it are gone
 *         (story->bereft), and that may only come about when more of them went
 *         down than there are backups, without the session having all its
 *         copies again in between. Both are decided here for each session, by
 *         looking into the members' tables: when a change is acknowledged,
 *         when a member's memory goes, and now and then.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_HOLDERS_H
#define MARGAY_TESTS_SIM_HOLDERS_H

#include "tests/sim/model.h"
#include "tests/sim/sim.h"

/* A change to it was acknowledged, at the moment when its request came `ends`
 * members had gone down. */
void holders_acknowledged(struct sim *sim, struct story *s, uint64_t ends);
/* The same of what perhaps changed nothing, so that nobody was waited for. */
void holders_changed(const struct sim *sim, struct story *s);
/* That member tells others who holds it. */
void holders_named(struct sim *sim, const struct member *m,
                   const uint8_t id[ID_SIZE], const struct place *p);
/* Its memory is about to go: a crash, or an orderly stop. */
void holders_end(struct sim *sim, int slot);
/* It was to get a new id, and that came to nothing; when its request came some
 * of its copies were missing, and with those that went down since it is `down`:
 * all that had it under the old id may be among these. */
void holders_undone(struct sim *sim, struct story *s, uint64_t down);
/* Which of them have all their copies again? */
void holders_look(struct sim *sim);

/* Are there copies, all of which have idled out, by what their members know of
 * its last use? */
bool holders_only_idle(const struct sim *sim, const uint8_t id[ID_SIZE]);
/* Does anybody who is up know of its decided end? */
bool holders_know_end(const struct sim *sim, const uint8_t id[ID_SIZE]);

/* Its view may have changed. */
void holders_view(struct member *m);
/* Who has it, into the trace. */
void holders_say(struct sim *sim, const struct story *s);
void holders_say_id(struct sim *sim, const struct story *s,
                    const uint8_t id[ID_SIZE]);
/* Of any living member's copy of it: a reference; NULL: there is none. */
struct record *holders_copy(const struct sim *sim, const uint8_t id[ID_SIZE]);

#endif
