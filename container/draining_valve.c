/* SPDX-License-Identifier: Apache-2.0
 *
 * LoadBalancerDrainingValve: sends new users back to the balancer.
 * Source: Tomcat,
 * java/org/apache/catalina/valves/LoadBalancerDrainingValve.java. There the
 * balancer says by mod_jk's JK_LB_ACTIVATION that this server drains. Here it
 * drains from SIGTERM on, for the `drain` seconds of <Server>; a balancer that
 * knows better says so in a header. Who sends that header of his own will sends
 * only himself away, so everybody is believed. */
#include "config.h"

#include "container/request.h"
#include "container/valve.h"
#include "session/buf.h"

#include <string.h>
#include <strings.h>

struct draining_options {
    int64_t status;
    char *ignore_name, *ignore_value, *header, *balancer_name;
};

static const struct option draining_options[] = {
    {.name = "redirectStatusCode",
     .kind = OPTION_INT,
     .offset = offsetof(struct draining_options, status),
     .preset = "307",
     .help = "what sends them back: 301, 302, 303, 307 or 308",
     .min = 301,
     .max = 308},
    {.name = "ignoreCookieName",
     .kind = OPTION_STRING,
     .offset = offsetof(struct draining_options, ignore_name),
     .help = "who has this cookie with ignoreCookieValue stays here"},
    {.name = "ignoreCookieValue",
     .kind = OPTION_STRING,
     .offset = offsetof(struct draining_options, ignore_value),
     .help = "what stands in it, exactly"},
    {.name = "activationHeader",
     .kind = OPTION_STRING,
     .offset = offsetof(struct draining_options, header),
     .preset = "X-LB-Activation",
     .help = "DIS in this header of the balancer: this server drains"},
    {.name = "balancerCookieName",
     .kind = OPTION_STRING,
     .offset = offsetof(struct draining_options, balancer_name),
     .help = "a cookie of the balancer's own, which would send them back here: "
             "it is deleted"},
    {.name = NULL},
};

static struct cookie_config balancer_cookie(const struct draining_options *o)
{
    struct cookie_config cookie;

    cookie_config_init(&cookie);
    cookie.name = o->balancer_name;
    cookie.path = "/";
    return cookie;
}

static enum rc draining_check(const void *options, struct err *err)
{
    const struct draining_options *o = options;

    if (o->status >= 304 && o->status <= 306)
        return err_set(err, RC_INVALID,
                       "redirectStatusCode=\"%d\" sends nobody anywhere: use "
                       "307, or 301, 302, 303 or 308",
                       (int)o->status);
    if (!o->ignore_name != !o->ignore_value)
        return err_set(
            err, RC_INVALID, "%s without %s exempts nobody: set both, or none",
            o->ignore_name ? "ignoreCookieName" : "ignoreCookieValue",
            o->ignore_name ? "ignoreCookieValue" : "ignoreCookieName");
    if (o->balancer_name) {
        const struct cookie_config cookie = balancer_cookie(o);
        if (cookie_check(&cookie, NULL) != RC_OK)
            return err_set(err, RC_INVALID,
                           "balancerCookieName=\"%.64s\" is no name of a "
                           "cookie",
                           o->balancer_name);
    }
    return RC_OK;
}

static enum rc draining_open(struct valve *v, struct err *err)
{
    return draining_check(v->options, err);
}

static bool drains(const struct draining_options *o,
                   const struct http_request *r)
{
    const char *said = http_request_header(r, o->header);

    return (said && !strcasecmp(said, "DIS")) ||
           (r->instance &&
            atomic_load_explicit(&r->instance->state, memory_order_relaxed) ==
                INSTANCE_DRAINING);
}

static bool is_exempt(const struct draining_options *o,
                      const struct http_request *r)
{
    const char *value =
        o->ignore_name ? http_request_cookie(r, o->ignore_name) : NULL;

    return value && !strcmp(value, o->ignore_value);
}

/* The same place without an id. One slash at most begins it: two would name a
 * host. */
static const char *same_place(struct http_request *r, const char *parameter)
{
    size_t name = strlen(parameter);
    const char *at = r->uri;
    struct buf to;

    buf_init(&to, RESPONSE_MAX_HEADER);
    while (*at) {
        bool id = at[0] == ';' && !strncmp(at + 1, parameter, name) &&
                  at[1 + name] == '=';
        size_t len = 1 + strcspn(at + 1, ";/");
        if (!id && to.len == 1 && at[0] == '/') /* also behind an id */
            buf_add(&to, at + 1, len - 1);
        else if (!id)
            buf_add(&to, at, len);
        at += len;
    }
    if (r->query)
        buf_addf(&to, "?%s", r->query);
    at = to.full ? NULL : request_text(r, buf_str(&to), to.len);
    buf_release(&to);
    return at;
}

static void delete_cookie(struct http_request *r, struct cookie_config config)
{
    struct buf out;
    struct err err;

    config.secure = config.secure || http_request_is_secure(r);
    config.max_age = 0;
    buf_init(&out, RESPONSE_MAX_HEADER);
    if (cookie_write(&out, &config, "", 0, r->now.wall, &err) == RC_OK)
        response_put_header(&r->response, "Set-Cookie",
                            request_text(r, buf_str(&out), out.len));
    buf_release(&out);
}

/* Because of which the balancer would send him here again. Its own may have
 * been hidden from us. */
static void delete_cookies(const struct draining_options *o,
                           struct http_request *r, const struct context *site)
{
    if (site->cookies && http_request_cookie(r, site->session_cookie_name))
        delete_cookie(r, site->session_cookie);
    if (o->balancer_name)
        delete_cookie(r, balancer_cookie(o));
}

static enum valve_answer draining_absent(struct valve *v,
                                         struct http_request *r)
{
    const struct draining_options *o = v->options;
    const struct context *site = request_site(r);
    const char *to;

    if (!drains(o, r) || is_exempt(o, r))
        return VALVE_GO_ON;
    to = same_place(r, site->session_parameter_name);
    if (!to || http_response_send_redirect(&r->response, to, (int)o->status) !=
                   HTTP_OK)
        return VALVE_GO_ON;
    response_put_header(&r->response, "Cache-Control", "no-store");
    delete_cookies(o, r, site);
    return VALVE_STOP;
}

extern const struct valve_kind draining_valve;
const struct valve_kind draining_valve = {
    .name = "LoadBalancerDrainingValve",
    .summary = "sends who has no session here elsewhere while this drains",
    .size = sizeof(struct valve),
    .options_size = sizeof(struct draining_options),
    .options = draining_options,
    .check = draining_check,
    .open = draining_open,
    .absent = draining_absent,
};
