/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/records.h"

#include "session/buf.h"
#include "session/record_impl.h"
#include "tests/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

bool dice_given(uint64_t *seed)
{
    const char *text = getenv("MARGAY_SEED");
    if (!text || !*text)
        return false;
    *seed = strtoull(text, NULL, 10);
    return true;
}

uint64_t dice_count(const char *variable, uint64_t normal)
{
    const char *text = getenv(variable);
    return text && *text ? strtoull(text, NULL, 10) : normal;
}

bool value_is_text(struct value v, const char *text)
{
    return v.type == VALUE_STRING && v.len == strlen(text) &&
           memcmp(v.data, text, v.len) == 0;
}

bool value_is(struct value v, enum value_type type, int64_t number)
{
    return v.type == type && v.number == number;
}

static struct record *delta_of(const struct record *base, struct changes *c,
                               int64_t now, uint64_t node)
{
    struct record *delta = record_delta(base, c, now, node);
    changes_release(c);
    return delta;
}

struct record *delta_set(const struct record *base, const char *name,
                         struct value value, int64_t now, uint64_t node)
{
    struct changes c;
    changes_init(&c);
    changes_set(&c, key_text(name), &value);
    return delta_of(base, &c, now, node);
}

struct record *delta_add(const struct record *base, const char *name,
                         int64_t amount, int64_t now, uint64_t node)
{
    struct changes c;
    changes_init(&c);
    changes_add(&c, key_text(name), amount);
    return delta_of(base, &c, now, node);
}

struct record *delta_remove(const struct record *base, const char *name,
                            int64_t now, uint64_t node)
{
    struct changes c;
    changes_init(&c);
    changes_remove(&c, key_text(name));
    return delta_of(base, &c, now, node);
}

void record_take(struct record **r, struct record *delta)
{
    struct record *merged = record_merge(*r, delta);
    record_unref(r);
    record_unref(&delta);
    *r = merged;
}

bool record_is_canonical(const struct record *r)
{
    struct record *again = NULL;
    bool same = record_decode(r->bytes, r->len, &again, NULL) == RC_OK &&
                record_equal(r, again) && r->newest == again->newest;
    record_unref(&again);
    return same;
}

void raw_init(struct raw *raw)
{
    pack_init(&raw->row, 0);
    raw->count = 0;
}

static void raw_stamp(struct raw *raw, unsigned type, int64_t time, int node)
{
    pack_uint(&raw->row, type);
    if (node < 0) {
        pack_nil(&raw->row);
        pack_nil(&raw->row);
    } else {
        pack_int(&raw->row, time);
        pack_int(&raw->row, node);
    }
    raw->count++;
}

void raw_field(struct raw *raw, int64_t field, unsigned type, int64_t time,
               int node)
{
    pack_int(&raw->row, field);
    raw_stamp(raw, type, time, node);
}

void raw_name(struct raw *raw, const char *name, unsigned type, int64_t time,
              int node)
{
    pack_str(&raw->row, name, strlen(name));
    raw_stamp(raw, type, time, node);
}

void raw_finish(struct raw *raw, struct pack_writer *out, unsigned kind,
                bool whole, const uint8_t id[ID_SIZE], int64_t birth,
                const uint64_t *nodes, size_t node_count)
{
    uint8_t *bytes = mem_alloc(8 * node_count + 1);

    for (size_t i = 0; i < node_count; i++)
        for (size_t b = 0; b < 8; b++)
            bytes[8 * i + b] = (uint8_t)(nodes[i] >> (56 - 8 * b));
    pack_array(out, 7);
    pack_uint(out, 1);
    pack_uint(out, kind);
    pack_bool(out, whole);
    pack_bin(out, id, ID_SIZE);
    pack_int(out, birth);
    pack_bin(out, bytes, 8 * node_count);
    free(bytes);
    pack_array(out, 5 * raw->count);
    pack_raw(out, raw->row.data, raw->row.len);
    pack_release(&raw->row);
}

enum rc raw_decode(struct raw *raw, struct record **out, unsigned kind,
                   bool whole, const uint8_t id[ID_SIZE], int64_t birth,
                   const uint64_t *nodes, size_t node_count)
{
    struct pack_writer w;
    struct err err;

    pack_init(&w, 0);
    raw_finish(raw, &w, kind, whole, id, birth, nodes, node_count);
    enum rc rc = record_decode(w.data, w.len, out, &err);
    pack_release(&w);
    return rc;
}

/* ---- any record ---- */

#define ANY_NODES 4
#define ANY_TIME 1000 /* as a type: a number that is a moment */

static void any_slots(struct dice *d, struct raw *raw)
{
    bool in[ANY_NODES];
    size_t count = 0;

    for (int i = 0; i < ANY_NODES; i++)
        count += in[i] = dice_one_in(d, 2);
    pack_array(&raw->row, 1 + 3 * count);
    pack_int(&raw->row, (int64_t)dice_below(d, 5) - 2);
    for (unsigned i = 0; i < ANY_NODES; i++)
        if (in[i]) {
            pack_uint(&raw->row, i);
            pack_uint(&raw->row,
                      dice_one_in(d, 9) ? dice_next(d) : dice_below(d, 3));
            pack_uint(&raw->row, dice_below(d, 3));
        }
}

