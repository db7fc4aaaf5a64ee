/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_impl.h: the inside of BackupManager, for managers/backup*.c only.
 *
 * What    backup.c         options, life, find and write of who holds the
 *                          session; what is due
 *         backup_errand.c  find and write of who does not: asks the acting
 *                          primary, wherever that is by now (the write:
 *                          backup_errand_write.c)
 *         backup_serve.c   the acting primary's answers
 *         backup_lost.c    before a session is told to be lost: has anybody a
 *                          copy that no list names?
 *         backup_copies.c  who has a copy: the holders of a change, handing
 *                          over, repairing, letting go, moving
 *         backup_sweep.c   the same for what nobody uses, once a second
 *         backup_leave.c   an orderly leave
 *         backup_left.c    what was said under an id that was replaced
 * Laws    - Everything that happens to a session goes through its acting
 *           primary: the first of its holders that this member has not given
 *           up, and that stays. What others decide under way (a place, an end)
 *           is merged.
 *         - A place is changed under the stripe's lock of its id, and told
 *           after it (tell_place).
 *         - backup_entry's own fields belong to the stripe's lock.
 *         - `lock` guards the two rows; it is taken last. */
#ifndef MARGAY_MANAGERS_BACKUP_IMPL_H
#define MARGAY_MANAGERS_BACKUP_IMPL_H

#include "managers/cluster/places.h"
#include "managers/cluster/replica.h"
#include "session/buf.h"
#include "session/manager_impl.h"

#include <pthread.h>

#define LEAVE_LOOKS 20000 /* at each pause: milliseconds of the channel's */
#define CACHED_MS 2000    /* a copy of what others hold is of use for so long */
#define ODD_MS 10000      /* what does not fit together may still come to fit */
/* So many calls in a row from one member, and none between: the balancer sends
 * the session there now. */
#define MOVE_AFTER 32

/* A list has named this member: it is no newcomer's copy. */
enum {
    ENTRY_LISTED = ENTRY_OWN,
    ENTRY_LEFT = 2 * ENTRY_OWN /* at the leave: others were given it */
};

/* Members that get the whole record and every change, and are not in the list
 * yet. */
struct handover {
    unsigned count;
    uint64_t nodes[PLACE_HOLDERS];
    uint64_t moving; /* one more, which is to be the primary; 0: none */
};

struct backup_entry {
    struct replica_entry base; /* first */
    struct handover *handover; /* NULL: none */
    uint64_t streak_node;
    uint16_t streak;
    uint16_t errands; /* CACHED: writes under way, it must not go */
    uint32_t given;   /* ms: when a record came for a copy that no list has
                         named yet; 0: none since it was let go */
};

static inline struct backup_entry *backup_entry(struct entry *e)
{
    return (struct backup_entry *)e->extra;
}
/* Does nothing here need a copy that was let go? */
static inline bool is_free(struct entry *e)
{
    return !backup_entry(e)->errands && !backup_entry(e)->given;
}
/* Does one of them say that it has a new id? e may be NULL. */
static inline bool is_replaced(const struct entry *e, const struct place *p)
{
    struct record_end end;

    return (p->kind == PLACE_FINAL && p->reason == REASON_RENAMED) ||
           (e && record_ended(e->record, &end) && end.reason == REASON_RENAMED);
}
static inline bool is_copy(const struct entry *e)
{
    return e && !(e->flags & (ENTRY_CACHED | ENTRY_DROPPED));
}

struct later {
    uint8_t id[ID_SIZE];
    int64_t at; /* mono */
};
/* Ids to be looked at, about in the order of their times. odd: the copy that
 * is here and the place do not fit together. */
struct row {
    struct later *items;
    size_t first, count, cap;
};

/* What a change takes in the log beside its record, about. */
#define SENDING_COST 256
#define PLACE_COST 300
static inline size_t sending_cost(const struct record *r)
{
    return r->len + SENDING_COST;
}

/* An orderly leave: the channel's thread. Of the pass that goes on: sessions
 * that this member hands over, that others are to take, that nobody can. */
