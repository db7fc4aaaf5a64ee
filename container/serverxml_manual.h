/* SPDX-License-Identifier: Apache-2.0
 *
 * serverxml_manual.h: what stands in a server.xml, for server.xml(5).
 *
 * What    The elements in the order of the page, each with a sentence and the
 *         option tables by which the reader reads it. A row of a table is a
 *         paragraph of the page: name, meaning and unit (help), default,
 *         bounds. So what the reader knows stands in the page.
 * New     A table that reader_attributes is given belongs into a part here, or
 *         is found through its className; tests/f_manual.sh looks for both.
 * Owns    Constant data.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_SERVERXML_MANUAL_H
#define MARGAY_CONTAINER_SERVERXML_MANUAL_H

#include "session/option.h"

enum manual_classes {
    MANUAL_NONE,     /* the tables are all */
    MANUAL_CLUSTER,  /* and one for each className of struct cluster_ops */
    MANUAL_MANAGERS, /* of each manager */
    MANUAL_STORES,   /* of each store */
    MANUAL_VALVES    /* of each valve */
};

struct manual_part {
    const char *element; /* "Connector"; NULL ends the list */
    const char *inside;  /* where it stands: "Service" */
    const char *text;
    const struct option *tables[3]; /* each may be NULL */
    enum manual_classes classes;
};

extern const struct manual_part server_manual[];

#endif
