/* SPDX-License-Identifier: Apache-2.0
 *
 * wait.h: requests that wait for an answer from elsewhere.
 *
 * What    An operation was submitted and answered RC_PENDING. Its completion
 *         comes exactly once, from any thread, perhaps before submit returned;
 *         and every wait has a deadline. This file decides, with one atomic
 *         word per request, which of the three comes first: the answer, the
 *         deadline, or the request's decision to be put aside.
 *
 *             wait_open(w);
 *             if (submit(...) == RC_PENDING && waits_enter(room, w, deadline))
 *                 { put the connection aside; waits_park(room, w) ... }
 *
 *         OPEN      submitted; the submitter still runs
 *         PARKED    the request is put aside; whoever moves it on resumes it
 *         ANSWERED  the completion came
 *         EXPIRED   the deadline came first, or the room was full: the late
 *                   completion must not touch the request's answer
 * Owns    Nothing: a wait lies in its request, which outlives it.
 *         Once a wait has expired, its late completion does not touch the room
 *         any more, which may be gone.
 * Threads Any. `resume` is called at most once per park, without a lock. */
#ifndef MARGAY_CONTAINER_WAIT_H
#define MARGAY_CONTAINER_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wait_state {
    WAIT_NONE,
    WAIT_OPEN,
    WAIT_PARKED,
    WAIT_ANSWERED,
    WAIT_EXPIRED
};

#define WAIT_FOREVER INT64_MAX

struct wait {
    _Atomic int state; /* enum wait_state */
    bool listed;       /* the room's lock; the same below */
    bool counted;
    int64_t deadline; /* monotonic ms */
    struct wait *next, *prev;
};

typedef void wait_resume_fn(struct wait *w);

/* Those that wait, in the order in which they came. */
struct waits {
    pthread_mutex_t lock;
    struct wait *first, *last;
    size_t count; /* of those that max limits */
    size_t max;
    bool closed;
    wait_resume_fn *resume;
    _Atomic uint64_t expired, refused;
};

void waits_init(struct waits *room, size_t max, wait_resume_fn *resume);
void waits_release(struct waits *room);

/* Before submit. */
static inline void wait_open(struct wait *w)
{
    atomic_store_explicit(&w->state, WAIT_OPEN, memory_order_relaxed);
}
static inline enum wait_state wait_state(const struct wait *w)
{
    return (enum wait_state)atomic_load_explicit(&w->state,
                                                 memory_order_acquire);
}

/* After RC_PENDING, by the submitter. False: go on without waiting; the state
 * is ANSWERED, or EXPIRED because max already wait or the room is closed. True:
 * listed. */
bool waits_enter(struct waits *room, struct wait *w, int64_t deadline);
/* The same without regard to max: a queue elsewhere limits those. */
bool waits_enter_uncounted(struct waits *room, struct wait *w,
                           int64_t deadline);
/* Once the request is put aside. True: do not touch it any more, resume will
 * come (or came). False: the answer was faster; no resume comes. */
bool waits_park(struct waits *room, struct wait *w);
/* By whoever goes on with the request. */
void waits_leave(struct waits *room, struct wait *w);
/* By the completion. False: it came too late, drop the answer. */
bool waits_answer(struct waits *room, struct wait *w);
/* A parked wait becomes open again, under the hands of the thread that did the
 * work. False: it has expired. */
bool waits_reopen(struct waits *room, struct wait *w);
/* Ends what is due; all of it with now = WAIT_FOREVER. Returns how many. */
size_t waits_expire(struct waits *room, int64_t now);
/* Nobody is taken in any more; who is in stays until its end. */
void waits_close(struct waits *room);
bool waits_empty(struct waits *room);

#endif
