/* SPDX-License-Identifier: Apache-2.0
 *
 * The only file that knows SQLite. docs/stored-form.md describes the table. */
#include "config.h"

#include "managers/stores/listing.h"
#include "managers/stores/sqlite.h"
#include "session/buf.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#define FORMAT_APP 0x4d524759   /* application_id: "MRGY" */
#define FORMAT_KNOWN 1          /* user_version */
#define BUSY_MS 250             /* for programs that are none of ours */
#define WAL_PAGES 250           /* a checkpoint each so many pages, */
#define WAL_PAGES_HARD 4000     /* one that waits for the readers */
#define WAL_KEPT "1100000"      /* bytes that an emptied log keeps */
#define WAL_CALM 16             /* checkpoints without want of room */
#define FILE_CHUNK (256 * 1024) /* the file grows by; its reserve */

struct reader {
    struct reader *next;
    sqlite3 *db;
    sqlite3_stmt *get;
};

/* The statements of the writer. */
#define STATEMENTS(X)                                                          \
    X(begin, "BEGIN IMMEDIATE")                                                \
    X(commit, "COMMIT")                                                        \
    X(rollback, "ROLLBACK")                                                    \
    X(insert, "INSERT INTO sessions (app, id, version, expiry, bytes)"         \
              " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")           \
    X(update, "UPDATE sessions SET version = ?3, expiry = ?4, bytes = ?5"      \
              " WHERE app = ?1 AND id = ?2 AND version = ?6")                  \
    X(again, "UPDATE sessions SET version = ?3, bytes = ?5"                    \
             " WHERE app = ?1 AND id = ?2 AND version = ?6 AND expiry = ?4")   \
    X(find, GET_SQL)                                                           \
    X(list, "SELECT id FROM sessions WHERE app = ?1 AND id > ?2"               \
            " ORDER BY id LIMIT ?3")                                           \
    X(due, "SELECT 1 FROM sessions WHERE app = ?1 AND expiry < ?2 LIMIT 1")    \
    X(expire, "DELETE FROM sessions WHERE app = ?1 AND id IN"                  \
              " (SELECT id FROM sessions WHERE app = ?1 AND expiry < ?2"       \
              " ORDER BY expiry LIMIT ?3) RETURNING id, bytes")

#define GET_SQL                                                                \
    "SELECT version, CASE WHEN version <> ?3 THEN bytes END FROM sessions"     \
    " WHERE app = ?1 AND id = ?2"

enum {
#define X(name, sql) ST_##name,
    STATEMENTS(X)
#undef X
        ST_COUNT
};

static const char *const statement_sql[ST_COUNT] = {
#define X(name, sql) [ST_##name] = sql,
    STATEMENTS(X)
#undef X
};

struct db {
    const char *path, *app;
    bool is_full;

    /* the writer */
    sqlite3 *db; /* NULL: not open */
    sqlite3_stmt *st[ST_COUNT];
    int wal_pages, wal_next;
    int wal_step; /* WAL_PAGES, or less after a want of room */
    int calm;     /* checkpoints since then, modulo WAL_CALM */

    atomic_bool broken; /* an error that asks for new connections */
    atomic_bool full;   /* a want of room, and no write since */

    pthread_mutex_t pool_lock; /* guards the rest */
    pthread_cond_t pool_back;  /* lent became 0 */
    struct reader *idle;
    unsigned lent;
    bool serving; /* readers may be lent */
};

/* --- errors and small things ---------------------------------------------- */

