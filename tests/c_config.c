/* SPDX-License-Identifier: Apache-2.0
 *
 * c_config.c: server.xml, good and bad, to the line and the word. */
#include "config.h"

#include "session/buf.h"
#include "tests/scratch.h"
#include "tests/unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lines: 1 Server, 2 Connector, 3 Engine, 4 Host, 5 the first of `host`. */
#define SERVER(service, engine, host)                                          \
    "<Server><Service>\n"                                                      \
    "<Connector address='127.0.0.1' port='0' " service "/>\n"                  \
    "<Engine defaultHost='localhost'>" engine "\n"                             \
    "<Host name='localhost' appBase='webapps'>\n" host                         \
    "\n</Host></Engine></Service></Server>\n"

static struct scratch site;

static void before(void)
{
    scratch_init(&site);
}

static void after(void)
{
    scratch_release(&site);
}

/* ---- what is understood ---- */

static void the_least(void)
{
    const struct server_config *c;

    CHECK_INT_FATAL(scratch_read_text(&site, SERVER("", "", "")), RC_OK);
    c = site.config;
    CHECK_INT(site.warning_count, 0);
    CHECK_INT(c->drain, 0);
    CHECK_INT(c->stop_timeout, 10);
    CHECK_STR(c->node, "");
    CHECK_STR(c->engine_name, "Catalina");
    CHECK_INT(c->connector_count, 1);
    CHECK_INT(c->context_count, 0);
    CHECK_INT(c->has_realm, false);
    CHECK_STR(c->level.manager->kind->name, "StandardManager");
    CHECK_INT(c->level.manager->common.max_inactive, 1800);
    CHECK_INT(c->level.cookie_processor->same_site, COOKIE_SAME_SITE_UNSET);
}

/* The elements and attributes of the file that comes with Tomcat. */
static const char like_tomcats[] =
    "<Server port='8005' shutdown='SHUTDOWN'>\n"
    "<Listener className='org.apache.catalina.startup.VersionLoggerListener'/>"
    "\n<Listener className='org.apache.catalina.core.AprLifecycleListener'/>\n"
    "<Listener className="
    "'org.apache.catalina.core.JreMemoryLeakPreventionListener'/>\n"
    "<Listener className="
    "'org.apache.catalina.mbeans.GlobalResourcesLifecycleListener'/>\n"
    "<Listener className="
    "'org.apache.catalina.core.ThreadLocalLeakPreventionListener'/>\n"
    "<GlobalNamingResources>\n"
    "<Resource name='UserDatabase' auth='Container' description='users'\n"
    "  type='org.apache.catalina.UserDatabase' pathname='conf/users.xml'\n"
    "  factory='org.apache.catalina.users.MemoryUserDatabaseFactory'/>\n"
    "</GlobalNamingResources>\n"
    "<Service name='Catalina'>\n"
    "<Connector port='8080' protocol='HTTP/1.1' connectionTimeout='20000'\n"
    "  redirectPort='8443' maxParameterCount='1000'/>\n"
    "<Engine name='Catalina' defaultHost='localhost'>\n"
    "<Realm className='org.apache.catalina.realm.LockOutRealm'>\n"
    "<Realm className='org.apache.catalina.realm.UserDatabaseRealm'\n"
    "  resourceName='UserDatabase'/>\n"
    "</Realm>\n"
    "<Host name='localhost' appBase='webapps' unpackWARs='true'\n"
    "  autoDeploy='true'>\n"
    "<Valve className='org.apache.catalina.valves.AccessLogValve'\n"
    "  directory='logs' prefix='localhost_access_log' suffix='.txt'\n"
    "  pattern='%h %l %u %t &quot;%r&quot; %s %b'/>\n"
    "</Host></Engine></Service></Server>\n";

static void tomcats_own_file(void)
{
    CHECK_INT(scratch_read_text(&site, like_tomcats), RC_OK);
    CHECK_STR(scratch_error(&site), "");
    CHECK_INT(site.warning_count, 14);
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:1: <Server port> is ignored: "
                             "there is no shutdown port: end the process "
                             "with SIGTERM"));
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:2: VersionLoggerListener is ignored: "
                             "its work is done without it, or needs Java"));
    CU_ASSERT(scratch_warned(&site, "server.xml:7: <GlobalNamingResources> is "
                                    "ignored: there is no JNDI"));
    CU_ASSERT(scratch_warned(
        &site, "server.xml:13: <Connector> without address listens on "
               "127.0.0.1 only: say address=\"0.0.0.0\" to be reached from "
               "elsewhere"));
    CU_ASSERT(scratch_warned(&site, "server.xml:20: <Host unpackWARs> is "
                                    "ignored: applications are folders"));
    CHECK_INT_FATAL(site.config->valves.count, 1);
    CHECK_STR(site.config->valves.items[0].kind->name, "AccessLogValve");
    CHECK_INT(site.config->connectors[0]->options.port, 8080);
}

