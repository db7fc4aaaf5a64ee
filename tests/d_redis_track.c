/* SPDX-License-Identifier: Apache-2.0
 *
 * The Redis store with validate="tracking": what is read without asking, and
 * that nothing is for longer than it may. */
#include "config.h"

#include "session/store_impl.h"
#include "tests/ask.h"
#include "tests/redis_server.h"
#include "tests/unit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STALE 1000

struct pair {
    struct redis_server *redis;
    struct redis_options options;
    char url[320], said[8192];
    struct shop here, there; /* there: another server's */
    uint64_t version;        /* of row 1 */
};

static struct pair *pair_with(const char *settings, int64_t tracked)
{
    struct pair *p = calloc(1, sizeof *p);
    p->redis = redis_start(settings);
    redis_address(p->redis, p->url);
    p->options = (struct redis_options){.url = p->url,
                                        .timeout = 2000,
                                        .validate = REDIS_VALIDATE_TRACKING,
                                        .max_stale = MAX_STALE,
                                        .tracked = tracked};
    return p;
}

/* Row 1 is there, and `here` holds it. */
static struct pair *pair_new(const char *settings)
{
    struct pair *p = pair_with(settings, 1000);
    struct ask ask;
    shop_open(&p->here, &store_redis, &p->options, NULL);
    shop_open(&p->there, &store_redis, &p->options, NULL);
    CHECK_INT(ask_put(&p->there, &ask, 1, 0, "row", 3), RC_OK);
    p->version = ask.call.new_version;
    return p;
}

static void pair_free(struct pair *p)
{
    shop_close(&p->here);
    shop_close(&p->there);
    redis_stop_all();
    free(p);
}

