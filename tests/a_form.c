/* SPDX-License-Identifier: Apache-2.0
 *
 * Query strings and urlencoded bodies as Tomcat's Parameters reads them. */
#include "config.h"

#include "container/form.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static enum rc parse(struct form *f, const char *text, size_t len,
                     struct err *err)
{
    char *copy = mem_alloc(len);
    memcpy(copy, text, len);
    enum rc rc = form_parse(f, copy, len, err);
    free(copy);
    return rc;
}

/* Every parameter as "<name|value>"; checks the lengths on the way. */
static void print(const struct form *f, struct buf *out)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct form_param *p = &f->params[i];
        CHECK_INT((int64_t)strlen(p->name), (int64_t)p->name_len);
        CHECK_INT(p->value[p->value_len], 0);
        buf_addf(out, "<%s|", p->name);
        buf_add(out, p->value, p->value_len);
        buf_add_char(out, '>');
    }
}

static void check_form(const char *text, const char *expected)
{
    struct form f;
    struct buf b;
    buf_init(&b, 4096);
    form_init(&f, FORM_MAX_PARAMS, FORM_MAX_BYTES);
    CHECK_INT(parse(&f, text, strlen(text), NULL), RC_OK);
    print(&f, &b);
    CHECK_STR(buf_str(&b), expected);
    buf_release(&b);
    form_release(&f);
}

static void reads_parameters(void)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"a=1", "<a|1>"},
        {"a=1&b=2", "<a|1><b|2>"},
        {"a=1&b=2&", "<a|1><b|2>"},
        {"&&a=1&&b=2", "<a|1><b|2>"},
        {"&", ""},
        {"a", "<a|>"},
        {"a&b", "<a|><b|>"},
        {"a=", "<a|>"},
        {"a=&b", "<a|><b|>"},
        {"a=b=c", "<a|b=c>"},
        {"a==", "<a|=>"},
        {"a=1&a=2&b=3&a=4", "<a|1><a|2><b|3><a|4>"},
        {"a;b=1;2", "<a;b|1;2>"},
        {"foo2=hello+world&foo2=%3F%25%40", "<foo2|hello world><foo2|?%@>"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_form(rows[i][0], rows[i][1]);
}

