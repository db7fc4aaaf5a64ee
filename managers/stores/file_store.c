/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions in files of their own, in a folder that the processes of one
 * machine share.
 *
 * Promises A put that was answered OK is what everybody reads from then on,
 *          and survives `kill -9` of any process; with synchronous="FULL" a
 *          power cut, too. Of two puts on one version one wins.
 * Laws
 * - Puts are done in groups: compare, write aside; then (FULL) sync all files;
 *   then each by itself: lock its cell, compare, rename, unlock; then (FULL)
 *   sync the cells; then answer. With NORMAL a group is one put.
 * - What takes long on a busy disk is done before the lock is taken: others
 *   wait for one look and one rename. Nobody holds two locks, so no two
 *   processes wait for each other.
 * - The first compare decides nothing but what needs no writing: who finds
 *   another version was late, whenever that was.
 * - A cell whose lock was not to be had costs the full wait once; until it was
 *   had again, its puts are refused without waiting.
 * Source   org/apache/catalina/session/FileStore.java for the names. */
#include "config.h"

#include "managers/stores/file.h"
#include "managers/stores/stores.h"
#include "managers/stores/versions.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WAIT_MS 750 /* for locks, in one batch */
#define GROUP_MAX 16
#define ASIDE_TRIES 3

/* A put that is written aside. */
struct aside {
    struct store_call *call;
    int dir; /* of its cell */
    int fd;  /* what was written: its lock says that somebody is at it */
    char name[FILE_NAME_SIZE], tmp[FILE_NAME_SIZE]; /* tmp "": there is none */
    uint64_t version;
    enum rc rc;
};

struct file_store {
    struct store_base base;
    struct folder folder;

    /* the store's thread only */
    struct aside group[GROUP_MAX];
    unsigned count, group_max;
    int64_t may_wait; /* ms, for locks, in what is left of this batch */
    bool stuck[CELLS];
    struct sweep sweep;
    struct versions versions;
};

static store_open_fn file_open;
static store_close_fn file_close;
static store_get_fn file_get;
static store_run_fn file_run;
static store_expire_fn file_expire;
static store_list_fn file_list;
static store_check_fn file_check;
static store_describe_fn file_describe;

static struct file_store *file_of(struct store_base *base)
{
    return (struct file_store *)base;
}

static enum rc failed(const struct file_store *s, const char *what,
                      struct err *err)
{
    char in[64];
    int why = errno;

    snprintf(in, sizeof in, "%s in", what);
    errno = why;
    return folder_failed(in, s->folder.path, err);
}

/* --- one put -------------------------------------------------------------- */

/* Leaves nothing behind but the row, if it got there. */
static void aside_drop(struct aside *a)
{
    if (a->tmp[0])
        unlinkat(a->dir, a->tmp, 0);
    if (a->fd >= 0)
        close(a->fd);
    if (a->dir >= 0)
        close(a->dir);
    a->tmp[0] = '\0';
    a->fd = a->dir = -1;
}

/* RC_OK: what is stored is what the call wants to replace. */
static enum rc aside_compare(struct file_store *s, struct aside *a)
{
    struct store_call *call = a->call;
    struct file_read r;

    file_read(&s->folder, a->dir, a->name, call->id, call->version, &r,
              &call->err);
    call->only_this = r.only_this;
    call->newer = r.newer;
    if (r.rc == RC_ABSENT && call->version)
        return folder_absent(&s->folder, call);
    if (r.rc == RC_ABSENT)
        return RC_OK;
    if (r.rc == RC_UNAVAILABLE || r.unchanged)
        return r.rc;
    file_show(call, &r);
    if (call->new_version != call->version)
        return RC_CONFLICT;
    free(call->found);
    call->found = NULL;
    call->found_len = 0;
    return RC_OK;
}

