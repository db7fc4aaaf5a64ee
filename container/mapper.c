/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/mapper.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* One context's mappings, sorted into the four kinds of the specification. */
struct rule {
    const char *text; /* the pattern without its star */
    size_t len;
    const struct servlet_mapping *mapping;
};
struct rules {
    struct rule *items;
    size_t count;
};

struct site {
    struct context *context;
    const char *path;
    size_t path_len;
    struct rules exact, prefixes, extensions; /* the longest text first */
    const struct servlet_mapping *root;       /* "": the context's own "/" */
    const struct servlet_mapping *otherwise;  /* "/" */
};

struct mapper {
    struct site *sites; /* the longest path first */
    size_t count;
};

static int by_length(const void *a, const void *b)
{
    const struct rule *x = a, *y = b;
    return x->len < y->len ? 1 : x->len > y->len ? -1 : 0;
}

static void rules_add(struct rules *rules, const char *text, size_t len,
                      const struct servlet_mapping *mapping)
{
    rules->items =
        mem_resize(rules->items, (rules->count + 1) * sizeof *rules->items);
    rules->items[rules->count++] =
        (struct rule){.text = text, .len = len, .mapping = mapping};
}

static void rules_sort(struct rules *rules)
{
    if (rules->count > 1)
        qsort(rules->items, rules->count, sizeof *rules->items, by_length);
}

static void site_add(struct site *site, const struct servlet_mapping *m)
{
    const char *pattern = m->pattern;
    size_t len = strlen(pattern);

    if (len == 0)
        site->root = m;
    else if (strcmp(pattern, "/") == 0)
        site->otherwise = m;
    else if (strncmp(pattern, "*.", 2) == 0)
        rules_add(&site->extensions, pattern + 1, len - 1, m);
    else if (len >= 2 && strcmp(pattern + len - 2, "/*") == 0)
        rules_add(&site->prefixes, pattern, len - 2, m);
    else
        rules_add(&site->exact, pattern, len, m);
}

static void site_init(struct site *site, struct context *context)
{
    *site = (struct site){.context = context,
                          .path = context->path,
                          .path_len = strlen(context->path)};
    for (size_t i = 0; i < context->mapping_count; i++)
        site_add(site, &context->mappings[i]);
    rules_sort(&site->exact);
    rules_sort(&site->prefixes);
    rules_sort(&site->extensions);
}

static int by_path_length(const void *a, const void *b)
{
    const struct site *x = a, *y = b;
    return x->path_len < y->path_len ? 1 : x->path_len > y->path_len ? -1 : 0;
}

struct mapper *mapper_new(struct context **contexts, size_t count)
{
    struct mapper *mapper = mem_zero(sizeof *mapper);

    mapper->sites = mem_zero((count + 1) * sizeof *mapper->sites);
    mapper->count = count;
    for (size_t i = 0; i < count; i++)
        site_init(&mapper->sites[i], contexts[i]);
    if (count > 1)
        qsort(mapper->sites, count, sizeof *mapper->sites, by_path_length);
    return mapper;
}

void mapper_free(struct mapper **mapper)
{
    if (!*mapper)
        return;
    for (size_t i = 0; i < (*mapper)->count; i++) {
        free((*mapper)->sites[i].exact.items);
        free((*mapper)->sites[i].prefixes.items);
        free((*mapper)->sites[i].extensions.items);
    }
    free((*mapper)->sites);
    free(*mapper);
    *mapper = NULL;
}

static const struct site *site_find(const struct mapper *mapper,
                                    const char *path, size_t len)
{
    for (size_t i = 0; i < mapper->count; i++) {
        const struct site *s = &mapper->sites[i];
        if (len >= s->path_len && memcmp(path, s->path, s->path_len) == 0 &&
            (path[s->path_len] == '/' || path[s->path_len] == '\0'))
            return s;
    }
    return NULL;
}

static const struct rule *find_exact(const struct rules *rules,
                                     const char *path, size_t len)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *r = &rules->items[i];
        if (r->len == len && memcmp(r->text, path, len) == 0)
            return r;
    }
    return NULL;
}

static const struct rule *find_prefix(const struct rules *rules,
                                      const char *path, size_t len)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *r = &rules->items[i];
        if (len >= r->len && memcmp(r->text, path, r->len) == 0 &&
            (len == r->len || path[r->len] == '/'))
            return r;
    }
    return NULL;
}

/* The extension is what follows the last dot of the last segment. */
static const struct rule *find_extension(const struct rules *rules,
                                         const char *path, size_t len)
{
    const char *slash, *dot;

    if (rules->count == 0)
        return NULL;
    slash = memrchr(path, '/', len);
    dot = memrchr(path, '.', len);
    if (!dot || (slash && dot < slash))
        return NULL;
    return find_exact(rules, dot, (size_t)(path + len - dot));
}

static void answer(struct mapping *out, const struct servlet_mapping *m,
                   size_t servlet_path_len)
{
    out->servlet = m->servlet;
    out->wish = m->wish;
    out->servlet_path_len = servlet_path_len;
}

/* path: behind the context path; it begins with '/'. */
static void site_map(const struct site *site, const char *path, size_t len,
                     struct mapping *out)
{
    const struct rule *r;

    if (site->root && len == 1)
        answer(out, site->root, 0);
    else if ((r = find_exact(&site->exact, path, len)))
        answer(out, r->mapping, len);
    else if ((r = find_prefix(&site->prefixes, path, len)))
        answer(out, r->mapping, r->len);
    else if ((r = find_extension(&site->extensions, path, len)))
        answer(out, r->mapping, len);
    else if (site->otherwise)
        answer(out, site->otherwise, len);
}

void mapper_map(const struct mapper *mapper, const char *path,
                struct mapping *out)
{
    size_t len = strlen(path);
    const struct site *site = site_find(mapper, path, len);

    *out = (struct mapping){.wish = SESSION_WISH_NONE};
    if (!site)
        return;
    out->context = site->context;
    out->context_len = site->path_len;
    if (len == site->path_len)
        out->redirect_to_slash = true;
    else
        site_map(site, path + site->path_len, len - site->path_len, out);
}
