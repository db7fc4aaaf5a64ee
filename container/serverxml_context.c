/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include "session/buf.h"

#include <stdio.h>
#include <string.h>

#define IGNORED(attribute, why)                                                \
    {                                                                          \
        .name = attribute, .kind = OPTION_IGNORED, .help = why                 \
    }
#define IN_JAVA "it makes sense in Java only"
#define NAMING "there is no JNDI; <Parameter> hands a value to an application"

/* ---- CookieProcessor ---- */

const struct option cookie_processor_option_table[] = {
    {.name = "sameSiteCookies",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct cookie_processor_options, same_site),
     .preset = "unset",
     .choices = "unset|none|lax|strict",
     .help = "SameSite of every cookie"},
    {.name = "partitioned",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct cookie_processor_options, partitioned),
     .preset = "false",
     .help = "Partitioned on every cookie"},
    {.name = "cookiesWithoutEquals",
     .kind = OPTION_CHOICE,
     .offset =
         offsetof(struct cookie_processor_options, cookies_without_equals),
     .preset = "ignore",
     .choices = "ignore|name",
     .help = "what a cookie without = is"},
    {.name = NULL},
};

struct cookie_processor_options *reader_default_cookies(struct reader *r)
{
    return reader_options(r, cookie_processor_option_table,
                          sizeof(struct cookie_processor_options));
}

enum rc reader_cookie_processor(struct reader *r, const struct xml_element *e,
                                void *parent)
{
    struct config_level *level = parent;
    const char *name = reader_class(e, "Rfc6265CookieProcessor");
    struct cookie_processor_options *options = reader_default_cookies(r);

    if (strcmp(name, "Rfc6265CookieProcessor") != 0)
        return reader_error(r, e, RC_INVALID,
                            "unknown <CookieProcessor className=\"%.64s\">: "
                            "there is Rfc6265CookieProcessor",
                            name);
    if (xml_child(e->parent, "CookieProcessor", NULL) != e)
        return reader_error(r, e, RC_INVALID,
                            "a second <CookieProcessor> in <%s>: keep one of "
                            "them",
                            e->parent->name);
    level->cookie_processor = options;
    return reader_attributes(
        r, e, &(struct option_target){cookie_processor_option_table, options},
        1);
}

/* ---- Parameter ---- */

struct parameter_options {
    char *name, *value;
    bool override;
};

const struct option parameter_option_table[] = {
    {.name = "name",
     .kind = OPTION_STRING,
     .offset = offsetof(struct parameter_options, name),
     .help = "its name; required"},
    {.name = "value",
     .kind = OPTION_STRING,
     .offset = offsetof(struct parameter_options, value),
     .help = "its value"},
    {.name = "override",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct parameter_options, override),
     .preset = "true",
     .help = "true: the <context-param> of that name in web.xml wins"},
    IGNORED("description", "it is for the reader"),
    {.name = NULL},
};

enum rc reader_parameter(struct reader *r, const struct xml_element *e,
                         void *parent)
{
    struct config_level *level = parent;
    struct parameter_configs *all = &level->params;
    struct parameter_options *o =
        reader_options(r, parameter_option_table, sizeof *o);
    enum rc rc = reader_attributes(
        r, e, &(struct option_target){parameter_option_table, o}, 1);

    if (rc != RC_OK)
        return rc;
    if (!o->name)
        return reader_error(r, e, RC_INVALID,
                            "<Parameter> without a name: add name=\"...\"");
    all->items = reader_grow(r, all->items, all->count, sizeof *all->items);
    all->items[all->count++] = (struct parameter_config){
        .name = o->name,
        .value = o->value ? o->value : reader_strdup(r, ""),
        .override = o->override,
    };
    return RC_OK;
}

/* ---- Context ---- */

