/* SPDX-License-Identifier: Apache-2.0
 *
 * The Memcached store on real servers, and what it says when it cannot.
 * Timeout: 300 s */
#include "config.h"

#include "managers/stores/memcached.h"
#include "session/store_impl.h"
#include "tests/ask.h"
#include "tests/memcached_server.h"
#include "tests/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_MEMCACHED

#define PREFIX "margay:/shop:"
#define HOUR INT64_C(3600000)

struct stand {
    struct memcached_group *group;
    struct memcached_options options;
    struct memc_url where;
    struct memc_ring *ring;
    char said[8192];
    struct shop shop;
    uint64_t number;
    unsigned failures; /* before this case */
};

/* Not open yet. Three servers with these options. */
static struct stand *stand_with(const char *options)
{
    struct stand *s = calloc(1, sizeof *s);
    s->failures = CU_get_number_of_failures();
    s->group = memcached_group_start(options);
    memc_url_read(s->group->url, &s->where, NULL);
    s->ring = memc_ring_new(&s->where);
    s->options =
        (struct memcached_options){.url = s->group->url, .timeout = 2000};
    return s;
}

static void stand_open(struct stand *s)
{
    shop_open(&s->shop, &store_memcached, &s->options, NULL);
}

static struct stand *stand_new(const char *options)
{
    struct stand *s = stand_with(options);
    stand_open(s);
    return s;
}

static void stand_free(struct stand *s)
{
    if (CU_get_number_of_failures() > s->failures)
        printf("--- logged ---\n%s---\n", s->shop.lines);
    if (s->shop.store)
        shop_close(&s->shop);
    memc_ring_free(&s->ring);
    memcached_stop_all();
    free(s);
}

static const char *row_key(char out[64], uint64_t number)
{
    uint8_t id[16];
    ask_id(id, number);
    snprintf(out, 64, PREFIX);
    memc_key_id(out + strlen(PREFIX), id);
    out[strlen(PREFIX) + MEMC_ID_HEX] = 0;
    return out;
}

/* Whose share this number is in. */
static unsigned server_index(struct stand *s, uint64_t number)
{
    char key[64];
    row_key(key, number);
    return memc_ring_find(s->ring, key, strlen(key));
}

static struct memcached_server *server_of(struct stand *s, uint64_t number)
{
    return s->group->servers[server_index(s, number)];
}

/* The first number from `from` on in the share of server i. */
static uint64_t number_at(struct stand *s, unsigned i, uint64_t from)
{
    while (server_index(s, from) != i)
        from++;
    return from;
}

/* By a row that is never put, in the share of the first server. */
static bool is_usable(void *user)
{
    struct stand *s = user;
    return shop_get(&s->shop, number_at(s, 0, 1000000)) == RC_ABSENT;
}

static bool is_unusable(void *user)
{
    struct stand *s = user;
    return shop_get(&s->shop, number_at(s, 0, 1000000)) == RC_UNAVAILABLE;
}

/* ---- where it leads ---- */

static void a_url_says_where(void)
{
    struct memc_url u;
    CHECK_INT(memc_url_read("memcached://h", &u, NULL), RC_OK);
    CHECK_INT(u.count, 1);
    CHECK_STR(u.hosts[0].name, "h");
    CHECK_INT(u.hosts[0].port, 11211);
    CHECK_INT(
        memc_url_read("memcached://a-b.c:1,10.0.0.1,[::1]:65535/", &u, NULL),
        RC_OK);
    CHECK_INT(u.count, 3);
    CHECK_STR(u.hosts[0].name, "a-b.c");
    CHECK_INT(u.hosts[0].port, 1);
    CHECK_INT(u.hosts[1].port, 11211);
    CHECK_STR(u.hosts[2].name, "::1");
    CHECK_INT(u.hosts[2].port, 65535);
}

