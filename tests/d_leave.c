/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has which application and stays, members that leave, and changes whose
 * members go while they are on their way: BackupManagers on cores that are
 * wired by hand. */
#include "config.h"

#include "managers/backup_impl.h"
#include "session/buf.h"
#include "tests/cores.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

#define FILL 100 /* bytes of an attribute */

/* ---- hosts with managers ---- */

/* managers: a letter for each host: b(ackup), d(elta), - none. */
static struct net *net_of(const char *managers)
{
    struct net *n = net_new((int)strlen(managers));

    for (int i = 0; i < n->count; i++)
        if (managers[i] != '-')
            net_manage_as(
                n, i, managers[i] == 'b' ? "BackupManager" : "DeltaManager");
    net_live(n, DROP / 1000 + 2);
    return n;
}

struct request {
    struct manager_write w; /* first */
    struct changes changes;
    int done;
};

static void answered(struct manager_write *w)
{
    ((struct request *)w)->done++;
}

/* A create or a change. RC_PENDING: it waits for others. */
static enum rc begin(struct net *n, int i, struct request *q,
                     enum write_kind kind, const uint8_t id[ID_SIZE])
{
    struct manager *m = n->hosts[i].manager;
    char fill[FILL];
    struct value v = {.type = VALUE_STRING, .data = fill, .len = FILL};

    memset(fill, 'x', sizeof fill);
    *q = (struct request){.w.done = answered};
    changes_init(&q->changes);
    changes_set(&q->changes, key_name("fill", 4), &v);
    manager_write_init(&q->w, kind, id, n->now);
    q->w.changes = &q->changes;
    if (kind == WRITE_CREATE)
        q->w.record = record_new(RECORD_SESSION, id, n->now.wall, &q->changes,
                                 n->hosts[i].channel.node);
    return m->ops->write(m, &q->w);
}

static enum rc end(struct request *q, enum rc rc)
{
    rc = rc == RC_PENDING ? q->w.rc : rc;
    record_unref(&q->w.record);
    manager_write_release(&q->w);
    changes_release(&q->changes);
    return rc;
}

static enum rc write_at(struct net *n, int i, enum write_kind kind,
                        const uint8_t id[ID_SIZE])
{
    struct request q;
    enum rc rc = begin(n, i, &q, kind, id);

    for (int k = 0; rc == RC_PENDING && !q.done && k < 1000; k++)
        net_pass(n, STEP);
    return end(&q, rc);
}

static enum rc create_at(struct net *n, int i, uint8_t id[ID_SIZE])
{
    id_mint(id);
    return write_at(n, i, WRITE_CREATE, id);
}

static bool has_copy(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct manager *m = n->hosts[i].manager;

    if (!m)
        return false;
    struct table_stripe *stripe = table_lock(m->table, id);
    bool has = is_copy(table_find(stripe, id));
    table_unlock(stripe);
    return has;
}

/* Is it in the list as host i knows it, and has it all that the list names? */
static bool is_listed(struct net *n, int i, const uint8_t id[ID_SIZE],
                      unsigned hosts)
{
    struct place p;
    unsigned named = 0;

    if (!place_of(net_backup(n, i), id, &p) || p.kind != PLACE_LIST)
        return false;
    for (int k = 0; k < n->count; k++)
        if (place_has(&p, n->hosts[k].channel.node)) {
            named |= 1u << k;
            if (!has_copy(n, k, id))
                return false;
        }
    return named && (named & ~hosts) == 0;
}

/* Those whose bits are set leave; true: all say that they have. */
static bool leave(struct net *n, unsigned hosts, int seconds)
{
    bool all = false;

    for (int i = 0; i < n->count; i++)
        if (hosts & 1u << i)
            manager_leave(n->hosts[i].manager, n->now);
    for (int s = 0; s < seconds && !all; s++) {
        net_live(n, 1);
        all = true;
        for (int i = 0; i < n->count; i++)
            if (hosts & 1u << i)
                all &= manager_left(n->hosts[i].manager);
    }
    return all;
}

