/* SPDX-License-Identifier: Apache-2.0
 *
 * The file store among people who move, delete, damage and fill, and among
 * other processes. Called with --child it is one of those. */
#include "config.h"

#include "managers/stores/file.h"
#include "tests/ask.h"
#include "tests/child.h"
#include "tests/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the row of ask_id(1) is. */
#define CELL_1 "/shop/2A"
#define ID_1 CELL_1 "/2AF894FE72F36E3C0100000000000000"
#define ROW_1 ID_1 ".session"

static const char aside[] = ID_1 ".0123456789ABCDEF.tmp";

static const struct file_options *options(void)
{
    static struct file_options o;

    o.directory = shelf_path("");
    return &o;
}

static void open_shop(struct shop *shop)
{
    shop_open(shop, &store_file, options(), NULL);
}

static bool is_refusing(void *shop)
{
    return shop_get(shop, 1) == RC_UNAVAILABLE;
}

static bool is_serving(void *shop)
{
    return shop_get(shop, 1) != RC_UNAVAILABLE;
}

/* --- child processes ------------------------------------------------------ */

/* Has a lock, and keeps it. */
static int child_lock(const char *what)
{
    int fd = open(shelf_path(what), O_RDONLY);

    puts(fd >= 0 && flock(fd, LOCK_EX) == 0 ? "locked" : "not locked");
    child_wait();
    return 0;
}

#define ROWS 8
#define ROW_BYTES 20000

/* The n-th content of a row: all of it follows from n. */
static size_t content(uint64_t n, char bytes[ROW_BYTES])
{
    size_t len = 8 + (size_t)(n * 2654435761u % (ROW_BYTES - 8));

    memcpy(bytes, &n, 8);
    memset(bytes + 8, (int)(n % 251), len - 8);
    return len;
}

/* Writes rows over and over and says what was acknowledged. */
static int child_write(void)
{
    static char bytes[ROW_BYTES];
    uint64_t versions[ROWS];
    struct shop shop;
    struct ask ask;

    open_shop(&shop);
    for (uint64_t row = 0; row < ROWS; row++) {
        if (ask_get(&shop, &ask, row, 0) == RC_UNAVAILABLE)
            return 1;
        versions[row] = ask.call.new_version;
        ask_clear(&ask);
    }
    for (uint64_t n = 1;; n++) {
        size_t len = content(n, bytes);
        if (ask_put(&shop, &ask, n % ROWS, versions[n % ROWS], bytes, len) !=
            RC_OK)
            return 1;
        versions[n % ROWS] = ask.call.new_version;
        printf("%llu\n", (unsigned long long)n);
    }
}

/* 500 increments over four rows that all share. What was refused (where the
 * disk is so busy that a lock is held for long) was not done. */
static int child_increments(void)
{
    int64_t end = instant_read().mono + 60000;
    struct shop shop;
    enum rc rc = RC_OK;

    open_shop(&shop);
    puts("open");
    for (uint64_t i = 0; i < 500 && rc == RC_OK; i++)
        do
            rc = ask_increment(&shop, i % 4);
        while (rc == RC_UNAVAILABLE && instant_read().mono < end);
    puts(rc == RC_OK ? "done" : shop.lines);
    shop_close(&shop);
    return 0;
}

static int full_disk(void)
{
    static char zeros[256 * 1024], bytes[1024];
    struct shop shop;
    struct ask ask;
    uint64_t n = 0;
    enum rc rc;
    int fd = open(shelf_path(".filler"), O_WRONLY | O_CREAT, 0600);

    MUST(write(fd, zeros, sizeof zeros) == sizeof zeros);
    close(fd);
    open_shop(&shop);
    while ((rc = ask_put(&shop, &ask, n, 0, bytes, sizeof bytes)) == RC_OK)
        n++;
    MUST(rc == RC_UNAVAILABLE && n > 10);
    MUST(shop_get(&shop, 0) == RC_OK);
    for (uint64_t i = 1000; i < 1010; i++)
        MUST(ask_put(&shop, &ask, i, 0, bytes, sizeof bytes) == RC_UNAVAILABLE);
    MUST(shop_logs(&shop, "make room") == 1);
    MUST(shop_logged(&shop, "WARN") == 1);
    unlink(shelf_path(".filler"));
    MUST(shop_put(&shop, 5000, 0) == RC_OK);
    MUST(shop_logs(&shop, "can be written again") == 1);
    for (uint64_t i = 0; i < n; i++)
        MUST(shop_get(&shop, i) == RC_OK);
    shop_close(&shop);
    puts("done");
    return 0;
}

