/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/http_session.h"

#include "container/request.h"

#include <assert.h>
#include <string.h>

static enum http_result result_of(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return HTTP_OK;
    case RC_INVALID:
        return HTTP_INVALID;
    case RC_TOOBIG:
        return HTTP_TOO_BIG;
    case RC_ABSENT:
        return HTTP_NOT_FOUND;
    default:
        return HTTP_ILLEGAL;
    }
}

const char *http_result_text(enum http_result result)
{
    switch (result) {
    case HTTP_OK:
        return "done";
    case HTTP_ILLEGAL:
        return "not possible in this state";
    case HTTP_INVALID:
        return "not acceptable";
    case HTTP_TOO_BIG:
        return "over a limit";
    case HTTP_NO_SESSION:
        return "there is no session";
    case HTTP_NOT_FOUND:
        return "not found";
    }
    return "unknown";
}

/* ---- which session a request has ---- */

static struct http_session *session_slot(struct http_request *r)
{
    struct http_session *s = &r->first_session;
    if (r->sessions)
        s = arena_alloc(&r->arena, sizeof *s);
    s->session = &s->own;
    s->request = r;
    s->next = NULL;
    s->client_knows = false;
    s->text = NULL;
    return s;
}

static void session_take(struct http_request *r, struct http_session *s)
{
    struct http_session **at = &r->sessions;
    while (*at)
        at = &(*at)->next;
    *at = s;
    r->session = s;
}

void http_session_attach(struct http_request *r)
{
    struct http_session *s = session_slot(r);
    r->find.user_data = s;
    manager_attach(request_site(r)->manager, &r->find, &s->own);
    memcpy(s->known_id, r->find.id, ID_SIZE);
    s->client_knows = true;
    session_take(r, s);
}

static struct http_session *session_begin(struct http_request *r)
{
    struct context *site = request_site(r);
    if (!site || !site->manager || r->response.committed ||
        r->mapping.wish != SESSION_WISH_WRITE)
        return NULL;
    struct http_session *s = session_slot(r);
    if (manager_create(site->manager, r->now, s, &s->own, NULL) != RC_OK)
        return NULL;
    session_take(r, s);
    return s;
}

struct http_session *http_request_session(struct http_request *request,
                                          bool create)
{
    if (http_session_is_current(request->session))
        return request->session;
    return create ? session_begin(request) : NULL;
}

const char *http_request_session_reason(const struct http_request *request)
{
    const struct http_session *s = request->session;
    if (http_session_is_current(s))
        return "";
    enum reason reason = s ? s->session->end_reason : request->reason;
    return reason_text(reason == REASON_RENAMED ? REASON_UNKNOWN : reason);
}

const char *http_request_requested_session_id(
    const struct http_request *request)
{
    return request->requested_id;
}

bool http_request_session_id_from_cookie(const struct http_request *request)
{
    return request->id_from_cookie;
}

bool http_request_session_id_from_url(const struct http_request *request)
{
    return request->id_from_url;
}

enum http_result http_request_change_session_id(struct http_request *request)
{
    struct http_session *s = http_request_session(request, false);
    if (!s || request->response.committed)
        return HTTP_ILLEGAL;
    return result_of(session_change_id(s->session, NULL));
}

enum http_result http_session_login(struct http_request *request,
                                    const char *user, struct http_session **out)
{
    if (!user || !*user)
        return HTTP_INVALID;
    if (request->mapping.wish != SESSION_WISH_WRITE ||
        request->response.committed)
        return HTTP_ILLEGAL;
    struct http_session *old = http_request_session(request, false), *s = old;
    const char *other = s ? session_user(s->session) : NULL;
    if (!s || (other && strcmp(other, user) != 0))
        s = session_begin(request);
    if (!s)
        return HTTP_NO_SESSION;
    /* Only now: at maxActiveSessions there is no new one. */
    if (old && s != old) {
        enum rc rc = session_invalidate(old->session, REASON_REPLACED, NULL);
        if (rc != RC_OK)
            return result_of(rc);
    }
    enum http_result result = result_of(session_login(s->session, user, NULL));
    if (result == HTTP_OK && out)
        *out = s;
    return result;
}

bool http_session_is_news(const struct http_session *s)
{
    return http_session_is_current(s) &&
           !(s->client_knows && id_equal(s->known_id, session_id(s->session)));
}

