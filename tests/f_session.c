/* SPDX-License-Identifier: Apache-2.0
 *
 * f_session.c: a request and its session: which id counts, when a cookie
 * leaves, several sessions in one request, ends while it runs. */
#include "config.h"

#include "container/valve.h"
#include "session/manager_impl.h"
#include "tests/site.h"
#include "tests/unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- servlets ---- */

static void about(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, false);
    const char *requested = http_request_requested_session_id(r);
    http_response_printf(w, "%s|%s|%s|%s%s", s ? http_session_id(s) : "-",
                         http_request_session_reason(r),
                         requested ? requested : "-",
                         http_request_session_id_from_cookie(r) ? "cookie" : "",
                         http_request_session_id_from_url(r) ? "url" : "");
}

static void begin(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, true);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    http_response_printf(w, "%s %s", http_session_id(s),
                         http_session_is_new(s) ? "new" : "old");
}

static void end(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, false);
    if (s) {
        CU_ASSERT(http_session_invalidate(s) == HTTP_OK);
        CU_ASSERT(http_session_invalidate(s) == HTTP_ILLEGAL);
        CU_ASSERT_FALSE(http_session_is_valid(s));
        CU_ASSERT(http_session_set_int(s, "x", 1) == HTTP_ILLEGAL);
    }
    CU_ASSERT_PTR_NULL(http_request_session(r, false));
    http_response_print(w, http_request_session_reason(r));
}

static void end_and_begin(struct http_request *r, struct http_response *w)
{
    struct http_session *old = http_request_session(r, true);
    CU_ASSERT(http_session_invalidate(old) == HTTP_OK);
    begin(r, w);
}

static void rename_it(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    const char *old = http_session_id(s);
    CU_ASSERT(http_request_change_session_id(r) == HTTP_OK);
    CU_ASSERT(strcmp(old, http_session_id(s)) != 0);
    http_response_printf(w, "%s %s", old, http_session_id(s));
}

static void login(struct http_request *r, struct http_response *w)
{
    struct http_session *s = NULL;
    CU_ASSERT(http_session_login(r, "", &s) == HTTP_INVALID);
    enum http_result result =
        http_session_login(r, http_request_param(r, "user"), &s);
    if (result != HTTP_OK) {
        http_response_print(w, http_result_text(result));
        return;
    }
    http_response_printf(w, "%s %s %lld", http_session_id(s),
                         http_session_user(s),
                         (long long)http_session_get_int(s, "n", 0));
}

/* Where only reading is possible, what a servlet tries to change is refused. */
static void try_put(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, true);
    http_response_print(w, s ? http_result_text(http_session_set_int(s, "n", 9))
                             : "none");
}

static void put(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, true);
    CU_ASSERT(http_session_set_int(s, "n", 7) == HTTP_OK);
    CU_ASSERT(http_session_set_int(s, "", 7) == HTTP_INVALID);
    http_response_print(w, "put");
}

/* While it runs, another request ends the session. */
static struct site *site;
static char cookie[128];

static void overtaken(struct http_request *r, struct http_response *w)
{
    put(r, w);
    struct call *c = site_get(site, "/app/end", cookie);
    CHECK_INT(c->status, 200);
    call_free(&c);
    if (http_request_query(r))
        http_response_keep_on_end(w);
}

/* It would go on under a new id. */
static void too_late(struct http_request *r, struct http_response *w)
{
    overtaken(r, w);
    CU_ASSERT(http_request_change_session_id(r) == HTTP_OK);
}

static void links(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, true);
    (void)s;
    http_response_printf(w, "%s", http_response_encode_url(w, "next?a=b#c"));
    CU_ASSERT_PTR_NOT_NULL(http_response_encode_redirect_url(w, "/other"));
}

