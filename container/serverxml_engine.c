/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include <string.h>

#define IGNORED(attribute, why)                                                \
    {                                                                          \
        .name = attribute, .kind = OPTION_IGNORED, .help = why                 \
    }
#define IN_JAVA "it makes sense in Java only"
#define TICK "sessions end to the second"

/* ---- Realm ---- */

static enum rc memory_realm(struct reader *r, const struct xml_element *e)
{
    struct server_config *config = r->config;
    const char *path;
    enum rc rc;

    if (config->has_realm)
        return reader_error(r, e, RC_INVALID,
                            "a second <Realm>: keep one of them");
    config->has_realm = true;
    config->realm_at = e;
    reader_option_defaults(r, realm_option_table, &config->realm);
    rc = reader_attributes(
        r, e, &(struct option_target){realm_option_table, &config->realm}, 1);
    if (rc != RC_OK)
        return rc;
    path = config->realm.pathname ? config->realm.pathname : "users.xml";
    path = reader_path(r, config->folder, path);
    return option_set(realm_option_table, &config->realm, "pathname", path,
                      r->err);
}

static enum rc read_realm(struct reader *r, const struct xml_element *e,
                          void *parent)
{
    static const struct element_rule rules[] = {
        {.name = "Realm", .read = read_realm},
        {.name = "CredentialHandler",
         .ignored = "each hash of crypt(5) names its own method"},
        {.name = NULL},
    };
    static const char *const java[] = {
        "UserDatabaseRealm", "JNDIRealm", "JAASRealm",
        "DataSourceRealm",   "JDBCRealm", "AuthenticatedUserRealm",
    };
    const char *name = reader_class(e, "");
    enum rc rc = RC_OK;

    (void)parent;
    if (strcmp(name, "MemoryRealm") == 0)
        rc = memory_realm(r, e);
    else if (strcmp(name, "LockOutRealm") == 0)
        reader_ignored(r, e, name,
                       "nobody is locked out; the Realm within it "
                       "is used");
    else if (strcmp(name, "CombinedRealm") != 0 &&
             strcmp(name, "NullRealm") != 0) {
        bool known = false;
        for (size_t i = 0; i < sizeof java / sizeof java[0]; i++)
            known |= strcmp(java[i], name) == 0;
        if (!known)
            return reader_error(r, e, RC_INVALID,
                                "unknown <Realm className=\"%.64s\">: use "
                                "MemoryRealm",
                                name);
        reader_ignored(r, e, name,
                       "it needs Java; <Realm className=\"MemoryRealm\" "
                       "pathname=\"users.xml\"/> reads users from a file");
    }
    return rc == RC_OK ? reader_children(r, e, rules, NULL) : rc;
}

/* ---- Listener: all of Tomcat's care for the Java machine ---- */

enum rc reader_listener(struct reader *r, const struct xml_element *e,
                        void *parent)
{
    static const char *const java[] = {
        "AprLifecycleListener",
        "ContextNamingInfoListener",
        "FrameworkListener",
        "GlobalResourcesLifecycleListener",
        "HeartbeatListener",
        "JniLifecycleListener",
        "JmxRemoteLifecycleListener",
        "JreMemoryLeakPreventionListener",
        "OpenSSLLifecycleListener",
        "PropertiesRoleMappingListener",
        "SecurityListener",
        "StoreConfigLifecycleListener",
        "TLSCertificateReloadListener",
        "ThreadLocalLeakPreventionListener",
        "VersionLoggerListener",
    };
    const char *name = reader_class(e, "");

    (void)parent;
    for (size_t i = 0; i < sizeof java / sizeof java[0]; i++) {
        if (strcmp(java[i], name) != 0)
            continue;
        reader_ignored(r, e, name,
                       "its work is done without it, or needs Java");
        return RC_OK;
    }
    return reader_error(r, e, RC_INVALID,
                        "unknown <Listener className=\"%.64s\">: remove it; "
                        "an application's own stand in its web.xml",
                        name);
}

static enum rc pass_over(struct reader *r, const struct xml_element *e,
                         void *parent)
{
    (void)r, (void)e, (void)parent;
    return RC_OK;
}

/* ---- what Engine and Host may both hold ---- */

