/* SPDX-License-Identifier: Apache-2.0
 *
 * The Redis store on a real redis-server, and what that says when it cannot. */
#include "config.h"

#include "managers/stores/redis.h"
#include "session/store_impl.h"
#include "tests/ask.h"
#include "tests/redis_server.h"
#include "tests/unit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY "margay:/shop:"

struct stand {
    struct redis_server *redis;
    struct redis_options options;
    char url[320], said[4096];
    struct shop shop;
    uint64_t number;
    unsigned failures; /* before this case */
};

static struct stand *stand_with(const char *settings)
{
    struct stand *s = calloc(1, sizeof *s);
    s->failures = CU_get_number_of_failures();
    s->redis = redis_start(settings);
    redis_address(s->redis, s->url);
    s->options = (struct redis_options){.url = s->url, .timeout = 2000};
    return s;
}

static struct stand *stand_new(const char *settings)
{
    struct stand *s = stand_with(settings);
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    return s;
}

static void stand_free(struct stand *s)
{
    if (CU_get_number_of_failures() > s->failures)
        printf("--- logged ---\n%s---\n", s->shop.lines);
    if (s->shop.store)
        shop_close(&s->shop);
    redis_stop_all();
    free(s);
}

static bool is_usable(void *user)
{
    struct stand *s = user;
    return shop_get(&s->shop, 99) == RC_ABSENT;
}

static bool is_unusable(void *user)
{
    struct stand *s = user;
    return shop_get(&s->shop, 99) == RC_UNAVAILABLE;
}

static const char *key_text(char out[64], uint64_t number)
{
    uint8_t id[16];
    ask_id(id, number);
    int n = snprintf(out, 64, KEY);
    for (int i = 0; i < 16; i++)
        n += snprintf(out + n, 64 - (size_t)n, "%02X", id[i]);
    return out;
}

/* ---- where it leads ---- */

static void a_url_says_where(void)
{
    struct redis_url u;
    CHECK_INT(redis_url_read("redis://h", &u, NULL), RC_OK);
    CHECK_STR(u.hosts[0].name, "h");
    CHECK_INT(u.hosts[0].port, 6379);
    CHECK_INT(u.db, 0);
    CHECK_STR(u.master, "");
    CHECK_INT(redis_url_read("redis://:p%40s%2Fs@h:7/12", &u, NULL), RC_OK);
    CHECK_STR(u.user, "");
    CHECK_STR(u.password, "p@s/s");
    CHECK_INT(u.hosts[0].port, 7);
    CHECK_INT(u.db, 12);
    CHECK_INT(redis_url_read("redis://kim:a:b@[::1]:9/", &u, NULL), RC_OK);
    CHECK_STR(u.user, "kim");
    CHECK_STR(u.password, "a:b");
    CHECK_STR(u.hosts[0].name, "::1");
    CHECK_INT(u.hosts[0].port, 9);
    CHECK_INT(redis_url_read("redis-sentinel://a,b:2,[::1]/m/3", &u, NULL),
              RC_OK);
    CHECK_INT(u.host_count, 3);
    CHECK_INT(u.hosts[0].port, 26379);
    CHECK_INT(u.hosts[1].port, 2);
    CHECK_STR(u.hosts[2].name, "::1");
    CHECK_STR(u.master, "m");
    CHECK_INT(u.db, 3);
}

