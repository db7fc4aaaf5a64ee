/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that are none: what is cut short, lengthened, of another type or out
 * of range is refused without a look behind its end; a wrong byte is noticed
 * or makes another frame, and nothing worse. */
#include "config.h"

#include "managers/cluster/frame.h"

#include "managers/cluster/place.h"
#include "session/buf.h"
#include "session/record.h"
#include "tests/frames.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX 4 /* bytes of the length */

/* Decodes bytes in memory of exactly their size. What is taken can be walked
 * and written, and that is a frame as well. */
static enum rc decode_bytes(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    struct frame f;

    if (len)
        memcpy(copy, bytes, len);
    enum rc rc = frame_decode(copy, len, &f, NULL);
    if (rc == RC_OK) {
        struct pack_writer w;
        pack_init(&w, len + PREFIX);
        frames_again(&w, &f);
        CHECK_INT(frame_decode(w.data + PREFIX, w.len - PREFIX, &f, NULL),
                  RC_OK);
        pack_release(&w);
    }
    free(copy);
    return rc;
}

static void an_old_version_is_told_apart(void)
{
    static const uint8_t old[] = {0x93, FRAME_HELLO, FRAME_VERSION_OLDEST - 1,
                                  0xc0};
    static const uint8_t now[] = {0x93, FRAME_HELLO, FRAME_VERSION, 0xc0};
    struct frame f;
    struct err err;

    CHECK_INT(frame_decode(old, sizeof old, &f, &err), RC_UNSUPPORTED);
    CU_ASSERT(strstr(err.text, "version 1 ") != NULL);
    CHECK_INT(frame_decode(now, sizeof now, &f, &err), RC_INVALID);
}

static void what_is_no_frame_is_refused(void)
{
#define REFUSED(bytes)                                                         \
    CHECK_INT(decode_bytes((const uint8_t *)bytes, sizeof bytes - 1),          \
              RC_INVALID)
    REFUSED("");
    REFUSED("\x90");     /* nothing in it */
    REFUSED("\x91\x00"); /* types that are not used */
    REFUSED("\x93\x02\x01\xc2");
    REFUSED("\x91\x12");
    REFUSED("\x91\xff");
    REFUSED("\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    REFUSED("\x81\x0e\x0e"); /* a map */
    REFUSED("\x0e");
    REFUSED("\x91\xa1\x0e");
    REFUSED("\xdd\xff\xff\xff\xff\x0e");
    REFUSED("\x92\x06\xff"); /* MISSED: a negative number */
    REFUSED("\x92\x06\xd3\xff\xff\xff\xff\xff\xff\xff\xff");
    REFUSED("\x92\x06\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    REFUSED("\x92\x06\x01\x01");         /* and something behind */
    REFUSED("\x92\x05\xc0");             /* ACK: of nothing */
    REFUSED("\x92\x05\x93\x01\x05\x04"); /* (5, 4] */
    REFUSED("\x92\x05\x93\x01\x00\x00"); /* no hole */
    REFUSED("\x92\x05\x92\x01\x05");
    REFUSED("\x92\x05\x91\x01");
    REFUSED("\x92\x0f\xa1\x1f"); /* REFUSED: not a printable text */
    REFUSED("\x92\x0f\xa1\x7f");
    REFUSED("\x92\x0f\xa1\x00");
    REFUSED("\x92\x0f\xc4\x01x");
    REFUSED("\x97\x04\xcf\xff\xff\xff\xff\xff\xff\xff\xff" /* UPDATES: */
            "\x01\x00\xc2\x00\x90");             /* one more than there are */
    REFUSED("\x97\x04\x01\x00\x00\xc2\xc2\x90"); /* its ack is a bool */
    REFUSED("\x97\x04\x01\x00\x00\xc0\xc0\x90"); /* waits is none */
    REFUSED("\x92\x12\x91\x00");                 /* KNOWN_ASK: no node */
    REFUSED("\x92\x12\x92\x01");                 /* one that is missing */
    REFUSED("\x92\x13\x91\x01");                 /* KNOWN: half of one */
    REFUSED("\x92\x13\x92\x01\x01");
    /* any form of a number will do */
    CHECK_INT(decode_bytes((const uint8_t *)"\xdc\x00\x02\xcd\x00\x06"
                                            "\xd1\x00\x05",
                           9),
              RC_OK);
}

/* UPDATES with one update in it, all written by hand. */
static enum rc one_update(uint64_t kind, uint64_t app, uint64_t age, size_t len)
{
    uint8_t *bytes = mem_zero(len + 1);
    struct pack_writer w;

    pack_init(&w, 0);
    pack_array(&w, 7);
    for (int i = 0; i < 4; i++)
        pack_uint(&w, i == 0 ? FRAME_UPDATES : 0);
    pack_bool(&w, true);
    pack_nil(&w);
    pack_array(&w, 5);
    pack_uint(&w, kind);
    pack_uint(&w, app);
    pack_uint(&w, 0);
    pack_uint(&w, age);
    pack_bin(&w, bytes, len);
    enum rc rc = decode_bytes(w.data, w.len);
    pack_release(&w);
    free(bytes);
    return rc;
}

static void an_update_out_of_range_is_refused(void)
{
    CHECK_INT(one_update(UPDATE_RECORD, 1, 0, 1), RC_OK);
    CHECK_INT(one_update(UPDATE_RECORD, 1, 0, 0), RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 1, 0, RECORD_MAX_BYTES), RC_OK);
    CHECK_INT(one_update(UPDATE_RECORD, 1, 0, RECORD_MAX_BYTES + 1),
              RC_INVALID);
    CHECK_INT(one_update(UPDATE_TOUCH, 1, 0, ID_SIZE), RC_OK);
    CHECK_INT(one_update(UPDATE_TOUCH, 1, 0, ID_SIZE - 1), RC_INVALID);
    CHECK_INT(one_update(UPDATE_TOUCH, 1, 0, ID_SIZE + 1), RC_INVALID);
    CHECK_INT(one_update(UPDATE_PLACE, 1, 0, ID_SIZE), RC_INVALID);
    CHECK_INT(one_update(UPDATE_PLACE, 1, 0, PLACE_MIN), RC_INVALID);
    CHECK_INT(one_update(UPDATE_PLACE + 1, 1, 0, ID_SIZE), RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, UINT32_MAX, 0, 1), RC_OK);
    CHECK_INT(one_update(UPDATE_RECORD, (uint64_t)UINT32_MAX + 1, 0, 1),
              RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 0, 0, 1), RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 1, FRAME_TIME_MAX, 1), RC_OK);
    CHECK_INT(one_update(UPDATE_RECORD, 1, FRAME_TIME_MAX + 1ull, 1),
              RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 1, UINT64_MAX, 1), RC_INVALID);
}

