/* SPDX-License-Identifier: Apache-2.0
 *
 * redis_server.h: real Redis servers and sentinels, for tests.
 *
 * What    redis_start starts redis-server on a loopback port that nobody has,
 *         without a disk, and waits until it answers. A group is a master, two
 *         replicas and three sentinels that agree who is who. redis_do asks a
 *         server as redis-cli would.
 * Owns    They live until redis_stop_all or the end of the program, whichever
 *         comes first, and die with it if it is killed.
 * Waits   Each has a deadline; what does not come up within 20 s aborts.
 * Threads The thread that started them. */
#ifndef MARGAY_TESTS_REDIS_SERVER_H
#define MARGAY_TESTS_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: does not run */
    int port;
    bool is_sentinel;
    char conf[320];    /* its configuration file */
    char dir[256];     /* where it runs */
    char password[64]; /* of redis_do */
};

/* Is there a redis-server on this machine? Else the case is skipped. */
bool redis_is_there(void);
/* settings: lines of redis.conf, or NULL. */
struct redis_server *redis_start(const char *settings);
/* Again on the port that it had, when it does not run. */
void redis_restart(struct redis_server *r);
void redis_kill(struct redis_server *r); /* -9 */
void redis_signal(struct redis_server *r, int signal);
void redis_stop_all(void);
/* One command, its words parted by blanks; the reply as text, cut: "OK", "42",
 * "(nil)", an error's own text, elements parted by blanks. "": no answer. */
const char *redis_do(struct redis_server *r, char *out, size_t size,
                     const char *command, ...)
    __attribute__((format(printf, 4, 5)));
/* The same without waiting for what it says. */
void redis_post(struct redis_server *r, const char *command);
/* "redis://127.0.0.1:PORT/0", with the password if it has one. */
const char *redis_address(const struct redis_server *r, char out[320]);

struct redis_group {
    struct redis_server *servers[3]; /* the first began as the master */
    struct redis_server *sentinels[3];
    char url[320]; /* redis-sentinel://... */
};

/* down_ms: after so long a silent master is replaced. */
struct redis_group *redis_group_start(int down_ms);
/* Who is the master by the word of all sentinels that answer; NULL: they do
 * not agree, or it has not two replicas ("settled" false: does not matter). */
struct redis_server *redis_group_master(struct redis_group *g, bool settled);

#endif
