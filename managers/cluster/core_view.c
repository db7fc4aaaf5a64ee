/* SPDX-License-Identifier: Apache-2.0
 *
 * What others may know of the members: their states in the channel, figures,
 * whose part a session is. */
#include "config.h"

#include "managers/cluster/core_impl.h"
#include "managers/cluster/rendezvous.h"
#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* ---- states ---- */

void view_init(struct channel *c)
{
    atomic_store(&c->member_slots, 0);
    for (size_t i = 0; i < FRAME_MEMBERS_MAX; i++) {
        atomic_store(&c->members[i].node, 0);
        atomic_store(&c->members[i].state, MEMBER_UNKNOWN);
    }
}

enum member_state view_state(const struct core *core, const struct peer *p,
                             struct instant now)
{
    if (p->waited)
        return MEMBER_HERE;
    if (p->departed || (!peer_linked(p) && p->heard != NEVER &&
                        now.mono - p->heard >= core->options.forget_ms))
        return MEMBER_GONE;
    return MEMBER_AWAY;
}

/* Its own from before; the next free one; that of one that is gone. There are
 * fewer peers than slots (on_hello). */
static unsigned slot_for(struct core *core, uint64_t node)
{
    struct channel *c = core->channel;
    unsigned count = atomic_load(&c->member_slots);

    for (unsigned i = 0; i < count; i++)
        if (atomic_load(&c->members[i].node) == node)
            return i;
    if (count < FRAME_MEMBERS_MAX)
        return count;
    for (unsigned i = 0; i < count; i++)
        if (!peer_of(core, atomic_load(&c->members[i].node)))
            return i;
    return 0;
}

/* ---- applications ---- */

static enum app_state app_among(const struct peer_app *apps, size_t count,
                                uint32_t app)
{
    if (!apps)
        return APP_UNKNOWN;
    for (size_t i = 0; i < count; i++)
        if (apps[i].app == app)
            return apps[i].leaves ? APP_LEAVES : APP_HAS;
    return APP_LACKS;
}

static enum app_state app_of(const struct peer *p, uint32_t app)
{
    return app_among(p->apps, p->app_count, app);
}

/* true: that changed it. */
static bool note_app(struct core *core, const struct peer *p, struct replica *r)
{
    _Atomic uint8_t *at = &replica_members(r)->at[p->slot];
    enum app_state state = app_of(p, replica_app(r));

    if (!p->has_slot || atomic_load(at) == (uint8_t)state)
        return false;
    atomic_store(at, (uint8_t)state);
    core->view_changed = true;
    return true;
}

static void note_apps(struct core *core, const struct peer *p)
{
    bool changed = false;

    for (size_t i = 0; i < core->replica_count; i++)
        changed |= note_app(core, p, core->replicas[i]);
    if (changed)
        atomic_fetch_add(&core->channel->view, 1);
}

/* With other managers for one application, nobody has what others have of it.
 */
static void warn_other_kind(struct core *core, const struct peer *p,
                            const struct replica *r)
{
    const struct manager *m = replica_manager(r);

    if (m->face || app_of(p, replica_app(r)) >= APP_LEAVES)
        return; /* a rolling change: here, or there, are both */
    core_say(core, LOG_WARN,
             "%s has another manager for %s than this member, whose is %s: "
             "neither knows the sessions of the other; configure the same at "
             "all members",
             p->name, m->env.app, m->ops->name);
}

void view_joined(struct core *core, struct replica *r)
{
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        note_app(core, p, r);
        if (app_of(p, replica_other_app(r)) >= APP_LEAVES)
            warn_other_kind(core, p, r);
    }
}

/* before: what it had until now. */
static void warn_other_kinds(struct core *core, const struct peer *p,
                             const struct peer_app *before, size_t count)
{
    for (size_t i = 0; i < core->replica_count; i++) {
        uint32_t other = replica_other_app(core->replicas[i]);
        if (app_of(p, other) >= APP_LEAVES &&
            app_among(before, count, other) < APP_LEAVES)
            warn_other_kind(core, p, core->replicas[i]);
    }
}

bool view_lacks(struct core *core, const struct peer *p, uint32_t app)
{
    return core_replica(core, app) && app_of(p, app) == APP_LACKS;
}

