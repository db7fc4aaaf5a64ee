/* SPDX-License-Identifier: Apache-2.0
 *
 * What a cluster is configured with, where it may listen, and how members find
 * each other. */
#include "config.h"

#include "tests/members.h"

#include "managers/cluster/address.h"
#include "managers/cluster/multicast.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- small parts ------------------------------------------------------------
 */

static enum copies copies_of(const char *text)
{
    struct err err = {""};
    enum copies copies = COPIES_ONE;

    CHECK_INT(cluster_send_options("channelSendOptions", text, &copies, &err),
              RC_OK);
    return copies;
}

static void numbers_of_tomcat_are_understood(void)
{
    enum copies copies;

    CHECK_INT(copies_of(NULL), COPIES_ALL);
    CHECK_INT(copies_of(""), COPIES_ALL);
    CHECK_INT(copies_of("8"), COPIES_NONE);
    CHECK_INT(copies_of("1"), COPIES_NONE);
    CHECK_INT(copies_of("10"), COPIES_NONE);
    CHECK_INT(copies_of("2"), COPIES_ALL);
    CHECK_INT(copies_of("4"), COPIES_ALL);
    CHECK_INT(copies_of("6"), COPIES_ALL);
    CHECK_INT(copies_of("async"), COPIES_NONE);
    CHECK_INT(copies_of("synchronized_ack, use_ack"), COPIES_ALL);
    CHECK_INT(cluster_send_options("channelSendOptions", "16", &copies, NULL),
              RC_UNSUPPORTED);
    CHECK_INT(cluster_send_options("channelSendOptions", "udp", &copies, NULL),
              RC_UNSUPPORTED);
    CHECK_INT(cluster_send_options("channelSendOptions", "128", &copies, NULL),
              RC_INVALID);
    CHECK_INT(cluster_send_options("channelSendOptions", "-1", &copies, NULL),
              RC_INVALID);
    CHECK_INT(
        cluster_send_options("channelSendOptions", "often", &copies, NULL),
        RC_INVALID);
}

static void elements_are_found(void)
{
    const struct cluster_element *e;

    e = cluster_element_find(
        "Receiver", "org.apache.catalina.tribes.transport.nio.NioReceiver");
    CU_ASSERT_FATAL(e != NULL);
    CU_ASSERT(option_find(e->options, "autoBind") != NULL);
    e = cluster_element_find("Membership", NULL);
    CU_ASSERT_FATAL(e != NULL);
    CHECK_STR(e->class_name, "McastService");
    CU_ASSERT(!cluster_element_find("Receiver", "BioReceiver"));
    CU_ASSERT(!cluster_element_find("Toaster", NULL));
}

static void members_add_up(void)
{
    struct cluster_options o;
    struct cluster_member m = {.host = mem_strdup("alpha"), .port = 4001};
    struct err err = {""};

    cluster_options_init(&o);
    CHECK_INT(cluster_options_member(&o, &m, false, &err), RC_OK);
    CU_ASSERT(!m.host);
    m = (struct cluster_member){.host = mem_strdup("::1"), .port = 4002};
    CHECK_INT(cluster_options_member(&o, &m, false, &err), RC_OK);
    m = (struct cluster_member){.host = mem_strdup("beta"), .port = 4003};
    CHECK_INT(cluster_options_member(&o, &m, true, &err), RC_OK);
    CHECK_STR(buf_str(&o.list), "alpha:4001,[::1]:4002");
    m = (struct cluster_member){.host = mem_strdup("gamma")};
    CHECK_INT(cluster_options_member(&o, &m, false, &err), RC_INVALID);
    cluster_options_release(&o);
}

static void addresses_are_taken_apart(void)
{
    static const char *const wrong[] = {"",      "a",    "a:",   "a:0",
                                        ":1",    "a:1x", "a:-1", "a:65536",
                                        "::1:1", "[]:1", "a: 1", "a:+1"};
    char host[ADDRESS_HOST_MAX], text[ADDRESS_MAX];
    unsigned port = 0;

    CU_ASSERT(address_split("a.b:65535", host, &port));
    CHECK_STR(host, "a.b");
    CHECK_INT(port, 65535);
    CU_ASSERT(address_split("[::1]:1", host, &port));
    CHECK_STR(host, "::1");
    CHECK_STR(address_join(host, port, text), "[::1]:1");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CU_ASSERT(!address_split(wrong[i], host, &port));
}

