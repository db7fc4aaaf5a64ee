/* SPDX-License-Identifier: Apache-2.0
 *
 * load.h: hits while servers die, counted by session and by answer.
 *
 * What    Users who logged in before are hit, in turn at each of the first
 *         three instances that is not away, by a thread of its own. Who has to
 *         see that nothing is read which is too old takes traffic.h.
 * Owns    From load_start to load_free. What is atomic may be read at any time,
 *         the rest once load_halt has returned.
 * Threads All functions: the test's. */
#ifndef MARGAY_TESTS_LOAD_H
#define MARGAY_TESTS_LOAD_H

#include "tests/client.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOAD_MAX 24 /* sessions */

struct load {
    struct fleet *fleet;
    unsigned sessions, parallel;
    char cookies[LOAD_MAX][128];
    unsigned sent[LOAD_MAX], acknowledged[LOAD_MAX];
    int holders[LOAD_MAX];         /* the caller's: who keeps it */
    atomic_uint refused[LOAD_MAX]; /* 503 */
    atomic_uint gone[LOAD_MAX];    /* 401, lost or unknown */
    atomic_uint number, answered;  /* requests; those with 200 */
    atomic_llong last_refused;     /* clock_ms */
    atomic_bool away[3];           /* passed over, as a balancer would */
    unsigned unanswered, others;
    char strange[64]; /* the last of the others */
    pthread_t thread;
    atomic_bool stop;
};

/* Logs so many users in, one after the other at the instances, and begins. */
struct load *load_start(struct fleet *f, unsigned sessions, unsigned parallel);
/* Until `more` are answered with 200; false: they were not, within 30 s. */
bool load_pass(struct load *load, unsigned more);
unsigned load_sum(atomic_uint counts[LOAD_MAX]);
/* Nothing came but 200, 503, no answer, and 401 of who is gone. */
void load_halt(struct load *load);
void load_free(struct load **load);

/* Do all instances answer `status` to who asks with that header for /login/me?
 * For eventually. */
struct look {
    struct fleet *fleet;
    struct browser *browser;
    const char *header;
    int status;
};
bool all_answer(void *look);

#endif
