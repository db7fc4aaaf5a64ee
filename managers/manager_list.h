/* SPDX-License-Identifier: Apache-2.0
 *
 * manager_list.h: the managers that are built in, one line each. The name is
 * that of the const struct manager_ops: manager_NAME. */
MANAGER(standard)
MANAGER(persistent)
MANAGER(delta)
MANAGER(backup)
