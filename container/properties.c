/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/properties.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

struct property {
    char *name, *value; /* value: NULL unless it was set */
    char *offered;      /* or NULL */
    bool asked;
};

struct properties {
    struct property *items;
    size_t count;
};

struct properties *properties_new(void)
{
    return mem_zero(sizeof(struct properties));
}

void properties_free(struct properties **p)
{
    if (!*p)
        return;
    for (size_t i = 0; i < (*p)->count; i++) {
        free((*p)->items[i].name);
        free((*p)->items[i].value);
        free((*p)->items[i].offered);
    }
    free((*p)->items);
    free(*p);
    *p = NULL;
}

static struct property *find(const struct properties *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return NULL;
}

static struct property *find_or_add(struct properties *p, const char *name)
{
    struct property *found = find(p, name);

    if (found)
        return found;
    p->items = mem_resize(p->items, (p->count + 1) * sizeof *p->items);
    p->items[p->count] = (struct property){.name = mem_strdup(name)};
    return &p->items[p->count++];
}

enum rc properties_define(struct properties *p, const char *definition,
                          struct err *err)
{
    const char *equals = strchr(definition, '=');
    char *name;

    if (!equals || equals == definition)
        return err_set(err, RC_INVALID,
                       "-D %s: write -D NAME=VALUE, as in -D port=8081",
                       definition);
    name = mem_strndup(definition, (size_t)(equals - definition));
    properties_set(p, name, equals + 1);
    free(name);
    return RC_OK;
}

void properties_set(struct properties *p, const char *name, const char *value)
{
    struct property *property = find_or_add(p, name);

    free(property->value);
    property->value = mem_strdup(value);
}

void properties_offer(struct properties *p, const char *name, const char *value)
{
    struct property *property = find_or_add(p, name);

    free(property->offered);
    property->offered = mem_strdup(value);
}

const char *properties_lookup(void *user, const char *name)
{
    struct property *property = find(user, name);

    if (!property)
        return NULL;
    property->asked = true;
    return property->value ? property->value : property->offered;
}

const char *properties_get(const struct properties *p, const char *name)
{
    const struct property *property = find(p, name);

    if (!property)
        return NULL;
    return property->value ? property->value : property->offered;
}

bool properties_is_set(const struct properties *p, const char *name)
{
    const struct property *property = find(p, name);
    return property && property->value;
}

bool properties_asked(const struct properties *p, const char *name)
{
    const struct property *property = find(p, name);
    return property && property->asked;
}

bool properties_known(const struct properties *p, const char *name)
{
    const struct property *property = find(p, name);
    return property && (property->asked || property->offered);
}

const char *properties_name(const struct properties *p, size_t index)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].value && index-- == 0)
            return p->items[i].name;
    return NULL;
}
