/* SPDX-License-Identifier: Apache-2.0
 *
 * gate.h: who may use a file that several processes share.
 *
 * What    Beside the file PATH stands PATH.lock. It gives three things:
 *         the writer's turn (one holder, who comes next is fair), presence
 *         (who has the file open), and a record of which files those who are
 *         present have open: device and inode of PATH and its companions.
 * Laws    1. Locks are open file description locks: they end with the process
 *            however it ends, and two gates of one process exclude each other.
 *         2. Whoever has PATH open is present, from before the open until
 *            after the close. To enter, to leave, to record: under the turn.
 *         3. A new PATH is made only by one who is present alone. So nobody
 *            begins a new file while another holds an old one.
 *         4. Who enters beside others finds exactly the recorded files at
 *            their places, or does not enter. So all who are present have the
 *            same files open, also while some of them were moved or deleted.
 *         5. Who once had PATH open keeps a reference to its inode until
 *            gate_release, so its number is given to no other file, and "the
 *            file at PATH is mine" is a comparison of numbers. Such a one
 *            enters with that file again or not at all: in the life of a
 *            process there is one file.
 *         6. The lock file is never removed by us. When somebody else removes
 *            it, those present make it anew at their next look. Until then
 *            two turns may be held at once: what guards the data beneath must
 *            not rest on the turn alone (SQLite's own locks do not).
 *         7. PATH itself is never opened here but to make it (O_PATH only
 *            names it): closing any descriptor of a file drops this process's
 *            POSIX locks on it, on which SQLite rests.
 * Time    gate_lock waits by asking again every half millisecond, not by
 *         F_OFD_SETLKW: a wait for a process that was stopped must end.
 * Threads None: one gate, one thread at a time.
 * Errors  RC_UNAVAILABLE with what to do next; RC_ILLEGAL for want of rights,
 *         or of what is not to be made. */
#ifndef MARGAY_MANAGERS_STORES_GATE_H
#define MARGAY_MANAGERS_STORES_GATE_H

#include "session/log.h"
#include "session/rc.h"

#include <stdbool.h>
#include <stdint.h>

#define GATE_FILES 3 /* PATH and at most two companions */

/* Which file: all 0 when there is none. */
struct gate_mark {
    uint64_t dev, ino;
};

enum gate_presence { GATE_OUTSIDE, GATE_BESIDE, GATE_ALONE };

struct gate {
    struct log *log; /* may be NULL */
    char *path, *lock_path;
    const char *const *companions; /* suffixes: {"-wal", "-shm", NULL} */
    int lock_fd;                   /* -1: not open */
    int file_fd;                   /* O_PATH of PATH, or -1 */
    bool is_mine;                  /* file_fd was once recorded */
    struct gate_mark lock_mark, marks[GATE_FILES];
    enum gate_presence presence;
    bool makes_nothing; /* as in struct store_env */
};

/* path is copied and made absolute. companions may be NULL; else borrowed. */
void gate_init(struct gate *g, struct log *log, const char *path,
               const char *const *companions);
/* Leaves, if present. */
void gate_release(struct gate *g);

/* Takes the writer's turn. Makes the directories (0700) and the lock file
 * (0600) where there are none. */
enum rc gate_lock(struct gate *g, int wait_ms, struct err *err);
void gate_unlock(struct gate *g);

/* These three only with the turn. enter: afterwards PATH is there, and may be
 * opened; is_new says that it is empty. record: once it is open; the files at
 * their places are from now on ours, or, beside others, have to be theirs.
 * leave: after the close. */
enum rc gate_enter(struct gate *g, bool *is_new, struct err *err);
enum rc gate_record(struct gate *g, struct err *err);
void gate_leave(struct gate *g);

/* Is what is at PATH and its companions' places what we have open? LOOSE: PATH
 * is, a companion is not. AWAY: PATH is not; err says whether it was moved,
 * replaced or deleted, and what to do. Cheap: one stat for each file. */
enum gate_place { GATE_HOME, GATE_LOOSE, GATE_AWAY };
enum gate_place gate_look(const struct gate *g, struct err *err);
/* Makes the lock file anew where somebody removed it. Without the turn. */
enum rc gate_keep(struct gate *g, struct err *err);

#endif
