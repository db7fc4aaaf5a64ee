/* SPDX-License-Identifier: Apache-2.0
 *
 * call.h: the calls of the Servlet API that /probe offers.
 *
 * What    One table: the path or step, its arguments, the function. A call
 *         writes its members into an open JSON object and returns what the
 *         server said.
 * Owns    Arguments are borrowed. `session` is what a servlet in Java holds in
 *         a variable: a call that makes or finds a session sets it, and it
 *         stays when that session has ended, so that calls on an ended session
 *         can be tried.
 * Threads The request's thread. */
#ifndef MARGAY_WEBAPPS_PROBE_CALL_H
#define MARGAY_WEBAPPS_PROBE_CALL_H

#include "container/servlet.h"
#include "webapps/probe/json.h"

enum { CALL_ARGS = 3 };

struct call {
    struct http_request *request;
    struct http_response *response;
    struct http_session *session; /* NULL: none yet */
    const char *args[CALL_ARGS];  /* NULL: not given */
    struct json json;
};

struct call_kind {
    const char *name;
    const char *args[CALL_ARGS]; /* their names as parameters */
    enum http_result (*run)(struct call *call);
    const char *summary;
};

extern const struct call_kind call_kinds[]; /* ends with a NULL name */

/* NULL: there is no such call. */
const struct call_kind *call_find(const char *name);
/* Begins with the session that the request has, if any. */
void call_init(struct call *call, struct http_request *request,
               struct http_response *response);
/* {"do": NAME, members..., "result": "ok", "text": "..."} */
enum http_result call_run(struct call *call, const struct call_kind *kind);

#endif
