/* SPDX-License-Identifier: Apache-2.0
 *
 * What one member asks of another, what waits for a better time, and who is
 * there. */
#include "config.h"

#include "tests/mesh_impl.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* What a pause takes of the time of who waits. */
#define PAUSE_MS 50

/* ---- who is there ---- */

struct member *mesh_peer(struct member *m, uint64_t node)
{
    struct mesh *mesh = m->mesh;

    for (unsigned i = 0; i < mesh->count; i++) {
        struct member *other = &mesh->members[i];
        if (other->channel.node == node && other->replica && other != m)
            return m->cut || other->cut ? NULL : other;
    }
    return NULL;
}

static unsigned set_state(struct channel *c, uint64_t node,
                          enum member_state state)
{
    unsigned slots = atomic_load(&c->member_slots), i = 0;

    while (i < slots && atomic_load(&c->members[i].node) != node)
        i++;
    if (i == FRAME_MEMBERS_MAX)
        abort(); /* so many starts in one case */
    if (i < slots && atomic_load(&c->members[i].state) == (unsigned)state)
        return i;
    atomic_store(&c->members[i].state, (unsigned)state);
    atomic_store(&c->members[i].node, node);
    if (i == slots)
        atomic_store(&c->member_slots, slots + 1);
    atomic_fetch_add(&c->view, 1);
    return i;
}

/* What m knows of the other's application. */
static void set_app(struct member *m, struct member *other, unsigned slot)
{
    struct channel_app *own = m->replica ? replica_members(m->replica) : NULL;
    bool leaves = atomic_load(&replica_members(other->replica)->leaves);
    enum app_state state = leaves ? APP_LEAVES : APP_HAS;

    if (!own || atomic_load(&own->at[slot]) == (uint8_t)state)
        return;
    atomic_store(&own->at[slot], (uint8_t)state);
    atomic_fetch_add(&m->channel.view, 1);
}

void mesh_views(struct mesh *mesh, uint64_t gone)
{
    for (unsigned i = 0; i < mesh->count; i++) {
        struct member *m = &mesh->members[i];
        if (gone && m->channel.node != gone)
            set_state(&m->channel, gone, MEMBER_GONE);
        for (unsigned n = 0; n < mesh->count; n++) {
            struct member *other = &mesh->members[n];
            if (n == i || !other->replica)
                continue;
            set_app(
                m, other,
                set_state(&m->channel, other->channel.node,
                          m->cut || other->cut ? MEMBER_AWAY : MEMBER_HERE));
        }
    }
}

/* Nobody knows it. */
void mesh_wonder(struct channel *c, uint64_t node)
{
    struct mesh *mesh = member_of(c)->mesh;

    pthread_mutex_lock(&mesh->lock);
    set_state(c, node, MEMBER_GONE);
    pthread_mutex_unlock(&mesh->lock);
}

/* ---- calls ---- */

static void call_fail(struct member *m, struct channel_call *call)
{
    call->answer = CALL_UNAVAILABLE;
    call->record = NULL;
    call->placed = false;
    call->now = mesh_now(m->mesh, m->number);
    call->done(call);
}

void mesh_call(struct channel *c, struct channel_call *call)
{
    struct member *from = member_of(c);
    struct mesh *mesh = from->mesh;

    pthread_mutex_lock(&mesh->lock);
    struct member *to = mesh_peer(from, call->to);
    if (!to) {
        pthread_mutex_unlock(&mesh->lock);
        call_fail(from, call);
        return;
    }
    struct asked *asked = mem_zero(sizeof *asked);
    *asked = (struct asked){mesh->asked, call, from->number, to->number,
                            ++mesh->calls};
    mesh->asked = asked;
    struct channel_called called = {
        .from = from->channel.node,
        .no = asked->no,
        .app = call->app,
        .kind = call->kind,
        .have = call->have,
        .delta = call->delta,
    };
    memcpy(called.id, call->id, ID_SIZE);
    replica_called(to->replica, &called, mesh_now(mesh, to->number));
    pthread_mutex_unlock(&mesh->lock);
}

static void answer(struct mesh *mesh, const struct asked *asked,
                   const struct channel_reply *reply)
{
    struct channel_call *call = asked->call;

    call->answer = reply->answer;
    call->record = reply->record;
    call->access = reply->access - mesh->members[asked->to].mono +
                   mesh->members[asked->from].mono;
    call->placed = reply->placed;
    call->place = reply->place;
    call->now = mesh_now(mesh, asked->from);
    call->done(call);
}

/* Takes it out of the row; false: there is none. */
static bool take_asked(struct mesh *mesh, uint64_t no, struct asked *out)
{
    struct asked **at = &mesh->asked;

    while (*at && (*at)->no != no)
        at = &(*at)->next;
    if (!*at)
        return false;
    struct asked *found = *at;
    *at = found->next;
    *out = *found;
    free(found);
    return true;
}

void mesh_reply(struct channel *c, const struct channel_reply *reply)
{
    struct mesh *mesh = member_of(c)->mesh;
    struct asked asked;

    pthread_mutex_lock(&mesh->lock);
    if (take_asked(mesh, reply->no, &asked)) {
        answer(mesh, &asked, reply);
    } else {
        struct record *record = reply->record;
        record_unref(&record);
    }
    pthread_mutex_unlock(&mesh->lock);
}

/* ---- pauses ---- */

void mesh_pause(struct channel *c, struct channel_pause *pause)
{
    struct member *m = member_of(c);

    pthread_mutex_lock(&m->mesh->lock);
    pause->next = NULL;
    if (!m->pauses)
        m->last_pause = &m->pauses;
    *m->last_pause = pause;
    m->last_pause = &pause->next;
    if (m->replica) /* all that are there have confirmed at once */
        atomic_store(&replica_members(m->replica)->again, false);
    pthread_mutex_unlock(&m->mesh->lock);
}

/* The world's clock stands still: to who pauses again and again it seems to go
 * on. */
static bool end_pause(struct member *m, bool stopped)
{
    struct channel_pause *pause = m->pauses;
    struct instant now = mesh_now(m->mesh, m->number);
    int64_t more;

    if (!pause)
        return false;
    m->pauses = pause->next;
    more = (pause->now.mono > now.mono ? pause->now.mono - now.mono : 0) +
           PAUSE_MS;
    pause->now = (struct instant){now.mono + more, now.wall + more};
    pause->stopped = stopped;
    pause->done(pause);
    return true;
}

bool mesh_turn(struct mesh *mesh)
{
    bool turned = false;

    pthread_mutex_lock(&mesh->lock);
    for (unsigned i = 0; i < mesh->count; i++)
        turned = end_pause(&mesh->members[i], false) || turned;
    pthread_mutex_unlock(&mesh->lock);
    return turned;
}

void mesh_abandon(struct member *m, bool leaves)
{
    struct mesh *mesh = m->mesh;
    struct asked **at = &mesh->asked;

    while (*at) {
        struct asked *asked = *at;
        if (asked->from != m->number && asked->to != m->number) {
            at = &asked->next;
            continue;
        }
        *at = asked->next;
        call_fail(&mesh->members[asked->from], asked->call);
        free(asked);
        at = &mesh->asked;
    }
    while (leaves && end_pause(m, true))
        ;
}
