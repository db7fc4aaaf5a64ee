/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/work.h"

#include "session/buf.h"
#include "session/manager_impl.h"
#include "tests/sim/check.h"
#include "tests/sim/holders.h"
#include "tests/sim/member.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum wish {
    WISH_CREATE,
    WISH_LOGIN,
    WISH_PUT,
    WISH_REMOVE,
    WISH_ADD,
    WISH_READ,
    WISH_ERA, /* sets, removes, adds to a counter of which nothing is known */
    WISH_LOGOUT,
    WISH_OVER, /* a look with an id that is over */
    WISHES
};
static const char *const wish_names[WISHES] = {"create", "login",  "put",
                                               "remove", "add",    "read",
                                               "era",    "logout", "look back"};
static const uint8_t wish_shares[WISHES] = {4, 8, 18, 4, 26, 20, 5, 4, 11};

enum at { AT_HOME, AT_WAY, AT_FIND, AT_SERVLET, AT_COMMIT };

struct client {
    struct sim *sim;
    unsigned number;
    int64_t visit; /* this one's number */
    int64_t thoughts;
    enum at at;
    int slot;
    enum wish wish;
    struct story *story;
    uint8_t id[ID_SIZE]; /* of the request's cookie */
    struct asked asked;
    unsigned key;
    int put; /* -1: none */
    int64_t amount;
    struct known_id *new_id; /* login */
    struct find_op find;
    struct commit_op commit;
    struct session session;
    bool attached;
    /* sim->ends and its session's `missing`, when it came to its member */
    uint64_t ends, missing;
};

struct work *work_new(struct sim *sim)
{
    struct work *w = mem_zero(sizeof *w);

    w->client_count = sim->plan.clients;
    w->clients = mem_zero(w->client_count * sizeof *w->clients);
    for (unsigned i = 0; i < w->client_count; i++) {
        w->clients[i].sim = sim;
        w->clients[i].number = i;
        sim_at(sim,
               &(struct event){.at = rng_between(&sim->work_rng, 0, 2 * SECOND),
                               .kind = EVENT_THINK,
                               .slot = -1,
                               .number = i});
    }
    return w;
}

void work_free(struct sim *sim, struct work **work)
{
    struct work *w = *work;

    (void)sim;
    *work = NULL;
    for (unsigned i = 0; i < w->story_count; i++)
        story_free(&w->stories[i]);
    free(w->stories);
    free(w->clients);
    free(w);
}

bool work_idle(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->work->client_count; i++)
        if (sim->work->clients[i].at >= AT_FIND)
            return false;
    return true;
}

/* ---- the end of a visit ---- */

static void think_again(struct client *c)
{
    struct sim *sim = c->sim;
    int64_t ms = sim->plan.think_ms;

    if (sim->plan.backup && !sim->working && ms < 200)
        ms = 200; /* a moment without a request is waited for */

    c->at = AT_HOME;
    if (sim->equal_at)
        return;
    sim_at(sim,
           &(struct event){.at = sim->now +
                                 rng_between(&sim->work_rng, 1, 2 * ms) * MS,
                           .kind = EVENT_THINK,
                           .slot = -1,
                           .number = c->number,
                           .more = ++c->thoughts});
}

static void visit_over(struct client *c)
{
    struct story *s = c->story;

    if (c->attached)
        session_detach(&c->session);
    c->attached = false;
    if (s && c->new_id)
        s->renaming = false;
    think_again(c);
}

/* One that failed does not undo what another one may have done. */
static void note_over(const struct sim *sim, struct known_id *id,
                      enum outcome out)
{
    if (id->over == OUT_DONE || (id->over == OUT_MAYBE && out != OUT_DONE))
        return;
    id->over = out;
    id->over_at = sim->now;
}

