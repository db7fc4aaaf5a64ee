/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/context.h"

#include "container/http_session.h"
#include "container/instance.h"
#include "container/loader.h"
#include "container/realm.h"
#include "container/serverxml.h"
#include "container/static_files.h"
#include "container/valve.h"
#include "container/webxml.h"
#include "session/buf.h"
#include "session/cluster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *parameters_get(const struct parameters *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return p->items[i].value;
    return NULL;
}

/* ---- built and freed ---- */

static bool has_copies(const struct manager_config *m)
{
    return m->kind->needs_cluster ||
           (m->previous && m->previous->kind->needs_cluster);
}

enum rc context_new(struct instance *instance,
                    const struct context_config *config, struct context **out,
                    struct err *err)
{
    struct context *c = mem_zero(sizeof *c);
    enum rc rc;

    c->instance = instance;
    c->config = config;
    c->has_copies = has_copies(config->level.manager);
    c->path = mem_strdup(config->path);
    c->doc_base = mem_strdup(config->doc_base);
    c->display_name =
        mem_strdup(config->options.display_name ? config->options.display_name
                                                : config->path);
    rc = webxml_read(c, err);
    if (rc != RC_OK) {
        context_free(&c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

static void parameters_release(struct parameters *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].name);
        free(p->items[i].value);
    }
    free(p->items);
}

static void servlets_release(struct context *c)
{
    for (size_t i = 0; i < c->servlet_count; i++) {
        free(c->servlets[i].name);
        free(c->servlets[i].class_name);
        parameters_release(&c->servlets[i].params);
    }
    free(c->servlets);
    for (size_t i = 0; i < c->mapping_count; i++)
        free(c->mappings[i].pattern);
    free(c->mappings);
}

static void cookie_release(struct context *c)
{
    struct cookie_config *cookie = &c->session_cookie;

    for (size_t i = 0; i < cookie->attribute_count; i++) {
        free((char *)cookie->attributes[i].name);
        free((char *)cookie->attributes[i].value);
    }
    free((void *)cookie->attributes);
    free(c->session_cookie_name);
    free(c->session_cookie_path);
    free(c->session_cookie_domain);
    free(c->session_parameter_name);
}

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

void context_free(struct context **context)
{
    struct context *c = *context;

    if (!c)
        return;
    context_stop(c, instant_read(), 0);
    for (size_t i = 0; i < c->error_page_count; i++)
        free(c->error_pages[i].location);
    free(c->error_pages);
    texts_free(c->welcome_files, c->welcome_file_count);
    for (size_t i = 0; i < c->listener_class_count; i++)
        free(c->listener_classes[i].name);
    free(c->listener_classes);
    servlets_release(c);
    cookie_release(c);
    parameters_release(&c->params);
    free(c->display_name);
    free(c->doc_base);
    free(c->path);
    free(c);
    *context = NULL;
}

/* ---- started ---- */

/* line 0: of the server's own. */
static enum rc class_error(const struct context *c, int line, enum rc rc,
                           const struct err *why, struct err *err)
{
    if (!line)
        return err_set(err, rc, "%s: %s", c->doc_base, why->text);
    return err_set(err, rc, "%s/WEB-INF/web.xml:%d: %s", c->doc_base, line,
                   why->text);
}

static enum rc find_servlets(struct context *c, struct err *err)
{
    for (size_t i = 0; i < c->servlet_count; i++) {
        struct servlet_config *s = &c->servlets[i];
        struct err why = {""};
        enum rc rc;
        if (s->servlet)
            continue;
        rc = loader_servlet(c, s->class_name, &s->servlet, &why);
        if (rc != RC_OK)
            return class_error(c, s->line, rc, &why, err);
    }
    return RC_OK;
}

static enum rc find_listeners(struct context *c, struct err *err)
{
    c->session_listeners =
        mem_zero((c->listener_class_count + 1) * sizeof *c->session_listeners);
    for (size_t i = 0; i < c->listener_class_count; i++) {
        struct listener_class *l = &c->listener_classes[i];
        const struct http_session_listener *session;
        struct err why = {""};
        enum rc rc =
            loader_listener(c, l->name, &session, &l->application, &why);
        if (rc != RC_OK)
            return class_error(c, l->line, rc, &why, err);
        if (session)
            c->session_listeners[c->session_listener_count++] = session;
    }
    return RC_OK;
}

