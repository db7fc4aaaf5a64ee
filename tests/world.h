/* SPDX-License-Identifier: Apache-2.0
 *
 * world.h: several managers over one store, for the conformance suite.
 *
 * What    A fixture names a manager and a store with their options; a world is
 *         up to five managers of that fixture, playing as many servers. A
 *         statement of docs/promises.md is a function over a world, and
 *         STATEMENT_ON makes it a case of its own for each fixture. Managers
 *         are counted round: where a fixture has one, 0, 1 and 2 are the same,
 *         so a statement is written for several servers and holds for one.
 * Time    The world has one clock, which stands still until world_pass, and
 *         passes only when what was under way has arrived.
 * Owns    The world owns managers, options and directories; a visit is one
 *         request and ends with visit_end.
 * Threads Helpers that take a world number may run in any thread, but CUnit's
 *         assertions only in the one that runs the case; so helpers answer and
 *         do not assert. A completion that does not come within 20 s is a bug
 *         and aborts. */
#ifndef MARGAY_TESTS_WORLD_H
#define MARGAY_TESTS_WORLD_H

#include "managers/stores/memcached.h"
#include "managers/stores/stores.h"
#include "session/manager.h"
#include "tests/mesh.h"
#include "tests/unit.h"

#include <pthread.h>
#include <semaphore.h>

#define WORLD_MANAGERS 5

struct setting {
    const char *name, *value; /* "@x": the file x in the world's directory */
};

struct world;
struct fixture {
    const char *name, *manager;    /* className */
    const struct store_ops *store; /* NULL: a manager without one */
    struct setting settings[2];    /* of the store */
    unsigned servers;              /* managers that see one another */
    bool clustered;                /* they are members of a mesh */
    bool (*is_there)(void);        /* what it takes; else it skips the case */
    bool expires_itself; /* the store, by the time that really passes */
    int lag_ms; /* a read may be as old as that: requests come later, unless
                   they are to meet others */
    bool hops;  /* whichever a statement names: each request at the next one */
    /* A rolling change: the manager from which these servers come. */
    const struct fixture *previous;
    /* Fills in what no attribute can say. NULL: nothing. */
    void (*prepare)(struct world *w);
};

struct world {
    const struct fixture *fixture;
    const struct manager_ops *ops;
    struct manager_options common; /* as world_open found them, for restarts */
    void *options, *store_options;
    struct manager_pair pair;     /* with fixture.previous: what these are of */
    struct world *previous;       /* its options; never open */
    struct memory_rows *rows;     /* of memory stores */
    struct memory_options memory; /* what a failing store wraps */
    struct file_options file;     /* the same in a folder */
    char folder[300];
    struct redis_options redis;         /* the same in Redis */
    struct memc_part_options memcached; /* the same in one Memcached */
    char url[320];
    struct failing_faults faults;
    struct mesh *mesh; /* NULL: no cluster */
    struct manager *m[WORLD_MANAGERS];
    unsigned count;
    bool stays; /* see world_stay */
    _Atomic unsigned hops;
    uint64_t puts_seen; /* of all servers, at the last request */
    bool parallel;      /* requests are to meet others */
    char nodes[WORLD_MANAGERS][8];
    struct log log;
    struct instant now;
    char dir[256];
    pthread_mutex_t lock; /* events, lines */
    char events[4096];    /* of m[0]'s listeners: "created added:k ..." */
    char lines[16384];    /* what was logged */
};

/* A world that is not open yet: world_set what differs, then open. */
struct world *world_new(const struct fixture *fixture);
/* Opens the fixture's managers. RC_OK or what refused, its text printed. */
enum rc world_open(struct world *w);
/* Both, with one attribute of the manager set. Aborts when that fails. */
struct world *world_with(const struct fixture *fixture, const char *name,
                         const char *value);
/* Stops and frees manager i; world_start makes it anew: another start of that
 * node over the same store. */
void world_stop(struct world *w, unsigned i);
enum rc world_start(struct world *w, unsigned i);
void world_free(struct world **w);
/* Sets an attribute of the manager before world_open. False: no such one. */
bool world_set(struct world *w, const char *name, const char *value);

/* A statement about certain servers: its requests go where it says, from here
 * on, also with a fixture that hops. */
void world_stay(struct world *w);
/* The time at server i, whose clocks may be wrong. */
struct instant world_now(struct world *w, unsigned i);
void world_pass(struct world *w, int64_t ms);
void world_tick(struct world *w);
/* Until nothing waits to be saved any more (touches travel late); false after
 * 20 s. */
bool world_settle(struct world *w);
struct manager_stats world_stats(struct world *w, unsigned i);
/* That of server 0; NULL: it has none. */
struct store *world_store(struct world *w);
/* Puts that a store has seen, whatever they were answered. */
uint64_t world_puts(struct world *w, unsigned i);
bool world_logged(struct world *w, const char *text);
void world_events_clear(struct world *w);
/* At most one `destroyed` was told, and none for that reason. */
bool world_told_once(struct world *w, const char *reason);

struct visit {
    struct manager *manager;
    struct mesh *mesh;
    struct session s;
    struct find_op find;
    struct commit_op commit;
    unsigned server;
    sem_t gate;
    enum rc rc;         /* the last answer */
    enum reason reason; /* with ABSENT and ENDED */
    struct err err;
    char id[ID_TEXT_SIZE]; /* kept by visit_commit: what the cookie would say */
};

/* The three ways a request goes; each waits for its answer. */
enum rc visit_find(struct visit *v, struct world *w, unsigned i,
                   const uint8_t id[ID_SIZE]);