/* What a request wanted to change came to this. */
static void settle(struct client *c, enum outcome out)
{
    struct sim *sim = c->sim;
    struct story *s = c->story;
    struct known_id *id = s ? story_find_id(s, c->id) : NULL;

    if (c->put >= 0) {
        s->puts[c->key][c->put].outcome = out;
        s->puts[c->key][c->put].ended = sim->now;
    }
    if (c->amount && out != OUT_MAYBE)
        s->maybe_added -= c->amount;
    if (c->amount && out == OUT_DONE)
        s->added += c->amount;
    if (c->wish == WISH_LOGOUT && out == OUT_NOT)
        s->may_end--;
    if (c->wish == WISH_LOGOUT)
        note_over(sim, id, out);
    if (c->wish == WISH_CREATE) {
        s->ids[0].born = out;
        s->ids[0].born_at = sim->now;
    }
    if (c->new_id) {
        c->new_id->born = out;
        c->new_id->born_at = sim->now;
        c->new_id->orphan = out == OUT_NOT;
        if (out == OUT_NOT)
            holders_undone(sim, s, sim->ends - c->ends + c->missing);
        note_over(sim, id, out);
        if (out == OUT_MAYBE)
            s->forked = true;
        if (out == OUT_DONE)
            s->current = (unsigned)(c->new_id - s->ids);
    }
}

static void used(struct client *c, bool acknowledged)
{
    struct sim *sim = c->sim;
    struct story *s = c->story;
    struct member *m = &sim->members[c->slot];
    bool crashes =
        sim->plan.weather == WEATHER_HOSTS || sim->plan.weather == WEATHER_WILD;

    if (!m->up)
        return;
    if ((acknowledged || !crashes) && s->used < c->asked.there)
        s->used = c->asked.there;
    struct told *told = story_told(s, c->slot, m->life);
    told->used_as = story_find_id(s, c->id);
    told->used = c->asked.there;
    snprintf(s->route, sizeof s->route, "%s", m->name);
}

static void committed(struct client *c, enum rc rc)
{
    struct sim *sim = c->sim;
    struct asked until_now = c->asked;
    bool own;

    SAY(sim, c->slot, "client %u: %s: %s%s%s", c->number, wish_names[c->wish],
        rc_name(rc), rc == RC_ENDED ? " " : "",
        rc == RC_ENDED ? reason_text(c->commit.reason) : "");
    sim_note(sim, rc);
    switch (rc) {
    case RC_OK:
        sim->acknowledged++;
        settle(c, OUT_DONE);
        if (c->amount || c->new_id || c->wish == WISH_PUT ||
            c->wish == WISH_CREATE || c->wish == WISH_LOGOUT)
            holders_acknowledged(sim, c->story, c->ends);
        else if (c->put >= 0) /* there may have been nothing to be removed */
            holders_changed(sim, c->story);
        /* what changed nothing is told to others as late as a read */
        used(c, c->amount || c->new_id || c->wish == WISH_PUT ||
                    c->wish == WISH_CREATE);
        break;
    case RC_UNAVAILABLE:
        sim->refused++;
        settle(c, OUT_NOT);
        break;
    case RC_UNCERTAIN:
        settle(c, OUT_MAYBE);
        break;
    case RC_ENDED:
        until_now.there = sim->now;
        /* its own end may have come by way of the new id */
        own = c->wish == WISH_LOGOUT && c->commit.reason == REASON_LOGOUT;
        /* what a holder wrote to its copy goes on under the new id */
        own |= sim->plan.backup && c->wish != WISH_LOGOUT;
        settle(c, c->new_id || own ? OUT_MAYBE : OUT_NOT);
        if (c->story && sim->members[c->slot].up)
            /* it may have idled out at any moment since it was asked */
            check_absent(sim, c->slot, c->story, c->id, &until_now,
                         c->commit.reason);
        break;
    default:
        sim_fail(sim, "a commit at %s answers %s", sim->members[c->slot].name,
                 rc_name(rc));
    }
    visit_over(c);
}

static struct client *client_of_commit(struct commit_op *op)
{
    return (struct client *)((char *)op - offsetof(struct client, commit));
}

static void commit_done(struct commit_op *op)
{
    struct client *c = client_of_commit(op);

    committed(c, op->rc);
}

/* ---- at the member ---- */

static void commit(struct client *c)
{
    struct member *m = &c->sim->members[c->slot];

    c->at = AT_COMMIT;
    c->commit = (struct commit_op){
        .done = commit_done, .session = &c->session, .now = member_now(m)};
    enum rc rc = manager_commit(m->manager, &c->commit);
    if (rc != RC_PENDING)
        committed(c, rc);
}

