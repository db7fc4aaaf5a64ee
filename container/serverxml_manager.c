/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include "session/buf.h"
#include "session/cluster.h"
#include "session/expression.h"
#include "session/first_line.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX 4096 /* as much as a store reads of its urlFile */

#define IGNORED(attribute, why)                                                \
    {                                                                          \
        .name = attribute, .kind = OPTION_IGNORED, .help = why                 \
    }
#define IN_JAVA "it makes sense in Java only"

#define IN_CLUSTER(manager)                                                    \
    "use <Manager className=\"" manager "\"> in a <Cluster>"

static const struct {
    const char *name, *meanwhile;
} stores_later[] = {
    {"MemcachedStore", "use SQLiteStore"},
};

static const struct manager_kind *manager_kind_find(const struct kinds *kinds,
                                                    const char *name)
{
    for (size_t i = 0; i < kinds->manager_count; i++)
        if (strcmp(kinds->managers[i].name, name) == 0)
            return &kinds->managers[i];
    return NULL;
}

static const struct store_kind *store_kind_find(const struct kinds *kinds,
                                                const char *name)
{
    for (size_t i = 0; i < kinds->store_count; i++)
        if (strcmp(kinds->stores[i].name, name) == 0)
            return &kinds->stores[i];
    return NULL;
}

