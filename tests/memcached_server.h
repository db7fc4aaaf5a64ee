/* SPDX-License-Identifier: Apache-2.0
 *
 * memcached_server.h: real Memcached servers, for tests.
 *
 * What    memcached_start starts memcached on a loopback port that nobody has,
 *         and waits until it answers. A group is three of them.
 * Owns    They live until memcached_stop_all or the end of the program,
 *         whichever comes first, and die with it if it is killed.
 * Waits   Each has a deadline; what does not come up within 20 s aborts.
 * Threads The thread that started them. */
#ifndef MARGAY_TESTS_MEMCACHED_SERVER_H
#define MARGAY_TESTS_MEMCACHED_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct memcached_server {
    pid_t pid; /* 0: does not run */
    int port;
    char options[128];
};

/* Is there a memcached on this machine, and a store for it? Else the case is
 * skipped. */
bool memcached_is_there(void);
/* options: of its command line, parted by blanks; NULL: none. */
struct memcached_server *memcached_start(const char *options);
/* Again on the port that it had, when it does not run. */
void memcached_restart(struct memcached_server *m);
void memcached_kill(struct memcached_server *m); /* -9 */
void memcached_signal(struct memcached_server *m, int signal);
void memcached_stop_all(void);
/* One command, and the lines that it answers up to the one that ends it. "": no
 * answer. */
const char *memcached_do(struct memcached_server *m, char *out, size_t size,
                         const char *command, ...)
    __attribute__((format(printf, 4, 5)));
/* A number of `stats`; -1: none. */
long long memcached_stat_of(struct memcached_server *m, const char *name);

struct memcached_group {
    struct memcached_server *servers[3];
    char url[320]; /* memcached://... */
};
/* options: of each. Freed by memcached_stop_all. */
struct memcached_group *memcached_group_start(const char *options);
/* Empties all. */
void memcached_group_flush(struct memcached_group *g);
/* The sum of what `stats` says on all that run. */
long long memcached_group_stat(struct memcached_group *g, const char *name);

#endif
