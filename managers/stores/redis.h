/* SPDX-License-Identifier: Apache-2.0
 *
 * redis.h: one connection to a Redis server or Sentinel, and where it leads.
 *
 * What    Commands are added to a pipeline and leave with the first question
 *         for a reply; replies come in the order of the commands. Every wait
 *         ends at a deadline, however slowly the bytes come. After a failure
 *         of the connection it answers nothing but that failure.
 *         A struct redis_url says what a url="..." means.
 * Owns    redis_open gives a connection, redis_close frees it. A reply is good
 *         until the next redis_next or redis_close.
 * Errors  RC_UNAVAILABLE with a text. An error that the server replied is a
 *         reply (REDIS_REFUSAL), not a failure.
 * Threads One at a time. */
#ifndef MARGAY_MANAGERS_STORES_REDIS_H
#define MARGAY_MANAGERS_STORES_REDIS_H

#include "managers/stores/versions.h"
#include "session/log.h"
#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- a connection --------------------------------------------------------- */

struct redis;

enum redis_kind {
    REDIS_NOTHING, /* nil */
    REDIS_NUMBER,
    REDIS_TEXT, /* a string or a status */
    REDIS_REFUSAL,
    REDIS_LIST
};

struct redis_reply {
    enum redis_kind kind;
    int64_t number;
    const char *text; /* of TEXT and REFUSAL; a 0 follows */
    size_t len;       /* of text; of LIST: elements */
    const void *list;
};

/* deadline: instant_read().mono. The name is looked up by the C library. */
enum rc redis_open(struct redis **out, const char *host, unsigned port,
                   int64_t deadline, struct err *err);
void redis_close(struct redis **r);
/* The peer has not closed it, as far as can be known without asking. */
bool redis_is_open(struct redis *r);
/* One word of a command: bytes, perhaps with zeros in it. */
struct redis_word {
    const void *bytes;
    size_t len;
};
void redis_add(struct redis *r, const struct redis_word *words, unsigned count);
/* The same for words without zeros; the list ends with NULL. */
void redis_say(struct redis *r, ...) __attribute__((sentinel));
/* Bytes of commands that were added since the last one left. */
size_t redis_waiting(const struct redis *r);
/* Has a part of what was added since the last reply perhaps left? */
bool redis_has_sent(const struct redis *r);
enum rc redis_next(struct redis *r, int64_t deadline, struct redis_reply *reply,
                   struct err *err);
/* Sends what was added, and waits for no reply. */
enum rc redis_send(struct redis *r, int64_t deadline, struct err *err);
/* What came unasked: RC_OK, or RC_PENDING when there is nothing (more). Waits
 * for nothing; redis_fd becomes readable when there is. */
enum rc redis_heard(struct redis *r, struct redis_reply *reply,
                    struct err *err);
int redis_fd(const struct redis *r);
/* An element of a LIST. */
struct redis_reply redis_element(const struct redis_reply *list, size_t i);
/* Does a REFUSAL begin with this word: "NOSCRIPT"? */
bool redis_refused(const struct redis_reply *reply, const char *word);

/* --- where it leads ------------------------------------------------------- */

#define REDIS_HOSTS 16

struct redis_host {
    char name[256];
    unsigned port;
};

struct redis_url {
    struct redis_host hosts[REDIS_HOSTS]; /* the server, or the sentinels */
    unsigned host_count;
    char master[128]; /* its name at the sentinels; "": no sentinels */
    char user[256];   /* "": the default one */
    char password[512];
    unsigned db;
};

/* redis://[[user]:password@]host[:port][/db] and
 * redis-sentinel://[[user]:password@]host[:port],.../master-name[/db];
 * user and password may hold %XX, a host may be [::1]. The text of an error
 * never shows the password. */
enum rc redis_url_read(const char *text, struct redis_url *out,
                       struct err *err);
/* Do they lead to one database, as far as their words say? Whoever logs in;
 * names are not looked up, but for this machine's own. */
bool redis_url_same(const struct redis_url *a, const struct redis_url *b);
/* The first line of that file, or, where none is named, the text. Either may
 * be NULL or "". */
enum rc redis_url_find(const char *text, const char *file,
                       struct redis_url *out, struct err *err);

/* --- the master ----------------------------------------------------------- */

/* The connection to the server that takes writes: the one that the url names,
 * or the one that the sentinels name at this moment. */
struct redis_link {
    /* whoever uses it fills in */
    const struct redis_url *url;
    const char *script;
    struct log *log;

    struct redis *redis;  /* NULL: none */
    struct redis_host at; /* where it leads, or led */
    char sha[41];         /* of the script */
    unsigned replicas;    /* that were connected at the last check */
    uint64_t connection;  /* another number at each connection */

    struct versions numbers;

    struct redis *sentinel;
    unsigned sentinel_at; /* the one that answered last */
    int64_t ask_at;       /* mono ms: when the sentinels are asked again */
    bool warned;
};

/* Asks the server for its role; connects, where that is needed, to the one
 * that is the master now. RC_OK: redis is there and takes commands.
 * RC_ILLEGAL: it refuses these for good. */
enum rc redis_link_check(struct redis_link *l, int64_t timeout_ms,
                         struct err *err);
/* Closes it; the next check connects anew. */
void redis_link_drop(struct redis_link *l);
void redis_link_close(struct redis_link *l);
/* Adds the AUTH of the url. */
void redis_link_say_auth(struct redis *r, const struct redis_url *url);
/* What a REFUSAL means, in words that are the same for the same cause. Returns
 * RC_UNAVAILABLE: what is refused was not done. Where the server is no master
 * any more, the next check looks for the one that is. */
enum rc redis_link_refused(struct redis_link *l,
                           const struct redis_reply *reply, struct err *err);

#endif
