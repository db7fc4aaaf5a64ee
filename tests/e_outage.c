/* SPDX-License-Identifier: Apache-2.0
 *
 * e_outage.c: the store failing for real, under running instances. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTICED_MS 1000

struct look {
    struct fleet *fleet;
    struct browser *browser;
    const char *path;
    int status;
};

/* Do all instances answer that status? */
static bool all_answer(void *user)
{
    struct look *look = user;
    for (unsigned i = 0; i < look->fleet->count; i++)
        if (browser_get(look->browser, fleet_server(look->fleet, i),
                        look->path) != look->status)
            return false;
    return true;
}

/* The database and what belongs to it, moved or removed together. */
static const char *const parts[] = {"", "-wal", "-shm"};

static void folder_move(const struct fleet *f, const char *from, const char *to)
{
    char old[400], new[400];
    snprintf(old, sizeof old, "%s%s", f->folder, from);
    snprintf(new, sizeof new, "%s%s", f->folder, to);
    CHECK_INT(rename(old, new), 0);
}

/* Or the folder of a file store. */
static void database_move(const struct fleet *f, const char *from,
                          const char *to)
{
    char path[320], old[400], new[400];
    if (f->folder[0]) {
        folder_move(f, from, to);
        return;
    }
    fleet_database(f, path);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(old, sizeof old, "%s%s%s", path, from, parts[i]);
        snprintf(new, sizeof new, "%s%s%s", path, to, parts[i]);
        CU_ASSERT(rename(old, new) == 0 || errno == ENOENT);
    }
}

static void database_delete(const struct fleet *f)
{
    char path[320], part[400];
    fleet_database(f, path);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(part, sizeof part, "%s%s", path, parts[i]);
        CU_ASSERT(unlink(part) == 0 || errno == ENOENT);
    }
}

/* 503 with Retry-After, and the cookie stays as it is. */
static void is_503(struct browser *b, const struct server *s, const char *path)
{
    long long begin = clock_ms();
    CHECK_INT(browser_get(b, s, path), 503);
    CU_ASSERT_PTR_NOT_NULL(browser_header(b, "Retry-After", 0));
    CU_ASSERT_PTR_NULL(browser_header(b, "Set-Cookie", 0));
    CU_ASSERT(clock_ms() - begin < 1000 + 1000 * slowness());
    CHECK_INT(server_health(s), 200);
}

static void a_moved_database_is_noticed_and_comes_back(struct fleet *f)
{
    char line[128];
    struct browser b;
    struct look look = {f, &b, "/login/me", 503};
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/hit"), 200);
    database_move(f, "", ".away");
    CU_ASSERT(eventually(NOTICED_MS, all_answer, &look));
    for (unsigned i = 0; i < 3; i++) {
        struct server *s = fleet_server(f, i);
        is_503(&b, s, "/login/me");
        is_503(&b, s, "/login/hit");
        is_503(&b, s, "/login/new");
        CU_ASSERT(server_said(s, "move it back", NOTICED_MS));
        /* One cause, one line, however many applications it has. */
        CHECK_INT(server_said_times(s, "move it back"), 1);
    }
    database_move(f, ".away", "");
    look.status = 200;
    CU_ASSERT(eventually(5000, all_answer, &look));
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        CHECK_STR(browser_line(&b, "hits", line), "3");
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/put?k=a&v=b"),
                  200);
    }
    browser_close(&b);
}

static void nobody_begins_a_new_file_beside_a_deleted_one(struct fleet *f)
{
    char path[320];
    struct browser b;
    struct stat st;
    struct look look = {f, &b, "/login/me", 503};
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    database_delete(f);
    CU_ASSERT(eventually(NOTICED_MS, all_answer, &look));

    /* One that was restarted finds that others hold the old file. */
    server_stop(fleet_server(f, 0));
    if (fleet_restart(f, 0))
        CHECK_INT(browser_get(&b, fleet_server(f, 0), "/login/new"), 503);
    CU_ASSERT(stat(fleet_database(f, path), &st) != 0);
    is_503(&b, fleet_server(f, 1), "/login/me");

    for (unsigned i = 0; i < 3; i++)
        if (server_runs(fleet_server(f, i)))
            server_stop(fleet_server(f, i));
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_FATAL(fleet_restart(f, i));
    look.path = "/login/new";
    look.status = 200;
    CU_ASSERT(eventually(5000, all_answer, &look));
    CHECK_INT(browser_login(&b, fleet_server(f, 1), "kim"), 303);
    CHECK_INT(browser_get(&b, fleet_server(f, 2), "/login/me"), 200);
    browser_close(&b);
}

