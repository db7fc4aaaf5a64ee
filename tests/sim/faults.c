/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/faults.h"

#include "session/buf.h"
#include "tests/sim/member.h"
#include "tests/sim/net.h"

#include <stdlib.h>

enum fault_kind {
    FAULT_PAUSE,
    FAULT_CRASH,
    FAULT_LEAVE,
    FAULT_SLOW,
    FAULT_LATE,
    FAULT_CUT,
    FAULT_ONE_WAY,
    FAULT_PARTITION,
    FAULT_LOSSY,
    FAULT_CLOCK,
    FAULT_KINDS
};

/* How often each comes, by weather. */
static const uint8_t shares[WEATHERS][FAULT_KINDS] = {
    [WEATHER_CALM] = {0},
    [WEATHER_HOSTS] = {[FAULT_PAUSE] = 45,
                       [FAULT_CRASH] = 30,
                       [FAULT_LEAVE] = 12,
                       [FAULT_SLOW] = 5,
                       [FAULT_LATE] = 5,
                       [FAULT_CLOCK] = 3},
    [WEATHER_NET] = {[FAULT_PAUSE] = 20,
                     [FAULT_SLOW] = 3,
                     [FAULT_LATE] = 4,
                     [FAULT_CLOCK] = 3,
                     [FAULT_CUT] = 20,
                     [FAULT_ONE_WAY] = 15,
                     [FAULT_PARTITION] = 25,
                     [FAULT_LOSSY] = 10},
    [WEATHER_WILD] = {[FAULT_PAUSE] = 15,
                      [FAULT_CRASH] = 20,
                      [FAULT_LEAVE] = 10,
                      [FAULT_SLOW] = 5,
                      [FAULT_LATE] = 5,
                      [FAULT_CUT] = 15,
                      [FAULT_ONE_WAY] = 10,
                      [FAULT_PARTITION] = 15,
                      [FAULT_LOSSY] = 5},
    [WEATHER_FORGET] = {[FAULT_PAUSE] = 15,
                        [FAULT_CUT] = 15,
                        [FAULT_ONE_WAY] = 10,
                        [FAULT_PARTITION] = 60},
};

struct fault {
    enum fault_kind kind;
    bool over;
    int a, b;      /* members */
    uint8_t *side; /* of each member */
    bool hold, both;
};

struct faults {
    struct fault *items;
    size_t count, cap;
    int64_t last_loss; /* when a member last lost its memory */
};

static void schedule(struct sim *sim)
{
    int64_t ms = sim->plan.fault_ms;

    sim_at(sim,
           &(struct event){
               .at = sim->now + rng_between(&sim->rng, ms / 5, ms * 9 / 5) * MS,
               .kind = EVENT_FAULT,
               .slot = -1});
}

struct faults *faults_new(struct sim *sim)
{
    if (sim->plan.weather != WEATHER_CALM)
        schedule(sim);
    return mem_zero(sizeof(struct faults));
}

void faults_free(struct faults **faults)
{
    for (size_t i = 0; i < (*faults)->count; i++)
        free((*faults)->items[i].side);
    free((*faults)->items);
    free(*faults);
    *faults = NULL;
}

/* ---- is it allowed? ---- */

static unsigned others_answer(const struct sim *sim, int slot)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sim->count; i++)
        n += (int)i != slot && member_answers(&sim->members[i]);
    return n;
}

/* With BackupManager it is decided for each session what may be lost; but there
 * may be as many backups as members, and one that is awake there has to be: a
 * member that comes, or wakes, where nobody answers cannot know of anybody.
 * Another member that answers holds all that was acknowledged at `all`. With
 * `one`, the second copy may be anywhere: all must have compared first. */
static bool may_take(const struct sim *sim, int slot, bool memory)
{
    const struct plan *p = &sim->plan;
    int64_t quiet = (3 * p->compare_ms + 2 * p->drop_ms) * MS;

    if (p->weather != WEATHER_HOSTS || !p->keeps)
        return true;
    if (p->backup && p->gentle)
        return others_answer(sim, slot) + p->backups >= sim->count &&
               others_answer(sim, slot) > 0;
    if (memory && p->copies == COPIES_ONE && !p->backup)
        return others_answer(sim, slot) == sim->count - 1 &&
               sim->now - sim->faults->last_loss > quiet;
    return others_answer(sim, slot) > 0;
}

/* ---- the kinds ---- */

