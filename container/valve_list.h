/* SPDX-License-Identifier: Apache-2.0
 * The valves that are compiled in: X(the const struct valve_kind). */
X(access_log_valve)
X(draining_valve)
X(remote_addr_valve)
X(remote_ip_valve)
X(replication_valve)
X(route_valve)
