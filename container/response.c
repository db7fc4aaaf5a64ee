/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/response.h"

#include "container/format.h"
#include "container/path.h"
#include "container/request.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A body's memory above this is not kept for the next request. */
enum { KEEP_BODY = 16384 };

void response_init(struct http_response *w)
{
    *w = (struct http_response){.status = 200, .fd = -1};
    buf_init(&w->body, RESPONSE_MAX_BODY);
}

static void clear_body(struct http_response *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    w->content_type = NULL;
    w->error = false;
    buf_reset(&w->body);
}

void response_clear(struct http_response *w)
{
    clear_body(w);
    w->status = 200;
    w->headers = w->last = NULL;
    w->header_bytes = 0;
}

void response_release(struct http_response *w)
{
    response_clear(w);
    w->committed = w->keep_on_end = w->close = false;
    if (w->body.cap > KEEP_BODY)
        buf_release(&w->body);
}

/* ---- headers ---- */

static const uint8_t token_byte[256] = {
    ['!'] = 1,         ['#' ... '\''] = 1, ['*'] = 1,         ['+'] = 1,
    ['-'] = 1,         ['.'] = 1,          ['0' ... '9'] = 1, ['A' ... 'Z'] = 1,
    ['^' ... 'z'] = 1, ['|'] = 1,          ['~'] = 1,
};

static bool is_token(const char *text)
{
    const char *at = text;
    while (token_byte[(uint8_t)*at])
        at++;
    return at > text && !*at;
}

/* Controls but the tab, and DEL. */
static const bool bad_byte[256] = {
    [0x00 ... 0x08] = true,
    [0x0a ... 0x1f] = true,
    [0x7f] = true,
};

static bool is_field_value(const char *text)
{
    while (!bad_byte[(uint8_t)*text])
        text++;
    return !*text;
}

/* These would change how the message ends. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {
        "Connection", "Content-Length",    "Date",    "Keep-Alive",
        "Trailer",    "Transfer-Encoding", "Upgrade",
    };
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if ((name[0] | 0x20) == (ours[i][0] | 0x20) &&
            !strcasecmp(name, ours[i]))
            return true;
    return false;
}

static enum http_result header_check(const struct http_response *w,
                                     const char *name, const char *value)
{
    if (!name || !value || !is_token(name) || !is_field_value(value) ||
        is_ours(name))
        return HTTP_INVALID;
    if (w->committed)
        return HTTP_ILLEGAL;
    size_t bytes = w->header_bytes + strlen(name) + strlen(value) + 4;
    return bytes > RESPONSE_MAX_HEADER ? HTTP_TOO_BIG : HTTP_OK;
}

void response_put_header(struct http_response *w, const char *name,
                         const char *value)
{
    struct response_header *h = arena_alloc(&request_of(w)->arena, sizeof *h);
    *h = (struct response_header){.name = name, .value = value};
    *(w->last ? &w->last->next : &w->headers) = h;
    w->last = h;
    w->header_bytes += strlen(name) + strlen(value) + 4;
}

static void header_append(struct http_response *w, const char *name,
                          const char *value)
{
    struct http_request *r = request_of(w);
    response_put_header(w, request_text(r, name, strlen(name)),
                        request_text(r, value, strlen(value)));
}

static bool is_content_type(const char *name)
{
    return strlen(name) == 12 && !strcasecmp(name, "Content-Type");
}

static void header_remove(struct http_response *w, const char *name)
{
    struct response_header **at = &w->headers;
    w->last = NULL;
    while (*at) {
        if (!strcasecmp((*at)->name, name)) {
            w->header_bytes -= strlen((*at)->name) + strlen((*at)->value) + 4;
            *at = (*at)->next;
        } else {
            w->last = *at;
            at = &(*at)->next;
        }
    }
}

const char *response_header(const struct http_response *w, const char *name)
{
    if (is_content_type(name))
        return w->content_type;
    for (const struct response_header *h = w->headers; h; h = h->next)
        if (!strcasecmp(h->name, name))
            return h->value;
    return NULL;
}

static enum http_result header_put(struct http_response *w, const char *name,
                                   const char *value, bool replace)
{
    enum http_result result = header_check(w, name, value);
    if (result != HTTP_OK)
        return result;
    if (is_content_type(name))
        return http_response_set_content_type(w, value);
    if (replace)
        header_remove(w, name);
    if (*value)
        header_append(w, name, value);
    return HTTP_OK;
}

enum http_result http_response_set_header(struct http_response *response,
                                          const char *name, const char *value)
{
    return header_put(response, name, value, true);
}

enum http_result http_response_add_header(struct http_response *response,
                                          const char *name, const char *value)
{
    return header_put(response, name, value, false);
}

enum http_result http_response_set_content_type(struct http_response *response,
                                                const char *type)
{
    size_t len = type ? strlen(type) : 0;
    if (!len || !is_field_value(type))
        return HTTP_INVALID;
    if (response->committed)
        return HTTP_ILLEGAL;
    if (len > RESPONSE_MAX_HEADER / 4)
        return HTTP_TOO_BIG;
    response->content_type = request_text(request_of(response), type, len);
    return HTTP_OK;
}

/* ---- status and body ---- */