/* ---- who has it ---- */

static void who_lacks_it_holds_nothing(void)
{
    struct net *n = net_of("b-b-");
    struct backup *b = net_backup(n, 0);
    uint8_t id[ID_SIZE];
    uint64_t out[HOSTS];

    for (int k = 0; k < 20; k++) {
        CHECK_INT(create_at(n, 0, id), RC_OK);
        CU_ASSERT(is_listed(n, 0, id, 5) && has_copy(n, 2, id));
        CHECK_INT(choose(b, id, NULL, 0, out, HOSTS), 1);
        CHECK_INT(channel_choose(b->channel, NULL, id, NULL, 0, out, HOSTS), 3);
    }
    CHECK_INT(holder_state(b, n->hosts[1].channel.node), MEMBER_GONE);
    CHECK_INT(holder_state(b, n->hosts[2].channel.node), MEMBER_HERE);
    /* it comes to have it */
    net_manage_as(n, 1, "BackupManager");
    net_live(n, 2);
    CHECK_INT(holder_state(b, n->hosts[1].channel.node), MEMBER_HERE);
    CHECK_INT(choose(b, id, NULL, 0, out, HOSTS), 2);
    net_free(&n);
}

/* Whom it is sent to acknowledges it all the same. */
static void who_lacks_it_does_not_count(void)
{
    struct net *n = net_of("b-b");
    struct commit c;
    struct channel_update u = {
        .kind = UPDATE_TOUCH,
        .app = replica_app(net_backup(n, 0)->replica),
        .access = n->now.mono,
        .target_count = 2,
        .targets = {n->hosts[1].channel.node, n->hosts[2].channel.node}};

    net_commit_init(n, 0, &c);
    core_send(n->hosts[0].core, &u, &c.wait, COPIES_ALL, n->now);
    net_pass(n, 1000);
    CHECK_INT(c.done, 1);
    CHECK_INT(c.wait.applied, 2);
    net_free(&n);
}

static void other_kinds_do_not_mix(void)
{
    struct net *n = net_of("bbdd");
    uint8_t id[ID_SIZE];

    for (int i = 0; i < 4; i++)
        CHECK_INT(n->hosts[i].warned, 2);
    for (int k = 0; k < 20; k++) {
        CHECK_INT(create_at(n, k % 2, id), RC_OK);
        CU_ASSERT(is_listed(n, 0, id, 3));
        CHECK_INT(create_at(n, 2 + k % 2, id), RC_OK);
        net_pass(n, 100);
        CU_ASSERT(has_copy(n, 2, id) && has_copy(n, 3, id));
        CU_ASSERT(!has_copy(n, 0, id) && !has_copy(n, 1, id));
    }
    net_live(n, 12);
    CU_ASSERT(leave(n, 1, 9)); /* that is no news of that kind */
    for (int i = 0; i < 4; i++) {
        CHECK_INT(n->hosts[i].warned, 2);
        CHECK_INT((int)n->hosts[i].core->repaired, 0);
        CU_ASSERT(net_answers(n, i));
    }
    net_free(&n);
}

/* Whoever comes second finds it out as well, and whoever was there before where
 * one takes the place of another. */
static void both_say_that_they_are_of_other_kinds(void)
{
    struct net *n = net_of("d-");

    net_manage_as(n, 1, "DeltaManager");
    net_live(n, 2);
    manager_stop(n->hosts[1].manager, n->now, 0);
    manager_free(&n->hosts[1].manager);
    CHECK_INT(n->hosts[0].warned + n->hosts[1].warned, 0);
    net_manage_as(n, 1, "BackupManager");
    net_live(n, 2);
    CHECK_INT(n->hosts[0].warned, 1);
    CHECK_INT(n->hosts[1].warned, 1);
    net_free(&n);
}

