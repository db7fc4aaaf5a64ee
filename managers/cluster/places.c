/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/places.h"

#include "managers/cluster/replica.h"
#include "session/buf.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 64 /* of locks; a stripe is as many leaves, side by side */
#define NODES_MAX 65536
#define NODE_CHUNK 256
#define NODE_HEADS 1024
#define GUESSES 4 /* of a search, before it halves */

/* ---- what is kept ---- */

/* A live list. */
struct slot {
    uint8_t id[ID_SIZE];
    uint64_t stamp;
    uint16_t holders[PLACE_HOLDERS]; /* numbers; 0: no more */
};

/* An end. They hang in the order in which they were put, or put off: of
 * `turn`, which is `learnt` but for those that are kept. */
struct over {
    struct over *before, *after;
    int64_t learnt, turn;
    uint8_t kind, reason;
    bool confirmed;
    struct slot slot;
};

struct leaf {
    struct slot *slots;  /* sorted by id */
    struct over **overs; /* sorted by id */
    uint32_t count, cap, over_count, over_cap;
    _Atomic uint64_t sum; /* written under the lock */
};

/* A node that some places name. */
struct node {
    uint64_t node; /* stands as long as it counts */
    uint32_t count;
    uint16_t next; /* in its chain, or among the free */
};

/* Lists with the same holders. */
struct alike {
    uint64_t key; /* the numbers of a slot; 0: free */
    size_t sessions, users;
};

struct places {
    uint64_t self;
    pthread_mutex_t locks[STRIPES];
    struct leaf leaves[TABLE_LEAVES];
    _Atomic uint64_t root;
    _Atomic size_t lists, over, users, primary, backup, bytes;
    /* Under node_lock; but `node` of one that counts is read by whoever found
     * its number in a row, under that row's lock. */
    pthread_mutex_t node_lock;
    struct node *nodes[NODES_MAX / NODE_CHUNK];
    uint32_t node_count; /* numbers given so far, 0 included */
    uint16_t node_free;
    uint16_t node_heads[NODE_HEADS];
    pthread_mutex_t alike_lock;
    struct alike *alikes; /* open addressing; those of which none is left stay
                             until it grows */
    size_t alike_used, alike_cap;
    pthread_mutex_t over_lock; /* of the order of ends */
    struct over first;         /* before the first, after the last */
};

static_assert(sizeof(struct slot) == 32, "a session's row");
static_assert(sizeof((struct slot *)0)->holders == sizeof(uint64_t), "a key");

static void count_add(_Atomic size_t *count, size_t by)
{
    atomic_fetch_add_explicit(count, by, memory_order_relaxed);
}

static void count_sub(_Atomic size_t *count, size_t by)
{
    atomic_fetch_sub_explicit(count, by, memory_order_relaxed);
}

/* Innermost; `p` may be read through a pointer to const. */
static struct leaf *leaf_lock(const struct places *places, unsigned number)
{
    struct places *p = (struct places *)places;

    pthread_mutex_lock(&p->locks[number / (TABLE_LEAVES / STRIPES)]);
    return &p->leaves[number];
}

static void leaf_unlock(const struct places *places, const struct leaf *leaf)
{
    struct places *p = (struct places *)places;
    size_t number = (size_t)(leaf - p->leaves);

    pthread_mutex_unlock(&p->locks[number / (TABLE_LEAVES / STRIPES)]);
}

/* ---- nodes ---- */

static struct node *node_at(const struct places *p, uint16_t number)
{
    return &p->nodes[number / NODE_CHUNK][number % NODE_CHUNK];
}

static uint16_t *node_head(struct places *p, uint64_t node)
{
    /* random numbers, but 1, 2, 3 in tests */
    return &p->node_heads[(node ^ node >> 32) % NODE_HEADS];
}

