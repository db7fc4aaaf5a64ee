/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include "container/properties.h"
#include "session/buf.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *reader_context_path(struct reader *r, const char *folder_name)
{
    size_t size = strlen(folder_name) + 2;
    char *path;

    if (strcmp(folder_name, "ROOT") == 0)
        return reader_strdup(r, "");
    path = reader_alloc(r, size);
    snprintf(path, size, "/%s", folder_name);
    for (char *c = path; *c; c++)
        if (*c == '#')
            *c = '/';
    return path;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* META-INF/context.xml, or NULL in *root. */
static enum rc read_context_xml(struct reader *r, const char *folder,
                                const struct xml_element **root)
{
    char *file = reader_path(r, folder, "META-INF/context.xml");
    struct xml_document *doc = NULL;
    struct err why = {""};
    enum rc rc = xml_read_file(&doc, file, properties_lookup,
                               r->config->properties, &why);

    *root = NULL;
    if (rc == RC_ABSENT)
        return RC_OK;
    if (rc != RC_OK)
        return err_set(r->err, rc, "%s", why.text);
    reader_keep(r, doc);
    *root = doc->root;
    if (strcmp(doc->root->name, "Context") != 0)
        return reader_error(r, doc->root, RC_INVALID,
                            "<%s> in a context.xml: it begins with <Context>",
                            doc->root->name);
    return RC_OK;
}

static enum rc deploy(struct reader *r, const char *name)
{
    const struct xml_element *root = NULL;
    char *folder = reader_path(r, r->config->app_base, name);
    size_t len = strlen(name);
    enum rc rc;

    if (len > 4 && strcmp(name + len - 4, ".war") == 0 &&
        !reader_is_folder(folder)) {
        notes_warn(&r->config->notes, NULL,
                   "%s is not deployed: unpack it into a folder", folder);
        return RC_OK;
    }
    if (!reader_is_folder(folder) ||
        server_config_context(r->config, reader_context_path(r, name)))
        return RC_OK;
    rc = read_context_xml(r, folder, &root);
    return rc == RC_OK ? reader_context(r, root, name, &r->config->level) : rc;
}

enum rc reader_deploy(struct reader *r)
{
    struct dirent **names = NULL;
    enum rc rc = RC_OK;
    int count = scandir(r->config->app_base, &names, is_visible, alphasort);

    if (count < 0)
        return err_set(r->err, RC_INVALID,
                       "%s: appBase %s: %s: name a folder that can be read",
                       r->config->file, r->config->app_base, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (rc == RC_OK)
            rc = deploy(r, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return rc;
}
