/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/frame.h"

#include "managers/cluster/place.h"
#include "session/record.h"

#include <string.h>

#define LENGTH_SIZE 4
#define UPDATE_ELEMENTS 5

/* ---- reading: one element, within its range ---- */

static bool get_uint(struct pack_reader *r, uint64_t max, uint64_t *out)
{
    struct pack_token t;
    uint8_t small;

    if (pack_read_small(r, &small))
        *out = small;
    else if (pack_read(r, &t) &&
             (t.type == PACK_UINT || (t.type == PACK_INT && t.i >= 0)))
        *out = t.u;
    else
        return false;
    return *out <= max;
}

static bool get_any(struct pack_reader *r, uint64_t *out)
{
    return get_uint(r, UINT64_MAX, out);
}

static bool get_u32(struct pack_reader *r, uint32_t max, uint32_t *out)
{
    uint64_t u;

    if (!get_uint(r, max, &u))
        return false;
    *out = (uint32_t)u;
    return true;
}

static bool get_time(struct pack_reader *r, int64_t *out)
{
    uint64_t u;

    if (!get_uint(r, FRAME_TIME_MAX, &u))
        return false;
    *out = (int64_t)u;
    return true;
}

/* -1: never */
static bool get_time_or_never(struct pack_reader *r, int64_t *out)
{
    struct pack_token t;

    if (!pack_read(r, &t) || t.type != PACK_INT || t.i < -1 ||
        t.i > FRAME_TIME_MAX)
        return false;
    *out = t.i;
    return true;
}

static bool get_node(struct pack_reader *r, uint64_t *out)
{
    return get_any(r, out) && *out != 0;
}

static bool get_app(struct pack_reader *r, uint32_t *out)
{
    return get_u32(r, UINT32_MAX, out) && *out != 0;
}

static bool get_leaf(struct pack_reader *r, uint32_t *out)
{
    return get_u32(r, FRAME_LEAVES - 1, out);
}

static bool get_bool(struct pack_reader *r, bool *out)
{
    struct pack_token t;

    if (!pack_read(r, &t) || t.type != PACK_BOOL)
        return false;
    *out = t.truth;
    return true;
}

/* At most `max` things of `size` bytes each. */
static bool get_bin(struct pack_reader *r, size_t size, size_t max,
                    const uint8_t **out, uint32_t *count)
{
    struct pack_token t;

    if (!pack_read(r, &t) || t.type != PACK_BIN || t.len % size != 0 ||
        t.len / size > max)
        return false;
    *out = t.p;
    *count = (uint32_t)(t.len / size);
    return true;
}

static bool get_exactly(struct pack_reader *r, size_t size, const uint8_t **out)
{
    uint32_t count;
    return get_bin(r, size, 1, out, &count) && count == 1;
}

/* NULL where it is empty. */
static bool get_id_or_none(struct pack_reader *r, const uint8_t **out)
{
    uint32_t count;

    if (!get_bin(r, ID_SIZE, 1, out, &count))
        return false;
    if (count == 0)
        *out = NULL;
    return true;
}

static bool get_text(struct pack_reader *r, struct frame_text *out)
{
    struct pack_token t;

    if (!pack_read(r, &t) || t.type != PACK_STR || t.len > FRAME_NAME_MAX)
        return false;
    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] < 32 || t.p[i] == 127)
            return false;
    *out = (struct frame_text){(const char *)t.p, (uint32_t)t.len};
    return true;
}

/* The header of an array of `count` groups of `each` elements: no more than
 * there are bytes for. */
static bool get_groups(struct pack_reader *r, size_t each, size_t max,
                       uint32_t *count)
{
    struct pack_token t;

    if (!pack_read(r, &t) || t.type != PACK_ARRAY || t.len % each != 0 ||
        t.len / each > max || t.len > (size_t)(r->end - r->p))
        return false;
    *count = (uint32_t)(t.len / each);
    return true;
}

static bool get_hole(struct pack_reader *r, struct frame_ack *out)
{
    struct pack_token t;

    return pack_read(r, &t) && t.type == PACK_ARRAY && t.len == 3 &&
           get_any(r, &out->applied) && get_any(r, &out->ahead_from) &&
           get_any(r, &out->ahead_to) && out->ahead_from <= out->ahead_to &&
           out->ahead_to > 0;
}