static bool write_all(int fd, const uint8_t head[FILE_HEAD], const void *bytes,
                      size_t len)
{
    struct iovec parts[] = {{(void *)(uintptr_t)head, FILE_HEAD},
                            {(void *)(uintptr_t)bytes, len}};
    struct iovec *at = parts;
    int left = 2;

    while (left) {
        ssize_t n = writev(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        for (; left && (size_t)n >= at->iov_len; at++, left--)
            n -= (ssize_t)at->iov_len;
        if (left) {
            at->iov_base = (char *)at->iov_base + n;
            at->iov_len -= (size_t)n;
        }
    }
    return true;
}

/* A new file that this process has the lock of; -1 with errno. A sweep may take
 * it for left behind before it is locked: then it is made under another name,
 * since that sweep still removes this one. */
static int aside_make(struct file_store *s, struct aside *a)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;

    memcpy(a->tmp, a->name, 32);
    for (int i = 0; i < ASIDE_TRIES; i++) {
        a->version = versions_next(&s->versions);
        snprintf(a->tmp + 32, sizeof a->tmp - 32, ".%016" PRIX64 ".tmp",
                 a->version);
        int fd = openat(a->dir, a->tmp, flags, 0600);
        if (fd < 0)
            break;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
            st.st_nlink)
            return fd;
        close(fd);
        errno = EAGAIN;
    }
    a->tmp[0] = '\0';
    return -1;
}

static enum rc aside_write(struct file_store *s, struct aside *a)
{
    struct store_call *call = a->call;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                file_time(call->expiry)};
    uint8_t bytes[FILE_HEAD];

    a->fd = aside_make(s, a);
    if (a->fd < 0)
        return failed(s, "write", &call->err);
    struct file_head head = {
        .version = a->version, .expiry = call->expiry, .len = call->len};
    memcpy(head.id, call->id, 16);
    file_head_write(&head, call->bytes, bytes);
    if (!write_all(a->fd, bytes, call->bytes, call->len) ||
        futimens(a->fd, times))
        return failed(s, "write", &call->err);
    if (s->folder.is_full) /* begin, while the others are written */
        sync_file_range(a->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return RC_OK;
}

static enum rc aside_begin(struct file_store *s, struct aside *a,
                           struct store_call *call)
{
    enum rc rc;

    *a = (struct aside){.call = call, .dir = -1, .fd = -1};
    if (call->len > FILE_ROW_MAX)
        return err_set(&call->err, RC_TOOBIG,
                       "a session of %zu bytes is over what FileStore keeps "
                       "(64 MiB)",
                       call->len);
    file_name(call->id, a->name);
    a->dir = cell_open(&s->folder, call->id[0], true);
    call->only_this = a->dir < 0 && errno == ENOENT;
    if (call->only_this)
        return cell_gone(&s->folder, &call->err);
    if (a->dir < 0)
        return failed(s, "open a folder", &call->err);
    rc = aside_compare(s, a);
    if (rc == RC_OK)
        rc = aside_write(s, a);
    if (rc != RC_OK)
        aside_drop(a);
    return rc;
}

static enum rc aside_lock(struct file_store *s, struct aside *a)
{
    struct err *err = &a->call->err;
    uint8_t cell = a->call->id[0];
    int64_t wait = s->stuck[cell] ? 0 : s->may_wait;
    int64_t start = instant_read().mono;
    bool locked = cell_lock(&s->folder, cell, a->dir, wait);

    if (!locked && errno != EWOULDBLOCK)
        return failed(s, "lock a folder", err);
    if (wait)
        s->may_wait -= instant_read().mono - start;
    if (s->may_wait < 0)
        s->may_wait = 0;
    s->stuck[cell] = !locked && (s->stuck[cell] || wait == WAIT_MS);
    if (locked)
        return RC_OK;
    return err_set(err, RC_UNAVAILABLE,
                   "others hold a lock in %s too long: is one of the processes "
                   "that use it stopped, or the disk slow?",
                   s->folder.path);
}

/* Brings what was written aside to its place, if it still is what is wanted
 * there. */
