/* SPDX-License-Identifier: Apache-2.0
 *
 * The two parts: asking them, and what marks a session that stands in both. */
#include "config.h"

#include "managers/succession.h"

#include <string.h>

bool is_decided(enum reason reason)
{
    switch (reason) {
    case REASON_LIFETIME:
    case REASON_LOGOUT:
    case REASON_ADMIN:
    case REASON_REPLACED:
    case REASON_RENAMED:
        return true;
    default:
        return false;
    }
}

/* false: the parts are being stopped, or are not ready yet. */
static bool part_enter(struct manager *part)
{
    struct succession *s = succession_of(part->face);

    atomic_fetch_add(&s->inside, 1);
    if (!atomic_load(&s->stopping) && atomic_load(&part->ready))
        return true;
    atomic_fetch_sub(&s->inside, 1);
    return false;
}

static void part_leave(struct succession *s)
{
    atomic_fetch_sub(&s->inside, 1);
}

enum rc part_find(struct manager *part, struct find_op *op)
{
    struct succession *s = succession_of(part->face);

    op->manager = part;
    op->record = NULL;
    op->reason = REASON_UNKNOWN;
    op->rc = RC_UNAVAILABLE;
    if (!part_enter(part))
        return err_set(&op->err, RC_UNAVAILABLE, "it is not ready");
    enum rc rc = part->ops->find(part, op);
    part_leave(s);
    return rc;
}

enum rc part_write(struct manager *part, struct manager_write *w)
{
    struct succession *s = succession_of(part->face);

    if (!part_enter(part))
        return err_set(&w->err, RC_UNAVAILABLE, "it is not ready");
    enum rc rc = part->ops->write(part, w);
    part_leave(s);
    return rc;
}

/* ---- marks ---- */

/* As users' keys are (UUID version 5), so that nobody takes it for a
 * session's. */
void marker_id(int part, uint8_t out[ID_SIZE])
{
    static const uint8_t ids[PARTS][ID_SIZE + 1] = {
        "margay\x5f\0\x80next\0\0\0", "margay\x5f\0\x80prev\0\0\0"};
    memcpy(out, ids[part], ID_SIZE);
}

int64_t era_of(const struct record *marker)
{
    struct value v = record_attribute(marker, "era", 3);
    return record_kind(marker) == RECORD_USER && v.type == VALUE_INT ? v.number
                                                                     : 0;
}

/* Steele, Lea, Flood, "Fast splittable pseudorandom number generators" */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

int64_t mark_of(const struct succession *s, const uint8_t id[ID_SIZE])
{
    int64_t next = atomic_load(&s->era[NEXT]);
    int64_t previous = atomic_load(&s->era[PREVIOUS]);
    uint64_t words[2];

    if (!next || !previous)
        return 0;
    memcpy(words, id, sizeof words);
    uint64_t x = mix((uint64_t)next) ^ mix(mix((uint64_t)previous)) ^ words[0];
    return (int64_t)(mix(mix(x) ^ words[1]) >> 1) | 1;
}

static void take_mark(void *user, struct key key, const struct value *value,
                      int64_t stamp)
{
    if (!key.name && key.field == FIELD_BOTH && value->type == VALUE_INT)
        *(struct mark *)user = (struct mark){value->number, stamp};
}

struct mark mark_in(const struct record *record)
{
    struct mark mark = {0, 0};

    record_each(record, take_mark, &mark);
    return mark;
}

struct record *mark_delta(struct succession *s, const struct record *record,
                          int64_t mark, struct instant now)
{
    struct value v = {.type = VALUE_INT, .number = mark};
    struct changes changes;

    if (record_number(record, FIELD_BOTH) == mark)
        return NULL;
    changes_init(&changes);
    changes_set(&changes, key_field(FIELD_BOTH), &v);
    struct record *delta =
        record_delta(record, &changes, now.wall,
                     manager_writer(&s->base, record_id(record)));
    changes_release(&changes);
    return delta;
}

struct record *with_delta(struct record *base, struct record *delta)
{
    return delta ? record_merge(base, delta) : record_ref(base);
}

/* ---- what listeners here hear of a repair ---- */

void tell_brought(struct succession *s, struct record *record,
                  struct instant now)
{
    if (s->base.hears == s->part[NEXT])
        manager_hear_created(s->part[NEXT], record, now);
}

void tell_ended(struct succession *s, const struct manager_write *end,
                struct instant now)
{
    static const uint8_t none[ID_SIZE];

    if (s->base.hears != s->part[NEXT] || !end->before)
        return;
    if (end->reason != REASON_RENAMED) {
        manager_hear_end(s->part[NEXT], end->before, end->reason, now);
    } else if (!id_equal(end->new_id, none)) {
        struct record *renamed = record_rekey(end->before, end->new_id);
        manager_hear_new_id(s->part[NEXT], renamed, end->id, now);
        record_unref(&renamed);
    }
}
