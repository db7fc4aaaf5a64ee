/* SPDX-License-Identifier: Apache-2.0
 *
 * health.h: /health and /metrics, before any application.
 *
 * What    /health: 200 `ready`, 503 `starting`, 404 `draining` (HAProxy's
 *         disable-on-404). A store that is down does not turn it red: that
 *         would take every instance out at once.
 *         /metrics: metrics.h, for those who may read it.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_HEALTH_H
#define MARGAY_CONTAINER_HEALTH_H

#include <stdbool.h>

struct http_request;

/* True: the path is one of the two, and the response is made. */
bool health_serve(struct http_request *r);

#endif
