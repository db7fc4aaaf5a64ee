/* SPDX-License-Identifier: Apache-2.0
 *
 * Cores alone, wired by hand: what the simulator meets too rarely, or cannot
 * see. Most cases need no sessions: an update is a touch of an application that
 * nobody has. */
#include "config.h"

#include "tests/cores.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- */

/* A link breaks, and who dials again is refused though the other lives (a
 * firewall that rejects): one side forgets the other, which knows nothing of
 * it and has to be told all the same that changes were made without it. */
static void who_was_thought_dead_compares_first(void)
{
    struct net *n = net_new(2);
    struct commit c;

    net_pass(n, DROP + 1000);
    CU_ASSERT(net_answers(n, 0) && net_answers(n, 1));
    n->refuse = true;
    net_cut(n, 0, 1, true);
    core_dial_failed(n->hosts[0].core, 0, true, n->now);
    core_tick(n->hosts[0].core, n->now);
    CU_ASSERT_PTR_NULL(net_peer(n, 0, 1));
    net_commit(n, 0, &c);
    core_flush(n->hosts[0].core, n->now);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    net_cut(n, 0, 1, false);
    core_link_up(n->hosts[0].core, n->hosts[0].links, 0, n->now);
    n->wires[n->wire_count++] =
        (struct wire){.open = true,
                      .host = {0, 1},
                      .link = {n->hosts[0].links++, n->hosts[1].links}};
    core_link_up(n->hosts[1].core, n->hosts[1].links++, -1, n->now);
    uint64_t before = n->hosts[1].core->stale_no;
    net_pass(n, 2 * DROP);
    CU_ASSERT(n->hosts[1].core->stale_no > before);
    CU_ASSERT(net_answers(n, 0) && net_answers(n, 1));
    CHECK_INT(net_peer(n, 1, 0)->applied, 1);
    net_free(&n);
}

/* Its host died without a word, and came back with a clock that is slow. */
static void a_new_start_with_an_older_clock_is_let_in(void)
{
    struct net *n = net_new(2);

    net_pass(n, DROP + 1000);
    n->hosts[1].paused = true;
    net_pass(n, 2 * DROP);
    net_cut(n, 0, 1, true);
    core_free(&n->hosts[1].core);
    n->now.wall -= 3600000;
    net_start(n, 1, 77);
    n->hosts[1].paused = false;
    net_cut(n, 0, 1, false);
    net_pass(n, DROP);
    CU_ASSERT_PTR_NOT_NULL_FATAL(net_peer(n, 0, 1));
    CU_ASSERT(peer_linked(net_peer(n, 0, 1)));
    CU_ASSERT(net_answers(n, 0) && net_answers(n, 1));
    net_free(&n);
}

static void heal(struct net *n, int a, int b)
{
    net_cut(n, a, b, false);
    net_pass(n, 1000);
}

/* Three and two are apart for longer than forgetAfter; then the pairs find
 * one another, one after the other. */
static void only_the_smaller_side_drops(void)
{
    struct net *n = net_new(5);
    int pairs[6][2] = {{0, 3}, {1, 4}, {2, 3}, {0, 4}, {1, 3}, {2, 4}};

    net_pass(n, DROP + 1000);
    for (int i = 0; i < 6; i++)
        net_cut(n, pairs[i][0], pairs[i][1], true);
    net_pass(n, FORGET + DROP);
    for (int i = 0; i < 5; i++)
        CU_ASSERT(net_answers(n, i));
    for (int i = 0; i < 6; i++)
        heal(n, pairs[i][0], pairs[i][1]);
    net_pass(n, DROP);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT(net_answers(n, i));
        CHECK_INT(n->hosts[i].dropped > 0, i >= 3);
    }
    net_free(&n);
}

