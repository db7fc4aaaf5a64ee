/* SPDX-License-Identifier: Apache-2.0
 *
 * c_valve.c: the valves, and what the server writes by hand: log patterns,
 * dates, content types, formats, who may read the metrics. */
#include "config.h"

#include "container/access_log.h"
#include "container/format.h"
#include "container/metrics.h"
#include "container/request.h"
#include "container/static_files.h"
#include "container/valve.h"
#include "tests/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct connector_options limits;
static struct http_request *request;

static void add_field(const char *name, const char *value)
{
    request_add_field(request, name, strlen(name), value, strlen(value));
}

static void before(void)
{
    option_defaults(connector_option_table, &limits);
    request = request_new(NULL, NULL, &limits);
    request_begin(request, "GET", "/app/x;a=b?q=1", "HTTP/1.1");
    request->remote_addr = "10.1.2.3";
    request->now = instant_read();
    add_field("Host", "example.org:8080");
    add_field("User-Agent", "a \"quoted\"\x01 agent");
    add_field("Cookie", "one=1; two=2");
}

static void after(void)
{
    request_unref(request);
    option_release(connector_option_table, &limits);
}

/* ---- the access log ---- */

static void check_line(const char *pattern, const char *expected)
{
    struct log_pattern *p = NULL;
    struct err err = {""};
    char line[LOG_LINE_MAX];
    CHECK_INT_FATAL(log_pattern_new(pattern, &p, &err), RC_OK);
    size_t len = log_pattern_line(p, request, false, line);
    CU_ASSERT_FATAL(len > 0 && line[len - 1] == '\n');
    line[len - 1] = 0;
    CHECK_STR(line, expected);
    log_pattern_free(&p);
}

static void a_pattern_becomes_a_line(void)
{
    buf_add_str(&request->response.body, "12345");
    request->response.status = 404;
    check_line("%h %l %u \"%r\" %s %b",
               "10.1.2.3 - - \"GET /app/x;a=b?q=1 HTTP/1.1\" 404 5");
    check_line("%a %m %H %U%q %v %S %%", "10.1.2.3 GET HTTP/1.1 "
                                         "/app/x;a=b?q=1 example.org - %");
    check_line("[%{two}c][%{three}c][%{host}i]", "[2][-][example.org:8080]");
    check_line("%{User-Agent}i", "a \\x22quoted\\x22\\x01 agent");
    request->response.content_type = "text/plain";
    check_line("%{content-type}o %{X}o", "text/plain -");
    buf_reset(&request->response.body);
    check_line("%b %B", "- 0");
}

/* Who reads the log must not be able to take over a session. */
static void an_id_is_never_written_whole(void)
{
    static const char id[] = "0123456789ABCDEF0123456789ABCDEF.node1";
    char target[128], url[128], cookies[128];
    snprintf(target, sizeof target, "/a;jsessionid=%s/b?c=d", id);
    snprintf(url, sizeof url, "http://x/y;jsessionid=%s", id);
    snprintf(cookies, sizeof cookies, "a=b; JSESSIONID=%s; c=d", id);
    request_reset(request);
    request_begin(request, "GET", target, "HTTP/1.1");
    add_field("Referer", url);
    add_field("Cookie", cookies);
    http_response_set_header(&request->response, "Location", url);
    http_response_set_header(&request->response, "Set-Cookie", cookies + 5);
    check_line("%r", "GET /a;jsessionid=01234567/b?c=d HTTP/1.1");
    check_line("%U %{Referer}i",
               "/a;jsessionid=01234567/b http://x/y;jsessionid=01234567");
    check_line("%{Location}o", "http://x/y;jsessionid=01234567");
    check_line("%{Set-Cookie}o", "JSESSIONID=01234567; c=d");
    check_line("%{Cookie}i %{JSESSIONID}c %{c}c",
               "a=b; JSESSIONID=01234567; c=d 01234567 d");
}

