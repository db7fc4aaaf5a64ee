/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/format.h"

#include <string.h>

/* The end of a directive of ours (behind its %), or NULL. */
static const char *simple(const char *at)
{
    if (*at == 's' || *at == 'c' || *at == '%')
        return at + 1;
    if (*at == 'j' || (at[0] == 'l' && at[1] == 'l'))
        at += *at == 'j' ? 1 : 2;
    else if ((*at == 'l' || *at == 'z') && sizeof(long) == 8)
        at++;
    return *at == 'd' || *at == 'i' || *at == 'u' ? at + 1 : NULL;
}

static char *digits(uint64_t number, bool negative, char *end)
{
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    if (negative)
        *--end = '-';
    return end;
}

const char *format_number(int64_t number, char out[FORMAT_NUMBER_SIZE])
{
    char *end = out + FORMAT_NUMBER_SIZE - 1;
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *end = 0;
    return digits(size, number < 0, end);
}

/* What lies behind the pointer is the caller's va_list, which goes on. */
struct arguments {
    va_list ap;
};

static void add_whole(struct buf *out, struct arguments *a, bool wide,
                      bool sign)
{
    char room[FORMAT_NUMBER_SIZE], *end = room + sizeof room;
    uint64_t size;
    bool negative = false;
    if (sign) {
        int64_t n = wide ? va_arg(a->ap, int64_t) : va_arg(a->ap, int);
        negative = n < 0;
        size = negative ? 0 - (uint64_t)n : (uint64_t)n;
    } else {
        size = wide ? va_arg(a->ap, uint64_t) : va_arg(a->ap, unsigned);
    }
    const char *text = digits(size, negative, end);
    buf_add(out, text, (size_t)(end - text));
}

/* at: behind the %; end: behind the directive. */
static void add_one(struct buf *out, struct arguments *a, const char *at,
                    const char *end)
{
    const char *text;
    switch (end[-1]) {
    case '%':
        buf_add_char(out, '%');
        break;
    case 'c':
        buf_add_char(out, (char)va_arg(a->ap, int));
        break;
    case 's':
        text = va_arg(a->ap, const char *);
        buf_add_str(out, text ? text : "(null)");
        break;
    default:
        add_whole(out, a, end - at > 1, end[-1] != 'u');
    }
}

bool format_add(struct buf *out, const char *format, va_list ap)
{
    struct arguments a;
    size_t before = out->len;
    const char *rest = format; /* NULL: a directive that is not ours */
    va_copy(a.ap, ap);
    while (rest) {
        const char *at = strchrnul(rest, '%');
        buf_add(out, rest, (size_t)(at - rest));
        if (!*at)
            break;
        rest = simple(at + 1);
        if (rest)
            add_one(out, &a, at + 1, rest);
    }
    va_end(a.ap);
    if (rest && !out->full)
        return true;
    if (out->data) {
        out->len = before;
        out->data[before] = 0;
    }
    return !rest && buf_vaddf(out, format, ap);
}
