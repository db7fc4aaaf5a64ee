/* SPDX-License-Identifier: Apache-2.0
 *
 * Merge: its laws on records that no history made, with colliding stamps, of
 * all types; and the record of a user with more sessions than are kept.
 *
 * A failure prints its seed: MARGAY_SEED=N runs that one alone.
 * MARGAY_HISTORIES sets how many. */
#include "config.h"

#include "session/record.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t id[ID_SIZE] = "0123456789abcde";

/* ---- the laws, on records that no history made ---- */

static bool laws_hold(struct record *a, struct record *b, struct record *c)
{
    struct record *ab = record_merge(a, b), *ba = record_merge(b, a);
    struct record *bc = record_merge(b, c);
    struct record *ab_c = record_merge(ab, c), *a_bc = record_merge(a, bc);
    bool good = record_equal(ab, ba) && record_equal(ab_c, a_bc);

    good &= record_same(record_merge(a, a), a);
    good &= record_same(record_merge(ab, ab), ab);
    good &=
        record_same(record_merge(ab, a), ab); /* what is known adds nothing */
    good &= record_same(record_merge(b, ab), ab);
    good &= record_same(record_merge(bc, ab_c), ab_c);
    good &= record_is_canonical(ab) && record_is_canonical(ab_c);
    record_unref(&ab);
    record_unref(&ba);
    record_unref(&bc);
    record_unref(&ab_c);
    record_unref(&a_bc);
    return good;
}

static bool triple_run(uint64_t seed)
{
    struct dice d = dice_of(seed ^ 0x3333);
    enum record_kind kind = dice_one_in(&d, 8) ? RECORD_USER : RECORD_SESSION;
    struct record *r[3];

    for (int i = 0; i < 3; i++)
        r[i] = record_any(&d, kind, id);
    bool good = laws_hold(r[0], r[1], r[2]);
    for (int i = 0; i < 3; i++)
        record_unref(&r[i]);
    if (!good)
        printf("seed %" PRIu64 ": a law of merge is broken; again: "
               "MARGAY_SEED=%" PRIu64 " b_merge_laws\n",
               seed, seed);
    return good;
}

static void laws_on_any_records(void)
{
    run_seeds("triples of records", triple_run,
              4 * dice_count("MARGAY_HISTORIES", 5000));
}

/* ---- users' records: more ids than are kept ---- */

enum { LOGINS = 1500, MAX_DELTAS = 24 };

struct login {
    int64_t time; /* 0: never */
    uint64_t node;
    bool out;
    int number;
};

static int newer_first(const void *x, const void *y)
{
    const struct login *a = x, *b = y;
    if (a->time != b->time)
        return a->time < b->time ? 1 : -1;
    if (a->node != b->node)
        return a->node < b->node ? 1 : -1;
    return a->number - b->number; /* names have equally many digits */
}

static void login_name(char name[8], int number)
{
    snprintf(name, 8, "%06d", number);
}

/* One node's delta of logins and logouts, all with one stamp. */
static struct record *any_logins(struct dice *d, const struct record *base,
                                 struct login *model, int64_t now,
                                 uint64_t node)
{
    struct changes c;
    struct value v = value_number(VALUE_INT, 0);
    int count = 1 + (int)dice_below(d, 300);
    int64_t time = now > base->newest ? now : base->newest + 1;

    changes_init(&c);
    for (int i = 0; i < count; i++) {
        struct login login = {time, node, dice_one_in(d, 5),
                              (int)dice_below(d, LOGINS)};
        char name[8];
        login_name(name, login.number);
        if (changes_find(&c, key_text(name)))
            continue;
        if (login.out)
            changes_remove(&c, key_text(name));
        else
            changes_set(&c, key_text(name), &v);
        if (newer_first(&login, &model[login.number]) < 0)
            model[login.number] = login;
    }
    struct record *delta = record_delta(base, &c, now, node);
    changes_release(&c);
    return delta;
}

static bool check_logins(const struct record *r, struct login *model)
{
    int kept = 0, live = 0;
    bool good = true;

    qsort(model, LOGINS, sizeof *model, newer_first);
    for (; kept < LOGINS && model[kept].time; kept++) {
        char name[8];
        login_name(name, model[kept].number);
        bool in = record_attribute(r, name, 6).type == VALUE_INT;
        good &= in == (kept < RECORD_USER_SESSIONS && !model[kept].out);
        live += in;
    }
    return good && live > 0;
}

static bool user_history_run(uint64_t seed)
{
    struct dice d = dice_of(seed ^ 0x5eed);
    struct record *all[MAX_DELTAS], *replicas[3];
    struct login *model = mem_zero(LOGINS * sizeof *model);
    struct changes none;
    int64_t now = 1000;
    bool good = true;

    changes_init(&none);
    for (int i = 0; i < LOGINS; i++)
        model[i].number = i;
    for (int n = 0; n < 3; n++) {
        all[n] = record_new(RECORD_USER, id, now + n, &none, 5);
        replicas[n] = record_ref(all[n]);
    }
    for (int i = 3; i < MAX_DELTAS; i++) {
        unsigned n = dice_below(&d, 3);
        now += dice_below(&d, 2);
        all[i] = any_logins(&d, replicas[n], model, now, n + 1);
        record_take(&replicas[n], record_ref(all[i]));
        if (dice_one_in(&d, 2))
            record_take(&replicas[dice_below(&d, 3)], record_ref(replicas[n]));
    }
    struct record *r = merge_in_order(all, MAX_DELTAS);
    good = check_logins(r, model) && record_is_canonical(r);
    good &= record_same(merge_any_way(&d, all, MAX_DELTAS), r);
    for (int n = 0; n < 3; n++)
        good &= record_same(record_merge(replicas[n], r), r);
    if (!good)
        printf("seed %" PRIu64 ": the sessions of a user differ; again: "
               "MARGAY_SEED=%" PRIu64 " b_merge_laws\n",
               seed, seed);
    for (int i = 0; i < MAX_DELTAS; i++)
        record_unref(&all[i]);
    for (int n = 0; n < 3; n++)
        record_unref(&replicas[n]);
    record_unref(&r);
    free(model);
    return good;
}

static void histories_of_users(void)
{
    run_seeds("histories of users", user_history_run,
              dice_count("MARGAY_HISTORIES", 5000) / 100);
}

UNIT_MAIN("merge_laws", CASE(laws_on_any_records), CASE(histories_of_users))
