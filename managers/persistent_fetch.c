/* SPDX-License-Identifier: Apache-2.0
 *
 * A write for an id that this process has no copy of: the row is fetched
 * first. */
#include "config.h"

#include "managers/persistent.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

struct fetch {
    struct store_call call; /* first */
    struct persistent *p;
    struct manager_write *w;
};

/* Puts the fetched row into the table. RC_OK: go on with the write. */
static enum rc fetched(struct fetch *fetch)
{
    struct store_call *call = &fetch->call;
    struct manager_write *w = fetch->w;
    struct record *record;
    int64_t access;
    enum rc rc = call->rc;

    w->err = call->err;
    if (rc == RC_OK)
        rc = persistent_decode(fetch->p, call->id, call->found, call->found_len,
                               &record, &access, &w->err);
    if (rc == RC_OK) {
        struct table_stripe *stripe =
            table_lock(fetch->p->base.table, call->id);
        persistent_absorb(fetch->p, stripe, table_find(stripe, call->id),
                          record, access, call->new_version, w->now);
        table_unlock(stripe);
    }
    free(call->found);
    free(fetch);
    return rc;
}

static void fetch_done(struct store_call *call)
{
    struct fetch *fetch = (struct fetch *)call;
    struct manager_write *w = fetch->w;
    struct manager *m = &fetch->p->base;
    enum rc rc = fetched(fetch);

    if (rc == RC_OK)
        rc = persistent_write(m, w);
    if (rc != RC_PENDING) {
        w->rc = rc;
        w->done(w);
    }
}

enum rc persistent_fetch(struct persistent *p, struct manager_write *w)
{
    struct fetch *fetch = mem_zero(sizeof *fetch);

    fetch->p = p;
    fetch->w = w;
    fetch->call.done = fetch_done;
    memcpy(fetch->call.id, w->id, ID_SIZE);
    enum rc rc = store_get(p->base.store, &fetch->call);
    if (rc == RC_PENDING)
        return rc;
    fetch->call.rc = rc;
    rc = fetched(fetch);
    return rc == RC_OK ? persistent_write(&p->base, w) : rc;
}
