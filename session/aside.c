/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/aside.h"

#include "session/buf.h"
#include "session/expression.h"
#include "session/manager_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AT_ONCE 64
#define MAX_HOPS 8 /* new ids that a change follows */

struct asides {
    struct expression shared; /* the names that others get */
    enum log_level level;     /* of a line about one that they do not */
    struct table *table;      /* from the start on */
};

enum rc asides_new(const struct manager_options *options, struct asides **out,
                   struct err *err)
{
    const char *filter = options->session_attribute_name_filter;
    struct expression shared;

    *out = NULL;
    if (!filter || !*filter)
        return RC_OK;
    enum rc rc =
        expression_compile(&shared, "sessionAttributeNameFilter", filter, err);
    if (rc != RC_OK)
        return rc;
    struct asides *a = mem_zero(sizeof *a);
    a->shared = shared;
    a->level = options->warn_on_session_attribute_filter_failure ? LOG_WARN
                                                                 : LOG_DEBUG;
    *out = a;
    return RC_OK;
}

void asides_free(struct asides **asides)
{
    struct asides *a = *asides;

    *asides = NULL;
    if (!a)
        return;
    table_free(&a->table);
    expression_release(&a->shared);
    free(a);
}

void asides_start(struct asides *asides, struct instant now)
{
    if (asides)
        asides->table = table_new(0, now);
}

size_t asides_count(const struct asides *asides)
{
    struct table_counts counts = {0};

    if (asides && asides->table)
        table_counts(asides->table, &counts);
    return counts.live;
}

bool aside_is(const struct asides *asides, const char *name, size_t len)
{
    char room[128], *text = room;

    if (!asides)
        return false;
    if (len >= sizeof room) /* in a record no 0 follows a name */
        text = mem_alloc(len + 1);
    memcpy(text, name, len);
    text[len] = 0;
    bool is = !expression_matches(&asides->shared, text);
    if (text != room)
        free(text);
    return is;
}

/* ---- what a request sees ---- */

struct aside *aside_new(void)
{
    struct aside *aside = mem_alloc(sizeof *aside);

    aside->record = NULL;
    changes_init(&aside->changes);
    return aside;
}

void aside_free(struct aside **aside)
{
    struct aside *a = *aside;

    *aside = NULL;
    if (!a)
        return;
    record_unref(&a->record);
    changes_release(&a->changes);
    free(a);
}

struct aside *aside_find(const struct manager *m, const uint8_t id[ID_SIZE])
{
    struct aside *aside = NULL;

    if (!m->asides)
        return NULL;
    struct table_stripe *stripe = table_lock(m->asides->table, id);
    struct entry *e = table_find(stripe, id);
    if (e && !record_ended(e->record, NULL)) {
        aside = aside_new();
        aside->record = record_ref(e->record);
    }
    table_unlock(stripe);
    return aside;
}

/* ---- what it leaves ---- */

static struct record *empty_record(struct manager *m, int64_t birth,
                                   const uint8_t id[ID_SIZE])
{
    static const struct changes none;

    return record_new(RECORD_SESSION, id, birth, &none, manager_writer(m, id));
}

static void count_value(void *user, struct key key, const struct value *value,
                        int64_t stamp)
{
    (void)key;
    (void)value;
    (void)stamp;
    ++*(size_t *)user;
}

static bool holds_nothing(const struct record *r)
{
    size_t count = 0;

    record_each(r, count_value, &count);
    return count == 0;
}

/* Takes the record. */
static struct entry *put(struct manager *m, struct table_stripe *stripe,
                         struct entry *e, struct record *record,
                         struct instant now)
{
    if (e)
        table_replace(stripe, e, record);
    else
        e = table_insert(stripe, record, now.mono);
    table_arm(stripe, e, now.mono + m->keep_ended_ms);
    return e;
}

static struct record *changed(struct manager *m, const struct session *s,
                              struct record *whole, struct instant now)
{
    if (!aside_is_changed(s->aside))
        return record_ref(whole);
    return record_apply(whole, &s->aside->changes, now.wall,
                        manager_writer(m, record_id(whole)));
}

/* What comes along from another id (or NULL), and the changes, go into the
 * record of this one. False: it went on under another id, which is in it now.
 */
