/* SPDX-License-Identifier: Apache-2.0
 *
 * The manager over two others, for a rolling change of the way in which
 * sessions are kept (<Manager role="previous">).
 *
 * Promises What both of them promise: a change is acknowledged when both have
 *          it, and while one of them cannot be asked the answer is 503. What
 *          the previous one keeps is brought to the next one, by each use, and
 *          in the background; a figure and a log line say when that is done.
 * Source   None in Tomcat. docs/rolling-change.md. */
#include "config.h"

#include "managers/succession.h"

#include "managers/managers.h"
#include "session/manager_counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- life ---- */

static enum rc part_new(struct succession *s, int part,
                        const struct manager_part *from, struct err *err)
{
    struct manager_env env = s->base.env;
    struct manager_options *common = &s->common[part];
    struct err why = {""};

    memset(&env.listeners, 0, sizeof env.listeners);
    *common = from->common ? *from->common : s->base.common;
    common->max_inactive = s->base.common.max_inactive; /* of web.xml, too */
    common->session_attribute_name_filter = NULL; /* is the face's affair */
    enum rc rc = manager_new(from->ops, common, from->options, from->store_ops,
                             from->store_options, &env, &s->part[part], &why);
    if (rc != RC_OK)
        return err_set(err, rc, "%s%s",
                       part == PREVIOUS ? "role=\"previous\": " : "", why.text);
    s->part[part]->face = &s->base;
    return RC_OK;
}

static enum rc succession_open(struct manager *m, struct err *err)
{
    struct succession *s = succession_of(m);
    const struct manager_pair *pair = m->options;
    enum rc rc = part_new(s, NEXT, &pair->next, err);

    if (rc == RC_OK)
        rc = part_new(s, PREVIOUS, &pair->previous, err);
    if (rc != RC_OK) {
        manager_free(&s->part[NEXT]);
        return rc;
    }
    m->secret_shared =
        s->part[NEXT]->secret_shared || s->part[PREVIOUS]->secret_shared;
    pthread_mutex_init(&s->walk.lock, NULL);
    pthread_cond_init(&s->walk.news, NULL);
    return RC_OK;
}

static void succession_close(struct manager *m)
{
    struct succession *s = succession_of(m);

    walk_stop(s);
    m->table = NULL;
    manager_free(&s->part[NEXT]);
    manager_free(&s->part[PREVIOUS]);
    pthread_cond_destroy(&s->walk.news);
    pthread_mutex_destroy(&s->walk.lock);
}

static enum rc succession_start(struct manager *m, struct instant now,
                                struct err *err)
{
    struct succession *s = succession_of(m);
    enum rc rc = manager_start(s->part[NEXT], now, err);

    table_free(&m->table);
    m->table = s->part[NEXT]->table;
    if (rc == RC_OK)
        rc = manager_start(s->part[PREVIOUS], now, err);
    if (rc != RC_OK)
        return rc;
    m->commit_ms = s->part[NEXT]->commit_ms + s->part[PREVIOUS]->commit_ms;
    walk_start(s, now);
    atomic_store(&m->ready, 1);
    return RC_OK;
}

static void succession_leave(struct manager *m, struct instant now)
{
    struct succession *s = succession_of(m);

    for (int p = 0; p < PARTS; p++)
        manager_leave(s->part[p], now);
}

static bool succession_left(struct manager *m)
{
    struct succession *s = succession_of(m);

    return manager_left(s->part[NEXT]) && manager_left(s->part[PREVIOUS]);
}

static int left_ms(int64_t until)
{
    int64_t left = until - instant_read().mono;

    return left > 0 ? (int)left : 0;
}

/* Nobody waits for an answer inside; a file system may let them wait. */
static void wait_inside(struct succession *s, int64_t until)
{
    const struct timespec ms = {.tv_nsec = 1000000};

    while (atomic_load(&s->inside) && instant_read().mono < until)
        nanosleep(&ms, NULL);
}

