/* SPDX-License-Identifier: Apache-2.0
 *
 * e_export_fails.c: what `margay sessions export` and `import` refuse, and what
 * an end in the middle leaves behind.
 * Timeout: 120 s */
#include "config.h"

#include "tests/redis_server.h"
#include "tests/sessions_command.h"
#include "tests/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
    CU_ASSERT(says("cut:4: the end counts 3 sessions, and 2 stand before it"));
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
    CU_ASSERT(says("take this line out, count in the last line"));
    CU_ASSERT(says(" 1 sessions of /login read: 1 written"));
    CU_ASSERT_PTR_NULL(strstr(sessions_said(), id));
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
    /* who takes it out is told what to write into the end, and that is it */
    memmove(line_at(text, 3), line_at(text, 4), strlen(line_at(text, 4)) + 1);
    CHECK_INT(sessions(f, "import", write_file("bad", text, strlen(text))), 1);
    CU_ASSERT(says("write \"sessions\":2 here"));
    *strchr(line_at(text, 4), '3') = '2';
    CHECK_INT(sessions(f, "import", write_file("bad", text, strlen(text))), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 2 skipped"));
}

static int sessions_on_a_terminal(const struct fleet *f, const char *more)
{
    char all[400];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    CU_ASSERT_FATAL(terminal >= 0 && grantpt(terminal) == 0 &&
                    unlockpt(terminal) == 0);
    snprintf(all, sizeof all, "%s >%s", more, ptsname(terminal));
    int side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    int status = sessions(f, "export", all);
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

/* Nor is it made. */
static void belongs(const struct fleet *f, const char *file)
{
    char more[600];
    bool there = access(file, F_OK) == 0;

    snprintf(more, sizeof more, "--context /login -o '%s'", file);
    CHECK_INT(sessions(f, "export", more), 1);
    CU_ASSERT(says(" belongs to "));
    CU_ASSERT(says("name a file elsewhere"));
    CU_ASSERT((access(file, F_OK) == 0) == there);
}

static void nothing_is_put_among_what_is_sqlites(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".lock"};
    struct fleet *f = running("sqlite.xml");
    struct stat before, after;
    char store[320], name[400], more[500];

    if (!f)
        return;
    struct browser b;
    log_in(&b, &f->servers[0], "kim", 0);
    fleet_database(f, store);
    CHECK_INT_FATAL(stat(store, &before), 0);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(name, sizeof name, "%s%s", store, ends[i]);
        belongs(f, name);
    }
    CU_ASSERT(stat(store, &after) == 0 && before.st_ino == after.st_ino);
    CHECK_INT(browser_get(&b, &f->servers[0], "/login/me"), 200);
    browser_close(&b);
    CHECK_INT(server_stop(&f->servers[0]), 0); /* takes -wal and -shm away */
    snprintf(name, sizeof name, "%s-wal", store);
    CHECK_INT(access(name, F_OK), -1);
    belongs(f, name);
    snprintf(more, sizeof more, "%s/there", f->dir); /* by another name */
    CHECK_INT(symlink(f->dir, more), 0);
    snprintf(name, sizeof name, "%s%s-journal", more, strrchr(store, '/'));
    belongs(f, name);
    snprintf(more, sizeof more, "--context /login -o %s.jsonl", store);
    CHECK_INT(sessions(f, "export", more), 0);
}

static void nothing_is_put_among_the_rows_of_files(void)
{
    struct fleet *f = running("sqlite.xml");
    char folder[400], name[450], more[600];

    if (!f)
        return;
    snprintf(folder, sizeof folder, "%s/rows", f->dir);
    snprintf(f->conf, sizeof f->conf, "file.xml");
    fleet_define(f, "store.path", folder);
    CHECK_INT(mkdir(folder, 0700), 0);
    snprintf(name, sizeof name, "%s/copy", folder);
    belongs(f, name);
    snprintf(name, sizeof name, "%s/login", folder);
    CHECK_INT(mkdir(name, 0700), 0);
    snprintf(name, sizeof name, "%s/../rows/login/copy", folder);
    belongs(f, name);
    snprintf(name, sizeof name, "%s/there", f->dir);
    CHECK_INT(symlink(folder, name), 0);
    snprintf(name, sizeof name, "%s/there/copy", f->dir);
    belongs(f, name);
    snprintf(more, sizeof more, "--context /login -o %s.jsonl", folder);
    CHECK_INT(sessions(f, "export", more), 0);
}

