/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/flow_session.h"

#include "container/route.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_ID = 100 };

static const char not_known[] =
    "Whether you are logged in is not known at this moment. Please try again.";
static const char not_confirmed[] =
    "Whether this was done is not known at this moment. Please look again.";

static const char not_done[] =
    "This was not done: it cannot be kept at this moment. Please try again.";

static struct manager *manager_of(const struct http_request *r)
{
    return request_site(r)->manager;
}

/* ---- which ids came ---- */

static void add_id(struct http_request *r, const char *text, size_t len)
{
    uint8_t id[ID_SIZE];
    if (!len)
        return;
    bool good = id_parse(text, len, id, NULL, NULL);
    if (good ? r->id_count == REQUEST_MAX_IDS : r->malformed_id != NULL)
        return;
    text = request_text(r, text, len < SHOWN_ID ? len : SHOWN_ID);
    if (!good) {
        r->malformed_id = text;
        return;
    }
    unsigned i = r->id_count++;
    memcpy(r->ids[i].id, id, ID_SIZE);
    r->ids[i].text = text;
}

static bool has_ids(const struct http_request *r)
{
    return r->id_count || r->malformed_id;
}

/* False: too many cookies. */
static bool add_cookies(struct http_request *r, const struct context *site)
{
    const struct http_field *f = NULL;
    struct cookie_reader reader;
    struct cookie c;
    enum rc rc = RC_ABSENT;
    cookie_reader_init(&reader, r->limits->max_cookie_count,
                       site->cookies_without_equals);
    while (rc == RC_ABSENT && (f = request_field(r, "Cookie", f))) {
        cookie_reader_line(&reader, f->value, f->value_len);
        while ((rc = cookie_next(&reader, &c)) == RC_OK)
            if (cookie_is(&c, site->session_cookie_name))
                add_id(r, c.value, c.value_len);
    }
    return rc == RC_ABSENT;
}

enum flow_step flow_session_ids(struct http_request *r)
{
    const struct context *site = request_site(r);
    if (site->cookies && !add_cookies(r, site)) {
        response_page(&r->response, 400, "The request has too many cookies.");
        return FLOW_OUT;
    }
    r->id_from_cookie = has_ids(r);
    if (!r->id_from_cookie && site->url_tracking && r->path_id) {
        add_id(r, r->path_id, r->path_id_len);
        r->id_from_url = has_ids(r);
    }
    /* What an id that exists ended with says more. */
    if (r->malformed_id) {
        r->requested_id = r->malformed_id;
        r->reason = REASON_MALFORMED;
        manager_refused(manager_of(r), REASON_MALFORMED);
    }
    return FLOW_FIND;
}

/* ---- attach ---- */

static void find_done(struct find_op *op)
{
    struct http_request *r =
        (struct http_request *)((char *)op -
                                offsetof(struct http_request, find));
    enum rc rc = op->rc;
    if (!connector_answer(r) && rc == RC_OK)
        record_unref(&op->record);
    request_unref(r);
}

/* text: an id that was understood. */
static void find_route(struct find_op *op, const char *text)
{
    bool has = text[2 * ID_SIZE] == '.';

    op->route = has ? text + 2 * ID_SIZE + 1 : NULL;
    op->route_len = has ? strlen(op->route) : 0;
}

static enum flow_step submit_find(struct http_request *r,
                                  const uint8_t id[ID_SIZE], bool *aside)
{
    struct find_op *op = &r->find;
    op->done = find_done;
    memcpy(op->id, id, ID_SIZE);
    op->now = r->now;
    op->read_only = r->mapping.wish == SESSION_WISH_READ;
    op->peek = false;
    find_route(op, r->requested_id);
    op->record = NULL;
    op->err.text[0] = 0;
    r->step = FLOW_FOUND;
    wait_open(&r->wait);
    request_ref(r);
    enum rc rc = manager_find(manager_of(r), op);
    if (rc == RC_PENDING) {
        *aside = connector_park(r, 0);
        return FLOW_FOUND;
    }
    op->rc = rc;
    request_unref(r);
    return FLOW_FOUND;
}

enum flow_step flow_session_find(struct http_request *r, bool *aside)
{
    if (r->id_next < r->id_count) {
        unsigned i = r->id_next++;
        r->requested_id = r->ids[i].text;
        return submit_find(r, r->ids[i].id, aside);
    }
    return FLOW_SERVE;
}

