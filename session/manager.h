/* SPDX-License-Identifier: Apache-2.0
 *
 * manager.h: where sessions are (caller's view).
 *
 * What    One manager per web application. A request does three things:
 *
 *             manager_find    -> record (or why there is none, or not known)
 *             manager_attach  -> struct session; the servlet works on it
 *             manager_commit  -> its changes are kept as promised
 *
 *         The wrapper (manager.c) does once what no manager should repeat: id
 *         checks before any look-up, limits, expiry, statistics, events, new
 *         ids, the sessions of a user. Who implements a manager reads
 *         session/manager_impl.h.
 * Calls   manager_find and manager_commit take an operation that the caller
 *         owns. They either answer at once (any code but RC_PENDING; `done` is
 *         not called) or return RC_PENDING and call op->done exactly once, from
 *         any thread, perhaps before they returned. The operation stays valid
 *         until then, however long the caller is willing to wait: deadlines
 *         are the caller's.
 * Answers of find: RC_OK; RC_ABSENT with a reason: a new session may begin;
 *         RC_UNAVAILABLE: not known, 503, the cookie stays.
 *         of commit: RC_OK; RC_ENDED with the reason: drop the servlet's
 *         response, 401; RC_UNAVAILABLE (nothing was done) and RC_UNCERTAIN
 *         (may have been): 503.
 * Threads Any thread, any time between manager_start and manager_stop.
 * Locks   A manager's stripe locks are the innermost; no callback runs under
 *         one (session/README.md). */
#ifndef MARGAY_SESSION_MANAGER_H
#define MARGAY_SESSION_MANAGER_H

#include "session/log.h"
#include "session/option.h"
#include "session/session.h"

struct channel;
struct manager;
struct manager_ops;
struct store_ops;

/* What the instance tells a manager. Strings are borrowed for its life. */
struct manager_env {
    struct log *log;
    const char *app;         /* "/login": keys of two applications never meet */
    const char *node;        /* "node1" */
    uint64_t node_number;    /* one start of this node: id_mint_node */
    const char *work_dir;    /* for relative paths; NULL: the current one */
    struct channel *channel; /* to the other members; NULL: no <Cluster> */
    struct session_listeners listeners;
    /* manager_stop calls it where it has to wait, for about so long each time,
     * in its thread. false: it is to wait no longer. NULL: nobody cares. */
    bool (*pause)(void *user, int ms);
    void *pause_user;
};

/* Attributes of <Manager> that every manager has. */
struct manager_options {
    int64_t max_active_sessions; /* -1: no limit */
    int64_t max_session_bytes;
    int64_t max_inactive;          /* seconds; 0: never */
    int64_t max_lifetime;          /* seconds; 0: none */
    int64_t max_sessions_per_user; /* -1: no limit */
    int on_exceeded;               /* enum manager_exceeded */
    int64_t access_interval;       /* seconds; 0: max_inactive / 20 in 1..60 */
    bool notify_attribute_listener_on_unchanged_value;
    char *session_attribute_name_filter; /* NULL, "": every name is shared */
    bool warn_on_session_attribute_filter_failure;
};
enum manager_exceeded { EXCEEDED_END_OLDEST, EXCEEDED_REJECT };
extern const struct option manager_option_table[];
/* How much later than a store knows a session may have been used, in ms: what
 * every copy adds to the idle limit. */
int64_t manager_grace_ms(const struct manager_options *o);
/* The same of one session, by its own limit (seconds; 0: never): where that is
 * shorter than usual, others hear of it more often. */
int64_t manager_own_grace_ms(const struct manager_options *o,
                             int64_t max_inactive);

struct find_op {
    void (*done)(struct find_op *op);
    uint8_t id[ID_SIZE];
    struct instant now;
    bool read_only;    /* for manager_attach */
    bool peek;         /* only look: no access, no statistics */
    const char *route; /* what the cookie says of where it was; NULL: nothing */
    size_t route_len;
    void *user_data; /* for manager_attach: handed to listeners */

    enum rc rc;
    enum reason reason; /* ABSENT; RENAMED is told to a browser as UNKNOWN */
    uint8_t new_id[ID_SIZE]; /* RENAMED */
    struct record *record;   /* OK: a reference; manager_attach takes it */
    int64_t last_access;     /* OK: wall ms, of the request before this one */
    struct err err;          /* UNAVAILABLE: for the log */

    struct manager *manager; /* the manager's own */
};

struct commit_op {
    void (*done)(struct commit_op *op);
    struct session *session; /* not touched by anybody else until the answer */
    struct instant now;
    /* set, at any time before the answer, by whoever waits for it no longer:
     * what failed is not tried again. done is called all the same */
    _Atomic bool left;

