/* SPDX-License-Identifier: Apache-2.0
 *
 * What was said of a session under an id that was replaced meanwhile is written
 * under the new one. */
#include "config.h"

#include "managers/backup_impl.h"

#include <stdlib.h>
#include <string.h>

#define LEFT_HOPS 8
#define LEFT_MS 60000 /* its holders may be away for so long */
#define LEFT_MAX 10000

struct left {
    struct manager_write w; /* first */
    struct channel_pause pause;
    struct backup *b;
    struct record *record; /* as it is to be written; a reference */
    unsigned hops;
    int64_t taken, until;
    bool absent; /* so it was, when this member may not have heard of it yet */
};

static void left_done(struct manager_write *w);

static void left_free(struct left *left)
{
    atomic_fetch_sub(&left->b->lefts, 1);
    record_unref(&left->record);
    free(left);
}

/* Changes as what they are: stamped long ago, so they count once. */
static void left_write(struct left *left, struct instant now)
{
    struct manager_write *w = &left->w;
    struct record_end end;
    bool ended = record_ended(left->record, &end);
    enum rc rc;

    memset(w, 0, sizeof *w);
    w->done = left_done;
    manager_write_init(w, ended ? WRITE_END : WRITE_CHANGE,
                       record_id(left->record), now);
    if (ended)
        w->reason = end.reason;
    else
        w->delta = record_ref(left->record);
    rc = left->b->base.ops->write(&left->b->base, w);
    if (rc == RC_PENDING)
        return;
    w->rc = rc;
    left_done(w);
}

/* The one that gave it the new id may tell of that before the comparison that
 * brings where it is: not until all have compared is it nowhere. */
static bool is_early(const struct left *left)
{
    return replica_settled_at(left->b->replica) <= left->taken;
}

static void left_pause(struct left *left)
{
    channel_pause(left->b->channel, &left->pause);
}

static void left_paused(struct channel_pause *pause)
{
    struct left *left =
        (struct left *)((char *)pause - offsetof(struct left, pause));
    bool late = pause->stopped || pause->now.mono >= left->until;
    struct place p;

    if (!late && left->absent && is_early(left) &&
        !place_of(left->b, record_id(left->record), &p)) {
        left_pause(left);
        return;
    }
    if (!late) {
        left_write(left, pause->now);
        return;
    }
    atomic_fetch_add(&left->b->left_out, !left->absent);
    left_free(left);
}

/* It has one more id, and who knows which one is away. */
static bool knower_is_away(const struct backup *b, const uint8_t id[ID_SIZE])
{
    struct place p;
    bool away = false;

    if (!place_of(b, id, &p) || p.reason != REASON_RENAMED ||
        acting_primary(b, &p))
        return false;
    for (unsigned i = 0; i < p.count; i++)
        away |= holder_state(b, p.holders[i]) == MEMBER_AWAY;
    return away;
}

/* The session may have got one more id since. Where it is over, or nobody knows
 * it any more, there is nothing to be written to. */
static void left_done(struct manager_write *w)
{
    struct left *left = (struct left *)w;
    struct instant now = w->now;
    bool follow = w->rc == RC_ENDED && w->ended.reason == REASON_RENAMED &&
                  ++left->hops < LEFT_HOPS;
    bool over = w->rc == RC_OK || w->rc == RC_ENDED ||
                (w->rc == RC_ABSENT && !is_early(left) &&
                 !knower_is_away(left->b, w->id));

    if (follow) {
        struct record *moved = record_rekey(left->record, w->ended.new_id);
        record_unref(&left->record);
        left->record = moved;
    }
    left->absent = w->rc == RC_ABSENT && is_early(left);
    manager_write_release(w);
    if (follow) {
        left_write(left, now);
    } else if (over) {
        left_free(left);
    } else {
        left_pause(left);
    }
}

void left_take(void *user, struct record *record, struct instant now)
{
    struct backup *b = user;
    struct left *left;

    if (atomic_fetch_add(&b->lefts, 1) >= LEFT_MAX) {
        atomic_fetch_sub(&b->lefts, 1);
        atomic_fetch_add(&b->left_out, 1);
        return;
    }
    left = mem_zero(sizeof *left);
    left->b = b;
    left->record = record_ref(record);
    left->pause.done = left_paused;
    left->taken = now.mono;
    left->until = now.mono + LEFT_MS;
    left_write(left, now);
}
