/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/watchdog.h"

#include "session/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock; /* over */
    pthread_cond_t end;
    bool over;
    struct timespec until; /* monotonic */
    watchdog_fn *bite;
    void *user;
};

static void *watch(void *arg)
{
    struct watchdog *w = arg;
    int late = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->over && !late)
        late = pthread_cond_timedwait(&w->end, &w->lock, &w->until);
    late = !w->over;
    pthread_mutex_unlock(&w->lock);
    if (late)
        w->bite(w->user);
    return NULL;
}

static void release(struct watchdog *w)
{
    pthread_cond_destroy(&w->end);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct watchdog *watchdog_new(int64_t within_ms, watchdog_fn *bite, void *user)
{
    struct watchdog *w = mem_zero(sizeof *w);
    pthread_condattr_t monotonic;

    w->bite = bite;
    w->user = user;
    clock_gettime(CLOCK_MONOTONIC, &w->until);
    w->until.tv_sec += within_ms / 1000;
    w->until.tv_nsec += within_ms % 1000 * 1000000;
    if (w->until.tv_nsec >= 1000000000) {
        w->until.tv_nsec -= 1000000000;
        w->until.tv_sec++;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->end, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&w->thread, NULL, watch, w) == 0)
        return w;
    release(w);
    return NULL;
}

void watchdog_free(struct watchdog **w)
{
    if (!*w)
        return;
    pthread_mutex_lock(&(*w)->lock);
    (*w)->over = true;
    pthread_cond_signal(&(*w)->end);
    pthread_mutex_unlock(&(*w)->lock);
    pthread_join((*w)->thread, NULL);
    release(*w);
    *w = NULL;
}
