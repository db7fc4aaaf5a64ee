/* SPDX-License-Identifier: Apache-2.0
 *
 * What a member does not know yet: copies that lack what others acknowledged,
 * holders that died a moment ago. BackupManagers on cores that are wired by
 * hand. */
#include "config.h"

#include "managers/backup_impl.h"
#include "tests/backups.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

/* ---- copies ---- */

static void set_idle(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    struct entry *e = table_find(stripe, id);

    CU_ASSERT_FATAL(is_copy(e));
    table_set_idle(stripe, e, true);
    replica_recount(net_backup(n, i)->replica, e, n->now);
    table_unlock(stripe);
}

/* Ended as idle at its holders, 0 and that other one. */
static void say_idle(struct net *n, const uint8_t id[ID_SIZE], int other)
{
    struct backup *b = net_backup(n, 0);
    struct place p, over;

    set_idle(n, 0, id);
    set_idle(n, other, id);
    CU_ASSERT_FATAL(place_of(b, id, &p) && p.kind == PLACE_LIST);
    place_end(&over, &p, PLACE_OVER, REASON_IDLE, n->now);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    CU_ASSERT(place_change(b, table_find(stripe, id), id, &over, n->now));
    table_unlock(stripe);
    tell_place(b, id, &over);
}

/* One that stands still, and is in the list no more: that names 0 and *other.
 */
static struct net *still_net(uint8_t id[ID_SIZE], int *old, int *other)
{
    struct net *n = backups_new(3, 0);

    backups_create(n, id);
    *old = backups_holder(n, id);
    *other = 3 - *old;
    n->hosts[*old].paused = true;
    net_live(n, DROP / 1000 + 3);
    CU_ASSERT_FATAL(backups_is_listed(n, 0, id, *other) &&
                    backups_has(n, *other, id));
    return n;
}

/* And its last holders say that it is over; by what it knows the session lives.
 */
static struct net *old_net(uint8_t id[ID_SIZE], int *old, int *other)
{
    struct net *n = still_net(id, old, other);

    say_idle(n, id, *other);
    net_pass(n, 100);
    return n;
}

static void goes_on(struct net *n, int i)
{
    n->hosts[i].paused = false;
    while (!net_answers(n, i))
        net_pass(n, STEP);
}

/* Until it has given them its copy: by that the session lives again, there. */
static void check_gives(struct net *n, const uint8_t id[ID_SIZE], int old,
                        int other)
{
    bool named = false;

    for (int s = 0; backups_has(n, old, id) && s < 15; s++) {
        net_live(n, 1);
        named |= backups_is_listed(n, old, id, old);
    }
    CU_ASSERT(!backups_has(n, old, id));
    net_live(n, 2);
    CU_ASSERT(!named && !backups_is_listed(n, old, id, old));
    CU_ASSERT(backups_has(n, 0, id) && backups_has(n, other, id));
    CU_ASSERT(backups_is_listed(n, old, id, 0) &&
              backups_is_listed(n, old, id, other));
}

/* It gives what it has to the last holders, and makes no list of its own, which
 * would have it answer for what it lacks. */
static void an_old_copy_is_no_holders(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = old_net(id, &old, &other);

    n->hosts[old].paused = false;
    check_gives(n, id, old, other);
    net_free(&n);
}

/* Nor while these are away. */
static void an_old_copy_waits_for_its_holders(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = old_net(id, &old, &other);

    n->hosts[0].paused = n->hosts[other].paused = true;
    n->hosts[old].paused = false;
    net_live(n, 2 * DROP / 1000);
    CU_ASSERT(net_answers(n, old));
    for (int s = 0; s < 25; s++) {
        net_live(n, 1);
        CHECK_INT_FATAL(backups_kind(n, old, id), PLACE_OVER);
    }
    CU_ASSERT(backups_has(n, old, id));
    n->hosts[0].paused = n->hosts[other].paused = false;
    check_gives(n, id, old, other);
    net_free(&n);
}

