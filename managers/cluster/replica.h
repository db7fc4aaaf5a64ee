/* SPDX-License-Identifier: Apache-2.0
 *
 * replica.h: one application's copies on one member, as the cluster sees them.
 *
 * What    The manager's table, and beside it what comparing needs: for each of
 *         the 4,096 leaves of the ids (table_leaf) a 64-bit sum over its live
 *         entries, modulo 2^64, of the hash of the record's bytes, and a count
 *         of its tombstones. Both are kept up to date at each change
 *         (replica_recount), so that telling whether two members hold the same
 *         costs no scan.
 *         Tombstones and sessions whose idle end holds (below, both are called
 *         over) take no part in sums: members forget them at different
 *         moments. (A live copy here and one that is over there differ all the
 *         same, since the live one counts.)
 * Idle    An idle end in a record says that somebody found its time to be
 *         over. It holds as long as our own knowledge says the same: last
 *         access + maxInactive + accessInterval has passed, by ages, so that
 *         wrong wall clocks end nobody's session. A later access that we know
 *         of, or hear of, beats it: the entry lives again.
 * Access  When a session was last used, and by whom, travels with each record
 *         and takes no part in the sums either.
 * Strays  A delta of a session that is not here is put aside for 30 s, merged
 *         when the session comes, and dropped when it does not: a commit never
 *         creates. They are bounded by number and by bytes.
 * Settled A tombstone is forgotten (replica_may_forget) when endedKeep has
 *         passed and every member that could still speak of the session alive
 *         has compared its copies with ours since we learnt of the end
 *         (replica_settled). Until then it is kept from the moment on at which
 *         we learnt of it, however old it is by then.
 * Dropped What was here when this member had been away for too long is
 *         answered `lost` for endedKeep, and is otherwise as if it were not
 *         here: it is neither counted nor told, and what comes replaces it.
 * Partial With BackupManager a member holds some of the sessions. The replica
 *         has the location table besides (places.h), which is the same at all
 *         members. What two members have in common is compared: the places of
 *         all sessions, and the records of those that the one holds and in
 *         whose place the other stands; so sums, lists and differences are
 *         between this member and a certain other one (`peer`). A copy whose
 *         place does not name its holder so shows in its sums with those that
 *         are named, and gets to them. An entry with ENTRY_CACHED is nobody's
 *         copy: it takes no part.
 *         Ends of places are forgotten with replica_tick when keep_ended_ms
 *         has passed and all have compared (Settled), as tombstones are; here
 *         it has to have passed since they have, but for an eighth. Who was
 *         apart, and hears at last of a new id, asks those who know where that
 *         one goes on, and they may be busy.
 *         A record of a session whose place is FINAL does not come in where
 *         nothing is: the sender gets the place. Where a copy stands live while
 *         its place becomes FINAL, it stays until the manager deals with it.
 *         Without a place table `peer` means nothing.
 * Entry   The manager's ops say entry_extra = sizeof(struct replica_entry);
 *         it begins the extra bytes of each entry.
 * Threads replica_recount, replica_entry: any thread, under the entry's stripe
 *         lock. The rest: the channel's thread. */
#ifndef MARGAY_MANAGERS_CLUSTER_REPLICA_H
#define MARGAY_MANAGERS_CLUSTER_REPLICA_H

#include "managers/cluster/channel.h"
#include "session/manager_impl.h"

struct replica_entry {
    uint64_t hash;  /* what it adds to its leaf's sum; 0: nothing */
    uint64_t owner; /* node that had the last access */
    int64_t told;   /* mono: others know of accesses up to here */
    int64_t learnt; /* mono: when its end came to be known */
    bool over;      /* counted among the tombstones of its leaf, */
    bool ended;     /* since its end is a decided one */
};

enum {
    ENTRY_DROPPED = ENTRY_FIRST_OWN,
    ENTRY_CACHED = 2 * ENTRY_FIRST_OWN, /* partial: of a session that others
                                           hold; a whole record that comes with
                                           an UPDATE makes it a copy */
    ENTRY_OWN = 4 * ENTRY_FIRST_OWN     /* the manager's, from here on */
};

/* The hash of the protocol, never 0. All numbers are unsigned, of 64 bits,
 * modulo 2^64, and little endian where they are read from bytes.
 *     fold(a, b) = a ^ b ^ (the high and the low half of a * b, xored)
 *     h = fold(length ^ 0xa0761d6478bd642f, 0xe7037ed1a0b428db)
 *     for each 16 bytes, the last ones with zeros behind them, as two numbers
 *         u and v:  h = fold(h ^ u, v ^ 0x8ebc6af09c88c6e3)
 *     the hash is h, or 1 where h is 0
 * Source: Wang Yi, wyhash (github.com/wangyi-fudan/wyhash), whose folded
 * multiplication and numbers these are, in the form that no zero cancels. */