/* RECORDS for application 1 with one update in an array that claims to have
 * that many elements. */
static enum rc one_record(uint32_t leaf, uint64_t kind, uint64_t app,
                          size_t elements)
{
    static const uint8_t bytes[ID_SIZE];
    struct pack_writer w;

    pack_init(&w, 0);
    pack_array(&w, 8);
    pack_uint(&w, FRAME_RECORDS);
    pack_uint(&w, 9);
    pack_uint(&w, 1);
    pack_uint(&w, leaf);
    pack_bin(&w, bytes, 0);
    pack_uint(&w, 0);
    pack_bin(&w, bytes, 0);
    pack_array(&w, elements);
    pack_uint(&w, kind);
    pack_uint(&w, app);
    pack_uint(&w, 0);
    pack_uint(&w, 0);
    pack_bin(&w, bytes, sizeof bytes);
    enum rc rc = decode_bytes(w.data, w.len);
    pack_release(&w);
    return rc;
}

static void records_are_of_their_leaf(void)
{
    CHECK_INT(one_record(FRAME_LEAVES - 1, UPDATE_RECORD, 1, 5), RC_OK);
    CHECK_INT(one_record(FRAME_LEAVES, UPDATE_RECORD, 1, 5), RC_INVALID);
    CHECK_INT(one_record(0, UPDATE_TOUCH, 1, 5), RC_INVALID);
    CHECK_INT(one_record(0, UPDATE_RECORD, 2, 5), RC_INVALID);
    CHECK_INT(one_record(0, UPDATE_RECORD, 1, 4), RC_INVALID);
    CHECK_INT(one_record(0, UPDATE_RECORD, 1, 6), RC_INVALID);
    CHECK_INT(one_record(0, UPDATE_RECORD, 1, 10), RC_INVALID);
}

