/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.h: cores alone, wired by hand: what the simulator meets too rarely, or
 * cannot see.
 *
 * What    A few hosts, each a core with a channel, all known to each other by a
 *         list; wires between them; one clock. What is said arrives at the end
 *         of each step, in the order in which it was said; what is for a paused
 *         host waits.
 * Threads One. */
#ifndef MARGAY_TESTS_CORES_H
#define MARGAY_TESTS_CORES_H

#include "managers/cluster/core_impl.h"

enum { HOSTS = 6, WIRES = 512, DROP = 3000, FORGET = 20000, STEP = 10 };

struct backup;
struct net;

struct host {
    struct net *net;
    struct core *core;
    struct channel channel;
    struct core_out out;
    struct log log;
    int number;
    int links;               /* numbers that were given */
    int dropped;             /* how often it dropped what it had */
    int missed;              /* MISSED that came */
    int warned;              /* lines about another manager */
    bool paused, deaf;       /* deaf: hears greetings, and nothing else */
    size_t said, most;       /* bytes sent at one frame that came */
    unsigned frames, heard;  /* UPDATES with something in it, and what is in
                                them, that came */
    struct manager *manager; /* NULL: none */
    struct manager *other;   /* NULL; of a pair, */
    struct manager face;     /* which is nothing else */
    struct replica *partial; /* NULL: none */
};

/* Ends are (host, link number of that host). */
struct wire {
    bool open;
    int host[2], link[2];
};

struct event;

struct net {
    struct host hosts[HOSTS];
    int count;
    struct instant now;
    struct wire wires[WIRES];
    int wire_count;
    bool cut[HOSTS][HOSTS];
    bool refuse;             /* what is cut off refuses */
    bool held[HOSTS][HOSTS]; /* from, to: frames are on their way */
    struct event *events;
    size_t event_count, event_cap;
};

/* The last host has the lowest node. */
struct net *net_new(int count);
void net_free(struct net **n);
/* A new start of host i, whose core was freed. */
void net_start(struct net *n, int i, uint64_t node);
/* That calls itself so, and says that it is there. */
void net_start_as(struct net *n, int i, uint64_t node, const char *name,
                  const char *own);
/* A DeltaManager at that host. */
void net_manage(struct net *n, int i);
/* Any; without a tick, which is the test's. */
void net_manage_as(struct net *n, int i, const char *class_name);
/* A DeltaManager and a BackupManager, the parts of one. */
void net_manage_pair(struct net *n, int i);
/* Its table, and a partial replica. */
void net_manage_partial(struct net *n, int i, replica_called_fn *called,
                        void *user);
void net_pass(struct net *n, int64_t ms);
/* So many seconds with a tick of each manager in each; not at paused hosts. */
void net_live(struct net *n, int seconds);
/* One host's manager does not tick. */
void net_live_but(struct net *n, int seconds, int but);
/* The BackupManager of host i. */
struct backup *net_backup(struct net *n, int i);
/* What has been said arrives, and what follows from it. */
void net_deliver(struct net *n);
void net_cut(struct net *n, int a, int b, bool is_cut);
bool net_answers(struct net *n, int i);
/* How host `at` sees host `of`. */
struct peer *net_peer(struct net *n, int at, int of);

struct commit {
    struct channel_wait wait; /* first */
    struct net *net;
    int host, done;
    enum rc rc;
    bool answered; /* might the member at that time? */
};
/* Prepares it for core_send. */
void net_commit_init(struct net *n, int i, struct commit *c);
/* A touch for everybody. */
void net_commit(struct net *n, int i, struct commit *c);

#endif