/* clang-format off */
#define ENGINE_AND_HOST                                                        \
    {.name = "Manager", .read = reader_manager},                               \
    {.name = "CookieProcessor", .read = reader_cookie_processor},              \
    {.name = "Parameter", .read = reader_parameter},                           \
    {.name = "Valve", .read = read_level_valve},                               \
    {.name = "Realm", .read = read_realm},                                     \
    {.name = "Listener", .read = reader_listener},                             \
    {.name = "Cluster", .read = pass_over}
/* clang-format on */

static enum rc read_level_valve(struct reader *r, const struct xml_element *e,
                                void *parent)
{
    (void)parent;
    return reader_valve(r, e, &r->config->valves);
}

/* ---- Host ---- */

struct host_options {
    char *name, *app_base;
    bool deploy_on_startup;
};
const struct option host_option_table[] = {
    {.name = "name",
     .kind = OPTION_STRING,
     .offset = offsetof(struct host_options, name),
     .preset = "localhost",
     .help = "what the Engine's defaultHost names"},
    {.name = "appBase",
     .kind = OPTION_STRING,
     .offset = offsetof(struct host_options, app_base),
     .preset = "webapps",
     .help = "the folder whose folders are the applications, beside server.xml "
             "unless absolute; where there is none of that name, the installed "
             "applications"},
    {.name = "deployOnStartup",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct host_options, deploy_on_startup),
     .preset = "true",
     .help = "false: only what a <Context> names is an application"},
    IGNORED("autoDeploy", "applications are loaded at the start"),
    IGNORED("backgroundProcessorDelay", TICK),
    IGNORED("copyXML", IN_JAVA),
    IGNORED("createDirs", IN_JAVA),
    IGNORED("deployIgnore", IN_JAVA),
    IGNORED("deployXML", "an application's META-INF/context.xml is read"),
    IGNORED("errorReportValveClass", IN_JAVA),
    IGNORED("failCtxIfServletStartFails", "it always does"),
    IGNORED("legacyAppBase", IN_JAVA),
    IGNORED("startStopThreads", IN_JAVA),
    IGNORED("undeployOldVersions", IN_JAVA),
    IGNORED("unpackWARs", "applications are folders"),
    IGNORED("workDir", "the state folder is used"),
    IGNORED("xmlBase", IN_JAVA),
    {.name = NULL},
};

/* Contexts come last: what stands beside them is their default. */
static const struct element_rule host_rules[] = {
    {.name = "Context", .read = pass_over},
    {.name = "Alias", .ignored = ""},
    ENGINE_AND_HOST,
    {.name = NULL},
};

static enum rc find_app_base(struct reader *r, const struct xml_element *e,
                             const char *app_base)
{
    struct server_config *config = r->config;

    config->app_base = reader_path(r, config->folder, app_base);
    if (reader_is_folder(config->app_base))
        return RC_OK;
    if (app_base[0] == '/' || !r->input->webapps)
        return reader_error(r, e, RC_INVALID,
                            "<Host appBase=\"%.200s\"> is no folder: name the "
                            "one that holds the applications",
                            config->app_base);
    notes_warn(&config->notes, e,
               "<Host appBase=\"%s\"> is no folder beside this file: the "
               "installed applications in %s are used",
               app_base, r->input->webapps);
    config->app_base = reader_strdup(r, r->input->webapps);
    return RC_OK;
}

static enum rc default_levels(struct reader *r)
{
    struct config_level *level = &r->config->level;

    if (!level->cookie_processor)
        level->cookie_processor = reader_default_cookies(r);
    if (!level->manager && r->config->cluster)
        level->manager = r->config->cluster->level.manager;
    return level->manager ? RC_OK : reader_default_manager(r, level);
}

static bool needs_cluster(const struct manager_config *m)
{
    return m->kind->needs_cluster ||
           (m->previous && m->previous->kind->needs_cluster);
}

/* A <Manager> beside the <Cluster> may have taken all of them. */
static void look_for_copies(struct reader *r)
{
    const struct server_config *config = r->config;

    if (!config->cluster || needs_cluster(config->level.manager))
        return;
    for (size_t i = 0; i < config->context_count; i++)
        if (needs_cluster(config->contexts[i]->level.manager))
            return;
    notes_warn(&config->notes, config->cluster->at,
               "<Cluster> keeps no copies: every application has another "
               "<Manager>; use DeltaManager, or remove <Cluster>");
}

