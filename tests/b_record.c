/* SPDX-License-Identifier: Apache-2.0
 *
 * The record: its accessors, its delta, the eras and slots of counters step
 * by step, its ends, and what of bytes from outside is kept or refused. That
 * merges may come in any order is b_merge.c's matter. */
#include "config.h"

#include "session/record_impl.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t id[ID_SIZE] = "\x01\x02\x03\x04\x05\x06\x07\x08"
                                   "\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10";
static const uint8_t other_id[ID_SIZE] = "another id, 16b";
enum { BORN = 1000, A = 7, B = 3, C = 9 }; /* nodes, not in order */

static struct record *empty(void)
{
    struct changes c;
    changes_init(&c);
    struct record *r = record_new(RECORD_SESSION, id, BORN, &c, A);
    changes_release(&c);
    return r;
}

static struct value get(const struct record *r, const char *name)
{
    return record_attribute(r, name, strlen(name));
}

static void set(struct record **r, const char *name, struct value v,
                int64_t now, uint64_t node)
{
    record_take(r, delta_set(*r, name, v, now, node));
}

static void add(struct record **r, const char *name, int64_t amount,
                int64_t now, uint64_t node)
{
    record_take(r, delta_add(*r, name, amount, now, node));
}

#define IS_COUNTER(r, name, n)                                                 \
    CU_ASSERT(value_is(get(r, name), VALUE_COUNTER, n))

/* ---- accessors ---- */

static void new_record_says_who_it_is(void)
{
    struct record *r = empty();

    CU_ASSERT(id_equal(record_id(r), id));
    CHECK_INT(record_kind(r), RECORD_SESSION);
    CU_ASSERT(record_is_whole(r));
    CHECK_INT(record_birth(r), BORN);
    CU_ASSERT(!record_ended(r, NULL));
    CU_ASSERT(!record_idle_ended(r, NULL));
    CHECK_INT(get(r, "x").type, VALUE_NONE);
    CHECK_INT(record_number(r, FIELD_MAX_INACTIVE), 0);
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
    CU_ASSERT_PTR_NULL(r);
    record_unref(&r);
}

static void put_all_types(struct changes *c, const char *big, size_t len)
{
    struct value v = value_text("red");
    changes_set(c, key_text("string"), &v);
    v = value_text("");
    changes_set(c, key_text("empty"), &v);
    v = (struct value){.type = VALUE_STRING, .data = "a\0b", .len = 3};
    changes_set(c, key_text("zero"), &v);
    v = (struct value){.type = VALUE_BYTES, .data = "\0\xff", .len = 2};
    changes_set(c, key_text("bytes"), &v);
    v = (struct value){.type = VALUE_BYTES, .data = big, .len = len};
    changes_set(c, key_text("big"), &v);
    v = value_number(VALUE_INT, INT64_MIN);
    changes_set(c, key_text("int"), &v);
    v = (struct value){.type = VALUE_DOUBLE, .real = -0.25};
    changes_set(c, key_text("double"), &v);
    v = (struct value){.type = VALUE_BOOL, .truth = true};
    changes_set(c, key_text("bool"), &v);
    v = value_number(VALUE_COUNTER, INT64_MAX);
    changes_set(c, key_text("counter"), &v);
    v = value_text("kim");
    changes_set(c, key_field(FIELD_USER), &v);
    v = value_number(VALUE_INT, 1800);
    changes_set(c, key_field(FIELD_MAX_INACTIVE), &v);
}