/* Cut anywhere, or with any byte changed, it is none. */
static void hold_announcements(const struct tls_key *key)
{
    const struct announcement a = {UINT64_C(0xfedcba9876543210), "shop",
                                   "node1", "127.0.0.1:4000"};
    uint8_t bytes[MULTICAST_MAX], changed[MULTICAST_MAX];
    struct announcement b;
    size_t len = announcement_write(&a, key, bytes);

    CU_ASSERT_FATAL(announcement_read(bytes, len, key, &b));
    CU_ASSERT(b.node == a.node);
    CHECK_STR(b.cluster, a.cluster);
    CHECK_STR(b.name, a.name);
    CHECK_STR(b.address, a.address);
    for (size_t i = 0; i < len; i++)
        CU_ASSERT(!announcement_read(bytes, i, key, &b));
    for (size_t i = 0; key && i < len; i++) {
        memcpy(changed, bytes, len);
        changed[i] ^= 1;
        CU_ASSERT(!announcement_read(changed, len, key, &b));
    }
}

static void announcements_are_checked(void)
{
    hold_announcements(NULL);
}

static void signed_announcements_are_checked(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    const struct announcement a = {1, "shop", "node1", "127.0.0.1:4000"};
    struct tls_key *key = NULL, *other = NULL;
    uint8_t bytes[MULTICAST_MAX];
    struct announcement b;
    size_t len;

    CHECK_INT_FATAL(tls_key_new(KEY, &key, NULL), RC_OK);
    CHECK_INT_FATAL(tls_key_new(OTHER, &other, NULL), RC_OK);
    hold_announcements(key);
    len = announcement_write(&a, key, bytes);
    CU_ASSERT(!announcement_read(bytes, len, other, &b));
    CU_ASSERT(!announcement_read(bytes, len, NULL, &b));
    len = announcement_write(&a, NULL, bytes);
    CU_ASSERT(!announcement_read(bytes, len, key, &b));
    tls_key_free(&key);
    tls_key_free(&other);
}

/* --- opening ---------------------------------------------------------------
 */

static void expect_refusal(struct node *n, const char *words)
{
    struct err err = {""};

    CU_ASSERT(node_open(n, &err) != RC_OK);
    if (!strstr(err.text, words))
        fprintf(stderr, "# %s\n", err.text);
    CU_ASSERT(strstr(err.text, words) != NULL);
}

static void beyond_loopback_wants_a_key(void)
{
    choose_ports();
    set(node_prepare(0), "Cluster", "address", "0.0.0.0");
    expect_refusal(&nodes[0], "cluster.key");
    set(node_prepare(1), "Cluster", "members", "192.0.2.1:4000");
    expect_refusal(&nodes[1], "cluster.key");
}

/* What only turns out when it is looked up: here a number that is written as
 * no address is, of a network that nobody has. */
static void a_name_beyond_loopback_is_not_dialled(void)
{
    choose_ports();
    set(node_prepare(0), "Cluster", "members", "3221225985:4000");
    if (!node_run(&nodes[0]))
        return;
    UNTIL(node_said(&nodes[0], "no link to 3221225985:4000: it is beyond "
                               "loopback"));
}

static void a_key_is_checked(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    choose_ports();
    set(node_prepare(0), "Cluster", "key", "abc");
    expect_refusal(&nodes[0], "hex digits");
    set(node_prepare(1), "Cluster", "key",
        "zz112233445566778899aabbccddeeff00112233");
    expect_refusal(&nodes[1], "hex digit");
    set(node_prepare(2), "Cluster", "keyFile", "/nowhere/at/all");
    expect_refusal(&nodes[2], "/nowhere/at/all");
}

static void members_are_checked(void)
{
    choose_ports();
    set(node_prepare(0), "Cluster", "members", "127.0.0.1");
    expect_refusal(&nodes[0], "host:port");
    set(node_prepare(1), "Cluster", "members", "127.0.0.1:4000,::1:70000");
    expect_refusal(&nodes[1], "host:port");
}

static void a_taken_port_is_named(void)
{
    struct err err = {""};
    char own[32];

    choose_ports();
    CHECK_INT(node_open(node_prepare(0), &err), RC_OK);
    ports[1] = ports[0];
    snprintf(own, sizeof own, "(process %d)", (int)getpid());
    expect_refusal(node_prepare(1), own);
}

