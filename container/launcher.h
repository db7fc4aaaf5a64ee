/* SPDX-License-Identifier: Apache-2.0
 *
 * launcher.h: several instances as children of one process.
 *
 * What    `margay cluster`: starts `margay run` N times, each with its own port
 *         and node, passes their output on line by line behind their names,
 *         says where they answer once all are ready, and looks after them.
 * Start   All or nothing: when one of them ends before all were ready once, the
 *         others are ended.
 * Crash   An instance that ends by itself is started anew, at once nearly (a
 *         quarter of a second) and later and later when it ends again and
 *         again, up to 30 s. One that has been ready for 30 s starts as at
 *         first.
 * Roll    SIGHUP: one instance after another is ended in order (SIGTERM: it
 *         drains and hands its sessions over), started from the program and
 *         the configuration as they are now, and waited for; only when all
 *         others are ready is the next one taken. Before that the
 *         configuration is checked by `margay check`; nothing is touched when
 *         it is refused, or does not end within the time that an instance has
 *         for its end. What it says of that time holds for those that are
 *         started from then on. An instance that comes back, but ends before
 *         it is ready, stops the roll: the others go on as they were. Another
 *         SIGHUP meanwhile rolls once more.
 * Front   Where there is a balancer, it starts once all instances are ready and
 *         ends after them. An instance that goes away or crashes is taken out
 *         of nginx's file (where that cannot be written, it is tried again
 *         each second); while they roll the next one waits until the
 *         balancer knows of the one that came back.
 * Stop    What they say is passed on to the last line. Not waited for is who
 *         only keeps an output of one that has ended open.
 *         SIGTERM or SIGINT, or SIGHUP because the terminal has gone (not
 *         where SIGHUP was ignored at the start: nohup): SIGTERM to every child
 *         in the order of their names; a second one is handed on (it skips
 *         their drain), a third kills. A child gets SIGTERM also when this
 *         process dies.
 * Owns    Its children and their pipes, until launcher_run returns.
 * Threads It must be the only thread. */
#ifndef MARGAY_CONTAINER_LAUNCHER_H
#define MARGAY_CONTAINER_LAUNCHER_H

#include <stddef.h>

struct front;

#define LAUNCHER_MAX 64 /* instances */

struct launcher_options {
    const char *executable;         /* this program */
    const char *file;               /* server.xml */
    const char *const *definitions; /* NAME=VALUE for every instance */
    size_t definition_count;
    unsigned count;      /* 1..LAUNCHER_MAX */
    unsigned first_port; /* first_port + count <= 65536 */
    /* Of the cluster; each gets one. 0: the instances share no cluster. */
    unsigned first_member_port;
    /* "127.0.0.1" (with brackets for IPv6): each gets the list of all of them
     * as cluster.members. NULL: the members are known otherwise. */
    const char *member_address;
    /* Milliseconds after which one that was told to end is killed, until a roll
     * reads it anew. */
    long patience_ms;
    struct front *front; /* the balancer; NULL: none. Borrowed */
};

/* Above what an instance takes to end by its own rules. */
#define LAUNCHER_GRACE_MS 5000L

/* The exit status: 0, when it was told to stop and every instance ended in
 * order; else 1. */
int launcher_run(const struct launcher_options *options);

#endif
