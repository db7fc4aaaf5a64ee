/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/path.h"

#include "container/percent.h"
#include "session/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the request target ---- */

static size_t scheme_len(const char *text, size_t len)
{
    if (len >= 7 && !strncasecmp(text, "http://", 7))
        return 7;
    return len >= 8 && !strncasecmp(text, "https://", 8) ? 8 : 0;
}

enum rc path_target(struct path_target *t, const char *target, size_t len,
                    struct err *err)
{
    const char *end = target + len, *at = target;
    *t = (struct path_target){0};
    size_t scheme = scheme_len(target, len);
    if (scheme) {
        t->host = at += scheme;
        while (at < end && *at != '/' && *at != '?')
            at++;
        t->host_len = (size_t)(at - t->host);
    }
    const char *query = memchr(at, '?', (size_t)(end - at));
    if (query) {
        t->query = query + 1;
        t->query_len = (size_t)(end - t->query);
        end = query;
    }
    t->path = at;
    t->path_len = (size_t)(end - at);
    if (scheme && !t->path_len) {
        t->path = "/";
        t->path_len = 1;
    }
    if (!t->path_len || t->path[0] != '/' || (scheme && !t->host_len))
        return err_set(err, RC_INVALID,
                       "the request target is neither a path that begins with "
                       "/ nor an http URL");
    return RC_OK;
}

/* ---- cleaning ---- */

static bool is_raw(char c, bool utf8)
{
    uint8_t byte = (uint8_t)c;
    if (byte >= 0x80)
        return utf8;
    return byte > 0x20 && byte < 0x7f && !strchr("\"#<>?\\^`{|}", c);
}

static bool all_raw(const char *raw, size_t len, bool utf8)
{
    for (size_t i = 0; i < len; i++)
        if (!is_raw(raw[i], utf8))
            return false;
    return true;
}

static void note_param(struct path *p, const char *text, size_t len,
                       const char *param)
{
    size_t name = strlen(param);
    if (len > name && !memcmp(text, param, name) && text[name] == '=') {
        p->id = text + name + 1;
        p->id_len = len - name - 1;
    }
}

/* Copies raw without its path parameters. */
static size_t strip_params(struct path *p, char *out, const char *raw,
                           size_t len, const char *param)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (raw[i] != ';') {
            out[n++] = raw[i++];
            continue;
        }
        size_t start = ++i;
        while (i < len && raw[i] != ';' && raw[i] != '/')
            i++;
        if (p)
            note_param(p, raw + start, i - start, param);
    }
    return n;
}

/* In place. Returns what is wrong, or NULL. */
static const char *decode(char *path, size_t *len)
{
    char *out = path, *end = path + *len;
    for (char *at = path; at < end; at++) {
        int byte = (uint8_t)*at;
        if (*at == '%') {
            byte = percent_byte(at, end);
            if (byte < 0)
                return "the path has a % that is not followed by two "
                       "hexadecimal digits";
            if (byte == '/')
                return "the path has an encoded slash (%2F)";
            at += 2;
        }
        if (!byte || byte == '\\')
            return "the path has a 0 byte or a backslash";
        *out++ = (char)byte;
    }
    *len = (size_t)(out - path);
    return utf8_valid(path, *len) ? NULL : "the path is not UTF-8";
}

/* In place, path[0] is a slash. Each turn handles one segment with the slash
 * before it; n never passes the place that is read. False: above the root. */
static bool normalize(char *path, size_t *len)
{
    size_t n = 0, i = 0;
    while (i < *len) {
        while (i < *len && path[i] == '/')
            i++;
        size_t start = i;
        while (i < *len && path[i] != '/')
            i++;
        size_t size = i - start;
        if (size == 1 && path[start] == '.')
            continue;
        if (size == 2 && path[start] == '.' && path[start + 1] == '.') {
            if (!n)
                return false;
            while (path[--n] != '/')
                ;
            continue;
        }
        path[n++] = '/';
        memmove(path + n, path + start, size);
        n += size;
    }
    if (!n)
        path[n++] = '/';
    *len = n;
    return true;
}

enum rc path_parse(struct path *p, char *out, const char *raw, size_t len,
                   const char *param, struct err *err)
{
    *p = (struct path){.text = out};
    if (!len || raw[0] != '/')
        return err_set(err, RC_INVALID, "the path does not begin with /");
    if (!all_raw(raw, len, false))
        return err_set(err, RC_INVALID,
                       "the path has a byte that must be written as %%XX");
    p->len = strip_params(p, out, raw, len, param);
    const char *wrong = decode(out, &p->len);
    if (wrong)
        return err_set(err, RC_INVALID, "%s", wrong);
    if (!normalize(out, &p->len))
        return err_set(err, RC_INVALID, "the path climbs above the root");
    out[p->len] = 0;
    return RC_OK;
}

enum rc path_resolve(char *out, size_t *out_len, const char *base,
                     const char *link, size_t len)
{
    size_t dir = 0;
    if (!len || link[0] != '/') {
        const char *slash = strrchr(base, '/');
        assert(base[0] == '/' && slash);
        dir = (size_t)(slash - base) + 1;
        memcpy(out, base, dir);
    }
    if (!all_raw(link, len, true))
        return RC_INVALID;
    *out_len = strip_params(NULL, out + dir, link, len, "");
    if (decode(out + dir, out_len))
        return RC_INVALID;
    *out_len += dir;
    if (!normalize(out, out_len))
        return RC_ILLEGAL;
    out[*out_len] = 0;
    return RC_OK;
}

