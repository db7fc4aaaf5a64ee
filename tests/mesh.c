/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/mesh_impl.h"

#include "session/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pending {
    struct channel_wait *wait;
    unsigned left, got, min_copies, applied;
    bool one, told; /* told: the wait is its owner's again */
};

struct message {
    struct message *next;
    unsigned from, to, target; /* target: which one of the update's */
    uint64_t node;             /* the sender's */
    struct channel_update update;
    struct pending *pending; /* NULL: nobody waits */
};

/* Who is to be told once the lock is released. */
struct told {
    struct channel_wait *wait;
    enum rc rc;
};

static const uint8_t secret[ID_SIZE] = "a cluster's key";

struct instant mesh_now(struct mesh *mesh, unsigned i)
{
    const struct member *m = &mesh->members[i];
    return (struct instant){mesh->now->mono + m->mono,
                            mesh->now->wall + m->wall};
}

/* ---- delivering; the lock is held ---- */

static enum replica_rc apply(struct mesh *mesh, unsigned from, unsigned to,
                             const struct frame_update *u, uint64_t owner,
                             uint8_t id[ID_SIZE])
{
    struct member *a = &mesh->members[from], *b = &mesh->members[to];
    int64_t newer;

    return replica_apply(b->replica, u, u->access - a->mono + b->mono, owner,
                         mesh_now(mesh, to), id, &newer);
}

static void give(struct mesh *mesh, unsigned from, unsigned to,
                 const struct replica_item *item)
{
    struct frame_update updates[2];
    uint8_t bytes[PLACE_MAX], id[ID_SIZE];
    unsigned count = replica_item_updates(
        item, replica_app(mesh->members[to].replica), bytes, updates);

    for (unsigned i = 0; i < count; i++)
        apply(mesh, from, to, &updates[i], updates[i].owner, id);
}

static bool give_one(struct mesh *mesh, unsigned from, unsigned to,
                     const uint8_t id[ID_SIZE])
{
    struct replica_item item;

    if (!replica_take(mesh->members[from].replica,
                      mesh->members[to].channel.node, id, &item))
        return false;
    give(mesh, from, to, &item);
    record_unref(&item.record);
    return true;
}

/* False: it did not get there. */
static bool message_apply(struct mesh *mesh, const struct message *msg)
{
    const struct channel_update *said = &msg->update;
    struct member *a = &mesh->members[msg->from];
    struct member *b = &mesh->members[msg->to];
    struct frame_update u = {.kind = said->kind,
                             .app = said->app,
                             .owner = said->owner,
                             .access = said->access,
                             .bytes = said->id,
                             .len = ID_SIZE};
    uint8_t id[ID_SIZE], place[PLACE_MAX];

    if (said->kind == UPDATE_PLACE) {
        u.bytes = place;
        u.len = (uint32_t)place_encode(&said->place, said->id, place);
    } else if (said->record) {
        u.bytes = said->record->bytes;
        u.len = said->record->len;
    }
    if (a->cut || b->cut || !b->replica)
        return false;
    switch (apply(mesh, msg->from, msg->to, &u,
                  said->owner ? said->owner : msg->node, id)) {
    case REPLICA_STRAY:
        if (a->replica)
            give_one(mesh, msg->from, msg->to, id);
        break;
    case REPLICA_NEWER:
        if (a->replica)
            give_one(mesh, msg->to, msg->from, id);
        break;
    case REPLICA_DONE:
        break;
    case REPLICA_BAD:
        printf("a member sent what is no record\n");
        abort();
    }
    return true;
}

/* A copy of what is waited for came, or never will. */
static void pending_count(struct pending *p, unsigned target, bool got,
                          struct told *told)
{
    if (!p)
        return;
    p->left--;
    p->got += got;
    p->applied |= (unsigned)got << target;
    if (!p->told && (p->left == 0 || (p->one && p->got))) {
        *told = (struct told){p->wait,
                              p->got < p->min_copies ? RC_UNCERTAIN : RC_OK};
        p->wait->applied = p->applied;
        p->told = true;
    }
    if (p->left == 0)
        free(p);
}

static void tell(struct mesh *mesh, unsigned member, const struct told *told)
{
    if (!told->wait)
        return;
    told->wait->now = mesh_now(mesh, member);
    told->wait->done(told->wait, told->rc);
}

static void message_free(struct message *msg)
{
    record_unref(&msg->update.record);
    free(msg);
}

/* ---- the channel's operations ---- */

