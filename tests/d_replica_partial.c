/* SPDX-License-Identifier: Apache-2.0
 *
 * Three members that hold some of the sessions each: who gets what, what stays,
 * and what the manager hears. */
#include "config.h"

#include "tests/parts.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <string.h>

enum { SECOND = 1000 };

static struct place end_of(enum place_kind kind, uint64_t stamp, uint64_t node)
{
    struct place p = list_of(stamp, node, 0);

    p.kind = kind;
    p.reason = kind == PLACE_FINAL ? REASON_LOGOUT : REASON_IDLE;
    return p;
}

static int64_t hits_of(struct parts *c, unsigned i, const uint8_t *id)
{
    uint32_t flags;
    struct record *r = parts_copy(c, i, id, &flags);
    int64_t hits = r ? record_get(r, key_text("hits")).number : -1;

    record_unref(&r);
    return hits;
}

static void who_is_not_in_the_place_gets_the_place_only(void)
{
    struct parts *c = parts_new();
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    CU_ASSERT(parts_put_place(c, 0, id, list_of(5, 1, 2)));
    parts_put_copy(c, 0, parts_session(id, 1), 0);
    CU_ASSERT(!parts_same_roots(c, 0, 1) && !parts_same_roots(c, 0, 2));
    CHECK_INT((int64_t)parts_compare(c, 1, 0, false), 1);
    CHECK_INT((int64_t)parts_compare(c, 2, 0, false), 1);
    CU_ASSERT(parts_has_copy(c, 1, id) && !parts_has_copy(c, 2, id));
    CU_ASSERT(places_get(replica_places(c->nodes[2].r), id, &p));
    CHECK_INT((int64_t)parts_compare_all(c), 0);
    CU_ASSERT(parts_same_roots(c, 0, 1) && parts_same_roots(c, 0, 2));
    parts_free(&c);
}

/* Whichever side asks. */
static void a_holder_that_is_not_in_the_list_pushes_by_comparing(void)
{
    for (unsigned puller = 0; puller < 2; puller++) {
        struct parts *c = parts_new();
        uint8_t id[ID_SIZE];

        id_mint(id);
        for (unsigned i = 0; i < NODES; i++)
            parts_put_place(c, i, id, list_of(6, 2, 3));
        parts_put_copy(c, 0, parts_session(id, 1), 0);
        CHECK_INT((int64_t)parts_compare(c, puller, 1 - puller, false), 1);
        CU_ASSERT(parts_has_copy(c, 0, id) && parts_has_copy(c, 1, id));
        CHECK_INT((int64_t)parts_compare(c, 2, 1, false), 1);
        CU_ASSERT(parts_has_copy(c, 2, id));
        CU_ASSERT(!parts_same_roots(c, 0, 1)); /* as long as it has its copy */
        parts_drop_copy(c, 0, id);
        CHECK_INT((int64_t)parts_compare_all(c), 0);
        CU_ASSERT(parts_all_sums_right(c));
        parts_free(&c);
    }
}

static void a_cached_copy_is_nobodys(void)
{
    struct parts *c = parts_new();
    struct replica_item item;
    uint8_t id[ID_SIZE];
    uint32_t flags;

    id_mint(id);
    parts_put_place(c, 0, id, list_of(5, 2, 3));
    parts_put_place(c, 1, id, list_of(5, 2, 3));
    struct record *whole = parts_session(id, 1);
    parts_put_copy(c, 0, record_ref(whole), ENTRY_CACHED);
    CU_ASSERT(parts_same_roots(c, 0, 1));
    CU_ASSERT(!replica_take(c->nodes[0].r, 0, id, &item));
    CU_ASSERT(replica_take(c->nodes[0].r, 2, id, &item) && !item.record);
    /* a change is not for it: there is nothing to which it belongs */
    struct record *delta = delta_add(whole, "hits", 1, c->now.wall, 2);
    CHECK_INT(parts_apply_record(c, 0, 1, delta), REPLICA_STRAY);
    CHECK_INT(hits_of(c, 0, id), 0);
    CHECK_INT((int64_t)c->nodes[0].placed_count, 0);
    /* but when it becomes a holder it has what it heard */
    CHECK_INT(parts_apply_record(c, 0, 1, whole), REPLICA_DONE);
    struct record *now = parts_copy(c, 0, id, &flags);
    CU_ASSERT(now && !(flags & ENTRY_CACHED));
    CHECK_INT(hits_of(c, 0, id), 1);
    CHECK_INT((int64_t)c->nodes[0].placed_count, 1); /* not in its place yet */
    CU_ASSERT(c->nodes[0].placed.stamp == 5 &&
              id_equal(c->nodes[0].placed_id, id));
    CU_ASSERT(parts_all_sums_right(c));
    record_unref(&now);
    record_unref(&delta);
    record_unref(&whole);
    parts_free(&c);
}

