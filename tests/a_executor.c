/* SPDX-License-Identifier: Apache-2.0
 *
 * a_executor.c: the queue, its threads, and how willing they are. */
#include "config.h"

#include "container/executor.h"

#include "tests/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>

static struct log quiet;
static struct executor_options options;
static sem_t begun, gate;
static atomic_int niceness;
static atomic_uint turns;

/* ---- jobs ---- */

static void look_around(struct executor_job *job)
{
    (void)job;
    atomic_store(&niceness, getpriority(PRIO_PROCESS, 0));
    sem_post(&begun);
}

static void wait_at_the_gate(struct executor_job *job)
{
    (void)job;
    sem_post(&begun);
    sem_wait(&gate);
    atomic_fetch_add(&turns, 1);
}

static void before(void)
{
    log_init(&quiet, "t");
    option_defaults(executor_option_table, &options);
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    atomic_store(&turns, 0);
}

static void after(void)
{
    option_release(executor_option_table, &options);
    sem_destroy(&begun);
    sem_destroy(&gate);
}

/* ---- cases ---- */

static struct executor_job looking = {.run = look_around};

/* On Linux, a priority is a thread's own: this one yields before it asks. */
static void *ask_as_somebody_nice(void *user)
{
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 3);
    if (executor_submit(user, &looking))
        sem_wait(&begun);
    return NULL;
}

static void its_threads_yield_to_their_own_process(void)
{
    struct executor *e = executor_new(&options, &quiet);
    int expected = getpriority(PRIO_PROCESS, 0) + 3 + 5;
    pthread_t thread;
    atomic_store(&niceness, -1);
    CHECK_INT_FATAL(pthread_create(&thread, NULL, ask_as_somebody_nice, e), 0);
    pthread_join(thread, NULL);
    executor_free(&e);
    CHECK_INT(atomic_load(&niceness), expected < 19 ? expected : 19);
}

static void a_full_queue_refuses(void)
{
    struct executor_job jobs[4] = {[0 ... 3] = {.run = wait_at_the_gate}};
    struct executor_stats stats;
    options.max_threads = 1;
    options.max_queue_size = 2;
    struct executor *e = executor_new(&options, &quiet);
    CU_ASSERT(executor_submit(e, &jobs[0]));
    sem_wait(&begun);
    CU_ASSERT(executor_submit(e, &jobs[1]) && executor_submit(e, &jobs[2]));
    CU_ASSERT(!executor_submit(e, &jobs[3]));
    CU_ASSERT(!jobs[0].had_to_wait && jobs[1].had_to_wait);
    executor_stats(e, &stats);
    CHECK_INT((int64_t)stats.threads, 1);
    CHECK_INT((int64_t)stats.busy, 1);
    CHECK_INT((int64_t)stats.queued, 2);
    CHECK_INT((int64_t)stats.refused, 1);
    for (int i = 0; i < 3; i++)
        sem_post(&gate);
    CU_ASSERT(executor_stop(e, 60000)); /* what was taken is run */
    CHECK_INT(atomic_load(&turns), 3);
    CU_ASSERT(!executor_submit(e, &jobs[3]));
    executor_free(&e);
    CU_ASSERT_PTR_NULL(e);
}

static void threads_begin_when_there_is_work(void)
{
    struct executor_job jobs[3] = {[0 ... 2] = {.run = wait_at_the_gate}};
    struct executor_stats stats;
    struct executor *e = executor_new(&options, &quiet);
    executor_stats(e, &stats);
    CHECK_INT((int64_t)stats.threads, 0);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(executor_submit(e, &jobs[i]));
    for (int i = 0; i < 3; i++)
        sem_wait(&begun);
    executor_stats(e, &stats);
    CHECK_INT((int64_t)stats.threads, 3);
    CHECK_INT((int64_t)stats.run, 3);
    CU_ASSERT(!executor_stop(e, 1)); /* they still run */
    for (int i = 0; i < 3; i++)
        sem_post(&gate);
    executor_free(&e);
    CHECK_INT(atomic_load(&turns), 3);
}

UNIT_MAIN_AROUND("executor", before, after,
                 CASE(its_threads_yield_to_their_own_process),
                 CASE(a_full_queue_refuses),
                 CASE(threads_begin_when_there_is_work))
