/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids come from libuuid, which asks the system for chance; here its function
 * of that name is ours, so that a seed brings the same ids each time. They have
 * the version and the variant of random ones (RFC 4122, 4.4), as libuuid's do:
 * by the version a session's id is told from a user's (id_is_of_user). */
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
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x40);
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}
