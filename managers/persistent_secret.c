/* SPDX-License-Identifier: Apache-2.0
 *
 * The secret of the users' keys, one per store and application.
 *
 * Laws   A store that forgets is reminded: every few seconds it is asked for,
 *        and put there again where it is gone. So who comes later learns the
 *        same one. Who comes just then makes another, which the others learn;
 *        whoever still reads the former one has until the next time. */
#include "config.h"

#include "managers/persistent.h"

#include <stdlib.h>
#include <string.h>

enum secret_state { SECRET_NONE, SECRET_GETTING, SECRET_PUTTING };

static void secret_learn(struct persistent *p, const uint8_t secret[ID_SIZE])
{
    const uint8_t *known = atomic_load(&p->base.secret_known);

    if (known && memcmp(known, secret, ID_SIZE) == 0)
        return;
    uint8_t *next = p->shared_secret[known == p->shared_secret[0]];
    memcpy(next, secret, ID_SIZE);
    p->learnt = next;
}

/* RC_ABSENT: the row is none. */
static enum rc secret_take(struct persistent *p)
{
    const struct store_call *call = &p->secret_call;
    struct record *record;
    struct err err;
    int64_t access;
    enum rc rc = persistent_decode(p, call->id, call->found, call->found_len,
                                   &record, &access, &err);

    if (rc != RC_OK)
        return rc;
    struct value v = record_attribute(record, "secret", 6);
    bool is_secret = record_kind(record) == RECORD_SECRET &&
                     v.type == VALUE_BYTES && v.len == ID_SIZE;
    if (is_secret)
        secret_learn(p, (const uint8_t *)v.data);
    record_unref(&record);
    return is_secret ? RC_OK : RC_ABSENT;
}

static void secret_known(struct persistent *p)
{
    atomic_store(&p->base.secret_known, p->learnt);
}

/* version: of the row that is none, which it replaces; 0: there is no row. */
static enum rc secret_put(struct persistent *p, uint64_t version)
{
    static const uint8_t id[ID_SIZE];
    struct changes c;
    struct instant now = instant_read();
    const uint8_t *secret = manager_secret(&p->base);
    struct value v = {
        .type = VALUE_BYTES, .data = (const char *)secret, .len = ID_SIZE};

    secret_learn(p, secret);
    changes_init(&c);
    changes_set(&c, key_name("secret", 6), &v);
    struct record *record =
        record_new(RECORD_SECRET, id, now.wall, &c, p->base.env.node_number);
    pack_release(&p->secret_bytes);
    pack_init(&p->secret_bytes, record->len + 16);
    persistent_encode(&p->secret_bytes, record, now.wall);
    record_unref(&record);
    changes_release(&c);
    p->secret_call.version = version;
    p->secret_call.bytes = p->secret_bytes.data;
    p->secret_call.len = p->secret_bytes.len;
    p->secret_call.expiry = now.wall + PERSISTENT_FOREVER_MS;
    p->secret_call.found = NULL;
    atomic_store(&p->secret_state, SECRET_PUTTING);
    return store_put(p->base.store, &p->secret_call);
}

static void secret_answer(struct persistent *p, enum rc rc)
{
    bool getting = atomic_load(&p->secret_state) == SECRET_GETTING;
    bool there = (getting && rc == RC_OK) || rc == RC_CONFLICT;
    enum rc taken = there ? secret_take(p) : RC_ABSENT;

    if (getting && (rc == RC_ABSENT || (there && taken == RC_ABSENT))) {
        uint64_t version = there ? p->secret_call.new_version : 0;
        if (version)
            log_line(p->base.env.log, LOG_ERROR, "manager",
                     "the row that was none is the key of the users of %s: it "
                     "is made anew; restart every instance",
                     p->base.env.app);
        free(p->secret_call.found);
        rc = secret_put(p, version);
        if (rc == RC_PENDING)
            return;
        taken = rc == RC_CONFLICT ? secret_take(p) : RC_ABSENT;
        getting = false;
    }
    if (taken == RC_OK || (!getting && rc == RC_OK))
        secret_known(p);
    free(p->secret_call.found);
    p->secret_call.found = NULL;
    atomic_store(&p->secret_state, SECRET_NONE);
}

static void secret_done(struct store_call *call)
{
    struct persistent *p =
        (struct persistent *)((char *)call -
                              offsetof(struct persistent, secret_call));
    secret_answer(p, call->rc);
}

void persistent_secret_ask(struct persistent *p)
{
    int none = SECRET_NONE;

    if (!atomic_compare_exchange_strong(&p->secret_state, &none,
                                        SECRET_GETTING))
        return;
    memset(&p->secret_call, 0, sizeof p->secret_call);
    p->secret_call.done = secret_done;
    enum rc rc = store_get(p->base.store, &p->secret_call);
    if (rc != RC_PENDING)
        secret_answer(p, rc);
}
