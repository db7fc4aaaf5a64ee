/* SPDX-License-Identifier: Apache-2.0
 *
 * What managers share: one entry of the table, looked at and written to. */
#include "config.h"

#include "session/farewell.h"
#include "session/manager_counters.h"
#include "session/manager_impl.h"

#include <assert.h>
#include <string.h>

/* Clocks of one machine are read a little apart; the smallest accessInterval
 * is a second, so a really later access is later by more than this. */
#define ACCESS_TOLERANCE_MS 1000

uint64_t manager_writer(const struct manager *m, const uint8_t id[ID_SIZE])
{
    uint64_t low;
    memcpy(&low, id, sizeof low);
    return m->env.node_number ^ low;
}

void manager_write_init(struct manager_write *w, enum write_kind kind,
                        const uint8_t id[ID_SIZE], struct instant now)
{
    memset(&w->kind, 0,
           offsetof(struct manager_write, err) -
               offsetof(struct manager_write, kind));
    w->err.text[0] = 0;
    w->kind = kind;
    w->now = now;
    memcpy(w->id, id, ID_SIZE);
}

void manager_write_release(struct manager_write *w)
{
    record_unref(&w->delta);
    record_unref(&w->before);
    record_unref(&w->after);
}

int64_t manager_grace(const struct manager *m, int64_t max_inactive)
{
    int64_t own = manager_own_grace_ms(&m->common, max_inactive);

    return own < m->grace_ms ? own : m->grace_ms;
}

/* A record's own limit is looked up only where it matters. */
bool manager_tells_access(const struct manager *m, const struct record *record,
                          int64_t told_ago)
{
    if (told_ago < ACCESS_TOLERANCE_MS || told_ago >= m->grace_ms)
        return told_ago >= m->grace_ms;
    return told_ago >=
           manager_grace(m, record_number(record, FIELD_MAX_INACTIVE));
}

/* Longer than 30,000 years is never, and does not overflow. */
static bool is_limit(int64_t seconds)
{
    return seconds > 0 && seconds < 1000000000000;
}

int64_t manager_due(const struct manager *m, const struct record_life *life,
                    int64_t access_mono, struct instant now,
                    enum reason *reason)
{
    int64_t due = INT64_MAX;

    *reason = REASON_IDLE;
    if (is_limit(life->max_inactive))
        due = access_mono + life->max_inactive * 1000 +
              manager_grace(m, life->max_inactive);
    if (is_limit(life->max_lifetime)) {
        int64_t left = life->birth + life->max_lifetime * 1000 - now.wall;
        if (now.mono + left < due) {
            due = now.mono + left;
            *reason = REASON_LIFETIME;
        }
    }
    return due;
}

bool manager_idle_end_holds(const struct record_life *life, int64_t access_mono,
                            struct instant now)
{
    return life->idle_ended && instant_wall_of(now, access_mono) <=
                                   life->idle_access + ACCESS_TOLERANCE_MS;
}

/* idle: an idle end holds */
static enum rc liveness(const struct manager *m, const struct record *record,
                        const struct record_life *life, bool idle,
                        int64_t access_mono, struct instant now,
                        struct record_end *end)
{
    enum reason reason;

    if (life->ended) {
        record_ended(record, end);
        return RC_ENDED;
    }
    if (idle) {
        *end = (struct record_end){.reason = REASON_IDLE};
        return RC_ENDED;
    }
    if (manager_due(m, life, access_mono, now, &reason) > now.mono)
        return RC_OK;
    *end = (struct record_end){.reason = reason};
    return RC_ENDED;
}

enum rc manager_liveness(const struct manager *m, const struct record *record,
                         int64_t access_mono, struct instant now,
                         struct record_end *end)
{
    struct record_life life;

    record_life(record, &life);
    return liveness(m, record, &life,
                    manager_idle_end_holds(&life, access_mono, now),
                    access_mono, now, end);
}

enum rc manager_entry_liveness(const struct manager *m,
                               const struct entry *entry,
                               const struct record *shown, struct instant now,
                               struct record_end *end)
{
    struct record_life life;

    record_life(shown, &life);
    bool idle = m->ops->flags & MANAGER_AGES
                    ? entry->idle
                    : manager_idle_end_holds(&life, entry->access, now);
    return liveness(m, shown, &life, idle, entry->access, now, end);
}

/* The access of which a write tells. */
static int64_t access_of(const struct manager_write *w)
{
    return w->access ? w->access : w->now.mono;
}

/* The access of a change may be later than the idle end and beat it. before:
 * the last access of which the entry knew. */
static bool beats_idle_end(const struct manager *m, const struct entry *entry,
                           int64_t before, const struct manager_write *w)
{
    struct record_life life;

    if (m->ops->flags & MANAGER_AGES)
        return access_of(w) > before + ACCESS_TOLERANCE_MS;
    record_life(entry->record, &life);
    return !manager_idle_end_holds(&life, entry->access, w->now);
}

