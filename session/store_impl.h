/* SPDX-License-Identifier: Apache-2.0
 *
 * store_impl.h: how to write a store (implementer's view). Only files in
 * managers/stores/ and the thread that drives them (managers/store_thread.c)
 * include it; everybody else uses session/store.h.
 *
 * What    A store is one file that ends in one const struct store_ops, plus
 *         one line in managers/store_list.h, plus one line in
 *         managers/module.am. It is plain blocking code: it runs on the
 *         store's own thread, in batches. What has queued up while the last
 *         batch ran is the next batch: one transaction, one pipeline.
 * Threads `run`, `expire`, `list` and `check` are called by the store's
 *         thread only, never two at once (the first check by the one who
 *         opens, before that thread exists). `get` is called by any thread,
 *         many at once, and only when STORE_READS_INLINE or
 *         STORE_READS_PERHAPS is set; else gets arrive in batches.
 * Errors  A store fills err texts and never logs a failure: the thread logs a
 *         change of state once. So a text says what to do next, and the same
 *         cause gives the same text.
 * Time    A batch must end within about 1 s whatever the outside does; the
 *         requests have given up by then. */
#ifndef MARGAY_SESSION_STORE_IMPL_H
#define MARGAY_SESSION_STORE_IMPL_H

#include "session/store.h"

enum store_flag {
    STORE_READS_INLINE = 1, /* get is cheaper than a wait: any thread calls */
    STORE_SELF_EXPIRES =
        2,                 /* rows vanish by themselves: expire is not called */
    STORE_LOCAL = 4,       /* forgets with the process (reference, tests) */
    STORE_LISTS = 8,       /* has `list` */
    STORE_REMOTE = 16,     /* lies behind a network: while it cannot be used,
                              the checks become rarer */
    STORE_REPLICATES = 32, /* knows what env.min_replicas means */
    STORE_READS_PERHAPS = 64, /* as READS_INLINE, but get may leave RC_PENDING:
                                 then that read arrives in a batch */
    STORE_FORGETS = 128 /* drops rows for want of room, or with its memory */
};

/* Begins the struct of every store. */
struct store_base {
    const struct store_ops *ops;
    const void *options;
    struct store_env env;
    unsigned flags;    /* begins as ops->flags; open may change it (a wrapper
                          takes over those of what it wraps), nobody later */
    const char *label; /* which of several "can be used" again, in the log;
                          NULL: ops->name. open may set it */

    /* With part_of: stores of their own (store_open), each with its thread and
     * its state, that open fills in. close finds them closed, and frees the
     * array. */
    struct store **parts;
    unsigned part_count;
};

/* Looks at the configuration alone, reaches nothing and makes nothing:
 * RC_INVALID when it can never work, RC_ILLEGAL when something is in its place
 * that has to go. */
typedef enum rc store_examine_fn(const void *options,
                                 const struct store_env *env, struct err *err);
/* `store` points to ops->size zeroed bytes that begin with a filled struct
 * store_base. Looks at the configuration only: RC_INVALID when it can never
 * work (close is not called then). To reach the outside is check's part. */
typedef enum rc store_open_fn(struct store_base *store, struct err *err);
typedef void store_close_fn(struct store_base *store);
/* Fills the answer of a get: rc, unchanged, new_version, found, err. */
typedef void store_get_fn(struct store_base *store, struct store_call *call);

/* At most so many calls are handed out in one batch. */
#define STORE_BATCH_MAX 256

/* The batch that is being run: four questions that the store asks of whoever
 * runs it. That is the store's thread, or a wrapper, which gives the store
 * that it wraps a batch of its own and so sees, changes or withholds what
 * passes (stores/wrapper.h). */
struct store_batch {
    struct store_call *(*next)(struct store_batch *batch);
    void (*answer)(struct store_batch *batch, struct store_call *call,
                   enum rc rc);
    void (*hold)(struct store_batch *batch, struct store_call *call);
    void (*settle)(struct store_batch *batch, enum rc rc,
                   const struct err *err);
};

