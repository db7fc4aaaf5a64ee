/* SPDX-License-Identifier: Apache-2.0
 *
 * Request paths as Tomcat cleans them (rows of its TestCoyoteAdapter and
 * TestRequestUtilNormalize), links as its encodeURL writes them (TestResponse),
 * and the places where we are stricter. */
#include "config.h"

#include "container/path.h"
#include "container/percent.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* raw -> "cleaned" or "cleaned|id"; NULL: refused. */
struct row {
    const char *raw, *expected;
};

static void check_parse(const char *raw, size_t len, const char *expected)
{
    char *copy = mem_alloc(len), *out = mem_alloc(len + 1);
    struct path p;
    struct err err = {""};
    struct buf b;
    memcpy(copy, raw, len);
    buf_init(&b, 4096);
    enum rc rc = path_parse(&p, out, copy, len, "jsessionid", &err);
    CHECK_INT(rc, expected ? RC_OK : RC_INVALID);
    CU_ASSERT((err.text[0] != 0) == !expected);
    if (rc == RC_OK && expected) {
        CHECK_INT((int64_t)p.len, (int64_t)strlen(p.text));
        buf_add_str(&b, p.text);
        if (p.id) {
            buf_add_char(&b, '|');
            buf_add(&b, p.id, p.id_len);
        }
        CHECK_STR(buf_str(&b), expected);
    } else if (expected) {
        CHECK_STR(err.text, raw);
    }
    buf_release(&b);
    free(copy);
    free(out);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_parse(rows[i].raw, strlen(rows[i].raw), rows[i].expected);
}

static void takes_session_ids_out(void)
{
    static const struct row rows[] = {
        {"/;jsessionid=1234", "/|1234"},
        {"/foo;jsessionid=1234", "/foo|1234"},
        {"/foo;jsessionid=1234;dummy", "/foo|1234"},
        {"/foo;jsessionid=1234;dummy=5678", "/foo|1234"},
        {"/foo;jsessionid=1234;=5678", "/foo|1234"},
        {"/foo;dummy;jsessionid=1234", "/foo|1234"},
        {"/foo;jsessionid=1234/bar", "/foo/bar|1234"},
        {"/foo;jsessionid=1234/bar;x=y/", "/foo/bar/|1234"},
        {"/a;jsessionid=1;jsessionid=2", "/a|2"},
        {"/a;jsessionid=1/b;jsessionid=2", "/a/b|2"},
        {"/a;jsessionid=", "/a|"},
        {"/a;jsessionid", "/a"},
        {"/a;jsessionid=1;jsessionid", "/a|1"},
        {"/a;JSESSIONID=1", "/a"},
        {"/a;jSessionId=1", "/a"},
        {"/a;xjsessionid=1", "/a"},
        {"/a;jsessionidx=1", "/a"},
        {"/a; jsessionid=1", NULL},
        {"/a;jsessionid=%31%32", "/a|%31%32"},
        {"/a;jsessionid=1=2", "/a|1=2"},
        {"/a;jsessionid=AB.node1", "/a|AB.node1"},
        {"/a%3bjsessionid=1", "/a;jsessionid=1"},
        {"/a;js%65ssionid=1", "/a"},
        {"/a;", "/a"},
        {"/a;;;", "/a"},
        {"/;/;/", "/"},
        {";jsessionid=1", NULL},
    };
    check_rows(rows, COUNT(rows));
}

static void strips_before_it_decodes_and_resolves(void)
{
    static const struct row rows[] = {
        {"/a/..;x=y/b", "/b"},  {"/a/.;x/b", "/a/b"},    {"/a/;x=1/b", "/a/b"},
        {"/..;x/b", NULL},      {"/a/%2e%2e;x/b", "/b"}, {"/a;x=%zz/b", "/a/b"},
        {"/a;x=%2f/b", "/a/b"}, {"/a;x=%00/b", "/a/b"},
    };
    check_rows(rows, COUNT(rows));
}

