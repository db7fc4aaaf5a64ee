/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/farewell.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* The other copy may be more patient by its own accessInterval, and is asked
 * for by clocks that are not this one. */
#define LONGER_SECONDS 3600
/* Where the session may be idle for ever. */
#define LONGEST_SECONDS (30 * 24 * 3600)

static const char name[] = "ended";
#define NAME_LEN (sizeof name - 1)

bool farewell_is_due(const struct record *record)
{
    return record_kind(record) == RECORD_SESSION &&
           record_number(record, FIELD_BOTH) != 0;
}

bool farewell_is_missed(const struct manager_write *w)
{
    bool ended = w->rc == RC_OK || w->rc == RC_UNCERTAIN;

    return w->kind == WRITE_END && ended && w->before &&
           farewell_is_due(w->before);
}

/* As users' keys are (UUID version 5), so that nobody takes it for a
 * session's: of what is random in one, nothing else is lost. */
void farewell_id(const uint8_t id[ID_SIZE], uint8_t out[ID_SIZE])
{
    memcpy(out, id, ID_SIZE);
    out[6] = (uint8_t)(0x50 | (id[6] & 0x0f));
}

bool farewell_is(const struct record *record)
{
    return record_kind(record) == RECORD_USER &&
           record_attribute(record, name, NAME_LEN).type == VALUE_BOOL;
}

/* Somebody may have shortened it a moment ago. */
static int64_t keep_seconds(const struct manager *m, const struct record *ended)
{
    int64_t idle = record_number(ended, FIELD_MAX_INACTIVE);
    int64_t usual = m->common.max_inactive;

    if (idle <= 0 || usual <= 0 || idle > LONGEST_SECONDS ||
        usual > LONGEST_SECONDS)
        return LONGEST_SECONDS;
    return (idle > usual ? idle : usual) + LONGER_SECONDS;
}

static struct record *farewell_new(const struct manager *m,
                                   const uint8_t of[ID_SIZE], int64_t seconds,
                                   struct instant now)
{
    struct value yes = {.type = VALUE_BOOL, .truth = true};
    struct value keep = {.type = VALUE_INT, .number = seconds};
    struct changes changes;
    uint8_t id[ID_SIZE];

    farewell_id(of, id);
    changes_init(&changes);
    changes_set(&changes, key_name(name, NAME_LEN), &yes);
    changes_set(&changes, key_field(FIELD_MAX_INACTIVE), &keep);
    struct record *r =
        record_new(RECORD_USER, id, now.wall, &changes, manager_writer(m, id));
    changes_release(&changes);
    return r;
}

struct record *farewell_ahead(const struct manager *m,
                              const uint8_t id[ID_SIZE], struct instant now)
{
    return farewell_new(m, id, LONGEST_SECONDS, now);
}

static enum rc leave_again(struct farewell *f)
{
    struct instant now = f->w.now;

    manager_write_release(&f->w);
    manager_write_init(&f->w, WRITE_CHANGE, record_id(f->record), now);
    f->w.changes = &f->again;
    return f->m->ops->write(f->m, &f->w);
}

/* The one that is there was left when the session might idle for less or, where
 * two managers have one each, one of them was. 0: it is kept as long. */
static int64_t longer_time(const struct farewell *f)
{
    int64_t longest = record_number(f->record, FIELD_MAX_INACTIVE);

    if (f->w.kind != WRITE_CHANGE || !f->w.after)
        return 0;
    if (f->w.before && record_number(f->w.before, FIELD_MAX_INACTIVE) > longest)
        longest = record_number(f->w.before, FIELD_MAX_INACTIVE);
    return record_number(f->w.after, FIELD_MAX_INACTIVE) < longest ? longest
                                                                   : 0;
}

/* There is one, or somebody is about to write it, or tried to: it is written
 * once more, so that the answer says that it is kept; for the longer of both
 * times. */
static enum rc leave_turn(struct farewell *f, enum rc rc)
{
    struct value yes = {.type = VALUE_BOOL, .truth = true};
    struct value keep = {.type = VALUE_INT};

    if (rc == RC_CONFLICT && f->w.kind == WRITE_CREATE) {
        changes_set(&f->again, key_name(name, NAME_LEN), &yes);
        rc = leave_again(f);
    }
    if (rc == RC_OK)
        keep.number = longer_time(f);
    if (rc == RC_OK && keep.number > 0) {
        changes_set(&f->again, key_field(FIELD_MAX_INACTIVE), &keep);
        rc = leave_again(f);
    }
    return rc;
}

static void left(struct manager_write *w)
{
    struct farewell *f = (struct farewell *)w;
    enum rc rc = leave_turn(f, w->rc);

    if (rc != RC_PENDING)
        f->done(f, rc);
}

enum rc farewell_leave(struct farewell *f, struct manager *m,
                       struct record *ended, const uint8_t id[ID_SIZE],
                       struct instant now)
{
    f->m = m;
    f->record = farewell_new(m, id, keep_seconds(m, ended), now);
    changes_init(&f->again);
    f->w.done = left;
    manager_write_init(&f->w, WRITE_CREATE, record_id(f->record), now);
    f->w.record = f->record;
    enum rc rc = m->ops->write(m, &f->w);
    return rc == RC_PENDING ? rc : leave_turn(f, rc);
}

void farewell_release(struct farewell *f)
{
    manager_write_release(&f->w);
    changes_release(&f->again);
    record_unref(&f->record);
}

static void sent(struct farewell *f, enum rc rc)
{
    (void)rc;
    farewell_release(f);
    free(f);
}

void farewell_send(struct manager *m, struct record *ended, struct instant now)
{
    struct farewell *f = mem_zero(sizeof *f);

    f->done = sent;
    enum rc rc = farewell_leave(f, m, ended, record_id(ended), now);
    if (rc != RC_PENDING)
        sent(f, rc);
}