bool path_within(const char *path, size_t len, const char *context)
{
    size_t size = strlen(context);
    return len >= size && !memcmp(path, context, size) &&
           (len == size || path[size] == '/' || !size);
}

/* ---- links ---- */

/* A URL as a person or a template wrote it. */
struct link {
    const char *authority; /* NULL: none */
    size_t authority_len;
    const char *path;
    size_t path_len;
};

/* "name:" before any other delimiter (RFC 3986, 3.1); 0: none. */
static size_t link_scheme(const char *url, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = url[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (c == ':')
            return i;
        if (!letter && !(later && i))
            return 0;
    }
    return 0;
}

/* False: another scheme. len: up to ? or #. */
static bool link_split(struct link *l, const char *url, size_t len,
                       const char *scheme)
{
    *l = (struct link){.path = url, .path_len = len};
    size_t name = link_scheme(url, len);
    if (name) {
        if (name != strlen(scheme) || strncasecmp(url, scheme, name))
            return false;
        l->path += name + 1;
        l->path_len -= name + 1;
        if (l->path_len < 2 || memcmp(l->path, "//", 2) != 0)
            return false;
    }
    if (l->path_len >= 2 && !memcmp(l->path, "//", 2)) {
        const char *end = l->path + l->path_len;
        l->authority = l->path + 2;
        l->path = memchr(l->authority, '/', (size_t)(end - l->authority));
        if (!l->path)
            l->path = end;
        l->path_len = (size_t)(end - l->path);
        l->authority_len = (size_t)(l->path - l->authority);
    }
    return true;
}

static unsigned default_port(const char *scheme)
{
    return strcasecmp(scheme, "https") ? 80 : 443;
}

/* The digits after the host; an absurd number is a port that nobody has. */
static bool same_port(const char *digits, size_t len, unsigned port)
{
    unsigned long value = 0;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9' || value > 65535)
            return false;
        value = value * 10 + (unsigned long)(digits[i] - '0');
    }
    return value == port;
}

/* user@host never is the same: its host is not what it looks like. */
static bool same_authority(const struct link *l, const struct path_base *base)
{
    size_t host = strlen(base->host);
    if (l->authority_len < host ||
        strncasecmp(l->authority, base->host, host) != 0)
        return false;
    size_t rest = l->authority_len - host;
    const char *port = l->authority + host;
    if (rest <= 1)
        return (!rest || *port == ':') &&
               base->port == default_port(base->scheme);
    return *port == ':' && same_port(port + 1, rest - 1, base->port);
}

/* Does the path carry ";param=id", whole? */
static bool has_id(const char *path, size_t len, const char *param,
                   const char *id)
{
    struct path p = {0};
    size_t id_len = strlen(id);
    for (size_t i = 0; i < len;) {
        if (path[i++] != ';')
            continue;
        size_t start = i;
        while (i < len && path[i] != ';' && path[i] != '/')
            i++;
        note_param(&p, path + start, i - start, param);
    }
    return p.id && p.id_len == id_len && !memcmp(p.id, id, id_len);
}

/* Does the link lead into the application? */
static enum path_link link_check(const struct link *l,
                                 const struct path_base *base)
{
    const char *path = l->path_len || !l->authority ? l->path : "/";
    size_t len = l->path_len ? l->path_len : l->authority ? 1 : 0;
    char *out = mem_alloc(strlen(base->path) + len + 2);
    size_t out_len = 0;
    enum rc rc = path_resolve(out, &out_len, base->path, path, len);
    enum path_link answer = PATH_LINK_PLAIN;
    if (rc == RC_ILLEGAL)
        answer = PATH_LINK_ABOVE_ROOT;
    else if (rc == RC_OK && path_within(out, out_len, base->context))
        answer = PATH_LINK_ENCODED;
    free(out);
    return answer;
}

static void write_folder(struct buf *out, const struct path_base *base)
{
    size_t dir = (size_t)(strrchr(base->path, '/') - base->path) + 1;
    buf_addf(out, "%s://%s", base->scheme, base->host);
    if (base->port != default_port(base->scheme))
        buf_addf(out, ":%u", base->port);
    percent_encode_path(out, base->path, dir);
}

static enum path_link link_judge(const struct link *l, const char *url,
                                 size_t end, const struct path_base *base)
{
    if (!l->authority && !end && *url)
        return PATH_LINK_PLAIN;
    if (l->authority && !same_authority(l, base))
        return PATH_LINK_PLAIN;
    for (const char *at = url + end; *at; at++)
        if (!is_raw(*at, true) && *at != '?' && *at != '#')
            return PATH_LINK_PLAIN;
    return link_check(l, base);
}

enum path_link path_encode_url(struct buf *out, const struct path_base *base,
                               const char *url, const char *param,
                               const char *id)
{
    struct link l;
    enum path_link answer = PATH_LINK_PLAIN;
    size_t end = strcspn(url, "?#");
    if (link_split(&l, url, end, base->scheme))
        answer = link_judge(&l, url, end, base);
    if (answer == PATH_LINK_ENCODED && has_id(l.path, l.path_len, param, id))
        answer = PATH_LINK_PLAIN;
    if (answer != PATH_LINK_ENCODED) {
        buf_add_str(out, url);
        return answer;
    }
    if (!*url)
        write_folder(out, base);
    buf_add(out, url, end);
    if (l.authority && !l.path_len)
        buf_add_char(out, '/');
    buf_addf(out, ";%s=%s", param, id);
    buf_add_str(out, url + end);
    return PATH_LINK_ENCODED;
}
