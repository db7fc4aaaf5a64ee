/* SPDX-License-Identifier: Apache-2.0
 *
 * watchdog.h: something that has to be over in time.
 *
 * What    A thread that calls `bite` unless watchdog_free comes within that
 *         many milliseconds.
 * Owns    Its thread.
 * Threads new and free: one. bite: the watchdog's own. */
#ifndef MARGAY_CONTAINER_WATCHDOG_H
#define MARGAY_CONTAINER_WATCHDOG_H

#include <stdint.h>

struct watchdog;

typedef void watchdog_fn(void *user);

/* NULL: no thread can be had; nobody watches then. */
struct watchdog *watchdog_new(int64_t within_ms, watchdog_fn *bite, void *user);
/* Waits for a bite that has begun. *w may be NULL. */
void watchdog_free(struct watchdog **w);

#endif