/* Who is to get it; of an update to all also who has not joined yet. */
static unsigned receivers(struct member *from, const struct channel_update *u,
                          unsigned to[MESH_MAX], unsigned target[MESH_MAX])
{
    struct mesh *mesh = from->mesh;
    unsigned count = 0;

    for (unsigned i = 0; i < u->target_count; i++) {
        struct member *m = mesh_peer(from, u->targets[i]);
        if (!m)
            continue;
        target[count] = i;
        to[count++] = m->number;
    }
    for (unsigned i = 0; !u->target_count && i < mesh->count; i++) {
        if (i == from->number || from->cut || mesh->members[i].cut)
            continue;
        target[count] = 0;
        to[count++] = i;
    }
    return count;
}

static struct message *message_new(struct member *from,
                                   const struct channel_update *u, unsigned to,
                                   unsigned target, struct pending *p)
{
    struct message *msg = mem_zero(sizeof *msg);

    msg->from = from->number;
    msg->to = to;
    msg->target = target;
    msg->node = from->channel.node;
    msg->update = *u;
    if (u->record)
        msg->update.record = record_ref(u->record);
    msg->pending = p;
    return msg;
}

static void mesh_send(struct channel *c, const struct channel_update *u,
                      struct channel_wait *wait, enum copies copies)
{
    struct member *from = member_of(c);
    struct mesh *mesh = from->mesh;
    struct told told = {0};
    unsigned to[MESH_MAX], target[MESH_MAX];
    struct record *record = u->record;

    pthread_mutex_lock(&mesh->lock);
    unsigned count = receivers(from, u, to, target);
    struct pending *p = NULL;
    if (wait && copies == COPIES_NONE) {
        told = (struct told){wait, RC_OK};
    } else if (wait && count) {
        p = mem_zero(sizeof *p);
        p->wait = wait;
        p->left = count;
        p->min_copies = wait->min_copies;
        p->one = copies == COPIES_ONE;
    } else if (wait) {
        wait->applied = 0;
        told = (struct told){wait, wait->min_copies ? RC_UNCERTAIN : RC_OK};
    }
    mesh->touches += u->kind == UPDATE_TOUCH;
    mesh->bytes += record ? record->len : 0;
    for (unsigned i = 0; i < count; i++) {
        struct message *msg = message_new(from, u, to[i], target[i], p);
        if (mesh->hold) {
            *mesh->last = msg;
            mesh->last = &msg->next;
            mesh->held_count++;
            continue;
        }
        bool got = message_apply(mesh, msg);
        pending_count(p, msg->target, got, &told);
        message_free(msg);
    }
    record_unref(&record);
    pthread_mutex_unlock(&mesh->lock);
    tell(mesh, from->number, &told);
}

static void mesh_ask(struct channel *c, struct channel_ask *ask,
                     const char *name, size_t len)
{
    struct member *asker = member_of(c);
    struct mesh *mesh = asker->mesh;
    unsigned number = len == 5 ? (unsigned)(name[4] - '1') : MESH_MAX;

    pthread_mutex_lock(&mesh->lock);
    if (number >= mesh->count || !mesh->members[number].replica)
        ask->rc = RC_ABSENT;
    else if (mesh->members[number].cut || asker->cut)
        ask->rc = RC_UNAVAILABLE;
    else
        ask->rc =
            give_one(mesh, number, asker->number, ask->id) ? RC_OK : RC_ABSENT;
    pthread_mutex_unlock(&mesh->lock);
    ask->done(ask);
}

static void mesh_join(struct channel *c, struct replica *replica)
{
    struct member *m = member_of(c);

    pthread_mutex_lock(&m->mesh->lock);
    m->replica = replica;
    mesh_views(m->mesh, 0);
    pthread_mutex_unlock(&m->mesh->lock);
}

static void mesh_withdraw(struct channel *c, struct replica *replica)
{
    struct member *m = member_of(c);

    pthread_mutex_lock(&m->mesh->lock);
    atomic_store(&replica_members(replica)->leaves, true);
    mesh_views(m->mesh, 0);
    atomic_store(&replica_members(replica)->left, true);
    pthread_mutex_unlock(&m->mesh->lock);
}

static void mesh_leave(struct channel *c, struct replica *replica)
{
    struct member *m = member_of(c);
    uint64_t node = c->node;

    pthread_mutex_lock(&m->mesh->lock);
    if (m->replica == replica)
        m->replica = NULL;
    mesh_abandon(m, true);
    m->channel.node += MESH_MAX; /* the next start is another */
    mesh_views(m->mesh, node);
    pthread_mutex_unlock(&m->mesh->lock);
}

