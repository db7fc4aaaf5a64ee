/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/pack.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#define PACK_DEPTH 32

void pack_grow(struct pack_writer *w, size_t more)
{
    size_t cap = w->cap * 2;
    if (cap < w->len + more)
        cap = w->len + more;
    if (w->data == w->lent) {
        w->data = mem_alloc(cap);
        memcpy(w->data, w->lent, w->len);
    } else {
        w->data = mem_resize(w->data, cap);
    }
    w->cap = cap;
}

static inline int pack_append(void *data, const char *bytes, size_t len)
{
    pack_raw(data, bytes, len);
    return 0;
}

static inline msgpack_packer packer(struct pack_writer *w)
{
    return (msgpack_packer){.data = w, .callback = pack_append};
}

void pack_init(struct pack_writer *w, size_t expected)
{
    pack_init_in(w, NULL, expected ? expected : 64);
    w->data = mem_alloc(w->cap);
}

void pack_init_in(struct pack_writer *w, void *lent, size_t size)
{
    *w = (struct pack_writer){.data = lent, .lent = lent, .cap = size};
}

void pack_release(struct pack_writer *w)
{
    if (w->data != w->lent)
        free(w->data);
    *w = (struct pack_writer){0};
}

void pack_nil(struct pack_writer *w)
{
    msgpack_packer p = packer(w);
    msgpack_pack_nil(&p);
}

void pack_bool(struct pack_writer *w, bool b)
{
    msgpack_packer p = packer(w);
    if (b)
        msgpack_pack_true(&p);
    else
        msgpack_pack_false(&p);
}

void pack_int(struct pack_writer *w, int64_t i)
{
    msgpack_packer p = packer(w);
    msgpack_pack_int64(&p, i);
}

void pack_uint(struct pack_writer *w, uint64_t u)
{
    msgpack_packer p = packer(w);
    msgpack_pack_uint64(&p, u);
}

void pack_double(struct pack_writer *w, double d)
{
    msgpack_packer p = packer(w);
    msgpack_pack_double(&p, d);
}

void pack_str(struct pack_writer *w, const char *s, size_t len)
{
    msgpack_packer p = packer(w);
    msgpack_pack_str(&p, len);
    msgpack_pack_str_body(&p, s, len);
}

void pack_bin(struct pack_writer *w, const void *bytes, size_t len)
{
    msgpack_packer p = packer(w);
    msgpack_pack_bin(&p, len);
    if (len) /* else bytes may be NULL */
        msgpack_pack_bin_body(&p, bytes, len);
}

void pack_array(struct pack_writer *w, size_t count)
{
    msgpack_packer p = packer(w);
    msgpack_pack_array(&p, count);
}

static uint64_t big_endian(const uint8_t *p, size_t size)
{
    uint64_t u = 0;
    for (size_t i = 0; i < size; i++)
        u = u << 8 | p[i];
    return u;
}

/* size bytes of a number that follows the first byte */
static bool read_number(struct pack_reader *r, size_t size, uint64_t *out)
{
    if ((size_t)(r->end - r->p) < size)
        return false;
    *out = big_endian(r->p, size);
    r->p += size;
    return true;
}

static bool read_bytes(struct pack_reader *r, struct pack_token *t,
                       enum pack_type type, size_t len)
{
    if ((size_t)(r->end - r->p) < len)
        return false;
    t->type = type;
    t->p = r->p;
    t->len = len;
    r->p += len;
    return true;
}

static bool token_unsigned(struct pack_token *t, uint64_t u)
{
    t->type = u > INT64_MAX ? PACK_UINT : PACK_INT;
    t->u = u;
    t->i = (int64_t)u;
    return true;
}

static bool token_signed(struct pack_token *t, int64_t i)
{
    t->type = PACK_INT;
    t->i = i;
    t->u = (uint64_t)i;
    return true;
}

static bool token_counted(struct pack_token *t, enum pack_type type,
                          size_t count)
{
    t->type = type;
    t->len = count;
    return true;
}

static bool read_float(struct pack_reader *r, struct pack_token *t, size_t size)
{
    uint64_t bits;
    if (!read_number(r, size, &bits))
        return false;
    t->type = PACK_DOUBLE;
    if (size == 8) {
        memcpy(&t->real, &bits, 8);
    } else {
        uint32_t short_bits = (uint32_t)bits;
        float f;
        memcpy(&f, &short_bits, 4);
        t->real = f;
    }
    return true;
}

static bool read_signed(struct pack_reader *r, struct pack_token *t,
                        size_t size)
{
    uint64_t u;
    if (!read_number(r, size, &u))
        return false;
    unsigned shift = 64 - 8 * (unsigned)size;
    return token_signed(t, (int64_t)(u << shift) >> shift);
}

