/* SPDX-License-Identifier: Apache-2.0
 *
 * access_log.h: the pattern of an access log.
 *
 * What    "common", "combined" or text with codes:
 *         %a %h address   %b %B bytes (- or 0 for none)   %D microseconds
 *         %T seconds   %H protocol   %l -   %m method   %p port   %q ?query
 *         %r request line   %s status   %S 8 digits of the session's id
 *         %t [time]   %u user   %U path   %v host   %I - %%
 *         %{x}i %{x}o request and response header   %{x}c cookie
 *         %{x}s attribute of the session
 * Rules   What comes from outside is escaped: controls, quotes, backslashes
 *         and bytes from 0x7f are \xHH, so a line stays one line. A session's
 *         id is never written whole, whether it stands in a path, a Referer, a
 *         Location or a cookie: 8 digits, no more.
 * Errors  RC_INVALID: an unknown code; err names it.
 * Threads A pattern is immutable. */
#ifndef MARGAY_CONTAINER_ACCESS_LOG_H
#define MARGAY_CONTAINER_ACCESS_LOG_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct http_request;
struct log_pattern;

/* Longer lines are cut. */
#define LOG_LINE_MAX 4096

enum rc log_pattern_new(const char *text, struct log_pattern **out,
                        struct err *err);
void log_pattern_free(struct log_pattern **p);
/* Writes the line with its newline. Returns its length. client: %a %h %v %p are
 * what RemoteIpValve found out (where it lets the log know), else the peer's.
 */
size_t log_pattern_line(const struct log_pattern *p, struct http_request *r,
                        bool client, char out[LOG_LINE_MAX]);

#endif
