/* SPDX-License-Identifier: Apache-2.0
 *
 * How members compare their copies. One way for everything: to take the state
 * as a joiner, to fill a hole, to meet again after a partition, and to be sure
 * every few seconds.
 *
 *     puller                       source
 *     SUMS_ASK  ----------------->
 *               <-----------------  SUMS   a number for each leaf; before them:
 *                                          how far it is in everybody's stream
 *     LEAF      ----------------->         my live entries of a leaf that
 *                                          differs, from an id on
 *               <-----------------  RECORDS  what you lack, what I want, up to
 *                                          an id: no more than fills a frame
 *     GIVE      ----------------->         that
 *     LEAF      ----------------->         the same leaf, from there on
 *
 * At the end the puller has all that the source had when it summed up, so it
 * is as far in everybody's stream as the source was then. Where members hold
 * parts (replica.h), it has of what the source had what both are to have: it is
 * as far in the source's own stream. */
#include "config.h"

#include "managers/cluster/core_impl.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

/* ---- what came is merged ---- */

static void give_back(struct core *core, struct peer *p, struct replica *r,
                      const uint8_t *id, struct instant now)
{
    struct replica_item item;
    struct frame_records f = {.app = replica_app(r), .mono = now.mono};
    struct frame_update updates[2];
    uint8_t place[PLACE_MAX];

    if (!replica_take(r, p->node, id, &item))
        return;
    f.count = replica_item_updates(&item, f.app, place, updates);
    frame_records(&core->w, FRAME_GIVE, &f, updates);
    core_post(core, p);
    record_unref(&item.record);
}

static void ask_for(struct core *core, struct peer *p, uint32_t app,
                    const uint8_t *id, uint64_t no)
{
    struct frame_ask f = {.no = no, .app = app, .id = id};

    frame_ask(&core->w, &f);
    core_post(core, p);
}

void sync_apply(struct core *core, struct peer *p, struct frame_update *u,
                int64_t mono, bool sent, struct instant now)
{
    struct replica *r = core_replica(core, u->app);
    uint8_t id[ID_SIZE];
    int64_t newer;

    if (!r)
        return;
    uint64_t owner = u->owner ? u->owner : p->node;
    int64_t access = now.mono - (mono - u->access);
    switch (replica_apply(r, u, access, owner, now, id, &newer)) {
    case REPLICA_STRAY:
        ask_for(core, p, u->app, id, 0);
        break;
    case REPLICA_NEWER:
        if (core->pull.from == p)
            core->pull.gave = true;
        give_back(core, p, r, id, now);
        break;
    case REPLICA_BAD:
        core->garbage++;
        break;
    case REPLICA_DONE:
        if (sent && u->kind == UPDATE_RECORD)
            replica_given(r, id, now);
        break;
    }
}

/* ---- the source ---- */

/* Of whom this member is in contact with: who is named there was met. */
static size_t fill_vector(const struct core *core,
                          struct frame_applied vector[FRAME_MEMBERS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < core->peer_count && count < FRAME_MEMBERS_MAX; i++)
        if (core->peers[i]->waited)
            vector[count++] = (struct frame_applied){
                .node = core->peers[i]->node,
                .seq = core->peers[i]->applied,
            };
    return count;
}

static void on_sums_ask(struct core *core, struct peer *p, uint64_t no,
                        struct instant now)
{
    struct frame_applied vector[FRAME_MEMBERS_MAX];
    uint64_t sums[FRAME_LEAVES];
    uint8_t ended[FRAME_BITS] = {0};
    struct frame_sums f = {
        .no = no,
        .last = core->replica_count == 0,
        .answering = core_may_answer(core, now),
        .seq = stream_summed(core, p),
        .ended = ended,
        .vector_count = (uint32_t)fill_vector(core, vector),
    };

    memset(sums, 0, sizeof sums);
    if (f.last)
        frame_sums(&core->w, &f, sums, vector);
    for (size_t i = 0; i < core->replica_count; i++) {
        replica_sums(core->replicas[i], p->node, sums, ended);
        f.app = replica_app(core->replicas[i]);
        f.last = i + 1 == core->replica_count;
        frame_sums(&core->w, &f, sums, vector);
    }
    core_post(core, p);
}

