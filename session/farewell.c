/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/farewell.h"

#include <string.h>

/* The other copy may be more patient by its own accessInterval, and is asked
 * for by clocks that are not this one. */
#define LONGER_SECONDS 3600
/* Where the session may be idle for ever. */
#define LONGEST_SECONDS (30 * 24 * 3600)

static const char name[] = "ended";
#define NAME_LEN (sizeof name - 1)

bool farewell_is_due(const struct manager_write *w)
{
    bool ended = w->rc == RC_OK || w->rc == RC_UNCERTAIN;

    return w->kind == WRITE_END && ended && w->before &&
           record_kind(w->before) == RECORD_SESSION &&
           record_number(w->before, FIELD_BOTH) != 0;
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

struct record *farewell_new(const struct manager *m, struct record *ended,
                            struct instant now)
{
    struct value yes = {.type = VALUE_BOOL, .truth = true};
    struct value keep = {.type = VALUE_INT, .number = keep_seconds(m, ended)};
    struct changes changes;
    uint8_t id[ID_SIZE];

    farewell_id(record_id(ended), id);
    changes_init(&changes);
    changes_set(&changes, key_name(name, NAME_LEN), &yes);
    changes_set(&changes, key_field(FIELD_MAX_INACTIVE), &keep);
    struct record *r =
        record_new(RECORD_USER, id, now.wall, &changes, manager_writer(m, id));
    changes_release(&changes);
    return r;
}
