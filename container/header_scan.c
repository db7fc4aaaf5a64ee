/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/header_scan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* MHD cuts the header into strings where it lies, so each line's end is known:
 * the two zeros of CR and LF follow its value. Where the next name is not
 * right behind them, somebody's lines are not ours: a folded line, a 0 byte or
 * a bare CR or LF. Whoever wrote them may have meant to hide a request. */
static void follow_line(struct header_scan *s, const char *name,
                        const char *value, size_t value_len)
{
    if (name != s->line || (value && memchr(value, '\r', value_len)))
        s->bad_line = true;
    s->line = value ? value + value_len + 2 : NULL;
}

void header_line(struct header_scan *s, const char *name, size_t name_len,
                 const char *value, size_t value_len)
{
    if (!s->lines++)
        return; /* our own empty Cookie */
    follow_line(s, name, value, value_len);
    if (!name_len || name[name_len - 1] <= ' ') {
        s->bad_name = true; /* "Content-Length : 5" is for smugglers */
        return;
    }
    if (!value)
        value = "";
    request_add_field(s->r, name, name_len, value, value_len);
    if (name_len == 4 && !strcasecmp(name, "Host")) {
        s->hosts++;
    } else if (name_len == 14 && !strcasecmp(name, "Content-Length")) {
        s->lengths++;
        s->length = strtoull(value, NULL, 10);
    } else if (name_len == 17 && !strcasecmp(name, "Transfer-Encoding")) {
        s->encodings++;
        s->encoding = value;
    } else if (name_len == 6 && !strcasecmp(name, "Expect")) {
        s->expects = true;
    }
}

int header_status(const struct header_scan *s,
                  const struct connector_options *o, size_t size, bool has_room,
                  const char **why)
{
    const struct http_request *r = s->r;
    size_t lines = s->lines - 1;
    *why = NULL;
    if (strlen(r->target) > (size_t)o->max_header_size)
        return 414;
    if (size > (size_t)o->max_header_size || !has_room)
        return 431;
    *why = "The request has too many header lines.";
    if (lines > (size_t)o->max_header_count)
        return 400;
    *why = "The request's header is malformed.";
    if (s->bad_name || s->bad_line || s->lengths > 1 || s->encodings > 1 ||
        s->hosts > 1 || (s->lengths && s->encodings) ||
        (!s->hosts && strcmp(r->protocol, "HTTP/1.0") != 0))
        return 400;
    *why = NULL;
    if (s->encodings && strcasecmp(s->encoding, "chunked") != 0)
        return 501;
    if (s->length > r->body.max &&
        (s->expects || s->length - r->body.max > SWALLOW))
        return 413;
    return 0;
}
