/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/holders.h"

#include "managers/backup_impl.h"
#include "tests/sim/member.h"
#include "tests/sim/work.h"

#include <stdlib.h>

/* A request takes no longer. */
#define VIEW_US (6 * SECOND)

/* ---- one member's copy ---- */

/* A reference; NULL: it has none. */
static struct record *copy_of(const struct member *m, const uint8_t id[ID_SIZE])
{
    struct record *record = NULL;

    if (!m->manager)
        return NULL;
    struct table_stripe *stripe = table_lock(m->manager->table, id);
    const struct entry *e = table_find(stripe, id);
    if (e && !(e->flags & (ENTRY_CACHED | ENTRY_DROPPED)))
        record = record_ref(e->record);
    table_unlock(stripe);
    return record;
}

static bool knows_end(const struct member *m, const uint8_t id[ID_SIZE])
{
    struct record *record = copy_of(m, id);
    struct place p;
    bool ended = record && record_ended(record, NULL);

    record_unref(&record);
    return ended ||
           (m->replica && places_get(replica_places(m->replica), id, &p) &&
            p.kind != PLACE_LIST);
}

static bool counts_all(const struct story *s, const struct record *record)
{
    struct value hits = record_attribute(record, "hits", 4);

    if (hits.number < s->added)
        return false;
    for (unsigned key = 0; key < STORY_KEYS; key++) {
        struct value v = record_attribute(record, key_text(key), 1);
        if (story_misses(s, key, put_of(s, key, &v)) >= 0)
            return false;
    }
    return true;
}

static bool is_over(const struct story *s)
{
    return s->ids[s->current].over == OUT_DONE;
}

/* ---- all of them ---- */

static bool counts(const struct sim *sim, unsigned i, int without)
{
    return (int)i != without && sim->members[i].up;
}

/* All copies of that id, merged: a reference; NULL: there is none. */
static struct record *merged(const struct sim *sim, const uint8_t id[ID_SIZE],
                             int without)
{
    struct record *all = NULL;

    for (unsigned i = 0; i < sim->count; i++) {
        struct record *copy =
            counts(sim, i, without) ? copy_of(&sim->members[i], id) : NULL;
        if (!copy)
            continue;
        struct record *both = all ? record_merge(all, copy) : record_ref(copy);
        record_unref(&copy);
        record_unref(&all);
        all = both;
    }
    return all;
}

struct record *holders_copy(const struct sim *sim, const uint8_t id[ID_SIZE])
{
    struct record *record = NULL;

    for (unsigned i = 0; i < sim->count && !record; i++) {
        struct table_stripe *stripe =
            table_lock(sim->members[i].manager->table, id);
        const struct entry *e = table_find(stripe, id);
        if (e && !(e->flags & (ENTRY_CACHED | ENTRY_DROPPED)) && !e->idle &&
            !record_ended(e->record, NULL))
            record = record_ref(e->record);
        table_unlock(stripe);
    }
    return record;
}

/* It goes on under the next one, whatever somebody who was away has of it; or,
 * of one that came to nothing, under the one before. */
static bool is_past(const struct known_id *id)
{
    return id->over == OUT_DONE || id->orphan;
}

/* Is what was acknowledged still there? */
static bool is_there(const struct sim *sim, const struct story *s, int without)
{
    bool there = false;

    if (is_over(s)) {
        for (unsigned i = 0; i < sim->count && !there; i++)
            there = counts(sim, i, without) &&
                    knows_end(&sim->members[i], s->ids[s->current].id);
        return there;
    }
    for (unsigned i = s->id_count; i-- > 0 && !there;) {
        if (is_past(&s->ids[i]))
            continue;
        struct record *all = merged(sim, s->ids[i].id, without);
        there = all && !record_ended(all, NULL) && counts_all(s, all);
        record_unref(&all);
    }
    return there;
}

static bool any_copy(const struct sim *sim, const struct story *s, int without)
{
    bool any = false;

    for (unsigned i = s->id_count; i-- > 0 && !any;) {
        if (is_past(&s->ids[i]))
            continue;
        struct record *all = merged(sim, s->ids[i].id, without);
        any = all && !record_ended(all, NULL);
        record_unref(&all);
    }
    return any;
}

