/* SPDX-License-Identifier: Apache-2.0
 *
 * RemoteIpValve: who stands behind the proxies, by what they say.
 * Source: Tomcat, java/org/apache/catalina/valves/RemoteIpValve.java. Addresses
 * are read from the right, as each proxy wrote down whom it saw; the first that
 * is no proxy of ours is the client. What stands left of it anybody may have
 * written. Ours: what is no address becomes "unknown", which has no rights
 * anywhere; a port behind an address is left out. */
#include "config.h"

#include "container/request.h"
#include "container/valve.h"
#include "session/buf.h"
#include "session/expression.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Longer lists are cut on the left. */
#define HOPS_MAX 64

struct remote_ip_options {
    char *address_header, *proxies_header, *internal, *trusted;
    char *protocol_header, *https_value, *host_header, *port_header;
    int64_t http_port, https_port;
    bool tells_log;
};

struct remote_ip {
    struct valve valve;
    struct expression internal, trusted;
};

/* Tomcat's, in POSIX's words: private networks, link-local, loopback. */
#define INTERNAL                                                               \
    "10\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}|"                                     \
    "192\\.168\\.\\d{1,3}\\.\\d{1,3}|"                                         \
    "169\\.254\\.\\d{1,3}\\.\\d{1,3}|"                                         \
    "127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}|"                                    \
    "100\\.(6[4-9]|[7-9]\\d|1[01]\\d|12[0-7])\\.\\d{1,3}\\.\\d{1,3}|"          \
    "172\\.(1[6-9]|2\\d|3[01])\\.\\d{1,3}\\.\\d{1,3}|"                         \
    "0:0:0:0:0:0:0:1|::1|"                                                     \
    "fe[89ab][0-9a-fA-F]:.*|f[cd][0-9a-fA-F]{2}:.*"

/* clang-format off */
#define AT(member) offsetof(struct remote_ip_options, member)
static const struct option remote_ip_options[] = {
    {"remoteIpHeader", OPTION_STRING, AT(address_header), "X-Forwarded-For",
     "header with the addresses, the client's first", 0, 0, NULL},
    {"internalProxies", OPTION_STRING, AT(internal), INTERNAL,
     "regular expression for the whole address of our own proxies", 0, 0,
     NULL},
    {"trustedProxies", OPTION_STRING, AT(trusted), NULL,
     "the same for others that are believed; proxiesHeader lists them", 0, 0,
     NULL},
    {"proxiesHeader", OPTION_STRING, AT(proxies_header), "X-Forwarded-By",
     "header for applications with the trusted proxies on the way", 0, 0,
     NULL},
    {"protocolHeader", OPTION_STRING, AT(protocol_header), "X-Forwarded-Proto",
     "header with what the client speaks", 0, 0, NULL},
    {"protocolHeaderHttpsValue", OPTION_STRING, AT(https_value), "https",
     "what means that it is encrypted", 0, 0, NULL},
    {"hostHeader", OPTION_STRING, AT(host_header), NULL,
     "header with the host that the client named: X-Forwarded-Host", 0, 0,
     NULL},
    {"portHeader", OPTION_STRING, AT(port_header), NULL,
     "header with the port that it reached: X-Forwarded-Port", 0, 0, NULL},
    {"httpServerPort", OPTION_INT, AT(http_port), "80",
     "that port, where only the protocol is told: http", 1, 65535, NULL},
    {"httpsServerPort", OPTION_INT, AT(https_port), "443",
     "the same for https", 1, 65535, NULL},
    {"requestAttributesEnabled", OPTION_BOOL, AT(tells_log), "true",
     "an AccessLogValve that asks for it shows the client, not the proxy", 0,
     0, NULL},
    {"changeLocalName", OPTION_IGNORED, 0, NULL,
     "nothing shows the local name", 0, 0, NULL},
    {"changeLocalPort", OPTION_IGNORED, 0, NULL,
     "nothing shows the local port", 0, 0, NULL},
    {NULL, OPTION_STRING, 0, NULL, NULL, 0, 0, NULL},
};
#undef AT
/* clang-format on */

/* ---- options ---- */

static enum rc compile(const struct remote_ip_options *o,
                       struct expression *internal, struct expression *trusted,
                       struct err *err)
{
    enum rc rc = RC_OK;

    if (o->internal)
        rc = expression_compile(internal, "internalProxies", o->internal, err);
    if (rc == RC_OK && o->trusted)
        rc = expression_compile(trusted, "trustedProxies", o->trusted, err);
    if (rc != RC_OK)
        expression_release(internal);
    return rc;
}

