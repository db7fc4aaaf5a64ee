/* SPDX-License-Identifier: Apache-2.0
 *
 * e_export.c: `margay sessions export` and `import`: a copy of one store brings
 * every session back in a store of another kind, and takes nothing from what
 * has happened since.
 * Timeout: 120 s */
#include "config.h"

#include "tests/memcached_server.h"
#include "tests/redis_server.h"
#include "tests/sessions_command.h"
#include "tests/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REDIS "className=\"RedisStore\" url=\"${store.url}\""
#define FILES "className=\"FileStore\" directory=\"${store.path}.d\""
#define USERS 5

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

/* An instance over files, in this folder. */
static struct fleet *in_files(char folder[400])
{
    struct fleet *f = patient("file.xml");

    if (!f)
        return NULL;
    snprintf(folder, 400, "%s/rows", f->dir);
    fleet_define(f, "store.path", folder);
    return f;
}

/* Two are logged in over files; where the row of kim is. */
static struct fleet *two_in_files(struct browser *kim, struct browser *lee,
                                  char row[700])
{
    char folder[400], id[128];
    struct fleet *f = in_files(folder);

    if (!f)
        return NULL;
    CU_ASSERT_FATAL(fleet_start(f, 1));
    log_in(lee, &f->servers[0], "lee", 1);
    log_in(kim, &f->servers[0], "kim", 1);
    CHECK_INT(browser_get(kim, &f->servers[0], "/login/me"), 200);
    browser_line(kim, "session", id);
    snprintf(row, 700, "%s/login/%.2s/%s.session", folder, id, id);
    return f;
}

/* The same, and no instance runs any more. */
static struct fleet *two_left_in_files(char row[700])
{
    struct browser kim, lee;
    struct fleet *f = two_in_files(&kim, &lee, row);

    if (!f)
        return NULL;
    browser_close(&kim);
    browser_close(&lee);
    CHECK_INT(server_stop(&f->servers[0]), 0);
    return f;
}

/* The row that says how a session ended is kept for a minute; the lists of
 * users for long. */
static void who_logged_out_long_ago_does_not_come_back(void)
{
    struct browser kim, lee;
    char row[700], empty[400];
    struct fleet *f = two_in_files(&kim, &lee, row);

    if (!f)
        return;
    export_to(f, path_of("copy"));
    CHECK_INT(browser_post(&kim, &f->servers[0], "/login/logout", ""), 200);
    CHECK_INT(server_stop(&f->servers[0]), 0);
    CHECK_INT(unlink(row), 0); /* as after a minute */
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 2 skipped (1 as new in the store, "
                   "1 ended there)"));
    /* one that has no list of hers takes her */
    snprintf(empty, sizeof empty, "%s/empty", f->dir);
    CHECK_INT(mkdir(empty, 0700), 0);
    fleet_define(f, "store.path", empty);
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 2 written, 0 merged, 0 skipped"));
    browser_close(&kim);
    browser_close(&lee);
}

#define PREVIOUS                                                               \
    "<Manager className=\"PersistentManager\" role=\"previous\">"              \
    "<Store className=\"SQLiteStore\" path=\"${previous.path}\"/></Manager>"

/* Nobody's list tells of it, but what a rolling change has left. */
static void who_ended_in_a_rolling_change_does_not_come_back(void)
{
    struct browser guest;
    char folder[400], row[700], id[128];
    struct fleet *f = in_files(folder);

    if (!f)
        return;
    fleet_define(f, "previous.path", fleet_database(f, row));
    CU_ASSERT_FATAL(fleet_edit(f, "</Manager>", "</Manager>" PREVIOUS));
    CU_ASSERT_FATAL(fleet_start(f, 1));
    browser_open(&guest);
    CHECK_INT(browser_get(&guest, &f->servers[0], "/login/new"), 200);
    struct server *s = change_store(f, PREVIOUS, "");
    export_to(f, path_of("copy"));
    CU_ASSERT(says("1 sessions of"));
    char *text = strstr(content_of(path_of("copy")), "{\"id\":\"");
    CU_ASSERT_FATAL(text != NULL);
    snprintf(id, sizeof id, "%.32s", text + 7);
    CHECK_INT(browser_post(&guest, s, "/login/logout", ""), 200);
    CHECK_INT(server_stop(s), 0);
    snprintf(row, sizeof row, "%s/login/%.2s/%s.session", folder, id, id);
    CHECK_INT(unlink(row), 0); /* as after a minute */
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 1 skipped (0 as new in the store, "
                   "1 ended there)"));
    browser_close(&guest);
}