/* However long: the tombstones of that time are forgotten. */
static void the_smaller_side_drops_after_days(void)
{
    struct net *n = net_new(3);

    net_pass(n, DROP + 1000);
    net_cut(n, 0, 2, true);
    net_cut(n, 1, 2, true);
    net_pass(n, 5 * FORGET);
    net_cut(n, 0, 2, false);
    heal(n, 1, 2);
    CHECK_INT(n->hosts[0].dropped + n->hosts[1].dropped, 0);
    CU_ASSERT(n->hosts[2].dropped > 0);
    net_free(&n);
}

/* Two that reach each other through a third only were never apart. */
static void a_third_keeps_two_together(void)
{
    struct net *n = net_new(3);

    net_pass(n, DROP + 1000);
    net_cut(n, 0, 1, true);
    net_pass(n, FORGET + DROP);
    heal(n, 0, 1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(n->hosts[i].dropped, 0);
    net_free(&n);
}

/* Who joins while a change is on its way is to have it, too, before it is
 * acknowledged. */
static void a_change_on_its_way_waits_for_newcomers(void)
{
    struct net *n = net_new(3);
    struct commit c;

    net_pass(n, DROP + 1000);
    net_cut(n, 0, 2, true);
    net_cut(n, 1, 2, true);
    net_pass(n, DROP + 1000);
    n->hosts[1].paused = true;
    net_commit(n, 0, &c);
    net_pass(n, 50);
    n->hosts[2].deaf = true;
    net_cut(n, 0, 2, false);
    net_pass(n, 700);
    CU_ASSERT(net_peer(n, 0, 2)->waited);
    n->hosts[1].paused = false;
    net_pass(n, 500);
    CU_ASSERT(net_peer(n, 0, 1)->acked >= c.wait.seq);
    CHECK_INT(c.done, 0);
    n->hosts[2].deaf = false;
    net_pass(n, 500);
    CHECK_INT(c.done, 1);
    net_free(&n);
}

static void touch(struct net *n, int i)
{
    struct channel_update u = {
        .kind = UPDATE_TOUCH, .app = 1, .access = n->now.mono};

    core_send(n->hosts[i].core, &u, NULL, COPIES_NONE, n->now);
}

/* What is not waited for needs no frame for its ack; what is, is acknowledged
 * at once, and so is much. */
static void acks_are_sent_when_somebody_waits(void)
{
    struct net *n = net_new(2);
    struct commit c;

    net_pass(n, DROP + 1000);
    struct core *other = n->hosts[1].core;
    net_pass(n, (int64_t)(2000 - n->now.mono % 1000)); /* just behind a tick */
    uint64_t frames = other->frames_sent;
    touch(n, 0);
    net_pass(n, 2 * STEP);
    CHECK_INT(net_peer(n, 1, 0)->applied, 1);
    CHECK_INT(other->frames_sent, frames);
    CHECK_INT(net_peer(n, 0, 1)->acked, 0);
    touch(n, 1); /* it goes with this one */
    net_pass(n, STEP);
    CHECK_INT(other->frames_sent, frames + 1);
    CHECK_INT(net_peer(n, 0, 1)->acked, 1);
    net_commit(n, 0, &c);
    net_pass(n, 2 * STEP);
    CHECK_INT(c.done, 1);
    net_pass(n, 50);
    frames = other->frames_sent;
    touch(n, 0);
    net_pass(n, 50 + STEP);
    CHECK_INT(other->frames_sent, frames + 1);
    CHECK_INT(net_peer(n, 0, 1)->acked, 3);
    net_pass(n, (int64_t)(1000 - n->now.mono % 1000));
    for (int i = 0; i < 2000; i++)
        touch(n, 0);
    net_pass(n, 2 * STEP);
    CU_ASSERT(net_peer(n, 0, 1)->acked > 1000);
    net_free(&n);
}

/* Somebody may have come meanwhile of whom it has not heard. */
static void who_was_away_acknowledges_nothing(void)
{
    struct net *n = net_new(2);
    struct commit c;

    net_pass(n, DROP + 1000);
    n->hosts[0].paused = true;
    net_pass(n, 2 * DROP);
    n->hosts[0].paused = false;
    net_commit(n, 0, &c);
    net_pass(n, DROP);
    CHECK_INT(c.done, 1);
    CU_ASSERT(c.answered && c.rc == RC_OK);
    net_free(&n);
}

/* A broken member says of another one's stream what cannot be. */
static void a_wrong_vector_hides_nothing(void)
{
    struct net *n = net_new(3);
    struct commit c;

    net_pass(n, DROP + 1000);
    struct peer *lie = net_peer(n, 0, 2), *source = net_peer(n, 1, 0);
    uint64_t right = lie->applied, compared = n->hosts[1].core->compared;
    lie->applied = UINT64_C(1) << 60;
    source->compared = source->next_compare = NEVER;
    core_tick(n->hosts[1].core, n->now);
    net_deliver(n);
    CU_ASSERT(n->hosts[1].core->compared > compared);
    lie->applied = right;
    CHECK_INT(net_peer(n, 1, 2)->applied, n->hosts[2].core->seq);
    net_commit(n, 2, &c);
    net_pass(n, 200);
    CU_ASSERT(c.done == 1 && c.rc == RC_OK);
    CHECK_INT(net_peer(n, 1, 2)->applied, n->hosts[2].core->seq);
    net_free(&n);
}

/* ---- with sessions ---- */

static int64_t access_at(struct host *h, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(h->manager->table, id);
    struct entry *e = table_find(stripe, id);
    int64_t access = e ? e->access : -1;

    table_unlock(stripe);
    return access;
}

static void create_done(struct commit_op *op)
{
    CHECK_INT(op->rc, RC_OK);
}

/* A session at that member, as if a request had made it. */
static void create(struct net *n, struct host *h, uint8_t id[ID_SIZE])
{
    struct session s;
    struct commit_op op = {.done = create_done, .session = &s, .now = n->now};

    CHECK_INT_FATAL(manager_create(h->manager, n->now, NULL, &s, NULL), RC_OK);
    memcpy(id, session_id(&s), ID_SIZE);
    CHECK_INT(manager_commit(h->manager, &op), RC_PENDING);
    net_pass(n, 500);
    session_detach(&s);
}

/* Sums that are equal say that all is here which the other has done: but for
 * the accesses that are on their way. */
static void comparing_swallows_no_access(void)
{
    struct net *n = net_new(2);
    struct host *a = &n->hosts[0], *b = &n->hosts[1];
    uint8_t id[ID_SIZE];

    net_manage(n, a->number);
    net_manage(n, b->number);
    net_pass(n, DROP + 1000);
    create(n, a, id);
    CU_ASSERT_FATAL(access_at(b, id) == access_at(a, id));
    struct peer *source = net_peer(n, 1, 0);
    source->compared = source->next_compare = NEVER;
    uint64_t compared = b->core->compared;
    n->now.mono += STEP;
    core_tick(b->core, n->now);
    struct channel_update touch = {.kind = UPDATE_TOUCH,
                                   .app = replica_app(b->core->replicas[0]),
                                   .access = n->now.mono};
    memcpy(touch.id, id, ID_SIZE);
    core_send(a->core, &touch, NULL, COPIES_NONE, n->now);
    net_deliver(n);
    CU_ASSERT(b->core->compared > compared);
    CHECK_INT(access_at(b, id), n->now.mono);
    core_leave(a->core, a->core->replicas[0]);
    core_leave(b->core, b->core->replicas[0]);
    net_free(&n);
}

/* A find there of what was last used two hours ago, by what it knows. */
static enum rc find_unused(struct net *n, struct host *h,
                           const uint8_t id[ID_SIZE])
{
    struct find_op op = {.now = n->now};

    struct table_stripe *stripe = table_lock(h->manager->table, id);
    table_find(stripe, id)->access = n->now.mono - INT64_C(7200000);
    table_unlock(stripe);
    memcpy(op.id, id, ID_SIZE);
    enum rc rc = h->manager->ops->find(h->manager, &op);
    CU_ASSERT(rc != RC_ABSENT || op.reason == REASON_IDLE);
    return rc;
}

/* Does it end it as idle, when that is due? */
static bool tells_end(struct net *n, struct host *h, const uint8_t id[ID_SIZE])
{
    uint64_t seq = h->core->seq;

    h->manager->ops->due(h->manager, id, REASON_IDLE, n->now);
    return h->core->seq > seq;
}

/* What it compares are sessions, not when they were used: that comes a moment
 * later, and before it does nothing is idle. */
static void who_was_away_does_not_say_idle(void)
{
    struct net *n = net_new(2);
    struct host *b = &n->hosts[1];
    uint8_t id[ID_SIZE];

    net_manage(n, 0);
    net_manage(n, 1);
    net_pass(n, DROP + 1000);
    create(n, &n->hosts[0], id);
    CHECK_INT(find_unused(n, b, id), RC_ABSENT);
    b->paused = true;
    net_pass(n, DROP + 1000);
    b->paused = false;
    while (!net_answers(n, 1))
        net_pass(n, STEP);
    CHECK_INT(find_unused(n, b, id), RC_UNAVAILABLE);
    CU_ASSERT(!tells_end(n, b, id));
    net_pass(n, 1500);
    CHECK_INT(find_unused(n, b, id), RC_UNAVAILABLE);
    net_pass(n, 500);
    CHECK_INT(find_unused(n, b, id), RC_ABSENT);
    CU_ASSERT(tells_end(n, b, id));
    core_leave(n->hosts[0].core, n->hosts[0].core->replicas[0]);
    core_leave(b->core, b->core->replicas[0]);
    net_free(&n);
}

struct writing {
    struct manager_write w; /* first */
    int done;
};

static void written(struct manager_write *w)
{
    ((struct writing *)w)->done++;
}

static void write_at(struct net *n, struct host *h, struct writing *q)
{
    CHECK_INT_FATAL(h->manager->ops->write(h->manager, &q->w), RC_PENDING);
    net_pass(n, 100);
}

static void check_written(struct writing *q)
{
    CHECK_INT(q->done, 1);
    record_unref(&q->w.record);
    manager_write_release(&q->w);
}

static bool is_tombstone_at(struct host *h, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(h->manager->table, id);
    const struct entry *e = table_find(stripe, id);
    bool is = e && record_ended(e->record, NULL);

    table_unlock(stripe);
    return is;
}

/* A session at host 0. */
static void begin_there(struct net *n, struct writing q[2], uint8_t id[ID_SIZE])
{
    struct changes none;

    id_mint(id);
    changes_init(&none);
    q[0] = q[1] = (struct writing){.w = {.done = written}};
    manager_write_init(&q[0].w, WRITE_CREATE, id, n->now);
    q[0].w.record = record_new(RECORD_SESSION, id, n->now.wall, &none, 9);
    write_at(n, &n->hosts[0], &q[0]);
}

static void end_there(struct net *n, struct writing q[2],
                      const uint8_t id[ID_SIZE])
{
    manager_write_init(&q[1].w, WRITE_END, id, n->now);
    q[1].w.reason = REASON_LOGOUT;
    write_at(n, &n->hosts[0], &q[1]);
}

static void begin_and_end(struct net *n, struct writing q[2],
                          uint8_t id[ID_SIZE])
{
    begin_there(n, q, id);
    end_there(n, q, id);
}

/* DeltaManagers that forget an end after a second. */
static struct net *forgetful_net(int count)
{
    struct net *n = net_new(count);

    for (int i = 0; i < n->count; i++) {
        net_manage(n, i);
        n->hosts[i].manager->keep_ended_ms = 1000;
    }
    return n;
}

static void forgetful_over(struct net **n, struct writing q[2])
{
    for (int k = 0; k < 2; k++)
        check_written(&q[k]);
    for (int i = 0; i < (*n)->count; i++)
        core_leave((*n)->hosts[i].core, (*n)->hosts[i].core->replicas[0]);
    net_free(n);
}

/* Of two requests that end it at one member the second one finds that it has
 * ended there; the others have not heard of it yet. */
static void who_finds_it_ended_waits_until_all_know(void)
{
    struct net *n = net_new(3);
    struct writing q[2], late = {.w = {.done = written}};
    uint8_t id[ID_SIZE];

    for (int i = 0; i < n->count; i++)
        net_manage(n, i);
    net_live(n, DROP / 1000 + 2);
    begin_there(n, q, id);
    n->held[0][1] = true;
    end_there(n, q, id);
    manager_write_init(&late.w, WRITE_END, id, n->now);
    late.w.reason = REASON_LOGOUT;
    write_at(n, &n->hosts[0], &late);
    CHECK_INT(q[1].done + late.done, 0);
    CU_ASSERT(!is_tombstone_at(&n->hosts[1], id));
    n->held[0][1] = false;
    net_pass(n, 100);
    CU_ASSERT(is_tombstone_at(&n->hosts[1], id));
    CHECK_INT(q[1].w.rc, RC_OK);
    CHECK_INT(late.w.rc, RC_ENDED);
    check_written(&late);
    forgetful_over(&n, q);
}

/* A session begins and ends while all that its member says is on its way to
 * another one: both have the same, which is nothing. The end is kept until the
 * other one has heard of it: the beginning alone would bring the session back.
 */
static void an_end_is_kept_while_its_beginning_is_on_its_way(void)
{
    struct net *n = forgetful_net(2);
    struct writing q[2];
    uint8_t id[ID_SIZE];

    net_live(n, DROP / 1000 + 2);
    n->held[0][1] = true;
    begin_and_end(n, q, id);
    net_live(n, 8);
    CU_ASSERT(is_tombstone_at(&n->hosts[0], id));
    n->held[0][1] = false;
    net_live(n, 10);
    for (int i = 0; i < n->count; i++)
        CU_ASSERT(!is_tombstone_at(&n->hosts[i], id));
    forgetful_over(&n, q);
}

/* One that is in the list has stood still since before the others came: they
 * do not know whether it has the session. */
static void an_end_is_kept_for_who_was_never_heard(void)
{
    struct net *n = forgetful_net(3);
    struct writing q[2];
    uint8_t id[ID_SIZE];

    n->hosts[2].paused = true;
    net_live(n, DROP / 1000 + 3);
    begin_and_end(n, q, id);
    net_live(n, 8);
    for (int i = 0; i < 2; i++)
        CU_ASSERT(is_tombstone_at(&n->hosts[i], id));
    n->hosts[2].paused = false;
    net_live(n, 10);
    for (int i = 0; i < n->count; i++)
        CU_ASSERT(!is_tombstone_at(&n->hosts[i], id));
    forgetful_over(&n, q);
}

/* However few they are. */
static void large_updates_fill_the_window(void)
{
    enum { MANY = 400, SIZE = 60000 };
    struct net *n = net_new(2);
    struct value value = {
        .type = VALUE_BYTES, .data = mem_zero(SIZE), .len = SIZE};
    struct changes c;

    net_pass(n, DROP + 1000);
    changes_init(&c);
    changes_set(&c, key_text("k"), &value);
    struct record *r =
        record_new(RECORD_SESSION, (const uint8_t *)"0123456789abcdef",
                   n->now.wall, &c, 9);
    n->hosts[1].deaf = true;
    for (int i = 0; i < MANY; i++) {
        struct channel_update u = {.kind = UPDATE_RECORD,
                                   .app = 1,
                                   .access = n->now.mono,
                                   .record = record_ref(r)};
        core_send(n->hosts[0].core, &u, NULL, COPIES_NONE, n->now);
    }
    net_pass(n, 300);
    struct peer *p = net_peer(n, 0, 1);
    CHECK_INT(p->acked, 0);
    CU_ASSERT(p->sent * SIZE > WINDOW_BYTES / 2);
    CU_ASSERT(p->sent * SIZE <= WINDOW_BYTES + FRAME_FULL);
    n->hosts[1].deaf = false;
    net_pass(n, DROP);
    CHECK_INT(net_peer(n, 0, 1)->acked, MANY);
    record_unref(&r);
    changes_release(&c);
    free((void *)value.data);
    net_free(&n);
}

/* A session of that size in leaf 7. */
static void session_in_leaf(struct net *n, struct host *h, uint64_t *last,
                            size_t size)
{
    struct value value = {
        .type = VALUE_BYTES, .data = mem_zero(size), .len = size};
    struct value inactive = value_number(VALUE_INT, 1800);
    struct changes c;
    uint8_t id[ID_SIZE] = {0}, out[ID_SIZE];
    int64_t newer;

    do {
        ++*last;
        memcpy(id + 8, last, sizeof *last);
        memcpy(id, (const uint8_t *)last + 1, 1);
    } while (table_leaf(id) != 7);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &inactive);
    changes_set(&c, key_text("k"), &value);
    struct record *r = record_new(RECORD_SESSION, id, n->now.wall, &c, 9);
    struct frame_update u = {
        .kind = UPDATE_RECORD, .bytes = r->bytes, .len = r->len};
    CHECK_INT(replica_apply(h->core->replicas[0], &u, n->now.mono, 9, n->now,
                            out, &newer),
              REPLICA_DONE);
    record_unref(&r);
    changes_release(&c);
    free((void *)value.data);
}

