/* SPDX-License-Identifier: Apache-2.0
 *
 * MessagePack: what we write is the shortest form of the specification, what
 * we read is what msgpack-c reads, and bytes that end too early or lie about
 * their length are refused without a look behind their end. */
#include "config.h"

#include "session/pack.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

static bool written(struct pack_writer *w, const char *bytes, size_t len)
{
    bool same = w->len == len && memcmp(w->data, bytes, len) == 0;
    pack_release(w);
    return same;
}

#define WRITES(call, bytes)                                                    \
    do {                                                                       \
        struct pack_writer w;                                                  \
        pack_init(&w, 0);                                                      \
        call;                                                                  \
        CU_ASSERT(written(&w, bytes, sizeof bytes - 1));                       \
    } while (0)

static void writes_shortest_forms(void)
{
    WRITES(pack_nil(&w), "\xc0");
    WRITES(pack_bool(&w, false), "\xc2");
    WRITES(pack_bool(&w, true), "\xc3");
    WRITES(pack_int(&w, 0), "\x00");
    WRITES(pack_int(&w, 127), "\x7f");
    WRITES(pack_int(&w, 128), "\xcc\x80");
    WRITES(pack_int(&w, 255), "\xcc\xff");
    WRITES(pack_int(&w, 256), "\xcd\x01\x00");
    WRITES(pack_int(&w, 65536), "\xce\x00\x01\x00\x00");
    WRITES(pack_int(&w, INT64_MAX), "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    WRITES(pack_int(&w, -1), "\xff");
    WRITES(pack_int(&w, -32), "\xe0");
    WRITES(pack_int(&w, -33), "\xd0\xdf");
    WRITES(pack_int(&w, -129), "\xd1\xff\x7f");
    WRITES(pack_int(&w, -32769), "\xd2\xff\xff\x7f\xff");
    WRITES(pack_int(&w, INT64_MIN), "\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    WRITES(pack_uint(&w, 200), "\xcc\xc8");
    WRITES(pack_uint(&w, UINT64_MAX), "\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    WRITES(pack_double(&w, 1.5), "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
    WRITES(pack_str(&w, "", 0), "\xa0");
    WRITES(pack_str(&w, "a\0b", 3), "\xa3"
                                    "a\0b");
    WRITES(pack_bin(&w, "ab", 2), "\xc4\x02"
                                  "ab");
    WRITES(pack_array(&w, 15), "\x9f");
    WRITES(pack_array(&w, 16), "\xdc\x00\x10");
    WRITES(pack_raw(&w, "\x01\x02", 2), "\x01\x02");
}

/* One token from memory of exactly that size. */
static bool read_one(const struct pack_writer *w, struct pack_token *t)
{
    uint8_t *copy = mem_alloc(w->len + 1);
    memcpy(copy, w->data, w->len);
    struct pack_reader r = {copy, copy + w->len};
    bool ok = pack_read(&r, t) && r.p == r.end;
    free(copy);
    return ok;
}

static void numbers_come_back(void)
{
    for (unsigned bit = 0; bit < 64; bit++)
        for (int off = -2; off <= 2; off++) {
            uint64_t u = ((uint64_t)1 << bit) + (uint64_t)(int64_t)off;
            struct pack_token t;
            struct pack_writer w;
            pack_init(&w, 1);
            pack_uint(&w, u);
            CU_ASSERT(read_one(&w, &t) && t.u == u);
            CU_ASSERT(t.type == (u > INT64_MAX ? PACK_UINT : PACK_INT));
            w.len = 0;
            pack_int(&w, (int64_t)u);
            CU_ASSERT(read_one(&w, &t) && t.i == (int64_t)u);
            CU_ASSERT(t.type == PACK_INT);
            pack_release(&w);
        }
}

static void doubles_come_back(void)
{
    static const double rows[] = {
        0.0, -0.0, 1.5, -1e308, 5e-324, __builtin_inf(), __builtin_nan("7")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pack_token t;
        struct pack_writer w;
        pack_init(&w, 1);
        pack_double(&w, rows[i]);
        CU_ASSERT(read_one(&w, &t) && t.type == PACK_DOUBLE);
        CU_ASSERT(memcmp(&t.real, &rows[i], 8) == 0);
        pack_release(&w);
    }
    static const uint8_t single[] = {0xca, 0x3f, 0xc0, 0, 0};
    struct pack_reader r = {single, single + sizeof single};
    struct pack_token t;
    CU_ASSERT(pack_read(&r, &t) && t.type == PACK_DOUBLE && t.real == 1.5);
}

static void lengths_come_back(void)
{
    static const size_t rows[] = {0,   1,   31,    32,    255,
                                  256, 257, 65535, 65536, 70000};
    char *bytes = mem_zero(70000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pack_writer w;
        struct pack_token t;
        pack_init(&w, 0);
        pack_str(&w, bytes, rows[i]);
        CU_ASSERT(read_one(&w, &t));
        CU_ASSERT(t.type == PACK_STR && t.len == rows[i]);
        w.len = 0;
        pack_bin(&w, bytes, rows[i]);
        CU_ASSERT(read_one(&w, &t));
        CU_ASSERT(t.type == PACK_BIN && t.len == rows[i]);
        w.len = 0;
        pack_array(&w, rows[i]);
        CU_ASSERT(read_one(&w, &t));
        CU_ASSERT(t.type == PACK_ARRAY && t.len == rows[i]);
        pack_release(&w);
    }
    free(bytes);
}

static void lent_memory_is_left_when_it_is_too_small(void)
{
    static const char text[] = "more than there is room for";
    uint8_t room[9];
    memset(room, 0xc1, sizeof room);
    struct pack_writer w;
    struct pack_token t;
    pack_init_in(&w, room, 8);
    pack_uint(&w, 500);
    CU_ASSERT(w.data == room && w.len == 3);
    pack_str(&w, text, strlen(text));
    CU_ASSERT(w.data != room && room[8] == 0xc1);
    struct pack_reader r = {w.data, w.data + w.len};
    CU_ASSERT(pack_read(&r, &t) && t.u == 500);
    CU_ASSERT(pack_read(&r, &t) && t.type == PACK_STR &&
              t.len == strlen(text) && !memcmp(t.p, text, t.len));
    pack_release(&w);
}

/* Each form of the specification once, whether or not we write it. */
#define FORM(bytes)                                                            \
    {                                                                          \
        bytes, sizeof bytes - 1                                                \
    }
static const struct form {
    const char *bytes;
    size_t len;
} forms[] = {
    FORM("\x05"),
    FORM("\xe5"),
    FORM("\xc0"),
    FORM("\xc2"),
    FORM("\xc3"),
    FORM("\xcc\x01"),
    FORM("\xcd\x01\x02"),
    FORM("\xce\x01\x02\x03\x04"),
    FORM("\xcf\x81\x02\x03\x04\x05\x06\x07\x08"),
    FORM("\xd0\x81"),
    FORM("\xd1\x81\x02"),
    FORM("\xd2\x81\x02\x03\x04"),
    FORM("\xd3\x81\x02\x03\x04\x05\x06\x07\x08"),
    FORM("\xca\x01\x02\x03\x04"),
    FORM("\xcb\x01\x02\x03\x04\x05\x06\x07\x08"),
    FORM("\xa2xy"),
    FORM("\xd9\x02xy"),
    FORM("\xda\x00\x02xy"),
    FORM("\xdb\x00\x00\x00\x02xy"),
    FORM("\xc4\x02xy"),
    FORM("\xc5\x00\x02xy"),
    FORM("\xc6\x00\x00\x00\x02xy"),
    FORM("\xc7\x02\x09xy"),
    FORM("\xc8\x00\x02\x09xy"),
    FORM("\xc9\x00\x00\x00\x02\x09xy"),
    FORM("\xd4\x09x"),
    FORM("\xd5\x09xy"),
    FORM("\xd6\x09wxyz"),
    FORM("\xd7\x09stuvwxyz"),
    FORM("\xd8\x09stuvwxyzstuvwxyz"),
    FORM("\x92\x01\x02"),
    FORM("\xdc\x00\x02\x01\x02"),
    FORM("\xdd\x00\x00\x00\x02\x01\x02"),
    FORM("\x81\x01\x02"),
    FORM("\xde\x00\x01\x01\x02"),
    FORM("\xdf\x00\x00\x00\x01\x01\x02"),
    FORM("\x92\x81\xa1x\x90\xc4\x00"),
};

static bool skips(const void *bytes, size_t len, size_t *used)
{
    uint8_t *copy = mem_alloc(len + 1);
    memcpy(copy, bytes, len);
    struct pack_reader r = {copy, copy + len};
    bool ok = pack_skip(&r);
    *used = len - (size_t)(r.end - r.p);
    free(copy);
    return ok;
}

static void every_form_is_read_whole_or_not(void)
{
    size_t used;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        CU_ASSERT(skips(forms[i].bytes, forms[i].len, &used));
        CHECK_INT(used, forms[i].len);
        for (size_t cut = 0; cut < forms[i].len; cut++)
            CU_ASSERT(!skips(forms[i].bytes, cut, &used));
    }
    CU_ASSERT(!skips("\xc1", 1, &used)); /* never used */
}

static void made_up_counts_end_at_once(void)
{
    size_t used;
    CU_ASSERT(!skips("\xdd\xff\xff\xff\xff\xc0\xc0", 7, &used));
    CU_ASSERT(!skips("\xdf\xff\xff\xff\xff\xc0\xc0", 7, &used));
    CU_ASSERT(!skips("\xc6\xff\xff\xff\xff\xc0\xc0", 7, &used));
    CU_ASSERT(!skips("\xc9\xff\xff\xff\xff\xc0\xc0", 7, &used));
    CU_ASSERT(!skips("\xdb\x80\x00\x00\x00\xc0\xc0", 7, &used));
}

static void depth_has_an_end(void)
{
    uint8_t bytes[33];
    size_t used;
    memset(bytes, 0x91, sizeof bytes);
    bytes[31] = 0xc0;
    CU_ASSERT(skips(bytes, 32, &used)); /* 31 arrays and what is in them */
    bytes[31] = 0x91;
    bytes[32] = 0xc0;
    CU_ASSERT(!skips(bytes, 33, &used));
}

/* Bytes that often are MessagePack; no counts that make msgpack-c allocate. */
static size_t any_bytes(struct dice *d, uint8_t *bytes, size_t max)
{
    size_t len = 1 + dice_below(d, (uint32_t)max);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)dice_next(d);
        if (dice_one_in(d, 2))
            bytes[i] %= 6;
        else if (dice_one_in(d, 2))
            bytes[i] = (uint8_t)(0xc0 + dice_below(d, 0x1c));
        if (bytes[i] >= 0xdc && bytes[i] < 0xe0)
            bytes[i] = 0x92;
    }
    return len;
}

