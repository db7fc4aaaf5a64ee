/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/flow.h"

#include "container/flow_session.h"
#include "container/health.h"
#include "container/path.h"
#include "container/request.h"
#include "container/valve.h"

#include <string.h>

static const char no_application[] = "There is no such page here.";
static const char methods[] = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

void flow_unavailable(struct http_request *r, const char *text)
{
    response_page(&r->response, 503, text);
    r->response.error = false;
    response_put_header(&r->response, "Retry-After", "1");
}

/* ---- valves ---- */

/* False: a valve has made the response. */
static bool valves_in(struct http_request *r, struct valve **valves,
                      size_t count, size_t *entered)
{
    while (*entered < count) {
        struct valve *v = valves[(*entered)++];
        if (v->kind->in && v->kind->in(v, r) == VALVE_STOP)
            return false;
    }
    return true;
}

/* Of those whose `in` ran. */
static bool valves_absent(struct http_request *r, struct valve **valves,
                          size_t entered)
{
    for (size_t i = 0; i < entered; i++)
        if (valves[i]->kind->absent &&
            valves[i]->kind->absent(valves[i], r) == VALVE_STOP)
            return false;
    return true;
}

static void valves_out(struct http_request *r, struct valve **valves,
                       size_t *entered)
{
    while (*entered) {
        struct valve *v = valves[--*entered];
        if (v->kind->out)
            v->kind->out(v, r);
    }
}

static enum flow_step step_out(struct http_request *r)
{
    r->response.committed = true;
    if (r->context_valves)
        valves_out(r, request_site(r)->valves, &r->context_valves);
    if (r->engine_valves)
        valves_out(r, r->instance->valves, &r->engine_valves);
    return FLOW_READY;
}

/* ---- where it goes ---- */

/* The context's path without its slash: /login, which Tomcat redirects. */
static void redirect_to_context(struct http_request *r)
{
    struct buf to;
    buf_init(&to, RESPONSE_MAX_HEADER);
    buf_addf(&to, "%s/", request_site(r)->path);
    if (r->path_id) {
        buf_addf(&to, ";%s=", request_site(r)->session_parameter_name);
        buf_add(&to, r->path_id, r->path_id_len);
    }
    if (r->query)
        buf_addf(&to, "?%s", r->query);
    if (to.full ||
        http_response_send_redirect(&r->response, buf_str(&to), 302) != HTTP_OK)
        response_page(&r->response, 414, NULL);
    buf_release(&to);
}

/* An application may name its path parameter otherwise. */
static void reread_path_id(struct http_request *r)
{
    const char *name = request_site(r)->session_parameter_name;
    if (!name || !strcmp(name, "jsessionid") || !strchr(r->uri, ';'))
        return;
    struct path p;
    size_t len = strlen(r->uri);
    char *clean = arena_alloc(&r->arena, len + 1);
    if (path_parse(&p, clean, r->uri, len, name, NULL) != RC_OK)
        return;
    r->path_id = p.id;
    r->path_id_len = p.id_len;
}

static enum flow_step step_mapped(struct http_request *r)
{
    struct context *site = request_site(r);
    if (!site) {
        response_page(&r->response, 404, no_application);
        return FLOW_OUT;
    }
    reread_path_id(r);
    if (r->mapping.redirect_to_slash) {
        redirect_to_context(r);
        return FLOW_OUT;
    }
    if (!atomic_load_explicit(&site->running, memory_order_acquire)) {
        flow_unavailable(r, "This application is not running.");
        return FLOW_OUT;
    }
    if (site->valve_count &&
        !valves_in(r, site->valves, site->valve_count, &r->context_valves))
        return FLOW_OUT;
    if (!r->mapping.servlet) {
        response_page(&r->response, 404, NULL);
        return FLOW_SERVED;
    }
    if (r->changes_no_copies && site->has_copies &&
        r->mapping.wish == SESSION_WISH_WRITE)
        r->mapping.wish = SESSION_WISH_READ;
    if (r->mapping.wish == SESSION_WISH_NONE || !site->manager)
        return FLOW_SERVE;
    return flow_session_ids(r);
}

/* "OPTIONS *" speaks to the server itself, with a target that is no path. */
static void refuse(struct http_request *r)
{
    if (!r->response.close && !strcmp(r->method, "OPTIONS") &&
        !strcmp(r->target, "*"))
        response_put_header(&r->response, "Allow", methods);
    else
        response_page(&r->response, r->refused_status, r->refused);
}

static enum flow_step step_start(struct http_request *r)
{
    struct instance *in = r->instance;
    if (in->valve_count &&
        !valves_in(r, in->valves, in->valve_count, &r->engine_valves))
        return FLOW_OUT;
    if (r->refused) {
        refuse(r);
        return FLOW_OUT;
    }
    if (!strcmp(r->method, "TRACE") && !r->limits->allow_trace) {
        response_page(&r->response, 405, NULL);
        response_put_header(&r->response, "Allow", methods);
        return FLOW_OUT;
    }
    if (health_serve(r))
        return FLOW_OUT;
    mapper_map(in->mapper, r->path, &r->mapping);
    return step_mapped(r);
}

