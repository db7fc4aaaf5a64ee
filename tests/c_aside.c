/* SPDX-License-Identifier: Apache-2.0
 *
 * c_aside.c: docs/promises.md, on every manager with every store: attributes
 * that stay in the process which set them (sessionAttributeNameFilter). The
 * number in a name is the statement's. Here names that begin with "own" do. */
#include "config.h"

#include "tests/world.h"

#include "session/manager_impl.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define FILTER                                                                 \
    {                                                                          \
        "sessionAttributeNameFilter", "k|shared\\..*"                          \
    }

static const struct setting filter[] = {FILTER, {NULL, NULL}};

/* A session with one attribute on each side, and a counter here, at server 0.
 */
static void furnish(struct world *w, uint8_t id[ID_SIZE])
{
    struct visit v;
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    CHECK_INT(visit_set(&v, "shared.a", "everywhere"), RC_OK);
    CHECK_INT(visit_set(&v, "own.b", "here"), RC_OK);
    CHECK_INT(visit_add(&v, "own.hits", 1), RC_OK);
    CHECK_STR(visit_get(&v, "own.b"), "here");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
}

static bool has_own(void *user, struct entry *e)
{
    bool *found = user;
    *found |= memmem(e->record->bytes, e->record->len, "own", 3) != NULL;
    return !*found;
}

/* Is a word of them in what managers know, send and store? */
static bool is_known_to_managers(struct world *w)
{
    bool found = false;
    for (unsigned i = 0; i < w->count; i++)
        table_each(w->m[i]->table, has_own, &found);
    return found;
}

static void p26_what_does_not_match_stays_here(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    CU_ASSERT(world_holds(w, 0, id, "own.b", "here"));
    CHECK_INT(world_count(w, 0, id, "own.hits"), 1);
    for (unsigned i = 0; i < w->count; i++) {
        CU_ASSERT(world_holds(w, i, id, "shared.a", "everywhere"));
        CU_ASSERT(world_holds(w, i, id, "own.b", i ? "" : "here"));
        CHECK_INT(world_stats(w, i).asides, !i);
    }
    CU_ASSERT_FALSE(is_known_to_managers(w));
    /* each its own */
    CHECK_INT(world_put(w, 1, id, "own.b", "there"), RC_OK);
    CU_ASSERT(world_holds(w, 1, id, "own.b", "there"));
    CU_ASSERT(world_holds(w, 0, id, "own.b", w->count > 1 ? "here" : "there"));
    CU_ASSERT_FALSE(is_known_to_managers(w));
}