/* The next call, or NULL when nothing is queued now. Calls that arrive while
 * the batch runs are handed out too: a put that was answered CONFLICT comes
 * back merged and succeeds under the lock that the batch still holds. */
static inline struct store_call *store_batch_next(struct store_batch *batch)
{
    return batch->next(batch);
}

/* Answers at once: for what does not depend on the end of the batch (gets,
 * CONFLICT, ABSENT, failures). The call is the caller's again: it may be gone
 * when this returns. */
static inline void store_batch_answer(struct store_batch *batch,
                                      struct store_call *call, enum rc rc)
{
    batch->answer(batch, call, rc);
}

/* Remembers a put as done if the batch ends well; its new_version is filled. */
static inline void store_batch_hold(struct store_batch *batch,
                                    struct store_call *call)
{
    batch->hold(batch, call);
}

/* Answers every held call: RC_OK after the commit, RC_UNAVAILABLE after a
 * rollback, RC_UNCERTAIN when nobody knows. err may be NULL for RC_OK. A
 * batch may settle more than once and go on. */
static inline void store_batch_settle(struct store_batch *batch, enum rc rc,
                                      const struct err *err)
{
    batch->settle(batch, rc, err);
}

/* Runs one batch: take calls with store_batch_next until NULL, answer or hold
 * each, settle. When it returns nothing may be held. A store that cannot go on
 * may return early: what it did not take stays queued, and the thread asks
 * check before it runs the next batch. */
typedef void store_run_fn(struct store_base *store, struct store_batch *batch);

typedef void store_expire_fn(struct store_base *store, struct instant now,
                             unsigned limit, store_removed_fn *each,
                             void *user);
/* Fills the page (managers/stores/listing.h) and moves its cursor, in about as
 * much time as a batch may take. Memory is that of a page, not of the store. */
typedef enum rc store_list_fn(struct store_base *store,
                              struct store_page *page);
/* Called once before the store is used, then about four times a second and
 * after each batch that failed: looks whether the store is there, connects
 * anew where that is needed (with STORE_REMOTE after up to a second while it is
 * not there, each time after another while). RC_OK: it can be used.
 * RC_UNAVAILABLE: not now; calls are answered at once with err's text.
 * RC_ILLEGAL: as UNAVAILABLE, by a password or for want of rights: nothing
 * changes before somebody changes these.
 * RC_INVALID: it can never work; at the first check store_open fails with it,
 * later it is as UNAVAILABLE. */
typedef enum rc store_check_fn(struct store_base *store, struct err *err);
typedef void store_describe_fn(const struct store_base *store, char *out,
                               size_t size);
/* By their options, in whatever words: would the rows of two meet? */
typedef bool store_same_fn(const void *one, const void *other);
/* A store of several servers, each of which keeps its share whatever becomes of
 * the others: the index of the part that keeps this id. Any thread. The rest is
 * the parts': the whole has no thread, and run, get and check are not called.
 */
typedef unsigned store_part_fn(const struct store_base *store,
                               const uint8_t id[16]);

struct store_ops {
    const char *name;    /* "SQLiteStore": className in server.xml */
    const char *summary; /* one line for help */
    size_t size;         /* of the struct that begins with store_base */
    size_t options_size; /* of the struct that `options` fills; may be 0 */
    const struct option *options;
    unsigned flags;
    store_examine_fn *examine;   /* before open; NULL: there is nothing wrong */
    store_same_fn *same;         /* NULL: as they are written */
    store_open_fn *open;         /* required */
    store_close_fn *close;       /* required */
    store_run_fn *run;           /* required without part_of */
    store_part_fn *part_of;      /* NULL: it is one */
    store_get_fn *get;           /* required with STORE_READS_INLINE */
    store_expire_fn *expire;     /* required without STORE_SELF_EXPIRES */
    store_list_fn *list;         /* required with STORE_LISTS */
    store_check_fn *check;       /* NULL: always usable */
    store_describe_fn *describe; /* NULL: the name */
};

#endif
