/* SPDX-License-Identifier: Apache-2.0
 *
 * relay.h: a network between members that can be broken.
 *
 * What    Each member has a port here, which it advertises as its own
 *         (cluster.advertise), and which is passed on to the one where it
 *         listens. Who dials is read from the HELLO that passes by, so that
 *         what lies between any two members can be broken by itself. With TLS
 *         nobody can be told apart: then only the delay works.
 * Ways    A way that is cut ends its connections with a reset, and later ones
 *         as soon as they are made. A hole keeps them and passes nothing; when
 *         it is open again, what was held back goes on, as TCP's own resending
 *         would make it.
 * Threads Its own; the functions: any. */
#ifndef MARGAY_TESTS_RELAY_H
#define MARGAY_TESTS_RELAY_H

enum relay_way { RELAY_OPEN, RELAY_CUT, RELAY_HOLE };

struct relay;

/* To count ports of loopback. */
struct relay *relay_new(unsigned count, const int *targets);
void relay_free(struct relay **relay);
int relay_port(const struct relay *relay, unsigned member);

/* Between two members, in both directions. */
void relay_set(struct relay *relay, unsigned a, unsigned b, enum relay_way way);
/* Between one and all others. */
void relay_isolate(struct relay *relay, unsigned member, enum relay_way way);
/* Between this one, which need not be a member, and whoever dials it: a server
 * of another kind. To be called once before anybody does. */
void relay_any(struct relay *relay, unsigned member, enum relay_way way);
/* What comes leaves so much later. */
void relay_delay(struct relay *relay, int ms);
/* Connections that stand, from any member to any. */
unsigned relay_count(struct relay *relay);

#endif