static void a_wrong_url_is_refused(void)
{
    static const char *const wrong[] = {"",
                                        "h:1",
                                        "redis://h",
                                        "memcached://",
                                        "memcached:///",
                                        "memcached://h:",
                                        "memcached://h:0",
                                        "memcached://h:65536",
                                        "memcached://h:1x",
                                        "memcached://h,",
                                        "memcached://h,,i",
                                        "memcached://h/0",
                                        "memcached://h i",
                                        "memcached://h\r\nquit",
                                        "memcached://kim:secret@h",
                                        "memcached://[::1",
                                        "memcached://[]:1",
                                        "memcached://[::1]x",
                                        "memcached://h:7,i,H:7"};
    struct memc_url u;
    struct err err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err.text[0] = 0;
        CHECK_INT(memc_url_read(wrong[i], &u, &err), RC_INVALID);
        CU_ASSERT_PTR_NULL(strstr(err.text, "secret"));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "memcached://host:port"));
    }
}

static void options_that_cannot_work_are_refused(void)
{
    struct memcached_options o = {.timeout = 400};
    struct store_env env = {.app = "/shop", .min_replicas = 1};
    struct store *store;
    struct shop shop;
    struct err err;
    char app[400];
    CHECK_INT(shop_try(&shop, &store_memcached, &o, NULL, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "url="));
    o.url = (char *)"memcached://127.0.0.1:1,127.0.0.1:2";
    memset(app, 'a', sizeof app);
    app[0] = '/';
    app[sizeof app - 1] = 0;
    CHECK_INT(shop_try(&shop, &store_memcached, &o, app, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "too long"));
    CHECK_INT(store_open(&store_memcached, &o, &env, &store, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "minReplicas"));
}

#define KEYS 6000

static void each_server_has_its_share(void)
{
    struct memc_url three, turned, two;
    unsigned at[3] = {0}, moved = 0, same = 0;
    memc_url_read("memcached://a:1,b:1,c", &three, NULL);
    memc_url_read("memcached://c,b:1,a:1", &turned, NULL);
    memc_url_read("memcached://a:1,c", &two, NULL);
    struct memc_ring *r3 = memc_ring_new(&three), *rt = memc_ring_new(&turned),
                     *r2 = memc_ring_new(&two);
    for (uint64_t n = 0; n < KEYS; n++) {
        char key[64];
        row_key(key, n);
        unsigned i = memc_ring_find(r3, key, strlen(key));
        unsigned j = memc_ring_find(r2, key, strlen(key));
        CU_ASSERT_FATAL(i < 3 && j < 2);
        at[i]++;
        same += memc_ring_find(rt, key, strlen(key)) == 2 - i;
        /* One server less: who was not there stays. */
        moved += i != 1 && strcmp(three.hosts[i].name, two.hosts[j].name) != 0;
    }
    for (int i = 0; i < 3; i++)
        CU_ASSERT(at[i] > KEYS / 5);
    CHECK_INT(same, KEYS);
    CHECK_INT(moved, 0);
    memc_ring_free(&r3);
    memc_ring_free(&rt);
    memc_ring_free(&r2);
}

/* ---- the stored form ---- */

/* What is left of the life of a row, in seconds; -1: for ever, -2: no row. */
static long long life_left(struct stand *s, uint64_t number)
{
    char key[64];
    memcached_do(server_of(s, number), s->said, sizeof s->said, "mg %s t",
                 row_key(key, number));
    return strncmp(s->said, "HD t", 4) == 0 ? atoll(s->said + 4) : -2;
}

static void a_row_is_an_item_at_its_server(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    char key[64], line[200];
    for (unsigned i = 0; i < 3; i++) {
        uint64_t n = number_at(s, i, 1);
        CHECK_INT(ask_put(&s->shop, &ask, n, 0, "hello", 5), RC_OK);
        snprintf(line, sizeof line, "VALUE %s 0 13 ", row_key(key, n));
        for (unsigned j = 0; j < 3; j++) {
            memcached_do(s->group->servers[j], s->said, sizeof s->said,
                         "gets %s", key);
            CHECK_INT(strncmp(s->said, line, strlen(line)) == 0, i == j);
        }
    }
    stand_free(s);
}

