/* SPDX-License-Identifier: Apache-2.0
 *
 * sim.h: the cluster in a made-up world, one thread, one seed.
 *
 * What    N members, each the real core (core.h) and a real DeltaManager or
 *         BackupManager with its own table, on a made-up network (net.h), with
 *         made-up clocks
 *         (member.h), under made-up faults (faults.h), used by made-up clients
 *         (work.h) whose expectations are kept (model.h) and compared with
 *         what the members hold and answer (check.h). All that happens is an
 *         event in one queue; the next one is chosen by its time and number,
 *         so a seed is a whole history, the same each time.
 * Time    Microseconds of the world since its beginning. Members see clocks
 *         of their own, which run at rates of their own.
 * Phases  Clients work while faults come; then everything is healed, the
 *         clients stop, and within a bounded time all members must answer and
 *         hold the same; then tombstones must go.
 * Errors  sim_fail: the first one is kept and ends the simulation.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_SIM_H
#define MARGAY_TESTS_SIM_SIM_H

#include "managers/cluster/channel.h"
#include "session/manager.h"
#include "tests/sim/rng.h"

#include <stdio.h>

#define MS 1000
#define SECOND 1000000
#define SIM_MEMBERS 200

enum weather {
    WEATHER_CALM,   /* nothing but delays */
    WEATHER_HOSTS,  /* members pause, crash, leave, are slow */
    WEATHER_NET,    /* links and pauses; nobody loses its memory */
    WEATHER_WILD,   /* both */
    WEATHER_FORGET, /* partitions for longer than forgetAfter */
    WEATHERS
};

/* What a seed means. */
struct plan {
    uint64_t seed;
    unsigned members;
    enum weather weather;
    enum copies copies;
    bool backup; /* BackupManager; else DeltaManager */
    unsigned backups;
    /* percent of the requests that go to a session's own member; 0: all hop */
    unsigned sticky;
    bool gentle; /* at most `backups` members are down at a time */
    /* Reads see every commit that was acknowledged before they began. */
    bool fresh;
    /* What was acknowledged is there in the end; with BackupManager, unless all
     * that had it are gone (holders.h). */
    bool keeps;
    bool listed; /* members are known from a list */
    bool lossy;  /* frames are lost, doubled and overtaken */
    int64_t work_us;
    int64_t drop_ms, forget_ms, compare_ms, keep_ms;
    size_t log_bytes;
    int64_t delay_low, delay_high; /* of a frame, us */
    int64_t handoff_us;            /* from a change to its sending, at most */
    int64_t flush_us; /* from what happened to core_flush, at most */
    int64_t think_ms; /* of a client */
    int64_t fault_ms; /* between two faults, on average */
    unsigned clients, sessions;
    int64_t skew_ms;     /* of wall clocks, either way */
    unsigned short_idle; /* percent of sessions that idle out */
};
enum which { WHICH_BY_SEED, WHICH_DELTA, WHICH_BACKUP };
/* members: 0: by the seed. */
void plan_make(struct plan *plan, uint64_t seed, unsigned members,
               enum which which);
const char *weather_name(enum weather weather);
/* "DeltaManager" */
const char *plan_manager(const struct plan *plan);

enum event_kind {
    EVENT_FRAME,       /* p: struct message; number: link * 2 + end */
    EVENT_LINK_UP,     /* number: link * 2 + end; more: place */
    EVENT_LINK_DOWN,   /* number: link * 2 + end */
    EVENT_DIAL_FAILED, /* number: place; more: refused */
    EVENT_TICK,
    EVENT_SECOND,
    EVENT_FLUSH,
    EVENT_HANDOFF,
    EVENT_PLACE,  /* number: slot of a member that was discovered */
    EVENT_VISIT,  /* number: client; more: its visit */
    EVENT_COMMIT, /* the same */
    /* of no member: */
    EVENT_WAKE,
    EVENT_START,
    EVENT_STOPPED, /* an orderly stop has had its time */
    EVENT_THINK,   /* number: client */
    EVENT_FAULT,
    EVENT_FAULT_OVER, /* number: fault */
    EVENT_LOOK,
    EVENT_KINDS
};

struct event {
    int64_t at;
    uint64_t order; /* given by sim_at */
    enum event_kind kind;
    int slot;      /* -1: of no member */
    uint32_t life; /* of the member: those of an earlier life are dropped */
    int64_t number, more;
    void *p;
};

struct member;
struct net;
struct faults;
struct work;

struct sim {
    struct plan plan;
    int64_t now;
    struct rng rng, net_rng, work_rng, id_rng;
    struct event *queue; /* a heap */
    size_t queue_count, queue_cap;
    uint64_t order, events, print;
    struct member *members;
    unsigned count;
    struct net *net;
    struct faults *faults;
    struct work *work;
    struct waits *waits;
    struct manager_options common;
    void *own_options; /* of its manager */
    bool working;      /* clients make requests, faults come */
    int64_t healed_at, equal_at, end_at;
    /* how long members and links stood still, in all: ages that were on their
     * way meanwhile are wrong by as much, and a session may idle longer */
    int64_t stood_still;
    int64_t troubled; /* when a fault last began or ended, or will */
    char failure[512];
    FILE *trace; /* NULL: none */
    /* figures */
    uint64_t requests, acknowledged, refused, faults_made;
    uint64_t ends;   /* of members, of any kind */
    uint64_t bereft; /* sessions of which something is gone with its holders */
    uint64_t moved;  /* to another primary */
};

/* Returns whether all held; else sim->failure says what did not. */
struct sim *sim_run(const struct plan *plan, FILE *trace);
void sim_free(struct sim **sim);

void sim_at(struct sim *sim, const struct event *event);
void sim_fail(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* slot: -1: the world itself. */
void sim_say(struct sim *sim, int slot, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The arguments are not looked at without a trace. */
#define SAY(sim, slot, ...)                                                    \
    do {                                                                       \
        if ((sim)->trace)                                                      \
            sim_say(sim, slot, __VA_ARGS__);                                   \
    } while (0)
/* What happened, for telling whether two runs are the same. */
void sim_note(struct sim *sim, uint64_t what);

/* Of the simulation that runs: where ids come from instead of the system's
 * random source. */
void mint_use(struct rng *rng);

#endif
