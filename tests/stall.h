/* SPDX-License-Identifier: Apache-2.0
 *
 * stall.h: a store of each kind, for what is asked of all of them.
 *
 * What    stall_with runs a statement over an open store, and leaves nothing
 *         of it behind. Where what it takes is not there (Redis, Memcached),
 *         the case is skipped.
 * Owns    The stall; a statement may close and open its shop.
 * Threads The one that runs the case. */
#ifndef MARGAY_TESTS_STALL_H
#define MARGAY_TESTS_STALL_H

#include "managers/stores/stores.h"
#include "tests/ask.h"

/* A store, and what it takes to open another one on the same rows. */
struct stall {
    const struct store_ops *ops;
    const void *options;
    struct memory_rows *rows;
    struct memory_options memory;
    struct sqlite_options sqlite;
    struct file_options file;
    struct redis_options redis;
    struct memcached_options memcached;
    char url[320];
    struct tracing_options tracing;
    struct failing_options failing;
    char path[512];
    struct shop shop;
};

enum kind {
    KIND_MEMORY,
    KIND_QUEUED,
    KIND_SQLITE,
    KIND_FILE,
    KIND_FULL,
    KIND_REDIS,
    KIND_MEMCACHED,
    KIND_TRACING,
    KIND_FAILING
};

typedef void stall_fn(struct stall *s);
void stall_with(enum kind kind, stall_fn *statement);

#endif
