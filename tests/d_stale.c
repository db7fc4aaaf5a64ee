/* SPDX-License-Identifier: Apache-2.0
 *
 * What a member does not know yet: copies that lack what others acknowledged,
 * holders that died a moment ago, copies that no list names. BackupManagers on
 * cores that are wired by hand. */
#include "config.h"

#include "managers/backup_impl.h"
#include "tests/cores.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

/* others: hosts that do not have the application. */
static struct net *net_of(int count, int others)
{
    struct net *n = net_new(count + others);

    for (int i = 0; i < count; i++)
        net_manage_as(n, i, "BackupManager");
    net_live(n, DROP / 1000 + 2);
    return n;
}

struct request {
    struct manager_write w; /* first */
    int done;
};

static void answered(struct manager_write *w)
{
    ((struct request *)w)->done++;
}

/* One that may idle for half an hour, made at host 0. */
static void create(struct net *n, uint8_t id[ID_SIZE])
{
    struct request q = {.w = {.done = answered}};
    struct value inactive = value_number(VALUE_INT, 1800);
    struct manager *m = n->hosts[0].manager;
    struct changes c;

    id_mint(id);
    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &inactive);
    manager_write_init(&q.w, WRITE_CREATE, id, n->now);
    q.w.record = record_new(RECORD_SESSION, id, n->now.wall, &c, 9);
    changes_release(&c);
    CHECK_INT_FATAL(m->ops->write(m, &q.w), RC_PENDING);
    net_pass(n, 200);
    CHECK_INT_FATAL(q.done, 1);
    CHECK_INT(q.w.rc, RC_OK);
    record_unref(&q.w.record);
    manager_write_release(&q.w);
}

static bool has_copy(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    if (!n->hosts[i].manager)
        return false;
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    bool has = is_copy(table_find(stripe, id));

    table_unlock(stripe);
    return has;
}

/* The host, but for 0, that holds it. */
static int holder_of(struct net *n, const uint8_t id[ID_SIZE])
{
    for (int i = 1; i < n->count; i++)
        if (has_copy(n, i, id))
            return i;
    CU_FAIL_FATAL("nobody holds it");
    return 0;
}

static bool is_listed(struct net *n, int i, const uint8_t id[ID_SIZE], int of)
{
    struct place p;

    return place_of(net_backup(n, i), id, &p) && p.kind == PLACE_LIST &&
           place_has(&p, n->hosts[of].channel.node);
}

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

/* One that stood still, and is in the list no more, when its last holders, 0
 * and *other, say that it is over; by what it knows the session lives. */
static struct net *old_net(uint8_t id[ID_SIZE], int *old, int *other)
{
    struct net *n = net_of(3, 0);

    create(n, id);
    *old = holder_of(n, id);
    *other = 3 - *old;
    n->hosts[*old].paused = true;
    net_live(n, DROP / 1000 + 3);
    CU_ASSERT_FATAL(is_listed(n, 0, id, *other) && has_copy(n, *other, id));
    say_idle(n, id, *other);
    net_pass(n, 100);
    return n;
}

static enum place_kind kind_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    CU_ASSERT(place_of(net_backup(n, i), id, &p));
    return p.kind;
}

/* Until it has given them its copy: by that the session lives again, there. */
static void check_gives(struct net *n, const uint8_t id[ID_SIZE], int old,
                        int other)
{
    bool named = false;

    for (int s = 0; has_copy(n, old, id) && s < 15; s++) {
        net_live(n, 1);
        named |= is_listed(n, old, id, old);
    }
    CU_ASSERT(!has_copy(n, old, id));
    net_live(n, 2);
    CU_ASSERT(!named && !is_listed(n, old, id, old));
    CU_ASSERT(has_copy(n, 0, id) && has_copy(n, other, id));
    CU_ASSERT(is_listed(n, old, id, 0) && is_listed(n, old, id, other));
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
        CHECK_INT_FATAL(kind_at(n, old, id), PLACE_OVER);
    }
    CU_ASSERT(has_copy(n, old, id));
    n->hosts[0].paused = n->hosts[other].paused = false;
    check_gives(n, id, old, other);
    net_free(&n);
}

/* Who asks it, having forgotten who held the session, is told who did. */
struct answers {
    struct channel_ops ops; /* first */
    struct channel_reply last;
    int count;
};

