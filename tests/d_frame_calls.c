/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames of sessions that only some members hold: places among the updates,
 * calls and their answers. Each comes back as it was written; what does not
 * fit together is refused. */
#include "config.h"

#include "managers/cluster/frame.h"

#include "managers/cluster/place.h"
#include "session/buf.h"
#include "session/record.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX 4 /* bytes of the length */

static const uint8_t id[ID_SIZE + 1] = "0123456789abcdef";
static const uint8_t text[] = "not looked at";

static enum rc decode(const struct pack_writer *w, struct frame *f)
{
    return frame_decode(w->data + PREFIX, w->len - PREFIX, f, NULL);
}

static struct frame_update place_update(uint8_t bytes[PLACE_MAX], uint32_t app)
{
    struct place p = {
        .kind = PLACE_LIST, .stamp = 0x1234, .count = 2, .holders = {5, 6}};

    return (struct frame_update){.kind = UPDATE_PLACE,
                                 .app = app,
                                 .bytes = bytes,
                                 .len = (uint32_t)place_encode(&p, id, bytes)};
}

static struct frame_update record_update(uint32_t app)
{
    return (struct frame_update){.kind = UPDATE_RECORD,
                                 .app = app,
                                 .owner = 9,
                                 .access = -7,
                                 .bytes = text,
                                 .len = sizeof text};
}

/* docs/frames.md */
static void the_example_is_right(void)
{
    static const uint8_t expected[] =
        "0123456789abcdef"                  /* id */
        "\x34\x12\x00\x00\x00\x00\x00\x00"  /* stamp */
        "\x00\x00\x02"                      /* a list, of two */
        "\x05\x00\x00\x00\x00\x00\x00\x00"  /* the primary */
        "\x06\x00\x00\x00\x00\x00\x00\x00"; /* the backup */
    uint8_t bytes[PLACE_MAX];
    struct frame_update u = place_update(bytes, 1);

    CHECK_INT(u.len, sizeof expected - 1);
    CU_ASSERT(memcmp(bytes, expected, sizeof expected - 1) == 0);
}

static void places_travel_with_updates_and_records(void)
{
    uint8_t bytes[PLACE_MAX];
    struct frame_update rows[] = {place_update(bytes, 3), record_update(3)};
    struct frame_update out;
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_updates(&w, &(struct frame_updates){.to = 2, .count = 2}, rows);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(frame_next_update(&f.updates.rest, &f.updates.count, 0, &out));
    CHECK_INT(out.kind, UPDATE_PLACE);
    CU_ASSERT(out.len == rows[0].len && memcmp(out.bytes, bytes, out.len) == 0);
    for (int type = FRAME_RECORDS; type <= FRAME_GIVE; type++) {
        w.len = 0;
        frame_records(&w, (enum frame_type)type,
                      &(struct frame_records){.app = 3, .count = 2}, rows);
        CHECK_INT_FATAL(decode(&w, &f), RC_OK);
        CHECK_INT(f.records.count, 2);
    }
    bytes[26] = 3; /* holders that are not there */
    w.len = 0;
    frame_updates(&w, &(struct frame_updates){.to = 2, .count = 2}, rows);
    CHECK_INT(decode(&w, &f), RC_INVALID);
    pack_release(&w);
}

static void calls_come_back(void)
{
    struct frame_call c = {.no = UINT64_MAX,
                           .app = UINT32_MAX,
                           .id = id,
                           .kind = CALL_FIND,
                           .have = UINT64_MAX};
    uint8_t *delta = mem_zero(RECORD_MAX_BYTES);
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_call(&w, &c);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_CALL && f.call.no == UINT64_MAX);
    CU_ASSERT(f.call.app == UINT32_MAX && id_equal(f.call.id, id));
    CU_ASSERT(f.call.kind == CALL_FIND && f.call.have == UINT64_MAX);
    CHECK_INT(f.call.delta_len, 0);
    w.len = 0;
    c.kind = CALL_PEEK;
    c.have = 0;
    frame_call(&w, &c);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.call.kind == CALL_PEEK && f.call.have == 0);
    w.len = 0;
    c.kind = CALL_COMMIT;
    c.delta = delta;
    c.delta_len = RECORD_MAX_BYTES;
    frame_call(&w, &c);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.call.kind == CALL_COMMIT);
    CHECK_INT(f.call.delta_len, RECORD_MAX_BYTES);
    pack_release(&w);
    free(delta);
}

/* Written by hand. */
static enum rc a_call(uint64_t app, size_t id_len, uint64_t kind, uint64_t have,
                      size_t delta)
{
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    pack_raw(&w, id, PREFIX); /* in place of a length */
    pack_array(&w, 7);
    pack_uint(&w, FRAME_CALL);
    pack_uint(&w, 1);
    pack_uint(&w, app);
    pack_bin(&w, id, id_len);
    pack_uint(&w, kind);
    pack_uint(&w, have);
    pack_bin(&w, text, delta);
    enum rc rc = decode(&w, &f);
    pack_release(&w);
    return rc;
}

