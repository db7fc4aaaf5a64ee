/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include "session/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 65536

/* ---- begin and end ---- */

static int64_t preset(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

struct core *core_new(const struct core_options *options,
                      const struct core_out *out, struct channel *channel,
                      struct instant now)
{
    struct core *core = mem_zero(sizeof *core);
    struct core_options *o = &core->options;

    assert(options->node && options->drop_ms > 0);
    *o = *options;
    o->cluster = mem_strdup(options->cluster);
    o->name = mem_strdup(options->name);
    o->address = mem_strdup(options->address);
    o->pulse_ms = preset(o->pulse_ms, preset(o->drop_ms / 12, 1));
    o->redial_ms = preset(o->redial_ms, 500);
    o->compare_ms = preset(o->compare_ms, 5000);
    o->forget_ms = preset(o->forget_ms, 3600000);
    if (o->version == 0)
        o->version = FRAME_VERSION;
    if (o->log_bytes == 0)
        o->log_bytes = 32u << 20;
    core->out = *out;
    core->channel = channel;
    channel->node = o->node;
    channel->drop_ms = o->drop_ms;
    channel->log_bytes = o->log_bytes;
    core->started = now.mono;
    core->started_wall = now.wall;
    core->last_now = now.mono;
    core->clock = now;
    core->joining_since = core->alone_since = now.mono;
    core->stale_no = 1;
    pack_init(&core->w, 4096);
    stream_init(core);
    view_init(channel);
    return core;
}

static void peer_free(struct peer *p)
{
    free(p->apps);
    free(p);
}

void core_free(struct core **pointer)
{
    struct core *core = *pointer;

    *pointer = NULL;
    if (!core)
        return;
    core->stopping = true;
    sync_release(core);
    calls_stop(core);
    stream_release(core);
    for (size_t i = 0; i < core->peer_count; i++)
        peer_free(core->peers[i]);
    for (size_t i = 0; i < core->place_count; i++)
        free(core->places[i].address);
    free(core->peers);
    free(core->places);
    free(core->links);
    free(core->replicas);
    pack_release(&core->w);
    free((char *)core->options.cluster);
    free((char *)core->options.name);
    free((char *)core->options.address);
    free(core);
}

void core_say(struct core *core, enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list ap;

    if (!core->options.log)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    log_line(core->options.log, level, "cluster", "%s", text);
}

/* ---- who there is ---- */

struct peer *peer_of(struct core *core, uint64_t node)
{
    for (size_t i = 0; i < core->peer_count; i++)
        if (core->peers[i]->node == node)
            return core->peers[i];
    return NULL;
}

static struct peer *peer_new(struct core *core, uint64_t node)
{
    struct peer *p = mem_zero(sizeof *p);

    p->node = node;
    p->link = NO_LINK;
    p->withdrawn = p->lease = p->their_mono = p->echo = NEVER;
    p->compared = p->equal_at = p->settled = NEVER;
    p->heard = p->met = p->reunited = NEVER;
    core->peers =
        mem_resize(core->peers, (core->peer_count + 1) * sizeof *core->peers);
    core->peers[core->peer_count++] = p;
    return p;
}

static void peer_remove(struct core *core, size_t index, struct instant now)
{
    struct peer *p = core->peers[index];

    sync_drop_peer(core, p, now);
    core->peers[index] = core->peers[--core->peer_count];
    peer_free(p);
}

int core_place(struct core *core, const char *address, bool listed)
{
    for (size_t i = 0; i < core->place_count; i++)
        if (strcmp(core->places[i].address, address) == 0) {
            core->places[i].listed |= listed;
            return (int)i;
        }
    if (core->place_count == FRAME_MEMBERS_MAX)
        return -1;
    core->places = mem_resize(core->places,
                              (core->place_count + 1) * sizeof *core->places);
    core->places[core->place_count] = (struct core_place){
        .address = mem_strdup(address),
        .listed = listed,
        .self = strcmp(address, core->options.address) == 0,
        .next_dial = NEVER,
    };
    return (int)core->place_count++;
}

struct replica *core_replica(struct core *core, uint32_t app)
{
    for (size_t i = 0; i < core->replica_count; i++)
        if (replica_app(core->replicas[i]) == app)
            return core->replicas[i];
    return NULL;
}

bool core_is_partial(const struct core *core)
{
    for (size_t i = 0; i < core->replica_count; i++)
        if (replica_places(core->replicas[i]))
            return true;
    return false;
}

void core_join(struct core *core, struct replica *replica)
{
    core->replicas = mem_resize(core->replicas, (core->replica_count + 1) *
                                                    sizeof *core->replicas);
    core->replicas[core->replica_count++] = replica;
    view_joined(core, replica);
    core->waits_changed = core->some_changed = true; /* view_lacks */
    if (core->ever_complete) {                       /* its copies are not */
        core->stale_no++;
        core->complete = false;
        core->says_apps = true;
        atomic_store(&core->channel->answer_until, 0);
    }
}

static void pulse_all(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->peer_count; i++)
        if (peer_linked(core->peers[i]))
            lease_send_pulse(core, core->peers[i], now);
}

