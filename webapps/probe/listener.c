/* SPDX-License-Identifier: Apache-2.0
 *
 * listener.c: two listeners that write down what they hear, and the journal
 * that they write into. */
#include "container/servlet.h"
#include "webapps/probe/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A listener has no state of its own, so each has its own functions; what they
 * share is one. */
static void note(struct servlet_context *context, const char *listener,
                 const char *event, const struct http_session *session,
                 const char *name, struct journal_entry *entry)
{
    struct journal *journal = servlet_context_state(context);

    if (!journal)
        return;
    snprintf(entry->listener, sizeof(entry->listener), "%s", listener);
    snprintf(entry->event, sizeof(entry->event), "%s", event);
    snprintf(entry->session, sizeof(entry->session), "%.8s",
             http_session_id(session));
    snprintf(entry->name, sizeof(entry->name), "%s", name);
    journal_add(journal, entry);
}

static void print_value(char *text, size_t size,
                        const struct http_session_value *value)
{
    switch (value->type) {
    case HTTP_SESSION_STRING:
        snprintf(text, size, "%s", value->data);
        break;
    case HTTP_SESSION_INT:
    case HTTP_SESSION_COUNTER:
        snprintf(text, size, "%" PRId64, value->number);
        break;
    case HTTP_SESSION_DOUBLE:
        snprintf(text, size, "%.17g", value->real);
        break;
    case HTTP_SESSION_BOOL:
        snprintf(text, size, "%s", value->truth ? "true" : "false");
        break;
    case HTTP_SESSION_BYTES:
        snprintf(text, size, "%zu bytes", value->len);
        break;
    case HTTP_SESSION_NONE:
        break;
    }
}

static void note_plain(struct servlet_context *context, const char *listener,
                       const char *event, const struct http_session *session)
{
    note(context, listener, event, session, "", &(struct journal_entry){0});
}

static void note_detail(struct servlet_context *context, const char *listener,
                        const char *event, const struct http_session *session,
                        int digits, const char *detail)
{
    struct journal_entry entry = {0};

    snprintf(entry.detail, sizeof(entry.detail), "%.*s", digits, detail);
    note(context, listener, event, session, "", &entry);
}

static void note_attribute(struct servlet_context *context,
                           const char *listener, const char *event,
                           const struct http_session *session, const char *name,
                           bool has_old)
{
    struct http_session_value value = http_session_get(session, name);
    struct journal_entry entry = {0};

    print_value(entry.value, sizeof(entry.value), &value);
    if (has_old) {
        value = http_session_event_old(session);
        print_value(entry.detail, sizeof(entry.detail), &value);
    }
    note(context, listener, event, session, name, &entry);
}

#define PLAIN(who, event)                                                      \
    static void who##_##event(struct servlet_context *context,                 \
                              struct http_session *session)                    \
    {                                                                          \
        note_plain(context, #who, #event, session);                            \
    }
#define DETAIL(who, event, digits)                                             \
    static void who##_##event(struct servlet_context *context,                 \
                              struct http_session *session,                    \
                              const char *detail)                              \
    {                                                                          \
        note_detail(context, #who, #event, session, digits, detail);           \
    }
#define ATTRIBUTE(who, event, has_old)                                         \
    static void who##_##event(struct servlet_context *context,                 \
                              struct http_session *session, const char *name)  \
    {                                                                          \
        note_attribute(context, #who, #event, session, name, has_old);         \
    }
#define LISTENER(who)                                                          \
    PLAIN(who, created)                                                        \
    DETAIL(who, destroyed, 63)                                                 \
    DETAIL(who, id_changed, 8) /* of an id, no more than that */               \
    ATTRIBUTE(who, attribute_added, false)                                     \
    ATTRIBUTE(who, attribute_replaced, true)                                   \
    ATTRIBUTE(who, attribute_removed, true)                                    \
    PLAIN(who, will_passivate)                                                 \
    PLAIN(who, did_activate)                                                   \
    const struct http_session_listener probe_##who = {                         \
        .created = who##_created,                                              \
        .destroyed = who##_destroyed,                                          \
        .id_changed = who##_id_changed,                                        \
        .attribute_added = who##_attribute_added,                              \
        .attribute_replaced = who##_attribute_replaced,                        \
        .attribute_removed = who##_attribute_removed,                          \
        .will_passivate = who##_will_passivate,                                \
        .did_activate = who##_did_activate,                                    \
    };

LISTENER(first)
LISTENER(second)

/* ---- the journal lives as long as the application ---- */

static bool setup_initialized(struct servlet_context *context)
{
    struct journal *journal = journal_new();

    servlet_context_set_state(context, journal);
    if (!journal)
        servlet_log(context, "no memory for the journal of events");
    return journal != NULL;
}

static void setup_destroyed(struct servlet_context *context)
{
    struct journal *journal = servlet_context_state(context);

    servlet_context_set_state(context, NULL);
    journal_free(&journal);
}

const struct servlet_context_listener probe_setup = {
    .initialized = setup_initialized,
    .destroyed = setup_destroyed,
};
