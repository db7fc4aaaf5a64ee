/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be said of a store before it is opened. */
#include "config.h"

#include "managers/store_examine.h"

#include <assert.h>

enum rc store_examine(const struct store_ops *ops, const void *options,
                      const struct store_env *env, struct err *err)
{
    enum rc rc = ops->examine ? ops->examine(options, env, err) : RC_OK;

    if ((rc == RC_OK || rc == RC_ILLEGAL) && ops->examine &&
        env->min_replicas && !(ops->flags & STORE_REPLICATES))
        return err_set(err, RC_INVALID,
                       "minReplicas=\"%u\": %s has no replicas; leave it out",
                       env->min_replicas, ops->name);
    return rc;
}

bool store_is_same(const struct store_ops *ops, const void *one,
                   const void *other)
{
    return ops->same && ops->same(one, other);
}

void store_assert_ops(const struct store_ops *ops, unsigned flags)
{
    assert(ops->name && ops->size >= sizeof(struct store_base));
    assert(ops->open && ops->close && (ops->run || ops->part_of));
    assert(ops->get || !(flags & (STORE_READS_INLINE | STORE_READS_PERHAPS)));
    assert(ops->expire || (flags & STORE_SELF_EXPIRES));
    assert(ops->list || !(flags & STORE_LISTS));
    (void)ops;
    (void)flags;
}
