/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/persistent.h"
#include "session/buf.h"
#include "session/farewell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define UNCERTAIN_TRIES 3
#define CONFLICT_TRIES 1000

/* A put under way, and those who wait for it. */
struct flight {
    struct store_call call; /* first */
    struct persistent *p;
    struct instant now;
    struct manager_write *riding;  /* in the put that is under way */
    struct manager_write *waiting; /* applied since; the next put */
    struct manager_write *late;    /* came after an end that is on its way */
    struct record *base;           /* stored, before all of these */
    struct record *sent;           /* in the put that is under way */
    int64_t sent_access;           /* mono */
    struct pack_writer bytes;
    unsigned uncertain, conflicts;
    bool catching_up; /* sends what was made while the store was away, */
    bool last_up;     /* and landed as the last of those under way */
    bool swap;        /* then it leaves memory */
    bool over;        /* meanwhile a find saw that the session has ended */
};

static void flight_done(struct store_call *call);

static void list_add(struct manager_write **list, struct manager_write *w)
{
    while (*list)
        list = &(*list)->next;
    w->next = NULL;
    *list = w;
}

static void list_move(struct manager_write **from, struct manager_write **to)
{
    while (*to)
        to = &(*to)->next;
    *to = *from;
    *from = NULL;
}

/* Everybody on the list gets this answer. No lock is held. */
static void answer_all(struct manager_write *list, enum rc rc,
                       const struct record_end *end, const struct err *err)
{
    while (list) {
        struct manager_write *w = list;
        list = w->next;
        w->rc = rc;
        if (rc == RC_ENDED)
            w->ended = *end;
        if (err)
            w->err = *err;
        w->done(w);
    }
}

/* ---- a flight begins, goes on, ends; the stripe is locked ---- */

static struct flight *flight_new(struct persistent *p, struct entry *e,
                                 struct record *base, struct instant now)
{
    struct flight *f = mem_zero(sizeof *f);

    f->p = p;
    f->now = now;
    f->base = base;
    memcpy(f->call.id, record_id(e->record), ID_SIZE);
    f->call.done = flight_done;
    copy_of(e)->flight = f;
    e->flags |= ENTRY_BUSY;
    atomic_fetch_add(&p->flights, 1);
    return f;
}

/* Whatever was applied by now is in what is sent: all ride. A retry that left
 * some waiting would store their changes and might still tell them
 * UNAVAILABLE. */
static void flight_board(struct flight *f)
{
    list_move(&f->waiting, &f->riding);
}

static void flight_load(struct flight *f, struct entry *e)
{
    flight_board(f);
    pack_release(&f->bytes);
    pack_init(&f->bytes, e->record->len + 16);
    persistent_encode(&f->bytes, e->record, instant_wall_of(f->now, e->access));
    record_unref(&f->sent);
    f->sent = record_ref(e->record);
    f->sent_access = e->access;
    f->call.version = copy_of(e)->version;
    f->call.bytes = f->bytes.data;
    f->call.len = f->bytes.len;
    f->call.expiry = persistent_expiry(f->p, e->record, e->access, f->now);
    f->call.found = NULL;
}

static void flight_land(struct flight *f, struct entry *e)
{
    copy_of(e)->flight = NULL;
    if (!(e->flags & ENTRY_UNSAVED) || f->p->lazy)
        e->flags &= ~(uint32_t)ENTRY_BUSY;
    atomic_fetch_sub(&f->p->flights, 1);
    if (f->catching_up)
        f->last_up = atomic_fetch_sub(&f->p->catching_up, 1) == 1;
}

static void flight_free(struct flight **flight)
{
    struct flight *f = *flight;

    *flight = NULL;
    record_unref(&f->base);
    record_unref(&f->sent);
    pack_release(&f->bytes);
    free(f->call.found);
    free(f);
}

struct record *persistent_shown(struct entry *e)
{
    const struct flight *f = copy_of(e)->flight;

    return f && f->base ? f->base : e->record;
}

struct record *persistent_shown_lazy(struct entry *e)
{
    return e->idle || record_ended(e->record, NULL) ? persistent_shown(e)
                                                    : e->record;
}

static void set_saved(struct persistent *p, struct entry *e)
{
    if (e->flags & ENTRY_UNSAVED)
        atomic_fetch_sub(&p->unsaved, 1);
    e->flags &= ~(uint32_t)ENTRY_UNSAVED;
}

