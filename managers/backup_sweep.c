/* SPDX-License-Identifier: Apache-2.0
 *
 * What nobody's request brings about: sessions that miss a holder, copies that
 * are in no list, places whose holders are all gone. */
#include "config.h"

#include "managers/backup_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_AT_ONCE 500 /* at each pause (50 ms): 10,000 a second */
#define SWEEP_BYTES (1u << 20)
/* Faster than the network, it would push changes out of the cluster's log: so
 * much of that may be on the way. */
#define SWEEP_SHARE 4
#define SWEEP_LOOKS 20000 /* at each pause: milliseconds of the channel's */
#define SWEEP_AGAIN_MS 1000
#define COUNT_AGAIN_MS 10000 /* who else could hold them is not here */
#define GONE_AGAIN_MS 10000
#define ODD_AT_ONCE 2000

/* ---- rows ---- */

void row_add(struct backup *b, struct row *row, const uint8_t id[ID_SIZE],
             int64_t at)
{
    pthread_mutex_lock(&b->lock);
    bool full = row->first + row->count == row->cap;
    if (full && row->first > row->cap / 2) { /* else each one moves them all */
        memmove(row->items, row->items + row->first,
                row->count * sizeof *row->items);
        row->first = 0;
    } else if (full) {
        row->cap = row->cap ? 2 * row->cap : 64;
        row->items = mem_resize(row->items, row->cap * sizeof *row->items);
    }
    struct later *item = &row->items[row->first + row->count++];
    memcpy(item->id, id, ID_SIZE);
    item->at = at;
    pthread_mutex_unlock(&b->lock);
}

/* The first one, if its time has come. */
static bool row_take(struct backup *b, struct row *row, struct instant now,
                     uint8_t id[ID_SIZE])
{
    pthread_mutex_lock(&b->lock);
    bool due = row->count && row->items[row->first].at <= now.mono;
    if (due) {
        memcpy(id, row->items[row->first++].id, ID_SIZE);
        if (--row->count == 0)
            row->first = 0;
    }
    pthread_mutex_unlock(&b->lock);
    return due;
}

/* ---- copies that were of use to a request ---- */

static void evict(struct backup *b, const uint8_t id[ID_SIZE],
                  struct instant now)
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    bool later = false;

    if (e && e->flags & ENTRY_CACHED) {
        later = backup_entry(e)->errands ||
                now.mono - replica_entry(e)->told < CACHED_MS;
        if (!later)
            entry_drop(b, stripe, e);
    }
    table_unlock(stripe);
    if (later)
        row_add(b, &b->cached, id, now.mono + CACHED_MS);
}

/* ---- what does not fit together ---- */

static bool has_ended(const struct entry *e)
{
    return e->idle || record_ended(e->record, NULL);
}

/* By what is known here it lives, though others say that it is over. */
static bool lives(const struct backup *b, const struct entry *e,
                  struct instant now)
{
    struct record_end end;

    return manager_entry_liveness(&b->base, e, e->record, now, &end) == RC_OK;
}

bool all_gone(const struct backup *b, const struct place *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (holder_state(b, p->holders[i]) != MEMBER_GONE)
            return false;
    return true;
}

/* A list of this member's own: itself and who else is there of the holders. */
static bool adopt(struct backup *b, struct entry *e, const uint8_t id[ID_SIZE],
                  const struct place *before, struct instant now,
                  struct place *p)
{
    place_list(p, before, now);
    for (unsigned i = 0; before && i < before->count; i++)
        if (before->holders[i] != self(b) && p->count < b->backups &&
            is_here(b, before->holders[i]))
            p->holders[p->count++] = before->holders[i];
    if (before && place_has(before, self(b)) &&
        acting_primary(b, before) == self(b)) {
        memmove(p->holders + 1, p->holders, p->count * sizeof *p->holders);
        p->holders[0] = self(b);
        p->count++;
    } else {
        p->holders[p->count++] = self(b);
    }
    return place_change(b, e, id, p, now);
}

bool knows_better(const struct backup *b, const struct entry *e,
                  const struct place *p, struct instant now)
{
    return p->kind == PLACE_OVER && p->reason == REASON_LOST && is_copy(e) &&
           lives(b, e, now);
}

enum reason lost_reason(const struct backup *b, const struct entry *e,
                        struct instant now)
{
    struct record_end end;