struct item_bytes {
    uint8_t place[PLACE_MAX];
};

/* As many as one frame takes. */
static void post_items(struct core *core, struct peer *p, enum frame_type type,
                       struct frame_records *f,
                       const struct replica_item *items, size_t count)
{
    struct frame_update *updates = mem_alloc((2 * count + 1) * sizeof *updates);
    struct item_bytes *bytes = mem_alloc((count + 1) * sizeof *bytes);

    f->count = 0;
    for (size_t i = 0; i < count; i++)
        f->count += replica_item_updates(&items[i], f->app, bytes[i].place,
                                         updates + f->count);
    frame_records(&core->w, type, f, updates);
    core_post(core, p);
    free(bytes);
    free(updates);
}

static void on_leaf(struct core *core, struct peer *p, struct frame_leaf *f,
                    struct instant now)
{
    struct replica *r = core_replica(core, f->app);
    struct replica_diff diff = {0};
    struct frame_records answer = {
        .no = f->no, .app = f->app, .leaf = f->leaf, .mono = now.mono};

    if (r)
        replica_diff(r, p->node, f, &diff);
    answer.upto = diff.more ? diff.upto : NULL;
    answer.wants = diff.wants;
    answer.want_count = (uint32_t)diff.want_count;
    post_items(core, p, FRAME_RECORDS, &answer, diff.items, diff.count);
    replica_diff_release(&diff);
}

static void on_ask(struct core *core, struct peer *p, struct frame_ask *f,
                   struct instant now)
{
    struct replica *r = core_replica(core, f->app);
    struct replica_item item = {0};
    struct frame_told told = {
        .no = f->no,
        .answering = core_may_answer(core, now),
        .mono = now.mono,
        .found = r && replica_take(r, 0, f->id, &item) && item.record,
    };

    if (told.found)
        told.update = (struct frame_update){
            .kind = UPDATE_RECORD,
            .app = f->app,
            .owner = item.owner,
            .access = item.access,
            .bytes = item.record->bytes,
            .len = item.record->len,
        };
    frame_told(&core->w, &told);
    core_post(core, p);
    record_unref(&item.record);
}

/* ---- the puller ---- */

static void pull_clear(struct core *core)
{
    struct pull *pull = &core->pull;

    free(pull->vector);
    free(pull->apps);
    *pull = (struct pull){.no = pull->no};
}

static void ask_sums(struct core *core, struct instant now)
{
    core->pull.progress = now.mono;
    frame_sums_ask(&core->w, core->pull.no);
    core_post(core, core->pull.from);
}

/* Sessions that began and ended in a hole leave a tombstone only. */
static bool has_holes(const struct core *core)
{
    for (size_t i = 0; i < core->peer_count; i++)
        if (peer_has_hole(core->peers[i]))
            return true;
    return false;
}

static void pull_begin(struct core *core, struct peer *p, struct instant now)
{
    struct pull *pull = &core->pull;

    pull_clear(core);
    pull->from = p;
    pull->no = ++core->last_no;
    pull->begun = now.mono;
    pull->stale_no = core->stale_no;
    pull->want_ended = !core->complete || has_holes(core);
    pull->app_count = core->replica_count;
    pull->apps = mem_zero((pull->app_count + 1) * sizeof *pull->apps);
    for (size_t i = 0; i < pull->app_count; i++)
        pull->apps[i].replica = core->replicas[i];
    if (!core->ever_complete)
        core_say(core, LOG_INFO, "this member takes its copies from %s",
                 p->name);
    ask_sums(core, now);
}

static void ask_leaf(struct core *core, struct pull_leaf *leaf,
                     struct instant now)
{
    struct pull *pull = &core->pull;
    struct replica *r = pull->apps[leaf->app].replica;
    uint8_t *entries = NULL;
    struct frame_leaf f = {
        .no = pull->no,
        .app = replica_app(r),
        .leaf = leaf->leaf,
        .after = leaf->begun ? leaf->after : NULL,
        .ended = pull->want_ended,
    };

