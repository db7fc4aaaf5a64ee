/* SPDX-License-Identifier: Apache-2.0
 *
 * f_http.c: one connector, from the request line to the response: statuses,
 * limits, bodies, headers, keep-alive, files. */
#include "config.h"

#include "tests/site.h"
#include "tests/unit.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- servlets ---- */

static void hello(struct http_request *r, struct http_response *w)
{
    (void)r;
    http_response_set_content_type(w, "text/plain");
    http_response_print(w, "hello\n");
}

/* What the request looks like from inside. */
static void show(struct http_request *r, struct http_response *w)
{
    const char *info = http_request_path_info(r);
    const char *query = http_request_query(r);
    const char *cookie = http_request_cookie(r, "taste");
    http_response_printf(w, "%s %s|%s|%s|%s|%s|%s\n", http_request_method(r),
                         http_request_uri(r), http_request_context_path(r),
                         http_request_servlet_path(r), info ? info : "-",
                         query ? query : "-", cookie ? cookie : "-");
}

static void echo(struct http_request *r, struct http_response *w)
{
    size_t len;
    const void *body = http_request_body(r, &len);
    http_response_write(w, body, len);
}

static void param(struct http_request *r, struct http_response *w)
{
    const char *a = http_request_param(r, "a");
    const char *second = http_request_param_at(r, "a", 1, NULL);
    http_response_printf(w, "%s,%s\n", a ? a : "-", second ? second : "-");
}

static void headers(struct http_request *r, struct http_response *w)
{
    (void)r;
    CU_ASSERT(http_response_set_header(w, "X-One", "1") == HTTP_OK);
    CU_ASSERT(http_response_add_header(w, "X-One", "2") == HTTP_OK);
    CU_ASSERT(http_response_set_header(w, "X-Two", "x") == HTTP_OK);
    CU_ASSERT(http_response_set_header(w, "x-two", "y") == HTTP_OK);
    CU_ASSERT(http_response_set_header(w, "X-Bad", "a\r\nSet-Cookie: b=c") ==
              HTTP_INVALID);
    CU_ASSERT(http_response_add_header(w, "X-Bad\r\nY", "a") == HTTP_INVALID);
    CU_ASSERT(http_response_set_header(w, "X Bad", "a") == HTTP_INVALID);
    CU_ASSERT(http_response_set_header(w, "", "a") == HTTP_INVALID);
    CU_ASSERT(http_response_set_header(w, NULL, "a") == HTTP_INVALID);
    CU_ASSERT(http_response_set_header(w, "Content-Length", "3") ==
              HTTP_INVALID);
    CU_ASSERT(http_response_set_content_type(w, "a\nb") == HTTP_INVALID);
    CU_ASSERT(http_response_send_redirect(w, "/a\r\nX-Bad: 1", 302) ==
              HTTP_INVALID);
    CU_ASSERT(http_response_set_status(w, 99) == HTTP_INVALID);
    http_response_print_html(w, "<a b=\"c\">&'");
}

/* 2,800 bytes of header. */
static void talkative(struct http_request *r, struct http_response *w)
{
    char value[281];
    (void)r;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 10; i++)
        http_response_add_header(w, "X-Long", value);
}

static void redirect(struct http_request *r, struct http_response *w)
{
    (void)r;
    http_response_set_header(w, "X-Kept", "yes");
    http_response_print(w, "dropped");
    http_response_send_redirect(w, "/to \xc3\xbc?x=1", 303);
}

static void fail(struct http_request *r, struct http_response *w)
{
    http_response_send_error(w, 418, http_request_param(r, "text"));
}

static void large(struct http_request *r, struct http_response *w)
{
    static const char piece[1024] = {[0 ... 1023] = 'x'};
    (void)r;
    for (int i = 0; i < 3000; i++)
        http_response_write(w, piece, sizeof piece);
}

static const struct site_servlet servlets[] = {
    {"/hello", hello, SESSION_WISH_NONE, false},
    {"/show/*", show, SESSION_WISH_NONE, false},
    {"/echo", echo, SESSION_WISH_NONE, false},
    {"/param", param, SESSION_WISH_NONE, false},
    {"/headers", headers, SESSION_WISH_NONE, false},
    {"/talkative", talkative, SESSION_WISH_NONE, false},
    {"/redirect", redirect, SESSION_WISH_NONE, false},
    {"/fail", fail, SESSION_WISH_NONE, false},
    {"/large", large, SESSION_WISH_NONE, false},
    {"/async", show, SESSION_WISH_NONE, true},
    {"/", NULL, SESSION_WISH_NONE, false},
    {0},
};

