/* SPDX-License-Identifier: Apache-2.0
 *
 * The sessions of a user are a record of their own: one attribute per session,
 * named by its id, stamped by its login. Written at a login, and when a session
 * of a user gets a new id: its value is then the moment of its login. */
#include "config.h"

#include "session/buf.h"
#include "session/commit.h"
#include "session/farewell.h"

#include <stdlib.h>
#include <string.h>

/* Sessions outlive their user's record only when they are used for longer than
 * this after the user's last login. */
#define USER_KEEP_SECONDS (30 * 24 * 3600)

static void take_login(void *user, struct key key, const struct value *value,
                       int64_t stamp)
{
    struct value *login = user;

    (void)value;
    if (!key.name && key.field == FIELD_USER)
        *login = (struct value){.type = VALUE_INT, .number = stamp};
}

static void own_entry(struct commit_flow *flow)
{
    char text[ID_TEXT_SIZE];
    struct value listed = {.type = VALUE_BOOL, .truth = true};

    if (!flow->s->login)
        record_each(flow->s->record, take_login, &listed);
    changes_release(&commit_more_of(flow)->own);
    id_format(flow->id, text);
    changes_set(&flow->more->own, key_name(text, ID_TEXT_SIZE - 1), &listed);
}

void commit_user_begin(struct commit_flow *flow)
{
    const char *user = session_user(flow->s);

    if (flow->s->renaming)
        memcpy(flow->id, flow->s->next_id, ID_SIZE);
    record_unref(&flow->w.delta);
    id_of_user(manager_secret(flow->m), flow->m->env.app, user, strlen(user),
               flow->user_key);
    own_entry(flow);
    flow->step = STEP_USER_CHANGE;
}

static void user_write(struct commit_flow *flow, enum write_kind kind,
                       const uint8_t id[ID_SIZE])
{
    struct manager_write *w = &flow->w;

    manager_write_release(w);
    record_unref(&flow->whole);
    manager_write_init(w, kind, id, flow->now);
    w->changes = &flow->more->own;
    if (id_equal(id, flow->user_key))
        w->user = session_user(flow->s);
}

static void prepare_user_create(struct commit_flow *flow)
{
    struct value keep = {.type = VALUE_INT, .number = USER_KEEP_SECONDS};
    struct changes with_limit;

    user_write(flow, WRITE_CREATE, flow->user_key);
    changes_copy(&with_limit, &flow->more->own);
    changes_set(&with_limit, key_field(FIELD_MAX_INACTIVE), &keep);
    flow->whole =
        record_new(RECORD_USER, flow->user_key, flow->now.wall, &with_limit,
                   manager_writer(flow->m, flow->user_key));
    changes_release(&with_limit);
    flow->w.record = flow->whole;
}

static void prepare_prune(struct commit_flow *flow)
{
    char text[ID_TEXT_SIZE];

    changes_release(&flow->more->own);
    for (size_t i = 0; i < flow->other_count; i++)
        if (!flow->others[i].alive)
            changes_remove(&flow->more->own,
                           key_name(id_format(flow->others[i].id, text),
                                    ID_TEXT_SIZE - 1));
    user_write(flow, WRITE_CHANGE, flow->user_key);
}

void commit_user_prepare(struct commit_flow *flow)
{
    switch (flow->step) {
    case STEP_USER_CREATE:
        prepare_user_create(flow);
        break;
    case STEP_USER_LOOK:
        flow->more->find =
            (struct find_op){.peek = true, .now = flow->now, .user_data = flow};
        memcpy(flow->more->find.id, flow->others[flow->other_at].id, ID_SIZE);
        break;
    case STEP_USER_PRUNE:
        prepare_prune(flow);
        break;
    case STEP_USER_END:
        user_write(flow, WRITE_END, flow->others[flow->other_at].id);
        flow->w.reason = REASON_REPLACED;
        break;
    default:
        user_write(flow, WRITE_CHANGE, flow->user_key);
    }
}

/* The session itself is written by now: a failure is not "nothing done". */
static void finish_user(struct commit_flow *flow, enum rc rc)
{
    if (rc == RC_UNAVAILABLE)
        rc = RC_UNCERTAIN;
    flow->rc = rc;
    flow->step = STEP_DONE;
}

static void collect_other(void *user, struct key key, const struct value *value,
                          int64_t stamp)
{
    struct commit_flow *flow = user;
    uint8_t id[ID_SIZE];

    if ((value->type != VALUE_BOOL && value->type != VALUE_INT) || !key.name ||
        !id_parse(key.name, key.len, id, NULL, NULL))
        return;
    if (value->type == VALUE_INT)
        stamp = value->number;
    flow->others = mem_resize(flow->others,
                              (flow->other_count + 1) * sizeof *flow->others);
    struct user_session *o = &flow->others[flow->other_count++];
    *o = (struct user_session){.stamp = stamp};
    memcpy(o->id, id, ID_SIZE);
    o->alive = id_equal(id, flow->id);
}

static int oldest_first(const void *x, const void *y)
{
    const struct user_session *a = x, *b = y;
    if (a->stamp != b->stamp)
        return a->stamp < b->stamp ? -1 : 1;
    return memcmp(a->id, b->id, ID_SIZE);
}

