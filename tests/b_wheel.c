/* SPDX-License-Identifier: Apache-2.0
 *
 * The timing wheel beside the simplest thing that is right: a row of due
 * times that is searched. Every timer fires at its second, on every level and
 * across the places where level and clock go round. */
#include "config.h"

#include "session/wheel.h"

#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <string.h>

#define TIMERS 64
#define REACH ((uint32_t)1 << (WHEEL_BITS * WHEEL_LEVELS))

struct model {
    struct wheel wheel;
    struct wheel_timer timers[TIMERS];
    bool armed[TIMERS];
    uint32_t due[TIMERS];
    unsigned fired;
};

static void model_init(struct model *m, uint32_t now)
{
    memset(m, 0, sizeof *m);
    wheel_init(&m->wheel, now);
}

static void model_arm(struct model *m, int i, uint32_t due)
{
    int32_t ahead = (int32_t)(due - m->wheel.now);
    wheel_arm(&m->wheel, &m->timers[i], due);
    m->armed[i] = true;
    m->due[i] = ahead < 1                     ? m->wheel.now + 1
                : (uint32_t)ahead > REACH / 2 ? m->wheel.now + REACH / 2
                                              : due;
}

static void model_disarm(struct model *m, int i)
{
    wheel_disarm(&m->timers[i]);
    m->armed[i] = false;
}

/* The due time of the next timer to fire, if it is due at `now`. */
static bool model_next(const struct model *m, uint32_t now, uint32_t *due)
{
    int32_t best = INT32_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (m->armed[i] && (int32_t)(m->due[i] - m->wheel.now) < best)
            best = (int32_t)(m->due[i] - m->wheel.now);
    *due = m->wheel.now + (uint32_t)best;
    return best != INT32_MAX && best <= (int32_t)(now - m->wheel.now);
}

static bool model_agrees(const struct model *m)
{
    for (int i = 0; i < TIMERS; i++)
        if (wheel_armed(&m->timers[i]) != m->armed[i])
            return false;
    return true;
}

/* Fires all that is due, at most `max`; false: the wheel is wrong. */
static bool model_advance(struct model *m, uint32_t now, unsigned max)
{
    for (; max; max--) {
        uint32_t due;
        bool any = model_next(m, now, &due);
        struct wheel_timer *t = wheel_next_due(&m->wheel, now);
        if (!any)
            return !t && m->wheel.now == now && model_agrees(m);
        if (!t || t->due != due || m->wheel.now != due || wheel_armed(t))
            return false;
        int i = (int)(t - m->timers);
        if (!m->armed[i] || m->due[i] != due)
            return false;
        m->armed[i] = false;
        m->fired++;
    }
    return model_agrees(m);
}

/* Seconds ahead: each level as often as the others, and their edges. */
static uint32_t any_ahead(struct dice *d)
{
    uint32_t span = (uint32_t)1 << (WHEEL_BITS * dice_below(d, 5));
    if (dice_one_in(d, 3))
        return span + dice_below(d, 3) - 1;
    return dice_below(d, span < REACH ? 64 * span : REACH);
}

static bool run(uint64_t seed, uint32_t start, int steps, uint32_t max_advance)
{
    struct dice d = dice_of(seed);
    static struct model m;
    bool good = true;

    model_init(&m, start);
    for (int s = 0; s < steps && good; s++) {
        int i = (int)dice_below(&d, TIMERS);
        switch (dice_below(&d, 6)) {
        case 0:
        case 1:
        case 2:
            model_arm(&m, i, m.wheel.now + any_ahead(&d));
            break;
        case 3:
            model_disarm(&m, i);
            break;
        case 4: /* already past */
            model_arm(&m, i, m.wheel.now - dice_below(&d, 1000));
            break;
        default: {
            uint32_t by = any_ahead(&d) % max_advance;
            good = model_advance(&m, m.wheel.now + by,
                                 dice_one_in(&d, 4) ? 3 : TIMERS + 1);
        }
        }
    }
    if (good)
        good = model_advance(&m, m.wheel.now + max_advance / 2 + 1, TIMERS + 1);
    if (!good)
        printf("seed %llu from %u: wheel and model differ; again: "
               "MARGAY_SEED=%llu\n",
               (unsigned long long)seed, start, (unsigned long long)seed);
    return good;
}

