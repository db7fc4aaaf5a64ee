/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/manager.h"

#include "session/aside.h"
#include "session/buf.h"
#include "session/farewell.h"
#include "session/manager_counters.h"
#include "session/manager_impl.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_ENDED_MS 60000
#define DUE_AT_ONCE 64
#define DUE_AGAIN_MS 5000
/* A request that has told of an end has so long to write it; less than stores
 * keep the row of what is over. */
#define ENDING_MS 30000

#define AT(member) offsetof(struct manager_options, member)

const struct option manager_option_table[] = {
    {"maxActiveSessions", OPTION_INT, AT(max_active_sessions), "-1",
     "no more sessions than this at a time; -1: no limit", -1, INT64_MAX, NULL},
    {"maxSessionBytes", OPTION_INT, AT(max_session_bytes), "65536",
     "the largest session; a larger put is refused", 256, 8 << 20, NULL},
    {"maxInactive", OPTION_INT, AT(max_inactive), "1800",
     "seconds that a session may idle; 0: for ever", 0, 315360000, NULL},
    {"maxLifetime", OPTION_INT, AT(max_lifetime), "0",
     "seconds that a session may live at all; 0: no limit", 0, 315360000, NULL},
    {"maxSessionsPerUser", OPTION_INT, AT(max_sessions_per_user), "-1",
     "logins of one user at a time; -1: no limit", -1, RECORD_USER_SESSIONS,
     NULL},
    {"onExceeded", OPTION_CHOICE, AT(on_exceeded), "end-oldest",
     "what maxSessionsPerUser does: end the oldest, or reject the new one", 0,
     0, "end-oldest|reject"},
    {"accessInterval", OPTION_INT, AT(access_interval), "0",
     "seconds between notices of use to others; 0: maxInactive / 20, 1..60; of "
     "a session with a shorter limit of its own at most what 0 makes of that",
     0, 3600, NULL},
    {"notifyAttributeListenerOnUnchangedValue", OPTION_BOOL,
     AT(notify_attribute_listener_on_unchanged_value), "true",
     "tell listeners of a set of the value that was there", 0, 0, NULL},
    {"sessionAttributeNameFilter", OPTION_STRING,
     AT(session_attribute_name_filter), NULL,
     "regular expression for the whole names of attributes that are copied and "
     "stored; others stay in the process that set them",
     0, 0, NULL},
    {"warnOnSessionAttributeFilterFailure", OPTION_BOOL,
     AT(warn_on_session_attribute_filter_failure), "false",
     "a line in the log for each attribute that stays here", 0, 0, NULL},
    {NULL, 0, 0, NULL, NULL, 0, 0, NULL},
};

static int64_t interval_of_limit(int64_t seconds)
{
    seconds /= 20;
    return seconds < 1 ? 1 : seconds > 60 ? 60 : seconds;
}

int64_t manager_grace_ms(const struct manager_options *o)
{
    return 1000 * (o->access_interval ? o->access_interval
                                      : interval_of_limit(o->max_inactive));
}

int64_t manager_own_grace_ms(const struct manager_options *o,
                             int64_t max_inactive)
{
    int64_t usual = manager_grace_ms(o), own;

    if (max_inactive <= 0 ||
        (o->max_inactive > 0 && max_inactive >= o->max_inactive))
        return usual;
    own = 1000 * interval_of_limit(max_inactive);
    return own < usual ? own : usual;
}

enum rc manager_new(const struct manager_ops *ops,
                    const struct manager_options *common, const void *options,
                    const struct store_ops *store_ops,
                    const void *store_options, const struct manager_env *env,
                    struct manager **out, struct err *err)
{
    assert(ops->find && ops->write && ops->size >= sizeof(struct manager));
    if ((ops->flags & MANAGER_NEEDS_STORE) && !store_ops)
        return err_set(err, RC_INVALID,
                       "%s needs a <Store className=\"...\"> in it", ops->name);
    if ((ops->flags & MANAGER_NEEDS_CLUSTER) && !env->channel)
        return err_set(err, RC_INVALID, "%s needs a <Cluster>", ops->name);
    struct asides *asides;
    enum rc rc = asides_new(common, &asides, err);
    if (rc != RC_OK)
        return rc;
    struct manager *m = mem_zero(ops->size);
    m->ops = ops;
    m->asides = asides;
    m->common = *common;
    m->options = options;
    m->store_ops = store_ops;
    m->store_options = store_options;
    m->env = *env;
    m->counters = mem_zero(sizeof *m->counters);
    m->keep_ended_ms = KEEP_ENDED_MS;
    if (!(ops->flags & MANAGER_LOCAL))
        m->grace_ms = manager_grace_ms(common);
    id_mint(m->secret);
    if (ops->open)
        rc = ops->open(m, err);
    if (rc != RC_OK) {
        asides_free(&m->asides);
        free(m->counters);
        free(m);
        return rc;
    }
    *out = m;
    return RC_OK;
}

