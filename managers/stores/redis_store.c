/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions in Redis, shared by whoever reaches it.
 *
 * Laws
 * - A row is one string: eight bytes of version, then the bytes.
 * - A batch is a pipeline: gets (GETRANGE of the version alone where the
 *   caller holds a copy; the row follows in a second write when it is another)
 *   and puts (the script below by its SHA1), then, with minReplicas, one WAIT.
 *   A put is done when the WAIT behind it says so.
 * - A refusal did nothing: the script writes once, and last. So a put that was
 *   refused is UNAVAILABLE; one without an answer is UNCERTAIN.
 * - With validate="tracking" a read asks nothing while the version that the
 *   caller holds is known to be stored still (redis_track.h). A write compares
 *   in Redis all the same.
 * - A list is a SCAN over the keys with our prefix. It is good for one
 *   connection, since what SCAN says of where it is may mean nothing to another
 * server. An id may come twice; none that stays is missed.
 * - A row lives as long from now on as our clock says, not until an instant by
 *   the clock of Redis: that one may be wrong. */
#include "config.h"

#include "managers/stores/listing.h"
#include "managers/stores/redis.h"
#include "managers/stores/redis_keys.h"
#include "managers/stores/redis_track.h"
#include "managers/stores/stores.h"
#include "managers/stores/versions.h"
#include "session/buf.h"
#include "session/store_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_SIZE 8
/* What one pipeline may hold: its bytes are copied. */
#define PIPELINE_BYTES (4u << 20)
/* Later than that is never. */
#define FOREVER_MS (INT64_C(90) * 365 * 24 * 3600 * 1000)

/* Is the stored version ("" without a row) the one that is expected? Then the
 * new row, with its life in milliseconds or 0. Answers 1: done, 0: no row,
 * else the row that is there. An empty string is none of ours. */
static const char redis_script[] =
    "local v = redis.call('GETRANGE', KEYS[1], 0, 7)\n"
    "if v == '' and redis.call('GET', KEYS[1]) then\n"
    "  return redis.error_reply('WRONGTYPE an empty string')\n"
    "end\n"
    "if v == ARGV[1] then\n"
    "  if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])\n"
    "  else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end\n"
    "  return 1\n"
    "end\n"
    "if v == '' then return 0 end\n"
    "return redis.call('GET', KEYS[1])\n";

/* What a call asks next. */
enum step { STEP_VERSION, STEP_ROW, STEP_PUT, STEP_PUT_WHOLE };

struct item {
    struct store_call *call; /* NULL: answered or held */
    enum step step;
    uint64_t ticket; /* of track_asks */
};

struct redis_store {
    struct store_base base;
    struct redis_url url;
    struct redis_link link;
    struct redis_keys keys;
    struct track *track; /* NULL: validate="version" */
    int64_t timeout_ms;

    /* of the batch that runs */
    struct item items[STORE_BATCH_MAX];
    unsigned count;
    char *row; /* a row that is about to be sent */
    size_t row_cap;

    struct versions versions;
};

static store_open_fn redis_store_open;
static store_close_fn redis_store_close;
static store_get_fn redis_store_get;
static store_run_fn redis_store_run;
static store_list_fn redis_store_list;
static store_check_fn redis_store_check;
static store_describe_fn redis_store_describe;

/* --- rows ----------------------------------------------------------------- */

static void version_write(void *bytes, uint64_t v)
{
    uint8_t *out = bytes;

    for (int i = VERSION_SIZE - 1; i >= 0; i--, v >>= 8)
        out[i] = (uint8_t)v;
}

static uint64_t version_read(const void *bytes)
{
    const uint8_t *in = bytes;
    uint64_t v = 0;

    for (int i = 0; i < VERSION_SIZE; i++)
        v = v << 8 | in[i];
    return v;
}

/* --- asking --------------------------------------------------------------- */

static struct redis_word word(const char *text)
{
    return (struct redis_word){text, strlen(text)};
}

static void ask_version(struct redis_store *s, const struct store_call *call)
{
    struct redis_word words[] = {
        word("GETRANGE"), redis_key(&s->keys, call->id), word("0"), word("7")};

    redis_add(s->link.redis, words, 4);
}