struct leave {
    struct channel_pause pause;
    bool begun, over;
    bool told;     /* all have heard of it once */
    int64_t asked; /* mono: the others were, to confirm that they are there */
    unsigned leaf;
    size_t looks;  /* at each pause */
    int64_t next;  /* mono: of the next pass */
    bool clear;    /* the last one found nothing that is to be done, */
    uint64_t view; /* by the channel's view at its beginning */
    size_t own, others, alone;
    size_t handed; /* in all */
};

struct backup_options {
    int replication; /* enum copies */
    int64_t backups, min_copies;
    bool expire_on_shutdown, notify_sessions;
    char *map_send_options; /* who reads server.xml has put it into replication
                             */
};

struct backup {
    struct manager base; /* first */
    struct channel *channel;
    struct replica *replica; /* from the start on */
    enum copies copies;
    unsigned backups, min_copies;

    pthread_mutex_t lock;
    struct row cached, soon, odd; /* soon: odd, and to be mended at once */

    /* The sweep: goes on at each pause, so it belongs to the channel's thread
     * while `sweeping` is set, else to the tick's. */
    struct channel_pause pause;
    _Atomic bool sweeping, stopping;
    _Atomic bool sweep_soon; /* a list came that names too few */
    struct leave leave;
    _Atomic bool left;   /* that is done */
    uint64_t swept_view; /* the channel's view that the last one began with */
    unsigned sweep_leaf, sweep_pass;
    uint64_t sweep_begun;
    int64_t sweep_again; /* mono: what it began may be over; 0: nothing */
    int64_t gone_at;     /* mono: a view changed, holders may be gone; 0: no */
    int64_t gone_again;  /* mono: to be looked at again */

    _Atomic size_t protecting; /* bytes on their way to holders */
    _Atomic uint64_t moved, handed_over, let_go;
    _Atomic uint64_t ends_made; /* by errands */
    _Atomic uint64_t uncertain; /* raised when a change of theirs was */
    /* under way (backup_errand.c, _left.c, _lost.c) */
    _Atomic unsigned errands, lefts, inquiries;
    _Atomic uint64_t left_out; /* what was said under an old id, and could not
                                  be written under the new one */
    uint64_t left_out_said;    /* the tick's */
    int64_t say_left_out;      /* mono: not before that moment */
};

static inline struct backup *backup_of(struct manager *m)
{
    return (struct backup *)m;
}
static inline uint64_t self(const struct backup *b)
{
    return b->channel->node;
}
static inline enum member_state holder_state(const struct backup *b,
                                             uint64_t node)
{
    enum app_state has;

    return channel_holder(b->channel, replica_members(b->replica), node, &has);
}
static inline bool is_here(const struct backup *b, uint64_t node)
{
    return holder_state(b, node) == MEMBER_HERE;
}
/* Here, and not about to leave. */
static inline bool stays(const struct backup *b, uint64_t node)
{
    enum app_state has;

    return channel_holder(b->channel, replica_members(b->replica), node,
                          &has) == MEMBER_HERE &&
           has != APP_LEAVES;
}
static inline bool leaves(const struct backup *b)
{
    return atomic_load_explicit(&replica_members(b->replica)->leaves,
                                memory_order_relaxed);
}
/* Others that a session is to be at. */
static inline unsigned wanted_others(const struct backup *b)
{
    return b->backups + leaves(b);
}
/* channel_choose: who could hold that session besides. */
static inline unsigned choose(const struct backup *b, const uint8_t id[ID_SIZE],
                              const uint64_t *except, unsigned except_count,
                              uint64_t *out, unsigned max)
{
    return channel_choose(b->channel, replica_members(b->replica), id, except,
                          except_count, out, max);
}

/* channel_first: whose part it is where there is no place yet. */
static inline uint64_t first_of(const struct backup *b,
                                const uint8_t id[ID_SIZE])
{
    return channel_first(b->channel, replica_members(b->replica), id);
}

/* The first of its holders that is not given up, nor leaves while others stay:
 * a member that leaves is the first to know. 0: none of them. */
uint64_t acting_primary(const struct backup *b, const struct place *p);
bool place_of(const struct backup *b, const uint8_t id[ID_SIZE],
              struct place *out);
/* How long after its beginning an errand is given up. */
static inline int64_t errand_ms(const struct backup *b)
{
    return b->channel->drop_ms + 500;
}

