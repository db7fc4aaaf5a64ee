/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/table.h"

#include "session/buf.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 64
#define STRIPE_BITS 6
#define STRIPE_LEAVES (TABLE_LEAVES / STRIPES)
#define FIRST_BITS 4 /* of the first buckets' count */

struct table_stripe {
    pthread_mutex_t lock;
    struct entry **buckets;
    size_t bucket_count, entry_count; /* the first is a power of two */
    unsigned shift; /* from a hash without the stripe's bits to its bucket */
    struct wheel wheel;
    struct table *table;
    _Atomic size_t live, tombstones, others; /* written under the lock */
} __attribute__((aligned(64)));

struct table {
    size_t extra;
    struct table_stripe stripes[STRIPES];
};

/* Ids are random: any bits of them are a hash. */
static uint64_t id_hash(const uint8_t id[ID_SIZE])
{
    uint64_t u;
    memcpy(&u, id + 8, sizeof u);
    /* one with patterns harms nobody */
    return le64toh(u) * 0x9e3779b97f4a7c15u;
}

unsigned table_leaf(const uint8_t id[ID_SIZE])
{
    return (unsigned)(id_hash(id) >> 52);
}

static uint32_t seconds_of(int64_t mono)
{
    return (uint32_t)(mono / 1000);
}

struct table *table_new(size_t extra, struct instant now)
{
    struct table *t = aligned_alloc(64, (sizeof *t + 63) & ~(size_t)63);
    if (!t)
        abort();
    memset(t, 0, sizeof *t);
    t->extra = extra;
    for (size_t i = 0; i < STRIPES; i++) {
        struct table_stripe *s = &t->stripes[i];
        pthread_mutex_init(&s->lock, NULL);
        s->table = t;
        s->bucket_count = 1u << FIRST_BITS;
        s->shift = 64 - FIRST_BITS;
        s->buckets = mem_zero(s->bucket_count * sizeof *s->buckets);
        wheel_init(&s->wheel, seconds_of(now.mono));
    }
    return t;
}

void table_free(struct table **table)
{
    struct table *t = *table;

    *table = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < STRIPES; i++) {
        struct table_stripe *s = &t->stripes[i];
        for (size_t b = 0; b < s->bucket_count; b++)
            while (s->buckets[b])
                table_remove(s, s->buckets[b]);
        free(s->buckets);
        pthread_mutex_destroy(&s->lock);
    }
    free(t);
}

struct table_stripe *table_lock(struct table *table, const uint8_t id[ID_SIZE])
{
    struct table_stripe *s = &table->stripes[id_hash(id) >> (64 - STRIPE_BITS)];
    pthread_mutex_lock(&s->lock);
    return s;
}

void table_unlock(struct table_stripe *stripe)
{
    pthread_mutex_unlock(&stripe->lock);
}

static struct entry **bucket_of(struct table_stripe *s,
                                const uint8_t id[ID_SIZE])
{
    /* the bits below the stripe's: the ids of a leaf lie side by side */
    return &s->buckets[id_hash(id) << STRIPE_BITS >> s->shift];
}

struct entry *table_find(struct table_stripe *stripe, const uint8_t id[ID_SIZE])
{
    struct entry *e = *bucket_of(stripe, id);
    while (e && !id_equal(record_id(e->record), id))
        e = e->next;
    return e;
}

/* Doubling moves the entries of one stripe: at a million sessions 16,000 of
 * them, about a millisecond, ever more rarely. */
static void stripe_grow(struct table_stripe *s)
{
    struct entry **old = s->buckets;
    size_t old_count = s->bucket_count;

    s->bucket_count = old_count * 2;
    s->shift--;
    s->buckets = mem_zero(s->bucket_count * sizeof *s->buckets);
    for (size_t b = 0; b < old_count; b++) {
        struct entry *e;
        while ((e = old[b])) {
            struct entry **to = bucket_of(s, record_id(e->record));
            old[b] = e->next;
            e->next = *to;
            *to = e;
        }
    }
    free(old);
}

static _Atomic size_t *count_of(struct table_stripe *s,
                                const struct record *record, bool idle)
{
    if (record_kind(record) != RECORD_SESSION)
        return &s->others;
    return idle || record_ended(record, NULL) ? &s->tombstones : &s->live;
}

static void count_move(_Atomic size_t *count, int by)
{
    size_t n = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, n + (size_t)by, memory_order_relaxed);
}

