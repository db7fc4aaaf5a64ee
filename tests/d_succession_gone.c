/* SPDX-License-Identifier: Apache-2.0
 *
 * d_succession_gone.c: one of two managers does not know a session which the
 * other one has: it has ended there, or it was lost, or it idled out while it
 * was used elsewhere (docs/rolling-change.md). */
#include "config.h"

#include "session/buf.h"
#include "tests/town.h"
#include "tests/unit.h"

#include <sched.h>
#include <string.h>

#define APP "/town"

/* ---- it has ended there, while nobody who knows both was up ---- */

static void is_out_for_good(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    CHECK_INT(town_told(t, BOTH, id), REASON_UNKNOWN);
    CHECK_INT(town_told(t, i, id), REASON_UNKNOWN);
    CHECK_INT(town_told(t, BOTH, id), REASON_UNKNOWN);
}

static void a_logout_at(int ends)
{
    struct town *t = town_new(true);
    uint8_t out[ID_SIZE], in[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, out), RC_OK);
    CHECK_INT(town_make(t, BOTH, in), RC_OK);
    town_start(t, ends);
    town_pass(t, MINUTE);
    CHECK_INT(town_told(t, BOTH, out), REASON_NONE);
    town_stop(t, BOTH);
    CHECK_INT(town_end(t, ends, out), RC_OK);
    CU_ASSERT(town_forgets(t, ends, out));
    town_pass(t, 10 * MINUTE);
    town_tick_all(t);
    CHECK_INT(town_told(t, ends, in), REASON_NONE);
    town_start(t, BOTH);
    is_out_for_good(t, ends, out);
    CHECK_INT(town_told(t, BOTH, in), REASON_NONE);
    CHECK_STR(t->events, "logout ");
    town_free(t);
}

static void a_logout_at_a_new_one_meanwhile_is_final(void)
{
    a_logout_at(NEW);
}

static void a_logout_at_an_old_one_meanwhile_is_final(void)
{
    a_logout_at(OLD);
}

/* It stores sessions later, but not what it says of their ends. */
static void a_logout_in_an_idle_mode(int which, int ends)
{
    struct town *t = town_new(true);
    struct manager_stats stats;
    uint8_t out[ID_SIZE];
    t->idle[which] = (struct persistent_options){.write_through = WRITE_FALSE,
                                                 .max_idle_backup = -1,
                                                 .max_idle_swap = -1,
                                                 .min_idle_swap = -1,
                                                 .save_on_restart = true};
    t->in_idle_mode[which] = true;
    t->pair =
        (struct manager_pair){town_part(t, NEXT), town_part(t, PREVIOUS), true};
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, out), RC_OK);
    town_stop(t, BOTH);
    town_start(t, ends);
    CHECK_INT(town_end(t, ends, out), RC_OK);
    manager_stats(t->m[ends], &stats);
    CHECK_INT(stats.unsaved, 0); /* it may be killed now */
    town_free(t);
}

static void a_logout_in_a_new_idle_mode_is_final(void)
{
    a_logout_in_an_idle_mode(NEXT, NEW);
}

static void a_logout_in_an_old_idle_mode_is_final(void)
{
    a_logout_in_an_idle_mode(PREVIOUS, OLD);
}

/* Nobody asks for it: the walk does not bring it back either. */
static void no_walk_undoes_a_logout(void)
{
    struct town *t = town_new(false);
    uint8_t out[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, out), RC_OK);
    CU_ASSERT(town_is_complete(t, BOTH));
    town_start(t, NEW);
    town_stop(t, BOTH);
    CHECK_INT(town_end(t, NEW, out), RC_OK);
    CU_ASSERT(town_forgets(t, NEW, out));
    town_start(t, BOTH);
    CU_ASSERT(town_is_complete(t, BOTH));
    CHECK_INT(town_told(t, NEW, out), REASON_UNKNOWN);
    town_free(t);
}

