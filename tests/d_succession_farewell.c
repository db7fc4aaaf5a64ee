/* SPDX-License-Identifier: Apache-2.0
 *
 * d_succession_farewell.c: an end in a rolling change that whoever made it did
 * not come to the end of: either nobody is told of it, or it is final
 * (docs/rolling-change.md). */
#include "config.h"

#include "session/buf.h"
#include "session/farewell.h"
#include "tests/town.h"
#include "tests/unit.h"

#include <string.h>

#define APP "/town"

static void is_out(struct town *t, const uint8_t id[ID_SIZE])
{
    enum reason told = town_told(t, BOTH, id);
    CU_ASSERT(told != REASON_NONE && told != REASON_COUNT);
    CHECK_INT(town_told(t, BOTH, id), told);
}

/* ---- whoever ends it dies in between ---- */

struct cut {
    struct town *t;
    struct failing_faults faults;
    int ends; /* the instance, of one manager */
    uint8_t ids[3][ID_SIZE];
};

/* Sessions stand in both; only one that knows one of them is left. idle: that
 * one stores them later. */
static void cut_begin_in(struct cut *c, int ends, bool idle)
{
    struct town *t = town_new(true);
    int part = ends == NEW ? NEXT : PREVIOUS;
    *c = (struct cut){.t = t, .ends = ends};
    t->idle[part] = (struct persistent_options){.write_through = WRITE_FALSE,
                                                .max_idle_backup = -1,
                                                .max_idle_swap = -1,
                                                .min_idle_swap = -1,
                                                .save_on_restart = true};
    t->in_idle_mode[part] = idle;
    t->pair =
        (struct manager_pair){town_part(t, NEXT), town_part(t, PREVIOUS), true};
    town_make_fail(t, part, &c->faults);
    town_start(t, BOTH);
    for (int n = 0; n < 3; n++) {
        CHECK_INT(town_make(t, BOTH, c->ids[n]), RC_OK);
        if (n < 2)
            CHECK_INT(town_login(t, BOTH, c->ids[n]), RC_OK);
        if (!idle) /* waits for what is not stored */
            town_pass(t, 2000);
    }
    town_start(t, ends);
    town_stop(t, BOTH);
}

static void cut_begin(struct cut *c, int ends)
{
    cut_begin_in(c, ends, false);
}

/* After so many more writes to the store it is no more; another one is there in
 * its place. */
static void cut_after(struct cut *c, unsigned writes)
{
    atomic_store(&c->faults.spare_puts, writes);
    atomic_store(&c->faults.fail_puts, UINT32_MAX);
}

static void cut_over(struct cut *c)
{
    town_stop(c->t, c->ends);
    atomic_store(&c->faults.spare_puts, 0);
    atomic_store(&c->faults.fail_puts, 0);
    town_start(c->t, c->ends);
}

/* Those who hear that it is over hear the same for ever; it is not undone by
 * one that knows both. */
static void cut_end(struct cut *c, const uint8_t id[ID_SIZE], bool over)
{
    if (over) {
        CU_ASSERT(town_forgets(c->t, c->ends, id));
        town_start(c->t, BOTH);
        is_out(c->t, id);
        CHECK_INT(town_told(c->t, c->ends, id) == REASON_NONE, 0);
    } else {
        town_start(c->t, BOTH);
        CHECK_INT(town_told(c->t, BOTH, id), REASON_NONE);
    }
    town_free(c->t);
}

static void a_logout_is_cut_off(int ends)
{
    for (unsigned writes = 0; writes < 3; writes++) {
        struct cut c;
        cut_begin(&c, ends);
        cut_after(&c, writes);
        enum rc rc = town_end(c.t, ends, c.ids[2]);
        CU_ASSERT((rc == RC_OK) == (writes == 2));
        cut_over(&c);
        bool over = town_told(c.t, ends, c.ids[2]) != REASON_NONE;
        CU_ASSERT(over || rc != RC_OK);
        cut_end(&c, c.ids[2], over);
    }
}