static void a_wrong_url_is_refused_without_its_password(void)
{
    static const char *const wrong[] = {"",
                                        "http://h",
                                        "rediss://:secret@h",
                                        "redis://",
                                        "redis://:secret@",
                                        "redis://:secret@h:",
                                        "redis://:secret@h:0",
                                        "redis://:secret@h:65536",
                                        "redis://:secret@h:6379x",
                                        "redis://:secret@h/x",
                                        "redis://:secret@h/1/2",
                                        "redis://:secret@h,i",
                                        "redis://:secret%@h",
                                        "redis://:secret%4@h",
                                        "redis://:secret%00@h",
                                        "redis://:sec/secret@h",
                                        "redis://secret@h",
                                        "redis://:@h",
                                        "redis://[::1:3",
                                        "redis://[::1]x",
                                        "redis-sentinel://:secret@h",
                                        "redis-sentinel://:secret@h/",
                                        "redis-sentinel://h,/m",
                                        "redis-sentinel://h/m/x"};
    struct redis_url u;
    struct err err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err.text[0] = 0;
        CHECK_INT(redis_url_read(wrong[i], &u, &err), RC_INVALID);
        CU_ASSERT_PTR_NULL(strstr(err.text, "secret"));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "redis-sentinel://"));
    }
}

static void options_that_cannot_work_are_refused(void)
{
    struct redis_options o = {.timeout = 400};
    struct shop shop;
    struct err err;
    CHECK_INT(shop_try(&shop, &store_redis, &o, NULL, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "url="));
}

/* ---- the stored form ---- */

static void a_row_is_a_string_with_a_life(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    char key[64];
    key_text(key, 1);
    CHECK_INT(ask_put_until(&s->shop, &ask, 1, 0, "hello", 5,
                            instant_read().wall + 100000),
              RC_OK);
    CHECK_STR(
        redis_do(s->redis, s->said, sizeof s->said, "GETRANGE %s 8 -1", key),
        "hello");
    CHECK_STR(redis_do(s->redis, s->said, sizeof s->said, "STRLEN %s", key),
              "13");
    long left =
        atol(redis_do(s->redis, s->said, sizeof s->said, "PTTL %s", key));
    CU_ASSERT(left > 60000 && left <= 100000);
    /* Later than a lifetime: for ever. */
    CHECK_INT(ask_put_until(&s->shop, &ask, 1, ask.call.new_version, "x", 1,
                            INT64_MAX / 4),
              RC_OK);
    CHECK_STR(redis_do(s->redis, s->said, sizeof s->said, "PTTL %s", key),
              "-1");
    stand_free(s);
}

static bool is_gone(void *user)
{
    return shop_get(user, 1) == RC_ABSENT;
}

static void a_row_vanishes_when_its_time_is_over(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    CHECK_INT(
        ask_put_until(&s->shop, &ask, 1, 0, "a", 1, instant_read().wall + 60),
        RC_OK);
    CU_ASSERT(ask_until(is_gone, &s->shop));
    CHECK_INT(shop_put(&s->shop, 1, ask.call.new_version), RC_ABSENT);
    /* What is due already goes at once. */
    CHECK_INT(ask_put_until(&s->shop, &ask, 1, 0, "a", 1, 1000), RC_OK);
    CU_ASSERT(ask_until(is_gone, &s->shop));
    CHECK_STR(redis_do(s->redis, s->said, sizeof s->said, "DBSIZE"), "0");
    stand_free(s);
}

