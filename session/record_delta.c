/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/buf.h"
#include "session/record_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void pack_value(struct pack_writer *w, const struct value *v)
{
    switch (v->type) {
    case VALUE_NONE:
        pack_nil(w);
        break;
    case VALUE_STRING:
        pack_str(w, v->data, v->len);
        break;
    case VALUE_BYTES:
        pack_bin(w, v->data, v->len);
        break;
    case VALUE_INT:
        pack_int(w, v->number);
        break;
    case VALUE_DOUBLE:
        pack_double(w, v->real);
        break;
    case VALUE_BOOL:
        pack_bool(w, v->truth);
        break;
    case VALUE_COUNTER:
        pack_array(w, 1);
        pack_int(w, v->number);
        break;
    }
}

static void find_in(const struct record *base, struct key key,
                    struct reg *reg)
{
    struct walk w;
    struct head head;
    bool found = false;

    if (base) {
        walk_record(&w, &head, base);
        while (!found && walk_next(&w, reg))
            found = key_compare(reg->key, key) == 0;
    }
    if (!found)
        *reg = (struct reg){.type = VALUE_COUNTER, .never_set = true,
                            .value = (const uint8_t *)"\x91", .value_len = 2};
}

/* Adds belong to the era that stands in base: this node's slot of it goes up.
 * false: a concurrent set made it something else, the add falls away. */
static bool delta_add(struct pack_writer *w, struct reg *reg,
                      const struct change *c, const struct record *base,
                      uint64_t node)
{
    struct reg old;
    struct slots slots;
    struct slot slot, own = {.node = node};

    find_in(base, c->key, &old);
    if (old.type != VALUE_COUNTER && old.type != TYPE_REMOVED)
        return false;
    slots_begin(&slots, &old);
    int64_t from = slots.base;
    while (slots_next(&slots, &slot))
        if (slot.node == node)
            own = slot;
    pack_array(w, 4);
    pack_int(w, from);
    pack_uint(w, 0); /* the only node that this register's slots name */
    pack_uint(w, own.plus + c->plus);
    pack_uint(w, own.minus + c->minus);
    *reg = (struct reg){.key = c->key, .type = VALUE_COUNTER,
                        .never_set = old.never_set, .time = old.time,
                        .node = old.node};
    return true;
}

static bool delta_reg(struct pack_writer *w, struct reg *reg,
                      const struct change *c, const struct record *base,
                      int64_t time, uint64_t node)
{
    if (c->kind == CHANGE_ADD)
        return delta_add(w, reg, c, base, node);
    pack_value(w, &c->value);
    *reg = (struct reg){.key = c->key, .type = (uint8_t)c->value.type,
                        .time = time, .node = node};
    return true;
}

static int by_key(const void *x, const void *y)
{
    return key_compare(((const struct reg *)x)->key,
                       ((const struct reg *)y)->key);
}

/* Changes as registers, sorted; their values lie in a block beside them. */
struct drawn {
    struct regs regs;
    struct pack_writer values;
    uint8_t own_node[8];
};

static void draw(struct drawn *d, const struct record *base,
                 const struct changes *changes, int64_t time, uint64_t node)
{
    uint64_t swapped = __builtin_bswap64(node);
    struct regs *regs = &d->regs;

    memcpy(d->own_node, &swapped, sizeof d->own_node);
    regs_init(regs);
    pack_init(&d->values, changes->bytes + 64);
    for (const struct change *c = changes->first; c; c = c->next) {
        struct reg reg;
        size_t at = d->values.len;
        if (!delta_reg(&d->values, &reg, c, base, time, node))
            continue;
        /* the block may still move: an offset until all is written */
        reg.value = (const uint8_t *)(uintptr_t)at;
        reg.value_len = (uint32_t)(d->values.len - at);
        reg.nodes = d->own_node;
        reg.node_count = 1;
        reg.raw = NULL;
        reg.other = NULL;
        *regs_add(regs) = reg;
    }
    for (size_t i = 0; i < regs->count; i++)
        regs->items[i].value =
            d->values.data + (uintptr_t)regs->items[i].value;
    if (regs->count > 1)
        qsort(regs->items, regs->count, sizeof *regs->items, by_key);
}

static void drawn_release(struct drawn *d)
{
    pack_release(&d->values);
    regs_release(&d->regs);
}

static struct record *build_changes(const struct head *head,
                                    const struct record *base,
                                    const struct changes *changes,
                                    int64_t time, uint64_t node)
{
    struct drawn d;
    struct record *r = NULL;

    draw(&d, base, changes, time, node);
    if (head->kind == RECORD_USER)
        regs_keep_newest(&d.regs);
    if (d.regs.count || head->whole)
        r = record_build(head, d.regs.items, d.regs.count);
    drawn_release(&d);
    return r;
}

struct record *record_new(enum record_kind kind, const uint8_t id[ID_SIZE],
                          int64_t birth, const struct changes *changes,
                          uint64_t node)
{
    struct head head = {.kind = kind, .whole = true, .birth = birth};

    memcpy(head.id, id, ID_SIZE);
    return build_changes(&head, NULL, changes, birth, node);
}

static struct head delta_head(const struct record *base)
{
    struct head head = {.kind = record_kind(base),
                        .birth = record_birth(base)};
    memcpy(head.id, record_id(base), ID_SIZE);
    return head;
}

static int64_t next_stamp(const struct record *base, int64_t now_wall)
{
    int64_t next = now_wall > base->newest ? now_wall : base->newest + 1;
    return next < RECORD_TIME_MAX ? next : RECORD_TIME_MAX;
}

struct record *record_delta(const struct record *base,
                            const struct changes *changes, int64_t now_wall,
                            uint64_t node)
{
    struct head head = delta_head(base);
    return build_changes(&head, base, changes, next_stamp(base, now_wall),
                         node);
}

struct record *record_apply(struct record *base,
                            const struct changes *changes, int64_t now_wall,
                            uint64_t node)
{
    struct drawn d;
    struct regs old, out;
    struct head head;

    assert(!record_ended(base, NULL));
    draw(&d, base, changes, next_stamp(base, now_wall), node);
    if (d.regs.count == 0) {
        drawn_release(&d);
        return record_ref(base);
    }
    regs_read(&old, &head, base);
    regs_init(&out);
    regs_merge(&out, &old, &d.regs);
    if (head.kind == RECORD_USER)
        regs_keep_newest(&out);
    struct record *r = record_build(&head, out.items, out.count);
    regs_release(&out);
    regs_release(&old);
    drawn_release(&d);
    return r;
}

struct record *record_end_delta(const struct record *base,
                                enum reason reason, const uint8_t *new_id,
                                int64_t now_wall, uint64_t node)
{
    struct head head = delta_head(base);
    struct pack_writer value;
    struct reg reg = {.key = key_field(FIELD_END), .type = TYPE_END,
                      .time = next_stamp(base, now_wall), .node = node};

    assert((reason == REASON_RENAMED) == (new_id != NULL));
    head.whole = true;
    pack_init(&value, 32);
    pack_array(&value, 2);
    pack_uint(&value, reason);
    if (new_id)
        pack_bin(&value, new_id, ID_SIZE);
    else
        pack_nil(&value);
    reg.raw = NULL;
    reg.value = value.data;
    reg.value_len = (uint32_t)value.len;
    struct record *r = record_build(&head, &reg, 1);
    pack_release(&value);
    return r;
}
