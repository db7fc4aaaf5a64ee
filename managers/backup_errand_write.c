/* SPDX-License-Identifier: Apache-2.0
 *
 * Errands that write. */
#include "config.h"

#include "managers/backup_errand.h"
#include "session/farewell.h"

/* ---- answers ---- */

void errand_unpin(struct errand *r)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, r->w->id);
    struct entry *e = table_find(stripe, r->w->id);

    if (e && backup_entry(e)->errands)
        backup_entry(e)->errands--;
    table_unlock(stripe);
    r->applied = false;
}

/* A write needs a copy to be applied to: it is here now. */
void errand_write_came(struct errand *r, struct instant now)
{
    struct backup *b = r->b;

    struct table_stripe *stripe = table_lock(b->base.table, r->w->id);
    if (r->call.record)
        keep_fetched(b, stripe, r->call.record, r->call.access, now);
    table_unlock(stripe);
    record_unref(&r->call.record);
    errand_go_on(r, now);
}

/* The end that was made of the copy here stands in it from now on. RC_ENDED:
 * another one does. Stripe locked. */
static enum rc stand(struct errand *r, struct table_stripe *stripe,
                     struct entry *e)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;

    if (!r->made)
        return RC_OK;
    r->made = false;
    if (record_ended(e->record, &w->ended))
        return record_equal(e->record, w->delta) ? RC_OK : RC_ENDED;
    manager_apply(&b->base, stripe, e, w, NULL);
    if (is_copy(e))
        replica_recount(b->replica, e, w->now);
    return RC_OK;
}

static void stand_here(struct errand *r)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, r->w->id);
    struct entry *e = table_find(stripe, r->w->id);

    if (e && !(e->flags & ENTRY_DROPPED))
        stand(r, stripe, e);
    table_unlock(stripe);
}

void errand_commit_came(struct errand *r)
{
    struct manager_write *w = r->w;
    struct record *record = r->call.record;

    r->call.record = NULL;
    if (r->made)
        stand_here(r);
    if (record && w->kind == WRITE_END) {
        record_unref(&w->before); /* what stood at the primary */
        w->before = record;
    } else if (record) {
        record_unref(&w->after);
        w->after = record;
    }
    errand_end(r, RC_OK);
}

/* May the change be known to others, under the old id? Stripe locked. */
static bool may_stand(const struct errand *r, const struct entry *e)
{
    return r->maybe || (r->applied && !r->made && is_copy(e)) ||
           (r->w->kind == WRITE_END && r->sent);
}

bool errand_may_stand(const struct errand *r)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, r->w->id);
    bool may = may_stand(r, table_find(stripe, r->w->id));

    table_unlock(stripe);
    return may;
}

static void all_told(struct channel_wait *wait, enum rc rc)
{
    struct errand *r =
        (struct errand *)((char *)wait - offsetof(struct errand, told));

    if (rc == RC_OK)
        errand_end(r, RC_ENDED);
    else
        errand_fail(r);
}

/* Whom a read may still find showing the session under the old id. */
static void add_holders(const struct backup *b, const struct place *p,
                        uint64_t knows, struct channel_update *u)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->holders[i] != self(b) && p->holders[i] != knows &&
            is_here(b, p->holders[i]))
            u->targets[u->target_count++] = p->holders[i];
}

/* It is over, as w->ended and that tombstone (or NULL) say, and that member
 * knows. The end may be on its way to other holders still: what is acknowledged
 * under the new id then would be missing where they show the old one. So they
 * hear of it first. */
static void end_as_ended(struct errand *r, struct record *tombstone,
                         uint64_t knows, struct instant now)
{
    struct backup *b = r->b;
    struct channel_update u = {.kind = UPDATE_RECORD,
                               .app = replica_app(b->replica),
                               .access = now.mono};
    struct place p;

    memcpy(u.id, r->w->id, ID_SIZE);
    if (tombstone && b->copies == COPIES_ALL &&
        r->w->ended.reason == REASON_RENAMED && place_of(b, u.id, &p))
        add_holders(b, &p, knows, &u);
    if (!u.target_count) {
        errand_end(r, RC_ENDED);
        return;
    }
    u.record = record_ref(tombstone);
    u.owner = p.holders[0]; /* not our news */
    r->told = (struct channel_wait){.done = all_told};
    channel_send(b->channel, &u, &r->told, COPIES_ALL);
}

/* The same of the copy here. */
static void end_as_here(struct errand *r, struct instant now)
{
    struct table_stripe *stripe = table_lock(r->b->base.table, r->w->id);
    const struct entry *e = table_find(stripe, r->w->id);
    struct record *tombstone = NULL;

    if (e && record_ended(e->record, NULL))
        tombstone = record_ref(e->record);
    table_unlock(stripe);
    end_as_ended(r, tombstone, 0, now);
    record_unref(&tombstone);
}

