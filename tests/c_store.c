/* SPDX-License-Identifier: Apache-2.0
 *
 * What every store promises, asked of each of them.
 * Timeout: 300 s */
#include "config.h"

#include "tests/stall.h"
#include "tests/unit.h"

#include "session/store_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one row -------------------------------------------------------------- */

static void a_row_is_found_as_it_was_put(struct stall *s)
{
    struct ask ask;
    uint64_t version;

    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_ABSENT);
    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, "a\0b", 3), RC_OK);
    version = ask.call.new_version;
    CU_ASSERT(version != 0);
    CHECK_INT_FATAL(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    CHECK_INT(ask.call.new_version, version);
    CHECK_INT_FATAL(ask.call.found_len, 3);
    CU_ASSERT(memcmp(ask.call.found, "a\0b", 3) == 0);
    CU_ASSERT_FALSE(ask.call.unchanged);
    ask_clear(&ask);
    CHECK_INT(ask_get(&s->shop, &ask, 2, 0), RC_ABSENT);
}

static void what_i_hold_is_not_sent_again(struct stall *s)
{
    struct ask ask;
    uint64_t version;

    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, "x", 1), RC_OK);
    version = ask.call.new_version;
    CHECK_INT(ask_get(&s->shop, &ask, 1, version), RC_OK);
    CU_ASSERT(ask.call.unchanged);
    CU_ASSERT_PTR_NULL(ask.call.found);
    CHECK_INT(ask.call.new_version, version);
    CHECK_INT(ask_get(&s->shop, &ask, 1, version + 1), RC_OK);
    CU_ASSERT_FALSE(ask.call.unchanged);
    CHECK_INT(ask.call.found_len, 1);
    ask_clear(&ask);
}

static void a_put_compares(struct stall *s)
{
    struct ask ask;
    uint64_t first, second;

    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, "one", 3), RC_OK);
    first = ask.call.new_version;
    CHECK_INT(ask_put(&s->shop, &ask, 1, 0, "two", 3), RC_CONFLICT);
    CHECK_INT(ask.call.new_version, first);
    CHECK_INT_FATAL(ask.call.found_len, 3);
    CU_ASSERT(memcmp(ask.call.found, "one", 3) == 0);
    ask_clear(&ask);
    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, first, "three", 5), RC_OK);
    second = ask.call.new_version;
    CU_ASSERT(second != first && second != 0);
    CHECK_INT(ask_put(&s->shop, &ask, 1, first, "four", 4), RC_CONFLICT);
    CHECK_INT(ask.call.new_version, second);
    CHECK_INT_FATAL(ask.call.found_len, 5);
    CU_ASSERT(memcmp(ask.call.found, "three", 5) == 0);
    ask_clear(&ask);
}

static void a_put_never_creates(struct stall *s)
{
    struct ask ask;

    CHECK_INT(ask_put(&s->shop, &ask, 1, 7, "x", 1), RC_ABSENT);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_ABSENT);
}

static void bytes_may_be_none_or_many(struct stall *s)
{
    static char many[300000];
    struct ask ask;

    memset(many, 0xa5, sizeof many);
    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, NULL, 0), RC_OK);
    CHECK_INT_FATAL(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    CHECK_INT(ask.call.found_len, 0);
    ask_clear(&ask);
    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 2, 0, many, sizeof many), RC_OK);
    CHECK_INT_FATAL(ask_get(&s->shop, &ask, 2, 0), RC_OK);
    CHECK_INT_FATAL(ask.call.found_len, sizeof many);
    CU_ASSERT(memcmp(ask.call.found, many, sizeof many) == 0);
    ask_clear(&ask);
}

static void two_applications_never_meet(struct stall *s)
{
    struct shop other;
    struct ask ask;

    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, "mine", 4), RC_OK);
    shop_open(&other, s->ops, s->options, "/other");
    CHECK_INT(ask_get(&other, &ask, 1, 0), RC_ABSENT);
    CHECK_INT(ask_put(&other, &ask, 1, 0, "theirs", 6), RC_OK);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    CHECK_INT(ask.call.found_len, 4);
    ask_clear(&ask);
    shop_close(&other);
}

