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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a store with a gate ---- */

struct gate {
    atomic_bool closed;
    atomic_uint passes;  /* so many puts go through all the same ... */
    atomic_bool mute;    /* ... are done, and answered UNCERTAIN */
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

/* A batch of one call. */
struct single {
    struct store_batch batch;
    struct store_batch *outer;
    struct store_call *muted;
    bool taken, mute;
};

static struct store_call *single_next(struct store_batch *batch)
{
    struct single *s = (struct single *)batch;
    bool taken = s->taken;
    s->taken = true;
    return taken ? NULL : store_batch_next(s->outer);
}

static void single_answer(struct store_batch *batch, struct store_call *call,
                          enum rc rc)
{
    store_batch_answer(((struct single *)batch)->outer, call, rc);
}

static void single_hold(struct store_batch *batch, struct store_call *call)
{
    struct single *s = (struct single *)batch;
    if (s->mute)
        s->muted = call;
    else
        store_batch_hold(s->outer, call);
}

static void single_settle(struct store_batch *batch, enum rc rc,
                          const struct err *err)
{
    struct single *s = (struct single *)batch;
    store_batch_settle(s->outer, rc, err);
    if (s->muted)
        store_batch_answer(s->outer, s->muted,
                           err_set(&s->muted->err, RC_UNCERTAIN, "no answer"));
}

static void late_run_one(struct late *l, struct store_batch *outer, bool mute)
{
    struct single s = {.batch = {.next = single_next,
                                 .answer = single_answer,
                                 .hold = single_hold,
                                 .settle = single_settle},
                       .outer = outer,
                       .mute = mute};
    l->wrapper.inner->ops->run(l->wrapper.inner, &s.batch);
}

static bool late_fail_one(struct late *l, struct store_batch *batch)
{
    enum rc rc = (enum rc)atomic_load(&l->gate->with);
    struct store_call *call;
    if (atomic_load(&l->gate->fails) == 0 || !(call = store_batch_next(batch)))
        return false;
    atomic_fetch_sub(&l->gate->fails, 1);
    store_batch_answer(batch, call, err_set(&call->err, rc, "made to fail"));
    return true;
}

/* One call at a time: a second one that comes while the first is answered
 * would pass the gate with it. */
static void late_run(struct store_base *base, struct store_batch *batch)
{
    struct late *l = (struct late *)base;
    struct gate *gate = l->gate;
    atomic_fetch_add(&gate->waiting, 1);
    while (atomic_load(&gate->closed) && !atomic_load(&gate->passes))
        sched_yield();
    atomic_fetch_sub(&gate->waiting, 1);
    bool passes = atomic_load(&gate->passes) > 0;
    if (passes)
        atomic_fetch_sub(&gate->passes, 1);
    if (!late_fail_one(l, batch))
        late_run_one(l, batch, passes && atomic_load(&gate->mute));
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
    .check = wrapper_check, /* it may open only there */
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

static void prepare_late_file(struct world *w)
{
    struct late_options *options = w->store_options;
    prepare_late(w);
    world_take_folder(w);
    options->wrapper.inner = &store_file;
    options->wrapper.inner_options = &w->file;
}

static void prepare_late_sqlite(struct world *w)
{
    struct late_options *options = w->store_options;
    prepare_late(w);
    snprintf(w->folder, sizeof w->folder, "%s/sessions.db", w->dir);
    options->wrapper.inner = NULL; /* SQLite */
    options->wrapper.sqlite.path = w->folder;
}

#define LATE(where)                                                            \
    static const struct fixture fixture_##where = {                            \
        .name = #where,                                                        \
        .manager = "PersistentManager",                                        \
        .store = &store_late,                                                  \
        .servers = 3,                                                          \
        .prepare = prepare_##where};
LATE(late)
LATE(late_file)
LATE(late_sqlite)

static bool gate_waits(unsigned i)
{
    int64_t end = instant_read().mono + 20000;
    while (atomic_load(&gates[i].waiting) == 0)
        if (instant_read().mono > end)
            return false;
    return true;
}

/* One put goes through the closed gate; what comes of it waits there again. */
static bool gate_pass_one(unsigned i, bool mute)
{
    atomic_store(&gates[i].mute, mute);
    atomic_store(&gates[i].passes, 1);
    int64_t end = instant_read().mono + 20000;
    while (atomic_load(&gates[i].passes) > 0)
        if (instant_read().mono > end)
            return false;
    return gate_waits(i);
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

/* Waits until a request of this server has ended it here, stored or not. */
static bool begins_to_end(struct manager *m, const uint8_t id[ID_SIZE])
{
    int64_t end = instant_read().mono + 20000;
    bool is_ended = false;
    while (!is_ended && instant_read().mono < end) {
        struct table_stripe *stripe = table_lock(m->table, id);
        struct entry *e = table_find(stripe, id);
        is_ended = e && record_ended(e->record, NULL);
        table_unlock(stripe);
    }
    return is_ended;
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
    CU_ASSERT_FATAL(begins_to_end(w->m[0], id));
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK); /* not yet */
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

/* Its minute passes before the store has it: whoever waits gets an answer. */
static void p08_an_end_on_its_way_is_not_forgotten(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    struct slow end = {.w = w, .id = id, .what = SLOW_END};
    atomic_store(&gates[0].closed, true);
    slow_start(&end);
    CU_ASSERT_FATAL(gate_waits(0));
    CU_ASSERT_FATAL(begins_to_end(w->m[0], id));
    for (int s = 0; s < 70; s++) {
        w->now.mono += 1000;
        w->now.wall += 1000;
        manager_tick(w->m[0], w->now);
    }
    CHECK_INT(world_stats(w, 0).tombstones, 1);
    atomic_store(&gates[0].closed, false);
    CHECK_INT(slow_end(&end), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
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
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
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
            CHECK_INT(slow_end(&slow), RC_ENDED);
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
    int64_t end = instant_read().mono + 20000;
    while (atomic_load(&gates[0].fails) > 0 && instant_read().mono < end)
        sched_yield();
    CHECK_INT_FATAL(atomic_load(&gates[0].fails), 0);
    for (int n = 0; n < 100 && world_stats(w, 0).unsaved > 0; n++) {
        world_tick(w);
        sched_yield();
    }
    CU_ASSERT_FATAL(world_settle(w));
}

struct begun {
    struct commit_op op; /* first */
    sem_t gate;
};

static void begun_done(struct commit_op *op)
{
    sem_post(&((struct begun *)op)->gate);
}

static void begin_commit(struct begun *b, struct visit *v, struct world *w)
{
    memset(b, 0, sizeof *b);
    sem_init(&b->gate, 0, 0);
    b->op =
        (struct commit_op){.done = begun_done, .session = &v->s, .now = w->now};
    CHECK_INT_FATAL(manager_commit(v->manager, &b->op), RC_PENDING);
}

static enum rc end_commit(struct begun *b)
{
    sem_wait(&b->gate);
    sem_destroy(&b->gate);
    return b->op.rc;
}

/* The end of `v`, by a new id or a logout, as far as the gate. */
static void begin_end(struct begun *b, struct visit *v, struct world *w,
                      bool renames)
{
    uint8_t id[ID_SIZE];
    memcpy(id, session_id(&v->s), ID_SIZE);
    atomic_store(&gates[0].closed, true);
    if (renames)
        CHECK_INT(session_change_id(&v->s, NULL), RC_OK);
    else
        CHECK_INT(session_invalidate(&v->s, REASON_LOGOUT, NULL), RC_OK);
    begin_commit(b, v, w);
    if (renames) /* the new one is made first */
        CU_ASSERT_FATAL(gate_pass_one(0, false));
    CU_ASSERT_FATAL(begins_to_end(v->manager, id));
    CU_ASSERT_FATAL(gate_waits(0));
}

/* What comes after an end that is on its way waits for it: where that is not
 * stored in the end, it was no end. */
static void p31_an_end_that_fails_ended_nothing(struct world *w)
{
    for (int renames = 0; renames < 2; renames++) {
        struct visit ends, late;
        struct begun end, put;
        uint8_t id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&ends, w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&late, w, 0, id), RC_OK);
        begin_end(&end, &ends, w, renames);
        visit_set(&late, "k", "late");
        begin_commit(&put, &late, w);
        CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
        gate_fail(0, RC_UNAVAILABLE, 1);
        atomic_store(&gates[0].closed, false);
        CHECK_INT(end_commit(&end), RC_UNAVAILABLE);
        CHECK_INT(end_commit(&put), RC_OK);
        visit_end(&ends);
        visit_end(&late);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            CU_ASSERT(world_holds(w, i, id, "k", "late"));
    }
}

/* A new id whose old one could not be ended is of no use to anybody. */
static void p31_a_new_id_that_fails_leaves_nothing(struct world *w)
{
    struct visit v;
    struct begun rename;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    begin_end(&rename, &v, w, true);
    CHECK_INT(world_look(w, 1, session_id(&v.s), NULL), RC_OK);
    gate_fail(0, RC_UNAVAILABLE, 1);
    atomic_store(&gates[0].closed, false);
    CHECK_INT(end_commit(&rename), RC_UNAVAILABLE);
    CU_ASSERT(rename.op.err.text[0] != 0);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, session_id(&v.s), NULL), RC_ABSENT);
        CHECK_INT(world_look(w, i, id, NULL), RC_OK);
        CHECK_INT(world_stats(w, i).active, 1);
    }
    visit_end(&v);
}

