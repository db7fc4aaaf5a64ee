/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/record.h"

#include "session/buf.h"
#include "session/record_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/* A record in memory is canonical: its parts stand where they must. */
void walk_record(struct walk *w, struct head *head, const struct record *r)
{
    const uint8_t *p = r->bytes;

    head->kind = p[2];
    head->whole = p[3] == 0xc3;
    memcpy(head->id, p + RECORD_ID_AT, ID_SIZE);
    p += RECORD_BIRTH_AT;
    if (*p == 0xcf && p[9] == 0xc4) { /* any birth since 1970 and a half */
        uint64_t birth;
        memcpy(&birth, p + 1, sizeof birth);
        head->birth = w->birth = (int64_t)__builtin_bswap64(birth);
        w->node_count = p[10] / 8;
        w->nodes = p + 11;
        p += 11 + p[10];
        w->r = (struct pack_reader){p, r->bytes + r->len};
        struct pack_token t = {.len = 0};
        bool ok = pack_read(&w->r, &t);
        assert(ok);
        (void)ok;
        w->left = (uint32_t)(t.len / 5);
        return;
    }
    bool ok = walk_bytes(w, head, r->bytes, r->len);
    assert(ok);
    (void)ok;
}

uint64_t node_at(const uint8_t *nodes, size_t index)
{
    uint64_t u;
    memcpy(&u, nodes + 8 * index, 8);
    return __builtin_bswap64(u);
}

static bool read_type(struct pack_reader *r, struct pack_token *t,
                      enum pack_type type)
{
    return pack_read(r, t) && t->type == type;
}

static bool walk_head(struct walk *w, struct head *head)
{
    struct pack_token t;
    struct pack_reader *r = &w->r;

    if (!read_type(r, &t, PACK_ARRAY) || t.len != 7 ||
        !read_type(r, &t, PACK_INT) || t.i != RECORD_FORMAT ||
        !read_type(r, &t, PACK_INT) || t.i < 0 || t.i > 100)
        return false;
    head->kind = (uint32_t)t.i;
    if (!read_type(r, &t, PACK_BOOL))
        return false;
    head->whole = t.truth;
    if (!read_type(r, &t, PACK_BIN) || t.len != ID_SIZE)
        return false;
    memcpy(head->id, t.p, ID_SIZE);
    if (!read_type(r, &t, PACK_INT) || t.i < 0 || t.i > RECORD_TIME_MAX)
        return false;
    head->birth = w->birth = t.i;
    return true;
}

bool walk_bytes(struct walk *w, struct head *head, const uint8_t *bytes,
                size_t len)
{
    struct pack_token t;

    w->r = (struct pack_reader){bytes, bytes + len};
    if (!walk_head(w, head))
        return false;
    if (!read_type(&w->r, &t, PACK_BIN) || t.len % 8)
        return false;
    w->nodes = t.p;
    w->node_count = t.len / 8;
    if (!read_type(&w->r, &t, PACK_ARRAY) || t.len % 5)
        return false;
    w->left = (uint32_t)(t.len / 5);
    return true;
}

static bool walk_key(struct walk *w, struct key *key)
{
    struct pack_token t;
    uint8_t small;

    if (pack_read_small(&w->r, &small)) {
        *key = key_field(small);
        return true;
    }
    size_t len = w->r.p < w->r.end ? *w->r.p & 31 : 0;
    if (len && (*w->r.p & 0xe0) == 0xa0 && len < (size_t)(w->r.end - w->r.p)) {
        *key = key_name((const char *)w->r.p + 1, len);
        w->r.p += len + 1;
        return true;
    }
    if (!pack_read(&w->r, &t))
        return false;
    if (t.type == PACK_STR) {
        *key = key_name((const char *)t.p, t.len);
        return t.len > 0 && t.len < RECORD_MAX_BYTES;
    }
    if (t.type != PACK_INT || t.i < 0 || t.i > INT32_MAX)
        return false;
    *key = key_field((int32_t)t.i);
    return true;
}

