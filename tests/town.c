/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/town.h"

#include "managers/managers.h"
#include "managers/stores/stores.h"
#include "session/buf.h"
#include "session/store_impl.h"
#include "tests/unit.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct manager_part town_part(struct town *t, int which)
{
    if (t->standard[which])
        return (struct manager_part){.ops = managers_find("StandardManager"),
                                     .common = &t->of[which]};
    return (struct manager_part){
        .ops = managers_find("PersistentManager"),
        .common = &t->of[which],
        .options = t->in_idle_mode[which] ? &t->idle[which] : NULL,
        .store_ops = t->faults[which] ? &store_failing : &store_memory,
        .store_options = t->faults[which] ? (const void *)&t->failing[which]
                                          : &t->options[which]};
}

void town_tick_all(struct town *t)
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

void town_begin(struct town *t, int i)
{
    static const char *const names[] = {"old", "both", "new", "second"};
    enum kind kind = i == SECOND ? BOTH : (enum kind)i;
    struct manager_part p = town_part(t, kind == OLD ? PREVIOUS : NEXT);
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
}

void town_start(struct town *t, int i)
{
    int64_t until = instant_read().mono + 20000;
    town_begin(t, i);
    while (!is_up(t->m[i], t->now) && instant_read().mono < until) {
        manager_tick(t->m[i], t->now);
        sched_yield();
    }
    CU_ASSERT(is_up(t->m[i], t->now));
}

void town_stop(struct town *t, int i)
{
    if (t->m[i])
        manager_stop(t->m[i], t->now, 5000);
    manager_free(&t->m[i]);
}

/* by_use: nothing comes over in the background. */
struct town *town_new(bool by_use)
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
    t->pair = (struct manager_pair){town_part(t, NEXT), town_part(t, PREVIOUS),
                                    by_use};
    return t;
}

void town_make_standard(struct town *t, int which)
{
    t->standard[which] = true;
    t->pair = (struct manager_pair){town_part(t, NEXT), town_part(t, PREVIOUS),
                                    t->pair.by_use};
}

void town_make_fail(struct town *t, int which, struct failing_faults *faults)
{
    t->failing[which] = (struct failing_options){
        .wrapper = {.inner = &store_memory,
                    .inner_options = &t->options[which]},
        .faults = faults};
    t->faults[which] = faults;
    t->pair = (struct manager_pair){town_part(t, NEXT), town_part(t, PREVIOUS),
                                    t->pair.by_use};
}

