/* SPDX-License-Identifier: Apache-2.0
 *
 * stores.h: what the stores' options look like from inside.
 *
 * What    The struct that each store's option table fills. A program that
 *         reads server.xml needs none of this; one that puts stores together
 *         by hand (a test) also fills in what no attribute can say: whose rows
 *         a memory store keeps, what a wrapper wraps, what fails.
 * Owns    Everything is borrowed for the life of the store. */
#ifndef MARGAY_MANAGERS_STORES_STORES_H
#define MARGAY_MANAGERS_STORES_STORES_H

#include "session/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The rows of memory stores, on their own so that several stores of one
 * process can share them, as several processes share a file. */
struct memory_rows;
struct memory_rows *memory_rows_new(void);
void memory_rows_free(struct memory_rows **rows);
/* They do not have that row any more, as a server that comes back with an older
 * snapshot. false: they did not. */
bool memory_rows_forget(struct memory_rows *rows, const char *app,
                        const uint8_t id[16]);

struct memory_options {
    struct memory_rows *rows; /* NULL: the store's own */
    bool is_inline;
};

enum sqlite_sync { DB_SYNC_NORMAL, DB_SYNC_FULL };

struct sqlite_options {
    char *path;
    int synchronous; /* enum sqlite_sync */
};

enum file_sync { FILE_SYNC_NORMAL, FILE_SYNC_FULL };

struct file_options {
    char *directory;
    int synchronous; /* enum file_sync */
};

enum redis_validate { REDIS_VALIDATE_VERSION, REDIS_VALIDATE_TRACKING };

struct redis_options {
    char *url, *url_file;
    int64_t timeout; /* ms */
    int validate;    /* enum redis_validate */
    int64_t max_stale, tracked;
};

struct memcached_options {
    char *url;
    int64_t timeout;       /* ms */
    int64_t max_item_size; /* bytes; 0: the servers are asked */
};

/* What every wrapper's options begin with. From server.xml a wrapper wraps
 * the SQLite store, whose attributes it takes over. */
struct wrapper_options {
    struct sqlite_options sqlite;
    const struct store_ops *inner; /* NULL: SQLite, with the options above */
    const void *inner_options;
};

struct tracing_options {
    struct wrapper_options wrapper;
};

enum failing_how {
    FAILING_UNAVAILABLE, /* not done, and says so */
    FAILING_APPLIED,     /* a put is done, the answer is UNCERTAIN */
    FAILING_LOST,        /* a put is not done, the answer is UNCERTAIN */
    FAILING_TOO_BIG,     /* not done: it is over a limit; never drawn */
    FAILING_LAST         /* as APPLIED, and LOST from then on; never drawn */
};

/* The bad weather, changed from any thread while the store runs. */
struct failing_faults {
    atomic_bool down;       /* check fails, everything is UNAVAILABLE */
    atomic_uint fail_gets;  /* the next so many gets are UNAVAILABLE */
    atomic_uint spare_puts; /* the next so many puts pass, and then */
    atomic_uint fail_puts;  /* the next so many puts fail ... */
    atomic_uint how;        /* ... in this way (enum failing_how) */
    atomic_uint percent;    /* so many of a hundred puts fail, in any way */
    atomic_uint seed;       /* the same seed, the same failures */
    atomic_uint delay_ms;   /* each get and each batch takes so much longer */
    atomic_uint gone;       /* an enum reason: what else an absent row says */
    atomic_uint injected;   /* how many failures there were */
};

struct failing_options {
    struct wrapper_options wrapper;
    struct failing_faults *faults; /* NULL: the store's own */
    char *control; /* a file that says "ok", "down", "applied" or "lost" */
};

extern const struct store_ops store_memory, store_sqlite, store_file,
    store_tracing, store_failing;
extern const struct store_ops store_redis;
extern const struct store_ops store_memcached;

#endif
