/* SPDX-License-Identifier: Apache-2.0
 *
 * When a member may answer from its own copies, and for whom commits wait.
 *
 * A waits for B until it has heard nothing of B for drop_ms. In its pulses A
 * repeats the latest moment of B's clock that it heard of: B knows then that A
 * waits for it until at least drop_ms after that moment, whatever the network
 * and the scheduler do, and answers for half of that time. So nobody has
 * acknowledged a change without B while B answers, and B finds out by one look
 * at its clock, in the first instant after a pause.
 * Source: Gray, Cheriton, "Leases", SOSP 1989; the echo instead of a promised
 * time, so that clocks need only to run at about the same speed. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include <inttypes.h>

/* Each member tells of the uses with its next tick, a second later at most. */
#define USES_MS 2000

/* Not called for so long: this process stood still, not the others. */
static int64_t pause_of(const struct core *core)
{
    return core->options.drop_ms / 3;
}

static int64_t half(const struct core *core)
{
    return core->options.drop_ms / 2;
}

static void set_until(struct core *core, int64_t until)
{
    atomic_store_explicit(&core->channel->answer_until, until,
                          memory_order_release);
}

static int64_t get_until(const struct core *core)
{
    return atomic_load_explicit(&core->channel->answer_until,
                                memory_order_relaxed);
}

void lease_time(struct core *core, struct instant now)
{
    int64_t gap = now.mono - core->last_now;
    int64_t until = get_until(core);

    core->clock = now;
    /* who looks for others has to be awake; a little always counts, or a slow
     * machine would look for ever */
    if (gap > core->options.pulse_ms)
        core->joining_since += gap - core->options.pulse_ms;
    if (gap > pause_of(core)) {
        for (size_t i = 0; i < core->peer_count; i++) {
            core->peers[i]->give_up_at += gap;
            core->peers[i]->withdraw_at += gap;
        }
        /* the answers to its questions are as old */
        if (!core->complete)
            lease_stale(core);
    }
    if (until && now.mono >= until) {
        core->lapsed = true;
        core->lapsed_at = now.mono;
        set_until(core, 0);
        core_say(core, LOG_WARN,
                 "nobody has confirmed for %" PRId64 " ms that changes wait "
                 "for this member: it does not answer until all have",
                 now.mono - until + half(core));
    }
    if (gap > 0)
        core->last_now = now.mono;
}

void lease_stale(struct core *core)
{
    if (core->complete)
        core_say(core, LOG_INFO,
                 "others may have acknowledged changes without this member: "
                 "it compares its copies before it answers");
    core->complete = false;
    core->stale_no++;
    for (size_t i = 0; i < core->peer_count; i++)
        core->peers[i]->next_compare = NEVER; /* at once */
    set_until(core, 0);
}

/* ---- for whom we wait ---- */

void lease_admit(struct core *core, struct peer *p, struct instant now)
{
    p->waited = true;
    p->given_up = false;
    p->withdrawn = NEVER;
    p->epoch = ++core->epochs; /* also of one that was forgotten meanwhile */
    p->floor = p->waited_from = stream_answered(core);
    p->compare = core->ever_complete;
    p->give_up_at = p->withdraw_at = now.mono + core->options.drop_ms;
    view_note(core, p, now);
}

void lease_give_up(struct core *core, struct peer *p, const char *why,
                   struct instant now)
{
    struct channel_figures f;

    p->waited = false;
    p->given_up = true;
    p->given_up_at = now.mono;
    p->withdrawn = NEVER;
    core->given_up++;
    core->waits_changed = core->some_changed = true;
    core->alone_since = now.mono;
    view_note(core, p, now);
    calls_drop_peer(core, p);
    core_figures(core, &f, now);
    core_say(core, p->left ? LOG_INFO : LOG_WARN,
             "%s is not waited for any more: %s; members left: %u; would be "
             "lost if this one went now: %" PRIu64 " %s",
             p->name, why, f.members, f.unacknowledged,
             f.complete ? "updates" : "sessions");
}

/* It hears us, or it does not: then it is told that we do not wait, and when
 * the last lease that it may hold has run out it is so. One that says nothing
 * itself stands still, perhaps, and others wait for it: with their leases it
 * may answer for as long as they do. */
static void check_hearing(struct core *core, struct peer *p, struct instant now)
{
    if (p->withdrawn != NEVER && now.mono - p->heard > pause_of(core))
        p->withdrawn = now.mono;
    if (p->withdrawn == NEVER && peer_linked(p) && now.mono >= p->withdraw_at) {
        p->withdrawn = now.mono;
        p->next_pulse = now.mono;
    }
    if (p->withdrawn != NEVER && now.mono - p->withdrawn >= half(core))
        lease_give_up(core, p, "it does not hear this member", now);
}

