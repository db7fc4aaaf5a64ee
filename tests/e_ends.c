/* SPDX-License-Identifier: Apache-2.0
 *
 * e_ends.c: what `margay cluster` does not wait for: a check that hangs, and
 * who only holds an output open. And what it does not lose: the last lines of a
 * balancer, a change of nginx's file, nginx itself.
 *
 * Timeout: 300 s */
#include "config.h"

#include "tests/client.h"
#include "tests/front.h"
#include "tests/neighbour.h"
#include "tests/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NGINX "/usr/sbin/nginx"

/* Two that keep their sessions by themselves. more: see fleet_launch. */
static struct fleet *launched(const char *const *more)
{
    struct fleet *f = fleet_new("standard.xml");

    if (!f)
        return NULL;
    fleet_define(f, "drain", "0");
    fleet_define(f, "stopTimeout", "1");
    CU_ASSERT_FATAL(fleet_edit(f, "StandardManager", "StandardManager"));
    CU_ASSERT_FATAL(fleet_launch(f, 2, more));
    return f;
}

static bool serves(void *user)
{
    return server_health(user) == 200;
}

/* ---- what is not waited for ---- */

static void a_check_that_hangs_touches_nothing(void)
{
    struct fleet *f = launched(NULL);
    pid_t before;

    if (!f)
        return;
    before = fleet_child(f, 0);
    CU_ASSERT_FATAL(unlink(f->conf) == 0 && mkfifo(f->conf, 0600) == 0);
    server_signal(&f->launcher, SIGHUP);
    CU_ASSERT(server_said(&f->launcher,
                          "margay check did not end; nothing was restarted",
                          30000 * slowness()));
    CHECK_INT(fleet_child(f, 0), before);
    CHECK_INT(server_health(fleet_server(f, 0)), 200);
    CHECK_INT(server_stop(&f->launcher), 0);
}

/* As a process that an application has started would. */
static void who_holds_an_output_delays_no_stop(void)
{
    struct fleet *f = launched(NULL);
    char path[64];
    int held;

    if (!f)
        return;
    snprintf(path, sizeof path, "/proc/%d/fd/2", (int)fleet_child(f, 1));
    held = open(path, O_WRONLY | O_CLOEXEC);
    CU_ASSERT_FATAL(held >= 0);
    CHECK_INT(server_stop(&f->launcher), 0);
    CU_ASSERT(server_said(&f->launcher, "node1 | ", 0));
    close(held);
}

/* ---- what is not lost ---- */

/* A balancer that has much to say when it is told to end: a pipe takes it. */
static const char talker[] =
    "#!/usr/bin/python3\n"
    "import os, re, signal, socket, sys\n"
    "def talk(*_):\n"
    "    os.write(2, b''.join(b'these words are line %d\\n' % n\n"
    "                         for n in range(2000)))\n"
    "    os._exit(0)\n"
    "signal.signal(signal.SIGTERM, talk)\n"
    "text = open(sys.argv[sys.argv.index('-f') + 1]).read()\n"
    "at = re.search(r'bind ([0-9.]+):([0-9]+)', text)\n"
    "s = socket.create_server((at[1], int(at[2])))\n"
    "while True:\n"
    "    s.accept()[0].close()\n";

static void put_talker(const char *folder)
{
    char path[320];
    FILE *file;

    snprintf(path, sizeof path, "%s/haproxy", folder);
    file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(talker, file);
    fclose(file);
    chmod(path, 0755);
}

static void what_a_balancer_says_last_is_passed_on(void)
{
    const char *path = getenv("PATH");
    char *was = strdup(path ? path : "/usr/bin:/bin");
    char with[4400], listen[32];
    struct fleet *f;

    put_talker(unit_tmpdir());
    snprintf(with, sizeof with, "%s:%.4000s", unit_tmpdir(), was);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", fleet_free_port());
    setenv("PATH", with, 1);
    f = launched(
        (const char *[]){"--balancer", "haproxy", "--listen", listen, NULL});
    setenv("PATH", was, 1);
    free(was);
    if (!f)
        return;
    CHECK_INT(server_stop(&f->launcher), 0);
    CHECK_INT(server_said_times(&f->launcher, "these words are line"), 2000);
    CU_ASSERT(
        server_said(&f->launcher, "haproxy | these words are line 1999\n", 0));
}

