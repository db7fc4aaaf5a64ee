/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h: the sessions that this process holds.
 *
 * What    Striped hash table from id to entry. An entry holds the record (or
 *         the tombstone that is left of it), the last access, and a timer. A
 *         manager may ask for more bytes per entry, for its own use.
 *         Ids fall into 4,096 leaves, the same ones in every process: members
 *         of a cluster compare their tables leaf by leaf.
 * Laws    - A stripe's lock guards its entries, their extra bytes, and the
 *           stamps that are given to their records.
 *         - Stripe locks are the innermost of all: nothing that waits, calls
 *           back or takes another lock happens under one. Never two at once.
 *         - A record is immutable: take a reference under the lock, use it
 *           outside.
 *         - An entry's last access moves forward only.
 * Time    Entries keep monotonic milliseconds; timers are set in seconds.
 * Threads Any. */
#ifndef MARGAY_SESSION_TABLE_H
#define MARGAY_SESSION_TABLE_H

#include "session/instant.h"
#include "session/record.h"
#include "session/wheel.h"

#define TABLE_LEAVES 4096

struct table;
struct table_stripe;

struct entry {
    struct entry *next;       /* hash chain */
    struct record *record;    /* never NULL */
    int64_t access;           /* mono ms of the last access */
    struct wheel_timer timer; /* armed whenever the entry can become due */
    bool idle;                /* counted among the tombstones, see below */
    uint32_t flags;           /* the manager's */
    uint64_t extra[];         /* the manager's, zero at first */
};

/* extra: bytes per entry for the manager. */
struct table *table_new(size_t extra, struct instant now);
void table_free(struct table **table); /* and all entries */

struct table_stripe *table_lock(struct table *table, const uint8_t id[ID_SIZE]);
void table_unlock(struct table_stripe *stripe);
/* The four below: the id's stripe is locked. */
struct entry *table_find(struct table_stripe *stripe,
                         const uint8_t id[ID_SIZE]);
/* Takes the reference. There must be no entry of that id. */
struct entry *table_insert(struct table_stripe *stripe, struct record *record,
                           int64_t access_mono);
/* Puts another record of the same id in its place; takes the reference. */
void table_replace(struct table_stripe *stripe, struct entry *entry,
                   struct record *record);
void table_remove(struct table_stripe *stripe, struct entry *entry);
/* Counts a live record among the tombstones, or again among the live: its idle
 * end holds, or was beaten by a later access. */
void table_set_idle(struct table_stripe *stripe, struct entry *entry,
                    bool idle);
/* Wakes the entry at that moment (mono ms), rounded up to a second; a later
 * arm replaces an earlier one. */
void table_arm(struct table_stripe *stripe, struct entry *entry,
               int64_t due_mono);

/* Ids whose timers are due at now, at most max of them, their timers taken
 * off. Fewer than max: nothing else is due. */
size_t table_due(struct table *table, struct instant now,
                 uint8_t (*ids)[ID_SIZE], size_t max);

struct table_counts {
    size_t live, tombstones; /* of kind RECORD_SESSION */
    size_t others;           /* users' records */
};
void table_counts(const struct table *table, struct table_counts *out);

/* Calls each() for every entry, stripe by stripe, under the stripe's lock.
 * For a stop and for listings, never on the way of a request. false ends. */
typedef bool table_each_fn(void *user, struct entry *entry);
void table_each(struct table *table, table_each_fn *each, void *user);

/* 0..TABLE_LEAVES - 1. Part of the protocol between members: the highest 12
 * bits of the product, modulo 2^64, of 0x9e3779b97f4a7c15 and bytes 8..15 of
 * the id, read as a little-endian number. */
unsigned table_leaf(const uint8_t id[ID_SIZE]);
/* The same for the entries of one leaf alone, under the one lock. */
void table_each_in(struct table *table, unsigned leaf, table_each_fn *each,
                   void *user);

#endif