static struct site *site;

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static const char *make_folder(void)
{
    static char dir[400];
    char path[512];
    snprintf(dir, sizeof dir, "%s/app", unit_tmpdir());
    mkdir(dir, 0700);
    snprintf(path, sizeof path, "%s/WEB-INF", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/sub", dir);
    mkdir(path, 0700);
    put_file(unit_tmpdir(), "secret.txt", "secret");
    put_file(dir, "a.html", "<p>a</p>\n");
    put_file(dir, "empty.txt", "");
    put_file(dir, "oops.html", "<p>oops</p>\n");
    put_file(dir, "WEB-INF/web.xml", "<x/>");
    put_file(dir, "sub/index.html", "welcome\n");
    snprintf(path, sizeof path, "%s/link.txt", dir);
    CU_ASSERT(!symlink("../secret.txt", path) || access(path, F_OK) == 0);
    snprintf(path, sizeof path, "%s/up", dir);
    CU_ASSERT(!symlink("..", path) || access(path, F_OK) == 0);
    return dir;
}

static void before(void)
{
    static char *welcome[] = {"index.html"};
    static struct error_page pages[] = {{500, "/oops.html"}};
    site = site_new("/app", make_folder(), servlets);
    site->context.welcome_files = welcome;
    site->context.welcome_file_count = 1;
    site->context.error_pages = pages;
    site->context.error_page_count = 1;
}

static void after(void)
{
    site_free(&site);
}

/* ---- helpers ---- */

static int status_of(const char *path, const char *header)
{
    struct call *c = site_get(site, path, header);
    int status = c->status;
    call_free(&c);
    return status;
}

static void check_body(const char *path, const char *header,
                       const char *expected)
{
    struct call *c = site_get(site, path, header);
    CHECK_INT(c->status, 200);
    CHECK_STR(c->body, expected);
    call_free(&c);
}

static void check_header(const char *path, const char *header, const char *name,
                         const char *expected)
{
    struct call *c = site_get(site, path, header);
    CHECK_STR(call_header(c, name, 0), expected);
    call_free(&c);
}

/* The status of the first response to these bytes. */
static int raw_status(const char *bytes)
{
    char *text = site_raw(site, bytes, strlen(bytes));
    int status = strncmp(text, "HTTP/1.1 ", 9) ? 0 : atoi(text + 9);
    free(text);
    return status;
}

static char *filled(const char *before_it, size_t count, const char *after_it)
{
    size_t a = strlen(before_it), b = strlen(after_it);
    char *text = malloc(a + count + b + 1);
    memcpy(text, before_it, a);
    memset(text + a, 'a', count);
    memcpy(text + a + count, after_it, b + 1);
    return text;
}

/* ---- cases ---- */

static void a_request_reaches_its_servlet(void)
{
    site_start(site);
    check_body("/app/hello", NULL, "hello\n");
    check_header("/app/hello", NULL, "Content-Type", "text/plain");
    check_body("/app/show/x/y?q=1&r", "Cookie: a=b; taste=good; c=d",
               "GET /app/show/x/y|/app|/show|/x/y|q=1&r|good\n");
    check_body("/app/show", NULL, "GET /app/show|/app|/show|-|-|-\n");
    check_body("/app/show/%7ea;b=c/../d%2Be", NULL,
               "GET /app/show/%7ea;b=c/../d%2Be|/app|/show|/d+e|-|-\n");
    check_body("/app/async?z", NULL, "GET /app/async|/app|/async|-|z|-\n");
}

static void what_cannot_be_served_says_why(void)
{
    site_start(site);
    CHECK_INT(status_of("/other", NULL), 404);
    CHECK_INT(status_of("/application", NULL), 404);
    CHECK_INT(status_of("/app/nothing", NULL), 404);
    CHECK_INT(status_of("/app/%zz", NULL), 400);
    CHECK_INT(status_of("/app/a%2fb", NULL), 400);
    CHECK_INT(status_of("/../app/hello", NULL), 400);
    check_header("/app?x=1", NULL, "Location", "/app/?x=1");
    check_header("/app;jsessionid=AB", NULL, "Location", "/app/;jsessionid=AB");
    CHECK_INT(raw_status("TRACE /app/hello HTTP/1.1\r\nHost: a\r\n"
                         "Connection: close\r\n\r\n"),
              405);
    CHECK_INT(raw_status("GET /app/hello there HTTP/1.1\r\nHost: a\r\n"
                         "Connection: close\r\n\r\n"),
              400);
}

static void a_malformed_header_is_refused(void)
{
    site_start(site);
    CHECK_INT(raw_status("GET /app/hello HTTP/1.1\r\n\r\n"), 400);
    CHECK_INT(raw_status("GET /app/hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n"
                         "\r\n"),
              400);
    CHECK_INT(raw_status("GET /app/hello HTTP/1.1\r\nHost: a\r\n"
                         "Content-Length : 3\r\n\r\nabc"),
              400);
    CHECK_INT(raw_status("POST /app/echo HTTP/1.1\r\nHost: a\r\n"
                         "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
              400);
    CHECK_INT(raw_status("POST /app/echo HTTP/1.1\r\nHost: a\r\n"
                         "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
                         "\r\n0\r\n\r\n"),
              400);
    CHECK_INT(raw_status("POST /app/echo HTTP/1.1\r\nHost: a\r\n"
                         "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
              501);
    CHECK_INT(raw_status("GET /app/hello HTTP/1.0\r\n\r\n"), 200);
}

/* What one server takes for one request, and another for two. */
static void nobody_hides_a_request_in_a_header(void)
{
#define GET "GET /app/hello HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /app/echo HTTP/1.1\r\nHost: a\r\n"
    static const struct {
        const char *bytes;
        size_t len;
    } hidden[] = {
#define ROW(text) {text, sizeof text - 1}
        ROW(POST "Transfer-Encoding:\r\n chunked\r\n\r\n" GET "\r\n"),
        ROW(POST "Transfer-Encoding: chunked\r\n\t\r\n\r\n" GET "\r\n"),
        ROW(POST "Content-Length:\r\n 24\r\n\r\n" GET "\r\n"),
        ROW(POST "X: y\r\n Content-Length: 24\r\n\r\n" GET "\r\n"),
        ROW(POST ": foo\r\nContent-Length: 99\r\n\r\n" GET "\r\n"),
        ROW(GET ": foo\r\n" GET "\r\n"),
        ROW(GET "X: y\r\n: foo\r\n" GET "\r\n"),
        ROW("GET /app/hello HTTP/1.1\r\n: foo\r\nHost: a\r\n\r\n" GET "\r\n"),
        ROW(GET "X: a\rContent-Length: 24\r\n\r\n"),
        ROW(GET "X: a\nContent-Length: 24\r\n\r\n"),
        ROW(GET "X: a\0; b=c\r\n\r\n"),
        ROW(GET "Content-Length: 0\0009\r\n\r\n"),
        ROW("GET /app/hello\0/../x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("GET /app/hello?a=b\0c HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("GET /app/hello HTTP/1.1\0\r\nHost: a\r\n\r\n"),
#undef ROW
    };
    site_start(site);
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        char *text = site_raw(site, hidden[i].bytes, hidden[i].len);
        if (strncmp(text, "HTTP/1.1 400 ", 13) != 0)
            fprintf(stderr, "row %zu: %.40s\n", i, text);
        CU_ASSERT(!strncmp(text, "HTTP/1.1 400 ", 13));
        CU_ASSERT_PTR_NULL(strstr(text + 1, "HTTP/1.1 "));
        free(text);
    }
    /* Blanks that are nobody's trick. */
    CHECK_INT(raw_status(GET "X:a\r\nY:   b  \r\nZ:\t c\t\r\nEmpty:\r\n"
                             "Blank:   \r\nConnection: close\r\n\r\n"),
              200);
    CHECK_INT(raw_status("GET /app/hello?a=b&c HTTP/1.1\r\nHost:a\r\n"
                         "Connection: close\r\n\r\n"),
              200);
#undef GET
#undef POST
}

/* Everything up to the limit, whatever it consists of, and nothing above. */
static void a_header_over_the_limit_is_431(void)
{
    site_start(site);
    static const size_t over[] = {8200, 9000, 12300, 20000, 200000};
    for (size_t i = 0; i < sizeof over / sizeof over[0]; i++) {
        char *line = filled("X-Big: ", over[i], "");
        CHECK_INT(status_of("/app/hello", line), 431);
        free(line);
    }
    char *line = filled("Cookie: JSESSIONID=", 7900, "");
    CHECK_INT(status_of("/app/hello", line), 200);
    free(line);
    line = filled("X-Big: ", 7900, "");
    CHECK_INT(status_of("/app/hello", line), 200);
    free(line);
    char *path = filled("/app/show/", 7900, "");
    CHECK_INT(status_of(path, NULL), 200);
    free(path);
    path = filled("/app/show/", 8200, "");
    CHECK_INT(status_of(path, NULL), 414);
    free(path);
}

/* A header of that size in so many lines. */
static int status_of_size(const char *path, size_t size, int lines)
{
    static char text[16384];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "GET %s HTTP/1.1\r\nHost: a\r\n"
                                "Connection: close\r\n",
                                path);
    for (int i = 3; i < lines; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: %d\r\n", i, i);
    n += (size_t)snprintf(text + n, sizeof text - n, "X-Big: ");
    memset(text + n, 'b', size - n - 4);
    memcpy(text + size - 4, "\r\n\r\n", 5);
    return raw_status(text);
}

/* Whatever fills the connection's memory, nobody goes without an answer. */
static void a_full_memory_is_431_as_well(void)
{
    site_start(site);
    CHECK_INT(status_of_size("/app/hello", 8192, 45), 200);
    CHECK_INT(status_of_size("/app/hello", 8192, 46), 431);
    CHECK_INT(status_of_size("/app/talkative", 4096, 20), 200);
    CHECK_INT(status_of_size("/app/talkative", 8192, 5), 200);
    CHECK_INT(status_of_size("/app/talkative", 8192, 20), 431);
    for (size_t size = 8000; size < 12400; size += 25)
        for (int lines = 4; lines < 100; lines += 19) {
            int status = status_of_size("/app/hello", size, lines);
            if (status != 431 && (status != 200 || size > 8192))
                CHECK_INT(status, 431);
        }
}

static void header_lines_are_counted(void)
{
    char text[8192];
    site_start(site);
    for (int lines = 98; lines <= 100; lines++) {
        size_t n = (size_t)snprintf(text, sizeof text,
                                    "GET /app/hello HTTP/1.1\r\nHost: a\r\n"
                                    "Connection: close\r\n");
        for (int i = 0; i < lines; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: %d\r\n", i,
                                  i);
        snprintf(text + n, sizeof text - n, "\r\n");
        CHECK_INT(raw_status(text), lines <= 98 ? 200 : 400);
    }
}

static void many_parameters_fit_into_a_header(void)
{
    char path[8000] = "/app/param?a=1&a=2";
    size_t n = strlen(path);
    site_start(site);
    for (int i = 0; i < 900; i++)
        n += (size_t)snprintf(path + n, sizeof path - n, "&b%d=1", i % 100);
    check_body(path, NULL, "1,2\n");
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(path + n, sizeof path - n, "&c=1");
    CHECK_INT(status_of(path, NULL), 400);
}

static void bodies_and_forms_are_read(void)
{
    site_start(site);
    char *body = filled("", 300000, "z");
    struct call *c = call_start(site, "/app/echo", NULL, body);
    CHECK_INT(call_wait(c), 200);
    CHECK_INT((int64_t)c->body_len, 300001);
    CHECK_STR(c->body, body);
    call_free(&c);
    c = call_start(site, "/app/echo", "Transfer-Encoding: chunked", body);
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body, body);
    call_free(&c);
    free(body);
    c = call_start(site, "/app/param?a=q", NULL, "a=b+c%21&x=y");
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body, "q,b c!\n");
    call_free(&c);
    c = call_start(site, "/app/param", NULL, "a=%zz");
    CHECK_INT(call_wait(c), 400);
    call_free(&c);
}

static void a_form_may_be_as_long_as_a_body(void)
{
    site->options.max_post_size = 5 << 20;
    site_start(site);
    char *form = filled("a=", 4 << 20, "&a=b");
    struct call *c = call_start(site, "/app/param", "Expect:", form);
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body + c->body_len - 4, "a,b\n");
    call_free(&c);
    free(form);
    form = filled("b", 3000, "");
    for (int i = 0; i < 3000; i += 2)
        form[i + 1] = '&';
    c = call_start(site, "/app/param", NULL, form);
    CHECK_INT(call_wait(c), 400); /* maxParameterCount */
    call_free(&c);
    free(form);
}