/* A name may have an address where nobody listens ([::1]). */
static void names_are_asked_for(void)
{
    char list[128];

    choose_ports();
    snprintf(list, sizeof list, "localhost:%u, localhost:%u", ports[0],
             ports[1]);
    for (unsigned i = 0; i < 2; i++)
        set(node_prepare(i), "Cluster", "members", list);
    if (!node_run(&nodes[0]) || !node_run(&nodes[1]))
        return;
    UNTIL(all_ready(2));
}

/* --- multicast -------------------------------------------------------------
 */

/* Of this test alone: others on this machine may run it, too. */
static void use_multicast(struct node *n, unsigned port)
{
    char text[16];

    set(n, "Cluster", "members", "");
    snprintf(text, sizeof text, "%u", port);
    set(n, "Membership", "port", text);
    set(n, "Membership", "frequency", "50");
}

static bool has_multicast(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(9),
                             .sin_addr.s_addr = inet_addr("228.0.0.4")};
    struct in_addr lo = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct ip_mreq join = {.imr_multiaddr = to.sin_addr, .imr_interface = lo};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has =
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) ==
            0 &&
        sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1;

    close(fd);
    return has;
}

static void discovery(const char *key)
{
    uint8_t id[ID_SIZE];

    choose_ports();
    for (unsigned i = 1; i < NODES;
         i++)                /* the first takes it, all others the */
        ports[i] = ports[0]; /* next that is free */
    for (unsigned i = 0; i < NODES; i++) {
        struct node *n = node_prepare(i);
        use_multicast(n, ports[0]);
        if (key)
            set(n, "Cluster", "key", key);
        if (!node_run(n))
            return;
    }
    UNTIL(all_ready(3));
    CU_ASSERT(strcmp(cluster_address(nodes[0].cluster),
                     cluster_address(nodes[1].cluster)) != 0);
    CHECK_INT(node_put(&nodes[0], id, "v", COPIES_ALL), RC_OK);
    CU_ASSERT(node_has(&nodes[1], id, "v") && node_has(&nodes[2], id, "v"));
}

static void members_find_each_other(void)
{
    if (!has_multicast())
        SKIP("no multicast on loopback");
    discovery(NULL);
}

static void signed_announcements(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    if (!has_multicast())
        SKIP("no multicast on loopback");
    discovery(KEY);
}

/* One that announces itself, and whom no other hears. */
static void others_are_ignored(void)
{
    if (!has_multicast())
        SKIP("no multicast on loopback");
    choose_ports();
    for (unsigned i = 0; i < NODES; i++)
        use_multicast(node_prepare(i), ports[0]);
    set(&nodes[1], "Cluster", "clusterName", "another");
    set(&nodes[0], "Cluster", "clusterName", "one");
    set(&nodes[2], "Cluster", "clusterName", "one");
    for (unsigned i = 0; i < NODES; i++)
        if (!node_run(&nodes[i]))
            return;
    UNTIL(figures(&nodes[0]).members == 2 && figures(&nodes[2]).members == 2);
    CHECK_INT(figures(&nodes[1]).members, 1);
    CHECK_INT(figures(&nodes[1]).garbage, 0);
}

/* What others are told, whatever it listens at; and its own line in the list
 * of members is known by it. */
static void an_address_is_advertised(void)
{
    struct err err = {""};
    struct node *n;

    choose_ports();
    n = node_prepare(0);
    set(n, "Cluster", "advertise", "gate.example:4711");
    set(n, "Cluster", "members", "gate.example:4711");
    CU_ASSERT_FATAL(node_run(n));
    CHECK_STR(cluster_address(n->cluster), "gate.example:4711");
    UNTIL(all_ready(1));
    n = node_prepare(1);
    set(n, "Cluster", "advertise", "gate.example");
    CHECK_INT(node_open(n, &err), RC_INVALID);
    CU_ASSERT(strstr(err.text, "no host:port") != NULL);
}

UNIT_MAIN_AROUND("cluster_open", NULL, nodes_release,
                 CASE(numbers_of_tomcat_are_understood),
                 CASE(elements_are_found), CASE(members_add_up),
                 CASE(addresses_are_taken_apart),
                 CASE(announcements_are_checked),
                 CASE(signed_announcements_are_checked),
                 CASE(beyond_loopback_wants_a_key),
                 CASE(a_name_beyond_loopback_is_not_dialled),
                 CASE(a_key_is_checked), CASE(members_are_checked),
                 CASE(an_address_is_advertised), CASE(a_taken_port_is_named),
                 CASE(names_are_asked_for), CASE(members_find_each_other),
                 CASE(signed_announcements), CASE(others_are_ignored))
