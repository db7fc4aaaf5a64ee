/* SPDX-License-Identifier: Apache-2.0
 *
 * child.h: a process, and what it says line by line.
 *
 * What    Starts a program with /dev/null as its input, and passes both its
 *         outputs on to ours, each line behind the child's name (coloured on a
 *         terminal, unless NO_COLOR is set); what nobody takes within half a
 *         second is left out. A long line is passed on in pieces: each but
 *         the last ends with a backslash, and each but the first stands
 *         behind "NAME +" instead of "NAME |". A piece is written at once,
 *         so that it comes whole or not at all. It is in a process group of its
 *         own, so that Ctrl-C does not reach it, and gets SIGTERM when this
 *         process dies.
 * Owns    Its pipes; the process is waited for by the caller, who says so with
 *         child_reaped.
 * Threads One. SIGCHLD is the caller's. */
#ifndef MARGAY_CONTAINER_CHILD_H
#define MARGAY_CONTAINER_CHILD_H

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A piece; the rest is for the name and its colour. */
#define CHILD_LINE_SIZE (PIPE_BUF - 64)

/* One output. */
struct child_stream {
    int from, to; /* from: -1 once it has ended */
    bool stuck;   /* nobody took the last piece */
    bool hushed;  /* its lines are not passed on */
    bool goes_on; /* the line, after it */
    size_t len;
    char line[CHILD_LINE_SIZE];
};

struct child {
    char name[16];
    unsigned colour; /* counted round through six */
    pid_t pid;       /* 0: does not run */
    struct child_stream out, err;
};

/* A line, or piece, of its standard error, after it has been passed on, or of
 * its standard output that is not. */
typedef void child_line_fn(void *user, struct child *c, const char *line);

void child_init(struct child *c, const char *name, unsigned colour);
/* argv[0] is a path; mask is the child's signal mask. quiet: its standard
 * output is not passed on, but is told line by line. What the last run left in
 * the pipes is lost. False: errno says why, and it does not run. */
bool child_start(struct child *c, char *const *argv, const sigset_t *mask,
                 bool quiet);
/* Adds what poll is to look at, at most two; the count. */
size_t child_poll(struct child *c, struct pollfd fds[2]);
/* Reads what has come, when poll has said so of one of its descriptors. */
void child_read(struct child *c, child_line_fn *line, void *user);
/* Nothing more comes of its outputs. */
bool child_is_silent(const struct child *c);
void child_signal(struct child *c, int number);
/* It was waited for; its pipes are read on. */
void child_reaped(struct child *c);
/* Passes on what is in its pipes now, and gives them up: somebody else holds
 * their other ends. */
void child_hush(struct child *c, child_line_fn *line, void *user);
void child_release(struct child *c);

/* "margay: ..." on standard error, whole lines at a time. */
void child_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
