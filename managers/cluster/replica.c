/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/replica.h"

#include "managers/cluster/replica_impl.h"
#include "session/buf.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define STRAY_MS 30000
/* How much older than the present moment the `now` of a write can be: it is
 * told once a second what time it is. */
#define NOW_LATE_MS 1000

/* ---- hash ---- */

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return a ^ b ^ (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t fold_16(uint64_t h, const uint8_t *p)
{
    uint64_t u, v;
    memcpy(&u, p, 8);
    memcpy(&v, p + 8, 8);
    return fold(h ^ le64toh(u), le64toh(v) ^ 0x8ebc6af09c88c6e3u);
}

uint64_t replica_hash(const uint8_t *bytes, size_t len)
{
    uint64_t h = fold(len ^ 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu);

    for (; len >= 16; bytes += 16, len -= 16)
        h = fold_16(h, bytes);
    if (len) {
        uint8_t last[16] = {0};
        memcpy(last, bytes, len);
        h = fold_16(h, last);
    }
    return h ? h : 1;
}

static uint32_t app_number(const char *app, bool parts)
{
    uint32_t h = 2166136261u;

    for (; *app; app++)
        h = (h ^ (uint8_t)*app) * 16777619u;
    if (parts)
        h = (h ^ 1) * 16777619u;
    return h ? h : 1;
}

/* ---- life ---- */

struct replica *replica_new(struct manager *m, struct channel *channel)
{
    struct replica *r = mem_zero(sizeof *r);

    assert(m->table && m->ops->entry_extra >= sizeof(struct replica_entry));
    r->m = m;
    r->channel = channel;
    r->app = app_number(m->env.app, false);
    atomic_init(&r->latest, INT64_MIN);
    atomic_init(&r->settled, INT64_MIN);
    atomic_init(&r->known, INT64_MIN);
    r->tell_since = INT64_MAX;
    return r;
}

void replica_free(struct replica **replica)
{
    struct replica *r = *replica;

    *replica = NULL;
    if (!r)
        return;
    partial_release(r);
    replica_drop_strays(r);
    free(r->touches);
    free(r);
}

void replica_listen(struct replica *r, replica_heard_fn *heard, void *user)
{
    r->heard = heard;
    r->user = user;
}

static void hear_new_id(struct replica *r, const uint8_t old_id[ID_SIZE],
                        const struct record_end *end, struct instant now)
{
    struct replica_item item;

    if (!replica_take(r, 0, end->new_id, &item))
        return;
    if (item.record)
        manager_hear_new_id(r->m, item.record, old_id, now);
    record_unref(&item.record);
}

void replica_hear(void *user, enum replica_event event, struct record *record,
                  const struct record_end *end, struct instant now)
{
    struct replica *r = user;

    if (event == REPLICA_CREATED)
        manager_hear_created(r->m, record, now);
    else if (end->reason == REASON_RENAMED)
        hear_new_id(r, record_id(record), end, now);
    else
        manager_hear_end(r->m, record, end->reason, now);
}

bool replica_note_access(struct replica *r, struct entry *e)
{
    struct replica_entry *own = replica_entry(e);

    own->owner = r->channel->node;
    if (!manager_tells_access(r->m, e->record, e->access - own->told))
        return false;
    own->told = e->access;
    return true;
}

/* Who ended it elsewhere meanwhile, not marked yet, left no farewell. */
static bool is_mark(const struct manager_write *w)
{
    return w->kind == WRITE_CHANGE && w->delta &&
           record_kind(w->delta) == RECORD_SESSION &&
           record_number(w->delta, FIELD_BOTH) != 0;
}

bool replica_must_settle(const struct manager_write *w)
{
    const struct record *r = w->kind == WRITE_CREATE ? w->record : w->after;

    return (w->kind != WRITE_CREATE && w->kind != WRITE_CHANGE) ||
           (r && record_kind(r) == RECORD_USER) || is_mark(w);
}

enum rc replica_settle(struct manager_write *w, struct entry *e)
{
    switch (w->kind) {
    case WRITE_IDLE_END:
        if (!e->idle || record_ended(e->record, NULL))
            record_unref(&w->before);
        return RC_OK;
    case WRITE_END:
        if (record_equal(e->record, w->delta))
            return RC_OK;
        record_ended(e->record, &w->ended);
        w->maybe = true; /* what came too late goes on under a new id */
        return RC_ENDED;
    default:
        if (is_mark(w) && record_ended(e->record, &w->ended))
            return RC_ENDED;
        if (replica_must_settle(w)) {
            record_unref(&w->after);
            w->after = record_ref(e->record);
        }
        return RC_OK;
    }
}

uint32_t replica_app(const struct replica *r)
{
    return r->app;
}

uint32_t replica_other_app(const struct replica *r)
{
    return app_number(r->m->env.app, !r->places);
}

struct channel_app *replica_members(struct replica *r)
{
    return &r->members;
}

struct manager *replica_manager(const struct replica *r)
{
    return r->m;
}

void replica_figures(const struct replica *r, struct replica_figures *out)
{
    out->strays = atomic_load(&r->stray_count);
    out->conflicts = atomic_load(&r->conflicts);
    out->lost = atomic_load(&r->lost);
}

/* ---- counting ---- */

void replica_note_time(struct replica *r, struct instant now)
{
    int64_t latest = atomic_load_explicit(&r->latest, memory_order_relaxed);

    while (latest < now.mono &&
           !atomic_compare_exchange_weak(&r->latest, &latest, now.mono))
        continue;
}

int64_t replica_moment_learnt(const struct replica *r, struct instant now)
{
    int64_t latest = atomic_load_explicit(&r->latest, memory_order_relaxed);

    return (latest > now.mono ? latest : now.mono) + NOW_LATE_MS;
}

static void set_hash(struct replica *r, const uint8_t id[ID_SIZE],
                     unsigned leaf, struct replica_entry *own, uint64_t hash)
{
    uint64_t sum = atomic_load_explicit(&r->sums[leaf], memory_order_relaxed);

    if (r->places) {
        partial_set_hash(r, id, own, hash);
        return;
    }
    atomic_store_explicit(&r->sums[leaf], sum + hash - own->hash,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&r->root, hash - own->hash, memory_order_relaxed);
    own->hash = hash;
}

static void set_over(struct replica *r, unsigned leaf,
                     struct replica_entry *own, bool over)
{
    uint32_t count =
        atomic_load_explicit(&r->ended[leaf], memory_order_relaxed);

    if (over != own->over)
        atomic_store_explicit(&r->ended[leaf], over ? count + 1 : count - 1,
                              memory_order_relaxed);
    own->over = over;
}

void replica_recount(struct replica *r, struct entry *e, struct instant now)
{
    struct replica_entry *own = replica_entry(e);
    const struct record *record = e->record;
    unsigned leaf = table_leaf(record_id(record));
    bool ended = record_ended(record, NULL);
    bool over = (ended || e->idle) && entry_is_copy(e);
    bool live = !ended && !e->idle && entry_is_copy(e);

    set_hash(r, record_id(record), leaf, own,
             live ? replica_hash(record->bytes, record->len) : 0);
    if (over && (!own->over || ended != own->ended))
        own->learnt = replica_moment_learnt(r, now);
    set_over(r, leaf, own, over);
    own->ended = ended;
}

void replica_uncount(struct replica *r, struct entry *e)
{
    unsigned leaf = table_leaf(record_id(e->record));

    set_hash(r, record_id(e->record), leaf, replica_entry(e), 0);
    set_over(r, leaf, replica_entry(e), false);
}

bool replica_may_forget(struct replica *r, struct entry *e, struct instant now)
{
    replica_note_time(r, now);
    if (!entry_is_copy(e) || !entry_is_over(e)) /* a user's record */
        return true;
    return replica_entry(e)->learnt <= replica_known_at(r);
}

void replica_settled(struct replica *r, int64_t mono)
{
    if (mono > atomic_load(&r->settled))
        atomic_store(&r->settled, mono);
}

int64_t replica_settled_at(const struct replica *r)
{
    return atomic_load(&r->settled);
}

void replica_set_keep(struct replica *r, int64_t ended_keep_ms)
{
    r->m->keep_ended_ms = ended_keep_ms;
}

int64_t replica_patience(const struct replica *r)
{
    return 10 * r->channel->drop_ms;
}

/* ---- strays: the channel's thread alone ---- */

static bool stray_fits(struct replica *r, size_t len)
{
    struct table_counts counts;

    table_counts(r->strays, &counts);
    return counts.live + counts.others < STRAYS_MAX &&
           r->stray_bytes + len <= STRAYS_MAX_BYTES;
}

static void stray_add(struct replica *r, struct table_stripe *stripe,
                      struct entry *e, struct record *delta)
{
    struct record *merged = record_merge(e->record, delta);

    if (r->stray_bytes + merged->len - e->record->len > STRAYS_MAX_BYTES) {
        record_unref(&merged);
        return;
    }
    r->stray_bytes += merged->len - e->record->len;
    table_replace(stripe, e, merged);
}

static void stray_remove(struct replica *r, struct table_stripe *stripe,
                         struct entry *e)
{
    r->stray_bytes -= e->record->len;
    table_remove(stripe, e);
}

void replica_keep_stray(struct replica *r, struct record *delta,
                        struct instant now)
{
    if (!r->strays)
        r->strays = table_new(0, now);
    atomic_fetch_add(&r->stray_count, 1);
    bool fits = stray_fits(r, delta->len);
    struct table_stripe *stripe = table_lock(r->strays, record_id(delta));
    struct entry *e = table_find(stripe, record_id(delta));
    if (e && record_kind(e->record) == record_kind(delta)) {
        stray_add(r, stripe, e, delta);
    } else if (!e && fits) {
        e = table_insert(stripe, record_ref(delta), now.mono);
        table_arm(stripe, e, now.mono + STRAY_MS);
        r->stray_bytes += delta->len;
    }
    table_unlock(stripe);
}

struct record *replica_take_stray(struct replica *r, const uint8_t id[ID_SIZE])
{
    struct record *stray = NULL;

    if (!r->strays)
        return NULL;
    struct table_stripe *stripe = table_lock(r->strays, id);
    struct entry *e = table_find(stripe, id);
    if (e) {
        stray = record_ref(e->record);
        stray_remove(r, stripe, e);
    }
    table_unlock(stripe);
    return stray;
}

void replica_drop_strays(struct replica *r)
{
    table_free(&r->strays);
    r->stray_bytes = 0;
}

static void strays_drop(struct replica *r, struct instant now)
{
    uint8_t ids[64][ID_SIZE];
    size_t count = r->strays ? 64 : 0;

    while (count == 64) {
        count = table_due(r->strays, now, ids, 64);
        for (size_t i = 0; i < count; i++) {
            struct table_stripe *stripe = table_lock(r->strays, ids[i]);
            struct entry *e = table_find(stripe, ids[i]);
            if (e)
                stray_remove(r, stripe, e);
            table_unlock(stripe);
        }
    }
}

/* ---- accesses that others must hear of ---- */

void replica_send_touch(struct replica *r, const uint8_t id[ID_SIZE],
                        int64_t access)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = r->app, .access = access};

    memcpy(u.id, id, ID_SIZE);
    if (r->places) {
        struct place place;
        if (!places_get(r->places, id, &place))
            return;
        u.target_count = place.count;
        memcpy(u.targets, place.holders, sizeof place.holders);
    }
    channel_send(r->channel, &u, NULL, COPIES_NONE);
}

