/* SPDX-License-Identifier: Apache-2.0
 *
 * The changes of a request: one entry per key, the last word on it, and
 * memory that stays until the end. */
#include "config.h"

#include "session/changes.h"

#include "tests/records.h"
#include "tests/unit.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct key color = {.name = "color", .len = 5};

static size_t entries(const struct changes *c)
{
    size_t count = 0;
    for (const struct change *x = c->first; x; x = x->next)
        count++;
    return count;
}

static void last_word_wins(void)
{
    struct value red = value_text("red"), blue = value_text("blue");
    struct changes c;

    changes_init(&c);
    CU_ASSERT(changes_empty(&c));
    CU_ASSERT_PTR_NULL(changes_find(&c, color));
    changes_set(&c, color, &red);
    changes_set(&c, color, &blue);
    CHECK_INT(entries(&c), 1);
    struct change *x = changes_find(&c, color);
    CHECK_INT_FATAL(x->kind, CHANGE_SET);
    CU_ASSERT(value_is_text(x->value, "blue"));
    changes_remove(&c, color);
    CHECK_INT(entries(&c), 1);
    CHECK_INT(x->kind, CHANGE_REMOVE);
    CHECK_INT(x->value.type, VALUE_NONE);
    changes_set(&c, color, &red);
    CHECK_INT(x->kind, CHANGE_SET);
    changes_release(&c);
    CU_ASSERT(changes_empty(&c));
}

static void copies_names_and_values(void)
{
    char name[] = "color", text[] = "red";
    struct value v = value_text(text);
    struct changes c;

    changes_init(&c);
    changes_set(&c, key_text(name), &v);
    memset(name, 'x', 5);
    memset(text, 'x', 3);
    struct change *x = changes_find(&c, color);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    CU_ASSERT(value_is_text(x->value, "red"));
    CHECK_STR(x->value.data, "red"); /* a 0 follows */
    changes_release(&c);
}

static void replaced_values_stay_readable(void)
{
    static char big[5000];
    const char *first;
    struct value v = value_text("first");
    struct changes c;

    changes_init(&c);
    changes_set(&c, color, &v);
    first = changes_find(&c, color)->value.data;
    memset(big, 'b', sizeof big);
    v = (struct value){.type = VALUE_BYTES, .data = big};
    for (size_t len = 0; len < sizeof big; len += 97) {
        v.len = len;
        changes_set(&c, color, &v);
    }
    changes_remove(&c, color);
    CHECK_STR(first, "first");
    changes_clear(&c);
    CU_ASSERT(changes_empty(&c));
    CHECK_INT(c.bytes, 0);
    changes_set(&c, color, &v);
    CHECK_STR(first, "first");
    CHECK_INT(entries(&c), 1);
    changes_release(&c);
}

static void adds_gather(void)
{
    struct changes c;
    struct change *x;

    changes_init(&c);
    changes_add(&c, color, 5);
    changes_add(&c, color, -7);
    changes_add(&c, color, 0);
    changes_add(&c, color, INT64_MIN);
    x = changes_find(&c, color);
    CHECK_INT(x->kind, CHANGE_ADD);
    CU_ASSERT(x->plus == 5 && x->minus == 7 + ((uint64_t)1 << 63));
    changes_release(&c);
}

static void add_after_set_is_a_set(void)
{
    struct value ten = value_number(VALUE_COUNTER, 10);
    struct changes c;
    struct change *x;

    changes_init(&c);
    changes_add(&c, color, 3);
    changes_set(&c, color, &ten);
    x = changes_find(&c, color);
    CU_ASSERT(x->kind == CHANGE_SET && x->plus == 0 && x->minus == 0);
    changes_add(&c, color, -4);
    CHECK_INT(x->kind, CHANGE_SET);
    CU_ASSERT(value_is(x->value, VALUE_COUNTER, 6));
    changes_remove(&c, color);
    changes_add(&c, color, 2);
    CHECK_INT(x->kind, CHANGE_SET);
    CU_ASSERT(value_is(x->value, VALUE_COUNTER, 2));
    changes_remove(&c, color);
    CHECK_INT(x->kind, CHANGE_REMOVE);
    CHECK_INT(entries(&c), 1);
    changes_release(&c);
}

static void keys_have_one_order(void)
{
    static const struct key rows[] = {
        {.field = 0},
        {.field = 1},
        {.field = INT32_MAX},
        {.name = "", .len = 0},
        {.name = "\0", .len = 1},
        {.name = "a", .len = 1},
        {.name = "a\0", .len = 2},
        {.name = "ab", .len = 2},
        {.name = "b", .len = 1},
        {.name = "\xc3\xa9", .len = 2},
    };
    int count = sizeof rows / sizeof rows[0];
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            int order = key_compare(rows[i], rows[j]);
            CHECK_INT((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void fields_and_names_do_not_meet(void)
{
    struct value one = value_number(VALUE_INT, 1);
    struct value two = value_number(VALUE_INT, 2);
    struct changes c;

    changes_init(&c);
    changes_set(&c, key_field(2), &one);
    changes_set(&c, key_text("2"), &two);
    CHECK_INT(entries(&c), 2);
    CHECK_INT(changes_find(&c, key_field(2))->value.number, 1);
    CHECK_INT(changes_find(&c, key_text("2"))->value.number, 2);
    CU_ASSERT_PTR_NULL(changes_find(&c, key_field(3)));
    changes_release(&c);
}

static void copies_are_their_own(void)
{
    struct changes a, b;
    struct value v = value_text("red");
    char name[24];

    changes_init(&a);
    changes_set(&a, color, &v);
    changes_remove(&a, key_field(2));
    changes_add(&a, key_text("n"), 4);
    changes_add(&a, key_text("n"), -6);
    for (int i = 0; i < 200; i++) {
        v = value_number(VALUE_INT, i);
        snprintf(name, sizeof name, "k%d", i);
        changes_set(&a, key_text(name), &v);
    }
    changes_copy(&b, &a);
    CHECK_INT(b.bytes, a.bytes);
    changes_release(&a);
    CHECK_INT(entries(&b), 203);
    CU_ASSERT(value_is_text(changes_find(&b, color)->value, "red"));
    CHECK_INT(changes_find(&b, key_field(2))->kind, CHANGE_REMOVE);
    CHECK_INT(changes_find(&b, key_text("n"))->kind, CHANGE_ADD);
    CHECK_INT(changes_find(&b, key_text("n"))->plus, 4);
    CHECK_INT(changes_find(&b, key_text("n"))->minus, 6);
    CHECK_INT(changes_find(&b, key_text("k199"))->value.number, 199);
    changes_release(&b);
}

static void bytes_are_counted(void)
{
    struct value v = value_text("12345678");
    struct changes c;
    size_t empty;

    changes_init(&c);
    changes_set(&c, color, &(struct value){.type = VALUE_STRING, .data = ""});
    empty = c.bytes;
    changes_set(&c, color, &v);
    CHECK_INT(c.bytes, empty + 8);
    changes_set(&c, color, &v);
    CHECK_INT(c.bytes, empty + 8);
    changes_remove(&c, color);
    CHECK_INT(c.bytes, empty);
    changes_release(&c);
    CHECK_INT(c.bytes, 0);
}

UNIT_MAIN("changes", CASE(last_word_wins), CASE(copies_names_and_values),
          CASE(replaced_values_stay_readable), CASE(adds_gather),
          CASE(add_after_set_is_a_set), CASE(keys_have_one_order),
          CASE(fields_and_names_do_not_meet), CASE(copies_are_their_own),
          CASE(bytes_are_counted))
