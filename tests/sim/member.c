/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/member.h"

#include "managers/backup_impl.h"
#include "managers/managers.h"
#include "session/buf.h"
#include "tests/sim/holders.h"
#include "tests/sim/net.h"
#include "tests/sim/waits.h"
#include "tests/sim/work.h"

#include <stdlib.h>
#include <string.h>

/* Shared by the members, as the cluster's key makes it. */
static const uint8_t secret[ID_SIZE] = "one for all here";

#define TICK_US (50 * MS)
#define STOP_LOOK_US (100 * MS)
#define STOP_US (10 * SECOND) /* stopTimeout */

/* ---- time ---- */

static int64_t local_ms(const struct member *m)
{
    int64_t now = m->sim->now;

    return (now + now / 1000 * m->rate / 1000) / MS;
}

struct instant member_now(const struct member *m)
{
    int64_t ms = local_ms(m);

    return (struct instant){.mono = m->mono + ms, .wall = m->wall + ms};
}

bool member_answers(const struct member *m)
{
    return m->up && !m->leaving && m->paused_until <= m->sim->now &&
           m->inbox_at == m->inbox_count && m->manager &&
           channel_may_answer(&m->channel, member_now(m));
}

/* ---- what the core says ---- */

static void out_send(void *user, int link, const uint8_t *bytes, size_t len)
{
    struct member *m = user;

    if (m->up)
        net_send(m->sim, m->slot, link, bytes, len);
}

static void out_close(void *user, int link)
{
    struct member *m = user;

    if (m->up)
        net_close(m->sim, m->slot, link);
}

static void out_dial(void *user, int place, const char *address)
{
    struct member *m = user;

    if (m->up)
        net_dial(m->sim, m->slot, place, address);
}

void member_enter(struct member *m)
{
    m->depth++;
}

static void note_left(struct member *m)
{
    if (!m->left_at && atomic_load(&backup_of(m->manager)->left))
        m->left_at = m->sim->now;
}

void member_exit(struct member *m)
{
    m->depth--;
    holders_view(m);
    if (m->parting && m->manager)
        note_left(m);
    member_touch(m);
}

static void soon(struct member *m, enum event_kind kind, int64_t us,
                 int64_t number)
{
    sim_at(m->sim, &(struct event){.at = m->sim->now + us,
                                   .kind = kind,
                                   .slot = m->slot,
                                   .life = m->life,
                                   .number = number});
}

void member_touch(struct member *m)
{
    struct sim *sim = m->sim;

    if (m->flushing || !m->up)
        return;
    m->flushing = true;
    soon(m, EVENT_FLUSH,
         sim->plan.flush_us ? rng_between(&sim->net_rng, 0, sim->plan.flush_us)
                            : 0,
         0);
}

/* ---- life ---- */

/* Lines of the member's own log, in the trace. */
static void log_to_trace(void *user, enum log_level level, const char *line)
{
    const struct member *m = user;
    const char *text = strstr(line, ": ");

    (void)level;
    SAY(m->sim, m->slot, "log: %s", text ? text + 2 : line);
}

void member_init(struct sim *sim, int slot)
{
    struct member *m = &sim->members[slot];
    const struct plan *p = &sim->plan;
    int64_t skew = p->skew_ms;

    m->sim = sim;
    m->slot = slot;
    snprintf(m->name, sizeof m->name, "m%d", slot + 1);
    snprintf(m->address, sizeof m->address, "host%d:4000", slot + 1);
    m->mono = rng_between(&sim->rng, 1000, 4000000000);
    m->wall = 1700000000000 + rng_between(&sim->rng, -skew, skew);
    m->rate = rng_between(&sim->rng, -1000, 1000);
    m->handoff_last = &m->handoffs;
    log_init(&m->log, m->name);
    m->log.sink = log_to_trace;
    m->log.user = m;
    m->log.level = LOG_DEBUG;
    soon(m, EVENT_START, rng_mostly_small(&sim->rng, 0, 1500 * MS), 0);
}

/* A newcomer waits for two pulses (dropTime / 3) to hear of the others. */
static void member_places(struct member *m)
{
    struct sim *sim = m->sim;
    int64_t heard = sim->plan.drop_ms * MS / 4;

    for (unsigned i = 0; i < sim->count; i++) {
        if ((int)i == m->slot)
            continue;
        if (sim->plan.listed)
            core_place(m->core, sim->members[i].address, true);
        else
            soon(m, EVENT_PLACE, rng_between(&sim->rng, 0, heard), i);
    }
}

