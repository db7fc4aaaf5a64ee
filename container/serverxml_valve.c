/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include "session/buf.h"

#include <string.h>

/* Valves whose absence nobody misses, and valves that somebody relies on. */
static const struct {
    const char *name;
    const char *ignored; /* why, or NULL: an error */
    const char *meanwhile;
} others[] = {
    {"ErrorReportValve", "error pages are made without it", NULL},
    {"HealthCheckValve", "GET /health answers without it", NULL},
    {"PersistentValve", "PersistentManager stores at every change", NULL},
    {"ClusterSingleSignOn", NULL, "let each application log in"},
    {"SingleSignOn", NULL, "let each application log in"},
    {"CrawlerSessionManagerValve", NULL, "lower maxInactive"},
    {"ExtendedAccessLogValve", NULL, "use AccessLogValve"},
    {"JsonAccessLogValve", NULL, "use AccessLogValve"},
    {"RemoteCIDRValve", NULL, "use RemoteAddrValve"},
    {"RemoteHostValve", NULL, "use RemoteAddrValve"},
    {"RewriteValve", NULL, "let the balancer rewrite"},
    {"SemaphoreValve", NULL, "limit connections at the balancer"},
    {"StuckThreadDetectionValve", NULL, "look at the access log's %D"},
};

static enum rc valve_unknown(struct reader *r, const struct xml_element *e,
                             const char *name)
{
    struct buf names;
    enum rc rc;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(others[i].name, name) != 0)
            continue;
        if (!others[i].ignored)
            return reader_later(r, e, name, others[i].meanwhile);
        reader_ignored(r, e, name, others[i].ignored);
        return RC_OK;
    }
    buf_init(&names, 256);
    for (size_t i = 0; valve_kinds[i]; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", valve_kinds[i]->name);
    rc = reader_error(r, e, RC_INVALID,
                      "unknown <Valve className=\"%.64s\">: there are %s", name,
                      buf_str(&names));
    buf_release(&names);
    return rc;
}

static enum rc check_valve(struct reader *r, const struct valve_config *v)
{
    struct err why = {""};
    enum rc rc = v->kind->check ? v->kind->check(v->options, &why) : RC_OK;

    return rc == RC_OK ? rc
                       : reader_error(r, v->at, rc, "<Valve> %s", why.text);
}

enum rc reader_valve(struct reader *r, const struct xml_element *e,
                     struct valve_configs *valves)
{
    const char *name = reader_class(e, "");
    const struct valve_kind *kind = valve_kind_find(name);
    struct valve_config *v;
    enum rc rc;

    if (!kind)
        return valve_unknown(r, e, name);
    if (kind->in_cluster && e->parent && !strcmp(e->parent->name, "Context"))
        return reader_error(r, e, RC_INVALID,
                            "%s in a <Context>: put it into the <Cluster>",
                            kind->name);
    if (kind->in_cluster && !r->config->cluster) {
        reader_ignored(r, e, kind->name, "there is no <Cluster>");
        return RC_OK;
    }
    valves->items =
        reader_grow(r, valves->items, valves->count, sizeof *valves->items);
    v = &valves->items[valves->count++];
    v->kind = kind;
    v->at = e;
    v->options = reader_options(r, kind->options, kind->options_size);
    rc = reader_attributes(
        r, e, &(struct option_target){kind->options, v->options}, 1);
    return rc == RC_OK ? check_valve(r, v) : rc;
}
