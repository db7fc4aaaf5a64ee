/* SPDX-License-Identifier: Apache-2.0
 *
 * memcached.h: one connection to one Memcached server, and who keeps which key.
 *
 * What    A connection asks for rows and stores them, one question at a time,
 *         each before a deadline. Only memc_open connects: after a failure a
 *         connection answers nothing but failures, so all that was asked by one
 *         went to one start of one server (a token of memc_fetch means nothing
 *         to the next start).
 *         A ring says which of several servers keeps a key: ketama, as most
 *         clients of Memcached have it. The order of the servers does not
 *         matter, their names and ports do.
 * Owns    memc_open gives a connection, memc_close frees it; the same with a
 *         ring. Bytes of a row are borrowed.
 * Errors  RC_UNAVAILABLE with a text: nothing was done. RC_UNCERTAIN: a put may
 *         have been. The same cause gives the same text.
 * Threads A connection: one at a time. memc_ring_find: any. */
#ifndef MARGAY_MANAGERS_STORES_MEMCACHED_H
#define MARGAY_MANAGERS_STORES_MEMCACHED_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store_ops;

/* --- a connection --------------------------------------------------------- */

#define MEMC_KEY_MAX 250 /* bytes; Memcached's own limit */

struct memc;

/* What a server says of itself. */
struct memc_facts {
    uint64_t pid, uptime; /* s */
    uint64_t time;        /* s since 1970, by its clock */
    uint64_t evictions;   /* rows that it dropped for room, ... */
    uint64_t flushes;     /* ... and orders to drop them all */
    uint64_t item_max;    /* bytes of an item; 0: it does not say */
    bool without_cas;     /* it was started so */
};

/* timeout_ms: for the connection, and for each answer that facts take. The
 * name is looked up by the C library. Where nobody speaks Memcached there it
 * is UNAVAILABLE. */
enum rc memc_open(struct memc **out, const char *host, unsigned port,
                  int timeout_ms, struct memc_facts *facts, struct err *err);
void memc_close(struct memc **m);
bool memc_is_open(const struct memc *m);
/* Asks again; item_max and without_cas stay. deadline, here and below:
 * instant_read().mono. */
enum rc memc_look(struct memc *m, int64_t deadline, struct memc_facts *facts,
                  struct err *err);

struct memc_row {
    unsigned index; /* of its key in the question */
    const char *bytes;
    size_t len;
    uint64_t token; /* for memc_store */
};
typedef void memc_row_fn(void *user, const struct memc_row *row);
/* Gives the rows that there are to `each`, in the order of the keys. RC_OK: for
 * the others there is none. After a failure some may have been given. */
enum rc memc_fetch(struct memc *m, const char *const *keys, const size_t *lens,
                   unsigned count, int64_t deadline, memc_row_fn *each,
                   void *user, struct err *err);

struct memc_put {
    const char *key;
    size_t key_len;
    const char *bytes;
    size_t len;
    int64_t life;   /* as Memcached takes it: s up to 30 days, beyond that the
                       instant by its clock; 0: for ever */
    uint64_t token; /* of the row that it replaces; 0: there is none */
};
/* RC_OK; RC_CONFLICT: there is another row; RC_ABSENT: there is none;
 * RC_TOOBIG: its item limit. After UNAVAILABLE it may be open still: the server
 * has no memory. */
enum rc memc_store(struct memc *m, const struct memc_put *put, int64_t deadline,
                   struct err *err);

/* --- several servers ------------------------------------------------------ */

#define MEMC_HOSTS 64

struct memc_host {
    char name[256];
    unsigned port;
};

struct memc_url {
    struct memc_host hosts[MEMC_HOSTS];
    unsigned count;
};

/* memcached://host[:port],host[:port],...; a host may be [::1]. */
enum rc memc_url_read(const char *text, struct memc_url *out, struct err *err);

struct memc_ring;
struct memc_ring *memc_ring_new(const struct memc_url *url);
void memc_ring_free(struct memc_ring **ring);
/* The index in url->hosts. */
unsigned memc_ring_find(const struct memc_ring *ring, const char *key,
                        size_t len);

/* --- one server of the store ---------------------------------------------- */

/* The options of memcached_part, filled in by MemcachedStore. */
struct memc_part_options {
    struct memc_host host;
    int64_t timeout;    /* ms */
    int64_t item_max;   /* bytes; 0: what the server says */
    const char *prefix; /* of keys; the id in hex follows */
};
extern const struct store_ops memcached_part;

#define MEMC_ID_HEX 32
/* Writes the id behind the prefix; no 0 follows. */
void memc_key_id(char out[MEMC_ID_HEX], const uint8_t id[16]);

#endif
