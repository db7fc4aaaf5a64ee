/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel: what any thread may ask of the cluster. What has to reach the
 * core waits in the queue until the loop turns; the loop is woken only when it
 * may be asleep, so that a busy one costs its senders no system call. */
#include "config.h"

#include "managers/cluster/cluster_impl.h"
#include "managers/cluster/replica.h"

#include <stdlib.h>
#include <string.h>

void cluster_queue_init(struct cluster_queue *q)
{
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->lock, NULL);
}

void cluster_queue_release(struct cluster_queue *q)
{
    free(q->updates);
    free(q->asks);
    errands_release(&q->errands);
    pthread_mutex_destroy(&q->lock);
}

bool cluster_queue_needs_wake(struct cluster *c)
{
    bool asleep = c->queue.asleep;

    c->queue.asleep = false;
    return asleep;
}

static size_t queued_size(const struct queued_update *item)
{
    return sizeof *item + (item->update.record ? item->update.record->len : 0);
}

static void queue_push_locked(struct cluster *c,
                              const struct queued_update *item)
{
    struct cluster_queue *q = &c->queue;

    c->channel.queued += queued_size(item);
    if (q->update_count == q->update_cap) {
        q->update_cap = q->update_cap ? 2 * q->update_cap : 64;
        q->updates = mem_resize(q->updates, q->update_cap * sizeof *q->updates);
    }
    q->updates[q->update_count++] = *item;
}

static void update_refuse(struct queued_update *item)
{
    record_unref(&item->update.record);
    if (!item->wait)
        return;
    item->wait->applied = 0;
    item->wait->now = instant_read();
    item->wait->done(item->wait, RC_UNCERTAIN);
}

static void cluster_send(struct channel *channel,
                         const struct channel_update *u,
                         struct channel_wait *wait, enum copies copies)
{
    struct cluster *c = (struct cluster *)channel;
    struct queued_update item = {*u, wait, copies};
    bool refused, wake = false;

    pthread_mutex_lock(&c->queue.lock);
    refused = c->queue.stopped;
    if (!refused) {
        queue_push_locked(c, &item);
        wake = cluster_queue_needs_wake(c);
    }
    pthread_mutex_unlock(&c->queue.lock);
    if (wake)
        cluster_wake(c);
    if (refused)
        update_refuse(&item);
}

static void ask_refuse(struct queued_ask *item)
{
    free(item->member);
    item->ask->rc = RC_UNAVAILABLE;
    item->ask->done(item->ask);
}

static void cluster_ask(struct channel *channel, struct channel_ask *ask,
                        const char *member, size_t member_len)
{
    struct cluster *c = (struct cluster *)channel;
    struct cluster_queue *q = &c->queue;
    struct queued_ask item = {ask, mem_strndup(member, member_len)};
    bool refused, wake = false;

    pthread_mutex_lock(&q->lock);
    refused = q->stopped;
    if (!refused) {
        q->asks = mem_resize(q->asks, (q->ask_count + 1) * sizeof *q->asks);
        q->asks[q->ask_count++] = item;
        wake = cluster_queue_needs_wake(c);
    }
    pthread_mutex_unlock(&q->lock);
    if (wake)
        cluster_wake(c);
    if (refused)
        ask_refuse(&item);
}

/* --- the loop's side --------------------------------------------------------
 */

/* What is in the queue, out of it. */
struct batch {
    struct queued_update *updates;
    size_t update_count, update_cap;
    struct queued_ask *asks;
    size_t ask_count;
    struct errands errands;
};

static bool batch_take(struct cluster *c, struct batch *b)
{
    struct cluster_queue *q = &c->queue;

    pthread_mutex_lock(&q->lock);
    *b = (struct batch){q->updates, q->update_count, q->update_cap,
                        q->asks,    q->ask_count,    {0}};
    errands_take(q, &b->errands);
    q->updates = c->spare;
    q->update_cap = c->spare_cap;
    q->update_count = 0;
    c->channel.queued = 0;
    q->asks = NULL;
    q->ask_count = 0;
    pthread_mutex_unlock(&q->lock);
    c->spare = NULL;
    c->spare_cap = 0;
    return b->update_count || b->ask_count || b->errands.count;
}