static void a_body_over_the_limit_is_413(void)
{
    site->options.max_post_size = 5000;
    site_start(site);
    char *body = filled("", 5001, "");
    struct call *c = call_start(site, "/app/echo", "Expect:", body);
    CHECK_INT(call_wait(c), 413);
    CHECK_STR(call_header(c, "Connection", 0), "close");
    call_free(&c);
    c = call_start(site, "/app/echo", "Transfer-Encoding: chunked", body);
    CHECK_INT(call_wait(c), 413);
    call_free(&c);
    body[5000] = 0;
    c = call_start(site, "/app/echo", NULL, body);
    CHECK_INT(call_wait(c), 200);
    CHECK_INT((int64_t)c->body_len, 5000);
    call_free(&c);
    free(body);
}

/* Chunks of 64 KiB, and no end of them. */
static void a_body_without_an_end_is_413(void)
{
    static const char head[] = "POST /app/echo HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    site->options.max_post_size = 5000;
    site_start(site);
    for (size_t chunks = 40; chunks <= 200; chunks += 160) {
        size_t at = sizeof head - 1, chunk = 65536 + 9;
        char *text = filled(head, chunks * chunk, "");
        for (size_t i = 0; i < chunks; i++, at += chunk) {
            memcpy(text + at, "10000\r\n", 7);
            memcpy(text + at + chunk - 2, "\r\n", 2);
        }
        char *answer = site_raw(site, text, at);
        CHECK_INT(strncmp(answer, "HTTP/1.1 413 Content Too Large\r\n", 32), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(answer, "Connection: close\r\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\r\n\r\nContent Too Large\n"));
        CU_ASSERT_PTR_NULL(strstr(answer + 1, "HTTP/1.1"));
        free(answer);
        free(text);
    }
    check_body("/app/hello", NULL, "hello\n");
}

