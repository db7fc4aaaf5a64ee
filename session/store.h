/* SPDX-License-Identifier: Apache-2.0
 *
 * store.h: a place outside the process that keeps sessions (caller's view).
 *
 * What    A store sees (id, bytes, expiry, version) and never an attribute.
 *         Two questions: get the row of an id; put bytes for an id if the
 *         stored version is still the one that I know. Callers: managers/,
 *         and container/ for `margay sessions`. Who implements one reads
 *         session/store_impl.h.
 * Calls   A question is a struct store_call that the caller owns. The submit
 *         function either answers at once (any code but RC_PENDING; `done` is
 *         not called) or returns RC_PENDING and calls call->done exactly once,
 *         from any thread, perhaps before it returned. The call and all it
 *         points to stay valid until then.
 * Answers RC_OK, RC_ABSENT (no row), RC_CONFLICT (another version; the call
 *         carries it), RC_UNAVAILABLE (nothing was written), RC_UNCERTAIN (a
 *         put may have been applied), RC_TOOBIG (over the store's item limit).
 *         ABSENT and UNAVAILABLE are never merged.
 * Time    Expiry is wall clock milliseconds. A row is kept until its expiry;
 *         a manager adds the 60 s for which the reason of an end is told. A
 *         row past it is found until somebody removes it, or not: a store
 *         need not read a clock.
 * Threads Any, except store_close. */
#ifndef MARGAY_SESSION_STORE_H
#define MARGAY_SESSION_STORE_H

#include "session/instant.h"
#include "session/log.h"
#include "session/option.h"
#include "session/rc.h"
#include "session/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_call;
struct store_page;
struct store_ops;

typedef void store_done_fn(struct store_call *call);

struct store_call {
    /* the caller fills in */
    store_done_fn *done;
    uint8_t id[16];
    uint64_t version;  /* get: the version that I hold, 0 = none.
                          put: the version that must be stored, 0 = no row */
    const void *bytes; /* put: borrowed until the answer */
    size_t len;
    int64_t expiry; /* put: wall ms */

    /* the answer */
    enum rc rc;
    bool unchanged;       /* get: OK, and the version is the one that I hold:
                             found is not filled */
    uint64_t new_version; /* get, put CONFLICT: what is stored; put OK: what
                           was written. Never 0, never repeats for an id */
    void *found;          /* get OK, put CONFLICT: the stored bytes; malloc'ed,
                             the caller frees them */
    size_t found_len;
    enum reason gone; /* ABSENT: EVICTED or LOST where the store knows that it
                         dropped what it had of this id, else UNKNOWN */
    bool only_this;   /* UNAVAILABLE: for what is in the place of this row,
                         which cannot be used; the store is well else, */
    bool newer;       /* and a newer release wrote it */
    bool refused;     /* UNAVAILABLE: for want of rights, or by a password; no
                         use to ask again before somebody changes them */
    struct err err;   /* for UNAVAILABLE, UNCERTAIN, TOOBIG */

    /* the store's own while the call is under way */
    struct store_call *next;
    bool is_put;
};

/* What the instance tells each store at open. All borrowed for its life. */
struct store_env {
    struct log *log;
    const char *app;       /* "/login": rows of two applications never meet */
    const char *node;      /* for the log */
    unsigned min_replicas; /* a put is done when so many replicas of the store
                              have it as well */
    bool makes_nothing;    /* a file or folder that is not there is not made:
                              it would be another user's than the rest */
};

struct store_stats {
    uint64_t get_ok, get_unchanged, get_absent, get_failed;
    uint64_t put_ok, put_conflict, put_absent, put_failed, put_uncertain;
    uint64_t batches, expired;
    uint64_t queued; /* puts and gets that wait at this moment */
    bool available;  /* the last contact succeeded, with each of its servers */
};

/* Could such a store ever work, as far as its options say? RC_ILLEGAL: not
 * before somebody has removed what is in its place; store_open waits for that.
 * Nothing is reached, nothing is made. */
