/* SPDX-License-Identifier: Apache-2.0
 *
 * c_late.c: docs/promises.md, what holds when a store takes its time: each
 * server's puts wait at a gate of their own. The number in a name is the
 * statement's. */
#include "config.h"

#include "tests/world.h"

#include "managers/stores/wrapper.h"
#include "session/manager_impl.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- a store with a gate ---- */

struct gate {
    atomic_bool closed;
    atomic_uint waiting; /* batches */
    atomic_uint fails;   /* the next so many puts are answered ... */
    atomic_int with;     /* ... with this enum rc, and not done */
};

struct late_options {
    struct wrapper_options wrapper; /* first */
    struct gate *gates;
};

struct late {
    struct wrapper wrapper; /* first */
    struct gate *gate;
};

static enum rc late_open(struct store_base *base, struct err *err)
{
    const struct late_options *o = base->options;
    ((struct late *)base)->gate = &o->gates[base->env.node[4] - '1'];
    return wrapper_open(base, err);
}

static void late_run(struct store_base *base, struct store_batch *batch)
{
    struct late *l = (struct late *)base;
    struct store_base *inner = l->wrapper.inner;
    struct store_call *call;
    atomic_fetch_add(&l->gate->waiting, 1);
    while (atomic_load(&l->gate->closed))
        sched_yield();
    atomic_fetch_sub(&l->gate->waiting, 1);
    while (atomic_load(&l->gate->fails) > 0 &&
           (call = store_batch_next(batch))) {
        enum rc rc = (enum rc)atomic_load(&l->gate->with);
        atomic_fetch_sub(&l->gate->fails, 1);
        store_batch_answer(batch, call,
                           err_set(&call->err, rc, "made to fail"));
    }
    if (atomic_load(&l->gate->fails) == 0)
        inner->ops->run(inner, batch);
}

static const struct store_ops store_late = {
    .name = "LateStore",
    .summary = "waits at a gate",
    .size = sizeof(struct late),
    .options_size = sizeof(struct late_options),
    .open = late_open,
    .close = wrapper_close,
    .run = late_run,
    .get = wrapper_get,
    .expire = wrapper_expire,
};

static struct gate gates[WORLD_MANAGERS];

static void prepare_late(struct world *w)
{
    struct late_options *options = w->store_options;
    memset(gates, 0, sizeof gates);
    w->memory.rows = w->rows = memory_rows_new();
    w->memory.is_inline = true; /* reads pass the gate by */
    options->wrapper.inner = &store_memory;
    options->wrapper.inner_options = &w->memory;
    options->gates = gates;
}

static const struct fixture fixture_late = {.name = "late",
                                            .manager = "PersistentManager",
                                            .store = &store_late,
                                            .servers = 3,
                                            .prepare = prepare_late};

static bool gate_waits(unsigned i)
{
    int64_t end = instant_read().mono + 20000;
    while (atomic_load(&gates[i].waiting) == 0)
        if (instant_read().mono > end)
            return false;
    return true;
}

static void gate_fail(unsigned i, enum rc with, unsigned puts)
{
    atomic_store(&gates[i].with, (int)with);
    atomic_store(&gates[i].fails, puts);
}

/* ---- a request that takes its time ---- */

struct slow {
    struct world *w;
    unsigned server;
    const uint8_t *id;
    enum { SLOW_PUT, SLOW_HIT, SLOW_END } what;
    enum rc rc;
    pthread_t thread;
};

static void *slow_run(void *argument)
{
    struct slow *s = argument;
    if (s->what == SLOW_END)
        s->rc = world_end(s->w, s->server, s->id, REASON_LOGOUT);
    else if (s->what == SLOW_HIT)
        s->rc = world_hit(s->w, s->server, s->id, "hits");
    else
        s->rc = world_put(s->w, s->server, s->id, "slow", "slow");
    return NULL;
}

static void slow_start(struct slow *s)
{
    if (pthread_create(&s->thread, NULL, slow_run, s))
        abort();
}

static enum rc slow_end(struct slow *s)
{
    pthread_join(s->thread, NULL);
    return s->rc;
}

/* ---- statements ---- */

static void p08_a_minute_after_the_end_not_after_what_was_before_it(
    struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    struct slow put = {.w = w, .id = id, .what = SLOW_PUT}, end = put;
    end.what = SLOW_END;
    atomic_store(&gates[0].closed, true);
    slow_start(&put);
    CU_ASSERT_FATAL(gate_waits(0));
    w->now.mono += 70000;
    w->now.wall += 70000;
    slow_start(&end);
    while (world_look(w, 0, id, NULL) == RC_OK)
        sched_yield();
    atomic_store(&gates[0].closed, false);
    CHECK_INT(slow_end(&put), RC_OK);
    CHECK_INT(slow_end(&end), RC_OK);
    for (int s = 0; s < 58; s++) {
        world_pass(w, 1000);
        world_tick(w);
    }
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LOGOUT);
    }
}