    if (!is_copy(e) || record_ended(e->record, NULL) ||
        manager_entry_liveness(&b->base, e, e->record, now, &end) == RC_OK)
        return REASON_LOST;
    return end.reason;
}

bool is_found(const struct backup *b, const uint8_t id[ID_SIZE],
              const struct place *p, struct instant now)
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    bool found = knows_better(b, table_find(stripe, id), p, now);

    table_unlock(stripe);
    return found;
}

enum reason reason_here(const struct backup *b, const uint8_t id[ID_SIZE],
                        struct instant now)
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    enum reason reason = lost_reason(b, table_find(stripe, id), now);

    table_unlock(stripe);
    return reason;
}

/* What is to be done about it, the stripe locked. */
enum remedy { NOTHING, TELL, PROTECT, LET_GO, LATER };

/* Somebody has given it to this member a moment ago, and counts on it: a list
 * that names it is on its way. */
static bool is_wanted(struct entry *e, struct instant now)
{
    uint32_t given = backup_entry(e)->given;

    return given && (uint32_t)now.mono - given < ODD_MS;
}

/* A copy that the place does not name: its holders may know more. */
static enum remedy remedy_of_stray(struct backup *b, struct entry *e,
                                   const uint8_t id[ID_SIZE], struct place *p,
                                   struct instant now)
{
    const struct place before = *p;

    if (acting_primary(b, p))
        return backup_entry(e)->errands || is_wanted(e, now) ? LATER : LET_GO;
    if (!all_gone(b, p))
        return LATER;
    return adopt(b, e, id, &before, now, p) ? PROTECT : NOTHING;
}

static enum remedy remedy_of_list(struct backup *b, struct entry *e,
                                  const uint8_t id[ID_SIZE], struct place *p,
                                  struct instant now)
{
    bool acting = acting_primary(b, p) == self(b), copy = is_copy(e);
    struct place before = *p;
    struct record_end end;

    if (place_has(p, self(b))) {
        if (copy && acting && record_ended(e->record, &end)) {
            place_end(p, &before, PLACE_FINAL, end.reason, now);
            return place_change(b, e, id, p, now) ? TELL : NOTHING;
        }
        if (copy || !acting)
            return NOTHING;
        place_list(p, &before, now); /* named here, and nothing is here */
        for (unsigned i = 0; i < before.count; i++)
            if (before.holders[i] != self(b))
                p->holders[p->count++] = before.holders[i];
        if (!p->count)
            place_end(p, &before, PLACE_OVER, REASON_LOST, now);
        return place_change(b, e, id, p, now) ? TELL : NOTHING;
    }
    return copy ? remedy_of_stray(b, e, id, p, now) : NOTHING;
}

static enum remedy remedy_of(struct backup *b, struct entry *e,
                             const uint8_t id[ID_SIZE], struct place *p,
                             struct instant now)
{
    struct place before;

    if (!place_of(b, id, p)) {
        if (!is_copy(e) || has_ended(e))
            return NOTHING;
        return adopt(b, e, id, NULL, now, p) ? PROTECT : NOTHING;
    }
    if (p->kind == PLACE_LIST)
        return remedy_of_list(b, e, id, p, now);
    if (p->kind == PLACE_FINAL)
        return is_copy(e) && !record_ended(e->record, NULL) ? LET_GO : NOTHING;
    if (!is_copy(e))
        return TELL; /* a place that was ended where nobody could be told */
    if (!lives(b, e, now))
        return NOTHING;
    if (p->reason != REASON_LOST && !place_has(p, self(b)))
        return remedy_of_stray(b, e, id, p, now);
    before = *p;
    return adopt(b, e, id, &before, now, p) ? PROTECT : NOTHING;
}

/* A copy of a session that has ended, and nobody is there to take it. */
static void drop_ended(struct backup *b, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);

    if (is_copy(e) && !backup_entry(e)->errands)
        entry_drop(b, stripe, e);
    table_unlock(stripe);
}

/* So much is on its way that more would push it out of the cluster's log. */
static bool is_crowded(const struct backup *b)
{
    size_t log = b->channel->log_bytes;

    return log &&
           atomic_load(&((struct backup *)b)->protecting) >= log / SWEEP_SHARE;
}

/* It went on under a new id, where what is here may be missing, and somebody
 * who knows that id may come back. */
static bool goes_on_elsewhere(const struct backup *b, const struct place *p)
{
    bool may = false;

    for (unsigned i = 0; i < p->count; i++)
        may |= holder_state(b, p->holders[i]) == MEMBER_AWAY;
    return may && p->reason == REASON_RENAMED;
}