static void check_all_types(const struct record *r, const char *big, size_t len)
{
    struct value v;
    CU_ASSERT(value_is_text(get(r, "string"), "red"));
    CU_ASSERT(value_is_text(get(r, "empty"), ""));
    v = get(r, "zero");
    CU_ASSERT(v.len == 3 && memcmp(v.data, "a\0b", 3) == 0);
    v = get(r, "bytes");
    CU_ASSERT(v.type == VALUE_BYTES && v.len == 2 &&
              memcmp(v.data, "\0\xff", 2) == 0);
    v = get(r, "big");
    CU_ASSERT(v.type == VALUE_BYTES && v.len == len &&
              memcmp(v.data, big, len) == 0);
    CU_ASSERT(value_is(get(r, "int"), VALUE_INT, INT64_MIN));
    v = get(r, "double");
    CU_ASSERT(v.type == VALUE_DOUBLE && v.real == -0.25);
    v = get(r, "bool");
    CU_ASSERT(v.type == VALUE_BOOL && v.truth);
    IS_COUNTER(r, "counter", INT64_MAX);
    CU_ASSERT(value_is_text(record_get(r, key_field(FIELD_USER)), "kim"));
    CHECK_INT(record_number(r, FIELD_MAX_INACTIVE), 1800);
    CHECK_INT(get(r, "strin").type, VALUE_NONE);
    CHECK_INT(get(r, "string ").type, VALUE_NONE);
}

static void holds_values_of_all_types(void)
{
    enum { BIG = 70000 };
    char *big = mem_alloc(BIG);
    struct changes c;
    struct record *again = NULL;

    for (int i = 0; i < BIG; i++)
        big[i] = (char)(i * 31);
    changes_init(&c);
    put_all_types(&c, big, BIG);
    struct record *r = record_new(RECORD_SESSION, id, BORN, &c, A);
    check_all_types(r, big, BIG);
    CU_ASSERT(record_is_canonical(r));
    CHECK_INT_FATAL(record_decode(r->bytes, r->len, &again, NULL), RC_OK);
    check_all_types(again, big, BIG);
    record_unref(&again);
    /* the same as a delta on an empty one */
    struct record *base = empty();
    struct record *delta = record_delta(base, &c, BORN + 5, B);
    CU_ASSERT(!record_is_whole(delta));
    record_take(&base, delta);
    CU_ASSERT(record_is_whole(base));
    check_all_types(base, big, BIG);
    record_unref(&base);
    record_unref(&r);
    changes_release(&c);
    free(big);
}

struct seen {
    char text[256];
    size_t len;
};

static void note(void *user, struct key key, const struct value *value,
                 int64_t stamp)
{
    struct seen *s = user;
    if (key.name)
        s->len += (size_t)snprintf(s->text + s->len, sizeof s->text - s->len,
                                   "%.*s", (int)key.len, key.name);
    else
        s->len += (size_t)snprintf(s->text + s->len, sizeof s->text - s->len,
                                   "%d", key.field);
    s->len += (size_t)snprintf(s->text + s->len, sizeof s->text - s->len,
                               ":%d@%d ", (int)value->type, (int)stamp);
}

static void each_goes_in_the_order_of_keys(void)
{
    struct record *r = empty();
    struct seen s = {.len = 0};

    set(&r, "b", value_number(VALUE_INT, 1), 2000, A);
    set(&r, "a", value_text("x"), 2100, B);
    set(&r, "gone", value_text("x"), 2200, B);
    CU_ASSERT_FALSE(record_removed(r, key_text("gone")));
    record_take(&r, delta_remove(r, "gone", 2300, A));
    CU_ASSERT(record_removed(r, key_text("gone")));
    CU_ASSERT_FALSE(record_removed(r, key_text("never")));
    add(&r, "ab", 4, 2400, C);
    struct changes c;
    struct value kim = value_text("kim");
    changes_init(&c);
    changes_set(&c, key_field(FIELD_USER), &kim);
    record_take(&r, record_delta(r, &c, 2500, A));
    changes_release(&c);
    record_each(r, note, &s);
    CHECK_STR(s.text, "2:1@2500 a:1@2100 ab:6@0 b:3@2000 ");
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
}

