/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/redis.h"
#include "session/first_line.h"
#include "session/hex.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FORMS                                                                  \
    "redis://[[user]:password@]host:port/db or "                               \
    "redis-sentinel://[[user]:password@]host:port,host:port/master-name"

#define REDIS_PORT 6379
#define SENTINEL_PORT 26379

static enum rc url_bad(struct err *err, const char *what)
{
    return err_set(err, RC_INVALID, "RedisStore: url: %s; it looks like " FORMS,
                   what);
}

/* Copies len bytes, %XX as what they stand for. False: does not fit, or is
 * none. */
static bool text_decode(const char *text, size_t len, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(text[i + 2]);
            if (low < 0 || !(high | low))
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n + 1 >= size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool number_read(const char *text, size_t len, unsigned max,
                        unsigned *out)
{
    unsigned n = 0;

    if (!len || len > 6)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        n = n * 10 + (unsigned)(text[i] - '0');
    }
    *out = n;
    return n <= max;
}

/* "host", "host:port" or "[address]:port". */
static bool host_read(const char *text, size_t len, unsigned preset,
                      struct redis_host *out)
{
    const char *end = text + len, *name = text, *close = NULL;
    size_t name_len;

    if (len && *text == '[') {
        close = memchr(text, ']', len);
        if (!close)
            return false;
        name = text + 1;
        name_len = (size_t)(close - name);
        text = close + 1;
    } else {
        const char *colon = memchr(text, ':', len);
        text = colon ? colon : end;
        name_len = (size_t)(text - name);
    }
    if (!name_len || name_len >= sizeof out->name)
        return false;
    memcpy(out->name, name, name_len);
    out->name[name_len] = '\0';
    out->port = preset;
    if (text == end)
        return true;
    return *text == ':' &&
           number_read(text + 1, (size_t)(end - text - 1), 65535, &out->port) &&
           out->port;
}

static enum rc hosts_read(const char *text, size_t len, bool sentinel,
                          struct redis_url *out, struct err *err)
{
    const char *end = text + len;

    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t n = (size_t)((comma ? comma : end) - text);
        if (out->host_count == REDIS_HOSTS)
            return url_bad(err, "there are more than 16 hosts");
        if (!host_read(text, n, sentinel ? SENTINEL_PORT : REDIS_PORT,
                       &out->hosts[out->host_count++]))
            return url_bad(err, "a host or its port is none");
        if (!comma)
            break;
        text = comma + 1;
    }
    if (!sentinel && out->host_count > 1)
        return url_bad(err, "only redis-sentinel:// takes several hosts");
    return RC_OK;
}

static enum rc login_read(const char *text, size_t len, struct redis_url *out,
                          struct err *err)
{
    const char *colon = memchr(text, ':', len);

    if (!colon)
        return url_bad(err, "before the @ there is no colon: write "
                            ":password@ or user:password@");
    if (!text_decode(text, (size_t)(colon - text), out->user,
                     sizeof out->user) ||
        !text_decode(colon + 1, (size_t)(text + len - colon - 1), out->password,
                     sizeof out->password))
        return url_bad(err, "user or password is too long, or has a % that "
                            "is not followed by two hex digits (a % itself "
                            "is %25)");
    return out->password[0] ? RC_OK : url_bad(err, "the password is empty");
}

/* What follows the first slash: "db", or "master-name" and perhaps "/db". */
static enum rc path_read(const char *path, bool sentinel, struct redis_url *out,
                         struct err *err)
{
    size_t len = sentinel ? strcspn(path, "/") : 0;

    if (sentinel) {
        if (!len || !text_decode(path, len, out->master, sizeof out->master))
            return url_bad(err, "the name of the master is missing");
        path += len;
        path += *path == '/';
    }
    if (*path && !number_read(path, strlen(path), 99999, &out->db))
        return url_bad(err, "the database is a number, 0 if left out");
    return RC_OK;
}

