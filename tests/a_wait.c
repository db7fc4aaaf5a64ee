/* SPDX-License-Identifier: Apache-2.0
 *
 * a_wait.c: answer, deadline and putting aside, in every order. */
#include "config.h"

#include "container/wait.h"
#include "tests/unit.h"

#include <pthread.h>

static _Atomic unsigned resumed;

static void count_resume(struct wait *w)
{
    (void)w;
    atomic_fetch_add(&resumed, 1);
}

static struct waits room;

static void before(void)
{
    atomic_store(&resumed, 0);
    waits_init(&room, 2, count_resume);
}

static void after(void)
{
    waits_release(&room);
}

static void an_answer_at_once_is_not_waited_for(void)
{
    struct wait w = {0};
    wait_open(&w);
    CU_ASSERT(waits_answer(&room, &w));
    CU_ASSERT_FALSE(waits_enter(&room, &w, 100));
    CHECK_INT(wait_state(&w), WAIT_ANSWERED);
    CHECK_INT(resumed, 0);
}

static void an_answer_while_putting_aside_is_seen(void)
{
    struct wait w = {0};
    wait_open(&w);
    CU_ASSERT(waits_enter(&room, &w, 100));
    CU_ASSERT(waits_answer(&room, &w));
    CU_ASSERT_FALSE(waits_park(&room, &w));
    CHECK_INT(resumed, 0);
    CHECK_INT((int64_t)room.count, 0);
}

static void an_answer_to_a_parked_request_resumes_it(void)
{
    struct wait w = {0};
    wait_open(&w);
    CU_ASSERT(waits_enter(&room, &w, 100));
    CU_ASSERT(waits_park(&room, &w));
    CHECK_INT((int64_t)waits_expire(&room, 99), 0);
    CU_ASSERT(waits_answer(&room, &w));
    CHECK_INT(resumed, 1);
    CHECK_INT((int64_t)waits_expire(&room, 1000), 0);
    waits_leave(&room, &w);
    CHECK_INT(resumed, 1);
}

static void the_deadline_wins_once(void)
{
    struct wait w = {0};
    wait_open(&w);
    CU_ASSERT(waits_enter(&room, &w, 100));
    CHECK_INT((int64_t)waits_expire(&room, 100), 0); /* not parked yet */
    CU_ASSERT(waits_park(&room, &w));
    CHECK_INT((int64_t)waits_expire(&room, 100), 1);
    CHECK_INT(wait_state(&w), WAIT_EXPIRED);
    CU_ASSERT_FALSE(waits_answer(&room, &w));
    CHECK_INT(resumed, 1);
    CHECK_INT((int64_t)atomic_load(&room.expired), 1);
}

static void a_full_room_expires_the_next(void)
{
    struct wait w[4] = {0};
    for (int i = 0; i < 2; i++) {
        wait_open(&w[i]);
        CU_ASSERT(waits_enter(&room, &w[i], 100) && waits_park(&room, &w[i]));
    }
    wait_open(&w[2]);
    CU_ASSERT_FALSE(waits_enter(&room, &w[2], 100));
    CHECK_INT(wait_state(&w[2]), WAIT_EXPIRED);
    CU_ASSERT_FALSE(waits_answer(&room, &w[2]));
    wait_open(&w[3]); /* the Executor's have a limit of their own */
    CU_ASSERT(waits_enter_uncounted(&room, &w[3], WAIT_FOREVER));
    CU_ASSERT(waits_park(&room, &w[3]));
    CHECK_INT((int64_t)waits_expire(&room, 1000), 2);
    CHECK_INT((int64_t)waits_expire(&room, WAIT_FOREVER), 1);
    CHECK_INT(resumed, 3);
}

static void a_handed_request_is_taken_back_or_lost(void)
{
    struct wait w = {0};
    wait_open(&w);
    CU_ASSERT(waits_enter(&room, &w, WAIT_FOREVER) && waits_park(&room, &w));
    CU_ASSERT(waits_reopen(&room, &w));
    CHECK_INT(wait_state(&w), WAIT_OPEN);
    CU_ASSERT(waits_enter(&room, &w, WAIT_FOREVER) && waits_park(&room, &w));
    CHECK_INT((int64_t)waits_expire(&room, WAIT_FOREVER), 1);
    CU_ASSERT_FALSE(waits_reopen(&room, &w));
}

/* Each wait is moved on exactly once, whoever is first. */
enum { RACES = 20000 };
static struct wait raced;
static pthread_barrier_t line;
static _Atomic unsigned answered;

static void *answering(void *arg)
{
    (void)arg;
    for (int i = 0; i < RACES; i++) {
        pthread_barrier_wait(&line);
        if (waits_answer(&room, &raced))
            atomic_fetch_add(&answered, 1);
        pthread_barrier_wait(&line);
    }
    return NULL;
}

static void *expiring(void *arg)
{
    (void)arg;
    for (int i = 0; i < RACES; i++) {
        pthread_barrier_wait(&line);
        waits_expire(&room, 1000);
        pthread_barrier_wait(&line);
    }
    return NULL;
}

static void answer_deadline_and_parking_race(void)
{
    pthread_t threads[2];
    unsigned at_once = 0, wrong = 0;
    atomic_store(&answered, 0);
    pthread_barrier_init(&line, NULL, 3);
    pthread_create(&threads[0], NULL, answering, NULL);
    pthread_create(&threads[1], NULL, expiring, NULL);
    for (int i = 0; i < RACES; i++) {
        unsigned before_it = atomic_load(&resumed);
        wait_open(&raced);
        pthread_barrier_wait(&line);
        bool parked =
            waits_enter(&room, &raced, 100) && waits_park(&room, &raced);
        at_once += !parked;
        pthread_barrier_wait(&line);
        unsigned times = atomic_load(&resumed) - before_it;
        wrong += times != (parked ? 1u : 0u);
        waits_leave(&room, &raced);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    pthread_barrier_destroy(&line);
    CHECK_INT(wrong, 0);
    CHECK_INT(atomic_load(&answered) + (int64_t)atomic_load(&room.expired),
              RACES);
    CHECK_INT(at_once + (int64_t)atomic_load(&resumed), RACES);
}

UNIT_MAIN_AROUND("wait", before, after,
                 CASE(an_answer_at_once_is_not_waited_for),
                 CASE(an_answer_while_putting_aside_is_seen),
                 CASE(an_answer_to_a_parked_request_resumes_it),
                 CASE(the_deadline_wins_once),
                 CASE(a_full_room_expires_the_next),
                 CASE(a_handed_request_is_taken_back_or_lost),
                 CASE(answer_deadline_and_parking_race))
