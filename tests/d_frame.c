/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: each comes back as it was written, at the edges of every field too;
 * what is cut short, lengthened, of another type or out of range is refused
 * without a look behind its end. */
#include "config.h"

#include "managers/cluster/frame.h"

#include "session/buf.h"
#include "session/record.h"
#include "tests/frames.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX 4 /* bytes of the length */

static const uint8_t id[ID_SIZE + 1] = "0123456789abcdef";

/* The body of the one frame in w; w stays. */
static enum rc decode(const struct pack_writer *w, struct frame *f)
{
    const uint8_t *body = NULL;
    size_t len = 0, need = 0;
    struct err err;

    CHECK_INT_FATAL(frame_split(w->data, w->len, &body, &len, &need), 1);
    CU_ASSERT(body == w->data + PREFIX && len == w->len - PREFIX);
    enum rc rc = frame_decode(body, len, f, &err);
    if (rc != RC_OK)
        CU_ASSERT(err.text[0] != 0);
    return rc;
}

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
        CHECK_INT(decode(&w, &f), RC_OK);
        pack_release(&w);
    }
    free(copy);
    return rc;
}

static bool same_text(struct frame_text t, const char *text)
{
    return t.len == strlen(text) && memcmp(t.p, text, t.len) == 0;
}

#define TEXT(s) ((struct frame_text){s, sizeof(s) - 1})

static void hello_comes_back(void)
{
    struct frame_hello h = {
        .node = UINT64_MAX,
        .to = 7,
        .started = FRAME_TIME_MAX,
        .apart = -1,
        .applied = UINT64_MAX,
        .members = FRAME_MEMBERS_MAX,
        .lowest = UINT64_MAX,
        .cluster = TEXT("blue"),
        .name = TEXT(""),
        .address = TEXT("[::1]:4000"),
    };
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_hello(&w, &h);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_HELLO);
    CU_ASSERT(f.hello.node == UINT64_MAX && f.hello.to == 7);
    CU_ASSERT(f.hello.started == FRAME_TIME_MAX && f.hello.apart == -1);
    CU_ASSERT(f.hello.applied == UINT64_MAX);
    CU_ASSERT(f.hello.members == FRAME_MEMBERS_MAX);
    CU_ASSERT(f.hello.lowest == UINT64_MAX);
    CU_ASSERT(same_text(f.hello.cluster, "blue"));
    CU_ASSERT(same_text(f.hello.name, ""));
    CU_ASSERT(same_text(f.hello.address, "[::1]:4000"));
    w.len = 0;
    h.apart = INT64_MIN; /* any negative one is never */
    h.name = TEXT("a\nb\x7f\xc3\xa9");
    frame_hello(&w, &h);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.hello.apart, -1);
    CU_ASSERT(same_text(f.hello.name, "a?b?\xc3\xa9"));
    pack_release(&w);
}

static void pulse_comes_back(void)
{
    const struct frame_root roots[] = {{1, UINT64_MAX}, {UINT32_MAX, 0}};
    struct frame_pulse p = {
        .mono = FRAME_TIME_MAX,
        .echo = 5,
        .waits = true,
        .epoch = 9,
        .floor = UINT64_MAX,
        .compare = true,
        .seq = 300,
        .ack = {10, 20, 30},
        .root_count = 2,
    };
    struct frame_root root;
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_pulse(&w, &p, roots);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_PULSE);
    CU_ASSERT(f.pulse.mono == FRAME_TIME_MAX && f.pulse.echo == 5);
    CU_ASSERT(f.pulse.waits && f.pulse.compare && !f.pulse.answering);
    CU_ASSERT(f.pulse.epoch == 9 && f.pulse.floor == UINT64_MAX);
    CHECK_INT(f.pulse.seq, 300);
    CHECK_INT(f.pulse.ack.applied, 10);
    CHECK_INT(f.pulse.ack.ahead_from, 20);
    CHECK_INT(f.pulse.ack.ahead_to, 30);
    CHECK_INT(f.pulse.root_count, 2);
    CU_ASSERT(frame_next_root(&f.pulse, &root));
    CU_ASSERT(root.app == 1 && root.sum == UINT64_MAX);
    CU_ASSERT(frame_next_root(&f.pulse, &root));
    CU_ASSERT(root.app == UINT32_MAX && root.sum == 0);
    CU_ASSERT(!frame_next_root(&f.pulse, &root));
    w.len = 0;
    p.echo = INT64_MIN;
    p.waits = p.compare = false;
    p.answering = true;
    p.ack = (struct frame_ack){10, 10, 10}; /* no hole */
    p.root_count = 0;
    frame_pulse(&w, &p, NULL);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.pulse.answering && !f.pulse.waits && !f.pulse.compare);
    CHECK_INT(f.pulse.echo, -1);
    CU_ASSERT(f.pulse.ack.ahead_from == 0 && f.pulse.ack.ahead_to == 0);
    CU_ASSERT(!frame_next_root(&f.pulse, &root));
    pack_release(&w);
}

