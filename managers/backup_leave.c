/* SPDX-License-Identifier: Apache-2.0
 *
 * An orderly leave. First all members hear that this one leaves: from then on
 * nobody gives it more, and the first of the holders that stay acts for a
 * session and takes another one. What nobody who stays holds, this member hands
 * over itself. It is done when it is in no list any more that somebody else
 * could be in, what others did before they knew has come, and all who are here
 * have just been heard of: one that died with its host is a holder until
 * dropTime is over. */
#include "config.h"

#include "managers/backup_impl.h"

#include <stdlib.h>
#include <string.h>

/* On the way at a time, of the cluster's log: more would push the first out of
 * it, since others use it as well. */
#define LEAVE_SHARE 8
#define LEAVE_AGAIN_MS 200

/* ---- one session ---- */

/* What has to become of a copy. */
enum part {
    PART_NONE,
    PART_HAND,  /* handed over, by this member */
    PART_OWN,   /* that is under way */
    PART_OTHER, /* another one that stays takes a copy more */
    PART_GIVE,  /* in no list: who is in it, or else keeps it, gets it */
    PART_ALONE  /* nobody who stays could take it */
};

static bool is_live(const struct entry *e)
{
    return is_copy(e) && !e->idle && !record_ended(e->record, NULL);
}

/* All that hold it leave, and nobody else stays. The one with the lowest node
 * is the last, so that each session is told of once; somebody may still come
 * who takes it. */
static enum part part_of_last(const struct backup *b, const struct place *p)
{
    enum part part = PART_ALONE;

    for (unsigned i = 0; i < p->count; i++) {
        if (p->holders[i] == self(b) || !is_here(b, p->holders[i]))
            continue;
        if (p->holders[i] > self(b))
            return PART_OTHER;
        part = PART_NONE;
    }
    return part;
}

static enum part part_listed(const struct backup *b, struct entry *e,
                             const struct place *p, uint64_t acting)
{
    uint64_t other;
    bool any =
        choose(b, record_id(e->record), p->holders, p->count, &other, 1) > 0;

    if (acting == self(b) && backup_entry(e)->handover)
        return PART_OWN;
    if (any)
        return acting == self(b) ? PART_HAND : PART_OTHER;
    return stays(b, acting) ? PART_NONE : part_of_last(b, p);
}

/* All that hold it have stopped in order. */
static bool all_left(const struct backup *b, const struct place *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (!channel_left(b->channel, p->holders[i]))
            return false;
    return p->count > 0;
}

/* A list is made of it, soon, and then it is handed over. */
static enum part part_to_list(struct backup *b, const struct entry *e)
{
    row_add(b, &b->soon, record_id(e->record), 0);
    return PART_OTHER;
}

/* Who is to have what no list names: those that are in the list; where none of
 * them is here, another one keeps it until they come back, or never will. */
static bool takers(const struct backup *b, const uint8_t id[ID_SIZE],
                   const struct place *p, struct place *to)
{
    *to = *p;
    if (has_others_here(b, p))
        return true;
    to->count = choose(b, id, p->holders, p->count, to->holders, 1);
    return p->kind == PLACE_LIST && to->count;
}

/* It is in no list. Whoever handed it over before it heard that this member
 * leaves as well, and so found nobody, has told of it. Those that it was handed
 * to may have died since. */
static enum part part_of_unlisted(struct backup *b, const struct entry *e,
                                  const struct place *p)
{
    struct place to;

    if (all_left(b, p))
        return PART_NONE;
    if (all_gone(b, p))
        return part_to_list(b, e);
    if (!takers(b, record_id(e->record), p, &to))
        return PART_ALONE;
    return e->flags & ENTRY_LEFT ? PART_NONE : PART_GIVE;
}

/* It is over, as others say. Was it lost, and lives here, then it gets a list,
 * soon; does it go on under a new id, then what is here may be missing there.
 */
static enum part part_of_over(struct backup *b, struct entry *e,
                              const struct place *p, struct instant now)
{
    if (knows_better(b, e, p, now))
        return part_to_list(b, e);
    if (is_replaced(NULL, p) && !(e->flags & ENTRY_LEFT) &&
        has_others_here(b, p))
        return PART_GIVE;
    return PART_NONE;
}

static enum part part_of(struct backup *b, struct entry *e, struct instant now)
{
    bool told = b->leave.told;
    struct place p;

