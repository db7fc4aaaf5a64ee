/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.h: what the session listeners heard, in order.
 *
 * What    A ring of the last JOURNAL_MAX events; older ones make room, which
 *         a gap in the sequence numbers shows.
 * Owns    The entries are copies: no session is held.
 * Threads Any: one lock inside, held for a copy only. */
#ifndef MARGAY_WEBAPPS_PROBE_JOURNAL_H
#define MARGAY_WEBAPPS_PROBE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

enum { JOURNAL_MAX = 512 };

/* Longer texts are cut. */
struct journal_entry {
    int64_t seq;      /* from 1 */
    char listener[8]; /* "first", "second" */
    char event[24];   /* "attribute_added" */
    char session[12]; /* the first 8 digits of the id */
    char name[64];    /* of the attribute; "" */
    char value[64];   /* of the attribute, after the event; "" */
    char detail[64];  /* old id, old value or reason; "" */
};

struct journal;

struct journal *journal_new(void); /* NULL: no memory */
void journal_free(struct journal **journal);
/* Numbers the entry. */
void journal_add(struct journal *journal, const struct journal_entry *entry);
void journal_clear(struct journal *journal);
/* The oldest entry after seq. False: there is none. */
bool journal_next(struct journal *journal, int64_t seq,
                  struct journal_entry *out);

#endif
