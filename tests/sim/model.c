/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sim/model.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

struct story *story_new(struct sim *sim)
{
    struct story *s = mem_zero(sizeof *s);

    s->told = mem_zero(sim->count * sizeof *s->told);
    return s;
}

void story_free(struct story **story)
{
    for (int k = 0; k < STORY_KEYS; k++)
        free((*story)->puts[k]);
    free((*story)->told);
    free(*story);
    *story = NULL;
}

struct known_id *story_add_id(struct sim *sim, struct story *s,
                              const uint8_t id[ID_SIZE])
{
    struct known_id *known = &s->ids[s->id_count++];

    (void)sim;
    *known = (struct known_id){.born = OUT_OPEN};
    memcpy(known->id, id, ID_SIZE);
    return known;
}

struct known_id *story_find_id(struct story *s, const uint8_t id[ID_SIZE])
{
    for (unsigned i = 0; i < s->id_count; i++)
        if (id_equal(s->ids[i].id, id))
            return &s->ids[i];
    return NULL;
}

struct told *story_told(struct story *s, int slot, uint32_t life)
{
    struct told *told = &s->told[slot];

    if (told->life != life)
        *told = (struct told){.life = life, .used = INT64_MIN / 2};
    return told;
}

int story_put(struct story *s, unsigned key, int saw, bool removal)
{
    int n = s->put_count[key]++;

    s->puts[key] =
        mem_resize(s->puts[key], (size_t)(n + 1) * sizeof *s->puts[key]);
    s->puts[key][n] =
        (struct put){.outcome = OUT_OPEN, .saw = saw, .removal = removal};
    return n;
}

bool story_saw(const struct story *s, unsigned key, int later, int put)
{
    while (later > put)
        later = s->puts[key][later].saw;
    return later == put;
}

int story_misses(const struct story *s, unsigned key, int put)
{
    bool removed = false;

    for (int i = 0; i < s->put_count[key]; i++)
        removed |=
            s->puts[key][i].removal && s->puts[key][i].outcome != OUT_NOT;
    for (int i = 0; i < s->put_count[key]; i++) {
        const struct put *p = &s->puts[key][i];
        if (p->outcome == OUT_DONE &&
            (put == PUT_NONE ? !removed && !p->removal
                             : i > put && story_saw(s, key, p->saw, put)))
            return i;
    }
    return -1;
}

/* A copy adds accessInterval (1 s) to the limit and looks once a second; no
 * clock is further off than a thousandth. */
bool story_may_idle(const struct story *s, int64_t used, int64_t at)
{
    return s->max_inactive &&
           at - used > s->max_inactive * SECOND * 995 / 1000 - 5 * MS;
}

bool story_must_idle(const struct sim *sim, const struct story *s)
{
    /* a call travels to the primary, which then counts it as an access */
    int64_t late = sim->plan.backup ? 500 * MS : 0;

    /* accessInterval; up to a whole second of the clock, for the table's timers
     * have no others; up to the tick after that */
    return s->max_inactive &&
           sim->now - s->tried > (s->max_inactive + 3) * SECOND * 1005 / 1000 +
                                     sim->stood_still + late;
}

struct value put_value(const struct story *s, unsigned key, int put,
                       char text[32])
{
    int len = snprintf(text, 32, "w%u.%u.%d", s->number, key, put);

    return (struct value){
        .type = VALUE_STRING, .data = text, .len = (size_t)len};
}

int put_of(const struct story *s, unsigned key, const struct value *value)
{
    char text[32], mine[32];
    const char *dot;

    if (value->type == VALUE_NONE)
        return PUT_NONE;
    if (value->type != VALUE_STRING || value->len >= sizeof text)
        return PUT_FOREIGN;
    memcpy(text, value->data, value->len);
    text[value->len] = 0;
    dot = strrchr(text, '.');
    long put = dot ? strtol(dot + 1, NULL, 10) : -1;
    if (put < 0 || put >= s->put_count[key])
        return PUT_FOREIGN;
    put_value(s, key, (int)put, mine);
    return strcmp(mine, text) == 0 ? (int)put : PUT_FOREIGN;
}

const char *key_text(unsigned key)
{
    static const char *const names[STORY_KEYS] = {"a", "b", "c"};
    return names[key];
}
