/* SPDX-License-Identifier: Apache-2.0
 *
 * What one member asks of another, for one session: the frames are matched by
 * number and node, and whoever does not answer in time, or cannot any more,
 * has answered CALL_UNAVAILABLE. And pauses, which end with the next tick. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include <string.h>

/* The kind follows from the id: so no two that meet here differ in it. */
static bool is_of(const struct record *r, const uint8_t id[ID_SIZE])
{
    enum record_kind kind = id_is_of_user(id) ? RECORD_USER : RECORD_SESSION;

    return record_kind(r) == kind && id_equal(record_id(r), id);
}

/* ---- the caller ---- */

static void call_done(struct core *core, struct channel_call *call,
                      enum call_answer answer)
{
    call->answer = answer;
    call->now = core->clock;
    call->done(call);
}

static struct channel_call **calls_head(struct core *core, uint64_t no)
{
    return &core->calls[no % CALL_HEADS];
}

static struct channel_call *calls_take(struct core *core,
                                       struct channel_call **at)
{
    struct channel_call *call = *at;

    *at = call->next;
    core->call_count--;
    return call;
}

void core_call(struct core *core, struct channel_call *call, struct instant now)
{
    const struct peer *p = peer_of(core, call->to);
    struct frame_call f = {
        .app = call->app,
        .id = call->id,
        .kind = call->kind,
    };

    lease_time(core, now);
    call->record = NULL;
    call->access = 0;
    call->placed = false;
    if (core->stopping || !p || !peer_linked(p) || !p->waited) {
        call_done(core, call, CALL_UNAVAILABLE);
        return;
    }
    if (call->kind == CALL_COMMIT) {
        f.delta = call->delta->bytes;
        f.delta_len = call->delta->len;
    } else {
        f.have = call->have;
    }
    f.no = call->no = ++core->last_no;
    struct channel_call **head = calls_head(core, call->no);
    call->next = *head;
    *head = call;
    core->call_count++;
    frame_call(&core->w, &f);
    core_post(core, (struct peer *)p);
}

static bool take_record(struct channel_call *call, const struct frame_update *u)
{
    if (call->record ||
        record_decode(u->bytes, u->len, &call->record, NULL) != RC_OK)
        return false;
    return is_of(call->record, call->id) && record_is_whole(call->record);
}

static bool take_place(struct channel_call *call, const struct frame_update *u)
{
    uint8_t id[ID_SIZE];

    if (call->placed || !place_decode(u->bytes, u->len, id, &call->place) ||
        !id_equal(id, call->id))
        return false;
    call->placed = true;
    return true;
}

/* What came with the answer; false: it is garbage. */
static bool take_reply(struct channel_call *call, struct frame_reply *f,
                       struct instant now)
{
    struct frame_update u;
    /* a look meets no end of another request's */
    bool good = f->answer != CALL_ENDED || call->kind == CALL_COMMIT;

    while (frame_next_update(&f->rest, &f->count, f->mono, &u)) {
        if (u.kind == UPDATE_RECORD) {
            good &= take_record(call, &u);
            call->access = now.mono - (f->mono - u.access);
        } else {
            good &= u.kind == UPDATE_PLACE && take_place(call, &u);
        }
    }
    if (!good) {
        record_unref(&call->record);
        call->placed = false;
    }
    return good;
}

static void on_reply(struct core *core, const struct peer *p,
                     struct frame_reply *f, struct instant now)
{
    struct channel_call **at = calls_head(core, f->no);
    enum call_answer answer = f->answer;

    while (*at && ((*at)->no != f->no || (*at)->to != p->node))
        at = &(*at)->next;
    if (!*at)
        return; /* it came too late */
    struct channel_call *call = calls_take(core, at);
    if (!take_reply(call, f, now)) {
        core->garbage++;
        answer = CALL_UNAVAILABLE;
    }
    call_done(core, call, answer);
}

/* Of a member, or (0) of all whose time is over; they are out of the way when
 * the first is told, who may begin others. */