static void what_is_no_copy_is_not_replaced(void)
{
    static const char text[] = "<?xml version=\"1.0\"?>\n";
    struct fleet *f = running("sqlite.xml");
    struct browser b;
    char more[500];

    if (!f)
        return;
    log_in(&b, &f->servers[0], "kim", 0);
    snprintf(more, sizeof more, "--context /login -o %s",
             write_file("other.xml", text, sizeof text - 1));
    CHECK_INT(sessions(f, "export", more), 1);
    CU_ASSERT(says("is there and no copy of sessions"));
    CU_ASSERT_STRING_EQUAL(content_of(path_of("other.xml")), text);
    write_file("other.xml", text, 0);
    CHECK_INT(sessions(f, "export", more), 0);
    CHECK_INT(sessions(f, "export", more), 0); /* over a copy */
    CU_ASSERT_PTR_NOT_NULL(strstr(content_of(path_of("other.xml")), "kim"));
    browser_close(&b);
}

static void what_cannot_be_written_is_an_error(void)
{
    struct fleet *f = running("sqlite.xml");
    char file[400], more[450];
    struct browser b[3];

    if (!f)
        return;
    for (int i = 0; i < 3; i++) {
        log_in(&b[i], &f->servers[0], "kim", 0);
        browser_close(&b[i]);
    }
    CHECK_INT(sessions(f, "export", "--context /login >&-"), 1);
    CU_ASSERT(says("standard output is closed"));
    CHECK_INT(sessions(f, "export", "--context /login -o ''"), 2);
    CU_ASSERT(says("-o is empty"));
    snprintf(more, sizeof more, "--context /login -D store.path=%s/nowhere",
             f->dir);
    CHECK_INT(sessions(f, "export", more), 1);
    CU_ASSERT(says("/nowhere: No such file or directory"));
    /* a limit of 512 bytes */
    snprintf(file, sizeof file, "%s", path_of("large"));
    snprintf(more, sizeof more, "--context /login -o %s", file);
    CHECK_INT(sessions_after("ulimit -f 1; exec", f, "export", more), 1);
    CU_ASSERT(says("File too large"));
    CHECK_INT(access(file, F_OK), -1);
    snprintf(file, sizeof file, "%s.unfinished", path_of("large"));
    CHECK_INT(access(file, F_OK), -1);
}

/* A shell that has become `margay sessions export -o FILE`. */
static pid_t export_begin(const struct fleet *f, const char *file)
{
    char command[8192], more[450];

    snprintf(more, sizeof more, "--context /login -o %s >%s.log", file, file);
    command_line(command, f, "exec", "export", more);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    CU_ASSERT_FATAL(pid > 0);
    return pid;
}

static bool is_there(void *path)
{
    return access(path, F_OK) == 0;
}

/* Into the file that FailingStore reads. */
static void let_it_be(const struct fleet *f, const char *word)
{
    char path[400];
    FILE *control;

    snprintf(path, sizeof path, "%s/says", f->dir);
    control = fopen(path, "we");
    CU_ASSERT_FATAL(control != NULL);
    fputs(word, control);
    fclose(control);
}

/* Goes on over it. */
static void take_failing(struct fleet *f, const char *word)
{
    char text[500];

    let_it_be(f, word);
    snprintf(text, sizeof text,
             "className=\"FailingStore\" path=\"${store.path}\" "
             "control=\"%s/says\"",
             f->dir);
    CU_ASSERT_FATAL(fleet_edit(f, SQLITE, text));
}

