/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/stores/file.h"
#include "managers/stores/listing.h"
#include "session/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_MS 100  /* of one call */
#define CALM_FILES 64 /* with fewer a cell is read whenever it changed */
#define MS_A_FILE 50  /* with more: 20 looks a second */
#define SETTLED_S 2   /* clocks of file systems are coarse */
#define DAMAGED_KEPT_MS (INT64_C(7) * 24 * 3600 * 1000)

/* A row that was removed; the callback comes when no lock is held. */
struct gone {
    struct gone *next;
    uint8_t id[16];
    struct file_read read;
};

struct round {
    struct folder *folder;
    int64_t wall;
    unsigned limit;
    struct gone *gone, **last;
};

struct visit {
    struct round *round;
    struct cell_seen *seen;
    int dir;
    uint8_t cell;
    bool locked, tried;
};

static int64_t ms_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool visit_lock(struct visit *v)
{
    if (!v->tried)
        v->locked = cell_lock(v->round->folder, v->cell, v->dir, 0);
    v->tried = true;
    return v->locked;
}

static void visit_note(struct visit *v, int64_t expiry)
{
    if (expiry < v->seen->earliest)
        v->seen->earliest = expiry;
}

static void round_add(struct round *r, const uint8_t id[16],
                      const struct file_read *read)
{
    struct gone *g = mem_zero(sizeof *g);

    memcpy(g->id, id, 16);
    g->read = *read;
    *r->last = g;
    r->last = &g->next;
    r->limit--;
}

/* By its time the row is due; its head decides. The lock is held. */
static void visit_due(struct visit *v, const char *name, const uint8_t id[16])
{
    struct round *round = v->round;
    struct file_read r;
    struct err err;

    file_read(round->folder, v->dir, name, id, 0, &r, &err);
    if (r.rc == RC_ABSENT || r.rc == RC_UNAVAILABLE)
        return;
    int64_t due = r.rc == RC_OK ? r.head.expiry : r.changed + DAMAGED_KEPT_MS;
    if (due >= round->wall) {
        if (r.rc == RC_OK)
            file_set_time(v->dir, name, due);
        visit_note(v, due);
    } else if (unlinkat(v->dir, name, 0) == 0) {
        v->seen->count--;
        if (r.rc == RC_OK) {
            round_add(round, id, &r);
            return;
        }
    }
    free(r.file);
}

/* Who still writes it has its lock. */
static bool remove_left(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool gone = fd < 0 ? errno == ENOENT
                       : flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                             unlinkat(dir, name, 0) == 0;

    if (fd >= 0)
        close(fd);
    return gone;
}

static void visit_name(struct visit *v, const char *name)
{
    uint8_t id[16];
    struct stat st;

    if (file_name_is_aside(name)) {
        if (!remove_left(v->dir, name))
            visit_note(v, 0); /* again */
        return;
    }
    if (!file_name_id(name, id) ||
        fstatat(v->dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return;
    v->seen->count++;
    int64_t expiry = ms_of(st.st_mtim);
    if (expiry < v->round->wall && v->round->limit && visit_lock(v))
        visit_due(v, name, id);
    else
        visit_note(v, expiry);
}

static void visit_cell(struct round *round, struct cell_seen *seen, int dir,
                       uint8_t cell, int64_t mono)
{
    struct visit v = {.round = round, .seen = seen, .dir = dir, .cell = cell};
    int names = dup(dir);
    DIR *list = names < 0 ? NULL : fdopendir(names);
    struct stat st;

    if (!list || fstat(dir, &st)) {
        if (list)
            closedir(list);
        else if (names >= 0)
            close(names);
        return;
    }
    *seen = (struct cell_seen){.known = true,
                               .mtime = st.st_mtim,
                               .read = mono,
                               .earliest = INT64_MAX};
    for (struct dirent *e; (e = readdir(list));)
        visit_name(&v, e->d_name);
    closedir(list);
    atomic_store(&round->folder->had[cell], seen->count > 0);
}

static bool is_same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Was the directory left alone since it was read, and read late enough after
 * its last change that this is certain? */
static bool is_settled(const struct cell_seen *seen, const struct stat *st,
                       int64_t mono, struct instant real)
{
    int64_t read = real.wall - (mono - seen->read);

    return is_same(seen->mtime, st->st_mtim) &&
           read - ms_of(seen->mtime) > SETTLED_S * 1000;
}

static bool wants_visit(const struct cell_seen *seen, const struct stat *st,
                        int64_t wall, struct instant real)
{
    if (!seen->known)
        return true;
    if (seen->count >= CALM_FILES &&
        real.mono < seen->read + (int64_t)seen->count * MS_A_FILE)
        return false;
    return seen->earliest < wall || !is_settled(seen, st, real.mono, real);
}

static void round_tell(struct round *r, store_removed_fn *each, void *user)
{
    struct gone *g = r->gone, *next;

    for (; g; g = next) {
        next = g->next;
        each(user, g->id, g->read.file + FILE_HEAD, g->read.head.len);
        free(g->read.file);
        free(g);
    }
    r->gone = NULL;
    r->last = &r->gone;
}

void folder_sweep(struct folder *f, struct sweep *sweep, int64_t wall,
                  unsigned limit, store_removed_fn *each, void *user)
{
    struct round round = {.folder = f, .wall = wall, .limit = limit};
    int64_t until = instant_read().mono + SWEEP_MS;

    round.last = &round.gone;
    for (unsigned i = 0; i < CELLS && round.limit; i++) {
        unsigned cell = sweep->next;
        struct instant real = instant_read();
        struct stat st;
        if (real.mono >= until)
            break;
        int dir = cell_open(f, (uint8_t)cell, false);
        if (dir >= 0) {
            if (fstat(dir, &st) == 0 &&
                wants_visit(&sweep->cells[cell], &st, wall, real))
                visit_cell(&round, &sweep->cells[cell], dir, (uint8_t)cell,
                           real.mono);
            close(dir); /* and the lock is open */
        }
        round_tell(&round, each, user);
        if (round.limit)
            sweep->next = (cell + 1) % CELLS;
    }
}

/* --- lists ---------------------------------------------------------------- */

static bool list_cell(int dir, struct store_page *page)
{
    int names = dup(dir);
    DIR *list = names < 0 ? NULL : fdopendir(names);
    uint8_t id[16];

    if (!list) {
        if (names >= 0)
            close(names);
        return false;
    }
    rewinddir(list);
    for (struct dirent *e; (e = readdir(list));)
        if (file_name_id(e->d_name, id))
            page_offer(page, id);
    closedir(list);
    return true;
}

enum rc folder_list(struct folder *f, struct store_page *page, int64_t wait_ms)
{
    unsigned cell = page->cursor.begun ? page->cursor.at[0] : 0;
    enum rc rc = RC_OK;

    for (; cell < CELLS && !page_is_full(page) && rc == RC_OK; cell++) {
        int dir = cell_open(f, (uint8_t)cell, false);
        if (dir < 0 && errno == ENOENT && !atomic_load(&f->had[cell]))
            continue;
        if (dir < 0 && errno == ENOENT)
            rc = cell_gone(f, &page->err);
        else if (dir < 0 || !cell_lock(f, (uint8_t)cell, dir, wait_ms) ||
                 !list_cell(dir, page))
            rc = RC_UNAVAILABLE;
        if (dir >= 0)
            close(dir);
    }
    page_end(page);
    return rc;
}