static void reads_what_msgpack_c_reads(void)
{
    struct dice d = dice_of(1);
    uint8_t bytes[40];
    unsigned good = 0;

    for (int i = 0; i < 100000; i++) {
        size_t len = any_bytes(&d, bytes, sizeof bytes), ours, theirs = 0;
        msgpack_unpacked u;
        bool ok = skips(bytes, len, &ours);
        msgpack_unpacked_init(&u);
        msgpack_unpack_return rc =
            msgpack_unpack_next(&u, (const char *)bytes, len, &theirs);
        if (rc != MSGPACK_UNPACK_NOMEM_ERROR) /* their depth ends elsewhere */
            CHECK_INT(ok, rc == MSGPACK_UNPACK_SUCCESS);
        if (ok)
            CHECK_INT(ours, theirs);
        good += ok;
        msgpack_unpacked_destroy(&u);
    }
    CU_ASSERT(good > 10000 && good < 90000);
}

UNIT_MAIN("pack", CASE(writes_shortest_forms), CASE(numbers_come_back),
          CASE(doubles_come_back), CASE(lengths_come_back),
          CASE(lent_memory_is_left_when_it_is_too_small),
          CASE(every_form_is_read_whole_or_not),
          CASE(made_up_counts_end_at_once), CASE(depth_has_an_end),
          CASE(reads_what_msgpack_c_reads))
