/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKLOG 128
/* Of the time for a stop, what is kept for saying good-bye. */
#define FAREWELL_MS(within) ((within) < 2000 ? (within) / 4 : 500)

void cluster_core_lock(struct cluster *c)
{
    pthread_mutex_lock(&c->core_lock);
    c->dirty = true;
}

void cluster_core_unlock(struct cluster *c)
{
    pthread_mutex_unlock(&c->core_lock);
}

enum rc cluster_new(const struct cluster_options *options,
                    const struct cluster_env *env, struct cluster **out,
                    struct err *err)
{
    struct cluster *c = mem_zero(sizeof *c);
    enum rc rc;

    assert(env->node);
    c->channel.ops = &cluster_channel_ops;
    c->channel.node = env->node;
    c->log = env->log;
    c->node = env->node;
    c->listen_fd = c->wake_fd = -1;
    snprintf(c->name, sizeof c->name, "%s", env->name);
    pthread_mutex_init(&c->core_lock, NULL);
    cluster_queue_init(&c->queue);
    rc = cluster_settle(c, options, err);
    if (rc == RC_OK)
        *out = c;
    else
        cluster_free(&c);
    return rc;
}

struct channel *cluster_channel(struct cluster *c)
{
    return &c->channel;
}

const char *cluster_address(const struct cluster *c)
{
    return c->address;
}

void cluster_drain(struct cluster *c)
{
    cluster_core_lock(c);
    core_drain(c->core, instant_read());
    cluster_core_unlock(c);
}

bool cluster_ready(const struct cluster *c)
{
    return channel_may_answer(&c->channel, instant_read());
}

/* --- the loop turns ---------------------------------------------------------
 */

/* Until nothing is left to be done at once: what links told went to the core,
 * what it wants went to the links. */
static void cluster_turn(struct cluster *c)
{
    if (c->phase > DRAINS)
        return;
    do {
        pthread_mutex_lock(&c->core_lock);
        if (cluster_queue_drain(c) || c->dirty) {
            c->dirty = false;
            core_flush(c->core, instant_read());
        }
        pthread_mutex_unlock(&c->core_lock);
        cluster_flush_links(c);
        cluster_begin_dials(c);
    } while (c->dirty || c->to_flush);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct cluster *c = prepare->data;

    cluster_turn(c);
    if (!cluster_queue_sleep(c))
        cluster_wake(c);
}

static void on_check(uv_check_t *check)
{
    struct cluster *c = check->data;

    cluster_queue_wake(c);
    cluster_turn(c);
}

void cluster_wake(struct cluster *c)
{
    eventfd_write(c->wake_fd, 1);
}

static void on_wake(uv_poll_t *wake, int status, int events)
{
    struct cluster *c = wake->data;
    eventfd_t count;

    (void)status;
    (void)events;
    eventfd_read(c->wake_fd, &count); /* on_check does the rest */
}

static void cluster_stop_tick(struct cluster *c);

static void on_tick(uv_timer_t *tick)
{
    struct cluster *c = tick->data;

    cluster_tick_links(c);
    if (c->phase <= DRAINS) {
        cluster_core_lock(c);
        core_tick(c->core, instant_read());
        cluster_core_unlock(c);
    }
    cluster_stop_tick(c);
}

static void on_heard(void *user, const char *address)
{
    struct cluster *c = user;

    cluster_core_lock(c);
    core_place(c->core, address, false);
    cluster_core_unlock(c);
}

static void on_multicast_closed(void *user)
{
    cluster_handle_closed(user);
}

/* --- start ------------------------------------------------------------------
 */

static void start_handles(struct cluster *c)
{
    c->wake.data = c->tick.data = c->prepare.data = c->check.data = c;
    c->listener.data = c;
    uv_tcp_init(c->loop, &c->listener);
    uv_poll_init(c->loop, &c->wake, c->wake_fd);
    uv_timer_init(c->loop, &c->tick);
    uv_prepare_init(c->loop, &c->prepare);
    uv_check_init(c->loop, &c->check);
    c->handles = 5;
    uv_poll_start(&c->wake, UV_READABLE, on_wake);
    uv_timer_start(&c->tick, on_tick, 0, CLUSTER_TICK_MS);
    uv_prepare_start(&c->prepare, on_prepare);
    uv_check_start(&c->check, on_check);
}

static enum rc start_multicast(struct cluster *c, struct err *err)
{
    struct multicast_owner owner = {c, on_heard, on_multicast_closed};

    enum rc rc;

    if (!c->by_multicast)
        return RC_OK;
    c->handles++;
    rc = multicast_open(&c->mcast, &owner, c->loop, &c->multicast, err);
    if (rc == RC_INVALID)
        c->handles--;
    return rc;
}

enum rc cluster_start(struct cluster *c, uv_loop_t *loop, struct err *err)
{
    enum rc rc;
    int n;

