/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/option.h"
#include "tests/unit.h"

#include <string.h>

struct target {
    char *name;
    int64_t size, any;
    bool flag;
    int how;
};

static const struct option table[] = {
    {.name = "name",
     .kind = OPTION_STRING,
     .offset = offsetof(struct target, name),
     .help = "a text"},
    {.name = "size",
     .kind = OPTION_INT,
     .offset = offsetof(struct target, size),
     .preset = "12",
     .min = -1,
     .max = 100,
     .help = "a number"},
    {.name = "any",
     .kind = OPTION_INT,
     .offset = offsetof(struct target, any),
     .help = "a number without bounds"},
    {.name = "flag",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct target, flag),
     .preset = "true",
     .help = "yes or no"},
    {.name = "how",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct target, how),
     .preset = "one",
     .choices = "none|one|all",
     .help = "one of three"},
    {.name = "java", .kind = OPTION_IGNORED, .help = "Java only"},
    {.name = "idle",
     .kind = OPTION_LATER,
     .preset = "-1",
     .help = "idle swap comes later"},
    {0},
};

static struct target t;
static struct err err;

static void before(void)
{
    memset(&t, 0xaa, sizeof t);
    memset(&err, 0, sizeof err);
    option_defaults(table, &t);
}

static void after(void)
{
    option_release(table, &t);
}

static enum rc set(const char *name, const char *value)
{
    return option_set(table, &t, name, value, &err);
}

static void defaults_fill_every_member(void)
{
    CHECK_STR(t.name, NULL);
    CHECK_INT(t.size, 12);
    CHECK_INT(t.any, 0);
    CU_ASSERT(t.flag);
    CHECK_INT(t.how, 1);
}

static void strings_are_copied(void)
{
    char value[] = "first";

    CHECK_INT(set("name", value), RC_OK);
    value[0] = 'X';
    CHECK_STR(t.name, "first");
    CHECK_INT(set("name", t.name + 1), RC_OK);
    CHECK_STR(t.name, "irst");
    CHECK_INT(set("name", ""), RC_OK);
    CHECK_STR(t.name, "");
    option_release(table, &t);
    CHECK_STR(t.name, NULL);
}

static void numbers_are_whole_and_within(void)
{
    static const char *const bad[] = {"",
                                      " 5",
                                      "5 ",
                                      "x",
                                      "5x",
                                      "1.5",
                                      "101",
                                      "-2",
                                      "\n5",
                                      "0x5",
                                      "99999999999999999999"};

    CHECK_INT(set("size", "-1"), RC_OK);
    CHECK_INT(t.size, -1);
    CHECK_INT(set("size", "100"), RC_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(set("size", bad[i]), RC_INVALID);
    CHECK_INT(t.size, 100);
    CHECK_INT(set("any", "9223372036854775807"), RC_OK);
    CU_ASSERT(t.any == INT64_MAX);
}

static void an_error_says_what_is_possible(void)
{
    set("size", "101");
    CHECK_STR(err.text, "size=\"101\" is out of range: -1 to 100 is possible");
    set("how", "some");
    CHECK_STR(err.text, "how=\"some\" is not one of none|one|all");
    set("flag", "yes");
    CHECK_STR(err.text, "flag=\"yes\": say true or false");
}

static void booleans_in_any_case(void)
{
    CHECK_INT(set("flag", "False"), RC_OK);
    CU_ASSERT_FALSE(t.flag);
    CHECK_INT(set("flag", "TRUE"), RC_OK);
    CU_ASSERT(t.flag);
    CHECK_INT(set("flag", "1"), RC_INVALID);
    CU_ASSERT(t.flag);
}

static void choices_are_whole_words(void)
{
    CHECK_INT(set("how", "ALL"), RC_OK);
    CHECK_INT(t.how, 2);
    CHECK_INT(set("how", "none"), RC_OK);
    CHECK_INT(t.how, 0);
    CHECK_INT(set("how", "on"), RC_INVALID);
    CHECK_INT(set("how", "none|one"), RC_INVALID);
    CHECK_INT(set("how", ""), RC_INVALID);
    CHECK_INT(t.how, 0);
}

static void what_is_not_ours_is_told_apart(void)
{
    CHECK_INT(set("java", "anything"), RC_OK);
    CHECK_INT(set("idle", "-1"), RC_OK);
    CHECK_INT(set("idle", "60"), RC_UNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "idle swap comes later"));
    CHECK_INT(set("nothing", "60"), RC_ABSENT);
    CHECK_INT(option_find(table, "java")->kind, OPTION_IGNORED);
    CU_ASSERT_PTR_NULL(option_find(table, "nothing"));
    CU_ASSERT_PTR_NULL(option_find(NULL, "size"));
}

UNIT_MAIN_AROUND("option", before, after, CASE(defaults_fill_every_member),
                 CASE(strings_are_copied), CASE(numbers_are_whole_and_within),
                 CASE(an_error_says_what_is_possible),
                 CASE(booleans_in_any_case), CASE(choices_are_whole_words),
                 CASE(what_is_not_ours_is_told_apart))
