/* SPDX-License-Identifier: Apache-2.0
 *
 * serverxml.h: server.xml, read and understood.
 *
 * What    Tomcat's grammar: Server, Service, Executor, Connector, Engine, Host,
 *         Context, Cluster and all within, Manager, Store, SessionIdGenerator,
 *         CookieProcessor, Valve, Listener, Realm, Parameter. Attributes come
 *         from the option tables of the nouns that they belong to. Then the
 *         applications are listed: those with a <Context>, and every folder
 *         of the Host's appBase; the latter may bring a META-INF/context.xml.
 *         Ours: <Manager>, <CookieProcessor> and <Parameter> may also stand in
 *         <Engine> or <Host>, for every application below that has none.
 * Rules   What makes sense in Java only is one warning and ignored. An unknown
 *         attribute is a warning; an empty value counts as no attribute. An
 *         unknown element or className or an unusable value is an error; what
 *         a later version brings is an error that says what to use meanwhile.
 * Paths   What is read (appBase, docBase, users) is relative to the folder of
 *         the file; what is written (logs, saved sessions) to the state
 *         folder. An appBase that is relative and not there means the
 *         applications that were installed, with a warning.
 * Owns    server_config owns all that it points to, but for kinds and
 *         properties.
 * Errors  "FILE:LINE: what and what to do", the first one only: RC_ABSENT,
 *         RC_UNAVAILABLE (the file), RC_UNSUPPORTED (later), RC_INVALID.
 * Threads Read by one; immutable afterwards. */
#ifndef MARGAY_CONTAINER_SERVERXML_H
#define MARGAY_CONTAINER_SERVERXML_H

#include "container/connector.h"
#include "container/cookie.h"
#include "container/executor.h"
#include "container/notes.h"
#include "container/realm.h"
#include "container/valve.h"
#include "container/xml.h"
#include "session/manager.h"
#include "session/option.h"
#include "session/store.h"

#include <stdbool.h>
#include <stddef.h>

struct cluster_ops;
struct properties;
struct server_config;

/* What can keep sessions; main.c makes the lists out of managers/. */
struct manager_kind {
    const char *name, *summary;
    const struct manager_ops *ops;
    const struct option *options; /* besides manager_option_table */
    size_t options_size;
    bool needs_store, needs_cluster;
};
struct store_kind {
    const char *name, *summary;
    const struct store_ops *ops;
    const struct option *options;
    size_t options_size;
};
struct kinds {
    const struct manager_kind *managers;
    size_t manager_count;
    const struct store_kind *stores;
    size_t store_count;
    const struct cluster_ops *cluster; /* session/cluster.h; NULL: none */
    const struct manager_ops *pair; /* of one with role="previous" beside it */
};

struct store_config {
    const struct store_kind *kind;
    void *options;
    const struct xml_element *at;
};

enum manager_role { ROLE_CURRENT, ROLE_PREVIOUS };
struct manager_config {
    const struct manager_kind *kind;
    struct manager_options common;
    void *options;
    bool max_inactive_is_set;   /* else web.xml's session-timeout decides */
    struct store_config *store; /* NULL without one */
    int role;                   /* enum manager_role */
    const struct manager_config *previous; /* from which there is a change */
    const struct xml_element *at;          /* NULL: nobody asked, the default */
};

struct cookie_processor_options {
    int same_site;              /* enum cookie_same_site */
    int cookies_without_equals; /* enum cookie_bare */
    bool partitioned;
};

struct valve_config {
    const struct valve_kind *kind;
    void *options;
    const struct xml_element *at;
};
struct valve_configs {
    struct valve_config *items; /* in the order of the file */
    size_t count;
};

struct parameter_config {
    char *name, *value;
    bool override; /* web.xml's context-param of that name wins */
};
struct parameter_configs {
    struct parameter_config *items;
    size_t count;
};

/* Attributes of <Context>. */
struct context_options {
    char *path, *doc_base, *display_name;
    char *session_cookie_name, *session_cookie_domain, *session_cookie_path;
    bool cookies, session_cookie_path_slash;
    bool use_http_only, use_partitioned;
};

/* What Engine, Host and Context can all say. Borrowed from the one that does;
 * NULL: nobody below this level. */
struct config_level {
    const struct manager_config *manager;
    const struct cookie_processor_options *cookie_processor;
    struct parameter_configs params;
};

/* <Cluster>, in the Engine or in its Host. */
struct cluster_config {
    const struct cluster_ops *ops;
    void *options;
    const char *replication;   /* of a Manager that does not say */
    struct config_level level; /* manager: of applications that have none */
    const struct xml_element *at;
};

/* One application. */
struct context_config {
    const struct server_config *server;
    struct context_options options;
    char *path;                /* "" or "/name" */
    char *doc_base;            /* absolute */
    struct config_level level; /* manager and cookie_processor never NULL */
    struct valve_configs valves;
    const struct xml_element *at; /* NULL: a folder without context.xml */
};

struct connector_config {
    struct connector_options options;
    const struct xml_element *at;
};
struct executor_config {
    struct executor_options options;
    const struct xml_element *at;
};

struct server_config {
    char *file;
    char *folder;                 /* of file; absolute */
    const struct xml_element *at; /* <Server> */
    struct notes notes;
    struct properties *properties;  /* borrowed */
    char *state_dir;                /* for what is written */
    const struct manager_ops *pair; /* kinds.pair */

    int64_t drain, stop_timeout; /* seconds */
    char *metrics_allow;         /* metrics.h; NULL: loopback */
    char *node;                  /* jvmRoute; "" without one */
    char *engine_name;           /* "Catalina" */
    char *host_name;             /* "localhost" */
    char *app_base;              /* absolute */
    bool deploy_on_startup;
    struct cluster_config *cluster; /* NULL: every instance for itself */
    bool has_realm;
    struct realm_options realm;
    const struct xml_element *realm_at;

    struct connector_config **connectors; /* at least one */
    size_t connector_count;
    struct executor_config **executors;
    size_t executor_count;
    struct valve_configs valves; /* of the Engine, then of the Host */
    struct context_config **contexts;
    size_t context_count;
    /* A folder whose META-INF/context.xml has no Manager, or none at all. */
    struct config_level level;

    struct config_memory *memory; /* serverxml_reader.c */
};

struct config_input {
    const char *file;
    struct properties *properties;
    struct kinds kinds;
    struct notes notes;
    const char *state_dir; /* absolute; need not exist */
    const char *webapps;   /* the installed applications; NULL: none */
};

enum rc server_config_read(const struct config_input *input,
                           struct server_config **out, struct err *err);
void server_config_free(struct server_config **config);

/* The context of that path, or NULL. */
const struct context_config *server_config_context(
    const struct server_config *config, const char *path);

#endif
