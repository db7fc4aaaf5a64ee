/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/gate.h"
#include "session/buf.h"
#include "session/instant.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the lock file. NEXT is a turnstile before WRITER: only one process
 * waits for WRITER, so one that has just given it up cannot take it again
 * before those that were already waiting. */
enum { BYTE_NEXT, BYTE_WRITER, BYTE_PRESENT };

#define RECORD_SIZE 256

void gate_init(struct gate *g, struct log *log, const char *path,
               const char *const *companions)
{
    char here[4096], full[8192];

    *g = (struct gate){
        .log = log, .companions = companions, .lock_fd = -1, .file_fd = -1};
    if (path[0] == '/' || !getcwd(here, sizeof here))
        snprintf(full, sizeof full, "%s", path);
    else
        snprintf(full, sizeof full, "%s/%s", here, path);
    g->path = mem_strdup(full);
    snprintf(full, sizeof full, "%s.lock", g->path);
    g->lock_path = mem_strdup(full);
}

void gate_release(struct gate *g)
{
    g->is_mine = false;
    gate_leave(g);
    if (g->lock_fd >= 0)
        close(g->lock_fd);
    free(g->path);
    free(g->lock_path);
    *g = (struct gate){.lock_fd = -1, .file_fd = -1};
}

/* --- marks ---------------------------------------------------------------- */

static struct gate_mark mark_of(const struct stat *st)
{
    return (struct gate_mark){st->st_dev, st->st_ino};
}

static struct gate_mark mark_at(const char *path)
{
    struct stat st;

    return lstat(path, &st) ? (struct gate_mark){0, 0} : mark_of(&st);
}

static bool mark_same(struct gate_mark a, struct gate_mark b)
{
    return a.dev == b.dev && a.ino == b.ino;
}

static void gate_marks_now(const struct gate *g, struct gate_mark *marks)
{
    char path[8192];

    memset(marks, 0, GATE_FILES * sizeof *marks);
    marks[0] = mark_at(g->path);
    for (int i = 0; g->companions && g->companions[i]; i++) {
        assert(i + 1 < GATE_FILES);
        snprintf(path, sizeof path, "%s%s", g->path, g->companions[i]);
        marks[i + 1] = mark_at(path);
    }
}

static bool gate_marks_home(const struct gate *g, struct gate_mark *now)
{
    gate_marks_now(g, now);
    return memcmp(now, g->marks, sizeof g->marks) == 0;
}

static enum rc gate_away(const struct gate *g, struct gate_mark now,
                         struct err *err)
{
    const char *other = now.ino ? " and another file put there" : "";
    struct stat st;

    if (fstat(g->file_fd, &st) == 0 && st.st_nlink == 0)
        return err_set(err, RC_UNAVAILABLE,
                       "%s was deleted%s: restart every instance that used it",
                       g->path, other);
    return err_set(err, RC_UNAVAILABLE,
                   "%s was moved away%s: move it back, with the files that "
                   "belong to it, and it works again by itself",
                   g->path, other);
}

enum gate_place gate_look(const struct gate *g, struct err *err)
{
    struct gate_mark now[GATE_FILES];

    if (gate_marks_home(g, now))
        return GATE_HOME;
    if (mark_same(now[0], g->marks[0])) {
        err_set(err, RC_UNAVAILABLE, "a file that belongs to %s was removed",
                g->path);
        return GATE_LOOSE;
    }
    gate_away(g, now[0], err);
    return GATE_AWAY;
}

/* --- the lock file -------------------------------------------------------- */

static int lock_byte(int fd, int byte, short type)
{
    struct flock f = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &f);
}

static enum rc gate_errno(const char *what, const char *path, struct err *err)
{
    bool refused = errno == EACCES || errno == EPERM || errno == EROFS;

    return err_set(err, refused ? RC_ILLEGAL : RC_UNAVAILABLE,
                   "cannot %s %s: %s", what, path, strerror(errno));
}

static enum rc gate_missing(const char *path, struct err *err)
{
    return err_set(err, RC_ILLEGAL,
                   "%s is not there, and is not to be made by this user", path);
}

static enum rc gate_make_directories(const struct gate *g, struct err *err)
{
    char path[8192];

    snprintf(path, sizeof path, "%s", g->path);
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(path, 0700) && errno != EEXIST && errno != EROFS)
            return gate_errno("make directory", path, err);
        *p = '/';
    }
    return RC_OK;
}

