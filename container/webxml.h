/* SPDX-License-Identifier: Apache-2.0
 *
 * webxml.h: WEB-INF/web.xml, read into a context.
 *
 * What    Jakarta's web.xml as far as it speaks about what is here:
 *         display-name, context-param, listener, servlet, servlet-mapping,
 *         session-config, welcome-file-list, error-page. Ours: <session> in a
 *         <servlet-mapping>, none, read or write (the default): what its
 *         servlet wants of the session. ${name} is replaced as in server.xml.
 *         An application without web.xml has static files only.
 *         The built-in servlet `default` serves static files; it gets "/" when
 *         no mapping has it.
 * Timeout <session-timeout> counts where the Manager says no maxInactive:
 *         server.xml, which the operator writes, wins.
 * Cookie  Context's attributes win over <cookie-config>; HttpOnly stands
 *         unless both switch it off.
 * Rules   What makes sense in Java only is one warning and ignored. What would
 *         leave an application less protected than it says (filters, security
 *         constraints) is an error, as is what is unknown.
 * Errors  "FILE:LINE: what and what to do": RC_INVALID and xml.h's others.
 * Threads One, before the context starts. */
#ifndef MARGAY_CONTAINER_WEBXML_H
#define MARGAY_CONTAINER_WEBXML_H

#include "container/context.h"

/* context: path, doc_base and config are set, the rest is empty. On failure
 * the caller frees what was filled in (context_free). */
enum rc webxml_read(struct context *context, struct err *err);

#endif
