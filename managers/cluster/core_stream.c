/* SPDX-License-Identifier: Apache-2.0
 *
 * How updates travel: numbered by their origin, kept until all that are waited
 * for have acknowledged them, sent again where that is in doubt. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 1024
#define UPDATES_AT_ONCE 512

void stream_init(struct core *core)
{
    core->log_cap = FIRST_CAP;
    core->log = mem_zero(core->log_cap * sizeof *core->log);
    core->log_first = 1;
    core->wait_one.last = &core->wait_one.first;
    core->wait_all.last = &core->wait_all.first;
}

static struct log_item *log_at(struct core *core, uint64_t seq)
{
    return &core->log[seq & (core->log_cap - 1)];
}

static void log_drop_first(struct core *core)
{
    struct log_item *item = log_at(core, core->log_first++);

    core->log_used -= item->size;
    record_unref(&item->record);
}

static void log_grow(struct core *core)
{
    size_t cap = core->log_cap * 2;
    struct log_item *log = mem_zero(cap * sizeof *log);

    for (uint64_t s = core->log_first; s < core->seq; s++)
        log[s & (cap - 1)] = *log_at(core, s);
    free(core->log);
    core->log = log;
    core->log_cap = cap;
}

static void wait_answer(struct wait_list *list, enum rc rc)
{
    struct channel_wait *w = list->first;

    list->first = w->next;
    if (!list->first)
        list->last = &list->first;
    w->done(w, rc);
}

void stream_stop(struct core *core)
{
    while (core->wait_one.first)
        wait_answer(&core->wait_one, RC_UNCERTAIN);
    while (core->wait_all.first)
        wait_answer(&core->wait_all, RC_UNCERTAIN);
}

void stream_release(struct core *core)
{
    stream_stop(core);
    while (core->log_first <= core->seq)
        log_drop_first(core);
    free(core->log);
}

void stream_forget(struct core *core)
{
    while (core->log_first <= core->seq)
        log_drop_first(core);
}

/* ---- sending ---- */

void core_send(struct core *core, const struct channel_update *u,
               struct channel_wait *wait, enum copies copies,
               struct instant now)
{
    struct log_item item = {
        .record = u->record,
        .app = u->app,
        .size = (uint32_t)sizeof(struct log_item) +
                (u->record ? u->record->len : 0),
        .awaited = wait && copies != COPIES_NONE,
        .access = u->access,
        .at = now.mono,
    };

    lease_time(core, now);
    memcpy(item.id, u->id, ID_SIZE);
    core->seq++;
    item.upto = core->log_ever += item.size;
    if (core->seq - core->log_first >= core->log_cap)
        log_grow(core);
    *log_at(core, core->seq) = item;
    core->log_used += item.size;
    while (core->log_used > core->options.log_bytes &&
           core->log_first < core->seq)
        log_drop_first(core);
    if (!wait)
        return;
    if (core->stopping) {
        wait->done(wait, RC_UNCERTAIN);
        return;
    }
    if (copies == COPIES_NONE) {
        wait->done(wait, RC_OK);
        return;
    }
    struct wait_list *list =
        copies == COPIES_ALL ? &core->wait_all : &core->wait_one;
    wait->seq = core->seq;
    wait->copies = copies;
    wait->next = NULL;
    *list->last = wait;
    list->last = &wait->next;
    core->waits_changed = true;
}

static void update_of(struct core *core, uint64_t seq, struct frame_update *u)
{
    const struct log_item *item = log_at(core, seq);

    *u = (struct frame_update){
        .kind = item->record ? UPDATE_RECORD : UPDATE_TOUCH,
        .app = item->app,
        .access = item->access,
        .bytes = item->record ? item->record->bytes : item->id,
        .len = item->record ? item->record->len : ID_SIZE,
    };
}

/* As many of the next ones as make a full frame. */
static size_t gather(struct core *core, uint64_t from,
                     struct frame_update updates[UPDATES_AT_ONCE])
{
    size_t count = 0, size = 0;

    while (from + count < core->seq && count < UPDATES_AT_ONCE) {
        update_of(core, from + 1 + count, &updates[count]);
        size += frame_update_size(&updates[count]);
        if (count && size > FRAME_FULL)
            break;
        count++;
    }
    return count;
}

