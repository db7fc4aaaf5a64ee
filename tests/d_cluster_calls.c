/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls, replies and pauses over real sockets: from any thread, and from inside
 * what answers them. */
#include "config.h"

#include "tests/members.h"
#include "tests/records.h"

#include <stdlib.h>
#include <string.h>

static struct channel *channel_of(struct node *n)
{
    return cluster_channel(n->cluster);
}

struct question {
    struct channel_call call; /* first */
    _Atomic int done;
    pthread_t by;
};

static void question_done(struct channel_call *call)
{
    struct question *q = (struct question *)call;

    q->by = pthread_self();
    atomic_fetch_add(&q->done, 1);
}

static void question_init(struct question *q, uint64_t to)
{
    memset(q, 0, sizeof *q);
    q->call.done = question_done;
    q->call.to = to;
    q->call.app = replica_app(nodes[0].replica);
    q->call.kind = CALL_PEEK;
    q->call.deadline = instant_read().mono + PATIENCE_MS;
    id_mint(q->call.id);
}

/* Answers from inside; sends an update, and begins a pause, as well. */
struct aside {
    struct channel_pause pause; /* first */
    struct channel *channel;
    struct channel_reply reply;
};

static void aside_done(struct channel_pause *pause)
{
    struct aside *a = (struct aside *)pause;

    channel_reply(a->channel, &a->reply);
    free(a);
}

static void on_called(void *user, const struct channel_called *call,
                      struct instant now)
{
    struct node *n = user;
    struct aside *a = mem_zero(sizeof *a);
    struct channel_update u = {.kind = UPDATE_TOUCH,
                               .app = call->app,
                               .access = now.mono,
                               .target_count = 1,
                               .targets = {call->from}};

    memcpy(u.id, call->id, ID_SIZE);
    channel_send(channel_of(n), &u, NULL, COPIES_NONE);
    *a = (struct aside){
        .pause.done = aside_done,
        .channel = channel_of(n),
        .reply = {.to = call->from,
                  .no = call->no,
                  .app = call->app,
                  .answer = CALL_ABSENT,
                  .placed = true,
                  .place = {.stamp = call->have, .count = 1, .holders = {5}}},
    };
    memcpy(a->reply.id, call->id, ID_SIZE);
    if (call->have % 2)
        channel_pause(a->channel, &a->pause);
    else
        aside_done(&a->pause);
}

static void two_start(void)
{
    choose_ports();
    for (unsigned i = 0; i < 2; i++) {
        struct node *n = node_prepare(i);
        n->called = on_called;
    }
    for (unsigned i = 0; i < 2; i++)
        CU_ASSERT_FATAL(node_run(&nodes[i]));
    UNTIL(all_ready(2));
}

enum { THREADS = 4, EACH = 100 };

static void *caller(void *arg)
{
    struct question *q = arg;

    for (int i = 0; i < EACH; i++)
        channel_call(channel_of(&nodes[0]), &q[i].call);
    return NULL;
}

static void calls_of_many_threads_are_answered(void)
{
    struct question *q = mem_zero(THREADS * EACH * sizeof *q);
    pthread_t threads[THREADS];
    struct channel_figures f;

    two_start();
    for (int i = 0; i < THREADS * EACH; i++) {
        question_init(&q[i], channel_of(&nodes[1])->node);
        q[i].call.have = (uint64_t)i + 1;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, caller, q + i * EACH);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS * EACH; i++) {
        UNTIL(atomic_load(&q[i].done));
        CHECK_INT(q[i].call.answer, CALL_ABSENT);
        CHECK_INT(q[i].call.place.stamp, i + 1);
        CU_ASSERT(pthread_equal(q[i].by, nodes[0].thread));
    }
    f = figures(&nodes[0]);
    CHECK_INT(f.garbage, 0);
    free(q);
}

struct rest {
    struct channel_pause pause; /* first */
    _Atomic int done;
};

static void rest_done(struct channel_pause *pause)
{
    atomic_fetch_add(&((struct rest *)pause)->done, 1);
}

static void a_stop_answers_all(void)
{
    struct question before, after;
    struct rest early = {.pause.done = rest_done},
                late = {.pause.done = rest_done};
    struct channel *c;

    two_start();
    c = channel_of(&nodes[0]);
    question_init(&before, channel_of(&nodes[1])->node);
    question_init(&after, before.call.to);
    node_end(&nodes[1]);
    channel_call(c, &before.call);
    UNTIL(atomic_load(&before.done));
    CHECK_INT(before.call.answer, CALL_UNAVAILABLE);
    UNTIL(channel_state(c, before.call.to) == MEMBER_GONE);
    channel_pause(c, &early.pause);
    UNTIL(atomic_load(&early.done));
    node_end(&nodes[0]);
    channel_call(c, &after.call);
    channel_pause(c, &late.pause);
    CHECK_INT(atomic_load(&after.done), 1);
    CHECK_INT(after.call.answer, CALL_UNAVAILABLE);
    CHECK_INT(atomic_load(&late.done), 1);
}

UNIT_MAIN_AROUND("cluster_calls", NULL, nodes_release,
                 CASE(calls_of_many_threads_are_answered),
                 CASE(a_stop_answers_all))
