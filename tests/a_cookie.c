/* SPDX-License-Identifier: Apache-2.0
 *
 * The Cookie header as Tomcat's Rfc6265CookieProcessor reads it, Set-Cookie as
 * it writes it. Most rows restate what its TestCookies, TestCookieParsing and
 * TestCookieProcessorGeneration expect. */
#include "config.h"

#include "container/cookie.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The cookies as "<name|value>" each, read from memory of just that size. */
static enum rc read_all(struct buf *out, const char *header, size_t len,
                        int64_t max, enum cookie_bare bare)
{
    char *copy = mem_alloc(len);
    struct cookie_reader r;
    struct cookie c;
    enum rc rc;
    memcpy(copy, header, len);
    cookie_reader_init(&r, max, bare);
    cookie_reader_line(&r, copy, len);
    while ((rc = cookie_next(&r, &c)) == RC_OK) {
        buf_add_char(out, '<');
        buf_add(out, c.name, c.name_len);
        buf_add_char(out, '|');
        buf_add(out, c.value, c.value_len);
        buf_add_char(out, '>');
    }
    free(copy);
    return rc;
}

struct row {
    const char *header, *expected;
};

static void check_rows(const struct row *rows, size_t count,
                       enum cookie_bare bare)
{
    for (size_t i = 0; i < count; i++) {
        struct buf b;
        buf_init(&b, 4096);
        CHECK_INT(
            read_all(&b, rows[i].header, strlen(rows[i].header), -1, bare),
            RC_ABSENT);
        CHECK_STR(buf_str(&b), rows[i].expected);
        buf_release(&b);
    }
}

#define ROWS(bare, ...)                                                        \
    do {                                                                       \
        static const struct row rows[] = {__VA_ARGS__};                        \
        check_rows(rows, sizeof rows / sizeof rows[0], bare);                  \
    } while (0)

static void reads_pairs(void)
{
    ROWS(COOKIE_BARE_IGNORE, {"", ""}, {" ", ""}, {";", ""}, {" ; \t;", ""},
         {"foo=bar; a=b", "<foo|bar><a|b>"}, {"foo=bar;a=b", "<foo|bar><a|b>"},
         {"foo=bar;a=b;", "<foo|bar><a|b>"},
         {"foo=bar;a=b; ;", "<foo|bar><a|b>"},
         {"foo=bar;a=b;; ;x=y", "<foo|bar><a|b><x|y>"},
         {"foo = bar ; a\t=\tb\t", "<foo|bar><a|b>"}, {"foo=", "<foo|>"},
         {"foo= ;a=b", "<foo|><a|b>"}, {"foo=a=b", "<foo|a=b>"},
         {"foo==b", "<foo|=b>"}, {"foo=b=", "<foo|b=>"},
         {"foo=val/ue", "<foo|val/ue>"}, {"foo=b'ar", "<foo|b'ar>"},
         {"foo=()<>@:/[]?={}", "<foo|()<>@:/[]?={}>"},
         {"!#$%&'*+-.^_`|~09azAZ=v", "<!#$%&'*+-.^_`|~09azAZ|v>"});
}

static void keeps_the_case_of_names(void)
{
    ROWS(COOKIE_BARE_IGNORE,
         {"jsessionid=1; JSESSIONID=2", "<jsessionid|1><JSESSIONID|2>"});
    struct cookie c = {.name = "JSESSIONID=", .name_len = 10};
    CU_ASSERT(cookie_is(&c, "JSESSIONID"));
    CU_ASSERT(!cookie_is(&c, "jsessionid"));
    CU_ASSERT(!cookie_is(&c, "JSESSION"));
    CU_ASSERT(!cookie_is(&c, "JSESSIONID="));
}

static void ignores_names_without_equals(void)
{
    ROWS(COOKIE_BARE_IGNORE, {"foo;a=b; ;bar", "<a|b>"}, {"bob", ""},
         {"fred=1; jim=2; bob; george=3", "<fred|1><jim|2><george|3>"},
         {"foo;a=b;;#;bar=rab", "<a|b><bar|rab>"});
    ROWS(COOKIE_BARE_NAME, {"foo;a=b; ;bar ", "<foo|><a|b><bar|>"},
         {"foo;a=b;;#;bar=rab", "<foo|><a|b><#|><bar|rab>"},
         {"foo;a=b;;\\;bar=rab", "<foo|><a|b><bar|rab>"}, {"=bob", ""});
}

