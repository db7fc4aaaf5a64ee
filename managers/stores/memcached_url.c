/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/memcached.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define FORM "memcached://host:port,host:port"
#define PRESET_PORT 11211

static enum rc url_bad(struct err *err, const char *what)
{
    return err_set(err, RC_INVALID,
                   "MemcachedStore: url: %s; it looks like " FORM, what);
}

static bool port_read(const char *text, size_t len, unsigned *out)
{
    unsigned n = 0;

    if (!len || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        n = n * 10 + (unsigned)(text[i] - '0');
    }
    *out = n;
    return n > 0 && n < 65536;
}

/* A name, or an address, as it may stand in a url. */
static bool name_is_fit(const char *text, size_t len, bool in_brackets)
{
    if (!len || len >= sizeof((struct memc_host *)0)->name)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) &&
            !strchr(in_brackets ? ":.%" : ".-_", text[i]))
            return false;
    return true;
}

static bool host_read(const char *text, size_t len, struct memc_host *out)
{
    const char *end = text + len, *name = text, *colon;
    bool in_brackets = len && *text == '[';

    if (in_brackets) {
        const char *close = memchr(text, ']', len);
        if (!close)
            return false;
        name++;
        len = (size_t)(close - name);
        colon = close + 1;
    } else {
        colon = memchr(text, ':', len);
        if (!colon)
            colon = end;
        len = (size_t)(colon - name);
    }
    if (!name_is_fit(name, len, in_brackets))
        return false;
    memcpy(out->name, name, len);
    out->name[len] = '\0';
    out->port = PRESET_PORT;
    if (colon == end)
        return true;
    return *colon == ':' &&
           port_read(colon + 1, (size_t)(end - colon - 1), &out->port);
}

static bool is_named_twice(const struct memc_url *url)
{
    const struct memc_host *last = &url->hosts[url->count - 1];

    for (unsigned i = 0; i + 1 < url->count; i++)
        if (url->hosts[i].port == last->port &&
            strcasecmp(url->hosts[i].name, last->name) == 0)
            return true;
    return false;
}

enum rc memc_url_read(const char *text, struct memc_url *out, struct err *err)
{
    static const char scheme[] = "memcached://";
    const char *end;

    memset(out, 0, sizeof *out);
    if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
        return url_bad(err, "it does not begin with memcached://");
    text += sizeof scheme - 1;
    if (strchr(text, '@'))
        return url_bad(err, "there is no user and no password: whoever reaches "
                            "the servers may read all");
    end = text + strlen(text);
    if (end > text && end[-1] == '/')
        end--;
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t len = (size_t)((comma ? comma : end) - text);
        if (out->count == MEMC_HOSTS)
            return url_bad(err, "there are more than 64 hosts");
        if (!host_read(text, len, &out->hosts[out->count++]))
            return url_bad(err, "a host or its port is none");
        if (is_named_twice(out))
            return url_bad(err, "a host is named twice");
        if (!comma)
            return RC_OK;
        text = comma + 1;
    }
}
