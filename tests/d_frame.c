/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: each comes back as it was written, at the edges of every field too,
 * and a stream of them falls apart at the right places. */
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

static bool same_text(struct frame_text t, const char *text)
{
    return t.len == strlen(text) && memcmp(t.p, text, t.len) == 0;
}

#define TEXT(s) ((struct frame_text){s, sizeof(s) - 1})

static void hello_comes_back(void)
{
    struct frame_hello h = {
        .version = FRAME_VERSION,
        .node = UINT64_MAX,
        .to = 7,
        .started = FRAME_TIME_MAX,
        .apart = -1,
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
    CHECK_INT(w.data[PREFIX], 0x9b); /* an array of 11 */
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_HELLO);
    CU_ASSERT(f.hello.node == UINT64_MAX && f.hello.to == 7);
    CU_ASSERT(f.hello.started == FRAME_TIME_MAX && f.hello.apart == -1);
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
    const struct frame_root roots[] = {{1, UINT64_MAX, false},
                                       {UINT32_MAX, 0, true}};
    struct frame_pulse p = {
        .mono = FRAME_TIME_MAX,
        .echo = 5,
        .waits = true,
        .epoch = 9,
        .floor = UINT64_MAX,
        .compare = true,
        .drains = true,
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
    CU_ASSERT(f.pulse.drains);
    CU_ASSERT(f.pulse.epoch == 9 && f.pulse.floor == UINT64_MAX);
    CHECK_INT(f.pulse.seq, 300);
    CHECK_INT(f.pulse.ack.applied, 10);
    CHECK_INT(f.pulse.ack.ahead_from, 20);
    CHECK_INT(f.pulse.ack.ahead_to, 30);
    CHECK_INT(f.pulse.root_count, 2);
    CU_ASSERT(frame_next_root(&f.pulse, &root));
    CU_ASSERT(root.app == 1 && root.sum == UINT64_MAX && !root.leaves);
    CU_ASSERT(frame_next_root(&f.pulse, &root));
    CU_ASSERT(root.app == UINT32_MAX && root.sum == 0 && root.leaves);
    CU_ASSERT(!frame_next_root(&f.pulse, &root));
    w.len = 0;
    p.echo = INT64_MIN;
    p.waits = p.compare = p.drains = false;
    p.answering = true;
    p.ack = (struct frame_ack){10, 12, 12}; /* nothing yet behind a hole */
    p.root_count = 0;
    frame_pulse(&w, &p, NULL);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.pulse.answering && !f.pulse.waits && !f.pulse.compare);
    CU_ASSERT(!f.pulse.drains);
    CHECK_INT(f.pulse.echo, -1);
    CU_ASSERT(f.pulse.ack.ahead_from == 12 && f.pulse.ack.ahead_to == 12);
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
    CHECK_INT(w.data[6], 0x93);
    w.len = 0;
    frame_ack(&w, &(struct frame_ack){.applied = 9});
    CU_ASSERT(w.len == 7 && memcmp(w.data + 4, "\x92\x05\x09", 3) == 0);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT(f.ack.applied == 9 && f.ack.ahead_from == 0);
    CHECK_INT(f.ack.ahead_to, 0);
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

static void known_ones_come_back(void)
{
    const uint64_t nodes[] = {1, UINT64_MAX};
    const struct frame_known_one all[] = {{7, true}, {UINT64_MAX, false}};
    struct frame_known_one one;
    struct pack_writer w;
    struct frame f;
    uint64_t node;

    pack_init(&w, 0);
    frame_known_ask(&w, nodes, 2);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_KNOWN_ASK);
    CU_ASSERT(frame_next_node(&f.known_ask, &node) && node == 1);
    CU_ASSERT(frame_next_node(&f.known_ask, &node) && node == UINT64_MAX);
    CU_ASSERT(!frame_next_node(&f.known_ask, &node));
    w.len = 0;
    frame_known(&w, all, 2);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CHECK_INT(f.type, FRAME_KNOWN);
    CU_ASSERT(frame_next_known(&f.known, &one) && one.node == 7 && one.known);
    CU_ASSERT(frame_next_known(&f.known, &one) && one.node == UINT64_MAX);
    CU_ASSERT(!one.known && !frame_next_known(&f.known, &one));
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

/* The example of docs/frames.md. */
static void the_example_is_right(void)
{
    static const uint8_t page[] = {
        0x24, 0,    0,    0,    0x97, 0x04, 0x29, 0x01, 0xcd, 0x04,
        0xd2, 0xc2, 0x07, 0x95, 0x01, 0xce, 0x12, 0x34, 0x56, 0x78,
        0,    0x22, 0xc4, 0x10, '0',  '1',  '2',  '3',  '4',  '5',
        '6',  '7',  '8',  '9',  'a',  'b',  'c',  'd',  'e',  'f'};
    struct frame_updates f = {.from = 41,
                              .to = 42,
                              .mono = 1234,
                              .has_ack = true,
                              .ack = {7, 0, 0},
                              .count = 1};
    struct frame_update u = {UPDATE_TOUCH, 0x12345678, 0, 1200, id, ID_SIZE};
    struct pack_writer w;

    pack_init(&w, 0);
    frame_updates(&w, &f, &u);
    CHECK_INT(w.len, sizeof page);
    CU_ASSERT(w.len == sizeof page && memcmp(w.data, page, w.len) == 0);
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

static void a_part_of_a_leaf_comes_back(void)
{
    uint8_t entries[2 * FRAME_ENTRY] = {0}, after[ID_SIZE] = {0};
    struct frame_leaf l = {
        .app = 1, .after = after, .entries = entries, .count = 2};
    struct pack_writer w;
    struct frame f;

    after[ID_SIZE - 1] = 7;
    entries[ID_SIZE - 1] = 8;
    entries[FRAME_ENTRY + ID_SIZE - 1] = 9;
    pack_init(&w, 0);
    frame_leaf(&w, &l);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT_FATAL(f.leaf.after != NULL);
    CU_ASSERT(memcmp(f.leaf.after, after, ID_SIZE) == 0);
    CHECK_INT(f.leaf.count, 2);
    w.len = 0; /* what is not behind it has no place there */
    after[ID_SIZE - 1] = 8;
    frame_leaf(&w, &l);
    CHECK_INT(decode(&w, &f), RC_INVALID);
    w.len = 0;
    l.after = NULL;
    frame_leaf(&w, &l);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT_PTR_NULL(f.leaf.after);
    pack_release(&w);
}

static enum rc leaf_of(size_t count, size_t after_len)
{
    uint8_t *entries = mem_zero(count * FRAME_ENTRY + 1);
    struct pack_writer w;
    struct frame f;

    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < 4; b++)
            entries[i * FRAME_ENTRY + b] = (uint8_t)((i + 1) >> (24 - 8 * b));
    pack_init(&w, 0);
    pack_array(&w, 7);
    pack_uint(&w, FRAME_LEAF);
    pack_uint(&w, 1);
    pack_uint(&w, 1);
    pack_uint(&w, 1);
    pack_bin(&w, (const uint8_t[ID_SIZE + 1]){0}, after_len);
    pack_bool(&w, false);
    pack_bin(&w, entries, count * FRAME_ENTRY);
    enum rc rc = frame_decode(w.data, w.len, &f, NULL);
    pack_release(&w);
    free(entries);
    return rc;
}

static void a_leaf_names_no_more_than_its_limit(void)
{
    CHECK_INT(leaf_of(FRAME_LIST_MAX, 0), RC_OK);
    CHECK_INT(leaf_of(FRAME_LIST_MAX + 1, 0), RC_INVALID);
    CHECK_INT(leaf_of(1, ID_SIZE), RC_OK);
    CHECK_INT(leaf_of(1, ID_SIZE - 1), RC_INVALID);
    CHECK_INT(leaf_of(1, ID_SIZE + 1), RC_INVALID);
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
                              .upto = id,
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
    CU_ASSERT(f.records.no == 3 && f.records.app == 7);
    CU_ASSERT_FATAL(f.records.upto != NULL);
    CU_ASSERT(memcmp(f.records.upto, id, ID_SIZE) == 0);
    CU_ASSERT(f.records.leaf == 12 && f.records.mono == 6);
    CHECK_INT(f.records.want_count, FRAME_WANTS_MAX);
    CU_ASSERT(frame_next_update(&f.records.rest, &f.records.count, 6, &out));
    CU_ASSERT(out.len == FRAME_FULL && out.owner == 1 && out.app == 7);
    CU_ASSERT(frame_next_update(&f.records.rest, &f.records.count, 6, &out));
    CU_ASSERT(out.len == RECORD_MAX_BYTES && out.access == 5);
    CU_ASSERT(!frame_next_update(&f.records.rest, &f.records.count, 6, &out));
    w.len = 0;
    s.upto = NULL; /* the last part of the leaf */
    frame_records(&w, FRAME_RECORDS, &s, rows);
    CHECK_INT_FATAL(decode(&w, &f), RC_OK);
    CU_ASSERT_PTR_NULL(f.records.upto);
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

/* ---- of any content ---- */

static bool comes_back(uint64_t seed)
{
    struct pack_writer w, again;
    const uint8_t *body;
    size_t len, need;
    struct frame f;

    frames_any_of(&w, seed);
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

UNIT_MAIN("frame", CASE(hello_comes_back), CASE(pulse_comes_back),
          CASE(small_ones_come_back), CASE(known_ones_come_back),
          CASE(a_refusal_is_cut_and_cleaned), CASE(updates_come_back),
          CASE(the_example_is_right), CASE(an_update_costs_little),
          CASE(sums_come_back), CASE(leaf_comes_back),
          CASE(a_part_of_a_leaf_comes_back),
          CASE(a_leaf_names_no_more_than_its_limit),
          CASE(the_largest_record_fits), CASE(told_comes_back),
          CASE(a_stream_is_split_at_every_cut), CASE(any_frame_comes_back))
