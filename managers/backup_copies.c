/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has a copy. A new holder first gets the whole record and every change
 * from then on (handover), and is in the list when it has acknowledged. So the
 * members of a list all hold the session, whichever list somebody knows. */
#include "config.h"

#include "managers/backup_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Members that go away while a change is on its way, or logs that drop it
 * before it is sent. */
#define TRIES 8

/* ---- places ---- */

void place_list(struct place *p, const struct place *before, struct instant now)
{
    *p = (struct place){.kind = PLACE_LIST,
                        .stamp = place_stamp(before, now.wall)};
}

void place_end(struct place *p, const struct place *before,
               enum place_kind kind, enum reason reason, struct instant now)
{
    struct place end = *before;

    /* a newer version's, or of a new id that came to nothing */
    if (reason < REASON_IDLE || reason >= REASON_COUNT)
        reason = REASON_UNKNOWN;
    end.kind = kind;
    end.reason = reason;
    end.stamp = place_stamp(before, now.wall);
    *p = end;
}

bool place_again(struct backup *b, struct entry *e, struct place *p,
                 struct instant now)
{
    struct place before = *p;

    if (p->kind != PLACE_OVER || e->idle || record_ended(e->record, NULL))
        return false;
    place_list(p, &before, now);
    for (unsigned i = 0; i < before.count; i++)
        if (is_here(b, before.holders[i]))
            p->holders[p->count++] = before.holders[i];
    return p->count && place_change(b, e, record_id(e->record), p, now);
}

bool place_change(struct backup *b, struct entry *e, const uint8_t id[ID_SIZE],
                  struct place *p, struct instant now)
{
    struct place want = *p;

    return replica_place_put(b->replica, e, id, &want, now, p);
}

void tell_place(struct backup *b, const uint8_t id[ID_SIZE],
                const struct place *p)
{
    struct channel_update u = {
        .kind = UPDATE_PLACE, .app = replica_app(b->replica), .place = *p};

    memcpy(u.id, id, ID_SIZE);
    if (leaves(b))
        leave_tell(b, &u);
    else
        channel_send(b->channel, &u, NULL, COPIES_NONE);
}

/* ---- what a change is sent to ---- */

