/* SPDX-License-Identifier: Apache-2.0
 *
 * Two copies are compared: as sums, as lists, as records. */
#include "config.h"

#include "managers/cluster/replica_impl.h"
#include "session/buf.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

uint64_t replica_root(const struct replica *r, uint64_t peer)
{
    if (r->places)
        return partial_root(r, peer);
    return atomic_load_explicit(&r->root, memory_order_relaxed);
}

void replica_sums(const struct replica *r, uint64_t peer,
                  uint64_t sums[FRAME_LEAVES], uint8_t ended[FRAME_BITS])
{
    memset(ended, 0, FRAME_BITS);
    if (r->places) {
        partial_sums(r, peer, sums, ended);
        return;
    }
    for (unsigned i = 0; i < FRAME_LEAVES; i++) {
        sums[i] = atomic_load_explicit(&r->sums[i], memory_order_relaxed);
        if (atomic_load_explicit(&r->ended[i], memory_order_relaxed))
            ended[i / 8] |= (uint8_t)(1 << i % 8);
    }
}

/* ---- what is in a leaf ---- */

struct leaf_item {
    struct replica_item item; /* a reference */
    uint64_t hash;            /* while it lives */
    bool live, final;         /* final: nothing of the other's changes that */
};

struct leaf {
    struct leaf_item *items; /* in the order of their ids */
    size_t count, cap;
    const uint8_t *after; /* only what is behind it; NULL: all */
};

static bool is_behind(const struct leaf *leaf, const uint8_t *id)
{
    return !leaf->after || memcmp(id, leaf->after, ID_SIZE) > 0;
}

static struct leaf_item *leaf_more(struct leaf *leaf, const uint8_t *id)
{
    if (leaf->count == leaf->cap) {
        leaf->cap = leaf->cap ? 2 * leaf->cap : 64;
        leaf->items = mem_resize(leaf->items, leaf->cap * sizeof *leaf->items);
    }
    struct leaf_item *item = &leaf->items[leaf->count++];
    *item = (struct leaf_item){.item.learnt = INT64_MAX};
    memcpy(item->item.id, id, ID_SIZE);
    return item;
}

static bool leaf_add(void *user, struct entry *e)
{
    if (!entry_is_copy(e) || !is_behind(user, record_id(e->record)))
        return true;
    struct leaf_item *item = leaf_more(user, record_id(e->record));
    item->item.record = record_ref(e->record);
    item->item.access = e->access;
    item->item.owner = replica_entry(e)->owner;
    item->hash = replica_entry(e)->hash;
    item->live = item->hash != 0;
    item->final = record_ended(e->record, NULL);
    return true;
}

static int by_id(const void *x, const void *y)
{
    const struct leaf_item *a = x, *b = y;
    return memcmp(a->item.id, b->item.id, ID_SIZE);
}

static void leaf_release(struct leaf *leaf)
{
    for (size_t i = 0; i < leaf->count; i++)
        record_unref(&leaf->items[i].item.record);
    free(leaf->items);
}

static bool leaf_add_place(void *user, const uint8_t id[ID_SIZE],
                           const struct place *place)
{
    if (!is_behind(user, id))
        return true;
    struct leaf_item *item = leaf_more(user, id);

    item->item.placed = true;
    item->item.place = *place;
    item->hash = place_hash(place, id);
    item->live = place->kind == PLACE_LIST;
    item->final = place->kind == PLACE_FINAL;
    return true;
}

/* What is here of a session, and who is to have it: what of that concerns a
 * member that stands in its place. */
static void leaf_join(struct leaf_item *at, struct leaf_item *copy)
{
    at->item.record = copy->item.record;
    at->item.access = copy->item.access;
    at->item.owner = copy->item.owner;
    at->hash += copy->hash;
    at->live |= copy->live;
    copy->item.record = NULL;
}

/* Partial: the places of a leaf, and with them the copies in it, of which those
 * remain that concern that member. */
static void leaf_places(struct leaf *copies, struct replica *r, uint64_t peer,
                        unsigned number)
{
    struct leaf all = {.after = copies->after};
    size_t i = 0;

    places_each_in(r->places, number, leaf_add_place, &all);
    for (size_t n = 0; n < all.count; n++) {
        struct replica_item *item = &all.items[n].item;
        while (i < copies->count && by_id(&copies->items[i], &all.items[n]) < 0)
            i++;
        if (i < copies->count && by_id(&copies->items[i], &all.items[n]) == 0 &&
            place_has(&item->place, peer))
            leaf_join(&all.items[n], &copies->items[i]);
        if (item->place.kind != PLACE_LIST)
            item->learnt = places_learnt(r->places, item->id);
    }
    leaf_release(copies);
    *copies = all;
}

