/* SPDX-License-Identifier: Apache-2.0
 *
 * commit.h: the end of a request, step by step. For session/commit*.c only.
 *
 * What    A commit is a row of writes; each may answer at once or later. The
 *         flow keeps where it stands. `next` prepares the next write or says
 *         that all is done; `answer` looks at what came back.
 *
 *             flushed before     the answers of that, first of all
 *             created            CREATE
 *             changed            CHANGE        (renamed meanwhile: follow)
 *             ended              END           (renamed meanwhile: follow)
 *             (before an END of what stands in two managers: its farewell)
 *             new id             CREATE new, END old, and CHANGE new with what
 *                                the old one had got in between
 *             login, or a        the same, then the user's record: CHANGE, or
 *             new id of a user   CREATE when there is none; then END of what
 *                                maxSessionsPerUser leaves out
 *
 * Threads Whoever completes a write goes on with the flow: one thread at a
 *         time, never two. */
#ifndef MARGAY_SESSION_COMMIT_H
#define MARGAY_SESSION_COMMIT_H

#include "session/manager_counters.h"

enum commit_step {
    STEP_FLUSHED, /* waits for what this request published before */
    STEP_CREATE,
    STEP_CHANGE,
    STEP_END,
    STEP_RENAME_CREATE,
    STEP_RENAME_END,
    STEP_RENAME_MERGE,
    STEP_RENAME_UNDO,
    STEP_USER_CHANGE,
    STEP_USER_CREATE,
    STEP_USER_LOOK,
    STEP_USER_PRUNE,
    STEP_USER_END,
    STEP_DONE
};

/* One session of the user, from the user's record. */
struct user_session {
    uint8_t id[ID_SIZE];
    int64_t stamp;
    bool alive;
    struct record *marked; /* NULL: it does not stand in two managers */
};

/* What only a login or a flush needs: kilobytes that a hit does without. */
struct commit_more {
    struct changes own;  /* flush: the changes; user steps: the entry */
    struct find_op find; /* STEP_USER_LOOK */
};

struct commit_flow {
    struct manager_write w; /* first: w.done gets the flow back */
    struct manager *m;
    struct commit_op *op; /* NULL: a flush */
    struct session *s;    /* NULL: a flush */
    const struct changes *changes;
    struct instant now;
    enum commit_step step;
    uint8_t id[ID_SIZE];  /* under which the session goes on */
    struct record *whole; /* the record made under the new id */
    int hops;             /* renames followed */
    int unavailable;      /* changes of the user's record */
    bool maybe;           /* done under one of them, perhaps */
    bool parted;          /* of what w ends the farewell was left */
    int64_t birth;
    /* login */
    uint8_t user_key[ID_SIZE];
    struct user_session *others;
    size_t other_count, other_at;
    /* a flush */
    struct commit_flow *next;   /* of the session's */
    struct commit_flow *waiter; /* the commit that needs its answer */
    atomic_int meet;            /* commit_flush.c */
    struct commit_more *more;   /* NULL until commit_more_of */
    /* the answer; its text is w.err */
    enum rc rc;
    enum reason reason;
};

/* commit.c */
enum commit_step commit_first_step(const struct session *s);
struct commit_flow *commit_flow_new(struct manager *m, struct session *s,
                                    struct instant now);
void commit_flow_free(struct commit_flow **flow);
struct commit_more *commit_more_of(struct commit_flow *flow);
/* Takes steps; when all are done the flow is answered, and may be gone. */
void commit_flow_go_on(struct commit_flow *flow);

/* commit_flush.c. A flush has its answer: */
void commit_flush_answered(struct commit_flow *flow);
/* STEP_FLUSHED: false while an answer is missing; the flow then goes on with
 * it. Else session.flush_rc says how they went. */
bool commit_flush_wait(struct commit_flow *flow);

/* commit_user.c: the part of a login that keeps the user's record. Each sets
 * flow->step to what comes next. */
void commit_user_begin(struct commit_flow *flow);
void commit_user_prepare(struct commit_flow *flow);
void commit_user_answer(struct commit_flow *flow);
/* STEP_USER_LOOK: the answer of flow->more->find. */
void commit_user_looked(struct commit_flow *flow);
void commit_user_release(struct commit_flow *flow);

#endif