static void ask_row(struct redis_store *s, const struct store_call *call)
{
    struct redis_word words[] = {word("GET"), redis_key(&s->keys, call->id)};

    redis_add(s->link.redis, words, 2);
}

static struct redis_word row_of(struct redis_store *s,
                                const struct store_call *call)
{
    size_t len = VERSION_SIZE + call->len;

    if (len > s->row_cap) {
        s->row_cap = len * 2;
        s->row = mem_resize(s->row, s->row_cap);
    }
    version_write(s->row, call->new_version);
    if (call->len)
        memcpy(s->row + VERSION_SIZE, call->bytes, call->len);
    return (struct redis_word){s->row, len};
}

static void life_write(char out[24], const struct store_call *call)
{
    int64_t life = call->expiry - instant_read().wall;

    if (life > FOREVER_MS)
        life = 0;
    else if (life < 1)
        life = 1;
    snprintf(out, 24, "%" PRId64, life);
}

static void ask_put(struct redis_store *s, struct store_call *call, bool whole)
{
    char expected[VERSION_SIZE], life[24];

    if (!call->new_version)
        call->new_version = versions_next(&s->versions);
    version_write(expected, call->version);
    life_write(life, call);
    struct redis_word words[] = {word(whole ? "EVAL" : "EVALSHA"),
                                 word(whole ? redis_script : s->link.sha),
                                 word("1"),
                                 redis_key(&s->keys, call->id),
                                 {expected, call->version ? VERSION_SIZE : 0},
                                 row_of(s, call),
                                 word(life)};
    redis_add(s->link.redis, words, 7);
}

static void item_track(struct redis_store *s, struct item *item)
{
    const uint8_t *id = item->call->id;

    if (item->call->is_put)
        track_writes(s->track, id);
    else
        item->ticket = track_asks(s->track, &s->link, id);
}

static void item_ask(struct redis_store *s, struct item *item)
{
    if (s->track)
        item_track(s, item);
    switch (item->step) {
    case STEP_VERSION:
        ask_version(s, item->call);
        break;
    case STEP_ROW:
        ask_row(s, item->call);
        break;
    case STEP_PUT:
    case STEP_PUT_WHOLE:
        ask_put(s, item->call, item->step == STEP_PUT_WHOLE);
        break;
    }
}

/* --- answers -------------------------------------------------------------- */

static void item_answer(struct store_batch *batch, struct item *item,
                        enum rc rc)
{
    struct store_call *call = item->call;

    item->call = NULL;
    if (rc == RC_UNAVAILABLE)
        call->new_version = 0;
    store_batch_answer(batch, call, rc);
}

/* Refused, perhaps for what is in the place of that row alone. */
static enum rc call_refused(struct redis_store *s,
                            const struct redis_reply *reply,
                            struct store_call *call)
{
    call->only_this = redis_refused(reply, "WRONGTYPE");
    return redis_link_refused(&s->link, reply, &call->err);
}

static enum rc row_show(struct redis_store *s, const struct redis_reply *reply,
                        struct store_call *call)
{
    call->only_this = reply->len < VERSION_SIZE;
    if (call->only_this)
        return err_set(&call->err, RC_UNAVAILABLE,
                       "Redis at %s:%u: a key of ours holds something that is "
                       "not ours",
                       s->link.at.name, s->link.at.port);
    call->new_version = version_read(reply->text);
    call->found_len = reply->len - VERSION_SIZE;
    call->found = mem_alloc(call->found_len + 1);
    memcpy(call->found, reply->text + VERSION_SIZE, call->found_len);
    return RC_OK;
}

static enum rc row_found(struct redis_store *s, struct item *item,
                         const struct redis_reply *reply)
{
    struct store_call *call = item->call;

    if (reply->kind == REDIS_NOTHING)
        return RC_ABSENT;
    if (reply->kind != REDIS_TEXT)
        return call_refused(s, reply, call);
    return row_show(s, reply, call);
}

