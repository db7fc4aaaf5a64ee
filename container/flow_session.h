/* SPDX-License-Identifier: Apache-2.0
 *
 * flow_session.h: attach and commit, the two steps of a request that may wait.
 * For flow.c only; the rules stand in flow.h.
 *
 * Threads As flow_run. The completions come from any thread; they only record
 *         the answer (wait.h). One that comes after the deadline drops what it
 *         brought; the request's memory lives until then (request.h, Refs). */
#ifndef MARGAY_CONTAINER_FLOW_SESSION_H
#define MARGAY_CONTAINER_FLOW_SESSION_H

#include "container/request.h"

/* Which ids came: cookies before the path (Tomcat,
 * org/apache/catalina/connector/CoyoteAdapter.java: parseSessionCookiesId:
 * each next one replaces one that is not live). An empty id counts as none. */
enum flow_step flow_session_ids(struct http_request *r);
enum flow_step flow_session_find(struct http_request *r, bool *aside);
enum flow_step flow_session_found(struct http_request *r);
enum flow_step flow_session_commit(struct http_request *r, bool *aside);
enum flow_step flow_session_committed(struct http_request *r);

/* flow.c: the 503 of everything that is not known. */
void flow_unavailable(struct http_request *r, const char *text);

#endif
