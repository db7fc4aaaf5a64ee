/* SPDX-License-Identifier: Apache-2.0
 *
 * cmdline.h: what stands on the command line, and where things are.
 *
 * What    margay run|cluster|check|balancer|sessions with their options,
 *         --version and --help. Files are looked for beside the executable
 *         (../etc/margay, ../share/margay), so that an installation can be
 *         moved, and then where it was configured to be.
 *         The state folder is $STATE_DIRECTORY (systemd), $XDG_STATE_HOME/
 *         margay, ~/.local/state/margay or /var/lib/margay, the first that
 *         the environment knows; nothing is made here.
 * Owns    command_release frees what command_read made, also after a failure.
 * Errors  Said on standard error; the answer is the exit status.
 * Threads It must be the only thread (getopt). */
#ifndef MARGAY_CONTAINER_CMDLINE_H
#define MARGAY_CONTAINER_CMDLINE_H

#include "container/balancer.h"

#include <limits.h>
#include <stdint.h>

struct properties;

enum status { STATUS_OK = 0, STATUS_REFUSED = 1, STATUS_USAGE = 2 };

enum command_verb {
    COMMAND_NONE, /* it has been done: --help, --version */
    COMMAND_RUN,
    COMMAND_CHECK,
    COMMAND_CLUSTER,
    COMMAND_BALANCER,
    COMMAND_SESSIONS
};

struct command {
    enum command_verb verb;
    char *file;           /* server.xml */
    unsigned count, port; /* -n, -p */
    struct {              /* of COMMAND_BALANCER, and of COMMAND_CLUSTER ... */
        bool runs;        /* ... which runs one */
        enum balancer_kind kind;
        enum balancer_sticky sticky;
        const char *listen;
        char **files; /* -c; none: count instances from port on */
        unsigned file_count;
        bool counts; /* -n or -p was given */
    } balance;
    struct { /* of COMMAND_SESSIONS */
        bool imports;
        const char *context; /* --context; NULL: not said */
        const char *file;    /* "-": standard input or output */
    } sessions;
    struct properties *properties; /* -D */
    char executable[PATH_MAX];
    char conf[PATH_MAX];    /* the folder of the shipped files */
    char webapps[PATH_MAX]; /* the installed applications */
    char state[PATH_MAX];   /* where files are written */
    int64_t begun_us;       /* when this process began */

    /* while it is read */
    const char *manager, *balancer;
};

/* STATUS_OK: go on with verb; else exit with it. */
int command_read(struct command *c, int argc, char **argv);
void command_release(struct command *c);
/* Monotonic microseconds. */
int64_t command_clock_us(void);

#endif