static bool walk_stamp(struct walk *w, struct reg *reg)
{
    struct pack_token time, node;
    const uint8_t *p = w->r.p;

    if (w->r.end - p >= 2 && p[0] < 0x80 && p[1] < w->node_count &&
        p[1] < 0x80) {
        w->r.p += 2;
        reg->never_set = false;
        reg->time = w->birth + p[0];
        reg->node = node_at(w->nodes, p[1]);
        return reg->time <= RECORD_TIME_MAX;
    }
    reg->time = 0;
    reg->node = 0;
    reg->never_set = w->r.end - p >= 2 && p[0] == 0xc0 && p[1] == 0xc0;
    if (reg->never_set) { /* nil, nil */
        w->r.p += 2;
        return true;
    }
    if (!read_type(&w->r, &time, PACK_INT) || time.i < -w->birth ||
        time.i > RECORD_TIME_MAX - w->birth ||
        !read_type(&w->r, &node, PACK_INT) || node.u >= w->node_count)
        return false;
    reg->time = w->birth + time.i;
    reg->node = node_at(w->nodes, node.u);
    return true;
}

bool walk_next(struct walk *w, struct reg *reg)
{
    uint64_t type;

    if (w->left == 0)
        return false;
    reg->raw = w->r.p;
    if (!walk_key(w, &reg->key) || !pack_read_uint(&w->r, &type) || type > 255)
        return false;
    reg->type = (uint8_t)type;
    if (!walk_stamp(w, reg))
        return false;
    reg->value = w->r.p;
    if (!pack_skip(&w->r))
        return false;
    reg->value_len = (uint32_t)(w->r.p - reg->value);
    reg->nodes = w->nodes;
    reg->node_count = w->node_count;
    reg->birth = w->birth;
    reg->other = NULL;
    w->left--;
    return true;
}

void slots_begin(struct slots *s, const struct reg *reg)
{
    struct pack_token t;

    *s = (struct slots){.nodes = reg->nodes};
    if (reg->type != VALUE_COUNTER)
        return;
    s->r = (struct pack_reader){reg->value, reg->value + reg->value_len};
    if (!pack_read(&s->r, &t) || t.type != PACK_ARRAY)
        return;
    s->left = (t.len - 1) / 3;
    if (pack_read(&s->r, &t))
        s->base = t.i;
}

bool slots_next(struct slots *s, struct slot *out)
{
    uint64_t node;

    if (s->left == 0 || !pack_read_uint(&s->r, &node) ||
        !pack_read_uint(&s->r, &out->plus) ||
        !pack_read_uint(&s->r, &out->minus))
        return false;
    s->left--;
    out->node = node_at(s->nodes, node);
    return true;
}

static int64_t counter_value(const struct reg *reg)
{
    struct slots s;
    struct slot slot;
    slots_begin(&s, reg);
    uint64_t sum = (uint64_t)s.base;
    while (slots_next(&s, &slot))
        sum += slot.plus - slot.minus;
    return (int64_t)sum;
}

static struct value reg_value(const struct reg *reg)
{
    struct value v = {.type = (enum value_type)reg->type};
    struct pack_reader r = {reg->value, reg->value + reg->value_len};
    struct pack_token t;

    if (reg->type == VALUE_COUNTER) {
        v.number = counter_value(reg);
        return v;
    }
    if (reg->type == TYPE_REMOVED || reg->type > VALUE_COUNTER ||
        !pack_read(&r, &t))
        return (struct value){.type = VALUE_NONE};
    switch (v.type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        v.data = (const char *)t.p;
        v.len = t.len;
        break;
    case VALUE_INT:
        v.number = t.i;
        break;
    case VALUE_DOUBLE:
        v.real = t.real;
        break;
    default:
        v.truth = t.truth;
    }
    return v;
}

const uint8_t *record_id(const struct record *r)
{
    return r->bytes + RECORD_ID_AT;
}

enum record_kind record_kind(const struct record *r)
{
    return (enum record_kind)r->bytes[2];
}

bool record_is_whole(const struct record *r)
{
    return r->bytes[3] == 0xc3;
}

int64_t record_birth(const struct record *r)
{
    struct pack_reader p = {r->bytes + RECORD_BIRTH_AT, r->bytes + r->len};
    struct pack_token t = {.i = 0};
    bool ok = pack_read(&p, &t);
    assert(ok);
    (void)ok;
    return t.i;
}

static bool record_find(const struct record *r, struct key key, struct reg *reg)
{
    struct walk w;
    struct head head;

    walk_record(&w, &head, r);
    while (walk_next(&w, reg)) {
        int order = key_compare(reg->key, key);
        if (order == 0)
            return true;
        if (order > 0)
            return false;
    }
    return false;
}

struct value record_get(const struct record *r, struct key key)
{
    struct reg reg;
    if (!record_find(r, key, &reg))
        return (struct value){.type = VALUE_NONE};
    return reg_value(&reg);
}

