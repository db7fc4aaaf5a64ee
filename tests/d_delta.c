/* SPDX-License-Identifier: Apache-2.0
 *
 * DeltaManager's own words: who is waited for, who is told of what, and what
 * its attributes do, on members that are wired directly. */
#include "config.h"

#include "managers/managers.h"
#include "session/farewell.h"
#include "tests/world.h"

#include <sched.h>
#include <semaphore.h>
#include <stddef.h>
#include <string.h>

static void reads_are_told_once_per_interval(void)
{
    struct world *w = world_with(&fixture_delta, "accessInterval", "10");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    size_t bytes = mesh_sent_bytes(w->mesh);
    for (int i = 0; i < 100; i++) {
        world_pass(w, 500);
        CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    }
    CHECK_INT(mesh_sent_touches(w->mesh), 5);
    CHECK_INT(mesh_sent_bytes(w->mesh), bytes);
    /* the client hops: the others know, and say nothing more */
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    CHECK_INT(world_look(w, 2, id, NULL), RC_OK);
    CHECK_INT(mesh_sent_touches(w->mesh), 5);
    world_free(&w);
}

/* What came in may have been on its way for almost dropTime, and counts as a
 * use of now: a use after it is told sooner. */
static void a_use_after_what_came_late_is_told(void)
{
    struct world *w = world_with(&fixture_delta, "accessInterval", "10");
    uint8_t id[ID_SIZE];

    mesh_channel(w->mesh, 1)->drop_ms = 3000;
    CHECK_INT(world_create(w, 0, id), RC_OK);
    size_t touches = mesh_sent_touches(w->mesh);
    world_pass(w, 6900);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    CHECK_INT(mesh_sent_touches(w->mesh), touches);
    world_pass(w, 200);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    CHECK_INT(mesh_sent_touches(w->mesh), touches + 1);
    world_free(&w);
}

static void accesses_that_a_member_missed_are_told_again(void)
{
    struct world *w = world_with(&fixture_delta, "accessInterval", "10");
    uint8_t early[ID_SIZE], late[ID_SIZE];

    CHECK_INT(world_create(w, 0, early), RC_OK);
    world_pass(w, 60000);
    int64_t since = w->now.mono;
    CHECK_INT(world_create(w, 0, late), RC_OK);
    replica_tell_again(mesh_replica(w->mesh, 0), since);
    size_t touches = mesh_sent_touches(w->mesh);
    world_tick(w);
    CHECK_INT(mesh_sent_touches(w->mesh), touches + 1);
    world_tick(w);
    CHECK_INT(mesh_sent_touches(w->mesh), touches + 1);
    world_free(&w);
}

struct waiting {
    struct visit v;
    unsigned done;
};

static void waiting_done(struct commit_op *op)
{
    struct visit *v =
        (struct visit *)((char *)op - offsetof(struct visit, commit));
    ((struct waiting *)v)->done++;
}

static enum rc commit_begin(struct waiting *x, struct world *w)
{
    x->v.commit = (struct commit_op){.done = waiting_done,
                                     .session = &x->v.s,
                                     .now = world_now(w, x->v.server)};
    return manager_commit(x->v.manager, &x->v.commit);
}

/* A hit whose answer is not waited for. */
static enum rc hit_begin(struct waiting *x, struct world *w, unsigned i,
                         const uint8_t id[ID_SIZE])
{
    memset(x, 0, sizeof *x);
    if (visit_find(&x->v, w, i, id) != RC_OK)
        return RC_ABSENT;
    visit_add(&x->v, "hits", 1);
    return commit_begin(x, w);
}

static void all_waits_for_all_and_one_for_one(void)
{
    static const struct {
        const char *replication;
        enum rc rc;
    } rows[] = {{"all", RC_PENDING}, {"one", RC_PENDING}, {"none", RC_OK}};

    for (size_t i = 0; i < 3; i++) {
        struct world *w =
            world_with(&fixture_delta, "replication", rows[i].replication);
        struct waiting x;
        uint8_t id[ID_SIZE];
        CHECK_INT(world_create(w, 0, id), RC_OK);
        mesh_hold(w->mesh, true);
        CHECK_INT(hit_begin(&x, w, 0, id), rows[i].rc);
        CHECK_INT(mesh_held(w->mesh), 2);
        CHECK_INT(x.done, 0);
        mesh_deliver(w->mesh, NULL);
        CHECK_INT(x.done, rows[i].rc == RC_PENDING);
        CHECK_INT(x.v.commit.rc, RC_OK);
        CHECK_INT(world_count(w, 2, id, "hits"), 1);
        visit_end(&x.v);
        world_free(&w);
    }
}