bool view_pulsed(struct core *core, struct peer *p, const struct frame_pulse *f)
{
    struct frame_pulse pulse = *f;
    struct peer_app *apps = mem_zero((f->root_count + 1) * sizeof *apps);
    struct frame_root root;
    size_t count = 0;

    for (; frame_next_root(&pulse, &root); count++) {
        apps[count].app = root.app; /* what is between stays 0 */
        apps[count].leaves = root.leaves;
    }
    bool news = !p->apps || count != p->app_count ||
                memcmp(apps, p->apps, count * sizeof *apps) != 0;
    struct peer_app *before = p->apps;
    size_t before_count = p->app_count;
    p->apps = apps;
    p->app_count = count;
    if (news)
        warn_other_kinds(core, p, before, before_count);
    free(before);
    if (p->has_slot)
        atomic_store(&core->channel->members[p->slot].drains, f->drains);
    if (!news)
        return false;
    note_apps(core, p);
    core->waits_changed = core->some_changed = true; /* view_lacks */
    return true;
}

void view_look_left(struct core *core)
{
    for (size_t i = 0; i < core->replica_count; i++) {
        struct channel_app *app = replica_members(core->replicas[i]);
        bool all = atomic_load(&app->leaves);
        for (size_t k = 0; all && k < core->peer_count; k++) {
            const struct peer *p = core->peers[k];
            all = !p->waited || (p->echo >= app->left_from &&
                                 (app->only_heard || p->applied >= p->seq));
        }
        if (all)
            atomic_store(&app->left, true);
    }
}

bool view_look_again(struct core *core, struct instant now)
{
    bool any = false;

    for (size_t i = 0; i < core->replica_count; i++) {
        struct channel_app *app = replica_members(core->replicas[i]);
        if (!atomic_load(&app->again))
            continue;
        app->left_from = now.mono;
        app->only_heard = any = true;
        atomic_store(&app->left, false);
        atomic_store(&app->again, false);
    }
    return any;
}

/* ---- slots ---- */

static void slot_take(struct core *core, struct peer *p)
{
    struct channel *c = core->channel;
    unsigned slot = slot_for(core, p->node);

    atomic_store(&c->members[slot].state, MEMBER_UNKNOWN);
    atomic_store(&c->members[slot].drains, false); /* the next pulse says */
    atomic_store(&c->members[slot].node, p->node);
    atomic_store(&c->members[slot].name,
                 replica_hash((const uint8_t *)p->name, strlen(p->name)));
    if (slot == atomic_load(&c->member_slots))
        atomic_store(&c->member_slots, slot + 1);
    p->slot = slot;
    p->has_slot = true;
    note_apps(core, p);
}

void view_note(struct core *core, struct peer *p, struct instant now)
{
    enum member_state state = view_state(core, p, now);

    if (!p->has_slot)
        slot_take(core, p);
    struct channel_member *m = &core->channel->members[p->slot];
    if (atomic_load(&m->state) == (unsigned)state)
        return;
    atomic_store(&m->left, p->left);
    atomic_store(&m->state, state);
    atomic_fetch_add(&core->channel->view, 1);
    core->view_changed = true;
}

void view_gone(struct core *core, uint64_t node)
{
    struct channel *c = core->channel;
    unsigned slot = slot_for(core, node), count = atomic_load(&c->member_slots);

    /* members' slots are not given away for that */
    if (slot == FRAME_MEMBERS_MAX - 1 ||
        (slot < count && peer_of(core, atomic_load(&c->members[slot].node))))
        return;
    atomic_store(&c->members[slot].state, MEMBER_UNKNOWN);
    atomic_store(&c->members[slot].node, node);
    atomic_store(&c->members[slot].name, 0);
    atomic_store(&c->members[slot].left, false);
    if (slot == count)
        atomic_store(&c->member_slots, slot + 1);
    atomic_store(&c->members[slot].state, MEMBER_GONE);
    atomic_fetch_add(&c->view, 1);
    core->view_changed = true;
}

/* Who listens there, or cannot be reached, and has never said who he is. */
static unsigned count_unheard(const struct core *core)
{
    unsigned count = 0;

    for (size_t i = 0; i < core->place_count; i++) {
        const struct core_place *place = &core->places[i];
        count +=
            place->listed && !place->self && !place->refused && !place->node;
    }
    return count;
}

void view_tick(struct core *core, struct instant now)
{
    atomic_store(&core->channel->unheard, count_unheard(core));
    for (size_t i = 0; i < core->peer_count; i++)
        view_note(core, core->peers[i], now);
}

/* ---- figures ---- */

/* Of a log longer than that it is counted once in so many ms. */
#define COUNT_OFTEN 10000
#define COUNT_AGAIN_MS 1000

/* How far another member that may answer has got. */
struct reach {
    uint64_t node, acked;
};

static int by_node(const void *x, const void *y)
{
    uint64_t a = ((const struct reach *)x)->node;
    uint64_t b = ((const struct reach *)y)->node;

    return (a > b) - (a < b);
}

