/* SPDX-License-Identifier: Apache-2.0
 *
 * redis_track.h: which versions are known to be stored still.
 *
 * What    Redis remembers what the store's connection has read (CLIENT
 *         TRACKING) and tells a second connection, which listens, when that is
 *         changed by somebody else, expires, or is forgotten. So a version
 *         that was read stands until it is told otherwise, and who holds that
 *         very version need not ask.
 * Laws    1. What is told here was true of the store at most `max_stale` ms
 *            ago: both connections have been heard to live since, the one by
 *            which Redis remembers and the one by which it tells. Both are
 *            asked in order, so an answer comes behind all that was told
 *            before it.
 *         2. A reply may come by the one connection after, by the other, it
 *            was told that it holds no more. So a version is kept only if its
 *            ticket, taken before the question left, is still there.
 *         3. After a write Redis forgets who has read the key, the writer
 *            too: what we write we know no more, until it is read again.
 *         4. A connection that is lost takes all that is known with it.
 *         5. Memory is bounded: a slot for each of so many ids; a newer id
 *            takes the place of an older one.
 * Threads track_knows: any. Who listens is a thread of its own. Everything
 *         else: the store's.
 * Source  https://redis.io/docs/manual/client-side-caching/ (RESP2). */
#ifndef MARGAY_MANAGERS_STORES_REDIS_TRACK_H
#define MARGAY_MANAGERS_STORES_REDIS_TRACK_H

#include "managers/stores/redis.h"
#include "managers/stores/redis_keys.h"

#include <stdbool.h>
#include <stdint.h>

struct track;

/* keys and log are borrowed. */
struct track *track_new(const struct redis_keys *keys, int64_t max_stale,
                        int64_t slots, struct log *log);
void track_free(struct track **track);

/* Is this the version that is stored, as far as needs no asking? */
bool track_knows(struct track *track, const uint8_t id[16], uint64_t version);

/* Before the question for an id leaves by the link. Returns its ticket, 0:
 * none. */
uint64_t track_asks(struct track *track, const struct redis_link *link,
                    const uint8_t id[16]);
void track_learns(struct track *track, const uint8_t id[16], uint64_t ticket,
                  uint64_t version);
/* Before a write of that id leaves. */
void track_writes(struct track *track, const uint8_t id[16]);

/* The link was checked just now, in a check that began at `since` (mono): it
 * lives, or there is none. Listens to where it leads, where that is needed and
 * can be done in timeout_ms. */
void track_follow(struct track *track, const struct redis_link *link,
                  int64_t since, int64_t timeout_ms);
/* It answered a question that left after `since`. */
void track_heard(struct track *track, const struct redis_link *link,
                 int64_t since);

#endif
