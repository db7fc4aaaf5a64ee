/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/sim.h"

#define LOG_LEAST 1500 /* a record, to a few members */

const char *weather_name(enum weather weather)
{
    static const char *const names[WEATHERS] = {"calm", "hosts", "net", "wild",
                                                "forget"};
    return names[weather];
}

static enum weather weather_of(struct rng *r)
{
    static const uint8_t percent[WEATHERS] = {6, 44, 20, 20, 10};
    unsigned dice = rng_below(r, 100);
    int w = 0;

    while (dice >= percent[w])
        dice -= percent[w++];
    return (enum weather)w;
}

static void plan_members(struct plan *p, struct rng *r, unsigned members)
{
    bool large = p->seed % 100 == 0;

    p->members =
        large ? 8 + rng_below(
                        r, rng_below(r, rng_below(r, SIM_MEMBERS - 7) + 1) + 1)
              : 3 + rng_below(r, rng_below(r, 5) + 1);
    if (members)
        p->members = members;
    p->clients = 2 + rng_below(r, 5);
    p->sessions = 4 + rng_below(r, 8);
    p->work_us = rng_between(r, 10, 30) * SECOND;
    if (p->members > 20)
        p->work_us = 8 * SECOND;
}

static void plan_network(struct plan *p, struct rng *r)
{
    p->delay_low = rng_between(r, 50, 2000);
    p->delay_high = p->delay_low + rng_mostly_small(r, 50, 40 * MS);
    p->handoff_us = rng_chance(r, 50) ? 0 : rng_mostly_small(r, 100, 30 * MS);
    p->flush_us = rng_chance(r, 50) ? 0 : rng_mostly_small(r, 100, 3 * MS);
    p->listed = rng_chance(r, 75);
    p->lossy = (p->weather == WEATHER_NET || p->weather == WEATHER_WILD) &&
               rng_chance(r, 40);
    p->fault_ms = rng_between(r, 500, 5000);
    p->skew_ms = rng_chance(r, 30)   ? 0
                 : rng_chance(r, 50) ? 2000
                                     : 5 * 3600 * 1000;
}

static void plan_cluster(struct plan *p, struct rng *r)
{
    unsigned dice = rng_below(r, 10);

    p->copies = dice < 7 ? COPIES_ALL : dice < 9 ? COPIES_ONE : COPIES_NONE;
    p->drop_ms = rng_chance(r, 50) ? 3000 : rng_between(r, 900, 3000);
    p->compare_ms = rng_chance(r, 30) ? 5000 : rng_between(r, 1000, 3000);
    p->keep_ms = rng_between(r, 1000, 6000);
    p->forget_ms = 3600 * 1000;
    if (p->weather == WEATHER_FORGET)
        p->forget_ms = 2 * p->drop_ms + rng_between(r, 500, 3000);
    p->log_bytes = rng_chance(r, 60) ? 0 : (size_t)rng_between(r, 300, 20000);
    p->think_ms = rng_between(r, 10, 400);
    p->short_idle = rng_chance(r, 50) ? 0 : 40;
}

const char *plan_manager(const struct plan *p)
{
    return p->backup ? "BackupManager" : "DeltaManager";
}

/* Dice of its own, so that the rest means the same for both managers. */
static void plan_backup(struct plan *p)
{
    struct rng r = {.state = ~p->seed};

    /* a copy that cannot be kept until all have it is never handed over */
    if (p->log_bytes && p->log_bytes < LOG_LEAST)
        p->log_bytes = LOG_LEAST;
    p->backups = 1 + rng_below(&r, rng_below(&r, 3) + 1);
    p->gentle = rng_chance(&r, 60);
    if (rng_chance(&r, 40)) {
        p->sticky = 80 + rng_below(&r, 21);
        p->sessions = 1 + rng_below(&r, p->sessions);
        p->think_ms = rng_between(&r, 5, 60);
    }
    p->keeps = p->weather < WEATHER_WILD;
    /* one primary answers, whomever it waits for; but where it waits for nobody
     * a new session may not be known yet */
    p->fresh |= p->weather == WEATHER_CALM && p->copies == COPIES_ONE;
}

void plan_make(struct plan *p, uint64_t seed, unsigned members,
               enum which which)
{
    struct rng r = {.state = seed};

    *p = (struct plan){.seed = seed};
    /* four of them, then four of the others */
    p->backup = which == WHICH_BY_SEED ? seed & 4 : which == WHICH_BACKUP;
    p->weather = weather_of(&r);
    plan_members(p, &r, members);
    plan_network(p, &r);
    plan_cluster(p, &r);
    bool forgets = p->weather == WEATHER_FORGET;
    bool crashes = p->weather == WEATHER_HOSTS || p->weather == WEATHER_WILD;
    p->fresh = p->copies == COPIES_ALL &&
               (p->weather == WEATHER_CALM || p->weather == WEATHER_HOSTS);
    p->keeps =
        !forgets && (!crashes || p->fresh ||
                     (p->weather == WEATHER_HOSTS && p->copies == COPIES_ONE));
    if (p->backup)
        plan_backup(p);
}
