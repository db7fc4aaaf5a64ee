/* SPDX-License-Identifier: Apache-2.0
 *
 * f_cookie.c: the session cookie byte for byte, and ids that are none. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

/* ---- what we send ---- */

/* Is it "JSESSIONID=<32 digits>.NODE; REST"? */
static bool is_cookie(const char *header, const char *node, const char *rest)
{
    static const char name[] = "JSESSIONID=";
    char tail[128];
    size_t digits;
    if (!header || strncmp(header, name, sizeof name - 1))
        return false;
    header += sizeof name - 1;
    digits = strspn(header, "0123456789ABCDEF");
    snprintf(tail, sizeof tail, ".%s; %s", node, rest);
    return digits == 32 && strcmp(header + digits, tail) == 0;
}

static void the_cookie_is_written_like_that(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, s, "/login/new"), 200);
    CU_ASSERT(is_cookie(browser_header(&b, "Set-Cookie", 0), "node1",
                        "Path=/login; HttpOnly; SameSite=Lax"));
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 1));
    CHECK_INT(browser_get(&b, s, "/login/hit"), 200);
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));

    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT(is_cookie(browser_header(&b, "Set-Cookie", 0), "node1",
                        "Path=/login; HttpOnly; SameSite=Lax"));
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 1));
    CHECK_INT(browser_post(&b, s, "/login/logout", NULL), 200);
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 0));

    CHECK_INT(browser_get(&b, s, "/probe/create"), 200);
    CU_ASSERT(is_cookie(browser_header(&b, "Set-Cookie", 0), "node1",
                        "Path=/probe; HttpOnly; SameSite=Lax"));
    browser_close(&b);
}

static void the_last_id_of_a_request_is_sent_once(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, s,
                          "/probe/script?do=create,set:a:1,invalidate,create,"
                          "change-id,set:b:2"),
              200);
    CU_ASSERT(is_cookie(browser_header(&b, "Set-Cookie", 0), "node1",
                        "Path=/probe; HttpOnly; SameSite=Lax"));
    CU_ASSERT_PTR_NULL(browser_header(&b, "Set-Cookie", 1));
    CHECK_INT(browser_get(&b, s, "/probe/names"), 200);
    CU_ASSERT(strstr(b.body, "[\"b\"]") != NULL);
    browser_close(&b);
}

/* ---- what comes ---- */

/* The answer of /login/me to exactly this Cookie header. */
static void is_refused(struct browser *b, const struct server *s,
                       const char *cookie, const char *reason)
{
    char header[8000], expected[64];
    snprintf(header, sizeof header, "Cookie: %s", cookie);
    snprintf(expected, sizeof expected, "not logged in: %s\n", reason);
    CHECK_INT(browser_get_with(b, s, "/login/me", header), 401);
    CHECK_STR(b->body, expected);
    CU_ASSERT_PTR_NULL(browser_header(b, "Set-Cookie", 0));
}

static const char refused_malformed[] =
    "margay_session_ids_refused_total{reason=\"malformed\"}";