uint64_t replica_hash(const uint8_t *bytes, size_t len);

static inline struct replica_entry *replica_entry(struct entry *e)
{
    return (struct replica_entry *)e->extra;
}

/* What others did, for listeners that want to hear of it here. No lock is
 * held. record: the new one; of an end, the one before. */
enum replica_event { REPLICA_CREATED, REPLICA_ENDED };
typedef void replica_heard_fn(void *user, enum replica_event event,
                              struct record *record,
                              const struct record_end *end, struct instant now);

/* m: borrowed, its table exists. */
struct replica *replica_new(struct manager *m, struct channel *channel);
/* The same, partial. */
struct replica *replica_new_partial(struct manager *m, struct channel *channel);
void replica_free(struct replica **r);
struct places *replica_places(struct replica *r); /* NULL: it is not partial */

/* ---- partial: who holds what ---- */

/* Merges into the place of that id, whose stripe in the manager's table is
 * locked; entry: the copy that is here, NULL: none. Sums follow. true: the
 * place has changed; *out is what stands now. */
bool replica_place_put(struct replica *r, struct entry *entry,
                       const uint8_t id[ID_SIZE], const struct place *place,
                       struct instant now, struct place *out);
/* Others made a place; no lock is held, the channel's thread. Also after a
 * record became a copy here whose place does not name this member (stamp 0: no
 * place is known). */
typedef void replica_placed_fn(void *user, const uint8_t id[ID_SIZE],
                               const struct place *place, struct instant now);
/* A call that came (channel.h). The channel's thread, no lock is held but the
 * cluster's own. */
typedef void replica_called_fn(void *user, const struct channel_called *call,
                               struct instant now);
/* All before it joins. */
void replica_serve(struct replica *r, replica_placed_fn *placed,
                   replica_called_fn *called, void *user);
/* What was said of a session under an id that has a successor, and came by
 * comparing or for another member: it is to be written under the new id, whose
 * holders may be others. record: of the new id, borrowed; a tombstone where the
 * session was ended on the way. No lock is held. Before it joins; without it,
 * and where a copy of the new id is here, it goes into the copy alone. */
typedef void replica_left_fn(void *user, struct record *record,
                             struct instant now);
void replica_serve_left(struct replica *r, replica_left_fn *left);
/* The copy is about to be dropped (replica_drop_all): what its manager keeps
 * beside it goes first. The stripe is locked. */
typedef void replica_release_fn(struct entry *e);
void replica_serve_release(struct replica *r, replica_release_fn *release);
/* The core's: hands it on. */
void replica_called(struct replica *r, const struct channel_called *call,
                    struct instant now);

/* Before it joins. */
void replica_listen(struct replica *r, replica_heard_fn *heard, void *user);
/* Tells the listeners of the application. user: the replica. */
void replica_hear(void *user, enum replica_event event, struct record *record,
                  const struct record_end *end, struct instant now);

/* An access of this member's, its stripe locked: are the others to hear of it?
 */
bool replica_note_access(struct replica *r, struct entry *e);
/* What became of a write while others were waited for, the stripe locked: an
 * idle end that a later access beat ended nothing (w->before is NULL); of two
 * decided ends at two members one stands, so the other one came too late
 * (RC_ENDED; w->maybe: where the one that stands is a new id, others may have
 * ended that by now); logins of one user see one another (w->after). Nothing
 * can have become of a write that need not be settled. */
bool replica_must_settle(const struct manager_write *w);
enum rc replica_settle(struct manager_write *w, struct entry *e);

/* FNV-1a of the application's name ("/login"), where members hold parts with a
 * byte 1 behind it, never 0: names it in frames. So members with different
 * managers for an application do not mix what they have of it. */
uint32_t replica_app(const struct replica *r);
/* The number that members with the other kind of manager have for it. */
uint32_t replica_other_app(const struct replica *r);
/* Who has it; the core fills it, anybody reads. */
struct channel_app *replica_members(struct replica *r);
struct manager *replica_manager(const struct replica *r);

/* To be called after every change of the entry, its stripe locked. */
void replica_recount(struct replica *r, struct entry *e, struct instant now);
/* Before the entry is removed, its stripe locked; it counts no more. */
void replica_uncount(struct replica *r, struct entry *e);
/* May this tombstone (or idle session) be removed? Stripe locked. */
bool replica_may_forget(struct replica *r, struct entry *e, struct instant now);
/* Every member has compared since that moment (mono). */
void replica_settled(struct replica *r, int64_t mono);
int64_t replica_settled_at(const struct replica *r);
void replica_set_keep(struct replica *r, int64_t ended_keep_ms);
/* ms: for so long, since this member heard that a session is lost, those are
 * waited for who may come back with a copy. Its place is kept meanwhile. */
