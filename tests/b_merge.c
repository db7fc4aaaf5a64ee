/* SPDX-License-Identifier: Apache-2.0
 *
 * Merge, by generated histories: several nodes change the same session, hear
 * of one another in any order or not at all, and in the end all deltas merged
 * in any order, any grouping and any repetition give the same bytes, which
 * say what a model says that knows nothing of slots and blocks.
 *
 * A failure prints its seed: MARGAY_SEED=N runs that history alone.
 * MARGAY_HISTORIES sets how many.
 * Timeout: 300 s */
#include "config.h"

#include "session/record.h"

#include "tests/records.h"
#include "tests/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint8_t id[ID_SIZE] = "0123456789abcde";

enum { MAX_NODES = 5, MAX_OPS = 64, MAX_WRITES = 4, KEYS = 10 };

static const struct key keys[KEYS] = {
    {.field = FIELD_IDLE_END},     {.field = FIELD_USER},
    {.field = FIELD_MAX_INACTIVE}, {.field = 77},
    {.name = "a", .len = 1},       {.name = "b", .len = 1},
    {.name = "ba", .len = 2},      {.name = "hits", .len = 4},
    {.name = "n\0", .len = 2},     {.name = "z", .len = 1},
};
enum { FIRST_NAME = 4, IDLE_END = 0 };

/* ---- the model: what was done, and who knows of it ---- */

struct stamp {
    bool set; /* false: era 0 */
    int64_t time;
    uint64_t node;
};

struct write {
    int key;
    enum change_kind kind;
    struct value value;
    int64_t amount;   /* ADD */
    struct stamp era; /* ADD: of the write that began it; else this one's */
};

struct op {
    struct record *delta;
    unsigned maker;
    int64_t birth; /* as the maker knew it */
    bool end;
    enum reason reason;
    struct stamp stamp;
    int write_count;
    struct write writes[MAX_WRITES];
};

struct replica {
    struct record *record; /* NULL: has not heard of it */
    uint64_t known;        /* a bit for each operation */
};

struct history {
    struct dice dice;
    uint64_t seed;
    unsigned nodes;
    uint64_t node_numbers[MAX_NODES];
    int64_t skew[MAX_NODES], now;
    struct replica replicas[MAX_NODES];
    int op_count;
    struct op ops[MAX_OPS];
    bool failed;
};

static void wrong(struct history *h, const char *what)
{
    if (!h->failed)
        printf("seed %" PRIu64 ": %s; again: MARGAY_SEED=%" PRIu64 " b_merge\n",
               h->seed, what, h->seed);
    h->failed = true;
}

static int stamp_compare(struct stamp a, struct stamp b)
{
    if (a.set != b.set)
        return a.set - b.set;
    if (!a.set)
        return 0;
    if (a.time != b.time)
        return a.time < b.time ? -1 : 1;
    return a.node < b.node ? -1 : a.node > b.node;
}

/* What the model says of one key. */
struct state {
    bool any;
    struct stamp stamp;
    struct value value; /* NONE: removed */
};

static const struct write *begin_of_era(const struct history *h, int key,
                                        struct stamp era)
{
    for (int i = 0; i < h->op_count; i++)
        for (int j = 0; j < h->ops[i].write_count; j++) {
            const struct write *w = &h->ops[i].writes[j];
            if (w->key == key && w->kind != CHANGE_ADD &&
                stamp_compare(w->era, era) == 0)
                return w;
        }
    return NULL;
}

/* Who heard of one add of a node heard of all that the node added before in
 * the same era. */
static uint64_t sum_of_era(const struct history *h, uint64_t known, int key,
                           struct stamp era)
{
    uint64_t sum = 0;
    for (unsigned node = 0; node < h->nodes; node++) {
        uint64_t so_far = 0;
        for (int i = 0; i < h->op_count; i++)
            for (int j = 0; j < h->ops[i].write_count; j++) {
                const struct write *w = &h->ops[i].writes[j];
                if (h->ops[i].maker != node || w->key != key ||
                    w->kind != CHANGE_ADD || stamp_compare(w->era, era) != 0)
                    continue;
                so_far += (uint64_t)w->amount;
                if (known >> i & 1) {
                    sum += so_far;
                    so_far = 0;
                }
            }
    }
    return sum;
}

static bool write_wins(const struct state *s, const struct write *w)
{
    if (!s->any)
        return true;
    if (w->key == IDLE_END && w->value.number != s->value.number)
        return w->value.number > s->value.number;
    return stamp_compare(w->era, s->stamp) > 0;
}

