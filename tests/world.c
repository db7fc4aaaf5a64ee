/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/world.h"

#include "managers/managers.h"
#include "managers/succession.h"
#include "session/buf.h"
#include "session/manager_impl.h"
#include "session/store_impl.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what the managers tell ---- */

static void world_event(struct world *w, const char *what, const char *name)
{
    pthread_mutex_lock(&w->lock);
    size_t used = strlen(w->events);
    snprintf(w->events + used, sizeof w->events - used, "%s%s%s%s",
             used ? " " : "", what, name ? ":" : "", name ? name : "");
    pthread_mutex_unlock(&w->lock);
}

static void event_created(void *user, struct session *s)
{
    (void)s;
    world_event(user, "created", NULL);
}
static void event_destroyed(void *user, struct session *s, enum reason reason)
{
    (void)s;
    world_event(user, "destroyed", reason_text(reason));
}
static void event_id_changed(void *user, struct session *s,
                             const uint8_t old_id[ID_SIZE])
{
    world_event(user, "id",
                id_equal(session_id(s), old_id) ? "same" : "changed");
}
static void event_added(void *user, struct session *s, const char *name)
{
    (void)s;
    world_event(user, "added", name);
}
static void event_replaced(void *user, struct session *s, const char *name)
{
    (void)s;
    world_event(user, "replaced", name);
}
static void event_removed(void *user, struct session *s, const char *name)
{
    (void)s;
    world_event(user, "removed", name);
}

static void world_line(void *user, enum log_level level, const char *line)
{
    struct world *w = user;
    (void)level;
    pthread_mutex_lock(&w->lock);
    size_t used = strlen(w->lines);
    snprintf(w->lines + used, sizeof w->lines - used, "%s\n", line);
    pthread_mutex_unlock(&w->lock);
}

bool world_logged(struct world *w, const char *text)
{
    pthread_mutex_lock(&w->lock);
    bool found = strstr(w->lines, text) != NULL;
    pthread_mutex_unlock(&w->lock);
    return found;
}

bool world_told_once(struct world *w, const char *reason)
{
    pthread_mutex_lock(&w->lock);
    const char *told = strstr(w->events, "destroyed");
    bool once =
        (!told || !strstr(told + 1, "destroyed")) && !strstr(w->events, reason);
    pthread_mutex_unlock(&w->lock);
    return once;
}

void world_events_clear(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    w->events[0] = 0;
    pthread_mutex_unlock(&w->lock);
}

/* ---- life ---- */

static void settings_apply(struct world *w, const struct option *table,
                           void *target, const struct setting *settings)
{
    for (; settings->name; settings++) {
        char path[512];
        const char *value = settings->value;
        struct err err;
        if (value[0] == '@') {
            snprintf(path, sizeof path, "%s/%s", w->dir, value + 1);
            value = path;
        }
        if (option_set(table, target, settings->name, value, &err) != RC_OK) {
            printf("%s: %s\n", settings->name, err.text);
            abort();
        }
    }
}

struct world *world_new(const struct fixture *fixture)
{
    struct world *w = mem_zero(sizeof *w);
    w->fixture = fixture;
    w->ops = managers_find(fixture->manager);
    if (!w->ops)
        abort();
    w->now = instant_read();
    pthread_mutex_init(&w->lock, NULL);
    log_init(&w->log, "test");
    w->log.sink = world_line;
    w->log.user = w;
    snprintf(w->dir, sizeof w->dir, "%s/world-XXXXXX", unit_tmpdir());
    if (!mkdtemp(w->dir))
        abort();

    option_defaults(manager_option_table, &w->common);
    w->options = mem_zero(w->ops->options_size + 1);
    option_defaults(w->ops->options, w->options);
    if (fixture->store) {
        w->store_options = mem_zero(fixture->store->options_size + 1);
        option_defaults(fixture->store->options, w->store_options);
    }
    if (fixture->previous)
        w->previous = world_new(fixture->previous);
    return w;
}

bool world_set(struct world *w, const char *name, const char *value)
{
    struct err err;
    return option_set(manager_option_table, &w->common, name, value, &err) ==
               RC_OK ||
           option_set(w->ops->options, w->options, name, value, &err) == RC_OK;
}