static uint16_t node_new(struct places *p, uint64_t node)
{
    uint16_t *head = node_head(p, node);
    uint16_t number = p->node_free;

    if (number) {
        p->node_free = node_at(p, number)->next;
    } else if (p->node_count == NODES_MAX) {
        return 0;
    } else {
        struct node **chunk = &p->nodes[p->node_count / NODE_CHUNK];
        if (!*chunk) {
            *chunk = mem_zero(NODE_CHUNK * sizeof **chunk);
            count_add(&p->bytes, NODE_CHUNK * sizeof **chunk);
        }
        number = (uint16_t)p->node_count++;
    }
    *node_at(p, number) = (struct node){.node = node, .next = *head};
    return *head = number;
}

/* Counts once more. 0: there are too many. */
static uint16_t node_take(struct places *p, uint64_t node)
{
    pthread_mutex_lock(&p->node_lock);
    uint16_t number = *node_head(p, node);
    while (number && node_at(p, number)->node != node)
        number = node_at(p, number)->next;
    if (!number)
        number = node_new(p, node);
    if (number)
        node_at(p, number)->count++;
    pthread_mutex_unlock(&p->node_lock);
    return number;
}

static void node_drop(struct places *p, uint16_t number)
{
    pthread_mutex_lock(&p->node_lock);
    struct node *n = node_at(p, number);
    if (--n->count == 0) {
        uint16_t *at = node_head(p, n->node);
        while (*at != number)
            at = &node_at(p, *at)->next;
        *at = n->next;
        n->next = p->node_free;
        p->node_free = number;
    }
    pthread_mutex_unlock(&p->node_lock);
}

static void slot_drop_nodes(struct places *p, const struct slot *s)
{
    for (unsigned i = 0; i < PLACE_HOLDERS && s->holders[i]; i++)
        node_drop(p, s->holders[i]);
}

static bool slot_fill(struct places *p, struct slot *s,
                      const uint8_t id[ID_SIZE], const struct place *place)
{
    *s = (struct slot){.stamp = place->stamp};
    memcpy(s->id, id, ID_SIZE);
    for (unsigned i = 0; i < place->count; i++) {
        s->holders[i] = node_take(p, place->holders[i]);
        if (!s->holders[i]) {
            slot_drop_nodes(p, s);
            return false;
        }
    }
    return true;
}

static void slot_read(const struct places *p, const struct slot *s,
                      struct place *out)
{
    *out = (struct place){.kind = PLACE_LIST, .stamp = s->stamp};
    while (out->count < PLACE_HOLDERS && s->holders[out->count]) {
        out->holders[out->count] = node_at(p, s->holders[out->count])->node;
        out->count++;
    }
}

static void over_read(const struct places *p, const struct over *o,
                      struct place *out)
{
    slot_read(p, &o->slot, out);
    out->kind = (enum place_kind)o->kind;
    out->reason = (enum reason)o->reason;
}

/* ---- rows ---- */

static uint64_t id_head(const uint8_t id[ID_SIZE])
{
    uint64_t u;
    memcpy(&u, id, sizeof u);
    return be64toh(u);
}

/* Where id stands in [low, high), or would: ids are random, so a guess by its
 * value is close. */
static uint32_t slot_guess(const struct leaf *leaf, uint64_t head, uint32_t low,
                           uint32_t high)
{
    uint64_t first = id_head(leaf->slots[low].id);
    uint64_t last = id_head(leaf->slots[high - 1].id);

    if (head <= first || last <= first)
        return low;
    if (head >= last)
        return high - 1;
    return low + (uint32_t)((unsigned __int128)(head - first) *
                            (high - 1 - low) / (last - first));
}

static uint32_t slot_search(const struct leaf *leaf, const uint8_t *id,
                            bool *found)
{
    uint32_t low = 0, high = leaf->count;
    uint64_t head = id_head(id);

    *found = false;
    for (int guesses = 0; low < high; guesses++) {
        uint32_t at = guesses < GUESSES ? slot_guess(leaf, head, low, high)
                                        : low + (high - low) / 2;
        int order = memcmp(leaf->slots[at].id, id, ID_SIZE);
        if (order == 0) {
            *found = true;
            return at;
        }
        if (order < 0)
            low = at + 1;
        else
            high = at;
    }
    return low;
}

