/* SPDX-License-Identifier: Apache-2.0
 *
 * c_webxml.c: web.xml, context.xml and what becomes of them in a context. */
#include "config.h"

#include "container/context.h"
#include "tests/scratch.h"
#include "tests/unit.h"

#include <stdio.h>
#include <string.h>

static struct scratch site;
static struct context *context;

static void before(void)
{
    scratch_init(&site);
    context = NULL;
}

static void after(void)
{
    context_free(&context);
    scratch_release(&site);
}

#define SERVER                                                                 \
    "<Server><Service><Connector address='127.0.0.1' port='0'/>"               \
    "<Engine><Host>%s</Host></Engine></Service></Server>"

/* host: what stands in <Host>; app: within <web-app>, NULL: there is none. */
static enum rc read_app(const char *host, const char *app)
{
    char server[4096], web[8192];

    context_free(&context);
    snprintf(server, sizeof server, SERVER, host);
    scratch_mkdir(&site, "webapps/x/WEB-INF");
    if (app) {
        snprintf(web, sizeof web, "<web-app>%s</web-app>", app);
        scratch_write(&site, "webapps/x/WEB-INF/web.xml", web);
    }
    CHECK_INT_FATAL(scratch_read_text(&site, server), RC_OK);
    CHECK_INT_FATAL(site.config->context_count, 1);
    return context_new(NULL, site.config->contexts[0], &context, &site.err);
}

static void read_good(const char *host, const char *app)
{
    enum rc rc = read_app(host, app);

    CHECK_STR(scratch_error(&site), "");
    CHECK_INT_FATAL(rc, RC_OK);
}

static void a_bare_folder(void)
{
    read_good("", NULL);
    CHECK_STR(context->path, "/x");
    CHECK_INT(context->servlet_count, 1);
    CHECK_STR(context->servlets[0].name, "default");
    CU_ASSERT_PTR_NOT_NULL(context->servlets[0].servlet);
    CHECK_INT_FATAL(context->mapping_count, 1);
    CHECK_STR(context->mappings[0].pattern, "/");
    CHECK_INT(context->mappings[0].wish, SESSION_WISH_NONE);
    CHECK_INT_FATAL(context->welcome_file_count, 1);
    CHECK_STR(context->welcome_files[0], "index.html");
    CHECK_INT(context->cookies, true);
    CHECK_INT(context->url_tracking, true);
    CHECK_STR(context->session_cookie.name, "JSESSIONID");
    CHECK_STR(context->session_cookie.path, "/x");
    CHECK_INT(context->session_cookie.http_only, true);
    CHECK_INT(context->session_cookie.max_age, -1);
    CHECK_STR(context->session_parameter_name, "jsessionid");
    CHECK_INT(context->manager_options.max_inactive, 1800);
}

static void servlets_and_mappings(void)
{
    read_good("", "<display-name>An x</display-name>"
                  "<servlet-mapping><servlet-name>b</servlet-name>"
                  "<url-pattern>/b</url-pattern><url-pattern>*.b</url-pattern>"
                  "<session>read</session></servlet-mapping>"
                  "<servlet><servlet-name>a</servlet-name>"
                  "<servlet-class>a_class</servlet-class>"
                  "<init-param><param-name>k</param-name>"
                  "<param-value>v</param-value></init-param>"
                  "<load-on-startup>3</load-on-startup></servlet>"
                  "<servlet><servlet-name>b</servlet-name>"
                  "<servlet-class>b_class</servlet-class>"
                  "<async-supported>true</async-supported></servlet>"
                  "<servlet-mapping><servlet-name>a</servlet-name>"
                  "<url-pattern></url-pattern></servlet-mapping>"
                  "<servlet-mapping><servlet-name>default</servlet-name>"
                  "<url-pattern>/files/*</url-pattern>"
                  "<session>none</session></servlet-mapping>");
    CHECK_STR(context->display_name, "An x");
    CHECK_INT_FATAL(context->servlet_count, 3);
    CHECK_STR(context->servlets[0].class_name, "a_class");
    CHECK_STR(parameters_get(&context->servlets[0].params, "k"), "v");
    CHECK_STR(parameters_get(&context->servlets[0].params, "K"), NULL);
    CHECK_INT(context->servlets[0].load_on_startup, 3);
    CHECK_INT(context->servlets[0].async_supported, false);
    CHECK_INT(context->servlets[1].async_supported, true);
    CHECK_INT(context->servlets[1].load_on_startup, -1);
    CHECK_INT_FATAL(context->mapping_count, 5);
    CHECK_STR(context->mappings[1].pattern, "*.b");
    CHECK_INT(context->mappings[1].wish, SESSION_WISH_READ);
    CU_ASSERT_PTR_EQUAL(context->mappings[1].servlet, &context->servlets[1]);
    CHECK_STR(context->mappings[2].pattern, "");
    CHECK_INT(context->mappings[2].wish, SESSION_WISH_WRITE);
    CHECK_INT(context->mappings[3].wish, SESSION_WISH_NONE);
    CHECK_STR(context->mappings[4].pattern, "/");
    CU_ASSERT_PTR_EQUAL(context->servlets[0].context, context);
}

