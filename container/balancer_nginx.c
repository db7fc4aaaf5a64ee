/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/balancer.h"

#include "session/buf.h"

#include <string.h>

static const char front[] =
    "# Check it: nginx -t -c FILE   Run it: nginx -c FILE\n"
    "# (without root: nginx -p DIR -e stderr -g 'pid DIR/nginx.pid;' -c FILE)\n"
    "# nginx asks nobody for /health: it learns from requests that fail.\n"
    "# To drain an instance by hand write `down` behind its line in `upstream\n"
    "# margay` (new users stay away, its own go on) and run nginx -s reload.\n"
    "\n"
    "worker_processes auto;\n"
    "events {\n"
    "    worker_connections 4096;\n"
    "}\n"
    "http {\n"
    "    access_log off; # the instances write one, with RemoteIpValve\n"
    "    map_hash_bucket_size 128; # for long names\n"
    "    # HTTP/1.0 needs no Host.\n"
    "    map $http_host $margay_host {\n"
    "        default $http_host;\n"
    "        \"\" $host;\n"
    "    }\n"
    "\n";

static const char back[] =
    "            proxy_http_version 1.1;\n"
    "            proxy_set_header Connection \"\";\n"
    "            # Who asks, and how: for RemoteIpValve.\n"
    "            proxy_set_header Host $margay_host;\n"
    "            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
    "            proxy_set_header X-Forwarded-Proto $scheme;\n"
    "            proxy_set_header X-Forwarded-Host $http_host;\n"
    "            proxy_set_header X-Forwarded-Port $server_port;\n"
    "            # What never reached an instance goes to another one; so "
    "does\n"
    "            # what one did not answer, if its method is not POST, PATCH "
    "or "
    "LOCK:\n"
    "            # never add non_idempotent here, nor http_503: what an "
    "instance says\n"
    "            # of its sessions, another one may not know.\n"
    "            proxy_next_upstream error timeout;\n"
    "            proxy_next_upstream_tries 3;\n"
    "            proxy_connect_timeout 2s;\n"
    "            proxy_read_timeout 60s;\n"
    "            proxy_redirect off;\n";

static void write_server(struct buf *out, const struct balancer_member *m)
{
    buf_addf(out, "        server %s:%u max_fails=1 fail_timeout=2s%s", m->host,
             m->port, m->away ? " down" : "");
}

/* Asked whatever it did before: when instances are restarted quickly, one after
 * another, all have failed lately, and all are there. */
static void write_backup(struct buf *out, const struct balancer_member *m,
                         unsigned weight)
{
    buf_addf(out, "        server %s:%u max_fails=0%s backup weight=%u;\n",
             m->host, m->port, m->away ? " down" : "", weight);
}

static void write_new_users(struct buf *out, const struct balancer_plan *plan)
{
    buf_add_str(out,
                "    # New users, by turns. Whoever failed is left alone for "
                "a while; where\n"
                "    # all have, all are asked.\n"
                "    upstream margay {\n"
                "        zone margay 256k;\n");
    for (size_t i = 0; i < plan->count; i++) {
        write_server(out, &plan->members[i]);
        buf_addf(out, "; # %s\n", plan->members[i].name);
    }
    for (size_t i = 0; i < plan->count; i++)
        write_backup(out, &plan->members[i], 1);
    buf_add_str(out, "        keepalive 64;\n    }\n\n");
}

/* Of the backups nginx takes each in its turn; a heavy one is always first. */
static unsigned weight_of(size_t by)
{
    return by == 1 ? 1000000 : by == 2 ? 1000 : 1;
}

static void write_groups(struct buf *out, const struct balancer_plan *plan)
{
    buf_add_str(out,
                "    # The users of each; while it is gone another one has "
                "them, always the\n"
                "    # same.\n");
    for (size_t i = 0; i < plan->count; i++) {
        const char *name = plan->members[i].name;
        buf_addf(out, "    upstream margay_%s {\n", name);
        buf_addf(out, "        zone margay_%s 256k;\n", name);
        write_server(out, &plan->members[i]);
        buf_add_str(out, ";\n");
        for (size_t by = 1; by < plan->count; by++)
            write_backup(out, balancer_after(plan, i, by), weight_of(by));
        write_backup(out, &plan->members[i], weight_of(plan->count));
        buf_add_str(out, "        keepalive 64;\n    }\n");
    }
    buf_add_char(out, '\n');
}

/* What a map would take for a word of its own. */
static const char *escape_of(const char *name)
{
    static const char *const words[] = {"default", "hostnames", "include",
                                        "volatile"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i], name) == 0)
            return "\\";
    return "";
}

