/* SPDX-License-Identifier: Apache-2.0
 *
 * first_line.h: the first line of a file: where a password, a url with one or
 * a key stands in a file of its own, so that only its owner can read it.
 *
 * What    Reads it once, without its end. What is longer than the room is cut.
 * Owns    Nothing: whoever keeps a secret there wipes it (explicit_bzero).
 * Threads Any. */
#ifndef MARGAY_SESSION_FIRST_LINE_H
#define MARGAY_SESSION_FIRST_LINE_H

#include <stddef.h>

/* 0, and out, "" where the file or its first line is empty; or errno. */
int first_line_read(const char *path, char *out, size_t size);

#endif
