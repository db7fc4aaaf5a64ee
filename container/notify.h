/* SPDX-License-Identifier: Apache-2.0
 *
 * notify.h: what the service manager wants to hear.
 *
 * What    systemd's protocol for services of Type=notify: one datagram of
 *         NAME=VALUE lines to the socket that $NOTIFY_SOCKET names. Without
 *         that variable nothing happens.
 * Source  sd_notify(3), "Notes"; sd-daemon(3) and systemd.exec(5) for
 *         $JOURNAL_STREAM.
 * Threads Any; it never blocks. */
#ifndef MARGAY_CONTAINER_NOTIFY_H
#define MARGAY_CONTAINER_NOTIFY_H

#include <stdbool.h>

/* "READY=1\nSTATUS=ready on http://127.0.0.1:8080/" */
void notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Is standard error the journal? Its lines have a time of their own, and may
 * begin with a priority: "<4>". */
bool notify_is_journal(void);

#endif
