/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h: what connects the instances of a cluster (the instance's view).
 *
 * What    An instance with a <Cluster> has one; managers that keep copies at
 *         other members send through its channel (manager_env.channel). Which
 *         cluster there is, managers/ knows: it hands over one const struct
 *         cluster_ops. Elements of server.xml are read into its options by
 *         the tables that it names.
 * Order   open, then the managers that use the channel start, then start, ...,
 *         stop while the loop's thread still lives, the managers end, free.
 *         The loop must turn for anything to happen, also during a stop.
 * Owns    Options are the caller's and outlive the cluster.
 * Errors  The text says what to do; the caller adds file:line.
 * Threads The loop's, but for figures and ready. */
#ifndef MARGAY_SESSION_CLUSTER_H
#define MARGAY_SESSION_CLUSTER_H

#include "session/log.h"
#include "session/option.h"

#include <stdbool.h>

struct buf;
struct channel;
struct cluster;
struct uv_loop_s;

/* What the instance tells its cluster. The log is borrowed for its life. */
struct cluster_self {
    struct log *log;
    const char *name; /* "node1"; no other member has it */
    uint64_t node;    /* of this start */
};

struct cluster_figures {
    unsigned members;  /* this one included */
    unsigned complete; /* of the others, those that hold a whole copy */
    uint64_t bytes_sent, frames_sent, bytes_received;
    uint64_t unacknowledged; /* what would be lost if this one went now */
    double oldest;           /* seconds since the oldest of that */
    uint64_t garbage;        /* frames and connections refused */
    uint64_t compared, repaired, resent, given_up;
    unsigned version;  /* of what members say, that this one knows */
    unsigned older;    /* links on which an older one is spoken */
    uint64_t releases; /* members that said what program they are */
};

struct cluster_ops {
    const char *name; /* "SimpleTcpCluster": className in server.xml */
    size_t options_size;
    void (*options_init)(void *options);
    void (*options_release)(void *options);
    /* The attributes of an element with that className (NULL: its usual one),
     * or NULL: there is no such. Tables of "Member" and "LocalMember" are of
     * a struct of member_size bytes, all others of the options. */
    const struct option *(*table)(const char *element, const char *class_name);
    /* The index-th className of that element; NULL behind the last. */
    const char *(*class_name)(const char *element, size_t index);
    size_t member_size;
    enum rc (*add_member)(void *options, void *member, bool is_local,
                          struct err *err);
    /* What <Manager replication> is where it does not say. */
    enum rc (*replication)(const void *options, const char **out,
                           struct err *err);
    /* The same by an attribute of the <Manager>'s own; text: NULL, it is not
     * there. */
    enum rc (*send_options)(const char *attribute, const char *text,
                            const char **out, struct err *err);

    /* Opens nothing: can it ever work? Appends what was understood, a few
     * lines. ports: so many from the configured one on have to be free now. */
    enum rc (*check)(const void *options, unsigned ports, struct buf *out,
                     struct err *err);
    enum rc (*open)(const void *options, const struct cluster_self *self,
                    struct cluster **out, struct err *err);
    struct channel *(*channel)(struct cluster *c);
    enum rc (*start)(struct cluster *c, struct uv_loop_s *loop,
                     struct err *err);
    /* Has it been complete, so that this instance may answer at this moment? */
    bool (*ready)(const struct cluster *c);
    /* The loop's thread. Others are told that this instance ends soon, and
     * count it as gone (is_gone); it serves as before. */
    void (*drain)(struct cluster *c);
    /* Turns the loop itself. */
    void (*stop)(struct cluster *c, int64_t within_ms);
    void (*free)(struct cluster **c);
    void (*figures)(struct cluster *c, struct cluster_figures *out);
    /* Any thread. Has there been a member of that name, and is it known to
     * serve nobody any more, or not for long? It has left, or drains, its
     * process is gone, it was silent for too long, or it is back and has not
     * been admitted yet. */
    bool (*is_gone)(struct cluster *c, const char *name, size_t len);
    /* "127.0.0.1:4000": where others reach it. From open on. */
    const char *(*address)(const struct cluster *c);
};

#endif