static bool mesh_is_mine(struct channel *c, const uint8_t id[ID_SIZE],
                         uint64_t owner)
{
    struct member *m = member_of(c);
    struct mesh *mesh = m->mesh;

    (void)id;
    for (unsigned i = 0; i < mesh->count; i++)
        if (mesh->members[i].channel.node == owner && !mesh->members[i].cut &&
            mesh->members[i].replica)
            return i == m->number;
    for (unsigned i = 0; i < m->number; i++)
        if (!mesh->members[i].cut && mesh->members[i].replica)
            return false;
    return true;
}

static void mesh_figures(struct channel *c, struct channel_figures *out)
{
    *out = (struct channel_figures){.members = member_of(c)->mesh->count};
}

static const struct channel_ops mesh_ops = {
    .send = mesh_send,
    .ask = mesh_ask,
    .join = mesh_join,
    .withdraw = mesh_withdraw,
    .leave = mesh_leave,
    .call = mesh_call,
    .reply = mesh_reply,
    .pause = mesh_pause,
    .wonder = mesh_wonder,
    .is_mine = mesh_is_mine,
    .figures = mesh_figures,
};

/* ---- what the test does ---- */

struct mesh *mesh_new(unsigned members, const struct instant *now)
{
    struct mesh *mesh = mem_zero(sizeof *mesh);
    pthread_mutexattr_t again;

    pthread_mutexattr_init(&again);
    pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mesh->lock, &again);
    pthread_mutexattr_destroy(&again);
    mesh->count = members;
    mesh->now = now;
    mesh->last = &mesh->held;
    for (unsigned i = 0; i < members; i++) {
        struct member *m = &mesh->members[i];
        m->mesh = mesh;
        m->number = i;
        m->channel.ops = &mesh_ops;
        m->channel.node = i + 1;
        m->channel.secret = secret;
        atomic_init(&m->channel.answer_until, INT64_MAX);
        atomic_init(&m->channel.complete, members - 1);
    }
    return mesh;
}

void mesh_free(struct mesh **mesh)
{
    if (!*mesh)
        return;
    mesh_lose(*mesh);
    pthread_mutex_destroy(&(*mesh)->lock);
    free(*mesh);
    *mesh = NULL;
}

struct channel *mesh_channel(struct mesh *mesh, unsigned i)
{
    return &mesh->members[i].channel;
}

struct replica *mesh_replica(struct mesh *mesh, unsigned i)
{
    return mesh->members[i].replica;
}

void mesh_skew(struct mesh *mesh, unsigned i, int64_t mono, int64_t wall)
{
    mesh->members[i].mono = mono;
    mesh->members[i].wall = wall;
}

void mesh_cut(struct mesh *mesh, unsigned i, bool cut)
{
    unsigned others = 0;

    mesh->members[i].cut = cut;
    for (unsigned n = 0; n < mesh->count; n++)
        others += !mesh->members[n].cut;
    for (unsigned n = 0; n < mesh->count; n++)
        atomic_store(&mesh->members[n].channel.complete,
                     mesh->members[n].cut ? 0 : others - 1);
    pthread_mutex_lock(&mesh->lock);
    mesh_views(mesh, 0);
    if (cut)
        mesh_abandon(&mesh->members[i], false);
    pthread_mutex_unlock(&mesh->lock);
}

void mesh_answering(struct mesh *mesh, unsigned i, bool answering)
{
    atomic_store(&mesh->members[i].channel.answer_until,
                 answering ? INT64_MAX : 0);
}

void mesh_hold(struct mesh *mesh, bool hold)
{
    pthread_mutex_lock(&mesh->lock);
    mesh->hold = hold;
    pthread_mutex_unlock(&mesh->lock);
}

size_t mesh_held(struct mesh *mesh)
{
    pthread_mutex_lock(&mesh->lock);
    size_t count = mesh->held_count;
    pthread_mutex_unlock(&mesh->lock);
    return count;
}

/* Takes one of the held out of the list. */
static struct message *take_held(struct mesh *mesh, size_t at)
{
    struct message **link = &mesh->held;

    while (at--)
        link = &(*link)->next;
    struct message *msg = *link;
    *link = msg->next;
    if (!*link)
        mesh->last = link;
    mesh->held_count--;
    return msg;
}

