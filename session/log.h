/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h: lines for the operator.
 *
 * What    One line per event: "TIME LEVEL NODE AREA: text"; for the journal
 *         of systemd, which knows the time, "<PRIORITY>NODE AREA: text". The
 *         line is built whole and written with one write(2), so lines of
 *         several threads and processes do not mix.
 * Rules   No secret and no whole session id ever: log_id shows 8 digits.
 *         A state that lasts is logged when it changes, not at each request.
 * Owns    The log owns nothing but the strings that it was given copies of.
 * Threads Any. */
#ifndef MARGAY_SESSION_LOG_H
#define MARGAY_SESSION_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Gets each finished line without its newline. Tests install one. */
typedef void log_sink_fn(void *user, enum log_level level, const char *line);

struct log {
    _Atomic enum log_level level; /* lines above it are not built */
    char node[64];
    log_sink_fn *sink; /* NULL: file descriptor fd */
    void *user;
    int fd;
    bool journal; /* begin lines with "<PRIORITY>" instead of time and level */
    _Atomic uint64_t state; /* of the last log_state line; 0: none */
};

/* Writes to standard error at LOG_INFO. */
void log_init(struct log *log, const char *node);
/* log may be NULL: nothing happens. area: a short noun, "store". */
void log_line(struct log *log, enum log_level level, const char *area,
              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for a state that several of an instance see begin and end, each for
 * itself (three applications, one file): what repeats the last line of this
 * kind is left out. */
void log_state(struct log *log, enum log_level level, const char *area,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

#define LOG_ID_SIZE 12
/* "1A2B3C4D..." for the 16 bytes of an id. Returns out. */
const char *log_id(char out[LOG_ID_SIZE], const uint8_t id[16]);

#endif