static enum rc db_failed(struct db *s, int code, const char *what,
                         struct err *err)
{
    const char *path = s->path, *text = sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_FULL:
        atomic_store(&s->full, true);
        return err_set(err, RC_UNAVAILABLE,
                       "cannot %s %s: the disk is full; make room and it "
                       "goes on by itself",
                       what, path);
    case SQLITE_BUSY:
        return err_set(err, RC_UNAVAILABLE,
                       "cannot %s %s: a program other than these instances "
                       "keeps it locked",
                       what, path);
    case SQLITE_CANTOPEN: /* no reason to give up what is open */
        return err_set(err, RC_UNAVAILABLE,
                       "cannot open %s or a file that belongs to it: look at "
                       "its owner and mode, and at the limit of open files",
                       path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        atomic_store(&s->broken, true);
        return err_set(err, RC_UNAVAILABLE,
                       "cannot %s %s: %s; restore it from a backup, or move "
                       "it away, and restart every instance",
                       what, path, text);
    default:
        atomic_store(&s->broken, true);
        return err_set(err, RC_UNAVAILABLE,
                       "cannot %s %s: %s (SQLite %d); it is tried again by "
                       "itself",
                       what, path, text, code);
    }
}

/* Runs a statement that gives no row. */
static int st_run(sqlite3_stmt *st)
{
    int code = sqlite3_step(st), end = sqlite3_reset(st);

    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : end;
}

static void bind_key(const struct db *s, sqlite3_stmt *st,
                     const struct store_call *call)
{
    sqlite3_bind_text(st, 1, s->app, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 2, call->id, sizeof call->id, SQLITE_STATIC);
}

/* A row of GET_SQL becomes an answer. */
static int st_find(const struct db *s, sqlite3_stmt *st,
                   struct store_call *call, enum rc *rc)
{
    int code, end;

    bind_key(s, st, call);
    sqlite3_bind_int64(st, 3, (int64_t)call->version);
    code = sqlite3_step(st);
    *rc = RC_ABSENT;
    if (code == SQLITE_ROW) {
        *rc = RC_OK;
        call->new_version = (uint64_t)sqlite3_column_int64(st, 0);
        call->unchanged = call->new_version == call->version;
        if (!call->unchanged) {
            const void *bytes = sqlite3_column_blob(st, 1);
            call->found_len = (size_t)sqlite3_column_bytes(st, 1);
            call->found = mem_alloc(call->found_len);
            if (call->found_len)
                memcpy(call->found, bytes, call->found_len);
        }
    }
    end = sqlite3_reset(st);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : end;
}

/* Opens a connection as all of ours are. */
static int db_connect(const struct db *s, int flags, sqlite3 **out)
{
    int code =
        sqlite3_open_v2(s->path, out,
                        flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                            SQLITE_OPEN_EXRESCODE,
                        NULL);

    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(*out, BUSY_MS);
        code =
            sqlite3_exec(*out, "PRAGMA trusted_schema = OFF", NULL, NULL, NULL);
    }
    return code;
}

/* --- readers -------------------------------------------------------------- */

