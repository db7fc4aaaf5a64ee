/* SPDX-License-Identifier: Apache-2.0
 *
 * A Cookie header out of nowhere: every slice lies within it, and whatever was
 * read can be written as one header and read back. The input is also written
 * as value, domain and path of a cookie: what is accepted stays one line. */
#include "config.h"

#include "container/cookie.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void write_back(const struct cookie *c)
{
    struct cookie_config config = {.max_age = -1};
    struct cookie_reader r;
    struct cookie again;
    struct buf b;
    char *name = mem_strndup(c->name, c->name_len);
    config.name = name;
    buf_init(&b, 1 << 20);
    enum rc rc = cookie_write(&b, &config, c->value, c->value_len, 0, NULL);
    /* An opening quote alone is read, as Tomcat does, but never written. */
    expect(rc == RC_OK || (c->value_len && c->value[0] == '"'));
    if (rc == RC_OK) {
        cookie_reader_init(&r, -1, COOKIE_BARE_IGNORE);
        cookie_reader_line(&r, b.data, b.len);
        expect(cookie_next(&r, &again) == RC_OK);
        expect(cookie_is(&again, name));
        expect(again.value_len == c->value_len &&
               !memcmp(again.value, c->value, c->value_len));
        expect(cookie_next(&r, &again) == RC_ABSENT);
    }
    buf_release(&b);
    free(name);
}

static void write_anything(const char *text, size_t len)
{
    char *copy = mem_strndup(text, len);
    struct cookie_attribute own = {copy, copy};
    struct cookie_config configs[] = {
        {.name = copy, .max_age = -1},
        {.name = "a", .max_age = 1, .domain = copy},
        {.name = "a", .max_age = 0, .path = copy},
        {.name = "a", .attributes = &own, .attribute_count = 1},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct buf b;
        size_t semicolons = 0;
        buf_init(&b, 1 << 20);
        enum rc rc = cookie_write(&b, &configs[i], text, i ? 0 : len, 0, NULL);
        expect(rc == RC_OK || !b.len);
        for (size_t k = 0; k < b.len; k++) {
            expect((uint8_t)b.data[k] >= 0x20 && b.data[k] != 0x7f);
            semicolons += b.data[k] == ';';
        }
        expect(semicolons <= 3);
        buf_release(&b);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct cookie_reader r;
    struct cookie c;
    size_t count = 0;
    enum rc rc;
    cookie_reader_init(&r, COOKIE_MAX_COUNT,
                       size & 1 ? COOKIE_BARE_NAME : COOKIE_BARE_IGNORE);
    cookie_reader_line(&r, text, size);
    while ((rc = cookie_next(&r, &c)) == RC_OK) {
        expect(c.name_len > 0 && c.name >= text);
        expect(c.name + c.name_len <= c.value || !c.value_len);
        expect(c.value + c.value_len <= text + size);
        expect(++count <= COOKIE_MAX_COUNT);
        write_back(&c);
    }
    expect(rc == RC_ABSENT || count == COOKIE_MAX_COUNT);
    write_anything(text, size);
    return 0;
}
