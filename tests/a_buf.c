/* SPDX-License-Identifier: Apache-2.0
 *
 * Result codes and buffers. */
#include "config.h"

#include "session/buf.h"
#include "session/rc.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

static void every_code_has_a_name_and_a_text(void)
{
    CHECK_STR(rc_name(RC_OK), "OK");
    CHECK_STR(rc_name(RC_UNCERTAIN), "UNCERTAIN");
    for (int rc = RC_OK; rc <= RC_UNSUPPORTED; rc++) {
        CU_ASSERT(*rc_name((enum rc)rc));
        CU_ASSERT(*rc_text((enum rc)rc));
    }
}

static void an_error_is_one_line_of_code(void)
{
    struct err err = {"before"};
    char text[2000];

    CHECK_INT(err_set(NULL, RC_INVALID, "nobody asks"), RC_INVALID);
    CHECK_INT(err_set(&err, RC_TOOBIG, "port %d", 80), RC_TOOBIG);
    CHECK_STR(err.text, "port 80");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, RC_TOOBIG, "%s", text);
    CHECK_INT(strlen(err.text), sizeof err.text - 1);
}

static void it_grows_and_ends_in_0(void)
{
    struct buf b;

    buf_init(&b, 100000);
    CHECK_STR(buf_str(&b), "");
    for (int i = 0; i < 10000; i++)
        CU_ASSERT_FATAL(buf_addf(&b, "%d", i % 10));
    CHECK_INT(b.len, 10000);
    CHECK_INT(b.data[b.len], 0);
    CU_ASSERT(memcmp(b.data + 9990, "0123456789", 10) == 0);
    buf_release(&b);
    CHECK_INT(b.len, 0);
    CU_ASSERT(buf_add_str(&b, "again"));
    CHECK_STR(buf_str(&b), "again");
    buf_release(&b);
}

static void the_ceiling_holds(void)
{
    struct buf b;

    buf_init(&b, 8);
    CU_ASSERT(buf_add(&b, "12345", 5));
    CU_ASSERT_FALSE(buf_add(&b, "6789", 4));
    CU_ASSERT(b.full);
    CHECK_STR(buf_str(&b), "12345");
    CU_ASSERT_FALSE(buf_add_char(&b, '6'));
    CU_ASSERT_FALSE(buf_addf(&b, "%s", "6"));
    CHECK_INT(b.len, 5);
    buf_reset(&b);
    CU_ASSERT_FALSE(b.full);
    CU_ASSERT(buf_add_str(&b, "12345678"));
    CU_ASSERT_FALSE(buf_add_char(&b, '9'));
    CHECK_STR(buf_str(&b), "12345678");
    buf_release(&b);
}

static void taking_empties_it(void)
{
    struct buf b;
    size_t len = 7;
    char *text;

    buf_init(&b, 100);
    CU_ASSERT_PTR_NULL(buf_take(&b, &len));
    CHECK_INT(len, 0);
    CU_ASSERT(buf_add_str(&b, "mine"));
    text = buf_take(&b, &len);
    CHECK_STR(text, "mine");
    CHECK_INT(len, 4);
    CHECK_INT(b.len, 0);
    CU_ASSERT_PTR_NULL(b.data);
    free(text);
    buf_release(&b);
}

static void memory_is_never_null(void)
{
    void *none = mem_alloc(0), *zero = mem_zero(4);
    char *text = mem_strndup("abcdef", 3);

    CU_ASSERT_PTR_NOT_NULL(none);
    CU_ASSERT(memcmp(zero, "\0\0\0\0", 4) == 0);
    CHECK_STR(text, "abc");
    text = mem_resize(text, 100);
    CHECK_STR(text, "abc");
    free(none);
    free(zero);
    free(text);
}

UNIT_MAIN("buf", CASE(every_code_has_a_name_and_a_text),
          CASE(an_error_is_one_line_of_code), CASE(it_grows_and_ends_in_0),
          CASE(the_ceiling_holds), CASE(taking_empties_it),
          CASE(memory_is_never_null))