static void reader_free(struct reader *r)
{
    sqlite3_finalize(r->get);
    if (r->db)
        sqlite3_db_config(r->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(r->db);
    free(r);
}

static int reader_new(const struct db *s, struct reader **out)
{
    struct reader *r = mem_zero(sizeof *r);
    int code = db_connect(s, SQLITE_OPEN_READONLY, &r->db);

    if (code == SQLITE_OK)
        code = sqlite3_prepare_v3(r->db, GET_SQL, -1, SQLITE_PREPARE_PERSISTENT,
                                  &r->get, NULL);
    if (code != SQLITE_OK) {
        reader_free(r);
        return code;
    }
    *out = r;
    return SQLITE_OK;
}

/* NULL in *out with SQLITE_OK: the store is not open now. */
static int reader_take(struct db *s, struct reader **out)
{
    bool serving;

    *out = NULL;
    pthread_mutex_lock(&s->pool_lock);
    serving = s->serving;
    if (serving) {
        s->lent++;
        if ((*out = s->idle))
            s->idle = s->idle->next;
    }
    pthread_mutex_unlock(&s->pool_lock);
    return *out || !serving ? SQLITE_OK : reader_new(s, out);
}

/* r may be NULL: one was lent but could not be made. */
static void reader_give(struct db *s, struct reader *r, bool reuse)
{
    if (r && !reuse) {
        reader_free(r);
        r = NULL;
    }
    pthread_mutex_lock(&s->pool_lock);
    if (r) {
        r->next = s->idle;
        s->idle = r;
    }
    if (--s->lent == 0)
        pthread_cond_signal(&s->pool_back);
    pthread_mutex_unlock(&s->pool_lock);
}

/* Waits for the readers that are lent: a read lasts some microseconds, or
 * BUSY_MS at worst. */
static void readers_close(struct db *s)
{
    struct reader *r, *next;

    pthread_mutex_lock(&s->pool_lock);
    s->serving = false;
    while (s->lent)
        pthread_cond_wait(&s->pool_back, &s->pool_lock);
    r = s->idle;
    s->idle = NULL;
    pthread_mutex_unlock(&s->pool_lock);
    for (; r; r = next) {
        next = r->next;
        reader_free(r);
    }
}

void db_serve(struct db *s)
{
    pthread_mutex_lock(&s->pool_lock);
    s->serving = true;
    pthread_mutex_unlock(&s->pool_lock);
}

enum rc db_read(struct db *s, struct store_call *call)
{
    struct reader *r;
    enum rc rc;
    int code = reader_take(s, &r);

    if (code == SQLITE_OK && !r)
        return err_set(&call->err, RC_UNAVAILABLE, "%s is not open now",
                       s->path);
    if (code == SQLITE_OK)
        code = st_find(s, r->get, call, &rc);
    reader_give(s, r, code == SQLITE_OK);
    return code == SQLITE_OK ? rc : db_failed(s, code, "read", &call->err);
}

/* --- opening and closing -------------------------------------------------- */

/* The file's header, read through SQLite but by no connection: a file that is
 * not ours is not touched, and no lock of this process on it is lost. */
static int db_read_header(const struct db *s, unsigned char header[100])
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    sqlite3_file *file = mem_zero((size_t)vfs->szOsFile);
    sqlite3_filename name = sqlite3_create_filename(s->path, "", "", 0, NULL);
    int code = SQLITE_NOMEM;

    if (name)
        code = vfs->xOpen(vfs, name, file,
                          SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB, NULL);
    if (code == SQLITE_OK)
        code = file->pMethods->xRead(file, header, 100, 0);
    if (file->pMethods)
        file->pMethods->xClose(file);
    sqlite3_free_filename(name);
    free(file);
    return code;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static enum rc db_check_header(struct db *s, struct err *err)
{
    unsigned char header[100] = {0};
    int code = db_read_header(s, header);

    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ)
        return db_failed(s, code, "read", err);
    if (memcmp(header, "SQLite format 3", 16) ||
        be32(header + 68) != FORMAT_APP)
        return err_set(err, RC_INVALID,
                       "%s is not a session file of Margay: name another path "
                       "(it was not touched)",
                       s->path);
    if (be32(header + 60) > FORMAT_KNOWN)
        return err_set(err, RC_INVALID,
                       "%s has format %u, written by a newer Margay; this one "
                       "knows formats up to %d (it was not touched)",
                       s->path, (unsigned)be32(header + 60), FORMAT_KNOWN);
    return RC_OK;
}

/* What cannot be read now may be some other time; and a file without its first
 * page is being made by another process: who opens it waits for that. */
enum rc db_examine(const char *path, struct err *err)
{
    static const unsigned char none[100];
    unsigned char header[100] = {0};
    struct db s = {.path = path};
    struct stat st;
    bool there = stat(path, &st) == 0;

    if (there ? S_ISDIR(st.st_mode) : errno == ENOTDIR)
        return err_set(err, RC_ILLEGAL,
                       "SQLiteStore: path=\"%.200s\" is a folder, or lies "
                       "below a file: name a file in a folder",
                       path);
    if (!there || !S_ISREG(st.st_mode) || !st.st_size)
        return RC_OK;
    db_read_header(&s, header);
    if (!memcmp(header, none, sizeof none) ||
        db_check_header(&s, err) != RC_INVALID)
        return RC_OK;
    return RC_INVALID;
}