static void nobody_writes_a_header_line_of_his_own(void)
{
    site_start(site);
    struct call *c = site_get(site, "/app/headers", NULL);
    CHECK_INT(c->status, 200);
    CHECK_STR(call_header(c, "X-One", 0), "1");
    CHECK_STR(call_header(c, "X-One", 1), "2");
    CHECK_STR(call_header(c, "X-Two", 0), "y");
    CU_ASSERT_PTR_NULL(call_header(c, "X-Two", 1));
    CU_ASSERT_PTR_NULL(call_header(c, "X-Bad", 0));
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
    CHECK_STR(c->body, "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    call_free(&c);
    c = site_get(site, "/app/redirect", NULL);
    CHECK_INT(c->status, 303);
    CHECK_STR(call_header(c, "Location", 0), "/to%20%C3%BC?x=1");
    CHECK_STR(call_header(c, "X-Kept", 0), "yes");
    CHECK_STR(c->body, "");
    call_free(&c);
}

static void errors_are_text_or_a_page(void)
{
    site_start(site);
    struct call *c = site_get(site, "/app/fail?text=%3Cx%3E", "Accept: */*");
    CHECK_INT(c->status, 418);
    CHECK_STR(c->body, "<x>\n");
    call_free(&c);
    c = site_get(site, "/app/fail?text=%3Cx%3E",
                 "Accept: image/png, text/html;q=0.8");
    CU_ASSERT_PTR_NOT_NULL(strstr(c->body, "&lt;x&gt;"));
    CU_ASSERT_PTR_NULL(strstr(c->body, "<x>"));
    call_free(&c);
    check_header("/app/nothing", "Accept: text/html;q=0", "Content-Type",
                 "text/plain;charset=UTF-8");
}

static void web_xml_may_have_an_error_page(void)
{
    static struct error_page pages[] = {{418, "/oops.html"}, {0, "/a.html"}};
    site->context.error_pages = pages;
    site->context.error_page_count = 2;
    site_start(site);
    struct call *c = site_get(site, "/app/fail", NULL);
    CHECK_INT(c->status, 418);
    CHECK_STR(c->body, "<p>oops</p>\n");
    CHECK_STR(call_header(c, "Content-Type", 0), "text/html;charset=UTF-8");
    call_free(&c);
    c = site_get(site, "/app/nothing", NULL);
    CHECK_INT(c->status, 404);
    CHECK_STR(c->body, "<p>a</p>\n");
    call_free(&c);
}

static void connections_are_kept_and_ended(void)
{
    static const char two[] = "GET /app/hello HTTP/1.1\r\nHost: a\r\n\r\n"
                              "GET /app/hello HTTP/1.1\r\nHost: a\r\n"
                              "Connection: close\r\n\r\n";
    site->options.max_keep_alive_requests = 3;
    site_start(site);
    char *text = site_raw(site, two, sizeof two - 1);
    const char *second = strstr(text, "hello\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    CU_ASSERT_PTR_NOT_NULL(strstr(second + 1, "hello\n"));
    CU_ASSERT(!strstr(text, "Connection: close") ||
              strstr(text, "Connection: close") > second);
    free(text);
    /* The third ends it, and the server says so. */
    static const char three[] = "GET /app/hello HTTP/1.1\r\nHost: a\r\n\r\n"
                                "HEAD /app/hello HTTP/1.1\r\nHost: a\r\n\r\n"
                                "GET /app/hello HTTP/1.1\r\nHost: a\r\n\r\n";
    text = site_raw(site, three, sizeof three - 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "Connection: close"));
    free(text);
    text = site_raw(site, "GET /app/hello HTTP/1.0\r\n\r\n", 27);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "Connection: close"));
    free(text);
}