/* Its folder, below TMPDIR. */
static bool front_folder(char out[320])
{
    DIR *dir = opendir(getenv("TMPDIR"));
    const struct dirent *entry;
    bool found = false;

    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, "margay-front-", 13) == 0) {
            snprintf(out, 320, "%s/%s", getenv("TMPDIR"), entry->d_name);
            found = true;
        }
    if (dir)
        closedir(dir);
    return found;
}

static struct fleet *behind_nginx(struct server *door)
{
    char listen[32];
    struct fleet *f;

    if (access(NGINX, X_OK) != 0 || !getenv("TMPDIR")) {
        unit_skip("no nginx");
        return NULL;
    }
    *door = (struct server){.port = fleet_free_port()};
    snprintf(listen, sizeof listen, "127.0.0.1:%d", door->port);
    snprintf(door->url, sizeof door->url, "http://%s", listen);
    f = launched(
        (const char *[]){"--balancer", "nginx", "--listen", listen, NULL});
    CU_ASSERT(!f || eventually(10000, serves, door));
    return f;
}

static void a_file_that_fails_is_written_later(void)
{
    struct server door;
    struct fleet *f = behind_nginx(&door);
    char folder[320] = "", aside[352];

    if (!f)
        return;
    CU_ASSERT_FATAL(front_folder(folder));
    snprintf(aside, sizeof aside, "%s/nginx.conf.new", folder);
    CU_ASSERT_FATAL(mkdir(aside, 0700) == 0); /* in its way */
    kill(fleet_child(f, 1), SIGKILL);
    CU_ASSERT(server_said(&f->launcher, "the file of nginx cannot be written",
                          10000 * slowness()));
    CHECK_INT(server_said_times(&f->launcher, "is written again"), 0);
    CU_ASSERT_FATAL(rmdir(aside) == 0);
    CU_ASSERT(server_said(&f->launcher, "the file of nginx is written again",
                          10000 * slowness()));
    CHECK_INT(server_said_times(&f->launcher, "cannot be written"), 1);
    CHECK_INT(server_stop(&f->launcher), 0);
}

/* The child of the launcher that is nginx; 0: none is. */
static pid_t master_of(const struct fleet *f)
{
    char path[64], text[256];
    int pid, found = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children",
             (int)f->launcher.pid, (int)f->launcher.pid);
    FILE *file = fopen(path, "r");
    while (file && fscanf(file, "%d", &pid) == 1) {
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        FILE *comm = fopen(path, "r");
        if (comm && fgets(text, sizeof text, comm) &&
            strcmp(text, "nginx\n") == 0)
            found = pid;
        if (comm)
            fclose(comm);
    }
    if (file)
        fclose(file);
    return found;
}

static void a_killed_master_takes_its_workers_along(void)
{
    struct server door;
    struct fleet *f = behind_nginx(&door);
    pid_t master;

    if (!f)
        return;
    master = master_of(f);
    CU_ASSERT_FATAL(master > 0);
    kill(master, SIGKILL);
    CU_ASSERT(server_said(&f->launcher, "nginx was ended by signal 9",
                          5000 * slowness()));
    CU_ASSERT(eventually(5000, serves, &door));
    /* else the next one would end, and the next */
    CU_ASSERT_FALSE(server_said(&f->launcher, "nginx ended with", 1000));
    CU_ASSERT(master_of(f) > 0 && master_of(f) != master);
    CHECK_INT(server_stop(&f->launcher), 0);
    CHECK_INT(server_health(&door), 0);
}

/* ---- what is told, and what is not waited for ---- */

static bool file_says(const char *path, const char *words)
{
    char text[16384];
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file)
        fclose(file);
    text[n] = 0;
    return strstr(text, words) != NULL;
}

static void a_door_that_is_taken_is_told(void)
{
    char binary[320], conf[352], log[320], listen[32], port[16];
    int taken, fd;
    char *argv[] = {binary,
                    (char *)"cluster",
                    (char *)"-c",
                    conf,
                    (char *)"-n",
                    (char *)"1",
                    (char *)"-p",
                    port,
                    (char *)"-D",
                    (char *)"drain=0",
                    (char *)"--balancer",
                    (char *)"haproxy",
                    (char *)"--listen",
                    listen,
                    NULL};

    if (!front_program("haproxy"))
        return;
    fd = neighbour_listen(&taken);
    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    snprintf(conf, sizeof conf, "%s/etc/margay/standard.xml", stage_dir());
    snprintf(log, sizeof log, "%s/door.log", unit_tmpdir());
    snprintf(port, sizeof port, "%d", fleet_free_port());
    snprintf(listen, sizeof listen, "127.0.0.1:%d", taken);
    CHECK_INT(front_run(argv, log, 20000), 1);
    CU_ASSERT(file_says(log, "haproxy cannot listen at"));
    close(fd);
}

