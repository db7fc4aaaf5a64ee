/* SPDX-License-Identifier: Apache-2.0
 *
 * What other members say comes into the table. */
#include "config.h"

#include "managers/cluster/replica_impl.h"

#include <string.h>

/* Coarse clocks, and ages in whole milliseconds. */
#define AGE_TOLERANCE_MS 1000

/* What came, on its way into the table. */
struct arrival {
    struct replica *r;
    struct record *record; /* NULL: a touch */
    uint8_t id[ID_SIZE];
    int64_t access;
    uint64_t owner;
    bool is_update; /* of its maker's, who sent it to all */
    struct instant now;
    int64_t *newer;
    bool moved;          /* was said of an old id: nothing is created */
    bool stood;          /* partial: it is a copy, or ended, from now on */
    struct record *left; /* what is to go on under that id; a reference */
    uint8_t successor[ID_SIZE];
    bool ours; /* of our copy, which may know more than who made the new id */
    int64_t used; /* its last use */
    /* for listeners, once the lock is released; references */
    struct record *created, *before;
    struct record_end end;
};

/* By what is known of the last access, is the time over that it may idle? */
static bool is_idle(const struct manager *m, const struct record_life *life,
                    int64_t access, struct instant now)
{
    int64_t seconds = life->max_inactive;

    return seconds > 0 && seconds < INT64_C(1000000000000) &&
           access + seconds * 1000 + manager_grace(m, seconds) <=
               now.mono + AGE_TOLERANCE_MS;
}

static void keep_ended(const struct arrival *a, struct table_stripe *stripe,
                       struct entry *e)
{
    int64_t end = record_ended(e->record, NULL) ? e->access : a->now.mono;

    table_arm(stripe, e, end + a->r->m->keep_ended_ms);
}

/* The record holds an idle end: does it hold, by what we know? */
static void set_idle(const struct arrival *a, struct table_stripe *stripe,
                     struct entry *e, bool idle)
{
    if (idle == e->idle)
        return;
    table_set_idle(stripe, e, idle);
    if (idle)
        keep_ended(a, stripe, e);
    else
        manager_arm(a->r->m, stripe, e, a->now);
}

/* What a member says of itself was said to everybody; else it may come from one
 * who has not told the last accessInterval yet. The time that it was on its way
 * counts as use, and others may have heard of it sooner: as long as nobody was
 * given up that is less than dropTime. */
static int64_t told_by(const struct arrival *a)
{
    return a->access - a->r->channel->drop_ms -
           (a->is_update ? 0 : a->r->m->grace_ms);
}

static bool move_access(const struct arrival *a, struct entry *e)
{
    struct replica_entry *own = replica_entry(e);

    if (told_by(a) > own->told)
        own->told = told_by(a);
    if (a->access <= e->access)
        return false;
    e->access = a->access;
    own->owner = a->owner;
    return true;
}

/* Ended so long ago that everybody has forgotten it, and so did we; a user's
 * record is forgotten without a trace, each member by itself. */
static bool is_forgotten(const struct arrival *a,
                         const struct record_life *life, bool idle)
{
    const struct manager *m = a->r->m;
    int64_t end = a->access;

    if (record_kind(a->record) != RECORD_SESSION && !life->ended)
        return is_idle(m, life, a->access, a->now);
    if (!life->ended && !idle)
        return false;
    if (!life->ended)
        end += life->max_inactive * 1000 + manager_grace(m, life->max_inactive);
    return end + m->keep_ended_ms <= a->now.mono &&
           end <= replica_known_at(a->r);
}

static void insert_whole(struct arrival *a, struct table_stripe *stripe)
{
    struct manager *m = a->r->m;
    struct record_life life;

    record_life(a->record, &life);
    bool idle =
        !life.ended && life.idle_ended && is_idle(m, &life, a->access, a->now);
    if (is_forgotten(a, &life, idle))
        return;
    struct entry *e = table_insert(stripe, record_ref(a->record), a->access);
    a->stood = true;
    replica_entry(e)->owner = a->owner;
    replica_entry(e)->told = told_by(a);
    if (life.ended)
        keep_ended(a, stripe, e);
    else if (idle)
        set_idle(a, stripe, e, true);
    else
        manager_arm(m, stripe, e, a->now);
    replica_recount(a->r, e, a->now);
    if (!life.ended && !idle)
        a->created = record_ref(a->record);
}

static void count_conflict(struct arrival *a, const struct record *before,
                           const struct record *merged)
{
    if (record_is_whole(a->record) && !record_equal(merged, before) &&
        !record_equal(merged, a->record))
        atomic_fetch_add(&a->r->conflicts, 1);
}

/* Said of an id that has a successor, as `end` says: it is to go on there. So
 * is that the session was ended by its user or by an operator: it crossed the
 * new id on the way, and would have followed it, or kept it from living. */
