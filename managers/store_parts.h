/* SPDX-License-Identifier: Apache-2.0
 *
 * store_parts.h: what a store of several parts says of itself.
 *
 * What    Sums over the parts (see store_part_fn in session/store_impl.h).
 * Threads Any. */
#ifndef MARGAY_MANAGERS_STORE_PARTS_H
#define MARGAY_MANAGERS_STORE_PARTS_H

#include "session/store_impl.h"

/* Available: each of them is. */
void parts_stats(const struct store_base *base, struct store_stats *out);

#endif
