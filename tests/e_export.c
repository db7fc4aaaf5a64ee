/* SPDX-License-Identifier: Apache-2.0
 *
 * e_export.c: `margay sessions export` and `import`: a copy of one store brings
 * every session back in a store of another kind, and takes nothing from what
 * has happened since.
 * Timeout: 120 s */
#include "config.h"

#include "session/instant.h"
#include "tests/client.h"
#include "tests/memcached_server.h"
#include "tests/redis_server.h"
#include "tests/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SQLITE "className=\"SQLiteStore\" path=\"${store.path}\""
#define REDIS "className=\"RedisStore\" url=\"${store.url}\""
#define FILES "className=\"FileStore\" directory=\"${store.path}.d\""
#define USERS 5

static char said[65536];

/* Its requests wait, however slow the store's disk may be. */
static struct fleet *patient(const char *conf)
{
    struct fleet *f = fleet_new(conf);
    if (f)
        fleet_define(f, "waitTimeout", "20");
    return f;
}

static struct fleet *running(const char *conf)
{
    struct fleet *f = patient(conf);
    if (f)
        CU_ASSERT_FATAL(fleet_start(f, 1));
    return f;
}

/* A file of this case. */
static const char *path_of(const char *name)
{
    static char paths[4][320];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", unit_tmpdir(), name);
    return path;
}

/* `margay sessions VERB ... MORE` on the fleet's store; its exit status. */
static int sessions(const struct fleet *f, const char *verb, const char *more)
{
    char command[8192];
    int len =
        snprintf(command, sizeof command,
                 "timeout 30 %s/bin/margay sessions %s -c ", stage_dir(), verb);
    len += snprintf(command + len, sizeof command - (size_t)len,
                    strchr(f->conf, '/') ? "%s%s" : "%s/etc/margay/%s",
                    strchr(f->conf, '/') ? "" : stage_dir(), f->conf);
    for (unsigned i = 0; i < f->defines; i++)
        len += snprintf(command + len, sizeof command - (size_t)len, " -D '%s'",
                        f->define[i]);
    snprintf(command + len, sizeof command - (size_t)len, " %s 2>&1", more);
    FILE *p = popen(command, "r");
    CU_ASSERT_FATAL(p != NULL);
    said[fread(said, 1, sizeof said - 1, p)] = '\0';
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool says(const char *text)
{
    if (strstr(said, text))
        return true;
    printf("\"%s\" is not in: %s\n", text, said);
    return false;
}

static void export_to(const struct fleet *f, const char *file)
{
    char more[400];
    snprintf(more, sizeof more, "--context /login -o %s", file);
    int status = sessions(f, "export", more);
    if (status != 0)
        printf("%s", said);
    CHECK_INT_FATAL(status, 0);
}

static char *content_of(const char *file)
{
    static char text[65536];
    FILE *f = fopen(file, "re");
    CU_ASSERT_FATAL(f != NULL);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static const char *write_file(const char *name, const char *text, size_t len)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "we");
    CU_ASSERT_FATAL(f != NULL);
    CHECK_INT(fwrite(text, 1, len, f), len);
    fclose(f);
    return path;
}

static int hits_of(struct browser *b, const struct server *s)
{
    char text[128];
    if (browser_get(b, s, "/login/me") != 200)
        return -1;
    return atoi(browser_line(b, "hits", text));
}

static void log_in(struct browser *b, const struct server *s, const char *user,
                   int hits)
{
    browser_open(b);
    CHECK_INT(browser_login(b, s, user), 303);
    while (hits-- > 0)
        CHECK_INT(browser_get(b, s, "/login/hit"), 200);
}

static bool is_past(void *user)
{
    return instant_read().wall > *(const int64_t *)user;
}

/* Which of two logins is the older one can be told where their milliseconds
 * differ, of a clock that ticks a few hundred times a second. */
static void wait_for_the_clock(void)
{
    int64_t now = instant_read().wall;
    CU_ASSERT_FATAL(eventually(20000, is_past, &now));
}

/* The fleet's one instance goes on with another store. */
static struct server *change_store(struct fleet *f, const char *from,
                                   const char *to)
{
    CHECK_INT(server_stop(&f->servers[0]), 0);
    CU_ASSERT_FATAL(fleet_edit(f, from, to));
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    return &f->servers[0];
}

