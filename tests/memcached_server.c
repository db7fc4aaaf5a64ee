/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/memcached_server.h"

#include "session/buf.h"
#include "tests/neighbour.h"
#include "tests/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVERS_MAX 64
#define UP_MS 20000
#define BINARY "/usr/bin/memcached"

static struct {
    struct memcached_server *all[SERVERS_MAX];
    unsigned count;
    struct memcached_group *groups[8];
    unsigned groups_count;
    bool is_registered;
} started;

/* ---- asking ---- */

static bool line_ends_it(const char *line)
{
    static const char *const last[] = {
        "END",       "OK",      "STORED", "NOT_STORED",   "EXISTS",
        "NOT_FOUND", "DELETED", "ERROR",  "CLIENT_ERROR", "SERVER_ERROR",
        "VERSION",   "HD",      "EN\r",   "ME "};
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (strncmp(line, last[i], strlen(last[i])) == 0)
            return true;
    return false;
}

const char *memcached_do(struct memcached_server *m, char *out, size_t size,
                         const char *command, ...)
{
    char line[4096];
    size_t used = 0;
    va_list ap;
    int fd = neighbour_connect(m->port);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r+");
    out[0] = 0;
    if (!f)
        return out;
    va_start(ap, command);
    vfprintf(f, command, ap);
    va_end(ap);
    fputs("\r\n", f);
    fflush(f);
    while (fgets(line, sizeof line, f)) {
        size_t len = strlen(line);
        if (used + len < size) {
            memcpy(out + used, line, len + 1);
            used += len;
        }
        if (line_ends_it(line))
            break;
    }
    fclose(f);
    return out;
}

long long memcached_stat_of(struct memcached_server *m, const char *name)
{
    char said[8192], wanted[64];
    snprintf(wanted, sizeof wanted, "STAT %s ", name);
    memcached_do(m, said, sizeof said, "stats");
    const char *at = strstr(said, wanted);
    return at ? atoll(at + strlen(wanted)) : -1;
}

/* ---- one server ---- */

bool memcached_is_there(void)
{
#ifndef HAVE_MEMCACHED
    unit_skip("built without libmemcached (Debian package libmemcached-dev)");
    return false;
#endif
    if (access(BINARY, X_OK) == 0)
        return true;
    unit_skip("no %s (Debian package memcached)", BINARY);
    return false;
}

static void server_exec(const struct memcached_server *m, pid_t parent)
{
    char port[16], options[128], *argv[32], *rest = options, *word;
    int argc = 0;
    neighbour_begin(parent, "/dev/null");
    snprintf(port, sizeof port, "%d", m->port);
    snprintf(options, sizeof options, "%s", m->options);
    argv[argc++] = (char *)"memcached";
    argv[argc++] = (char *)"-l";
    argv[argc++] = (char *)"127.0.0.1";
    argv[argc++] = (char *)"-U";
    argv[argc++] = (char *)"0";
    argv[argc++] = (char *)"-t";
    argv[argc++] = (char *)"1";
    argv[argc++] = (char *)"-p";
    argv[argc++] = port;
    if (geteuid() == 0) { /* else it refuses to run */
        argv[argc++] = (char *)"-u";
        argv[argc++] = (char *)"root";
    }
    while (argc < 31 && (word = strsep(&rest, " ")))
        if (*word)
            argv[argc++] = word;
    argv[argc] = NULL;
    execv(BINARY, argv);
    _exit(127);
}

static bool server_answers(void *server)
{
    char said[64];
    return *memcached_do(server, said, sizeof said, "version");
}

static bool server_start(struct memcached_server *m)
{
    pid_t parent = getpid();
    m->pid = fork();
    if (m->pid == 0)
        server_exec(m, parent);
    return m->pid > 0 && neighbour_is_up(&m->pid, server_answers, m) &&
           memcached_stat_of(m, "pid") == m->pid; /* and not somebody else */
}

static void stop_at_exit(void)
{
    memcached_stop_all();
}

struct memcached_server *memcached_start(const char *options)
{
    struct memcached_server *m = mem_zero(sizeof *m);
    if (started.count == SERVERS_MAX)
        abort();
    if (!started.is_registered)
        atexit(stop_at_exit);
    started.is_registered = true;
    started.all[started.count++] = m;
    snprintf(m->options, sizeof m->options, "%s", options ? options : "");
    for (int i = 0; i < 10; i++) {
        m->port = neighbour_port();
        if (server_start(m))
            return m;
        memcached_kill(m);
    }
    printf("memcached %s does not start\n", m->options);
    abort();
}

void memcached_restart(struct memcached_server *m)
{
    if (m->pid > 0)
        return;
    for (int i = 0; i < 50; i++) {
        if (server_start(m))
            return;
        memcached_kill(m);
        poll(NULL, 0, 20);
    }
    abort();
}

void memcached_signal(struct memcached_server *m, int signal)
{
    if (m->pid <= 0)
        return;
    kill(m->pid, signal);
    if (signal == SIGSTOP) /* it stands still only some time after that */
        waitpid(m->pid, NULL, WUNTRACED);
}

void memcached_kill(struct memcached_server *m)
{
    neighbour_kill(&m->pid);
}

void memcached_stop_all(void)
{
    for (unsigned i = 0; i < started.count; i++) {
        memcached_kill(started.all[i]);
        free(started.all[i]);
    }
    for (unsigned i = 0; i < started.groups_count; i++)
        free(started.groups[i]);
    started.count = started.groups_count = 0;
}

/* ---- three ---- */

struct memcached_group *memcached_group_start(const char *options)
{
    struct memcached_group *g = mem_zero(sizeof *g);
    if (started.groups_count == 8)
        abort();
    started.groups[started.groups_count++] = g;
    for (int i = 0; i < 3; i++)
        g->servers[i] = memcached_start(options);
    snprintf(g->url, sizeof g->url,
             "memcached://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
             g->servers[0]->port, g->servers[1]->port, g->servers[2]->port);
    return g;
}

void memcached_group_flush(struct memcached_group *g)
{
    char said[64];
    for (int i = 0; i < 3; i++)
        memcached_do(g->servers[i], said, sizeof said, "flush_all");
}

long long memcached_group_stat(struct memcached_group *g, const char *name)
{
    long long sum = 0;
    for (int i = 0; i < 3; i++)
        if (g->servers[i]->pid)
            sum += memcached_stat_of(g->servers[i], name);
    return sum;
}
