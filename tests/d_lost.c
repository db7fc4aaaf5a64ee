/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies that no list names any more, and what was acknowledged under an id
 * that has ended meanwhile: BackupManagers on cores that are wired by hand. */
#include "config.h"

#include "managers/backup_impl.h"
#include "tests/backups.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

/* ---- lost ---- */

static bool is_lost(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    return place_of(net_backup(n, i), id, &p) && p.kind == PLACE_OVER &&
           p.reason == REASON_LOST;
}

/* One whose list names 0 and another one, that died; a third, *old, stood still
 * while they took that other one, and still does. *asker: one more. */
static struct net *lost_net(uint8_t id[ID_SIZE], int *old, int *asker)
{
    struct net *n = backups_new(5, 0);
    int other = 1;

    backups_create(n, id);
    *old = backups_holder(n, id);
    n->hosts[*old].paused = true;
    net_live(n, DROP / 1000 + 3);
    while (other == *old || !backups_has(n, other, id))
        other++;
    CU_ASSERT_FATAL(backups_is_listed(n, 0, id, other) &&
                    !backups_is_listed(n, 0, id, *old));
    backups_kill(n, 0);
    backups_kill(n, other);
    net_pass(n, 1000);
    for (*asker = 1; *asker == *old || *asker == other;)
        ++*asker;
    CU_ASSERT_FATAL(!backups_has(n, *asker, id));
    return n;
}

/* Until that host takes it for lost. */
static void await_lost(struct net *n, const uint8_t id[ID_SIZE], int i, int but)
{
    for (int s = 0; !is_lost(n, i, id) && s < 30; s++)
        net_live_but(n, 1, but);
    CU_ASSERT_FATAL(is_lost(n, i, id));
}

/* It is back, it has heard that the session is lost, and has not looked at what
 * that means: it is asked before anybody is told. */
static void a_copy_that_no_list_names_is_found(void)
{
    uint8_t id[ID_SIZE];
    struct find_op op;
    int old, asker, ms;
    struct net *n = lost_net(id, &old, &asker);

    n->hosts[old].paused = false;
    await_lost(n, id, asker, old);
    CU_ASSERT(backups_has(n, old, id) && !backups_is_listed(n, old, id, old));
    CHECK_INT(backups_find(n, asker, id, &op, &ms), RC_OK);
    CU_ASSERT(ms <= 1000);
    record_unref(&op.record);
    CU_ASSERT(backups_is_listed(n, asker, id, old) &&
              backups_is_listed(n, old, id, old));
    net_free(&n);
}

static void set_lost(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct backup *b = net_backup(n, i);
    struct place p, over;

    CU_ASSERT_FATAL(place_of(b, id, &p) && p.kind == PLACE_LIST);
    place_end(&over, &p, PLACE_OVER, REASON_LOST, n->now);
    over.stamp = p.stamp + 1;
    struct table_stripe *stripe = table_lock(b->base.table, id);
    CU_ASSERT(place_change(b, NULL, id, &over, n->now));
    table_unlock(stripe);
}

/* Host i stops, in order; others have it then. */
static void check_leaves(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct manager *m = n->hosts[i].manager;
    int have = 0;

    for (int s = 0; !manager_left(m) && s < 15; s++)
        net_live(n, 1);
    CU_ASSERT(manager_left(m));
    for (int k = 0; k < n->count; k++)
        if (backups_is_listed(n, i, id, k)) {
            CU_ASSERT(k != i && !n->hosts[k].paused && backups_has(n, k, id));
            have++;
        }
    CU_ASSERT(have > 0);
}

/* The same where the one with the copy stops, and has heard that it is lost, or
 * has not. */
static void who_leaves_with_a_copy_makes_a_list_first(void)
{
    for (int heard = 0; heard < 2; heard++) {
        uint8_t id[ID_SIZE];
        int old, asker;
        struct net *n = lost_net(id, &old, &asker);

        n->hosts[old].paused = false;
        await_lost(n, id, asker, old);
        if (heard)
            set_lost(n, old, id);
        manager_leave(n->hosts[old].manager, n->now);
        check_leaves(n, old, id);
        net_free(&n);
    }
}

