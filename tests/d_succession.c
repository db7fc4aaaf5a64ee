/* SPDX-License-Identifier: Apache-2.0
 *
 * d_succession.c: instances of a rolling change side by side: some know the old
 * manager only, some both, some the new one only (docs/rolling-change.md). */
#include "config.h"

#include "session/buf.h"
#include "tests/town.h"
#include "tests/unit.h"

#include <sched.h>
#include <string.h>

/* ---- the first rolling restart: OLD beside BOTH ---- */

static void what_the_old_ones_change_is_seen(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    town_start(t, OLD);
    CHECK_INT(town_make(t, OLD, id), RC_OK);
    CHECK_INT(town_put(t, OLD, id, "a", "1"), RC_OK);
    town_start(t, BOTH);
    CU_ASSERT(town_says(t, BOTH, id, "a", "1"));
    for (int n = 0; n < 5; n++) {
        CHECK_INT(town_add(t, OLD, id), RC_OK);
        CHECK_INT(town_add(t, BOTH, id), RC_OK);
    }
    CHECK_INT(town_count(t, OLD, id), 10);
    CHECK_INT(town_count(t, BOTH, id), 10);
    CHECK_INT(town_put(t, OLD, id, "a", "2"), RC_OK);
    CHECK_INT(town_put(t, BOTH, id, "b", "2"), RC_OK);
    CHECK_INT(town_put(t, OLD, id, "b", "3"), RC_OK);
    CU_ASSERT(town_says(t, BOTH, id, "a", "2"));
    CU_ASSERT(town_says(t, BOTH, id, "b", "3"));
    /* that look brought the rest, too */
    town_start(t, NEW);
    CU_ASSERT(town_says(t, NEW, id, "b", "3"));
    CHECK_INT(town_count(t, NEW, id), 10);
    town_free(t);
}

/* A set that follows another one wins, whatever the clocks say. */
static void what_comes_after_wins(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    town_start(t, BOTH);
    town_start(t, NEW);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    town_pass(t, 20000); /* this one's clock is ahead */
    CHECK_INT(town_put(t, NEW, id, "a", "new"), RC_OK);
    town_pass(t, -15000);
    CHECK_INT(town_put(t, BOTH, id, "a", "both"), RC_OK);
    CU_ASSERT(town_says(t, NEW, id, "a", "both"));
    CHECK_INT(town_put(t, NEW, id, "z", "seen"), RC_OK);
    CU_ASSERT(town_says(t, BOTH, id, "z", "seen"));
    town_stop(t, NEW);
    town_start(t, OLD);
    CU_ASSERT(town_says(t, OLD, id, "z", "seen")); /* the way back */
    town_pass(t, 20000);
    CHECK_INT(town_put(t, OLD, id, "a", "old"), RC_OK);
    town_pass(t, -15000);
    CHECK_INT(town_put(t, BOTH, id, "a", "again"), RC_OK);
    CU_ASSERT(town_says(t, OLD, id, "a", "again"));
    CU_ASSERT(town_says(t, BOTH, id, "a", "again"));
    town_free(t);
}

static void an_end_at_one_is_an_end(int ends, int other)
{
    struct town *t = town_new(true);
    uint8_t seen[ID_SIZE], unseen[ID_SIZE];
    town_start(t, BOTH);
    town_start(t, ends);
    CHECK_INT(town_make(t, BOTH, seen), RC_OK);
    CHECK_INT(town_make(t, BOTH, unseen), RC_OK);
    town_pass(t, MINUTE); /* they are not young */
    CHECK_INT(town_end(t, ends, seen), RC_OK);
    CHECK_INT(town_end(t, ends, unseen), RC_OK);
    CHECK_INT(town_told(t, BOTH, seen), REASON_LOGOUT);
    town_start(t, other);
    CHECK_INT(town_told(t, other, seen), REASON_LOGOUT);
    /* long after the one that saw the end has forgotten it */
    CU_ASSERT(town_forgets(t, ends, unseen));
    CHECK_INT(town_told(t, BOTH, unseen), REASON_UNKNOWN);
    CHECK_INT(town_told(t, other, unseen), REASON_UNKNOWN);
    CHECK_INT(town_told(t, other, seen), REASON_UNKNOWN);
    CHECK_STR(t->events, "logout logout ");
    town_free(t);
}