static void rekey_changes_the_id_only(void)
{
    struct record *r = empty();
    set(&r, "a", value_text("x"), 2000, A);
    struct record *moved = record_rekey(r, other_id);

    CU_ASSERT(id_equal(record_id(moved), other_id));
    CU_ASSERT(id_equal(record_id(r), id));
    CU_ASSERT(value_is_text(get(moved, "a"), "x"));
    CHECK_INT(moved->len, r->len);
    CHECK_INT(moved->newest, r->newest);
    CU_ASSERT(!record_equal(moved, r));
    CU_ASSERT(record_is_canonical(moved));
    struct record *back = record_rekey(moved, id);
    CU_ASSERT(record_equal(back, r));
    record_unref(&back);
    /* changes of a request that was attached before, under the new id */
    struct record *late = delta_set(r, "late", value_text("y"), 2100, B);
    record_take(&moved, record_rekey(late, other_id));
    CU_ASSERT(value_is_text(get(moved, "late"), "y"));
    record_unref(&late);
    record_unref(&moved);
    record_unref(&r);
}

static void life_is_read_in_one_pass(void)
{
    struct record_life life;
    struct record *r = empty();
    struct changes c;
    struct value v = value_number(VALUE_INT, 600);

    record_life(r, &life);
    CU_ASSERT(!life.ended && !life.idle_ended && life.birth == BORN &&
              life.max_inactive == 0 && life.max_lifetime == 0);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &v);
    v.number = 7200;
    changes_set(&c, key_field(FIELD_MAX_LIFETIME), &v);
    v.number = 4321;
    changes_set(&c, key_field(FIELD_IDLE_END), &v);
    v = value_number(VALUE_INT, 5);
    changes_set(&c, key_text("a"), &v);
    record_take(&r, record_delta(r, &c, 2000, A));
    changes_release(&c);
    record_life(r, &life);
    CU_ASSERT(!life.ended && life.idle_ended && life.idle_access == 4321 &&
              life.max_inactive == 600 && life.max_lifetime == 7200);
    record_take(&r, record_end_delta(r, REASON_LOGOUT, NULL, 3000, A));
    record_life(r, &life);
    CU_ASSERT(life.ended && !life.idle_ended && life.birth == BORN);
    record_unref(&r);
}

/* ---- stamps ---- */

static void stamps_only_rise(void)
{
    struct record *r = empty();

    set(&r, "a", value_text("1"), 5000, A);
    CHECK_INT(r->newest, 5000);
    set(&r, "a", value_text("2"), 4000, B); /* a clock that is behind */
    CHECK_INT(r->newest, 5001);
    CU_ASSERT(value_is_text(get(r, "a"), "2"));
    set(&r, "b", value_text("3"), 5001, A);
    CHECK_INT(r->newest, 5002);
    set(&r, "a", value_text("4"), 9000, B);
    CHECK_INT(r->newest, 9000);
    record_unref(&r);
}

static void higher_stamp_wins_then_node(void)
{
    struct record *r = empty();
    struct record *a = delta_set(r, "k", value_text("a"), 5000, A);
    struct record *b = delta_set(r, "k", value_text("b"), 5000, B);
    struct record *late = delta_remove(r, "k", 4000, C);

    struct record *ab = record_merge(a, b), *ba = record_merge(b, a);
    CU_ASSERT(record_equal(ab, ba));
    CU_ASSERT(value_is_text(get(ab, "k"), "a")); /* node 7 over node 3 */
    record_take(&ab, record_ref(late));
    CU_ASSERT(value_is_text(get(ab, "k"), "a"));
    record_take(&r, late);
    record_take(&r, b);
    CU_ASSERT(value_is_text(get(r, "k"), "b"));
    record_take(&r, delta_remove(r, "k", 4000, B));
    CHECK_INT(get(r, "k").type, VALUE_NONE);
    record_take(&r, a);
    CHECK_INT(get(r, "k").type, VALUE_NONE); /* 5001 over 5000 */
    record_unref(&r);
    record_unref(&ab);
    record_unref(&ba);
}

