/* SPDX-License-Identifier: Apache-2.0
 *
 * One server of MemcachedStore.
 *
 * Laws
 * - A row is eight bytes of version, then the bytes. Memcached's own cas number
 *   is no version: it begins anew with each start of a server, while keys of
 *   users come back. It serves as the token between one question and one put,
 *   on one connection.
 * - A batch is one question for many rows, then its puts, one after the other
 *   (libmemcached cannot send them together). A put whose row was seen at the
 *   version that it replaces, on this connection, needs no question.
 * - A version 0 is `add`, any other `cas`: a put never creates what is gone.
 *   Never `set`, which would, and never `delete`.
 * - A row lives as long from now on as our clock says, not until an instant by
 *   Memcached's: that one may be wrong. Beyond 30 days it takes instants only;
 *   these are made by the clock that it shows.
 * - Why a row is gone is told only when nothing else can have taken it: it was
 *   seen less than KEEP_MS ago, so no end of it can have lapsed since, and the
 *   server has been restarted or flushed (LOST), or has dropped rows for room
 *   (EVICTED). */
#include "config.h"

#include "managers/stores/memcached.h"
#include "managers/stores/versions.h"
#include "session/buf.h"
#include "session/store_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_SIZE 8
/* Of an item, besides key and value: its head, cas, ends of lines. */
#define ITEM_HEAD 80
#define ITEM_MAX_PRESET (1u << 20)
#define RELATIVE_MAX (INT64_C(30) * 24 * 3600) /* s */
/* Later than that is never; an instant has 31 bits. */
#define FOREVER_S (INT64_C(90) * 365 * 24 * 3600)
#define LOOK_MS 1000
#define KEEP_MS 55000 /* an end is kept 60 s, see session/store.h */
#define SEEN_MAX 4096

/* What a row was when it was seen last; the newest of those that fall on one
 * place. */
struct seen {
    uint8_t id[16];
    uint64_t version; /* 0: an empty place */
    uint64_t token;   /* of the connection `link` */
    uint64_t evictions;
    int64_t at; /* mono ms */
    uint32_t link, losses;
};

enum step { STEP_ASK, STEP_PUT };

struct item {
    struct store_call *call; /* NULL: answered */
    enum step step;
    uint64_t token; /* of what the put replaces; 0: nothing */
    bool found;     /* by the question that is under way */
};

struct part {
    struct store_base base;
    struct memc *memc; /* NULL: none */
    struct memc_facts facts;
    uint64_t pid, start; /* of the server; s by its clock */
    uint32_t link;       /* connections so far */
    uint32_t losses;     /* restarts and flushes so far */
    int64_t ahead;       /* s: its clock, less ours */
    int64_t look_at;     /* mono ms */
    bool evicting;       /* and we have said so */
    char label[300];
    struct versions versions;
    size_t key_len;
    struct seen *seen;

    /* of the batch that runs */
    struct item items[STORE_BATCH_MAX];
    unsigned count;
    char *keys; /* key_len for each item */
    const char *asked[STORE_BATCH_MAX];
    size_t lens[STORE_BATCH_MAX];
    unsigned asked_items[STORE_BATCH_MAX], asked_count;
    struct store_batch *batch;
    int64_t deadline;
    bool looked;
    char *row; /* that is about to be sent */
    size_t row_cap;
};

static struct part *part_of(struct store_base *base)
{
    return (struct part *)base;
}

static const struct memc_part_options *options_of(const struct part *p)
{
    return p->base.options;
}

/* --- rows ----------------------------------------------------------------- */

static void version_write(char out[VERSION_SIZE], uint64_t v)
{
    for (int i = VERSION_SIZE - 1; i >= 0; i--, v >>= 8)
        out[i] = (char)(v & 0xff);
}

static uint64_t version_read(const char *bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < VERSION_SIZE; i++)
        v = v << 8 | (unsigned char)bytes[i];
    return v;
}

static char *key_of(struct part *p, const struct item *item)
{
    return p->keys + (size_t)(item - p->items) * p->key_len;
}

static struct seen *seen_of(struct part *p, const uint8_t id[16])
{
    uint32_t hash;

    memcpy(&hash, id, sizeof hash); /* random, or a digest */
    return &p->seen[hash % SEEN_MAX];
}

static void see(struct part *p, const uint8_t id[16], uint64_t version,
                uint64_t token)
{
    struct seen *s = seen_of(p, id);

    memcpy(s->id, id, sizeof s->id);
    s->version = version;
    s->token = token;
    s->evictions = p->facts.evictions;
    s->at = instant_read().mono;
    s->link = p->link;
    s->losses = p->losses;
}

