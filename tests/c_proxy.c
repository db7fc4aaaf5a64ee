/* SPDX-License-Identifier: Apache-2.0
 *
 * c_proxy.c: what stands behind a balancer: RemoteIpValve,
 * LoadBalancerDrainingValve, and when a cookie's route is written anew. */
#include "config.h"

#include "container/access_log.h"
#include "container/request.h"
#include "container/route.h"
#include "container/valve.h"
#include "tests/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct connector_options limits;
static struct instance instance;
static struct context site;
static struct http_request *request;

static void add_field(const char *name, const char *value)
{
    request_add_field(request, name, strlen(name), value, strlen(value));
}

static void begin(const char *target, const char *peer)
{
    request_reset(request);
    request_begin(request, "GET", target, "HTTP/1.1");
    request->remote_addr = peer;
    request->now = instant_read();
    request->mapping.context = &site;
    response_clear(&request->response);
    request->response.committed = false;
    add_field("Host", "inside:8081");
}

static void before(void)
{
    option_defaults(connector_option_table, &limits);
    memset(&instance, 0, sizeof instance);
    memset(&site, 0, sizeof site);
    site.cookies = site.url_tracking = true;
    site.session_cookie_name = "JSESSIONID";
    site.session_parameter_name = "jsessionid";
    cookie_config_init(&site.session_cookie);
    site.session_cookie.path = "/app";
    atomic_store(&instance.state, INSTANCE_READY);
    request = request_new(&instance, NULL, &limits);
    begin("/app/x?q=1", "127.0.0.1");
}

static void after(void)
{
    request_unref(request);
    option_release(connector_option_table, &limits);
}

/* ---- a valve with attributes NAME, VALUE, ..., NULL ---- */

struct held {
    const struct valve_kind *kind;
    void *options;
    struct valve *valve;
};

static struct held hold(const char *class_name, ...)
{
    struct held h = {.kind = valve_kind_find(class_name)};
    struct valve_env env = {0};
    struct err err = {""};
    const char *name;
    va_list ap;

    CU_ASSERT_PTR_NOT_NULL_FATAL(h.kind);
    h.options = calloc(1, h.kind->options_size);
    option_defaults(h.kind->options, h.options);
    va_start(ap, class_name);
    while ((name = va_arg(ap, const char *)))
        CHECK_INT(option_set(h.kind->options, h.options, name,
                             va_arg(ap, const char *), &err),
                  RC_OK);
    va_end(ap);
    CHECK_INT_FATAL(valve_new(h.kind, h.options, &env, &h.valve, &err), RC_OK);
    return h;
}

static void drop(struct held *h)
{
    valve_free(&h->valve);
    option_release(h->kind->options, h->options);
    free(h->options);
}

static void refused(const char *class_name, const char *name, const char *value,
                    const char *part)
{
    const struct valve_kind *kind = valve_kind_find(class_name);
    void *options = calloc(1, kind->options_size);
    struct err err = {""};
    enum rc rc;

    option_defaults(kind->options, options);
    rc = option_set(kind->options, options, name, value, &err);
    if (rc == RC_OK)
        rc = kind->check(options, &err);
    CHECK_INT(rc, RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, part));
    if (!strstr(err.text, part))
        printf("said: %s\n", err.text);
    option_release(kind->options, options);
    free(options);
}

/* ---- RemoteIpValve ---- */

static void pass(struct held *h)
{
    CHECK_INT(h->kind->in(h->valve, request), VALVE_GO_ON);
}

static void check_client(struct held *h, const char *peer, const char *list,
                         const char *client, const char *left,
                         const char *proxies)
{
    begin("/app/x", peer);
    if (list)
        add_field("x-forwarded-for", list);
    pass(h);
    CHECK_STR(http_request_remote_addr(request), client);
    CHECK_STR(http_request_header(request, "X-Forwarded-For"), left);
    CHECK_STR(http_request_header(request, "X-Forwarded-By"), proxies);
}

