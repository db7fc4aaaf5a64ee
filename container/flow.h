/* SPDX-License-Identifier: Apache-2.0
 *
 * flow.h: the one way of a request.
 *
 * What    mapper, valves in, [attach], servlet, [commit], valves out: a state
 *         machine with one step per stage (enum flow_step), so that a request
 *         can be put aside at attach and commit and taken up by any thread.
 * Answers 503 with Retry-After, without Set-Cookie: the session is not known
 *         (find: the servlet did not run) or the commit is not (what the
 *         servlet did may show up later). 401 `not logged in: REASON`: the
 *         session ended while the request ran.
 * Threads flow_run: whoever holds the request, one at a time. */
#ifndef MARGAY_CONTAINER_FLOW_H
#define MARGAY_CONTAINER_FLOW_H

#include <stdbool.h>

struct http_request;

/* Goes on from where the request is. True: the response is ready. False: it is
 * put aside; the caller does not touch it any more. */
bool flow_run(struct http_request *r);
/* Instead, where the client hung up while r was put aside: what an answer
 * brought meanwhile is dropped. */
void flow_drop(struct http_request *r);

#endif
