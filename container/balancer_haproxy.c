/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/balancer.h"

#include "session/buf.h"

#include <string.h>

static const char front[] =
    "# Check it: haproxy -c -f FILE   Run it: haproxy -f FILE\n"
    "# HAProxy 2.6 and newer.\n"
    "\n"
    "global\n"
    "    maxconn 4096\n"
    "    log stderr format short local0 notice\n"
    "\n"
    "defaults\n"
    "    mode http\n"
    "    log global\n"
    "    timeout connect 2s\n"
    "    timeout client 60s\n"
    "    timeout server 60s\n"
    "    timeout http-request 10s\n"
    "    # What never reached an instance goes to another one; so does what "
    "one\n"
    "    # did not answer, if its method is safe to repeat (see below).\n"
    "    retries 2\n"
    "    retry-on conn-failure empty-response\n"
    "    option redispatch 1\n"
    "\n"
    "frontend margay\n";

static const char forwarded[] =
    "    http-request disable-l7-retry unless METH_GET\n"
    "    # Who asks, and how: for RemoteIpValve.\n"
    "    option forwardfor\n"
    "    http-request set-header X-Forwarded-Proto http\n"
    "    http-request set-header X-Forwarded-Proto https if { ssl_fc }\n"
    "    http-request set-header X-Forwarded-Host %[req.hdr(Host)]\n"
    "    http-request set-header X-Forwarded-Port %[dst_port]\n"
    "    # Figures are read at the instance itself.\n"
    "    http-request return status 404 if { path,url_dec -m reg "
    "^/+metrics(;|/|$) }\n"
    "    default_backend margay\n"
    "\n"
    "backend margay\n";

static const char health[] =
    "    # /health: 200 ready, 503 starting, 404 draining. Who drains gets no\n"
    "    # new users and keeps its own; a connection that fails is believed\n"
    "    # before the next check is.\n"
    "    option httpchk\n"
    "    http-check send meth GET uri /health ver HTTP/1.1 hdr Host margay\n"
    "    http-check expect status 200\n"
    "    http-check disable-on-404\n"
    "    default-server inter 1s fastinter 250ms downinter 500ms fall 2 rise "
    "2\n"
    "    default-server observe layer4 error-limit 1 on-error mark-down\n";

static void write_bind(struct buf *out, const char *listen)
{
    buf_addf(out, "    bind %s%s\n", strchr(listen, ':') ? "" : ":", listen);
    buf_add_str(out, "    # bind :443 ssl crt /etc/haproxy/certs/\n");
}

static void by_route(struct buf *out, const struct balancer_plan *plan)
{
    buf_addf(
        out,
        "    # New users by turns. Who has a cookie whose instance is gone "
        "goes to\n"
        "    # one of the others, always the same, which then takes its "
        "place in the\n"
        "    # cookie.\n"
        "    balance hash req.cook(%s)\n"
        "    hash-type consistent\n",
        plan->cookie);
    /* The first cookie of that name, as the instance reads it: others are of
     * applications with other paths. Possessive, so that it takes no time.
     * fhdr: for hdr a comma would end the header. */
    for (size_t i = 0; i < plan->count; i++) {
        const char *name = plan->members[i].name;
        buf_addf(out,
                 "    use-server %s if { req.fhdr(cookie) -m reg "
                 "'^((?!%s=)[^;]*+;[[:space:]]*+)*+%s=[^;]*[.]%s(;|$)' }\n",
                 name, plan->cookie, plan->cookie, name);
        buf_addf(out,
                 "    use-server %s if { path_sub ;%s= } { path_end .%s }\n",
                 name, plan->parameter, name);
    }
}

static void by_cookie(struct buf *out)
{
    buf_add_str(
        out,
        "    # New users by turns. Who has a cookie whose instance is gone "
        "goes to\n"
        "    # another one, and gets a new cookie with its name. With TLS "
        "add: secure\n"
        "    balance roundrobin\n"
        "    cookie MARGAY insert indirect preserve nocache httponly "
        "attr SameSite=Lax\n");
}

void balancer_haproxy(struct buf *out, const struct balancer_plan *plan)
{
    bool own = plan->sticky == STICKY_COOKIE;

    buf_add_str(out, front);
    write_bind(out, plan->listen);
    buf_add_str(out, forwarded);
    buf_add_str(out, health);
    if (own)
        by_cookie(out);
    else
        by_route(out, plan);
    for (size_t i = 0; i < plan->count; i++) {
        const struct balancer_member *m = &plan->members[i];
        buf_addf(out, "    server %s %s:%u check", m->name, m->host, m->port);
        buf_addf(out, own ? " cookie %s\n" : "\n", m->name);
    }
}
