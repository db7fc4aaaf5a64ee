/* SPDX-License-Identifier: Apache-2.0
 *
 * Find: both parts are asked, and what one of them lacks is brought to it
 * before the answer. */
#include "config.h"

#include "managers/succession.h"

#include "session/buf.h"
#include "session/farewell.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 4
#define REPAIRS 8
/* Who does not know a session that came to him less than this ago may not have
 * heard of it yet. */
#define YOUNG_MS 30000

/* ---- a look ---- */

enum look_step {
    LOOK_NEXT,
    LOOK_PREVIOUS,
    LOOK_VERIFY,
    LOOK_REPAIR,
    LOOK_DONE
};

struct repair {
    int part;
    enum write_kind kind;
    struct record *record; /* CREATE: whole, CHANGE: the delta; a reference */
    int64_t access;
    enum reason reason; /* END */
    uint8_t new_id[ID_SIZE];
    bool lenient;   /* whatever comes of it, */
    bool answered;  /* but for an outage */
    bool if_absent; /* when the one before it found nothing */
    bool revives;   /* what the next one has lost */
};

struct look {
    struct manager_write w; /* first; the repair under way */
    struct succession *s;
    struct find_op *op;
    struct find_op ask[PARTS], verify;
    enum look_step step;
    int silent; /* the part that is asked whether it has ended there */
    struct repair repairs[REPAIRS];
    unsigned count, at, tries;
    bool brings; /* it stood in the previous one only */
    bool anew;   /* after the repair both are asked once more */
    /* the answer */
    enum rc rc;
    enum reason reason;
    uint8_t new_id[ID_SIZE];
    struct record *record;
    int64_t access; /* wall */
};

static void look_reset(struct look *l)
{
    for (unsigned i = 0; i < l->count; i++)
        record_unref(&l->repairs[i].record);
    for (int p = 0; p < PARTS; p++)
        record_unref(&l->ask[p].record);
    record_unref(&l->record);
    manager_write_release(&l->w);
    l->count = l->at = 0;
    l->brings = l->anew = false;
    l->reason = REASON_NONE;
    l->step = LOOK_NEXT;
}

static void look_free(struct look *l)
{
    look_reset(l);
    free(l);
}

static void look_end(struct look *l, enum rc rc)
{
    l->rc = rc;
    l->step = l->count ? LOOK_REPAIR : LOOK_DONE;
}

static void look_absent(struct look *l, enum reason reason)
{
    l->reason = reason;
    look_end(l, RC_ABSENT);
}

static void look_unavailable(struct look *l, const struct err *err)
{
    l->op->err = *err;
    l->rc = RC_UNAVAILABLE;
    l->step = LOOK_DONE;
}

/* Takes the reference. */
static struct repair *repair_add(struct look *l, int part, enum write_kind kind,
                                 struct record *record, int64_t access_wall)
{
    struct repair *r = &l->repairs[l->count++];

    *r = (struct repair){.part = part, .kind = kind, .record = record};
    r->access = instant_mono_of(l->op->now, access_wall);
    return r;
}

/* ---- what both said ---- */

/* What one of them has ended is ended in the other. Not what is due there soon
 * anyway; and where it does not say under which id the session goes on, that is
 * left to who gave it the new id, and to the walk. */
static bool is_to_be_ended(const struct look *l, const struct find_op *ended,
                           const struct find_op *other)
{
    static const uint8_t none[ID_SIZE];

    if (other->rc != RC_OK || record_kind(other->record) != RECORD_SESSION ||
        ended->reason == REASON_LIFETIME)
        return false;
    return ended->reason != REASON_RENAMED || l->op->peek ||
           !id_equal(ended->new_id, none);
}

/* What was changed under the old id, where the end was not known yet, goes on
 * under the new one; where that is not, it comes from the other part. */
static void bring_renamed(struct look *l, const struct record *from,
                          int64_t access_wall)
{
    for (int part = 0; part < PARTS; part++)
        repair_add(l, part, WRITE_CHANGE, record_rekey(from, l->new_id),
                   access_wall)
            ->answered = true; /* it may not go on */
}

