/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that know each other by certificates of one authority. */
#include "config.h"

#include "tests/members.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#if HAVE_GNUTLS
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
};

static void pair_release(struct pair *p)
{
    gnutls_x509_crt_deinit(p->certificate);
    gnutls_x509_privkey_deinit(p->key);
}

/* by: the authority; NULL: it is one itself. */
static void pair_make(struct pair *p, const struct pair *by)
{
    static const uint8_t serial[] = {7};
    time_t now = time(NULL);
    int n = gnutls_x509_privkey_init(&p->key);

    n |= gnutls_x509_privkey_generate(
        p->key, GNUTLS_PK_ECDSA,
        GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    n |= gnutls_x509_crt_init(&p->certificate);
    n |= gnutls_x509_crt_set_version(p->certificate, 3);
    n |= gnutls_x509_crt_set_key(p->certificate, p->key);
    n |= gnutls_x509_crt_set_dn(p->certificate,
                                by ? "CN=member" : "CN=authority", NULL);
    n |= gnutls_x509_crt_set_serial(p->certificate, serial, sizeof serial);
    n |= gnutls_x509_crt_set_activation_time(p->certificate, now - 3600);
    n |= gnutls_x509_crt_set_expiration_time(p->certificate, now + 3600);
    n |= gnutls_x509_crt_set_ca_status(p->certificate, !by);
    if (!by)
        by = p;
    n |= gnutls_x509_crt_sign2(p->certificate, by->certificate, by->key,
                               GNUTLS_DIG_SHA256, 0);
    CHECK_INT_FATAL(n, 0);
}

static void put(const char *name, char path[512], const gnutls_datum_t *pem)
{
    FILE *file;

    snprintf(path, 512, "%s/%s", unit_tmpdir(), name);
    file = fopen(path, "we");
    CU_ASSERT_FATAL(file != NULL);
    CHECK_INT(fwrite(pem->data, 1, pem->size, file), pem->size);
    fclose(file);
}

static void put_certificate(const char *name, char path[512],
                            const struct pair *p)
{
    gnutls_datum_t pem = {NULL, 0};

    CHECK_INT(
        gnutls_x509_crt_export2(p->certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
    put(name, path, &pem);
    gnutls_free(pem.data);
}

static void put_key(const char *name, char path[512], const struct pair *p)
{
    gnutls_datum_t pem = {NULL, 0};

    CHECK_INT(gnutls_x509_privkey_export2(p->key, GNUTLS_X509_FMT_PEM, &pem),
              0);
    put(name, path, &pem);
    gnutls_free(pem.data);
}

/* Member i trusts `authority` and has a certificate of `by`. */
static void prepare(unsigned i, const struct pair *authority,
                    const struct pair *by)
{
    char certificate[512], key[512], trusted[512], name[32];
    struct node *n = node_prepare(i);
    struct pair own;

    pair_make(&own, by);
    snprintf(name, sizeof name, "certificate%u", i);
    put_certificate(name, certificate, &own);
    snprintf(name, sizeof name, "key%u", i);
    put_key(name, key, &own);
    snprintf(name, sizeof name, "authority%u", i);
    put_certificate(name, trusted, authority);
    pair_release(&own);
    set(n, "Cluster", "certificateFile", certificate);
    set(n, "Cluster", "certificateKeyFile", key);
    set(n, "Cluster", "caCertificateFile", trusted);
}

static void one_authority_makes_members(void)
{
    struct pair authority;
    uint8_t id[ID_SIZE];

    pair_make(&authority, NULL);
    choose_ports();
    for (unsigned i = 0; i < 3; i++) {
        prepare(i, &authority, &authority);
        if (!node_run(&nodes[i]))
            return;
    }
    pair_release(&authority);
    UNTIL(all_ready(3));
    CHECK_INT(node_put(&nodes[0], id, "v", COPIES_ALL), RC_OK);
    CU_ASSERT(node_has(&nodes[1], id, "v") && node_has(&nodes[2], id, "v"));
    CHECK_INT(figures(&nodes[0]).garbage, 0);
}

/* The other trusts ours, and is of one that we do not trust. */
static void another_authority_is_refused(void)
{
    struct pair authority, other;

    pair_make(&authority, NULL);
    pair_make(&other, NULL);
    choose_ports();
    prepare(0, &authority, &authority);
    prepare(1, &authority, &other);
    pair_release(&authority);
    pair_release(&other);
    if (!node_run(&nodes[0]) || !node_run(&nodes[1]))
        return;
    UNTIL(figures(&nodes[0]).garbage && figures(&nodes[1]).garbage);
    UNTIL(node_said(&nodes[0], "authority") &&
          node_said(&nodes[1], "authority"));
    CHECK_INT(figures(&nodes[0]).members, 1);
    CHECK_INT(figures(&nodes[1]).members, 1);
}

static void expect_refusal(struct node *n, const char *words)
{
    struct err err = {""};

    CU_ASSERT(node_open(n, &err) != RC_OK);
    if (!strstr(err.text, words))
        fprintf(stderr, "# %s\n", err.text);
    CU_ASSERT(strstr(err.text, words) != NULL);
}

static void certificates_are_checked(void)
{
    struct pair authority;

    pair_make(&authority, NULL);
    choose_ports();
    set(node_prepare(0), "Cluster", "certificateFile", "/nowhere/at/all");
    expect_refusal(&nodes[0], "name all three");
    prepare(1, &authority, &authority);
    set(&nodes[1], "Cluster", "key", KEY);
    expect_refusal(&nodes[1], "keep one of them");
    prepare(2, &authority, &authority);
    set(&nodes[2], "Cluster", "certificateFile", "/nowhere/at/all");
    expect_refusal(&nodes[2], "/nowhere/at/all");
    pair_release(&authority);
}

UNIT_MAIN_AROUND("cluster_tls", NULL, nodes_release,
                 CASE(one_authority_makes_members),
                 CASE(another_authority_is_refused),
                 CASE(certificates_are_checked))

#else

static void certificates(void)
{
    SKIP("built without GnuTLS");
}

UNIT_MAIN("cluster_tls", CASE(certificates))

#endif
