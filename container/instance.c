/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/instance.h"

#include "container/connector.h"
#include "container/executor.h"
#include "container/metrics.h"
#include "container/notify.h"
#include "container/properties.h"
#include "container/realm.h"
#include "container/route.h"
#include "container/serverxml.h"
#include "container/valve.h"
#include "container/watchdog.h"
#include "session/buf.h"
#include "session/cluster.h"
#include "session/id.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#define CONNECTOR_TICK_MS 50
#define MANAGER_TICK_MS 1000
/* So long who has not all that it needs keeps its ports shut. */
#define SETTLE_MS 1000
#define SETTLE_LOOK_MS 5
/* Of the time to save sessions, kept for each context. */
#define REST_SHARE 20

struct instance_loop {
    uv_loop_t uv;
    uv_async_t wake; /* instance_request_stop */
    uv_timer_t fast, slow, drain;
    uv_signal_t term, interrupt, hang_up;
    bool own_process, stopping;
    bool hurry;       /* told to stop once more, while sessions are saved */
    pthread_t thread; /* of the stop */
    instance_ready_fn *ready; /* NULL: told, or nobody */
    void *user;
    atomic_bool saving; /* at the stop: somebody saves the sessions */
};

/* ---- built ---- */

static enum rc build_contexts(struct instance *in, struct err *err)
{
    const struct server_config *config = in->config;

    in->contexts = mem_zero((config->context_count + 1) * sizeof(void *));
    for (size_t i = 0; i < config->context_count; i++) {
        enum rc rc =
            context_new(in, config->contexts[i], &in->contexts[i], err);
        if (rc != RC_OK)
            return rc;
        in->context_count++;
    }
    in->mapper = mapper_new(in->contexts, in->context_count);
    return RC_OK;
}

static enum rc build_realm(struct instance *in, struct err *err)
{
    const struct server_config *config = in->config;
    struct err why = {""};
    enum rc rc;

    if (!config->has_realm)
        return RC_OK;
    rc = realm_new(&config->realm, properties_lookup, config->properties,
                   &config->notes, &in->realm, &why);
    if (rc == RC_OK)
        return RC_OK;
    /* A mistake in the file of users has its own place. */
    if (rc == RC_INVALID && strncmp(why.text, "adminPassword", 13) != 0)
        return err_set(err, rc, "%s", why.text);
    return xml_error(config->realm_at, rc, err, "%s", why.text);
}

static void on_wake(uv_async_t *handle);

static void build_loop(struct instance *in)
{
    struct instance_loop *loop = mem_zero(sizeof *loop);
    int failed = uv_loop_init(&loop->uv);

    failed |= uv_async_init(&loop->uv, &loop->wake, on_wake);
    failed |= uv_timer_init(&loop->uv, &loop->fast);
    failed |= uv_timer_init(&loop->uv, &loop->slow);
    failed |= uv_timer_init(&loop->uv, &loop->drain);
    failed |= uv_signal_init(&loop->uv, &loop->term);
    failed |= uv_signal_init(&loop->uv, &loop->interrupt);
    failed |= uv_signal_init(&loop->uv, &loop->hang_up);
    if (failed) /* no descriptor is left: nothing else would work either */
        abort();
    loop->uv.data = in;
    in->loop = loop;
}

enum rc instance_new(const struct server_config *config, struct instance **out,
                     struct err *err)
{
    struct instance *in = mem_zero(sizeof *in);
    struct err why = {""};
    enum rc rc;

    assert(strlen(config->node) < sizeof in->node);
    in->config = config;
    log_init(&in->log, config->node);
    in->log.journal = notify_is_journal();
    snprintf(in->node, sizeof in->node, "%s", config->node);
    in->node_number = id_mint_node();
    atomic_init(&in->state, INSTANCE_STARTING);
    build_loop(in);
    in->routes = routes_new();
    rc = metrics_new(config->metrics_allow, &in->metrics, &why);
    if (rc != RC_OK)
        rc = xml_error(config->at, rc, err, "%s", why.text);
    if (rc == RC_OK)
        rc = build_realm(in, err);
    if (rc == RC_OK)
        rc = build_contexts(in, err);
    if (rc != RC_OK) {
        instance_free(&in);
        return rc;
    }
    *out = in;
    return RC_OK;
}

