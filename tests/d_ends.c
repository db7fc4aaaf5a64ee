/* SPDX-License-Identifier: Apache-2.0
 *
 * Of two ends only one is the one that ended the session, and where all members
 * stop one says that it is lost: BackupManagers on cores that are wired by
 * hand. */
#include "config.h"

#include "managers/backup_impl.h"
#include "session/farewell.h"
#include "tests/backups.h"
#include "tests/unit.h"

#include <string.h>

/* ---- hosts with managers ---- */

static struct net *net_of(int hosts)
{
    struct net *n = net_new(hosts);

    for (int i = 0; i < hosts; i++)
        net_manage_as(n, i, "BackupManager");
    net_pass(n, DROP + 2000);
    return n;
}

struct request {
    struct manager_write w; /* first */
    bool done;
};

static void answered(struct manager_write *w)
{
    ((struct request *)w)->done = true;
}

static void begin(struct net *n, int i, struct request *q)
{
    struct manager *m = n->hosts[i].manager;
    enum rc rc = m->ops->write(m, &q->w);

    if (rc == RC_PENDING)
        return;
    q->w.rc = rc;
    q->done = true;
}

static void wait_for(struct net *n, struct request *q)
{
    for (int k = 0; !q->done && k < 2 * DROP; k += STEP)
        net_pass(n, STEP);
    CU_ASSERT(q->done);
}

/* Its primary is host i; returns its backup. */
static int create_at(struct net *n, int i, uint8_t id[ID_SIZE])
{
    struct request q = {.w.done = answered};
    struct changes none;
    struct place p;
    int backup = 0;

    id_mint(id);
    changes_init(&none);
    manager_write_init(&q.w, WRITE_CREATE, id, n->now);
    q.w.record = record_new(RECORD_SESSION, id, n->now.wall, &none,
                            n->hosts[i].channel.node);
    changes_release(&none);
    begin(n, i, &q);
    wait_for(n, &q);
    CHECK_INT(q.w.rc, RC_OK);
    record_unref(&q.w.record);
    manager_write_release(&q.w);
    net_pass(n, 1000);
    CU_ASSERT_FATAL(place_of(net_backup(n, i), id, &p) && p.count == 2);
    while (n->hosts[backup].channel.node != p.holders[1])
        backup++;
    return backup;
}

/* At host i, whose clock is so much ahead. */
static void begin_end(struct net *n, int i, struct request *q,
                      const uint8_t id[ID_SIZE], enum reason reason, int ahead)
{
    *q = (struct request){.w.done = answered};
    manager_write_init(&q->w, WRITE_END, id, n->now);
    q->w.now.wall += ahead;
    q->w.reason = reason;
    begin(n, i, q);
}

/* How the copy of host i says that it ended; NONE: it says nothing. */
static enum reason ended_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct record_end end = {.reason = REASON_NONE};
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    struct entry *e = table_find(stripe, id);

    if (is_copy(e))
        record_ended(e->record, &end);
    table_unlock(stripe);
    return end.reason;
}

static enum reason placed_at(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    return place_of(net_backup(n, i), id, &p) && p.kind == PLACE_FINAL
               ? p.reason
               : REASON_NONE;
}

/* ---- who ended it ---- */

static void race(struct net *n, const int at[2], int ahead,
                 const enum reason reasons[2])
{
    uint8_t id[ID_SIZE];
    struct request q[2];
    int backup = create_at(n, 0, id);

    for (int i = 0; i < 2; i++)
        begin_end(n, at[i] < 0 ? backup : at[i], &q[i], id, reasons[i],
                  i * ahead);
    for (int i = 0; i < 2; i++)
        wait_for(n, &q[i]);
    int first = q[0].w.rc != RC_OK;
    CHECK_INT(q[first].w.rc, RC_OK);
    CU_ASSERT_PTR_NOT_NULL(q[first].w.before);
    CHECK_INT(q[!first].w.rc, RC_ENDED);
    CHECK_INT(q[!first].w.ended.reason, reasons[first]);
    net_pass(n, 100);
    CHECK_INT(ended_at(n, 0, id), reasons[first]);
    CHECK_INT(ended_at(n, backup, id), reasons[first]);
    for (int i = 0; i < n->count; i++)
        CHECK_INT(placed_at(n, i, id), reasons[first]);
    for (int i = 0; i < 2; i++)
        manager_write_release(&q[i].w);
}

/* Two requests end it at the same time: at its primary, its backup (-1), or any
 * of four members; by clocks that are not the same. */
