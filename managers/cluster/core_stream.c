/* SPDX-License-Identifier: Apache-2.0
 *
 * How updates travel: numbered by their origin, kept until all that are waited
 * for have acknowledged them, sent again where that is in doubt. Each member is
 * sent what concerns it; that there was something else it hears with the next
 * frame that it gets, before the next pulse at the latest. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include "session/buf.h"

#include <assert.h>
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
    core->wait_some.last = &core->wait_some.first;
}

static void log_drop_first(struct core *core)
{
    struct log_item *item = log_at(core, core->log_first++);

    core->wait_unlogged += item->wait != NULL;
    core->log_used -= item->size;
    core->log_targeted -= item->more && item->more->targeted;
    record_unref(&item->record);
    free(item->more);
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

static void wait_add(struct wait_list *list, struct channel_wait *w)
{
    w->next = NULL;
    w->at = list->last;
    *list->last = w;
    list->last = &w->next;
}

static void wait_answer(struct core *core, struct wait_list *list,
                        struct channel_wait *w, enum rc rc)
{
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    else
        list->last = w->at;
    if (core->wait_new == w)
        core->wait_new = w->next;
    if (w->target_count && w->seq >= core->log_first)
        log_at(core, w->seq)->wait = NULL;
    else
        core->wait_unlogged -= w->target_count > 0;
    w->now = core->clock;
    w->done(w, rc);
}

static unsigned copies_at_targets(struct core *core, struct channel_wait *w);

void stream_stop(struct core *core)
{
    struct wait_list *lists[] = {&core->wait_one, &core->wait_all,
                                 &core->wait_some};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        while (lists[i]->first) {
            copies_at_targets(core, lists[i]->first);
            wait_answer(core, lists[i], lists[i]->first, RC_UNCERTAIN);
        }
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

static struct log_more *more_of(const struct channel_update *u)
{
    uint8_t place[PLACE_MAX];
    size_t len = 0;
    struct log_more *more;

    if (u->kind != UPDATE_PLACE && !u->target_count && !u->owner)
        return NULL;
    if (u->kind == UPDATE_PLACE)
        len = place_encode(&u->place, u->id, place);
    more = mem_zero(sizeof *more + len);
    more->owner = u->owner;
    more->targeted = u->target_count > 0;
    more->target_count = u->target_count;
    memcpy(more->targets, u->targets, u->target_count * sizeof *u->targets);
    more->place_len = (uint32_t)len;
    memcpy(more->place, place, len);
    return more;
}

static size_t size_of(const struct log_item *item)
{
    return sizeof *item + (item->record ? item->record->len : 0) +
           (item->more ? sizeof *item->more + item->more->place_len : 0);
}

static void wait_begin(struct core *core, const struct channel_update *u,
                       struct channel_wait *w, enum copies copies)
{
    struct wait_list *list = u->target_count        ? &core->wait_some
                             : copies == COPIES_ALL ? &core->wait_all
                                                    : &core->wait_one;

    w->seq = core->seq;
    w->app = u->app;
    w->copies = copies;
    w->target_count = u->target_count;
    memcpy(w->targets, u->targets, u->target_count * sizeof *u->targets);
    wait_add(list, w);
    core->waits_changed = true;
    if (!u->target_count)
        return;
    log_at(core, core->seq)->wait = w;
    if (!core->wait_new)
        core->wait_new = w;
}

void core_send(struct core *core, const struct channel_update *u,
               struct channel_wait *wait, enum copies copies,
               struct instant now)
{
    struct log_item item = {
        .record = u->record,
        .more = more_of(u),
        .app = u->app,
        .awaited = wait && copies != COPIES_NONE,
        .access = u->access,
        .at = now.mono,
    };

    assert(u->target_count <= CHANNEL_TARGETS);
    lease_time(core, now);
    memcpy(item.id, u->id, ID_SIZE);
    item.size = (uint32_t)size_of(&item);
    core->log_targeted += u->target_count > 0;
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
    wait->applied = 0;
    if (!core->stopping && copies != COPIES_NONE) {
        wait_begin(core, u, wait, copies);
        return;
    }
    wait->now = now;
    wait->done(wait, core->stopping ? RC_UNCERTAIN : RC_OK);
}

static void update_of(struct core *core, uint64_t seq, struct frame_update *u)
{
    const struct log_item *item = log_at(core, seq);
    const struct log_more *more = item->more;

    *u = (struct frame_update){
        .kind = UPDATE_TOUCH,
        .app = item->app,
        .owner = more ? more->owner : 0,
        .access = item->access,
        .bytes = item->id,
        .len = ID_SIZE,
    };
    if (item->record) {
        u->kind = UPDATE_RECORD;
        u->bytes = item->record->bytes;
        u->len = item->record->len;
    } else if (more && more->place_len) {
        u->kind = UPDATE_PLACE;
        u->bytes = more->place;
        u->len = more->place_len;
    }
}

static bool is_target(const struct log_more *more, const struct peer *p)
{
    for (unsigned i = 0; i < more->target_count; i++)
        if (more->targets[i] == p->node)
            return true;
    return false;
}

bool stream_concerns(const struct core *core, const struct peer *p,
                     uint64_t seq)
{
    const struct log_more *more = log_at((struct core *)core, seq)->more;

    return !more || !more->targeted || is_target(more, p);
}

/* Over what does not concern it. */
static void scan(const struct core *core, struct peer *p)
{
    if (p->scanned < p->sent)
        p->scanned = p->sent;
    while (p->scanned < core->seq && p->scanned + 1 >= core->log_first &&
           !stream_concerns(core, p, p->scanned + 1))
        p->scanned++;
}

