/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h: rows in files of a folder that several processes share.
 *
 * What    directory/APPLICATION/XX/ID.session, XX being the first two digits
 *         of the id: 256 cells of one folder. What the file system does for
 *         us, in our words; batches and answers are in file_store.c, what is
 *         due, and lists, in file_sweep.c, the bytes in file_row.h.
 * Laws    1. A name is made from the 16 bytes of an id and nothing else.
 *         2. A row is replaced by a rename, so who reads sees the old one or
 *            the new one, whole, and needs no lock.
 *         3. Who writes or removes in a cell holds its lock: flock on the
 *            cell's own directory. It belongs to the open directory, so it
 *            ends with the process however that ends, and excludes threads
 *            as well; and unlike that of a lock file it cannot be deleted
 *            from under those who rely on it: in a directory that was removed
 *            nothing can be made.
 *            Who comes next is a matter of another lock, that on the cell's
 *            byte of the file .turn: only one waits for the first, so one who
 *            has just given it up does not take it again before those who
 *            wait. It makes turns fair and nothing safe; without it (deleted,
 *            held by one who was stopped) all goes on.
 *         4. The folder that was opened first is the one for the life of the
 *            process. What is at its path is compared before a row is
 *            replaced (else UNAVAILABLE), after it (else UNCERTAIN), and
 *            before "no such file" is believed (else UNAVAILABLE). So is a
 *            cell in which this process has seen rows.
 *         5. What is written aside is ID.VERSION.tmp, a name that never comes
 *            again. Its maker holds its lock (flock) until it is renamed; so
 *            whoever gets that lock may remove it by its name.
 *         6. A file's time of change is its row's expiry: what is due is found
 *            by looking at names. The head decides.
 * Time    A wait for a lock is bounded: the holder may have been stopped.
 * Threads folder_get: any, many at once. Everything else: one thread.
 * Errors  RC_UNAVAILABLE with what to do next; no text names a row, so the
 *         same cause gives the same text. */
#ifndef MARGAY_MANAGERS_STORES_FILE_H
#define MARGAY_MANAGERS_STORES_FILE_H

#include "managers/stores/file_row.h"
#include "session/store_impl.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CELLS 256
#define FILE_NAME_SIZE 64

struct folder {
    char *path; /* directory/APPLICATION, absolute */
    bool is_full;
    struct log *log;
    int fd;      /* -1: not open yet; opened once, before anybody reads */
    int turn_fd; /* of .turn, or -1 */
    uint64_t dev, ino;
    atomic_bool had[CELLS]; /* rows were seen there */
    bool makes_nothing;     /* as in struct store_env */
};

/* RC_INVALID: no folder can have such a name. */
enum rc folder_init(struct folder *f, struct log *log, const char *directory,
                    const char *app, bool is_full, struct err *err);
void folder_release(struct folder *f);
/* Makes the folders (0700) where there are none. RC_ILLEGAL: it may not, or
 * what is there is none. */
enum rc folder_open(struct folder *f, struct err *err);
/* Is what is at the path the folder that we have open? */
enum rc folder_look(const struct folder *f, struct err *err);

/* "cannot WHAT PATH: ...", by errno, which stays, and what to do next:
 * RC_UNAVAILABLE. */
enum rc folder_failed(const char *what, const char *path, struct err *err);

/* "ID.session" */
void file_name(const uint8_t id[16], char out[FILE_NAME_SIZE]);
/* The id in such a name; false: it is another one. */
bool file_name_id(const char *name, uint8_t id[16]);
bool file_name_is_aside(const char *name);

/* There is no file for the call's row: RC_ABSENT, unless the folder is not at
 * its place, or a cell in which rows were seen: RC_UNAVAILABLE. */
enum rc folder_absent(const struct folder *f, struct store_call *call);
/* There was a row. */
void folder_saw(struct folder *f, const uint8_t id[16]);
/* Answers a get and fills the call. */
enum rc folder_get(struct folder *f, struct store_call *call);

/* The cell's directory, which is made where it is missing, was never seen with
 * rows, and `make` is set; -1 with errno. */
int cell_open(const struct folder *f, uint8_t cell, bool make);
/* It is not there, though it was: RC_UNAVAILABLE. */
enum rc cell_gone(const struct folder *f, struct err *err);
/* false with errno: EWOULDBLOCK when it was not free within that time. */
bool cell_lock(const struct folder *f, uint8_t cell, int fd, int64_t wait_ms);

/* A row's file, read whole. The caller frees `file`. */
struct file_read {
    enum rc rc;     /* OK; ABSENT; INVALID: damaged; UNAVAILABLE with err */
    bool unchanged; /* OK, the version is `known`: file is not filled */
    bool only_this; /* UNAVAILABLE: for what is in the place of this row, */
    bool newer;     /* which a newer release wrote */
    struct file_head head;
    uint8_t *file;
    size_t len;
    int64_t changed; /* wall ms, the file's own time */
};
void file_read(const struct folder *f, int dir, const char *name,
               const uint8_t id[16], uint64_t known, struct file_read *out,
               struct err *err);

/* As what a file shows its row's expiry. */
struct timespec file_time(int64_t expiry);
void file_set_time(int dir, const char *name, int64_t expiry);

/* Hands what was read (OK or INVALID, not unchanged) to the call as `found`.
 * What is damaged is shown as no bytes: whoever asked finds that it is no
 * record, says so, and may replace it. */
void file_show(struct store_call *call, struct file_read *r);

/* Fills the page, the cells in their order. A cell is read under its lock, so
 * that no rename moves a name from where it was not read yet to where it was.
 * RC_UNAVAILABLE when that was not free within wait_ms. */
enum rc folder_list(struct folder *f, struct store_page *page, int64_t wait_ms);

/* Removes what is due, at most `limit` rows, from where the last call left
 * off. What lies in a cell is looked at when something there is due or
 * changed, and a cell with many files at most 20 a second: so it costs what
 * changes and expires, within a bound, and never a scan of everything. */
struct sweep {
    struct cell_seen {
        bool known;
        struct timespec mtime; /* of the directory, when it was read */
        int64_t read;          /* mono ms */
        int64_t earliest;      /* wall ms */
        uint32_t count;
    } cells[CELLS];
    unsigned next;
};
void folder_sweep(struct folder *f, struct sweep *sweep, int64_t wall,
                  unsigned limit, store_removed_fn *each, void *user);

#endif
