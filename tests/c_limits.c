/* SPDX-License-Identifier: Apache-2.0
 *
 * c_limits.c: docs/promises.md, on every manager with every store: time, users,
 * limits, listeners, figures. The number in a name is the statement's. */
#include "config.h"

#include "session/buf.h"
#include "tests/world.h"

#include "session/manager_impl.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE 60000

/* ---- time ---- */

static const struct setting idle_settings[] = {{"maxInactive", "100"},
                                               {NULL, NULL}};

/* What a copy adds to the idle limit: nothing where it is the only one. */
static int64_t grace_ms(const struct world *w)
{
    return w->count > 1 ? 5000 : 0;
}

/* The same for a session with 10 s of its own. */
static int64_t brief_grace_ms(const struct world *w)
{
    return w->count > 1 ? 1000 : 0;
}

static void p12_idle_ends_never_early(struct world *w)
{
    uint8_t id[ID_SIZE], other[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, other), RC_OK);
    world_pass(w, 99999);
    world_tick(w);
    CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    CHECK_INT(world_look(w, 1, other, NULL), RC_OK);
    CHECK_INT(world_stats(w, 0).ended[REASON_IDLE], 0);
}

/* Ticks until no session is left and `least` are counted, which is later; how
 * many ended as idle, at all servers. */
static uint64_t idle_ends(struct world *w, uint64_t least)
{
    int64_t end = instant_read().mono + 20000;
    uint64_t active, ended;
    do {
        world_tick(w);
        sched_yield();
        active = ended = 0;
        for (unsigned i = 0; i < w->count; i++) {
            active += world_stats(w, i).active;
            ended += world_stats(w, i).ended[REASON_IDLE];
        }
    } while ((active || ended < least) && instant_read().mono < end);
    return active ? 1000 + active : ended;
}

static void p12_idle_ends_never_late(struct world *w)
{
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    world_events_clear(w);
    world_pass(w, 100000 + grace_ms(w) + 1000);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_IDLE);
    }
    CHECK_INT(idle_ends(w, 1), 1);
}

static const struct setting long_settings[] = {{"maxInactive", "7200"},
                                               {NULL, NULL}};

/* accessInterval is a twentieth of the limit, and a minute at most. */
static void p12_a_long_limit_ends_a_minute_late(struct world *w)
{
    uint8_t id[ID_SIZE], other[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, other), RC_OK);
    world_pass(w, 7199999);
    CHECK_INT(world_look(w, 1, other, NULL), RC_OK);
    world_pass(w, 1 + (w->count > 1 ? 60000 : 0) + 1000);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

