/* SPDX-License-Identifier: Apache-2.0
 *
 * core_impl.h: the inside of the core, for managers/cluster/core*.c only. */
#ifndef MARGAY_MANAGERS_CLUSTER_CORE_IMPL_H
#define MARGAY_MANAGERS_CLUSTER_CORE_IMPL_H

#include "managers/cluster/core.h"
#include "managers/cluster/replica.h"

#define NEVER INT64_MIN
#define NO_LINK (-1)
/* So many leaves are asked for at a time, at most, and for no more bytes than
 * these, so that an update behind them is not late. */
#define PULL_WINDOW 16
#define PULL_BYTES (96u << 10)
#define PULL_RETRY_MS 500
#define PULL_TRIES 6
#define ASK_MS 450
#define CALL_HEADS 1024
#define OWED_BYTES (64u << 10)  /* applied and not acknowledged */
#define WINDOW_BYTES (8u << 20) /* sent to a member and not acknowledged */

/* A process that dies accepts for a moment longer than its links live. */
#define REDIAL_SOON_MS 20
#define REDIALS_SOON 5

/* An address at which a member may be. */
struct core_place {
    char *address;
    bool listed, self;
    bool dialling; /* until who is there has said so */
    bool refused;  /* at the last attempt nobody listened */
    int64_t next_dial;
    unsigned hasty; /* attempts that may follow soon, see link_over */
    uint64_t node;  /* who was there last; 0: nobody yet */
};

/* Updates of a peer beyond a hole: (from, to] is applied as well; from == to:
 * none of them yet. to is 0 where there is no hole. */
struct ahead {
    uint64_t from, to;
};

/* An application of a peer. */
struct peer_app {
    uint32_t app;
    bool leaves;
};

/* One start of another member. */
struct peer {
    uint64_t node;
    bool has_slot;
    unsigned slot;    /* in channel->members */
    int64_t started;  /* their wall clock */
    unsigned version; /* of the frames between us: the lower of both */
    char name[FRAME_NAME_MAX + 1], address[FRAME_NAME_MAX + 1];
    int link;        /* NO_LINK: none */
    bool departed;   /* its process is gone, and with it all that it knew */
    uint64_t denied; /* strangers that it does not know, a bit each: said over
                        this link, and in this round */
    int64_t next_ask;
    struct peer_app *apps; /* as its last pulse said; NULL: none came */
    size_t app_count;

    /* our stream to it */
    bool resumed; /* over this link: we know where to go on */
    uint64_t sent, acked;
    uint64_t looked; /* who waits for it to have up to here was looked at, */
    struct ahead looked_ahead;    /* and this beyond its hole */
    uint64_t scanned;             /* from `sent` to here nothing concerns it */
    uint64_t missed_from, missed; /* it was told that it missed these */
    struct ahead acked_ahead;
    int64_t progress; /* mono: it last acknowledged something, or had all */
    int64_t unlinked; /* the progress at which its last link ended */

    /* its stream to us */
    uint64_t applied;
    struct ahead ahead;
    bool ack_due;    /* with the next flush: somebody waits for it */
    size_t ack_owed; /* bytes of updates that were not acknowledged yet:
                        with our next updates, pulse or tick */

    /* whether our commits wait for it: from an admission to a giving up */
    bool waited;
    uint64_t waited_from;  /* for updates after this one */
    uint64_t epoch, floor; /* of the last admission, as told in pulses */
    bool compare;
    bool given_up;
    int64_t given_up_at;
    bool left;           /* it said good-bye */
    int64_t give_up_at;  /* mono, unless a word comes before */
    int64_t withdraw_at; /* mono, unless it shows before that it hears us */
    int64_t withdrawn;   /* it does not hear us: since then it is told that we
                            do not wait; NEVER */

    /* whether its commits wait for us */
    uint64_t their_epoch, their_floor; /* their admission of us, as handled */
    int64_t lease; /* our mono that it echoed, waiting; NEVER */

    /* liveness */
    int64_t heard;      /* our mono */
    int64_t their_mono; /* to be echoed; NEVER */
    int64_t echo;       /* our mono that it has heard of; NEVER */
    int64_t next_pulse;
    bool pulsed; /* a pulse came over this link */
    bool answering;
    uint64_t seq; /* its last update, as told */

