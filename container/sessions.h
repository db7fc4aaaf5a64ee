/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions.h: the sessions of an application as a file, and back.
 *
 * What    `margay sessions export` writes what the <Store> of a Context's
 *         PersistentManager keeps, one session a line (sessions_json.h);
 *         `margay sessions import` brings such a file into a store, which may
 *         be one of another kind. No instance is started, running ones go on:
 *         each row is read or changed as another instance would, by the
 *         version that is known, and joined with what stands there by the
 *         record's own merge. So nothing newer is overwritten, and what the
 *         store knows to have ended does not come back: by its row, kept for a
 *         minute, by the list of its user, which names it, or by what a
 *         rolling change of managers left of it (session/farewell.h).
 *         Each session is exported as it is when its turn comes; one that gets
 *         a new id meanwhile stands there under one of them, or both.
 * Users   A file has no lists of users: they are secret to their store. Each
 *         session of a user is entered in the list that the store has, as by a
 *         login; nobody is logged out by maxSessionsPerUser.
 * Memory  A page of ids and one session; of an export, 16 to 43 bytes for each
 *         session that was used in the minute before, or meanwhile.
 * Output  A line at its end, and one a second meanwhile, on standard error.
 * Signals SIGINT, SIGTERM and SIGHUP end it between two sessions; an export to
 *         standard output at once.
 * Errors  Told on standard error, with file and line; the answer is the exit
 *         status.
 * Threads The main one, before there are others. */
#ifndef MARGAY_CONTAINER_SESSIONS_H
#define MARGAY_CONTAINER_SESSIONS_H

#include "session/rc.h"

struct instance;

/* context: "/login"; NULL: the only one. file: "-" is standard output, which
 * may be no terminal; another one is 0600, and there when it is whole. Until
 * then it is FILE.unfinished; what a killed export left there goes with the
 * next one. */
enum rc sessions_export(const struct instance *in, const char *context,
                        const char *file, struct err *err);
/* context: NULL, the one that the file names. file: "-" is standard input. */
enum rc sessions_import(const struct instance *in, const char *context,
                        const char *file, struct err *err);

#endif