static void a_life_may_be_longer_than_30_days(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    static const int64_t lives[] = {100, 30 * 86400 - 10, 30 * 86400 + 10,
                                    400 * 86400};
    struct ask ask;
    for (uint64_t n = 0; n < 4; n++) {
        CHECK_INT(ask_put_until(&s->shop, &ask, n, 0, "x", 1,
                                instant_read().wall + lives[n] * 1000),
                  RC_OK);
        long long left = life_left(s, n);
        CU_ASSERT(left >= lives[n] - 3 && left <= lives[n] + 4);
    }
    /* Later than a lifetime, or than it can count: for ever. */
    CHECK_INT(ask_put_until(&s->shop, &ask, 5, 0, "x", 1, INT64_MAX / 4),
              RC_OK);
    CHECK_INT(ask_put_until(&s->shop, &ask, 6, 0, "x", 1,
                            instant_read().wall + 40 * 365 * 24 * HOUR),
              RC_OK);
    CHECK_INT(life_left(s, 5), -1);
    CHECK_INT(life_left(s, 6), -1);
    stand_free(s);
}

static bool is_gone(void *user)
{
    return shop_get(user, 1) == RC_ABSENT;
}

static void a_row_vanishes_when_its_time_is_over(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    int64_t end = instant_read().wall + 60;
    CHECK_INT(ask_put_until(&s->shop, &ask, 1, 0, "a", 1, end), RC_OK);
    uint64_t version = ask.call.new_version;
    CHECK_INT(shop_get(&s->shop, 1), RC_OK);
    CU_ASSERT(ask_until(is_gone, &s->shop));
    CU_ASSERT(instant_read().wall >= end); /* never early */
    CHECK_INT(shop_put(&s->shop, 1, version), RC_ABSENT);
    stand_free(s);
}

static void no_two_applications_have_a_key_in_common(void)
{
    if (!memcached_is_there())
        return;
    static const char *const apps[] = {"/a",   "/a:b", "/a%3Ab",         "/",
                                       "/a/b", "/A",   "/\xc3\xa9 *\r\n"};
    struct stand *s = stand_new(NULL);
    enum { COUNT = sizeof apps / sizeof *apps };
    for (int i = 0; i < COUNT; i++) {
        struct shop shop;
        shop_open(&shop, &store_memcached, &s->options, apps[i]);
        CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
        shop_close(&shop);
    }
    CHECK_INT(memcached_group_stat(s->group, "curr_items"), COUNT);
    stand_free(s);
}

static void what_is_not_ours_is_told(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    char key[64];
    memcached_do(server_of(s, 1), s->said, sizeof s->said,
                 "set %s 0 0 5\r\nshort", row_key(key, 1));
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "not ours"));
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "not ours"));
    CHECK_INT(shop_put(&s->shop, 3, 0), RC_OK);
    stand_free(s);
}

/* ---- what is too big ---- */

static void a_row_over_the_item_limit_is_not_sent(void)
{
    if (!memcached_is_there())
        return;
    static char bytes[3 << 20];
    struct stand *s = stand_new(NULL);
    struct ask ask;
    /* Close to the limit of 1 MiB it is taken, ... */
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, bytes, (1 << 20) - 200), RC_OK);
    long long before = memcached_group_stat(s->group, "bytes_read");
    CHECK_INT(ask_put(&s->shop, &ask, 2, 0, bytes, 1 << 20), RC_TOOBIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "1048576"));
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "-I"));
    CU_ASSERT(memcached_group_stat(s->group, "bytes_read") - before < 10000);
    /* ... and a limit that is wrong is told by the server. */
    shop_close(&s->shop);
    s->options.max_item_size = sizeof bytes;
    stand_open(s);
    CHECK_INT(ask_put(&s->shop, &ask, 2, 0, bytes, 1 << 20), RC_TOOBIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "-I"));
    CHECK_INT(shop_put(&s->shop, 2, 0), RC_OK);
    shop_close(&s->shop);
    s->options.max_item_size = 1024;
    stand_open(s);
    CHECK_INT(ask_put(&s->shop, &ask, 3, 0, bytes, 1024), RC_TOOBIG);
    CHECK_INT(ask_put(&s->shop, &ask, 3, 0, bytes, 800), RC_OK);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 0);
    stand_free(s);
}

