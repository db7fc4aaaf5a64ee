/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/quiet.h"

#include "managers/backup_impl.h"
#include "tests/sim/holders.h"
#include "tests/sim/member.h"

#include <stdarg.h>
#include <string.h>

struct view {
    const struct sim *sim;
    struct member *m;
    char *why;
    size_t size;
    bool good;
    uint8_t id[ID_SIZE]; /* the last that was looked at */
};

static void differs(struct view *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void differs(struct view *v, const char *format, ...)
{
    va_list ap;

    if (v->good && v->size) {
        va_start(ap, format);
        vsnprintf(v->why, v->size, format, ap);
        va_end(ap);
    }
    v->good = false;
}

static const char *short_id(const uint8_t id[ID_SIZE], char out[ID_TEXT_SIZE])
{
    id_format(id, out);
    out[6] = 0;
    return out;
}

static const struct places *places_of(const struct member *m)
{
    return replica_places(m->replica);
}

static struct member *member_of(const struct sim *sim, uint64_t node)
{
    for (unsigned i = 0; i < sim->count; i++)
        if (sim->members[i].up && sim->members[i].channel.node == node)
            return &sim->members[i];
    return NULL;
}

/* ---- equal ---- */

static void see_all_answer(struct view *v)
{
    for (unsigned i = 0; i < v->sim->count; i++) {
        const struct member *m = &v->sim->members[i];
        if (!member_answers(m) || !m->replica)
            differs(v, "%s does not answer", m->name);
    }
}

static void see_pair(struct view *v, const struct member *a,
                     const struct member *b)
{
    if (replica_root(a->replica, b->channel.node) !=
        replica_root(b->replica, a->channel.node))
        differs(v, "%s and %s differ in what both have", a->name, b->name);
}

/* Of many members not each with each. */
static void see_roots(struct view *v)
{
    const struct member *all = v->sim->members;
    unsigned n = v->sim->count;

    for (unsigned i = 1; i < n; i++)
        if (places_root(places_of(&all[i])) != places_root(places_of(all)))
            differs(v, "the places of %s are not those of %s", all[i].name,
                    all[0].name);
    for (unsigned i = 0; i < n && v->good; i++)
        for (unsigned k = i + 1; k<n; k += n> 12 ? n / 4 : 1)
            see_pair(v, &all[i], &all[k]);
}

/* A live copy of it: a reference; NULL: none. */
static struct record *copy_at(const struct member *m, const uint8_t id[ID_SIZE])
{
    struct record *record = NULL;
    struct table_stripe *stripe = table_lock(m->manager->table, id);
    const struct entry *e = table_find(stripe, id);

    if (is_copy(e) && !e->idle && !record_ended(e->record, NULL))
        record = record_ref(e->record);
    table_unlock(stripe);
    return record;
}

static void see_holders(struct view *v, const uint8_t id[ID_SIZE],
                        const struct place *p)
{
    const struct sim *sim = v->sim;
    unsigned wanted = sim->plan.backups + 1;
    struct record *first = NULL;
    char text[ID_TEXT_SIZE];

    if (wanted > sim->count)
        wanted = sim->count;
    if (p->count != wanted)
        differs(v, "%s is at %u members instead of %u", short_id(id, text),
                p->count, wanted);
    for (unsigned i = 0; i < p->count; i++) {
        const struct member *m = member_of(sim, p->holders[i]);
        struct record *copy = m ? copy_at(m, id) : NULL;
        if (!m)
            differs(v, "%s has a holder that is no more", short_id(id, text));
        else if (!copy)
            differs(v, "%s is not at %s, which is in the list",
                    short_id(id, text), m->name);
        else if (first && !record_equal(first, copy))
            differs(v, "%s is otherwise at %s", short_id(id, text), m->name);
        if (!first && copy)
            first = record_ref(copy);
        record_unref(&copy);
    }
    record_unref(&first);
}

static bool see_place(void *user, const uint8_t id[ID_SIZE],
                      const struct place *p)
{
    struct view *v = user;

    memcpy(v->id, id, ID_SIZE);
    if (p->kind == PLACE_LIST)
        see_holders(v, id, p);
    return v->good;
}

static bool see_copy(void *user, struct entry *e)
{
    struct view *v = user;
    const uint8_t *id = record_id(e->record);
    char text[ID_TEXT_SIZE];
    struct place p;

    if (!is_copy(e) || e->idle || record_ended(e->record, NULL))
        return true;
    memcpy(v->id, id, ID_SIZE);
    if (!places_get(places_of(v->m), id, &p))
        differs(v, "%s has %s, which has no place", v->m->name,
                short_id(id, text));
    else if (p.kind != PLACE_LIST)
        differs(v, "%s has %s, whose place says that it is over", v->m->name,
                short_id(id, text));
    else if (!place_has(&p, v->m->channel.node))
        differs(v, "%s has %s and is not in the list", v->m->name,
                short_id(id, text));
    if (backup_entry(e)->handover)
        differs(v, "%s still hands %s over", v->m->name, short_id(id, text));
    return v->good;
}

static void see_exposed(struct view *v, struct member *m)
{
    struct manager_stats stats;

    manager_stats(m->manager, &stats);
    if (stats.exposed && v->sim->count > v->sim->plan.backups)
        differs(v, "%s says that %llu sessions are exposed", m->name,
                (unsigned long long)stats.exposed);
}

struct tally {
    const struct member *m;
    uint64_t exposed;
};

static bool see_few(void *user, const uint8_t id[ID_SIZE],
                    const struct place *p)
{
    struct tally *t = user;
    const struct backup *b = backup_of(t->m->manager);
    unsigned others = 0;

    if (p->kind != PLACE_LIST || id_is_of_user(id) ||
        acting_primary(b, p) != self(b))
        return true;
    for (unsigned i = 0; i < p->count; i++)
        others += p->holders[i] != self(b) && stays(b, p->holders[i]);
    t->exposed += others < t->m->sim->plan.backups;
    return true;
}

void quiet_count(struct sim *sim, int slot)
{
    struct tally t = {.m = &sim->members[slot]};
    struct manager_stats stats;

    if (!t.m->up || !t.m->replica)
        return;
    for (unsigned leaf = 0; leaf < TABLE_LEAVES; leaf++)
        places_each_in(places_of(t.m), leaf, see_few, &t);
    manager_stats(t.m->manager, &stats);
    if (stats.exposed != t.exposed)
        sim_fail(sim, "%s says that %llu sessions are exposed, %llu are",
                 t.m->name, (unsigned long long)stats.exposed,
                 (unsigned long long)t.exposed);
}

bool quiet_equal(const struct sim *sim, char *why, size_t size)
{
    struct view v = {.sim = sim, .why = why, .size = size, .good = true};

    see_all_answer(&v);
    if (v.good)
        see_roots(&v);
    for (unsigned leaf = 0; leaf < TABLE_LEAVES && v.good; leaf++)
        places_each_in(places_of(sim->members), leaf, see_place, &v);
    for (unsigned i = 0; i < sim->count && v.good; i++) {
        v.m = &sim->members[i];
        table_each(v.m->manager->table, see_copy, &v);
        if (v.good)
            see_exposed(&v, v.m);
    }
    if (!v.good && size)
        holders_say_id((struct sim *)sim, NULL, v.id);
    if (v.good && size)
        snprintf(why, size, "somebody waits, or a request is under way");
    return v.good;
}

/* ---- forgotten ---- */

static bool see_entry(void *user, struct entry *e)
{
    struct view *v = user;
    char text[ID_TEXT_SIZE];

    memcpy(v->id, record_id(e->record), ID_SIZE);
    if (!is_copy(e) || record_ended(e->record, NULL) || e->idle)
        differs(v, "%s still keeps %s", v->m->name,
                short_id(record_id(e->record), text));
    return v->good;
}

static void see_rest(struct view *v)
{
    const struct backup *b = backup_of(v->m->manager);
    struct places_counts counts;

    places_counts(places_of(v->m), &counts);
    if (counts.over)
        differs(v, "%s still has %zu places of what is over", v->m->name,
                counts.over);
    if (b->cached.count || b->soon.count || b->odd.count)
        differs(v, "%s still has rows of %zu, %zu and %zu", v->m->name,
                b->cached.count, b->soon.count, b->odd.count);
    table_each(v->m->manager->table, see_entry, v);
}

bool quiet_forgotten(const struct sim *sim, char *why, size_t size)
{
    struct view v = {.sim = sim, .why = why, .size = size, .good = true};

    for (unsigned i = 0; i < sim->count && v.good; i++) {
        v.m = &sim->members[i];
        see_rest(&v);
    }
    if (!v.good && size)
        holders_say_id((struct sim *)sim, NULL, v.id);
    return v.good;
}

uint64_t quiet_moved(const struct sim *sim)
{
    struct manager_stats stats;
    uint64_t moved = 0;

    for (unsigned i = 0; i < sim->count; i++) {
        if (!sim->members[i].up)
            continue;
        manager_stats(sim->members[i].manager, &stats);
        moved += stats.moved;
    }
    return moved;
}
