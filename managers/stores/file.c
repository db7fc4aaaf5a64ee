/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/file.h"
#include "session/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#define SUFFIX ".session"
#define FIRST_READ 4096               /* most rows come with one read */
#define TIME_MAX INT64_C(13569465600) /* 2400: what file systems can keep */

/* --- names ---------------------------------------------------------------- */

/* The context path as the name of one folder: "/a/b" is a#b, "/" is ROOT, as
 * Tomcat names the folders of applications; other bytes are %XX. */
static bool app_name(const char *app, char *out, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t n = 0;

    if (*app == '/')
        app++;
    if (!*app)
        return snprintf(out, size, "ROOT") > 0;
    bool is_root = strcmp(app, "ROOT") == 0;
    for (const char *p = app; *p; p++) {
        bool keep = strchr(plain, *p) && !(p == app && (*p == '.' || is_root));
        if (n + 4 > size)
            return false;
        if (keep || *p == '/')
            out[n++] = *p == '/' ? '#' : *p;
        else
            n += (size_t)snprintf(out + n, size - n, "%%%02X", (uint8_t)*p);
    }
    out[n] = '\0';
    return n < 255;
}

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++, out += 2) {
        out[0] = "0123456789ABCDEF"[bytes[i] >> 4];
        out[1] = "0123456789ABCDEF"[bytes[i] & 15];
    }
}

void file_name(const uint8_t id[16], char out[FILE_NAME_SIZE])
{
    hex(id, 16, out);
    memcpy(out + 32, SUFFIX, sizeof SUFFIX);
}

/* Upper case only, so that an id has one name. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool unhex(const char *text, size_t len, uint8_t *out)
{
    for (size_t i = 0; i < len; i++) {
        int high = digit(text[2 * i]);
        int low = high < 0 ? -1 : digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool file_name_id(const char *name, uint8_t id[16])
{
    return strlen(name) == 32 + strlen(SUFFIX) &&
           strcmp(name + 32, SUFFIX) == 0 && unhex(name, 16, id);
}

bool file_name_is_aside(const char *name)
{
    uint8_t bytes[16];

    return strlen(name) == 32 + 1 + 16 + 4 && name[32] == '.' &&
           strcmp(name + 49, ".tmp") == 0 && unhex(name, 16, bytes) &&
           unhex(name + 33, 8, bytes);
}

/* --- the folder ----------------------------------------------------------- */

enum rc folder_init(struct folder *f, struct log *log, const char *directory,
                    const char *app, bool is_full, struct err *err)
{
    char name[256], here[4096] = "", full[8192];

    if (strlen(directory) > 2048)
        return err_set(err, RC_INVALID, "FileStore: directory is too long");
    if (!app_name(app, name, sizeof name))
        return err_set(err, RC_INVALID,
                       "FileStore: the path %.60s... is too long for the name "
                       "of a folder",
                       app);
    if (directory[0] != '/' && !getcwd(here, sizeof here))
        here[0] = '\0';
    snprintf(full, sizeof full, "%s%s%s/%s", here, *here ? "/" : "", directory,
             name);
    *f = (struct folder){.path = mem_strdup(full),
                         .is_full = is_full,
                         .log = log,
                         .fd = -1,
                         .turn_fd = -1};
    return RC_OK;
}

void folder_release(struct folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    if (f->turn_fd >= 0)
        close(f->turn_fd);
    *f = (struct folder){.fd = -1, .turn_fd = -1};
}

enum rc folder_failed(const char *what, const char *path, struct err *err)
{
    const char *next = "";
    int why = errno;

    if (why == ENOTDIR || why == ELOOP)
        next = ": a folder is wanted; name another one, or move away what is "
               "there";
    else if (why == EACCES || why == EPERM)
        next = ": make it belong to the user that Margay runs as";
    else if (why == EROFS)
        next = ": mount it so that it can be written";
    else if (why == ENOSPC || why == EDQUOT)
        next = ": make room";
    else if (why == EMFILE || why == ENFILE)
        next = ": raise the limit of open files";
    err_set(err, RC_UNAVAILABLE, "cannot %s %s: %s%s", what, path,
            strerror(why), next);
    errno = why;
    return RC_UNAVAILABLE;
}