void errand_ended_came(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;
    struct record *record = r->call.record;

    r->call.record = NULL;
    if (!record || !record_ended(record, &w->ended)) {
        record_unref(&record);
        errand_absent(r, REASON_UNKNOWN, now);
        return;
    }
    record_unref(&w->before);
    record_unref(&w->after);
    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    w->maybe = may_stand(r, e); /* it goes on under the new id */
    if (e && e->flags & ENTRY_CACHED) {
        table_replace(stripe, e, record_merge(e->record, record));
        replica_recount(b->replica, e, now);
    }
    table_unlock(stripe);
    end_as_ended(r, record, r->call.to, now);
    record_unref(&record);
}

/* ---- write ---- */

/* Of two ends only one is the one that ended it, and the acting primary says
 * which: so no other copy has an end before that one has it. Two that are made
 * here in the same millisecond are not to be taken for one: each has a writer
 * of its own. */
static enum rc end_make(struct errand *r, struct entry *e)
{
    struct manager_write *w = r->w;
    struct backup *b = r->b;
    bool renamed = w->reason == REASON_RENAMED;

    if (record_ended(e->record, &w->ended))
        return RC_ENDED;
    record_unref(&w->before);
    w->before = record_ref(e->record);
    if (w->unmarked && farewell_is_due(e->record))
        return RC_CONFLICT;
    w->delta = record_end_delta(e->record, w->reason,
                                renamed ? w->new_id : NULL, w->now.wall,
                                manager_writer(&b->base, w->id) ^
                                    (atomic_fetch_add(&b->ends_made, 1) + 1) *
                                        UINT64_C(0x9e3779b97f4a7c15));
    r->made = true;
    return RC_OK;
}

/* A slot that is filled twice counts once: what this member adds on top of a
 * record that it fetched goes into another one than what that record may lack,
 * which is what another primary had acknowledged, and what nobody knows of
 * whether it has come. */
static uint64_t writer_at(struct backup *b, const uint8_t id[ID_SIZE],
                          uint64_t primary, uint64_t uncertain)
{
    return manager_writer(&b->base, id) ^
           primary * UINT64_C(0x9e3779b97f4a7c15) ^
           uncertain * UINT64_C(0xc2b2ae3d27d4eb4f);
}

/* Applies it to the copy here, once; the delta is what travels. RC_PENDING: it
 * has to travel. */
static enum rc write_apply(struct errand *r, uint64_t primary, bool *copy)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;
    enum rc rc = RC_UNAVAILABLE;

    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    uint64_t uncertain = atomic_load(&b->uncertain);

    *copy = e && !(e->flags & ENTRY_DROPPED);
    if (*copy) {
        w->writer = writer_at(b, w->id, primary, uncertain);
        rc = w->kind == WRITE_END ? end_make(r, e)
                                  : manager_apply(&b->base, stripe, e, w, NULL);
        if (is_copy(e))
            replica_recount(b->replica, e, w->now);
        if (rc == RC_OK && w->delta) {
            backup_entry(e)->errands++;
            r->uncertain = uncertain;
            r->applied = true;
            rc = RC_PENDING;
        }
    }
    table_unlock(stripe);
    return rc;
}

static void became_primary(struct flight *f, enum rc rc)
{
    struct errand *r = f->user;

    if (rc != RC_OK || lacks_copies(r->b, r->w->id)) {
        r->sent = true;
        errand_fail(r);
        return;
    }
    if (was_replaced(r->b, r->w)) {
        r->sent = r->maybe = true;
        errand_go_on(r, f->wait.now);
        return;
    }
    errand_end(r, settle(r->b, r->w, f->wait.now));
}

/* Another request's end stands in the copy here, perhaps since this errand was
 * under way: whoever asks for it goes on under the new id, if there is one, as
 * with an end at another member. Stripe locked. */
static enum rc stand_as_primary(struct errand *r, struct table_stripe *stripe,
                                struct entry *e)
{
    struct manager_write *w = r->w;

    if (record_ended(w->delta, NULL) || !record_ended(e->record, &w->ended))
        return stand(r, stripe, e);
    r->maybe = true;
    return RC_ENDED;
}

/* The change is in the copy here, and this member is the primary now, or
 * was a moment ago: whom it is sent to is what the place says under the lock.
 */
static void write_as_primary(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    struct manager_write *w = r->w;
    struct place p, before;
    struct outgoing out;
    struct record_end end;
    bool tell = false, sends = false;
    enum rc rc = RC_OK;

    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    bool mine = is_copy(e) && place_of(b, w->id, &p) &&
                acting_primary(b, &p) == self(b);
    if (mine)
        rc = stand_as_primary(r, stripe, e);
    if (mine && rc == RC_OK) {
        before = p;
        if (record_ended(e->record, &end)) {
            place_end(&p, &before, PLACE_FINAL, end.reason, now);
            tell = place_change(b, e, w->id, &p, now);
        } else {
            tell = place_again(b, e, &p, now);
        }
        sends = outgoing_plan(b, e, &p, w->delta, 0, 0, &out);
    }
    table_unlock(stripe);
    if (!mine) {
        errand_pause(r, now);
        return;
    }
    if (rc != RC_OK) {
        w->maybe = r->maybe;
        end_as_here(r, now);
        return;
    }
    if (tell)
        tell_place(b, w->id, &p);
    if (sends)
        outgoing_send(b, &out, true, w->id, became_primary, r);
    else if (channel_may_answer(b->channel, now))
        errand_end(r, settle(b, w, now));
    else
        errand_pause(r, now);
}