/* An earlier pulse may have the same mono: the next one tells. */
static void say_apps(struct core *core, struct instant now)
{
    core->says_apps = false;
    pulse_all(core, now);
    for (size_t i = 0; i < core->peer_count; i++)
        core->peers[i]->next_pulse = now.mono + 1;
    for (size_t i = 0; i < core->replica_count; i++) {
        struct channel_app *app = replica_members(core->replicas[i]);
        if (app->left_from == INT64_MAX)
            app->left_from = now.mono + 1;
    }
}

static void say_lacks(struct core *core, struct instant now)
{
    core->says_lacks = false;
    pulse_all(core, now);
}

void core_withdraw(struct core *core, struct replica *replica,
                   struct instant now)
{
    struct channel_app *app = replica_members(replica);

    lease_time(core, now);
    app->left_from = INT64_MAX;
    atomic_store(&app->leaves, true);
    core->says_apps = true;
    view_look_left(core);
}

void core_leave(struct core *core, struct replica *replica)
{
    sync_drop_peer(core, core->pull.from,
                   (struct instant){.mono = core->last_now});
    for (size_t i = 0; i < core->replica_count; i++)
        if (core->replicas[i] == replica)
            core->replicas[i--] = core->replicas[--core->replica_count];
    core->says_lacks = true;
}

/* ---- links ---- */

static struct core_link *link_of(struct core *core, int number)
{
    if (number < 0 || (size_t)number >= core->link_count ||
        !core->links[number].up)
        return NULL;
    return &core->links[number];
}

void core_post(struct core *core, struct peer *p)
{
    if (core->w.len && peer_linked(p)) {
        core->frames_sent++;
        core->bytes_sent += core->w.len;
        core->out.send(core->out.user, p->link, core->w.data, core->w.len);
    }
    core->w.len = 0;
}

static void link_post(struct core *core, int number)
{
    core->frames_sent++;
    core->bytes_sent += core->w.len;
    core->out.send(core->out.user, number, core->w.data, core->w.len);
    core->w.len = 0;
}

static struct frame_text text_of(const char *text)
{
    return (struct frame_text){text, (uint32_t)strlen(text)};
}

/* This side of a partition. Who was on another one for longer than forgetAfter
 * does not count for as long again: all who meet one after the other are to
 * come to the same. */
static void count_side(const struct core *core, uint32_t *members,
                       uint64_t *lowest, struct instant now)
{
    *members = 1;
    *lowest = core->options.node;
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (!p->waited || p->departed ||
            (p->reunited != NEVER &&
             now.mono - p->reunited < core->options.forget_ms))
            continue;
        ++*members;
        if (p->node < *lowest)
            *lowest = p->node;
    }
}

static int64_t apart_from(const struct peer *p, struct instant now)
{
    return p && p->heard != NEVER ? now.mono - p->heard : -1;
}