static void set_unsaved(struct persistent *p, struct entry *e)
{
    if (!(e->flags & ENTRY_UNSAVED))
        atomic_fetch_add(&p->unsaved, 1);
    e->flags |= ENTRY_UNSAVED | (p->lazy ? 0 : ENTRY_BUSY);
}

/* A change that is stored in its time (lazy). */
static void set_changed(struct persistent *p, struct entry *e,
                        struct instant now)
{
    if (!(e->flags & ENTRY_UNSAVED))
        copy_of(e)->changed = now.mono;
    copy_of(e)->too_big = false;
    set_unsaved(p, e);
}

/* Submits the put. No lock is held; afterwards the flight may be gone. */
static void flight_send(struct flight *f)
{
    enum rc rc = store_put(f->p->base.store, &f->call);
    if (rc != RC_PENDING) {
        f->call.rc = rc;
        flight_done(&f->call);
    }
}

/* ---- what came back ---- */

/* What the writes of a flight are answered, once the lock is released. */
struct outcome {
    struct manager_write *list;
    enum rc rc;
    struct record_end end;
    struct err err;
    bool send;            /* the flight goes on, */
    bool anew;            /* over a row that is none */
    enum rc read;         /* CONFLICT: what persistent_decode said of it */
    struct record *other; /* OK: a reference */
    int64_t access;       /* its last, wall */
    struct manager_write *late; /* to be tried again */
};

static void take_all(struct flight *f, struct outcome *o, enum rc rc)
{
    o->rc = rc;
    list_move(&f->riding, &o->list);
    list_move(&f->waiting, &o->list);
}

/* Riders hear what stands in the store now; an idle end that a later access
 * beat while it was under way ended nothing. */
static void settle_rider(struct flight *f, struct entry *e,
                         struct manager_write *w)
{
    struct record_end end;

    if (w->kind == WRITE_CHANGE || w->kind == WRITE_CREATE) {
        record_unref(&w->after);
        w->after = record_ref(f->sent);
    }
    if (w->kind == WRITE_IDLE_END &&
        manager_liveness(&f->p->base, e->record, e->access, w->now, &end) ==
            RC_OK)
        record_unref(&w->before);
}

static void land_ok(struct flight *f, struct entry *e, struct outcome *o)
{
    struct copy *c = copy_of(e);

    c->version = f->call.new_version;
    c->told = f->sent_access;
    for (struct manager_write *w = f->riding; w; w = w->next)
        settle_rider(f, e, w);
    o->list = f->riding;
    o->rc = RC_OK;
    f->riding = NULL;
    f->uncertain = 0;
    if (f->over) /* by others, after this */
        list_move(&f->waiting, &f->late);
    if (f->waiting) {
        record_unref(&f->base);
        f->base = f->sent;
        f->sent = NULL;
        flight_load(f, e);
        o->send = true;
        return;
    }
    if (!f->p->lazy || e->record == f->sent)
        set_saved(f->p, e);
    else
        copy_of(e)->changed = f->now.mono;
    flight_land(f, e);
}

/* It is stored as it stands and was not used meanwhile: it leaves memory. */
static void swap_out(struct flight *f, struct table_stripe *stripe,
                     struct entry *e, const struct outcome *o)
{
    if (f->swap && !o->send && !(e->flags & ENTRY_UNSAVED) &&
        e->access == f->sent_access && !record_ended(e->record, NULL))
        table_remove(stripe, e);
}

static bool only_idle_ends(const struct flight *f)
{
    for (const struct manager_write *w = f->riding; w; w = w->next)
        if (w->kind != WRITE_IDLE_END)
            return false;
    return f->riding && !f->waiting;
}

/* An end of ours, not stored yet, replaced what the other one wrote, too. */
static void extend_before(struct manager_write *list, struct record *other)
{
    for (; list; list = list->next) {
        if (!list->before)
            continue;
        struct record *more = record_merge(list->before, other);
        record_unref(&list->before);
        list->before = more;
    }
}

void persistent_rebase(struct entry *e, struct record *stored)
{
    struct flight *f = copy_of(e)->flight;
    struct record *base = f->base;
    bool same = base && record_kind(base) == record_kind(stored);

    f->over |= record_ended(stored, NULL);
    f->base = same ? record_merge(base, stored) : record_ref(stored);
    record_unref(&base);
    if (same && !record_ended(stored, NULL)) {
        extend_before(f->riding, stored);
        extend_before(f->waiting, stored);
    }
}

