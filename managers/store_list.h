/* SPDX-License-Identifier: Apache-2.0
 *
 * store_list.h: the stores that are built in, one line each. The name is that
 * of the const struct store_ops: store_NAME. */
#include "config.h"

STORE(failing)
STORE(file)
#ifdef HAVE_MEMCACHED
STORE(memcached)
#endif
STORE(memory)
STORE(redis)
STORE(sqlite)
STORE(tracing)
