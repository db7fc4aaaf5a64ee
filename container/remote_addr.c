/* SPDX-License-Identifier: Apache-2.0
 *
 * RemoteAddrValve: who may come at all, by address.
 * Source: Tomcat, java/org/apache/catalina/valves/RequestFilterValve.java. */
#include "config.h"

#include "container/request.h"
#include "container/valve.h"
#include "session/expression.h"

struct remote_addr_options {
    char *allow, *deny;
    int64_t deny_status;
};

struct remote_addr {
    struct valve valve;
    struct expression allow, deny;
};

/* clang-format off */
#define AT(member) offsetof(struct remote_addr_options, member)
static const struct option remote_addr_options[] = {
    {"allow", OPTION_STRING, AT(allow), NULL,
     "regular expression for the whole address of those who may come", 0, 0,
     NULL},
    {"deny", OPTION_STRING, AT(deny), NULL,
     "the same for those who may not; it beats allow", 0, 0, NULL},
    {"denyStatus", OPTION_INT, AT(deny_status), "403",
     "what the others are answered", 400, 599, NULL},
    {"addConnectorPort", OPTION_LATER, 0, "false",
     "the port is not part of what is compared", 0, 0, NULL},
    {"usePeerAddress", OPTION_IGNORED, 0, NULL,
     "the address is always that of the peer", 0, 0, NULL},
    {"invalidAuthenticationWhenDeny", OPTION_LATER, 0, "false",
     "a denied request gets denyStatus", 0, 0, NULL},
    {NULL, OPTION_STRING, 0, NULL, NULL, 0, 0, NULL},
};
#undef AT
/* clang-format on */

static enum rc compile(const struct remote_addr_options *o,
                       struct expression *allow, struct expression *deny,
                       struct err *err)
{
    enum rc rc = RC_OK;

    if (o->allow)
        rc = expression_compile(allow, "allow", o->allow, err);
    if (rc == RC_OK && o->deny)
        rc = expression_compile(deny, "deny", o->deny, err);
    if (rc != RC_OK)
        expression_release(allow);
    return rc;
}

static enum rc remote_addr_check(const void *options, struct err *err)
{
    struct expression allow = {.compiled = false}, deny = {.compiled = false};
    enum rc rc = compile(options, &allow, &deny, err);

    if (rc == RC_OK) {
        expression_release(&allow);
        expression_release(&deny);
    }
    return rc;
}

static enum rc remote_addr_open(struct valve *v, struct err *err)
{
    struct remote_addr *f = (struct remote_addr *)v;

    return compile(v->options, &f->allow, &f->deny, err);
}

static void remote_addr_close(struct valve *v)
{
    struct remote_addr *f = (struct remote_addr *)v;

    expression_release(&f->allow);
    expression_release(&f->deny);
}

/* Without allow, who is not denied may come; without both nobody (Tomcat). */
static bool may_come(const struct remote_addr *f, const char *address)
{
    if (expression_matches(&f->deny, address))
        return false;
    if (f->allow.compiled)
        return expression_matches(&f->allow, address);
    return f->deny.compiled;
}

static enum valve_answer remote_addr_in(struct valve *v, struct http_request *r)
{
    const struct remote_addr *f = (const struct remote_addr *)v;
    const struct remote_addr_options *o = v->options;
    if (may_come(f, http_request_remote_addr(r)))
        return VALVE_GO_ON;
    response_page(&r->response, (int)o->deny_status, NULL);
    return VALVE_STOP;
}

extern const struct valve_kind remote_addr_valve;
const struct valve_kind remote_addr_valve = {
    .name = "RemoteAddrValve",
    .summary = "lets in or refuses by address",
    .size = sizeof(struct remote_addr),
    .options_size = sizeof(struct remote_addr_options),
    .options = remote_addr_options,
    .check = remote_addr_check,
    .open = remote_addr_open,
    .close = remote_addr_close,
    .in = remote_addr_in,
};