static struct state model_key(const struct history *h, uint64_t known, int key)
{
    struct state s = {.any = false};
    bool added = false;

    for (int i = 0; i < h->op_count; i++)
        for (int j = 0; j < h->ops[i].write_count; j++) {
            const struct write *w = &h->ops[i].writes[j];
            if (!(known >> i & 1) || w->key != key)
                continue;
            if (write_wins(&s, w)) {
                s = (struct state){true, w->era, w->value};
                added = false;
            }
            if (stamp_compare(w->era, s.stamp) == 0)
                added |= w->kind == CHANGE_ADD;
        }
    if (!s.any)
        return s;
    const struct write *begin = begin_of_era(h, key, s.stamp);
    if (begin)
        s.value = begin->value;
    if (added)
        s.value.type = VALUE_COUNTER;
    if (s.value.type == VALUE_COUNTER)
        s.value.number = (int64_t)((begin ? (uint64_t)begin->value.number : 0) +
                                   sum_of_era(h, known, key, s.stamp));
    return s;
}

static const struct op *model_end(const struct history *h, uint64_t known)
{
    const struct op *first = NULL;
    for (int i = 0; i < h->op_count; i++)
        if ((known >> i & 1) && h->ops[i].end &&
            (!first || stamp_compare(h->ops[i].stamp, first->stamp) < 0))
            first = &h->ops[i];
    return first;
}

static int64_t model_birth(const struct history *h, uint64_t known)
{
    int64_t birth = INT64_MAX;
    for (int i = 0; i < h->op_count; i++)
        if ((known >> i & 1) && h->ops[i].birth < birth)
            birth = h->ops[i].birth;
    return birth;
}

static int64_t model_newest(const struct history *h, uint64_t known)
{
    int64_t newest = model_birth(h, known);
    for (int k = 0; k < KEYS; k++) {
        struct state s = model_key(h, known, k);
        if (s.any && s.stamp.set && s.stamp.time > newest)
            newest = s.stamp.time;
    }
    return newest;
}

static bool values_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == VALUE_STRING || a->type == VALUE_BYTES)
        return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
    if (a->type == VALUE_DOUBLE)
        return a->real == b->real;
    if (a->type == VALUE_BOOL)
        return a->truth == b->truth;
    return a->type == VALUE_NONE || a->number == b->number;
}

struct seen {
    int count;
    struct key key[KEYS];
    int64_t stamp[KEYS];
};

static void see(void *user, struct key key, const struct value *value,
                int64_t stamp)
{
    struct seen *seen = user;
    (void)value;
    seen->key[seen->count] = key;
    seen->stamp[seen->count++] = stamp;
}

/* Whether the record says what the model says of these operations. */
static void check_record(struct history *h, const struct record *r,
                         uint64_t known)
{
    const struct op *end = model_end(h, known);
    struct record_end found;
    struct seen seen = {.count = 0};
    int expected = 0;

    if (record_birth(r) != model_birth(h, known))
        wrong(h, "another birth");
    if (record_ended(r, &found) != (end != NULL))
        return wrong(h, "a decided end is gone, or was never made");
    record_each(r, see, &seen);
    if (end) {
        if (found.reason != end->reason || r->newest != end->stamp.time)
            wrong(h, "not the first of the decided ends");
        if (seen.count)
            wrong(h, "a tombstone holds attributes");
        return;
    }
    for (int k = 0; k < KEYS; k++) {
        struct state s = model_key(h, known, k);
        struct value v = record_get(r, keys[k]);
        if (!values_equal(&v, &s.value))
            wrong(h, s.value.type == VALUE_COUNTER ? "another sum"
                                                   : "another value");
        if (s.value.type == VALUE_NONE)
            continue;
        if (expected >= seen.count ||
            key_compare(seen.key[expected], keys[k]) != 0 ||
            seen.stamp[expected] != s.stamp.time)
            wrong(h, "another stamp or key");
        expected++;
    }
    if (expected != seen.count)
        wrong(h, "attributes that nobody wrote");
    if (r->newest != model_newest(h, known))
        wrong(h, "another newest stamp");
}

/* ---- what the nodes do ---- */

static struct value any_value(struct dice *d)
{
    static const char *const texts[] = {"", "x", "yes", "a\0b\0"};
    struct value v = {.type = VALUE_STRING + dice_below(d, 6)};

