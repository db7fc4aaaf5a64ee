/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/id.h"

#include "session/buf.h"

#include <stdlib.h>
#include <string.h>

#include <uuid/uuid.h>

void id_mint(uint8_t out[ID_SIZE])
{
    uuid_generate_random(out);
}

uint64_t id_mint_node(void)
{
    uuid_t uuid;
    uint64_t node;
    do {
        uuid_generate_random(uuid);
        memcpy(&node, uuid, sizeof node);
    } while (node == 0);
    return node;
}

/* What a hex digit stands for, and 1 more: 0 is no digit. */
static const uint8_t hex_digit[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
    ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12,
    ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool id_parse(const char *text, size_t len, uint8_t out[ID_SIZE],
              const char **route, size_t *route_len)
{
    uint8_t id[ID_SIZE];

    if (len < 2 * ID_SIZE || (len > 2 * ID_SIZE && text[2 * ID_SIZE] != '.'))
        return false;
    for (size_t i = 0; i < ID_SIZE; i++) {
        unsigned high = hex_digit[(uint8_t)text[2 * i]];
        unsigned low = hex_digit[(uint8_t)text[2 * i + 1]];
        if (!high || !low)
            return false;
        id[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    memcpy(out, id, ID_SIZE);
    if (route) {
        size_t skip = len > 2 * ID_SIZE ? 2 * ID_SIZE + 1 : 2 * ID_SIZE;
        *route = len > 2 * ID_SIZE ? text + skip : "";
        *route_len = len - skip;
    }
    return true;
}

const char *id_format(const uint8_t id[ID_SIZE], char out[ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < ID_SIZE; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * ID_SIZE] = 0;
    return out;
}

void id_of_user(const uint8_t secret[ID_SIZE], const char *app,
                const char *user, size_t user_len, uint8_t out[ID_SIZE])
{
    size_t app_len = strlen(app) + 1; /* the 0 parts application and user */
    char *name = mem_alloc(app_len + user_len);

    memcpy(name, app, app_len);
    memcpy(name + app_len, user, user_len);
    uuid_generate_sha1(out, secret, name, app_len + user_len);
    free(name);
}