static void small_ones_come_back(void)
{
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_ack(&w, &(struct frame_ack){1, UINT64_MAX - 1, UINT64_MAX});
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_ACK && f.ack.applied == 1);
    CU_ASSERT(f.ack.ahead_from == UINT64_MAX - 1);
    CU_ASSERT(f.ack.ahead_to == UINT64_MAX);
    w.len = 0;
    frame_missed(&w, UINT64_MAX);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_MISSED && f.missed.upto == UINT64_MAX);
    w.len = 0;
    frame_sums_ask(&w, 77);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_SUMS_ASK && f.sums_ask.no == 77);
    w.len = 0;
    frame_leave(&w);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_LEAVE);
    CHECK_INT(w.len, PREFIX + 2);
    w.len = 0;
    frame_ask(&w, &(struct frame_ask){9, 8, id});
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_ASK && f.ask.no == 9 && f.ask.app == 8);
    CU_ASSERT(id_equal(f.ask.id, id));
    pack_release(&w);
}

static void a_refusal_is_cut_and_cleaned(void)
{
    char text[FRAME_NAME_MAX + 100];
    struct pack_writer w;
    struct frame f;

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    text[0] = '\r';
    pack_init(&w, 0);
    frame_refused(&w, text);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_REFUSED);
    CHECK_INT(f.refused.len, FRAME_NAME_MAX);
    CU_ASSERT(f.refused.p[0] == '?' && f.refused.p[1] == 'x');
    pack_release(&w);
}

static void updates_come_back(void)
{
    const struct frame_update rows[] = {
        {UPDATE_RECORD, 1, 0, 1000, id, 5},
        {UPDATE_TOUCH, UINT32_MAX, UINT64_MAX, 2000, id, ID_SIZE},
        /* an access after the frame, and one of before all times */
        {UPDATE_RECORD, 2, 3, 2001, id, 1},
        {UPDATE_RECORD, 2, 3, INT64_MIN, id, 1},
        {UPDATE_RECORD, 2, 3, INT64_MAX, id, 1},
    };
    const int64_t accesses[] = {1000, 2000, 2000, 2000 - FRAME_TIME_MAX, 2000};
    struct frame_updates u = {
        .from = UINT64_MAX - 5, .to = UINT64_MAX, .mono = 2000, .count = 5};
    struct frame_update out;
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_updates(&w, &u, rows);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.updates.from == UINT64_MAX - 5 && f.updates.to == UINT64_MAX);
    CHECK_INT(f.updates.mono, 2000);
    CHECK_INT(f.updates.count, 5);
    for (size_t i = 0; i < 5; i++) {
        CU_ASSERT_FATAL(frame_next_update(&f.updates.rest, &f.updates.count,
                                          f.updates.mono, &out));
        CHECK_INT(out.kind, rows[i].kind);
        CU_ASSERT(out.app == rows[i].app && out.owner == rows[i].owner);
        CHECK_INT(out.access, accesses[i]);
        CU_ASSERT(out.len == rows[i].len &&
                  memcmp(out.bytes, id, out.len) == 0);
    }
    CU_ASSERT(!frame_next_update(&f.updates.rest, &f.updates.count, 0, &out));
    pack_release(&w);
}

/* What stands around the record of a hit in a frame of many. */
static void an_update_costs_little(void)
{
    struct frame_update u = {UPDATE_RECORD, 0xdeadbeef, 0, 990, id, 5};
    struct frame_updates many = {.from = 1, .to = 2, .mono = 1000, .count = 1};
    struct pack_writer w;

    pack_init(&w, 0);
    frame_updates(&w, &many, &u);
    size_t fixed = w.len;
    CU_ASSERT(fixed <= 32);
    for (uint32_t len = 1; len < 70000; len += 777) {
        struct frame_update two[] = {u, u};
        two[1].len = len;
        two[1].bytes = mem_zero(len);
        w.len = 0;
        many.count = 2;
        frame_updates(&w, &many, two);
        size_t most = len < 256 ? 10 : len < 65536 ? 11 : 13;
        CU_ASSERT(w.len - fixed <= most + len);
        two[1].owner = UINT64_MAX;
        two[1].access = INT64_MIN;
        w.len = 0;
        frame_updates(&w, &many, two);
        CU_ASSERT(w.len - fixed <= frame_update_size(&two[1]));
        free((void *)two[1].bytes);
    }
    pack_release(&w);
}