static void send_hello(struct core *core, int number, uint64_t to,
                       struct instant now)
{
    struct core_link *l = &core->links[number];
    struct frame_hello f = {
        .version = core->options.version,
        .node = core->options.node,
        .to = to,
        .started = core->started_wall,
        .apart = to ? apart_from(peer_of(core, to), now) : -1,
        .cluster = text_of(core->options.cluster),
        .name = text_of(core->options.name),
        .address = text_of(core->options.address),
    };

    count_side(core, &f.members, &f.lowest, now);
    l->hello_sent = true;
    frame_hello(&core->w, &f);
    link_post(core, number);
}

void core_link_up(struct core *core, int number, int place, struct instant now)
{
    assert(number >= 0 && number < LINKS_MAX);
    lease_time(core, now);
    if ((size_t)number >= core->link_count) {
        size_t count = (size_t)number + 16;
        core->links = mem_resize(core->links, count * sizeof *core->links);
        memset(core->links + core->link_count, 0,
               (count - core->link_count) * sizeof *core->links);
        core->link_count = count;
    }
    core->links[number] =
        (struct core_link){.up = true, .place = place, .since = now.mono};
    if (place >= 0) {
        struct core_place *at = &core->places[place];
        at->refused = false;
        send_hello(core, number, at->node, now);
    }
}

static void unlink_peer(struct core *core, struct peer *p, struct instant now)
{
    p->link = NO_LINK;
    p->unlinked = p->progress;
    p->resumed = p->pulsed = false;
    p->denied = 0; /* it may meet them while it is away */
    sync_drop_peer(core, p, now);
    calls_drop_peer(core, p);
    for (size_t i = 0; i < core->place_count; i++)
        if (core->places[i].node == p->node) {
            core->places[i].next_dial = now.mono;
            core->places[i].hasty = REDIALS_SOON;
        }
}

static void link_over(struct core *core, struct core_link *l,
                      struct instant now)
{
    l->up = false;
    if (l->place < 0)
        return;
    struct core_place *at = &core->places[l->place];
    bool soon = !l->peer && at->hasty > 0;
    at->hasty -= soon;
    at->next_dial =
        now.mono + (soon ? REDIAL_SOON_MS : core->options.redial_ms);
    if (!l->peer)
        at->dialling = false;
}

static void link_close(struct core *core, int number, struct instant now)
{
    struct core_link *l = link_of(core, number);

    if (!l)
        return;
    link_over(core, l, now);
    if (l->peer && l->peer->link == number)
        unlink_peer(core, l->peer, now);
    core->out.close(core->out.user, number);
}

void core_link_down(struct core *core, int number, struct instant now)
{
    struct core_link *l = link_of(core, number);

    lease_time(core, now);
    if (!l)
        return;
    link_over(core, l, now);
    if (l->peer && l->peer->link == number)
        unlink_peer(core, l->peer, now);
    lease_update(core, now);
    calls_look(core);
}

void core_dial_failed(struct core *core, int number, bool refused,
                      struct instant now)
{
    struct core_place *place = &core->places[number];
    struct peer *p;

    lease_time(core, now);
    place->dialling = false;
    place->refused = refused;
    place->next_dial = now.mono + core->options.redial_ms;
    p = place->node ? peer_of(core, place->node) : NULL;
    if (refused && p && !peer_linked(p) && !p->departed)
        peer_depart(core, p, "nobody listens at its port any more", now);
    lease_update(core, now);
    calls_look(core);
}

void peer_depart(struct core *core, struct peer *p, const char *why,
                 struct instant now)
{
    p->departed = true;
    if (p->waited)
        lease_give_up(core, p, why, now);
    view_note(core, p, now);
    if (peer_linked(p))
        link_close(core, p->link, now);
    sync_settle(core, now);
}

/* ---- the hello ---- */

static void refuse(struct core *core, int number, struct instant now,
                   const char *why)
{
    core->garbage++;
    frame_refused(&core->w, why);
    link_post(core, number);
    link_close(core, number, now);
}

