/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/page.h"

#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>

const char *page_run(const struct fleet *f, const char *heading,
                     const char *language, const char *program,
                     const char *arguments, char *out, size_t size)
{
    const char *top = getenv("srcdir");
    char command[2000];
    snprintf(command, sizeof command,
             "awk -v fence='```%s' '/^## %s/ { at = 1 } "
             "at && $0 == fence { f = 1; next } /^```/ { if (f) exit } f' "
             "%s/docs/stored-form.md >%s/block && %s %s/block %s 2>&1",
             language, heading, top ? top : ".", f->dir, program, f->dir,
             arguments);
    FILE *p = popen(command, "r");
    out[p ? fread(out, 1, size - 1, p) : 0] = 0;
    CU_ASSERT(p && pclose(p) == 0);
    return out;
}
