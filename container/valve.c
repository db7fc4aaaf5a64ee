/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/valve.h"

#include "session/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define X(kind) extern const struct valve_kind kind;
#include "container/valve_list.h"
#undef X

const struct valve_kind *const valve_kinds[] = {
#define X(kind) &kind,
#include "container/valve_list.h"
#undef X
    NULL,
};

const struct valve_kind *valve_kind_find(const char *class_name)
{
    static const char package[] = "org.apache.catalina.";
    if (!strncmp(class_name, package, sizeof package - 1))
        class_name = strrchr(class_name, '.') + 1;
    for (size_t i = 0; valve_kinds[i]; i++)
        if (!strcmp(valve_kinds[i]->name, class_name))
            return valve_kinds[i];
    return NULL;
}

enum rc valve_new(const struct valve_kind *kind, const void *options,
                  const struct valve_env *env, struct valve **out,
                  struct err *err)
{
    assert(kind->size >= sizeof(struct valve) &&
           (kind->in || kind->absent || kind->out));
    struct valve *v = mem_zero(kind->size);
    v->kind = kind;
    v->options = options;
    v->env = *env;
    enum rc rc = kind->open ? kind->open(v, err) : RC_OK;
    if (rc != RC_OK) {
        free(v);
        return rc;
    }
    *out = v;
    return RC_OK;
}

void valve_free(struct valve **v)
{
    if (!*v)
        return;
    if ((*v)->kind->close)
        (*v)->kind->close(*v);
    free(*v);
    *v = NULL;
}
