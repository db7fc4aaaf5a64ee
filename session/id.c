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

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool id_parse(const char *text, size_t len, uint8_t out[ID_SIZE],
              const char **route, size_t *route_len)
{
    uint8_t id[ID_SIZE];

    if (len < 2 * ID_SIZE || (len > 2 * ID_SIZE && text[2 * ID_SIZE] != '.'))
        return false;
    for (size_t i = 0; i < ID_SIZE; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
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
