/* SPDX-License-Identifier: Apache-2.0
 *
 * mesh_impl.h: the inside of the mesh, for tests/mesh*.c only.
 *
 * Laws    The lock may be taken again by the thread that holds it: a call is
 *         answered while it is held. It is taken before any lock of a table.
 *         Who waits for an update is told without it. */
#ifndef MARGAY_TESTS_MESH_IMPL_H
#define MARGAY_TESTS_MESH_IMPL_H

#include "tests/mesh.h"

#include <pthread.h>

struct member {
    struct channel channel; /* first */
    struct mesh *mesh;
    unsigned number;
    struct replica *replica;
    int64_t mono, wall; /* ahead of the mesh's */
    bool cut;
    struct channel_pause *pauses, **last_pause;
};

/* A call that has no answer yet. */
struct asked {
    struct asked *next;
    struct channel_call *call;
    unsigned from, to; /* members */
    uint64_t no;
};

struct mesh {
    pthread_mutex_t lock;
    struct member members[MESH_MAX];
    unsigned count;
    const struct instant *now;
    bool hold;
    struct message *held, **last;
    size_t held_count, bytes, touches;
    struct asked *asked;
    uint64_t calls;
};

static inline struct member *member_of(struct channel *c)
{
    return (struct member *)c;
}

/* Who has that number and is reached by m; NULL: nobody. */
struct member *mesh_peer(struct member *m, uint64_t node);
/* Everybody's view of everybody, from who has joined and who is cut off. gone:
 * a start that has ended; 0: none. */
void mesh_views(struct mesh *mesh, uint64_t gone);
/* It is cut off, or leaves: its calls and those to it are answered; with
 * `leaves` its pauses end. */
void mesh_abandon(struct member *m, bool leaves);

void mesh_call(struct channel *c, struct channel_call *call);
void mesh_reply(struct channel *c, const struct channel_reply *reply);
void mesh_pause(struct channel *c, struct channel_pause *pause);
void mesh_wonder(struct channel *c, uint64_t node);

#endif
