/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/check.h"

#include "managers/cluster/core_impl.h"
#include "session/manager_impl.h"
#include "tests/sim/holders.h"
#include "tests/sim/member.h"
#include "tests/sim/quiet.h"
#include "tests/sim/waits.h"
#include "tests/sim/work.h"

#include <string.h>

static const char *short_id(const uint8_t id[ID_SIZE], char out[ID_TEXT_SIZE])
{
    id_format(id, out);
    out[6] = 0;
    return out;
}

void check_ask(struct sim *sim, const struct story *s,
               const uint8_t id[ID_SIZE], struct asked *asked)
{
    *asked = (struct asked){.at = sim->now};
    if (!s)
        return;
    asked->added = s->added;
    for (unsigned i = 0; i < s->id_count; i++)
        if (id_equal(s->ids[i].id, id)) {
            asked->born = s->ids[i].born == OUT_DONE;
            asked->over = s->ids[i].over == OUT_DONE;
        }
}

/* Does each read of it show what was acknowledged? */
static bool is_fresh(const struct sim *sim, const struct story *s)
{
    return sim->plan.fresh && !s->bereft;
}

static bool keeps(const struct sim *sim, const struct story *s)
{
    return sim->plan.keeps && !s->bereft;
}

/* With BackupManager a member shows what others hold, of which the newest may
 * be gone or out of reach the next time. */
static bool is_steady(const struct sim *sim)
{
    return sim->plan.backup ? sim->plan.weather == WEATHER_CALM
                            : sim->plan.weather != WEATHER_FORGET;
}

/* ---- requests ---- */

/* Was it overwritten by somebody who was told so before the request began? */
static void check_fresh_put(struct sim *sim, int slot, const struct story *s,
                            unsigned key, int put, int64_t asked)
{
    for (int later = put + 1; later < s->put_count[key]; later++) {
        const struct put *p = &s->puts[key][later];
        if (p->outcome != OUT_DONE || p->ended > asked || put < 0 ||
            !story_saw(s, key, p->saw, put))
            continue;
        sim_fail(sim,
                 "stale read: %s shows put %d to %s of session %u, put %d was "
                 "acknowledged over it before",
                 sim->members[slot].name, put, key_text(key), s->number, later);
        return;
    }
}

static void check_values(struct sim *sim, int slot, const struct story *s,
                         const struct asked *asked,
                         const struct session *session)
{
    for (unsigned key = 0; key < STORY_KEYS; key++) {
        struct value v = session_get(session, key_text(key));
        int put = put_of(s, key, &v);
        if (put == PUT_FOREIGN || (put >= 0 && s->puts[key][put].removal) ||
            (put >= 0 && s->puts[key][put].outcome == OUT_NOT))
            sim_fail(sim,
                     "%s shows put %d as %s of session %u: nobody did that",
                     sim->members[slot].name, put, key_text(key), s->number);
        else if (is_fresh(sim, s) && !s->forked)
            check_fresh_put(sim, slot, s, key, put, asked->at);
    }
}

static void see_found(struct sim *sim, int slot, struct story *s,
                      const uint8_t id[ID_SIZE], const struct asked *asked,
                      struct session *session)
{
    struct member *m = &sim->members[slot];
    struct told *told = story_told(s, slot, m->life);
    struct value v = session_get(session, "hits");
    char text[ID_TEXT_SIZE];

    if (asked->over && is_fresh(sim, s))
        sim_fail(sim, "%s answers for %s of session %u, which was over",
                 m->name, short_id(id, text), s->number);
    if (v.number > s->added + s->maybe_added)
        sim_fail(sim, "%s counts %lld in session %u, %lld were sent", m->name,
                 (long long)v.number, s->number,
                 (long long)(s->added + s->maybe_added));
    if (s->forked)
        return;
    if (v.number < asked->added && is_fresh(sim, s))
        sim_fail(sim,
                 "stale read: %s counts %lld in session %u, %lld were "
                 "acknowledged",
                 m->name, (long long)v.number, s->number,
                 (long long)asked->added);
    const struct known_id *of = story_find_id(s, id);
    if (told->counted_as == of && v.number < told->count && is_steady(sim))
        sim_fail(sim, "%s counts %lld in session %u, and before %lld", m->name,
                 (long long)v.number, s->number, (long long)told->count);
    told->counted_as = of;
    told->count = v.number;
    check_values(sim, slot, s, asked, session);
}