static bool read_sized(struct pack_reader *r, struct pack_token *t,
                       enum pack_type type, size_t size, size_t extra)
{
    uint64_t len;
    if (!read_number(r, size, &len))
        return false;
    return read_bytes(r, t, type, (size_t)len + extra);
}

static bool read_counted(struct pack_reader *r, struct pack_token *t,
                         enum pack_type type, size_t size)
{
    uint64_t count;
    return read_number(r, size, &count) &&
           token_counted(t, type, (size_t)count);
}

bool pack_read_any(struct pack_reader *r, struct pack_token *t)
{
    uint64_t u;

    if (r->p >= r->end)
        return false;
    uint8_t b = *r->p++;
    if (b < 0x80)
        return token_unsigned(t, b);
    if (b >= 0xe0)
        return token_signed(t, (int8_t)b);
    if (b < 0x90)
        return token_counted(t, PACK_MAP, b & 15);
    if (b < 0xa0)
        return token_counted(t, PACK_ARRAY, b & 15);
    if (b < 0xc0)
        return read_bytes(r, t, PACK_STR, b & 31);
    switch (b) {
    case 0xc0:
        t->type = PACK_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        t->type = PACK_BOOL;
        t->truth = b == 0xc3;
        return true;
    case 0xc4 ... 0xc6:
        return read_sized(r, t, PACK_BIN, 1u << (b - 0xc4), 0);
    case 0xc7 ... 0xc9:
        return read_sized(r, t, PACK_EXT, 1u << (b - 0xc7), 1);
    case 0xca:
        return read_float(r, t, 4);
    case 0xcb:
        return read_float(r, t, 8);
    case 0xcc ... 0xcf:
        return read_number(r, 1u << (b - 0xcc), &u) && token_unsigned(t, u);
    case 0xd0 ... 0xd3:
        return read_signed(r, t, 1u << (b - 0xd0));
    case 0xd4 ... 0xd8:
        return read_bytes(r, t, PACK_EXT, (1u << (b - 0xd4)) + 1);
    case 0xd9 ... 0xdb:
        return read_sized(r, t, PACK_STR, 1u << (b - 0xd9), 0);
    case 0xdc ... 0xdd:
        return read_counted(r, t, PACK_ARRAY, 2u << (b - 0xdc));
    case 0xde ... 0xdf:
        return read_counted(r, t, PACK_MAP, 2u << (b - 0xde));
    default: /* 0xc1: never used */
        return false;
    }
}

/* clang-format off */
/* Length of a value by its first byte, where that says it; else 0. */
static const uint8_t value_len[256] = {
    [0x00 ... 0x7f] = 1, [0xe0 ... 0xff] = 1,
    [0xa0] = 1,  [0xa1] = 2,  [0xa2] = 3,  [0xa3] = 4,  [0xa4] = 5,
    [0xa5] = 6,  [0xa6] = 7,  [0xa7] = 8,  [0xa8] = 9,  [0xa9] = 10,
    [0xaa] = 11, [0xab] = 12, [0xac] = 13, [0xad] = 14, [0xae] = 15,
    [0xaf] = 16, [0xb0] = 17, [0xb1] = 18, [0xb2] = 19, [0xb3] = 20,
    [0xb4] = 21, [0xb5] = 22, [0xb6] = 23, [0xb7] = 24, [0xb8] = 25,
    [0xb9] = 26, [0xba] = 27, [0xbb] = 28, [0xbc] = 29, [0xbd] = 30,
    [0xbe] = 31, [0xbf] = 32, [0xc0] = 1,  [0xc2] = 1,  [0xc3] = 1,
    [0xca] = 5,  [0xcb] = 9,  [0xcc] = 2,  [0xcd] = 3,  [0xce] = 5,
    [0xcf] = 9,  [0xd0] = 2,  [0xd1] = 3,  [0xd2] = 5,  [0xd3] = 9,
};
/* clang-format on */

static inline bool skip_known(struct pack_reader *r)
{
    size_t left = (size_t)(r->end - r->p);
    size_t len = left ? value_len[*r->p] : 0;

    if (!len || len > left)
        return false;
    r->p += len;
    return true;
}

static bool skip_depth(struct pack_reader *r, unsigned depth)
{
    struct pack_token t;

    if (depth == 0 || !pack_read(r, &t))
        return false;
    size_t inside = t.type == PACK_ARRAY ? t.len
                    : t.type == PACK_MAP ? 2 * t.len
                                         : 0;
    /* every element takes a byte, so a made-up count ends here */
    if (inside > (size_t)(r->end - r->p) || (inside && depth == 1))
        return false;
    while (inside--)
        if (!skip_known(r) && !skip_depth(r, depth - 1))
            return false;
    return true;
}

bool pack_skip(struct pack_reader *r)
{
    return skip_known(r) || skip_depth(r, PACK_DEPTH);
}