static void revive(struct manager *m, struct table_stripe *stripe,
                   struct entry *entry, struct instant now)
{
    table_set_idle(stripe, entry, false);
    manager_arm(m, stripe, entry, now);
}

enum rc manager_find_entry(struct manager *m, struct table_stripe *stripe,
                           struct entry *entry, struct record *shown,
                           struct find_op *op)
{
    struct record_end end;

    if (manager_entry_liveness(m, entry, shown, op->now, &end) != RC_OK) {
        op->reason = end.reason;
        memcpy(op->new_id, end.new_id, ID_SIZE);
        return RC_ABSENT;
    }
    op->last_access = instant_wall_of(op->now, entry->access);
    if (entry->idle)
        revive(m, stripe, entry, op->now);
    if (!op->peek && entry->access < op->now.mono)
        entry->access = op->now.mono;
    op->record = record_ref(shown);
    return RC_OK;
}

enum rc manager_find_local(struct manager *m, struct find_op *op)
{
    struct table_stripe *stripe = table_lock(m->table, op->id);
    struct entry *entry = table_find(stripe, op->id);
    enum rc rc = RC_ABSENT;

    op->reason = REASON_UNKNOWN;
    if (entry)
        rc = manager_find_entry(m, stripe, entry, entry->record, op);
    table_unlock(stripe);
    return rc;
}

void manager_arm(struct manager *m, struct table_stripe *stripe,
                 struct entry *entry, struct instant now)
{
    struct record_life life;
    enum reason reason;
    record_life(entry->record, &life);
    int64_t due = manager_due(m, &life, entry->access, now, &reason);
    if (due != INT64_MAX)
        table_arm(stripe, entry, due);
}

static bool changes_limits(const struct record *delta)
{
    return record_get(delta, key_field(FIELD_MAX_INACTIVE)).type ||
           record_get(delta, key_field(FIELD_MAX_LIFETIME)).type;
}

static void entry_merge(struct table_stripe *stripe, struct entry *entry,
                        struct record *delta)
{
    table_replace(stripe, entry, record_merge(entry->record, delta));
}

/* Requests at the same time know nothing of one another, and each may bring as
 * much as a session may hold. All of it together has to fit into a frame and
 * into a store's row (RECORD_MAX_BYTES), also where other members do the same
 * at the same time; what merges there cannot be refused any more. */
#define CROWD 16
#define CROWD_MAX (12u << 20)

static size_t crowd_limit(const struct manager *m)
{
    size_t limit = (size_t)m->common.max_session_bytes * CROWD;
    return limit < CROWD_MAX ? limit : CROWD_MAX;
}

/* Is it one of those that the limit is for (may_put in session.c), by what
 * stands here now? What makes it no larger is done, and so are logins and what
 * managers note. */
static bool enlarges(const struct changes *changes, const struct record *old)
{
    bool larger = false;

    for (const struct change *c = changes->first; c && !larger; c = c->next) {
        struct value was = record_get(old, c->key);
        larger =
            c->key.name && c->kind != CHANGE_REMOVE &&
            value_is_larger(&was, value_room(&c->value), c->kind == CHANGE_ADD);
    }
    return larger;
}

static enum rc check_crowd(const struct manager *m, const struct record *old,
                           const struct record *merged, struct manager_write *w)
{
    size_t limit = crowd_limit(m);

    if (merged->len <= limit || merged->len <= old->len ||
        record_kind(old) != RECORD_SESSION || !enlarges(w->changes, old))
        return RC_OK;
    return err_set(&w->err, RC_TOOBIG,
                   "with what other requests brought meanwhile the session "
                   "would have %u bytes; with maxSessionBytes=\"%lld\" %zu are "
                   "possible",
                   merged->len, (long long)m->common.max_session_bytes, limit);
}

static int64_t stamp_of(const struct manager_write *w)
{
    return w->now.wall > w->seen ? w->now.wall : w->seen + 1;
}

/* Where nobody else is to hear of it, the delta need not be written out. */
static enum rc apply_here(struct manager *m, struct table_stripe *stripe,
                          struct entry *entry, struct manager_write *w)
{
    struct record *merged = record_apply(entry->record, w->changes, stamp_of(w),
                                         manager_writer(m, w->id));
    enum rc rc = check_crowd(m, entry->record, merged, w);

    if (rc != RC_OK) {
        record_unref(&merged);
        return rc;
    }
    table_replace(stripe, entry, merged);
    if (changes_find(w->changes, key_field(FIELD_MAX_INACTIVE)) ||
        changes_find(w->changes, key_field(FIELD_MAX_LIFETIME)))
        manager_arm(m, stripe, entry, w->now);
    return RC_OK;
}

static enum rc apply_delta(struct manager *m, struct table_stripe *stripe,
                           struct entry *entry, struct manager_write *w)
{
    bool made = !w->delta; /* else it may stand somewhere already */

