/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection: hiredis never blocks here, we wait ourselves, so that a
 * deadline holds for all of an answer and not for each of its bytes. */
#include "config.h"

#include "managers/stores/redis.h"

#include "session/buf.h"
#include "session/instant.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis/hiredis.h>

#define WORDS_MAX 16

struct redis {
    redisContext *context;
    redisReply *reply; /* the last one given out */
    char name[300];    /* "host:port", for texts */
    size_t waiting;    /* bytes that were added and have not all left */
    bool has_sent;
    int error; /* errno, once an input or output failed */
};

/* --- waiting -------------------------------------------------------------- */

/* One that is not there refuses, resets or closes, as it happens to be met:
 * same cause, same text. */
static enum rc redis_gone(struct redis *r, int error, struct err *err)
{
    const char *why = strerror(error);

    if (error == ECONNREFUSED || error == ECONNRESET || error == EPIPE)
        why = "nobody answers there (the connection was refused or closed)";
    return err_set(err, RC_UNAVAILABLE, "Redis at %s: %s", r->name, why);
}

static enum rc redis_failed(struct redis *r, struct err *err)
{
    if (r->context->err == REDIS_ERR_EOF)
        return redis_gone(r, ECONNRESET, err);
    if (r->context->err == REDIS_ERR_IO && r->error)
        return redis_gone(r, r->error, err);
    return err_set(err, RC_UNAVAILABLE, "Redis at %s: %s", r->name,
                   r->context->errstr);
}

/* The same, when it has just happened: errno is of the call that failed. */
static enum rc redis_fails(struct redis *r, struct err *err)
{
    r->error = errno;
    return redis_failed(r, err);
}

static enum rc redis_late(struct redis *r, struct err *err)
{
    /* What comes later would answer the next question. */
    r->context->err = REDIS_ERR_OTHER;
    memcpy(r->context->errstr, "no answer in time", 18);
    return redis_failed(r, err);
}

static enum rc redis_wait(struct redis *r, short events, int64_t deadline,
                          struct err *err)
{
    struct pollfd p = {.fd = r->context->fd, .events = events};
    int64_t left = deadline - instant_read().mono;
    int n;

    do {
        n = left > 0 ? poll(&p, 1, (int)left) : 0;
        left = deadline - instant_read().mono;
    } while (n < 0 && errno == EINTR);
    return n > 0 ? RC_OK : redis_late(r, err);
}

/* --- opening and closing -------------------------------------------------- */

static enum rc redis_connected(struct redis *r, int64_t deadline,
                               struct err *err)
{
    int error = 0;
    socklen_t len = sizeof error;
    enum rc rc = redis_wait(r, POLLOUT, deadline, err);

