/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/request.h"

#include "container/path.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { KEEP_BODY = 16384, FIRST_FIELDS = 16 };

/* ---- life ---- */

struct http_request *request_new(struct instance *in, struct connector *c,
                                 const struct connector_options *limits)
{
    struct http_request *r = mem_zero(sizeof *r);
    atomic_init(&r->refs, 1);
    r->instance = in;
    r->connector = c;
    r->limits = limits;
    int64_t max_body = limits->max_post_size;
    buf_init(&r->body, max_body < 0 ? 1u << 30 : (size_t)max_body);
    arena_init(&r->arena);
    response_init(&r->response);
    return r;
}

void request_unref(struct http_request *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    request_reset(r);
    buf_release(&r->body);
    buf_release(&r->response.body);
    free(r);
}

/* The list as it stands: what lies in the arena goes with it. */
static void sessions_detach(struct http_request *r)
{
    for (struct http_session *s = r->sessions; s; s = s->next)
        session_detach(&s->own);
    r->session = r->sessions = NULL;
}

void request_reset(struct http_request *r)
{
    if (!r->used)
        return;
    sessions_detach(r);
    if (r->form_parsed)
        form_release(&r->form);
    response_release(&r->response);
    buf_reset(&r->body);
    if (r->body.cap > KEEP_BODY)
        buf_release(&r->body);
    arena_reset(&r->arena);
    r->used = false;
}

/* ---- as it came ---- */

/* The usual path needs no cleaning: nothing in it is escaped, and no slash is
 * followed by a dot or another slash. */
static bool is_clean(const char *path, size_t len)
{
    static const bool plain[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
        ['-'] = true,         ['_'] = true,         ['~'] = true,
    };
    for (size_t i = 1; i < len; i++) {
        if (plain[(uint8_t)path[i]])
            continue;
        if ((path[i] != '/' && path[i] != '.') || path[i - 1] == '/')
            return false;
    }
    return len && path[0] == '/';
}

static void take_path(struct http_request *r, const struct path_target *t)
{
    r->uri = t->path;
    if (is_clean(t->path, t->path_len)) {
        r->path = t->path;
        r->path_len = t->path_len;
        return;
    }
    struct path p;
    struct err err;
    char *clean = arena_alloc(&r->arena, t->path_len + 1);
    if (path_parse(&p, clean, t->path, t->path_len, "jsessionid", &err) !=
        RC_OK) {
        r->refused = request_text(r, err.text, strlen(err.text));
        return;
    }
    r->path = p.text;
    r->path_len = p.len;
    r->path_id = p.id;
    r->path_id_len = p.id_len;
}

/* target is our copy: its ? becomes the end of the path. */
static void take_target(struct http_request *r, char *target, size_t len)
{
    struct path_target t;
    struct err err;
    if (path_target(&t, target, len, &err) != RC_OK) {
        r->refused = request_text(r, err.text, strlen(err.text));
        r->uri = target;
        return;
    }
    if (t.query) {
        target[t.query - target - 1] = 0;
        r->query = t.query;
    }
    take_path(r, &t);
}

void request_begin(struct http_request *r, const char *method,
                   const char *target, const char *protocol)
{
    size_t len = strlen(target);
    assert(!r->used && request_is_sole(r));
    r->used = true;
    r->method = method;
    r->protocol = protocol;
    r->target = target = request_text(r, target, len);
    r->uri = r->query = r->path = r->path_id = r->refused = NULL;
    r->path_len = r->path_id_len = 0;
    r->refused_status = 400;
    r->fields = NULL;
    r->field_count = r->field_room = 0;
    r->begun_us = 0;
    r->peer_addr = r->scheme = r->host = NULL;
    r->secure = r->logs_client = false;
    r->server_port = 0;
    r->step = FLOW_START;
    r->parked = r->serving = false;
    r->mapping = (struct mapping){.wish = SESSION_WISH_NONE};
    r->engine_valves = r->context_valves = 0;
    r->changes_no_copies = false;
    r->keeps_route = r->route_row = false;
    r->servlet_path = r->path_info = NULL;
    r->form_parsed = false;
    r->form_bad = false;
    r->id_count = r->id_next = 0;
    r->malformed_id = NULL;
    r->requested_id = NULL;
    r->id_from_cookie = r->id_from_url = false;
    r->reason = REASON_NONE;
    r->session = r->sessions = r->committing = NULL;
    take_target(r, request_text(r, target, len), len);
}

void request_add_field(struct http_request *r, const char *name,
                       size_t name_len, const char *value, size_t value_len)
{
    if (r->field_count == r->field_room) {
        size_t room = r->field_room ? 2 * r->field_room : FIRST_FIELDS;
        struct http_field *more =
            arena_alloc(&r->arena, room * sizeof *r->fields);
        if (r->field_count)
            memcpy(more, r->fields, r->field_count * sizeof *more);
        r->fields = more;
        r->field_room = room;
    }
    r->fields[r->field_count++] = (struct http_field){
        .name = name,
        .value = value,
        .name_len = (uint32_t)name_len,
        .value_len = (uint32_t)value_len,
    };
}

void request_keep(struct http_request *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        struct http_field *f = &r->fields[i];
        f->name = request_text(r, f->name, f->name_len);
        f->value = request_text(r, f->value, f->value_len);
    }
    r->method = request_text(r, r->method, strlen(r->method));
    r->protocol = request_text(r, r->protocol, strlen(r->protocol));
    if (r->remote_addr)
        r->remote_addr =
            request_text(r, r->remote_addr, strlen(r->remote_addr));
    if (r->peer_addr)
        r->peer_addr = request_text(r, r->peer_addr, strlen(r->peer_addr));
}

