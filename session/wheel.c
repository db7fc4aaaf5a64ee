/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/wheel.h"

#include <string.h>

#define WHEEL_MASK (WHEEL_SLOTS - 1)
#define WHEEL_REACH (1u << (WHEEL_BITS * WHEEL_LEVELS))

void wheel_init(struct wheel *w, uint32_t now)
{
    memset(w, 0, sizeof *w);
    w->now = now;
}

static void wheel_link(struct wheel_timer **slot, struct wheel_timer *t)
{
    t->next = *slot;
    t->prev = slot;
    if (t->next)
        t->next->prev = &t->next;
    *slot = t;
}

/* The lowest level on which the timer's slot is still ahead of the hand. The
 * hand of level n moves when all below it have gone round, so a slot is
 * reached exactly when its time begins. */
static void wheel_place(struct wheel *w, struct wheel_timer *t)
{
    uint32_t ahead = t->due ^ w->now;
    int level = 0;

    while (level < WHEEL_LEVELS - 1 && ahead >= (1u << WHEEL_BITS))
        ahead >>= WHEEL_BITS, level++;
    wheel_link(&w->slots[level][(t->due >> (WHEEL_BITS * level)) & WHEEL_MASK],
               t);
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, uint32_t due)
{
    wheel_disarm(t);
    if ((int32_t)(due - w->now) < 1)
        due = w->now + 1;
    if (due - w->now >= WHEEL_REACH / 2)
        due = w->now + WHEEL_REACH / 2;
    t->due = due;
    wheel_place(w, t);
}

void wheel_disarm(struct wheel_timer *t)
{
    if (!t->prev)
        return;
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->prev = 0;
    t->next = 0;
}

/* One second further: what the slots of higher levels hold for the time that
 * begins now is spread over the levels below. */
static void wheel_step(struct wheel *w)
{
    w->now++;
    for (int level = 1; level < WHEEL_LEVELS; level++) {
        if (w->now & ((1u << (WHEEL_BITS * level)) - 1))
            break;
        struct wheel_timer **slot =
            &w->slots[level][(w->now >> (WHEEL_BITS * level)) & WHEEL_MASK];
        struct wheel_timer *t;
        struct wheel_timer *moved = *slot;
        *slot = 0;
        while ((t = moved)) {
            moved = t->next;
            wheel_place(w, t);
        }
    }
}

/* The next second, at most `now`, at which a slot with timers in it is reached:
 * those between are not worth a step each after a long pause. Below the
 * highest level no slot behind the hand holds anything. */
static uint32_t wheel_next_stop(const struct wheel *w, uint32_t now)
{
    uint32_t stop = now;

    for (int level = WHEEL_LEVELS - 1; level >= 0; level--) {
        int shift = WHEEL_BITS * level;
        uint32_t hand = w->now >> shift;
        uint32_t left = level == WHEEL_LEVELS - 1
                            ? WHEEL_SLOTS
                            : WHEEL_MASK - (hand & WHEEL_MASK);
        for (uint32_t n = 1; n <= left; n++) {
            uint32_t at = (hand + n) << shift;
            if ((int32_t)(stop - at) <= 0)
                break;
            if (w->slots[level][(hand + n) & WHEEL_MASK])
                stop = at;
        }
    }
    return stop;
}

struct wheel_timer *wheel_next_due(struct wheel *w, uint32_t now)
{
    for (;;) {
        struct wheel_timer *t = w->slots[0][w->now & WHEEL_MASK];
        if (t) {
            wheel_disarm(t);
            return t;
        }
        if ((int32_t)(now - w->now) <= 0)
            return 0;
        if (now - w->now > 1)
            w->now = wheel_next_stop(w, now) - 1;
        wheel_step(w);
    }
}
