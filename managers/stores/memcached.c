/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection, over libmemcached.
 *
 * Laws
 * - The text protocol: Memcached has declared the binary one deprecated, and
 *   libmemcached's waits for its whole timeout at some misses.
 * - One memcached_st has one server, and none of libmemcached's own ideas of
 *   what is dead, when to try again and who takes over: all of that is decided
 *   in one place, the store's thread.
 * - After a timeout the late answer is still to come, and would be taken for
 *   the next one's: whatever is not a plain answer ends the connection.
 * - libmemcached connects anew by itself in the middle of anything. Once we are
 *   connected it gets no time for that (a connect_timeout of 0 fails), and the
 *   local port is compared after each question.
 * - memcached_fetch_result calls any failure "not found" that came before the
 *   first row, even that the server had no memory for an answer. So what it
 *   says is believed only while no error is noted and the connection stands,
 *   and where no row came at all, each key is asked for once more: by a `cas`
 *   with a token that no row has, whose answer is passed on as it is. */
#include "config.h"

#include "managers/stores/memcached.h"

#include "session/buf.h"
#include "session/instant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmemcached/memcached.h>

#define OUT_OF_MEMORY                                                          \
    "it is out of memory: raise its -m, or let sessions live shorter"

struct memc {
    memcached_st *st; /* NULL: failed */
    memcached_result_st result;
    in_port_t port; /* our own end of the connection */
    char name[300]; /* "host:port", for texts */
    struct err why; /* it failed */
};

struct memc_ring {
    memcached_st *st; /* never connects; only read once it is made */
};

/* --- failures ------------------------------------------------------------- */

static const char *failure_text(memcached_return_t rc, int error)
{
    switch (rc) {
    case MEMCACHED_TIMEOUT:
    case MEMCACHED_IN_PROGRESS:
        return "no answer in time";
    case MEMCACHED_HOST_LOOKUP_FAILURE:
        return "there is no host of that name";
    case MEMCACHED_ERRNO:
        if (error != ECONNREFUSED && error != ECONNRESET && error != EPIPE &&
            error > 0)
            return strerror(error);
        break;
    case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
        return OUT_OF_MEMORY;
    case MEMCACHED_CLIENT_ERROR:
    case MEMCACHED_SERVER_ERROR:
    case MEMCACHED_PROTOCOL_ERROR:
    case MEMCACHED_ERROR:
        return "it answers what Memcached would not";
    default:
        break;
    }
    return "nobody answers there (the connection was refused or closed)";
}

static void memc_drop(struct memc *m)
{
    if (!m->st)
        return;
    /* It says goodbye, and must not wait for that. */
    memcached_behavior_set(m->st, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, 1);
    memcached_result_free(&m->result);
    memcached_free(m->st);
    m->st = NULL;
}

/* The connection is over. */
static enum rc memc_fail(struct memc *m, memcached_return_t rc, struct err *err)
{
    memcached_return_t noted = memcached_last_error(m->st);

    if (rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTFOUND ||
        rc == MEMCACHED_SOME_ERRORS || rc == MEMCACHED_FAILURE)
        rc = noted;
    err_set(&m->why, RC_UNAVAILABLE, "Memcached at %s: %s", m->name,
            failure_text(rc, memcached_last_error_errno(m->st)));
    memc_drop(m);
    return err_set(err, RC_UNAVAILABLE, "%s", m->why.text);
}

static in_port_t own_port(const struct memc *m)
{
    return memcached_server_srcport(
        memcached_server_instance_by_position(m->st, 0));
}

/* Nothing went wrong behind our back. */
static bool memc_is_clean(const struct memc *m)
{
    return memcached_last_error(m->st) == MEMCACHED_SUCCESS && m->port &&
           own_port(m) == m->port;
}

/* Gives the next question its time. */
static enum rc memc_begin(struct memc *m, int64_t deadline, struct err *err)
{
    int64_t left = deadline - instant_read().mono;

    if (!m->st)
        return err_set(err, RC_UNAVAILABLE, "%s", m->why.text);
    if (left <= 0)
        return err_set(err, RC_UNAVAILABLE, "Memcached at %s: %s", m->name,
                       failure_text(MEMCACHED_TIMEOUT, 0));
    memcached_behavior_set(m->st, MEMCACHED_BEHAVIOR_POLL_TIMEOUT,
                           (uint64_t)left);
    return RC_OK;
}

/* --- what it says of itself ----------------------------------------------- */

static uint64_t number_of(const char *text, size_t len)
{
    uint64_t n = 0;

    for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    return n;
}

