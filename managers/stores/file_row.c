/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/file_row.h"

#include <string.h>

#define FORMAT 1
#define SUM_AT 56
#define SUM_BEGIN UINT64_C(0xcbf29ce484222325)
#define SUM_TIMES UINT64_C(0x100000001b3)

static const char magic[8] = {'M', 'R', 'G', 'Y', 'f', 'i', 'l', 'e'};

static void put64(uint8_t *at, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        at[i] = (uint8_t)v;
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | at[i];
    return v;
}

/* Eight bytes at a time, the last ones filled up with zeros. */
static uint64_t sum_on(uint64_t sum, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        sum = (sum ^ get64(at)) * SUM_TIMES;
        sum ^= sum >> 29;
    }
    if (len) {
        uint8_t last[8] = {0};
        memcpy(last, at, len);
        sum = (sum ^ get64(last)) * SUM_TIMES;
        sum ^= sum >> 29;
    }
    return sum;
}

void file_head_write(const struct file_head *h, const void *bytes,
                     uint8_t out[FILE_HEAD])
{
    memcpy(out, magic, sizeof magic);
    put64(out + 8, FORMAT);
    memcpy(out + 16, h->id, 16);
    put64(out + 32, h->version);
    put64(out + 40, (uint64_t)h->expiry);
    put64(out + 48, h->len);
    put64(out + SUM_AT, sum_on(sum_on(SUM_BEGIN, out, SUM_AT), bytes, h->len));
}

enum rc file_head_read(const uint8_t *file, size_t len, const uint8_t id[16],
                       struct file_head *h)
{
    if (len < FILE_HEAD || memcmp(file, magic, sizeof magic))
        return RC_INVALID;
    if (get64(file + 8) > FORMAT)
        return RC_UNSUPPORTED;
    if (get64(file + 8) != FORMAT || memcmp(file + 16, id, 16) ||
        get64(file + 48) > FILE_ROW_MAX)
        return RC_INVALID;
    memcpy(h->id, id, 16);
    h->version = get64(file + 32);
    h->expiry = (int64_t)get64(file + 40);
    h->len = (size_t)get64(file + 48);
    h->sum = get64(file + SUM_AT);
    return h->version && h->version <= INT64_MAX ? RC_OK : RC_INVALID;
}

bool file_row_is_whole(const uint8_t *file, size_t len,
                       const struct file_head *h)
{
    return len == FILE_HEAD + h->len &&
           sum_on(sum_on(SUM_BEGIN, file, SUM_AT), file + FILE_HEAD, h->len) ==
               h->sum;
}

uint64_t file_row_mark(const uint8_t *file, size_t len)
{
    return (sum_on(SUM_BEGIN + len, file, len) & INT64_MAX) | 1;
}
