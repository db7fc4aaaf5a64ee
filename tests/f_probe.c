/* SPDX-License-Identifier: Apache-2.0
 *
 * f_probe.c: every call of HttpSession over HTTP, in Tomcat's order of events.
 */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool holds(const struct browser *b, const char *text)
{
    return strstr(b->body, text) != NULL;
}

static void values_keep_their_types(struct fleet *f)
{
    static const char *const values[][3] = {
        {"a", "string", "\"text\""},
        {"b", "bytes", "\"00ff10\""},
        {"c", "int", "-9007199254740993"},
        {"d", "double", "0.5"},
        {"e", "bool", "true"},
        {"f", "counter", "41"},
    };
    struct browser b;
    char path[192], expected[96], plain[64];
    browser_open(&b);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/probe/create"), 200);
    CU_ASSERT(holds(&b, "\"new\":true"));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        size_t n = 0; /* without the quotes of JSON */
        for (const char *c = values[i][2]; *c; c++)
            if (*c != '"')
                plain[n++] = *c;
        plain[n] = 0;
        snprintf(path, sizeof path, "/probe/set?name=%s&type=%s&value=%s",
                 values[i][0], values[i][1], plain);
        CHECK_INT(browser_get(&b, fleet_server(f, 0), path), 200);
        snprintf(path, sizeof path, "/probe/get?name=%s", values[i][0]);
        snprintf(expected, sizeof expected, "\"type\":\"%s\",\"value\":%s",
                 values[i][1], values[i][2]);
        CHECK_INT(browser_get(&b, fleet_server(f, 1), path), 200);
        CU_ASSERT(holds(&b, expected));
        if (!holds(&b, expected))
            printf("%s is not in %s\n", expected, b.body);
    }
    CHECK_INT(browser_get(&b, fleet_server(f, 2), "/probe/names"), 200);
    CU_ASSERT(holds(&b, "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]"));
    CHECK_INT(browser_get(&b, fleet_server(f, 2), "/probe/add?name=f"), 200);
    CU_ASSERT(holds(&b, "\"value\":42"));
    CHECK_INT(browser_get(&b, fleet_server(f, 2), "/probe/add?name=a"), 400);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/probe/remove?name=a"), 200);
    CHECK_INT(browser_get(&b, fleet_server(f, 1), "/probe/get?name=a"), 200);
    CU_ASSERT(holds(&b, "\"type\":\"none\""));
    CHECK_INT(browser_get(&b, fleet_server(f, 1), "/probe/remove?name=a"), 200);
    browser_close(&b);
}

static void an_invalidated_session_is_none(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char first[128], second[128];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, s, "/probe/invalidate"), 401);
    CHECK_INT(browser_get(&b, s, "/probe/create"), 200);
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", first));
    /* Held on to, it is ended; asked for again, there is none. */
    CHECK_INT(browser_get(&b, s,
                          "/probe/script?do=set:a:1,invalidate,get:a,set:a:2,"
                          "invalidate,session,create,names"),
              200);
    CU_ASSERT(holds(&b, "\"illegal\""));
    CU_ASSERT(holds(&b, "\"do\":\"session\",\"result\":\"none\""));
    CU_ASSERT(holds(&b, "\"names\":[]"));
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", second));
    CU_ASSERT(strcmp(first, second) != 0);
    CHECK_INT(browser_get(&b, s, "/probe/session"), 200);
    CU_ASSERT(holds(&b, "\"new\":false"));
    browser_close(&b);
}

static void a_new_id_is_the_same_session(struct fleet *f)
{
    char first[128], second[128];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/probe/change-id"), 409);
    CHECK_INT(browser_get(&b, fleet_server(f, 0),
                          "/probe/script?do=create,set:a:kept"),
              200);
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", first));
    CHECK_INT(browser_get(&b, fleet_server(f, 1), "/probe/change-id"), 200);
    CU_ASSERT_PTR_NOT_NULL(browser_header(&b, "Set-Cookie", 0));
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", second));
    CU_ASSERT(strncmp(first, second, 43) != 0);
    CHECK_INT(browser_get(&b, fleet_server(f, 2), "/probe/get?name=a"), 200);
    CU_ASSERT(holds(&b, "\"kept\""));
    browser_close(&b);
}

static void limits_can_be_set(struct fleet *f)
{
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/probe/create"), 200);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/probe/max-inactive"), 200);
    CU_ASSERT(holds(&b, "\"maxInactive\":1800"));
    CHECK_INT(
        browser_get(&b, fleet_server(f, 0), "/probe/max-inactive?seconds=60"),
        200);
    CHECK_INT(browser_get(&b, fleet_server(f, 1), "/probe/info"), 200);
    CU_ASSERT(holds(&b, "\"maxInactive\":60,"));
    CU_ASSERT(holds(&b, "\"fromCookie\":true"));
    CU_ASSERT(holds(&b, "\"fromUrl\":false"));
    browser_close(&b);
}