static void block_sides(struct sim *sim, const struct fault *f, bool block)
{
    for (int a = 0; a < (int)sim->count; a++)
        for (int b = 0; b < (int)sim->count; b++) {
            if (f->side[a] == f->side[b])
                continue;
            if (block)
                net_block(sim, a, b, f->hold);
            else
                net_unblock(sim, a, b);
        }
}

static void say_sides(struct sim *sim, const struct fault *f)
{
    char text[256];
    size_t used = 0;

    for (unsigned i = 0; i < sim->count && used + 2 < sizeof text; i++)
        text[used++] = (char)('0' + f->side[i]);
    text[used] = 0;
    SAY(sim, -1, "partition %s, %s", text, f->hold ? "held" : "lost");
}

static void block_one(struct sim *sim, const struct fault *f, bool block)
{
    for (int way = 0; way < 1 + f->both; way++) {
        int from = way ? f->b : f->a, to = way ? f->a : f->b;
        if (block)
            net_block(sim, from, to, f->hold);
        else
            net_unblock(sim, from, to);
    }
}

static void trouble(struct sim *sim, int64_t until)
{
    if (sim->troubled < until)
        sim->troubled = until;
}

static void fault_begin(struct sim *sim, struct fault *f)
{
    struct rng *r = &sim->rng;
    struct member *m = &sim->members[f->a];

    switch (f->kind) {
    case FAULT_CRASH:
        member_crash(m, rng_chance(r, 20));
        break;
    case FAULT_LEAVE:
        member_leave(m);
        break;
    case FAULT_SLOW:
        m->cost_us = rng_mostly_small(r, 100, 4000);
        SAY(sim, f->a, "is slow: %lld us each", (long long)m->cost_us);
        break;
    case FAULT_LATE:
        SAY(sim, f->a, "is far away");
        net_delay(sim, f->a, rng_mostly_small(r, 1, 120) * MS);
        break;
    case FAULT_ONE_WAY:
        SAY(sim, f->a, "%s %s, %s", f->both ? "cut off from" : "mute to",
            sim->members[f->b].name, f->hold ? "held" : "lost");
        block_one(sim, f, true);
        break;
    case FAULT_PARTITION:
        say_sides(sim, f);
        block_sides(sim, f, true);
        break;
    case FAULT_LOSSY:
        SAY(sim, -1, "frames are lost, doubled, overtaken");
        net_weather(sim, rng_below(r, 20), rng_below(r, 20), rng_below(r, 20));
        break;
    default:
        break;
    }
}

static void fault_end(struct sim *sim, struct fault *f)
{
    struct member *m = &sim->members[f->a];

    f->over = true;
    trouble(sim, sim->now);
    switch (f->kind) {
    case FAULT_CRASH:
    case FAULT_LEAVE:
        f->over = !m->up || !m->leaving;
        if (f->over)
            member_start(m);
        break;
    case FAULT_SLOW:
        m->cost_us = 0;
        break;
    case FAULT_LATE:
        net_delay(sim, f->a, 0);
        break;
    case FAULT_ONE_WAY:
        SAY(sim, f->a, "reaches %s again", sim->members[f->b].name);
        block_one(sim, f, false);
        break;
    case FAULT_PARTITION:
        SAY(sim, -1, "the partition is over");
        block_sides(sim, f, false);
        break;
    case FAULT_LOSSY:
        net_weather(sim, 0, 0, 0);
        break;
    default:
        break;
    }
}

/* us; how long they last */
static int64_t duration(struct sim *sim, enum fault_kind kind)
{
    struct rng *r = &sim->rng;
    int64_t drop = sim->plan.drop_ms;

    if (sim->plan.weather == WEATHER_FORGET && kind == FAULT_PARTITION)
        return rng_between(r, sim->plan.forget_ms / 2,
                           sim->plan.forget_ms * 2) *
               MS;
    switch (kind) {
    case FAULT_PAUSE:
        return rng_between(r, 20, rng_chance(r, 50) ? drop : 3 * drop) * MS;
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
        return rng_between(r, 100, 4 * drop) * MS;
    default:
        return rng_between(r, 200, 3 * drop) * MS;
    }
}

static enum fault_kind choose(struct sim *sim)
{
    const uint8_t *share = shares[sim->plan.weather];
    unsigned dice = rng_below(&sim->rng, 100);
    int kind = 0;

    while (kind < FAULT_KINDS - 1 && dice >= share[kind])
        dice -= share[kind++];
    if (kind == FAULT_LOSSY && !sim->plan.lossy)
        kind = FAULT_CUT;
    return (enum fault_kind)kind;
}

