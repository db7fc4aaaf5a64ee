/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions_users.h: imported sessions in the lists of their users.
 *
 * What    Each user's sessions are listed in a record of the store (docs/
 *         stored-form.md, The sessions of a user), under a key that only the
 *         store's secret makes known. An imported session is entered there with
 *         the moment of its login; the secret is made where there is none.
 * Threads One. */
#ifndef MARGAY_CONTAINER_SESSIONS_USERS_H
#define MARGAY_CONTAINER_SESSIONS_USERS_H

#include "container/sessions_store.h"

struct sessions_users {
    struct sessions_store *store;
    bool knows_secret;
    uint8_t secret[ID_SIZE];
    uint64_t node;
};

/* Nothing is asked before the first session of a user. */
void sessions_users_begin(struct sessions_users *u,
                          struct sessions_store *store);
/* Does the list of its user say that a session has been in this store, and so,
 * if it is not there any more, that it has ended? It names it, or has let it
 * go. Where a store drops rows by itself only the latter counts. */
enum rc sessions_users_know(struct sessions_users *u,
                            const struct sessions_row *session, bool *known,
                            struct err *err);
/* A session that is stored; of nobody: RC_OK. */
enum rc sessions_users_enter(struct sessions_users *u,
                             const struct sessions_row *session,
                             struct err *err);

#endif