static void leaf_read(struct leaf *leaf, struct replica *r, uint64_t peer,
                      unsigned number, const uint8_t *after)
{
    *leaf = (struct leaf){.after = after};
    table_each_in(r->m->table, number, leaf_add, leaf);
    if (leaf->count)
        qsort(leaf->items, leaf->count, sizeof *leaf->items, by_id);
    if (r->places)
        leaf_places(leaf, r, peer, number);
}

size_t replica_list(struct replica *r, uint64_t peer, unsigned number,
                    const uint8_t *after, uint8_t **entries)
{
    struct leaf leaf;
    size_t count = 0;

    leaf_read(&leaf, r, peer, number, after);
    *entries = mem_alloc(leaf.count * FRAME_ENTRY + 1);
    for (size_t i = 0; i < leaf.count && count < FRAME_LIST_MAX; i++) {
        uint8_t *to = *entries + count * FRAME_ENTRY;
        uint64_t hash = htole64(leaf.items[i].hash);
        if (!leaf.items[i].live)
            continue;
        memcpy(to, leaf.items[i].item.id, ID_SIZE);
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

    if (ours)
        size = replica_item_size(&ours->item);
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
    if (ours->live && le64toh(hash) == ours->hash)
        return true;
    /* nothing of theirs changes a decided end */
    return diff_add(diff, ours, ours->final ? NULL : theirs);
}

static int diff_order(const struct leaf_item *ours, const uint8_t *theirs)
{
    if (!ours || !theirs)
        return ours ? -1 : 1;
    return memcmp(ours->item.id, theirs, ID_SIZE);
}

/* One id, of ours or of theirs or of both; false: it is full. */
static bool diff_one(struct replica_diff *diff, struct leaf_item *ours,
                     const uint8_t *theirs, bool ended)
{
    uint8_t id[ID_SIZE];
    bool added = true;

    memcpy(id, theirs ? theirs : ours->item.id, ID_SIZE);
    if (ours && theirs)
        added = diff_both(diff, ours, theirs);
    else if (theirs || ours->live || ended)
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

void replica_diff(struct replica *r, uint64_t peer,
                  const struct frame_leaf *theirs, struct replica_diff *out)
{
    struct leaf leaf;

    leaf_read(&leaf, r, peer, theirs->leaf, theirs->after);
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

bool replica_take(struct replica *r, uint64_t peer, const uint8_t id[ID_SIZE],
                  struct replica_item *out)
{
    struct table_stripe *stripe = table_lock(r->m->table, id);
    struct entry *e = table_find(stripe, id);
    bool copy = e && entry_is_copy(e);

    *out = (struct replica_item){.learnt = INT64_MAX};
    memcpy(out->id, id, ID_SIZE);
    if (r->places && peer) {
        out->placed = places_get(r->places, id, &out->place);
        out->learnt = places_learnt(r->places, id);
        copy = copy && place_has(&out->place, peer);
    }
    if (copy) {
        out->record = record_ref(e->record);
        out->access = e->access;
        out->owner = replica_entry(e)->owner;
    }
    table_unlock(stripe);
    return out->placed || out->record;
}

unsigned replica_item_updates(const struct replica_item *item, uint32_t app,
                              uint8_t bytes[PLACE_MAX],
                              struct frame_update out[2])
{
    unsigned count = 0;

    if (item->placed)
        out[count++] = (struct frame_update){
            .kind = UPDATE_PLACE,
            .app = app,
            .owner = item->place.holders[0], /* not our news */
            .access = item->learnt,
            .bytes = bytes,
            .len = (uint32_t)place_encode(&item->place, item->id, bytes),
        };
    if (item->record)
        out[count++] = (struct frame_update){
            .kind = UPDATE_RECORD,
            .app = app,
            .owner = item->owner,
            .access = item->access,
            .bytes = item->record->bytes,
            .len = item->record->len,
        };
    return count;
}

size_t replica_item_size(const struct replica_item *item)
{
    struct frame_update place = {.len = PLACE_MAX};
    struct frame_update u = {.len = item->record ? item->record->len : 0};

    return (item->placed ? frame_update_size(&place) : 0) +
           (item->record ? frame_update_size(&u) : 0);
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

    if (!entry_is_copy(e))
        return NULL;
    if (r->release)
        r->release(e);
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

    table_free(&r->strays);
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
    if (r->places)
        partial_drop(r);
    return dropped;
}
