/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/wrapper.h"
#include "session/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct store_base *inner_of(const struct store_base *base)
{
    return ((const struct wrapper *)base)->inner;
}

static const struct store_ops *wrapped(const struct wrapper_options *o,
                                       const void **options)
{
    *options = o->inner ? o->inner_options : &o->sqlite;
    return o->inner ? o->inner : &store_sqlite;
}

enum rc wrapper_examine(const void *options, const struct store_env *env,
                        struct err *err)
{
    const void *inner;
    const struct store_ops *ops = wrapped(options, &inner);

    return ops->examine ? ops->examine(inner, env, err) : RC_OK;
}

enum rc wrapper_open(struct store_base *base, struct err *err)
{
    struct wrapper *w = (struct wrapper *)base;
    const void *options;
    const struct store_ops *ops = wrapped(base->options, &options);
    enum rc rc;

    assert(ops->run);
    w->inner = mem_zero(ops->size);
    *w->inner = (struct store_base){
        .ops = ops, .options = options, .env = base->env, .flags = ops->flags};
    rc = ops->open(w->inner, err);
    if (rc != RC_OK) {
        free(w->inner);
        return rc;
    }
    base->flags = w->inner->flags;
    if (!base->ops->list)
        base->flags &= ~(unsigned)STORE_LISTS;
    return RC_OK;
}

void wrapper_close(struct store_base *base)
{
    struct store_base *inner = inner_of(base);

    inner->ops->close(inner);
    free(inner);
}

void wrapper_get(struct store_base *base, struct store_call *call)
{
    inner_of(base)->ops->get(inner_of(base), call);
}

void wrapper_expire(struct store_base *base, struct instant now, unsigned limit,
                    store_removed_fn *each, void *user)
{
    inner_of(base)->ops->expire(inner_of(base), now, limit, each, user);
}

enum rc wrapper_list(struct store_base *base, struct store_page *page)
{
    return inner_of(base)->ops->list(inner_of(base), page);
}

enum rc wrapper_check(struct store_base *base, struct err *err)
{
    struct store_base *inner = inner_of(base);

    return inner->ops->check ? inner->ops->check(inner, err) : RC_OK;
}

void wrapper_describe(const struct store_base *base, const char *verb,
                      char *out, size_t size)
{
    const struct store_base *inner = inner_of(base);
    int n = snprintf(out, size, "%s ", verb);

    if (n < 0 || (size_t)n >= size)
        return;
    if (inner->ops->describe)
        inner->ops->describe(inner, out + n, size - (size_t)n);
    else
        snprintf(out + n, size - (size_t)n, "%s", inner->ops->name);
}
