/* SPDX-License-Identifier: Apache-2.0 */
#include "webapps/probe/journal.h"

#include <pthread.h>
#include <stdlib.h>

struct journal {
    pthread_mutex_t lock; /* guards the rest */
    int64_t first;        /* sequence number of the oldest entry kept */
    int64_t next;         /* that of the entry to come */
    struct journal_entry ring[JOURNAL_MAX];
};

struct journal *journal_new(void)
{
    struct journal *journal = calloc(1, sizeof(*journal));

    if (!journal)
        return NULL;
    pthread_mutex_init(&journal->lock, NULL);
    journal->first = journal->next = 1;
    return journal;
}

void journal_free(struct journal **journal)
{
    if (!*journal)
        return;
    pthread_mutex_destroy(&(*journal)->lock);
    free(*journal);
    *journal = NULL;
}

void journal_add(struct journal *journal, const struct journal_entry *entry)
{
    struct journal_entry *slot;

    pthread_mutex_lock(&journal->lock);
    slot = &journal->ring[journal->next % JOURNAL_MAX];
    *slot = *entry;
    slot->seq = journal->next++;
    if (journal->next - journal->first > JOURNAL_MAX)
        journal->first = journal->next - JOURNAL_MAX;
    pthread_mutex_unlock(&journal->lock);
}

void journal_clear(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->first = journal->next;
    pthread_mutex_unlock(&journal->lock);
}

bool journal_next(struct journal *journal, int64_t seq,
                  struct journal_entry *out)
{
    bool found;

    pthread_mutex_lock(&journal->lock);
    if (seq < journal->first)
        seq = journal->first - 1;
    found = seq < journal->next - 1; /* seq may be the greatest number */
    if (found)
        *out = journal->ring[(seq + 1) % JOURNAL_MAX];
    pthread_mutex_unlock(&journal->lock);
    return found;
}
