/* SPDX-License-Identifier: Apache-2.0
 *
 * mapper.h: from a path to an application and one of its servlets.
 *
 * What    The longest context path that is the path or ends before a '/' in
 *         it; inside the context the Servlet specification's order (12.2):
 *         exact, longest prefix "/x/" and a star, extension "*.x", default "/".
 *         A pure function over what configuration built.
 * Owns    The result borrows from the contexts and from the path.
 * Threads Any: the tables are immutable. */
#ifndef MARGAY_CONTAINER_MAPPER_H
#define MARGAY_CONTAINER_MAPPER_H

#include "container/context.h"

struct mapper; /* contexts by path */

struct mapping {
    struct context *context;        /* NULL: no application: 404 */
    struct servlet_config *servlet; /* NULL: none in this context: 404 */
    enum session_wish wish;
    size_t context_len;      /* path[0..) is the context path */
    size_t servlet_path_len; /* behind it, the servlet path */
    bool redirect_to_slash;  /* the path is a context's without its '/' */
};

/* contexts: borrowed for the life of the mapper. */
struct mapper *mapper_new(struct context **contexts, size_t count);
void mapper_free(struct mapper **mapper);
/* path: decoded and normalised (path.h). */
void mapper_map(const struct mapper *mapper, const char *path,
                struct mapping *out);

#endif
