/* SPDX-License-Identifier: Apache-2.0
 *
 * e_launcher.c: how long children may take for their end, with a script in
 * place of an instance. */
#include "config.h"

#include "container/launcher.h"
#include "session/buf.h"
#include "tests/unit.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* An instance that takes a second for its end, of which the configuration says
 * so; and one that never ends. */
static const char drains[] =
    "#!/bin/sh\n"
    "case $1 in check) echo 'stop         drain 1 s, then at most 2 s'; "
    "exit;;\n"
    "esac\n"
    "trap 'sleep 1; exit 0' TERM\n"
    "echo 'margay: node1 ready on http://127.0.0.1:1/ in 1 ms' >&2\n"
    "while :; do sleep 0.05; done\n";
static const char stays[] =
    "#!/bin/sh\n"
    "trap '' TERM\n"
    "echo 'margay: node1 ready on http://127.0.0.1:1/ in 1 ms' >&2\n"
    "while :; do sleep 0.05; done\n";

#define END "\001" /* nobody says it */

static pid_t pid;
static int from = -1;
static struct buf text;

static void before(void)
{
    buf_init(&text, 1 << 20);
}

static void after(void)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    pid = 0;
    if (from >= 0)
        close(from);
    from = -1;
    buf_release(&text);
}

static const char *write_script(const char *script)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/launched", unit_tmpdir());
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(script, f);
    CHECK_INT(fclose(f), 0);
    CHECK_INT(chmod(path, 0700), 0);
    return path;
}

static void launch(const char *script, long patience_ms)
{
    struct launcher_options o = {.executable = write_script(script),
                                 .file = "none.xml",
                                 .count = 1,
                                 .first_port = 1,
                                 .patience_ms = patience_ms};
    int ends[2];

    CHECK_INT_FATAL(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit(launcher_run(&o));
    }
    close(ends[1]);
    from = ends[0];
}

/* It says that; false: not within 20 s, or it has ended without. */
static bool says(const char *what)
{
    struct pollfd on = {.fd = from, .events = POLLIN};
    char bytes[4096];
    ssize_t n = 1;

    while (!strstr(buf_str(&text), what) && n > 0) {
        n = poll(&on, 1, 20000) > 0 ? read(from, bytes, sizeof bytes) : 0;
        if (n > 0)
            buf_add(&text, bytes, (size_t)n);
    }
    bool said = strstr(buf_str(&text), what) != NULL;
    if (!said && what[0] != END[0])
        fprintf(stderr, "not said: %s\nbut: %s\n", what, buf_str(&text));
    return said;
}

static int times(const char *what)
{
    int n = 0;

    for (const char *at = buf_str(&text); (at = strstr(at, what)); at++)
        n++;
    return n;
}

static int ended(void)
{
    int status;

    says(END);
    waitpid(pid, &status, 0);
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_roll_reads_anew_how_long_an_end_takes(void)
{
    launch(drains, 300);
    CU_ASSERT_FATAL(says("1 instances are ready"));
    kill(pid, SIGHUP);
    CU_ASSERT_FATAL(says("1 instances replaced"));
    CHECK_INT(times("node1 does not end: it is killed"), 1);
    CHECK_INT(times("drain 1 s"), 0);
    kill(pid, SIGTERM);
    CHECK_INT(ended(), 0);
    CHECK_INT(times("node1 does not end: it is killed"), 1);
}

static void who_is_killed_at_the_end_has_a_line(void)
{
    launch(stays, 100);
    CU_ASSERT_FATAL(says("1 instances are ready"));
    kill(pid, SIGTERM);
    CHECK_INT(ended(), 1);
    CHECK_INT(times("node1 was ended by signal 9 when it was to end in order"),
              1);
}

UNIT_MAIN_AROUND("launcher", before, after,
                 CASE(a_roll_reads_anew_how_long_an_end_takes),
                 CASE(who_is_killed_at_the_end_has_a_line))
