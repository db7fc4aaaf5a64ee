/* SPDX-License-Identifier: Apache-2.0
 *
 * Two copies are compared: as sums, as lists, as records. */
#include "config.h"

#include "managers/cluster/replica_impl.h"
#include "session/buf.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

uint64_t replica_root(const struct replica *r)
{
    return atomic_load_explicit(&r->root, memory_order_relaxed);
}

void replica_sums(const struct replica *r, uint64_t sums[FRAME_LEAVES],
                  uint8_t ended[FRAME_BITS])
{
    memset(ended, 0, FRAME_BITS);
    for (unsigned i = 0; i < FRAME_LEAVES; i++) {
        sums[i] = atomic_load_explicit(&r->sums[i], memory_order_relaxed);
        if (atomic_load_explicit(&r->ended[i], memory_order_relaxed))
            ended[i / 8] |= (uint8_t)(1 << i % 8);
    }
}

/* ---- what is in a leaf ---- */

struct leaf_item {
    struct replica_item item; /* a reference */
    uint64_t hash;            /* 0: it is over */
    bool tombstone;
};

struct leaf {
    struct leaf_item *items;
    size_t count, cap;
    const uint8_t *after; /* only what is behind it; NULL: all */
};

static bool leaf_add(void *user, struct entry *e)
{
    struct leaf *leaf = user;

    if (entry_is_dropped(e) ||
        (leaf->after &&
         memcmp(record_id(e->record), leaf->after, ID_SIZE) <= 0))
        return true;
    if (leaf->count == leaf->cap) {
        leaf->cap = leaf->cap ? 2 * leaf->cap : 64;
        leaf->items = mem_resize(leaf->items, leaf->cap * sizeof *leaf->items);
    }
    leaf->items[leaf->count++] = (struct leaf_item){
        .item = {record_ref(e->record), e->access, replica_entry(e)->owner},
        .hash = replica_entry(e)->hash,
        .tombstone = record_ended(e->record, NULL),
    };
    return true;
}

static int by_id(const void *x, const void *y)
{
    const struct leaf_item *a = x, *b = y;
    return memcmp(record_id(a->item.record), record_id(b->item.record),
                  ID_SIZE);
}

static void leaf_read(struct leaf *leaf, struct replica *r, unsigned number,
                      const uint8_t *after)
{
    *leaf = (struct leaf){.after = after};
    table_each_in(r->m->table, number, leaf_add, leaf);
    if (leaf->count)
        qsort(leaf->items, leaf->count, sizeof *leaf->items, by_id);
}

static void leaf_release(struct leaf *leaf)
{
    for (size_t i = 0; i < leaf->count; i++)
        record_unref(&leaf->items[i].item.record);
    free(leaf->items);
}

size_t replica_list(struct replica *r, unsigned number, const uint8_t *after,
                    uint8_t **entries)
{
    struct leaf leaf;
    size_t count = 0;

    leaf_read(&leaf, r, number, after);
    *entries = mem_alloc(leaf.count * FRAME_ENTRY + 1);
    for (size_t i = 0; i < leaf.count && count < FRAME_LIST_MAX; i++) {
        uint8_t *to = *entries + count * FRAME_ENTRY;
        uint64_t hash = htole64(leaf.items[i].hash);
        if (!hash)
            continue;
        memcpy(to, record_id(leaf.items[i].item.record), ID_SIZE);
        memcpy(to + ID_SIZE, &hash, sizeof hash);
        count++;
    }
    leaf_release(&leaf);
    return count;
}

/* ---- what is not common ---- */

#define ITEMS_MAX 512

/* false: it is full. */
static bool diff_add(struct replica_diff *diff, struct leaf_item *ours,
                     const uint8_t *theirs)
{
    size_t size = 0;

    if (ours) {
        struct frame_update u = {.len = ours->item.record->len};
        size = frame_update_size(&u);
    }
    if ((ours && diff->count &&
         (diff->count == ITEMS_MAX || diff->bytes + size > FRAME_FULL)) ||
        (theirs && diff->want_count == FRAME_WANTS_MAX))
        return false;
    if (ours) {
        diff->items[diff->count++] = ours->item;
        ours->item.record = NULL;
    }
    if (theirs)
        memcpy(diff->wants + diff->want_count++ * ID_SIZE, theirs, ID_SIZE);
    diff->bytes += size;
    return true;
}

/* Both have it. */
static bool diff_both(struct replica_diff *diff, struct leaf_item *ours,
                      const uint8_t *theirs)
{
    uint64_t hash;

    memcpy(&hash, theirs + ID_SIZE, sizeof hash);
    if (ours->hash && le64toh(hash) == ours->hash)
        return true;
    /* nothing of theirs changes a decided end */
    return diff_add(diff, ours, ours->tombstone ? NULL : theirs);
}

