/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that lies in the place of a row: what is believed of it is what was
 * once written, byte for byte, and damage has a mark of its own. The first 16
 * bytes are the id that is asked for, the rest the file. */
#include "config.h"

#include "managers/stores/file_row.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

/* Whoever put these bytes wrote this file. */
static void expect_as_written(const uint8_t *file, size_t len,
                              const struct file_head *head)
{
    uint8_t again[FILE_HEAD];

    expect(len == FILE_HEAD + head->len);
    expect(head->version != 0 && head->version <= INT64_MAX);
    file_head_write(head, file + FILE_HEAD, again);
    expect(memcmp(again, file, FILE_HEAD) == 0);
}

/* The same content under that id, which is found again, and not when any of
 * its bytes is another. */
static void write_and_read(const uint8_t id[16], const uint8_t *bytes,
                           size_t len)
{
    struct file_head head = {.version = len + 1, .expiry = -5, .len = len}, got;
    uint8_t *file = malloc(FILE_HEAD + len);

    expect(file != NULL);
    memcpy(head.id, id, 16);
    file_head_write(&head, bytes, file);
    memcpy(file + FILE_HEAD, bytes, len);
    size_t whole = FILE_HEAD + len;
    expect(file_head_read(file, whole, id, &got) == RC_OK);
    expect(file_row_is_whole(file, whole, &got));
    expect(got.version == head.version && got.expiry == -5 && got.len == len);
    for (size_t i = 0; i < whole; i += 1 + whole / 64) {
        file[i] ^= 0x40;
        expect(file_head_read(file, whole, id, &got) != RC_OK ||
               !file_row_is_whole(file, whole, &got));
        file[i] ^= 0x40;
    }
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct file_head head;

    if (size < 16)
        return 0;
    const uint8_t *file = data + 16;
    size_t len = size - 16;
    enum rc rc = file_head_read(file, len, data, &head);
    expect(rc == RC_OK || rc == RC_INVALID || rc == RC_UNSUPPORTED);
    if (rc == RC_OK && file_row_is_whole(file, len, &head))
        expect_as_written(file, len, &head);
    uint64_t mark = file_row_mark(file, len);
    expect(mark != 0 && mark <= INT64_MAX && mark == file_row_mark(file, len));
    if (len < 4096)
        write_and_read(data, file, len);
    return 0;
}