static void one_ended(struct look *l, const struct find_op *ended,
                      const struct find_op *other)
{
    static const uint8_t none[ID_SIZE];

    memcpy(l->new_id, ended->new_id, ID_SIZE);
    if (is_to_be_ended(l, ended, other)) {
        if (!id_equal(ended->new_id, none))
            bring_renamed(l, other->record, other->last_access);
        struct repair *r = repair_add(l, other == &l->ask[PREVIOUS], WRITE_END,
                                      NULL, l->op->now.wall);
        r->lenient = true;
        r->reason = ended->reason;
        if (r->reason == REASON_RENAMED && id_equal(ended->new_id, none))
            r->reason = REASON_UNKNOWN;
        memcpy(r->new_id, ended->new_id, ID_SIZE);
    }
    look_absent(l, ended->reason);
}

/* Of which accesses do the others not hear soon anyway? */
static int64_t patience(const struct succession *s)
{
    int64_t next = s->part[NEXT]->grace_ms, prev = s->part[PREVIOUS]->grace_ms;

    return 2 * (next > prev ? next : prev) + 1000;
}

static void bring(struct look *l, int part, struct record *full)
{
    const struct find_op *own = &l->ask[part], *other = &l->ask[!part];
    bool late =
        l->op->peek && other->last_access > own->last_access + patience(l->s);
    struct record *lacks = record_equal(own->record, full)
                               ? NULL
                               : record_difference(own->record, full);

    if (!lacks && late) /* of the access alone; a CHANGE is a delta */
        lacks = record_difference(NULL, full);
    if (lacks)
        repair_add(l, part, WRITE_CHANGE, lacks, l->access);
}

static void both_live(struct look *l)
{
    struct record *next = l->ask[NEXT].record;
    struct record *previous = l->ask[PREVIOUS].record;

    l->access = l->ask[NEXT].last_access;
    if (l->access < l->ask[PREVIOUS].last_access)
        l->access = l->ask[PREVIOUS].last_access;
    if (record_kind(next) != RECORD_SESSION ||
        record_kind(previous) != RECORD_SESSION) {
        look_absent(l, REASON_UNKNOWN);
        return;
    }
    struct record *merged = record_merge(next, previous);
    struct record *delta =
        mark_delta(l->s, merged, mark_of(l->s, l->op->id), l->op->now);
    l->record = with_delta(merged, delta);
    record_unref(&merged);
    record_unref(&delta);
    bring(l, NEXT, l->record);
    bring(l, PREVIOUS, l->record);
    look_end(l, RC_OK);
}

static void take_login(void *user, struct key key, const struct value *value,
                       int64_t stamp)
{
    (void)value;
    if (!key.name && key.field == FIELD_USER)
        *(struct value *)user =
            (struct value){.type = VALUE_INT, .number = stamp};
}

/* The next one's list of this user's sessions is to have it as well. */
static void bring_listed(struct look *l, const struct record *record)
{
    struct manager *next = l->s->part[NEXT];
    struct value user = record_get(record, key_field(FIELD_USER)), login;
    struct value keep = {.type = VALUE_INT, .number = 30 * 24 * 3600};
    uint8_t key[ID_SIZE];
    char text[ID_TEXT_SIZE];
    struct changes changes;

    if (user.type != VALUE_STRING || !user.len ||
        (next->secret_shared && !atomic_load(&next->secret_known)))
        return;
    id_of_user(manager_secret(next), next->env.app, user.data, user.len, key);
    record_each(record, take_login, &login);
    changes_init(&changes);
    id_format(record_id(record), text);
    changes_set(&changes, key_name(text, ID_TEXT_SIZE - 1), &login);
    changes_set(&changes, key_field(FIELD_MAX_INACTIVE), &keep);
    struct record *list = record_new(RECORD_USER, key, login.number, &changes,
                                     manager_writer(&l->s->base, key));
    changes_release(&changes);
    repair_add(l, NEXT, WRITE_CHANGE, record_difference(NULL, list),
               l->op->now.wall)
        ->lenient = true;
    struct repair *r = repair_add(l, NEXT, WRITE_CREATE, list, l->op->now.wall);
    r->lenient = r->if_absent = true;
}

/* It stands in the previous one alone. First it is marked there: what ends it
 * there from now on leaves a farewell. */
static void bring_over(struct look *l)
{
    struct find_op *has = &l->ask[PREVIOUS];
    struct record *delta =
        mark_delta(l->s, has->record, mark_of(l->s, l->op->id), l->op->now);

    l->record = with_delta(has->record, delta);
    if (delta)
        repair_add(l, PREVIOUS, WRITE_CHANGE, delta, l->access);
    repair_add(l, NEXT, WRITE_CREATE, record_ref(l->record), l->access);
    bring_listed(l, l->record);
    l->brings = true;
    look_end(l, RC_OK);
}

