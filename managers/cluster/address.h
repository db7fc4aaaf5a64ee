/* SPDX-License-Identifier: Apache-2.0
 *
 * address.h: where a member is, as text and for sockets.
 *
 * What    The text is "host:port" or "[v6]:port"; the host a number or a name.
 *         Only address_resolve asks a name service, and may wait for it.
 * Errors  false or an rc with what to do.
 * Threads Any. */
#ifndef MARGAY_MANAGERS_CLUSTER_ADDRESS_H
#define MARGAY_MANAGERS_CLUSTER_ADDRESS_H

#include "managers/cluster/frame.h"
#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_MAX (FRAME_NAME_MAX + 1) /* with the closing 0 */
#define ADDRESS_HOST_MAX (ADDRESS_MAX - 8)

/* Takes "host:port" apart; port 1..65535. */
bool address_split(const char *text, char host[ADDRESS_HOST_MAX],
                   unsigned *port);
/* Puts it together, with brackets where they belong. Returns out. */
const char *address_join(const char *host, unsigned port,
                         char out[ADDRESS_MAX]);
/* false: the host is a name. */
bool address_numeric(const char *host, unsigned port,
                     struct sockaddr_storage *out);
enum rc address_resolve(const char *host, unsigned port,
                        struct sockaddr_storage *out, struct err *err);
/* The host as a number. Returns out. */
const char *address_host(const struct sockaddr *sa, char out[ADDRESS_HOST_MAX]);
unsigned address_port(const struct sockaddr *sa);
void address_set_port(struct sockaddr *sa, unsigned port);
socklen_t address_len(const struct sockaddr *sa);
bool address_is_loopback(const struct sockaddr *sa);
bool address_is_any(const struct sockaddr *sa); /* 0.0.0.0, :: */
/* The same host and port. */
bool address_equal(const struct sockaddr *a, const struct sockaddr *b);
/* This machine's first address beyond loopback. */
bool address_of_machine(struct sockaddr_storage *out);

/* Who listens on that TCP port: "haproxy (process 123)". "" when it cannot be
 * found out (another user's process). Returns out. */
const char *address_holder(unsigned port, char out[96]);

#endif
