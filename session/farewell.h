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
 * Threads Any. */
#ifndef MARGAY_SESSION_FAREWELL_H
#define MARGAY_SESSION_FAREWELL_H

#include "session/manager_impl.h"

/* Of this write, which was answered, one is to be left: it ended such a
 * session, or in one of the two only (UNCERTAIN): then the other one may hear
 * of it when that one does not tell it any more. */
bool farewell_is_due(const struct manager_write *w);
/* The one of this session, to be created now; a reference. */
struct record *farewell_new(const struct manager *m, struct record *ended,
                            struct instant now);
void farewell_id(const uint8_t id[ID_SIZE], uint8_t out[ID_SIZE]);
bool farewell_is(const struct record *record);

#endif
