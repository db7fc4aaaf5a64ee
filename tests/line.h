/* SPDX-License-Identifier: Apache-2.0
 *
 * line.h: one connection to a server, whose questions and answers are apart in
 * time; for servers that stand still in between.
 *
 * Owns    The caller closes fd.
 * Threads That of the case. */
#ifndef MARGAY_TESTS_LINE_H
#define MARGAY_TESTS_LINE_H

#include "tests/process.h"

struct line {
    int fd;
    char said[4096];
};

void line_open(struct line *l, const struct server *s);
/* GET /login/me. */
void line_ask(struct line *l, const char *cookie);
/* The status of the next answer, all of which is read; 0: none came. */
int line_answer(struct line *l);
/* For eventually(): does SIGSTOP hold it? */
bool server_is_stopped(void *server);

#endif