    v.data = texts[dice_below(d, 4)];
    v.len = v.data[0] == 'a' ? 4 : strlen(v.data);
    v.number = (int64_t)dice_next(d) >> dice_below(d, 64);
    v.real = dice_below(d, 100) / 8.0;
    v.truth = dice_one_in(d, 2);
    if (v.type == VALUE_STRING || v.type == VALUE_BYTES)
        v.number = 0;
    else
        v.len = 0;
    return v;
}

static struct write any_write(struct dice *d, int64_t now)
{
    struct write w = {.key = (int)dice_below(d, KEYS)};

    w.kind = w.key < FIRST_NAME  ? CHANGE_SET
             : dice_one_in(d, 3) ? (enum change_kind)dice_below(d, 2)
                                 : CHANGE_ADD;
    if (w.kind == CHANGE_SET)
        w.value = dice_one_in(d, 2)
                      ? any_value(d)
                      : value_number(VALUE_COUNTER, dice_below(d, 50));
    if (w.key == IDLE_END)
        w.value = value_number(VALUE_INT, now - dice_below(d, 3));
    if (w.kind == CHANGE_ADD)
        w.amount = (int64_t)dice_below(d, 200) - 100;
    return w;
}

static bool op_has_key(const struct op *op, int key)
{
    for (int j = 0; j < op->write_count; j++)
        if (op->writes[j].key == key)
            return true;
    return false;
}

/* Fills the operation's writes and the changes that say the same. */
static void any_changes(struct history *h, struct op *op, uint64_t known,
                        struct changes *c)
{
    int count = 1 + (int)dice_below(&h->dice, MAX_WRITES);

    for (int i = 0; i < count; i++) {
        struct write w = any_write(&h->dice, h->now);
        if (op_has_key(op, w.key))
            continue;
        struct state s = model_key(h, known, w.key);
        if (w.kind == CHANGE_SET)
            changes_set(c, keys[w.key], &w.value);
        else if (w.kind == CHANGE_REMOVE)
            changes_remove(c, keys[w.key]);
        else
            changes_add(c, keys[w.key], w.amount);
        w.era = s.stamp;
        bool is_counter =
            s.value.type == VALUE_COUNTER || s.value.type == VALUE_NONE;
        if (w.kind != CHANGE_ADD || is_counter)
            op->writes[op->write_count++] = w;
    }
}

static void op_stamp(struct op *op, int64_t time, uint64_t node)
{
    op->stamp = (struct stamp){true, time, node};
    for (int j = 0; j < op->write_count; j++)
        if (op->writes[j].kind != CHANGE_ADD)
            op->writes[j].era = op->stamp;
}

static void apply(struct history *h, unsigned node, struct op *op)
{
    struct replica *r = &h->replicas[node];

    if (!record_is_canonical(op->delta))
        wrong(h, "a delta is not canonical");
    if (r->record)
        record_take(&r->record, record_ref(op->delta));
    else
        r->record = record_ref(op->delta);
    r->known |= (uint64_t)1 << h->op_count++;
    check_record(h, r->record, r->known);
}

static void create(struct history *h, unsigned node)
{
    struct op *op = &h->ops[h->op_count];
    struct changes c;

    *op = (struct op){.maker = node, .birth = h->now + h->skew[node]};
    changes_init(&c);
    any_changes(h, op, 0, &c);
    op_stamp(op, op->birth, h->node_numbers[node]);
    op->delta =
        record_new(RECORD_SESSION, id, op->birth, &c, h->node_numbers[node]);
    changes_release(&c);
    apply(h, node, op);
}

/* record_apply is the delta and its merge in one step. */
static void in_one_step(struct history *h, struct record *base,
                        struct record *delta, struct record *applied)
{
    struct record *merged =
        delta ? record_merge(base, delta) : record_ref(base);

    if (!record_equal(applied, merged))
        wrong(h, "record_apply is not the merge of the delta");
    record_unref(&merged);
    record_unref(&applied);
}

static void change(struct history *h, unsigned node)
{
    struct op *op = &h->ops[h->op_count];
    struct replica *r = &h->replicas[node];
    int64_t now = h->now + h->skew[node];
    int64_t newest = model_newest(h, r->known);
    struct changes c;

    *op = (struct op){.maker = node, .birth = record_birth(r->record)};
    changes_init(&c);
    any_changes(h, op, r->known, &c);
    op_stamp(op, now > newest ? now : newest + 1, h->node_numbers[node]);
    op->delta = record_delta(r->record, &c, now, h->node_numbers[node]);
    in_one_step(h, r->record, op->delta,
                record_apply(r->record, &c, now, h->node_numbers[node]));
    changes_release(&c);
    if ((op->delta != NULL) != (op->write_count != 0))
        wrong(h, "a delta that says nothing, or none that should");
    if (op->delta)
        apply(h, node, op);
}

