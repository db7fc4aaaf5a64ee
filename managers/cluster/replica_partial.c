/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that hold some of the sessions each: who holds what, and what two of
 * them have in common. */
#include "config.h"

#include "managers/cluster/replica_impl.h"
#include "session/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

struct replica *replica_new_partial(struct manager *m, struct channel *channel)
{
    struct replica *r = replica_new(m, channel);

    pthread_mutex_init(&r->pair_lock, NULL);
    r->app = replica_other_app(r);
    r->places = places_new(channel->node);
    return r;
}

static void pair_free(struct pair *pair)
{
    for (size_t i = 0; i < PAIR_CHUNKS; i++)
        free(pair->sums[i]);
    free(pair);
}

void partial_release(struct replica *r)
{
    if (!r->places)
        return;
    for (size_t i = 0; i < PAIR_HEADS; i++)
        while (r->pairs[i]) {
            struct pair *next = r->pairs[i]->next;
            pair_free(r->pairs[i]);
            r->pairs[i] = next;
        }
    pthread_mutex_destroy(&r->pair_lock);
    places_free(&r->places);
}

struct places *replica_places(struct replica *r)
{
    return r->places;
}

void replica_serve(struct replica *r, replica_placed_fn *placed,
                   replica_called_fn *called, void *user)
{
    r->placed = placed;
    r->called = called;
    r->serve_user = user;
}

void replica_serve_left(struct replica *r, replica_left_fn *left)
{
    r->left = left;
}

void replica_serve_release(struct replica *r, replica_release_fn *release)
{
    r->release = release;
}

void replica_called(struct replica *r, const struct channel_called *call,
                    struct instant now)
{
    struct channel_reply reply = {.to = call->from,
                                  .no = call->no,
                                  .app = call->app,
                                  .answer = CALL_UNAVAILABLE};

    if (r->called) {
        r->called(r->serve_user, call, now);
        return;
    }
    memcpy(reply.id, call->id, ID_SIZE);
    channel_reply(r->channel, &reply);
}

/* ---- sums of pairs; pair_lock is held ---- */

static struct pair **pair_at(struct replica *r, uint64_t node)
{
    struct pair **at = &r->pairs[node % PAIR_HEADS];

    while (*at && (*at)->node != node)
        at = &(*at)->next;
    return at;
}

/* hash: to be added; entries: 1, 0, -1. */
static void pair_add(struct replica *r, uint64_t node, unsigned leaf,
                     uint64_t hash, int entries)
{
    struct pair **at = pair_at(r, node), *pair = *at;

    if (!pair) {
        pair = *at = mem_zero(sizeof *pair);
        pair->node = node;
    }
    uint64_t **chunk = &pair->sums[leaf / PAIR_LEAVES];
    if (!*chunk)
        *chunk = mem_zero(PAIR_LEAVES * sizeof **chunk);
    (*chunk)[leaf % PAIR_LEAVES] += hash;
    pair->root += hash;
    pair->entries += (size_t)entries;
    if (pair->entries)
        return;
    assert(pair->root == 0);
    *at = pair->next;
    pair_free(pair);
}

/* For all in that place but this member. */
static void pairs_add(struct replica *r, const struct place *place,
                      unsigned leaf, uint64_t hash, int entries)
{
    pthread_mutex_lock(&r->pair_lock);
    for (unsigned i = 0; i < place->count; i++)
        if (place->holders[i] != r->channel->node)
            pair_add(r, place->holders[i], leaf, hash, entries);
    pthread_mutex_unlock(&r->pair_lock);
}

void partial_set_hash(struct replica *r, const uint8_t id[ID_SIZE],
                      struct replica_entry *own, uint64_t hash)
{
    struct place place;

    if (hash == own->hash)
        return;
    if (places_get(r->places, id, &place))
        pairs_add(r, &place, table_leaf(id), hash - own->hash,
                  (hash != 0) - (own->hash != 0));
    own->hash = hash;
}

