/* SPDX-License-Identifier: Apache-2.0
 *
 * option.h: configuration attributes as tables.
 *
 * What    A noun that can be configured (a manager, a store, a connector)
 *         ships a const table of its attributes: Tomcat's name, kind, where
 *         the value goes, default and help. Reading server.xml, `margay
 *         check` and the manual page come from the same table, so they
 *         cannot drift apart.
 * Owns    Strings are copied into the target; option_release frees them.
 * Errors  RC_ABSENT: no such attribute (a warning for the caller to word);
 *         RC_INVALID: the value is not acceptable, err says why and what is;
 *         RC_UNSUPPORTED: known, but its part is not built yet (err says so).
 * Threads None: used while one thread configures. */
#ifndef MARGAY_SESSION_OPTION_H
#define MARGAY_SESSION_OPTION_H

#include "session/rc.h"

#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_STRING,  /* char *; NULL or a copy */
    OPTION_INT,     /* int64_t within min..max */
    OPTION_BOOL,    /* bool: true or false, any case */
    OPTION_CHOICE,  /* int: index into the `choices` list "none|one|all" */
    OPTION_IGNORED, /* makes sense in Java only: help says why; accepted */
    OPTION_LATER    /* known; not in this version: RC_UNSUPPORTED unless the
                       value equals preset */
};

struct option {
    const char *name; /* as Tomcat spells it; NULL ends a table */
    enum option_kind kind;
    size_t offset;       /* of the member in the target struct */
    const char *preset;  /* the default as text; NULL: none */
    const char *help;    /* one line */
    int64_t min, max;    /* OPTION_INT; both 0: any */
    const char *choices; /* OPTION_CHOICE: "refuse|local" */
};

/* Gives every member of the table its default. */
void option_defaults(const struct option *table, void *target);
enum rc option_set(const struct option *table, void *target, const char *name,
                   const char *value, struct err *err);
/* Frees the strings of the table's members and nulls them. */
void option_release(const struct option *table, void *target);
/* The row, or NULL. */
const struct option *option_find(const struct option *table, const char *name);

#endif