static void an_old_copy_answers_nobody(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = old_net(id, &old, &other);

    goes_on(n, old);
    CU_ASSERT_FATAL(backups_has(n, old, id));
    CHECK_INT(backups_kind(n, old, id), PLACE_OVER);
    struct channel_reply reply = backups_asked(n, old, CALL_FIND, id);
    CHECK_INT(reply.answer, CALL_ELSEWHERE);
    CU_ASSERT(reply.placed);
    CHECK_INT(reply.place.kind, PLACE_OVER);
    net_free(&n);
}

/* It has heard of an idle end, and not of the use that came after it: who is in
 * the list has, and says that it is the same record, or another one. */
static void an_old_copy_that_idled_says_nothing(void)
{
    for (int other_one = 0; other_one < 2; other_one++) {
        struct backups_adding a;
        uint8_t id[ID_SIZE];
        int old, other;
        struct net *n = still_net(id, &old, &other);

        if (other_one) {
            backups_add(n, 0, id, 1, &a);
            CHECK_INT(backups_added(n, &a), RC_OK);
        }
        goes_on(n, old);
        CU_ASSERT(!backups_is_listed(n, old, id, old));
        set_idle(n, old, id);
        CHECK_INT(backups_hits(n, old, id), other_one);
        net_free(&n);
    }
}

/* Others, apart from its primary, gave up a holder and made a list without it;
 * nobody comes or goes when the primary hears of that. */
static void a_short_list_is_made_whole(void)
{
    struct net *n = backups_new(4, 0);
    struct backup *b = net_backup(n, 0);
    uint8_t id[ID_SIZE];
    struct place p, next;

    for (int i = 0; i < n->count; i++)
        net_backup(n, i)->backups = 2;
    backups_create(n, id);
    net_live(n, 12); /* no sweep is due any more */
    CU_ASSERT_FATAL(place_of(b, id, &p) && p.count == 3);
    place_list(&next, &p, n->now);
    next.count = 2;
    memcpy(next.holders, p.holders, 2 * sizeof *p.holders);
    CU_ASSERT(learn_place(b, id, &next, n->now));
    net_live(n, 3);
    CU_ASSERT(place_of(b, id, &p) && p.count == 3);
    for (int i = 0; i < n->count; i++)
        CHECK_INT(backups_has(n, i, id), backups_is_listed(n, 0, id, i));
    net_free(&n);
}

/* ---- what only one that died had ---- */

/* A change that its primary alone had, and that others saw there: whoever saw
 * it shows what the next one has. */
static void what_died_with_its_primary_is_not_shown(void)
{
    struct net *n = backups_new(4, 0);
    struct backups_write q = {.w = {.done = backups_answered}};
    struct value one = value_number(VALUE_INT, 1);
    struct manager *m = n->hosts[0].manager;
    uint8_t id[ID_SIZE];
    struct changes c;
    int holder, other = 1;

    backups_create(n, id);
    holder = backups_holder(n, id);
    while (other == holder)
        other++;
    net_cut(n, 0, holder, true); /* it hears nothing of what follows */
    changes_init(&c);
    changes_set(&c, key_name("seen", 4), &one);
    manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
    q.w.changes = &c;
    CHECK_INT_FATAL(m->ops->write(m, &q.w), RC_PENDING);
    net_pass(n, STEP);
    CU_ASSERT(backups_shows(n, other, id, "seen"));
    n->refuse = true;
    for (int i = 1; i < n->count; i++)
        net_cut(n, 0, i, true);
    net_pass(n, DROP);
    CHECK_INT(holder_state(net_backup(n, other), n->hosts[0].channel.node),
              MEMBER_GONE);
    CU_ASSERT(!backups_shows(n, holder, id, "seen"));
    CU_ASSERT(!backups_shows(n, other, id, "seen"));
    while (!q.done)
        net_pass(n, STEP);
    changes_release(&c);
    manager_write_release(&q.w);
    net_free(&n);
}

/* ---- what this member added itself ---- */

/* Those two, besides its primary, 0, and that holder. */
static void strays_of(const struct net *n, int holder, int strays[2])
{
    for (int i = 1, k = 0; i < n->count && k < 2; i++)
        if (i != holder)
            strays[k++] = i;
}