/* Whoever has the id of before a login has nothing. */
static void a_new_id_meanwhile_is_one(void)
{
    struct town *t = town_new(true);
    uint8_t old[ID_SIZE], id[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, old), RC_OK);
    town_start(t, NEW);
    town_stop(t, BOTH);
    memcpy(id, old, ID_SIZE);
    CHECK_INT(town_login(t, NEW, id), RC_OK);
    CU_ASSERT(town_forgets(t, NEW, old));
    town_start(t, BOTH);
    is_out_for_good(t, NEW, old);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    town_free(t);
}

/* Two at most (maxSessionsPerUser). */
static void who_was_replaced_meanwhile_is_out(void)
{
    struct town *t = town_new(true);
    uint8_t ids[3][ID_SIZE];
    town_start(t, BOTH);
    town_start(t, NEW);
    for (int n = 0; n < 3; n++) {
        if (n == 2)
            town_stop(t, BOTH);
        CHECK_INT(town_make(t, n == 2 ? NEW : BOTH, ids[n]), RC_OK);
        CHECK_INT(town_login(t, n == 2 ? NEW : BOTH, ids[n]), RC_OK);
        town_pass(t, 2000);
    }
    CU_ASSERT(town_forgets(t, NEW, ids[0]));
    town_start(t, BOTH);
    is_out_for_good(t, NEW, ids[0]);
    CHECK_INT(town_told(t, BOTH, ids[1]), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, ids[2]), REASON_NONE);
    town_free(t);
}

/* It is used a minute later, when one that knows the new one only is there. */
static void one_in_both(struct town *t, struct failing_faults *faults,
                        uint8_t id[ID_SIZE])
{
    town_make_fail(t, PREVIOUS, faults);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    town_start(t, NEW);
    town_pass(t, MINUTE);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
}

/* The one that knows both is up, and one of the stores is away. */
static void a_logout_during_an_outage_is_final(void)
{
    struct town *t = town_new(true);
    struct failing_faults faults = {0};
    uint8_t out[ID_SIZE];
    one_in_both(t, &faults, out);
    atomic_store(&faults.down, true);
    CHECK_INT(town_end(t, NEW, out), RC_OK);
    CU_ASSERT(town_forgets(t, NEW, out));
    atomic_store(&faults.down, false);
    CU_ASSERT(town_answers(t, BOTH, out));
    is_out_for_good(t, NEW, out);
    town_free(t);
}

/* Who asks once more is told that it is over, so it has to stay so. */
static void a_logout_that_one_did_not_hear_is_final(void)
{
    struct town *t = town_new(true);
    struct town_request r;
    struct failing_faults faults = {0};
    uint8_t out[ID_SIZE];
    one_in_both(t, &faults, out);
    CHECK_INT_FATAL(town_look(&r, t, BOTH, out), RC_OK);
    CHECK_INT(session_invalidate(&r.s, REASON_LOGOUT, NULL), RC_OK);
    atomic_store(&faults.spare_puts, 1); /* the farewell */
    atomic_store(&faults.fail_puts, UINT32_MAX);
    CHECK_INT(town_commit(&r, t), RC_UNCERTAIN);
    town_done(&r);
    atomic_store(&faults.down, true);
    atomic_store(&faults.fail_puts, 0);
    CHECK_INT(town_told(t, BOTH, out), REASON_LOGOUT);
    CU_ASSERT(town_forgets(t, NEW, out));
    atomic_store(&faults.down, false);
    CU_ASSERT(town_answers(t, BOTH, out));
    is_out_for_good(t, NEW, out);
    town_free(t);
}

/* A store that comes back with an older snapshot has what ended since. */
static void a_snapshot_undoes_no_logout(void)
{
    struct town *t = town_new(true);
    uint8_t out[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, out), RC_OK);
    struct find_op op = {.now = t->now, .peek = true};
    memcpy(op.id, out, ID_SIZE);
    struct manager *next = succession_of(t->m[BOTH])->part[NEXT];
    CHECK_INT_FATAL(part_find(next, &op), RC_OK); /* it reads inline */
    CHECK_INT(town_end(t, BOTH, out), RC_OK);
    CU_ASSERT(town_forgets(t, BOTH, out));
    memory_rows_forget(t->rows[NEXT], APP, out);
    CHECK_INT(town_write(next, WRITE_CREATE, out, op.record, NULL, t->now),
              RC_OK);
    record_unref(&op.record);
    is_out_for_good(t, BOTH, out);
    town_free(t);
}