static enum rc manager_unknown(struct reader *r, const struct xml_element *e,
                               const char *name)
{
    const struct kinds *kinds = &r->input->kinds;
    struct buf names;
    enum rc rc;

    buf_init(&names, 256);
    for (size_t i = 0; i < kinds->manager_count; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", kinds->managers[i].name);
    rc = reader_error(r, e, RC_INVALID,
                      "unknown <Manager className=\"%.64s\">: there are %s",
                      name, buf_str(&names));
    buf_release(&names);
    return rc;
}

static enum rc store_unknown(struct reader *r, const struct xml_element *e,
                             const char *name)
{
    const struct kinds *kinds = &r->input->kinds;
    struct buf names;
    enum rc rc;

    for (size_t i = 0; i < sizeof stores_later / sizeof stores_later[0]; i++)
        if (strcmp(stores_later[i].name, name) == 0)
            return reader_later(r, e, name, stores_later[i].meanwhile);
    if (strcmp(name, "DataSourceStore") == 0 || strcmp(name, "JDBCStore") == 0)
        return reader_error(r, e, RC_INVALID,
                            "%s needs Java's JDBC: use SQLiteStore", name);
    buf_init(&names, 256);
    for (size_t i = 0; i < kinds->store_count; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", kinds->stores[i].name);
    rc = reader_error(r, e, RC_INVALID,
                      "unknown <Store className=\"%.64s\">: there are %s", name,
                      buf_str(&names));
    buf_release(&names);
    return rc;
}

/* The value that holds; NULL: it has none. */
static const char *store_text(const struct store_config *s, const char *name)
{
    const struct option *o = option_find(s->kind->options, name);
    const char *text;

    if (!o || o->kind != OPTION_STRING)
        return NULL;
    text = *(char *const *)((const char *)s->options + o->offset);
    return text && *text ? text : NULL;
}

/* A store knows no folder of its own; a relative path is below the state's. */
static enum rc place_option(struct reader *r, struct store_config *store,
                            const char *name)
{
    const char *path = store_text(store, name);

    if (!path || path[0] == '/')
        return RC_OK;
    return option_set(store->kind->options, store->options, name,
                      reader_path(r, r->config->state_dir, path), r->err);
}

static enum rc place_store(struct reader *r, struct store_config *store)
{
    enum rc rc = place_option(r, store, "path");

    return rc == RC_OK ? place_option(r, store, "directory") : rc;
}

static enum rc read_store(struct reader *r, const struct xml_element *e,
                          void *parent)
{
    struct manager_config *manager = parent;
    const char *name = reader_class(e, NULL);
    const struct store_kind *kind;
    struct store_config *store;
    enum rc rc;

    if (manager->store)
        return reader_error(r, e, RC_INVALID,
                            "a second <Store>: a Manager has one; remove it");
    if (!manager->kind->needs_store)
        return reader_error(r, e, RC_INVALID,
                            "%s keeps nothing in a store: remove <Store>, or "
                            "use className=\"PersistentManager\"",
                            manager->kind->name);
    if (!name)
        return reader_error(r, e, RC_INVALID,
                            "<Store> without className: add "
                            "className=\"SQLiteStore\"");
    kind = store_kind_find(&r->input->kinds, name);
    if (!kind)
        return store_unknown(r, e, name);
    store = reader_alloc(r, sizeof *store);
    store->kind = kind;
    store->at = e;
    store->options = reader_options(r, kind->options, kind->options_size);
    manager->store = store;
    rc = reader_attributes(
        r, e, &(struct option_target){kind->options, store->options}, 1);
    return rc == RC_OK ? place_store(r, store) : rc;
}

const struct option id_generator_option_table[] = {
    {.name = "sessionIdLength",
     .kind = OPTION_LATER,
     .preset = "16",
     .help = "an id is 16 random bytes, written as 32 digits; leave it out"},
    IGNORED("jvmRoute", "the Engine's jvmRoute is the route"),
    IGNORED("secureRandomClass", IN_JAVA),
    IGNORED("secureRandomAlgorithm", IN_JAVA),
    IGNORED("secureRandomProvider", IN_JAVA),
    {.name = NULL},
};

static enum rc read_id_generator(struct reader *r, const struct xml_element *e,
                                 void *parent)
{
    const char *name = reader_class(e, "StandardSessionIdGenerator");

    (void)parent;
    if (strcmp(name, "StandardSessionIdGenerator") != 0)
        return reader_error(r, e, RC_INVALID,
                            "unknown <SessionIdGenerator className=\"%.64s\">"
                            ": there is StandardSessionIdGenerator",
                            name);
    return reader_attributes(
        r, e, &(struct option_target){id_generator_option_table, NULL}, 1);
}

/* Of every Manager, after what its own tables know. */
const struct option manager_rest_option_table[] = {
    {.name = "backups",
     .kind = OPTION_LATER,
     .help = IN_CLUSTER("BackupManager")},
    {.name = "mapSendOptions",
     .kind = OPTION_LATER,
     .help = IN_CLUSTER("BackupManager")},
    {.name = "minCopies",
     .kind = OPTION_LATER,
     .preset = "0",
     .help = IN_CLUSTER("DeltaManager")},
    {.name = "minReplicas",
     .kind = OPTION_LATER,
     .preset = "0",
     .help = "use <Manager className=\"PersistentManager\"> with a "
             "RedisStore"},
    {.name = "replication",
     .kind = OPTION_LATER,
     .help = IN_CLUSTER("DeltaManager")},
    IGNORED("sessionAttributeValueClassNameFilter",
            "values have no class; sessionAttributeNameFilter goes by names"),
    IGNORED("notifyBindingListenerOnUnchangedValue", IN_JAVA),
    IGNORED("persistAuthentication",
            "who is logged in is always kept with the session"),
    IGNORED("processExpiresFrequency", "sessions end to the second"),
    IGNORED("secureRandomAlgorithm", IN_JAVA),
    IGNORED("secureRandomClass", IN_JAVA),
    IGNORED("secureRandomProvider", IN_JAVA),
    IGNORED("sessionActivityCheck", "a request keeps what it began with"),
    IGNORED("sessionLastAccessAtStart", "a request counts when it begins"),
    {.name = NULL},
};

static const struct element_rule manager_rules[] = {
    {.name = "Store", .read = read_store},
    {.name = "SessionIdGenerator", .read = read_id_generator},
    {.name = NULL},
};

#define OWN_OPTIONS "mapSendOptions"

/* What a manager waits for unless its replication says: a cluster's
 * channelSendOptions speak for those that have none of their own. */
static enum rc inherit_replication(struct reader *r, struct manager_config *m)
{
    const struct cluster_config *c = r->config->cluster;
    const char *text = c ? c->replication : NULL;
    struct err why = {""};
    enum rc rc = RC_OK;

    if (!c || !option_find(m->kind->options, "replication"))
        return RC_OK;
    if (option_find(m->kind->options, OWN_OPTIONS))
        rc = c->ops->send_options(OWN_OPTIONS, reader_get(m->at, OWN_OPTIONS),
                                  &text, &why);
    if (rc != RC_OK)
        return reader_error(r, m->at, rc, "<Manager> %s", why.text);
    return text ? option_set(m->kind->options, m->options, "replication", text,
                             r->err)
                : RC_OK;
}

static enum rc check_name_filter(struct reader *r,
                                 const struct manager_config *m)
{
    const char *filter = m->common.session_attribute_name_filter;
    struct expression names;
    struct err err = {""};

    if (!filter)
        return RC_OK;
    enum rc rc =
        expression_compile(&names, "sessionAttributeNameFilter", filter, &err);
    if (rc != RC_OK)
        return reader_error(r, m->at, rc, "<Manager> %s", err.text);
    expression_release(&names);
    return RC_OK;
}

static bool is_in_cluster(const struct xml_element *e)
{
    return e->parent && strcmp(e->parent->name, "Cluster") == 0;
}

static int64_t number_of(const struct manager_config *m, const char *name)
{
    const struct option *o = option_find(m->kind->options, name);

    return o && o->kind == OPTION_INT
               ? *(const int64_t *)((const char *)m->options + o->offset)
               : -1;
}

/* There are no more copies than backups. */
static void warn_of_copies(struct reader *r, const struct manager_config *m)
{
    int64_t backups = number_of(m, "backups");
    int64_t copies = number_of(m, "minCopies");

    if (backups >= 0 && copies > backups)
        notes_warn(&r->config->notes, m->at,
                   "<Manager> minCopies=\"%" PRId64 "\" counts as %" PRId64
                   ", since a session has no more backups: raise backups, or "
                   "lower minCopies",
                   copies, backups);
}

/* What it needs beside itself. */
static enum rc check_manager(struct reader *r, const struct manager_config *m)
{
    if (m->kind->needs_store && !m->store)
        return reader_error(r, m->at, RC_INVALID,
                            "%s without a store: put <Store "
                            "className=\"SQLiteStore\" .../> into it",
                            m->kind->name);
    if (m->kind->needs_cluster && !r->config->cluster)
        return reader_error(r, m->at, RC_INVALID,
                            "%s without a <Cluster>: put <Cluster "
                            "className=\"SimpleTcpCluster\"/> into the "
                            "<Engine>",
                            m->kind->name);
    if (is_in_cluster(m->at) && !m->kind->needs_cluster)
        return reader_error(r, m->at, RC_INVALID,
                            "%s keeps no copies at other members: put it "
                            "beside the <Cluster>, or use DeltaManager",
                            m->kind->name);
    warn_of_copies(r, m);
    return check_name_filter(r, m);
}

const struct option manager_role_option_table[] = {
    {.name = "role",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct manager_config, role),
     .preset = "current",
     .help = "previous: where the sessions come from, in a rolling change to "
             "the <Manager> beside it",
     .choices = "current|previous"},
    {.name = NULL},
};

static enum rc read_one(struct reader *r, const struct xml_element *e,
                        struct manager_config **out)
{
    const char *name =
        reader_class(e, is_in_cluster(e) ? "DeltaManager" : "StandardManager");
    struct manager_config *m = reader_alloc(r, sizeof *m);
    enum rc rc;

    m->at = e;
    m->kind = manager_kind_find(&r->input->kinds, name);
    if (!m->kind)
        return manager_unknown(r, e, name);
    reader_option_defaults(r, manager_option_table, &m->common);
    m->options = reader_options(r, m->kind->options, m->kind->options_size);
    m->max_inactive_is_set = reader_get(e, "maxInactive") != NULL;
    rc = inherit_replication(r, m);
    if (rc != RC_OK)
        return rc;
    rc = reader_attributes(
        r, e,
        (const struct option_target[]){{manager_option_table, &m->common},
                                       {m->kind->options, m->options},
                                       {manager_role_option_table, m},
                                       {manager_rest_option_table, NULL}},
        4);
    if (rc == RC_OK)
        rc = reader_children(r, e, manager_rules, m);
    if (rc == RC_OK)
        rc = check_manager(r, m);
    *out = m;
    return rc;
}

/* ---- a rolling change ---- */

static bool is_previous(const struct xml_element *e)
{
    const char *role = reader_get(e, "role");

    return role && strcmp(role, "previous") == 0;
}

/* The first one of that role in the same element. */
static const struct xml_element *in_role(const struct xml_element *parent,
                                         bool previous)
{
    const struct xml_element *e = NULL;

    while ((e = xml_child(parent, "Manager", e)))
        if (is_previous(e) == previous)
            return e;
    return NULL;
}

/* Past slashes, and "." between them. */
static const char *step_over(const char *path)
{
    for (;;) {
        path += strspn(path, "/");
        if (path[0] != '.' || (path[1] != '/' && path[1] != '\0'))
            return path;
        path++;
    }
}

static bool is_border(char c)
{
    return c == '/' || c == '\0';
}

/* What is there of it by its real name, the rest as it is written. */
static void real_path(const char *path, char out[2 * PATH_MAX])
{
    char there[PATH_MAX], real[PATH_MAX] = "";
    size_t len = strlen(path);

    for (;;) {
        snprintf(there, sizeof there, "%.*s", (int)len, path);
        if (realpath(len ? there : ".", real) || len == 0)
            break;
        while (len > 0 && path[len - 1] == '/')
            len--;
        while (len > 0 && path[len - 1] != '/')
            len--;
    }
    snprintf(out, 2 * PATH_MAX, "%s/%s", real, path + len);
}

static bool is_same_path(const char *path, const char *other)
{
    char real_a[2 * PATH_MAX], real_b[2 * PATH_MAX];
    const char *a = real_a, *b = real_b;

    if (!path || !other)
        return path == other;
    real_path(path, real_a);
    real_path(other, real_b);
    for (;; a++, b++) {
        if (is_border(*a) && is_border(*b)) {
            a = step_over(a);
            b = step_over(b);
        }
        if (*a != *b || *a == '\0')
            return *a == *b;
    }
}

/* The url that holds: the first line of a file goes before what is written.
 * false: it cannot be told. */
static bool url_of(const struct store_config *s, char out[URL_MAX])
{
    const char *file = store_text(s, "urlFile");
    const char *url = store_text(s, "url");

    if (file)
        return first_line_read(file, out, URL_MAX) == 0 && out[0];
    snprintf(out, URL_MAX, "%s", url ? url : "");
    return true;
}

static bool is_same_url(const struct store_config *a,
                        const struct store_config *b)
{
    const char *file = store_text(a, "urlFile");
    char x[URL_MAX], y[URL_MAX];

    if (file && is_same_path(file, store_text(b, "urlFile")))
        return true;
    bool same = url_of(a, x);
    same &= url_of(b, y);
    same = same && strcmp(x, y) == 0;
    explicit_bzero(x, sizeof x);
    explicit_bzero(y, sizeof y);
    return same;
}

/* Rows of the two would meet. */
static bool is_same_store(const struct store_config *a,
                          const struct store_config *b)
{
    if (!a || !b || a->kind != b->kind)
        return false;
    if (a->kind->ops && store_is_same(a->kind->ops, a->options, b->options))
        return true;
    return is_same_path(store_text(a, "path"), store_text(b, "path")) &&
           is_same_path(store_text(a, "directory"),
                        store_text(b, "directory")) &&
           is_same_url(a, b);
}

static enum rc check_pair(struct reader *r, const struct manager_config *next,
                          const struct manager_config *previous)
{
    bool same = next->kind == previous->kind;

    if (is_same_store(next->store, previous->store))
        return reader_error(r, previous->at, RC_INVALID,
                            "role=\"previous\" with the same <Store> as the "
                            "<Manager> beside it: name the one that was used "
                            "until now");
    if (same && !next->kind->needs_store)
        return reader_error(r, previous->at, RC_INVALID,
                            "two times %s: from one to the other there is "
                            "nothing to change; remove the one with "
                            "role=\"previous\"",
                            next->kind->name);
    if (strcmp(next->kind->name, "StandardManager") == 0)
        return reader_error(r, next->at, RC_INVALID,
                            "StandardManager beside role=\"previous\": no "
                            "other instance would know what comes over to "
                            "this one; it needs no such change");
    return RC_OK;
}

static enum rc read_previous(struct reader *r, struct manager_config *next)
{
    const struct xml_element *e = in_role(next->at->parent, true);
    struct manager_config *previous;
    enum rc rc;

    if (!e)
        return RC_OK;
    rc = read_one(r, e, &previous);
    if (rc == RC_OK)
        rc = check_pair(r, next, previous);
    next->previous = previous;
    return rc;
}

/* It is read with the one beside it. */
static enum rc pass_previous(struct reader *r, const struct xml_element *e)
{
    if (is_in_cluster(e))
        return reader_error(r, e, RC_INVALID,
                            "<Manager role=\"previous\"> in a <Cluster>: put "
                            "it beside the <Manager> to which you change");
    if (in_role(e->parent, true) != e)
        return reader_error(r, e, RC_INVALID,
                            "a second <Manager role=\"previous\"> in <%s>: "
                            "keep one of them",
                            e->parent->name);
    if (!in_role(e->parent, false))
        return reader_error(r, e, RC_INVALID,
                            "<Manager role=\"previous\"> alone: put the "
                            "<Manager> to which you change beside it");
    return RC_OK;
}

enum rc reader_manager(struct reader *r, const struct xml_element *e,
                       void *parent)
{
    struct config_level *level = parent;
    struct manager_config *m;
    enum rc rc;

    if (is_previous(e))
        return pass_previous(r, e);
    bool second = in_role(e->parent, false) != e;
    if (second && !reader_get(e, "role"))
        return reader_error(r, e, RC_INVALID,
                            "a second <Manager> in <%s>: keep one of them",
                            e->parent->name);
    rc = read_one(r, e, &m); /* names a role that is none */
    if (rc == RC_OK && second)
        rc = reader_error(r, e, RC_INVALID,
                          "a second <Manager> in <%s>: keep one of them",
                          e->parent->name);
    if (rc == RC_OK)
        rc = read_previous(r, m);
    if (rc == RC_OK)
        level->manager = m;
    return rc;
}

static enum rc preset_manager(struct reader *r, const char *name,
                              const struct xml_element *at,
                              struct config_level *level)
{
    struct manager_config *m = reader_alloc(r, sizeof *m);

    m->at = at;
    m->kind = manager_kind_find(&r->input->kinds, name);
    if (!m->kind)
        return err_set(r->err, RC_UNSUPPORTED,
                       "%s: this build has no %s: build it anew, or name a "
                       "<Manager>",
                       r->config->file, name);
    reader_option_defaults(r, manager_option_table, &m->common);
    m->options = reader_options(r, m->kind->options, m->kind->options_size);
    level->manager = m;
    return inherit_replication(r, m);
}

enum rc reader_default_manager(struct reader *r, struct config_level *level)
{
    return preset_manager(r, "StandardManager", NULL, level);
}

enum rc reader_cluster_manager(struct reader *r, struct config_level *level)
{
    return preset_manager(r, "DeltaManager", r->config->cluster->at, level);
}
