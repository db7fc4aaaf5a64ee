/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h: what must hold, at every moment and in the end.
 *
 * What    In every seed: a counter never shows more than was sent, and never
 *         goes back on one member; a value was written by somebody; a member
 *         does not forget how lately it saw a session used.
 *         In seeds without network faults at `all` (plan.fresh): what was
 *         acknowledged before a request began is seen by it, on every member
 *         that answers.
 *         In the end: copies and sums are equal (with BackupManager: see
 *         quiet.h and holders.h), what was acknowledged is
 *         there (plan.keeps), what ended is not, what was refused is not, and
 *         tombstones go.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_CHECK_H
#define MARGAY_TESTS_SIM_CHECK_H

#include "tests/sim/model.h"
#include "tests/sim/sim.h"

/* What was known when a client sent its request. */
struct asked {
    int64_t at, there; /* us: sent; at the member */
    int64_t added;
    bool born, over; /* its id was acknowledged as; was acknowledged to be */
};

void check_ask(struct sim *sim, const struct story *story,
               const uint8_t id[ID_SIZE], struct asked *asked);
/* A request found the session, or did not. */
void check_found(struct sim *sim, int slot, struct story *story,
                 const uint8_t id[ID_SIZE], const struct asked *asked,
                 struct session *session);
void check_absent(struct sim *sim, int slot, struct story *story,
                  const uint8_t id[ID_SIZE], const struct asked *asked,
                  enum reason reason);

/* Nobody counts as having what it did not apply. */
void check_acknowledged(struct sim *sim);
/* Where nothing went wrong for a while, everybody who is up answers. */
void check_answering(struct sim *sim);
/* No log is longer than it may be; in the end (all) nothing is kept for
 * others. */
void check_bounded(struct sim *sim, bool all);
/* All members answer, and their sums are equal. */
bool check_equal(const struct sim *sim);
/* Why not, for a person. */
void check_explain(const struct sim *sim, char *out, size_t size);
/* After quiet: the copies, byte for byte, and the stories. */
void check_copies(struct sim *sim);
void check_stories(struct sim *sim);
void check_moves(struct sim *sim);
/* After endedKeep: no tombstone is left. */
void check_forgotten(struct sim *sim);

#endif
