/* SPDX-License-Identifier: Apache-2.0
 *
 * The managers and stores that the conformance suite runs on. */
#include "config.h"

#include "tests/world.h"

#include "managers/managers.h"
#include "session/buf.h"
#include "session/store_impl.h"
#include "tests/memcached_server.h"
#include "tests/redis_server.h"

#include <stdio.h>
#include <string.h>

#define TRACKING_LAG_MS 20

static void prepare_memory(struct world *w)
{
    struct memory_options *options = w->store_options;
    options->rows = w->rows = memory_rows_new();
}

static void prepare_failing(struct world *w)
{
    struct failing_options *options = w->store_options;
    w->memory.rows = w->rows = memory_rows_new();
    w->memory.is_inline = w->fixture != &fixture_failing_queued;
    options->wrapper.inner = &store_memory;
    options->wrapper.inner_options = &w->memory;
    options->faults = &w->faults;
}

void world_take_folder(struct world *w)
{
    snprintf(w->folder, sizeof w->folder, "%s/sessions", w->dir);
    w->file.directory = w->folder;
}

static void prepare_failing_file(struct world *w)
{
    struct failing_options *options = w->store_options;
    world_take_folder(w);
    options->wrapper.inner = &store_file;
    options->wrapper.inner_options = &w->file;
    options->faults = &w->faults;
}

const struct fixture fixture_standard = {
    .name = "standard", .manager = "StandardManager", .servers = 1};
/* Three servers over one store; what is behind `how` differs. */
#define STORED(where, kind, how, ...)                                          \
    const struct fixture fixture_##where = {.name = #where,                    \
                                            .manager = "PersistentManager",    \
                                            .store = &store_##kind,            \
                                            .servers = 3,                      \
                                            .prepare = how,                    \
                                            __VA_ARGS__};
/* clang-format off */
STORED(memory, memory, prepare_memory, .settings = {{"inline", "true"}})
STORED(queued, memory, prepare_memory, .settings = {{"inline", "false"}})
STORED(sqlite, sqlite, NULL, .settings = {{"path", "@sessions.db"}})
STORED(traced, tracing, NULL, .settings = {{"path", "@sessions.db"}})
STORED(file, file, NULL, .settings = {{"directory", "@sessions"}})
STORED(failing, failing, prepare_failing, .hops = false)
STORED(failing_queued, failing, prepare_failing, .hops = false)
STORED(failing_file, failing, prepare_failing_file, .hops = false)
/* clang-format on */

/* One server for all worlds of a program; each finds it empty. */
static void world_take_redis(struct world *w)
{
    static struct redis_server *redis;
    char said[64];
    if (!redis)
        redis = redis_start(NULL);
    redis_do(redis, said, sizeof said, "FLUSHALL");
    redis_address(redis, w->url);
}

static void prepare_redis(struct world *w)
{
    struct redis_options *options = w->store_options;
    world_take_redis(w);
    options->url = mem_strdup(w->url);
}

static void prepare_failing_redis(struct world *w)
{
    struct failing_options *options = w->store_options;
    world_take_redis(w);
    w->redis = (struct redis_options){.url = w->url, .timeout = 10000};
    options->wrapper.inner = &store_redis;
    options->wrapper.inner_options = &w->redis;
    options->faults = &w->faults;
}

static void prepare_tracking(struct world *w)
{
    struct redis_options *options = w->store_options;
    prepare_redis(w);
    options->validate = REDIS_VALIDATE_TRACKING;
    options->max_stale = TRACKING_LAG_MS;
}

/* The same with a group that sentinels watch. */
static void prepare_sentinel(struct world *w)
{
    static struct redis_group *group;
    struct redis_options *options = w->store_options;
    char said[64];
    if (!group)
        group = redis_group_start(20000);
    redis_do(group->servers[0], said, sizeof said, "FLUSHALL");
    options->url = mem_strdup(group->url);
}

/* A machine that does more than this is slow at times, not away. */
#define PATIENT .settings = {{"timeout", "10000"}}
#define ON_REDIS .is_there = redis_is_there, .expires_itself = true
STORED(redis, redis, prepare_redis, ON_REDIS, PATIENT)
STORED(sentinel, redis, prepare_sentinel, ON_REDIS, PATIENT)
STORED(tracking, redis, prepare_tracking, ON_REDIS, PATIENT,
       .lag_ms = TRACKING_LAG_MS)
STORED(failing_redis, failing, prepare_failing_redis, ON_REDIS)

/* Three servers for all worlds of a program; each finds them empty. */
static struct memcached_group *world_take_memcached(void)
{
    static struct memcached_group *group;
    if (!group)
        group = memcached_group_start(NULL);
    memcached_group_flush(group);
    return group;
}

static void prepare_memcached(struct world *w)
{
    struct memcached_options *options = w->store_options;
    options->url = mem_strdup(world_take_memcached()->url);
}

/* One of them: what fails is a server, not the whole. */
static void prepare_failing_memcached(struct world *w)
{
    struct failing_options *options = w->store_options;
    struct memcached_server *server = world_take_memcached()->servers[0];
    w->memcached = (struct memc_part_options){.host = {.name = "127.0.0.1"},
                                              .timeout = 10000,
                                              .prefix = "margay:/test:"};
    w->memcached.host.port = (unsigned)server->port;
#ifdef HAVE_MEMCACHED
    options->wrapper.inner = &memcached_part;
#endif
    options->wrapper.inner_options = &w->memcached;
    options->faults = &w->faults;
}

#ifndef HAVE_MEMCACHED
#define store_memcached store_memory /* of cases that are skipped */
#endif
#define ON_MEMCACHED .is_there = memcached_is_there, .expires_itself = true
STORED(memcached, memcached, prepare_memcached, ON_MEMCACHED, PATIENT)
STORED(failing_memcached, failing, prepare_failing_memcached, ON_MEMCACHED)
const struct fixture fixture_delta = {.name = "delta",
                                      .manager = "DeltaManager",
                                      .servers = 3,
                                      .clustered = true};
const struct fixture fixture_backup = {.name = "backup",
                                       .manager = "BackupManager",
                                       .servers = 3,
                                       .clustered = true};
const struct fixture fixture_backup5 = {.name = "backup5",
                                        .manager = "BackupManager",
                                        .servers = 5,
                                        .clustered = true,
                                        .hops = true};
/* Between two of them. */
const struct fixture fixture_to_delta = {.name = "to_delta",
                                         .manager = "DeltaManager",
                                         .servers = 3,
                                         .clustered = true,
                                         .previous = &fixture_sqlite};
const struct fixture fixture_to_backup = {.name = "to_backup",
                                          .manager = "BackupManager",
                                          .servers = 3,
                                          .clustered = true,
                                          .previous = &fixture_queued};
STORED(to_redis, redis, prepare_redis, ON_REDIS, PATIENT, .clustered = true,
       .previous = &fixture_delta)