/* Whoever commits then is answered when what it said has been taken up. */
static void at_none_who_outruns_the_channel_waits(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "none");
    struct waiting x;
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    atomic_store(&mesh_channel(w->mesh, 0)->queued, CHANNEL_CROWD + 1);
    CHECK_INT(hit_begin(&x, w, 0, id), RC_PENDING);
    CHECK_INT(x.done, 1);
    CHECK_INT(x.v.commit.rc, RC_OK);
    visit_end(&x.v);
    atomic_store(&mesh_channel(w->mesh, 0)->queued, CHANNEL_CROWD);
    CHECK_INT(hit_begin(&x, w, 0, id), RC_OK);
    CHECK_INT(x.done, 0);
    visit_end(&x.v);
    CHECK_INT(world_count(w, 1, id, "hits"), 2);
    world_free(&w);
}

/* Two members end one session before either hears of the other: one end
 * stands, and only its maker is told that it ended it. */
static void of_two_ends_one_stands(void)
{
    for (unsigned order = 0; order < 20; order++) {
        struct world *w = world_with(&fixture_delta, "replication", "all");
        struct dice dice = dice_of(order);
        struct waiting x[2] = {0};
        uint8_t id[ID_SIZE];
        CHECK_INT(world_create(w, 2, id), RC_OK);
        mesh_hold(w->mesh, true);
        for (unsigned i = 0; i < 2; i++)
            CHECK_INT_FATAL(visit_find(&x[i].v, w, i, id), RC_OK);
        CHECK_INT(session_invalidate(&x[0].v.s, REASON_LOGOUT, NULL), RC_OK);
        CHECK_INT(session_invalidate(&x[1].v.s, REASON_ADMIN, NULL), RC_OK);
        for (unsigned i = 0; i < 2; i++)
            CHECK_INT(commit_begin(&x[i], w), RC_PENDING);
        mesh_deliver(w->mesh, &dice);
        CU_ASSERT(x[0].done == 1 && x[1].done == 1);
        enum reason stands = world_reason(w, 2, id);
        for (unsigned i = 0; i < 2; i++) {
            enum reason own = i ? REASON_ADMIN : REASON_LOGOUT;
            CHECK_INT(world_reason(w, i, id), stands);
            CHECK_INT(x[i].v.commit.rc, own == stands ? RC_OK : RC_ENDED);
            CHECK_INT(world_stats(w, i).ended[own], own == stands);
            visit_end(&x[i].v);
        }
        world_free(&w);
    }
}

/* A logout and a login that changes the id, at the same time at two members:
 * whichever stands, nobody is logged in under the new id. */
static void a_logout_beats_a_new_id(void)
{
    for (unsigned order = 0; order < 20; order++) {
        struct world *w = world_with(&fixture_delta, "replication", "all");
        struct dice dice = dice_of(order);
        struct waiting x[2] = {0};
        uint8_t id[ID_SIZE], next[ID_SIZE];
        CHECK_INT(world_create(w, 2, id), RC_OK);
        mesh_hold(w->mesh, true);
        for (unsigned i = 0; i < 2; i++)
            CHECK_INT_FATAL(visit_find(&x[i].v, w, i, id), RC_OK);
        CHECK_INT(session_invalidate(&x[0].v.s, REASON_LOGOUT, NULL), RC_OK);
        CHECK_INT(session_login(&x[1].v.s, "kim", NULL), RC_OK);
        memcpy(next, session_id(&x[1].v.s), ID_SIZE);
        for (unsigned i = 0; i < 2; i++)
            CHECK_INT(commit_begin(&x[order & 1 ? 1 - i : i], w), RC_PENDING);
        while (x[0].done + x[1].done < 2)
            mesh_deliver(w->mesh, &dice);
        CHECK_INT(x[0].v.commit.rc, RC_OK);
        for (unsigned i = 0; i < 3; i++) {
            CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
            CHECK_INT(world_look(w, i, next, NULL), RC_ABSENT);
        }
        for (unsigned i = 0; i < 2; i++)
            visit_end(&x[i].v);
        world_free(&w);
    }
}

