/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h: the folder in which an instance writes.
 *
 * What    Made where something of the configuration is kept there, and only
 *         then: 0700, with the folders above it.
 * Errors  RC_UNAVAILABLE, with the line of what needs it.
 * Threads The main one. */
#ifndef MARGAY_CONTAINER_STATE_H
#define MARGAY_CONTAINER_STATE_H

#include "session/rc.h"

struct command;
struct server_config;

enum rc state_make(const struct command *c, const struct server_config *config,
                   struct err *err);

#endif
