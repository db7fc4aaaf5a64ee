/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/frames.h"

#include "managers/cluster/place.h"
#include "session/buf.h"

#include <stdlib.h>

/* ---- any ---- */

static uint64_t any_number(struct dice *d)
{
    static const uint64_t edges[] = {0,          1,
                                     127,        128,
                                     255,        256,
                                     65535,      65536,
                                     UINT32_MAX, (uint64_t)1 << 32,
                                     INT64_MAX,  (uint64_t)1 << 63,
                                     UINT64_MAX};
    uint32_t which = dice_below(d, 20);

    if (which < sizeof edges / sizeof edges[0])
        return edges[which];
    return which < 17 ? dice_below(d, 1000) : dice_next(d);
}

static uint64_t any_but_0(struct dice *d)
{
    uint64_t u = any_number(d);
    return u ? u : 1;
}

static uint32_t any_app(struct dice *d)
{
    uint32_t app = (uint32_t)dice_next(d);
    return app ? app : 1;
}

static uint32_t any_leaf(struct dice *d)
{
    static const uint32_t edges[] = {0, 1, 255, FRAME_LEAVES - 1};
    return dice_one_in(d, 2) ? edges[dice_below(d, 4)]
                             : dice_below(d, FRAME_LEAVES);
}

static int64_t any_time(struct dice *d)
{
    return (int64_t)(any_number(d) & FRAME_TIME_MAX);
}

static bool any_bool(struct dice *d)
{
    return dice_one_in(d, 2);
}

static struct frame_text any_text(struct dice *d)
{
    static const char letters[] =
        "0123456789abcdefghijklmnopqrstuvwxyz:. 0123456789abcdefghijklmnopqrst"
        "0123456789abcdefghijklmnopqrstuvwxyz:. 0123456789abcdefghijklmnopqrst"
        "0123456789abcdefghijklmnopqrstuvwxyz:. 0123456789abcdefghijklmnopqrst"
        "0123456789abcdefghijklmnopqrstuvwxyz:. 0123456789abcdefghijklmnopqrst";
    static const uint32_t edges[] = {0, 1, 31, 32, FRAME_NAME_MAX};
    return (struct frame_text){
        letters, dice_one_in(d, 2) ? edges[dice_below(d, 5)]
                                   : dice_below(d, FRAME_NAME_MAX + 1)};
}

static struct frame_ack any_ack(struct dice *d)
{
    struct frame_ack a = {.applied = any_number(d)};

    if (any_bool(d)) {
        a.ahead_from = any_number(d) >> 1;
        a.ahead_to = a.ahead_from + dice_below(d, 100);
    }
    return a;
}

/* What records, ids and bits are made of. */
static uint8_t bytes[70000];

/* Kinds of updates: a bit each. */
enum {
    RECORDS = 1 << UPDATE_RECORD,
    PLACES = 1 << UPDATE_PLACE,
    ALL_KINDS = RECORDS | PLACES | 1 << UPDATE_TOUCH
};

/* One of some, the same ones for ever, with extremes among them. */
static const uint8_t *any_place(struct dice *d, uint32_t *len)
{
    static uint8_t rows[16][PLACE_MAX];
    uint32_t number = dice_below(d, 16);
    struct dice own = dice_of(number);
    struct place p = {.kind = (enum place_kind)(number % 3),
                      .stamp = number ? any_but_0(&own) : UINT64_MAX,
                      .count = 1 + number % PLACE_HOLDERS};

    if (p.stamp > PLACE_STAMP_MAX)
        p.stamp = PLACE_STAMP_MAX;
    if (p.kind != PLACE_LIST)
        p.reason = REASON_IDLE + dice_below(&own, REASON_COUNT - REASON_IDLE);
    for (unsigned i = 0; i < p.count; i++)
        p.holders[i] = i ? i : any_number(&own) | 8;
    *len = (uint32_t)place_encode(&p, bytes, rows[number]);
    return rows[number];
}

