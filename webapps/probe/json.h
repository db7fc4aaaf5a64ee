/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h: a small writer of JSON into a response.
 *
 * What    Objects and arrays are opened and closed by hand, commas come by
 *         themselves. Strings are escaped; bytes that are no UTF-8 become
 *         U+FFFD, so that every answer is valid JSON.
 * Threads The request's thread.
 * Source  RFC 8259. */
#ifndef MARGAY_WEBAPPS_PROBE_JSON_H
#define MARGAY_WEBAPPS_PROBE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_response;

struct json {
    struct http_response *out;
    bool comma; /* something stands before, at this depth */
};

/* name: the member's; NULL in an array and at the top. */
void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);
/* text NULL: null. */
void json_string(struct json *json, const char *name, const char *text);
void json_text(struct json *json, const char *name, const char *text,
               size_t len);
void json_hex(struct json *json, const char *name, const char *bytes,
              size_t len);
void json_int(struct json *json, const char *name, int64_t number);
void json_double(struct json *json, const char *name, double number);
void json_bool(struct json *json, const char *name, bool truth);

#endif
