/* SPDX-License-Identifier: Apache-2.0
 *
 * A store that fails on purpose, around one that does not. Bad weather for
 * tests: by the handle in its options, or from outside the process by a
 * control file that is read at each check. */
#include "config.h"

#include "managers/stores/wrapper.h"
#include "session/buf.h"

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct failing {
    struct wrapper wrapper;
    struct failing_faults *faults;
    unsigned drawn; /* random numbers so far; the store's thread only */
};

struct failing_batch {
    struct store_batch batch;
    struct store_batch *outer;
    struct failing *store;
    /* Puts that the inner store does and of which we say UNCERTAIN. */
    struct store_call *doubtful[STORE_BATCH_MAX];
    unsigned doubtful_count;
    struct store_call *held[STORE_BATCH_MAX];
    unsigned held_count;
};

static store_open_fn failing_open;
static store_close_fn failing_close;
static store_get_fn failing_get;
static store_run_fn failing_run;
static store_expire_fn failing_expire;
static store_check_fn failing_check;
static store_describe_fn failing_describe;

/* --- what fails ----------------------------------------------------------- */

static enum rc failing_say(struct failing *f, enum rc rc, struct err *err)
{
    f->faults->injected++;
    return err_set(err, rc, "made to fail on purpose: %s", rc_text(rc));
}

/* One less of the next N; false when there were none. */
static bool faults_take(atomic_uint *n)
{
    unsigned now = *n;

    while (now && !atomic_compare_exchange_weak(n, &now, now - 1))
        ;
    return now;
}