static void member_manage(struct member *m)
{
    struct sim *sim = m->sim;
    struct err err = {""};
    struct manager_env env = {.log = sim->trace ? &m->log : NULL,
                              .app = "/sim",
                              .node = m->name,
                              .node_number = m->channel.node,
                              .work_dir = ".",
                              .channel = &m->channel};

    enum rc rc =
        manager_new(managers_find(plan_manager(&sim->plan)), &sim->common,
                    sim->own_options, NULL, NULL, &env, &m->manager, &err);
    if (rc == RC_OK)
        rc = manager_start(m->manager, member_now(m), &err);
    if (rc != RC_OK)
        sim_fail(sim, "%s does not start: %s", m->name, err.text);
    m->manager->keep_ended_ms = sim->plan.keep_ms;
    if (m->replica)
        replica_set_keep(m->replica, sim->plan.keep_ms);
}

void member_start(struct member *m)
{
    struct sim *sim = m->sim;
    const struct plan *p = &sim->plan;

    if (m->up)
        return;
    uint64_t node = rng_next(&sim->rng) | 1;
    m->life++;
    m->up = true;
    m->leaving = m->silent = m->waking = m->flushing = m->handing = false;
    m->parting = m->parted = false;
    m->left_at = 0;
    m->paused_until = m->busy_until = 0;
    m->started = m->resumed = m->view_at = sim->now;
    m->view = m->here = m->here_low = 0;
    m->channel =
        (struct channel){.ops = &channel_sim, .node = node, .secret = secret};
    m->out = (struct core_out){
        .user = m, .send = out_send, .close = out_close, .dial = out_dial};
    struct core_options options = {
        .cluster = "sim",
        .name = m->name,
        .address = m->address,
        .node = node,
        .drop_ms = p->drop_ms,
        .forget_ms = p->forget_ms,
        .compare_ms = p->compare_ms,
        .log_bytes = p->log_bytes,
        .listed = p->listed,
        .log = sim->trace ? &m->log : NULL,
    };
    SAY(sim, m->slot, "starts as %016llx", (unsigned long long)node);
    member_enter(m);
    m->core = core_new(&options, &m->out, &m->channel, member_now(m));
    member_places(m);
    member_manage(m);
    member_exit(m);
    soon(m, EVENT_TICK, rng_between(&sim->rng, 0, TICK_US), 0);
    soon(m, EVENT_SECOND, rng_between(&sim->rng, 0, SECOND), 0);
}

static void drop_inbox(struct member *m)
{
    for (; m->inbox_at < m->inbox_count; m->inbox_at++) {
        const struct event *e = &m->inbox[m->inbox_at];
        if (e->kind == EVENT_VISIT || e->kind == EVENT_COMMIT)
            work_drop(m->sim, e);
        else
            net_drop(m->sim, e);
    }
    m->inbox_at = m->inbox_count = 0;
}

static void member_end(struct member *m)
{
    if (!m->sim->failure[0] && m->sim->end_at >= 0 && m->manager)
        holders_end(m->sim, m->slot);
    net_crash(m->sim, m->slot, m->silent);
    m->up = false;
    drop_inbox(m);
    work_crash(m->sim, m->slot);
    member_enter(m);
    waits_hand_over(m);
    core_free(&m->core);
    waits_hand_over(m);
    manager_free(&m->manager);
    m->depth = 0;
    free(m->ends);
    m->ends = NULL;
    m->end_count = 0;
}

void member_crash(struct member *m, bool silent)
{
    SAY(m->sim, m->slot, "crashes%s", silent ? " with its host" : "");
    m->silent = silent;
    member_end(m);
}

void member_release(struct member *m)
{
    if (m->up)
        member_end(m);
    free(m->inbox);
    free(m->ends);
}

void member_leave(struct member *m)
{
    SAY(m->sim, m->slot, "is asked to stop");
    m->leaving = true;
    soon(m, EVENT_STOPPED, 500 * MS, 0);
}

/* True: others are still to take over what it holds. */
static bool member_parts(struct member *m)
{
    struct sim *sim = m->sim;

    if (!sim->plan.backup || !m->manager->ready)
        return false;
    if (!m->parting) {
        m->parting = true;
        m->started = sim->now;
        member_enter(m);
        manager_leave(m->manager, member_now(m));
        member_exit(m);
    }
    m->parted =
        manager_left(m->manager) && backup_of(m->manager)->leave.alone == 0;
    return !manager_left(m->manager) && sim->now - m->started < STOP_US;
}

