/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions in Memcached, spread over several servers.
 *
 * Promises While a server lives and has room, what was acknowledged is what
 *          everybody reads. A server that dies takes its share of the sessions
 *          along; nothing else.
 * Laws
 * - A key stays at its server: the ring of all that the url names says which
 *   one, and nobody takes over for one that is away. So its share is
 *   UNAVAILABLE, not absent, until it returns or leaves the url; and what it
 *   has forgotten is absent, never what another server still had of it.
 * - Each server is a store of its own (memcached_part), with a thread, a
 *   connection and a state: one that stands still holds up nobody else.
 * - A key is "margay:", the application with every character escaped that is
 *   not a letter, a digit or one of / . _ -, a colon, the id in hex. */
#include "config.h"

#include "managers/stores/memcached.h"
#include "managers/stores/stores.h"
#include "session/buf.h"
#include "session/store_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memcached_store {
    struct store_base base;
    struct memc_url url;
    struct memc_ring *ring;
    char prefix[MEMC_KEY_MAX];
    size_t prefix_len;
    struct memc_part_options *part_options;
};

static store_open_fn memcached_open;
static store_close_fn memcached_close;
static store_part_fn memcached_part_of;
static store_describe_fn memcached_describe;

/* --- keys ----------------------------------------------------------------- */

void memc_key_id(char out[MEMC_ID_HEX], const uint8_t id[16])
{
    static const char digits[] = "0123456789ABCDEF";

    for (int i = 0; i < 16; i++) {
        *out++ = digits[id[i] >> 4];
        *out++ = digits[id[i] & 15];
    }
}

static enum rc prefix_write(char prefix[MEMC_KEY_MAX], const char *path,
                            struct err *err)
{
    static const size_t size = MEMC_KEY_MAX, room = size - MEMC_ID_HEX - 1;
    const char *app = path;
    size_t n = (size_t)snprintf(prefix, size, "margay:");

    for (; *app && n + 4 <= room; app++) {
        if (isalnum((unsigned char)*app) || strchr("/._-", *app))
            prefix[n++] = *app;
        else
            n += (size_t)snprintf(prefix + n, size - n, "%%%02X",
                                  (unsigned char)*app);
    }
    if (*app)
        return err_set(err, RC_INVALID,
                       "MemcachedStore: the path of the application %.40s... "
                       "is too long for a key of Memcached (%d bytes)",
                       path, MEMC_KEY_MAX);
    prefix[n++] = ':';
    prefix[n] = '\0';
    return RC_OK;
}

static unsigned memcached_part_of(const struct store_base *base,
                                  const uint8_t id[16])
{
    const struct memcached_store *s = (const struct memcached_store *)base;
    char key[MEMC_KEY_MAX];

    if (base->part_count == 1)
        return 0;
    memcpy(key, s->prefix, s->prefix_len);
    memc_key_id(key + s->prefix_len, id);
    return memc_ring_find(s->ring, key, s->prefix_len + MEMC_ID_HEX);
}

/* --- the store ------------------------------------------------------------ */

static void memcached_describe(const struct store_base *base, char *out,
                               size_t size)
{
    const struct memcached_store *s = (const struct memcached_store *)base;

    if (s->url.count == 1)
        snprintf(out, size, "Memcached at %s:%u", s->url.hosts[0].name,
                 s->url.hosts[0].port);
    else
        snprintf(out, size, "Memcached on %u servers", s->url.count);
}

static enum rc parts_open(struct memcached_store *s, struct err *err)
{
    const struct memcached_options *o = s->base.options;
    struct store_env env = s->base.env;
    enum rc rc = RC_OK;

    env.min_replicas = 0; /* refused by the whole */
    s->part_options = mem_zero(s->url.count * sizeof *s->part_options);
    s->base.parts = mem_zero(s->url.count * sizeof *s->base.parts);
    for (unsigned i = 0; i < s->url.count && rc == RC_OK; i++) {
        s->part_options[i] =
            (struct memc_part_options){.host = s->url.hosts[i],
                                       .timeout = o->timeout,
                                       .item_max = o->max_item_size,
                                       .prefix = s->prefix};
        rc = store_open(&memcached_part, &s->part_options[i], &env,
                        &s->base.parts[i], err);
        s->base.part_count += rc == RC_OK;
    }
    return rc;
}

static void memcached_release(struct memcached_store *s)
{
    memc_ring_free(&s->ring);
    free(s->part_options);
    free(s->base.parts);
}

static enum rc memcached_examine(const void *options,
                                 const struct store_env *env, struct err *err)
{
    const struct memcached_options *o = options;
    char prefix[MEMC_KEY_MAX];
    struct memc_url url;
    enum rc rc;

    if (!o->url || !*o->url)
        return err_set(err, RC_INVALID,
                       "MemcachedStore needs "
                       "url=\"memcached://host:port,host:port\"");
    rc = memc_url_read(o->url, &url, err);
    return rc == RC_OK ? prefix_write(prefix, env->app, err) : rc;
}

static enum rc memcached_open(struct store_base *base, struct err *err)
{
    struct memcached_store *s = (struct memcached_store *)base;
    const struct memcached_options *o = base->options;
    char where[128];
    enum rc rc;

    rc = memc_url_read(o->url, &s->url, err);
    if (rc == RC_OK)
        rc = prefix_write(s->prefix, base->env.app, err);
    if (rc != RC_OK)
        return rc;
    s->prefix_len = strlen(s->prefix);
    memcached_describe(base, where, sizeof where);
    log_state(base->env.log, LOG_INFO, "store",
              "MemcachedStore keeps the sessions in %s", where);
    s->ring = memc_ring_new(&s->url);
    rc = parts_open(s, err);
    if (rc != RC_OK) {
        for (unsigned i = 0; i < base->part_count; i++)
            store_close(&base->parts[i], 0);
        memcached_release(s);
    }
    return rc;
}

static void memcached_close(struct store_base *base)
{
    memcached_release((struct memcached_store *)base);
}

static const struct option memcached_options[] = {
    {.name = "url",
     .kind = OPTION_STRING,
     .offset = offsetof(struct memcached_options, url),
     .help = "memcached://host:port,host:port: all servers that keep sessions, "
             "written the same for every instance"},
    {.name = "timeout",
     .kind = OPTION_INT,
     .offset = offsetof(struct memcached_options, timeout),
     .preset = "400",
     .min = 50,
     .max = 10000,
     .help = "milliseconds in which a server connects, and answers a batch; "
             "twice that is to be below the connector's waitTimeout"},
    {.name = "maxItemSize",
     .kind = OPTION_INT,
     .offset = offsetof(struct memcached_options, max_item_size),
     .preset = "0",
     .min = 0,
     .max = 1 << 30,
     .help = "bytes of an item that the servers take (their -I); 0: they are "
             "asked"},
    {0},
};

const struct store_ops store_memcached = {
    .name = "MemcachedStore",
    .summary = "Memcached, several servers that each keep a share",
    .size = sizeof(struct memcached_store),
    .options_size = sizeof(struct memcached_options),
    .options = memcached_options,
    .flags = STORE_SELF_EXPIRES | STORE_REMOTE | STORE_FORGETS,
    .examine = memcached_examine,
    .open = memcached_open,
    .close = memcached_close,
    .part_of = memcached_part_of,
    .describe = memcached_describe,
};
