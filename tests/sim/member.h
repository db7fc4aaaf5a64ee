/* SPDX-License-Identifier: Apache-2.0
 *
 * member.h: one member: core, manager, clock, and the channel between them.
 *
 * What    Stands for the shell and the host: it starts and kills the core and
 *         the manager, keeps what arrives while the member is paused or busy,
 *         and gives them their clock. The channel between the two is in
 *         waits.h.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_MEMBER_H
#define MARGAY_TESTS_SIM_MEMBER_H

#include "managers/cluster/core.h"
#include "managers/cluster/replica.h"
#include "tests/sim/sim.h"

struct handoff;

struct member {
    struct channel channel; /* first */
    struct sim *sim;
    int slot;
    char name[16], address[24];
    bool up, leaving;
    bool parting;    /* BackupManager: hands over what it holds */
    bool parted;     /* and nobody needs it any more, it says */
    int64_t left_at; /* us: since then; 0: not yet */
    bool silent;     /* its host is down: its port does not even refuse */
    uint32_t life;
    int64_t started, resumed; /* when it last started, woke */
    int64_t mono, wall;       /* at the world's beginning, ms */
    int64_t rate;             /* parts per million off */
    struct core *core;
    struct manager *manager;
    struct replica *replica; /* NULL before the manager joined */
    int64_t paused_until, busy_until;
    int64_t cost_us; /* of each event that it handles */
    struct event *inbox;
    size_t inbox_at, inbox_count, inbox_cap;
    bool waking, flushing, handing;
    int depth; /* inside the core */
    struct handoff *handoffs, **handoff_last;
    struct core_out out;
    struct log log; /* of which the trace gets the lines */
    /* BackupManager: others that it waits for (holders.h) */
    uint64_t view;
    int64_t view_at; /* when it last changed */
    unsigned here, here_low;
    int *ends; /* link * 2 + end, by the core's number; -1: free */
    size_t end_count;
};

void member_init(struct sim *sim, int slot);
void member_release(struct member *m);
void member_start(struct member *m);
/* The process is gone, at once. */
void member_crash(struct member *m, bool silent);
/* An orderly stop; ends with EVENT_STOPPED. */
void member_leave(struct member *m);
void member_stopped(struct member *m);
void member_pause(struct member *m, int64_t us);
void member_resume(struct member *m);
/* Its events; it keeps them while it is paused or busy. */
void member_event(struct member *m, const struct event *event);
void member_wake(struct member *m);

struct instant member_now(const struct member *m);
/* May it answer at this moment, and is it awake? */
bool member_answers(const struct member *m);
/* Around each call of the core, so that what it causes comes after it. */
void member_enter(struct member *m);
void member_exit(struct member *m);
/* The core is to be flushed soon. */
void member_touch(struct member *m);

#endif
