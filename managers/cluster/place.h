/* SPDX-License-Identifier: Apache-2.0
 *
 * place.h: who holds a session.
 *
 * What    A small mergeable value: the holders of one session, the primary
 *         first, and when the list was made; or that the session has ended.
 *         Every member knows it of every session.
 * Merge   place_merge is commutative, associative and idempotent:
 *         - FINAL beats everything: a decided end. Of two the earlier stamp,
 *           then the smaller reason stays.
 *         - else the higher stamp stays, then OVER before a list. OVER is an
 *           end that may turn out wrong (idle; lost, when nobody who held it
 *           lives): a holder that knows better makes its list anew with a
 *           higher stamp, and so brings it back.
 *         - and of two that are alike so far the one with the larger reason,
 *           then more holders, then the greater number in the first of them
 *           that differs.
 * Acting  The acting primary is the first in the list that is not given up. A
 *         new holder is always added at the end, and holders that remain keep
 *         their order, so who knows an older list comes to the same acting
 *         primary. Only the primary itself gives its part away (backup.c).
 * Stamps  wall ms: the larger of now and one more than that of the list before
 *         (place_stamp).
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_PLACE_H
#define MARGAY_MANAGERS_CLUSTER_PLACE_H

#include "session/id.h"
#include "session/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACE_HOLDERS 4 /* a primary and up to 3 backups */
#define PLACE_STAMP_MAX ((uint64_t)INT64_MAX / 4)

enum place_kind { PLACE_LIST, PLACE_OVER, PLACE_FINAL };

struct place {
    enum place_kind kind;
    uint64_t stamp;     /* 1..PLACE_STAMP_MAX */
    enum reason reason; /* OVER, FINAL: IDLE or above, FINAL: or
                           UNKNOWN; else 0 */
    unsigned count;     /* 1..PLACE_HOLDERS; of an end the last holders */
    uint64_t holders[PLACE_HOLDERS]; /* nodes, none twice, none 0 */
};

/* Its bytes in frames, which are also what is hashed (docs/frames.md): id (16),
 * stamp (8, little endian), kind (1), reason (1), count (1), holders (8 each,
 * little endian). What is encoded is valid, or it asserts. */
#define PLACE_MIN (ID_SIZE + 8 + 3 + 8)
#define PLACE_MAX (PLACE_MIN + 8 * (PLACE_HOLDERS - 1))
/* Returns the length. */
size_t place_encode(const struct place *p, const uint8_t id[ID_SIZE],
                    uint8_t out[PLACE_MAX]);
/* false: these are no place. */
bool place_decode(const uint8_t *bytes, size_t len, uint8_t id[ID_SIZE],
                  struct place *out);
/* Is it as the struct says? */
bool place_is_valid(const struct place *p);
bool place_equal(const struct place *a, const struct place *b);
/* *into becomes the merge of both; true: that changed it. */
bool place_merge(struct place *into, const struct place *other);
bool place_has(const struct place *p, uint64_t node);
/* For what follows `before` (NULL, stamp 0: nothing). It never is beyond
 * PLACE_STAMP_MAX, which no right clock comes near. */
uint64_t place_stamp(const struct place *before, int64_t wall);

#endif
