/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

static const char *const log_names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
static const int log_priorities[] = {3, 4, 6, 7}; /* syslog(3) */

void log_init(struct log *log, const char *node)
{
    *log = (struct log){.level = LOG_INFO, .fd = STDERR_FILENO};
    snprintf(log->node, sizeof log->node, "%s", node ? node : "");
}

/* The one place in this room that reads a clock: a line without the time at
 * which it was written is of no use. */
static size_t log_head(const struct log *log, enum log_level level,
                       const char *area, char *out, size_t size)
{
    struct timespec now;
    struct tm tm;
    char day[32];
    int n;

    if (log->journal) {
        n = snprintf(out, size, "<%d>%s %s: ", log_priorities[level], log->node,
                     area);
        return (size_t)n < size ? (size_t)n : size - 1;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    n = snprintf(out, size, "%s.%03ldZ %s %s %s: ", day, now.tv_nsec / 1000000,
                 log_names[level], log->node, area);
    return (size_t)n < size ? (size_t)n : size - 1;
}

/* What strangers send may stand in a line; it must not begin another. */
static void log_clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static void log_write(int fd, const char *line, size_t len)
{
    while (len) {
        ssize_t n = write(fd, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nobody left to tell */
        line += n;
        len -= (size_t)n;
    }
}

/* FNV-1a; never 0. */
static uint64_t log_sum(const char *text)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++)
        sum = (sum ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return sum | 1;
}

static void log_build(struct log *log, enum log_level level, const char *area,
                      bool is_state, const char *format, va_list ap)
{
    char line[LOG_LINE_MAX + 1]; /* room for the newline */
    size_t head, len;
    uint64_t sum;
    int n;

    head = log_head(log, level, area, line, LOG_LINE_MAX);
    n = vsnprintf(line + head, LOG_LINE_MAX - head, format, ap);
    if (n < 0)
        return;
    sum = is_state ? log_sum(line + head) : 0;
    if (is_state && atomic_exchange(&log->state, sum) == sum)
        return;
    len = head + (size_t)n;
    if (len >= LOG_LINE_MAX) {
        len = LOG_LINE_MAX - 1;
        memcpy(line + len - 3, "...", 3);
    }
    log_clean(line);
    if (log->sink) {
        log->sink(log->user, level, line);
        return;
    }
    line[len++] = '\n';
    log_write(log->fd, line, len);
}

void log_line(struct log *log, enum log_level level, const char *area,
              const char *format, ...)
{
    va_list ap;

    if (!log || level > log->level)
        return;
    va_start(ap, format);
    log_build(log, level, area, false, format, ap);
    va_end(ap);
}

void log_state(struct log *log, enum log_level level, const char *area,
               const char *format, ...)
{
    va_list ap;

    if (!log || level > log->level)
        return;
    va_start(ap, format);
    log_build(log, level, area, true, format, ap);
    va_end(ap);
}

const char *log_id(char out[LOG_ID_SIZE], const uint8_t id[16])
{
    snprintf(out, LOG_ID_SIZE, "%02X%02X%02X%02X...", id[0], id[1], id[2],
             id[3]);
    return out;
}
