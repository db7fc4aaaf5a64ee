/* SPDX-License-Identifier: Apache-2.0
 *
 * static_files.h: the servlet that hands out the files of an application
 * (Tomcat's DefaultServlet), mapped to "/" unless web.xml says otherwise.
 *
 * What    GET, HEAD, OPTIONS. A folder without its slash is redirected, with it
 *         its welcome file is served; no listings. Last-Modified and a weak
 *         ETag of size and time, which If-Match never matches; the conditions
 *         in the order of RFC 9110, 13.2.2. Ranges are not offered.
 * Rules   Nothing outside the application's folder is ever opened: the kernel
 *         resolves the path beneath it and follows no symbolic links (Tomcat's
 *         allowLinking="false"). WEB-INF and META-INF are 404, in any case.
 * Threads As every servlet. */
#ifndef MARGAY_CONTAINER_STATIC_FILES_H
#define MARGAY_CONTAINER_STATIC_FILES_H

#include "container/servlet.h"

#include <stdint.h>

extern const struct servlet static_files_servlet;

/* By the extension of the name; NULL: unknown. */
const char *static_files_type(const char *name);
/* Opens a file for reading beneath dir. -1: errno. */
int static_files_open(int dir, const char *path);

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define HTTP_DATE_SIZE 32
const char *http_date_format(int64_t seconds, char out[HTTP_DATE_SIZE]);
/* The three forms of RFC 9110, 5.6.7. -1: none of them. */
int64_t http_date_parse(const char *text);

#endif