static void stamps_have_a_ceiling(void)
{
    struct raw raw;
    struct record *r = NULL;
    uint64_t node = A;

    raw_init(&raw);
    raw_name(&raw, "a", VALUE_INT, RECORD_TIME_MAX - BORN, 0);
    pack_int(&raw.row, 1);
    CHECK_INT_FATAL(raw_decode(&raw, &r, 0, true, id, BORN, &node, 1), RC_OK);
    for (int i = 0; i < 3; i++)
        set(&r, "b", value_text("x"), 2000, B);
    CU_ASSERT(value_is_text(get(r, "b"), "x"));
    CHECK_INT(r->newest, RECORD_TIME_MAX);
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
    raw_init(&raw);
    raw_name(&raw, "a", VALUE_INT, RECORD_TIME_MAX - BORN + 1, 0);
    pack_int(&raw.row, 1);
    CHECK_INT(raw_decode(&raw, &r, 0, true, id, BORN, &node, 1), RC_INVALID);
}

/* A stamp that is lawful beside its birth stays so beside an earlier one. */
static void births_and_stamps_far_apart_merge(void)
{
    struct raw raw;
    struct record *a = NULL, *b = NULL;
    uint64_t node = A;

    raw_init(&raw);
    raw_name(&raw, "a", VALUE_INT, 0, 0);
    pack_int(&raw.row, 1);
    CHECK_INT_FATAL(
        raw_decode(&raw, &a, 0, true, id, RECORD_TIME_MAX, &node, 1), RC_OK);
    raw_init(&raw);
    CHECK_INT_FATAL(raw_decode(&raw, &b, 0, false, id, 0, NULL, 0), RC_OK);
    record_take(&a, b);
    CHECK_INT(record_birth(a), 0);
    CHECK_INT(a->newest, RECORD_TIME_MAX);
    CU_ASSERT(value_is(get(a, "a"), VALUE_INT, 1));
    CU_ASSERT(record_is_canonical(a));
    record_unref(&a);
}

static void no_changes_no_delta(void)
{
    struct record *r = empty();
    struct changes c;

    changes_init(&c);
    CU_ASSERT_PTR_NULL(record_delta(r, &c, 5000, A));
    set(&r, "s", value_text("x"), 2000, A);
    changes_add(&c, key_text("s"), 1); /* all that there was falls away */
    CU_ASSERT_PTR_NULL(record_delta(r, &c, 5000, A));
    changes_release(&c);
    record_unref(&r);
}

/* ---- counters ---- */

static void counter_never_set_adds_up(void)
{
    struct record *r = empty();

    add(&r, "n", 1, 2000, A);
    IS_COUNTER(r, "n", 1);
    CHECK_INT(r->newest, BORN); /* era 0 has no stamp */
    add(&r, "n", 10, 2100, B);
    add(&r, "n", 100, 2200, A);
    IS_COUNTER(r, "n", 111);
    add(&r, "n", -200, 2300, C);
    IS_COUNTER(r, "n", -89);
    add(&r, "n", 0, 2300, C);
    IS_COUNTER(r, "n", -89);
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
}

/* Two nodes add at once to what neither has heard of from the other. */
static void concurrent_adds_all_count(void)
{
    struct record *base = empty();
    struct record *a = record_ref(base), *b = record_ref(base);

    for (int i = 0; i < 10; i++) {
        add(&a, "n", 1, 2000, A);
        add(&b, "n", -3, 2000, B);
    }
    struct record *ab = record_merge(a, b);
    IS_COUNTER(ab, "n", -20);
    record_take(&ab, record_ref(a)); /* again: counts once */
    IS_COUNTER(ab, "n", -20);
    add(&ab, "n", 5, 2000, A); /* continues A's slot */
    record_take(&ab, b);
    record_take(&ab, a);
    IS_COUNTER(ab, "n", -15);
    record_unref(&ab);
    record_unref(&base);
}