static void sums_come_back(void)
{
    uint64_t sums[FRAME_LEAVES] = {0};
    uint8_t ended[FRAME_BITS] = {[3] = 9};
    const struct frame_applied vector[] = {{1, 2}, {UINT64_MAX, 0}};
    struct frame_sums s = {.no = 4,
                           .answering = true,
                           .seq = 6,
                           .app = 7,
                           .ended = ended,
                           .vector_count = 2};
    struct frame_applied applied;
    struct pack_writer w;
    struct frame f;

    sums[0] = 0x0807060504030201;
    sums[9] = 0x1817161514131211;
    sums[FRAME_LEAVES - 1] = UINT64_MAX;
    pack_init(&w, 0);
    frame_sums(&w, &s, sums, vector);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.sums.no == 4 && !f.sums.last && f.sums.answering);
    CU_ASSERT(f.sums.seq == 6 && f.sums.app == 7);
    CU_ASSERT(memcmp(f.sums.ended, ended, FRAME_BITS) == 0);
    CHECK_INT(f.sums.sum_count, 3);
    CU_ASSERT(f.sums.some[0] == 1 && f.sums.some[1] == 2);
    CHECK_INT(f.sums.some[FRAME_BITS - 1], 0x80);
    CU_ASSERT(f.sums.sums[0] == 1 && f.sums.sums[7] == 8);
    CU_ASSERT(f.sums.sums[8] == 0x11 && f.sums.sums[23] == 0xff);
    CHECK_INT(f.sums.vector_count, 2);
    CU_ASSERT(frame_next_applied(&f.sums, &applied));
    CU_ASSERT(applied.node == 1 && applied.seq == 2);
    CU_ASSERT(frame_next_applied(&f.sums, &applied));
    CU_ASSERT(applied.node == UINT64_MAX && applied.seq == 0);
    CU_ASSERT(!frame_next_applied(&f.sums, &applied));
    w.len = 0; /* no applications */
    frame_sums(&w, &(struct frame_sums){.last = true, .seq = 1}, NULL, NULL);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.sums.app == 0 && f.sums.last && f.sums.sum_count == 0);
    CU_ASSERT(!frame_next_applied(&f.sums, &applied));
    pack_release(&w);
}

static void leaf_comes_back(void)
{
    uint8_t entries[3 * FRAME_ENTRY] = {0};
    struct frame_leaf l = {.no = UINT64_MAX,
                           .app = 1,
                           .leaf = FRAME_LEAVES - 1,
                           .ended = true,
                           .entries = entries,
                           .count = 3};
    struct pack_writer w;
    struct frame f;

    entries[FRAME_ENTRY + ID_SIZE - 1] = 1;
    entries[2 * FRAME_ENTRY] = 0x80;
    pack_init(&w, 0);
    frame_leaf(&w, &l);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.leaf.no == UINT64_MAX && f.leaf.app == 1 && f.leaf.ended);
    CHECK_INT(f.leaf.leaf, FRAME_LEAVES - 1);
    CHECK_INT(f.leaf.count, 3);
    CU_ASSERT(memcmp(f.leaf.entries, entries, sizeof entries) == 0);
    w.len = 0; /* one id twice, with two hashes */
    entries[FRAME_ENTRY + ID_SIZE - 1] = 0;
    entries[FRAME_ENTRY + ID_SIZE] = 1;
    frame_leaf(&w, &l);
    CHECK_INT(decode(&w, &f), RC_INVALID);
    w.len = 0; /* one after a later one */
    entries[FRAME_ENTRY] = 0x81;
    frame_leaf(&w, &l);
    CHECK_INT(decode(&w, &f), RC_INVALID);
    w.len = 0;
    l.count = 0;
    frame_leaf(&w, &l);
    CHECK_INT(decode(&w, &f), RC_OK);
    CHECK_INT(f.leaf.count, 0);
    pack_release(&w);
}

static void a_leaf_names_no_more_than_its_limit(void)
{
    size_t count = FRAME_LIST_MAX + 2;
    uint8_t *entries = mem_zero(count * FRAME_ENTRY);
    struct pack_writer w;
    struct frame f;

    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < 4; b++)
            entries[i * FRAME_ENTRY + b] = (uint8_t)(i >> (24 - 8 * b));
    pack_init(&w, 0);
    frame_leaf(&w, &(struct frame_leaf){
                       .app = 1, .entries = entries, .count = (uint32_t)count});
    CHECK_INT(decode(&w, &f), RC_OK);
    CHECK_INT(f.leaf.count, FRAME_LIST_MAX);
    pack_release(&w);
    free(entries);
}