static void decodes(void)
{
    static const char *const rows[][2] = {
        {"a+b=c+d", "<a b|c d>"},
        {"+=+", "< | >"},
        {"a%2Bb=%2b", "<a+b|+>"},
        {"%41=%42", "<A|B>"},
        {"a%3Db=c%26d", "<a=b|c&d>"},
        {"a=%c3%a4\303\244", "<a|\303\244\303\244>"},
        {"%ef%ad%ab=%ef%bf%ae", "<\357\255\253|\357\277\256>"},
        {"a=%2541", "<a|%41>"},
        {"a=%0d%0a", "<a|\r\n>"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_form(rows[i][0], rows[i][1]);
}

static void refuses_malformed_ones(void)
{
    static const char *const bad[] = {
        "a=%",    "a=%4",    "a=%4g",    "a=%zz",       "%=1",
        "%4=1",   "a=1&b=%", "a=%&b=1",  "=v",          "=",
        "a=1&=v", "a=%80",   "a=%c0%af", "a=\377",      "%c3=1",
        "a=%c3&", "%00=1",   "a%00b=1",  "a=%ed%a0%80",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct form f;
        struct err err = {""};
        form_init(&f, -1, -1);
        CHECK_INT(parse(&f, "k=v", 3, &err), RC_OK);
        CHECK_INT(parse(&f, bad[i], strlen(bad[i]), &err), RC_INVALID);
        CU_ASSERT(err.text[0] != 0);
        /* What was there before stays, and nothing else. */
        CHECK_INT((int64_t)f.count, 1);
        CHECK_STR(form_get(&f, "k"), "v");
        form_release(&f);
    }
}

static void keeps_zero_bytes_in_values(void)
{
    struct form f;
    form_init(&f, -1, -1);
    CHECK_INT(parse(&f, "a=x%00y&b=z", 11, NULL), RC_OK);
    const struct form_param *p = form_next(&f, "a", NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CHECK_INT((int64_t)p->value_len, 3);
    CU_ASSERT(!memcmp(p->value, "x\0y", 4));
    CHECK_STR(form_get(&f, "b"), "z");
    CHECK_INT(parse(&f, "c=\0", 3, NULL), RC_OK);
    CHECK_INT(parse(&f, "d\0=1", 4, NULL), RC_INVALID);
    form_release(&f);
}

static void finds_values_in_order(void)
{
    struct form f;
    const struct form_param *p = NULL;
    static const char *const expected[] = {"1", "2", "3"};
    form_init(&f, -1, -1);
    CHECK_INT(parse(&f, "a=1&A=9&a=2&ab=8", 16, NULL), RC_OK);
    CHECK_INT(parse(&f, "x=7&a=3", 7, NULL), RC_OK);
    for (size_t i = 0; i < 3; i++) {
        p = form_next(&f, "a", p);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CHECK_STR(p->value, expected[i]);
    }
    CU_ASSERT_PTR_NULL(form_next(&f, "a", p));
    CU_ASSERT_PTR_NULL(form_next(&f, "b", NULL));
    CU_ASSERT_PTR_NULL(form_get(&f, ""));
    CHECK_STR(form_get(&f, "A"), "9");
    CHECK_STR(form_get(&f, "x"), "7");
    form_release(&f);
    CHECK_INT((int64_t)f.count, 0);
    CHECK_INT(parse(&f, "a=4", 3, NULL), RC_OK);
    CHECK_STR(form_get(&f, "a"), "4");
    form_release(&f);
}

static void counts_parameters(void)
{
    struct form f;
    struct err err = {""};
    form_init(&f, 3, -1);
    CHECK_INT(parse(&f, "a&b&&", 5, &err), RC_OK);
    CHECK_INT(parse(&f, "c&d", 3, &err), RC_TOOBIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "maxParameterCount"));
    CHECK_INT((int64_t)f.count, 2);
    CHECK_INT(parse(&f, "c", 1, &err), RC_OK);
    CHECK_INT(parse(&f, "", 0, &err), RC_OK);
    CHECK_INT(parse(&f, "d", 1, &err), RC_TOOBIG);
    form_release(&f);

    form_init(&f, 0, -1);
    CHECK_INT(parse(&f, "a", 1, &err), RC_TOOBIG);
    form_release(&f);

    char many[2 * (FORM_MAX_PARAMS + 1)];
    for (size_t i = 0; i < sizeof many; i += 2)
        memcpy(many + i, "a&", 2);
    form_init(&f, FORM_MAX_PARAMS, FORM_MAX_BYTES);
    CHECK_INT(parse(&f, many, sizeof many, &err), RC_TOOBIG);
    CHECK_INT(parse(&f, many, sizeof many - 2, &err), RC_OK);
    CHECK_INT((int64_t)f.count, FORM_MAX_PARAMS);
    form_release(&f);
}

static void counts_bytes(void)
{
    struct form f;
    struct err err = {""};
    form_init(&f, -1, 10);
    CHECK_INT(parse(&f, "abc=1", 5, &err), RC_OK);
    CHECK_INT(parse(&f, "abc=12", 6, &err), RC_TOOBIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "maxPostSize"));
    CHECK_INT(parse(&f, "abc=2", 5, &err), RC_OK);
    CHECK_INT((int64_t)f.count, 2);
    form_release(&f);
}

UNIT_MAIN("form", CASE(reads_parameters), CASE(decodes),
          CASE(refuses_malformed_ones), CASE(keeps_zero_bytes_in_values),
          CASE(finds_values_in_order), CASE(counts_parameters),
          CASE(counts_bytes))
