/* SPDX-License-Identifier: Apache-2.0
 *
 * A query and a body (split at the first newline): limits hold, all that comes
 * out is UTF-8 with a 0 behind it, and a refused part leaves nothing. */
#include "config.h"

#include "container/form.h"
#include "container/percent.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void parse(struct form *f, const char *text, size_t len)
{
    size_t before = f->count;
    if (form_parse(f, text, len, NULL) != RC_OK)
        expect(f->count == before);
    expect(f->count <= f->max_params && f->bytes <= f->max_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *line = size ? memchr(text, '\n', size) : NULL;
    size_t query = line ? (size_t)(line - text) : size;
    struct form f;
    form_init(&f, 50, 4096);
    parse(&f, text, query);
    if (line)
        parse(&f, line + 1, size - query - 1);
    for (size_t i = 0; i < f.count; i++) {
        const struct form_param *p = &f.params[i];
        expect(p->name_len && strlen(p->name) == p->name_len);
        expect(p->value[p->value_len] == 0);
        expect(utf8_valid(p->name, p->name_len));
        expect(utf8_valid(p->value, p->value_len));
        const struct form_param *found = form_next(&f, p->name, NULL);
        expect(found && found <= p);
        expect(form_next(&f, p->name, i ? p - 1 : NULL) == p);
    }
    form_release(&f);
    return 0;
}
