/* SPDX-License-Identifier: Apache-2.0
 *
 * instance.h: one running server.
 *
 * What    Everything hangs from struct instance: several can live in one
 *         process (tests do). instance_new takes a read configuration, reads
 *         each application's web.xml and the users, and opens nothing;
 *         instance_start opens stores and ports, instance_run turns the I/O
 *         loop (libuv: signals, timers) until it is told to stop, then drains
 *         and ends in the order of CONTRACT 2.
 * Errors  "FILE:LINE: what and what to do" where a file is the cause.
 * Threads The I/O loop has one thread; instance_request_stop may be called
 *         from any. What HTTP threads read (node, state, log, contexts) does
 *         not change while they run, but for the atomics. */
#ifndef MARGAY_CONTAINER_INSTANCE_H
#define MARGAY_CONTAINER_INSTANCE_H

#include "container/context.h"
#include "container/mapper.h"

struct cluster;
struct connector;
struct executor;
struct metrics;
struct realm;
struct routes;
struct valve;
struct server_config; /* serverxml.h: server.xml as read */

enum instance_state {
    INSTANCE_STARTING, /* /health 503 `starting` */
    INSTANCE_READY,    /* 200 `ready` */
    INSTANCE_DRAINING, /* 404 `draining`; still serves, Connection: close */
    INSTANCE_STOPPED
};

struct instance {
    const struct server_config *config; /* borrowed */
    struct log log;
    char node[64];        /* jvmRoute; "" without one */
    uint64_t node_number; /* this start */
    _Atomic int state;    /* enum instance_state */
    struct context **contexts;
    size_t context_count;
    struct mapper *mapper;
    struct valve **valves; /* of Engine and Host, outermost first */
    size_t valve_count;
    struct executor *executor;
    struct realm *realm;
    struct metrics *metrics;
    struct routes *routes;
    struct cluster *cluster; /* session/cluster.h; NULL: none */
    struct connector **connectors;
    size_t connector_count;
    struct instance_loop *loop; /* libuv, instance.c only */
    bool stuck; /* after instance_run: something of an application still runs
                   and would be waited for by instance_free */
};

/* For struct manager_env: lets about so much of the stop's time pass. false:
 * who asked to stop asked once more. */
bool instance_pause(void *instance, int ms);

enum rc instance_new(const struct server_config *config, struct instance **out,
                     struct err *err);
/* Opens everything; when it returns RC_OK requests are answered. own_process:
 * the process is this instance's alone; SIGTERM and SIGINT are caught from the
 * moment before the first port opens, and stop it. */
enum rc instance_start(struct instance *in, bool own_process, struct err *err);
/* `ready` is told once by the thread of instance_run, when /health first says
 * `ready`. Before instance_run; NULL: nobody is told. */
typedef void instance_ready_fn(struct instance *in, void *user);
void instance_on_ready(struct instance *in, instance_ready_fn *ready,
                       void *user);
/* Blocks until a signal that is caught or instance_request_stop, then stops in
 * order: DRAINING for `drain` seconds; the ports close; requests are answered;
 * the Executor ends; the applications stop and their sessions are saved. What
 * comes after `drain` takes at most stopTimeout; an own process exits then with
 * 0 even where a servlet hangs (said in the log). A second stop skips the rest
 * of `drain`. Returns the exit status. */
int instance_run(struct instance *in);
void instance_request_stop(struct instance *in);
/* Whatever state it is in. Waits for servlets that still run (stuck), for
 * nothing else. */
void instance_free(struct instance **in);
/* "http://127.0.0.1:8080/" of the first connector. Returns out. */
const char *instance_url(const struct instance *in, char *out, size_t size);
/* The state for /health: READY only when every manager is, and the cluster. */
enum instance_state instance_health(const struct instance *in);

#endif
