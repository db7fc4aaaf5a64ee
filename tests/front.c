/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/front.h"

#include "session/buf.h"
#include "tests/client.h"
#include "tests/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UP_MS 15000
#define DOWN_MS 15000

/* ---- programs ---- */

const char *front_program(const char *kind)
{
    static const char *const programs[][3] = {
        {"haproxy", "/usr/sbin/haproxy", "haproxy"},
        {"nginx", "/usr/sbin/nginx", "nginx-light"},
        {"httpd", "/usr/sbin/apache2", "apache2-bin"},
    };

    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (strcmp(programs[i][0], kind) != 0)
            continue;
        if (access(programs[i][1], X_OK) == 0)
            return programs[i][1];
        unit_skip("no %s (Debian package %s)", programs[i][1], programs[i][2]);
    }
    return NULL;
}

static pid_t spawn(char *const arguments[], const char *output)
{
    pid_t parent = getpid(), pid = fork();
    sigset_t none;
    int fd;

    if (pid != 0)
        return pid;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Not KILL: it would leave its own children behind. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || fd < 0)
        _exit(127);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execv(arguments[0], arguments);
    _exit(127);
}

/* Its exit status, -1: a signal, or still there after ms (then killed). */
static int wait_for(pid_t pid, int ms)
{
    struct pollfd ended = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    int status = 0;

    if (ended.fd < 0 || poll(&ended, 1, ms * slowness()) != 1) {
        printf("process %d does not end within %d ms\n", (int)pid, ms);
        kill(pid, SIGKILL);
    }
    waitpid(pid, &status, 0);
    if (ended.fd >= 0)
        close(ended.fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int front_run(char *const arguments[], const char *output, int ms)
{
    pid_t pid = spawn(arguments, output);

    return pid < 0 ? -1 : wait_for(pid, ms);
}

static void print_file(const char *path)
{
    char text[4096];
    FILE *file = fopen(path, "r");
    size_t n;

    while (file && (n = fread(text, 1, sizeof text, file)) > 0)
        fwrite(text, 1, n, stdout);
    if (file)
        fclose(file);
}

/* ---- its configuration ---- */

/* All balancers bind with SO_REUSEADDR, too; nobody listens here. */
static bool hold_port(struct front *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int one = 1;

    f->hold = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(f->hold, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (f->hold < 0 || bind(f->hold, (struct sockaddr *)&a, len) ||
        getsockname(f->hold, (struct sockaddr *)&a, &len))
        return false;
    f->server.port = ntohs(a.sin_port);
    snprintf(f->server.node, sizeof f->server.node, "%s", f->kind);
    snprintf(f->server.url, sizeof f->server.url, "http://127.0.0.1:%d",
             f->server.port);
    return true;
}

/* A file for each instance, as an operator would have it. */
static void write_instance(const struct front *f, const struct server *s,
                           char path[320])
{
    FILE *file;

    snprintf(path, 320, "%s/%s.xml", f->dir, s->node);
    file = fopen(path, "w");
    if (!file)
        abort();
    fprintf(file,
            "<Server><Service name=\"M\"><Connector port=\"%d\"/>\n"
            "<Engine name=\"M\" defaultHost=\"localhost\" jvmRoute=\"%s\">\n"
            "<Host name=\"localhost\"/></Engine></Service></Server>\n",
            s->port, s->node);
    if (fclose(file))
        abort();
}

static bool print_conf(struct front *f, const char *sticky, struct fleet *fleet)
{
    char binary[PATH_MAX], listen[64], files[FLEET_MAX][320];
    char *arguments[8 + 2 * FLEET_MAX + 1];
    unsigned n = 0;

    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    snprintf(listen, sizeof listen, "127.0.0.1:%d", f->server.port);
    arguments[n++] = binary;
    arguments[n++] = (char *)"balancer";
    arguments[n++] = (char *)f->kind;
    arguments[n++] = (char *)"--sticky";
    arguments[n++] = (char *)sticky;
    arguments[n++] = (char *)"--listen";
    arguments[n++] = listen;
    for (unsigned i = 0; i < fleet->count; i++) {
        write_instance(f, &fleet->servers[i], files[i]);
        arguments[n++] = (char *)"-c";
        arguments[n++] = files[i];
    }
    arguments[n] = NULL;
    return front_run(arguments, f->conf, 10000) == 0;
}

/* ---- its life ---- */

static void start_arguments(struct front *f, char *arguments[10],
                            char option[320])
{
    unsigned n = 0;

    arguments[n++] = (char *)front_program(f->kind);
    if (strcmp(f->kind, "haproxy") == 0) {
        arguments[n++] = (char *)"-db";
        arguments[n++] = (char *)"-f";
    } else if (strcmp(f->kind, "nginx") == 0) {
        snprintf(option, 320, "daemon off; pid %s/pid;", f->dir);
        arguments[n++] = (char *)"-p";
        arguments[n++] = f->dir;
        arguments[n++] = (char *)"-e";
        arguments[n++] = (char *)"stderr";
        arguments[n++] = (char *)"-g";
        arguments[n++] = option;
        arguments[n++] = (char *)"-c";
    } else {
        arguments[n++] = (char *)"-DFOREGROUND";
        arguments[n++] = (char *)"-d";
        arguments[n++] = f->dir;
        arguments[n++] = (char *)"-f";
    }
    arguments[n++] = f->conf;
    arguments[n] = NULL;
}

static bool is_up(void *user)
{
    struct front *f = user;
    struct browser b;
    bool up;

    if (waitpid(f->pid, NULL, WNOHANG) != 0) {
        f->pid = 0;
        return true;
    }
    browser_open(&b);
    up = browser_get(&b, &f->server, "/login/hello") == 200;
    browser_close(&b);
    return up;
}

bool front_start(struct front *f, const char *kind, const char *sticky,
                 struct fleet *fleet)
{
    char option[320], *arguments[12];

    memset(f, 0, sizeof *f);
    f->kind = kind;
    f->hold = -1;
    snprintf(f->dir, sizeof f->dir, "%s/front-XXXXXX", unit_tmpdir());
    if (!mkdtemp(f->dir))
        abort();
    snprintf(f->conf, sizeof f->conf, "%s/front.conf", f->dir);
    snprintf(f->log, sizeof f->log, "%s/log", f->dir);
    if (!hold_port(f) || !print_conf(f, sticky, fleet))
        return false;
    start_arguments(f, arguments, option);
    f->pid = spawn(arguments, f->log);
    if (f->pid > 0 && eventually(UP_MS, is_up, f) && f->pid > 0)
        return true;
    print_file(f->conf);
    print_file(f->log);
    return false;
}

bool front_edit(struct front *f, const char *from, const char *to)
{
    static char text[65536];
    FILE *file = fopen(f->conf, "r");
    char *at;
    bool done;

    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    at = strstr(text, from);
    file = at ? fopen(f->conf, "w") : NULL;
    if (!file)
        return false;
    fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    done = fclose(file) == 0;
    return done && kill(f->pid, SIGHUP) == 0;
}

void front_end(struct front *f)
{
    if (f->pid > 0) {
        kill(f->pid, SIGTERM);
        wait_for(f->pid, DOWN_MS);
    }
    if (f->hold >= 0)
        close(f->hold);
    f->pid = 0;
    f->hold = -1;
}
