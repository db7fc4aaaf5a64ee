/* SPDX-License-Identifier: Apache-2.0
 *
 * succession.h: the inside of the manager over two others, for
 * managers/succession*.c only. What it promises in which phase of a rolling
 * change: docs/rolling-change.md.
 *
 * What    Two parts, each a manager with its own table: the NEXT, which stays,
 *         and the PREVIOUS, which other instances may still know alone. A
 *         record knows by its registers what is newer, so a find merges what
 *         both say, brings to each what it lacks, and answers then; a write
 *         goes to the next one, which stamps it, and with the same stamps to
 *         the previous one.
 * Eras    Each part keeps a marker: a record with a random number, its era. It
 *         lasts as long as what the part keeps: with another one a part has
 *         lost everything, and nobody is complete any more. A session that
 *         stands in both is marked with a number made of its id and both eras.
 * Ends    A part tells of an end for a minute. Whoever ends a session that is
 *         marked leaves a farewell there (session/farewell.h), which lasts
 *         longer than what is left in the other part: where a part does not
 *         know a session, that says whether it has ended. Nothing else does:
 *         not to be known may as well mean that a part lost it, or that it
 *         idled out there while it was used elsewhere.
 * Laws    - The next one is the arbiter: of two requests that end a session,
 *           the one that ended it there tells its listeners.
 *         - A part never tells an end by itself (manager.face).
 *         - Nothing is answered FOUND that one of the parts is known to lack,
 *           but for what is too big for the previous one.
 * Threads Any; the walk is a thread of its own, which waits for nobody longer
 *         than the stop allows. An answer of one part may come, and go on to
 *         the other, while that is about to stop: so the stop waits for those
 *         who are inside (part_find, part_write), and lets nobody in again. */
#ifndef MARGAY_MANAGERS_SUCCESSION_H
#define MARGAY_MANAGERS_SUCCESSION_H

#include "session/manager_impl.h"

#include <pthread.h>

enum { NEXT, PREVIOUS, PARTS };

struct walk {
    pthread_t thread;
    pthread_mutex_t lock; /* below; asked.done too */
    pthread_cond_t news;
    bool started, stop;
    struct instant now; /* of the last tick */
    int64_t began;      /* mono ms: of the manager */
    int64_t next;       /* mono ms: of the next walk */
};

struct succession {
    struct manager base;
    struct manager_options common[PARTS];
    struct manager *part[PARTS];
    _Atomic int64_t era[PARTS]; /* 0: not known yet */
    atomic_bool complete;
    atomic_bool stopping; /* then nothing is asked of the parts any more */
    atomic_int inside;    /* threads that ask them something now */
    _Atomic uint64_t carried, open;
    _Atomic uint64_t lost; /* looks that found that the next one has lost it */
    struct walk walk;
};

static inline struct succession *succession_of(struct manager *m)
{
    return (struct succession *)m;
}

/* ---- succession_part.c ---- */

/* Like manager_find and ops->write of the part, but for statistics. */
enum rc part_find(struct manager *part, struct find_op *op);
enum rc part_write(struct manager *part, struct manager_write *w);
/* Is it over for good, whatever another copy says? Not by itself: IDLE, LOST,
 * EVICTED, and UNKNOWN in the answer of a find. */
bool is_decided(enum reason reason);

/* The era of a part that was found: 0, the record is no marker. */
int64_t era_of(const struct record *marker);
void marker_id(int part, uint8_t out[ID_SIZE]);
/* 0: not known yet. */
int64_t mark_of(const struct succession *s, const uint8_t id[ID_SIZE]);
/* The delta that marks it; NULL: it is marked so. mark 0: not any more. */
struct record *mark_delta(struct succession *s, const struct record *record,
                          int64_t mark, struct instant now);
/* The mark that it has, and when it got it (wall ms); 0: none. */
struct mark {
    int64_t value, since;
};
struct mark mark_in(const struct record *record);
/* base and delta (may be NULL) in one; a reference. */
struct record *with_delta(struct record *base, struct record *delta);

/* What a repair wrote into the next one: that tells the others alone, so
 * listeners here hear it now, if they hear of others by the next one. */
void tell_brought(struct succession *s, struct record *record,
                  struct instant now);
void tell_ended(struct succession *s, const struct manager_write *end,
                struct instant now);

/* When an end is brought that one of them has seen. Of two ends the earlier one
 * stays (record.h): that is to be the one that somebody made, and tells of. */
static inline struct instant instant_of_repair(struct instant now)
{
    now.wall += 60000;
    return now;
}

/* ---- succession_find.c ---- */

enum rc succession_find(struct manager *m, struct find_op *op);

/* ---- succession_write.c ---- */

enum rc succession_write(struct manager *m, struct manager_write *w);

/* ---- succession_due.c ---- */

void succession_part_due(struct manager *m, struct manager *part,
                         const uint8_t id[ID_SIZE], enum reason reason,
                         struct instant now);

/* ---- succession_walk.c ---- */

void walk_start(struct succession *s, struct instant now);
void walk_tick(struct succession *s, struct instant now);
void walk_stop(struct succession *s);

#endif