static enum rc read_host(struct reader *r, const struct xml_element *e)
{
    struct server_config *config = r->config;
    struct host_options *own =
        reader_options(r, host_option_table, sizeof *own);
    const struct xml_element *c = NULL;
    enum rc rc = reader_attributes(
        r, e, &(struct option_target){host_option_table, own}, 1);

    config->host_name = own->name;
    config->deploy_on_startup = own->deploy_on_startup;
    if (rc == RC_OK)
        rc = find_app_base(r, e, own->app_base);
    if (rc == RC_OK)
        rc = reader_children(r, e, host_rules, &config->level);
    if (rc == RC_OK)
        rc = default_levels(r);
    while (rc == RC_OK && (c = xml_child(e, "Context", c)))
        rc = reader_context(r, c, NULL, &config->level);
    if (rc == RC_OK && config->deploy_on_startup)
        rc = reader_deploy(r);
    if (rc == RC_OK)
        look_for_copies(r);
    return rc;
}

/* ---- Engine ---- */

struct engine_options {
    char *name, *default_host, *jvm_route;
};
const struct option engine_option_table[] = {
    {.name = "name",
     .kind = OPTION_STRING,
     .offset = offsetof(struct engine_options, name),
     .preset = "Catalina",
     .help = "in messages, where there is no jvmRoute"},
    {.name = "defaultHost",
     .kind = OPTION_STRING,
     .offset = offsetof(struct engine_options, default_host),
     .help = "the name of the <Host>"},
    {.name = "jvmRoute",
     .kind = OPTION_STRING,
     .offset = offsetof(struct engine_options, jvm_route),
     .preset = "",
     .help = "the name of this instance, which no other has: at most 63 "
             "letters, digits, - and _; the part of JSESSIONID behind the dot"},
    IGNORED("backgroundProcessorDelay", TICK),
    IGNORED("startStopThreads", IN_JAVA),
    {.name = NULL},
};

static const struct element_rule engine_rules[] = {
    {.name = "Host", .read = pass_over},
    ENGINE_AND_HOST,
    {.name = NULL},
};

/* It becomes part of cookies, of log lines and of balancers' files. */
static bool is_route(const char *route)
{
    size_t len = strspn(route, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return route[len] == '\0' && len < 64;
}

static enum rc read_only_host(struct reader *r, const struct xml_element *e,
                              const struct engine_options *own)
{
    const struct xml_element *host = xml_child(e, "Host", NULL);
    const struct xml_element *second;
    const char *name;

    if (!host)
        return reader_error(r, e, RC_INVALID,
                            "<Engine> without a <Host>: add <Host "
                            "name=\"localhost\" appBase=\"webapps\"/>");
    second = xml_child(e, "Host", host);
    if (second)
        return reader_error(r, second, RC_INVALID,
                            "a second <Host>: one answers for every name; "
                            "remove it");
    name = reader_get(host, "name");
    if (own->default_host &&
        strcmp(own->default_host, name ? name : "localhost") != 0)
        return reader_error(r, e, RC_INVALID,
                            "<Engine defaultHost=\"%.64s\">: there is no "
                            "<Host> of that name",
                            own->default_host);
    return read_host(r, host);
}

enum rc reader_engine(struct reader *r, const struct xml_element *e,
                      void *parent)
{
    struct server_config *config = r->config;
    struct engine_options *own =
        reader_options(r, engine_option_table, sizeof *own);
    enum rc rc;

    (void)parent;
    if (config->engine_name)
        return reader_error(r, e, RC_INVALID,
                            "a second <Engine>: keep one of them");
    rc = reader_attributes(
        r, e, &(struct option_target){engine_option_table, own}, 1);
    config->engine_name = own->name;
    config->node = own->jvm_route;
    if (rc == RC_OK && !is_route(own->jvm_route))
        rc = reader_error(r, e, RC_INVALID,
                          "<Engine jvmRoute=\"%.64s\">: use at most 63 "
                          "letters, digits, - and _",
                          own->jvm_route);
    if (rc == RC_OK)
        rc = reader_cluster(r, e);
    if (rc == RC_OK)
        rc = reader_children(r, e, engine_rules, &config->level);
    return rc == RC_OK ? read_only_host(r, e, own) : rc;
}
