/* SPDX-License-Identifier: Apache-2.0
 *
 * instant.h: a moment on both clocks.
 *
 * What    The rooms session/ and managers/ never read a clock: `now` is an
 *         argument. Monotonic milliseconds decide what is due (a wall clock
 *         that jumps ends nobody's session); wall milliseconds since 1970 go
 *         into stamps, births and stores, where other processes read them.
 *         instant_read is for container/, the threads of managers/ and tests/.
 * Threads Any. */
#ifndef MARGAY_SESSION_INSTANT_H
#define MARGAY_SESSION_INSTANT_H

#include <stdint.h>
#include <time.h>

struct instant {
    int64_t mono; /* milliseconds, CLOCK_MONOTONIC_COARSE */
    int64_t wall; /* milliseconds since 1970, CLOCK_REALTIME_COARSE */
};

static inline struct instant instant_read(void)
{
    struct timespec m, w;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &m);
    clock_gettime(CLOCK_REALTIME_COARSE, &w);
    return (struct instant){
        .mono = (int64_t)m.tv_sec * 1000 + m.tv_nsec / 1000000,
        .wall = (int64_t)w.tv_sec * 1000 + w.tv_nsec / 1000000,
    };
}

#endif
