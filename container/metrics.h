/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h: numbers for machines, in Prometheus' text form.
 *
 * What    Requests are counted here; everything else is asked from managers,
 *         connectors and the Executor when somebody reads. Names that stand
 *         in the outside contract are always there, also when they are 0.
 * Rules   Who may read is a list: addresses, networks (10.0.0.0/8), `loopback`
 *         and `all`, with commas. The others are told 404.
 * Threads count and allowed: any. write: any; it asks each noun in its way. */
#ifndef MARGAY_CONTAINER_METRICS_H
#define MARGAY_CONTAINER_METRICS_H

#include "session/buf.h"
#include "session/rc.h"

struct instance;
struct metrics;

/* allow NULL or "": loopback. RC_INVALID: no such list. */
enum rc metrics_new(const char *allow, struct metrics **out, struct err *err);
void metrics_free(struct metrics **m);
bool metrics_allowed(const struct metrics *m, const char *address);
/* m may be NULL. shard: any number that seldom changes in a thread. */
void metrics_count(struct metrics *m, unsigned shard, int status);
void metrics_write(struct metrics *m, struct instance *in, struct buf *out);

#endif
