/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/balancer.h"

#include "session/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    balancer_fn *write;
} kinds[] = {
    [BALANCER_HAPROXY] = {"haproxy", balancer_haproxy},
    [BALANCER_NGINX] = {"nginx", balancer_nginx},
    [BALANCER_HTTPD] = {"httpd", balancer_httpd},
};

bool balancer_find(const char *name, enum balancer_kind *out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) != 0)
            continue;
        *out = (enum balancer_kind)i;
        return true;
    }
    return false;
}

#define LETTERS_AND_DIGITS                                                     \
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool balancer_listen_is_good(const char *listen)
{
    static const char in_address[] = LETTERS_AND_DIGITS ".-:[]*";
    const char *colon = strrchr(listen, ':');
    const char *port = colon ? colon + 1 : listen;
    size_t digits = strspn(port, "0123456789");
    long number = strtol(port, NULL, 10);

    return digits > 0 && digits <= 5 && !port[digits] && number >= 1 &&
           number <= 65535 && colon != listen &&
           !listen[strspn(listen, in_address)];
}

bool balancer_cookie_is_good(enum balancer_kind kind, const char *name)
{
    return !name[strspn(name, kind == BALANCER_NGINX ? LETTERS_AND_DIGITS "_"
                                                     : LETTERS_AND_DIGITS
                                  "_.-")];
}

static void write_head(struct buf *out, const struct balancer_plan *plan)
{
    buf_addf(out, "# margay balancer %s: users stick to their instance by %s\n",
             kinds[plan->kind].name,
             plan->sticky == STICKY_ROUTE
                 ? "the route in their session's cookie."
                 : "a cookie of the balancer's own.");
    buf_add_str(
        out,
        "#\n"
        "# Give every instance <Valve className=\"RemoteIpValve\"/> in its "
        "<Engine>:\n"
        "# without it applications, the access log and /metrics take the "
        "balancer for\n"
        "# the client. Its internalProxies are private networks and loopback "
        "unless\n"
        "# you say which.\n"
        "# While one drains (drain=\"seconds\"), <Valve\n"
        "# className=\"LoadBalancerDrainingValve\"");
    if (plan->sticky == STICKY_COOKIE)
        buf_add_str(out, " balancerCookieName=\"MARGAY\"");
    buf_add_str(out, "/> sends new users\n# back, to be sent to another.\n#\n");
}

void balancer_write(struct buf *out, const struct balancer_plan *plan)
{
    assert(plan->count > 0);
    write_head(out, plan);
    kinds[plan->kind].write(out, plan);
}

void balancer_warn(const char *path, const char *name, const char *other)
{
    if (strcmp(name, other) == 0)
        return;
    fprintf(stderr,
            "margay: warning: %s names its session cookie %s, the balancer "
            "looks at %s: its users do not stick\n",
            path[0] ? path : "/", name, other);
}
