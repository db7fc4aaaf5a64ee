/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/tls.h"
#include "session/hex.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

/* External keys go with SHA-256 only (RFC 8446, 4.2.11), which leaves out the
 * suites of SHA-384. */
#define TLS_PRIORITY                                                           \
    "NONE:+VERS-TLS1.3:+AES-128-GCM:+CHACHA20-POLY1305:+AEAD:+SHA256:"         \
    "+ECDHE-PSK:+DHE-PSK:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-FFDHE2048:"     \
    "+SIGN-ALL"
#define TLS_PRIORITY_X509 "NORMAL:-VERS-ALL:+VERS-TLS1.3"
/* Sent in clear: it tells nobody anything. */
#define TLS_IDENTITY "margay"
#define TLS_TAG_USE "margay membership"

struct tls_key {
    uint8_t bytes[TLS_KEY_MAX];
    unsigned len;
    uint8_t tag_key[TLS_TAG_SIZE];
    gnutls_psk_client_credentials_t client;
    gnutls_psk_server_credentials_t server;
    gnutls_certificate_credentials_t x509; /* instead of all above */
    gnutls_priority_t priority;
};

struct tls {
    gnutls_session_t session;
    const struct tls_key *key;
    struct buf *out;
    const uint8_t *fed, *fed_end;
};

/* --- the key -------------------------------------------------------------- */

#define TLS_BLANKS " \t\r\n"

/* Never says anything of the digits but what is wrong with them. */
static enum rc key_parse(struct tls_key *key, const char *hex, struct err *err)
{
    size_t digits;

    hex += strspn(hex, TLS_BLANKS);
    digits = strcspn(hex, TLS_BLANKS);
    if (hex[digits + strspn(hex + digits, TLS_BLANKS)])
        return err_set(err, RC_INVALID,
                       "the cluster's key has blanks inside: it is one word of "
                       "hex digits");
    if (digits % 2 || digits < 2 * TLS_KEY_MIN || digits > 2 * TLS_KEY_MAX)
        return err_set(err, RC_INVALID,
                       "the cluster's key has %zu hex digits: an even number "
                       "from %d to %d is possible (openssl rand -hex 32 makes "
                       "one)",
                       digits, 2 * TLS_KEY_MIN, 2 * TLS_KEY_MAX);
    for (size_t i = 0; i < digits; i++) {
        int digit = hex_digit(hex[i]);
        if (digit < 0)
            return err_set(err, RC_INVALID,
                           "the cluster's key has something else than a hex "
                           "digit at place %zu (openssl rand -hex 32 makes "
                           "one)",
                           i + 1);
        key->bytes[i / 2] = (uint8_t)(key->bytes[i / 2] << 4 | digit);
    }
    key->len = (unsigned)digits / 2;
    return RC_OK;
}

static int key_of_server(gnutls_session_t session, const char *name,
                         gnutls_datum_t *out)
{
    const struct tls *tls = gnutls_session_get_ptr(session);

    if (strcmp(name, TLS_IDENTITY) != 0)
        return -1;
    out->data = gnutls_malloc(tls->key->len);
    if (!out->data)
        return -1;
    memcpy(out->data, tls->key->bytes, tls->key->len);
    out->size = tls->key->len;
    return 0;
}

static int key_prepare(struct tls_key *key)
{
    gnutls_datum_t secret = {key->bytes, key->len};
    int n = gnutls_priority_init2(&key->priority, TLS_PRIORITY, NULL, 0);

    if (n == 0)
        n = gnutls_psk_allocate_client_credentials(&key->client);
    if (n == 0)
        n = gnutls_psk_set_client_credentials(key->client, TLS_IDENTITY,
                                              &secret, GNUTLS_PSK_KEY_RAW);
    if (n == 0)
        n = gnutls_psk_allocate_server_credentials(&key->server);
    if (n == 0)
        n = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->bytes, key->len,
                             TLS_TAG_USE, sizeof TLS_TAG_USE - 1, key->tag_key);
    if (n == 0)
        gnutls_psk_set_server_credentials_function(key->server, key_of_server);
    return n;
}

