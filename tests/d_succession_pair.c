/* SPDX-License-Identifier: Apache-2.0
 *
 * d_succession_pair.c: two managers that are of different minds
 * (docs/rolling-change.md): in what they take, how long they wait, and what a
 * stop is to them. */
#include "config.h"

#include "session/buf.h"
#include "tests/mesh.h"
#include "tests/town.h"
#include "tests/unit.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- logins ---- */

/* A manager that shares its secret with nobody does not hold logins up. */
static void a_login_waits_for_no_secret_of_one(int standard)
{
    struct town *t = town_new(true);
    uint8_t ids[3][ID_SIZE];
    town_make_standard(t, standard);
    town_start(t, BOTH);
    for (int n = 0; n < 3; n++) {
        CHECK_INT(town_make(t, BOTH, ids[n]), RC_OK);
        town_pass(t, 2000);
        CHECK_INT(town_login(t, BOTH, ids[n]), RC_OK);
    }
    CHECK_INT(town_told(t, BOTH, ids[0]), REASON_REPLACED);
    CHECK_INT(town_told(t, BOTH, ids[1]), REASON_NONE);
    CHECK_INT(town_told(t, BOTH, ids[2]), REASON_NONE);
    town_free(t);
}

static void logins_from_a_standard_one_are_counted(void)
{
    a_login_waits_for_no_secret_of_one(PREVIOUS);
}

static void logins_to_a_standard_one_are_counted(void)
{
    a_login_waits_for_no_secret_of_one(NEXT);
}

/* ---- a stop ---- */

/* A part of a pair ends nothing at a stop. */
static void a_stop_saves_in(int which)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    t->idle[which] = (struct persistent_options){.write_through = WRITE_FALSE,
                                                 .max_idle_backup = -1,
                                                 .max_idle_swap = -1,
                                                 .min_idle_swap = -1};
    t->in_idle_mode[which] = true;
    t->pair =
        (struct manager_pair){town_part(t, NEXT), town_part(t, PREVIOUS), true};
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    CHECK_INT(town_put(t, BOTH, id, "a", "kept"), RC_OK);
    town_stop(t, BOTH);
    CU_ASSERT(strstr(t->lines, "not ended") == NULL);
    CHECK_STR(t->events, "");
    town_start(t, which == NEXT ? NEW : OLD);
    CU_ASSERT(town_says(t, which == NEXT ? NEW : OLD, id, "a", "kept"));
    t->idle[which].save_on_restart = true; /* this one is alone */
    town_free(t);
}

static void a_stop_saves_what_the_new_one_has(void)
{
    a_stop_saves_in(NEXT);
}

static void a_stop_saves_what_the_old_one_has(void)
{
    a_stop_saves_in(PREVIOUS);
}

/* Who is inside of a store, and does not come back, does not hold it up. */
static void a_stop_has_an_end(void)
{
    struct town *t = town_new(true);
    town_start(t, BOTH);
    struct succession *s = succession_of(t->m[BOTH]);
    atomic_fetch_add(&s->inside, 1);
    manager_stop(t->m[BOTH], t->now, 100);
    CHECK_INT(atomic_fetch_sub(&s->inside, 1), 1);
    manager_free(&t->m[BOTH]);
    town_free(t);
}

/* ---- idle ---- */

/* While one has it for idle, and the other not yet, by the same access. */
static void the_patient_one_decides(int patient)
{
    struct town *t = town_new(true);
    uint8_t used[ID_SIZE], unused[ID_SIZE];
    t->of[patient].access_interval = 30;
    t->of[!patient].access_interval = 1;
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, used), RC_OK);
    CHECK_INT(town_make(t, BOTH, unused), RC_OK);
    town_pass(t, 30 * MINUTE + 10000);
    town_tick_all(t);
    CHECK_INT(town_peek(t, BOTH, unused), RC_OK);
    CHECK_INT(town_told(t, BOTH, used), REASON_NONE);
    town_pass(t, 30000); /* both agree; no store drops it yet */
    CHECK_INT(town_peek(t, BOTH, unused), RC_ABSENT);
    CHECK_INT(town_told(t, BOTH, used), REASON_NONE);
    CU_ASSERT(town_is_told(t));
    CHECK_STR(t->events, "idle ");
    town_free(t);
}

static void the_new_one_may_be_more_patient(void)
{
    the_patient_one_decides(NEXT);
}

static void the_old_one_may_be_more_patient(void)
{
    the_patient_one_decides(PREVIOUS);
}

