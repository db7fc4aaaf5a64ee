/* SPDX-License-Identifier: Apache-2.0
 *
 * percent.h: %-sequences and UTF-8.
 *
 * What    The byte rules that paths, query strings and forms share: RFC 3986
 *         (percent-encoding) and RFC 3629 (UTF-8).
 * Owns    Nothing: all memory is the caller's.
 * Errors  -1 or false: the bytes are not acceptable. The caller words it.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_PERCENT_H
#define MARGAY_CONTAINER_PERCENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct buf;

/* The byte 0..255 of the %-sequence that begins at `at` (which points to its
 * %) and must lie before `end`; -1: cut off, or not two hexadecimal digits. */
int percent_byte(const char *at, const char *end);
/* Decodes len bytes and, with plus, turns each + into a space. out has room
 * for len bytes and may be `in` itself: the result is never longer. Returns
 * its length, -1: a bad %-sequence. No closing 0 is written. */
ssize_t percent_decode(char *out, const char *in, size_t len, bool plus);
/* Appends a decoded path in the form that it has in a URL: what may stand in
 * a path stays, / included; the rest, and the ; of a name, becomes %XX. False:
 * the buffer is full. */
bool percent_encode_path(struct buf *out, const char *path, size_t len);
/* Well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF.
 * A 0 byte is well-formed. */
bool utf8_valid(const char *text, size_t len);

#endif