void town_free(struct town *t)
{
    for (int i = 0; i < 4; i++)
        town_stop(t, i);
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

void town_pass(struct town *t, int64_t ms)
{
    settle(t);
    t->now.mono += ms;
    t->now.wall += ms;
}

/* ---- requests ---- */

static void found(struct find_op *op)
{
    sem_post(&((struct town_request *)op)->gate);
}

static void committed(struct commit_op *op)
{
    struct town_request *r =
        (struct town_request *)((char *)op -
                                offsetof(struct town_request, commit));
    sem_post(&r->gate);
}

enum rc town_look(struct town_request *r, struct town *t, int i,
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

enum rc town_commit(struct town_request *r, struct town *t)
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

void town_done(struct town_request *r)
{
    if (r->s.manager)
        session_detach(&r->s);
    sem_destroy(&r->gate);
}

enum rc town_make(struct town *t, int i, uint8_t id[ID_SIZE])
{
    struct town_request r = {.m = t->m[i]};
    sem_init(&r.gate, 0, 0);
    enum rc rc = manager_create(r.m, t->now, NULL, &r.s, NULL);
    if (rc == RC_OK)
        rc = town_commit(&r, t);
    memcpy(id, session_id(&r.s), ID_SIZE);
    town_done(&r);
    return rc;
}

enum rc town_put(struct town *t, int i, const uint8_t id[ID_SIZE],
                 const char *name, const char *text)
{
    struct town_request r;
    struct value v = {.type = VALUE_STRING, .data = text, .len = strlen(text)};
    enum rc rc = town_look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_set(&r.s, name, &v, NULL);
    if (rc == RC_OK)
        rc = town_commit(&r, t);
    town_done(&r);
    return rc;
}

enum rc town_add(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct town_request r;
    enum rc rc = town_look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_add(&r.s, "n", 1, NULL, NULL);
    if (rc == RC_OK)
        rc = town_commit(&r, t);
    town_done(&r);
    return rc;
}

bool town_says(struct town *t, int i, const uint8_t id[ID_SIZE],
               const char *name, const char *text)
{
    struct town_request r;
    bool same = false;
    if (town_look(&r, t, i, id) == RC_OK) {
        struct value v = session_get(&r.s, name);
        same = v.type == VALUE_STRING && strcmp(v.data, text) == 0;
    }
    town_done(&r);
    return same;
}

int64_t town_count(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct town_request r;
    int64_t n = -1;
    if (town_look(&r, t, i, id) == RC_OK)
        n = session_get(&r.s, "n").number;
    town_done(&r);
    return n;
}

enum rc town_end(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct town_request r;
    enum rc rc = town_look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_invalidate(&r.s, REASON_LOGOUT, NULL);
    if (rc == RC_OK)
        rc = town_commit(&r, t);
    town_done(&r);
    return rc;
}

enum rc town_login(struct town *t, int i, uint8_t id[ID_SIZE])
{
    struct town_request r;
    enum rc rc = town_look(&r, t, i, id);
    if (rc == RC_OK)
        rc = session_login(&r.s, "kim", NULL);
    if (rc == RC_OK)
        rc = town_commit(&r, t);
    if (rc == RC_OK)
        memcpy(id, session_id(&r.s), ID_SIZE);
    town_done(&r);
    return rc;
}

/* What it is told at that one: NONE is a live session. */
enum reason town_told(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct town_request r;
    enum reason reason = REASON_NONE;
    if (town_look(&r, t, i, id) != RC_OK)
        reason = r.rc == RC_ABSENT ? r.reason : REASON_COUNT;
    town_done(&r);
    return reason;
}

struct writing {
    struct manager_write w; /* first */
    sem_t gate;
};

static void written(struct manager_write *w)
{
    sem_post(&((struct writing *)w)->gate);
}

enum rc town_write(struct manager *m, enum write_kind kind,
                   const uint8_t id[ID_SIZE], struct record *record,
                   const uint8_t *new_id, struct instant now)
{
    struct writing g = {.w = {.done = written}};
    sem_init(&g.gate, 0, 0);
    manager_write_init(&g.w, kind, id, now);
    g.w.record = record;
    g.w.reason = REASON_RENAMED;
    if (new_id)
        memcpy(g.w.new_id, new_id, ID_SIZE);
    enum rc rc = m->ops->write(m, &g.w);
    if (rc == RC_PENDING) {
        sem_wait(&g.gate);
        rc = g.w.rc;
    }
    manager_write_release(&g.w);
    sem_destroy(&g.gate);
    return rc;
}

/* ---- waiting ---- */

/* Somebody hears of an end. */
bool town_is_told(struct town *t)
{
    int64_t until = instant_read().mono + 20000;
    bool is = false;
    while (!is && instant_read().mono < until) {
        town_pass(t, 10);
        town_tick_all(t);
        sched_yield();
        pthread_mutex_lock(&t->lock);
        is = t->events[0] != 0;
        pthread_mutex_unlock(&t->lock);
    }
    return is;
}

bool town_forgets(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    int64_t real = instant_read().mono, until = real + 20000;
    int64_t last = t->now.mono + 4 * MINUTE; /* others are to live on */
    town_pass(t, 2 * MINUTE);
    while (town_told(t, i, id) != REASON_UNKNOWN && real < until) {
        int64_t passed = instant_read().mono - real;
        real += passed;
        town_pass(t, t->now.mono < last ? 5000 : passed);
        town_tick_all(t);
        /* the stores' threads look before more time passes */
        int64_t look = instant_read().mono + 5;
        while (town_told(t, i, id) != REASON_UNKNOWN &&
               instant_read().mono < look)
            sched_yield();
    }
    return town_told(t, i, id) == REASON_UNKNOWN;
}

bool town_answers(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    int64_t until = instant_read().mono + 20000;
    while (town_told(t, i, id) == REASON_COUNT) {
        if (instant_read().mono >= until)
            return false;
        town_tick_all(t);
        sched_yield();
    }
    return true;
}

bool town_logs(struct town *t, const char *text)
{
    int64_t until = instant_read().mono + 20000;
    bool does = false;
    while (!does && instant_read().mono < until) {
        town_pass(t, 10);
        town_tick_all(t);
        sched_yield();
        pthread_mutex_lock(&t->lock);
        does = strstr(t->lines, text) != NULL;
        pthread_mutex_unlock(&t->lock);
    }
    return does;
}

bool town_is_complete(struct town *t, int i)
{
    struct manager_stats stats;
    int64_t until = instant_read().mono + 20000;
    do {
        town_pass(t, 10);
        manager_tick(t->m[i], t->now);
        manager_stats(t->m[i], &stats);
        sched_yield();
    } while (!stats.previous_complete && instant_read().mono < until);
    return stats.previous_complete;
}

/* What a look says that is no use. */
enum rc town_peek(struct town *t, int i, const uint8_t id[ID_SIZE])
{
    struct town_request r = {
        .find = {.done = found, .now = t->now, .peek = true}};
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