static void addresses_are_read_from_the_right(void)
{
    struct held h = hold("org.apache.catalina.valves.RemoteIpValve",
                         "trustedProxies", "proxy\\d|9\\.9\\.9\\.\\d", NULL);

    check_client(&h, "127.0.0.1", "1.2.3.4", "1.2.3.4", NULL, NULL);
    check_client(&h, "::1", "2001:db8::1", "2001:db8::1", NULL, NULL);
    /* what the client itself wrote stands left */
    check_client(&h, "10.0.0.1", "127.0.0.1, 1.2.3.4 ,192.168.0.9", "1.2.3.4",
                 "127.0.0.1", NULL);
    check_client(&h, "10.0.0.1", "8.8.8.8,7.7.7.7, 1.2.3.4", "1.2.3.4",
                 "8.8.8.8, 7.7.7.7", NULL);
    /* all of them ours: the first one */
    check_client(&h, "10.0.0.1", "172.16.0.1, 172.31.9.9", "172.16.0.1", NULL,
                 NULL);
    /* trusted, but not ours: named */
    check_client(&h, "127.0.0.1", "1.2.3.4, 9.9.9.1, 10.0.0.1", "1.2.3.4", NULL,
                 "9.9.9.1");
    check_client(&h, "9.9.9.2", "1.2.3.4, 9.9.9.1", "1.2.3.4", NULL,
                 "9.9.9.1, 9.9.9.2");
    drop(&h);
}

static void a_stranger_is_not_believed(void)
{
    struct held h = hold("RemoteIpValve", NULL);
    static const char *const strangers[] = {
        "8.8.8.8", "172.32.0.1", "100.128.0.1", "11.0.0.1", "127.0.0.1.1", "",
    };

    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        check_client(&h, strangers[i], "1.2.3.4", strangers[i], "1.2.3.4",
                     NULL);
        add_field("X-Forwarded-Proto", "https");
        pass(&h);
        CU_ASSERT_FALSE(http_request_is_secure(request));
        CHECK_STR(http_request_scheme(request), "http");
    }
    drop(&h);
}

/* Not the proxy's address either, which may have rights. */
static void what_is_no_address_has_no_rights(void)
{
    struct held h = hold("RemoteIpValve", NULL);

    check_client(&h, "127.0.0.1", "<script>", "unknown", NULL, NULL);
    check_client(&h, "127.0.0.1", "unknown, 10.0.0.3", "unknown", NULL, NULL);
    check_client(&h, "127.0.0.1", "127.0.0.1evil", "unknown", NULL, NULL);
    check_client(&h, "127.0.0.1", "1.2.3.4:5678", "1.2.3.4", NULL, NULL);
    check_client(&h, "127.0.0.1", "[2001:db8::1]:80", "2001:db8::1", NULL,
                 NULL);
    check_client(&h, "127.0.0.1", "[2001:db8::1", "2001:db8::1", NULL, NULL);
    check_client(&h, "127.0.0.1", ", ,", "127.0.0.1", ", ,", NULL);
    check_client(&h, "127.0.0.1", "", "127.0.0.1", "", NULL);
    check_client(&h, "127.0.0.1", NULL, "127.0.0.1", NULL, NULL);
    drop(&h);
}

/* Two lines are one list, however long. */
static void lines_are_one_list(void)
{
    struct held h = hold("RemoteIpValve", NULL);
    char list[200 * 9 + 1];

    begin("/app/x", "127.0.0.1");
    add_field("X-Forwarded-For", "1.2.3.4, 5.6.7.8");
    add_field("X-Forwarded-For", "10.0.0.1");
    pass(&h);
    CHECK_STR(http_request_remote_addr(request), "5.6.7.8");
    CHECK_STR(http_request_header(request, "X-Forwarded-For"), "1.2.3.4");
    for (unsigned i = 0; i < 200; i++)
        memcpy(list + (size_t)i * 9, "10.0.0.1,", 10);
    check_client(&h, "127.0.0.1", list, "10.0.0.1", NULL, NULL);
    drop(&h);
}