static void end(struct history *h, unsigned node)
{
    struct op *op = &h->ops[h->op_count];
    struct replica *r = &h->replicas[node];
    int64_t now = h->now + h->skew[node];
    int64_t newest = model_newest(h, r->known);

    *op = (struct op){.maker = node, .birth = record_birth(r->record)};
    op->end = true;
    op->reason = REASON_IDLE + dice_below(&h->dice, 7);
    op_stamp(op, now > newest ? now : newest + 1, h->node_numbers[node]);
    op->delta = record_end_delta(r->record, op->reason, NULL, now,
                                 h->node_numbers[node]);
    apply(h, node, op);
}

/* The node hears of one delta, or of the whole record of another. */
static void hear(struct history *h, unsigned node)
{
    struct replica *to = &h->replicas[node];
    struct replica *from = &h->replicas[dice_below(&h->dice, h->nodes)];
    int i = (int)dice_below(&h->dice, (uint32_t)h->op_count);

    if (!to->record || dice_one_in(&h->dice, 4)) {
        if (!from->record || to == from)
            return;
        to->known |= from->known;
        if (to->record)
            record_take(&to->record, record_ref(from->record));
        else
            to->record = record_ref(from->record);
    } else {
        to->known |= (uint64_t)1 << i;
        record_take(&to->record, record_ref(h->ops[i].delta));
    }
    check_record(h, to->record, to->known);
}

static void play(struct history *h)
{
    int steps = 4 + (int)dice_below(&h->dice, 60);
    bool may_end = dice_one_in(&h->dice, 3);

    create(h, 0);
    if (h->nodes > 1 && dice_one_in(&h->dice, 4))
        create(h, 1); /* of one user, on two nodes at once */
    for (int s = 0; s < steps && h->op_count < MAX_OPS && !h->failed; s++) {
        unsigned node = dice_below(&h->dice, h->nodes);
        struct replica *r = &h->replicas[node];
        bool over = !r->record || record_ended(r->record, NULL);
        h->now += dice_below(&h->dice, 3);
        if (over || dice_one_in(&h->dice, 2))
            hear(h, node);
        else if (may_end && dice_one_in(&h->dice, 12))
            end(h, node);
        else
            change(h, node);
    }
}

/* ---- all of it, in any order ---- */

static void check_all_ways(struct history *h)
{
    struct record *all[MAX_OPS] = {NULL};
    for (int i = 0; i < h->op_count; i++)
        all[i] = h->ops[i].delta;
    struct record *r = merge_in_order(all, h->op_count);

    check_record(h, r, UINT64_MAX >> (64 - h->op_count));
    if (!record_is_canonical(r))
        wrong(h, "a merge is not canonical");
    for (int i = 0; i < 3; i++)
        if (!record_same(merge_any_way(&h->dice, all, h->op_count), r))
            wrong(h, "another order or grouping gives other bytes");
    for (unsigned n = 0; n < h->nodes; n++)
        if (h->replicas[n].record &&
            !record_same(record_merge(h->replicas[n].record, r), r))
            wrong(h, "a replica knew what no delta said");
    record_unref(&r);
}

static bool history_run(uint64_t seed)
{
    static struct history h;

    memset(&h, 0, sizeof h);
    h.seed = seed;
    h.dice = dice_of(seed);
    h.nodes = 1 + dice_below(&h.dice, MAX_NODES);
    h.now = 1000;
    for (unsigned n = 0; n < h.nodes; n++) {
        h.node_numbers[n] = dice_next(&h.dice);
        h.skew[n] = dice_one_in(&h.dice, 2) ? 0 : dice_below(&h.dice, 40);
    }
    play(&h);
    check_all_ways(&h);
    for (unsigned n = 0; n < h.nodes; n++)
        record_unref(&h.replicas[n].record);
    for (int i = 0; i < h.op_count; i++)
        record_unref(&h.ops[i].delta);
    return !h.failed;
}

static void histories(void)
{
    run_seeds("histories", history_run, dice_count("MARGAY_HISTORIES", 5000));
}

UNIT_MAIN("merge", CASE(histories))