static void an_unknown_code_is_refused(void)
{
    static const char *const bad[] = {"%Z", "%", "%{", "%{}i", "%{x}z", "a %"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct log_pattern *p = NULL;
        struct err err = {""};
        CHECK_INT(log_pattern_new(bad[i], &p, &err), RC_INVALID);
        CU_ASSERT(err.text[0]);
    }
}

static void a_long_line_is_cut(void)
{
    struct log_pattern *p = NULL;
    char line[LOG_LINE_MAX], big[3 * LOG_LINE_MAX];
    memset(big, '"', sizeof big - 1);
    big[sizeof big - 1] = 0;
    add_field("Referer", big);
    CHECK_INT_FATAL(log_pattern_new("combined", &p, NULL), RC_OK);
    CHECK_INT((int64_t)log_pattern_line(p, request, false, line), LOG_LINE_MAX);
    CU_ASSERT(line[LOG_LINE_MAX - 1] == '\n');
    log_pattern_free(&p);
}

static void *options_of(const struct valve_kind *kind)
{
    void *options = calloc(1, kind->options_size);
    option_defaults(kind->options, options);
    return options;
}

static void free_options(const struct valve_kind *kind, void *options)
{
    option_release(kind->options, options);
    free(options);
}

static void lines_reach_their_file(void)
{
    const struct valve_kind *kind =
        valve_kind_find("org.apache.catalina.valves.AccessLogValve");
    struct valve_env env = {.state_dir = unit_tmpdir()};
    struct valve *v = NULL;
    struct err err = {""};
    char path[512], text[64] = "";
    CU_ASSERT_PTR_NOT_NULL_FATAL(kind);
    void *options = options_of(kind);
    option_set(kind->options, options, "pattern", "%s %U", NULL);
    option_set(kind->options, options, "rotatable", "false", NULL);
    option_set(kind->options, options, "directory", "new/logs", NULL);
    CHECK_INT_FATAL(valve_new(kind, options, &env, &v, &err), RC_OK);
    CHECK_INT(kind->in(v, request), VALVE_GO_ON);
    kind->out(v, request);
    valve_tick(v, instant_read());
    snprintf(path, sizeof path, "%s/new/logs/access_log", unit_tmpdir());
    int fd = open(path, O_RDONLY);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    CHECK_STR(text, "200 /app/x;a=b\n");
    valve_free(&v);
    /* A folder that cannot be: the server does not start. */
    option_set(kind->options, options, "directory", path, NULL);
    CHECK_INT(valve_new(kind, options, &env, &v, &err), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "access_log"));
    free_options(kind, options);
}

/* ---- by address ---- */

static void check_address(const char *allow, const char *deny,
                          const char *address, bool may)
{
    const struct valve_kind *kind = valve_kind_find("RemoteAddrValve");
    struct valve_env env = {0};
    struct valve *v = NULL;
    struct err err = {""};
    CU_ASSERT_PTR_NOT_NULL_FATAL(kind);
    void *options = options_of(kind);
    if (allow)
        option_set(kind->options, options, "allow", allow, NULL);
    if (deny)
        option_set(kind->options, options, "deny", deny, NULL);
    CHECK_INT_FATAL(valve_new(kind, options, &env, &v, &err), RC_OK);
    request->remote_addr = address;
    response_clear(&request->response);
    CHECK_INT(kind->in(v, request), may ? VALVE_GO_ON : VALVE_STOP);
    CHECK_INT(request->response.status, may ? 200 : 403);
    valve_free(&v);
    free_options(kind, options);
}

