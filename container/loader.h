/* SPDX-License-Identifier: Apache-2.0
 *
 * loader.h: the native code of a web application.
 *
 * What    Opens every WEB-INF/lib/NAME.so of an application, in the order of
 *         the names and with all symbols bound at once, and finds the const
 *         objects that its web.xml names as classes.
 * Owns    The handles stand in context->libraries; loader_close ends them.
 *         What loader_servlet and the others return lives until then.
 * Errors  RC_INVALID: a library that cannot be opened, a class that none of
 *         them exports, an object that is too small for what it is to be, a
 *         servlet for another version of the API. err says what to do.
 * Threads One thread, while the context starts or stops.
 *
 * Only symbols that the application's own files define count: a class named
 * after a function of the C library is not found. */
#ifndef MARGAY_CONTAINER_LOADER_H
#define MARGAY_CONTAINER_LOADER_H

#include "container/context.h"

/* On failure nothing stays open. */
enum rc loader_open(struct context *context, struct err *err);
/* Closes in reverse order; nothing of the application may be used any more. */
void loader_close(struct context *context);

enum rc loader_servlet(const struct context *context, const char *class_name,
                       const struct servlet **out, struct err *err);
/* web.xml does not say of which kind a listener is; the size of the object
 * does: one of the two is set, the other NULL. */
enum rc loader_listener(const struct context *context, const char *class_name,
                        const struct http_session_listener **session,
                        const struct servlet_context_listener **application,
                        struct err *err);

#endif