static void drops_values_without_name(void)
{
    ROWS(COOKIE_BARE_IGNORE, {"=v", ""}, {"=", ""}, {" = v;a=b", "<a|b>"},
         {"bob=;bob;=bob", "<bob|>"});
}

static void drops_malformed_pairs_only(void)
{
    ROWS(COOKIE_BARE_IGNORE, {"foo=a,b; x=y", "<x|y>"},
         {"foo=a\\b; x=y", "<x|y>"}, {"foo=a\"b; x=y", "<x|y>"},
         {"foo=a b; x=y", "<x|y>"}, {"foo=a\tb; x=y", "<x|y>"},
         {"foo=b\010r; x=y", "<x|y>"}, {"foo=b\177r; x=y", "<x|y>"},
         {"foo=b\nr; x=y", "<x|y>"}, {"f oo=bar; x=y", "<x|y>"},
         {"f\010o=bar; x=y", "<x|y>"}, {"f,o=bar; x=y", "<x|y>"},
         {"f\"o=bar; x=y", "<x|y>"}, {"f(o=bar; x=y", "<x|y>"},
         {"x=y; foo=a,b", "<x|y>"}, {",", ""}, {"a,b", ""},
         {"{\"a\":true, \"b\":false};a=b", "<a|b>"},
         {"a=()<>@:\\\"/[]?={}\t; foo=bar", "<foo|bar>"},
         {"x\tx=yyy,foo=bar;a=b", "<a|b>"}, {"a=1,b=2;c=3", "<c|3>"});
}

static void drops_zero_bytes(void)
{
    static const char header[] = "a=1\0; b=2; c\0=3; d=4";
    struct buf b;
    buf_init(&b, 4096);
    CHECK_INT(read_all(&b, header, sizeof header - 1, -1, COOKIE_BARE_IGNORE),
              RC_ABSENT);
    CHECK_STR(buf_str(&b), "<b|2><d|4>");
    buf_release(&b);
}

static void allows_high_bytes_in_values_only(void)
{
    ROWS(COOKIE_BARE_IGNORE, {"foo=b\303\241r", "<foo|b\303\241r>"},
         {"foo=\200\377", "<foo|\200\377>"}, {"f\303\266o=bar; x=y", "<x|y>"},
         {"f\210o=bar", ""});
}

static void keeps_quotes_in_the_value(void)
{
    ROWS(COOKIE_BARE_IGNORE, {"a=\"b\"", "<a|\"b\">"},
         {"a=\"b\" ;x=y", "<a|\"b\"><x|y>"}, {"a=\"\"", "<a|\"\">"},
         {"a=\"b'ar\";x=y", "<a|\"b'ar\"><x|y>"},
         {"a=\"b\"x;foo=bar", "<foo|bar>"}, {"a=\"b\"ar\";x=y", "<x|y>"},
         {"a=\"b\\\"ar\";x=y", "<x|y>"}, {"a=\"\"\";x=y", "<x|y>"},
         {"a=\"b c\";x=y", "<x|y>"},
         /* An opening quote alone is a value; the semicolon ends it. */
         {"a=\"b", "<a|\"b>"}, {"a=\"", "<a|\">"},
         {"a=\"b;c\"; x=y", "<a|\"b><x|y>"});
}

static void takes_dollar_names_as_ordinary(void)
{
    ROWS(COOKIE_BARE_IGNORE,
         {"$Version=1; foo=bar;a=b", "<$Version|1><foo|bar><a|b>"},
         {"$Version=\"1\"; u=\"foo\";$Path=\"/\";$Domain=\"w.org\"",
          "<$Version|\"1\"><u|\"foo\"><$Path|\"/\"><$Domain|\"w.org\">"},
         {"$Version=0;name=\"val ue\"", "<$Version|0>"});
}