static int read_only(void)
{
    char dir[512];
    struct shop shop;

    snprintf(dir, sizeof dir, "%s", shelf_path(""));
    *strrchr(dir, '/') = '\0';
    open_shop(&shop);
    MUST(shop_put(&shop, 1, 0) == RC_OK);
    shop_close(&shop);
    MUST(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    open_shop(&shop);
    MUST(shop_put(&shop, 2, 0) == RC_UNAVAILABLE);
    MUST(shop_get(&shop, 1) == RC_OK);
    MUST(shop_get(&shop, 2) == RC_ABSENT);
    MUST(shop_logs(&shop, "so that it can be written") == 1);
    MUST(mount(NULL, dir, NULL, MS_REMOUNT, NULL) == 0);
    MUST(shop_put(&shop, 2, 0) == RC_OK);
    shop_close(&shop);
    puts("done");
    return 0;
}

static int child_cell(void)
{
    return child_lock(CELL_1);
}

static int child_aside(void)
{
    return child_lock(aside);
}

static const struct child_mode modes[] = {
    {"lock", child_cell, false},   {"aside", child_aside, false},
    {"write", child_write, false}, {"increments", child_increments, false},
    {"full", full_disk, true},     {"read-only", read_only, true},
    {NULL, NULL, false},
};

static unsigned files_in(const char *folder)
{
    DIR *d = opendir(shelf_path(folder));
    unsigned count = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        count += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return count;
}

/* --- where a row is ------------------------------------------------------- */

static unsigned mode_of(const char *end)
{
    struct stat st;

    return lstat(shelf_path(end), &st) ? 0 : st.st_mode & 07777;
}

static void nobody_else_can_read_it(void)
{
    mode_t old = umask(0);
    struct shop shop;

    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    umask(old);
    CHECK_INT(mode_of(""), 0700);
    CHECK_INT(mode_of("/shop"), 0700);
    CHECK_INT(mode_of(CELL_1), 0700);
    CHECK_INT(mode_of(ROW_1), 0600);
    shop_close(&shop);
    chmod(shelf_path("/shop"), 0755);
    open_shop(&shop);
    CHECK_INT(shop_logged(&shop, "chmod 700"), 1);
    shop_close(&shop);
}

static void an_application_has_a_folder(void)
{
    static const struct {
        const char *app, *folder;
    } cases[] = {
        {"/", "/ROOT"},       {"/ROOT", "/%52OOT"},     {"/a/b", "/a#b"},
        {"/a#b", "/a%23b"},   {"/..", "/%2E."},         {"/a/../b", "/a#..#b"},
        {"/%2E.", "/%252E."}, {"/\xc3\xbc", "/%C3%BC"},
    };
    struct shop shop[8];
    char long_app[400] = "/";
    struct err err;

    for (int i = 0; i < 8; i++) {
        shop_open(&shop[i], &store_file, options(), cases[i].app);
        CHECK_INT(shop_put(&shop[i], 1, 0), RC_OK);
        CU_ASSERT(shelf_has(cases[i].folder));
    }
    for (int i = 0; i < 8; i++)
        shop_close(&shop[i]);
    memset(long_app + 1, 'x', sizeof long_app - 2);
    CHECK_INT(shop_try(&shop[0], &store_file, options(), long_app, &err),
              RC_INVALID);
}

static void its_folders_are_not_told(void)
{
    struct shop shop;
    char text[256];

    open_shop(&shop);
    CHECK_STR(store_describe(shop.store, text, sizeof text),
              "files in folder rows.db");
    CHECK_INT(shop_logged(&shop, shelf_path("/shop")), 1);
    shop_close(&shop);
}

/* --- people --------------------------------------------------------------- */

static void moved_away_and_back(void)
{
    struct shop shop;
    struct ask ask;

    open_shop(&shop);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "row", 3), RC_OK);
    CHECK_INT(rename(shelf_path(""), shelf_path(".away")), 0);
    /* Noticed by the very next write, and by the next read that finds none. */
    CHECK_INT(shop_put(&shop, 1, ask.call.new_version), RC_UNAVAILABLE);
    CHECK_INT(shop_get(&shop, 77), RC_UNAVAILABLE);
    CU_ASSERT(ask_until(is_refusing, &shop));
    CHECK_INT(shop_logs(&shop, "move it back"), 1);
    CHECK_INT(shop_logged(&shop, "WARN"), 1);
    CU_ASSERT_FALSE(shelf_has(""));
    CHECK_INT(rename(shelf_path(".away"), shelf_path("")), 0);
    CU_ASSERT(ask_until(is_serving, &shop));
    CHECK_INT(shop_put(&shop, 1, ask.call.new_version), RC_OK);
    CHECK_INT(shop_get(&shop, 2), RC_ABSENT);
    shop_close(&shop);
}

