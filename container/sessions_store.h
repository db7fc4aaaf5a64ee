/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions_store.h: the rows of a store, one after another, without a manager.
 *
 * What    What `margay sessions` needs of a store (session/store.h) and of the
 *         row that PersistentManager keeps in it: [last access, record]. A
 *         question is asked until it is answered, ten seconds at most, or
 *         until the store refuses it for good (by a password, or for want of
 *         rights); every call waits for its answer.
 * Owns    A row that was got owns its record: sessions_row_release.
 * Errors  RC_UNAVAILABLE: the store cannot be asked, or a signal has come that
 *         ends the process (SIGINT, SIGTERM, SIGHUP have to be blocked).
 * Threads One. */
#ifndef MARGAY_CONTAINER_SESSIONS_STORE_H
#define MARGAY_CONTAINER_SESSIONS_STORE_H

#include "session/record.h"
#include "session/store.h"

#include <limits.h>

struct context;
struct store_config;

struct sessions_store {
    struct store *store;
    struct log log;
    const struct context *context;
    char app[1024]; /* "/login", "/" */
    char describe[256];
    bool waits; /* that it is waited for was said */
};

struct sessions_row {
    uint64_t version; /* 0: there is none */
    int64_t access;   /* wall ms */
    struct record *record;
};

enum sessions_use { SESSIONS_EXPORT, SESSIONS_IMPORT };
/* The store of the Context's manager, which has one. Refused where it keeps its
 * rows in files: RC_ABSENT, an export of what is not there; RC_ILLEGAL, root
 * would leave files that the user of the instances cannot use. */
enum rc sessions_store_open(struct sessions_store *s, const struct context *x,
                            enum sessions_use use, struct err *err);
/* Is a file of that name, there or not, one that such a store may use itself,
 * or in the folder that it reads? where: its folder or file then. */
bool sessions_store_owns(const struct store_config *store, const char *file,
                         char where[PATH_MAX]);
/* RC_UNAVAILABLE: it cannot be asked. */
enum rc sessions_reach(struct sessions_store *s, struct err *err);
void sessions_store_close(struct sessions_store *s);
/* A signal has come. */
bool sessions_stopped(void);

/* The next page; the caller frees page->ids. RC_CONFLICT: the rows are gone
 * from where they were. */
enum rc sessions_page(struct sessions_store *s, struct store_page *page,
                      struct err *err);
/* RC_ABSENT: there is no row. RC_INVALID: it is none that can be read; its
 * version is known, or 0: then it cannot be replaced either. RC_UNSUPPORTED: a
 * newer release wrote it. */
enum rc sessions_get(struct sessions_store *s, const uint8_t id[ID_SIZE],
                     struct sessions_row *row, struct err *err);
/* Puts row->record over row->version. RC_CONFLICT: row is what is stored now,
 * or, with why RC_INVALID or RC_UNSUPPORTED, only its version. RC_ABSENT: the
 * row has gone. RC_UNCERTAIN: get it, and look. */
enum rc sessions_put(struct sessions_store *s, struct sessions_row *row,
                     enum rc *why, struct err *err);
void sessions_row_release(struct sessions_row *row);

/* Does it go on, or has it ended, by a decision or its limits? */
bool sessions_row_lives(const struct sessions_store *s,
                        const struct sessions_row *row);

#endif