/* Of what failed here the trace tells who has it. */
static void tell_if_failed(struct sim *sim, const struct story *s, bool before)
{
    if (sim->failure[0] && !before)
        holders_say(sim, s);
}

void check_found(struct sim *sim, int slot, struct story *s,
                 const uint8_t id[ID_SIZE], const struct asked *asked,
                 struct session *session)
{
    bool before = sim->failure[0];

    see_found(sim, slot, s, id, asked, session);
    tell_if_failed(sim, s, before);
}

/* Of two ids under which it goes on, or will when a login is through, one may
 * be lost, and the other not; so may one that was replaced, when all who knew
 * that have died, and one of which no copy is left but old ones that have idled
 * out, as far as is known there. */
static bool may_be_lost(const struct sim *sim, const struct story *s,
                        const struct known_id *id)
{
    bool replaced = id->over == OUT_OPEN && s->renaming;

    return ((s->forked || replaced) && id->gone) ||
           (id->over == OUT_DONE && !holders_know_end(sim, id->id)) ||
           holders_only_idle(sim, id->id);
}

static void see_absent(struct sim *sim, int slot, struct story *s,
                       const uint8_t id[ID_SIZE], const struct asked *asked,
                       enum reason reason)
{
    struct member *m = &sim->members[slot];
    const struct known_id *known = story_find_id(s, id);
    const struct told *told = story_told(s, slot, m->life);
    char text[ID_TEXT_SIZE];
    int64_t at = asked->there, waited = sim->now - asked->at;

    /* after waitTimeout nobody hears of the answer any more */
    if (waited > SECOND)
        at += waited - SECOND;
    if (reason == REASON_IDLE && told->used_as == known && is_steady(sim) &&
        !story_may_idle(s, told->used, at)) {
        sim_fail(sim,
                 "%s says that session %u idled out, %.3f s after it was "
                 "used there",
                 m->name, s->number,
                 (double)(asked->there - told->used) / SECOND);
        return;
    }
    if (reason == REASON_LOST && sim->plan.backup && !s->orphaned &&
        sim->plan.weather < WEATHER_WILD && !may_be_lost(sim, s, known))
        sim_fail(sim, "%s says that session %u is lost, and it is not", m->name,
                 s->number);
    if (!is_fresh(sim, s) || !asked->born || s->may_end ||
        known->over != OUT_NONE || (s->forked && s->max_inactive) ||
        (reason == REASON_LOST && s->orphaned) ||
        story_may_idle(s, s->used, at))
        return;
    sim_fail(sim, "%s says %s of %s of session %u, which is alive", m->name,
             reason_text(reason), short_id(id, text), s->number);
}

void check_absent(struct sim *sim, int slot, struct story *s,
                  const uint8_t id[ID_SIZE], const struct asked *asked,
                  enum reason reason)
{
    bool before = sim->failure[0];

    see_absent(sim, slot, s, id, asked, reason);
    tell_if_failed(sim, s, before);
}

/* ---- copies ---- */

static void check_acknowledged_by(struct sim *sim, const struct member *m,
                                  const struct member *other)
{
    const struct peer *there = peer_of(m->core, other->channel.node);
    const struct peer *here = peer_of(other->core, m->channel.node);

    if (there && here && there->acked > here->applied &&
        there->acked > here->ahead.to)
        sim_fail(sim,
                 "%s believes that %s has its updates up to %llu, which has "
                 "applied %llu",
                 m->name, other->name, (unsigned long long)there->acked,
                 (unsigned long long)here->applied);
}

