/* SPDX-License-Identifier: Apache-2.0
 *
 * servlet.h: the Servlet API in C (installed as <margay/servlet.h>).
 *
 * What    The one header that a native web application includes. A web
 *         application is a folder: WEB-INF/web.xml, WEB-INF/lib/NAME.so and
 *         static files beside them. web.xml names, as <servlet-class> and
 *         <listener-class>, const objects that the .so exports:
 *
 *             const struct servlet hello = {.service = hello_service};
 *
 * Request One straight way: the session is attached before the servlet runs,
 *         the servlet runs, its changes are committed, then the response
 *         leaves. What a servlet changes in its session is seen by others
 *         once the request has ended (or at http_session_flush).
 * Owns    Strings and bytes that a function returns stay valid until the
 *         request ends, also after the attribute was replaced or removed. What
 *         is passed in is copied.
 * Threads A request, its response and its session belong to the thread that
 *         runs service(). Servlets run on many threads at once: what they
 *         share, they guard themselves. A servlet that blocks, or computes for
 *         longer than a millisecond, says so in web.xml
 *         (<async-supported>true</async-supported>) and runs on the Executor's
 *         threads.
 * Errors  Functions that can be refused return enum http_result. Wrong use
 *         (NULL names) is HTTP_INVALID, never a crash.
 * Source  Jakarta Servlet 6.0 (HttpServletRequest, HttpServletResponse,
 *         HttpSession, HttpSessionListener); where we differ is listed in
 *         docs/differences.md. */
#ifndef MARGAY_SERVLET_H
#define MARGAY_SERVLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MARGAY_SERVLET_ABI 1

struct http_request;
struct http_response;
struct http_session;
struct servlet_context; /* the web application */
struct servlet_config;  /* one servlet of it */

enum http_result {
    HTTP_OK = 0,
    HTTP_ILLEGAL,    /* Java's IllegalStateException: session has ended,
                        response committed, mapping is session=read ... */
    HTTP_INVALID,    /* Java's IllegalArgumentException: NULL or empty name,
                        CR or LF in a header, add to what is no counter ... */
    HTTP_TOO_BIG,    /* over maxSessionBytes or another limit; nothing done */
    HTTP_NO_SESSION, /* there is none, or none may be made (limit reached) */
    HTTP_NOT_FOUND
};
/* "over a limit", for messages; never NULL. */
const char *http_result_text(enum http_result result);

/* ---- the objects that an application exports ---- */

typedef bool servlet_init_fn(const struct servlet_config *config, void **state);
typedef void servlet_service_fn(struct http_request *request,
                                struct http_response *response);
typedef void servlet_destroy_fn(void *state);

struct servlet {
    /* Called once before the first request. state: kept for the servlet,
     * http_request_servlet_state gives it back. false: the application does
     * not start (say why with servlet_log). NULL: nothing to do. */
    servlet_init_fn *init;
    servlet_service_fn *service; /* required */
    servlet_destroy_fn *destroy; /* once, after the last request; may be NULL */
    int abi;                     /* MARGAY_SERVLET_ABI, or 0 */
};

/* Called in the thread of the request that caused it (in order of web.xml;
 * `destroyed` in reverse order), or, when a session ends without a request,
 * by a thread of the server. During `destroyed` the session can still be read.
 * Any member may be NULL. The session is valid during the call only. */
struct http_session_listener {
    void (*created)(struct servlet_context *, struct http_session *);
    void (*destroyed)(struct servlet_context *, struct http_session *,
                      const char *reason);
    void (*id_changed)(struct servlet_context *, struct http_session *,
                       const char *old_id);
    void (*attribute_added)(struct servlet_context *, struct http_session *,
                            const char *name);
    /* old value: http_session_event_old */
    void (*attribute_replaced)(struct servlet_context *, struct http_session *,
                               const char *name);
    void (*attribute_removed)(struct servlet_context *, struct http_session *,
                              const char *name);
    void (*will_passivate)(struct servlet_context *, struct http_session *);
    void (*did_activate)(struct servlet_context *, struct http_session *);
};

struct servlet_context_listener {
    bool (*initialized)(struct servlet_context *);
    void (*destroyed)(struct servlet_context *);
};

/* ---- the application ---- */

