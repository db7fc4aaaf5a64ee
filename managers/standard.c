/* SPDX-License-Identifier: Apache-2.0
 *
 * StandardManager: sessions live in this process.
 *
 * Promises An acknowledged change survives as long as the process. With
 *          `pathname`, an orderly stop writes all sessions to that file,
 *          with .APPLICATION behind its name (aside, fsynced, renamed), and
 *          the next start reads it back and removes it. A kill loses
 *          everything: the other managers are for that.
 * Source   org/apache/catalina/session/StandardManager.java; unlike it, the
 *          file is written aside, a damaged one is kept as NAME.bad instead of
 *          being removed, and over one that cannot be read nobody starts. */
#include "config.h"

#include "session/buf.h"
#include "session/manager_impl.h"
#include "session/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_FORMAT 2
#define FILE_MAX ((off_t)4 << 30)
#define PATH_SIZE 4096
#define TIME_MAX (INT64_MAX / 4) /* as in a record: no difference overflows */

struct standard_options {
    char *pathname;
};

struct standard {
    struct manager base;
    char path[PATH_SIZE]; /* "": none */
    bool started;         /* what the file held is in the table */
};

static const struct option standard_options[] = {
    {"pathname", OPTION_STRING, offsetof(struct standard_options, pathname),
     NULL,
     "file for all sessions over an orderly restart, with .APPLICATION behind "
     "its name; none: they end",
     0, 0, NULL},
    {NULL, 0, 0, NULL, NULL, 0, 0, NULL},
};

static struct standard *standard_of(struct manager *m)
{
    return (struct standard *)m;
}

/* "/a/b" is "a#b", as Tomcat names files of applications. */
static void app_name(const char *app, char *out, size_t size)
{
    snprintf(out, size, "%s", app[0] == '/' ? app + 1 : app);
    if (!out[0])
        snprintf(out, size, "ROOT");
    for (char *c = out; *c; c++)
        if (*c == '/')
            *c = '#';
}

static enum rc standard_open(struct manager *m, struct err *err)
{
    const struct standard_options *o = m->options;
    const char *dir = m->env.work_dir;
    struct standard *s = standard_of(m);
    char app[256];

    if (!o || !o->pathname || !*o->pathname)
        return RC_OK;
    /* One <Manager> may speak for several applications. */
    app_name(m->env.app, app, sizeof app);
    bool relative = o->pathname[0] != '/' && dir;
    int n = snprintf(s->path, sizeof s->path, "%s%s%s.%s", relative ? dir : "",
                     relative ? "/" : "", o->pathname, app);
    /* room for ".new" and ".bad" behind it */
    if (n < 0 || (size_t)n + 8 > sizeof s->path)
        return err_set(err, RC_INVALID, "pathname is too long: \"%s\"",
                       o->pathname);
    return RC_OK;
}

/* ---- the file ---- */

static void load_one(struct manager *m, struct instant now, int64_t access,
                     struct record *record)
{
    struct record_end end;
    int64_t mono = instant_mono_of(now, access);

    if (mono > now.mono)
        mono = now.mono;
    struct table_stripe *stripe = table_lock(m->table, record_id(record));
    bool known = table_find(stripe, record_id(record)) != NULL;
    bool live = manager_liveness(m, record, mono, now, &end) == RC_OK;
    if (!known) {
        struct entry *e = table_insert(stripe, record_ref(record), mono);
        if (record_ended(record, NULL))
            table_arm(stripe, e, mono + m->keep_ended_ms);
        else
            manager_arm(m, stripe, e, now);
    }
    table_unlock(stripe);
    if (!known && live)
        manager_tell_activate(m, record, now);
    record_unref(&record);
}

/* FNV-1a, 64 bits: one byte that is another always makes another sum. Each sum
 * in the file is over all before it but the other sums. */
#define SUM_BEGIN UINT64_C(0xcbf29ce484222325)

static uint64_t sum_on(uint64_t sum, const uint8_t *at, const uint8_t *end)
{
    for (; at < end; at++)
        sum = (sum ^ *at) * UINT64_C(0x100000001b3);
    return sum;
}

struct load {
    struct pack_reader r;
    const uint8_t *summed; /* up to here */
    uint64_t sum;
};