/* The old id is over, and what came in between is not known to be there. */
static void p34_a_new_id_without_everything_is_uncertain(struct world *w)
{
    struct visit v;
    struct begun rename;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    begin_end(&rename, &v, w, true);
    CHECK_INT(world_put(w, 1, id, "k", "meanwhile"), RC_OK);
    CU_ASSERT_FATAL(gate_pass_one(0, false)); /* meets the put, */
    CU_ASSERT_FATAL(gate_pass_one(0, false)); /* is done */
    CHECK_INT(world_look(w, 1, id, NULL), RC_ABSENT);
    gate_fail(0, RC_UNAVAILABLE, 1);
    atomic_store(&gates[0].closed, false);
    CHECK_INT(end_commit(&rename), RC_UNCERTAIN);
    visit_end(&v);
}

/* The end of an old id is tried again: it takes along what others wrote in
 * between, whether it was done the first time or not. */
static void p10_a_retry_takes_everything_along(struct world *w)
{
    for (int done = 0; done < 2; done++) {
        struct visit v;
        struct begun rename;
        uint8_t id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
        begin_end(&rename, &v, w, true);
        CHECK_INT(world_put(w, 1, id, "k", "meanwhile"), RC_OK);
        if (done) {
            CU_ASSERT_FATAL(gate_pass_one(0, false)); /* meets the put, */
            CU_ASSERT_FATAL(gate_pass_one(0, true));  /* is done untold */
        } else { /* goes by what a find brought in */
            CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
            gate_fail(0, RC_UNCERTAIN, 1);
        }
        atomic_store(&gates[0].closed, false);
        CHECK_INT(end_commit(&rename), RC_OK);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
            CU_ASSERT(world_holds(w, i, session_id(&v.s), "k", "meanwhile"));
            CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
        }
        visit_end(&v);
    }
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