uint64_t partial_root(const struct replica *replica, uint64_t peer)
{
    struct replica *r = (struct replica *)replica;

    pthread_mutex_lock(&r->pair_lock);
    const struct pair *pair = *pair_at(r, peer);
    uint64_t root = pair ? pair->root : 0;
    pthread_mutex_unlock(&r->pair_lock);
    return root + places_root(r->places);
}

void partial_sums(const struct replica *replica, uint64_t peer,
                  uint64_t sums[FRAME_LEAVES], uint8_t ended[FRAME_BITS])
{
    struct replica *r = (struct replica *)replica;

    for (unsigned i = 0; i < FRAME_LEAVES; i++) {
        sums[i] = places_sum(r->places, i);
        if (places_has_over(r->places, i) ||
            atomic_load_explicit(&r->ended[i], memory_order_relaxed))
            ended[i / 8] |= (uint8_t)(1 << i % 8);
    }
    pthread_mutex_lock(&r->pair_lock);
    const struct pair *pair = *pair_at(r, peer);
    for (unsigned i = 0; pair && i < FRAME_LEAVES; i++)
        if (pair->sums[i / PAIR_LEAVES])
            sums[i] += pair->sums[i / PAIR_LEAVES][i % PAIR_LEAVES];
    pthread_mutex_unlock(&r->pair_lock);
}

/* ---- places ---- */

/* Every member learns of it, by itself or from others: the first of them counts
 * it. */
static void count_lost(struct replica *r, const uint8_t id[ID_SIZE],
                       const struct place *before, const struct place *now)
{
    if (before->stamp && before->kind == PLACE_LIST &&
        now->kind == PLACE_OVER && now->reason == REASON_LOST &&
        !id_is_of_user(id) &&
        channel_first(r->channel, &r->members, id) == r->channel->node)
        atomic_fetch_add(&r->lost, 1);
}

bool replica_place_put(struct replica *r, struct entry *entry,
                       const uint8_t id[ID_SIZE], const struct place *place,
                       struct instant now, struct place *out)
{
    uint64_t hash = entry ? replica_entry(entry)->hash : 0;
    struct place stands = *place, before;
    bool changed = places_put(r->places, id, place,
                              replica_moment_learnt(r, now), &before);

    if (changed && before.stamp)
        place_merge(&stands, &before);
    *out = changed ? stands : before;
    if (changed)
        count_lost(r, id, &before, out);
    if (changed && hash) {
        pairs_add(r, out, table_leaf(id), hash, 1);
        pairs_add(r, &before, table_leaf(id), 0 - hash, -1);
    }
    return changed;
}

/* An end that all had forgotten, and so did this member, before somebody told
 * of it once more. */
static bool is_forgotten(const struct replica *r, const struct frame_update *u,
                         const uint8_t id[ID_SIZE], const struct place *came,
                         int64_t since, struct instant now)
{
    struct place known;

    return u->owner && came->kind != PLACE_LIST &&
           since + r->m->keep_ended_ms <= now.mono &&
           since <= replica_known_at(r) && !places_get(r->places, id, &known);
}

enum replica_rc partial_apply(struct replica *r, const struct frame_update *u,
                              int64_t since, struct instant now,
                              uint8_t id[ID_SIZE])
{
    struct place came, stands;

    if (!place_decode(u->bytes, u->len, id, &came))
        return REPLICA_BAD;
    if (is_forgotten(r, u, id, &came, since, now))
        return REPLICA_DONE;
    struct table_stripe *stripe = table_lock(r->m->table, id);
    bool changed =
        replica_place_put(r, table_find(stripe, id), id, &came, now, &stands);
    table_unlock(stripe);
    if (changed && r->placed)
        r->placed(r->serve_user, id, &stands, now);
    return stands.kind == PLACE_FINAL && came.kind != PLACE_FINAL
               ? REPLICA_NEWER
               : REPLICA_DONE;
}

void partial_tell_odd(struct replica *r, const uint8_t id[ID_SIZE],
                      struct instant now)
{
    struct place place = {0};

