/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the master and staying with it.
 *
 * Laws
 * - Whoever answers to the url is used only while it says that it is a master.
 * - With sentinels a new connection is made only to whom a sentinel names: a
 *   master that was dead and comes back takes itself for one until a sentinel
 *   tells it otherwise. They are asked at each new connection, and once a
 *   second while all is well: a master that was cut off from them does not know
 *   that it was replaced. */
#include "config.h"

#include "managers/stores/redis.h"

#include "session/instant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 1000

void redis_link_drop(struct redis_link *l)
{
    redis_close(&l->redis);
    l->ask_at = 0;
}

void redis_link_close(struct redis_link *l)
{
    redis_link_drop(l);
    redis_close(&l->sentinel);
}

/* --- what a refusal means ------------------------------------------------- */

static const struct refusal {
    const char *word, *text;
    enum { AGAIN, ELSEWHERE, FOR_GOOD } ask;
} refusals[] = {
    {"NOAUTH", "it wants a password: give it in the url", FOR_GOOD},
    {"WRONGPASS", "it refuses the user or password of the url", FOR_GOOD},
    {"ERR AUTH", "it has no password, and the url gives one: take it out",
     FOR_GOOD},
    {"NOPERM",
     "the user of the url may not use a command that is needed (see "
     "docs/stored-form.md)",
     FOR_GOOD},
    {"OOM",
     "it is out of memory: raise its maxmemory, or let sessions live shorter",
     AGAIN},
    {"READONLY", "it is a replica and takes no writes", ELSEWHERE},
    {"MASTERDOWN", "it is a replica that has lost its master", ELSEWHERE},
    {"LOADING", "it is loading its data", AGAIN},
    {"MISCONF",
     "it cannot write its data to disk and refuses writes: its log "
     "says why",
     AGAIN},
    {"NOREPLICAS", "it has fewer replicas than its min-replicas-to-write",
     AGAIN},
    {"BUSY", "it is busy with a script of somebody else", AGAIN},
    {"WRONGTYPE", "a key of ours holds something that is not ours", AGAIN},
    {"MOVED", "it belongs to a Redis Cluster, which is not supported",
     FOR_GOOD},
    {"CLUSTERDOWN", "it belongs to a Redis Cluster, which is not supported",
     FOR_GOOD},
};

static const struct refusal *refusal_of(const struct redis_reply *reply)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (redis_refused(reply, refusals[i].word))
            return &refusals[i];
    return NULL;
}

enum rc redis_link_refused(struct redis_link *l,
                           const struct redis_reply *reply, struct err *err)
{
    const struct refusal *r = refusal_of(reply);

    if (r && r->ask == ELSEWHERE)
        l->ask_at = 0;
    if (r)
        return err_set(err, RC_UNAVAILABLE, "Redis at %s:%u: %s", l->at.name,
                       l->at.port, r->text);
    if (reply->kind != REDIS_REFUSAL)
        return err_set(err, RC_UNAVAILABLE,
                       "Redis at %s:%u answers what Redis would not",
                       l->at.name, l->at.port);
    return err_set(err, RC_UNAVAILABLE, "Redis at %s:%u: %.200s", l->at.name,
                   l->at.port, reply->text);
}

/* --- sentinels ------------------------------------------------------------ */

static bool name_of_master(const struct redis_reply *reply,
                           struct redis_host *out)
{
    struct redis_reply host = redis_element(reply, 0);
    struct redis_reply port = redis_element(reply, 1);
    char *end;

    if (host.kind != REDIS_TEXT || port.kind != REDIS_TEXT || !host.len ||
        host.len >= sizeof out->name)
        return false;
    memcpy(out->name, host.text, host.len + 1);
    out->port = (unsigned)strtoul(port.text, &end, 10);
    return !*end && out->port > 0 && out->port < 65536;
}

void redis_link_say_auth(struct redis *r, const struct redis_url *url)
{
    if (url->user[0])
        redis_say(r, "AUTH", url->user, url->password, NULL);
    else
        redis_say(r, "AUTH", url->password, NULL);
}

static enum rc sentinel_ask(struct redis_link *l, int64_t deadline,
                            struct redis_reply *reply, struct err *err)
{
    redis_say(l->sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME",
              l->url->master, NULL);
    return redis_next(l->sentinel, deadline, reply, err);
}

