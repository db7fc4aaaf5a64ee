/* SPDX-License-Identifier: Apache-2.0
 *
 * d_succession.c: instances of a rolling change side by side: some know the old
 * manager only, some both, some the new one only (docs/rolling-change.md). The
 * two managers are PersistentManagers over two memories, but where a test says
 * otherwise. */
#include "config.h"

#include "managers/managers.h"
#include "managers/persistent.h"
#include "managers/stores/stores.h"
#include "managers/succession.h"
#include "session/buf.h"
#include "session/store_impl.h"
#include "tests/unit.h"

#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE 60000

enum kind { OLD, BOTH, NEW, KINDS };

struct town {
    struct memory_rows *rows[2];
    struct memory_options options[2];
    struct manager_options common, of[2]; /* of the face, and the parts */
    bool standard[2];                     /* that part is a StandardManager */
    struct persistent_options idle[2];    /* of one in an idle mode */
    bool in_idle_mode[2];
    struct manager_pair pair;
    struct manager *m[4]; /* OLD, BOTH, NEW, and one more of BOTH */
    struct log log;
    struct instant now;
    char events[1024], lines[4096];
    pthread_mutex_t lock;
};
#define SECOND 3 /* another one of BOTH */

static void heard(void *user, struct session *s, enum reason reason)
{
    struct town *t = user;
    (void)s;
    pthread_mutex_lock(&t->lock);
    size_t used = strlen(t->events);
    snprintf(t->events + used, sizeof t->events - used, "%s ",
             reason_text(reason));
    pthread_mutex_unlock(&t->lock);
}

static void line(void *user, enum log_level level, const char *text)
{
    struct town *t = user;
    (void)level;
    pthread_mutex_lock(&t->lock);
    size_t used = strlen(t->lines);
    snprintf(t->lines + used, sizeof t->lines - used, "%s\n", text);
    pthread_mutex_unlock(&t->lock);
}

static struct manager_part part(struct town *t, int which)
{
    if (t->standard[which])
        return (struct manager_part){.ops = managers_find("StandardManager"),
                                     .common = &t->of[which]};
    return (struct manager_part){.ops = managers_find("PersistentManager"),
                                 .common = &t->of[which],
                                 .options = t->in_idle_mode[which]
                                                ? &t->idle[which]
                                                : NULL,
                                 .store_ops = &store_memory,
                                 .store_options = &t->options[which]};
}

static void tick_all(struct town *t)
{
    for (int i = 0; i < 4; i++)
        if (t->m[i])
            manager_tick(t->m[i], t->now);
}

static bool is_up(struct manager *m, struct instant now)
{
    return manager_ready(m, now) &&
           (!m->secret_shared || atomic_load(&m->secret_known));
}

static void start(struct town *t, int i)
{
    static const char *const names[] = {"old", "both", "new", "second"};
    enum kind kind = i == SECOND ? BOTH : (enum kind)i;
    struct manager_part p = part(t, kind == OLD ? PREVIOUS : NEXT);
    struct manager_env env = {.log = &t->log,
                              .app = "/town",
                              .node = names[i],
                              .node_number = id_mint_node(),
                              .listeners = {.user = t, .destroyed = heard}};
    struct err err = {""};
    enum rc rc = kind == BOTH
                     ? manager_new(&manager_succession, &t->common, &t->pair,
                                   NULL, NULL, &env, &t->m[i], &err)
                     : manager_new(p.ops, p.common, p.options, p.store_ops,
                                   p.store_options, &env, &t->m[i], &err);
    if (rc == RC_OK)
        rc = manager_start(t->m[i], t->now, &err);
    if (rc != RC_OK)
        printf("%s\n", err.text);
    CHECK_INT_FATAL(rc, RC_OK);
    int64_t until = instant_read().mono + 20000;
    while (!is_up(t->m[i], t->now) && instant_read().mono < until) {
        manager_tick(t->m[i], t->now);
        sched_yield();
    }
    CU_ASSERT(is_up(t->m[i], t->now));
}

