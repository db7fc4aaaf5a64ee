/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/percent.h"

#include "session/buf.h"
#include "session/hex.h"

#include <stdint.h>
#include <string.h>

int percent_byte(const char *at, const char *end)
{
    if (end - at < 3)
        return -1;
    int high = hex_digit(at[1]), low = hex_digit(at[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

ssize_t percent_decode(char *out, const char *in, size_t len, bool plus)
{
    const char *end = in + len;
    char *start = out;
    while (in < end) {
        if (*in == '%') {
            int byte = percent_byte(in, end);
            if (byte < 0)
                return -1;
            *out++ = (char)byte;
            in += 3;
        } else {
            *out++ = plus && *in == '+' ? ' ' : *in;
            in++;
        }
    }
    return out - start;
}

/* pchar of RFC 3986 and the slash, without ; which would begin a parameter. */
static bool path_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (c && strchr("/-._~!$&'()*+,=:@", c));
}

bool percent_encode_path(struct buf *out, const char *path, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool added = path_char(path[i])
                         ? buf_add_char(out, path[i])
                         : buf_addf(out, "%%%02X", (unsigned char)path[i]);
        if (!added)
            return false;
    }
    return true;
}

/* The length of the sequence that begins with this byte; 0: none does. */
static size_t utf8_length(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2)
        return 0;
    if (first < 0xe0)
        return 2;
    if (first < 0xf0)
        return 3;
    return first < 0xf5 ? 4 : 0;
}

/* The second byte decides overlong forms, surrogates and the upper end. */
static bool utf8_second(uint8_t first, uint8_t second)
{
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

bool utf8_valid(const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < len;) {
        size_t need = utf8_length(at[i]);
        if (!need || need > len - i)
            return false;
        if (need > 1 && !utf8_second(at[i], at[i + 1]))
            return false;
        for (size_t k = 2; k < need; k++)
            if ((at[i + k] & 0xc0) != 0x80)
                return false;
        i += need;
    }
    return true;
}