static struct frame_update any_update(struct dice *d, unsigned kinds,
                                      uint32_t app, int64_t mono)
{
    static const uint32_t sizes[] = {1, 2, 31, 80, 255, 256, 700};
    bool touch = kinds & 1 << UPDATE_TOUCH && any_bool(d);
    uint64_t age = (uint64_t)any_time(d);
    struct frame_update u = {
        .kind = touch ? UPDATE_TOUCH : UPDATE_RECORD,
        .app = app ? app : any_app(d),
        .owner = any_number(d),
        .access = mono - (int64_t)age,
        .bytes = bytes + dice_below(d, 100),
        .len = touch                ? ID_SIZE
               : dice_one_in(d, 50) ? 69000
                                    : sizes[dice_below(d, 7)],
    };

    if (kinds & PLACES && dice_one_in(d, 3)) {
        u.kind = UPDATE_PLACE;
        u.bytes = any_place(d, &u.len);
    }
    return u;
}

/* malloc'ed */
static struct frame_update *any_updates(struct dice *d, uint32_t *count,
                                        unsigned kinds, uint32_t app,
                                        int64_t mono)
{
    *count = dice_one_in(d, 20) ? 300 : dice_below(d, 5);
    struct frame_update *updates = mem_alloc((*count + 1) * sizeof *updates);
    for (uint32_t i = 0; i < *count; i++)
        updates[i] = any_update(d, kinds, app, mono);
    return updates;
}

static void any_hello(struct pack_writer *w, struct dice *d)
{
    struct frame_hello f = {
        .version = FRAME_VERSION_OLDEST + dice_below(d, 3),
        .node = any_but_0(d),
        .to = any_number(d),
        .started = any_time(d),
        .apart = any_time(d) - 1,
        .members = 1 + dice_below(d, FRAME_MEMBERS_MAX),
        .cluster = any_text(d),
        .name = any_text(d),
        .address = any_text(d),
    };

    f.lowest = any_but_0(d);
    if (f.lowest > f.node)
        f.lowest = f.node;
    frame_hello(w, &f);
}

static void any_pulse(struct pack_writer *w, struct dice *d)
{
    struct frame_root roots[FRAME_APPS_MAX];
    struct frame_pulse f = {
        .mono = any_time(d),
        .echo = any_time(d) - 1,
        .waits = any_bool(d),
        .epoch = any_number(d),
        .floor = any_number(d),
        .compare = any_bool(d),
        .answering = any_bool(d),
        .drains = any_bool(d),
        .seq = any_number(d),
        .ack = any_ack(d),
        .root_count = dice_one_in(d, 20) ? FRAME_APPS_MAX : dice_below(d, 4),
    };

    for (uint32_t i = 0; i < f.root_count; i++)
        roots[i] = (struct frame_root){any_app(d), any_number(d), any_bool(d)};
    frame_pulse(w, &f, roots);
}

static void any_frame_updates(struct pack_writer *w, struct dice *d)
{
    struct frame_updates f = {
        .to = any_number(d),
        .mono = any_time(d),
        .waits = any_bool(d),
        .has_ack = any_bool(d),
        .ack = any_ack(d),
    };

    f.from = any_number(d);
    if (f.from > f.to)
        f.from = f.to;
    struct frame_update *updates =
        any_updates(d, &f.count, ALL_KINDS, 0, f.mono);
    frame_updates(w, &f, updates);
    free(updates);
}