static void parameters(void)
{
    properties_set(site.properties, "tea", "green");
    read_good("<Parameter name='a' value='server'/>"
              "<Parameter name='b' value='server' override='false'/>"
              "<Parameter name='c' value='server'/>",
              "<context-param><param-name>a</param-name>"
              "<param-value>${tea:-none} ${water:-hot}</param-value>"
              "</context-param>"
              "<context-param><param-name>b</param-name>"
              "<param-value>app</param-value></context-param>");
    CHECK_STR(parameters_get(&context->params, "a"), "green hot");
    CHECK_STR(parameters_get(&context->params, "b"), "server");
    CHECK_STR(parameters_get(&context->params, "c"), "server");
    CHECK_INT(properties_known(site.properties, "tea"), true);
}

static void listeners_and_pages(void)
{
    read_good("", "<listener><listener-class>one</listener-class></listener>"
                  "<listener><listener-class>two</listener-class></listener>"
                  "<welcome-file-list><welcome-file>home</welcome-file>"
                  "<welcome-file>index.html</welcome-file></welcome-file-list>"
                  "<error-page><error-code>404</error-code>"
                  "<location>/404.html</location></error-page>"
                  "<error-page><location>/any.html</location></error-page>"
                  "<distributable/>");
    CHECK_INT_FATAL(context->listener_class_count, 2);
    CHECK_STR(context->listener_classes[1].name, "two");
    CHECK_INT_FATAL(context->welcome_file_count, 2);
    CHECK_STR(context->welcome_files[0], "home");
    CHECK_INT_FATAL(context->error_page_count, 2);
    CHECK_INT(context->error_pages[0].status, 404);
    CHECK_STR(context->error_pages[0].location, "/404.html");
    CHECK_INT(context->error_pages[1].status, 0);
    CHECK_INT(site.warning_count, 0);
}

static void timeouts(void)
{
    read_good("", "<session-config><session-timeout>5</session-timeout>"
                  "</session-config>");
    CHECK_INT(context->manager_options.max_inactive, 300);
    read_good("", "<session-config><session-timeout>0</session-timeout>"
                  "</session-config>");
    CHECK_INT(context->manager_options.max_inactive, 0);
    read_good("<Manager maxInactive=''/>",
              "<session-config><session-timeout>-1</session-timeout>"
              "</session-config>");
    CHECK_INT(context->manager_options.max_inactive, 0);
    read_good("<Manager maxInactive='77'/>",
              "<session-config><session-timeout>5</session-timeout>"
              "</session-config>");
    CHECK_INT(context->manager_options.max_inactive, 77);
}

static void tracking_modes(void)
{
    read_good("", "<session-config><tracking-mode>URL</tracking-mode>"
                  "</session-config>");
    CHECK_INT(context->cookies, false);
    CHECK_INT(context->url_tracking, true);
    read_good("", "<session-config><tracking-mode>COOKIE</tracking-mode>"
                  "</session-config>");
    CHECK_INT(context->cookies, true);
    CHECK_INT(context->url_tracking, false);
    read_good("<Context path='/x' cookies='false'/>", "");
    CHECK_INT(context->cookies, false);
    CHECK_INT(context->url_tracking, true);
}

#define COOKIE(inner)                                                          \
    "<session-config><cookie-config>" inner "</cookie-config></"               \
    "session-config>"

static void the_cookie_of_web_xml(void)
{
    const struct cookie_config *c;

    read_good("<Context path='/x' useHttpOnly='false'/>",
              COOKIE("<name>SID</name><domain>Example.com</domain>"
                     "<path>/y</path><secure>true</secure>"
                     "<max-age>60</max-age><attribute>"
                     "<attribute-name>Priority</attribute-name>"
                     "<attribute-value>High</attribute-value></attribute>"));
    c = &context->session_cookie;
    CHECK_STR(c->name, "SID");
    CHECK_STR(context->session_parameter_name, "SID");
    CHECK_STR(c->domain, "Example.com");
    CHECK_STR(c->path, "/y");
    CHECK_INT(c->secure, true);
    CHECK_INT(c->http_only, false);
    CHECK_INT(c->max_age, 60);
    CHECK_INT_FATAL(c->attribute_count, 1);
    CHECK_STR(c->attributes[0].name, "Priority");
    CHECK_STR(c->attributes[0].value, "High");
    CHECK_INT(c->same_site, COOKIE_SAME_SITE_UNSET);
    CHECK_INT(c->partitioned, false);
}