static bool has_it(const struct member *m, const struct story *s)
{
    bool has = false;

    if (is_over(s))
        return knows_end(m, s->ids[s->current].id);
    for (unsigned i = s->id_count; i-- > 0 && !has;) {
        if (is_past(&s->ids[i]))
            continue;
        struct record *copy = copy_of(m, s->ids[i].id);
        has = copy && !record_ended(copy, NULL) && counts_all(s, copy);
        record_unref(&copy);
    }
    return has;
}

static unsigned copies(const struct sim *sim, const struct story *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sim->count && n <= sim->plan.backups; i++)
        n += counts(sim, i, -1) && has_it(&sim->members[i], s);
    return n;
}

/* The newest that anybody has of it. */
static bool newest_place(const struct sim *sim, const uint8_t id[ID_SIZE],
                         struct place *newest)
{
    bool any = false;

    for (unsigned i = 0; i < sim->count; i++) {
        const struct member *m = &sim->members[i];
        struct place p;
        if (!m->up || !m->replica ||
            !places_get(replica_places(m->replica), id, &p) ||
            (any && p.stamp <= newest->stamp))
            continue;
        *newest = p;
        any = true;
    }
    return any;
}

/* Is it in the list? Whoever is not lets go when all that are have it: there
 * may be one copy more for a moment, and one crash ends it. */
static bool is_listed(const struct sim *sim, const struct member *m,
                      const struct story *s)
{
    bool listed = is_over(s);

    for (unsigned i = s->id_count; i-- > 0 && !listed;) {
        struct place p;
        listed = !is_past(&s->ids[i]) && newest_place(sim, s->ids[i].id, &p) &&
                 p.kind == PLACE_LIST && place_has(&p, m->channel.node);
    }
    return listed;
}

/* Copies that are missing, of those that there are to be. */
static unsigned missing(const struct sim *sim, const struct story *s,
                        int without)
{
    unsigned wanted = sim->plan.backups + 1, n = 0;

    for (unsigned i = 0; i < sim->count && n < wanted; i++)
        n += counts(sim, i, without) && has_it(&sim->members[i], s) &&
             is_listed(sim, &sim->members[i], s);
    return wanted - n;
}

/* Nothing can be said of it, or nothing was promised yet. */
static bool is_vague(const struct story *s)
{
    return s->bereft || s->forked || !s->id_count ||
           s->ids[0].born != OUT_DONE || (s->may_end && !is_over(s));
}

/* ---- for the trace ---- */

static const char *name_of(const struct sim *sim, uint64_t node)
{
    for (unsigned i = 0; i < sim->count; i++)
        if (sim->members[i].channel.node == node)
            return sim->members[i].name;
    return "-";
}

static void say_place(const struct sim *sim, const struct member *m,
                      const uint8_t id[ID_SIZE], char *out, size_t size)
{
    static const char *const kinds[] = {"at", "over", "final"};
    struct place p;
    size_t used;

    if (!places_get(replica_places(m->replica), id, &p)) {
        snprintf(out, size, "no place");
        return;
    }
    used = (size_t)snprintf(out, size, "%s %llu", kinds[p.kind],
                            (unsigned long long)p.stamp % 100000000);
    for (unsigned i = 0; i < p.count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, " %s",
                                 name_of(sim, p.holders[i]));
    for (unsigned i = 0; i < p.count && used + 2 < size; i++) {
        enum member_state s = channel_state(&m->channel, p.holders[i]);
        out[used++] = i ? "uhag"[s] : ' ';
        if (!i)
            out[used++] = "uhag"[s];
        out[used] = 0;
    }
}

static const char *what_is(const struct entry *e)
{
    if (!e)
        return "nothing";
    if (e->flags & ENTRY_CACHED)
        return "cached";
    if (e->flags & ENTRY_DROPPED)
        return "dropped";
    if (record_ended(e->record, NULL))
        return "tombstone";
    return e->idle ? "idle" : "copy";
}

static void say_at(struct sim *sim, struct member *m, const struct story *s,
                   const uint8_t id[ID_SIZE])
{
    char place[100];

    if (!m->up || !m->replica)
        return;
    struct table_stripe *stripe = table_lock(m->manager->table, id);
    struct entry *e = table_find(stripe, id);
    const struct handover *h = e ? backup_entry(e)->handover : NULL;
    say_place(sim, m, id, place, sizeof place);
    SAY(sim, m->slot, "  %s; %s%s%s%s, view %llu%s", place, what_is(e),
        s && e && counts_all(s, e->record) ? ", all of it" : "",
        h ? ", hands over to " : "",
        h && h->count    ? name_of(sim, h->nodes[0])
        : h && h->moving ? name_of(sim, h->moving)
                         : "",
        (unsigned long long)atomic_load(&m->channel.view),
        member_answers(m) ? "" : ", does not answer");
    table_unlock(stripe);
}

