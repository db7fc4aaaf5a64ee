/* SPDX-License-Identifier: Apache-2.0
 *
 * sqlite.h: rows in a SQLite file.
 *
 * What    What SQLite does for us, in our words: one connection that writes,
 *         a pool of connections that read, the table, the errors. Who may
 *         open the file and when, batches and answers are in sqlite_store.c.
 * Threads db_read: any, many at once. Everything else: one thread.
 * Errors  RC_UNAVAILABLE with what to do next. After an error that asks for
 *         new connections db_is_broken says so. */
#ifndef MARGAY_MANAGERS_STORES_SQLITE_H
#define MARGAY_MANAGERS_STORES_SQLITE_H

#include "session/store.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

/* RC_INVALID: what is there can be no database of ours. It is not touched.
 * RC_ILLEGAL: a folder, or below what is none. */
enum rc db_examine(const char *path, struct err *err);
/* path and app are borrowed. is_full: synchronous=FULL. Opens nothing. */
struct db *db_new(const char *path, const char *app, bool is_full);
void db_free(struct db **db);

/* is_new: the file is empty and becomes a database. RC_INVALID: it is none of
 * ours, or newer than we know; it was not touched. */
enum rc db_open(struct db *db, bool is_new, struct err *err);
/* Waits for the reads under way. is_tidy: whoever closes last brings the log
 * into the file and removes it. */
void db_close(struct db *db, bool is_tidy);
bool db_is_open(const struct db *db);
bool db_is_broken(const struct db *db);

/* Answers a get, and fills the call. While the file is not open, and from
 * db_open until db_serve: UNAVAILABLE. */
void db_serve(struct db *db);
enum rc db_read(struct db *db, struct store_call *call);

/* One transaction. commit: RC_OK, RC_UNAVAILABLE (rolled back) or
 * RC_UNCERTAIN. */
enum rc db_begin(struct db *db, struct err *err);
enum rc db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);
/* Writes the row as `version`, if the stored one is call->version: RC_OK,
 * RC_CONFLICT and RC_ABSENT fill the call. Else err is filled, and the
 * transaction has to be rolled back. */
enum rc db_put(struct db *db, struct store_call *call, uint64_t version,
               struct err *err);

/* Fills the page; outside a transaction. */
enum rc db_list(struct db *db, struct store_page *page);

/* A list of removed rows; the caller frees each. */
struct db_row {
    struct db_row *next;
    uint8_t id[16];
    size_t len;
    char bytes[];
};
/* Whether there is a row whose expiry is before wall; outside a transaction. */
bool db_any_due(struct db *db, int64_t wall);
/* Within one. NULL with RC_OK: there were none. */
enum rc db_remove_due(struct db *db, int64_t wall, unsigned limit,
                      struct db_row **out, struct err *err);
void db_rows_free(struct db_row **rows);

/* Brings the log into the file when it has grown; outside a transaction. After
 * a write that found no room (db_is_full, until one is done) at once, and the
 * log's own room is then used again: a small database whose log filled the
 * disk goes on by itself. */
void db_tidy(struct db *db);
bool db_is_full(const struct db *db);
/* Brings all of the log into the file, or says that it could not. */
enum rc db_save(struct db *db, struct err *err);

#endif
