/* SPDX-License-Identifier: Apache-2.0
 *
 * Tomcat's idle modes: this process's copy is the truth, the store gets it
 * later.
 *
 * Promises For one instance, or sticky sessions. An acknowledged change is in
 *          this process; it is stored when the session was idle for
 *          maxIdleBackup or maxIdleSwap seconds, when there are too many
 *          (minIdleSwap), and at an orderly stop. `kill -9` loses what was
 *          not: the gauges say how much that is. An end of what is stored, or
 *          may be, is stored before it is answered: nothing that was logged
 *          out comes back from there.
 * Laws     An entry with changes is ENTRY_UNSAVED and not ENTRY_BUSY: it may
 *          end for idling. It leaves memory only when what is stored is it.
 * Source   org/apache/catalina/session/PersistentManagerBase.java:
 *          processMaxIdleBackups, processMaxIdleSwaps, processMaxActiveSwaps,
 *          stopInternal. Passivation is told before a swap and at a stop, not
 *          before a backup; activation when a session is read from the store.
 */
#include "config.h"

#include "managers/persistent.h"

#include "session/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS_MAX 10000

bool persistent_is_lazy(const struct persistent_options *o)
{
    return o->write_through == WRITE_FALSE || o->max_idle_backup >= 0 ||
           o->max_idle_swap >= 0 || o->min_idle_swap >= 0;
}

enum rc persistent_find_lazy(struct persistent *p, struct find_op *op)
{
    struct table_stripe *stripe = table_lock(p->base.table, op->id);
    struct entry *e = table_find(stripe, op->id);
    enum rc rc = RC_PENDING;

    if (e)
        rc = manager_find_entry(&p->base, stripe, e, persistent_shown_lazy(e),
                                op);
    table_unlock(stripe);
    return rc;
}

bool persistent_row_lapsed(struct persistent *p, const uint8_t id[ID_SIZE],
                           struct instant now)
{
    struct table_stripe *stripe = table_lock(p->base.table, id);
    struct entry *e = table_find(stripe, id);
    struct record_end end;
    bool lives =
        e && manager_entry_liveness(&p->base, e, e->record, now, &end) == RC_OK;

    if (lives && !copy_of(e)->flight)
        copy_of(e)->version = 0;
    table_unlock(stripe);
    return lives;
}

/* ---- looking for what is idle ---- */

enum look { LOOK_IDLE, LOOK_STOP };

struct candidate {
    int64_t access;
    uint8_t id[ID_SIZE];
    struct record *record; /* a reference */
    bool swap;
};

struct search {
    struct persistent *p;
    const struct persistent_options *o;
    struct instant now;
    enum look look;
    struct candidate *found;
    size_t count, max, live;
};

static bool is_behind(const struct entry *e)
{
    return (e->flags & ENTRY_UNSAVED) || !copy_of((struct entry *)e)->version ||
           copy_of((struct entry *)e)->told < e->access;
}

static bool wants_backup(const struct search *s, const struct entry *e,
                         int64_t idle)
{
    int64_t after = s->o->max_idle_backup;

    if (s->look == LOOK_STOP && persistent_saves(s->p))
        return true;
    if (s->look == LOOK_STOP)
        return record_kind(e->record) == RECORD_SESSION || is_behind(e);
    /* A user's list of sessions is stored with the first of them. */
    if (record_kind(e->record) != RECORD_SESSION && after < 0)
        after = s->o->max_idle_swap;
    return after >= 0 && idle >= after && is_behind(e);
}

static bool wants_swap(const struct search *s, int64_t idle)
{
    return s->look == LOOK_IDLE && s->o->max_idle_swap >= 0 &&
           idle >= s->o->max_idle_swap && idle >= s->o->min_idle_swap;
}

static bool search_entry(void *user, struct entry *e)
{
    struct search *s = user;
    int64_t idle = (s->now.mono - e->access) / 1000;
    bool session = record_kind(e->record) == RECORD_SESSION;

    if (record_ended(e->record, NULL) || e->idle)
        return true;
    s->live += session;
    if (copy_of(e)->flight || s->count == s->max)
        return true;
    bool swap = session && wants_swap(s, idle);
    if (swap || wants_backup(s, e, idle)) {
        struct candidate *c = &s->found[s->count++];
        *c = (struct candidate){
            .access = e->access, .record = record_ref(e->record), .swap = swap};
        memcpy(c->id, record_id(e->record), ID_SIZE);
    }
    return true;
}