static void any_sums(struct pack_writer *w, struct dice *d)
{
    static uint64_t sums[FRAME_LEAVES];
    struct frame_applied vector[FRAME_MEMBERS_MAX];
    uint32_t one_in = 1 + dice_below(d, 1000);
    struct frame_sums f = {
        .no = any_number(d),
        .last = any_bool(d),
        .answering = any_bool(d),
        .seq = any_number(d),
        .app = any_app(d),
        .ended = bytes + dice_below(d, 1000),
        .vector_count =
            dice_one_in(d, 9) ? FRAME_MEMBERS_MAX : dice_below(d, 5),
    };

    if (dice_one_in(d, 5)) {
        f.app = 0;
        f.last = true;
    }
    for (size_t i = 0; i < FRAME_LEAVES; i++)
        sums[i] = dice_one_in(d, one_in) ? any_number(d) : 0;
    for (uint32_t i = 0; i < f.vector_count; i++)
        vector[i] = (struct frame_applied){any_but_0(d), any_number(d)};
    frame_sums(w, &f, sums, vector);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static void any_frame_leaf(struct pack_writer *w, struct dice *d)
{
    struct frame_leaf f = {
        .no = any_number(d),
        .app = any_app(d),
        .leaf = any_leaf(d),
        .ended = any_bool(d),
        .count = dice_one_in(d, 9) ? 700 : dice_below(d, 6),
    };
    uint8_t *entries = mem_alloc((size_t)(f.count + 1) * FRAME_ENTRY);

    for (size_t i = 0; i < ((size_t)f.count + 1) * FRAME_ENTRY; i++)
        entries[i] = (uint8_t)dice_next(d);
    qsort(entries, (size_t)f.count + 1, FRAME_ENTRY, by_id);
    f.entries = entries;
    if (any_bool(d)) { /* behind the first */
        f.after = entries;
        f.entries = entries + FRAME_ENTRY;
    }
    frame_leaf(w, &f);
    free(entries);
}

static void any_records(struct pack_writer *w, struct dice *d,
                        enum frame_type type)
{
    bool give = type == FRAME_GIVE;
    struct frame_records f = {
        .no = give ? 0 : any_number(d),
        .app = any_app(d),
        .leaf = any_leaf(d),
        .upto = !give && any_bool(d) ? bytes + dice_below(d, 1000) : NULL,
        .mono = any_time(d),
        .wants = bytes,
        .want_count = give                ? 0
                      : dice_one_in(d, 9) ? FRAME_WANTS_MAX
                                          : dice_below(d, 6),
    };
    struct frame_update *updates =
        any_updates(d, &f.count, RECORDS | PLACES, f.app, f.mono);

    frame_records(w, type, &f, updates);
    free(updates);
}

static void any_ask(struct pack_writer *w, struct dice *d)
{
    struct frame_ask f = {any_number(d), any_app(d),
                          bytes + dice_below(d, 1000)};
    frame_ask(w, &f);
}

static void any_told(struct pack_writer *w, struct dice *d)
{
    struct frame_told f = {.no = any_number(d),
                           .answering = any_bool(d),
                           .mono = any_time(d),
                           .found = any_bool(d)};

    f.update = any_update(d, RECORDS, 0, f.mono);
    frame_told(w, &f);
}

static void any_call(struct pack_writer *w, struct dice *d)
{
    struct frame_call f = {
        .no = any_number(d),
        .app = any_app(d),
        .id = bytes + dice_below(d, 1000),
        .kind = (enum call_kind)dice_below(d, CALL_COMMIT + 1),
    };

    if (f.kind == CALL_COMMIT) {
        struct frame_update delta = any_update(d, RECORDS, 0, 0);
        f.delta = delta.bytes;
        f.delta_len = delta.len;
    } else {
        f.have = any_number(d);
    }
    frame_call(w, &f);
}

static void any_reply(struct pack_writer *w, struct dice *d)
{
    struct frame_update updates[2];
    struct frame_reply f = {
        .no = any_number(d),
        .answer = (enum call_answer)dice_below(d, CALL_LACKS + 1),
        .mono = any_time(d),
    };
    uint32_t app = any_app(d);
    bool record = frame_reply_may(f.answer, true, true) && any_bool(d);
    bool place = !frame_reply_may(f.answer, false, record) ||
                 (frame_reply_may(f.answer, true, record) && any_bool(d));

    if (place) {
        updates[f.count] = any_update(d, RECORDS, app, f.mono);
        updates[f.count].kind = UPDATE_PLACE;
        updates[f.count].bytes = any_place(d, &updates[f.count].len);
        f.count++;
    }
    if (record)
        updates[f.count++] = any_update(d, RECORDS, app, f.mono);
    frame_reply(w, &f, updates);
}

static void any_known(struct pack_writer *w, struct dice *d,
                      enum frame_type type)
{
    struct frame_known_one all[FRAME_MEMBERS_MAX];
    uint64_t nodes[FRAME_MEMBERS_MAX];
    uint32_t count = dice_one_in(d, 9) ? FRAME_MEMBERS_MAX : dice_below(d, 5);

    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = any_but_0(d);
        all[i] = (struct frame_known_one){nodes[i], any_bool(d)};
    }
    if (type == FRAME_KNOWN)
        frame_known(w, all, count);
    else
        frame_known_ask(w, nodes, count);
}