/* A restarted node has a new number, so what its old slot says stays. */
static void slots_are_never_folded(void)
{
    struct record *r = empty();
    for (uint64_t node = 1; node <= 100; node++)
        add(&r, "n", (int64_t)node, 2000, node);
    IS_COUNTER(r, "n", 5050);
    CU_ASSERT(record_is_canonical(r)); /* beyond 31 nodes, and 85 x 3 > 255 */
    struct record *again = NULL;
    CHECK_INT_FATAL(record_decode(r->bytes, r->len, &again, NULL), RC_OK);
    add(&again, "n", 1, 2000, 50);
    IS_COUNTER(again, "n", 5051);
    record_unref(&again);
    record_unref(&r);
}

static void set_begins_a_new_era(void)
{
    struct record *r = empty();

    add(&r, "n", 5, 2000, A);
    struct record *before = record_ref(r);
    set(&r, "n", value_number(VALUE_COUNTER, 100), 3000, A);
    IS_COUNTER(r, "n", 100);
    /* an add that was made concurrently to the era before falls away */
    struct record *late = delta_add(before, "n", 7, 4000, B);
    record_take(&r, record_ref(late));
    IS_COUNTER(r, "n", 100);
    add(&r, "n", 3, 4000, B);
    add(&r, "n", -1, 4000, A);
    IS_COUNTER(r, "n", 102);
    /* of the new era the first thing heard is an add: it brings the base */
    struct record *delta = delta_add(r, "n", 1, 5000, C);
    record_take(&before, record_ref(delta));
    IS_COUNTER(before, "n", 101);
    record_take(&before, r);
    IS_COUNTER(before, "n", 103);
    record_unref(&before);
    record_unref(&late);
    record_unref(&delta);
}

static void concurrent_set_beats_add(void)
{
    struct record *r = empty();
    set(&r, "n", value_number(VALUE_COUNTER, 10), 2000, A);
    struct record *plus = delta_add(r, "n", 1, 9000, B);
    struct record *again =
        delta_set(r, "n", value_number(VALUE_COUNTER, 50), 3000, A);
    struct record *text = delta_set(r, "n", value_text("x"), 3001, C);

    record_take(&r, record_ref(plus));
    IS_COUNTER(r, "n", 11);
    record_take(&r, again); /* though its clock says earlier than the add */
    IS_COUNTER(r, "n", 50);
    record_take(&r, text);
    CU_ASSERT(value_is_text(get(r, "n"), "x"));
    record_take(&r, plus);
    CU_ASSERT(value_is_text(get(r, "n"), "x"));
    CU_ASSERT_PTR_NULL(delta_add(r, "n", 1, 9000, B));
    record_unref(&r);
}

static void add_after_remove_begins_at_0(void)
{
    struct record *r = empty();

    add(&r, "n", 5, 2000, A);
    record_take(&r, delta_remove(r, "n", 3000, A));
    CHECK_INT(get(r, "n").type, VALUE_NONE);
    struct record *removed = record_ref(r);
    struct record *one = delta_add(r, "n", 1, 4000, A);
    struct record *two = delta_add(r, "n", 2, 4000, B);
    record_take(&r, record_ref(one));
    IS_COUNTER(r, "n", 1); /* A's slot of the era before is not continued */
    record_take(&r, two);
    IS_COUNTER(r, "n", 3);
    record_take(&r, removed); /* the removal comes late: same era */
    IS_COUNTER(r, "n", 3);
    record_take(&r, one);
    IS_COUNTER(r, "n", 3);
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
}

static void new_record_may_begin_with_adds(void)
{
    struct changes c;
    struct value v = value_number(VALUE_COUNTER, 7);

    changes_init(&c);
    changes_add(&c, key_text("n"), 4);
    changes_set(&c, key_text("m"), &v);
    changes_add(&c, key_text("m"), 1);
    struct record *r = record_new(RECORD_SESSION, id, BORN, &c, A);
    IS_COUNTER(r, "n", 4);
    IS_COUNTER(r, "m", 8);
    add(&r, "n", 1, 2000, A);
    IS_COUNTER(r, "n", 5);
    record_unref(&r);
    changes_release(&c);
}