static uint32_t over_search(const struct leaf *leaf, const uint8_t *id,
                            bool *found)
{
    uint32_t low = 0, high = leaf->over_count;

    *found = false;
    while (low < high) {
        uint32_t at = low + (high - low) / 2;
        int order = memcmp(leaf->overs[at]->slot.id, id, ID_SIZE);
        if (order == 0) {
            *found = true;
            return at;
        }
        if (order < 0)
            low = at + 1;
        else
            high = at;
    }
    return low;
}

/* Room for one more, or less of it when much is free. */
static void row_resize(struct places *p, void **row, uint32_t count,
                       uint32_t *cap, size_t size)
{
    uint32_t room = count + count / 4 + 2;

    if (count < *cap && *cap <= 2 * room)
        return;
    *row = mem_resize(*row, room * size);
    count_add(&p->bytes, room * size);
    count_sub(&p->bytes, *cap * size);
    *cap = room;
}

static void slots_resize(struct places *p, struct leaf *leaf)
{
    void *row = leaf->slots;

    row_resize(p, &row, leaf->count, &leaf->cap, sizeof *leaf->slots);
    leaf->slots = row;
}

static void overs_resize(struct places *p, struct leaf *leaf)
{
    void *row = leaf->overs;

    row_resize(p, &row, leaf->over_count, &leaf->over_cap, sizeof *leaf->overs);
    leaf->overs = row;
}

/* ---- lists with the same holders ---- */

static struct alike *alike_at(const struct places *p, uint64_t key)
{
    size_t i = key * 0x9e3779b97f4a7c15u >> 32;

    for (;; i++) {
        struct alike *a = &p->alikes[i & (p->alike_cap - 1)];
        if (!a->key || a->key == key)
            return a;
    }
}

static void alikes_grow(struct places *p)
{
    struct alike *old = p->alikes;
    size_t cap = p->alike_cap, left = 0;

    for (size_t i = 0; i < cap; i++)
        left += old[i].sessions + old[i].users > 0;
    count_sub(&p->bytes, cap * sizeof *old);
    p->alike_used = left;
    p->alike_cap = 64;
    while (p->alike_cap < 4 * left)
        p->alike_cap *= 2;
    p->alikes = mem_zero(p->alike_cap * sizeof *p->alikes);
    count_add(&p->bytes, p->alike_cap * sizeof *p->alikes);
    for (size_t i = 0; i < cap; i++)
        if (old[i].sessions + old[i].users)
            *alike_at(p, old[i].key) = old[i];
    free(old);
}

/* by: 1 or -1. */
static void alike_add(struct places *p, const struct slot *s, int by)
{
    uint64_t key;

    memcpy(&key, s->holders, sizeof key);
    pthread_mutex_lock(&p->alike_lock);
    if (2 * p->alike_used >= p->alike_cap)
        alikes_grow(p);
    struct alike *a = alike_at(p, key);
    p->alike_used += !a->key;
    a->key = key;
    *(id_is_of_user(s->id) ? &a->users : &a->sessions) += (size_t)by;
    pthread_mutex_unlock(&p->alike_lock);
}

void places_each_alike(const struct places *places, places_alike_fn *each,
                       void *user)
{
    struct places *p = (struct places *)places;
    struct slot s = {.stamp = 0};
    struct place list;

    pthread_mutex_lock(&p->alike_lock);
    for (size_t i = 0; i < p->alike_cap; i++) {
        const struct alike *a = &p->alikes[i];
        if (!a->sessions && !a->users)
            continue;
        memcpy(s.holders, &a->key, sizeof s.holders);
        slot_read(p, &s, &list);
        each(user, &list, a->sessions, a->users);
    }
    pthread_mutex_unlock(&p->alike_lock);
}

/* ---- counting: what is put counts once, what is taken out no more ---- */

uint64_t place_hash(const struct place *p, const uint8_t id[ID_SIZE])
{
    uint8_t bytes[PLACE_MAX];

    return p->kind == PLACE_LIST
               ? replica_hash(bytes, place_encode(p, id, bytes))
               : 0;
}

static void add_hash(struct places *p, struct leaf *leaf, uint64_t hash)
{
    uint64_t sum = atomic_load_explicit(&leaf->sum, memory_order_relaxed);

    atomic_store_explicit(&leaf->sum, sum + hash, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->root, hash, memory_order_relaxed);
}