static enum rc aside_place(struct file_store *s, struct aside *a)
{
    enum rc rc = aside_lock(s, a);

    if (rc != RC_OK)
        return rc;
    rc = aside_compare(s, a);
    if (rc == RC_OK && renameat(a->dir, a->tmp, a->dir, a->name))
        rc = failed(s, "rename", &a->call->err);
    else if (rc == RC_OK)
        a->tmp[0] = '\0';
    if (rc == RC_OK)
        folder_saw(&s->folder, a->call->id);
    flock(a->dir, LOCK_UN);
    return rc;
}

/* --- a group of puts ------------------------------------------------------ */

static void group_sync_files(struct file_store *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct aside *a = &s->group[i];
        if (fdatasync(a->fd))
            a->rc = failed(s, "sync a file", &a->call->err);
    }
}

/* The first one brings the renames of all to the disk. */
static void group_sync_cells(struct file_store *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct aside *a = &s->group[i];
        if (a->rc != RC_OK || fsync(a->dir) == 0)
            continue;
        failed(s, "sync a folder", &a->call->err);
        a->rc = RC_UNCERTAIN;
    }
}

static void group_fail(struct file_store *s, enum rc rc, const struct err *err)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct aside *a = &s->group[i];
        if (a->rc != RC_OK)
            continue;
        a->rc = rc;
        a->call->err = *err;
    }
}

static void group_answer(struct file_store *s, struct store_batch *batch)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct aside *a = &s->group[i];
        aside_drop(a);
        if (a->rc == RC_OK) {
            a->call->new_version = a->version;
            store_batch_hold(batch, a->call);
        } else {
            store_batch_answer(batch, a->call, a->rc);
        }
    }
    s->count = 0;
    store_batch_settle(batch, RC_OK, NULL);
}

static void group_end(struct file_store *s, struct store_batch *batch)
{
    struct err err;

    if (!s->count)
        return;
    if (folder_look(&s->folder, &err) != RC_OK)
        group_fail(s, RC_UNAVAILABLE, &err);
    if (s->folder.is_full)
        group_sync_files(s);
    for (unsigned i = 0; i < s->count; i++)
        if (s->group[i].rc == RC_OK)
            s->group[i].rc = aside_place(s, &s->group[i]);
    if (s->folder.is_full)
        group_sync_cells(s);
    if (folder_look(&s->folder, &err) != RC_OK)
        group_fail(s, RC_UNCERTAIN, &err);
    group_answer(s, batch);
}

static bool group_has(const struct file_store *s, const uint8_t id[16])
{
    for (unsigned i = 0; i < s->count; i++)
        if (memcmp(s->group[i].call->id, id, 16) == 0)
            return true;
    return false;
}

static void file_put(struct file_store *s, struct store_batch *batch,
                     struct store_call *call)
{
    if (group_has(s, call->id))
        group_end(s, batch);
    enum rc rc = aside_begin(s, &s->group[s->count], call);
    if (rc != RC_OK)
        store_batch_answer(batch, call, rc);
    else if (++s->count == s->group_max)
        group_end(s, batch);
}

static void file_run(struct store_base *base, struct store_batch *batch)
{
    struct file_store *s = file_of(base);
    struct store_call *call;

    s->may_wait = WAIT_MS;
    while ((call = store_batch_next(batch))) {
        if (call->is_put)
            file_put(s, batch, call);
        else
            store_batch_answer(batch, call, folder_get(&s->folder, call));
    }
    group_end(s, batch);
}

static void file_get(struct store_base *base, struct store_call *call)
{
    call->rc = folder_get(&file_of(base)->folder, call);
}

static void file_expire(struct store_base *base, struct instant now,
                        unsigned limit, store_removed_fn *each, void *user)
{
    struct file_store *s = file_of(base);
    struct err err;

    if (folder_look(&s->folder, &err) == RC_OK)
        folder_sweep(&s->folder, &s->sweep, now.wall, limit, each, user);
}