/* How often Redis was asked for what, by anybody. */
static unsigned long calls(struct pair *p, const char *command)
{
    char name[64];
    redis_do(p->redis, p->said, sizeof p->said, "INFO commandstats");
    snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(p->said, name);
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

static unsigned long reads(struct pair *p)
{
    return calls(p, "get") + calls(p, "getrange");
}

/* What `here` says of the version that it holds of that row. */
static enum rc holds(struct pair *p, uint64_t number, uint64_t version)
{
    struct ask ask;
    enum rc rc = ask_get(&p->here, &ask, number, version);
    if (rc == RC_OK && !ask.call.unchanged)
        rc = RC_CONFLICT;
    ask_clear(&ask);
    return rc;
}

static bool needs_no_asking(void *user)
{
    struct pair *p = user;
    unsigned long before = reads(p);
    return holds(p, 1, p->version) == RC_OK && reads(p) == before;
}

static bool is_seen(void *user)
{
    struct pair *p = user;
    return holds(p, 1, p->version) != RC_OK;
}

/* Somebody else writes row 1; how long `here` takes that it holds for it. */
static int64_t change_elsewhere(struct pair *p)
{
    struct ask ask;
    CHECK_INT(ask_put(&p->there, &ask, 1, p->version, "new", 3), RC_OK);
    int64_t start = instant_read().mono;
    CU_ASSERT(ask_until(is_seen, p));
    int64_t took = instant_read().mono - start;
    p->version = ask.call.new_version;
    CHECK_INT(holds(p, 1, p->version), RC_OK);
    return took;
}

/* ---- as long as all is well ---- */

static void what_stands_is_not_asked_for(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    CU_ASSERT(ask_until(needs_no_asking, p));
    unsigned long before = reads(p);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(holds(p, 1, p->version), RC_OK);
    CU_ASSERT(reads(p) - before <= 10); /* of 1000: where it was slow */
    CHECK_INT(shop_logged(&p->here, "WARN"), 0);
    pair_free(p);
}

static void a_change_elsewhere_is_told(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    int64_t worst = 0;
    for (int i = 0; i < 50; i++) {
        CU_ASSERT(ask_until(needs_no_asking, p));
        int64_t took = change_elsewhere(p);
        worst = took > worst ? took : worst;
    }
    printf("seen after %" PRId64 " ms at the worst of 50\n", worst);
    CU_ASSERT(worst <= MAX_STALE);
    pair_free(p);
}

/* Redis forgets who has read what was written, the writer too. */
static void after_ones_own_write_it_is_told_as_well(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    for (int i = 0; i < 20; i++) {
        struct ask ask;
        CHECK_INT(ask_put(&p->here, &ask, 1, p->version, "mine", 4), RC_OK);
        CHECK_INT(holds(p, 1, p->version), RC_CONFLICT);
        p->version = ask.call.new_version;
        CHECK_INT(holds(p, 1, p->version), RC_OK);
        CU_ASSERT(change_elsewhere(p) <= MAX_STALE);
    }
    pair_free(p);
}

struct crossing {
    struct store_call call; /* first */
    sem_t answered;
};

static void crossed(struct store_call *call)
{
    sem_post(&((struct crossing *)call)->answered);
}

static void crossing_begin(struct crossing *c, uint64_t version)
{
    memset(c, 0, sizeof *c);
    sem_init(&c->answered, 0, 0);
    c->call.done = crossed;
    c->call.version = version;
    ask_id(c->call.id, 1);
}

/* A row is read while it is changed: the answer may come after the word that
 * it holds no more. */
static void an_answer_that_was_overtaken_is_not_believed(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    for (int i = 0; i < 3000; i++) {
        struct crossing put, get;
        crossing_begin(&put, p->version);
        put.call.bytes = "new";
        put.call.len = 3;
        put.call.expiry = INT64_MAX / 4;
        crossing_begin(&get, 0);
        CHECK_INT_FATAL(store_put(p->there.store, &put.call), RC_PENDING);
        CHECK_INT_FATAL(store_get(p->here.store, &get.call), RC_PENDING);
        sem_wait(&put.answered);
        sem_wait(&get.answered);
        free(get.call.found);
        CHECK_INT_FATAL(put.call.rc, RC_OK);
        CU_ASSERT_FATAL(ask_until(is_seen, p)); /* the old one is over */
        p->version = put.call.new_version;
    }
    pair_free(p);
}

static bool is_gone(void *user)
{
    struct pair *p = user;
    return holds(p, 1, p->version) == RC_ABSENT;
}

static void what_expires_or_is_flushed_is_told(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    struct ask ask;
    CU_ASSERT(ask_until(needs_no_asking, p));
    redis_do(p->redis, p->said, sizeof p->said, "FLUSHALL");
    CU_ASSERT(ask_until(is_gone, p));
    CHECK_INT(ask_put_until(&p->there, &ask, 1, 0, "row", 3,
                            instant_read().wall + 300),
              RC_OK);
    p->version = ask.call.new_version;
    CHECK_INT(holds(p, 1, p->version), RC_OK);
    CU_ASSERT(ask_until(is_gone, p));
    pair_free(p);
}

/* Two slots for a hundred rows. */
static void memory_is_bounded(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_with(NULL, 2);
    uint64_t versions[100];
    struct ask ask;
    shop_open(&p->here, &store_redis, &p->options, NULL);
    shop_open(&p->there, &store_redis, &p->options, NULL);
    for (int round = 0; round < 3; round++)
        for (uint64_t n = 0; n < 100; n++) {
            CHECK_INT(
                ask_put(&p->there, &ask, n, round ? versions[n] : 0, "x", 1),
                RC_OK);
            versions[n] = ask.call.new_version;
            CHECK_INT(holds(p, n, versions[n]), RC_OK);
            CHECK_INT(holds(p, (n + 99) % 100, versions[(n + 99) % 100]),
                      round || n ? RC_OK : RC_ABSENT);
        }
    pair_free(p);
}

/* ---- when it is not ---- */

static void kill_clients(struct pair *p, const char *type)
{
    CU_ASSERT(atoi(redis_do(p->redis, p->said, sizeof p->said,
                            "CLIENT KILL TYPE %s SKIPME yes", type)) > 0);
}

/* Nobody is told of what is changed while nobody listens. */
static void who_listens_no_more_knows_nothing(void)
{
    if (!redis_is_there())
        return;
    static const char *const types[] = {"pubsub", "normal"};
    struct pair *p = pair_new(NULL);
    for (int i = 0; i < 20; i++) {
        CU_ASSERT(ask_until(needs_no_asking, p));
        kill_clients(p, types[i % 2]);
        CU_ASSERT(change_elsewhere(p) <= MAX_STALE);
    }
    CU_ASSERT(ask_until(needs_no_asking, p));
    pair_free(p);
}

static void what_it_says_is_never_older_than_it_may_be(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(ask_until(needs_no_asking, p));
        redis_signal(p->redis, SIGSTOP);
        int64_t end = instant_read().mono + MAX_STALE, asked, late = 0;
        do {
            asked = instant_read().mono; /* may be answered later */
            if (holds(p, 1, p->version) == RC_OK && asked > end)
                late++;
        } while (asked < end + 200);
        CHECK_INT(late, 0);
        redis_signal(p->redis, SIGCONT);
        CU_ASSERT(ask_until(needs_no_asking, p));
    }
    pair_free(p);
}