/* As many of the next ones that concern it as make a full frame. p->scanned is
 * moved behind them. */
static size_t gather(struct core *core, struct peer *p,
                     struct frame_update updates[UPDATES_AT_ONCE])
{
    size_t count = 0, size = 0;

    for (scan(core, p); p->scanned < core->seq && count < UPDATES_AT_ONCE;
         scan(core, p)) {
        update_of(core, p->scanned + 1, &updates[count]);
        size += frame_update_size(&updates[count]);
        if (count && size > FRAME_FULL)
            break;
        count++;
        p->scanned++;
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
    if (p->acked >= p->missed)
        p->missed_from = p->acked;
    p->missed = upto;
    core->some_changed = true;
    p->sent = p->scanned = upto;
    /* comparing brings no accesses; a newcomer gets them with the records, and
     * is none because nothing was to be said to it yet */
    if (p->acked || p->compared != NEVER)
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
    uint64_t bytes = log_at(core, p->sent)->upto - (item->upto - item->size);
    if (!core->log_targeted || bytes < WINDOW_BYTES)
        return bytes;
    bytes = 0; /* not all of that was for it */
    for (uint64_t s = first; s <= p->sent && bytes < WINDOW_BYTES; s++)
        if (stream_concerns(core, p, s))
            bytes += log_at(core, s)->size;
    return bytes;
}

/* Does somebody wait for it to have one of these? */
static bool is_awaited(struct core *core, const struct peer *p, uint64_t from,
                       uint64_t to)
{
    if (from + 1 < core->log_first)
        from = core->log_first - 1;
    while (from < to)
        if (log_at(core, ++from)->awaited && stream_concerns(core, p, from))
            return true;
    return false;
}

/* (p->sent, p->scanned], and what concerns it of these. acks: it takes along
 * what is to be acknowledged. */
static void post_updates(struct core *core, struct peer *p,
                         const struct frame_update *updates, size_t count,
                         bool acks, struct instant now)
{
    struct frame_updates f = {
        .from = p->sent,
        .to = p->scanned,
        .mono = now.mono,
        .waits = is_awaited(core, p, p->sent, p->scanned),
        .has_ack = acks && (p->ack_due || p->ack_owed),
        .ack = stream_ack(p),
        .count = (uint32_t)count,
    };

    if (p->sent == p->acked)
        p->progress = now.mono;
    frame_updates(&core->w, &f, updates);
    core_post(core, p);
    p->sent = p->scanned;
    if (acks)
        peer_ack_told(p);
}

static void flush_peer(struct core *core, struct peer *p, struct instant now)
{
    struct frame_update updates[UPDATES_AT_ONCE];

    while (p->resumed && p->sent < core->seq) {
        scan(core, p);
        if (p->scanned + 1 < core->log_first)
            send_missed(core, p, core->log_first - 1, p->progress);
        if (flying(core, p) >= WINDOW_BYTES)
            break;
        size_t count = gather(core, p, updates);
        if (count == 0)
            break;
        post_updates(core, p, updates, count, true, now);
    }
    if (p->ack_due || p->ack_owed > OWED_BYTES) {
        struct frame_ack ack = stream_ack(p);
        frame_ack(&core->w, &ack);
        core_post(core, p);
        peer_ack_told(p);
    }
}

void stream_cover_rest(struct core *core, struct peer *p, struct instant now)
{
    if (!p->resumed)
        return;
    scan(core, p);
    if (p->scanned > p->sent)
        post_updates(core, p, NULL, 0, false, now);
}

/* ---- who has what ---- */

static bool has(const struct peer *p, uint64_t seq)
{
    return seq <= p->acked ||
           (p->acked_ahead.from < seq && seq <= p->acked_ahead.to);
}

/* All that are waited for, or (one) any of them. */
static bool has_travelled(struct core *core, const struct channel_wait *w)
{
    bool any = false, alone = true;

    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->waited || w->seq <= p->waited_from ||
            view_lacks(core, p, w->app))
            continue;
        alone = false;
        if (has(p, w->seq))
            any = true;
        else if (w->copies == COPIES_ALL)
            return false;
    }
    return any || alone;
}

