/* SPDX-License-Identifier: Apache-2.0
 *
 * Members link, changes flow, and strangers change nothing. */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include "tests/members.h"
#include "tests/records.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the cases -------------------------------------------------------------
 */

static void changes_flow(const char *key)
{
    uint8_t id[ID_SIZE];

    nodes_start(3, key);
    UNTIL(all_ready(3));
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(node_put(&nodes[i], id, "v", COPIES_ALL), RC_OK);
        for (unsigned k = 0; k < 3; k++)
            CU_ASSERT(node_has(&nodes[k], id, "v"));
    }
    CHECK_INT(node_put(&nodes[0], id, "w", COPIES_NONE), RC_OK);
    UNTIL(node_has(&nodes[1], id, "w") && node_has(&nodes[2], id, "w"));
    CHECK_INT(node_put(&nodes[2], id, "x", COPIES_ONE), RC_OK);
    CU_ASSERT(node_has(&nodes[0], id, "x") || node_has(&nodes[1], id, "x"));
    UNTIL(figures(&nodes[2]).unacknowledged == 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(figures(&nodes[i]).garbage, 0);
}

static void members_link_and_changes_flow(void)
{
    changes_flow(NULL);
    CU_ASSERT(node_said(&nodes[0], "cluster.key"));
}

static void the_same_over_tls(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    changes_flow(KEY);
    CU_ASSERT(!node_said(&nodes[0], "without a key"));
    CU_ASSERT(node_said(&nodes[0], "TLS"));
}

static void large_records_travel(void)
{
    const size_t size = 5 << 20;
    char *value = mem_zero(size + 1);
    uint8_t id[ID_SIZE];

    memset(value, 'x', size);
#if HAVE_GNUTLS
    nodes_start(2, KEY);
#else
    nodes_start(2, NULL);
#endif
    UNTIL(figures(&nodes[0]).members == 2 && cluster_ready(nodes[0].cluster));
    CHECK_INT(node_put(&nodes[0], id, value, COPIES_ALL), RC_OK);
    CU_ASSERT(node_has(&nodes[1], id, value));
    free(value);
}

static _Atomic int taken;

static struct record *record_of_size(uint8_t id[ID_SIZE], size_t size)
{
    struct value value = {
        .type = VALUE_BYTES, .data = mem_zero(size), .len = size};
    struct changes c;

    id_mint(id);
    changes_init(&c);
    changes_set(&c, key_text("k"), &value);
    struct record *r =
        record_new(RECORD_SESSION, id, instant_read().wall, &c, 9);
    changes_release(&c);
    free((void *)value.data);
    return r;
}

struct burst {
    struct node *node;
    pthread_t thread;
    uint8_t ids[200][ID_SIZE];
    unsigned done;
};

static void *burst_thread(void *arg)
{
    struct burst *b = arg;

    for (unsigned i = 0; i < 200; i++)
        if (node_put(b->node, b->ids[i], "b", COPIES_ALL) == RC_OK)
            b->done++;
    return NULL;
}

static void many_threads_share_frames(void)
{
    static struct burst bursts[12];
    unsigned done = 0, here = 0;
    uint64_t frames;

    nodes_start(3, NULL);
    UNTIL(all_ready(3));
    frames = figures(&nodes[0]).frames_sent;
    for (unsigned i = 0; i < 12; i++) {
        bursts[i].node = &nodes[i % 3];
        bursts[i].done = 0;
        pthread_create(&bursts[i].thread, NULL, burst_thread, &bursts[i]);
    }
    for (unsigned i = 0; i < 12; i++) {
        pthread_join(bursts[i].thread, NULL);
        done += bursts[i].done;
    }
    CHECK_INT(done, 12 * 200);
    for (unsigned i = 0; i < 12; i++)
        for (unsigned k = 0; k < 200; k++)
            here += node_has(&nodes[0], bursts[i].ids[k], "b") &&
                    node_has(&nodes[1], bursts[i].ids[k], "b") &&
                    node_has(&nodes[2], bursts[i].ids[k], "b");
    CHECK_INT(here, 12 * 200);
    /* 800 updates to two members each, and as many acknowledgements, would be
     * 3,200 frames without sharing */
    frames = figures(&nodes[0]).frames_sent - frames;
    CU_ASSERT(frames < 3200);
}

static void taken_up(struct channel_wait *wait, enum rc rc)
{
    (void)wait;
    taken += rc == RC_OK;
}

