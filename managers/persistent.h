/* SPDX-License-Identifier: Apache-2.0
 *
 * persistent.h: the inside of PersistentManager, for managers/persistent*.c
 * only.
 *
 * What    The store has the truth; this process keeps copies. Every attach
 *         asks the store whether the copy's version still stands. Every change
 *         is a compare-and-set on that version; a conflict brings the other's
 *         record, which is merged, and the put is tried again.
 * Laws    - What hangs at an entry (struct copy, its struct flight) is guarded
 *           by the entry's stripe. The store is never called under it.
 *         - Per id at most one put is under way: a flight. Writes that come
 *           meanwhile are applied to the record at once, wait on the flight,
 *           and ride with its next put. Nobody sees them before that: neither
 *           a find, nor a write that would be answered ENDED because of them.
 *         - An entry with a flight, or with changes that the store has not
 *           (onStoreOutage="local"), is ENTRY_BUSY: it is not removed.
 *         - UNAVAILABLE undoes what was applied since the last put that is
 *           known to be stored. UNCERTAIN keeps it, so that the next add
 *           continues behind slot values that may be stored, and sends it
 *           again with the next tick; only an end is taken back, and the next
 *           attach asks the store.
 *         - In an idle mode (lazy) all of this is turned round: the copy is the
 *           truth, only ends of what is stored are stored at once, and nothing
 *           that was acknowledged is undone (persistent_idle.c). */
#ifndef MARGAY_MANAGERS_PERSISTENT_H
#define MARGAY_MANAGERS_PERSISTENT_H

#include "session/manager_impl.h"
#include "session/pack.h"

enum write_through { WRITE_AUTO, WRITE_TRUE, WRITE_FALSE };
enum outage { OUTAGE_REFUSE, OUTAGE_LOCAL };

struct persistent_options {
    int on_store_outage;
    int64_t min_replicas;
    int write_through; /* enum write_through */
    bool save_on_restart;
    int64_t max_idle_backup, max_idle_swap, min_idle_swap; /* s; -1: off */
};

#define TOLD_ROWS 64
#define PERSISTENT_FOREVER_MS (INT64_C(100) * 365 * 24 * 3600 * 1000)
#define SAVES_AT_ONCE 4096

struct persistent {
    struct manager base;
    bool local;              /* onStoreOutage="local" */
    bool lazy;               /* Tomcat's idle modes: persistent_idle.c */
    _Atomic int64_t idle_at; /* mono ms of the next look for idle sessions */
    uint8_t shared_secret[2][ID_SIZE]; /* the known one, and the next one */
    const uint8_t *learnt;             /* of these; the secret's calls only */
    struct store_call secret_call;
    struct pack_writer secret_bytes;
    _Atomic int secret_state;     /* enum secret_state */
    _Atomic int64_t expire_at;    /* mono ms of the next sweep */
    _Atomic uint64_t unsaved;     /* entries with changes only here */
    _Atomic int64_t outage_since; /* mono ms; 0: the store answers */
    _Atomic uint64_t flights;
    _Atomic uint64_t catching_up;     /* of these, the ones that send unsaved */
    _Atomic uint64_t unreadable;      /* rows that were none, each told once */
    _Atomic uint64_t told[TOLD_ROWS]; /* the last ones, by a part of the id */
    atomic_bool tells_ends; /* a stop: ends of what only we have are stored */
    atomic_bool stopping;   /* who is too big for the store is left out */
};

enum { ENTRY_UNSAVED = ENTRY_FIRST_OWN };

/* What an entry has of ours. */
struct copy {
    uint64_t version; /* what the record includes; 0: never stored */
    int64_t told;     /* mono ms: the last access that the store knows */
    struct flight *flight;
    int64_t changed; /* lazy: mono ms of the first change that is not stored */
    bool maybe;      /* lazy: it may be stored, though no version is known */
    bool too_big;    /* lazy: the store does not take it as it stands */
};

static inline struct persistent *persistent_of(struct manager *m)
{
    return (struct persistent *)m;
}
static inline struct copy *copy_of(struct entry *e)
{
    return (struct copy *)e->extra;
}

/* A stored row of that id: [last access (wall ms), record]. RC_ABSENT: it is
 * not one; the first time a log line says so. Only a user's record and the
 * secret are made anew over it, by its version: the id of a session is never
 * given again. RC_UNAVAILABLE: a newer version wrote it, err says so. */
