/* SPDX-License-Identifier: Apache-2.0
 *
 * core.h: the cluster as a pure state machine.
 *
 * What    Membership, order, acknowledgements, resending, state transfer,
 *         comparison of copies, and who may answer when. No sockets, no
 *         threads, no clocks: it is fed what happened and the time, and hands
 *         out frames to send through struct core_out. The shell (cluster.c)
 *         puts it on libuv; the simulator (tests/sim) on a made-up network.
 *
 *         core_sync.c says how members compare, core_lease.c when a member may
 *         answer, core_stream.c how updates travel, core_calls.c how one member
 *         asks another, core_known.c who is gone, core_version.c what older
 *         and newer releases say to each other; docs/cluster.md explains all
 *         of it with pictures.
 * Links   A link is a small number that the shell gives to a connection (and
 *         again to a later one); frames go over it in order, or not at all. The
 *         core survives frames that are lost, doubled or overtaken as well.
 * Places  A place is an address at which a member may be: from the list of
 *         members, from multicast, or told by a member that linked to us.
 * Owns    Copies of all strings. Records by reference.
 * Errors  What members send is checked; what is no frame is counted and its
 *         link closed. Nothing here fails otherwise.
 * Threads None: one thread calls, core_out's functions are called from inside.
 * Time    Every call brings `now`; mono never goes back. */
#ifndef MARGAY_MANAGERS_CLUSTER_CORE_H
#define MARGAY_MANAGERS_CLUSTER_CORE_H

#include "managers/cluster/channel.h"
#include "session/log.h"

struct core;

struct core_options {
    const char *cluster; /* name: members of others are refused */
    const char *name;    /* this member's: "node1" */
    const char *address; /* "host:port" where others reach it */
    uint64_t node;       /* of this start; never 0 */
    int64_t drop_ms;     /* silence after which a member is given up */
    int64_t forget_ms;   /* apart for longer: the smaller side brings nothing */
    int64_t pulse_ms;    /* 0: drop_ms / 12 */
    int64_t redial_ms;   /* 0: 500 */
    int64_t compare_ms;  /* between two comparisons with a member; 0: 5000 */
    size_t log_bytes;    /* updates kept for sending again; 0: 32 MB */
    unsigned version;    /* of frames, at most; 0: FRAME_VERSION */
    bool listed;         /* members come from a list: those that were never
                            heard of are waited for, for drop_ms */
    struct log *log;     /* NULL: silent */
};

struct core_out {
    void *user;
    /* The bytes of whole frames; copied or sent before it returns. */
    void (*send)(void *user, int link, const uint8_t *bytes, size_t len);
    /* Ends the link; core_link_down is not called for it. */
    void (*close)(void *user, int link);
    /* Connect to that place; answered by core_link_up or core_dial_failed. */
    void (*dial)(void *user, int place, const char *address);
};

struct core *core_new(const struct core_options *options,
                      const struct core_out *out, struct channel *channel,
                      struct instant now);
/* Waits that are still open are answered RC_UNCERTAIN. */
void core_free(struct core **core);

/* Adds a place, or returns the one of that address. */
int core_place(struct core *core, const char *address, bool listed);

/* ---- what happened ---- */

/* place: the one that was dialled; -1: somebody connected to us. */
void core_link_up(struct core *core, int link, int place, struct instant now);
void core_link_down(struct core *core, int link, struct instant now);
/* refused: nobody listens there; else it could not be reached, or not yet. */
void core_dial_failed(struct core *core, int place, bool refused,
                      struct instant now);
/* One frame's body. */
void core_received(struct core *core, int link, const uint8_t *body, size_t len,
                   struct instant now);
/* Often: every 50 ms or so. */
void core_tick(struct core *core, struct instant now);
/* After a batch of core_received and core_send: what has gathered leaves,
 * updates and acknowledgements in one frame for each member. */
void core_flush(struct core *core, struct instant now);

/* ---- what the manager wants (channel.h says the rules) ---- */

void core_send(struct core *core, const struct channel_update *u,
               struct channel_wait *wait, enum copies copies,
               struct instant now);
void core_ask(struct core *core, struct channel_ask *ask, const char *member,
              size_t member_len, struct instant now);
void core_call(struct core *core, struct channel_call *call,
               struct instant now);
/* Takes reply->record's reference. */
void core_reply(struct core *core, const struct channel_reply *reply,
                struct instant now);
void core_pause(struct core *core, struct channel_pause *pause,
                struct instant now);
/* channel_wonder */
void core_wonder(struct core *core, uint64_t node, struct instant now);
/* The pulses say from now on that its instance ends soon. */
void core_drain(struct core *core, struct instant now);
void core_join(struct core *core, struct replica *replica);
void core_withdraw(struct core *core, struct replica *replica,
                   struct instant now);
void core_leave(struct core *core, struct replica *replica);

/* An orderly stop: flushes, tells all members not to wait for this one, and
 * answers what still waits, and what is sent from now on, RC_UNCERTAIN; calls
 * are unavailable, pauses end. */
void core_stop(struct core *core, struct instant now);
/* Have all complete members applied all that was sent? For the stop. */
bool core_idle(const struct core *core);

/* ---- what a person wants to know ---- */

void core_figures(struct core *core, struct channel_figures *out,
                  struct instant now);
struct core_member {
    uint64_t node;
    char name[FRAME_NAME_MAX + 1], address[FRAME_NAME_MAX + 1];
    bool linked, given_up, complete, answering, departed;
    int64_t heard;   /* mono */
    uint64_t behind; /* updates of ours that it has not applied */
};
/* The index-th other member; false behind the last. */
bool core_member(const struct core *core, size_t index,
                 struct core_member *out);
/* channel_is_mine */
bool core_is_mine(const struct core *core, const uint8_t id[ID_SIZE],
                  uint64_t owner);

#endif