struct frame_ack stream_ack(const struct peer *p)
{
    return (struct frame_ack){
        .applied = p->applied,
        .ahead_from = p->ahead.from,
        .ahead_to = p->ahead.to,
    };
}

/* since: what was told before, it has; give or take what was on its way. */
static void tell_again(struct core *core, int64_t since)
{
    for (size_t i = 0; i < core->replica_count; i++)
        replica_tell_again(core->replicas[i], since - core->options.drop_ms);
}

static void send_missed(struct core *core, struct peer *p, uint64_t upto,
                        int64_t since)
{
    frame_missed(&core->w, upto);
    core_post(core, p);
    p->sent = upto;
    /* comparing brings no accesses; a newcomer gets them with the records */
    if (p->acked)
        tell_again(core, since);
}

/* The bytes of what was sent to it and not acknowledged; what the log has
 * dropped of that is not counted. */
static uint64_t flying(struct core *core, const struct peer *p)
{
    uint64_t first = p->acked + 1;

    if (p->acked_ahead.to >= first) /* what is before that is not sent */
        first = p->acked_ahead.to + 1;
    if (first < core->log_first)
        first = core->log_first;
    if (p->sent < first)
        return 0;
    const struct log_item *item = log_at(core, first);
    return log_at(core, p->sent)->upto - (item->upto - item->size);
}

static bool is_awaited(struct core *core, uint64_t from, uint64_t to)
{
    while (from < to)
        if (log_at(core, ++from)->awaited)
            return true;
    return false;
}

static void flush_peer(struct core *core, struct peer *p, struct instant now)
{
    struct frame_update updates[UPDATES_AT_ONCE];

    while (p->resumed && p->sent < core->seq) {
        if (p->sent + 1 < core->log_first)
            send_missed(core, p, core->log_first - 1, p->progress);
        if (flying(core, p) >= WINDOW_BYTES)
            break;
        size_t count = gather(core, p->sent, updates);
        struct frame_updates f = {
            .from = p->sent,
            .to = p->sent + count,
            .mono = now.mono,
            .waits = is_awaited(core, p->sent, p->sent + count),
            .has_ack = p->ack_due || p->ack_owed,
            .ack = stream_ack(p),
            .count = (uint32_t)count,
        };
        if (count == 0)
            break;
        if (p->sent == p->acked)
            p->progress = now.mono;
        frame_updates(&core->w, &f, updates);
        core_post(core, p);
        p->sent += count;
        peer_ack_told(p);
    }
    if (p->ack_due || p->ack_owed > OWED_BYTES) {
        struct frame_ack ack = stream_ack(p);
        frame_ack(&core->w, &ack);
        core_post(core, p);
        peer_ack_told(p);
    }
}

/* ---- who has what ---- */

static bool has(const struct peer *p, uint64_t seq)
{
    return seq <= p->acked ||
           (p->acked_ahead.from < seq && seq <= p->acked_ahead.to);
}

/* All that are waited for, or (one) any of them. */
static bool has_travelled(const struct core *core, const struct channel_wait *w)
{
    bool any = false, alone = true;

    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->waited || w->seq <= p->waited_from)
            continue;
        alone = false;
        if (has(p, w->seq))
            any = true;
        else if (w->copies == COPIES_ALL)
            return false;
    }
    return any || alone;
}

static unsigned copies_of(const struct core *core, uint64_t seq)
{
    unsigned copies = 0;

    for (size_t i = 0; i < core->peer_count; i++)
        if (!core->peers[i]->departed && has(core->peers[i], seq))
            copies++;
    return copies;
}

static void answer_waits(struct core *core, struct wait_list *list)
{
    while (list->first && has_travelled(core, list->first)) {
        const struct channel_wait *w = list->first;
        bool enough =
            !w->min_copies || copies_of(core, w->seq) >= w->min_copies;
        wait_answer(list, enough ? RC_OK : RC_UNCERTAIN);
    }
}

uint64_t stream_answered(const struct core *core)
{
    const struct channel_wait *first = core->wait_all.first;

    return first ? first->seq - 1 : core->seq;
}

static void trim(struct core *core)
{
    uint64_t needed = core->seq;

    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->departed && (p->waited || peer_linked(p)) && p->acked < needed)
            needed = p->acked;
    }
    while (core->log_first <= needed)
        log_drop_first(core);
}