static const struct site_servlet servlets[] = {
    {"/about", about, SESSION_WISH_READ, false},
    {"/write", about, SESSION_WISH_WRITE, false},
    {"/nothing", about, SESSION_WISH_NONE, false},
    {"/begin", begin, SESSION_WISH_WRITE, false},
    {"/end", end, SESSION_WISH_WRITE, false},
    {"/endbegin", end_and_begin, SESSION_WISH_WRITE, false},
    {"/rename", rename_it, SESSION_WISH_WRITE, false},
    {"/login", login, SESSION_WISH_WRITE, false},
    {"/put", put, SESSION_WISH_WRITE, false},
    {"/tryput", try_put, SESSION_WISH_WRITE, false},
    {"/tryput.gif", try_put, SESSION_WISH_WRITE, false},
    {"/overtaken", overtaken, SESSION_WISH_WRITE, true},
    {"/toolate", too_late, SESSION_WISH_WRITE, true},
    {"/links", links, SESSION_WISH_WRITE, false},
    {0},
};

static struct valve *valve; /* of a case that wants one */

static void before(void)
{
    site = site_new("/app", NULL, servlets);
}

static void after(void)
{
    site_free(&site);
    valve_free(&valve);
}

/* ---- helpers ---- */

static char id[33];

/* A new session: id, cookie. */
static void make_session(void)
{
    struct call *c = site_get(site, "/app/begin", NULL);
    CHECK_INT_FATAL(c->status, 200);
    snprintf(id, sizeof id, "%.32s", c->body);
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%s.node1", id);
    call_free(&c);
}

static void check(const char *path, const char *header, const char *format)
{
    char expected[512];
    struct call *c = site_get(site, path, header);
    CHECK_INT(c->status, 200);
    snprintf(expected, sizeof expected, "%s%s", *format == '+' ? id : "",
             *format == '+' ? format + 1 : format);
    CHECK_STR(c->body, expected);
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
    call_free(&c);
}

static uint64_t refused(enum reason reason)
{
    struct manager_stats stats;
    manager_stats(site->context.manager, &stats);
    return stats.refused[reason];
}

static uint64_t finds(void)
{
    struct manager_stats stats;
    manager_stats(site->context.manager, &stats);
    return stats.finds;
}

/* ---- cases ---- */

static void the_cookie_is_written_once(void)
{
    char expected[256];
    site_start(site);
    struct call *c = site_get(site, "/app/begin", NULL);
    CHECK_INT(c->status, 200);
    CHECK_STR(c->body + 32, " new");
    snprintf(expected, sizeof expected,
             "JSESSIONID=%.32s.node1; Path=/app; HttpOnly; SameSite=Lax",
             c->body);
    for (int i = 0; i < 32; i++)
        CU_ASSERT(isdigit((unsigned char)c->body[i]) ||
                  (c->body[i] >= 'A' && c->body[i] <= 'F'));
    CHECK_STR(call_header(c, "Set-Cookie", 0), expected);
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 1));
    snprintf(id, sizeof id, "%.32s", c->body);
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%s.node1", id);
    call_free(&c);
    check("/app/begin", cookie, "+ old");
    check("/app/put", cookie, "put");
    check("/app/end", cookie, "logout");
}

static void no_route_and_a_secure_connector(void)
{
    site->in.node[0] = 0;
    site->options.secure = true;
    site_start(site);
    char expected[256];
    struct call *c = site_get(site, "/app/begin", NULL);
    snprintf(expected, sizeof expected,
             "JSESSIONID=%.32s; Path=/app; Secure; HttpOnly; SameSite=Lax",
             c->body);
    CHECK_STR(call_header(c, "Set-Cookie", 0), expected);
    call_free(&c);
}

static void the_first_live_id_counts(void)
{
    static const char dead[] = "00000000000000000000000000000001";
    char header[512], expected[512];
    site_start(site);
    make_session();
    snprintf(expected, sizeof expected, "+||%s.node1|cookie", id);
    snprintf(header, sizeof header,
             "Cookie: JSESSIONID=%s; a=b; JSESSIONID=%s.node1; JSESSIONID=%s",
             dead, id, dead);
    check("/app/about", header, expected);
    check("/app/write", header, expected);
    snprintf(header, sizeof header,
             "Cookie: JSESSIONID=x; JSESSIONID=; JSESSIONID=%s.node1", id);
    check("/app/about", header, expected);
    snprintf(header, sizeof header, "Cookie: JSESSIONID=x; JSESSIONID=%s",
             dead);
    snprintf(expected, sizeof expected, "-|unknown|%s|cookie", dead);
    check("/app/about", header, expected);
    snprintf(header, sizeof header, "Cookie: jsessionid=%s", id);
    check("/app/about", header, "-|none|-|");
    /* The route is only a hint. */
    snprintf(header, sizeof header, "Cookie: JSESSIONID=%s.node9", id);
    snprintf(expected, sizeof expected, "+||%s.node9|cookie", id);
    check("/app/about", header, expected);
}