static bool load_sum(struct load *l)
{
    uint64_t sum;

    l->sum = sum_on(l->sum, l->summed, l->r.p);
    bool good = pack_read_uint(&l->r, &sum) && sum == l->sum;
    l->summed = l->r.p;
    return good;
}

static bool load_head(struct manager *m, struct load *l)
{
    struct pack_token t;

    if (!pack_read(&l->r, &t) || t.type != PACK_ARRAY || t.len != 2 ||
        !pack_read(&l->r, &t) || t.type != PACK_INT || t.i != FILE_FORMAT ||
        !pack_read(&l->r, &t) || t.type != PACK_BIN || t.len != ID_SIZE ||
        !load_sum(l))
        return false;
    memcpy(m->secret, t.p, ID_SIZE);
    return true;
}

/* [format, secret], then pairs of last access and record, then nil; a sum
 * behind each. */
static bool load_bytes(struct manager *m, struct instant now,
                       const uint8_t *bytes, size_t len, size_t *count)
{
    struct load l = {{bytes, bytes + len}, bytes, SUM_BEGIN};
    struct pack_token t, access;
    struct record *record;

    if (!load_head(m, &l))
        return false;
    for (;;) {
        if (!pack_read(&l.r, &access))
            return false;
        if (access.type == PACK_NIL)
            return load_sum(&l) && l.r.p == l.r.end;
        if (access.type != PACK_INT || access.i < 0 || access.i > TIME_MAX ||
            !pack_read(&l.r, &t) || t.type != PACK_BIN || !load_sum(&l) ||
            record_decode(t.p, t.len, &record, NULL) != RC_OK)
            return false;
        load_one(m, now, access.i, record);
        ++*count;
    }
}

/* *bytes is NULL with RC_OK: there is no file. */
static enum rc read_file(const char *path, uint8_t **bytes, size_t *len,
                         struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *bytes = NULL;
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0)
        return err_set(err, RC_INVALID,
                       "pathname: %s cannot be read (%s): make it readable, or "
                       "move it away",
                       path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size >= FILE_MAX) {
        close(fd);
        return err_set(err, RC_INVALID,
                       "pathname: %s is no file of sessions: move it away, or "
                       "name another",
                       path);
    }
    *bytes = mem_alloc((size_t)st.st_size);
    *len = 0;
    ssize_t n;
    while (*len < (size_t)st.st_size &&
           (n = read(fd, *bytes + *len, (size_t)st.st_size - *len)) > 0)
        *len += (size_t)n;
    close(fd);
    return RC_OK;
}

static void keep_aside(struct standard *s)
{
    char bad[PATH_SIZE + 8];

    snprintf(bad, sizeof bad, "%s.bad", s->path);
    if (rename(s->path, bad) != 0)
        unlink(s->path);
    log_line(s->base.env.log, LOG_ERROR, "manager",
             "%s is damaged: what could be read of it was loaded; it is kept "
             "as %s",
             s->path, bad);
}

static enum rc standard_start(struct manager *m, struct instant now,
                              struct err *err)
{
    struct standard *s = standard_of(m);
    size_t len = 0, count = 0;
    uint8_t *bytes = NULL;
    enum rc rc = s->path[0] ? read_file(s->path, &bytes, &len, err) : RC_OK;

    if (rc != RC_OK)
        return rc;
    if (bytes) {
        if (load_bytes(m, now, bytes, len, &count))
            unlink(s->path);
        else
            keep_aside(s);
        log_line(m->env.log, LOG_INFO, "manager", "%zu sessions from %s", count,
                 s->path);
        free(bytes);
    }
    s->started = true;
    atomic_store(&m->ready, 1);
    return RC_OK;
}

struct save {
    struct manager *m;
    struct instant now;
    struct pack_writer w;
    size_t summed;
    uint64_t sum;
    struct record **records;
    int64_t *accesses;
    size_t count, cap;
};