static void note_reply(struct channel *c, const struct channel_reply *reply)
{
    struct answers *a = (struct answers *)c->ops;

    a->last = *reply;
    record_unref(&a->last.record);
    a->count++;
}

/* What host i answers to such a call. */
static struct channel_reply asked(struct net *n, int i, enum call_kind kind,
                                  const uint8_t id[ID_SIZE])
{
    struct channel *c = &n->hosts[i].channel;
    const struct channel_ops *ops = c->ops;
    struct answers a = {.ops = *ops};
    struct channel_called call = {.from = n->hosts[0].channel.node,
                                  .kind = kind};

    memcpy(call.id, id, ID_SIZE);
    a.ops.reply = note_reply;
    c->ops = &a.ops;
    serve_call(net_backup(n, i), &call, n->now);
    c->ops = ops;
    CHECK_INT(a.count, 1);
    return a.last;
}

static void an_old_copy_answers_nobody(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = old_net(id, &old, &other);

    n->hosts[old].paused = false;
    while (!net_answers(n, old))
        net_pass(n, STEP);
    CU_ASSERT_FATAL(has_copy(n, old, id));
    CHECK_INT(kind_at(n, old, id), PLACE_OVER);
    struct channel_reply reply = asked(n, old, CALL_FIND, id);
    CHECK_INT(reply.answer, CALL_ELSEWHERE);
    CU_ASSERT(reply.placed);
    CHECK_INT(reply.place.kind, PLACE_OVER);
    net_free(&n);
}

/* ---- what only one that died had ---- */

static void found(struct find_op *op)
{
    (void)op;
}

/* A request at host i; ms (may be NULL): how long it took. */
static enum rc find_at(struct net *n, int i, const uint8_t id[ID_SIZE],
                       struct find_op *op, int *ms)
{
    struct manager *m = n->hosts[i].manager;
    int waited = 0;

    *op = (struct find_op){.done = found, .now = n->now, .rc = RC_PENDING};
    memcpy(op->id, id, ID_SIZE);
    enum rc rc = m->ops->find(m, op);
    for (; rc == RC_PENDING && waited < 2 * DROP; waited += STEP) {
        net_pass(n, STEP);
        rc = op->rc;
    }
    if (ms)
        *ms = waited;
    return rc;
}

/* Does host i show that attribute? */
static bool shows(struct net *n, int i, const uint8_t id[ID_SIZE],
                  const char *name)
{
    struct find_op op;

    CHECK_INT_FATAL(find_at(n, i, id, &op, NULL), RC_OK);
    struct value v = record_attribute(op.record, name, strlen(name));
    bool has = v.type != VALUE_NONE;
    record_unref(&op.record);
    return has;
}

/* A change that its primary alone had, and that others saw there: whoever saw
 * it shows what the next one has. */
static void what_died_with_its_primary_is_not_shown(void)
{
    struct net *n = net_of(4, 0);
    struct request q = {.w = {.done = answered}};
    struct value one = value_number(VALUE_INT, 1);
    struct manager *m = n->hosts[0].manager;
    uint8_t id[ID_SIZE];
    struct changes c;
    int holder, other = 1;

    create(n, id);
    holder = holder_of(n, id);
    while (other == holder)
        other++;
    net_cut(n, 0, holder, true); /* it hears nothing of what follows */
    changes_init(&c);
    changes_set(&c, key_name("seen", 4), &one);
    manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
    q.w.changes = &c;
    CHECK_INT_FATAL(m->ops->write(m, &q.w), RC_PENDING);
    net_pass(n, STEP);
    CU_ASSERT(shows(n, other, id, "seen"));
    n->refuse = true;
    for (int i = 1; i < n->count; i++)
        net_cut(n, 0, i, true);
    net_pass(n, DROP);
    CHECK_INT(holder_state(net_backup(n, other), n->hosts[0].channel.node),
              MEMBER_GONE);
    CU_ASSERT(!shows(n, holder, id, "seen"));
    CU_ASSERT(!shows(n, other, id, "seen"));
    while (!q.done)
        net_pass(n, STEP);
    changes_release(&c);
    manager_write_release(&q.w);
    net_free(&n);
}

/* ---- what this member added itself ---- */

struct adding {
    struct request q;
    struct changes c;
};