static void what_is_no_id_is_not_looked_up(void)
{
    char header[9000];
    site_start(site);
    uint64_t asked = finds(), malformed = refused(REASON_MALFORMED);
    check("/app/about", NULL, "-|none|-|");
    check("/app/about", "Cookie: JSESSIONID=", "-|none|-|");
    check("/app/about", "Cookie: JSESSIONID=abc", "-|malformed|abc|cookie");
    check("/app/about", "Cookie: JSESSIONID=\"abc\"",
          "-|malformed|\"abc\"|cookie");
    int n = snprintf(header, sizeof header, "Cookie: JSESSIONID=");
    memset(header + n, 'A', 6000);
    header[n + 6000] = 0;
    struct call *c = site_get(site, "/app/about", header);
    CHECK_INT(c->status, 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(c->body, "-|malformed|"));
    CU_ASSERT(c->body_len < 200);
    call_free(&c);
    CHECK_INT((int64_t)(finds() - asked), 0);
    CHECK_INT((int64_t)(refused(REASON_MALFORMED) - malformed), 3);
    n = 8; /* too many cookies, which only matters to who looks for one */
    for (int i = 0; i < 201; i++)
        n += snprintf(header + n, sizeof header - (size_t)n, "a=b; ");
    c = site_get(site, "/app/about", header);
    CHECK_INT(c->status, 400);
    call_free(&c);
    check("/app/nothing", header, "-|none|-|");
}

static void strangers_cannot_buy_look_ups(void)
{
    char header[4096] = "Cookie: a=b";
    size_t n = strlen(header);
    site_start(site);
    uint64_t asked = finds();
    for (int i = 0; i < 60; i++)
        n += (size_t)snprintf(header + n, sizeof header - n,
                              "; JSESSIONID=%032X", i);
    struct call *c = site_get(site, "/app/about", header);
    CHECK_INT(c->status, 200);
    call_free(&c);
    CHECK_INT((int64_t)(finds() - asked), 32);
}

/* Other applications and proxies leave cookies of the same name. */
static void a_live_id_counts_behind_many_others(void)
{
    char header[4096] = "Cookie: JSESSIONID=x", expected[128];
    size_t n = strlen(header);
    site_start(site);
    make_session();
    uint64_t malformed = refused(REASON_MALFORMED);
    for (int i = 0; i < 31; i++)
        n += (size_t)snprintf(header + n, sizeof header - n,
                              "; JSESSIONID=%032X; JSESSIONID=y%d", i, i);
    snprintf(header + n, sizeof header - n, "; JSESSIONID=%s", id);
    snprintf(expected, sizeof expected, "+||%s|cookie", id);
    check("/app/about", header, expected);
    CHECK_INT((int64_t)(refused(REASON_MALFORMED) - malformed), 1);
}

static void an_id_in_the_path_counts_without_a_cookie(void)
{
    char path[128], expected[256], header[128];
    site_start(site);
    make_session();
    snprintf(path, sizeof path, "/app/about;jsessionid=%s", id);
    snprintf(expected, sizeof expected, "+||%s|url", id);
    check(path, NULL, expected);
    check(path, "Cookie: JSESSIONID=abc", "-|malformed|abc|cookie");
    snprintf(path, sizeof path, "/app/links;jsessionid=%s", id);
    snprintf(expected, sizeof expected, "next;jsessionid=%s.node1?a=b#c", id);
    check(path, NULL, expected);
    check("/app/links", cookie, "next?a=b#c");
    site->context.url_tracking = false;
    check(path, cookie, "next?a=b#c");
    snprintf(header, sizeof header, "X: %s", id);
    snprintf(path, sizeof path, "/app/about;jsessionid=%s", id);
    check(path, header, "-|none|-|");
}

