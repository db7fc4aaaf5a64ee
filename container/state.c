/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/state.h"

#include "container/cmdline.h"
#include "container/properties.h"
#include "container/serverxml.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* mkdir -p; what is made is for this user alone: sessions are secrets. */
static enum rc make_folder(const char *path, struct err *err)
{
    char part[PATH_MAX];

    snprintf(part, sizeof part, "%s", path);
    for (char *c = part + 1;; c++) {
        char end = *c;
        if (end != '/' && end != '\0')
            continue;
        *c = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return err_set(err, RC_UNAVAILABLE,
                           "the state folder %s cannot be made: %s: set -D "
                           "store.path=FILE, or XDG_STATE_HOME",
                           path, strerror(errno));
        if (end == '\0')
            return RC_OK;
        *c = end;
    }
}

static bool has_relative_pathname(const struct manager_config *m)
{
    const struct option *o = option_find(m->kind->options, "pathname");
    const char *path = NULL;

    if (o && o->kind == OPTION_STRING)
        path = *(char *const *)((const char *)m->options + o->offset);
    return path && path[0] && path[0] != '/';
}

static const struct xml_element *writing_valve(const struct valve_configs *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].kind->writes)
            return all->items[i].at;
    return NULL;
}

/* What writes into the state folder: a log, a store, sessions saved at the
 * stop. Better refused now than lost then. NULL: nothing does. */
static const struct xml_element *needs_state(const struct command *c,
                                             const struct server_config *config)
{
    bool store = properties_asked(c->properties, "store.path") &&
                 !properties_is_set(c->properties, "store.path");

    for (size_t i = 0; i < config->context_count; i++) {
        const struct context_config *x = config->contexts[i];
        const struct manager_config *m = x->level.manager;
        for (; m; m = m->previous) {
            if (m->store && store)
                return m->store->at;
            if (m->at && has_relative_pathname(m))
                return m->at;
        }
        if (writing_valve(&x->valves))
            return writing_valve(&x->valves);
    }
    if (writing_valve(&config->valves))
        return writing_valve(&config->valves);
    return store ? config->at : NULL;
}

enum rc state_make(const struct command *c, const struct server_config *config,
                   struct err *err)
{
    const struct xml_element *writer = needs_state(c, config);
    struct err why = {""};
    enum rc rc = writer ? make_folder(c->state, &why) : RC_OK;

    return rc == RC_OK ? rc : xml_error(writer, rc, err, "%s", why.text);
}