static void the_context_wins(void)
{
    const struct cookie_config *c;

    read_good("<Context path='/x' sessionCookieName='A' usePartitioned='true' "
              "sessionCookieDomain='a.org' sessionCookiePath='/a' "
              "sessionCookiePathUsesTrailingSlash='true'>"
              "<CookieProcessor sameSiteCookies='strict' "
              "cookiesWithoutEquals='name'/></Context>",
              COOKIE("<name>B</name><domain>b.org</domain><path>/b</path>"
                     "<http-only>false</http-only>"));
    c = &context->session_cookie;
    CHECK_STR(c->name, "A");
    CHECK_STR(c->domain, "a.org");
    CHECK_STR(c->path, "/a/");
    CHECK_INT(c->http_only, true);
    CHECK_INT(c->partitioned, true);
    CHECK_INT(c->same_site, COOKIE_SAME_SITE_STRICT);
    CHECK_INT(context->cookies_without_equals, COOKIE_BARE_NAME);
}

static void check_cookie_path(const char *folder, const char *expected)
{
    char path[256];

    scratch_init(&site);
    snprintf(path, sizeof path, "webapps/%s", folder);
    scratch_mkdir(&site, path);
    snprintf(path, sizeof path, SERVER, "");
    CHECK_INT_FATAL(scratch_read_text(&site, path), RC_OK);
    CHECK_INT_FATAL(
        context_new(NULL, site.config->contexts[0], &context, &site.err),
        RC_OK);
    CHECK_STR(context->session_cookie.path, expected);
}

static void path_of_the_root(void)
{
    scratch_release(&site);
    check_cookie_path("ROOT", "/");
}

static void path_with_a_blank(void)
{
    scratch_release(&site);
    check_cookie_path("a b", "/a%20b");
}

struct bad {
    const char *app, *error;
};

static void what_is_wrong(void)
{
    static const struct bad all[] = {
        {"<foo/>", "1: unknown element <foo> in <web-app>: remove it, or "
                   "correct its name"},
        {"<servlet/>", "1: <servlet> without <servlet-name>: add it"},
        {"<servlet><servlet-name>a</servlet-name></servlet>",
         "1: <servlet> without <servlet-class>: add it"},
        {"<servlet><servlet-name>a</servlet-name><jsp-file>/a.jsp</jsp-file>"
         "</servlet>",
         "1: <jsp-file> is not offered: there are no JSPs; name a "
         "servlet-class"},
        {"\n<servlet-mapping><servlet-name>a</servlet-name>"
         "<url-pattern>/</url-pattern></servlet-mapping>",
         "2: there is no <servlet> called a: add it, or correct the name"},
        {"<servlet-mapping><servlet-name>default</servlet-name>"
         "</servlet-mapping>",
         "1: <servlet-mapping> without <url-pattern>: add it"},
        {"<servlet-mapping><servlet-name>default</servlet-name>\n"
         "<url-pattern>a</url-pattern></servlet-mapping>",
         "2: <url-pattern>a</url-pattern>: write /name, /name/*, *.extension, "
         "/ or nothing"},
        {"<servlet-mapping><servlet-name>default</servlet-name>"
         "<url-pattern>/a</url-pattern>\n<url-pattern>/a</url-pattern>"
         "</servlet-mapping>",
         "2: <url-pattern>/a</url-pattern> leads to two servlets: keep one of "
         "them"},
        {"<servlet-mapping><servlet-name>default</servlet-name>"
         "<url-pattern>/a</url-pattern><session>maybe</session>"
         "</servlet-mapping>",
         "1: <session>maybe</session>: say none, read or write"},
        {"<servlet><servlet-name>a</servlet-name>"
         "<servlet-class>a</servlet-class>\n"
         "<load-on-startup>x</load-on-startup></servlet>",
         "2: <load-on-startup>x</load-on-startup>: a whole number from "
         "-2147483648 to 2147483647 belongs here"},
        {"<servlet><servlet-name>a</servlet-name>"
         "<servlet-class>a</servlet-class>"
         "<async-supported>yes</async-supported></servlet>",
         "1: <async-supported>yes</async-supported>: say true or false"},
        {"<session-config/>\n<session-config/>",
         "2: a second <session-config>: keep one of them"},
        {"<session-config><tracking-mode>SSL</tracking-mode></session-config>",
         "1: <tracking-mode>SSL</tracking-mode>: say COOKIE or URL"},
        {COOKIE("<domain>.example.com</domain>"), NULL},
        {COOKIE("<name>a b</name>"), NULL},
        {COOKIE("<path>/;x</path>"), NULL},
        {"<error-page><error-code>404</error-code>"
         "<location>x</location></error-page>",
         "1: <location>x</location>: it begins with /"},
        {"<filter/>", "1: <filter> is not offered: do it in the servlet, or "
                      "with a <Valve> of <Context>; remove it here"},
        {"<security-constraint/>",
         "1: <security-constraint> is not offered: let the servlet ask "
         "servlet_context_authenticate; remove it here"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const char *text;
        CU_ASSERT(read_app("", all[i].app) != RC_OK);
        text = scratch_error(&site);
        CHECK_INT(strncmp(text, "webapps/x/WEB-INF/web.xml:", 26), 0);
        if (all[i].error)
            CHECK_STR(text + 26, all[i].error);
        else
            CU_ASSERT_PTR_NOT_NULL(strstr(text, "session cookie: "));
        CU_ASSERT_PTR_NULL(context);
    }
}

static void a_star_stands_where_it_means_something(void)
{
    static const char *const bad[] = {"/a/*.html", "/a*",   "*",   "*.",
                                      "/*/a",      "*.a/b", "*.*", "a/*"};
    char app[256];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(app, sizeof app,
                 "<servlet-mapping><servlet-name>default</servlet-name>"
                 "<url-pattern>%s</url-pattern></servlet-mapping>",
                 bad[i]);
        CHECK_INT(read_app("", app), RC_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(scratch_error(&site), "write /name"));
    }
    read_good("", "<servlet-mapping><servlet-name>default</servlet-name>"
                  "<url-pattern>/*</url-pattern><url-pattern>/a/*</url-pattern>"
                  "<url-pattern>*.b</url-pattern><url-pattern/>"
                  "</servlet-mapping>");
}