/* A change of nothing else is told to nobody. */
static void p26_it_costs_the_others_nothing(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    CU_ASSERT(world_settle(w));
    uint64_t puts = world_puts(w, 0);
    size_t bytes = w->mesh ? mesh_sent_bytes(w->mesh) : 0;
    for (int n = 0; n < 10; n++)
        CHECK_INT(world_hit(w, 0, id, "own.hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "own.hits"), 11);
    CHECK_INT(world_puts(w, 0), puts);
    CHECK_INT(w->mesh ? mesh_sent_bytes(w->mesh) : 0, bytes);
}

/* The whole name, and only the name. */
static void p26_the_whole_name_counts(struct world *w)
{
    static const char *const own[] = {"kk", "xk", "K", "shared.", "k\n"};
    char shared[300] = "shared.", other[300] = "other.";
    struct visit v;
    world_stay(w);
    memset(shared + 7, 'x', sizeof shared - 8);
    memset(other + 6, 'x', sizeof other - 7);
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    CHECK_INT(visit_set(&v, shared, "long"), RC_OK);
    CHECK_INT(visit_set(&v, other, "long"), RC_OK);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        CHECK_INT(visit_set(&v, own[i], own[i]), RC_OK);
    CHECK_INT(visit_set(&v, "k", "own.b"), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    uint8_t id[ID_SIZE];
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    for (unsigned i = 0; i < w->count; i++) {
        CU_ASSERT(world_holds(w, i, id, "k", "own.b"));
        CU_ASSERT(world_holds(w, i, id, "shared.", "shared."));
        CU_ASSERT(world_holds(w, i, id, shared, "long"));
        CU_ASSERT(world_holds(w, i, id, other, i ? "" : "long"));
        CU_ASSERT(world_holds(w, i, id, "kk", i ? "" : "kk"));
        CU_ASSERT(world_holds(w, i, id, "xk", i ? "" : "xk"));
        CU_ASSERT(world_holds(w, i, id, "K", i ? "" : "K"));
        CU_ASSERT(world_holds(w, i, id, "k\n", i ? "" : "k\n"));
    }
}

static void add_name(void *user, const char *name, const struct value *value)
{
    char *out = user;
    size_t used = strlen(out);
    (void)value;
    snprintf(out + used, 256 - used, "%s ", name);
}

static void names_at(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                     char out[256])
{
    struct visit v;
    out[0] = 0;
    if (visit_find(&v, w, i, id) == RC_OK)
        session_each(&v.s, add_name, out);
    visit_end(&v);
}

static void p26_requests_see_both_sides(struct world *w)
{
    struct visit v, early;
    uint8_t id[ID_SIZE];
    char names[256] = "";
    world_stay(w);
    furnish(w, id);
    CHECK_INT_FATAL(visit_find(&early, w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(visit_set(&v, "own.b", "new"), RC_OK);
    CHECK_INT(visit_set(&v, "a.own", "x"), RC_OK);
    CHECK_INT(session_remove(&v.s, "own.hits", NULL), RC_OK);
    session_each(&v.s, add_name, names);
    CHECK_STR(names, "a.own own.b shared.a ");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    /* 2: as it was when the request began */
    CHECK_STR(visit_get(&early, "own.b"), "here");
    CHECK_INT(visit_count(&early, "own.hits"), 1);
    visit_end(&early);
    names_at(w, 0, id, names);
    CHECK_STR(names, "a.own own.b shared.a ");
    names_at(w, 1, id, names);
    CHECK_STR(names, w->count > 1 ? "shared.a " : "a.own own.b shared.a ");
}

/* Nothing is left of what a request makes and another takes away. */
static void p26_what_is_removed_is_gone(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(session_remove(&v.s, "own.b", NULL), RC_OK);
    CHECK_INT(session_remove(&v.s, "own.hits", NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CU_ASSERT(world_holds(w, 0, id, "own.b", ""));
    CHECK_INT(world_count(w, 0, id, "own.hits"), 0);
    CHECK_INT(world_stats(w, 0).asides, 0);
    CHECK_INT(world_hit(w, 0, id, "own.hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "own.hits"), 1);
}

static void hit_and_put(struct worker *worker)
{
    const uint8_t *id = worker->with;
    char name[32];
    for (int n = 0; n < 25; n++) {
        snprintf(name, sizeof name, "own.%u.%d", worker->number, n);
        worker->answers[world_hit(worker->w, 0, id, "own.hits")]++;
        worker->answers[world_put(worker->w, 0, id, name, "v")]++;
        worker->answers[world_hit(worker->w, 0, id, "shared.hits")]++;
    }
}

static void p26_parallel_changes_are_all_kept(struct world *w)
{
    struct worker sum;
    uint8_t id[ID_SIZE];
    char name[32];
    unsigned there = 0;
    world_stay(w);
    furnish(w, id);
    world_parallel(w, 8, hit_and_put, id, &sum);
    CHECK_INT(sum.answers[RC_OK], 600);
    CHECK_INT(world_count(w, 0, id, "own.hits"), 201);
    CHECK_INT(world_count(w, 1, id, "shared.hits"), 200);
    for (unsigned k = 0; k < 8; k++)
        for (int n = 0; n < 25; n++) {
            snprintf(name, sizeof name, "own.%u.%d", k, n);
            there += world_holds(w, 0, id, name, "v");
        }
    CHECK_INT(there, 200);
}

/* 6: also to a request that changes nothing else. */
static void p26_an_end_is_final(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    CHECK_INT(visit_set(&v, "own.b", "late"), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_ENDED);
    CHECK_INT(v.reason, REASON_LOGOUT);
    visit_end(&v);
    CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT);
}

/* 9 */
static void p26_a_commit_never_creates(struct world *w)
{
    struct visit v;
    world_stay(w);
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    CHECK_INT(visit_set(&v, "own.b", "x"), RC_OK);
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_INT(world_stats(w, 0).asides, 0);
}

/* 19 */
static void p26_listeners_hear_of_it(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    world_events_clear(w);
    CHECK_INT(world_put(w, 0, id, "own.b", "new"), RC_OK);
    CHECK_INT(world_put(w, 0, id, "own.c", "new"), RC_OK);
    CHECK_INT(world_end(w, 0, id, REASON_LOGOUT), RC_OK);
    CHECK_STR(w->events,
              "replaced:own.b added:own.c destroyed:logout removed:own.b "
              "removed:own.c removed:own.hits removed:shared.a");
}

static const struct setting idle_filter[] = {
    FILTER, {"maxInactive", "100"}, {NULL, NULL}};

static bool is_heard(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    bool heard = w->events[0] != 0;
    pthread_mutex_unlock(&w->lock);
    return heard;
}

/* Between two managers another server sees to what this one leaves for 30 s;
 * this one is asked, and time stands still until it has answered. */
static void hear_here(struct world *w)
{
    int64_t end = instant_read().mono + 20000;
    if (w->previous)
        manager_tick(w->m[0], w->now);
    while (w->previous && !is_heard(w) && instant_read().mono < end)
        sched_yield();
}

static bool has_told(struct world *w, const char *what)
{
    pthread_mutex_lock(&w->lock);
    bool told = strstr(w->events, what) != NULL;
    pthread_mutex_unlock(&w->lock);
    return told;
}

/* Ends that no request makes are heard with it as well; then it goes. */
static void p26_it_goes_with_the_session(struct world *w)
{
    uint8_t id[ID_SIZE], logout[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    furnish(w, logout);
    CHECK_INT(world_stats(w, 0).asides, 2);
    CHECK_INT(world_end(w, 1, logout, REASON_LOGOUT), RC_OK);
    world_events_clear(w);
    world_pass(w, 120000);
    hear_here(w);
    int64_t end = instant_read().mono + 20000;
    do {
        world_tick(w);
        world_pass(w, 20000);
        sched_yield();
    } while (world_stats(w, 0).asides && instant_read().mono < end);
    CHECK_INT(world_stats(w, 0).asides, 0);
    while (!has_told(w, "removed:shared.a") && instant_read().mono < end)
        sched_yield(); /* it is gone before the last of it is told */
    CHECK_STR(w->events, "destroyed:idle removed:own.b removed:own.hits "
                         "removed:shared.a");
    CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT);
}

static const struct setting long_filter[] = {
    FILTER, {"maxInactive", "7200"}, {NULL, NULL}};

static void p26_it_stays_as_long_as_the_session(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    for (int minute = 0; minute < 90; minute++) {
        world_pass(w, 60000);
        world_tick(w);
    }
    CHECK_INT(world_count(w, 0, id, "own.hits"), 1);
    CU_ASSERT(world_holds(w, 0, id, "own.b", "here"));
}

static const struct setting bytes_filter[] = {
    FILTER, {"maxSessionBytes", "1024"}, {NULL, NULL}};

/* 18 */
static void p26_both_sides_count(struct world *w)
{
    uint8_t id[ID_SIZE];
    char text[451];
    world_stay(w);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    furnish(w, id);
    CHECK_INT(world_put(w, 0, id, "own.1", text), RC_OK);
    CHECK_INT(world_put(w, 0, id, "shared.2", text), RC_TOOBIG);
    CHECK_INT(world_put(w, 0, id, "own.2", text), RC_TOOBIG);
    CHECK_INT(world_put(w, 0, id, "own.1", "less"), RC_OK);
    CHECK_INT(world_put(w, 0, id, "shared.2", text), RC_OK);
    CHECK_INT(world_put(w, 0, id, "own.2", text), RC_TOOBIG);
}

/* 24 is of what is shared; this waits for the end of the request. */
static void p26_a_flush_leaves_it_to_the_commit(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(visit_add(&v, "own.hits", 2), RC_OK);
    manager_flush(v.manager, &v.s, w->now);
    CHECK_INT(visit_set(&v, "shared.b", "early"), RC_OK);
    CHECK_INT(visit_add(&v, "own.hits", 2), RC_OK);
    manager_flush(v.manager, &v.s, w->now);
    CU_ASSERT(world_settle(w));
    CU_ASSERT(world_holds(w, 1, id, "shared.b", "early"));
    CHECK_INT(world_count(w, 0, id, "own.hits"), 1);
    CHECK_INT(visit_count(&v, "own.hits"), 5);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_INT(world_count(w, 0, id, "own.hits"), 5);
}

static const struct setting warn_filter[] = {
    FILTER, {"warnOnSessionAttributeFilterFailure", "true"}, {NULL, NULL}};

static unsigned lines_with(struct world *w, const char *text)
{
    unsigned count = 0;
    pthread_mutex_lock(&w->lock);
    for (const char *at = w->lines; (at = strstr(at, text)); at++)
        count++;
    pthread_mutex_unlock(&w->lock);
    return count;
}

static void p26_it_can_be_told(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    for (int n = 0; n < 3; n++)
        CHECK_INT(world_hit(w, 0, id, "own.hits"), RC_OK);
    CHECK_INT(lines_with(w, "the attribute \"own.hits\" of session "), 1);
    CHECK_INT(lines_with(w, "the attribute \"own.b\" of session "), 1);
    CHECK_INT(lines_with(w, "the attribute"), 2);
}

static void p26_nothing_is_told_unasked(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    CHECK_INT(lines_with(w, "the attribute"), 0);
}

static void restart_all(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        world_stop(w, i);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT_FATAL(world_start(w, i), RC_OK);
}

static const struct setting filed_filter[] = {
    FILTER, {"pathname", "sessions.file"}, {NULL, NULL}};

static void p26_a_restart_loses_it(struct world *w)
{
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    restart_all(w);
    CU_ASSERT(world_holds(w, 0, id, "shared.a", "everywhere"));
    CU_ASSERT(world_holds(w, 0, id, "own.b", ""));
    CHECK_INT(world_count(w, 0, id, "own.hits"), 0);
    CHECK_INT(world_hit(w, 0, id, "own.hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "own.hits"), 1);
}

/* What was kept by a server without the filter is not seen by one with it. */
static void p26_a_name_is_of_one_side(struct world *w)
{
    uint8_t id[ID_SIZE];
    char names[256];
    world_stay(w);
    furnish(w, id);
    CHECK_INT(world_put(w, 0, id, "k", "kept"), RC_OK);
    CU_ASSERT_FATAL(
        world_set(w, "sessionAttributeNameFilter", "own\\..*|shared.*"));
    restart_all(w);
    names_at(w, 0, id, names);
    CHECK_STR(names, "shared.a ");
    CU_ASSERT(world_holds(w, 0, id, "k", ""));
    CHECK_INT(world_put(w, 0, id, "k", "of this process"), RC_OK);
    names_at(w, 0, id, names);
    CHECK_STR(names, "k shared.a ");
    CU_ASSERT(world_holds(w, 0, id, "k", "of this process"));
    CU_ASSERT_FATAL(world_set(w, "sessionAttributeNameFilter", ""));
    restart_all(w);
    CU_ASSERT(world_holds(w, 0, id, "k", "kept"));
}

/* ---- new ids ---- */

static void p27_a_new_id_takes_it_along(struct world *w)
{
    struct visit v;
    uint8_t old[ID_SIZE], id[ID_SIZE], last[ID_SIZE];
    world_stay(w);
    furnish(w, old);
    CHECK_INT_FATAL(visit_find(&v, w, 0, old), RC_OK);
    CHECK_INT(visit_add(&v, "own.hits", 1), RC_OK);
    CHECK_INT(session_change_id(&v.s, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    CHECK_INT(world_look(w, 0, old, NULL), RC_ABSENT);
    CU_ASSERT(world_holds(w, 0, id, "own.b", "here"));
    CHECK_INT(world_count(w, 0, id, "own.hits"), 2);
    CHECK_INT_FATAL(world_login(w, 0, id, "kim", last), RC_OK);
    CU_ASSERT(world_holds(w, 0, last, "own.b", "here"));
    CHECK_INT(world_hit(w, 0, last, "own.hits"), RC_OK);
    CHECK_INT(world_count(w, 0, last, "own.hits"), 3);
    CU_ASSERT(world_holds(w, 1, last, "shared.a", "everywhere"));
    CHECK_INT(world_stats(w, 0).asides, 1);
    CU_ASSERT_FALSE(is_known_to_managers(w));
}

static void p27_a_new_id_made_elsewhere_does_not(struct world *w)
{
    uint8_t old[ID_SIZE], id[ID_SIZE];
    world_stay(w);
    furnish(w, old);
    CHECK_INT_FATAL(world_login(w, 1, old, "kim", id), RC_OK);
    CU_ASSERT(world_holds(w, 0, id, "shared.a", "everywhere"));
    CU_ASSERT(world_holds(w, 0, id, "own.b", w->count > 1 ? "" : "here"));
}

/* A request that began under the old id. */
static void p27_a_change_follows(struct world *w)
{
    struct visit v, other;
    uint8_t old[ID_SIZE], id[ID_SIZE];
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, old), RC_OK);
    CHECK_INT_FATAL(visit_find(&other, w, 0, old), RC_OK);
    CHECK_INT_FATAL(world_login(w, 0, old, "kim", id), RC_OK);
    CHECK_INT(visit_set(&v, "own.b", "late"), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CHECK_INT(visit_set(&other, "own.c", "late"), RC_OK);
    CHECK_INT(visit_set(&other, "shared.c", "late"), RC_OK);
    CHECK_INT(visit_commit(&other, w), RC_OK);
    visit_end(&other);
    CU_ASSERT(world_holds(w, 0, id, "own.b", "late"));
    CU_ASSERT(world_holds(w, 0, id, "own.c", "late"));
    CU_ASSERT(world_holds(w, 1, id, "shared.c", "late"));
}

/* 11: each goes on with what it saw. */
static void p27_two_new_ids_both_take_it(struct world *w)
{
    struct visit v[2];
    uint8_t old[ID_SIZE], id[2][ID_SIZE];
    world_stay(w);
    furnish(w, old);
    for (int n = 0; n < 2; n++)
        CHECK_INT_FATAL(visit_find(&v[n], w, 0, old), RC_OK);
    for (int n = 0; n < 2; n++) {
        CHECK_INT(visit_add(&v[n], "own.hits", 1), RC_OK);
        CHECK_INT(session_login(&v[n].s, "kim", NULL), RC_OK);
        CHECK_INT(visit_commit(&v[n], w), RC_OK);
        memcpy(id[n], session_id(&v[n].s), ID_SIZE);
        visit_end(&v[n]);
    }
    for (int n = 0; n < 2; n++) {
        CU_ASSERT(world_holds(w, 0, id[n], "own.b", "here"));
        CHECK_INT(world_count(w, 0, id[n], "own.hits"), 2);
    }
}

struct race {
    uint8_t old[ID_SIZE], id[ID_SIZE];
    atomic_bool moved;
};

/* Worker 0 changes the id; the others hit the old one until it is over. */
static void hit_or_move(struct worker *worker)
{
    struct race *race = (struct race *)worker->with;
    if (worker->number == 0) {
        struct visit v;
        while (world_count(worker->w, 0, race->old, "own.hits") < 5)
            sched_yield();
        enum rc rc = visit_find(&v, worker->w, 0, race->old);
        if (rc == RC_OK)
            rc = session_change_id(&v.s, NULL);
        if (rc == RC_OK)
            rc = visit_commit(&v, worker->w);
        memcpy(race->id, session_id(&v.s), ID_SIZE);
        visit_end(&v);
        atomic_store(&race->moved, rc == RC_OK);
        return;
    }
    enum rc rc;
    do {
        rc = world_hit(worker->w, 0, race->old, "own.hits");
        worker->answers[rc]++;
    } while (rc == RC_OK);
}

static void p27_no_change_is_lost_over_a_new_id(struct world *w)
{
    world_stay(w);
    for (int round = 0; round < 20; round++) {
        struct race race = {.moved = false};
        struct worker sum;
        CHECK_INT_FATAL(world_create(w, 0, race.old), RC_OK);
        world_parallel(w, 4, hit_or_move, &race, &sum);
        CU_ASSERT(atomic_load(&race.moved));
        CHECK_INT(sum.answers[RC_ABSENT], 3);
        CHECK_INT(world_count(w, 0, race.id, "own.hits"), sum.answers[RC_OK]);
    }
}

struct late {
    struct visit v; /* first */
    bool done;
};

static void late_done(struct commit_op *op)
{
    struct visit *v =
        (struct visit *)((char *)op - offsetof(struct visit, commit));
    ((struct late *)v)->done = true;
}

static void late_commit(struct late *late, struct world *w)
{
    late->v.commit = (struct commit_op){
        .done = late_done, .session = &late->v.s, .now = world_now(w, 0)};
    CHECK_INT(manager_commit(late->v.manager, &late->v.commit), RC_PENDING);
}

/* The answer of a change may come when the new id, which was begun after it,
 * is done. */
static void p27_a_late_answer_follows(struct world *w)
{
    world_stay(w);
    for (unsigned order = 0; order < 200; order++) {
        struct dice dice = dice_of(order);
        struct late put = {0}, move = {0};
        uint8_t old[ID_SIZE], id[ID_SIZE];
        CHECK_INT_FATAL(world_create(w, 0, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&put.v, w, 0, old), RC_OK);
        CHECK_INT_FATAL(visit_find(&move.v, w, 0, old), RC_OK);
        visit_set(&put.v, "own.late", "x");
        visit_set(&put.v, "shared.late", "x");
        CHECK_INT(session_change_id(&move.v.s, NULL), RC_OK);
        mesh_hold(w->mesh, true);
        late_commit(&put, w);
        late_commit(&move, w);
        mesh_deliver(w->mesh, &dice);
        mesh_hold(w->mesh, false);
        CU_ASSERT(put.done && move.done);
        CHECK_INT(put.v.commit.rc, RC_OK);
        CHECK_INT(move.v.commit.rc, RC_OK);
        memcpy(id, session_id(&move.v.s), ID_SIZE);
        visit_end(&put.v);
        visit_end(&move.v);
        CU_ASSERT(world_holds(w, 0, id, "own.late", "x"));
        CU_ASSERT(world_holds(w, 1, id, "shared.late", "x"));
    }
}

/* ---- bad weather ---- */

/* 31, 32: what is not acknowledged is not here either. */
static void p26_what_failed_is_not_here(struct world *w)
{
    static const enum rc answers[] = {RC_UNAVAILABLE, RC_UNCERTAIN};
    struct visit v;
    uint8_t id[ID_SIZE];
    world_stay(w);
    furnish(w, id);
    for (int n = 0; n < 2; n++) {
        CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
        visit_set(&v, "shared.a", "lost");
        visit_set(&v, "own.b", "lost");
        atomic_store(&w->faults.how, n ? FAILING_LOST : FAILING_UNAVAILABLE);
        atomic_store(&w->faults.fail_puts, n ? 1000 : 1);
        CHECK_INT(visit_commit(&v, w), answers[n]);
        atomic_store(&w->faults.fail_puts, 0);
        visit_end(&v);
        CU_ASSERT(world_holds(w, 0, id, "own.b", "here"));
    }
}

static void a_bad_filter_makes_no_manager(void)
{
    struct world *w = world_new(&fixture_standard);
    CU_ASSERT(world_set(w, "sessionAttributeNameFilter", "a(b"));
    CHECK_INT(world_open(w), RC_INVALID);
    world_free(&w);
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p26_what_does_not_match_stays_here, filter)                              \
    S(p26_it_costs_the_others_nothing, filter)                                 \
    S(p26_the_whole_name_counts, filter)                                       \
    S(p26_requests_see_both_sides, filter)                                     \
    S(p26_what_is_removed_is_gone, filter)                                     \
    S(p26_parallel_changes_are_all_kept, filter)                               \
    S(p26_an_end_is_final, filter)                                             \
    S(p26_a_commit_never_creates, filter)                                      \
    S(p26_listeners_hear_of_it, filter)                                        \
    S(p26_it_goes_with_the_session, idle_filter)                               \
    S(p26_it_stays_as_long_as_the_session, long_filter)                        \
    S(p26_both_sides_count, bytes_filter)                                      \
    S(p26_a_flush_leaves_it_to_the_commit, filter)                             \
    S(p26_it_can_be_told, warn_filter)                                         \
    S(p26_nothing_is_told_unasked, filter)                                     \
    S(p27_a_new_id_takes_it_along, filter)                                     \
    S(p27_a_new_id_made_elsewhere_does_not, filter)                            \
    S(p27_a_change_follows, filter)                                            \
    S(p27_two_new_ids_both_take_it, filter)                                    \
    S(p27_no_change_is_lost_over_a_new_id, filter)
#define KEPT(S)                                                                \
    S(p26_a_restart_loses_it, filter, sqlite)                                  \
    S(p26_a_restart_loses_it, filter, file)                                    \
    S(p26_a_restart_loses_it, filed_filter, standard)                          \
    S(p26_a_name_is_of_one_side, filter, sqlite)                               \
    S(p26_a_name_is_of_one_side, filed_filter, standard)                       \
    S(p26_what_failed_is_not_here, filter, failing)                            \
    S(p27_a_late_answer_follows, filter, delta)
#define KEPT_CASES(name, settings, fixture) CASE(name##_on_##fixture),
/* clang-format on */
STATEMENTS(STATEMENT_ON_ALL)
KEPT(STATEMENT_ON)
UNIT_MAIN("aside", CASE(a_bad_filter_makes_no_manager),
          STATEMENTS(STATEMENT_CASES) KEPT(KEPT_CASES))