/* The token of the row that this put replaces; 0: not known. */
static uint64_t token_of(struct part *p, const struct store_call *call)
{
    const struct seen *s = seen_of(p, call->id);

    return s->version == call->version && s->link == p->link &&
                   memcmp(s->id, call->id, sizeof s->id) == 0
               ? s->token
               : 0;
}

static int64_t life_of(const struct part *p, const struct store_call *call)
{
    int64_t now = instant_read().wall;
    int64_t life = (call->expiry - now + 999) / 1000 + 1; /* never early */
    int64_t end;

    if (call->expiry > INT64_MAX / 2 || life > FOREVER_S)
        return 0;
    if (life < 1)
        return 1;
    if (life <= RELATIVE_MAX)
        return life;
    end = now / 1000 + p->ahead + life;
    return end > INT32_MAX ? 0 : end;
}

/* --- the server ----------------------------------------------------------- */

/* What it said of itself is new: another start, or a flush, has lost what was
 * there. */
static void facts_read(struct part *p, const struct memc_facts *f)
{
    const struct memc_host *h = &options_of(p)->host;
    uint64_t start = f->time - f->uptime;
    bool is_other = p->pid && (p->pid != f->pid || p->start != start);
    bool is_flushed = p->pid && !is_other && f->flushes != p->facts.flushes;

    if (is_other || is_flushed) {
        p->losses++;
        log_state(p->base.env.log, LOG_WARN, "store",
                  "Memcached at %s:%u was %s: the sessions that it kept are "
                  "gone",
                  h->name, h->port, is_other ? "restarted" : "flushed");
    }
    if (is_other)
        p->evicting = false;
    else if (p->pid && f->evictions > p->facts.evictions && !p->evicting) {
        p->evicting = true;
        log_state(p->base.env.log, LOG_WARN, "store",
                  "Memcached at %s:%u drops sessions for want of memory, and "
                  "users are logged out: raise its -m, or let sessions live "
                  "shorter",
                  h->name, h->port);
    }
    p->facts = *f;
    p->pid = f->pid;
    p->start = start;
    p->ahead = (int64_t)f->time - instant_read().wall / 1000;
    p->look_at = instant_read().mono + LOOK_MS;
}

static enum rc part_connect(struct part *p, struct err *err)
{
    const struct memc_part_options *o = options_of(p);
    struct memc_facts facts;
    enum rc rc = memc_open(&p->memc, o->host.name, o->host.port,
                           (int)o->timeout, &facts, err);

    if (rc != RC_OK)
        return rc;
    if (facts.without_cas) {
        memc_close(&p->memc);
        return err_set(err, RC_UNAVAILABLE,
                       "Memcached at %s:%u was started with -C: sessions need "
                       "its compare-and-set, start it without",
                       o->host.name, o->host.port);
    }
    p->link++;
    facts_read(p, &facts);
    return RC_OK;
}

static enum rc part_look(struct part *p, int64_t deadline, struct err *err)
{
    struct memc_facts facts = p->facts;
    enum rc rc = memc_look(p->memc, deadline, &facts, err);

    if (rc == RC_OK)
        facts_read(p, &facts);
    else
        memc_close(&p->memc);
    return rc;
}

static enum rc part_check(struct store_base *base, struct err *err)
{
    struct part *p = part_of(base);
    int64_t now = instant_read().mono;

    if (!p->memc)
        return part_connect(p, err);
    return now < p->look_at ? RC_OK
                            : part_look(p, now + options_of(p)->timeout, err);
}

/* The row is not there. */
static enum reason why_gone(struct part *p, const struct store_call *call)
{
    const struct seen *s = seen_of(p, call->id);
    struct err err;

    if (!call->version || s->version != call->version ||
        memcmp(s->id, call->id, sizeof s->id) != 0 ||
        instant_read().mono - s->at > KEEP_MS)
        return REASON_UNKNOWN;
    if (s->losses == p->losses && s->evictions == p->facts.evictions &&
        !p->looked) {
        p->looked = true;
        if (part_look(p, p->deadline, &err) != RC_OK)
            return REASON_UNKNOWN;
    }
    if (s->losses != p->losses)
        return REASON_LOST;
    return s->evictions < p->facts.evictions ? REASON_EVICTED : REASON_UNKNOWN;
}

/* --- answers -------------------------------------------------------------- */

static void item_answer(struct part *p, struct item *item, enum rc rc)
{
    struct store_call *call = item->call;

    item->call = NULL;
    if (rc == RC_ABSENT)
        call->gone = why_gone(p, call);
    if (rc == RC_ABSENT || rc == RC_UNAVAILABLE || rc == RC_TOOBIG)
        call->new_version = 0;
    store_batch_answer(p->batch, call, rc);
}

