/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/session.h"

#include "session/aside.h"
#include "session/buf.h"
#include "session/manager_impl.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SECONDS 315360000 /* ten years; more is a mistake */
#define MAX_AMOUNT ((int64_t)1 << 53)
#define MAX_HOPS 8 /* new ids that an end follows */

const uint8_t *session_id(const struct session *s)
{
    return s->renaming ? s->next_id : s->id;
}

bool session_is_live(const struct session *s)
{
    return s->state == SESSION_LIVE || s->state == SESSION_ENDING;
}

/* ---- reading: the snapshot under the request's own changes ---- */

/* An attribute is either of the record, or stays here. */
struct side {
    const struct record *record;   /* NULL: nothing */
    const struct changes *changes; /* NULL: none */
};

static bool stays_here(const struct session *s, struct key key)
{
    const struct asides *asides = s->manager->asides;

    return asides && key.name && aside_is(asides, key.name, key.len);
}

static struct side side_of(const struct session *s, struct key key)
{
    if (!stays_here(s, key))
        return (struct side){s->record, &s->changes};
    if (!s->aside)
        return (struct side){NULL, NULL};
    return (struct side){s->aside->record, &s->aside->changes};
}

/* The changes that the attribute's change belongs to. */
static struct changes *changes_of(struct session *s, struct key key)
{
    if (!stays_here(s, key))
        return &s->changes;
    if (!s->aside)
        s->aside = aside_new();
    return &s->aside->changes;
}

static struct value stored(struct side side, struct key key)
{
    if (!side.record)
        return (struct value){.type = VALUE_NONE};
    return record_get(side.record, key);
}

static struct value view(const struct session *s, struct key key)
{
    struct side side = side_of(s, key);
    const struct change *c =
        side.changes ? changes_find(side.changes, key) : NULL;

    if (!c)
        return stored(side, key);
    if (c->kind != CHANGE_ADD)
        return c->value;
    struct value v = stored(side, key);
    v.type = VALUE_COUNTER;
    v.number = (int64_t)((uint64_t)v.number + c->plus - c->minus);
    return v;
}

/* Strings in a record have no 0 behind them; a copy in the request has. */
static struct value ended_by_0(const struct session *s, struct value v)
{
    struct changes *keep = (struct changes *)&s->changes;
    if (v.type == VALUE_STRING)
        v.data = changes_keep(keep, v.data, v.len);
    return v;
}

struct value session_get(const struct session *s, const char *name)
{
    if (!session_is_live(s) || !name)
        return (struct value){.type = VALUE_NONE};
    return ended_by_0(s, view(s, key_name(name, strlen(name))));
}

static int64_t number(const struct session *s, enum record_field field)
{
    struct value v = view(s, key_field(field));
    return v.type == VALUE_INT ? v.number : 0;
}

const char *session_user(const struct session *s)
{
    struct value v = ended_by_0(s, view(s, key_field(FIELD_USER)));
    return v.type == VALUE_STRING ? v.data : NULL;
}

int64_t session_max_inactive(const struct session *s)
{
    return number(s, FIELD_MAX_INACTIVE);
}

int64_t session_max_lifetime(const struct session *s)
{
    return number(s, FIELD_MAX_LIFETIME);
}

void session_others(const struct session *s, struct record_others *out)
{
    record_others(s->record, manager_writer(s->manager, s->id), out);
}

struct row {
    struct key key;
    struct value value;
};
struct rows {
    const struct asides *hide; /* what would stay here is not seen */
    struct row *items;
    size_t count, cap;
};

static void rows_add(struct rows *r, struct key key, struct value value)
{
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 16;
        r->items = mem_resize(r->items, r->cap * sizeof *r->items);
    }
    r->items[r->count++] = (struct row){key, value};
}

static void add_stored(void *user, struct key key, const struct value *value,
                       int64_t stamp)
{
    struct rows *rows = user;

    (void)stamp;
    if (key.name && !aside_is(rows->hide, key.name, key.len))
        rows_add(rows, key, *value);
}

static void add_side(struct rows *rows, struct side side)
{
    if (side.record)
        record_each(side.record, add_stored, rows);
    for (const struct change *c = side.changes->first; c; c = c->next)
        if (c->key.name && stored(side, c->key).type == VALUE_NONE)
            rows_add(rows, c->key, c->value);
}

static int by_key(const void *a, const void *b)
{
    return key_compare(((const struct row *)a)->key,
                       ((const struct row *)b)->key);
}

static void rows_collect(const struct session *s, struct rows *rows)
{
    *rows = (struct rows){.hide = s->manager->asides};
    add_side(rows, (struct side){s->record, &s->changes});
    rows->hide = NULL;
    if (s->aside)
        add_side(rows, (struct side){s->aside->record, &s->aside->changes});
    if (rows->count)
        qsort(rows->items, rows->count, sizeof *rows->items, by_key);
}