void check_acknowledged(struct sim *sim)
{
    if (sim->plan.weather == WEATHER_FORGET || sim->count > 20)
        return;
    for (unsigned i = 0; i < sim->count; i++)
        for (unsigned k = 0; k < sim->count; k++)
            if (i != k && sim->members[i].up && sim->members[k].up &&
                !sim->members[i].leaving && !sim->members[k].leaving)
                check_acknowledged_by(sim, &sim->members[i], &sim->members[k]);
}

void check_answering(struct sim *sim)
{
    int64_t quiet = (2 * sim->plan.drop_ms + 3000) * MS;

    if (!sim->working || sim->now - sim->troubled < quiet)
        return;
    for (unsigned i = 0; i < sim->count; i++) {
        const struct member *m = &sim->members[i];
        if (m->up && !m->leaving && sim->now - m->started > quiet &&
            !channel_may_answer(&m->channel, member_now(m)))
            sim_fail(sim, "%s does not answer, %.1f s after the last fault",
                     m->name, (double)(sim->now - sim->troubled) / SECOND);
    }
}

/* For how long it has kept the oldest. */
static int64_t kept_ms(const struct member *m)
{
    const struct core *core = m->core;

    return core->log_first <= core->seq
               ? member_now(m).mono - log_at(core, core->log_first)->at
               : 0;
}

/* How long it may keep what one of them lacks because the log has dropped it,
 * and what follows that: until the next comparison. */
static int64_t hole_ms(const struct member *m)
{
    for (size_t i = 0; i < m->core->peer_count; i++)
        if (m->core->peers[i]->acked_ahead.to)
            return m->core->options.compare_ms + SECOND / MS;
    return 0;
}

void check_bounded(struct sim *sim, bool all)
{
    const size_t item = 16 << 10; /* one more than fits */
    const int64_t way = (2 * sim->plan.delay_high + sim->plan.handoff_us +
                         2 * sim->plan.flush_us) /
                            MS +
                        100;

    for (unsigned i = 0; i < sim->count; i++) {
        const struct member *m = &sim->members[i];
        if (!m->up)
            continue;
        if (m->core->log_used > m->core->options.log_bytes + item)
            sim_fail(sim, "%s keeps %zu bytes for others", m->name,
                     m->core->log_used);
        /* some touches may be on their way just now, as many as sessions are
         * used; that they have come is said in the next pulse */
        if (all &&
            kept_ms(m) > 3 * m->core->options.pulse_ms + way + hole_ms(m))
            sim_fail(sim, "%s keeps %zu bytes in the end, since %lld ms",
                     m->name, m->core->log_used, (long long)kept_ms(m));
        if (all && m->core->peer_count >= sim->count)
            sim_fail(sim, "%s remembers %zu others in the end", m->name,
                     m->core->peer_count);
    }
}

bool check_equal(const struct sim *sim)
{
    if (sim->plan.backup)
        return quiet_equal(sim, NULL, 0);
    for (unsigned i = 0; i < sim->count; i++) {
        const struct member *m = &sim->members[i];
        if (!member_answers(m) || !m->replica ||
            replica_root(m->replica, 0) !=
                replica_root(sim->members[0].replica, 0))
            return false;
    }
    return true;
}

void check_explain(const struct sim *sim, char *out, size_t size)
{
    size_t used = 0;

    out[0] = 0;
    if (sim->plan.backup) {
        quiet_equal(sim, out, size);
        return;
    }
    for (unsigned i = 0; i < sim->count && used < size; i++) {
        const struct member *m = &sim->members[i];
        int n;
        if (!m->up || !m->replica)
            n = snprintf(out + used, size - used, "%s is not up; ", m->name);
        else
            n = snprintf(out + used, size - used, "%s%s %08llx; ", m->name,
                         member_answers(m) ? "" : " does not answer",
                         (unsigned long long)replica_root(m->replica, 0) >> 32);
        used += (size_t)n;
    }
    if (used < size && waits_open(sim))
        snprintf(out + used, size - used, "somebody waits; ");
    if (!work_idle(sim) && used < size)
        snprintf(out + used, size - used, "a request is under way");
}

#define CHECK_ENTRIES 4096

