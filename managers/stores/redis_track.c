/* SPDX-License-Identifier: Apache-2.0
 *
 * Laws   A slot is guarded by the lock of its stripe. `lock` guards what the
 *        store's thread hands to the one that listens: `next` and the flags
 *        beside it. */
#include "config.h"

#include "managers/stores/redis_track.h"

#include "session/buf.h"
#include "session/instant.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STRIPES 16
#define CHANNEL "__redis__:invalidate"
#define RETRY_MS 1000

struct slot {
    uint8_t id[16];
    uint64_t version; /* 0: not known */
    uint64_t ticket;  /* 0: nobody has asked */
};

struct track {
    const struct redis_keys *keys;
    int64_t max_stale;
    struct log *log;

    struct slot *slots;
    size_t count;
    pthread_mutex_t stripes[STRIPES];
    uint64_t tickets; /* the store's thread */

    /* mono ms: when the last question left that was answered */
    _Atomic int64_t main_heard, told_heard;
    atomic_bool listens; /* what is told is heard */

    uint64_t connection; /* the store's thread: of the link that is tracked */
    int64_t next_try;
    char refused[sizeof(struct err)];

    pthread_t thread;
    int wake;
    pthread_mutex_t lock;
    struct redis *next; /* to listen to from now on */
    bool drop, ends;

    /* the listener's */
    struct redis *told;
    int64_t pinged; /* mono ms; 0: no PING is on its way */
};

/* --- slots ---------------------------------------------------------------- */

static size_t slot_at(const struct track *t, const uint8_t id[16])
{
    uint64_t hash;

    memcpy(&hash, id, sizeof hash); /* ids are random already */
    return (hash ^ hash >> 32) % t->count;
}

static struct slot *slot_lock(struct track *t, const uint8_t id[16])
{
    size_t at = slot_at(t, id);

    pthread_mutex_lock(&t->stripes[at % STRIPES]);
    return &t->slots[at];
}

static void slot_unlock(struct track *t, const uint8_t id[16])
{
    pthread_mutex_unlock(&t->stripes[slot_at(t, id) % STRIPES]);
}

static void slot_forget(struct track *t, const uint8_t id[16])
{
    struct slot *s = slot_lock(t, id);

    if (memcmp(s->id, id, 16) == 0)
        s->version = s->ticket = 0;
    slot_unlock(t, id);
}

static void track_forget_all(struct track *t)
{
    for (size_t stripe = 0; stripe < STRIPES; stripe++) {
        pthread_mutex_lock(&t->stripes[stripe]);
        for (size_t i = stripe; i < t->count; i += STRIPES)
            t->slots[i].version = t->slots[i].ticket = 0;
        pthread_mutex_unlock(&t->stripes[stripe]);
    }
}

static bool is_fresh(struct track *t)
{
    int64_t oldest = instant_read().mono - t->max_stale;

    return atomic_load(&t->listens) && atomic_load(&t->main_heard) > oldest &&
           atomic_load(&t->told_heard) > oldest;
}

bool track_knows(struct track *t, const uint8_t id[16], uint64_t version)
{
    struct slot *s;
    bool knows;

    if (!is_fresh(t))
        return false;
    s = slot_lock(t, id);
    knows = s->version == version && memcmp(s->id, id, 16) == 0;
    slot_unlock(t, id);
    return knows;
}

uint64_t track_asks(struct track *t, const struct redis_link *link,
                    const uint8_t id[16])
{
    struct slot *s;

    if (!atomic_load(&t->listens) || t->connection != link->connection)
        return 0;
    s = slot_lock(t, id);
    if (memcmp(s->id, id, 16)) {
        memcpy(s->id, id, 16);
        s->version = 0;
    }
    s->ticket = ++t->tickets;
    slot_unlock(t, id);
    return t->tickets;
}

void track_learns(struct track *t, const uint8_t id[16], uint64_t ticket,
                  uint64_t version)
{
    struct slot *s;

    if (!ticket)
        return;
    s = slot_lock(t, id);
    if (s->ticket == ticket && memcmp(s->id, id, 16) == 0)
        s->version = version;
    slot_unlock(t, id);
}

void track_writes(struct track *t, const uint8_t id[16])
{
    slot_forget(t, id);
}

/* --- who listens ---------------------------------------------------------- */

static void told_key(struct track *t, const struct redis_reply *key)
{
    uint8_t id[16];

    if (redis_key_id(t->keys, key, id))
        slot_forget(t, id);
}

static bool is_word(const struct redis_reply *reply, const char *word)
{
    return reply->kind == REDIS_TEXT && strcmp(reply->text, word) == 0;
}