static void addresses_are_let_in_or_refused(void)
{
    static const char local[] = "127\\.\\d+\\.\\d+\\.\\d+|::1";
    check_address(local, NULL, "127.0.0.1", true);
    check_address(local, NULL, "::1", true);
    check_address(local, NULL, "127.0.0.1.2", false);
    check_address(local, NULL, "10.0.0.127", false);
    check_address(NULL, "10\\..*", "10.0.0.1", false);
    check_address(NULL, "10\\..*", "11.0.0.1", true);
    check_address("1.*", "10\\..*", "10.0.0.1", false);
    check_address("1.*", "10\\..*", "11.0.0.1", true);
    check_address("1.*", "10\\..*", "21.0.0.1", false);
    check_address(NULL, NULL, "127.0.0.1", false);
    check_address(NULL, "10[\\.:][\\d.]+", "10.0.0.1", false);
    check_address(NULL, "10[\\.:][\\d.]+", "100.0.0.1", true);
    check_address("10|10\\.1", NULL, "10.1", true);
    check_address("10\\.1|10", NULL, "10.12", false);
}

static void a_bad_expression_is_refused(void)
{
    const struct valve_kind *kind = valve_kind_find("RemoteAddrValve");
    struct valve_env env = {0};
    struct valve *v = NULL;
    struct err err = {""};
    void *options = options_of(kind);
    option_set(kind->options, options, "allow", "1(2", NULL);
    CHECK_INT(valve_new(kind, options, &env, &v, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "allow=\"1(2\""));
    /* What POSIX would read otherwise than Java, so that a deny denies nobody.
     */
    static const char *const other[] = {
        "\\w+", "\\Q10.0\\E.*", "10\\x2e.*", "[a[b]]", "[\\]]", "1)|(2", "1\\",
    };
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        option_set(kind->options, options, "allow", other[i], NULL);
        err.text[0] = 0;
        CHECK_INT(valve_new(kind, options, &env, &v, &err), RC_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, other[i]));
    }
    free_options(kind, options);
    CU_ASSERT_PTR_NULL(valve_kind_find("NoSuchValve"));
}

/* Is a request for that path one that changes no copies? */
static bool filtered(struct valve *v, const char *target)
{
    request_reset(request);
    request_begin(request, "GET", target, "HTTP/1.1");
    CHECK_INT(v->kind->in(v, request), VALVE_GO_ON);
    return request->changes_no_copies;
}

static void the_whole_path_is_compared(void)
{
    const struct valve_kind *kind =
        valve_kind_find("org.apache.catalina.ha.tcp.ReplicationValve");
    struct valve_env env = {NULL, NULL};
    struct valve *v = NULL;
    struct err err = {""};

    CU_ASSERT_PTR_NOT_NULL_FATAL(kind);
    void *options = options_of(kind);
    CHECK_INT_FATAL(valve_new(kind, options, &env, &v, &err), RC_OK);
    CU_ASSERT_FALSE(filtered(v, "/a.gif"));
    CU_ASSERT_FALSE(filtered(v, "*"));
    valve_free(&v);
    option_set(kind->options, options, "filter", ".*\\.gif|.*\\.js|/app/.*d",
               NULL);
    CHECK_INT(kind->check(options, &err), RC_OK);
    CHECK_INT_FATAL(valve_new(kind, options, &env, &v, &err), RC_OK);
    CU_ASSERT(filtered(v, "/a.gif"));
    CU_ASSERT(filtered(v, "/x/y%2Egif?a=b"));
    CU_ASSERT(filtered(v, "/a.js;jsessionid=1"));
    CU_ASSERT(filtered(v, "/app/old"));
    CU_ASSERT_FALSE(filtered(v, "/a.gifs"));
    CU_ASSERT_FALSE(filtered(v, "/x/app/old"));
    CU_ASSERT_FALSE(filtered(v, "/app/?.gif"));
    CU_ASSERT_FALSE(filtered(v, "/agif"));
    valve_free(&v);
    option_set(kind->options, options, "filter", ".*\\.gif|(", NULL);
    CHECK_INT(kind->check(options, &err), RC_INVALID);
    CHECK_INT(valve_new(kind, options, &env, &v, &err), RC_INVALID);
    free_options(kind, options);
}

/* ---- metrics, dates, types, formats ---- */