static void no_two_applications_have_a_key_in_common(void)
{
    if (!redis_is_there())
        return;
    static const char *const apps[] = {"/a",   "/a:b", "/a%3Ab",       "/",
                                       "/a/b", "/A",   "/\xc3\xa9*[x]"};
    struct stand *s = stand_new(NULL);
    enum { COUNT = sizeof apps / sizeof *apps };
    for (int i = 0; i < COUNT; i++) {
        struct shop shop;
        shop_open(&shop, &store_redis, &s->options, apps[i]);
        CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
        shop_close(&shop);
    }
    CHECK_INT(atoi(redis_do(s->redis, s->said, sizeof s->said, "DBSIZE")),
              COUNT);
    redis_do(s->redis, s->said, sizeof s->said, "KEYS *");
    CU_ASSERT_PTR_NOT_NULL(strstr(s->said, "margay:/a%3Ab:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(s->said, "margay:/a%253Ab:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(s->said, "margay:/%C3%A9%2A%5Bx%5D:"));
    stand_free(s);
}

static void what_is_not_ours_is_told(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct ask ask;
    char key[64];
    redis_do(s->redis, s->said, sizeof s->said, "RPUSH %s x", key_text(key, 1));
    redis_do(s->redis, s->said, sizeof s->said, "SET %s short",
             key_text(key, 2));
    redis_do(s->redis, s->said, sizeof s->said,
             "EVAL return(redis.call([[SET]],KEYS[1],[[]])) 1 %s",
             key_text(key, 3));
    CHECK_STR(redis_do(s->redis, s->said, sizeof s->said, "EXISTS %s", key),
              "1");
    for (uint64_t round = 0; round < 5; round++)
        for (uint64_t n = 1; n <= 3; n++) {
            for (uint64_t version = 0; version < 2; version++) {
                CHECK_INT(ask_get(&s->shop, &ask, n, version), RC_UNAVAILABLE);
                CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "not ours"));
                CHECK_INT(ask_put(&s->shop, &ask, n, version, "x", 1),
                          RC_UNAVAILABLE);
                CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "not ours"));
            }
            CHECK_INT(shop_get(&s->shop, 4), RC_ABSENT);
        }
    CHECK_INT(shop_put(&s->shop, 4, 0), RC_OK);
    /* one cause, one line, and one when the first of them is well */
    CHECK_INT(shop_logged(&s->shop, "not ours"), 1);
    CHECK_INT(shop_logged(&s->shop, "again"), 0);
    for (uint64_t n = 1; n <= 3; n++) {
        redis_do(s->redis, s->said, sizeof s->said, "DEL %s", key_text(key, n));
        CHECK_INT(shop_get(&s->shop, n), RC_ABSENT);
        CHECK_INT(shop_put(&s->shop, n, 0), RC_OK);
    }
    CHECK_INT(shop_logged(&s->shop, "can be used"), 1);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 1);
    stand_free(s);
}

/* ---- who may ---- */

static void a_password_a_user_and_a_database(void)
{
    if (!redis_is_there())
        return;
    struct stand *s =
        stand_new("requirepass pw\nuser kim on >a:b@c ~margay:* -@all +get "
                  "+getrange +set +eval +evalsha +script|load +ping +role "
                  "+select +wait +auth");
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_OK);
    shop_close(&s->shop);
    snprintf(s->url, sizeof s->url, "redis://kim:a%%3Ab%%40c@127.0.0.1:%d/3",
             s->redis->port);
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    CHECK_INT(shop_get(&s->shop, 1), RC_ABSENT);
    CHECK_INT(shop_put(&s->shop, 2, 0), RC_OK);
    CHECK_INT(shop_get(&s->shop, 2), RC_OK);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        redis_do(s->redis, s->said, sizeof s->said, "INFO keyspace"), "db3"));
    stand_free(s);
}

/* The first line of a file, and not the url beside it. */
static void a_url_in_a_file(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_with("requirepass pw");
    struct err err = {""};
    char path[512];
    snprintf(path, sizeof path, "%s/url", unit_tmpdir());
    FILE *f = fopen(path, "we");
    CU_ASSERT_FATAL(f != NULL);
    fprintf(f, "redis://:pw@127.0.0.1:%d/0\n# another line\n", s->redis->port);
    fclose(f);
    s->options.url_file = path;
    snprintf(s->url, sizeof s->url, "redis://:other@127.0.0.1:1/0");
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_OK);
    CHECK_INT(shop_get(&s->shop, 1), RC_OK);
    shop_close(&s->shop);
    CHECK_INT(truncate(path, 0), 0);
    CHECK_INT(shop_try(&s->shop, &store_redis, &s->options, NULL, &err),
              RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "first line is empty"));
    stand_free(s);
}

struct refusal {
    const char *url; /* with %d for the port */
    const char *text;
};

