/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that drives a store: session/store.h over session/store_impl.h.
 *
 * Laws   `lock` guards the queue, the pages, the waiting expiry, the reason and
 *        the flags beside them. It is never held while the store or a done
 *        callback runs, so both may come back in.
 *        `usable` says what the last check found: while it is false nothing
 *        is queued and nothing reaches the store but check.
 *        `ended` is set under the lock with an empty queue: nothing is queued
 *        afterwards, so no call is ever left behind. */
#include "config.h"

#include "managers/store_counts.h"
#include "managers/store_examine.h"
#include "managers/store_parts.h"
#include "managers/store_rows.h"
#include "managers/store_trouble.h"
#include "session/buf.h"
#include "session/store.h"
#include "session/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define STORE_CHECK_MS 250
#define STORE_BACK_OFF_MS 1000

struct expiry {
    bool due;
    struct instant now;
    unsigned limit;
    store_removed_fn *each;
    void *user;
};

struct store {
    struct store_base *base;
    const struct store_ops *ops;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* on the monotonic clock */
    struct store_call *first, **last;
    struct store_page *pages; /* the first is the next */
    struct expiry expiry;
    struct err reason;     /* why it is not usable, */
    bool refused;          /* by a password, or for want of rights */
    struct err get_reason; /* of the last get that failed, untold */
    bool idle, closing, ended;
    int64_t close_by; /* monotonic ms, when closing */

    int64_t next_check; /* the thread's own */
    int64_t check_every;
    atomic_bool usable, suspect;
    struct trouble check, get, put;
    struct rows rows;
    struct store_counts counts;
};

/* The batch that the thread itself gives to the store. */
struct turn {
    struct store_batch batch;
    struct store *store;
    struct store_call *held, **held_last;
    unsigned handed;
    bool failed;    /* a put did */
    bool well_last; /* the last put that was done or failed was done */
    struct err err;
};

static int64_t mono_now(void)
{
    return instant_read().mono;
}

/* --- troubles ------------------------------------------------------------- */

static void store_tell(struct store *s, struct trouble *t,
                       const struct err *err)
{
    trouble_tell(t, s->base->env.log, s->ops->name, err);
}

static void store_is_over(struct store *s, struct trouble *t)
{
    trouble_over(t, s->base->env.log,
                 s->base->label ? s->base->label : s->ops->name);
}

/* What made a get fail is told only where the check does not know better: one
 * cause, one line. */
static void store_get_failed(struct store *s, const struct err *err)
{
    pthread_mutex_lock(&s->lock);
    s->get_reason = *err;
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->suspect, true);
    pthread_cond_signal(&s->wake);
}

static void store_tell_get(struct store *s)
{
    struct err err;

    pthread_mutex_lock(&s->lock);
    err = s->get_reason;
    s->get_reason.text[0] = '\0';
    pthread_mutex_unlock(&s->lock);
    if (err.text[0] && s->usable)
        store_tell(s, &s->get, &err);
}

static void store_row_fails(struct store *s, const struct store_call *call)
{
    rows_tell(&s->rows, s->base->env.log, s->ops->name, call->id, &call->err);
}

static void store_row_well(struct store *s, const struct store_call *call)
{
    rows_over(&s->rows, s->base->env.log, s->ops->name, call->id);
}

/* A store behind a network that is not there is asked less and less often,
 * and not by all who lost it at the same instant: between three and five
 * quarters of a time that doubles. */
static int64_t store_next_check(struct store *s, enum rc rc)
{
    int64_t every = s->check_every;
    uint8_t chance = 0;

    if (rc == RC_OK || !(s->base->flags & STORE_REMOTE)) {
        s->check_every = STORE_CHECK_MS;
        return STORE_CHECK_MS;
    }
    if (getrandom(&chance, 1, 0) != 1)
        chance = 128;
    if (every < STORE_BACK_OFF_MS)
        s->check_every = every * 2;
    return every * 3 / 4 + every * chance / 512;
}

static enum rc store_check(struct store *s, struct err *err)
{
    enum rc rc = RC_OK;