/* No session that it brought lives. */
static enum flow_step step_absent(struct http_request *r)
{
    bool go_on = (!r->engine_valves ||
                  valves_absent(r, r->instance->valves, r->engine_valves)) &&
                 (!r->context_valves ||
                  valves_absent(r, request_site(r)->valves, r->context_valves));

    return go_on ? FLOW_SERVE : FLOW_OUT;
}

/* ---- the servlet ---- */

static void run_servlet(struct http_request *r)
{
    r->mapping.servlet->servlet->service(r, &r->response);
}

static void come_back(struct http_request *r)
{
    r->serving = false;
    if (flow_run(r))
        connector_resume(r);
}

/* On a thread of the Executor. Whoever ended the wait meanwhile has answered
 * the client; then nothing of this is kept. */
static void run_job(struct executor_job *job)
{
    struct http_request *r =
        (struct http_request *)((char *)job -
                                offsetof(struct http_request, job));
    enum connector_turn turn = connector_begin(r);
    if (turn == TURN_VAIN) {
        come_back(r);
    } else if (turn == TURN_SERVE) {
        run_servlet(r);
        if (connector_take_back(r)) {
            r->step = FLOW_SERVED;
            come_back(r);
        }
    }
    request_unref(r);
}

static enum flow_step step_dispatch(struct http_request *r, bool *aside)
{
    request_keep(r);
    request_ref(r);
    r->job.run = run_job;
    r->step = FLOW_QUEUED;
    wait_open(&r->wait);
    *aside = connector_park_job(r);
    if (*aside) {
        if (executor_submit(r->instance->executor, &r->job))
            return FLOW_QUEUED;
        *aside = !connector_take_back(r);
    }
    request_unref(r);
    return FLOW_QUEUED;
}

static enum flow_step step_queued(struct http_request *r)
{
    flow_unavailable(r, "Too many requests wait for a thread.");
    return FLOW_OUT;
}

static enum flow_step step_serve(struct http_request *r, bool *aside)
{
    if (r->mapping.servlet->async_supported && r->instance->executor)
        return step_dispatch(r, aside);
    run_servlet(r);
    return FLOW_SERVED;
}

/* web.xml's page for that status, else the one for all; NULL. */
static const char *error_location(const struct context *site, int status)
{
    const char *any = NULL;
    for (size_t i = 0; i < site->error_page_count; i++) {
        const struct error_page *page = &site->error_pages[i];
        if (page->status == status)
            return page->location;
        if (!page->status)
            any = page->location;
    }
    return any;
}

/* The servlet behind web.xml's location makes the body, the status stays. */
static void error_page(struct http_request *r, const char *location)
{
    const struct context *site = request_site(r);
    struct mapping to;
    int status = r->response.status;
    size_t begin = strlen(site->path), len = strlen(location);
    char *path = arena_alloc(&r->arena, begin + len + 1);
    memcpy(path, site->path, begin);
    memcpy(path + begin, location, len + 1);
    mapper_map(r->instance->mapper, path, &to);
    if (to.context != site || !to.servlet || to.servlet->async_supported)
        return;
    r->mapping.servlet = to.servlet;
    r->mapping.servlet_path_len = to.servlet_path_len;
    r->path = path;
    r->path_len = begin + len;
    r->servlet_path = r->path_info = NULL;
    if (strcmp(r->method, "HEAD") != 0)
        r->method = "GET";
    buf_reset(&r->response.body);
    r->response.content_type = NULL;
    r->response.error = false;
    run_servlet(r);
    r->response.status = status;
}

static enum flow_step step_served(struct http_request *r)
{
    if (r->form_bad) {
        response_page(&r->response, 400, "The form cannot be read.");
        return FLOW_OUT;
    }
    const char *location =
        r->response.error ? error_location(request_site(r), r->response.status)
                          : NULL;
    if (location && location[0] == '/')
        error_page(r, location);
    r->response.committed = true;
    r->committing = r->sessions;
    return FLOW_COMMIT;
}

/* ---- all of it ---- */

bool flow_run(struct http_request *r)
{
    bool aside = false;
    while (r->step != FLOW_READY) {
        enum flow_step next;
        switch (r->step) {
        case FLOW_START:
            next = step_start(r);
            break;
        case FLOW_FIND:
            next = flow_session_find(r, &aside);
            if (next == FLOW_SERVE)
                next = step_absent(r);
            break;
        case FLOW_FOUND:
            next = flow_session_found(r);
            break;
        case FLOW_SERVE:
            next = step_serve(r, &aside);
            break;
        case FLOW_QUEUED:
            next = step_queued(r);
            break;
        case FLOW_SERVED:
            next = step_served(r);
            break;
        case FLOW_COMMIT:
            next = flow_session_commit(r, &aside);
            break;
        case FLOW_COMMITTED:
            next = flow_session_committed(r);
            break;
        default:
            next = step_out(r);
            break;
        }
        if (aside)
            return false;
        r->step = next;
    }
    return true;
}

void flow_drop(struct http_request *r)
{
    if (r->step == FLOW_FOUND && wait_state(&r->wait) == WAIT_ANSWERED)
        record_unref(&r->find.record);
}