/* With all the ids that it may want and others before it. */
static void the_largest_record_fits(void)
{
    uint8_t *bytes = mem_zero(RECORD_MAX_BYTES);
    struct frame_update rows[] = {
        {UPDATE_RECORD, 7, 1, 5, bytes, FRAME_FULL},
        {UPDATE_RECORD, 7, 0, 5, bytes, RECORD_MAX_BYTES},
    };
    struct frame_records s = {.no = 3,
                              .app = 7,
                              .leaf = 12,
                              .more = true,
                              .mono = 6,
                              .wants = bytes,
                              .want_count = FRAME_WANTS_MAX,
                              .count = 2};
    struct frame_update out;
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_records(&w, FRAME_RECORDS, &s, rows);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_RECORDS);
    CU_ASSERT(f.records.no == 3 && f.records.app == 7 && f.records.more);
    CU_ASSERT(f.records.leaf == 12 && f.records.mono == 6);
    CHECK_INT(f.records.want_count, FRAME_WANTS_MAX);
    CU_ASSERT(frame_next_update(&f.records.rest, &f.records.count, 6, &out));
    CU_ASSERT(out.len == FRAME_FULL && out.owner == 1 && out.app == 7);
    CU_ASSERT(frame_next_update(&f.records.rest, &f.records.count, 6, &out));
    CU_ASSERT(out.len == RECORD_MAX_BYTES && out.access == 5);
    CU_ASSERT(!frame_next_update(&f.records.rest, &f.records.count, 6, &out));
    w.len = 0;
    s.no = s.want_count = 0;
    s.count = 1;
    frame_records(&w, FRAME_GIVE, &s, rows);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_GIVE && f.records.count == 1);
    pack_release(&w);
    free(bytes);
}

static void told_comes_back(void)
{
    struct frame_told t = {.no = 5,
                           .answering = true,
                           .mono = 100,
                           .found = true,
                           .update = {UPDATE_RECORD, 3, 4, -50, id, 9}};
    struct pack_writer w;
    struct frame f;

    pack_init(&w, 0);
    frame_told(&w, &t);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.type == FRAME_TOLD && f.told.no == 5 && f.told.answering);
    CU_ASSERT(f.told.found && f.told.mono == 100);
    CU_ASSERT(f.told.update.app == 3 && f.told.update.owner == 4);
    CHECK_INT(f.told.update.access, -50);
    CHECK_INT(f.told.update.len, 9);
    w.len = 0;
    t.found = t.answering = false;
    frame_told(&w, &t);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(!f.told.found && !f.told.answering && f.told.no == 5);
    pack_release(&w);
}

static void another_version_is_told_apart(void)
{
    static const uint8_t later[] = {0x93, FRAME_HELLO, FRAME_VERSION + 1, 0xc0};
    static const uint8_t now[] = {0x93, FRAME_HELLO, FRAME_VERSION, 0xc0};
    struct frame f;
    struct err err;

    CHECK_INT(frame_decode(later, sizeof later, &f, &err), RC_UNSUPPORTED);
    CU_ASSERT(strstr(err.text, "version 2") != NULL);
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
    REFUSED("\x91\x10");
    REFUSED("\x91\xff");
    REFUSED("\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    REFUSED("\x81\x0e\x0e"); /* a map */
    REFUSED("\x0e");
    REFUSED("\x91\xa1\x0e");
    REFUSED("\xdd\xff\xff\xff\xff\x0e");
    REFUSED("\x92\x06\xff"); /* MISSED: a negative number */
    REFUSED("\x92\x06\xd3\xff\xff\xff\xff\xff\xff\xff\xff");
    REFUSED("\x92\x06\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    REFUSED("\x92\x06\x01\x01");     /* and something behind */
    REFUSED("\x94\x05\x01\x05\x05"); /* ACK: an empty (5, 5] */
    REFUSED("\x94\x05\x01\x05\x04");
    REFUSED("\x92\x0f\xa1\x1f"); /* REFUSED: not a printable text */
    REFUSED("\x92\x0f\xa1\x7f");
    REFUSED("\x92\x0f\xa1\x00");
    REFUSED("\x92\x0f\xc4\x01x");
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
    pack_array(&w, 8);
    for (int i = 0; i < 7; i++)
        pack_uint(&w, i == 0 ? FRAME_UPDATES : 0);
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
    CHECK_INT(one_update(UPDATE_TOUCH + 1, 1, 0, ID_SIZE), RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, UINT32_MAX, 0, 1), RC_OK);
    CHECK_INT(one_update(UPDATE_RECORD, (uint64_t)UINT32_MAX + 1, 0, 1),
              RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 0, 0, 1), RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 1, FRAME_TIME_MAX, 1), RC_OK);
    CHECK_INT(one_update(UPDATE_RECORD, 1, FRAME_TIME_MAX + 1ull, 1),
              RC_INVALID);
    CHECK_INT(one_update(UPDATE_RECORD, 1, UINT64_MAX, 1), RC_INVALID);
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

