/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.h: all chance of a simulation comes from one number.
 *
 * What    SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 *         Generators", OOPSLA 2014): small, and good enough to throw dice. A
 *         simulation has several, so that one more frame on the network does
 *         not change what the clients do.
 * Threads One owner. */
#ifndef MARGAY_TESTS_SIM_RNG_H
#define MARGAY_TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline struct rng rng_split(struct rng *r)
{
    return (struct rng){.state = rng_next(r)};
}
/* 0..n - 1 */
static inline unsigned rng_below(struct rng *r, unsigned n)
{
    return (unsigned)((rng_next(r) >> 32) * n >> 32);
}
/* low..high, both included */
static inline int64_t rng_between(struct rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)(rng_next(r) % (uint64_t)(high - low + 1));
}
static inline bool rng_chance(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}
/* The same, with small ones far more often than large ones. */
static inline int64_t rng_mostly_small(struct rng *r, int64_t low, int64_t high)
{
    return low + rng_between(r, 0, rng_between(r, 0, high - low));
}

#endif