static int gate_open_lock(const struct gate *g)
{
    int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;

    return open(g->lock_path, g->makes_nothing ? flags : flags | O_CREAT, 0600);
}

/* Text that is compared and never parsed; always as long, so that writing it
 * again needs no room on a full disk. */
static void gate_record_text(const struct gate_mark *marks,
                             char text[RECORD_SIZE])
{
    int n = snprintf(text, RECORD_SIZE, "margay");

    for (int i = 0; i < GATE_FILES; i++)
        n +=
            snprintf(text + n, RECORD_SIZE - (size_t)n,
                     " %016" PRIx64 ":%016" PRIx64, marks[i].dev, marks[i].ino);
    snprintf(text + n, RECORD_SIZE - (size_t)n, "\n");
}

static bool record_write(int fd, const struct gate_mark *marks)
{
    char text[RECORD_SIZE];
    ssize_t len;

    gate_record_text(marks, text);
    len = (ssize_t)strlen(text);
    return pwrite(fd, text, (size_t)len, 0) == len;
}

static bool record_is(int fd, const struct gate_mark *marks)
{
    char text[RECORD_SIZE], found[RECORD_SIZE];
    ssize_t n = pread(fd, found, sizeof found - 1, 0);

    if (n < 0)
        return false;
    found[n] = '\0';
    gate_record_text(marks, text);
    return strcmp(found, text) == 0;
}

/* Brings presence over to a lock file that was made anew. The first one who
 * comes writes down what all have. */
static bool gate_move_presence(struct gate *g, int fd)
{
    if (g->presence == GATE_OUTSIDE)
        return true;
    if (lock_byte(fd, BYTE_PRESENT, F_WRLCK) == 0)
        return record_write(fd, g->marks) &&
               lock_byte(fd, BYTE_PRESENT, F_RDLCK) == 0;
    return lock_byte(fd, BYTE_PRESENT, F_RDLCK) == 0;
}

static bool gate_lock_file_is_there(const struct gate *g)
{
    return g->lock_fd >= 0 && mark_same(mark_at(g->lock_path), g->lock_mark);
}

enum rc gate_keep(struct gate *g, struct err *err)
{
    bool makes = g->presence == GATE_OUTSIDE && !g->makes_nothing;
    enum rc rc = RC_OK;
    struct stat st;
    int fd;

    if (gate_lock_file_is_there(g))
        return RC_OK;
    if (makes)
        rc = gate_make_directories(g, err);
    if (rc != RC_OK)
        return rc;
    fd = gate_open_lock(g);
    if (fd < 0 && errno == ENOENT && g->makes_nothing)
        return gate_missing(g->lock_path, err);
    if (fd < 0)
        return gate_errno("open", g->lock_path, err);
    if (fstat(fd, &st) || !gate_move_presence(g, fd)) {
        gate_errno("lock", g->lock_path, err);
        close(fd);
        return RC_UNAVAILABLE;
    }
    if (g->lock_fd >= 0) {
        close(g->lock_fd);
        log_line(g->log, LOG_WARN, "store", "%s was removed; made anew",
                 g->lock_path);
    }
    g->lock_fd = fd;
    g->lock_mark = mark_of(&st);
    return RC_OK;
}

/* --- the turn ------------------------------------------------------------- */

static bool lock_wait(int fd, int byte, int64_t until)
{
    struct timespec pause = {.tv_nsec = 50000};

    while (lock_byte(fd, byte, F_WRLCK)) {
        if ((errno != EAGAIN && errno != EACCES && errno != EINTR) ||
            instant_read().mono >= until)
            return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 500000)
            pause.tv_nsec += 50000;
    }
    return true;
}

enum rc gate_lock(struct gate *g, int wait_ms, struct err *err)
{
    int64_t until = instant_read().mono + wait_ms;
    enum rc rc = gate_keep(g, err);

    if (rc != RC_OK)
        return rc;
    if (!lock_wait(g->lock_fd, BYTE_NEXT, until))
        goto failed;
    if (!lock_wait(g->lock_fd, BYTE_WRITER, until)) {
        int why = errno;
        lock_byte(g->lock_fd, BYTE_NEXT, F_UNLCK);
        errno = why;
        goto failed;
    }
    lock_byte(g->lock_fd, BYTE_NEXT, F_UNLCK);
    return RC_OK;
failed:
    if (errno != EAGAIN && errno != EACCES)
        return gate_errno("lock", g->lock_path, err);
    return err_set(err, RC_UNAVAILABLE,
                   "others hold %s too long: is one of the processes that "
                   "use it stopped, or the disk slow?",
                   g->lock_path);
}

