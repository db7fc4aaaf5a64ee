/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions_command.h: `margay sessions` on the store of a fleet.
 *
 * What    Runs it, remembers what it said, and makes copies for it.
 * Owns    Paths are those of the last four calls.
 * Threads The one that runs the case. */
#ifndef MARGAY_TESTS_SESSIONS_COMMAND_H
#define MARGAY_TESTS_SESSIONS_COMMAND_H

#include "tests/client.h"

#define SQLITE "className=\"SQLiteStore\" path=\"${store.path}\""

/* A fleet whose requests wait, however slow the store's disk may be; NULL as
 * fleet_new. */
struct fleet *patient(const char *conf);
/* The same with one instance. */
struct fleet *running(const char *conf);
/* The fleet's one instance goes on with another store. */
struct server *change_store(struct fleet *f, const char *from, const char *to);

/* A file of this case. */
const char *path_of(const char *name);
char *content_of(const char *file);
/* Its path. */
const char *write_file(const char *name, const char *text, size_t len);

/* `BEFORE margay sessions VERB ... MORE` on the fleet's store. */
void command_line(char out[8192], const struct fleet *f, const char *before,
                  const char *verb, const char *more);
/* Its exit status. */
int sessions_after(const char *before, const struct fleet *f, const char *verb,
                   const char *more);
int sessions(const struct fleet *f, const char *verb, const char *more);
/* What it said, with both outputs; and whether text is a part of it, which is
 * printed where it is not. */
const char *sessions_said(void);
bool says(const char *text);
void export_to(const struct fleet *f, const char *file);

/* Logged in as user, with so many hits; hits_of: -1 is logged out. */
void log_in(struct browser *b, const struct server *s, const char *user,
            int hits);
int hits_of(struct browser *b, const struct server *s);
/* Which of two logins is the older one can be told where their milliseconds
 * differ, of a clock that ticks a few hundred times a second. */
void wait_for_the_clock(void);

/* A copy of three sessions, at path_of("three") and in text, and a store that
 * has none of them. */
struct fleet *three(char text[16384]);
/* Where line n (from 1) begins. */
char *line_at(char *text, int n);

#endif