/* One that its two holders hand over to others than that host. */
static void create_but_for(struct net *n, int still, uint8_t id[ID_SIZE])
{
    struct backup *b = net_backup(n, 0);
    uint64_t next[2], node = n->hosts[still].channel.node;
    struct place p;

    do {
        backups_create(n, id);
        CU_ASSERT_FATAL(place_of(b, id, &p));
        CU_ASSERT_FATAL(choose(b, id, p.holders, p.count, next, 2) == 2);
    } while (backups_has(n, still, id) || next[0] == node || next[1] == node);
}

/* It has handed its session over, and those whom it gave it to die before it
 * has stopped. */
static void who_leaves_hands_over_again(void)
{
    enum { STILL = 5 };
    struct net *n = backups_new(6, 0);
    uint8_t id[ID_SIZE];
    struct place p;

    create_but_for(n, STILL, id);
    /* before it has heard nobody stops */
    n->held[0][STILL] = n->held[STILL][0] = true;
    manager_leave(n->hosts[0].manager, n->now);
    manager_leave(n->hosts[backups_holder(n, id)].manager, n->now);
    for (int ms = 0; backups_is_listed(n, 0, id, 0) && ms < DROP - 1000;
         ms += 1000)
        net_live(n, 1);
    CU_ASSERT(!manager_left(n->hosts[0].manager));
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p) &&
                    !place_has(&p, n->hosts[0].channel.node));
    for (int i = 1; i < n->count; i++)
        if (place_has(&p, n->hosts[i].channel.node))
            backups_kill(n, i);
    net_pass(n, DROP / 4);
    n->held[0][STILL] = n->held[STILL][0] = false;
    check_leaves(n, 0, id);
    net_free(&n);
}

/* Whoever told it to be lost had never met the one with the copy; others know
 * that this one may come back. It is waited for, but not for ever. */
static void who_may_have_a_copy_is_waited_for(void)
{
    uint8_t id[ID_SIZE];
    struct find_op op;
    int old, asker, third;
    struct net *n = lost_net(id, &old, &asker);

    for (third = 1; third == asker || n->hosts[third].paused;)
        third++;
    CHECK_INT(holder_state(net_backup(n, third), n->hosts[old].channel.node),
              MEMBER_AWAY);
    /* by its list, before it takes it for lost itself */
    CHECK_INT(backups_asked(n, third, CALL_PEEK, id).answer, CALL_UNAVAILABLE);
    set_lost(n, asker, id);
    set_lost(n, third, id);
    CHECK_INT(backups_asked(n, third, CALL_PEEK, id).answer, CALL_UNAVAILABLE);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_UNAVAILABLE);
    net_live(n, 10 * DROP / 1000 + 2);
    CU_ASSERT(backups_has(n, old, id) && is_lost(n, third, id));
    CHECK_INT(backups_asked(n, third, CALL_PEEK, id).answer, CALL_ABSENT);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    net_free(&n);
}

/* Somebody of the list was never heard of, and may be one with a copy: as long
 * as he is waited for, the place of what is lost is not forgotten, however
 * short the time is for which ends are kept. Those that could come back with
 * one that was heard of hold that up by themselves. */
static void what_may_be_lost_is_not_forgotten(void)
{
    struct net *n = net_new(5);
    uint8_t id[ID_SIZE];
    struct find_op op;
    int asker = 1;

    for (int i = 0; i < 4; i++) {
        net_cut(n, i, 4, true);
        net_manage_as(n, i, "BackupManager");
        replica_set_keep(net_backup(n, i)->replica, 2000);
    }
    net_live(n, DROP / 1000 + 2);
    backups_create(n, id);
    int holder = backups_holder(n, id);
    asker += holder == asker;
    for (int i = 1; i < 4; i++) {
        net_cut(n, 0, i, true);
        net_cut(n, holder, i, i != holder);
    }
    n->hosts[0].paused = n->hosts[holder].paused = true;
    for (int s = 0; !is_lost(n, asker, id); s++) {
        CU_ASSERT_FATAL(s < 60);
        net_live(n, 1);
    }
    net_live(n, 10 * DROP / 1000 - 5);
    CU_ASSERT(is_lost(n, asker, id));
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_UNAVAILABLE);
    net_live(n, 5);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    net_live(n, 10);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_UNKNOWN);
    net_free(&n);
}

/* Who has it and is asked for it makes no list before it has compared, since
 * others may have a newer one; then it does. */