/* Two requests at each of two others. One asks, and the answer takes its time;
 * the primary leaves meanwhile; the second one changes at the next primary what
 * the answer lacks; then the first one changes it. */
static void what_was_the_primarys_answer_is_asked_for_again(void)
{
    struct net *n = backups_new(4, 0);
    struct find_op ops[2];
    struct backups_adding a;
    uint8_t id[ID_SIZE];
    int strays[2];

    backups_create(n, id);
    strays_of(n, backups_holder(n, id), strays);
    for (int k = 0; k < 2; k++)
        CHECK_INT(backups_hits(n, strays[k], id), 0);
    backups_add(n, 0, id, 1, &a); /* or it would answer "the same" */
    CHECK_INT(backups_added(n, &a), RC_OK);
    for (int k = 0; k < 2; k++) {
        struct manager *m = n->hosts[strays[k]].manager;

        n->held[0][strays[k]] = true;
        ops[k] = (struct find_op){
            .done = backups_found, .now = n->now, .rc = RC_PENDING};
        memcpy(ops[k].id, id, ID_SIZE);
        CHECK_INT_FATAL(m->ops->find(m, &ops[k]), RC_PENDING);
    }
    net_pass(n, STEP);
    manager_leave(n->hosts[0].manager, n->now);
    for (int ms = 0; backups_is_listed(n, strays[0], id, 0) ||
                     backups_is_listed(n, strays[1], id, 0);
         ms += STEP) {
        net_pass(n, STEP);
        for (int i = 0; ms % 1000 == 0 && i < n->count; i++)
            manager_tick(n->hosts[i].manager, n->now);
        CU_ASSERT_FATAL(ms < DROP);
    }
    for (int k = 0; k < 2; k++) {
        CHECK_INT(ops[k].rc, RC_PENDING);
        backups_add(n, strays[k], id, 1, &a);
        CHECK_INT(backups_added(n, &a), RC_OK);
    }
    n->held[0][strays[0]] = n->held[0][strays[1]] = false;
    net_pass(n, 100);
    for (int k = 0; k < 2; k++) {
        CHECK_INT(ops[k].rc, RC_OK);
        record_unref(&ops[k].record);
        backups_add(n, strays[k], id, 1, &a);
        CHECK_INT(backups_added(n, &a), RC_OK);
    }
    for (int i = 1; i < n->count; i++)
        CHECK_INT(backups_hits(n, i, id), 5);
    net_free(&n);
}

static void cut_off_primary(struct net *n, bool is_cut)
{
    for (int i = 1; i < n->count; i++)
        net_cut(n, 0, i, is_cut);
}

/* That host adds one to what the next primary has, which is nothing; so many
 * there are when the first one is back. */
static void one_more_and_heal(struct net *n, int stray,
                              const uint8_t id[ID_SIZE], int all)
{
    struct backups_adding a;

    CHECK_INT(backups_hits(n, stray, id), 0);
    backups_add(n, stray, id, 1, &a);
    CHECK_INT(backups_added(n, &a), RC_OK);
    cut_off_primary(n, false);
    net_live(n, 20);
    for (int i = 0; i < n->count; i++)
        CHECK_INT(backups_hits(n, i, id), all);
    net_free(&n);
}

/* 5 reach the primary alone, which is cut off then: nobody knows what came of
 * them. What is added later, after so many seconds, counts beside them. */
static void add_after_uncertain(int seconds)
{
    struct net *n = backups_new(5, 0);
    struct backups_adding a;
    uint8_t id[ID_SIZE];
    int holder, strays[2];

    backups_create(n, id);
    holder = backups_holder(n, id);
    strays_of(n, holder, strays);
    CHECK_INT(backups_hits(n, strays[0], id), 0);
    net_cut(n, 0, holder, true);
    backups_add(n, strays[0], id, 5, &a);
    net_pass(n, DROP - 1400); /* so late that the errand ends before it goes */
    cut_off_primary(n, true);
    CHECK_INT(backups_added(n, &a), RC_UNCERTAIN);
    net_live(n, seconds);
    one_more_and_heal(n, strays[0], id, 6);
}