/* RC_PENDING: another step follows. */
static enum rc version_found(struct redis_store *s, struct item *item,
                             const struct redis_reply *reply)
{
    struct store_call *call = item->call;

    if (reply->kind != REDIS_TEXT)
        return call_refused(s, reply, call);
    if (reply->len == VERSION_SIZE &&
        version_read(reply->text) == call->version) {
        call->unchanged = true;
        call->new_version = call->version;
        return RC_OK;
    }
    item->step = STEP_ROW;
    return RC_PENDING;
}

static enum rc put_answered(struct redis_store *s, struct item *item,
                            const struct redis_reply *reply)
{
    struct store_call *call = item->call;
    enum rc rc;

    if (reply->kind == REDIS_NUMBER)
        return reply->number ? RC_OK : RC_ABSENT;
    if (reply->kind == REDIS_TEXT) {
        rc = row_show(s, reply, call);
        return rc == RC_OK ? RC_CONFLICT : rc;
    }
    if (redis_refused(reply, "NOSCRIPT") && item->step == STEP_PUT) {
        item->step = STEP_PUT_WHOLE; /* that loads it, too */
        return RC_PENDING;
    }
    return call_refused(s, reply, call);
}

static void item_replied(struct redis_store *s, struct store_batch *batch,
                         struct item *item, const struct redis_reply *reply)
{
    struct store_call *call = item->call;
    enum rc rc;

    if (call->is_put)
        rc = put_answered(s, item, reply);
    else if (item->step == STEP_VERSION)
        rc = version_found(s, item, reply);
    else
        rc = row_found(s, item, reply);
    if (rc == RC_PENDING)
        return;
    if (s->track && rc == RC_OK && !call->is_put)
        track_learns(s->track, call->id, item->ticket, call->new_version);
    if (call->is_put && rc == RC_OK) {
        item->call = NULL;
        store_batch_hold(batch, call);
    } else {
        if (rc == RC_ABSENT)
            call->new_version = 0;
        item_answer(batch, item, rc);
    }
}

/* --- batches -------------------------------------------------------------- */

static unsigned min_replicas(const struct redis_store *s)
{
    return s->base.env.min_replicas;
}

/* Nothing reaches a master that has not the replicas it takes. */
static bool lacks_replicas(const struct redis_store *s, struct err *err)
{
    if (s->link.replicas >= min_replicas(s))
        return false;
    err_set(err, RC_UNAVAILABLE,
            "Redis at %s:%u has fewer replicas than minReplicas=\"%u\" asks "
            "for",
            s->link.at.name, s->link.at.port, min_replicas(s));
    return true;
}

static void item_begin(struct redis_store *s, struct store_batch *batch,
                       struct store_call *call)
{
    struct item *item = &s->items[s->count];

    *item = (struct item){.call = call};
    if (call->is_put && lacks_replicas(s, &call->err)) {
        item_answer(batch, item, RC_UNAVAILABLE);
        return;
    }
    s->count++;
    if (call->is_put) {
        call->new_version = 0;
        item->step = STEP_PUT;
    } else {
        item->step = call->version ? STEP_VERSION : STEP_ROW;
    }
    item_ask(s, item);
}

/* Adds what is queued to the pipeline; false when that is nothing. */
static bool redis_take(struct redis_store *s, struct store_batch *batch)
{
    struct store_call *call;

    s->count = 0;
    while (s->count < STORE_BATCH_MAX &&
           redis_waiting(s->link.redis) < PIPELINE_BYTES &&
           (call = store_batch_next(batch)))
        item_begin(s, batch, call);
    return s->count > 0;
}

/* One WAIT for all puts before it in the pipeline. */
static void ask_wait(struct redis_store *s, int64_t deadline)
{
    char count[16], ms[24];
    int64_t left = deadline - instant_read().mono;

    snprintf(count, sizeof count, "%u", min_replicas(s));
    snprintf(ms, sizeof ms, "%" PRId64, left > 3 ? left * 2 / 3 : 1);
    redis_say(s->link.redis, "WAIT", count, ms, NULL);
}

