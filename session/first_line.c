/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/first_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int first_line_read(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    int why = 0;

    *out = '\0';
    if (!f)
        return errno;
    if (fgets(out, (int)size, f))
        out[strcspn(out, "\r\n")] = '\0';
    else if (ferror(f))
        why = errno;
    fclose(f);
    return why;
}
