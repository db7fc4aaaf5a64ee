/* SPDX-License-Identifier: Apache-2.0
 *
 * connector.h: one HTTP port.
 *
 * What    Sockets and HTTP/1.1 by libmicrohttpd, which only connector.c knows.
 *         A request whose header and body are there walks through flow.h; one
 *         that has to wait puts its connection aside and blocks no thread.
 *         Threads: one that accepts, `threads` that serve.
 * Stop    connector_close: the port closes; what had been accepted or stood in
 *         the kernel's queue is served on. connector_stop: every request whose
 *         header had arrived is answered (with Connection: close), waits are
 *         ended in time, then the threads end. For the rest of a body it waits
 *         a second, for a reader that takes nothing two. Both happen after the
 *         instance's state is DRAINING.
 * Limits  A header over max_header_size is 431 (a request line alone 414),
 *         more than max_header_count lines 400. Beyond max_header_size there
 *         are 4 KiB for the response header and 64 bytes for each line of the
 *         request's: more than 45 lines in a full header are 431 earlier, and
 *         so is a response whose own header does not fit beside.
 *         A body over max_post_size is 413. Who sends on is told so in between,
 *         and cut off when that changes nothing (header_scan.h, SWALLOW).
 * Errors  RC_INVALID, RC_UNAVAILABLE: the address cannot be used, with a
 *         sentence.
 * Threads new, start, close, stop, free: one. port: any. tick: the instance's
 *         I/O loop, every 50 ms (it ends waits that are over their time). A
 *         connector is freed after the Executor, whose jobs speak to it. */
#ifndef MARGAY_CONTAINER_CONNECTOR_H
#define MARGAY_CONTAINER_CONNECTOR_H

#include "session/instant.h"
#include "session/option.h"
#include "session/rc.h"

#include <stdbool.h>
#include <stdint.h>

struct connector;
struct http_request;
struct instance;
struct log;

/* Attributes of <Connector>. */
struct connector_options {
    char *address; /* NULL: loopback; "*" or "0.0.0.0": all; a name or number */
    int64_t port;  /* 0: any free one */
    int64_t accept_count;       /* connections that the kernel may queue */
    int64_t connection_timeout; /* ms, of a silent connection; -1: never */
    int64_t max_connections;    /* -1: no limit but the system's */
    int64_t max_cookie_count;   /* -1: no limit */
    int64_t max_header_count;
    int64_t max_header_size;         /* bytes, request line included */
    int64_t max_keep_alive_requests; /* -1: no limit; 1: no keep-alive */
    int64_t max_parameter_count;     /* -1: no limit */
    int64_t max_post_size;           /* bytes; -1: 1 GiB */
    int64_t max_waiting; /* requests that may wait for sessions at once */
    char *server;        /* Server: header; NULL: none */
    char *scheme;        /* what the client speaks to a proxy before us */
    bool secure, allow_trace;
    int64_t threads;      /* 0: one per processor */
    int64_t wait_timeout; /* seconds that a request waits for a session */
    int64_t
        wait_timeout_ms; /* > 0: instead of wait_timeout; not in the table */
    char *protocol;
};
extern const struct option connector_option_table[];

/* maxConnections as asked, within what the limit of open files leaves beside
 * stores and logs; a warning when that is less. */
int64_t connector_most_connections(int64_t asked, struct log *log);
struct connector *connector_new(struct instance *in,
                                const struct connector_options *options);
/* Binds and serves. */
enum rc connector_start(struct connector *c, struct err *err);
/* The real one, also when 0 was asked for. 0 before the start. */
unsigned connector_port(const struct connector *c);
void connector_tick(struct connector *c, struct instant now);
void connector_close(struct connector *c);
/* Returns how many requests were still under way after within_ms; these got a
 * 503. Implies connector_close. */
unsigned connector_stop(struct connector *c, int within_ms);
/* Implies connector_stop. */
void connector_free(struct connector **c);

struct connector_stats {
    uint64_t connections, waiting; /* at this moment */
    uint64_t waits_expired, waits_refused;
};
void connector_stats(struct connector *c, struct connector_stats *out);

/* ---- for flow.c ---- */

/* The operation of r was answered RC_PENDING. False: go on now; the answer is
 * there, or none is waited for (WAIT_EXPIRED). True: r is put aside and not to
 * be touched any more. It waits for waitTimeout, or for at_least_ms where that
 * is longer. */
bool connector_park(struct http_request *r, int64_t at_least_ms);
/* The same, where r is about to be handed to a thread of the Executor, which
 * calls connector_begin before anything else. */
bool connector_park_job(struct http_request *r);
enum connector_turn {
    TURN_SERVE, /* r->serving: as long as it takes */
    TURN_VAIN,  /* nobody would read the answer, or the server stops: resume */
    TURN_LATE   /* it was answered 503 meanwhile: do not touch it */
};
enum connector_turn connector_begin(struct http_request *r);
/* By a completion. False: it came too late. */
bool connector_answer(struct http_request *r);
/* By the thread that r was handed to. False: nobody waits for it any more. */
bool connector_take_back(struct http_request *r);
/* r is parked and its response is ready. */
void connector_resume(struct http_request *r);

#endif