enum rc manager_start(struct manager *m, struct instant now, struct err *err)
{
    m->table = table_new(m->ops->entry_extra, now);
    asides_start(m->asides, now);
    if (m->ops->start)
        return m->ops->start(m, now, err);
    atomic_store(&m->ready, 1);
    return RC_OK;
}

void manager_leave(struct manager *m, struct instant now)
{
    if (m->ops->leave && atomic_load(&m->ready))
        m->ops->leave(m, now);
}

bool manager_left(struct manager *m)
{
    return !m->ops->left || m->ops->left(m);
}

void manager_stop(struct manager *m, struct instant now, int within_ms)
{
    if (m->ops->stop)
        m->ops->stop(m, now, within_ms);
    atomic_store(&m->ready, 0);
}

void manager_free(struct manager **manager)
{
    struct manager *m = *manager;

    *manager = NULL;
    if (!m)
        return;
    if (m->ops->close)
        m->ops->close(m);
    table_free(&m->table);
    asides_free(&m->asides);
    free(m->counters);
    free(m);
}

static bool is_started(const struct manager *m)
{
    return atomic_load_explicit(&m->ready, memory_order_acquire);
}

int64_t manager_commit_ms(const struct manager *m)
{
    return m->commit_ms;
}

bool manager_ready(const struct manager *m, struct instant now)
{
    return is_started(m) && (!m->ops->ready || m->ops->ready(m, now));
}

const struct manager_options *manager_options(const struct manager *m)
{
    return &m->common;
}

const char *manager_describe(const struct manager *m, char *out, size_t size)
{
    if (m->ops->describe)
        m->ops->describe(m, out, size);
    else
        snprintf(out, size, "%s", m->ops->name);
    return out;
}

/* ---- find ---- */

void manager_refused(struct manager *m, enum reason reason)
{
    count_one(&m->counters->refused[reason]);
}

/* A user's record is no session, whoever asks with its id. */
static enum rc find_checked(struct manager *m, struct find_op *op)
{
    if (op->rc == RC_OK && !m->face &&
        record_kind(op->record) != RECORD_SESSION) {
        record_unref(&op->record);
        op->rc = RC_ABSENT;
        op->reason = REASON_UNKNOWN;
    }
    if (op->rc == RC_ABSENT && !op->peek && op->reason < REASON_COUNT)
        count_one(&m->counters->refused[op->reason]);
    return op->rc;
}

enum rc manager_find(struct manager *m, struct find_op *op)
{
    op->manager = m;
    op->record = NULL;
    if (!op->peek)
        count_one(&m->counters->finds);
    if (!is_started(m)) {
        op->rc = err_set(&op->err, RC_UNAVAILABLE, "not ready yet");
        return op->rc;
    }
    enum rc rc = m->ops->find(m, op);
    if (rc == RC_PENDING)
        return rc;
    op->rc = rc;
    return find_checked(m, op);
}

void manager_found(struct manager *m, struct find_op *op)
{
    find_checked(m, op);
    op->done(op);
}

/* Whom listeners know. */
static struct manager *face_of(struct manager *m)
{
    return m->face ? m->face : m;
}

static void session_begin(struct session *s, struct manager *m,
                          struct instant now, void *user_data)
{
    memset(s, 0, offsetof(struct session, changes));
    changes_init(&s->changes);
    s->manager = m;
    s->state = SESSION_LIVE;
    s->now = now;
    s->user_data = user_data;
    s->event_old = (struct value){.type = VALUE_NONE};
}

void manager_attach(struct manager *m, struct find_op *op, struct session *s)
{
    session_begin(s, m, op->now, op->user_data);
    s->read_only = op->read_only;
    memcpy(s->id, record_id(op->record), ID_SIZE);
    s->birth = record_birth(op->record);
    s->last_access = op->last_access;
    s->record = op->record;
    s->aside = aside_find(m, s->id);
    op->record = NULL;
}

static void set_number(struct session *s, enum record_field field,
                       int64_t number)
{
    struct value v = {.type = VALUE_INT, .number = number};
    if (number > 0)
        changes_set(&s->changes, key_field(field), &v);
}

enum rc manager_create(struct manager *m, struct instant now, void *user_data,
                       struct session *s, struct err *err)
{
    const struct session_listeners *l = &m->env.listeners;
    int64_t limit = m->common.max_active_sessions;
    struct table_counts counts;