/* It stands in the next one alone: that will do, and nobody need look for a
 * farewell in the previous one any more. */
static void leave_next(struct look *l, bool marked)
{
    struct record *has = l->ask[NEXT].record;
    struct record *delta = marked ? mark_delta(l->s, has, 0, l->op->now) : NULL;

    l->record = with_delta(has, delta);
    if (delta)
        repair_add(l, NEXT, WRITE_CHANGE, delta, l->access)->lenient = true;
    look_end(l, RC_OK);
}

static void one_has_it(struct look *l, int part)
{
    if (part == PREVIOUS) {
        bring_over(l);
        return;
    }
    struct mark mark = mark_in(l->ask[NEXT].record);
    leave_next(l, mark.value && mark.since <= l->op->now.wall - YOUNG_MS);
}

/* The other one has lost it, and says so for a while. The next one is to have
 * it again: at once, or when it says so no longer. */
static void one_lost_it(struct look *l, int part)
{
    struct record *has = l->ask[part].record;

    if (part == NEXT) {
        leave_next(l, mark_in(has).value != 0);
        return;
    }
    atomic_fetch_add(&l->s->lost, 1);
    atomic_store(&l->s->complete, false);
    l->record = record_ref(has);
    l->reason = REASON_LOST;
    struct repair *r =
        repair_add(l, NEXT, WRITE_CREATE, record_ref(has), l->access);
    r->lenient = r->revives = true;
    look_end(l, RC_OK);
}

/* Idle by what the other part knows; this one knows a later access, or is more
 * patient: then what a look alone brings there would be no news, and both are
 * right until this one is of the same mind. */
static void one_is_idle(struct look *l, int part)
{
    struct record *has = l->ask[part].record;
    struct instant now = l->op->now;
    int64_t at = l->op->peek ? instant_mono_of(now, l->access) : now.mono;
    struct record_life life;
    enum reason reason;

    record_life(has, &life);
    l->record = record_ref(has);
    if (manager_due(l->s->part[!part], &life, at, now, &reason) > now.mono) {
        repair_add(l, !part, WRITE_CHANGE, record_difference(NULL, has),
                   instant_wall_of(now, at));
        l->anew = true;
    }
    look_end(l, RC_OK);
}

/* Has it stood in both, so that the silent one may have seen its end? */
static bool may_have_ended(const struct look *l, int part)
{
    return part == PREVIOUS ||
           mark_in(l->ask[part].record).value == mark_of(l->s, l->op->id);
}

static void one_lives(struct look *l, int part)
{
    const struct find_op *has = &l->ask[part], *other = &l->ask[!part];

    l->access = has->last_access;
    if (record_kind(has->record) != RECORD_SESSION) {
        look_absent(l, REASON_UNKNOWN);
        return;
    }
    if (other->reason == REASON_IDLE) {
        one_is_idle(l, part);
        return;
    }
    if (other->reason != REASON_UNKNOWN) {
        one_lost_it(l, part);
        return;
    }
    l->silent = !part;
    if (may_have_ended(l, part))
        l->step = LOOK_VERIFY;
    else
        one_has_it(l, part);
}

static void judge(struct look *l)
{
    const struct find_op *n = &l->ask[NEXT], *p = &l->ask[PREVIOUS];

    if (n->rc == RC_ABSENT && is_decided(n->reason))
        one_ended(l, n, p);
    else if (p->rc == RC_ABSENT && is_decided(p->reason))
        one_ended(l, p, n);
    else if (n->rc != RC_OK && n->rc != RC_ABSENT)
        look_unavailable(l, &n->err);
    else if (p->rc != RC_OK && p->rc != RC_ABSENT)
        look_unavailable(l, &p->err);
    else if (n->rc == RC_OK && p->rc == RC_OK)
        both_live(l);
    else if (n->rc == RC_OK)
        one_lives(l, NEXT);
    else if (p->rc == RC_OK)
        one_lives(l, PREVIOUS);
    else
        look_absent(l, n->reason != REASON_UNKNOWN ? n->reason : p->reason);
}