static void fault_add(struct sim *sim, const struct fault *fault, int64_t us)
{
    struct faults *fs = sim->faults;

    if (fs->count == fs->cap) {
        fs->cap = fs->cap ? 2 * fs->cap : 16;
        fs->items = mem_resize(fs->items, fs->cap * sizeof *fs->items);
    }
    fs->items[fs->count] = *fault;
    sim->faults_made++;
    sim_at(sim, &(struct event){.at = sim->now + us,
                                .kind = EVENT_FAULT_OVER,
                                .slot = -1,
                                .number = (int64_t)fs->count});
    fault_begin(sim, &fs->items[fs->count++]);
}

static struct fault leave_of(int slot)
{
    return (struct fault){.kind = FAULT_LEAVE, .a = slot};
}

/* With BackupManager others may stop at the same moment, as long as one that
 * answers stays. */
static void others_leave(struct sim *sim, int64_t us)
{
    unsigned most = rng_below(&sim->rng, sim->count - 1);

    for (unsigned i = 0; i < most; i++) {
        int slot = (int)rng_below(&sim->rng, sim->count);
        const struct member *m = &sim->members[slot];
        struct fault f = leave_of(slot);
        if (m->up && !m->leaving && others_answer(sim, slot) > 0)
            fault_add(sim, &f, us);
    }
}

static void fault_make(struct sim *sim)
{
    struct rng *r = &sim->rng;
    struct fault f = {.kind = choose(sim), .hold = rng_chance(r, 50)};
    int64_t us = duration(sim, f.kind);

    f.a = (int)rng_below(r, sim->count);
    f.b = (int)((unsigned)f.a + 1 + rng_below(r, sim->count - 1)) %
          (int)sim->count;
    f.both = rng_chance(r, 30);
    struct member *m = &sim->members[f.a];
    bool gone = f.kind == FAULT_CRASH || f.kind == FAULT_LEAVE;
    if ((gone || f.kind == FAULT_PAUSE) &&
        (!m->up || m->leaving || !may_take(sim, f.a, gone)))
        return;
    if (gone)
        sim->faults->last_loss = sim->now + us;
    if (f.kind != FAULT_CRASH && f.kind != FAULT_LEAVE)
        sim->stood_still += us;
    if (f.kind == FAULT_PAUSE) {
        trouble(sim, sim->now + us);
        member_pause(m, us);
        sim->faults_made++;
        return;
    }
    trouble(sim, gone ? sim->now + 3 * SECOND : sim->now + us);
    if (f.kind == FAULT_CLOCK) {
        m->wall += rng_between(r, -sim->plan.skew_ms, sim->plan.skew_ms);
        SAY(sim, f.a, "its wall clock jumps");
        return;
    }
    if (f.kind == FAULT_CUT) {
        if (net_cut(sim, f.a, f.b))
            SAY(sim, f.a, "the link to %s is cut", sim->members[f.b].name);
        return;
    }
    if (f.kind == FAULT_PARTITION) {
        unsigned sides = 2 + rng_chance(r, 20);
        f.side = mem_zero(sim->count);
        for (unsigned i = 0; i < sim->count; i++)
            f.side[i] = (uint8_t)rng_below(r, sides);
        if (rng_chance(r, 30)) /* one alone */
            for (unsigned i = 0; i < sim->count; i++)
                f.side[i] = (int)i == f.a;
    }
    fault_add(sim, &f, us);
    if (sim->plan.backup && f.kind == FAULT_LEAVE && rng_chance(r, 50))
        others_leave(sim, us);
}

/* A member that is stopping just now starts again when it has. */
static void fault_over(struct sim *sim, int64_t number)
{
    fault_end(sim, &sim->faults->items[number]);
    if (!sim->faults->items[number].over)
        sim_at(sim, &(struct event){.at = sim->now + 300 * MS,
                                    .kind = EVENT_FAULT_OVER,
                                    .slot = -1,
                                    .number = number});
}

void faults_event(struct sim *sim, const struct event *e)
{
    if (e->kind == EVENT_FAULT && sim->working) {
        fault_make(sim);
        schedule(sim);
    }
    if (e->kind == EVENT_FAULT_OVER && !sim->faults->items[e->number].over)
        fault_over(sim, e->number);
}

void faults_heal(struct sim *sim)
{
    for (size_t i = 0; i < sim->faults->count; i++)
        if (!sim->faults->items[i].over)
            fault_over(sim, (int64_t)i);
    for (unsigned i = 0; i < sim->count; i++)
        member_resume(&sim->members[i]);
}