/* In a rolling change there are those with one of the two, and with both. */
static void who_has_both_is_of_the_same_kind(void)
{
    struct net *n = net_of("d---");

    net_manage_pair(n, 1);
    net_manage_pair(n, 2);
    net_live(n, 2);
    net_manage_pair(n, 3);
    net_live(n, 2);
    for (int i = 0; i < 4; i++)
        CHECK_INT(n->hosts[i].warned, 0);
    manager_stop(n->hosts[0].manager, n->now, 0);
    manager_free(&n->hosts[0].manager);
    net_manage_as(n, 0, "BackupManager");
    net_live(n, 2);
    for (int i = 0; i < 4; i++)
        CHECK_INT(n->hosts[i].warned, 0);
    net_free(&n);
}

/* ---- leaving ---- */

enum { MANY = 9000 };

/* Each hands over half of its 3,000; the log takes some 600 of them, with their
 * places, and nothing is pushed out of it. */
static void many_leave_through_a_small_log(void)
{
    struct net *n = net_of("bbbbb");
    static uint8_t ids[MANY][ID_SIZE];
    unsigned lost = 0;

    for (int i = 0; i < n->count; i++)
        n->hosts[i].core->options.log_bytes = n->hosts[i].channel.log_bytes =
            512 << 10;
    for (int k = 0; k < MANY; k++)
        CHECK_INT_FATAL(create_at(n, k % 3, ids[k]), RC_OK);
    net_live(n, 1);
    for (int i = 0; i < n->count; i++)
        n->hosts[i].missed = 0;
    CU_ASSERT(leave(n, 7, 9));
    for (int i = 0; i < n->count; i++)
        CHECK_INT(n->hosts[i].missed, 0);
    for (int k = 0; k < MANY; k++)
        lost +=
            !is_listed(n, 3, ids[k], 0x18) || !is_listed(n, 4, ids[k], 0x18);
    CHECK_INT(lost, 0);
    CU_ASSERT(net_backup(n, 0)->leave.handed > 0);
    net_free(&n);
}

/* The backup says that it leaves while a new session is on its way to it. */
static void create_at_a_leaver(enum copies copies)
{
    struct net *n = net_of("bbb");
    struct request q;
    uint8_t id[ID_SIZE];
    struct place p;
    int k, leaver;

    net_backup(n, 0)->copies = copies;
    id_mint(id);
    CHECK_INT_FATAL(begin(n, 0, &q, WRITE_CREATE, id), RC_PENDING);
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p) && p.count == 2);
    leaver = p.holders[1] == n->hosts[1].channel.node ? 1 : 2;
    manager_leave(n->hosts[leaver].manager, n->now);
    for (k = 0; !q.done && k < DROP; k += STEP)
        net_pass(n, STEP);
    CHECK_INT(q.done, 1);
    CU_ASSERT(k < 100); /* the sweep comes by once a second */
    CU_ASSERT(has_copy(n, 3 - leaver, id));
    CU_ASSERT(is_listed(n, 0, id, 1u | 1u << (3 - leaver)));
    CHECK_INT(end(&q, RC_PENDING), RC_OK);
    net_free(&n);
}

static void who_leaves_is_no_copy_of_what_is_new(void)
{
    create_at_a_leaver(COPIES_ALL);
    create_at_a_leaver(COPIES_ONE);
}

/* ---- a log that is too small ---- */

/* Nothing of this host's stays in its log for long enough to be sent. */
static void send_flooded(struct channel *c, const struct channel_update *u,
                         struct channel_wait *wait, enum copies copies)
{
    struct host *h =
        (struct host *)((char *)c - offsetof(struct host, channel));
    struct channel_update touch = {
        .kind = UPDATE_TOUCH, .app = u->app, .access = h->net->now.mono};

    core_send(h->core, u, wait, copies, h->net->now);
    core_send(h->core, &touch, NULL, COPIES_NONE, h->net->now);
}

static bool hands_over(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    struct entry *e = table_find(stripe, id);
    bool hands = e && backup_entry(e)->handover;

    table_unlock(stripe);
    return hands;
}