/* Sentinels may have the password of the servers, or none. */
static enum rc sentinel_ask_again(struct redis_link *l, int64_t deadline,
                                  struct redis_reply *reply, struct err *err)
{
    enum rc rc;

    redis_link_say_auth(l->sentinel, l->url);
    rc = redis_next(l->sentinel, deadline, reply, err);
    if (rc != RC_OK || reply->kind == REDIS_REFUSAL)
        return rc;
    return sentinel_ask(l, deadline, reply, err);
}

/* RC_OK: it names one. RC_ABSENT: it knows none. */
static enum rc sentinel_name(struct redis_link *l, int64_t deadline,
                             struct redis_host *out)
{
    const struct redis_host *h = &l->url->hosts[l->sentinel_at];
    struct redis_reply reply;
    struct err err;
    enum rc rc = RC_OK;

    if (l->sentinel && !redis_is_open(l->sentinel))
        redis_close(&l->sentinel);
    if (!l->sentinel)
        rc = redis_open(&l->sentinel, h->name, h->port, deadline, &err);
    if (rc == RC_OK)
        rc = sentinel_ask(l, deadline, &reply, &err);
    if (rc == RC_OK && redis_refused(&reply, "NOAUTH") && l->url->password[0])
        rc = sentinel_ask_again(l, deadline, &reply, &err);
    if (rc == RC_OK && !name_of_master(&reply, out))
        rc = RC_ABSENT;
    if (rc == RC_UNAVAILABLE)
        redis_close(&l->sentinel);
    return rc;
}

/* The first sentinel that names a master is believed; each gets its share of
 * the time, and who answered is asked first the next time. */
static enum rc link_ask(struct redis_link *l, int64_t deadline,
                        struct redis_host *out, struct err *err)
{
    unsigned count = l->url->host_count;
    bool any_answered = false;

    for (unsigned left = count; left; left--) {
        int64_t now = instant_read().mono;
        int64_t share = (deadline - now) / (left + 1);
        enum rc rc;
        if (share <= 0)
            break;
        rc = sentinel_name(l, now + share, out);
        if (rc == RC_OK)
            return rc;
        any_answered = any_answered || rc == RC_ABSENT;
        redis_close(&l->sentinel);
        l->sentinel_at = (l->sentinel_at + 1) % count;
    }
    if (any_answered)
        return err_set(err, RC_UNAVAILABLE,
                       "the sentinels know no master called %s (or want "
                       "another password)",
                       l->url->master);
    return err_set(err, RC_UNAVAILABLE, "none of the %u sentinels answers",
                   count);
}

