/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/health.h"

#include "container/metrics.h"
#include "container/request.h"

#include <string.h>

static void serve_health(struct http_request *r)
{
    struct http_response *w = &r->response;
    enum instance_state state = instance_health(r->instance);
    const char *text = "draining\n";
    w->status = 404;
    if (state == INSTANCE_STARTING) {
        w->status = 503;
        text = "starting\n";
    } else if (state == INSTANCE_READY) {
        w->status = 200;
        text = "ready\n";
    }
    w->content_type = "text/plain;charset=UTF-8";
    response_put_header(w, "Cache-Control", "no-store");
    buf_add_str(&w->body, text);
}

/* Not for a proxy that speaks for somebody: its address is not who asks, and
 * RemoteIpValve takes the header away where it is there. */
static bool may_see_metrics(const struct http_request *r)
{
    struct metrics *m = r->instance->metrics;

    return m && metrics_allowed(m, http_request_remote_addr(r)) &&
           !http_request_header(r, "X-Forwarded-For");
}

static void serve_metrics(struct http_request *r)
{
    struct metrics *m = r->instance->metrics;
    if (!may_see_metrics(r)) {
        response_page(&r->response, 404, NULL);
        return;
    }
    r->response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(m, r->instance, &r->response.body);
}

bool health_serve(struct http_request *r)
{
    bool health = !strcmp(r->path, "/health");
    if (!health && strcmp(r->path, "/metrics") != 0)
        return false;
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
        response_page(&r->response, 405, NULL);
        response_put_header(&r->response, "Allow", "GET, HEAD");
    } else if (health) {
        serve_health(r);
    } else {
        serve_metrics(r);
    }
    return true;
}