static enum rc write_flooded(struct net *n, enum write_kind kind,
                             const uint8_t id[ID_SIZE])
{
    struct host *h = &n->hosts[0];
    const struct channel_ops *ops = h->channel.ops;
    struct channel_ops flooded = *ops;
    size_t log = h->core->options.log_bytes;

    flooded.send = send_flooded;
    h->channel.ops = &flooded;
    h->core->options.log_bytes = 1;
    enum rc rc = write_at(n, 0, kind, id);
    h->core->options.log_bytes = log;
    h->channel.ops = ops;
    return rc;
}

static void what_is_never_sent_is_not_acknowledged(void)
{
    struct net *n = net_of("bbb");
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    CHECK_INT(write_flooded(n, WRITE_CREATE, id), RC_UNCERTAIN);
    CU_ASSERT(!has_copy(n, 1, id) && !has_copy(n, 2, id));
    CU_ASSERT(!hands_over(n, 0, id));
    net_live(n, 15);
    CU_ASSERT(is_listed(n, 0, id, 7));
    /* nor what a new holder was to get */
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p) && p.count == 2);
    int gone = p.holders[1] == n->hosts[1].channel.node ? 1 : 2;
    n->hosts[gone].paused = true;
    while (is_here(net_backup(n, 0), p.holders[1]))
        net_pass(n, STEP);
    CHECK_INT(write_flooded(n, WRITE_CHANGE, id), RC_UNCERTAIN);
    CU_ASSERT(!has_copy(n, 3 - gone, id));
    CU_ASSERT(!hands_over(n, 0, id));
    CHECK_INT(write_at(n, 0, WRITE_CHANGE, id), RC_OK);
    CU_ASSERT(is_listed(n, 0, id, 1u | 1u << (3 - gone)));
    net_free(&n);
}

/* Where it is to be was never sent, only the session, and then its primary
 * dies: nobody but its backup knows of it. Returns that one. */
static int unlisted(struct net *n, uint8_t id[ID_SIZE])
{
    struct host *h = &n->hosts[0];
    struct place p;

    h->core->options.log_bytes = 1;
    CHECK_INT(create_at(n, 0, id), RC_OK);
    int holder = has_copy(n, 1, id) ? 1 : 2;
    CU_ASSERT_FATAL(has_copy(n, holder, id) &&
                    !place_of(net_backup(n, holder), id, &p));
    h->paused = true;
    while (is_here(net_backup(n, holder), h->channel.node))
        net_live(n, 1);
    return holder;
}

static void a_copy_without_a_list_is_found(void)
{
    struct net *n = net_of("bbb");
    uint8_t id[ID_SIZE];
    int holder = unlisted(n, id);

    CHECK_INT(write_at(n, holder, WRITE_CHANGE, id), RC_UNAVAILABLE);
    net_live(n, 15);
    CHECK_INT(write_at(n, holder, WRITE_CHANGE, id), RC_OK);
    CU_ASSERT(is_listed(n, holder, id, 6) && is_listed(n, 3 - holder, id, 6));
    net_free(&n);
}

static void a_copy_without_a_list_is_handed_over(void)
{
    struct net *n = net_of("bbb");
    uint8_t id[ID_SIZE];
    int holder = unlisted(n, id);

    CU_ASSERT(leave(n, 1u << holder, 9));
    CU_ASSERT(has_copy(n, 3 - holder, id));
    CU_ASSERT(is_listed(n, 3 - holder, id, 6));
    net_free(&n);
}

/* ---- a primary that goes ---- */

/* It made the change and did not answer, then it gave the session a new id, and
 * its backup says so: perhaps the change is part of that. */
