/* SPDX-License-Identifier: Apache-2.0
 *
 * Updates that some members are to have, calls, pauses, and what is known of
 * members. */
#include "config.h"

#include "tests/cores.h"

#include "managers/cluster/rendezvous.h"
#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

static uint64_t node_of(struct net *n, int i)
{
    return n->hosts[i].channel.node;
}

/* A touch that host 0 sends to the hosts whose bits are set. */
static void send_to(struct net *n, unsigned hosts, struct commit *c,
                    enum copies copies)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = 1, .access = n->now.mono};

    for (int i = 0; i < n->count; i++)
        if (hosts & 1u << i)
            u.targets[u.target_count++] = node_of(n, i);
    if (c)
        net_commit_init(n, 0, c);
    core_send(n->hosts[0].core, &u, c ? &c->wait : NULL, copies, n->now);
}

/* To a moment just behind a tick and all pulses. */
static void quiet(struct net *n)
{
    bool pulsed = false;

    net_pass(n, DROP + 1000);
    for (int i = 0; i < n->count; i++)
        n->hosts[i].frames = n->hosts[i].heard = 0;
    while (!pulsed) {
        net_pass(n, STEP);
        pulsed = true;
        for (size_t i = 0; i < n->hosts[0].core->peer_count; i++)
            pulsed &=
                n->hosts[0].core->peers[i]->next_pulse - n->now.mono > 5 * STEP;
    }
}

/* ---- updates ---- */

static void only_targets_hear_of_it(void)
{
    struct net *n = net_new(4);
    struct commit c;

    quiet(n);
    uint64_t frames = n->hosts[0].core->frames_sent;
    send_to(n, 1 << 1, &c, COPIES_ALL);
    net_pass(n, 2 * STEP);
    CHECK_INT(n->hosts[0].core->frames_sent, frames + 1);
    CHECK_INT(n->hosts[1].heard, 1);
    CHECK_INT(n->hosts[2].heard + n->hosts[3].heard, 0);
    CHECK_INT(c.done, 1);
    CHECK_INT(c.wait.applied, 1);
    CHECK_INT(net_peer(n, 0, 1)->acked, 1);
    CHECK_INT(net_peer(n, 0, 2)->acked, 0);
    CU_ASSERT(core_idle(n->hosts[0].core));
    net_pass(n, DROP / 6); /* the next pulse covers it, and its answer acks */
    for (int i = 1; i < 4; i++) {
        CHECK_INT(net_peer(n, i, 0)->applied, 1);
        CHECK_INT(net_peer(n, 0, i)->acked, 1);
        CHECK_INT(n->hosts[i].frames, i == 1);
    }
    net_free(&n);
}

/* What concerns it takes with it that there was something else. */
static void many_for_one_cost_others_nothing(void)
{
    struct net *n = net_new(3);

    quiet(n);
    for (int i = 0; i < 300; i++) {
        send_to(n, i == 150 ? 6 : 2, NULL, COPIES_NONE);
        core_flush(n->hosts[0].core, n->now);
    }
    net_deliver(n);
    CHECK_INT(n->hosts[1].frames, 300);
    CHECK_INT(n->hosts[1].heard, 300);
    CHECK_INT(n->hosts[2].frames, 1);
    CHECK_INT(net_peer(n, 2, 0)->applied, 151);
    CHECK_INT(net_peer(n, 0, 2)->sent, 151);
    CHECK_INT(net_peer(n, 0, 2)->scanned, 300);
    net_pass(n, DROP / 6);
    CHECK_INT(net_peer(n, 2, 0)->applied, 300);
    CU_ASSERT(n->hosts[0].core->log_first > 300);
    CHECK_INT(n->hosts[0].core->log_targeted, 0);
    net_free(&n);
}