static void leave(struct arrival *a, struct record *said,
                  const struct record *end)
{
    struct record_end to, own;

    if (a->left || !record_ended(end, &to) || to.reason != REASON_RENAMED)
        return;
    if (record_ended(said, &own) && own.reason != REASON_LOGOUT &&
        own.reason != REASON_ADMIN)
        return;
    a->left = record_ref(said);
    memcpy(a->successor, to.new_id, ID_SIZE);
}

static void join_end(struct arrival *a, struct table_stripe *stripe,
                     struct entry *e, struct record *merged)
{
    a->before = record_ref(e->record);
    a->stood = true; /* its place may not say so */
    record_ended(merged, &a->end);
    leave(a, e->record, merged);
    a->ours = a->left != NULL;
    a->used = e->access;
    table_replace(stripe, e, merged);
    e->access = a->access;
    keep_ended(a, stripe, e);
    replica_recount(a->r, e, a->now);
}

/* Neither of the two is a tombstone. */
static enum replica_rc join_live(struct arrival *a, struct table_stripe *stripe,
                                 struct entry *e, struct record *merged)
{
    struct manager *m = a->r->m;
    struct record_life life, came;
    bool was_idle = e->idle;
    bool changed = !record_equal(merged, e->record);

    record_life(merged, &life);
    record_life(a->record, &came);
    count_conflict(a, e->record, merged);
    move_access(a, e);
    if (!was_idle && came.idle_ended)
        a->before = record_ref(e->record);
    table_replace(stripe, e, merged);
    bool idle =
        (came.idle_ended || e->idle) && is_idle(m, &life, e->access, a->now);
    set_idle(a, stripe, e, idle);
    if (!idle && (came.max_inactive || came.max_lifetime))
        manager_arm(m, stripe, e, a->now);
    if (changed || idle != was_idle)
        replica_recount(a->r, e, a->now);
    a->end.reason = REASON_IDLE;
    a->stood |= was_idle && !idle; /* its place may say that it is over */
    if (!idle || was_idle)
        record_unref(&a->before);
    if (idle || !came.idle_ended || !is_idle(m, &life, a->access, a->now))
        return REPLICA_DONE;
    *a->newer = e->access;
    return REPLICA_NEWER;
}

static enum replica_rc join(struct arrival *a, struct table_stripe *stripe,
                            struct entry *e)
{
    if (record_kind(e->record) != record_kind(a->record))
        return REPLICA_BAD;
    bool was_ended = record_ended(e->record, NULL);
    struct record *merged = record_merge(e->record, a->record);

    if (was_ended) {
        leave(a, a->record, e->record);
        leave(a, e->record, a->record);
        table_replace(stripe, e, merged);
        /* of two ends the sender must not believe that its own one stands */
        bool news = record_ended(a->record, NULL)
                        ? !record_equal(merged, a->record)
                        : record_is_whole(a->record);
        return news ? REPLICA_NEWER : REPLICA_DONE;
    }
    if (!record_ended(merged, NULL))
        return join_live(a, stripe, e, merged);
    join_end(a, stripe, e, merged);
    return REPLICA_DONE;
}

static void take_stray(struct arrival *a)
{
    struct record *stray = replica_take_stray(a->r, a->id);

    if (!stray)
        return;
    if (record_kind(stray) == record_kind(a->record)) {
        struct record *joined = record_merge(a->record, stray);
        leave(a, stray, a->record);
        leave(a, a->record, stray);
        record_unref(&a->record);
        a->record = joined;
    }
    record_unref(&stray);
}

/* Partial: the session is known to have ended for good, and nothing is here to
 * which the record could be joined: who sent it is to hear of the end. */
static bool is_final(const struct arrival *a, const struct entry *e)
{
    struct place place;

    return a->r->places && !e && !record_ended(a->record, NULL) &&
           places_get(a->r->places, a->id, &place) && place.kind == PLACE_FINAL;
}

/* The copy of somebody else's session is a holder's from now on. */
static enum replica_rc join_cached(struct arrival *a,
                                   struct table_stripe *stripe, struct entry *e)
{
    enum replica_rc rc = join(a, stripe, e);

    if (rc == REPLICA_BAD)
        return rc;
    e->flags &= ~(uint32_t)ENTRY_CACHED;
    if (record_ended(e->record, NULL)) /* it may have been one before */
        keep_ended(a, stripe, e);
    replica_recount(a->r, e, a->now);
    a->stood = true;
    return rc;
}

static enum replica_rc apply_record(struct arrival *a)
{
    struct replica *r = a->r;
    enum replica_rc rc = REPLICA_DONE;
    bool whole = record_is_whole(a->record);

    if (whole && !a->moved)
        take_stray(a);
    struct table_stripe *stripe = table_lock(r->m->table, a->id);
    struct entry *e = table_find(stripe, a->id);
    bool cached = e && e->flags & ENTRY_CACHED;
    if (e && entry_is_dropped(e)) {
        if (whole && !a->moved)
            table_remove(stripe, e);
        e = NULL;
    }
    if (whole && !a->moved && is_final(a, cached ? NULL : e))
        rc = REPLICA_NEWER;
    else if (cached && whole && !a->moved)
        rc = join_cached(a, stripe, e);
    else if (e && !cached)
        rc = join(a, stripe, e);
    else if (whole && !a->moved)
        insert_whole(a, stripe);
    else
        rc = REPLICA_STRAY;
    table_unlock(stripe);
    if (rc == REPLICA_STRAY)
        replica_keep_stray(r, a->record, a->now);
    return rc;
}