/* ---- it was lost there ---- */

static bool has_row(struct town *t, int part, const uint8_t id[ID_SIZE])
{
    return memory_rows_forget(t->rows[part], APP, id);
}

/* The new one was set back; who is asked for, and who is not. */
static void what_a_snapshot_lacks_is_brought_anew(void)
{
    struct town *t = town_new(false);
    struct failing_faults faults = {0};
    uint8_t ids[2][ID_SIZE];
    town_make_fail(t, NEXT, &faults);
    town_start(t, BOTH);
    for (int n = 0; n < 2; n++)
        CHECK_INT(town_make(t, BOTH, ids[n]), RC_OK);
    CU_ASSERT(town_is_complete(t, BOTH));
    town_pass(t, MINUTE); /* they are not young */
    for (int n = 0; n < 2; n++)
        CU_ASSERT(has_row(t, NEXT, ids[n]));
    CHECK_INT(town_told(t, BOTH, ids[0]), REASON_NONE);
    CU_ASSERT(town_is_complete(t, BOTH));
    town_start(t, NEW);
    int64_t until = instant_read().mono + 20000;
    while (town_told(t, NEW, ids[1]) != REASON_NONE &&
           instant_read().mono < until)
        CU_ASSERT(town_is_complete(t, BOTH));
    CHECK_INT(town_told(t, NEW, ids[0]), REASON_NONE);
    CHECK_INT(town_told(t, NEW, ids[1]), REASON_NONE);
    CHECK_STR(t->events, "");
    town_free(t);
}

/* The old one was set back: the new one has it, and that will do. */
static void what_the_old_one_forgot_lives_on(void)
{
    struct town *t = town_new(false);
    uint8_t id[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CU_ASSERT(town_is_complete(t, BOTH));
    town_pass(t, MINUTE); /* it is not young */
    CU_ASSERT(has_row(t, PREVIOUS, id));
    for (int n = 0; n < 3; n++) {
        CHECK_INT(town_add(t, BOTH, id), RC_OK);
        CHECK_INT(town_peek(t, BOTH, id), RC_OK);
        town_pass(t, 20000);
    }
    CHECK_INT(town_count(t, BOTH, id), 3);
    town_free(t);
}

static bool is_complete_now(struct town *t)
{
    struct manager_stats stats;
    manager_stats(t->m[BOTH], &stats);
    return stats.previous_complete;
}

/* All came over, and the next one says that it has lost the session. */
static struct town *lost_by_the_next(struct failing_faults *faults,
                                     uint8_t id[ID_SIZE])
{
    struct town *t = town_new(false);
    *faults = (struct failing_faults){0};
    town_make_fail(t, NEXT, faults);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CU_ASSERT(town_is_complete(t, BOTH));
    atomic_store(&faults->gone, REASON_LOST);
    CU_ASSERT(has_row(t, NEXT, id));
    return t;
}

/* Then it says so no longer, and nobody says that all is over before it has it
 * again. */
static void is_brought_anew(struct town *t, struct failing_faults *faults,
                            const uint8_t id[ID_SIZE])
{
    CU_ASSERT(!is_complete_now(t));
    atomic_store(&faults->gone, REASON_NONE);
    town_pass(t, 2 * MINUTE);
    CU_ASSERT(town_is_complete(t, BOTH));
    town_start(t, NEW);
    CHECK_INT(town_told(t, NEW, id), REASON_NONE);
}

/* It is served from the previous one. */
static void what_the_new_one_lost_is_brought_anew(void)
{
    struct failing_faults faults;
    uint8_t id[ID_SIZE];
    struct town *t = lost_by_the_next(&faults, id);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    is_brought_anew(t, &faults, id);
    CHECK_STR(t->events, "");
    town_free(t);
}

/* Nobody asks for it: the walk finds that it is lost. */
static void a_walk_sees_what_was_lost(void)
{
    struct failing_faults faults;
    uint8_t id[ID_SIZE];
    struct town *t = lost_by_the_next(&faults, id);
    CU_ASSERT(town_logs(t, "has lost it"));
    is_brought_anew(t, &faults, id);
    town_free(t);
}

/* ---- it goes on under another id ---- */

/* Between the two ends of a new id somebody who knows the old manager alone
 * changes what stands there; who comes by then ends it. */
static void what_was_acknowledged_goes_on_under_a_new_id(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE], next_id[ID_SIZE];
    town_start(t, BOTH);
    town_start(t, OLD);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    struct find_op op = {.now = t->now, .peek = true};
    memcpy(op.id, id, ID_SIZE);
    struct manager *next = succession_of(t->m[BOTH])->part[NEXT];
    CHECK_INT_FATAL(part_find(next, &op), RC_OK);
    id_mint(next_id);
    struct record *moved = record_rekey(op.record, next_id);
    CHECK_INT(
        town_write(t->m[BOTH], WRITE_CREATE, next_id, moved, NULL, t->now),
        RC_OK);
    CHECK_INT(town_write(next, WRITE_END, id, NULL, next_id, t->now), RC_OK);
    record_unref(&moved);
    record_unref(&op.record);
    CHECK_INT(town_put(t, OLD, id, "a", "acknowledged"), RC_OK);
    CHECK_INT(town_told(t, BOTH, id), REASON_RENAMED);
    CHECK_INT(town_told(t, OLD, id), REASON_RENAMED);
    CU_ASSERT(town_says(t, BOTH, next_id, "a", "acknowledged"));
    town_free(t);
}