static void servlet_over(struct client *c)
{
    struct sim *sim = c->sim;

    if (rng_chance(&sim->work_rng, 80)) {
        commit(c);
        return;
    }
    c->at = AT_SERVLET;
    sim_at(sim,
           &(struct event){.at = sim->now +
                                 rng_mostly_small(&sim->work_rng, 1, 60) * MS,
                           .kind = EVENT_COMMIT,
                           .slot = c->slot,
                           .life = sim->members[c->slot].life,
                           .number = c->number,
                           .more = c->visit});
}

static void do_put(struct client *c, bool removal)
{
    char text[32];
    struct session *s = &c->session;
    const char *name = key_text(c->key);
    struct value old = session_get(s, name);
    int saw = put_of(c->story, c->key, &old);

    c->put = story_put(c->story, c->key, saw < 0 ? -1 : saw, removal);
    if (removal) {
        session_remove(s, name, NULL);
        return;
    }
    struct value value = put_value(c->story, c->key, c->put, text);
    session_set(s, name, &value, NULL);
}

static void do_add(struct client *c)
{
    c->amount = rng_between(&c->sim->work_rng, 1, 3);
    c->story->maybe_added += c->amount;
    session_add(&c->session, "hits", c->amount, NULL, NULL);
}

static void do_era(struct client *c)
{
    struct value zero = {.type = VALUE_COUNTER, .number = 0};
    unsigned dice = rng_below(&c->sim->work_rng, 4);

    if (dice == 0)
        session_set(&c->session, "era", &zero, NULL);
    else if (dice == 1)
        session_remove(&c->session, "era", NULL);
    else
        session_add(&c->session, "era", 1, NULL, NULL);
}

static void do_login(struct client *c)
{
    struct story *s = c->story;
    char user[16];
    bool room = s->id_count < STORY_IDS;
    const struct known_id *known = story_find_id(s, c->id);

    if (!room || (s->renaming && s->id_count + 2 > STORY_IDS)) {
        do_add(c);
        return;
    }
    snprintf(user, sizeof user, "u%u", s->number % 3);
    /* both may live on */
    if (s->renaming || (known->over != OUT_NONE && known->over != OUT_NOT))
        s->forked = true;
    if (rng_chance(&c->sim->work_rng, 80))
        session_login(&c->session, user, NULL);
    else
        session_change_id(&c->session, NULL);
    s->renaming = true;
    c->new_id = story_add_id(c->sim, s, session_id(&c->session));
    struct known_id *old = story_find_id(s, c->id);
    if (old->over == OUT_NONE || old->over == OUT_NOT)
        old->over = OUT_OPEN;
    if (rng_chance(&c->sim->work_rng, 50))
        do_add(c);
}

static void do_logout(struct client *c)
{
    struct known_id *id = story_find_id(c->story, c->id);

    c->story->may_end++;
    note_over(c->sim, id, OUT_OPEN);
    session_invalidate(&c->session, REASON_LOGOUT, NULL);
}

static void do_wish(struct client *c)
{
    switch (c->wish) {
    case WISH_LOGIN:
        do_login(c);
        break;
    case WISH_PUT:
    case WISH_REMOVE:
        do_put(c, c->wish == WISH_REMOVE);
        break;
    case WISH_ADD:
        do_add(c);
        break;
    case WISH_ERA:
        do_era(c);
        break;
    case WISH_LOGOUT:
        do_logout(c);
        break;
    default:
        break;
    }
}

static void found(struct client *c)
{
    struct sim *sim = c->sim;
    struct member *m = &sim->members[c->slot];
    enum rc rc = c->find.rc;
    char text[ID_TEXT_SIZE];

    SAY(sim, c->slot, "client %u: %s of %u %.6s: %s%s%s", c->number,
        wish_names[c->wish], c->story->number, id_format(c->id, text),
        rc_name(rc), rc == RC_ABSENT ? " " : "",
        rc == RC_ABSENT ? reason_text(c->find.reason) : "");
    sim_note(sim, rc);
    if (rc == RC_UNAVAILABLE || !m->up) {
        record_unref(&c->find.record);
        sim->refused++;
        visit_over(c);
        return;
    }
    if (rc == RC_ABSENT) {
        check_absent(sim, c->slot, c->story, c->id, &c->asked, c->find.reason);
        visit_over(c);
        return;
    }
    manager_attach(m->manager, &c->find, &c->session);
    c->attached = true;
    check_found(sim, c->slot, c->story, c->id, &c->asked, &c->session);
    used(c, false);
    if (c->wish == WISH_READ || c->wish == WISH_OVER) {
        visit_over(c);
        return;
    }
    do_wish(c);
    servlet_over(c);
}