static void properties_and_defaults(void)
{
    static const char text[] =
        "<Server drain='${drain:-0}' stopTimeout='7'><Service>\n"
        "<Connector address='${address:-127.0.0.1}' port='${port:-8080}'/>\n"
        "<Engine jvmRoute='${node:-node1}'>\n"
        "<Host appBase='${webapps}'/></Engine></Service></Server>";
    char webapps[PATH_MAX + 16];

    snprintf(webapps, sizeof webapps, "%s/webapps", site.folder);
    properties_offer(site.properties, "webapps", webapps);
    CHECK_INT_FATAL(properties_define(site.properties, "port=8081", NULL),
                    RC_OK);
    CHECK_INT_FATAL(properties_define(site.properties, "drain=3", NULL), RC_OK);
    CHECK_INT_FATAL(properties_define(site.properties, "drain=4", NULL), RC_OK);
    CHECK_INT_FATAL(properties_define(site.properties, "prot=1", NULL), RC_OK);
    CHECK_INT_FATAL(scratch_read_text(&site, text), RC_OK);
    CHECK_INT(site.config->connectors[0]->options.port, 8081);
    CHECK_INT(site.config->drain, 4);
    CHECK_INT(site.config->stop_timeout, 7);
    CHECK_STR(site.config->node, "node1");
    CHECK_STR(site.config->app_base, webapps);
    CHECK_INT(properties_known(site.properties, "port"), true);
    CHECK_INT(properties_known(site.properties, "prot"), false);
    CHECK_INT(properties_known(site.properties, "webapps"), true);
}

static void an_empty_value_is_none(void)
{
    CHECK_INT_FATAL(scratch_read_text(
                        &site, SERVER("", "",
                                      "<Manager maxInactive='' maxLifetime=''/>"
                                      "<Realm className='NullRealm'/>")),
                    RC_OK);
    CHECK_INT(site.config->level.manager->max_inactive_is_set, false);
    CHECK_INT(site.config->level.manager->common.max_lifetime, 0);
    CHECK_INT(site.warning_count, 0);
}