static enum rc tell_listeners(struct context *c, struct err *err)
{
    for (size_t i = 0; i < c->listener_class_count; i++) {
        const struct listener_class *l = &c->listener_classes[i];
        struct err why;
        c->listeners_told = i + 1;
        if (!l->application || !l->application->initialized ||
            l->application->initialized(servlet_context_of(c)))
            continue;
        err_set(&why, RC_INVALID,
                "listener %s refused the start: see its lines in the log",
                l->name);
        return class_error(c, l->line, RC_INVALID, &why, err);
    }
    return RC_OK;
}

static enum rc start_valves(struct context *c, struct err *err)
{
    const struct valve_configs *all = &c->config->valves;
    const struct valve_env env = {
        .log = &c->instance->log,
        .state_dir = c->config->server->state_dir,
    };

    c->valves = mem_zero((all->count + 1) * sizeof *c->valves);
    for (size_t i = 0; i < all->count; i++) {
        struct err why = {""};
        enum rc rc = valve_new(all->items[i].kind, all->items[i].options, &env,
                               &c->valves[i], &why);
        if (rc != RC_OK)
            return xml_error(all->items[i].at, rc, err, "%s", why.text);
        c->valve_count++;
    }
    return RC_OK;
}

static struct channel *channel_of(const struct instance *in)
{
    return in->cluster ? in->config->cluster->ops->channel(in->cluster) : NULL;
}

static struct manager_part part_of(const struct manager_config *m,
                                   const struct manager_options *common)
{
    return (struct manager_part){
        .ops = m->kind->ops,
        .common = common,
        .options = m->options,
        .store_ops = m->store ? m->store->kind->ops : NULL,
        .store_options = m->store ? m->store->options : NULL,
    };
}

static enum rc new_manager(struct context *c, const struct manager_env *env,
                           struct err *err)
{
    const struct manager_config *m = c->config->level.manager;
    struct manager_part p = part_of(m, &c->manager_options);

    if (!m->previous)
        return manager_new(p.ops, p.common, p.options, p.store_ops,
                           p.store_options, env, &c->manager, err);
    c->manager_pair.next = p;
    c->manager_pair.previous = part_of(m->previous, &m->previous->common);
    return manager_new(c->config->server->pair, p.common, &c->manager_pair,
                       NULL, NULL, env, &c->manager, err);
}

static enum rc start_manager(struct context *c, struct instant now,
                             struct err *err)
{
    const struct manager_config *m = c->config->level.manager;
    const struct manager_env env = {
        .log = &c->instance->log,
        .app = c->path[0] ? c->path : "/",
        .node = c->instance->node,
        .node_number = c->instance->node_number,
        .work_dir = c->config->server->state_dir,
        .channel = channel_of(c->instance),
        .listeners = http_session_listeners(c),
        .pause = instance_pause,
        .pause_user = c->instance,
    };
    struct err why = {""};
    char text[512];
    enum rc rc = new_manager(c, &env, &why);

    if (rc == RC_OK)
        rc = manager_start(c->manager, now, &why);
    if (rc != RC_OK)
        return xml_error(m->at ? m->at : c->config->server->at, rc, err, "%s",
                         why.text);
    c->manager_text =
        mem_strdup(manager_describe(c->manager, text, sizeof text));
    return RC_OK;
}

static enum rc init_servlet(struct context *c, struct servlet_config *s,
                            struct err *err)
{
    struct err why;

    s->initialized = true;
    if (!s->servlet->init || s->servlet->init(s, &s->state))
        return RC_OK;
    s->initialized = false;
    err_set(&why, RC_INVALID,
            "servlet %s refused to start: see its lines in the log", s->name);
    return class_error(c, s->line, RC_INVALID, &why, err);
}

/* load-on-startup: the lowest first, negative or absent ones last; the order
 * of web.xml decides between equals. */
static struct servlet_config *next_to_init(struct context *c)
{
    struct servlet_config *best = NULL;

    for (size_t i = 0; i < c->servlet_count; i++) {
        struct servlet_config *s = &c->servlets[i];
        unsigned rank = (unsigned)s->load_on_startup;
        if (!s->initialized &&
            (!best || rank < (unsigned)best->load_on_startup))
            best = s;
    }
    return best;
}

static enum rc init_servlets(struct context *c, struct err *err)
{
    struct servlet_config *s;
    enum rc rc = RC_OK;

    /* Two negative numbers differ as unsigned ones; to the standard they are
     * the same. */
    for (size_t i = 0; i < c->servlet_count; i++)
        if (c->servlets[i].load_on_startup < 0)
            c->servlets[i].load_on_startup = -1;
    while (rc == RC_OK && (s = next_to_init(c)))
        rc = init_servlet(c, s, err);
    return rc;
}