static _Atomic size_t *role_of(struct places *p, const uint8_t id[ID_SIZE],
                               const struct place *list)
{
    if (id_is_of_user(id))
        return &p->users;
    if (!place_has(list, p->self))
        return NULL;
    return list->holders[0] == p->self ? &p->primary : &p->backup;
}

/* slot: its row, while its nodes count. */
static void count_list(struct places *p, struct leaf *leaf,
                       const struct slot *slot, const struct place *list)
{
    _Atomic size_t *role = role_of(p, slot->id, list);

    add_hash(p, leaf, place_hash(list, slot->id));
    count_add(&p->lists, 1);
    if (role)
        count_add(role, 1);
    if (place_has(list, p->self))
        alike_add(p, slot, 1);
}

static void uncount_list(struct places *p, struct leaf *leaf,
                         const struct slot *slot, const struct place *list)
{
    _Atomic size_t *role = role_of(p, slot->id, list);

    add_hash(p, leaf, 0 - place_hash(list, slot->id));
    count_sub(&p->lists, 1);
    if (role)
        count_sub(role, 1);
    if (place_has(list, p->self))
        alike_add(p, slot, -1);
}

/* ---- the order of ends ---- */

static void over_append(struct places *p, struct over *o)
{
    o->before = p->first.before;
    o->after = &p->first;
    o->before->after = o;
    o->after->before = o;
}

static void over_unlink(struct over *o)
{
    o->before->after = o->after;
    o->after->before = o->before;
}

/* ---- taking out and putting in; the leaf is locked ---- */

static void slot_remove(struct places *p, struct leaf *leaf, uint32_t at)
{
    slot_drop_nodes(p, &leaf->slots[at]);
    leaf->count--;
    memmove(&leaf->slots[at], &leaf->slots[at + 1],
            (leaf->count - at) * sizeof *leaf->slots);
    slots_resize(p, leaf);
}

static void slot_insert(struct places *p, struct leaf *leaf, uint32_t at,
                        const struct slot *slot)
{
    slots_resize(p, leaf);
    memmove(&leaf->slots[at + 1], &leaf->slots[at],
            (leaf->count - at) * sizeof *leaf->slots);
    leaf->slots[at] = *slot;
    leaf->count++;
}

static void over_remove(struct places *p, struct leaf *leaf, uint32_t at)
{
    struct over *o = leaf->overs[at];

    slot_drop_nodes(p, &o->slot);
    pthread_mutex_lock(&p->over_lock);
    over_unlink(o);
    pthread_mutex_unlock(&p->over_lock);
    free(o);
    leaf->over_count--;
    memmove(&leaf->overs[at], &leaf->overs[at + 1],
            (leaf->over_count - at) * sizeof *leaf->overs);
    overs_resize(p, leaf);
    count_sub(&p->over, 1);
    count_sub(&p->bytes, sizeof *o);
}

static void over_insert(struct places *p, struct leaf *leaf,
                        const struct slot *slot, const struct place *place,
                        int64_t learnt)
{
    struct over *o = mem_zero(sizeof *o);
    bool found;
    uint32_t at = over_search(leaf, slot->id, &found);

    o->slot = *slot;
    o->kind = (uint8_t)place->kind;
    o->reason = (uint8_t)place->reason;
    o->learnt = o->turn = learnt;
    overs_resize(p, leaf);
    memmove(&leaf->overs[at + 1], &leaf->overs[at],
            (leaf->over_count - at) * sizeof *leaf->overs);
    leaf->overs[at] = o;
    leaf->over_count++;
    count_add(&p->over, 1);
    count_add(&p->bytes, sizeof *o);
    pthread_mutex_lock(&p->over_lock);
    over_append(p, o);
    pthread_mutex_unlock(&p->over_lock);
}

/* Where an id stands. */
struct spot {
    uint32_t at, over_at;
    bool listed, over;
};