static void a_link_that_breaks_loses_none(void)
{
    struct net *n = net_new(3);
    struct commit c;

    quiet(n);
    send_to(n, 1 << 1, NULL, COPIES_NONE);
    net_pass(n, STEP);
    net_cut(n, 0, 2, true);
    for (int i = 0; i < 10; i++)
        send_to(n, i % 2 ? 4 : 2, i == 9 ? &c : NULL, COPIES_ALL);
    net_pass(n, 100);
    CHECK_INT(c.done, 0);
    CHECK_INT(n->hosts[2].heard, 0);
    net_cut(n, 0, 2, false);
    net_pass(n, 1000);
    CHECK_INT(c.done, 1);
    CHECK_INT(c.wait.applied, 1);
    CHECK_INT(n->hosts[2].heard, 5);
    CHECK_INT(net_peer(n, 2, 0)->applied, 11);
    net_free(&n);
}

static void a_slow_member_holds_up_what_it_is_to_have(void)
{
    struct net *n = net_new(3);
    struct commit both, slow, quick, any, never;

    quiet(n);
    n->hosts[2].paused = true;
    send_to(n, 1 << 1 | 1 << 2, &both, COPIES_ALL);
    send_to(n, 1 << 2, &slow, COPIES_ALL);
    send_to(n, 1 << 1, &quick, COPIES_ALL);
    send_to(n, 1 << 1 | 1 << 2, &any, COPIES_ONE);
    send_to(n, 1 << 1 | 1 << 2, &never, COPIES_ALL);
    never.wait.min_copies = 2;
    net_pass(n, 500);
    CHECK_INT(both.done + slow.done + never.done, 0);
    CU_ASSERT(quick.done == 1 && quick.wait.applied == 1);
    CU_ASSERT(any.done == 1 && any.wait.applied == 1);
    CHECK_INT(any.wait.now.mono, n->now.mono - 500 + STEP);
    net_pass(n, DROP); /* it is given up */
    CU_ASSERT(both.done == 1 && both.rc == RC_OK && both.wait.applied == 1);
    CU_ASSERT(slow.done == 1 && slow.rc == RC_OK && slow.wait.applied == 0);
    CU_ASSERT(never.done == 1 && never.rc == RC_UNCERTAIN);
    net_free(&n);
}

/* The log is too short to lead from the ack to who waits for it. */
static void what_the_log_dropped_is_answered_all_the_same(void)
{
    struct net *n = net_new(3);
    struct commit first, last;

    quiet(n);
    n->hosts[0].core->options.log_bytes = 1000;
    send_to(n, 1 << 1, &first, COPIES_ALL);
    core_flush(n->hosts[0].core, n->now); /* on its way */
    for (int i = 0; i < 100; i++)
        send_to(n, 1 << 2, i == 99 ? &last : NULL, COPIES_ALL);
    CU_ASSERT(n->hosts[0].core->log_first > 2);
    net_pass(n, DROP / 6);
    CHECK_INT(first.done, 1);
    CHECK_INT(first.rc, RC_OK);
    CHECK_INT(last.done, 1);
    CU_ASSERT_PTR_NULL(n->hosts[0].core->wait_some.first);
    CHECK_INT((int64_t)n->hosts[0].core->wait_unlogged, 0);
    net_free(&n);
}

static void order_of_targets_is_that_of_bits(void)
{
    struct net *n = net_new(4);
    struct channel_update u = {
        .kind = UPDATE_TOUCH,
        .app = 1,
        .target_count = 4,
        .targets = {node_of(n, 3), 12345, node_of(n, 0), node_of(n, 1)}};
    struct commit c, self;

    quiet(n);
    net_commit_init(n, 0, &c);
    core_send(n->hosts[0].core, &u, &c.wait, COPIES_ALL, n->now);
    net_pass(n, 50);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    CHECK_INT(c.wait.applied, 1 << 0 | 1 << 3);
    send_to(n, 1 << 0, &self, COPIES_ALL);
    core_flush(n->hosts[0].core, n->now);
    CU_ASSERT(self.done == 1 && self.rc == RC_OK && self.wait.applied == 0);
    net_pass(n, 500);
    CHECK_INT(n->hosts[1].heard, 1);
    CHECK_INT(n->hosts[2].heard, 0);
    net_free(&n);
}

/* The log has run over: comparing will not bring what is for one that is to
 * become a holder. */