/* ---- the start ---- */

/* Who may answer may log in, too. */
static void who_is_ready_counts_logins(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    int64_t until = instant_read().mono + 20000;
    town_begin(t, BOTH);
    struct succession *s = succession_of(t->m[BOTH]);
    while ((!atomic_load(&s->era[NEXT]) || !atomic_load(&s->era[PREVIOUS])) &&
           instant_read().mono < until)
        sched_yield();
    CU_ASSERT(!manager_ready(t->m[BOTH], t->now)); /* no tick yet */
    while (!manager_ready(t->m[BOTH], t->now) && instant_read().mono < until) {
        manager_tick(t->m[BOTH], t->now);
        sched_yield();
    }
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CHECK_INT(town_login(t, BOTH, id), RC_OK);
    town_free(t);
}

/* Where nobody counts them, they wait for nobody's secret either. */
static void who_does_not_count_logs_in_at_once(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    int64_t until = instant_read().mono + 20000;
    t->common.max_sessions_per_user = -1;
    t->of[NEXT] = t->of[PREVIOUS] = t->common;
    town_begin(t, BOTH);
    while (!manager_ready(t->m[BOTH], t->now) && instant_read().mono < until)
        sched_yield();
    CU_ASSERT(!atomic_load(&t->m[BOTH]->secret_known)); /* no tick yet */
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CHECK_INT(town_login(t, BOTH, id), RC_OK);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    town_free(t);
}

UNIT_MAIN("succession_gone", CASE(a_logout_at_a_new_one_meanwhile_is_final),
          CASE(a_logout_at_an_old_one_meanwhile_is_final),
          CASE(a_logout_in_a_new_idle_mode_is_final),
          CASE(a_logout_in_an_old_idle_mode_is_final),
          CASE(no_walk_undoes_a_logout), CASE(a_new_id_meanwhile_is_one),
          CASE(who_was_replaced_meanwhile_is_out),
          CASE(a_logout_during_an_outage_is_final),
          CASE(a_logout_that_one_did_not_hear_is_final),
          CASE(a_snapshot_undoes_no_logout),
          CASE(what_a_snapshot_lacks_is_brought_anew),
          CASE(what_the_old_one_forgot_lives_on),
          CASE(what_the_new_one_lost_is_brought_anew),
          CASE(a_walk_sees_what_was_lost),
          CASE(what_was_acknowledged_goes_on_under_a_new_id),
          CASE(who_is_ready_counts_logins),
          CASE(who_does_not_count_logs_in_at_once))
