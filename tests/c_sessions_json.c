/* SPDX-License-Identifier: Apache-2.0
 *
 * A session as a line of JSON: every type of value, exactly, and the record. */
#include "config.h"

#include "container/base64.h"
#include "container/sessions_common.h"
#include "container/sessions_json.h"
#include "container/sessions_seen.h"
#include "tests/unit.h"

#include <math.h>
#include <signal.h>
#include <string.h>

static const uint8_t id[ID_SIZE] = {0xab, 1, 2, 3, 4, 5, 0x46, 7, 0x88};

static void set(struct changes *c, const char *name, struct value v)
{
    changes_set(c, key_name(name, strlen(name)), &v);
}

static struct value text(const char *data, size_t len)
{
    return (struct value){.type = VALUE_STRING, .data = data, .len = len};
}

static struct record *of_everything(void)
{
    struct value user = text("kim", 3), zero = text("z", 1);
    struct changes c;

    changes_init(&c);
    changes_set(&c, key_field(FIELD_USER), &user);
    changes_set(&c, key_name("n\0n", 3), &zero);
    set(&c, "text", text("\"\xc3\xa4\n\0x", 6));
    set(&c, "none", text("\xff", 1));
    set(&c, "bytes",
        (struct value){.type = VALUE_BYTES, .data = "\0\xff", .len = 2});
    set(&c, "min", (struct value){.type = VALUE_INT, .number = INT64_MIN});
    set(&c, "max", (struct value){.type = VALUE_INT, .number = INT64_MAX});
    set(&c, "odd",
        (struct value){.type = VALUE_INT, .number = INT64_C(9007199254740993)});
    set(&c, "tenth", (struct value){.type = VALUE_DOUBLE, .real = 0.1});
    set(&c, "nan", (struct value){.type = VALUE_DOUBLE, .real = NAN});
    set(&c, "yes", (struct value){.type = VALUE_BOOL, .truth = true});
    changes_add(&c, key_name("count", 5), -7);
    struct record *r = record_new(RECORD_SESSION, id, 1700000000000, &c, 9);
    changes_release(&c);
    return r;
}

static bool has(const struct buf *line, const char *part)
{
    if (strstr(buf_str(line), part))
        return true;
    printf("%s is not in %s", part, buf_str(line));
    return false;
}

static void every_value_is_there_and_the_record_comes_back(void)
{
    struct record *r = of_everything();
    struct sessions_line back;
    struct buf line;

    buf_init(&line, SESSIONS_LINE_MAX);
    CHECK_INT_FATAL(sessions_write_session(&line, r, 1700000000001, NULL),
                    RC_OK);
    CU_ASSERT(has(&line, "{\"id\":\"AB010203040546078800000000000000\","
                         "\"created\":1700000000000,"
                         "\"accessed\":1700000000001,\"maxInactive\":0,"
                         "\"user\":\"kim\",\"attributes\":{"));
    CU_ASSERT(has(&line, "\"text\":{\"type\":\"string\","
                         "\"value\":\"\\\"\xc3\xa4\\n\\u0000x\"}"));
    CU_ASSERT(has(&line, "\"none\":{\"type\":\"string\",\"encoding\":"
                         "\"base64\",\"value\":\"/w==\"}"));
    CU_ASSERT(has(&line, "\"bytes\":{\"type\":\"bytes\",\"value\":\"AP8=\"}"));
    CU_ASSERT(has(&line, "\"value\":-9223372036854775808}"));
    CU_ASSERT(has(&line, "\"value\":9223372036854775807}"));
    CU_ASSERT(has(&line, "\"value\":9007199254740993}"));
    CU_ASSERT(has(&line, "\"value\":0.1000000000000000"));
    CU_ASSERT(has(&line, "\"nan\":{\"type\":\"double\",\"value\":\"nan\"}"));
    CU_ASSERT(has(&line, "\"yes\":{\"type\":\"bool\",\"value\":true}"));
    CU_ASSERT(has(&line, "\"count\":{\"type\":\"counter\",\"value\":-7}"));
    CU_ASSERT(has(&line, "\"base64:bgBu\":{"));
    CHECK_INT_FATAL(sessions_line_read(line.data, line.len - 1, &back, NULL),
                    RC_OK);
    CHECK_INT(back.kind, LINE_SESSION);
    CHECK_INT(back.access, 1700000000001);
    CU_ASSERT(record_equal(back.record, r));
    sessions_line_release(&back);
    buf_release(&line);
    record_unref(&r);
}

