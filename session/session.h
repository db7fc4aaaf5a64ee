/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h: a session as one request sees it.
 *
 * What    A snapshot of the record plus the request's own changes. Reads see
 *         both; nobody else sees the changes until the commit (manager.h).
 *         Begun by manager_attach (from a found record) or manager_create; at
 *         the end of the request its changes are committed, then
 *         session_detach.
 * Owns    The struct lies in the request (no allocation of its own). Pointers
 *         that these functions return stay valid until session_detach, also
 *         after the attribute was replaced or removed.
 * Events  Listeners are called in the calling thread, in Tomcat's order
 *         (org/apache/catalina/session/StandardSession.java): attribute events
 *         after the change; at the end `destroyed` in reverse order of
 *         registration while the session can still be read, then one
 *         `removed` per attribute.
 * Errors  RC_ILLEGAL: the session has ended (in this request), or was attached
 *         for reading only. RC_INVALID: empty name, wrong type for an add.
 *         RC_TOOBIG: over maxSessionBytes; err names the limit. Nothing is
 *         changed then.
 * Threads One request at a time; the record beneath is shared and immutable. */
#ifndef MARGAY_SESSION_SESSION_H
#define MARGAY_SESSION_SESSION_H

#include "session/changes.h"
#include "session/instant.h"
#include "session/rc.h"
#include "session/record.h"

struct aside;
struct commit_flow;
struct manager;

enum session_state {
    SESSION_NONE, /* not attached */
    SESSION_LIVE,
    SESSION_ENDING, /* listeners hear of its end; can be read */
    SESSION_ENDED   /* ended in this request */
};

struct session {
    struct manager *manager;
    enum session_state state;
    bool created;   /* by this request: isNew */
    bool read_only; /* attached by a mapping session="read" */
    bool renaming;  /* next_id is to replace id */
    bool login;     /* the user is to be recorded at commit */
    bool claimed;   /* this request holds the right to end it, ... */
    enum reason end_reason;
    uint8_t id[ID_SIZE];         /* under which it is known to others */
    uint8_t next_id[ID_SIZE];    /* renaming: under which it goes on */
    uint8_t claimed_id[ID_SIZE]; /* ... under this id */
    struct record *record;  /* snapshot; NULL: nobody has heard of it yet */
    struct record **pinned; /* older snapshots that were handed out */
    size_t pinned_count;
    struct commit_flow *flushes; /* whose answers were not taken yet */
    enum rc flush_rc;            /* of one that was not OK */
    enum reason flush_reason;    /* ENDED */
    bool flushed;                /* one was OK */
    struct aside *aside; /* attributes that stay here; NULL: there are none */
    struct changes changes;
    int64_t birth;          /* wall ms */
    int64_t last_access;    /* wall ms, of the request before this one */
    struct instant now;     /* when it was attached */
    struct value event_old; /* during an attribute event */
    void *user_data;        /* the caller's, handed to listeners */
};

/* The listener's side: all members may be NULL. `user` is listeners.user. */
struct session_listeners {
    void *user;
    void (*created)(void *user, struct session *s);
    /* in this order: destroyed, then attribute_removed for each */
    void (*destroyed)(void *user, struct session *s, enum reason reason);
    void (*id_changed)(void *user, struct session *s,
                       const uint8_t old_id[ID_SIZE]);
    void (*attribute_added)(void *user, struct session *s, const char *name);
    void (*attribute_replaced)(void *user, struct session *s, const char *name);
    void (*attribute_removed)(void *user, struct session *s, const char *name);
    void (*will_passivate)(void *user, struct session *s);
    void (*did_activate)(void *user, struct session *s);
};

/* The id that the client is to use from now on. */
const uint8_t *session_id(const struct session *s);
bool session_is_live(const struct session *s);
/* type NONE when absent. A STRING is followed by a 0 byte. */
struct value session_get(const struct session *s, const char *name);
enum rc session_set(struct session *s, const char *name,
                    const struct value *value, struct err *err);
enum rc session_remove(struct session *s, const char *name, struct err *err);
/* *value (may be NULL): the counter as this request sees it now. */
enum rc session_add(struct session *s, const char *name, int64_t amount,
                    int64_t *value, struct err *err);
/* Attributes in the order of their names. */
void session_each(const struct session *s,
                  void (*each)(void *user, const char *name,
                               const struct value *value),
                  void *user);
/* NULL: nobody is logged in. */
const char *session_user(const struct session *s);
int64_t session_max_inactive(const struct session *s); /* seconds, 0 never */
int64_t session_max_lifetime(const struct session *s);
enum rc session_set_max_inactive(struct session *s, int64_t seconds,
                                 struct err *err);
/* What other instances have written in it, as it was when it was attached. Of a
 * session that got a new id all that stood in it then counts as others'. */
void session_others(const struct session *s, struct record_others *out);
/* New id, same session. The caller sends the new cookie when the commit
 * answered OK. */
enum rc session_change_id(struct session *s, struct err *err);
/* Records the user and changes the id. */
enum rc session_login(struct session *s, const char *user, struct err *err);
/* Ends it: listeners now, everybody else at the commit. */
enum rc session_invalidate(struct session *s, enum reason reason,
                           struct err *err);
/* Frees what the request held. Commit first: what was not is lost. */
void session_detach(struct session *s);

#endif
