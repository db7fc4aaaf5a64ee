/* SPDX-License-Identifier: Apache-2.0
 *
 * wrapper.h: a store around another store.
 *
 * What    The part that all wrappers share: opens and closes the store that is
 *         wrapped and hands everything through. A wrapper puts these into its
 *         ops and writes only what it does differently; to see or change what
 *         passes in a batch it gives the inner store a batch of its own.
 * Owns    The inner store, which lives on the thread of the outer one.
 * Threads As the store_ops that they stand for. */
#ifndef MARGAY_MANAGERS_STORES_WRAPPER_H
#define MARGAY_MANAGERS_STORES_WRAPPER_H

#include "managers/stores/stores.h"
#include "session/store_impl.h"

struct wrapper {
    struct store_base base; /* base.options begins with wrapper_options */
    struct store_base *inner;
};

enum rc wrapper_examine(const void *options, const struct store_env *env,
                        struct err *err);
enum rc wrapper_open(struct store_base *base, struct err *err);
void wrapper_close(struct store_base *base);
void wrapper_get(struct store_base *base, struct store_call *call);
void wrapper_expire(struct store_base *base, struct instant now, unsigned limit,
                    store_removed_fn *each, void *user);
enum rc wrapper_list(struct store_base *base, struct store_page *page);
enum rc wrapper_check(struct store_base *base, struct err *err);
/* "VERB INNER": "tracing SQLite file /x/y.db". */
void wrapper_describe(const struct store_base *base, const char *verb,
                      char *out, size_t size);

#endif
