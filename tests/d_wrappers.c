/* SPDX-License-Identifier: Apache-2.0
 *
 * The stores around a store: what fails on purpose, what is traced; and what a
 * batch answers. */
#include "config.h"

#include "tests/ask.h"
#include "tests/unit.h"

#include "session/store_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct memory_options memory;
static struct failing_faults faults;
static struct failing_options failing;
static struct shop shop;

static void open_failing(bool is_inline)
{
    memset(&faults, 0, sizeof faults);
    memory = (struct memory_options){.is_inline = is_inline};
    failing = (struct failing_options){
        .wrapper = {.inner = &store_memory, .inner_options = &memory},
        .faults = &faults,
    };
    shop_open(&shop, &store_failing, &failing, NULL);
}

static enum rc put(uint64_t number, uint64_t version, const char *text)
{
    struct ask ask;
    enum rc rc = ask_put(&shop, &ask, number, version, text, strlen(text));

    ask_clear(&ask);
    return rc;
}

static enum rc get(uint64_t number)
{
    struct ask ask;
    enum rc rc = ask_get(&shop, &ask, number, 0);

    ask_clear(&ask);
    return rc;
}

static void the_next_gets_fail(void)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        open_failing(is_inline);
        CHECK_INT(put(1, 0, "x"), RC_OK);
        faults.fail_gets = 2;
        CHECK_INT(get(1), RC_UNAVAILABLE);
        CHECK_INT(get(1), RC_UNAVAILABLE);
        CHECK_INT(get(1), RC_OK);
        CHECK_INT(faults.injected, 2);
        CHECK_INT(shop_stats(&shop).get_failed, 2);
        shop_close(&shop);
    }
}

static void unavailable_is_not_done(void)
{
    open_failing(true);
    faults.fail_puts = 1;
    CHECK_INT(put(1, 0, "x"), RC_UNAVAILABLE);
    CHECK_INT(get(1), RC_ABSENT);
    CHECK_INT(put(1, 0, "x"), RC_OK);
    CHECK_INT(shop_logs(&shop, "writing fails"), 1);
    CHECK_INT(shop_logs(&shop, "can be written again"), 1);
    shop_close(&shop);
}

static void uncertain_may_be_done(void)
{
    open_failing(true);
    faults.how = FAILING_APPLIED;
    faults.fail_puts = 1;
    CHECK_INT(put(1, 0, "x"), RC_UNCERTAIN);
    CHECK_INT(get(1), RC_OK);
    shop_close(&shop);
}

static void uncertain_may_not_be_done(void)
{
    open_failing(true);
    faults.how = FAILING_LOST;
    faults.fail_puts = 1;
    CHECK_INT(put(1, 0, "x"), RC_UNCERTAIN);
    CHECK_INT(get(1), RC_ABSENT);
    CHECK_INT(shop_stats(&shop).put_uncertain, 1);
    shop_close(&shop);
}

/* A put that the inner store refuses is not applied, whatever was planned. */
static void a_conflict_is_never_uncertain(void)
{
    open_failing(true);
    CHECK_INT(put(1, 0, "x"), RC_OK);
    faults.how = FAILING_APPLIED;
    faults.fail_puts = 1;
    CHECK_INT(put(1, 0, "y"), RC_CONFLICT);
    CHECK_INT(put(1, 0, "y"), RC_CONFLICT);
    shop_close(&shop);
}

static bool is_up(void *user)
{
    (void)user;
    return get(1) == RC_ABSENT;
}

static bool is_refused_at_once(void *user)
{
    struct store_call call = {.len = 0};

    (void)user;
    return store_get(shop.store, &call) == RC_UNAVAILABLE;
}

static void unexpected(struct store_call *call)
{
    (void)call;
    CU_FAIL("an answer at once and a completion");
}

static void down_is_down_until_it_is_up(void)
{
    struct store_call call = {.done = unexpected};
    uint64_t batches;

    open_failing(false);
    faults.down = true;
    CHECK_INT(put(1, 0, "x"), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, "down on purpose"), 1);
    CU_ASSERT(ask_until(is_refused_at_once, NULL));
    /* Known to be down: nobody waits, nothing reaches the store. */
    batches = shop_stats(&shop).batches;
    for (int i = 0; i < 100; i++) {
        CHECK_INT(store_put(shop.store, &call), RC_UNAVAILABLE);
        CHECK_INT(store_get(shop.store, &call), RC_UNAVAILABLE);
        CHECK_STR(call.err.text, "made to be down on purpose");
    }
    CHECK_INT(shop_stats(&shop).batches, batches);
    CU_ASSERT_FALSE(shop_stats(&shop).available);
    faults.down = false;
    CU_ASSERT(ask_until(is_up, NULL));
    CHECK_INT(shop_logged(&shop, "WARN"), 1);
    CHECK_INT(shop_logs(&shop, "can be used"), 1);
    shop_close(&shop);
}

/* The answers of 200 puts, as letters. */
static void weather(unsigned seed, char *out)
{
    open_failing(true);
    faults.seed = seed;
    faults.percent = 30;
    for (unsigned i = 0; i < 200; i++) {
        enum rc rc = put(i, 0, "x");
        enum rc there = get(i);
        out[i] = rc == RC_OK ? 'o' : rc == RC_UNAVAILABLE ? 'f' : 'u';
        if (rc == RC_OK)
            CHECK_INT(there, RC_OK);
        if (rc == RC_UNAVAILABLE)
            CHECK_INT(there, RC_ABSENT);
    }
    out[200] = '\0';
    CU_ASSERT(faults.injected > 30 && faults.injected < 90);
    shop_close(&shop);
}