/* A number, but for one with a hole. */
static bool get_ack(struct pack_reader *r, struct frame_ack *out)
{
    struct pack_reader at = *r;

    if (get_any(r, &out->applied))
        return true;
    *r = at;
    return get_hole(r, out);
}

static bool get_ack_or_none(struct pack_reader *r, bool *any,
                            struct frame_ack *out)
{
    struct pack_reader at = *r;
    struct pack_token t;

    *any = !(pack_read(r, &t) && t.type == PACK_NIL);
    if (!*any)
        return true;
    *r = at;
    return get_ack(r, out);
}

static bool get_root(struct pack_reader *r, struct frame_root *out)
{
    return get_app(r, &out->app) && get_any(r, &out->sum) &&
           get_bool(r, &out->leaves);
}

static bool get_applied(struct pack_reader *r, struct frame_applied *out)
{
    return get_node(r, &out->node) && get_any(r, &out->seq);
}

static bool update_is_right(const struct frame_update *u)
{
    uint8_t id[ID_SIZE];
    struct place place;

    switch (u->kind) {
    case UPDATE_TOUCH:
        return u->len == ID_SIZE;
    case UPDATE_PLACE:
        return place_decode(u->bytes, u->len, id, &place);
    case UPDATE_RECORD:
        break;
    }
    return u->len > 0;
}

static bool get_update(struct pack_reader *r, int64_t mono,
                       struct frame_update *out)
{
    uint32_t kind;
    int64_t age;

    if (!get_u32(r, UPDATE_PLACE, &kind) || !get_app(r, &out->app) ||
        !get_any(r, &out->owner) || !get_time(r, &age) ||
        !get_bin(r, 1, RECORD_MAX_BYTES, &out->bytes, &out->len))
        return false;
    out->kind = (enum update_kind)kind;
    out->access = mono - age;
    return update_is_right(out);
}

/* Kinds of updates: a bit each. */
enum {
    RECORDS = 1 << UPDATE_RECORD,
    PLACES = 1 << UPDATE_PLACE,
    ALL_KINDS = RECORDS | PLACES | 1 << UPDATE_TOUCH
};

/* All of them are checked here; *rest is where they begin. kinds: what may be
 * among them; app: of what application they all must be, 0: any. */
static bool get_updates(struct pack_reader *r, size_t max, unsigned kinds,
                        uint32_t app, struct pack_reader *rest, uint32_t *count)
{
    struct frame_update u;

    if (!get_groups(r, UPDATE_ELEMENTS, max, count))
        return false;
    *rest = *r;
    for (uint32_t i = 0; i < *count; i++)
        if (!get_update(r, 0, &u) || !(kinds & 1u << u.kind) ||
            (app && u.app != app))
            return false;
    rest->end = r->p;
    return true;
}

/* ---- reading: one frame, behind its type ---- */

static bool read_hello(struct pack_reader *r, struct frame *f)
{
    struct frame_hello *h = &f->hello;

    return get_u32(r, UINT32_MAX, &h->version) && get_node(r, &h->node) &&
           get_any(r, &h->to) && get_time(r, &h->started) &&
           get_time_or_never(r, &h->apart) &&
           get_u32(r, FRAME_MEMBERS_MAX, &h->members) && h->members > 0 &&
           get_node(r, &h->lowest) && h->lowest <= h->node &&
           get_text(r, &h->cluster) && get_text(r, &h->name) &&
           get_text(r, &h->address);
}

static bool read_pulse(struct pack_reader *r, struct frame *f)
{
    struct frame_pulse *p = &f->pulse;
    struct frame_root root;

    if (!get_time(r, &p->mono) || !get_time_or_never(r, &p->echo) ||
        !get_bool(r, &p->waits) || !get_any(r, &p->epoch) ||
        !get_any(r, &p->floor) || !get_bool(r, &p->compare) ||
        !get_bool(r, &p->answering) || !get_bool(r, &p->drains) ||
        !get_any(r, &p->seq) || !get_ack(r, &p->ack) ||
        !get_groups(r, 3, FRAME_APPS_MAX, &p->root_count))
        return false;
    p->roots = *r;
    for (uint32_t i = 0; i < p->root_count; i++)
        if (!get_root(r, &root))
            return false;
    return true;
}

