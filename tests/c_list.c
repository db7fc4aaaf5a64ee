/* SPDX-License-Identifier: Apache-2.0
 *
 * What every store that lists promises, asked of each of them.
 * Timeout: 300 s */
#include "config.h"

#include "tests/stall.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAY 10000 /* rows that are there throughout: 0 .. STAY-1 */
#define COME 1000  /* rows that come meanwhile, and some go */
#define LIMIT 97

/* --- a page --------------------------------------------------------------- */

struct turn {
    struct store_page page; /* first */
    sem_t answered;
};

static void turned(struct store_page *page)
{
    sem_post(&((struct turn *)page)->answered);
}

static void turn_begin(struct turn *t, unsigned limit)
{
    *t = (struct turn){.page = {.done = turned, .limit = limit}};
    sem_init(&t->answered, 0, 0);
}

static enum rc turn_over(struct turn *t, struct shop *shop)
{
    free(t->page.ids);
    enum rc rc = store_list(shop->store, &t->page);
    if (rc == RC_PENDING)
        while (sem_wait(&t->answered))
            ;
    return t->page.rc;
}

static void turn_end(struct turn *t)
{
    free(t->page.ids);
    sem_destroy(&t->answered);
}

/* The number that an id stands for, or STAY + COME. */
static uint64_t number_of(const uint8_t id[16])
{
    uint8_t same[16];
    uint64_t number;

    memcpy(&number, id + 8, sizeof number);
    ask_id(same, number);
    return memcmp(same, id, 16) == 0 && number < STAY + COME ? number
                                                             : STAY + COME;
}

/* --- many rows ------------------------------------------------------------ */

struct many {
    struct store_call calls[STAY];
    struct shop *shop;
    atomic_uint left;
};

static struct many *many_of;

static void many_done(struct store_call *call)
{
    (void)call;
    many_of->left--;
}

static bool many_are_done(void *user)
{
    return ((struct many *)user)->left == 0;
}

static void put_many(struct many *m, struct shop *shop)
{
    many_of = m;
    m->left = STAY;
    for (unsigned i = 0; i < STAY; i++) {
        struct store_call *call = &m->calls[i];
        *call = (struct store_call){.done = many_done,
                                    .bytes = "row",
                                    .len = 3,
                                    .expiry = INT64_MAX / 4};
        ask_id(call->id, i);
        if (store_put(shop->store, call) != RC_PENDING)
            m->left--;
    }
    CU_ASSERT_FATAL(ask_until(many_are_done, m));
    for (unsigned i = 0; i < STAY; i++)
        CHECK_INT_FATAL(m->calls[i].rc, RC_OK);
}

/* Between two pages: rows come, of which some are due and go; others are
 * written again. */
static void let_it_change(struct many *m, struct shop *shop, unsigned page)
{
    struct ask ask;

    for (unsigned i = 0; i < 5; i++) {
        uint64_t number = STAY + (page * 5 + i) % COME;
        ask_put_until(shop, &ask, number, 0, "come", 4,
                      i % 2 ? 1000 : INT64_MAX / 4);
        ask_clear(&ask);
        struct store_call *call = &m->calls[(page * 5 + i) * 19 % STAY];
        memcpy(&number, call->id + 8, sizeof number);
        CHECK_INT(ask_put(shop, &ask, number, call->new_version, "again", 5),
                  RC_OK);
        call->new_version = ask.call.new_version;
        ask_clear(&ask);
    }
    store_expire(shop->store, (struct instant){.wall = 2000}, 3, NULL, NULL);
}

static void pages_hold_every_row_that_stays(struct stall *s)
{
    static unsigned char seen[STAY + COME + 1];
    struct many *m = calloc(1, sizeof *m);
    unsigned pages = 0, twice = 0, missed = 0;
    bool exact = s->ops != &store_redis;
    struct turn t;

    memset(seen, 0, sizeof seen);
    put_many(m, &s->shop);
    turn_begin(&t, LIMIT);
    do {
        CHECK_INT_FATAL(turn_over(&t, &s->shop), RC_OK);
        if (exact)
            CU_ASSERT(t.page.count <= LIMIT);
        CU_ASSERT(t.page.count <= 4 * LIMIT);
        for (size_t i = 0; i < t.page.count; i++)
            seen[number_of(t.page.ids[i])]++;
        let_it_change(m, &s->shop, pages++);
    } while (t.page.more && pages < STAY);
    for (unsigned i = 0; i < STAY; i++) {
        missed += seen[i] == 0;
        twice += seen[i] > 1;
    }
    CHECK_INT(missed, 0);
    if (exact)
        CHECK_INT(twice, 0);
    CHECK_INT(seen[STAY + COME], 0);
    CU_ASSERT(pages >= STAY / (4 * LIMIT));
    turn_end(&t);
    free(m);
}

