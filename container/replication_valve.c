/* SPDX-License-Identifier: Apache-2.0
 *
 * ReplicationValve: requests that change no session of the cluster, by path.
 * Source: Tomcat, java/org/apache/catalina/ha/tcp/ReplicationValve.java. There
 * the changes of such a request stay behind until one that does not match; here
 * an answer promises what the session has, so such a request can only read. */
#include "config.h"

#include "container/request.h"
#include "container/valve.h"
#include "session/expression.h"

struct replication_options {
    char *filter;
};

struct replication_valve {
    struct valve valve;
    struct expression filter;
};

#define IGNORED(attribute, why)                                                \
    {                                                                          \
        .name = attribute, .kind = OPTION_IGNORED, .help = why                 \
    }

static const struct option replication_options[] = {
    {.name = "filter",
     .kind = OPTION_STRING,
     .offset = offsetof(struct replication_options, filter),
     .help = "regular expression for the whole path of requests that change no "
             "session"},
    IGNORED("primaryIndicator", "no member is more than another"),
    IGNORED("primaryIndicatorName", "no member is more than another"),
    IGNORED("statistics", "figures are always kept (/metrics)"),
    {.name = NULL},
};

static enum rc replication_check(const void *options, struct err *err)
{
    const struct replication_options *o = options;
    struct expression filter;
    enum rc rc = RC_OK;

    if (!o->filter)
        return RC_OK;
    rc = expression_compile(&filter, "filter", o->filter, err);
    if (rc == RC_OK)
        expression_release(&filter);
    return rc;
}

static enum rc replication_open(struct valve *v, struct err *err)
{
    const struct replication_options *o = v->options;

    return o->filter
               ? expression_compile(&((struct replication_valve *)v)->filter,
                                    "filter", o->filter, err)
               : RC_OK;
}

static void replication_close(struct valve *v)
{
    expression_release(&((struct replication_valve *)v)->filter);
}

static enum valve_answer replication_in(struct valve *v, struct http_request *r)
{
    const struct replication_valve *f = (const struct replication_valve *)v;

    if (r->path && expression_matches(&f->filter, r->path))
        r->changes_no_copies = true;
    return VALVE_GO_ON;
}

extern const struct valve_kind replication_valve;
const struct valve_kind replication_valve = {
    .name = "ReplicationValve",
    .summary = "lets requests read the cluster's sessions only, by path",
    .size = sizeof(struct replication_valve),
    .options_size = sizeof(struct replication_options),
    .options = replication_options,
    .in_cluster = true,
    .check = replication_check,
    .open = replication_open,
    .close = replication_close,
    .in = replication_in,
};
