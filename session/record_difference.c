/* SPDX-License-Identifier: Apache-2.0
 *
 * What one record lacks of another. It may name more than is missing, which a
 * merge does not mind, and never less. */
#include "config.h"

#include "session/record_impl.h"

#include <assert.h>
#include <string.h>

static bool is_counter(const struct reg *reg)
{
    return reg->type == VALUE_COUNTER || reg->type == TYPE_REMOVED;
}

/* Both of one era. */
static bool has_slots(const struct reg *have, const struct reg *full)
{
    struct slots mine, all;
    struct slot own, wanted;

    if (full->type == VALUE_COUNTER && have->type != VALUE_COUNTER)
        return false;
    slots_begin(&mine, have);
    slots_begin(&all, full);
    bool more = slots_next(&mine, &own);
    while (slots_next(&all, &wanted)) {
        while (more && own.node < wanted.node)
            more = slots_next(&mine, &own);
        if (!more || own.node != wanted.node || own.plus < wanted.plus ||
            own.minus < wanted.minus)
            return false;
    }
    return true;
}

static bool has_reg(const struct reg *have, const struct reg *full)
{
    if (have->time != full->time || have->node != full->node ||
        have->never_set != full->never_set)
        return false;
    if (is_counter(have) && is_counter(full))
        return has_slots(have, full);
    return have->type == full->type && have->value_len == full->value_len &&
           memcmp(have->value, full->value, full->value_len) == 0;
}

/* The first register of the row, from *at on, that is not before the key. */
static const struct reg *seek(const struct regs *regs, size_t *at,
                              struct key key)
{
    while (*at < regs->count && key_compare(regs->items[*at].key, key) < 0)
        ++*at;
    return *at < regs->count && key_compare(regs->items[*at].key, key) == 0
               ? &regs->items[*at]
               : NULL;
}

struct record *record_difference(const struct record *have,
                                 const struct record *full)
{
    struct regs mine, all, out;
    struct head head, other;
    struct record *r = NULL;
    size_t at = 0;

    regs_init(&mine);
    if (have)
        regs_read(&mine, &other, have);
    regs_read(&all, &head, full);
    regs_init(&out);
    head.whole = false;
    for (size_t i = 0; i < all.count; i++) {
        const struct reg *reg = &all.items[i],
                         *own = seek(&mine, &at, reg->key);
        assert(reg->type != TYPE_END);
        if (!own || !has_reg(own, reg))
            *regs_add(&out) = *reg;
    }
    if (out.count)
        r = record_build(&head, out.items, out.count);
    regs_release(&out);
    regs_release(&all);
    regs_release(&mine);
    return r;
}
