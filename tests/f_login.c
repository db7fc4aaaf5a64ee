/* SPDX-License-Identifier: Apache-2.0
 *
 * f_login.c: the sample application, request by request. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void is_text(struct browser *b, int status, const char *body)
{
    CHECK_INT(b->status, status);
    CHECK_STR(b->body, body);
    const char *type = browser_header(b, "Content-Type", 0);
    CU_ASSERT(type && strncmp(type, "text/plain", 10) == 0);
}

static void a_stranger_is_told_so(struct fleet *f)
{
    static const char *const paths[] = {"/login/me",  "/login/hit",
                                        "/login/put", "/login/put?k=a&v=b",
                                        "/login/get", "/login/get?k=a"};
    struct server *s = fleet_server(f, 0);
    struct browser b;
    browser_open(&b);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        browser_get(&b, s, paths[i]);
        is_text(&b, 401, "not logged in: none\n");
        CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    }
    browser_post(&b, s, "/login/logout", NULL);
    is_text(&b, 401, "not logged in: none\n");
    CHECK_INT(browser_get(&b, s, "/login/"), 200);
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    browser_get(&b, s, "/login/hello");
    is_text(&b, 200, "hello\n");
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    browser_close(&b);
}

static void a_login_goes_like_that(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char first[128], second[128], line[256];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_post(&b, s, "/login/login", "user=kim"), 400);
    CHECK_INT(browser_post(&b, s, "/login/login", "password=margay"), 400);
    CHECK_INT(browser_get(&b, s, "/login/login"), 405);
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CHECK_STR(browser_header(&b, "Location", 0), "/login/me");
    CHECK_INT(browser_get(&b, s, "/login/me"), 200);
    browser_line(&b, "session", first);
    snprintf(line, sizeof line,
             "user=kim\ninstance=node1\nsession=%s\nhits=0\n", first);
    is_text(&b, 200, line);

    /* Again over one's own session: a new id, the same session. */
    browser_get(&b, s, "/login/hit");
    is_text(&b, 200, "1\n");
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CHECK_INT(browser_get(&b, s, "/login/me"), 200);
    browser_line(&b, "session", second);
    CU_ASSERT(strcmp(first, second) != 0);
    CHECK_STR(browser_line(&b, "hits", line), "1");
    browser_close(&b);
}

static void a_login_over_another_users_session_begins_anew(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char kim[128], header[160], line[128];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", kim));
    CHECK_INT(browser_get(&b, s, "/login/put?k=secret&v=kim"), 200);
    CHECK_INT(browser_login(&b, s, "lee"), 303);
    CHECK_INT(browser_get(&b, s, "/login/me"), 200);
    CHECK_STR(browser_line(&b, "user", line), "lee");
    CHECK_INT(browser_get(&b, s, "/login/get?k=secret"), 404);
    snprintf(header, sizeof header, "Cookie: %s", kim);
    for (unsigned i = 0; i < 3; i++) {
        browser_get_with(&b, fleet_server(f, i), "/login/me", header);
        is_text(&b, 401, "not logged in: replaced\n");
    }
    browser_close(&b);
}

static void a_guest_becomes_a_user(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char guest[128], header[160], line[128];
    struct browser b;
    browser_open(&b);
    browser_get(&b, s, "/login/new");
    is_text(&b, 200, "new\n");
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", guest));
    CHECK_INT(browser_get(&b, s, "/login/put?k=cart&v=full"), 200);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CHECK_INT(browser_get(&b, s, "/login/me"), 200);
    CHECK_STR(browser_line(&b, "user", line), "kim");
    browser_get(&b, s, "/login/get?k=cart");
    is_text(&b, 200, "full\n");
    /* The id of before says nothing any more. */
    snprintf(header, sizeof header, "Cookie: %s", guest);
    for (unsigned i = 0; i < 3; i++) {
        browser_get_with(&b, fleet_server(f, i), "/login/me", header);
        is_text(&b, 401, "not logged in: unknown\n");
    }
    browser_close(&b);
}

/* The longest that a form and a session take, not what a buffer holds. */
static void a_very_long_name_is_told_whole(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char form[2100] = "password=x&user=", *name = form + strlen(form);
    struct browser b;
    memset(name, 'a', 2000);
    browser_open(&b);
    CHECK_INT(browser_post(&b, s, "/login/login", form), 303);
    CHECK_INT(browser_get(&b, s, "/login/"), 200);
    CU_ASSERT(!strncmp(b.body, "user=", 5) && !strncmp(b.body + 5, name, 2000));
    CU_ASSERT_PTR_NOT_NULL(strstr(b.body, "a\ninstance=node1\nmanager="));
    CU_ASSERT(b.body[strlen(b.body) - 1] == '\n');
    browser_close(&b);
    CHECK_INT(server_said_times(s, " WARN node1 login: login.anyone is true"),
              1);
}