/* --- what else ------------------------------------------------------------ */

static unsigned list_all(struct shop *shop, unsigned limit)
{
    struct turn t;
    unsigned count = 0;

    turn_begin(&t, limit);
    do {
        CHECK_INT_FATAL(turn_over(&t, shop), RC_OK);
        count += (unsigned)t.page.count;
    } while (t.page.more);
    turn_end(&t);
    return count;
}

/* In one name is what another store might take for a pattern. */
static void a_list_keeps_to_its_application(struct stall *s)
{
    struct shop other, like;

    CHECK_INT(list_all(&s->shop, 10), 0);
    shop_open(&other, s->ops, s->options, "/shop2");
    shop_open(&like, s->ops, s->options, "/sh*p[a-z]?\\");
    for (uint64_t i = 0; i < 30; i++) {
        CHECK_INT(shop_put(&s->shop, i, 0), RC_OK);
        CHECK_INT(shop_put(&other, 100 + i, 0), RC_OK);
    }
    CHECK_INT(shop_put(&like, 200, 0), RC_OK);
    CHECK_INT(list_all(&s->shop, 10), 30);
    CHECK_INT(list_all(&s->shop, STORE_PAGE_MAX), 30);
    CHECK_INT(list_all(&other, 1), 30);
    CHECK_INT(list_all(&like, 10), 1);
    shop_close(&like);
    shop_close(&other);
}

/* The secret's. */
static void the_id_of_zeros_is_one(struct stall *s)
{
    static struct many one;
    struct turn t;

    many_of = &one;
    one.left = 1;
    one.calls[0] = (struct store_call){
        .done = many_done, .bytes = "x", .len = 1, .expiry = INT64_MAX / 4};
    CHECK_INT(store_put(s->shop.store, &one.calls[0]), RC_PENDING);
    CU_ASSERT_FATAL(ask_until(many_are_done, &one));
    CHECK_INT(shop_put(&s->shop, 7, 0), RC_OK);
    CHECK_INT(list_all(&s->shop, 1), 2);
    turn_begin(&t, 10);
    CHECK_INT(turn_over(&t, &s->shop), RC_OK);
    CHECK_INT(t.page.count, 2);
    turn_end(&t);
}

static void who_waits_for_a_page_is_answered(struct stall *s)
{
    struct turn t[20];
    unsigned pending = 0;

    CHECK_INT(shop_put(&s->shop, 1, 0), RC_OK);
    for (int i = 0; i < 20; i++) {
        turn_begin(&t[i], 10);
        pending += store_list(s->shop.store, &t[i].page) == RC_PENDING;
    }
    shop_close(&s->shop);
    CHECK_INT(pending, 20);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(sem_trywait(&t[i].answered), 0);
        CU_ASSERT(t[i].page.rc == RC_OK || t[i].page.rc == RC_UNAVAILABLE);
        CHECK_INT(t[i].page.count, t[i].page.rc == RC_OK);
        turn_end(&t[i]);
    }
}

static void a_store_that_is_away_says_so(void)
{
    struct memory_options memory = {.is_inline = true};
    struct failing_faults faults = {0};
    struct failing_options failing = {
        .wrapper = {.inner = &store_memory, .inner_options = &memory},
        .faults = &faults};
    struct shop shop;
    struct turn t;

    shop_open(&shop, &store_failing, &failing, NULL);
    CU_ASSERT(store_lists(shop.store));
    turn_begin(&t, 10);
    faults.down = true;
    CHECK_INT(shop_logs(&shop, "WARN"), 1);
    CHECK_INT(turn_over(&t, &shop), RC_UNAVAILABLE);
    CU_ASSERT(t.page.err.text[0] != 0);
    CU_ASSERT_FALSE(t.page.cursor.begun);
    turn_end(&t);
    shop_close(&shop);
}

/* clang-format off */
#define STATEMENTS(X)                                                          \
    X(pages_hold_every_row_that_stays) X(a_list_keeps_to_its_application)      \
    X(the_id_of_zeros_is_one) X(who_waits_for_a_page_is_answered)

#define ON_EACH(name)                                                          \
    static void memory_##name(void) { stall_with(KIND_MEMORY, name); }         \
    static void sqlite_##name(void) { stall_with(KIND_SQLITE, name); }         \
    static void file_##name(void) { stall_with(KIND_FILE, name); }             \
    static void redis_##name(void) { stall_with(KIND_REDIS, name); }           \
    static void tracing_##name(void) { stall_with(KIND_TRACING, name); }
STATEMENTS(ON_EACH)

#define CASES(name)                                                            \
    CASE(memory_##name), CASE(sqlite_##name), CASE(file_##name),               \
    CASE(redis_##name), CASE(tracing_##name),

UNIT_MAIN("list", STATEMENTS(CASES) CASE(a_store_that_is_away_says_so))
/* clang-format on */
