/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of a login that keeps the record of a user's sessions, over a
 * manager that answers for such records what the case says. */
#include "config.h"

#include "session/buf.h"
#include "session/manager_impl.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWERS = 16 };

/* Of writes to the record of a user; RC_PENDING: as it is. */
struct moody {
    struct manager base; /* first */
    enum rc answers[ANSWERS];
    unsigned changes, creates;
    struct commit_op *op;
    unsigned leaves_at; /* with that write whoever waits for op leaves; 0: never
                         */
};

static enum rc moody_find(struct manager *m, struct find_op *op)
{
    return manager_find_local(m, op);
}

static enum rc moody_write(struct manager *m, struct manager_write *w)
{
    struct moody *y = (struct moody *)m;
    unsigned at = y->changes + y->creates;

    if (!id_is_of_user(w->id))
        return manager_write_local(m, w);
    y->changes += w->kind == WRITE_CHANGE;
    y->creates += w->kind == WRITE_CREATE;
    if (at + 1 == y->leaves_at)
        atomic_store(&y->op->left, true);
    return at < ANSWERS && y->answers[at] != RC_PENDING
               ? y->answers[at]
               : manager_write_local(m, w);
}

static const struct manager_ops moody_ops = {
    .name = "MoodyManager",
    .summary = "",
    .size = sizeof(struct moody),
    .flags = MANAGER_LOCAL,
    .find = moody_find,
    .write = moody_write,
};

static const struct instant now = {.mono = 1000000, .wall = 1700000000000};

static struct moody *moody_new(struct log *log)
{
    struct manager_options common;
    struct manager_env env = {.log = log, .app = "/login", .node = "m"};
    struct manager *m = NULL;
    struct err err = {""};

    log_init(log, "m");
    option_defaults(manager_option_table, &common);
    common.max_sessions_per_user = 1;
    CHECK_INT_FATAL(
        manager_new(&moody_ops, &common, NULL, NULL, NULL, &env, &m, &err),
        RC_OK);
    CHECK_INT_FATAL(manager_start(m, now, &err), RC_OK);
    struct moody *y = (struct moody *)m;
    for (int i = 0; i < ANSWERS; i++)
        y->answers[i] = RC_PENDING;
    return y;
}

static void moody_free(struct moody *y)
{
    struct manager *m = &y->base;

    manager_stop(m, now, 0);
    manager_free(&m);
}

static enum rc login(struct moody *y, uint8_t id[ID_SIZE])
{
    struct session s;
    struct commit_op op = {.session = &s, .now = now};

    CHECK_INT_FATAL(manager_create(&y->base, now, NULL, &s, NULL), RC_OK);
    CHECK_INT(session_login(&s, "kim", NULL), RC_OK);
    y->op = &op;
    y->changes = y->creates = 0;
    enum rc rc = manager_commit(&y->base, &op);
    memcpy(id, session_id(&s), ID_SIZE);
    session_detach(&s);
    return rc;
}

static bool lives(struct moody *y, const uint8_t id[ID_SIZE])
{
    struct find_op op = {.now = now, .peek = true};

    memcpy(op.id, id, ID_SIZE);
    enum rc rc = manager_find(&y->base, &op);
    record_unref(&op.record);
    return rc == RC_OK;
}

static void the_first_login_makes_the_record(void)
{
    struct log log;
    struct moody *y = moody_new(&log);
    uint8_t one[ID_SIZE], two[ID_SIZE];

    CHECK_INT(login(y, one), RC_OK);
    CHECK_INT(y->creates, 1);
    CHECK_INT(login(y, two), RC_OK);
    CHECK_INT(y->creates, 0);
    CU_ASSERT(!lives(y, one) && lives(y, two));
    moody_free(y);
}

/* Others made it, or let it go, between two looks. */
static void races_are_run_again(void)
{
    struct log log;
    struct moody *y = moody_new(&log);
    uint8_t id[ID_SIZE];

    for (int i = 0; i < 6; i += 2) {
        y->answers[i] = RC_ABSENT;
        y->answers[i + 1] = RC_CONFLICT;
    }
    CHECK_INT(login(y, id), RC_OK);
    CHECK_INT(y->changes, 4);
    CHECK_INT(y->creates, 4);
    moody_free(y);
}

/* Who goes on alone makes it, or finds that another login just has. */
static void what_was_made_meanwhile_is_used(void)
{
    struct log log;
    struct moody *y = moody_new(&log);
    uint8_t one[ID_SIZE], two[ID_SIZE];

    y->answers[0] = RC_UNAVAILABLE;
    CHECK_INT(login(y, one), RC_OK);
    CHECK_INT(y->creates, 1);
    y->answers[1] = RC_CONFLICT;
    CHECK_INT(login(y, two), RC_OK);
    CHECK_INT(y->changes, 3); /* and one takes out who had to go */
    CU_ASSERT(!lives(y, one) && lives(y, two));
    moody_free(y);
}

static void what_cannot_be_had_is_asked_for_twice(void)
{
    struct log log;
    struct moody *y = moody_new(&log);
    uint8_t id[ID_SIZE];

    for (int i = 0; i < ANSWERS; i += 2) {
        y->answers[i] = RC_UNAVAILABLE;
        y->answers[i + 1] = RC_CONFLICT;
    }
    CHECK_INT(login(y, id), RC_UNCERTAIN);
    CHECK_INT(y->changes, 2);
    CHECK_INT(y->creates, 1);
    moody_free(y);
}

/* Nobody gets to know that session, so it takes nobody's place. */
static void nothing_is_asked_for_nobody(void)
{
    struct log log;
    struct moody *y = moody_new(&log);
    uint8_t one[ID_SIZE], two[ID_SIZE], three[ID_SIZE];

    CHECK_INT(login(y, one), RC_OK);
    y->answers[0] = RC_UNAVAILABLE;
    y->answers[1] = RC_CONFLICT;
    y->leaves_at = 1;
    CHECK_INT(login(y, two), RC_UNCERTAIN);
    CHECK_INT(y->changes, 1);
    CHECK_INT(y->creates, 0);
    CU_ASSERT(lives(y, one));
    y->leaves_at = 2;
    CHECK_INT(login(y, two), RC_UNCERTAIN);
    CHECK_INT(y->changes, 1);
    CHECK_INT(y->creates, 1);
    CU_ASSERT(lives(y, one));
    y->leaves_at = 0;
    y->answers[0] = y->answers[1] = RC_PENDING;
    CHECK_INT(login(y, three), RC_OK);
    CU_ASSERT(!lives(y, one) && lives(y, three));
    moody_free(y);
}

UNIT_MAIN("login", CASE(the_first_login_makes_the_record),
          CASE(races_are_run_again), CASE(what_was_made_meanwhile_is_used),
          CASE(what_cannot_be_had_is_asked_for_twice),
          CASE(nothing_is_asked_for_nobody))