    /* was it on our side? */
    int64_t met; /* our mono: we took what it had done from a third; NEVER */
    int64_t reunited; /* it came back from the other side; NEVER */

    /* comparing our copies with its */
    int64_t pulled_at;     /* the last pull that finished began */
    int64_t compared;      /* a comparison begun then found all equal, or
                              brought it all here; NEVER */
    int64_t equal_at;      /* `compared`, while something of ours that was on
                              its way at that time is not acknowledged; NEVER */
    uint64_t equal_seq;    /* up to this */
    int64_t settled;       /* `compared`, with all of that; NEVER */
    uint64_t pulled_for;   /* core->stale_no when the last pull that finished
                              began */
    bool pulled_answering; /* it might answer at that time */
    int64_t next_compare;
    unsigned unequal; /* quiet pulses in a row whose sums were not ours */
};

struct core_link {
    bool up;
    int place;         /* -1: they connected to us */
    struct peer *peer; /* NULL before its hello */
    bool hello_sent;
    int64_t since; /* mono: it came up */
};

/* What few updates have. */
struct log_more {
    uint64_t owner;
    bool targeted; /* it concerns the targets only, else everybody */
    unsigned target_count;
    uint64_t targets[CHANNEL_TARGETS];
    uint32_t place_len;
    uint8_t place[]; /* of an UPDATE_PLACE: its bytes */
};
/* One update of ours, kept for those that have not applied it yet. */
struct log_item {
    struct record *record;     /* NULL: a touch, or a place */
    struct log_more *more;     /* NULL: there is none */
    struct channel_wait *wait; /* of wait_some; NULL: none, or answered */
    uint32_t app, size;
    uint64_t upto; /* core->log_ever, this one included */
    uint8_t id[ID_SIZE];
    bool awaited; /* when it was sent */
    int64_t access, at;
};

/* What is left to compare of one application. */
struct pull_app {
    struct replica *replica;
    bool come;
    uint8_t todo[FRAME_BITS];
};
struct pull_leaf {
    bool busy;
    unsigned app; /* index */
    unsigned leaf, tries;
    bool begun;             /* all up to this id is common: */
    uint8_t after[ID_SIZE]; /* the next part is behind it */
    int64_t asked;
};
struct pull {
    struct peer *from; /* NULL: none is under way */
    uint64_t no;
    int64_t begun, progress;
    uint64_t stale_no; /* core's at the beginning */
    unsigned tries;
    bool want_ended;
    bool summed;    /* all sums have come */
    bool answering; /* so was it when it summed up */
    bool all_apps;  /* it had every application that we have */
    bool gave;      /* it lacked something: no proof that it has it now */
    uint64_t seq;
    struct frame_applied *vector;
    size_t vector_count;
    struct pull_app *apps;
    size_t app_count, app_at;
    unsigned leaf_at;
    size_t leaf_bytes; /* of an answer, about; 0: none has come yet */
    struct pull_leaf leaves[PULL_WINDOW];
};

struct wait_list {
    struct channel_wait *first, **last;
};

/* A start that was never met; its number in the row is a bit in `denied` of
 * each peer. */
#define STRANGERS_MAX 64
struct stranger {
    uint64_t node;
    int64_t since;       /* mono: of the first question, */
    int64_t begun, next; /* of this round's, of the next one's */
    bool known;          /* somebody has said so in this round */
};

struct core {
    struct core_options options; /* strings are copies */
    struct core_out out;
    struct channel *channel;
    struct pack_writer w; /* frames on their way out */
    int64_t started;      /* mono */
    int64_t started_wall;
    int64_t last_now;
    struct instant clock; /* of the last call */
    bool stopping;

    struct core_place *places;
    size_t place_count;
    struct core_link *links; /* by number */
    size_t link_count;
    struct peer **peers;
    size_t peer_count;
    struct replica **replicas;
    size_t replica_count;
    bool says_apps, says_lacks; /* with the next flush */
    bool drains;                /* say the pulses */

