/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes from outside: what a newer version wrote is kept, what is no record
 * is refused, and what is decoded is in the one canonical form. */
#include "config.h"

#include "session/record_impl.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t id[ID_SIZE] = "0123456789abcde";
enum { BORN = 1000, A = 7, B = 3 }; /* nodes, not in order */

static struct value get(const struct record *r, const char *name)
{
    return record_attribute(r, name, strlen(name));
}

static void set(struct record **r, const char *name, struct value v,
                int64_t now, uint64_t node)
{
    record_take(r, delta_set(*r, name, v, now, node));
}

/* A record of every type of value, fields among them. */
static struct record *full(void)
{
    struct changes c;
    struct value v = value_text("red");

    changes_init(&c);
    changes_set(&c, key_text("string"), &v);
    changes_set(&c, key_field(FIELD_USER), &v);
    v.type = VALUE_BYTES;
    changes_set(&c, key_text("bytes"), &v);
    v = (struct value){.type = VALUE_DOUBLE, .real = -0.25};
    changes_set(&c, key_text("double"), &v);
    v = (struct value){.type = VALUE_BOOL, .truth = true};
    changes_set(&c, key_text("bool"), &v);
    v = value_number(VALUE_COUNTER, 70000);
    changes_set(&c, key_text("counter"), &v);
    v.type = VALUE_INT;
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &v);
    changes_add(&c, key_text("hits"), 5);
    changes_remove(&c, key_text("gone"));
    struct record *r = record_new(RECORD_SESSION, id, BORN, &c, A);
    changes_release(&c);
    record_take(&r, delta_add(r, "counter", 4, 2000, B));
    return r;
}

static void newer_versions_fields_survive(void)
{
    static const uint64_t nodes[] = {1, 2};
    struct raw raw;
    struct record *r = NULL;

    raw_init(&raw);
    raw_field(&raw, 9, 200, 10, 0);
    pack_array(&raw.row, 2);
    pack_str(&raw.row, "deep", 4);
    pack_array(&raw.row, 0);
    raw_field(&raw, INT32_MAX, VALUE_STRING, 11, 1);
    pack_str(&raw.row, "later", 5);
    raw_name(&raw, "new type", 8, 12, 1);
    pack_raw(&raw.row, "\xd6\x05wxyz", 6);
    CHECK_INT_FATAL(raw_decode(&raw, &r, 0, true, id, BORN, nodes, 2), RC_OK);
    CU_ASSERT(record_is_canonical(r));
    struct record *before = record_ref(r);
    set(&r, "a", value_text("x"), 5000, A);
    record_take(&r, delta_remove(r, "a", 6000, A));
    struct record *lost = delta_set(before, "new type", value_text("o"), 0, A);
    CHECK_INT(get(r, "new type").type, VALUE_NONE); /* but it is there: */
    CU_ASSERT(memmem(r->bytes, r->len, "\xd6\x05wxyz", 6) != NULL);
    CU_ASSERT(memmem(r->bytes, r->len,
                     "\x92\xa4"
                     "deep\x90",
                     7) != NULL);
    CU_ASSERT(value_is_text(record_get(r, key_field(INT32_MAX)), "later"));
    record_take(&r, lost); /* merged by its stamp like any other */
    CU_ASSERT(value_is_text(get(r, "new type"), "o"));
    CU_ASSERT(memmem(r->bytes, r->len, "\xd6\x05wxyz", 6) == NULL);
    record_unref(&before);
    record_unref(&r);
}

static void other_forms_become_canonical(void)
{
    static const uint64_t nodes[] = {1, 2, 3};
    struct raw raw;
    struct record *r = NULL;

    raw_init(&raw);
    pack_raw(&raw.row, "\xcd\x00\x03\xcc\x03\xd1\x00\x01\xcc\x01", 10);
    pack_raw(&raw.row, "\xcd\x07\x08", 3);
    raw.count++;
    CHECK_INT_FATAL(raw_decode(&raw, &r, 0, true, id, BORN, nodes, 3), RC_OK);
    CHECK_INT(record_number(r, FIELD_MAX_INACTIVE), 1800);
    CHECK_INT(r->newest, BORN + 1);
    CU_ASSERT(record_is_canonical(r));
    CHECK_INT(r->bytes[RECORD_BIRTH_AT + 3], 0xc4);
    CHECK_INT(r->bytes[RECORD_BIRTH_AT + 4], 8); /* of three nodes the one */
    record_unref(&r);
}