enum rc visit_find_to_read(struct visit *v, struct world *w, unsigned i,
                           const uint8_t id[ID_SIZE]);
enum rc visit_create(struct visit *v, struct world *w, unsigned i);
enum rc visit_commit(struct visit *v, struct world *w);
void visit_end(struct visit *v);

enum rc visit_set(struct visit *v, const char *name, const char *text);
enum rc visit_add(struct visit *v, const char *name, int64_t amount);
/* The text of an attribute, "" when absent. Valid until visit_end. */
const char *visit_get(const struct visit *v, const char *name);
int64_t visit_count(const struct visit *v, const char *name);

/* Whole requests at manager i; the answer is find's unless that was OK. */
enum rc world_create(struct world *w, unsigned i, uint8_t id[ID_SIZE]);
enum rc world_put(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                  const char *name, const char *text);
enum rc world_hit(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                  const char *name);
enum rc world_end(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                  enum reason reason);
/* new_id gets the id to go on with. */
enum rc world_login(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                    const char *user, uint8_t new_id[ID_SIZE]);
/* The same by somebody who had no session, a second later. */
enum rc world_login_fresh(struct world *w, unsigned i, const char *user,
                          uint8_t id[ID_SIZE]);
/* Is it there? *reason (may be NULL) when not. */
enum rc world_look(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                   enum reason *reason);
/* Why there is none; REASON_NONE: there is one, or it is not known. */
enum reason world_reason(struct world *w, unsigned i,
                         const uint8_t id[ID_SIZE]);
/* Does every manager find it? */
bool world_lives(struct world *w, const uint8_t id[ID_SIZE]);
bool world_holds(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                 const char *name, const char *text);
/* The counter, or -1 when the session cannot be had. */
int64_t world_count(struct world *w, unsigned i, const uint8_t id[ID_SIZE],
                    const char *name);

struct worker {
    struct world *w;
    unsigned number;
    const void *with;     /* what the case hands to all */
    unsigned answers[16]; /* how often which enum rc */
};
typedef void worker_fn(struct worker *worker);
/* Runs `count` workers at once (at most 16), waits, adds up answers in sum. */
void world_parallel(struct world *w, unsigned count, worker_fn *run,
                    const void *with, struct worker *sum);

typedef void statement_fn(struct world *w);
/* An open world around a statement. settings: of the manager, ends with a
 * NULL name; may be NULL. */
void statement_run(const struct fixture *fixture,
                   const struct setting *settings, statement_fn *run);

extern const struct fixture fixture_standard, fixture_memory, fixture_queued,
    fixture_sqlite, fixture_traced, fixture_delta, fixture_redis,
    fixture_sentinel, fixture_memcached, fixture_backup, fixture_backup5;
/* Between two of them: SQLite, then DeltaManager; DeltaManager, then Redis;
 * a store, then BackupManager. */
extern const struct fixture fixture_to_delta, fixture_to_redis,
    fixture_to_backup;
/* Redis with validate="tracking". */
extern const struct fixture fixture_tracking;
extern const struct fixture fixture_file;
/* Memory behind w->faults, for statements about bad weather. */
extern const struct fixture fixture_failing, fixture_failing_queued;
/* The same with files. */
extern const struct fixture fixture_failing_file;
/* The same with Redis, and with Memcached. */
extern const struct fixture fixture_failing_redis, fixture_failing_memcached;
/* Files in w->folder. */
void world_take_folder(struct world *w);

/* The case NAME_on_FIXTURE. */
#define STATEMENT_ON(name, settings, fixture)                                  \
    static void name##_on_##fixture(void)                                      \
    {                                                                          \
        statement_run(&fixture_##fixture, settings, name);                     \
    }
/* The statement on every manager with every store, and the list of cases. */
#define STATEMENT_ON_ALL(name, settings)                                       \
    STATEMENT_ON(name, settings, standard)                                     \
    STATEMENT_ON(name, settings, memory)                                       \
    STATEMENT_ON(name, settings, queued)                                       \
    STATEMENT_ON(name, settings, sqlite)                                       \
    STATEMENT_ON(name, settings, file)                                         \
    STATEMENT_ON(name, settings, traced)                                       \
    STATEMENT_ON(name, settings, redis)                                        \
    STATEMENT_ON(name, settings, tracking)                                     \
    STATEMENT_ON(name, settings, sentinel)                                     \
    STATEMENT_ON(name, settings, memcached)                                    \
    STATEMENT_ON(name, settings, delta)                                        \
    STATEMENT_ON(name, settings, backup)                                       \
    STATEMENT_ON(name, settings, backup5)                                      \
    STATEMENT_ON(name, settings, to_delta)                                     \
    STATEMENT_ON(name, settings, to_redis)                                     \
    STATEMENT_ON(name, settings, to_backup)
#define STATEMENT_CASES(name, settings)                                        \
    CASE(name##_on_file), CASE(name##_on_tracking), CASE(name##_on_memcached), \
        CASE(name##_on_to_delta), CASE(name##_on_to_redis),                    \
        CASE(name##_on_to_backup), CASE(name##_on_standard),                   \
        CASE(name##_on_memory), CASE(name##_on_queued),                        \
        CASE(name##_on_sqlite), CASE(name##_on_traced), CASE(name##_on_redis), \
        CASE(name##_on_sentinel), CASE(name##_on_delta),                       \
        CASE(name##_on_backup), CASE(name##_on_backup5),

#endif