static void the_manager_hears_of_places_and_odd_copies(void)
{
    struct parts *c = parts_new();
    struct part *n = &c->nodes[0];
    uint8_t id[ID_SIZE], other[ID_SIZE];

    id_mint(id);
    id_mint(other);
    CHECK_INT(parts_apply_place(c, 0, 1, id, list_of(5, 2, 1)), REPLICA_DONE);
    CHECK_INT((int64_t)n->placed_count, 1);
    CU_ASSERT(n->placed.stamp == 5 && id_equal(n->placed_id, id));
    parts_apply_place(c, 0, 1, id, list_of(5, 2, 1));
    parts_apply_place(c, 0, 1, id, list_of(4, 3, 1));
    CHECK_INT((int64_t)n->placed_count, 1); /* nothing new */
    struct record *r = parts_session(id, 1);
    parts_apply_record(c, 0, 1, r);
    CHECK_INT((int64_t)n->placed_count, 1); /* it is named */
    record_unref(&r);
    r = parts_session(other, 1);
    parts_apply_record(c, 0, 1, r);
    CHECK_INT((int64_t)n->placed_count, 2); /* no place is known */
    CU_ASSERT(n->placed.stamp == 0 && id_equal(n->placed_id, other));
    record_unref(&r);
    CU_ASSERT(parts_put_place(c, 0, id, list_of(9, 1, 2)));
    CHECK_INT((int64_t)n->placed_count, 2); /* it made that itself */
    parts_free(&c);
}

static void what_is_final_does_not_come_back(void)
{
    struct parts *c = parts_new();
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    for (unsigned i = 0; i < 2; i++) {
        parts_put_place(c, i, id, list_of(5, 1, 2));
        parts_put_copy(c, i, parts_session(id, 1), 0);
    }
    /* a copy stays until the manager has dealt with it */
    CHECK_INT(parts_apply_place(c, 0, 2, id, end_of(PLACE_FINAL, 7, 2)),
              REPLICA_DONE);
    CHECK_INT((int64_t)c->nodes[0].placed_count, 1);
    CU_ASSERT(parts_has_copy(c, 0, id) && parts_all_sums_right(c));
    parts_drop_copy(c, 0, id);
    /* who says that it lives hears that it does not */
    struct record *r = parts_session(id, 1);
    CHECK_INT(parts_apply_record(c, 0, 1, r), REPLICA_NEWER);
    CU_ASSERT(!parts_has_copy(c, 0, id));
    CU_ASSERT(places_get(replica_places(c->nodes[1].r), id, &p));
    CHECK_INT(p.kind, PLACE_FINAL);
    CHECK_INT(parts_apply_place(c, 0, 2, id, list_of(99, 3, 1)), REPLICA_NEWER);
    CU_ASSERT(places_get(replica_places(c->nodes[2].r), id, &p));
    CHECK_INT(p.kind, PLACE_FINAL);
    record_unref(&r);
    parts_free(&c);
}

static void what_is_over_may_come_back(void)
{
    struct parts *c = parts_new();
    uint8_t id[ID_SIZE];
    struct place p;

    id_mint(id);
    parts_put_place(c, 0, id, end_of(PLACE_OVER, 7, 2));
    struct record *r = parts_session(id, 1);
    CHECK_INT(parts_apply_record(c, 0, 1, r), REPLICA_DONE);
    CU_ASSERT(parts_has_copy(c, 0, id));
    CHECK_INT(parts_apply_place(c, 0, 1, id, list_of(8, 2, 1)), REPLICA_DONE);
    CU_ASSERT(places_get(replica_places(c->nodes[0].r), id, &p));
    CHECK_INT(p.kind, PLACE_LIST);
    CU_ASSERT(parts_all_sums_right(c));
    record_unref(&r);
    parts_free(&c);
}

static size_t ends_at(struct parts *c, unsigned i)
{
    struct places_counts counts;

    places_counts(replica_places(c->nodes[i].r), &counts);
    return counts.over;
}

static void pass(struct parts *c, int seconds)
{
    while (seconds--) {
        c->now.mono += SECOND;
        c->now.wall += SECOND;
        for (unsigned i = 0; i < NODES; i++)
            replica_tick(c->nodes[i].r, c->now);
    }
}

static void settle(struct parts *c, unsigned i)
{
    replica_settled(c->nodes[i].r, c->now.mono);
    CHECK_INT(replica_settled_at(c->nodes[i].r), c->now.mono);
}

