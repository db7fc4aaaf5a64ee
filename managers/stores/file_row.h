/* SPDX-License-Identifier: Apache-2.0
 *
 * file_row.h: the bytes of one row in a file of its own.
 *
 * What    A head of 64 bytes, then what was put. docs/stored-form.md describes
 *         it; tests/read_file.py reads it with that page alone.
 * Laws    The sum is over the head before it and all that follows: each of its
 *         steps can be undone, so a single word that is another always makes
 *         another sum. A file that is too short, too long, torn or of another
 *         id is damaged, never half believed.
 * Threads Pure. */
#ifndef MARGAY_MANAGERS_STORES_FILE_ROW_H
#define MARGAY_MANAGERS_STORES_FILE_ROW_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_HEAD 64
#define FILE_ROW_MAX (64 * 1024 * 1024) /* of what was put; a record has 16 */

struct file_head {
    uint8_t id[16];
    uint64_t version;
    int64_t expiry; /* wall ms */
    size_t len;     /* of what follows the head */
    uint64_t sum;
};

/* Fills in the sum as well. */
void file_head_write(const struct file_head *head, const void *bytes,
                     uint8_t out[FILE_HEAD]);
/* Reads a head, without its sum's verdict. RC_INVALID: it is none, or of
 * another id. RC_UNSUPPORTED: a newer version wrote it. */
enum rc file_head_read(const uint8_t *file, size_t len, const uint8_t id[16],
                       struct file_head *out);
/* Is `file`, head and all, what the head says? */
bool file_row_is_whole(const uint8_t *file, size_t len,
                       const struct file_head *head);
/* What stands for the version of a damaged file: the same while the file is. */
uint64_t file_row_mark(const uint8_t *file, size_t len);

#endif