/* The others are in the copy. */
static void one_is_left_out(const struct fleet *f, const char *row,
                            const char *why)
{
    char id[33];

    CHECK_INT(sessions(f, "export", "--context /login"), 1);
    CU_ASSERT(says(why));
    CU_ASSERT(says("; all others are in the copy"));
    CU_ASSERT(says("\"user\":\"lee\""));
    CU_ASSERT(says("{\"end\":true,\"sessions\":1}"));
    snprintf(id, sizeof id, "%s", strrchr(row, '/') + 1);
    CU_ASSERT_PTR_NULL(strstr(sessions_said(), id));
}

static void a_row_that_cannot_be_read_is_left_out(void)
{
    char row[700];
    struct fleet *f = two_left_in_files(row);

    if (!f)
        return;
    CHECK_INT(unlink(row), 0);
    CHECK_INT(mkdir(row, 0700), 0);
    one_is_left_out(f, row, "1 rows could not be read");
}

/* ---- rows of a newer release ---- */

/* The sum of docs/stored-form.md. */
static uint64_t sum_of(const uint8_t *file, size_t len)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        for (size_t k = i; k < i + 8; k++)
            word = word << 8 | (k < len ? file[k] : 0);
        if (i == 56) /* its own */
            continue;
        sum = (sum ^ word) * UINT64_C(0x100000001b3);
        sum ^= sum >> 29;
    }
    return sum;
}

/* One more at that byte; anew: and a sum that fits. */
static void count_up(const char *row, size_t at, bool anew)
{
    static uint8_t file[4096];
    FILE *f = fopen(row, "r+be");

    CU_ASSERT_FATAL(f != NULL);
    size_t len = fread(file, 1, sizeof file, f);
    CU_ASSERT_FATAL(len > at && len < sizeof file);
    file[at]++;
    uint64_t sum = sum_of(file, len);
    for (int i = 0; anew && i < 8; i++)
        file[56 + i] = (uint8_t)(sum >> (56 - 8 * i));
    rewind(f);
    CHECK_INT(fwrite(file, 1, len, f), len);
    CHECK_INT(fclose(f), 0);
}

/* The last byte of the head's format; and where the format of a record stands,
 * behind [access, a bin of more than 255 bytes or fewer. */
static const size_t file_format = 15;

static size_t record_format(const char *row)
{
    uint8_t head[80] = {0};
    FILE *f = fopen(row, "rbe");

    CU_ASSERT_FATAL(f != NULL);
    CU_ASSERT(fread(head, 1, sizeof head, f) == sizeof head);
    fclose(f);
    CU_ASSERT_FATAL(head[64] == 0x92 && (head[74] & ~1) == 0xc4);
    return 64 + 10 + 2 + (head[74] & 1u) + 1;
}

static void what_a_newer_release_wrote_is_left_out(void)
{
    char row[700];
    struct fleet *f = two_left_in_files(row);

    if (!f)
        return;
    count_up(row, record_format(row), true);
    one_is_left_out(f, row,
                    "1 rows were written by a newer release: export "
                    "with that one");
    CU_ASSERT(says("was written by a newer release: a record of format"));
    count_up(row, file_format, false);
    one_is_left_out(f, row, "1 rows were written by a newer release");
    CU_ASSERT(says("was written by a newer release: a newer version of"));
}

