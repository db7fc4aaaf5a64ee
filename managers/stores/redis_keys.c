/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/redis_keys.h"

#include "session/buf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_HEX 32

static const char digits[] = "0123456789ABCDEF";

void redis_keys_init(struct redis_keys *keys, const char *app)
{
    size_t cap = strlen(app) * 3 + ID_HEX + 16;
    char *key = mem_zero(cap);
    size_t n = (size_t)snprintf(key, cap, "margay:");

    for (; *app; app++) {
        if (isalnum((unsigned char)*app) || strchr("/._-", *app))
            key[n++] = *app;
        else
            n += (size_t)snprintf(key + n, cap - n, "%%%02X",
                                  (unsigned char)*app);
    }
    key[n++] = ':';
    *keys = (struct redis_keys){key, n};
}

void redis_keys_release(struct redis_keys *keys)
{
    free(keys->key);
    keys->key = NULL;
}

struct redis_word redis_key(struct redis_keys *keys, const uint8_t id[16])
{
    char *out = keys->key + keys->prefix_len;

    for (int i = 0; i < 16; i++) {
        *out++ = digits[id[i] >> 4];
        *out++ = digits[id[i] & 15];
    }
    return (struct redis_word){keys->key, keys->prefix_len + ID_HEX};
}

struct redis_word redis_key_pattern(struct redis_keys *keys)
{
    keys->key[keys->prefix_len] = '*';
    return (struct redis_word){keys->key, keys->prefix_len + 1};
}

static int digit(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

bool redis_key_id(const struct redis_keys *keys, const struct redis_reply *key,
                  uint8_t id[16])
{
    const char *at;

    if (key->kind != REDIS_TEXT || key->len != keys->prefix_len + ID_HEX ||
        memcmp(key->text, keys->key, keys->prefix_len))
        return false;
    at = key->text + keys->prefix_len;
    for (int i = 0; i < 16; i++) {
        int high = digit(at[2 * i]), low = digit(at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