/* A newer row comes in while a put is under way that then fails. */
static void fail_behind_another(struct world *w, int what, enum rc with)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    struct slow slow = {.w = w, .id = id, .what = what};
    atomic_store(&gates[0].closed, true);
    slow_start(&slow);
    CU_ASSERT_FATAL(gate_waits(0));
    CHECK_INT(world_put(w, 1, id, "k", "other"), RC_OK);
    CHECK_INT(world_look(w, 0, id, NULL),
              what == SLOW_END ? RC_ABSENT : RC_OK);
    gate_fail(0, with, with == RC_UNCERTAIN ? 3 : 1);
    atomic_store(&gates[0].closed, false);
    CHECK_INT(slow_end(&slow), with);
    CU_ASSERT(world_holds(w, 0, id, "k", "other"));
    CHECK_INT(world_put(w, 0, id, "mine", "mine"), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CU_ASSERT(world_holds(w, i, id, "k", "other"));
        CU_ASSERT(world_holds(w, i, id, "mine", "mine"));
    }
}

static void p33_a_failure_takes_nothing_of_others_back(struct world *w)
{
    static const enum rc with[] = {RC_UNAVAILABLE, RC_UNCERTAIN};
    for (unsigned n = 0; n < 2; n++)
        for (int what = SLOW_PUT; what <= SLOW_END; what++)
            fail_behind_another(w, what, with[n]);
}

static void p06_a_logout_elsewhere_outlives_a_failure(struct world *w)
{
    static const enum rc with[] = {RC_UNAVAILABLE, RC_UNCERTAIN};
    for (unsigned n = 0; n < 2; n++)
        for (int what = SLOW_PUT; what <= SLOW_END; what++) {
            uint8_t id[ID_SIZE];
            enum reason reason;
            CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
            struct slow slow = {.w = w, .id = id, .what = what};
            atomic_store(&gates[0].closed, true);
            slow_start(&slow);
            CU_ASSERT_FATAL(gate_waits(0));
            CHECK_INT(world_end(w, 1, id, REASON_ADMIN), RC_OK);
            CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT);
            gate_fail(0, with[n], with[n] == RC_UNCERTAIN ? 3 : 1);
            atomic_store(&gates[0].closed, false);
            CHECK_INT(slow_end(&slow), with[n]);
            CHECK_INT(world_look(w, 0, id, &reason), RC_ABSENT);
            CHECK_INT(reason, REASON_ADMIN);
            CHECK_INT(world_put(w, 0, id, "k", "revived"), RC_ABSENT);
        }
}

static void p32_what_is_uncertain_comes_to_rest(struct world *w)
{
    uint8_t id[ID_SIZE];
    gate_fail(0, RC_UNCERTAIN, 3);
    CHECK_INT(world_create(w, 0, id), RC_UNCERTAIN);
    gate_fail(0, RC_UNAVAILABLE, 1);
    world_tick(w); /* sends it again, in vain */
    while (atomic_load(&gates[0].fails) > 0)
        sched_yield();
    for (int n = 0; n < 100 && world_stats(w, 0).unsaved > 0; n++) {
        world_tick(w);
        sched_yield();
    }
    CU_ASSERT_FATAL(world_settle(w));
}

struct asked {
    struct store_call call; /* first */
    sem_t gate;
};

static void asked_done(struct store_call *call)
{
    sem_post(&((struct asked *)call)->gate);
}

/* Writes another row in place of the one that is stored. */
static void overwrite(struct world *w, const uint8_t id[ID_SIZE],
                      const void *bytes, size_t len)
{
    struct asked asked = {.call = {.done = asked_done}};
    struct store *store = w->m[0]->store;
    memcpy(asked.call.id, id, ID_SIZE);
    sem_init(&asked.gate, 0, 0);
    CHECK_INT_FATAL(store_get(store, &asked.call), RC_OK);
    free(asked.call.found);
    asked.call.version = asked.call.new_version;
    asked.call.bytes = bytes;
    asked.call.len = len;
    asked.call.expiry = w->now.wall + 100000;
    CHECK_INT_FATAL(store_put(store, &asked.call), RC_PENDING);
    sem_wait(&asked.gate);
    CHECK_INT_FATAL(asked.call.rc, RC_OK);
    sem_destroy(&asked.gate);
}

/* During an upgrade: whether that session lives is not known here. */
static void p30_a_row_of_a_newer_version_is_not_absent(struct world *w)
{
    static const uint8_t newer[] = "\x92\x01\xc4\x03\x97\x02\xc0";
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    overwrite(w, id, newer, sizeof newer - 1);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_UNAVAILABLE);
    visit_set(&v, "k", "v");
    CHECK_INT(visit_commit(&v, w), RC_UNAVAILABLE);
    visit_end(&v);
    CHECK_INT(world_look(w, 0, id, NULL), RC_UNAVAILABLE);
    /* One that nobody can read is none, */
    overwrite(w, id, "\x92\x01\xc4\x02??", 6);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
    CU_ASSERT(world_logged(w, "cannot be read"));
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p06_a_logout_elsewhere_outlives_a_failure, NULL)                         \
    S(p08_a_minute_after_the_end_not_after_what_was_before_it, NULL)           \
    S(p30_a_row_of_a_newer_version_is_not_absent, NULL)                        \
    S(p32_what_is_uncertain_comes_to_rest, NULL)                               \
    S(p33_a_failure_takes_nothing_of_others_back, NULL)
/* clang-format on */

#define ON_LATE(name, settings) STATEMENT_ON(name, settings, late)
#define CASES(name, settings) CASE(name##_on_late),

STATEMENTS(ON_LATE)
UNIT_MAIN("late", STATEMENTS(CASES))