static void row_show(const struct memc_row *row, struct store_call *call)
{
    call->new_version = version_read(row->bytes);
    call->found_len = row->len - VERSION_SIZE;
    call->found = mem_alloc(call->found_len + 1);
    memcpy(call->found, row->bytes + VERSION_SIZE, call->found_len);
}

static void item_not_ours(struct part *p, struct item *item)
{
    const struct memc_host *h = &options_of(p)->host;

    err_set(&item->call->err, RC_UNAVAILABLE,
            "Memcached at %s:%u: a key of ours holds something that is not "
            "ours",
            h->name, h->port);
    item->call->only_this = true;
    item_answer(p, item, RC_UNAVAILABLE);
}

static void row_found(void *user, const struct memc_row *row)
{
    struct part *p = user;
    struct item *item = &p->items[p->asked_items[row->index]];
    struct store_call *call = item->call;
    uint64_t version;

    item->found = true;
    version = row->len < VERSION_SIZE ? 0 : version_read(row->bytes);
    if (!version) {
        item_not_ours(p, item);
        return;
    }
    see(p, call->id, version, row->token);
    if (call->is_put && version == call->version) {
        item->step = STEP_PUT;
        item->token = row->token;
    } else if (version == call->version) {
        call->unchanged = true;
        call->new_version = version;
        item_answer(p, item, RC_OK);
    } else {
        row_show(row, call);
        item_answer(p, item, call->is_put ? RC_CONFLICT : RC_OK);
    }
}

static void row_missing(struct part *p, struct item *item)
{
    if (!item->call->is_put || item->call->version) {
        item_answer(p, item, RC_ABSENT);
        return;
    }
    item->step = STEP_PUT; /* what was in its way is gone */
    item->token = 0;
}

/* --- batches -------------------------------------------------------------- */

static bool is_too_big(struct part *p, struct store_call *call)
{
    const struct memc_part_options *o = options_of(p);
    uint64_t max = p->facts.item_max ? p->facts.item_max : ITEM_MAX_PRESET;

    if (o->item_max)
        max = (uint64_t)o->item_max;
    if (call->len + VERSION_SIZE + p->key_len + ITEM_HEAD <= max)
        return false;
    err_set(&call->err, RC_TOOBIG,
            "a session of %zu bytes is over the item limit of Memcached at "
            "%s:%u (%" PRIu64 " bytes with key and head): raise its -I",
            call->len, o->host.name, o->host.port, max);
    return true;
}

static void item_begin(struct part *p, struct store_call *call)
{
    struct item *item = &p->items[p->count++];
    char *key = key_of(p, item);

    *item = (struct item){.call = call, .step = STEP_ASK};
    memc_key_id(key + p->key_len - MEMC_ID_HEX, call->id);
    if (!call->is_put)
        return;
    if (is_too_big(p, call)) {
        item_answer(p, item, RC_TOOBIG);
        return;
    }
    item->token = call->version ? token_of(p, call) : 0;
    if (!call->version || item->token)
        item->step = STEP_PUT;
}

/* One question for all rows that have to be known. */
static enum rc part_ask(struct part *p, struct err *err)
{
    enum rc rc;

    p->asked_count = 0;
    for (unsigned i = 0; i < p->count; i++) {
        struct item *item = &p->items[i];
        if (!item->call || item->step != STEP_ASK)
            continue;
        item->found = false;
        p->asked[p->asked_count] = key_of(p, item);
        p->lens[p->asked_count] = p->key_len;
        p->asked_items[p->asked_count++] = i;
    }
    if (!p->asked_count)
        return RC_OK;
    rc = memc_fetch(p->memc, p->asked, p->lens, p->asked_count, p->deadline,
                    row_found, p, err);
    for (unsigned i = 0; i < p->asked_count && rc == RC_OK && p->memc; i++) {
        struct item *item = &p->items[p->asked_items[i]];
        if (item->call && !item->found)
            row_missing(p, item);
    }
    return rc == RC_OK && !p->memc ? RC_UNAVAILABLE : rc;
}

static const char *row_of(struct part *p, struct store_call *call)
{
    size_t len = VERSION_SIZE + call->len;

    if (len > p->row_cap) {
        p->row_cap = len * 2;
        p->row = mem_resize(p->row, p->row_cap);
    }
    call->new_version = versions_next(&p->versions);
    version_write(p->row, call->new_version);
    if (call->len)
        memcpy(p->row + VERSION_SIZE, call->bytes, call->len);
    return p->row;
}

/* RC_OK: it was answered, or is to be asked for again. */
static enum rc item_put(struct part *p, struct item *item, struct err *err)
{
    struct store_call *call = item->call;
    struct memc_put put = {.key = key_of(p, item),
                           .key_len = p->key_len,
                           .bytes = row_of(p, call),
                           .len = VERSION_SIZE + call->len,
                           .life = life_of(p, call),
                           .token = item->token};
    enum rc rc = memc_store(p->memc, &put, p->deadline, err);