    /* core_stream.c */
    uint64_t seq;
    struct log_item *log; /* a ring; item of seq s: s & (log_cap - 1) */
    size_t log_cap, log_used;
    uint64_t log_ever;     /* bytes of all updates so far */
    uint64_t log_first;    /* the seq of the oldest kept; seq + 1 when empty */
    uint64_t log_targeted; /* how many in the log concern some only */
    struct wait_list wait_one, wait_all;
    struct wait_list wait_some;    /* of those that concern some only */
    struct channel_wait *wait_new; /* of these the first that was not looked
                                      at; NULL: none */
    size_t wait_unlogged; /* of these those that the log has dropped, so that
                             no ack leads to them */
    bool waits_changed;
    bool some_changed; /* not by acks, so that all of wait_some are looked at */
    /* core_view.c: what figures_unprotected found, and when */
    struct {
        int64_t at, since;
        uint64_t count;
    } unprotected;

    /* core_lease.c */
    bool complete; /* our copies are whole: but for the lease we answer */
    bool ever_complete;
    uint64_t epochs;       /* admissions, of whomever */
    uint64_t stale_no;     /* counts the causes: pulls begun after the last one
                              make whole again */
    int64_t joining_since; /* places are waited for since then */
    bool lapsed;           /* the lease ran out: all have to confirm anew */
    int64_t lapsed_at;
    int64_t alone_since;

    /* core_sync.c */
    struct pull pull;
    uint64_t last_no;
    struct channel_ask *asks;

    /* core_calls.c */
    struct channel_call *calls[CALL_HEADS]; /* by their numbers */
    size_t call_count;
    struct channel_pause *pauses;
    bool view_changed; /* since pauses were ended */

    /* core_known.c */
    struct stranger strangers[STRANGERS_MAX];
    size_t stranger_count;

    uint64_t bytes_sent, frames_sent, bytes_received, frames_received;
    uint64_t garbage, compared, repaired, resent, given_up;
    uint64_t releases; /* FRAME_RELEASE that came */
};

