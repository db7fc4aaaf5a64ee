/* SPDX-License-Identifier: Apache-2.0
 *
 * versions.h: the versions that a store gives to its rows.
 *
 * What    63 random bits, never 0: the chance that one comes back is below that
 *         of a broken memory cell, also after a row was removed and made
 *         again, a replica took over that lacked the last writes, or a file
 *         was restored from a backup, which no counter would survive.
 * Owns    Nothing; zeroed is ready.
 * Threads One at a time. */
#ifndef MARGAY_MANAGERS_STORES_VERSIONS_H
#define MARGAY_MANAGERS_STORES_VERSIONS_H

#include <stdint.h>

#define VERSIONS_AHEAD 64 /* so that few calls ask the kernel */

struct versions {
    uint64_t random[VERSIONS_AHEAD];
    unsigned left;
};

uint64_t versions_next(struct versions *v);

#endif