static void an_export_that_was_ended_leaves_no_copy(void)
{
    struct fleet *f = running("sqlite.xml");
    char file[320], part[340], more[400];
    int status = 0;

    if (!f)
        return;
    take_failing(f, "down"); /* so that it waits */
    snprintf(file, sizeof file, "%s", path_of("ended"));
    snprintf(part, sizeof part, "%s.unfinished", file);
    snprintf(more, sizeof more, "--context /login -o %s", file);

    pid_t pid = export_begin(f, file);
    CU_ASSERT_FATAL(eventually(20000, is_there, part));
    CHECK_INT(sessions(f, "export", more), 1);
    CU_ASSERT(says("another export writes"));
    CHECK_INT(kill(pid, SIGTERM), 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 1);
    CHECK_INT(access(part, F_OK), -1);
    CHECK_INT(access(file, F_OK), -1);

    pid = export_begin(f, file);
    CU_ASSERT_FATAL(eventually(20000, is_there, part));
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(access(part, F_OK), 0);
    CHECK_INT(access(file, F_OK), -1);
    let_it_be(f, "ok");
    CHECK_INT(sessions(f, "export", more), 0);
    CU_ASSERT(says("which an export that was killed has left"));
    CHECK_INT(access(part, F_OK), -1);
    CHECK_INT(access(file, F_OK), 0);
}

/* Each write is done, and none is answered. */
static void what_nobody_answered_is_uncertain(void)
{
    static char text[16384];
    struct fleet *f = three(text);

    if (!f)
        return;
    take_failing(f, "applied");
    CHECK_INT(sessions(f, "import", path_of("three")), 0);
    CU_ASSERT(says(" 0 written, 0 merged, 0 skipped"));
    CU_ASSERT(says(" 3 uncertain"));
    CHECK_INT(sessions(f, "import", path_of("three")), 0);
    CU_ASSERT(says(" 3 skipped (3 as new in the store"));
}

/* It names the store, once, and does not wait for it. */
static void is_refused_at_once(const struct fleet *f, const char *verb,
                               const char *more, const char *why)
{
    long long begun = clock_ms();

    CHECK_INT(sessions(f, verb, more), 1);
    CU_ASSERT(clock_ms() - begun < 10000);
    CU_ASSERT(says(why));
    const char *named = strstr(sessions_said(), why);
    CU_ASSERT(named && !strstr(named + 1, why));
    CU_ASSERT_PTR_NULL(strstr(sessions_said(), "asked again"));
}

static void a_store_that_refuses_is_not_asked_again(void)
{
    struct fleet *f = running("sqlite.xml");
    char text[700], folder[400], row[500];

    if (!f)
        return;
    export_to(f, path_of("copy"));
    snprintf(folder, sizeof folder, "%s/rows", f->dir);
    snprintf(row, sizeof row, "%s/login", folder);
    CHECK_INT(mkdir(folder, 0700), 0);
    CHECK_INT(symlink("/", row), 0);
    snprintf(f->conf, sizeof f->conf, "file.xml");
    fleet_define(f, "store.path", folder);
    snprintf(text, sizeof text, "cannot open %s", row);
    is_refused_at_once(f, "export", "--context /login", text);
    is_refused_at_once(f, "import", path_of("copy"), text);
    if (!redis_is_there())
        return;
    snprintf(f->conf, sizeof f->conf, "redis.xml");
    snprintf(text, sizeof text, "redis://:wrong@127.0.0.1:%d",
             redis_start("requirepass right")->port);
    fleet_define(f, "store.url", text);
    snprintf(text, sizeof text, "Redis at %s: it refuses the user or password",
             strchr(text, '@') + 1);
    is_refused_at_once(f, "export", "--context /login", text);
    is_refused_at_once(f, "import", path_of("copy"), text);
}

UNIT_MAIN_AROUND("export_fails", NULL, fleet_end,
                 CASE(a_file_that_was_cut_is_noticed),
                 CASE(a_line_that_is_wrong_ends_it),
                 CASE(who_cannot_is_told_what_can),
                 CASE(nothing_is_put_among_what_is_sqlites),
                 CASE(nothing_is_put_among_the_rows_of_files),
                 CASE(what_is_no_copy_is_not_replaced),
                 CASE(what_cannot_be_written_is_an_error),
                 CASE(an_export_that_was_ended_leaves_no_copy),
                 CASE(what_nobody_answered_is_uncertain),
                 CASE(a_store_that_refuses_is_not_asked_again))