/* One more than the next primary is told of, since nobody waits for that. */
static void another_primary_may_lack_what_was_acknowledged(void)
{
    struct net *n = backups_new(4, 0);
    struct backups_adding a;
    uint8_t id[ID_SIZE];
    int holder, strays[2];

    backups_create(n, id);
    for (int i = 0; i < n->count; i++)
        net_backup(n, i)->copies = COPIES_NONE;
    holder = backups_holder(n, id);
    strays_of(n, holder, strays);
    net_cut(n, 0, holder, true);
    backups_add(n, strays[0], id, 1, &a);
    CHECK_INT(backups_added(n, &a), RC_OK);
    cut_off_primary(n, true);
    net_live(n, DROP / 1000 + 3);
    one_more_and_heal(n, strays[0], id, 2);
}

/* The others find nothing by comparing. */
static void compare_later(struct net *n)
{
    for (int i = 1; i < n->count; i++)
        for (int of = 0; of < n->count; of++)
            if (of != i)
                net_peer(n, i, of)->next_compare = n->now.mono + DROP;
}

/* The primary stands still with an addition that has not left it, and stops
 * when it goes on; the others made another list meanwhile. All who are in that
 * have it when it is acknowledged. */
static void a_late_change_is_at_the_new_holders(void)
{
    struct net *n = backups_new(3, 0);
    struct backups_adding a;
    uint8_t id[ID_SIZE];
    struct place p;
    int holder;

    backups_create(n, id);
    holder = backups_holder(n, id);
    n->held[0][holder] = true;
    backups_add(n, 0, id, 1, &a);
    n->hosts[0].paused = true;
    net_live(n, DROP / 1000 + 3);
    CU_ASSERT(backups_is_listed(n, holder, id, 3 - holder));
    n->held[0][holder] = n->hosts[0].paused = false;
    CU_ASSERT(place_of(net_backup(n, holder), id, &p));
    CU_ASSERT(learn_place(net_backup(n, 0), id, &p, n->now));
    manager_stop(n->hosts[0].manager, n->now, 0);
    while (!a.q.done) {
        compare_later(n);
        net_pass(n, STEP);
    }
    CHECK_INT(backups_added(n, &a), RC_OK);
    for (int i = 1; i < n->count; i++)
        CHECK_INT(backups_hits(n, i, id), 1);
    net_free(&n);
}

/* Nobody is waited for, but who stood still does not know whether it is still
 * the primary. */
static void who_stood_still_acknowledges_nothing(void)
{
    struct net *n = backups_new(3, 0);
    struct backups_write q = {.w = {.done = backups_answered}};
    struct manager *m = n->hosts[0].manager;
    struct changes c;
    uint8_t id[ID_SIZE];

    backups_create(n, id);
    net_backup(n, 0)->copies = COPIES_NONE;
    changes_init(&c);
    changes_add(&c, key_name("hits", 4), 1);
    for (int still = 0; still < 2; still++) {
        n->hosts[0].paused = still;
        net_pass(n, DROP + 1000);
        manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
        q.w.changes = &c;
        CHECK_INT(m->ops->write(m, &q.w), still ? RC_UNCERTAIN : RC_OK);
        manager_write_release(&q.w);
    }
    n->hosts[0].paused = false;
    net_live(n, 15);
    CHECK_INT(backups_hits(n, 1, id), 2); /* it may have been done, and was */
    changes_release(&c);
    net_free(&n);
}

static void what_is_uncertain_takes_no_ones_place(void)
{
    add_after_uncertain(0);
    add_after_uncertain(6);
}

/* ---- holders ---- */

/* Host 0 waits for one that stands still; its only holder dies meanwhile, and
 * comes back or not. others: that are there, and hold nothing. */