bool record_removed(const struct record *r, struct key key)
{
    struct reg reg;
    return record_find(r, key, &reg) && reg.type == VALUE_NONE;
}

int64_t record_number(const struct record *r, enum record_field field)
{
    struct value v = record_get(r, key_field(field));
    return v.type == VALUE_INT ? v.number : 0;
}

bool record_ended(const struct record *r, struct record_end *out)
{
    struct walk w;
    struct head head;
    struct reg reg;
    struct pack_token t;

    if (!r->ended || !out)
        return r->ended;
    walk_record(&w, &head, r);
    walk_next(&w, &reg);
    *out = (struct record_end){.reason = REASON_UNKNOWN};
    struct pack_reader p = {reg.value, reg.value + reg.value_len};
    if (pack_read(&p, &t) && pack_read(&p, &t))
        out->reason = (enum reason)t.i;
    if (pack_read(&p, &t) && t.type == PACK_BIN)
        memcpy(out->new_id, t.p, ID_SIZE);
    return true;
}

bool record_idle_ended(const struct record *r, int64_t *access_wall)
{
    struct value v = record_get(r, key_field(FIELD_IDLE_END));
    if (v.type != VALUE_INT)
        return false;
    if (access_wall)
        *access_wall = v.number;
    return true;
}

void record_life(const struct record *r, struct record_life *out)
{
    struct walk w;
    struct head head;
    struct reg reg;

    walk_record(&w, &head, r);
    *out = (struct record_life){.ended = r->ended, .birth = head.birth};
    /* the first byte of a key is that of a name, or the field's number */
    while (w.left && *w.r.p <= FIELD_MAX_LIFETIME && walk_next(&w, &reg)) {
        int64_t number = reg.type == VALUE_INT ? reg_value(&reg).number : 0;
        switch (reg.key.field) {
        case FIELD_IDLE_END:
            out->idle_ended = true;
            out->idle_access = number;
            break;
        case FIELD_MAX_INACTIVE:
            out->max_inactive = number;
            break;
        case FIELD_MAX_LIFETIME:
            out->max_lifetime = number;
            break;
        }
    }
}

void record_each(const struct record *r, record_each_fn *each, void *user)
{
    struct walk w;
    struct head head;
    struct reg reg;

    walk_record(&w, &head, r);
    while (walk_next(&w, &reg)) {
        struct value v = reg_value(&reg);
        if (v.type != VALUE_NONE)
            each(user, reg.key, &v, reg.time);
    }
}

void record_others(const struct record *r, uint64_t node,
                   struct record_others *out)
{
    struct walk w;
    struct head head;
    struct reg reg;
    struct slots slots;
    struct slot slot;

    *out = (struct record_others){0, 0};
    walk_record(&w, &head, r);
    while (walk_next(&w, &reg)) {
        if (reg.node != node && reg.time > out->newest)
            out->newest = reg.time;
        slots_begin(&slots, &reg);
        while (slots_next(&slots, &slot))
            if (slot.node != node)
                out->added += slot.plus + slot.minus;
    }
}

bool record_equal(const struct record *a, const struct record *b)
{
    return a == b ||
           (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

void record_unref(struct record **r)
{
    struct record *x = *r;

    *r = NULL;
    if (x && atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) == 1)
        free(x);
}

/* ---- bytes from outside ---- */

static bool is_unsigned(const struct pack_token *t)
{
    return t->type == PACK_UINT || (t->type == PACK_INT && t->i >= 0);
}

static bool check_slots(const struct reg *reg, size_t node_count)
{
    struct pack_reader r = {reg->value, reg->value + reg->value_len};
    struct pack_token t;
    size_t before = 0;

    if (!read_type(&r, &t, PACK_ARRAY) || t.len % 3 != 1)
        return false;
    size_t count = t.len / 3;
    if (!read_type(&r, &t, PACK_INT))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct pack_token node, plus, minus;
        if (!read_type(&r, &node, PACK_INT) || node.u >= node_count ||
            (i && node.u <= before) || !pack_read(&r, &plus) ||
            !pack_read(&r, &minus))
            return false;
        if (!is_unsigned(&plus) || !is_unsigned(&minus))
            return false;
        before = node.u;
    }
    return true;
}

static bool check_end(const struct reg *reg)
{
    struct pack_reader r = {reg->value, reg->value + reg->value_len};
    struct pack_token t;

    if (!read_type(&r, &t, PACK_ARRAY) || t.len != 2 ||
        !read_type(&r, &t, PACK_INT) || t.i < 0 || t.i > 1000)
        return false;
    bool renamed = t.i == REASON_RENAMED;
    if (!pack_read(&r, &t))
        return false;
    return renamed ? t.type == PACK_BIN && t.len == ID_SIZE
                   : t.type == PACK_NIL;
}