static void what_was_missed_does_not_count(void)
{
    struct net *n = net_new(3);
    struct commit c, later;

    quiet(n);
    n->hosts[0].core->options.log_bytes = 4096;
    net_cut(n, 0, 1, true);
    send_to(n, 1 << 1 | 1 << 2, &c, COPIES_ALL);
    net_pass(n, 50);
    for (int i = 0; i < 200; i++)
        send_to(n, 1 << 1, NULL, COPIES_NONE);
    net_pass(n, 50);
    CHECK_INT(c.done, 0);
    net_cut(n, 0, 1, false);
    net_pass(n, 1500);
    CHECK_INT(net_peer(n, 0, 1)->acked, n->hosts[0].core->seq);
    CU_ASSERT(c.done == 1 && c.wait.applied == 2);
    send_to(n, 1 << 1 | 1 << 2, &later, COPIES_ALL);
    net_pass(n, 50);
    CU_ASSERT(later.done == 1 && later.wait.applied == 3);
    net_free(&n);
}

/* Until all have it that are to, and no longer. */
static void the_gauge_counts_what_no_target_has(void)
{
    struct net *n = net_new(3);
    struct channel_figures f;
    struct core_member m;

    quiet(n);
    n->hosts[1].paused = true;
    send_to(n, 1 << 1, NULL, COPIES_NONE);
    send_to(n, 1 << 1 | 1 << 2, NULL, COPIES_NONE);
    send_to(n, 1 << 2, NULL, COPIES_NONE);
    net_pass(n, 500);
    core_figures(n->hosts[0].core, &f, n->now);
    CHECK_INT(f.unacknowledged, 1);
    CU_ASSERT(f.oldest > 0.4 && f.oldest < 0.6);
    CU_ASSERT(!core_idle(n->hosts[0].core));
    for (size_t i = 0; core_member(n->hosts[0].core, i, &m); i++)
        CHECK_INT(m.behind, m.node == node_of(n, 1) ? 2 : 0);
    n->hosts[1].paused = false;
    net_pass(n, 500);
    core_figures(n->hosts[0].core, &f, n->now);
    CHECK_INT(f.unacknowledged, 0);
    CU_ASSERT(core_idle(n->hosts[0].core));
    net_free(&n);
}

static struct record *some_session(struct net *n, uint8_t id[ID_SIZE])
{
    struct value inactive = value_number(VALUE_INT, 1800);
    struct changes c;
    struct record *r;

    id_mint(id);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &inactive);
    r = record_new(RECORD_SESSION, id, n->now.wall, &c, 9);
    changes_release(&c);
    return r;
}

static bool holds(struct host *h, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(h->manager->table, id);
    bool found = table_find(stripe, id);

    table_unlock(stripe);
    return found;
}

/* Sums that were read while it was on its way say nothing of it. */
static void comparing_covers_nothing_that_is_on_its_way(void)
{
    struct net *n = net_new(2);
    struct host *a = &n->hosts[0], *b = &n->hosts[1];
    uint8_t id[ID_SIZE];

    net_manage(n, 0);
    net_manage(n, 1);
    quiet(n);
    struct peer *source = net_peer(n, 1, 0);
    source->compared = source->next_compare = NEVER;
    uint64_t compared = b->core->compared;
    struct channel_update u = {.kind = UPDATE_RECORD,
                               .app = replica_app(a->core->replicas[0]),
                               .access = n->now.mono,
                               .record = some_session(n, id),
                               .target_count = 1,
                               .targets = {node_of(n, 1)}};
    n->now.mono += STEP;
    core_tick(b->core, n->now); /* asks for sums */
    core_send(a->core, &u, NULL, COPIES_NONE, n->now);
    net_deliver(n);
    CU_ASSERT(b->core->compared > compared);
    CHECK_INT(source->applied, 1);
    CU_ASSERT(holds(b, id));
    net_free(&n);
}

