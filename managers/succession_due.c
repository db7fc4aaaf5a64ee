/* SPDX-License-Identifier: Apache-2.0
 *
 * A session is due in one of the parts. The other one is asked, since it may
 * know of a later use; where both agree it is ended in both, the next one
 * first, and told once. */
#include "config.h"

#include "managers/succession.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* The previous one leaves an end to the next one for so long. */
#define OVERDUE_MS 30000
/* Who ended it in the next one ends it in the previous one as well, unless it
 * died in between. */
#define ABANDONED_MS 300000

enum due_step { DUE_LOOK, DUE_NEXT, DUE_PREVIOUS, DUE_DONE };

struct due {
    struct manager_write w; /* first */
    struct succession *s;
    struct find_op look;
    enum due_step step;
    enum reason reason;
    uint8_t id[ID_SIZE];
    struct instant now;
    bool quietly;          /* an end that was told before, */
    bool abandoned;        /* by somebody who did not come to its end */
    bool ended;            /* the next one ended it */
    struct record *before; /* what the ends replaced */
};

static void due_done(struct manager_write *w);
static void due_looked(struct find_op *op);

static enum rc submit_end(struct due *d, int part)
{
    enum write_kind kind =
        d->reason == REASON_IDLE ? WRITE_IDLE_END : WRITE_END;

    manager_write_release(&d->w);
    d->w.done = due_done;
    manager_write_init(&d->w, kind, d->id, d->now);
    d->w.reason = d->reason;
    return part_write(d->s->part[part], &d->w);
}

static enum rc submit_look(struct due *d)
{
    d->look = (struct find_op){
        .done = due_looked, .now = d->now, .peek = true, .user_data = d};
    memcpy(d->look.id, d->id, ID_SIZE);
    return manager_find(&d->s->base, &d->look);
}

static enum rc due_submit(struct due *d)
{
    if (d->step == DUE_LOOK)
        return submit_look(d);
    return submit_end(d, d->step == DUE_NEXT ? NEXT : PREVIOUS);
}

static void take_before(struct due *d)
{
    if (!d->w.before)
        return;
    struct record *both = d->before ? record_merge(d->before, d->w.before)
                                    : record_ref(d->w.before);
    record_unref(&d->before);
    d->before = both;
}

static void took_next(struct due *d, enum rc rc)
{
    d->step = DUE_DONE;
    if (rc == RC_OK) {
        take_before(d);
        d->ended = d->before != NULL;
        if (d->ended)
            d->step = DUE_PREVIOUS;
    } else if (rc == RC_ABSENT || (rc == RC_ENDED && d->abandoned)) {
        d->step = DUE_PREVIOUS;
    }
}

/* Where somebody had ended it in the previous one alone, and told so, that was
 * an instance which does not know the next one. */
static void took_previous(struct due *d, enum rc rc)
{
    bool known = rc == RC_OK || (rc == RC_ABSENT && d->ended);

    d->step = DUE_DONE;
    if (rc == RC_OK)
        take_before(d);
    if (known && d->before && !(d->quietly && !d->ended))
        manager_tell_end(&d->s->base, d->before, d->reason, d->now);
}

/* What was used later, somewhere, is alive again everywhere by the look. */
static void due_take(struct due *d, enum rc rc)
{
    switch (d->step) {
    case DUE_LOOK:
        record_unref(&d->look.record);
        d->step = rc == RC_ABSENT ? DUE_NEXT : DUE_DONE;
        break;
    case DUE_NEXT:
        took_next(d, rc);
        break;
    default:
        took_previous(d, rc);
    }
}

static void due_turn(struct due *d)
{
    while (d->step != DUE_DONE) {
        enum rc rc = due_submit(d);
        if (rc == RC_PENDING)
            return;
        due_take(d, rc);
    }
    manager_write_release(&d->w);
    record_unref(&d->before);
    free(d);
}

static void due_done(struct manager_write *w)
{
    struct due *d = (struct due *)w;

    due_take(d, w->rc);
    due_turn(d);
}

static void due_looked(struct find_op *op)
{
    struct due *d = op->user_data;

    due_take(d, op->rc);
    due_turn(d);
}

/* Has the next one, whose part it is where it has the session, not seen to it?
 */
static bool is_overdue(struct manager *part, const uint8_t id[ID_SIZE],
                       struct instant now, int64_t by_ms)
{
    struct table_stripe *stripe = table_lock(part->table, id);
    struct entry *e = table_find(stripe, id);
    struct record_life life;
    enum reason reason;
    bool overdue = true;

    if (e) {
        record_life(e->record, &life);
        overdue = now.mono - by_ms >=
                  manager_due(part, &life, e->access, now, &reason);
    }
    table_unlock(stripe);
    return overdue;
}

void succession_part_due(struct manager *m, struct manager *part,
                         const uint8_t id[ID_SIZE], enum reason reason,
                         struct instant now)
{
    struct succession *s = succession_of(m);
    bool previous = part == s->part[PREVIOUS];
    bool timed = reason == REASON_IDLE || reason == REASON_LIFETIME;

    /* else it is due again, soon */
    if (!mark_of(s, id) ||
        (previous && timed && !is_overdue(part, id, now, OVERDUE_MS)))
        return;
    struct due *d = mem_zero(sizeof *d);
    d->s = s;
    d->reason = reason;
    d->now = now;
    memcpy(d->id, id, ID_SIZE);
    d->quietly = previous;
    d->abandoned = previous && is_overdue(part, id, now, ABANDONED_MS);
    d->step = timed ? DUE_LOOK : DUE_NEXT;
    due_turn(d);
}