static void a_logout_at_a_new_one_that_dies_is_final_or_none(void)
{
    a_logout_is_cut_off(NEW);
}

static void a_logout_at_an_old_one_that_dies_is_final_or_none(void)
{
    a_logout_is_cut_off(OLD);
}

/* It was not marked when the request began that ends it. */
static void a_logout_of_what_is_marked_meanwhile_is_final_or_none(void)
{
    for (unsigned writes = 0; writes < 4; writes++) {
        struct cut c = {.t = town_new(true), .ends = OLD};
        struct town_request r;
        uint8_t id[ID_SIZE];
        town_make_fail(c.t, PREVIOUS, &c.faults);
        town_start(c.t, OLD);
        CHECK_INT(town_make(c.t, OLD, id), RC_OK);
        CHECK_INT_FATAL(town_look(&r, c.t, OLD, id), RC_OK);
        CHECK_INT(session_invalidate(&r.s, REASON_LOGOUT, NULL), RC_OK);
        town_start(c.t, BOTH);
        CHECK_INT(town_told(c.t, BOTH, id), REASON_NONE);
        town_stop(c.t, BOTH);
        cut_after(&c, writes);
        enum rc rc = town_commit(&r, c.t);
        town_done(&r);
        CU_ASSERT((rc == RC_OK) == (writes == 3));
        cut_over(&c);
        bool over = town_told(c.t, OLD, id) != REASON_NONE;
        CU_ASSERT(over || rc != RC_OK);
        cut_end(&c, id, over);
    }
}

/* Whoever is told that it was not done does it again. */
static void a_logout_is_repeated(enum failing_how how, int ends, bool idle)
{
    for (unsigned writes = 0; writes < 2; writes++) {
        struct cut c;
        uint8_t farewell[ID_SIZE];
        cut_begin_in(&c, ends, idle);
        atomic_store(&c.faults.how, how);
        cut_after(&c, writes);
        CHECK_INT(town_end(c.t, ends, c.ids[2]) == RC_OK, 0);
        atomic_store(&c.faults.fail_puts, 0);
        if (town_told(c.t, ends, c.ids[2]) == REASON_NONE)
            CHECK_INT(town_end(c.t, ends, c.ids[2]), RC_OK);
        /* it may be killed now */
        farewell_id(c.ids[2], farewell);
        CU_ASSERT(memory_rows_forget(c.t->rows[ends == NEW ? NEXT : PREVIOUS],
                                     APP, farewell));
        town_free(c.t);
    }
}

static void a_logout_that_failed_is_done_again(void)
{
    a_logout_is_repeated(FAILING_UNAVAILABLE, NEW, false);
}

static void a_logout_that_was_not_known_is_done_again(void)
{
    a_logout_is_repeated(FAILING_LOST, NEW, false);
}

static void a_logout_that_was_done_unseen_is_done_again(void)
{
    a_logout_is_repeated(FAILING_LAST, NEW, false);
}

static void a_logout_in_a_new_idle_mode_is_done_again(void)
{
    a_logout_is_repeated(FAILING_LOST, NEW, true);
}

static void a_logout_in_an_old_idle_mode_is_done_again(void)
{
    a_logout_is_repeated(FAILING_LOST, OLD, true);
}

/* The id of before it. */
static void a_login_that_is_cut_off_leaves_no_old_id(void)
{
    for (unsigned writes = 0; writes < 5; writes++) {
        struct cut c;
        uint8_t id[ID_SIZE];
        cut_begin(&c, NEW);
        memcpy(id, c.ids[2], ID_SIZE);
        cut_after(&c, writes);
        enum rc rc = town_login(c.t, NEW, id);
        cut_over(&c);
        bool over = town_told(c.t, NEW, c.ids[2]) != REASON_NONE;
        CU_ASSERT(over || rc != RC_OK);
        cut_end(&c, c.ids[2], over);
    }
}

