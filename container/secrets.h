/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets.h: files with a secret that others can read.
 *
 * What    A warning for each file that server.xml names for a url with a
 *         password, the cluster's key or the console's password, where its mode
 *         lets everybody read it, or the group of this user's own file. A group
 *         may be how the instance itself gets at it, and root is who checks, so
 *         another one's file is left to its owner.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_SECRETS_H
#define MARGAY_CONTAINER_SECRETS_H

#include "container/notes.h"

struct instance;

void secrets_warn(const struct instance *in, const struct notes *notes);

#endif