    err->text[0] = '\0';
    atomic_store(&s->suspect, false);
    if (s->ops->check)
        rc = s->ops->check(s->base, err);
    s->next_check = mono_now() + store_next_check(s, rc);
    if (rc == RC_OK) {
        store_is_over(s, &s->check);
        atomic_store(&s->usable, true);
        return rc;
    }
    store_tell(s, &s->check, err); /* who is refused finds the line */
    pthread_mutex_lock(&s->lock);
    s->reason = *err;
    s->refused = rc == RC_ILLEGAL;
    s->get_reason.text[0] = '\0'; /* that was it */
    atomic_store(&s->usable, false);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* --- answers -------------------------------------------------------------- */

static bool is_failure(enum rc rc)
{
    return rc == RC_UNAVAILABLE || rc == RC_UNCERTAIN;
}

static void store_answer(struct store *s, struct store_call *call, enum rc rc)
{
    assert(rc != RC_PENDING);
    if (call->is_put)
        counts_put(&s->counts, rc);
    else
        counts_get(&s->counts, call, rc);
    call->rc = rc;
    call->done(call); /* may free the call */
}

static enum rc store_refuse(struct store *s, struct store_call *call)
{
    pthread_mutex_lock(&s->lock);
    call->err = s->reason;
    call->refused = s->refused;
    pthread_mutex_unlock(&s->lock);
    if (!call->err.text[0])
        err_set(&call->err, RC_UNAVAILABLE, "%s is closed", s->ops->name);
    return call->rc = RC_UNAVAILABLE;
}

static struct store_call *store_take(struct store *s)
{
    struct store_call *call;

    pthread_mutex_lock(&s->lock);
    call = s->first;
    if (call) {
        s->first = call->next;
        if (!s->first)
            s->last = &s->first;
        call->next = NULL;
        s->counts.queued--;
    }
    pthread_mutex_unlock(&s->lock);
    return call;
}

static void store_refuse_all(struct store *s)
{
    struct store_call *call;

    while ((call = store_take(s)))
        store_answer(s, call, store_refuse(s, call));
}

/* --- the batch ------------------------------------------------------------ */

static struct store_call *turn_next(struct store_batch *batch)
{
    struct turn *t = (struct turn *)batch;
    struct store_call *call;

    if (t->handed == STORE_BATCH_MAX)
        return NULL;
    call = store_take(t->store);
    if (call)
        t->handed++;
    return call;
}

static void turn_note(struct turn *t, const struct store_call *call, enum rc rc)
{
    if (call->only_this) {
        store_row_fails(t->store, call);
    } else if (call->is_put && is_failure(rc)) {
        t->failed = true;
        t->well_last = false;
        t->err = call->err;
    } else if (call->is_put) {
        t->well_last = t->well_last || rc == RC_OK;
        store_row_well(t->store, call);
    } else if (is_failure(rc)) {
        store_get_failed(t->store, &call->err);
    } else {
        store_is_over(t->store, &t->store->get);
        store_row_well(t->store, call);
    }
}

static void turn_answer(struct store_batch *batch, struct store_call *call,
                        enum rc rc)
{
    struct turn *t = (struct turn *)batch;

