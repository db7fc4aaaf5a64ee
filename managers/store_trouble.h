/* SPDX-License-Identifier: Apache-2.0
 *
 * store_trouble.h: what is wrong is told once.
 *
 * What    A line when it begins, when the cause changes, and when it is over.
 * Threads Any, once it is filled in. */
#ifndef MARGAY_MANAGERS_STORE_TROUBLE_H
#define MARGAY_MANAGERS_STORE_TROUBLE_H

#include "session/log.h"
#include "session/rc.h"

#include <pthread.h>
#include <stdatomic.h>

struct trouble {
    const char *what; /* ": reading fails", or "" */
    const char *over; /* "can be read again" */
    atomic_bool on;
    pthread_mutex_t lock; /* text */
    char text[sizeof(struct err)];
};

void trouble_init(struct trouble *t, const char *what, const char *over);
void trouble_release(struct trouble *t);
/* name: whose. */
void trouble_tell(struct trouble *t, struct log *log, const char *name,
                  const struct err *err);
void trouble_over(struct trouble *t, struct log *log, const char *name);

#endif
