/* SPDX-License-Identifier: Apache-2.0
 *
 * records.h: dice, and short ways to write changes and records, for the tests
 * of the session room.
 *
 * What    Dice are seeded: the environment variable MARGAY_SEED runs a
 *         generated case again with just that seed.
 *         `raw` writes a record's bytes register by register, right or wrong,
 *         as another program could have stored them.
 * Threads None. */
#ifndef MARGAY_TESTS_RECORDS_H
#define MARGAY_TESTS_RECORDS_H

#include "session/pack.h"
#include "session/record.h"

#include <string.h>

struct dice {
    uint64_t state;
};
static inline struct dice dice_of(uint64_t seed)
{
    return (struct dice){seed * 0x9e3779b97f4a7c15u + 1};
}
/* Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014 (SplitMix64). */
static inline uint64_t dice_next(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline uint32_t dice_below(struct dice *d, uint32_t n)
{
    return (uint32_t)((dice_next(d) >> 32) * n >> 32);
}
static inline bool dice_one_in(struct dice *d, uint32_t n)
{
    return dice_below(d, n) == 0;
}
/* MARGAY_SEED, or false. */
bool dice_given(uint64_t *seed);
/* The number in the environment variable, or the default. */
uint64_t dice_count(const char *variable, uint64_t normal);

/* Values. The text's bytes are borrowed. */
static inline struct value value_text(const char *text)
{
    return (struct value){
        .type = VALUE_STRING, .data = text, .len = strlen(text)};
}
static inline struct value value_number(enum value_type type, int64_t number)
{
    return (struct value){.type = type, .number = number};
}
static inline struct key key_text(const char *name)
{
    return key_name(name, strlen(name));
}

/* Is it this type, and text or number? */
bool value_is_text(struct value v, const char *text);
bool value_is(struct value v, enum value_type type, int64_t number);

/* One change each; record_delta of it. NULL as record_delta says. */
struct record *delta_set(const struct record *base, const char *name,
                         struct value value, int64_t now, uint64_t node);
struct record *delta_add(const struct record *base, const char *name,
                         int64_t amount, int64_t now, uint64_t node);
struct record *delta_remove(const struct record *base, const char *name,
                            int64_t now, uint64_t node);
/* *r becomes the merge of both; both references given are dropped. */
void record_take(struct record **r, struct record *delta);
/* Whether its own bytes are decoded to the same bytes. */
bool record_is_canonical(const struct record *r);

/* A row of registers to be filled in. */
struct raw {
    struct pack_writer row; /* key, type, time, node, value ... */
    size_t count;
};
void raw_init(struct raw *raw);
/* node < 0: era 0. Then the caller packs one value into raw->row. */
void raw_field(struct raw *raw, int64_t field, unsigned type, int64_t time,
               int node);
void raw_name(struct raw *raw, const char *name, unsigned type, int64_t time,
              int node);
/* Appends the finished block [1, kind, whole, id, birth, nodes, registers] to
 * out; releases raw. */
void raw_finish(struct raw *raw, struct pack_writer *out, unsigned kind,
                bool whole, const uint8_t id[ID_SIZE], int64_t birth,
                const uint64_t *nodes, size_t node_count);
/* raw_finish and record_decode. */
enum rc raw_decode(struct raw *raw, struct record **out, unsigned kind,
                   bool whole, const uint8_t id[ID_SIZE], int64_t birth,
                   const uint64_t *nodes, size_t node_count);

/* Any record at all of this id and kind, from few keys, nodes and times, so
 * that stamps of two of them collide. */
struct record *record_any(struct dice *d, enum record_kind kind,
                          const uint8_t id[ID_SIZE]);

/* All of them merged as a random tree, some more than once. */
struct record *merge_any_way(struct dice *d, struct record **all, int count);
/* All of them merged one after the other. */
struct record *merge_in_order(struct record **all, int count);
/* Equal to the byte? Drops the reference to the first. */
bool record_same(struct record *a, struct record *b);

/* Runs `one` for the seeds 0, 1, ..., or for MARGAY_SEED alone; asserts that
 * none fails, gives up after five, says how many and how fast. */
void run_seeds(const char *what, bool one(uint64_t seed), uint64_t count);

#endif
