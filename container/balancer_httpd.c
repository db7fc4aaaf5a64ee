/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/balancer.h"

#include "session/buf.h"

static const char front[] =
    "# Check it: apache2 -t -f FILE   Run it: apache2 -d DIR -f FILE\n"
    "# (FILE with its whole path; DIR gets margay-httpd.pid.) Apache httpd "
    "2.4,\n"
    "# modules where Debian has them.\n"
    "# httpd cannot tell draining from gone: an instance that drains stays a\n"
    "# member, its users go on, and new ones need that valve.\n"
    "\n";

static const char *const modules[] = {
    "mpm_event",      "authz_core",   "headers",
    "proxy",          "proxy_http",   "slotmem_shm",
    "proxy_balancer", "proxy_hcheck", "lbmethod_byrequests",
};

static const char server[] = "User www-data\n"
                             "Group www-data\n"
                             "DefaultRuntimeDir .\n"
                             "PidFile margay-httpd.pid\n"
                             "ErrorLog /dev/stderr\n"
                             "ServerName localhost\n";

static const char health[] =
    "# /health: 200 ready, 503 starting, 404 draining.\n"
    "ProxyHCExpr margay_serves {%{REQUEST_STATUS} =~ /^(200|404)$/}\n";

static const char back[] =
    "# Who asks, and how: for RemoteIpValve. X-Forwarded-For and -Host are\n"
    "# added by mod_proxy.\n"
    "ProxyPreserveHost On\n"
    "RequestHeader unset X-Forwarded-Host\n"
    "RequestHeader set X-Forwarded-Proto \"expr=%{REQUEST_SCHEME}\"\n"
    "RequestHeader set X-Forwarded-Port \"expr=%{SERVER_PORT}\"\n"
    "\n"
    "# Figures are read at the instance itself.\n"
    "<LocationMatch \"^/+metrics(;|/|$)\">\n"
    "    Require all denied\n"
    "</LocationMatch>\n"
    "\n"
    "# What never reached an instance goes to another one. What one did not\n"
    "# answer is not repeated: it is 502, or, on a connection that was kept, "
    "no\n"
    "# answer at all, and the client decides.\n"
    "ProxyPass \"/\" \"balancer://margay/\"\n";

static void write_modules(struct buf *out)
{
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++)
        buf_addf(out,
                 "<IfModule !%s_module>\n"
                 "    LoadModule %s_module "
                 "/usr/lib/apache2/modules/mod_%s.so\n"
                 "</IfModule>\n",
                 modules[i], modules[i], modules[i]);
}

static void write_members(struct buf *out, const struct balancer_plan *plan)
{
    buf_add_str(out, "# redirect: who has its users while it is gone.\n"
                     "<Proxy \"balancer://margay\">\n");
    for (size_t i = 0; i < plan->count; i++) {
        const struct balancer_member *m = &plan->members[i];
        buf_addf(out, "    BalancerMember \"http://%s:%u\" route=%s", m->host,
                 m->port, m->name);
        if (plan->count > 1)
            buf_addf(out, " redirect=%s", balancer_after(plan, i, 1)->name);
        buf_add_str(out, " \\\n"
                         "        connectiontimeout=2 timeout=60 retry=1 \\\n"
                         "        hcmethod=GET hcuri=/health "
                         "hcexpr=margay_serves \\\n"
                         "        hcinterval=1 hcpasses=1 hcfails=1\n");
    }
}

void balancer_httpd(struct buf *out, const struct balancer_plan *plan)
{
    bool own = plan->sticky == STICKY_COOKIE;

    buf_add_str(out, front);
    write_modules(out);
    buf_add_str(out, server);
    buf_addf(out, "Listen %s\n\n", plan->listen);
    buf_add_str(out, health);
    write_members(out, plan);
    if (own)
        buf_add_str(out, "    ProxySet stickysession=MARGAY");
    else
        buf_addf(out, "    ProxySet stickysession=%s|%s scolonpathdelim=On",
                 plan->cookie, plan->parameter);
    buf_add_str(out, " lbmethod=byrequests\n</Proxy>\n\n");
    if (own)
        buf_add_str(
            out, "# For who has none yet, or whose instance is gone; not with "
                 "the 307 of one\n# that drains, which deletes it. With "
                 "TLS add: ; Secure\n"
                 "Header add Set-Cookie "
                 "\"MARGAY=.%{BALANCER_WORKER_ROUTE}e; Path=/; HttpOnly; "
                 "SameSite=Lax\" \\\n"
                 "    \"expr=reqenv('BALANCER_ROUTE_CHANGED') == '1' && "
                 "%{REQUEST_STATUS} != '307'\"\n\n");
    buf_add_str(out, back);
}