static void an_id_that_is_none_is_refused(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char id[128], cookie[7000];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", id));
    double looked = server_metric(s, "margay_store_operations_total"
                                     "{operation=\"get\"");

    CHECK_INT(browser_get_with(&b, s, "/login/me", NULL), 200);
    double once = server_metric(s, "margay_store_operations_total"
                                   "{operation=\"get\"") -
                  looked;
    browser_forget(&b);
    CHECK_INT(browser_get(&b, s, "/login/me"), 401);
    CHECK_STR(b.body, "not logged in: none\n");

    looked = server_metric(s, "margay_store_operations_total"
                              "{operation=\"get\"");
    double malformed = server_metric(s, refused_malformed);
    is_refused(&b, s, "JSESSIONID=", "none");
    is_refused(&b, s, "other=1", "none");
    memcpy(cookie, "JSESSIONID=", 11);
    memset(cookie + 11, 'A', 6 * 1024);
    cookie[11 + 6 * 1024] = 0;
    is_refused(&b, s, cookie, "malformed");
    is_refused(&b, s, "JSESSIONID=\x01\x02\x7f", "none");
    is_refused(&b, s, "JSESSIONID=\xff\xfe\xc3\xa9", "malformed");
    snprintf(cookie, sizeof cookie, "JSESSIONID=\"%s\"", id + 11);
    is_refused(&b, s, cookie, "malformed");
    snprintf(cookie, sizeof cookie, "%s", id);
    for (char *c = cookie + 11; *c != '.'; c++)
        *c = (char)tolower((unsigned char)*c);
    if (strncmp(cookie, id, 43) != 0)
        is_refused(&b, s, cookie, "malformed");
    snprintf(cookie, sizeof cookie, "%.42s", id); /* 31 digits */
    is_refused(&b, s, cookie, "malformed");
    snprintf(cookie, sizeof cookie, "%.43sA", id);
    is_refused(&b, s, cookie, "malformed");
    is_refused(&b, s, "JSESSIONID=../../../../etc/passwd", "malformed");
    is_refused(&b, s, "JSESSIONID=%00", "malformed");
    is_refused(&b, s, "jsessionid=0123456789ABCDEF0123456789ABCDEF", "none");
    CHECK_INT((int64_t)server_metric(s, "margay_store_operations_total"
                                        "{operation=\"get\""),
              (int64_t)looked);
    malformed = server_metric(s, refused_malformed) - malformed;
    CU_ASSERT(malformed == 7 || malformed == 8); /* an id without letters */

    /* The counter above is the one that a look-up moves. */
    is_refused(&b, s, "JSESSIONID=0123456789ABCDEF0123456789ABCDEF", "unknown");
    if (strcmp(f->conf, "sqlite.xml") == 0) {
        CU_ASSERT(once >= 1);
        CU_ASSERT(server_metric(s, "margay_store_operations_total"
                                   "{operation=\"get\"") > looked);
    }
    browser_close(&b);
}

static void the_route_is_a_hint(struct fleet *f)
{
    static const char *const routes[] = {"", ".node2", ".no.such.node", "."};
    struct server *s = fleet_server(f, 0);
    char id[128], header[256];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", id));
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        snprintf(header, sizeof header, "Cookie: %.43s%s", id, routes[i]);
        CHECK_INT(browser_get_with(&b, s, "/login/me", header), 200);
    }
    /* Of several cookies the live one counts. */
    snprintf(header, sizeof header,
             "Cookie: JSESSIONID=0123456789ABCDEF0123456789ABCDEF; %s; "
             "JSESSIONID=x",
             id);
    CHECK_INT(browser_get_with(&b, s, "/login/me", header), 200);
    browser_close(&b);
}

static void an_id_is_never_adopted(struct fleet *f)
{
    static const char made_up[] =
        "JSESSIONID=0123456789ABCDEF0123456789ABCDEF.node1";
    struct server *s = fleet_server(f, 0);
    char header[192], id[128];
    struct browser b;
    browser_open(&b);
    snprintf(header, sizeof header, "Cookie: %s", made_up);
    CHECK_INT(browser_get_with(&b, s, "/login/new", header), 200);
    CU_ASSERT(is_cookie(browser_header(&b, "Set-Cookie", 0), "node1",
                        "Path=/login; HttpOnly; SameSite=Lax"));
    CU_ASSERT_PTR_NULL(strstr(b.head, "0123456789ABCDEF0123456789ABCDEF"));
    is_refused(&b, s, made_up, "unknown");

    /* By URL no more than by cookie. */
    browser_forget(&b);
    CHECK_INT(browser_get(&b, s,
                          "/login/new;jsessionid="
                          "0123456789ABCDEF0123456789ABCDEF"),
              200);
    CU_ASSERT_PTR_NULL(strstr(b.head, "0123456789ABCDEF0123456789ABCDEF"));

    /* A live id of another application is a stranger's here. */
    browser_forget(&b);
    CHECK_INT(browser_get(&b, s, "/probe/create"), 200);
    CU_ASSERT_FATAL(browser_cookie(&b, "/probe", id));
    is_refused(&b, s, id, "unknown");
    browser_close(&b);
}

static void an_id_in_the_path_is_understood(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char id[128], path[256], line[128];
    struct browser b, stranger;
    browser_open(&b);
    browser_open(&stranger);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", id));
    snprintf(path, sizeof path, "/login/me;jsessionid=%s", id + 11);
    CHECK_INT(browser_get(&stranger, s, path), 200);
    CHECK_STR(browser_line(&stranger, "user", line), "kim");
    CHECK_INT(browser_get(&stranger, s, "/login/me;jsessionid=nonsense"), 401);
    CHECK_STR(stranger.body, "not logged in: malformed\n");
    /* A cookie beats the path. */
    CHECK_INT(browser_get(&b, s, "/login/me;jsessionid=nonsense"), 200);
    browser_close(&stranger);
    browser_close(&b);
}