static void any_value(struct dice *d, struct raw *raw, unsigned type)
{
    static const char *const texts[] = {"", "x", "xy", "y", "a\0b"};
    const char *text = texts[dice_below(d, 5)];

    switch (type) {
    case TYPE_REMOVED:
        pack_nil(&raw->row);
        break;
    case VALUE_STRING:
        pack_str(&raw->row, text, strlen(text));
        break;
    case VALUE_BYTES:
        pack_bin(&raw->row, text, strlen(text) + dice_below(d, 2));
        break;
    case ANY_TIME:
        pack_int(&raw->row, dice_below(d, 300));
        break;
    case VALUE_INT:
        pack_int(&raw->row, (int64_t)dice_below(d, 400) - 200);
        break;
    case VALUE_DOUBLE:
        pack_double(&raw->row, dice_below(d, 3) / 2.0);
        break;
    case VALUE_BOOL:
        pack_bool(&raw->row, dice_one_in(d, 2));
        break;
    case VALUE_COUNTER:
        any_slots(d, raw);
        break;
    default: /* of a newer version: anything */
        pack_array(&raw->row, 2);
        pack_str(&raw->row, text, strlen(text));
        pack_array(&raw->row, 0);
    }
}

static unsigned any_type(struct dice *d)
{
    static const unsigned types[] = {
        TYPE_REMOVED, VALUE_STRING,  VALUE_BYTES,   VALUE_INT,    VALUE_DOUBLE,
        VALUE_BOOL,   VALUE_COUNTER, VALUE_COUNTER, TYPE_END + 1, 255};
    return types[dice_below(d, sizeof types / sizeof types[0])];
}

static int64_t any_time(struct dice *d, int64_t birth)
{
    if (dice_one_in(d, 30))
        return (dice_one_in(d, 2) ? 0 : RECORD_TIME_MAX) - birth;
    return 100 + (int64_t)dice_below(d, 3) - birth;
}

static void any_tombstone(struct dice *d, struct raw *raw, int64_t birth)
{
    unsigned reason = REASON_IDLE + dice_below(d, 9);

    raw_field(raw, FIELD_END, TYPE_END, any_time(d, birth),
              (int)dice_below(d, ANY_NODES));
    pack_array(&raw->row, 2);
    pack_uint(&raw->row, reason);
    if (reason == REASON_RENAMED)
        pack_bin(&raw->row,
                 dice_one_in(d, 2) ? "0123456789abcdef" : "0123456789abcdeg",
                 ID_SIZE);
    else
        pack_nil(&raw->row);
}

static void any_registers(struct dice *d, struct raw *raw, int64_t birth)
{
    static const char *const names[] = {"a", "b", "ba", "c", "d"};
    static const int fields[] = {FIELD_IDLE_END, FIELD_USER, FIELD_MAX_INACTIVE,
                                 77, INT32_MAX};

    for (int i = 0; i < 10; i++) {
        unsigned type = any_type(d);
        int node = (int)dice_below(d, ANY_NODES);
        if (dice_one_in(d, 2))
            continue;
        if (i == 0)
            type = ANY_TIME;
        if (type == VALUE_COUNTER && dice_one_in(d, 2))
            node = -1;
        if (i < 5)
            raw_field(raw, fields[i], type == ANY_TIME ? VALUE_INT : type,
                      any_time(d, birth), node);
        else
            raw_name(raw, names[i - 5], type, any_time(d, birth), node);
        any_value(d, raw, type);
    }
}

struct record *record_any(struct dice *d, enum record_kind kind,
                          const uint8_t id[ID_SIZE])
{
    static const uint64_t nodes[ANY_NODES] = {1, 2, 3, UINT64_MAX};
    static const int64_t births[] = {0, 90, 100, 101, RECORD_TIME_MAX};
    int64_t birth = births[dice_below(d, 5)];
    struct record *r = NULL;
    struct raw raw;

    raw_init(&raw);
    if (dice_one_in(d, 12))
        any_tombstone(d, &raw, birth);
    else
        any_registers(d, &raw, birth);
    if (raw_decode(&raw, &r, kind, dice_one_in(d, 2), id, birth, nodes,
                   ANY_NODES) != RC_OK) {
        fprintf(stderr, "record_any made what is no record\n");
        abort();
    }
    return r;
}

/* ---- any order, any grouping, any repetition ---- */

struct record *merge_any_way(struct dice *d, struct record **all, int count)
{
    struct record **pool = mem_alloc(2 * (size_t)count * sizeof *pool);
    int left = 0;

    for (int i = 0; i < count; i++) {
        pool[left++] = record_ref(all[i]);
        if (dice_one_in(d, 3))
            pool[left++] = record_ref(all[dice_below(d, (uint32_t)count)]);
    }
    while (left > 1) {
        int a = (int)dice_below(d, (uint32_t)left);
        struct record *x = pool[a];
        pool[a] = pool[--left];
        int b = (int)dice_below(d, (uint32_t)left);
        struct record *y = record_merge(x, pool[b]);
        if (dice_one_in(d, 8)) /* once more, the other way round */
            record_take(&y, record_ref(pool[b]));
        record_unref(&x);
        record_unref(&pool[b]);
        pool[b] = y;
    }
    struct record *all_merged = pool[0];
    free(pool);
    return all_merged;
}

struct record *merge_in_order(struct record **all, int count)
{
    struct record *r = record_ref(all[0]);
    for (int i = 1; i < count; i++)
        record_take(&r, record_ref(all[i]));
    return r;
}

bool record_same(struct record *a, struct record *b)
{
    bool equal = record_equal(a, b) && a->newest == b->newest;
    record_unref(&a);
    return equal;
}

void run_seeds(const char *what, bool one(uint64_t seed), uint64_t count)
{
    uint64_t first = 0, failed = 0, done = 0;
    struct timespec from, to;

    if (dice_given(&first))
        count = 1;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (; done < count && failed < 5; done++)
        failed += !one(first + done);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) +
                     (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    printf("%" PRIu64 " %s, %.0f a second\n", done, what,
           (double)done / (seconds + 1e-9));
    CHECK_INT(failed, 0);
    CHECK_INT(done, count);
}
