/* SPDX-License-Identifier: Apache-2.0
 *
 * One member asks another, and who is complete where nobody has everything. */
#include "config.h"

#include "tests/cores.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

/* What host 1 was asked. */
struct asked {
    unsigned count;
    struct channel_called last;
    struct record *delta;
};

static void on_called(void *user, const struct channel_called *call,
                      struct instant now)
{
    struct asked *asked = user;

    (void)now;
    asked->count++;
    asked->last = *call;
    if (!call->delta)
        return;
    record_unref(&asked->delta);
    asked->delta = record_ref(call->delta);
}

struct question {
    struct channel_call call; /* first */
    int done;
};

static void question_done(struct channel_call *call)
{
    ((struct question *)call)->done++;
}

static struct net *two(struct asked *asked)
{
    struct net *n = net_new(2);

    *asked = (struct asked){0};
    for (int i = 0; i < 2; i++)
        net_manage_partial(n, i, i ? on_called : NULL, i ? asked : NULL);
    net_pass(n, DROP + 1000);
    return n;
}

static void question_init(struct net *n, struct question *q,
                          enum call_kind kind)
{
    *q = (struct question){
        .call = {.done = question_done,
                 .to = n->hosts[1].channel.node,
                 .app = replica_app(n->hosts[0].partial),
                 .kind = kind,
                 .deadline = n->now.mono + 60000},
    };
    id_mint(q->call.id);
}

static void ask(struct net *n, struct question *q)
{
    core_call(n->hosts[0].core, &q->call, n->now);
}

static void question_release(struct question *q)
{
    record_unref(&q->call.record);
}

static struct channel_reply reply_to(const struct asked *asked,
                                     enum call_answer answer)
{
    struct channel_reply r = {.to = asked->last.from,
                              .no = asked->last.no,
                              .app = asked->last.app,
                              .answer = answer};

    memcpy(r.id, asked->last.id, ID_SIZE);
    return r;
}

static struct record *session(struct net *n, const uint8_t id[ID_SIZE])
{
    struct value inactive = value_number(VALUE_INT, 1800);
    struct changes c;
    struct record *r;

    changes_init(&c);
    changes_set(&c, key_field(FIELD_MAX_INACTIVE), &inactive);
    r = record_new(RECORD_SESSION, id, n->now.wall, &c, 9);
    changes_release(&c);
    return r;
}

static void a_call_is_answered(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question q;

    question_init(n, &q, CALL_FIND);
    q.call.have = 99;
    ask(n, &q);
    net_pass(n, 50);
    CHECK_INT_FATAL(asked.count, 1);
    CHECK_INT(asked.last.from, n->hosts[0].channel.node);
    CHECK_INT(asked.last.kind, CALL_FIND);
    CHECK_INT(asked.last.have, 99);
    CU_ASSERT(id_equal(asked.last.id, q.call.id));
    CHECK_INT(q.done, 0);
    struct channel_reply r = reply_to(&asked, CALL_OK);
    r.record = session(n, q.call.id);
    r.access = n->now.mono - 1234;
    r.placed = true;
    r.place = (struct place){.stamp = 17, .count = 2, .holders = {5, 6}};
    struct record *same = record_ref(r.record);
    core_reply(n->hosts[1].core, &r, n->now);
    net_pass(n, STEP);
    CHECK_INT(q.done, 1);
    CHECK_INT(q.call.answer, CALL_OK);
    CU_ASSERT(q.call.record && record_equal(q.call.record, same));
    CHECK_INT(q.call.access, n->now.mono - 1234);
    CU_ASSERT(q.call.placed && place_equal(&q.call.place, &r.place));
    CHECK_INT(q.call.now.mono, n->now.mono);
    record_unref(&same);
    question_release(&q);
    net_free(&n);
}

static void a_commit_takes_its_delta_along(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question q;

    question_init(n, &q, CALL_COMMIT);
    q.call.delta = session(n, q.call.id);
    ask(n, &q);
    net_pass(n, 50);
    CHECK_INT_FATAL(asked.count, 1);
    CU_ASSERT(asked.delta && record_equal(asked.delta, q.call.delta));
    struct channel_reply r = reply_to(&asked, CALL_ELSEWHERE);
    r.placed = true;
    r.place = (struct place){.stamp = 1, .count = 1, .holders = {5}};
    core_reply(n->hosts[1].core, &r, n->now);
    core_reply(n->hosts[1].core, &r, n->now); /* who answers twice */
    net_pass(n, STEP);
    CHECK_INT(q.done, 1);
    CHECK_INT(q.call.answer, CALL_ELSEWHERE);
    CU_ASSERT(q.call.placed && !q.call.record);
    record_unref(&asked.delta);
    record_unref(&q.call.delta);
    net_free(&n);
}

