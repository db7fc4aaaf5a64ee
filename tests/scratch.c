/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/scratch.h"

#include "managers/managers.h"
#include "session/buf.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void list_kinds(struct scratch *s)
{
    const struct manager_ops *m;
    const struct store_ops *t;
    size_t i;

    for (i = 0; i < 8 && (m = managers_at(i)); i++) {
        struct kind_facts f = managers_facts(m);
        s->managers[i] = (struct manager_kind){
            f.name,        f.summary,      m, f.options, f.options_size,
            f.needs_store, f.needs_cluster};
    }
    s->kinds.managers = s->managers;
    s->kinds.manager_count = i;
    for (i = 0; i < 8 && (t = stores_at(i)); i++) {
        struct kind_facts f = stores_facts(t);
        s->stores[i] = (struct store_kind){f.name, f.summary, t, f.options,
                                           f.options_size};
    }
    s->kinds.stores = s->stores;
    s->kinds.store_count = i;
    s->kinds.cluster = &cluster_tcp;
}

void scratch_init(struct scratch *s)
{
    char real[PATH_MAX];

    *s = (struct scratch){0};
    snprintf(s->folder, sizeof s->folder, "%s/scratch-XXXXXX", unit_tmpdir());
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->folder));
    CU_ASSERT_PTR_NOT_NULL_FATAL(realpath(s->folder, real));
    snprintf(s->folder, sizeof s->folder, "%s", real);
    scratch_mkdir(s, "webapps");
    s->properties = properties_new();
    list_kinds(s);
}

static void forget(struct scratch *s)
{
    server_config_free(&s->config);
    while (s->warning_count > 0)
        free(s->warnings[--s->warning_count]);
    s->err.text[0] = '\0';
}

void scratch_release(struct scratch *s)
{
    forget(s);
    properties_free(&s->properties);
}

void scratch_mkdir(struct scratch *s, const char *path)
{
    char full[2 * PATH_MAX];

    snprintf(full, sizeof full, "%s/%s/", s->folder, path);
    for (char *c = full + strlen(s->folder) + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        mkdir(full, 0700);
        *c = '/';
    }
}

void scratch_write(struct scratch *s, const char *path, const char *text)
{
    char full[2 * PATH_MAX];
    const char *slash = strrchr(path, '/');
    FILE *f;

    if (slash) {
        snprintf(full, sizeof full, "%.*s", (int)(slash - path), path);
        scratch_mkdir(s, full);
    }
    snprintf(full, sizeof full, "%s/%s", s->folder, path);
    f = fopen(full, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_FATAL(fputs(text, f) >= 0);
    CU_ASSERT_FATAL(fclose(f) == 0);
}

static const char *without_folder(const struct scratch *s, const char *text)
{
    size_t len = strlen(s->folder);
    return strncmp(text, s->folder, len) == 0 && text[len] == '/'
               ? text + len + 1
               : text;
}

static void keep_warning(void *user, const char *line)
{
    struct scratch *s = user;

    CU_ASSERT_FATAL(s->warning_count < 64);
    s->warnings[s->warning_count++] = mem_strdup(without_folder(s, line));
}

enum rc scratch_read(struct scratch *s)
{
    char file[2 * PATH_MAX], state[2 * PATH_MAX];
    struct config_input input = {
        .file = file,
        .properties = s->properties,
        .kinds = s->kinds,
        .notes = {.warn = keep_warning, .user = s},
        .state_dir = state,
    };

    forget(s);
    snprintf(file, sizeof file, "%s/server.xml", s->folder);
    snprintf(state, sizeof state, "%s/state", s->folder);
    return server_config_read(&input, &s->config, &s->err);
}

enum rc scratch_read_text(struct scratch *s, const char *text)
{
    scratch_write(s, "server.xml", text);
    return scratch_read(s);
}

const char *scratch_error(const struct scratch *s)
{
    return without_folder(s, s->err.text);
}

bool scratch_warned(const struct scratch *s, const char *line)
{
    for (size_t i = 0; i < s->warning_count; i++)
        if (strcmp(s->warnings[i], line) == 0)
            return true;
    for (size_t i = 0; i < s->warning_count; i++)
        printf("  warned: %s\n", s->warnings[i]);
    printf("  missing: %s\n", line);
    return false;
}