    if (rc != RC_OK)
        return rc;
    if (getsockopt(r->context->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (error)
        return redis_gone(r, error, err);
    redisEnableKeepAlive(r->context);
    return RC_OK;
}

enum rc redis_open(struct redis **out, const char *host, unsigned port,
                   int64_t deadline, struct err *err)
{
    struct redis *r = mem_zero(sizeof *r);
    enum rc rc;

    snprintf(r->name, sizeof r->name, "%s:%u", host, port);
    r->context = redisConnectNonBlock(host, (int)port);
    if (!r->context)
        abort(); /* no memory */
    rc = r->context->err ? redis_fails(r, err)
                         : redis_connected(r, deadline, err);
    if (rc == RC_OK)
        *out = r;
    else
        redis_close(&r);
    return rc;
}

static void reply_drop(struct redis *r)
{
    if (r->reply)
        freeReplyObject(r->reply);
    r->reply = NULL;
}

void redis_close(struct redis **redis)
{
    struct redis *r = *redis;

    if (!r)
        return;
    *redis = NULL;
    reply_drop(r);
    redisFree(r->context);
    free(r);
}

bool redis_is_open(struct redis *r)
{
    struct pollfd p = {.fd = r->context->fd, .events = POLLIN};

    /* Nobody was asked anything: what can be read is the end. */
    return !r->context->err && poll(&p, 1, 0) == 0;
}

/* --- commands ------------------------------------------------------------- */

void redis_add(struct redis *r, const struct redis_word *words, unsigned count)
{
    const char *bytes[WORDS_MAX];
    size_t lens[WORDS_MAX], sum = 0;

    if (count > WORDS_MAX)
        abort();
    for (unsigned i = 0; i < count; i++) {
        bytes[i] = words[i].bytes ? words[i].bytes : "";
        lens[i] = words[i].len;
        sum += lens[i] + 16;
    }
    if (!r->waiting)
        r->has_sent = false;
    r->waiting += sum;
    /* After a failure nothing is added, and redis_next says so. */
    if (!r->context->err)
        redisAppendCommandArgv(r->context, (int)count, bytes, lens);
}

void redis_say(struct redis *r, ...)
{
    struct redis_word words[WORDS_MAX];
    unsigned count = 0;
    const char *word;
    va_list ap;

    va_start(ap, r);
    while ((word = va_arg(ap, const char *)) && count < WORDS_MAX)
        words[count++] = (struct redis_word){word, strlen(word)};
    va_end(ap);
    redis_add(r, words, count);
}

size_t redis_waiting(const struct redis *r)
{
    return r->waiting;
}

bool redis_has_sent(const struct redis *r)
{
    return r->has_sent;
}

/* --- replies -------------------------------------------------------------- */

static struct redis_reply reply_show(const redisReply *reply)
{
    struct redis_reply out = {.kind = REDIS_NOTHING};

    switch (reply->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        out.kind =
            reply->type == REDIS_REPLY_ERROR ? REDIS_REFUSAL : REDIS_TEXT;
        out.text = reply->str;
        out.len = reply->len;
        break;
    case REDIS_REPLY_INTEGER:
        out.kind = REDIS_NUMBER;
        out.number = reply->integer;
        break;
    case REDIS_REPLY_ARRAY:
        out.kind = REDIS_LIST;
        out.list = reply;
        out.len = reply->elements;
        break;
    }
    return out;
}

/* Sends what waits; while the peer takes nothing, reads what it says, so that
 * neither waits for the other. */
static enum rc redis_flush(struct redis *r, int64_t deadline, struct err *err)
{
    int done = 0;
    enum rc rc;

    while (r->waiting && !done) {
        size_t before = sdslen(r->context->obuf);
        if (redisBufferWrite(r->context, &done) != REDIS_OK)
            return redis_fails(r, err);
        r->has_sent = r->has_sent || done || sdslen(r->context->obuf) < before;
        if (done)
            break;
        rc = redis_wait(r, POLLOUT | POLLIN, deadline, err);
        if (rc != RC_OK)
            return rc;
        if (redisBufferRead(r->context) != REDIS_OK)
            return redis_fails(r, err);
    }
    r->waiting = 0;
    return RC_OK;
}

enum rc redis_next(struct redis *r, int64_t deadline, struct redis_reply *out,
                   struct err *err)
{
    void *reply = NULL;
    enum rc rc;

    reply_drop(r);
    if (r->context->err)
        return redis_failed(r, err);
    rc = redis_flush(r, deadline, err);
    while (rc == RC_OK) {
        if (redisGetReplyFromReader(r->context, &reply) != REDIS_OK)
            return redis_fails(r, err);
        if (reply)
            break;
        rc = redis_wait(r, POLLIN, deadline, err);
        if (rc == RC_OK && redisBufferRead(r->context) != REDIS_OK)
            return redis_fails(r, err);
    }
    if (rc != RC_OK)
        return rc;
    r->reply = reply;
    *out = reply_show(r->reply);
    return RC_OK;
}

enum rc redis_send(struct redis *r, int64_t deadline, struct err *err)
{
    return r->context->err ? redis_failed(r, err)
                           : redis_flush(r, deadline, err);
}

enum rc redis_heard(struct redis *r, struct redis_reply *out, struct err *err)
{
    struct pollfd p = {.fd = r->context->fd, .events = POLLIN};
    void *reply = NULL;

    reply_drop(r);
    if (r->context->err)
        return redis_failed(r, err);
    for (int tries = 0; tries < 2; tries++) {
        if (redisGetReplyFromReader(r->context, &reply) != REDIS_OK)
            return redis_fails(r, err);
        if (reply || poll(&p, 1, 0) <= 0)
            break;
        if (redisBufferRead(r->context) != REDIS_OK)
            return redis_fails(r, err);
    }
    if (!reply)
        return RC_PENDING;
    r->reply = reply;
    *out = reply_show(r->reply);
    return RC_OK;
}

int redis_fd(const struct redis *r)
{
    return r->context->fd;
}

struct redis_reply redis_element(const struct redis_reply *list, size_t i)
{
    const redisReply *reply = list->list;

    if (list->kind != REDIS_LIST || i >= reply->elements)
        return (struct redis_reply){.kind = REDIS_NOTHING};
    return reply_show(reply->element[i]);
}

bool redis_refused(const struct redis_reply *reply, const char *word)
{
    size_t len = strlen(word);

    return reply->kind == REDIS_REFUSAL && reply->len >= len &&
           memcmp(reply->text, word, len) == 0 &&
           (reply->text[len] == ' ' || !reply->text[len]);
}
