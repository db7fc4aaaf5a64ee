/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/loader.h"

#include "session/buf.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_library(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

static enum rc open_one(struct context *context, const char *path,
                        struct err *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        return err_set(err, RC_INVALID,
                       "%s: cannot be loaded: %s: build it for this machine "
                       "against <margay/servlet.h> of this version",
                       path, dlerror());
    context->libraries = mem_resize(
        context->libraries, (context->library_count + 1) * sizeof(void *));
    context->libraries[context->library_count++] = handle;
    return RC_OK;
}

enum rc loader_open(struct context *context, struct err *err)
{
    char folder[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
    struct dirent **names = NULL;
    enum rc rc = RC_OK;
    int count;

    snprintf(folder, sizeof folder, "%s/WEB-INF/lib", context->doc_base);
    count = scandir(folder, &names, is_library, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (rc == RC_OK)
            rc = open_one(context, path, err);
        free(names[i]);
    }
    free(names);
    if (rc != RC_OK)
        loader_close(context);
    return rc;
}

void loader_close(struct context *context)
{
    while (context->library_count > 0)
        dlclose(context->libraries[--context->library_count]);
    free(context->libraries);
    context->libraries = NULL;
}

/* dlsym looks into a library's own libraries too; what counts is that the
 * symbol is an object and lies in this very file. */
static const void *object_in(void *library, const char *name, size_t *size)
{
    struct link_map *map = NULL;
    const ElfW(Sym) *entry = NULL;
    Dl_info info;
    void *found = dlsym(library, name);

    if (!found || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 ||
        !dladdr1(found, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry)
        return NULL;
    if (!info.dli_fname || strcmp(info.dli_fname, map->l_name) != 0 ||
        ELF64_ST_TYPE(entry->st_info) != STT_OBJECT)
        return NULL;
    *size = entry->st_size;
    return found;
}

/* kind: the type that the application must have declared it with. */
static enum rc find(const struct context *context, const char *name,
                    const char *kind, size_t wanted, const void **out,
                    size_t *size, struct err *err)
{
    *size = 0;
    *out = NULL;
    for (size_t i = 0; i < context->library_count && !*out; i++)
        *out = object_in(context->libraries[i], name, size);
    if (!*out && context->library_count == 0)
        return err_set(err, RC_INVALID,
                       "class %s: %s/WEB-INF/lib holds no .so: put the "
                       "application's library there",
                       name, context->doc_base);
    if (!*out)
        return err_set(err, RC_INVALID,
                       "class %s: no library in %s/WEB-INF/lib exports it: "
                       "declare it there as \"const struct %s %s\"",
                       name, context->doc_base, kind, name);
    if (*size < wanted)
        return err_set(err, RC_INVALID,
                       "class %s: is smaller than a struct %s: declare it as "
                       "one and build against <margay/servlet.h> of this "
                       "version",
                       name, kind);
    return RC_OK;
}

enum rc loader_servlet(const struct context *context, const char *class_name,
                       const struct servlet **out, struct err *err)
{
    const void *found;
    size_t size;
    enum rc rc =
        find(context, class_name, "servlet", sizeof **out, &found, &size, err);

    if (rc != RC_OK)
        return rc;
    *out = found;
    if ((*out)->abi != 0 && (*out)->abi != MARGAY_SERVLET_ABI)
        return err_set(err, RC_INVALID,
                       "class %s: was built for version %d of the servlet "
                       "API, this server has %d: build it again",
                       class_name, (*out)->abi, MARGAY_SERVLET_ABI);
    if (!(*out)->service)
        return err_set(err, RC_INVALID,
                       "class %s: its struct servlet has no .service",
                       class_name);
    return RC_OK;
}

/* A compiler that watches memory pads objects, by less than half their size. */
_Static_assert(sizeof(struct http_session_listener) >=
                   3 * sizeof(struct servlet_context_listener),
               "the size tells the kind of a listener");

enum rc loader_listener(const struct context *context, const char *class_name,
                        const struct http_session_listener **session,
                        const struct servlet_context_listener **application,
                        struct err *err)
{
    const void *found;
    size_t size;
    enum rc rc = find(context, class_name, "http_session_listener",
                      sizeof **application, &found, &size, err);

    *session = NULL;
    *application = NULL;
    if (rc != RC_OK)
        return rc;
    if (size >= sizeof **session)
        *session = found;
    else
        *application = found;
    return RC_OK;
}
