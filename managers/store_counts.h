/* SPDX-License-Identifier: Apache-2.0
 *
 * store_counts.h: what a store was asked, and what it answered.
 *
 * Threads Any. */
#ifndef MARGAY_MANAGERS_STORE_COUNTS_H
#define MARGAY_MANAGERS_STORE_COUNTS_H

#include "session/store.h"

#include <stdatomic.h>

struct store_counts {
    atomic_uint_fast64_t get_ok, get_unchanged, get_absent, get_failed;
    atomic_uint_fast64_t put_ok, put_conflict, put_absent, put_failed,
        put_uncertain;
    atomic_uint_fast64_t batches, expired, queued;
};

void counts_get(struct store_counts *c, const struct store_call *call,
                enum rc rc);
void counts_put(struct store_counts *c, enum rc rc);
/* All but what says whether it is available. */
void counts_show(const struct store_counts *c, struct store_stats *out);

#endif
