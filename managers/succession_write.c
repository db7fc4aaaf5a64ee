/* SPDX-License-Identifier: Apache-2.0
 *
 * Write: the next one first, which stamps it; then, with these stamps, the
 * previous one. */
#include "config.h"

#include "managers/succession.h"

#include "session/buf.h"
#include "session/farewell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum relay_step {
    RELAY_NEXT,
    RELAY_PREVIOUS,
    RELAY_LIST,   /* CHANGE of what is no session, and only the next one has */
    RELAY_JOIN,   /* CREATE of a user's record that is there: a CHANGE */
    RELAY_BRING,  /* the next one gets what only the previous one has */
    RELAY_SETTLE, /* an end that one of them has seen */
    RELAY_DONE
};

struct relay {
    struct manager_write in; /* first */
    struct succession *s;
    struct manager_write *w;
    enum relay_step step;
    int settle;         /* the part that is to be ended */
    struct record *own; /* CREATE: as it is written */
    struct record *delta;
    struct record *lacking; /* BRING: whole, or of a user's record the delta */
    struct record *before, *after;
    enum rc first; /* of the next one */
    bool said;     /* changes are in the delta now, if there are any */
    struct record_end end;
    bool maybe;
};

static bool is_final(const struct record_end *end)
{
    return end->reason != REASON_IDLE && end->reason != REASON_LOST &&
           end->reason != REASON_EVICTED;
}

static void relay_end(struct relay *r, enum rc rc)
{
    struct manager_write *w = r->w;

    w->rc = rc;
    w->maybe = r->maybe;
    if (rc == RC_ENDED)
        w->ended = r->end;
    if (rc != RC_OK)
        w->err = r->in.err;
    r->step = RELAY_DONE;
}

/* ---- one write ---- */

static bool is_users(const struct relay *r)
{
    return r->w->user != NULL;
}

/* Neither a session nor a user's list: a farewell. */
static bool is_note(const struct relay *r)
{
    return r->own && record_kind(r->own) != RECORD_SESSION && !is_users(r);
}

static void part_id(const struct relay *r, int part, uint8_t out[ID_SIZE])
{
    const struct manager *m = r->s->part[part];

    memcpy(out, r->w->id, ID_SIZE);
    if (is_users(r))
        id_of_user(manager_secret(m), m->env.app, r->w->user,
                   strlen(r->w->user), out);
}

/* The users' keys of the two differ. Takes the reference. */
static struct record *rekeyed(struct record *record, const uint8_t id[ID_SIZE])
{
    if (!record || id_equal(record_id(record), id))
        return record;
    struct record *moved = record_rekey(record, id);
    record_unref(&record);
    return moved;
}

static void take_in(struct record **at, struct record *more,
                    const uint8_t id[ID_SIZE])
{
    if (!more)
        return;
    more = rekeyed(record_ref(more), id);
    if (!*at) {
        *at = more;
        return;
    }
    struct record *both = record_merge(*at, more);
    record_unref(&more);
    record_unref(at);
    *at = both;
}

static const struct changes nothing;

static void relay_done(struct manager_write *w);

static enum rc submit(struct relay *r, int part, enum write_kind kind,
                      struct record *record)
{
    struct manager_write *in = &r->in;
    uint8_t id[ID_SIZE];

    part_id(r, part, id);
    manager_write_release(in);
    in->done = relay_done;
    manager_write_init(in, kind, id, r->w->now);
    in->reason = r->w->reason;
    /* what only the previous one has is ended there */
    in->unmarked = r->w->unmarked && (part == NEXT || r->first != RC_OK);
    memcpy(in->new_id, r->w->new_id, ID_SIZE);
    in->access = r->w->access;
    if (record && kind == WRITE_CHANGE) {
        in->delta = rekeyed(record_ref(record), id);
    } else if (record) {
        if (!id_equal(record_id(record), id)) {
            record = record_rekey(record, id); /* of r->own, perhaps */
            record_unref(&r->own);
            r->own = record;
        }
        in->record = record;
    }
    in->changes = r->said ? &nothing : r->w->changes;
    in->seen = r->w->seen;
    return part_write(r->s->part[part], in);
}

static struct record *marked(struct relay *r, struct record *record)
{
    struct succession *s = r->s;
    struct record *delta =
        record_kind(record) != RECORD_SESSION
            ? NULL
            : mark_delta(s, record, mark_of(s, record_id(record)), r->w->now);
    struct record *whole = with_delta(record, delta);

    record_unref(&delta);
    return whole;
}

static enum rc relay_submit(struct relay *r)
{
    struct manager_write *w = r->w;