static void race_all(const enum reason reasons[2])
{
    struct net *n = net_of(4);

    for (int first = -1; first < 4; first++)
        for (int second = -1; second < 4; second++)
            for (int ahead = -20; ahead <= 20; ahead += 20)
                race(n, (int[2]){first, second}, ahead, reasons);
    net_free(&n);
}

static void one_of_two_ends_is_it(void)
{
    race_all((enum reason[2]){REASON_LOGOUT, REASON_REPLACED});
}

static void one_of_two_equal_ends_is_it(void)
{
    race_all((enum reason[2]){REASON_REPLACED, REASON_REPLACED});
}

/* A logout that is on its way meets a new id that others gave before: they end
 * that as well when they hear of it, so whoever cannot has not done nothing. */
static void a_logout_may_end_the_new_id(void)
{
    struct net *n = net_of(3);
    struct replica *r = net_backup(n, 0)->replica;
    uint8_t id[ID_SIZE], new_id[ID_SIZE], came[ID_SIZE];
    int backup = create_at(n, 0, id);
    struct request q;
    int64_t newer;

    id_mint(new_id);
    struct table_stripe *stripe = table_lock(n->hosts[0].manager->table, id);
    struct record *end =
        record_end_delta(table_find(stripe, id)->record, REASON_RENAMED, new_id,
                         n->now.wall - 1000, 7);
    table_unlock(stripe);
    const struct frame_update u = {.kind = UPDATE_RECORD,
                                   .app = replica_app(r),
                                   .access = n->now.mono,
                                   .bytes = end->bytes,
                                   .len = end->len};
    n->held[0][backup] = true;
    begin_end(n, 0, &q, id, REASON_LOGOUT, 0);
    CHECK_INT(replica_apply(r, &u, n->now.mono, n->hosts[backup].channel.node,
                            n->now, came, &newer),
              REPLICA_DONE);
    n->held[0][backup] = false;
    wait_for(n, &q);
    CHECK_INT(q.w.rc, RC_ENDED);
    CHECK_INT(q.w.ended.reason, REASON_RENAMED);
    CU_ASSERT(q.w.maybe);
    record_unref(&end);
    manager_write_release(&q.w);
    net_pass(n, 2000);
    net_free(&n);
}

/* ---- a primary that dies meanwhile ---- */

/* Before it has heard of the end, or (heard) after it has told everybody but
 * the backup, where the end was made. */
static void die_meanwhile(bool heard)
{
    struct net *n = net_of(4);
    uint8_t id[ID_SIZE];
    struct request q;
    int backup = create_at(n, 0, id);

    n->hosts[0].paused = !heard;
    n->hosts[backup].deaf = heard;
    begin_end(n, backup, &q, id, REASON_LOGOUT, 0);
    net_pass(n, 100);
    CU_ASSERT(!q.done);
    for (int i = 1; i < 4; i++) {
        net_cut(n, 0, i, true);
        CHECK_INT(placed_at(n, i, id),
                  heard && i != backup ? REASON_LOGOUT : REASON_NONE);
    }
    n->hosts[backup].deaf = false;
    wait_for(n, &q);
    CHECK_INT(q.w.rc, RC_OK);
    CU_ASSERT_PTR_NOT_NULL(q.w.before);
    manager_write_release(&q.w);
    net_pass(n, 100);
    CHECK_INT(ended_at(n, backup, id), REASON_LOGOUT);
    for (int i = 1; i < 4; i++)
        CHECK_INT(placed_at(n, i, id), REASON_LOGOUT);
    net_free(&n);
}

static void it_ends_where_its_primary_dies(void)
{
    die_meanwhile(false);
}

static void it_ends_where_its_primary_told_others_and_died(void)
{
    die_meanwhile(true);
}

/* ---- all stop ---- */

/* Each stops as soon as it may. What it has said is lost. */
static size_t stop_one(struct net *n, struct host *h)
{
    if (h->core->stopping || !manager_left(h->manager))
        return 0;
    size_t alone = backup_of(h->manager)->leave.alone;
    manager_stop(h->manager, n->now, 0);
    core_stop(h->core, n->now);
    h->paused = true; /* nobody connects to it any more */
    return alone;
}

/* Two of three leave; the last one stands still, begins to leave after `late`
 * ms, runs for `runs` ms, and stands still until the others have stopped. */