    f.count = (uint32_t)replica_list(r, pull->from->node, leaf->leaf, f.after,
                                     &entries);
    f.entries = entries;
    frame_leaf(&core->w, &f);
    core_post(core, pull->from);
    free(entries);
    leaf->busy = true;
    leaf->asked = now.mono;
    leaf->tries++;
}

static bool bit(const uint8_t *bits, unsigned i)
{
    return bits[i / 8] & 1 << i % 8;
}

/* The next leaf that differs; false: none of those that are known. */
static bool next_leaf(struct pull *pull, unsigned *app, unsigned *leaf)
{
    for (; pull->app_at < pull->app_count; pull->app_at++, pull->leaf_at = 0) {
        const struct pull_app *a = &pull->apps[pull->app_at];
        if (!a->come)
            return false;
        while (pull->leaf_at < FRAME_LEAVES) {
            unsigned i = pull->leaf_at++;
            if (!bit(a->todo, i))
                continue;
            *app = (unsigned)pull->app_at;
            *leaf = i;
            return true;
        }
    }
    return false;
}

/* What somebody else says of its stream is believed only as far as it has told
 * of itself: a jump ahead of that would hide for ever what it does next. What
 * is behind that comes, or has come, by its stream. */
static void cover_told(struct peer *p, uint64_t seq)
{
    uint64_t told = p->seq > p->ahead.to ? p->seq : p->ahead.to;

    stream_cover(p, seq < told ? seq : told);
}

/* As far as the source was in everybody's stream, so far are we; but where it
 * has a part only, in its own. */
static void take_vector(struct core *core)
{
    const struct pull *pull = &core->pull;

    for (size_t i = 0; pull->all_apps && i < pull->vector_count; i++) {
        struct peer *p = peer_of(core, pull->vector[i].node);
        if (!p)
            continue;
        p->met = pull->begun;
        if (!core_is_partial(core))
            cover_told(p, pull->vector[i].seq);
    }
    stream_cover(pull->from, pull->seq);
}

static void pull_done(struct core *core, struct instant now)
{
    struct pull *pull = &core->pull;
    struct peer *p = pull->from;

    take_vector(core);
    p->pulled_at = pull->begun;
    p->pulled_for = pull->stale_no;
    p->pulled_answering = pull->answering && pull->all_apps;
    if (!pull->gave)
        sync_compared(core, p, pull->begun);
    p->unequal = 0;
    /* who is not complete goes on at once: a newer cause may want it again */
    p->next_compare =
        now.mono + (core->complete ? core->options.compare_ms : 0);
    core->compared++;
    pull_clear(core);
}

static void pull_abort(struct core *core, struct instant now)
{
    if (core->pull.from)
        core->pull.from->next_compare = now.mono + core->options.redial_ms;
    pull_clear(core);
}

/* How many leaves may be under way. */
static size_t pull_window(const struct pull *pull)
{
    size_t n = pull->leaf_bytes ? PULL_BYTES / pull->leaf_bytes : 2;

    return n < 2 ? 2 : n < PULL_WINDOW ? n : PULL_WINDOW;
}

static void note_size(struct pull *pull, size_t bytes)
{
    pull->leaf_bytes =
        pull->leaf_bytes ? (3 * pull->leaf_bytes + bytes) / 4 + 1 : bytes + 1;
}

static void pull_go_on(struct core *core, struct instant now)
{
    struct pull *pull = &core->pull;
    size_t window = pull_window(pull), busy_count = 0;
    bool busy = false;
    unsigned app, leaf;

    for (size_t i = 0; i < PULL_WINDOW; i++)
        busy_count += pull->leaves[i].busy;
    for (size_t i = 0; i < PULL_WINDOW; i++) {
        struct pull_leaf *slot = &pull->leaves[i];
        if (!slot->busy && busy_count < window &&
            next_leaf(pull, &app, &leaf)) {
            busy_count++;
            *slot = (struct pull_leaf){.app = app, .leaf = leaf};
            core->repaired++;
            ask_leaf(core, slot, now);
        }
        busy |= slot->busy;
    }
    if (!busy && pull->summed)
        pull_done(core, now);
}