static void add_begin(struct net *n, int i, const uint8_t id[ID_SIZE],
                      int amount, struct adding *a)
{
    struct manager *m = n->hosts[i].manager;

    a->q = (struct request){.w = {.done = answered}};
    changes_init(&a->c);
    changes_add(&a->c, key_name("hits", 4), amount);
    manager_write_init(&a->q.w, WRITE_CHANGE, id, n->now);
    a->q.w.changes = &a->c;
    CHECK_INT_FATAL(m->ops->write(m, &a->q.w), RC_PENDING);
}

static enum rc add_end(struct net *n, struct adding *a)
{
    for (int ms = 0; !a->q.done && ms < 8 * DROP; ms += STEP)
        net_pass(n, STEP);
    CU_ASSERT_FATAL(a->q.done);
    enum rc rc = a->q.w.rc;
    changes_release(&a->c);
    manager_write_release(&a->q.w);
    return rc;
}

static int hits_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct find_op op;

    CHECK_INT_FATAL(find_at(n, i, id, &op, NULL), RC_OK);
    int hits = (int)record_attribute(op.record, "hits", 4).number;
    record_unref(&op.record);
    return hits;
}

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
    struct net *n = net_of(4, 0);
    struct find_op ops[2];
    struct adding a;
    uint8_t id[ID_SIZE];
    int strays[2];

    create(n, id);
    strays_of(n, holder_of(n, id), strays);
    for (int k = 0; k < 2; k++)
        CHECK_INT(hits_at(n, strays[k], id), 0);
    add_begin(n, 0, id, 1, &a); /* or it would answer "the same" */
    CHECK_INT(add_end(n, &a), RC_OK);
    for (int k = 0; k < 2; k++) {
        struct manager *m = n->hosts[strays[k]].manager;

        n->held[0][strays[k]] = true;
        ops[k] =
            (struct find_op){.done = found, .now = n->now, .rc = RC_PENDING};
        memcpy(ops[k].id, id, ID_SIZE);
        CHECK_INT_FATAL(m->ops->find(m, &ops[k]), RC_PENDING);
    }
    net_pass(n, STEP);
    manager_leave(n->hosts[0].manager, n->now);
    for (int ms = 0;
         is_listed(n, strays[0], id, 0) || is_listed(n, strays[1], id, 0);
         ms += STEP) {
        net_pass(n, STEP);
        for (int i = 0; ms % 1000 == 0 && i < n->count; i++)
            manager_tick(n->hosts[i].manager, n->now);
        CU_ASSERT_FATAL(ms < DROP);
    }
    for (int k = 0; k < 2; k++) {
        CHECK_INT(ops[k].rc, RC_PENDING);
        add_begin(n, strays[k], id, 1, &a);
        CHECK_INT(add_end(n, &a), RC_OK);
    }
    n->held[0][strays[0]] = n->held[0][strays[1]] = false;
    net_pass(n, 100);
    for (int k = 0; k < 2; k++) {
        CHECK_INT(ops[k].rc, RC_OK);
        record_unref(&ops[k].record);
        add_begin(n, strays[k], id, 1, &a);
        CHECK_INT(add_end(n, &a), RC_OK);
    }
    for (int i = 1; i < n->count; i++)
        CHECK_INT(hits_at(n, i, id), 5);
    net_free(&n);
}

/* 5 reach the primary alone, which is cut off then: nobody knows what came of
 * them. What is added later, after so many seconds, counts beside them. */
static void add_after_uncertain(int seconds)
{
    struct net *n = net_of(5, 0);
    struct adding a;
    uint8_t id[ID_SIZE];
    int holder, strays[2];

    create(n, id);
    holder = holder_of(n, id);
    strays_of(n, holder, strays);
    CHECK_INT(hits_at(n, strays[0], id), 0);
    net_cut(n, 0, holder, true);
    add_begin(n, strays[0], id, 5, &a);
    net_pass(n, DROP - 1400); /* so late that the errand ends before it goes */
    for (int i = 1; i < n->count; i++)
        net_cut(n, 0, i, true);
    CHECK_INT(add_end(n, &a), RC_UNCERTAIN);
    pass(n, seconds);
    CHECK_INT(hits_at(n, strays[0], id), 0);
    add_begin(n, strays[0], id, 1, &a);
    CHECK_INT(add_end(n, &a), RC_OK);
    for (int i = 1; i < n->count; i++)
        net_cut(n, 0, i, false);
    pass(n, 20);
    for (int i = 0; i < n->count; i++)
        CHECK_INT(hits_at(n, i, id), 6);
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
    struct net *n = net_of(3, others);
    uint8_t id[ID_SIZE];
    struct manager *m = n->hosts[0].manager;
    int holder;

    create(n, id);
    holder = holder_of(n, id);
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
    struct net *n = net_of(3, 0);
    uint8_t id[ID_SIZE];

    for (int k = 0; k < 20; k++)
        create(n, id);
    CU_ASSERT(leave_of(n, LEAVE_LOOKS) <= 1000);
    net_free(&n);
    n = net_of(2, 0);
    for (int k = 0; k < 30; k++)
        create(n, id);
    CU_ASSERT(leave_of(n, 1) <= 4000);
    net_free(&n);
}

