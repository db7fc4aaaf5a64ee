/* SPDX-License-Identifier: Apache-2.0
 *
 * multicast.h: members that find each other.
 *
 * What    Every `frequency` milliseconds a member says to the group who it is
 *         and where it listens (docs/frames.md, "Announcements"); of those that
 *         it hears it tells the address, once. What is not ours (Tomcat's own
 *         heartbeats come to the same group and port), of another cluster, or
 *         not signed with our key is ignored and counted. An announcement is
 *         an address and no more: whether a member is there, and whether it
 *         lives, its link says.
 * Owns    Copies of what it is given, the key excepted.
 * Errors  Without a network there is nobody to be heard: said once, and tried
 *         again at each announcement.
 * Threads The loop's. */
#ifndef MARGAY_MANAGERS_CLUSTER_MULTICAST_H
#define MARGAY_MANAGERS_CLUSTER_MULTICAST_H

#include "managers/cluster/address.h"
#include "managers/cluster/tls.h"
#include "session/log.h"

#include <uv.h>

#define MULTICAST_MAX 1024 /* bytes of an announcement */

struct multicast;

struct multicast_options {
    const char *group; /* "228.0.0.4" */
    unsigned port;
    const char *bind; /* the interface's address */
    int ttl;
    bool loop_off;
    int64_t frequency_ms;
    const char *cluster, *name, *address;
    uint64_t node;
    const struct tls_key *key; /* NULL: not signed */
    struct log *log;
};

struct multicast_owner {
    void *user;
    void (*heard)(void *user, const char *address);
    void (*closed)(void *user); /* after multicast_close: it is freed */
};

/* RC_INVALID: nothing was begun. RC_UNAVAILABLE: it closes itself again, and
 * tells so. */
enum rc multicast_open(const struct multicast_options *options,
                       const struct multicast_owner *owner, uv_loop_t *loop,
                       struct multicast **out, struct err *err);
void multicast_close(struct multicast **m);
/* Datagrams that were ignored. */
uint64_t multicast_ignored(const struct multicast *m);

/* ---- for tests ---- */

struct announcement {
    uint64_t node;
    char cluster[ADDRESS_MAX], name[ADDRESS_MAX], address[ADDRESS_MAX];
};
/* Returns the bytes written into out. */
size_t announcement_write(const struct announcement *a,
                          const struct tls_key *key,
                          uint8_t out[MULTICAST_MAX]);
/* false: it is none, or not signed with the key. */
bool announcement_read(const uint8_t *bytes, size_t len,
                       const struct tls_key *key, struct announcement *out);

#endif