static void managers_by_level(void)
{
    const struct context_config *a, *b;

    scratch_mkdir(&site, "webapps/a");
    scratch_mkdir(&site, "webapps/b");
    CHECK_INT_FATAL(
        scratch_read_text(
            &site,
            SERVER("", "<Manager maxInactive='60'/>",
                   "<Context path='/a'><Manager className="
                   "'org.apache.catalina.session.PersistentManager'\n"
                   " maxInactive='90' maxSessionsPerUser='2'>"
                   "<Store className='SQLiteStore' path='x.db'/></Manager>"
                   "</Context>")),
        RC_OK);
    a = server_config_context(site.config, "/a");
    b = server_config_context(site.config, "/b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CHECK_STR(a->level.manager->kind->name, "PersistentManager");
    CHECK_STR(a->level.manager->store->kind->name, "SQLiteStore");
    CHECK_INT(a->level.manager->common.max_inactive, 90);
    CHECK_INT(a->level.manager->common.max_sessions_per_user, 2);
    CHECK_INT(a->level.manager->max_inactive_is_set, true);
    CHECK_STR(b->level.manager->kind->name, "StandardManager");
    CHECK_INT(b->level.manager->common.max_inactive, 60);
    CU_ASSERT_PTR_NULL(b->level.manager->store);
}

static const char *option_text(const struct store_config *store,
                               const char *name)
{
    const struct option *o = option_find(store->kind->options, name);

    return *(char *const *)((const char *)store->options + o->offset);
}

#define NOWHERE                                                                \
    "<Manager className='PersistentManager'>"                                  \
    "<Store className='FileStore'/></Manager>"

static void check_place(const char *store_class, const char *attribute)
{
    const struct store_config *store;
    char text[512], wanted[PATH_MAX + 32];

    snprintf(text, sizeof text,
             SERVER("", "",
                    "<Manager className='PersistentManager'>"
                    "<Store className='%s' %s='x.db'/></Manager>"),
             store_class, attribute);
    CHECK_INT_FATAL(scratch_read_text(&site, text), RC_OK);
    store = site.config->level.manager->store;
    snprintf(wanted, sizeof wanted, "%s/state/x.db", site.folder);
    CHECK_STR(option_text(store, attribute), wanted);
}

static void a_store_is_below_the_state_folder(void)
{
    check_place("SQLiteStore", "path");
    check_place("FileStore", "directory");
    /* as in Tomcat it need not say where */
    CHECK_INT_FATAL(scratch_read_text(&site, SERVER("", "", NOWHERE)), RC_OK);
    CHECK_INT(site.warning_count, 0);
    const struct store_config *store = site.config->level.manager->store;
    char wanted[PATH_MAX + 32];
    snprintf(wanted, sizeof wanted, "%s/state/sessions", site.folder);
    CHECK_STR(option_text(store, "directory"), wanted);
}

static void folders_are_applications(void)
{
    scratch_mkdir(&site, "webapps/ROOT");
    scratch_mkdir(&site, "webapps/shop#cart");
    scratch_mkdir(&site, "webapps/.hidden");
    scratch_mkdir(&site, "other");
    scratch_write(&site, "webapps/old.war", "zip");
    scratch_write(&site, "webapps/tea/META-INF/context.xml",
                  "<Context sessionCookieName='TEA' reloadable='true'>\n"
                  "<Parameter name='sort' value='green'/></Context>");
    CHECK_INT_FATAL(
        scratch_read_text(
            &site, SERVER("", "", "<Context path='/x' docBase='../other'/>")),
        RC_OK);
    CHECK_INT(site.config->context_count, 4);
    CU_ASSERT_PTR_NOT_NULL(server_config_context(site.config, ""));
    CU_ASSERT_PTR_NOT_NULL(server_config_context(site.config, "/shop/cart"));
    CU_ASSERT_PTR_NOT_NULL(server_config_context(site.config, "/x"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(server_config_context(site.config, "/tea"));
    CHECK_STR(
        server_config_context(site.config, "/tea")->options.session_cookie_name,
        "TEA");
    CHECK_INT(server_config_context(site.config, "/tea")->level.params.count,
              1);
    CHECK_INT(site.warning_count, 2);
    CU_ASSERT(scratch_warned(&site, "webapps/tea/META-INF/context.xml:1: "
                                    "<Context reloadable> is ignored: "
                                    "applications are loaded at the start"));
    CU_ASSERT(scratch_warned(&site,
                             "webapps/old.war is not deployed: unpack it "
                             "into a folder"));
}

static void cookies_and_realm(void)
{
    char users[PATH_MAX + 16];

    CHECK_INT_FATAL(
        scratch_read_text(
            &site,
            SERVER("",
                   "<CookieProcessor sameSiteCookies='Lax' className="
                   "'org.apache.tomcat.util.http.Rfc6265CookieProcessor'/>"
                   "<Realm className='MemoryRealm'/>",
                   "")),
        RC_OK);
    CHECK_INT(site.config->level.cookie_processor->same_site,
              COOKIE_SAME_SITE_LAX);
    snprintf(users, sizeof users, "%s/users.xml", site.folder);
    CHECK_STR(site.config->realm.pathname, users);
}

static void an_app_base_of_nobody(void)
{
    struct config_input input = {
        .properties = site.properties,
        .kinds = site.kinds,
        .state_dir = "/nowhere",
        .webapps = site.folder,
    };
    char file[PATH_MAX + 16];

    scratch_write(&site, "etc/server.xml", SERVER("", "", ""));
    snprintf(file, sizeof file, "%s/etc/server.xml", site.folder);
    input.file = file;
    CHECK_INT_FATAL(server_config_read(&input, &site.config, &site.err), RC_OK);
    CHECK_STR(site.config->app_base, site.folder);
}

/* ---- warnings ---- */

static void unknown_attributes_warn(void)
{
    CHECK_INT_FATAL(
        scratch_read_text(&site,
                          SERVER("prot='1'", "", "<Manager maxInactiv='3'/>")),
        RC_OK);
    CHECK_INT(site.warning_count, 2);
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:2: <Connector> has no attribute prot: "
                             "it is ignored, look whether its name is right"));
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:5: <Manager> has no attribute "
                             "maxInactiv: it is ignored, look whether its name "
                             "is right"));
}