    switch (r->step) {
    case RELAY_NEXT:
        if (w->kind == WRITE_CREATE)
            r->own = marked(r, w->record);
        return submit(r, NEXT, w->kind,
                      w->kind == WRITE_CREATE ? r->own : w->delta);
    case RELAY_PREVIOUS:
        r->said = r->first == RC_OK; /* all that there was to say */
        return submit(r, PREVIOUS, w->kind,
                      w->kind == WRITE_CREATE ? r->own : r->delta);
    case RELAY_LIST:
        return submit(r, PREVIOUS, WRITE_CREATE, r->after);
    case RELAY_JOIN:
        return submit(r, PREVIOUS, WRITE_CHANGE, r->delta);
    case RELAY_BRING:
        return submit(r, NEXT,
                      record_is_whole(r->lacking) ? WRITE_CREATE : WRITE_CHANGE,
                      r->lacking);
    default:
        manager_write_release(&r->in);
        r->in.done = relay_done;
        manager_write_init(&r->in, WRITE_END, w->id, instant_of_repair(w->now));
        r->in.reason = r->end.reason;
        memcpy(r->in.new_id, r->end.new_id, ID_SIZE);
        return part_write(r->s->part[r->settle], &r->in);
    }
}

/* ---- what came back ---- */

static void settle(struct relay *r, int part)
{
    r->settle = part;
    r->step = RELAY_SETTLE;
}

static void take_ended(struct relay *r)
{
    r->end = r->in.ended;
    r->maybe |= r->in.maybe;
}

static void took_next(struct relay *r, enum rc rc)
{
    struct manager_write *in = &r->in;

    r->first = rc;
    if (rc == RC_OK) {
        take_in(&r->after, in->after, r->w->id);
        take_in(&r->before, in->before, r->w->id);
        if (in->delta && r->w->kind == WRITE_CHANGE)
            r->delta = record_ref(in->delta);
    } else if (rc == RC_ENDED) {
        take_ended(r);
        if (r->w->delta) /* it may go on under another id */
            r->delta = record_ref(r->w->delta);
    } else if (rc == RC_ABSENT) {
        if (r->w->delta)
            r->delta = record_ref(r->w->delta);
    } else if (rc == RC_CONFLICT) {
        take_in(&r->before, in->before, r->w->id);
    }
    bool ended = rc == RC_ENDED && is_final(&r->end) && !is_users(r);
    if (ended)
        settle(r, PREVIOUS);
    else if (rc == RC_OK || rc == RC_ENDED || rc == RC_ABSENT)
        r->step = RELAY_PREVIOUS;
    else
        relay_end(r, rc);
}

/* What the next one lacks of a user's list. */
static void compare_lists(struct relay *r, struct record *next)
{
    if (next && r->after)
        r->lacking = record_difference(next, r->after);
    if (r->lacking)
        r->step = RELAY_BRING;
    else
        relay_end(r, RC_OK);
}

/* Of a farewell each of both may be kept for another time, which the newer one
 * of them would hide: whoever leaves it is told the longer time as that before
 * the change, and the shorter one as that after it. */
static bool take_notes(struct relay *r)
{
    struct record *next = r->after, *previous = r->in.after;

    if (!next || !previous || !farewell_is(next) || !farewell_is(previous))
        return false;
    bool longer = record_number(previous, FIELD_MAX_INACTIVE) >
                  record_number(next, FIELD_MAX_INACTIVE);
    record_unref(&r->before);
    r->before = longer ? record_ref(previous) : next;
    r->after = longer ? next : record_ref(previous);
    return true;
}

static void previous_changed(struct relay *r)
{
    struct record *next = r->after ? r->after : r->w->record;

    next = next ? record_ref(next) : NULL;

    if (!take_notes(r))
        take_in(&r->after, r->in.after, r->w->id);
    if (r->first != RC_OK && r->after) {
        if (is_users(r)) {
            r->lacking = record_ref(r->after);
            r->step = RELAY_BRING;
        } else if (r->first == RC_ABSENT) {
            /* it was lost there, or has ended: the next find tells these
             * apart, and brings it */
            err_set(&r->in.err, RC_UNCERTAIN,
                    "the manager to which you change does not know it");
            relay_end(r, RC_UNCERTAIN);
        } else {
            relay_end(r, RC_OK); /* the next find brings it */
        }
    } else if (is_users(r)) {
        compare_lists(r, next);
    } else {
        relay_end(r, RC_OK);
    }
    record_unref(&next);
}

/* Somebody found that the next one had ended it, and saw to the previous one.
 */
static bool is_same_end(const struct relay *r)
{
    const struct record_end *end = &r->in.ended;

    if (r->w->kind != WRITE_END || r->first != RC_OK)
        return false;
    if (end->reason != r->w->reason)
        return end->reason == REASON_UNKNOWN;
    return end->reason != REASON_RENAMED || id_equal(end->new_id, r->w->new_id);
}

static void previous_ended(struct relay *r)
{
    struct record_end first = r->end;
    bool same = is_same_end(r);
    bool final = is_final(&r->in.ended) && !is_users(r);

    if (r->first == RC_OK && (!final || same)) {
        relay_end(r, RC_OK);
        return;
    }
    take_ended(r);
    if (r->first == RC_OK && r->w->kind == WRITE_CHANGE) {
        settle(r, NEXT);
        return;
    }
    if (r->first == RC_ENDED && !final)
        r->end = first;
    relay_end(r, RC_ENDED);
}