static enum rc check_name(const char *attribute, const char *name,
                          struct err *err)
{
    static const char token[] =
        "!#$%&'*+-.^_`|~0123456789"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    if (!name || !name[strspn(name, token)])
        return RC_OK;
    return err_set(err, RC_INVALID,
                   "%s=\"%.64s\" is no name of a header: use letters, digits "
                   "and -",
                   attribute, name);
}

static enum rc remote_ip_check(const void *options, struct err *err)
{
    const struct remote_ip_options *o = options;
    struct expression internal = {.compiled = false};
    struct expression trusted = {.compiled = false};
    const struct {
        const char *attribute, *name;
    } headers[] = {
        {"remoteIpHeader", o->address_header},
        {"proxiesHeader", o->proxies_header},
        {"protocolHeader", o->protocol_header},
        {"hostHeader", o->host_header},
        {"portHeader", o->port_header},
    };
    enum rc rc = compile(o, &internal, &trusted, err);

    if (rc == RC_OK) {
        expression_release(&internal);
        expression_release(&trusted);
    }
    for (size_t i = 0; rc == RC_OK && i < sizeof headers / sizeof headers[0];
         i++)
        rc = check_name(headers[i].attribute, headers[i].name, err);
    return rc;
}

static enum rc remote_ip_open(struct valve *v, struct err *err)
{
    struct remote_ip *f = (struct remote_ip *)v;

    return compile(v->options, &f->internal, &f->trusted, err);
}

static void remote_ip_close(struct valve *v)
{
    struct remote_ip *f = (struct remote_ip *)v;

    expression_release(&f->internal);
    expression_release(&f->trusted);
}

/* ---- headers ---- */

/* All lines of that name as one list, as HTTP has it; NULL: there is none. */
static char *whole_header(struct http_request *r, const char *name)
{
    const struct http_field *f = NULL;
    size_t len = 0;
    char *text, *at;

    while ((f = request_field(r, name, f)))
        len += f->value_len + 1;
    if (!len)
        return NULL;
    at = text = arena_alloc(&r->arena, len);
    while ((f = request_field(r, name, f))) {
        memcpy(at, f->value, f->value_len);
        at += f->value_len;
        *at++ = ',';
    }
    at[-1] = 0;
    return text;
}

/* For applications. NULL: the request has none any more. */
static void replace_header(struct http_request *r, const char *name,
                           const char *value)
{
    size_t len = strlen(name), kept = 0;

    for (size_t i = 0; i < r->field_count; i++)
        if (r->fields[i].name_len != len ||
            strncasecmp(r->fields[i].name, name, len) != 0)
            r->fields[kept++] = r->fields[i];
    r->field_count = kept;
    if (value)
        request_add_field(r, name, len, value, strlen(value));
}

static const char *next_item(char **at)
{
    char *item = *at, *end;

    if (!item)
        return NULL;
    end = item + strcspn(item, ",");
    *at = *end ? end + 1 : NULL;
    *end = 0;
    item += strspn(item, " \t");
    for (end = item + strlen(item);
         end > item && (end[-1] == ' ' || end[-1] == '\t');)
        *--end = 0;
    return item;
}

static bool is_address(const char *text)
{
    struct in6_addr a;

    return inet_pton(AF_INET, text, &a) == 1 ||
           inet_pton(AF_INET6, text, &a) == 1;
}

/* "1.2.3.4", "1.2.3.4:5", "::1", "[::1]", "[::1]:5"; "unknown". */
static const char *address_of(struct http_request *r, const char *item)
{
    bool bracket = item[0] == '[';
    size_t len = bracket ? strcspn(item + 1, "]") : strlen(item);
    const char *colon = strchr(item, ':');
    char *text;

    if (!bracket && colon && !strchr(colon + 1, ':'))
        len = (size_t)(colon - item);
    text = request_text(r, item + bracket, len);
    return is_address(text) ? text : "unknown";
}

/* ---- who it is ---- */

struct hops {
    const char *items[HOPS_MAX]; /* the latest HOPS_MAX, in turns */
    size_t count;
};

static void hops_read(struct hops *h, char *list)
{
    const char *item;

    h->count = 0;
    while ((item = next_item(&list)))
        if (*item)
            h->items[h->count++ % HOPS_MAX] = item;
}

