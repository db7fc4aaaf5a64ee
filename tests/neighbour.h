/* SPDX-License-Identifier: Apache-2.0
 *
 * neighbour.h: servers of others that a test starts on loopback.
 *
 * What    What redis_server.c and memcached_server.c do alike: a port, a
 *         connection, the child between fork and exec, and its end.
 * Threads Any. */
#ifndef MARGAY_TESTS_NEIGHBOUR_H
#define MARGAY_TESTS_NEIGHBOUR_H

#include <stdbool.h>
#include <sys/types.h>

/* One that was free a moment ago. */
int neighbour_port(void);
/* Listens there, and says nothing to whoever connects. */
int neighbour_listen(int *port);
/* A socket whose reads and writes end after two seconds; -1: nobody listens. */
int neighbour_connect(int port);
/* In the child: it dies with its parent, gets all signals, and what it prints
 * is appended to that file. */
void neighbour_begin(pid_t parent, const char *log);
/* Within 20 s. False: it has ended (then *pid is 0), or says nothing. */
bool neighbour_is_up(pid_t *pid, bool (*answers)(void *server), void *server);
/* -9, unless *pid is 0, which it is then. */
void neighbour_kill(pid_t *pid);

#endif
