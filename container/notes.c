/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/notes.h"

#include "container/xml.h"

#include <stdarg.h>
#include <stdio.h>

void notes_warn(const struct notes *notes, const struct xml_element *at,
                const char *format, ...)
{
    char text[512], line[1024];
    va_list ap;

    if (!notes || !notes->warn)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (!at) {
        notes->warn(notes->user, text);
        return;
    }
    snprintf(line, sizeof line, "%s:%d: %s", at->file, at->line, text);
    notes->warn(notes->user, line);
}