static void find_differences(struct pull_app *a, uint64_t peer,
                             const struct frame_sums *f, bool want_ended)
{
    uint64_t mine[FRAME_LEAVES];
    uint8_t ended[FRAME_BITS];
    uint32_t at = 0;

    replica_sums(a->replica, peer, mine, ended);
    for (unsigned i = 0; i < FRAME_LEAVES; i++) {
        uint64_t theirs = 0;
        if (bit(f->some, i)) {
            memcpy(&theirs, f->sums + 8 * (size_t)at++, sizeof theirs);
            theirs = le64toh(theirs);
        }
        if (theirs != mine[i] || (want_ended && bit(f->ended, i)))
            a->todo[i / 8] |= (uint8_t)(1 << i % 8);
    }
}

static void keep_vector(struct pull *pull, struct frame_sums *f)
{
    struct frame_applied applied;

    pull->seq = f->seq;
    pull->answering = f->answering;
    pull->vector = mem_zero((f->vector_count + 1) * sizeof *pull->vector);
    while (frame_next_applied(f, &applied))
        pull->vector[pull->vector_count++] = applied;
}

static void on_sums(struct core *core, struct peer *p, struct frame_sums *f,
                    struct instant now)
{
    struct pull *pull = &core->pull;

    if (pull->from != p || pull->no != f->no || pull->summed)
        return;
    pull->progress = now.mono;
    if (!pull->vector)
        keep_vector(pull, f);
    for (size_t i = 0; i < pull->app_count; i++) {
        struct pull_app *a = &pull->apps[i];
        if (a->come || replica_app(a->replica) != f->app)
            continue;
        a->come = true;
        find_differences(a, p->node, f, pull->want_ended);
    }
    if (f->last) {
        pull->summed = pull->all_apps = true;
        for (size_t i = 0; i < pull->app_count; i++) {
            pull->all_apps &= pull->apps[i].come;
            pull->apps[i].come = true;
        }
    }
    pull_go_on(core, now);
}

/* As much of what is wanted as a frame takes. Returns up to where this part of
 * the leaf is common now; NULL: to the leaf's end. */
static const uint8_t *give_wanted(struct core *core, struct peer *p,
                                  struct replica *r,
                                  const struct frame_records *f,
                                  struct instant now)
{
    struct replica_item items[FRAME_WANTS_MAX];
    struct frame_records give = {
        .app = f->app, .leaf = f->leaf, .mono = now.mono};
    const uint8_t *upto = f->upto;
    size_t count = 0, bytes = 0;

    for (uint32_t i = 0; i < f->want_count; i++) {
        const uint8_t *id = f->wants + (size_t)i * ID_SIZE;
        if (!replica_take(r, p->node, id, &items[count]))
            continue;
        bytes += replica_item_size(&items[count++]);
        if (count > 1 && bytes > FRAME_FULL) {
            record_unref(&items[--count].record);
            upto = id - ID_SIZE;
            break;
        }
    }
    if (count) {
        core->pull.gave = true;
        post_items(core, p, FRAME_GIVE, &give, items, count);
    }
    while (count)
        record_unref(&items[--count].record);
    return upto;
}

static void apply_all(struct core *core, struct peer *p,
                      struct frame_records *f, struct instant now)
{
    struct frame_update u;

    while (frame_next_update(&f->rest, &f->count, f->mono, &u))
        sync_apply(core, p, &u, f->mono, false, now);
}

static struct pull_leaf *slot_of(struct pull *pull,
                                 const struct frame_records *f)
{
    for (size_t i = 0; i < PULL_WINDOW; i++) {
        struct pull_leaf *slot = &pull->leaves[i];
        if (slot->busy && slot->leaf == f->leaf &&
            replica_app(pull->apps[slot->app].replica) == f->app)
            return slot;
    }
    return NULL;
}