static enum rc create_brief(struct world *w, uint8_t id[ID_SIZE])
{
    struct visit v;
    enum rc rc = visit_create(&v, w, 0);
    if (rc == RC_OK)
        rc = session_set_max_inactive(&v.s, 10, NULL);
    if (rc == RC_OK)
        rc = visit_commit(&v, w);
    memcpy(id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    return rc;
}

static void p12_an_idle_limit_of_its_own(struct world *w)
{
    struct visit v;
    uint8_t brief[ID_SIZE], forever[ID_SIZE];
    CHECK_INT_FATAL(create_brief(w, brief), RC_OK);
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    CHECK_INT(session_set_max_inactive(&v.s, 0, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    memcpy(forever, session_id(&v.s), ID_SIZE);
    visit_end(&v);

    world_pass(w, 10000 + brief_grace_ms(w) + 1000);
    CHECK_INT(world_look(w, 1, brief, NULL), RC_ABSENT);
    for (int day = 0; day < 4; day++)
        world_pass(w, 24 * 60 * MINUTE);
    world_tick(w);
    CHECK_INT(world_look(w, 1, forever, NULL), RC_OK);
}

/* However long the others may idle, and however rarely their use is told. */
static void p12_a_brief_session_ends_in_its_own_time(struct world *w)
{
    uint8_t id[ID_SIZE], other[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(create_brief(w, id), RC_OK);
    CHECK_INT_FATAL(create_brief(w, other), RC_OK);
    world_pass(w, 9900);
    world_tick(w);
    CHECK_INT(world_look(w, 1, other, NULL), RC_OK);
    world_pass(w, 100 + brief_grace_ms(w) + 1000);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_IDLE);
    }
    world_pass(w, 10000);
    CHECK_INT(idle_ends(w, 2), 2);
}

/* Reads at one server only; the others hear of them in time. */
static void p13_a_brief_session_lives_while_it_is_used(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(create_brief(w, id), RC_OK);
    for (int n = 0; n < 20; n++) {
        world_pass(w, 4000);
        world_tick(w);
        CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    }
    CU_ASSERT(world_settle(w));
    world_pass(w, 9900);
    world_tick(w);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
}

/* Its timer stood at the limit of before. */
static void p12_a_shorter_limit_ends_in_time(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(session_set_max_inactive(&v.s, 10, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    world_pass(w, 10000 + brief_grace_ms(w) + 1000);
    CHECK_INT(idle_ends(w, 1), 1);
}

/* A request that began before the idle end is an access after it. */
static void p12_what_came_back_ends_once_more(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    enum reason reason;
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    world_pass(w, 100000 + grace_ms(w) + 1000);
    CHECK_INT(idle_ends(w, 1), 1);
    visit_set(&v, "k", "back");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CU_ASSERT(world_holds(w, i, id, "k", "back"));
    CU_ASSERT(world_settle(w));

    /* It lives as long as any other, */
    for (int n = 0; n < 20; n++) {
        world_pass(w, 4900);
        world_tick(w);
    }
    CU_ASSERT(world_holds(w, 0, id, "k", "back"));
    CU_ASSERT(world_settle(w));
    /* and ends like any other. */
    world_pass(w, 100000 + grace_ms(w) + 1000);
    for (int n = 0; n < 20; n++) {
        world_tick(w);
        CU_ASSERT(world_settle(w));
        world_pass(w, 1000);
    }
    CHECK_INT(idle_ends(w, 2), 2);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_IDLE);
    }
}

/* One that was over before the idle end is none: its change is refused, not
 * acknowledged and forgotten. */
static void p12_what_is_not_later_brings_nothing_back(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    struct instant began = w->now;
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    world_pass(w, 100000 + grace_ms(w) + 1000);
    CHECK_INT(idle_ends(w, 1), 1);
    CU_ASSERT(world_settle(w));
    struct instant now = w->now;
    w->now = began;
    visit_set(&v, "k", "too late");
    CHECK_INT(visit_commit(&v, w), RC_ENDED);
    CHECK_INT(v.reason, REASON_IDLE);
    visit_end(&v);
    w->now = now;
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

static void p13_every_request_is_an_access(struct world *w)
{
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (int n = 0; n < 20; n++) { /* reads at one server only */
        world_pass(w, 60000);
        world_tick(w);
        CHECK_INT(world_look(w, 0, id, NULL), RC_OK);
    }
    CU_ASSERT(world_settle(w));
    world_pass(w, 99000); /* and the others have heard of them */
    world_tick(w);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
}

/* Who counts the sessions of a user looks at them, and uses none. */
static void p13_a_look_is_no_access(struct world *w)
{
    uint8_t first[ID_SIZE], second[ID_SIZE];
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", first), RC_OK);
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", second), RC_OK);
    CHECK_INT(world_end(w, 0, second, REASON_LOGOUT), RC_OK);
    world_pass(w, 60000);
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", second), RC_OK);
    CHECK_INT(world_look(w, 0, second, NULL), RC_OK);
    CU_ASSERT(world_settle(w));
    world_pass(w, 39000 + grace_ms(w) + 1000);
    CHECK_INT(world_look(w, 0, first, NULL), RC_ABSENT);
    CHECK_INT(world_look(w, 0, second, NULL), RC_OK);
}

static const struct setting idle_two_settings[] = {
    {"maxInactive", "100"}, {"maxSessionsPerUser", "2"}, {NULL, NULL}};
static const struct setting lifetime_settings[] = {
    {"maxInactive", "100"}, {"maxLifetime", "300"}, {NULL, NULL}};

static void p14_a_lifetime_ends_all_use(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    for (int n = 0; n < 5; n++) {
        world_pass(w, 59000);
        CHECK_INT(world_look(w, (unsigned)n, id, NULL), RC_OK);
    }
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    world_pass(w, 6000);
    world_tick(w);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_LIFETIME);
    }
    visit_set(&v, "k", "too late");
    CHECK_INT(visit_commit(&v, w), RC_ENDED);
    CHECK_INT(v.reason, REASON_LIFETIME);
    visit_end(&v);
}

/* ---- users ---- */

static const struct setting oldest_settings[] = {
    {"maxSessionsPerUser", "2"}, {"onExceeded", "end-oldest"}, {NULL, NULL}};
static const struct setting reject_settings[] = {
    {"maxSessionsPerUser", "2"}, {"onExceeded", "reject"}, {NULL, NULL}};

static const struct setting one_settings[] = {{"maxSessionsPerUser", "1"},
                                              {NULL, NULL}};

static void p15_the_oldest_login_ends(struct world *w)
{
    uint8_t id[4][ID_SIZE], lee[ID_SIZE];
    enum reason reason;
    CHECK_INT_FATAL(world_login_fresh(w, 0, "lee", lee), RC_OK);
    for (unsigned n = 0; n < 4; n++)
        CHECK_INT_FATAL(world_login_fresh(w, n, "kim", id[n]), RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        for (unsigned n = 0; n < 2; n++) {
            CHECK_INT(world_look(w, i, id[n], &reason), RC_ABSENT);
            CHECK_INT(reason, REASON_REPLACED);
        }
        CHECK_INT(world_look(w, i, id[2], NULL), RC_OK);
        CHECK_INT(world_look(w, i, id[3], NULL), RC_OK);
        CHECK_INT(world_look(w, i, lee, NULL), RC_OK);
    }
}

static void p15_the_last_login_is_rejected(struct world *w)
{
    uint8_t id[3][ID_SIZE], again[ID_SIZE], guest[ID_SIZE];
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", id[0]), RC_OK);
    CHECK_INT_FATAL(world_login_fresh(w, 1, "kim", id[1]), RC_OK);
    CHECK_INT_FATAL(world_create(w, 2, guest), RC_OK);
    CU_ASSERT(world_login(w, 2, guest, "kim", id[2]) != RC_OK);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, id[0], NULL), RC_OK);
        CHECK_INT(world_look(w, i, id[1], NULL), RC_OK);
    }
    /* A logout makes room; a login over one's own session needs none. */
    CHECK_INT(world_login(w, 0, id[0], "kim", again), RC_OK);
    CHECK_INT(world_end(w, 1, id[1], REASON_LOGOUT), RC_OK);
    CHECK_INT(world_login_fresh(w, 2, "kim", id[2]), RC_OK);
    CHECK_INT(world_look(w, 1, again, NULL), RC_OK);
}