static enum rc wait_answered(struct redis_store *s, int64_t deadline,
                             struct err *err)
{
    struct redis_reply reply;
    enum rc rc = redis_next(s->link.redis, deadline, &reply, err);

    if (rc == RC_OK && reply.kind != REDIS_NUMBER)
        rc = redis_link_refused(&s->link, &reply, err);
    if (rc != RC_OK)
        return RC_UNCERTAIN;
    if (reply.number >= min_replicas(s))
        return RC_OK;
    return err_set(err, RC_UNCERTAIN,
                   "Redis at %s:%u: fewer replicas than "
                   "minReplicas=\"%u\" have confirmed a write in time",
                   s->link.at.name, s->link.at.port, min_replicas(s));
}

/* The connection failed: what has no answer. */
static void redis_lose(struct redis_store *s, struct store_batch *batch,
                       unsigned from, const struct err *err)
{
    bool has_sent = redis_has_sent(s->link.redis);

    for (unsigned i = 0; i < s->count; i++) {
        struct item *item = &s->items[i];
        if (!item->call)
            continue;
        item->call->err = *err;
        /* Before `from` it was answered that it was not done. */
        item_answer(batch, item,
                    item->call->is_put && has_sent && i >= from
                        ? RC_UNCERTAIN
                        : RC_UNAVAILABLE);
    }
}

/* Reads what was asked; afterwards an item with a call has a step to go. */
static enum rc redis_read(struct redis_store *s, struct store_batch *batch,
                          int64_t deadline, struct err *err)
{
    struct redis_reply reply;
    enum rc rc;

    for (unsigned i = 0; i < s->count; i++) {
        if (!s->items[i].call)
            continue;
        rc = redis_next(s->link.redis, deadline, &reply, err);
        if (rc != RC_OK) {
            redis_lose(s, batch, i, err);
            return rc;
        }
        item_replied(s, batch, &s->items[i], &reply);
    }
    return RC_OK;
}

static bool any_put(const struct redis_store *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->items[i].call && s->items[i].call->is_put)
            return true;
    return false;
}

/* One pipeline: what was added, and the WAIT. */
static enum rc redis_round(struct redis_store *s, struct store_batch *batch,
                           int64_t deadline, struct err *err)
{
    bool waits = any_put(s) && min_replicas(s) > 0;
    enum rc rc, settled = RC_OK;

    if (waits)
        ask_wait(s, deadline);
    rc = redis_read(s, batch, deadline, err);
    if (waits)
        settled = rc == RC_OK ? wait_answered(s, deadline, err) : RC_UNCERTAIN;
    store_batch_settle(batch, settled, err);
    return rc;
}

static bool redis_ask_again(struct redis_store *s)
{
    bool any = false;

    for (unsigned i = 0; i < s->count; i++) {
        if (!s->items[i].call)
            continue;
        item_ask(s, &s->items[i]);
        any = true;
    }
    return any;
}

static void redis_refuse(struct store_batch *batch, const struct err *err)
{
    struct store_call *call;

    while ((call = store_batch_next(batch))) {
        call->err = *err;
        store_batch_answer(batch, call, RC_UNAVAILABLE);
    }
}

static enum rc redis_store_check(struct store_base *base, struct err *err)
{
    struct redis_store *s = (struct redis_store *)base;
    int64_t since = instant_read().mono;
    enum rc rc = redis_link_check(&s->link, s->timeout_ms, err);

    if (s->track)
        track_follow(s->track, &s->link, since, s->timeout_ms / 2);
    return rc;
}

static enum rc redis_ready(struct redis_store *s, struct err *err)
{
    if (s->link.redis && redis_is_open(s->link.redis))
        return RC_OK;
    return redis_store_check(&s->base, err);
}

static void redis_store_run(struct store_base *base, struct store_batch *batch)
{
    struct redis_store *s = (struct redis_store *)base;
    int64_t since, deadline;
    struct err err;
    enum rc rc = redis_ready(s, &err);

    if (rc != RC_OK) {
        redis_refuse(batch, &err);
        return;
    }
    since = instant_read().mono;
    deadline = since + s->timeout_ms;
    if (!redis_take(s, batch))
        return;
    do
        rc = redis_round(s, batch, deadline, &err);
    while (rc == RC_OK && redis_ask_again(s));
    if (rc != RC_OK)
        redis_link_drop(&s->link);
    if (s->track)
        track_heard(s->track, &s->link, since);
}