int64_t replica_patience(const struct replica *r);

/* ---- what others say ---- */

enum replica_rc {
    REPLICA_DONE,
    REPLICA_STRAY, /* put aside: ask the sender for the session */
    REPLICA_NEWER, /* the sender does not know what we know: a live session that
                      has ended here, another end than the one that stands, or
                      an idle end that a later access of ours beats. It is to
                      get our record before it hears that we have its own */
    REPLICA_BAD    /* no record, or none of ours: count it */
};
/* Merges what came. access: the last one, on this member's clock; it moves
 * only forward. id is filled unless BAD; newer_access: with the second kind of
 * NEWER our access, else 0. */
enum replica_rc replica_apply(struct replica *r, const struct frame_update *u,
                              int64_t access, uint64_t owner,
                              struct instant now, uint8_t id[ID_SIZE],
                              int64_t *newer_access);
/* What has come of that id was sent to this member, to be kept: where its place
 * does not name this member, the hook of replica_serve hears of it, also if the
 * same was here before. No lock is held. */
void replica_given(struct replica *r, const uint8_t id[ID_SIZE],
                   struct instant now);
/* Once a second, from outside the channel's calls: drops strays whose time is
 * over, and tells all members of the accesses that beat an idle end. */
void replica_tick(struct replica *r, struct instant now);
/* A member has missed what was said since then (mono), and comparing does not
 * bring accesses: those of this member are told again with the next tick. */
void replica_tell_again(struct replica *r, int64_t since);
/* Tells all members of the access. Any thread, no lock held. */
void replica_send_touch(struct replica *r, const uint8_t id[ID_SIZE],
                        int64_t access);
struct replica_figures {
    uint64_t strays;    /* changes that came before their session */
    uint64_t conflicts; /* copies that had changed on both sides */
    uint64_t lost; /* sessions of which all holders are gone, each counted at
                      one member */
};
void replica_figures(const struct replica *r, struct replica_figures *out);

/* ---- comparing ---- */

/* peer: the other member's node. The sum of all leaves. */
uint64_t replica_root(const struct replica *r, uint64_t peer);
void replica_sums(const struct replica *r, uint64_t peer,
                  uint64_t sums[FRAME_LEAVES], uint8_t ended[FRAME_BITS]);
/* The live entries of a leaf behind `after` (NULL: all) as frame_leaf wants
 * them, sorted by id, at most FRAME_LIST_MAX; malloc'ed. Returns how many.
 * Partial: the hash is the place's plus, modulo 2^64, the record's. */
size_t replica_list(struct replica *r, uint64_t peer, unsigned leaf,
                    const uint8_t *after, uint8_t **entries);

/* What is known of one id, on its way to another member: the record (a
 * reference; NULL: none for that member) and, partial, the place. */
struct replica_item {
    struct record *record;
    int64_t access; /* mono here */
    uint64_t owner;
    bool placed;
    uint8_t id[ID_SIZE];
    struct place place;
    int64_t learnt; /* of an end: mono here; else INT64_MAX */
};
/* Its updates (1 or 2, the place first), which borrow from it and from bytes.
 */
unsigned replica_item_updates(const struct replica_item *item, uint32_t app,
                              uint8_t bytes[PLACE_MAX],
                              struct frame_update out[2]);
/* The bytes that these take in a frame, at most. */
size_t replica_item_size(const struct replica_item *item);
struct replica_diff {
    struct replica_item *items; /* what the other lacks, or has otherwise */
    size_t count;
    size_t bytes;   /* of the items in a frame; not above FRAME_FULL, unless
                       there is one only */
    uint8_t *wants; /* ids that we lack, or have otherwise */
    size_t want_count;
    bool more;             /* the leaf goes on */
    uint8_t upto[ID_SIZE]; /* behind this id */
};
/* What the other, whose live entries these are, and we do not have in common:
 * of the leaf behind theirs->after, as much as one RECORDS takes. ended: it
 * wants our tombstones as well (those of sessions that it has alive it gets
 * anyway). Release with replica_diff_release. */
void replica_diff(struct replica *r, uint64_t peer,
                  const struct frame_leaf *theirs, struct replica_diff *out);
void replica_diff_release(struct replica_diff *diff);
/* What that member may have of the id; false: nothing is here. Takes a
 * reference. peer 0: the record of a copy, whosesoever. */
bool replica_take(struct replica *r, uint64_t peer, const uint8_t id[ID_SIZE],
                  struct replica_item *out);

/* Ends all sessions with that reason, here only, and forgets users' records and
 * tombstones: this member was away for too long (forgetAfter). Returns how
 * many sessions. */
size_t replica_drop_all(struct replica *r, enum reason reason,
                        struct instant now);

#endif