static void another_in_its_place(void)
{
    struct shop shop;

    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(rename(shelf_path("/shop"), shelf_path("/away")), 0);
    CHECK_INT(mkdir(shelf_path("/shop"), 0700), 0);
    CHECK_INT(shop_get(&shop, 2), RC_UNAVAILABLE);
    CHECK_INT(shop_put(&shop, 2, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, "another put there"), 1);
    CHECK_INT(rmdir(shelf_path("/shop")), 0);
    CHECK_INT(rename(shelf_path("/away"), shelf_path("/shop")), 0);
    CU_ASSERT(ask_until(is_serving, &shop));
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    shop_close(&shop);
}

static void deleted_until_it_is_restarted(void)
{
    struct shop shop, fresh;

    open_shop(&shop);
    CHECK_INT(unlink(shelf_path("/shop/.turn")), 0);
    CHECK_INT(rmdir(shelf_path("/shop")), 0);
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, "restart every instance"), 1);
    CU_ASSERT_FALSE(shelf_has("/shop"));
    open_shop(&fresh);
    CHECK_INT(shop_put(&fresh, 1, 0), RC_OK);
    CU_ASSERT(ask_until(is_refusing, &shop));
    shop_close(&shop);
    open_shop(&shop);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    shop_close(&shop);
    shop_close(&fresh);
}

static void a_file_where_the_folder_should_be(void)
{
    struct err err = {""};
    struct shop shop;

    close(open(shelf_path(""), O_WRONLY | O_CREAT, 0600));
    CHECK_INT(shop_try(&shop, &store_file, options(), NULL, &err), RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is a file, or lies in one"));
    CHECK_INT(unlink(shelf_path("")), 0);
    CHECK_INT(mkdir(shelf_path(""), 0700), 0);
    close(open(shelf_path("/shop"), O_WRONLY | O_CREAT, 0600));
    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, "a folder is wanted"), 1);
    CHECK_INT(unlink(shelf_path("/shop")), 0);
    CU_ASSERT(ask_until(is_serving, &shop));
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    shop_close(&shop);
}

