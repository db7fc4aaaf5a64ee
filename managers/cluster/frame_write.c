/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/frame.h"

#include "managers/cluster/place.h"
#include "session/record.h"

#include <assert.h>
#include <string.h>

#define LENGTH_SIZE 4
#define UPDATE_ELEMENTS 5

/* elements: of the array, the type included. Returns where the frame begins,
 * for frame_end. */
static size_t frame_begin(struct pack_writer *w, enum frame_type type,
                          size_t elements)
{
    static const uint8_t length[LENGTH_SIZE];
    size_t at = w->len;

    pack_raw(w, length, sizeof length);
    pack_array(w, elements);
    pack_uint(w, type);
    return at;
}

static void frame_end(struct pack_writer *w, size_t at)
{
    size_t size = w->len - at - LENGTH_SIZE;

    assert(size <= FRAME_MAX);
    for (size_t i = 0; i < LENGTH_SIZE; i++)
        w->data[at + i] = (uint8_t)(size >> 8 * i);
}

static void put_time(struct pack_writer *w, int64_t ms)
{
    assert(ms >= 0 && ms <= FRAME_TIME_MAX);
    pack_int(w, ms);
}

static void put_time_or_never(struct pack_writer *w, int64_t ms)
{
    assert(ms <= FRAME_TIME_MAX);
    pack_int(w, ms < 0 ? -1 : ms);
}

static void put_app(struct pack_writer *w, uint32_t app)
{
    assert(app);
    pack_uint(w, app);
}

static void put_leaf(struct pack_writer *w, uint32_t leaf)
{
    assert(leaf < FRAME_LEAVES);
    pack_uint(w, leaf);
}

static void put_id_or_none(struct pack_writer *w, const uint8_t *id)
{
    pack_bin(w, id, id ? ID_SIZE : 0);
}

static void put_text(struct pack_writer *w, struct frame_text text)
{
    char clean[FRAME_NAME_MAX];

    assert(text.len <= FRAME_NAME_MAX);
    for (uint32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        clean[i] = c < 32 || c == 127 ? '?' : text.p[i];
    }
    pack_str(w, clean, text.len);
}

static void put_ack(struct pack_writer *w, const struct frame_ack *f)
{
    assert(f->ahead_from <= f->ahead_to);
    if (!f->ahead_to) {
        pack_uint(w, f->applied);
        return;
    }
    pack_array(w, 3);
    pack_uint(w, f->applied);
    pack_uint(w, f->ahead_from);
    pack_uint(w, f->ahead_to);
}

static int64_t age_of(int64_t access, int64_t mono)
{
    if (access >= mono)
        return 0;
    if (access < mono - FRAME_TIME_MAX)
        return FRAME_TIME_MAX;
    return mono - access;
}

static bool length_is_right(const struct frame_update *u)
{
    switch (u->kind) {
    case UPDATE_TOUCH:
        return u->len == ID_SIZE;
    case UPDATE_PLACE:
        return u->len >= PLACE_MIN && u->len <= PLACE_MAX;
    case UPDATE_RECORD:
        break;
    }
    return u->len > 0 && u->len <= RECORD_MAX_BYTES;
}

static void put_update(struct pack_writer *w, const struct frame_update *u,
                       uint32_t app, int64_t mono)
{
    assert(length_is_right(u));
    pack_uint(w, u->kind);
    put_app(w, app);
    pack_uint(w, u->owner);
    put_time(w, age_of(u->access, mono));
    pack_bin(w, u->bytes, u->len);
}

size_t frame_update_size(const struct frame_update *u)
{
    /* kind, app, owner, age, and the header of the bytes */
    return 1 + 5 + 9 + 9 + 5 + (size_t)u->len;
}

void frame_hello(struct pack_writer *w, const struct frame_hello *f)
{
    size_t at = frame_begin(w, FRAME_HELLO, 11);

    assert(f->node && f->lowest && f->lowest <= f->node);
    assert(f->members > 0 && f->members <= FRAME_MEMBERS_MAX);
    assert(f->version >= FRAME_VERSION_OLDEST);
    pack_uint(w, f->version);
    pack_uint(w, f->node);
    pack_uint(w, f->to);
    put_time(w, f->started);
    put_time_or_never(w, f->apart);
    pack_uint(w, f->members);
    pack_uint(w, f->lowest);
    put_text(w, f->cluster);
    put_text(w, f->name);
    put_text(w, f->address);
    frame_end(w, at);
}