static void all_are_in(struct browser *users, const struct server *s)
{
    for (int i = 0; i < USERS; i++) {
        CHECK_INT(hits_of(&users[i], s), i + 1);
        CHECK_INT(browser_get(&users[i], s, "/login/get?k=b"), 200);
        CHECK_INT(users[i].body_len, 4);
        CU_ASSERT(memcmp(users[i].body, "\0\1x\n", 4) == 0);
    }
}

/* --- cases ---------------------------------------------------------------- */

static void a_copy_goes_round_through_three_kinds_of_stores(void)
{
    static const char *const names[] = {"kim", "lee", "park"};
    struct browser users[USERS], another;
    char url[320], file[400];
    struct stat st;
    struct fleet *f;

    if (!redis_is_there() || !(f = running("sqlite.xml")))
        return;
    struct server *s = &f->servers[0];
    for (int i = 0; i < USERS; i++) {
        log_in(&users[i], s, names[i % 3], i + 1);
        wait_for_the_clock();
        CHECK_INT(browser_post(&users[i], s, "/login/put", "k=b&v=%00%01x"),
                  200);
    }
    snprintf(file, sizeof file, "%s", path_of("copy"));
    export_to(f, file);
    CU_ASSERT(says("5 sessions of /login exported"));
    CHECK_INT(stat(file, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    char *text = content_of(file);
    CU_ASSERT(strstr(text, "{\"margay\":\"sessions\",\"version\":1,"
                           "\"context\":\"/login\"}\n") == text);
    CU_ASSERT(strstr(text, "\"hits\":{\"type\":\"counter\",\"value\":5}") !=
              NULL);
    CU_ASSERT(strstr(text, "{\"type\":\"bytes\",\"value\":\"AAF4\"}") != NULL);
    CU_ASSERT(strstr(text, "\n{\"end\":true,\"sessions\":5}\n") != NULL);

    fleet_define(f, "store.url", redis_address(redis_start(NULL), url));
    s = change_store(f, SQLITE, REDIS);
    CHECK_INT(hits_of(&users[0], s), -1);
    CHECK_INT(sessions(f, "import", file), 0);
    CU_ASSERT(says(" 5 written, 0 merged, 0 skipped"));
    all_are_in(users, s);

    export_to(f, file); /* over the first one */
    s = change_store(f, REDIS, FILES);
    CHECK_INT(sessions(f, "import", file), 0);
    CU_ASSERT(says(" 5 written, 0 merged, 0 skipped"));
    all_are_in(users, s);
    CHECK_INT(sessions(f, "import", file), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 5 skipped"));

    /* the lists of users came along: the oldest of three has to go */
    s = change_store(
        f, "className=\"PersistentManager\"",
        "maxSessionsPerUser=\"2\" className=\"PersistentManager\"");
    log_in(&another, s, "kim", 1);
    CHECK_INT(hits_of(&users[0], s), -1);
    CHECK_INT(hits_of(&users[3], s), 4);
    CHECK_INT(hits_of(&another, s), 1);
    browser_close(&another);
    for (int i = 0; i < USERS; i++)
        browser_close(&users[i]);
}

static void what_has_happened_since_stays(void)
{
    struct fleet *f = running("sqlite.xml");
    struct browser kim, lee;
    char old[400], newer[400], other[300], more[900];

    if (!f)
        return;
    struct server *s = &f->servers[0];
    log_in(&kim, s, "kim", 1);
    log_in(&lee, s, "lee", 1);
    snprintf(other, sizeof other, "%s/other.db", f->dir);
    snprintf(old, sizeof old, "%s", path_of("old"));
    snprintf(newer, sizeof newer, "%s", path_of("newer"));
    export_to(f, old);
    CHECK_INT(browser_post(&kim, s, "/login/logout", ""), 200);
    CHECK_INT(browser_get(&lee, s, "/login/hit"), 200);
    CHECK_INT(sessions(f, "import", old), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 2 skipped (1 as new in the store, "
                   "1 ended there)"));
    CHECK_INT(hits_of(&kim, s), -1);
    CHECK_INT(hits_of(&lee, s), 2);

    /* what the store has not yet is joined to what it has */
    export_to(f, newer);
    CU_ASSERT(says("1 sessions of /login exported"));
    snprintf(more, sizeof more, "-D store.path=%s %s", other, old);
    CHECK_INT(sessions(f, "import", more), 0);
    CU_ASSERT(says(" 2 written, 0 merged"));
    snprintf(more, sizeof more, "-D store.path=%s %s", other, newer);
    CHECK_INT(sessions(f, "import", more), 0);
    CU_ASSERT(says(" 0 written, 1 merged"));
    snprintf(more, sizeof more, "-D store.path=%s --context /login", other);
    CHECK_INT(sessions(f, "export", more), 0);
    CU_ASSERT(says("\"user\":\"lee\",\"attributes\":{\"hits\":{\"type\":"
                   "\"counter\",\"value\":2}}"));
    browser_close(&kim);
    browser_close(&lee);
}

/* The row that says how a session ended is kept for a minute; the lists of
 * users for long. */
static void who_logged_out_long_ago_does_not_come_back(void)
{
    struct fleet *f = patient("file.xml");
    struct browser kim, lee;
    char folder[400], id[128], row[700];

    if (!f)
        return;
    snprintf(folder, sizeof folder, "%s/rows", f->dir);
    fleet_define(f, "store.path", folder);
    CU_ASSERT_FATAL(fleet_start(f, 1));
    struct server *s = &f->servers[0];
    log_in(&lee, s, "lee", 1);
    log_in(&kim, s, "kim", 1);
    CHECK_INT(browser_get(&kim, s, "/login/me"), 200);
    browser_line(&kim, "session", id);
    export_to(f, path_of("copy"));
    CHECK_INT(browser_post(&kim, s, "/login/logout", ""), 200);
    CHECK_INT(server_stop(s), 0);
    snprintf(row, sizeof row, "%s/login/%.2s/%s.session", folder, id, id);
    CHECK_INT(unlink(row), 0); /* as after a minute */
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 2 skipped (1 as new in the store, "
                   "1 ended there)"));
    /* one that has no list of hers takes her */
    snprintf(folder, sizeof folder, "%s/empty", f->dir);
    fleet_define(f, "store.path", folder);
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 2 written, 0 merged, 0 skipped"));
    browser_close(&kim);
    browser_close(&lee);
}

/* The others are in the copy. */
static void a_row_that_cannot_be_read_is_left_out(void)
{
    struct fleet *f = patient("file.xml");
    struct browser kim, lee;
    char folder[400], id[128], row[700];

    if (!f)
        return;
    snprintf(folder, sizeof folder, "%s/rows", f->dir);
    fleet_define(f, "store.path", folder);
    CU_ASSERT_FATAL(fleet_start(f, 1));
    struct server *s = &f->servers[0];
    log_in(&lee, s, "lee", 1);
    log_in(&kim, s, "kim", 1);
    CHECK_INT(browser_get(&kim, s, "/login/me"), 200);
    browser_line(&kim, "session", id);
    CHECK_INT(server_stop(s), 0);
    snprintf(row, sizeof row, "%s/login/%.2s/%s.session", folder, id, id);
    CHECK_INT(unlink(row), 0);
    CHECK_INT(mkdir(row, 0700), 0);
    CHECK_INT(sessions(f, "export", "--context /login"), 1);
    CU_ASSERT(says("1 rows could not be read; all others are in the copy"));
    CU_ASSERT(says("\"user\":\"lee\""));
    CU_ASSERT(says("{\"end\":true,\"sessions\":1}"));
    CU_ASSERT_PTR_NULL(strstr(said, id));
    browser_close(&kim);
    browser_close(&lee);
}

/* What root writes there its instances cannot read. */
static void root_writes_nothing_into_the_files_of_others(void)
{
    struct fleet *f = patient("file.xml");
    struct browser kim;
    char folder[400];

    if (!f || geteuid() != 0)
        return;
    snprintf(folder, sizeof folder, "%s/rows", f->dir);
    fleet_define(f, "store.path", folder);
    CU_ASSERT_FATAL(fleet_start(f, 1));
    log_in(&kim, &f->servers[0], "kim", 1);
    CHECK_INT(server_stop(&f->servers[0]), 0);
    export_to(f, path_of("copy"));
    CHECK_INT(chown(folder, 65534, (gid_t)-1), 0);
    CHECK_INT(sessions(f, "import", path_of("copy")), 1);
    CU_ASSERT(says("belongs to user 65534"));
    CHECK_INT(chown(folder, 0, (gid_t)-1), 0);
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 1 skipped (1 as new in the store"));
    browser_close(&kim);
}

/* A copy of three sessions, and a store that has none of them. */
static struct fleet *three(char text[16384])
{
    struct fleet *f = running("sqlite.xml");
    struct browser b;
    char empty[300];

    if (!f)
        return NULL;
    for (int i = 0; i < 3; i++) {
        log_in(&b, &f->servers[0], "kim", 0);
        browser_close(&b);
    }
    export_to(f, path_of("three"));
    snprintf(text, 16384, "%s", content_of(path_of("three")));
    snprintf(empty, sizeof empty, "%s/empty.db", f->dir);
    fleet_define(f, "store.path", empty);
    return f;
}

/* Where line n (from 1) begins. */
static char *line_at(char *text, int n)
{
    while (--n > 0)
        text = strchr(text, '\n') + 1;
    return text;
}

static void a_file_that_was_cut_is_noticed(void)
{
    static char text[16384];
    struct fleet *f = three(text);

    if (!f)
        return;
    size_t len = (size_t)(line_at(text, 4) - text);
    CHECK_INT(sessions(f, "import", write_file("cut", text, len)), 1);
    CU_ASSERT(says("it has no end"));
    CU_ASSERT(says(" 2 written"));
    CHECK_INT(sessions(f, "import", write_file("cut", text, len + 50)), 1);
    CU_ASSERT(says("cut:4: not one JSON object"));
    CU_ASSERT(says("the file is cut here"));
    CU_ASSERT(says(" 0 written, 0 merged, 2 skipped"));
    /* a session is missing in the middle */
    char *third = line_at(text, 3), *fourth = line_at(text, 4);
    memmove(third, fourth, strlen(fourth) + 1);
    CHECK_INT(sessions(f, "import", write_file("cut", text, strlen(text))), 1);
    CU_ASSERT(says("cut:4: the end counts another number of sessions"));
    CHECK_INT(sessions(f, "import", write_file("cut", text, 0)), 1);
    CU_ASSERT(says("it is empty"));
    CHECK_INT(sessions(f, "import", path_of("nowhere")), 1);
    CU_ASSERT(says("cannot read"));
}

static void a_line_that_is_wrong_ends_it(void)
{
    static char text[16384];
    struct fleet *f = three(text);
    char id[33];

    if (!f)
        return;
    char *record = strstr(line_at(text, 3), "\"record\":\"") + 10;
    snprintf(id, sizeof id, "%s", line_at(text, 3) + 7);
    record[1] ^= 1;
    CHECK_INT(sessions(f, "import", write_file("bad", text, strlen(text))), 1);
    CU_ASSERT(says("bad:3: \"record\""));
    CU_ASSERT(says("What stands before it was imported"));
    CU_ASSERT(says(" 1 sessions of /login read: 1 written"));
    CU_ASSERT_PTR_NULL(strstr(said, id));
    record[1] ^= 1;
    /* another one's record */
    char *digit = line_at(text, 3) + 7;
    *digit = *digit == 'A' ? 'B' : 'A';
    CHECK_INT(sessions(f, "import", write_file("bad", text, strlen(text))), 1);
    CU_ASSERT(says("bad:3: \"record\" is not that of this \"id\""));
    CHECK_INT(sessions(f, "import", write_file("bad", "{}\n", 3)), 1);
    CU_ASSERT(says("bad:1: "));
    CHECK_INT(sessions(f, "export", "--context /login"), 0);
    CU_ASSERT(says("{\"end\":true,\"sessions\":1}"));
}

static bool is_expired(void *user)
{
    const struct fleet *f = user;
    return sessions(f, "import", path_of("short")) == 0 &&
           strstr(said, " 1 expired") != NULL;
}

static void what_has_idled_out_is_left_out(void)
{
    struct fleet *f = patient("sqlite.xml");
    struct browser b;
    char fresh[300];

    if (!f)
        return;
    said[0] = '\0';
    fleet_define(f, "maxInactive", "1");
    CU_ASSERT_FATAL(fleet_start(f, 1));
    /* once more where the machine was so slow that it is over by now */
    for (int i = 0; i < 20 && !strstr(said, "1 sessions of"); i++) {
        log_in(&b, &f->servers[0], "kim", 0);
        browser_close(&b);
        export_to(f, path_of("short"));
    }
    CU_ASSERT(says("1 sessions of /login exported"));
    CHECK_INT(server_stop(&f->servers[0]), 0);
    snprintf(fresh, sizeof fresh, "%s/fresh.db", f->dir);
    fleet_define(f, "store.path", fresh);
    CU_ASSERT(eventually(20000, is_expired, f));
    CU_ASSERT(says(" 0 written, 0 merged, 0 skipped"));
    CHECK_INT(sessions(f, "export", "--context /login"), 0);
    CU_ASSERT(says("{\"end\":true,\"sessions\":0}"));
}

/* What is said there goes to said. */
static int sessions_on_a_terminal(const struct fleet *f, const char *more)
{
    char all[400];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    CU_ASSERT_FATAL(terminal >= 0 && grantpt(terminal) == 0 &&
                    unlockpt(terminal) == 0);
    snprintf(all, sizeof all, "%s >%s", more, ptsname(terminal));
    int side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    int status = sessions(f, "export", all);
    ssize_t len = read(terminal, said, sizeof said - 1);
    said[len < 0 ? 0 : len] = '\0';
    close(side);
    close(terminal);
    return status;
}

static void who_cannot_is_told_what_can(void)
{
    struct fleet *f = patient("standard.xml");
    char more[400];

    if (!f)
        return;
    CHECK_INT(sessions(f, "export", "--context /login"), 1);
    CU_ASSERT(says("/standard.xml:"));
    CU_ASSERT(says("StandardManager of /login has no <Store>"));
    CU_ASSERT(says("role=\"previous\""));
    snprintf(more, sizeof more, "--context /login -o %s", unit_tmpdir());
    snprintf(f->conf, sizeof f->conf, "sqlite.xml");
    CHECK_INT(sessions(f, "export", more), 1);
    CU_ASSERT(says("no plain file"));
    CHECK_INT(sessions_on_a_terminal(f, "--context /login"), 1);
    CU_ASSERT(says("standard output is a terminal"));
    CHECK_INT(sessions(f, "export", ""), 1);
    CU_ASSERT(says("--context PATH is missing"));
    CHECK_INT(sessions(f, "import", ""), 2);
    CHECK_INT(sessions(f, "import", unit_tmpdir()), 1);
    CU_ASSERT(says("cannot be read: Is a directory"));
    snprintf(f->conf, sizeof f->conf, "delta.xml");
    CHECK_INT(sessions(f, "export", "--context /login"), 1);
    CU_ASSERT(says("DeltaManager of /login has no <Store>"));
}

static void memcached_cannot_list_and_takes(void)
{
    struct browser b;
    struct fleet *f;
    char url[320];

    if (!memcached_is_there() || !(f = running("sqlite.xml")))
        return;
    struct server *s = &f->servers[0];
    log_in(&b, s, "kim", 3);
    export_to(f, path_of("copy"));
    snprintf(url, sizeof url, "memcached://127.0.0.1:%d",
             memcached_start(NULL)->port);
    fleet_define(f, "store.url", url);
    s = change_store(f, SQLITE,
                     "className=\"MemcachedStore\" url=\"${store.url}\"");
    CHECK_INT(sessions(f, "export", "--context /login"), 1);
    CU_ASSERT(says("cannot list what it keeps"));
    CHECK_INT(hits_of(&b, s), -1);
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 1 written"));
    CHECK_INT(hits_of(&b, s), 3);
    browser_close(&b);
}

UNIT_MAIN_AROUND("export", NULL, fleet_end,
                 CASE(a_copy_goes_round_through_three_kinds_of_stores),
                 CASE(what_has_happened_since_stays),
                 CASE(who_logged_out_long_ago_does_not_come_back),
                 CASE(a_row_that_cannot_be_read_is_left_out),
                 CASE(root_writes_nothing_into_the_files_of_others),
                 CASE(a_file_that_was_cut_is_noticed),
                 CASE(a_line_that_is_wrong_ends_it),
                 CASE(what_has_idled_out_is_left_out),
                 CASE(who_cannot_is_told_what_can),
                 CASE(memcached_cannot_list_and_takes))