static void who_is_not_let_in_is_told_why(void)
{
    if (!redis_is_there())
        return;
    static const struct refusal refusals[] = {
        {"redis://127.0.0.1:%d", "wants a password"},
        {"redis://:wrongsecret@127.0.0.1:%d", "refuses the user or password"},
        {"redis://eve:wrongsecret@127.0.0.1:%d",
         "refuses the user or password"},
        {"redis://low:pw@127.0.0.1:%d", "may not use a command"},
        {"redis://:pw@127.0.0.1:%d/77", "DB index is out of range"}};
    struct stand *s = stand_with("requirepass pw\nuser low on >pw +select");
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct ask ask;
        char describe[256];
        snprintf(s->url, sizeof s->url, refusals[i].url, s->redis->port);
        shop_open(&s->shop, &store_redis, &s->options, NULL);
        CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, refusals[i].text));
        CHECK_INT(shop_logs(&s->shop, refusals[i].text), 1);
        CHECK_INT(shop_logged(&s->shop, "wrongsecret"), 0);
        store_describe(s->shop.store, describe, sizeof describe);
        CU_ASSERT_PTR_NULL(strstr(describe, "wrongsecret"));
        shop_close(&s->shop);
    }
    /* The password is put right over there: all works by itself. */
    snprintf(s->url, sizeof s->url, "redis://:pw2@127.0.0.1:%d",
             s->redis->port);
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    redis_do(s->redis, s->said, sizeof s->said, "CONFIG SET requirepass pw2");
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_logged(&s->shop, "can be used"), 1);
    stand_free(s);
}

/* ---- what may happen to it ---- */

static void it_opens_without_redis_and_finds_it_later(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_with(NULL);
    redis_kill(s->redis);
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    CHECK_INT(shop_get(&s->shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_UNAVAILABLE);
    redis_restart(s->redis);
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_OK);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 1);
    CHECK_INT(shop_logged(&s->shop, "can be used"), 1);
    stand_free(s);
}

static void a_restart_is_noticed_by_nobody(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new("appendonly yes\nappendfsync always");
    struct ask ask;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    redis_kill(s->redis);
    redis_restart(s->redis);
    /* Either the check has found it gone, or nobody has. */
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_get(&s->shop, 1), RC_OK);
    /* The script went with it, or came back with the new connection. */
    CHECK_INT(shop_put(&s->shop, 1, ask.call.new_version), RC_OK);
    stand_free(s);
}

static void an_outage_is_one_line_and_its_end_another(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new(NULL);
    redis_kill(s->redis);
    CU_ASSERT(ask_until(is_unusable, s));
    for (int i = 0; i < 50; i++)
        shop_put(&s->shop, (uint64_t)i, 0);
    CHECK_INT(shop_logs(&s->shop, "WARN"), 1);
    CU_ASSERT_FALSE(shop_stats(&s->shop).available);
    redis_restart(s->redis);
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_logged(&s->shop, "WARN"), 1);
    CHECK_INT(shop_logged(&s->shop, "can be used"), 1);
    CU_ASSERT(shop_stats(&s->shop).available);
    stand_free(s);
}

struct counting {
    struct shop *shop;
    unsigned count;
    enum rc rc;
};

static void *count_up(void *user)
{
    struct counting *c = user;
    for (unsigned i = 0; i < c->count && c->rc == RC_OK; i++)
        c->rc = ask_increment(c->shop, 1);
    return NULL;
}

static void a_flushed_script_costs_nobody_anything(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct counting counting[4];
    pthread_t threads[4];
    struct ask ask;
    uint64_t number = 0, sum;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, &number, sizeof number), RC_OK);
    for (int i = 0; i < 4; i++) {
        counting[i] = (struct counting){&s->shop, 200, RC_OK};
        pthread_create(&threads[i], NULL, count_up, &counting[i]);
    }
    for (int i = 0; i < 100; i++)
        CHECK_STR(redis_do(s->redis, s->said, sizeof s->said, "SCRIPT FLUSH"),
                  "OK");
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(counting[i].rc, RC_OK);
    }
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    memcpy(&sum, ask.call.found, sizeof sum);
    CHECK_INT((int64_t)sum, 800);
    ask_clear(&ask);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 0);
    stand_free(s);
}

