/* SPDX-License-Identifier: Apache-2.0
 *
 * store_examine.h: is a store whole?
 *
 * What    For the thread that drives it. The rest is store_examine of
 *         session/store.h.
 * Threads Any. */
#ifndef MARGAY_MANAGERS_STORE_EXAMINE_H
#define MARGAY_MANAGERS_STORE_EXAMINE_H

#include "session/store_impl.h"

/* It has what these flags ask for. */
void store_assert_ops(const struct store_ops *ops, unsigned flags);

#endif
