/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids come from libuuid, which asks the system for chance; here its function
 * of that name is ours, so that a seed brings the same ids each time. */
#include "config.h"

#include "tests/sim/sim.h"

#include <string.h>

#include <uuid/uuid.h>

static struct rng *mint;

void mint_use(struct rng *rng)
{
    mint = rng;
}

void uuid_generate_random(uuid_t out)
{
    uint64_t halves[2] = {rng_next(mint), rng_next(mint)};
    memcpy(out, halves, sizeof halves);
}
