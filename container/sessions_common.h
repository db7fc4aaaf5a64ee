/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions_common.h: what `margay sessions export` and `import` share.
 *
 * Threads One. */
#ifndef MARGAY_CONTAINER_SESSIONS_COMMON_H
#define MARGAY_CONTAINER_SESSIONS_COMMON_H

#include "container/sessions_store.h"

struct context;
struct instance;

/* From here on those signals that are not ignored wait for sessions_stopped. */
void sessions_block_signals(void);

/* The application of that path, or the only one with a store (NULL). Refused:
 * one whose manager has no store, one in a rolling change. */
enum rc sessions_context(const struct instance *in, const char *path,
                         const struct context **out, struct err *err);

/* A line a second; on a terminal it is written anew. */
struct sessions_progress {
    const char *verb; /* "exported" */
    int64_t begun, told;
    bool terminal, shown;
};
void sessions_progress_begin(struct sessions_progress *p, const char *verb);
void sessions_progress_tell(struct sessions_progress *p, uint64_t count);
/* Before anything else is said. */
void sessions_progress_end(struct sessions_progress *p);

#endif
