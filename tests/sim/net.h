/* SPDX-License-Identifier: Apache-2.0
 *
 * net.h: links between members as TCP would make them, and how they break.
 *
 * What    A link is a pair of pipes. What is sent arrives after a delay, in
 *         order. A broken link loses what is under way, and its ends learn of
 *         it at different moments, one of them perhaps only after dropTime
 *         (TCP_USER_TIMEOUT). A blocked direction between two hosts keeps what
 *         is sent for later, as TCP does, or loses it; nothing new can be
 *         dialled then, and no end hears of anything. In lossy seeds single
 *         frames are lost, doubled and overtaken, which TCP never does, but
 *         the core promises to survive.
 * Owns    Its links and the frames on them.
 * Threads One. */
#ifndef MARGAY_TESTS_SIM_NET_H
#define MARGAY_TESTS_SIM_NET_H

#include "tests/sim/sim.h"

struct message;

struct net *net_new(struct sim *sim);
void net_free(struct net **net);

/* What a core asks for; link: its number of it. */
void net_send(struct sim *sim, int slot, int link, const uint8_t *bytes,
              size_t len);
void net_close(struct sim *sim, int slot, int link);
void net_dial(struct sim *sim, int slot, int place, const char *address);

/* The events of this file, for a member that is awake. */
void net_event(struct sim *sim, const struct event *event);
/* An event that nobody takes any more. */
void net_drop(struct sim *sim, const struct event *event);

/* The member's process is gone. silent: so is its host, nobody is told. */
void net_crash(struct sim *sim, int slot, bool silent);
/* From one host to another; counted, each needs its own net_unblock. hold:
 * keep what is sent meanwhile. */
void net_block(struct sim *sim, int from, int to, bool hold);
void net_unblock(struct sim *sim, int from, int to);
/* Breaks the link between two members, if there is one. */
bool net_cut(struct sim *sim, int a, int b);
/* Percent of frames. */
void net_weather(struct sim *sim, unsigned lost, unsigned doubled,
                 unsigned overtaken);
/* More delay for everything from and to a host, us; 0: none. */
void net_delay(struct sim *sim, int slot, int64_t us);

#endif
