/* SPDX-License-Identifier: Apache-2.0
 *
 * response.h: what a request will be answered (the http_response_* functions
 * of servlet.h, and what the server itself needs beside them).
 *
 * What    Status, headers and body are kept until the session's changes are
 *         committed; then connector.c sends them.
 * Rules   A header's name is a token, its value visible ASCII, blanks and
 *         bytes from 0x80, so nobody can end the line (RFC 9110, 5.5). Length,
 *         encoding, connection and date belong to the connector.
 * Owns    Headers lie in the request's arena, the body in a buffer of its own
 *         that is used again, an open file until it was sent.
 * Threads As the request: one at a time. */
#ifndef MARGAY_CONTAINER_RESPONSE_H
#define MARGAY_CONTAINER_RESPONSE_H

#include "container/servlet.h"
#include "session/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* More is HTTP_TOO_BIG. */
#define RESPONSE_MAX_BODY (64u << 20)
/* Of names and values together: the connection has room for about 4 KiB. */
#define RESPONSE_MAX_HEADER 3072

struct response_header {
    struct response_header *next;
    const char *name, *value;
};

struct http_response {
    int status;
    struct response_header *headers, *last;
    size_t header_bytes;
    const char *content_type; /* NULL: none */
    struct buf body;
    int fd; /* >= 0: the body is this file; owned */
    uint64_t file_size;
    bool committed;   /* nothing can be changed by the servlet any more */
    bool error;       /* send_error: web.xml may have a page for it */
    bool keep_on_end; /* http_response_keep_on_end */
    bool close;       /* the connection ends with it */
};

void response_init(struct http_response *w);
/* Back to 200 without headers, body and file; committed stays. */
void response_clear(struct http_response *w);
void response_release(struct http_response *w);
/* For our own names and values, which are right: they are not copied. */
void response_put_header(struct http_response *w, const char *name,
                         const char *value);
/* A small page: text/plain or, for a browser, HTML. text: one line, NULL: the
 * status's own words. Replaces the whole response, also a committed one. */
void response_page(struct http_response *w, int status, const char *text);
/* The body is the file fd (owned from now on) of that size. */
void response_file(struct http_response *w, int fd, uint64_t size,
                   const char *type);
/* "Not Found"; never NULL. */
const char *response_reason(int status);
/* NULL: none. Name in any case. */
const char *response_header(const struct http_response *w, const char *name);
/* Bytes of the body. */
uint64_t response_length(const struct http_response *w);

#endif