static void a_logout_at_an_old_one_is_final(void)
{
    an_end_at_one_is_an_end(OLD, NEW);
}

static void a_logout_at_a_new_one_is_final(void)
{
    an_end_at_one_is_an_end(NEW, OLD);
}

/* A part that has lost what it kept has seen no ends. */
static void what_one_has_lost_lives_on(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    town_pass(t, 2 * MINUTE);
    town_stop(t, BOTH);
    memory_rows_free(&t->rows[PREVIOUS]);
    t->options[PREVIOUS].rows = t->rows[PREVIOUS] = memory_rows_new();
    town_start(t, BOTH);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    town_stop(t, BOTH);
    memory_rows_free(&t->rows[PREVIOUS]);
    t->options[PREVIOUS].rows = t->rows[PREVIOUS] = memory_rows_new();
    town_start(t, BOTH);
    town_start(t, NEW);
    town_pass(t, 2 * MINUTE);
    CHECK_INT(town_told(t, NEW, id), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    town_free(t);
}

static void a_login_anywhere_goes_on(void)
{
    struct town *t = town_new(true);
    uint8_t a[ID_SIZE], b[ID_SIZE], old[ID_SIZE];
    town_start(t, OLD);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, a), RC_OK);
    memcpy(old, a, ID_SIZE);
    town_pass(t, MINUTE);
    CHECK_INT(town_login(t, OLD, a), RC_OK);
    CHECK_INT(town_told(t, BOTH, a), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, old), REASON_RENAMED);
    town_stop(t, OLD);
    town_start(t, NEW);
    CHECK_INT(town_told(t, NEW, a), REASON_NONE);
    CHECK_INT(town_make(t, BOTH, b), RC_OK);
    memcpy(old, b, ID_SIZE);
    town_pass(t, MINUTE);
    CHECK_INT(town_login(t, NEW, b), RC_OK);
    town_pass(t, 2 * MINUTE);
    CHECK_INT(town_told(t, BOTH, b), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, a), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, old) == REASON_NONE, 0);
    town_free(t);
}

/* Two at most (maxSessionsPerUser): the one that logged in first goes. */
static void logins_anywhere_are_counted(void)
{
    struct town *t = town_new(true);
    uint8_t ids[4][ID_SIZE];
    static const int where[] = {OLD, BOTH, BOTH, NEW};
    town_start(t, OLD);
    town_start(t, BOTH);
    for (int n = 0; n < 4; n++) {
        if (n == 3) {
            town_stop(t, OLD);
            town_start(t, NEW);
        }
        CHECK_INT(town_make(t, where[n], ids[n]), RC_OK);
        town_pass(t, 2000);
        CHECK_INT(town_login(t, where[n], ids[n]), RC_OK);
        if (n == 2) {
            CHECK_INT(town_told(t, OLD, ids[0]), REASON_REPLACED);
            CHECK_INT(town_told(t, OLD, ids[1]), REASON_NONE);
        }
    }
    CHECK_INT(town_told(t, BOTH, ids[0]), REASON_REPLACED);
    CHECK_INT(town_told(t, BOTH, ids[1]), REASON_REPLACED);
    CHECK_INT(town_told(t, BOTH, ids[2]), REASON_NONE);
    CHECK_INT(town_told(t, NEW, ids[3]), REASON_NONE);
    CHECK_INT(town_told(t, NEW, ids[2]), REASON_NONE);
    town_free(t);
}

/* ---- idle ---- */