/* Two at most (maxSessionsPerUser). */
static void who_is_replaced_by_one_that_dies_is_out_or_in(void)
{
    bool was_over = false;
    for (unsigned writes = 2; writes < 8; writes++) {
        struct cut c;
        cut_begin(&c, NEW);
        cut_after(&c, writes);
        town_login(c.t, NEW, c.ids[2]);
        cut_over(&c);
        bool over = town_told(c.t, NEW, c.ids[0]) != REASON_NONE;
        was_over |= over;
        cut_end(&c, c.ids[0], over);
    }
    CU_ASSERT(was_over);
}

/* ---- nobody knows whether it was done, and then the other one is away ---- */

static void an_outage_of_one_after_the_other_undoes_no_logout(void)
{
    struct town *t = town_new(true);
    struct failing_faults next = {0}, previous = {0};
    struct town_request r;
    uint8_t out[ID_SIZE];
    town_make_fail(t, NEXT, &next);
    town_make_fail(t, PREVIOUS, &previous);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, out), RC_OK);
    town_start(t, NEW);
    CHECK_INT_FATAL(town_look(&r, t, BOTH, out), RC_OK);
    CHECK_INT(session_invalidate(&r.s, REASON_LOGOUT, NULL), RC_OK);
    atomic_store(&next.how, FAILING_LAST);
    atomic_store(&next.spare_puts, 1);
    atomic_store(&next.fail_puts, UINT32_MAX);
    CHECK_INT(town_commit(&r, t), RC_UNCERTAIN);
    town_done(&r);
    atomic_store(&next.fail_puts, 0);
    atomic_store(&previous.down, true);
    CHECK_INT(town_told(t, BOTH, out), REASON_LOGOUT);
    CU_ASSERT(town_forgets(t, NEW, out));
    atomic_store(&previous.down, false);
    CU_ASSERT(town_answers(t, BOTH, out));
    is_out(t, out);
    town_free(t);
}

/* Where no farewell can be left nothing ends. */
static void a_logout_that_cannot_last_is_none(void)
{
    struct town *t = town_new(true);
    struct failing_faults previous = {0};
    struct town_request r;
    uint8_t id[ID_SIZE];
    town_make_fail(t, PREVIOUS, &previous);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CHECK_INT_FATAL(town_look(&r, t, BOTH, id), RC_OK);
    CHECK_INT(session_invalidate(&r.s, REASON_LOGOUT, NULL), RC_OK);
    atomic_store(&previous.down, true);
    CHECK_INT(town_commit(&r, t), RC_UNAVAILABLE);
    town_done(&r);
    atomic_store(&previous.down, false);
    CU_ASSERT(town_answers(t, BOTH, id));
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    CHECK_INT(town_end(t, BOTH, id), RC_OK);
    CU_ASSERT(town_forgets(t, BOTH, id));
    is_out(t, id);
    town_free(t);
}

/* ---- it cannot be marked ---- */

/* The previous one is full to the last byte. */
static void what_cannot_be_marked_ends_all_the_same(void)
{
    struct town *t = town_new(true);
    struct failing_faults faults = {0};
    uint8_t out[ID_SIZE], in[ID_SIZE];
    town_make_fail(t, PREVIOUS, &faults);
    town_start(t, OLD);
    CHECK_INT(town_make(t, OLD, out), RC_OK);
    CHECK_INT(town_make(t, OLD, in), RC_OK);
    town_start(t, BOTH);
    atomic_store(&faults.how, FAILING_TOO_BIG);
    atomic_store(&faults.fail_puts, 1);
    CHECK_INT(town_told(t, BOTH, out), REASON_NONE);
    atomic_store(&faults.fail_puts, 1);
    CHECK_INT(town_told(t, BOTH, in), REASON_NONE);
    town_stop(t, BOTH);
    town_start(t, NEW);
    CHECK_INT(town_end(t, OLD, out), RC_OK);
    CU_ASSERT(town_forgets(t, OLD, out));
    CHECK_INT(town_told(t, OLD, in), REASON_NONE);
    town_start(t, BOTH);
    is_out(t, out);
    CHECK_INT(town_told(t, NEW, out), REASON_UNKNOWN);
    CHECK_INT(town_told(t, BOTH, in), REASON_NONE);
    town_free(t);
}

