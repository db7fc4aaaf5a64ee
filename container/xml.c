/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/xml.h"

#include "container/xml_expand.h"
#include "session/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <expat.h>

/* A document while it is read. */
struct reading {
    XML_Parser parser;
    struct xml_document *doc;
    xml_lookup_fn *lookup;
    void *user;
    struct err *err;
    enum rc rc; /* the first failure; the handlers do nothing after it */
    size_t elements, depth;
    struct {
        struct xml_element *element, *last_child;
        struct buf text;
    } open[XML_MAX_DEPTH];
};

static bool fail(struct reading *r, enum rc rc, int line, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static bool fail(struct reading *r, enum rc rc, int line, const char *format,
                 ...)
{
    char text[384];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (r->rc == RC_OK) {
        r->rc = err_set(r->err, rc, "%s:%d: %s", r->doc->file, line, text);
        XML_StopParser(r->parser, XML_FALSE);
    }
    return false;
}

static int here(const struct reading *r)
{
    return (int)XML_GetCurrentLineNumber(r->parser);
}

/* The text with its properties; NULL: failed. The caller frees it. */
static char *expand(struct reading *r, const char *text, int line)
{
    struct buf b;
    struct err why = {""};
    char *value = NULL;
    buf_init(&b, XML_MAX_VALUE);
    enum rc rc = xml_expand(&b, text, r->lookup, r->user, &why);
    if (rc == RC_OK)
        value = mem_strdup(buf_str(&b));
    else
        fail(r, rc, line, "%s", why.text);
    buf_release(&b);
    return value;
}

/* ---- handlers ---- */

static bool set_attributes(struct reading *r, struct xml_element *e,
                           const XML_Char **pairs)
{
    size_t count = 0;
    while (pairs[count * 2])
        count++;
    if (count > XML_MAX_ATTRIBUTES)
        return fail(r, RC_TOOBIG, e->line,
                    "<%.64s> has more than %d attributes", e->name,
                    XML_MAX_ATTRIBUTES);
    struct xml_attribute *attributes = mem_zero(count * sizeof *attributes);
    e->attributes = attributes;
    e->attribute_count = count;
    for (size_t i = 0; i < count; i++) {
        attributes[i].name = mem_strdup(pairs[i * 2]);
        attributes[i].value = expand(r, pairs[i * 2 + 1], e->line);
        if (!attributes[i].value)
            return false;
    }
    return true;
}

static void link_element(struct reading *r, struct xml_element *e)
{
    if (!r->depth) {
        r->doc->root = e;
        return;
    }
    size_t top = r->depth - 1;
    e->parent = r->open[top].element;
    if (r->open[top].last_child)
        r->open[top].last_child->next = e;
    else
        e->parent->children = e;
    r->open[top].last_child = e;
}

static void XMLCALL on_start(void *user, const XML_Char *name,
                             const XML_Char **pairs)
{
    struct reading *r = user;
    if (r->rc != RC_OK)
        return;
    if (r->depth == XML_MAX_DEPTH || r->elements == XML_MAX_ELEMENTS) {
        fail(r, RC_TOOBIG, here(r),
             "more than %d elements, or %d within each other: this is no "
             "configuration file",
             XML_MAX_ELEMENTS, XML_MAX_DEPTH);
        return;
    }
    const char *colon = strrchr(name, ':');
    struct xml_element *e = mem_zero(sizeof *e);
    e->name = mem_strdup(colon && colon[1] ? colon + 1 : name);
    e->file = r->doc->file;
    e->line = here(r);
    link_element(r, e);
    r->elements++;
    r->open[r->depth].element = e;
    r->open[r->depth].last_child = NULL;
    buf_init(&r->open[r->depth].text, XML_MAX_BYTES);
    r->depth++;
    set_attributes(r, e, pairs);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    struct reading *r = user;
    (void)name;
    if (r->rc != RC_OK)
        return;
    r->depth--;
    struct xml_element *e = r->open[r->depth].element;
    struct buf *text = &r->open[r->depth].text;
    const char *start = buf_str(text);
    while (is_blank(*start))
        start++;
    size_t len = strlen(start);
    while (len && is_blank(start[len - 1]))
        len--;
    char *raw = mem_strndup(start, len);
    e->text = expand(r, raw, e->line);
    free(raw);
    buf_release(text);
}

static void XMLCALL on_text(void *user, const XML_Char *text, int len)
{
    struct reading *r = user;
    if (r->rc != RC_OK || !r->depth)
        return;
    if (!buf_add(&r->open[r->depth - 1].text, text, (size_t)len))
        fail(r, RC_TOOBIG, here(r), "a text of more than %d bytes",
             XML_MAX_BYTES);
}

static void XMLCALL on_doctype(void *user, const XML_Char *name,
                               const XML_Char *system, const XML_Char *public,
                               int internal)
{
    struct reading *r = user;
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    fail(r, RC_INVALID, here(r),
         "DOCTYPE and entities are not accepted: take the <!DOCTYPE ...> out");
}

/* ---- reading ---- */

static void expat_failed(struct reading *r)
{
    enum XML_Error code = XML_GetErrorCode(r->parser);
    if (code == XML_ERROR_UNDEFINED_ENTITY)
        fail(r, RC_INVALID, here(r),
             "unknown entity: &lt; &gt; &amp; &quot; &apos; and &#NUMBER; are "
             "known; write any other character itself");
    else
        fail(r, RC_INVALID, here(r), "%s: correct the XML before this place",
             XML_ErrorString(code));
}

static void reading_run(struct reading *r, const char *bytes, size_t len)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    if (XML_Parse(r->parser, bytes, (int)len, 1) != XML_STATUS_OK)
        expat_failed(r);
    while (r->depth)
        buf_release(&r->open[--r->depth].text);
}

