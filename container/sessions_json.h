/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions_json.h: the lines of a file of sessions.
 *
 * What    JSON, one object a line (docs/stored-form.md, A file of sessions): a
 *         head, a line for each session, an end that counts them. What makes a
 *         session is the record, as it is stored, in base64; the rest of its
 *         line is for people and scripts, and is not read back.
 * Owns    What is written is appended to the caller's buffer, with its newline.
 *         A line that was read owns its record: sessions_line_release.
 * Errors  RC_INVALID: not such a line, or more than SESSIONS_LINE_MAX, or of
 *         more than SESSIONS_VALUES_MAX values;
 *         RC_UNSUPPORTED: of a newer version. No text holds a whole id, or a
 *         value.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_SESSIONS_JSON_H
#define MARGAY_CONTAINER_SESSIONS_JSON_H

#include "session/buf.h"
#include "session/record.h"

#define SESSIONS_FILE_VERSION 1
/* A record twice, once as text that has to be escaped. */
#define SESSIONS_LINE_MAX (160u << 20)
#define SESSIONS_CONTEXT_MAX 1024
/* What people see of a session; the record has all. */
#define SESSIONS_ATTRIBUTES_MAX 8192
/* More are not read: an empty array takes fifty times its two bytes. */
#define SESSIONS_VALUES_MAX (4 * SESSIONS_ATTRIBUTES_MAX + 64)

enum sessions_line_kind { LINE_HEAD, LINE_SESSION, LINE_END };

struct sessions_line {
    enum sessions_line_kind kind;
    char context[SESSIONS_CONTEXT_MAX]; /* HEAD: "/login"; "/" for the root */
    struct record *record;              /* SESSION: whole, no tombstone */
    int64_t access;                     /* SESSION: wall ms */
    int64_t sessions;                   /* END */
};

enum rc sessions_write_head(struct buf *out, const char *context,
                            struct err *err);
enum rc sessions_write_session(struct buf *out, struct record *record,
                               int64_t access, struct err *err);
enum rc sessions_write_end(struct buf *out, int64_t sessions, struct err *err);

/* A line without its newline. */
enum rc sessions_line_read(const char *text, size_t len,
                           struct sessions_line *out, struct err *err);
void sessions_line_release(struct sessions_line *line);

#endif