static struct spot spot_of(const struct places *p, const struct leaf *leaf,
                           const uint8_t *id, struct place *out)
{
    struct spot spot = {0};

    *out = (struct place){0};
    spot.at = slot_search(leaf, id, &spot.listed);
    if (!spot.listed)
        spot.over_at = over_search(leaf, id, &spot.over);
    if (spot.listed)
        slot_read(p, &leaf->slots[spot.at], out);
    else if (spot.over)
        over_read(p, leaf->overs[spot.over_at], out);
    return spot;
}

static void spot_clear(struct places *p, struct leaf *leaf, struct spot spot,
                       const struct place *was)
{
    if (spot.listed) {
        uncount_list(p, leaf, &leaf->slots[spot.at], was);
        slot_remove(p, leaf, spot.at);
    } else if (spot.over) {
        over_remove(p, leaf, spot.over_at);
    }
}

/* Puts it where `was` stood. false: more nodes than there are numbers. */
static bool spot_set(struct places *p, struct leaf *leaf, struct spot spot,
                     const uint8_t *id, const struct place *was,
                     const struct place *place, int64_t learnt)
{
    bool list = place->kind == PLACE_LIST;
    struct slot slot;

    if (!slot_fill(p, &slot, id, place))
        return false;
    if (spot.listed && list) { /* most changes: nothing moves */
        uncount_list(p, leaf, &leaf->slots[spot.at], was);
        slot_drop_nodes(p, &leaf->slots[spot.at]);
        leaf->slots[spot.at] = slot;
    } else {
        spot_clear(p, leaf, spot, was);
        if (list)
            slot_insert(p, leaf, spot.at, &slot);
        else
            over_insert(p, leaf, &slot, place, learnt);
    }
    if (list)
        count_list(p, leaf, &slot, place);
    return true;
}

/* ---- */

struct places *places_new(uint64_t self)
{
    struct places *p = mem_zero(sizeof *p);

    p->self = self;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&p->locks[i], NULL);
    pthread_mutex_init(&p->node_lock, NULL);
    pthread_mutex_init(&p->alike_lock, NULL);
    pthread_mutex_init(&p->over_lock, NULL);
    p->first.before = p->first.after = &p->first;
    p->nodes[0] = mem_zero(NODE_CHUNK * sizeof *p->nodes[0]);
    p->node_count = 1; /* number 0 is nobody's */
    atomic_init(&p->bytes, sizeof *p + NODE_CHUNK * sizeof *p->nodes[0]);
    return p;
}

void places_free(struct places **places)
{
    struct places *p = *places;

    *places = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < TABLE_LEAVES; i++) {
        for (uint32_t n = 0; n < p->leaves[i].over_count; n++)
            free(p->leaves[i].overs[n]);
        free(p->leaves[i].overs);
        free(p->leaves[i].slots);
    }
    for (size_t i = 0; i < NODES_MAX / NODE_CHUNK; i++)
        free(p->nodes[i]);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&p->locks[i]);
    pthread_mutex_destroy(&p->node_lock);
    pthread_mutex_destroy(&p->alike_lock);
    pthread_mutex_destroy(&p->over_lock);
    free(p->alikes);
    free(p);
}

bool places_get(const struct places *p, const uint8_t id[ID_SIZE],
                struct place *out)
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    struct spot spot = spot_of(p, leaf, id, out);

    leaf_unlock(p, leaf);
    return spot.listed || spot.over;
}

bool places_put(struct places *p, const uint8_t id[ID_SIZE],
                const struct place *place, int64_t learnt, struct place *before)
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    struct place was, now;
    struct spot spot = spot_of(p, leaf, id, &was);
    bool changed = !(spot.listed || spot.over);

    assert(place_is_valid(place));
    now = changed ? *place : was;
    changed = changed || place_merge(&now, place);
    if (changed)
        changed = spot_set(p, leaf, spot, id, &was, &now, learnt);
    leaf_unlock(p, leaf);
    if (before)
        *before = was;
    return changed;
}

void places_remove(struct places *p, const uint8_t id[ID_SIZE])
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    struct place was;
    struct spot spot = spot_of(p, leaf, id, &was);

    spot_clear(p, leaf, spot, &was);
    leaf_unlock(p, leaf);
}