void stream_flush(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->peer_count; i++)
        if (peer_linked(core->peers[i]))
            flush_peer(core, core->peers[i], now);
    if (!core->waits_changed)
        return;
    core->waits_changed = false;
    /* who may not answer does not know who else there is by now */
    if (core->complete && !core->lapsed) {
        answer_waits(core, &core->wait_all);
        answer_waits(core, &core->wait_one);
    }
    trim(core);
}

void stream_acked(struct core *core, struct peer *p, const struct frame_ack *a,
                  struct instant now)
{
    if (a->applied > core->seq || a->ahead_to > core->seq)
        return; /* of no stream of ours */
    /* it has compared with another: that brings no accesses either */
    if (p->acked && a->applied > p->sent)
        tell_again(core, p->progress);
    if (a->applied > p->acked) {
        p->acked = a->applied;
        p->progress = now.mono;
    }
    if (a->ahead_to > p->acked)
        p->acked_ahead = (struct ahead){a->ahead_from, a->ahead_to};
    else
        p->acked_ahead = (struct ahead){0, 0};
    if (p->sent < p->acked)
        p->sent = p->acked;
    core->waits_changed = true;
}

/* A new link: where did it get to? It told in its first pulse. */
void stream_resume(struct core *core, struct peer *p)
{
    uint64_t from = p->acked;

    if (p->acked_ahead.to > from && p->acked_ahead.to >= core->log_first - 1)
        from = p->acked_ahead.to;
    p->resumed = true;
    p->sent = from;
    /* who is to compare anyway need not hear all that was before */
    if (p->compare && from < p->floor)
        send_missed(core, p, p->floor, p->unlinked);
}

void stream_tick(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->peer_count; i++) {
        struct peer *p = core->peers[i];
        p->ack_due |= p->ack_owed > 0;
        bool heard = now.mono - p->heard < 2 * core->options.pulse_ms;
        if (!p->resumed || !heard || p->acked_ahead.to == p->sent ||
            p->acked == p->sent ||
            now.mono - p->progress < 2 * core->options.pulse_ms)
            continue;
        core->resent++;
        p->progress = now.mono;
        stream_resume(core, p);
    }
    core->waits_changed = true;
    stream_flush(core, now);
}

/* ---- receiving ---- */

static void cover(struct peer *p, uint64_t seq)
{
    if (seq > p->applied)
        p->applied = seq;
    if (peer_has_hole(p) && p->applied >= p->ahead.from) {
        if (p->ahead.to > p->applied)
            p->applied = p->ahead.to;
        p->ahead = (struct ahead){0, 0};
    }
}

void stream_cover(struct peer *p, uint64_t seq)
{
    cover(p, seq);
    p->ack_due = true;
}

void stream_missed(struct peer *p, uint64_t upto)
{
    if (upto <= p->applied)
        return;
    if (p->ahead.to < upto)
        p->ahead = (struct ahead){upto, upto};
}

/* Does this piece join what we have? Nothing is applied that does not. */
static bool takes(const struct peer *p, const struct frame_updates *f,
                  bool *beyond)
{
    *beyond = f->from > p->applied;
    if (!*beyond)
        return true;
    return peer_has_hole(p) && p->ahead.from <= f->from &&
           f->from <= p->ahead.to;
}

void stream_updates(struct core *core, struct peer *p, struct frame_updates *f,
                    struct instant now)
{
    struct frame_update u;
    bool beyond;

    if (f->has_ack)
        stream_acked(core, p, &f->ack, now);
    p->ack_due |= f->waits;
    p->ack_owed++;
    bool whole = f->to > p->applied && takes(p, f, &beyond);
    /* comparing, which may have brought what is in it, brings no accesses */
    while (frame_next_update(&f->rest, &f->count, f->mono, &u)) {
        p->ack_owed += frame_update_size(&u);
        if (whole || u.kind == UPDATE_TOUCH)
            sync_apply(core, p, &u, f->mono, now);
    }
    if (!whole)
        return;
    if (beyond) {
        if (f->to > p->ahead.to)
            p->ahead.to = f->to;
    } else {
        cover(p, f->to);
    }
}
