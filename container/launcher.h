/* SPDX-License-Identifier: Apache-2.0
 *
 * launcher.h: several instances as children of one process.
 *
 * What    `margay cluster`: starts `margay run` N times, each with its own port
 *         and node, passes their output on line by line behind their names
 *         (coloured on a terminal), says where they answer once all are ready,
 *         and ends them. A child that ends by itself is told of; the others go
 *         on. It starts nothing anew.
 * Stop    SIGTERM, SIGINT or SIGHUP: SIGTERM to every child in the order of
 *         their names; a second one is handed on (it skips their drain), a
 *         third kills. A child gets SIGTERM also when this process dies.
 * Owns    Its children and their pipes, until launcher_run returns.
 * Threads It must be the only thread. */
#ifndef MARGAY_CONTAINER_LAUNCHER_H
#define MARGAY_CONTAINER_LAUNCHER_H

#include <stddef.h>

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
};

/* The exit status: 0, when it was told to stop and every instance ended in
 * order; else 1. */
int launcher_run(const struct launcher_options *options);

#endif