static void who_is_asked_for_the_last_copy_compares_first(void)
{
    uint8_t id[ID_SIZE];
    int old, asker;
    struct net *n = lost_net(id, &old, &asker);

    n->hosts[old].paused = false;
    while (!net_answers(n, old))
        net_pass(n, STEP);
    CHECK_INT(backups_kind(n, old, id), PLACE_LIST);
    CHECK_INT(backups_asked(n, old, CALL_PEEK, id).answer, CALL_ELSEWHERE);
    CU_ASSERT(!backups_is_listed(n, old, id, old));
    CHECK_INT(backups_asked(n, asker, CALL_PEEK, id).answer, CALL_ABSENT);
    for (int s = 0; !backups_is_listed(n, old, id, old); s++) {
        CU_ASSERT_FATAL(s < 20);
        net_live(n, 1);
    }
    net_free(&n);
}

/* How many calls a host makes. */
struct calls {
    struct channel_ops ops; /* first */
    const struct channel_ops *under;
    int count;
};

static void count_call(struct channel *c, struct channel_call *call)
{
    struct calls *k = (struct calls *)c->ops;

    k->count++;
    k->under->call(c, call);
}

/* All are asked once: then it is known. An id that is nobody's is asked for
 * where it would be. */
static void what_is_lost_is_asked_for_once(void)
{
    struct net *n = backups_new(6, 0);
    struct find_op op;
    uint8_t id[ID_SIZE], nobodys[ID_SIZE];
    int holder, asker = 1;

    backups_create(n, id);
    holder = backups_holder(n, id);
    asker += holder == 1;
    backups_kill(n, 0);
    backups_kill(n, holder);
    await_lost(n, id, asker, -1);
    net_live(n, 15);
    struct channel *c = &n->hosts[asker].channel;
    struct calls calls = {.ops = *c->ops, .under = c->ops};
    calls.ops.call = count_call;
    c->ops = &calls.ops;
    atomic_store(&net_backup(n, asker)->inquiries, 256);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_UNAVAILABLE);
    CHECK_INT(calls.count, 0);
    atomic_store(&net_backup(n, asker)->inquiries, 0);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    CHECK_INT(calls.count, 3); /* the others that are there */
    CHECK_INT((int)atomic_load(&net_backup(n, asker)->inquiries), 0);
    CHECK_INT(backups_find(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    CHECK_INT(calls.count, 3);
    for (int k = 0; k < 5; k++) {
        id_mint(nobodys);
        CHECK_INT(backups_find(n, asker, nobodys, &op, NULL), RC_ABSENT);
        CHECK_INT(op.reason, REASON_UNKNOWN);
    }
    CU_ASSERT(calls.count <= 3 + 5 * 3);
    c->ops = calls.under;
    net_free(&n);
}

/* At an address of the list there may be somebody who stood still since before
 * this member came. */
static void somebody_may_be_where_nobody_was_heard(void)
{
    struct net *n = net_new(3);
    struct backup *b;

    net_cut(n, 0, 2, true);
    for (int i = 0; i < 3; i++)
        net_manage_as(n, i, "BackupManager");
    net_live(n, DROP / 1000 + 2);
    b = net_backup(n, 0);
    CU_ASSERT(!channel_is_whole(b->channel, replica_members(b->replica)));
    b = net_backup(n, 1);
    CU_ASSERT(channel_is_whole(b->channel, replica_members(b->replica)));
    n->refuse = true;
    net_live(n, 2);
    b = net_backup(n, 0);
    CU_ASSERT(channel_is_whole(b->channel, replica_members(b->replica)));
    net_free(&n);
}

/* ---- a change that meets an end, or a new id ---- */

/* The end comes by itself, while the change is on its way to a primary that
 * dies: whoever made the change hears of the end, and that it has not landed.
 */
static void a_change_that_met_an_end_has_not_landed(void)
{
    struct net *n = backups_new(3, 0);
    struct backups_write q = {.w = {.done = backups_answered}};
    struct value one = value_number(VALUE_INT, 1);
    uint8_t id[ID_SIZE], came[ID_SIZE];
    struct changes c;
    int64_t newer;

    backups_create(n, id);
    int holder = backups_holder(n, id);
    struct backup *b = net_backup(n, holder);
    n->hosts[0].paused = true;
    changes_init(&c);
    changes_set(&c, key_name("seen", 4), &one);
    manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
    q.w.changes = &c;
    CHECK_INT_FATAL(b->base.ops->write(&b->base, &q.w), RC_PENDING);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    struct record *end = record_end_delta(table_find(stripe, id)->record,
                                          REASON_LOGOUT, NULL, n->now.wall, 7);
    table_unlock(stripe);
    const struct frame_update u = {.kind = UPDATE_RECORD,
                                   .app = replica_app(b->replica),
                                   .access = n->now.mono,
                                   .bytes = end->bytes,
                                   .len = end->len};
    CHECK_INT(replica_apply(b->replica, &u, n->now.mono,
                            n->hosts[0].channel.node, n->now, came, &newer),
              REPLICA_DONE);
    backups_kill(n, 0);
    for (int k = 0; !q.done && k < 2 * DROP; k += STEP)
        net_pass(n, STEP);
    CHECK_INT_FATAL(q.done, 1);
    CHECK_INT(q.w.rc, RC_ENDED);
    CHECK_INT(q.w.ended.reason, REASON_LOGOUT);
    CU_ASSERT(q.w.maybe);
    record_unref(&end);
    changes_release(&c);
    manager_write_release(&q.w);
    net_free(&n);
}

/* A login, in two steps, at host i, which acts for the session. */
static void make_new_id(struct net *n, int i, const uint8_t id[ID_SIZE],
                        uint8_t new_id[ID_SIZE])
{
    struct manager *m = n->hosts[i].manager;
    struct backups_write made = {.w = {.done = backups_answered}};
    struct find_op op;

    id_mint(new_id);
    CHECK_INT_FATAL(backups_find(n, i, id, &op, NULL), RC_OK);
    manager_write_init(&made.w, WRITE_CREATE, new_id, n->now);
    made.w.record = record_rekey(op.record, new_id);
    CHECK_INT_FATAL(m->ops->write(m, &made.w), RC_PENDING);
    net_pass(n, 200);
    CU_ASSERT_FATAL(made.done);
    CHECK_INT(made.w.rc, RC_OK);
    record_unref(&made.w.record);
    record_unref(&op.record);
    manager_write_release(&made.w);
}

static void end_old_id(struct net *n, int i, const uint8_t id[ID_SIZE],
                       const uint8_t new_id[ID_SIZE],
                       struct backups_write *over)
{
    struct manager *m = n->hosts[i].manager;

    *over = (struct backups_write){.w = {.done = backups_answered}};
    manager_write_init(&over->w, WRITE_END, id, n->now);
    over->w.reason = REASON_RENAMED;
    memcpy(over->w.new_id, new_id, ID_SIZE);
    CHECK_INT_FATAL(m->ops->write(m, &over->w), RC_PENDING);
}

static void old_id_ended(struct net *n, struct backups_write *over)
{
    net_pass(n, 200);
    CU_ASSERT_FATAL(over->done);
    CHECK_INT(over->w.rc, RC_OK);
    manager_write_release(&over->w);
}

/* Whoever made that change hears of the new id. */
static void check_follows(struct net *n, struct backups_adding *a,
                          const uint8_t new_id[ID_SIZE])
{
    CHECK_INT(backups_added(n, a), RC_ENDED);
    CHECK_INT(a->q.w.ended.reason, REASON_RENAMED);
    CU_ASSERT(id_equal(a->q.w.ended.new_id, new_id));
    CU_ASSERT(a->q.w.maybe);
}

/* Its primary stands still with a change that it has not sent yet, and others
 * give the session a new id meanwhile. The holders of the old one take the
 * change then; whoever made it is not told so before it goes on under the new
 * one, where a read would not show it for a moment. */
static void a_change_goes_on_under_a_new_id(void)
{
    struct net *n = backups_new(4, 0);
    struct backups_adding a;
    struct backups_write over;
    uint8_t id[ID_SIZE], new_id[ID_SIZE];

    backups_create(n, id);
    int holder = backups_holder(n, id);
    for (int i = 1; i < n->count; i++)
        n->held[0][i] = true;
    backups_add(n, 0, id, 1, &a);
    n->hosts[0].paused = true;
    net_live(n, DROP / 1000 + 3);
    CHECK_INT(a.q.done, 0);
    make_new_id(n, holder, id, new_id);
    end_old_id(n, holder, id, new_id, &over);
    old_id_ended(n, &over);
    for (int i = 1; i < n->count; i++)
        n->held[0][i] = false;
    n->hosts[0].paused = false;
    check_follows(n, &a, new_id);
    net_live(n, 2);
    CHECK_INT(backups_hits(n, holder, new_id), 1);
    net_free(&n);
}

/* The same of one that came from a member without a copy, and has not reached
 * the backup yet. */
static void a_strays_change_goes_on_under_a_new_id(void)
{
    struct net *n = backups_new(3, 0);
    struct backups_adding a;
    struct backups_write over;
    uint8_t id[ID_SIZE], new_id[ID_SIZE];

    backups_create(n, id);
    int holder = backups_holder(n, id), stray = 3 - holder;
    make_new_id(n, 0, id, new_id);
    CHECK_INT(backups_hits(n, stray, id), 0);
    n->held[0][holder] = true;
    backups_add(n, stray, id, 1, &a);
    net_pass(n, 5 * STEP);
    CHECK_INT(backups_hits(n, 0, id), 1);
    end_old_id(n, 0, id, new_id, &over);
    n->held[0][holder] = false;
    check_follows(n, &a, new_id);
    old_id_ended(n, &over);
    net_free(&n);
}

static bool has_ended_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    const struct entry *e = table_find(stripe, id);
    bool ended = e && record_ended(e->record, NULL);

    table_unlock(stripe);
    return ended;
}

