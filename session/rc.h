/* SPDX-License-Identifier: Apache-2.0
 *
 * rc.h: what a call answers.
 *
 * What    One list of result codes for every room, and struct err: the text
 *         that goes with a code when the outside world was the cause.
 * Rules   Answers that differ are never merged. ABSENT (it is not there) begins
 *         a new session; UNAVAILABLE (it cannot be asked) is a 503 with an
 *         untouched cookie; UNCERTAIN (it may have been done) is a 503 as well
 *         and may show up later.
 * Errors  A bug asserts. What the outside world can break returns a code and
 *         fills the caller's struct err, always the last argument, which may
 *         be NULL and is left alone on success.
 * Threads Everything here is reentrant. */
#ifndef MARGAY_SESSION_RC_H
#define MARGAY_SESSION_RC_H

#define RC_LIST(X)                                                             \
    X(OK, "done")                                                              \
    X(PENDING, "under way; the completion will come")                          \
    X(ABSENT, "not there")                                                     \
    X(ENDED, "ended; see the reason")                                          \
    X(CONFLICT, "another version is stored")                                   \
    X(UNAVAILABLE, "cannot be reached; nothing was done")                      \
    X(UNCERTAIN, "may or may not have been done")                              \
    X(TOOBIG, "over a limit")                                                  \
    X(INVALID, "not acceptable")                                               \
    X(ILLEGAL, "not possible in this state")                                   \
    X(UNSUPPORTED, "not offered here")

enum rc {
#define X(name, text) RC_##name,
    RC_LIST(X)
#undef X
};

/* A sentence for a person: what happened and what to do next. */
struct err {
    char text[512];
};

/* "UNAVAILABLE"; never NULL. */
const char *rc_name(enum rc rc);
/* "cannot be reached; nothing was done"; never NULL. */
const char *rc_text(enum rc rc);

/* Writes the text (cut at the end of the array) and returns rc, so that a
 * failure is one line: return err_set(err, RC_INVALID, "port %d: ...", port);
 * err may be NULL. */
enum rc err_set(struct err *err, enum rc rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