/* core.c */
struct peer *peer_of(struct core *core, uint64_t node); /* or NULL */
static inline bool peer_linked(const struct peer *p)
{
    return p->link != NO_LINK;
}
/* Sends core->w, which holds whole frames, and empties it. */
void core_post(struct core *core, struct peer *p);
struct replica *core_replica(struct core *core, uint32_t app);
/* Of some application nobody has everything (replica.h). */
bool core_is_partial(const struct core *core);
void core_say(struct core *core, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Its process is gone. */
void peer_depart(struct core *core, struct peer *p, const char *why,
                 struct instant now);

/* core_stream.c */
static inline struct log_item *log_at(const struct core *core, uint64_t seq)
{
    return &core->log[seq & (core->log_cap - 1)];
}
void stream_init(struct core *core);
void stream_release(struct core *core);
/* Nobody will answer any more: open waits are RC_UNCERTAIN. */
void stream_stop(struct core *core);
void stream_resume(struct core *core, struct peer *p);
void stream_updates(struct core *core, struct peer *p, struct frame_updates *f,
                    struct instant now);
void stream_acked(struct core *core, struct peer *p, const struct frame_ack *a,
                  struct instant now);
void stream_missed(struct peer *p, uint64_t upto);
/* We have all of its stream up to seq, however it came. */
void stream_cover(struct peer *p, uint64_t seq);
struct frame_ack stream_ack(const struct peer *p);
void stream_flush(struct core *core, struct instant now);
void stream_tick(struct core *core, struct instant now);
/* Does that update of the log concern it? */
bool stream_concerns(const struct core *core, const struct peer *p,
                     uint64_t seq);
/* Before a pulse: it hears up to where nothing concerned it. What is to be
 * acknowledged is left to the pulse, which says first what this member lacks.
 */
void stream_cover_rest(struct core *core, struct peer *p, struct instant now);
/* How far its copies reach in our stream when it has taken what our sums say:
 * what is on its way to it because it is a target may not be in them yet, as
 * long as it is not among the holders. */
uint64_t stream_summed(const struct core *core, const struct peer *p);
/* Has it acknowledged all that concerns it? */
bool stream_has_all(const struct core *core, const struct peer *p);
/* Updates that concern it and that it has not acknowledged. */
uint64_t stream_behind(const struct core *core, const struct peer *p);
int64_t stream_sent_at(struct core *core, uint64_t seq); /* mono */
/* Nobody waits any more for updates up to this one to be everywhere. */
uint64_t stream_answered(const struct core *core);
/* Nothing of ours may reach others that they did not have (forgetAfter). */
void stream_forget(struct core *core);
static inline bool peer_has_hole(const struct peer *p)
{
    return p->ahead.to != 0;
}
/* A frame that takes stream_ack along was sent. */
static inline void peer_ack_told(struct peer *p)
{
    p->ack_due = false;
    p->ack_owed = 0;
}

/* core_lease.c */
void lease_time(struct core *core, struct instant now); /* first of all */
void lease_admit(struct core *core, struct peer *p, struct instant now);
void lease_give_up(struct core *core, struct peer *p, const char *why,
                   struct instant now);
void lease_pulsed(struct core *core, struct peer *p, struct frame_pulse *f,
                  struct instant now);
void lease_send_pulse(struct core *core, struct peer *p, struct instant now);
void lease_tick(struct core *core, struct instant now);
/* Nothing has come for dropTime, though the link may stand: it cannot be
 * reached. */
bool lease_silent(const struct peer *p, struct instant now);
static inline bool core_may_answer(struct core *core, struct instant now)
{
    return channel_may_answer(core->channel, now);
}
void lease_update(struct core *core, struct instant now);
/* Have all places been heard of, or been waited for long enough? */
bool lease_settled(const struct core *core, struct instant now);
/* Our copies may lack what others acknowledged: compare before answering. */
void lease_stale(struct core *core);
/* Is that the case no longer? */
void lease_check_complete(struct core *core, struct instant now);

/* core_sync.c */
void sync_release(struct core *core);
void sync_stop(struct core *core); /* answers all questions */
void sync_drop_peer(struct core *core, struct peer *p, struct instant now);
void sync_frame(struct core *core, struct peer *p, struct frame *f,
                struct instant now);
void sync_tick(struct core *core, struct instant now);
/* Merges one update that came from p, and does what follows from it. sent: in
 * its stream, so p counts on it; else by a comparison. */
void sync_apply(struct core *core, struct peer *p, struct frame_update *u,
                int64_t mono, bool sent, struct instant now);
/* A comparison with it that began then found all equal, or brought it here. */
void sync_compared(struct core *core, struct peer *p, int64_t begun);
/* Every member has compared with us since then, and has what was on its way to
 * it at that time: a session may have ended, and its beginning not have come
 * there yet. */
void sync_settle(struct core *core, struct instant now);

/* core_calls.c */
void calls_stop(struct core *core); /* answers all of them */
/* That member does not answer any more. */
void calls_drop_peer(struct core *core, const struct peer *p);
void calls_frame(struct core *core, struct peer *p, struct frame *f,
                 struct instant now);
void calls_tick(struct core *core);
/* Ends the pauses when the view has changed. */
void calls_look(struct core *core);

/* core_known.c */
void known_frame(struct core *core, struct peer *p, struct frame *f,
                 struct instant now);
void known_tick(struct core *core, struct instant now);

/* core_version.c */
/* Its hello: what is spoken with it from now on. */
void version_agree(const struct core *core, struct peer *p,
                   const struct frame_hello *f);
/* What only newer releases say to each other at the beginning of a link. */
void version_greet(struct core *core, struct peer *p);
void version_frame(struct core *core, const struct peer *p,
                   const struct frame *f);
/* Links on which less is spoken than this member could. */
unsigned version_older(const struct core *core);

/* core_view.c */
void view_init(struct channel *c);
enum member_state view_state(const struct core *core, const struct peer *p,
                             struct instant now);
/* One that was never met. */
void view_gone(struct core *core, uint64_t node);
/* Whether it is waited for, or gone, has changed. */
void view_note(struct core *core, struct peer *p, struct instant now);
void view_tick(struct core *core, struct instant now);
/* What applications it has, as a pulse says. true: that is news. */
bool view_pulsed(struct core *core, struct peer *p,
                 const struct frame_pulse *f);
/* The same for an application that this member has from now on. */
void view_joined(struct core *core, struct replica *r);
/* It has said that it has not got that application of ours: what it
 * acknowledges of it, it has passed over. */
bool view_lacks(struct core *core, const struct peer *p, uint32_t app);
/* Do all that are here know that this member leaves the application? */
void view_look_left(struct core *core);
/* True: all are to hear of this member at once. */
bool view_look_again(struct core *core, struct instant now);

#endif