/* A holder has not heard of the new id, and would show the old one without what
 * is written under the new one: whoever meets the end, at the primary (0), at
 * another holder, or elsewhere, follows it when that one has heard. */
static void who_follows_a_new_id_waits_for_all_holders(void)
{
    for (int k = 0; k < 3; k++) {
        struct net *n = backups_new(4, 0);
        struct backups_adding a;
        struct backups_write over;
        uint8_t id[ID_SIZE], new_id[ID_SIZE];
        int holders[2], count = 0, stray = 0;

        for (int i = 0; i < n->count; i++)
            net_backup(n, i)->backups = 2;
        backups_create(n, id);
        for (int i = 1; i < n->count; i++)
            if (backups_has(n, i, id))
                holders[count++] = i;
            else
                stray = i;
        CHECK_INT_FATAL(count, 2);
        make_new_id(n, 0, id, new_id);
        n->held[0][holders[1]] = true;
        end_old_id(n, 0, id, new_id, &over);
        net_pass(n, 5 * STEP);
        CU_ASSERT(has_ended_at(n, holders[0], id));
        CU_ASSERT(!has_ended_at(n, holders[1], id));
        backups_add(n, k == 0 ? 0 : k == 1 ? holders[0] : stray, id, 1, &a);
        net_pass(n, 5 * STEP);
        CHECK_INT(a.q.done, k > 0);
        CHECK_INT(has_ended_at(n, holders[1], id), k > 0);
        n->held[0][holders[1]] = false;
        CHECK_INT(backups_added(n, &a), RC_ENDED);
        CU_ASSERT(id_equal(a.q.w.ended.new_id, new_id));
        CU_ASSERT(has_ended_at(n, holders[1], id));
        old_id_ended(n, &over);
        net_live(n, 2); /* what the last copy had is written there as well */
        net_free(&n);
    }
}