/* A store on a busy disk may refuse (503: nothing was done); whoever asks again
 * is let in, so that as many logins race as the case counts on. */
static enum rc login_at_last(struct worker *worker, uint8_t id[ID_SIZE])
{
    int64_t end = instant_read().mono + 20000;
    uint8_t guest[ID_SIZE];
    enum rc rc;
    do
        rc = world_create(worker->w, worker->number, guest);
    while (rc == RC_UNAVAILABLE && instant_read().mono < end);
    if (rc != RC_OK)
        return rc;
    do
        rc = world_login(worker->w, worker->number, guest, "kim", id);
    while (rc == RC_UNAVAILABLE && instant_read().mono < end);
    return rc;
}

static uint8_t logged_in[4][10][ID_SIZE];

static void login_many(struct worker *worker)
{
    for (int n = 0; n < 10; n++)
        worker->answers[login_at_last(worker,
                                      logged_in[worker->number % 4][n])]++;
}

static unsigned still_there(struct world *w)
{
    unsigned there = 0;

    for (int i = 0; i < 40; i++)
        there += world_look(w, 0, logged_in[i / 10][i % 10], NULL) == RC_OK;
    return there;
}

static void p15_parallel_logins_keep_the_limit(struct world *w)
{
    struct worker sum;
    uint64_t replaced = 0;
    memset(logged_in, 0, sizeof logged_in);
    world_parallel(w, 4, login_many, NULL, &sum);
    /* A login can be the oldest already when its answer leaves. */
    CHECK_INT(sum.answers[RC_OK] + sum.answers[RC_ENDED], 40);
    CHECK_INT(still_there(w), 2);
    for (unsigned i = 0; i < w->count; i++)
        replaced += world_stats(w, i).ended[REASON_REPLACED];
    CHECK_INT(replaced, 38);
}