/* An answer may come twice: what is behind us is not asked for again. */
static void leaf_go_on(struct core *core, struct pull_leaf *slot,
                       const uint8_t *upto, struct instant now)
{
    if (!upto) {
        slot->busy = false;
    } else if (!slot->begun || memcmp(upto, slot->after, ID_SIZE) > 0) {
        memcpy(slot->after, upto, ID_SIZE);
        slot->begun = true;
        slot->tries = 0;
        ask_leaf(core, slot, now);
    }
}

static void on_records(struct core *core, struct peer *p,
                       struct frame_records *f, struct instant now)
{
    struct pull *pull = &core->pull;
    struct replica *r = core_replica(core, f->app);

    if (pull->from != p || pull->no != f->no || !r)
        return;
    pull->progress = now.mono;
    note_size(pull, (size_t)(f->rest.end - f->rest.p));
    const uint8_t *upto = give_wanted(core, p, r, f, now);
    apply_all(core, p, f, now);
    struct pull_leaf *slot = slot_of(pull, f);
    if (slot)
        leaf_go_on(core, slot, upto, now);
    pull_go_on(core, now);
}

/* Asks again what was not answered; too often: another time, another member. */
static void pull_tick(struct core *core, struct instant now)
{
    struct pull *pull = &core->pull;

    if (!pull->summed && now.mono - pull->progress >= PULL_RETRY_MS) {
        if (++pull->tries == PULL_TRIES) {
            pull_abort(core, now);
            return;
        }
        ask_sums(core, now);
    }
    for (size_t i = 0; i < PULL_WINDOW; i++) {
        struct pull_leaf *slot = &pull->leaves[i];
        /* answers come in order: while any comes, nothing is lost */
        int64_t since =
            slot->asked > pull->progress ? slot->asked : pull->progress;
        if (!slot->busy || now.mono - since < PULL_RETRY_MS)
            continue;
        if (slot->tries == PULL_TRIES) {
            pull_abort(core, now);
            return;
        }
        ask_leaf(core, slot, now);
    }
}

/* ---- whom to compare with ---- */

static int need_of(const struct core *core, const struct peer *p,
                   struct instant now)
{
    if (!peer_linked(p) || !p->pulsed || p->next_compare > now.mono)
        return 0;
    if (!core->complete) {
        if (p->pulled_for == core->stale_no) /* or it missed some since */
            return peer_has_hole(p) ? 3 : 0;
        return p->answering ? 5 : 4;
    }
    if (peer_has_hole(p))
        return 3;
    if (!p->answering) /* a joiner lacks everything, and takes it itself */
        return 0;
    if (p->unequal >= 2)
        return 2;
    /* equal sums do not say what it has of third members' */
    return p->compared == NEVER ||
           now.mono - p->compared >= core->options.compare_ms ||
           now.mono - p->pulled_at >= core->options.forget_ms / 2;
}

static void choose(struct core *core, struct instant now)
{
    struct peer *best = NULL;
    int most = 0;

    if (core->pull.from || (!core->complete && !lease_settled(core, now)))
        return;
    /* what is decided behind their sums has to wait for this member, so they
     * have to know of its application before them */
    if (core->says_apps)
        return;
    for (size_t i = 0; i < core->peer_count; i++) {
        int need = need_of(core, core->peers[i], now);
        if (need > most) {
            most = need;
            best = core->peers[i];
        }
    }
    if (best)
        pull_begin(core, best, now);
}

void sync_compared(struct core *core, struct peer *p, int64_t begun)
{
    p->compared = begun;
    if (p->equal_at != NEVER)
        return;
    p->equal_at = begun;
    p->equal_seq = core->seq;
}

void sync_settle(struct core *core, struct instant now)
{
    int64_t since = now.mono;

    /* who is in the list was there before this member came, perhaps, and stands
     * still; where nobody has everything, others are asked who that may be */
    bool some = atomic_load(&core->channel->unheard) &&
                now.mono - core->started < core->options.forget_ms;

    for (size_t i = 0; i < core->peer_count; i++) {
        struct peer *p = core->peers[i];
        bool remembered =
            p->heard == NEVER || now.mono - p->heard < core->options.forget_ms;
        if (p->equal_at != NEVER && p->acked >= p->equal_seq) {
            p->settled = p->equal_at;
            p->equal_at = NEVER;
        }
        if (!p->departed && remembered && p->settled < since)
            since = p->settled;
    }
    for (size_t i = 0; i < core->replica_count; i++)
        if (!some || replica_places(core->replicas[i]))
            replica_settled(core->replicas[i], since);
}

