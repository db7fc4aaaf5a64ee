/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.h: MessagePack, written and read in place.
 *
 * What    The writer appends to a growing block (msgpack-c writes the bytes).
 *         The reader walks a block without copying: a value at a time, with
 *         every length checked against the end, so it can be turned on bytes
 *         from outside.
 * Owns    A writer owns its block until pack_take. Tokens borrow.
 * Errors  The reader returns false for bytes that are no MessagePack or end
 *         too early; nothing is read past the end.
 * Source  https://github.com/msgpack/msgpack/blob/master/spec.md
 * Threads None. */
#ifndef MARGAY_SESSION_PACK_H
#define MARGAY_SESSION_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pack_writer {
    uint8_t *data, *lent;
    size_t len, cap;
};

/* Room for `expected` bytes at once; it grows when that was too little. */
void pack_init(struct pack_writer *w, size_t expected);
/* Begins in memory of the caller's, and leaves it when that is too little. */
void pack_init_in(struct pack_writer *w, void *lent, size_t size);
void pack_release(struct pack_writer *w);
void pack_nil(struct pack_writer *w);
void pack_bool(struct pack_writer *w, bool b);
void pack_int(struct pack_writer *w, int64_t i); /* shortest form */
void pack_uint(struct pack_writer *w, uint64_t u);
void pack_double(struct pack_writer *w, double d);
void pack_str(struct pack_writer *w, const char *s, size_t len);
void pack_bin(struct pack_writer *w, const void *bytes, size_t len);
void pack_array(struct pack_writer *w, size_t count);
void pack_grow(struct pack_writer *w, size_t more);
/* Bytes that are MessagePack (or a header) already. */
static inline void pack_raw(struct pack_writer *w, const void *bytes,
                            size_t len)
{
    if (w->cap - w->len < len)
        pack_grow(w, len);
    memcpy(w->data + w->len, bytes, len);
    w->len += len;
}

enum pack_type {
    PACK_NIL,
    PACK_BOOL,
    PACK_INT,
    PACK_UINT, /* UINT: above INT64_MAX */
    PACK_DOUBLE,
    PACK_STR,
    PACK_BIN,
    PACK_ARRAY,
    PACK_MAP,
    PACK_EXT
};

struct pack_token {
    enum pack_type type;
    bool truth;
    int64_t i;
    uint64_t u; /* INT >= 0 and UINT */
    double real;
    const uint8_t *p; /* STR, BIN, EXT: len bytes */
    size_t len;       /* ARRAY: elements; MAP: pairs */
};

struct pack_reader {
    const uint8_t *p, *end;
};

/* One whole value, however deep (at most 32). */
bool pack_skip(struct pack_reader *r);

/* The number 0..127 that most numbers are: one byte. false: something else
 * stands there, nothing was read. */
static inline bool pack_read_small(struct pack_reader *r, uint8_t *out)
{
    if (r->p >= r->end || *r->p >= 0x80)
        return false;
    *out = *r->p++;
    return true;
}
/* The next scalar, or the header of an array or map. The one-byte forms of
 * numbers and arrays, most of what a record is made of, are read in place. */
bool pack_read_any(struct pack_reader *r, struct pack_token *t);
static inline bool pack_read(struct pack_reader *r, struct pack_token *t)
{
    uint8_t b = r->p < r->end ? *r->p : 0xc1;

    if (b < 0x80) {
        t->type = PACK_INT;
        t->i = t->u = b;
    } else if ((b & 0xf0) == 0x90) {
        t->type = PACK_ARRAY;
        t->len = b & 15;
    } else {
        return pack_read_any(r, t);
    }
    r->p++;
    return true;
}
/* pack_read for a number that is not negative. */
static inline bool pack_read_uint(struct pack_reader *r, uint64_t *out)
{
    struct pack_token t;

    if (!pack_read(r, &t) || (t.type != PACK_INT && t.type != PACK_UINT))
        return false;
    *out = t.u;
    return true;
}

#endif