static void without_memory_it_can_be_read(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new("maxmemory-policy noeviction");
    struct ask ask;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    redis_do(s->redis, s->said, sizeof s->said, "CONFIG SET maxmemory 1");
    CHECK_INT(shop_put(&s->shop, 2, 0), RC_UNAVAILABLE);
    CHECK_INT(ask_put(&s->shop, &ask, 1, ask.call.new_version, "y", 1),
              RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "out of memory"));
    CHECK_INT(shop_get(&s->shop, 1), RC_OK);
    CHECK_INT(shop_get(&s->shop, 2), RC_ABSENT);
    CHECK_INT(shop_logs(&s->shop, "writing fails"), 1);
    redis_do(s->redis, s->said, sizeof s->said, "CONFIG SET maxmemory 0");
    CHECK_INT(shop_put(&s->shop, 2, 0), RC_OK);
    CHECK_INT(shop_logs(&s->shop, "can be written again"), 1);
    stand_free(s);
}

static void one_that_evicts_is_warned_of(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new("maxmemory-policy allkeys-lru");
    CHECK_INT(shop_put(&s->shop, 2, 0), RC_OK);
    CHECK_INT(shop_logged(&s->shop, "maxmemory-policy allkeys-lru"), 1);
    stand_free(s);
}

static void a_replica_is_not_written_to(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new(NULL);
    struct redis_server *other = redis_start(NULL);
    struct ask ask;
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_OK);
    redis_do(s->redis, s->said, sizeof s->said, "REPLICAOF 127.0.0.1 %d",
             other->port);
    CU_ASSERT(ask_until(is_unusable, s));
    CHECK_INT(ask_put(&s->shop, &ask, 2, 0, "x", 1), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "is a replica"));
    redis_do(s->redis, s->said, sizeof s->said, "REPLICAOF NO ONE");
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_put(&s->shop, 2, 0), RC_OK);
    stand_free(s);
}

static void while_it_loads_it_is_away(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_new("enable-debug-command yes\n"
                                "loading-process-events-interval-bytes 1024");
    redis_do(s->redis, s->said, sizeof s->said, "DEBUG POPULATE 2000");
    redis_do(s->redis, s->said, sizeof s->said,
             "CONFIG SET key-load-delay 500");
    redis_post(s->redis, "DEBUG RELOAD");
    CHECK_INT(shop_logs(&s->shop, "is loading its data"), 1);
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(shop_put(&s->shop, 1, 0), RC_OK);
    stand_free(s);
}

/* ---- time ---- */

static int64_t took_since(int64_t begin)
{
    return instant_read().mono - begin;
}

static void one_that_stands_still_holds_nobody(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_with(NULL);
    struct ask ask;
    uint64_t version;
    s->options.timeout = 400;
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    version = ask.call.new_version;
    redis_signal(s->redis, SIGSTOP);
    int64_t begin = instant_read().mono;
    /* It may still do it: it had the command. Or the check knew already. */
    enum rc rc = ask_put(&s->shop, &ask, 1, version, "y", 1);
    CU_ASSERT(rc == RC_UNCERTAIN || rc == RC_UNAVAILABLE);
    CU_ASSERT(took_since(begin) < 2000);
    CU_ASSERT(ask_until(is_unusable, s));
    for (int i = 0; i < 20; i++) {
        begin = instant_read().mono;
        CHECK_INT(shop_get(&s->shop, 1), RC_UNAVAILABLE);
        CU_ASSERT(took_since(begin) < 100);
    }
    redis_signal(s->redis, SIGCONT);
    CU_ASSERT(ask_until(is_usable, s));
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_OK);
    CU_ASSERT(rc == RC_UNCERTAIN || ask.call.unchanged);
    ask_clear(&ask);
    stand_free(s);
}

