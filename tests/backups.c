/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/backups.h"

#include "managers/backup_impl.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

struct net *backups_new(int count, int others)
{
    struct net *n = net_new(count + others);

    for (int i = 0; i < count; i++)
        net_manage_as(n, i, "BackupManager");
    net_live(n, DROP / 1000 + 2);
    return n;
}

void backups_answered(struct manager_write *w)
{
    ((struct backups_write *)w)->done++;
}

void backups_create(struct net *n, uint8_t id[ID_SIZE])
{
    struct backups_write q = {.w = {.done = backups_answered}};
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

bool backups_has(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    if (!n->hosts[i].manager)
        return false;
    struct table_stripe *stripe = table_lock(n->hosts[i].manager->table, id);
    bool has = is_copy(table_find(stripe, id));

    table_unlock(stripe);
    return has;
}

int backups_holder(struct net *n, const uint8_t id[ID_SIZE])
{
    for (int i = 1; i < n->count; i++)
        if (backups_has(n, i, id))
            return i;
    CU_FAIL_FATAL("nobody holds it");
    return 0;
}

bool backups_is_listed(struct net *n, int i, const uint8_t id[ID_SIZE], int of)
{
    struct place p;

    return place_of(net_backup(n, i), id, &p) && p.kind == PLACE_LIST &&
           place_has(&p, n->hosts[of].channel.node);
}

enum place_kind backups_kind(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct place p;

    CU_ASSERT(place_of(net_backup(n, i), id, &p));
    return p.kind;
}

void backups_kill(struct net *n, int i)
{
    n->refuse = n->hosts[i].paused = true;
    for (int k = 0; k < n->count; k++)
        if (k != i)
            net_cut(n, i, k, true);
}

static void note_reply(struct channel *c, const struct channel_reply *reply)
{
    struct backups_replies *r = (struct backups_replies *)c->ops;

    r->last = *reply;
    record_unref(&r->last.record);
    r->count++;
}

void backups_overhear(struct net *n, int i, struct backups_replies *r)
{
    struct channel *c = &n->hosts[i].channel;

    *r = (struct backups_replies){.ops = *c->ops, .before = c->ops};
    r->ops.reply = note_reply;
    c->ops = &r->ops;
}

void backups_overheard(struct net *n, int i, const struct backups_replies *r)
{
    n->hosts[i].channel.ops = r->before;
}

/* Who asks it, having forgotten who held the session, is told who did. */
struct channel_reply backups_asked(struct net *n, int i, enum call_kind kind,
                                   const uint8_t id[ID_SIZE])
{
    struct channel_called call = {.from = n->hosts[0].channel.node,
                                  .kind = kind};
    struct backups_replies r;

    memcpy(call.id, id, ID_SIZE);
    backups_overhear(n, i, &r);
    serve_call(net_backup(n, i), &call, n->now);
    backups_overheard(n, i, &r);
    CHECK_INT(r.count, 1);
    return r.last;
}

void backups_found(struct find_op *op)
{
    (void)op;
}

enum rc backups_find(struct net *n, int i, const uint8_t id[ID_SIZE],
                     struct find_op *op, int *ms)
{
    struct manager *m = n->hosts[i].manager;
    int waited = 0;

    *op = (struct find_op){
        .done = backups_found, .now = n->now, .rc = RC_PENDING};
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

bool backups_shows(struct net *n, int i, const uint8_t id[ID_SIZE],
                   const char *name)
{
    struct find_op op;

    CHECK_INT_FATAL(backups_find(n, i, id, &op, NULL), RC_OK);
    struct value v = record_attribute(op.record, name, strlen(name));
    bool has = v.type != VALUE_NONE;
    record_unref(&op.record);
    return has;
}

void backups_add(struct net *n, int i, const uint8_t id[ID_SIZE], int amount,
                 struct backups_adding *a)
{
    struct manager *m = n->hosts[i].manager;

    a->q = (struct backups_write){.w = {.done = backups_answered}};
    changes_init(&a->c);
    changes_add(&a->c, key_name("hits", 4), amount);
    manager_write_init(&a->q.w, WRITE_CHANGE, id, n->now);
    a->q.w.changes = &a->c;
    CHECK_INT_FATAL(m->ops->write(m, &a->q.w), RC_PENDING);
}

enum rc backups_added(struct net *n, struct backups_adding *a)
{
    for (int ms = 0; !a->q.done && ms < 8 * DROP; ms += STEP)
        net_pass(n, STEP);
    CU_ASSERT_FATAL(a->q.done);
    enum rc rc = a->q.w.rc;
    changes_release(&a->c);
    manager_write_release(&a->q.w);
    return rc;
}

int backups_hits(struct net *n, int i, const uint8_t id[ID_SIZE])
{
    struct find_op op;

    CHECK_INT_FATAL(backups_find(n, i, id, &op, NULL), RC_OK);
    int hits = (int)record_attribute(op.record, "hits", 4).number;
    record_unref(&op.record);
    return hits;
}