const struct option context_option_table[] = {
    {.name = "path",
     .kind = OPTION_STRING,
     .offset = offsetof(struct context_options, path),
     .help = "of its addresses: empty for the root, or /name; required in "
             "server.xml"},
    {.name = "docBase",
     .kind = OPTION_STRING,
     .offset = offsetof(struct context_options, doc_base),
     .help = "its folder, in appBase unless absolute; else the one that its "
             "path names"},
    {.name = "displayName",
     .kind = OPTION_STRING,
     .offset = offsetof(struct context_options, display_name),
     .help = "for people"},
    {.name = "cookies",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct context_options, cookies),
     .preset = "true",
     .help = "false: ids of sessions come by ;jsessionid= in the address only"},
    {.name = "sessionCookieName",
     .kind = OPTION_STRING,
     .offset = offsetof(struct context_options, session_cookie_name),
     .help = "the name of the session cookie; else JSESSIONID"},
    {.name = "sessionCookieDomain",
     .kind = OPTION_STRING,
     .offset = offsetof(struct context_options, session_cookie_domain),
     .help = "its Domain"},
    {.name = "sessionCookiePath",
     .kind = OPTION_STRING,
     .offset = offsetof(struct context_options, session_cookie_path),
     .help = "its Path; else the path of the application"},
    {.name = "sessionCookiePathUsesTrailingSlash",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct context_options, session_cookie_path_slash),
     .preset = "false",
     .help = "a / behind it, so that /a does not get the cookie of /ab"},
    {.name = "useHttpOnly",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct context_options, use_http_only),
     .preset = "true",
     .help = "HttpOnly on the session cookie"},
    {.name = "usePartitioned",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct context_options, use_partitioned),
     .preset = "false",
     .help = "Partitioned on the session cookie"},
    {.name = "validateClientProvidedNewSessionId",
     .kind = OPTION_LATER,
     .preset = "true",
     .help = "an id that a client made up is never adopted; leave it out"},
    IGNORED("alwaysAccessSession",
            "what a mapping's <session> says in web.xml decides"),
    IGNORED("allowCasualMultipartParsing", IN_JAVA),
    IGNORED("altDDName", "the application's WEB-INF/web.xml is read"),
    IGNORED("antiResourceLocking", IN_JAVA),
    IGNORED("backgroundProcessorDelay", "sessions end to the second"),
    IGNORED("cacheMaxSize", IN_JAVA),
    IGNORED("cachingAllowed", IN_JAVA),
    IGNORED("clearReferencesHttpClientKeepAliveThread", IN_JAVA),
    IGNORED("clearReferencesStopThreads", IN_JAVA),
    IGNORED("clearReferencesStopTimerThreads", IN_JAVA),
    IGNORED("containerSciFilter", IN_JAVA),
    IGNORED("crossContext", IN_JAVA),
    IGNORED("ignoreAnnotations", IN_JAVA),
    IGNORED("logEffectiveWebXml", IN_JAVA),
    IGNORED("mapperContextRootRedirectEnabled", "it is always done"),
    IGNORED("override", IN_JAVA),
    IGNORED("privileged", IN_JAVA),
    IGNORED("reloadable", "applications are loaded at the start"),
    IGNORED("swallowOutput", IN_JAVA),
    IGNORED("tldValidation", IN_JAVA),
    IGNORED("unloadDelay", "every request of a context is waited for"),
    IGNORED("unpackWAR", "applications are folders"),
    IGNORED("useNaming", NAMING),
    IGNORED("workDir", "the state folder is used"),
    IGNORED("wrapperClass", IN_JAVA),
    IGNORED("xmlBlockExternal", "external entities are always refused"),
    IGNORED("xmlNamespaceAware", IN_JAVA),
    IGNORED("xmlValidation", IN_JAVA),
    {.name = NULL},
};

static enum rc read_context_valve(struct reader *r, const struct xml_element *e,
                                  void *parent)
{
    return reader_valve(r, e, &((struct context_config *)parent)->valves);
}

static enum rc read_context_manager(struct reader *r,
                                    const struct xml_element *e, void *parent)
{
    return reader_manager(r, e, &((struct context_config *)parent)->level);
}

static enum rc read_context_cookies(struct reader *r,
                                    const struct xml_element *e, void *parent)
{
    return reader_cookie_processor(r, e,
                                   &((struct context_config *)parent)->level);
}

static enum rc read_context_parameter(struct reader *r,
                                      const struct xml_element *e, void *parent)
{
    return reader_parameter(r, e, &((struct context_config *)parent)->level);
}

static enum rc read_context_realm(struct reader *r, const struct xml_element *e,
                                  void *parent)
{
    (void)parent;
    return reader_error(r, e, RC_INVALID,
                        "a <Realm> of one application is not offered: put it "
                        "into <Engine>");
}

static enum rc read_context_cluster(struct reader *r,
                                    const struct xml_element *e, void *parent)
{
    (void)parent;
    return reader_error(r, e, RC_INVALID,
                        "<Cluster> in a <Context>: put it into the <Engine> or "
                        "the <Host>; all applications share it");
}