static void what_a_primary_may_have_done_is_uncertain(void)
{
    struct net *n = net_of("bbbb");
    struct backup *b = net_backup(n, 0);
    uint8_t id[ID_SIZE], new_id[ID_SIZE];
    struct request q, rename;
    struct place p;

    CHECK_INT_FATAL(create_at(n, 0, id), RC_OK);
    CU_ASSERT_FATAL(place_of(b, id, &p) && p.count == 2);
    int holder = 1, other = 1;
    while (n->hosts[holder].channel.node != p.holders[1])
        holder++;
    other += holder == other;
    /* as long as its backup does not answer, it cannot either */
    n->hosts[holder].paused = true;
    CHECK_INT(begin(n, other, &q, WRITE_CHANGE, id), RC_PENDING);
    net_pass(n, DROP / 10);
    CHECK_INT(q.done, 0);
    net_cut(n, other, 0, true);
    n->hosts[holder].paused = false;
    net_pass(n, DROP / 10);
    id_mint(new_id);
    rename = (struct request){.w.done = answered};
    changes_init(&rename.changes);
    manager_write_init(&rename.w, WRITE_END, id, n->now);
    rename.w.reason = REASON_RENAMED;
    memcpy(rename.w.new_id, new_id, ID_SIZE);
    CHECK_INT(b->base.ops->write(&b->base, &rename.w), RC_PENDING);
    for (int k = 0; !q.done && k < 2 * DROP; k += STEP)
        net_pass(n, STEP);
    CHECK_INT(end(&rename, RC_PENDING), RC_OK);
    CHECK_INT(q.done, 1);
    CHECK_INT(q.w.ended.reason, REASON_RENAMED);
    CU_ASSERT(q.w.maybe);
    CHECK_INT(end(&q, RC_PENDING), RC_ENDED);
    net_free(&n);
}

/* What comes to a member that is about to leave goes on. */
static void what_comes_meanwhile_goes_on(void)
{
    struct net *n = net_of("bbb");
    uint8_t ids[40][ID_SIZE];

    for (int k = 0; k < 40; k++)
        CHECK_INT_FATAL(create_at(n, 0, ids[k]), RC_OK);
    /* 1 does not hear yet that 0 leaves, nor 0 that 1 does */
    manager_leave(n->hosts[0].manager, n->now);
    manager_leave(n->hosts[1].manager, n->now);
    CU_ASSERT(leave(n, 3, 9));
    for (int k = 0; k < 40; k++)
        CU_ASSERT(is_listed(n, 2, ids[k], 7) && has_copy(n, 2, ids[k]));
    net_free(&n);
}

/* Of those that all leave one says of each session that it is lost. */
static void the_last_says_what_is_lost(void)
{
    struct net *n = net_of("bbb");
    uint8_t id[ID_SIZE];
    size_t alone = 0;

    for (int k = 0; k < 30; k++)
        CHECK_INT_FATAL(create_at(n, k % 3, id), RC_OK);
    for (int i = 0; i < 3; i++)
        manager_leave(n->hosts[i].manager, n->now);
    for (int gone = 0, s = 0; gone < 3 && s < 20; s++) {
        net_live(n, 1);
        for (int i = 0; i < 3; i++) {
            struct host *h = &n->hosts[i];
            if (h->core->stopping || !manager_left(h->manager))
                continue;
            alone += net_backup(n, i)->leave.alone;
            manager_stop(h->manager, n->now, 0);
            core_stop(h->core, n->now);
            gone++;
        }
    }
    CHECK_INT((int)alone, 30);
    net_free(&n);
}

/* Alone there is nothing to wait for. */
static void who_is_alone_leaves_at_once(void)
{
    struct net *n = net_of("b");
    uint8_t id[ID_SIZE];

    CHECK_INT(create_at(n, 0, id), RC_OK);
    manager_leave(n->hosts[0].manager, n->now);
    CU_ASSERT(manager_left(n->hosts[0].manager));
    CHECK_INT((int)net_backup(n, 0)->leave.alone, 1);
    net_free(&n);
}

/* ---- holders that were never met ---- */