/* RC_PENDING, as it was: Redis must be asked. */
static void redis_store_get(struct store_base *base, struct store_call *call)
{
    struct redis_store *s = (struct redis_store *)base;

    if (!call->version || !track_knows(s->track, call->id, call->version))
        return;
    call->unchanged = true;
    call->new_version = call->version;
    call->rc = RC_OK;
}

/* --- listing -------------------------------------------------------------- */

static void ask_scan(struct redis_store *s, uint64_t at, unsigned count)
{
    char cursor[24], many[16];

    snprintf(cursor, sizeof cursor, "%" PRIu64, at);
    snprintf(many, sizeof many, "%u", count);
    struct redis_word words[] = {word("SCAN"),  word(cursor),
                                 word("MATCH"), redis_key_pattern(&s->keys),
                                 word("COUNT"), word(many)};
    redis_add(s->link.redis, words, 6);
}

/* One step of it; *at is where the next one begins, 0 at the end. */
static enum rc redis_scan(struct redis_store *s, struct store_page *page,
                          uint64_t *at, int64_t deadline)
{
    struct redis_reply reply, next, keys;
    uint8_t id[16];
    char *end = NULL;

    ask_scan(s, *at, page->limit);
    enum rc rc = redis_next(s->link.redis, deadline, &reply, &page->err);
    if (rc != RC_OK) {
        redis_link_drop(&s->link);
        return rc;
    }
    next = redis_element(&reply, 0);
    keys = redis_element(&reply, 1);
    if (next.kind == REDIS_TEXT && keys.kind == REDIS_LIST)
        *at = strtoull(next.text, &end, 10);
    if (!end || end == next.text || *end)
        return redis_link_refused(&s->link, &reply, &page->err);
    for (size_t i = 0; i < keys.len; i++) {
        struct redis_reply key = redis_element(&keys, i);
        if (redis_key_id(&s->keys, &key, id))
            page_add(page, id);
    }
    return RC_OK;
}

static enum rc redis_store_list(struct store_base *base,
                                struct store_page *page)
{
    struct redis_store *s = (struct redis_store *)base;
    struct store_cursor *c = &page->cursor;
    int64_t now = instant_read().mono;
    uint64_t at = c->begun ? version_read(c->at) : 0;
    enum rc rc = redis_ready(s, &page->err);

    if (rc == RC_OK && c->begun &&
        version_read(c->at + VERSION_SIZE) != s->link.connection)
        rc = err_set(&page->err, RC_CONFLICT,
                     "Redis at %s:%u was connected anew: begin the list anew",
                     s->link.at.name, s->link.at.port);
    if (rc != RC_OK)
        return rc;
    do
        rc = redis_scan(s, page, &at, now + s->timeout_ms);
    while (rc == RC_OK && at && !page_is_full(page) &&
           instant_read().mono < now + s->timeout_ms / 2);
    c->begun = page->more = at != 0;
    version_write(c->at, at);
    version_write(c->at + VERSION_SIZE, s->link.connection);
    return rc;
}

/* --- the store ------------------------------------------------------------ */

static void redis_store_describe(const struct store_base *base, char *out,
                                 size_t size)
{
    const struct redis_store *s = (const struct redis_store *)base;
    const struct redis_url *url = &s->url;

    if (url->master[0])
        snprintf(out, size, "Redis, the master %s of %u sentinels", url->master,
                 url->host_count);
    else
        snprintf(out, size, "Redis at %s:%u", url->hosts[0].name,
                 url->hosts[0].port);
}

static enum rc redis_store_examine(const void *options,
                                   const struct store_env *env, struct err *err)
{
    const struct redis_options *o = options;
    struct redis_url url;
    enum rc rc = redis_url_find(o->url, o->url_file, &url, err);

    (void)env;
    explicit_bzero(&url, sizeof url);
    return rc;
}

