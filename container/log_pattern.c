/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/access_log.h"

#include "container/connector.h"
#include "container/request.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ITEMS = 128, SHOWN_DIGITS = 8 };

/* Text, a code, or a code with a name. */
struct item {
    char code; /* 0: text */
    char *text;
};

struct log_pattern {
    struct item items[MAX_ITEMS];
    size_t count;
};

struct line {
    char *at, *end; /* a newline fits behind end */
    bool client;    /* what RemoteIpValve found out */
};

/* ---- writing ---- */

static void put(struct line *l, const char *bytes, size_t len)
{
    if (len > (size_t)(l->end - l->at))
        len = (size_t)(l->end - l->at);
    memcpy(l->at, bytes, len);
    l->at += len;
}

__attribute__((format(printf, 2, 3))) static void putf(struct line *l,
                                                       const char *format, ...)
{
    char text[64];
    va_list ap;
    va_start(ap, format);
    int len = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (len > 0)
        put(l, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

static void put_bytes(struct line *l, const char *text, size_t len)
{
    for (; len; text++, len--) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            putf(l, "\\x%02x", c);
        else
            put(l, text, 1);
    }
}

static void put_safe(struct line *l, const char *text)
{
    if (text && *text)
        put_bytes(l, text, strlen(text));
    else
        put(l, "-", 1);
}

/* The length of a session id's name with its =, where text begins with it. */
static size_t id_name(const struct http_request *r, const char *text)
{
    const struct context *site = request_site(r);
    const char *const names[] = {
        site ? site->session_parameter_name : "jsessionid",
        site ? site->session_cookie_name : "JSESSIONID",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = names[i] ? strlen(names[i]) : 0;
        if (len && !strncmp(text, names[i], len) && text[len] == '=')
            return len + 1;
    }
    return 0;
}

/* A URL or a header: who has a session's id is in that session. */
static void put_masked(struct line *l, const struct http_request *r,
                       const char *text)
{
    if (!text || !*text) {
        put(l, "-", 1);
        return;
    }
    for (bool begins = true; *text;) {
        size_t name = begins ? id_name(r, text) : 0;
        if (name) {
            size_t id = strcspn(text + name, ";/?#&, \"");
            put_bytes(l, text, name + (id < SHOWN_DIGITS ? id : SHOWN_DIGITS));
            text += name + id;
        } else {
            begins = *text == ';' || *text == ' ';
            put_bytes(l, text++, 1);
        }
    }
}

static void put_time(struct line *l, int64_t wall_ms)
{
    char text[48];
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (localtime_r(&t, &tm)) {
        size_t len = strftime(text, sizeof text, "[%d/%b/%Y:%H:%M:%S %z]", &tm);
        put(l, text, len);
    }
}

static void put_request_line(struct line *l, struct http_request *r)
{
    put_safe(l, r->method);
    put(l, " ", 1);
    put_masked(l, r, r->target);
    put(l, " ", 1);
    put_safe(l, r->protocol);
}

static void put_address(struct line *l, struct http_request *r)
{
    bool peer = !l->client && r->peer_addr;

    put_safe(l, peer ? r->peer_addr : http_request_remote_addr(r));
}

static void put_port(struct line *l, struct http_request *r)
{
    unsigned port = r->connector ? connector_port(r->connector) : 0;

    putf(l, "%u", l->client && r->server_port ? r->server_port : port);
}

static void put_host(struct line *l, struct http_request *r)
{
    const char *host =
        l->client && r->host ? r->host : http_request_header(r, "Host");
    size_t len = host ? strcspn(host, host[0] == '[' ? "]" : ":") : 0;
    if (host && host[0] == '[' && host[len])
        len++;
    put_safe(l, host ? request_text(r, host, len) : NULL);
}

static void put_session_id(struct line *l, struct http_request *r)
{
    if (http_session_is_current(r->session))
        put(l, http_session_id(r->session), SHOWN_DIGITS);
    else
        put(l, "-", 1);
}

static void put_attribute(struct line *l, struct http_request *r,
                          const char *name)
{
    struct http_session_value v = {0};
    if (http_session_is_current(r->session))
        v = http_session_get(r->session, name);
    if (v.type == HTTP_SESSION_STRING)
        put_safe(l, v.data);
    else if (v.type == HTTP_SESSION_INT || v.type == HTTP_SESSION_COUNTER)
        putf(l, "%" PRId64, v.number);
    else if (v.type == HTTP_SESSION_BOOL)
        put_safe(l, v.truth ? "true" : "false");
    else
        put(l, "-", 1);
}

static void put_length(struct line *l, struct http_request *r, char code)
{
    uint64_t len =
        strcmp(r->method, "HEAD") ? response_length(&r->response) : 0;
    if (!len && code == 'b')
        put(l, "-", 1);
    else
        putf(l, "%" PRIu64, len);
}

static void put_duration(struct line *l, struct http_request *r, char code)
{
    int64_t us = request_clock() - r->begun_us;
    if (code == 'D')
        putf(l, "%" PRId64, us);
    else
        putf(l, "%" PRId64 ".%03" PRId64, us / 1000000, us / 1000 % 1000);
}

static void put_cookie(struct line *l, struct http_request *r, const char *name)
{
    const struct context *site = request_site(r);
    const char *value = http_request_cookie(r, name);
    bool is_id = !strcmp(name, site ? site->session_cookie_name : "JSESSIONID");
    if (value && is_id && strlen(value) > SHOWN_DIGITS)
        value = request_text(r, value, SHOWN_DIGITS);
    put_safe(l, value);
}

/* ---- one function per item ---- */

static void put_named(struct line *l, struct http_request *r,
                      const struct item *i)
{
    if (i->code == 'i')
        put_masked(l, r, http_request_header(r, i->text));
    else if (i->code == 'o')
        put_masked(l, r, response_header(&r->response, i->text));
    else if (i->code == 'c')
        put_cookie(l, r, i->text);
    else
        put_attribute(l, r, i->text);
}

static void put_code(struct line *l, struct http_request *r, char code)
{
    switch (code) {
    case 'a':
    case 'h':
        put_address(l, r);
        break;
    case 'b':
    case 'B':
        put_length(l, r, code);
        break;
    case 'D':
    case 'T':
        put_duration(l, r, code);
        break;
    case 'H':
        put_safe(l, r->protocol);
        break;
    case 'm':
        put_safe(l, r->method);
        break;
    case 'p':
        put_port(l, r);
        break;
    case 'q':
        if (r->query) {
            put(l, "?", 1);
            put_safe(l, r->query);
        }
        break;
    case 'r':
        put_request_line(l, r);
        break;
    case 's':
        putf(l, "%d", r->response.status);
        break;
    case 'S':
        put_session_id(l, r);
        break;
    case 't':
        put_time(l, r->now.wall);
        break;
    case 'u':
        put_safe(l, http_session_is_current(r->session)
                        ? http_session_user(r->session)
                        : NULL);
        break;
    case 'U':
        put_masked(l, r, r->uri);
        break;
    case 'v':
        put_host(l, r);
        break;
    case '%':
        put(l, "%", 1);
        break;
    default: /* l, I */
        put(l, "-", 1);
    }
}

size_t log_pattern_line(const struct log_pattern *p, struct http_request *r,
                        bool client, char out[LOG_LINE_MAX])
{
    struct line l = {.at = out,
                     .end = out + LOG_LINE_MAX - 1,
                     .client = client && r->logs_client};
    for (size_t i = 0; i < p->count; i++) {
        const struct item *item = &p->items[i];
        if (!item->code)
            put(&l, item->text, strlen(item->text));
        else if (item->text)
            put_named(&l, r, item);
        else
            put_code(&l, r, item->code);
    }
    *l.at++ = '\n';
    return (size_t)(l.at - out);
}

/* ---- reading the pattern ---- */

static enum rc add_item(struct log_pattern *p, char code, const char *text,
                        size_t len, struct err *err)
{
    if (p->count == MAX_ITEMS)
        return err_set(err, RC_TOOBIG, "the pattern has more than %d parts",
                       MAX_ITEMS);
    p->items[p->count++] = (struct item){
        .code = code,
        .text = text ? mem_strndup(text, len) : NULL,
    };
    return RC_OK;
}

/* *at points behind the %. */
static enum rc add_code(struct log_pattern *p, const char **at, struct err *err)
{
    const char *text = *at, *name = NULL;
    size_t len = 0;
    if (*text == '{') {
        name = ++text;
        len = strcspn(text, "}");
        text += len + (text[len] == '}');
    }
    if (!*text || !strchr(name ? "iocs" : "aAbBDFhHIlmpqrsStTuUvX%", *text) ||
        (name && !len))
        return err_set(err, RC_INVALID,
                       "the pattern has an unknown code at \"%%%.20s\"", *at);
    *at = text + 1;
    return add_item(p, *text, name, len, err);
}

enum rc log_pattern_new(const char *text, struct log_pattern **out,
                        struct err *err)
{
    enum rc rc = RC_OK;
    if (!text || !strcmp(text, "common"))
        text = "%h %l %u %t \"%r\" %s %b";
    else if (!strcmp(text, "combined"))
        text = "%h %l %u %t \"%r\" %s %b \"%{Referer}i\" \"%{User-Agent}i\"";
    struct log_pattern *p = mem_zero(sizeof *p);
    while (*text && rc == RC_OK) {
        size_t plain = strcspn(text, "%");
        if (plain) {
            rc = add_item(p, 0, text, plain, err);
            text += plain;
        } else {
            text++;
            rc = add_code(p, &text, err);
        }
    }
    if (rc == RC_OK)
        *out = p;
    else
        log_pattern_free(&p);
    return rc;
}

void log_pattern_free(struct log_pattern **p)
{
    if (!*p)
        return;
    for (size_t i = 0; i < (*p)->count; i++)
        free((*p)->items[i].text);
    free(*p);
    *p = NULL;
}
