/* SPDX-License-Identifier: Apache-2.0
 *
 * managers.h: the managers and stores that are built in, by name.
 *
 * What    Names are those of server.xml's className, short
 *         ("PersistentManager") or Tomcat's full one
 *         ("org.apache.catalina.session.PersistentManager").
 * Threads Constant data. */
#ifndef MARGAY_MANAGERS_MANAGERS_H
#define MARGAY_MANAGERS_MANAGERS_H

#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct cluster_ops;
struct manager_ops;
struct option;
struct store_ops;

/* NULL: none of that name. */
const struct manager_ops *managers_find(const char *class_name);
const struct store_ops *stores_find(const char *class_name);
/* The cluster (session/cluster.h) that DeltaManager and BackupManager need:
 * TCP, and TLS with a key. */
extern const struct cluster_ops cluster_tcp;
/* The manager over two others; its options are a struct manager_pair. */
extern const struct manager_ops manager_succession;
/* The index-th one; NULL behind the last. */
const struct manager_ops *managers_at(size_t index);
const struct store_ops *stores_at(size_t index);

/* What reading a configuration has to know of one. */
struct kind_facts {
    const char *name, *summary;
    const struct option *options; /* NULL: none */
    size_t options_size;
    bool needs_store, needs_cluster; /* managers */
};
/* What these options cost, one sentence; "": nothing to tell. Returns out. */
const char *managers_cost(const struct manager_ops *ops, const void *options,
                          char *out, size_t size);
/* What may not be meant by them, the n-th, one sentence; "": nothing more. */
const char *managers_advice(const struct manager_ops *ops, const void *options,
                            unsigned n, char *out, size_t size);
/* Could it ever keep the sessions of that application in that store (NULL:
 * none)? Nothing is reached, nothing is made.
 * RC_INVALID: what and what to do. */
enum rc managers_examine(const struct manager_ops *ops, const void *options,
                         const struct store_ops *store,
                         const void *store_options, const char *app,
                         struct err *err);
struct kind_facts managers_facts(const struct manager_ops *ops);
struct kind_facts stores_facts(const struct store_ops *ops);

#endif