static bool copy_text(char *to, const struct frame_text *text)
{
    if (text->len == 0 || text->len > FRAME_NAME_MAX ||
        memchr(text->p, 0, text->len))
        return false;
    memcpy(to, text->p, text->len);
    to[text->len] = 0;
    return true;
}

/* Another start under that name: it is older and gone, or it is the one that
 * stays. false: the newcomer may not join. Who is silent, and whose port a
 * start has that is new here, is gone as well, whatever both are called. */
static bool replace_older(struct core *core, const struct frame_hello *f,
                          const char *name, const char *address,
                          struct instant now)
{
    for (size_t i = 0; i < core->peer_count; i++) {
        struct peer *p = core->peers[i];
        bool same_port = strcmp(p->address, address) == 0;
        bool answers =
            peer_linked(p) && now.mono - p->heard < core->options.drop_ms;
        bool lost_port = same_port && !answers && !peer_of(core, f->node);
        if (p->node == f->node || p->departed ||
            (strcmp(p->name, name) != 0 && !lost_port))
            continue;
        /* a clock may have been set back: who does not answer is gone */
        if (answers && (!same_port || p->started > f->started))
            return false;
        peer_depart(core, p, "a newer start took its name, or its port", now);
    }
    return true;
}

/* Are there two sides, and is ours the smaller one? */
static bool brings_nothing(struct core *core, struct peer *p,
                           const struct frame_hello *f, struct instant now)
{
    int64_t apart = apart_from(p, now);
    bool met_elsewhere = apart >= core->options.forget_ms && p->met != NEVER &&
                         now.mono - p->met < core->options.forget_ms;
    uint32_t members;
    uint64_t lowest;

    if (f->to == core->options.node && f->apart > apart)
        apart = f->apart;
    if (apart < core->options.forget_ms || met_elsewhere)
        return false;
    count_side(core, &members, &lowest, now);
    p->reunited = now.mono;
    if (!core->ever_complete || members > f->members)
        return false;
    /* the same lowest: both were with it all the time */
    return members < f->members || lowest > f->lowest;
}

/* After longer than forgetAfter apart, who was on the smaller side brings
 * nothing. */
static void meet_again(struct core *core, struct peer *p,
                       const struct frame_hello *f, struct instant now)
{
    size_t lost = 0;

    if (!brings_nothing(core, p, f, now))
        return;
    for (size_t i = 0; i < core->replica_count; i++)
        lost += replica_drop_all(core->replicas[i], REASON_LOST, now);
    stream_forget(core);
    core_say(core, LOG_WARN,
             "this member was apart from %s for longer than forgetAfter: the "
             "%zu sessions that it held are dropped, the other side's stand",
             p->name, lost);
    lease_stale(core);
}

/* Of two links between the same two members the one stays that the smaller
 * node dialled; an older one of the same kind is dead. */
static bool keep_new_link(const struct core *core, const struct peer *p,
                          const struct core_link *fresh, struct instant now)
{
    const struct core_link *old = &core->links[p->link];
    bool we_dial = core->options.node < p->node;

    if ((old->place >= 0) == (fresh->place >= 0))
        return true;
    if (now.mono - p->heard > 3 * core->options.pulse_ms)
        return true;
    return (fresh->place >= 0) == we_dial;
}

static void link_peer(struct core *core, struct peer *p, int number,
                      struct instant now)
{
    struct core_link *l = &core->links[number];
    int place = l->place >= 0 ? l->place : core_place(core, p->address, false);

    if (peer_linked(p))
        link_close(core, p->link, now);
    if (place >= 0)
        core->places[place].node = p->node;
    if (l->place >= 0)
        core->places[l->place].dialling = false;
    l->peer = p;
    p->link = number;
    p->resumed = p->pulsed = false;
    p->heard = now.mono;
    p->give_up_at = now.mono + core->options.drop_ms;
    if (!p->waited)
        lease_admit(core, p, now);
    if (!l->hello_sent)
        send_hello(core, number, p->node, now);
    lease_send_pulse(core, p, now);
    version_greet(core, p);
    core_say(core, LOG_INFO, "linked to %s at %s", p->name, p->address);
}