static void a_seed_repeats(void)
{
    char one[201], again[201], other[201];

    weather(7, one);
    weather(7, again);
    weather(8, other);
    CHECK_STR(again, one);
    CU_ASSERT(strcmp(one, other) != 0);
    CU_ASSERT(strchr(one, 'f') && strchr(one, 'u') && strchr(one, 'o'));
}

static void order(const char *path, const char *word)
{
    FILE *f = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(word, f);
    fclose(f);
}

static bool is_uncertain(void *user)
{
    (void)user;
    return put(1, 0, "x") == RC_UNCERTAIN;
}

static void a_file_controls_it_from_outside(void)
{
    char db[512], control[512];

    snprintf(db, sizeof db, "%s/c.db", unit_tmpdir());
    snprintf(control, sizeof control, "%s/control", unit_tmpdir());
    failing = (struct failing_options){.wrapper = {.sqlite = {.path = db}},
                                       .control = control};
    shop_open(&shop, &store_failing, &failing, NULL);
    CU_ASSERT(is_up(NULL));
    order(control, "down\n");
    CU_ASSERT(ask_until(is_refused_at_once, NULL));
    order(control, "ok\n");
    CU_ASSERT(ask_until(is_up, NULL));
    order(control, "lost\n");
    CU_ASSERT(ask_until(is_uncertain, NULL));
    CHECK_INT(get(2), RC_ABSENT);
    shop_close(&shop);
}

static void a_wrapper_takes_the_attributes_of_sqlite(void)
{
    static const struct store_ops *const wrappers[] = {&store_failing,
                                                       &store_tracing};

    for (int i = 0; i < 2; i++) {
        const struct option *table = wrappers[i]->options;
        struct wrapper_options *o = calloc(1, wrappers[i]->options_size);
        option_defaults(table, o);
        for (const struct option *t = store_sqlite.options; t->name; t++)
            CU_ASSERT_PTR_NOT_NULL(option_find(table, t->name));
        CHECK_INT(option_set(table, o, "path", "/x", NULL), RC_OK);
        CHECK_INT(option_set(table, o, "synchronous", "FULL", NULL), RC_OK);
        CHECK_STR(o->sqlite.path, "/x");
        CHECK_INT(o->sqlite.synchronous, DB_SYNC_FULL);
        option_release(table, o);
        free(o);
    }
}

static void a_trace_shows_calls_and_no_whole_id(void)
{
    struct tracing_options tracing = {
        .wrapper = {.inner = &store_memory, .inner_options = &memory}};
    char id[33] = "";
    uint8_t raw[16];

    memory = (struct memory_options){.is_inline = true};
    shop_open(&shop, &store_tracing, &tracing, NULL);
    CHECK_INT(put(1, 0, "secret"), RC_OK);
    CHECK_INT(put(1, 0, "secret"), RC_CONFLICT);
    CHECK_INT(get(1), RC_OK);
    CHECK_INT(get(2), RC_ABSENT);
    ask_id(raw, 1);
    for (int i = 0; i < 16; i++)
        snprintf(id + 2 * i, 3, "%02X", raw[i]);
    CHECK_INT(shop_logged(&shop, id), 0);
    id[8] = '\0';
    CHECK_INT(shop_logged(&shop, id), 3);
    CHECK_INT(shop_logged(&shop, "secret"), 0);
    CHECK_INT(shop_logged(&shop, "CONFLICT"), 1);
    CHECK_INT(shop_logged(&shop, "batch of 1 puts: OK"), 1);
    CHECK_INT(shop_logged(&shop, "ABSENT"), 1);
    shop_close(&shop);
}

/* ---- a batch that is settled ---- */

static enum rc settle_with;

static enum rc held_open(struct store_base *base, struct err *err)
{
    (void)base;
    (void)err;
    return RC_OK;
}

static void held_close(struct store_base *base)
{
    (void)base;
}

static void held_run(struct store_base *base, struct store_batch *batch)
{
    struct err err = {"the disk is full"};
    struct store_call *call;

    (void)base;
    while ((call = store_batch_next(batch))) {
        call->new_version = 7;
        store_batch_hold(batch, call);
    }
    store_batch_settle(batch, settle_with, &err);
}

static const struct store_ops store_held = {
    .name = "HeldStore",
    .summary = "answers when all is done",
    .size = sizeof(struct store_base),
    .flags = STORE_SELF_EXPIRES,
    .open = held_open,
    .close = held_close,
    .run = held_run,
};

/* A transaction that could not be committed did nothing of what it held. */
static void what_is_held_is_answered_as_it_settles(void)
{
    static const enum rc ends[] = {RC_OK, RC_UNAVAILABLE, RC_UNCERTAIN, RC_OK};
    struct ask ask;

    shop_open(&shop, &store_held, NULL, NULL);
    for (unsigned n = 0; n < 4; n++) {
        settle_with = ends[n];
        CHECK_INT(ask_put(&shop, &ask, n, 0, "x", 1), ends[n]);
        if (ends[n] == RC_OK)
            CHECK_INT(ask.call.new_version, 7);
        else
            CHECK_STR(ask.call.err.text, "the disk is full");
        ask_clear(&ask);
    }
    shop_close(&shop);
}

UNIT_MAIN("wrappers", CASE(the_next_gets_fail), CASE(unavailable_is_not_done),
          CASE(uncertain_may_be_done), CASE(uncertain_may_not_be_done),
          CASE(a_conflict_is_never_uncertain),
          CASE(what_is_held_is_answered_as_it_settles),
          CASE(down_is_down_until_it_is_up), CASE(a_seed_repeats),
          CASE(a_file_controls_it_from_outside),
          CASE(a_wrapper_takes_the_attributes_of_sqlite),
          CASE(a_trace_shows_calls_and_no_whole_id))
