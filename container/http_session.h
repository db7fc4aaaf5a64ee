/* SPDX-License-Identifier: Apache-2.0
 *
 * http_session.h: the http_session_* functions of servlet.h, as thin ones over
 * session/session.h, and what the request path needs of them.
 *
 * What    A request may have several sessions, one after the other: it ends
 *         one and begins another. They all stand in its list and are all
 *         committed before its response leaves.
 * Owns    The struct lies in the request or its arena.
 * Threads As the request. */
#ifndef MARGAY_CONTAINER_HTTP_SESSION_H
#define MARGAY_CONTAINER_HTTP_SESSION_H

#include "container/servlet.h"
#include "session/manager.h"
#include "session/session.h"

struct context;
struct http_request;

struct http_session {
    struct session *session;      /* &own, or the manager's */
    struct http_request *request; /* NULL: it ends without one */
    struct http_session *next;
    uint8_t known_id[ID_SIZE]; /* under which the client came */
    bool client_knows;         /* known_id is filled */
    uint8_t text_id[ID_SIZE];  /* what `text` shows */
    const char *text;          /* NULL: not asked for yet */
    char room[ID_TEXT_SIZE];
    struct session own;
};

/* The listeners of an application, for manager_env. */
struct session_listeners http_session_listeners(struct context *context);
/* r->find was answered RC_OK: it is the session of r. */
void http_session_attach(struct http_request *r);
/* Does a Set-Cookie belong into the response, now that it is committed? */
bool http_session_is_news(const struct http_session *s);
static inline bool http_session_is_current(const struct http_session *s)
{
    return s && session_is_live(s->session);
}

#endif