/* ---- questions about one session ---- */

static void ask_answer(struct channel_ask **at, enum rc rc)
{
    struct channel_ask *ask = *at;

    *at = ask->next;
    ask->rc = rc;
    ask->done(ask);
}

static struct peer *peer_named(struct core *core, const char *name, size_t len)
{
    struct peer *found = NULL;

    for (size_t i = 0; i < core->peer_count; i++) {
        struct peer *p = core->peers[i];
        if (!p->departed && strlen(p->name) == len &&
            memcmp(p->name, name, len) == 0 && (!found || peer_linked(p)))
            found = p;
    }
    return found;
}

void core_ask(struct core *core, struct channel_ask *ask, const char *member,
              size_t member_len, struct instant now)
{
    struct peer *p = peer_named(core, member, member_len);

    lease_time(core, now);
    if (core->stopping || !p || !peer_linked(p)) {
        ask->rc = p && p->waited ? RC_UNAVAILABLE : RC_ABSENT;
        ask->done(ask);
        return;
    }
    ask->no = ++core->last_no;
    ask->node = p->node;
    ask->deadline = now.mono + ASK_MS;
    ask->next = core->asks;
    core->asks = ask;
    ask_for(core, p, ask->app, ask->id, ask->no);
}

static void on_told(struct core *core, struct peer *p, struct frame_told *f,
                    struct instant now)
{
    struct channel_ask **at = &core->asks;

    if (f->found)
        sync_apply(core, p, &f->update, f->mono, false, now);
    while (*at && ((*at)->no != f->no || (*at)->node != p->node))
        at = &(*at)->next;
    if (*at)
        ask_answer(at, f->found       ? RC_OK
                       : f->answering ? RC_ABSENT
                                      : RC_UNAVAILABLE);
}

/* Of a member, or (0) of any whose time is over. */
static void drop_asks(struct core *core, uint64_t node, struct instant now)
{
    struct channel_ask **at = &core->asks;

    while (*at)
        if (node ? (*at)->node == node : (*at)->deadline <= now.mono)
            ask_answer(at, RC_UNAVAILABLE);
        else
            at = &(*at)->next;
}

/* ---- */

void sync_drop_peer(struct core *core, struct peer *p, struct instant now)
{
    if (!p)
        return;
    drop_asks(core, p->node, now);
    if (core->pull.from == p)
        pull_abort(core, now);
}

void sync_stop(struct core *core)
{
    while (core->asks)
        ask_answer(&core->asks, RC_UNAVAILABLE);
}

void sync_release(struct core *core)
{
    sync_stop(core);
    pull_clear(core);
}

void sync_frame(struct core *core, struct peer *p, struct frame *f,
                struct instant now)
{
    switch (f->type) {
    case FRAME_SUMS_ASK:
        on_sums_ask(core, p, f->sums_ask.no, now);
        break;
    case FRAME_SUMS:
        on_sums(core, p, &f->sums, now);
        break;
    case FRAME_LEAF:
        on_leaf(core, p, &f->leaf, now);
        break;
    case FRAME_RECORDS:
        on_records(core, p, &f->records, now);
        break;
    case FRAME_GIVE:
        apply_all(core, p, &f->records, now);
        break;
    case FRAME_ASK:
        on_ask(core, p, &f->ask, now);
        break;
    case FRAME_TOLD:
        on_told(core, p, &f->told, now);
        break;
    default: /* a hello twice, and what core.c has taken */
        break;
    }
    /* with the next one at once: many that start together compare with all */
    if (!core->complete)
        choose(core, now);
}

void sync_tick(struct core *core, struct instant now)
{
    if (core->pull.from)
        pull_tick(core, now);
    choose(core, now);
    drop_asks(core, 0, now);
    sync_settle(core, now);
}