static void an_end_is_forgotten_when_all_have_compared(void)
{
    struct parts *c = parts_new();
    uint8_t id[ID_SIZE];

    id_mint(id);
    for (unsigned i = 0; i < 2; i++)
        parts_put_place(c, i, id, end_of(PLACE_FINAL, 7, 1));
    pass(c, 100);
    CHECK_INT((int64_t)ends_at(c, 0), 1); /* nobody has compared */
    settle(c, 0);
    pass(c, 50);
    CHECK_INT((int64_t)ends_at(c, 0), 1); /* they may ask for it */
    pass(c, 12);
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    CHECK_INT((int64_t)ends_at(c, 1), 1);
    parts_compare(c, 0, 1, true); /* and is not taken again from another */
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    parts_compare(c, 2, 1, true); /* who never heard of it takes it: a joiner */
    CHECK_INT((int64_t)ends_at(c, 2), 1);
    /* what somebody says of himself, now, is news */
    CHECK_INT(parts_apply_place(c, 0, 2, id, end_of(PLACE_FINAL, 7, 1)),
              REPLICA_DONE);
    CHECK_INT((int64_t)ends_at(c, 0), 1);
    settle(c, 0);
    pass(c, 30);
    CHECK_INT((int64_t)ends_at(c, 0), 1); /* not before its reason was told */
    settle(c, 0);
    pass(c, 62);
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    parts_free(&c);
}

static void an_end_stays_while_a_copy_lives(void)
{
    struct parts *c = parts_new();
    uint8_t id[ID_SIZE];

    id_mint(id);
    parts_put_copy(c, 0, parts_session(id, 1), 0);
    parts_put_place(c, 0, id, end_of(PLACE_OVER, 7, 2));
    settle(c, 0);
    pass(c, 70);
    settle(c, 0);
    pass(c, 70);
    CHECK_INT((int64_t)ends_at(c, 0), 1);
    parts_drop_copy(c, 0, id);
    for (int i = 0; i < 3; i++) {
        settle(c, 0);
        pass(c, 70);
    }
    CHECK_INT((int64_t)ends_at(c, 0), 0);
    CU_ASSERT(parts_all_sums_right(c));
    parts_free(&c);
}

static void a_joiner_takes_places_ends_and_its_own(void)
{
    struct parts *c = parts_new();
    uint8_t ids[4][ID_SIZE];

    for (unsigned i = 0; i < 4; i++)
        id_mint(ids[i]);
    for (unsigned i = 0; i < 3; i++) {
        parts_put_place(c, 0, ids[i], list_of(5, 1, i == 2 ? 3 : 2));
        parts_put_copy(c, 0, parts_session(ids[i], 1), 0);
    }
    parts_put_place(c, 0, ids[3], end_of(PLACE_FINAL, 5, 1));
    struct record *r = parts_session(ids[3], 1);
    struct record *end =
        record_end_delta(r, REASON_LOGOUT, NULL, c->now.wall, 1);
    parts_put_copy(c, 0, record_merge(r, end), 0);
    parts_compare(c, 2, 0, true);
    CU_ASSERT(parts_same_roots(c, 2, 0));
    CHECK_INT((int64_t)ends_at(c, 2), 1);
    CU_ASSERT(!parts_has_copy(c, 2, ids[0]) && parts_has_copy(c, 2, ids[2]));
    CU_ASSERT(
        !parts_has_copy(c, 2, ids[3])); /* a tombstone is for its holders */
    record_unref(&end);
    record_unref(&r);
    parts_free(&c);
}

static int released;

static void note_release(struct entry *e)
{
    CU_ASSERT(record_kind(e->record) == RECORD_SESSION);
    released++;
}

static void who_was_away_for_too_long_brings_nothing(void)
{
    struct parts *c = parts_new();
    uint8_t ids[3][ID_SIZE];
    struct places_counts counts;

    for (unsigned i = 0; i < 3; i++) {
        id_mint(ids[i]);
        parts_put_place(c, 0, ids[i], list_of(5, i == 1 ? 2 : 1, 3));
    }
    parts_put_place(c, 1, ids[0], list_of(5, 1, 2));
    parts_put_copy(c, 0, parts_session(ids[0], 1), 0);
    parts_put_copy(c, 0, parts_session(ids[1], 1), ENTRY_CACHED);
    released = 0;
    replica_serve_release(c->nodes[0].r, note_release);
    CHECK_INT((int64_t)replica_drop_all(c->nodes[0].r, REASON_LOST, c->now), 1);
    CHECK_INT(released, 1); /* the copy; the cached one is not dropped */
    places_counts(replica_places(c->nodes[0].r), &counts);
    CHECK_INT((int64_t)(counts.lists + counts.over), 0);
    CU_ASSERT(!parts_has_copy(c, 0, ids[0]));
    CU_ASSERT(replica_root(c->nodes[0].r, 2) == 0);
    CU_ASSERT(replica_root(c->nodes[0].r, 3) == 0);
    CHECK_INT((int64_t)parts_compare(c, 0, 1, true), 1);
    CU_ASSERT(parts_same_roots(c, 0, 1) && parts_all_sums_right(c));
    parts_free(&c);
}