    if (!is_live(e))
        return PART_NONE;
    if (!place_of(b, record_id(e->record), &p))
        return told ? part_to_list(b, e) : PART_OTHER;
    if (p.kind != PLACE_LIST)
        return part_of_over(b, e, &p, now);
    if (place_has(&p, self(b)))
        return part_listed(b, e, &p, acting_primary(b, &p));
    if (!told && !(e->flags & ENTRY_LEFT))
        return PART_OTHER; /* it may be about to be in the list */
    return part_of_unlisted(b, e, &p);
}

/* ---- a pass over all ---- */

struct found {
    struct backup *b;
    struct instant now;
    uint8_t (*ids)[ID_SIZE];
    bool *gives;
    size_t count, cap, seen, bytes;
};

static void found_add(struct found *f, struct entry *e, bool gives)
{
    if (f->count == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 256;
        f->ids = mem_resize(f->ids, f->cap * sizeof *f->ids);
        f->gives = mem_resize(f->gives, f->cap * sizeof *f->gives);
    }
    memcpy(f->ids[f->count], record_id(e->record), ID_SIZE);
    f->gives[f->count++] = gives;
    f->bytes += sending_cost(e->record);
}

static bool leave_look(void *user, struct entry *e)
{
    struct found *f = user;
    struct backup *b = f->b;
    struct leave *l = &b->leave;

    f->seen++;
    switch (part_of(b, e, f->now)) {
    case PART_NONE:
        break;
    case PART_HAND:
        l->handed += !(e->flags & ENTRY_LEFT);
        e->flags |= ENTRY_LEFT;
        l->own++;
        found_add(f, e, false);
        break;
    case PART_OWN:
        l->own++;
        break;
    case PART_GIVE:
        e->flags |= ENTRY_LEFT;
        l->others++;
        found_add(f, e, true);
        break;
    case PART_OTHER:
        l->others++;
        break;
    case PART_ALONE:
        l->alone += record_kind(e->record) == RECORD_SESSION;
        break;
    }
    return true;
}

static void found_send(struct found *f, struct instant now)
{
    struct place p, to;

    for (size_t i = 0; i < f->count; i++)
        if (!f->gives[i])
            protect(f->b, f->ids[i], now);
        else if (place_of(f->b, f->ids[i], &p) &&
                 takers(f->b, f->ids[i], &p, &to))
            let_go(f->b, f->ids[i], &to, now);
    free(f->ids);
    free(f->gives);
}

static bool is_crowded(const struct backup *b, const struct found *f)
{
    size_t log = b->channel->log_bytes;

    return log && atomic_load(&b->protecting) + f->bytes >= log / LEAVE_SHARE;
}

/* True: it has seen all. */
static bool leave_pass(struct backup *b, struct instant now)
{
    struct found f = {.b = b, .now = now};
    struct leave *l = &b->leave;

    if (l->leaf == 0) {
        l->own = l->others = l->alone = 0;
        l->clear = false;
        l->view = atomic_load(&b->channel->view);
    }
    while (l->leaf < TABLE_LEAVES && f.seen < l->looks && !is_crowded(b, &f))
        table_each_in(b->base.table, l->leaf++, leave_look, &f);
    found_send(&f, now);
    if (l->leaf < TABLE_LEAVES)
        return false;
    l->leaf = 0;
    return true;
}

/* ---- turning ---- */

static void leave_done(struct backup *b)
{
    const struct leave *l = &b->leave;

    if (l->handed)
        log_line(b->base.env.log, LOG_INFO, "manager",
                 "%zu sessions of %s are handed over to other members",
                 l->handed, b->base.env.app);
    if (l->alone)
        log_line(b->base.env.log, LOG_WARN, "manager",
                 "%zu sessions of %s have nobody to go to, since no other "
                 "member stays: they are lost",
                 l->alone, b->base.env.app);
    atomic_store(&b->left, true);
}

static bool find_live(void *user, struct entry *e)
{
    bool *any = user;

    *any = is_live(e);
    return !*any;
}

/* Also one that somebody has just given this member, to list it next. */
static bool has_copies(const struct backup *b)
{
    struct places_counts c;
    bool any = false;

    places_counts(replica_places(b->replica), &c);
    if (c.primary + c.backup > 0)
        return true;
    table_each(b->base.table, find_live, &any);
    return any;
}