static void what_is_no_line_is_refused(void)
{
    static const struct {
        const char *line;
        enum rc rc;
    } cases[] = {
        {"", RC_INVALID},
        {"[]", RC_INVALID},
        {"{}", RC_INVALID},
        {"{\"margay\":\"sessions\",\"version\":1,\"context\":\"/a\"}", RC_OK},
        {"{\"margay\":\"sessions\",\"version\":1,\"context\":\"a\"}",
         RC_INVALID},
        {"{\"margay\":\"sessions\",\"version\":1,\"context\":\"/\\u0000\"}",
         RC_INVALID},
        {"{\"margay\":\"sessions\",\"version\":2,\"context\":\"/a\"}",
         RC_UNSUPPORTED},
        {"{\"margay\":\"x\",\"version\":1}", RC_INVALID},
        {"{\"end\":true,\"sessions\":0}", RC_OK},
        {"{\"end\":true,\"sessions\":-1}", RC_INVALID},
        {"{\"end\":true,\"sessions\":99999999999999999999}", RC_INVALID},
        {"{\"end\":true,\"end\":true,\"sessions\":1}", RC_INVALID},
        {"{\"end\":false,\"sessions\":1}", RC_INVALID},
        {"{\"end\":true,\"sessions\":1} x", RC_INVALID},
        {"{\"id\":\"\",\"accessed\":1,\"record\":\"\"}", RC_INVALID},
        {"{\"id\":\"\",\"accessed\":1,\"record\":\"A\"}", RC_INVALID},
    };
    struct sessions_line line;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {""};
        CHECK_INT(sessions_line_read(cases[i].line, strlen(cases[i].line),
                                     &line, &err),
                  cases[i].rc);
        CHECK_INT(err.text[0] != '\0', cases[i].rc != RC_OK);
        sessions_line_release(&line);
    }
}

static bool is_refused(const char *line, size_t len, const char *why)
{
    struct sessions_line out;
    struct err err = {""};
    CHECK_INT(sessions_line_read(line, len, &out, &err), RC_INVALID);
    if (strstr(err.text, why))
        return true;
    printf("\"%s\" is not in: %s\n", why, err.text);
    return false;
}

static void why_it_is_none_is_said(void)
{
    static char deep[10000];
    const char *twice = "{\"end\":true,\"end\":true,\"sessions\":1}";
    const char *large = "{\"accessed\":99999999999999999999}";

    memset(deep, '[', sizeof deep);
    CU_ASSERT(is_refused(deep, sizeof deep, "nested too deeply"));
    CU_ASSERT(is_refused(twice, strlen(twice), "a name stands twice"));
    CU_ASSERT(is_refused(large, strlen(large), "a number that is too large"));
    CU_ASSERT(is_refused("{\"\xff\":1}", 7, "not UTF-8"));
    CU_ASSERT(is_refused("{\"end\":", 7, "not one JSON object (at byte 7)"));
}

/* Small values take many times their bytes: they are counted first, whatever
 * stands in a string. */
static void a_line_has_no_more_values_than_a_session(void)
{
    static char text[3 * SESSIONS_VALUES_MAX + 100];
    const char *end = "\":1,\"sessions\":0,\"end\":true}";
    struct sessions_line line;
    size_t len = 0;

    text[len++] = '[';
    for (size_t i = 0; i < SESSIONS_VALUES_MAX; i++, len += 3)
        memcpy(text + len, "[],", 3);
    memcpy(text + len - 1, "]", 2);
    CU_ASSERT(is_refused(text, strlen(text), "values"));
    /* in a name they are none */
    memset(text, ',', sizeof text - 1);
    memcpy(text, "{\"\\\"[{", 6);
    memcpy(text + sizeof text - 1 - strlen(end), end, strlen(end));
    CHECK_INT(sessions_line_read(text, strlen(text), &line, NULL), RC_OK);
    sessions_line_release(&line);
}