static void an_update_says_who_had_the_access(void)
{
    struct net *n = net_new(2);
    uint8_t id[ID_SIZE];

    net_manage(n, 1);
    quiet(n);
    struct channel_update u = {.kind = UPDATE_RECORD,
                               .app =
                                   replica_app(n->hosts[1].core->replicas[0]),
                               .access = n->now.mono,
                               .record = some_session(n, id),
                               .owner = 4711};
    core_send(n->hosts[0].core, &u, NULL, COPIES_NONE, n->now);
    net_pass(n, 50);
    struct table_stripe *stripe = table_lock(n->hosts[1].manager->table, id);
    struct entry *e = table_find(stripe, id);
    CU_ASSERT_PTR_NOT_NULL(e);
    if (e)
        CHECK_INT(replica_entry(e)->owner, 4711);
    table_unlock(stripe);
    net_free(&n);
}

/* ---- members ---- */

static enum member_state state(struct net *n, int at, int of)
{
    return channel_state(&n->hosts[at].channel, node_of(n, of));
}

static void members_have_states(void)
{
    struct net *n = net_new(3);
    const struct channel *c = &n->hosts[0].channel;

    CHECK_INT(state(n, 0, 0), MEMBER_HERE);
    CHECK_INT(state(n, 0, 1), MEMBER_UNKNOWN);
    quiet(n);
    CHECK_INT(state(n, 0, 1), MEMBER_HERE);
    CHECK_INT(state(n, 0, 2), MEMBER_HERE);
    CHECK_INT(atomic_load(&c->member_slots), 2);
    uint64_t view = atomic_load(&c->view);
    n->hosts[1].paused = true;
    net_pass(n, 2 * DROP);
    CHECK_INT(state(n, 0, 1), MEMBER_AWAY);
    CHECK_INT(atomic_load(&c->view), view + 1);
    n->hosts[1].paused = false;
    net_pass(n, DROP);
    CHECK_INT(state(n, 0, 1), MEMBER_HERE);
    CHECK_INT(atomic_load(&c->view), view + 2);
    /* a newer start takes its name */
    uint64_t before = node_of(n, 1);
    net_cut(n, 0, 1, true);
    net_cut(n, 1, 2, true);
    core_free(&n->hosts[1].core);
    n->now.wall += 1;
    net_start(n, 1, 77);
    net_cut(n, 0, 1, false);
    net_cut(n, 1, 2, false);
    net_pass(n, DROP);
    CHECK_INT(channel_state(c, before), MEMBER_GONE);
    CHECK_INT(state(n, 0, 1), MEMBER_HERE);
    CHECK_INT(atomic_load(&c->member_slots), 3);
    net_free(&n);
}

/* Silence for forgetAfter is for good, as far as one can know. */
static void who_is_silent_for_long_is_gone(void)
{
    struct net *n = net_new(2);

    quiet(n);
    net_cut(n, 0, 1, true);
    net_pass(n, FORGET - DROP);
    CHECK_INT(state(n, 0, 1), MEMBER_AWAY);
    net_pass(n, 2 * DROP);
    CHECK_INT(state(n, 0, 1), MEMBER_GONE);
    net_cut(n, 0, 1, false);
    net_pass(n, DROP);
    CHECK_INT(state(n, 0, 1), MEMBER_HERE);
    CHECK_INT(atomic_load(&n->hosts[0].channel.member_slots), 1);
    net_free(&n);
}

/* 0 and 1 have never met 2, of which 1 has heard; 0 says that it does not know
 * it either. */
static struct net *wondering(void)
{
    struct net *n = net_new(4);

    for (int i = 0; i < 4; i++)
        if (i != 2)
            net_cut(n, i, 2, true);
    quiet(n);
    core_wonder(n->hosts[1].core, node_of(n, 2), n->now);
    net_pass(n, 5 * DROP);
    CHECK_INT(state(n, 1, 2), MEMBER_UNKNOWN);
    CU_ASSERT(net_peer(n, 1, 0)->denied != 0);
    return n;
}