    assert(c->core && !c->loop);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        return err_set(err, RC_UNAVAILABLE, "cannot start the cluster: %s",
                       strerror(errno));
    c->loop = loop;
    cluster_links_init(c);
    start_handles(c);
    n = uv_tcp_open(&c->listener, c->listen_fd);
    if (n == 0) {
        c->listen_fd = -1; /* the handle's */
        n = uv_listen((uv_stream_t *)&c->listener, BACKLOG,
                      cluster_on_connection);
    }
    if (n < 0)
        return err_set(err, RC_UNAVAILABLE, "cannot accept members at %s: %s",
                       c->address, uv_strerror(n));
    rc = start_multicast(c, err);
    if (rc == RC_OK)
        log_line(c->log, LOG_INFO, "cluster",
                 "%s listens at %s; members are %s%s", c->name, c->address,
                 c->listed         ? "listed"
                 : c->by_multicast ? "found by multicast"
                                   : "those that come",
                 c->key ? "; links speak TLS" : "");
    return rc;
}

/* --- stop -------------------------------------------------------------------
 */

static void cluster_ended(struct cluster *c)
{
    c->phase = ENDED;
    if (c->stopped)
        c->stopped(c->stopped_user);
}

void cluster_handle_closed(struct cluster *c)
{
    assert(c->handles);
    if (--c->handles == 0 && c->phase == CLOSES)
        cluster_ended(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    cluster_handle_closed(handle->data);
}

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

static void close_rest(struct cluster *c)
{
    c->phase = CLOSES;
    for (size_t i = 0; i < c->link_count; i++)
        link_kill(c->links[i]);
    close_handle(&c->wake);
    close_handle(&c->tick);
    close_handle(&c->prepare);
    close_handle(&c->check);
}

/* Who does not take its good-bye, for it stands still, is not waited for any
 * longer than one who is told at the last moment. */
static void say_goodbye(struct cluster *c)
{
    uint64_t by = uv_now(c->loop) + (c->stop_by - c->leave_by);

    if (by < c->stop_by)
        c->stop_by = by;
    cluster_queue_close(c);
    pthread_mutex_lock(&c->core_lock);
    core_stop(c->core, instant_read());
    pthread_mutex_unlock(&c->core_lock);
    c->phase = LEAVES;
    cluster_drop_dials(c);
    cluster_flush_links(c);
    cluster_close_links(c);
}

static bool cluster_is_idle(struct cluster *c)
{
    bool idle;

    pthread_mutex_lock(&c->core_lock);
    idle = core_idle(c->core);
    pthread_mutex_unlock(&c->core_lock);
    return idle;
}

static void cluster_stop_tick(struct cluster *c)
{
    uint64_t now = uv_now(c->loop);

    if (c->phase == DRAINS && (now >= c->leave_by || cluster_is_idle(c)))
        say_goodbye(c);
    if (c->phase == LEAVES && (now >= c->stop_by || !c->link_count))
        close_rest(c);
}

void cluster_stop_begin(struct cluster *c, int64_t within_ms,
                        void (*done)(void *user), void *user)
{
    if (c->phase != RUNS) {
        if (c->phase == ENDED && done)
            done(user);
        return;
    }
    c->stopped = done;
    c->stopped_user = user;
    if (!c->loop) {
        cluster_queue_close(c);
        cluster_ended(c);
        return;
    }
    uv_update_time(c->loop);
    c->stop_by = uv_now(c->loop) + (uint64_t)within_ms;
    c->leave_by = c->stop_by - (uint64_t)FAREWELL_MS(within_ms);
    close_handle(&c->listener);
    multicast_close(&c->multicast);
    cluster_turn(c);
    c->phase = DRAINS;
    cluster_stop_tick(c);
}

void cluster_stop(struct cluster *c, int64_t within_ms)
{
    cluster_stop_begin(c, within_ms, NULL, NULL);
    while (c->phase != ENDED)
        uv_run(c->loop, UV_RUN_ONCE);
}

void cluster_free(struct cluster **cluster)
{
    struct cluster *c = *cluster;

    if (!c)
        return;
    cluster_stop(c, 0);
    core_free(&c->core);
    for (size_t i = 0; i < c->member_count; i++)
        free(c->members[i]);
    free(c->members);
    if (c->listen_fd >= 0)
        close(c->listen_fd);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    cluster_queue_release(&c->queue);
    pthread_mutex_destroy(&c->core_lock);
    tls_key_free(&c->key);
    free(c->host);
    free(c->advertise);
    free(c->mcast_group);
    free(c->mcast_bind);
    free(c->links);
    free(c->numbers);
    free(c->spare);
    free(c->scratch);
    free(c);
    *cluster = NULL;
}

/* --- what a person wants to know --------------------------------------------
 */

void cluster_figures(struct cluster *c, struct channel_figures *out)
{
    memset(out, 0, sizeof *out);
    out->members = 1;
    pthread_mutex_lock(&c->core_lock);
    if (c->core)
        core_figures(c->core, out, instant_read());
    pthread_mutex_unlock(&c->core_lock);
    out->garbage += atomic_load(&c->garbage);
}

bool cluster_member_at(struct cluster *c, size_t index, struct core_member *out)
{
    bool found;

    pthread_mutex_lock(&c->core_lock);
    found = c->core && core_member(c->core, index, out);
    pthread_mutex_unlock(&c->core_lock);
    return found;
}