/* ["message", channel, keys or nil], or ["pong", ""]. */
static void told_message(struct track *t, const struct redis_reply *reply)
{
    struct redis_reply what = redis_element(reply, 0);
    struct redis_reply keys = redis_element(reply, 2);

    if (is_word(&what, "pong")) {
        if (t->pinged)
            atomic_store(&t->told_heard, t->pinged);
        t->pinged = 0;
    } else if (is_word(&what, "message")) {
        if (keys.kind != REDIS_LIST) {
            track_forget_all(t); /* FLUSHALL */
            return;
        }
        for (size_t i = 0; i < keys.len; i++) {
            struct redis_reply key = redis_element(&keys, i);
            told_key(t, &key);
        }
    }
}

static enum rc told_read(struct track *t, struct err *err)
{
    struct redis_reply reply;
    enum rc rc;

    while ((rc = redis_heard(t->told, &reply, err)) == RC_OK)
        told_message(t, &reply);
    return rc == RC_PENDING ? RC_OK : rc;
}

static void told_lose(struct track *t)
{
    redis_close(&t->told);
    t->pinged = 0;
    track_forget_all(t);
}

/* Asks whether it still listens; what was not answered for too long was
 * lost. */
static enum rc told_ping(struct track *t, struct err *err)
{
    int64_t now = instant_read().mono;

    if (t->pinged && now - t->pinged > t->max_stale)
        return err_set(err, RC_UNAVAILABLE, "no answer in time");
    if (t->pinged || now - atomic_load(&t->told_heard) < t->max_stale / 4)
        return RC_OK;
    t->pinged = now;
    redis_say(t->told, "PING", NULL);
    return redis_send(t->told, now + t->max_stale, err);
}

/* What the store's thread wants; false: that it ends. */
static bool told_take(struct track *t)
{
    uint64_t woken;
    bool ends;

    if (read(t->wake, &woken, sizeof woken) < 0)
        woken = 0;
    pthread_mutex_lock(&t->lock);
    ends = t->ends;
    if (t->drop || t->next) {
        redis_close(&t->told);
        t->told = t->next;
        t->pinged = 0;
        t->next = NULL;
        t->drop = false;
    }
    pthread_mutex_unlock(&t->lock);
    return !ends;
}

/* It was lost, unless another one is waiting already. */
static void told_over(struct track *t)
{
    pthread_mutex_lock(&t->lock);
    if (!t->next)
        atomic_store(&t->listens, false);
    pthread_mutex_unlock(&t->lock);
    told_lose(t);
}

static void *track_main(void *arg)
{
    struct track *t = arg;
    struct err err;

    while (told_take(t)) {
        struct pollfd polls[2] = {{.fd = t->wake, .events = POLLIN}};
        if (t->told &&
            (told_read(t, &err) != RC_OK || told_ping(t, &err) != RC_OK))
            told_over(t);
        if (t->told)
            polls[1] = (struct pollfd){redis_fd(t->told), POLLIN, 0};
        poll(polls, t->told ? 2 : 1, t->told ? (int)t->max_stale / 8 + 1 : -1);
    }
    redis_close(&t->told);
    return NULL;
}

static void track_wake(struct track *t)
{
    uint64_t one = 1;

    if (write(t->wake, &one, sizeof one) != (ssize_t)sizeof one)
        abort();
}

/* --- the store's thread --------------------------------------------------- */

static void track_stop(struct track *t)
{
    bool was = atomic_exchange(&t->listens, false);

    t->connection = 0;
    if (!was)
        return;
    pthread_mutex_lock(&t->lock);
    redis_close(&t->next);
    t->drop = true;
    pthread_mutex_unlock(&t->lock);
    track_forget_all(t);
    track_wake(t);
}

static enum rc next_word(struct redis *r, int64_t deadline,
                         struct redis_reply *reply, struct err *err)
{
    enum rc rc = redis_next(r, deadline, reply, err);

    if (rc == RC_OK && reply->kind == REDIS_REFUSAL)
        rc = err_set(err, RC_INVALID, "%.200s", reply->text);
    return rc;
}

/* Opens the connection that listens; *id is what Redis calls it. */
static enum rc listen_to(const struct redis_link *link, int64_t deadline,
                         struct redis **out, int64_t *id, struct err *err)
{
    struct redis_reply reply;
    struct redis *r = NULL;
    enum rc rc = redis_open(&r, link->at.name, link->at.port, deadline, err);

