/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h: three members that hold some of the sessions each, as replicas
 * without a core: what a manager and the core would do, a test does.
 *
 * Threads Those of replica.h; a comparison is one thread's. */
#ifndef MARGAY_TESTS_PARTS_H
#define MARGAY_TESTS_PARTS_H

#include "managers/cluster/places.h"
#include "managers/cluster/replica.h"

enum { NODES = 3 };

struct part {
    struct channel channel; /* first; node n is number n + 1 */
    struct manager *m;
    struct replica *r;
    /* what it was told, and what it sent */
    size_t placed_count, called_count, reply_count;
    uint8_t placed_id[ID_SIZE];
    struct place placed;
    struct channel_reply reply;
    struct channel_update sent;
    size_t sent_count;
};

struct parts {
    struct instant now;
    struct part nodes[NODES];
};

struct parts *parts_new(void);
void parts_free(struct parts **c);

static inline struct place list_of(uint64_t stamp, uint64_t first,
                                   uint64_t second)
{
    return (struct place){.kind = PLACE_LIST,
                          .stamp = stamp,
                          .count = second ? 2 : 1,
                          .holders = {first, second}};
}

/* ---- what a manager does; i: of which part ---- */

bool parts_put_place(struct parts *c, unsigned i, const uint8_t *id,
                     struct place p);
struct record *parts_session(const uint8_t *id, int64_t wall);
/* Takes the record; flags: the entry's. */
void parts_put_copy(struct parts *c, unsigned i, struct record *record,
                    uint32_t flags);
void parts_drop_copy(struct parts *c, unsigned i, const uint8_t *id);
/* A reference; NULL: it is not here. flags: the entry's. */
struct record *parts_copy(struct parts *c, unsigned i, const uint8_t *id,
                          uint32_t *flags);
/* Not a cached one, nor one that was dropped. */
bool parts_has_copy(struct parts *c, unsigned i, const uint8_t *id);

/* ---- what the core does ---- */

/* An update of `from` comes to `to`, with the answer that a core gives. */
enum replica_rc parts_apply_record(struct parts *c, unsigned to, unsigned from,
                                   const struct record *r);
enum replica_rc parts_apply_place(struct parts *c, unsigned to, unsigned from,
                                  const uint8_t *id, struct place p);
/* `to` pulls. Returns how many leaves differed. */
size_t parts_compare(struct parts *c, unsigned to, unsigned from, bool ended);
size_t parts_compare_all(struct parts *c);
bool parts_same_roots(struct parts *c, unsigned i, unsigned j);

/* What is kept up to date at each change is what a scan finds. */
bool parts_sums_right(struct parts *c, unsigned i, uint64_t peer);
bool parts_all_sums_right(struct parts *c);

#endif
