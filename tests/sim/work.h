/* SPDX-License-Identifier: Apache-2.0
 *
 * work.h: the clients, who ask another member at every request.
 *
 * What    A client thinks, chooses a member, a session and something to do,
 *         and waits for the answer: new session, login, put, remove, add, read,
 *         logout, a look with an id that is over. Requests go through the real
 *         wrapper (manager_find, manager_attach, session_*, manager_commit).
 *         Some come in the first instant after a pause of their member, before
 *         anything else that waits there.
 *         When the clients no longer work they only look at sessions that
 *         would idle out otherwise, until all is equal.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_WORK_H
#define MARGAY_TESTS_SIM_WORK_H

#include "tests/sim/model.h"
#include "tests/sim/sim.h"

struct client;

struct work {
    struct client *clients;
    unsigned client_count;
    struct story **stories;
    unsigned story_count, story_cap;
};

struct work *work_new(struct sim *sim);
void work_free(struct sim *sim, struct work **work);
/* THINK, VISIT, COMMIT. */
void work_event(struct sim *sim, const struct event *event);
/* The member's process is gone: so are the requests that it was working on,
 * but for those whose answers its core still owes. */
void work_crash(struct sim *sim, int slot);
/* A request that never reached its member. */
void work_drop(struct sim *sim, const struct event *event);
/* Clients ask this member in the very first instant after its pause. */
void work_first(struct sim *sim, int slot);
/* Nobody waits for an answer. */
bool work_idle(const struct sim *sim);

#endif
