/* SPDX-License-Identifier: Apache-2.0
 *
 * peer.h: looks at the socket of a connection, and a last word into it, past
 * libmicrohttpd, which has it in its hands; and at who is about to come.
 *
 * Threads peer_tell: the connection's HTTP thread. The others: any, while the
 *         connection is held open. */
#ifndef MARGAY_CONTAINER_PEER_H
#define MARGAY_CONTAINER_PEER_H

#include <stdbool.h>

/* The peer has closed, or the connection is broken. */
bool peer_has_left(int fd);
/* Bytes that came and that nobody has read. */
bool peer_waits(int fd);
/* Bytes that the peer has not taken yet; 0 where the system does not say. */
int peer_unsent(int fd);
/* Has somebody begun to connect to this listening socket, without being there
 * yet (SYN-RECV)? Yes, too, where the system does not say (sock_diag(7)). */
bool peer_knocks(int listening);
/* An answer of a status and its own words, and the end of what is sent. All
 * that was to be sent before must have been. */
void peer_tell(int fd, int status);

#endif