static void find_done(struct find_op *op)
{
    found((struct client *)((char *)op - offsetof(struct client, find)));
}

static void find(struct client *c)
{
    struct sim *sim = c->sim;
    struct member *m = &sim->members[c->slot];

    c->at = AT_FIND;
    c->asked.there = sim->now;
    if (c->story->tried < sim->now)
        c->story->tried = sim->now;
    c->find = (struct find_op){.done = find_done,
                               .now = member_now(m),
                               .read_only =
                                   c->wish == WISH_READ || c->wish == WISH_OVER,
                               .route = c->story->route,
                               .route_len = strlen(c->story->route)};
    memcpy(c->find.id, c->id, ID_SIZE);
    enum rc rc = manager_find(m->manager, &c->find);
    if (rc == RC_PENDING)
        return;
    c->find.rc = rc;
    found(c);
}

static struct story *add_story(struct sim *sim)
{
    struct work *w = sim->work;

    if (w->story_count == w->story_cap) {
        w->story_cap = w->story_cap ? 2 * w->story_cap : 16;
        w->stories = mem_resize(w->stories, w->story_cap * sizeof *w->stories);
    }
    struct story *s = w->stories[w->story_count] = story_new(sim);
    s->number = w->story_count++;
    return s;
}

static void create(struct client *c)
{
    struct sim *sim = c->sim;
    struct member *m = &sim->members[c->slot];
    struct instant now = member_now(m);

    if (!manager_ready(m->manager, now)) {
        visit_over(c);
        return;
    }
    c->attached = true;
    c->asked.there = sim->now;
    if (manager_create(m->manager, now, NULL, &c->session, NULL) != RC_OK) {
        sim_fail(sim, "%s makes no session", m->name);
        return;
    }
    c->story = add_story(sim);
    if (rng_chance(&sim->work_rng, sim->plan.short_idle))
        c->story->max_inactive = rng_between(&sim->work_rng, 3, 9);
    session_set_max_inactive(&c->session, c->story->max_inactive, NULL);
    c->story->used = c->story->tried = sim->now;
    story_add_id(sim, c->story, session_id(&c->session));
    memcpy(c->id, session_id(&c->session), ID_SIZE);
    SAY(sim, c->slot, "client %u: begins session %u, idle %lld s", c->number,
        c->story->number, (long long)c->story->max_inactive);
    if (rng_chance(&sim->work_rng, 50)) {
        c->put = -1;
        do_add(c);
    }
    servlet_over(c);
}

static void visit(struct client *c)
{
    c->sim->requests++;
    c->ends = c->sim->ends;
    c->missing = c->story ? c->story->missing : 0;
    if (c->wish == WISH_CREATE)
        create(c);
    else
        find(c);
}

/* ---- at home ---- */

static bool is_over(const struct story *s)
{
    const struct known_id *id = &s->ids[s->current];

    return id->over == OUT_DONE || id->born == OUT_OPEN || id->born == OUT_NOT;
}

/* A session to work on; NULL: none. */
static struct story *choose_story(struct client *c)
{
    struct work *w = c->sim->work;
    struct rng *r = &c->sim->work_rng;

    if (!w->story_count)
        return NULL;
    for (int i = 0; i < 6; i++) {
        struct story *s = w->stories[rng_below(r, w->story_count)];
        if (is_over(s))
            continue;
        if (c->sim->working || s->max_inactive)
            return s;
    }
    return NULL;
}

static bool choose_over(struct client *c)
{
    struct work *w = c->sim->work;
    struct rng *r = &c->sim->work_rng;

    for (int i = 0; i < 8 && w->story_count; i++) {
        struct story *s = w->stories[rng_below(r, w->story_count)];
        struct known_id *id =
            s->id_count ? &s->ids[rng_below(r, s->id_count)] : NULL;
        if (!id || id->over != OUT_DONE)
            continue;
        c->story = s;
        memcpy(c->id, id->id, ID_SIZE);
        return true;
    }
    return false;
}