static void two_stores_see_one_another(struct stall *s)
{
    struct shop other;
    struct ask ask;

    shop_open(&other, s->ops, s->options, NULL);
    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, "a", 1), RC_OK);
    CHECK_INT(ask_put(&other, &ask, 1, 0, "b", 1), RC_CONFLICT);
    ask_clear(&ask);
    CHECK_INT(ask_put(&other, &ask, 1, ask.call.new_version, "bb", 2), RC_OK);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    CHECK_INT(ask.call.found_len, 2);
    ask_clear(&ask);
    shop_close(&other);
}

/* --- expiry --------------------------------------------------------------- */

struct removals {
    struct shop *shop;
    atomic_uint count;
    unsigned want;
    atomic_uint wrong; /* bytes that are not the row's own */
    uint8_t ids[16][16];
};

static void removed(void *user, const uint8_t id[16], const void *bytes,
                    size_t len)
{
    struct removals *r = user;

    if (len != 16 || memcmp(bytes, id, 16) != 0)
        r->wrong++;
    if (r->count < 16)
        memcpy(r->ids[r->count], id, 16);
    r->count++;
}

static bool enough_removed(void *user)
{
    struct removals *r = user;

    return r->count >= r->want && shop_stats(r->shop).expired >= r->want;
}

static void expire(struct removals *r, int64_t wall, unsigned limit,
                   unsigned want)
{
    r->want = want;
    store_expire(r->shop->store, (struct instant){.wall = wall}, limit, removed,
                 r);
    CU_ASSERT(ask_until(enough_removed, r));
}

static void put_its_id(struct shop *shop, uint64_t number, int64_t expiry)
{
    struct ask ask;
    uint8_t id[16];

    ask_id(id, number);
    CHECK_INT(ask_put_until(shop, &ask, number, 0, id, 16, expiry), RC_OK);
}

