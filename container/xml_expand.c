/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/xml_expand.h"

#include "session/buf.h"

#include <string.h>

#define NAME_AND_BRACE                                                         \
    "write ${name} or ${name:-default}, and $${ for a ${ that is meant "       \
    "literally"

struct expansion {
    struct buf *out;
    const char *at;
    xml_lookup_fn *lookup;
    void *user;
    struct err *err;
    int depth;
};

static enum rc expand_run(struct expansion *e, bool inner, bool emit);

/* "name" up to } or :- . Leaves e->at there. */
static enum rc expand_name(struct expansion *e, char name[XML_MAX_NAME + 1])
{
    size_t len = 0;
    for (; *e->at && *e->at != '}' && strncmp(e->at, ":-", 2) != 0; e->at++) {
        if (len == XML_MAX_NAME || *e->at == '$' ||
            (unsigned char)*e->at <= ' ')
            return err_set(e->err, RC_INVALID,
                           "a property's name is too long or holds a blank or "
                           "a $: " NAME_AND_BRACE);
        name[len++] = *e->at;
    }
    name[len] = 0;
    if (!len || !*e->at)
        return err_set(e->err, RC_INVALID,
                       "a ${ without a name or without its }: " NAME_AND_BRACE);
    return RC_OK;
}

/* After "${name:-", up to the }. */
static enum rc expand_default(struct expansion *e, bool emit)
{
    if (e->depth == XML_MAX_DEFAULT_DEPTH)
        return err_set(e->err, RC_TOOBIG,
                       "defaults within defaults, more than %d deep: set one "
                       "of the properties",
                       XML_MAX_DEFAULT_DEPTH);
    e->depth++;
    enum rc rc = expand_run(e, true, emit);
    e->depth--;
    return rc;
}

/* After "${". Without emit nothing is written and nothing has to be known. */
static enum rc expand_property(struct expansion *e, bool emit)
{
    char name[XML_MAX_NAME + 1];
    enum rc rc = expand_name(e, name);
    if (rc != RC_OK)
        return rc;
    const char *value = emit && e->lookup ? e->lookup(e->user, name) : NULL;
    if (value)
        buf_add_str(e->out, value);
    if (*e->at == ':') {
        e->at += 2;
        rc = expand_default(e, emit && !value);
    } else if (emit && !value) {
        rc = err_set(e->err, RC_INVALID,
                     "property %s has no value: start with -D %s=VALUE, or "
                     "write ${%s:-DEFAULT} here",
                     name, name, name);
    }
    if (rc == RC_OK)
        e->at++;
    return rc;
}

/* inner: a default, which ends before its }. */
static enum rc expand_run(struct expansion *e, bool inner, bool emit)
{
    while (*e->at && !(inner && *e->at == '}')) {
        if (!strncmp(e->at, "${", 2)) {
            e->at += 2;
            enum rc rc = expand_property(e, emit);
            if (rc != RC_OK)
                return rc;
            continue;
        }
        size_t literal = strncmp(e->at, "$${", 3) ? 0 : 1;
        e->at += literal;
        if (emit)
            buf_add(e->out, e->at, 1 + literal);
        e->at += 1 + literal;
    }
    if (inner && !*e->at)
        return err_set(e->err, RC_INVALID,
                       "a ${name:- without its }: close it");
    return RC_OK;
}

enum rc xml_expand(struct buf *out, const char *text, xml_lookup_fn *lookup,
                   void *user, struct err *err)
{
    struct expansion e = {
        .out = out,
        .at = text,
        .lookup = lookup,
        .user = user,
        .err = err,
    };
    enum rc rc = expand_run(&e, false, true);
    if (rc == RC_OK && (out->full || out->len > XML_MAX_VALUE))
        rc = err_set(err, RC_TOOBIG, "a value of more than %d bytes",
                     XML_MAX_VALUE);
    return rc;
}