static bool among(const uint64_t *nodes, unsigned count, uint64_t node)
{
    for (unsigned i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

static void add_target(struct channel_update *u, uint64_t node)
{
    if (among(u->targets, u->target_count, node))
        return;
    assert(u->target_count < CHANNEL_TARGETS);
    u->targets[u->target_count++] = node;
}

/* The holders and the coming ones that are here; returns how many of them stay,
 * with the one that has it already. */
static unsigned add_holders(struct backup *b, struct entry *e,
                            const struct place *p, uint64_t except,
                            struct channel_update *u)
{
    const struct handover *h = backup_entry(e)->handover;
    unsigned have = 0;

    for (unsigned i = 0; i < p->count; i++) {
        if (p->holders[i] == self(b) || !is_here(b, p->holders[i]))
            continue;
        have += stays(b, p->holders[i]);
        if (p->holders[i] != except)
            add_target(u, p->holders[i]);
    }
    for (unsigned i = 0; h && i < h->count; i++) {
        if (!is_here(b, h->nodes[i]))
            continue;
        have += stays(b, h->nodes[i]);
        add_target(u, h->nodes[i]); /* all it has may be a cached copy */
    }
    if (h && h->moving && is_here(b, h->moving))
        add_target(u, h->moving);
    return have;
}

static struct handover *handover_of(struct entry *e)
{
    struct backup_entry *own = backup_entry(e);

    if (!own->handover)
        own->handover = mem_zero(sizeof *own->handover);
    return own->handover;
}

static void handover_add(struct entry *e, uint64_t node)
{
    struct handover *h = handover_of(e);

    if (h->count < PLACE_HOLDERS && !among(h->nodes, h->count, node))
        h->nodes[h->count++] = node;
}

static void handover_shrink(struct entry *e, unsigned count)
{
    struct handover *h = backup_entry(e)->handover;

    h->count = count;
    if (!count && !h->moving)
        handover_free(e);
}

void handover_free(struct entry *e)
{
    free(backup_entry(e)->handover);
    backup_entry(e)->handover = NULL;
}

/* New holders where some are missing; they are in the handover afterwards. It
 * may be full of such as leave by now: more come when those have answered. */
static unsigned choose_new(struct backup *b, struct entry *e,
                           const struct place *p, unsigned have,
                           uint64_t picks[PLACE_HOLDERS])
{
    const struct handover *h = backup_entry(e)->handover;
    uint64_t except[2 * PLACE_HOLDERS];
    unsigned room = PLACE_HOLDERS - (h ? h->count : 0), count = 0, n;

    if (!room || p->kind != PLACE_LIST || have >= wanted_others(b) ||
        acting_primary(b, p) != self(b))
        return 0;
    if (room > wanted_others(b) - have)
        room = wanted_others(b) - have;
    for (unsigned i = 0; i < p->count; i++)
        except[count++] = p->holders[i];
    for (unsigned i = 0; h && i < h->count; i++)
        except[count++] = h->nodes[i];
    n = choose(b, record_id(e->record), except, count, picks, room);
    for (unsigned i = 0; i < n; i++)
        handover_add(e, picks[i]);
    return n;
}

/* An end that too few holders would know of: somebody else is to know it before
 * it is acknowledged, or a holder that is away brings the session back. */
static unsigned choose_witnesses(struct backup *b, struct entry *e,
                                 const struct place *p, unsigned have,
                                 unsigned room, uint64_t picks[PLACE_HOLDERS])
{
    if (!room || p->kind != PLACE_FINAL || have >= wanted_others(b))
        return 0;
    if (room > wanted_others(b) - have)
        room = wanted_others(b) - have;
    return choose(b, record_id(e->record), p->holders, p->count, picks, room);
}

bool outgoing_plan(struct backup *b, struct entry *e, const struct place *p,
                   struct record *said, uint64_t except, uint64_t owner,
                   struct outgoing *out)
{
    uint64_t picks[PLACE_HOLDERS];

    out->update = (struct channel_update){.kind = UPDATE_RECORD,
                                          .app = replica_app(b->replica),
                                          .access = e->access,
                                          .owner = owner};
    out->listed = p->stamp;
    memcpy(out->update.id, record_id(e->record), ID_SIZE);
    out->whole = out->update;
    unsigned have = add_holders(b, e, p, except, &out->update);
    unsigned room = CHANNEL_TARGETS - out->update.target_count;
    unsigned count = p->kind == PLACE_FINAL
                         ? choose_witnesses(b, e, p, have, room, picks)
                         : choose_new(b, e, p, have, picks);
    /* at `all` one update that holds everything serves old and new holders */
    struct channel_update *to =
        b->copies == COPIES_ALL || !out->update.target_count ? &out->update
                                                             : &out->whole;
    for (unsigned i = 0; i < count; i++)
        add_target(to, picks[i]);
    out->has_whole = out->whole.target_count > 0;
    if (out->has_whole)
        out->whole.record = record_ref(e->record);
    if (!out->update.target_count)
        return false;
    out->update.record =
        record_ref(count && !out->has_whole ? e->record : said);
    return true;
}

/* ---- a change on its way ---- */

static void flight_send(struct flight *f, const struct channel_update *u,
                        enum copies copies);

/* Those of its targets that have applied it. */
static unsigned flight_applied(const struct flight *f,
                               uint64_t nodes[CHANNEL_TARGETS])
{
    unsigned count = 0;

    for (unsigned i = 0; i < f->target_count; i++)
        if (f->wait.applied & 1u << i)
            nodes[count++] = f->targets[i];
    return count;
}

/* The list as it is when these new holders have it all: those that remain, in
 * their order, then the new ones, as many as there are to be (who is left over
 * lets go), and as many of those that are away, or leave, as still are room
 * for. These keep their order, too: nothing was between. */
static void next_list(const struct backup *b, const struct place *before,
                      const uint64_t *joined, unsigned joined_count,
                      struct place *p)
{
    unsigned wanted = b->backups + 1, here = 0, room;

    for (unsigned i = 0; i < before->count; i++)
        here += stays(b, before->holders[i]);
    room = here + joined_count < wanted ? wanted - here - joined_count : 0;
    for (unsigned i = 0; i < before->count; i++) {
        uint64_t node = before->holders[i];
        bool has_room = room > 0 && holder_state(b, node) != MEMBER_GONE;
        bool sure = stays(b, node);
        room -= has_room && !sure;
        if ((sure || has_room) && p->count < wanted)
            p->holders[p->count++] = node;
    }
    for (unsigned i = 0; i < joined_count && p->count < wanted; i++)
        if (!place_has(p, joined[i]))
            p->holders[p->count++] = joined[i];
}

/* Takes out of the handover who is among nodes; those are in *out. */
static unsigned handover_take(struct entry *e, const uint64_t *nodes,
                              unsigned count, uint64_t out[PLACE_HOLDERS])
{
    struct handover *h = backup_entry(e)->handover;
    unsigned kept = 0, taken = 0;

    if (!h)
        return 0;
    for (unsigned i = 0; i < h->count; i++)
        if (among(nodes, count, h->nodes[i]))
            out[taken++] = h->nodes[i];
        else
            h->nodes[kept++] = h->nodes[i];
    handover_shrink(e, kept);
    return taken;
}

/* Who has said meanwhile that it leaves is in no new list. */
static unsigned only_staying(const struct backup *b,
                             uint64_t nodes[PLACE_HOLDERS], unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (stays(b, nodes[i]))
            nodes[kept++] = nodes[i];
    return kept;
}

static void drop_absent(const struct backup *b, struct entry *e)
{
    struct handover *h = backup_entry(e)->handover;
    unsigned kept = 0;

    if (!h)
        return;
    for (unsigned i = 0; i < h->count; i++)
        if (is_here(b, h->nodes[i]))
            h->nodes[kept++] = h->nodes[i];
    handover_shrink(e, kept);
}

static unsigned handed_to(struct entry *e)
{
    const struct handover *h = backup_entry(e)->handover;

    return h ? h->count : 0;
}

/* Takes out of the handover who came into it after the first `from`, and is
 * among nodes. */
static void handover_undo(struct entry *e, unsigned from, const uint64_t *nodes,
                          unsigned count)
{
    struct handover *h = backup_entry(e)->handover;
    unsigned kept = from;

    if (!h)
        return;
    for (unsigned i = from; i < h->count; i++)
        if (!among(nodes, count, h->nodes[i]))
            h->nodes[kept++] = h->nodes[i];
    handover_shrink(e, kept);
}

/* Have too few of those that it was sent to applied it? */
static bool is_short(const struct flight *f, unsigned applied_count)
{
    return f->copies == COPIES_ALL ? applied_count < f->target_count
                                   : applied_count == 0;
}

/* Who has it and has said meanwhile that it leaves is no copy that lasts. */
static bool leans_on_leavers(const struct flight *f, const uint64_t *applied,
                             unsigned applied_count)
{
    unsigned staying = 0;

    for (unsigned i = 0; i < applied_count; i++)
        staying += stays(f->b, applied[i]);
    return f->copies == COPIES_ALL ? staying < applied_count : staying == 0;
}

/* Others have made another list meanwhile, with one that nobody told of it. */
static bool lacks_it(const struct flight *f, const struct place *p,
                     const uint64_t *applied, unsigned applied_count)
{
    bool lacks = false;

    if (!f->listed || f->listed == p->stamp || p->kind != PLACE_LIST ||
        f->copies != COPIES_ALL)
        return false;
    for (unsigned i = 0; i < p->count; i++)
        lacks |= p->holders[i] != self(f->b) && is_here(f->b, p->holders[i]) &&
                 !among(applied, applied_count, p->holders[i]);
    return lacks;
}

/* What has to be sent once more; false: nothing. lasting: only to those that
 * stay. Stripe locked. */
static bool plan_rest(struct flight *f, struct entry *e, const struct place *p,
                      const uint64_t *applied, unsigned applied_count,
                      bool lasting, struct channel_update *u)
{
    struct outgoing out;
    unsigned kept = 0, handed = handed_to(e);

    if (!outgoing_plan(f->b, e, p, e->record, 0, 0, &out))
        return false;
    for (unsigned i = 0; out.has_whole && i < out.whole.target_count; i++)
        add_target(&out.update, out.whole.targets[i]);
    if (out.has_whole)
        record_unref(&out.whole.record);
    *u = out.update;
    f->listed = out.listed;
    record_unref(&u->record);
    u->record = record_ref(e->record);
    for (unsigned i = 0; i < u->target_count; i++)
        if (!among(applied, applied_count, u->targets[i]) &&
            (!lasting || stays(f->b, u->targets[i])))
            u->targets[kept++] = u->targets[i];
    u->target_count = kept;
    handover_undo(e, handed, applied,
                  applied_count); /* nothing is sent there */
    if (!kept)
        record_unref(&u->record);
    return kept > 0;
}

static void flight_arrived(struct channel_wait *wait, enum rc rc)
{
    struct flight *f = (struct flight *)wait;
    struct backup *b = f->b;
    struct instant now = wait->now;
    uint64_t applied[CHANNEL_TARGETS], joined[PLACE_HOLDERS];
    uint64_t failed[PLACE_HOLDERS];
    unsigned count = flight_applied(f, applied), joined_count = 0;
    struct channel_update again;
    struct place p, next;
    bool tell = false, rest = false, short_of = is_short(f, count);

    struct table_stripe *stripe = table_lock(b->base.table, f->id);
    struct entry *e = table_find(stripe, f->id);
    if (rc == RC_OK && is_copy(e) && place_of(b, f->id, &p)) {
        if (f->whole) {
            joined_count = only_staying(
                b, joined, handover_take(e, applied, count, joined));
            handover_take(e, f->targets, f->target_count, failed);
        }
        drop_absent(b, e);
        if (joined_count && p.kind == PLACE_LIST &&
            acting_primary(b, &p) == self(b)) {
            place_list(&next, &p, now);
            next_list(b, &p, joined, joined_count, &next);
            tell = place_change(b, e, f->id, &next, now);
            p = next;
        }
        unsigned handed = handed_to(e);
        bool lacks = short_of || lacks_it(f, &p, applied, count);
        if (lacks || leans_on_leavers(f, applied, count))
            rest = plan_rest(f, e, &p, applied, count, !lacks, &again);
        if (rest && ++f->tries == TRIES) {
            handover_undo(e, handed, again.targets, again.target_count);
            record_unref(&again.record);
            rest = false;
            rc = RC_UNCERTAIN;
        }
    }
    table_unlock(stripe);
    if (tell)
        tell_place(b, f->id, &next);
    atomic_fetch_add(&b->handed_over, joined_count);
    if (rest) {
        flight_send(f, &again, f->copies);
        return;
    }
    f->landed(f, rc);
    free(f);
}

static void flight_send(struct flight *f, const struct channel_update *u,
                        enum copies copies)
{
    f->wait = (struct channel_wait){.done = flight_arrived};
    f->copies = copies;
    f->whole = record_is_whole(u->record);
    f->target_count = u->target_count;
    memcpy(f->targets, u->targets, sizeof f->targets);
    channel_send(f->b->channel, u, &f->wait, copies);
}

static struct flight *flight_new(struct backup *b, const uint8_t id[ID_SIZE],
                                 void (*landed)(struct flight *f, enum rc rc),
                                 void *user)
{
    struct flight *f = mem_zero(sizeof *f);

    f->b = b;
    memcpy(f->id, id, ID_SIZE);
    f->landed = landed;
    f->user = user;
    return f;
}

static void landed_for_nobody(struct flight *f, enum rc rc)
{
    (void)f;
    (void)rc;
}

void outgoing_send(struct backup *b, struct outgoing *out, bool wait,
                   const uint8_t id[ID_SIZE],
                   void (*landed)(struct flight *f, enum rc rc), void *user)
{
    struct flight *f = wait ? flight_new(b, id, landed, user) : NULL;

    if (out->has_whole)
        flight_send(flight_new(b, id, landed_for_nobody, NULL), &out->whole,
                    COPIES_ALL);
    if (wait) {
        f->listed = out->listed;
        flight_send(f, &out->update,
                    b->copies == COPIES_NONE ? COPIES_ALL : b->copies);
    } else if (record_is_whole(out->update.record)) { /* perhaps new ones */
        flight_send(flight_new(b, id, landed_for_nobody, NULL), &out->update,
                    COPIES_ALL);
    } else {
        channel_send(b->channel, &out->update, NULL, COPIES_NONE);
    }
}

bool lacks_copies(struct backup *b, const uint8_t id[ID_SIZE])
{
    struct channel_update holders = {.target_count = 0};
    struct place p;
    bool lacks = false;

    if (!b->min_copies)
        return false;
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    if (is_copy(e) && place_of(b, id, &p) && p.kind == PLACE_LIST)
        lacks = add_holders(b, e, &p, 0, &holders) < b->min_copies;
    table_unlock(stripe);
    return lacks;
}

/* ---- repair ---- */

/* Nobody is missing, but somebody who is gone stands in the list. */
static bool only_gone(const struct backup *b, const struct place *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (holder_state(b, p->holders[i]) == MEMBER_GONE)
            return true;
    return false;
}

static void protected(struct flight *f, enum rc rc)
{
    (void)rc;
    atomic_fetch_sub(&f->b->protecting, (size_t)(uintptr_t)f->user);
}

void protect(struct backup *b, const uint8_t id[ID_SIZE], struct instant now)
{
    struct channel_update u = {.kind = UPDATE_RECORD,
                               .app = replica_app(b->replica)};
    uint64_t picks[PLACE_HOLDERS];
    struct place p, next;
    bool tell = false;

    memcpy(u.id, id, ID_SIZE);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    if (is_copy(e) && place_of(b, id, &p) && p.kind == PLACE_LIST &&
        acting_primary(b, &p) == self(b)) {
        struct channel_update holders = {.target_count = 0};
        drop_absent(b, e);
        unsigned have = add_holders(b, e, &p, 0, &holders);
        unsigned count = choose_new(b, e, &p, have, picks);
        for (unsigned i = 0; i < count; i++)
            add_target(&u, picks[i]);
        if (count)
            u.record = record_ref(e->record);
        u.access = e->access;
        u.owner = replica_entry(e)->owner;
        if (!count && !backup_entry(e)->handover &&
            (have > b->backups || only_gone(b, &p))) {
            place_list(&next, &p, now);
            next_list(b, &p, NULL, 0, &next);
            tell = place_change(b, e, id, &next, now);
        }
    }
    table_unlock(stripe);
    if (tell)
        tell_place(b, id, &next);
    if (!u.target_count)
        return;
    size_t bytes = sending_cost(u.record);
    atomic_fetch_add(&b->protecting, bytes);
    flight_send(flight_new(b, id, protected, (void *)(uintptr_t)bytes), &u,
                COPIES_ALL);
}

/* ---- letting go ---- */

void entry_drop(struct backup *b, struct table_stripe *stripe, struct entry *e)
{
    replica_uncount(b->replica, e);
    handover_free(e);
    table_remove(stripe, e);
}

/* user: the record as it was sent, a reference. */
static void let_go_landed(struct flight *f, enum rc rc)
{
    struct backup *b = f->b;
    struct record *sent = f->user;
    uint64_t applied[CHANNEL_TARGETS];
    bool all = flight_applied(f, applied) == f->target_count;
    struct place p;

    struct table_stripe *stripe = table_lock(b->base.table, f->id);
    struct entry *e = table_find(stripe, f->id);
    bool unlisted = is_copy(e) && place_of(b, f->id, &p) &&
                    (p.kind != PLACE_LIST || !place_has(&p, self(b)));
    bool goes = rc == RC_OK && all && unlisted && is_free(e) &&
                record_equal(e->record, sent);
    if (goes)
        entry_drop(b, stripe, e);
    else if (unlisted)
        e->flags &= ~(uint32_t)ENTRY_LEFT;
    table_unlock(stripe);
    atomic_fetch_add(&b->let_go, goes);
    atomic_fetch_sub(&b->protecting, sending_cost(sent));
    if (unlisted && !goes)
        row_add(b, &b->odd, f->id, f->wait.now.mono + ODD_MS);
    record_unref(&sent);
}

/* The flight must not choose new holders: what it carries is not this member's
 * to place. */
static void let_go_arrived(struct channel_wait *wait, enum rc rc)
{
    struct flight *f = (struct flight *)wait;

    let_go_landed(f, rc);
    free(f);
}

/* Those that are to get the record have all compared with this member, and may
 * have forgotten the end since: without it they would take the record for a
 * session that lives. */
static void tell_again(struct backup *b, const struct channel_update *to,
                       const struct place *p)
{
    struct channel_update u = *to;

    u.kind = UPDATE_PLACE;
    u.record = NULL;
    u.owner = 0; /* it is news */
    u.place = *p;
    channel_send(b->channel, &u, NULL, COPIES_NONE);
}

void let_go(struct backup *b, const uint8_t id[ID_SIZE], const struct place *p,
            struct instant now)
{
    struct channel_update u = {.kind = UPDATE_RECORD,
                               .app = replica_app(b->replica)};

    for (unsigned i = 0; i < p->count; i++)
        if (p->holders[i] != self(b) && is_here(b, p->holders[i]))
            add_target(&u, p->holders[i]);
    if (!u.target_count) {
        row_add(b, &b->odd, id, now.mono + ODD_MS);
        return;
    }
    memcpy(u.id, id, ID_SIZE);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    if (is_copy(e)) {
        u.record = record_ref(e->record);
        u.access = e->access;
        u.owner = replica_entry(e)->owner;
        backup_entry(e)->given = 0;
    }
    table_unlock(stripe);
    if (!u.record)
        return;
    if (p->kind == PLACE_FINAL)
        tell_again(b, &u, p);
    atomic_fetch_add(&b->protecting, sending_cost(u.record));
    struct flight *f = flight_new(b, id, let_go_landed, record_ref(u.record));
    f->target_count = u.target_count;
    memcpy(f->targets, u.targets, sizeof f->targets);
    f->wait = (struct channel_wait){.done = let_go_arrived};
    channel_send(b->channel, &u, &f->wait, COPIES_ALL);
}

/* ---- moving ---- */

/* All old holders know: now everybody may. */
static void move_known(struct channel_wait *wait, enum rc rc)
{
    struct flight *f = (struct flight *)wait;
    struct place p;

    (void)rc; /* whoever was given up meanwhile hears of it when it returns */
    if (place_of(f->b, f->id, &p))
        tell_place(f->b, f->id, &p);
    row_add(f->b, &f->b->soon, f->id, wait->now.mono);
    free(f);
}

/* The new primary first, then those that hold it but for this member. Where
 * there is room for it, it stays as a backup. */
static void moved_list(const struct backup *b, const struct place *before,
                       uint64_t node, struct place *p)
{
    unsigned wanted = b->backups + 1;

    p->holders[p->count++] = node;
    for (unsigned i = 0; i < before->count && p->count < wanted; i++)
        if (before->holders[i] != node && before->holders[i] != self(b) &&
            is_here(b, before->holders[i]))
            p->holders[p->count++] = before->holders[i];
    if (p->count < wanted)
        p->holders[p->count++] = self(b);
}

/* From here on this member is not the primary. The one that will be does not
 * know yet: if this one dies, the other holders do, and tell it. */
static void move_tell(struct backup *b, struct entry *e,
                      const struct place *before, uint64_t node,
                      struct instant now, struct channel_update *u)
{
    struct place next;

    place_list(&next, before, now);
    moved_list(b, before, node, &next);
    handover_free(e);
    backup_entry(e)->streak = 0;
    *u = (struct channel_update){.kind = UPDATE_PLACE,
                                 .app = replica_app(b->replica)};
    memcpy(u->id, record_id(e->record), ID_SIZE);
    if (!place_change(b, e, u->id, &next, now))
        return;
    u->place = next;
    atomic_fetch_add(&b->moved, 1);
    for (unsigned i = 0; i < before->count; i++)
        if (before->holders[i] != self(b) && before->holders[i] != node)
            add_target(u, before->holders[i]);
}

static void move_send(struct backup *b, const struct channel_update *u,
                      struct instant now)
{
    struct flight *f = flight_new(b, u->id, landed_for_nobody, NULL);

    f->wait = (struct channel_wait){.done = move_known, .now = now};
    if (u->target_count)
        channel_send(b->channel, u, &f->wait, COPIES_ALL);
    else
        move_known(&f->wait, RC_OK);
}

/* The one that is to be the primary has it all. user: none. */
static void move_landed(struct flight *f, enum rc rc)
{
    struct backup *b = f->b;
    struct channel_update u = {.place = {.stamp = 0}};
    struct place p;
    bool has = rc == RC_OK && f->wait.applied & 1 && stays(b, f->targets[0]);

    struct table_stripe *stripe = table_lock(b->base.table, f->id);
    struct entry *e = table_find(stripe, f->id);
    struct handover *h = is_copy(e) ? backup_entry(e)->handover : NULL;
    if (h && h->moving == f->targets[0]) {
        h->moving = 0;
        handover_shrink(e, h->count);
        if (has && place_of(b, f->id, &p) && p.kind == PLACE_LIST &&
            acting_primary(b, &p) == self(b))
            move_tell(b, e, &p, f->targets[0], f->wait.now, &u);
    }
    table_unlock(stripe);
    if (u.place.stamp)
        move_send(b, &u, f->wait.now);
}

static void move_arrived(struct channel_wait *wait, enum rc rc)
{
    struct flight *f = (struct flight *)wait;

    move_landed(f, rc);
    free(f);
}

void move_to(struct backup *b, const uint8_t id[ID_SIZE], uint64_t node,
             struct instant now)
{
    struct channel_update u = {.kind = UPDATE_RECORD,
                               .app = replica_app(b->replica)};
    struct channel_update known = {.place = {.stamp = 0}};
    struct place p;

    memcpy(u.id, id, ID_SIZE);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = table_find(stripe, id);
    if (is_copy(e) && !backup_entry(e)->handover && place_of(b, id, &p) &&
        p.kind == PLACE_LIST && acting_primary(b, &p) == self(b)) {
        if (place_has(&p, node)) {
            move_tell(b, e, &p, node, now, &known);
        } else {
            handover_of(e)->moving = node;
            add_target(&u, node);
            u.record = record_ref(e->record);
            u.access = e->access;
            u.owner = replica_entry(e)->owner;
        }
    }
    table_unlock(stripe);
    if (known.place.stamp)
        move_send(b, &known, now);
    if (!u.record)
        return;
    struct flight *f = flight_new(b, id, landed_for_nobody, NULL);
    f->target_count = 1;
    f->targets[0] = node;
    f->wait = (struct channel_wait){.done = move_arrived};
    channel_send(b->channel, &u, &f->wait, COPIES_ALL);
}