struct instant world_now(struct world *w, unsigned i)
{
    return w->mesh ? mesh_now(w->mesh, i) : w->now;
}

static struct manager_part world_part(struct world *w,
                                      const struct manager_options *common)
{
    return (struct manager_part){.ops = w->ops,
                                 .common = common,
                                 .options = w->options,
                                 .store_ops = w->fixture->store,
                                 .store_options = w->store_options};
}

static enum rc world_manager(struct world *w, const struct manager_env *env,
                             struct manager **out, struct err *err)
{
    struct manager_part p = world_part(w, &w->common);

    if (!w->previous)
        return manager_new(p.ops, p.common, p.options, p.store_ops,
                           p.store_options, env, out, err);
    if (!w->pair.next.ops) /* a walk would end when it likes */
        w->pair = (struct manager_pair){p, world_part(w->previous, &w->common),
                                        .by_use = true};
    return manager_new(&manager_succession, &w->common, &w->pair, NULL, NULL,
                       env, out, err);
}

static bool has_store(const struct world *w)
{
    return w->fixture->store || (w->previous && w->previous->fixture->store);
}

/* Both managers know each other's era. */
static void world_both_ready(struct world *w, unsigned i)
{
    while (!manager_ready(w->m[i], world_now(w, i))) {
        if (w->mesh)
            mesh_turn(w->mesh);
        sched_yield();
    }
}

enum rc world_start(struct world *w, unsigned i)
{
    struct err err = {""};
    snprintf(w->nodes[i], sizeof w->nodes[i], "node%u", i + 1);
    struct manager_env env = {.log = &w->log,
                              .app = "/test",
                              .node = w->nodes[i],
                              .node_number = id_mint_node(),
                              .work_dir = w->dir};
    if (w->mesh) {
        env.channel = mesh_channel(w->mesh, i);
        env.node_number = env.channel->node;
    }
    if (i == 0)
        env.listeners = (struct session_listeners){
            .user = w,
            .created = event_created,
            .destroyed = event_destroyed,
            .id_changed = event_id_changed,
            .attribute_added = event_added,
            .attribute_replaced = event_replaced,
            .attribute_removed = event_removed,
        };
    enum rc rc = world_manager(w, &env, &w->m[i], &err);
    if (rc == RC_OK)
        rc = manager_start(w->m[i], world_now(w, i), &err);
    if (rc != RC_OK)
        printf("manager %u: %s: %s\n", i, rc_name(rc), err.text);
    /* It takes over what another member has. */
    for (unsigned from = 0; rc == RC_OK && w->mesh && from < w->count; from++)
        if (from != i && mesh_replica(w->mesh, from))
            mesh_compare(w->mesh, i, from, true);
    /* What it does on its own at a start is over before the case begins. */
    while (rc == RC_OK && has_store(w) &&
           !atomic_load(&w->m[i]->secret_known)) {
        manager_tick(w->m[i], w->now);
        sched_yield();
    }
    if (rc == RC_OK && w->previous)
        world_both_ready(w, i);
    return rc;
}

static void world_prepare(struct world *w)
{
    if (w->fixture->store)
        settings_apply(w, w->fixture->store->options, w->store_options,
                       w->fixture->settings);
    if (w->fixture->prepare)
        w->fixture->prepare(w);
    if (w->previous)
        world_prepare(w->previous);
}

enum rc world_open(struct world *w)
{
    enum rc rc = RC_OK;
    w->count = w->fixture->servers;
    if (w->fixture->clustered)
        w->mesh = mesh_new(w->count, &w->now);
    world_prepare(w);
    for (unsigned i = 0; i < w->count && rc == RC_OK; i++)
        rc = world_start(w, i);
    return rc;
}

struct world *world_with(const struct fixture *fixture, const char *name,
                         const char *value)
{
    struct world *w = world_new(fixture);

    if (!world_set(w, name, value) || world_open(w) != RC_OK)
        abort();
    return w;
}

static void stop_within(struct world *w, unsigned i, int ms)
{
    if (!w->m[i])
        return;
    manager_stop(w->m[i], world_now(w, i), ms);
    manager_free(&w->m[i]);
}