static size_t all_stop(struct net *n, int last, int late, int runs)
{
    size_t alone = 0;

    for (int i = 0; i < 3; i++)
        if (i != last)
            manager_leave(n->hosts[i].manager, n->now);
    for (int ms = 0; ms < 20000; ms += STEP) {
        int stopped = 0;
        struct host *h = &n->hosts[last];
        if (ms == late)
            manager_leave(h->manager, n->now);
        for (int i = 0; i < 3; i++) {
            alone += i != last || ms >= late ? stop_one(n, &n->hosts[i]) : 0;
            stopped += n->hosts[i].core->stopping;
        }
        if (stopped == 3)
            break;
        h->paused = ms < late || (ms >= late + runs && ms < late + 1000);
        h->paused &= stopped < 2;
        net_pass(n, STEP);
    }
    return alone;
}

/* What was handed over to one that leaves as well is in no list with it. */
static void what_all_lose_is_told_of_once(void)
{
    for (int late = 0; late <= 50; late += 50)
        for (int runs = 0; runs <= 12 * STEP; runs += STEP)
            for (int last = 0; last < 3; last++) {
                struct net *n = net_of(3);
                uint8_t id[ID_SIZE];
                for (int k = 0; k < 15; k++)
                    create_at(n, k % 3, id);
                CHECK_INT(all_stop(n, last, late, runs), 15);
                net_free(&n);
            }
}

/* ---- of what stands in two managers ---- */

static void mark(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct value seven = {.type = VALUE_INT, .number = 7};
    struct request q = {.w.done = answered};
    struct changes c;

    changes_init(&c);
    changes_set(&c, key_field(FIELD_BOTH), &seven);
    manager_write_init(&q.w, WRITE_CHANGE, id, n->now);
    q.w.changes = &c;
    begin(n, i, &q);
    wait_for(n, &q);
    CHECK_INT(q.w.rc, RC_OK);
    changes_release(&c);
    manager_write_release(&q.w);
}

static void call_end(struct net *n, int at, int from, const uint8_t id[ID_SIZE])
{
    struct channel_called call = {.from = n->hosts[from].channel.node,
                                  .kind = CALL_COMMIT};
    struct manager *m = n->hosts[at].manager;

    memcpy(call.id, id, ID_SIZE);
    struct table_stripe *stripe = table_lock(m->table, id);
    call.delta = record_end_delta(table_find(stripe, id)->record, REASON_LOGOUT,
                                  NULL, n->now.wall, call.from);
    table_unlock(stripe);
    serve_call(backup_of(m), &call, n->now);
    record_unref(&call.delta);
}

/* A marked session of host 0, whose farewell another one makes: its answer
 * waits for nobody's readmission. */
static void create_marked(struct net *n, uint8_t id[ID_SIZE])
{
    uint8_t farewell[ID_SIZE];

    do {
        CHECK_INT(create_at(n, 0, id), 1);
        farewell_id(id, farewell);
    } while (first_of(net_backup(n, 0), farewell) == n->hosts[0].channel.node);
    mark(n, 0, id);
}

/* Its primary leaves the farewell first, which takes a moment: after a pause in
 * it others may have gone on without it, and it ends nothing. */
static void who_stood_still_at_a_farewell_ends_nothing(void)
{
    for (int pause = 0; pause <= DROP + 1000; pause += DROP + 1000) {
        struct net *n = net_of(2);
        struct backups_replies replies;
        uint8_t id[ID_SIZE];

        create_marked(n, id);
        backups_overhear(n, 0, &replies);
        call_end(n, 0, 1, id);
        CHECK_INT(replies.count, 0); /* the farewell is on its way */
        n->hosts[0].paused = pause > 0;
        net_pass(n, pause);
        n->hosts[0].paused = false;
        for (int k = 0; !replies.count && k < DROP; k += STEP)
            net_pass(n, STEP);
        CHECK_INT(replies.count, 1);
        CHECK_INT(replies.last.answer, pause ? CALL_UNAVAILABLE : CALL_OK);
        CHECK_INT(ended_at(n, 0, id), pause ? REASON_NONE : REASON_LOGOUT);
        backups_overheard(n, 0, &replies);
        net_free(&n);
    }
}

UNIT_MAIN("ends", CASE(one_of_two_ends_is_it),
          CASE(one_of_two_equal_ends_is_it), CASE(a_logout_may_end_the_new_id),
          CASE(it_ends_where_its_primary_dies),
          CASE(it_ends_where_its_primary_told_others_and_died),
          CASE(what_all_lose_is_told_of_once),
          CASE(who_stood_still_at_a_farewell_ends_nothing))