/* A holder that was cut off counts alone, then hears that the session is over,
 * and is cut off again before it hears under which id it goes on: it keeps what
 * it has for those who know. */
static void what_only_one_counted_waits_for_who_knows(void)
{
    struct net *n = backups_new(3, 0);
    struct backups_write over;
    uint8_t id[ID_SIZE], new_id[ID_SIZE];
    struct changes c;
    struct backups_write one = {.w = {.done = backups_answered}};
    struct place p;

    backups_create(n, id);
    int holder = backups_holder(n, id);
    for (int i = 0; i < n->count; i++)
        net_cut(n, holder, i, i != holder);
    net_live(n, DROP / 1000 + 1);
    changes_init(&c);
    changes_add(&c, key_name("hits", 4), 1);
    manager_write_init(&one.w, WRITE_CHANGE, id, n->now);
    one.w.changes = &c;
    struct manager *m = n->hosts[holder].manager;
    CHECK_INT(m->ops->write(m, &one.w), RC_OK);
    changes_release(&c);
    manager_write_release(&one.w);
    make_new_id(n, 0, id, new_id);
    end_old_id(n, 0, id, new_id, &over);
    old_id_ended(n, &over);
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p) &&
                    p.kind == PLACE_FINAL);
    CU_ASSERT(learn_place(net_backup(n, holder), id, &p, n->now));
    net_live(n, 12); /* less than FORGET, in all */
    CU_ASSERT(backups_has(n, holder, id));
    for (int i = 0; i < n->count; i++)
        net_cut(n, holder, i, false);
    net_live(n, 5);
    CHECK_INT(backups_hits(n, 0, new_id), 1);
    net_free(&n);
}