/* Is the stored end one that a rider brought, of a put that was UNCERTAIN? */
static bool is_end_of(const struct manager_write *list,
                      const struct record *stored)
{
    for (; list; list = list->next)
        if (list->kind == WRITE_END && record_equal(list->delta, stored))
            return true;
    return false;
}

static void land_ended(struct flight *f, struct table_stripe *stripe,
                       struct entry *e, struct record *other, struct outcome *o)
{
    bool ours = is_end_of(f->riding, other);
    bool maybe = f->uncertain || f->call.rc == RC_UNCERTAIN;

    for (struct manager_write *w = f->riding; w; w = w->next)
        w->maybe = maybe;
    record_ended(other, &o->end);
    table_replace(stripe, e, record_ref(other));
    e->access = f->now.mono;
    table_arm(stripe, e, f->now.mono + f->p->base.keep_ended_ms);
    take_all(f, o, ours ? RC_OK : RC_ENDED);
    set_saved(f->p, e);
    flight_land(f, e);
}

static void raise_access(struct entry *e, int64_t access_wall,
                         struct instant now)
{
    int64_t mono = instant_mono_of(now, access_wall);
    if (mono > now.mono)
        mono = now.mono; /* a clock ahead of ours */
    if (mono > e->access)
        e->access = mono;
}

/* Somebody else used the session, or ended it for the same reason: either way
 * our idle end is not needed. Where that use is long ago, too, our end is of an
 * access that was not the last: it would hold nowhere, and the timer makes
 * another. false: it is needed, and is tried again. */
static bool idle_end_decided(struct flight *f, struct table_stripe *stripe,
                             struct entry *e, struct record *other,
                             struct outcome *o)
{
    struct manager *m = &f->p->base;
    struct record_life ours, theirs;
    bool live = manager_liveness(m, other, e->access, f->now, &o->end) == RC_OK;

    record_life(e->record, &ours);
    record_life(other, &theirs);
    bool over = !live && manager_idle_end_holds(&theirs, e->access, f->now);
    bool beaten = live || !manager_idle_end_holds(&ours, e->access, f->now);
    if ((e->flags & ENTRY_UNSAVED) || (!over && !beaten))
        return false;
    table_replace(stripe, e, other);
    table_set_idle(stripe, e, over);
    if (over)
        table_arm(stripe, e, f->now.mono + m->keep_ended_ms);
    else
        manager_arm(m, stripe, e, f->now);
    take_all(f, o, over ? RC_ENDED : RC_CONFLICT);
    flight_land(f, e);
    return true;
}

/* The row lapsed while the session was in use here, which is the truth: it is
 * stored anew, or, when it has ended, needs none. */
static void land_lapsed(struct flight *f, struct entry *e, struct outcome *o)
{
    copy_of(e)->version = 0;
    if (!e->idle && !record_ended(e->record, NULL)) {
        flight_load(f, e);
        o->send = true;
        return;
    }
    take_all(f, o, RC_OK);
    set_saved(f->p, e);
    flight_land(f, e);
}

/* The row is gone: it lapsed, or somebody removed it. A write never creates. */
static void land_absent(struct flight *f, struct table_stripe *stripe,
                        struct entry *e, struct outcome *o)
{
    if (f->p->lazy) {
        land_lapsed(f, e, o);
        return;
    }
    bool ended = record_ended(e->record, NULL);
    o->end = (struct record_end){.reason = f->call.gone};
    take_all(f, o, RC_ENDED);
    set_saved(f->p, e);
    flight_land(f, e);
    persistent_gone(f->p, stripe, e, ended ? REASON_UNKNOWN : f->call.gone,
                    f->now);
}

/* What the last end on the list replaced, else `found`. */
static struct record *last_before(const struct manager_write *list,
                                  struct record *found)
{
    for (; list; list = list->next)
        if (list->before)
            found = list->before;
    return found;
}

/* Changes stay (they were acknowledged); an end was not, and is taken back. */
static void undo_lazy(struct flight *f, struct table_stripe *stripe,
                      struct entry *e, struct record *before)
{
    if (before && (e->idle || record_ended(e->record, NULL)))
        table_replace(stripe, e, record_ref(before));
    table_set_idle(stripe, e, false);
    set_changed(f->p, e, f->now);
    manager_arm(&f->p->base, stripe, e, f->now);
}

