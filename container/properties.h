/* SPDX-License-Identifier: Apache-2.0
 *
 * properties.h: the values of ${name} in the configuration files.
 *
 * What    Set by -D NAME=VALUE (the last one wins), or offered by the program
 *         as a default, which the file may use without naming one. Each
 *         property remembers whether a file asked for it, so that a misspelt
 *         -D can be told.
 * Owns    Copies of names and values.
 * Threads None: used while one thread configures. */
#ifndef MARGAY_CONTAINER_PROPERTIES_H
#define MARGAY_CONTAINER_PROPERTIES_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct properties;

struct properties *properties_new(void);
void properties_free(struct properties **p);

/* "NAME=VALUE" as it came from the command line. RC_INVALID: no NAME, or no
 * `=`. */
enum rc properties_define(struct properties *p, const char *definition,
                          struct err *err);
void properties_set(struct properties *p, const char *name, const char *value);
/* Counts only while nobody set it. */
void properties_offer(struct properties *p, const char *name,
                      const char *value);

/* xml_lookup_fn; user: a struct properties. */
const char *properties_lookup(void *user, const char *name);
/* The value, without asking; NULL when there is none. */
const char *properties_get(const struct properties *p, const char *name);
/* Was it set, and not just offered? */
bool properties_is_set(const struct properties *p, const char *name);
/* Did a file ask for it? */
bool properties_asked(const struct properties *p, const char *name);
/* The same, or it is one that the program offers: nothing is misspelt. */
bool properties_known(const struct properties *p, const char *name);
/* The names that were set, in order; NULL behind the last. */
const char *properties_name(const struct properties *p, size_t index);

#endif