enum rc persistent_decode(struct persistent *p, const uint8_t id[ID_SIZE],
                          const void *bytes, size_t len, struct record **record,
                          int64_t *access_wall, struct err *err);
void persistent_encode(struct pack_writer *w, const struct record *record,
                       int64_t access_wall);
/* How long the store keeps the row of this record, wall ms. */
int64_t persistent_expiry(const struct persistent *p,
                          const struct record *record, int64_t access_mono,
                          struct instant now);
/* Brings what the store holds into the entry (inserted when NULL). The stripe
 * is locked. Takes the record. */
struct entry *persistent_absorb(struct persistent *p,
                                struct table_stripe *stripe,
                                struct entry *entry, struct record *record,
                                int64_t access_wall, uint64_t version,
                                struct instant now);

/* The store has no row for this entry (locked, without a flight), which is
 * live here: it leaves the table. Where the store knows why, what is left of it
 * tells that for as long as any end is told. */
void persistent_gone(struct persistent *p, struct table_stripe *stripe,
                     struct entry *entry, enum reason reason,
                     struct instant now);

/* The entry has a flight and is about to absorb what is stored: an undo must
 * not go back behind that, since the version says that it is included. */
void persistent_rebase(struct entry *entry, struct record *stored);

/* What a find may see of the entry: what is stored, or acknowledged, of it;
 * not what is on its way and may be undone. Borrowed, under the lock. */
struct record *persistent_shown(struct entry *entry);

/* The same where this process's copy is the truth (lazy): all but an end that
 * is not stored yet. */
struct record *persistent_shown_lazy(struct entry *entry);

enum rc persistent_write(struct manager *m, struct manager_write *w);
/* The same for an id that is in no entry: its row is got first. */
enum rc persistent_fetch(struct persistent *p, struct manager_write *w);
/* A put of the entry (locked, without a flight) as it stands. SWAP: it leaves
 * memory once it is stored, unless it was used meanwhile. CATCH_UP: what was
 * changed while the store was away. Send it when no lock is held. */
enum save_how { SAVE, SAVE_SWAP, SAVE_CATCH_UP };
struct flight *persistent_save(struct persistent *p, struct entry *entry,
                               struct instant now, enum save_how how);
void persistent_send(struct flight *flight);

/* ---- persistent_secret.c ---- */

/* Asks the store for the secret, and puts one there where there is none. */
void persistent_secret_ask(struct persistent *p);

/* ---- persistent_idle.c ---- */

/* Do these options ask for it? */
bool persistent_is_lazy(const struct persistent_options *o);
/* RC_PENDING: there is no copy here; ask the store. */
enum rc persistent_find_lazy(struct persistent *p, struct find_op *op);
/* Does a stop store what is in memory, rather than end it? (saveOnRestart) A
 * part of a pair ends nothing: it goes on in the other one. */
static inline bool persistent_saves(const struct persistent *p)
{
    const struct persistent_options *o = p->base.options;

    return p->base.face || !o || o->save_on_restart;
}
/* Once a second: backs up and swaps out what has been idle for long enough. */
void persistent_idle_tick(struct persistent *p, struct instant now);
/* A row was removed as lapsed. true: the session lives here, and is stored anew
 * in its time. */
bool persistent_row_lapsed(struct persistent *p, const uint8_t id[ID_SIZE],
                           struct instant now);
/* Saves everything, or ends everything: saveOnRestart. */
void persistent_idle_stop(struct persistent *p, struct instant now);
/* Once more, what the store did not take. Returns how many that are. */
size_t persistent_idle_stop_again(struct persistent *p, struct instant now);
/* Nobody waits for the store any longer. */
void persistent_idle_stop_over(struct persistent *p, struct instant now);
/* Nothing is on its way any more: how many sessions is the store behind with?
 */
size_t persistent_idle_left(struct persistent *p, struct instant now);
void persistent_idle_stats(struct persistent *p, struct manager_stats *out);
/* What is wrong with them, the n-th; "": nothing more. */
void persistent_advise(const void *options, unsigned n, char *out, size_t size);
void persistent_cost(const void *options, char *out, size_t size);
/* Tells the store of the entry's access, when nobody else is about to. */
void persistent_touch(struct persistent *p, const uint8_t id[ID_SIZE],
                      struct instant now);
/* The store may be back: sends what only we have, some at a time. Returns how
 * many it saw, sent or not. */
size_t persistent_flush_unsaved(struct persistent *p, struct instant now);

/* ---- persistent_stop.c ---- */

void persistent_stop(struct manager *m, struct instant now, int within_ms);

#endif
