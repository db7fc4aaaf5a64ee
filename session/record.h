/* SPDX-License-Identifier: Apache-2.0
 *
 * record.h: a session is a value.
 *
 * What    A record is immutable and counted. It holds id, birth and a sorted
 *         row of registers: fields (number: end, user, limits) and attributes
 *         (name), each with its type, its stamp and its value, packed in one
 *         block of MessagePack: the same bytes in memory, on the wire and in a
 *         store (docs/stored-form.md). The last access is not in it.
 *         A delta is a record too, one that is not whole: it holds only the
 *         registers that a request changed. So there is one merge.
 * Merge   record_merge joins two records of one id. It is commutative,
 *         associative and idempotent, to the byte, so it does not matter in
 *         which order, how often and in which groups deltas arrive:
 *         - per register the higher stamp wins; a removal is a write;
 *         - a counter is in the era of the set or remove that began it (era 0:
 *           never set); in one era each start of a node has one slot, and the
 *           larger value of a slot wins; slots are never folded;
 *         - a decided end beats everything and leaves a tombstone; of two
 *           decided ends the earlier stamp stays;
 *         - of two idle ends the one with the later access stays; whether it
 *           holds, the last access decides (DESIGN 3);
 *         - a user's record keeps the 1,000 registers with the highest stamps.
 *         Source: Almeida, Shoker, Baquero, "Delta State Replicated Data
 *         Types", J. Parallel Distrib. Comput. 111 (2018).
 * Stamps  (wall ms, node): the larger of now and one more than the highest
 *         stamp of the record that the change is applied to. The caller holds
 *         the lock of the record's place in the table meanwhile.
 * Owns    _ref/_unref. Pointers into a record live as long as a reference.
 * Errors  record_decode refuses what is not a record (RC_INVALID); everything
 *         else works on records that are right.
 * Threads Any: a record never changes. */
#ifndef MARGAY_SESSION_RECORD_H
#define MARGAY_SESSION_RECORD_H

#include "session/changes.h"
#include "session/id.h"
#include "session/rc.h"
#include "session/reason.h"

#include <stdatomic.h>

/* No block is longer than this, whatever maxSessionBytes says. */
#define RECORD_MAX_BYTES (16u << 20)
#define RECORD_USER_SESSIONS 1000

enum record_kind {
    RECORD_SESSION = 0,
    RECORD_USER = 1,  /* the sessions of a user: attribute = id, hex */
    RECORD_SECRET = 2 /* the key of the user ids of a store */
};

/* Numbers of fields: never reused. A number that this version does not know
 * is kept and merged by its stamp. */
enum record_field {
    FIELD_END = 0,      /* decided end: reason, and the new id if renamed */
    FIELD_IDLE_END = 1, /* int: the last access (wall ms) that its maker knew */
    FIELD_USER = 2,     /* string */
    FIELD_MAX_INACTIVE = 3, /* int, seconds; absent or 0: never */
    FIELD_MAX_LIFETIME = 4, /* int, seconds; absent or 0: never */
    FIELD_RELEASE = 5, /* int: only a build that plays the next release writes
                         it; to all others a field that they do not know */
    FIELD_BOTH = 6 /* int: a rolling change of managers is under way, and this
                      session stands in both; 0: no more */
};

struct record {
    atomic_uint refs;
    uint32_t len;
    int64_t newest; /* the highest stamp's time */
    bool ended;     /* a tombstone */
    uint8_t bytes[];
};

struct record_end {
    enum reason reason;
    uint8_t new_id[ID_SIZE]; /* RENAMED */
};

static inline struct record *record_ref(struct record *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}
/* Drops the reference and nulls the pointer; *r may be NULL. */
void record_unref(struct record **r);

/* A whole record with these changes in it, all stamped (birth, node). */
struct record *record_new(enum record_kind kind, const uint8_t id[ID_SIZE],
                          int64_t birth, const struct changes *changes,
                          uint64_t node);
/* The delta that applies the changes to base, stamped as said above. An add
 * continues this node's slot of base; an add to what is not a counter in base
 * (a concurrent set made it something else) falls away. NULL when nothing is
 * left to say. */
struct record *record_delta(const struct record *base,
                            const struct changes *changes, int64_t now_wall,
                            uint64_t node);
/* record_merge(base, record_delta(base, ...)) in one step, for who has no use
 * for the delta. base is no tombstone. Returns a new reference, to base when
 * nothing is left to say. */
struct record *record_apply(struct record *base, const struct changes *changes,
                            int64_t now_wall, uint64_t node);
/* The tombstone delta of a decided end. new_id: with RENAMED, else NULL. */
struct record *record_end_delta(const struct record *base, enum reason reason,
                                const uint8_t *new_id, int64_t now_wall,
                                uint64_t node);
/* Both of the same id and kind (asserted). Returns a new reference, perhaps to
 * one of the two. */
struct record *record_merge(struct record *a, struct record *b);
/* The delta that brings `have` (NULL: nothing at all) up to `full`, which is a
 * merge with `have` in it; NULL: nothing is missing. No tombstones. */
struct record *record_difference(const struct record *have,
                                 const struct record *full);
/* The same content under another id. */
struct record *record_rekey(const struct record *r, const uint8_t id[ID_SIZE]);
bool record_equal(const struct record *a, const struct record *b);

/* Bytes from outside: checked whole, then brought into our canonical form.
 * RC_INVALID when they are no record, RC_UNSUPPORTED when they are one of a
 * newer format. */
enum rc record_decode(const void *bytes, size_t len, struct record **out,
                      struct err *err);

const uint8_t *record_id(const struct record *r);
enum record_kind record_kind(const struct record *r);
bool record_is_whole(const struct record *r);
int64_t record_birth(const struct record *r); /* wall ms */
/* Is it a tombstone? out may be NULL. */
bool record_ended(const struct record *r, struct record_end *out);
/* Is there an idle end, and with which last access? */
bool record_idle_ended(const struct record *r, int64_t *access_wall);
/* All that decides whether it lives, read in one pass. */
struct record_life {
    bool ended; /* a tombstone: see record_ended */
    bool idle_ended;
    int64_t idle_access; /* wall ms, that the maker of the idle end knew */
    int64_t max_inactive, max_lifetime; /* seconds; 0: never */
    int64_t birth;                      /* wall ms */
};
void record_life(const struct record *r, struct record_life *out);
/* type NONE when absent. */
struct value record_get(const struct record *r, struct key key);
static inline struct value record_attribute(const struct record *r,
                                            const char *name, size_t len)
{
    return record_get(r, key_name(name, len));
}
/* Was it there, and removed? */
bool record_removed(const struct record *r, struct key key);
/* Fields of type int; 0 when absent. */
int64_t record_number(const struct record *r, enum record_field field);

/* How far all other nodes have got in it: their highest stamp, and all that
 * they have added to counters and taken from them. Either may become less where
 * node writes over what they wrote. */
struct record_others {
    int64_t newest;
    uint64_t added;
};
void record_others(const struct record *r, uint64_t node,
                   struct record_others *out);

/* Calls each(user, key, value, stamp time) for every register that holds a
 * value (removed ones are passed over), fields first, in the order of keys. */
typedef void record_each_fn(void *user, struct key key,
                            const struct value *value, int64_t stamp);
void record_each(const struct record *r, record_each_fn *each, void *user);

#endif