void frames_any(struct pack_writer *w, struct dice *d, enum frame_type type)
{
    struct frame_ack ack;
    char text[FRAME_NAME_MAX + 2] = {0};

    for (size_t i = 0; bytes[1] != 3 && i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 3 + i / 256);
    switch (type) {
    case FRAME_HELLO:
        any_hello(w, d);
        break;
    case FRAME_PULSE:
        any_pulse(w, d);
        break;
    case FRAME_UPDATES:
        any_frame_updates(w, d);
        break;
    case FRAME_ACK:
        ack = any_ack(d);
        frame_ack(w, &ack);
        break;
    case FRAME_MISSED:
        frame_missed(w, any_number(d));
        break;
    case FRAME_SUMS_ASK:
        frame_sums_ask(w, any_number(d));
        break;
    case FRAME_SUMS:
        any_sums(w, d);
        break;
    case FRAME_LEAF:
        any_frame_leaf(w, d);
        break;
    case FRAME_RECORDS:
    case FRAME_GIVE:
        any_records(w, d, type);
        break;
    case FRAME_ASK:
        any_ask(w, d);
        break;
    case FRAME_TOLD:
        any_told(w, d);
        break;
    case FRAME_LEAVE:
        frame_leave(w);
        break;
    case FRAME_REFUSED:
        memset(text, 'x', dice_below(d, FRAME_NAME_MAX + 2));
        frame_refused(w, text);
        break;
    case FRAME_CALL:
        any_call(w, d);
        break;
    case FRAME_REPLY:
        any_reply(w, d);
        break;
    case FRAME_RELEASE:
        memset(text, 'y', dice_below(d, FRAME_NAME_MAX + 2));
        frame_release(w, text);
        break;
    case FRAME_KNOWN_ASK:
    case FRAME_KNOWN:
        any_known(w, d, type);
    }
}

void frames_any_of(struct pack_writer *w, uint64_t seed)
{
    struct dice d = dice_of(seed);
    int type = 0;

    while (!frame_type_is_used(type))
        type = (int)dice_below(&d, FRAME_TYPES);
    pack_init(w, 0);
    frames_any(w, &d, (enum frame_type)type);
}

/* ---- again ---- */

static struct frame_update *walked(struct pack_reader rest, uint32_t count,
                                   int64_t mono)
{
    struct frame_update *updates =
        mem_alloc(((size_t)count + 1) * sizeof *updates);
    uint32_t left = count;

    for (uint32_t i = 0; i < count; i++)
        if (!frame_next_update(&rest, &left, mono, &updates[i]))
            abort();
    if (frame_next_update(&rest, &left, mono, &updates[count]) ||
        rest.p != rest.end)
        abort();
    return updates;
}