    turn_note(t, call, rc);
    store_answer(t->store, call, rc);
}

static void turn_hold(struct store_batch *batch, struct store_call *call)
{
    struct turn *t = (struct turn *)batch;

    assert(call->is_put && call->new_version);
    *t->held_last = call;
    t->held_last = &call->next;
}

static void turn_settle(struct store_batch *batch, enum rc rc,
                        const struct err *err)
{
    struct turn *t = (struct turn *)batch;
    struct store_call *call = t->held, *next;

    assert(rc == RC_OK || err);
    t->held = NULL;
    t->held_last = &t->held;
    for (; call; call = next) {
        next = call->next;
        call->next = NULL;
        if (rc != RC_OK)
            call->err = *err;
        turn_answer(batch, call, rc);
    }
}

static void store_run(struct store *s)
{
    struct turn t = {
        .batch = {.next = turn_next,
                  .answer = turn_answer,
                  .hold = turn_hold,
                  .settle = turn_settle},
        .store = s,
    };
    struct err err;

    t.held_last = &t.held;
    s->counts.batches++;
    s->ops->run(s->base, &t.batch);
    assert(!t.held);
    /* One cause, one line: the check's own where it knows more. */
    if (t.failed && store_check(s, &err) == RC_OK)
        store_tell(s, &s->put, &t.err);
    if (t.well_last)
        store_is_over(s, &s->put);
}

/* --- expiry --------------------------------------------------------------- */

struct removed {
    struct store *store;
    const struct expiry *job;
};

static void store_removed(void *user, const uint8_t id[16], const void *bytes,
                          size_t len)
{
    struct removed *r = user;

    r->store->counts.expired++;
    if (r->job->each)
        r->job->each(r->job->user, id, bytes, len);
}

static void store_run_expiry(struct store *s)
{
    struct expiry job;

    pthread_mutex_lock(&s->lock);
    job = s->expiry;
    s->expiry.due = false;
    pthread_mutex_unlock(&s->lock);
    if (job.due && s->usable) {
        struct removed r = {.store = s, .job = &job};
        s->ops->expire(s->base, job.now, job.limit, store_removed, &r);
    }
}

void store_expire(struct store *s, struct instant now, unsigned limit,
                  store_removed_fn *each, void *user)
{
    bool wake;

    if ((s->base->flags & STORE_SELF_EXPIRES) || !limit)
        return;
    pthread_mutex_lock(&s->lock);
    s->expiry = (struct expiry){true, now, limit, each, user};
    wake = s->idle;
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->wake);
}

/* --- pages ---------------------------------------------------------------- */

static enum rc page_refuse(struct store *s, struct store_page *page)
{
    pthread_mutex_lock(&s->lock);
    page->err = s->reason;
    page->refused = s->refused;
    pthread_mutex_unlock(&s->lock);
    if (!page->err.text[0])
        err_set(&page->err, RC_UNAVAILABLE, "%s is closed", s->ops->name);
    return page->rc = RC_UNAVAILABLE;
}

/* One at a time: writes do not wait for more than that. */
static void store_run_page(struct store *s)
{
    struct store_page *page;

    pthread_mutex_lock(&s->lock);
    page = s->pages;
    if (page)
        s->pages = page->next;
    pthread_mutex_unlock(&s->lock);
    if (!page)
        return;
    struct store_cursor before = page->cursor;
    if (s->usable)
        page->rc = s->ops->list(s->base, page);
    else
        page_refuse(s, page);
    if (page->rc == RC_ILLEGAL) /* what its check found meanwhile */
        page->rc = RC_UNAVAILABLE;
    if (page->rc != RC_OK) { /* half a page is none */
        page->cursor = before;
        free(page->ids);
        page->ids = NULL;
        page->count = 0;
        page->more = false;
    }
    page->done(page); /* may free it */
}

enum rc store_list(struct store *s, struct store_page *page)
{
    struct store_page **at = &s->pages;
    bool wake = false, refused;

    assert(page->done && page->limit && page->limit <= STORE_PAGE_MAX);
    page->rc = RC_PENDING;
    page->more = page->refused = false;
    page->ids = NULL;
    page->count = page->room = 0;
    page->next = NULL;
    page->err.text[0] = '\0';
    if (!store_lists(s))
        return page->rc = err_set(&page->err, RC_UNSUPPORTED,
                                  "%s cannot list what it keeps", s->ops->name);
    pthread_mutex_lock(&s->lock);
    refused = s->ended || !s->usable;
    if (!refused) {
        while (*at)
            at = &(*at)->next;
        *at = page;
        wake = s->idle;
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->wake);
    return refused ? page_refuse(s, page) : RC_PENDING;
}

bool store_lists(const struct store *s)
{
    return s->base->flags & STORE_LISTS;
}

/* --- the thread ----------------------------------------------------------- */

struct work {
    bool check, run;
};

static void store_out_of_time_locked(struct store *s)
{
    err_set(&s->reason, RC_UNAVAILABLE, "%s is closing", s->ops->name);
    atomic_store(&s->usable, false);
}

/* Waits until there is something to do, at most until the next check. Returns
 * false when the thread has to end. */