enum rc xml_read(struct xml_document **out, const char *file, const char *bytes,
                 size_t len, xml_lookup_fn *lookup, void *user, struct err *err)
{
    if (len > XML_MAX_BYTES)
        return err_set(err, RC_TOOBIG,
                       "%s:1: more than %d bytes: this is no configuration "
                       "file",
                       file, XML_MAX_BYTES);
    struct xml_document *doc = mem_zero(sizeof *doc);
    doc->file = mem_strdup(file);
    struct reading r = {
        .parser = XML_ParserCreate(NULL),
        .doc = doc,
        .lookup = lookup,
        .user = user,
        .err = err,
    };
    if (r.parser) {
        reading_run(&r, bytes, len);
        XML_ParserFree(r.parser);
    } else {
        r.rc =
            err_set(err, RC_UNAVAILABLE, "%s:1: no memory for a parser", file);
    }
    if (r.rc == RC_OK)
        *out = doc;
    else
        xml_free(&doc);
    return r.rc;
}

static enum rc read_all(struct buf *b, const char *file, struct err *err)
{
    enum rc rc = RC_OK;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? RC_ABSENT : RC_UNAVAILABLE,
                       "%s:1: cannot be opened (%m): check the name and who "
                       "may read it",
                       file);
    char chunk[8192];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc =
                err_set(err, RC_UNAVAILABLE, "%s:1: cannot be read (%m)", file);
            break;
        }
        if (!buf_add(b, chunk, (size_t)n)) {
            rc = err_set(err, RC_TOOBIG,
                         "%s:1: more than %d bytes: this is no configuration "
                         "file",
                         file, XML_MAX_BYTES);
            break;
        }
    }
    close(fd);
    return rc;
}

enum rc xml_read_file(struct xml_document **out, const char *file,
                      xml_lookup_fn *lookup, void *user, struct err *err)
{
    struct buf b;
    buf_init(&b, XML_MAX_BYTES);
    enum rc rc = read_all(&b, file, err);
    if (rc == RC_OK)
        rc = xml_read(out, file, buf_str(&b), b.len, lookup, user, err);
    buf_release(&b);
    return rc;
}

/* Recursion goes as deep as XML_MAX_DEPTH. */
static void element_free(struct xml_element *e)
{
    while (e) {
        struct xml_element *next = e->next;
        element_free(e->children);
        for (size_t i = 0; i < e->attribute_count; i++) {
            free((char *)e->attributes[i].name);
            free((char *)e->attributes[i].value);
        }
        free((struct xml_attribute *)e->attributes);
        free((char *)e->name);
        free((char *)e->text);
        free(e);
        e = next;
    }
}

void xml_free(struct xml_document **doc)
{
    if (!*doc)
        return;
    element_free((*doc)->root);
    free((*doc)->file);
    free(*doc);
    *doc = NULL;
}

/* ---- the tree ---- */

const char *xml_get(const struct xml_element *e, const char *name)
{
    for (size_t i = 0; i < e->attribute_count; i++)
        if (!strcmp(e->attributes[i].name, name))
            return e->attributes[i].value;
    return NULL;
}

const struct xml_element *xml_child(const struct xml_element *e,
                                    const char *name,
                                    const struct xml_element *after)
{
    const struct xml_element *c = after ? after->next : e->children;
    while (c && name && strcmp(c->name, name) != 0)
        c = c->next;
    return c;
}

const char *xml_child_text(const struct xml_element *e, const char *name)
{
    const struct xml_element *c = xml_child(e, name, NULL);
    return c ? c->text : NULL;
}

bool xml_is_meta(const char *attribute)
{
    return !strcmp(attribute, "xmlns") || !strncmp(attribute, "xmlns:", 6) ||
           !strncmp(attribute, "xsi:", 4) || !strncmp(attribute, "xml:", 4);
}

enum rc xml_error(const struct xml_element *e, enum rc rc, struct err *err,
                  const char *format, ...)
{
    char text[sizeof err->text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return err_set(err, rc, "%s:%d: %s", e->file, e->line, text);
}