bool has_others_here(const struct backup *b, const struct place *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->holders[i] != self(b) && is_here(b, p->holders[i]))
            return true;
    return false;
}

void look_at(struct backup *b, const uint8_t id[ID_SIZE], struct instant now)
{
    struct place p = {.stamp = 0};

    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    enum remedy remedy = remedy_of(b, e, id, &p, now);
    table_unlock(stripe);
    switch (remedy) {
    case NOTHING:
        break;
    case TELL:
        tell_place(b, id, &p);
        break;
    case PROTECT:
        tell_place(b, id, &p);
        protect(b, id, now);
        break;
    case LET_GO:
        if (p.kind == PLACE_FINAL && !has_others_here(b, &p) &&
            !goes_on_elsewhere(b, &p))
            drop_ended(b, id);
        else if (is_crowded(b))
            row_add(b, &b->soon, id, now.mono + 1); /* the next tick */
        else
            let_go(b, id, &p, now);
        break;
    case LATER:
        row_add(b, &b->odd, id, now.mono + ODD_MS);
        break;
    }
}

/* Is it this member's to see to it that the session gets one copy more? */
static bool is_short(const struct backup *b, const struct place *list)
{
    unsigned others = 0;

    for (unsigned i = 0; i < list->count; i++)
        others += list->holders[i] != self(b) && stays(b, list->holders[i]);
    return others < b->backups && acting_primary(b, list) == self(b);
}

void placed_here(void *user, const uint8_t id[ID_SIZE],
                 const struct place *place, struct instant now)
{
    struct backup *b = user;
    bool odd = false, at_once = false;

    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    bool copy = is_copy(e);
    if (place->kind == PLACE_LIST && place_has(place, self(b))) {
        if (copy) {
            e->flags |= ENTRY_LISTED;
            backup_entry(e)->given = 0;
        }
        /* of two ids of one session, the other one may have brought the end */
        odd = !copy || (record_ended(e->record, NULL) &&
                        acting_primary(b, place) == self(b));
        /* others, apart from this member, gave up a holder that is back */
        if (copy && is_short(b, place))
            atomic_store(&b->sweep_soon, true);
    } else if (copy) {
        odd = place->kind != PLACE_FINAL || !record_ended(e->record, NULL);
        /* one that no list has named yet is on its way into one */
        at_once = place->kind == PLACE_LIST && e->flags & ENTRY_LISTED;
        if (place->kind == PLACE_LIST && !at_once)
            backup_entry(e)->given = (uint32_t)now.mono | 1;
        e->flags &= ~(uint32_t)ENTRY_LISTED;
        if (place->kind == PLACE_OVER)
            at_once = lives(b, e, now) &&
                      (acting_primary(b, place) == self(b) ||
                       (place->reason == REASON_LOST && all_gone(b, place)));
    }
    table_unlock(stripe);
    if (odd && at_once)
        row_add(b, &b->soon, id, now.mono);
    else if (odd)
        row_add(b, &b->odd, id, now.mono + ODD_MS);
}

/* ---- the sweep ---- */

struct ids {
    uint8_t (*ids)[ID_SIZE];
    size_t count, cap, bytes;
};

static void ids_add(struct ids *list, const uint8_t id[ID_SIZE], size_t bytes)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 256;
        list->ids = mem_resize(list->ids, list->cap * sizeof *list->ids);
    }
    memcpy(list->ids[list->count++], id, ID_SIZE);
    list->bytes += bytes;
}

struct look {
    struct backup *b;
    struct ids found;
    size_t seen;
    unsigned within_reach; /* backups that there could be now */
    /* holders that were never heard of, of one list: if they are gone, it is
     * lost, or it is time that they leave the list */
    uint64_t strangers[PLACE_HOLDERS];
    unsigned stranger_count;
};

/* Other holders of a session of which this member is the acting primary; -1:
 * it is not. */
static int others_of(const struct backup *b, struct entry *e,
                     const struct place *p, bool *gone)
{
    int others = 0;

    *gone = false;
    if (!is_copy(e) || has_ended(e) || p->kind != PLACE_LIST ||
        acting_primary(b, p) != self(b))
        return -1;
    for (unsigned i = 0; i < p->count; i++) {
        uint64_t node = p->holders[i];
        others += node != self(b) && stays(b, node);
        *gone |= holder_state(b, node) == MEMBER_GONE;
    }
    return others;
}

