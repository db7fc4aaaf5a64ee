/* SPDX-License-Identifier: Apache-2.0
 *
 * JvmRouteBinderValve: whether cookies get another route at all (route.h).
 * Source: Tomcat, java/org/apache/catalina/ha/session/JvmRouteBinderValve.java.
 * Here routes are rewritten without it as well. */
#include "config.h"

#include "container/request.h"
#include "container/valve.h"

struct route_options {
    bool enabled;
};

static const struct option route_options[] = {
    {.name = "enabled",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct route_options, enabled),
     .preset = "true",
     .help = "false: a cookie names the instance that gave it, for ever"},
    {.name = "sessionIdAttribute",
     .kind = OPTION_IGNORED,
     .help = "the id stays what it was; only the route behind it changes"},
    {.name = NULL},
};

static enum valve_answer route_in(struct valve *v, struct http_request *r)
{
    const struct route_options *o = v->options;

    r->keeps_route = !o->enabled;
    return VALVE_GO_ON;
}

extern const struct valve_kind route_valve;
const struct valve_kind route_valve = {
    .name = "JvmRouteBinderValve",
    .summary = "says whether a cookie's route is rewritten",
    .size = sizeof(struct valve),
    .options_size = sizeof(struct route_options),
    .options = route_options,
    .in = route_in,
};
