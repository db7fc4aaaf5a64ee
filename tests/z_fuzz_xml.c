/* SPDX-License-Identifier: Apache-2.0
 *
 * A configuration file of any bytes: either a tree within its limits, whose
 * links agree, or an error that names file and line. */
#include "config.h"

#include "container/xml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static const char *lookup(void *user, const char *name)
{
    (void)user;
    expect(*name && strlen(name) < 128);
    return *name == 'p' ? "value ${p}" : NULL;
}

static size_t walk(const struct xml_element *e, size_t depth)
{
    size_t count = 1;
    expect(depth <= XML_MAX_DEPTH && *e->name && e->text && e->line >= 1);
    expect(e->attribute_count <= XML_MAX_ATTRIBUTES);
    expect(strlen(e->text) <= XML_MAX_VALUE);
    for (size_t i = 0; i < e->attribute_count; i++) {
        expect(*e->attributes[i].name);
        expect(strlen(e->attributes[i].value) <= XML_MAX_VALUE);
        expect(xml_get(e, e->attributes[i].name) == e->attributes[i].value);
    }
    for (const struct xml_element *c = e->children; c; c = c->next) {
        expect(c->parent == e && xml_child(e, c->name, NULL));
        count += walk(c, depth + 1);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xml_document *doc = NULL;
    struct err err = {""};
    enum rc rc =
        xml_read(&doc, "f", (const char *)data, size, lookup, NULL, &err);
    if (rc == RC_OK) {
        expect(doc && walk(doc->root, 1) <= XML_MAX_ELEMENTS);
        xml_free(&doc);
    } else {
        expect(!doc && !strncmp(err.text, "f:", 2) && err.text[2] >= '1' &&
               err.text[2] <= '9');
    }
    return 0;
}