static void what_too_few_have_is_uncertain_or_refused(void)
{
    struct world *w = world_with(&fixture_delta, "minCopies", "1");
    struct waiting x;
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_hold(w->mesh, true);
    CHECK_INT(hit_begin(&x, w, 0, id), RC_PENDING);
    mesh_lose(w->mesh);
    CHECK_INT(x.done, 1);
    CHECK_INT(x.v.commit.rc, RC_UNCERTAIN);
    visit_end(&x.v);
    mesh_hold(w->mesh, false);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    CHECK_INT(world_count(w, 1, id, "hits"), 2);
    mesh_cut(w->mesh, 1, true);
    mesh_cut(w->mesh, 2, true);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_UNAVAILABLE);
    CHECK_INT(world_count(w, 0, id, "hits"), 2); /* nothing was done */
    world_free(&w);
}

static void the_last_survivor_serves(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    mesh_cut(w->mesh, 1, true);
    mesh_cut(w->mesh, 2, true);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "hits"), 1);
    world_free(&w);
}

static enum rc find_with_route(struct world *w, unsigned i,
                               const uint8_t id[ID_SIZE], const char *route)
{
    struct find_op op = {
        .now = world_now(w, i), .route = route, .route_len = strlen(route)};
    memcpy(op.id, id, ID_SIZE);
    op.done = NULL;
    enum rc rc = manager_find(w->m[i], &op);
    if (rc == RC_OK)
        record_unref(&op.record);
    return rc;
}

static void found(struct find_op *op)
{
    ++*(int *)op->user_data;
}

static void a_miss_is_asked_for_where_the_route_says(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "none");
    uint8_t id[ID_SIZE], nobody[ID_SIZE];
    int times = 0;
    struct find_op op = {.done = found,
                         .now = w->now,
                         .user_data = &times,
                         .route = "node3 and more",
                         .route_len = 5};

    id_mint(nobody);
    mesh_hold(w->mesh, true);
    CHECK_INT(world_create(w, 2, id), RC_OK);
    CHECK_INT(find_with_route(w, 0, id, "node1"), RC_ABSENT); /* its own */
    CHECK_INT(find_with_route(w, 0, id, ""), RC_ABSENT);
    memcpy(op.id, nobody, ID_SIZE);
    CHECK_INT(manager_find(w->m[0], &op), RC_PENDING);
    CHECK_INT(op.rc, RC_ABSENT);
    memcpy(op.id, id, ID_SIZE);
    CHECK_INT(manager_find(w->m[0], &op), RC_PENDING);
    CHECK_INT(op.rc, RC_OK);
    CHECK_INT(times, 2);
    record_unref(&op.record);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK); /* it is here now */
    op.route = "node9";
    memcpy(op.id, nobody, ID_SIZE);
    CHECK_INT(manager_find(w->m[0], &op), RC_PENDING);
    CHECK_INT(op.rc, RC_ABSENT); /* there is no such member */
    op.route = "node3";
    mesh_cut(w->mesh, 2, true);
    CHECK_INT(manager_find(w->m[0], &op), RC_PENDING);
    CHECK_INT(op.rc, RC_UNAVAILABLE);
    world_free(&w);
}

static void at_all_a_miss_is_absent(void)
{
    struct world *w = world_with(&fixture_delta, "replication", "all");
    uint8_t id[ID_SIZE];

    id_mint(id);
    CHECK_INT(find_with_route(w, 0, id, "node3"), RC_ABSENT);
    world_free(&w);
}