/* Host i dies, and starts again. */
static void restart(struct net *n, int i, uint64_t node)
{
    struct host *h = &n->hosts[i];

    for (int k = 0; k < n->count; k++)
        net_cut(n, i, k, true);
    core_free(&h->core);
    manager_free(&h->manager);
    memset(&h->channel, 0, sizeof h->channel);
    n->now.wall++;
    net_start(n, i, node);
    h->core->options.forget_ms = INT64_C(3600000);
    for (int k = 0; k < n->count; k++)
        net_cut(n, i, k, false);
    net_manage_as(n, i, "BackupManager");
}

static enum place_kind kind_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    CU_ASSERT(place_of(net_backup(n, i), id, &p));
    return p.kind;
}

/* A session whose holders, the hosts 2 and 3, are away when 1 joins. */
static struct net *away_net(uint8_t id[ID_SIZE])
{
    struct net *n = net_of("bbbb");

    for (int i = 0; i < 4; i++)
        n->hosts[i].core->options.forget_ms = INT64_C(3600000);
    do
        CHECK_INT_FATAL(create_at(n, 2, id), RC_OK);
    while (!has_copy(n, 3, id));
    net_live(n, 1);
    n->hosts[2].paused = n->hosts[3].paused = true;
    net_live(n, DROP / 1000 + 1);
    restart(n, 1, 77);
    net_live(n, DROP / 1000 + 2);
    CU_ASSERT(net_answers(n, 0) && net_answers(n, 1));
    return n;
}

static void who_joins_takes_the_others_word(void)
{
    uint8_t id[ID_SIZE];
    struct net *n = away_net(id);

    for (int s = 0; s < 30 * DROP / 1000; s++) {
        net_live(n, 1);
        CHECK_INT_FATAL(kind_at(n, 1, id), PLACE_LIST);
    }
    CHECK_INT((int)n->hosts[1].core->stranger_count, 2);
    CU_ASSERT(channel_state(&n->hosts[1].channel, n->hosts[2].channel.node) ==
              MEMBER_UNKNOWN);
    n->hosts[2].paused = n->hosts[3].paused = false;
    net_live(n, 2 * DROP / 1000);
    CU_ASSERT(is_listed(n, 1, id, 0x0c));
    CHECK_INT((int)n->hosts[1].core->stranger_count, 0);
    net_free(&n);
}

/* Nor does who joins later, when nobody remembers them any more. */
static void whom_nobody_remembers_is_gone(void)
{
    uint8_t id[ID_SIZE];
    struct net *n = away_net(id);
    int s = DROP / 1000 + 2; /* since 0 joined, and heard of them */

    restart(n, 0, 78);
    net_live(n, s);
    CU_ASSERT_FATAL(net_answers(n, 0) && net_answers(n, 1));
    for (; s < 60 && kind_at(n, 0, id) == PLACE_LIST; s++)
        net_live(n, 1);
    CU_ASSERT(s >= 10 * DROP / 1000 && s < 60);
    net_live(n, 15);
    CHECK_INT(kind_at(n, 0, id), PLACE_OVER);
    CHECK_INT(kind_at(n, 1, id), PLACE_OVER);
    net_free(&n);
}

/* Then it is in no list any more either. */
static void whom_nobody_remembers_is_in_no_list(void)
{
    struct net *n = net_of("bbb");
    uint64_t before = n->hosts[2].channel.node;
    uint8_t id[ID_SIZE];
    struct place p;

    CHECK_INT_FATAL(create_at(n, 0, id), RC_OK);
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p));
    p.stamp++;
    p.holders[p.count++] = before + 1000; /* of a start before all of these */
    for (int i = 0; i < 3; i++) {
        struct table_stripe *stripe =
            table_lock(n->hosts[i].manager->table, id);
        place_change(net_backup(n, i), table_find(stripe, id), id, &p, n->now);
        table_unlock(stripe);
    }
    CU_ASSERT(place_of(net_backup(n, 1), id, &p) &&
              place_has(&p, before + 1000));
    net_live(n, 10 * DROP / 1000 + 25);
    CU_ASSERT(place_of(net_backup(n, 1), id, &p));
    CU_ASSERT(p.kind == PLACE_LIST && !place_has(&p, before + 1000));
    CHECK_INT((int)p.count, 2);
    net_free(&n);
}