static void took_previous(struct relay *r, enum rc rc)
{
    bool begun = r->first == RC_OK;

    switch (rc) {
    case RC_OK:
        take_in(&r->before, r->in.before, r->w->id);
        if (r->w->kind == WRITE_CHANGE || r->w->kind == WRITE_CREATE)
            previous_changed(r);
        else
            relay_end(r, RC_OK);
        break;
    case RC_ABSENT:
        if (begun && r->after && record_kind(r->after) != RECORD_SESSION)
            r->step = RELAY_LIST;
        else
            relay_end(r, r->first);
        break;
    case RC_ENDED:
        previous_ended(r);
        break;
    case RC_CONFLICT:
        if (is_users(r) && r->w->kind == WRITE_CREATE) {
            r->delta = record_difference(NULL, r->own);
            r->step = RELAY_JOIN;
            break;
        }
        if (begun && is_note(r)) { /* what is there may be the longer one */
            relay_end(r, RC_CONFLICT);
            break;
        }
        if (r->w->kind == WRITE_END)
            take_in(&r->before, r->in.before, r->w->id);
        relay_end(r, begun ? RC_UNCERTAIN : rc);
        break;
    default:
        relay_end(r, begun && rc != RC_TOOBIG ? RC_UNCERTAIN : rc);
    }
}

/* Of a user's list whoever writes must see what others wrote before, in both:
 * else each of two may take itself for the only login. A session that somebody
 * else brought is the next find's. */
static void took_brought(struct relay *r, enum rc rc)
{
    if (rc == RC_CONFLICT && is_users(r) && record_is_whole(r->lacking)) {
        struct record *whole = r->lacking;
        r->lacking = record_difference(NULL, whole);
        record_unref(&whole);
        if (r->lacking)
            return;
        rc = RC_OK;
    }
    if (rc == RC_OK && is_users(r))
        take_in(&r->after, r->in.after, r->w->id);
    bool unknown = rc == RC_UNAVAILABLE || rc == RC_UNCERTAIN;
    relay_end(r, unknown ? RC_UNCERTAIN : RC_OK);
}

static void relay_take(struct relay *r, enum rc rc)
{
    switch (r->step) {
    case RELAY_NEXT:
        took_next(r, rc);
        break;
    case RELAY_PREVIOUS:
        took_previous(r, rc);
        break;
    case RELAY_LIST:
        if (rc == RC_CONFLICT)
            r->step = RELAY_JOIN;
        else
            relay_end(r, rc == RC_OK ? RC_OK : RC_UNCERTAIN);
        break;
    case RELAY_JOIN:
        if (rc == RC_OK)
            previous_changed(r);
        else
            relay_end(r, RC_UNCERTAIN);
        break;
    case RELAY_BRING:
        took_brought(r, rc);
        break;
    default: /* whether that was done or not: every find does it again */
        if (rc == RC_OK && r->settle == NEXT)
            tell_ended(r->s, &r->in, r->w->now);
        relay_end(r, RC_ENDED);
    }
}

/* ---- turning ---- */

static bool relay_turn(struct relay *r)
{
    while (r->step != RELAY_DONE) {
        enum rc rc = relay_submit(r);
        if (rc == RC_PENDING)
            return false;
        relay_take(r, rc);
    }
    return true;
}

static enum rc relay_finish(struct relay *r)
{
    struct manager_write *w = r->w;
    enum rc rc = w->rc;

    if (rc == RC_OK ||
        (w->kind == WRITE_END && (rc == RC_UNCERTAIN || rc == RC_CONFLICT))) {
        w->before = r->before;
        w->after = r->after;
        r->before = r->after = NULL;
    }
    if (!w->delta && r->delta && w->kind == WRITE_CHANGE &&
        id_equal(record_id(r->delta), w->id)) {
        w->delta = r->delta;
        r->delta = NULL;
    }
    manager_write_release(&r->in);
    record_unref(&r->own);
    record_unref(&r->delta);
    record_unref(&r->lacking);
    record_unref(&r->before);
    record_unref(&r->after);
    free(r);
    return rc;
}

static void relay_done(struct manager_write *in)
{
    struct relay *r = (struct relay *)in;
    struct manager_write *w = r->w;

    relay_take(r, in->rc);
    if (!relay_turn(r))
        return;
    relay_finish(r);
    w->done(w);
}

enum rc succession_write(struct manager *m, struct manager_write *w)
{
    struct relay *r = mem_zero(sizeof *r);

    assert(w->kind != WRITE_IDLE_END); /* that is a part's: succession_due.c */
    r->s = succession_of(m);
    r->w = w;
    return relay_turn(r) ? relay_finish(r) : RC_PENDING;
}