static void a_header_over_the_limit_is_431(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    struct browser b;
    char header[12000] = "X-Long: ";
    browser_open(&b);
    memset(header + 8, 'x', 7000);
    CHECK_INT(browser_get_with(&b, s, "/login/hello", header), 200);
    memset(header + 8, 'x', 9000);
    CHECK_INT(browser_get_with(&b, s, "/login/hello", header), 431);
    CHECK_INT(browser_get(&b, s, "/login/hello"), 200);
    browser_close(&b);
}

static void no_log_shows_an_id(struct fleet *f)
{
    struct server *s = fleet_server(f, 0);
    char id[128], digits[33];
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_login(&b, s, "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", id));
    CHECK_INT(browser_post(&b, s, "/login/logout", NULL), 200);
    CHECK_INT(browser_get(&b, s, "/login/me"), 401);
    snprintf(digits, sizeof digits, "%.32s", id + 11);
    CHECK_INT(server_stop(s), 0);
    CHECK_INT(server_said_times(s, digits), 0);
    browser_close(&b);
}

/* Every id that stands in the database, read with another program's eyes. */
static void ids_of_the_store_that_are_no_sessions_find_nothing(void)
{
    struct fleet *f = fleet_run("sqlite.xml", 1);
    char path[320], id[128], cookie[64];
    unsigned others = 0, sessions = 0;
    sqlite3 *db;
    sqlite3_stmt *rows;
    struct browser b;
    if (!f)
        return;
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    CU_ASSERT_FATAL(browser_cookie(&b, "/login", id));
    CHECK_INT_FATAL(sqlite3_open_v2(fleet_database(f, path), &db,
                                    SQLITE_OPEN_READONLY, NULL),
                    SQLITE_OK);
    CHECK_INT_FATAL(
        sqlite3_prepare_v2(db, "SELECT hex(id) FROM sessions", -1, &rows, NULL),
        SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        const char *hex = (const char *)sqlite3_column_text(rows, 0);
        bool is_hers = strncmp(hex, id + 11, 32) == 0;
        snprintf(cookie, sizeof cookie, "JSESSIONID=%.32s", hex);
        sessions += is_hers;
        others += !is_hers;
        if (!is_hers)
            is_refused(&b, fleet_server(f, 0), cookie, "unknown");
    }
    sqlite3_finalize(rows);
    sqlite3_close(db);
    CHECK_INT(sessions, 1);
    CU_ASSERT(others >= 1); /* the user's record */
    browser_close(&b);
}

#define ON_ONE(name)                                                           \
    FLEET_CASE(name, sqlite, "sqlite.xml", 1)                                  \
    FLEET_CASE(name, redis, "redis.xml", 1)                                    \
    FLEET_CASE(name, memcached, "memcached.xml", 1)                            \
    FLEET_CASE(name, file, "file.xml", 1)                                      \
    FLEET_CASE(name, delta, "delta.xml", 1)                                    \
    FLEET_CASE(name, backup, "backup.xml", 1)                                  \
    FLEET_CASE(name, standard, "standard.xml", 1)

ON_ONE(the_cookie_is_written_like_that)
ON_ONE(the_last_id_of_a_request_is_sent_once)
ON_ONE(an_id_that_is_none_is_refused)
ON_ONE(the_route_is_a_hint)
ON_ONE(an_id_is_never_adopted)
ON_ONE(an_id_in_the_path_is_understood)
ON_ONE(a_header_over_the_limit_is_431)
ON_ONE(no_log_shows_an_id)
UNIT_MAIN_AROUND("cookie", NULL, fleet_end,
                 FLEET_ENTRIES(the_cookie_is_written_like_that),
                 FLEET_ENTRIES(the_last_id_of_a_request_is_sent_once),
                 FLEET_ENTRIES(an_id_that_is_none_is_refused),
                 FLEET_ENTRIES(the_route_is_a_hint),
                 FLEET_ENTRIES(an_id_is_never_adopted),
                 FLEET_ENTRIES(an_id_in_the_path_is_understood),
                 FLEET_ENTRIES(a_header_over_the_limit_is_431),
                 FLEET_ENTRIES(no_log_shows_an_id),
                 CASE(ids_of_the_store_that_are_no_sessions_find_nothing))