/* Nobody reads what it says: a pager that stands still. */
static void who_does_not_read_halts_nobody(void)
{
    char binary[320], port[16], rest[4096];
    int ends[2], status = -1;
    pid_t pid;

    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    snprintf(port, sizeof port, "%d", fleet_free_port());
    if (access(binary, X_OK) != 0) {
        unit_skip("no %s", binary);
        return;
    }
    memset(rest, 'x', sizeof rest);
    CU_ASSERT_FATAL(pipe2(ends, O_CLOEXEC) == 0);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], rest, sizeof rest) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0); /* it waits who writes */
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execl(binary, binary, "cluster", "--manager", "standard", "-n", "1",
              "-p", port, "-D", "drain=0", (char *)NULL);
        _exit(127);
    }
    CU_ASSERT_FATAL(pid > 0);
    struct server s = {.port = atoi(port)};
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%s", port);
    CU_ASSERT(eventually(10000, serves, &s));
    kill(pid, SIGTERM);
    for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        poll(NULL, 0, 10);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (!WIFEXITED(status))
        kill(pid, SIGKILL);
    close(ends[0]);
    close(ends[1]);
}

/* A session of its own, with a terminal. Returns the terminal's other end. */
static int run_in_terminal(pid_t *pid, const char *log, const char *port,
                           bool nohup)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char binary[320], name[64];

    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    CU_ASSERT_FATAL(master >= 0 && grantpt(master) == 0 &&
                    unlockpt(master) == 0 &&
                    ptsname_r(master, name, sizeof name) == 0);
    *pid = fork();
    if (*pid != 0)
        return master;
    setsid();
    signal(SIGHUP, nohup ? SIG_IGN : SIG_DFL);
    if (open(name, O_RDWR) < 0)
        _exit(127);
    dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execl(binary, binary, "cluster", "--manager", "standard", "-n", "1", "-p",
          port, "-D", "drain=0", (char *)NULL);
    _exit(127);
}

struct asked_to_roll {
    pid_t pid;
    const char *log;
};

/* Again and again: of two that wait to be seen the second one is dropped. */
static bool rolls(void *user)
{
    struct asked_to_roll *a = user;

    kill(a->pid, SIGHUP);
    return file_says(a->log, "rolling restart: node1");
}

static int status_at_the_end(pid_t pid)
{
    int status = -1;

    for (int i = 0; i < 2000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        poll(NULL, 0, 10);
    if (status == -1)
        kill(pid, SIGKILL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_terminal_goes(bool nohup)
{
    struct asked_to_roll a;
    char log[320], port[16];

    if (!fleet_new("standard.xml")) /* skips */
        return;
    snprintf(log, sizeof log, "%s/terminal.log", unit_tmpdir());
    snprintf(port, sizeof port, "%d", fleet_free_port());
    a.log = log;
    int terminal = run_in_terminal(&a.pid, log, port, nohup);
    struct server s = {.port = atoi(port)};
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%s", port);
    CU_ASSERT(eventually(10000, serves, &s));
    close(terminal);
    if (nohup) {
        CU_ASSERT(eventually(10000, rolls, &a));
        kill(a.pid, SIGTERM);
    }
    CHECK_INT(status_at_the_end(a.pid), 0);
    CHECK_INT(file_says(log, "rolling restart"), nohup);
    unlink(log);
}

static void a_terminal_that_goes_ends_all(void)
{
    a_terminal_goes(false);
}

static void under_nohup_it_may_go(void)
{
    a_terminal_goes(true);
}

UNIT_MAIN_AROUND("ends", NULL, fleet_end,
                 CASE(a_check_that_hangs_touches_nothing),
                 CASE(who_holds_an_output_delays_no_stop),
                 CASE(what_a_balancer_says_last_is_passed_on),
                 CASE(a_file_that_fails_is_written_later),
                 CASE(a_killed_master_takes_its_workers_along),
                 CASE(a_door_that_is_taken_is_told),
                 CASE(who_does_not_read_halts_nobody),
                 CASE(a_terminal_that_goes_ends_all),
                 CASE(under_nohup_it_may_go))
