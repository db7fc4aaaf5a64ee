/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/managers.h"

#include "session/manager_impl.h"
#include "session/store_impl.h"

#include <string.h>

#define MANAGER(name) extern const struct manager_ops manager_##name;
#include "managers/manager_list.h"
#undef MANAGER
#define STORE(name) extern const struct store_ops store_##name;
#include "managers/store_list.h"
#undef STORE

static const struct manager_ops *const manager_table[] = {
#define MANAGER(name) &manager_##name,
#include "managers/manager_list.h"
#undef MANAGER
    NULL,
};

static const struct store_ops *const store_table[] = {
#define STORE(name) &store_##name,
#include "managers/store_list.h"
#undef STORE
    NULL,
};

static const char *short_name(const char *class_name)
{
    const char *dot = strrchr(class_name, '.');
    return dot ? dot + 1 : class_name;
}

const struct manager_ops *managers_find(const char *class_name)
{
    for (size_t i = 0; manager_table[i]; i++)
        if (strcmp(manager_table[i]->name, short_name(class_name)) == 0)
            return manager_table[i];
    return NULL;
}

const struct store_ops *stores_find(const char *class_name)
{
    for (size_t i = 0; store_table[i]; i++)
        if (strcmp(store_table[i]->name, short_name(class_name)) == 0)
            return store_table[i];
    return NULL;
}

const struct manager_ops *managers_at(size_t index)
{
    return index < sizeof manager_table / sizeof manager_table[0]
               ? manager_table[index]
               : NULL;
}

const struct store_ops *stores_at(size_t index)
{
    return index < sizeof store_table / sizeof store_table[0]
               ? store_table[index]
               : NULL;
}

const char *managers_cost(const struct manager_ops *ops, const void *options,
                          char *out, size_t size)
{
    out[0] = '\0';
    if (ops->cost)
        ops->cost(options, out, size);
    return out;
}

const char *managers_advice(const struct manager_ops *ops, const void *options,
                            unsigned n, char *out, size_t size)
{
    out[0] = '\0';
    if (ops->advise)
        ops->advise(options, n, out, size);
    return out;
}

enum rc managers_examine(const struct manager_ops *ops, const void *options,
                         const struct store_ops *store,
                         const void *store_options, const char *app,
                         struct err *err)
{
    const struct manager_env env = {.app = app};

    return ops->examine ? ops->examine(options, store, store_options, &env, err)
                        : RC_OK;
}

struct kind_facts managers_facts(const struct manager_ops *ops)
{
    return (struct kind_facts){
        .name = ops->name,
        .summary = ops->summary,
        .options = ops->options,
        .options_size = ops->options_size,
        .needs_store = ops->flags & MANAGER_NEEDS_STORE,
        .needs_cluster = ops->flags & MANAGER_NEEDS_CLUSTER,
    };
}

struct kind_facts stores_facts(const struct store_ops *ops)
{
    return (struct kind_facts){
        .name = ops->name,
        .summary = ops->summary,
        .options = ops->options,
        .options_size = ops->options_size,
    };
}