void session_each(const struct session *s,
                  void (*each)(void *user, const char *name,
                               const struct value *value),
                  void *user)
{
    struct changes *keep = (struct changes *)&s->changes;
    struct rows rows;

    if (!session_is_live(s))
        return;
    rows_collect(s, &rows);
    for (size_t i = 0; i < rows.count; i++) {
        struct key key = rows.items[i].key;
        struct value v = ended_by_0(s, view(s, key));
        if (v.type != VALUE_NONE)
            each(user, changes_keep(keep, key.name, key.len), &v);
    }
    free(rows.items);
}

/* ---- changing ---- */

static enum rc may_change(const struct session *s, struct err *err)
{
    if (!session_is_live(s))
        return err_set(err, RC_ILLEGAL, "the session has ended");
    if (s->read_only)
        return err_set(err, RC_ILLEGAL,
                       "the mapping says session=\"read\"; changes need "
                       "session=\"write\"");
    return RC_OK;
}

static size_t aside_bytes(const struct aside *aside)
{
    if (!aside)
        return 0;
    return (aside->record ? aside->record->len : 0) + aside->changes.bytes;
}

static enum rc may_grow(const struct session *s, const char *name, size_t len,
                        struct err *err)
{
    size_t limit = (size_t)s->manager->common.max_session_bytes;
    size_t size = (s->record ? s->record->len : 64) + s->changes.bytes +
                  aside_bytes(s->aside) + strlen(name) + len + 16;
    if (size > limit)
        return err_set(err, RC_TOOBIG,
                       "the session would have %zu bytes; maxSessionBytes is "
                       "%zu",
                       size, limit);
    return RC_OK;
}

/* What makes the session no larger is never refused: requests at the same time
 * may have brought it over its limit, and it must still be of use.
 * add: a counter goes on. *old: what the attribute is now. */
static enum rc may_put(const struct session *s, const char *name, size_t len,
                       bool add, struct value *old, struct err *err)
{
    enum rc rc = may_change(s, err);
    if (rc != RC_OK)
        return rc;
    if (!name || !*name)
        return err_set(err, RC_INVALID, "an attribute needs a name");
    *old = view(s, key_name(name, strlen(name)));
    return value_is_larger(old, len, add) ? may_grow(s, name, len, err) : RC_OK;
}

typedef void attribute_fn(void *user, struct session *s, const char *name);

static void tell(struct session *s, attribute_fn *listener, const char *name,
                 struct value old)
{
    if (!listener)
        return;
    s->event_old = ended_by_0(s, old);
    listener(s->manager->env.listeners.user, s, name);
    s->event_old = (struct value){.type = VALUE_NONE};
}

static bool value_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
    case VALUE_DOUBLE:
        return memcmp(&a->real, &b->real, sizeof a->real) == 0;
    case VALUE_BOOL:
        return a->truth == b->truth;
    default:
        return a->number == b->number;
    }
}

static void tell_put(struct session *s, const char *name, struct value old,
                     const struct value *value)
{
    const struct session_listeners *l = &s->manager->env.listeners;

    if (old.type == VALUE_NONE)
        tell(s, l->attribute_added, name, old);
    else if (s->manager->common.notify_attribute_listener_on_unchanged_value ||
             !value_equal(&old, value))
        tell(s, l->attribute_replaced, name, old);
}

enum rc session_set(struct session *s, const char *name,
                    const struct value *value, struct err *err)
{
    if (!value || value->type == VALUE_NONE)
        return session_remove(s, name, err);
    struct value old;
    enum rc rc = may_put(s, name, value_room(value), false, &old, err);
    if (rc != RC_OK)
        return rc;
    struct key key = key_name(name, strlen(name));
    changes_set(changes_of(s, key), key, value);
    tell_put(s, name, old, value);
    return RC_OK;
}

enum rc session_remove(struct session *s, const char *name, struct err *err)
{
    enum rc rc = may_change(s, err);
    if (rc != RC_OK)
        return rc;
    if (!name || !*name)
        return err_set(err, RC_INVALID, "an attribute needs a name");
    struct key key = key_name(name, strlen(name));
    struct value old = view(s, key);
    if (old.type == VALUE_NONE)
        return RC_OK;
    changes_remove(changes_of(s, key), key);
    tell(s, s->manager->env.listeners.attribute_removed, name, old);
    return RC_OK;
}

enum rc session_add(struct session *s, const char *name, int64_t amount,
                    int64_t *value, struct err *err)
{
    struct value old;
    enum rc rc = may_put(s, name, 32, true, &old, err);
    if (rc != RC_OK)
        return rc;
    if (amount > MAX_AMOUNT || amount < -MAX_AMOUNT)
        return err_set(err, RC_INVALID, "at most 2^53 can be added at once");
    if (old.type != VALUE_NONE && old.type != VALUE_COUNTER)
        return err_set(err, RC_INVALID,
                       "the attribute is no counter: set it as one first");
    struct key key = key_name(name, strlen(name));
    changes_add(changes_of(s, key), key, amount);
    struct value now = {
        .type = VALUE_COUNTER,
        .number = (int64_t)((uint64_t)old.number + (uint64_t)amount),
    };
    if (value)
        *value = now.number;
    tell_put(s, name, old, &now);
    return RC_OK;
}