static bool sweep_look(void *user, struct entry *e)
{
    struct look *look = user;
    struct backup *b = look->b;
    struct place p;
    bool gone;
    int others = -1;

    look->seen++;
    if (place_of(b, record_id(e->record), &p))
        others = others_of(b, e, &p, &gone);
    else
        p.count = 0;
    if (is_copy(e) && record_ended(e->record, NULL) && p.count &&
        p.kind == PLACE_LIST && acting_primary(b, &p) == self(b))
        row_add(b, &b->soon, record_id(e->record), 0); /* nobody said so */
    if (others < 0)
        return true;
    bool many = (unsigned)others > b->backups;
    bool few = (unsigned)others < look->within_reach;
    if (b->sweep_pass == 0 ? few && others == 0 : few || gone || many)
        ids_add(&look->found, record_id(e->record), e->record->len);
    return true;
}

struct exposed {
    const struct backup *b;
    uint64_t sessions, users;
};

static void add_exposed(void *user, const struct place *list, size_t sessions,
                        size_t users)
{
    struct exposed *x = user;

    if (!is_short(x->b, list))
        return;
    x->sessions += sessions;
    x->users += users;
}

static struct exposed exposed(const struct backup *b)
{
    struct exposed x = {.b = b};

    places_each_alike(replica_places(b->replica), add_exposed, &x);
    return x;
}

uint64_t exposed_count(const struct backup *b)
{
    return exposed(b).sessions;
}

/* Also of a user's record there are to be so many copies. */
static bool is_exposed(const struct backup *b)
{
    struct exposed x = exposed(b);

    return x.sessions + x.users > 0;
}

static unsigned within_reach(const struct backup *b)
{
    uint64_t others[PLACE_HOLDERS];
    uint8_t id[ID_SIZE] = {0};

    return choose(b, id, NULL, 0, others, b->backups);
}

/* One step; false: this sweep is over. */
static bool sweep_step(struct backup *b, struct instant now)
{
    struct look look = {.b = b, .within_reach = within_reach(b)};

    /* what others decided meanwhile is not known */
    if (!channel_may_answer(b->channel, now) || is_crowded(b))
        return true;
    while (b->sweep_leaf < TABLE_LEAVES && look.seen < SWEEP_LOOKS &&
           look.found.count < SWEEP_AT_ONCE && look.found.bytes < SWEEP_BYTES)
        table_each_in(b->base.table, b->sweep_leaf++, sweep_look, &look);
    for (size_t i = 0; i < look.found.count; i++)
        protect(b, look.found.ids[i], now);
    b->sweep_begun += look.found.count;
    free(look.found.ids);
    if (b->sweep_leaf < TABLE_LEAVES)
        return true;
    b->sweep_leaf = 0;
    return b->sweep_pass++ == 0;
}

/* ---- sessions of which every holder is gone ---- */

static bool lost_look(void *user, const uint8_t id[ID_SIZE],
                      const struct place *p)
{
    struct look *look = user;
    uint64_t unknown[PLACE_HOLDERS];
    unsigned count = 0;
    bool lost = true;

    if (p->kind != PLACE_LIST)
        return true;
    for (unsigned i = 0; i < p->count; i++) {
        enum member_state s = holder_state(look->b, p->holders[i]);
        if (s == MEMBER_UNKNOWN)
            unknown[count++] = p->holders[i];
        lost &= s == MEMBER_GONE;
    }
    if (lost)
        ids_add(&look->found, id, 0);
    memcpy(look->strangers, unknown, count * sizeof *unknown);
    if (count)
        look->stranger_count = count;
    return true;
}

/* Each member finds that for itself, with the same stamp: nobody is told. True:
 * a session is lost. */
static bool lose(struct backup *b, const uint8_t id[ID_SIZE],
                 struct instant now)
{
    struct place p, over;
    bool lost = false;

    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    if (place_of(b, id, &p) && p.kind == PLACE_LIST && all_gone(b, &p)) {
        if (is_copy(e)) {
            row_add(b, &b->soon, id, now.mono);
        } else {
            over = p;
            over.kind = PLACE_OVER;
            over.reason = REASON_LOST;
            over.stamp = place_stamp(&p, 0);
            lost = place_change(b, e, id, &over, now);
        }
    }
    table_unlock(stripe);
    return lost && !id_is_of_user(id);
}

