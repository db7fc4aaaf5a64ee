/* SPDX-License-Identifier: Apache-2.0
 *
 * AccessLogValve: one line per request, written in blocks.
 * Source: Tomcat, java/org/apache/catalina/valves/AbstractAccessLogValve.java;
 * ours: %S shows 8 digits of the session's id, no more, and an unknown code is
 * an error at the start. */
#include "config.h"

#include "container/access_log.h"

#include "container/instance.h"
#include "container/request.h"
#include "container/valve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 16384 };

struct access_log_options {
    char *directory, *prefix, *suffix, *pattern;
    bool rotatable, buffered, enabled, shows_client;
};

struct access_log {
    struct valve valve;
    struct log_pattern *pattern;
    pthread_mutex_t lock; /* all below */
    struct buf block;
    int fd;
    char day[16]; /* of the open file; "" when it is not rotated */
};

/* clang-format off */
#define AT(member) offsetof(struct access_log_options, member)
static const struct option access_log_options[] = {
    {"directory", OPTION_STRING, AT(directory), "logs",
     "folder, relative to the state folder", 0, 0, NULL},
    {"prefix", OPTION_STRING, AT(prefix), "access_log",
     "how the file's name begins", 0, 0, NULL},
    {"suffix", OPTION_STRING, AT(suffix), NULL,
     "how the file's name ends", 0, 0, NULL},
    {"pattern", OPTION_STRING, AT(pattern), "common",
     "common, combined, or %-codes", 0, 0, NULL},
    {"rotatable", OPTION_BOOL, AT(rotatable), "true",
     "a file a day, with the date before the suffix", 0, 0, NULL},
    {"buffered", OPTION_BOOL, AT(buffered), "true",
     "written in blocks, at least once a second", 0, 0, NULL},
    {"enabled", OPTION_BOOL, AT(enabled), "true",
     "false: there is no file", 0, 0, NULL},
    {"fileDateFormat", OPTION_LATER, 0, ".yyyy-MM-dd",
     "files are dated .yyyy-MM-dd", 0, 0, NULL},
    {"maxDays", OPTION_LATER, 0, "-1", "old files stay: use logrotate", 0, 0,
     NULL},
    {"condition", OPTION_LATER, 0, NULL, "every request is written", 0, 0,
     NULL},
    {"conditionIf", OPTION_LATER, 0, NULL, "every request is written", 0, 0,
     NULL},
    {"conditionUnless", OPTION_LATER, 0, NULL, "every request is written", 0,
     0, NULL},
    {"renameOnRotate", OPTION_LATER, 0, "false",
     "the open file carries its date", 0, 0, NULL},
    {"requestAttributesEnabled", OPTION_BOOL, AT(shows_client), "false",
     "true: what RemoteIpValve found out; false: the peer", 0, 0, NULL},
    {"resolveHosts", OPTION_IGNORED, 0, NULL, "%h is the address", 0, 0, NULL},
    {"encoding", OPTION_IGNORED, 0, NULL, "what is not ASCII is escaped", 0, 0,
     NULL},
    {"locale", OPTION_IGNORED, 0, NULL, "dates are written in English", 0, 0,
     NULL},
    {"checkExists", OPTION_IGNORED, 0, NULL,
     "a file that was moved is opened anew at midnight", 0, 0, NULL},
    {"maxLogMessageBufferSize", OPTION_IGNORED, 0, NULL,
     "a line has at most 4 KiB", 0, 0, NULL},
    {NULL, OPTION_STRING, 0, NULL, NULL, 0, 0, NULL},
};
#undef AT
/* clang-format on */

/* ---- the file ---- */

static void make_folders(char *path)
{
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        mkdir(path, 0750);
        *at = '/';
    }
}

static void day_of(const struct access_log *l, int64_t wall_ms, char out[16])
{
    const struct access_log_options *o = l->valve.options;
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    out[0] = 0;
    if (o->rotatable && localtime_r(&t, &tm))
        strftime(out, 16, ".%Y-%m-%d", &tm);
}

