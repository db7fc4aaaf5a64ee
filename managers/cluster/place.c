/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/place.h"

#include <assert.h>
#include <string.h>

#define STAMP_AT ID_SIZE
#define KIND_AT (STAMP_AT + 8)
#define REASON_AT (KIND_AT + 1)
#define COUNT_AT (REASON_AT + 1)
#define HOLDERS_AT (COUNT_AT + 1)

static void put_u64(uint8_t *to, uint64_t u)
{
    for (size_t i = 0; i < 8; i++)
        to[i] = (uint8_t)(u >> 8 * i);
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t u = 0;

    for (size_t i = 0; i < 8; i++)
        u |= (uint64_t)from[i] << 8 * i;
    return u;
}

bool place_has(const struct place *p, uint64_t node)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->holders[i] == node)
            return true;
    return false;
}

/* A decided end may lack a reason: that of an id that came to nothing. */
static bool is_reason(enum place_kind kind, enum reason reason)
{
    if (kind == PLACE_LIST)
        return reason == 0;
    return (reason >= REASON_IDLE && reason < REASON_COUNT) ||
           (kind == PLACE_FINAL && reason == REASON_UNKNOWN);
}

bool place_is_valid(const struct place *p)
{
    if (p->kind > PLACE_FINAL || p->stamp == 0 || p->stamp > PLACE_STAMP_MAX ||
        p->count == 0 || p->count > PLACE_HOLDERS)
        return false;
    if (!is_reason(p->kind, p->reason))
        return false;
    for (unsigned i = 0; i < p->count; i++) {
        const struct place before = {
            .count = i,
            .holders = {p->holders[0], p->holders[1], p->holders[2]}};
        if (p->holders[i] == 0 || place_has(&before, p->holders[i]))
            return false;
    }
    return true;
}

uint64_t place_stamp(const struct place *before, int64_t wall)
{
    uint64_t stamp = wall > 0 ? (uint64_t)wall : 1;

    if (before && before->stamp >= stamp)
        stamp = before->stamp + 1;
    return stamp < PLACE_STAMP_MAX ? stamp : PLACE_STAMP_MAX;
}

size_t place_encode(const struct place *p, const uint8_t id[ID_SIZE],
                    uint8_t out[PLACE_MAX])
{
    assert(place_is_valid(p));
    memcpy(out, id, ID_SIZE);
    put_u64(out + STAMP_AT, p->stamp);
    out[KIND_AT] = (uint8_t)p->kind;
    out[REASON_AT] = (uint8_t)p->reason;
    out[COUNT_AT] = (uint8_t)p->count;
    for (unsigned i = 0; i < p->count; i++)
        put_u64(out + HOLDERS_AT + 8 * (size_t)i, p->holders[i]);
    return HOLDERS_AT + 8 * (size_t)p->count;
}

bool place_decode(const uint8_t *bytes, size_t len, uint8_t id[ID_SIZE],
                  struct place *out)
{
    if (len < PLACE_MIN || len > PLACE_MAX ||
        len != HOLDERS_AT + 8 * (size_t)bytes[COUNT_AT] ||
        bytes[KIND_AT] > PLACE_FINAL || bytes[REASON_AT] >= REASON_COUNT)
        return false;
    *out = (struct place){
        .kind = (enum place_kind)bytes[KIND_AT],
        .stamp = get_u64(bytes + STAMP_AT),
        .reason = (enum reason)bytes[REASON_AT],
        .count = bytes[COUNT_AT],
    };
    for (unsigned i = 0; i < out->count; i++)
        out->holders[i] = get_u64(bytes + HOLDERS_AT + 8 * (size_t)i);
    memcpy(id, bytes, ID_SIZE);
    return place_is_valid(out);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* What is equal in stamp and kind: reason, count, holders. */
static int compare_rest(const struct place *a, const struct place *b)
{
    int order = compare_u64(a->reason, b->reason);

    if (order == 0)
        order = compare_u64(a->count, b->count);
    for (unsigned i = 0; order == 0 && i < a->count; i++)
        order = compare_u64(a->holders[i], b->holders[i]);
    return order;
}

/* Above 0: b gives way to a. A total order, of which merging takes the
 * greater. */
static int compare(const struct place *a, const struct place *b)
{
    bool final = a->kind == PLACE_FINAL;
    int order = compare_u64(final, b->kind == PLACE_FINAL);

    if (order == 0)
        order = compare_u64(a->stamp, b->stamp) * (final ? -1 : 1);
    if (order == 0 && final)
        order = -compare_u64(a->reason, b->reason);
    if (order == 0)
        order = compare_u64(a->kind, b->kind);
    return order ? order : compare_rest(a, b);
}

bool place_equal(const struct place *a, const struct place *b)
{
    return compare(a, b) == 0;
}

bool place_merge(struct place *into, const struct place *other)
{
    if (compare(into, other) >= 0)
        return false;
    *into = *other;
    return true;
}