    enum rc rc;
    enum reason reason; /* ENDED */
    struct err err;
};

/* session/manager.h counts; monotonic but for the first group. */
struct manager_stats {
    uint64_t active, proxies, backups, tombstones, max_active;
    uint64_t created, renamed, rejected, revivals_refused, conflicts;
    uint64_t ended[REASON_COUNT];   /* by reason */
    uint64_t refused[REASON_COUNT]; /* ids that came and were not live */
    uint64_t finds, commits, commits_changed;
    uint64_t user_sessions_left_out;
    uint64_t alive_seconds_sum, alive_seconds_max; /* of ended sessions */
    uint64_t oldest_unsaved_ms, unsaved;           /* what would be lost now */
    uint64_t store_ops[8]; /* get ok/absent/failed, put ok/conflict/absent/
                              failed/uncertain */
    uint64_t unreadable;   /* stored rows that could not be read */
    bool has_store, store_available;
    uint64_t of_next; /* that hold the field which only a build of the next
                         release writes and counts */
    uint64_t asides;  /* sessions, some ended, of which something stays here */
    uint64_t strays;  /* changes of others that came before their session */
    /* BackupManager: sessions with fewer copies than they should have; those
     * that got another primary because their requests went there; copies that
     * were made in the place of others */
    uint64_t exposed, moved, handed_over;
    uint64_t left_out; /* changes made under an id that was replaced meanwhile
                          and not known to be written under the new one */
    uint64_t place_bytes; /* of what says who holds which session */
    /* A rolling change (docs/rolling-change.md): all that the previous manager
     * keeps is kept by the next one, too; how many sessions were brought over
     * here; those of which the last walk could not tell */
    bool has_previous, previous_complete;
    uint64_t carried, previous_open;
};

/* The options of a manager over two others (managers.h: manager_succession):
 * each as manager_new wants it. */
struct manager_part {
    const struct manager_ops *ops;
    const struct manager_options *common;
    const void *options;
    const struct store_ops *store_ops;
    const void *store_options;
};
struct manager_pair {
    struct manager_part next, previous;
    bool by_use; /* what nobody uses does not come over (tests) */
};

/* Makes a manager of that kind. options: what ops->options filled; store_ops
 * and store_options: NULL for managers without a store. All borrowed until
 * manager_free. */
enum rc manager_new(const struct manager_ops *ops,
                    const struct manager_options *common, const void *options,
                    const struct store_ops *store_ops,
                    const void *store_options, const struct manager_env *env,
                    struct manager **out, struct err *err);
/* Loads what was kept. `find` answers UNAVAILABLE until it is complete. */
enum rc manager_start(struct manager *m, struct instant now, struct err *err);
/* No new request comes any more: what other members are to take over goes to
 * them, while ticks come and the cluster's loop turns. manager_left: that is
 * done, as far as it can be. Both are of the loop's thread. */
void manager_leave(struct manager *m, struct instant now);
bool manager_left(struct manager *m);
/* No new request comes any more; saves what is to be kept. within_ms: how long
 * it may take, and waits for a store that is away. */
void manager_stop(struct manager *m, struct instant now, int within_ms);
void manager_free(struct manager **m);

/* May it answer at this moment? false: /health says `starting`. */
bool manager_ready(const struct manager *m, struct instant now);
/* How long a commit may have to wait for others before they are given up; 0:
 * it depends on nobody in that way. From the start on. */
int64_t manager_commit_ms(const struct manager *m);

enum rc manager_find(struct manager *m, struct find_op *op);
/* Counts an id that never reached find (REASON_NONE, REASON_MALFORMED). */
void manager_refused(struct manager *m, enum reason reason);
/* Begins the request's view of a found session; takes op->record. */
void manager_attach(struct manager *m, struct find_op *op, struct session *s);
/* Begins a new session; nobody else hears of it before the commit. RC_TOOBIG:
 * maxActiveSessions is reached. */
enum rc manager_create(struct manager *m, struct instant now, void *user_data,
                       struct session *s, struct err *err);
/* Once, at the end of the request. Nothing changed: RC_OK at once. The session
 * stays attached: it can still be read, as this request saw it. */
enum rc manager_commit(struct manager *m, struct commit_op *op);
/* Publishes what changed so far, and does not wait: the commit does, and
 * answers for it. */
void manager_flush(struct manager *m, struct session *s, struct instant now);

/* Once a second: ends what is due. Costs what is due. */
void manager_tick(struct manager *m, struct instant now);
void manager_stats(struct manager *m, struct manager_stats *out);
/* "PersistentManager: SQLite file sessions.db": strangers may read it. Returns
 * out. */
const char *manager_describe(const struct manager *m, char *out, size_t size);
const struct manager_options *manager_options(const struct manager *m);

#endif