const char *servlet_context_path(const struct servlet_context *context);
/* <context-param>, or <Parameter> of server.xml; NULL when absent. Both may
 * hold ${name}, which -D sets. */
const char *servlet_context_param(const struct servlet_context *context,
                                  const char *name);
/* The instance that this process is: jvmRoute ("node1"); "" without one. */
const char *servlet_context_node(const struct servlet_context *context);
/* How sessions are kept, one sentence: "PersistentManager: SQLite file ..." */
const char *servlet_context_manager(const struct servlet_context *context);
/* Something of the application's own, for its servlets and listeners. */
void servlet_context_set_state(struct servlet_context *context, void *state);
void *servlet_context_state(const struct servlet_context *context);
/* A line of the log, at INFO; a format that begins with "warning: " or with
 * "error: " says another level and goes without these words. */
void servlet_log(const struct servlet_context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *servlet_config_name(const struct servlet_config *config);
const char *servlet_config_param(const struct servlet_config *config,
                                 const char *name);
struct servlet_context *servlet_config_context(
    const struct servlet_config *config);

/* Checks a user against the Realm of the server (hashed passwords; costs about
 * 20 ms of computing: only in a servlet with async-supported). */
bool servlet_context_authenticate(const struct servlet_context *context,
                                  const char *user, const char *password);

/* ---- the request ---- */

const char *http_request_method(const struct http_request *request);
/* Decoded path parts as in Java: context path + servlet path + path info. */
const char *http_request_uri(const struct http_request *request); /* raw */
const char *http_request_context_path(const struct http_request *request);
const char *http_request_servlet_path(const struct http_request *request);
/* or NULL */
const char *http_request_path_info(const struct http_request *request);
const char *http_request_query(const struct http_request *request); /* NULL */
/* Name in any case; the first one; NULL. */
const char *http_request_header(const struct http_request *request,
                                const char *name);
/* Query and urlencoded body; the first value, the index-th; NULL when absent.
 * A value may contain 0 bytes: len, when not NULL, gets its length. */
const char *http_request_param(const struct http_request *request,
                               const char *name);
const char *http_request_param_at(const struct http_request *request,
                                  const char *name, size_t index, size_t *len);
/* The first cookie of that name; NULL. */
const char *http_request_cookie(const struct http_request *request,
                                const char *name);
const char *http_request_remote_addr(const struct http_request *request);
const char *http_request_scheme(const struct http_request *request);
bool http_request_is_secure(const struct http_request *request);
/* The body as it came (at most maxPostSize). */
const void *http_request_body(const struct http_request *request, size_t *len);
void *http_request_servlet_state(const struct http_request *request);
struct servlet_context *http_request_context(
    const struct http_request *request);
/* Does the Accept header name text/html itself (a browser does)? */
bool http_request_wants_html(const struct http_request *request);

/* ---- the session of the request ---- */

/* getSession(create). NULL: there is none (create false), or none can be made
 * (limit reached, response committed, mapping is session=none or read). A
 * session that was invalidated in this request counts as none. */
struct http_session *http_request_session(struct http_request *request,
                                          bool create);
/* Why there is no session: "none", "unknown", "malformed", "idle", "logout"
 * ... (for `renamed`, "unknown"); "" while there is one. */
const char *http_request_session_reason(const struct http_request *request);
/* What the client sent, at most 100 bytes of it; NULL: nothing. */
const char *http_request_requested_session_id(
    const struct http_request *request);
bool http_request_session_id_from_cookie(const struct http_request *request);
bool http_request_session_id_from_url(const struct http_request *request);
/* changeSessionId: same session, new id, new cookie; all attributes stay. */
enum http_result http_request_change_session_id(struct http_request *request);
/* Login: records the user, gives the session a new id (a session is made when
 * there is none). Over a live session of another user: that one ends
 * (`replaced`) and a fresh one begins. *out: the session to go on with. */
enum http_result http_session_login(struct http_request *request,
                                    const char *user,
                                    struct http_session **out);

/* 32 hex digits; the route of the cookie is not part of it. */
const char *http_session_id(const struct http_session *session);
const char *http_session_user(const struct http_session *session); /* NULL */
bool http_session_is_new(const struct http_session *session);
int64_t http_session_creation_time(const struct http_session *); /* ms, 1970 */
int64_t http_session_last_accessed_time(const struct http_session *);
/* Seconds; 0: never. */
int64_t http_session_max_inactive(const struct http_session *session);
enum http_result http_session_set_max_inactive(struct http_session *session,
                                               int64_t seconds);
int64_t http_session_max_lifetime(const struct http_session *session);
/* invalidate(): a logout. Listeners hear of it now; other servers and later
 * requests when the request ends. A second call: HTTP_ILLEGAL. */
enum http_result http_session_invalidate(struct http_session *session);
bool http_session_is_valid(const struct http_session *session);
/* Publishes the changes so far without waiting for it. */
void http_session_flush(struct http_session *session);

enum http_session_type {
    HTTP_SESSION_NONE,
    HTTP_SESSION_STRING,
    HTTP_SESSION_BYTES,
    HTTP_SESSION_INT,
    HTTP_SESSION_DOUBLE,
    HTTP_SESSION_BOOL,
    HTTP_SESSION_COUNTER
};
struct http_session_value {
    enum http_session_type type;
    const char *data; /* STRING, BYTES; a 0 follows the last byte of STRING */
    size_t len;
    int64_t number; /* INT, COUNTER */
    double real;
    bool truth;
};

/* type NONE: no such attribute. */
struct http_session_value http_session_get(const struct http_session *session,
                                           const char *name);
/* The string, or NULL when absent or of another type. */
const char *http_session_get_string(const struct http_session *session,
                                    const char *name);
/* The int or counter, or `otherwise`. */
int64_t http_session_get_int(const struct http_session *session,
                             const char *name, int64_t otherwise);
enum http_result http_session_set(struct http_session *session,
                                  const char *name,
                                  const struct http_session_value *value);
enum http_result http_session_set_string(struct http_session *session,
                                         const char *name, const char *text);
enum http_result http_session_set_int(struct http_session *session,
                                      const char *name, int64_t number);
/* Adds to a counter (begins at 0): parallel adds on any server all count. The
 * new value as this request sees it goes to *value (may be NULL). HTTP_INVALID
 * when the attribute is something else. */
enum http_result http_session_add(struct http_session *session,
                                  const char *name, int64_t amount,
                                  int64_t *value);
/* Removing what is not there is HTTP_OK and no event. */
enum http_result http_session_remove(struct http_session *session,
                                     const char *name);
/* Calls each(user, name) per attribute in the order of the names. */
void http_session_names(const struct http_session *session,
                        void (*each)(void *user, const char *name), void *user);
/* In attribute_replaced and attribute_removed: the value before. */
struct http_session_value http_session_event_old(
    const struct http_session *session);

/* ---- the response ---- */

/* The body is kept until the commit; then status, headers and body leave. All
 * of these are HTTP_ILLEGAL once the response is committed. */
enum http_result http_response_set_status(struct http_response *response,
                                          int status);
/* Error page of the server (or web.xml's <error-page>) with that status; text
 * may be NULL. Replaces the body. */
enum http_result http_response_send_error(struct http_response *response,
                                          int status, const char *text);
enum http_result http_response_send_redirect(struct http_response *response,
                                             const char *location, int status);
enum http_result http_response_set_header(struct http_response *response,
                                          const char *name, const char *value);
enum http_result http_response_add_header(struct http_response *response,
                                          const char *name, const char *value);
enum http_result http_response_set_content_type(struct http_response *response,
                                                const char *type);
enum http_result http_response_write(struct http_response *response,
                                     const void *bytes, size_t len);
enum http_result http_response_print(struct http_response *response,
                                     const char *text);
enum http_result http_response_printf(struct http_response *response,
                                      const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text with & < > " ' written as entities. */
enum http_result http_response_print_html(struct http_response *response,
                                          const char *text);
/* The URL with ;jsessionid=... when the client has no cookie; valid until the
 * request ends. encode_redirect_url: NULL for a URL that climbs above the
 * root. */
const char *http_response_encode_url(struct http_response *response,
                                     const char *url);
const char *http_response_encode_redirect_url(struct http_response *response,
                                              const char *url);
/* Keep this response although the session ended meanwhile (instead of 401
 * "not logged in: REASON"): for a servlet whose effects lie elsewhere. */
void http_response_keep_on_end(struct http_response *response);

#ifdef __cplusplus
}
#endif

#endif