static enum rc make_directories(const struct folder *f, struct err *err)
{
    char path[8192];
    bool more = true;

    snprintf(path, sizeof path, "%s", f->path);
    for (char *p = path; more;) {
        p = strchr(p + 1, '/');
        more = p != NULL;
        if (more)
            *p = '\0';
        if (mkdir(path, 0700) && errno != EEXIST && errno != EROFS)
            return folder_failed("make folder", path, err);
        if (more)
            *p = '/';
    }
    return RC_OK;
}

/* The name of a new folder is safe when the one above it is. */
static void sync_above(const char *path)
{
    char above[8192];
    int fd;

    snprintf(above, sizeof above, "%s/..", path);
    fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* Nobody but a person can mend these. */
static bool is_for_good(const struct folder *f, int why)
{
    return why == EACCES || why == EPERM || why == EROFS || why == ENOTDIR ||
           why == ELOOP || (f->makes_nothing && why == ENOENT);
}

/* The folder, made where need be; its descriptor, or -1 with errno. */
static int find_folder(const struct folder *f, struct err *err)
{
    int fd;

    if (!f->makes_nothing && make_directories(f, err) != RC_OK)
        return -1;
    fd = open(f->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        folder_failed("open", f->path, err);
    return fd;
}

enum rc folder_open(struct folder *f, struct err *err)
{
    int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;
    enum rc rc;
    int fd = find_folder(f, err);

    if (fd < 0)
        return is_for_good(f, errno) ? RC_ILLEGAL : RC_UNAVAILABLE;
    if (fstat(fd, &st)) {
        rc = folder_failed("open", f->path, err);
        close(fd);
        return rc;
    }
    if (st.st_mode & 077)
        log_line(f->log, LOG_WARN, "store",
                 "%s can be read by others than its owner: chmod 700 it",
                 f->path);
    if (f->is_full)
        sync_above(f->path);
    f->turn_fd =
        openat(fd, ".turn", f->makes_nothing ? flags : flags | O_CREAT, 0600);
    f->fd = fd;
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    return RC_OK;
}

/* Names what is gone: the folder, or the one above it, which is that of other
 * applications as well, so that one cause gives one text. */
static const char *what_is_gone(const struct folder *f, char out[8192])
{
    struct stat st;

    snprintf(out, 8192, "%s", f->path);
    *strrchr(out, '/') = '\0';
    return *out && lstat(out, &st) ? out : f->path;
}

enum rc folder_look(const struct folder *f, struct err *err)
{
    struct stat now, ours;
    char gone[8192];
    bool there = lstat(f->path, &now) == 0;
    const char *other = there ? " and another put there" : "";

    if (there && now.st_dev == f->dev && now.st_ino == f->ino)
        return RC_OK;
    if (!there && errno != ENOENT)
        return folder_failed("look at", f->path, err);
    if (fstat(f->fd, &ours) == 0 && ours.st_nlink == 0)
        return err_set(err, RC_UNAVAILABLE,
                       "%s was deleted%s: restart every instance that used it",
                       what_is_gone(f, gone), other);
    return err_set(err, RC_UNAVAILABLE,
                   "%s was moved away%s: move it back, and it works again by "
                   "itself",
                   what_is_gone(f, gone), other);
}

/* --- cells ---------------------------------------------------------------- */

int cell_open(const struct folder *f, uint8_t cell, bool make)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char name[3] = "";
    int fd;

    hex(&cell, 1, name);
    fd = openat(f->fd, name, flags);
    if (fd >= 0 || errno != ENOENT || !make || atomic_load(&f->had[cell]))
        return fd;
    if (mkdirat(f->fd, name, 0700) && errno != EEXIST)
        return -1;
    if (f->is_full && fsync(f->fd))
        return -1;
    return openat(f->fd, name, flags);
}

enum rc cell_gone(const struct folder *f, struct err *err)
{
    return err_set(err, RC_UNAVAILABLE,
                   "a folder in %s (one of 00 to FF) was moved away: move it "
                   "back; where it is gone for good, make it anew, empty",
                   f->path);
}

static bool cell_is_missing(const struct folder *f, uint8_t cell)
{
    char name[3] = "";
    struct stat st;

    hex(&cell, 1, name);
    return atomic_load(&f->had[cell]) &&
           fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT;
}

enum rc folder_absent(const struct folder *f, struct store_call *call)
{
    if (folder_look(f, &call->err) != RC_OK)
        return RC_UNAVAILABLE;
    call->only_this = cell_is_missing(f, call->id[0]);
    return call->only_this ? cell_gone(f, &call->err) : RC_ABSENT;
}

static bool poll_until(bool (*try)(int fd, uint8_t cell), int fd, uint8_t cell,
                       int64_t until)
{
    struct timespec pause = {.tv_nsec = 20000};

    while (!try(fd, cell)) {
        if (errno != EWOULDBLOCK && errno != EACCES && errno != EINTR)
            return false;
        if (instant_read().mono >= until) {
            errno = EWOULDBLOCK;
            return false;
        }
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 200000)
            pause.tv_nsec += 10000;
    }
    return true;
}