static void what_is_due_goes_once(struct stall *s)
{
    struct removals r = {.shop = &s->shop};
    struct ask ask;

    for (uint64_t i = 0; i < 10; i++)
        put_its_id(&s->shop, i, 1000);
    for (uint64_t i = 10; i < 15; i++)
        put_its_id(&s->shop, i, 1001);
    expire(&r, 1000, 100, 0); /* "before now": exactly now stays */
    expire(&r, 1001, 4, 4);
    CHECK_INT(r.count, 4);
    expire(&r, 1001, 100, 10);
    expire(&r, 1001, 100, 10);
    /* A put behind the expiry: what was asked before it is over. */
    put_its_id(&s->shop, 99, 9000);
    CHECK_INT(r.count, 10);
    CHECK_INT(r.wrong, 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_INT(ask_get(&s->shop, &ask, i, 0), RC_ABSENT);
    for (uint64_t i = 10; i < 15; i++) {
        CHECK_INT(ask_get(&s->shop, &ask, i, 0), RC_OK);
        ask_clear(&ask);
    }
}

static void expiry_keeps_to_its_application(struct stall *s)
{
    struct removals r = {0};
    struct shop other;
    struct ask ask;

    shop_open(&other, s->ops, s->options, "/other");
    put_its_id(&s->shop, 1, 1000);
    put_its_id(&other, 2, 1000);
    r.shop = &other;
    expire(&r, 5000, 100, 1);
    CHECK_INT(r.count, 1);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    ask_clear(&ask);
    CHECK_INT(ask_get(&other, &ask, 2, 0), RC_ABSENT);
    shop_close(&other);
}

static void a_later_expiry_keeps_the_row(struct stall *s)
{
    struct removals r = {.shop = &s->shop};
    struct ask ask;

    put_its_id(&s->shop, 1, 1000);
    put_its_id(&s->shop, 2, 1000);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    ask_clear(&ask);
    CHECK_INT(
        ask_put_until(&s->shop, &ask, 1, ask.call.new_version, "x", 1, 3000),
        RC_OK);
    expire(&r, 2000, 100, 1);
    CHECK_INT(ask_get(&s->shop, &ask, 1, 0), RC_OK);
    ask_clear(&ask);
    CHECK_INT(ask_get(&s->shop, &ask, 2, 0), RC_ABSENT);
}

static int compare_versions(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void versions_never_repeat(struct stall *s)
{
    enum { ROUNDS = 40, EACH = 5 };
    static uint64_t seen[ROUNDS * EACH];
    struct removals r = {.shop = &s->shop};
    uint8_t id[16];
    unsigned n = 0;

    ask_id(id, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t version = 0;
        for (int i = 0; i < EACH; i++) {
            struct ask ask;
            CHECK_INT(ask_put_until(&s->shop, &ask, 1, version, id, 16, 1000),
                      RC_OK);
            version = seen[n++] = ask.call.new_version;
        }
        expire(&r, 2000, 10, round + 1);
    }
    qsort(seen, n, sizeof *seen, compare_versions);
    CU_ASSERT(seen[0] != 0);
    for (unsigned i = 1; i < n; i++)
        CU_ASSERT(seen[i] != seen[i - 1]);
}

/* --- many at once --------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct shop *shop;
    unsigned rounds, done;
    uint64_t row;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    while (w->done < w->rounds && ask_increment(w->shop, w->row) == RC_OK)
        w->done++;
    return NULL;
}

static void sixteen_threads_lose_nothing(struct stall *s)
{
    enum { THREADS = 16, ROUNDS = 60 };
    struct worker w[THREADS];
    struct shop other;

    shop_open(&other, s->ops, s->options, NULL);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.shop = i % 2 ? &other : &s->shop,
                               .rounds = ROUNDS};
        pthread_create(&w[i].thread, NULL, worker_main, &w[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        CHECK_INT(w[i].done, ROUNDS);
    }
    CHECK_INT(ask_number(&s->shop, 0), THREADS * ROUNDS);
    shop_close(&other);
}

/* A put whose completion keeps the store's thread until it is let go. */
struct plug {
    struct store_call call; /* first */
    sem_t reached, go;
};

static void plug_done(struct store_call *call)
{
    struct plug *p = (struct plug *)call;

    sem_post(&p->reached);
    while (sem_wait(&p->go))
        ;
}

static void plug_in(struct plug *p, struct shop *shop)
{
    memset(p, 0, sizeof *p);
    sem_init(&p->reached, 0, 0);
    sem_init(&p->go, 0, 0);
    p->call.done = plug_done;
    ask_id(p->call.id, 1000000);
    p->call.version = 1; /* ABSENT, so answered within the batch */
    CHECK_INT_FATAL(store_put(shop->store, &p->call), RC_PENDING);
    while (sem_wait(&p->reached))
        ;
}

static void plug_out(struct plug *p)
{
    sem_post(&p->go);
}

struct crowd {
    struct one {
        struct store_call call; /* first */
        struct crowd *crowd;
    } ones[400];
    atomic_uint answered, ok, refused;
};

static void crowd_done(struct store_call *call)
{
    struct crowd *c = ((struct one *)call)->crowd;

    c->ok += call->rc == RC_OK;
    c->refused += call->rc == RC_UNAVAILABLE;
    c->answered++;
}

static void crowd_submit(struct crowd *c, struct shop *shop)
{
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < 400; i++) {
        struct store_call *call = &c->ones[i].call;
        c->ones[i].crowd = c;
        ask_id(call->id, i);
        call->done = crowd_done;
        call->bytes = "x";
        call->len = 1;
        call->expiry = INT64_MAX / 4;
        CHECK_INT(store_put(shop->store, call), RC_PENDING);
    }
}

static bool all_answered(void *user)
{
    return ((struct crowd *)user)->answered == 400;
}

static void what_queues_up_is_one_batch(struct stall *s)
{
    static struct crowd crowd;
    struct plug plug;
    uint64_t before;

    plug_in(&plug, &s->shop);
    before = shop_stats(&s->shop).batches;
    crowd_submit(&crowd, &s->shop);
    CHECK_INT(shop_stats(&s->shop).queued, 400);
    plug_out(&plug);
    CU_ASSERT(ask_until(all_answered, &crowd));
    CHECK_INT(crowd.ok, 400);
    CHECK_INT(shop_stats(&s->shop).queued, 0);
    /* The rest of the plug's own batch, and one more. */
    CHECK_INT(shop_stats(&s->shop).batches, before + 1);
}

/* A put that answers its conflict by trying again, from the callback. */
struct stubborn {
    struct store_call call; /* first */
    struct shop *shop;
    atomic_bool over;
    atomic_uint tries;
};

static void stubborn_done(struct store_call *call)
{
    struct stubborn *t = (struct stubborn *)call;
    enum rc rc = call->rc;

    t->tries++;
    if (rc == RC_CONFLICT) {
        free(call->found);
        call->version = call->new_version;
        rc = store_put(t->shop->store, call);
    }
    if (rc != RC_PENDING)
        t->over = true;
}

static bool stubborn_over(void *user)
{
    return ((struct stubborn *)user)->over;
}

static void a_conflict_is_retried_in_the_same_batch(struct stall *s)
{
    struct stubborn t = {.shop = &s->shop};
    struct plug plug;
    struct ask ask;
    uint64_t before;

    CHECK_INT_FATAL(ask_put(&s->shop, &ask, 1, 0, "old", 3), RC_OK);
    plug_in(&plug, &s->shop);
    before = shop_stats(&s->shop).batches;
    t.call.done = stubborn_done;
    t.call.bytes = "new";
    t.call.len = 3;
    t.call.expiry = 9999;
    ask_id(t.call.id, 1);
    CHECK_INT(store_put(s->shop.store, &t.call), RC_PENDING);
    plug_out(&plug);
    CU_ASSERT(ask_until(stubborn_over, &t));
    CHECK_INT(t.call.rc, RC_OK);
    CHECK_INT(t.tries, 2);
    CHECK_INT(shop_stats(&s->shop).batches, before);
}

/* --- the end -------------------------------------------------------------- */

struct closing {
    struct store *store;
    int grace_ms;
};

static void *closing_main(void *arg)
{
    struct closing *c = arg;

    store_close(&c->store, c->grace_ms);
    return NULL;
}

/* Closes while calls wait behind a plug; how many were done. */
static unsigned close_behind_plug(struct stall *s, int grace_ms)
{
    static struct crowd crowd;
    struct plug plug;
    pthread_t thread;
    struct closing closing = {s->shop.store, grace_ms};

    plug_in(&plug, &s->shop);
    crowd_submit(&crowd, &s->shop);
    pthread_create(&thread, NULL, closing_main, &closing);
    plug_out(&plug);
    pthread_join(thread, NULL);
    CHECK_INT(crowd.answered, 400);
    CHECK_INT(crowd.ok + crowd.refused, 400);
    s->shop.store = NULL;
    pthread_mutex_destroy(&s->shop.lock);
    return crowd.ok;
}

static unsigned rows_present(struct stall *s)
{
    unsigned n = 0;

    shop_open(&s->shop, s->ops, s->options, NULL);
    for (unsigned i = 0; i < 400; i++) {
        struct ask ask;
        n += ask_get(&s->shop, &ask, i, 0) == RC_OK;
        ask_clear(&ask);
    }
    return n;
}

static void close_does_what_is_queued(struct stall *s)
{
    CHECK_INT(close_behind_plug(s, 60000), 400);
    CHECK_INT(rows_present(s), 400);
}

static void close_without_grace_answers_all(struct stall *s)
{
    unsigned ok = close_behind_plug(s, 0);

    CHECK_INT(rows_present(s), ok);
}

/* --- what it says of itself ----------------------------------------------- */

static void statistics_add_up(struct stall *s)
{
    struct store_stats n;
    struct ask ask;
    uint64_t version;

    ask_put(&s->shop, &ask, 1, 0, "x", 1);
    version = ask.call.new_version;
    ask_put(&s->shop, &ask, 1, 0, "x", 1);
    ask_clear(&ask);
    ask_put(&s->shop, &ask, 2, 5, "x", 1);
    ask_get(&s->shop, &ask, 1, 0);
    ask_clear(&ask);
    ask_get(&s->shop, &ask, 1, version);
    ask_get(&s->shop, &ask, 3, 0);
    n = shop_stats(&s->shop);
    CHECK_INT(n.put_ok, 1);
    CHECK_INT(n.put_conflict, 1);
    CHECK_INT(n.put_absent, 1);
    CHECK_INT(n.get_ok, 1);
    CHECK_INT(n.get_unchanged, 1);
    CHECK_INT(n.get_absent, 1);
    CHECK_INT(n.put_failed + n.put_uncertain + n.get_failed, 0);
    CU_ASSERT(n.available);
}

static void it_has_a_name(struct stall *s)
{
    char text[256] = "";

    CHECK_STR(store_name(s->shop.store), s->ops->name);
    CU_ASSERT(store_describe(s->shop.store, text, sizeof text) == text);
    CU_ASSERT(strlen(text) > 5);
    CHECK_INT(shop_logged(&s->shop, "WARN"), 0);
}

/* clang-format off */
#define STATEMENTS(X)                                                          \
    X(a_row_is_found_as_it_was_put) X(what_i_hold_is_not_sent_again)           \
    X(a_put_compares) X(a_put_never_creates) X(bytes_may_be_none_or_many)      \
    X(two_applications_never_meet) X(two_stores_see_one_another)               \
    X(sixteen_threads_lose_nothing) X(close_does_what_is_queued)               \
    X(close_without_grace_answers_all) X(statistics_add_up) X(it_has_a_name)
/* Of stores whose rows wait until they are removed, and of those that take
 * calls while a batch runs. */
#define STATEMENTS_OF_ROWS(X)                                                  \
    X(what_is_due_goes_once) X(expiry_keeps_to_its_application)                \
    X(a_later_expiry_keeps_the_row) X(versions_never_repeat)                   \
    X(what_queues_up_is_one_batch) X(a_conflict_is_retried_in_the_same_batch)

#define ON_EACH(name)                                                          \
    static void memory_##name(void) { stall_with(KIND_MEMORY, name); }         \
    static void queued_##name(void) { stall_with(KIND_QUEUED, name); }         \
    static void sqlite_##name(void) { stall_with(KIND_SQLITE, name); }         \
    static void file_##name(void) { stall_with(KIND_FILE, name); }             \
    static void full_##name(void) { stall_with(KIND_FULL, name); }             \
    static void tracing_##name(void) { stall_with(KIND_TRACING, name); }       \
    static void failing_##name(void) { stall_with(KIND_FAILING, name); }
#define ON_REDIS(name)                                                         \
    static void redis_##name(void) { stall_with(KIND_REDIS, name); }           \
    static void memcached_##name(void) { stall_with(KIND_MEMCACHED, name); }
STATEMENTS(ON_EACH)
STATEMENTS_OF_ROWS(ON_EACH)
STATEMENTS(ON_REDIS)

#define CASES(name)                                                            \
    CASE(memory_##name), CASE(queued_##name), CASE(sqlite_##name),             \
    CASE(file_##name), CASE(full_##name),                                      \
    CASE(tracing_##name), CASE(failing_##name),

#define REDIS_CASES(name) CASE(redis_##name), CASE(memcached_##name),

UNIT_MAIN("store", STATEMENTS(CASES) STATEMENTS_OF_ROWS(CASES)
          STATEMENTS(REDIS_CASES))
/* clang-format on */
