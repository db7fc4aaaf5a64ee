/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference store: the smallest one that keeps the contract. Rows in a
 * hash table under one mutex; they are gone when the last store is. */
#include "config.h"

#include "managers/stores/listing.h"
#include "managers/stores/stores.h"
#include "session/buf.h"
#include "session/store_impl.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    struct row *next;
    char *app;
    uint8_t id[16];
    uint64_t version;
    int64_t expiry;
    void *bytes;
    size_t len;
};

struct memory_rows {
    pthread_mutex_t lock;
    struct row **heads;
    size_t size, count; /* size is a power of two */
    uint64_t version;   /* the last one given, to any row */
};

struct memory {
    struct store_base base;
    struct memory_rows *rows;
};

static store_open_fn memory_open;
static store_close_fn memory_close;
static store_get_fn memory_get;
static store_run_fn memory_run;
static store_expire_fn memory_expire;
static store_list_fn memory_list;

/* --- rows ----------------------------------------------------------------- */

struct memory_rows *memory_rows_new(void)
{
    struct memory_rows *r = mem_zero(sizeof *r);

    pthread_mutex_init(&r->lock, NULL);
    r->size = 64;
    r->heads = mem_zero(r->size * sizeof *r->heads);
    return r;
}

static void row_free(struct row *row)
{
    free(row->app);
    free(row->bytes);
    free(row);
}

void memory_rows_free(struct memory_rows **rows)
{
    struct memory_rows *r = *rows;

    if (!r)
        return;
    *rows = NULL;
    for (size_t i = 0; i < r->size; i++) {
        struct row *row = r->heads[i], *next;
        for (; row; row = next) {
            next = row->next;
            row_free(row);
        }
    }
    pthread_mutex_destroy(&r->lock);
    free(r->heads);
    free(r);
}

/* Ids are random already. */
static size_t rows_slot(const struct memory_rows *r, const uint8_t id[16])
{
    uint64_t hash;

    memcpy(&hash, id, sizeof hash);
    return (hash ^ hash >> 32) & (r->size - 1);
}

static struct row **rows_find_locked(struct memory_rows *r, const char *app,
                                     const uint8_t id[16])
{
    struct row **at = &r->heads[rows_slot(r, id)];

    while (*at && (memcmp((*at)->id, id, 16) || strcmp((*at)->app, app)))
        at = &(*at)->next;
    return at;
}

static void rows_grow_locked(struct memory_rows *r)
{
    struct row **old = r->heads;
    size_t size = r->size;

    r->size *= 2;
    r->heads = mem_zero(r->size * sizeof *r->heads);
    for (size_t i = 0; i < size; i++) {
        struct row *row = old[i], *next;
        for (; row; row = next) {
            size_t slot = rows_slot(r, row->id);
            next = row->next;
            row->next = r->heads[slot];
            r->heads[slot] = row;
        }
    }
    free(old);
}

static struct row *rows_add_locked(struct memory_rows *r, const char *app,
                                   const uint8_t id[16])
{
    struct row *row = mem_zero(sizeof *row);
    size_t slot;

    if (++r->count > r->size)
        rows_grow_locked(r);
    slot = rows_slot(r, id);
    row->app = mem_strdup(app);
    memcpy(row->id, id, 16);
    row->next = r->heads[slot];
    return r->heads[slot] = row;
}

bool memory_rows_forget(struct memory_rows *r, const char *app,
                        const uint8_t id[16])
{
    pthread_mutex_lock(&r->lock);
    struct row **at = rows_find_locked(r, app, id), *row = *at;
    if (row) {
        *at = row->next;
        r->count--;
        row_free(row);
    }
    pthread_mutex_unlock(&r->lock);
    return row != NULL;
}

static void row_show(const struct row *row, struct store_call *call)
{
    call->found = mem_alloc(row->len);
    memcpy(call->found, row->bytes, row->len);
    call->found_len = row->len;
}

static enum rc rows_get_locked(struct memory_rows *r, const char *app,
                               struct store_call *call)
{
    const struct row *row = *rows_find_locked(r, app, call->id);

    if (!row)
        return RC_ABSENT;
    call->new_version = row->version;
    call->unchanged = row->version == call->version;
    if (!call->unchanged)
        row_show(row, call);
    return RC_OK;
}

static enum rc rows_put_locked(struct memory_rows *r, const char *app,
                               struct store_call *call)
{
    struct row *row = *rows_find_locked(r, app, call->id);