struct copies_of {
    struct sim *sim;
    struct member *m;
    struct copies_of *first; /* member 0's; NULL: these are */
    size_t live;
    uint64_t sums[FRAME_LEAVES];
};

static bool is_live(const struct entry *e)
{
    return !e->idle && !(e->flags & ENTRY_DROPPED) &&
           !record_ended(e->record, NULL);
}

/* Is it the same on the first member? */
static bool same_there(struct copies_of *c, const struct entry *e)
{
    const uint8_t *id = record_id(e->record);
    struct table *table = c->sim->members[0].manager->table;
    struct table_stripe *stripe = table_lock(table, id);
    const struct entry *there = table_find(stripe, id);
    bool same =
        there && is_live(there) && record_equal(there->record, e->record);
    table_unlock(stripe);
    return same;
}

static bool look_at(void *user, struct entry *e)
{
    struct copies_of *c = user;
    const struct replica_entry *extra = replica_entry(e);
    unsigned leaf = table_leaf(record_id(e->record));
    uint64_t hash = extra->hash;
    char text[ID_TEXT_SIZE];

    c->sums[leaf] += hash;
    replica_recount(c->m->replica, e, member_now(c->m));
    if (extra->hash != hash)
        sim_fail(c->sim, "%s: the sum was not kept up with %s", c->m->name,
                 short_id(record_id(e->record), text));
    if (!is_live(e))
        return true;
    c->live++;
    return true;
}

struct compare {
    struct copies_of *c;
    const struct entry *items[CHECK_ENTRIES];
    size_t count;
};

static bool collect(void *user, struct entry *e)
{
    struct compare *all = user;

    if (is_live(e) && all->count < CHECK_ENTRIES)
        all->items[all->count++] = e;
    return true;
}

static void check_member(struct sim *sim, struct member *m, size_t *live)
{
    struct copies_of c = {.sim = sim, .m = m};
    struct compare all = {.c = &c};
    uint64_t sums[FRAME_LEAVES], root = 0;
    uint8_t ended[FRAME_BITS];
    char text[ID_TEXT_SIZE];

    replica_sums(m->replica, 0, sums, ended);
    table_each(m->manager->table, look_at, &c);
    for (unsigned i = 0; i < FRAME_LEAVES; i++)
        root += sums[i];
    if (memcmp(sums, c.sums, sizeof sums) != 0 ||
        root != replica_root(m->replica, 0))
        sim_fail(sim, "%s: the sums are not those of its copies", m->name);
    table_each(m->manager->table, collect, &all);
    for (size_t i = 0; i < all.count; i++)
        if (m->slot > 0 && !same_there(&c, all.items[i]))
            sim_fail(sim, "%s has %s otherwise than %s", m->name,
                     short_id(record_id(all.items[i]->record), text),
                     sim->members[0].name);
    if (m->slot == 0)
        *live = c.live;
    if (c.live != *live)
        sim_fail(sim, "%s has %zu records, %s %zu", m->name, c.live,
                 sim->members[0].name, *live);
}

void check_copies(struct sim *sim)
{
    size_t live = 0;

    for (unsigned i = 0;
         i < sim->count && !sim->failure[0] && !sim->plan.backup; i++)
        check_member(sim, &sim->members[i], &live);
}

/* Who hops at every request makes nobody the primary. */
void check_moves(struct sim *sim)
{
    if (!sim->plan.backup)
        return;
    sim->moved = quiet_moved(sim);
    if (sim->moved && !sim->plan.sticky)
        sim_fail(sim, "%llu sessions were moved, and no request sticks",
                 (unsigned long long)sim->moved);
}

/* ---- stories ---- */

/* Looks without using. Returns a reference, or NULL. */
static struct record *look_up(struct sim *sim, const uint8_t id[ID_SIZE])
{
    struct member *m = &sim->members[0];
    struct find_op op = {.peek = true, .now = member_now(m)};

    if (sim->plan.backup)
        return holders_copy(sim, id);
    memcpy(op.id, id, ID_SIZE);
    enum rc rc = manager_find(m->manager, &op);
    if (rc == RC_OK)
        return op.record;
    if (rc != RC_ABSENT)
        sim_fail(sim, "%s answers %s after quiet", m->name, rc_name(rc));
    return NULL;
}