static void whoever_uses_it_keeps_it(int user)
{
    struct town *t = town_new(true);
    uint8_t used[ID_SIZE], unused[ID_SIZE];
    town_start(t, BOTH);
    town_start(t, user);
    CHECK_INT(town_make(t, BOTH, used), RC_OK);
    CHECK_INT(town_make(t, BOTH, unused), RC_OK);
    for (int n = 0; n < 40; n++) {
        town_pass(t, MINUTE);
        CHECK_INT(town_told(t, user, used), REASON_NONE);
        town_tick_all(t);
        if (n == 32)
            CHECK_INT(town_told(t, BOTH, used), REASON_NONE);
    }
    CHECK_INT(town_told(t, BOTH, used), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, unused) == REASON_NONE, 0);
    CHECK_INT(town_told(t, user, unused) == REASON_NONE, 0);
    CU_ASSERT(town_is_told(t));
    CHECK_STR(t->events, "idle ");
    town_free(t);
}

static void what_an_old_one_uses_does_not_idle_out(void)
{
    whoever_uses_it_keeps_it(OLD);
}

static void what_a_new_one_uses_does_not_idle_out(void)
{
    whoever_uses_it_keeps_it(NEW);
}

static void what_nobody_uses_ends_once(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    town_start(t, BOTH);
    town_start(t, SECOND);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CHECK_INT(town_told(t, SECOND, id), REASON_NONE);
    town_pass(t, 31 * MINUTE + 1000);
    CU_ASSERT(town_is_told(t));
    for (int n = 0; n < 30; n++) { /* each look waits for both */
        town_pass(t, 1000);
        town_tick_all(t);
        CHECK_INT(town_told(t, BOTH, id) == REASON_NONE, 0);
        CHECK_INT(town_told(t, SECOND, id) == REASON_NONE, 0);
    }
    CHECK_STR(t->events, "idle ");
    town_free(t);
}

struct clockwork {
    struct town *t;
    int i;
};

static void *ticks(void *user)
{
    struct clockwork *c = user;
    for (int n = 0; n < 100; n++) {
        manager_tick(c->t->m[c->i], c->t->now);
        sched_yield();
    }
    return NULL;
}

/* In the same second, each by its own clock. */
static void what_both_notice_ends_once(int other)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    char once[1024] = "";
    town_start(t, BOTH);
    town_start(t, other);
    for (int n = 0; n < 100; n++) {
        CHECK_INT(town_make(t, BOTH, id), RC_OK);
        CHECK_INT(town_told(t, other, id), REASON_NONE);
        memcpy(once + 5 * n, "idle ", 6);
    }
    town_pass(t, 31 * MINUTE + 1000);
    for (int n = 0; n < 8; n++) {
        struct clockwork at[] = {{t, BOTH}, {t, other}};
        pthread_t threads[2];
        for (int k = 0; k < 2; k++)
            pthread_create(&threads[k], NULL, ticks, &at[k]);
        for (int k = 0; k < 2; k++)
            pthread_join(threads[k], NULL);
        town_pass(t, 6000);
    }
    CHECK_STR(t->events, once);
    town_free(t);
}

static void what_an_old_one_notices_as_well_ends_once(void)
{
    what_both_notice_ends_once(OLD);
}

static void what_a_new_one_notices_as_well_ends_once(void)
{
    what_both_notice_ends_once(NEW);
}

/* ---- what nobody uses comes over ---- */

static void it_says_when_all_came_over(void)
{
    struct town *t = town_new(false);
    uint8_t ids[300][ID_SIZE], ended[ID_SIZE];
    struct manager_stats stats;
    town_start(t, OLD);
    for (int n = 0; n < 300; n++)
        CHECK_INT(town_make(t, OLD, ids[n]), RC_OK);
    CHECK_INT(town_put(t, OLD, ids[7], "a", "kept"), RC_OK);
    CHECK_INT(town_make(t, OLD, ended), RC_OK);
    CHECK_INT(town_end(t, OLD, ended), RC_OK);
    town_stop(t, OLD);
    town_start(t, BOTH);
    CU_ASSERT(town_is_complete(t, BOTH));
    manager_stats(t->m[BOTH], &stats);
    CHECK_INT(stats.carried, 300);
    town_stop(t, BOTH);
    CU_ASSERT(strstr(t->lines, "the second rolling restart may begin") != NULL);
    town_start(t, NEW);
    for (int n = 0; n < 300; n++)
        CHECK_INT(town_told(t, NEW, ids[n]), REASON_NONE);
    CU_ASSERT(town_says(t, NEW, ids[7], "a", "kept"));
    CHECK_INT(town_told(t, NEW, ended) == REASON_NONE, 0);
    town_free(t);
}