static enum wish choose_wish(struct client *c)
{
    unsigned dice = rng_below(&c->sim->work_rng, 100);
    int wish = 0;

    while (wish < WISHES - 1 && dice >= wish_shares[wish])
        dice -= wish_shares[wish++];
    return (enum wish)wish;
}

/* false: there is nothing to do just now. */
static bool plan_visit(struct client *c)
{
    struct sim *sim = c->sim;

    c->wish = sim->working ? choose_wish(c) : WISH_READ;
    c->put = -1;
    c->amount = 0;
    c->new_id = NULL;
    c->story = NULL;
    c->key = rng_below(&sim->work_rng, STORY_KEYS);
    if (c->wish == WISH_OVER && !choose_over(c))
        c->wish = WISH_READ;
    if (c->wish != WISH_CREATE && c->wish != WISH_OVER) {
        c->story = choose_story(c);
        if (!c->story && !sim->working)
            return false;
        if (!c->story)
            c->wish = WISH_CREATE;
        else
            memcpy(c->id, c->story->ids[c->story->current].id, ID_SIZE);
    }
    if (c->wish == WISH_CREATE &&
        sim->work->story_count >= sim->plan.sessions * 4)
        return false;
    c->visit++;
    check_ask(sim, c->story, c->id, &c->asked);
    return true;
}

/* A sticky balancer sends a session to the same member for a while, and when
 * that is down to another one. */
static int stick(struct client *c, int slot)
{
    struct sim *sim = c->sim;
    struct story *s = c->story;
    const struct member *home = s ? &sim->members[s->home] : NULL;

    if (!s || !rng_chance(&sim->work_rng, sim->plan.sticky))
        return slot;
    if (s->home_left-- <= 0 || !home->up || home->leaving) {
        s->home = slot;
        s->home_left = (int)rng_between(&sim->work_rng, 20, 200);
    }
    return s->home;
}

static void go(struct client *c, int slot)
{
    struct sim *sim = c->sim;
    const struct member *m = &sim->members[slot];

    c->slot = slot;
    if (!m->up || m->leaving || !plan_visit(c)) {
        think_again(c);
        return;
    }
    if (sim->plan.sticky) {
        c->slot = slot = stick(c, slot);
        m = &sim->members[slot];
    }
    c->at = AT_WAY;
    sim_at(sim, &(struct event){.at = sim->now +
                                      rng_between(&sim->work_rng, 50, 1500),
                                .kind = EVENT_VISIT,
                                .slot = slot,
                                .life = m->life,
                                .number = c->number,
                                .more = c->visit});
}

void work_first(struct sim *sim, int slot)
{
    struct work *w = sim->work;

    for (unsigned i = 0; i < w->client_count; i++) {
        struct client *c = &w->clients[i];
        if (c->at != AT_HOME || !sim->working)
            continue;
        c->slot = slot;
        c->at = AT_WAY;
        if (plan_visit(c))
            visit(c);
        else
            c->at = AT_HOME;
    }
}

void work_event(struct sim *sim, const struct event *e)
{
    struct client *c = &sim->work->clients[e->number];

    if (e->kind == EVENT_THINK) {
        if (c->at == AT_HOME && e->more == c->thoughts)
            go(c, (int)rng_below(&sim->work_rng, sim->count));
    } else if (c->visit == e->more && e->kind == EVENT_VISIT) {
        visit(c);
    } else if (c->visit == e->more) {
        commit(c);
    }
}

void work_drop(struct sim *sim, const struct event *e)
{
    struct client *c = &sim->work->clients[e->number];

    if (c->visit == e->more && c->at == AT_WAY)
        visit_over(c);
}

void work_crash(struct sim *sim, int slot)
{
    for (unsigned i = 0; i < sim->work->client_count; i++) {
        struct client *c = &sim->work->clients[i];
        if (c->slot != slot || c->at != AT_SERVLET)
            continue;
        settle(c, OUT_NOT);
        visit_over(c);
    }
}
