/* SPDX-License-Identifier: Apache-2.0
 *
 * Records that name thousands of nodes: a counter has a slot for each start of
 * a member that added to it, and nothing folds them. */
#include "config.h"

#include "session/record.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint8_t id[ID_SIZE] = "0123456789abcde";
enum { BORN = 1000, MANY = 5000, HORDE = 300000 };

/* The counter `hits` of era 0, to which each of the nodes first, first + step
 * and so on added one. */
static struct record *restarted(uint64_t first, uint64_t step, size_t count)
{
    uint64_t *nodes = mem_alloc(count * sizeof *nodes);
    struct record *r = NULL;
    struct raw raw;

    raw_init(&raw);
    raw_name(&raw, "hits", VALUE_COUNTER, 0, -1);
    pack_array(&raw.row, 1 + 3 * count);
    pack_int(&raw.row, 0);
    for (size_t i = 0; i < count; i++) {
        nodes[i] = first + i * step;
        pack_uint(&raw.row, i);
        pack_uint(&raw.row, 1);
        pack_uint(&raw.row, 0);
    }
    CHECK_INT_FATAL(raw_decode(&raw, &r, 0, true, id, BORN, nodes, count),
                    RC_OK);
    free(nodes);
    return r;
}

static int64_t hits(const struct record *r)
{
    return record_attribute(r, "hits", 4).number;
}

static void thousands_of_starts_are_read_and_joined(void)
{
    struct record *all[] = {restarted(1, 2, MANY), restarted(2, 2, MANY),
                            restarted(1, 3, MANY)};
    struct dice dice = dice_of(1);
    struct record *r = merge_in_order(all, 3);

    CHECK_INT(hits(all[0]), MANY);
    /* of the third's 5,000 the first 3,334 are in the others */
    CHECK_INT(hits(r), 2 * MANY + 1666);
    CU_ASSERT(record_is_canonical(r));
    for (int i = 0; i < 10; i++)
        CU_ASSERT(record_same(merge_any_way(&dice, all, 3), r));
    struct record_others others;
    record_others(r, 1, &others);
    CHECK_INT(others.added, 2 * MANY + 1666 - 1);
    for (size_t i = 0; i < 3; i++)
        record_unref(&all[i]);
    record_unref(&r);
}

static void thousands_of_starts_are_changed_and_compared(void)
{
    struct record *r = restarted(1, 1, MANY), *before = record_ref(r);
    struct value v = value_text("x");

    record_take(&r, delta_add(r, "hits", 5, 2000, MANY / 2)); /* has a slot */
    record_take(&r, delta_add(r, "hits", 7, 2000, MANY + 1)); /* has none */
    record_take(&r, delta_set(r, "k", v, 3000, 0));
    CHECK_INT(hits(r), MANY + 12);
    CU_ASSERT(record_is_canonical(r));
    struct record *rest = record_difference(before, r);
    CU_ASSERT_FATAL(rest != NULL);
    CU_ASSERT(record_same(record_merge(before, rest), r));
    CU_ASSERT(record_difference(r, before) == NULL);
    CU_ASSERT(record_difference(r, r) == NULL);
    record_unref(&rest);
    /* a set begins another era: only it is left */
    v = value_number(VALUE_COUNTER, 1);
    record_take(&r, delta_set(r, "hits", v, 4000, 1));
    CHECK_INT(hits(r), 1);
    CU_ASSERT(r->len < 200);
    record_unref(&before);
    record_unref(&r);
}

/* One attribute, set by another node than the next. */
static struct record *crowd(struct dice *d, size_t count)
{
    struct record *r = NULL;
    uint64_t *nodes = mem_alloc(count * sizeof *nodes);
    int *order = mem_alloc(count * sizeof *order);
    struct raw raw;

    for (size_t i = 0; i < count; i++) {
        nodes[i] = 2 * i + 1;
        order[i] = (int)i;
    }
    raw_init(&raw);
    for (size_t i = 0; i < count; i++) {
        char name[16];
        size_t other = i + dice_below(d, (uint32_t)(count - i));
        int node = order[other];
        order[other] = order[i];
        snprintf(name, sizeof name, "%07zu", i);
        raw_name(&raw, name, VALUE_BOOL, 1, node);
        pack_bool(&raw.row, true);
    }
    CHECK_INT_FATAL(raw_decode(&raw, &r, 0, true, id, BORN, nodes, count),
                    RC_OK);
    free(order);
    free(nodes);
    return r;
}

/* Seconds of CPU. */
static double join_horde(size_t count)
{
    struct dice dice = dice_of(2);
    clock_t from = clock();
    struct record *a = crowd(&dice, count), *b = restarted(2, 2, count);
    struct record *both = record_merge(a, b), *again = record_merge(both, b);

    CHECK_INT(hits(both), count);
    CU_ASSERT(record_equal(both, again));
    CU_ASSERT(record_is_canonical(both));
    record_unref(&again);
    record_unref(&both);
    record_unref(&b);
    record_unref(&a);
    return (double)(clock() - from) / CLOCKS_PER_SEC;
}

/* A stranger who names as many as fit, in the worst order, costs what sorting
 * them costs. To move them for each cost 12 times as much for four times as
 * many, and 15 s. */
static void a_horde_in_any_order_is_sorted_once(void)
{
    double few = join_horde(HORDE / 4), many = join_horde(HORDE);
    printf("%.2f s, %.2f s\n", few, many);
    CU_ASSERT(many < 9 * few);
}

UNIT_MAIN("record_nodes", CASE(thousands_of_starts_are_read_and_joined),
          CASE(thousands_of_starts_are_changed_and_compared),
          CASE(a_horde_in_any_order_is_sorted_once))