static void a_cell_that_is_gone_is_made_anew(void)
{
    struct shop shop;

    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(unlink(shelf_path(ROW_1)), 0);
    CHECK_INT(rmdir(shelf_path(CELL_1)), 0);
    for (int i = 0; i < 5; i++) { /* its rows may be somewhere else */
        CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
        CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
        CHECK_INT(shop_get(&shop, 2), RC_ABSENT);
    }
    CHECK_INT(shop_logs(&shop, "was moved away"), 1);
    CHECK_INT(mkdir(shelf_path(CELL_1), 0700), 0);
    CHECK_INT(shop_get(&shop, 1), RC_ABSENT);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    shop_close(&shop);
}

/* One that this process only read in, as well. */
static void a_cell_that_is_away_is_waited_for(void)
{
    struct shop shop, other;
    struct ask ask;

    open_shop(&shop);
    open_shop(&other);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "row", 3), RC_OK);
    uint64_t version = ask.call.new_version;
    CHECK_INT(shop_get(&other, 1), RC_OK);
    CHECK_INT(rename(shelf_path(CELL_1), shelf_path("/shop/away")), 0);
    CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_get(&other, 1), RC_UNAVAILABLE);
    CHECK_INT(ask_put(&shop, &ask, 1, version, "new", 3), RC_UNAVAILABLE);
    CHECK_INT(rename(shelf_path("/shop/away"), shelf_path(CELL_1)), 0);
    CHECK_INT(shop_get(&other, 1), RC_OK);
    CHECK_INT(ask_put(&shop, &ask, 1, version, "new", 3), RC_OK);
    /* a link to it is no cell */
    CHECK_INT(rename(shelf_path(CELL_1), shelf_path("/shop/away")), 0);
    CHECK_INT(symlink("away", shelf_path(CELL_1)), 0);
    CHECK_INT(shop_get(&other, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    shop_close(&other);
    shop_close(&shop);
}

static void a_full_disk(void)
{
    child_case("full");
}

static void a_disk_that_is_read_only(void)
{
    child_case("read-only");
}

static void a_link_is_not_followed(void)
{
    struct shop shop;
    FILE *f = fopen(shelf_path(".secret"), "w");

    fputs("untouched", f);
    fclose(f);
    open_shop(&shop);
    mkdir(shelf_path(CELL_1), 0700);
    CHECK_INT(symlink(shelf_path(".secret"), shelf_path(ROW_1)), 0);
    CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, "no plain file"), 1);
    CHECK_INT(unlink(shelf_path(ROW_1)), 0);
    CHECK_INT(mkdir(shelf_path(ROW_1), 0700), 0);
    CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
    CHECK_INT(rmdir(shelf_path(ROW_1)), 0);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    shop_close(&shop);
}

/* --- damage --------------------------------------------------------------- */

static void spoil(long at, int how)
{
    FILE *f = fopen(shelf_path(ROW_1), "r+b");

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ how, f);
    fclose(f);
}

/* It is shown as no bytes under a version by which it can be replaced. */
static void check_damaged(struct shop *shop)
{
    struct ask ask;
    uint64_t version;

    CHECK_INT(ask_get(shop, &ask, 1, 0), RC_OK);
    CHECK_INT(ask.call.found_len, 0);
    version = ask.call.new_version;
    ask_clear(&ask);
    CHECK_INT(ask_get(shop, &ask, 1, version), RC_OK);
    CU_ASSERT(ask.call.unchanged);
    ask_clear(&ask);
    CHECK_INT(ask_put(shop, &ask, 1, 0, "new", 3), RC_CONFLICT);
    CHECK_INT(ask.call.new_version, version);
    CHECK_INT(ask.call.found_len, 0);
    ask_clear(&ask);
    CHECK_INT(ask_put(shop, &ask, 1, version, "another row", 11), RC_OK);
    CHECK_INT(ask_get(shop, &ask, 1, 0), RC_OK);
    CHECK_INT(ask.call.found_len, 11);
    ask_clear(&ask);
}

