/* SPDX-License-Identifier: Apache-2.0
 *
 * farewell_id.h: where the farewell of a session stands (farewell.h), for who
 * asks a store and no manager.
 *
 * Threads Any. */
#ifndef MARGAY_SESSION_FAREWELL_ID_H
#define MARGAY_SESSION_FAREWELL_ID_H

#include "session/record.h"

#include <stdbool.h>

void farewell_id(const uint8_t id[ID_SIZE], uint8_t out[ID_SIZE]);
bool farewell_is(const struct record *record);

#endif