void holders_say_id(struct sim *sim, const struct story *s,
                    const uint8_t id[ID_SIZE])
{
    char text[ID_TEXT_SIZE];

    if (!sim->trace)
        return;
    SAY(sim, -1, "%s %.6s:", s ? "session" : "that is", id_format(id, text));
    for (unsigned k = 0; k < sim->count; k++)
        say_at(sim, &sim->members[k], s, id);
}

void holders_say(struct sim *sim, const struct story *s)
{
    if (sim->plan.backup && sim->trace)
        for (unsigned i = 0; i < s->id_count; i++)
            holders_say_id(sim, s, s->ids[i].id);
}

/* ---- what happened ---- */

void holders_view(struct member *m)
{
    struct channel *c = &m->channel;
    uint64_t view = atomic_load(&c->view);
    unsigned here = 0;

    if (view == m->view)
        return;
    const struct channel_app *app =
        m->replica ? replica_members(m->replica) : NULL;
    for (unsigned i = 0; i < atomic_load(&c->member_slots); i++)
        here += atomic_load(&c->members[i].state) == MEMBER_HERE && app &&
                atomic_load(&app->at[i]) == APP_HAS; /* it has said so */
    if (m->sim->now - m->view_at > VIEW_US)
        m->here_low = m->here;
    if (here < m->here_low)
        m->here_low = here;
    m->view = view;
    m->view_at = m->sim->now;
    m->here = here;
}

/* As few others as any member that is awake may have seen of late. */
static unsigned others_seen(struct sim *sim)
{
    unsigned least = sim->count - 1;

    for (unsigned i = 0; i < sim->count; i++) {
        struct member *m = &sim->members[i];
        holders_view(m);
        unsigned here = sim->now - m->view_at > VIEW_US ? m->here : m->here_low;
        if (m->up && m->paused_until <= sim->now && here < least)
            least = here;
    }
    return least;
}

/* They have what they acknowledge no more when they have handed over. */
static unsigned leaving(const struct sim *sim)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sim->count; i++)
        n += sim->members[i].up && sim->members[i].leaving;
    return n;
}

/* Back, and waited for again: until they have compared they may lack what was
 * acknowledged while they were away. */
static unsigned comparing(const struct sim *sim)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sim->count; i++) {
        const struct member *m = &sim->members[i];
        n += m->up && !m->leaving && m->manager &&
             m->paused_until <= sim->now &&
             !channel_may_answer(&m->channel, member_now(m));
    }
    return n;
}

void holders_changed(const struct sim *sim, struct story *s)
{
    if (sim->plan.backup && !is_vague(s))
        s->missing = missing(sim, s, -1);
}

void holders_acknowledged(struct sim *sim, struct story *s, uint64_t ends)
{
    const struct plan *p = &sim->plan;
    unsigned promised = p->copies == COPIES_ALL   ? p->backups
                        : p->copies == COPIES_ONE ? 1
                                                  : 0;
    unsigned others, have;

    if (!p->backup || is_vague(s) || p->weather == WEATHER_FORGET)
        return;
    have = copies(sim, s);
    others = others_seen(sim);
    if (promised > others)
        promised = others;
    holders_changed(sim, s);
    /* a primary that stands still may have what the next one was not told */
    if (promised == 0 && is_there(sim, s, -1))
        return;
    if (p->weather <= WEATHER_HOSTS &&
        have + leaving(sim) + comparing(sim) + sim->ends - ends <
            promised + 1 &&
        !s->renaming && !is_over(s)) {
        holders_say(sim, s);
        sim_fail(sim,
                 "a change to session %u was acknowledged, %u members have it "
                 "and %u should",
                 s->number, have, promised + 1);
    }
}

/* Is that one there for it, with no copy, and has not let go of one since? */
static bool holds_nothing(const struct member *m, uint64_t node,
                          const struct member *named, const uint8_t id[ID_SIZE],
                          const struct place *p)
{
    struct place known;
    struct record *copy;

    if (named == m || named->channel.node != node || !member_answers(named) ||
        channel_state(&m->channel, node) != MEMBER_HERE ||
        (places_get(replica_places(named->replica), id, &known) &&
         (known.kind != PLACE_LIST || known.stamp > p->stamp)))
        return false;
    copy = copy_of(named, id);
    bool nothing = !copy;
    record_unref(&copy);
    return nothing;
}