/* As replica_left_fn brings it. */
static void take_left(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct value one = value_number(VALUE_INT, 1);
    struct record *base, *delta;
    struct changes c;

    changes_init(&c);
    base = record_new(RECORD_SESSION, id, n->now.wall, &c, 9);
    changes_set(&c, key_name("seen", 4), &one);
    delta = record_delta(base, &c, n->now.wall, 11);
    left_take(net_backup(n, i), delta, n->now);
    changes_release(&c);
    record_unref(&delta);
    record_unref(&base);
}

static int lefts_at(struct net *n, int i)
{
    return (int)atomic_load(&net_backup(n, i)->lefts);
}

/* What was changed under an old id, apart from those that gave it a new one: a
 * member hears of the new id before it hears where that is. */
static void what_was_left_waits_for_the_new_id(void)
{
    struct net *n = backups_new(4, 0);
    uint8_t id[ID_SIZE];

    for (int i = 0; i < 3; i++)
        net_cut(n, i, 3, true);
    net_live(n, 2 * DROP / 1000);
    CU_ASSERT_FATAL(net_answers(n, 3) && net_answers(n, 0));
    backups_create(n, id);
    take_left(n, 3, id);
    CHECK_INT(lefts_at(n, 3), 1);
    net_live(n, 1);
    CHECK_INT(lefts_at(n, 3), 1);
    for (int i = 0; i < 3; i++)
        net_cut(n, i, 3, false);
    net_live(n, 5);
    CHECK_INT(lefts_at(n, 3), 0);
    CU_ASSERT(backups_shows(n, 0, id, "seen"));
    id_mint(id); /* nobody knows it: that is so when all have compared */
    take_left(n, 3, id);
    CHECK_INT(lefts_at(n, 3), 1);
    net_live(n, 12);
    CHECK_INT(lefts_at(n, 3), 0);
    CHECK_INT((int)atomic_load(&net_backup(n, 3)->left_out), 0);
    net_free(&n);
}

static void write_done(struct net *n, int i, struct backups_write *q)
{
    struct manager *m = n->hosts[i].manager;
    enum rc rc = m->ops->write(m, &q->w);

    for (int ms = 0; rc == RC_PENDING && !q->done && ms < 2 * DROP; ms += STEP)
        net_pass(n, STEP);
    CHECK_INT_FATAL(rc == RC_PENDING ? q->w.rc : rc, RC_OK);
    manager_write_release(&q->w);
}

/* A new id, made at that host. */
static void rename_at(struct net *n, int i, const uint8_t id[ID_SIZE],
                      uint8_t new_id[ID_SIZE])
{
    struct manager *m = n->hosts[i].manager;
    struct backups_write q = {.w = {.done = backups_answered}};

    id_mint(new_id);
    struct table_stripe *stripe = table_lock(m->table, id);
    struct record *moved = record_rekey(table_find(stripe, id)->record, new_id);
    table_unlock(stripe);
    manager_write_init(&q.w, WRITE_CREATE, new_id, n->now);
    q.w.record = moved;
    write_done(n, i, &q);
    record_unref(&moved);
    q.done = 0;
    manager_write_init(&q.w, WRITE_END, id, n->now);
    q.w.reason = REASON_RENAMED;
    memcpy(q.w.new_id, new_id, ID_SIZE);
    write_done(n, i, &q);
}

static void see_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct backups_write q = {.w = {.done = backups_answered}};
    struct value one = value_number(VALUE_INT, 1);
    struct changes c;

    changes_init(&c);
    changes_set(&c, key_name("seen", 4), &one);
    manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
    q.w.changes = &c;
    write_done(n, i, &q);
    changes_release(&c);
}

/* A host's first call about that id is under way for long. */
struct slow_call {
    struct channel_ops ops; /* first */
    const struct channel_ops *under;
    const uint8_t *id;
    struct channel_call *call;
};

static void call_slowly(struct channel *c, struct channel_call *call)
{
    struct slow_call *k = (struct slow_call *)c->ops;

    if (!k->call && id_equal(call->id, k->id))
        k->call = call;
    else
        k->under->call(c, call);
}