static void counts_what_it_gives_out(void)
{
    struct buf b;
    buf_init(&b, 4096);
    CHECK_INT(read_all(&b, "a=1;b=2;c=3", 11, 3, COOKIE_BARE_IGNORE),
              RC_ABSENT);
    CHECK_INT(read_all(&b, "a=1;b=2;c=3", 11, 2, COOKIE_BARE_IGNORE),
              RC_TOOBIG);
    /* What is dropped does not count. */
    CHECK_INT(read_all(&b, "x;a=1;=;b=2;y=,", 15, 2, COOKIE_BARE_IGNORE),
              RC_ABSENT);
    CHECK_INT(read_all(&b, "a=1", 3, 0, COOKIE_BARE_IGNORE), RC_TOOBIG);
    buf_release(&b);
}

static void goes_on_counting_over_lines(void)
{
    struct cookie_reader r;
    struct cookie c;
    cookie_reader_init(&r, 2, COOKIE_BARE_IGNORE);
    cookie_reader_line(&r, "a=1", 3);
    CHECK_INT(cookie_next(&r, &c), RC_OK);
    CHECK_INT(cookie_next(&r, &c), RC_ABSENT);
    cookie_reader_line(&r, "b=2;c=3;d=4", 11);
    CHECK_INT(cookie_next(&r, &c), RC_OK);
    CU_ASSERT(cookie_is(&c, "b"));
    for (int i = 0; i < 3; i++)
        CHECK_INT(cookie_next(&r, &c), RC_TOOBIG);
}

static void fills_an_array(void)
{
    struct buf b;
    struct cookie cookies[COOKIE_MAX_COUNT];
    size_t count = 0;
    buf_init(&b, 8192);
    for (int i = 0; i < COOKIE_MAX_COUNT; i++)
        buf_addf(&b, "n%d=v%d; ", i, i);
    CHECK_INT(
        cookie_parse(cookies, COOKIE_MAX_COUNT, &count, buf_str(&b), b.len),
        RC_OK);
    CHECK_INT((int64_t)count, COOKIE_MAX_COUNT);
    CU_ASSERT(cookie_is(&cookies[199], "n199"));
    CHECK_INT((int64_t)cookies[199].value_len, 4);
    CHECK_INT(cookie_parse(cookies, COOKIE_MAX_COUNT, &count, "x", 1), RC_OK);
    CHECK_INT(cookie_parse(cookies, COOKIE_MAX_COUNT, &count, "x=1", 3),
              RC_TOOBIG);
    CHECK_INT((int64_t)count, COOKIE_MAX_COUNT);
    buf_release(&b);
}

/* ---- Set-Cookie ---- */

static void check_write(const struct cookie_config *config, const char *value,
                        const char *expected)
{
    struct buf b;
    struct err err = {""};
    buf_init(&b, 4096);
    buf_add_str(&b, "~");
    enum rc rc = cookie_write(&b, config, value, strlen(value), 0, &err);
    CHECK_INT(rc, expected ? RC_OK : RC_INVALID);
    CHECK_STR(buf_str(&b) + 1, expected ? expected : "");
    CU_ASSERT((err.text[0] != 0) == !expected);
    buf_release(&b);
}

static struct cookie_config plain(void)
{
    return (struct cookie_config){.name = "foo", .max_age = -1};
}

static void writes_the_session_cookie(void)
{
    struct cookie_config c;
    cookie_config_init(&c);
    c.path = "/login";
    check_write(&c, "0123456789ABCDEF0123456789ABCDEF",
                "JSESSIONID=0123456789ABCDEF0123456789ABCDEF; Path=/login; "
                "HttpOnly");
    c.same_site = COOKIE_SAME_SITE_LAX;
    check_write(&c, "0123456789ABCDEF0123456789ABCDEF.node1",
                "JSESSIONID=0123456789ABCDEF0123456789ABCDEF.node1; "
                "Path=/login; HttpOnly; SameSite=Lax");
    c.path = "/";
    c.name = "SID";
    check_write(&c, "X", "SID=X; Path=/; HttpOnly; SameSite=Lax");
}

