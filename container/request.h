/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h: one request on its way (the http_request_* functions of
 * servlet.h, and the model that the files of the request path share).
 *
 * What    Made by the connector, walked through by flow.c, read by servlets.
 * Owns    Its arena, response, body and sessions. Header lines lie in the
 *         connection's memory until request_keep copies them.
 * Refs    One for the connection, which uses the struct again for its next
 *         request, and one for each operation under way and each response that
 *         has our bytes. What an operation may still touch is only reset when
 *         no other reference is left.
 * Threads One thread at a time; wait.h says which. refs: any. */
#ifndef MARGAY_CONTAINER_REQUEST_H
#define MARGAY_CONTAINER_REQUEST_H

#include "container/arena.h"
#include "container/connector.h"
#include "container/executor.h"
#include "container/form.h"
#include "container/http_session.h"
#include "container/instance.h"
#include "container/mapper.h"
#include "container/response.h"
#include "container/wait.h"
#include "session/instant.h"
#include "session/manager.h"

#include <stdatomic.h>

/* Session ids of one request that are looked up: each may cost a read of a
 * store, and strangers write them. */
#define REQUEST_MAX_IDS 32

struct http_field {
    const char *name, *value; /* followed by a 0 */
    uint32_t name_len, value_len;
};

enum flow_step {
    FLOW_START,
    FLOW_FIND,   /* the next id is to be looked up */
    FLOW_FOUND,  /* that has been answered */
    FLOW_SERVE,  /* the servlet */
    FLOW_QUEUED, /* no thread of the Executor has begun with it */
    FLOW_SERVED,
    FLOW_COMMIT, /* the next session is to be committed */
    FLOW_COMMITTED,
    FLOW_OUT,  /* the valves' way back */
    FLOW_READY /* the response can leave */
};

struct http_request {
    atomic_uint refs;
    bool used; /* request_reset has something to do */
    struct wait wait;
    struct instance *instance;
    struct connector *connector;
    const struct connector_options *limits; /* never NULL */
    void *connection; /* connector.c; NULL once it has let go */

    /* as it came */
    const char *method, *protocol, *remote_addr;
    const char *peer_addr; /* RemoteIpValve: who connected; NULL: remote_addr */
    const char *scheme;    /* NULL: the connector's, as `secure` then is */
    bool secure;
    const char *host;     /* without port; NULL: the Host header's */
    unsigned server_port; /* that the client sees; 0: of the Host header */
    bool logs_client;     /* the log may show who stands behind the peer */
    const char *target;   /* path and query, as they came */
    const char *uri;      /* the path of it */
    const char *query;    /* NULL: none */
    const char *path;     /* clean; NULL: it was none (400) */
    size_t path_len;
    const char *path_id; /* ;jsessionid=, in target; NULL: none */
    size_t path_id_len;
    struct http_field *fields;
    size_t field_count, field_room;
    struct buf body;
    const char *refused; /* why it cannot be served */
    int refused_status;
    struct instant now;
    int64_t begun_us; /* 0 unless a valve wanted it (request_clock) */

    /* where it is */
    enum flow_step step;
    bool parked;  /* the connection is put aside */
    bool serving; /* a thread of the Executor runs the servlet */
    struct mapping mapping;
    size_t engine_valves, context_valves; /* whose `in` ran */
    bool changes_no_copies;      /* sessions of a cluster can only be read */
    bool keeps_route, route_row; /* route.h: whatever it names; long enough */
    struct executor_job job;

    /* made when asked for */
    const char *servlet_path, *path_info;
    struct form form;
    bool form_parsed, form_bad; /* bad: 400 */

    /* sessions */
    struct {
        uint8_t id[ID_SIZE];
        const char *text;
    } ids[REQUEST_MAX_IDS];
    const char *malformed_id; /* the first that is none, as text; or NULL */
    unsigned id_count, id_next;
    const char *requested_id; /* at most 100 bytes; NULL: none came */
    bool id_from_cookie, id_from_url;
    enum reason reason;            /* why there is none */
    struct http_session *session;  /* the current one, or NULL */
    struct http_session *sessions; /* all of this request, the first first */
    struct http_session *committing;
    struct http_session first_session;
    struct find_op find;
    struct commit_op commit;

    struct http_response response;
    struct arena arena;
};

struct http_request *request_new(struct instance *in, struct connector *c,
                                 const struct connector_options *limits);
static inline void request_ref(struct http_request *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}
/* The last one frees it. */
void request_unref(struct http_request *r);
/* Only the caller's reference is left. */
static inline bool request_is_sole(const struct http_request *r)
{
    return atomic_load_explicit(&r->refs, memory_order_acquire) == 1;
}
/* Gives back what the last use held. The caller has the sole reference. */
void request_reset(struct http_request *r);
/* Begins a use: copies the target and takes it apart. method and protocol are
 * borrowed. What is wrong with the target stands in refused. */
void request_begin(struct http_request *r, const char *method,
                   const char *target, const char *protocol);
void request_add_field(struct http_request *r, const char *name,
                       size_t name_len, const char *value, size_t value_len);
/* Copies what lies in the connection's memory. */
void request_keep(struct http_request *r);

/* The next header line of that name behind `before` (NULL: the first); NULL. */
const struct http_field *request_field(const struct http_request *r,
                                       const char *name,
                                       const struct http_field *before);
static inline char *request_text(struct http_request *r, const char *text,
                                 size_t len)
{
    return arena_text(&r->arena, text, len);
}
static inline struct http_request *request_of(struct http_response *w)
{
    return (struct http_request *)((char *)w -
                                   offsetof(struct http_request, response));
}
/* Microseconds, for durations. */
int64_t request_clock(void);
/* The context or NULL. */
static inline struct context *request_site(const struct http_request *r)
{
    return r->mapping.context;
}

#endif
