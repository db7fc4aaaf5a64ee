/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h: the members of a cluster, on libuv.
 *
 * What    The thin shell around the core (core.h): it listens, dials, finds
 *         members by multicast, reads clocks, and is the channel that managers
 *         send through. What is sent from any thread gathers until the loop
 *         turns, and leaves with all else in one write per member.
 * Order   cluster_new, cluster_open, channel_join by the managers,
 * cluster_start,
 *         ..., cluster_stop, channel_leave by the managers, cluster_free. The
 *         loop must turn for anything to happen: also while requests are
 *         answered during a stop of the whole server.
 * Owns    Copies of all options. The log is borrowed.
 * Errors  RC_INVALID: the configuration; RC_UNAVAILABLE: the address or port.
 *         The text says what to do. What strangers send changes nothing, is
 *         counted, and logged at most once a minute.
 * Threads cluster_start, _stop, _free: the loop's. The channel (channel.h) and
 *         cluster_figures, cluster_member_at: any. */
#ifndef MARGAY_MANAGERS_CLUSTER_CLUSTER_H
#define MARGAY_MANAGERS_CLUSTER_CLUSTER_H

#include "managers/cluster/cluster_options.h"
#include "managers/cluster/core.h"

#include <uv.h>

struct cluster;

struct cluster_env {
    struct log *log;  /* NULL: silent */
    const char *name; /* of this instance: "node1" */
    uint64_t node;    /* of this start; id_mint_node */
};

enum rc cluster_new(const struct cluster_options *options,
                    const struct cluster_env *env, struct cluster **out,
                    struct err *err);
/* Can it ever be opened? Appends what was understood, a few lines. ports: so
 * many from the configured one on have to be free now; 0: whatever they are. */
enum rc cluster_check(const struct cluster_options *options, unsigned ports,
                      struct buf *out, struct err *err);
/* Binds and listens, and accepts nobody yet. From here on there is a channel.
 *   members listed  exactly the port that is configured
 *   multicast       the first free one of autoBind ports (at least one)
 * Beyond loopback only with a key. */
enum rc cluster_open(struct cluster *c, struct err *err);
/* The process ignores SIGPIPE, or the loop's thread blocks it: libuv writes to
 * links whose other end has just gone. */
enum rc cluster_start(struct cluster *c, uv_loop_t *loop, struct err *err);
struct channel *cluster_channel(struct cluster *c);
/* "127.0.0.1:4000", where others reach this member. From cluster_open on. */
const char *cluster_address(const struct cluster *c);
/* This member's state is complete, so that it may answer. */
bool cluster_ready(const struct cluster *c);
/* The loop's thread: others are told, with the next pulse, at once, that this
 * instance ends soon (channel_member.drains). */
void cluster_drain(struct cluster *c);

/* An orderly end, within so many ms: accepts nobody any more, waits until all
 * others have what was sent, says good-bye, closes. Turns the loop itself (and
 * with it whatever else lives there): call it from outside of uv_run.
 * Afterwards what is sent is answered RC_UNCERTAIN. Again: nothing happens. */
void cluster_stop(struct cluster *c, int64_t within_ms);
/* The same for a loop that somebody else turns. done may be NULL. */
void cluster_stop_begin(struct cluster *c, int64_t within_ms,
                        void (*done)(void *user), void *user);
/* Stops it first where that was not done (at once). */
void cluster_free(struct cluster **c);

void cluster_figures(struct cluster *c, struct channel_figures *out);
/* The index-th other member; false behind the last. */
bool cluster_member_at(struct cluster *c, size_t index,
                       struct core_member *out);

#endif