/* The next listed session other than our own that was not looked at. */
static void look_on(struct commit_flow *flow)
{
    while (flow->other_at < flow->other_count &&
           id_equal(flow->others[flow->other_at].id, flow->id))
        flow->other_at++;
    flow->step =
        flow->other_at < flow->other_count ? STEP_USER_LOOK : STEP_USER_PRUNE;
}

/* With end-oldest the oldest n too many go, with reject the newest; the
 * newcomer is told `replaced`, whichever it is. */
static void end_surplus(struct commit_flow *flow)
{
    size_t limit = (size_t)flow->m->common.max_sessions_per_user;
    size_t alive = 0;

    for (size_t i = 0; i < flow->other_count; i++)
        alive += flow->others[i].alive;
    size_t surplus = alive > limit ? alive - limit : 0;
    bool oldest = flow->m->common.on_exceeded == EXCEEDED_END_OLDEST;
    for (size_t n = 0; n < flow->other_count; n++) {
        size_t i = oldest ? n : flow->other_count - 1 - n;
        bool out = flow->others[i].alive && surplus > 0;
        surplus -= out;
        flow->others[i].alive = out; /* from here on: to be ended */
    }
    flow->other_at = 0;
    flow->step = STEP_USER_END;
}

static void end_on(struct commit_flow *flow)
{
    while (flow->other_at < flow->other_count &&
           !flow->others[flow->other_at].alive)
        flow->other_at++;
    if (flow->other_at == flow->other_count)
        finish_user(flow, flow->reason == REASON_REPLACED ? RC_ENDED : RC_OK);
}

static void listed(struct commit_flow *flow)
{
    int64_t limit = flow->m->common.max_sessions_per_user;

    if (limit < 0 || !flow->w.after) {
        finish_user(flow, RC_OK);
        return;
    }
    record_each(flow->w.after, collect_other, flow);
    if (flow->other_count >= RECORD_USER_SESSIONS)
        count_one(&flow->m->counters->left_out);
    if (flow->other_count <= (size_t)limit) {
        finish_user(flow, RC_OK);
        return;
    }
    qsort(flow->others, flow->other_count, sizeof *flow->others, oldest_first);
    look_on(flow);
}

void commit_user_looked(struct commit_flow *flow)
{
    struct user_session *o = &flow->others[flow->other_at];

    if (flow->more->find.rc == RC_UNAVAILABLE) {
        flow->w.err = flow->more->find.err;
        finish_user(flow, RC_UNAVAILABLE);
        return;
    }
    o->alive = flow->more->find.rc == RC_OK;
    if (o->alive && farewell_is_due(flow->more->find.record))
        o->marked = record_ref(flow->more->find.record);
    record_unref(&flow->more->find.record);
    flow->other_at++;
    look_on(flow);
}

static void answer_user_end(struct commit_flow *flow)
{
    struct manager_write *w = &flow->w;
    struct user_session *o = &flow->others[flow->other_at];

    if (w->rc == RC_UNAVAILABLE || w->rc == RC_UNCERTAIN) {
        finish_user(flow, w->rc);
        return;
    }
    if (w->rc == RC_OK && w->before)
        manager_tell_end(flow->m, w->before, REASON_REPLACED, flow->now);
    if (id_equal(o->id, flow->id))
        flow->reason = REASON_REPLACED;
    flow->other_at++;
    end_on(flow);
}

/* Not for nobody: the session would be counted, and no browser has it. */
static bool is_waited_for(const struct commit_flow *flow)
{
    return !atomic_load(&flow->op->left);
}

/* A record that is there, by what is known, and cannot be had is asked for
 * once more: it may have been made a moment ago. */
static bool may_try_again(struct commit_flow *flow)
{
    return is_waited_for(flow) && flow->unavailable++ == 0;
}

void commit_user_answer(struct commit_flow *flow)
{
    enum rc rc = flow->w.rc;

    switch (flow->step) {
    case STEP_USER_CHANGE:
        /* unavailable: where each server goes on alone it makes one of its
         * own, which is merged later; elsewhere that fails as well */
        if (rc == RC_ABSENT || rc == RC_ENDED ||
            (rc == RC_UNAVAILABLE && may_try_again(flow)))
            flow->step = STEP_USER_CREATE;
        else if (rc == RC_OK)
            listed(flow);
        else
            finish_user(flow, rc);
        break;
    case STEP_USER_CREATE:
        if (rc == RC_CONFLICT && ++flow->hops < 8 && is_waited_for(flow))
            flow->step = STEP_USER_CHANGE;
        else if (rc == RC_OK) /* somebody else's may have been joined to it */
            listed(flow);
        else
            finish_user(flow, rc == RC_CONFLICT ? RC_UNAVAILABLE : rc);
        break;
    case STEP_USER_PRUNE:
        end_surplus(flow);
        end_on(flow);
        break;
    default:
        answer_user_end(flow);
    }
}

void commit_user_release(struct commit_flow *flow)
{
    for (size_t i = 0; i < flow->other_count; i++)
        record_unref(&flow->others[i].marked);
    free(flow->others);
}