static const struct element_rule context_rules[] = {
    {.name = "Manager", .read = read_context_manager},
    {.name = "CookieProcessor", .read = read_context_cookies},
    {.name = "Valve", .read = read_context_valve},
    {.name = "Parameter", .read = read_context_parameter},
    {.name = "Realm", .read = read_context_realm},
    {.name = "Listener", .read = reader_listener},
    {.name = "Cluster", .read = read_context_cluster},
    {.name = "Ejb", .ignored = NAMING},
    {.name = "Environment", .ignored = NAMING},
    {.name = "JarScanner", .ignored = IN_JAVA},
    {.name = "Loader", .ignored = IN_JAVA},
    {.name = "LocalEjb", .ignored = NAMING},
    {.name = "Resource", .ignored = NAMING},
    {.name = "ResourceEnvRef", .ignored = NAMING},
    {.name = "ResourceLink", .ignored = NAMING},
    {.name = "Resources", .ignored = IN_JAVA},
    {.name = "ServiceRef", .ignored = NAMING},
    {.name = "Transaction", .ignored = NAMING},
    {.name = "WatchedResource",
     .ignored = "applications are loaded at the "
                "start"},
    {.name = "WrapperLifecycle", .ignored = IN_JAVA},
    {.name = "WrapperListener", .ignored = IN_JAVA},
    {.name = NULL},
};

static enum rc context_error(struct reader *r, const struct context_config *c,
                             const char *what)
{
    if (c->at)
        return reader_error(r, c->at, RC_INVALID, "%s", what);
    return err_set(r->err, RC_INVALID, "%s: %s", c->doc_base, what);
}

/* The path that a <Context> of server.xml gives itself. */
static enum rc own_path(struct reader *r, struct context_config *c)
{
    const char *path = xml_get(c->at, "path");
    size_t len;

    if (!path)
        return reader_error(r, c->at, RC_INVALID,
                            "<Context> without a path: add path=\"/name\", "
                            "or path=\"\" for the root");
    len = strlen(path);
    if (len > 0 && (path[0] != '/' || path[len - 1] == '/'))
        return reader_error(r, c->at, RC_INVALID,
                            "<Context path=\"%.64s\">: a path is \"\", or "
                            "begins with / and does not end with one",
                            path);
    c->path = reader_strdup(r, path);
    return RC_OK;
}

/* "ROOT", "a#b": the folder that goes with a path. */
static char *folder_of(struct reader *r, const char *path)
{
    char *name = reader_strdup(r, path[0] ? path + 1 : "ROOT");

    for (char *c = name; *c; c++)
        if (*c == '/')
            *c = '#';
    return name;
}

static enum rc place(struct reader *r, struct context_config *c,
                     const char *name)
{
    const char *doc_base = c->options.doc_base;
    enum rc rc;

    if (!name) {
        rc = own_path(r, c);
        if (rc != RC_OK)
            return rc;
        if (!doc_base)
            doc_base = folder_of(r, c->path);
        c->doc_base = reader_path(r, r->config->app_base, doc_base);
        return RC_OK;
    }
    if (c->at && (xml_get(c->at, "path") || doc_base))
        reader_ignored(r, c->at, "path and docBase of a context.xml",
                       "the folder's place and name decide");
    c->path = reader_context_path(r, name);
    c->doc_base = reader_path(r, r->config->app_base, name);
    return RC_OK;
}

static enum rc context_add(struct reader *r, struct context_config *c)
{
    struct server_config *config = r->config;
    char what[512];

    if (!reader_is_folder(c->doc_base)) {
        snprintf(what, sizeof what,
                 "docBase %.300s is no folder: name the application's "
                 "(unpack a .war)",
                 c->doc_base);
        return context_error(r, c, what);
    }
    if (server_config_context(config, c->path)) {
        snprintf(what, sizeof what,
                 "a second application at \"%.64s\": give it another path",
                 c->path);
        return context_error(r, c, what);
    }
    config->contexts = reader_grow(r, config->contexts, config->context_count,
                                   sizeof *config->contexts);
    config->contexts[config->context_count++] = c;
    return RC_OK;
}

enum rc reader_context(struct reader *r, const struct xml_element *e,
                       const char *name, const struct config_level *above)
{
    struct context_config *c = reader_alloc(r, sizeof *c);
    enum rc rc = RC_OK;

    c->server = r->config;
    c->at = e;
    c->level = *above;
    reader_option_defaults(r, context_option_table, &c->options);
    if (e)
        rc = reader_attributes(
            r, e, &(struct option_target){context_option_table, &c->options},
            1);
    if (rc == RC_OK)
        rc = place(r, c, name);
    if (rc == RC_OK && e)
        rc = reader_children(r, e, context_rules, c);
    return rc == RC_OK ? context_add(r, c) : rc;
}