static bool read_updates(struct pack_reader *r, struct frame *f)
{
    struct frame_updates *u = &f->updates;
    uint64_t many;

    if (!get_any(r, &u->from) || !get_uint(r, UINT64_MAX - u->from, &many) ||
        !get_time(r, &u->mono) || !get_bool(r, &u->waits) ||
        !get_ack_or_none(r, &u->has_ack, &u->ack))
        return false;
    u->to = u->from + many;
    return get_updates(r, FRAME_MAX, ALL_KINDS, 0, &u->rest, &u->count);
}

static bool read_ack(struct pack_reader *r, struct frame *f)
{
    return get_ack(r, &f->ack);
}

static bool read_missed(struct pack_reader *r, struct frame *f)
{
    return get_any(r, &f->missed.upto);
}

static bool read_sums_ask(struct pack_reader *r, struct frame *f)
{
    return get_any(r, &f->sums_ask.no);
}

static uint32_t bits_set(const uint8_t bits[FRAME_BITS])
{
    uint32_t count = 0;

    for (size_t i = 0; i < FRAME_BITS; i++)
        count += (uint32_t)__builtin_popcount(bits[i]);
    return count;
}

/* A number each for just the leaves of `some`, none of them 0. */
static bool sums_are_right(const struct frame_sums *s)
{
    static const uint8_t zero[8];

    if (s->sum_count != bits_set(s->some))
        return false;
    for (uint32_t i = 0; i < s->sum_count; i++)
        if (memcmp(s->sums + 8 * (size_t)i, zero, 8) == 0)
            return false;
    return s->app || (s->last && s->sum_count == 0 && bits_set(s->ended) == 0);
}

static bool read_sums(struct pack_reader *r, struct frame *f)
{
    struct frame_sums *s = &f->sums;
    struct frame_applied applied;

    if (!get_any(r, &s->no) || !get_bool(r, &s->last) ||
        !get_bool(r, &s->answering) || !get_any(r, &s->seq) ||
        !get_u32(r, UINT32_MAX, &s->app) ||
        !get_exactly(r, FRAME_BITS, &s->ended) ||
        !get_exactly(r, FRAME_BITS, &s->some) ||
        !get_bin(r, 8, FRAME_LEAVES, &s->sums, &s->sum_count) ||
        !sums_are_right(s) ||
        !get_groups(r, 2, FRAME_MEMBERS_MAX, &s->vector_count))
        return false;
    s->vector = *r;
    for (uint32_t i = 0; i < s->vector_count; i++)
        if (!get_applied(r, &applied))
            return false;
    return true;
}

static bool read_leaf(struct pack_reader *r, struct frame *f)
{
    struct frame_leaf *l = &f->leaf;

    if (!get_any(r, &l->no) || !get_app(r, &l->app) || !get_leaf(r, &l->leaf) ||
        !get_id_or_none(r, &l->after) || !get_bool(r, &l->ended) ||
        !get_bin(r, FRAME_ENTRY, FRAME_LIST_MAX, &l->entries, &l->count))
        return false;
    const uint8_t *before = l->after;
    for (size_t i = 0; i < l->count; i++) {
        const uint8_t *id = l->entries + i * FRAME_ENTRY;
        if (before && memcmp(before, id, ID_SIZE) >= 0)
            return false;
        before = id;
    }
    return true;
}

static bool read_records(struct pack_reader *r, struct frame *f)
{
    struct frame_records *s = &f->records;

    if (!get_any(r, &s->no) || !get_app(r, &s->app) || !get_leaf(r, &s->leaf) ||
        !get_id_or_none(r, &s->upto) || !get_time(r, &s->mono) ||
        !get_bin(r, ID_SIZE, FRAME_WANTS_MAX, &s->wants, &s->want_count) ||
        (f->type == FRAME_GIVE && (s->no || s->upto || s->want_count)))
        return false;
    return get_updates(r, FRAME_MAX, RECORDS | PLACES, s->app, &s->rest,
                       &s->count);
}

static bool read_ask(struct pack_reader *r, struct frame *f)
{
    return get_any(r, &f->ask.no) && get_app(r, &f->ask.app) &&
           get_exactly(r, ID_SIZE, &f->ask.id);
}

static bool read_told(struct pack_reader *r, struct frame *f)
{
    struct frame_told *t = &f->told;
    struct pack_reader rest;
    uint32_t count;

    if (!get_any(r, &t->no) || !get_bool(r, &t->answering) ||
        !get_time(r, &t->mono) || !get_updates(r, 1, RECORDS, 0, &rest, &count))
        return false;
    t->found = frame_next_update(&rest, &count, t->mono, &t->update);
    return true;
}