/* The events of one listener, as "event[:name]" in a row. */
static void events_of(const struct browser *b, const char *listener, char *out,
                      size_t size)
{
    char mark[48];
    snprintf(mark, sizeof mark, "\"listener\":\"%s\",\"event\":\"", listener);
    out[0] = 0;
    for (const char *at = b->body; (at = strstr(at, mark));) {
        const char *end = strchr(at, '}');
        const char *name = strstr(at, "\"name\":\"");
        at += strlen(mark);
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%.*s", used ? " " : "",
                 (int)strcspn(at, "\""), at);
        if (name && name < end) {
            name += 8;
            used = strlen(out);
            snprintf(out + used, size - used, ":%.*s", (int)strcspn(name, "\""),
                     name);
        }
    }
}

static void listeners_hear_in_tomcats_order(struct fleet *f)
{
    static const char expected[] =
        "created attribute_added:b attribute_added:a attribute_replaced:b "
        "attribute_removed:a id_changed destroyed attribute_removed:b";
    struct server *s = fleet_server(f, 0);
    char first[1024], second[1024];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, s, "/probe/events?clear=true"), 200);
    CHECK_INT(browser_get(&b, s, "/probe/script?do=create,set:b:1,set:a:1"),
              200);
    CHECK_INT(browser_get(&b, s,
                          "/probe/script?do=set:b:2,remove:a,remove:none,"
                          "change-id"),
              200);
    CHECK_INT(browser_get(&b, s, "/probe/invalidate"), 200);
    CHECK_INT(browser_get(&b, s, "/probe/events"), 200);
    events_of(&b, "first", first, sizeof first);
    events_of(&b, "second", second, sizeof second);
    CHECK_STR(first, expected);
    CHECK_STR(second, expected);
    /* Forward in the order of web.xml, and backward for the end. */
    const char *created = strstr(b.body, "\"event\":\"created\"");
    const char *ended = strstr(b.body, "\"event\":\"destroyed\"");
    CU_ASSERT_FATAL(created && ended);
    CU_ASSERT(strncmp(created - 8, "\"first\",", 8) == 0);
    CU_ASSERT(strncmp(ended - 9, "\"second\",", 9) == 0);
    CU_ASSERT(holds(&b, "\"reason\":\"logout\""));
    browser_close(&b);
}

static void urls_are_written_where_cookies_fail(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char id[128], path[256], expected[256];
    struct browser b;
    browser_open(&b);
    /* The very first answer has both, afterwards links are clean. */
    CHECK_INT(browser_get(&b, s, "/probe/script?do=create,encode:bar.html?x=1"),
              200);
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", id));
    snprintf(expected, sizeof expected, "bar.html;jsessionid=%s?x=1", id + 11);
    CU_ASSERT(holds(&b, expected));
    CHECK_INT(browser_get(&b, s, "/probe/encode?url=bar.html"), 200);
    CU_ASSERT(holds(&b, "\"url\":\"bar.html\""));

    browser_forget(&b);
    snprintf(path, sizeof path,
             "/probe/encode;jsessionid=%s?url=%%2Fprobe%%2Fx", id + 11);
    CHECK_INT(browser_get(&b, s, path), 200);
    snprintf(expected, sizeof expected, "/probe/x;jsessionid=%s", id + 11);
    CU_ASSERT(holds(&b, expected));
    snprintf(path, sizeof path, "/probe/info;jsessionid=%s", id + 11);
    CHECK_INT(browser_get(&b, s, path), 200);
    CU_ASSERT(holds(&b, "\"fromUrl\":true"));
    browser_close(&b);
}

static void a_request_ends_with_the_session_that_ended(struct fleet *f)
{
    struct shot shots[2];
    struct battery *battery = battery_new(2);
    char cookie[128];
    struct browser b;
    memset(shots, 0, sizeof shots);
    browser_open(&b);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/probe/create"), 200);
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", cookie));
    /* The slow one has begun when the other ends the session: the fast one
     * sleeps a little too. */
    shots[0].server = fleet_server(f, 0);
    shots[0].cookie = cookie;
    snprintf(shots[0].path, sizeof shots[0].path,
             "/probe/script?do=sleep:800,set:a:1");
    shots[1].server = fleet_server(f, 1);
    shots[1].cookie = cookie;
    snprintf(shots[1].path, sizeof shots[1].path,
             "/probe/script?do=sleep:200,invalidate");
    volley(battery, shots, 2);
    CHECK_INT(shots[1].status, 200);
    CHECK_INT(shots[0].status, 401);
    CHECK_STR(shots[0].body, "not logged in: logout\n");
    battery_free(&battery);
    browser_close(&b);
}

FLEET_CASES(values_keep_their_types)
FLEET_CASES(an_invalidated_session_is_none)
FLEET_CASES(a_new_id_is_the_same_session)
FLEET_CASES(limits_can_be_set)
FLEET_CASES(listeners_hear_in_tomcats_order)
FLEET_CASES(urls_are_written_where_cookies_fail)
FLEET_CASES(a_request_ends_with_the_session_that_ended)
UNIT_MAIN_AROUND("probe", NULL, fleet_end,
                 FLEET_ENTRIES(values_keep_their_types),
                 FLEET_ENTRIES(an_invalidated_session_is_none),
                 FLEET_ENTRIES(a_new_id_is_the_same_session),
                 FLEET_ENTRIES(limits_can_be_set),
                 FLEET_ENTRIES(listeners_hear_in_tomcats_order),
                 FLEET_ENTRIES(urls_are_written_where_cookies_fail),
                 FLEET_ENTRIES(a_request_ends_with_the_session_that_ended))