static void every_damaged_byte_is_noticed(void)
{
    struct shop shop;
    struct ask ask;

    open_shop(&shop);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "another row", 11), RC_OK);
    for (long at = 0; at < FILE_HEAD + 11; at++) {
        bool newer = at >= 8 && at < 16; /* another number of the format */
        spoil(at, 1);
        if (newer && at < 15)
            CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
        if (newer)
            spoil(at, 1);
        else
            check_damaged(&shop);
    }
    CHECK_INT(truncate(shelf_path(ROW_1), FILE_HEAD + 10), 0);
    check_damaged(&shop);
    CHECK_INT(truncate(shelf_path(ROW_1), FILE_HEAD + 12), 0);
    check_damaged(&shop);
    CHECK_INT(truncate(shelf_path(ROW_1), 20), 0);
    check_damaged(&shop);
    CHECK_INT(truncate(shelf_path(ROW_1), 0), 0);
    check_damaged(&shop);
    shop_close(&shop);
}

static void a_newer_version_is_left_alone(void)
{
    struct shop shop;
    struct ask ask;

    open_shop(&shop);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "row", 3), RC_OK);
    spoil(15, 3); /* format 2 */
    CHECK_INT(shop_get(&shop, 1), RC_UNAVAILABLE);
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    CU_ASSERT(shop_logs(&shop, "newer version of Margay") >= 1);
    spoil(15, 3);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    shop_close(&shop);
}

/* --- sweeping ------------------------------------------------------------- */

static void count_removed(void *user, const uint8_t id[16], const void *bytes,
                          size_t len)
{
    (void)id, (void)bytes, (void)len;
    ++*(atomic_uint *)user;
}

/* Asks for a sweep until the leftover is gone. */
static bool is_swept(void *user)
{
    struct shop *shop = user;

    store_expire(shop->store, instant_read(), 100, NULL, NULL);
    return !shelf_has(aside);
}

static bool has_its_time(void *user)
{
    struct shop *shop = user;
    struct stat st;

    store_expire(shop->store, instant_read(), 100, NULL, NULL);
    return lstat(shelf_path(ROW_1), &st) == 0 &&
           st.st_mtim.tv_sec > instant_read().wall / 1000;
}

/* A copy that lost the files' times: what stands in the row counts. */
static void the_head_says_what_is_due(void)
{
    struct timespec times[2] = {{0}, {.tv_sec = 1}};
    atomic_uint removed = 0;
    struct shop shop;

    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(utimensat(AT_FDCWD, shelf_path(ROW_1), times, 0), 0);
    store_expire(shop.store, instant_read(), 100, count_removed, &removed);
    CU_ASSERT(ask_until(has_its_time, &shop));
    CHECK_INT(removed, 0);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    shop_close(&shop);
}

struct sweeps {
    struct shop shop;
    atomic_uint removed;
    unsigned want;
};

static bool all_swept(void *user)
{
    struct sweeps *s = user;

    store_expire(s->shop.store, (struct instant){.wall = 2000}, 100,
                 count_removed, &s->removed);
    return s->removed >= s->want;
}

static void leftovers_of_crashes_go(void)
{
    struct sweeps s = {.want = 1};
    struct child child;
    struct ask ask;

    open_shop(&s.shop);
    CHECK_INT(shop_put(&s.shop, 1, 0), RC_OK);
    close(open(shelf_path(aside), O_WRONLY | O_CREAT, 0600));
    close(open(shelf_path(CELL_1 "/notes"), O_WRONLY | O_CREAT, 0600));
    /* Somebody is at it. */
    child = child_start("aside");
    child_expect(&child, "locked");
    CHECK_INT(ask_put_until(&s.shop, &ask, 257, 0, "x", 1, 1000), RC_OK);
    CU_ASSERT(ask_until(all_swept, &s)); /* of that cell, too */
    CU_ASSERT(shelf_has(aside));
    child_end(&child, SIGKILL);
    CU_ASSERT(ask_until(is_swept, &s.shop));
    CU_ASSERT(shelf_has(CELL_1 "/notes"));
    CHECK_INT(shop_get(&s.shop, 1), RC_OK);
    shop_close(&s.shop);
}