static void check_protocol(struct held *h, const char *said, bool secure,
                           unsigned port)
{
    begin("/app/x", "127.0.0.1");
    add_field("X-Forwarded-Proto", said);
    pass(h);
    CHECK_INT(http_request_is_secure(request), secure);
    CHECK_STR(http_request_scheme(request), secure ? "https" : "http");
    CHECK_INT(request->server_port, port);
}

static void the_protocol_decides_what_is_secure(void)
{
    struct held h = hold("RemoteIpValve", NULL);

    check_protocol(&h, "https", true, 443);
    check_protocol(&h, "HTTPS, https", true, 443);
    check_protocol(&h, "https, http", false, 80);
    check_protocol(&h, "http", false, 80);
    check_protocol(&h, "", false, 80);
    drop(&h);
    h = hold("RemoteIpValve", "protocolHeaderHttpsValue", "on",
             "protocolHeader", "X-Forwarded-Proto", "httpsServerPort", "8443",
             "httpServerPort", "8080", NULL);
    check_protocol(&h, "on", true, 8443);
    check_protocol(&h, "https", false, 8080);
    /* a connector that is said to be secure: the proxy knows better */
    limits.secure = true;
    check_protocol(&h, "off", false, 8080);
    begin("/app/x", "127.0.0.1");
    pass(&h);
    CU_ASSERT(http_request_is_secure(request));
    drop(&h);
}

static void host_and_port_where_asked_for(void)
{
    struct held h = hold("RemoteIpValve", "hostHeader", "X-Forwarded-Host",
                         "portHeader", "X-Forwarded-Port", NULL);

    begin("/app/x", "127.0.0.1");
    add_field("X-Forwarded-Proto", "https");
    add_field("X-Forwarded-Port", "9443");
    add_field("X-Forwarded-Host", "shop.example");
    pass(&h);
    CHECK_STR(request->host, "shop.example");
    CHECK_INT(request->server_port, 9443);
    begin("/app/x", "127.0.0.1");
    add_field("X-Forwarded-Host", "[::1]:77");
    pass(&h);
    CHECK_STR(request->host, "[::1]");
    CHECK_INT(request->server_port, 77);
    begin("/app/x", "127.0.0.1");
    add_field("X-Forwarded-Proto", "https");
    add_field("X-Forwarded-Port", "443x");
    add_field("X-Forwarded-Host", "evil\"/><b>");
    pass(&h);
    CU_ASSERT_PTR_NULL(request->host);
    CHECK_INT(request->server_port, 443);
    drop(&h);
    h = hold("RemoteIpValve", NULL);
    begin("/app/x", "127.0.0.1");
    add_field("X-Forwarded-Host", "shop.example");
    pass(&h);
    CU_ASSERT_PTR_NULL(request->host);
    drop(&h);
}

static void check_line(bool client, const char *expected)
{
    struct log_pattern *p = NULL;
    char line[LOG_LINE_MAX];
    size_t len;

    CHECK_INT_FATAL(log_pattern_new("%a %h %v %p", &p, NULL), RC_OK);
    len = log_pattern_line(p, request, client, line);
    line[len - 1] = 0;
    CHECK_STR(line, expected);
    log_pattern_free(&p);
}

static void both_valves_decide_what_the_log_shows(void)
{
    struct held h =
        hold("RemoteIpValve", "hostHeader", "X-Forwarded-Host", NULL);

    for (int tells = 1; tells >= 0; tells--) {
        begin("/app/x", "127.0.0.1");
        add_field("X-Forwarded-For", "1.2.3.4");
        add_field("X-Forwarded-Proto", "https");
        add_field("X-Forwarded-Host", "shop.example");
        pass(&h);
        request_keep(request);
        check_line(false, "127.0.0.1 127.0.0.1 inside 0");
        check_line(true, tells ? "1.2.3.4 1.2.3.4 shop.example 443"
                               : "127.0.0.1 127.0.0.1 inside 0");
        drop(&h);
        h = hold("RemoteIpValve", "hostHeader", "X-Forwarded-Host",
                 "requestAttributesEnabled", "false", NULL);
    }
    drop(&h);
}