/* Who was used last stays. */
static bool search_all(void *user, struct entry *e)
{
    struct search *s = user;
    struct candidate *c = &s->found[s->count];

    if (s->count < s->max && record_kind(e->record) == RECORD_SESSION &&
        !e->idle && !record_ended(e->record, NULL) && !copy_of(e)->flight &&
        (s->now.mono - e->access) / 1000 >= s->o->min_idle_swap) {
        *c = (struct candidate){
            .access = e->access, .record = record_ref(e->record), .swap = true};
        memcpy(c->id, record_id(e->record), ID_SIZE);
        s->count++;
    }
    return s->count < s->max;
}

static int by_access(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    return x->access < y->access ? -1 : x->access > y->access;
}

/* One leaves memory, or is stored. Tells of it before. */
static void candidate_go(struct search *s, struct candidate *c)
{
    struct persistent *p = s->p;
    struct flight *f = NULL;

    if (c->swap ||
        (s->look == LOOK_STOP && record_kind(c->record) == RECORD_SESSION))
        manager_tell_passivate(&p->base, c->record, s->now);
    struct table_stripe *stripe = table_lock(p->base.table, c->id);
    struct entry *e = table_find(stripe, c->id);
    bool same = e && e->access == c->access && !copy_of(e)->flight &&
                !record_ended(e->record, NULL);
    if (same && is_behind(e))
        f = persistent_save(p, e, s->now, c->swap ? SAVE_SWAP : SAVE);
    else if (same && c->swap)
        table_remove(stripe, e);
    table_unlock(stripe);
    if (f)
        persistent_send(f);
}

static void search_go(struct search *s, size_t limit)
{
    for (size_t i = 0; i < s->count; i++) {
        if (i < limit)
            candidate_go(s, &s->found[i]);
        record_unref(&s->found[i].record);
    }
    s->count = 0;
}

static void swap_too_many(struct search *s)
{
    int64_t max = s->p->base.common.max_active_sessions;
    int64_t keep = max * 9 / 10;

    if (s->o->min_idle_swap < 0 || max < 0 || (int64_t)s->live <= keep)
        return;
    table_each(s->p->base.table, search_all, s);
    qsort(s->found, s->count, sizeof *s->found, by_access);
    search_go(s, s->live - (size_t)keep);
}

static int64_t look_every(const struct persistent_options *o)
{
    const int64_t all[] = {o->max_idle_backup, o->max_idle_swap,
                           o->min_idle_swap};
    int64_t every = LOOK_MS_MAX;

    for (int i = 0; i < 3; i++)
        if (all[i] >= 0 && all[i] * 100 < every)
            every = all[i] * 100;
    return every < 1000 ? 1000 : every;
}

void persistent_idle_tick(struct persistent *p, struct instant now)
{
    struct search s = {.p = p, .o = p->base.options, .now = now};
    struct store_stats stats;

    store_stats(p->base.store, &stats);
    if (now.mono < atomic_load(&p->idle_at))
        return;
    atomic_store(&p->idle_at, now.mono + look_every(s.o));
    s.max = stats.available ? SAVES_AT_ONCE : 1; /* is it back? */
    s.found = mem_alloc(s.max * sizeof *s.found);
    table_each(p->base.table, search_entry, &s);
    search_go(&s, s.count);
    swap_too_many(&s);
    free(s.found);
}

/* ---- a stop ---- */

static bool is_stored(struct persistent *p, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(p->base.table, id);
    struct entry *e = table_find(stripe, id);
    bool stored =
        e && (copy_of(e)->version || copy_of(e)->maybe || copy_of(e)->flight);

    table_unlock(stripe);
    return stored;
}

/* A user's list goes on for those of his sessions that are stored, if it is
 * stored, too. */
static struct flight *end_list(struct persistent *p,
                               struct table_stripe *stripe, struct entry *e,
                               struct instant now)
{
    const struct copy *c = copy_of(e);

    if (c->version || c->maybe)
        return persistent_save(p, e, now, SAVE);
    if (e->flags & ENTRY_UNSAVED)
        atomic_fetch_sub(&p->unsaved, 1);
    table_remove(stripe, e);
    return NULL;
}

static void end_one(struct search *s, struct candidate *c)
{
    struct persistent *p = s->p;
    struct flight *f = NULL;

    if (record_kind(c->record) == RECORD_SESSION) {
        manager_end_due(&p->base, c->id, REASON_LOST, s->now);
        return;
    }
    struct table_stripe *stripe = table_lock(p->base.table, c->id);
    struct entry *e = table_find(stripe, c->id);
    if (e && !copy_of(e)->flight)
        f = end_list(p, stripe, e, s->now);
    table_unlock(stripe);
    if (f)
        persistent_send(f);
}