void replica_note_touch(struct replica *r, const uint8_t id[ID_SIZE],
                        int64_t access)
{
    if (r->touch_count == r->touch_cap) {
        r->touch_cap = r->touch_cap ? 2 * r->touch_cap : 64;
        r->touches = mem_resize(r->touches, r->touch_cap * sizeof *r->touches);
    }
    struct touch *t = &r->touches[r->touch_count++];
    memcpy(t->id, id, ID_SIZE);
    t->access = access;
}

static bool tell_again(void *user, struct entry *e)
{
    struct replica *r = user;

    if (replica_entry(e)->hash && e->access >= r->tell_since &&
        replica_entry(e)->owner == r->channel->node)
        replica_note_touch(r, record_id(e->record), e->access);
    return true;
}

void replica_tell_again(struct replica *r, int64_t since)
{
    if (since < r->tell_since)
        r->tell_since = since;
}

void replica_tick(struct replica *r, struct instant now)
{
    replica_note_time(r, now);
    strays_drop(r, now);
    if (r->places)
        partial_forget(r, now);
    if (r->tell_since != INT64_MAX)
        table_each(r->m->table, tell_again, r);
    r->tell_since = INT64_MAX;
    for (size_t i = 0; i < r->touch_count; i++)
        replica_send_touch(r, r->touches[i].id, r->touches[i].access);
    r->touch_count = 0;
    if (r->touch_cap > 4096) {
        free(r->touches);
        r->touches = NULL;
        r->touch_cap = 0;
    }
}
