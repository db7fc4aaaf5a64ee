/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/store_rows.h"

#include "session/id.h"

#include <stdio.h>
#include <string.h>

#define NAME_SIZE 96

void rows_init(struct rows *r)
{
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    for (int i = 0; i < ROWS_CAUSES; i++)
        trouble_init(&r->causes[i].trouble, " cannot be used", "can be used");
}

void rows_release(struct rows *r)
{
    for (int i = 0; i < ROWS_CAUSES; i++)
        trouble_release(&r->causes[i].trouble);
    pthread_mutex_destroy(&r->lock);
}

static struct rows_cause *cause_of(struct rows *r, const struct err *err)
{
    unsigned sum = 0;

    for (const char *c = err->text; *c; c++)
        sum = sum * 31 + (unsigned char)*c;
    return &r->causes[sum % ROWS_CAUSES];
}

static const char *row_name(char out[NAME_SIZE], const char *name,
                            const uint8_t id[16])
{
    char shown[LOG_ID_SIZE];

    snprintf(out, NAME_SIZE, "%s: the row %s", name, log_id(shown, id));
    return out;
}

void rows_tell(struct rows *r, struct log *log, const char *name,
               const uint8_t id[16], const struct err *err)
{
    struct rows_cause *c = cause_of(r, err);
    char text[NAME_SIZE];

    pthread_mutex_lock(&r->lock);
    if (!c->trouble.on) {
        atomic_fetch_add(&r->on, 1);
        memcpy(c->id, id, 16);
    }
    trouble_tell(&c->trouble, log, row_name(text, name, id), err);
    pthread_mutex_unlock(&r->lock);
}

void rows_look(struct rows *r, struct log *log, const char *name,
               const uint8_t id[16])
{
    char text[NAME_SIZE];

    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < ROWS_CAUSES; i++) {
        struct rows_cause *c = &r->causes[i];
        if (!c->trouble.on || memcmp(c->id, id, 16))
            continue;
        trouble_over(&c->trouble, log, row_name(text, name, id));
        atomic_fetch_sub(&r->on, 1);
    }
    pthread_mutex_unlock(&r->lock);
}