static void write_choice(struct buf *out, const struct balancer_plan *plan,
                         const char *variable)
{
    buf_addf(out, "    map %s $margay_upstream {\n", variable);
    buf_add_str(out, "        default margay;\n");
    for (size_t i = 0; i < plan->count; i++)
        buf_addf(out, "        %s%s margay_%s;\n",
                 escape_of(plan->members[i].name), plan->members[i].name,
                 plan->members[i].name);
    buf_add_str(out, "    }\n\n");
}

static void by_route(struct buf *out, const struct balancer_plan *plan)
{
    buf_addf(out,
             "    # The route: what stands behind the dot, in the cookie or in "
             "the path.\n"
             "    map $request_uri $margay_path_route {\n"
             "        \"~;%s=[0-9A-F]+\\.(?<margay_in_path>[A-Za-z0-9_-]+)\" "
             "$margay_in_path;\n"
             "    }\n",
             plan->parameter);
    buf_addf(out,
             "    map $cookie_%s $margay_route {\n"
             "        default $margay_path_route;\n"
             "        \"~\\.(?<margay_in_cookie>[A-Za-z0-9_-]+)$\" "
             "$margay_in_cookie;\n"
             "    }\n",
             plan->cookie);
    write_choice(out, plan, "$margay_route");
}

/* As a regular expression. */
static void write_host(struct buf *out, const char *host)
{
    for (; *host; host++) {
        if (strchr(".[]", *host))
            buf_add_char(out, '\\');
        buf_add_char(out, *host);
    }
}

static void by_cookie(struct buf *out, const struct balancer_plan *plan)
{
    write_choice(out, plan, "$cookie_MARGAY");
    buf_add_str(out, "    # Who answered, the last one of those that were "
                     "tried; a cookie for who\n"
                     "    # has not its name yet. With TLS add: ; Secure\n"
                     "    map $upstream_addr $margay_node {\n");
    for (size_t i = 0; i < plan->count; i++) {
        buf_add_str(out, "        \"~(^|[ ,])");
        write_host(out, plan->members[i].host);
        buf_addf(out, ":%u$\" %s;\n", plan->members[i].port,
                 plan->members[i].name);
    }
    buf_add_str(out, "    }\n"
                     "    map \"$status $cookie_MARGAY $margay_node\" "
                     "$margay_cookie {\n"
                     "        default \"MARGAY=$margay_node; Path=/; HttpOnly; "
                     "SameSite=Lax\";\n"
                     "        \"~^[0-9]+ (.+) \\1$\" \"\";\n"
                     "        \"~ $\" \"\";\n"
                     "        \"~^307 \" \"\"; # it drains, and deletes the "
                     "cookie\n"
                     "    }\n\n");
}

/* The same in two lines, where nginx is new enough. */
static void write_sticky(struct buf *out, const struct balancer_plan *plan)
{
    buf_add_str(out,
                "    # nginx 1.29.6 and newer can do it by itself: take this "
                "upstream instead\n"
                "    # of those above, and `proxy_pass http://margay;` below.");
    buf_addf(out, "%s\n",
             plan->sticky == STICKY_ROUTE
                 ? " The maps of\n    # the route stay."
                 : " The maps go,\n    # and `add_header Set-Cookie` with "
                   "them.");
    buf_add_str(out, "    # upstream margay {\n"
                     "    #     zone margay 256k;\n");
    for (size_t i = 0; i < plan->count; i++)
        buf_addf(out,
                 "    #     server %s:%u route=%s max_fails=1 "
                 "fail_timeout=2s; # drain: add `drain`\n",
                 plan->members[i].host, plan->members[i].port,
                 plan->members[i].name);
    buf_addf(out, "    #     %s\n",
             plan->sticky == STICKY_ROUTE
                 ? "sticky route $margay_route;"
                 : "sticky cookie MARGAY path=/ httponly samesite=lax;");
    buf_add_str(out, "    #     keepalive 64;\n    # }\n\n");
}

void balancer_nginx(struct buf *out, const struct balancer_plan *plan)
{
    bool own = plan->sticky == STICKY_COOKIE;

    buf_add_str(out, front);
    write_new_users(out, plan);
    write_groups(out, plan);
    if (own)
        by_cookie(out, plan);
    else
        by_route(out, plan);
    write_sticky(out, plan);
    buf_addf(out, "    server {\n        listen %s;\n", plan->listen);
    buf_add_str(out, "        client_max_body_size 2m;\n"
                     "        # Figures are read at the instance itself.\n"
                     "        location ~ \"^/+metrics(;|/|$)\" {\n"
                     "            return 404;\n"
                     "        }\n"
                     "        location / {\n"
                     "            proxy_pass http://$margay_upstream;\n");
    if (own)
        buf_add_str(
            out, "            add_header Set-Cookie $margay_cookie always;\n");
    buf_add_str(out, back);
    buf_add_str(out, "        }\n    }\n}\n");
}