static bool has_place(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    return place_of(net_backup(n, i), id, &p);
}

/* Apart, one of two changes a session to which the other gives two new ids. It
 * lasts longer than an end is kept; that time begins when they have met again,
 * or who asks where the session goes on by now would be told that nobody knows.
 */
static void a_chain_of_ids_is_kept_until_it_was_followed(void)
{
    enum { KEEP = 4000 };
    struct net *n = backups_new(2, 0);
    uint8_t ids[3][ID_SIZE];

    for (int i = 0; i < 2; i++)
        replica_set_keep(net_backup(n, i)->replica, KEEP);
    backups_create(n, ids[0]);
    net_cut(n, 0, 1, true);
    net_live(n, DROP / 1000 + 2);
    CU_ASSERT_FATAL(net_answers(n, 0) && net_answers(n, 1));
    rename_at(n, 0, ids[0], ids[1]);
    rename_at(n, 0, ids[1], ids[2]);
    see_at(n, 1, ids[0]);
    net_live(n, 2 * KEEP / 1000);
    struct channel *c = &n->hosts[1].channel;
    struct slow_call slow = {.ops = *c->ops, .under = c->ops, .id = ids[1]};
    slow.ops.call = call_slowly;
    c->ops = &slow.ops;
    net_cut(n, 0, 1, false);
    for (int ms = 0; !slow.call; ms += STEP) {
        CU_ASSERT_FATAL(ms < DROP);
        /* it takes nothing before it has told, or it would see the change */
        net_peer(n, 0, 1)->next_compare = n->now.mono + DROP / 10;
        net_pass(n, STEP);
    }
    net_live(n, DROP / 1000);
    CU_ASSERT(replica_settled_at(net_backup(n, 0)->replica) >
              n->now.mono - DROP);
    c->ops = slow.under;
    c->ops->call(c, slow.call);
    net_live(n, 1);
    CHECK_INT(lefts_at(n, 1), 0);
    CU_ASSERT(backups_shows(n, 0, ids[2], "seen"));
    net_live(n, 2 * KEEP / 1000);
    for (int i = 0; i < 2; i++)
        CU_ASSERT(!has_place(n, i, ids[0]) && !has_place(n, i, ids[1]));
    net_free(&n);
}

/* Many copies that no list names go one after the other, however few of them
 * the log takes at a time. */
static void old_copies_go_through_a_small_log(void)
{
    enum { MANY = 30 };
    struct net *n = backups_new(3, 0);
    uint8_t ids[MANY][ID_SIZE];
    int had = 0, left = 0;

    for (int k = 0; k < MANY; k++)
        backups_create(n, ids[k]);
    n->hosts[1].paused = true;
    net_live(n, DROP / 1000 + 4);
    for (int k = 0; k < MANY; k++)
        had += backups_has(n, 1, ids[k]) && !backups_is_listed(n, 0, ids[k], 1);
    CU_ASSERT_FATAL(had >= 5);
    n->hosts[1].core->options.log_bytes = n->hosts[1].channel.log_bytes = 400;
    n->hosts[1].paused = false;
    net_live(n, 5 + MANY);
    for (int k = 0; k < MANY; k++)
        left += backups_has(n, 1, ids[k]);
    CHECK_INT(left, 0);
    CHECK_INT((int)atomic_load(&net_backup(n, 1)->protecting), 0);
    net_free(&n);
}

UNIT_MAIN("lost", CASE(a_copy_that_no_list_names_is_found),
          CASE(who_leaves_with_a_copy_makes_a_list_first),
          CASE(who_leaves_hands_over_again),
          CASE(who_may_have_a_copy_is_waited_for),
          CASE(what_may_be_lost_is_not_forgotten),
          CASE(who_is_asked_for_the_last_copy_compares_first),
          CASE(what_is_lost_is_asked_for_once),
          CASE(somebody_may_be_where_nobody_was_heard),
          CASE(a_change_that_met_an_end_has_not_landed),
          CASE(a_change_goes_on_under_a_new_id),
          CASE(a_strays_change_goes_on_under_a_new_id),
          CASE(who_follows_a_new_id_waits_for_all_holders),
          CASE(what_only_one_counted_waits_for_who_knows),
          CASE(what_was_left_waits_for_the_new_id),
          CASE(a_chain_of_ids_is_kept_until_it_was_followed),
          CASE(old_copies_go_through_a_small_log))
