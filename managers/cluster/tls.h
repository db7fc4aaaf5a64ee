/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.h: TLS 1.3 between members, over memory.
 *
 * What    What makes a member is a key, of one of two kinds.
 *         Shared: hex digits, the same at every member, are an external
 *         pre-shared key of TLS 1.3; the key exchange is ephemeral all the
 *         same, so that who learns the key later cannot read what was
 *         recorded. The same key signs the datagrams of multicast.
 *         Certificates: each member has its own, and all are of one authority;
 *         whatever names they bear. Nothing signs datagrams then.
 *
 *         Nothing here touches a socket: what came is fed in, what is to be
 *         written gathers in a buffer of the caller's.
 * Owns    A connection borrows key and buffer.
 * Errors  RC_INVALID: no usable key. RC_UNSUPPORTED: built without GnuTLS.
 * Threads A key is constant: any. A connection: one.
 * Source  RFC 8446 (2.2, 4.2.11), RFC 9257 */
#ifndef MARGAY_MANAGERS_CLUSTER_TLS_H
#define MARGAY_MANAGERS_CLUSTER_TLS_H

#include "session/buf.h"
#include "session/rc.h"

#include <stdint.h>

#define TLS_KEY_MIN 16 /* bytes; twice as many digits */
#define TLS_KEY_MAX 64
#define TLS_TAG_SIZE 32
#define TLS_RECORD_MAX 16384 /* bytes that one tls_open can bring */

struct tls_key;
struct tls;

/* Shared. hex: digits of both cases; blanks around them are left out. */
enum rc tls_key_new(const char *hex, struct tls_key **out, struct err *err);
/* Certificates: files in PEM. */
enum rc tls_key_load(const char *certificate, const char *private_key,
                     const char *authority, struct tls_key **out,
                     struct err *err);
void tls_key_free(struct tls_key **key);
bool tls_key_is_shared(const struct tls_key *key);

/* HMAC-SHA256 under a key derived from this one, which is a shared one. */
void tls_tag(const struct tls_key *key, const void *bytes, size_t len,
             uint8_t tag[TLS_TAG_SIZE]);
bool tls_tag_fits(const struct tls_key *key, const void *bytes, size_t len,
                  const uint8_t tag[TLS_TAG_SIZE]);

/* out: where bytes for the wire are appended; its ceiling is for the caller to
 * watch (a buffer that is full fails the connection). */
struct tls *tls_new(const struct tls_key *key, bool is_client, struct buf *out);
void tls_free(struct tls **tls);

/* What came over the wire, to be used up by one of the next two; borrowed until
 * that answered TLS_MORE or 0. */
void tls_feed(struct tls *tls, const void *bytes, size_t len);

enum tls_step {
    TLS_MORE, /* feed it */
    TLS_DONE, /* the other has the key, too (of one with a certificate that may
                 be told later, by tls_open); what was fed may go on */
    TLS_REFUSED /* err says why; an alert may be in the buffer */
};
enum tls_step tls_handshake(struct tls *tls, struct err *err);
/* At most `size` bytes of what was fed, in clear. 0: feed it; -1: the
 * connection is over, err says why. */
long tls_open(struct tls *tls, void *out, size_t size, struct err *err);
bool tls_seal(struct tls *tls, const void *bytes, size_t len);

#endif