static void login_newcomer(struct worker *worker)
{
    uint8_t guest[ID_SIZE], id[ID_SIZE];
    enum rc rc = world_create(worker->w, worker->number, guest);
    if (rc == RC_OK)
        rc = world_login(worker->w, worker->number, guest, worker->with, id);
    worker->answers[rc]++;
}

/* Nobody has heard of the user: each server makes the record of the first
 * login on its own. */
static void p15_the_first_logins_keep_the_limit(struct world *w)
{
    uint64_t replaced = 0;
    for (unsigned round = 0; round < 30; round++) {
        struct worker sum;
        char user[16];
        snprintf(user, sizeof user, "user%u", round);
        world_parallel(w, 3, login_newcomer, user, &sum);
        CHECK_INT(sum.answers[RC_OK] + sum.answers[RC_ENDED], 3);
    }
    for (unsigned i = 0; i < w->count; i++)
        replaced += world_stats(w, i).ended[REASON_REPLACED];
    CHECK_INT(replaced, 30 * 2);
}

static void p15_a_new_id_is_still_that_login(struct world *w)
{
    struct visit v;
    uint8_t id[3][ID_SIZE], renamed[ID_SIZE];
    enum reason reason;
    for (unsigned n = 0; n < 2; n++)
        CHECK_INT_FATAL(world_login_fresh(w, n, "kim", id[n]), RC_OK);
    world_pass(w, 1000);
    CHECK_INT_FATAL(visit_find(&v, w, 2, id[0]), RC_OK);
    CHECK_INT(session_change_id(&v.s, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    memcpy(renamed, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    CHECK_INT_FATAL(world_login_fresh(w, 2, "kim", id[2]), RC_OK);
    /* Three sessions, and the login under `renamed` is the oldest. */
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, renamed, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_REPLACED);
        CHECK_INT(world_look(w, i, id[1], NULL), RC_OK);
        CHECK_INT(world_look(w, i, id[2], NULL), RC_OK);
    }
}

struct asked {
    struct store_call call; /* first */
    sem_t gate;
};

static void asked_done(struct store_call *call)
{
    sem_post(&((struct asked *)call)->gate);
}

/* Is there a row of that id at all? */
static bool is_stored(struct manager *m, const uint8_t id[ID_SIZE])
{
    struct asked asked = {.call = {.done = asked_done}};
    memcpy(asked.call.id, id, ID_SIZE);
    sem_init(&asked.gate, 0, 0);
    enum rc rc = store_get(m->store, &asked.call);
    if (rc == RC_PENDING) {
        sem_wait(&asked.gate);
        rc = asked.call.rc;
    }
    free(asked.call.found);
    sem_destroy(&asked.gate);
    return rc == RC_OK;
}

static void p16_an_id_of_a_users_record_finds_nothing(struct world *w)
{
    uint8_t kim[ID_SIZE], record[ID_SIZE];
    enum reason reason;
    world_stay(w);
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", kim), RC_OK);
    CU_ASSERT(world_settle(w));
    id_of_user(manager_secret(w->m[0]), "/test", "kim", 3, record);
    if (w->m[0]->store)
        CU_ASSERT(is_stored(w->m[0], record));
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) {
        CHECK_INT(world_look(w, i, record, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_UNKNOWN);
        CHECK_INT(world_put(w, i, record, "k", "v"), RC_ABSENT);
    }
    CHECK_INT(world_stats(w, 0).active, 1);
    CHECK_INT(world_look(w, 1, kim, NULL), RC_OK);
}

/* ---- limits ---- */

static const struct setting active_settings[] = {{"maxActiveSessions", "2"},
                                                 {NULL, NULL}};

static void p17_max_active_sessions(struct world *w)
{
    uint8_t first[ID_SIZE], second[ID_SIZE], third[ID_SIZE];
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, first), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, second), RC_OK);
    CHECK_INT(world_create(w, 0, third), RC_TOOBIG);
    CHECK_INT(world_stats(w, 0).rejected, 1);
    CHECK_INT(world_stats(w, 0).active, 2);
    CHECK_INT(world_end(w, 0, first, REASON_LOGOUT), RC_OK);
    CHECK_INT(world_create(w, 0, third), RC_OK);
    CHECK_INT(world_look(w, 0, second, NULL), RC_OK);
}

