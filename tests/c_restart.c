/* SPDX-License-Identifier: Apache-2.0
 *
 * c_restart.c: docs/promises.md, what outlives a server. The number in a name
 * is the statement's. */
#include "config.h"

#include "tests/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One session with everything in it, made at server 0. */
static void furnish(struct world *w, uint8_t id[ID_SIZE])
{
    uint8_t guest[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
    CHECK_INT_FATAL(world_login(w, 0, guest, "kim", id), RC_OK);
    CHECK_INT_FATAL(world_put(w, 0, id, "k", "kept"), RC_OK);
    CHECK_INT_FATAL(world_hit(w, 0, id, "hits"), RC_OK);
}

static void is_furnished(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                         int64_t hits)
{
    struct visit v;
    CHECK_INT_FATAL(visit_find(&v, w, i, id), RC_OK);
    CHECK_STR(session_user(&v.s), "kim");
    CHECK_STR(visit_get(&v, "k"), "kept");
    CHECK_INT(visit_count(&v, "hits"), hits);
    visit_end(&v);
}

static void restart_all(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        world_stop(w, i);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT_FATAL(world_start(w, i), RC_OK);
}

/* ---- stores ---- */

static void p50_a_store_outlives_its_servers(struct world *w)
{
    uint8_t id[ID_SIZE], ended[ID_SIZE];
    enum reason reason;
    furnish(w, id);
    CHECK_INT_FATAL(world_create(w, 1, ended), RC_OK);
    CHECK_INT(world_end(w, 1, ended, REASON_LOGOUT), RC_OK);
    for (int64_t n = 1; n <= 3; n++) {
        restart_all(w);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            is_furnished(w, i, id, n);
        CHECK_INT(world_look(w, 2, ended, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LOGOUT);
        /* A new start counts in a slot of its own. */
        CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    }
}

static void p51_one_server_less_is_no_loss(struct world *w)
{
    uint8_t id[ID_SIZE];
    furnish(w, id);
    world_stop(w, 0);
    is_furnished(w, 1, id, 1);
    CHECK_INT(world_hit(w, 1, id, "hits"), RC_OK);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    is_furnished(w, 0, id, 2);
}

static const struct setting idle[] = {{"maxInactive", "100"}, {NULL, NULL}};

static void p52_time_goes_on_while_all_are_stopped(struct world *w)
{
    uint8_t id[ID_SIZE], other[ID_SIZE];
    enum reason reason;
    furnish(w, id);
    for (unsigned i = 0; i < w->count; i++)
        world_stop(w, i);
    world_pass(w, 90000);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT_FATAL(world_start(w, i), RC_OK);
    is_furnished(w, 1, id, 1);
    CHECK_INT_FATAL(world_create(w, 1, other), RC_OK);
    CU_ASSERT(world_settle(w));
    for (unsigned i = 0; i < w->count; i++)
        world_stop(w, i);
    world_pass(w, 110000);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT_FATAL(world_start(w, i), RC_OK);
    CHECK_INT(world_look(w, 2, other, &reason), RC_ABSENT);
    CHECK_INT(reason, REASON_IDLE);
}

/* ---- standard ---- */

static const struct setting pathname[] = {{"pathname", "sessions.file"},
                                          {NULL, NULL}};
static const struct setting idle_pathname[] = {
    {"pathname", "sessions.file"}, {"maxInactive", "100"}, {NULL, NULL}};

static void path_of_file(const struct world *w, char out[512])
{
    snprintf(out, 512, "%s/sessions.file.test", w->dir);
}

static void p60_an_orderly_restart_keeps_all(struct world *w)
{
    uint8_t id[ID_SIZE], many[50][ID_SIZE];
    furnish(w, id);
    for (unsigned n = 0; n < 50; n++)
        CHECK_INT_FATAL(world_create(w, 0, many[n]), RC_OK);
    for (int64_t n = 1; n <= 3; n++) {
        restart_all(w);
        is_furnished(w, 0, id, n);
        CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    }
    for (unsigned n = 0; n < 50; n++)
        CHECK_INT(world_look(w, 0, many[n], NULL), RC_OK);
    CHECK_INT(world_stats(w, 0).active, 51);
}

static void p60_without_a_pathname_nothing_is_kept(struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    furnish(w, id);
    restart_all(w);
    CHECK_INT(world_look(w, 0, id, &reason), RC_ABSENT);
    CHECK_INT(reason, REASON_UNKNOWN);
}

/* Writes the first `keep` bytes of the file anew, and flips one if asked. */
static bool file_spoil(const char *path, double keep, long flip)
{
    char bytes[65536];
    FILE *f = fopen(path, "r+b");
    if (!f)
        return false;
    size_t len = fread(bytes, 1, sizeof bytes, f);
    if (flip >= 0 && (size_t)flip < len)
        bytes[flip] ^= 0x55;
    rewind(f);
    bool is_written = fwrite(bytes, 1, len, f) == len;
    return fclose(f) == 0 && is_written &&
           truncate(path, (off_t)((double)len * keep)) == 0;
}

/* Whatever the file says now: the server starts, and no session is half. */
static void start_over(struct world *w, const uint8_t id[ID_SIZE])
{
    struct visit v;
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    CU_ASSERT(manager_ready(w->m[0], w->now));
    if (visit_find(&v, w, 0, id) == RC_OK) {
        CHECK_STR(visit_get(&v, "k"), "kept");
        CHECK_INT(visit_count(&v, "hits"), 1);
    } else {
        CHECK_INT(v.rc, RC_ABSENT);
    }
    visit_end(&v);
}

static void p61_a_damaged_file_stops_nobody(struct world *w)
{
    char path[512];
    path_of_file(w, path);
    for (int n = 0; n < 24; n++) {
        uint8_t id[ID_SIZE];
        furnish(w, id);
        world_stop(w, 0);
        if (n < 8)
            CU_ASSERT_FATAL(file_spoil(path, n / 8.0, -1));
        if (n >= 8)
            CU_ASSERT_FATAL(file_spoil(path, 1.0, (n - 8) * 7));
        start_over(w, id);
    }
    CU_ASSERT(world_logged(w, "sessions.file"));
}

static size_t file_read(const char *path, char *bytes, size_t size)
{
    FILE *f = fopen(path, "rb");
    size_t len = f ? fread(bytes, 1, size, f) : 0;
    if (f)
        fclose(f);
    return len;
}

static bool file_write(const char *path, const char *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(bytes, 1, len, f) == len;
    return f && fclose(f) == 0 && good;
}

/* Also where its form is as it should be. */
static void p61_all_damage_is_noticed(struct world *w)
{
    char path[512], bad[600], good[4096], bytes[4096];
    uint8_t id[ID_SIZE];
    path_of_file(w, path);
    snprintf(bad, sizeof bad, "%s.bad", path);
    furnish(w, id);
    world_stop(w, 0);
    size_t len = file_read(path, good, sizeof good);
    CU_ASSERT_FATAL(len > 200 && len < sizeof good);
    for (size_t n = 0; n < 2 * len; n += 1 + n / 64) {
        size_t keep = n < len ? len : n - len;
        memcpy(bytes, good, len);
        if (n < len)
            bytes[n] = (char)(bytes[n] ^ 1 << n % 8);
        CU_ASSERT_FATAL(file_write(path, bytes, keep));
        start_over(w, id);
        CHECK_INT(unlink(bad), 0);
        world_stop(w, 0);
    }
    CU_ASSERT_FATAL(file_write(path, good, len));
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    is_furnished(w, 0, id, 1);
    CHECK_INT(unlink(bad), -1);
}

static void p61_a_file_that_cannot_be_read_is_left_alone(struct world *w)
{
    char path[512], kept[600];
    uint8_t id[ID_SIZE];
    path_of_file(w, path);
    snprintf(kept, sizeof kept, "%s.kept", path);
    furnish(w, id);
    world_stop(w, 0);
    CHECK_INT_FATAL(rename(path, kept), 0);
    CHECK_INT_FATAL(symlink(path, path), 0); /* for root as well */
    CHECK_INT(world_start(w, 0), RC_INVALID);
    world_stop(w, 0);
    CHECK_INT(unlink(path), 0); /* nothing was put in its place */
    CHECK_INT_FATAL(rename(kept, path), 0);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    is_furnished(w, 0, id, 1);
}

static void p62_a_file_that_cannot_be_written_is_told(struct world *w)
{
    char path[512], aside[600];
    uint8_t id[ID_SIZE];
    path_of_file(w, path);
    furnish(w, id);
    /* A directory in its place: nothing can be renamed over it. */
    CHECK_INT_FATAL(mkdir(path, 0700), 0);
    snprintf(aside, sizeof aside, "%s/x", path);
    CHECK_INT_FATAL(mkdir(aside, 0700), 0);
    world_stop(w, 0);
    CU_ASSERT(world_logged(w, "sessions.file"));
    rmdir(aside);
    rmdir(path);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
}

static void p63_time_goes_on_in_the_file(struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    furnish(w, id);
    world_stop(w, 0);
    world_pass(w, 90000);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    is_furnished(w, 0, id, 1);
    world_stop(w, 0);
    world_pass(w, 101000);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    CHECK_INT(world_look(w, 0, id, &reason), RC_ABSENT);
    CU_ASSERT(reason == REASON_IDLE || reason == REASON_UNKNOWN);
}

/* What was loaded is this process's: after its end without a word (kill -9)
 * nobody finds it in the file once more. */
static void p60_what_was_loaded_is_no_longer_in_the_file(struct world *w)
{
    uint8_t id[ID_SIZE];
    char path[512];
    furnish(w, id);
    world_stop(w, 0);
    path_of_file(w, path);
    CHECK_INT(access(path, F_OK), 0);
    CHECK_INT_FATAL(world_start(w, 0), RC_OK);
    is_furnished(w, 0, id, 1);
    CHECK_INT(access(path, F_OK), -1);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
}

/* A use that is written down as later than now: a clock was set back. The
 * session may not live longer for that. */
static void p12_a_clock_that_was_set_back_keeps_nobody(struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    furnish(w, id);
    for (unsigned i = 0; i < w->count; i++)
        world_stop(w, i);
    w->now.wall -= 3600000;
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT_FATAL(world_start(w, i), RC_OK);
    is_furnished(w, 0, id, 1);
    for (int s = 0; s < 170; s++) {
        world_pass(w, 1000);
        world_tick(w);
    }
    CHECK_INT(world_look(w, 0, id, &reason), RC_ABSENT);
    CU_ASSERT(reason == REASON_IDLE || reason == REASON_UNKNOWN);
}

/* clang-format off */
#define STORED(S)                                                              \
    S(p50_a_store_outlives_its_servers, NULL)                                  \
    S(p51_one_server_less_is_no_loss, NULL)                                    \
    S(p12_a_clock_that_was_set_back_keeps_nobody, idle)                        \
    S(p52_time_goes_on_while_all_are_stopped, idle)
#define ON_STORES(name, settings)                                              \
    STATEMENT_ON(name, settings, memory)                                       \
    STATEMENT_ON(name, settings, queued)                                       \
    STATEMENT_ON(name, settings, sqlite)                                       \
    STATEMENT_ON(name, settings, file)                                         \
    STATEMENT_ON(name, settings, redis)                                        \
    STATEMENT_ON(name, settings, tracking)                                     \
    STATEMENT_ON(name, settings, memcached)                                    \
    STATEMENT_ON(name, settings, traced)
#define STORED_CASES(name, settings)                                           \
    CASE(name##_on_memory), CASE(name##_on_queued), CASE(name##_on_sqlite),    \
        CASE(name##_on_file), CASE(name##_on_redis),                           \
        CASE(name##_on_tracking), CASE(name##_on_memcached),                   \
        CASE(name##_on_traced),

#define FILED(S)                                                               \
    S(p60_an_orderly_restart_keeps_all, pathname)                              \
    S(p60_without_a_pathname_nothing_is_kept, NULL)                            \
    S(p60_what_was_loaded_is_no_longer_in_the_file, pathname)                  \
    S(p12_a_clock_that_was_set_back_keeps_nobody, idle_pathname)               \
    S(p61_a_damaged_file_stops_nobody, pathname)                               \
    S(p61_all_damage_is_noticed, pathname)                                     \
    S(p61_a_file_that_cannot_be_read_is_left_alone, pathname)                  \
    S(p62_a_file_that_cannot_be_written_is_told, pathname)                     \
    S(p63_time_goes_on_in_the_file, idle_pathname)
#define ON_STANDARD(name, settings) STATEMENT_ON(name, settings, standard)
#define FILED_CASES(name, settings) CASE(name##_on_standard),
/* clang-format on */

STORED(ON_STORES)
FILED(ON_STANDARD)
UNIT_MAIN("restart", STORED(STORED_CASES) FILED(FILED_CASES))
