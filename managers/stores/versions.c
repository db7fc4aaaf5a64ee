/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/versions.h"

#include <stdlib.h>
#include <sys/random.h>

uint64_t versions_next(struct versions *v)
{
    uint64_t next;

    do {
        if (!v->left) {
            if (getrandom(v->random, sizeof v->random, 0) !=
                (ssize_t)sizeof v->random)
                abort(); /* not on a Linux that has the call */
            v->left = VERSIONS_AHEAD;
        }
        next = v->random[--v->left] & INT64_MAX;
    } while (!next);
    return next;
}