/* It was not sent again, and comparing may have brought something else: that
 * depends on who was to hold the session. */
static bool has_missed(const struct peer *p, uint64_t seq)
{
    return p->missed_from < seq && seq <= p->missed;
}

/* The same among its targets. */
static bool has_landed(struct core *core, const struct channel_wait *w)
{
    bool any = false, alone = true;

    for (unsigned i = 0; i < w->target_count; i++) {
        const struct peer *p = peer_of(core, w->targets[i]);
        if (!p || !p->waited || w->seq <= p->waited_from ||
            has_missed(p, w->seq) || view_lacks(core, p, w->app))
            continue;
        alone = false;
        if (has(p, w->seq))
            any = true;
        else if (w->copies == COPIES_ALL)
            return false;
    }
    return any || alone;
}

/* Notes and counts those that have it. */
static unsigned copies_at_targets(struct core *core, struct channel_wait *w)
{
    unsigned copies = 0;

    w->applied = 0;
    for (unsigned i = 0; i < w->target_count; i++) {
        const struct peer *p = peer_of(core, w->targets[i]);
        if (!p || p->departed || !has(p, w->seq) || has_missed(p, w->seq) ||
            view_lacks(core, p, w->app))
            continue;
        w->applied |= 1u << i;
        copies++;
    }
    return copies;
}

static unsigned copies_of(struct core *core, const struct channel_wait *w)
{
    unsigned copies = 0;

    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->departed && has(p, w->seq) && !view_lacks(core, p, w->app))
            copies++;
    }
    return copies;
}

static void answer_waits(struct core *core, struct wait_list *list)
{
    while (list->first && has_travelled(core, list->first)) {
        const struct channel_wait *w = list->first;
        bool enough = !w->min_copies || copies_of(core, w) >= w->min_copies;
        wait_answer(core, list, list->first, enough ? RC_OK : RC_UNCERTAIN);
    }
}

/* A slow member holds up what concerns it, and nothing else. */
static void answer_landed(struct core *core, struct channel_wait *w)
{
    if (!has_landed(core, w))
        return;
    bool enough = copies_at_targets(core, w) >= w->min_copies;
    wait_answer(core, &core->wait_some, w, enough ? RC_OK : RC_UNCERTAIN);
}