/* Back to what is stored. */
static void undo(struct flight *f, struct table_stripe *stripe, struct entry *e)
{
    if (copy_of(e)->version == 0 && !(e->flags & ENTRY_UNSAVED)) {
        table_remove(stripe, e);
        return;
    }
    if (f->base)
        table_replace(stripe, e, record_ref(f->base));
    table_set_idle(stripe, e, false);
    manager_arm(&f->p->base, stripe, e, f->now);
}

/* What is stored is no record. A user's is written over it, else that user
 * could never log in again; a session is gone. */
static void land_unreadable(struct flight *f, struct table_stripe *stripe,
                            struct entry *e, struct outcome *o)
{
    if (record_kind(e->record) != RECORD_USER) {
        land_absent(f, stripe, e, o);
        return;
    }
    copy_of(e)->version = f->call.new_version;
    flight_load(f, e);
    o->send = o->anew = true;
}

static struct manager_write *take_end(struct manager_write **list)
{
    for (; *list; list = &(*list)->next)
        if ((*list)->kind == WRITE_END && (*list)->unmarked) {
            struct manager_write *w = *list;
            *list = w->next;
            return w;
        }
    return NULL;
}

/* An end that is for what is not marked, and somebody has marked it: whoever
 * wanted it is told so, and the others go on. It was the last that was applied:
 * they are in what it replaced. */
static bool land_marked(struct flight *f, struct table_stripe *stripe,
                        struct entry *e, struct record *other,
                        struct outcome *o)
{
    if (!farewell_is_due(other))
        return false;
    struct manager_write *w = take_end(&f->riding);
    if (!w)
        w = take_end(&f->waiting);
    if (!w)
        return false;
    w->next = NULL;
    record_unref(&w->delta);
    o->rc = RC_CONFLICT;
    o->list = w;
    table_set_idle(stripe, e, false);
    table_replace(stripe, e, record_ref(w->before));
    manager_arm(&f->p->base, stripe, e, f->now);
    return true;
}

/* Somebody else wrote meanwhile: join both, try again. */
static void land_conflict(struct flight *f, struct table_stripe *stripe,
                          struct entry *e, struct outcome *o)
{
    struct record *other = o->other;

    if (o->read == RC_ABSENT) {
        land_unreadable(f, stripe, e, o);
        return;
    }
    if (o->read != RC_OK || ++f->conflicts > CONFLICT_TRIES) {
        if (o->read == RC_OK)
            err_set(&o->err, RC_UNAVAILABLE, "others write it all the time");
        record_unref(&other);
        struct record *before =
            last_before(f->waiting, last_before(f->riding, NULL));
        if (f->p->lazy) {
            copy_of(e)->maybe = true; /* a row is there */
            undo_lazy(f, stripe, e, before);
        }
        take_all(f, o, f->uncertain ? RC_UNCERTAIN : RC_UNAVAILABLE);
        flight_land(f, e);
        if (!f->p->lazy)
            undo(f, stripe, e);
        return;
    }
    if (record_ended(other, NULL) ||
        record_kind(other) != record_kind(e->record)) {
        copy_of(e)->version = f->call.new_version;
        land_ended(f, stripe, e, other, o);
        record_unref(&other);
        return;
    }
    raise_access(e, o->access, f->now);
    copy_of(e)->version = f->call.new_version;
    if (only_idle_ends(f) && idle_end_decided(f, stripe, e, other, o))
        return;
    extend_before(f->riding, other);
    extend_before(f->waiting, other);
    bool parts = land_marked(f, stripe, e, other, o);
    if (!parts)
        table_replace(stripe, e, record_merge(e->record, other));
    record_unref(&f->base);
    f->base = other;
    if (parts && !f->riding && !f->waiting && record_equal(e->record, other)) {
        flight_land(f, e); /* nothing is left to store */
        return;
    }
    flight_load(f, e);
    o->send = true;
}

/* May be stored, may not: counts go on behind it, and it is sent again once
 * the store answers, so that all copies come to agree; an end is taken back
 * until the store says. */