static void what_needs_java_warns_once(void)
{
    CHECK_INT_FATAL(
        scratch_read_text(
            &site,
            SERVER("", "",
                   "<Valve className='ErrorReportValve' showReport='false'/>\n"
                   "<Manager secureRandomAlgorithm='SHA1PRNG' "
                   "persistAuthentication='true' "
                   "sessionAttributeValueClassNameFilter='java\\..*'>\n"
                   "<SessionIdGenerator sessionIdLength='16'/></Manager>\n"
                   "<Realm className='JNDIRealm' connectionURL='ldap://x'/>")),
        RC_OK);
    CHECK_INT(site.warning_count, 5);
    CU_ASSERT(scratch_warned(
        &site, "server.xml:6: <Manager persistAuthentication> is ignored: who "
               "is logged in is always kept with the session"));
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:5: ErrorReportValve is ignored: "
                             "error pages are made without it"));
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:6: <Manager secureRandomAlgorithm> is "
                             "ignored: it makes sense in Java only"));
    CU_ASSERT(scratch_warned(
        &site, "server.xml:6: <Manager sessionAttributeValueClassNameFilter> "
               "is ignored: values have no class; sessionAttributeNameFilter "
               "goes by names"));
}

static void attributes_are_filtered_by_name(void)
{
    CHECK_INT_FATAL(
        scratch_read_text(
            &site, SERVER("", "",
                          "<Manager sessionAttributeNameFilter='a\\.\\d+|b' "
                          "warnOnSessionAttributeFilterFailure='true'/>")),
        RC_OK);
    CHECK_INT(site.warning_count, 0);
    const struct manager_options *o = &site.config->level.manager->common;
    CHECK_STR(o->session_attribute_name_filter, "a\\.\\d+|b");
    CU_ASSERT(o->warn_on_session_attribute_filter_failure);
    CHECK_INT_FATAL(
        scratch_read_text(
            &site, SERVER("", "", "<Manager sessionAttributeNameFilter=''/>")),
        RC_OK);
    o = &site.config->level.manager->common;
    CU_ASSERT_PTR_NULL(o->session_attribute_name_filter);
    CU_ASSERT_FALSE(o->warn_on_session_attribute_filter_failure);
}

/* ---- errors ---- */

struct bad {
    const char *text, *error;
};

static void check_bad(const struct bad *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT(scratch_read_text(&site, all[i].text) != RC_OK);
        CHECK_STR(scratch_error(&site), all[i].error);
        CU_ASSERT_PTR_NULL(site.config);
    }
}
#define CHECK_BAD(table) check_bad(table, sizeof(table) / sizeof *(table))

static void what_is_wrong(void)
{
    static const struct bad all[] = {
        {"<server/>", "server.xml:1: <server> is no server.xml: it begins "
                      "with <Server>"},
        {"<Server/>", "server.xml:1: <Server> without a <Service>: add one "
                      "with a <Connector> and an <Engine>"},
        {"<Server>\n<Service/></Server>",
         "server.xml:2: <Service> without a <Connector>: add one with a "
         "port"},
        {"<Server drain='soon'/>",
         "server.xml:1: <Server> drain=\"soon\" is not a whole number"},
        {"<Server stopTimeout='0'/>",
         "server.xml:1: <Server> stopTimeout=\"0\" is out of range: 1 to 3600 "
         "is possible"},
        {"<Server>\n<Foo/></Server>",
         "server.xml:2: unknown element <Foo> in <Server>: remove it, or "
         "correct its name"},
        {"<Server><Service>\n<Connector address='127.0.0.1'/></Service>"
         "</Server>",
         "server.xml:2: <Connector> without a port: add port=\"8080\" (0: any "
         "free one)"},
        {SERVER("protocol='AJP/1.3'", "", ""),
         "server.xml:2: <Connector protocol=\"AJP/1.3\"> is not offered: use "
         "HTTP/1.1"},
        {SERVER("executor='pool'", "", ""),
         "server.xml:2: <Connector executor=\"pool\">: there is no Executor "
         "of that name: add it, or remove the attribute"},
        {SERVER("", "<Host name='b'/>", ""),
         "server.xml:4: a second <Host>: one answers for every name; remove "
         "it"},
        {SERVER("", "<Listener className='com.example.Mine'/>", ""),
         "server.xml:3: unknown <Listener className=\"com.example.Mine\">: "
         "remove it; an application's own stand in its web.xml"},
    };
    CHECK_BAD(all);
    /* This one is expat's to word. */
    CU_ASSERT(scratch_read_text(&site, SERVER("", "", "<Manager>")) != RC_OK);
    CU_ASSERT(strncmp(scratch_error(&site), "server.xml:", 11) == 0);
}