static void drop_calls(struct core *core, uint64_t node)
{
    struct channel_call *dropped = NULL, **last = &dropped;

    for (size_t i = 0; core->call_count && i < CALL_HEADS; i++) {
        struct channel_call **at = &core->calls[i];
        while (*at) {
            const struct channel_call *call = *at;
            if (node ? call->to == node : call->deadline <= core->clock.mono) {
                *last = calls_take(core, at);
                last = &(*last)->next;
            } else {
                at = &(*at)->next;
            }
        }
    }
    *last = NULL;
    while (dropped) {
        struct channel_call *call = dropped;
        dropped = call->next;
        call_done(core, call, CALL_UNAVAILABLE);
    }
}

void calls_drop_peer(struct core *core, const struct peer *p)
{
    drop_calls(core, p->node);
}

/* ---- who is asked ---- */

static void refuse_call(struct core *core, struct peer *p, uint64_t no,
                        enum call_answer answer, struct instant now)
{
    const struct frame_reply f = {.no = no, .answer = answer, .mono = now.mono};

    frame_reply(&core->w, &f, NULL);
    core_post(core, p);
}

static void on_call(struct core *core, struct peer *p,
                    const struct frame_call *f, struct instant now)
{
    struct replica *r = core_replica(core, f->app);
    struct record *delta = NULL;
    bool good = f->kind != CALL_COMMIT;

    if (!good) {
        good = record_decode(f->delta, f->delta_len, &delta, NULL) == RC_OK &&
               is_of(delta, f->id);
        core->garbage += !good;
    }
    if (!r || !replica_places(r)) {
        refuse_call(core, p, f->no, CALL_LACKS, now);
    } else if (good && !core->stopping) {
        struct channel_called called = {
            .from = p->node,
            .no = f->no,
            .app = f->app,
            .kind = f->kind,
            .have = f->have,
            .delta = delta,
        };
        memcpy(called.id, f->id, ID_SIZE);
        replica_called(r, &called, now);
    } else {
        refuse_call(core, p, f->no, CALL_UNAVAILABLE, now);
    }
    record_unref(&delta);
}

void core_reply(struct core *core, const struct channel_reply *reply,
                struct instant now)
{
    struct record *record = reply->record;
    struct peer *p = peer_of(core, reply->to);
    struct frame_reply f = {
        .no = reply->no, .answer = reply->answer, .mono = now.mono};
    struct frame_update updates[2];
    uint8_t place[PLACE_MAX];

    lease_time(core, now);
    if (reply->placed)
        updates[f.count++] = (struct frame_update){
            .kind = UPDATE_PLACE,
            .app = reply->app,
            .access = now.mono,
            .bytes = place,
            .len = (uint32_t)place_encode(&reply->place, reply->id, place),
        };
    if (record)
        updates[f.count++] = (struct frame_update){
            .kind = UPDATE_RECORD,
            .app = reply->app,
            .owner = reply->owner,
            .access = reply->access,
            .bytes = record->bytes,
            .len = record->len,
        };
    if (p && peer_linked(p)) {
        frame_reply(&core->w, &f, updates);
        core_post(core, p);
    }
    record_unref(&record);
}

void calls_frame(struct core *core, struct peer *p, struct frame *f,
                 struct instant now)
{
    if (f->type == FRAME_CALL)
        on_call(core, p, &f->call, now);
    else
        on_reply(core, p, &f->reply, now);
}

/* ---- pauses ---- */

static void pauses_end(struct core *core)
{
    struct channel_pause *pause = core->pauses, *next;

    core->pauses = NULL;
    core->view_changed = false;
    for (; pause; pause = next) {
        next = pause->next;
        pause->now = core->clock;
        pause->stopped = core->stopping;
        pause->done(pause);
    }
}

void core_pause(struct core *core, struct channel_pause *pause,
                struct instant now)
{
    lease_time(core, now);
    pause->next = core->pauses;
    core->pauses = pause;
    if (core->stopping)
        pauses_end(core);
}

void calls_tick(struct core *core)
{
    drop_calls(core, 0);
    pauses_end(core);
}

void calls_look(struct core *core)
{
    if (core->view_changed)
        pauses_end(core);
}

void calls_stop(struct core *core)
{
    for (size_t i = 0; i < CALL_HEADS; i++)
        while (core->calls[i])
            call_done(core, calls_take(core, &core->calls[i]),
                      CALL_UNAVAILABLE);
    pauses_end(core);
}