    if (rc == RC_CONFLICT) {
        call->new_version = 0;
        item->step = STEP_ASK; /* whose row is there? */
        return RC_OK;
    }
    assert(rc != RC_ABSENT || call->version);
    if (rc == RC_OK) {
        see(p, call->id, call->new_version, 0);
        item->call = NULL;
        store_batch_hold(p->batch, call);
        store_batch_settle(p->batch, RC_OK, NULL); /* it stands for itself */
        return RC_OK;
    }
    call->err = *err;
    item_answer(p, item, rc);
    return p->memc && memc_is_open(p->memc) ? RC_OK : RC_UNAVAILABLE;
}

static enum rc part_put(struct part *p, struct err *err)
{
    enum rc rc = RC_OK;

    for (unsigned i = 0; i < p->count && rc == RC_OK; i++) {
        struct item *item = &p->items[i];
        err->text[0] = '\0';
        if (item->call && item->step == STEP_PUT)
            rc = item_put(p, item, err);
    }
    return rc;
}

static bool part_has_more(const struct part *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->items[i].call)
            return true;
    return false;
}

/* Nothing of these was sent: what was, has its answer. */
static void part_lose(struct part *p, const struct err *err)
{
    struct store_call *call;

    for (unsigned i = 0; i < p->count; i++) {
        if (!p->items[i].call)
            continue;
        p->items[i].call->err = *err;
        item_answer(p, &p->items[i], RC_UNAVAILABLE);
    }
    while ((call = store_batch_next(p->batch))) {
        call->err = *err;
        store_batch_answer(p->batch, call, RC_UNAVAILABLE);
    }
}

/* The connection broke while there was time: the server may have closed it, or
 * have been started anew. What was not sent is asked again, on another one. */
static enum rc part_reconnect(struct part *p, struct err *err)
{
    memc_close(&p->memc);
    if (instant_read().mono >= p->deadline)
        return RC_UNAVAILABLE;
    for (unsigned i = 0; i < p->count; i++) {
        struct item *item = &p->items[i];
        if (item->call && item->token)
            item->step = STEP_ASK;
    }
    return part_connect(p, err);
}

static void part_run(struct store_base *base, struct store_batch *batch)
{
    struct part *p = part_of(base);
    struct store_call *call;
    struct err err = {""};
    bool again = false;
    enum rc rc = RC_OK;

    p->batch = batch;
    p->looked = false;
    p->count = 0;
    if (!p->memc)
        rc = part_connect(p, &err);
    p->deadline = instant_read().mono + options_of(p)->timeout;
    while (rc == RC_OK && p->count < STORE_BATCH_MAX &&
           (call = store_batch_next(batch)))
        item_begin(p, call);
    while (rc == RC_OK && part_has_more(p)) {
        rc = part_ask(p, &err);
        if (rc == RC_OK)
            rc = part_put(p, &err);
        if (rc != RC_OK && !again && part_has_more(p)) {
            again = true;
            rc = part_reconnect(p, &err);
        }
    }
    if (rc == RC_OK)
        return;
    if (!err.text[0])
        err_set(&err, rc, "%s: it went away", p->label);
    part_lose(p, &err);
    memc_close(&p->memc);
}

/* --- the store ------------------------------------------------------------ */

static enum rc part_open(struct store_base *base, struct err *err)
{
    struct part *p = part_of(base);
    const struct memc_part_options *o = base->options;
    size_t prefix_len = strlen(o->prefix);

    (void)err;
    p->key_len = prefix_len + MEMC_ID_HEX;
    p->keys = mem_alloc(STORE_BATCH_MAX * p->key_len);
    for (unsigned i = 0; i < STORE_BATCH_MAX; i++)
        memcpy(p->keys + i * p->key_len, o->prefix, prefix_len);
    p->seen = mem_zero(SEEN_MAX * sizeof *p->seen);
    snprintf(p->label, sizeof p->label, "Memcached at %s:%u", o->host.name,
             o->host.port);
    base->label = p->label;
    return RC_OK;
}

static void part_close(struct store_base *base)
{
    struct part *p = part_of(base);

    memc_close(&p->memc);
    free(p->keys);
    free(p->seen);
    free(p->row);
}

const struct store_ops memcached_part = {
    .name = "MemcachedStore",
    .summary = "one server of it",
    .size = sizeof(struct part),
    .options_size = sizeof(struct memc_part_options),
    .flags = STORE_SELF_EXPIRES | STORE_REMOTE | STORE_FORGETS,
    .open = part_open,
    .close = part_close,
    .run = part_run,
    .check = part_check,
};
