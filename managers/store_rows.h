/* SPDX-License-Identifier: Apache-2.0
 *
 * store_rows.h: rows that cannot be used, in a store that can.
 *
 * What    A line for the first row with a cause, however often that row and
 *         others with the same cause are asked for meanwhile, and one when that
 *         row can be used again.
 * Threads Any, once it is filled in. */
#ifndef MARGAY_MANAGERS_STORE_ROWS_H
#define MARGAY_MANAGERS_STORE_ROWS_H

#include "managers/store_trouble.h"

#include <stdint.h>

#define ROWS_CAUSES 8

struct rows {
    pthread_mutex_t lock; /* ids */
    atomic_uint on;       /* how many causes there are */
    struct rows_cause {
        struct trouble trouble;
        uint8_t id[16];
    } causes[ROWS_CAUSES]; /* by their text */
};

void rows_init(struct rows *r);
void rows_release(struct rows *r);
/* name: of the store. */
void rows_tell(struct rows *r, struct log *log, const char *name,
               const uint8_t id[16], const struct err *err);
void rows_look(struct rows *r, struct log *log, const char *name,
               const uint8_t id[16]);
/* This row was answered. */
static inline void rows_over(struct rows *r, struct log *log, const char *name,
                             const uint8_t id[16])
{
    if (atomic_load_explicit(&r->on, memory_order_relaxed))
        rows_look(r, log, name, id);
}

#endif