enum rc session_set_max_inactive(struct session *s, int64_t seconds,
                                 struct err *err)
{
    enum rc rc = may_change(s, err);
    if (rc != RC_OK)
        return rc;
    if (seconds > MAX_SECONDS)
        return err_set(err, RC_INVALID, "at most %d seconds (ten years)",
                       MAX_SECONDS);
    struct value v = {.type = VALUE_INT, .number = seconds > 0 ? seconds : 0};
    changes_set(&s->changes, key_field(FIELD_MAX_INACTIVE), &v);
    return RC_OK;
}

/* ---- identity and end ---- */

enum rc session_change_id(struct session *s, struct err *err)
{
    const struct session_listeners *l = &s->manager->env.listeners;
    uint8_t old[ID_SIZE];
    enum rc rc = may_change(s, err);

    if (rc != RC_OK)
        return rc;
    memcpy(old, session_id(s), ID_SIZE);
    if (!s->record) {
        id_mint(s->id); /* nobody has heard of the other one */
    } else {
        id_mint(s->next_id);
        s->renaming = true;
    }
    if (l->id_changed)
        l->id_changed(l->user, s, old);
    return RC_OK;
}

enum rc session_login(struct session *s, const char *user, struct err *err)
{
    enum rc rc = may_change(s, err);

    if (rc == RC_OK)
        rc = may_grow(s, "user", user ? strlen(user) : 0, err);
    if (rc != RC_OK)
        return rc;
    if (!user || !*user)
        return err_set(err, RC_INVALID, "a login needs a user name");
    struct value v = {.type = VALUE_STRING, .data = user, .len = strlen(user)};
    changes_set(&s->changes, key_field(FIELD_USER), &v);
    s->login = true;
    return s->record ? session_change_id(s, err) : RC_OK;
}

/* false: it went on under another id, which is in s->claimed_id now. */
static bool claim_here(struct session *s)
{
    struct table_stripe *stripe = table_lock(s->manager->table, s->claimed_id);
    struct entry *e = table_find(stripe, s->claimed_id);
    struct record_end end = {.reason = REASON_NONE};

    if (!e) { /* one copy less; where it is the only one, the session */
        s->claimed = !(s->manager->ops->flags & MANAGER_LOCAL);
    } else if (!record_ended(e->record, &end) && !e->idle &&
               !(e->flags & ENTRY_ENDING)) {
        e->flags |= ENTRY_ENDING;
        s->claimed = true;
    }
    table_unlock(stripe);
    if (end.reason != REASON_RENAMED)
        return true;
    memcpy(s->claimed_id, end.new_id, ID_SIZE);
    return false;
}

/* Only one request of this process tells the listeners of an end, and none
 * where they heard of an idle one. */
static void claim_end(struct session *s)
{
    int hops = 0;

    memcpy(s->claimed_id, s->id, ID_SIZE);
    s->claimed = !s->record;
    if (s->record)
        while (!claim_here(s) && ++hops < MAX_HOPS)
            continue;
}

static void tell_removed(struct session *s)
{
    attribute_fn *removed = s->manager->env.listeners.attribute_removed;
    struct rows rows;

    if (!removed)
        return;
    rows_collect(s, &rows);
    for (size_t i = 0; i < rows.count; i++) {
        struct key key = rows.items[i].key;
        struct value old = view(s, key);
        if (old.type != VALUE_NONE)
            tell(s, removed, changes_keep(&s->changes, key.name, key.len), old);
    }
    free(rows.items);
}

void session_tell_end(struct session *s, enum reason reason)
{
    const struct session_listeners *l = &s->manager->env.listeners;

    s->state = SESSION_ENDING;
    s->end_reason = reason;
    if (l->destroyed)
        l->destroyed(l->user, s, reason);
    s->state = SESSION_ENDED;
    tell_removed(s);
}

enum rc session_invalidate(struct session *s, enum reason reason,
                           struct err *err)
{
    enum rc rc = may_change(s, err);

    if (rc != RC_OK)
        return rc;
    if (s->state == SESSION_ENDING)
        return err_set(err, RC_ILLEGAL, "the session is ending already");
    claim_end(s);
    if (s->claimed)
        session_tell_end(s, reason);
    s->state = SESSION_ENDED;
    s->end_reason = reason;
    return RC_OK;
}

void session_pin(struct session *s, struct record *next)
{
    if (s->record) {
        s->pinned = mem_resize(s->pinned,
                               (s->pinned_count + 1) * sizeof(struct record *));
        s->pinned[s->pinned_count++] = s->record;
    }
    s->record = next;
}

void session_detach(struct session *s)
{
    commit_flush_leave(s);
    for (size_t i = 0; i < s->pinned_count; i++)
        record_unref(&s->pinned[i]);
    free(s->pinned);
    record_unref(&s->record);
    aside_free(&s->aside);
    changes_release(&s->changes);
    s->pinned = NULL;
    s->pinned_count = 0;
    s->state = SESSION_NONE;
}