/* The loop stands still: what is sent gathers, and is all taken up later. */
static void what_gathers_is_told(void)
{
    enum { MANY = 17 };
    static struct channel_wait waits[MANY];
    struct channel_update u = {.kind = UPDATE_RECORD, .app = 1};
    struct record *large;
    uint8_t id[ID_SIZE];

    nodes_start(2, NULL);
    UNTIL(all_ready(2));
    struct cluster *c = nodes[0].cluster;
    struct channel *channel = cluster_channel(c);
    taken = 0;
    large = record_of_size(id, 1 << 20);
    memcpy(u.id, id, ID_SIZE);
    pthread_mutex_lock(&c->core_lock);
    UNTIL(channel->queued == 0);
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT(!channel_is_crowded(channel) || i == MANY - 1);
        waits[i].done = taken_up;
        u.record = record_ref(large);
        channel_send(channel, &u, &waits[i], COPIES_NONE);
    }
    CU_ASSERT(channel_is_crowded(channel));
    CHECK_INT(taken, 0);
    pthread_mutex_unlock(&c->core_lock);
    UNTIL(taken == MANY);
    CU_ASSERT(!channel_is_crowded(channel));
    record_unref(&large);
}

static void who_leaves_is_not_waited_for(void)
{
    uint8_t id[ID_SIZE];
    int64_t began;

    nodes_start(3, NULL);
    UNTIL(all_ready(3));
    CHECK_INT(node_put(&nodes[1], id, "v", COPIES_NONE), RC_OK);
    began = instant_read().mono;
    node_end(&nodes[1]); /* what it sent last has arrived by then */
    CU_ASSERT(instant_read().mono - began < 1500);
    CU_ASSERT(node_has(&nodes[0], id, "v") && node_has(&nodes[2], id, "v"));
    began = instant_read().mono;
    CHECK_INT(node_put(&nodes[0], id, "w", COPIES_ALL), RC_OK);
    CU_ASSERT(instant_read().mono - began < 1000);
    CU_ASSERT(node_has(&nodes[2], id, "w"));
    UNTIL(figures(&nodes[0]).members == 2 && figures(&nodes[2]).members == 2);
    CU_ASSERT(cluster_ready(nodes[0].cluster));
    CU_ASSERT(node_said(&nodes[0], "INFO node1 cluster: node2 is not waited "
                                   "for any more: it was stopped in order; "
                                   "members left: 2; "));
}

static void who_comes_later_gets_all(void)
{
    uint8_t id[ID_SIZE], ids[300][ID_SIZE];
    unsigned here = 0;

    choose_ports();
    for (unsigned i = 0; i < 2; i++)
        if (!node_run(node_prepare(i)))
            return;
    UNTIL(figures(&nodes[0]).members == 2 && cluster_ready(nodes[0].cluster));
    for (unsigned i = 0; i < 300; i++)
        CHECK_INT(node_put(&nodes[0], ids[i], "v", COPIES_NONE), RC_OK);
    node_run(node_prepare(2));
    UNTIL(all_ready(3));
    for (unsigned i = 0; i < 300; i++)
        here += node_has(&nodes[2], ids[i], "v");
    CHECK_INT(here, 300);
    CHECK_INT(node_put(&nodes[2], id, "w", COPIES_ALL), RC_OK);
    CU_ASSERT(node_has(&nodes[0], id, "w"));
}

static void alone_it_serves_at_once(void)
{
    uint8_t id[ID_SIZE];

    nodes_start(1, NULL);
    UNTIL(cluster_ready(nodes[0].cluster)); /* both others refuse */
    CHECK_INT(node_put(&nodes[0], id, "v", COPIES_ALL), RC_OK);
    CHECK_INT(figures(&nodes[0]).members, 1);
}

/* --- strangers -------------------------------------------------------------
 */

static int call(unsigned port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool is_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    while (poll(&p, 1, PATIENCE_MS) == 1) {
        ssize_t n = recv(fd, &byte, 1, 0);
        if (n <= 0)
            return true;
    }
    return false;
}

/* Says that, and is hung up on. */
static void say(unsigned port, const void *bytes, size_t len)
{
    int fd = call(port);

    CU_ASSERT(fd >= 0);
    if (fd < 0)
        return;
    send(fd, bytes, len, MSG_NOSIGNAL);
    CU_ASSERT(is_hung_up(fd));
    close(fd);
}