static bool turn_set(int fd, uint8_t cell, short type)
{
    struct flock f = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = cell, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &f) == 0;
}

static bool try_turn(int fd, uint8_t cell)
{
    return turn_set(fd, cell, F_WRLCK);
}

static bool try_cell(int fd, uint8_t cell)
{
    (void)cell;
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

bool cell_lock(const struct folder *f, uint8_t cell, int fd, int64_t wait_ms)
{
    int64_t now = instant_read().mono;
    bool next = f->turn_fd >= 0 &&
                poll_until(try_turn, f->turn_fd, cell, now + wait_ms / 2);
    bool locked = poll_until(try_cell, fd, cell, now + wait_ms);
    int why = errno;

    if (next)
        turn_set(f->turn_fd, cell, F_UNLCK);
    errno = why;
    return locked;
}

struct timespec file_time(int64_t expiry)
{
    struct timespec t = {0};

    if (expiry > 0)
        t = (struct timespec){.tv_sec = expiry / 1000,
                              .tv_nsec = expiry % 1000 * 1000000};
    if (t.tv_sec > TIME_MAX)
        t.tv_sec = TIME_MAX;
    return t;
}

void file_set_time(int dir, const char *name, int64_t expiry)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, file_time(expiry)};

    utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

/* --- reading -------------------------------------------------------------- */

/* RC_OK: all of it is in memory. */
static enum rc read_all(int fd, struct file_read *r, const uint8_t *first,
                        size_t have, size_t size)
{
    r->file = mem_alloc(size + 1);
    memcpy(r->file, first, have);
    r->len = have;
    while (r->len < size) {
        ssize_t n = read(fd, r->file + r->len, size - r->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* it was cut just now, by somebody else */
            return n ? RC_UNAVAILABLE : RC_INVALID;
        r->len += (size_t)n;
    }
    return RC_OK;
}

static enum rc read_row(int fd, const uint8_t id[16], uint64_t known,
                        struct file_read *r)
{
    uint8_t first[FIRST_READ];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st))
        return RC_UNAVAILABLE;
    if (!S_ISREG(st.st_mode)) {
        errno = ELOOP;
        return RC_UNAVAILABLE;
    }
    r->changed =
        (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    n = read(fd, first, sizeof first);
    if (n < 0)
        return RC_UNAVAILABLE;
    enum rc rc = file_head_read(first, (size_t)n, id, &r->head);
    if (rc == RC_OK && known && r->head.version == known) {
        r->unchanged = true;
        return RC_OK;
    }
    size_t size = (size_t)st.st_size;
    if (size < (size_t)n || size > FILE_HEAD + FILE_ROW_MAX)
        size = (size_t)n; /* damaged, and none of it is needed */
    enum rc all = read_all(fd, r, first, (size_t)n, size);
    if (all == RC_UNAVAILABLE || rc != RC_OK)
        return all == RC_UNAVAILABLE ? all : rc;
    return all == RC_OK && file_row_is_whole(r->file, r->len, &r->head)
               ? RC_OK
               : RC_INVALID;
}