bool places_next_over(struct places *p, int64_t learnt_before,
                      uint8_t id[ID_SIZE])
{
    pthread_mutex_lock(&p->over_lock);
    const struct over *o = p->first.after;
    bool found = o != &p->first && o->turn <= learnt_before;
    if (found)
        memcpy(id, o->slot.id, ID_SIZE);
    pthread_mutex_unlock(&p->over_lock);
    return found;
}

/* Its leaf is locked. */
static void over_put_off(struct places *p, struct over *o, int64_t moment)
{
    pthread_mutex_lock(&p->over_lock);
    o->turn = moment;
    over_unlink(o);
    over_append(p, o);
    pthread_mutex_unlock(&p->over_lock);
}

void places_put_off(struct places *p, const uint8_t id[ID_SIZE], int64_t learnt)
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    bool found;
    uint32_t at = over_search(leaf, id, &found);

    if (found) {
        leaf->overs[at]->learnt = learnt;
        over_put_off(p, leaf->overs[at], learnt);
    }
    leaf_unlock(p, leaf);
}

void places_keep(struct places *p, const uint8_t id[ID_SIZE], int64_t moment)
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    bool found;
    uint32_t at = over_search(leaf, id, &found);

    if (found)
        over_put_off(p, leaf->overs[at], moment);
    leaf_unlock(p, leaf);
}

int64_t places_learnt(const struct places *p, const uint8_t id[ID_SIZE])
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    bool found;
    uint32_t at = over_search(leaf, id, &found);
    int64_t learnt = found ? leaf->overs[at]->learnt : INT64_MAX;

    leaf_unlock(p, leaf);
    return learnt;
}

void places_confirm(struct places *p, const uint8_t id[ID_SIZE], uint64_t stamp)
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    bool found;
    uint32_t at = over_search(leaf, id, &found);

    if (found && leaf->overs[at]->slot.stamp == stamp)
        leaf->overs[at]->confirmed = true;
    leaf_unlock(p, leaf);
}

bool places_is_confirmed(const struct places *p, const uint8_t id[ID_SIZE])
{
    struct leaf *leaf = leaf_lock(p, table_leaf(id));
    bool found;
    uint32_t at = over_search(leaf, id, &found);
    bool confirmed = found && leaf->overs[at]->confirmed;

    leaf_unlock(p, leaf);
    return confirmed;
}

uint64_t places_sum(const struct places *p, unsigned leaf)
{
    return atomic_load_explicit(&p->leaves[leaf].sum, memory_order_relaxed);
}

uint64_t places_root(const struct places *p)
{
    return atomic_load_explicit(&p->root, memory_order_relaxed);
}

bool places_has_over(const struct places *p, unsigned number)
{
    struct leaf *leaf = leaf_lock(p, number);
    bool has = leaf->over_count > 0;

    leaf_unlock(p, leaf);
    return has;
}

void places_each_in(const struct places *p, unsigned number,
                    places_each_fn *each, void *user)
{
    struct leaf *leaf = leaf_lock(p, number);
    uint32_t i = 0, j = 0;
    bool more = true;

    while (more && (i < leaf->count || j < leaf->over_count)) {
        struct place place;
        bool list =
            j == leaf->over_count ||
            (i < leaf->count &&
             memcmp(leaf->slots[i].id, leaf->overs[j]->slot.id, ID_SIZE) < 0);
        const uint8_t *id;
        if (list) {
            id = leaf->slots[i].id;
            slot_read(p, &leaf->slots[i++], &place);
        } else {
            id = leaf->overs[j]->slot.id;
            over_read(p, leaf->overs[j++], &place);
        }
        more = each(user, id, &place);
    }
    leaf_unlock(p, leaf);
}

void places_counts(const struct places *p, struct places_counts *out)
{
    *out = (struct places_counts){
        .lists = atomic_load(&p->lists),
        .over = atomic_load(&p->over),
        .users = atomic_load(&p->users),
        .primary = atomic_load(&p->primary),
        .backup = atomic_load(&p->backup),
        .bytes = atomic_load(&p->bytes),
    };
}