/* The same, when the other one's change came in by the conflict. */
static void p33_a_failure_after_a_conflict_takes_nothing_back(struct world *w)
{
    static const enum rc with[] = {RC_UNAVAILABLE, RC_UNCERTAIN};
    for (unsigned n = 0; n < 2; n++)
        for (int what = SLOW_PUT; what <= SLOW_END; what++) {
            uint8_t id[ID_SIZE];
            CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
            struct slow slow = {.w = w, .id = id, .what = what};
            atomic_store(&gates[0].closed, true);
            slow_start(&slow);
            CU_ASSERT_FATAL(gate_waits(0));
            CHECK_INT(world_put(w, 1, id, "k", "other"), RC_OK);
            CU_ASSERT_FATAL(gate_pass_one(0, false));
            gate_fail(0, with[n], with[n] == RC_UNCERTAIN ? 3 : 1);
            atomic_store(&gates[0].closed, false);
            CHECK_INT(slow_end(&slow), with[n]);
            CU_ASSERT(world_holds(w, 0, id, "k", "other"));
            CHECK_INT(world_put(w, 0, id, "mine", "mine"), RC_OK);
            for (unsigned i = 0; i < WORLD_MANAGERS; i++)
                CU_ASSERT(world_holds(w, i, id, "k", "other"));
        }
}