    if (made)
        w->delta =
            record_delta(entry->record, w->changes, stamp_of(w),
                         w->writer ? w->writer : manager_writer(m, w->id));
    if (!w->delta)
        return RC_OK;
    struct record *merged = record_merge(entry->record, w->delta);
    enum rc rc = made ? check_crowd(m, entry->record, merged, w) : RC_OK;
    if (rc != RC_OK) {
        record_unref(&merged);
        record_unref(&w->delta);
        return rc;
    }
    table_replace(stripe, entry, merged);
    if (changes_limits(w->delta))
        manager_arm(m, stripe, entry, w->now);
    return RC_OK;
}

static enum rc apply_change(struct manager *m, struct table_stripe *stripe,
                            struct entry *entry, struct manager_write *w)
{
    bool here = (m->ops->flags & MANAGER_LOCAL) && !w->delta;
    int64_t before = entry->access;

    if (entry->access < access_of(w))
        entry->access = access_of(w);
    if (entry->idle && !beats_idle_end(m, entry, before, w)) {
        w->ended = (struct record_end){.reason = REASON_IDLE};
        return RC_ENDED;
    }
    if (entry->idle)
        revive(m, stripe, entry, w->now);
    enum rc rc = here ? apply_here(m, stripe, entry, w)
                      : apply_delta(m, stripe, entry, w);
    if (rc == RC_OK)
        w->after = record_ref(entry->record);
    return rc;
}

static enum rc apply_end(struct manager *m, struct table_stripe *stripe,
                         struct entry *entry, struct manager_write *w)
{
    const uint8_t *new_id = w->reason == REASON_RENAMED ? w->new_id : NULL;

    record_unref(&w->before);
    w->before = record_ref(entry->record);
    if (w->unmarked && farewell_is_due(entry->record))
        return RC_CONFLICT;
    if (!w->delta)
        w->delta = record_end_delta(entry->record, w->reason, new_id,
                                    w->now.wall, manager_writer(m, w->id));
    entry_merge(stripe, entry, w->delta);
    entry->access = w->now.mono;
    table_arm(stripe, entry, w->now.mono + m->keep_ended_ms);
    return RC_OK;
}

static enum rc apply_idle_end(struct manager *m, struct table_stripe *stripe,
                              struct entry *entry, struct manager_write *w)
{
    struct changes changes;
    struct record_life life;
    enum reason reason;
    struct value access = {
        .type = VALUE_INT,
        .number = instant_wall_of(w->now, entry->access),
    };

    record_life(entry->record, &life);
    if (manager_due(m, &life, entry->access, w->now, &reason) > w->now.mono)
        return RC_CONFLICT;
    changes_init(&changes);
    changes_set(&changes, key_field(FIELD_IDLE_END), &access);
    w->before = record_ref(entry->record);
    w->delta = record_delta(entry->record, &changes, w->now.wall,
                            manager_writer(m, w->id));
    changes_release(&changes);
    entry_merge(stripe, entry, w->delta);
    table_set_idle(stripe, entry, true);
    table_arm(stripe, entry, w->now.mono + m->keep_ended_ms);
    return RC_OK;
}

static enum rc apply_create(struct manager *m, struct table_stripe *stripe,
                            struct manager_write *w, struct entry **inserted)
{
    assert(record_is_whole(w->record));
    struct entry *entry =
        table_insert(stripe, record_ref(w->record), access_of(w));
    manager_arm(m, stripe, entry, w->now);
    if (inserted)
        *inserted = entry;
    return RC_OK;
}

enum rc manager_apply(struct manager *m, struct table_stripe *stripe,
                      struct entry *entry, struct manager_write *w,
                      struct entry **inserted)
{
    if (w->kind == WRITE_CREATE)
        return apply_create(m, stripe, w, inserted);
    if (record_ended(entry->record, &w->ended)) {
        if (w->kind == WRITE_CHANGE)
            count_one(&m->counters->revivals_refused);
        return RC_ENDED;
    }
    if (entry->idle && w->kind == WRITE_IDLE_END) {
        w->ended = (struct record_end){.reason = REASON_IDLE};
        return RC_ENDED;
    }
    switch (w->kind) {
    case WRITE_CHANGE:
        return apply_change(m, stripe, entry, w);
    case WRITE_END:
        return apply_end(m, stripe, entry, w);
    default:
        return apply_idle_end(m, stripe, entry, w);
    }
}

enum rc manager_write_local(struct manager *m, struct manager_write *w)
{
    struct table_stripe *stripe = table_lock(m->table, w->id);
    struct entry *entry = table_find(stripe, w->id);
    enum rc rc;

    if (w->kind == WRITE_CREATE && entry)
        rc = RC_CONFLICT;
    else if (w->kind != WRITE_CREATE && !entry)
        rc = RC_ABSENT;
    else
        rc = manager_apply(m, stripe, entry, w, NULL);
    table_unlock(stripe);
    return rc;
}