/* The arrays take turns; one that a burst made large is not kept. */
#define SPARE_MAX 65536

static void batch_return(struct cluster *c, struct batch *b)
{
    free(b->asks);
    if (b->update_cap > SPARE_MAX) {
        free(b->updates);
        b->updates = NULL;
        b->update_cap = 0;
    }
    free(c->spare);
    c->spare = b->updates;
    c->spare_cap = b->update_cap;
}

bool cluster_queue_drain(struct cluster *c)
{
    struct instant now = instant_read();
    struct batch b;
    bool any = batch_take(c, &b);

    for (size_t i = 0; i < b.update_count; i++)
        core_send(c->core, &b.updates[i].update, b.updates[i].wait,
                  b.updates[i].copies, now);
    for (size_t i = 0; i < b.ask_count; i++) {
        core_ask(c->core, b.asks[i].ask, b.asks[i].member,
                 strlen(b.asks[i].member), now);
        free(b.asks[i].member);
    }
    errands_run(c, &b.errands, now);
    batch_return(c, &b);
    return any;
}

void cluster_queue_close(struct cluster *c)
{
    struct batch b;

    pthread_mutex_lock(&c->queue.lock);
    c->queue.stopped = true;
    c->queue.asleep = false;
    pthread_mutex_unlock(&c->queue.lock);
    batch_take(c, &b);
    for (size_t i = 0; i < b.update_count; i++)
        update_refuse(&b.updates[i]);
    for (size_t i = 0; i < b.ask_count; i++)
        ask_refuse(&b.asks[i]);
    errands_refuse(&b.errands);
    batch_return(c, &b);
}

bool cluster_queue_sleep(struct cluster *c)
{
    bool empty;

    pthread_mutex_lock(&c->queue.lock);
    empty = !c->queue.update_count && !c->queue.ask_count &&
            !c->queue.errands.count;
    c->queue.asleep = empty && !c->queue.stopped;
    pthread_mutex_unlock(&c->queue.lock);
    return empty;
}

void cluster_queue_wake(struct cluster *c)
{
    pthread_mutex_lock(&c->queue.lock);
    c->queue.asleep = false;
    pthread_mutex_unlock(&c->queue.lock);
}

/* --- what needs no queue ----------------------------------------------------
 */

static void cluster_join(struct channel *channel, struct replica *replica)
{
    struct cluster *c = (struct cluster *)channel;

    replica_set_keep(replica, c->ended_keep_ms);
    cluster_core_lock(c);
    core_join(c->core, replica);
    cluster_core_unlock(c);
}

static void cluster_wonder(struct channel *channel, uint64_t node)
{
    struct cluster *c = (struct cluster *)channel;

    cluster_core_lock(c);
    core_wonder(c->core, node, instant_read());
    cluster_core_unlock(c);
}

static void cluster_withdraw(struct channel *channel, struct replica *replica)
{
    struct cluster *c = (struct cluster *)channel;

    cluster_core_lock(c);
    core_withdraw(c->core, replica, instant_read());
    cluster_core_unlock(c);
}

static void cluster_leave(struct channel *channel, struct replica *replica)
{
    struct cluster *c = (struct cluster *)channel;

    cluster_core_lock(c);
    core_leave(c->core, replica);
    cluster_core_unlock(c);
}

/* On the loop's thread, which alone changes what is read here. */
static bool cluster_is_mine(struct channel *channel, const uint8_t id[ID_SIZE],
                            uint64_t owner)
{
    return core_is_mine(((struct cluster *)channel)->core, id, owner);
}

static void cluster_channel_figures(struct channel *channel,
                                    struct channel_figures *out)
{
    cluster_figures((struct cluster *)channel, out);
}

const struct channel_ops cluster_channel_ops = {
    .send = cluster_send,
    .ask = cluster_ask,
    .call = cluster_call,
    .reply = cluster_reply,
    .pause = cluster_pause,
    .wonder = cluster_wonder,
    .join = cluster_join,
    .withdraw = cluster_withdraw,
    .leave = cluster_leave,
    .is_mine = cluster_is_mine,
    .figures = cluster_channel_figures,
};