/* As soon as it is sure that nobody will meet it. */
static void gone_in_the_end(struct net *n)
{
    CHECK_INT(state(n, 0, 2), MEMBER_HERE);
    net_pass(n, 20 * DROP);
    CHECK_INT(state(n, 1, 2), MEMBER_UNKNOWN);
    net_cut(n, 0, 2, true);
    net_pass(n, FORGET - DROP);
    CHECK_INT(state(n, 1, 2), MEMBER_UNKNOWN);
    net_pass(n, DROP + 12000);
    CHECK_INT(state(n, 0, 2), MEMBER_GONE);
    CHECK_INT(state(n, 1, 2), MEMBER_GONE);
    net_free(&n);
}

static void who_did_not_know_may_come_to(void)
{
    struct net *n = wondering();

    net_cut(n, 0, 2, false);
    net_pass(n, 4 * DROP);
    gone_in_the_end(n);
}

/* A link that breaks: nobody knows whom they meet behind it. */
static void who_is_away_may_come_to_know(void)
{
    struct net *n = wondering();

    n->hosts[1].core->options.forget_ms = INT64_C(3600000);
    n->hosts[3].paused = true; /* nothing is decided without it */
    net_pass(n, 5 * DROP + 1000);
    CU_ASSERT(net_peer(n, 1, 0)->denied != 0);
    CHECK_INT((int)net_peer(n, 1, 3)->denied, 0);
    net_cut(n, 0, 1, true);
    net_pass(n, DROP + 1000);
    CHECK_INT(state(n, 1, 0), MEMBER_AWAY);
    n->hosts[3].paused = false;
    net_pass(n, DROP);
    CU_ASSERT(net_peer(n, 1, 3)->denied != 0);
    CHECK_INT(state(n, 1, 2), MEMBER_UNKNOWN);
    net_cut(n, 0, 2, false);
    net_pass(n, DROP);
    net_cut(n, 0, 1, false);
    net_pass(n, DROP);
    gone_in_the_end(n);
}

/* Whom nobody has met is gone when they have said so for long enough. */
static void whom_nobody_met_is_gone(void)
{
    struct net *n = wondering();

    net_pass(n, 4 * DROP);
    CHECK_INT(state(n, 1, 2), MEMBER_UNKNOWN);
    net_pass(n, DROP + 1000);
    CHECK_INT(state(n, 1, 2), MEMBER_GONE);
    CHECK_INT((int)n->hosts[1].core->stranger_count, 0);
    net_free(&n);
}

/* What a member passed over since it left the application counts nowhere, also
 * when it has something else to say first. */
static void who_lacks_it_says_so_before_it_acknowledges(void)
{
    struct net *n = net_new(3);
    uint8_t id[ID_SIZE];
    struct commit c;
    struct channel_update u = {.kind = UPDATE_TOUCH, .app = 1};

    for (int i = 0; i < 3; i++)
        net_manage(n, i);
    quiet(n);
    net_commit_init(n, 0, &c);
    struct channel_update session = {
        .kind = UPDATE_RECORD,
        .app = replica_app(n->hosts[0].core->replicas[0]),
        .access = n->now.mono,
        .record = some_session(n, id),
        .target_count = 1,
        .targets = {node_of(n, 1)}};
    core_send(n->hosts[0].core, &session, &c.wait, COPIES_ALL, n->now);
    core_flush(n->hosts[0].core, n->now);
    u.target_count = 1;
    u.targets[0] = node_of(n, 2);
    core_send(n->hosts[1].core, &u, NULL, COPIES_NONE, n->now);
    core_leave(n->hosts[1].core, n->hosts[1].core->replicas[0]);
    net_deliver(n);
    CHECK_INT(c.done, 1);
    CHECK_INT(c.wait.applied, 0);
    net_free(&n);
}

/* Who does not know of it does not wait for it, and what is behind the sums is
 * not in them. */
static void who_joins_says_so_before_it_compares(void)
{
    struct net *n = net_new(2);
    struct core *core = n->hosts[1].core;

    net_manage(n, 0);
    quiet(n);
    CU_ASSERT_FATAL(net_answers(n, 1) && !core->pull.from);
    net_manage(n, 1);
    for (int i = 0; i < 2; i++) {
        core_tick(core, n->now);
        CU_ASSERT_PTR_NULL(core->pull.from);
    }
    net_pass(n, 1000);
    CU_ASSERT(net_answers(n, 1));
    net_free(&n);
}