/* ---- about a session ---- */

/* A new id gets new bytes: what was given out before stays. */
const char *http_session_id(const struct http_session *session)
{
    struct http_session *s = (struct http_session *)session;
    if (!s)
        return NULL;
    const uint8_t *id = session_id(s->session);
    if (s->text && id_equal(s->text_id, id))
        return s->text;
    char *room = s->text && s->request
                     ? arena_alloc(&s->request->arena, ID_TEXT_SIZE)
                     : s->room;
    memcpy(s->text_id, id, ID_SIZE);
    s->text = id_format(id, room);
    return s->text;
}

const char *http_session_user(const struct http_session *session)
{
    return session ? session_user(session->session) : NULL;
}

bool http_session_is_new(const struct http_session *session)
{
    return session && session->session->created;
}

int64_t http_session_creation_time(const struct http_session *session)
{
    return session ? session->session->birth : 0;
}

int64_t http_session_last_accessed_time(const struct http_session *session)
{
    if (!session)
        return 0;
    const struct session *s = session->session;
    return s->created ? s->birth : s->last_access;
}

int64_t http_session_max_inactive(const struct http_session *session)
{
    return session ? session_max_inactive(session->session) : 0;
}

enum http_result http_session_set_max_inactive(struct http_session *session,
                                               int64_t seconds)
{
    if (!session)
        return HTTP_NO_SESSION;
    return result_of(session_set_max_inactive(session->session, seconds, NULL));
}

int64_t http_session_max_lifetime(const struct http_session *session)
{
    return session ? session_max_lifetime(session->session) : 0;
}

enum http_result http_session_invalidate(struct http_session *session)
{
    if (!session)
        return HTTP_NO_SESSION;
    return result_of(session_invalidate(session->session, REASON_LOGOUT, NULL));
}

bool http_session_is_valid(const struct http_session *session)
{
    return http_session_is_current(session);
}

void http_session_flush(struct http_session *session)
{
    if (!session || !session->request || !session_is_live(session->session) ||
        session->session->read_only)
        return;
    manager_flush(session->session->manager, session->session,
                  session->request->now);
}

/* ---- attributes ---- */

_Static_assert((int)HTTP_SESSION_STRING == (int)VALUE_STRING &&
                   (int)HTTP_SESSION_BYTES == (int)VALUE_BYTES &&
                   (int)HTTP_SESSION_INT == (int)VALUE_INT &&
                   (int)HTTP_SESSION_DOUBLE == (int)VALUE_DOUBLE &&
                   (int)HTTP_SESSION_BOOL == (int)VALUE_BOOL &&
                   (int)HTTP_SESSION_COUNTER == (int)VALUE_COUNTER,
               "the types of both headers are the same numbers");

static struct http_session_value value_out(struct value v)
{
    return (struct http_session_value){
        .type = (enum http_session_type)v.type,
        .data = v.data,
        .len = v.len,
        .number = v.number,
        .real = v.real,
        .truth = v.truth,
    };
}

struct http_session_value http_session_get(const struct http_session *session,
                                           const char *name)
{
    if (!session || !name || !*name)
        return (struct http_session_value){0};
    return value_out(session_get(session->session, name));
}

const char *http_session_get_string(const struct http_session *session,
                                    const char *name)
{
    struct http_session_value v = http_session_get(session, name);
    return v.type == HTTP_SESSION_STRING ? v.data : NULL;
}

int64_t http_session_get_int(const struct http_session *session,
                             const char *name, int64_t otherwise)
{
    struct http_session_value v = http_session_get(session, name);
    return v.type == HTTP_SESSION_INT || v.type == HTTP_SESSION_COUNTER
               ? v.number
               : otherwise;
}

enum http_result http_session_set(struct http_session *session,
                                  const char *name,
                                  const struct http_session_value *value)
{
    if (!name || !*name)
        return HTTP_INVALID;
    if (!value || value->type == HTTP_SESSION_NONE)
        return http_session_remove(session, name);
    bool bytes =
        value->type == HTTP_SESSION_STRING || value->type == HTTP_SESSION_BYTES;
    if (value->type > HTTP_SESSION_COUNTER || (bytes && !value->data))
        return HTTP_INVALID;
    if (!session)
        return HTTP_NO_SESSION;
    struct value v = {
        .type = (enum value_type)value->type,
        .data = value->data,
        .len = value->len,
        .number = value->number,
        .real = value->real,
        .truth = value->truth,
    };
    return result_of(session_set(session->session, name, &v, NULL));
}

