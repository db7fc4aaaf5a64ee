/* SPDX-License-Identifier: Apache-2.0
 *
 * manager_impl.h: how to write a manager (implementer's view). Only files in
 * managers/ and the wrapper (session/manager*.c) include it; everybody else
 * uses session/manager.h.
 *
 * What    A manager answers two questions: where is this session (find), and
 *         who else must hear of this change (write). It is one file that ends
 *         in one const struct manager_ops, plus one line in
 *         managers/manager_list.h, plus one line in managers/module.am.
 *         A new id is a create and an end; a login is a new id and a write to
 *         the user's record; a logout is a write of an end: the wrapper makes
 *         these out of `write`, so no manager repeats them.
 * Writes  CREATE inserts a whole record under an id that nobody has; CHANGE
 *         merges into what is there and never creates; END writes a decided
 *         end; IDLE_END a conditional one. An END may be for a session only
 *         that does not stand in two managers (farewell.h): whether it does is
 *         looked at where the end is applied, and no write comes in between.
 *         Per id, a manager applies writes one after the other under the
 *         stripe's lock (manager_apply), so stamps and counter slots of one
 *         process never collide, and answers when the copies that it promises
 *         have applied them.
 * Calls   Both answer at once (any code but RC_PENDING) or return RC_PENDING
 *         and later call manager_found / write->done exactly once, from any
 *         thread, perhaps before they returned; after RC_PENDING the submitter
 *         does not touch the operation any more.
 * Threads Any, unless a member says otherwise. */
#ifndef MARGAY_SESSION_MANAGER_IMPL_H
#define MARGAY_SESSION_MANAGER_IMPL_H

#include "session/manager.h"
#include "session/store.h"
#include "session/table.h"

enum write_kind { WRITE_CREATE, WRITE_CHANGE, WRITE_END, WRITE_IDLE_END };

struct manager_write {
    void (*done)(struct manager_write *w);
    enum write_kind kind;
    uint8_t id[ID_SIZE];
    struct instant now;
    struct record *record;         /* CREATE: whole, borrowed */
    const struct changes *changes; /* CHANGE, borrowed */
    enum reason reason;            /* END */
    bool unmarked;           /* END: refused (CONFLICT) where it is marked */
    uint8_t new_id[ID_SIZE]; /* END with RENAMED */
    const char *user; /* of a user's record: whose, borrowed; else NULL */
    int64_t access;   /* CREATE, CHANGE: the last access of which it tells, mono
                         ms; 0: now */
    uint64_t writer;  /* CHANGE: in stamps and slots; 0: manager_writer */
    int64_t seen;     /* CHANGE: the newest stamp that its request saw. What it
                         sets comes after that also where this has not come: a
                         new id may lack for a moment what the old one had */

    /* The stamped delta. CHANGE: given by the caller (already stamped under
     * another id) or made by manager_apply; a reference either way. END: made
     * by manager_apply, or by the manager before. */
    struct record *delta;

    /* The answer.
     * RC_OK; RC_ABSENT: nobody knows the id; RC_ENDED: it had ended before,
     * see ended; RC_CONFLICT: CREATE of an id that exists, IDLE_END that a
     * later access beats, END that was for what is not marked;
     * RC_UNAVAILABLE; RC_UNCERTAIN; RC_TOOBIG. */
    enum rc rc;
    struct record_end ended;
    bool maybe; /* ENDED: an earlier try was UNCERTAIN, and may be part of
                   what ended */
    struct record *before; /* END, IDLE_END OK: what the end replaced; a
                              reference. NULL after IDLE_END: a later access
                              beat it meanwhile. END CONFLICT: what is marked */
    struct record *after;  /* CHANGE OK: what stands there now; a reference.
                              CREATE OK: the same where another copy may have
                              created it as well, else NULL */

    /* the manager's own while the write is under way */
    struct manager_write *next;

    struct err err; /* last: it is not cleared between uses */
};
/* A write of that kind; everything else is empty. `done` stays. */
void manager_write_init(struct manager_write *w, enum write_kind kind,
                        const uint8_t id[ID_SIZE], struct instant now);
/* Drops the references of the answer. */
void manager_write_release(struct manager_write *w);

/* Begins the struct of every manager. */
struct manager {
    const struct manager_ops *ops;
    struct manager_options common;
    const void *options;
    struct store *store; /* NULL without one */
    const struct store_ops *store_ops;
    const void *store_options;
    struct manager_env env;
    struct table *table;
    uint8_t secret[ID_SIZE]; /* of the keys of users' records, until ... */
    _Atomic(const uint8_t *)
        secret_known;      /* ... a manager knows a shared one */
    bool secret_shared;    /* no login is counted before that */
    int64_t grace_ms;      /* what every copy adds to the idle limit, at most
                              (manager_grace) */
    int64_t commit_ms;     /* manager_commit_ms */
    int64_t keep_ended_ms; /* how long a reason is told; 60 s */
    _Atomic int ready;
    struct manager_counters *counters; /* manager.c */
    struct asides *asides; /* aside.h; NULL: every attribute is shared */
    struct manager *face;  /* NULL; of a part: the manager that listeners, and
                              clients, know, and which decides what is due */
    struct manager *hears; /* of a face: the part whose others are heard */
};