static void a_stop_may_end_all_sessions(void)
{
    struct world *w =
        world_with(&fixture_delta, "expireSessionsOnShutdown", "true");
    uint8_t id[ID_SIZE], other[ID_SIZE];

    CHECK_INT(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_create(w, 1, other), RC_OK);
    world_stop(w, 2);
    CHECK_INT(world_reason(w, 0, id), REASON_ADMIN);
    CHECK_INT(world_reason(w, 1, other), REASON_ADMIN);
    world_free(&w);
    w = world_with(&fixture_delta, "expireSessionsOnShutdown", "false");
    CHECK_INT(world_create(w, 0, id), RC_OK);
    world_stop(w, 2);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    world_free(&w);
}

static void was_written(struct manager_write *w)
{
    w->user = "written";
}

/* What stands in another manager as well is not to come back from there. */
static void a_stop_that_ends_all_says_farewell(void)
{
    struct world *w =
        world_with(&fixture_delta, "expireSessionsOnShutdown", "true");
    struct instant now = world_now(w, 0);
    struct value mark = {.type = VALUE_INT, .number = 7};
    struct manager_write put = {.done = was_written};
    struct find_op op = {.now = now, .peek = true};
    struct changes changes;
    uint8_t id[ID_SIZE];

    id_mint(id);
    changes_init(&changes);
    changes_set(&changes, key_field(FIELD_BOTH), &mark);
    struct record *record =
        record_new(RECORD_SESSION, id, now.wall, &changes, 1);
    changes_release(&changes);
    manager_write_init(&put, WRITE_CREATE, id, now);
    put.record = record;
    enum rc rc = w->m[0]->ops->write(w->m[0], &put);
    CU_ASSERT_FATAL(rc == RC_OK || (rc == RC_PENDING && put.user));
    manager_write_release(&put);
    record_unref(&record);
    world_stop(w, 2);
    CHECK_INT(world_reason(w, 0, id), REASON_ADMIN);
    farewell_id(id, op.id);
    CHECK_INT_FATAL(w->m[0]->ops->find(w->m[0], &op), RC_OK);
    CU_ASSERT(farewell_is(op.record));
    record_unref(&op.record);
    world_free(&w);
}

/* A call of a manager of which no request knows. */
struct asking {
    struct manager_write write;
    struct find_op find;
    sem_t gate;
};

static void write_answered(struct manager_write *w)
{
    sem_post(&((struct asking *)w)->gate);
}

static void find_answered(struct find_op *op)
{
    sem_post((sem_t *)((char *)op - offsetof(struct asking, find) +
                       offsetof(struct asking, gate)));
}

static void await(struct world *w, struct asking *a, enum rc rc)
{
    while (rc == RC_PENDING && sem_trywait(&a->gate))
        if (!w->mesh || !mesh_turn(w->mesh))
            sched_yield();
    sem_destroy(&a->gate);
}

static enum rc written(struct world *w, unsigned i, struct record *record)
{
    struct asking a = {.write.done = write_answered};

    sem_init(&a.gate, 0, 0);
    manager_write_init(&a.write, WRITE_CREATE, record_id(record),
                       world_now(w, i));
    a.write.record = record;
    enum rc rc = w->m[i]->ops->write(w->m[i], &a.write);
    await(w, &a, rc);
    rc = rc == RC_PENDING ? a.write.rc : rc;
    manager_write_release(&a.write);
    return rc;
}

/* As one of a pair is asked: from others, what is no session is hidden. */
static bool has_farewell(struct world *w, unsigned i, const uint8_t id[ID_SIZE])
{
    struct asking a = {.find = {
                           .done = find_answered,
                           .now = world_now(w, i),
                           .peek = true,
                       }};

    sem_init(&a.gate, 0, 0);
    memcpy(a.find.id, id, ID_SIZE);
    w->m[i]->face = w->m[i];
    enum rc rc = w->m[i]->ops->find(w->m[i], &a.find);
    await(w, &a, rc);
    w->m[i]->face = NULL;
    rc = rc == RC_PENDING ? a.find.rc : rc;
    bool has = rc == RC_OK && farewell_is(a.find.record);
    if (rc == RC_OK)
        record_unref(&a.find.record);
    return has;
}