enum http_result http_response_set_status(struct http_response *response,
                                          int status)
{
    if (status < 200 || status > 599)
        return HTTP_INVALID;
    if (response->committed)
        return HTTP_ILLEGAL;
    response->status = status;
    return HTTP_OK;
}

enum http_result http_response_write(struct http_response *response,
                                     const void *bytes, size_t len)
{
    if (len && !bytes)
        return HTTP_INVALID;
    if (response->committed || response->fd >= 0)
        return HTTP_ILLEGAL;
    return buf_add(&response->body, bytes, len) ? HTTP_OK : HTTP_TOO_BIG;
}

enum http_result http_response_print(struct http_response *response,
                                     const char *text)
{
    return http_response_write(response, text, text ? strlen(text) : 1);
}

enum http_result http_response_printf(struct http_response *response,
                                      const char *format, ...)
{
    if (!format)
        return HTTP_INVALID;
    if (response->committed || response->fd >= 0)
        return HTTP_ILLEGAL;
    va_list ap;
    va_start(ap, format);
    bool ok = format_add(&response->body, format, ap);
    va_end(ap);
    return ok ? HTTP_OK : HTTP_TOO_BIG;
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static bool add_html(struct buf *b, const char *text)
{
    while (*text) {
        size_t plain = strcspn(text, "&<>\"'");
        buf_add(b, text, plain);
        text += plain;
        if (*text)
            buf_add_str(b, entity(*text++));
    }
    return !b->full;
}

enum http_result http_response_print_html(struct http_response *response,
                                          const char *text)
{
    if (!text)
        return HTTP_INVALID;
    if (response->committed || response->fd >= 0)
        return HTTP_ILLEGAL;
    return add_html(&response->body, text) ? HTTP_OK : HTTP_TOO_BIG;
}

void http_response_keep_on_end(struct http_response *response)
{
    response->keep_on_end = true;
}

void response_file(struct http_response *w, int fd, uint64_t size,
                   const char *type)
{
    buf_reset(&w->body);
    w->fd = fd;
    w->file_size = size;
    w->content_type = type;
}

uint64_t response_length(const struct http_response *w)
{
    if (w->status == 304)
        return 0;
    return w->fd >= 0 ? w->file_size : w->body.len;
}

/* ---- pages of the server ---- */

const char *response_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return status < 400 ? "Other" : "Error";
}

static void page_html(struct buf *b, int status, const char *text)
{
    buf_addf(b,
             "<!doctype html>\n<html lang=\"en\"><head>"
             "<meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width\">"
             "<title>%d %s</title>"
             "<style>body{font-family:sans-serif;max-width:40em;"
             "margin:4em auto;padding:0 1em;color:#222}</style></head>\n"
             "<body><h1>%d %s</h1>\n<p>",
             status, response_reason(status), status, response_reason(status));
    add_html(b, text);
    buf_add_str(b, "</p></body></html>\n");
}

static void page(struct http_response *w, int status, const char *text)
{
    bool html = http_request_wants_html(request_of(w));
    if (!text)
        text = response_reason(status);
    w->status = status;
    w->error = true;
    w->content_type =
        html ? "text/html;charset=UTF-8" : "text/plain;charset=UTF-8";
    if (html) {
        page_html(&w->body, status, text);
    } else {
        buf_add_str(&w->body, text);
        buf_add_char(&w->body, '\n');
    }
}