/* manager_apply's entry flags; managers may use bits from ENTRY_FIRST_OWN. */
enum entry_flag {
    ENTRY_ENDING = 1, /* a request of this process is about to end it */
    ENTRY_BUSY = 2,   /* a write is under way or waits: not to be removed */
    ENTRY_FIRST_OWN = 16
};

typedef enum rc manager_open_fn(struct manager *m, struct err *err);
typedef void manager_close_fn(struct manager *m);
typedef enum rc manager_start_fn(struct manager *m, struct instant now,
                                 struct err *err);
typedef void manager_leave_fn(struct manager *m, struct instant now);
typedef bool manager_left_fn(struct manager *m);
typedef void manager_stop_fn(struct manager *m, struct instant now,
                             int within_ms);
typedef enum rc manager_find_fn(struct manager *m, struct find_op *op);
typedef enum rc manager_write_fn(struct manager *m, struct manager_write *w);
typedef void manager_due_fn(struct manager *m, const uint8_t id[ID_SIZE],
                            enum reason reason, struct instant now);
typedef void manager_part_due_fn(struct manager *m, struct manager *part,
                                 const uint8_t id[ID_SIZE], enum reason reason,
                                 struct instant now);
typedef bool manager_forget_fn(struct manager *m, struct table_stripe *stripe,
                               struct entry *entry, struct instant now);
typedef bool manager_ready_fn(const struct manager *m, struct instant now);
typedef void manager_tick_fn(struct manager *m, struct instant now);
typedef void manager_stats_fn(struct manager *m, struct manager_stats *out);
typedef void manager_describe_fn(const struct manager *m, char *out,
                                 size_t size);

enum manager_flag {
    MANAGER_NEEDS_STORE = 1,
    MANAGER_LOCAL = 2, /* one process has all copies: idle limits are exact */
    MANAGER_AGES = 4,  /* others' wall clocks are not believed: the entry's
                          `idle`, which the manager keeps right by the ages of
                          accesses, says alone whether an idle end holds */
    MANAGER_NEEDS_CLUSTER = 8, /* env.channel is never NULL */
    MANAGER_OF_PARTS = 16 /* its table is one of its parts', who looks after
                             what is due in it */
};

/* For `margay check`: what these options cost, one sentence; "": nothing. */
typedef void manager_cost_fn(const void *options, char *out, size_t size);
/* The n-th thing that whoever wrote these options may not mean; "": no more. */
typedef void manager_advise_fn(const void *options, unsigned n, char *out,
                               size_t size);
/* Looks at the options alone: RC_INVALID when those of the store can never
 * work. Of env only app is there. */
typedef enum rc manager_examine_fn(const void *options,
                                   const struct store_ops *store,
                                   const void *store_options,
                                   const struct manager_env *env,
                                   struct err *err);

struct manager_ops {
    const char *name;    /* "StandardManager": className in server.xml */
    const char *summary; /* one line for help */
    size_t size;         /* of the struct that begins with struct manager */
    size_t options_size; /* of the struct that `options` fills; may be 0 */
    const struct option *options;
    unsigned flags;
    size_t entry_extra;      /* bytes of its own per entry */
    manager_find_fn *find;   /* required: fills op's answer. A hit counts as
                                an access unless op->peek */
    manager_write_fn *write; /* required */
    manager_open_fn *open;   /* NULL: nothing to prepare */
    manager_close_fn *close;
    manager_start_fn *start; /* NULL: begins empty, ready at once. Sets
                                m->ready itself otherwise */
    manager_leave_fn *leave; /* NULL: nobody else takes anything over */
    manager_left_fn *left;
    manager_stop_fn *stop;
    manager_due_fn *due;           /* a session's time is over: end it. NULL:
                                      manager_end_due */
    manager_part_due_fn *part_due; /* OF_PARTS: what manager_end_due would do
                                      for one of them */
    manager_forget_fn *forget;     /* a tombstone, an idle session or a user's
                                      record is about to be removed, its stripe
                                      is locked. false: not yet, it is asked
                                      again 5 s later. NULL: it may go */
    manager_ready_fn *ready;       /* may it answer at this moment? For /health;
                                      find says so itself. NULL: m->ready
                                      alone */
    manager_tick_fn *tick;         /* once a second */
    manager_stats_fn *stats;       /* adds what only the manager knows */
    manager_cost_fn *cost;         /* NULL: nothing to tell */
    manager_advise_fn *advise;     /* NULL: nothing to tell */
    manager_examine_fn *examine;   /* NULL: nothing can be wrong */
    manager_describe_fn *describe; /* NULL: the name */
};

/* ---- the wrapper's own (session/ only) ---- */

/* Tells the listeners of an end: destroyed, then removed per attribute. */
void session_tell_end(struct session *s, enum reason reason);
/* Another snapshot in place of the present one, which stays readable. */
void session_pin(struct session *s, struct record *next);
/* The request ends without the answers of its flushes. */
void commit_flush_leave(struct session *s);

