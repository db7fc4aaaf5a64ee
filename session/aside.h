/* SPDX-License-Identifier: Apache-2.0
 *
 * aside.h: attributes that stay in this process (sessionAttributeNameFilter).
 * For session/ only.
 *
 * What    Attributes whose names the expression does not describe are kept
 *         beside the manager's table, in one of the wrapper's own: as records
 *         that nobody else ever gets, so they are in no delta, digest, row or
 *         file. No manager knows of them. A session without one has nothing
 *         here.
 *         A name belongs to one side whatever the other has under it: what
 *         another process without this filter shares is not seen here.
 * Life    From the first change that was acknowledged until the manager's
 *         table has forgotten the id, which is looked at once in keep_ended_ms.
 *         Nobody finds what is left here of a session that has ended. A new id
 *         that a request of this process makes takes them along; the old one
 *         keeps a tombstone here, for requests that began before and commit
 *         afterwards.
 * Source  org/apache/catalina/session/ManagerBase.java
 *         (willAttributeDistribute).
 * Threads The manager's side: any. A session's: its request. */
#ifndef MARGAY_SESSION_ASIDE_H
#define MARGAY_SESSION_ASIDE_H

#include "session/manager.h"

struct asides; /* a manager's; NULL: every attribute is shared */

/* What a request sees of them, and changes. */
struct aside {
    struct record *record; /* snapshot; NULL: there were none */
    struct changes changes;
};

/* *out is NULL without a filter. RC_INVALID: err says what is wrong with it. */
enum rc asides_new(const struct manager_options *options, struct asides **out,
                   struct err *err);
void asides_free(struct asides **asides);
void asides_start(struct asides *asides, struct instant now);
/* Drops what belongs to no session any more. Once a second. */
void asides_tick(struct manager *m, struct instant now);

/* Sessions that have something here. */
size_t asides_count(const struct asides *asides);

/* Does the attribute stay here? Never without a filter. */
bool aside_is(const struct asides *asides, const char *name, size_t len);
/* What the session has here; NULL: nothing, or there is no filter. */
struct aside *aside_find(const struct manager *m, const uint8_t id[ID_SIZE]);
struct aside *aside_new(void);
void aside_free(struct aside **aside);
static inline bool aside_is_changed(const struct aside *aside)
{
    return aside && !changes_empty(&aside->changes);
}
/* The request's commit is done, and the session goes on under that id: so does
 * what it has here. */
void aside_commit(struct manager *m, const struct session *s,
                  const uint8_t id[ID_SIZE], struct instant now);

#endif
