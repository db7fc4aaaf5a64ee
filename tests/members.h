/* SPDX-License-Identifier: Apache-2.0
 *
 * members.h: up to three members of a cluster over real sockets, each with its
 * own loop and thread, in one process.
 *
 * What    node_prepare gives member i options as every test wants them: ports
 *         of loopback that were free a moment ago (choose_ports), all three
 *         listed, a dropTime of 2 s. node_run opens it, with a manager that is
 *         a table and no more, and lets it run. nodes_release, after each
 *         case, ends what still runs.
 * Waiting UNTIL looks again and again, for at most 20 s.
 * Threads That of the test; figures and node_put: any. */
#ifndef MARGAY_TESTS_MEMBERS_H
#define MARGAY_TESTS_MEMBERS_H

#include "managers/cluster/cluster.h"
#include "managers/cluster/replica.h"
#include "session/buf.h"
#include "tests/unit.h"

#include <poll.h>
#include <pthread.h>

#define PATIENCE_MS 20000
#define NODES 3
#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define OTHER "ff112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

struct node {
    char name[16];
    struct log log;
    pthread_mutex_t lock;
    struct buf lines;
    struct cluster_options options;
    struct cluster *cluster;
    struct manager *m;
    struct replica *replica;
    replica_called_fn *called; /* not NULL: a partial replica */
    uv_loop_t loop;
    uv_async_t end;
    pthread_t thread;
    bool runs;
};

extern struct node nodes[NODES];
extern unsigned ports[NODES];

#define UNTIL(condition)                                                       \
    do {                                                                       \
        int64_t until = instant_read().mono + PATIENCE_MS;                     \
        while (!(condition) && instant_read().mono < until)                    \
            poll(NULL, 0, 2);                                                  \
        CU_ASSERT(condition);                                                  \
    } while (0)

void choose_ports(void);
struct node *node_prepare(unsigned i);
/* An attribute, as server.xml would. */
void set(struct node *n, const char *element, const char *name,
         const char *value);
/* Only that far: no loop. */
enum rc node_open(struct node *n, struct err *err);
/* false, with the reason said, if it cannot. */
bool node_run(struct node *n);
/* An orderly stop; it can still be looked at. */
void node_end(struct node *n);
void nodes_release(void);
/* The first `count` of those that are listed. key: NULL for none. */
void nodes_start(unsigned count, const char *key);

bool node_said(struct node *n, const char *words);
struct channel_figures figures(struct node *n);
/* All of the first `count` are members of one another, and may answer. */
bool all_ready(unsigned count);

/* A new session with k=value here, sent to the others; what was answered when
 * they had it. */
enum rc node_put(struct node *n, uint8_t id[ID_SIZE], const char *value,
                 enum copies copies);
bool node_has(struct node *n, const uint8_t id[ID_SIZE], const char *value);

#endif