static void answers_find_their_calls(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question q[20];
    struct channel_reply r[20];

    for (int i = 0; i < 20; i++) {
        question_init(n, &q[i], CALL_PEEK);
        ask(n, &q[i]);
        net_pass(n, STEP);
        r[i] = reply_to(&asked, CALL_ABSENT);
        r[i].placed = true;
        r[i].place = (struct place){
            .stamp = (uint64_t)i + 1, .count = 1, .holders = {5}};
    }
    for (int i = 0; i < 20; i++)
        core_reply(n->hosts[1].core, &r[(i * 7 + 3) % 20], n->now);
    net_pass(n, STEP);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(q[i].done, 1);
        CHECK_INT(q[i].call.place.stamp, i + 1);
    }
    CHECK_INT((int64_t)n->hosts[0].core->call_count, 0);
    net_free(&n);
}

static void check_unavailable(struct question *q)
{
    CHECK_INT(q->done, 1);
    CHECK_INT(q->call.answer, CALL_UNAVAILABLE);
    CU_ASSERT(!q->call.record && !q->call.placed);
}

static void who_is_not_there_is_unavailable_at_once(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question nobody, no_app, cut;

    question_init(n, &nobody, CALL_FIND);
    nobody.call.to = 4711;
    ask(n, &nobody);
    check_unavailable(&nobody);
    question_init(n, &no_app, CALL_FIND);
    no_app.call.app ^= 1;
    ask(n, &no_app);
    net_pass(n, 2 * STEP);
    CHECK_INT(no_app.done, 1);
    CHECK_INT(no_app.call.answer, CALL_LACKS);
    CU_ASSERT(!no_app.call.record && !no_app.call.placed);
    CHECK_INT(asked.count, 0);
    net_cut(n, 0, 1, true);
    question_init(n, &cut, CALL_FIND);
    ask(n, &cut);
    check_unavailable(&cut);
    net_free(&n);
}

static void a_call_ends_with_its_link(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question q[2];

    for (int i = 0; i < 2; i++) {
        question_init(n, &q[i], CALL_FIND);
        ask(n, &q[i]);
    }
    net_pass(n, 50);
    CHECK_INT_FATAL(asked.count, 2);
    net_cut(n, 0, 1, true);
    check_unavailable(&q[0]);
    check_unavailable(&q[1]);
    struct channel_reply r = reply_to(&asked, CALL_OK);
    r.record = session(n, q[1].call.id);
    core_reply(n->hosts[1].core, &r, n->now); /* nobody hears it */
    net_cut(n, 0, 1, false);
    net_pass(n, DROP);
    r.record = session(n, q[1].call.id);
    core_reply(n->hosts[1].core, &r, n->now); /* it comes too late */
    net_pass(n, 50);
    check_unavailable(&q[1]);
    CHECK_INT(n->hosts[0].core->garbage, 0);
    net_free(&n);
}

static void a_call_does_not_wait_for_ever(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question brief, patient, late;

    n->hosts[1].paused = true;
    question_init(n, &brief, CALL_FIND);
    brief.call.deadline = n->now.mono + 200;
    question_init(n, &patient, CALL_FIND);
    ask(n, &brief);
    ask(n, &patient);
    net_pass(n, 150);
    CHECK_INT(brief.done, 0);
    net_pass(n, 100);
    check_unavailable(&brief);
    CHECK_INT(patient.done, 0);
    net_pass(n, DROP); /* it is given up */
    check_unavailable(&patient);
    n->hosts[1].paused = false;
    net_pass(n, 2 * DROP);
    CHECK_INT(asked.count, 2);
    question_init(n, &late, CALL_FIND);
    ask(n, &late);
    core_stop(n->hosts[0].core, n->now);
    check_unavailable(&late);
    late.done = 0;
    ask(n, &late);
    check_unavailable(&late);
    net_free(&n);
}

