/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/sessions_seen.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 64

/* Where it stands, or would. */
static uint8_t *place_of(struct sessions_seen *s, const uint8_t id[ID_SIZE])
{
    static const uint8_t none[ID_SIZE];
    uint64_t at;

    memcpy(&at, id, sizeof at);
    for (;; at++) {
        uint8_t *place = s->ids[at & (s->room - 1)];
        if (id_equal(place, id) || id_equal(place, none))
            return place;
    }
}

static void grow(struct sessions_seen *s)
{
    static const uint8_t none[ID_SIZE];
    struct sessions_seen next = {.room = s->room ? s->room * 2 : ROOM_MIN};

    next.ids = mem_zero(next.room * sizeof *next.ids);
    for (size_t i = 0; i < s->room; i++)
        if (!id_equal(s->ids[i], none))
            memcpy(place_of(&next, s->ids[i]), s->ids[i], ID_SIZE);
    free(s->ids);
    s->ids = next.ids;
    s->room = next.room;
}

bool sessions_seen_add(struct sessions_seen *s, const uint8_t id[ID_SIZE])
{
    if (s->count >= s->room / 4 * 3)
        grow(s);
    uint8_t *place = place_of(s, id);
    if (id_equal(place, id))
        return false;
    memcpy(place, id, ID_SIZE);
    s->count++;
    return true;
}

void sessions_seen_release(struct sessions_seen *s)
{
    free(s->ids);
    *s = (struct sessions_seen){.count = 0};
}