void frame_pulse(struct pack_writer *w, const struct frame_pulse *f,
                 const struct frame_root *roots)
{
    size_t at = frame_begin(w, FRAME_PULSE, 12);

    assert(f->root_count <= FRAME_APPS_MAX);
    put_time(w, f->mono);
    put_time_or_never(w, f->echo);
    pack_bool(w, f->waits);
    pack_uint(w, f->epoch);
    pack_uint(w, f->floor);
    pack_bool(w, f->compare);
    pack_bool(w, f->answering);
    pack_bool(w, f->drains);
    pack_uint(w, f->seq);
    put_ack(w, &f->ack);
    pack_array(w, 3 * (size_t)f->root_count);
    for (uint32_t i = 0; i < f->root_count; i++) {
        put_app(w, roots[i].app);
        pack_uint(w, roots[i].sum);
        pack_bool(w, roots[i].leaves);
    }
    frame_end(w, at);
}

void frame_updates(struct pack_writer *w, const struct frame_updates *f,
                   const struct frame_update *updates)
{
    size_t at = frame_begin(w, FRAME_UPDATES, 7);

    assert(f->from <= f->to);
    pack_uint(w, f->from);
    pack_uint(w, f->to - f->from);
    put_time(w, f->mono);
    pack_bool(w, f->waits);
    if (f->has_ack)
        put_ack(w, &f->ack);
    else
        pack_nil(w);
    pack_array(w, UPDATE_ELEMENTS * (size_t)f->count);
    for (uint32_t i = 0; i < f->count; i++)
        put_update(w, &updates[i], updates[i].app, f->mono);
    frame_end(w, at);
}

void frame_ack(struct pack_writer *w, const struct frame_ack *f)
{
    size_t at = frame_begin(w, FRAME_ACK, 2);

    put_ack(w, f);
    frame_end(w, at);
}

void frame_missed(struct pack_writer *w, uint64_t upto)
{
    size_t at = frame_begin(w, FRAME_MISSED, 2);

    pack_uint(w, upto);
    frame_end(w, at);
}

void frame_sums_ask(struct pack_writer *w, uint64_t no)
{
    size_t at = frame_begin(w, FRAME_SUMS_ASK, 2);

    pack_uint(w, no);
    frame_end(w, at);
}

/* `some`, then the sums that are not 0. */
static void put_sums(struct pack_writer *w, const uint64_t *sums)
{
    uint8_t some[FRAME_BITS] = {0}, bytes[8 * FRAME_LEAVES];
    size_t len = 0;

    for (size_t leaf = 0; sums && leaf < FRAME_LEAVES; leaf++) {
        if (sums[leaf] == 0)
            continue;
        some[leaf / 8] |= (uint8_t)(1u << leaf % 8);
        for (size_t i = 0; i < 8; i++)
            bytes[len++] = (uint8_t)(sums[leaf] >> 8 * i);
    }
    pack_bin(w, some, sizeof some);
    pack_bin(w, bytes, len);
}

void frame_sums(struct pack_writer *w, const struct frame_sums *f,
                const uint64_t *sums, const struct frame_applied *vector)
{
    static const uint8_t none[FRAME_BITS];
    size_t at = frame_begin(w, FRAME_SUMS, 10);

    assert(f->app || f->last);
    assert(f->vector_count <= FRAME_MEMBERS_MAX);
    pack_uint(w, f->no);
    pack_bool(w, f->last);
    pack_bool(w, f->answering);
    pack_uint(w, f->seq);
    pack_uint(w, f->app);
    pack_bin(w, f->app ? f->ended : none, FRAME_BITS);
    put_sums(w, f->app ? sums : NULL);
    pack_array(w, 2 * (size_t)f->vector_count);
    for (uint32_t i = 0; i < f->vector_count; i++) {
        assert(vector[i].node);
        pack_uint(w, vector[i].node);
        pack_uint(w, vector[i].seq);
    }
    frame_end(w, at);
}

void frame_leaf(struct pack_writer *w, const struct frame_leaf *f)
{
    size_t at = frame_begin(w, FRAME_LEAF, 7);

    assert(f->count <= FRAME_LIST_MAX);
    pack_uint(w, f->no);
    put_app(w, f->app);
    put_leaf(w, f->leaf);
    put_id_or_none(w, f->after);
    pack_bool(w, f->ended);
    pack_bin(w, f->entries, (size_t)f->count * FRAME_ENTRY);
    frame_end(w, at);
}

void frame_records(struct pack_writer *w, enum frame_type type,
                   const struct frame_records *f,
                   const struct frame_update *updates)
{
    size_t at = frame_begin(w, type, 8);

    assert(type == FRAME_RECORDS || (type == FRAME_GIVE && f->no == 0 &&
                                     !f->upto && f->want_count == 0));
    assert(f->want_count <= FRAME_WANTS_MAX);
    pack_uint(w, f->no);
    put_app(w, f->app);
    put_leaf(w, f->leaf);
    put_id_or_none(w, f->upto);
    put_time(w, f->mono);
    pack_bin(w, f->wants, (size_t)f->want_count * ID_SIZE);
    pack_array(w, UPDATE_ELEMENTS * (size_t)f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        assert(updates[i].kind != UPDATE_TOUCH);
        put_update(w, &updates[i], f->app, f->mono);
    }
    frame_end(w, at);
}