static const struct setting bytes_settings[] = {{"maxSessionBytes", "4096"},
                                                {NULL, NULL}};

static void p18_max_session_bytes(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT(visit_set(&v, "k", "small"), RC_OK);
    CHECK_INT(visit_set(&v, "k", big), RC_TOOBIG);
    CU_ASSERT(strstr(v.err.text, "maxSessionBytes") != NULL);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CU_ASSERT(world_holds(w, 1, id, "k", "small"));
    /* Many small ones sum up as well. */
    enum rc rc = RC_OK;
    big[400] = 0;
    for (int n = 0; n < 20 && rc == RC_OK; n++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", n);
        rc = world_put(w, 0, id, name, big);
    }
    CHECK_INT(rc, RC_TOOBIG);
    CU_ASSERT(world_holds(w, 1, id, "k", "small"));
}

/* Requests at the same time know nothing of one another's puts. */
static void p18_a_session_over_its_limit_is_of_use(struct world *w)
{
    struct visit v[4];
    uint8_t id[ID_SIZE];
    char big[2001];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    for (unsigned n = 0; n < 4; n++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", n);
        CHECK_INT_FATAL(visit_find(&v[n], w, n, id), RC_OK);
        CHECK_INT(visit_set(&v[n], name, big), RC_OK);
    }
    for (unsigned n = 0; n < 4; n++) {
        CHECK_INT(visit_commit(&v[n], w), RC_OK);
        visit_end(&v[n]);
    }
    CHECK_INT(world_put(w, 1, id, "more", "x"), RC_TOOBIG);
    CHECK_INT(world_hit(w, 2, id, "others"), RC_TOOBIG);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(world_hit(w, i, id, "hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "hits"), 4);
    CHECK_INT(world_put(w, 0, id, "n1", big + 1), RC_OK);
    CHECK_INT(world_put(w, 0, id, "n1", big), RC_TOOBIG);
    CHECK_INT(world_put(w, 1, id, "n1", "small"), RC_OK);
    CHECK_INT_FATAL(visit_find(&v[0], w, 2, id), RC_OK);
    CHECK_INT(session_remove(&v[0].s, "n2", NULL), RC_OK);
    CHECK_INT(session_remove(&v[0].s, "n3", NULL), RC_OK);
    CHECK_INT(visit_commit(&v[0], w), RC_OK);
    visit_end(&v[0]);
    CHECK_INT(world_put(w, 1, id, "more", "x"), RC_OK);
}

/* However many they are, there is an end to that: what all brought together has
 * to fit into a frame and a row. Who comes too late is refused as a whole. */
/* Requests that have all begun before the first of them is done. */
enum { CROWD = 40 };

/* kept: of which of them something was kept. Returns how many. */
static int commit_crowd(struct world *w, struct visit *v, bool kept[CROWD])
{
    int count = 0;

    for (unsigned n = 0; n < CROWD; n++) {
        enum rc rc = visit_commit(&v[n], w);
        CU_ASSERT(rc == RC_OK || rc == RC_TOOBIG);
        count += kept[n] = rc == RC_OK;
        visit_end(&v[n]);
    }
    free(v);
    return count;
}

static void p18_requests_at_once_have_a_bound(struct world *w)
{
    struct visit *v = mem_alloc(CROWD * sizeof *v);
    uint8_t id[ID_SIZE];
    char big[2001], name[16];
    bool kept[CROWD];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    for (unsigned n = 0; n < CROWD; n++) {
        snprintf(name, sizeof name, "n%u", n);
        CHECK_INT_FATAL(visit_find(&v[n], w, 0, id), RC_OK);
        CHECK_INT(visit_set(&v[n], name, big), RC_OK);
    }
    int count = commit_crowd(w, v, kept);
    /* 16 times as much as a session may have; a member without a copy goes by
     * what it read */
    CU_ASSERT(count >= 32 && count < CROWD);
    for (unsigned n = 0; n < CROWD; n++) {
        snprintf(name, sizeof name, "n%u", n);
        CU_ASSERT(world_holds(w, 0, id, name, big) == kept[n]);
    }
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(world_hit(w, i, id, "hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "hits"), 4);
    CHECK_INT(world_put(w, 0, id, "n1", "small"), RC_OK);
}

/* A counter that is new brings as much as its name is long. */
static void p18_new_counters_at_once_have_a_bound(struct world *w)
{
    struct visit *v = mem_alloc(CROWD * sizeof *v);
    uint8_t id[ID_SIZE];
    char name[2001];
    bool kept[CROWD];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "hits"), RC_OK);
    for (unsigned n = 0; n < CROWD; n++) {
        snprintf(name, 4, "n%02u", n);
        name[3] = 'x';
        CHECK_INT_FATAL(visit_find(&v[n], w, 0, id), RC_OK);
        CHECK_INT(visit_add(&v[n], name, 1), RC_OK);
    }
    int count = commit_crowd(w, v, kept);
    CU_ASSERT(count >= 30 && count < CROWD);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(world_hit(w, i, id, "hits"), RC_OK);
    CHECK_INT(world_count(w, 0, id, "hits"), 4);
}

/* ---- what others hear ---- */

static void p19_listeners_hear_in_order(struct world *w)
{
    struct visit v;
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    visit_set(&v, "b", "1");
    visit_set(&v, "a", "1");
    visit_set(&v, "b", "2");
    CHECK_INT(session_remove(&v.s, "a", NULL), RC_OK);
    CHECK_INT(session_remove(&v.s, "never", NULL), RC_OK);
    visit_set(&v, "c", "1");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    CHECK_STR(w->events,
              "created added:b added:a replaced:b removed:a added:c");
    world_events_clear(w);
    CHECK_INT(session_change_id(&v.s, NULL), RC_OK);
    CHECK_STR(w->events, "id:changed");
    CHECK_INT(visit_commit(&v, w), RC_OK);
    world_events_clear(w);
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_STR(w->events, "destroyed:logout removed:b removed:c");
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_ILLEGAL);
    CHECK_INT(visit_set(&v, "b", "3"), RC_ILLEGAL);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    CHECK_STR(w->events, "destroyed:logout removed:b removed:c");
    visit_end(&v);
}

static void p20_what_is_not_changed_is_not_written(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CU_ASSERT(world_settle(w));
    uint64_t puts = world_puts(w, 0);
    for (int n = 0; n < 50; n++) {
        world_pass(w, 10); /* half a second: under every accessInterval */
        CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
        CHECK_INT(visit_commit(&v, w), RC_OK);
        visit_end(&v);
    }
    CU_ASSERT(world_settle(w));
    CHECK_INT(world_puts(w, 0), puts);
    CHECK_INT(world_stats(w, 0).commits_changed, 1);
}

static void p21_an_id_is_never_adopted(struct world *w)
{
    struct visit v;
    uint8_t made_up[ID_SIZE], id[ID_SIZE];
    enum reason reason;
    memset(made_up, 0x4d, sizeof made_up);
    CHECK_INT(world_look(w, 0, made_up, &reason), RC_ABSENT);
    CHECK_INT(reason, REASON_UNKNOWN);
    CHECK_INT(world_stats(w, 0).refused[REASON_UNKNOWN], 1);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CU_ASSERT(!id_equal(id, made_up));
    CHECK_INT(world_look(w, 0, made_up, NULL), RC_ABSENT);

    uint64_t finds = world_stats(w, 0).finds;
    manager_refused(w->m[0], REASON_MALFORMED);
    CHECK_INT(world_stats(w, 0).refused[REASON_MALFORMED], 1);
    CHECK_INT(world_stats(w, 0).finds, finds);

    /* Nobody hears of a creation that was not committed. */
    CHECK_INT_FATAL(visit_create(&v, w, 0), RC_OK);
    memcpy(id, session_id(&v.s), ID_SIZE);
    CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT);
    visit_end(&v);
    CHECK_INT(world_look(w, 0, id, NULL), RC_ABSENT);
}