static bool redis_store_same(const void *one, const void *other)
{
    const struct redis_options *a = one, *b = other;
    struct redis_url x, y;
    struct err err;
    bool same = redis_url_find(a->url, a->url_file, &x, &err) == RC_OK &&
                redis_url_find(b->url, b->url_file, &y, &err) == RC_OK &&
                redis_url_same(&x, &y);

    explicit_bzero(&x, sizeof x);
    explicit_bzero(&y, sizeof y);
    return same;
}

static enum rc redis_store_open(struct store_base *base, struct err *err)
{
    struct redis_store *s = (struct redis_store *)base;
    const struct redis_options *o = base->options;
    char where[512];
    enum rc rc = redis_url_find(o->url, o->url_file, &s->url, err);

    if (rc != RC_OK)
        return rc;
    s->timeout_ms = o->timeout;
    redis_keys_init(&s->keys, base->env.app);
    if (o->validate == REDIS_VALIDATE_TRACKING) {
        s->track = track_new(&s->keys, o->max_stale, o->tracked, base->env.log);
        base->flags |= STORE_READS_PERHAPS;
    }
    s->link = (struct redis_link){
        .url = &s->url, .script = redis_script, .log = base->env.log};
    redis_store_describe(base, where, sizeof where);
    log_state(base->env.log, LOG_INFO, "store",
              "RedisStore keeps the sessions in %s", where);
    return RC_OK;
}

static void redis_store_close(struct store_base *base)
{
    struct redis_store *s = (struct redis_store *)base;

    track_free(&s->track);
    redis_link_close(&s->link);
    redis_keys_release(&s->keys);
    free(s->row);
}

static const struct option redis_options[] = {
    {.name = "url",
     .kind = OPTION_STRING,
     .offset = offsetof(struct redis_options, url),
     .help = "redis://[[user]:password@]host:port/db, or redis-sentinel://"
             "[[user]:password@]host:port,host:port/master-name"},
    {.name = "urlFile",
     .kind = OPTION_STRING,
     .offset = offsetof(struct redis_options, url_file),
     .help =
         "a file whose first line is the url, which is read instead of url: "
         "so a password stands on no command line"},
    {.name = "timeout",
     .kind = OPTION_INT,
     .offset = offsetof(struct redis_options, timeout),
     .preset = "400",
     .min = 50,
     .max = 10000,
     .help = "milliseconds in which Redis connects, and answers a batch; twice "
             "that is to be below the connector's waitTimeout"},
    {.name = "validate",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct redis_options, validate),
     .preset = "version",
     .choices = "version|tracking",
     .help = "version: each request asks whether its copy is the stored one; "
             "tracking: Redis tells what was changed elsewhere, and a copy may "
             "be as old as maxStale"},
    {.name = "maxStale",
     .kind = OPTION_INT,
     .offset = offsetof(struct redis_options, max_stale),
     .preset = "1000",
     .min = 10,
     .max = 60000,
     .help = "tracking: milliseconds that a copy may be behind Redis at most; "
             "it is as old as a message takes while both connections live"},
    {.name = "tracked",
     .kind = OPTION_INT,
     .offset = offsetof(struct redis_options, tracked),
     .preset = "65536",
     .min = 1,
     .max = 16777216,
     .help = "tracking: of so many sessions of an application it is known "
             "whether their copy stands, 32 bytes each"},
    {0},
};

const struct store_ops store_redis = {
    .name = "RedisStore",
    .summary = "Redis, alone or with replicas that sentinels watch",
    .size = sizeof(struct redis_store),
    .options_size = sizeof(struct redis_options),
    .options = redis_options,
    .flags = STORE_SELF_EXPIRES | STORE_REMOTE | STORE_REPLICATES | STORE_LISTS,
    .examine = redis_store_examine,
    .same = redis_store_same,
    .open = redis_store_open,
    .close = redis_store_close,
    .run = redis_store_run,
    .get = redis_store_get,
    .list = redis_store_list,
    .check = redis_store_check,
    .describe = redis_store_describe,
};