static void one_with_larger_items_is_asked(void)
{
    if (!memcached_is_there())
        return;
    static char bytes[3 << 20];
    struct stand *s = stand_new("-I 4m");
    struct ask ask;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, bytes, sizeof bytes), RC_OK);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    CHECK_INT((int64_t)ask.call.found_len, sizeof bytes);
    ask_clear(&ask);
    stand_free(s);
}

/* ---- a server goes and comes ---- */

static void it_opens_without_servers_and_finds_them_later(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_with(NULL);
    for (int i = 0; i < 3; i++)
        memcached_kill(s->group->servers[i]);
    stand_open(s);
    CHECK_INT(shop_get(&s->shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 3);
    for (int i = 0; i < 3; i++)
        memcached_restart(s->group->servers[i]);
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_logged(&s->shop, "WARN"), 3);
    stand_free(s);
}

static bool is_told_away(void *user)
{
    struct stand *s = user;
    return !shop_stats(&s->shop).available;
}

static void only_its_share_is_away(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    for (uint64_t n = 1; n <= 60; n++)
        CHECK_INT(shop_put(&s->shop, n, 0), RC_OK);
    memcached_kill(s->group->servers[0]);
    CU_ASSERT(ask_until(is_unusable, s));
    CU_ASSERT(ask_until(is_told_away, s));
    unsigned away = 0;
    for (uint64_t n = 1; n <= 60; n++) {
        bool is_its = server_index(s, n) == 0;
        away += is_its;
        CHECK_INT(shop_get(&s->shop, n), is_its ? RC_UNAVAILABLE : RC_OK);
        /* Nobody takes over: what is new is refused, too. */
        CHECK_INT(shop_put(&s->shop, n + 1000, 0),
                  server_index(s, n + 1000) == 0 ? RC_UNAVAILABLE : RC_OK);
    }
    CU_ASSERT(away > 5);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 1);
    memcached_restart(s->group->servers[0]);
    CU_ASSERT(ask_until(is_usable, s));
    for (uint64_t n = 1; n <= 60; n++)
        CHECK_INT(shop_get(&s->shop, n),
                  server_index(s, n) == 0 ? RC_ABSENT : RC_OK);
    CHECK_INT(shop_logged(&s->shop, "can be used"), 1);
    CHECK_INT(shop_logged(&s->shop, "was restarted"), 1);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 2);
    CU_ASSERT(shop_stats(&s->shop).available);
    stand_free(s);
}

static bool gets_an_answer(void *user)
{
    struct stand *s = user;
    enum rc rc = shop_get(&s->shop, s->number);
    return rc == RC_OK || rc == RC_ABSENT;
}

static void what_a_restart_forgot_stays_gone(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    s->number = 1;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    uint64_t version = ask.call.new_version;
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_OK);
    memcached_kill(server_of(s, 1));
    memcached_restart(server_of(s, 1));
    CU_ASSERT(ask_until(gets_an_answer, s));
    /* Who changes it does not bring it back. */
    CHECK_INT(ask_put(&s->shop, &ask, 1, version, "y", 1), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_LOST);
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_LOST);
    /* Who never saw it does not know. */
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_UNKNOWN);
    CHECK_INT(ask_get(&s->shop, &ask, 1, version + 1), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_UNKNOWN);
    stand_free(s);
}

/* The cas numbers of another start begin again at 1: the row that is there has
 * the number that we know of the one that was. */
static void a_token_of_a_former_start_is_worth_nothing(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct shop other;
    struct ask ask;
    enum rc rc = RC_UNAVAILABLE;
    s->number = 1;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "old", 3), RC_OK);
    uint64_t version = ask.call.new_version;
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_OK);
    memcached_kill(server_of(s, 1));
    memcached_restart(server_of(s, 1));
    shop_open(&other, &store_memcached, &s->options, NULL);
    CHECK_INT(ask_put(&other, &ask, 1, 0, "new", 3), RC_OK);
    shop_close(&other);
    int64_t end = instant_read().mono + 20000;
    while (rc != RC_OK && rc != RC_CONFLICT && instant_read().mono < end)
        rc = ask_put(&s->shop, &ask, 1, version, "older", 5);
    CHECK_INT(rc, RC_CONFLICT);
    CU_ASSERT(ask.call.found_len == 3 && memcmp(ask.call.found, "new", 3) == 0);
    ask_clear(&ask);
    stand_free(s);
}