static bool join(struct manager *m, const struct session *s,
                 uint8_t id[ID_SIZE], struct record *along, struct instant now)
{
    struct table_stripe *stripe = table_lock(m->asides->table, id);
    struct entry *e = table_find(stripe, id);
    struct record_end end;

    if (e && record_ended(e->record, &end)) {
        table_unlock(stripe);
        assert(!along); /* nobody was told of a new id before its commit */
        memcpy(id, end.new_id, ID_SIZE);
        return false;
    }
    struct record *base =
        e ? record_ref(e->record) : empty_record(m, s->birth, id);
    struct record *whole = along ? record_merge(base, along) : record_ref(base);
    e = put(m, stripe, e, changed(m, s, whole, now), now);
    if (holds_nothing(e->record))
        table_remove(stripe, e);
    table_unlock(stripe);
    record_unref(&whole);
    record_unref(&base);
    return true;
}

static struct record *tombstone(struct manager *m, const struct session *s,
                                struct instant now)
{
    struct record *base = empty_record(m, s->birth, s->id);
    struct record *end = record_end_delta(base, REASON_RENAMED, s->next_id,
                                          now.wall, manager_writer(m, s->id));

    record_unref(&base);
    return end;
}

/* What goes on under the session's new id. Of two requests that give a session
 * new ids both take it: the second one what it saw. */
static struct record *take_along(struct manager *m, const struct session *s,
                                 struct instant now)
{
    struct table_stripe *stripe = table_lock(m->asides->table, s->id);
    struct entry *e = table_find(stripe, s->id);
    bool taken = e && record_ended(e->record, NULL);
    const struct record *along = e ? e->record : NULL;

    if (taken)
        along = s->aside ? s->aside->record : NULL;
    struct record *moved = along ? record_rekey(along, s->next_id) : NULL;
    if (!taken)
        put(m, stripe, e, tombstone(m, s, now), now);
    table_unlock(stripe);
    return moved;
}

/* Once for each name that the session did not have. */
static void tell_new(const struct manager *m, const struct session *s,
                     const uint8_t id[ID_SIZE])
{
    const struct aside *aside = s->aside;
    char text[LOG_ID_SIZE];

    for (const struct change *c = aside->changes.first; c; c = c->next)
        if (c->kind != CHANGE_REMOVE &&
            (!aside->record || !record_get(aside->record, c->key).type))
            log_line(m->env.log, m->asides->level, "manager",
                     "the attribute \"%.64s\" of session %s of %s stays in "
                     "this process: sessionAttributeNameFilter does not match",
                     c->key.name, log_id(text, id), m->env.app);
}

void aside_commit(struct manager *m, const struct session *s,
                  const uint8_t id[ID_SIZE], struct instant now)
{
    bool is_changed = aside_is_changed(s->aside);
    struct record *along = NULL;
    uint8_t at[ID_SIZE];
    int hops = 0;

    if (!m->asides || s->state != SESSION_LIVE)
        return;
    memcpy(at, s->renaming ? s->next_id : id, ID_SIZE);
    if (s->renaming)
        along = take_along(m, s, now);
    if (along || is_changed)
        while (!join(m, s, at, along, now) && ++hops < MAX_HOPS)
            continue;
    record_unref(&along);
    if (is_changed)
        tell_new(m, s, at);
}

/* ---- looking after it ---- */

/* Ends too: their listeners may not have heard of them yet. */
static bool is_held(const struct manager *m, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(m->table, id);
    bool held = table_find(stripe, id) != NULL;

    table_unlock(stripe);
    return held;
}

/* A change that came since we looked shows that the session lives. */
static void look_at(struct manager *m, const uint8_t id[ID_SIZE],
                    struct instant now)
{
    struct table_stripe *stripe = table_lock(m->asides->table, id);
    struct entry *e = table_find(stripe, id);
    struct record *seen = e ? record_ref(e->record) : NULL;

    table_unlock(stripe);
    if (!seen)
        return;
    bool held = is_held(m, id);
    stripe = table_lock(m->asides->table, id);
    e = table_find(stripe, id);
    if (e && !held && e->record == seen)
        table_remove(stripe, e);
    else if (e)
        table_arm(stripe, e, now.mono + m->keep_ended_ms);
    table_unlock(stripe);
    record_unref(&seen);
}

void asides_tick(struct manager *m, struct instant now)
{
    uint8_t ids[LOOK_AT_ONCE][ID_SIZE];
    size_t count;

    if (!m->asides)
        return;
    do {
        count = table_due(m->asides->table, now, ids, LOOK_AT_ONCE);
        for (size_t i = 0; i < count; i++)
            look_at(m, ids[i], now);
    } while (count == LOOK_AT_ONCE);
}