void response_page(struct http_response *w, int status, const char *text)
{
    response_clear(w);
    page(w, status, text);
}

enum http_result http_response_send_error(struct http_response *response,
                                          int status, const char *text)
{
    if (status < 400 || status > 599)
        return HTTP_INVALID;
    if (response->committed)
        return HTTP_ILLEGAL;
    clear_body(response);
    page(response, status, text);
    return HTTP_OK;
}

/* ---- links and redirects ---- */

/* As sent: what is not printable ASCII becomes %XX. NULL: not a header value
 * at all, or too long. */
static const char *location_text(struct http_request *r, const char *location)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = strlen(location);
    if (!is_field_value(location) || len > RESPONSE_MAX_HEADER / 3)
        return NULL;
    char *out = arena_alloc(&r->arena, 3 * len + 1), *at = out;
    for (const char *in = location; *in; in++) {
        uint8_t byte = (uint8_t)*in;
        if (byte > 0x20 && byte < 0x7f && !strchr("\"<>\\^`{|}", byte)) {
            *at++ = (char)byte;
        } else {
            *at++ = '%';
            *at++ = hex[byte >> 4];
            *at++ = hex[byte & 15];
        }
    }
    *at = 0;
    return out;
}

enum http_result http_response_send_redirect(struct http_response *response,
                                             const char *location, int status)
{
    if (!location || !*location || status < 300 || status > 399)
        return HTTP_INVALID;
    if (response->committed)
        return HTTP_ILLEGAL;
    const char *text = location_text(request_of(response), location);
    if (!text)
        return HTTP_INVALID;
    enum http_result result = header_check(response, "Location", text);
    if (result != HTTP_OK)
        return result;
    clear_body(response);
    response->status = status;
    header_remove(response, "Location");
    response_put_header(response, "Location", text);
    return HTTP_OK;
}

/* "host:port" of the Host header, unless a proxy said better. */
static void base_host(struct http_request *r, struct path_base *base)
{
    const struct http_field *f = request_field(r, "Host", NULL);
    const char *host = f ? f->value : "";
    const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');
    bool port = colon && (!bracket || colon > bracket);
    base->port = port ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    if (!port || !base->port)
        base->port = strcmp(base->scheme, "https") ? 80 : 443;
    if (r->server_port)
        base->port = r->server_port;
    base->host =
        r->host ? r->host
                : request_text(r, host,
                               port ? (size_t)(colon - host) : strlen(host));
}

static const char *encode(struct http_response *w, const char *url,
                          enum path_link *link)
{
    struct http_request *r = request_of(w);
    struct context *site = request_site(r);
    *link = PATH_LINK_PLAIN;
    if (!site || !site->url_tracking || r->id_from_cookie ||
        !http_session_is_current(r->session))
        return url;
    struct path_base base = {
        .scheme = http_request_scheme(r),
        .context = site->path,
        .path = r->path,
    };
    base_host(r, &base);
    char id[ID_TEXT_SIZE + sizeof r->instance->node];
    const char *node = r->instance->node;
    size_t len = ID_TEXT_SIZE - 1;
    id_format(session_id(r->session->session), id);
    if (*node) {
        id[len++] = '.';
        size_t node_len = strnlen(node, sizeof r->instance->node - 1);
        memcpy(id + len, node, node_len);
        id[len + node_len] = 0;
    }
    struct buf out;
    buf_init(&out, 65536);
    *link = path_encode_url(&out, &base, url, site->session_parameter_name, id);
    if (*link == PATH_LINK_ENCODED && !out.full)
        url = request_text(r, buf_str(&out), out.len);
    buf_release(&out);
    return url;
}

const char *http_response_encode_url(struct http_response *response,
                                     const char *url)
{
    enum path_link link;
    return url ? encode(response, url, &link) : NULL;
}

const char *http_response_encode_redirect_url(struct http_response *response,
                                              const char *url)
{
    enum path_link link = PATH_LINK_PLAIN;
    const char *out = url ? encode(response, url, &link) : NULL;
    return link == PATH_LINK_ABOVE_ROOT ? NULL : out;
}