static void many_go_bit_by_bit(void)
{
    struct sweeps s = {.want = 1500};
    struct ask ask;

    open_shop(&s.shop);
    for (uint64_t i = 0; i < 3000; i++)
        CHECK_INT(
            ask_put_until(&s.shop, &ask, i, 0, "x", 1, i % 2 ? 1000 : 9000),
            RC_OK);
    CU_ASSERT(ask_until(all_swept, &s));
    CHECK_INT(shop_get(&s.shop, 0), RC_OK);
    CHECK_INT(s.removed, 1500);
    for (uint64_t i = 0; i < 3000; i++)
        CHECK_INT(shop_get(&s.shop, i), i % 2 ? RC_ABSENT : RC_OK);
    shop_close(&s.shop);
}

/* --- among processes ------------------------------------------------------ */

static void a_stopped_neighbour_is_not_waited_for(void)
{
    struct child child;
    struct shop shop;
    int64_t start;

    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    child = child_start("lock");
    child_expect(&child, "locked");
    kill(child.pid, SIGSTOP);
    start = instant_read().mono;
    CHECK_INT(shop_put(&shop, 257, 0), RC_UNAVAILABLE); /* the same cell */
    CU_ASSERT(instant_read().mono - start < 2500);
    /* Once: then nobody waits. 20 waits would take 15 s. */
    start = instant_read().mono;
    for (uint64_t i = 0; i < 20; i++)
        CHECK_INT(shop_put(&shop, 257 + i * 256, 0), RC_UNAVAILABLE);
    CU_ASSERT(instant_read().mono - start < 5000);
    CHECK_INT(shop_logs(&shop, "too long"), 1);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    CHECK_INT(shop_put(&shop, 2, 0), RC_OK);
    child_end(&child, SIGKILL);
    CHECK_INT(shop_put(&shop, 257, 0), RC_OK);
    shop_close(&shop);
}

/* Who was late writes nothing, and so needs no lock. */
static void a_conflict_waits_for_nobody(void)
{
    struct child child;
    struct shop shop;
    struct ask ask;

    open_shop(&shop);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    child = child_start("lock");
    child_expect(&child, "locked");
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "late", 4), RC_CONFLICT);
    CHECK_INT(ask.call.found_len, 3);
    ask_clear(&ask);
    CHECK_INT(shop_put(&shop, 257, 77), RC_ABSENT);
    CHECK_INT(shop_put(&shop, 257, 0), RC_UNAVAILABLE);
    CHECK_INT(files_in(CELL_1), 1); /* what was written aside is gone */
    child_end(&child, SIGKILL);
    shop_close(&shop);
}

struct waiting {
    struct shop *shop;
    uint64_t version;
    enum rc rc;
};

static void *waiting_main(void *arg)
{
    struct waiting *w = arg;

    w->rc = shop_put(w->shop, 1, w->version);
    return NULL;
}

static bool is_aside(void *user)
{
    (void)user;
    return files_in(CELL_1) == 2;
}

/* The row changes while a put that found the right version waits. */
static void what_was_right_is_looked_at_again(void)
{
    struct waiting w;
    struct child child;
    struct shop shop;
    struct ask ask;
    pthread_t thread;

    open_shop(&shop);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "row", 3), RC_OK);
    w = (struct waiting){.shop = &shop, .version = ask.call.new_version};
    child = child_start("lock");
    child_expect(&child, "locked");
    pthread_create(&thread, NULL, waiting_main, &w);
    CU_ASSERT(ask_until(is_aside, NULL));
    spoil(39, 1); /* the last byte of its version */
    child_end(&child, SIGKILL);
    pthread_join(thread, NULL);
    CHECK_INT(w.rc, RC_CONFLICT);
    CHECK_INT(files_in(CELL_1), 1);
    shop_close(&shop);
}

