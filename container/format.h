/* SPDX-License-Identifier: Apache-2.0
 *
 * format.h: printf for the usual case.
 *
 * What    %s %c %d %i %u %% and the l, ll, z, j forms of the whole numbers,
 *         without flags, width and precision, are written straight into the
 *         buffer; anything else goes to the C library. A page of a few lines
 *         costs a tenth of what vsnprintf does twice over.
 * Errors  false: the buffer is full; nothing was added.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_FORMAT_H
#define MARGAY_CONTAINER_FORMAT_H

#include "session/buf.h"

#include <stdint.h>

bool format_add(struct buf *out, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* The decimal digits. Returns out. */
#define FORMAT_NUMBER_SIZE 24
const char *format_number(int64_t number, char out[FORMAT_NUMBER_SIZE]);

#endif