static void decodes(void)
{
    static const struct row rows[] = {
        {"/a%20b", "/a b"},
        {"/%41%4a%4A", "/AJJ"},
        {"/a+b", "/a+b"},
        {"/%c3%a4", "/\303\244"},
        {"/%E2%82%AC", "/\342\202\254"},
        {"/%f0%9f%90%88", "/\360\237\220\210"},
        {"/%25", "/%"},
        {"/%2541", "/%41"},
        {"/%3f%23", "/?#"},
        {"/a%0ab", "/a\nb"},
        {"/%7f", "/\177"},
        {"/a:b@c=d&e$f,g(h)!*'[i]~", "/a:b@c=d&e$f,g(h)!*'[i]~"},
    };
    check_rows(rows, COUNT(rows));
}

static void refuses_bad_bytes(void)
{
    static const char *const bad[] = {
        "",        "a",          "*",          "http://h/",     "\\a",
        "/%",      "/%4",        "/%4g",       "/%g4",          "/%%41",
        "/a%",     "/a%2",       "/%00",       "/a%00b",        "/%2f",
        "/a%2Fb",  "/%5c",       "/a%5Cb",     "/a\\b",         "/a b",
        "/a\tb",   "/a\nb",      "/a\177b",    "/a\"b",         "/a#b",
        "/a<b",    "/a>b",       "/a?b",       "/a^b",          "/a`b",
        "/a{b",    "/a|b",       "/a}b",       "/\303\244",     "/%c3",
        "/%c0%af", "/%e0%80%af", "/%ed%a0%80", "/%f5%80%80%80", "/%f4%90%80%80",
        "/%80",    "/%c3%28",    "/%ff",       "/%e2%82",       "/%f0%9f%90",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        check_parse(bad[i], strlen(bad[i]), NULL);
    check_parse("/a\0b", 4, NULL);
    check_parse("/a;x\0", 5, NULL);
}

static void resolves_segments(void)
{
    static const struct row rows[] = {
        {"/", "/"},
        {"//", "/"},
        {"////", "/"},
        {"//something", "/something"},
        {"/some//thing", "/some/thing"},
        {"/something//", "/something/"},
        {"/.", "/"},
        {"/./", "/"},
        {"/..", NULL},
        {"/../", NULL},
        {"//..", NULL},
        {"//../", NULL},
        {"/./..", NULL},
        {"/./../", NULL},
        {"/a/../..", NULL},
        {"/a/../../", NULL},
        {"/a/../../b", NULL},
        {"/a//../../b", NULL},
        {"/a/..", "/"},
        {"/a/.", "/a"},
        {"/a/../", "/"},
        {"/a/./", "/a/"},
        {"/a/b/..", "/a"},
        {"/a/b/.", "/a/b"},
        {"/a/b/../", "/a/"},
        {"/a/b/./", "/a/b/"},
        {"/foo/../bar", "/bar"},
        {"/a/b/c/../../d", "/a/d"},
        {"/a/./.././b", "/b"},
        {"/a//./b", "/a/b"},
        {"/a/.//b", "/a/b"},
        {"/a/.//.", "/a"},
        {"/a/b/../.", "/a"},
        {"/...", "/..."},
        {"/.a/..b/c..", "/.a/..b/c.."},
        {"/a/%2e%2e/b", "/b"},
        {"/%2e%2e/b", NULL},
        {"/a/.%2e/b", "/b"},
        {"/%2e", "/"},
    };
    check_rows(rows, COUNT(rows));
}

static void names_another_parameter(void)
{
    char out[64];
    struct path p;
    CHECK_INT(path_parse(&p, out, "/a;sid=9;jsessionid=1", 21, "sid", NULL),
              RC_OK);
    CHECK_STR(p.text, "/a");
    CHECK_INT((int64_t)p.id_len, 1);
    CU_ASSERT(p.id && *p.id == '9');
}

static void check_target(const char *target, const char *expected)
{
    struct path_target t;
    struct buf b;
    buf_init(&b, 256);
    enum rc rc = path_target(&t, target, strlen(target), NULL);
    CHECK_INT(rc, expected ? RC_OK : RC_INVALID);
    if (rc == RC_OK) {
        buf_addf(&b, "%.*s|%.*s|%.*s", (int)t.host_len, t.host ? t.host : "",
                 (int)t.path_len, t.path, (int)t.query_len,
                 t.query ? t.query : "");
        CHECK_STR(buf_str(&b), expected);
    }
    buf_release(&b);
}

static void splits_targets(void)
{
    check_target("/", "|/|");
    check_target("/a?b=c", "|/a|b=c");
    check_target("/a?b?c", "|/a|b?c");
    check_target("/a?", "|/a|");
    check_target("http://h:80/a?b", "h:80|/a|b");
    check_target("HTTPS://h/a", "h|/a|");
    check_target("http://h", "h|/|");
    check_target("http://h?x=/y", "h|/|x=/y");
    check_target("/x?http://h/", "|/x|http://h/");
    check_target("*", NULL);
    check_target("", NULL);
    check_target("h:443", NULL);
    check_target("ftp://h/a", NULL);
    check_target("http:///a", NULL);
    check_target("http:/a", NULL);
    check_target("?a", NULL);
}

static void knows_what_lies_within(void)
{
    CU_ASSERT(path_within("/foo", 4, "/foo"));
    CU_ASSERT(path_within("/foo/", 5, "/foo"));
    CU_ASSERT(path_within("/foo/bar", 8, "/foo"));
    CU_ASSERT(!path_within("/foobar", 7, "/foo"));
    CU_ASSERT(!path_within("/fo", 3, "/foo"));
    CU_ASSERT(!path_within("/", 1, "/foo"));
    CU_ASSERT(path_within("/", 1, ""));
    CU_ASSERT(path_within("/anything", 9, ""));
}

/* ---- links ---- */

static const struct path_base root = {
    .scheme = "http",
    .host = "localhost",
    .port = 8080,
    .context = "",
    .path = "/level1/level2/foo.html",
};
static const struct path_base app = {
    .scheme = "http",
    .host = "localhost",
    .port = 8080,
    .context = "/foo",
    .path = "/foo/dir/page",
};

static void check_link(const struct path_base *base, const char *url,
                       enum path_link expected_kind, const char *expected)
{
    struct buf b;
    buf_init(&b, 4096);
    CHECK_INT(path_encode_url(&b, base, url, "jsessionid", "1234"),
              expected_kind);
    CHECK_STR(buf_str(&b), expected);
    buf_release(&b);
}

static void check_encoded(const struct path_base *base, const char *url,
                          const char *expected)
{
    check_link(base, url, PATH_LINK_ENCODED, expected);
}

static void check_plain(const struct path_base *base, const char *url)
{
    check_link(base, url, PATH_LINK_PLAIN, url);
}

static void encodes_relative_links(void)
{
    static const struct row rows[] = {
        {"./bar.html", "./bar.html;jsessionid=1234"},
        {".", ".;jsessionid=1234"},
        {"..", "..;jsessionid=1234"},
        {".././..", ".././..;jsessionid=1234"},
        {"bar.html", "bar.html;jsessionid=1234"},
        {"bar.html?x=/../", "bar.html;jsessionid=1234?x=/../"},
        {"bar.html?x=/../../", "bar.html;jsessionid=1234?x=/../../"},
        {"./.?x=/../../", "./.;jsessionid=1234?x=/../../"},
        {"./..?x=/../../", "./..;jsessionid=1234?x=/../../"},
        {"./..?x=/../..", "./..;jsessionid=1234?x=/../.."},
        {"bar.html#/../", "bar.html;jsessionid=1234#/../"},
        {"bar.html#/../../", "bar.html;jsessionid=1234#/../../"},
        {"./.#/../../", "./.;jsessionid=1234#/../../"},
        {"./..#/../../", "./..;jsessionid=1234#/../../"},
        {"./..#/../..", "./..;jsessionid=1234#/../.."},
        {"a?b#c", "a;jsessionid=1234?b#c"},
        {"a#b?c", "a;jsessionid=1234#b?c"},
        {"/", "/;jsessionid=1234"},
        {"/x/y", "/x/y;jsessionid=1234"},
        {"/caf%C3%A9", "/caf%C3%A9;jsessionid=1234"},
        {"/caf\303\251", "/caf\303\251;jsessionid=1234"},
        {"a;x=y", "a;x=y;jsessionid=1234"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_encoded(&root, rows[i].raw, rows[i].expected);
}

static void leaves_links_above_the_root(void)
{
    static const char *const above[] = {
        "../../..", "../../../../bar.html", "/..",
        "/../x?y",  "/a/../../b",           "http://localhost:8080/../x"};
    for (size_t i = 0; i < COUNT(above); i++)
        check_link(&root, above[i], PATH_LINK_ABOVE_ROOT, above[i]);
}

static void leaves_links_without_path(void)
{
    check_plain(&root, "#");
    check_plain(&root, "#top");
    check_plain(&root, "?x=1");
    check_plain(&root, "?x=1#top");
}

static void encodes_absolute_links(void)
{
    check_encoded(&root, "http://localhost:8080/a",
                  "http://localhost:8080/a;jsessionid=1234");
    check_encoded(&root, "HTTP://LocalHost:8080/a?b",
                  "HTTP://LocalHost:8080/a;jsessionid=1234?b");
    check_encoded(&root, "http://localhost:8080",
                  "http://localhost:8080/;jsessionid=1234");
    check_encoded(&root, "http://localhost:8080?x=/",
                  "http://localhost:8080/;jsessionid=1234?x=/");
    check_encoded(&root, "//localhost:8080/a",
                  "//localhost:8080/a;jsessionid=1234");
    check_encoded(&root, "//localhost:8080",
                  "//localhost:8080/;jsessionid=1234");
    check_encoded(&root, "",
                  "http://localhost:8080/level1/level2/;jsessionid=1234");
}

static void leaves_links_elsewhere(void)
{
    static const char *const foreign[] = {
        "https://localhost:8080/a",
        "http://localhost/a",
        "http://localhost:80/a",
        "http://localhost:8081/a",
        "http://localhost:80800/a",
        "http://localhost:99999999999999999999/a",
        "http://localhost:808x/a",
        "http://localhost.evil.example:8080/a",
        "http://localhost.8080/a",
        "http://localhos:8080/a",
        "http://evil.example/a",
        "//evil.example/a",
        "http://localhost:8080@evil.example/a",
        "http://user@localhost:8080/a",
        "http:a",
        "http:/a",
        "mailto:kim@localhost",
        "javascript:alert(1)",
        "ftp://localhost:8080/a",
        "/\\evil.example",
        "\\\\evil.example/a",
        "/\t/evil.example",
        "/a b",
        "/a\r\nX: y",
        "/a?x=\r\n",
        "/a%zz",
        "/a%2fb",
        "/{x}",
    };
    for (size_t i = 0; i < COUNT(foreign); i++)
        check_plain(&root, foreign[i]);
}

static void knows_default_ports(void)
{
    struct path_base b = root;
    b.port = 80;
    check_encoded(&b, "http://localhost/a",
                  "http://localhost/a;jsessionid=1234");
    check_encoded(&b, "http://localhost:/a",
                  "http://localhost:/a;jsessionid=1234");
    check_encoded(&b, "http://localhost:80/a",
                  "http://localhost:80/a;jsessionid=1234");
    check_encoded(&b, "", "http://localhost/level1/level2/;jsessionid=1234");
    b.scheme = "https";
    check_plain(&b, "https://localhost/a");
    b.port = 443;
    check_encoded(&b, "https://localhost/a",
                  "https://localhost/a;jsessionid=1234");
    b.host = "[::1]";
    check_encoded(&b, "https://[::1]:443/a",
                  "https://[::1]:443/a;jsessionid=1234");
    check_plain(&b, "https://[::2]/a");
}

static void stays_within_the_context(void)
{
    check_encoded(&app, "/foo", "/foo;jsessionid=1234");
    check_encoded(&app, "/foo/", "/foo/;jsessionid=1234");
    check_encoded(&app, "/foo/x?y", "/foo/x;jsessionid=1234?y");
    check_encoded(&app, "/f%6Fo/x", "/f%6Fo/x;jsessionid=1234");
    check_encoded(&app, "/foo;a=b/x", "/foo;a=b/x;jsessionid=1234");
    check_encoded(&app, "x", "x;jsessionid=1234");
    check_encoded(&app, "../x", "../x;jsessionid=1234");
    check_encoded(&app, "/bar/../foo/x", "/bar/../foo/x;jsessionid=1234");
    check_encoded(&app, "http://localhost:8080/foo",
                  "http://localhost:8080/foo;jsessionid=1234");
    check_plain(&app, "/foobar");
    check_plain(&app, "/foobar/x");
    check_plain(&app, "/bar");
    check_plain(&app, "/");
    check_plain(&app, "/Foo");
    check_plain(&app, "../../bar");
    check_plain(&app, "/foo/../bar");
    check_plain(&app, "/foo/%2e%2e/bar");
    check_plain(&app, "http://localhost:8080/foo/../bar");
    check_plain(&app, "http://localhost:8080/foobar");
    check_plain(&app, "http://localhost:8080");
}

static void adds_the_id_once(void)
{
    check_plain(&root, "/a;jsessionid=1234");
    check_plain(&root, "/a;jsessionid=1234?x=y");
    check_plain(&root, "/a;jsessionid=1234/b");
    check_plain(&root, "/a;jsessionid=1234;x=y#z");
    check_encoded(&root, "/a;jsessionid=12345",
                  "/a;jsessionid=12345;jsessionid=1234");
    check_encoded(&root, "/a;jsessionid=9", "/a;jsessionid=9;jsessionid=1234");
    check_encoded(&root, "/a?;jsessionid=1234",
                  "/a;jsessionid=1234?;jsessionid=1234");
}

static void encodes_the_folder(void)
{
    struct path_base b = app;
    struct buf out;
    b.context = "/caf\303\251";
    b.path = "/caf\303\251/a b;c%/page";
    check_encoded(&b, "",
                  "http://localhost:8080/caf%C3%A9/a%20b%3Bc%25/"
                  ";jsessionid=1234");
    buf_init(&out, 10);
    path_encode_url(&out, &b, "page", "jsessionid", "1234");
    CU_ASSERT(out.full);
    buf_release(&out);
}

static void checks_utf8(void)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\302\200",
                                       "\337\277",
                                       "\340\240\200",
                                       "\355\237\277",
                                       "\356\200\200",
                                       "\360\220\200\200",
                                       "\364\217\277\277"};
    static const char *const bad[] = {"\200",
                                      "\301\277",
                                      "\302",
                                      "\302a",
                                      "\340\237\277",
                                      "\355\240\200",
                                      "\360\217\277\277",
                                      "\364\220\200\200",
                                      "\365\200\200\200",
                                      "\342\202a"};
    for (size_t i = 0; i < COUNT(good); i++)
        CU_ASSERT(utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        CU_ASSERT(!utf8_valid(bad[i], strlen(bad[i])));
    CU_ASSERT(utf8_valid("a\0b", 3));
}

UNIT_MAIN("path", CASE(takes_session_ids_out),
          CASE(strips_before_it_decodes_and_resolves), CASE(decodes),
          CASE(refuses_bad_bytes), CASE(resolves_segments),
          CASE(names_another_parameter), CASE(splits_targets),
          CASE(knows_what_lies_within), CASE(encodes_relative_links),
          CASE(leaves_links_above_the_root), CASE(leaves_links_without_path),
          CASE(encodes_absolute_links), CASE(leaves_links_elsewhere),
          CASE(knows_default_ports), CASE(stays_within_the_context),
          CASE(adds_the_id_once), CASE(encodes_the_folder), CASE(checks_utf8))