static size_t search_stop(struct search *s)
{
    struct table_counts counts;

    table_counts(s->p->base.table, &counts);
    s->look = LOOK_STOP;
    s->max = counts.live + counts.others + 1024; /* some may just begin */
    s->found = mem_alloc(s->max * sizeof *s->found);
    table_each(s->p->base.table, search_entry, s);
    return s->count;
}

static size_t end_all(struct search *s)
{
    size_t count = search_stop(s);

    for (size_t i = 0; i < count; i++) {
        if (store_usable(s->p->base.store, s->found[i].id))
            end_one(s, &s->found[i]);
        record_unref(&s->found[i].record);
    }
    free(s->found);
    return count;
}

void persistent_idle_stop(struct persistent *p, struct instant now)
{
    struct search s = {.p = p, .o = p->base.options, .now = now};

    if (!persistent_saves(p)) {
        atomic_store(&p->tells_ends, true);
        end_all(&s);
        return;
    }
    search_stop(&s);
    search_go(&s, s.count);
    free(s.found);
}

size_t persistent_idle_stop_again(struct persistent *p, struct instant now)
{
    struct search s = {.p = p, .o = p->base.options, .now = now};

    return persistent_saves(p) ? persistent_flush_unsaved(p, now) : end_all(&s);
}

/* What was never stored ends all the same. */
void persistent_idle_stop_over(struct persistent *p, struct instant now)
{
    struct search s = {.p = p, .o = p->base.options, .now = now};

    if (persistent_saves(p))
        return;
    atomic_store(&p->tells_ends, false);
    search_stop(&s);
    for (size_t i = 0; i < s.count; i++) {
        struct candidate *c = &s.found[i];
        if (!is_stored(p, c->id))
            end_one(&s, c);
        record_unref(&c->record);
    }
    free(s.found);
}

size_t persistent_idle_left(struct persistent *p, struct instant now)
{
    struct search s = {.p = p, .o = p->base.options, .now = now};
    size_t left = 0;

    if (persistent_saves(p))
        return atomic_load(&p->unsaved);
    search_stop(&s);
    for (size_t i = 0; i < s.count; i++) {
        left += is_stored(p, s.found[i].id);
        record_unref(&s.found[i].record);
    }
    free(s.found);
    return left;
}

/* ---- what would be lost now ---- */

struct oldest {
    int64_t changed;
    uint64_t count;
};

static bool see_unsaved(void *user, struct entry *e)
{
    struct oldest *o = user;

    if (e->flags & ENTRY_UNSAVED) {
        o->count++;
        if (copy_of(e)->changed < o->changed)
            o->changed = copy_of(e)->changed;
    }
    return true;
}

void persistent_idle_stats(struct persistent *p, struct manager_stats *out)
{
    struct oldest o = {.changed = INT64_MAX};

    table_each(p->base.table, see_unsaved, &o);
    out->unsaved = o.count;
    out->oldest_unsaved_ms = 0;
    if (o.count)
        out->oldest_unsaved_ms = (uint64_t)(instant_read().mono - o.changed);
}

void persistent_cost(const void *options, char *out, size_t size)
{
    const struct persistent_options *o = options;
    char when[64] = "at an orderly stop only";

    out[0] = '\0';
    if (!persistent_is_lazy(o))
        return;
    if (o->max_idle_backup >= 0)
        snprintf(when, sizeof when, "after %lld idle seconds",
                 (long long)o->max_idle_backup);
    else if (o->max_idle_swap >= 0)
        snprintf(when, sizeof when, "after %lld idle seconds",
                 (long long)o->max_idle_swap);
    else if (o->min_idle_swap >= 0)
        snprintf(when, sizeof when, "when there are too many, and at a stop");
    snprintf(out, size,
             "for one instance or sticky sessions: a session is stored %s; "
             "kill -9 loses what changed since%s",
             when,
             o->save_on_restart ? "" : ", a stop ends the sessions in memory");
}

void persistent_advise(const void *options, unsigned n, char *out, size_t size)
{
    const struct persistent_options *o = options;
    const bool wrong[] = {
        o->write_through == WRITE_TRUE && persistent_is_lazy(o),
        o->max_idle_swap >= 0 && o->min_idle_swap > o->max_idle_swap};

    out[0] = '\0';
    if (n == 0 && wrong[0])
        snprintf(out, size,
                 "writeThrough=\"true\" does nothing where maxIdleBackup, "
                 "maxIdleSwap or minIdleSwap is set: changes are stored later; "
                 "leave out one or the other");
    else if (wrong[1] && n == (wrong[0] ? 1u : 0u))
        snprintf(out, size,
                 "minIdleSwap=\"%lld\" is above maxIdleSwap=\"%lld\": nobody "
                 "leaves memory before that; set it lower",
                 (long long)o->min_idle_swap, (long long)o->max_idle_swap);
}