void world_stop(struct world *w, unsigned i)
{
    stop_within(w, i, 5000);
}

void world_free(struct world **world)
{
    struct world *w = *world;
    for (unsigned i = 0; i < WORLD_MANAGERS; i++) /* a store may be away */
        stop_within(w, i, has_store(w) ? 200 : 5000);
    if (w->previous)
        world_free(&w->previous);
    mesh_free(&w->mesh);
    option_release(manager_option_table, &w->common);
    option_release(w->ops->options, w->options);
    if (w->fixture->store)
        option_release(w->fixture->store->options, w->store_options);
    free(w->options);
    free(w->store_options);
    memory_rows_free(&w->rows);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *world = NULL;
}

/* What was sent before this moment also arrives before the next one. */
static void world_quiet(struct world *w)
{
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        if (w->m[i] && has_store(w) && !world_stats(w, i).store_available)
            return;
    if (!world_settle(w)) {
        printf("a manager does not come to rest\n");
        abort();
    }
}

void world_stay(struct world *w)
{
    w->stays = true;
}

void world_pass(struct world *w, int64_t ms)
{
    world_quiet(w);
    w->now.mono += ms;
    w->now.wall += ms;
}

void world_tick(struct world *w)
{
    if (w->mesh)
        mesh_settle(w->mesh); /* members compare every few seconds */
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        if (w->m[i])
            manager_tick(w->m[i], world_now(w, i));
}

bool world_settle(struct world *w)
{
    int64_t end = instant_read().mono + 20000;
    for (unsigned i = 0; i < WORLD_MANAGERS; i++)
        while (w->m[i] && world_stats(w, i).unsaved > 0) {
            if (instant_read().mono > end)
                return false;
            sched_yield();
        }
    return true;
}

struct manager_stats world_stats(struct world *w, unsigned i)
{
    struct manager_stats stats;
    memset(&stats, 0, sizeof stats);
    manager_stats(w->m[i % w->count], &stats);
    return stats;
}

struct store *world_store(struct world *w)
{
    struct succession *s = succession_of(w->m[0]);
    if (!w->previous)
        return w->m[0]->store;
    return s->part[NEXT]->store ? s->part[NEXT]->store
                                : s->part[PREVIOUS]->store;
}

uint64_t world_puts(struct world *w, unsigned i)
{
    struct manager_stats stats = world_stats(w, i);
    uint64_t sum = 0;
    for (int kind = 3; kind < 8; kind++)
        sum += stats.store_ops[kind];
    return sum;
}

/* ---- one request ---- */

/* Who pauses goes on while somebody waits for an answer. */
static bool visit_wakes(struct visit *v, int64_t ms)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += ms % 1000 * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return sem_timedwait(&v->gate, &end) == 0;
}

static void visit_wait(struct visit *v)
{
    int64_t end = instant_read().mono + 20000;
    while (instant_read().mono < end) {
        if (!v->mesh && visit_wakes(v, 20000))
            return;
        if (v->mesh && visit_wakes(v, mesh_turn(v->mesh) ? 0 : 1))
            return;
    }
    printf("a completion did not come within 20 s\n");
    abort();
}

static void visit_found(struct find_op *op)
{
    sem_post((sem_t *)((char *)op - offsetof(struct visit, find) +
                       offsetof(struct visit, gate)));
}

static void visit_committed(struct commit_op *op)
{
    sem_post((sem_t *)((char *)op - offsetof(struct visit, commit) +
                       offsetof(struct visit, gate)));
}

static void visit_begin(struct visit *v, struct world *w, unsigned i)
{
    memset(v, 0, sizeof *v);
    v->mesh = w->mesh;
    if (w->fixture->hops && !w->stays)
        i = atomic_fetch_add(&w->hops, 1);
    v->server = i % w->count;
    v->manager = w->m[v->server];
    sem_init(&v->gate, 0, 0);
}

/* Where a read may be as old as lag_ms: what was written by now, and what is on
 * its way, is older than that when this request comes. */
