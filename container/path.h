/* SPDX-License-Identifier: Apache-2.0
 *
 * path.h: request paths, and links that carry a session id.
 *
 * What    A request target taken apart, its path cleaned for the mapper in
 *         Tomcat's order (CoyoteAdapter.postParseRequest): path parameters
 *         out, %-sequences decoded, slashes and dot segments resolved. And the
 *         way back: encodeURL.
 * Owns    Nothing: all memory is the caller's.
 * Errors  RC_INVALID with a text: 400. Texts never repeat the client's bytes.
 * Threads Any: no state. */
#ifndef MARGAY_CONTAINER_PATH_H
#define MARGAY_CONTAINER_PATH_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Slices of the request target; query and host are NULL when there is none. */
struct path_target {
    const char *host; /* of an absolute target, with its port */
    size_t host_len;
    const char *path; /* begins with / */
    size_t path_len;
    const char *query; /* after the ? */
    size_t query_len;
};

/* Takes the target of a request line apart: "/path?query", or the absolute
 * "http://host/path?query" (RFC 9112, 3.2). "*" and the target of CONNECT are
 * RC_INVALID. */
enum rc path_target(struct path_target *t, const char *target, size_t len,
                    struct err *err);

struct path {
    const char *text; /* cleaned, in the caller's array, 0-terminated */
    size_t len;       /* >= 1: at least "/" */
    const char *id;   /* value of the path parameter, in raw; NULL: none */
    size_t id_len;
};

/* Cleans raw (no query) into out, which has room for len + 1 bytes.
 *
 * - Every parameter `;...` of every segment is taken out. The one called
 *   `param` ("jsessionid", compared by case) is kept in p->id: the last one
 *   wins, its value is not decoded.
 * - %XX is decoded. RC_INVALID: a bad sequence, %2F, %00, a backslash however
 *   it was written, what is not UTF-8 afterwards.
 * - `//` and `/./` become `/`, `/x/../` becomes `/`. RC_INVALID: above the
 *   root. "/a/." and "/a/b/.." are "/a": the slash at the end stays only where
 *   there was one.
 * - RC_INVALID as well: not beginning with `/`; a raw byte that has to be
 *   written as %XX: controls, blanks, " # < > ? \ ^ ` { | } and 0x80..0xFF. */
enum rc path_parse(struct path *p, char *out, const char *raw, size_t len,
                   const char *param, struct err *err);

/* Resolves `link` (raw, no query, relative or beginning with /) against the
 * cleaned path `base`, as a browser would, and cleans it as path_parse does,
 * except that it may hold raw UTF-8. out has room for strlen(base) + len + 2
 * bytes. Its length goes to *out_len, 0 is written behind it. RC_INVALID: not
 * a path; RC_ILLEGAL: climbs above the root. */
enum rc path_resolve(char *out, size_t *out_len, const char *base,
                     const char *link, size_t len);

/* True when the cleaned path is the context path ("" for the root context,
 * else "/name") or lies below it: /foo holds /foo and /foo/x, not /foobar. */
bool path_within(const char *path, size_t len, const char *context);

/* The request whose answer holds the link. */
struct path_base {
    const char *scheme;  /* "http" or "https" */
    const char *host;    /* without the port; [::1] in brackets */
    unsigned port;       /* 80, not 0, where the Host header names none */
    const char *context; /* decoded: "" or "/name" */
    const char *path;    /* cleaned path of the request */
};

enum path_link {
    PATH_LINK_PLAIN,     /* not ours, or nothing to add: url as it was */
    PATH_LINK_ENCODED,   /* the id was added */
    PATH_LINK_ABOVE_ROOT /* climbs above the root: url as it was */
};

/* encodeURL: appends url to out, with ";param=id" at the end of its path
 * (before ? or #) when it leads into this application: same scheme, host and
 * port, path within the context. Not added: where the path already carries
 * this id, to "#x" and "?x" (no path), and to what a browser could read
 * differently (user@host, backslashes, blanks, controls). "" is the folder of
 * the request and becomes an absolute URL; an absolute URL without a path gets
 * its slash (both as Tomcat).
 *
 * The caller has decided that there is a session whose id did not come by
 * cookie and that URLs may carry it. id is written as it is, route included.
 * A full buffer shows in out->full. */
enum path_link path_encode_url(struct buf *out, const struct path_base *base,
                               const char *url, const char *param,
                               const char *id);

#endif
