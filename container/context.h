/* SPDX-License-Identifier: Apache-2.0
 *
 * context.h: one deployed web application.
 *
 * What    Built once from server.xml's <Context>, META-INF/context.xml and
 *         WEB-INF/web.xml, then read-only while it serves: the servlets with
 *         their mappings and session wishes, the session cookie, the manager,
 *         the listeners. Configuration writes it (webxml.c, loader.c,
 *         context.c); the mapper and the request path read it.
 * Start   In Tomcat's order: libraries, context listeners, manager, servlets
 *         (load-on-startup first, then the others, all before the first
 *         request). Stop undoes it in reverse order.
 * Owns    Everything it points to, but for the instance and the config.
 * Errors  RC_INVALID and others, err says where and what to do.
 * Threads new, start, stop, free: one. Immutable after context_start; the
 *         manager has its own laws. */
#ifndef MARGAY_CONTAINER_CONTEXT_H
#define MARGAY_CONTAINER_CONTEXT_H

#include "container/cookie.h"
#include "container/servlet.h"
#include "session/manager.h"

#include <stdatomic.h>

struct instance;
struct context;
struct context_config; /* serverxml.h */
struct valve;

/* What a mapping says it wants of the session. */
enum session_wish { SESSION_WISH_WRITE, SESSION_WISH_READ, SESSION_WISH_NONE };

struct parameter {
    char *name, *value;
};
struct parameters {
    struct parameter *items;
    size_t count;
};
/* NULL when absent. */
const char *parameters_get(const struct parameters *p, const char *name);

/* One <servlet>. */
struct servlet_config {
    struct context *context;
    char *name, *class_name;
    int line; /* of web.xml; 0: nobody named it */
    struct parameters params;
    bool async_supported; /* runs on the Executor's threads */
    int load_on_startup;
    const struct servlet
        *servlet; /* from the .so, or built in (static files) */
    void *state;
    bool initialized;
};

/* One <url-pattern> of a <servlet-mapping>. */
struct servlet_mapping {
    char *pattern; /* "/me", "/put/" and a star, "*.html", "/", "" */
    struct servlet_config *servlet;
    enum session_wish wish;
};

struct listener_class {
    char *name;
    int line; /* of web.xml */
    /* once it is loaded; NULL: it listens to sessions */
    const struct servlet_context_listener *application;
};

struct error_page {
    int status; /* 0: of every status that has no page of its own */
    char *location;
};

/* Jakarta's ServletContext is this very struct: webapps see it as the opaque
 * struct servlet_context (servlet_context_of, context_of). */
struct context {
    struct instance *instance;
    const struct context_config *config; /* borrowed */
    char *path;                          /* "" for ROOT, "/login" */
    char *doc_base;                      /* absolute folder */
    char *display_name;
    struct parameters params; /* <context-param>, <Parameter> */
    struct servlet_config *servlets;
    size_t servlet_count;
    struct servlet_mapping *mappings;
    size_t mapping_count;
    char **welcome_files;
    size_t welcome_file_count;
    struct error_page *error_pages;
    size_t error_page_count;

    struct listener_class *listener_classes; /* in the order of web.xml */
    size_t listener_class_count;
    const struct http_session_listener **session_listeners;
    size_t session_listener_count;
    size_t listeners_told; /* how many classes heard of the start */
    void **libraries;      /* dlopen handles */
    size_t library_count;

    bool cookies;      /* Context cookies="true": cookie tracking */
    bool url_tracking; /* ;jsessionid= is understood and written */
    struct cookie_config session_cookie; /* name, path, flags; see cookie.h */
    char *session_cookie_name;           /* "JSESSIONID" */
    char *session_cookie_path, *session_cookie_domain;
    char *session_parameter_name; /* "jsessionid" */
    enum cookie_bare cookies_without_equals;

    bool has_copies; /* other members of the cluster have its sessions, too */
    struct manager *manager;
    struct manager_options manager_options;
    struct manager_pair manager_pair; /* with role="previous" */
    char *manager_text; /* servlet_context_manager; once it has started */
    atomic_bool running;
    bool rests;  /* see context_rest */
    void *state; /* the application's own */

    struct valve **valves; /* of the Context, in order */
    size_t valve_count;
};

/* Reads WEB-INF/web.xml and what config says. Loads and opens nothing. */
enum rc context_new(struct instance *instance,
                    const struct context_config *config, struct context **out,
                    struct err *err);
/* On failure everything is undone. */
enum rc context_start(struct context *context, struct instant now,
                      struct err *err);
/* No request is under way, and none comes. within_ms: for the sessions. */
void context_stop(struct context *context, struct instant now, int within_ms);
/* The first half of it: what its manager has sent to other members may still be
 * answered until context_stop, which is for when the cluster has stopped. */
void context_rest(struct context *c, struct instant now, int within_ms);
/* Implies context_stop. */
void context_free(struct context **context);

static inline struct servlet_context *servlet_context_of(struct context *c)
{
    return (struct servlet_context *)c;
}
static inline const struct context *context_of(const struct servlet_context *c)
{
    return (const struct context *)c;
}

#endif
