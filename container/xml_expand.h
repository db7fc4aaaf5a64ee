/* SPDX-License-Identifier: Apache-2.0
 *
 * xml_expand.h: ${name} in one value of a configuration file.
 *
 * What    The rule of xml.h by itself: ${name}, ${name:-default} with further
 *         ${...} within the default, $${ for a literal ${. A default that is
 *         not needed is read past, its properties need no value.
 * Owns    Nothing; what is written goes into the caller's buffer.
 * Errors  A text without file and line, which the caller puts before it.
 *         RC_INVALID: a property without value, or a ${ that is not
 *         well-formed. RC_TOOBIG: more than XML_MAX_VALUE bytes, or defaults
 *         nested too deep. On failure the buffer holds a part.
 * Threads Any: no state. */
#ifndef MARGAY_CONTAINER_XML_EXPAND_H
#define MARGAY_CONTAINER_XML_EXPAND_H

#include "container/xml.h"

struct buf;

#define XML_MAX_NAME 127         /* bytes of a property's name */
#define XML_MAX_DEFAULT_DEPTH 16 /* ${a:-${b:-...}} */

/* Appends text with its properties to out. */
enum rc xml_expand(struct buf *out, const char *text, xml_lookup_fn *lookup,
                   void *user, struct err *err);

#endif