    if (rc != RC_OK)
        return rc;
    if (link->url->password[0]) {
        redis_link_say_auth(r, link->url);
        rc = next_word(r, deadline, &reply, err);
    }
    redis_say(r, "CLIENT", "SETNAME", "margay-listens", NULL);
    redis_say(r, "CLIENT", "ID", NULL);
    redis_say(r, "SUBSCRIBE", CHANNEL, NULL);
    if (rc == RC_OK) /* may be refused */
        rc = redis_next(r, deadline, &reply, err);
    if (rc == RC_OK)
        rc = next_word(r, deadline, &reply, err);
    *id = rc == RC_OK && reply.kind == REDIS_NUMBER ? reply.number : 0;
    if (rc == RC_OK)
        rc = next_word(r, deadline, &reply, err);
    if (rc == RC_OK && reply.kind != REDIS_LIST)
        rc = err_set(err, RC_INVALID, "it answers what Redis would not");
    if (rc == RC_OK)
        *out = r;
    else
        redis_close(&r);
    return rc;
}

static enum rc begin_tracking(const struct redis_link *link, int64_t id,
                              int64_t deadline, struct err *err)
{
    struct redis_reply reply;
    char text[24];
    enum rc rc;

    snprintf(text, sizeof text, "%" PRId64, id);
    redis_say(link->redis, "CLIENT", "TRACKING", "on", "REDIRECT", text,
              "NOLOOP", NULL);
    rc = next_word(link->redis, deadline, &reply, err);
    return rc;
}

/* Once per cause. */
static void tell_refused(struct track *t, const struct redis_link *link,
                         const struct err *err)
{
    if (strcmp(t->refused, err->text) == 0)
        return;
    snprintf(t->refused, sizeof t->refused, "%s", err->text);
    log_state(t->log, LOG_WARN, "store",
              "Redis at %s:%u cannot be tracked: %s; each request asks, as "
              "with validate=\"version\"",
              link->at.name, link->at.port, err->text);
}

static void track_start(struct track *t, const struct redis_link *link,
                        int64_t timeout_ms)
{
    int64_t now = instant_read().mono, id = 0;
    struct redis *told = NULL;
    struct err err;
    enum rc rc = listen_to(link, now + timeout_ms, &told, &id, &err);

    if (rc == RC_OK)
        rc = begin_tracking(link, id, now + timeout_ms, &err);
    if (rc != RC_OK) {
        redis_close(&told);
        tell_refused(t, link, &err);
        t->next_try = now + RETRY_MS;
        return;
    }
    t->refused[0] = '\0';
    t->connection = link->connection;
    track_forget_all(t);
    atomic_store(&t->main_heard, now);
    atomic_store(&t->told_heard, now);
    pthread_mutex_lock(&t->lock);
    redis_close(&t->next);
    t->next = told;
    atomic_store(&t->listens, true);
    pthread_mutex_unlock(&t->lock);
    track_wake(t);
}

void track_follow(struct track *t, const struct redis_link *link, int64_t since,
                  int64_t timeout_ms)
{
    if (!link->redis || t->connection != link->connection)
        track_stop(t);
    track_heard(t, link, since);
    if (link->redis && !atomic_load(&t->listens) && since >= t->next_try)
        track_start(t, link, timeout_ms);
}

void track_heard(struct track *t, const struct redis_link *link, int64_t since)
{
    if (link->redis && t->connection == link->connection)
        atomic_store(&t->main_heard, since);
}

/* --- life ----------------------------------------------------------------- */

static void track_start_thread(struct track *t)
{
    sigset_t all, old;
    int n;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    n = pthread_create(&t->thread, NULL, track_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (n) {
        fputs("margay: cannot create a thread\n", stderr);
        abort();
    }
    pthread_setname_np(t->thread, "tracking");
}

struct track *track_new(const struct redis_keys *keys, int64_t max_stale,
                        int64_t slots, struct log *log)
{
    struct track *t = mem_zero(sizeof *t);

    t->keys = keys;
    t->max_stale = max_stale;
    t->log = log;
    t->count = (size_t)slots;
    t->slots = mem_zero(t->count * sizeof *t->slots);
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_init(&t->stripes[i], NULL);
    pthread_mutex_init(&t->lock, NULL);
    t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->wake < 0)
        abort(); /* out of files at the start */
    track_start_thread(t);
    return t;
}

void track_free(struct track **track)
{
    struct track *t = *track;

    if (!t)
        return;
    *track = NULL;
    pthread_mutex_lock(&t->lock);
    t->ends = true;
    pthread_mutex_unlock(&t->lock);
    track_wake(t);
    pthread_join(t->thread, NULL);
    redis_close(&t->next);
    close(t->wake);
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&t->stripes[i]);
    pthread_mutex_destroy(&t->lock);
    free(t->slots);
    free(t);
}