/* They are for people: the record has all. */
static void a_session_of_very_many_attributes_comes_back(void)
{
    struct value yes = {.type = VALUE_BOOL, .truth = true};
    struct sessions_line back;
    struct changes c;
    struct buf line;
    char name[16];

    changes_init(&c);
    for (int i = 0; i < SESSIONS_ATTRIBUTES_MAX + 5; i++) {
        snprintf(name, sizeof name, "%d", i);
        set(&c, name, yes);
    }
    struct record *r = record_new(RECORD_SESSION, id, 1700000000000, &c, 9);
    buf_init(&line, SESSIONS_LINE_MAX);
    CHECK_INT_FATAL(sessions_write_session(&line, r, 1, NULL), RC_OK);
    CU_ASSERT(strstr(buf_str(&line), "\"attributesLeftOut\":5,") != NULL);
    CHECK_INT_FATAL(sessions_line_read(line.data, line.len - 1, &back, NULL),
                    RC_OK);
    CU_ASSERT(record_equal(back.record, r));
    sessions_line_release(&back);
    buf_release(&line);
    changes_release(&c);
    record_unref(&r);
}

static void what_was_seen_is_known(void)
{
    struct sessions_seen seen = {.count = 0};
    uint8_t ids[1000][ID_SIZE];

    for (size_t i = 0; i < 1000; i++) {
        id_mint(ids[i]);
        memset(ids[i], i % 7 ? ids[i][0] : 1, 8); /* many at one place */
        CU_ASSERT(sessions_seen_add(&seen, ids[i]));
    }
    for (size_t i = 0; i < 1000; i++)
        CU_ASSERT_FALSE(sessions_seen_add(&seen, ids[i]));
    CHECK_INT(seen.count, 1000);
    sessions_seen_release(&seen);
}

/* A tombstone, and the record of something else, are no sessions. */
static void only_a_session_is_one(void)
{
    struct record *r = of_everything(), *others[2];
    struct changes none;
    struct buf line;

    changes_init(&none);
    others[0] = record_end_delta(r, REASON_LOGOUT, NULL, 1700000000005, 9);
    others[1] = record_new(RECORD_USER, id, 1700000000000, &none, 9);
    buf_init(&line, SESSIONS_LINE_MAX);
    for (int i = 0; i < 2; i++) {
        struct sessions_line back;
        buf_reset(&line);
        CHECK_INT(sessions_write_session(&line, others[i], 1, NULL), RC_OK);
        CHECK_INT(sessions_line_read(line.data, line.len - 1, &back, NULL),
                  RC_INVALID);
        CU_ASSERT_PTR_NULL(back.record);
        record_unref(&others[i]);
    }
    buf_release(&line);
    changes_release(&none);
    record_unref(&r);
}

static void base64_is_that_of_the_rfc(void)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    static const char *const wrong[] = {"Z",      "Zg",   "Zg=",      "Zh==",
                                        "Zm9=",   "=Zg=", "Zg==Zg==", "Zm 9",
                                        "Zg==\n", "Zm9-"};
    struct buf b;

    buf_init(&b, 64);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        buf_reset(&b);
        CU_ASSERT(base64_write(&b, pairs[i][0], strlen(pairs[i][0])));
        CHECK_STR(buf_str(&b), pairs[i][1]);
        buf_release(&b);
        CU_ASSERT(base64_read(&b, pairs[i][1], strlen(pairs[i][1])));
        CHECK_STR(buf_str(&b), pairs[i][0]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CU_ASSERT_FALSE(base64_read(&b, wrong[i], strlen(wrong[i])));
    buf_release(&b);
}

/* Under nohup a hangup ends nothing. */
static void only_a_signal_that_ends_a_process_ends_it(void)
{
    sigset_t before, terms;
    int got = 0;

    sigemptyset(&terms);
    sigaddset(&terms, SIGTERM);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    signal(SIGHUP, SIG_IGN);
    sessions_block_signals();
    raise(SIGHUP);
    CU_ASSERT_FALSE(sessions_stopped());
    raise(SIGTERM);
    CU_ASSERT(sessions_stopped());
    CHECK_INT(sigwait(&terms, &got), 0);
    CHECK_INT(got, SIGTERM);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    signal(SIGHUP, SIG_DFL);
}

UNIT_MAIN("sessions_json", CASE(every_value_is_there_and_the_record_comes_back),
          CASE(what_is_no_line_is_refused), CASE(why_it_is_none_is_said),
          CASE(a_line_has_no_more_values_than_a_session),
          CASE(a_session_of_very_many_attributes_comes_back),
          CASE(what_was_seen_is_known), CASE(only_a_session_is_one),
          CASE(base64_is_that_of_the_rfc),
          CASE(only_a_signal_that_ends_a_process_ends_it))
