/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_errand.h: the inside of errands, for managers/backup_errand*.c only.
 *
 * What    A request at a member that is not the acting primary. The errand goes
 *         to whoever is, and again when that turns out to be another, or dead:
 *         what it brings may arrive twice, and counts once.
 *         backup_errand.c        its life, answers, find
 *         backup_errand_write.c  write
 * Laws    - It belongs to whatever it waits for: a call, a pause, a flight, an
 *           inquiry. Whoever is given one hands it on, or ends it.
 *         - No lock is held where one is handed on. */
#ifndef MARGAY_MANAGERS_BACKUP_ERRAND_H
#define MARGAY_MANAGERS_BACKUP_ERRAND_H

#include "managers/backup_impl.h"

/* the one that the cookie names, and those that its creator chose */
#define ASKED_MAX (PLACE_HOLDERS + 1)

struct errand {
    struct channel_call call; /* first */
    struct channel_pause pause;
    struct channel_wait told; /* of the new id */
    struct backup *b;
    struct find_op *op; /* one of these */
    struct manager_write *w;
    int64_t deadline, inquire_at;
    uint64_t listed;    /* the stamp of the place by which it asks; 0: none */
    uint64_t uncertain; /* WRITE: when it was applied */
    /* members that were asked for an id that has no place here */
    uint64_t asked[ASKED_MAX];
    unsigned asked_count;
    bool unsure;  /* one of them could not say */
    bool applied; /* WRITE: to the copy here, which must stay */
    bool made;    /* END: but for that: the copy here gets it with the answer */
    bool sent;    /* WRITE: it may have arrived */
    bool maybe;   /* and one to whom it was sent did not say what came of it */
};

static inline const uint8_t *errand_id(const struct errand *r)
{
    return r->op ? r->op->id : r->w->id;
}

static inline bool is_making(const struct errand *r)
{
    return r->w && r->w->kind == WRITE_CREATE;
}

/* ---- backup_errand.c ---- */

/* NULL: there are too many. */
struct errand *errand_new(struct backup *b, struct instant now,
                          struct err *err);
/* Without an answer: somebody else gives it. */
void errand_free(struct errand *r);
void errand_end(struct errand *r, enum rc rc);
void errand_fail(struct errand *r);
/* Looks anew who is to be asked. */
void errand_go_on(struct errand *r, struct instant now);
/* The same when something has changed, or a little later. */
void errand_pause(struct errand *r, struct instant now);
void errand_absent(struct errand *r, enum reason reason, struct instant now);
/* delta, borrowed: of a CALL_COMMIT. have: a sum of what is here; 0: none. */
void errand_call(struct errand *r, uint64_t to, enum call_kind kind,
                 uint64_t have, struct record *delta);
/* None of its holders is here: one that took their place may not have told us
 * yet, and it was chosen in the same order. */
void errand_ask_others(struct errand *r, struct instant now);

/* ---- backup_errand_write.c ---- */

void errand_unpin(struct errand *r);
/* May others know of the change by now? No lock is held. */
bool errand_may_stand(const struct errand *r);
/* It has a place here. */
void errand_write_go_on(struct errand *r, struct place *p, struct instant now);
void errand_create_go_on(struct errand *r, struct instant now);
/* What the call of a write brought. */
void errand_write_came(struct errand *r, struct instant now);
void errand_commit_came(struct errand *r);
void errand_ended_came(struct errand *r, struct instant now);

#endif
