/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/buf.h"
#include "session/record_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The nodes that a record names. Those before `sorted` are in order and once
 * each; what came since stands behind them: 16 MB name more than a million, in
 * any order, and no stranger shall make us move them all for each. */
struct nodes {
    uint64_t *items, first[16];
    size_t count, cap, sorted;
    struct {
        const uint8_t *row;
        bool same;
    } compared[2]; /* rows of other records: a merge reads two */
    unsigned compared_next;
};
#define NODES_MOVED 64 /* so few are moved to make room for one */

/* Where it is, or would be, among those in order. */
static size_t nodes_place(const struct nodes *n, uint64_t node)
{
    size_t low = 0, high = n->sorted;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (n->items[middle] < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int compare_nodes(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void nodes_sort(struct nodes *n)
{
    size_t kept = 0;

    if (n->sorted == n->count)
        return;
    qsort(n->items, n->count, sizeof *n->items, compare_nodes);
    for (size_t i = 0; i < n->count; i++)
        if (kept == 0 || n->items[kept - 1] != n->items[i])
            n->items[kept++] = n->items[i];
    n->count = n->sorted = kept;
}

/* Room for half as many as there are, at least: so it is not sorted often. */
static void nodes_make_room(struct nodes *n)
{
    nodes_sort(n);
    if (n->count <= n->cap / 2)
        return;
    uint64_t *items = mem_alloc(2 * n->cap * sizeof *items);
    memcpy(items, n->items, n->count * sizeof *items);
    if (n->items != n->first)
        free(n->items);
    n->items = items;
    n->cap *= 2;
}

static void nodes_add(struct nodes *n, uint64_t node)
{
    if (n->count == n->cap)
        nodes_make_room(n);
    size_t at = nodes_place(n, node);
    if (at < n->sorted && n->items[at] == node)
        return;
    if (n->sorted == n->count && n->count - at < NODES_MOVED) {
        memmove(n->items + at + 1, n->items + at,
                (n->count - at) * sizeof *n->items);
        n->items[at] = node;
        n->sorted++;
    } else {
        n->items[n->count] = node;
    }
    n->count++;
}

/* Is that row of as many nodes the same? */
static bool nodes_are(struct nodes *n, const uint8_t *row)
{
    size_t same = 0;

    for (size_t i = 0; i < 2; i++)
        if (n->compared[i].row == row)
            return n->compared[i].same;
    while (same < n->count && node_at(row, same) == n->items[same])
        same++;
    n->compared[n->compared_next].row = row;
    n->compared[n->compared_next].same = same == n->count;
    n->compared_next ^= 1;
    return same == n->count;
}

static void nodes_add_slots(struct nodes *n, const struct reg *reg)
{
    struct slots s;
    struct slot slot;
    slots_begin(&s, reg);
    while (slots_next(&s, &slot))
        nodes_add(n, slot.node);
}

static void nodes_collect(struct nodes *n, const struct reg *regs, size_t count)
{
    n->items = n->first;
    n->count = n->sorted = n->compared_next = 0;
    n->cap = sizeof n->first / sizeof n->first[0];
    n->compared[0].row = n->compared[1].row = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!regs[i].never_set)
            nodes_add(n, regs[i].node);
        if (regs[i].type == VALUE_COUNTER)
            nodes_add_slots(n, &regs[i]);
        if (regs[i].other)
            nodes_add_slots(n, regs[i].other);
    }
    nodes_sort(n);
}

/* Two sorted rows of slots become one; of a slot in both, the larger values.
 * Returns the number. */
static size_t slots_join(struct pack_writer *w, const struct nodes *n,
                         struct slots *a, struct slots *b)
{
    struct slot x, y, out;
    size_t count = 0;
    bool in_a = slots_next(a, &x), in_b = slots_next(b, &y);

    while (in_a || in_b) {
        bool take_a = in_a && (!in_b || x.node <= y.node);
        bool take_b = in_b && (!in_a || y.node <= x.node);
        out = take_a ? x : y;
        if (take_a && take_b) {
            out.plus = x.plus > y.plus ? x.plus : y.plus;
            out.minus = x.minus > y.minus ? x.minus : y.minus;
        }
        pack_uint(w, nodes_place(n, out.node));
        pack_uint(w, out.plus);
        pack_uint(w, out.minus);
        count++;
        if (take_a)
            in_a = slots_next(a, &x);
        if (take_b)
            in_b = slots_next(b, &y);
    }
    return count;
}

static void build_counter(struct pack_writer *w, const struct nodes *n,
                          const struct reg *reg)
{
    struct slots a, b = {.base = INT64_MIN};
    struct pack_writer joined; /* their number stands before them */
    uint8_t room[256];

    slots_begin(&a, reg);
    if (reg->other)
        slots_begin(&b, reg->other);
    pack_init_in(&joined, room, sizeof room);
    size_t count = slots_join(&joined, n, &a, &b);
    pack_array(w, 1 + 3 * count);
    pack_int(w, a.base > b.base ? a.base : b.base);
    pack_raw(w, joined.data, joined.len);
    pack_release(&joined);
}

/* Does the register stand in a record of the same birth and nodes? Then its
 * bytes are what we would write. */
static bool stands_so(const struct head *head, struct nodes *n,
                      const struct reg *reg)
{
    return reg->raw && !reg->other && reg->birth == head->birth &&
           reg->node_count == n->count && nodes_are(n, reg->nodes);
}

static void build_reg(struct pack_writer *w, const struct head *head,
                      struct nodes *n, const struct reg *reg)
{
    if (stands_so(head, n, reg)) {
        pack_raw(w, reg->raw, (size_t)(reg->value + reg->value_len - reg->raw));
        return;
    }
    if (reg->key.name)
        pack_str(w, reg->key.name, reg->key.len);
    else
        pack_int(w, reg->key.field);
    pack_uint(w, reg->type);
    if (reg->never_set) {
        pack_nil(w);
        pack_nil(w);
    } else {
        pack_int(w, reg->time - head->birth);
        pack_uint(w, nodes_place(n, reg->node));
    }
    if (reg->type == VALUE_COUNTER)
        build_counter(w, n, reg);
    else
        pack_raw(w, reg->value, reg->value_len);
}

static void build_nodes(struct pack_writer *w, const struct nodes *n)
{
    uint8_t bytes[8];

    /* the header of a bin of that length, then the numbers themselves */
    if (n->count < 32)
        pack_raw(w, (uint8_t[]){0xc4, (uint8_t)(8 * n->count)}, 2);
    else
        pack_raw(w,
                 (uint8_t[]){
                     0xc6, (uint8_t)(n->count >> 21), (uint8_t)(n->count >> 13),
                     (uint8_t)(n->count >> 5), (uint8_t)(n->count << 3)},
                 5);
    for (size_t i = 0; i < n->count; i++) {
        uint64_t u = __builtin_bswap64(n->items[i]);
        memcpy(bytes, &u, 8);
        pack_raw(w, bytes, 8);
    }
}

struct record *record_build(const struct head *head, const struct reg *regs,
                            size_t count)
{
    struct pack_writer w;
    uint8_t room[1024];
    struct nodes nodes;
    int64_t newest = head->birth;

    nodes_collect(&nodes, regs, count);
    pack_init_in(&w, room, sizeof room);
    pack_raw(&w,
             (uint8_t[]){0x97, RECORD_FORMAT, (uint8_t)head->kind,
                         head->whole ? 0xc3 : 0xc2, 0xc4, ID_SIZE},
             6);
    pack_raw(&w, head->id, ID_SIZE);
    pack_int(&w, head->birth);
    build_nodes(&w, &nodes);
    pack_array(&w, 5 * count);
    for (size_t i = 0; i < count; i++) {
        build_reg(&w, head, &nodes, &regs[i]);
        if (regs[i].time > newest)
            newest = regs[i].time;
    }
    if (nodes.items != nodes.first)
        free(nodes.items);
    struct record *r = mem_alloc(offsetof(struct record, bytes) + w.len);
    atomic_init(&r->refs, 1);
    r->newest = newest;
    r->ended = count && regs[0].type == TYPE_END;
    r->len = (uint32_t)w.len;
    memcpy(r->bytes, w.data, w.len);
    pack_release(&w);
    return r;
}
