/* SPDX-License-Identifier: Apache-2.0
 *
 * executor.h: threads for servlets that block or compute.
 *
 * What    A queue and up to max_threads threads, which begin when there is
 *         work. They are nicer by 5 than the threads that serve HTTP, so that
 *         a row of password checks does not delay those who are logged in
 *         already.
 * Owns    Its threads. A job belongs to the submitter and must stay until run
 *         was called.
 * Number  Where server.xml names no Executor, four threads per processor, at
 *         least eight (instance.c). A request that no thread has begun within
 *         the Connector's waitTimeout is answered 503 instead; one that runs
 *         is never cut off.
 * Errors  executor_submit answers false when the queue is full: a 503.
 * Threads submit: any. new, stop, free: one. */
#ifndef MARGAY_CONTAINER_EXECUTOR_H
#define MARGAY_CONTAINER_EXECUTOR_H

#include "session/log.h"
#include "session/option.h"
#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Attributes of <Executor>. */
struct executor_options {
    char *name; /* for server.xml; there is one Executor */
    int64_t max_threads;
    int64_t min_spare_threads; /* threads that stay when there is no work */
    int64_t max_idle_time;     /* ms after which the others go */
    int64_t max_queue_size;    /* jobs that may wait for a thread */
};
extern const struct option executor_option_table[];

struct executor_job {
    struct executor_job *next;
    bool had_to_wait; /* set by executor_submit: no thread was free */
    void (*run)(struct executor_job *job);
};

struct executor;

struct executor *executor_new(const struct executor_options *options,
                              struct log *log);
bool executor_submit(struct executor *e, struct executor_job *job);
/* No job is taken any more; those that were are run. True: all threads have
 * ended within that time. */
bool executor_stop(struct executor *e, int within_ms);
/* Waits for threads that still run a job. */
void executor_free(struct executor **e);

struct executor_stats {
    uint64_t threads, busy, queued; /* at this moment */
    uint64_t run, refused;
};
void executor_stats(struct executor *e, struct executor_stats *out);

#endif
