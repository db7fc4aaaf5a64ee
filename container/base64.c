/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/base64.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_write(struct buf *out, const void *bytes, size_t len)
{
    const uint8_t *b = bytes;

    for (size_t at = 0; at < len; at += 3) {
        size_t have = len - at < 3 ? len - at : 3;
        uint32_t n = (uint32_t)b[at] << 16;
        if (have > 1)
            n |= (uint32_t)b[at + 1] << 8;
        if (have > 2)
            n |= b[at + 2];
        char four[4] = {digits[n >> 18], digits[n >> 12 & 63],
                        have > 1 ? digits[n >> 6 & 63] : '=',
                        have > 2 ? digits[n & 63] : '='};
        if (!buf_add(out, four, sizeof four))
            return false;
    }
    return true;
}

/* -1: it is none. */
static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, of which `have` are no padding. */
static bool read_four(struct buf *out, const char *four, unsigned have)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < 4; i++) {
        int digit = i < have ? digit_of(four[i]) : 0;
        if (digit < 0)
            return false;
        n = n << 6 | (uint32_t)digit;
    }
    if (n & (have == 2 ? 0xffffu : have == 3 ? 0xffu : 0))
        return false; /* bits that nobody would have written */
    char three[3] = {(char)(n >> 16), (char)(n >> 8), (char)n};
    return buf_add(out, three, have - 1);
}

bool base64_read(struct buf *out, const char *text, size_t len)
{
    if (len % 4)
        return false;
    for (size_t at = 0; at < len; at += 4) {
        unsigned have = 4;
        if (at + 4 == len && text[at + 3] == '=')
            have = text[at + 2] == '=' ? 2 : 3;
        if (!read_four(out, text + at, have))
            return false;
    }
    return true;
}