/* Whoever uses it where the other manager is known alone keeps it. */
static void what_cannot_be_marked_lives_by_its_use(void)
{
    struct town *t = town_new(true);
    struct failing_faults faults = {.how = FAILING_TOO_BIG};
    uint8_t id[ID_SIZE];
    town_make_fail(t, PREVIOUS, &faults);
    town_start(t, OLD);
    CHECK_INT(town_make(t, OLD, id), RC_OK);
    town_start(t, BOTH);
    atomic_store(&faults.fail_puts, 1);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    town_start(t, NEW);
    for (int n = 0; n < 40; n++) {
        town_pass(t, MINUTE);
        town_tick_all(t);
        CHECK_INT(town_told(t, NEW, id), REASON_NONE);
        atomic_store(&faults.fail_puts, 1); /* the mark again, not the use */
        CHECK_INT(town_peek(t, BOTH, id), RC_OK);
        atomic_store(&faults.fail_puts, 0);
    }
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    CHECK_INT(town_told(t, OLD, id), REASON_NONE);
    town_free(t);
}

/* ---- one that ends all at its stop ---- */

static void what_ends_at_a_stop_ends_in_both(void)
{
    struct town *t = town_new(true);
    uint8_t out[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, out), RC_OK);
    town_start(t, NEW);
    CHECK_INT(town_told(t, NEW, out), REASON_NONE);
    town_stop(t, BOTH);
    manager_end_due(t->m[NEW], out, REASON_ADMIN, t->now);
    CU_ASSERT(town_is_told(t));
    CHECK_STR(t->events, "admin ");
    CU_ASSERT(town_forgets(t, NEW, out));
    town_start(t, BOTH);
    is_out(t, out);
    town_free(t);
}

/* ---- one that is there already ---- */

struct leaving {
    struct farewell f; /* first */
    sem_t gate;
    enum rc rc;
};

static void is_left(struct farewell *f, enum rc rc)
{
    struct leaving *l = (struct leaving *)f;
    l->rc = rc;
    sem_post(&l->gate);
}

/* By a session that may be idle for so long. */
static void leave(struct town *t, int i, const uint8_t id[ID_SIZE],
                  int64_t seconds)
{
    struct leaving l = {.f = {.done = is_left}};
    struct value idle = {.type = VALUE_INT, .number = seconds};
    struct changes changes;
    changes_init(&changes);
    changes_set(&changes, key_field(FIELD_MAX_INACTIVE), &idle);
    struct record *ended =
        record_new(RECORD_SESSION, id, t->now.wall, &changes, 1);
    changes_release(&changes);
    sem_init(&l.gate, 0, 0);
    enum rc rc = farewell_leave(&l.f, t->m[i], ended, id, t->now);
    if (rc == RC_PENDING) {
        sem_wait(&l.gate);
        rc = l.rc;
    }
    CHECK_INT(rc, RC_OK);
    farewell_release(&l.f);
    sem_destroy(&l.gate);
    record_unref(&ended);
    town_pass(t, 2000);
}

static void is_found(struct find_op *op)
{
    sem_post(op->user_data);
}

static int64_t kept_by(struct manager *m, const uint8_t id[ID_SIZE],
                       struct instant now)
{
    sem_t gate;
    struct find_op op = {
        .done = is_found, .now = now, .peek = true, .user_data = &gate};
    sem_init(&gate, 0, 0);
    farewell_id(id, op.id);
    op.manager = m;
    enum rc rc = op.manager->ops->find(op.manager, &op);
    if (rc == RC_PENDING) {
        sem_wait(&gate);
        rc = op.rc;
    }
    sem_destroy(&gate);
    CHECK_INT_FATAL(rc, RC_OK);
    int64_t seconds = record_number(op.record, FIELD_MAX_INACTIVE);
    record_unref(&op.record);
    return seconds;
}

