/* SPDX-License-Identifier: Apache-2.0
 *
 * That a session is lost is known from its list: all that this names are gone.
 * A copy may be left that no list names: its member stood still while the
 * holders changed, and has not made a list of it yet. So a request is told
 * `lost` only after all members that are here have said that they have none,
 * and not as long as one may come back who was not asked; but not for ever,
 * and where all have said so they are not asked again. */
#include "config.h"

#include "managers/backup_impl.h"

#include <stdlib.h>
#include <string.h>

/* At a time; each is as many calls as there are members. */
#define INQUIRIES_MAX 256

struct question {
    struct channel_call call; /* first */
    struct inquiry *of;
};

struct inquiry {
    struct backup *b;
    uint8_t id[ID_SIZE];
    uint64_t stamp, view; /* of the place, of the channel, when it began */
    void (*done)(void *user, bool sure, struct instant now);
    void *user;
    _Atomic unsigned open; /* questions, and one for who puts them */
    _Atomic bool doubt;    /* somebody has not said no */
    struct question questions[];
};

bool lost_is_sure(const struct backup *b, const uint8_t id[ID_SIZE])
{
    /* nobody hears of a user's record that it is lost: it is made anew */
    return id_is_of_user(id) ||
           places_is_confirmed(replica_places(b->replica), id);
}

bool lost_is_doubtful(const struct backup *b, const uint8_t id[ID_SIZE],
                      struct instant now)
{
    int64_t learnt = places_learnt(replica_places(b->replica), id);

    if (channel_is_whole(b->channel, replica_members(b->replica)))
        return false;
    return learnt == INT64_MAX ||
           now.mono - learnt < replica_patience(b->replica);
}

static bool is_lost(const struct backup *b, const uint8_t id[ID_SIZE],
                    struct place *p)
{
    return place_of(b, id, p) && p->kind == PLACE_OVER &&
           p->reason == REASON_LOST;
}

/* All questions are answered. Who came meanwhile, or went and came back, was
 * perhaps not asked. */
static void inquiry_end(struct inquiry *q, struct instant now)
{
    struct backup *b = q->b;
    struct place p;
    bool sure = !atomic_load(&q->doubt) &&
                q->view == atomic_load(&b->channel->view) &&
                is_lost(b, q->id, &p) && p.stamp == q->stamp;

    if (sure)
        places_confirm(replica_places(b->replica), q->id, q->stamp);
    atomic_fetch_sub(&b->inquiries, 1);
    q->done(q->user, sure, now);
    free(q);
}

static void inquiry_less(struct inquiry *q, struct instant now)
{
    if (atomic_fetch_sub(&q->open, 1) == 1)
        inquiry_end(q, now);
}

static void question_answered(struct channel_call *call)
{
    struct inquiry *q = ((struct question *)call)->of;

    record_unref(&call->record);
    if (call->placed)
        learn_place(q->b, q->id, &call->place, call->now);
    if (call->answer != CALL_ABSENT && call->answer != CALL_LACKS)
        atomic_store(&q->doubt, true);
    inquiry_less(q, call->now);
}

static void question_put(struct inquiry *q, struct question *one, uint64_t to,
                         int64_t deadline)
{
    *one = (struct question){
        .call = {.done = question_answered,
                 .to = to,
                 .app = replica_app(q->b->replica),
                 .kind = CALL_PEEK,
                 .deadline = deadline},
        .of = q,
    };
    memcpy(one->call.id, q->id, ID_SIZE);
    channel_call(q->b->channel, &one->call);
}

/* NULL: there are too many. */
static struct inquiry *inquiry_new(struct backup *b, const uint8_t id[ID_SIZE],
                                   unsigned count)
{
    struct inquiry *q;

    if (atomic_fetch_add(&b->inquiries, 1) >= INQUIRIES_MAX) {
        atomic_fetch_sub(&b->inquiries, 1);
        return NULL;
    }
    q = mem_zero(sizeof *q + count * sizeof *q->questions);
    q->b = b;
    memcpy(q->id, id, ID_SIZE);
    atomic_init(&q->open, count + 1);
    return q;
}

bool lost_ask(struct backup *b, const uint8_t id[ID_SIZE], int64_t deadline,
              void (*done)(void *user, bool sure, struct instant now),
              void *user, struct instant now)
{
    uint64_t view = atomic_load(&b->channel->view), nodes[FRAME_MEMBERS_MAX];
    struct place p;
    struct inquiry *q;

    if (!channel_may_answer(b->channel, now) || !is_lost(b, id, &p) ||
        lost_is_doubtful(b, id, now))
        return false;
    unsigned count =
        channel_choose_asked(b->channel, replica_members(b->replica), id, NULL,
                             0, nodes, FRAME_MEMBERS_MAX);
    q = inquiry_new(b, id, count);
    if (!q)
        return false;
    q->stamp = p.stamp;
    q->view = view;
    q->done = done;
    q->user = user;
    for (unsigned i = 0; i < count; i++)
        question_put(q, &q->questions[i], nodes[i], deadline);
    inquiry_less(q, now);
    return true;
}
