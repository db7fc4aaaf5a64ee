/* SPDX-License-Identifier: Apache-2.0
 *
 * webxml_reader.h: what the files that read web.xml share.
 *
 * What    The web.xml that is being read, and the session's part of it.
 * Errors  As webxml.h.
 * Threads None. */
#ifndef MARGAY_CONTAINER_WEBXML_READER_H
#define MARGAY_CONTAINER_WEBXML_READER_H

#include "container/context.h"
#include "container/notes.h"
#include "container/xml.h"

/* What <session-config> said; borrowed from the document. */
struct webxml_session {
    const struct xml_element *at; /* NULL: there was none */
    const struct xml_element *cookie_config;
    bool has_timeout;
    int64_t timeout; /* seconds; 0: never */
    bool has_modes, cookie_mode, url_mode;
};

struct webxml {
    struct context *context;
    const struct notes *notes;
    struct err *err;
    struct webxml_session session;
};

/* Rules by name, as in server.xml. */
struct webxml_rule {
    const char *name; /* NULL ends the table */
    enum rc (*read)(struct webxml *w, const struct xml_element *e);
    const char *ignored; /* a warning; "": in silence */
    const char *refused; /* what to do instead */
};
enum rc webxml_children(struct webxml *w, const struct xml_element *e,
                        const struct webxml_rule *rules);
/* The text of a child that must be there. */
enum rc webxml_text(struct webxml *w, const struct xml_element *e,
                    const char *child, const char **out);
enum rc webxml_bool(struct webxml *w, const struct xml_element *e, bool *out);
enum rc webxml_int(struct webxml *w, const struct xml_element *e, int64_t min,
                   int64_t max, int64_t *out);

/* A place behind the last item of a malloc'ed array. */
#define GROW(items, count)                                                     \
    ((items) = mem_resize((items), ((count) + 1) * sizeof *(items)),           \
     &(items)[(count)++])

/* webxml.c: sets it, or replaces its value. */
void webxml_parameter_put(struct parameters *p, const char *name,
                          const char *value);
/* <context-param>, <init-param> */
enum rc webxml_param(struct webxml *w, const struct xml_element *e,
                     struct parameters *params);

/* webxml_servlet.c. Mappings point into the array of servlets: all of these
 * come first. */
enum rc webxml_servlet(struct webxml *w, const struct xml_element *e);
enum rc webxml_mapping(struct webxml *w, const struct xml_element *e);
struct servlet_config *webxml_servlet_find(struct context *c, const char *name);
struct servlet_config *webxml_servlet_add(struct context *c, const char *name,
                                          const char *class_name);
const struct servlet_mapping *webxml_mapping_find(const struct context *c,
                                                  const char *pattern);
void webxml_mapping_add(struct context *c, const char *pattern,
                        struct servlet_config *s, enum session_wish wish);

/* webxml_session.c */
enum rc webxml_session_config(struct webxml *w, const struct xml_element *e);
/* After all has been read: the session cookie and the limits. */
enum rc webxml_session_apply(struct webxml *w);

#endif