/* No link is followed, neither that of the row nor that of its cell. */
static int row_open(int dir, const char *name)
{
    const struct open_how how = {.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
                                          O_CLOEXEC,
                                 .resolve = RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
    char cell[3] = "";

    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;
    if (name[2] != '/') /* such a system call is not known here, or not let */
        return openat(dir, name, (int)how.flags);
    memcpy(cell, name, 2);
    dir = openat(dir, cell, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return -1;
    fd = openat(dir, name + 3, (int)how.flags);
    int why = errno;
    close(dir);
    errno = why;
    return fd;
}

void file_read(const struct folder *f, int dir, const char *name,
               const uint8_t id[16], uint64_t known, struct file_read *out,
               struct err *err)
{
    int fd = row_open(dir, name);

    *out = (struct file_read){.rc = RC_ABSENT};
    if (fd < 0 && errno == ENOENT)
        return;
    out->rc = fd < 0 ? RC_UNAVAILABLE : read_row(fd, id, known, out);
    out->newer = out->rc == RC_UNSUPPORTED;
    out->only_this =
        out->newer || (out->rc == RC_UNAVAILABLE && errno == ELOOP);
    if (out->newer)
        out->rc = err_set(err, RC_UNAVAILABLE,
                          "a newer version of Margay wrote to %s: run that one",
                          f->path);
    else if (out->rc == RC_UNAVAILABLE && errno == ELOOP)
        err_set(err, RC_UNAVAILABLE,
                "in %s is something in the place of a row that is no plain "
                "file, or in that of a folder: remove it",
                f->path);
    else if (out->rc == RC_UNAVAILABLE)
        folder_failed("read in", f->path, err);
    if (out->rc == RC_UNAVAILABLE) {
        free(out->file);
        out->file = NULL;
    }
    if (fd >= 0)
        close(fd);
}

void file_show(struct store_call *call, struct file_read *r)
{
    bool whole = r->rc == RC_OK;
    size_t head = whole ? FILE_HEAD : r->len;

    call->new_version =
        whole ? r->head.version : file_row_mark(r->file, r->len);
    call->found_len = r->len - head;
    memmove(r->file, r->file + head, call->found_len);
    call->found = r->file;
}

void folder_saw(struct folder *f, const uint8_t id[16])
{
    if (!atomic_load_explicit(&f->had[id[0]], memory_order_relaxed))
        atomic_store(&f->had[id[0]], true);
}

enum rc folder_get(struct folder *f, struct store_call *call)
{
    char name[3 + FILE_NAME_SIZE];
    struct file_read r;

    hex(call->id, 1, name);
    name[2] = '/';
    file_name(call->id, name + 3);
    file_read(f, f->fd, name, call->id, call->version, &r, &call->err);
    if (r.rc == RC_ABSENT)
        return folder_absent(f, call);
    call->only_this = r.only_this;
    call->newer = r.newer;
    if (r.rc != RC_OK && r.rc != RC_INVALID)
        return r.rc;
    folder_saw(f, call->id);
    if (r.unchanged) {
        call->unchanged = true;
        call->new_version = call->version;
        return RC_OK;
    }
    file_show(call, &r);
    call->unchanged = call->version && call->new_version == call->version;
    if (call->unchanged) {
        free(call->found);
        call->found = NULL;
        call->found_len = 0;
    }
    return RC_OK;
}
