/* SPDX-License-Identifier: Apache-2.0
 *
 * What a member does not know yet: copies that lack what others acknowledged,
 * holders that died a moment ago. BackupManagers on cores that are wired by
 * hand. */
#include "config.h"

#include "managers/backup_impl.h"
#include "tests/cores.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

static struct backup *backup_at(struct net *n, int i)
{
    return backup_of(n->hosts[i].manager);
}

static void pass(struct net *n, int seconds)
{
    while (seconds--) {
        net_pass(n, 1000);
        for (int i = 0; i < n->count; i++)
            if (n->hosts[i].manager && !n->hosts[i].paused)
                manager_tick(n->hosts[i].manager, n->now);
    }
}

/* others: hosts that do not have the application. */
static struct net *net_of(int count, int others)
{
    struct net *n = net_new(count + others);

    for (int i = 0; i < count; i++)
        net_manage_as(n, i, "BackupManager");
    pass(n, DROP / 1000 + 2);
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

    return place_of(backup_at(n, i), id, &p) && p.kind == PLACE_LIST &&
           place_has(&p, n->hosts[of].channel.node);
}

/* ---- copies ---- */

static void set_idle(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    struct entry *e = table_find(stripe, id);

    CU_ASSERT_FATAL(is_copy(e));
    table_set_idle(stripe, e, true);
    replica_recount(backup_at(n, i)->replica, e, n->now);
    table_unlock(stripe);
}

/* Ended as idle at its holders, 0 and that other one. */
static void say_idle(struct net *n, const uint8_t id[ID_SIZE], int other)
{
    struct backup *b = backup_at(n, 0);
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
    pass(n, DROP / 1000 + 3);
    CU_ASSERT_FATAL(is_listed(n, 0, id, *other) && has_copy(n, *other, id));
    say_idle(n, id, *other);
    net_pass(n, 100);
    return n;
}

static enum place_kind kind_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    CU_ASSERT(place_of(backup_at(n, i), id, &p));
    return p.kind;
}

/* Until it has given them its copy: by that the session lives again, there. */
static void check_gives(struct net *n, const uint8_t id[ID_SIZE], int old,
                        int other)
{
    bool named = false;

    for (int s = 0; has_copy(n, old, id) && s < 15; s++) {
        pass(n, 1);
        named |= is_listed(n, old, id, old);
    }
    CU_ASSERT(!has_copy(n, old, id));
    pass(n, 2);
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
    pass(n, 2 * DROP / 1000);
    CU_ASSERT(net_answers(n, old));
    for (int s = 0; s < 25; s++) {
        pass(n, 1);
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

static void an_old_copy_answers_nobody(void)
{
    uint8_t id[ID_SIZE];
    int old, other;
    struct net *n = old_net(id, &old, &other);
    struct channel *c = &n->hosts[old].channel;
    const struct channel_ops *ops = c->ops;
    struct answers a = {.ops = *ops};
    struct channel_called call = {.from = n->hosts[0].channel.node,
                                  .kind = CALL_FIND};

    n->hosts[old].paused = false;
    while (!net_answers(n, old))
        net_pass(n, STEP);
    CU_ASSERT_FATAL(has_copy(n, old, id));
    CHECK_INT(kind_at(n, old, id), PLACE_OVER);
    memcpy(call.id, id, ID_SIZE);
    a.ops.reply = note_reply;
    c->ops = &a.ops;
    serve_call(backup_at(n, old), &call, n->now);
    c->ops = ops;
    CHECK_INT(a.count, 1);
    CHECK_INT(a.last.answer, CALL_ELSEWHERE);
    CU_ASSERT(a.last.placed);
    CHECK_INT(a.last.place.kind, PLACE_OVER);
    net_free(&n);
}

/* ---- what only one that died had ---- */

static void found(struct find_op *op)
{
    (void)op;
}

/* Does host i show that attribute? */
static bool shows(struct net *n, int i, const uint8_t id[ID_SIZE],
                  const char *name)
{
    struct manager *m = n->hosts[i].manager;
    struct find_op op = {.done = found, .now = n->now, .rc = RC_PENDING};

    memcpy(op.id, id, ID_SIZE);
    enum rc rc = m->ops->find(m, &op);
    for (int k = 0; rc == RC_PENDING && k < 2 * DROP; k += STEP) {
        net_pass(n, STEP);
        rc = op.rc;
    }
    CHECK_INT_FATAL(rc, RC_OK);
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
    CHECK_INT(holder_state(backup_at(n, other), n->hosts[0].channel.node),
              MEMBER_GONE);
    CU_ASSERT(!shows(n, holder, id, "seen"));
    CU_ASSERT(!shows(n, other, id, "seen"));
    while (!q.done)
        net_pass(n, STEP);
    changes_release(&c);
    manager_write_release(&q.w);
    net_free(&n);
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
    CHECK_INT(holder_state(backup_at(n, 0), n->hosts[3 - holder].channel.node),
              MEMBER_AWAY);
    CHECK_INT(holder_state(backup_at(n, 0), n->hosts[holder].channel.node),
              MEMBER_HERE);
    CU_ASSERT(!manager_left(m));
    if (comes_back)
        n->hosts[holder].paused = false;
    pass(n, DROP / 1000);
    CU_ASSERT(manager_left(m));
    CHECK_INT((int)backup_at(n, 0)->leave.alone, comes_back ? 0 : 1);
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

    backup_at(n, 0)->leave.looks = looks;
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

UNIT_MAIN("stale", CASE(an_old_copy_is_no_holders),
          CASE(an_old_copy_waits_for_its_holders),
          CASE(an_old_copy_answers_nobody),
          CASE(what_died_with_its_primary_is_not_shown),
          CASE(who_leaves_has_heard_of_who_stays), CASE(a_leave_is_over_soon))