#define QUOTED(x) QUOTED_(x)
#define QUOTED_(x) #x

/* In the file itself, before it has a write-ahead log: so the header says
 * whose file it is from the first moment on. */
static int db_create(sqlite3 *db)
{
    return sqlite3_exec(
        db,
        "BEGIN EXCLUSIVE;"
        "PRAGMA application_id = " QUOTED(
            FORMAT_APP) ";"
                        "PRAGMA user_version = " QUOTED(
                            FORMAT_KNOWN) ";"
                                          "CREATE TABLE sessions ("
                                          " app TEXT NOT NULL, id BLOB NOT "
                                          "NULL, version INTEGER NOT NULL,"
                                          " expiry INTEGER NOT NULL, bytes "
                                          "BLOB NOT NULL,"
                                          " PRIMARY KEY (app, id)) WITHOUT "
                                          "ROWID;"
                                          "CREATE INDEX sessions_expiry ON "
                                          "sessions (app, expiry);"
                                          "COMMIT",
        NULL, NULL, NULL);
}

static int db_note_wal(void *user, sqlite3 *db, const char *name, int pages)
{
    struct db *s = user;

    (void)db;
    (void)name;
    if (pages < s->wal_pages)
        s->wal_next = s->wal_step; /* it began again at its start */
    s->wal_pages = pages;
    return SQLITE_OK;
}

static int db_set_up(struct db *s)
{
    sqlite3_stmt *mode = NULL;
    bool is_wal;
    int code =
        sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &mode, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(mode);
    is_wal = code == SQLITE_ROW &&
             strcmp((const char *)sqlite3_column_text(mode, 0), "wal") == 0;
    sqlite3_finalize(mode);
    if (!is_wal)
        return code == SQLITE_ROW ? SQLITE_CANTOPEN : code;
    code = sqlite3_exec(s->db,
                        s->is_full ? "PRAGMA synchronous = FULL"
                                   : "PRAGMA synchronous = NORMAL",
                        NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(s->db, "PRAGMA journal_size_limit = " WAL_KEPT,
                            NULL, NULL, NULL);
    sqlite3_wal_hook(s->db, db_note_wal, s);
    for (int i = 0; i < ST_COUNT && code == SQLITE_OK; i++)
        code = sqlite3_prepare_v3(s->db, statement_sql[i], -1,
                                  SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL);
    s->wal_pages = 0;
    s->wal_next = s->wal_step = WAL_PAGES;
    return code;
}

static void writer_close(struct db *s, bool checkpoint)
{
    for (int i = 0; i < ST_COUNT; i++) {
        sqlite3_finalize(s->st[i]);
        s->st[i] = NULL;
    }
    if (s->db)
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoint,
                          NULL);
    sqlite3_close(s->db);
    s->db = NULL;
}

void db_close(struct db *s, bool is_tidy)
{
    readers_close(s);
    writer_close(s, is_tidy);
}

enum rc db_open(struct db *s, bool is_new, struct err *err)
{
    enum rc rc = is_new ? RC_OK : db_check_header(s, err);
    int code, moved = 0, chunk = FILE_CHUNK;

    if (rc != RC_OK)
        return rc;
    code = db_connect(s, SQLITE_OPEN_READWRITE, &s->db);
    /* What a full disk must not keep from the file: room for the log. */
    if (code == SQLITE_OK)
        code = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_CHUNK_SIZE,
                                    &chunk);
    if (code == SQLITE_OK && is_new)
        code = db_create(s->db);
    if (code == SQLITE_OK)
        code = db_set_up(s);
    /* A first read makes the files that belong to it, if need be. */
    if (code == SQLITE_OK)
        code = st_run(s->st[ST_begin]);
    if (code == SQLITE_OK)
        code = st_run(s->st[ST_rollback]);
    if (code == SQLITE_OK)
        code =
            sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (code == SQLITE_OK && !moved) {
        atomic_store(&s->broken, false);
        return RC_OK;
    }
    writer_close(s, false);
    return moved ? err_set(err, RC_UNAVAILABLE,
                           "%s went away while it was opened", s->path)
                 : db_failed(s, code, "open", err);
}

