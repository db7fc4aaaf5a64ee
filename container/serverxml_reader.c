/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include "session/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One piece of memory, and what stands in it. */
struct config_memory {
    struct config_memory *next;
    const struct option *table;
    void *data; /* the table's members */
    struct xml_document *doc;
    void *bytes; /* or NULL */
};

static struct config_memory *remember(struct reader *r)
{
    struct config_memory *m = mem_zero(sizeof *m);

    m->next = r->config->memory;
    r->config->memory = m;
    return m;
}

void *reader_alloc(struct reader *r, size_t size)
{
    return remember(r)->bytes = mem_zero(size);
}

char *reader_strdup(struct reader *r, const char *text)
{
    char *copy = mem_strdup(text);

    remember(r)->bytes = copy;
    return copy;
}

void *reader_grow(struct reader *r, const void *items, size_t count,
                  size_t size)
{
    void *grown = reader_alloc(r, (count + 1) * size);

    if (count > 0)
        memcpy(grown, items, count * size);
    return grown;
}

void reader_option_defaults(struct reader *r, const struct option *table,
                            void *data)
{
    struct config_memory *m = remember(r);

    m->table = table;
    m->data = data;
    option_defaults(table, data);
}

void *reader_options(struct reader *r, const struct option *table, size_t size)
{
    void *data = reader_alloc(r, size > 0 ? size : 1);

    reader_option_defaults(r, table, data);
    return data;
}

void reader_keep(struct reader *r, struct xml_document *doc)
{
    remember(r)->doc = doc;
}

/* The latest first: options before the memory that they stand in. */
void reader_release(struct server_config *config)
{
    while (config->memory) {
        struct config_memory *m = config->memory;
        config->memory = m->next;
        if (m->data)
            option_release(m->table, m->data);
        xml_free(&m->doc);
        free(m->bytes);
        free(m);
    }
}

enum rc reader_error(struct reader *r, const struct xml_element *e, enum rc rc,
                     const char *format, ...)
{
    char text[480];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return xml_error(e, rc, r->err, "%s", text);
}

enum rc reader_later(struct reader *r, const struct xml_element *e,
                     const char *what, const char *meanwhile)
{
    return reader_error(r, e, RC_UNSUPPORTED,
                        "%s comes with a later version: %s", what, meanwhile);
}

void reader_ignored(struct reader *r, const struct xml_element *e,
                    const char *what, const char *why)
{
    notes_warn(&r->config->notes, e, "%s is ignored: %s", what, why);
}

static const struct option *lookup(const struct option_target *targets,
                                   size_t count, const char *name, void **data)
{
    for (size_t i = 0; i < count; i++) {
        const struct option *o = option_find(targets[i].table, name);
        if (o) {
            *data = targets[i].data;
            return o;
        }
    }
    return NULL;
}

static enum rc one_attribute(struct reader *r, const struct xml_element *e,
                             const struct xml_attribute *a,
                             const struct option_target *targets, size_t count)
{
    void *data = NULL;
    const struct option *o = lookup(targets, count, a->name, &data);
    struct err err = {""};
    enum rc rc;

    if (!o) {
        notes_warn(&r->config->notes, e,
                   "<%s> has no attribute %s: it is ignored, look whether "
                   "its name is right",
                   e->name, a->name);
        return RC_OK;
    }
    if (o->kind == OPTION_IGNORED) {
        notes_warn(&r->config->notes, e, "<%s %s> is ignored: %s", e->name,
                   a->name, o->help);
        return RC_OK;
    }
    rc = option_set(o, data, a->name, a->value, &err);
    if (rc != RC_OK)
        reader_error(r, e, rc, "<%s> %s", e->name, err.text);
    return rc;
}

enum rc reader_attributes(struct reader *r, const struct xml_element *e,
                          const struct option_target *targets, size_t count)
{
    for (size_t i = 0; i < e->attribute_count; i++) {
        const struct xml_attribute *a = &e->attributes[i];
        enum rc rc;
        if (xml_is_meta(a->name) || strcmp(a->name, "className") == 0 ||
            a->value[0] == '\0')
            continue;
        rc = one_attribute(r, e, a, targets, count);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc one_child(struct reader *r, const struct xml_element *e,
                         const struct element_rule *rules, void *parent)
{
    char what[160];

    snprintf(what, sizeof what, "<%s>", e->name);
    for (const struct element_rule *rule = rules; rule->name; rule++) {
        if (strcmp(rule->name, e->name) != 0)
            continue;
        if (rule->read)
            return rule->read(r, e, parent);
        if (rule->later)
            return reader_later(r, e, what, rule->later);
        if (rule->ignored[0])
            reader_ignored(r, e, what, rule->ignored);
        return RC_OK;
    }
    return reader_error(r, e, RC_INVALID,
                        "unknown element %s in <%s>: remove it, or correct "
                        "its name",
                        what, e->parent ? e->parent->name : "");
}

enum rc reader_children(struct reader *r, const struct xml_element *e,
                        const struct element_rule *rules, void *parent)
{
    for (const struct xml_element *c = e->children; c; c = c->next) {
        enum rc rc = one_child(r, c, rules, parent);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

const char *reader_class(const struct xml_element *e, const char *otherwise)
{
    const char *name = reader_get(e, "className");
    const char *dot;

    if (!name)
        return otherwise;
    dot = strrchr(name, '.');
    if (dot && (strncmp(name, "org.apache.catalina.", 20) == 0 ||
                strncmp(name, "org.apache.tomcat.", 18) == 0))
        return dot + 1;
    return name;
}

const char *reader_get(const struct xml_element *e, const char *name)
{
    const char *value = xml_get(e, name);
    return value && *value ? value : NULL;
}

char *reader_path(struct reader *r, const char *folder, const char *path)
{
    size_t size;
    char *joined;

    if (path[0] == '/')
        return reader_strdup(r, path);
    size = strlen(folder) + strlen(path) + 2;
    joined = reader_alloc(r, size);
    snprintf(joined, size, "%s/%s", folder, path);
    return joined;
}

bool reader_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
