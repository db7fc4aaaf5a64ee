/* SPDX-License-Identifier: Apache-2.0
 *
 * frames.h: frames of any content, and a decoded frame written again, for the
 * tests of what members say to each other. */
#ifndef MARGAY_TESTS_FRAMES_H
#define MARGAY_TESTS_FRAMES_H

#include "managers/cluster/frame.h"
#include "tests/records.h"

#define FRAME_TYPES (FRAME_RELEASE + 1) /* 2 is not used */
static inline bool frame_type_is_used(int type)
{
    return type > 0 && type < FRAME_TYPES && type != 2;
}

/* Appends a frame of this type. The values are small, or at a limit, or any.
 * Records are made-up bytes. */
void frames_any(struct pack_writer *w, struct dice *d, enum frame_type type);
/* Inits w; one of any type. */
void frames_any_of(struct pack_writer *w, uint64_t seed);
/* Appends what was decoded. Walks f to its end. */
void frames_again(struct pack_writer *w, struct frame *f);

#endif