/* A leaf at a time: places hold a lock. */
static void lost_in(struct backup *b, unsigned leaf, struct look *look)
{
    look->stranger_count = 0;
    places_each_in(replica_places(b->replica), leaf, lost_look, look);
    for (unsigned i = 0; i < look->stranger_count; i++)
        channel_wonder(b->channel, look->strangers[i]);
}

static void lose_all(struct backup *b, struct instant now)
{
    struct look look = {.b = b};
    size_t lost = 0;

    for (unsigned leaf = 0; leaf < TABLE_LEAVES; leaf++)
        lost_in(b, leaf, &look);
    for (size_t i = 0; i < look.found.count; i++)
        lost += lose(b, look.found.ids[i], now);
    free(look.found.ids);
    if (lost)
        log_line(b->base.env.log, LOG_WARN, "manager",
                 "%zu sessions of %s are lost: all members that held them are "
                 "gone; backups=\"%u\" survives as many members at a time",
                 lost, b->base.env.app, b->backups);
}

/* ---- turning ---- */

static void sweep_go_on(struct channel_pause *pause)
{
    struct backup *b =
        (struct backup *)((char *)pause - offsetof(struct backup, pause));

    if (!atomic_load(&b->stopping) && !pause->stopped &&
        sweep_step(b, pause->now)) {
        channel_pause(b->channel, pause);
        return;
    }
    b->sweep_again = 0;
    if (b->sweep_begun)
        b->sweep_again = pause->now.mono + SWEEP_AGAIN_MS;
    else if (is_exposed(b) || within_reach(b) < b->backups)
        b->sweep_again = pause->now.mono + COUNT_AGAIN_MS;
    atomic_store(&b->sweeping, false);
}

static void sweep_begin(struct backup *b, uint64_t view, struct instant now)
{
    if (view != b->swept_view)
        b->gone_at = now.mono;
    b->swept_view = view;
    b->sweep_leaf = b->sweep_pass = 0;
    b->sweep_begun = 0;
    b->pause.done = sweep_go_on;
    atomic_store(&b->sweeping, true);
    channel_pause(b->channel, &b->pause);
}

/* Lists of those that are gone may come at any time. */
static void note_gone(struct backup *b, struct instant now)
{
    if (now.mono < b->gone_again)
        return;
    b->gone_again = now.mono + GONE_AGAIN_MS;
    if (!b->gone_at)
        b->gone_at = now.mono;
}

void sweep_tick(struct backup *b, struct instant now)
{
    uint64_t view = atomic_load(&b->channel->view);
    uint8_t id[ID_SIZE];
    size_t n = ODD_AT_ONCE;

    while (row_take(b, &b->cached, now, id))
        evict(b, id, now);
    if (!channel_may_answer(b->channel, now))
        return; /* what others did meanwhile is not known yet */
    while (n &&
           (row_take(b, &b->soon, now, id) || row_take(b, &b->odd, now, id))) {
        look_at(b, id, now);
        n--;
    }
    note_gone(b, now);
    if (b->gone_at && replica_settled_at(b->replica) > b->gone_at) {
        b->gone_at = 0;
        lose_all(b, now);
    }
    if (atomic_load(&b->sweeping))
        return;
    if (atomic_exchange(&b->sweep_soon, false) || view != b->swept_view ||
        (b->sweep_again && now.mono >= b->sweep_again))
        sweep_begin(b, view, now);
}

/* ---- expireSessionsOnShutdown ---- */

static bool acting_look(void *user, struct entry *e)
{
    struct look *look = user;
    struct place p;
    bool gone;

    if (record_kind(e->record) == RECORD_SESSION && !has_ended(e) &&
        place_of(look->b, record_id(e->record), &p) &&
        others_of(look->b, e, &p, &gone) >= 0)
        ids_add(&look->found, record_id(e->record), 0);
    return true;
}

void sweep_end_all(struct backup *b, struct instant now)
{
    struct look look = {.b = b};

    table_each(b->base.table, acting_look, &look);
    for (size_t i = 0; i < look.found.count; i++)
        manager_end_due(&b->base, look.found.ids[i], REASON_ADMIN, now);
    log_line(b->base.env.log, LOG_INFO, "manager",
             "%zu sessions of %s end on all members "
             "(expireSessionsOnShutdown)",
             look.found.count, b->base.env.app);
    free(look.found.ids);
}