static void a_stream_is_split_at_every_cut(void)
{
    struct dice d = dice_of(1);
    struct pack_writer w;
    size_t ends[FRAME_TYPES * 2], count = 0;

    pack_init(&w, 0);
    for (int type = 1; type < FRAME_TYPES; type++)
        if (frame_type_is_used(type) && type != FRAME_SUMS) {
            frames_any(&w, &d, (enum frame_type)type);
            ends[count++] = w.len;
        }
    for (size_t cut = 0; cut <= w.len; cut++) {
        const uint8_t *body, *p = w.data;
        size_t len, need, whole = 0;
        while (frame_split(p, cut - (size_t)(p - w.data), &body, &len, &need) ==
               1) {
            CU_ASSERT(body == p + PREFIX && need == len + PREFIX);
            p = body + len;
            CU_ASSERT((size_t)(p - w.data) == ends[whole]);
            whole++;
        }
        /* what it says it needs is more than there is, but not too much */
        CU_ASSERT(need > cut - (size_t)(p - w.data));
        if (cut < w.len)
            CU_ASSERT(need <= ends[whole] - (size_t)(p - w.data));
        CU_ASSERT(whole == count || ends[whole] > cut);
    }
    pack_release(&w);
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

/* ---- of any content ---- */

static void any_of(struct pack_writer *w, uint64_t seed)
{
    struct dice d = dice_of(seed);
    int type = 0;

    while (!frame_type_is_used(type))
        type = (int)dice_below(&d, FRAME_TYPES);
    pack_init(w, 0);
    frames_any(w, &d, (enum frame_type)type);
}

static bool comes_back(uint64_t seed)
{
    struct pack_writer w, again;
    const uint8_t *body;
    size_t len, need;
    struct frame f;

    any_of(&w, seed);
    bool ok = frame_split(w.data, w.len, &body, &len, &need) == 1 &&
              frame_decode(body, len, &f, NULL) == RC_OK;
    pack_init(&again, 0);
    if (ok)
        frames_again(&again, &f);
    ok = ok && again.len == w.len && memcmp(again.data, w.data, w.len) == 0;
    pack_release(&again);
    pack_release(&w);
    return ok;
}

static void any_frame_comes_back(void)
{
    run_seeds("frames", comes_back, dice_count("MARGAY_FRAMES", 20000));
}

/* Cut anywhere, or with a byte more, it is none; of a long one, near its
 * ends. */
static bool is_refused_when_cut(uint64_t seed)
{
    struct pack_writer w;
    bool ok = true;

    any_of(&w, seed);
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

    any_of(&w, seed);
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

/* Each value of it in turn becomes nil, -2 or an empty map, which no field
 * takes. */
static bool refuses_a_wrong_type(uint64_t seed)
{
    static const uint8_t wrong[] = {0xc0, 0xfe, 0x80};
    struct pack_writer w, other;
    struct pack_token t;
    bool ok = true;

    any_of(&w, seed);
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

UNIT_MAIN("frame", CASE(hello_comes_back), CASE(pulse_comes_back),
          CASE(small_ones_come_back), CASE(a_refusal_is_cut_and_cleaned),
          CASE(updates_come_back), CASE(an_update_costs_little),
          CASE(sums_come_back), CASE(leaf_comes_back),
          CASE(a_leaf_names_no_more_than_its_limit),
          CASE(the_largest_record_fits), CASE(told_comes_back),
          CASE(another_version_is_told_apart),
          CASE(what_is_no_frame_is_refused),
          CASE(an_update_out_of_range_is_refused),
          CASE(sums_and_their_bits_agree), CASE(a_stream_is_split_at_every_cut),
          CASE(a_length_is_not_believed), CASE(any_frame_comes_back),
          CASE(no_cut_frame_is_taken), CASE(a_wrong_byte_does_no_harm),
          CASE(no_wrong_type_is_taken))