static bool check_value(const struct reg *reg, size_t node_count)
{
    static const enum pack_type types[] = {
        [TYPE_REMOVED] = PACK_NIL,    [VALUE_STRING] = PACK_STR,
        [VALUE_BYTES] = PACK_BIN,     [VALUE_INT] = PACK_INT,
        [VALUE_DOUBLE] = PACK_DOUBLE, [VALUE_BOOL] = PACK_BOOL,
    };
    struct pack_reader r = {reg->value, reg->value + reg->value_len};
    struct pack_token t;

    if (reg->never_set && reg->type != VALUE_COUNTER)
        return false;
    bool is_end = !reg->key.name && reg->key.field == FIELD_END;
    if (is_end || reg->type == TYPE_END)
        return is_end && reg->type == TYPE_END && check_end(reg);
    if (!reg->key.name && reg->key.field == FIELD_IDLE_END)
        return reg->type == VALUE_INT && read_type(&r, &t, PACK_INT) &&
               t.i >= 0 && t.i <= RECORD_TIME_MAX;
    if (reg->type == VALUE_COUNTER)
        return check_slots(reg, node_count);
    if (reg->type >= sizeof types / sizeof types[0])
        return true; /* of a newer version: carried along */
    return read_type(&r, &t, types[reg->type]);
}

static bool check_nodes(const struct walk *w)
{
    for (size_t i = 1; i < w->node_count; i++)
        if (node_at(w->nodes, i - 1) >= node_at(w->nodes, i))
            return false;
    return true;
}

static bool decode_regs(struct walk *w, struct regs *regs)
{
    if (!check_nodes(w))
        return false;
    while (w->left) {
        struct reg *reg = regs_add(regs);
        if (!walk_next(w, reg) || !check_value(reg, w->node_count))
            return false;
        reg->raw = NULL; /* perhaps not in our form */
        if (regs->count > 1 && key_compare(reg[-1].key, reg->key) >= 0)
            return false;
        if (regs->count > 1 && regs->items[0].type == TYPE_END)
            return false; /* a tombstone holds nothing else */
    }
    return w->r.p == w->r.end;
}

static struct record *build_decoded(struct head *head, struct regs *regs)
{
    if (regs->count && regs->items[0].type == TYPE_END)
        head->whole = true;
    if (head->kind == RECORD_USER)
        regs_keep_newest(regs);
    return record_build(head, regs->items, regs->count);
}

enum rc record_decode(const void *bytes, size_t len, struct record **out,
                      struct err *err)
{
    const uint8_t *p = bytes;
    struct walk w;
    struct head head;
    struct regs regs;
    enum rc rc = RC_OK;

    if (len > RECORD_MAX_BYTES)
        return err_set(err, RC_INVALID, "a record of %zu bytes", len);
    if (len > 2 && p[0] >= 0x97 && p[0] <= 0x9f && p[1] > RECORD_FORMAT &&
        p[1] < 0x80)
        return err_set(err, RC_UNSUPPORTED,
                       "a record of format %u; this version reads %u", p[1],
                       RECORD_FORMAT);
    regs_init(&regs);
    if (!walk_bytes(&w, &head, bytes, len) || !decode_regs(&w, &regs))
        rc = err_set(err, RC_INVALID, "not a record (%zu bytes)", len);
    else
        *out = build_decoded(&head, &regs);
    regs_release(&regs);
    if (rc == RC_OK && (*out)->len > RECORD_MAX_BYTES) {
        record_unref(out); /* its nodes' header is longer in our form */
        rc = err_set(err, RC_INVALID, "a record of %zu bytes", len);
    }
    return rc;
}

/* ---- rows of registers ---- */

void regs_init(struct regs *r)
{
    r->items = r->first;
    r->count = 0;
    r->cap = REGS_INLINE;
}

void regs_release(struct regs *r)
{
    if (r->items != r->first)
        free(r->items);
}

struct reg *regs_add(struct regs *r)
{
    if (r->count == r->cap) {
        size_t cap = r->cap * 2;
        struct reg *items = mem_alloc(cap * sizeof *items);
        memcpy(items, r->items, r->count * sizeof *items);
        regs_release(r);
        r->items = items;
        r->cap = cap;
    }
    return &r->items[r->count++];
}
