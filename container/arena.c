/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/arena.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 8192 };

void arena_init(struct arena *a)
{
    a->at = a->first;
    a->end = a->first + sizeof a->first;
    a->blocks = NULL;
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
    arena_init(a);
}

void *arena_more(struct arena *a, size_t size)
{
    size_t room = size > BLOCK / 4 ? size : BLOCK;
    struct arena_block *block = mem_alloc(sizeof *block + 16 + room);
    block->next = a->blocks;
    a->blocks = block;
    char *at = (char *)(((uintptr_t)block->bytes + 15) & ~(uintptr_t)15);
    if (room == BLOCK) {
        a->at = at + size;
        a->end = at + room;
    }
    return at;
}

char *arena_text(struct arena *a, const char *text, size_t len)
{
    char *copy = arena_alloc(a, len + 1);
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}