static void keep_uncertain(struct flight *f, struct table_stripe *stripe,
                           struct entry *e)
{
    struct record *before =
        last_before(f->waiting, last_before(f->riding, NULL));

    if (before && (e->idle || record_ended(e->record, NULL))) {
        bool based = f->base && record_kind(f->base) == record_kind(before);
        table_replace(stripe, e,
                      based ? record_merge(before, f->base)
                            : record_ref(before));
        table_set_idle(stripe, e, false);
    } else {
        set_unsaved(f->p, e);
    }
    manager_arm(&f->p->base, stripe, e, f->now);
}

static void land_failed(struct flight *f, struct table_stripe *stripe,
                        struct entry *e, struct outcome *o)
{
    enum rc rc = f->call.rc;

    if (rc == RC_UNCERTAIN && ++f->uncertain < UNCERTAIN_TRIES) {
        flight_load(f, e); /* the same slots and stamps: it counts once */
        o->send = true;
        return;
    }
    if (f->uncertain)
        rc = RC_UNCERTAIN;
    o->err = f->call.err;
    if (f->p->lazy) {
        copy_of(e)->maybe |= rc == RC_UNCERTAIN;
        undo_lazy(f, stripe, e,
                  last_before(f->waiting, last_before(f->riding, NULL)));
        copy_of(e)->too_big = rc == RC_TOOBIG;
        flight_land(f, e);
        take_all(f, o, rc);
        return;
    }
    if (f->p->local && rc != RC_TOOBIG) {
        set_unsaved(f->p, e);
        take_all(f, o, RC_OK);
        flight_land(f, e);
        return;
    }
    if (rc == RC_UNCERTAIN)
        keep_uncertain(f, stripe, e);
    flight_land(f, e);
    if (rc != RC_UNCERTAIN)
        undo(f, stripe, e);
    take_all(f, o, rc);
}

static void note_outage(struct persistent *p, const struct store_call *call,
                        struct instant now)
{
    enum rc rc = call->rc;
    int64_t none = 0;

    if (rc == RC_UNAVAILABLE && !call->only_this)
        atomic_compare_exchange_strong(&p->outage_since, &none, now.mono);
    else if (rc == RC_OK || rc == RC_CONFLICT)
        atomic_store(&p->outage_since, 0);
}

static void land(struct flight *f, struct table_stripe *stripe, struct entry *e,
                 struct outcome *o)
{
    if (f->call.rc == RC_OK) {
        land_ok(f, e, o);
        swap_out(f, stripe, e, o);
    } else if (f->call.rc == RC_ABSENT) {
        land_absent(f, stripe, e, o);
    } else if (f->over) {
        record_unref(&o->other);
        land_ended(f, stripe, e, f->base, o);
    } else if (f->call.rc == RC_CONFLICT) {
        land_conflict(f, stripe, e, o);
    } else {
        land_failed(f, stripe, e, o);
    }
}

/* Before the lock is taken: it takes its time, and may log. */
static void read_other(struct flight *f, struct outcome *o)
{
    struct store_call *call = &f->call;

    o->read = persistent_decode(f->p, call->id, call->found, call->found_len,
                                &o->other, &o->access, &o->err);
    free(call->found);
    call->found = NULL;
}

static void tell_anew(struct persistent *p, const uint8_t id[ID_SIZE])
{
    char text[LOG_ID_SIZE];

    log_line(p->base.env.log, LOG_WARN, "manager",
             "the row %s of %s is a user's list of sessions: it is made anew",
             log_id(text, id), p->base.env.app);
}

/* Now it is known whether the session ended before them. */
static void write_again(struct persistent *p, struct manager_write *list)
{
    while (list) {
        struct manager_write *w = list;
        list = w->next;
        enum rc rc = persistent_write(&p->base, w);
        if (rc != RC_PENDING) {
            w->rc = rc;
            w->done(w);
        }
    }
}