const struct http_field *request_field(const struct http_request *r,
                                       const char *name,
                                       const struct http_field *before)
{
    const struct http_field *f = before ? before + 1 : r->fields;
    size_t len = strlen(name);
    for (; f != r->fields + r->field_count; f++)
        if (f->name_len == len && (f->name[0] | 0x20) == (name[0] | 0x20) &&
            !strncasecmp(f->name, name, len))
            return f;
    return NULL;
}

int64_t request_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- servlet.h ---- */

const char *http_request_method(const struct http_request *request)
{
    return request->method;
}

const char *http_request_uri(const struct http_request *request)
{
    return request->uri;
}

const char *http_request_context_path(const struct http_request *request)
{
    return request_site(request) ? request_site(request)->path : "";
}

/* path = context path + servlet path + path info; the two are cut when asked
 * for. */
static void cut_path(const struct http_request *request)
{
    struct http_request *r = (struct http_request *)request;
    if (r->servlet_path)
        return;
    if (!r->path) {
        r->servlet_path = "";
        return;
    }
    size_t begin = r->mapping.context_len;
    size_t end = begin + r->mapping.servlet_path_len;
    assert(end <= r->path_len);
    r->servlet_path = request_text(r, r->path + begin, end - begin);
    if (end < r->path_len)
        r->path_info = request_text(r, r->path + end, r->path_len - end);
}

const char *http_request_servlet_path(const struct http_request *request)
{
    cut_path(request);
    return request->servlet_path;
}

const char *http_request_path_info(const struct http_request *request)
{
    cut_path(request);
    return request->path_info;
}

const char *http_request_query(const struct http_request *request)
{
    return request->query;
}

const char *http_request_header(const struct http_request *request,
                                const char *name)
{
    const struct http_field *f =
        name ? request_field(request, name, NULL) : NULL;
    return f ? f->value : NULL;
}

static bool has_form(const struct http_request *r)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const char *type = http_request_header(r, "Content-Type");
    size_t len = sizeof form - 1;
    return r->body.len && type && !strcmp(r->method, "POST") &&
           !strncasecmp(type, form, len) && strchr("; \t", type[len]);
}

/* A form that cannot be read has no parameters, and its request is answered
 * 400 instead of what the servlet makes of that (flow.c). */
static void parse_form(struct http_request *r)
{
    enum rc rc = RC_OK;
    r->form_parsed = true;
    form_init(&r->form, r->limits->max_parameter_count, -1);
    if (r->query)
        rc = form_parse(&r->form, r->query, strlen(r->query), NULL);
    if (rc == RC_OK && has_form(r))
        rc = form_parse(&r->form, r->body.data, r->body.len, NULL);
    if (rc == RC_OK)
        return;
    r->form_bad = true;
    form_release(&r->form);
}

const char *http_request_param_at(const struct http_request *request,
                                  const char *name, size_t index, size_t *len)
{
    struct http_request *r = (struct http_request *)request;
    if (!name)
        return NULL;
    if (!r->form_parsed)
        parse_form(r);
    const struct form_param *p = form_next(&r->form, name, NULL);
    while (p && index--)
        p = form_next(&r->form, name, p);
    if (p && len)
        *len = p->value_len;
    return p ? p->value : NULL;
}

const char *http_request_param(const struct http_request *request,
                               const char *name)
{
    return http_request_param_at(request, name, 0, NULL);
}

const char *http_request_cookie(const struct http_request *request,
                                const char *name)
{
    struct http_request *r = (struct http_request *)request;
    const struct http_field *f = NULL;
    struct cookie_reader reader;
    struct cookie c;
    if (!name)
        return NULL;
    cookie_reader_init(&reader, r->limits->max_cookie_count,
                       request_site(r) ? request_site(r)->cookies_without_equals
                                       : COOKIE_BARE_IGNORE);
    while ((f = request_field(r, "Cookie", f))) {
        cookie_reader_line(&reader, f->value, f->value_len);
        while (cookie_next(&reader, &c) == RC_OK)
            if (cookie_is(&c, name))
                return request_text(r, c.value, c.value_len);
    }
    return NULL;
}

const char *http_request_remote_addr(const struct http_request *request)
{
    return request->remote_addr ? request->remote_addr : "";
}

const char *http_request_scheme(const struct http_request *request)
{
    const char *scheme =
        request->scheme ? request->scheme : request->limits->scheme;
    return scheme ? scheme : "http";
}

bool http_request_is_secure(const struct http_request *request)
{
    return request->scheme ? request->secure : request->limits->secure;
}

const void *http_request_body(const struct http_request *request, size_t *len)
{
    if (len)
        *len = request->body.len;
    return buf_str(&request->body);
}

void *http_request_servlet_state(const struct http_request *request)
{
    const struct servlet_config *s = request->mapping.servlet;
    return s ? s->state : NULL;
}

struct servlet_context *http_request_context(const struct http_request *request)
{
    return servlet_context_of(request_site(request));
}

/* "text/html" or "text/html;q=0.8", but not ";q=0". */
static bool names_html(const char *item, size_t len)
{
    static const char html[] = "text/html";
    size_t n = sizeof html - 1;
    if (len < n || strncasecmp(item, html, n) != 0 ||
        (len > n && !strchr("; \t", item[n])))
        return false;
    const char *q = memmem(item, len, "q=", 2);
    if (!q)
        return true;
    for (q += 2; q < item + len; q++)
        if (*q >= '1' && *q <= '9')
            return true;
    return false;
}

bool http_request_wants_html(const struct http_request *request)
{
    const struct http_field *f = NULL;
    while ((f = request_field(request, "Accept", f))) {
        const char *at = f->value;
        while (*at) {
            at += strspn(at, ", \t");
            size_t len = strcspn(at, ",");
            if (names_html(at, len))
                return true;
            at += len;
        }
    }
    return false;
}
