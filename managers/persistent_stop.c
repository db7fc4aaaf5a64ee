/* SPDX-License-Identifier: Apache-2.0
 *
 * An orderly stop: what only this process has goes to the store, which may be
 * away and come back while there is time.
 *
 * Laws   With onStoreOutage="refuse" nobody was promised what is not stored:
 *        nothing is waited for. */
#include "config.h"

#include "managers/persistent.h"

#include <time.h>

#define PAUSE_MS 50
/* What the last batch may take; of little time a tenth. */
#define CLOSE_MS 1000

struct stop {
    struct persistent *p;
    struct instant now, began;
    int64_t until; /* mono ms, of the real clock */
    bool told;
};

/* The time of whoever asked goes on while we wait. */
static struct instant stop_now(const struct stop *s)
{
    int64_t passed = instant_read().mono - s->began.mono;

    return (struct instant){.wall = s->now.wall + passed,
                            .mono = s->now.mono + passed};
}

static bool stop_pause(const struct manager_env *env, int ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};

    if (env->pause)
        return env->pause(env->pause_user, ms);
    nanosleep(&t, NULL);
    return true;
}

static size_t stop_try(struct stop *s)
{
    return s->p->lazy ? persistent_idle_stop_again(s->p, stop_now(s))
                      : persistent_flush_unsaved(s->p, stop_now(s));
}

static void stop_tell(struct stop *s, size_t count)
{
    const struct manager_env *env = &s->p->base.env;

    if (s->told)
        return;
    s->told = true;
    log_line(env->log, LOG_WARN, "manager",
             "the store of %s does not take what changed in %zu sessions: "
             "waiting up to %lld ms for it",
             env->app, count, (long long)(s->until - instant_read().mono));
}

static bool is_available(const struct persistent *p)
{
    struct store_stats stats;

    store_stats(p->base.store, &stats);
    return stats.available;
}

static void stop_wait(struct stop *s)
{
    int ms = 1;

    while (instant_read().mono < s->until) {
        bool flies = atomic_load(&s->p->flights);
        size_t behind = flies ? 0 : stop_try(s);
        if (!flies && !behind && !atomic_load(&s->p->flights))
            break;
        if (behind && ms == PAUSE_MS && !is_available(s->p))
            stop_tell(s, behind);
        if (!stop_pause(&s->p->base.env, ms))
            break;
        ms = ms * 2 < PAUSE_MS ? ms * 2 : PAUSE_MS;
    }
}

static void stop_tell_lost(struct persistent *p, size_t left)
{
    if (p->lazy && !persistent_saves(p))
        log_line(p->base.env.log, LOG_ERROR, "manager",
                 "%zu sessions of %s were not ended in the store, which did "
                 "not come back: they go on as they are stored",
                 left, p->base.env.app);
    else
        log_line(p->base.env.log, LOG_ERROR, "manager",
                 "changes of %zu sessions of %s are lost with this instance: "
                 "the store did not come back",
                 left, p->base.env.app);
}

void persistent_stop(struct manager *m, struct instant now, int within_ms)
{
    struct persistent *p = persistent_of(m);
    struct instant began = instant_read();
    int close_ms = within_ms / 10 < CLOSE_MS ? within_ms / 10 : CLOSE_MS;
    struct stop s = {.p = p,
                     .now = now,
                     .began = began,
                     .until = began.mono + within_ms - close_ms};

    if (p->lazy)
        persistent_idle_stop(p, now);
    else if (atomic_load(&p->unsaved))
        persistent_flush_unsaved(p, now);
    atomic_store(&p->stopping, true);
    if (p->lazy || p->local)
        stop_wait(&s);
    if (p->lazy)
        persistent_idle_stop_over(p, stop_now(&s));
    /* What completes meanwhile may submit once more, and is then refused. */
    struct store *store = m->store;
    int64_t left_ms = began.mono + within_ms - instant_read().mono;
    store_close(&store, left_ms > 0 ? (int)left_ms : 0);
    m->store = NULL;
    size_t left = p->lazy ? persistent_idle_left(p, stop_now(&s))
                          : atomic_load(&p->unsaved);
    if (left)
        stop_tell_lost(p, left);
}