/* The requests that it had are answered; what it knows goes to the others. */
void member_stopped(struct member *m)
{
    if (m->paused_until > m->sim->now) {
        soon(m, EVENT_STOPPED, m->paused_until - m->sim->now, 0);
        return;
    }
    if (member_parts(m)) {
        soon(m, EVENT_STOPPED, STOP_LOOK_US, 0);
        return;
    }
    member_enter(m);
    if (m->leaving && m->manager->ready) {
        manager_stop(m->manager, member_now(m), 2000);
        if (m->sim->plan.backup) /* what it hands over goes first */
            waits_hand_over(m);
        else
            core_stop(m->core, member_now(m));
        m->started = m->sim->now;
    }
    member_exit(m);
    bool idle = core_idle(m->core);
    if (!idle && m->sim->now - m->started < 2 * SECOND) {
        soon(m, EVENT_STOPPED, STOP_LOOK_US, 0);
        return;
    }
    if (m->sim->plan.backup) {
        member_enter(m);
        core_stop(m->core, member_now(m));
        core_flush(m->core, member_now(m));
        member_exit(m);
    }
    m->parted &= idle;
    SAY(m->sim, m->slot, "stops%s", idle ? "" : ", not all was taken over");
    member_end(m);
}

void member_pause(struct member *m, int64_t us)
{
    SAY(m->sim, m->slot, "pauses for %.3f s", (double)us / SECOND);
    if (m->paused_until < m->sim->now + us)
        m->paused_until = m->sim->now + us;
    if (!m->waking)
        soon(m, EVENT_WAKE, m->paused_until - m->sim->now, 0);
    m->waking = true;
}

void member_resume(struct member *m)
{
    if (!m->up || m->paused_until <= m->sim->now)
        return;
    m->paused_until = m->sim->now + 1;
    soon(m, EVENT_WAKE, 1, 0);
}

/* ---- what happens to it ---- */

static void handle(struct member *m, const struct event *e)
{
    struct instant now = member_now(m);

    switch (e->kind) {
    case EVENT_TICK:
        member_enter(m);
        core_tick(m->core, now);
        member_exit(m);
        soon(m, EVENT_TICK, TICK_US, 0);
        break;
    case EVENT_SECOND:
        manager_tick(m->manager, now);
        soon(m, EVENT_SECOND, SECOND, 0);
        break;
    case EVENT_FLUSH:
        m->flushing = false;
        m->depth++;
        core_flush(m->core, now);
        m->depth--;
        break;
    case EVENT_HANDOFF:
        m->handing = false;
        waits_hand_over(m);
        break;
    case EVENT_PLACE:
        member_enter(m);
        core_place(m->core, m->sim->members[e->number].address, false);
        member_exit(m);
        break;
    case EVENT_VISIT:
    case EVENT_COMMIT:
        work_event(m->sim, e);
        break;
    default:
        net_event(m->sim, e);
    }
    if (m->cost_us && e->kind != EVENT_FLUSH)
        m->busy_until = m->sim->now + m->cost_us;
}

static int64_t awake_at(const struct member *m)
{
    return m->paused_until > m->busy_until ? m->paused_until : m->busy_until;
}

void member_event(struct member *m, const struct event *e)
{
    if (awake_at(m) <= m->sim->now && m->inbox_at == m->inbox_count) {
        handle(m, e);
        return;
    }
    if (m->inbox_count == m->inbox_cap) {
        m->inbox_cap = m->inbox_cap ? 2 * m->inbox_cap : 64;
        m->inbox = mem_resize(m->inbox, m->inbox_cap * sizeof *m->inbox);
    }
    m->inbox[m->inbox_count++] = *e;
    if (!m->waking)
        soon(m, EVENT_WAKE, awake_at(m) - m->sim->now, 0);
    m->waking = true;
}

void member_wake(struct member *m)
{
    struct sim *sim = m->sim;

    m->waking = false;
    if (m->paused_until > sim->now) {
        m->waking = true;
        soon(m, EVENT_WAKE, m->paused_until - sim->now, 0);
        return;
    }
    if (m->paused_until) {
        SAY(sim, m->slot, "goes on, %zu events wait",
            m->inbox_count - m->inbox_at);
        m->paused_until = 0;
        m->resumed = sim->now;
        if (!m->leaving)
            work_first(sim, m->slot);
    }
    while (m->up && m->inbox_at < m->inbox_count && awake_at(m) <= sim->now) {
        struct event e = m->inbox[m->inbox_at++];
        handle(m, &e);
    }
    if (m->inbox_at == m->inbox_count)
        m->inbox_at = m->inbox_count = 0;
    else if (m->up) {
        m->waking = true;
        soon(m, EVENT_WAKE, awake_at(m) - sim->now, 0);
    }
}