/* SUMS written by hand. */
static enum rc some_sums(uint32_t app, bool last, unsigned bits, unsigned sums,
                         uint64_t sum)
{
    uint8_t ended[FRAME_BITS] = {0}, some[FRAME_BITS] = {0}, row[64] = {0};
    struct pack_writer w;

    for (unsigned i = 0; i < bits; i++)
        some[FRAME_BITS - 1] |= (uint8_t)(0x80 >> i);
    for (unsigned i = 0; i < sums; i++)
        memcpy(row + 8 * (size_t)i, &sum, 8);
    pack_init(&w, 0);
    pack_array(&w, 10);
    pack_uint(&w, FRAME_SUMS);
    pack_uint(&w, 1);
    pack_bool(&w, last);
    pack_bool(&w, true);
    pack_uint(&w, 1);
    pack_uint(&w, app);
    pack_bin(&w, ended, sizeof ended);
    pack_bin(&w, some, sizeof some);
    pack_bin(&w, row, 8 * (size_t)sums);
    pack_array(&w, 0);
    enum rc rc = decode_bytes(w.data, w.len);
    pack_release(&w);
    return rc;
}

static void sums_and_their_bits_agree(void)
{
    CHECK_INT(some_sums(1, false, 3, 3, 1), RC_OK);
    CHECK_INT(some_sums(1, false, 3, 2, 1), RC_INVALID);
    CHECK_INT(some_sums(1, false, 3, 4, 1), RC_INVALID);
    CHECK_INT(some_sums(1, false, 3, 3, 0), RC_INVALID);
    CHECK_INT(some_sums(0, true, 0, 0, 1), RC_OK);
    CHECK_INT(some_sums(0, false, 0, 0, 1), RC_INVALID);
    CHECK_INT(some_sums(0, true, 1, 1, 1), RC_INVALID);
}

static void a_length_is_not_believed(void)
{
    const uint8_t *body;
    size_t len, need;
    uint8_t bytes[PREFIX] = {0};

    CHECK_INT(frame_split(bytes, PREFIX, &body, &len, &need), -1);
    for (unsigned i = 0; i < PREFIX; i++)
        bytes[i] = (uint8_t)(FRAME_MAX >> 8 * i);
    CHECK_INT(frame_split(bytes, PREFIX, &body, &len, &need), 0);
    CHECK_INT(need, FRAME_MAX + PREFIX);
    bytes[0]++;
    CHECK_INT(frame_split(bytes, PREFIX, &body, &len, &need), -1);
    memset(bytes, 0xff, PREFIX);
    CHECK_INT(frame_split(bytes, PREFIX, &body, &len, &need), -1);
    CHECK_INT(frame_split(bytes, PREFIX - 1, &body, &len, &need), 0);
    CHECK_INT(need, PREFIX);
}

/* A list of that length, all else in order. */
static enum rc many(enum frame_type type, size_t count)
{
    uint8_t *bytes = mem_zero(count * FRAME_ENTRY);
    struct pack_writer w;

    pack_init(&w, 0);
    pack_array(&w, type == FRAME_LEAF ? 7 : type == FRAME_RECORDS ? 8 : 2);
    pack_uint(&w, type);
    if (type == FRAME_LEAF || type == FRAME_RECORDS)
        for (int i = 0; i < 3; i++)
            pack_uint(&w, 1);
    if (type == FRAME_LEAF) {
        for (size_t i = 0; i < count; i++) { /* sorted */
            bytes[i * FRAME_ENTRY] = (uint8_t)(i >> 8);
            bytes[i * FRAME_ENTRY + 1] = (uint8_t)i;
        }
        pack_bin(&w, bytes, 0);
        pack_bool(&w, true);
        pack_bin(&w, bytes, count * FRAME_ENTRY);
    } else if (type == FRAME_RECORDS) {
        pack_bin(&w, bytes, 0);
        pack_uint(&w, 0);
        pack_bin(&w, bytes, count * ID_SIZE);
        pack_array(&w, 0);
    } else {
        pack_array(&w, type == FRAME_KNOWN ? 2 * count : count);
        for (size_t i = 0; i < count; i++) {
            pack_uint(&w, i + 1);
            if (type == FRAME_KNOWN)
                pack_bool(&w, true);
        }
    }
    enum rc rc = decode_bytes(w.data, w.len);
    pack_release(&w);
    free(bytes);
    return rc;
}

/* Who takes a list has room for so many. */
static void a_list_too_long_is_refused(void)
{
    static const struct {
        enum frame_type type;
        size_t max;
    } all[] = {{FRAME_KNOWN_ASK, FRAME_MEMBERS_MAX},
               {FRAME_KNOWN, FRAME_MEMBERS_MAX},
               {FRAME_RECORDS, FRAME_WANTS_MAX},
               {FRAME_LEAF, FRAME_LIST_MAX}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CHECK_INT(many(all[i].type, 1), RC_OK);
        CHECK_INT(many(all[i].type, all[i].max), RC_OK);
        CHECK_INT(many(all[i].type, all[i].max + 1), RC_INVALID);
    }
}

