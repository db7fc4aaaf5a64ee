/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/wait.h"

#include <assert.h>

void waits_init(struct waits *room, size_t max, wait_resume_fn *resume)
{
    *room = (struct waits){.max = max, .resume = resume};
    pthread_mutex_init(&room->lock, NULL);
}

void waits_release(struct waits *room)
{
    assert(!room->first);
    pthread_mutex_destroy(&room->lock);
}

static bool move(struct wait *w, enum wait_state from, enum wait_state to)
{
    int expected = from;
    return atomic_compare_exchange_strong(&w->state, &expected, (int)to);
}

static void list_add(struct waits *room, struct wait *w)
{
    w->next = NULL;
    w->prev = room->last;
    *(room->last ? &room->last->next : &room->first) = w;
    room->last = w;
    w->listed = true;
    room->count += w->counted;
}

static void list_remove(struct waits *room, struct wait *w)
{
    *(w->prev ? &w->prev->next : &room->first) = w->next;
    *(w->next ? &w->next->prev : &room->last) = w->prev;
    w->listed = false;
    room->count -= w->counted;
}

static bool enter(struct waits *room, struct wait *w, int64_t deadline,
                  bool counted)
{
    if (wait_state(w) == WAIT_ANSWERED)
        return false;
    w->deadline = deadline;
    w->counted = counted;
    pthread_mutex_lock(&room->lock);
    bool full = room->closed || (counted && room->count >= room->max);
    if (!full)
        list_add(room, w);
    pthread_mutex_unlock(&room->lock);
    if (full && move(w, WAIT_OPEN, WAIT_EXPIRED))
        atomic_fetch_add(&room->refused, 1);
    return !full;
}

bool waits_enter(struct waits *room, struct wait *w, int64_t deadline)
{
    return enter(room, w, deadline, true);
}

bool waits_enter_uncounted(struct waits *room, struct wait *w, int64_t deadline)
{
    return enter(room, w, deadline, false);
}

bool waits_park(struct waits *room, struct wait *w)
{
    if (move(w, WAIT_OPEN, WAIT_PARKED))
        return true;
    waits_leave(room, w);
    return false;
}

void waits_leave(struct waits *room, struct wait *w)
{
    pthread_mutex_lock(&room->lock);
    if (w->listed)
        list_remove(room, w);
    pthread_mutex_unlock(&room->lock);
}

bool waits_answer(struct waits *room, struct wait *w)
{
    if (move(w, WAIT_OPEN, WAIT_ANSWERED))
        return true;
    if (!move(w, WAIT_PARKED, WAIT_ANSWERED)) {
        /* OPEN may have become PARKED between the two, never the reverse. */
        assert(wait_state(w) == WAIT_EXPIRED);
        return false;
    }
    room->resume(w);
    return true;
}

bool waits_reopen(struct waits *room, struct wait *w)
{
    if (!move(w, WAIT_PARKED, WAIT_OPEN))
        return false;
    waits_leave(room, w);
    return true;
}

/* One at a time and without the lock, since the resumed request takes it. An
 * expired wait leaves the list here, so that it is not found again. */
static struct wait *expire_one(struct waits *room, int64_t now)
{
    struct wait *w;
    pthread_mutex_lock(&room->lock);
    for (w = room->first; w; w = w->next) {
        bool due = now == WAIT_FOREVER || w->deadline <= now;
        if (due && move(w, WAIT_PARKED, WAIT_EXPIRED)) {
            list_remove(room, w);
            break;
        }
    }
    pthread_mutex_unlock(&room->lock);
    return w;
}

size_t waits_expire(struct waits *room, int64_t now)
{
    struct wait *w;
    size_t count = 0;
    while ((w = expire_one(room, now))) {
        atomic_fetch_add(&room->expired, 1);
        room->resume(w);
        count++;
    }
    return count;
}

void waits_close(struct waits *room)
{
    pthread_mutex_lock(&room->lock);
    room->closed = true;
    pthread_mutex_unlock(&room->lock);
}

bool waits_empty(struct waits *room)
{
    pthread_mutex_lock(&room->lock);
    bool empty = !room->first;
    pthread_mutex_unlock(&room->lock);
    return empty;
}