enum http_result http_session_set_string(struct http_session *session,
                                         const char *name, const char *text)
{
    struct http_session_value v = {
        .type = text ? HTTP_SESSION_STRING : HTTP_SESSION_NONE,
        .data = text,
        .len = text ? strlen(text) : 0,
    };
    return http_session_set(session, name, &v);
}

enum http_result http_session_set_int(struct http_session *session,
                                      const char *name, int64_t number)
{
    struct http_session_value v = {.type = HTTP_SESSION_INT, .number = number};
    return http_session_set(session, name, &v);
}

enum http_result http_session_add(struct http_session *session,
                                  const char *name, int64_t amount,
                                  int64_t *value)
{
    if (!name || !*name)
        return HTTP_INVALID;
    if (!session)
        return HTTP_NO_SESSION;
    return result_of(session_add(session->session, name, amount, value, NULL));
}

enum http_result http_session_remove(struct http_session *session,
                                     const char *name)
{
    if (!name || !*name)
        return HTTP_INVALID;
    if (!session)
        return HTTP_NO_SESSION;
    return result_of(session_remove(session->session, name, NULL));
}

struct each_name {
    void (*each)(void *user, const char *name);
    void *user;
};

static void each_name(void *user, const char *name, const struct value *value)
{
    struct each_name *e = user;
    (void)value;
    e->each(e->user, name);
}

void http_session_names(const struct http_session *session,
                        void (*each)(void *user, const char *name), void *user)
{
    struct each_name e = {.each = each, .user = user};
    if (session)
        session_each(session->session, each_name, &e);
}

struct http_session_value http_session_event_old(
    const struct http_session *session)
{
    return value_out(session ? session->session->event_old : (struct value){0});
}

/* ---- listeners ---- */

/* The request's own struct, or one for a session that ends without any. */
static struct http_session *handle_of(struct session *s,
                                      struct http_session *spare)
{
    if (s->user_data)
        return s->user_data;
    spare->session = s;
    spare->request = NULL;
    spare->text = NULL;
    return spare;
}

#define EACH_LISTENER(c, member, ...)                                          \
    for (size_t i_ = 0; i_ < (c)->session_listener_count; i_++)                \
        if ((c)->session_listeners[i_]->member)                                \
    (c)->session_listeners[i_]->member(servlet_context_of(c), __VA_ARGS__)

static void on_created(void *user, struct session *s)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    EACH_LISTENER(c, created, h);
}

static void on_destroyed(void *user, struct session *s, enum reason reason)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    for (size_t i = c->session_listener_count; i-- > 0;)
        if (c->session_listeners[i]->destroyed)
            c->session_listeners[i]->destroyed(servlet_context_of(c), h,
                                               reason_text(reason));
}

static void on_id_changed(void *user, struct session *s,
                          const uint8_t old_id[ID_SIZE])
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    char text[ID_TEXT_SIZE];
    id_format(old_id, text);
    EACH_LISTENER(c, id_changed, h, text);
}

static void on_added(void *user, struct session *s, const char *name)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    EACH_LISTENER(c, attribute_added, h, name);
}

static void on_replaced(void *user, struct session *s, const char *name)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    EACH_LISTENER(c, attribute_replaced, h, name);
}

static void on_removed(void *user, struct session *s, const char *name)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    EACH_LISTENER(c, attribute_removed, h, name);
}

static void on_passivate(void *user, struct session *s)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    EACH_LISTENER(c, will_passivate, h);
}

static void on_activate(void *user, struct session *s)
{
    struct context *c = user;
    struct http_session spare, *h = handle_of(s, &spare);
    EACH_LISTENER(c, did_activate, h);
}

struct session_listeners http_session_listeners(struct context *context)
{
    if (!context->session_listener_count)
        return (struct session_listeners){0};
    return (struct session_listeners){
        .user = context,
        .created = on_created,
        .destroyed = on_destroyed,
        .id_changed = on_id_changed,
        .attribute_added = on_added,
        .attribute_replaced = on_replaced,
        .attribute_removed = on_removed,
        .will_passivate = on_passivate,
        .did_activate = on_activate,
    };
}