static memcached_return_t note_fact(const memcached_instance_st *server,
                                    const char *key, size_t key_len,
                                    const char *value, size_t len,
                                    void *context)
{
    struct memc_facts *f = context;
    uint64_t n = number_of(value, len);

    (void)server;
    (void)key_len;
    if (strcmp(key, "pid") == 0)
        f->pid = n;
    else if (strcmp(key, "uptime") == 0)
        f->uptime = n;
    else if (strcmp(key, "time") == 0)
        f->time = n;
    else if (strcmp(key, "cmd_flush") == 0)
        f->flushes = n;
    else if (strcmp(key, "evictions") == 0 ||
             strcmp(key, "slab_reassign_evictions_nomem") == 0)
        f->evictions += n;
    return MEMCACHED_SUCCESS;
}

static memcached_return_t note_setting(const memcached_instance_st *server,
                                       const char *key, size_t key_len,
                                       const char *value, size_t len,
                                       void *context)
{
    struct memc_facts *f = context;

    (void)server;
    (void)key_len;
    if (strcmp(key, "item_size_max") == 0)
        f->item_max = number_of(value, len);
    else if (strcmp(key, "cas_enabled") == 0)
        f->without_cas = len == 2 && memcmp(value, "no", 2) == 0;
    return MEMCACHED_SUCCESS;
}

static enum rc look(struct memc *m, struct memc_facts *facts, struct err *err)
{
    memcached_return_t rc;

    facts->pid = facts->uptime = facts->time = 0;
    facts->evictions = facts->flushes = 0;
    rc = memcached_stat_execute(m->st, NULL, note_fact, facts);
    if (rc == MEMCACHED_SUCCESS) /* of a timeout it says that, too */
        rc = memcached_last_error(m->st);
    if (rc != MEMCACHED_SUCCESS)
        return memc_fail(m, rc, err);
    if (!own_port(m))
        return memc_fail(m, MEMCACHED_CONNECTION_FAILURE, err);
    if (!facts->pid || !facts->time)
        return memc_fail(m, MEMCACHED_PROTOCOL_ERROR, err);
    return RC_OK;
}

enum rc memc_look(struct memc *m, int64_t deadline, struct memc_facts *facts,
                  struct err *err)
{
    enum rc rc = memc_begin(m, deadline, err);

    if (rc == RC_OK)
        rc = look(m, facts, err);
    if (rc == RC_OK && !memc_is_clean(m))
        rc = memc_fail(m, MEMCACHED_SUCCESS, err);
    return rc;
}

/* --- opening and closing -------------------------------------------------- */

static void behave(memcached_st *st, memcached_behavior_t what, uint64_t value)
{
    if (memcached_behavior_set(st, what, value) != MEMCACHED_SUCCESS)
        abort(); /* no memory, or another library than it was built for */
}

