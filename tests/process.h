/* SPDX-License-Identifier: Apache-2.0
 *
 * process.h: real servers, for tests over HTTP.
 *
 * What    Starts `margay run` from the staged installation ($MARGAY_STAGE), on
 *         ports of the system's choice, waits for the ready line, keeps what
 *         they say, stops them. A fleet is one to eight instances that keep
 *         their sessions in one place.
 * Owns    fleet_end, to be given as `after` to UNIT_MAIN_AROUND, stops whatever
 *         still runs after a case (exit status 0, and no sanitizer complained,
 *         or the case fails), and shows what the servers said if it failed. A
 * test that dies takes its servers along. Waits   Each has a deadline and ends
 * as soon as its condition holds. Threads The thread that runs the case. */
#ifndef MARGAY_TESTS_PROCESS_H
#define MARGAY_TESTS_PROCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#define FLEET_MAX 8

struct server {
    pid_t pid; /* 0: does not run */
    int pidfd;
    int status; /* of waitpid, when it has run */
    int port;
    char node[16];
    char url[64]; /* "http://127.0.0.1:PORT" */
    int output;   /* the pipe of its standard error */
    pthread_t reader;
    pthread_mutex_t lock; /* log, log_len, is_over */
    pthread_cond_t said;
    char *log;
    size_t log_len;
    bool is_over; /* the pipe has ended */
};

struct fleet {
    char conf[320];       /* "sqlite.xml", or a file of its own */
    char dir[256];        /* of this fleet: database, logs */
    char folder[64];      /* of the file store; "": in dir */
    char define[16][320]; /* NAME=VALUE for every instance */
    unsigned defines;
    unsigned count;
    unsigned planned;             /* of fleet_start */
    const char *stage[FLEET_MAX]; /* whose binary it runs; NULL: stage_dir */
    int member_port[FLEET_MAX];   /* of the cluster; 0: the file has none */
    int relay_port[FLEET_MAX];    /* where the others reach it; 0: there */
    struct server servers[FLEET_MAX];
    struct server launcher; /* of fleet_launch */
};

/* A fleet of `conf` that is not started; its properties so far are port, node,
 * store.path and login.anyone=true. Lives until the case ends. NULL: there is
 * no server to test; the case is skipped. */
struct fleet *fleet_new(const char *conf);
/* Sets a property, or replaces it. */
void fleet_define(struct fleet *f, const char *name, const char *value);
/* Goes on with a copy of the configuration in which `from` (it stands there)
 * was replaced by `to`. */
bool fleet_edit(struct fleet *f, const char *from, const char *to);
/* Starts `count` instances; false when one is not ready within 20 s. */
bool fleet_start(struct fleet *f, unsigned count);
/* The same with fleet_new before it; NULL as there, or when it failed (the
 * case has then failed too). */
struct fleet *fleet_run(const char *conf, unsigned count);
/* Starts them as children of one `margay cluster`, f->launcher, instead; they
 * have a url, and no pid. `more`: its further arguments up to a NULL. */
bool fleet_launch(struct fleet *f, unsigned count, const char *const *more);
/* A port that nobody has now, and that no client will be given. */
int fleet_free_port(void);
/* The process of instance i now, a child of the launcher; 0: it has none. */
pid_t fleet_child(const struct fleet *f, unsigned i);
/* The i-th instance, counted round. */
struct server *fleet_server(struct fleet *f, unsigned i);
/* Instance i anew, on the port that it had. */
bool fleet_restart(struct fleet *f, unsigned i);
/* The installation that is tested. */
const char *stage_dir(void);
/* The file of the SQLite store. */
const char *fleet_database(const struct fleet *f, char out[320]);
void fleet_end(void);

/* The case NAME_on_WHERE: run(fleet) on a fleet of conf. */
#define FLEET_CASE(name, where, conf, count)                                   \
    static void name##_on_##where(void)                                        \
    {                                                                          \
        struct fleet *fleet = fleet_run(conf, count);                          \
        if (fleet)                                                             \
            name(fleet);                                                       \
    }
/* On three instances over SQLite, Redis and Memcached, on three that replicate
 * to each other, on five where two of them hold a session, and on one that
 * keeps sessions itself. */
#define FLEET_CASES(name)                                                      \
    FLEET_CASE(name, sqlite, "sqlite.xml", 3)                                  \
    FLEET_CASE(name, redis, "redis.xml", 3)                                    \
    FLEET_CASE(name, memcached, "memcached.xml", 3)                            \
    FLEET_CASE(name, file, "file.xml", 3)                                      \
    FLEET_CASE(name, delta, "delta.xml", 3)                                    \
    FLEET_CASE(name, backup, "backup.xml", 5)                                  \
    FLEET_CASE(name, standard, "standard.xml", 1)
#define FLEET_ENTRIES(name)                                                    \
    CASE(name##_on_file), CASE(name##_on_sqlite), CASE(name##_on_redis),       \
        CASE(name##_on_memcached), CASE(name##_on_delta),                      \
        CASE(name##_on_backup), CASE(name##_on_standard)

void server_kill(struct server *s); /* -9 */
void server_signal(struct server *s, int signal);
/* Its exit status, or -1: ended by a signal, or not within ms (then killed). */
int server_wait(struct server *s, int ms);
/* SIGTERM and server_wait. */
int server_stop(struct server *s);
bool server_runs(const struct server *s);
/* Has it said this (or does it within ms)? */
bool server_said(struct server *s, const char *text, int ms);
/* How many lines of its log contain text. */
unsigned server_said_times(struct server *s, const char *text);

/* Calls `holds` over and over, at most ms (times slowness), until it is true.
 */
bool eventually(int ms, bool (*holds)(void *user), void *user);
/* Milliseconds, monotonic. */
long long clock_ms(void);
/* $NAME as a number, or `otherwise`. */
int setting_number(const char *name, int otherwise);
/* How many times slower things may be: $MARGAY_TEST_SLOWNESS, else 1. */
int slowness(void);

#endif