/* Waits until server 0 has counted so far, stored or not. */
static bool counts_to(struct manager *m, const uint8_t id[ID_SIZE],
                      int64_t hits)
{
    int64_t end = instant_read().mono + 20000, found = 0;
    while (found != hits && instant_read().mono < end) {
        struct table_stripe *stripe = table_lock(m->table, id);
        struct entry *e = table_find(stripe, id);
        found = e ? record_attribute(e->record, "hits", 4).number : 0;
        table_unlock(stripe);
    }
    return found == hits;
}

/* Two hits, one put behind the other: the second fails, the first is done. */
static void p33_a_failure_takes_back_its_own_only(struct world *w)
{
    static const enum rc with[] = {RC_UNAVAILABLE, RC_UNCERTAIN};
    for (unsigned n = 0; n < 2; n++) {
        uint8_t id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
        struct slow first = {.w = w, .id = id, .what = SLOW_HIT};
        struct slow second = first;
        atomic_store(&gates[0].closed, true);
        slow_start(&first);
        CU_ASSERT_FATAL(gate_waits(0));
        slow_start(&second);
        CU_ASSERT_FATAL(counts_to(w->m[0], id, 2));
        CU_ASSERT_FATAL(gate_pass_one(0, false));
        CHECK_INT(slow_end(&first), RC_OK);
        CHECK_INT(world_count(w, 0, id, "hits"), 1);
        gate_fail(0, with[n], with[n] == RC_UNCERTAIN ? 3 : 1);
        atomic_store(&gates[0].closed, false);
        CHECK_INT(slow_end(&second), with[n]);
        int64_t hits = world_count(w, 0, id, "hits");
        CU_ASSERT(hits == 1 || (hits == 2 && with[n] == RC_UNCERTAIN));
        CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            CHECK_INT(world_count(w, i, id, "hits"), hits + 1);
    }
}

/* Tried three times, and done the last time; what is added afterwards does not
 * know whether it was, and stands behind it all the same. */
static void p32_nothing_takes_the_place_of_what_is_uncertain(struct world *w)
{
    uint8_t id[ID_SIZE];
    struct visit next;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&next, w, 0, id), RC_OK);
    CHECK_INT(visit_add(&next, "hits", 1), RC_OK);
    gate_fail(0, RC_UNCERTAIN, 2);
    atomic_store(&gates[0].mute, true);
    atomic_store(&gates[0].passes, 3);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_UNCERTAIN);
    CHECK_INT(atomic_load(&gates[0].passes), 0);
    CHECK_INT(world_count(w, 1, id, "hits"), 1);
    CHECK_INT(visit_commit(&next, w), RC_OK);
    visit_end(&next);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_count(w, i, id, "hits"), 2);
}

/* The login hears of an add that its own request was not told of: stored, no
 * answer, and tried again under the id that is over by then. */
static void p32_an_add_counts_once_under_a_new_id(struct world *w)
{
    uint8_t old[ID_SIZE], id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    struct slow slow = {.w = w, .id = old, .what = SLOW_HIT};
    atomic_store(&gates[0].closed, true);
    slow_start(&slow);
    CU_ASSERT_FATAL(gate_waits(0));
    CU_ASSERT_FATAL(gate_pass_one(0, true));
    CHECK_INT(world_count(w, 1, old, "hits"), 1);
    CHECK_INT_FATAL(world_login(w, 1, old, "kim", id), RC_OK);
    atomic_store(&gates[0].closed, false);
    CHECK_INT(slow_end(&slow), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_count(w, i, id, "hits"), 1);
}

/* The same, and the put under the new id is refused: by then it is done. */
static void p31_what_may_be_done_is_not_unavailable(struct world *w)
{
    uint8_t old[ID_SIZE], id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    struct slow slow = {.w = w, .id = old, .what = SLOW_HIT};
    atomic_store(&gates[0].closed, true);
    slow_start(&slow);
    CU_ASSERT_FATAL(gate_waits(0));
    CU_ASSERT_FATAL(gate_pass_one(0, true));
    CHECK_INT_FATAL(world_login(w, 1, old, "kim", id), RC_OK);
    CU_ASSERT_FATAL(gate_pass_one(0, false)); /* meets the end, follows */
    gate_fail(0, RC_UNAVAILABLE, 1);
    atomic_store(&gates[0].closed, false);
    CHECK_INT(slow_end(&slow), RC_UNCERTAIN);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_count(w, i, id, "hits"), 1);
}

static const struct setting idle[] = {{"maxInactive", "100"}, {NULL, NULL}};