static void what_is_wrong_with_an_application(void)
{
    static const struct bad all[] = {
        {SERVER("", "", "<CookieProcessor/>\n<CookieProcessor/>"),
         "server.xml:6: a second <CookieProcessor> in <Host>: keep one of "
         "them"},
        {SERVER("", "", "<CookieProcessor className='LegacyCookieProcessor'/>"),
         "server.xml:5: unknown <CookieProcessor className="
         "\"LegacyCookieProcessor\">: there is Rfc6265CookieProcessor"},
        {SERVER("", "", "<Context docBase='x'/>"),
         "server.xml:5: <Context> without a path: add path=\"/name\", or "
         "path=\"\" for the root"},
        {SERVER("", "", "<Context path='x'/>"),
         "server.xml:5: <Context path=\"x\">: a path is \"\", or begins with "
         "/ and does not end with one"},
        {SERVER("", "", "<Parameter value='x'/>"),
         "server.xml:5: <Parameter> without a name: add name=\"...\""},
        {SERVER("", "", "<Realm className='MyRealm'/>"),
         "server.xml:5: unknown <Realm className=\"MyRealm\">: use "
         "MemoryRealm"},
    };
    CHECK_BAD(all);
}

static void what_is_wrong_with_a_manager(void)
{
    static const struct bad all[] = {
        {SERVER("", "", "<Manager className='Foo'/>"),
         "server.xml:5: unknown <Manager className=\"Foo\">: there are "
         "StandardManager, PersistentManager, DeltaManager, "
         "BackupManager"},
        {SERVER("", "", "<Manager/>\n<Manager/>"),
         "server.xml:6: a second <Manager> in <Host>: keep one of them"},
        {SERVER("", "", "<Manager maxInactive='-1'/>"),
         "server.xml:5: <Manager> maxInactive=\"-1\" is out of range: 0 to "
         "315360000 is possible"},
        {SERVER("", "", "<Manager onExceeded='cry'/>"),
         "server.xml:5: <Manager> onExceeded=\"cry\" is not one of "
         "end-oldest|reject"},
        {SERVER("", "",
                "<Manager notifyAttributeListenerOnUnchangedValue='1'/>"),
         "server.xml:5: <Manager> notifyAttributeListenerOnUnchangedValue="
         "\"1\": say true or false"},
        {SERVER("", "", "<Manager\n sessionAttributeNameFilter='a(b'/>"),
         "server.xml:5: <Manager> sessionAttributeNameFilter=\"a(b\" is no "
         "regular expression (POSIX extended): Unmatched ( or \\("},
        {SERVER("", "", "<Manager sessionAttributeNameFilter='(?!x).*'/>"),
         "server.xml:5: <Manager> sessionAttributeNameFilter=\"(?!x).*\" is "
         "no regular expression (POSIX extended): Invalid preceding regular "
         "expression"},
        {SERVER("", "", "<Manager sessionAttributeNameFilter='\\w+'/>"),
         "server.xml:5: <Manager> sessionAttributeNameFilter=\"\\w+\": of "
         "Java's escapes there are \\d and those of signs, like \\. (no "
         "others, and no sets within sets)"},
        {SERVER("", "", "<Manager className='PersistentManager'/>"),
         "server.xml:5: PersistentManager without a store: put <Store "
         "className=\"SQLiteStore\" .../> into it"},
        {SERVER("", "",
                "<Manager>\n<Store className='SQLiteStore'/></Manager>"),
         "server.xml:6: StandardManager keeps nothing in a store: remove "
         "<Store>, or use className=\"PersistentManager\""},
        {SERVER("", "",
                "<Manager className='PersistentManager'>\n<Store/></Manager>"),
         "server.xml:6: <Store> without className: add "
         "className=\"SQLiteStore\""},
        {SERVER("", "",
                "<Manager className='PersistentManager'>\n"
                "<Store className='DataSourceStore'/></Manager>"),
         "server.xml:6: DataSourceStore needs Java's JDBC: use SQLiteStore"},
        {SERVER("", "",
                "<Manager><SessionIdGenerator sessionIdLength='32'/>"
                "</Manager>"),
         "server.xml:5: <SessionIdGenerator> sessionIdLength=\"32\" is not "
         "offered in this version: an id is 16 random bytes, written as 32 "
         "digits; leave it out"},
    };
    CHECK_BAD(all);
}