/* Did the part that does not know it leave a farewell? */
static void judge_silent(struct look *l)
{
    int part = !l->silent;
    bool ended = l->verify.rc == RC_OK && farewell_is(l->verify.record);

    if (l->verify.rc == RC_OK)
        record_unref(&l->verify.record);
    if (l->verify.rc != RC_OK && l->verify.rc != RC_ABSENT) {
        look_unavailable(l, &l->verify.err);
    } else if (ended) {
        struct repair *r =
            repair_add(l, part, WRITE_END, NULL, l->op->now.wall);
        r->reason = REASON_UNKNOWN;
        r->lenient = true;
        look_absent(l, REASON_UNKNOWN);
    } else {
        one_has_it(l, part);
    }
}

/* ---- turning ---- */

static void look_written(struct manager_write *w);
static void look_asked(struct find_op *ask);

static enum rc submit_find(struct look *l, struct find_op *ask, int part,
                           const uint8_t id[ID_SIZE])
{
    const struct find_op *op = l->op;

    ask->done = look_asked;
    memcpy(ask->id, id, ID_SIZE);
    memset(ask->new_id, 0, ID_SIZE);
    ask->now = op->now;
    ask->read_only = op->read_only;
    ask->peek = op->peek || ask == &l->verify;
    ask->route = op->route;
    ask->route_len = op->route_len;
    ask->user_data = l;
    return part_find(l->s->part[part], ask);
}

static enum rc submit_repair(struct look *l)
{
    const struct repair *r = &l->repairs[l->at];
    struct manager_write *w = &l->w;
    bool ends = r->kind == WRITE_END;

    manager_write_release(w);
    w->done = look_written;
    manager_write_init(w, r->kind, ends ? l->op->id : record_id(r->record),
                       ends ? instant_of_repair(l->op->now) : l->op->now);
    w->reason = r->reason;
    memcpy(w->new_id, r->new_id, ID_SIZE);
    if (r->kind == WRITE_CREATE)
        w->record = r->record;
    else if (r->kind == WRITE_CHANGE)
        w->delta = record_ref(r->record);
    w->access = ends ? 0 : r->access;
    return part_write(l->s->part[r->part], w);
}

static enum rc look_submit(struct look *l)
{
    uint8_t farewell[ID_SIZE];

    switch (l->step) {
    case LOOK_VERIFY:
        farewell_id(l->op->id, farewell);
        return submit_find(l, &l->verify, l->silent, farewell);
    case LOOK_REPAIR:
        return submit_repair(l);
    default:
        return submit_find(l, &l->ask[l->step == LOOK_PREVIOUS],
                           l->step == LOOK_PREVIOUS, l->op->id);
    }
}

/* What it found has changed meanwhile: it looks again. */
static void look_again(struct look *l)
{
    if (++l->tries < TRIES) {
        look_reset(l);
        return;
    }
    err_set(&l->op->err, RC_UNAVAILABLE, "it changes all the time");
    l->rc = RC_UNAVAILABLE;
    l->step = LOOK_DONE;
}

/* A repair that was refused: by now something else stands there. */
static void repair_refused(struct look *l, enum rc rc)
{
    if (l->anew && rc == RC_ENDED && l->w.ended.reason == REASON_IDLE) {
        look_absent(l, REASON_IDLE); /* no later access after all */
        l->step = LOOK_DONE;
    } else {
        look_again(l);
    }
}

static void next_repair(struct look *l, enum rc rc)
{
    bool found = rc != RC_ABSENT && rc != RC_ENDED;

    do
        l->at++;
    while (l->at < l->count && l->repairs[l->at].if_absent && found);
    if (l->at < l->count)
        return;
    if (l->anew)
        look_again(l);
    else
        l->step = LOOK_DONE;
}

/* What came between the look and the end that it made. */
static void bring_rest(struct look *l)
{
    const struct repair *end = &l->repairs[l->at];
    const struct find_op *seen = &l->ask[end->part];

    if (end->kind == WRITE_END && end->reason == REASON_RENAMED &&
        l->w.before && !record_equal(l->w.before, seen->record))
        bring_renamed(l, l->w.before, seen->last_access);
}

static void tell_here(struct look *l)
{
    const struct repair *r = &l->repairs[l->at];

    if (r->part != NEXT)
        return;
    if (r->kind == WRITE_CREATE && !r->revives)
        tell_brought(l->s, r->record, l->op->now);
    else if (r->kind == WRITE_END)
        tell_ended(l->s, &l->w, l->op->now);
}