static void flight_done(struct store_call *call)
{
    struct flight *f = (struct flight *)call;
    struct outcome o = {.rc = RC_OK};

    if (call->rc == RC_CONFLICT)
        read_other(f, &o);
    struct table_stripe *stripe = table_lock(f->p->base.table, call->id);
    struct entry *e = table_find(stripe, call->id);

    assert(e && copy_of(e)->flight == f);
    note_outage(f->p, call, f->now);
    land(f, stripe, e, &o);
    /* a flight that goes on is others' to board, once the lock is open */
    struct persistent *p = f->p;
    bool more =
        f->last_up && call->rc != RC_UNAVAILABLE && call->rc != RC_UNCERTAIN;
    struct instant now = f->now;
    if (!o.send)
        o.late = f->late;
    table_unlock(stripe);
    if (o.anew)
        tell_anew(p, call->id);
    if (o.send)
        flight_send(f);
    else
        flight_free(&f);
    if (more && atomic_load(&p->unsaved))
        persistent_flush_unsaved(p, now);
    answer_all(o.list, o.rc, &o.end, o.rc == RC_OK ? NULL : &o.err);
    write_again(p, o.late);
}

/* ---- writes ---- */

/* Of writes in an idle mode the ends of what is stored, or may be, are: nothing
 * that was logged out may come back from there, nor from another manager, to
 * which the farewell speaks. */
static bool is_stored_at_once(struct persistent *p, struct entry *e,
                              const struct manager_write *w)
{
    const struct copy *c = copy_of(e);

    if (w->kind == WRITE_CREATE || w->kind == WRITE_CHANGE)
        return farewell_is(e->record);
    return c->version || c->maybe || c->flight || atomic_load(&p->tells_ends);
}

/* Applies the write and finds it a put to ride with; *send: a new one. */
static enum rc write_locked(struct persistent *p, struct table_stripe *stripe,
                            struct entry *e, struct manager_write *w,
                            struct flight **send)
{
    struct record *base = e ? record_ref(e->record) : NULL;
    struct flight *f = e ? copy_of(e)->flight : NULL;
    enum rc rc = manager_apply(&p->base, stripe, e, w, &e);

    if (rc == RC_ENDED && f && !(f->base && record_ended(f->base, NULL))) {
        record_unref(&base);
        list_add(&f->late, w);
        return RC_PENDING;
    }
    if (rc != RC_OK || (w->kind != WRITE_CREATE && !w->delta)) {
        record_unref(&base);
        return rc;
    }
    if (p->lazy && !is_stored_at_once(p, e, w)) {
        record_unref(&base);
        if (w->kind == WRITE_CREATE || w->kind == WRITE_CHANGE)
            set_changed(p, e, w->now);
        else
            set_saved(p, e);
        return RC_OK;
    }
    if (f) {
        record_unref(&base);
        list_add(&f->waiting, w);
        if (f->now.mono < w->now.mono)
            f->now = w->now;
        return RC_PENDING;
    }
    f = flight_new(p, e, base, w->now);
    list_add(&f->riding, w);
    flight_load(f, e);
    *send = f;
    return RC_PENDING;
}

enum rc persistent_write(struct manager *m, struct manager_write *w)
{
    struct persistent *p = persistent_of(m);
    struct table_stripe *stripe = table_lock(m->table, w->id);
    struct entry *e = table_find(stripe, w->id);
    struct flight *send = NULL;
    enum rc rc;

    if (!e && w->kind != WRITE_CREATE) {
        table_unlock(stripe);
        return persistent_fetch(p, w);
    }
    rc = e && w->kind == WRITE_CREATE ? RC_CONFLICT
                                      : write_locked(p, stripe, e, w, &send);
    table_unlock(stripe);
    if (send)
        flight_send(send);
    return rc;
}

void persistent_touch(struct persistent *p, const uint8_t id[ID_SIZE],
                      struct instant now)
{
    struct table_stripe *stripe = table_lock(p->base.table, id);
    struct entry *e = table_find(stripe, id);
    struct flight *f = NULL;

    if (e && !copy_of(e)->flight && !record_ended(e->record, NULL)) {
        f = flight_new(p, e, record_ref(e->record), now);
        flight_load(f, e);
        copy_of(e)->told = e->access; /* one try per interval */
    }
    table_unlock(stripe);
    if (f)
        flight_send(f);
}

struct flight *persistent_save(struct persistent *p, struct entry *e,
                               struct instant now, enum save_how how)
{
    struct flight *f = flight_new(p, e, record_ref(e->record), now);

    flight_load(f, e);
    f->swap = how == SAVE_SWAP;
    f->catching_up = how == SAVE_CATCH_UP;
    if (f->catching_up)
        atomic_fetch_add(&p->catching_up, 1);
    return f;
}

void persistent_send(struct flight *f)
{
    flight_send(f);
}
