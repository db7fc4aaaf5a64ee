/* SPDX-License-Identifier: Apache-2.0
 *
 * base64.h: bytes as text.
 *
 * What    The alphabet of RFC 4648, section 4, with its padding; no line ends,
 *         no blanks. What is read has to be what would be written: one text
 *         for each row of bytes.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_BASE64_H
#define MARGAY_CONTAINER_BASE64_H

#include "session/buf.h"

#include <stdint.h>

/* Appends; false: the buffer's ceiling. */
bool base64_write(struct buf *out, const void *bytes, size_t len);
/* Appends what the text stands for; false: it is none, or the ceiling. */
bool base64_read(struct buf *out, const char *text, size_t len);

#endif