static uint64_t idle_ends(struct world *w)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < w->count; i++) {
        uint8_t id[ID_SIZE];
        /* Answered after all that its store was asked before. */
        CHECK_INT(world_create(w, i, id), RC_OK);
        ended += world_stats(w, i).ended[REASON_IDLE];
    }
    return ended;
}

static void p22_two_idle_ends_at_once_count_once(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    world_pass(w, 107000);
    atomic_store(&gates[0].closed, true);
    manager_tick(w->m[0], w->now);
    CU_ASSERT_FATAL(gate_waits(0));
    manager_tick(w->m[1], w->now);
    int64_t end = instant_read().mono + 20000;
    while (!world_stats(w, 1).ended[REASON_IDLE] && instant_read().mono < end)
        sched_yield();
    CHECK_INT(world_stats(w, 1).ended[REASON_IDLE], 1);
    atomic_store(&gates[0].closed, false);
    CU_ASSERT(world_settle(w));
    CHECK_INT(idle_ends(w), 1);
    CU_ASSERT_PTR_NULL(strstr(w->events, "destroyed")); /* at server 0 */
}

static void *commit_run(void *argument)
{
    struct visit *v = argument;
    struct world *w = v->s.user_data;
    visit_commit(v, w);
    return NULL;
}

/* The idle end is under way when a request that was attached before writes. */
static void p22_an_idle_end_that_was_beaten_is_not_told(struct world *w)
{
    uint8_t id[ID_SIZE];
    struct visit v;
    pthread_t thread;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    v.s.user_data = w;
    CHECK_INT(visit_set(&v, "k", "kept"), RC_OK);
    world_pass(w, 107000);
    atomic_store(&gates[0].closed, true);
    manager_tick(w->m[0], w->now);
    CU_ASSERT_FATAL(gate_waits(0));
    CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT);
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, commit_run, &v) == 0);
    int64_t end = instant_read().mono + 20000;
    while (world_look(w, 0, id, NULL) != RC_OK && instant_read().mono < end)
        sched_yield();
    atomic_store(&gates[0].closed, false);
    pthread_join(thread, NULL);
    CHECK_INT(v.rc, RC_OK);
    visit_end(&v);
    CU_ASSERT(world_settle(w));
    CHECK_INT(idle_ends(w), 0);
    CU_ASSERT_PTR_NULL(strstr(w->events, "destroyed"));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT(world_holds(w, i, id, "k", "kept"));
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p06_a_logout_elsewhere_outlives_a_failure, NULL)                         \
    S(p08_a_minute_after_the_end_not_after_what_was_before_it, NULL)           \
    S(p08_an_end_on_its_way_is_not_forgotten, NULL)                            \
    S(p22_two_idle_ends_at_once_count_once, idle)                              \
    S(p22_an_idle_end_that_was_beaten_is_not_told, idle)                       \
    S(p10_a_retry_takes_everything_along, NULL)                                \
    S(p30_a_row_of_a_newer_version_is_not_absent, NULL)                        \
    S(p31_an_end_that_fails_ended_nothing, NULL)                               \
    S(p31_a_new_id_that_fails_leaves_nothing, NULL)                            \
    S(p31_what_may_be_done_is_not_unavailable, NULL)                           \
    S(p32_what_is_uncertain_comes_to_rest, NULL)                               \
    S(p32_nothing_takes_the_place_of_what_is_uncertain, NULL)                  \
    S(p32_an_add_counts_once_under_a_new_id, NULL)                             \
    S(p33_a_failure_takes_nothing_of_others_back, NULL)                        \
    S(p33_a_failure_after_a_conflict_takes_nothing_back, NULL)                 \
    S(p33_a_failure_takes_back_its_own_only, NULL)                             \
    S(p34_a_new_id_without_everything_is_uncertain, NULL)
/* clang-format on */

#define ON_LATE(name, settings)                                                \
    STATEMENT_ON(name, settings, late)                                         \
    STATEMENT_ON(name, settings, late_file)                                    \
    STATEMENT_ON(name, settings, late_sqlite)
#define CASES(name, settings)                                                  \
    CASE(name##_on_late), CASE(name##_on_late_file),                           \
        CASE(name##_on_late_sqlite),

STATEMENTS(ON_LATE)
UNIT_MAIN("late", STATEMENTS(CASES))
