/* SPDX-License-Identifier: Apache-2.0
 *
 * A store that logs what passes to and from the store that it wraps. */
#include "config.h"

#include "managers/stores/wrapper.h"

#include <inttypes.h>
#include <stddef.h>

struct tracing_batch {
    struct store_batch batch;
    struct store_batch *outer;
    struct store_base *base;
    unsigned held;
};

static store_get_fn tracing_get;
static store_run_fn tracing_run;
static store_expire_fn tracing_expire;
static store_describe_fn tracing_describe;

static void trace_call(struct store_base *base, const struct store_call *call,
                       const char *answer)
{
    char id[LOG_ID_SIZE];

    if (call->is_put)
        log_line(base->env.log, LOG_INFO, "store",
                 "put %s version %" PRIu64 ", %zu bytes: %s, version %" PRIu64,
                 log_id(id, call->id), call->version, call->len, answer,
                 call->new_version);
    else
        log_line(base->env.log, LOG_INFO, "store",
                 "get %s version %" PRIu64 ": %s%s, version %" PRIu64
                 ", %zu bytes",
                 log_id(id, call->id), call->version, answer,
                 call->unchanged ? " unchanged" : "", call->new_version,
                 call->found_len);
}

static void tracing_get(struct store_base *base, struct store_call *call)
{
    wrapper_get(base, call);
    trace_call(base, call, rc_name(call->rc));
}

static struct store_call *tracing_next(struct store_batch *batch)
{
    return store_batch_next(((struct tracing_batch *)batch)->outer);
}

static void tracing_answer(struct store_batch *batch, struct store_call *call,
                           enum rc rc)
{
    struct tracing_batch *t = (struct tracing_batch *)batch;

    trace_call(t->base, call, rc_name(rc));
    store_batch_answer(t->outer, call, rc);
}

static void tracing_hold(struct store_batch *batch, struct store_call *call)
{
    struct tracing_batch *t = (struct tracing_batch *)batch;

    trace_call(t->base, call, "held");
    t->held++;
    store_batch_hold(t->outer, call);
}

static void tracing_settle(struct store_batch *batch, enum rc rc,
                           const struct err *err)
{
    struct tracing_batch *t = (struct tracing_batch *)batch;

    log_line(t->base->env.log, LOG_INFO, "store", "batch of %u puts: %s%s%s",
             t->held, rc_name(rc), err ? ": " : "", err ? err->text : "");
    t->held = 0;
    store_batch_settle(t->outer, rc, err);
}

static void tracing_run(struct store_base *base, struct store_batch *outer)
{
    struct store_base *inner = ((struct wrapper *)base)->inner;
    struct tracing_batch t = {
        .batch = {.next = tracing_next,
                  .answer = tracing_answer,
                  .hold = tracing_hold,
                  .settle = tracing_settle},
        .outer = outer,
        .base = base,
    };

    inner->ops->run(inner, &t.batch);
}

static void tracing_expire(struct store_base *base, struct instant now,
                           unsigned limit, store_removed_fn *each, void *user)
{
    log_line(base->env.log, LOG_INFO, "store", "expire, at most %u", limit);
    wrapper_expire(base, now, limit, each, user);
}

static void tracing_describe(const struct store_base *base, char *out,
                             size_t size)
{
    wrapper_describe(base, "tracing", out, size);
}

static const struct option tracing_options[] = {
    {.name = "path",
     .kind = OPTION_STRING,
     .offset = offsetof(struct tracing_options, wrapper.sqlite.path),
     .help = "of the SQLite file that is traced"},
    {.name = "synchronous",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct tracing_options, wrapper.sqlite.synchronous),
     .preset = "NORMAL",
     .choices = "NORMAL|FULL",
     .help = "as SQLiteStore has it"},
    {0},
};

const struct store_ops store_tracing = {
    .name = "TracingStore",
    .summary = "SQLiteStore with a log line for each call, to learn from",
    .size = sizeof(struct wrapper),
    .options_size = sizeof(struct tracing_options),
    .options = tracing_options,
    .flags = STORE_REPLICATES, /* and those of the inner one */
    .examine = wrapper_examine,
    .open = wrapper_open,
    .close = wrapper_close,
    .run = tracing_run,
    .get = tracing_get,
    .expire = tracing_expire,
    .list = wrapper_list,
    .check = wrapper_check,
    .describe = tracing_describe,
};