/* ---- a copy that no list names ---- */

/* Nobody knows yet whether those in its list will come back: who stays keeps
 * the copy, and makes a list of it when they will not. */
static void who_leaves_gives_it_to_who_stays(void)
{
    struct net *n = net_of("bb");
    uint64_t node = n->hosts[1].channel.node;
    uint8_t id[ID_SIZE];
    struct place p;

    n->hosts[1].paused = true;
    net_live(n, DROP / 1000 + 2);
    CHECK_INT_FATAL(create_at(n, 0, id), RC_OK);
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p) && p.count == 1);
    p.stamp++;
    p.holders[0] = node + 1000; /* of a start before all of these */
    struct table_stripe *stripe = table_lock(n->hosts[0].manager->table, id);
    place_change(net_backup(n, 0), table_find(stripe, id), id, &p, n->now);
    table_unlock(stripe);
    n->hosts[1].paused = false;
    net_live(n, 4);
    CU_ASSERT_FATAL(net_answers(n, 1) && !has_copy(n, 1, id));
    CU_ASSERT(leave(n, 1, 5));
    CHECK_INT((int)net_backup(n, 0)->leave.alone, 0);
    CU_ASSERT(has_copy(n, 1, id) && !has_copy(n, 0, id));
    core_stop(n->hosts[0].core, n->now);
    CHECK_INT(write_at(n, 1, WRITE_CHANGE, id), RC_UNAVAILABLE);
    net_live(n, 10 * DROP / 1000 + 25);
    CHECK_INT(write_at(n, 1, WRITE_CHANGE, id), RC_OK);
    net_free(&n);
}

struct search {
    struct find_op op; /* first */
    int done;
};

static void search_done(struct find_op *op)
{
    ((struct search *)op)->done++;
}

/* `holder` stood still while another one took its place in the list, then those
 * of the list died: nobody else has it, and `other` knows the list. */
static struct net *orphan_net(uint8_t id[ID_SIZE], int *holder, int *other)
{
    struct net *n = net_of("bbbb");
    struct place p;
    unsigned taken = 1;

    for (int i = 0; i < 4; i++)
        n->hosts[i].core->options.forget_ms = INT64_C(3600000);
    CHECK_INT_FATAL(create_at(n, 0, id), RC_OK);
    for (*holder = 1; !has_copy(n, *holder, id); ++*holder)
        ;
    n->hosts[*holder].paused = true;
    net_live(n, DROP / 1000 + 3);
    CU_ASSERT_FATAL(place_of(net_backup(n, 0), id, &p) && p.count == 2);
    for (int i = 1; i < 4; i++)
        if (n->hosts[i].channel.node == p.holders[1])
            taken |= 1u << i;
        else if (i != *holder)
            *other = i;
    CU_ASSERT_FATAL(taken != 1 && !has_copy(n, *other, id));
    for (int i = 0; i < 4; i++)
        n->hosts[i].paused = taken & 1u << i;
    net_live(n, 2 * DROP / 1000 + 2);
    for (int i = 0; i < 4; i++)
        if (taken & 1u << i) {
            n->hosts[i].paused = false;
            restart(n, i, 80 + (unsigned)i);
        }
    net_pass(n, DROP);
    for (unsigned i = 0; i < p.count; i++)
        CHECK_INT(holder_state(net_backup(n, *holder), p.holders[i]),
                  MEMBER_GONE);
    CU_ASSERT(net_answers(n, *holder) && has_copy(n, *holder, id));
    /* it has looked at it just now */
    net_backup(n, *holder)->odd.first = net_backup(n, *holder)->odd.count = 0;
    return n;
}

