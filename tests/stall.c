/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/memcached_server.h"
#include "tests/redis_server.h"
#include "tests/stall.h"
#include "tests/unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void stall_choose(struct stall *s, enum kind kind)
{
    switch (kind) {
    case KIND_MEMORY:
    case KIND_QUEUED:
        s->ops = &store_memory;
        s->options = &s->memory;
        s->memory.is_inline = kind == KIND_MEMORY;
        break;
    case KIND_SQLITE:
        s->ops = &store_sqlite;
        s->options = &s->sqlite;
        break;
    case KIND_FILE:
    case KIND_FULL:
        s->ops = &store_file;
        s->options = &s->file;
        s->file.synchronous =
            kind == KIND_FILE ? FILE_SYNC_NORMAL : FILE_SYNC_FULL;
        break;
    case KIND_REDIS:
        s->ops = &store_redis;
        s->options = &s->redis;
        s->redis.url = s->url;
        s->redis.timeout = 10000;
        redis_address(redis_start(NULL), s->url);
        break;
    case KIND_MEMCACHED:
#ifdef HAVE_MEMCACHED
        s->ops = &store_memcached;
#endif
        s->options = &s->memcached;
        s->memcached.url = memcached_group_start("-m 64")->url;
        s->memcached.timeout = 10000;
        break;
    case KIND_TRACING:
        s->ops = &store_tracing;
        s->options = &s->tracing;
        break;
    case KIND_FAILING:
        s->ops = &store_failing;
        s->options = &s->failing;
        s->memory.is_inline = true;
        break;
    }
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void stall_remove_file(const struct stall *s)
{
    char path[600];

    if (s->ops == &store_file)
        nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);

    for (int i = 0; i < 4; i++) {
        static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
        snprintf(path, sizeof path, "%s%s", s->path, ends[i]);
        unlink(path);
    }
}

void stall_with(enum kind kind, stall_fn *statement)
{
    struct stall *s;

    if ((kind == KIND_REDIS && !redis_is_there()) ||
        (kind == KIND_MEMCACHED && !memcached_is_there()))
        return;
    s = calloc(1, sizeof *s);
    s->rows = memory_rows_new();
    s->memory.rows = s->rows;
    snprintf(s->path, sizeof s->path, "%s/rows.db", unit_tmpdir());
    s->sqlite.path = s->file.directory = s->path;
    s->tracing.wrapper.inner = s->failing.wrapper.inner = &store_memory;
    s->tracing.wrapper.inner_options = &s->memory;
    s->failing.wrapper.inner_options = &s->memory;
    stall_choose(s, kind);
    shop_open(&s->shop, s->ops, s->options, NULL);
    statement(s);
    if (s->shop.store)
        shop_close(&s->shop);
    memory_rows_free(&s->rows);
    stall_remove_file(s);
    redis_stop_all();
    memcached_stop_all();
    free(s);
}