static void without_cookies_ids_travel_in_links(void)
{
    site->context.cookies = false;
    site_start(site);
    struct call *c = site_get(site, "/app/links", NULL);
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
    CHECK_INT(strncmp(c->body, "next;jsessionid=", 16), 0);
    call_free(&c);
    make_session();
    check("/app/about", cookie, "-|none|-|");
}

static void a_new_id_brings_a_new_cookie(void)
{
    char expected[256], old[33];
    site_start(site);
    make_session();
    snprintf(old, sizeof old, "%s", id);
    struct call *c = site_get(site, "/app/rename", cookie);
    CHECK_INT(c->status, 200);
    CHECK_INT(strncmp(c->body, id, 32), 0);
    snprintf(expected, sizeof expected, "JSESSIONID=%s.node1; ", c->body + 33);
    const char *set = call_header(c, "Set-Cookie", 0);
    CU_ASSERT(set && !strncmp(set, expected, strlen(expected)));
    snprintf(id, sizeof id, "%s", c->body + 33);
    call_free(&c);
    snprintf(expected, sizeof expected, "-|unknown|%s.node1|cookie", old);
    check("/app/about", cookie, expected);
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%s", id);
    snprintf(expected, sizeof expected, "+||%s|cookie", id);
    check("/app/about", cookie, expected);
}

static void an_end_and_a_beginning_in_one_request(void)
{
    char old_cookie[128], expected[256];
    site_start(site);
    make_session();
    snprintf(old_cookie, sizeof old_cookie, "%s", cookie);
    struct call *c = site_get(site, "/app/endbegin", cookie);
    CHECK_INT(c->status, 200);
    CU_ASSERT(strncmp(c->body, id, 32) != 0);
    CU_ASSERT_PTR_NOT_NULL(call_header(c, "Set-Cookie", 0));
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 1));
    snprintf(expected, sizeof expected, "-|logout|%s.node1|cookie", id);
    snprintf(id, sizeof id, "%.32s", c->body);
    call_free(&c);
    check("/app/about", old_cookie, expected);
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%s", id);
    check("/app/begin", cookie, "+ old");
    /* Two sessions that both begin here: one cookie, the last. */
    c = site_get(site, "/app/endbegin", NULL);
    const char *set = call_header(c, "Set-Cookie", 0);
    CU_ASSERT(set && !strncmp(set + 11, c->body, 32));
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 1));
    call_free(&c);
}

static struct call *log_in(const char *header, const char *user)
{
    char form[64];
    snprintf(form, sizeof form, "user=%s", user);
    struct call *c = call_start(site, "/app/login", header, form);
    CHECK_INT(call_wait(c), 200);
    CU_ASSERT_PTR_NOT_NULL(call_header(c, "Set-Cookie", 0));
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 1));
    return c;
}

static void a_login_takes_its_own_session_along(void)
{
    char expected[256], old[33];
    site_start(site);
    make_session();
    check("/app/put", cookie, "put");
    snprintf(old, sizeof old, "%s", id);
    struct call *c = log_in(cookie, "kim");
    CU_ASSERT(strncmp(c->body, old, 32) != 0);
    CHECK_STR(c->body + 32, " kim 7"); /* what the guest had stays */
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%.32s", c->body);
    snprintf(id, sizeof id, "%.32s", c->body);
    call_free(&c);
    c = log_in(cookie, "kim"); /* again: the same session, another id */
    CHECK_STR(c->body + 32, " kim 7");
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%.32s", c->body);
    snprintf(id, sizeof id, "%.32s", c->body);
    call_free(&c);
    c = log_in(cookie, "lee"); /* somebody else: nothing of kim's */
    CHECK_STR(c->body + 32, " lee 0");
    call_free(&c);
    snprintf(expected, sizeof expected, "-|replaced|%s|cookie", id);
    check("/app/about", cookie, expected);
}

/* Nobody loses a session for one that may not begin. */
static void a_login_over_the_limit_ends_nothing(void)
{
    site_start(site);
    make_session();
    struct call *c = log_in(cookie, "kim");
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%.32s", c->body);
    snprintf(id, sizeof id, "%.32s", c->body);
    call_free(&c);
    site->context.manager->common.max_active_sessions = 1;
    c = call_start(site, "/app/login", cookie, "user=lee");
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body, "there is no session");
    call_free(&c);
    char expected[128];
    snprintf(expected, sizeof expected, "+||%s|cookie", id);
    check("/app/about", cookie, expected);
}