static void put_and_get_keep_what_they_are_given(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CHECK_INT(browser_get(&b, s, "/login/put"), 400);
    CHECK_INT(browser_get(&b, s, "/login/put?v=b"), 400);
    CHECK_INT(browser_get(&b, s, "/login/get"), 400);
    CHECK_INT(browser_get(&b, s, "/login/get?k=a"), 404);
    browser_get(&b, s, "/login/put?k=a+b&v=%c3%a9%20%3Cb%3E+1");
    is_text(&b, 200, "ok\n");
    browser_get(&b, fleet_server(f, 1), "/login/get?k=a%20b");
    is_text(&b, 200, "\xc3\xa9 <b> 1\n");
    /* Never the application's own attributes. */
    CHECK_INT(browser_get(&b, s, "/login/put?k=hits&v=99"), 200);
    browser_get(&b, s, "/login/hit");
    is_text(&b, 200, "1\n");
    browser_get(&b, s, "/login/get?k=hits");
    is_text(&b, 200, "99\n");
    browser_get(&b, s, "/login/put?k=e");
    is_text(&b, 200, "ok\n");
    browser_get(&b, s, "/login/get?k=e");
    is_text(&b, 200, "\n");
    browser_close(&b);
}

static void too_much_is_refused(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    struct browser b;
    int status = 200, puts = 0;
    char *form = malloc(7000);
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    while (status == 200 && puts < 30) {
        int n = snprintf(form, 7000, "k=key%d&v=", puts++);
        memset(form + n, 'x', 6000);
        form[n + 6000] = 0;
        status = browser_post(&b, s, "/login/put", form);
    }
    CHECK_INT(status, 413);
    CU_ASSERT(puts > 5);
    CHECK_INT(browser_get(&b, s, "/login/get?k=key0"), 200);
    CHECK_INT((int64_t)b.body_len, 6001);
    free(form);
    browser_close(&b);
}

static void an_end_is_told(struct fleet *f)
{
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/logout"), 405);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/me"), 200);
    browser_post(&b, fleet_server(f, 1), "/login/logout", NULL);
    is_text(&b, 200, "bye\n");
    browser_post(&b, fleet_server(f, 2), "/login/logout", NULL);
    is_text(&b, 401, "not logged in: logout\n");
    browser_close(&b);
}

struct waiting {
    struct browser *browser;
    struct fleet *fleet;
};

static bool is_over(void *user)
{
    struct waiting *w = user;
    /* /login/ itself is a use; another's look-up is not needed. */
    return server_metric(fleet_server(w->fleet, 0),
                         "margay_sessions_ended_total") > 0;
}

static void a_time_to_live_ends_as_idle(struct fleet *f)
{
    struct browser b;
    struct waiting waiting = {&b, f};
    browser_open(&b);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/new?ttl=x"), 400);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/new?ttl=1"), 200);
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/hit"), 200);
    CU_ASSERT(eventually(10000, is_over, &waiting));
    for (unsigned i = 0; i < 3; i++) {
        browser_get(&b, fleet_server(f, i), "/login/me");
        is_text(&b, 401, "not logged in: idle\n");
    }
    browser_close(&b);
}

/* ---- for people ---- */

static bool holds(const struct browser *b, const char *text)
{
    return strstr(b->body, text) != NULL;
}

static const char html[] = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

static void a_browser_gets_pages(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    struct browser b;
    const char *type;
    browser_open(&b);
    CHECK_INT(browser_get_with(&b, s, "/login/", html), 200);
    type = browser_header(&b, "Content-Type", 0);
    CU_ASSERT(type && strncmp(type, "text/html", 9) == 0);
    CU_ASSERT(holds(&b, "name=\"user\"") && holds(&b, "name=\"password\""));
    CU_ASSERT(holds(&b, "node1"));
    CHECK_INT(browser_get_with(&b, s, "/login/me", html), 401);
    CU_ASSERT(holds(&b, "name=\"user\""));
    CHECK_INT(browser_get_with(&b, s, "/login/hello", html), 200);
    CU_ASSERT(holds(&b, "<html"));
    CHECK_INT(browser_get_with(&b, s, "/login/me", "Accept: */*"), 401);
    is_text(&b, 401, "not logged in: none\n");

    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CHECK_INT(browser_get_with(&b, s, "/login/", html), 200);
    CU_ASSERT(holds(&b, "kim") && holds(&b, "logout") && holds(&b, "node1"));
    /* Which way sessions are kept. */
    CU_ASSERT(holds(&b, "Manager"));
    CHECK_INT(browser_get_with(&b, s, "/login/put?k=x&v=%3Cscript%3E", html),
              200);
    CHECK_INT(browser_get_with(&b, s, "/login/get?k=x", html), 200);
    CU_ASSERT(!holds(&b, "<script>") && holds(&b, "&lt;script&gt;"));
    /* Bytes have no end of their own, and may hold a 0. */
    CHECK_INT(browser_get(&b, s, "/login/put?k=y&v=a%00%3Cb%3E%00"), 200);
    CHECK_INT(browser_get_with(&b, s, "/login/get?k=y", html), 200);
    CU_ASSERT(holds(&b, "a\xef\xbf\xbd&lt;b&gt;\xef\xbf\xbd</pre>"));
    CHECK_INT(browser_post(&b, s, "/login/logout", NULL), 200);
    CHECK_INT(browser_get_with(&b, s, "/login/", html), 200);
    CU_ASSERT(holds(&b, "logged out"));
    browser_close(&b);
}