#define PLACE ": remove it, or correct its name"

static void everything_has_its_place(void)
{
    static const struct bad all[] = {
        {"<Server>\n<Valve className='AccessLogValve'/></Server>",
         "server.xml:2: unknown element <Valve> in <Server>" PLACE},
        {"<Server><Service>\n<Manager/></Service></Server>",
         "server.xml:2: unknown element <Manager> in <Service>" PLACE},
        {SERVER("", "<Context path='/x'/>", ""),
         "server.xml:3: unknown element <Context> in <Engine>" PLACE},
        {SERVER("", "<Connector port='1'/>", ""),
         "server.xml:3: unknown element <Connector> in <Engine>" PLACE},
        {SERVER("", "", "<Host name='b'/>"),
         "server.xml:5: unknown element <Host> in <Host>" PLACE},
        {SERVER("", "", "<Store className='SQLiteStore'/>"),
         "server.xml:5: unknown element <Store> in <Host>" PLACE},
        {SERVER("", "", "<Manager>\n<Valve/></Manager>"),
         "server.xml:6: unknown element <Valve> in <Manager>" PLACE},
        {SERVER("", "", "<Context path='/x'>\n<Context/></Context>"),
         "server.xml:6: unknown element <Context> in <Context>" PLACE},
        {SERVER("", "",
                "<Context path='/x'>\n<Listener className='com.example.Mine'/>"
                "</Context>"),
         "server.xml:6: unknown <Listener className=\"com.example.Mine\">: "
         "remove it; an application's own stand in its web.xml"},
        {SERVER("", "", "<Context path='/x'>\n<Realm/></Context>"),
         "server.xml:6: a <Realm> of one application is not offered: put it "
         "into <Engine>"},
    };
    CHECK_BAD(all);
}

#define NEXT "<Manager className='PersistentManager'>"
#define PREVIOUS "<Manager role='previous' className='PersistentManager'>"
#define AT(path) "<Store className='SQLiteStore' path='" path "'/></Manager>"

