/* SPDX-License-Identifier: Apache-2.0
 *
 * webxml_reader.h: what webxml.c and webxml_session.c share.
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

enum rc webxml_session_config(struct webxml *w, const struct xml_element *e);
/* After all has been read: the session cookie and the limits. */
enum rc webxml_session_apply(struct webxml *w);

#endif
