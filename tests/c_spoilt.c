/* SPDX-License-Identifier: Apache-2.0
 *
 * c_spoilt.c: docs/promises.md, on every manager with every store: rows that
 * are none. The number in a name is the statement's. */
#include "config.h"

#include "tests/world.h"

#include "session/manager_impl.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct asked {
    struct store_call call; /* first */
    sem_t gate;
};

static void asked_done(struct store_call *call)
{
    sem_post(&((struct asked *)call)->gate);
}

static enum rc asked_answer(struct asked *asked, enum rc rc)
{
    if (rc == RC_PENDING) {
        sem_wait(&asked->gate);
        rc = asked->call.rc;
    }
    return rc;
}

/* Somebody's hand in the store: two bytes where the row was. */
static enum rc spoil(struct manager *m, const uint8_t id[ID_SIZE])
{
    struct asked asked = {.call = {.done = asked_done}};
    memcpy(asked.call.id, id, ID_SIZE);
    sem_init(&asked.gate, 0, 0);
    enum rc rc = asked_answer(&asked, store_get(m->store, &asked.call));
    free(asked.call.found);
    if (rc == RC_OK) {
        asked.call.found = NULL;
        asked.call.version = asked.call.new_version;
        asked.call.bytes = "\xff\xff";
        asked.call.len = 2;
        asked.call.expiry = INT64_C(1) << 52;
        rc = asked_answer(&asked, store_put(m->store, &asked.call));
    }
    sem_destroy(&asked.gate);
    return rc;
}

static unsigned told(const struct world *w, const char *text)
{
    unsigned n = 0;
    for (const char *p = w->lines; (p = strstr(p, text)); p++)
        n++;
    return n;
}

static void p25_a_spoilt_list_locks_nobody_out(struct world *w)
{
    uint8_t kim[ID_SIZE], again[ID_SIZE], user[ID_SIZE];
    struct manager *m = w->m[0];
    if (!m->store)
        return;
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", kim), RC_OK);
    id_of_user(manager_secret(m), m->env.app, "kim", 3, user);
    /* With copies of it in memory, and without. */
    for (unsigned round = 0; round < 2; round++) {
        CHECK_INT_FATAL(spoil(w->m[0], user), RC_OK);
        for (unsigned i = 0; i < WORLD_MANAGERS; i++)
            CHECK_INT(world_login_fresh(w, i, "kim", again), RC_OK);
        CHECK_INT_FATAL(spoil(w->m[0], user), RC_OK);
        world_stop(w, 0);
        CHECK_INT_FATAL(world_start(w, 0), RC_OK);
        CHECK_INT(world_login_fresh(w, 0, "kim", again), RC_OK);
        CHECK_INT(world_look(w, 1, again, NULL), RC_OK);
    }
    CHECK_INT(world_look(w, 1, kim, NULL), RC_OK);
    CU_ASSERT(told(w, "a user's list of sessions") >= 1);
}

static void p25_a_spoilt_session_is_absent(struct world *w)
{
    uint8_t id[ID_SIZE], login[ID_SIZE];
    enum reason reason;
    if (!w->m[0]->store)
        return;
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_look(w, 1, id, NULL), RC_OK);
    struct visit v;
    CHECK_INT_FATAL(visit_find(&v, w, 0, id), RC_OK);
    CHECK_INT_FATAL(spoil(w->m[0], id), RC_OK);
    /* A request that had begun, */
    visit_set(&v, "k", "late");
    CHECK_INT(visit_commit(&v, w), RC_ENDED);
    CHECK_INT(v.reason, REASON_UNKNOWN);
    visit_end(&v);
    /* and all that follow. */
    for (unsigned n = 0; n < 30; n++) {
        CHECK_INT(world_look(w, n, id, &reason), RC_ABSENT);
        CHECK_INT(reason, REASON_UNKNOWN);
        CHECK_INT(world_put(w, n, id, "k", "v"), RC_ABSENT);
    }
    CHECK_INT(world_login(w, 0, id, "kim", login), RC_ABSENT);
    CHECK_INT(told(w, "cannot be read"), w->count);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT(world_stats(w, i).unreadable, 1);
}

static void p25_a_spoilt_key_is_made_anew(struct world *w)
{
    static const uint8_t key[ID_SIZE];
    uint8_t id[ID_SIZE];
    if (!w->m[0]->store)
        return;
    CHECK_INT_FATAL(world_login_fresh(w, 0, "kim", id), RC_OK);
    CHECK_INT_FATAL(spoil(w->m[0], key), RC_OK);
    for (unsigned i = 0; i < w->count; i++)
        world_stop(w, i);
    for (unsigned i = 0; i < w->count; i++)
        CHECK_INT_FATAL(world_start(w, i), RC_OK);
    int64_t end = instant_read().mono + 20000;
    for (unsigned i = 0; i < w->count; i++)
        while (!atomic_load(&w->m[i]->secret_known) &&
               instant_read().mono < end)
            sched_yield();
    for (unsigned i = 0; i < w->count; i++) {
        CU_ASSERT(atomic_load(&w->m[i]->secret_known) != NULL);
        CHECK_INT(world_login_fresh(w, i, "kim", id), RC_OK);
    }
    CHECK_INT(memcmp(manager_secret(w->m[0]),
                     manager_secret(w->m[w->count - 1]), ID_SIZE),
              0);
    CHECK_INT(told(w, "it is made anew; restart"), 1);
}

/* clang-format off */
#define STATEMENTS(S)                                                          \
    S(p25_a_spoilt_list_locks_nobody_out, NULL)                                \
    S(p25_a_spoilt_session_is_absent, NULL)                                    \
    S(p25_a_spoilt_key_is_made_anew, NULL)
/* clang-format on */
STATEMENTS(STATEMENT_ON_ALL)
UNIT_MAIN("spoilt", STATEMENTS(STATEMENT_CASES))