static void it_works_where_it_may_not_track(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_with(
        "user default on nopass ~* resetchannels +@all -client|tracking", 10);
    struct ask ask;
    shop_open(&p->here, &store_redis, &p->options, NULL);
    CHECK_INT(shop_logs(&p->here, "cannot be tracked"), 1);
    CHECK_INT(ask_put(&p->here, &ask, 1, 0, "row", 3), RC_OK);
    unsigned long before = reads(p);
    for (int i = 0; i < 50; i++)
        CHECK_INT(holds(p, 1, ask.call.new_version), RC_OK);
    CHECK_INT(reads(p) - before, 50);
    CHECK_INT(shop_logged(&p->here, "cannot be tracked"), 1);
    shop_close(&p->here);
    redis_stop_all();
    free(p);
}

static void it_opens_without_redis_and_tracks_later(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_with("requirepass pw", 10);
    struct ask ask;
    redis_address(p->redis, p->url);
    redis_kill(p->redis);
    shop_open(&p->here, &store_redis, &p->options, NULL);
    shop_open(&p->there, &store_redis, &p->options, NULL);
    CHECK_INT(shop_get(&p->here, 1), RC_UNAVAILABLE);
    redis_restart(p->redis);
    while (ask_put(&p->there, &ask, 1, 0, "row", 3) != RC_OK)
        ;
    p->version = ask.call.new_version;
    CHECK_INT(shop_logs(&p->here, "can be used"), 1);
    CU_ASSERT(ask_until(needs_no_asking, p));
    CU_ASSERT(change_elsewhere(p) <= MAX_STALE);
    pair_free(p);
}

/* ---- lists ---- */

struct turn {
    struct store_page page; /* first */
    sem_t answered;
};

static void turned(struct store_page *page)
{
    sem_post(&((struct turn *)page)->answered);
}

static enum rc turn_over(struct turn *t, struct shop *shop)
{
    free(t->page.ids);
    if (store_list(shop->store, &t->page) == RC_PENDING)
        while (sem_wait(&t->answered))
            ;
    return t->page.rc;
}

static void a_list_is_good_for_one_connection(void)
{
    if (!redis_is_there())
        return;
    struct pair *p = pair_new(NULL);
    struct turn t = {.page = {.done = turned, .limit = 10}};
    sem_init(&t.answered, 0, 0);
    for (uint64_t i = 100; i < 300; i++)
        CHECK_INT(shop_put(&p->here, i, 0), RC_OK);
    CHECK_INT(turn_over(&t, &p->here), RC_OK);
    CU_ASSERT(t.page.more);
    kill_clients(p, "normal");
    enum rc rc;
    while ((rc = turn_over(&t, &p->here)) == RC_UNAVAILABLE)
        ;
    CHECK_INT(rc, RC_CONFLICT);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.page.err.text, "anew"));
    free(t.page.ids);
    sem_destroy(&t.answered);
    pair_free(p);
}

UNIT_MAIN("redis_track", CASE(what_stands_is_not_asked_for),
          CASE(a_change_elsewhere_is_told),
          CASE(after_ones_own_write_it_is_told_as_well),
          CASE(an_answer_that_was_overtaken_is_not_believed),
          CASE(what_expires_or_is_flushed_is_told), CASE(memory_is_bounded),
          CASE(who_listens_no_more_knows_nothing),
          CASE(what_it_says_is_never_older_than_it_may_be),
          CASE(it_works_where_it_may_not_track),
          CASE(it_opens_without_redis_and_tracks_later),
          CASE(a_list_is_good_for_one_connection))
