/* SPDX-License-Identifier: Apache-2.0
 *
 * cookie.h: the Cookie header, read, and the Set-Cookie header, written.
 *
 * What    Both directions of RFC 6265 as Tomcat's Rfc6265CookieProcessor has
 *         them. Reading never refuses a request because of a malformed pair:
 *         it drops that pair, up to the next semicolon.
 * Owns    Nothing. What the reader gives out are slices of the header, so it
 *         must live as long as they do; they are not 0-terminated.
 * Errors  RC_TOOBIG: too many cookies (400). RC_INVALID: what was to be
 *         written would not be one header line of ours; err says which part.
 * Threads Any: no state but the caller's. */
#ifndef MARGAY_CONTAINER_COOKIE_H
#define MARGAY_CONTAINER_COOKIE_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* ---- reading ---- */

/* Tomcat's default of maxCookieCount. */
#define COOKIE_MAX_COUNT 200

struct cookie {
    const char *name;
    size_t name_len; /* never 0 */
    const char *value;
    size_t value_len; /* 0: the value is empty; quotes count */
};

/* Tomcat's cookiesWithoutEquals: what becomes of `name` without `=`. */
enum cookie_bare {
    COOKIE_BARE_IGNORE, /* nothing: the default */
    COOKIE_BARE_NAME    /* a cookie with an empty value */
};

struct cookie_reader {
    const char *at, *end;
    size_t left; /* cookies that may still come */
    enum cookie_bare bare;
};

/* max: maxCookieCount for the whole request; negative: no limit. */
void cookie_reader_init(struct cookie_reader *r, int64_t max,
                        enum cookie_bare bare);
/* The next Cookie header line of the same request; the count goes on. */
void cookie_reader_line(struct cookie_reader *r, const char *header,
                        size_t len);
/* RC_OK: *out is the next cookie. RC_ABSENT: the line has no more. RC_TOOBIG:
 * there is one more than allowed, now and at each further call.
 *
 * Names are tokens (RFC 9110) and compared by case; blanks around names and
 * values are skipped. Values: all bytes from 0x21 except " , ; \ and DEL, so
 * 0x80..0xFF are fine; one pair of quotes may surround the value and stays
 * part of it. `=v` is dropped. `$Version` and its kin are ordinary names. */
enum rc cookie_next(struct cookie_reader *r, struct cookie *out);
/* cookie_next until the end, appended to cookies[*count], with room for max in
 * all. RC_OK or RC_TOOBIG; then the array is filled to max. */
enum rc cookie_parse(struct cookie *cookies, size_t max, size_t *count,
                     const char *header, size_t len);
bool cookie_is(const struct cookie *c, const char *name);

/* ---- writing ---- */

/* In the order of Tomcat's sameSiteCookies="unset|none|lax|strict". */
enum cookie_same_site {
    COOKIE_SAME_SITE_UNSET,
    COOKIE_SAME_SITE_NONE,
    COOKIE_SAME_SITE_LAX,
    COOKIE_SAME_SITE_STRICT
};

struct cookie_attribute {
    const char *name;
    const char *value; /* "": the bare name */
};

/* Borrowed strings; NULL or "" leaves the attribute out. */
struct cookie_config {
    const char *name;
    const char *domain; /* written in lower case */
    const char *path;   /* as in a URL: percent_encode_path */
    int64_t max_age;    /* seconds; < 0: until the browser closes */
    enum cookie_same_site same_site;
    bool secure, http_only, partitioned;
    /* Written last, in this order. SameSite among them beats same_site,
     * Partitioned beats partitioned ("" writes it, all else leaves it out);
     * the other names above are skipped here. */
    const struct cookie_attribute *attributes;
    size_t attribute_count;
};

/* A session cookie of the Servlet API: JSESSIONID, HttpOnly, nothing else. */
void cookie_config_init(struct cookie_config *config);
/* What cookie_write would refuse: for the time when a configuration is read.
 * A domain is made of labels [0-9A-Za-z-] that neither begin nor end with -,
 * without a leading or trailing dot. A path and the values of further
 * attributes: 0x20..0x7E without the semicolon. */
enum rc cookie_check(const struct cookie_config *config, struct err *err);
/* Appends "NAME=value; Expires; Max-Age; Domain; Path; Secure; HttpOnly;
 * SameSite; Partitioned; others", as far as set. max_age > 0 writes Expires
 * and Max-Age; 0 only Expires in 1970, which deletes the cookie (Tomcat). now:
 * milliseconds since 1970. Everything is checked first, so that no value can
 * end the header or begin an attribute; on failure nothing was appended.
 * RC_TOOBIG: the buffer is full. */
enum rc cookie_write(struct buf *out, const struct cookie_config *config,
                     const char *value, size_t len, int64_t now,
                     struct err *err);

#endif