/* What every rule of the form refuses: one register, written by hand. */
struct refused {
    const char *why, *row;
    size_t len;
};
#define ROW(why, bytes)                                                        \
    {                                                                          \
        why, bytes, sizeof bytes - 1                                           \
    }

static void wrong_registers_are_refused(void)
{
    static const uint64_t nodes[] = {1, 2};
    static const struct refused rows[] = {
        ROW("key of another type", "\xc0\x03\x00\x00\x01"),
        ROW("field below 0", "\xff\x03\x00\x00\x01"),
        ROW("field over int32", "\xce\x80\x00\x00\x00\x03\x00\x00\x01"),
        ROW("name of no bytes", "\xa0\x03\x00\x00\x01"),
        ROW("type is no number", "\xa1k\xc0\x00\x00\x01"),
        ROW("type over 255", "\xa1k\xcd\x01\x00\x00\x00\x01"),
        ROW("time without node", "\xa1k\x03\x00\xc0\x01"),
        ROW("node without time", "\xa1k\x03\xc0\x00\x01"),
        ROW("era 0 of no counter", "\xa1k\x03\xc0\xc0\x01"),
        ROW("era 0 removed", "\xa1k\x00\xc0\xc0\xc0"),
        ROW("node out of range", "\xa1k\x03\x00\x02\x01"),
        ROW("node below 0", "\xa1k\x03\x00\xff\x01"),
        ROW("time before 1970", "\xa1k\x03\xd1\xfc\x17\x00\x01"),
        ROW("string that is a number", "\xa1k\x01\x00\x00\x01"),
        ROW("bytes that are a string", "\xa1k\x02\x00\x00\xa1x"),
        ROW("number that is a string", "\xa1k\x03\x00\x00\xa1x"),
        ROW("number over int64",
            "\xa1k\x03\x00\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x00"),
        ROW("double that is a number", "\xa1k\x04\x00\x00\x01"),
        ROW("truth that is a number", "\xa1k\x05\x00\x00\x01"),
        ROW("removed with a value", "\xa1k\x00\x00\x00\x01"),
        ROW("counter that is a number", "\xa1k\x06\x00\x00\x01"),
        ROW("counter without base", "\xa1k\x06\x00\x00\x90"),
        ROW("counter with half a slot", "\xa1k\x06\x00\x00\x93\x00\x00\x00"),
        ROW("slot's node out of range",
            "\xa1k\x06\x00\x00\x94\x00\x02\x00\x00"),
        ROW("slot's node below 0", "\xa1k\x06\x00\x00\x94\x00\xff\x00\x00"),
        ROW("slot below 0", "\xa1k\x06\x00\x00\x94\x00\x00\xff\x00"),
        ROW("slot's minus below 0", "\xa1k\x06\x00\x00\x94\x00\x00\x00\xff"),
        ROW("slot of text", "\xa1k\x06\x00\x00\x94\x00\x00\x00\xa0"),
        ROW("slot twice", "\xa1k\x06\x00\x00\x97\x00\x01\x00\x00\x01\x00\x00"),
        ROW("slots not sorted",
            "\xa1k\x06\x00\x00\x97\x00\x01\x00\x00\x00\x00\x00"),
        ROW("end of another type", "\x00\x03\x00\x00\x01"),
        ROW("end elsewhere", "\x02\x07\x00\x00\x92\x05\xc0"),
        ROW("attribute of type end", "\xa1k\x07\x00\x00\x92\x05\xc0"),
        ROW("end of a reason below 0", "\x00\x07\x00\x00\x92\xff\xc0"),
        ROW("end without new id", "\x00\x07\x00\x00\x91\x05"),
        ROW("renamed to nothing", "\x00\x07\x00\x00\x92\x0a\xc0"),
        ROW("renamed to half an id", "\x00\x07\x00\x00\x92\x0a\xc4\x01x"),
        ROW("logged out to an id", "\x00\x07\x00\x00\x92\x05\xc4\x10"
                                   "0123456789abcdef"),
        ROW("idle end that is no number", "\x01\x01\x00\x00\xa1x"),
        ROW("idle end removed", "\x01\x00\x00\x00\xc0"),
        ROW("idle end before 1970", "\x01\x03\x00\x00\xff"),
        ROW("idle end that overflows",
            "\x01\x03\x00\x00\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ROW("value that ends early", "\xa1k\x09\x00\x00\x92\x01"),
        ROW("no MessagePack", "\xa1k\x09\x00\x00\xc1"),
        ROW("too much", "\xa1k\x03\x00\x00\x01\x01"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct record *r = NULL;
        struct raw raw;
        raw_init(&raw);
        pack_raw(&raw.row, rows[i].row, rows[i].len);
        raw.count = 1;
        enum rc rc = raw_decode(&raw, &r, 0, true, id, BORN, nodes, 2);
        if (rc != RC_INVALID) {
            printf("not refused: %s\n", rows[i].why);
            record_unref(&r);
        }
        CHECK_INT(rc, RC_INVALID);
    }
}

static enum rc decode_two(const char *first, const char *second)
{
    static const uint64_t nodes[] = {1};
    struct record *r = NULL;
    struct raw raw;

    raw_init(&raw);
    raw_name(&raw, first, VALUE_INT, 0, 0);
    pack_int(&raw.row, 1);
    raw_name(&raw, second, VALUE_INT, 0, 0);
    pack_int(&raw.row, 1);
    enum rc rc = raw_decode(&raw, &r, 0, true, id, BORN, nodes, 1);
    record_unref(&r);
    return rc;
}

static void wrong_heads_are_refused(void)
{
    static const uint64_t twice[] = {1, 1}, falling[] = {2, 1};
    struct record *r = NULL;
    struct err err = {""};
    struct raw raw;

    CHECK_INT(decode_two("a", "b"), RC_OK);
    CHECK_INT(decode_two("b", "a"), RC_INVALID);
    CHECK_INT(decode_two("a", "a"), RC_INVALID);
    raw_init(&raw);
    CHECK_INT(raw_decode(&raw, &r, 0, true, id, BORN, twice, 2), RC_INVALID);
    raw_init(&raw);
    CHECK_INT(raw_decode(&raw, &r, 0, true, id, BORN, falling, 2), RC_INVALID);
    raw_init(&raw);
    CHECK_INT(raw_decode(&raw, &r, 101, true, id, BORN, NULL, 0), RC_INVALID);
    raw_init(&raw);
    CHECK_INT(raw_decode(&raw, &r, 0, true, id, -1, NULL, 0), RC_INVALID);
    raw_init(&raw);
    CHECK_INT(raw_decode(&raw, &r, 0, true, id, RECORD_TIME_MAX + 1, NULL, 0),
              RC_INVALID);
    CHECK_INT(record_decode("\x97\x02...", 5, &r, &err), RC_UNSUPPORTED);
    CU_ASSERT(strstr(err.text, "format 2") != NULL);
    CHECK_INT(record_decode("\x98\x03", 3, &r, &err), RC_UNSUPPORTED);
    CHECK_INT(record_decode("", 0, &r, &err), RC_INVALID);
    CHECK_INT(record_decode(NULL, 0, &r, NULL), RC_INVALID);
    CU_ASSERT_PTR_NULL(r);
}

static void tombstone_with_more_is_refused(void)
{
    static const uint64_t nodes[] = {1};
    struct record *r = NULL;
    struct raw raw;

    for (int more = 0; more < 2; more++) {
        raw_init(&raw);
        raw_field(&raw, FIELD_END, TYPE_END, 5, 0);
        pack_raw(&raw.row, "\x92\x05\xc0", 3);
        if (more) {
            raw_name(&raw, "a", VALUE_INT, 5, 0);
            pack_int(&raw.row, 1);
        }
        CHECK_INT(raw_decode(&raw, &r, 0, false, id, BORN, nodes, 1),
                  more ? RC_INVALID : RC_OK);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT(record_is_whole(r)); /* nothing is missing from an end */
    record_unref(&r);
}

static void unknown_reasons_are_kept(void)
{
    static const uint64_t nodes[] = {1};
    struct record *r = NULL;
    struct record_end end;
    struct raw raw;

    raw_init(&raw);
    raw_field(&raw, FIELD_END, TYPE_END, 5, 0);
    pack_raw(&raw.row, "\x92\x63\xc0", 3);
    CHECK_INT_FATAL(raw_decode(&raw, &r, 0, true, id, BORN, nodes, 1), RC_OK);
    CU_ASSERT(record_ended(r, &end));
    CHECK_INT(end.reason, 99);
    CHECK_STR(reason_text(end.reason), "unknown");
    record_unref(&r);
}

/* Cut short anywhere, or with any one byte changed: refused, or a record. */
static void damaged_bytes_are_refused_or_read(void)
{
    struct record *r = full(), *x = NULL;
    unsigned refused = 0;

    for (size_t cut = 0; cut < r->len; cut++) {
        uint8_t *copy = mem_alloc(cut + 1);
        memcpy(copy, r->bytes, cut);
        copy = mem_resize(copy, cut ? cut : 1);
        CHECK_INT(record_decode(copy, cut, &x, NULL), RC_INVALID);
        free(copy);
    }
    for (size_t at = 0; at < r->len; at++)
        for (int by = 1; by < 256; by += 5) {
            r->bytes[at] ^= (uint8_t)by;
            enum rc rc = record_decode(r->bytes, r->len, &x, NULL);
            CU_ASSERT(rc != RC_OK || record_is_canonical(x));
            refused += rc != RC_OK;
            record_unref(&x);
            r->bytes[at] ^= (uint8_t)by;
        }
    CU_ASSERT(refused > 1000);
    record_unref(&r);
}

/* Whoever makes it up does not have it walked through, either. */
static void a_giant_is_refused_unread(void)
{
    struct record *r = full(), *x = NULL;
    size_t len = RECORD_MAX_BYTES + 1;
    uint8_t *bytes = mem_zero(len);
    struct err err = {""};

    memcpy(bytes, r->bytes, r->len);
    CHECK_INT(record_decode(bytes, len, &x, &err), RC_INVALID);
    CHECK_STR(err.text, "a record of 16777217 bytes");
    free(bytes);
    record_unref(&r);
}

/* Nor what would be one in our form, which has a longer header of nodes. */
static void what_becomes_a_giant_is_refused(void)
{
    enum { NODES = 32, AROUND = 405 };
    uint64_t nodes[NODES];
    char *text = mem_zero(RECORD_MAX_BYTES);

    for (size_t by = 0; by < 2; by++) {
        struct record *r = NULL;
        struct raw raw;
        raw_init(&raw);
        raw_name(&raw, "big", VALUE_STRING, 0, 0);
        pack_str(&raw.row, text, RECORD_MAX_BYTES - AROUND - 2 * by);
        raw_name(&raw, "hits", VALUE_COUNTER, 0, -1);
        pack_array(&raw.row, 1 + 3 * NODES);
        pack_int(&raw.row, 0);
        for (size_t i = 0; i < NODES; i++) {
            nodes[i] = i + 1;
            pack_raw(&raw.row, (uint8_t[]){(uint8_t)i, 1, 0}, 3);
        }
        enum rc rc = raw_decode(&raw, &r, 0, true, id, BORN, nodes, NODES);
        CHECK_INT(rc, by ? RC_OK : RC_INVALID);
        if (r)
            CHECK_INT(r->len, RECORD_MAX_BYTES);
        record_unref(&r);
    }
    free(text);
}

UNIT_MAIN("record_decode", CASE(newer_versions_fields_survive),
          CASE(other_forms_become_canonical), CASE(wrong_registers_are_refused),
          CASE(wrong_heads_are_refused), CASE(tombstone_with_more_is_refused),
          CASE(unknown_reasons_are_kept),
          CASE(damaged_bytes_are_refused_or_read),
          CASE(a_giant_is_refused_unread),
          CASE(what_becomes_a_giant_is_refused))