static void a_pattern_is_written_as_in_a_url(void)
{
    static const char *const bad[] = {"/%zz", "/a%2", "/%00", "/%ff"};
    char app[256];

    read_good("", "<servlet-mapping><servlet-name>default</servlet-name>"
                  "<url-pattern>/a%20b/%C3%BC/*</url-pattern>"
                  "</servlet-mapping>");
    CHECK_STR(context->mappings[0].pattern, "/a b/\xc3\xbc/*");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(app, sizeof app,
                 "<servlet-mapping><servlet-name>default</servlet-name>\n"
                 "<url-pattern>%s</url-pattern></servlet-mapping>",
                 bad[i]);
        CHECK_INT(read_app("", app), RC_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(scratch_error(&site), "web.xml:2: "));
        CU_ASSERT_PTR_NOT_NULL(strstr(scratch_error(&site), "write %25"));
    }
}

/* The place of an attribute of <Context> is not web.xml. */
static void a_wrong_cookie_of_the_context_is_told_there(void)
{
    CHECK_INT(read_app("\n<Context path='/x' sessionCookieDomain='.a'/>",
                       COOKIE("<name>a</name>")),
              RC_INVALID);
    CU_ASSERT(strncmp(scratch_error(&site),
                      "server.xml:2: session cookie: ", 30) == 0);
}

static void what_needs_java_warns_once(void)
{
    read_good("", "\n<env-entry><env-entry-name>x</env-entry-name></env-entry>"
                  "\n<mime-mapping><extension>x</extension></mime-mapping>");
    CHECK_INT(site.warning_count, 2);
    CU_ASSERT(scratch_warned(
        &site, "webapps/x/WEB-INF/web.xml:2: <env-entry> is "
               "ignored: there is no JNDI; <context-param> hands a "
               "value over"));
    CU_ASSERT(scratch_warned(&site,
                             "webapps/x/WEB-INF/web.xml:3: <mime-mapping> is "
                             "ignored: the built-in types are used"));
}

UNIT_MAIN_AROUND("webxml", before, after, CASE(a_bare_folder),
                 CASE(servlets_and_mappings), CASE(parameters),
                 CASE(listeners_and_pages), CASE(timeouts),
                 CASE(tracking_modes), CASE(the_cookie_of_web_xml),
                 CASE(the_context_wins), CASE(path_of_the_root),
                 CASE(path_with_a_blank), CASE(what_is_wrong),
                 CASE(a_star_stands_where_it_means_something),
                 CASE(a_pattern_is_written_as_in_a_url),
                 CASE(a_wrong_cookie_of_the_context_is_told_there),
                 CASE(what_needs_java_warns_once))