static void leave_with_a_silent_holder(bool comes_back, int others)
{
    struct net *n = backups_new(3, others);
    uint8_t id[ID_SIZE];
    struct manager *m = n->hosts[0].manager;
    int holder;

    backups_create(n, id);
    holder = backups_holder(n, id);
    n->hosts[3 - holder].paused = true;
    net_pass(n, 100);
    manager_leave(m, n->now);
    net_pass(n, DROP - 700);
    CU_ASSERT(!manager_left(m));
    n->hosts[holder].paused = true;
    net_pass(n, 1200);
    CHECK_INT(holder_state(net_backup(n, 0), n->hosts[3 - holder].channel.node),
              MEMBER_AWAY);
    CHECK_INT(holder_state(net_backup(n, 0), n->hosts[holder].channel.node),
              MEMBER_HERE);
    CU_ASSERT(!manager_left(m));
    if (comes_back)
        n->hosts[holder].paused = false;
    net_live(n, DROP / 1000);
    CU_ASSERT(manager_left(m));
    CHECK_INT((int)net_backup(n, 0)->leave.alone, comes_back ? 0 : 1);
    net_free(&n);
}

static void who_leaves_has_heard_of_who_stays(void)
{
    leave_with_a_silent_holder(true, 0);
    leave_with_a_silent_holder(false, 0);
    leave_with_a_silent_holder(false, 1);
}

/* One that stood still is given a copy, and stops before it hears that it is a
 * holder now: whoever gave it counts on it, and it may not answer yet. */
static void who_was_just_given_a_copy_does_not_stop(void)
{
    struct net *n = backups_new(3, 0);
    uint8_t id[ID_SIZE];

    backups_create(n, id);
    int holder = backups_holder(n, id), other = 3 - holder;
    struct manager *m = n->hosts[other].manager;
    n->hosts[other].paused = n->held[other][0] = true;
    net_pass(n, DROP / 2);
    backups_kill(n, holder);
    for (int ms = 0; ms < DROP / 3; ms += STEP) {
        net_pass(n, STEP);
        manager_tick(n->hosts[0].manager, n->now);
    }
    n->hosts[other].paused = false;
    net_deliver(n);
    CU_ASSERT(!net_answers(n, other) && backups_has(n, other, id));
    CU_ASSERT(!backups_is_listed(n, other, id, other));
    manager_leave(m, n->now);
    CU_ASSERT(!manager_left(m));
    n->held[other][0] = false;
    net_live(n, 5);
    CU_ASSERT(manager_left(m));
    net_free(&n);
}

/* As after ODD_MS. */
static void forget_gift(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);

    backup_entry(table_find(stripe, id))->given = 0;
    table_unlock(stripe);
}

static bool is_given(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    bool given = backup_entry(table_find(stripe, id))->given != 0;

    table_unlock(stripe);
    return given;
}

/* One that is in no list any more gives what it has to those that are. Before
 * the last of them has said that it has it, another one leaves, and its copy is
 * wanted again. */
static void who_is_given_a_copy_does_not_drop_it(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = still_net(id, &old, &other);

    n->hosts[old].paused = false;
    for (int ms = 0; ms < DROP && !net_answers(n, old); ms += STEP)
        net_pass(n, STEP);
    CU_ASSERT_FATAL(net_answers(n, old) && backups_has(n, old, id));
    forget_gift(n, old, id);
    n->held[other][old] = true;
    look_at(net_backup(n, old), id, n->now);
    net_pass(n, STEP);
    CU_ASSERT(backups_has(n, old, id));
    n->held[old][0] = true;
    manager_leave(n->hosts[other].manager, n->now);
    for (int ms = 0; ms < DROP / 4; ms += STEP) {
        net_pass(n, STEP);
        manager_tick(n->hosts[0].manager, n->now);
    }
    n->held[other][old] = false;
    net_pass(n, STEP);
    CU_ASSERT(!backups_is_listed(n, 0, id, old) && backups_has(n, old, id));
    CU_ASSERT(is_given(n, old, id));
    look_at(net_backup(n, old), id, n->now);
    CHECK_INT((int)net_backup(n, old)->protecting, 0); /* nor gives it again */
    n->held[old][0] = false;
    net_pass(n, STEP);
    CU_ASSERT(backups_is_listed(n, old, id, old) && backups_has(n, old, id));
    CU_ASSERT(!is_given(n, old, id)); /* the next list may leave it out */
    net_free(&n);
}