/* Of one that was acknowledged, and that nobody ends. */
static struct story *steady_story(struct sim *sim, const uint8_t id[ID_SIZE])
{
    for (unsigned i = 0; i < sim->work->story_count; i++) {
        struct story *s = sim->work->stories[i];
        const struct known_id *known = story_find_id(s, id);
        if (known)
            return known->born == OUT_DONE && known->over == OUT_NONE &&
                           !is_vague(s) && !s->renaming && !s->may_end &&
                           !story_may_idle(s, s->used, sim->now)
                       ? s
                       : NULL;
    }
    return NULL;
}

void holders_named(struct sim *sim, const struct member *m,
                   const uint8_t id[ID_SIZE], const struct place *p)
{
    bool promised = p->kind == PLACE_LIST && sim->plan.copies == COPIES_ALL &&
                    sim->plan.weather <= WEATHER_HOSTS;
    const struct story *s = promised ? steady_story(sim, id) : NULL;

    if (!s)
        return;
    for (unsigned k = 0; k < p->count; k++)
        for (unsigned i = 0; i < sim->count; i++)
            if (holds_nothing(m, p->holders[k], &sim->members[i], id, p)) {
                holders_say(sim, s);
                sim_fail(sim,
                         "%s names %s as a holder of session %u, and that has "
                         "no copy",
                         m->name, sim->members[i].name, s->number);
            }
}

/* The last one stops in order, and has said that there is nobody to take it. */
static bool is_last(const struct sim *sim, const struct member *m)
{
    const struct backup *b = backup_of(m->manager);
    bool any = false;

    for (unsigned i = 0; i < sim->count; i++)
        any |= sim->members[i].up && !sim->members[i].leaving;
    return !any && atomic_load(&b->left) && b->leave.alone > 0;
}

/* It said that somebody who stays has it. Of a death it hears at the latest
 * when an answer that it has asked for is a third of dropTime late; who dies
 * then it cannot know of. */
static bool is_to_blame(const struct member *m, const struct story *s)
{
    int64_t late = m->sim->plan.drop_ms * MS / 3 + 10 * MS;

    return m->parted && (!s->last_death || s->last_death + late < m->left_at);
}

/* More went down that had it than there are backups, and of those in the list
 * none is left: whoever has a copy makes the next list, and others may have a
 * newer one. */
static bool is_astray(const struct sim *sim, const struct story *s, int slot)
{
    return s->missing > sim->plan.backups &&
           missing(sim, s, slot) > sim->plan.backups;
}

static void lost_one(struct sim *sim, struct story *s, int slot)
{
    const struct member *m = &sim->members[slot];

    if (!has_it(m, s))
        return;
    bool there = is_there(sim, s, slot);
    if (m->parted) {
        unsigned now = missing(sim, s, slot);
        if (s->missing < now)
            s->missing = now;
    } else {
        s->missing++;
    }
    if (there && !is_astray(sim, s, slot))
        return;
    s->bereft = true;
    sim->bereft++;
    holders_say(sim, s);
    SAY(sim, slot, "session %u is bereft of something, %u are missing",
        s->number, s->missing);
    if (there)
        return;
    if (is_to_blame(m, s) && sim->plan.weather <= WEATHER_HOSTS &&
        !s->renaming && !is_over(s) && !story_may_idle(s, s->used, sim->now))
        sim_fail(sim,
                 "session %u: what was acknowledged goes with %s, which stops "
                 "in order",
                 s->number, m->name);
    if (is_last(sim, m))
        return;
    /* an end may have been forgotten by all the others */
    if (s->missing <= sim->plan.backups && sim->plan.weather <= WEATHER_HOSTS &&
        !s->renaming && !is_over(s) && !story_may_idle(s, s->used, sim->now))
        sim_fail(sim,
                 "session %u: what was acknowledged was at %s alone, though "
                 "no more than %u of those that had it went down",
                 s->number, m->name, s->missing);
}

static bool knows_end_elsewhere(const struct sim *sim,
                                const uint8_t id[ID_SIZE], int slot)
{
    bool knows = false;

    for (unsigned i = 0; i < sim->count && !knows; i++)
        knows = counts(sim, i, slot) && knows_end(&sim->members[i], id);
    return knows;
}

