/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/rc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
} rc_table[] = {
#define X(name, text) {#name, text},
    RC_LIST(X)
#undef X
};

const char *rc_name(enum rc rc)
{
    assert((unsigned)rc < sizeof rc_table / sizeof rc_table[0]);
    return rc_table[rc].name;
}

const char *rc_text(enum rc rc)
{
    assert((unsigned)rc < sizeof rc_table / sizeof rc_table[0]);
    return rc_table[rc].text;
}

enum rc err_set(struct err *err, enum rc rc, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return rc;
}
