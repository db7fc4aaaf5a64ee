/* SPDX-License-Identifier: Apache-2.0
 *
 * hex.h: a digit of what came from outside.
 *
 * Threads Any. */
#ifndef MARGAY_SESSION_HEX_H
#define MARGAY_SESSION_HEX_H

/* 0 to 15, of both cases; -1: it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