/* Those that wait for (from, to]. Who is answered may send. */
static void answer_between(struct core *core, uint64_t from, uint64_t to)
{
    if (from + 1 < core->log_first)
        from = core->log_first - 1;
    while (from < to && core->wait_some.first) {
        struct channel_wait *w =
            ++from < core->log_first ? NULL : log_at(core, from)->wait;
        if (w)
            answer_landed(core, w);
    }
}

/* What it has acknowledged since it was looked at. */
static void answer_acked(struct core *core, struct peer *p)
{
    struct ahead ahead = p->acked_ahead, before = p->looked_ahead;

    if (p->acked > p->looked)
        answer_between(core, p->looked, p->acked);
    p->looked = p->acked;
    answer_between(core, ahead.from == before.from ? before.to : ahead.from,
                   ahead.to);
    p->looked_ahead = ahead;
}

static void answer_some(struct core *core)
{
    struct channel_wait *w, *next;

    for (size_t i = 0; i < core->peer_count; i++)
        answer_acked(core, core->peers[i]);
    while ((w = core->wait_new)) {
        core->wait_new = w->next;
        answer_landed(core, w);
    }
    if (!core->some_changed && !core->wait_unlogged)
        return;
    core->some_changed = false;
    for (w = core->wait_some.first; w; w = next) {
        next = w->next;
        answer_landed(core, w);
    }
}

uint64_t stream_answered(const struct core *core)
{
    const struct channel_wait *first = core->wait_all.first;
    const struct channel_wait *some = core->wait_some.first;
    uint64_t open = first ? first->seq : core->seq + 1;

    while (some && some->copies != COPIES_ALL)
        some = some->next;
    if (some && some->seq < open)
        open = some->seq;
    return open - 1;
}

uint64_t stream_summed(const struct core *core, const struct peer *p)
{
    uint64_t s = p->acked > p->missed ? p->acked : p->missed;

    if (!core->log_targeted)
        return core->seq;
    if (s + 1 < core->log_first)
        s = core->log_first - 1;
    for (; s < core->seq; s++) {
        const struct log_more *more = log_at((struct core *)core, s + 1)->more;
        if (more && more->targeted && is_target(more, p))
            break;
    }
    return s;
}

bool stream_has_all(const struct core *core, const struct peer *p)
{
    return stream_behind(core, p) == 0;
}

uint64_t stream_behind(const struct core *core, const struct peer *p)
{
    uint64_t behind = 0, s = p->acked + 1;

    if (!core->log_targeted)
        return core->seq - p->acked;
    if (s < core->log_first) {
        behind = core->log_first - s;
        s = core->log_first;
    }
    for (; s <= core->seq; s++)
        behind += stream_concerns(core, p, s);
    return behind;
}

int64_t stream_sent_at(struct core *core, uint64_t seq)
{
    return log_at(core, seq)->at;
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
        answer_some(core);
    }
    trim(core);
}

void stream_acked(struct core *core, struct peer *p, const struct frame_ack *a,
                  struct instant now)
{
    if (a->applied > core->seq || a->ahead_to > core->seq)
        return; /* of no stream of ours */
    /* it has compared with another: that brings no accesses either */
    scan(core, p);
    if (p->acked && a->applied > p->scanned)
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
    if (p->scanned < p->sent)
        p->scanned = p->sent;
    core->waits_changed = true;
}

/* A new link: where did it get to? It told in its first pulse. */
void stream_resume(struct core *core, struct peer *p)
{
    uint64_t from = p->acked;

    if (p->acked_ahead.to > from && p->acked_ahead.to >= core->log_first - 1)
        from = p->acked_ahead.to;
    p->resumed = true;
    p->sent = p->scanned = from;
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
    bool beyond = false;

    if (f->has_ack)
        stream_acked(core, p, &f->ack, now);
    p->ack_due |= f->waits;
    p->ack_owed++;
    bool whole = f->to > p->applied && takes(p, f, &beyond);
    /* comparing, which may have brought what is in it, brings no accesses */
    while (frame_next_update(&f->rest, &f->count, f->mono, &u)) {
        p->ack_owed += frame_update_size(&u);
        if (whole || u.kind == UPDATE_TOUCH)
            sync_apply(core, p, &u, f->mono, true, now);
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
