/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that a store or another member could send: what record_decode takes
 * is in the one canonical form, is MessagePack for msgpack-c too, can be read
 * and changed, and merges with itself and with a second record behind the
 * first as the laws of merge say. */
#include "config.h"

#include "session/record.h"

#include "session/pack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

/* Its own bytes are decoded to itself, and msgpack-c reads them whole. */
static void expect_canonical(const struct record *r)
{
    struct record *again = NULL;
    msgpack_unpacked u;
    size_t used = 0;

    expect(record_decode(r->bytes, r->len, &again, NULL) == RC_OK);
    expect(record_equal(r, again) && r->newest == again->newest);
    record_unref(&again);
    msgpack_unpacked_init(&u);
    msgpack_unpack_return rc =
        msgpack_unpack_next(&u, (const char *)r->bytes, r->len, &used);
    /* what lies deeper than its stack is not its matter */
    expect(rc == MSGPACK_UNPACK_NOMEM_ERROR ||
           (rc == MSGPACK_UNPACK_SUCCESS && used == r->len &&
            u.data.type == MSGPACK_OBJECT_ARRAY && u.data.via.array.size == 7));
    msgpack_unpacked_destroy(&u);
}

static void see(void *user, struct key key, const struct value *value,
                int64_t stamp)
{
    const struct record *r = user;
    struct value found = record_get(r, key);
    unsigned sum = 0;

    expect(value->type != VALUE_NONE && found.type == value->type);
    expect(found.data == value->data && found.len == value->len);
    expect(stamp >= 0 && stamp <= r->newest);
    for (size_t i = 0; i < value->len; i++)
        sum += (uint8_t)value->data[i];
    for (uint32_t i = 0; key.name && i < key.len; i++)
        sum += (uint8_t)key.name[i];
    expect(sum < UINT32_MAX);
}

static void read_all(struct record *r)
{
    struct record_end end;
    struct record_life life;

    record_each(r, see, r);
    record_life(r, &life);
    expect(life.ended == record_ended(r, &end));
    expect(life.idle_ended == record_idle_ended(r, NULL));
    expect(life.birth == record_birth(r) && life.birth <= r->newest);
    expect(life.max_inactive == record_number(r, FIELD_MAX_INACTIVE));
    expect(!life.ended || record_is_whole(r));
}

static struct record *merged(struct record *a, struct record *b)
{
    struct record *m = record_merge(a, b), *other = record_merge(b, a);
    expect(record_equal(m, other));
    record_unref(&other);
    other = record_merge(m, a);
    expect(record_equal(m, other));
    record_unref(&other);
    expect_canonical(m);
    return m;
}

/* A request changes it, another ends it. */
static void change(struct record *r)
{
    static const struct value x = {.type = VALUE_STRING, .data = "x", .len = 1};
    struct changes c;

    changes_init(&c);
    changes_add(&c, key_name("a", 1), -3);
    changes_set(&c, key_name("b", 1), &x);
    changes_remove(&c, key_name("c", 1));
    struct record *delta = record_delta(r, &c, 1700000000000, 5);
    changes_release(&c);
    expect(delta != NULL);
    expect_canonical(delta);
    struct record *m = merged(r, delta);
    read_all(m);
    record_unref(&m);
    record_unref(&delta);
    delta = record_end_delta(r, REASON_LOGOUT, NULL, 1700000000000, 5);
    m = merged(r, delta);
    expect(record_ended(m, NULL));
    record_unref(&m);
    record_unref(&delta);
}

static void join(struct record *a, struct record *b)
{
    struct record *moved = record_rekey(b, record_id(a));
    struct record *m;

    if (record_kind(a) == record_kind(b)) {
        m = merged(a, moved);
        read_all(m);
        record_unref(&m);
    }
    record_unref(&moved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pack_reader reader = {data, data + size};
    struct record *a = NULL, *b = NULL;
    struct err err;
    size_t first = size;

    if (pack_skip(&reader))
        first = size - (size_t)(reader.end - reader.p);
    if (record_decode(data, first, &a, &err) != RC_OK)
        return 0;
    expect_canonical(a);
    read_all(a);
    struct record *m = record_merge(a, a);
    expect(record_equal(m, a));
    record_unref(&m);
    change(a);
    if (record_decode(data + first, size - first, &b, &err) == RC_OK)
        join(a, b);
    record_unref(&b);
    record_unref(&a);
    return 0;
}