static void check_row(struct shop *shop, uint64_t row, uint64_t acked)
{
    static char bytes[ROW_BYTES];
    struct ask ask;
    uint64_t n = 0;
    enum rc rc = ask_get(shop, &ask, row, 0);

    CU_ASSERT(rc == RC_OK || (rc == RC_ABSENT && !acked));
    if (rc == RC_OK) {
        CU_ASSERT_FATAL(ask.call.found_len >= 8);
        memcpy(&n, ask.call.found, 8);
        CHECK_INT(ask.call.found_len, content(n, bytes));
        CU_ASSERT(memcmp(ask.call.found, bytes, ask.call.found_len) == 0);
        CU_ASSERT(n == acked || n == acked + ROWS);
    }
    ask_clear(&ask);
}

static void killed_at_any_point(void)
{
    enum { ROUNDS = 60 };
    unsigned seed = 1, kills = 0;
    struct shop shop;

    open_shop(&shop);
    for (int round = 0; round < ROUNDS; round++) {
        struct child child = child_start("write");
        uint64_t acked[ROWS] = {0};
        unsigned long long n, count = 0;
        seed = seed * 1103515245 + 12345;
        unsigned long long last = 8 + seed / 65536 % 40;
        struct timespec pause = {.tv_nsec = seed / 65536 % 150 * 1000};
        while (fscanf(child.out, "%llu\n", &n) == 1) {
            acked[n % ROWS] = n;
            if (++count == last) {
                nanosleep(&pause, NULL); /* somewhere in the next put */
                kill(child.pid, SIGKILL);
            }
        }
        kills += child_end(&child, SIGKILL) == -1;
        for (uint64_t row = 0; row < ROWS; row++)
            check_row(&shop, row, acked[row]);
    }
    CHECK_INT(kills, ROUNDS);
    shop_close(&shop);
}

static void eight_processes_lose_nothing(void)
{
    enum { PROCESSES = 8 };
    struct child child[PROCESSES];
    int64_t start = instant_read().mono;
    struct shop shop;

    for (int i = 0; i < PROCESSES; i++)
        child[i] = child_start("increments");
    for (int i = 0; i < PROCESSES; i++) {
        child_expect(&child[i], "open");
        child_expect(&child[i], "done");
        CHECK_INT(child_end(&child[i], 0), 0);
    }
    printf("8 processes, 4000 increments on 4 rows: %lld ms\n",
           (long long)(instant_read().mono - start));
    open_shop(&shop);
    for (uint64_t row = 0; row < 4; row++)
        CHECK_INT(ask_number(&shop, row), PROCESSES * 125);
    shop_close(&shop);
}

int main(int argc, char **argv)
{
    /* clang-format off */
    static const struct unit_case cases[] = {
        CASE(nobody_else_can_read_it), CASE(an_application_has_a_folder),
        CASE(its_folders_are_not_told), CASE(moved_away_and_back),
        CASE(another_in_its_place), CASE(deleted_until_it_is_restarted),
        CASE(a_file_where_the_folder_should_be),
        CASE(a_cell_that_is_gone_is_made_anew),
        CASE(a_cell_that_is_away_is_waited_for), CASE(a_full_disk),
        CASE(a_disk_that_is_read_only), CASE(a_link_is_not_followed),
        CASE(every_damaged_byte_is_noticed),
        CASE(a_newer_version_is_left_alone), CASE(leftovers_of_crashes_go),
        CASE(the_head_says_what_is_due), CASE(many_go_bit_by_bit),
        CASE(a_stopped_neighbour_is_not_waited_for),
        CASE(a_conflict_waits_for_nobody),
        CASE(what_was_right_is_looked_at_again), CASE(killed_at_any_point),
        CASE(eight_processes_lose_nothing),
    };
    /* clang-format on */
    if (argc == 4 && strcmp(argv[1], "--child") == 0)
        return child_main(modes, argv[2], argv[3]);
    return unit_run("file", shelf_new, NULL, cases,
                    sizeof cases / sizeof *cases, argc, argv);
}
