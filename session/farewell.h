/* SPDX-License-Identifier: Apache-2.0
 *
 * farewell.h: what is left of a session that stood in two managers.
 *
 * What    During a rolling change of managers (docs/rolling-change.md) a
 *         session may be ended where only one of the two is known, while
 *         nobody who knows both is there to hear of it. An end is told for a
 *         minute, the copy in the other manager lives for as long as it may be
 *         idle. So whoever ends a session that is marked (FIELD_BOTH) leaves a
 *         record beside it, which its manager keeps for that long: where a
 *         manager does not know a session and has its farewell, it has ended.
 *         To managers and stores it is a user's record, with an id that is no
 *         session's.
 * Order   The farewell first, then the end: whoever dies between the two has
 *         told nobody that it ended, and the session lives; the other way
 *         round others would tell of an end that is undone later. A farewell
 *         beside a session that lives says nothing. Who does not know of a mark
 *         asks for an end of what is unmarked, and is refused
 *         (manager_impl.h).
 * Threads Any. */
#ifndef MARGAY_SESSION_FAREWELL_H
#define MARGAY_SESSION_FAREWELL_H

#include "session/farewell_id.h"
#include "session/manager_impl.h"

/* Does it stand in two managers? */
bool farewell_is_due(const struct record *record);
/* Of this write, which was answered, one is to be left, since who asked for it
 * did not know that what it ended was marked, and was not refused (the acting
 * primary has left one, if it knows of this; an older one has not). */
bool farewell_is_missed(const struct manager_write *w);

struct farewell {
    struct manager_write w; /* first */
    struct manager *m;
    struct record *record;
    struct changes again;
    void (*done)(struct farewell *f, enum rc rc);
};
/* Leaves the one of this session, which is about to end as id (it may have
 * another one by now). RC_OK: it is kept as a change is; any other code: that
 * is not known, w.err says why. RC_PENDING: done is called, once. */
enum rc farewell_leave(struct farewell *f, struct manager *m,
                       struct record *ended, const uint8_t id[ID_SIZE],
                       struct instant now);
/* After the answer. */
void farewell_release(struct farewell *f);
/* Leaves it and waits for nobody: for ends that nobody is told of. */
void farewell_send(struct manager *m, struct record *ended, struct instant now);

/* One to be created beside a session that lives, and that cannot be marked; a
 * reference. */
struct record *farewell_ahead(const struct manager *m,
                              const uint8_t id[ID_SIZE], struct instant now);

#endif