/* The others have found out before it has that all in the list are gone. */
static void say_lost(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct backup *b = net_backup(n, i);
    struct place p, over;

    CU_ASSERT_FATAL(place_of(b, id, &p) && p.kind == PLACE_LIST);
    over = p;
    over.kind = PLACE_OVER;
    over.reason = REASON_LOST;
    over.stamp = place_stamp(&p, 0);
    struct table_stripe *stripe = table_lock(b->base.table, id);
    CU_ASSERT(place_change(b, NULL, id, &over, n->now));
    table_unlock(stripe);
    tell_place(b, id, &over);
    net_pass(n, 2 * STEP);
}

static void who_has_a_copy_does_not_say_lost(void)
{
    uint8_t id[ID_SIZE];
    int holder = 0, other = 0;
    struct net *n = orphan_net(id, &holder, &other);
    struct search search = {.op = {.done = search_done, .now = n->now}};
    struct manager *m = n->hosts[holder].manager;
    struct request q;

    say_lost(n, other, id);
    CHECK_INT_FATAL(kind_at(n, holder, id), PLACE_OVER);
    memcpy(search.op.id, id, ID_SIZE);
    CHECK_INT(m->ops->find(m, &search.op), RC_PENDING);
    CHECK_INT(begin(n, holder, &q, WRITE_CHANGE, id), RC_PENDING);
    net_pass(n, 500);
    CHECK_INT(search.done + q.done, 0);
    net_live(n, 2); /* a list is made of it */
    CHECK_INT(search.done, 1);
    CHECK_INT(search.op.rc, RC_OK);
    CHECK_INT(q.done, 1);
    CHECK_INT(end(&q, RC_PENDING), RC_OK);
    record_unref(&search.op.record);
    CHECK_INT(kind_at(n, other, id), PLACE_LIST);
    CU_ASSERT(is_listed(n, other, id, 15));
    net_free(&n);
}

/* What nobody used is not made anew, and was not lost. */
static void who_has_an_idle_copy_says_so(void)
{
    uint8_t id[ID_SIZE];
    int holder = 0, other = 0;
    struct net *n = orphan_net(id, &holder, &other);
    struct search search = {.op = {.done = search_done, .now = n->now}};
    struct manager *m = n->hosts[holder].manager;

    struct table_stripe *stripe = table_lock(m->table, id);
    table_find(stripe, id)->idle = true;
    table_unlock(stripe);
    say_lost(n, other, id);
    memcpy(search.op.id, id, ID_SIZE);
    CHECK_INT(m->ops->find(m, &search.op), RC_ABSENT);
    CHECK_INT(search.op.reason, REASON_IDLE);
    net_live(n, 2);
    CHECK_INT(kind_at(n, other, id), PLACE_OVER);
    net_free(&n);
}

UNIT_MAIN("leave", CASE(who_lacks_it_holds_nothing),
          CASE(who_lacks_it_does_not_count), CASE(other_kinds_do_not_mix),
          CASE(both_say_that_they_are_of_other_kinds),
          CASE(who_has_both_is_of_the_same_kind),
          CASE(many_leave_through_a_small_log),
          CASE(who_leaves_is_no_copy_of_what_is_new),
          CASE(what_is_never_sent_is_not_acknowledged),
          CASE(a_copy_without_a_list_is_found),
          CASE(a_copy_without_a_list_is_handed_over),
          CASE(what_a_primary_may_have_done_is_uncertain),
          CASE(what_comes_meanwhile_goes_on), CASE(the_last_says_what_is_lost),
          CASE(who_is_alone_leaves_at_once),
          CASE(who_joins_takes_the_others_word),
          CASE(whom_nobody_remembers_is_gone),
          CASE(whom_nobody_remembers_is_in_no_list),
          CASE(who_leaves_gives_it_to_who_stays),
          CASE(who_has_a_copy_does_not_say_lost),
          CASE(who_has_an_idle_copy_says_so))
