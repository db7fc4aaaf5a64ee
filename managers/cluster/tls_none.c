/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of tls.c where there is no GnuTLS: no key can be made, so nothing
 * else here is ever called. */
#include "config.h"

#include "managers/cluster/tls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum rc tls_key_new(const char *hex, struct tls_key **out, struct err *err)
{
    (void)hex;
    (void)out;
    return err_set(err, RC_UNSUPPORTED,
                   "this margay was built without GnuTLS, which a cluster's "
                   "key needs: install libgnutls28-dev and build it again");
}

enum rc tls_key_load(const char *certificate, const char *private_key,
                     const char *authority, struct tls_key **out,
                     struct err *err)
{
    (void)certificate;
    (void)private_key;
    (void)authority;
    return tls_key_new("", out, err);
}

bool tls_key_is_shared(const struct tls_key *key)
{
    (void)key;
    return false;
}

void tls_key_free(struct tls_key **key)
{
    *key = NULL;
}

void tls_tag(const struct tls_key *key, const void *bytes, size_t len,
             uint8_t tag[TLS_TAG_SIZE])
{
    (void)key;
    (void)bytes;
    (void)len;
    memset(tag, 0, TLS_TAG_SIZE);
    assert(!"no key without GnuTLS");
}

bool tls_tag_fits(const struct tls_key *key, const void *bytes, size_t len,
                  const uint8_t tag[TLS_TAG_SIZE])
{
    (void)key;
    (void)bytes;
    (void)len;
    (void)tag;
    assert(!"no key without GnuTLS");
    return false;
}

struct tls *tls_new(const struct tls_key *key, bool is_client, struct buf *out)
{
    (void)key;
    (void)is_client;
    (void)out;
    assert(!"no key without GnuTLS");
    abort();
}

void tls_free(struct tls **tls)
{
    assert(!*tls);
    (void)tls;
}

void tls_feed(struct tls *tls, const void *bytes, size_t len)
{
    (void)tls;
    (void)bytes;
    (void)len;
}

enum tls_step tls_handshake(struct tls *tls, struct err *err)
{
    (void)tls;
    (void)err;
    return TLS_REFUSED;
}

long tls_open(struct tls *tls, void *out, size_t size, struct err *err)
{
    (void)tls;
    (void)out;
    (void)size;
    (void)err;
    return -1;
}

bool tls_seal(struct tls *tls, const void *bytes, size_t len)
{
    (void)tls;
    (void)bytes;
    (void)len;
    return false;
}