static void calls_that_do_not_fit_are_refused(void)
{
    CHECK_INT(a_call(1, ID_SIZE, CALL_FIND, 7, 0), RC_OK);
    CHECK_INT(a_call(0, ID_SIZE, CALL_FIND, 7, 0), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE - 1, CALL_FIND, 7, 0), RC_INVALID);
    CHECK_INT(a_call(1, 0, CALL_FIND, 7, 0), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE, CALL_FIND, 7, 1), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE, CALL_PEEK, 0, 1), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE, CALL_COMMIT, 0, 1), RC_OK);
    CHECK_INT(a_call(1, ID_SIZE, CALL_COMMIT, 0, 0), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE, CALL_COMMIT, 7, 1), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE, CALL_COMMIT + 1, 0, 1), RC_INVALID);
    CHECK_INT(a_call(1, ID_SIZE, CALL_COMMIT + 1, 0, 0), RC_INVALID);
}

static void replies_come_back(void)
{
    uint8_t bytes[PLACE_MAX];
    struct frame_update rows[] = {place_update(bytes, 3), record_update(3)};
    struct frame_update out;
    struct frame_reply y = {.no = 7, .answer = CALL_OK, .mono = 10, .count = 2};
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_reply(&w, &y, rows);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_REPLY && f.reply.no == 7);
    CU_ASSERT(f.reply.answer == CALL_OK && f.reply.mono == 10);
    CU_ASSERT(frame_next_update(&f.reply.rest, &f.reply.count, 10, &out));
    CU_ASSERT(out.kind == UPDATE_PLACE && out.app == 3);
    CU_ASSERT(frame_next_update(&f.reply.rest, &f.reply.count, 10, &out));
    CU_ASSERT(out.kind == UPDATE_RECORD && out.owner == 9);
    CHECK_INT(out.access, -7);
    CU_ASSERT(!frame_next_update(&f.reply.rest, &f.reply.count, 10, &out));
    y.count = 1; /* the one or the other */
    for (size_t i = 0; i < 2; i++) {
        w.len = 0;
        frame_reply(&w, &y, &rows[i]);
        CHECK_INT_FATAL(decode(&w, &f), RC_OK);
        CHECK_INT(f.reply.count, 1);
    }
    w.len = 0;
    y.count = 0;
    y.answer = CALL_UNAVAILABLE;
    frame_reply(&w, &y, NULL);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.reply.answer == CALL_UNAVAILABLE && f.reply.count == 0);
    pack_release(&w);
}

static void put(struct pack_writer *w, const struct frame_update *u)
{
    pack_uint(w, u->kind);
    pack_uint(w, u->app);
    pack_uint(w, 0);
    pack_uint(w, 0);
    pack_bin(w, u->bytes, u->len);
}

/* Written by hand; NULL: not there. */
static enum rc a_reply(uint64_t answer, const struct frame_update *first,
                       const struct frame_update *second)
{
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    pack_raw(&w, id, PREFIX);
    pack_array(&w, 5);
    pack_uint(&w, FRAME_REPLY);
    pack_uint(&w, 1);
    pack_uint(&w, answer);
    pack_uint(&w, 0);
    pack_array(&w, 5 * ((size_t) !!first + !!second));
    if (first)
        put(&w, first);
    if (second)
        put(&w, second);
    enum rc rc = decode(&w, &f);
    pack_release(&w);
    return rc;
}

static void replies_that_do_not_fit_are_refused(void)
{
    uint8_t bytes[PLACE_MAX];
    struct frame_update place = place_update(bytes, 3), other = place;
    struct frame_update record = record_update(3);
    struct frame_update touch = {
        .kind = UPDATE_TOUCH, .app = 3, .bytes = id, .len = ID_SIZE};

    other.app = 4;
    CHECK_INT(a_reply(CALL_OK, &place, &record), RC_OK);
    CHECK_INT(a_reply(CALL_OK, &record, &place), RC_INVALID);
    CHECK_INT(a_reply(CALL_OK, &place, &place), RC_INVALID);
    CHECK_INT(a_reply(CALL_OK, &record, &record), RC_INVALID);
    CHECK_INT(a_reply(CALL_OK, &other, &record), RC_INVALID);
    CHECK_INT(a_reply(CALL_OK, &touch, NULL), RC_INVALID);
    CHECK_INT(a_reply(CALL_ENDED, &record, NULL), RC_OK);
    CHECK_INT(a_reply(CALL_ENDED, NULL, NULL), RC_OK);
    CHECK_INT(a_reply(CALL_LACKS, NULL, NULL), RC_OK);
    CHECK_INT(a_reply(CALL_LACKS, &place, NULL), RC_INVALID);
    CHECK_INT(a_reply(CALL_LACKS, &record, NULL), RC_INVALID);
    CHECK_INT(a_reply(CALL_LACKS + 1, NULL, NULL), RC_INVALID);
    CHECK_INT(a_reply(CALL_ELSEWHERE, &place, NULL), RC_OK);
    CHECK_INT(a_reply(CALL_ELSEWHERE, NULL, NULL), RC_INVALID);
    CHECK_INT(a_reply(CALL_ELSEWHERE, &place, &record), RC_INVALID);
    CHECK_INT(a_reply(CALL_SAME, &place, NULL), RC_OK);
    CHECK_INT(a_reply(CALL_SAME, &record, NULL), RC_INVALID);
    CHECK_INT(a_reply(CALL_UNAVAILABLE, &record, NULL), RC_INVALID);
}

UNIT_MAIN("frame_calls", CASE(the_example_is_right),
          CASE(places_travel_with_updates_and_records), CASE(calls_come_back),
          CASE(calls_that_do_not_fit_are_refused), CASE(replies_come_back),
          CASE(replies_that_do_not_fit_are_refused))
