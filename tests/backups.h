/* SPDX-License-Identifier: Apache-2.0
 *
 * backups.h: a few BackupManagers on cores that are wired by hand (cores.h):
 * sessions, who holds them, and requests.
 *
 * Threads One. */
#ifndef MARGAY_TESTS_BACKUPS_H
#define MARGAY_TESTS_BACKUPS_H

#include "session/manager_impl.h"
#include "tests/cores.h"

/* others: hosts that do not have the application. */
struct net *backups_new(int count, int others);

struct backups_write {
    struct manager_write w; /* first; its done: */
    int done;
};
void backups_answered(struct manager_write *w);
/* A session that may idle for half an hour, made at host 0. */
void backups_create(struct net *n, uint8_t id[ID_SIZE]);

bool backups_has(struct net *n, int i, const uint8_t id[ID_SIZE]);
/* The host, but for 0, that holds it. */
int backups_holder(struct net *n, const uint8_t id[ID_SIZE]);
/* Does the place at host i name host `of`? */
bool backups_is_listed(struct net *n, int i, const uint8_t id[ID_SIZE], int of);
/* Of the place at host i. */
enum place_kind backups_kind(struct net *n, int i, const uint8_t id[ID_SIZE]);

/* Its process is gone. */
void backups_kill(struct net *n, int i);
/* What host i answers to calls, and sends to nobody, until it is over. */
struct backups_replies {
    struct channel_ops ops; /* first */
    const struct channel_ops *before;
    struct channel_reply last; /* without its record */
    int count;
};
void backups_overhear(struct net *n, int i, struct backups_replies *r);
void backups_overheard(struct net *n, int i, const struct backups_replies *r);
/* What host i answers to such a call. */
struct channel_reply backups_asked(struct net *n, int i, enum call_kind kind,
                                   const uint8_t id[ID_SIZE]);
/* The done of a find that is waited for. */
void backups_found(struct find_op *op);
/* A request at host i; ms (may be NULL): how long it took. */
enum rc backups_find(struct net *n, int i, const uint8_t id[ID_SIZE],
                     struct find_op *op, int *ms);
/* Does host i show that attribute? */
bool backups_shows(struct net *n, int i, const uint8_t id[ID_SIZE],
                   const char *name);
/* Its hits there. */
int backups_hits(struct net *n, int i, const uint8_t id[ID_SIZE]);

/* A request at host i that adds to the hits; it waits for others. */
struct backups_adding {
    struct backups_write q;
    struct changes c;
};
void backups_add(struct net *n, int i, const uint8_t id[ID_SIZE], int amount,
                 struct backups_adding *a);
/* Waits for its answer; a->q.w.ended stays. */
enum rc backups_added(struct net *n, struct backups_adding *a);

#endif