size_t mesh_deliver(struct mesh *mesh, struct dice *dice)
{
    size_t count = 0;

    for (;; count++) {
        struct told told = {0};
        pthread_mutex_lock(&mesh->lock);
        if (!mesh->held) {
            pthread_mutex_unlock(&mesh->lock);
            return count;
        }
        struct message *msg = take_held(
            mesh, dice ? dice_below(dice, (uint32_t)mesh->held_count) : 0);
        unsigned from = msg->from;
        bool got = message_apply(mesh, msg);
        if (dice && dice_one_in(dice, 4))
            message_apply(mesh, msg);
        pending_count(msg->pending, msg->target, got, &told);
        message_free(msg);
        pthread_mutex_unlock(&mesh->lock);
        tell(mesh, from, &told);
    }
}

void mesh_lose(struct mesh *mesh)
{
    while (mesh->held) {
        struct told told = {0};
        struct message *msg = take_held(mesh, 0);
        unsigned from = msg->from;
        pending_count(msg->pending, msg->target, false, &told);
        message_free(msg);
        told.rc = RC_UNCERTAIN;
        tell(mesh, from, &told);
    }
}

size_t mesh_sent_bytes(struct mesh *mesh)
{
    return mesh->bytes;
}

size_t mesh_sent_touches(struct mesh *mesh)
{
    return mesh->touches;
}

static uint64_t node_of(const struct mesh *mesh, unsigned i)
{
    return mesh->members[i].channel.node;
}

static void compare_leaf(struct mesh *mesh, unsigned to, unsigned from,
                         unsigned leaf, bool ended)
{
    struct replica *mine = mesh->members[to].replica;
    struct replica *theirs = mesh->members[from].replica;
    struct frame_leaf f = {.leaf = leaf, .ended = ended};
    struct replica_diff diff = {.more = true};
    uint8_t *entries, after[ID_SIZE];

    while (diff.more) {
        f.count = (uint32_t)replica_list(mine, node_of(mesh, from), leaf,
                                         f.after, &entries);
        f.entries = entries;
        replica_diff(theirs, node_of(mesh, to), &f, &diff);
        for (size_t i = 0; i < diff.want_count; i++)
            give_one(mesh, to, from, diff.wants + i * ID_SIZE);
        for (size_t i = 0; i < diff.count; i++)
            give(mesh, from, to, &diff.items[i]);
        f.after = memcpy(after, diff.upto, ID_SIZE);
        replica_diff_release(&diff);
        free(entries);
    }
}

size_t mesh_compare(struct mesh *mesh, unsigned to, unsigned from, bool ended)
{
    static uint64_t mine[FRAME_LEAVES], theirs[FRAME_LEAVES];
    uint8_t my_ended[FRAME_BITS], their_ended[FRAME_BITS];
    size_t differed = 0;

    pthread_mutex_lock(&mesh->lock);
    replica_sums(mesh->members[to].replica, node_of(mesh, from), mine,
                 my_ended);
    replica_sums(mesh->members[from].replica, node_of(mesh, to), theirs,
                 their_ended);
    for (unsigned leaf = 0; leaf < FRAME_LEAVES; leaf++) {
        bool over = ended && (their_ended[leaf / 8] >> leaf % 8 & 1);
        if (mine[leaf] == theirs[leaf] && !over)
            continue;
        compare_leaf(mesh, to, from, leaf, ended);
        differed++;
    }
    pthread_mutex_unlock(&mesh->lock);
    return differed;
}

static bool is_equal(const struct mesh *mesh, unsigned i, unsigned n)
{
    static uint64_t sums[FRAME_LEAVES], others[FRAME_LEAVES];
    const struct replica *a = mesh->members[i].replica;
    const struct replica *b = mesh->members[n].replica;
    uint8_t ended[FRAME_BITS];

    replica_sums(a, node_of(mesh, n), sums, ended);
    replica_sums(b, node_of(mesh, i), others, ended);
    return memcmp(sums, others, sizeof sums) == 0 &&
           replica_root(a, node_of(mesh, n)) ==
               replica_root(b, node_of(mesh, i));
}

bool mesh_is_equal(struct mesh *mesh)
{
    bool equal = true;

    pthread_mutex_lock(&mesh->lock);
    for (unsigned i = 0; i < mesh->count; i++)
        for (unsigned n = 0; n < i; n++)
            equal =
                equal && (!mesh->members[i].replica ||
                          !mesh->members[n].replica || is_equal(mesh, i, n));
    pthread_mutex_unlock(&mesh->lock);
    return equal;
}

void mesh_settle(struct mesh *mesh)
{
    for (unsigned i = 0; i < mesh->count; i++)
        if (mesh->members[i].replica)
            replica_settled(mesh->members[i].replica, mesh_now(mesh, i).mono);
}