static bool is_idle_at(struct parts *c, unsigned i, const uint8_t *id)
{
    struct table_stripe *stripe = table_lock(c->nodes[i].m->table, id);
    bool idle = table_find(stripe, id)->idle;

    table_unlock(stripe);
    return idle;
}

static void touch_idle(struct parts *c, const uint8_t *id)
{
    struct frame_update u = {.kind = UPDATE_TOUCH,
                             .app = replica_app(c->nodes[0].r),
                             .bytes = id,
                             .len = ID_SIZE};
    uint8_t came[ID_SIZE];
    int64_t newer;

    struct table_stripe *stripe = table_lock(c->nodes[0].m->table, id);
    table_set_idle(stripe, table_find(stripe, id), true);
    table_unlock(stripe);
    c->now.mono += SECOND;
    CHECK_INT(
        replica_apply(c->nodes[0].r, &u, c->now.mono, 2, c->now, came, &newer),
        REPLICA_DONE);
}

/* A use that was on its way for long beats an idle end while its place tells of
 * that. Without a place nobody would ever end it again. */
static void a_late_touch_brings_no_copy_back(void)
{
    struct parts *c = parts_new();
    uint8_t id[ID_SIZE];

    id_mint(id);
    parts_put_place(c, 0, id, end_of(PLACE_OVER, 7, 1));
    parts_put_copy(c, 0, parts_session(id, 1), 0);
    touch_idle(c, id);
    CU_ASSERT(!is_idle_at(c, 0, id));
    places_remove(replica_places(c->nodes[0].r), id);
    touch_idle(c, id);
    CU_ASSERT(is_idle_at(c, 0, id));
    parts_free(&c);
}

static void a_touch_goes_to_the_holders(void)
{
    struct parts *c = parts_new();
    struct part *n = &c->nodes[0];
    uint8_t id[ID_SIZE];

    id_mint(id);
    replica_send_touch(n->r, id, 5);
    CHECK_INT((int64_t)n->sent_count, 0); /* nobody is known to have it */
    parts_put_place(c, 0, id, list_of(5, 1, 3));
    replica_send_touch(n->r, id, 5);
    CHECK_INT((int64_t)n->sent_count, 1);
    CHECK_INT(n->sent.kind, UPDATE_TOUCH);
    CHECK_INT(n->sent.target_count, 2);
    CU_ASSERT(n->sent.targets[0] == 1 && n->sent.targets[1] == 3);
    parts_free(&c);
}

static void a_call_is_handed_to_who_serves(void)
{
    struct parts *c = parts_new();
    struct part *n = &c->nodes[0];
    struct channel_called call = {
        .from = 2, .no = 7, .app = 1, .kind = CALL_PEEK};

    id_mint(call.id);
    replica_called(n->r, &call, c->now);
    CU_ASSERT(n->called_count == 1 && n->reply_count == 0);
    replica_serve(n->r, NULL, NULL, NULL);
    replica_called(n->r, &call, c->now);
    CU_ASSERT(n->called_count == 1 && n->reply_count == 1);
    CHECK_INT(n->reply.answer, CALL_UNAVAILABLE);
    CU_ASSERT(n->reply.to == 2 && n->reply.no == 7);
    CU_ASSERT(id_equal(n->reply.id, call.id));
    parts_free(&c);
}

UNIT_MAIN("replica_partial", CASE(who_is_not_in_the_place_gets_the_place_only),
          CASE(a_holder_that_is_not_in_the_list_pushes_by_comparing),
          CASE(a_cached_copy_is_nobodys),
          CASE(the_manager_hears_of_places_and_odd_copies),
          CASE(what_is_final_does_not_come_back),
          CASE(what_is_over_may_come_back),
          CASE(an_end_is_forgotten_when_all_have_compared),
          CASE(an_end_stays_while_a_copy_lives),
          CASE(a_joiner_takes_places_ends_and_its_own),
          CASE(who_was_away_for_too_long_brings_nothing),
          CASE(a_late_touch_brings_no_copy_back),
          CASE(a_touch_goes_to_the_holders),
          CASE(a_call_is_handed_to_who_serves))
