/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions_seen.h: ids that were met.
 *
 * What    A set of session ids, 16 to 43 bytes each: they are random, so their
 *         first bytes say where they stand.
 * Owns    Zeroed: empty. sessions_seen_release.
 * Threads One. */
#ifndef MARGAY_CONTAINER_SESSIONS_SEEN_H
#define MARGAY_CONTAINER_SESSIONS_SEEN_H

#include "session/id.h"

#include <stdbool.h>
#include <stddef.h>

struct sessions_seen {
    uint8_t (*ids)[ID_SIZE]; /* zeros: free */
    size_t count, room;      /* room: a power of two, or 0 */
};

/* false: it was in it. Not for the id of zeros, which is no session's. */
bool sessions_seen_add(struct sessions_seen *s, const uint8_t id[ID_SIZE]);
void sessions_seen_release(struct sessions_seen *s);

#endif