void gate_unlock(struct gate *g)
{
    lock_byte(g->lock_fd, BYTE_WRITER, F_UNLCK);
}

/* --- presence ------------------------------------------------------------- */

static enum rc gate_take_presence(struct gate *g, struct err *err)
{
    assert(g->presence == GATE_OUTSIDE);
    if (lock_byte(g->lock_fd, BYTE_PRESENT, F_WRLCK) == 0)
        g->presence = GATE_ALONE;
    else if (lock_byte(g->lock_fd, BYTE_PRESENT, F_RDLCK) == 0)
        g->presence = GATE_BESIDE;
    else
        return gate_errno("lock", g->lock_path, err);
    return RC_OK;
}

static enum rc gate_make_file(const struct gate *g, struct err *err)
{
    int fd;

    if (g->presence != GATE_ALONE)
        return err_set(err, RC_UNAVAILABLE,
                       "%s is not there, but other instances still hold it: "
                       "move it back, or restart every instance that used it",
                       g->path);
    if (g->makes_nothing)
        return gate_missing(g->path, err);
    fd =
        open(g->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return gate_errno("make", g->path, err);
    close(fd);
    return RC_OK;
}

/* Takes hold of what is at PATH. */
static enum rc gate_grasp(struct gate *g, bool *is_new, struct err *err)
{
    struct stat st;

    if (g->file_fd < 0)
        g->file_fd = open(g->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (g->file_fd < 0 || fstat(g->file_fd, &st))
        return gate_errno("open", g->path, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, RC_UNAVAILABLE,
                       "%s is not a plain file: name one, or remove what is "
                       "there",
                       g->path);
    *is_new = st.st_size == 0 && g->presence == GATE_ALONE;
    return RC_OK;
}

static enum rc gate_find_file(struct gate *g, bool *is_new, struct err *err)
{
    struct gate_mark now = mark_at(g->path);
    enum rc rc = RC_OK;

    if (g->is_mine && !mark_same(now, g->marks[0]))
        return gate_away(g, now, err);
    if (!now.ino)
        rc = gate_make_file(g, err);
    if (rc == RC_OK)
        rc = gate_grasp(g, is_new, err);
    if (rc != RC_OK)
        return rc;
    gate_marks_now(g, g->marks);
    if (g->presence == GATE_BESIDE && !record_is(g->lock_fd, g->marks))
        return err_set(err, RC_UNAVAILABLE,
                       "other instances have another file open than the one "
                       "at %s: put theirs back, or restart every instance "
                       "that used it",
                       g->path);
    return RC_OK;
}

enum rc gate_enter(struct gate *g, bool *is_new, struct err *err)
{
    enum rc rc = gate_take_presence(g, err);

    if (rc == RC_OK)
        rc = gate_find_file(g, is_new, err);
    if (rc != RC_OK)
        gate_leave(g);
    return rc;
}

enum rc gate_record(struct gate *g, struct err *err)
{
    struct gate_mark now[GATE_FILES];
    struct stat st;
    bool is_whole;

    gate_marks_now(g, now);
    is_whole = fstat(g->file_fd, &st) == 0 && mark_same(mark_of(&st), now[0]);
    for (int i = 0; g->companions && g->companions[i]; i++)
        is_whole = is_whole && now[i + 1].ino;
    if (!is_whole ||
        (g->presence == GATE_BESIDE && memcmp(now, g->marks, sizeof now) != 0))
        return err_set(err, RC_UNAVAILABLE,
                       "%s or a file that belongs to it went away while it "
                       "was opened",
                       g->path);
    memcpy(g->marks, now, sizeof now);
    g->is_mine = true;
    if (g->presence == GATE_BESIDE)
        return RC_OK;
    if (!record_write(g->lock_fd, now) ||
        lock_byte(g->lock_fd, BYTE_PRESENT, F_RDLCK))
        return gate_errno("write", g->lock_path, err);
    g->presence = GATE_BESIDE;
    return RC_OK;
}

void gate_leave(struct gate *g)
{
    if (g->file_fd >= 0 && !g->is_mine) {
        close(g->file_fd);
        g->file_fd = -1;
    }
    if (g->presence != GATE_OUTSIDE)
        lock_byte(g->lock_fd, BYTE_PRESENT, F_UNLCK);
    g->presence = GATE_OUTSIDE;
}