static void tell_heard(struct arrival *a)
{
    struct replica *r = a->r;

    if (r->heard && a->created)
        r->heard(r->user, REPLICA_CREATED, a->created, NULL, a->now);
    if (r->heard && a->before)
        r->heard(r->user, REPLICA_ENDED, a->before, &a->end, a->now);
    record_unref(&a->created);
    record_unref(&a->before);
}

/* What was said of a session under an id that was replaced, here or by others,
 * belongs to the session: two members that change one and give it a new id at
 * the same time both get what they were told. Every member does so with what it
 * hears, in whatever order, and so all come to the same. */
static void hand_left(struct arrival *a)
{
    struct record *moved = record_rekey(a->left, a->successor);

    /* what its maker sent to all holders it has written there itself */
    if (!a->is_update || a->ours)
        a->r->left(a->r->serve_user, moved, a->now);
    record_unref(&moved);
    record_unref(&a->left);
}

static void apply_left(struct arrival *a, enum replica_rc *rc)
{
    struct arrival on = *a;

    if (a->left && a->r->left) {
        hand_left(a);
        return;
    }

    a->left = NULL;
    on.stood = false;
    if (a->ours && a->used > a->access) {
        /* who replaced the id may not have heard of it */
        on.access = a->used;
        replica_note_touch(a->r, a->successor, a->used);
    }
    for (int hops = 0; on.left && hops < 8; hops++) {
        struct record *left = on.left;
        memcpy(on.id, on.successor, ID_SIZE);
        on.record = record_rekey(left, on.id);
        on.left = on.created = on.before = NULL;
        on.moved = true;
        record_unref(&left);
        if (apply_record(&on) == REPLICA_STRAY && *rc == REPLICA_DONE) {
            *rc = REPLICA_STRAY;
            memcpy(a->id, on.id, ID_SIZE);
        }
        record_unref(&on.record);
        tell_heard(&on);
        if (on.r->places && on.stood)
            partial_tell_odd(on.r, on.id, on.now);
        on.stood = false;
    }
    record_unref(&on.left);
}

/* It idled out, and where it was is forgotten by now: a use that comes so late
 * was told long ago, and would bring back a copy that nobody knows of. */
static bool is_buried(const struct arrival *a, const struct entry *e)
{
    struct place place;

    return e->idle && a->r->places && !places_get(a->r->places, a->id, &place);
}

static enum replica_rc apply_touch(struct arrival *a)
{
    struct manager *m = a->r->m;
    struct table_stripe *stripe = table_lock(m->table, a->id);
    struct entry *e = table_find(stripe, a->id);
    enum replica_rc rc = REPLICA_DONE;
    struct record_life life;

    if (!e || !entry_is_copy(e)) {
        rc = REPLICA_STRAY;
    } else if (!record_ended(e->record, NULL) && !is_buried(a, e) &&
               move_access(a, e) && e->idle) {
        record_life(e->record, &life);
        set_idle(a, stripe, e, is_idle(m, &life, e->access, a->now));
        replica_recount(a->r, e, a->now);
    }
    table_unlock(stripe);
    return rc;
}

enum replica_rc replica_apply(struct replica *r, const struct frame_update *u,
                              int64_t access, uint64_t owner,
                              struct instant now, uint8_t id[ID_SIZE],
                              int64_t *newer_access)
{
    struct arrival a = {.r = r,
                        .access = access < now.mono ? access : now.mono,
                        .owner = owner,
                        .is_update = u->owner == 0,
                        .now = now,
                        .newer = newer_access};
    enum replica_rc rc;

    replica_note_time(r, now);
    *newer_access = 0;
    if (u->kind == UPDATE_PLACE)
        return r->places ? partial_apply(r, u, access, now, id) : REPLICA_BAD;
    if (u->kind == UPDATE_TOUCH) {
        if (u->len != ID_SIZE)
            return REPLICA_BAD;
        memcpy(a.id, u->bytes, ID_SIZE);
        rc = apply_touch(&a);
    } else {
        if (record_decode(u->bytes, u->len, &a.record, NULL) != RC_OK)
            return REPLICA_BAD;
        memcpy(a.id, record_id(a.record), ID_SIZE);
        rc = record_kind(a.record) <= RECORD_USER ? apply_record(&a)
                                                  : REPLICA_BAD;
        apply_left(&a, &rc);
    }
    if (rc == REPLICA_NEWER && *newer_access)
        replica_note_touch(r, a.id, *newer_access);
    tell_heard(&a);
    if (r->places && a.stood)
        partial_tell_odd(r, a.id, now);
    record_unref(&a.record);
    memcpy(id, a.id, ID_SIZE);
    return rc;
}