enum rc tls_key_new(const char *hex, struct tls_key **out, struct err *err)
{
    struct tls_key *key = mem_zero(sizeof *key);
    enum rc rc = key_parse(key, hex, err);

    if (rc == RC_OK) {
        int n = key_prepare(key);
        if (n < 0)
            rc = err_set(err, RC_UNSUPPORTED,
                         "GnuTLS offers no TLS 1.3 with a pre-shared key here "
                         "(%s): look for a system-wide crypto policy",
                         gnutls_strerror(n));
    }
    if (rc == RC_OK)
        *out = key;
    else
        tls_key_free(&key);
    return rc;
}

static enum rc x509_refuse(const char *what, const char *path, int n,
                           struct err *err)
{
    return err_set(err, RC_INVALID,
                   "the cluster's %s %.200s cannot be used (%s): a file in PEM "
                   "is wanted",
                   what, path, gnutls_strerror(n));
}

static enum rc x509_load(struct tls_key *key, const char *certificate,
                         const char *private_key, const char *authority,
                         struct err *err)
{
    int n = gnutls_certificate_allocate_credentials(&key->x509);

    assert(n == 0);
    n = gnutls_certificate_set_x509_trust_file(key->x509, authority,
                                               GNUTLS_X509_FMT_PEM);
    if (n <= 0)
        return x509_refuse("authority (caCertificateFile)", authority,
                           n ? n : GNUTLS_E_NO_CERTIFICATE_FOUND, err);
    n = gnutls_certificate_set_x509_key_file(key->x509, certificate,
                                             private_key, GNUTLS_X509_FMT_PEM);
    if (n < 0)
        return x509_refuse("certificate or its key (certificateFile, "
                           "certificateKeyFile)",
                           certificate, n, err);
    n = gnutls_priority_init2(&key->priority, TLS_PRIORITY_X509, NULL, 0);
    return n == 0 ? RC_OK
                  : err_set(err, RC_UNSUPPORTED,
                            "GnuTLS offers no TLS 1.3 here (%s): look for a "
                            "system-wide crypto policy",
                            gnutls_strerror(n));
}

enum rc tls_key_load(const char *certificate, const char *private_key,
                     const char *authority, struct tls_key **out,
                     struct err *err)
{
    struct tls_key *key = mem_zero(sizeof *key);
    enum rc rc = x509_load(key, certificate, private_key, authority, err);

    if (rc == RC_OK)
        *out = key;
    else
        tls_key_free(&key);
    return rc;
}

bool tls_key_is_shared(const struct tls_key *key)
{
    return !key->x509;
}

void tls_key_free(struct tls_key **keyp)
{
    struct tls_key *key = *keyp;

    if (!key)
        return;
    if (key->server)
        gnutls_psk_free_server_credentials(key->server);
    if (key->client)
        gnutls_psk_free_client_credentials(key->client);
    if (key->x509)
        gnutls_certificate_free_credentials(key->x509);
    if (key->priority)
        gnutls_priority_deinit(key->priority);
    explicit_bzero(key, sizeof *key);
    free(key);
    *keyp = NULL;
}

void tls_tag(const struct tls_key *key, const void *bytes, size_t len,
             uint8_t tag[TLS_TAG_SIZE])
{
    int n = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->tag_key,
                             sizeof key->tag_key, bytes, len, tag);

    assert(n == 0);
    (void)n;
}

bool tls_tag_fits(const struct tls_key *key, const void *bytes, size_t len,
                  const uint8_t tag[TLS_TAG_SIZE])
{
    uint8_t own[TLS_TAG_SIZE];

    tls_tag(key, bytes, len, own);
    return gnutls_memcmp(own, tag, sizeof own) == 0;
}

/* --- a connection --------------------------------------------------------- */

static ssize_t tls_push(gnutls_transport_ptr_t ptr, const void *bytes,
                        size_t len)
{
    struct tls *tls = ptr;

    if (buf_add(tls->out, bytes, len))
        return (ssize_t)len;
    gnutls_transport_set_errno(tls->session, ENOBUFS);
    return -1;
}