static bool store_wait(struct store *s, struct work *work)
{
    struct timespec until = {.tv_sec = s->next_check / 1000,
                             .tv_nsec = s->next_check % 1000 * 1000000};
    bool due = false, go_on;

    pthread_mutex_lock(&s->lock);
    while (!s->first && !s->pages && !s->expiry.due && !s->closing &&
           !s->suspect && !due) {
        s->idle = true;
        due = pthread_cond_timedwait(&s->wake, &s->lock, &until) == ETIMEDOUT;
        s->idle = false;
    }
    if (s->closing && mono_now() >= s->close_by)
        store_out_of_time_locked(s);
    due = due || s->suspect || mono_now() >= s->next_check;
    *work = (struct work){.check = due && !s->closing, .run = s->first};
    go_on = !s->closing || s->first || s->pages;
    s->ended = !go_on;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *store_main(void *arg)
{
    struct store *s = arg;
    struct work work;
    struct err err;

    while (store_wait(s, &work)) {
        if (work.check) {
            store_check(s, &err);
            store_tell_get(s);
        }
        if (!s->usable)
            store_refuse_all(s);
        else if (work.run)
            store_run(s);
        store_run_page(s);
        store_run_expiry(s);
    }
    return NULL;
}

/* Signals are for the threads that expect them. */
static void store_start_thread(struct store *s)
{
    sigset_t all, old;
    int n;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    n = pthread_create(&s->thread, NULL, store_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (n) {
        fputs("margay: cannot create a thread\n", stderr);
        abort();
    }
    pthread_setname_np(s->thread, "store");
}

/* --- the caller's view ---------------------------------------------------- */

static struct store *store_new(const struct store_ops *ops, const void *options,
                               const struct store_env *env)
{
    struct store *s = mem_zero(sizeof *s);
    pthread_condattr_t attr;

    s->ops = ops;
    s->check_every = STORE_CHECK_MS;
    s->base = mem_zero(ops->size);
    *s->base = (struct store_base){
        .ops = ops, .options = options, .env = *env, .flags = ops->flags};
    s->last = &s->first;
    trouble_init(&s->check, "", "can be used");
    trouble_init(&s->get, ": reading fails", "can be read again");
    trouble_init(&s->put, ": writing fails", "can be written again");
    rows_init(&s->rows);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    return s;
}

static void store_free(struct store *s)
{
    trouble_release(&s->check);
    trouble_release(&s->get);
    trouble_release(&s->put);
    rows_release(&s->rows);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->base);
    free(s);
}

static void store_begin_end(struct store *s, int grace_ms)
{
    pthread_mutex_lock(&s->lock);
    assert(!s->closing);
    s->closing = true;
    s->close_by = mono_now() + grace_ms;
    pthread_mutex_unlock(&s->lock);
    pthread_cond_signal(&s->wake);
}

/* What completes in one may still submit to another: none goes away before all
 * have ended. */
static void parts_end(struct store *s, int grace_ms)
{
    struct store_base *base = s->base;

    for (unsigned i = 0; i < base->part_count; i++)
        store_begin_end(base->parts[i], grace_ms);
    for (unsigned i = 0; i < base->part_count; i++)
        pthread_join(base->parts[i]->thread, NULL);
    for (unsigned i = 0; i < base->part_count; i++) {
        struct store *part = base->parts[i];
        part->ops->close(part->base);
        store_free(part);
    }
    base->part_count = 0;
}

enum rc store_open(const struct store_ops *ops, const void *options,
                   const struct store_env *env, struct store **out,
                   struct err *err)
{
    struct store *s;
    struct err why;
    enum rc rc;

    store_assert_ops(ops, ops->flags);
    assert(env->app && *env->app);
    rc = store_examine(ops, options, env, err);
    if (rc != RC_OK && rc != RC_ILLEGAL)
        return rc;
    s = store_new(ops, options, env);
    rc = ops->open(s->base, &why);
    if (rc != RC_OK)
        goto refused;
    store_assert_ops(ops, s->base->flags);
    rc = s->base->parts ? RC_OK : store_check(s, &why);
    if (env->min_replicas && !(s->base->flags & STORE_REPLICATES))
        rc = err_set(&why, RC_INVALID,
                     "minReplicas=\"%u\": %s has no replicas; leave it out",
                     env->min_replicas, ops->name);
    if (rc == RC_INVALID) {
        parts_end(s, 0);
        ops->close(s->base);
        goto refused;
    }
    if (!s->base->parts)
        store_start_thread(s);
    *out = s;
    return RC_OK;
refused:
    store_free(s);
    return err_set(err, rc, "%s", why.text);
}

void store_close(struct store **store, int grace_ms)
{
    struct store *s = *store;

    if (!s)
        return;
    *store = NULL;
    if (s->base->parts) {
        parts_end(s, grace_ms);
    } else {
        store_begin_end(s, grace_ms);
        pthread_join(s->thread, NULL);
    }
    s->ops->close(s->base);
    store_free(s);
}

/* The store itself, or its part that keeps this id. */
static struct store *store_of(const struct store *s, const uint8_t id[16])
{
    const struct store_base *base = s->base;

    return base->parts ? base->parts[s->ops->part_of(base, id)]
                       : (struct store *)(uintptr_t)s;
}

static void call_reset(struct store_call *call, bool is_put)
{
    call->rc = RC_PENDING;
    call->unchanged = call->refused = false;
    call->only_this = call->newer = false;
    call->new_version = 0;
    call->found = NULL;
    call->found_len = 0;
    call->gone = REASON_UNKNOWN;
    call->err.text[0] = '\0';
    call->next = NULL;
    call->is_put = is_put;
}

static enum rc store_submit(struct store *s, struct store_call *call)
{
    bool wake = false, refused;

    assert(call->done);
    pthread_mutex_lock(&s->lock);
    refused = s->ended || !s->usable;
    if (!refused) {
        *s->last = call;
        s->last = &call->next;
        s->counts.queued++;
        wake = s->idle;
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        pthread_cond_signal(&s->wake);
    return refused ? store_refuse(s, call) : RC_PENDING;
}

static enum rc store_get_inline(struct store *s, struct store_call *call)
{
    s->ops->get(s->base, call);
    assert(call->rc != RC_PENDING);
    if (call->only_this) {
        store_row_fails(s, call);
    } else if (is_failure(call->rc)) {
        store_get_failed(s, &call->err);
    } else {
        store_is_over(s, &s->get);
        store_row_well(s, call);
    }
    return call->rc;
}

static enum rc store_get_perhaps(struct store *s, struct store_call *call)
{
    if (s->base->flags & STORE_READS_PERHAPS)
        s->ops->get(s->base, call);
    return call->rc == RC_PENDING ? store_submit(s, call) : call->rc;
}

enum rc store_get(struct store *store, struct store_call *call)
{
    struct store *s = store_of(store, call->id);
    enum rc rc;

    call_reset(call, false);
    if (!s->usable)
        rc = store_refuse(s, call);
    else if (s->base->flags & STORE_READS_INLINE)
        rc = store_get_inline(s, call);
    else
        rc = store_get_perhaps(s, call);
    if (rc != RC_PENDING)
        counts_get(&s->counts, call, rc);
    return rc;
}

enum rc store_put(struct store *store, struct store_call *call)
{
    struct store *s = store_of(store, call->id);
    enum rc rc;

    call_reset(call, true);
    rc = store_submit(s, call);
    if (rc != RC_PENDING)
        counts_put(&s->counts, rc);
    return rc;
}

bool store_reads_inline(const struct store *s)
{
    return s->base->flags & STORE_READS_INLINE;
}

bool store_forgets(const struct store *s)
{
    return s->base->flags & STORE_FORGETS;
}

bool store_is_split(const struct store *s)
{
    return s->base->part_count > 1;
}

bool store_usable(const struct store *s, const uint8_t id[16])
{
    return store_of(s, id)->usable;
}

void store_stats(struct store *s, struct store_stats *out)
{
    if (s->base->parts) {
        parts_stats(s->base, out);
        return;
    }
    counts_show(&s->counts, out);
    out->available = s->usable && !s->get.on && !s->put.on;
}

const char *store_name(const struct store *s)
{
    return s->ops->name;
}

const char *store_describe(const struct store *s, char *out, size_t size)
{
    if (s->ops->describe)
        s->ops->describe(s->base, out, size);
    else
        snprintf(out, size, "%s", s->ops->name);
    return out;
}