static void p22_every_session_is_counted_once(struct world *w)
{
    uint8_t id[4][ID_SIZE], renamed[ID_SIZE];
    world_stay(w);
    for (unsigned n = 0; n < 4; n++)
        CHECK_INT_FATAL(world_create(w, 0, id[n]), RC_OK);
    CHECK_INT(world_end(w, 0, id[0], REASON_LOGOUT), RC_OK);
    CHECK_INT(world_end(w, 0, id[1], REASON_ADMIN), RC_OK);
    CHECK_INT(world_login(w, 0, id[2], "kim", renamed), RC_OK);
    struct manager_stats stats = world_stats(w, 0);
    CHECK_INT(stats.created, 4);
    CHECK_INT(stats.active, 2);
    CHECK_INT(stats.max_active, 4);
    CHECK_INT(stats.renamed, 1);
    CHECK_INT(stats.ended[REASON_LOGOUT], 1);
    CHECK_INT(stats.ended[REASON_ADMIN], 1);
    CHECK_INT(stats.ended[REASON_RENAMED], 0);
}

/* It has ended once: a request that had begun makes that final, no more. */
static void p22_a_logout_after_an_idle_end_counts_once(struct world *w)
{
    struct visit v;
    uint8_t id[ID_SIZE];
    uint64_t ended = 0;
    world_stay(w);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    world_pass(w, 100000 + grace_ms(w) + 1000);
    CHECK_INT(idle_ends(w, 1), 1);
    CU_ASSERT(world_settle(w));
    CHECK_INT(session_invalidate(&v.s, REASON_LOGOUT, NULL), RC_OK);
    CHECK_INT(visit_commit(&v, w), RC_OK);
    visit_end(&v);
    CU_ASSERT(world_told_once(w, "logout"));
    for (unsigned i = 0; i < w->count; i++)
        for (int reason = 0; reason < REASON_COUNT; reason++)
            ended += world_stats(w, i).ended[reason];
    CHECK_INT(ended, 1);
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        CHECK_INT(world_look(w, i, id, NULL), RC_ABSENT);
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p12_idle_ends_never_early, idle_settings)                                \
    S(p12_idle_ends_never_late, idle_settings)                                 \
    S(p12_a_long_limit_ends_a_minute_late, long_settings)                      \
    S(p12_an_idle_limit_of_its_own, idle_settings)                             \
    S(p12_a_brief_session_ends_in_its_own_time, long_settings)                 \
    S(p12_a_shorter_limit_ends_in_time, idle_settings)                         \
    S(p12_what_came_back_ends_once_more, idle_settings)                        \
    S(p12_what_is_not_later_brings_nothing_back, idle_settings)                \
    S(p13_every_request_is_an_access, idle_settings)                           \
    S(p13_a_brief_session_lives_while_it_is_used, long_settings)               \
    S(p13_a_look_is_no_access, idle_two_settings)                              \
    S(p14_a_lifetime_ends_all_use, lifetime_settings)                          \
    S(p15_the_oldest_login_ends, oldest_settings)                              \
    S(p15_the_last_login_is_rejected, reject_settings)                         \
    S(p15_parallel_logins_keep_the_limit, oldest_settings)                     \
    S(p15_the_first_logins_keep_the_limit, one_settings)                       \
    S(p15_a_new_id_is_still_that_login, oldest_settings)                       \
    S(p16_an_id_of_a_users_record_finds_nothing, oldest_settings)              \
    S(p17_max_active_sessions, active_settings)                                \
    S(p18_max_session_bytes, bytes_settings)                                   \
    S(p18_a_session_over_its_limit_is_of_use, bytes_settings)                  \
    S(p18_requests_at_once_have_a_bound, bytes_settings)                       \
    S(p18_new_counters_at_once_have_a_bound, bytes_settings)                   \
    S(p19_listeners_hear_in_order, NULL)                                       \
    S(p20_what_is_not_changed_is_not_written, NULL)                            \
    S(p21_an_id_is_never_adopted, NULL)                                        \
    S(p22_every_session_is_counted_once, NULL)                                 \
    S(p22_a_logout_after_an_idle_end_counts_once, idle_settings)
/* clang-format on */
STATEMENTS(STATEMENT_ON_ALL)
UNIT_MAIN("limits", STATEMENTS(STATEMENT_CASES))