static void bad_attributes_are_refused(void)
{
    refused("RemoteIpValve", "internalProxies", "10.(", "internalProxies=");
    refused("RemoteIpValve", "trustedProxies", "\\w+", "trustedProxies=");
    refused("RemoteIpValve", "remoteIpHeader", "X Forwarded", "remoteIpHeader");
    refused("RemoteIpValve", "hostHeader", "a:b", "hostHeader");
    refused("RemoteIpValve", "httpsServerPort", "0", "httpsServerPort");
    refused("RemoteIpValve", "requestAttributesEnabled", "maybe",
            "requestAttributesEnabled");
    refused("LoadBalancerDrainingValve", "redirectStatusCode", "304", "304");
    refused("LoadBalancerDrainingValve", "redirectStatusCode", "200",
            "redirectStatusCode");
    refused("LoadBalancerDrainingValve", "ignoreCookieName", "a",
            "ignoreCookieValue");
    refused("LoadBalancerDrainingValve", "ignoreCookieValue", "a",
            "ignoreCookieName");
    refused("LoadBalancerDrainingValve", "balancerCookieName", "a b", "a b");
}

/* ---- LoadBalancerDrainingValve ---- */

static void check_sent(struct held *h, const char *location)
{
    CHECK_INT(h->kind->absent(h->valve, request),
              location ? VALVE_STOP : VALVE_GO_ON);
    CHECK_INT(request->response.status, location ? 307 : 200);
    CHECK_STR(response_header(&request->response, "Location"), location);
}

static void who_has_no_session_is_sent_away(void)
{
    struct held h =
        hold("org.apache.catalina.valves.LoadBalancerDrainingValve", NULL);

    check_sent(&h, NULL);
    atomic_store(&instance.state, INSTANCE_DRAINING);
    begin("/app/x?q=1", "127.0.0.1");
    check_sent(&h, "/app/x?q=1");
    CU_ASSERT_PTR_NULL(response_header(&request->response, "Set-Cookie"));
    begin("//evil.example/x;jsessionid=00/y;a=b", "127.0.0.1");
    check_sent(&h, "/evil.example/x/y;a=b");
    begin("/;jsessionid=x/evil.example/../login/", "127.0.0.1");
    check_sent(&h, "/evil.example/../login/");
    begin("/app/x;jsessionid=00112233445566778899AABBCCDDEEFF.node1?a=b",
          "127.0.0.1");
    check_sent(&h, "/app/x?a=b");
    begin("/app/x", "127.0.0.1");
    add_field("Cookie", "a=b; JSESSIONID=00112233445566778899AABBCCDDEEFF.n");
    check_sent(&h, "/app/x");
    const char *cookie = response_header(&request->response, "Set-Cookie");
    CU_ASSERT_PTR_NOT_NULL_FATAL(cookie);
    CHECK_STR(cookie, "JSESSIONID=; Expires=Thu, 01 Jan 1970 00:00:10 GMT; "
                      "Path=/app; HttpOnly");
    drop(&h);
}

