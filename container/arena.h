/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.h: memory that lives exactly as long as one request.
 *
 * What    Pieces are cut from blocks and never freed one by one; arena_reset
 *         takes all back and keeps the first block, which lies in the struct,
 *         so an ordinary request allocates nothing.
 * Owns    Everything that it gave out, until arena_reset.
 * Errors  Never: what strangers size is capped before it comes here.
 * Threads None: one request. */
#ifndef MARGAY_CONTAINER_ARENA_H
#define MARGAY_CONTAINER_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_FIRST 2048

struct arena_block {
    struct arena_block *next;
    char bytes[];
};

struct arena {
    char *at, *end;
    struct arena_block *blocks; /* behind the first */
    _Alignas(16) char first[ARENA_FIRST];
};

void arena_init(struct arena *a);
void arena_reset(struct arena *a);

/* A block of its own, or a new one to cut from. */
void *arena_more(struct arena *a, size_t size);

/* size bytes, aligned for anything. */
static inline void *arena_alloc(struct arena *a, size_t size)
{
    char *at = (char *)(((uintptr_t)a->at + 15) & ~(uintptr_t)15);
    if (at > a->end || size > (size_t)(a->end - at))
        return arena_more(a, size);
    a->at = at + size;
    return at;
}
/* A copy with a closing 0. */
char *arena_text(struct arena *a, const char *text, size_t len);

#endif