static void world_catch_up(struct world *w)
{
    int64_t now = instant_read().mono, settled = now + 200, end;
    uint64_t puts = 0, flights = 1;

    if (!w->fixture->lag_ms || w->parallel)
        return;
    while (flights && instant_read().mono < settled) {
        flights = 0;
        for (unsigned i = 0; i < w->count; i++)
            flights += w->m[i] ? world_stats(w, i).unsaved : 0;
    }
    for (unsigned i = 0; i < w->count; i++)
        puts += w->m[i] ? world_puts(w, i) : 0;
    end = instant_read().mono + w->fixture->lag_ms;
    while (puts != w->puts_seen && instant_read().mono <= end)
        sched_yield();
    w->puts_seen = puts;
}

static enum rc visit_seek(struct visit *v, struct world *w, unsigned i,
                          const uint8_t id[ID_SIZE], bool read_only)
{
    world_catch_up(w);
    visit_begin(v, w, i);
    v->find.done = visit_found;
    memcpy(v->find.id, id, ID_SIZE);
    v->find.now = world_now(w, v->server);
    v->find.read_only = read_only;
    v->rc = manager_find(v->manager, &v->find);
    if (v->rc == RC_PENDING) {
        visit_wait(v);
        v->rc = v->find.rc;
    }
    v->reason = v->find.reason;
    v->err = v->find.err;
    if (v->rc == RC_OK)
        manager_attach(v->manager, &v->find, &v->s);
    return v->rc;
}

enum rc visit_find(struct visit *v, struct world *w, unsigned i,
                   const uint8_t id[ID_SIZE])
{
    return visit_seek(v, w, i, id, false);
}

enum rc visit_find_to_read(struct visit *v, struct world *w, unsigned i,
                           const uint8_t id[ID_SIZE])
{
    return visit_seek(v, w, i, id, true);
}

enum rc visit_create(struct visit *v, struct world *w, unsigned i)
{
    visit_begin(v, w, i);
    return v->rc = manager_create(v->manager, world_now(w, v->server), NULL,
                                  &v->s, &v->err);
}

enum rc visit_commit(struct visit *v, struct world *w)
{
    memset(&v->commit, 0, sizeof v->commit);
    v->commit.done = visit_committed;
    v->commit.session = &v->s;
    v->commit.now = world_now(w, v->server);
    v->rc = manager_commit(v->manager, &v->commit);
    if (v->rc == RC_PENDING) {
        visit_wait(v);
        v->rc = v->commit.rc;
    }
    v->reason = v->commit.reason;
    v->err = v->commit.err;
    id_format(session_id(&v->s), v->id);
    return v->rc;
}

void visit_end(struct visit *v)
{
    if (v->s.manager)
        session_detach(&v->s);
    sem_destroy(&v->gate);
}

enum rc visit_set(struct visit *v, const char *name, const char *text)
{
    struct value value = {
        .type = VALUE_STRING, .data = text, .len = strlen(text)};
    return session_set(&v->s, name, &value, &v->err);
}

enum rc visit_add(struct visit *v, const char *name, int64_t amount)
{
    return session_add(&v->s, name, amount, NULL, &v->err);
}

const char *visit_get(const struct visit *v, const char *name)
{
    struct value value = session_get(&v->s, name);
    return value.type == VALUE_STRING ? value.data : "";
}

int64_t visit_count(const struct visit *v, const char *name)
{
    struct value value = session_get(&v->s, name);
    return value.type == VALUE_COUNTER ? value.number : 0;
}

/* ---- whole requests ---- */

enum rc world_create(struct world *w, unsigned i, uint8_t id[ID_SIZE])
{
    struct visit v;
    enum rc rc = visit_create(&v, w, i);
    if (rc == RC_OK) {
        rc = visit_commit(&v, w);
        memcpy(id, session_id(&v.s), ID_SIZE);
    }
    visit_end(&v);
    return rc;
}

enum rc world_put(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                  const char *name, const char *text)
{
    struct visit v;
    enum rc rc = visit_find(&v, w, i, id);
    if (rc == RC_OK)
        rc = visit_set(&v, name, text);
    if (rc == RC_OK)
        rc = visit_commit(&v, w);
    visit_end(&v);
    return rc;
}

