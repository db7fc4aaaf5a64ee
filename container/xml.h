/* SPDX-License-Identifier: Apache-2.0
 *
 * xml.h: a configuration file as a small tree.
 *
 * What    server.xml, web.xml, context.xml and users.xml, read whole. What
 *         Java needs an XML parser's full strength for is refused: DOCTYPE,
 *         entities of one's own. Prefixes are tolerated: an element is known
 *         by the part after its colon, xmlns and xsi attributes are attributes
 *         to be skipped (xml_is_meta). xml.c is the one file that knows expat.
 * Values  In attributes and text, ${name} becomes the value that the caller's
 *         lookup knows, else the default of ${name:-default}, which may hold
 *         further ${...}. The value itself is not searched again. $${ is a
 *         literal ${. As in Tomcat an empty value is a value; unlike Tomcat,
 *         which leaves it standing, a name without value and default is an
 *         error.
 * Owns    The document owns every string and element of its tree.
 * Errors  Begin "FILE:LINE: " (the line where the element begins) and say what
 *         to do; they repeat names, never values. RC_ABSENT: no such file;
 *         RC_UNAVAILABLE: it cannot be read; RC_TOOBIG: over a limit below;
 *         RC_INVALID: all else.
 * Threads A finished tree is read only: any. */
#ifndef MARGAY_CONTAINER_XML_H
#define MARGAY_CONTAINER_XML_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>

#define XML_MAX_BYTES (1024 * 1024) /* of a file */
#define XML_MAX_DEPTH 64
#define XML_MAX_ELEMENTS 20000 /* Tomcat's own web.xml has 3,100 */
#define XML_MAX_ATTRIBUTES 64  /* of one element */
#define XML_MAX_VALUE 65536    /* bytes, once the properties stand in it */

struct xml_attribute {
    const char *name; /* with its prefix */
    const char *value;
};

struct xml_element {
    const char *name; /* without its prefix; never empty */
    const struct xml_attribute *attributes;
    size_t attribute_count;
    /* All character data directly within, without blanks at both ends; "" when
     * there is none. */
    const char *text;
    struct xml_element *parent, *children, *next; /* NULL: none */
    const char *file;
    int line;
};

struct xml_document {
    struct xml_element *root; /* never NULL */
    char *file;               /* its name, as given */
};

/* The value of a property, or NULL when it has none. Valid until the next
 * call. */
typedef const char *xml_lookup_fn(void *user, const char *name);

/* lookup may be NULL: then no property has a value. *out is set on RC_OK. */
enum rc xml_read_file(struct xml_document **out, const char *file,
                      xml_lookup_fn *lookup, void *user, struct err *err);
/* The same from memory; file is the name for messages. */
enum rc xml_read(struct xml_document **out, const char *file, const char *bytes,
                 size_t len, xml_lookup_fn *lookup, void *user,
                 struct err *err);
/* *doc may be NULL, and is afterwards. */
void xml_free(struct xml_document **doc);

/* The attribute's value; NULL when there is no such attribute. */
const char *xml_get(const struct xml_element *e, const char *name);
/* The next child of that name (NULL: any) after `after` (NULL: from the
 * start), or NULL. */
const struct xml_element *xml_child(const struct xml_element *e,
                                    const char *name,
                                    const struct xml_element *after);
/* The text of the first child of that name, or NULL. */
const char *xml_child_text(const struct xml_element *e, const char *name);
/* An attribute that speaks about the XML itself: xmlns, xmlns:*, xsi:*,
 * xml:*. */
bool xml_is_meta(const char *attribute);
/* err_set with "FILE:LINE: " of the element before the text. */
enum rc xml_error(const struct xml_element *e, enum rc rc, struct err *err,
                  const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