static void large_amounts_wrap_as_int64(void)
{
    struct record *r = empty();
    add(&r, "n", INT64_MAX, 2000, A);
    add(&r, "n", 1, 2000, B);
    IS_COUNTER(r, "n", INT64_MIN);
    add(&r, "n", INT64_MIN, 2000, A);
    IS_COUNTER(r, "n", 0);
    set(&r, "m", value_number(VALUE_COUNTER, INT64_MIN), 2000, A);
    IS_COUNTER(r, "m", INT64_MIN);
    add(&r, "m", -1, 2000, A);
    IS_COUNTER(r, "m", INT64_MAX);
    record_unref(&r);
}

/* ---- ends ---- */

static void decided_end_leaves_a_tombstone(void)
{
    struct record *r = empty();
    struct record_end end;

    set(&r, "a", value_text("x"), 5000, A);
    struct record *change = delta_set(r, "a", value_text("y"), 9000, B);
    record_take(&r, record_end_delta(r, REASON_LOGOUT, NULL, 6000, A));
    CU_ASSERT(record_ended(r, &end));
    CHECK_INT(end.reason, REASON_LOGOUT);
    CHECK_INT(get(r, "a").type, VALUE_NONE);
    struct record *before = record_ref(r);
    record_take(&r, change); /* later, and yet */
    CU_ASSERT(record_equal(r, before));
    CU_ASSERT(record_is_whole(r));
    CU_ASSERT(record_is_canonical(r));
    CU_ASSERT(r->len < 60);
    record_unref(&before);
    record_unref(&r);
}

static void earlier_decided_end_stays(void)
{
    struct record *r = empty();
    struct record_end end;
    struct record *late = record_end_delta(r, REASON_ADMIN, NULL, 6001, A);
    struct record *early = record_end_delta(r, REASON_LOGOUT, NULL, 6000, C);

    struct record *x = record_merge(late, early);
    struct record *y = record_merge(early, late);
    CU_ASSERT(record_equal(x, y));
    CU_ASSERT(record_ended(x, &end));
    CHECK_INT(end.reason, REASON_LOGOUT);
    record_unref(&x);
    record_unref(&y);
    record_unref(&late);
    record_unref(&early);
    record_unref(&r);
}

static void renamed_end_names_the_new_id(void)
{
    struct record *r = empty();
    struct record_end end;

    record_take(&r, record_end_delta(r, REASON_RENAMED, other_id, 6000, A));
    CU_ASSERT(record_ended(r, &end));
    CHECK_INT(end.reason, REASON_RENAMED);
    CU_ASSERT(id_equal(end.new_id, other_id));
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
}

static struct record *idle_end(const struct record *base, int64_t access,
                               int64_t now, uint64_t node)
{
    struct changes c;
    struct value v = value_number(VALUE_INT, access);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_IDLE_END), &v);
    struct record *delta = record_delta(base, &c, now, node);
    changes_release(&c);
    return delta;
}

static void later_access_of_idle_ends_stays(void)
{
    struct record *r = empty();
    int64_t access = 0;

    set(&r, "a", value_text("x"), 2000, A);
    struct record *early = idle_end(r, 2500, 9000, A); /* the later stamp */
    struct record *late = idle_end(r, 2600, 8000, B);
    record_take(&r, late);
    record_take(&r, early);
    CU_ASSERT(record_idle_ended(r, &access));
    CHECK_INT(access, 2600);
    CU_ASSERT(!record_ended(r, NULL)); /* conditional: nothing is gone */
    CU_ASSERT(value_is_text(get(r, "a"), "x"));
    record_take(&r, record_end_delta(r, REASON_IDLE, NULL, 9500, A));
    CU_ASSERT(record_ended(r, NULL) && !record_idle_ended(r, NULL));
    record_unref(&r);
}

/* ---- users' records ---- */

/* "0000", "0001", ... */
static void names_init(struct changes *c, int count)
{
    struct value v = value_number(VALUE_INT, 0);
    char name[24];

    changes_init(c);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%04d", i);
        changes_set(c, key_text(name), &v);
    }
}