/* The file of that day; -1: err. */
static int open_file(const struct access_log *l, const char *day,
                     struct err *err)
{
    const struct access_log_options *o = l->valve.options;
    const char *base = l->valve.env.state_dir;
    struct buf path;
    buf_init(&path, 4096);
    if (base && o->directory && o->directory[0] != '/')
        buf_addf(&path, "%s/", base);
    buf_addf(&path, "%s/%s%s%s", o->directory ? o->directory : ".",
             o->prefix ? o->prefix : "", day, o->suffix ? o->suffix : "");
    make_folders(path.data);
    int fd = open(path.data, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        err_set(err, RC_UNAVAILABLE,
                "the access log %s cannot be written (%s): give the folder to "
                "the user of the server, or name another directory",
                path.data, strerror(errno));
    buf_release(&path);
    return fd;
}

/* The lock is held. What cannot be written is lost: no request waits for its
 * log. */
static void flush(struct access_log *l)
{
    size_t done = 0;
    while (done < l->block.len) {
        ssize_t n = write(l->fd, l->block.data + done, l->block.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    buf_reset(&l->block);
}

static void access_log_tick(struct valve *v, struct instant now)
{
    struct access_log *l = (struct access_log *)v;
    char day[16];
    struct err err;
    if (l->fd < 0)
        return;
    day_of(l, now.wall, day);
    pthread_mutex_lock(&l->lock);
    flush(l);
    if (strcmp(day, l->day) != 0) {
        int fd = open_file(l, day, &err);
        if (fd >= 0) {
            close(l->fd);
            l->fd = fd;
        } else {
            log_line(v->env.log, LOG_WARN, "access",
                     "%s; yesterday's file goes on", err.text);
        }
        memcpy(l->day, day, sizeof day);
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- the valve ---- */

static enum rc access_log_open(struct valve *v, struct err *err)
{
    struct access_log *l = (struct access_log *)v;
    const struct access_log_options *o = v->options;
    l->fd = -1;
    if (!o->enabled)
        return RC_OK;
    enum rc rc = log_pattern_new(o->pattern, &l->pattern, err);
    if (rc != RC_OK)
        return rc;
    day_of(l, instant_read().wall, l->day);
    l->fd = open_file(l, l->day, err);
    if (l->fd < 0) {
        log_pattern_free(&l->pattern);
        return RC_UNAVAILABLE;
    }
    pthread_mutex_init(&l->lock, NULL);
    buf_init(&l->block, 2 * BLOCK);
    return RC_OK;
}

static void access_log_close(struct valve *v)
{
    struct access_log *l = (struct access_log *)v;
    if (l->fd < 0)
        return;
    flush(l);
    close(l->fd);
    buf_release(&l->block);
    pthread_mutex_destroy(&l->lock);
    log_pattern_free(&l->pattern);
}

static enum valve_answer access_log_in(struct valve *v, struct http_request *r)
{
    (void)v;
    if (!r->begun_us)
        r->begun_us = request_clock();
    return VALVE_GO_ON;
}

static void access_log_out(struct valve *v, struct http_request *r)
{
    struct access_log *l = (struct access_log *)v;
    const struct access_log_options *o = v->options;
    char line[LOG_LINE_MAX];
    if (l->fd < 0)
        return;
    size_t len = log_pattern_line(l->pattern, r, o->shows_client, line);
    pthread_mutex_lock(&l->lock);
    buf_add(&l->block, line, len);
    if (l->block.len >= BLOCK || !o->buffered)
        flush(l);
    pthread_mutex_unlock(&l->lock);
}

extern const struct valve_kind access_log_valve;
const struct valve_kind access_log_valve = {
    .name = "AccessLogValve",
    .summary = "writes a line for each request",
    .writes = true,
    .size = sizeof(struct access_log),
    .options_size = sizeof(struct access_log_options),
    .options = access_log_options,
    .open = access_log_open,
    .close = access_log_close,
    .in = access_log_in,
    .out = access_log_out,
    .tick = access_log_tick,
};