static void repaired(struct look *l, enum rc rc)
{
    if (rc == RC_OK) {
        tell_here(l);
        bring_rest(l);
    }
    if (l->repairs[l->at].revives && rc == RC_OK) {
        l->reason = REASON_NONE;
        l->brings = true;
    }
    next_repair(l, rc);
}

/* What the previous one has no room for. At least it is to hear of the use;
 * and what cannot be marked there has its farewell from now on: nobody who ends
 * it there would leave one. */
static void previous_is_full(struct look *l)
{
    const struct repair *refused = &l->repairs[l->at];
    struct record *own = l->ask[PREVIOUS].record;
    bool change = refused->kind == WRITE_CHANGE && own && !refused->answered;

    if (change && l->op->peek)
        repair_add(l, PREVIOUS, WRITE_CHANGE, record_difference(NULL, own),
                   l->access)
            ->answered = true;
    if (change && record_number(own, FIELD_BOTH) != mark_of(l->s, l->op->id))
        repair_add(l, PREVIOUS, WRITE_CREATE,
                   farewell_ahead(l->s->part[PREVIOUS], l->op->id, l->op->now),
                   l->op->now.wall)
            ->answered = true;
    next_repair(l, RC_TOOBIG);
}

static void take_repair(struct look *l, enum rc rc)
{
    const struct repair *r = &l->repairs[l->at];
    bool lenient = r->lenient ||
                   (r->answered && rc != RC_UNAVAILABLE && rc != RC_UNCERTAIN);

    if (rc == RC_TOOBIG && r->part == PREVIOUS)
        previous_is_full(l); /* what stays has it */
    else if (rc == RC_TOOBIG && !lenient)
        look_unavailable(l, &l->w.err);
    else if ((rc == RC_UNAVAILABLE || rc == RC_UNCERTAIN) &&
             (l->op->peek || !lenient))
        look_unavailable(l, &l->w.err);
    else if (rc != RC_OK && !lenient)
        repair_refused(l, rc);
    else
        repaired(l, rc);
}

static void look_take(struct look *l, enum rc rc)
{
    switch (l->step) {
    case LOOK_NEXT:
        l->ask[NEXT].rc = rc;
        l->step = LOOK_PREVIOUS;
        break;
    case LOOK_PREVIOUS:
        l->ask[PREVIOUS].rc = rc;
        judge(l);
        break;
    case LOOK_VERIFY:
        l->verify.rc = rc;
        judge_silent(l);
        break;
    default:
        take_repair(l, rc);
    }
}

static bool look_turn(struct look *l)
{
    while (l->step != LOOK_DONE) {
        enum rc rc = look_submit(l);
        if (rc == RC_PENDING)
            return false;
        look_take(l, rc);
    }
    return true;
}

static enum rc look_finish(struct look *l)
{
    struct find_op *op = l->op;
    enum rc rc = l->rc;

    op->rc = rc;
    op->reason = rc == RC_OK && !op->peek ? REASON_NONE : l->reason;
    memcpy(op->new_id, l->new_id, ID_SIZE);
    if (rc == RC_OK) {
        op->record = l->record;
        op->last_access = l->access;
        l->record = NULL;
        if (l->brings) {
            atomic_fetch_add(&l->s->carried, 1);
            atomic_store(&l->s->complete, false); /* till the walk's end */
        }
    }
    look_free(l);
    return rc;
}

static void look_go_on(struct look *l)
{
    struct manager *m = &l->s->base;
    struct find_op *op = l->op;

    if (!look_turn(l))
        return;
    look_finish(l);
    manager_found(m, op);
}

static void look_asked(struct find_op *ask)
{
    struct look *l = ask->user_data;

    look_take(l, ask->rc);
    look_go_on(l);
}

static void look_written(struct manager_write *w)
{
    struct look *l = (struct look *)w;

    look_take(l, w->rc);
    look_go_on(l);
}

enum rc succession_find(struct manager *m, struct find_op *op)
{
    struct succession *s = succession_of(m);

    if (!mark_of(s, op->id))
        return err_set(&op->err, RC_UNAVAILABLE,
                       "the previous and the next manager have not answered "
                       "both yet");
    struct look *l = mem_zero(sizeof *l);
    l->s = s;
    l->op = op;
    if (!look_turn(l))
        return RC_PENDING;
    return look_finish(l);
}