/* What root writes there its instances cannot read. */
static void root_writes_nothing_into_the_files_of_others(void)
{
    struct browser kim;
    char folder[400], name[500], away[500];
    struct fleet *f = geteuid() == 0 ? in_files(folder) : NULL;

    if (!f)
        return;
    CU_ASSERT_FATAL(fleet_start(f, 1));
    log_in(&kim, &f->servers[0], "kim", 1);
    CHECK_INT(server_stop(&f->servers[0]), 0);
    export_to(f, path_of("copy"));
    CHECK_INT(chown(folder, 65534, (gid_t)-1), 0);
    CHECK_INT(sessions(f, "import", path_of("copy")), 1);
    CU_ASSERT(says("belongs to user 65534"));
    snprintf(name, sizeof name, "%s/login/.turn", folder);
    CHECK_INT(unlink(name), 0);
    export_to(f, path_of("copy"));
    CHECK_INT(access(name, F_OK), -1); /* nor does an export */
    snprintf(name, sizeof name, "%s/probe", folder);
    snprintf(away, sizeof away, "%s/away", folder);
    CHECK_INT(rename(name, away), 0);
    CHECK_INT(sessions(f, "export", "--context /probe"), 1);
    CU_ASSERT(says("cannot open"));
    CHECK_INT(access(name, F_OK), -1);
    CHECK_INT(chown(folder, 0, (gid_t)-1), 0);
    CHECK_INT(sessions(f, "import", path_of("copy")), 0);
    CU_ASSERT(says(" 1 skipped (1 as new in the store"));
    browser_close(&kim);
}

/* Where root's instances run as another user, they could not use it. */
static void root_makes_no_store(void)
{
    static const char *const kinds[] = {"file.xml", "sqlite.xml"};
    struct fleet *f = geteuid() == 0 ? running("sqlite.xml") : NULL;
    char nowhere[400];

    if (!f)
        return;
    export_to(f, path_of("copy"));
    CHECK_INT(server_stop(&f->servers[0]), 0);
    CHECK_INT(chown(fleet_database(f, nowhere), 65534, (gid_t)-1), 0);
    export_to(f, path_of("copy"));
    snprintf(nowhere, sizeof nowhere, "%s/sessions.db.lock", f->dir);
    CHECK_INT(unlink(nowhere), 0);
    CHECK_INT(sessions(f, "export", "--context /login"), 1);
    CU_ASSERT(says("is not there, and is not to be made by this user"));
    CHECK_INT(access(nowhere, F_OK), -1);
    snprintf(nowhere, sizeof nowhere, "%s/nowhere/rows", f->dir);
    fleet_define(f, "store.path", nowhere);
    *strrchr(nowhere, '/') = '\0';
    for (int i = 0; i < 2; i++) {
        snprintf(f->conf, sizeof f->conf, "%s", kinds[i]);
        CHECK_INT(sessions(f, "import", path_of("copy")), 1);
        CU_ASSERT(says("is not there, and what root makes is of no use"));
        CHECK_INT(access(nowhere, F_OK), -1);
        CHECK_INT(mkdir(nowhere, 0700), 0);
        CHECK_INT(chown(nowhere, 65534, (gid_t)-1), 0);
        CHECK_INT(sessions(f, "import", path_of("copy")), 1);
        CU_ASSERT(says("is not there, and"));
        CHECK_INT(rmdir(nowhere), 0); /* it is empty */
    }
}

static bool is_expired(void *user)
{
    const struct fleet *f = user;
    return sessions(f, "import", path_of("short")) == 0 &&
           strstr(sessions_said(), " 1 expired") != NULL;
}

static void what_has_idled_out_is_left_out(void)
{
    struct fleet *f = patient("sqlite.xml");
    struct browser b;
    char fresh[300];

    if (!f)
        return;
    fleet_define(f, "maxInactive", "1");
    CU_ASSERT_FATAL(fleet_start(f, 1));
    /* once more where the machine was so slow that it is over by now */
    for (int i = 0; i < 20 && !strstr(sessions_said(), "1 sessions of"); i++) {
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
                 CASE(who_ended_in_a_rolling_change_does_not_come_back),
                 CASE(a_row_that_cannot_be_read_is_left_out),
                 CASE(what_a_newer_release_wrote_is_left_out),
                 CASE(root_writes_nothing_into_the_files_of_others),
                 CASE(root_makes_no_store),
                 CASE(what_has_idled_out_is_left_out),
                 CASE(memcached_cannot_list_and_takes))