static const char *path_of(const struct manager_config *m)
{
    const struct option *o = option_find(m->store->kind->options, "path");
    const char *path = *(char **)((char *)m->store->options + o->offset);
    return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

static void a_manager_and_its_previous_one(void)
{
    static const struct bad all[] = {
        {SERVER("", "", PREVIOUS AT("a")),
         "server.xml:5: <Manager role=\"previous\"> alone: put the <Manager> "
         "to which you change beside it"},
        {SERVER("", "",
                NEXT AT("a") "\n" PREVIOUS AT("b") "\n" PREVIOUS AT("c")),
         "server.xml:7: a second <Manager role=\"previous\"> in <Host>: keep "
         "one of them"},
        {SERVER("", "", NEXT AT("a") "\n" PREVIOUS AT("a")),
         "server.xml:6: role=\"previous\" with the same <Store> as the "
         "<Manager> beside it: name the one that was used until now"},
        {SERVER("", "", "<Manager/>\n" PREVIOUS AT("a")),
         "server.xml:5: StandardManager beside role=\"previous\": no other "
         "instance would know what comes over to this one; it needs no such "
         "change"},
        {SERVER("", "", "<Manager/>\n<Manager role='previous'/>"),
         "server.xml:6: two times StandardManager: from one to the other there "
         "is nothing to change; remove the one with role=\"previous\""},
        {SERVER("", "", "<Manager role='former'/>"),
         "server.xml:5: <Manager> role=\"former\" is not one of "
         "current|previous"},
        {SERVER("", "", NEXT AT("a") "\n<Manager role='previuos'/>"),
         "server.xml:6: <Manager> role=\"previuos\" is not one of "
         "current|previous"},
        {SERVER("", "", NEXT AT("a") "\n<Manager role='current'/>"),
         "server.xml:6: a second <Manager> in <Host>: keep one of them"},
    };
    CHECK_BAD(all);
    CHECK_INT_FATAL(
        scratch_read_text(&site, SERVER("", "", PREVIOUS AT("b") NEXT AT("a"))),
        RC_OK);
    const struct manager_config *m = site.config->level.manager;
    CHECK_STR(path_of(m), "a");
    CU_ASSERT_FATAL(m->previous != NULL);
    CHECK_STR(path_of(m->previous), "b");
}

#define SAME                                                                   \
    "server.xml:6: role=\"previous\" with the same <Store> as the <Manager> "  \
    "beside it: name the one that was used until now"
#define OF(store, where) "<Store className='" store "' " where "/></Manager>"
#define TWO(store, one, other)                                                 \
    SERVER("", "", NEXT OF(store, one) "\n" PREVIOUS OF(store, other))

static bool has_store(const char *name)
{
    for (size_t i = 0; i < site.kinds.store_count; i++)
        if (strcmp(site.kinds.stores[i].name, name) == 0)
            return true;
    return false;
}

static void check_other(const char *text)
{
    CHECK_INT(scratch_read_text(&site, text), RC_OK);
    CHECK_STR(scratch_error(&site), "");
}

static void a_place_is_the_same_however_it_is_written(void)
{
    static const struct bad all[] = {
        {TWO("SQLiteStore", "path='/x/one.db'", "path='/x/./one.db'"), SAME},
        {TWO("SQLiteStore", "path='/x/one.db'", "path='/x//one.db'"), SAME},
        {TWO("FileStore", "directory='/x/a'", "directory='/x/a/'"), SAME},
        {TWO("FileStore", "directory='a'", "directory='./a'"), SAME},
        {TWO("FileStore", "directory='a'", "directory='${dir}/state/a'"), SAME},
        {TWO("FileStore", "", "directory='sessions'"), SAME},
        {TWO("FileStore", "directory='${dir}/b/x/y'",
             "directory='${dir}/c/x//y'"),
         SAME},
        {TWO("SQLiteStore", "path='${dir}/b/./one.db'",
             "path='${dir}/c/one.db'"),
         SAME},
        /* from where the program runs */
        {TWO("RedisStore", "urlFile='none'", "urlFile='./none'"), SAME},
    };
    char folder[PATH_MAX + 8], alias[PATH_MAX + 8];
    snprintf(folder, sizeof folder, "%s/b", site.folder);
    snprintf(alias, sizeof alias, "%s/c", site.folder);
    CHECK_INT(mkdir(folder, 0700), 0);
    CHECK_INT(symlink("b", alias), 0);
    properties_set(site.properties, "dir", site.folder);
    CHECK_BAD(all);
    check_other(TWO("SQLiteStore", "path='/x/one.db'", "path='/x/one'"));
    check_other(TWO("SQLiteStore", "path='/x/one.db'", "path='/x/.one.db'"));
    check_other(TWO("SQLiteStore", "path='/x/a'", "path='/x/a/b'"));
}

#define URL "redis://10.0.0.9:6379/0"
#define FROM(name) "urlFile='${dir}/" name "'"

static void two_servers_are_told_apart_by_their_urls(void)
{
    static const struct bad all[] = {
        {TWO("RedisStore", "url='" URL "'", "url='" URL "'"), SAME},
        {TWO("RedisStore", FROM("a"), FROM("a")), SAME},
        {TWO("RedisStore", FROM("none"), FROM("none")), SAME},
        {TWO("RedisStore", FROM("a"), FROM("./a")), SAME},
        {TWO("RedisStore", FROM("a"), FROM("like-a")), SAME},
        {TWO("RedisStore", FROM("a"), "url='" URL "'"), SAME},
        {TWO("RedisStore", FROM("a"), "url='redis://u:p@10.0.0.9'"), SAME},
        {TWO("RedisStore", "url='redis://h'", "url='REDIS://H:6379/00'"), SAME},
        {TWO("RedisStore", "url='redis://localhost:99'",
             "url='redis://127.0.0.1:99/0'"),
         SAME},
        {TWO("RedisStore", "url='redis://LocalHost'", "url='redis://[::1]'"),
         SAME},
        {TWO("RedisStore", "url='redis://[::ffff:127.0.0.1]'",
             "url='redis://127.0.0.1'"),
         SAME},
        {TWO("RedisStore", "url='redis://[0:0:0:0:0:0:0:1]'",
             "url='redis://[::1]'"),
         SAME},
        {TWO("RedisStore", "url='redis-sentinel://a,b/main'",
             "url='redis-sentinel://b:26379,c/main/0'"),
         SAME},
        /* a file goes before a url */
        {TWO("RedisStore", FROM("a") " url='redis://h'",
             FROM("a") " url='redis://i'"),
         SAME},
    };
    if (!has_store("RedisStore")) {
        unit_skip("built without RedisStore");
        return;
    }
    properties_set(site.properties, "dir", site.folder);
    scratch_write(&site, "a", URL "\n");
    scratch_write(&site, "like-a", URL "\nwhat follows is not read\n");
    scratch_write(&site, "b", "redis://10.0.0.9:6379/1\n");
    CHECK_BAD(all);
    check_other(TWO("RedisStore", FROM("a"), FROM("b")));
    check_other(TWO("RedisStore", FROM("b"), "url='" URL "'"));
    check_other(TWO("RedisStore", FROM("b") " url='" URL "'", "url='" URL "'"));
    check_other(TWO("RedisStore", FROM("none"), FROM("a")));
    check_other(TWO("RedisStore", "url='redis://h'", "url='redis://i'"));
    check_other(TWO("RedisStore", "url='redis://h'", "url='redis://h:6380'"));
    check_other(TWO("RedisStore", "url='redis://localhost'",
                    "url='redis://127.0.0.1/1'"));
    check_other(TWO("RedisStore", "url='redis://127.0.0.1/0'",
                    "url='redis://127.0.0.2/0'"));
    check_other(TWO("RedisStore", "url='redis://127.0.0.1/0'",
                    "url='redis://[::1]/0'"));
    check_other(TWO("RedisStore", "url='redis://127.x.example'",
                    "url='redis://localhost'"));
    check_other(TWO("RedisStore", "url='redis-sentinel://a/one'",
                    "url='redis-sentinel://a/two'"));
}

static void what_comes_later_is_one_error(void)
{
    static const struct bad all[] = {
        {SERVER("", "", "<Valve className='SingleSignOn'/>"),
         "server.xml:5: SingleSignOn comes with a later version: let each "
         "application log in"},
    };

    CHECK_BAD(all);
    /* The rest of these sentences stands in option tables. */
    CU_ASSERT(scratch_read_text(&site, SERVER("SSLEnabled='true'", "", "")) ==
              RC_UNSUPPORTED);
    CU_ASSERT(strncmp(scratch_error(&site),
                      "server.xml:2: <Connector> SSLEnabled", 36) == 0);
    CHECK_INT(scratch_read_text(&site, SERVER("SSLEnabled='false'", "", "")),
              RC_OK);
}

static void properties_that_are_none(void)
{
    CHECK_INT(properties_define(site.properties, "novalue", NULL), RC_INVALID);
    CHECK_INT(properties_define(site.properties, "=x", NULL), RC_INVALID);
}

static void files_that_are_not_there(void)
{
    CHECK_INT(scratch_read(&site), RC_ABSENT);
    CU_ASSERT(strncmp(scratch_error(&site), "server.xml", 10) == 0);
    scratch_write(&site, "server.xml",
                  SERVER("", "", "<Context path='/gone'/>"));
    CHECK_INT(scratch_read(&site), RC_INVALID);
    CU_ASSERT(strncmp(scratch_error(&site), "server.xml:5: docBase ", 22) == 0);
}

UNIT_MAIN_AROUND(
    "config", before, after, CASE(the_least), CASE(tomcats_own_file),
    CASE(properties_and_defaults), CASE(an_empty_value_is_none),
    CASE(managers_by_level), CASE(a_store_is_below_the_state_folder),
    CASE(folders_are_applications), CASE(cookies_and_realm),
    CASE(an_app_base_of_nobody), CASE(unknown_attributes_warn),
    CASE(what_needs_java_warns_once), CASE(attributes_are_filtered_by_name),
    CASE(what_is_wrong), CASE(what_is_wrong_with_an_application),
    CASE(what_is_wrong_with_a_manager), CASE(everything_has_its_place),
    CASE(what_comes_later_is_one_error), CASE(a_manager_and_its_previous_one),
    CASE(a_place_is_the_same_however_it_is_written),
    CASE(two_servers_are_told_apart_by_their_urls),
    CASE(properties_that_are_none), CASE(files_that_are_not_there))
