/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids: exactly 32 upper-case hex digits, perhaps with a route, and nothing
 * else; minted ones never repeat. */
#include "config.h"

#include "session/id.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "00112233445566778899AABBCCDDEEFF";

/* Parses from memory of exactly that size. */
static bool parses(const char *text, size_t len, uint8_t id[ID_SIZE],
                   char route[64])
{
    char *copy = mem_alloc(len + 1);
    const char *at = NULL;
    size_t route_len = 99;
    memcpy(copy, text, len);
    copy = mem_resize(copy, len ? len : 1);
    bool ok = id_parse(copy, len, id, &at, &route_len);
    if (ok) {
        memcpy(route, at, route_len);
        route[route_len] = 0;
    }
    free(copy);
    return ok;
}

static void reads_digits_and_route(void)
{
    char text[ID_TEXT_SIZE], route[64];
    uint8_t id[ID_SIZE];

    CU_ASSERT(parses(digits, 32, id, route));
    CHECK_INT(id[0], 0x00);
    CHECK_INT(id[1], 0x11);
    CHECK_INT(id[15], 0xff);
    CHECK_STR(route, "");
    CHECK_STR(id_format(id, text), digits);
    CU_ASSERT(parses("00112233445566778899AABBCCDDEEFF.node1", 38, id, route));
    CHECK_STR(route, "node1");
    CU_ASSERT(parses("00112233445566778899AABBCCDDEEFF.a.b", 36, id, route));
    CHECK_STR(route, "a.b");
    CU_ASSERT(parses("00112233445566778899AABBCCDDEEFF.", 33, id, route));
    CHECK_STR(route, "");
    CU_ASSERT(id_parse(digits, 32, id, NULL, NULL));
}

static void refuses_everything_else(void)
{
    static const char *const rows[] = {
        "",
        "0",
        "0011223344556677",
        "00112233445566778899AABBCCDDEEF",
        "00112233445566778899AABBCCDDEEFF0", /* 33 digits */
        "00112233445566778899AABBCCDDEEFF,node1",
        "00112233445566778899aabbccddeeff", /* lower case */
        "\"0112233445566778899AABBCCDDEEFF\"",
        "00112233445566778899AABBCCDDEEFG",
        "00112233445566778899AABBCCDDEE.F",
        " 0112233445566778899AABBCCDDEEFF",
        "0x112233445566778899AABBCCDDEEFF",
        "../../../../../../etc/passwd/////",
        "+0112233445566778899AABBCCDDEEFF",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t id[ID_SIZE];
        char route[64];
        memset(id, 7, sizeof id);
        CU_ASSERT(!parses(rows[i], strlen(rows[i]), id, route));
        for (size_t b = 0; b < ID_SIZE; b++)
            CHECK_INT(id[b], 7); /* untouched */
    }
}

static void refuses_every_other_byte(void)
{
    for (size_t at = 0; at < 32; at++)
        for (int c = 0; c < 256; c++) {
            char text[32];
            uint8_t id[ID_SIZE];
            bool hex = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
            memcpy(text, digits, 32);
            text[at] = (char)c;
            CU_ASSERT(id_parse(text, 32, id, NULL, NULL) == hex);
        }
}

static void minted_ids_differ(void)
{
    enum { COUNT = 2000 };
    static uint8_t ids[COUNT][ID_SIZE];
    unsigned ones = 0;

    for (int i = 0; i < COUNT; i++) {
        char text[ID_TEXT_SIZE];
        uint8_t again[ID_SIZE];
        id_mint(ids[i]);
        CU_ASSERT(id_parse(id_format(ids[i], text), 32, again, NULL, NULL));
        CU_ASSERT(id_equal(ids[i], again));
        for (int j = 0; j < i; j++)
            if (id_equal(ids[i], ids[j]))
                CU_FAIL("an id came twice");
        ones += (unsigned)__builtin_popcount(ids[i][0]);
    }
    /* 16,000 random bits: half of them, give or take 6 sigma */
    CU_ASSERT(ones > 8000 - 380 && ones < 8000 + 380);
    CU_ASSERT(id_mint_node() != 0);
    CU_ASSERT(id_mint_node() != id_mint_node());
}

static void user_keys_are_keyed(void)
{
    static const uint8_t secret[ID_SIZE] = "0123456789abcdef";
    static const uint8_t other[ID_SIZE] = "0123456789abcdeg";
    uint8_t a[ID_SIZE], b[ID_SIZE];

    id_of_user(secret, "/login", "kim", 3, a);
    id_of_user(secret, "/login", "kimberley", 3, b);
    CU_ASSERT(id_equal(a, b));
    CHECK_INT(a[6] >> 4, 5); /* never what id_mint gives: version 4 */
    id_of_user(other, "/login", "kim", 3, b);
    CU_ASSERT(!id_equal(a, b));
    id_of_user(secret, "/logi", "nkim", 4, b);
    CU_ASSERT(!id_equal(a, b));
    id_of_user(secret, "/login", "kim\0", 4, b);
    CU_ASSERT(!id_equal(a, b));
    id_of_user(secret, "", "", 0, b);
    CU_ASSERT(!id_equal(a, b));
    id_mint(b);
    CHECK_INT(b[6] >> 4, 4);
}

UNIT_MAIN("id", CASE(reads_digits_and_route), CASE(refuses_everything_else),
          CASE(refuses_every_other_byte), CASE(minted_ids_differ),
          CASE(user_keys_are_keyed))