static void agrees_with_the_model(void)
{
    /* where a level, the whole wheel, the sign and the clock go round */
    static const uint32_t starts[] = {
        0,          1,          63,           64,
        4095,       262143,     REACH - 1000, REACH - 1,
        REACH,      86400 * 30, 0x7fffff00,   0x7fffffff,
        0xfffffff0, 0xffff0000, 0xffffffff};
    uint64_t given;
    bool one = dice_given(&given);
    uint64_t rounds = dice_count("MARGAY_ROUNDS", 20);

    for (uint64_t round = 0; round < (one ? 1 : rounds); round++)
        for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
            CU_ASSERT(run(one ? given : round, starts[i], 2000, 5000));
}

static void agrees_over_long_times(void)
{
    CU_ASSERT(run(7, 0xff000000, 600, REACH));
}

static void fires_at_each_distance(void)
{
    static const uint32_t starts[] = {0, 62, 4094, REACH - 2, 0xfffffffe};
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++)
        for (uint32_t ahead = 1; ahead < 9000; ahead += 1 + ahead / 100) {
            struct wheel w;
            struct wheel_timer t = {0};
            wheel_init(&w, starts[s]);
            wheel_arm(&w, &t, starts[s] + ahead);
            CU_ASSERT_PTR_NULL(wheel_next_due(&w, starts[s] + ahead - 1));
            CU_ASSERT_PTR_EQUAL(wheel_next_due(&w, starts[s] + ahead), &t);
            CU_ASSERT_PTR_NULL(wheel_next_due(&w, starts[s] + 9000));
        }
}

static void far_timers_fire_early_and_are_armed_again(void)
{
    struct wheel w;
    struct wheel_timer t = {0};
    uint32_t year = 365 * 86400;
    int fired = 0;

    wheel_init(&w, 5);
    wheel_arm(&w, &t, 5 + year);
    while (wheel_next_due(&w, 5 + year)) {
        fired++;
        if (w.now != 5 + year)
            wheel_arm(&w, &t, 5 + year);
    }
    CHECK_INT(fired, 4); /* three times after 97 days, once when it is due */
    CHECK_INT(w.now, 5 + year);
}

static void time_never_goes_back(void)
{
    struct wheel w;
    struct wheel_timer t = {0};

    wheel_init(&w, 100);
    wheel_arm(&w, &t, 101);
    CU_ASSERT_PTR_NULL(wheel_next_due(&w, 50));
    CHECK_INT(w.now, 100);
    CU_ASSERT_PTR_EQUAL(wheel_next_due(&w, 101), &t);
    wheel_disarm(&t); /* not armed: nothing happens */
    CU_ASSERT(!wheel_armed(&t));
}

/* A wheel that nobody turned for decades is there at once, again and again:
 * second by second this would take hours. */
static void a_long_pause_costs_nothing(void)
{
    struct wheel w;
    struct wheel_timer t = {0};
    uint32_t now = 5;

    wheel_init(&w, now);
    for (int n = 0; n < 10000; n++) {
        uint32_t pause = (1u << 30) + (uint32_t)n * 7919;
        wheel_arm(&w, &t, now + 1 + (uint32_t)n % 5000);
        CU_ASSERT_FATAL(wheel_next_due(&w, now + pause) == &t);
        CHECK_INT(w.now, now + 1 + (uint32_t)n % 5000);
        CU_ASSERT_PTR_NULL(wheel_next_due(&w, now + pause));
        now += pause;
        CHECK_INT(w.now, now);
    }
}

UNIT_MAIN("wheel", CASE(agrees_with_the_model), CASE(agrees_over_long_times),
          CASE(fires_at_each_distance),
          CASE(far_timers_fire_early_and_are_armed_again),
          CASE(a_long_pause_costs_nothing), CASE(time_never_goes_back))