/* They are no sessions, and speak of what was ended before. */
static void a_stop_that_ends_all_keeps_farewells(const struct fixture *fixture)
{
    struct world *w = world_with(fixture, "expireSessionsOnShutdown", "true");
    uint8_t id[ID_SIZE], gone[ID_SIZE];

    id_mint(gone);
    struct record *farewell = farewell_ahead(w->m[2], gone, world_now(w, 2));
    CHECK_INT_FATAL(written(w, 2, farewell), RC_OK);
    CHECK_INT(world_create(w, 2, id), RC_OK);
    world_pass(w, 1000);
    world_stop(w, 2);
    CHECK_INT(world_reason(w, 0, id), REASON_ADMIN);
    CU_ASSERT(has_farewell(w, 0, record_id(farewell)));
    record_unref(&farewell);
    world_free(&w);
}

static void a_stop_that_ends_all_keeps_farewells_on_delta(void)
{
    a_stop_that_ends_all_keeps_farewells(&fixture_delta);
}

static void a_stop_that_ends_all_keeps_farewells_on_backup(void)
{
    a_stop_that_ends_all_keeps_farewells(&fixture_backup);
}

static void listeners_hear_of_others_when_asked_to(void)
{
    for (int notify = 0; notify < 2; notify++) {
        struct world *w =
            world_with(&fixture_delta, "notifySessionListenersOnReplication",
                       notify ? "true" : "false");
        uint8_t id[ID_SIZE];
        CHECK_INT(world_create(w, 1, id), RC_OK);
        CHECK_INT(world_login(w, 1, id, "kim", id), RC_OK);
        CHECK_INT(world_end(w, 2, id, REASON_LOGOUT), RC_OK);
        CHECK_STR(w->events, notify ? "created created id:changed "
                                      "destroyed:logout"
                                    : "");
        CHECK_INT(world_stats(w, 0).ended[REASON_LOGOUT], 0);
        world_free(&w);
    }
}

static void without_a_cluster_it_says_what_to_add(void)
{
    struct manager_options common;
    struct manager_env env = {.app = "/test", .node = "node1"};
    struct manager *m = NULL;
    struct err err = {""};

    option_defaults(manager_option_table, &common);
    CHECK_INT(manager_new(managers_find("DeltaManager"), &common, NULL, NULL,
                          NULL, &env, &m, &err),
              RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "<Cluster"));
    CU_ASSERT_PTR_NULL(m);
}

/* Members of one cluster find a user's record under the same key. */
static void logins_of_a_user_are_counted_everywhere(void)
{
    struct world *w = world_with(&fixture_delta, "maxSessionsPerUser", "1");
    uint8_t first[ID_SIZE], second[ID_SIZE];

    CHECK_INT(world_create(w, 0, first), RC_OK);
    CHECK_INT(world_create(w, 1, second), RC_OK);
    CHECK_INT(world_login(w, 0, first, "kim", first), RC_OK);
    world_pass(w, 5);
    CHECK_INT(world_login(w, 1, second, "kim", second), RC_OK);
    CHECK_INT(world_reason(w, 2, first), REASON_REPLACED);
    CU_ASSERT(world_lives(w, second));
    world_free(&w);
}

UNIT_MAIN("delta", CASE(reads_are_told_once_per_interval),
          CASE(a_use_after_what_came_late_is_told),
          CASE(accesses_that_a_member_missed_are_told_again),
          CASE(all_waits_for_all_and_one_for_one),
          CASE(at_none_who_outruns_the_channel_waits),
          CASE(of_two_ends_one_stands), CASE(a_logout_beats_a_new_id),
          CASE(what_too_few_have_is_uncertain_or_refused),
          CASE(the_last_survivor_serves),
          CASE(a_miss_is_asked_for_where_the_route_says),
          CASE(at_all_a_miss_is_absent), CASE(a_stop_may_end_all_sessions),
          CASE(a_stop_that_ends_all_says_farewell),
          CASE(a_stop_that_ends_all_keeps_farewells_on_delta),
          CASE(a_stop_that_ends_all_keeps_farewells_on_backup),
          CASE(listeners_hear_of_others_when_asked_to),
          CASE(without_a_cluster_it_says_what_to_add),
          CASE(logins_of_a_user_are_counted_everywhere))
