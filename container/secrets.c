/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/secrets.h"

#include "container/context.h"
#include "container/instance.h"
#include "container/serverxml.h"
#include "session/cluster.h"

#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

static void look_at(const char *path, const struct xml_element *at,
                    const struct notes *notes)
{
    const char *who = NULL;
    struct stat st;

    if (!path || !*path || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    if (st.st_mode & S_IROTH)
        who = "everybody on this machine";
    else if ((st.st_mode & S_IRGRP) && st.st_uid == geteuid() && st.st_uid != 0)
        who = "its group";
    if (who)
        notes_warn(notes, at,
                   "%s holds a secret, and %s can read it: chmod 600 it (a "
                   "service of systemd gets at it by LoadCredential=, see "
                   "margay@.service)",
                   path, who);
}

static const char *text_of(const struct option *table, const void *options,
                           const char *name)
{
    const struct option *o = table ? option_find(table, name) : NULL;

    return o && o->kind == OPTION_STRING
               ? *(char *const *)((const char *)options + o->offset)
               : NULL;
}

static void look_at_stores(const struct manager_config *m,
                           const struct notes *notes)
{
    for (; m; m = m->previous)
        if (m->store)
            look_at(
                text_of(m->store->kind->options, m->store->options, "urlFile"),
                m->store->at, notes);
}

void secrets_warn(const struct instance *in, const struct notes *notes)
{
    const struct server_config *config = in->config;
    const struct cluster_config *c = config->cluster;
    const struct manager_config *last = NULL;

    if (config->has_realm)
        look_at(config->realm.admin_password_file, config->realm_at, notes);
    if (c)
        look_at(text_of(c->ops->table("Cluster", NULL), c->options, "keyFile"),
                c->at, notes);
    for (size_t i = 0; i < in->context_count; i++) {
        const struct manager_config *m = in->contexts[i]->config->level.manager;
        if (m != last)
            look_at_stores(m, notes);
        last = m;
    }
}