static void pulse_again(struct pack_writer *w, struct frame_pulse *f)
{
    struct frame_root roots[FRAME_APPS_MAX], none;
    struct frame_pulse copy = *f;

    for (uint32_t i = 0; i < copy.root_count; i++)
        if (!frame_next_root(f, &roots[i]))
            abort();
    if (frame_next_root(f, &none))
        abort();
    frame_pulse(w, &copy, roots);
}

static void sums_again(struct pack_writer *w, struct frame_sums *f)
{
    uint64_t sums[FRAME_LEAVES] = {0};
    struct frame_applied vector[FRAME_MEMBERS_MAX], none;
    struct frame_sums copy = *f;
    const uint8_t *p = f->sums;

    for (size_t leaf = 0; leaf < FRAME_LEAVES; leaf++)
        if (f->some[leaf / 8] >> leaf % 8 & 1)
            for (size_t i = 0; i < 8; i++)
                sums[leaf] |= (uint64_t)*p++ << 8 * i;
    if (p != f->sums + 8 * (size_t)f->sum_count)
        abort();
    for (uint32_t i = 0; i < copy.vector_count; i++)
        if (!frame_next_applied(f, &vector[i]))
            abort();
    if (frame_next_applied(f, &none))
        abort();
    frame_sums(w, &copy, sums, vector);
}

static void known_again(struct pack_writer *w, struct frame *f)
{
    struct frame_known_one all[FRAME_MEMBERS_MAX], none;
    uint64_t nodes[FRAME_MEMBERS_MAX], nobody;
    uint32_t count = 0;

    if (f->type == FRAME_KNOWN_ASK) {
        while (frame_next_node(&f->known_ask, &nobody))
            nodes[count++] = nobody;
        frame_known_ask(w, nodes, count);
        return;
    }
    while (frame_next_known(&f->known, &none))
        all[count++] = none;
    frame_known(w, all, count);
}

void frames_again(struct pack_writer *w, struct frame *f)
{
    struct frame_update *updates = NULL;
    char text[FRAME_NAME_MAX + 1] = {0};

    switch (f->type) {
    case FRAME_HELLO:
        frame_hello(w, &f->hello);
        break;
    case FRAME_PULSE:
        pulse_again(w, &f->pulse);
        break;
    case FRAME_UPDATES:
        updates = walked(f->updates.rest, f->updates.count, f->updates.mono);
        frame_updates(w, &f->updates, updates);
        break;
    case FRAME_ACK:
        frame_ack(w, &f->ack);
        break;
    case FRAME_MISSED:
        frame_missed(w, f->missed.upto);
        break;
    case FRAME_SUMS_ASK:
        frame_sums_ask(w, f->sums_ask.no);
        break;
    case FRAME_SUMS:
        sums_again(w, &f->sums);
        break;
    case FRAME_LEAF:
        frame_leaf(w, &f->leaf);
        break;
    case FRAME_RECORDS:
    case FRAME_GIVE:
        updates = walked(f->records.rest, f->records.count, f->records.mono);
        frame_records(w, f->type, &f->records, updates);
        break;
    case FRAME_ASK:
        frame_ask(w, &f->ask);
        break;
    case FRAME_TOLD:
        frame_told(w, &f->told);
        break;
    case FRAME_LEAVE:
        frame_leave(w);
        break;
    case FRAME_REFUSED:
        memcpy(text, f->refused.p, f->refused.len);
        frame_refused(w, text);
        break;
    case FRAME_CALL:
        frame_call(w, &f->call);
        break;
    case FRAME_REPLY:
        updates = walked(f->reply.rest, f->reply.count, f->reply.mono);
        frame_reply(w, &f->reply, updates);
        break;
    case FRAME_RELEASE:
        memcpy(text, f->release.p, f->release.len);
        frame_release(w, text);
        break;
    case FRAME_KNOWN_ASK:
    case FRAME_KNOWN:
        known_again(w, f);
    }
    free(updates);
}