static bool call_is_right(const struct frame_call *c)
{
    if (c->kind == CALL_COMMIT)
        return c->have == 0 && c->delta_len > 0;
    return c->delta_len == 0;
}

static bool read_call(struct pack_reader *r, struct frame *f)
{
    struct frame_call *c = &f->call;
    uint32_t kind;

    if (!get_any(r, &c->no) || !get_app(r, &c->app) ||
        !get_exactly(r, ID_SIZE, &c->id) || !get_u32(r, CALL_COMMIT, &kind) ||
        !get_any(r, &c->have) ||
        !get_bin(r, 1, RECORD_MAX_BYTES, &c->delta, &c->delta_len))
        return false;
    c->kind = (enum call_kind)kind;
    return call_is_right(c);
}

/* At most one of each kind, of one application, the place first; and who sends
 * elsewhere says where. */
static bool reply_is_right(const struct frame_reply *y)
{
    struct pack_reader rest = y->rest;
    uint32_t left = y->count, app = 0;
    bool place = false, record = false;
    struct frame_update u;

    while (frame_next_update(&rest, &left, y->mono, &u)) {
        bool *seen = u.kind == UPDATE_PLACE ? &place : &record;
        if (*seen || (app && u.app != app) || (record && &place == seen))
            return false;
        *seen = true;
        app = u.app;
    }
    return frame_reply_may(y->answer, place, record);
}

static bool read_reply(struct pack_reader *r, struct frame *f)
{
    struct frame_reply *y = &f->reply;
    uint32_t answer;

    if (!get_any(r, &y->no) || !get_u32(r, CALL_LACKS, &answer) ||
        !get_time(r, &y->mono) ||
        !get_updates(r, 2, RECORDS | PLACES, 0, &y->rest, &y->count))
        return false;
    y->answer = (enum call_answer)answer;
    return reply_is_right(y);
}

static bool read_known_ask(struct pack_reader *r, struct frame *f)
{
    struct frame_known_ask *a = &f->known_ask;
    uint64_t node;

    if (!get_groups(r, 1, FRAME_MEMBERS_MAX, &a->count))
        return false;
    a->nodes = *r;
    for (uint32_t i = 0; i < a->count; i++)
        if (!get_node(r, &node))
            return false;
    return true;
}

static bool get_known(struct pack_reader *r, struct frame_known_one *out)
{
    return get_node(r, &out->node) && get_bool(r, &out->known);
}

static bool read_known(struct pack_reader *r, struct frame *f)
{
    struct frame_known *k = &f->known;
    struct frame_known_one one;

    if (!get_groups(r, 2, FRAME_MEMBERS_MAX, &k->count))
        return false;
    k->rest = *r;
    for (uint32_t i = 0; i < k->count; i++)
        if (!get_known(r, &one))
            return false;
    return true;
}

static bool read_leave(struct pack_reader *r, struct frame *f)
{
    (void)r;
    (void)f;
    return true;
}

static bool read_refused(struct pack_reader *r, struct frame *f)
{
    return get_text(r, &f->refused);
}

static bool read_release(struct pack_reader *r, struct frame *f)
{
    return get_text(r, &f->release);
}

typedef bool read_fn(struct pack_reader *r, struct frame *f);