/* A file where the directory should be: the open is refused. */
static void an_open_that_is_refused_is_tried_again(void)
{
    struct fleet *f = fleet_new("sqlite.xml");
    char dir[300], path[320];
    struct browser b;
    struct look look = {f, &b, "/login/new", 200};
    if (!f)
        return;
    snprintf(dir, sizeof dir, "%s/dir", f->dir);
    snprintf(path, sizeof path, "%s/sessions.db", dir);
    int fd = open(dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    fleet_define(f, "store.path", path);
    fleet_start(f, 1);
    struct server *s = fleet_server(f, 0);
    CU_ASSERT(server_said(s, "SQLiteStore: ", 5000));
    browser_open(&b);
    CHECK_INT(browser_get(&b, s, "/login/hello"), 200);
    CHECK_INT(browser_get(&b, s, "/login/new"), 503);
    CHECK_INT(unlink(dir), 0);
    CHECK_INT(mkdir(dir, 0700), 0);
    CU_ASSERT(eventually(5000, all_answer, &look));
    browser_close(&b);
}

/* ---- no room ---- */

/* Fills the file system; how much that was, -1: it cannot be. */
static long fill_up(const char *path)
{
    static const char block[4096];
    long sum = 0;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ssize_t n;
    if (fd < 0)
        return -1;
    while ((n = write(fd, block, sizeof block)) > 0)
        sum += n;
    close(fd);
    return sum;
}

static void a_full_disk_is_told_and_loses_nothing(void)
{
    struct fleet *f;
    char dir[300], path[320], filler[320], line[128];
    unsigned sent = 0, ok = 0, refused = 0, grown = 0;
    struct browser b, stranger;
    if (geteuid() != 0)
        SKIP("mounting a small tmpfs takes root");
    if (unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        SKIP("no mount namespace here: %s", strerror(errno));
    f = fleet_new("sqlite.xml");
    if (!f)
        return;
    snprintf(dir, sizeof dir, "%s/small", f->dir);
    snprintf(path, sizeof path, "%s/sessions.db", dir);
    snprintf(filler, sizeof filler, "%s/filler", dir);
    CHECK_INT_FATAL(mkdir(dir, 0700), 0);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=2m"))
        SKIP("no tmpfs here: %s", strerror(errno));
    fleet_define(f, "store.path", path);
    CU_ASSERT_FATAL(fleet_start(f, 2));
    browser_open(&b);
    CHECK_INT(browser_login(&b, fleet_server(f, 0), "kim"), 303);
    for (; sent < 20; ok++)
        CHECK_INT(browser_get(&b, fleet_server(f, sent++), "/login/hit"), 200);
    CU_ASSERT(fill_up(filler) > 0);
    /* What is there already takes some more, until the sessions have grown: a
     * hit for each new one. */
    browser_open(&stranger);
    while (grown < 2000 && refused < 5) {
        struct server *s = fleet_server(f, grown++);
        browser_close(&stranger);
        browser_open(&stranger);
        refused += browser_get(&stranger, s, "/login/new") == 503;
        int status = browser_get(&b, s, "/login/hit");
        CU_ASSERT(status == 200 || status == 503);
        sent++;
        ok += status == 200;
    }
    browser_close(&stranger);
    printf("%u hits, %u of them on a full disk\n", ok, ok - 20);
    CU_ASSERT(ok > 20);
    CHECK_INT(refused, 5);
    CU_ASSERT(server_said(fleet_server(f, 0), "full", 1000) ||
              server_said(fleet_server(f, 1), "full", 1000));
    CHECK_INT(browser_get(&b, fleet_server(f, 0), "/health"), 200);

    CHECK_INT(unlink(filler), 0);
    browser_open(&stranger);
    struct look look = {f, &stranger, "/login/new", 200};
    CU_ASSERT(eventually(5000, all_answer, &look));
    for (unsigned n = 0; n < 20; n++, sent++, ok++)
        CHECK_INT(browser_get(&b, fleet_server(f, n), "/login/hit"), 200);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_INT(browser_get(&b, fleet_server(f, i), "/login/me"), 200);
        unsigned hits = (unsigned)atoi(browser_line(&b, "hits", line));
        CU_ASSERT(hits >= ok && hits <= sent);
        CHECK_STR(browser_line(&b, "user", line), "kim");
    }
    browser_close(&stranger);
    browser_close(&b);
    fleet_end();
    umount2(dir, MNT_DETACH);
}

/* ---- many on one file ---- */

struct crowd {
    struct fleet *fleet;
    char cookies[8][128];
    unsigned want, sent, ok;
    char strange[64];
};

static bool crowd_next(void *user, struct shot *shot)
{
    struct crowd *c = user;
    if (c->sent == c->want)
        return false;
    shot->number = c->sent++;
    shot->server = fleet_server(c->fleet, shot->number);
    shot->cookie = c->cookies[shot->number / 8 % 8];
    snprintf(shot->path, sizeof shot->path, "/login/hit");
    return true;
}

static void crowd_hit(void *user, const struct shot *shot)
{
    struct crowd *c = user;
    c->ok += shot->status == 200;
    if (shot->status != 200)
        snprintf(c->strange, sizeof c->strange, "%d %.40s", shot->status,
                 shot->body);
}

static void eight_processes_never_show_busy(void)
{
    struct fleet *f = fleet_run("sqlite.xml", 8);
    struct crowd crowd = {.fleet = f, .want = 6000 / (unsigned)slowness()};
    struct battery *battery;
    struct browser b;
    char header[160], line[128];
    unsigned hits = 0;
    if (!f)
        return;
    for (unsigned n = 0; n < 8; n++) {
        browser_open(&b);
        CHECK_INT(browser_login(&b, fleet_server(f, n), "kim"), 303);
        CU_ASSERT_FATAL(browser_cookie(&b, "/login", crowd.cookies[n]));
        browser_close(&b);
    }
    battery = battery_new(64);
    long long begin = clock_ms();
    volley_run(battery, crowd_next, crowd_hit, &crowd);
    printf("%u hits in %lld ms\n", crowd.sent, clock_ms() - begin);
    battery_free(&battery);
    CHECK_INT(crowd.ok, crowd.want);
    CHECK_STR(crowd.strange, "");
    browser_open(&b);
    for (unsigned n = 0; n < 8; n++) {
        snprintf(header, sizeof header, "Cookie: %s", crowd.cookies[n]);
        CHECK_INT(
            browser_get_with(&b, fleet_server(f, n + 3), "/login/me", header),
            200);
        hits += (unsigned)atoi(browser_line(&b, "hits", line));
        CHECK_INT(server_said_times(fleet_server(f, n), "busy"), 0);
        CHECK_INT(server_said_times(fleet_server(f, n), "locked"), 0);
    }
    CHECK_INT(hits, crowd.want);
    browser_close(&b);
}

FLEET_CASE(a_moved_database_is_noticed_and_comes_back, sqlite, "sqlite.xml", 3)
FLEET_CASE(a_moved_database_is_noticed_and_comes_back, file, "file.xml", 3)
FLEET_CASE(nobody_begins_a_new_file_beside_a_deleted_one, sqlite, "sqlite.xml",
           3)
UNIT_MAIN_AROUND("outage", NULL, fleet_end,
                 CASE(a_moved_database_is_noticed_and_comes_back_on_sqlite),
                 CASE(a_moved_database_is_noticed_and_comes_back_on_file),
                 CASE(nobody_begins_a_new_file_beside_a_deleted_one_on_sqlite),
                 CASE(an_open_that_is_refused_is_tried_again),
                 CASE(eight_processes_never_show_busy),
                 CASE(a_full_disk_is_told_and_loses_nothing))