    if (limit >= 0) {
        table_counts(m->table, &counts);
        if (counts.live >= (size_t)limit) {
            count_one(&m->counters->rejected);
            return err_set(err, RC_TOOBIG,
                           "there are %zu sessions; maxActiveSessions is %lld",
                           counts.live, (long long)limit);
        }
    }
    session_begin(s, m, now, user_data);
    id_mint(s->id);
    s->created = true;
    s->birth = s->last_access = now.wall;
    set_number(s, FIELD_MAX_INACTIVE, m->common.max_inactive);
    set_number(s, FIELD_MAX_LIFETIME, m->common.max_lifetime);
#if FRAME_VERSION_ADDED
    set_number(s, FIELD_RELEASE, FRAME_VERSION_ADDED);
#endif
    if (l->created)
        l->created(l->user, s);
    return RC_OK;
}

/* ---- what is due ---- */

struct end_flow {
    struct manager_write w; /* first */
    struct manager *m;
    enum reason reason;
};

/* A session for listeners that no request holds. */
static void session_borrow(struct session *s, struct manager *m,
                           struct record *record, struct instant now)
{
    session_begin(s, face_of(m), now, NULL);
    memcpy(s->id, record_id(record), ID_SIZE);
    s->birth = record_birth(record);
    s->last_access = now.wall;
    s->record = record_ref(record);
    s->aside = aside_find(s->manager, s->id);
}

void manager_tell_end(struct manager *m, struct record *record,
                      enum reason reason, struct instant now)
{
    if (record_kind(record) != RECORD_SESSION || m->face)
        return;
    count_end(m, reason, record_birth(record), now);
    manager_hear_end(m, record, reason, now);
}

bool manager_may_hear(struct manager *m)
{
    struct manager *face = face_of(m);

    if (!face->hears)
        face->hears = m;
    return face->hears == m;
}

void manager_hear_end(struct manager *m, struct record *record,
                      enum reason reason, struct instant now)
{
    struct session s;

    if (record_kind(record) != RECORD_SESSION)
        return;
    session_borrow(&s, m, record, now);
    session_tell_end(&s, reason);
    session_detach(&s);
}

static void tell_moved(struct manager *m,
                       void (*listener)(void *, struct session *),
                       struct record *record, struct instant now)
{
    struct session s;

    if (!listener || record_kind(record) != RECORD_SESSION)
        return;
    session_borrow(&s, m, record, now);
    listener(s.manager->env.listeners.user, &s);
    session_detach(&s);
}

void manager_tell_passivate(struct manager *m, struct record *record,
                            struct instant now)
{
    tell_moved(m, face_of(m)->env.listeners.will_passivate, record, now);
}

void manager_tell_activate(struct manager *m, struct record *record,
                           struct instant now)
{
    tell_moved(m, face_of(m)->env.listeners.did_activate, record, now);
}

void manager_hear_created(struct manager *m, struct record *record,
                          struct instant now)
{
    tell_moved(m, face_of(m)->env.listeners.created, record, now);
}

void manager_hear_new_id(struct manager *m, struct record *record,
                         const uint8_t old_id[ID_SIZE], struct instant now)
{
    const struct session_listeners *l = &face_of(m)->env.listeners;
    struct session s;

    if (!l->id_changed || record_kind(record) != RECORD_SESSION)
        return;
    session_borrow(&s, m, record, now);
    l->id_changed(l->user, &s, old_id);
    session_detach(&s);
}

static void end_answered(struct end_flow *flow)
{
    struct manager_write *w = &flow->w;

    /* anything but OK: the entry's timer is set, it comes again */
    if (w->rc == RC_OK && w->before)
        manager_tell_end(flow->m, w->before, flow->reason, w->now);
    manager_write_release(w);
    free(flow);
}

static void end_done(struct manager_write *w)
{
    end_answered((struct end_flow *)w);
}

/* What is due by itself is so in the other manager as well. */
static void say_farewell(struct manager *m, const uint8_t id[ID_SIZE],
                         struct instant now)
{
    struct table_stripe *stripe = table_lock(m->table, id);
    struct entry *e = table_find(stripe, id);
    struct record *ended =
        e && farewell_is_due(e->record) ? record_ref(e->record) : NULL;

    table_unlock(stripe);
    if (ended)
        farewell_send(m, ended, now);
    record_unref(&ended);
}

void manager_end_due(struct manager *m, const uint8_t id[ID_SIZE],
                     enum reason reason, struct instant now)
{
    struct manager *face = face_of(m);

    if (face->ops->part_due) {
        face->ops->part_due(face, m, id, reason, now);
        return;
    }
    struct end_flow *flow = mem_zero(sizeof *flow);

    if (reason == REASON_ADMIN)
        say_farewell(m, id, now);
    flow->m = m;
    flow->reason = reason;
    flow->w.done = end_done;
    manager_write_init(
        &flow->w, reason == REASON_IDLE ? WRITE_IDLE_END : WRITE_END, id, now);
    flow->w.reason = reason;
    enum rc rc = m->ops->write(m, &flow->w);
    if (rc != RC_PENDING) {
        flow->w.rc = rc;
        end_answered(flow);
    }
}