/* Half of the time is the next one's; the previous one has what is left. */
static void succession_stop(struct manager *m, struct instant now,
                            int within_ms)
{
    struct succession *s = succession_of(m);
    int64_t until = instant_read().mono + within_ms;

    walk_stop(s);
    atomic_store(&s->stopping, true);
    wait_inside(s, until);
    manager_stop(s->part[NEXT], now, left_ms(until) / PARTS);
    manager_stop(s->part[PREVIOUS], now, left_ms(until));
}

/* One that shares its secret with nobody has it from the start. */
static bool knows_secret(const struct manager *part)
{
    return !part->secret_shared || atomic_load(&part->secret_known);
}

/* A login that is counted waits for nobody's secret. */
static bool may_count(const struct succession *s)
{
    return s->base.common.max_sessions_per_user < 0 || !s->base.secret_shared ||
           atomic_load(&s->base.secret_known);
}

static bool succession_ready(const struct manager *m, struct instant now)
{
    const struct succession *s = (const struct succession *)m;

    return atomic_load(&s->era[NEXT]) && atomic_load(&s->era[PREVIOUS]) &&
           may_count(s) && manager_ready(s->part[NEXT], now) &&
           manager_ready(s->part[PREVIOUS], now);
}

static void succession_tick(struct manager *m, struct instant now)
{
    struct succession *s = succession_of(m);

    if (atomic_load(&s->stopping))
        return; /* one of the parts may have no store any more */
    for (int p = 0; p < PARTS; p++)
        manager_tick(s->part[p], now);
    if (knows_secret(s->part[NEXT]) && knows_secret(s->part[PREVIOUS]))
        atomic_store(&m->secret_known, manager_secret(s->part[NEXT]));
    walk_tick(s, now);
}

/* ---- figures ---- */

static void succession_stats(struct manager *m, struct manager_stats *out)
{
    struct succession *s = succession_of(m);
    struct manager_stats p;

    manager_stats(s->part[PREVIOUS], &p);
    if (s->part[NEXT]->ops->stats)
        s->part[NEXT]->ops->stats(s->part[NEXT], out);
    out->revivals_refused +=
        s->part[NEXT]->counters->revivals_refused + p.revivals_refused;
    out->conflicts += p.conflicts;
    out->unsaved += p.unsaved;
    out->unreadable += p.unreadable;
    if (out->oldest_unsaved_ms < p.oldest_unsaved_ms)
        out->oldest_unsaved_ms = p.oldest_unsaved_ms;
    if (p.has_store)
        out->store_available =
            p.store_available && (out->store_available || !out->has_store);
    out->has_store |= p.has_store;
    for (size_t i = 0; i < sizeof p.store_ops / sizeof p.store_ops[0]; i++)
        out->store_ops[i] += p.store_ops[i];
    out->has_previous = true;
    out->previous_complete = atomic_load(&s->complete);
    out->carried = atomic_load(&s->carried);
    out->previous_open = atomic_load(&s->open);
}

static void succession_describe(const struct manager *m, char *out, size_t size)
{
    const struct succession *s = (const struct succession *)m;
    char next[256], previous[256];

    snprintf(out, size, "%s; and, until the change is complete, %s",
             manager_describe(s->part[NEXT], next, sizeof next),
             manager_describe(s->part[PREVIOUS], previous, sizeof previous));
}

const struct manager_ops manager_succession = {
    .name = "a manager and its previous one",
    .summary = "a rolling change: what both keep is merged, what changes goes "
               "to both",
    .size = sizeof(struct succession),
    .options_size = sizeof(struct manager_pair),
    .flags = MANAGER_OF_PARTS,
    .find = succession_find,
    .write = succession_write,
    .open = succession_open,
    .close = succession_close,
    .start = succession_start,
    .leave = succession_leave,
    .left = succession_left,
    .stop = succession_stop,
    .part_due = succession_part_due,
    .ready = succession_ready,
    .tick = succession_tick,
    .stats = succession_stats,
    .describe = succession_describe,
};