/* One leaf of sessions that only h0 has, and of sessions that only h1 has. */
static void compare_leaf(unsigned count, size_t size)
{
    struct net *n = net_new(2);
    struct host *a = &n->hosts[0], *b = &n->hosts[1];
    struct table_counts counts;
    uint64_t last = 0;

    net_manage(n, a->number);
    net_manage(n, b->number);
    for (unsigned i = 0; i < count; i++)
        session_in_leaf(n, i % 2 ? a : b, &last, size);
    net_pass(n, DROP);
    for (int i = 0; i < 2; i++) {
        struct host *h = &n->hosts[i];
        table_counts(h->manager->table, &counts);
        CHECK_INT(counts.live, count);
        CU_ASSERT(net_answers(n, i));
        /* what was wanted, and the next question; before that, what fits
         * into one frame, and the largest session */
        CU_ASSERT(h->most <= 3 * FRAME_FULL);
        core_leave(h->core, h->core->replicas[0]);
    }
    net_free(&n);
}

static void a_leaf_is_compared_in_parts(void)
{
    compare_leaf(100, 60000);
    compare_leaf(3000, 20);
    compare_leaf(3 * FRAME_LIST_MAX, 1);
}

UNIT_MAIN(
    "core", CASE(who_was_thought_dead_compares_first),
    CASE(a_new_start_with_an_older_clock_is_let_in),
    CASE(only_the_smaller_side_drops), CASE(the_smaller_side_drops_after_days),
    CASE(a_third_keeps_two_together),
    CASE(a_change_on_its_way_waits_for_newcomers),
    CASE(acks_are_sent_when_somebody_waits),
    CASE(who_was_away_acknowledges_nothing), CASE(a_wrong_vector_hides_nothing),
    CASE(comparing_swallows_no_access), CASE(who_was_away_does_not_say_idle),
    CASE(who_finds_it_ended_waits_until_all_know),
    CASE(an_end_is_kept_while_its_beginning_is_on_its_way),
    CASE(an_end_is_kept_for_who_was_never_heard),
    CASE(large_updates_fill_the_window), CASE(a_leaf_is_compared_in_parts))
