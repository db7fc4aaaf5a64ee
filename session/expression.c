/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/expression.h"

#include "session/buf.h"

#include <ctype.h>
#include <string.h>

#define PATTERN_MAX 65536

/* One escape. False: Java has it, and POSIX has not or means another. */
static bool escape_to_posix(struct buf *out, char c, bool in_set)
{
    if (c == 'd') /* which Tomcat's own configuration writes */
        return buf_add_str(out, in_set ? "0-9" : "[0-9]");
    if (!c || isalnum((unsigned char)c) || (in_set && strchr("]-^[\\", c)))
        return false;
    if (!in_set)
        buf_add_char(out, '\\');
    return buf_add_char(out, c);
}

/* False: it would match something else than in Java. */
static bool to_posix(struct buf *out, const char *java)
{
    bool in_set = false;
    for (; *java; java++) {
        if (*java == '\\') {
            if (!escape_to_posix(out, *++java, in_set))
                return false;
            continue;
        }
        if (*java == '[' && in_set) /* sets within sets */
            return false;
        if (*java == '[' || *java == ']')
            in_set = *java == '[';
        buf_add_char(out, *java);
    }
    return !out->full;
}

/* First as it is: a parenthesis too many must not close ours. Anchored, it is
 * tried at the first byte only, however long the text. */
static int compile(regex_t *regex, const char *posix)
{
    struct buf whole;
    int bad = regcomp(regex, posix, REG_EXTENDED | REG_NOSUB);

    if (bad)
        return bad;
    regfree(regex);
    buf_init(&whole, PATTERN_MAX + 8);
    buf_addf(&whole, "^(%s)$", posix);
    bad = regcomp(regex, buf_str(&whole), REG_EXTENDED | REG_NOSUB);
    buf_release(&whole);
    return bad;
}

enum rc expression_compile(struct expression *e, const char *name,
                           const char *text, struct err *err)
{
    struct buf posix;
    char why[128];
    int bad = -1;

    buf_init(&posix, PATTERN_MAX);
    if (to_posix(&posix, text))
        bad = compile(&e->regex, buf_str(&posix));
    buf_release(&posix);
    e->compiled = bad == 0;
    if (!bad)
        return RC_OK;
    if (bad < 0)
        return err_set(err, RC_INVALID,
                       "%s=\"%.100s\": of Java's escapes there are \\d and "
                       "those of signs, like \\. (no others, and no sets "
                       "within sets)",
                       name, text);
    regerror(bad, &e->regex, why, sizeof why);
    return err_set(err, RC_INVALID,
                   "%s=\"%.100s\" is no regular expression (POSIX extended): "
                   "%s",
                   name, text, why);
}

void expression_release(struct expression *e)
{
    if (e->compiled)
        regfree(&e->regex);
    e->compiled = false;
}

bool expression_matches(const struct expression *e, const char *text)
{
    return e->compiled && !regexec(&e->regex, text, 0, NULL, 0);
}
