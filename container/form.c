/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/form.h"

#include "container/percent.h"
#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* What one form_parse decoded. */
struct form_block {
    struct form_block *next;
    char text[];
};

static size_t limit(int64_t max)
{
    return max < 0 ? SIZE_MAX : (size_t)max;
}

void form_init(struct form *f, int64_t max_params, int64_t max_bytes)
{
    *f = (struct form){
        .max_params = limit(max_params),
        .max_bytes = limit(max_bytes),
    };
}

void form_release(struct form *f)
{
    while (f->blocks) {
        struct form_block *next = f->blocks->next;
        free(f->blocks);
        f->blocks = next;
    }
    free(f->params);
    *f = (struct form){
        .max_params = f->max_params,
        .max_bytes = f->max_bytes,
    };
}

static void form_add(struct form *f, const struct form_param *p)
{
    if (f->count == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 8;
        f->params = mem_resize(f->params, f->cap * sizeof *f->params);
    }
    f->params[f->count++] = *p;
}

/* Decodes one name or value to *to and closes it with a 0. */
static const char *form_decode(char **to, const char *in, size_t len,
                               size_t *out_len)
{
    char *start = *to;
    ssize_t n = percent_decode(start, in, len, true);
    if (n < 0 || !utf8_valid(start, (size_t)n))
        return NULL;
    start[n] = 0;
    *to = start + n + 1;
    *out_len = (size_t)n;
    return start;
}

/* One "name=value". Its text takes at most len + 1 bytes: the zeros stand
 * where = and & stood; an empty value without = lies in the name's zero. */
static enum rc form_pair(struct form *f, char **to, const char *pair,
                         size_t len, struct err *err)
{
    struct form_param p;
    const char *equals = memchr(pair, '=', len);
    size_t name = equals ? (size_t)(equals - pair) : len;
    if (!name)
        return err_set(err, RC_INVALID, "a parameter has no name");
    if (f->count == f->max_params)
        return err_set(err, RC_TOOBIG,
                       "more than %zu parameters (maxParameterCount)",
                       f->max_params);
    p.name = form_decode(to, pair, name, &p.name_len);
    if (p.name && equals) {
        p.value = form_decode(to, equals + 1, len - name - 1, &p.value_len);
    } else if (p.name) {
        p.value = p.name + p.name_len;
        p.value_len = 0;
    }
    if (!p.name || !p.value || memchr(p.name, 0, p.name_len))
        return err_set(err, RC_INVALID,
                       "parameter %zu is not well-formed: bad %% sequence, "
                       "not UTF-8, or a 0 byte in its name",
                       f->count + 1);
    form_add(f, &p);
    return RC_OK;
}

enum rc form_parse(struct form *f, const char *text, size_t len,
                   struct err *err)
{
    if (len > f->max_bytes - f->bytes)
        return err_set(err, RC_TOOBIG,
                       "parameters of more than %zu bytes (maxPostSize)",
                       f->max_bytes);
    struct form_block *block = mem_alloc(sizeof *block + len + 1);
    char *to = block->text;
    size_t before = f->count;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < len && rc == RC_OK;) {
        const char *amp = memchr(text + i, '&', len - i);
        size_t size = amp ? (size_t)(amp - text) - i : len - i;
        if (size)
            rc = form_pair(f, &to, text + i, size, err);
        i += size + 1;
    }
    if (rc != RC_OK) {
        f->count = before;
        free(block);
        return rc;
    }
    f->bytes += len;
    block->next = f->blocks;
    f->blocks = block;
    return RC_OK;
}

const struct form_param *form_next(const struct form *f, const char *name,
                                   const struct form_param *after)
{
    size_t len = strlen(name);
    for (size_t i = after ? (size_t)(after - f->params) + 1 : 0; i < f->count;
         i++) {
        const struct form_param *p = &f->params[i];
        if (p->name_len == len && !memcmp(p->name, name, len))
            return p;
    }
    return NULL;
}

const char *form_get(const struct form *f, const char *name)
{
    const struct form_param *p = form_next(f, name, NULL);
    return p ? p->value : NULL;
}
