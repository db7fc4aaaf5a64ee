/* SPDX-License-Identifier: Apache-2.0
 *
 * page.h: an answer of /login, as a line of text or as a page.
 *
 * What    A program gets one line of text; a browser (its Accept header names
 *         text/html) gets the same as a page, with the same status: what
 *         happened, then who is logged in and how the session is kept, or the
 *         form and why nobody is.
 * Owns    Nothing: everything in struct page is borrowed until page_send
 *         returns. What came from outside is escaped here and nowhere else.
 * Threads The request's thread. */
#ifndef MARGAY_WEBAPPS_LOGIN_PAGE_H
#define MARGAY_WEBAPPS_LOGIN_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct http_request;
struct http_response;

struct page {
    int status;
    const char *text;   /* for programs, without the last newline */
    size_t text_len;    /* 0: strlen(text) */
    const char *title;  /* for people; NULL: by who is logged in */
    const char *detail; /* one more sentence for people; may be NULL */
    const char *user;   /* what to write into the form again; may be NULL */
    bool bare;          /* neither form nor session: it was not looked up */
};

void page_send(struct http_request *request, struct http_response *response,
               const struct page *page);

/* 401 `not logged in: REASON`, and the form. */
void page_send_logged_out(struct http_request *request,
                          struct http_response *response);

#endif
