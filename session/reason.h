/* SPDX-License-Identifier: Apache-2.0
 *
 * reason.h: why there is no session.
 *
 * What    Every end of a session has a reason, and an id that is refused gets
 *         it in the log, in the counters and on the page. The numbers stand
 *         in stored records: they are never reused.
 *         NONE..MALFORMED are answers about an id and no ends; RENAMED is the
 *         end of an id that goes on under a new one (the browser is told
 *         `unknown`, log and counters say `renamed`).
 * Threads Constant data. */
#ifndef MARGAY_SESSION_REASON_H
#define MARGAY_SESSION_REASON_H

#define REASON_LIST(X)                                                         \
    X(NONE, 0, "none")           /* no id came, or an empty one */             \
    X(UNKNOWN, 1, "unknown")     /* nobody knows this id (any more) */         \
    X(MALFORMED, 2, "malformed") /* not an id; refused before a look-up */     \
    X(IDLE, 3, "idle")           /* not used for its maxInactive */            \
    X(LIFETIME, 4, "lifetime")   /* lived for its maxLifetime */               \
    X(LOGOUT, 5, "logout")       /* ended by the application */                \
    X(ADMIN, 6, "admin")         /* ended by an operator */                    \
    X(REPLACED, 7, "replaced")   /* another login took its place */            \
    X(EVICTED, 8, "evicted")     /* the store ran out of room */               \
    X(LOST, 9, "lost")           /* every copy is gone */                      \
    X(RENAMED, 10, "renamed")    /* goes on under a new id */

/* clang-format off */
enum reason {
#define X(name, number, text) REASON_##name = number,
    REASON_LIST(X)
#undef X
    REASON_COUNT
};
/* clang-format on */

/* "logout"; "unknown" for a number of a newer version. */
const char *reason_text(enum reason reason);

#endif