/* ---- for managers: what they share ---- */

/* Completes a find that was answered RC_PENDING: the answer is in op. */
void manager_found(struct manager *m, struct find_op *op);

/* Find in the table alone, for managers that hold all they serve. */
enum rc manager_find_local(struct manager *m, struct find_op *op);
/* The same under the lock of op->id's stripe, entry found there. shown: its
 * record, or what a request may see of it. */
enum rc manager_find_entry(struct manager *m, struct table_stripe *stripe,
                           struct entry *entry, struct record *shown,
                           struct find_op *op);

/* Applies a write to an entry under its stripe's lock: stamps, makes
 * w->delta, merges, sets before/after, moves the last access, arms the timer.
 * Answers RC_OK, RC_ENDED (w->ended; nothing was changed), RC_CONFLICT (an
 * idle end that a later access beats). Never RC_PENDING.
 * CREATE: entry is NULL and is inserted; *inserted (may be NULL) tells which.
 */
enum rc manager_apply(struct manager *m, struct table_stripe *stripe,
                      struct entry *entry, struct manager_write *w,
                      struct entry **inserted);
/* manager_apply on the table alone: the whole write of a manager that has no
 * other copies. RC_ABSENT, RC_CONFLICT (CREATE) besides. */
enum rc manager_write_local(struct manager *m, struct manager_write *w);

/* Has it an idle end that no later access beat? access_mono: the last one of
 * which this copy knows. It must be later by more than a second, the smallest
 * accessInterval (clocks of one machine are read a little apart). */
bool manager_idle_end_holds(const struct record_life *life, int64_t access_mono,
                            struct instant now);
/* RC_OK: live. RC_ENDED: over; *end says why (reason, new id). */
enum rc manager_liveness(const struct manager *m, const struct record *record,
                         int64_t access_mono, struct instant now,
                         struct record_end *end);

/* The same of an entry, its stripe locked. shown: its record, or what may be
 * seen of it. */
enum rc manager_entry_liveness(const struct manager *m,
                               const struct entry *entry,
                               const struct record *shown, struct instant now,
                               struct record_end *end);

/* What every copy adds to this idle limit (seconds), in ms: 0 with
 * MANAGER_LOCAL. */
int64_t manager_grace(const struct manager *m, int64_t max_inactive);
/* Were the others told of an access of this record so long ago (ms) that they
 * are to hear of the present one? */
bool manager_tells_access(const struct manager *m, const struct record *record,
                          int64_t told_ago);

/* The moment (mono ms) at which a live record ends by its own limits when last
 * used at access_mono. INT64_MAX: never. *reason: IDLE or LIFETIME. */
int64_t manager_due(const struct manager *m, const struct record_life *life,
                    int64_t access_mono, struct instant now,
                    enum reason *reason);

/* mono <-> wall of the same moment, by now. */
static inline int64_t instant_wall_of(struct instant now, int64_t mono)
{
    return now.wall - (now.mono - mono);
}
static inline int64_t instant_mono_of(struct instant now, int64_t wall)
{
    return now.mono - (now.wall - wall);
}
/* Ends a due session in the background: writes the end, then tells the
 * listeners. For managers' `due`. */
void manager_end_due(struct manager *m, const uint8_t id[ID_SIZE],
                     enum reason reason, struct instant now);
/* Tells will_passivate (before a save) or did_activate (after a load). */
void manager_tell_passivate(struct manager *m, struct record *record,
                            struct instant now);
void manager_tell_activate(struct manager *m, struct record *record,
                           struct instant now);
/* Tells the listeners that the session of this record has ended. */
void manager_tell_end(struct manager *m, struct record *record,
                      enum reason reason, struct instant now);
/* Are listeners to hear of what other members did by this manager, which asks
 * for it at its start? Of two parts the first one that asks tells them: else
 * they would hear twice. */
bool manager_may_hear(struct manager *m);
/* What another member did, for listeners that want to hear of it here: counts
 * nothing. old_id: the id that the session had before. */
void manager_hear_created(struct manager *m, struct record *record,
                          struct instant now);
void manager_hear_end(struct manager *m, struct record *record,
                      enum reason reason, struct instant now);
void manager_hear_new_id(struct manager *m, struct record *record,
                         const uint8_t old_id[ID_SIZE], struct instant now);
/* Arms the entry's timer for its next due moment. Lock held. */
void manager_arm(struct manager *m, struct table_stripe *stripe,
                 struct entry *entry, struct instant now);
/* Of the keys of users' records, as known at this moment. */
static inline const uint8_t *manager_secret(const struct manager *m)
{
    const uint8_t *known = atomic_load(&m->secret_known);
    return known ? known : m->secret;
}
/* This node's number in stamps and slots of that id. It differs per id, so
 * that what was added under an old id and under the new one after a change of
 * id stands in two slots, and both count. */
uint64_t manager_writer(const struct manager *m, const uint8_t id[ID_SIZE]);

#endif