static void garbage_is_no_answer(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question q;
    uint8_t other[ID_SIZE];

    id_mint(other);
    question_init(n, &q, CALL_FIND);
    ask(n, &q);
    net_pass(n, 50);
    struct channel_reply r = reply_to(&asked, CALL_OK);
    r.record = session(n, other);
    core_reply(n->hosts[1].core, &r, n->now);
    net_pass(n, STEP);
    check_unavailable(&q);
    CHECK_INT(n->hosts[0].core->garbage, 1);
    question_init(n, &q, CALL_FIND);
    ask(n, &q);
    net_pass(n, 50);
    r = reply_to(&asked, CALL_ABSENT);
    memcpy(r.id, other, ID_SIZE);
    r.placed = true;
    r.place = (struct place){.stamp = 1, .count = 1, .holders = {5}};
    core_reply(n->hosts[1].core, &r, n->now);
    net_pass(n, STEP);
    check_unavailable(&q);
    CHECK_INT(n->hosts[0].core->garbage, 2);
    question_init(n, &q, CALL_COMMIT);
    q.call.delta = session(n, other);
    ask(n, &q);
    net_pass(n, 50);
    check_unavailable(&q);
    CHECK_INT(n->hosts[1].core->garbage, 1);
    CHECK_INT(asked.count, 2);
    record_unref(&q.call.delta);
    net_free(&n);
}

static struct record *of_kind(struct net *n, enum record_kind kind,
                              const uint8_t id[ID_SIZE])
{
    struct changes none;

    changes_init(&none);
    return record_new(kind, id, n->now.wall, &none, 9);
}

/* Two records of one id are merged, and a find has no end to write down. */
static void an_answer_fits_its_call(void)
{
    struct asked asked;
    struct net *n = two(&asked);
    struct question q;
    struct channel_reply r;
    uint8_t secret[ID_SIZE] = {7};

    for (int user = 0; user < 2; user++) {
        question_init(n, &q, CALL_FIND);
        if (user)
            id_of_user(secret, "", "ann", 3, q.call.id);
        ask(n, &q);
        net_pass(n, 50);
        r = reply_to(&asked, CALL_OK);
        r.record =
            of_kind(n, user ? RECORD_SESSION : RECORD_USER, asked.last.id);
        core_reply(n->hosts[1].core, &r, n->now);
        net_pass(n, STEP);
        check_unavailable(&q);
        CHECK_INT(n->hosts[0].core->garbage, user + 1);
    }
    question_init(n, &q, CALL_FIND);
    ask(n, &q);
    net_pass(n, 50);
    r = reply_to(&asked, CALL_ENDED);
    struct record *live = session(n, asked.last.id);
    r.record = record_end_delta(live, REASON_LOGOUT, NULL, n->now.wall, 9);
    core_reply(n->hosts[1].core, &r, n->now);
    net_pass(n, STEP);
    check_unavailable(&q);
    CHECK_INT(n->hosts[0].core->garbage, 3);
    record_unref(&live);
    net_free(&n);
}

/* ---- complete ---- */

static struct net *partial_new(int count)
{
    struct net *n = net_new(count);

    for (int i = 0; i < count; i++)
        net_manage_partial(n, i, NULL, NULL);
    return n;
}

static void check_all_answer(struct net *n)
{
    for (int i = 0; i < n->count; i++)
        CU_ASSERT(net_answers(n, i));
}

/* Host 2 starts anew where two have been for long, and has compared with the
 * first; the second greets, and then hears nothing. */
static struct net *half_joined(void)
{
    struct net *n = partial_new(3);

    for (int i = 0; i < 2; i++)
        net_cut(n, i, 2, true);
    net_pass(n, 2 * DROP);
    core_free(&n->hosts[2].core);
    replica_free(&n->hosts[2].partial);
    manager_free(&n->hosts[2].manager);
    net_start(n, 2, 50);
    net_manage_partial(n, 2, NULL, NULL);
    n->hosts[1].deaf = true;
    for (int i = 0; i < 2; i++)
        net_cut(n, i, 2, false);
    net_pass(n, 1500);
    CHECK_INT(net_peer(n, 2, 0)->pulled_for, n->hosts[2].core->stale_no);
    CU_ASSERT(!net_answers(n, 2));
    return n;
}

static void a_joiner_compares_with_everybody(void)
{
    struct net *n = half_joined();

    n->hosts[1].deaf = false;
    net_pass(n, 1500);
    CHECK_INT(net_peer(n, 2, 1)->pulled_for, n->hosts[2].core->stale_no);
    CU_ASSERT(net_answers(n, 2));
    net_free(&n);
}

/* Whom it has compared with may have given it up meanwhile, and acknowledged
 * changes without it. */