static const char *join(struct http_request *r, const char *first,
                        const char *rest)
{
    struct buf text;

    if (!rest)
        return first;
    buf_init(&text, 65536);
    buf_addf(&text, "%s, %s", first, rest);
    first = request_text(r, buf_str(&text), text.len);
    buf_release(&text);
    return first;
}

static void take_client(const struct remote_ip *f, struct http_request *r,
                        bool internal)
{
    const struct remote_ip_options *o = f->valve.options;
    char *list = whole_header(r, o->address_header);
    const char *client = NULL, *left = NULL;
    const char *proxies = internal ? NULL : r->remote_addr;
    struct hops h;
    size_t i, first;

    if (!list)
        return;
    hops_read(&h, list);
    first = h.count > HOPS_MAX ? h.count - HOPS_MAX : 0;
    for (i = h.count; i > first;) {
        client = address_of(r, h.items[--i % HOPS_MAX]);
        if (expression_matches(&f->internal, client))
            continue;
        if (!expression_matches(&f->trusted, client))
            break;
        proxies = join(r, client, proxies);
    }
    while (i > first)
        left = join(r, h.items[--i % HOPS_MAX], left);
    if (!client)
        return;
    r->remote_addr = client;
    replace_header(r, o->proxies_header, proxies);
    replace_header(r, o->address_header, left);
}

/* Every hop was encrypted. */
static bool all_https(char *list, const char *https)
{
    const char *item;
    bool any = false;

    while ((item = next_item(&list))) {
        if (strcasecmp(item, https) != 0)
            return false;
        any = true;
    }
    return any;
}

static unsigned port_of(const char *text)
{
    char *end;
    unsigned long port = text ? strtoul(text, &end, 10) : 0;

    return port && port <= 65535 && !*end && text[0] >= '0' && text[0] <= '9'
               ? (unsigned)port
               : 0;
}

static void take_protocol(const struct remote_ip_options *o,
                          struct http_request *r)
{
    char *list = whole_header(r, o->protocol_header);
    unsigned port;

    if (!list)
        return;
    r->secure = all_https(list, o->https_value);
    r->scheme = r->secure ? "https" : "http";
    port = o->port_header ? port_of(http_request_header(r, o->port_header)) : 0;
    r->server_port =
        port ? port : (unsigned)(r->secure ? o->https_port : o->http_port);
}

static bool is_host(const char *text)
{
    static const char plain[] =
        "-._~0123456789[]:"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    return *text && strlen(text) < 256 && !text[strspn(text, plain)];
}

static void take_host(const struct remote_ip_options *o, struct http_request *r)
{
    const char *host =
        o->host_header ? http_request_header(r, o->host_header) : NULL;
    const char *colon, *bracket;

    if (!host || !is_host(host))
        return;
    colon = strrchr(host, ':');
    bracket = strrchr(host, ']');
    if (colon && bracket && colon < bracket)
        colon = NULL;
    if (colon && port_of(colon + 1))
        r->server_port = port_of(colon + 1);
    r->host =
        request_text(r, host, colon ? (size_t)(colon - host) : strlen(host));
}

/* An expression costs as much as a small request. */
static bool says_something(const struct remote_ip_options *o,
                           const struct http_request *r)
{
    return request_field(r, o->address_header, NULL) ||
           request_field(r, o->protocol_header, NULL) ||
           (o->host_header && request_field(r, o->host_header, NULL));
}

static enum valve_answer remote_ip_in(struct valve *v, struct http_request *r)
{
    const struct remote_ip *f = (const struct remote_ip *)v;
    const struct remote_ip_options *o = v->options;
    const char *peer = http_request_remote_addr(r);
    bool internal;

    if (!says_something(o, r))
        return VALVE_GO_ON;
    internal = expression_matches(&f->internal, peer);
    if (!internal && !expression_matches(&f->trusted, peer))
        return VALVE_GO_ON;
    r->peer_addr = peer;
    r->logs_client = o->tells_log;
    take_client(f, r, internal);
    take_protocol(o, r);
    take_host(o, r);
    return VALVE_GO_ON;
}

extern const struct valve_kind remote_ip_valve;
const struct valve_kind remote_ip_valve = {
    .name = "RemoteIpValve",
    .summary = "takes the client's address and protocol from proxies",
    .size = sizeof(struct remote_ip),
    .options_size = sizeof(struct remote_ip_options),
    .options = remote_ip_options,
    .check = remote_ip_check,
    .open = remote_ip_open,
    .close = remote_ip_close,
    .in = remote_ip_in,
};