static bool save_collect(void *user, struct entry *entry)
{
    struct save *save = user;
    struct record_end end;

    if (!record_ended(entry->record, NULL) &&
        manager_liveness(save->m, entry->record, entry->access, save->now,
                         &end) != RC_OK)
        return true;
    if (save->count == save->cap) {
        save->cap = save->cap ? 2 * save->cap : 1024;
        save->records =
            mem_resize(save->records, save->cap * sizeof *save->records);
        save->accesses =
            mem_resize(save->accesses, save->cap * sizeof *save->accesses);
    }
    save->records[save->count] = record_ref(entry->record);
    save->accesses[save->count++] = instant_wall_of(save->now, entry->access);
    return true;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void sync_folder(const char *path)
{
    char folder[PATH_SIZE];
    char *slash;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static bool save_file(struct standard *s, const struct pack_writer *w)
{
    char aside[PATH_SIZE + 8];

    snprintf(aside, sizeof aside, "%s.new", s->path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, w->data, w->len) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(aside, s->path) == 0;
    if (ok)
        sync_folder(s->path);
    else
        unlink(aside);
    return ok;
}

static void save_sum(struct save *save)
{
    struct pack_writer *w = &save->w;

    save->sum = sum_on(save->sum, w->data + save->summed, w->data + w->len);
    pack_uint(w, save->sum);
    save->summed = w->len;
}

static void save_records(struct save *save)
{
    save->sum = SUM_BEGIN;
    pack_init(&save->w, save->count * 256 + 64);
    pack_array(&save->w, 2);
    pack_int(&save->w, FILE_FORMAT);
    pack_bin(&save->w, save->m->secret, ID_SIZE);
    save_sum(save);
    for (size_t i = 0; i < save->count; i++) {
        struct record *r = save->records[i];
        if (!record_ended(r, NULL))
            manager_tell_passivate(save->m, r, save->now);
        pack_int(&save->w, save->accesses[i]);
        pack_bin(&save->w, r->bytes, r->len);
        save_sum(save);
        record_unref(&save->records[i]);
    }
    pack_nil(&save->w);
    save_sum(save);
}

static void standard_save(struct manager *m, struct instant now)
{
    struct standard *s = standard_of(m);
    struct save save = {.m = m, .now = now};

    table_each(m->table, save_collect, &save);
    save_records(&save);
    if (save_file(s, &save.w))
        log_line(m->env.log, LOG_INFO, "manager", "%zu sessions saved to %s",
                 save.count, s->path);
    else
        log_line(m->env.log, LOG_ERROR, "manager",
                 "%zu sessions are lost: %s cannot be written (%s); make its "
                 "folder writable and give it room",
                 save.count, s->path, strerror(errno));
    pack_release(&save.w);
    free(save.records);
    free(save.accesses);
}

/* ---- a stop without a file ends all sessions, as in Tomcat ---- */

static bool collect_live(void *user, struct entry *entry)
{
    if (record_kind(entry->record) == RECORD_SESSION &&
        !record_ended(entry->record, NULL))
        return save_collect(user, entry);
    return true;
}

static void standard_end_all(struct manager *m, struct instant now)
{
    struct save save = {.m = m, .now = now};

    table_each(m->table, collect_live, &save);
    for (size_t i = 0; i < save.count; i++) {
        manager_tell_end(m, save.records[i], REASON_LOST, now);
        record_unref(&save.records[i]);
    }
    if (save.count)
        log_line(m->env.log, LOG_INFO, "manager",
                 "%zu sessions end with this instance (no pathname is set)",
                 save.count);
    free(save.records);
    free(save.accesses);
}

static void standard_stop(struct manager *m, struct instant now, int within_ms)
{
    const struct standard *s = standard_of(m);

    (void)within_ms;
    if (s->started && s->path[0])
        standard_save(m, now);
    else if (s->started)
        standard_end_all(m, now);
}

static void standard_describe(const struct manager *m, char *out, size_t size)
{
    const struct standard *s = (const struct standard *)m;

    if (s->path[0])
        snprintf(out, size,
                 "StandardManager: in this process, saved to %s at a stop",
                 s->path);
    else
        snprintf(out, size, "StandardManager: in this process only");
}

const struct manager_ops manager_standard = {
    .name = "StandardManager",
    .summary =
        "sessions in this process; with pathname a file keeps them over a "
        "restart",
    .size = sizeof(struct standard),
    .options_size = sizeof(struct standard_options),
    .options = standard_options,
    .flags = MANAGER_LOCAL,
    .find = manager_find_local,
    .write = manager_write_local,
    .open = standard_open,
    .start = standard_start,
    .stop = standard_stop,
    .describe = standard_describe,
};