static memcached_st *st_new(int timeout_ms)
{
    memcached_st *st = memcached_create(NULL);

    if (!st)
        abort(); /* no memory */
    behave(st, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    behave(st, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    behave(st, MEMCACHED_BEHAVIOR_TCP_KEEPALIVE, 1);
    behave(st, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, (uint64_t)timeout_ms);
    behave(st, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, (uint64_t)timeout_ms);
    return st;
}

static void host_add(memcached_st *st, const char *host, unsigned port)
{
    if (memcached_server_add(st, host, (in_port_t)port) != MEMCACHED_SUCCESS)
        abort(); /* no memory */
}

/* Connects, and sees whom it has met. */
static enum rc memc_greet(struct memc *m, struct memc_facts *facts,
                          struct err *err)
{
    enum rc rc = look(m, facts, err);

    if (rc != RC_OK)
        return rc;
    /* One that does not tell its settings may be good all the same. */
    memcached_return_t said =
        memcached_stat_execute(m->st, "settings", note_setting, facts);
    if (said != MEMCACHED_SUCCESS && said != MEMCACHED_INVALID_ARGUMENTS)
        return memc_fail(m, said, err);
    m->port = own_port(m);
    if (!memc_is_clean(m))
        return memc_fail(m, MEMCACHED_SUCCESS, err);
    behave(m->st, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, 0);
    return RC_OK;
}

enum rc memc_open(struct memc **out, const char *host, unsigned port,
                  int timeout_ms, struct memc_facts *facts, struct err *err)
{
    struct memc *m = mem_zero(sizeof *m);
    enum rc rc;

    *facts = (struct memc_facts){0};
    snprintf(m->name, sizeof m->name, "%s:%u", host, port);
    m->st = st_new(timeout_ms);
    host_add(m->st, host, port);
    if (!memcached_result_create(m->st, &m->result))
        abort(); /* no memory */
    rc = memc_greet(m, facts, err);
    if (rc == RC_OK)
        *out = m;
    else
        memc_close(&m);
    return rc;
}

void memc_close(struct memc **memc)
{
    struct memc *m = *memc;

    if (!m)
        return;
    *memc = NULL;
    memc_drop(m);
    free(m);
}

bool memc_is_open(const struct memc *m)
{
    return m && m->st;
}

/* --- rows ----------------------------------------------------------------- */

/* Which key this row answers, from `from` on; count: none. */
static unsigned key_find(const memcached_result_st *row,
                         const char *const *keys, const size_t *lens,
                         unsigned from, unsigned count)
{
    const char *text = memcached_result_key_value(row);
    size_t len = memcached_result_key_length(row);

    for (; from < count; from++)
        if (lens[from] == len && memcmp(keys[from], text, len) == 0)
            break;
    return from;
}

static enum rc confirm_missing(struct memc *m, const char *const *keys,
                               const size_t *lens, unsigned count,
                               int64_t deadline, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        enum rc rc = memc_begin(m, deadline, err); /* one for all of them */
        if (rc != RC_OK)
            return rc;
        memcached_return_t said =
            memcached_cas(m->st, keys[i], lens[i], "", 0, 1, 0, INT64_MAX);
        if (said == MEMCACHED_DATA_EXISTS) /* so it could not answer before */
            said = MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE;
        if (said != MEMCACHED_NOTFOUND || !memc_is_clean(m))
            return memc_fail(m, said, err);
    }
    return RC_OK;
}

enum rc memc_fetch(struct memc *m, const char *const *keys, const size_t *lens,
                   unsigned count, int64_t deadline, memc_row_fn *each,
                   void *user, struct err *err)
{
    memcached_return_t said;
    unsigned next = 0;
    enum rc rc = memc_begin(m, deadline, err);

    if (rc != RC_OK)
        return rc;
    said = memcached_mget(m->st, keys, lens, count);
    if (said != MEMCACHED_SUCCESS)
        return memc_fail(m, said, err);
    while (memcached_fetch_result(m->st, &m->result, &said)) {
        struct memc_row row = {
            .index = key_find(&m->result, keys, lens, next, count),
            .bytes = memcached_result_value(&m->result),
            .len = memcached_result_length(&m->result),
            .token = memcached_result_cas(&m->result)};
        if (row.index == count || !row.token)
            return memc_fail(m, MEMCACHED_PROTOCOL_ERROR, err);
        next = row.index + 1;
        each(user, &row);
    }
    if ((said != MEMCACHED_END && said != MEMCACHED_NOTFOUND) ||
        !memc_is_clean(m))
        return memc_fail(m, said, err);
    return next ? RC_OK : confirm_missing(m, keys, lens, count, deadline, err);
}

static memcached_return_t store(struct memc *m, const struct memc_put *p)
{
    if (p->token)
        return memcached_cas(m->st, p->key, p->key_len, p->bytes, p->len,
                             (time_t)p->life, 0, p->token);
    return memcached_add(m->st, p->key, p->key_len, p->bytes, p->len,
                         (time_t)p->life, 0);
}

enum rc memc_store(struct memc *m, const struct memc_put *put, int64_t deadline,
                   struct err *err)
{
    memcached_return_t said;
    enum rc rc = memc_begin(m, deadline, err);

    if (rc != RC_OK)
        return rc;
    said = store(m, put);
    if (own_port(m) == m->port) {
        switch (said) {
        case MEMCACHED_SUCCESS:
            return RC_OK;
        case MEMCACHED_NOTSTORED:
        case MEMCACHED_DATA_EXISTS:
            return RC_CONFLICT;
        case MEMCACHED_NOTFOUND:
            return RC_ABSENT;
        case MEMCACHED_E2BIG:
            return err_set(err, RC_TOOBIG,
                           "a session of %zu bytes is over the item limit of "
                           "Memcached at %s: raise its -I",
                           put->len, m->name);
        case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
            return err_set(err, RC_UNAVAILABLE,
                           "Memcached at %s: " OUT_OF_MEMORY, m->name);
        default:
            break;
        }
    }
    memc_fail(m, said, err);
    return RC_UNCERTAIN;
}

/* --- the ring ------------------------------------------------------------- */

struct memc_ring *memc_ring_new(const struct memc_url *url)
{
    struct memc_ring *ring = mem_zero(sizeof *ring);

    ring->st = st_new(1);
    behave(ring->st, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    for (unsigned i = 0; i < url->count; i++)
        host_add(ring->st, url->hosts[i].name, url->hosts[i].port);
    return ring;
}

void memc_ring_free(struct memc_ring **ring)
{
    if (*ring)
        memcached_free((*ring)->st);
    free(*ring);
    *ring = NULL;
}

unsigned memc_ring_find(const struct memc_ring *ring, const char *key,
                        size_t len)
{
    return memcached_generate_hash(ring->st, key, len);
}