/* ---- lost ---- */

static bool is_lost(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    return place_of(net_backup(n, i), id, &p) && p.kind == PLACE_OVER &&
           p.reason == REASON_LOST;
}

/* Its process is gone. */
static void kill_host(struct net *n, int i)
{
    n->refuse = n->hosts[i].paused = true;
    for (int k = 0; k < n->count; k++)
        if (k != i)
            net_cut(n, i, k, true);
}

/* One whose list names 0 and another one, that died; a third, *old, stood still
 * while they took that other one, and still does. *asker: one more. */
static struct net *lost_net(uint8_t id[ID_SIZE], int *old, int *asker)
{
    struct net *n = net_of(5, 0);
    int other = 1;

    create(n, id);
    *old = holder_of(n, id);
    n->hosts[*old].paused = true;
    net_live(n, DROP / 1000 + 3);
    while (other == *old || !has_copy(n, other, id))
        other++;
    CU_ASSERT_FATAL(is_listed(n, 0, id, other) && !is_listed(n, 0, id, *old));
    kill_host(n, 0);
    kill_host(n, other);
    net_pass(n, 1000);
    for (*asker = 1; *asker == *old || *asker == other;)
        ++*asker;
    CU_ASSERT_FATAL(!has_copy(n, *asker, id));
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
    CU_ASSERT(has_copy(n, old, id) && !is_listed(n, old, id, old));
    CHECK_INT(find_at(n, asker, id, &op, &ms), RC_OK);
    CU_ASSERT(ms <= 1000);
    record_unref(&op.record);
    CU_ASSERT(is_listed(n, asker, id, old) && is_listed(n, old, id, old));
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
    CHECK_INT(asked(n, third, CALL_PEEK, id).answer, CALL_UNAVAILABLE);
    set_lost(n, asker, id);
    set_lost(n, third, id);
    CHECK_INT(asked(n, third, CALL_PEEK, id).answer, CALL_UNAVAILABLE);
    CHECK_INT(find_at(n, asker, id, &op, NULL), RC_UNAVAILABLE);
    net_live(n, 10 * DROP / 1000 + 2);
    CU_ASSERT(has_copy(n, old, id) && is_lost(n, third, id));
    CHECK_INT(asked(n, third, CALL_PEEK, id).answer, CALL_ABSENT);
    CHECK_INT(find_at(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    net_free(&n);
}

/* Who has it and is asked makes its list at once. */
static void who_is_asked_for_the_last_copy_makes_a_list(void)
{
    uint8_t id[ID_SIZE];
    int old, asker;
    struct net *n = lost_net(id, &old, &asker);

    n->hosts[old].paused = false;
    while (!net_answers(n, old))
        net_pass(n, STEP);
    CHECK_INT(kind_at(n, old, id), PLACE_LIST);
    CU_ASSERT(!is_listed(n, old, id, old));
    CU_ASSERT(asked(n, old, CALL_PEEK, id).answer != CALL_ABSENT);
    CU_ASSERT(is_listed(n, old, id, old));
    CHECK_INT(asked(n, asker, CALL_PEEK, id).answer, CALL_ABSENT);
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
    struct net *n = net_of(6, 0);
    struct find_op op;
    uint8_t id[ID_SIZE], nobodys[ID_SIZE];
    int holder, asker = 1;

    create(n, id);
    holder = holder_of(n, id);
    asker += holder == 1;
    kill_host(n, 0);
    kill_host(n, holder);
    await_lost(n, id, asker, -1);
    net_live(n, 15);
    struct channel *c = &n->hosts[asker].channel;
    struct calls calls = {.ops = *c->ops, .under = c->ops};
    calls.ops.call = count_call;
    c->ops = &calls.ops;
    atomic_store(&net_backup(n, asker)->inquiries, 256);
    CHECK_INT(find_at(n, asker, id, &op, NULL), RC_UNAVAILABLE);
    CHECK_INT(calls.count, 0);
    atomic_store(&net_backup(n, asker)->inquiries, 0);
    CHECK_INT(find_at(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    CHECK_INT(calls.count, 3); /* the others that are there */
    CHECK_INT((int)atomic_load(&net_backup(n, asker)->inquiries), 0);
    CHECK_INT(find_at(n, asker, id, &op, NULL), RC_ABSENT);
    CHECK_INT(op.reason, REASON_LOST);
    CHECK_INT(calls.count, 3);
    for (int k = 0; k < 5; k++) {
        id_mint(nobodys);
        CHECK_INT(find_at(n, asker, nobodys, &op, NULL), RC_ABSENT);
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
    struct net *n = net_of(3, 0);
    struct request q = {.w = {.done = answered}};
    struct value one = value_number(VALUE_INT, 1);
    uint8_t id[ID_SIZE], came[ID_SIZE];
    struct changes c;
    int64_t newer;

    create(n, id);
    int holder = holder_of(n, id);
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
    kill_host(n, 0);
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
    struct net *n = net_of(4, 0);
    uint8_t id[ID_SIZE];

    for (int i = 0; i < 3; i++)
        net_cut(n, i, 3, true);
    net_live(n, 2 * DROP / 1000);
    CU_ASSERT_FATAL(net_answers(n, 3) && net_answers(n, 0));
    create(n, id);
    take_left(n, 3, id);
    CHECK_INT(lefts_at(n, 3), 1);
    net_live(n, 1);
    CHECK_INT(lefts_at(n, 3), 1);
    for (int i = 0; i < 3; i++)
        net_cut(n, i, 3, false);
    net_live(n, 5);
    CHECK_INT(lefts_at(n, 3), 0);
    CU_ASSERT(shows(n, 0, id, "seen"));
    id_mint(id); /* nobody knows it: that is so when all have compared */
    take_left(n, 3, id);
    CHECK_INT(lefts_at(n, 3), 1);
    net_live(n, 12);
    CHECK_INT(lefts_at(n, 3), 0);
    CHECK_INT((int)atomic_load(&net_backup(n, 3)->left_out), 0);
    net_free(&n);
}

/* Many copies that no list names go one after the other, however few of them
 * the log takes at a time. */
static void old_copies_go_through_a_small_log(void)
{
    enum { MANY = 30 };
    struct net *n = net_of(3, 0);
    uint8_t ids[MANY][ID_SIZE];
    int had = 0, left = 0;

    for (int k = 0; k < MANY; k++)
        create(n, ids[k]);
    n->hosts[1].paused = true;
    net_live(n, DROP / 1000 + 4);
    for (int k = 0; k < MANY; k++)
        had += has_copy(n, 1, ids[k]) && !is_listed(n, 0, ids[k], 1);
    CU_ASSERT_FATAL(had >= 5);
    n->hosts[1].core->options.log_bytes = n->hosts[1].channel.log_bytes = 400;
    n->hosts[1].paused = false;
    net_live(n, 5 + MANY);
    for (int k = 0; k < MANY; k++)
        left += has_copy(n, 1, ids[k]);
    CHECK_INT(left, 0);
    CHECK_INT((int)atomic_load(&net_backup(n, 1)->protecting), 0);
    net_free(&n);
}

UNIT_MAIN("stale", CASE(an_old_copy_is_no_holders),
          CASE(an_old_copy_waits_for_its_holders),
          CASE(an_old_copy_answers_nobody),
          CASE(what_died_with_its_primary_is_not_shown),
          CASE(what_was_the_primarys_answer_is_asked_for_again),
          CASE(what_is_uncertain_takes_no_ones_place),
          CASE(who_leaves_has_heard_of_who_stays), CASE(a_leave_is_over_soon),
          CASE(a_copy_that_no_list_names_is_found),
          CASE(who_may_have_a_copy_is_waited_for),
          CASE(who_is_asked_for_the_last_copy_makes_a_list),
          CASE(what_is_lost_is_asked_for_once),
          CASE(somebody_may_be_where_nobody_was_heard),
          CASE(a_change_that_met_an_end_has_not_landed),
          CASE(what_was_left_waits_for_the_new_id),
          CASE(old_copies_go_through_a_small_log))