/* elements: of the array, the type included. */
static const struct shape {
    const char *name;
    uint8_t elements;
    read_fn *read;
} shapes[] = {
    [FRAME_HELLO] = {"HELLO", 11, read_hello},
    [FRAME_PULSE] = {"PULSE", 12, read_pulse},
    [FRAME_UPDATES] = {"UPDATES", 7, read_updates},
    [FRAME_ACK] = {"ACK", 2, read_ack},
    [FRAME_MISSED] = {"MISSED", 2, read_missed},
    [FRAME_SUMS_ASK] = {"SUMS_ASK", 2, read_sums_ask},
    [FRAME_SUMS] = {"SUMS", 10, read_sums},
    [FRAME_LEAF] = {"LEAF", 7, read_leaf},
    [FRAME_RECORDS] = {"RECORDS", 8, read_records},
    [FRAME_GIVE] = {"GIVE", 8, read_records},
    [FRAME_ASK] = {"ASK", 4, read_ask},
    [FRAME_TOLD] = {"TOLD", 5, read_told},
    [FRAME_LEAVE] = {"LEAVE", 1, read_leave},
    [FRAME_REFUSED] = {"REFUSED", 2, read_refused},
    [FRAME_CALL] = {"CALL", 7, read_call},
    [FRAME_REPLY] = {"REPLY", 5, read_reply},
    [FRAME_KNOWN_ASK] = {"KNOWN_ASK", 2, read_known_ask},
    [FRAME_KNOWN] = {"KNOWN", 2, read_known},
    [FRAME_RELEASE] = {"RELEASE", 2, read_release},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

unsigned frame_since(enum frame_type type)
{
    return type == FRAME_RELEASE ? FRAME_VERSION_RELEASE : FRAME_VERSION_OLDEST;
}

int frame_split(const uint8_t *bytes, size_t len, const uint8_t **body,
                size_t *body_len, size_t *need)
{
    *need = LENGTH_SIZE;
    if (len < LENGTH_SIZE)
        return 0;
    size_t size = (size_t)bytes[0] | (size_t)bytes[1] << 8 |
                  (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    if (size == 0 || size > FRAME_MAX)
        return -1;
    *need = LENGTH_SIZE + size;
    if (len < *need)
        return 0;
    *body = bytes + LENGTH_SIZE;
    *body_len = size;
    return 1;
}

/* In every version a HELLO is an array that begins with type and version. */
static bool is_too_old(struct pack_reader r, uint64_t *version)
{
    return get_any(&r, version) && *version < FRAME_VERSION_OLDEST;
}

/* A newer one begins as ours does; we cannot know what follows. */
static bool pass_over_rest(struct pack_reader *r, const struct frame *f,
                           size_t elements)
{
    if (f->type != FRAME_HELLO || f->hello.version <= FRAME_VERSION)
        return false;
    for (; elements > 0; elements--)
        if (!pack_skip(r))
            return false;
    return true;
}

static bool read_elements(const struct shape *shape, struct pack_reader *r,
                          size_t elements, struct frame *f)
{
    if (elements < shape->elements || !shape->read(r, f))
        return false;
    elements -= shape->elements;
    return (elements == 0 || pass_over_rest(r, f, elements)) && r->p == r->end;
}

enum rc frame_decode(const uint8_t *body, size_t len, struct frame *out,
                     struct err *err)
{
    struct pack_reader r = {body, body + len};
    struct pack_token array;
    uint64_t type, version;

    if (len > FRAME_MAX || !pack_read(&r, &array) || array.type != PACK_ARRAY ||
        !get_uint(&r, SHAPES - 1, &type) || !shapes[type].read)
        return err_set(err, RC_INVALID,
                       "%zu bytes that are no frame: is the other end a "
                       "margay's cluster.port?",
                       len);
    if (type == FRAME_HELLO && is_too_old(r, &version))
        return err_set(err, RC_UNSUPPORTED,
                       "one speaks version %llu of the cluster's protocol, "
                       "the other %d to %d: upgrade over the releases between",
                       (unsigned long long)version, FRAME_VERSION_OLDEST,
                       FRAME_VERSION);
    const struct shape *shape = &shapes[type];
    *out = (struct frame){.type = (enum frame_type)type};
    if (!read_elements(shape, &r, array.len, out))
        return err_set(err, RC_INVALID,
                       "a %s of %zu bytes that is none of version %d, from "
                       "byte %zu on: run the same release on both",
                       shape->name, len, FRAME_VERSION, (size_t)(r.p - body));
    return RC_OK;
}

bool frame_next_root(struct frame_pulse *f, struct frame_root *out)
{
    if (f->root_count == 0 || !get_root(&f->roots, out))
        return false;
    f->root_count--;
    return true;
}

bool frame_next_update(struct pack_reader *rest, uint32_t *count, int64_t mono,
                       struct frame_update *out)
{
    if (*count == 0 || !get_update(rest, mono, out))
        return false;
    --*count;
    return true;
}

bool frame_next_applied(struct frame_sums *f, struct frame_applied *out)
{
    if (f->vector_count == 0 || !get_applied(&f->vector, out))
        return false;
    f->vector_count--;
    return true;
}

bool frame_next_node(struct frame_known_ask *f, uint64_t *node)
{
    if (f->count == 0 || !get_node(&f->nodes, node))
        return false;
    f->count--;
    return true;
}

bool frame_next_known(struct frame_known *f, struct frame_known_one *out)
{
    if (f->count == 0 || !get_known(&f->rest, out))
        return false;
    f->count--;
    return true;
}
