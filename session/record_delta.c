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

/* What an add goes on from. */
static const struct reg *find_in(const struct regs *base, struct key key)
{
    static const struct reg none = {.type = VALUE_COUNTER,
                                    .never_set = true,
                                    .value = (const uint8_t *)"\x91",
                                    .value_len = 2};

    for (size_t i = 0; i < base->count; i++)
        if (key_compare(base->items[i].key, key) == 0)
            return &base->items[i];
    return &none;
}

/* Adds belong to the era that stands in base: this node's slot of it goes up.
 * false: a concurrent set made it something else, the add falls away. */
static bool delta_add(struct pack_writer *w, struct reg *reg,
                      const struct change *c, const struct regs *base,
                      uint64_t node)
{
    const struct reg *old = find_in(base, c->key);
    struct slots slots;
    struct slot slot, own = {.node = node};

    if (old->type != VALUE_COUNTER && old->type != TYPE_REMOVED)
        return false;
    slots_begin(&slots, old);
    int64_t from = slots.base;
    while (slots_next(&slots, &slot))
        if (slot.node == node)
            own = slot;
    pack_array(w, 4);
    pack_int(w, from);
    pack_uint(w, 0); /* the only node that this register's slots name */
    pack_uint(w, own.plus + c->plus);
    pack_uint(w, own.minus + c->minus);
    *reg = (struct reg){.key = c->key,
                        .type = VALUE_COUNTER,
                        .never_set = old->never_set,
                        .time = old->time,
                        .node = old->node};
    return true;
}

static bool delta_reg(struct pack_writer *w, struct reg *reg,
                      const struct change *c, const struct regs *base,
                      int64_t time, uint64_t node)
{
    if (c->kind == CHANGE_ADD)
        return delta_add(w, reg, c, base, node);
    pack_value(w, &c->value);
    *reg = (struct reg){.key = c->key,
                        .type = (uint8_t)c->value.type,
                        .time = time,
                        .node = node};
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
    uint8_t own_node[8], room[256];
};

static void draw(struct drawn *d, const struct regs *base,
                 const struct changes *changes, int64_t time, uint64_t node)
{
    uint64_t swapped = __builtin_bswap64(node);
    struct regs *regs = &d->regs;

    memcpy(d->own_node, &swapped, sizeof d->own_node);
    regs_init(regs);
    pack_init_in(&d->values, d->room, sizeof d->room);
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
        regs->items[i].value = d->values.data + (uintptr_t)regs->items[i].value;
    if (regs->count > 1)
        qsort(regs->items, regs->count, sizeof *regs->items, by_key);
}

static void drawn_release(struct drawn *d)
{
    pack_release(&d->values);
    regs_release(&d->regs);
}

static struct record *build_changes(const struct head *head,
                                    const struct regs *base,
                                    const struct changes *changes, int64_t time,
                                    uint64_t node)
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
    struct regs none;

    memcpy(head.id, id, ID_SIZE);
    regs_init(&none);
    return build_changes(&head, &none, changes, birth, node);
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
    struct head head;
    struct regs old;

    regs_read(&old, &head, base);
    head.whole = false;
    struct record *r =
        build_changes(&head, &old, changes, next_stamp(base, now_wall), node);
    regs_release(&old);
    return r;
}

struct record *record_apply(struct record *base, const struct changes *changes,
                            int64_t now_wall, uint64_t node)
{
    struct drawn d;
    struct regs old, out;
    struct head head;
    struct record *r;

    regs_read(&old, &head, base);
    assert(!old.count || old.items[0].type != TYPE_END);
    draw(&d, &old, changes, next_stamp(base, now_wall), node);
    if (d.regs.count == 0) {
        r = record_ref(base);
    } else {
        regs_init(&out);
        regs_merge(&out, &old, &d.regs);
        if (head.kind == RECORD_USER)
            regs_keep_newest(&out);
        r = record_build(&head, out.items, out.count);
        regs_release(&out);
    }
    drawn_release(&d);
    regs_release(&old);
    return r;
}

struct record *record_end_delta(const struct record *base, enum reason reason,
                                const uint8_t *new_id, int64_t now_wall,
                                uint64_t node)
{
    struct head head = {
        .kind = record_kind(base), .whole = true, .birth = record_birth(base)};
    struct pack_writer value;
    uint8_t room[32];
    struct reg reg = {.key = key_field(FIELD_END),
                      .type = TYPE_END,
                      .time = next_stamp(base, now_wall),
                      .node = node};

    assert((reason == REASON_RENAMED) == (new_id != NULL));
    memcpy(head.id, record_id(base), ID_SIZE);
    pack_init_in(&value, room, sizeof room);
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