    struct table_stripe *stripe = table_lock(r->m->table, id);
    const struct entry *e = table_find(stripe, id);
    bool ended = e && record_ended(e->record, NULL);
    bool odd = !places_get(r->places, id, &place) ||
               !place_has(&place, r->channel->node) ||
               (ended ? place.kind == PLACE_LIST
                      : e && !e->idle && place.kind == PLACE_OVER);
    table_unlock(stripe);
    if (odd && r->placed)
        r->placed(r->serve_user, id, &place, now);
}

void replica_given(struct replica *r, const uint8_t id[ID_SIZE],
                   struct instant now)
{
    if (r->places)
        partial_tell_odd(r, id, now);
}

/* ---- forgetting ---- */

/* A place stays as long as something that counts is here. learnt: only an end
 * that was learnt at or before that moment. */
static bool forget(struct replica *r, const uint8_t id[ID_SIZE], int64_t learnt)
{
    struct table_stripe *stripe = table_lock(r->m->table, id);
    struct entry *e = table_find(stripe, id);
    bool counts = e && replica_entry(e)->hash;

    if (!counts &&
        (learnt == INT64_MAX || places_learnt(r->places, id) <= learnt))
        places_remove(r->places, id);
    table_unlock(stripe);
    return !counts;
}

/* As long as it is in doubt whether a session is lost nobody is told so: that
 * can be told for as long as any other end only after it. */
static bool is_in_doubt(const struct replica *r, const uint8_t id[ID_SIZE],
                        struct instant now)
{
    struct place p;

    return !id_is_of_user(id) && places_get(r->places, id, &p) &&
           p.kind == PLACE_OVER && p.reason == REASON_LOST &&
           now.mono - places_learnt(r->places, id) <
               replica_patience(r) + r->m->keep_ended_ms;
}

/* Since when has it been settled up to where? To an eighth of the time. */
static void note_settled(struct replica *r, struct instant now)
{
    int64_t keep = r->m->keep_ended_ms, step = keep / SETTLED_STEPS;
    unsigned n = 0;

    while (n < r->was_count && r->was[n].at + keep - step <= now.mono)
        atomic_store(&r->known, r->was[n++].settled);
    r->was_count -= n;
    memmove(r->was, r->was + n, r->was_count * sizeof *r->was);
    n = r->was_count;
    if (n == SETTLED_STEPS || (n && now.mono - r->was[n - 1].at < step))
        return;
    r->was[n].at = now.mono;
    r->was[n].settled = atomic_load(&r->settled);
    r->was_count++;
}

void partial_forget(struct replica *r, struct instant now)
{
    int64_t before = now.mono - r->m->keep_ended_ms, known;
    uint8_t id[ID_SIZE];

    note_settled(r, now);
    known = replica_known_at(r);
    if (known < before)
        before = known;
    while (places_next_over(r->places, before, id))
        if (is_in_doubt(r, id, now))
            places_keep(r->places, id, replica_moment_learnt(r, now));
        else if (!forget(r, id, before))
            places_put_off(r->places, id, replica_moment_learnt(r, now));
}

struct ids {
    uint8_t (*ids)[ID_SIZE];
    size_t count, cap;
};

static bool add_id(void *user, const uint8_t id[ID_SIZE],
                   const struct place *place)
{
    struct ids *all = user;

    (void)place;
    if (all->count == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 256;
        all->ids = mem_resize(all->ids, all->cap * sizeof *all->ids);
    }
    memcpy(all->ids[all->count++], id, ID_SIZE);
    return true;
}

void partial_drop(struct replica *r)
{
    struct ids all = {0};

    for (unsigned leaf = 0; leaf < FRAME_LEAVES; leaf++) {
        all.count = 0;
        places_each_in(r->places, leaf, add_id, &all);
        for (size_t i = 0; i < all.count; i++)
            forget(r, all.ids[i], INT64_MAX);
    }
    free(all.ids);
}
