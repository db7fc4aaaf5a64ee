/* SPDX-License-Identifier: Apache-2.0
 *
 * a_probe.c: the two small pieces of /probe that have rules of their own: the
 * writer of JSON (whatever bytes come, the answer is valid) and the journal
 * (order and numbers, whatever was forgotten). */
#include "config.h"

#include "tests/unit.h"

#include "container/servlet.h"
#include "webapps/probe/journal.h"
#include "webapps/probe/json.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- a response that is only its body ---- */

struct http_response {
    char body[1024];
    size_t len;
};

enum http_result http_response_write(struct http_response *response,
                                     const void *bytes, size_t len)
{
    if (len >= sizeof(response->body) - response->len)
        return HTTP_TOO_BIG;
    memcpy(response->body + response->len, bytes, len);
    response->len += len;
    response->body[response->len] = '\0';
    return HTTP_OK;
}

enum http_result http_response_print(struct http_response *response,
                                     const char *text)
{
    return http_response_write(response, text, strlen(text));
}

enum http_result http_response_printf(struct http_response *response,
                                      const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return http_response_print(response, text);
}

/* ---- json ---- */

static void check_text(const char *bytes, size_t len, const char *expected)
{
    struct http_response response = {.len = 0};
    struct json json = {.out = &response};

    json_text(&json, NULL, bytes, len);
    CHECK_STR(response.body, expected);
}

static void escapes_strings(void)
{
    check_text("a", 1, "\"a\"");
    check_text("", 0, "\"\"");
    check_text("\"\\\n\0\x1f", 5, "\"\\\"\\\\\\u000a\\u0000\\u001f\"");
    check_text("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x88", 9,
               "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x88\"");
}

static void replaces_what_is_no_utf8(void)
{
    check_text("\xff", 1, "\"\\ufffd\"");
    check_text("\xc3", 1, "\"\\ufffd\""); /* cut off */
    check_text("\xc3z", 2, "\"\\ufffdz\"");
    check_text("\xc0\xaf", 2, "\"\\ufffd\\ufffd\""); /* too long */
    check_text("\xe0\x80\xaf", 3, "\"\\ufffd\\ufffd\\ufffd\"");
    check_text("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    check_text("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void puts_commas_between(void)
{
    struct http_response response = {.len = 0};
    struct json json = {.out = &response};

    json_open(&json, NULL, '[');
    json_open(&json, NULL, '{');
    json_int(&json, "i", -5);
    json_string(&json, "s", NULL);
    json_open(&json, "a", '[');
    json_close(&json, ']');
    json_bool(&json, "b", true);
    json_close(&json, '}');
    json_hex(&json, NULL, "\x00\xfe", 2);
    json_double(&json, NULL, 0.5);
    json_double(&json, NULL, 1e308 * 10);
    json_close(&json, ']');
    CHECK_STR(response.body,
              "[{\"i\":-5,\"s\":null,\"a\":[],\"b\":true},\"00fe\",0.5,null]");
}

/* ---- journal ---- */

static void add(struct journal *journal, const char *event)
{
    struct journal_entry entry = {0};

    snprintf(entry.event, sizeof(entry.event), "%s", event);
    journal_add(journal, &entry);
}

static void keeps_the_order(void)
{
    struct journal *journal = journal_new();
    struct journal_entry entry;

    CU_ASSERT_FATAL(journal != NULL);
    CU_ASSERT_FALSE(journal_next(journal, 0, &entry));
    add(journal, "created");
    add(journal, "destroyed");
    CU_ASSERT_TRUE(journal_next(journal, 0, &entry));
    CHECK_INT(entry.seq, 1);
    CHECK_STR(entry.event, "created");
    CU_ASSERT_TRUE(journal_next(journal, 1, &entry));
    CHECK_STR(entry.event, "destroyed");
    CU_ASSERT_FALSE(journal_next(journal, 2, &entry));
    CU_ASSERT_FALSE(journal_next(journal, INT64_MAX, &entry));
    journal_free(&journal);
    CU_ASSERT_PTR_NULL(journal);
    journal_free(&journal);
}

static void forgets_the_oldest(void)
{
    struct journal *journal = journal_new();
    struct journal_entry entry;

    CU_ASSERT_FATAL(journal != NULL);
    for (int i = 0; i < JOURNAL_MAX + 3; i++)
        add(journal, "x");
    CU_ASSERT_TRUE(journal_next(journal, 0, &entry));
    CHECK_INT(entry.seq, 4);
    CU_ASSERT_TRUE(journal_next(journal, JOURNAL_MAX + 2, &entry));
    CHECK_INT(entry.seq, JOURNAL_MAX + 3);
    journal_free(&journal);
}

/* Numbers go on, so that a reader sees what it missed. */
static void clears_but_counts_on(void)
{
    struct journal *journal = journal_new();
    struct journal_entry entry;

    CU_ASSERT_FATAL(journal != NULL);
    add(journal, "before");
    journal_clear(journal);
    CU_ASSERT_FALSE(journal_next(journal, 0, &entry));
    add(journal, "after");
    CU_ASSERT_TRUE(journal_next(journal, 0, &entry));
    CHECK_INT(entry.seq, 2);
    CHECK_STR(entry.event, "after");
    journal_free(&journal);
}

enum { WRITERS = 4, EACH = 100 };

static void *write_some(void *journal)
{
    for (int i = 0; i < EACH; i++)
        add(journal, "x");
    return NULL;
}

static void numbers_each_once(void)
{
    struct journal *journal = journal_new();
    pthread_t threads[WRITERS];
    struct journal_entry entry = {0};
    int64_t count = 0;

    CU_ASSERT_FATAL(journal != NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_some, journal);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    while (journal_next(journal, entry.seq, &entry))
        CHECK_INT(entry.seq, ++count);
    CHECK_INT(count, WRITERS * EACH);
    journal_free(&journal);
}

UNIT_MAIN("probe", CASE(escapes_strings), CASE(replaces_what_is_no_utf8),
          CASE(puts_commas_between), CASE(keeps_the_order),
          CASE(forgets_the_oldest), CASE(clears_but_counts_on),
          CASE(numbers_each_once))