static enum rc file_list(struct store_base *base, struct store_page *page)
{
    struct file_store *s = file_of(base);
    enum rc rc = folder_list(&s->folder, page, WAIT_MS);

    if (rc != RC_OK && !page->err.text[0])
        failed(s, "read a folder", &page->err);
    return rc == RC_OK ? folder_look(&s->folder, &page->err) : rc;
}

static enum rc file_check(struct store_base *base, struct err *err)
{
    struct file_store *s = file_of(base);

    return s->folder.fd < 0 ? folder_open(&s->folder, err)
                            : folder_look(&s->folder, err);
}

/* --- the store ------------------------------------------------------------ */

/* What is there may be no folder. */
static enum rc file_examine(const void *options, const struct store_env *env,
                            struct err *err)
{
    const struct file_options *o = options;
    struct folder folder;
    struct stat st;
    enum rc rc;

    if (!o->directory || !*o->directory)
        return err_set(err, RC_INVALID,
                       "FileStore needs directory=\"...\", the folder that "
                       "keeps the sessions");
    rc = folder_init(&folder, env->log, o->directory, env->app, false, err);
    if (rc != RC_OK)
        return rc;
    folder_release(&folder);
    if (stat(o->directory, &st) == 0 ? !S_ISDIR(st.st_mode) : errno == ENOTDIR)
        return err_set(err, RC_INVALID,
                       "FileStore: directory=\"%.200s\" is a file, or lies in "
                       "one: name a folder, or move that file away",
                       o->directory);
    return RC_OK;
}

static enum rc file_open(struct store_base *base, struct err *err)
{
    struct file_store *s = file_of(base);
    const struct file_options *o = base->options;
    bool is_full = o->synchronous == FILE_SYNC_FULL;

    enum rc rc = folder_init(&s->folder, base->env.log, o->directory,
                             base->env.app, is_full, err);
    if (rc != RC_OK)
        return rc;
    s->folder.makes_nothing = base->env.makes_nothing;
    s->group_max = is_full ? GROUP_MAX : 1;
    log_state(base->env.log, LOG_INFO, "store",
              "FileStore keeps the sessions in %s", s->folder.path);
    return RC_OK;
}

static void file_close(struct store_base *base)
{
    folder_release(&file_of(base)->folder);
}

static void file_describe(const struct store_base *base, char *out, size_t size)
{
    const struct file_options *o = base->options;
    size_t len = strlen(o->directory);

    while (len > 1 && o->directory[len - 1] == '/')
        len--;
    const char *slash = memrchr(o->directory, '/', len > 1 ? len : 0);
    const char *last = slash ? slash + 1 : o->directory;
    snprintf(out, size, "files in folder %.*s",
             (int)(o->directory + len - last), last);
}

static const struct option file_options[] = {
    {.name = "directory",
     .kind = OPTION_STRING,
     .offset = offsetof(struct file_options, directory),
     .preset = "sessions",
     .help = "the folder that keeps a file for each session, in the state "
             "folder unless absolute; instances of one machine that name the "
             "same folder share them"},
    {.name = "synchronous",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct file_options, synchronous),
     .preset = "NORMAL",
     .choices = "NORMAL|FULL",
     .help = "NORMAL: what was answered survives the end of any process; "
             "FULL: a power cut as well, for two fsyncs a put or fewer"},
    {0},
};

const struct store_ops store_file = {
    .name = "FileStore",
    .summary =
        "a file for each session, shared by the processes of one machine",
    .size = sizeof(struct file_store),
    .options_size = sizeof(struct file_options),
    .options = file_options,
    .flags = STORE_READS_INLINE | STORE_LISTS,
    .examine = file_examine,
    .open = file_open,
    .close = file_close,
    .run = file_run,
    .get = file_get,
    .expire = file_expire,
    .list = file_list,
    .check = file_check,
    .describe = file_describe,
};