/* ---- replicas ---- */

static bool is_written(void *user)
{
    struct stand *s = user;
    return shop_put(&s->shop, s->number++, 0) == RC_OK;
}

static bool is_not_written(void *user)
{
    struct stand *s = user;
    return shop_put(&s->shop, 51, 0) == RC_UNAVAILABLE;
}

static void a_put_waits_for_the_replicas(void)
{
    if (!redis_is_there())
        return;
    struct stand *s = stand_with(NULL);
    char settings[80], key[64];
    struct ask ask;
    struct store_env env;
    struct err err;
    s->options.timeout = 300;
    shop_open(&s->shop, &store_redis, &s->options, NULL);
    store_close(&s->shop.store, 0);
    env = s->shop.env;
    env.min_replicas = 1;
    CHECK_INT_FATAL(
        store_open(&store_redis, &s->options, &env, &s->shop.store, &err),
        RC_OK);
    /* There is none: nothing is sent. */
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "fewer replicas"));
    CHECK_INT(shop_get(&s->shop, 1), RC_ABSENT);

    snprintf(settings, sizeof settings, "replicaof 127.0.0.1 %d",
             s->redis->port);
    struct redis_server *replica = redis_start(settings);
    s->number = 1000;
    CU_ASSERT(ask_until(is_written, s));
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    CHECK_STR(redis_do(replica, s->said, sizeof s->said, "GETRANGE %s 8 -1",
                       key_text(key, 1)),
              "x");
    /* It stands still: who knows whether it will ever have it. */
    redis_signal(replica, SIGSTOP);
    CHECK_INT(ask_put(&s->shop, &ask, 2, 0, "x", 1), RC_UNCERTAIN);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, "confirmed"));
    CHECK_INT(shop_get(&s->shop, 2), RC_OK);
    redis_signal(replica, SIGCONT);
    CU_ASSERT(ask_until(is_written, s));
    /* It is gone: nothing is sent any more. */
    redis_kill(replica);
    CU_ASSERT(ask_until(is_not_written, s));
    CHECK_INT(shop_get(&s->shop, 1), RC_OK);
    stand_free(s);
}

static void one_without_replicas_says_so(void)
{
    struct memory_options options = {.is_inline = true};
    struct store_env env = {.app = "/shop", .min_replicas = 1};
    struct store *store = NULL;
    struct err err;
    CHECK_INT(store_open(&store_memory, &options, &env, &store, &err),
              RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "minReplicas"));
}

UNIT_MAIN("redis", CASE(a_url_says_where),
          CASE(a_wrong_url_is_refused_without_its_password),
          CASE(options_that_cannot_work_are_refused),
          CASE(a_row_is_a_string_with_a_life),
          CASE(a_row_vanishes_when_its_time_is_over),
          CASE(no_two_applications_have_a_key_in_common),
          CASE(what_is_not_ours_is_told),
          CASE(a_password_a_user_and_a_database), CASE(a_url_in_a_file),
          CASE(who_is_not_let_in_is_told_why),
          CASE(it_opens_without_redis_and_finds_it_later),
          CASE(a_restart_is_noticed_by_nobody),
          CASE(an_outage_is_one_line_and_its_end_another),
          CASE(a_flushed_script_costs_nobody_anything),
          CASE(without_memory_it_can_be_read),
          CASE(one_that_evicts_is_warned_of), CASE(a_replica_is_not_written_to),
          CASE(while_it_loads_it_is_away),
          CASE(one_that_stands_still_holds_nobody),
          CASE(a_put_waits_for_the_replicas),
          CASE(one_without_replicas_says_so))