static void writes_all_in_order(void)
{
    static const struct cookie_attribute more[] = {
        {"aaa", "bbb"}, {"Priority", "High"}, {"Flag", ""}};
    struct cookie_config c = plain();
    c.max_age = 3600;
    c.domain = "Example.COM";
    c.path = "/a%20b";
    c.secure = c.http_only = c.partitioned = true;
    c.same_site = COOKIE_SAME_SITE_STRICT;
    c.attributes = more;
    c.attribute_count = 3;
    check_write(&c, "bar",
                "foo=bar; Expires=Thu, 01 Jan 1970 01:00:00 GMT; Max-Age=3600; "
                "Domain=example.com; Path=/a%20b; Secure; HttpOnly; "
                "SameSite=Strict; Partitioned; aaa=bbb; Priority=High; Flag");
}

static void writes_ages(void)
{
    struct cookie_config c = plain();
    struct buf b;
    buf_init(&b, 4096);
    check_write(&c, "bar", "foo=bar");
    c.max_age = -100;
    check_write(&c, "bar", "foo=bar");
    c.max_age = 0;
    check_write(&c, "", "foo=; Expires=Thu, 01 Jan 1970 00:00:10 GMT");
    c.max_age = 1;
    CHECK_INT(cookie_write(&b, &c, "x", 1, 1709164799999, NULL), RC_OK);
    CHECK_STR(buf_str(&b),
              "foo=x; Expires=Thu, 29 Feb 2024 00:00:00 GMT; Max-Age=1");
    buf_release(&b);
    c.max_age = INT32_MAX;
    CHECK_INT(cookie_check(&c, NULL), RC_OK);
    c.max_age = (int64_t)INT32_MAX + 1;
    check_write(&c, "x", NULL);
}

static void writes_same_site(void)
{
    static const char *const expected[] = {
        "foo=bar; Secure; HttpOnly", "foo=bar; Secure; HttpOnly; SameSite=None",
        "foo=bar; Secure; HttpOnly; SameSite=Lax",
        "foo=bar; Secure; HttpOnly; SameSite=Strict"};
    static const struct cookie_attribute own = {"samesite", "Lax"};
    struct cookie_config c = plain();
    c.secure = c.http_only = true;
    for (int i = 0; i < 4; i++) {
        c.same_site = (enum cookie_same_site)i;
        check_write(&c, "bar", expected[i]);
    }
    c.attributes = &own;
    c.attribute_count = 1;
    check_write(&c, "bar", expected[2]);
}

static void writes_partitioned(void)
{
    struct cookie_attribute own = {"Partitioned", "true"};
    struct cookie_config c = plain();
    c.partitioned = true;
    check_write(&c, "bar", "foo=bar; Partitioned");
    c.attributes = &own;
    c.attribute_count = 1;
    check_write(&c, "bar", "foo=bar");
    own.value = "false";
    check_write(&c, "bar", "foo=bar");
    c.partitioned = false;
    own.value = "";
    check_write(&c, "bar", "foo=bar; Partitioned");
}

static void skips_attributes_that_have_a_place(void)
{
    static const struct cookie_attribute own[] = {
        {"Comment", "c"}, {"domain", "evil"}, {"Max-Age", "9"}, {"PATH", "/x"},
        {"Secure", ""},   {"HttpOnly", ""},   {"x", "1=2,3"}};
    struct cookie_config c = plain();
    c.attributes = own;
    c.attribute_count = 7;
    check_write(&c, "bar", "foo=bar; x=1=2,3");
}

static void checks_values(void)
{
    static const char *const good[] = {"",     "a=b",   "\"bar\"",
                                       "\"\"", "a/b:c", "\342\214\200"};
    static const char *const bad[] = {"a;b",
                                      "a,b",
                                      "a b",
                                      "a\"b",
                                      "a\\b",
                                      "a\\",
                                      "\"",
                                      "a\r\n",
                                      "a\nb",
                                      "a\tb",
                                      "\177",
                                      "\"a\"b\"",
                                      "\"a b\"",
                                      "\"a;\"",
                                      "a\r\nSet-Cookie: x=y",
                                      "x; Domain=evil.example"};
    struct cookie_config c = plain();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "foo=%s", good[i]);
        check_write(&c, good[i], expected);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_write(&c, bad[i], NULL);
    CHECK_INT(cookie_write(&(struct buf){.max = 9}, &c, "a\0b", 3, 0, NULL),
              RC_INVALID);
}

