/* SPDX-License-Identifier: Apache-2.0
 *
 * front.h: a balancer that margay cluster runs in front of its instances.
 *
 * What    Writes the configuration (balancer.h) into a folder of its own, and
 *         knows how the program is called, told to read it again, and found.
 *         The process itself is a child of the launcher's.
 *         HAProxy and httpd ask /health and need nothing more. nginx without a
 *         subscription asks nobody, so an instance that is going away or gone
 *         is marked `down` for it, and the file is read again.
 * Owns    The folder, below $TMPDIR or /tmp, until front_free.
 * Errors  RC_UNAVAILABLE: the program or the folder; the text says what to do.
 * Threads One. */
#ifndef MARGAY_CONTAINER_FRONT_H
#define MARGAY_CONTAINER_FRONT_H

#include "container/balancer.h"
#include "session/rc.h"

struct front;

/* The plan's strings and members are borrowed until front_free. */
enum rc front_new(const struct balancer_plan *plan, struct front **out,
                  struct err *err);
void front_free(struct front **f);
/* "haproxy" */
const char *front_name(const struct front *f);
char *const *front_arguments(const struct front *f);
/* Where it listens: an address of this machine. */
const char *front_host(const struct front *f);
unsigned front_port(const struct front *f);
/* Member i takes no requests any more, or again. True: the file has changed,
 * so the program is to get FRONT_RELOAD. */
bool front_away(struct front *f, size_t i, bool away);
/* Could the file not be written when it was to change? */
bool front_is_stale(const struct front *f);
/* Tries it again. True: it is written. */
bool front_rewrite(struct front *f);
/* Milliseconds until it surely sends requests to a member that came back. */
int front_settle_ms(const struct front *f);

#define FRONT_RELOAD SIGHUP

#endif