static void metrics_are_for_those_on_the_list(void)
{
    struct metrics *m = NULL;
    struct err err = {""};
    CHECK_INT_FATAL(metrics_new(NULL, &m, &err), RC_OK);
    CU_ASSERT(metrics_allowed(m, "127.0.0.1"));
    CU_ASSERT(metrics_allowed(m, "127.3.2.1"));
    CU_ASSERT(metrics_allowed(m, "::1"));
    CU_ASSERT_FALSE(metrics_allowed(m, "10.0.0.1"));
    CU_ASSERT_FALSE(metrics_allowed(m, ""));
    metrics_free(&m);
    CHECK_INT_FATAL(metrics_new("192.168.4.0/23, 10.1.2.3,fd00::/8", &m, &err),
                    RC_OK);
    CU_ASSERT(metrics_allowed(m, "192.168.5.255"));
    CU_ASSERT_FALSE(metrics_allowed(m, "192.168.6.0"));
    CU_ASSERT(metrics_allowed(m, "10.1.2.3"));
    CU_ASSERT_FALSE(metrics_allowed(m, "10.1.2.4"));
    CU_ASSERT(metrics_allowed(m, "fd12::1"));
    CU_ASSERT_FALSE(metrics_allowed(m, "127.0.0.1"));
    metrics_free(&m);
    CHECK_INT_FATAL(metrics_new("all", &m, &err), RC_OK);
    CU_ASSERT(metrics_allowed(m, "8.8.8.8"));
    metrics_free(&m);
    CHECK_INT(metrics_new("10.0.0.0/33", &m, &err), RC_INVALID);
    CHECK_INT(metrics_new("loopback,host.example", &m, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "host.example"));
}

static void dates_are_written_and_read(void)
{
    char text[HTTP_DATE_SIZE];
    CHECK_STR(http_date_format(784111777, text),
              "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK_INT(http_date_parse(text), 784111777);
    CHECK_INT(http_date_parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    CHECK_INT(http_date_parse("Sun Nov  6 08:49:37 1994"), 784111777);
    CHECK_INT(http_date_parse("yesterday"), -1);
    CHECK_INT(http_date_parse(""), -1);
    CHECK_STR(static_files_type("/a.b/c.HTML"), "text/html;charset=UTF-8");
    CU_ASSERT_PTR_NULL(static_files_type("/a.html/c"));
}

__attribute__((format(printf, 1, 2))) static const char *formatted(
    const char *format, ...)
{
    static char text[128];
    struct buf out;
    va_list ap;
    buf_init(&out, sizeof text - 1);
    va_start(ap, format);
    bool ok = format_add(&out, format, ap);
    va_end(ap);
    snprintf(text, sizeof text, "%s%s", ok ? "" : "FULL", buf_str(&out));
    buf_release(&out);
    return text;
}

static void formats_are_printf_s(void)
{
    CHECK_STR(formatted("%d|%i|%u|%s|%c|%%", -1, 0, 4000000000u, "x", 'y'),
              "-1|0|4000000000|x|y|%");
    CHECK_STR(formatted("%ld %lld %zu %lu %jd", -5L, -9223372036854775807LL - 1,
                        (size_t)-1, 7UL, (intmax_t)3),
              "-5 -9223372036854775808 18446744073709551615 7 3");
    CHECK_STR(formatted("%5d|%-3s|%.2s|%x", 7, "a", "bcd", 255),
              "    7|a  |bc|ff");
    CHECK_STR(formatted("no directives"), "no directives");
    char big[200];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = 0;
    CHECK_STR(formatted("a%s", big), "FULL");
}

UNIT_MAIN_AROUND("valve", before, after, CASE(a_pattern_becomes_a_line),
                 CASE(an_id_is_never_written_whole),
                 CASE(an_unknown_code_is_refused), CASE(a_long_line_is_cut),
                 CASE(lines_reach_their_file),
                 CASE(addresses_are_let_in_or_refused),
                 CASE(a_bad_expression_is_refused),
                 CASE(the_whole_path_is_compared),
                 CASE(metrics_are_for_those_on_the_list),
                 CASE(dates_are_written_and_read), CASE(formats_are_printf_s))
