/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/changes.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 1000

struct changes_block {
    struct changes_block *next;
    size_t used, size;
    max_align_t data[];
};

void changes_init(struct changes *c)
{
    memset(c, 0, offsetof(struct changes, inline_data));
}

void changes_release(struct changes *c)
{
    while (c->blocks) {
        struct changes_block *next = c->blocks->next;
        free(c->blocks);
        c->blocks = next;
    }
    changes_init(c);
}

void changes_clear(struct changes *c)
{
    c->first = c->last = NULL;
    c->bytes = 0;
}

static void *changes_alloc(struct changes *c, size_t len)
{
    len = (len + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    if (!c->blocks && CHANGES_INLINE - c->inline_used >= len) {
        c->inline_used += len;
        return (char *)c->inline_data + c->inline_used - len;
    }
    if (!c->blocks || c->blocks->size - c->blocks->used < len) {
        size_t size = len > BLOCK_SIZE ? len : BLOCK_SIZE;
        struct changes_block *block = mem_alloc(sizeof *block + size);
        *block = (struct changes_block){.next = c->blocks, .size = size};
        c->blocks = block;
    }
    char *p = (char *)c->blocks->data + c->blocks->used;
    c->blocks->used += len;
    return p;
}

const char *changes_keep(struct changes *c, const char *bytes, size_t len)
{
    char *copy = changes_alloc(c, len + 1);
    memcpy(copy, bytes, len);
    copy[len] = 0;
    return copy;
}

struct change *changes_find(const struct changes *c, struct key key)
{
    for (struct change *x = c->first; x; x = x->next)
        if (key_compare(x->key, key) == 0)
            return x;
    return NULL;
}

static struct change *changes_entry(struct changes *c, struct key key)
{
    struct change *x = changes_find(c, key);

    if (x)
        return x;
    x = changes_alloc(c, sizeof *x);
    *x = (struct change){.key = key};
    if (key.name)
        x->key.name = changes_keep(c, key.name, key.len);
    if (c->last)
        c->last->next = x;
    else
        c->first = x;
    c->last = x;
    c->bytes += key.len + 16;
    return x;
}

void changes_set(struct changes *c, struct key key, const struct value *value)
{
    struct change *x = changes_entry(c, key);

    c->bytes -= x->value.len;
    x->kind = CHANGE_SET;
    x->value = *value;
    x->plus = x->minus = 0;
    if (value->type == VALUE_STRING || value->type == VALUE_BYTES)
        x->value.data = changes_keep(c, value->data, value->len);
    else
        x->value.len = 0;
    c->bytes += x->value.len;
}

void changes_remove(struct changes *c, struct key key)
{
    changes_set(c, key, &(struct value){.type = VALUE_NONE});
    changes_find(c, key)->kind = CHANGE_REMOVE;
}

void changes_add(struct changes *c, struct key key, int64_t amount)
{
    struct change *x = changes_find(c, key);

    if (x && x->kind != CHANGE_ADD) {
        int64_t from = x->kind == CHANGE_SET ? x->value.number : 0;
        changes_set(c, key,
                    &(struct value){.type = VALUE_COUNTER,
                                    .number = (int64_t)((uint64_t)from +
                                                        (uint64_t)amount)});
        return;
    }
    x = changes_entry(c, key);
    x->kind = CHANGE_ADD;
    if (amount >= 0)
        x->plus += (uint64_t)amount;
    else
        x->minus += -(uint64_t)amount;
}

void changes_copy(struct changes *to, const struct changes *from)
{
    changes_init(to);
    for (const struct change *x = from->first; x; x = x->next) {
        changes_set(to, x->key, &x->value);
        to->last->kind = x->kind;
        to->last->plus = x->plus;
        to->last->minus = x->minus;
    }
}