static void on_hello(struct core *core, int number, struct frame_hello *f,
                     struct instant now)
{
    char cluster[FRAME_NAME_MAX + 1], name[FRAME_NAME_MAX + 1];
    char address[FRAME_NAME_MAX + 1];
    struct core_link *l = &core->links[number];
    struct peer *p;

    if (!copy_text(cluster, &f->cluster) || !copy_text(name, &f->name) ||
        !copy_text(address, &f->address) ||
        strcmp(cluster, core->options.cluster) != 0) {
        refuse(core, number, now, "this is another cluster");
        return;
    }
    if (f->node == core->options.node) {
        if (l->place >= 0)
            core->places[l->place].self = true;
        link_close(core, number, now);
        return;
    }
    if (strcmp(name, core->options.name) == 0 ||
        !replace_older(core, f, name, address, now)) {
        refuse(core, number, now,
               "another member has this name and answers: give each member "
               "a name (jvmRoute, -D node=...) of its own");
        return;
    }
    p = peer_of(core, f->node);
    if (!p && core->peer_count + 1 >= FRAME_MEMBERS_MAX) {
        refuse(core, number, now, "there are too many members");
        return;
    }
    if (!p)
        p = peer_new(core, f->node);
    memcpy(p->name, name, sizeof name);
    memcpy(p->address, address, sizeof address);
    p->started = f->started;
    version_agree(core, p, f);
    meet_again(core, p, f, now);
    if (l->place >= 0) /* of the list, perhaps not as it calls itself */
        core->places[l->place].node = p->node;
    if (peer_linked(p) && !keep_new_link(core, p, l, now)) {
        link_close(core, number, now);
        return;
    }
    p->departed = false;
    link_peer(core, p, number, now);
}

/* ---- what comes ---- */

static void on_frame(struct core *core, struct peer *p, struct frame *f,
                     struct instant now)
{
    switch (f->type) {
    case FRAME_PULSE:
        lease_pulsed(core, p, &f->pulse, now);
        break;
    case FRAME_UPDATES:
        stream_updates(core, p, &f->updates, now);
        break;
    case FRAME_ACK:
        stream_acked(core, p, &f->ack, now);
        break;
    case FRAME_MISSED:
        stream_missed(p, f->missed.upto);
        break;
    case FRAME_CALL:
    case FRAME_REPLY:
        calls_frame(core, p, f, now);
        break;
    case FRAME_KNOWN_ASK:
    case FRAME_KNOWN:
        known_frame(core, p, f, now);
        break;
    case FRAME_RELEASE:
        version_frame(core, p, f);
        break;
    case FRAME_LEAVE:
        p->left = true;
        peer_depart(core, p, "it was stopped in order", now);
        break;
    default:
        sync_frame(core, p, f, now);
    }
}

static void on_refused(struct core *core, int number, struct frame *f,
                       struct instant now)
{
    const struct core_link *l = &core->links[number];
    const char *where = l->place >= 0 ? core->places[l->place].address : "?";

    core_say(core, LOG_ERROR, "%s refuses this member: %.*s", where,
             (int)f->refused.len, f->refused.p);
    link_close(core, number, now);
}

static void garbage(struct core *core, int number, struct instant now,
                    const char *why)
{
    core->garbage++;
    core_say(core, LOG_WARN, "a link is closed: %s", why);
    link_close(core, number, now);
}

