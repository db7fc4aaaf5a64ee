/* SPDX-License-Identifier: Apache-2.0
 *
 * header_scan.h: may the header of a request be served?
 *
 * What    The connector gives each header line as libmicrohttpd has cut it,
 *         in order; the lines become the request's fields, and what frames a
 *         request (Host, Content-Length, Transfer-Encoding, Expect) is looked
 *         at. Lines that do not follow one another in memory are not what the
 *         client's next hop saw: such a header is refused, so nobody hides a
 *         request in it (RFC 9112 5.2, 11.2). One such line cannot be seen: a
 *         colon and a bare LF. libmicrohttpd takes it for the end and leaves
 *         the bytes of one; balancers write header lines anew, without it.
 * Owns    Nothing: names and values lie in the connection's memory.
 * Threads None: one request. */
#ifndef MARGAY_CONTAINER_HEADER_SCAN_H
#define MARGAY_CONTAINER_HEADER_SCAN_H

#include "container/connector.h"
#include "container/request.h"

/* What is over the limit of a body is still read up to here: a client that is
 * busy sending would not see the answer. Tomcat's maxSwallowSize. */
enum { SWALLOW = 2 << 20 };

struct header_scan {
    struct http_request *r;
    size_t lines, hosts, lengths, encodings;
    uint64_t length;
    const char *encoding;
    const char *line; /* where the next one has to begin */
    bool bad_name, bad_line, expects;
};

/* The next line. The first one is the connector's own. */
void header_line(struct header_scan *s, const char *name, size_t name_len,
                 const char *value, size_t value_len);
/* The status that refuses the header; 0: it is fine. size: of all of it, in
 * bytes. has_room: a response's header fits beside it. *why: what to say, or
 * NULL. */
int header_status(const struct header_scan *s,
                  const struct connector_options *o, size_t size, bool has_room,
                  const char **why);

#endif