static void user_record_keeps_the_newest(void)
{
    struct changes c;
    struct value v = value_number(VALUE_INT, 0);
    char name[24];

    names_init(&c, 600);
    struct record *r = record_new(RECORD_USER, id, BORN, &c, A);
    changes_release(&c);
    for (int i = 600; i < 1200; i++) {
        snprintf(name, sizeof name, "%04d", i);
        set(&r, name, v, 2000 + i, A);
    }
    /* of the first 600, all of one stamp, those with the smallest names */
    CHECK_INT(get(r, "0399").type, VALUE_INT);
    CHECK_INT(get(r, "0400").type, VALUE_NONE);
    CHECK_INT(get(r, "0600").type, VALUE_INT);
    CHECK_INT(get(r, "1199").type, VALUE_INT);
    CU_ASSERT(record_is_canonical(r));
    record_unref(&r);
}

/* However many it is born with or decoded with. */
static void user_record_is_cut_at_once(void)
{
    struct changes c;

    names_init(&c, 1005);
    struct record *user = record_new(RECORD_USER, id, BORN, &c, A);
    struct record *session = record_new(RECORD_SESSION, id, BORN, &c, A);
    struct record *decoded = NULL;
    CHECK_INT(get(user, "0999").type, VALUE_INT);
    CHECK_INT(get(user, "1000").type, VALUE_NONE);
    CHECK_INT(get(session, "1004").type, VALUE_INT);
    session->bytes[2] = RECORD_USER;
    CHECK_INT_FATAL(record_decode(session->bytes, session->len, &decoded, NULL),
                    RC_OK);
    CU_ASSERT(record_equal(user, decoded));
    record_unref(&decoded);
    record_unref(&session);
    record_unref(&user);
    changes_release(&c);
}

/* ---- others ---- */

static void check_others(const struct record *r, uint64_t node, int64_t newest,
                         int64_t added)
{
    struct record_others o;

    record_others(r, node, &o);
    CHECK_INT(o.newest, newest);
    CHECK_INT(o.added, added);
}

static void others_have_got_so_far(void)
{
    struct record *r = empty();

    check_others(r, A, 0, 0);
    set(&r, "x", value_number(VALUE_INT, 1), 2000, A);
    add(&r, "n", 4, 2001, A);
    add(&r, "n", 2, 2002, A);
    check_others(r, A, 0, 0);
    check_others(r, B, 2000, 6);
    add(&r, "n", -1, 2003, B);
    set(&r, "y", value_number(VALUE_INT, 2), 2004, C);
    check_others(r, A, 2004, 1);
    check_others(r, B, 2004, 6);
    /* a removal is a write; what was written over is no more */
    record_take(&r, delta_remove(r, "y", 2005, A));
    check_others(r, B, 2005, 6);
    check_others(r, A, 0, 1);
    record_unref(&r);
}

UNIT_MAIN("record", CASE(new_record_says_who_it_is),
          CASE(holds_values_of_all_types), CASE(each_goes_in_the_order_of_keys),
          CASE(rekey_changes_the_id_only), CASE(life_is_read_in_one_pass),
          CASE(stamps_only_rise), CASE(higher_stamp_wins_then_node),
          CASE(stamps_have_a_ceiling), CASE(births_and_stamps_far_apart_merge),
          CASE(no_changes_no_delta), CASE(counter_never_set_adds_up),
          CASE(concurrent_adds_all_count), CASE(slots_are_never_folded),
          CASE(set_begins_a_new_era), CASE(concurrent_set_beats_add),
          CASE(add_after_remove_begins_at_0),
          CASE(new_record_may_begin_with_adds),
          CASE(large_amounts_wrap_as_int64),
          CASE(decided_end_leaves_a_tombstone), CASE(earlier_decided_end_stays),
          CASE(renamed_end_names_the_new_id),
          CASE(later_access_of_idle_ends_stays),
          CASE(user_record_keeps_the_newest), CASE(user_record_is_cut_at_once),
          CASE(others_have_got_so_far))