void core_received(struct core *core, int number, const uint8_t *body,
                   size_t len, struct instant now)
{
    struct core_link *l = link_of(core, number);
    struct frame f;
    struct err err = {""};

    lease_time(core, now);
    if (!l)
        return;
    core->frames_received++;
    core->bytes_received += len + 4;
    enum rc rc = frame_decode(body, len, &f, &err);
    if (rc == RC_UNSUPPORTED) { /* it is to know why */
        frame_refused(&core->w, err.text);
        link_post(core, number);
    }
    if (rc != RC_OK) {
        garbage(core, number, now, err.text);
        return;
    }
    if (f.type == FRAME_REFUSED) {
        on_refused(core, number, &f, now);
    } else if (f.type == FRAME_HELLO) {
        if (!l->peer)
            on_hello(core, number, &f.hello, now);
    } else if (!l->peer) {
        garbage(core, number, now, "it does not begin with a hello");
    } else if (frame_since(f.type) > l->peer->version) {
        garbage(core, number, now, "a frame of a newer version than agreed");
    } else if (l->peer->link == number) {
        l->peer->heard = now.mono;
        l->peer->give_up_at = now.mono + core->options.drop_ms;
        on_frame(core, l->peer, &f, now);
    }
    lease_check_complete(core, now);
    lease_update(core, now);
    calls_look(core);
}

/* ---- time ---- */

static bool place_linked(struct core *core, const struct core_place *place)
{
    struct peer *p = place->node ? peer_of(core, place->node) : NULL;

    return p && peer_linked(p);
}

static void dial(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->place_count; i++) {
        struct core_place *place = &core->places[i];
        if (place->self || place->dialling || place->next_dial > now.mono ||
            place_linked(core, place))
            continue;
        place->dialling = true;
        core->out.dial(core->out.user, (int)i, place->address);
    }
}

/* Connections on which nobody introduces himself. */
static void drop_mute(struct core *core, struct instant now)
{
    for (size_t i = 0; i < core->link_count; i++) {
        const struct core_link *l = &core->links[i];
        if (l->up && !l->peer && now.mono - l->since >= core->options.drop_ms)
            link_close(core, (int)i, now);
    }
}

/* Those that are dead; of the others, whoever returns after however long is to
 * be told from a stranger, as long as there is room. */
static void forget_peers(struct core *core, struct instant now)
{
    for (size_t i = core->peer_count; i-- > 0;) {
        const struct peer *p = core->peers[i];
        bool long_gone = core->peer_count > FRAME_MEMBERS_MAX / 2 &&
                         !p->waited && p->heard != NEVER &&
                         now.mono - p->heard > 2 * core->options.forget_ms;
        if (!peer_linked(p) && ((p->departed && !p->waited) || long_gone))
            peer_remove(core, i, now);
    }
}

void core_tick(struct core *core, struct instant now)
{
    lease_time(core, now);
    if (core->stopping)
        return;
    drop_mute(core, now);
    dial(core, now);
    lease_tick(core, now);
    stream_tick(core, now);
    sync_tick(core, now);
    view_tick(core, now);
    view_look_left(core);
    known_tick(core, now);
    calls_tick(core);
    forget_peers(core, now);
    lease_check_complete(core, now);
    lease_update(core, now);
    calls_look(core);
}

void core_flush(struct core *core, struct instant now)
{
    lease_time(core, now);
    if (core->says_lacks && !core->stopping) /* before it acknowledges more */
        say_lacks(core, now);
    stream_flush(core, now);
    if (core->says_apps && !core->stopping) /* behind what it decided */
        say_apps(core, now);
    if (view_look_again(core, now) && !core->stopping)
        pulse_all(core, now);
}

bool core_idle(const struct core *core)
{
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct peer *p = core->peers[i];
        if (peer_linked(p) && p->waited && p->answering &&
            !stream_has_all(core, p))
            return false;
    }
    return true;
}

void core_stop(struct core *core, struct instant now)
{
    lease_time(core, now);
    core->stopping = true;
    stream_flush(core, now);
    for (size_t i = 0; i < core->peer_count; i++) {
        stream_cover_rest(core, core->peers[i], now);
        frame_leave(&core->w);
        core_post(core, core->peers[i]);
    }
    core->complete = false;
    lease_update(core, now);
    stream_stop(core);
    sync_stop(core);
    calls_stop(core);
}