/* --- transactions --------------------------------------------------------- */

enum rc db_begin(struct db *s, struct err *err)
{
    int code = st_run(s->st[ST_begin]);

    return code == SQLITE_OK ? RC_OK : db_failed(s, code, "write", err);
}

void db_rollback(struct db *s)
{
    if (!sqlite3_get_autocommit(s->db) &&
        st_run(s->st[ST_rollback]) != SQLITE_OK)
        atomic_store(&s->broken, true);
}

/* Without room, and without the lock, the end of the transaction is not in
 * the log. Any other error leaves that open. */
enum rc db_commit(struct db *s, struct err *err)
{
    int code = st_run(s->st[ST_commit]);

    if (code == SQLITE_OK) {
        atomic_store(&s->full, false);
        return RC_OK;
    }
    db_rollback(s);
    db_failed(s, code, "write", err);
    return code == SQLITE_FULL || (code & 0xff) == SQLITE_BUSY ? RC_UNAVAILABLE
                                                               : RC_UNCERTAIN;
}

static int put_by(struct db *s, sqlite3_stmt *st, const struct store_call *call,
                  uint64_t version)
{
    bind_key(s, st, call);
    sqlite3_bind_int64(st, 3, (int64_t)version);
    sqlite3_bind_int64(st, 4, call->expiry);
    sqlite3_bind_blob64(st, 5, call->len ? call->bytes : "", call->len,
                        SQLITE_STATIC);
    if (call->version)
        sqlite3_bind_int64(st, 6, (int64_t)call->version);
    return st_run(st);
}

/* Most puts leave the expiry as it is, and so need not touch its index. */
enum rc db_put(struct db *s, struct store_call *call, uint64_t version,
               struct err *err)
{
    enum rc rc = RC_OK;
    int code =
        call->version ? put_by(s, s->st[ST_again], call, version) : SQLITE_OK;

    if (code == SQLITE_OK && !(call->version && sqlite3_changes(s->db)))
        code = put_by(s, s->st[call->version ? ST_update : ST_insert], call,
                      version);
    if (code == SQLITE_OK && sqlite3_changes(s->db)) {
        call->new_version = version;
        return RC_OK;
    }
    if (code == SQLITE_OK)
        code = st_find(s, s->st[ST_find], call, &rc);
    if (code != SQLITE_OK)
        return db_failed(s, code, "write", err);
    return rc == RC_OK ? RC_CONFLICT : rc;
}

/* --- expiry --------------------------------------------------------------- */

enum rc db_list(struct db *s, struct store_page *page)
{
    sqlite3_stmt *st = s->st[ST_list];
    int code, end;

    sqlite3_bind_text(st, 1, s->app, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 2, page->cursor.at, page->cursor.begun ? 16 : 0,
                      SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, page->limit);
    while ((code = sqlite3_step(st)) == SQLITE_ROW)
        if (sqlite3_column_bytes(st, 0) == 16)
            page_add(page, sqlite3_column_blob(st, 0));
    end = sqlite3_reset(st);
    page_end(page);
    return code == SQLITE_DONE ? RC_OK : db_failed(s, end, "read", &page->err);
}

bool db_any_due(struct db *s, int64_t wall)
{
    sqlite3_stmt *st = s->st[ST_due];
    int code;

    sqlite3_bind_text(st, 1, s->app, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, wall);
    code = sqlite3_step(st);
    sqlite3_reset(st);
    return code == SQLITE_ROW;
}