enum rc context_start(struct context *context, struct instant now,
                      struct err *err)
{
    enum rc rc = loader_open(context, err);

    context->rests = false;
    if (rc == RC_OK)
        rc = find_servlets(context, err);
    if (rc == RC_OK)
        rc = find_listeners(context, err);
    if (rc == RC_OK)
        rc = start_valves(context, err);
    if (rc == RC_OK)
        rc = tell_listeners(context, err);
    if (rc == RC_OK)
        rc = start_manager(context, now, err);
    if (rc == RC_OK)
        rc = init_servlets(context, err);
    if (rc != RC_OK) {
        context_stop(context, now, 0);
        return rc;
    }
    atomic_store(&context->running, true);
    return RC_OK;
}

/* ---- stopped ---- */

static void stop_servlets(struct context *c)
{
    for (size_t i = c->servlet_count; i-- > 0;) {
        struct servlet_config *s = &c->servlets[i];
        if (s->initialized && s->servlet->destroy)
            s->servlet->destroy(s->state);
        s->initialized = false;
        s->state = NULL;
    }
}

static void stop_listeners(struct context *c)
{
    while (c->listeners_told > 0) {
        struct listener_class *l = &c->listener_classes[--c->listeners_told];
        if (l->application && l->application->destroyed)
            l->application->destroyed(servlet_context_of(c));
        l->application = NULL;
    }
    free(c->session_listeners);
    c->session_listeners = NULL;
    c->session_listener_count = 0;
}

/* What came out of the application's libraries goes with them. */
static void forget_servlets(struct context *c)
{
    for (size_t i = 0; i < c->servlet_count; i++)
        if (c->servlets[i].servlet != &static_files_servlet)
            c->servlets[i].servlet = NULL;
}

void context_rest(struct context *c, struct instant now, int within_ms)
{
    atomic_store(&c->running, false);
    stop_servlets(c);
    bool rested = c->rests;
    c->rests = true; /* the loop may turn meanwhile */
    if (c->manager && !rested)
        manager_stop(c->manager, now, within_ms);
}

void context_stop(struct context *context, struct instant now, int within_ms)
{
    struct context *c = context;

    context_rest(c, now, within_ms);
    manager_free(&c->manager);
    stop_listeners(c);
    while (c->valve_count > 0)
        valve_free(&c->valves[--c->valve_count]);
    free(c->valves);
    free(c->manager_text);
    c->valves = NULL;
    c->manager_text = NULL;
    forget_servlets(c);
    loader_close(c);
}

/* ---- what an application may ask ---- */

const char *servlet_context_path(const struct servlet_context *context)
{
    return context_of(context)->path;
}

const char *servlet_context_param(const struct servlet_context *context,
                                  const char *name)
{
    return name ? parameters_get(&context_of(context)->params, name) : NULL;
}

const char *servlet_context_node(const struct servlet_context *context)
{
    return context_of(context)->instance->node;
}

const char *servlet_context_manager(const struct servlet_context *context)
{
    const char *text = context_of(context)->manager_text;
    return text ? text : "";
}

void servlet_context_set_state(struct servlet_context *context, void *state)
{
    ((struct context *)context)->state = state;
}

void *servlet_context_state(const struct servlet_context *context)
{
    return context_of(context)->state;
}

void servlet_log(const struct servlet_context *context, const char *format, ...)
{
    const struct context *c = context_of(context);
    enum log_level level = LOG_INFO;
    const char *rest = format;
    char text[1024];
    va_list ap;

    if (!strncmp(format, "warning: ", 9)) {
        level = LOG_WARN;
        rest += 9;
    } else if (!strncmp(format, "error: ", 7)) {
        level = LOG_ERROR;
        rest += 7;
    }
    va_start(ap, format);
    vsnprintf(text, sizeof text, rest, ap);
    va_end(ap);
    log_line(&c->instance->log, level, c->path[0] ? c->path + 1 : "ROOT", "%s",
             text);
}

bool servlet_context_authenticate(const struct servlet_context *context,
                                  const char *user, const char *password)
{
    return realm_authenticate(context_of(context)->instance->realm, user,
                              password);
}

const char *servlet_config_name(const struct servlet_config *config)
{
    return config->name;
}

const char *servlet_config_param(const struct servlet_config *config,
                                 const char *name)
{
    return name ? parameters_get(&config->params, name) : NULL;
}

struct servlet_context *servlet_config_context(
    const struct servlet_config *config)
{
    return servlet_context_of(config->context);
}