static int diff_order(const struct leaf_item *ours, const uint8_t *theirs)
{
    if (!ours || !theirs)
        return ours ? -1 : 1;
    return memcmp(record_id(ours->item.record), theirs, ID_SIZE);
}

/* One id, of ours or of theirs or of both; false: it is full. */
static bool diff_one(struct replica_diff *diff, struct leaf_item *ours,
                     const uint8_t *theirs, bool ended)
{
    uint8_t id[ID_SIZE];
    bool added = true;

    memcpy(id, theirs ? theirs : record_id(ours->item.record), ID_SIZE);
    if (ours && theirs)
        added = diff_both(diff, ours, theirs);
    else if (theirs || ours->hash || ended)
        added = diff_add(diff, ours, theirs);
    if (added)
        memcpy(diff->upto, id, ID_SIZE);
    return added;
}

static void diff_leaf(struct replica_diff *diff, struct leaf *leaf,
                      const struct frame_leaf *f)
{
    bool theirs_go_on = f->count == FRAME_LIST_MAX;
    size_t i = 0, j = 0;

    while (i < leaf->count || j < f->count) {
        struct leaf_item *ours = i < leaf->count ? &leaf->items[i] : NULL;
        const uint8_t *theirs =
            j < f->count ? f->entries + j * FRAME_ENTRY : NULL;
        int order = diff_order(ours, theirs);

        if (!theirs && theirs_go_on)
            break;
        if (!diff_one(diff, order <= 0 ? ours : NULL,
                      order >= 0 ? theirs : NULL, f->ended)) {
            diff->more = true;
            return;
        }
        i += order <= 0;
        j += order >= 0;
    }
    diff->more = theirs_go_on;
}

void replica_diff(struct replica *r, const struct frame_leaf *theirs,
                  struct replica_diff *out)
{
    struct leaf leaf;

    leaf_read(&leaf, r, theirs->leaf, theirs->after);
    *out = (struct replica_diff){
        .items = mem_alloc(ITEMS_MAX * sizeof *out->items),
        .wants = mem_alloc(FRAME_WANTS_MAX * ID_SIZE),
    };
    diff_leaf(out, &leaf, theirs);
    leaf_release(&leaf);
}

void replica_diff_release(struct replica_diff *diff)
{
    for (size_t i = 0; i < diff->count; i++)
        record_unref(&diff->items[i].record);
    free(diff->items);
    free(diff->wants);
}

bool replica_take(struct replica *r, const uint8_t id[ID_SIZE],
                  struct replica_item *out)
{
    struct table_stripe *stripe = table_lock(r->m->table, id);
    struct entry *e = table_find(stripe, id);
    bool found = e && !entry_is_dropped(e);

    if (found)
        *out = (struct replica_item){record_ref(e->record), e->access,
                                     replica_entry(e)->owner};
    table_unlock(stripe);
    return found;
}

/* ---- away for too long ---- */

struct all_ids {
    uint8_t (*ids)[ID_SIZE];
    size_t count, cap;
};

static bool add_id(void *user, struct entry *e)
{
    struct all_ids *all = user;

    if (all->count == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 1024;
        all->ids = mem_resize(all->ids, all->cap * sizeof *all->ids);
    }
    memcpy(all->ids[all->count++], record_id(e->record), ID_SIZE);
    return true;
}

/* The stripe is locked. Returns what listeners are told has ended. */
static struct record *drop(struct replica *r, struct table_stripe *stripe,
                           struct entry *e, enum reason reason,
                           struct instant now)
{
    struct record *before = NULL;

    if (entry_is_dropped(e))
        return NULL;
    if (record_kind(e->record) != RECORD_SESSION || entry_is_over(e)) {
        replica_uncount(r, e);
        table_remove(stripe, e);
        return NULL;
    }
    before = record_ref(e->record);
    e->flags |= ENTRY_DROPPED;
    e->access = now.mono;
    table_replace(stripe, e,
                  record_end_delta(before, reason, NULL, now.wall,
                                   manager_writer(r->m, record_id(before))));
    table_arm(stripe, e, now.mono + r->m->keep_ended_ms);
    replica_recount(r, e, now);
    return before;
}

size_t replica_drop_all(struct replica *r, enum reason reason,
                        struct instant now)
{
    struct all_ids all = {0};
    size_t dropped = 0;

    replica_drop_strays(r);
    table_each(r->m->table, add_id, &all);
    for (size_t i = 0; i < all.count; i++) {
        struct table_stripe *stripe = table_lock(r->m->table, all.ids[i]);
        struct entry *e = table_find(stripe, all.ids[i]);
        struct record *before = e ? drop(r, stripe, e, reason, now) : NULL;
        table_unlock(stripe);
        if (!before)
            continue;
        manager_tell_end(r->m, before, reason, now);
        record_unref(&before);
        dropped++;
    }
    free(all.ids);
    return dropped;
}
