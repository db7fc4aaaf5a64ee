/* SPDX-License-Identifier: Apache-2.0
 *
 * The join of two records. Every rule below picks the larger of two things in
 * some total order, or joins two sets of slots by larger values, so the whole
 * is a join: any order, any grouping, any repetition gives the same bytes. */
#include "config.h"

#include "session/buf.h"
#include "session/record_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int compare_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_stamps(const struct reg *a, const struct reg *b)
{
    if (a->never_set || b->never_set)
        return b->never_set - a->never_set;
    int order = compare_i64(a->time, b->time);
    if (order)
        return order;
    return a->node < b->node ? -1 : a->node > b->node;
}

static int compare_bytes(const struct reg *a, const struct reg *b)
{
    uint32_t len = a->value_len < b->value_len ? a->value_len : b->value_len;
    int order = memcmp(a->value, b->value, len);
    return order ? order : compare_i64(a->value_len, b->value_len);
}

/* A removal is an empty counter of its era: adds may follow it. */
static bool is_counter(const struct reg *reg)
{
    return reg->type == VALUE_COUNTER || reg->type == TYPE_REMOVED;
}

static int type_rank(const struct reg *reg)
{
    return is_counter(reg) ? VALUE_COUNTER : reg->type;
}

static int64_t reg_number(const struct reg *reg)
{
    struct pack_reader r = {reg->value, reg->value + reg->value_len};
    struct pack_token t = {.i = 0};
    return pack_read(&r, &t) ? t.i : 0;
}

/* Which of two registers of one key stays; 0: both, their slots joined. */
static int compare_regs(const struct reg *a, const struct reg *b)
{
    int order = 0;

    if (!a->key.name && a->key.field == FIELD_IDLE_END)
        order = compare_i64(reg_number(a), reg_number(b));
    if (!order)
        order = compare_stamps(a, b);
    if (!order)
        order = type_rank(a) - type_rank(b);
    if (!order && !is_counter(a))
        order = compare_bytes(a, b);
    return order;
}

static void merge_key(struct regs *out, const struct reg *a,
                      const struct reg *b)
{
    int order = compare_regs(a, b);
    struct reg *reg = regs_add(out);

    *reg = order < 0 ? *b : *a;
    if (order == 0 && is_counter(a)) {
        if (a->type == TYPE_REMOVED)
            *reg = *b; /* the counter, if one of them is */
        if (reg->type != TYPE_REMOVED)
            reg->other = a->type == TYPE_REMOVED ? a : b;
    }
}

void regs_merge(struct regs *out, const struct regs *a, const struct regs *b)
{
    size_t i = 0, j = 0;

    while (i < a->count && j < b->count) {
        int order = key_compare(a->items[i].key, b->items[j].key);
        if (order < 0)
            *regs_add(out) = a->items[i++];
        else if (order > 0)
            *regs_add(out) = b->items[j++];
        else
            merge_key(out, &a->items[i++], &b->items[j++]);
    }
    while (i < a->count)
        *regs_add(out) = a->items[i++];
    while (j < b->count)
        *regs_add(out) = b->items[j++];
}

/* The newer first; equal stamps by key, so that the order is total. */
static int newer_first(const void *x, const void *y)
{
    const struct reg *a = *(const struct reg *const *)x;
    const struct reg *b = *(const struct reg *const *)y;
    int order = compare_stamps(b, a);
    return order ? order : key_compare(a->key, b->key);
}

/* The sessions of a user: the 1,000 newest logins stay. The newest of a union
 * are the newest of the newest of its parts, so this too is a join. */
void regs_keep_newest(struct regs *regs)
{
    size_t fields = 0;

    while (fields < regs->count && !regs->items[fields].key.name)
        fields++;
    size_t names = regs->count - fields;
    if (names <= RECORD_USER_SESSIONS)
        return;
    const struct reg **order = mem_alloc(names * sizeof *order);
    for (size_t i = 0; i < names; i++)
        order[i] = &regs->items[fields + i];
    qsort(order, names, sizeof *order, newer_first);
    bool *out = mem_zero(regs->count * sizeof *out);
    for (size_t i = RECORD_USER_SESSIONS; i < names; i++)
        out[order[i] - regs->items] = true;
    size_t kept = 0;
    for (size_t i = 0; i < regs->count; i++)
        if (!out[i])
            regs->items[kept++] = regs->items[i];
    regs->count = kept;
    free(out);
    free(order);
}

void regs_read(struct regs *regs, struct head *head, const struct record *r)
{
    struct walk w;

    walk_record(&w, head, r);
    regs_init(regs);
    while (w.left) {
        bool ok = walk_next(&w, regs_add(regs));
        assert(ok);
        (void)ok;
    }
}

static bool is_tombstone(const struct regs *regs)
{
    return regs->count && !regs->items[0].key.name &&
           regs->items[0].key.field == FIELD_END;
}

/* Of two decided ends the earlier one stays: it may have been acknowledged,
 * and then it is what happened. */
static const struct reg *first_end(const struct regs *a, const struct regs *b)
{
    if (!is_tombstone(a))
        return b->items;
    if (!is_tombstone(b))
        return a->items;
    int order = compare_stamps(a->items, b->items);
    if (!order)
        order = compare_bytes(a->items, b->items);
    return order <= 0 ? a->items : b->items;
}

struct record *record_merge(struct record *a, struct record *b)
{
    struct regs ra, rb, out;
    struct head head, other;
    struct record *merged;

    if (record_equal(a, b))
        return record_ref(a);
    regs_read(&ra, &head, a);
    regs_read(&rb, &other, b);
    assert(head.kind == other.kind && id_equal(head.id, other.id));
    head.whole |= other.whole;
    if (other.birth < head.birth)
        head.birth = other.birth;
    if (is_tombstone(&ra) || is_tombstone(&rb)) {
        head.whole = true;
        merged = record_build(&head, first_end(&ra, &rb), 1);
    } else {
        regs_init(&out);
        regs_merge(&out, &ra, &rb);
        if (head.kind == RECORD_USER)
            regs_keep_newest(&out);
        merged = record_build(&head, out.items, out.count);
        regs_release(&out);
    }
    regs_release(&ra);
    regs_release(&rb);
    return merged;
}

struct record *record_rekey(const struct record *r, const uint8_t id[ID_SIZE])
{
    struct record *copy = mem_alloc(offsetof(struct record, bytes) + r->len);

    memcpy(copy->bytes, r->bytes, r->len);
    memcpy(copy->bytes + RECORD_ID_AT, id, ID_SIZE);
    atomic_init(&copy->refs, 1);
    copy->len = r->len;
    copy->newest = r->newest;
    copy->ended = r->ended;
    return copy;
}