enum rc world_hit(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                  const char *name)
{
    struct visit v;
    enum rc rc = visit_find(&v, w, i, id);
    if (rc == RC_OK)
        rc = visit_add(&v, name, 1);
    if (rc == RC_OK)
        rc = visit_commit(&v, w);
    visit_end(&v);
    return rc;
}

enum rc world_end(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                  enum reason reason)
{
    struct visit v;
    enum rc rc = visit_find(&v, w, i, id);
    if (rc == RC_OK)
        rc = session_invalidate(&v.s, reason, &v.err);
    if (rc == RC_OK)
        rc = visit_commit(&v, w);
    visit_end(&v);
    return rc;
}

enum rc world_login(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                    const char *user, uint8_t new_id[ID_SIZE])
{
    struct visit v;
    enum rc rc = visit_find(&v, w, i, id);
    if (rc == RC_OK)
        rc = session_login(&v.s, user, &v.err);
    if (rc == RC_OK)
        rc = visit_commit(&v, w);
    if (rc == RC_OK)
        memcpy(new_id, session_id(&v.s), ID_SIZE);
    visit_end(&v);
    return rc;
}

enum rc world_login_fresh(struct world *w, unsigned i, const char *user,
                          uint8_t id[ID_SIZE])
{
    uint8_t guest[ID_SIZE];
    enum rc rc = world_create(w, i, guest);
    memset(id, 0, ID_SIZE);
    world_pass(w, 1000);
    return rc == RC_OK ? world_login(w, i, guest, user, id) : rc;
}

enum rc world_look(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                   enum reason *reason)
{
    struct visit v;
    enum rc rc = visit_find_to_read(&v, w, i, id);
    if (reason)
        *reason = rc == RC_OK ? REASON_NONE : v.reason;
    visit_end(&v);
    return rc;
}

enum reason world_reason(struct world *w, unsigned i, const uint8_t id[ID_SIZE])
{
    enum reason reason = REASON_NONE;
    world_look(w, i, id, &reason);
    return reason;
}

bool world_lives(struct world *w, const uint8_t id[ID_SIZE])
{
    bool lives = true;
    for (unsigned i = 0; i < w->count; i++)
        lives = world_look(w, i, id, NULL) == RC_OK && lives;
    return lives;
}

bool world_holds(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                 const char *name, const char *text)
{
    struct visit v;
    bool holds = visit_find_to_read(&v, w, i, id) == RC_OK &&
                 strcmp(visit_get(&v, name), text) == 0;
    visit_end(&v);
    return holds;
}

int64_t world_count(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                    const char *name)
{
    struct visit v;
    int64_t count =
        visit_find_to_read(&v, w, i, id) == RC_OK ? visit_count(&v, name) : -1;
    visit_end(&v);
    return count;
}

/* ---- many at once ---- */

struct work {
    struct worker worker;
    worker_fn *run;
    pthread_t thread;
};

static void *work_run(void *argument)
{
    struct work *work = argument;
    work->run(&work->worker);
    return NULL;
}

void world_parallel(struct world *w, unsigned count, worker_fn *run,
                    const void *with, struct worker *sum)
{
    struct work work[16];
    memset(sum, 0, sizeof *sum);
    w->parallel = true;
    for (unsigned i = 0; i < count; i++) {
        work[i] = (struct work){.worker = {.w = w, .number = i, .with = with},
                                .run = run};
        if (pthread_create(&work[i].thread, NULL, work_run, &work[i]))
            abort();
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(work[i].thread, NULL);
        for (int rc = 0; rc < 16; rc++)
            sum->answers[rc] += work[i].worker.answers[rc];
    }
    w->parallel = false;
}

void statement_run(const struct fixture *fixture,
                   const struct setting *settings, statement_fn *run)
{
    if (fixture->is_there && !fixture->is_there())
        return;
    /* On the heap: a fatal assertion leaves it, and its threads, behind. */
    struct world *w = world_new(fixture);
    for (; settings && settings->name; settings++)
        CU_ASSERT_FATAL(world_set(w, settings->name, settings->value));
    CHECK_INT_FATAL(world_open(w), RC_OK);
    run(w);
    world_free(&w);
}