static bool is_confirmed(const struct backup *b)
{
    const struct channel_app *app = replica_members(b->replica);

    /* in this order: the channel takes `left` back first */
    return !atomic_load(&app->again) && atomic_load(&app->left);
}

/* An answer that took longer, for one of them stood still, says nothing of the
 * others: one may have died since it gave its own. */
static bool is_fresh(const struct backup *b, struct instant now)
{
    return now.mono - b->leave.asked <= b->channel->drop_ms / 3;
}

static void ask_again(struct backup *b, struct instant now)
{
    b->leave.asked = now.mono;
    atomic_store(&replica_members(b->replica)->again, true);
}

/* The last pass found nothing to be done, and nobody has come or gone since. */
static bool is_clear(const struct backup *b)
{
    const struct leave *l = &b->leave;

    return l->clear && l->view == atomic_load(&b->channel->view) &&
           !atomic_load(&b->protecting);
}

/* What nothing changes is not looked at again while the others are asked: with
 * many sessions a pass takes longer than an answer may. */
static void leave_step(struct backup *b, struct instant now)
{
    struct leave *l = &b->leave;

    if (!channel_may_answer(b->channel, now)) {
        /* what others decided meanwhile is not known */
        l->clear = false;
        if (!has_copies(b))
            leave_done(b);
        return;
    }
    bool confirmed = is_confirmed(b);
    l->told |= confirmed;
    if (!is_clear(b) && now.mono >= l->next && leave_pass(b, now)) {
        l->clear = l->told && !l->own && !l->others;
        l->next = l->own || !l->told ? now.mono : now.mono + LEAVE_AGAIN_MS;
    }
    if (!is_clear(b))
        return;
    if (l->over || (confirmed && is_fresh(b, now)))
        leave_done(b);
    else if (confirmed)
        ask_again(b, now);
}

static void leave_go_on(struct channel_pause *pause)
{
    struct leave *l =
        (struct leave *)((char *)pause - offsetof(struct leave, pause));
    struct backup *b =
        (struct backup *)((char *)l - offsetof(struct backup, leave));

    if (pause->stopped || l->over)
        return;
    leave_step(b, pause->now);
    if (!atomic_load(&b->left))
        channel_pause(b->channel, pause);
}

void leave_begin(struct backup *b, struct instant now)
{
    b->leave.begun = true;
    b->leave.asked = now.mono;
    atomic_store(&b->stopping, true);
    channel_withdraw(b->channel, b->replica);
    leave_step(b, now);
    if (atomic_load(&b->left))
        return;
    b->leave.pause.done = leave_go_on;
    channel_pause(b->channel, &b->leave.pause);
}

void leave_end(struct backup *b, struct instant now)
{
    struct leave *l = &b->leave;
    struct places_counts c;

    if (!l->begun)
        leave_begin(b, now);
    /* where members are a call away it is done now */
    l->over = true;
    for (int i = 0; i < 3 && !atomic_load(&b->left); i++) {
        l->next = 0;
        leave_step(b, now);
    }
    if (atomic_load(&b->left))
        return;
    places_counts(replica_places(b->replica), &c);
    log_line(b->base.env.log, LOG_WARN, "manager",
             "%s: the hand-over is not complete within stopTimeout: this still "
             "stands in the lists of %zu sessions; of those looked at so far "
             "no other member holds %zu, and %zu have one copy fewer until "
             "others have made it",
             b->base.env.app, (size_t)(c.primary + c.backup), l->own + l->alone,
             l->others);
}

/* ---- places, told while leaving ---- */

struct telling {
    struct channel_wait wait; /* first */
    struct backup *b;
};

static void telling_done(struct channel_wait *wait, enum rc rc)
{
    struct telling *t = (struct telling *)wait;

    (void)rc; /* who has not got it finds out by comparing */
    atomic_fetch_sub(&t->b->protecting, PLACE_COST);
    free(t);
}

void leave_tell(struct backup *b, const struct channel_update *u)
{
    struct telling *t = mem_zero(sizeof *t);

    t->wait.done = telling_done;
    t->b = b;
    atomic_fetch_add(&b->protecting, PLACE_COST);
    channel_send(b->channel, u, &t->wait, COPIES_ALL);
}
