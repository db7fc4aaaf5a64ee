/* SPDX-License-Identifier: Apache-2.0
 *
 * expression.h: regular expressions as Tomcat's attributes take them.
 *
 * What    Written in the part of Java's language that POSIX's extended one has
 *         too, and \d. They match a whole text, as Java's matches() does.
 *         Text is bytes: a dot is one byte.
 * Owns    expression_release what expression_compile made; not after a failure.
 * Errors  RC_INVALID: err names the attribute and says what there is.
 * Threads Matching: any. */
#ifndef MARGAY_SESSION_EXPRESSION_H
#define MARGAY_SESSION_EXPRESSION_H

#include "session/rc.h"

#include <stdbool.h>

#include <regex.h>

struct expression {
    bool compiled; /* false: there is none */
    regex_t regex;
};

/* name: of the attribute, for err. */
enum rc expression_compile(struct expression *e, const char *name,
                           const char *text, struct err *err);
void expression_release(struct expression *e);
/* Is it there, and the whole text one of those that it describes? */
bool expression_matches(const struct expression *e, const char *text);

#endif