/* The one with the node 0 is as far as the furthest. */
static size_t reach_of_all(const struct core *core, struct reach *out)
{
    size_t count = 1;

    out[0] = (struct reach){0, 0};
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!peer_linked(p) || !p->answering)
            continue;
        out[count++] = (struct reach){p->node, p->acked};
        if (p->acked > out[0].acked)
            out[0].acked = p->acked;
    }
    qsort(out, count, sizeof *out, by_node);
    return count;
}

static bool is_protected(const struct core *core, uint64_t seq,
                         const struct reach *all, size_t count)
{
    const struct log_more *more = log_at(core, seq)->more;
    bool some = more && more->targeted, safe = false;

    if (seq > all[0].acked || !some)
        return seq <= all[0].acked;
    for (unsigned i = 0; !safe && i < more->target_count; i++) {
        const struct reach want = {more->targets[i], 0};
        const struct reach *r =
            bsearch(&want, all, count, sizeof *all, by_node);
        safe = r && r->acked >= seq;
    }
    return safe;
}

/* Those in the log of which no other complete member is known to have them. */
static void count_unprotected(struct core *core, struct instant now)
{
    struct reach *all;
    uint64_t count = 0;

    if (core->seq + 1 - core->log_first > COUNT_OFTEN &&
        now.mono - core->unprotected.at < COUNT_AGAIN_MS)
        return;
    all = mem_alloc((core->peer_count + 1) * sizeof *all);
    size_t reaches = reach_of_all(core, all);
    for (uint64_t s = core->log_first; s <= core->seq; s++)
        if (!is_protected(core, s, all, reaches) && count++ == 0)
            core->unprotected.since = stream_sent_at(core, s);
    free(all);
    core->unprotected.count = count;
    core->unprotected.at = now.mono;
}

static void figures_unprotected(struct core *core, struct channel_figures *out,
                                struct instant now)
{
    uint64_t best = 0;
    int64_t since = core->alone_since;

    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (peer_linked(p) && p->answering && p->acked > best)
            best = p->acked;
    }
    if (out->complete && core->log_targeted) {
        count_unprotected(core, now);
        out->unacknowledged = core->unprotected.count;
        since = core->unprotected.since;
    } else if (out->complete) {
        out->unacknowledged = core->seq - best;
        since = best + 1 >= core->log_first && best < core->seq
                    ? stream_sent_at(core, best + 1)
                    : now.mono;
    } else { /* nothing that is here stands anywhere else */
        for (size_t i = 0; i < core->replica_count; i++) {
            struct table_counts counts;
            table_counts(replica_manager(core->replicas[i])->table, &counts);
            out->unacknowledged += counts.live;
        }
    }
    if (out->unacknowledged)
        out->oldest = (double)(now.mono - since) / 1000;
}

void core_figures(struct core *core, struct channel_figures *out,
                  struct instant now)
{
    unsigned members = 1;

    for (size_t i = 0; i < core->peer_count; i++)
        members += core->peers[i]->waited && !core->peers[i]->departed;
    *out = (struct channel_figures){
        .members = members,
        .complete = atomic_load(&core->channel->complete),
        .bytes_sent = core->bytes_sent,
        .frames_sent = core->frames_sent,
        .bytes_received = core->bytes_received,
        .frames_received = core->frames_received,
        .garbage = core->garbage,
        .compared = core->compared,
        .repaired = core->repaired,
        .resent = core->resent,
        .given_up = core->given_up,
        .version = core->options.version,
        .older = version_older(core),
        .releases = core->releases,
    };
    figures_unprotected(core, out, now);
}

bool core_member(const struct core *core, size_t index, struct core_member *out)
{
    if (index >= core->peer_count)
        return false;
    const struct peer *p = core->peers[index];
    *out = (struct core_member){
        .node = p->node,
        .linked = peer_linked(p),
        .given_up = p->given_up,
        .complete = p->answering && !peer_has_hole(p),
        .answering = p->answering,
        .departed = p->departed,
        .heard = p->heard,
        .behind = stream_behind(core, p),
    };
    memcpy(out->name, p->name, sizeof out->name);
    memcpy(out->address, p->address, sizeof out->address);
    return true;
}

/* ---- whose part ---- */

bool core_is_mine(const struct core *core, const uint8_t id[ID_SIZE],
                  uint64_t owner)
{
    uint64_t mine = rendezvous_weight(core->options.node, id);
    bool first = true;

    if (owner == core->options.node || owner == 0)
        return true;
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->waited || p->departed)
            continue;
        if (p->node == owner)
            return false;
        if (rendezvous_weight(p->node, id) > mine)
            first = false;
    }
    return first;
}