static void the_balancer_may_say_that_it_drains(void)
{
    struct held h = hold("LoadBalancerDrainingValve", NULL);

    begin("/app/x", "127.0.0.1");
    add_field("X-LB-Activation", "ACT");
    check_sent(&h, NULL);
    begin("/app/x", "127.0.0.1");
    add_field("x-lb-activation", "DIS");
    request->scheme = "https";
    request->secure = true;
    add_field("Cookie", "JSESSIONID=x");
    check_sent(&h, "/app/x");
    const char *cookie = response_header(&request->response, "Set-Cookie");
    CU_ASSERT(cookie && strstr(cookie, "; Secure"));
    drop(&h);
    h = hold("LoadBalancerDrainingValve", "balancerCookieName", "MARGAY", NULL);
    begin("/app/x", "127.0.0.1");
    add_field("x-lb-activation", "DIS");
    check_sent(&h, "/app/x");
    cookie = response_header(&request->response, "Set-Cookie");
    CHECK_STR(cookie, "MARGAY=; Expires=Thu, 01 Jan 1970 00:00:10 GMT; Path=/; "
                      "HttpOnly");
    drop(&h);
    h = hold("LoadBalancerDrainingValve", "ignoreCookieName", "stay",
             "ignoreCookieValue", "yes", "activationHeader", "X-State", NULL);
    begin("/app/x", "127.0.0.1");
    add_field("X-LB-Activation", "DIS");
    check_sent(&h, NULL);
    begin("/app/x", "127.0.0.1");
    add_field("X-State", "dis");
    add_field("Cookie", "stay=yes");
    check_sent(&h, NULL);
    begin("/app/x", "127.0.0.1");
    add_field("X-State", "dis");
    add_field("Cookie", "stay=no");
    check_sent(&h, "/app/x");
    drop(&h);
}

/* ---- the route in the cookie ---- */

static void three_in_a_row(void)
{
    struct routes *routes = routes_new();
    uint8_t a[ID_SIZE] = {1, 2, 3}, b[ID_SIZE] = {2, 2, 3};
    struct record_others seen = {5, 7};

    CU_ASSERT_FALSE(routes_count(routes, a, 50, 100, &seen));
    CU_ASSERT_FALSE(routes_count(routes, b, 50, 100, &seen));
    CU_ASSERT_FALSE(routes_count(routes, a, 100, 110, &seen));
    CU_ASSERT(routes_count(routes, a, 111, 120, &seen));
    CU_ASSERT(routes_count(routes, a, 120, 130, &seen));
    /* used elsewhere in between */
    CU_ASSERT_FALSE(routes_count(routes, a, 145, 150, &seen));
    CU_ASSERT_FALSE(routes_count(routes, a, 153, 160, &seen));
    CU_ASSERT_FALSE(routes_count(routes, a, 160, 170, &seen));
    CU_ASSERT(routes_count(routes, a, 170, 180, &seen));
    /* of two parallel requests the later one may be first */
    CU_ASSERT(routes_count(routes, a, 179, 179, &seen));
    CU_ASSERT(routes_count(routes, a, 180, 190, &seen));
    /* changed elsewhere, in the same ms; what was taken back is no change */
    seen.newest = 6;
    CU_ASSERT_FALSE(routes_count(routes, a, 190, 191, &seen));
    seen.newest = 4;
    CU_ASSERT_FALSE(routes_count(routes, a, 191, 192, &seen));
    CU_ASSERT(routes_count(routes, a, 192, 193, &seen));
    seen.added = 8;
    CU_ASSERT_FALSE(routes_count(routes, a, 193, 194, &seen));
    seen.added = 0;
    CU_ASSERT_FALSE(routes_count(routes, a, 194, 195, &seen));
    CU_ASSERT(routes_count(routes, a, 195, 196, &seen));
    /* another session in its place */
    a[2] = 9;
    CU_ASSERT_FALSE(routes_count(routes, a, 155, 190, &seen));
    CU_ASSERT_FALSE(routes_count(routes, b, 100, 200, &seen));
    CU_ASSERT(routes_count(routes, b, 200, 210, &seen));
    routes_free(&routes);
    CU_ASSERT_PTR_NULL(routes);
}

UNIT_MAIN_AROUND(
    "proxy", before, after, CASE(addresses_are_read_from_the_right),
    CASE(a_stranger_is_not_believed), CASE(what_is_no_address_has_no_rights),
    CASE(lines_are_one_list), CASE(the_protocol_decides_what_is_secure),
    CASE(host_and_port_where_asked_for),
    CASE(both_valves_decide_what_the_log_shows),
    CASE(bad_attributes_are_refused), CASE(who_has_no_session_is_sent_away),
    CASE(the_balancer_may_say_that_it_drains), CASE(three_in_a_row))