void frame_ask(struct pack_writer *w, const struct frame_ask *f)
{
    size_t at = frame_begin(w, FRAME_ASK, 4);

    pack_uint(w, f->no);
    put_app(w, f->app);
    pack_bin(w, f->id, ID_SIZE);
    frame_end(w, at);
}

void frame_told(struct pack_writer *w, const struct frame_told *f)
{
    size_t at = frame_begin(w, FRAME_TOLD, 5);

    pack_uint(w, f->no);
    pack_bool(w, f->answering);
    put_time(w, f->mono);
    pack_array(w, f->found ? UPDATE_ELEMENTS : 0);
    if (f->found) {
        assert(f->update.kind == UPDATE_RECORD);
        put_update(w, &f->update, f->update.app, f->mono);
    }
    frame_end(w, at);
}

void frame_call(struct pack_writer *w, const struct frame_call *f)
{
    size_t at = frame_begin(w, FRAME_CALL, 7);
    bool commit = f->kind == CALL_COMMIT;

    assert(commit ? f->have == 0 && f->delta_len > 0 &&
                        f->delta_len <= RECORD_MAX_BYTES
                  : f->delta_len == 0);
    pack_uint(w, f->no);
    put_app(w, f->app);
    pack_bin(w, f->id, ID_SIZE);
    pack_uint(w, f->kind);
    pack_uint(w, f->have);
    pack_bin(w, f->delta, f->delta_len);
    frame_end(w, at);
}

bool frame_reply_may(enum call_answer answer, bool place, bool record)
{
    switch (answer) {
    case CALL_UNAVAILABLE:
    case CALL_SAME:
        return !record;
    case CALL_ELSEWHERE:
        return place && !record;
    case CALL_LACKS:
        return !place && !record;
    case CALL_OK:
    case CALL_ABSENT:
    case CALL_ENDED:
        break;
    }
    return true;
}

void frame_reply(struct pack_writer *w, const struct frame_reply *f,
                 const struct frame_update *updates)
{
    size_t at = frame_begin(w, FRAME_REPLY, 5);
    bool place = f->count > 0 && updates[0].kind == UPDATE_PLACE;
    bool record = f->count > place;

    assert(f->count <= 1u + place);
    assert(frame_reply_may(f->answer, place, record));
    pack_uint(w, f->no);
    pack_uint(w, f->answer);
    put_time(w, f->mono);
    pack_array(w, UPDATE_ELEMENTS * (size_t)f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        assert(updates[i].app == updates[0].app);
        assert(i < place || updates[i].kind == UPDATE_RECORD);
        put_update(w, &updates[i], updates[i].app, f->mono);
    }
    frame_end(w, at);
}

void frame_leave(struct pack_writer *w)
{
    frame_end(w, frame_begin(w, FRAME_LEAVE, 1));
}

void frame_refused(struct pack_writer *w, const char *text)
{
    size_t len = strnlen(text, FRAME_NAME_MAX);
    size_t at = frame_begin(w, FRAME_REFUSED, 2);

    put_text(w, (struct frame_text){text, (uint32_t)len});
    frame_end(w, at);
}

void frame_release(struct pack_writer *w, const char *text)
{
    size_t len = strnlen(text, FRAME_NAME_MAX);
    size_t at = frame_begin(w, FRAME_RELEASE, 2);

    put_text(w, (struct frame_text){text, (uint32_t)len});
    frame_end(w, at);
}

void frame_known_ask(struct pack_writer *w, const uint64_t *nodes,
                     uint32_t count)
{
    size_t at = frame_begin(w, FRAME_KNOWN_ASK, 2);

    assert(count <= FRAME_MEMBERS_MAX);
    pack_array(w, count);
    for (uint32_t i = 0; i < count; i++) {
        assert(nodes[i]);
        pack_uint(w, nodes[i]);
    }
    frame_end(w, at);
}

void frame_known(struct pack_writer *w, const struct frame_known_one *all,
                 uint32_t count)
{
    size_t at = frame_begin(w, FRAME_KNOWN, 2);

    assert(count <= FRAME_MEMBERS_MAX);
    pack_array(w, 2 * (size_t)count);
    for (uint32_t i = 0; i < count; i++) {
        assert(all[i].node);
        pack_uint(w, all[i].node);
        pack_bool(w, all[i].known);
    }
    frame_end(w, at);
}