static void a_draining_instance_closes_connections(void)
{
    site_start(site);
    CHECK_INT(status_of("/health", NULL), 200);
    check_header("/app/hello", NULL, "Connection", NULL);
    atomic_store(&site->in.state, INSTANCE_DRAINING);
    CHECK_INT(status_of("/health", NULL), 404);
    check_header("/app/hello", NULL, "Connection", "close");
    atomic_store(&site->in.state, INSTANCE_STARTING);
    CHECK_INT(status_of("/health", NULL), 503);
}

#define METHODS                                                                \
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"                                    \
    "OPTIONS /app/a.html HTTP/1.1\r\nHost: a\r\n\r\n"                          \
    "TRACE /app/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void the_methods_are_told(void)
{
    static const char all[] = "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS";
    site_start(site);
    char *text = site_raw(site, METHODS, sizeof METHODS - 1);
    char *file = strstr(text + 1, "HTTP/1.1 200 OK\r\n");
    char *trace = strstr(text, "HTTP/1.1 405 Method Not Allowed\r\n");
    CHECK_INT(strncmp(text, "HTTP/1.1 200 OK\r\n", 17), 0);
    CU_ASSERT_FATAL(file && trace && file < trace);
    CU_ASSERT(strstr(text, all) && strstr(text, all) < file);
    CU_ASSERT_PTR_NOT_NULL(strstr(file, "Allow: GET, HEAD, OPTIONS\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(trace, all));
    free(text);
    CHECK_INT(raw_status("OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n"),
              400); /* no Host */
}

#define UNCHANGED                                                              \
    "GET /app/a.html HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n"          \
    "GET /app/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void files_are_served_with_their_date(void)
{
    char since[128], unmodified[128], match[128], strong[128];
    site_start(site);
    struct call *c = site_get(site, "/app/a.html", NULL);
    CHECK_INT(c->status, 200);
    CHECK_STR(c->body, "<p>a</p>\n");
    CHECK_STR(call_header(c, "Content-Type", 0), "text/html;charset=UTF-8");
    CHECK_STR(call_header(c, "X-Content-Type-Options", 0), "nosniff");
    snprintf(since, sizeof since, "If-Modified-Since: %s",
             call_header(c, "Last-Modified", 0));
    snprintf(unmodified, sizeof unmodified, "If-Unmodified-Since: %s",
             call_header(c, "Last-Modified", 0));
    snprintf(match, sizeof match, "If-None-Match: \"x\", %s",
             call_header(c, "ETag", 0));
    snprintf(strong, sizeof strong, "If-Match: %s", call_header(c, "ETag", 0));
    call_free(&c);
    CHECK_INT(status_of("/app/a.html", since), 304);
    CHECK_INT(status_of("/app/a.html", match), 304);
    char *same = site_raw(site, UNCHANGED, sizeof UNCHANGED - 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(same, "304 Not Modified\r\n"));
    CU_ASSERT_PTR_NULL(strstr(same, "Content-Length: 0"));
    CU_ASSERT_PTR_NULL(strstr(same, "<p>"));
    CU_ASSERT_PTR_NOT_NULL(strstr(same, "\r\n\r\nHTTP/1.1 200 OK\r\n"));
    free(same);
    CHECK_INT(status_of("/app/a.html", "If-None-Match: \"x\""), 200);
    CHECK_INT(status_of("/app/a.html", "If-Modified-Since: Sun, 06 Nov 1994 "
                                       "08:49:37 GMT"),
              200);
    CHECK_INT(status_of("/app/a.html", "If-Match: *"), 200);
    CHECK_INT(status_of("/app/a.html", strong), 412); /* a weak tag */
    CHECK_INT(status_of("/app/a.html", "If-Unmodified-Since: Sun, 06 Nov 1994 "
                                       "08:49:37 GMT"),
              412);
    CHECK_INT(status_of("/app/a.html", unmodified), 200);
    check_body("/app/empty.txt", NULL, "");
    struct call *post = call_start(site, "/app/a.html", NULL, "a=b");
    CHECK_INT(call_wait(post), 405);
    CHECK_STR(call_header(post, "Allow", 0), "GET, HEAD, OPTIONS");
    call_free(&post);
    char *head = site_raw(site, "HEAD /app/a.html HTTP/1.0\r\n\r\n", 29);
    CU_ASSERT_PTR_NOT_NULL(strstr(head, "Content-Length: 9\r\n"));
    CU_ASSERT_PTR_NULL(strstr(head, "<p>"));
    free(head);
}

static void nothing_outside_the_folder_is_served(void)
{
    static const char *const hidden[] = {
        "/app/WEB-INF/web.xml",   "/app/web-inf/web.xml", "/app/WEB-INF",
        "/app/WEB-INF/",          "/app/META-INF/x",      "/app/link.txt",
        "/app/up/secret.txt",     "/app/a.html/",         "/app/x/../WEB-INF/",
        "/app/%57EB-INF/web.xml",
    };
    site_start(site);
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        CHECK_INT(status_of(hidden[i], NULL), 404);
}

static void folders_have_a_slash_and_a_welcome_file(void)
{
    site_start(site);
    check_header("/app/sub?x=1", NULL, "Location", "/app/sub/?x=1");
    check_body("/app/sub/", NULL, "welcome\n");
    CHECK_INT(status_of("/app/", NULL), 404);
}

static void large_bodies_leave_whole(void)
{
    site_start(site);
    struct call *c = site_get(site, "/app/large", NULL);
    CHECK_INT(c->status, 200);
    CHECK_INT((int64_t)c->body_len, 3000 * 1024);
    call_free(&c);
}

static void metrics_count_by_status(void)
{
    site_start(site);
    status_of("/app/hello", NULL);
    status_of("/app/nothing", NULL);
    struct call *c = site_get(site, "/metrics", NULL);
    CHECK_INT(c->status, 200);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(c->body, "margay_http_requests_total{status=\"200\"} 1\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(c->body, "margay_http_requests_total{status=\"404\"} 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        c->body, "margay_sessions_active{context=\"/app\",role=\"primary\"} "
                 "0\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(c->body, "\nmargay_sessions_unreadable_total 3\n"));
    call_free(&c);
    /* A proxy that no RemoteIpValve knows asks for somebody else. */
    CHECK_INT(status_of("/metrics", "X-Forwarded-For: 203.0.113.7"), 404);
}

UNIT_MAIN_AROUND(
    "http", before, after, CASE(a_request_reaches_its_servlet),
    CASE(what_cannot_be_served_says_why), CASE(a_malformed_header_is_refused),
    CASE(nobody_hides_a_request_in_a_header),
    CASE(a_header_over_the_limit_is_431), CASE(a_full_memory_is_431_as_well),
    CASE(header_lines_are_counted), CASE(many_parameters_fit_into_a_header),
    CASE(bodies_and_forms_are_read), CASE(a_form_may_be_as_long_as_a_body),
    CASE(a_body_over_the_limit_is_413), CASE(a_body_without_an_end_is_413),
    CASE(nobody_writes_a_header_line_of_his_own),
    CASE(errors_are_text_or_a_page), CASE(web_xml_may_have_an_error_page),
    CASE(connections_are_kept_and_ended),
    CASE(a_draining_instance_closes_connections), CASE(the_methods_are_told),
    CASE(files_are_served_with_their_date),
    CASE(nothing_outside_the_folder_is_served),
    CASE(folders_have_a_slash_and_a_welcome_file),
    CASE(large_bodies_leave_whole), CASE(metrics_count_by_status))
