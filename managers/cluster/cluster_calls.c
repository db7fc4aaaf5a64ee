/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls, replies and pauses on their way to the core: they wait in the queue
 * (cluster_queue.c), also when they are made from inside the core. */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include <stdlib.h>

static void errand_refuse(struct queued_errand *e)
{
    switch (e->kind) {
    case ERRAND_CALL:
        e->call->answer = CALL_UNAVAILABLE;
        e->call->record = NULL;
        e->call->placed = false;
        e->call->now = instant_read();
        e->call->done(e->call);
        break;
    case ERRAND_REPLY:
        record_unref(&e->reply.record);
        break;
    case ERRAND_PAUSE:
        e->pause->now = instant_read();
        e->pause->stopped = true;
        e->pause->done(e->pause);
        break;
    }
}

static void errand_push(struct cluster *c, struct queued_errand *e)
{
    struct cluster_queue *q = &c->queue;
    struct errands *all = &q->errands;
    bool refused, wake = false;

    pthread_mutex_lock(&q->lock);
    refused = q->stopped;
    if (!refused) {
        if (all->count == all->cap) {
            all->cap = all->cap ? 2 * all->cap : 16;
            all->items = mem_resize(all->items, all->cap * sizeof *all->items);
        }
        all->items[all->count++] = *e;
        wake = cluster_queue_needs_wake(c);
    }
    pthread_mutex_unlock(&q->lock);
    if (wake)
        cluster_wake(c);
    if (refused)
        errand_refuse(e);
}

void cluster_call(struct channel *channel, struct channel_call *call)
{
    struct queued_errand e = {.kind = ERRAND_CALL, .call = call};

    errand_push((struct cluster *)channel, &e);
}

void cluster_reply(struct channel *channel, const struct channel_reply *reply)
{
    struct queued_errand e = {.kind = ERRAND_REPLY, .reply = *reply};

    errand_push((struct cluster *)channel, &e);
}

void cluster_pause(struct channel *channel, struct channel_pause *pause)
{
    struct queued_errand e = {.kind = ERRAND_PAUSE, .pause = pause};

    errand_push((struct cluster *)channel, &e);
}

void errands_take(struct cluster_queue *q, struct errands *out)
{
    *out = q->errands;
    q->errands = (struct errands){0};
}

void errands_run(struct cluster *c, struct errands *all, struct instant now)
{
    for (size_t i = 0; i < all->count; i++) {
        struct queued_errand *e = &all->items[i];
        if (e->kind == ERRAND_CALL)
            core_call(c->core, e->call, now);
        else if (e->kind == ERRAND_REPLY)
            core_reply(c->core, &e->reply, now);
        else
            core_pause(c->core, e->pause, now);
    }
    errands_release(all);
}

void errands_refuse(struct errands *all)
{
    for (size_t i = 0; i < all->count; i++)
        errand_refuse(&all->items[i]);
    errands_release(all);
}

void errands_release(struct errands *all)
{
    free(all->items);
    *all = (struct errands){0};
}