static void checks_names(void)
{
    static const char *const bad[] = {
        "", "a b", "a=b", "a;b", "a,b", "a\tb", "a\"b", "a\r\n", "f\303\266o"};
    struct cookie_config c = plain();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c.name = bad[i];
        check_write(&c, "x", NULL);
    }
    c.name = NULL;
    check_write(&c, "x", NULL);
}

static void checks_domains(void)
{
    static const char *const good[] = {"example.com", "exa-mple.com", "a",
                                       "1.2", "a.b.c-d.e"};
    static const char *const bad[] = {"example.com.",
                                      "example.com-",
                                      ".example.com",
                                      "-example.com",
                                      "example..com",
                                      "example-.com",
                                      "exam$ple.com",
                                      ".",
                                      "-",
                                      "a.-b",
                                      "a;Path=/",
                                      "a b",
                                      "a\r\n",
                                      "ex\303\244mple.com",
                                      "a_b.com",
                                      "[::1]"};
    struct cookie_config c = plain();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char expected[64];
        c.domain = good[i];
        snprintf(expected, sizeof expected, "foo=x; Domain=%s", good[i]);
        check_write(&c, "x", expected);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c.domain = bad[i];
        check_write(&c, "x", NULL);
    }
    c.domain = "";
    check_write(&c, "x", "foo=x");
}

static void checks_paths_and_attributes(void)
{
    static const char *const bad[] = {"/a;b", "/a\tb", "/a\r\nX: y", "/\177",
                                      "/\303\244"};
    static const struct cookie_attribute bad_more[] = {
        {"a b", "x"},
        {"", "x"},
        {"a", "x;y"},
        {"a", "x\r\nY: z"},
        {"SameSite", "Lax; Domain=evil"}};
    struct cookie_config c = plain();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c.path = bad[i];
        check_write(&c, "x", NULL);
    }
    c.path = "/ex,am ple";
    check_write(&c, "x", "foo=x; Path=/ex,am ple");
    for (size_t i = 0; i < sizeof bad_more / sizeof bad_more[0]; i++) {
        c.attributes = &bad_more[i];
        c.attribute_count = 1;
        check_write(&c, "x", NULL);
    }
}

static void leaves_a_full_buffer_as_it_was(void)
{
    struct cookie_config c;
    struct buf b;
    struct err err = {""};
    cookie_config_init(&c);
    buf_init(&b, 16);
    buf_add_str(&b, "keep");
    CHECK_INT(cookie_write(&b, &c, "0123456789", 10, 0, &err), RC_TOOBIG);
    CHECK_STR(buf_str(&b), "keep");
    CHECK_INT((int64_t)b.len, 4);
    CU_ASSERT(err.text[0] != 0);
    buf_release(&b);
}

UNIT_MAIN("cookie", CASE(reads_pairs), CASE(keeps_the_case_of_names),
          CASE(ignores_names_without_equals), CASE(drops_values_without_name),
          CASE(drops_malformed_pairs_only), CASE(drops_zero_bytes),
          CASE(allows_high_bytes_in_values_only),
          CASE(keeps_quotes_in_the_value), CASE(takes_dollar_names_as_ordinary),
          CASE(counts_what_it_gives_out), CASE(goes_on_counting_over_lines),
          CASE(fills_an_array), CASE(writes_the_session_cookie),
          CASE(writes_all_in_order), CASE(writes_ages), CASE(writes_same_site),
          CASE(writes_partitioned), CASE(skips_attributes_that_have_a_place),
          CASE(checks_values), CASE(checks_names), CASE(checks_domains),
          CASE(checks_paths_and_attributes),
          CASE(leaves_a_full_buffer_as_it_was))