enum due { DUE_LATER, DUE_FORGET, DUE_END };

/* What an entry whose timer fired needs. Its stripe is locked. */
static enum due due_of(struct manager *m, const struct entry *e,
                       struct instant now, int64_t *when, enum reason *reason)
{
    struct record_life life;
    struct record_end end;

    if (e->flags & ENTRY_BUSY) {
        *when = now.mono + 1000;
        return DUE_LATER;
    }
    record_life(e->record, &life);
    if (life.ended) {
        *when = e->access + m->keep_ended_ms;
        return *when > now.mono ? DUE_LATER : DUE_FORGET;
    }
    /* the timer of an idle end was set to the moment to forget it */
    if (e->idle && manager_entry_liveness(m, e, e->record, now, &end) != RC_OK)
        return DUE_FORGET;
    *when = manager_due(m, &life, e->access, now, reason);
    if (e->flags & ENTRY_ENDING && now.mono - *when < ENDING_MS)
        *when = now.mono + 1000;
    if (*when > now.mono)
        return DUE_LATER;
    return record_kind(e->record) == RECORD_SESSION ? DUE_END : DUE_FORGET;
}

static void due_one(struct manager *m, const uint8_t id[ID_SIZE],
                    struct instant now)
{
    struct table_stripe *stripe = table_lock(m->table, id);
    struct entry *e = table_find(stripe, id);
    enum reason reason = REASON_NONE;
    enum due due = DUE_LATER;
    int64_t when = INT64_MAX;

    if (e)
        due = due_of(m, e, now, &when, &reason);
    if (e && due == DUE_FORGET) {
        if (!m->ops->forget || m->ops->forget(m, stripe, e, now))
            table_remove(stripe, e);
        else
            table_arm(stripe, e, now.mono + DUE_AGAIN_MS);
    } else if (e && when != INT64_MAX) {
        table_arm(stripe, e, due == DUE_END ? now.mono + DUE_AGAIN_MS : when);
    }
    table_unlock(stripe);
    if (due != DUE_END)
        return;
    if (m->ops->due)
        m->ops->due(m, id, reason, now);
    else
        manager_end_due(m, id, reason, now);
}

static void look_for_due(struct manager *m, struct instant now)
{
    uint8_t ids[DUE_AT_ONCE][ID_SIZE];
    size_t count;

    do {
        count = table_due(m->table, now, ids, DUE_AT_ONCE);
        for (size_t i = 0; i < count; i++)
            due_one(m, ids[i], now);
    } while (count == DUE_AT_ONCE);
}

void manager_tick(struct manager *m, struct instant now)
{
    if (!(m->ops->flags & MANAGER_OF_PARTS))
        look_for_due(m, now);
    asides_tick(m, now);
    if (m->ops->tick)
        m->ops->tick(m, now);
}

/* ---- figures ---- */

void count_end(struct manager *m, enum reason reason, int64_t birth,
               struct instant now)
{
    struct manager_counters *c = m->counters;
    int64_t lived = (now.wall - birth) / 1000;
    uint64_t seconds = lived > 0 ? (uint64_t)lived : 0;

    count_one(&c->ended[reason < REASON_COUNT ? reason : REASON_UNKNOWN]);
    atomic_fetch_add_explicit(&c->alive_sum, seconds, memory_order_relaxed);
    count_max(&c->alive_max, seconds);
}

#if FRAME_VERSION_ADDED
/* Those that a build of the next release has made. */
static bool count_of_next(void *user, struct entry *entry)
{
    *(uint64_t *)user += record_number(entry->record, FIELD_RELEASE) != 0;
    return true;
}
#endif

void manager_stats(struct manager *m, struct manager_stats *out)
{
    struct manager_counters *c = m->counters;
    struct table_counts counts = {0};

    if (m->table)
        table_counts(m->table, &counts);
    count_max(&c->max_active, counts.live);
    *out = (struct manager_stats){
        .active = counts.live,
        .tombstones = counts.tombstones,
        .asides = asides_count(m->asides),
        .max_active = c->max_active,
        .created = c->created,
        .renamed = c->renamed,
        .rejected = c->rejected,
        .revivals_refused = c->revivals_refused,
        .finds = c->finds,
        .commits = c->commits,
        .commits_changed = c->commits_changed,
        .user_sessions_left_out = c->left_out,
        .alive_seconds_sum = c->alive_sum,
        .alive_seconds_max = c->alive_max,
    };
    for (int i = 0; i < REASON_COUNT; i++) {
        out->ended[i] = c->ended[i];
        out->refused[i] = c->refused[i];
    }
#if FRAME_VERSION_ADDED
    if (m->table)
        table_each(m->table, count_of_next, &out->of_next);
#endif
    if (m->ops->stats)
        m->ops->stats(m, out);
}