static void rows_add(struct db_row **list, sqlite3_stmt *st)
{
    size_t len = (size_t)sqlite3_column_bytes(st, 1);
    struct db_row *row;

    if (sqlite3_column_bytes(st, 0) != sizeof row->id)
        return; /* none that we wrote */
    row = mem_alloc(sizeof *row + len);
    memcpy(row->id, sqlite3_column_blob(st, 0), sizeof row->id);
    row->len = len;
    if (len)
        memcpy(row->bytes, sqlite3_column_blob(st, 1), len);
    row->next = *list;
    *list = row;
}

enum rc db_remove_due(struct db *s, int64_t wall, unsigned limit,
                      struct db_row **out, struct err *err)
{
    sqlite3_stmt *st = s->st[ST_expire];
    int code;

    *out = NULL;
    sqlite3_bind_text(st, 1, s->app, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, wall);
    sqlite3_bind_int64(st, 3, limit);
    while (sqlite3_step(st) == SQLITE_ROW)
        rows_add(out, st);
    code = sqlite3_reset(st);
    if (code == SQLITE_OK)
        return RC_OK;
    db_rows_free(out);
    return db_failed(s, code, "write", err);
}

void db_rows_free(struct db_row **rows)
{
    struct db_row *row = *rows, *next;

    *rows = NULL;
    for (; row; row = next) {
        next = row->next;
        free(row);
    }
}

/* --- the log -------------------------------------------------------------- */

/* What the log has is brought into the file, so that the next write begins at
 * its start: its room is used again, and not given to whoever fills the disk.
 * From then on that is done before the log has grown as far. */
static void db_reuse(struct db *s)
{
    int pages = 0;
    int code = sqlite3_wal_checkpoint_v2(
        s->db, "main", SQLITE_CHECKPOINT_RESTART, &pages, NULL);

    if (code != SQLITE_OK)
        return; /* it needs room in the file, too: tried again */
    atomic_store(&s->full, false);
    if (pages > 1 && pages / 2 < s->wal_step)
        s->wal_step = pages / 2;
    s->wal_pages = 0;
    s->wal_next = s->wal_step;
}

/* A step that was shortened grows back, slowly. */
static void db_calm(struct db *s)
{
    s->calm = (s->calm + 1) % WAL_CALM;
    if (s->calm == 0 && s->wal_step < WAL_PAGES)
        s->wal_step++;
}

bool db_is_full(const struct db *s)
{
    return s->full;
}

void db_tidy(struct db *s)
{
    if (atomic_load(&s->full)) {
        db_reuse(s);
        return;
    }
    if (s->wal_pages < s->wal_next)
        return;
    db_calm(s);
    sqlite3_wal_checkpoint_v2(s->db, "main",
                              s->wal_pages < WAL_PAGES_HARD
                                  ? SQLITE_CHECKPOINT_PASSIVE
                                  : SQLITE_CHECKPOINT_TRUNCATE,
                              NULL, NULL);
    s->wal_next = s->wal_pages + s->wal_step;
}

enum rc db_save(struct db *s, struct err *err)
{
    int pages = 0, done = 0;
    int code = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_FULL,
                                         &pages, &done);

    if (code == SQLITE_OK && pages == done)
        return RC_OK;
    return db_failed(s, code == SQLITE_OK ? SQLITE_BUSY : code, "save", err);
}

/* --- the whole ------------------------------------------------------------ */

struct db *db_new(const char *path, const char *app, bool is_full)
{
    struct db *s = mem_zero(sizeof *s);

    s->path = path;
    s->app = app;
    s->is_full = is_full;
    pthread_mutex_init(&s->pool_lock, NULL);
    pthread_cond_init(&s->pool_back, NULL);
    return s;
}

void db_free(struct db **db)
{
    struct db *s = *db;

    *db = NULL;
    pthread_cond_destroy(&s->pool_back);
    pthread_mutex_destroy(&s->pool_lock);
    free(s);
}

bool db_is_open(const struct db *s)
{
    return s->db;
}

bool db_is_broken(const struct db *s)
{
    return s->broken;
}