/* ---- started ---- */

static enum rc start_valves(struct instance *in, struct err *err)
{
    const struct valve_configs *all = &in->config->valves;
    const struct valve_env env = {.log = &in->log,
                                  .state_dir = in->config->state_dir};

    in->valves = mem_zero((all->count + 1) * sizeof *in->valves);
    for (size_t i = 0; i < all->count; i++) {
        struct err why = {""};
        enum rc rc = valve_new(all->items[i].kind, all->items[i].options, &env,
                               &in->valves[i], &why);
        if (rc != RC_OK)
            return xml_error(all->items[i].at, rc, err, "%s", why.text);
        in->valve_count++;
    }
    return RC_OK;
}

/* Where no file says how many: most servlets that ask for a thread compute, and
 * a queue with deadlines is better than a crowd. */
static int64_t preset_threads(void)
{
    int64_t threads = 4 * (int64_t)sysconf(_SC_NPROCESSORS_ONLN);

    return threads > 8 ? threads : 8;
}

static void start_executor(struct instance *in)
{
    const struct server_config *config = in->config;
    struct executor_options preset;

    if (config->executor_count > 0) {
        in->executor = executor_new(&config->executors[0]->options, &in->log);
        return;
    }
    option_defaults(executor_option_table, &preset);
    preset.max_threads = preset_threads();
    in->executor = executor_new(&preset, &in->log);
    option_release(executor_option_table, &preset);
}

/* Before the managers, who send through it. */
static enum rc open_cluster(struct instance *in, struct err *err)
{
    const struct cluster_config *config = in->config->cluster;
    struct err why = {""};
    char name[32];

    if (!config)
        return RC_OK;
    /* A member's name, if not its route, is its start's own. */
    snprintf(name, sizeof name, "member-%016" PRIx64, in->node_number);
    const struct cluster_self self = {.log = &in->log,
                                      .name = in->node[0] ? in->node : name,
                                      .node = in->node_number};
    enum rc rc = config->ops->open(config->options, &self, &in->cluster, &why);
    return rc == RC_OK ? rc : xml_error(config->at, rc, err, "%s", why.text);
}

/* After the managers, whose copies it brings. */
static enum rc start_cluster(struct instance *in, struct err *err)
{
    const struct cluster_config *config = in->config->cluster;
    struct err why = {""};

    if (!config)
        return RC_OK;
    enum rc rc = config->ops->start(in->cluster, &in->loop->uv, &why);
    return rc == RC_OK ? rc : xml_error(config->at, rc, err, "%s", why.text);
}

