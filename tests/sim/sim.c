/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/sim.h"

#include "managers/cluster/core.h"
#include "managers/managers.h"
#include "session/buf.h"
#include "session/manager_impl.h"
#include "tests/sim/check.h"
#include "tests/sim/faults.h"
#include "tests/sim/holders.h"
#include "tests/sim/member.h"
#include "tests/sim/net.h"
#include "tests/sim/quiet.h"
#include "tests/sim/waits.h"
#include "tests/sim/work.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_US (200 * MS)
#define EVENTS_MAX 40000000

/* ---- what happens next ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_at(struct sim *sim, const struct event *event)
{
    struct event e = *event;
    size_t i = sim->queue_count++;

    e.order = ++sim->order;
    if (sim->queue_count > sim->queue_cap) {
        sim->queue_cap = sim->queue_cap ? 2 * sim->queue_cap : 1024;
        sim->queue =
            mem_resize(sim->queue, sim->queue_cap * sizeof *sim->queue);
    }
    for (; i && is_before(&e, &sim->queue[(i - 1) / 2]); i = (i - 1) / 2)
        sim->queue[i] = sim->queue[(i - 1) / 2];
    sim->queue[i] = e;
}

static struct event sim_next(struct sim *sim)
{
    struct event first = sim->queue[0], last = sim->queue[--sim->queue_count];
    size_t i = 0, n = sim->queue_count;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < n &&
            is_before(&sim->queue[child + 1], &sim->queue[child]))
            child++;
        if (child >= n || is_before(&last, &sim->queue[child]))
            break;
        sim->queue[i] = sim->queue[child];
        i = child;
    }
    if (n)
        sim->queue[i] = last;
    return first;
}

/* ---- telling ---- */

void sim_note(struct sim *sim, uint64_t what)
{
    sim->print = (sim->print ^ what) * 0x9e3779b97f4a7c15u;
    sim->print ^= sim->print >> 29;
}

void sim_say(struct sim *sim, int slot, const char *format, ...)
{
    va_list ap;
    char who[16] = "-";

    if (!sim->trace)
        return;
    if (slot >= 0)
        snprintf(who, sizeof who, "%s", sim->members[slot].name);
    fprintf(sim->trace, "%9.4f %-4s ", (double)sim->now / SECOND, who);
    va_start(ap, format);
    vfprintf(sim->trace, format, ap);
    va_end(ap);
    fputc('\n', sim->trace);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list ap;

    if (sim->failure[0])
        return;
    int used = snprintf(sim->failure, sizeof sim->failure,
                        "at %.4f s: ", (double)sim->now / SECOND);
    va_start(ap, format);
    vsnprintf(sim->failure + used, sizeof sim->failure - (size_t)used, format,
              ap);
    va_end(ap);
    SAY(sim, -1, "FAILED %s", sim->failure);
}

/* ---- the phases ---- */

/* How long it may take from the end of all faults to equal copies. */
static int64_t equal_within(const struct sim *sim)
{
    const struct plan *p = &sim->plan;

    /* a copy that no list names is looked at every 10 s */
    int64_t odd_ms = p->backup ? 35000 : 0;

    return (4 * p->drop_ms + 6 * p->compare_ms + 6000 + odd_ms) * MS;
}

/* And from there until every tombstone is gone. */
static int64_t forgotten_within(const struct sim *sim)
{
    const struct plan *p = &sim->plan;

    return (p->keep_ms + 8 * p->compare_ms + 4 * p->drop_ms + 30000) * MS;
}

/* Uses that a comparison does not bring are told within a second. */
static bool all_know_uses(struct sim *sim)
{
    bool all = sim->now - sim->healed_at > 2500 * MS;

    for (unsigned i = 0; i < sim->count; i++) {
        struct member *m = &sim->members[i];
        all &= !m->up || channel_knows_uses(&m->channel, member_now(m));
    }
    return all;
}

static void look_for_equal(struct sim *sim)
{
    char why[400];
    bool told = all_know_uses(sim);

    if (told && check_equal(sim) && !waits_open(sim) && work_idle(sim)) {
        sim->equal_at = sim->now;
        SAY(sim, -1, "all copies are equal, %.1f s after the healing",
            (double)(sim->now - sim->healed_at) / SECOND);
        check_copies(sim);
        check_stories(sim);
    } else if (sim->now - sim->healed_at > equal_within(sim)) {
        check_explain(sim, why, sizeof why);
        sim_fail(sim, "not equal %lld s after the healing: %s",
                 (long long)(sim->now - sim->healed_at) / SECOND, why);
    }
}

static bool is_forgotten(const struct sim *sim)
{
    struct table_counts counts;

    if (sim->plan.backup)
        return quiet_forgotten(sim, NULL, 0);
    for (unsigned i = 0; i < sim->count; i++) {
        table_counts(sim->members[i].manager->table, &counts);
        if (counts.tombstones)
            return false;
    }
    return true;
}