    if (row && row->version != call->version) {
        call->new_version = row->version;
        row_show(row, call);
        return RC_CONFLICT;
    }
    if (!row && call->version)
        return RC_ABSENT;
    if (!row)
        row = rows_add_locked(r, app, call->id);
    free(row->bytes);
    row->bytes = mem_alloc(call->len);
    if (call->len)
        memcpy(row->bytes, call->bytes, call->len);
    row->len = call->len;
    row->expiry = call->expiry;
    row->version = call->new_version = ++r->version;
    return RC_OK;
}

/* --- the store ------------------------------------------------------------ */

static enum rc memory_open(struct store_base *base, struct err *err)
{
    struct memory *m = (struct memory *)base;
    const struct memory_options *o = base->options;

    (void)err;
    m->rows = o->rows ? o->rows : memory_rows_new();
    if (o->is_inline)
        base->flags |= STORE_READS_INLINE;
    return RC_OK;
}

static void memory_close(struct store_base *base)
{
    struct memory *m = (struct memory *)base;
    const struct memory_options *o = base->options;

    if (!o->rows)
        memory_rows_free(&m->rows);
}

static void memory_get(struct store_base *base, struct store_call *call)
{
    struct memory *m = (struct memory *)base;

    pthread_mutex_lock(&m->rows->lock);
    call->rc = rows_get_locked(m->rows, base->env.app, call);
    pthread_mutex_unlock(&m->rows->lock);
}

static void memory_run(struct store_base *base, struct store_batch *batch)
{
    struct memory *m = (struct memory *)base;
    struct store_call *call;
    enum rc rc;

    while ((call = store_batch_next(batch))) {
        pthread_mutex_lock(&m->rows->lock);
        rc = call->is_put ? rows_put_locked(m->rows, base->env.app, call)
                          : rows_get_locked(m->rows, base->env.app, call);
        pthread_mutex_unlock(&m->rows->lock);
        if (call->is_put && rc == RC_OK)
            store_batch_hold(batch, call);
        else
            store_batch_answer(batch, call, rc);
    }
    store_batch_settle(batch, RC_OK, NULL);
}

/* Takes what is due out of the table; the caller frees it. */
static struct row *rows_take_due_locked(struct memory_rows *r, const char *app,
                                        int64_t wall, unsigned limit)
{
    struct row *due = NULL;

    for (size_t i = 0; i < r->size && limit; i++) {
        struct row **at = &r->heads[i];
        while (*at && limit) {
            struct row *row = *at;
            if (row->expiry >= wall || strcmp(row->app, app)) {
                at = &row->next;
                continue;
            }
            *at = row->next;
            row->next = due;
            due = row;
            r->count--;
            limit--;
        }
    }
    return due;
}

static void memory_expire(struct store_base *base, struct instant now,
                          unsigned limit, store_removed_fn *each, void *user)
{
    struct memory *m = (struct memory *)base;
    struct row *row, *next;

    pthread_mutex_lock(&m->rows->lock);
    row = rows_take_due_locked(m->rows, base->env.app, now.wall, limit);
    pthread_mutex_unlock(&m->rows->lock);
    for (; row; row = next) {
        next = row->next;
        each(user, row->id, row->bytes, row->len);
        row_free(row);
    }
}

static enum rc memory_list(struct store_base *base, struct store_page *page)
{
    struct memory_rows *r = ((struct memory *)base)->rows;

    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->size; i++)
        for (const struct row *row = r->heads[i]; row; row = row->next)
            if (strcmp(row->app, base->env.app) == 0)
                page_offer(page, row->id);
    pthread_mutex_unlock(&r->lock);
    page_end(page);
    return RC_OK;
}

static const struct option memory_options[] = {
    {.name = "inline",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct memory_options, is_inline),
     .preset = "true",
     .help = "reads are answered at once instead of in the store's thread"},
    {0},
};

const struct store_ops store_memory = {
    .name = "MemoryStore",
    .summary = "rows in this process's memory; for tests and as a reference",
    .size = sizeof(struct memory),
    .options_size = sizeof(struct memory_options),
    .options = memory_options,
    .flags = STORE_LOCAL | STORE_LISTS,
    .open = memory_open,
    .close = memory_close,
    .run = memory_run,
    .get = memory_get,
    .expire = memory_expire,
    .list = memory_list,
};