/* ---- of any content ---- */

/* Cut anywhere, or with a byte more, it is none; of a long one, near its
 * ends. */
static bool is_refused_when_cut(uint64_t seed)
{
    struct pack_writer w;
    bool ok = true;

    frames_any_of(&w, seed);
    const uint8_t *body = w.data + PREFIX;
    size_t len = w.len - PREFIX;
    for (size_t cut = 0; cut < len; cut++) {
        if (len > 3000 && cut > 300 && cut < len - 100)
            cut = len - 100;
        ok = ok && decode_bytes(body, cut) == RC_INVALID;
    }
    pack_nil(&w);
    ok = ok && decode_bytes(w.data + PREFIX, len + 1) == RC_INVALID;
    pack_release(&w);
    return ok;
}

static void no_cut_frame_is_taken(void)
{
    run_seeds("frames cut", is_refused_when_cut,
              dice_count("MARGAY_FRAMES", 20000) / 100);
}

/* One byte of it is another one: taken or refused, and nothing worse
 * (decode_bytes looks at what is taken). */
static bool survives_a_wrong_byte(uint64_t seed)
{
    struct pack_writer w;
    struct dice d = dice_of(seed);

    frames_any_of(&w, seed);
    uint8_t *body = w.data + PREFIX;
    size_t len = w.len - PREFIX;
    bool small = len < 300;
    for (int i = 0; i < (small ? (int)len : 300); i++) {
        size_t at =
            small ? (size_t)i
                  : dice_below(&d, dice_one_in(&d, 2) ? 60 : (uint32_t)len);
        uint8_t right = body[at];
        for (int wrong = 0; wrong < (small && seed < 20 ? 256 : 3); wrong++) {
            body[at] =
                small && seed < 20 ? (uint8_t)wrong : (uint8_t)dice_next(&d);
            decode_bytes(body, len);
        }
        body[at] = right;
    }
    bool ok = decode_bytes(body, len) == RC_OK;
    pack_release(&w);
    return ok;
}

static void a_wrong_byte_does_no_harm(void)
{
    run_seeds("frames with a wrong byte each", survives_a_wrong_byte,
              dice_count("MARGAY_FRAMES", 20000) / 100);
}

/* The ack of UPDATES, the sixth value behind the array's header. */
static bool may_be_nil(const struct pack_writer *w, int at)
{
    return at == 6 && w->data[PREFIX + 1] == FRAME_UPDATES;
}

/* Each value of it in turn becomes nil, -2 or an empty map, which no field
 * takes, but for one that may be nil. */
static bool refuses_a_wrong_type(uint64_t seed)
{
    static const uint8_t wrong[] = {0xc0, 0xfe, 0x80};
    struct pack_writer w, other;
    struct pack_token t;
    bool ok = true;

    frames_any_of(&w, seed);
    struct pack_reader r = {w.data + PREFIX, w.data + w.len};
    pack_init(&other, w.len);
    for (int i = 0; r.p < r.end && i < 60; i++) {
        const uint8_t *from = r.p, *body = w.data + PREFIX;
        pack_read(&r, &t);
        for (size_t k = 0; k < sizeof wrong; k++) {
            other.len = 0;
            pack_raw(&other, body, (size_t)(from - body));
            pack_raw(&other, &wrong[k], 1);
            pack_raw(&other, r.p, (size_t)(r.end - r.p));
            if (wrong[k] == 0xc0 && may_be_nil(&w, i))
                continue;
            ok = ok && decode_bytes(other.data, other.len) == RC_INVALID;
        }
    }
    pack_release(&other);
    pack_release(&w);
    return ok;
}

static void no_wrong_type_is_taken(void)
{
    run_seeds("frames with a value of a wrong type each", refuses_a_wrong_type,
              dice_count("MARGAY_FRAMES", 20000) / 100);
}

UNIT_MAIN("frame_garbage", CASE(an_old_version_is_told_apart),
          CASE(what_is_no_frame_is_refused),
          CASE(an_update_out_of_range_is_refused),
          CASE(records_are_of_their_leaf), CASE(sums_and_their_bits_agree),
          CASE(a_length_is_not_believed), CASE(a_list_too_long_is_refused),
          CASE(no_cut_frame_is_taken), CASE(a_wrong_byte_does_no_harm),
          CASE(no_wrong_type_is_taken))
