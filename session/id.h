/* SPDX-License-Identifier: Apache-2.0
 *
 * id.h: the identity of a session, and of a node.
 *
 * What    A session id is 16 bytes from the system's random source (libuuid,
 *         version 4: 122 random bits), written as 32 upper-case hex digits.
 *         What comes from a client is parsed before anything is looked up:
 *         whatever is not exactly that is MALFORMED. An id that a client made
 *         up is never adopted.
 *         The key of a user's record is a version 5 UUID (SHA-1) of
 *         application and user name under a secret of the cluster or store,
 *         so nobody can compute which id it has.
 * Source  Tomcat: StandardSessionIdGenerator (32 digits of 16 bytes);
 *         CONTRACT: the digits are the whole identity, the route is a hint.
 * Threads Any. */
#ifndef MARGAY_SESSION_ID_H
#define MARGAY_SESSION_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE 16
#define ID_TEXT_SIZE 33

/* A new id. */
void id_mint(uint8_t out[ID_SIZE]);
/* A number for one start of a node: random, never 0. */
uint64_t id_mint_node(void);
/* Reads "<32 hex digits>[.<route>]". Returns false when it is not an id; out
 * is then untouched. route (may be NULL) points behind the dot, or to "" when
 * there is none; text need not end after len bytes, *route_len tells. */
bool id_parse(const char *text, size_t len, uint8_t out[ID_SIZE],
              const char **route, size_t *route_len);
/* Returns out: 32 digits and a 0. */
const char *id_format(const uint8_t id[ID_SIZE], char out[ID_TEXT_SIZE]);
/* The key of the record of a user's sessions. */
void id_of_user(const uint8_t secret[ID_SIZE], const char *app,
                const char *user, size_t user_len, uint8_t out[ID_SIZE]);

/* Of an id that this process or another one minted: is it a user's key, and
 * not a session's? By the UUID's version (RFC 4122, 4.1.3). */
static inline bool id_is_of_user(const uint8_t id[ID_SIZE])
{
    return id[6] >> 4 == 5;
}
static inline bool id_equal(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE])
{
    return __builtin_memcmp(a, b, ID_SIZE) == 0;
}

#endif
