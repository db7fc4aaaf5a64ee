/* SPDX-License-Identifier: Apache-2.0
 *
 * wheel.h: a hierarchical timing wheel.
 *
 * What    Timers of one second's resolution. Arming, disarming and firing cost
 *         the same however many there are; nothing is ever scanned. Four
 *         levels of 64 slots reach 97 days; what is due later fires early
 *         and is armed again by its owner (owners re-arm lazily anyway: a
 *         touch does not move the timer). A wheel that was not turned for
 *         long is at once there: it stops only where a slot is in use.
 *         Source: Varghese, Lauck, "Hashed and Hierarchical Timing Wheels",
 *         SOSP 1987, scheme 7.
 * Owns    Nothing: the timer lies in its owner.
 * Threads None: the owner's lock guards wheel and timers. */
#ifndef MARGAY_SESSION_WHEEL_H
#define MARGAY_SESSION_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_BITS 6
#define WHEEL_SLOTS (1 << WHEEL_BITS)
#define WHEEL_LEVELS 4

struct wheel_timer {
    struct wheel_timer *next, **prev; /* prev NULL: not armed */
    uint32_t due;                     /* seconds */
};

struct wheel {
    uint32_t now; /* seconds; every timer due at or before it has fired */
    struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint32_t now);
/* Arms or re-arms. A due time that is past fires at the next second. */
void wheel_arm(struct wheel *w, struct wheel_timer *t, uint32_t due);
void wheel_disarm(struct wheel_timer *t);
static inline bool wheel_armed(const struct wheel_timer *t)
{
    return t->prev != 0;
}
/* The next timer that is due at or before `now`, disarmed; NULL when there is
 * none: the wheel then stands at `now`. */
struct wheel_timer *wheel_next_due(struct wheel *w, uint32_t now);

#endif
