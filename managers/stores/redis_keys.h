/* SPDX-License-Identifier: Apache-2.0
 *
 * redis_keys.h: the keys of one application's rows.
 *
 * Laws    A key is "margay:", the application with every character escaped
 *         that is not a letter, digit or one of / . _ - (so no colon, and
 *         nothing that a pattern means something by), a colon, the id in hex:
 *         no two applications have a key in common.
 * Owns    redis_keys_release frees it. A key is good until the next one.
 * Threads redis_key_id: any. The rest: one at a time. */
#ifndef MARGAY_MANAGERS_STORES_REDIS_KEYS_H
#define MARGAY_MANAGERS_STORES_REDIS_KEYS_H

#include "managers/stores/redis.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_keys {
    char *key; /* the prefix, with room for an id */
    size_t prefix_len;
};

void redis_keys_init(struct redis_keys *keys, const char *app);
void redis_keys_release(struct redis_keys *keys);
struct redis_word redis_key(struct redis_keys *keys, const uint8_t id[16]);
/* What SCAN finds all of them by. */
struct redis_word redis_key_pattern(struct redis_keys *keys);
/* The id in a key that Redis says; false: it is none of these. */
bool redis_key_id(const struct redis_keys *keys, const struct redis_reply *key,
                  uint8_t id[16]);

#endif