enum rc redis_url_read(const char *text, struct redis_url *out, struct err *err)
{
    static const char plain[] = "redis://", many[] = "redis-sentinel://";
    bool sentinel = strncasecmp(text, many, sizeof many - 1) == 0;
    const char *slash, *at = NULL;
    enum rc rc = RC_OK;

    memset(out, 0, sizeof *out);
    if (strncasecmp(text, "rediss://", 9) == 0)
        return url_bad(err, "Redis over TLS goes through stunnel");
    if (!sentinel && strncasecmp(text, plain, sizeof plain - 1) != 0)
        return url_bad(err, "it begins with neither");
    text += sentinel ? sizeof many - 1 : sizeof plain - 1;
    slash = strchr(text, '/');
    if (!slash)
        slash = text + strlen(text);
    for (const char *c = text; c < slash; c++)
        if (*c == '@')
            at = c;
    if (!at && strchr(slash, '@'))
        return url_bad(err, "a / in user or password is written %2F");
    if (at)
        rc = login_read(text, (size_t)(at - text), out, err);
    if (rc == RC_OK)
        text = at ? at + 1 : text;
    if (rc == RC_OK)
        rc = hosts_read(text, (size_t)(slash - text), sentinel, out, err);
    if (rc == RC_OK)
        rc = path_read(*slash ? slash + 1 : slash, sentinel, out, err);
    return rc;
}

static enum rc url_from_file(const char *path, struct redis_url *out,
                             struct err *err)
{
    char line[4096];
    int why = first_line_read(path, line, sizeof line);
    enum rc rc;

    if (why)
        rc = err_set(err, RC_INVALID,
                     "RedisStore: urlFile %.200s cannot be read: %s: name a "
                     "file that this user may read",
                     path, strerror(why));
    else if (line[0])
        rc = redis_url_read(line, out, err);
    else
        rc = err_set(err, RC_INVALID,
                     "RedisStore: urlFile %.200s: its first line is empty: "
                     "write the url there",
                     path);
    explicit_bzero(line, sizeof line);
    return rc;
}

enum rc redis_url_find(const char *text, const char *file,
                       struct redis_url *out, struct err *err)
{
    if (file && *file)
        return url_from_file(file, out, err);
    if (!text || !*text)
        return err_set(err, RC_INVALID,
                       "RedisStore needs url=\"redis://host:port/db\"");
    return redis_url_read(text, out, err);
}

/* As an address of IPv6. False: it is a name. */
static bool address_read(const char *name, struct in6_addr *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    memcpy(out->s6_addr, mapped, sizeof mapped);
    return inet_pton(AF_INET, name, out->s6_addr + sizeof mapped) == 1 ||
           inet_pton(AF_INET6, name, out) == 1;
}

/* localhost is either address. */
static bool is_here(const char *name)
{
    static const char *const here[] = {"127.0.0.1", "::1"};
    struct in6_addr is, one;

    if (!address_read(name, &is))
        return strcasecmp(name, "localhost") == 0;
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        if (address_read(here[i], &one) && memcmp(&is, &one, sizeof is) == 0)
            return true;
    return false;
}

static bool is_same_name(const char *a, const char *b)
{
    struct in6_addr x, y;
    bool numeric = address_read(a, &x), other = address_read(b, &y);

    if (numeric && other)
        return memcmp(&x, &y, sizeof x) == 0;
    return numeric == other ? strcasecmp(a, b) == 0 : is_here(a) && is_here(b);
}

static bool is_same_host(const struct redis_host *a, const struct redis_host *b)
{
    return a->port == b->port && is_same_name(a->name, b->name);
}

bool redis_url_same(const struct redis_url *a, const struct redis_url *b)
{
    bool meet = false;

    for (unsigned i = 0; i < a->host_count; i++)
        for (unsigned k = 0; k < b->host_count; k++)
            meet |= is_same_host(&a->hosts[i], &b->hosts[k]);
    return meet && a->db == b->db && strcmp(a->master, b->master) == 0;
}