/* ---- what one of them has no room for ---- */

/* What stays has it. */
static void what_the_old_one_has_no_room_for_is_served(void)
{
    struct town *t = town_new(true);
    struct failing_faults faults = {0};
    uint8_t id[ID_SIZE];
    town_make_fail(t, PREVIOUS, &faults);
    town_start(t, BOTH);
    CHECK_INT(town_make(t, BOTH, id), RC_OK);
    atomic_store(&faults.how, FAILING_TOO_BIG);
    atomic_store(&faults.fail_puts, UINT32_MAX);
    CHECK_INT(town_put(t, BOTH, id, "a", "big"), RC_TOOBIG);
    CU_ASSERT(town_says(t, BOTH, id, "a", "big"));
    CHECK_INT(town_peek(t, BOTH, id), RC_OK);
    town_free(t);
}

/* A session of the old one changes, and the new one has no room for it. */
static struct town *without_room(struct failing_faults *faults,
                                 uint8_t id[ID_SIZE])
{
    struct town *t = town_new(false);
    *faults = (struct failing_faults){0};
    town_make_fail(t, NEXT, faults);
    town_start(t, OLD);
    CHECK_INT(town_make(t, OLD, id), RC_OK);
    town_start(t, BOTH);
    CU_ASSERT(town_is_complete(t, BOTH)); /* no walk is under way */
    atomic_store(&faults->how, FAILING_TOO_BIG);
    atomic_store(&faults->fail_puts, UINT32_MAX);
    CHECK_INT(town_put(t, OLD, id, "a", "big"), RC_OK);
    return t;
}

static void what_the_new_one_has_no_room_for_is_told(void)
{
    struct failing_faults faults;
    struct town_request r;
    uint8_t id[ID_SIZE];
    struct town *t = without_room(&faults, id);
    CHECK_INT(town_look(&r, t, BOTH, id), RC_UNAVAILABLE);
    CU_ASSERT(strstr(r.find.err.text, "over a limit") != NULL);
    town_done(&r);
    CU_ASSERT(town_logs(t, "could not be brought over, one of them: made to"));
    town_free(t);
}

/* How often the log says so. */
static int times_logged(struct town *t, const char *text)
{
    int times = 0;
    pthread_mutex_lock(&t->lock);
    for (const char *at = t->lines; (at = strstr(at, text)); at++)
        times++;
    pthread_mutex_unlock(&t->lock);
    return times;
}

/* A reason that is another one at each turn is not said at each turn. */
static void what_does_not_come_over_is_told_once_a_minute(void)
{
    struct failing_faults faults;
    uint8_t id[ID_SIZE];
    struct town *t = without_room(&faults, id);
    int64_t began = t->now.mono, until = instant_read().mono + 20000;
    for (uint32_t done = 0; done < 20 && instant_read().mono < until;) {
        int64_t look_until = instant_read().mono + 20;
        town_pass(t, 5000);
        town_tick_all(t);
        while (UINT32_MAX - atomic_load(&faults.fail_puts) == done &&
               instant_read().mono < look_until)
            sched_yield();
        done = UINT32_MAX - atomic_load(&faults.fail_puts);
        /* a walk finds it twice: in either manager */
        atomic_store(&faults.how,
                     done / 2 % 2 ? FAILING_UNAVAILABLE : FAILING_TOO_BIG);
    }
    CU_ASSERT(town_logs(t, "could not be brought over"));
    CU_ASSERT(times_logged(t, "could not be brought over") <=
              1 + (t->now.mono - began) / 60000);
    town_free(t);
}

/* ---- listeners that hear of what others did ---- */

static void *notifying(const struct manager_ops *ops, bool yes)
{
    void *options = mem_zero(ops->options_size + 1);
    option_defaults(ops->options, options);
    CHECK_INT(option_set(ops->options, options,
                         "notifySessionListenersOnReplication",
                         yes ? "true" : "false", NULL),
              RC_OK);
    return options;
}