static void an_order_to_flush_is_noticed(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    uint64_t version = ask.call.new_version;
    memcached_do(server_of(s, 1), s->said, sizeof s->said, "flush_all");
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_LOST);
    CHECK_INT(shop_logs(&s->shop, "was flushed"), 1);
    stand_free(s);
}

/* ---- for want of memory ---- */

static bool is_evicting(struct stand *s)
{
    return memcached_group_stat(s->group, "evictions") > 0;
}

#define CHUNK 100000

/* Puts rows at server i until `is_over`. */
static enum rc fill_up(struct stand *s, unsigned i,
                       bool (*is_over)(struct stand *s))
{
    static char bytes[CHUNK];
    struct ask ask;
    uint64_t n = 5000;
    for (int count = 0; count < 2000; count++) {
        n = number_at(s, i, n + 1);
        enum rc rc = ask_put(&s->shop, &ask, n, 0, bytes, sizeof bytes);
        if (rc != RC_OK || (is_over && is_over(s)))
            return rc;
    }
    return RC_OK;
}

static void what_was_dropped_for_room_is_told(void)
{
    if (!memcached_is_there())
        return;
    static char bytes[CHUNK];
    struct stand *s = stand_new("-m 2");
    uint64_t versions[64];
    struct ask ask;
    unsigned evicted = 0, unknown = 0, there = 0;
    /* All at the first server, whose memory they exceed. */
    uint64_t n = 0;
    for (unsigned i = 0; i < 64; i++) {
        n = number_at(s, 0, n + 1);
        CHECK_INT(ask_put(&s->shop, &ask, n, 0, bytes, sizeof bytes), RC_OK);
        versions[i] = ask.call.new_version;
    }
    CU_ASSERT(is_evicting(s));
    n = 0;
    for (unsigned i = 0; i < 64; i++) {
        n = number_at(s, 0, n + 1);
        enum rc rc = ask_get(&s->shop, &ask, n, versions[i]);
        there += rc == RC_OK;
        evicted += rc == RC_ABSENT && ask.call.gone == REASON_EVICTED;
        unknown += rc == RC_ABSENT && ask.call.gone == REASON_UNKNOWN;
        ask_clear(&ask);
    }
    CU_ASSERT(evicted > 10 && there > 0);
    CHECK_INT(unknown, 0);
    CHECK_INT(shop_logs(&s->shop, "drops sessions for want of memory"), 1);
    /* Nobody who did not hold it can know. */
    CHECK_INT(ask_get(&s->shop, &ask, number_at(s, 0, 1), 0), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_UNKNOWN);
    stand_free(s);
}

static void what_somebody_deleted_is_not_told_as_dropped(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    char key[64];
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    uint64_t version = ask.call.new_version;
    memcached_do(server_of(s, 1), s->said, sizeof s->said, "delete %s",
                 row_key(key, 1));
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_ABSENT);
    CHECK_INT(ask.call.gone, REASON_UNKNOWN);
    stand_free(s);
}

static void one_that_never_drops_refuses(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new("-m 2 -M");
    struct ask ask;
    uint64_t n = number_at(s, 0, 1);
    CHECK_INT(ask_put(&s->shop, &ask, n, 0, "x", 1), RC_OK);
    CHECK_INT(fill_up(s, 0, NULL), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&s->shop, "writing fails"), 1);
    CHECK_INT(shop_logged(&s->shop, "out of memory"), 1);
    CHECK_INT(shop_get(&s->shop, n), RC_OK);
    /* The others have room. */
    CHECK_INT(shop_put(&s->shop, number_at(s, 1, 1), 0), RC_OK);
    stand_free(s);
}

static void one_without_compare_and_set_is_not_used(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_new("-C");
    struct ask ask;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "-C"));
    CHECK_INT(memcached_group_stat(s->group, "cmd_set"), 0);
    stand_free(s);
}

/* ---- time ---- */

static int64_t took_since(int64_t begin)
{
    return instant_read().mono - begin;
}