struct entry *table_insert(struct table_stripe *stripe, struct record *record,
                           int64_t access_mono)
{
    struct entry *e = mem_zero(sizeof *e + stripe->table->extra);

    assert(!table_find(stripe, record_id(record)));
    if (stripe->entry_count >= stripe->bucket_count)
        stripe_grow(stripe);
    e->record = record;
    e->access = access_mono;
    struct entry **to = bucket_of(stripe, record_id(record));
    e->next = *to;
    *to = e;
    stripe->entry_count++;
    count_move(count_of(stripe, record, false), 1);
    return e;
}

void table_replace(struct table_stripe *stripe, struct entry *entry,
                   struct record *record)
{
    count_move(count_of(stripe, entry->record, entry->idle), -1);
    count_move(count_of(stripe, record, entry->idle), 1);
    record_unref(&entry->record);
    entry->record = record;
}

void table_set_idle(struct table_stripe *stripe, struct entry *entry, bool idle)
{
    count_move(count_of(stripe, entry->record, entry->idle), -1);
    entry->idle = idle;
    count_move(count_of(stripe, entry->record, entry->idle), 1);
}

void table_remove(struct table_stripe *stripe, struct entry *entry)
{
    struct entry **at = bucket_of(stripe, record_id(entry->record));

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    stripe->entry_count--;
    count_move(count_of(stripe, entry->record, entry->idle), -1);
    wheel_disarm(&entry->timer);
    record_unref(&entry->record);
    free(entry);
}

void table_arm(struct table_stripe *stripe, struct entry *entry,
               int64_t due_mono)
{
    /* far more than the wheel reaches, far less than its seconds wrap at */
    int64_t last = ((int64_t)stripe->wheel.now + INT32_MAX / 2) * 1000;

    if (due_mono > last)
        due_mono = last;
    if (due_mono < 0) /* before this machine started */
        due_mono = 0;
    wheel_arm(&stripe->wheel, &entry->timer, seconds_of(due_mono + 999));
}

static struct entry *entry_of(struct wheel_timer *timer)
{
    return (struct entry *)((char *)timer - offsetof(struct entry, timer));
}

size_t table_due(struct table *table, struct instant now,
                 uint8_t (*ids)[ID_SIZE], size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < STRIPES && count < max; i++) {
        struct table_stripe *s = &table->stripes[i];
        struct wheel_timer *t;
        pthread_mutex_lock(&s->lock);
        while (count < max &&
               (t = wheel_next_due(&s->wheel, seconds_of(now.mono))))
            memcpy(ids[count++], record_id(entry_of(t)->record), ID_SIZE);
        pthread_mutex_unlock(&s->lock);
    }
    return count;
}

void table_counts(const struct table *table, struct table_counts *out)
{
    *out = (struct table_counts){0};
    for (size_t i = 0; i < STRIPES; i++) {
        const struct table_stripe *s = &table->stripes[i];
        out->live += atomic_load_explicit(&s->live, memory_order_relaxed);
        out->tombstones +=
            atomic_load_explicit(&s->tombstones, memory_order_relaxed);
        out->others += atomic_load_explicit(&s->others, memory_order_relaxed);
    }
}

void table_each(struct table *table, table_each_fn *each, void *user)
{
    bool more = true;

    for (size_t i = 0; i < STRIPES && more; i++) {
        struct table_stripe *s = &table->stripes[i];
        pthread_mutex_lock(&s->lock);
        for (size_t b = 0; b < s->bucket_count && more; b++)
            for (struct entry *e = s->buckets[b]; e && more; e = e->next)
                more = each(user, e);
        pthread_mutex_unlock(&s->lock);
    }
}

void table_each_in(struct table *table, unsigned leaf, table_each_fn *each,
                   void *user)
{
    struct table_stripe *s = &table->stripes[leaf / STRIPE_LEAVES];
    size_t at = leaf % STRIPE_LEAVES;
    bool more = true;

    pthread_mutex_lock(&s->lock);
    size_t first = at * s->bucket_count / STRIPE_LEAVES;
    size_t end = ((at + 1) * s->bucket_count - 1) / STRIPE_LEAVES + 1;
    for (size_t b = first; b < end && more; b++)
        for (struct entry *e = s->buckets[b]; e && more; e = e->next)
            if (table_leaf(record_id(e->record)) == leaf)
                more = each(user, e);
    pthread_mutex_unlock(&s->lock);
}
