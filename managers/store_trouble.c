/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/store_trouble.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void trouble_init(struct trouble *t, const char *what, const char *over)
{
    memset(t, 0, sizeof *t);
    t->what = what;
    t->over = over;
    pthread_mutex_init(&t->lock, NULL);
}

void trouble_release(struct trouble *t)
{
    pthread_mutex_destroy(&t->lock);
}

void trouble_tell(struct trouble *t, struct log *log, const char *name,
                  const struct err *err)
{
    bool is_new;

    pthread_mutex_lock(&t->lock);
    is_new = !t->on || strcmp(t->text, err->text) != 0;
    t->on = true;
    snprintf(t->text, sizeof t->text, "%s", err->text);
    pthread_mutex_unlock(&t->lock);
    if (is_new)
        log_state(log, LOG_WARN, "store", "%s%s: %s", name, t->what, err->text);
}

void trouble_over(struct trouble *t, struct log *log, const char *name)
{
    if (atomic_load_explicit(&t->on, memory_order_relaxed) &&
        atomic_exchange(&t->on, false))
        log_state(log, LOG_INFO, "store", "%s %s", name, t->over);
}
