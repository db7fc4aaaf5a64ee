/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/executor.h"

#include "session/buf.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A row of jobs that compute then takes about a third of what the HTTP threads
 * take where both want all processors. */
enum { NICE = 5 };

/* clang-format off */
#define AT(member) offsetof(struct executor_options, member)
const struct option executor_option_table[] = {
    {"name", OPTION_STRING, AT(name), NULL,
     "what a Connector's executor attribute names", 0, 0, NULL},
    {"maxThreads", OPTION_INT, AT(max_threads), "200",
     "threads at most", 1, 10000, NULL},
    {"minSpareThreads", OPTION_INT, AT(min_spare_threads), "25",
     "threads that stay when there is nothing to do", 0, 10000, NULL},
    {"maxIdleTime", OPTION_INT, AT(max_idle_time), "60000",
     "milliseconds after which the other threads end", 1, INT32_MAX, NULL},
    {"maxQueueSize", OPTION_INT, AT(max_queue_size), "2147483647",
     "requests that may wait for a thread; the next gets 503", 0, INT32_MAX,
     NULL},
    {"namePrefix", OPTION_IGNORED, 0, NULL,
     "threads have no names of their own", 0, 0, NULL},
    {"daemon", OPTION_IGNORED, 0, NULL, "a kind of thread of Java", 0, 0, NULL},
    {"threadPriority", OPTION_IGNORED, 0, NULL,
     "its threads always yield to those that serve HTTP", 0, 0, NULL},
    {"threadRenewalDelay", OPTION_IGNORED, 0, NULL,
     "guards against leaks of Java's class loaders", 0, 0, NULL},
    {NULL, OPTION_STRING, 0, NULL, NULL, 0, 0, NULL},
};
#undef AT
/* clang-format on */

struct executor {
    struct executor_options options;
    struct log *log;
    pthread_mutex_t lock;
    pthread_cond_t work, ended;
    struct executor_job *first, *last;
    size_t threads, idle, queued;
    bool stopping;
    uint64_t run, refused;
};

struct executor *executor_new(const struct executor_options *options,
                              struct log *log)
{
    struct executor *e = mem_zero(sizeof *e);
    pthread_condattr_t monotonic;
    e->options = *options;
    e->log = log;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->work, &monotonic);
    pthread_cond_init(&e->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return e;
}

static struct timespec moment_in(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* The lock is held. NULL: this thread is to end. */
static struct executor_job *next_job(struct executor *e)
{
    struct timespec until = moment_in(e->options.max_idle_time);
    while (!e->first && !e->stopping) {
        e->idle++;
        int late = pthread_cond_timedwait(&e->work, &e->lock, &until);
        e->idle--;
        if (late == ETIMEDOUT && !e->first) {
            if (e->threads > (size_t)e->options.min_spare_threads)
                return NULL;
            until = moment_in(e->options.max_idle_time);
        }
    }
    struct executor_job *job = e->first;
    if (job) {
        e->first = job->next;
        if (!e->first)
            e->last = NULL;
        e->queued--;
        e->run++;
    }
    return job;
}

static void *executor_thread(void *arg)
{
    struct executor *e = arg;
    struct executor_job *job;
    (void)!nice(NICE); /* on Linux: this thread, which began as its maker */
    pthread_mutex_lock(&e->lock);
    while ((job = next_job(e))) {
        pthread_mutex_unlock(&e->lock);
        job->run(job);
        pthread_mutex_lock(&e->lock);
    }
    e->threads--;
    pthread_cond_broadcast(&e->ended);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* The lock is held. */
static void start_thread(struct executor *e)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &attr, executor_thread, e);
    pthread_attr_destroy(&attr);
    if (!failed)
        e->threads++;
    else
        log_line(e->log, LOG_WARN, "executor",
                 "no further thread beside %zu (%s): lower maxThreads or raise "
                 "the limit of processes",
                 e->threads, strerror(failed));
}

bool executor_submit(struct executor *e, struct executor_job *job)
{
    pthread_mutex_lock(&e->lock);
    bool more =
        e->queued >= e->idle && e->threads < (size_t)e->options.max_threads;
    if (more && !e->stopping)
        start_thread(e);
    /* What a thread takes at once has not waited in the queue. */
    size_t room = (size_t)e->options.max_queue_size + e->idle + (more ? 1 : 0);
    bool taken = !e->stopping && e->threads && e->queued < room;
    if (taken) {
        job->next = NULL;
        job->had_to_wait = e->queued >= e->idle && !more;
        *(e->last ? &e->last->next : &e->first) = job;
        e->last = job;
        e->queued++;
        pthread_cond_signal(&e->work);
    } else {
        e->refused++;
    }
    pthread_mutex_unlock(&e->lock);
    return taken;
}

bool executor_stop(struct executor *e, int within_ms)
{
    struct timespec until = moment_in(within_ms);
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_broadcast(&e->work);
    while (e->threads &&
           pthread_cond_timedwait(&e->ended, &e->lock, &until) != ETIMEDOUT)
        ;
    bool all = !e->threads;
    pthread_mutex_unlock(&e->lock);
    return all;
}

void executor_free(struct executor **e)
{
    if (!*e)
        return;
    while (!executor_stop(*e, 1000))
        ;
    pthread_cond_destroy(&(*e)->work);
    pthread_cond_destroy(&(*e)->ended);
    pthread_mutex_destroy(&(*e)->lock);
    free(*e);
    *e = NULL;
}

void executor_stats(struct executor *e, struct executor_stats *out)
{
    pthread_mutex_lock(&e->lock);
    *out = (struct executor_stats){
        .threads = e->threads,
        .busy = e->threads - e->idle,
        .queued = e->queued,
        .run = e->run,
        .refused = e->refused,
    };
    pthread_mutex_unlock(&e->lock);
}