enum flow_step flow_session_found(struct http_request *r)
{
    struct find_op *op = &r->find;
    if (wait_state(&r->wait) == WAIT_EXPIRED) {
        flow_unavailable(r, not_known);
        return FLOW_OUT;
    }
    switch (op->rc) {
    case RC_OK:
        http_session_attach(r);
        route_note(r);
        return FLOW_SERVE;
    case RC_ABSENT:
        r->reason = op->reason;
        return FLOW_FIND;
    default:
        log_line(&r->instance->log, LOG_DEBUG, "session", "find: %s: %s",
                 rc_name(op->rc), op->err.text);
        flow_unavailable(r, not_known);
        return FLOW_OUT;
    }
}

/* ---- commit ---- */

static void commit_done(struct commit_op *op)
{
    struct http_request *r =
        (struct http_request *)((char *)op -
                                offsetof(struct http_request, commit));
    connector_answer(r);
    request_unref(r);
}

static enum flow_step submit_commit(struct http_request *r, bool *aside)
{
    struct commit_op *op = &r->commit;
    op->done = commit_done;
    op->session = &r->committing->own;
    op->now = r->mapping.servlet->async_supported ? instant_read() : r->now;
    op->err.text[0] = 0;
    atomic_store(&op->left, false);
    r->step = FLOW_COMMITTED;
    wait_open(&r->wait);
    request_ref(r);
    enum rc rc = manager_commit(manager_of(r), op);
    if (rc == RC_PENDING) {
        *aside = connector_park(r, manager_commit_ms(manager_of(r)));
        return FLOW_COMMITTED;
    }
    op->rc = rc;
    request_unref(r);
    return FLOW_COMMITTED;
}

static void set_cookie(struct http_request *r)
{
    const struct context *site = request_site(r);
    char value[ID_TEXT_SIZE + sizeof r->instance->node];
    size_t len = ID_TEXT_SIZE - 1;
    if (!site->cookies || !http_session_is_current(r->session) ||
        (!http_session_is_news(r->session) && !route_is_stale(r)))
        return;
    id_format(session_id(r->session->session), value);
    size_t node = strnlen(r->instance->node, sizeof r->instance->node - 1);
    if (node) {
        value[len++] = '.';
        memcpy(value + len, r->instance->node, node);
        len += node;
    }
    struct cookie_config config = site->session_cookie;
    config.secure = config.secure || http_request_is_secure(r);
    struct buf out;
    struct err err;
    buf_init(&out, RESPONSE_MAX_HEADER);
    if (cookie_write(&out, &config, value, len, r->now.wall, &err) == RC_OK)
        response_put_header(&r->response, "Set-Cookie",
                            request_text(r, buf_str(&out), out.len));
    else
        log_line(&r->instance->log, LOG_ERROR, "session",
                 "no cookie for a new session: %s", err.text);
    buf_release(&out);
}

enum flow_step flow_session_commit(struct http_request *r, bool *aside)
{
    while (r->committing && r->committing->own.read_only)
        r->committing = r->committing->next;
    if (r->committing)
        return submit_commit(r, aside);
    if (r->session)
        set_cookie(r);
    return FLOW_OUT;
}

static void say_ended(struct http_request *r, enum reason reason)
{
    char text[64];
    snprintf(text, sizeof text, "not logged in: %s",
             reason_text(reason == REASON_RENAMED ? REASON_UNKNOWN : reason));
    response_page(&r->response, 401, text);
    r->response.error = false;
}

/* What a session ended with only matters where no other one followed it: who
 * logs in over a session that ended meanwhile has logged in. */
enum flow_step flow_session_committed(struct http_request *r)
{
    struct commit_op *op = &r->commit;
    bool expired = wait_state(&r->wait) == WAIT_EXPIRED;
    bool last = !r->committing->next;
    bool none = !expired && op->rc == RC_UNAVAILABLE &&
                r->committing == r->sessions; /* nothing at all was done */
    if (!expired && (op->rc == RC_OK || (op->rc == RC_ENDED && !last))) {
        r->committing = r->committing->next;
        return FLOW_COMMIT;
    }
    /* Expired: the manager still has it. Ended: nobody has. */
    r->session = NULL;
    if (expired)
        atomic_store(&op->left, true);
    if (!expired && op->rc == RC_ENDED) {
        if (!r->response.keep_on_end)
            say_ended(r, op->reason);
        return FLOW_OUT;
    }
    if (!expired)
        log_line(&r->instance->log, LOG_DEBUG, "session", "commit: %s: %s",
                 rc_name(op->rc), op->err.text);
    flow_unavailable(r, none ? not_done : not_confirmed);
    return FLOW_OUT;
}
