/* SPDX-License-Identifier: Apache-2.0
 *
 * child.h: this program once more, as another process on the same shelf.
 *
 * What    A case starts `PROGRAM --child MODE SHELF`, whose main hands over to
 *         child_main with the list of its modes. What it prints is read line
 *         by line; it ends when it likes, when its parent closes the pipe
 *         that child_wait waits on, or by a signal.
 * Owns    child_start's child ends with child_end.
 * Threads The one that runs the case. */
#ifndef MARGAY_TESTS_CHILD_H
#define MARGAY_TESTS_CHILD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    FILE *out; /* what it prints */
    int in;    /* closed to make it end */
};

struct child child_start(const char *mode);
/* CHECK_STR on its next line. */
void child_expect(struct child *c, const char *line);
/* sig 0: closes the pipe. Its exit status, -1 when a signal ended it. */
int child_end(struct child *c, int sig);
/* The whole case: a child that prints "done", or skips with what it prints
 * and status 77. */
void child_case(const char *mode);

/* --- inside --------------------------------------------------------------- */

struct child_mode {
    const char *name;
    int (*run)(void);
    bool on_disk; /* on a disk of 1 MiB of its own: a mount that ends with it */
};

/* modes ends with a NULL name. */
int child_main(const struct child_mode *modes, const char *mode,
               const char *shelf);
/* Until our parent closes the pipe. */
void child_wait(void);

/* In a mode, where CUnit's assertions are of no use. */
#define MUST(what)                                                             \
    do {                                                                       \
        if (!(what)) {                                                         \
            printf("line %d: %s\n", __LINE__, #what);                          \
            return 1;                                                          \
        }                                                                      \
    } while (0)

#endif