struct reader {
    struct stand *s;
    uint64_t first;
    atomic_bool stop;
    pthread_t thread;
    unsigned ok, others;
    int64_t slowest;
};

/* Reads at another server all the time. */
static void *reader_run(void *user)
{
    struct reader *r = user;
    while (!atomic_load(&r->stop)) {
        int64_t begin = instant_read().mono;
        enum rc rc = shop_get(&r->s->shop, r->first);
        r->ok += rc == RC_OK;
        r->others += rc != RC_OK;
        if (took_since(begin) > r->slowest)
            r->slowest = took_since(begin);
    }
    return NULL;
}

static void one_that_stands_still_holds_nobody(void)
{
    if (!memcached_is_there())
        return;
    struct stand *s = stand_with(NULL);
    struct reader r = {.s = s};
    struct ask ask;
    s->options.timeout = 400;
    stand_open(s);
    uint64_t a = number_at(s, 0, 1), b = number_at(s, 0, a + 1);
    r.first = number_at(s, 1, 1);
    CHECK_INT(ask_put(&s->shop, &ask, a, 0, "a", 1), RC_OK);
    uint64_t version = ask.call.new_version;
    CHECK_INT(ask_put(&s->shop, &ask, b, 0, "b", 1), RC_OK);
    CHECK_INT(shop_put(&s->shop, r.first, 0), RC_OK);
    pthread_create(&r.thread, NULL, reader_run, &r);
    memcached_signal(s->group->servers[0], SIGSTOP);
    int64_t begin = instant_read().mono;
    enum rc rc = ask_put(&s->shop, &ask, a, version, "aa", 2);
    CU_ASSERT(rc == RC_UNCERTAIN || rc == RC_UNAVAILABLE);
    ask_clear(&ask);
    CU_ASSERT(took_since(begin) < 2000);
    CU_ASSERT(ask_until(is_told_away, s));
    for (int i = 0; i < 20; i++) {
        begin = instant_read().mono;
        CHECK_INT(shop_get(&s->shop, a), RC_UNAVAILABLE);
        CU_ASSERT(took_since(begin) < 100);
    }
    atomic_store(&r.stop, true);
    pthread_join(r.thread, NULL);
    CU_ASSERT(r.ok > 20);
    CHECK_INT(r.others, 0);
    CU_ASSERT(r.slowest < 400);
    memcached_signal(s->group->servers[0], SIGCONT);
    CU_ASSERT(ask_until(is_usable, s));
    /* What was late does not answer what comes next. */
    CHECK_INT(ask_get(&s->shop, &ask, b, 0), RC_OK);
    CU_ASSERT(ask.call.found_len == 1 && memcmp(ask.call.found, "b", 1) == 0);
    ask_clear(&ask);
    CHECK_INT(shop_logged(&s->shop, "was restarted"), 0);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 1);
    stand_free(s);
}

#else

static void it_is_built(void)
{
    memcached_is_there();
}

#endif

#ifdef HAVE_MEMCACHED
UNIT_MAIN("memcached", CASE(a_url_says_where), CASE(a_wrong_url_is_refused),
          CASE(options_that_cannot_work_are_refused),
          CASE(each_server_has_its_share), CASE(a_row_is_an_item_at_its_server),
          CASE(a_life_may_be_longer_than_30_days),
          CASE(a_row_vanishes_when_its_time_is_over),
          CASE(no_two_applications_have_a_key_in_common),
          CASE(what_is_not_ours_is_told),
          CASE(a_row_over_the_item_limit_is_not_sent),
          CASE(one_with_larger_items_is_asked),
          CASE(it_opens_without_servers_and_finds_them_later),
          CASE(only_its_share_is_away), CASE(what_a_restart_forgot_stays_gone),
          CASE(a_token_of_a_former_start_is_worth_nothing),
          CASE(an_order_to_flush_is_noticed),
          CASE(what_was_dropped_for_room_is_told),
          CASE(what_somebody_deleted_is_not_told_as_dropped),
          CASE(one_that_never_drops_refuses),
          CASE(one_without_compare_and_set_is_not_used),
          CASE(one_that_stands_still_holds_nobody))
#else
UNIT_MAIN("memcached", CASE(it_is_built))
#endif