/* ---- with hashed passwords ---- */

static struct fleet *fleet_with(const char *name, const char *value)
{
    struct fleet *f = fleet_new("sqlite.xml");
    if (f) {
        fleet_define(f, "login.anyone", "false");
        fleet_define(f, name, value);
        CU_ASSERT_FATAL(fleet_start(f, 1));
    }
    return f;
}

static void passwords_are_checked(void)
{
    static const char *const users[] = {"kim", "lee", "park"};
    struct fleet *f = fleet_with("maxInactive", "600");
    struct browser b;
    char line[128];
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    browser_open(&b);
    CHECK_INT(browser_post(&b, s, "/login/login", "user=kim&password=wrong"),
              401);
    CHECK_INT(browser_post(&b, s, "/login/login", "user=nobody&password=x"),
              401);
    CHECK_INT(browser_post(&b, s, "/login/login", "user=kim&password="), 401);
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        CHECK_INT(browser_login(&b, s, users[i]), 303);
        CHECK_INT(browser_get(&b, s, "/login/me"), 200);
        CHECK_STR(browser_line(&b, "user", line), users[i]);
    }
    CHECK_INT(server_said_times(s, "password=wrong"), 0);
    browser_close(&b);
}

static void the_playground_can_be_switched_off(void)
{
    struct fleet *f = fleet_with("login.playground", "false");
    struct browser b;
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    browser_open(&b);
    CHECK_INT(browser_get(&b, s, "/login/new"), 404);
    CHECK_INT(browser_get(&b, s, "/login/put?k=a&v=b"), 401);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CHECK_INT(browser_get(&b, s, "/login/put?k=a&v=b"), 404);
    CHECK_INT(browser_get(&b, s, "/login/hit"), 200);
    browser_close(&b);
}

static void a_lifetime_ends_all_use(void)
{
    struct fleet *f = fleet_with("maxLifetime", "1");
    struct browser b;
    struct waiting waiting = {&b, f};
    if (!f)
        return;
    struct server *s = fleet_server(f, 0);
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT(eventually(10000, is_over, &waiting));
    browser_get(&b, s, "/login/me");
    is_text(&b, 401, "not logged in: lifetime\n");
    browser_close(&b);
}

FLEET_CASES(a_stranger_is_told_so)
FLEET_CASES(a_login_goes_like_that)
FLEET_CASES(a_login_over_another_users_session_begins_anew)
FLEET_CASES(a_guest_becomes_a_user)
FLEET_CASES(a_very_long_name_is_told_whole)
FLEET_CASES(put_and_get_keep_what_they_are_given)
FLEET_CASES(too_much_is_refused)
FLEET_CASES(an_end_is_told)
FLEET_CASE(a_time_to_live_ends_as_idle, standard, "standard.xml", 1)
FLEET_CASES(a_browser_gets_pages)
UNIT_MAIN_AROUND(
    "login pages", NULL, fleet_end, FLEET_ENTRIES(a_stranger_is_told_so),
    FLEET_ENTRIES(a_login_goes_like_that),
    FLEET_ENTRIES(a_login_over_another_users_session_begins_anew),
    FLEET_ENTRIES(a_guest_becomes_a_user),
    FLEET_ENTRIES(a_very_long_name_is_told_whole),
    FLEET_ENTRIES(put_and_get_keep_what_they_are_given),
    FLEET_ENTRIES(too_much_is_refused), FLEET_ENTRIES(an_end_is_told),
    CASE(a_time_to_live_ends_as_idle_on_standard),
    FLEET_ENTRIES(a_browser_gets_pages), CASE(passwords_are_checked),
    CASE(the_playground_can_be_switched_off), CASE(a_lifetime_ends_all_use))