/* By which part; PARTS: by none. */
static int heard_by(bool next, bool previous)
{
    struct instant now = instant_read();
    struct mesh *mesh = mesh_new(1, &now);
    struct log log;
    struct manager_options common;
    const struct manager_ops *ops[] = {managers_find("BackupManager"),
                                       managers_find("DeltaManager")};
    void *options[] = {notifying(ops[NEXT], next),
                       notifying(ops[PREVIOUS], previous)};
    struct manager_pair pair = {
        {.ops = ops[NEXT], .common = &common, .options = options[NEXT]},
        {.ops = ops[PREVIOUS], .common = &common, .options = options[PREVIOUS]},
        .by_use = true};
    struct manager_env env = {.log = &log,
                              .app = "/test",
                              .node = "node1",
                              .channel = mesh_channel(mesh, 0)};
    struct manager *m;
    int by = PARTS;
    log_init(&log, "test");
    log.level = LOG_ERROR;
    env.node_number = env.channel->node;
    option_defaults(manager_option_table, &common);
    CHECK_INT_FATAL(manager_new(&manager_succession, &common, &pair, NULL, NULL,
                                &env, &m, NULL),
                    RC_OK);
    CHECK_INT(manager_start(m, now, NULL), RC_OK);
    for (int p = 0; p < PARTS; p++)
        if (m->hears == succession_of(m)->part[p])
            by = p;
    manager_stop(m, now, 1000);
    manager_free(&m);
    mesh_free(&mesh);
    free(options[NEXT]);
    free(options[PREVIOUS]);
    return by;
}

static void listeners_hear_of_others_by_one_of_two(void)
{
    CHECK_INT(heard_by(true, true), NEXT);
    CHECK_INT(heard_by(true, false), NEXT);
    CHECK_INT(heard_by(false, true), PREVIOUS);
    CHECK_INT(heard_by(false, false), PARTS);
}

static atomic_int came;

static void comes(void *user, struct session *s)
{
    (void)user;
    (void)s;
    atomic_fetch_add(&came, 1);
}

static struct town *town_that_hears(bool hears, uint8_t id[ID_SIZE])
{
    struct town *t = town_new(true);
    town_start(t, OLD);
    CHECK_INT(town_make(t, OLD, id), RC_OK);
    town_start(t, BOTH);
    struct manager *m = t->m[BOTH];
    m->hears = succession_of(m)->part[hears ? NEXT : PREVIOUS];
    m->env.listeners.created = comes;
    atomic_store(&came, 0);
    for (int n = 0; n < 2; n++)
        CHECK_INT(town_told(t, BOTH, id), REASON_NONE);
    CHECK_INT(atomic_load(&came), hears);
    CHECK_STR(t->events, "");
    return t;
}

/* The next one tells others of it, the previous one nobody. */
static void what_a_find_brings_is_heard_here_once(void)
{
    for (int hears = 0; hears < 2; hears++) {
        uint8_t id[ID_SIZE];
        struct town *t = town_that_hears(hears, id);
        CHECK_INT(town_end(t, OLD, id), RC_OK);
        CHECK_STR(t->events, "logout ");
        t->events[0] = 0;
        for (int n = 0; n < 2; n++)
            CHECK_INT(town_told(t, BOTH, id), REASON_LOGOUT);
        CHECK_STR(t->events, hears ? "logout " : "");
        CHECK_INT(atomic_load(&came), hears);
        town_free(t);
    }
}

static void an_end_that_a_commit_brings_is_heard_here_once(void)
{
    struct value v = {.type = VALUE_INT, .number = 1};
    struct town_request r;
    uint8_t id[ID_SIZE];
    struct town *t = town_that_hears(true, id);
    CHECK_INT_FATAL(town_look(&r, t, BOTH, id), RC_OK);
    CHECK_INT(town_end(t, OLD, id), RC_OK);
    t->events[0] = 0;
    CHECK_INT(session_set(&r.s, "n", &v, NULL), RC_OK);
    CHECK_INT(town_commit(&r, t), RC_ENDED);
    town_done(&r);
    CHECK_INT(town_told(t, BOTH, id), REASON_LOGOUT);
    CHECK_STR(t->events, "logout ");
    town_free(t);
}

UNIT_MAIN("succession_pair", CASE(what_the_old_one_has_no_room_for_is_served),
          CASE(what_the_new_one_has_no_room_for_is_told),
          CASE(what_does_not_come_over_is_told_once_a_minute),
          CASE(logins_from_a_standard_one_are_counted),
          CASE(logins_to_a_standard_one_are_counted),
          CASE(a_stop_saves_what_the_new_one_has),
          CASE(a_stop_saves_what_the_old_one_has), CASE(a_stop_has_an_end),
          CASE(the_new_one_may_be_more_patient),
          CASE(the_old_one_may_be_more_patient),
          CASE(listeners_hear_of_others_by_one_of_two),
          CASE(what_a_find_brings_is_heard_here_once),
          CASE(an_end_that_a_commit_brings_is_heard_here_once))
