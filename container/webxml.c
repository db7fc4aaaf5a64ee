/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/webxml.h"

#include "container/properties.h"
#include "container/serverxml.h"
#include "container/static_files.h"
#include "container/webxml_reader.h"
#include "session/buf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IN_JAVA "it makes sense in Java only"
#define NAMING "there is no JNDI; <context-param> hands a value over"

/* ---- what the readers share ---- */

enum rc webxml_children(struct webxml *w, const struct xml_element *e,
                        const struct webxml_rule *rules)
{
    for (const struct xml_element *c = e->children; c; c = c->next) {
        const struct webxml_rule *rule = rules;
        enum rc rc = RC_OK;
        while (rule->name && strcmp(rule->name, c->name) != 0)
            rule++;
        if (!rule->name)
            rc = xml_error(c, RC_INVALID, w->err,
                           "unknown element <%s> in <%s>: remove it, or "
                           "correct its name",
                           c->name, e->name);
        else if (rule->read)
            rc = rule->read(w, c);
        else if (rule->refused)
            rc = xml_error(c, RC_UNSUPPORTED, w->err, "<%s> is not offered: %s",
                           c->name, rule->refused);
        else if (rule->ignored[0])
            notes_warn(w->notes, c, "<%s> is ignored: %s", c->name,
                       rule->ignored);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc webxml_text(struct webxml *w, const struct xml_element *e,
                    const char *child, const char **out)
{
    *out = xml_child_text(e, child);
    if (*out && **out)
        return RC_OK;
    return xml_error(e, RC_INVALID, w->err, "<%s> without <%s>: add it",
                     e->name, child);
}

enum rc webxml_bool(struct webxml *w, const struct xml_element *e, bool *out)
{
    *out = strcasecmp(e->text, "true") == 0;
    if (*out || strcasecmp(e->text, "false") == 0)
        return RC_OK;
    return xml_error(e, RC_INVALID, w->err, "<%s>%.64s</%s>: say true or false",
                     e->name, e->text, e->name);
}

enum rc webxml_int(struct webxml *w, const struct xml_element *e, int64_t min,
                   int64_t max, int64_t *out)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(e->text, &end, 10);
    if (end == e->text || *end || errno || n < min || n > max)
        return xml_error(e, RC_INVALID, w->err,
                         "<%s>%.64s</%s>: a whole number from %lld to %lld "
                         "belongs here",
                         e->name, e->text, e->name, (long long)min,
                         (long long)max);
    *out = n;
    return RC_OK;
}

void webxml_parameter_put(struct parameters *p, const char *name,
                          const char *value)
{
    struct parameter *slot = NULL;

    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            slot = &p->items[i];
    if (!slot) {
        slot = GROW(p->items, p->count);
        *slot = (struct parameter){.name = mem_strdup(name)};
    }
    free(slot->value);
    slot->value = mem_strdup(value);
}

enum rc webxml_param(struct webxml *w, const struct xml_element *e,
                     struct parameters *params)
{
    const char *name, *value = xml_child_text(e, "param-value");
    enum rc rc = webxml_text(w, e, "param-name", &name);

    if (rc == RC_OK)
        webxml_parameter_put(params, name, value ? value : "");
    return rc;
}

static enum rc read_context_param(struct webxml *w, const struct xml_element *e)
{
    return webxml_param(w, e, &w->context->params);
}

static enum rc read_display_name(struct webxml *w, const struct xml_element *e)
{
    free(w->context->display_name);
    w->context->display_name = mem_strdup(e->text);
    return RC_OK;
}

static enum rc read_listener(struct webxml *w, const struct xml_element *e)
{
    struct context *c = w->context;
    const char *name;
    enum rc rc = webxml_text(w, e, "listener-class", &name);

    if (rc == RC_OK)
        *GROW(c->listener_classes, c->listener_class_count) =
            (struct listener_class){.name = mem_strdup(name), .line = e->line};
    return rc;
}

/* ---- pages ---- */

static enum rc read_welcome_files(struct webxml *w, const struct xml_element *e)
{
    struct context *c = w->context;

    for (const struct xml_element *f = e->children; f; f = f->next) {
        if (strcmp(f->name, "welcome-file") != 0)
            return xml_error(f, RC_INVALID, w->err,
                             "unknown element <%s> in <%s>: it holds "
                             "<welcome-file>",
                             f->name, e->name);
        if (f->text[0])
            *GROW(c->welcome_files, c->welcome_file_count) =
                mem_strdup(f->text);
    }
    return RC_OK;
}

static enum rc read_error_page(struct webxml *w, const struct xml_element *e)
{
    struct context *c = w->context;
    const struct xml_element *code = xml_child(e, "error-code", NULL);
    const char *location;
    int64_t status = 0;
    enum rc rc = webxml_text(w, e, "location", &location);

    if (rc == RC_OK && location[0] != '/')
        rc =
            xml_error(e, RC_INVALID, w->err,
                      "<location>%.64s</location>: it begins with /", location);
    if (rc == RC_OK && code)
        rc = webxml_int(w, code, 400, 599, &status);
    if (rc != RC_OK)
        return rc;
    if (xml_child(e, "exception-type", NULL)) {
        notes_warn(w->notes, e,
                   "<error-page> of an exception is ignored: " IN_JAVA);
        return RC_OK;
    }
    *GROW(c->error_pages, c->error_page_count) = (struct error_page){
        .status = (int)status, .location = mem_strdup(location)};
    return RC_OK;
}

/* ---- the whole ---- */

#define FILTERS                                                                \
    "do it in the servlet, or with a <Valve> of <Context>; remove it here"
#define SECURITY                                                               \
    "let the servlet ask servlet_context_authenticate; remove it here"

/* Servlets come before what names them, wherever they stand. */
static const struct webxml_rule first_rules[] = {
    {.name = "servlet", .read = webxml_servlet},
    {.name = "display-name", .read = read_display_name},
    {.name = "context-param", .read = read_context_param},
    {.name = "listener", .read = read_listener},
    {.name = "servlet-mapping", .ignored = ""},
    {.name = "session-config", .read = webxml_session_config},
    {.name = "welcome-file-list", .read = read_welcome_files},
    {.name = "error-page", .read = read_error_page},
    {.name = "description", .ignored = ""},
    {.name = "distributable", .ignored = ""},
    {.name = "icon", .ignored = ""},
    {.name = "module-name", .ignored = ""},
    {.name = "filter", .refused = FILTERS},
    {.name = "filter-mapping", .refused = FILTERS},
    {.name = "security-constraint", .refused = SECURITY},
    {.name = "login-config", .refused = SECURITY},
    {.name = "deny-uncovered-http-methods", .refused = SECURITY},
    {.name = "absolute-ordering", .ignored = IN_JAVA},
    {.name = "administered-object", .ignored = NAMING},
    {.name = "connection-factory", .ignored = NAMING},
    {.name = "data-source", .ignored = NAMING},
    {.name = "default-context-path", .ignored = "the folder's name decides"},
    {.name = "ejb-local-ref", .ignored = NAMING},
    {.name = "ejb-ref", .ignored = NAMING},
    {.name = "env-entry", .ignored = NAMING},
    {.name = "jms-connection-factory", .ignored = NAMING},
    {.name = "jms-destination", .ignored = NAMING},
    {.name = "jsp-config", .ignored = "there are no JSPs"},
    {.name = "locale-encoding-mapping-list", .ignored = "UTF-8 is used"},
    {.name = "mail-session", .ignored = NAMING},
    {.name = "message-destination", .ignored = NAMING},
    {.name = "message-destination-ref", .ignored = NAMING},
    {.name = "mime-mapping", .ignored = "the built-in types are used"},
    {.name = "persistence-context-ref", .ignored = NAMING},
    {.name = "persistence-unit-ref", .ignored = NAMING},
    {.name = "post-construct", .ignored = IN_JAVA},
    {.name = "pre-destroy", .ignored = IN_JAVA},
    {.name = "request-character-encoding", .ignored = "UTF-8 is used"},
    {.name = "resource-env-ref", .ignored = NAMING},
    {.name = "resource-ref", .ignored = NAMING},
    {.name = "response-character-encoding", .ignored = "UTF-8 is used"},
    {.name = "security-role", .ignored = IN_JAVA},
    {.name = "service-ref", .ignored = NAMING},
    {.name = "taglib", .ignored = "there are no JSPs"},
    {.name = NULL},
};

static enum rc read_root(struct webxml *w, const struct xml_element *root)
{
    const struct xml_element *m = NULL;
    enum rc rc;

    if (strcmp(root->name, "web-app") != 0)
        return xml_error(root, RC_INVALID, w->err,
                         "<%s> is no web.xml: it begins with <web-app>",
                         root->name);
    rc = webxml_children(w, root, first_rules);
    if (rc != RC_OK)
        return rc;
    if (!webxml_servlet_find(w->context, "default"))
        webxml_servlet_add(w->context, "default", "DefaultServlet");
    while (rc == RC_OK && (m = xml_child(root, "servlet-mapping", m)))
        rc = webxml_mapping(w, m);
    return rc;
}

/* The server's own: static files, an index page, the server's parameters. */
static void add_defaults(struct context *c)
{
    const struct parameter_configs *params = &c->config->level.params;

    if (!webxml_servlet_find(c, "default"))
        webxml_servlet_add(c, "default", "DefaultServlet");
    for (size_t i = 0; i < c->servlet_count; i++)
        if (strcmp(c->servlets[i].class_name, "DefaultServlet") == 0 ||
            strcmp(c->servlets[i].class_name,
                   "org.apache.catalina.servlets.DefaultServlet") == 0)
            c->servlets[i].servlet = &static_files_servlet;
    if (!webxml_mapping_find(c, "/"))
        webxml_mapping_add(c, "/", webxml_servlet_find(c, "default"),
                           SESSION_WISH_NONE);
    if (c->welcome_file_count == 0)
        *GROW(c->welcome_files, c->welcome_file_count) =
            mem_strdup("index.html");
    for (size_t i = 0; i < params->count; i++)
        if (!params->items[i].override ||
            !parameters_get(&c->params, params->items[i].name))
            webxml_parameter_put(&c->params, params->items[i].name,
                                 params->items[i].value);
}

enum rc webxml_read(struct context *context, struct err *err)
{
    struct webxml w = {.context = context,
                       .notes = &context->config->server->notes,
                       .err = err};
    struct xml_document *doc = NULL;
    struct err why = {""};
    char file[PATH_MAX + 32];
    enum rc rc;

    snprintf(file, sizeof file, "%s/WEB-INF/web.xml", context->doc_base);
    rc = xml_read_file(&doc, file, properties_lookup,
                       context->config->server->properties, &why);
    if (rc == RC_ABSENT)
        rc = RC_OK;
    else if (rc == RC_OK)
        rc = read_root(&w, doc->root);
    else
        err_set(err, rc, "%s", why.text);
    if (rc == RC_OK) {
        add_defaults(context);
        rc = webxml_session_apply(&w);
    }
    xml_free(&doc);
    return rc;
}