static void say_garbage(unsigned port)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t empty[] = {0, 0, 0, 0};
    static const uint8_t large[] = {0, 0, 0x20, 0, 0x92, 1, 1}; /* 2 MB */
    static const uint8_t pulse[] = {2, 0, 0, 0, 0x91, 3};
    static const uint8_t hello[] = {3, 0, 0, 0, 0x92, 1, 1};
    static const uint8_t tls[] = {0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3};
    uint8_t noise[4096];
    struct dice dice = dice_of(7);

    say(port, http, sizeof http - 1);
    say(port, endless, sizeof endless);
    say(port, empty, sizeof empty);
    say(port, large, sizeof large);
    say(port, pulse, sizeof pulse);
    say(port, hello, sizeof hello);
    say(port, tls, sizeof tls);
    for (unsigned i = 0; i < 20; i++) {
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)dice_next(&dice);
        say(port, noise, sizeof noise);
    }
}

static void garbage(const char *key)
{
    struct channel_figures before, after;
    uint8_t id[ID_SIZE];

    nodes_start(2, key);
    UNTIL(figures(&nodes[0]).complete == 1 && cluster_ready(nodes[0].cluster));
    before = figures(&nodes[0]);
    say_garbage(ports[0]);
    after = figures(&nodes[0]);
    CHECK_INT(after.garbage - before.garbage, 27);
    CHECK_INT(after.members, 2);
    CHECK_INT(after.given_up, before.given_up);
    CHECK_INT(node_put(&nodes[0], id, "v", COPIES_ALL), RC_OK);
    CU_ASSERT(node_has(&nodes[1], id, "v"));
}

static void garbage_changes_nothing(void)
{
    garbage(NULL);
}

static void garbage_changes_nothing_over_tls(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    garbage(KEY);
}

/* The second half of a frame never comes; nothing comes at all. */
static void the_silent_are_hung_up_on(void)
{
    static const uint8_t half[] = {100, 0, 0, 0, 0x92, 1};
    uint64_t before;
    int fds[80];

    nodes_start(2, NULL);
    UNTIL(figures(&nodes[0]).complete == 1);
    before = figures(&nodes[0]).garbage;
    for (int i = 0; i < 80; i++) {
        fds[i] = call(ports[0]);
        CU_ASSERT(fds[i] >= 0);
        if (i % 2)
            send(fds[i], half, sizeof half, MSG_NOSIGNAL);
    }
    /* the oldest at once, for there are too many; the rest in a while */
    for (int i = 0; i < 80; i++) {
        CU_ASSERT(is_hung_up(fds[i]));
        close(fds[i]);
    }
    CHECK_INT(figures(&nodes[0]).garbage - before, 80);
    CU_ASSERT(node_said(&nodes[0], "that do not greet"));
    CHECK_INT(figures(&nodes[0]).members, 2);
}

static void keys_differ(const char *one, const char *other)
{
    choose_ports();
    set(node_prepare(0), "Cluster", "key", one);
    set(node_prepare(1), "Cluster", "key", other);
    if (!node_run(&nodes[0]) || !node_run(&nodes[1]))
        return;
    UNTIL(figures(&nodes[0]).garbage && figures(&nodes[1]).garbage);
    UNTIL(node_said(&nodes[0], "cluster.key") &&
          node_said(&nodes[1], "cluster.key"));
    CHECK_INT(figures(&nodes[0]).members, 1);
    CHECK_INT(figures(&nodes[1]).members, 1);
}

static void another_key_is_refused(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    keys_differ(KEY, OTHER);
    CU_ASSERT(node_said(&nodes[0], "has it the same cluster.key"));
    CU_ASSERT(node_said(&nodes[1], "has it the same cluster.key"));
}

static void no_key_is_refused(void)
{
#if !HAVE_GNUTLS
    SKIP("built without GnuTLS");
#endif
    keys_differ(KEY, "");
    CU_ASSERT(node_said(&nodes[1], "speaks TLS"));
}

UNIT_MAIN_AROUND("cluster", NULL, nodes_release,
                 CASE(members_link_and_changes_flow), CASE(the_same_over_tls),
                 CASE(large_records_travel), CASE(many_threads_share_frames),
                 CASE(what_gathers_is_told), CASE(who_leaves_is_not_waited_for),
                 CASE(who_comes_later_gets_all), CASE(alone_it_serves_at_once),
                 CASE(garbage_changes_nothing),
                 CASE(garbage_changes_nothing_over_tls),
                 CASE(the_silent_are_hung_up_on), CASE(another_key_is_refused),
                 CASE(no_key_is_refused))
