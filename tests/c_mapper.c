/* SPDX-License-Identifier: Apache-2.0
 *
 * c_mapper.c: the order of the Servlet specification, 12.1 and 12.2. */
#include "config.h"

#include "container/mapper.h"
#include "tests/unit.h"

#include <string.h>

static struct servlet_config servlets[8];
static struct servlet_mapping of_root[] = {
    {.pattern = (char *)"/", .servlet = &servlets[0]},
};
static struct servlet_mapping of_shop[] = {
    {.pattern = (char *)"/", .servlet = &servlets[0]},
    {.pattern = (char *)"", .servlet = &servlets[1]},
    {.pattern = (char *)"*.html", .servlet = &servlets[2]},
    {.pattern = (char *)"/a/*", .servlet = &servlets[3]},
    {.pattern = (char *)"/a/b/*", .servlet = &servlets[4]},
    {.pattern = (char *)"/a/b/c",
     .servlet = &servlets[5],
     .wish = SESSION_WISH_READ},
    {.pattern = (char *)"/a/list.html",
     .servlet = &servlets[6],
     .wish = SESSION_WISH_NONE},
};
static struct context root = {
    .path = (char *)"", .mappings = of_root, .mapping_count = 1};
static struct context shop = {
    .path = (char *)"/shop", .mappings = of_shop, .mapping_count = 7};
static struct context cart = {.path = (char *)"/shop/cart"};

struct row {
    const char *path;
    const struct context *context;
    int servlet; /* -1: none */
    size_t servlet_path_len;
};

static void check(struct context **contexts, size_t count,
                  const struct row *rows, size_t row_count)
{
    struct mapper *m = mapper_new(contexts, count);
    struct mapping found;

    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        mapper_map(m, row->path, &found);
        if (found.context != row->context)
            unit_check_str(found.context ? found.context->path : NULL,
                           row->context ? row->context->path : NULL, row->path,
                           __FILE__, __LINE__, false);
        unit_check_int(found.servlet ? found.servlet - servlets : -1,
                       row->servlet, row->path, __FILE__, __LINE__, false);
        unit_check_int((int64_t)found.servlet_path_len,
                       (int64_t)row->servlet_path_len, row->path, __FILE__,
                       __LINE__, false);
        if (found.context)
            unit_check_int((int64_t)found.context_len,
                           (int64_t)strlen(found.context->path), row->path,
                           __FILE__, __LINE__, false);
    }
    mapper_free(&m);
    CU_ASSERT_PTR_NULL(m);
}

static void inside_a_context(void)
{
    static const struct row rows[] = {
        {"/shop/", &shop, 1, 0},  /* "" is the root alone */
        {"/shop/x", &shop, 0, 2}, /* default */
        {"/shop/x/y", &shop, 0, 4},
        {"/shop/x.html", &shop, 2, 7}, /* extension */
        {"/shop/x/y.html", &shop, 2, 9},
        {"/shop/x.html/y", &shop, 0, 9}, /* of the last segment only */
        {"/shop/.html", &shop, 2, 6},
        {"/shop/x.htm", &shop, 0, 6},
        {"/shop/x.xhtml", &shop, 0, 8},
        {"/shop/a", &shop, 3, 2}, /* prefix, without its slash */
        {"/shop/a/", &shop, 3, 2},
        {"/shop/a/x", &shop, 3, 2},
        {"/shop/ax", &shop, 0, 3},
        {"/shop/a/x.html", &shop, 3, 2}, /* prefix before extension */
        {"/shop/a/b", &shop, 4, 4},      /* the longest prefix */
        {"/shop/a/b/x", &shop, 4, 4},
        {"/shop/a/b/c", &shop, 5, 6}, /* exact first */
        {"/shop/a/b/c/", &shop, 4, 4},
        {"/shop/a/list.html", &shop, 6, 12},
    };
    check((struct context *[]){&root, &shop}, 2, rows,
          sizeof rows / sizeof rows[0]);
}

static void between_contexts(void)
{
    static const struct row rows[] = {
        {"/", &root, 0, 1},
        {"/shopping", &root, 0, 9}, /* no application of that name */
        {"/shop/x", &shop, 0, 2},
        {"/shop/cart", &cart, -1, 0},
        {"/shop/cart/x", &cart, -1, 0}, /* no servlet at all */
        {"/shop/carts", &shop, 0, 6},
        {"/Shop/x", &root, 0, 7}, /* names differ by case */
    };
    check((struct context *[]){&shop, &root, &cart}, 3, rows,
          sizeof rows / sizeof rows[0]);
}

static void nobody_at_the_root(void)
{
    static const struct row rows[] = {
        {"/", NULL, -1, 0},
        {"/x", NULL, -1, 0},
        {"/shop/", &shop, 1, 0},
    };
    check((struct context *[]){&shop}, 1, rows, sizeof rows / sizeof rows[0]);
    check(NULL, 0, rows, 2);
}

static void a_context_without_its_slash(void)
{
    struct context *all[] = {&root, &shop};
    struct mapper *m = mapper_new(all, 2);
    struct mapping found;

    mapper_map(m, "/shop", &found);
    CU_ASSERT_PTR_EQUAL(found.context, &shop);
    CHECK_INT(found.redirect_to_slash, true);
    CU_ASSERT_PTR_NULL(found.servlet);
    mapper_map(m, "/shop/", &found);
    CHECK_INT(found.redirect_to_slash, false);
    mapper_map(m, "/", &found);
    CHECK_INT(found.redirect_to_slash, false);
    mapper_free(&m);
}

static void wishes(void)
{
    struct context *all[] = {&shop};
    struct mapper *m = mapper_new(all, 1);
    struct mapping found;

    mapper_map(m, "/shop/a/b/c", &found);
    CHECK_INT(found.wish, SESSION_WISH_READ);
    mapper_map(m, "/shop/a/list.html", &found);
    CHECK_INT(found.wish, SESSION_WISH_NONE);
    mapper_map(m, "/shop/a/x", &found);
    CHECK_INT(found.wish, SESSION_WISH_WRITE);
    mapper_map(m, "/none", &found);
    CHECK_INT(found.wish, SESSION_WISH_NONE);
    mapper_free(&m);
}

UNIT_MAIN("mapper", CASE(inside_a_context), CASE(between_contexts),
          CASE(nobody_at_the_root), CASE(a_context_without_its_slash),
          CASE(wishes))