static enum rc start_contexts(struct instance *in, struct err *err)
{
    for (size_t i = 0; i < in->context_count; i++) {
        enum rc rc = context_start(in->contexts[i], instant_read(), err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc start_connectors(struct instance *in, struct err *err)
{
    const struct server_config *config = in->config;

    in->connectors = mem_zero(config->connector_count * sizeof(void *));
    for (size_t i = 0; i < config->connector_count; i++) {
        const struct connector_config *c = config->connectors[i];
        struct err why = {""};
        enum rc rc;
        in->connectors[i] = connector_new(in, &c->options);
        in->connector_count++;
        rc = connector_start(in->connectors[i], &why);
        if (rc != RC_OK)
            return xml_error(c->at, rc, err, "%s", why.text);
    }
    return RC_OK;
}

static void on_signal(uv_signal_t *handle, int number);
static void on_drained(uv_timer_t *timer);

/* Before the first request can be answered: from then on an end is in order. A
 * terminal that goes is one as well, but for who was told not to mind (nohup).
 */
static void catch_signals(struct instance_loop *loop)
{
    struct sigaction hang_up;

    loop->own_process = true;
    uv_signal_start(&loop->term, on_signal, SIGTERM);
    uv_signal_start(&loop->interrupt, on_signal, SIGINT);
    if (sigaction(SIGHUP, NULL, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN)
        uv_signal_start(&loop->hang_up, on_signal, SIGHUP);
}

static bool has_stores(const struct instance *in)
{
    for (size_t i = 0; i < in->context_count; i++) {
        struct manager *m = in->contexts[i]->manager;
        struct manager_stats stats = {0};
        if (m)
            manager_stats(m, &stats);
        if (stats.has_store && !stats.store_available)
            return false;
    }
    return true;
}

/* Who joins a cluster opens its ports when it has the sessions, and who keeps
 * them in a store when that has answered, or after a while, to say that it is
 * starting, or to serve without the store: a port that refuses sends a balancer
 * that asks nobody for /health to another member, an answer 503 does not. */
static void await_sessions(struct instance *in)
{
    struct instance_loop *loop = in->loop;
    int64_t until = instant_read().mono + SETTLE_MS;

    if (!in->cluster && has_stores(in))
        return;
    uv_timer_start(&loop->drain, on_drained, SETTLE_LOOK_MS, SETTLE_LOOK_MS);
    while ((instance_health(in) == INSTANCE_STARTING || !has_stores(in)) &&
           !loop->stopping && instant_read().mono < until)
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_timer_stop(&loop->drain);
}

enum rc instance_start(struct instance *in, bool own_process, struct err *err)
{
    enum rc rc = start_valves(in, err);

    if (rc == RC_OK) {
        start_executor(in);
        rc = open_cluster(in, err);
    }
    if (rc == RC_OK)
        rc = start_contexts(in, err);
    if (rc == RC_OK)
        rc = start_cluster(in, err);
    /* Ready before the first request can ask. */
    if (rc == RC_OK) {
        atomic_store(&in->state, INSTANCE_READY);
        if (own_process)
            catch_signals(in->loop);
        await_sessions(in);
        if (!in->loop->stopping)
            rc = start_connectors(in, err);
    }
    if (rc != RC_OK)
        atomic_store(&in->state, INSTANCE_STOPPED);
    return rc;
}

enum instance_state instance_health(const struct instance *in)
{
    int state = atomic_load(&((struct instance *)in)->state);

    if (state != INSTANCE_READY)
        return (enum instance_state)state;
    if (in->cluster && !in->config->cluster->ops->ready(in->cluster))
        return INSTANCE_STARTING;
    struct instant now = instant_read();
    for (size_t i = 0; i < in->context_count; i++)
        if (in->contexts[i]->manager &&
            !manager_ready(in->contexts[i]->manager, now))
            return INSTANCE_STARTING;
    return INSTANCE_READY;
}

const char *instance_url(const struct instance *in, char *out, size_t size)
{
    const char *address = NULL;
    unsigned port = 0;

    if (in->config->connector_count > 0)
        address = in->config->connectors[0]->options.address;
    if (in->connector_count > 0)
        port = connector_port(in->connectors[0]);
    if (!address)
        address = "127.0.0.1";
    snprintf(out, size,
             strchr(address, ':') ? "http://[%s]:%u/" : "http://%s:%u/",
             address, port);
    return out;
}

/* ---- run ---- */

static void on_drained(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void stop_wanted(struct instance *in)
{
    struct instance_loop *loop = in->loop;
    bool again = loop->stopping;

    loop->stopping = true;
    if (atomic_load(&loop->saving))
        loop->hurry = true;
    if (!again && loop->own_process)
        notify_send("STOPPING=1");
    if (again || in->config->drain == 0 || in->connector_count == 0) {
        uv_stop(&loop->uv); /* before its ports open nobody is served */
        return;
    }
    atomic_store(&in->state, INSTANCE_DRAINING);
    if (in->cluster)
        in->config->cluster->ops->drain(in->cluster);
    log_line(&in->log, LOG_INFO, "server",
             "draining for %" PRId64 " s; another signal skips that",
             in->config->drain);
    uv_timer_start(&loop->drain, on_drained, (uint64_t)in->config->drain * 1000,
                   0);
}

static void on_wake(uv_async_t *handle)
{
    stop_wanted(handle->loop->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    stop_wanted(handle->loop->data);
}

static void tell_ready(struct instance *in)
{
    struct instance_loop *loop = in->loop;
    instance_ready_fn *ready = loop->ready;

    if (!ready || instance_health(in) != INSTANCE_READY)
        return;
    loop->ready = NULL;
    ready(in, loop->user);
}

static void on_fast(uv_timer_t *timer)
{
    struct instance *in = timer->loop->data;
    struct instant now = instant_read();

    for (size_t i = 0; i < in->connector_count; i++)
        connector_tick(in->connectors[i], now);
    tell_ready(in);
}

static void on_slow(uv_timer_t *timer)
{
    struct instance *in = timer->loop->data;
    struct instant now = instant_read();

    for (size_t i = 0; i < in->valve_count; i++)
        valve_tick(in->valves[i], now);
    for (size_t i = 0; i < in->context_count; i++) {
        struct context *c = in->contexts[i];
        if (c->manager && !c->rests)
            manager_tick(c->manager, now);
        for (size_t k = 0; k < c->valve_count; k++)
            valve_tick(c->valves[k], now);
    }
}

void instance_on_ready(struct instance *in, instance_ready_fn *ready,
                       void *user)
{
    in->loop->ready = ready;
    in->loop->user = user;
}

void instance_request_stop(struct instance *in)
{
    uv_async_send(&in->loop->wake);
}

/* ---- stopped ---- */

static int left_ms(int64_t deadline)
{
    int64_t left = deadline - instant_read().mono;
    return left > 0 ? (int)left : 0;
}

static void stop_requests(struct instance *in, int64_t deadline)
{
    unsigned unanswered = 0;

    for (size_t i = 0; i < in->connector_count; i++)
        connector_close(in->connectors[i]);
    for (size_t i = 0; i < in->connector_count; i++)
        unanswered += connector_stop(in->connectors[i], left_ms(deadline));
    if (unanswered > 0)
        log_line(&in->log, LOG_WARN, "server",
                 "requests that were not answered in time: %u: raise "
                 "stopTimeout if they may take longer",
                 unanswered);
    in->stuck = !executor_stop(in->executor, left_ms(deadline));
    if (in->stuck)
        log_line(&in->log, LOG_WARN, "server",
                 "a servlet still runs after stopTimeout: it ends with the "
                 "process");
}

struct stop_work {
    uv_work_t work; /* first */
    struct instance *in;
    int64_t deadline;
    bool done;
};

static void stop_working(uv_work_t *work)
{
    struct stop_work *w = (struct stop_work *)work;

    stop_requests(w->in, w->deadline);
}

static void stop_worked(uv_work_t *work, int status)
{
    struct stop_work *w = (struct stop_work *)work;

    (void)status;
    w->done = true;
    uv_stop(work->loop);
}

/* Requests that wait for other members are answered by the loop: it turns
 * while a thread of libuv's waits for the last of them. */
static void stop_requests_turning(struct instance *in, int64_t deadline)
{
    struct stop_work w = {.in = in, .deadline = deadline};

    if (uv_queue_work(&in->loop->uv, &w.work, stop_working, stop_worked) != 0) {
        stop_requests(in, deadline);
        return;
    }
    while (!w.done)
        uv_run(&in->loop->uv, UV_RUN_DEFAULT);
}

static bool have_left(struct instance *in)
{
    for (size_t i = 0; i < in->context_count; i++)
        if (in->contexts[i]->manager && !manager_left(in->contexts[i]->manager))
            return false;
    return true;
}

/* Other members take over what this one holds; some of the time is kept for
 * what they have not acknowledged then. */
static void leave_contexts(struct instance *in, int64_t deadline)
{
    for (size_t i = 0; i < in->context_count; i++)
        if (in->contexts[i]->manager)
            manager_leave(in->contexts[i]->manager, instant_read());
    while (!have_left(in) && left_ms(deadline) > 0)
        uv_run(&in->loop->uv, UV_RUN_ONCE); /* the cluster's tick wakes it */
}

/* The loop turns, so that another signal is heard. */
bool instance_pause(void *instance, int ms)
{
    struct instance_loop *loop = ((struct instance *)instance)->loop;
    struct timespec t = {.tv_nsec = ms * 1000000L};

    if (!atomic_load(&loop->saving) ||
        !pthread_equal(loop->thread, pthread_self())) {
        nanosleep(&t, NULL);
        return true;
    }
    uv_timer_start(&loop->drain, on_drained, (uint64_t)ms, 0);
    uv_run(&loop->uv, UV_RUN_ONCE);
    uv_timer_stop(&loop->drain);
    return !loop->hurry;
}

/* What still runs may use its application: that one only saves its sessions.
 * One whose store is away leaves some of the time to those that follow. */
static void rest_contexts(struct instance *in, int64_t deadline)
{
    int64_t share = left_ms(deadline) / REST_SHARE;

    for (size_t i = in->context_count; i-- > 0;) {
        struct context *c = in->contexts[i];
        int64_t others = (int64_t)i < REST_SHARE / 2 ? (int64_t)i * share
                                                     : REST_SHARE / 2 * share;
        if (!in->stuck) {
            context_rest(c, instant_read(), left_ms(deadline - others));
            continue;
        }
        c->rests = true; /* before the loop turns: see instance_pause */
        if (c->manager)
            manager_stop(c->manager, instant_read(),
                         left_ms(deadline - others));
    }
}

/* Nobody answers their managers any more. */
static void stop_contexts(struct instance *in, int64_t deadline)
{
    for (size_t i = in->context_count; i-- > 0 && !in->stuck;)
        context_stop(in->contexts[i], instant_read(), left_ms(deadline));
}

/* A thread never comes back out of an application: the process ends, and the
 * sessions are saved all the same, unless that is what hangs. */
static void give_up(void *user)
{
    struct instance *in = user;

    log_line(&in->log, LOG_ERROR, "server",
             "the stop hangs after stopTimeout: look for a servlet that does "
             "not return; the process ends now");
    if (!atomic_exchange(&in->loop->saving, true))
        for (size_t i = in->context_count; i-- > 0;)
            if (in->contexts[i]->manager)
                manager_stop(in->contexts[i]->manager, instant_read(), 500);
    _exit(0);
}

/* A tenth of the time is kept for saving the sessions. */
static void stop(struct instance *in)
{
    int64_t within_ms = in->config->stop_timeout * 1000;
    int64_t deadline = instant_read().mono + within_ms;
    struct watchdog *dog =
        in->loop->own_process ? watchdog_new(within_ms, give_up, in) : NULL;

    atomic_store(&in->state, INSTANCE_DRAINING);
    if (in->cluster)
        stop_requests_turning(in, deadline - within_ms / 10);
    else
        stop_requests(in, deadline - within_ms / 10);
    in->loop->thread = pthread_self();
    bool ours = !atomic_exchange(&in->loop->saving, true);
    if (ours && in->cluster)
        leave_contexts(in, deadline - within_ms / 20);
    if (ours)
        rest_contexts(in, deadline - within_ms / 40);
    if (in->cluster)
        in->config->cluster->ops->stop(in->cluster, left_ms(deadline));
    if (ours)
        stop_contexts(in, deadline);
    atomic_store(&in->state, INSTANCE_STOPPED);
    watchdog_free(&dog);
}

int instance_run(struct instance *in)
{
    struct instance_loop *loop = in->loop;

    uv_timer_start(&loop->fast, on_fast, 0, CONNECTOR_TICK_MS);
    uv_timer_start(&loop->slow, on_slow, MANAGER_TICK_MS, MANAGER_TICK_MS);
    if (!loop->stopping) /* else it was told while it began */
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    stop(in);
    return 0;
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void loop_free(struct instance_loop **loop)
{
    if (!*loop)
        return;
    uv_walk(&(*loop)->uv, close_handle, NULL);
    uv_run(&(*loop)->uv, UV_RUN_DEFAULT);
    uv_loop_close(&(*loop)->uv);
    free(*loop);
    *loop = NULL;
}

void instance_free(struct instance **instance)
{
    struct instance *in = *instance;

    if (!in)
        return;
    atomic_store(&in->state, INSTANCE_STOPPED);
    /* a servlet that was left alone at the stop still reads its connector's
     * options: the threads go first */
    for (size_t i = 0; i < in->connector_count; i++)
        connector_stop(in->connectors[i], 0);
    executor_free(&in->executor);
    while (in->connector_count > 0)
        connector_free(&in->connectors[--in->connector_count]);
    free(in->connectors);
    mapper_free(&in->mapper);
    while (in->context_count > 0)
        context_free(&in->contexts[--in->context_count]);
    free(in->contexts);
    while (in->valve_count > 0)
        valve_free(&in->valves[--in->valve_count]);
    free(in->valves);
    if (in->cluster)
        in->config->cluster->ops->free(&in->cluster);
    realm_free(&in->realm);
    metrics_free(&in->metrics);
    routes_free(&in->routes);
    loop_free(&in->loop);
    free(in);
    *instance = NULL;
}
