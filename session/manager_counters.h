/* SPDX-License-Identifier: Apache-2.0
 *
 * manager_counters.h: what the wrapper counts, for session/manager*.c only.
 *
 * Threads Atomics, relaxed: figures for people, no order between them. */
#ifndef MARGAY_SESSION_MANAGER_COUNTERS_H
#define MARGAY_SESSION_MANAGER_COUNTERS_H

#include "session/manager_impl.h"

struct manager_counters {
    _Atomic uint64_t created, renamed, rejected, revivals_refused;
    _Atomic uint64_t ended[REASON_COUNT], refused[REASON_COUNT];
    _Atomic uint64_t finds, commits, commits_changed, left_out;
    _Atomic uint64_t alive_sum, alive_max, max_active;
};

static inline void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}
static inline void count_max(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t was = atomic_load_explicit(counter, memory_order_relaxed);
    while (was < value && !atomic_compare_exchange_weak_explicit(
                              counter, &was, value, memory_order_relaxed,
                              memory_order_relaxed))
        continue;
}
/* A session of that birth has ended. */
void count_end(struct manager *m, enum reason reason, int64_t birth,
               struct instant now);

#endif