static void a_farewell_is_kept_for_the_longer_time(void)
{
    static const uint8_t id[ID_SIZE] = {7, [6] = 0x40, [8] = 0x80};
    struct town *t = town_new(true);
    town_start(t, NEW);
    leave(t, NEW, id, 5000);
    CHECK_INT(kept_by(t->m[NEW], id, t->now), 5000 + 3600);
    leave(t, NEW, id, 360000);
    CHECK_INT(kept_by(t->m[NEW], id, t->now), 360000 + 3600);
    leave(t, NEW, id, 5000);
    CHECK_INT(kept_by(t->m[NEW], id, t->now), 360000 + 3600);
    town_free(t);
}

/* Seconds of idle time, in the order in which it was left. 0: it was not. */
static void both_keep_it(int64_t old, int64_t new, int64_t both, int64_t kept)
{
    static const uint8_t id[ID_SIZE] = {7, [6] = 0x40, [8] = 0x80};
    struct town *t = town_new(true);
    for (int i = 0; i < KINDS; i++)
        town_start(t, i);
    struct succession *s = succession_of(t->m[BOTH]);
    if (old) {
        leave(t, OLD, id, old);
        CHECK_INT(kept_by(s->part[PREVIOUS], id, t->now), old + 3600);
    }
    if (new) {
        leave(t, NEW, id, new);
        CHECK_INT(kept_by(s->part[NEXT], id, t->now), new + 3600);
    }
    leave(t, BOTH, id, both);
    CHECK_INT(kept_by(s->part[NEXT], id, t->now), kept + 3600);
    CHECK_INT(kept_by(s->part[PREVIOUS], id, t->now), kept + 3600);
    town_stop(t, BOTH);
    town_start(t, BOTH); /* as it is stored */
    s = succession_of(t->m[BOTH]);
    CHECK_INT(kept_by(s->part[NEXT], id, t->now), kept + 3600);
    CHECK_INT(kept_by(s->part[PREVIOUS], id, t->now), kept + 3600);
    town_free(t);
}

static void both_keep_a_farewell_for_the_longer_time(void)
{
    both_keep_it(5000, 0, 360000, 360000);
    both_keep_it(360000, 0, 5000, 360000);
    both_keep_it(0, 5000, 360000, 360000);
    both_keep_it(0, 360000, 5000, 360000);
}

static void a_short_farewell_is_not_hidden_by_a_long_one(void)
{
    both_keep_it(5000, 360000, 100000, 360000);
    both_keep_it(360000, 5000, 100000, 360000);
    both_keep_it(5000, 100000, 360000, 360000);
}

UNIT_MAIN("succession_farewell",
          CASE(a_logout_at_a_new_one_that_dies_is_final_or_none),
          CASE(a_logout_at_an_old_one_that_dies_is_final_or_none),
          CASE(a_logout_of_what_is_marked_meanwhile_is_final_or_none),
          CASE(a_logout_that_failed_is_done_again),
          CASE(a_logout_that_was_not_known_is_done_again),
          CASE(a_logout_that_was_done_unseen_is_done_again),
          CASE(a_logout_in_a_new_idle_mode_is_done_again),
          CASE(a_logout_in_an_old_idle_mode_is_done_again),
          CASE(a_login_that_is_cut_off_leaves_no_old_id),
          CASE(who_is_replaced_by_one_that_dies_is_out_or_in),
          CASE(an_outage_of_one_after_the_other_undoes_no_logout),
          CASE(a_logout_that_cannot_last_is_none),
          CASE(what_cannot_be_marked_ends_all_the_same),
          CASE(what_cannot_be_marked_lives_by_its_use),
          CASE(what_ends_at_a_stop_ends_in_both),
          CASE(a_farewell_is_kept_for_the_longer_time),
          CASE(both_keep_a_farewell_for_the_longer_time),
          CASE(a_short_farewell_is_not_hidden_by_a_long_one))