static void check_final_put(struct sim *sim, const struct story *s,
                            unsigned key, struct record *record)
{
    struct value v = record_attribute(record, key_text(key), 1);
    int put = put_of(s, key, &v);

    if (put == PUT_FOREIGN ||
        (put >= 0 && s->puts[key][put].outcome == OUT_NOT)) {
        sim_fail(sim, "session %u ends with put %d as %s, which nobody did",
                 s->number, put, key_text(key));
        return;
    }
    int misses = story_misses(s, key, put);
    if (keeps(sim, s) && !s->forked && !s->may_end && misses >= 0)
        sim_fail(sim, "put %d to %s of session %u is lost: %d is there", misses,
                 key_text(key), s->number, put);
}

static void check_record(struct sim *sim, const struct story *s,
                         struct record *record)
{
    struct value v = record_attribute(record, "hits", 4);

    if (v.number > s->added + s->maybe_added)
        sim_fail(sim, "session %u counts %lld in the end, %lld were sent",
                 s->number, (long long)v.number,
                 (long long)(s->added + s->maybe_added));
    if (v.number < s->added && keeps(sim, s) && !s->forked && !s->may_end)
        sim_fail(sim,
                 "session %u counts %lld in the end, %lld were "
                 "acknowledged",
                 s->number, (long long)v.number, (long long)s->added);
    for (unsigned key = 0; key < STORY_KEYS; key++)
        check_final_put(sim, s, key, record);
}

static void check_one_id(struct sim *sim, struct story *s,
                         const struct known_id *id, bool alive)
{
    char text[ID_TEXT_SIZE];

    short_id(id->id, text);
    if (alive && id->over == OUT_DONE && keeps(sim, s))
        sim_fail(sim, "%s of session %u is alive, its end was acknowledged",
                 text, s->number);
    if (alive && id->born == OUT_NOT && !id->orphan)
        sim_fail(sim, "%s of session %u is alive, its birth was refused", text,
                 s->number);
    if (alive && story_must_idle(sim, s))
        sim_fail(sim, "%s of session %u is alive, nobody used it for %lld s",
                 text, s->number, (long long)(sim->now - s->tried) / SECOND);
    if (!alive && id->born == OUT_DONE && keeps(sim, s) && !s->may_end &&
        (id->over == OUT_NONE || id->over == OUT_NOT) &&
        !story_may_idle(s, s->used, sim->now) &&
        !(s->forked && s->max_inactive))
        sim_fail(sim, "%s of session %u is lost", text, s->number);
}

static void check_story(struct sim *sim, struct story *s)
{
    bool before = sim->failure[0];
    unsigned alive = 0;

    for (unsigned i = 0; i < s->id_count && !sim->failure[0]; i++) {
        struct record *record = look_up(sim, s->ids[i].id);
        check_one_id(sim, s, &s->ids[i], record != NULL);
        if (record && s->ids[i].orphan)
            record_unref(&record);
        if (!record)
            continue;
        alive++;
        check_record(sim, s, record);
        record_unref(&record);
    }
    if (alive > 1 && !s->forked && keeps(sim, s))
        sim_fail(sim, "session %u is alive under %u ids", s->number, alive);
    tell_if_failed(sim, s, before);
}

void check_stories(struct sim *sim)
{
    for (unsigned i = 0; i < sim->work->story_count && !sim->failure[0]; i++)
        if (sim->work->stories[i]->id_count)
            check_story(sim, sim->work->stories[i]);
}

void check_forgotten(struct sim *sim)
{
    char why[400];

    if (sim->plan.backup && !quiet_forgotten(sim, why, sizeof why))
        sim_fail(sim, "%s", why);
    for (unsigned i = 0; i < sim->count; i++) {
        struct table_counts counts;
        table_counts(sim->members[i].manager->table, &counts);
        if (counts.tombstones)
            sim_fail(sim, "%s still keeps %zu tombstones", sim->members[i].name,
                     counts.tombstones);
    }
}