/* ---- backup.c ---- */

/* Tells the other holders of the access. No lock is held. */
void tell_access(struct backup *b, const uint8_t id[ID_SIZE],
                 const struct place *p, int64_t access);
/* Did it get a new id while the change was under way? Then the change stands
 * under the old one, where nobody looks any more, and is acknowledged when it
 * stands under the new one. No lock is held. */
bool was_replaced(struct backup *b, const struct manager_write *w);
/* What became of a write while the others were waited for. */
enum rc settle(struct backup *b, struct manager_write *w, struct instant now);

/* ---- backup_copies.c ---- */

/* What is done when a change has the copies that it needs. */
struct flight {
    struct channel_wait wait; /* first */
    struct backup *b;
    uint8_t id[ID_SIZE];
    uint64_t targets[CHANNEL_TARGETS]; /* as sent */
    unsigned target_count, tries;
    uint64_t listed; /* the stamp of the place by which they are the holders;
                        0: they are not */
    enum copies copies;
    bool whole; /* what it brings is the whole record */
    void (*landed)(struct flight *f, enum rc rc);
    void *user;
};

/* A change that was applied to the copy here is to reach the other holders.
 * said: the delta, or the whole record of a creation; borrowed. except: a
 * holder that has it already; 0: none. The stripe is locked: fills what is to
 * be sent. Returns false where nobody else is to have it. */
struct outgoing {
    struct channel_update update;
    struct channel_update whole; /* for new holders, apart; kind RECORD */
    bool has_whole;
    uint64_t listed; /* as in struct flight */
};
bool outgoing_plan(struct backup *b, struct entry *e, const struct place *p,
                   struct record *said, uint64_t except, uint64_t owner,
                   struct outgoing *out);
/* Sends it, no lock is held. landed(f, rc) is called once the promised copies
 * have it: perhaps before this returns, and from any thread. wait: false: it is
 * not waited for, and landed is not called. */
void outgoing_send(struct backup *b, struct outgoing *out, bool wait,
                   const uint8_t id[ID_SIZE],
                   void (*landed)(struct flight *f, enum rc rc), void *user);
/* Have holders gone while a change was on its way, so that there are fewer than
 * minCopies? An end needs none. No lock is held. */
bool lacks_copies(struct backup *b, const uint8_t id[ID_SIZE]);
/* Changes the place (stripe locked, e may be NULL); true: tell_place. */
bool place_change(struct backup *b, struct entry *e, const uint8_t id[ID_SIZE],
                  struct place *p, struct instant now);
void tell_place(struct backup *b, const uint8_t id[ID_SIZE],
                const struct place *p);
/* A list made by this member, to stand after `before` (NULL: the first). */
void place_list(struct place *p, const struct place *before,
                struct instant now);
void place_end(struct place *p, const struct place *before,
               enum place_kind kind, enum reason reason, struct instant now);
/* A use beat the idle end that the place tells of: it lives at its last holders
 * again. Stripe locked; true: tell_place. */
bool place_again(struct backup *b, struct entry *e, struct place *p,
                 struct instant now);
/* The acting primary sees to it that the session has its copies. */
void protect(struct backup *b, const uint8_t id[ID_SIZE], struct instant now);
/* A member that is not the primary has come often. */
void move_to(struct backup *b, const uint8_t id[ID_SIZE], uint64_t node,
             struct instant now);
/* This member has a copy and is in no list: gives it to those that are, then
 * drops it. */
void let_go(struct backup *b, const uint8_t id[ID_SIZE], const struct place *p,
            struct instant now);
/* Takes it out of the table, its stripe locked. */
void entry_drop(struct backup *b, struct table_stripe *stripe, struct entry *e);
void handover_free(struct entry *e);

/* ---- backup_sweep.c ---- */

void row_add(struct backup *b, struct row *row, const uint8_t id[ID_SIZE],
             int64_t at);
void sweep_tick(struct backup *b, struct instant now);
/* Sessions of which this member is the acting primary and that fewer other
 * members hold than should, at this moment; users' records are none. */
uint64_t exposed_count(const struct backup *b);
/* expireSessionsOnShutdown */
void sweep_end_all(struct backup *b, struct instant now);
/* Others say that it is lost, but a copy that lives is here: a list is made of
 * it soon. Stripe locked. */