/* Does it take all along that there is of that id? Also an end that was not
 * acknowledged, and that nobody else has heard of; *renamed: it goes on. */
static bool takes_id(const struct sim *sim, const struct known_id *id, int slot,
                     bool *renamed)
{
    struct record *copy = copy_of(&sim->members[slot], id->id);
    struct record *others = copy ? merged(sim, id->id, slot) : NULL;
    struct record_end end;
    bool takes = copy && !others;

    *renamed = false;
    if (takes && record_ended(copy, &end)) {
        takes = id->over != OUT_DONE && !knows_end_elsewhere(sim, id->id, slot);
        *renamed = takes && end.reason == REASON_RENAMED;
    }
    record_unref(&copy);
    record_unref(&others);
    return takes;
}

/* The same of one of its ids at least. */
static bool takes_along(const struct sim *sim, struct story *s, int slot)
{
    bool takes = false, renamed;

    for (unsigned i = 0; i < s->id_count; i++)
        if (takes_id(sim, &s->ids[i], slot, &renamed)) {
            s->ids[i].gone = true;
            takes |= !renamed;
        }
    return takes;
}

void holders_end(struct sim *sim, int slot)
{
    const struct member *m = &sim->members[slot];

    sim->ends++;
    if (!sim->plan.backup || sim->plan.weather == WEATHER_FORGET)
        return;
    for (unsigned i = 0; i < sim->work->story_count; i++) {
        struct story *s = sim->work->stories[i];
        if (!s->orphaned && s->id_count)
            s->orphaned = !any_copy(sim, s, slot);
        bool takes = takes_along(sim, s, slot);
        if (!is_vague(s))
            lost_one(sim, s, slot);
        else
            s->bereft |= takes;
        if (s->id_count && !m->parted && has_it(m, s))
            s->last_death = sim->now;
    }
}

void holders_undone(struct sim *sim, struct story *s, uint64_t down)
{
    if (!sim->plan.backup || sim->plan.weather == WEATHER_FORGET ||
        down <= sim->plan.backups)
        return;
    if (!s->orphaned)
        s->orphaned = !any_copy(sim, s, -1);
    if (is_vague(s))
        return;
    /* copies of the new id are none any more */
    unsigned now = missing(sim, s, -1);
    if (s->missing < now)
        s->missing = now;
    if (is_there(sim, s, -1))
        return;
    s->bereft = true;
    sim->bereft++;
    holders_say(sim, s);
    SAY(sim, -1, "session %u is bereft of something, its new id is undone",
        s->number);
}

bool holders_only_idle(const struct sim *sim, const uint8_t id[ID_SIZE])
{
    bool any = false, live = false;

    for (unsigned i = 0; i < sim->count; i++) {
        const struct member *m = &sim->members[i];
        struct record_end end = {.reason = REASON_NONE};
        if (!m->up || !m->manager)
            continue;
        struct table_stripe *stripe = table_lock(m->manager->table, id);
        const struct entry *e = table_find(stripe, id);
        bool copy = is_copy(e);
        live |= copy && manager_entry_liveness(m->manager, e, e->record,
                                               member_now(m), &end) == RC_OK;
        any |= copy && end.reason == REASON_IDLE;
        table_unlock(stripe);
    }
    return any && !live;
}

bool holders_know_end(const struct sim *sim, const uint8_t id[ID_SIZE])
{
    bool known = false;

    for (unsigned i = 0; i < sim->count && !known; i++) {
        const struct member *m = &sim->members[i];
        struct record *copy = counts(sim, i, -1) ? copy_of(m, id) : NULL;
        struct place p;
        known = (copy && record_ended(copy, NULL)) ||
                (counts(sim, i, -1) && m->replica &&
                 places_get(replica_places(m->replica), id, &p) &&
                 p.kind == PLACE_FINAL);
        record_unref(&copy);
    }
    return known;
}

void holders_look(struct sim *sim)
{
    for (unsigned i = 0; i < sim->work->story_count; i++) {
        struct story *s = sim->work->stories[i];
        if (!s->missing || is_vague(s))
            continue;
        unsigned now = missing(sim, s, -1);
        if (now < s->missing)
            s->missing = now;
        /* the last one was in no list any more, and has let go */
        if (s->missing > sim->plan.backups && !is_there(sim, s, -1))
            s->bereft = true;
    }
}
