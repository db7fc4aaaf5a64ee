/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic.h: a load that keeps the books.
 *
 * What    Sessions that were logged in before are hit and read, in turn at
 *         every instance that is not away (sticky: each at one of them), over
 *         many connections, by a thread of its own. For each session it knows
 *         how many hits were sent and how many acknowledged; what is read must
 *         never be less than what was acknowledged before the question was
 *         sent, nor more than was sent before the answer came.
 * Owns    The books: valid when traffic_halt has returned.
 * Threads traffic_login, _go and _halt: the test's. */
#ifndef MARGAY_TESTS_TRAFFIC_H
#define MARGAY_TESTS_TRAFFIC_H

#include "tests/client.h"

#include <stdatomic.h>

#define TRAFFIC_SESSIONS 32
#define TRAFFIC_CONNECTIONS 64

struct traffic {
    struct fleet *fleet;
    unsigned sessions;
    char cookies[TRAFFIC_SESSIONS][128];
    atomic_bool away[FLEET_MAX];   /* passed over, as a balancer would */
    atomic_uint deaths[FLEET_MAX]; /* see traffic_bury */
    atomic_uint answered;          /* with 200 */
    atomic_llong worst_ms;         /* the longest of these took; may be set */
    bool sticky;                   /* before traffic_go */

    /* the books */
    unsigned sent[TRAFFIC_SESSIONS], acknowledged[TRAFFIC_SESSIONS];
    unsigned asked;       /* requests */
    unsigned refused;     /* no connection */
    unsigned unanswered;  /* arrived perhaps, no answer */
    unsigned unavailable; /* 503 */
    unsigned too_early;   /* 503 by who began since the request was sent:
                             libcurl asks anew where a connection died */
    unsigned ended;       /* the session is not known (401) */
    unsigned others;      /* any other status */
    unsigned stale, beyond;
    char strange[256]; /* the last of what should not be */

    /* its own */
    unsigned connections, next;
    bool only_hits;
    atomic_bool stop;
    pthread_t thread;
    struct flight {
        bool flies, is_hit;
        unsigned session, floor, death;
        long long begun;
    } flights[TRAFFIC_CONNECTIONS];
};

/* Logs `sessions` users in, at one instance after the other. */
void traffic_login(struct traffic *t, struct fleet *f, unsigned sessions);
void traffic_go(struct traffic *t, unsigned connections);
/* That instance is about to be killed: it is away, and what was sent to it may
 * be answered by its next start, before that is ready. */
void traffic_bury(struct traffic *t, unsigned instance);
/* Until `more` are answered with 200; false: they were not, within 30 s. */
bool traffic_pass(struct traffic *t, unsigned more);
void traffic_halt(struct traffic *t);
/* The counter of a session at an instance; -1: it does not say. */
int traffic_read(const struct traffic *t, unsigned session, unsigned instance);
/* Every instance that is not away knows each session, and a number of its hits
 * from `acknowledged` to `sent`, the same everywhere within 5 s. */
void traffic_check(const struct traffic *t);

/* That, and every request was answered in time, with 200 and what is right. */
void traffic_unnoticed(const struct traffic *t);
/* The one address of a balancer as a fleet, so that all requests go there. */
void traffic_door(struct fleet *door, int port);

/* Asks for the health of all, fifty times a second, and passes over those that
 * are not ready, as a balancer does. */
struct guard {
    struct traffic *traffic;
    atomic_bool stop;
    pthread_t thread;
};
void guard_go(struct guard *g, struct traffic *t);
void guard_halt(struct guard *g);

/* A case of so many instances of conf where not all copies are waited for: a
 * counter may be read late, but is right in the end. */
void traffic_converges(const char *conf, unsigned instances,
                       const char *replication);

#endif