/* Has that record, which came from host 0, made it wanted there? */
static bool is_gift(struct net *n, int i, struct record *record, bool sent)
{
    struct frame_update u = {.kind = UPDATE_RECORD,
                             .app = replica_app(net_backup(n, i)->replica),
                             .access = n->now.mono,
                             .bytes = record->bytes,
                             .len = record->len};
    const uint8_t *id = record_id(record);

    forget_gift(n, i, id);
    sync_apply(n->hosts[i].core, net_peer(n, i, 0), &u, n->now.mono, sent,
               n->now);
    return is_given(n, i, id);
}

/* Else two that compare would keep a copy that no list names for ever. What a
 * member sends counts also if the same was here before. */
static void what_a_comparison_brings_is_no_gift(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = still_net(id, &old, &other);
    struct find_op op;

    CHECK_INT_FATAL(backups_find(n, 0, id, &op, NULL), RC_OK);
    goes_on(n, old);
    CU_ASSERT_FATAL(!backups_is_listed(n, old, id, old));
    CU_ASSERT(!is_gift(n, old, op.record, false));
    CU_ASSERT(is_gift(n, old, op.record, true));
    record_unref(&op.record);
    net_free(&n);
}

/* Until it has left, in ms; 20000: it has not. looks: sessions at a time. */
static int leave_of(struct net *n, size_t looks)
{
    struct manager *m = n->hosts[0].manager;
    int ms = 0;

    net_backup(n, 0)->leave.looks = looks;
    manager_leave(m, n->now);
    for (; !manager_left(m) && ms < 20000; ms += STEP) {
        net_pass(n, STEP);
        for (int i = 0; ms % 1000 == 0 && i < n->count; i++)
            manager_tick(n->hosts[i].manager, n->now);
    }
    return ms;
}

/* Also where to look at all takes longer than an answer may: 30 pauses of 50
 * ms. */
static void a_leave_is_over_soon(void)
{
    struct net *n = backups_new(3, 0);
    uint8_t id[ID_SIZE];

    for (int k = 0; k < 20; k++)
        backups_create(n, id);
    CU_ASSERT(leave_of(n, LEAVE_LOOKS) <= 1000);
    net_free(&n);
    n = backups_new(2, 0);
    for (int k = 0; k < 30; k++)
        backups_create(n, id);
    CU_ASSERT(leave_of(n, 1) <= 4000);
    net_free(&n);
}

/* ---- pins ---- */

/* What it was to follow was let go meanwhile; what is here when it is over is
 * another one's, who still needs it. */
static void who_follows_lets_nothing_of_others_go(void)
{
    struct net *n = backups_new(3, 0);
    struct backups_write q = {.w = {.done = backups_answered}};
    struct find_op op;
    struct changes c;
    uint8_t id[ID_SIZE];

    backups_create(n, id);
    struct backup *b = net_backup(n, 3 - backups_holder(n, id));
    CHECK_INT_FATAL(backups_find(n, 0, id, &op, NULL), RC_OK);
    changes_init(&c);
    changes_add(&c, key_name("hits", 4), 1);
    manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
    q.w.delta = record_delta(op.record, &c, n->now.wall, 7);
    errand_follow(b, &q.w, n->now);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct entry *e = keep_fetched(b, stripe, op.record, n->now.mono, n->now);
    backup_entry(e)->errands++;
    table_unlock(stripe);
    net_pass(n, 200);
    CHECK_INT(q.done, 1);
    CHECK_INT(q.w.rc, RC_OK);
    CHECK_INT(backup_entry(e)->errands, 1);
    CHECK_INT(backups_hits(n, 0, id), 1);
    changes_release(&c);
    manager_write_release(&q.w);
    record_unref(&op.record);
    net_free(&n);
}

/* ---- uses ---- */

/* By what is known there it idles out so long from now. */
static void idles_in(struct net *n, int i, const uint8_t id[ID_SIZE], int ms)
{
    struct manager *m = n->hosts[i].manager;

    struct table_stripe *stripe = table_lock(m->table, id);
    struct entry *e = table_find(stripe, id);
    CU_ASSERT_FATAL(is_copy(e));
    e->access = n->now.mono - 1800000 - manager_grace(m, 1800) + ms;
    replica_entry(e)->told = e->access;
    manager_arm(m, stripe, e, n->now);
    table_unlock(stripe);
}