static void stop(struct town *t, int i)
{
    if (t->m[i])
        manager_stop(t->m[i], t->now, 5000);
    manager_free(&t->m[i]);
}

/* by_use: nothing comes over in the background. */
static struct town *town_new(bool by_use)
{
    struct town *t = mem_zero(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    log_init(&t->log, "town");
    t->log.sink = line;
    t->log.user = t;
    t->now = instant_read();
    option_defaults(manager_option_table, &t->common);
    t->common.max_sessions_per_user = 2;
    for (int p = 0; p < 2; p++) {
        option_defaults(store_memory.options, &t->options[p]);
        t->options[p].rows = t->rows[p] = memory_rows_new();
        t->options[p].is_inline = p == NEXT;
    }
    t->of[NEXT] = t->of[PREVIOUS] = t->common;
    t->pair = (struct manager_pair){part(t, NEXT), part(t, PREVIOUS), by_use};
    return t;
}

static void make_standard(struct town *t, int which)
{
    t->standard[which] = true;
    t->pair = (struct manager_pair){part(t, NEXT), part(t, PREVIOUS),
                                    t->pair.by_use};
}

static void town_free(struct town *t)
{
    for (int i = 0; i < 4; i++)
        stop(t, i);
    for (int p = 0; p < 2; p++)
        memory_rows_free(&t->rows[p]);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* What was begun is over: time passes for nobody who is still at work. */
static void settle(struct town *t)
{
    struct manager_stats stats;
    for (int i = 0; i < 4; i++)
        do {
            if (!t->m[i])
                break;
            manager_stats(t->m[i], &stats);
            sched_yield();
        } while (stats.unsaved);
}

static void pass(struct town *t, int64_t ms)
{
    settle(t);
    t->now.mono += ms;
    t->now.wall += ms;
}

/* ---- requests ---- */

struct request {
    struct find_op find;
    struct commit_op commit;
    struct session s;
    sem_t gate;
    struct manager *m;
    enum rc rc;
    enum reason reason;
};

static void found(struct find_op *op)
{
    sem_post(&((struct request *)op)->gate);
}

static void committed(struct commit_op *op)
{
    struct request *r =
        (struct request *)((char *)op - offsetof(struct request, commit));
    sem_post(&r->gate);
}

static enum rc look(struct request *r, struct town *t, int i,
                    const uint8_t id[ID_SIZE])
{
    memset(r, 0, sizeof *r);
    sem_init(&r->gate, 0, 0);
    r->m = t->m[i];
    r->find.done = found;
    r->find.now = t->now;
    memcpy(r->find.id, id, ID_SIZE);
    r->rc = manager_find(r->m, &r->find);
    if (r->rc == RC_PENDING) {
        sem_wait(&r->gate);
        r->rc = r->find.rc;
    }
    r->reason = r->find.reason;
    if (r->rc == RC_OK)
        manager_attach(r->m, &r->find, &r->s);
    return r->rc;
}

static enum rc commit(struct request *r, struct town *t)
{
    r->commit =
        (struct commit_op){.done = committed, .session = &r->s, .now = t->now};
    r->rc = manager_commit(r->m, &r->commit);
    if (r->rc == RC_PENDING) {
        sem_wait(&r->gate);
        r->rc = r->commit.rc;
    }
    r->reason = r->commit.reason;
    return r->rc;
}

static void done(struct request *r)
{
    if (r->s.manager)
        session_detach(&r->s);
    sem_destroy(&r->gate);
}

static enum rc make(struct town *t, int i, uint8_t id[ID_SIZE])
{
    struct request r = {.m = t->m[i]};
    sem_init(&r.gate, 0, 0);
    enum rc rc = manager_create(r.m, t->now, NULL, &r.s, NULL);
    if (rc == RC_OK)
        rc = commit(&r, t);
    memcpy(id, session_id(&r.s), ID_SIZE);
    done(&r);
    return rc;
}

static enum rc put(struct town *t, int i, const uint8_t id[ID_SIZE],
                   const char *name, const char *text)
{
    struct request r;
    struct value v = {.type = VALUE_STRING, .data = text, .len = strlen(text)};
    enum rc rc = look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_set(&r.s, name, &v, NULL);
    if (rc == RC_OK)
        rc = commit(&r, t);
    done(&r);
    return rc;
}

static enum rc add(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct request r;
    enum rc rc = look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_add(&r.s, "n", 1, NULL, NULL);
    if (rc == RC_OK)
        rc = commit(&r, t);
    done(&r);
    return rc;
}

static bool says(struct town *t, int i, const uint8_t id[ID_SIZE],
                 const char *name, const char *text)
{
    struct request r;
    bool same = false;
    if (look(&r, t, i, id) == RC_OK) {
        struct value v = session_get(&r.s, name);
        same = v.type == VALUE_STRING && strcmp(v.data, text) == 0;
    }
    done(&r);
    return same;
}

static int64_t count(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct request r;
    int64_t n = -1;
    if (look(&r, t, i, id) == RC_OK)
        n = session_get(&r.s, "n").number;
    done(&r);
    return n;
}

static enum rc end(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct request r;
    enum rc rc = look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_invalidate(&r.s, REASON_LOGOUT, NULL);
    if (rc == RC_OK)
        rc = commit(&r, t);
    done(&r);
    return rc;
}

static enum rc login(struct town *t, int i, uint8_t id[ID_SIZE])
{
    struct request r;
    enum rc rc = look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_login(&r.s, "kim", NULL);
    if (rc == RC_OK)
        rc = commit(&r, t);
    if (rc == RC_OK)
        memcpy(id, session_id(&r.s), ID_SIZE);
    done(&r);
    return rc;
}

/* What it is told at that one: NONE is a live session. */
static enum reason told(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct request r;
    enum reason reason = REASON_NONE;
    if (look(&r, t, i, id) != RC_OK)
        reason = r.rc == RC_ABSENT ? r.reason : REASON_COUNT;
    done(&r);
    return reason;
}

/* ---- the first rolling restart: OLD beside BOTH ---- */

static void what_the_old_ones_change_is_seen(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    start(t, OLD);
    CHECK_INT(make(t, OLD, id), RC_OK);
    CHECK_INT(put(t, OLD, id, "a", "1"), RC_OK);
    start(t, BOTH);
    CU_ASSERT(says(t, BOTH, id, "a", "1"));
    for (int n = 0; n < 5; n++) {
        CHECK_INT(add(t, OLD, id), RC_OK);
        CHECK_INT(add(t, BOTH, id), RC_OK);
    }
    CHECK_INT(count(t, OLD, id), 10);
    CHECK_INT(count(t, BOTH, id), 10);
    CHECK_INT(put(t, OLD, id, "a", "2"), RC_OK);
    CHECK_INT(put(t, BOTH, id, "b", "2"), RC_OK);
    CHECK_INT(put(t, OLD, id, "b", "3"), RC_OK);
    CU_ASSERT(says(t, BOTH, id, "a", "2"));
    CU_ASSERT(says(t, BOTH, id, "b", "3"));
    /* that look brought the rest, too */
    start(t, NEW);
    CU_ASSERT(says(t, NEW, id, "b", "3"));
    CHECK_INT(count(t, NEW, id), 10);
    town_free(t);
}

/* A set that follows another one wins, whatever the clocks say. */
static void what_comes_after_wins(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    start(t, BOTH);
    start(t, NEW);
    CHECK_INT(make(t, BOTH, id), RC_OK);
    pass(t, 20000); /* this one's clock is ahead */
    CHECK_INT(put(t, NEW, id, "a", "new"), RC_OK);
    pass(t, -15000);
    CHECK_INT(put(t, BOTH, id, "a", "both"), RC_OK);
    CU_ASSERT(says(t, NEW, id, "a", "both"));
    CHECK_INT(put(t, NEW, id, "z", "seen"), RC_OK);
    CU_ASSERT(says(t, BOTH, id, "z", "seen"));
    stop(t, NEW);
    start(t, OLD);
    CU_ASSERT(says(t, OLD, id, "z", "seen")); /* the way back */
    pass(t, 20000);
    CHECK_INT(put(t, OLD, id, "a", "old"), RC_OK);
    pass(t, -15000);
    CHECK_INT(put(t, BOTH, id, "a", "again"), RC_OK);
    CU_ASSERT(says(t, OLD, id, "a", "again"));
    CU_ASSERT(says(t, BOTH, id, "a", "again"));
    town_free(t);
}

/* The store sees to it in its own time. */
static bool is_forgotten(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    int64_t until = instant_read().mono + 20000;
    pass(t, 2 * MINUTE);
    while (told(t, i, id) != REASON_UNKNOWN && instant_read().mono < until) {
        pass(t, 5000);
        tick_all(t);
        sched_yield();
    }
    return told(t, i, id) == REASON_UNKNOWN;
}

static void an_end_at_one_is_an_end(int ends, int other)
{
    struct town *t = town_new(true);
    uint8_t seen[ID_SIZE], unseen[ID_SIZE];
    start(t, BOTH);
    start(t, ends);
    CHECK_INT(make(t, BOTH, seen), RC_OK);
    CHECK_INT(make(t, BOTH, unseen), RC_OK);
    pass(t, MINUTE); /* they are not young */
    CHECK_INT(end(t, ends, seen), RC_OK);
    CHECK_INT(end(t, ends, unseen), RC_OK);
    CHECK_INT(told(t, BOTH, seen), REASON_LOGOUT);
    start(t, other);
    CHECK_INT(told(t, other, seen), REASON_LOGOUT);
    /* long after the one that saw the end has forgotten it */
    CU_ASSERT(is_forgotten(t, ends, unseen));
    atomic_store(&succession_of(t->m[BOTH])->walked, t->now.mono);
    CHECK_INT(told(t, BOTH, unseen), REASON_UNKNOWN);
    CHECK_INT(told(t, other, unseen), REASON_UNKNOWN);
    CHECK_INT(told(t, other, seen), REASON_UNKNOWN);
    CHECK_STR(t->events, "logout logout ");
    town_free(t);
}

static void a_logout_at_an_old_one_is_final(void)
{
    an_end_at_one_is_an_end(OLD, NEW);
}

static void a_logout_at_a_new_one_is_final(void)
{
    an_end_at_one_is_an_end(NEW, OLD);
}

/* A part that has lost what it kept has seen no ends. */
static void what_one_has_lost_lives_on(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    start(t, BOTH);
    CHECK_INT(make(t, BOTH, id), RC_OK);
    pass(t, 2 * MINUTE);
    stop(t, BOTH);
    memory_rows_free(&t->rows[PREVIOUS]);
    t->options[PREVIOUS].rows = t->rows[PREVIOUS] = memory_rows_new();
    start(t, BOTH);
    CHECK_INT(told(t, BOTH, id), REASON_NONE);
    stop(t, BOTH);
    memory_rows_free(&t->rows[PREVIOUS]);
    t->options[PREVIOUS].rows = t->rows[PREVIOUS] = memory_rows_new();
    start(t, BOTH);
    start(t, NEW);
    pass(t, 2 * MINUTE);
    atomic_store(&succession_of(t->m[BOTH])->walked, t->now.mono);
    CHECK_INT(told(t, NEW, id), REASON_NONE);
    CHECK_INT(told(t, BOTH, id), REASON_NONE);
    town_free(t);
}

static void a_login_anywhere_goes_on(void)
{
    struct town *t = town_new(true);
    uint8_t a[ID_SIZE], b[ID_SIZE], old[ID_SIZE];
    start(t, OLD);
    start(t, BOTH);
    CHECK_INT(make(t, BOTH, a), RC_OK);
    memcpy(old, a, ID_SIZE);
    pass(t, MINUTE);
    CHECK_INT(login(t, OLD, a), RC_OK);
    CHECK_INT(told(t, BOTH, a), REASON_NONE);
    CHECK_INT(told(t, BOTH, old), REASON_RENAMED);
    stop(t, OLD);
    start(t, NEW);
    CHECK_INT(told(t, NEW, a), REASON_NONE);
    CHECK_INT(make(t, BOTH, b), RC_OK);
    memcpy(old, b, ID_SIZE);
    pass(t, MINUTE);
    CHECK_INT(login(t, NEW, b), RC_OK);
    pass(t, 2 * MINUTE);
    CHECK_INT(told(t, BOTH, b), REASON_NONE);
    CHECK_INT(told(t, BOTH, a), REASON_NONE);
    CHECK_INT(told(t, BOTH, old) == REASON_NONE, 0);
    town_free(t);
}

/* Two at most (maxSessionsPerUser): the one that logged in first goes. */
static void logins_anywhere_are_counted(void)
{
    struct town *t = town_new(true);
    uint8_t ids[4][ID_SIZE];
    static const int where[] = {OLD, BOTH, BOTH, NEW};
    start(t, OLD);
    start(t, BOTH);
    for (int n = 0; n < 4; n++) {
        if (n == 3) {
            stop(t, OLD);
            start(t, NEW);
        }
        CHECK_INT(make(t, where[n], ids[n]), RC_OK);
        pass(t, 2000);
        CHECK_INT(login(t, where[n], ids[n]), RC_OK);
        if (n == 2) {
            CHECK_INT(told(t, OLD, ids[0]), REASON_REPLACED);
            CHECK_INT(told(t, OLD, ids[1]), REASON_NONE);
        }
    }
    CHECK_INT(told(t, BOTH, ids[0]), REASON_REPLACED);
    CHECK_INT(told(t, BOTH, ids[1]), REASON_REPLACED);
    CHECK_INT(told(t, BOTH, ids[2]), REASON_NONE);
    CHECK_INT(told(t, NEW, ids[3]), REASON_NONE);
    CHECK_INT(told(t, NEW, ids[2]), REASON_NONE);
    town_free(t);
}

/* A manager that shares its secret with nobody does not hold logins up. */
static void a_login_waits_for_no_secret_of_one(int standard)
{
    struct town *t = town_new(true);
    uint8_t ids[3][ID_SIZE];
    make_standard(t, standard);
    start(t, BOTH);
    for (int n = 0; n < 3; n++) {
        CHECK_INT(make(t, BOTH, ids[n]), RC_OK);
        pass(t, 2000);
        CHECK_INT(login(t, BOTH, ids[n]), RC_OK);
    }
    CHECK_INT(told(t, BOTH, ids[0]), REASON_REPLACED);
    CHECK_INT(told(t, BOTH, ids[1]), REASON_NONE);
    CHECK_INT(told(t, BOTH, ids[2]), REASON_NONE);
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
    t->pair = (struct manager_pair){part(t, NEXT), part(t, PREVIOUS), true};
    start(t, BOTH);
    CHECK_INT(make(t, BOTH, id), RC_OK);
    CHECK_INT(put(t, BOTH, id, "a", "kept"), RC_OK);
    stop(t, BOTH);
    CU_ASSERT(strstr(t->lines, "not ended") == NULL);
    CHECK_STR(t->events, "");
    start(t, which == NEXT ? NEW : OLD);
    CU_ASSERT(says(t, which == NEXT ? NEW : OLD, id, "a", "kept"));
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

/* ---- idle ---- */

/* Somebody hears of an end. */
static bool is_told(struct town *t)
{
    int64_t until = instant_read().mono + 20000;
    bool is = false;
    while (!is && instant_read().mono < until) {
        pass(t, 10);
        tick_all(t);
        sched_yield();
        pthread_mutex_lock(&t->lock);
        is = t->events[0] != 0;
        pthread_mutex_unlock(&t->lock);
    }
    return is;
}

static void whoever_uses_it_keeps_it(int user)
{
    struct town *t = town_new(true);
    uint8_t used[ID_SIZE], unused[ID_SIZE];
    start(t, BOTH);
    start(t, user);
    CHECK_INT(make(t, BOTH, used), RC_OK);
    CHECK_INT(make(t, BOTH, unused), RC_OK);
    for (int n = 0; n < 40; n++) {
        pass(t, MINUTE);
        CHECK_INT(told(t, user, used), REASON_NONE);
        tick_all(t);
        if (n == 32)
            CHECK_INT(told(t, BOTH, used), REASON_NONE);
    }
    CHECK_INT(told(t, BOTH, used), REASON_NONE);
    CHECK_INT(told(t, BOTH, unused) == REASON_NONE, 0);
    CHECK_INT(told(t, user, unused) == REASON_NONE, 0);
    CU_ASSERT(is_told(t));
    CHECK_STR(t->events, "idle ");
    town_free(t);
}

static void what_an_old_one_uses_does_not_idle_out(void)
{
    whoever_uses_it_keeps_it(OLD);
}

static void what_a_new_one_uses_does_not_idle_out(void)
{
    whoever_uses_it_keeps_it(NEW);
}

static void what_nobody_uses_ends_once(void)
{
    struct town *t = town_new(true);
    uint8_t id[ID_SIZE];
    start(t, BOTH);
    start(t, SECOND);
    CHECK_INT(make(t, BOTH, id), RC_OK);
    CHECK_INT(told(t, SECOND, id), REASON_NONE);
    pass(t, 30 * MINUTE);
    CU_ASSERT(is_told(t));
    for (int n = 0; n < 30; n++) { /* each look waits for both */
        pass(t, 1000);
        tick_all(t);
        CHECK_INT(told(t, BOTH, id) == REASON_NONE, 0);
        CHECK_INT(told(t, SECOND, id) == REASON_NONE, 0);
    }
    CHECK_STR(t->events, "idle ");
    town_free(t);
}

/* What a look says that is no use. */
static enum rc peek(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct request r = {.find = {.done = found, .now = t->now, .peek = true}};
    sem_init(&r.gate, 0, 0);
    memcpy(r.find.id, id, ID_SIZE);
    r.rc = manager_find(t->m[i], &r.find);
    if (r.rc == RC_PENDING) {
        sem_wait(&r.gate);
        r.rc = r.find.rc;
    }
    if (r.rc == RC_OK)
        record_unref(&r.find.record);
    sem_destroy(&r.gate);
    return r.rc;
}

/* While one has it for idle, and the other not yet, by the same access. */
static void the_patient_one_decides(int patient)
{
    struct town *t = town_new(true);
    uint8_t used[ID_SIZE], unused[ID_SIZE];
    t->of[patient].access_interval = 60;
    t->of[!patient].access_interval = 1;
    start(t, BOTH);
    CHECK_INT(make(t, BOTH, used), RC_OK);
    CHECK_INT(make(t, BOTH, unused), RC_OK);
    pass(t, 30 * MINUTE + 10000);
    tick_all(t);
    CHECK_INT(peek(t, BOTH, unused), RC_OK);
    CHECK_INT(told(t, BOTH, used), REASON_NONE);
    pass(t, 5 * MINUTE);
    CHECK_INT(peek(t, BOTH, unused), RC_ABSENT);
    CHECK_INT(told(t, BOTH, used), REASON_NONE);
    CU_ASSERT(is_told(t));
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

/* ---- what nobody uses comes over ---- */

static bool is_complete(struct town *t, int i)
{
    struct manager_stats stats;
    int64_t until = instant_read().mono + 20000;
    do {
        pass(t, 10);
        manager_tick(t->m[i], t->now);
        manager_stats(t->m[i], &stats);
        sched_yield();
    } while (!stats.previous_complete && instant_read().mono < until);
    return stats.previous_complete;
}

static void it_says_when_all_came_over(void)
{
    struct town *t = town_new(false);
    uint8_t ids[300][ID_SIZE], ended[ID_SIZE];
    struct manager_stats stats;
    start(t, OLD);
    for (int n = 0; n < 300; n++)
        CHECK_INT(make(t, OLD, ids[n]), RC_OK);
    CHECK_INT(put(t, OLD, ids[7], "a", "kept"), RC_OK);
    CHECK_INT(make(t, OLD, ended), RC_OK);
    CHECK_INT(end(t, OLD, ended), RC_OK);
    stop(t, OLD);
    start(t, BOTH);
    CU_ASSERT(is_complete(t, BOTH));
    manager_stats(t->m[BOTH], &stats);
    CHECK_INT(stats.carried, 300);
    stop(t, BOTH);
    CU_ASSERT(strstr(t->lines, "the second rolling restart may begin") != NULL);
    start(t, NEW);
    for (int n = 0; n < 300; n++)
        CHECK_INT(told(t, NEW, ids[n]), REASON_NONE);
    CU_ASSERT(says(t, NEW, ids[7], "a", "kept"));
    CHECK_INT(told(t, NEW, ended) == REASON_NONE, 0);
    town_free(t);
}

/* A walk is no use: what comes over has been idle for as long as it was. */
static void to_come_over_is_no_use(void)
{
    struct town *t = town_new(false);
    uint8_t id[ID_SIZE];
    start(t, OLD);
    CHECK_INT(make(t, OLD, id), RC_OK);
    pass(t, 29 * MINUTE);
    start(t, BOTH);
    CU_ASSERT(is_complete(t, BOTH));
    stop(t, OLD);
    stop(t, BOTH);
    start(t, NEW);
    pass(t, 3 * MINUTE);
    CHECK_INT(told(t, NEW, id), REASON_IDLE);
    town_free(t);
}

static bool is_told_everywhere(struct town *t, const uint8_t id[ID_SIZE])
{
    struct manager *next = succession_of(t->m[BOTH])->part[NEXT];
    int64_t until = instant_read().mono + 20000;
    bool live = true;
    while (live && instant_read().mono < until) {
        pass(t, 100);
        manager_tick(t->m[BOTH], t->now);
        struct find_op op = {.now = t->now, .peek = true};
        memcpy(op.id, id, ID_SIZE);
        live = part_find(next, &op) == RC_OK; /* it reads inline */
        if (live)
            record_unref(&op.record);
        sched_yield();
    }
    return !live;
}

/* The walk hears of ends within the time for which they are told. */
static void an_end_that_nobody_asks_for_comes_over(void)
{
    struct town *t = town_new(false);
    uint8_t id[ID_SIZE];
    start(t, OLD);
    start(t, BOTH);
    CHECK_INT(make(t, BOTH, id), RC_OK);
    CU_ASSERT(is_complete(t, BOTH));
    CHECK_INT(end(t, OLD, id), RC_OK);
    CU_ASSERT(is_told_everywhere(t, id));
    town_free(t);
}

UNIT_MAIN("succession", CASE(what_the_old_ones_change_is_seen),
          CASE(what_comes_after_wins), CASE(a_logout_at_an_old_one_is_final),
          CASE(a_logout_at_a_new_one_is_final),
          CASE(what_one_has_lost_lives_on), CASE(a_login_anywhere_goes_on),
          CASE(logins_anywhere_are_counted),
          CASE(logins_from_a_standard_one_are_counted),
          CASE(logins_to_a_standard_one_are_counted),
          CASE(a_stop_saves_what_the_new_one_has),
          CASE(a_stop_saves_what_the_old_one_has),
          CASE(what_an_old_one_uses_does_not_idle_out),
          CASE(what_a_new_one_uses_does_not_idle_out),
          CASE(the_new_one_may_be_more_patient),
          CASE(the_old_one_may_be_more_patient),
          CASE(what_nobody_uses_ends_once), CASE(it_says_when_all_came_over),
          CASE(to_come_over_is_no_use),
          CASE(an_end_that_nobody_asks_for_comes_over))