static void who_stands_still_while_it_joins_compares_anew(void)
{
    struct net *n = half_joined();
    struct core *joiner = n->hosts[2].core;
    uint64_t compared = joiner->stale_no;

    n->hosts[2].paused = true;
    net_pass(n, 2 * DROP);
    CU_ASSERT(!net_peer(n, 0, 2)->waited);
    n->hosts[2].paused = false;
    core_tick(joiner, n->now);
    CU_ASSERT(joiner->stale_no > compared);
    n->hosts[1].deaf = false;
    net_pass(n, DROP);
    for (int i = 0; i < 2; i++)
        CHECK_INT(net_peer(n, 2, i)->pulled_for, joiner->stale_no);
    CU_ASSERT(net_answers(n, 2));
    net_free(&n);
}

/* It is given up, as one that is silent is. */
static void who_does_not_hear_is_not_waited_for(void)
{
    struct net *n = partial_new(3);

    n->hosts[1].deaf = true;
    net_pass(n, 3 * DROP);
    CU_ASSERT(net_answers(n, 0) && net_answers(n, 2));
    net_free(&n);
}

static void all_that_begin_together_answer(void)
{
    struct net *n = partial_new(HOSTS);

    net_pass(n, 1500);
    check_all_answer(n);
    net_free(&n);
}

static void all_that_were_apart_answer(void)
{
    struct net *n = partial_new(HOSTS);

    net_pass(n, DROP);
    for (int i = 0; i < HOSTS; i++)
        for (int j = 0; j < i; j++)
            net_cut(n, i, j, true);
    net_pass(n, 2 * DROP);
    check_all_answer(n); /* each alone */
    for (int i = 0; i < HOSTS; i++)
        for (int j = 0; j < i; j++)
            net_cut(n, i, j, false);
    net_pass(n, DROP);
    check_all_answer(n);
    for (int i = 0; i < HOSTS; i++)
        for (size_t j = 0; j < n->hosts[i].core->peer_count; j++)
            CHECK_INT(n->hosts[i].core->peers[j]->pulled_for,
                      n->hosts[i].core->stale_no);
    net_free(&n);
}

static void all_that_were_forgotten_answer(void)
{
    struct net *n = partial_new(5);

    net_pass(n, DROP + 1000);
    for (int i = 0; i < 3; i++)
        for (int j = 3; j < 5; j++)
            net_cut(n, i, j, true);
    net_pass(n, FORGET + DROP);
    check_all_answer(n);
    for (int i = 0; i < 3; i++)
        for (int j = 3; j < 5; j++)
            net_cut(n, i, j, false);
    net_pass(n, 2 * DROP);
    check_all_answer(n);
    CU_ASSERT(n->hosts[3].dropped && n->hosts[4].dropped);
    net_free(&n);
}

/* Nobody else has what it had. */
static void a_vector_says_nothing_of_third_members(void)
{
    struct net *n = partial_new(3);
    struct channel_update u = {.kind = UPDATE_TOUCH, .app = 1};

    net_pass(n, DROP + 1000);
    struct peer *source = net_peer(n, 1, 0);
    n->hosts[1].paused = true;
    core_send(n->hosts[2].core, &u, NULL, COPIES_NONE, n->now);
    net_pass(n, 50);
    CHECK_INT(net_peer(n, 0, 2)->applied, 1);
    net_cut(n, 1, 2, true); /* what was on its way to it is lost */
    n->hosts[1].paused = false;
    uint64_t compared = n->hosts[1].core->compared;
    source->compared = source->next_compare = NEVER;
    net_pass(n, 100);
    CU_ASSERT(n->hosts[1].core->compared > compared);
    CU_ASSERT(net_peer(n, 1, 2)->met != NEVER);
    CHECK_INT(net_peer(n, 1, 2)->applied, 0);
    net_cut(n, 1, 2, false);
    net_pass(n, 1500);
    CHECK_INT(net_peer(n, 1, 2)->applied, 1);
    net_free(&n);
}

UNIT_MAIN("core_calls", CASE(a_call_is_answered),
          CASE(a_commit_takes_its_delta_along), CASE(answers_find_their_calls),
          CASE(who_is_not_there_is_unavailable_at_once),
          CASE(a_call_ends_with_its_link), CASE(a_call_does_not_wait_for_ever),
          CASE(garbage_is_no_answer), CASE(an_answer_fits_its_call),
          CASE(a_joiner_compares_with_everybody),
          CASE(who_stands_still_while_it_joins_compares_anew),
          CASE(who_does_not_hear_is_not_waited_for),
          CASE(all_that_begin_together_answer),
          CASE(all_that_were_apart_answer),
          CASE(all_that_were_forgotten_answer),
          CASE(a_vector_says_nothing_of_third_members))
