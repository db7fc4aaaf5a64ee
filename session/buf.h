/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.h: a growing buffer that knows its ceiling.
 *
 * What    Bytes appended at the end. What a stranger sizes is capped: the
 *         ceiling is given at init and no append goes beyond it.
 * Owns    The buffer owns data; buf_release frees it and leaves an empty,
 *         usable buffer. buf_take hands data over: free() it.
 * Errors  An append that would pass the ceiling changes nothing, returns
 *         false and sets `full`, which stays set until buf_reset, so that a
 *         row of appends needs one test at its end. Memory that we ourselves
 *         size aborts when there is none.
 * Threads None: one buffer, one owner.
 *
 * Invariant: data[len] is 0 whenever data is not NULL, so a text can be read
 * as a C string. */
#ifndef MARGAY_SESSION_BUF_H
#define MARGAY_SESSION_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NULL while nothing was appended */
    size_t len, cap, max;
    bool full;
};

/* max: the ceiling in bytes, the closing 0 not counted. */
void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
/* Forgets the content and `full`, keeps the memory. */
void buf_reset(struct buf *b);

bool buf_add(struct buf *b, const void *bytes, size_t len);
bool buf_add_str(struct buf *b, const char *text);
bool buf_add_char(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool buf_vaddf(struct buf *b, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* The content as a C string, "" when empty. Valid until the next append. */
const char *buf_str(const struct buf *b);
/* The content; the buffer is empty afterwards. NULL when nothing was added.
 * The caller frees it. */
char *buf_take(struct buf *b, size_t *len);

/* malloc, realloc, strdup of sizes that we choose: abort when there is no
 * memory, so never NULL. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zero(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *p, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *text, size_t len)
    __attribute__((malloc, returns_nonnull));

#endif