static bool host_equal(const struct redis_host *a, const struct redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

/* Where the master is. While there is a connection, sentinels that cannot be
 * asked change nothing. */
static enum rc link_find(struct redis_link *l, int64_t deadline,
                         struct err *err)
{
    struct redis_host host = l->url->hosts[0];
    int64_t now = instant_read().mono;
    enum rc rc = RC_OK;

    if (l->url->master[0]) {
        if (l->redis && now < l->ask_at)
            return RC_OK;
        rc = link_ask(l, deadline, &host, err);
        l->ask_at = now + ASK_MS;
    }
    if (rc != RC_OK)
        return l->redis ? RC_OK : rc;
    if (host_equal(&host, &l->at))
        return RC_OK;
    if (l->at.port)
        log_state(l->log, LOG_INFO, "store",
                  "RedisStore: the master is now %s:%u", host.name, host.port);
    redis_close(&l->redis);
    l->at = host;
    return RC_OK;
}

/* --- the server ----------------------------------------------------------- */

/* The next reply, which must not be a refusal. RC_ILLEGAL: one for good. */
static enum rc link_next(struct redis_link *l, int64_t deadline,
                         struct redis_reply *reply, struct err *err)
{
    enum rc rc = redis_next(l->redis, deadline, reply, err);
    const struct refusal *r = rc == RC_OK ? refusal_of(reply) : NULL;

    if (rc == RC_OK && reply->kind == REDIS_REFUSAL)
        rc = redis_link_refused(l, reply, err);
    return r && r->ask == FOR_GOOD ? RC_ILLEGAL : rc;
}

static enum rc link_role(struct redis_link *l, int64_t deadline,
                         struct err *err)
{
    struct redis_reply reply, role, replicas;
    enum rc rc;

    redis_say(l->redis, "PING", NULL); /* what it says while it loads */
    redis_say(l->redis, "ROLE", NULL);
    rc = link_next(l, deadline, &reply, err);
    if (rc == RC_OK)
        rc = link_next(l, deadline, &reply, err);
    if (rc != RC_OK)
        return rc;
    role = redis_element(&reply, 0);
    if (role.kind != REDIS_TEXT)
        return redis_link_refused(l, &reply, err);
    replicas = redis_element(&reply, 2);
    l->replicas = replicas.kind == REDIS_LIST ? (unsigned)replicas.len : 0;
    if (strcmp(role.text, "master") == 0)
        return RC_OK;
    return err_set(err, RC_UNAVAILABLE, "Redis at %s:%u is a replica: %s",
                   l->at.name, l->at.port,
                   l->url->master[0] ? "the sentinels have not made a master "
                                       "of it yet"
                                     : "the url must name its master, or "
                                       "sentinels (redis-sentinel://...)");
}

/* A server that forgets what was not to be forgotten is told of, once. */
static void link_look_at_policy(struct redis_link *l,
                                const struct redis_reply *reply)
{
    struct redis_reply policy = redis_element(reply, 1);

    if (l->warned || policy.kind != REDIS_TEXT ||
        strcmp(policy.text, "noeviction") == 0)
        return;
    l->warned = true;
    log_state(l->log, LOG_WARN, "store",
              "Redis at %s:%u has the maxmemory-policy %s: when its memory is "
              "full it drops sessions, and users are logged out; set "
              "noeviction",
              l->at.name, l->at.port, policy.text);
}

/* All in one write; the first that is refused says why. */
static enum rc link_greet(struct redis_link *l, int64_t deadline,
                          struct err *err)
{
    const struct redis_url *url = l->url;
    struct redis_reply reply;
    enum rc rc = RC_OK;
    char db[16];
    unsigned must = 2; /* SELECT, SCRIPT LOAD */

    if (url->password[0]) {
        redis_link_say_auth(l->redis, url);
        must++;
    }
    snprintf(db, sizeof db, "%u", url->db);
    redis_say(l->redis, "SELECT", db, NULL);
    redis_say(l->redis, "SCRIPT", "LOAD", l->script, NULL);
    redis_say(l->redis, "CLIENT", "SETNAME", "margay", NULL);
    redis_say(l->redis, "CONFIG", "GET", "maxmemory-policy", NULL);
    while (must-- && rc == RC_OK)
        rc = link_next(l, deadline, &reply, err);
    if (rc != RC_OK)
        return rc;
    snprintf(l->sha, sizeof l->sha, "%s",
             reply.kind == REDIS_TEXT ? reply.text : "");
    rc = redis_next(l->redis, deadline, &reply, err); /* SETNAME */
    if (rc == RC_OK)
        rc = redis_next(l->redis, deadline, &reply, err);
    if (rc == RC_OK)
        link_look_at_policy(l, &reply);
    return rc;
}

static enum rc link_connect(struct redis_link *l, int64_t deadline,
                            struct err *err)
{
    enum rc rc = redis_open(&l->redis, l->at.name, l->at.port, deadline, err);

    if (rc == RC_OK)
        rc = link_greet(l, deadline, err);
    if (rc == RC_OK)
        rc = link_role(l, deadline, err);
    if (rc != RC_OK)
        redis_link_drop(l);
    l->connection = versions_next(&l->numbers);
    return rc;
}

enum rc redis_link_check(struct redis_link *l, int64_t timeout_ms,
                         struct err *err)
{
    int64_t deadline = instant_read().mono + timeout_ms;
    enum rc rc;

    if (l->redis && !redis_is_open(l->redis))
        redis_link_drop(l);
    rc = link_find(l, deadline, err);
    if (rc != RC_OK)
        return rc;
    if (!l->redis)
        return link_connect(l, deadline, err);
    rc = link_role(l, deadline, err);
    if (rc != RC_OK)
        redis_link_drop(l);
    return rc;
}
