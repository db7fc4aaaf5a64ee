/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/webxml_reader.h"

#include "container/percent.h"
#include "session/buf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define IN_JAVA "it makes sense in Java only"

struct servlet_config *webxml_servlet_find(struct context *c, const char *name)
{
    for (size_t i = 0; i < c->servlet_count; i++)
        if (strcmp(c->servlets[i].name, name) == 0)
            return &c->servlets[i];
    return NULL;
}

struct servlet_config *webxml_servlet_add(struct context *c, const char *name,
                                          const char *class_name)
{
    struct servlet_config *s = GROW(c->servlets, c->servlet_count);

    *s = (struct servlet_config){
        .context = c,
        .name = mem_strdup(name),
        .class_name = mem_strdup(class_name),
        .load_on_startup = -1,
    };
    return s;
}

/* Of the servlet that was added last. */
static struct servlet_config *servlet_last(struct webxml *w)
{
    return &w->context->servlets[w->context->servlet_count - 1];
}

static enum rc read_init_param(struct webxml *w, const struct xml_element *e)
{
    return webxml_param(w, e, &servlet_last(w)->params);
}

static enum rc read_async(struct webxml *w, const struct xml_element *e)
{
    return webxml_bool(w, e, &servlet_last(w)->async_supported);
}

static enum rc read_load_on_startup(struct webxml *w,
                                    const struct xml_element *e)
{
    int64_t n = 0; /* an empty element means: at the start, any time */
    enum rc rc = RC_OK;

    if (e->text[0])
        rc = webxml_int(w, e, INT_MIN, INT_MAX, &n);
    servlet_last(w)->load_on_startup = (int)n;
    return rc;
}

static const struct webxml_rule servlet_rules[] = {
    {.name = "servlet-name", .ignored = ""},
    {.name = "servlet-class", .ignored = ""},
    {.name = "init-param", .read = read_init_param},
    {.name = "load-on-startup", .read = read_load_on_startup},
    {.name = "async-supported", .read = read_async},
    {.name = "description", .ignored = ""},
    {.name = "display-name", .ignored = ""},
    {.name = "icon", .ignored = ""},
    {.name = "jsp-file", .refused = "there are no JSPs; name a servlet-class"},
    {.name = "enabled", .refused = "remove the servlet and its mappings"},
    {.name = "multipart-config", .ignored = "there are no multipart forms"},
    {.name = "run-as", .ignored = IN_JAVA},
    {.name = "security-role-ref", .ignored = IN_JAVA},
    {.name = NULL},
};

enum rc webxml_servlet(struct webxml *w, const struct xml_element *e)
{
    const char *name, *class_name = NULL;
    enum rc rc = webxml_text(w, e, "servlet-name", &name);

    if (rc == RC_OK && !xml_child(e, "jsp-file", NULL))
        rc = webxml_text(w, e, "servlet-class", &class_name);
    if (rc != RC_OK)
        return rc;
    if (webxml_servlet_find(w->context, name))
        return xml_error(e, RC_INVALID, w->err,
                         "a second servlet called %.64s: give it another name",
                         name);
    webxml_servlet_add(w->context, name, class_name ? class_name : "")->line =
        e->line;
    return webxml_children(w, e, servlet_rules);
}

const struct servlet_mapping *webxml_mapping_find(const struct context *c,
                                                  const char *pattern)
{
    for (size_t i = 0; i < c->mapping_count; i++)
        if (strcmp(c->mappings[i].pattern, pattern) == 0)
            return &c->mappings[i];
    return NULL;
}

/* After the last webxml_servlet_add: mappings point into that array. */
void webxml_mapping_add(struct context *c, const char *pattern,
                        struct servlet_config *s, enum session_wish wish)
{
    *GROW(c->mappings, c->mapping_count) = (struct servlet_mapping){
        .pattern = mem_strdup(pattern), .servlet = s, .wish = wish};
}

/* A star means something at the end of "/x/" and before an extension; anywhere
 * else it would be a plain character, which nobody who writes it wants. */
static bool pattern_is_legal(const char *pattern)
{
    const char *star = strchr(pattern, '*');

    if (strncmp(pattern, "*.", 2) == 0)
        return pattern[2] && !strchr(pattern, '/') && !strchr(pattern + 1, '*');
    if (star && (star[1] || star == pattern || star[-1] != '/'))
        return false;
    return pattern[0] == '\0' || pattern[0] == '/';
}

static enum rc read_wish(struct webxml *w, const struct xml_element *e,
                         enum session_wish *wish)
{
    const char *text = xml_child_text(e, "session");

    *wish = SESSION_WISH_WRITE;
    if (!text || strcmp(text, "write") == 0)
        return RC_OK;
    if (strcmp(text, "read") == 0)
        *wish = SESSION_WISH_READ;
    else if (strcmp(text, "none") == 0)
        *wish = SESSION_WISH_NONE;
    else
        return xml_error(e, RC_INVALID, w->err,
                         "<session>%.64s</session>: say none, read or write",
                         text);
    return RC_OK;
}

static enum rc add_pattern(struct webxml *w, const struct xml_element *e,
                           const char *pattern, struct servlet_config *s,
                           enum session_wish wish)
{
    if (!pattern_is_legal(pattern))
        return xml_error(e, RC_INVALID, w->err,
                         "<url-pattern>%.64s</url-pattern>: write /name, "
                         "/name/*, *.extension, / or nothing",
                         e->text);
    if (webxml_mapping_find(w->context, pattern))
        return xml_error(e, RC_INVALID, w->err,
                         "<url-pattern>%.64s</url-pattern> leads to two "
                         "servlets: keep one of them",
                         e->text);
    webxml_mapping_add(w->context, pattern, s, wish);
    return RC_OK;
}

/* Written as in a URL, compared with a path that has been decoded. */
static enum rc read_pattern(struct webxml *w, const struct xml_element *e,
                            struct servlet_config *s, enum session_wish wish)
{
    char *pattern = mem_strdup(e->text);
    ssize_t len = percent_decode(pattern, pattern, strlen(pattern), false);
    enum rc rc;

    if (len >= 0)
        pattern[len] = '\0';
    if (len < 0 || strlen(pattern) != (size_t)len ||
        !utf8_valid(pattern, (size_t)len))
        rc = xml_error(e, RC_INVALID, w->err,
                       "<url-pattern>%.64s</url-pattern>: a %% and what "
                       "follows it is no character: write %%25 for a %%",
                       e->text);
    else
        rc = add_pattern(w, e, pattern, s, wish);
    free(pattern);
    return rc;
}

enum rc webxml_mapping(struct webxml *w, const struct xml_element *e)
{
    const struct xml_element *p = NULL;
    struct servlet_config *s;
    enum session_wish wish;
    const char *name;
    enum rc rc = webxml_text(w, e, "servlet-name", &name);

    if (rc == RC_OK)
        rc = read_wish(w, e, &wish);
    if (rc != RC_OK)
        return rc;
    s = webxml_servlet_find(w->context, name);
    if (!s)
        return xml_error(e, RC_INVALID, w->err,
                         "there is no <servlet> called %.64s: add it, or "
                         "correct the name",
                         name);
    if (!xml_child(e, "url-pattern", NULL))
        return xml_error(e, RC_INVALID, w->err,
                         "<servlet-mapping> without <url-pattern>: add it");
    while (rc == RC_OK && (p = xml_child(e, "url-pattern", p)))
        rc = read_pattern(w, p, s, wish);
    return rc;
}