static void begin_find(struct net *n, int i, const uint8_t id[ID_SIZE],
                       struct find_op *op)
{
    struct manager *m = n->hosts[i].manager;

    *op = (struct find_op){
        .done = backups_found, .now = n->now, .rc = RC_PENDING};
    memcpy(op->id, id, ID_SIZE);
    enum rc rc = m->ops->find(m, op);
    if (rc != RC_PENDING)
        op->rc = rc;
}

static void use(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct find_op op;

    CHECK_INT_FATAL(backups_find(n, i, id, &op, NULL), RC_OK);
    record_unref(&op.record);
}

/* What is for the one that stands still is not kept, and it is used at the
 * other one, which may never have told it anything before. */
static struct net *used_meanwhile(int away, bool told, uint8_t id[ID_SIZE])
{
    struct net *n = backups_new(2, 0);

    backups_create(n, id);
    if (told) {
        idles_in(n, 1, id, DROP);
        use(n, 1, id);
        net_pass(n, 100);
    }
    for (int i = 0; i < 2; i++)
        idles_in(n, i, id, DROP + 3000);
    n->hosts[away].paused = true;
    net_cut(n, 0, 1, true);
    net_pass(n, DROP + 1000);
    use(n, 1 - away, id);
    net_pass(n, 3000);
    net_cut(n, 0, 1, false);
    goes_on(n, away);
    return n;
}

/* A comparison brings what was changed meanwhile, and not that. Its primary
 * does not know then, and however often it is asked, it moves nothing; another
 * holder asks that one. Nobody ends it. */
static void check_knows_at_last(struct net *n, int away,
                                const uint8_t id[ID_SIZE])
{
    struct host *h = &n->hosts[away];
    uint64_t seq = h->core->seq;
    struct find_op op;

    for (int k = 0; k < MOVE_AFTER; k++)
        CHECK_INT(backups_asked(n, away, CALL_FIND, id).answer,
                  away ? CALL_ELSEWHERE : CALL_UNAVAILABLE);
    CHECK_INT(net_backup(n, away)->moved, 0);
    h->manager->ops->due(h->manager, id, REASON_IDLE, n->now);
    CHECK_INT(h->core->seq, seq);
    begin_find(n, away, id, &op);
    net_pass(n, 100);
    CHECK_INT(op.rc, away ? RC_OK : RC_PENDING);
    net_live(n, 2);
    CHECK_INT_FATAL(op.rc, RC_OK);
    record_unref(&op.record);
}

static void who_was_away_does_not_say_idle(void)
{
    for (int away = 0; away < 2; away++)
        for (int told = 0; told < 2; told++) {
            uint8_t id[ID_SIZE];
            struct net *n = used_meanwhile(away, told, id);

            check_knows_at_last(n, away, id);
            net_free(&n);
        }
}

UNIT_MAIN("stale", CASE(an_old_copy_is_no_holders),
          CASE(an_old_copy_waits_for_its_holders),
          CASE(an_old_copy_answers_nobody),
          CASE(an_old_copy_that_idled_says_nothing),
          CASE(a_short_list_is_made_whole),
          CASE(what_died_with_its_primary_is_not_shown),
          CASE(what_was_the_primarys_answer_is_asked_for_again),
          CASE(what_is_uncertain_takes_no_ones_place),
          CASE(another_primary_may_lack_what_was_acknowledged),
          CASE(a_late_change_is_at_the_new_holders),
          CASE(who_stood_still_acknowledges_nothing),
          CASE(who_leaves_has_heard_of_who_stays),
          CASE(who_was_just_given_a_copy_does_not_stop),
          CASE(who_is_given_a_copy_does_not_drop_it),
          CASE(what_a_comparison_brings_is_no_gift), CASE(a_leave_is_over_soon),
          CASE(who_follows_lets_nothing_of_others_go),
          CASE(who_was_away_does_not_say_idle))