bool knows_better(const struct backup *b, const struct entry *e,
                  const struct place *p, struct instant now);
/* Why it is over where the place says `lost`: what is here may have idled out.
 * e may be NULL. Stripe locked. */
enum reason lost_reason(const struct backup *b, const struct entry *e,
                        struct instant now);
/* Will none of its holders come back? */
bool all_gone(const struct backup *b, const struct place *p);
/* Is one of its holders here, besides this member? */
bool has_others_here(const struct backup *b, const struct place *p);
/* What does not fit together is mended now, not with the next tick. No lock is
 * held. */
void look_at(struct backup *b, const uint8_t id[ID_SIZE], struct instant now);
/* The same two where the stripe is not locked. */
bool is_found(const struct backup *b, const uint8_t id[ID_SIZE],
              const struct place *p, struct instant now);
enum reason reason_here(const struct backup *b, const uint8_t id[ID_SIZE],
                        struct instant now);
/* The hook of replica_serve. */
void placed_here(void *user, const uint8_t id[ID_SIZE],
                 const struct place *place, struct instant now);

/* ---- backup_lost.c ---- */

/* May a request be told that it is lost, as its place says? */
bool lost_is_sure(const struct backup *b, const uint8_t id[ID_SIZE]);
/* May somebody have a copy who cannot be asked? */
bool lost_is_doubtful(const struct backup *b, const uint8_t id[ID_SIZE],
                      struct instant now);
/* Asks all who are here. done is called exactly once, from any thread, perhaps
 * before it returns. sure: nobody has it, and so lost_is_sure from now on.
 * false: this is no time to ask; done is not called. No lock is held. */
bool lost_ask(struct backup *b, const uint8_t id[ID_SIZE], int64_t deadline,
              void (*done)(void *user, bool sure, struct instant now),
              void *user, struct instant now);

/* ---- backup_leave.c ---- */

void leave_begin(struct backup *b, struct instant now);
/* No more time: says what is left undone. Without leave_begin it does what can
 * be done at once. */
void leave_end(struct backup *b, struct instant now);
/* Sends a place while leaving: no more than others take. */
void leave_tell(struct backup *b, const struct channel_update *u);

/* ---- backup_serve.c ---- */

void serve_call(void *user, const struct channel_called *call,
                struct instant now);

/* ---- backup_errand.c ---- */

/* Others know more of it. true: so does this member now. No lock is held. */
bool learn_place(struct backup *b, const uint8_t id[ID_SIZE],
                 const struct place *place, struct instant now);
/* What the primary has, into a copy for a request and for a write after it. A
 * holder has its own copy. Where no write is under way the primary's word
 * stands: what one that died had not acknowledged is not to be shown for as
 * long as somebody asks. Returns it. Stripe locked. */
struct entry *keep_fetched(struct backup *b, struct table_stripe *stripe,
                           struct record *record, int64_t access,
                           struct instant now);
enum rc errand_find(struct backup *b, struct find_op *op);
/* The creation of a user's record, which several logins may want at the same
 * time, is an errand, too: the first of all members decides, and what comes
 * second is joined to what is there. */
enum rc errand_write(struct backup *b, struct manager_write *w);
/* w met an end here, w->ended: RC_ENDED, when all holders know of it too. */
enum rc errand_ended(struct backup *b, struct manager_write *w);
/* A change that stands in the copy here, of a session that was_replaced: asks
 * for the new id (w->done: RC_ENDED). */
void errand_follow(struct backup *b, struct manager_write *w,
                   struct instant now);

/* ---- backup_left.c ---- */

/* The hook of replica_serve_left. */
void left_take(void *user, struct record *record, struct instant now);

/* ---- backup.c, for errands that came back to this member ---- */

/* Find in the copy here. The stripe is not locked. */
enum rc find_here(struct backup *b, struct find_op *op);
/* The acting primary's own write. RC_PENDING or an answer. RC_UNAVAILABLE with
 * *elsewhere: it is not the acting primary. */
enum rc write_here(struct backup *b, struct manager_write *w, bool *elsewhere);

#endif