/* Can the copy here say what came of a session that is over? */
static bool can_say(struct backup *b, const uint8_t id[ID_SIZE],
                    const struct place *p)
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    const struct entry *e = table_find(stripe, id);
    bool can =
        is_copy(e) && (p->kind == PLACE_OVER || record_ended(e->record, NULL));

    table_unlock(stripe);
    return can;
}

/* Its new id is on its way to the copy here. */
static bool is_about_to_end(struct backup *b, const uint8_t id[ID_SIZE],
                            const struct place *p)
{
    struct table_stripe *stripe = table_lock(b->base.table, id);
    const struct entry *e = table_find(stripe, id);
    bool will =
        is_copy(e) && is_replaced(NULL, p) && !record_ended(e->record, NULL);

    table_unlock(stripe);
    return will;
}

/* As any write at the acting primary. */
static void write_by_itself(struct errand *r, struct instant now)
{
    bool elsewhere;
    enum rc rc = write_here(r->b, r->w, &elsewhere);

    if (rc == RC_PENDING)
        errand_free(r); /* its own flight answers */
    else if (elsewhere)
        errand_pause(r, now);
    else if (rc == RC_ENDED)
        end_as_here(r, now);
    else
        errand_end(r, rc);
}

void errand_write_go_on(struct errand *r, struct place *p, struct instant now)
{
    struct backup *b = r->b;
    uint64_t primary = acting_primary(b, p);
    enum rc rc;
    bool copy;

    if (primary == self(b) && !r->made && is_about_to_end(b, r->w->id, p)) {
        errand_pause(r, now);
        return;
    }
    if (p->kind != PLACE_LIST && (!primary || (primary == self(b) && !r->made &&
                                               !can_say(b, r->w->id, p)))) {
        errand_absent(r, p->reason, now); /* forgotten where it was known */
        return;
    }
    if (!r->applied && primary == self(b)) {
        write_by_itself(r, now);
        return;
    }
    if (!primary) {
        errand_ask_others(r, now);
        return;
    }
    if (!r->applied) {
        rc = write_apply(r, primary, &copy);
        if (!copy) {
            errand_call(r, primary, CALL_PEEK, 0, NULL);
            return;
        }
        if (rc == RC_ENDED) {
            end_as_here(r, now);
            return;
        }
        if (rc != RC_PENDING) {
            errand_end(r, rc);
            return;
        }
    }
    if (primary == self(b))
        write_as_primary(r, now);
    else
        errand_call(r, primary, CALL_COMMIT, 0, r->w->delta);
}

/* ---- a user's record ---- */

void errand_create_go_on(struct errand *r, struct instant now)
{
    struct backup *b = r->b;
    uint64_t maker = first_of(b, r->w->id);
    struct place p;

    if (place_of(b, r->w->id, &p) && p.kind != PLACE_OVER)
        errand_end(r, RC_CONFLICT);
    else if (maker != self(b))
        errand_call(r, maker, CALL_COMMIT, 0, r->w->record);
    else if (channel_may_answer(b->channel, now))
        write_by_itself(r, now);
    else
        errand_pause(r, now);
}

/* ---- */

/* NULL: there are too many. */
static struct errand *errand_of(struct backup *b, struct manager_write *w,
                                struct instant now)
{
    struct errand *r = errand_new(b, now, &w->err);

    if (r)
        r->w = w;
    return r;
}

void errand_follow(struct backup *b, struct manager_write *w,
                   struct instant now)
{
    struct errand *r = errand_of(b, w, now);

    if (!r) {
        w->rc = RC_UNCERTAIN;
        w->done(w);
        return;
    }
    r->sent = r->maybe = true;
    struct table_stripe *stripe = table_lock(b->base.table, w->id);
    struct entry *e = table_find(stripe, w->id);
    r->uncertain = atomic_load(&b->uncertain);
    r->applied = e != NULL; /* it may have been let go since */
    if (e)
        backup_entry(e)->errands++;
    table_unlock(stripe);
    errand_go_on(r, now);
}

enum rc errand_ended(struct backup *b, struct manager_write *w)
{
    struct errand *r = errand_of(b, w, w->now);

    if (!r)
        return RC_UNAVAILABLE;
    end_as_here(r, w->now);
    return RC_PENDING;
}

enum rc errand_write(struct backup *b, struct manager_write *w)
{
    struct errand *r = errand_of(b, w, w->now);

    if (!r)
        return RC_UNAVAILABLE;
    errand_go_on(r, w->now);
    return RC_PENDING;
}
