/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_checked(void *p)
{
    if (!p) {
        fputs("margay: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return mem_checked(malloc(size ? size : 1));
}

void *mem_zero(size_t size)
{
    return mem_checked(calloc(1, size ? size : 1));
}

void *mem_resize(void *p, size_t size)
{
    return mem_checked(realloc(p, size ? size : 1));
}

char *mem_strdup(const char *text)
{
    return mem_checked(strdup(text));
}

char *mem_strndup(const char *text, size_t len)
{
    size_t n = strnlen(text, len);
    char *copy = mem_alloc(n + 1);

    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->full = false;
    if (b->data)
        b->data[0] = 0;
}

static bool buf_reserve(struct buf *b, size_t more)
{
    if (b->full || more > b->max - b->len) {
        b->full = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        if (cap > b->max + 1)
            cap = b->max + 1;
        b->data = mem_resize(b->data, cap);
        b->cap = cap;
    }
    return true;
}

bool buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (!buf_reserve(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = 0;
    return true;
}

bool buf_add_str(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

bool buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

bool buf_vaddf(struct buf *b, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, format, ap);
    bool ok = len >= 0 && buf_reserve(b, (size_t)len);
    if (ok) {
        vsnprintf(b->data + b->len, (size_t)len + 1, format, again);
        b->len += (size_t)len;
    }
    va_end(again);
    return ok;
}

bool buf_addf(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    bool ok = buf_vaddf(b, format, ap);
    va_end(ap);
    return ok;
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b, size_t *len)
{
    char *data = b->data;
    if (len)
        *len = b->len;
    buf_init(b, b->max);
    return data;
}
