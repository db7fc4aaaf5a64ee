/* SPDX-License-Identifier: Apache-2.0
 *
 * RemoteAddrValve: who may come at all, by address.
 * Source: Tomcat, java/org/apache/catalina/valves/RequestFilterValve.java. */
#include "config.h"

#include "container/request.h"
#include "container/valve.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct remote_addr_options {
    char *allow, *deny;
    int64_t deny_status;
};

struct remote_addr {
    struct valve valve;
    regex_t allow, deny;
    bool has_allow, has_deny;
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

/* One escape. False: Java has it, and POSIX has not or means another. */
static bool escape_to_posix(struct buf *out, char c, bool in_set)
{
    if (c == 'd') /* which Tomcat's own configuration writes */
        return buf_add_str(out, in_set ? "0-9" : "[0-9]");
    if (!c || isalnum((unsigned char)c) || (in_set && strchr("]-^[\\", c)))
        return false;
    if (!in_set)
        buf_add_char(out, '\\');
    return buf_add_char(out, c);
}

/* False: it would match something else than in Java. */
static bool to_posix(struct buf *out, const char *java)
{
    bool in_set = false;
    for (; *java; java++) {
        if (*java == '\\') {
            if (!escape_to_posix(out, *++java, in_set))
                return false;
            continue;
        }
        if (*java == '[' && in_set) /* sets within sets */
            return false;
        if (*java == '[' || *java == ']')
            in_set = *java == '[';
        buf_add_char(out, *java);
    }
    return !out->full;
}

static enum rc compile(regex_t *regex, const char *name, const char *text,
                       struct err *err)
{
    struct buf pattern;
    char why[128];
    int bad = -1;
    buf_init(&pattern, 65536);
    if (to_posix(&pattern, text))
        bad = regcomp(regex, buf_str(&pattern), REG_EXTENDED);
    buf_release(&pattern);
    if (!bad)
        return RC_OK;
    if (bad < 0)
        return err_set(err, RC_INVALID,
                       "%s=\"%.100s\": of Java's escapes there are \\d and "
                       "those of signs, like \\. (no others, and no sets "
                       "within sets)",
                       name, text);
    regerror(bad, regex, why, sizeof why);
    return err_set(err, RC_INVALID,
                   "%s=\"%.100s\" is no regular expression (POSIX extended): "
                   "%s",
                   name, text, why);
}

static enum rc remote_addr_open(struct valve *v, struct err *err)
{
    struct remote_addr *f = (struct remote_addr *)v;
    const struct remote_addr_options *o = v->options;
    enum rc rc = RC_OK;
    if (o->allow && (rc = compile(&f->allow, "allow", o->allow, err)) == RC_OK)
        f->has_allow = true;
    if (rc == RC_OK && o->deny &&
        (rc = compile(&f->deny, "deny", o->deny, err)) == RC_OK)
        f->has_deny = true;
    if (rc != RC_OK && f->has_allow)
        regfree(&f->allow);
    return rc;
}

static void remote_addr_close(struct valve *v)
{
    struct remote_addr *f = (struct remote_addr *)v;
    if (f->has_allow)
        regfree(&f->allow);
    if (f->has_deny)
        regfree(&f->deny);
}

/* The whole address: POSIX finds the longest match. */
static bool matches(const regex_t *regex, const char *address)
{
    regmatch_t found;
    return !regexec(regex, address, 1, &found, 0) && found.rm_so == 0 &&
           (size_t)found.rm_eo == strlen(address);
}

/* Without allow, who is not denied may come; without both nobody (Tomcat). */
static bool may_come(const struct remote_addr *f, const char *address)
{
    if (f->has_deny && matches(&f->deny, address))
        return false;
    if (f->has_allow)
        return matches(&f->allow, address);
    return f->has_deny;
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
    .open = remote_addr_open,
    .close = remote_addr_close,
    .in = remote_addr_in,
};
