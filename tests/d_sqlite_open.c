/* SPDX-License-Identifier: Apache-2.0
 *
 * Which files the SQLite store opens, makes, and leaves alone. */
#include "config.h"

#include "managers/stores/sqlite.h"
#include "tests/ask.h"
#include "tests/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

static struct sqlite_options options(void)
{
    return (struct sqlite_options){.path = shelf_path("")};
}

static void file_write(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(text, f);
    fclose(f);
}

static bool is_serving(void *shop)
{
    return shop_get(shop, 1) != RC_UNAVAILABLE;
}

static void it_makes_directories_and_files_for_us_alone(void)
{
    struct sqlite_options o = options();
    char deep[600];
    struct shop shop;
    struct stat st;

    snprintf(deep, sizeof deep, "%s.d/a/rows.db", shelf_path(""));
    o.path = deep;
    umask(0);
    shop_open(&shop, &store_sqlite, &o, NULL);
    umask(022);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(stat(deep, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    snprintf(deep, sizeof deep, "%s.d/a/rows.db-wal", shelf_path(""));
    CHECK_INT(stat(deep, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    snprintf(deep, sizeof deep, "%s.d/a/rows.db.lock", shelf_path(""));
    CHECK_INT(stat(deep, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    snprintf(deep, sizeof deep, "%s.d", shelf_path(""));
    CHECK_INT(stat(deep, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0700);
    shop_close(&shop);
}

static void rows_outlive_the_store(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    o.synchronous = DB_SYNC_FULL;
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    shop_close(&shop);
    CU_ASSERT_FALSE(shelf_has("-wal")); /* one file, whole */
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    shop_close(&shop);
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;

    CHECK_INT(sqlite3_open(shelf_path(""), &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void refused(const char *because)
{
    struct sqlite_options o = options();
    struct err err = {""};
    struct stat was, is;
    struct shop shop;

    CHECK_INT(stat(shelf_path(""), &was), 0);
    CHECK_INT(shop_try(&shop, &store_sqlite, &o, NULL, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, because));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, shelf_path("")));
    CHECK_INT(stat(shelf_path(""), &is), 0);
    CHECK_INT(is.st_size, was.st_size);
    CHECK_INT(is.st_mtim.tv_sec, was.st_mtim.tv_sec);
    CHECK_INT(is.st_mtim.tv_nsec, was.st_mtim.tv_nsec);
    CU_ASSERT_FALSE(shelf_has("-wal"));
    CU_ASSERT_FALSE(shelf_has("-shm"));
}

static void a_text_is_refused(void)
{
    file_write(shelf_path(""), "dear diary\n");
    refused("is not a session file");
}

/* Another process makes it: SQLite gives a file its size before its head. */
static void a_file_without_its_head_is_not_judged(void)
{
    struct err err;

    file_write(shelf_path(""), "");
    CU_ASSERT_FATAL(truncate(shelf_path(""), 65536) == 0);
    CHECK_INT(db_examine(shelf_path(""), &err), RC_OK);
    file_write(shelf_path(""), "dear diary\n");
    CHECK_INT(db_examine(shelf_path(""), &err), RC_INVALID);
}

static void the_database_of_others_is_refused(void)
{
    run_sql("CREATE TABLE other (x)");
    refused("is not a session file");
}

static void a_newer_format_is_refused(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    shop_close(&shop);
    run_sql("PRAGMA journal_mode = DELETE; PRAGMA user_version = 2");
    refused("newer");
}

static void an_empty_file_is_a_beginning(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    file_write(shelf_path(""), "");
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    shop_close(&shop);
}

static void without_a_path_it_is_refused(void)
{
    struct sqlite_options o = {0};
    struct err err = {""};
    struct shop shop;

    CHECK_INT(shop_try(&shop, &store_sqlite, &o, NULL, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "path"));
}

/* An open that is refused, and then is not. */
static void in_the_way(void (*clear)(const char *), const char *because)
{
    struct sqlite_options o = options();
    struct ask ask;
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(ask_get(&shop, &ask, 1, 0), RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(ask.call.err.text, because));
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, because), 1);
    CU_ASSERT_FALSE(shop_stats(&shop).available);
    clear(shelf_path(""));
    CU_ASSERT(ask_until(is_serving, &shop));
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(shop_logs(&shop, "can be used"), 1);
    CU_ASSERT(shop_stats(&shop).available);
    shop_close(&shop);
}

static void remove_it(const char *name)
{
    CHECK_INT(remove(name), 0);
}

static void a_directory_in_the_way(void)
{
    mkdir(shelf_path(""), 0700);
    in_the_way(remove_it, "not a plain file");
}

static void a_symbolic_link_in_the_way(void)
{
    CHECK_INT(symlink(shelf_path(".elsewhere"), shelf_path("")), 0);
    in_the_way(remove_it, "not a plain file");
    CU_ASSERT_FALSE(shelf_has(".elsewhere"));
}

/* As many files are open as may be: the first read cannot open its own. */
static void a_read_that_fails_is_no_absence(void)
{
    struct sqlite_options o = options();
    struct shop shop;
    struct rlimit limit, none;
    int next;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    next = dup(0);
    CU_ASSERT_FATAL(next >= 0);
    close(next);
    none = limit;
    none.rlim_cur = (rlim_t)next;
    CHECK_INT_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_get(&shop, 2), RC_UNAVAILABLE);
    CHECK_INT_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT(ask_until(is_serving, &shop));
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    CHECK_INT(shop_get(&shop, 2), RC_ABSENT);
    shop_close(&shop);
}

/* ---- its statements, as SQLite itself reports them ---- */

static struct {
    pthread_mutex_t lock;
    unsigned count;
    char sql[8][400]; /* those that look by expiry, each once */
} due = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int hear(unsigned what, void *user, void *statement, void *more)
{
    const char *sql = sqlite3_sql(statement);
    bool is_new = sql && strstr(sql, "expiry <");

    (void)what;
    (void)user;
    (void)more;
    pthread_mutex_lock(&due.lock);
    for (unsigned i = 0; i < due.count; i++)
        is_new = is_new && strcmp(due.sql[i], sql) != 0;
    if (is_new && due.count < 8)
        snprintf(due.sql[due.count++], sizeof due.sql[0], "%s", sql);
    pthread_mutex_unlock(&due.lock);
    return 0;
}

static int listen_to(sqlite3 *db, char **text,
                     const struct sqlite3_api_routines *api)
{
    (void)text;
    (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, hear, NULL);
}

static void forget(void *user, const uint8_t id[16], const void *bytes,
                   size_t len)
{
    (void)user;
    (void)id;
    (void)bytes;
    (void)len;
}

static bool is_gone(void *shop)
{
    return shop_stats(shop).expired == 1;
}

static unsigned count_plan(sqlite3 *db, const char *sql, const char *words)
{
    char text[500];
    sqlite3_stmt *plan = NULL;
    unsigned n = 0;

    snprintf(text, sizeof text, "EXPLAIN QUERY PLAN %s", sql);
    CHECK_INT_FATAL(sqlite3_prepare_v2(db, text, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW)
        n += strstr((const char *)sqlite3_column_text(plan, 3), words) != NULL;
    sqlite3_finalize(plan);
    return n;
}

/* An expiry costs what expires: whether something is due, and what, is read
 * from the index of expiries and sorted by it. */
static void what_is_due_is_found_by_its_index(void)
{
    struct sqlite_options o = options();
    struct shop shop;
    struct ask ask;
    sqlite3 *db = NULL;

    CHECK_INT(sqlite3_auto_extension((void (*)(void))listen_to), SQLITE_OK);
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(ask_put_until(&shop, &ask, 1, 0, "row", 3, 5000), RC_OK);
    store_expire(shop.store, (struct instant){.wall = 6000}, 10, forget, NULL);
    CU_ASSERT(ask_until(is_gone, &shop));
    shop_close(&shop);
    CHECK_INT(due.count, 2);
    sqlite3_cancel_auto_extension((void (*)(void))listen_to);
    CHECK_INT(sqlite3_open(shelf_path(""), &db), SQLITE_OK);
    for (unsigned i = 0; i < due.count; i++) {
        CHECK_INT(
            count_plan(db, due.sql[i], "sessions_expiry (app=? AND expiry<?)"),
            1);
        CHECK_INT(count_plan(db, due.sql[i], "SCAN"), 0);
        CHECK_INT(count_plan(db, due.sql[i], "TEMP B-TREE"), 0);
    }
    sqlite3_close(db);
}

UNIT_MAIN_AROUND("sqlite_open", shelf_new, NULL,
                 CASE(it_makes_directories_and_files_for_us_alone),
                 CASE(rows_outlive_the_store), CASE(a_text_is_refused),
                 CASE(a_file_without_its_head_is_not_judged),
                 CASE(the_database_of_others_is_refused),
                 CASE(a_newer_format_is_refused),
                 CASE(an_empty_file_is_a_beginning),
                 CASE(without_a_path_it_is_refused),
                 CASE(a_directory_in_the_way), CASE(a_symbolic_link_in_the_way),
                 CASE(a_read_that_fails_is_no_absence),
                 CASE(what_is_due_is_found_by_its_index))
