/* SPDX-License-Identifier: Apache-2.0
 *
 * front.h: a real balancer before a fleet.
 *
 * What    Runs what `margay balancer` prints for the instances of a fleet, on a
 *         loopback port that is held for it (bound, not listened at) from the
 *         choice on, so that nobody else gets it. front->server is where
 *         browsers ask.
 * Owns    front_end stops what still runs, by its process id; what it said
 *         stands in front->log, a file. A test that dies takes it along.
 * Waits   Each has a deadline.
 * Threads The thread that runs the case. */
#ifndef MARGAY_TESTS_FRONT_H
#define MARGAY_TESTS_FRONT_H

#include "tests/process.h"

struct front {
    const char *kind; /* "haproxy", "nginx", "httpd" */
    pid_t pid;
    int hold; /* the socket that keeps the port */
    struct server server;
    char dir[256], conf[320], log[320];
};

/* The program, and NULL when it is not there: the case is skipped. */
const char *front_program(const char *kind);
/* sticky: "route" or "cookie". False: it did not come up; the log is printed.
 */
bool front_start(struct front *f, const char *kind, const char *sticky,
                 struct fleet *fleet);
/* Replaces `from` in its configuration, which stands there, and makes it read
 * that anew. For nginx. */
bool front_edit(struct front *f, const char *from, const char *to);
void front_end(struct front *f);

/* Runs a program with its output in a file; its exit status, -1: a signal, or
 * longer than ms. */
int front_run(char *const arguments[], const char *output, int ms);

#endif