static void look(struct sim *sim)
{
    waits_check(sim);
    check_acknowledged(sim);
    check_answering(sim);
    check_bounded(sim, false);
    if (sim->plan.backup) {
        holders_look(sim);
        quiet_count(sim, (int)(sim->now / LOOK_US % sim->count));
    }
    if (sim->working && sim->now >= sim->plan.work_us) {
        SAY(sim, -1, "healing");
        sim->working = false;
        sim->healed_at = sim->now;
        faults_heal(sim);
    } else if (!sim->working && !sim->equal_at) {
        look_for_equal(sim);
    } else if (sim->equal_at && !sim->end_at) {
        bool late = sim->now - sim->equal_at > forgotten_within(sim);
        if (is_forgotten(sim) || late) {
            check_forgotten(sim);
            sim->end_at = sim->now;
        }
    }
    if (sim->end_at && check_equal(sim)) {
        check_copies(sim);
        check_stories(sim);
        check_bounded(sim, true);
        check_moves(sim);
        sim->end_at = -1;
    } else if (sim->end_at > 0 && sim->now - sim->end_at > equal_within(sim)) {
        sim_fail(sim, "equal once, and then not any more");
    }
    sim_at(sim, &(struct event){
                    .at = sim->now + LOOK_US, .kind = EVENT_LOOK, .slot = -1});
}

/* ---- turning ---- */

static void drop(struct sim *sim, const struct event *e)
{
    if (e->kind == EVENT_VISIT || e->kind == EVENT_COMMIT)
        work_drop(sim, e);
    else
        net_drop(sim, e);
}

static void of_member(struct sim *sim, const struct event *e)
{
    struct member *m = &sim->members[e->slot];

    if (e->kind == EVENT_START)
        member_start(m);
    else if (!m->up || m->life != e->life)
        drop(sim, e);
    else if (e->kind == EVENT_WAKE)
        member_wake(m);
    else if (e->kind == EVENT_STOPPED)
        member_stopped(m);
    else
        member_event(m, e);
}

static void of_world(struct sim *sim, const struct event *e)
{
    switch (e->kind) {
    case EVENT_THINK:
        work_event(sim, e);
        break;
    case EVENT_FAULT:
    case EVENT_FAULT_OVER:
        faults_event(sim, e);
        break;
    default:
        look(sim);
    }
}

static void sim_turn(struct sim *sim)
{
    while (!sim->failure[0] && sim->end_at >= 0) {
        struct event e = sim_next(sim);
        sim->now = e.at;
        sim_note(sim, (uint64_t)e.at ^ (uint64_t)e.kind << 48 ^
                          (uint64_t)(e.slot + 1) << 56);
        if (e.slot >= 0)
            of_member(sim, &e);
        else
            of_world(sim, &e);
        if (++sim->events > EVENTS_MAX)
            sim_fail(sim, "no end after %d events", EVENTS_MAX);
    }
}

static void option(struct sim *sim, const struct option *own, const char *name,
                   const char *value)
{
    struct err err;

    if (option_set(manager_option_table, &sim->common, name, value, &err) &&
        option_set(own, sim->own_options, name, value, &err)) {
        fprintf(stderr, "margay-sim: %s: %s\n", name, err.text);
        abort();
    }
}

static struct kind_facts sim_kind(const struct sim *sim)
{
    return managers_facts(managers_find(plan_manager(&sim->plan)));
}

static void sim_options(struct sim *sim)
{
    static const char *const copies[] = {"none", "one", "all"};
    static const char *const backups[] = {"", "1", "2", "3"};
    struct kind_facts facts = sim_kind(sim);

    sim->own_options = mem_zero(facts.options_size + 1);
    option_defaults(manager_option_table, &sim->common);
    option_defaults(facts.options, sim->own_options);
    option(sim, facts.options, "replication", copies[sim->plan.copies]);
    option(sim, facts.options, "maxInactive", "0");
    option(sim, facts.options, "accessInterval", "1");
    if (sim->plan.backup)
        option(sim, facts.options, "backups", backups[sim->plan.backups]);
}

struct sim *sim_run(const struct plan *plan, FILE *trace)
{
    struct sim *sim = mem_zero(sizeof *sim);

    sim->plan = *plan;
    sim->trace = trace;
    sim->rng.state = plan->seed * 0x9e3779b97f4a7c15u;
    sim->net_rng = rng_split(&sim->rng);
    sim->work_rng = rng_split(&sim->rng);
    sim->id_rng = rng_split(&sim->rng);
    mint_use(&sim->id_rng);
    sim_options(sim);
    sim->count = plan->members;
    sim->members = mem_zero(sim->count * sizeof *sim->members);
    sim->net = net_new(sim);
    sim->waits = waits_new();
    sim->working = true;
    for (unsigned i = 0; i < sim->count; i++)
        member_init(sim, (int)i);
    sim->faults = faults_new(sim);
    sim->work = work_new(sim);
    sim_at(sim, &(struct event){.at = LOOK_US, .kind = EVENT_LOOK, .slot = -1});
    sim_turn(sim);
    return sim;
}

void sim_free(struct sim **sim_at_)
{
    struct sim *sim = *sim_at_;
    struct kind_facts facts = sim_kind(sim);

    *sim_at_ = NULL;
    for (unsigned i = 0; i < sim->count; i++)
        member_release(&sim->members[i]);
    for (size_t i = 0; i < sim->queue_count; i++)
        if (sim->queue[i].kind == EVENT_FRAME)
            net_drop(sim, &sim->queue[i]);
    work_free(sim, &sim->work);
    faults_free(&sim->faults);
    waits_free(&sim->waits);
    net_free(&sim->net);
    option_release(manager_option_table, &sim->common);
    option_release(facts.options, sim->own_options);
    free(sim->own_options);
    free(sim->members);
    free(sim->queue);
    free(sim);
}
