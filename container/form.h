/* SPDX-License-Identifier: Apache-2.0
 *
 * form.h: parameters of query strings and urlencoded bodies.
 *
 * What    "a=1&b=2" taken apart and decoded (WHATWG URL,
 *         application/x-www-form-urlencoded): + is a space, %XX a byte. The
 *         query is parsed first, then the body, so that of several values of
 *         one name those of the query come first (Servlet 6.0, 3.1).
 * Rules   As Tomcat's Parameters: empty parts ("a=1&&b=2") are skipped, a
 *         name without = has an empty value. Differences: bodies are UTF-8
 *         like queries, whatever charset they claim, and a name cannot hold a
 *         0 byte, since names are looked up as C strings. Values can.
 * Owns    The form owns names and values: they stay until form_release.
 * Errors  RC_INVALID (a bad %-sequence, not UTF-8, "=v" without a name) and
 *         RC_TOOBIG (over a limit): the request is a 400, or a 413 for the
 *         bytes of a body; that call has added nothing. Texts never repeat
 *         what the client sent.
 * Threads None: one form, one request. */
#ifndef MARGAY_CONTAINER_FORM_H
#define MARGAY_CONTAINER_FORM_H

#include "session/rc.h"

#include <stddef.h>
#include <stdint.h>

/* Tomcat's defaults of maxParameterCount and maxPostSize. */
#define FORM_MAX_PARAMS 1000
#define FORM_MAX_BYTES (2 * 1024 * 1024)

/* Both are UTF-8 and followed by a 0. */
struct form_param {
    const char *name;
    size_t name_len; /* never 0 from form_parse */
    const char *value;
    size_t value_len;
};

struct form_block;

struct form {
    struct form_param *params; /* in the order in which they came */
    size_t count;
    size_t cap, max_params, max_bytes, bytes;
    struct form_block *blocks;
};

/* Both limits hold for query and body together; negative: none. */
void form_init(struct form *f, int64_t max_params, int64_t max_bytes);
/* Leaves an empty, usable form. */
void form_release(struct form *f);
/* Decodes text (copied) and appends its parameters. */
enum rc form_parse(struct form *f, const char *text, size_t len,
                   struct err *err);
/* The next parameter of that name after `after` (NULL: from the start); NULL
 * when there is none. */
const struct form_param *form_next(const struct form *f, const char *name,
                                   const struct form_param *after);
/* The first value; NULL when there is no such parameter. */
const char *form_get(const struct form *f, const char *name);

#endif