/* A login has more to write than its session: when its browser has got its 503,
 * nothing of that is tried twice. */
static void a_login_that_nobody_waits_for(void)
{
    char expected[128];
    site_start(site);
    make_session();
    site_when(site, SITE_AT_ONCE, SITE_HELD);
    struct call *c = call_start(site, "/app/login", NULL, "user=kim");
    CU_ASSERT(site_until(site, site_waiting, 1));
    site_tick(site, 1100);
    CHECK_INT(call_wait(c), 503);
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
    call_free(&c);
    site_break(site, false, true);
    site_release(site);
    site_when(site, SITE_LATER, SITE_LATER);
    snprintf(expected, sizeof expected, "+||%s.node1|cookie", id);
    check("/app/about", cookie, expected); /* answered behind all that */
    CHECK_INT(site_broken(site), 1);
}

static void an_end_while_a_request_runs_is_401(void)
{
    site_start(site);
    make_session();
    struct call *c = site_get(site, "/app/overtaken", cookie);
    CHECK_INT(c->status, 401);
    CHECK_STR(c->body, "not logged in: logout\n");
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
    call_free(&c);
    make_session();
    c = site_get(site, "/app/overtaken?keep", cookie);
    CHECK_INT(c->status, 200);
    CHECK_STR(c->body, "put");
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
    call_free(&c);
}

static void no_cookie_leaves_for_an_id_that_never_lived(void)
{
    static const char *const paths[] = {"/app/toolate", "/app/toolate?keep"};
    site_start(site);
    for (int i = 0; i < 2; i++) {
        make_session();
        struct call *c = site_get(site, paths[i], cookie);
        CHECK_INT(c->status, i ? 200 : 401);
        CHECK_STR(c->body, i ? "put" : "not logged in: logout\n");
        CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
        call_free(&c);
    }
}

/* ReplicationValve, and an application with copies elsewhere. */
static void what_a_filter_matches_only_reads(void)
{
    static const struct {
        const char *filter;
    } options = {"/app/.*\\.gif"};
    const struct valve_kind *kind = valve_kind_find("ReplicationValve");
    const struct valve_env env = {NULL, NULL};

    CU_ASSERT_PTR_NOT_NULL_FATAL(kind);
    CHECK_INT_FATAL(valve_new(kind, &options, &env, &valve, NULL), RC_OK);
    site->in.valves = &valve;
    site->in.valve_count = 1;
    site->context.has_copies = true;
    site_start(site);
    make_session();
    check("/app/tryput", cookie, http_result_text(HTTP_OK));
    check("/app/tryput.gif", cookie, http_result_text(HTTP_ILLEGAL));
    check("/app/tryput.gif", NULL, "none");
    check("/app/tryput.gif?", cookie, http_result_text(HTTP_ILLEGAL));
    site->context.has_copies = false; /* the valve is the cluster's */
    check("/app/tryput.gif", cookie, http_result_text(HTTP_OK));
}

UNIT_MAIN_AROUND("session over HTTP", before, after,
                 CASE(the_cookie_is_written_once),
                 CASE(no_route_and_a_secure_connector),
                 CASE(the_first_live_id_counts),
                 CASE(what_is_no_id_is_not_looked_up),
                 CASE(strangers_cannot_buy_look_ups),
                 CASE(a_live_id_counts_behind_many_others),
                 CASE(an_id_in_the_path_counts_without_a_cookie),
                 CASE(without_cookies_ids_travel_in_links),
                 CASE(a_new_id_brings_a_new_cookie),
                 CASE(an_end_and_a_beginning_in_one_request),
                 CASE(a_login_takes_its_own_session_along),
                 CASE(a_login_over_the_limit_ends_nothing),
                 CASE(a_login_that_nobody_waits_for),
                 CASE(an_end_while_a_request_runs_is_401),
                 CASE(no_cookie_leaves_for_an_id_that_never_lived),
                 CASE(what_a_filter_matches_only_reads))
