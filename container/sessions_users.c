/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions_users.h"

#define TRIES 20
#define KEEP_SECONDS (30 * 24 * 3600) /* as a login does */

void sessions_users_begin(struct sessions_users *u,
                          struct sessions_store *store)
{
    *u = (struct sessions_users){.store = store, .node = id_mint_node()};
}

/* ---- the secret ---- */

static bool take_secret(struct sessions_users *u, const struct record *record)
{
    struct value v = record_attribute(record, "secret", 6);

    if (record_kind(record) != RECORD_SECRET || v.type != VALUE_BYTES ||
        v.len != ID_SIZE)
        return false;
    memcpy(u->secret, v.data, ID_SIZE);
    u->knows_secret = true;
    return true;
}

/* Over what stands there and is none, or in its absence. */
static enum rc make_secret(struct sessions_users *u, struct sessions_row *row,
                           struct err *err)
{
    static const uint8_t id[ID_SIZE];
    uint8_t secret[ID_SIZE];
    struct value v = {.type = VALUE_BYTES, .len = ID_SIZE};
    struct changes c;
    enum rc rc, why;

    id_mint(secret);
    v.data = (const char *)secret;
    changes_init(&c);
    changes_set(&c, key_name("secret", 6), &v);
    sessions_row_release(row);
    row->access = instant_read().wall;
    row->record = record_new(RECORD_SECRET, id, row->access, &c, u->node);
    changes_release(&c);
    rc = sessions_put(u->store, row, &why, err);
    if (rc == RC_OK && take_secret(u, row->record))
        return RC_OK;
    return rc == RC_CONFLICT || rc == RC_UNCERTAIN || rc == RC_ABSENT
               ? RC_PENDING
               : rc;
}

static enum rc learn_secret(struct sessions_users *u, struct err *err)
{
    static const uint8_t id[ID_SIZE];
    struct sessions_row row;
    enum rc rc = RC_PENDING;

    for (int i = 0; i < TRIES && rc == RC_PENDING; i++) {
        rc = sessions_get(u->store, id, &row, err);
        if (rc == RC_OK && take_secret(u, row.record))
            ;
        else if (rc == RC_OK || rc == RC_ABSENT || rc == RC_INVALID)
            rc = make_secret(u, &row, err);
        sessions_row_release(&row);
    }
    return rc == RC_PENDING
               ? err_set(err, RC_UNAVAILABLE, "others write it all the time")
               : rc;
}

/* ---- a list ---- */

static void take_login(void *user, struct key key, const struct value *value,
                       int64_t stamp)
{
    (void)value;
    if (!key.name && key.field == FIELD_USER)
        *(int64_t *)user = stamp;
}

/* The list with the session in it. false: it is there already. */
static bool enter(struct sessions_users *u, struct sessions_row *list,
                  const uint8_t id[ID_SIZE], const struct record *session)
{
    struct value login = {.type = VALUE_INT}, old;
    struct value keep = {.type = VALUE_INT, .number = KEEP_SECONDS};
    int64_t now = instant_read().wall;
    char name[ID_TEXT_SIZE];
    struct changes c;

    record_each(session, take_login, &login.number);
    id_format(record_id(session), name);
    if (list->record) {
        old = record_attribute(list->record, name, ID_TEXT_SIZE - 1);
        if (old.type != VALUE_NONE && sessions_row_lives(u->store, list))
            return false;
    }
    changes_init(&c);
    changes_set(&c, key_name(name, ID_TEXT_SIZE - 1), &login);
    if (list->record) {
        struct record *with = record_apply(list->record, &c, now, u->node);
        record_unref(&list->record);
        list->record = with;
    } else {
        changes_set(&c, key_field(FIELD_MAX_INACTIVE), &keep);
        list->record = record_new(RECORD_USER, id, now, &c, u->node);
    }
    changes_release(&c);
    if (list->access < now)
        list->access = now;
    return true;
}

/* Is it a list? What is none is written over, by its version. */
static bool is_list(const struct sessions_row *row)
{
    return row->record && record_kind(row->record) == RECORD_USER &&
           !record_ended(row->record, NULL);
}

static enum rc try_enter(struct sessions_users *u, const uint8_t id[ID_SIZE],
                         const struct record *session, struct err *err)
{
    struct sessions_row list;
    enum rc why, rc = sessions_get(u->store, id, &list, err);

    if (rc == RC_OK || rc == RC_ABSENT || rc == RC_INVALID) {
        if (!is_list(&list))
            sessions_row_release(&list);
        rc = RC_OK;
        if (enter(u, &list, id, session))
            rc = sessions_put(u->store, &list, &why, err);
        if (rc == RC_CONFLICT || rc == RC_UNCERTAIN || rc == RC_ABSENT)
            rc = RC_PENDING;
    }
    sessions_row_release(&list);
    return rc;
}

/* RC_ABSENT: it is nobody's. */
static enum rc find_list(struct sessions_users *u, const struct record *session,
                         uint8_t id[ID_SIZE], struct err *err)
{
    struct value user = record_get(session, key_field(FIELD_USER));
    enum rc rc = RC_OK;

    if (user.type != VALUE_STRING || user.len == 0)
        return RC_ABSENT;
    if (!u->knows_secret)
        rc = learn_secret(u, err);
    if (rc == RC_OK)
        id_of_user(u->secret, u->store->app, user.data, user.len, id);
    return rc;
}

enum rc sessions_users_know(struct sessions_users *u,
                            const struct sessions_row *session, bool *known,
                            struct err *err)
{
    struct sessions_row list;
    char name[ID_TEXT_SIZE];
    uint8_t id[ID_SIZE];
    enum rc rc = find_list(u, session->record, id, err);

    *known = false;
    if (rc == RC_OK)
        rc = sessions_get(u->store, id, &list, err);
    if (rc == RC_ABSENT || rc == RC_INVALID)
        return RC_OK;
    if (rc != RC_OK)
        return rc;
    id_format(record_id(session->record), name);
    if (is_list(&list) && sessions_row_lives(u->store, &list)) {
        struct key key = key_name(name, ID_TEXT_SIZE - 1);
        *known = record_removed(list.record, key) ||
                 (!store_forgets(u->store->store) &&
                  record_get(list.record, key).type != VALUE_NONE);
    }
    sessions_row_release(&list);
    return RC_OK;
}

enum rc sessions_users_enter(struct sessions_users *u,
                             const struct sessions_row *session,
                             struct err *err)
{
    uint8_t id[ID_SIZE];
    enum rc rc = find_list(u, session->record, id, err);

    if (rc != RC_OK)
        return rc == RC_ABSENT ? RC_OK : rc;
    rc = RC_PENDING;
    for (int i = 0; i < TRIES && rc == RC_PENDING; i++)
        rc = try_enter(u, id, session->record, err);
    return rc == RC_PENDING
               ? err_set(err, RC_UNAVAILABLE, "others write it all the time")
               : rc;
}
