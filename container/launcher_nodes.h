/* SPDX-License-Identifier: Apache-2.0
 *
 * launcher_nodes.h: the launcher's own. For launcher*.c only. */
#ifndef MARGAY_CONTAINER_LAUNCHER_NODES_H
#define MARGAY_CONTAINER_LAUNCHER_NODES_H

#include "container/child.h"
#include "container/launcher.h"

#include <stdint.h>

enum node_state {
    NODE_DOWN, /* starts at `due` */
    NODE_STARTING,
    NODE_READY,
    NODE_LEAVING /* was told to end; is killed at `due` */
};

/* An instance, or the balancer. Times are monotonic milliseconds. */
struct node {
    struct child child;
    enum node_state state;
    int64_t due, ready_at;
    long patience_ms; /* for its end: by the configuration that it has */
    unsigned ends;    /* by itself, one after another */
    char url[160];
};

struct launcher {
    const struct launcher_options *options;
    struct node *nodes;
    struct node door;     /* the balancer, where there is one */
    struct child checker; /* margay check, before a roll */
    sigset_t mask;        /* of the children */
    int signals;          /* signalfd */
    unsigned stops;
    long patience_ms; /* of those that are started now */
    long heard_ms;    /* the same as the check says it; 0: it has not */
    bool has_terminal;
    bool outlives; /* the terminal: SIGHUP was ignored at the start */
    bool announced, failed;

    bool rolls, roll_again;
    unsigned rolled; /* nodes before this one are done */
    int64_t roll_began, told_at;
    int64_t check_due; /* then the check is killed */
    bool check_late;
    int64_t rewrite_at; /* the balancer's file, where that failed; 0: it is
                           written */
    int64_t settled_at; /* the balancer knows of all that came back */
};

/* launcher.c */
int64_t launcher_clock(void);
bool launcher_start(struct launcher *l, struct child *c, const char *verb,
                    unsigned index);
/* SIGTERM, and the balancer passes it over. */
void launcher_leave(struct launcher *l, struct node *n);
/* "was ended by signal 9"; returns out. */
const char *launcher_end_of(int status, char out[64]);

/* launcher_roll.c: one after another. */
void roll_begin(struct launcher *l);
/* A line of the check's output. */
void roll_heard(struct launcher *l, const char *line);
/* What the check said: its exit status. */
void roll_checked(struct launcher *l, int status);
/* That one ended before it was ready. */
void roll_failed(struct launcher *l, const struct node *n);
/* Takes the next one, if it is time. When to be called again, at the latest;
 * INT64_MAX: nothing rolls. */
int64_t roll_on(struct launcher *l, int64_t now);

#endif
