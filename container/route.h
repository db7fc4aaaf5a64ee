/* SPDX-License-Identifier: Apache-2.0
 *
 * route.h: the part of JSESSIONID behind the dot, written anew.
 *
 * What    A cookie names the instance that its session was last answered by for
 *         good: balancers send the user there. It is written anew, with the
 *         same id, when another instance answers and
 *         - the members of the cluster know the one that is named and know it
 *           to be gone (a name that they never heard of is left alone), or
 *         - there is no cluster, and ROUTE_ROW requests of the session came
 *           here in a row: of no use of it elsewhere in between this instance
 *           has heard (of each change that is in the session; of reading once
 *           in an accessInterval).
 *         Never otherwise: behind a balancer that takes turns cookies stay as
 *         they are. (Tomcat's JvmRouteBinderValve changes the id as well, at
 *         every foreign route.)
 * Limits  Rows are counted for at most ROUTE_ROWS sessions at a time. Where two
 *         meet, the later one takes the place: its cookie is written later.
 * Owns    routes_free frees what routes_new made.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_ROUTE_H
#define MARGAY_CONTAINER_ROUTE_H

#include "session/id.h"
#include "session/record.h"

#include <stdbool.h>
#include <stdint.h>

#define ROUTE_ROW 3
#define ROUTE_ROWS 2048

struct http_request;
struct routes;

struct routes *routes_new(void);
void routes_free(struct routes **routes);
/* One more request of that session, at `now`, came here with the name of
 * another instance; before: its last access until then (both wall ms); others:
 * what other instances have written in it. True: enough in a row. */
bool routes_count(struct routes *routes, const uint8_t id[ID_SIZE],
                  int64_t before, int64_t now,
                  const struct record_others *others);

/* r was given the session of its cookie: counts where that is to be done. */
void route_note(struct http_request *r);
/* r is committed and has a session that the client knows: does the cookie that
 * it came with name an instance that is not to be named any more? */
bool route_is_stale(struct http_request *r);

#endif