/* splitmix64 of the seed and of how many were drawn before. */
static uint64_t failing_draw(struct failing *f)
{
    uint64_t z = ((uint64_t)f->faults->seed << 32) + f->drawn++;

    z = (z + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Whether this put fails, and how. */
static bool failing_picks(struct failing *f, unsigned *how)
{
    struct failing_faults *faults = f->faults;
    uint64_t drawn;

    *how = FAILING_UNAVAILABLE;
    if (faults->down)
        return true;
    *how = faults->how;
    if (faults_take(&faults->spare_puts))
        return false;
    if (faults_take(&faults->fail_puts))
        return true;
    if (!faults->percent)
        return false;
    drawn = failing_draw(f);
    *how = (unsigned)(drawn >> 32) % (FAILING_LOST + 1);
    return drawn % 100 < faults->percent;
}

static void failing_delay(const struct failing *f)
{
    unsigned ms = f->faults->delay_ms;
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    if (ms)
        nanosleep(&t, NULL);
}

/* --- the batch ------------------------------------------------------------ */

/* False: it was answered here, and is gone. */
static bool failing_passes_put(struct failing_batch *b, struct store_call *call)
{
    enum rc rc = RC_UNAVAILABLE;
    unsigned how;

    if (!failing_picks(b->store, &how))
        return true;
    if (how == FAILING_LAST)
        b->store->faults->how = FAILING_LOST;
    if (how == FAILING_APPLIED || how == FAILING_LAST) {
        assert(b->doubtful_count < STORE_BATCH_MAX);
        b->doubtful[b->doubtful_count++] = call;
        return true;
    }
    if (how == FAILING_LOST)
        rc = RC_UNCERTAIN;
    if (how == FAILING_TOO_BIG)
        rc = RC_TOOBIG;
    store_batch_answer(b->outer, call, failing_say(b->store, rc, &call->err));
    return false;
}

static bool failing_picks_get(struct failing *f)
{
    return f->faults->down || faults_take(&f->faults->fail_gets);
}

static bool failing_passes_get(struct failing_batch *b, struct store_call *call)
{
    if (!failing_picks_get(b->store))
        return true;
    store_batch_answer(b->outer, call,
                       failing_say(b->store, RC_UNAVAILABLE, &call->err));
    return false;
}

static struct store_call *failing_next(struct store_batch *batch)
{
    struct failing_batch *b = (struct failing_batch *)batch;
    struct store_call *call;
    bool passes;

    do {
        call = store_batch_next(b->outer);
        passes = !call || (call->is_put ? failing_passes_put(b, call)
                                        : failing_passes_get(b, call));
    } while (!passes);
    return call;
}

/* The call is on its way back; returns whether it was doubtful. */
static bool doubtful_take(struct failing_batch *b,
                          const struct store_call *call)
{
    for (unsigned i = 0; i < b->doubtful_count; i++) {
        if (b->doubtful[i] == call) {
            b->doubtful[i] = b->doubtful[--b->doubtful_count];
            return true;
        }
    }
    return false;
}

static void failing_answer(struct store_batch *batch, struct store_call *call,
                           enum rc rc)
{
    struct failing_batch *b = (struct failing_batch *)batch;

    doubtful_take(b, call); /* it was not applied after all */
    if (rc == RC_ABSENT && !call->is_put && b->store->faults->gone)
        call->gone = b->store->faults->gone;
    store_batch_answer(b->outer, call, rc);
}

static void failing_hold(struct store_batch *batch, struct store_call *call)
{
    struct failing_batch *b = (struct failing_batch *)batch;

    if (doubtful_take(b, call))
        b->held[b->held_count++] = call;
    else
        store_batch_hold(b->outer, call);
}

static void failing_settle(struct store_batch *batch, enum rc rc,
                           const struct err *err)
{
    struct failing_batch *b = (struct failing_batch *)batch;
    unsigned count = b->held_count;

    b->held_count = 0;
    store_batch_settle(b->outer, rc, err);
    for (unsigned i = 0; i < count; i++) {
        struct store_call *call = b->held[i];
        enum rc told = rc;
        if (rc == RC_OK)
            told = failing_say(b->store, RC_UNCERTAIN, &call->err);
        else
            call->err = *err;
        store_batch_answer(b->outer, call, told);
    }
}

static void failing_run(struct store_base *base, struct store_batch *outer)
{
    struct failing *f = (struct failing *)base;
    struct store_base *inner = f->wrapper.inner;
    struct failing_batch b = {
        .batch = {.next = failing_next,
                  .answer = failing_answer,
                  .hold = failing_hold,
                  .settle = failing_settle},
        .outer = outer,
        .store = f,
    };

    failing_delay(f);
    inner->ops->run(inner, &b.batch);
    assert(!b.held_count && !b.doubtful_count);
}

static void failing_get(struct store_base *base, struct store_call *call)
{
    struct failing *f = (struct failing *)base;

    failing_delay(f);
    if (failing_picks_get(f))
        call->rc = failing_say(f, RC_UNAVAILABLE, &call->err);
    else
        wrapper_get(base, call);
    if (call->rc == RC_ABSENT && f->faults->gone)
        call->gone = f->faults->gone;
}

static void failing_expire(struct store_base *base, struct instant now,
                           unsigned limit, store_removed_fn *each, void *user)
{
    if (!((struct failing *)base)->faults->down)
        wrapper_expire(base, now, limit, each, user);
}

/* --- the control file ----------------------------------------------------- */

static void failing_obey(struct failing_faults *faults, const char *word)
{
    bool is_applied = strcmp(word, "applied") == 0;
    bool is_lost = strcmp(word, "lost") == 0;

    faults->down = strcmp(word, "down") == 0;
    faults->how = is_applied ? FAILING_APPLIED : FAILING_LOST;
    faults->fail_puts = is_applied || is_lost ? UINT32_MAX : 0;
}

/* A file that is not there says nothing; what is no order means "ok". */
static void failing_read_control(const struct failing *f, const char *path)
{
    char word[16];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return;
    n = read(fd, word, sizeof word - 1);
    close(fd);
    if (n < 0)
        return;
    word[n] = '\0';
    word[strcspn(word, " \r\n")] = '\0';
    failing_obey(f->faults, word);
}

static enum rc failing_check(struct store_base *base, struct err *err)
{
    struct failing *f = (struct failing *)base;
    const struct failing_options *o = base->options;

    if (o->control)
        failing_read_control(f, o->control);
    if (f->faults->down)
        return err_set(err, RC_UNAVAILABLE, "made to be down on purpose");
    return wrapper_check(base, err);
}

/* --- the store ------------------------------------------------------------ */

static enum rc failing_open(struct store_base *base, struct err *err)
{
    struct failing *f = (struct failing *)base;
    const struct failing_options *o = base->options;
    enum rc rc = wrapper_open(base, err);

    if (rc == RC_OK)
        f->faults = o->faults ? o->faults : mem_zero(sizeof *f->faults);
    return rc;
}

static void failing_close(struct store_base *base)
{
    struct failing *f = (struct failing *)base;
    const struct failing_options *o = base->options;

    wrapper_close(base);
    if (!o->faults)
        free(f->faults);
}

static void failing_describe(const struct store_base *base, char *out,
                             size_t size)
{
    wrapper_describe(base, "failing on purpose:", out, size);
}

static const struct option failing_options[] = {
    {.name = "path",
     .kind = OPTION_STRING,
     .offset = offsetof(struct failing_options, wrapper.sqlite.path),
     .help = "of the SQLite file behind it"},
    {.name = "synchronous",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct failing_options, wrapper.sqlite.synchronous),
     .preset = "NORMAL",
     .choices = "NORMAL|FULL",
     .help = "as SQLiteStore has it"},
    {.name = "control",
     .kind = OPTION_STRING,
     .offset = offsetof(struct failing_options, control),
     .help = "for tests: a file that says ok, down, applied or lost, read "
             "four times a second"},
    {0},
};

const struct store_ops store_failing = {
    .name = "FailingStore",
    .summary = "for tests: SQLiteStore that fails when a control file says so",
    .size = sizeof(struct failing),
    .options_size = sizeof(struct failing_options),
    .options = failing_options,
    .flags = STORE_REPLICATES, /* and those of the inner one */
    .examine = wrapper_examine,
    .open = failing_open,
    .close = failing_close,
    .run = failing_run,
    .get = failing_get,
    .expire = failing_expire,
    .list = wrapper_list,
    .check = failing_check,
    .describe = failing_describe,
};