enum rc store_examine(const struct store_ops *ops, const void *options,
                      const struct store_env *env, struct err *err);
/* Two stores of that kind, by their options: are they one, however that is
 * written? false: they are not known to be. */
bool store_is_same(const struct store_ops *ops, const void *one,
                   const void *other);
/* Opens a store of that kind and starts its thread. options: a struct that
 * ops->options filled, borrowed until store_close. A store that cannot be
 * reached now opens all the same and answers UNAVAILABLE until it can; only a
 * configuration that can never work is an error. */
enum rc store_open(const struct store_ops *ops, const void *options,
                   const struct store_env *env, struct store **out,
                   struct err *err);
/* Answers what is queued (with UNAVAILABLE after grace_ms), ends the thread,
 * frees the store and nulls the pointer. No call may be submitted any more. */
void store_close(struct store **store, int grace_ms);

enum rc store_get(struct store *store, struct store_call *call);
/* A compare-and-set on call->version. Both may be called from a done
 * callback. While the store is known to be unusable both answer
 * RC_UNAVAILABLE at once. */
enum rc store_put(struct store *store, struct store_call *call);

/* Removes rows whose expiry is before now.wall, at most `limit`, and hands
 * each removed row to `each` (on the store's thread). Returns at once; the
 * work is done in the store's own time. Does nothing where the store expires
 * by itself. One process at a time gets a given row. A request that still
 * waits is replaced by the next one. */
typedef void store_removed_fn(void *user, const uint8_t id[16],
                              const void *bytes, size_t len);
void store_expire(struct store *store, struct instant now, unsigned limit,
                  store_removed_fn *each, void *user);

/* --- listing -------------------------------------------------------------- */

#define STORE_PAGE_MAX 1000 /* a page's limit is at most that */

/* Where a listing stands. Zeroed: at its beginning. It may be kept and used
 * later, with another store of the same kind on the same rows. */
struct store_cursor {
    bool begun;
    uint8_t at[16]; /* the store's own */
};

/* Some of the ids that are stored for this application, those of users'
 * records and tombstones as well: whoever wants the sessions gets the rows.
 * The call is like a struct store_call. */
struct store_page {
    /* the caller fills in */
    void (*done)(struct store_page *page);
    struct store_cursor cursor; /* zeroed, then as the last page left it */
    unsigned limit;             /* 1 .. STORE_PAGE_MAX */

    /* the answer */
    enum rc rc;         /* RC_OK, RC_UNAVAILABLE (ask again),
                           RC_UNSUPPORTED, RC_CONFLICT: the rows are not where
                           the cursor stands any more, begin anew */
    bool more;          /* ask for the next page */
    uint8_t (*ids)[16]; /* malloc'ed, the caller frees them */
    size_t count;
    bool refused; /* as in a call */
    struct err err;

    /* the store's own */
    struct store_page *next;
    size_t room;
};

/* Asks for a page. What is there from the first page to the last is listed,
 * once; what comes or goes meanwhile may be. Pages hold at most `limit` ids,
 * and the last one fewer. A store says in its header where it promises less
 * (RedisStore: an id may come twice, a page may hold some more, or none though
 * there are more). RC_PENDING: `done` is called, as with a call. */
enum rc store_list(struct store *store, struct store_page *page);
/* Is it a store that lists? */
bool store_lists(const struct store *store);

/* Does store_get answer at once, in the caller's thread? */
bool store_reads_inline(const struct store *store);
/* May it drop rows before their time? */
bool store_forgets(const struct store *store);
/* Has it several servers, of which some may be away? */
bool store_is_split(const struct store *store);
/* False: what is asked about this id is refused at once. */
bool store_usable(const struct store *store, const uint8_t id[16]);
void store_stats(struct store *store, struct store_stats *out);
const char *store_name(const struct store *store);
/* One sentence for web pages: "SQLite file y.db". Returns out. Strangers read
 * it: no password, and no folder; the log has the whole path. */
const char *store_describe(const struct store *store, char *out, size_t size);

#endif