static void check_peer(struct core *core, struct peer *p, struct instant now)
{
    if (p->waited && now.mono >= p->give_up_at)
        lease_give_up(core, p, "silent for dropTime", now);
    if (p->waited)
        check_hearing(core, p, now);
    if (peer_linked(p) && now.mono >= p->next_pulse)
        lease_send_pulse(core, p, now);
}

bool lease_silent(const struct peer *p, struct instant now)
{
    return now.mono >= p->give_up_at;
}

void lease_tick(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->peer_count; i++)
        check_peer(core, core->peers[i], now);
}

/* ---- pulses ---- */

static int64_t wire_mono(int64_t mono)
{
    return mono == NEVER ? -1 : mono;
}

void lease_send_pulse(struct core *core, struct peer *p, struct instant now)
{
    struct frame_root roots[FRAME_APPS_MAX];
    struct frame_pulse f = {
        .mono = now.mono,
        .echo = wire_mono(p->their_mono),
        .waits = p->waited && p->withdrawn == NEVER,
        .answering = core_may_answer(core, now),
        .drains = core->drains,
        .seq = core->seq,
        .epoch = p->epoch,
        .floor = p->floor,
        .compare = p->compare,
        .ack = stream_ack(p),
    };

    for (size_t i = 0; i < core->replica_count && i < FRAME_APPS_MAX; i++)
        roots[f.root_count++] = (struct frame_root){
            .app = replica_app(core->replicas[i]),
            .sum = replica_root(core->replicas[i], p->node),
            .leaves = atomic_load(&replica_members(core->replicas[i])->leaves),
        };
    stream_cover_rest(core, p, now);
    frame_pulse(&core->w, &f, roots);
    core_post(core, p);
    p->next_pulse = now.mono + core->options.pulse_ms;
    peer_ack_told(p);
}

void core_drain(struct core *core, struct instant now)
{
    lease_time(core, now);
    core->drains = true;
    for (size_t i = 0; i < core->peer_count; i++)
        core->peers[i]->next_pulse = now.mono; /* with the next tick */
}

static bool equal_roots(struct core *core, const struct peer *p,
                        struct frame_pulse *f)
{
    struct frame_root root;
    size_t equal = 0;

    while (frame_next_root(f, &root)) {
        const struct replica *r = core_replica(core, root.app);
        if (r && replica_root(r, p->node) == root.sum)
            equal++;
    }
    for (size_t i = 0; i < core->replica_count; i++)
        equal += view_lacks(core, p, replica_app(core->replicas[i]));
    return equal == core->replica_count;
}

/* All that it did is here, and all that we did is there. */
static void compare_roots(struct core *core, struct peer *p,
                          struct frame_pulse *f, struct instant now)
{
    if (peer_has_hole(p) || f->seq != p->applied)
        return;
    if (equal_roots(core, p, f)) {
        sync_compared(core, p, now.mono);
        p->unequal = 0;
    } else if (stream_has_all(core, p)) {
        p->unequal++;
    }
}

static void admitted(struct core *core, struct peer *p,
                     const struct frame_pulse *f)
{
    p->their_epoch = f->epoch;
    p->their_floor = f->floor;
    p->lease = NEVER;
    if (f->compare)
        lease_stale(core);
}

static bool leaves_any(const struct peer *p)
{
    for (size_t i = 0; i < p->app_count; i++)
        if (p->apps[i].leaves)
            return true;
    return false;
}

/* Who may not answer, or leaves, waits for our echo: at once, but not in a
 * circle. */
static bool wants_answer(const struct core *core, const struct peer *p,
                         struct instant now)
{
    return (!p->answering || leaves_any(p)) &&
           p->next_pulse - now.mono < core->options.pulse_ms * 4 / 5;
}

void lease_pulsed(struct core *core, struct peer *p, struct frame_pulse *f,
                  struct instant now)
{
    bool first = !p->pulsed || f->epoch > p->their_epoch;

    first |= view_pulsed(core, p, f);
    stream_acked(core, p, &f->ack, now);
    if (!p->pulsed) {
        p->pulsed = true;
        p->their_mono = NEVER;
        stream_resume(core, p);
    }
    if (f->mono > p->their_mono)
        p->their_mono = f->mono;
    if (f->echo >= 0 && f->echo > p->echo && f->echo <= now.mono) {
        p->echo = f->echo;
        p->withdraw_at = p->echo + core->options.drop_ms;
        p->withdrawn = NEVER;
    }
    p->answering = f->answering;
    if (f->seq > p->seq)
        p->seq = f->seq;
    if (f->epoch > p->their_epoch)
        admitted(core, p, f);
    if (f->waits && f->epoch == p->their_epoch && f->echo >= 0 &&
        f->echo <= now.mono && f->echo > p->lease)
        p->lease = f->echo;
    if (!p->waited && p->echo != NEVER && now.mono - p->echo < half(core)) {
        lease_admit(core, p, now);
        lease_send_pulse(core, p, now);
    }
    compare_roots(core, p, f, now);
    if (first || wants_answer(core, p, now))
        lease_send_pulse(core, p, now);
}