static ssize_t tls_pull(gnutls_transport_ptr_t ptr, void *bytes, size_t len)
{
    struct tls *tls = ptr;
    size_t left = (size_t)(tls->fed_end - tls->fed);

    if (!left) {
        gnutls_transport_set_errno(tls->session, EAGAIN);
        return -1;
    }
    if (len > left)
        len = left;
    memcpy(bytes, tls->fed, len);
    tls->fed += len;
    return (ssize_t)len;
}

static int tls_pull_wait(gnutls_transport_ptr_t ptr, unsigned ms)
{
    const struct tls *tls = ptr;

    (void)ms;
    return tls->fed < tls->fed_end;
}

static int tls_credentials(struct tls *tls, bool is_client)
{
    const struct tls_key *key = tls->key;

    if (!key->x509)
        return gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK,
                                      is_client ? (void *)key->client
                                                : (void *)key->server);
    gnutls_session_set_verify_cert(tls->session, NULL, 0);
    if (!is_client)
        gnutls_certificate_server_set_request(tls->session,
                                              GNUTLS_CERT_REQUIRE);
    return gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE,
                                  key->x509);
}

struct tls *tls_new(const struct tls_key *key, bool is_client, struct buf *out)
{
    struct tls *tls = mem_zero(sizeof *tls);
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
    int n;

    tls->key = key;
    tls->out = out;
    n = gnutls_init(&tls->session,
                    flags | (is_client ? GNUTLS_CLIENT : GNUTLS_SERVER));
    if (n == 0)
        n = gnutls_priority_set(tls->session, key->priority);
    if (n == 0)
        n = tls_credentials(tls, is_client);
    assert(n == 0);
    (void)n;
    gnutls_session_set_ptr(tls->session, tls);
    gnutls_transport_set_ptr(tls->session, tls);
    gnutls_transport_set_push_function(tls->session, tls_push);
    gnutls_transport_set_pull_function(tls->session, tls_pull);
    gnutls_transport_set_pull_timeout_function(tls->session, tls_pull_wait);
    return tls;
}

void tls_free(struct tls **tls)
{
    if (!*tls)
        return;
    gnutls_deinit((*tls)->session);
    free(*tls);
    *tls = NULL;
}

void tls_feed(struct tls *tls, const void *bytes, size_t len)
{
    assert(tls->fed == tls->fed_end);
    tls->fed = bytes;
    tls->fed_end = tls->fed + len;
}

static void tls_explain(const struct tls *tls, int n, struct err *err)
{
    if (n == GNUTLS_E_FATAL_ALERT_RECEIVED ||
        n == GNUTLS_E_WARNING_ALERT_RECEIVED)
        err_set(err, RC_INVALID, "TLS: it says: %s",
                gnutls_alert_get_name(gnutls_alert_get(tls->session)));
    else
        err_set(err, RC_INVALID, "TLS: %s", gnutls_strerror(n));
}

enum tls_step tls_handshake(struct tls *tls, struct err *err)
{
    int n;

    do {
        n = gnutls_handshake(tls->session);
        if (n == 0)
            return TLS_DONE;
        if (n == GNUTLS_E_AGAIN && tls->fed == tls->fed_end)
            return TLS_MORE;
    } while (!gnutls_error_is_fatal(n));
    gnutls_alert_send_appropriate(tls->session, n);
    tls_explain(tls, n, err);
    return TLS_REFUSED;
}

long tls_open(struct tls *tls, void *out, size_t size, struct err *err)
{
    ssize_t n;

    do {
        n = gnutls_record_recv(tls->session, out, size);
        if (n > 0)
            return (long)n;
        if (n == GNUTLS_E_AGAIN && tls->fed == tls->fed_end)
            return 0;
    } while (n < 0 && !gnutls_error_is_fatal((int)n));
    if (n == 0)
        err_set(err, RC_UNAVAILABLE, "TLS: it closed the connection");
    else
        tls_explain(tls, (int)n, err);
    return -1;
}

bool tls_seal(struct tls *tls, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len) {
        ssize_t n = gnutls_record_send(tls->session, p, len);
        if (n <= 0 && (n == 0 || gnutls_error_is_fatal((int)n)))
            return false;
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return true;
}