static void backups_are_chosen_by_rendezvous(void)
{
    struct net *n = net_new(5);
    const struct channel *c = &n->hosts[0].channel;
    uint8_t id[ID_SIZE];
    uint64_t all[HOSTS], some[HOSTS];
    unsigned firsts[HOSTS] = {0};

    quiet(n);
    for (int round = 0; round < 400; round++) {
        id_mint(id);
        CHECK_INT_FATAL(channel_choose(c, NULL, id, NULL, 0, all, HOSTS), 4);
        for (int i = 1; i < 4; i++)
            CU_ASSERT(rendezvous_weight(all[i - 1], id) >
                      rendezvous_weight(all[i], id));
        CHECK_INT(channel_choose(c, NULL, id, NULL, 0, some, 2), 2);
        CU_ASSERT(memcmp(some, all, 2 * sizeof *all) == 0);
        CHECK_INT(channel_choose(c, NULL, id, all, 2, some, HOSTS), 2);
        CU_ASSERT(memcmp(some, all + 2, 2 * sizeof *all) == 0);
        for (int i = 1; i < 5; i++)
            firsts[i] += node_of(n, i) == all[0];
    }
    CHECK_INT(channel_choose(c, NULL, id, NULL, 0, some, 0), 0);
    for (int i = 1; i < 5; i++)
        CU_ASSERT(firsts[i] > 60 && firsts[i] < 140);
    n->hosts[2].paused = true;
    net_pass(n, 2 * DROP);
    CHECK_INT(channel_choose(c, NULL, id, NULL, 0, all, HOSTS), 3);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(all[i] != node_of(n, 2));
    net_free(&n);
}

/* ---- pauses ---- */

struct rest {
    struct channel_pause pause; /* first */
    int done;
};

static void rest_done(struct channel_pause *pause)
{
    ((struct rest *)pause)->done++;
}

static void a_pause_ends_soon(void)
{
    struct net *n = net_new(2);
    struct core *core = n->hosts[0].core;
    struct rest r[4];

    for (int i = 0; i < 4; i++)
        r[i] = (struct rest){.pause.done = rest_done};
    quiet(n);
    core_pause(core, &r[0].pause, n->now);
    core_pause(core, &r[1].pause, n->now);
    CHECK_INT(r[0].done, 0);
    net_pass(n, 50);
    CU_ASSERT(r[0].done == 1 && r[1].done == 1);
    CU_ASSERT(r[0].pause.now.mono > 0);
    core_pause(core, &r[2].pause, n->now);
    struct wire *w = &n->wires[n->wire_count - 1];
    core_link_down(core, w->link[w->host[0] != 0], n->now);
    n->refuse = true;
    CHECK_INT(r[2].done, 0); /* it may come back */
    core_dial_failed(core, 0, true, n->now);
    CHECK_INT(r[2].done, 1); /* it has gone */
    core_stop(core, n->now);
    core_pause(core, &r[3].pause, n->now);
    CHECK_INT(r[3].done, 1);
    net_free(&n);
}

UNIT_MAIN("core_targets", CASE(only_targets_hear_of_it),
          CASE(many_for_one_cost_others_nothing),
          CASE(a_link_that_breaks_loses_none),
          CASE(a_slow_member_holds_up_what_it_is_to_have),
          CASE(what_the_log_dropped_is_answered_all_the_same),
          CASE(order_of_targets_is_that_of_bits),
          CASE(what_was_missed_does_not_count),
          CASE(the_gauge_counts_what_no_target_has),
          CASE(comparing_covers_nothing_that_is_on_its_way),
          CASE(an_update_says_who_had_the_access), CASE(members_have_states),
          CASE(who_is_silent_for_long_is_gone),
          CASE(who_lacks_it_says_so_before_it_acknowledges),
          CASE(who_joins_says_so_before_it_compares),
          CASE(who_did_not_know_may_come_to),
          CASE(who_is_away_may_come_to_know), CASE(whom_nobody_met_is_gone),
          CASE(backups_are_chosen_by_rendezvous), CASE(a_pause_ends_soon))