/* A walk is no use: what comes over has been idle for as long as it was. */
static void to_come_over_is_no_use(void)
{
    struct town *t = town_new(false);
    uint8_t id[ID_SIZE];
    town_start(t, OLD);
    CHECK_INT(town_make(t, OLD, id), RC_OK);
    town_pass(t, 29 * MINUTE);
    town_start(t, BOTH);
    CU_ASSERT(town_is_complete(t, BOTH));
    town_stop(t, OLD);
    town_stop(t, BOTH);
    town_start(t, NEW);
    town_pass(t, 3 * MINUTE);
    CHECK_INT(town_told(t, NEW, id), REASON_IDLE);
    town_free(t);
}

static bool is_walking(struct succession *s)
{
    pthread_mutex_lock(&s->walk.lock);
    bool is = s->walk.now.mono >= s->walk.next;
    pthread_mutex_unlock(&s->walk.lock);
    return is;
}

/* What the next one alone says of it when it has ended there; it reads inline.
 */
static enum reason end_in_next(struct town *t, const uint8_t id[ID_SIZE])
{
    struct find_op op = {.now = t->now, .peek = true};
    memcpy(op.id, id, ID_SIZE);
    enum rc rc = part_find(succession_of(t->m[BOTH])->part[NEXT], &op);
    if (rc == RC_OK)
        record_unref(&op.record);
    return rc == RC_ABSENT ? op.reason : REASON_NONE;
}

/* The reason; time passes between two walks only, a minute of it at most. */
static enum reason end_that_comes_over(struct town *t,
                                       const uint8_t id[ID_SIZE])
{
    int64_t last = t->now.mono + MINUTE;
    int64_t until = instant_read().mono + 20000;
    enum reason reason = REASON_NONE;
    while (reason == REASON_NONE && t->now.mono < last &&
           instant_read().mono < until) {
        if (!is_walking(succession_of(t->m[BOTH])))
            town_pass(t, 100);
        manager_tick(t->m[BOTH], t->now);
        reason = end_in_next(t, id);
        sched_yield();
    }
    return reason;
}

/* The walk hears of ends within the time for which they are told. */
static void an_end_that_nobody_asks_for_comes_over(void)
{
    struct town *t = town_new(false);
    uint8_t id[ID_SIZE];
    town_start(t, OLD);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CU_ASSERT(town_is_complete(t, BOTH));
    CHECK_INT(town_end(t, OLD, id), RC_OK);
    CHECK_INT(end_that_comes_over(t, id), REASON_LOGOUT);
    town_free(t);
}

UNIT_MAIN("succession", CASE(what_the_old_ones_change_is_seen),
          CASE(what_comes_after_wins), CASE(a_logout_at_an_old_one_is_final),
          CASE(a_logout_at_a_new_one_is_final),
          CASE(what_one_has_lost_lives_on), CASE(a_login_anywhere_goes_on),
          CASE(logins_anywhere_are_counted),
          CASE(what_an_old_one_uses_does_not_idle_out),
          CASE(what_a_new_one_uses_does_not_idle_out),
          CASE(what_nobody_uses_ends_once),
          CASE(what_an_old_one_notices_as_well_ends_once),
          CASE(what_a_new_one_notices_as_well_ends_once),
          CASE(it_says_when_all_came_over), CASE(to_come_over_is_no_use),
          CASE(an_end_that_nobody_asks_for_comes_over))