/* ---- may we answer? ---- */

static bool place_settled(struct core *core, const struct core_place *place)
{
    const struct peer *p = place->node ? peer_of(core, place->node) : NULL;

    if (place->self)
        return true;
    if (p && peer_linked(p))
        return p->pulsed;
    return place->refused ||
           (p && p->given_up && p->given_up_at >= core->joining_since);
}

bool lease_settled(const struct core *core, struct instant now)
{
    int64_t waited = now.mono - core->joining_since;

    if (waited >= core->options.drop_ms)
        return true;
    if (!core->options.listed && waited < core->options.drop_ms / 3)
        return false; /* some may not have been heard of yet */
    for (size_t i = 0; i < core->place_count; i++)
        if (!place_settled((struct core *)core, &core->places[i]))
            return false;
    for (size_t i = 0; i < core->peer_count; i++)
        if (peer_linked(core->peers[i]) && !core->peers[i]->pulsed)
            return false;
    return true;
}

/* Does it wait for this member now? What it did before it began to do so again
 * need not be here. */
static bool confirms(const struct core *core, const struct peer *p,
                     struct instant now)
{
    if (p->lease == NEVER || (core->lapsed && p->lease < core->lapsed_at))
        return false;
    /* a word from before a second pause says nothing of now */
    return p->lease + half(core) > now.mono;
}

/* Nobody is left who could confirm anything: look around once more. */
static void look_around(struct core *core, struct instant now)
{
    core->lapsed = false;
    core->joining_since = now.mono;
    for (size_t i = 0; i < core->place_count; i++) {
        core->places[i].refused = false;
        core->places[i].next_dial = now.mono;
    }
    lease_stale(core);
}

void lease_check_complete(struct core *core, struct instant now)
{
    bool any = false, all = true, floors = true, nobody = true;
    bool partial = core_is_partial(core);

    if (core->complete || core->stopping || !lease_settled(core, now))
        return;
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        all &= !p->waited || peer_linked(p); /* it may know more */
        if (!peer_linked(p) || lease_silent(p, now))
            continue;
        if (!p->pulsed)
            return; /* it says in a moment what it has */
        nobody = false;
        if (partial && !p->waited)
            continue; /* it does not hear us, and so cannot tell */
        if (p->waited && !confirms(core, p, now))
            return; /* it may acknowledge more without this member */
        bool pulled = p->pulled_for == core->stale_no;
        any |= pulled && p->pulled_answering;
        all &= pulled;
        floors &= p->applied >= p->their_floor;
    }
    /* where nobody has everything, each has something of its own */
    any &= !partial;
    if (!(any || all) || !floors)
        return;
    if (nobody && core->lapsed) {
        look_around(core, now);
        return;
    }
    if (core->ever_complete)
        atomic_store(&core->channel->uses_from, now.mono + USES_MS);
    core->complete = core->ever_complete = true;
    core->lapsed = false;
    core->waits_changed = true;
    core_say(core, LOG_INFO, "this member's copies are complete");
    lease_update(core, now);
    for (size_t i = 0; i < core->peer_count; i++)
        if (peer_linked(core->peers[i]))
            lease_send_pulse(core, core->peers[i], now);
}

static void confirm(struct core *core, struct instant now)
{
    bool any = false;

    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->waited)
            continue;
        any = true;
        if (!confirms(core, p, now))
            return;
    }
    core->waits_changed = true;
    if (any)
        core->lapsed = false;
    else
        look_around(core, now);
}

void lease_update(struct core *core, struct instant now)
{
    int64_t until = get_until(core);
    unsigned complete = 0;
    bool alone = true;

    for (size_t i = 0; i < core->peer_count; i++)
        complete += peer_linked(core->peers[i]) && core->peers[i]->answering;
    atomic_store_explicit(&core->channel->complete, complete,
                          memory_order_relaxed);
    if (core->complete && core->lapsed)
        confirm(core, now);
    if (!core->complete || core->lapsed) {
        set_until(core, 0);
        return;
    }
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        alone &= !p->waited;
        if (p->lease != NEVER && p->lease + half(core) > until)
            until = p->lease + half(core);
    }
    if (alone)
        until = now.mono + half(core);
    set_until(core, until > now.mono ? until : 0);
}
