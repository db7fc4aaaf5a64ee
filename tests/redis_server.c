/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/redis_server.h"

#include "session/buf.h"
#include "tests/neighbour.h"
#include "tests/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVERS_MAX 64
#define UP_MS 20000
/* redis-server and redis-sentinel are links to it; it goes by how it is called.
 * That package starts no server of its own. */
#define BINARY "/usr/bin/redis-check-rdb"

static struct {
    struct redis_server *all[SERVERS_MAX];
    unsigned count;
    struct redis_group *groups[8];
    unsigned groups_count;
    bool is_registered;
} started;

/* ---- asking ---- */

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool line_read(FILE *in, char *out, size_t size)
{
    if (!fgets(out, (int)size, in))
        return false;
    out[strcspn(out, "\r\n")] = 0;
    return true;
}

/* Appends what one reply says. */
static bool reply_read(FILE *in, struct buf *out)
{
    char line[1024];
    if (!line_read(in, line, sizeof line))
        return false;
    long n = strtol(line + 1, NULL, 10);
    switch (line[0]) {
    case '$':
        if (n < 0)
            return buf_add_str(out, "(nil)");
        for (long i = 0; i < n + 2; i++) {
            int c = fgetc(in);
            if (c == EOF)
                return false;
            if (i < n)
                buf_add_char(out, (char)c);
        }
        return true;
    case '*':
        for (long i = 0; i < n; i++)
            if ((i && !buf_add_char(out, ' ')) || !reply_read(in, out))
                return false;
        return true;
    default:
        return buf_add_str(out, line + 1);
    }
}

static bool words_say(int fd, FILE *in, struct buf *reply, const char *words)
{
    buf_reset(reply);
    return dprintf(fd, "%s\r\n", words) > 0 && (!in || reply_read(in, reply));
}

static void words_ask(const struct redis_server *r, struct buf *reply,
                      const char *words, bool wait)
{
    char login[80];
    int fd = neighbour_connect(r->port);
    if (fd < 0)
        return;
    FILE *in = fdopen(fd, "r");
    snprintf(login, sizeof login, "AUTH %s", r->password);
    if (!in || (r->password[0] && !words_say(fd, in, reply, login)) ||
        !words_say(fd, wait ? in : NULL, reply, words))
        buf_reset(reply);
    if (in)
        fclose(in);
}

const char *redis_do(struct redis_server *r, char *out, size_t size,
                     const char *command, ...)
{
    struct buf reply;
    char words[1024];
    va_list ap;
    va_start(ap, command);
    vsnprintf(words, sizeof words, command, ap);
    va_end(ap);
    buf_init(&reply, 1 << 20);
    words_ask(r, &reply, words, true);
    snprintf(out, size, "%s", buf_str(&reply));
    buf_release(&reply);
    return out;
}

void redis_post(struct redis_server *r, const char *command)
{
    struct buf reply;
    buf_init(&reply, 1 << 20);
    words_ask(r, &reply, command, false);
    buf_release(&reply);
}

const char *redis_address(const struct redis_server *r, char out[320])
{
    snprintf(out, 320, "redis://%s%s%s127.0.0.1:%d/0",
             r->password[0] ? ":" : "", r->password, r->password[0] ? "@" : "",
             r->port);
    return out;
}

/* ---- one server ---- */

bool redis_is_there(void)
{
    if (access(BINARY, X_OK) == 0)
        return true;
    unit_skip("no %s (Debian package redis-tools)", BINARY);
    return false;
}

static void server_exec(const struct redis_server *r, pid_t parent)
{
    char log[300];
    snprintf(log, sizeof log, "%s/log", r->dir);
    neighbour_begin(parent, log);
    if (chdir(r->dir))
        _exit(127);
    execl(BINARY, "redis-server", r->conf, r->is_sentinel ? "--sentinel" : NULL,
          NULL);
    _exit(127);
}

/* While it loads, or wants a password, it is there. */
static bool server_answers(void *server)
{
    char said[64];
    return *redis_do(server, said, sizeof said, "PING");
}

static bool server_start(struct redis_server *r)
{
    pid_t parent = getpid();
    r->pid = fork();
    if (r->pid == 0)
        server_exec(r, parent);
    return r->pid > 0 && neighbour_is_up(&r->pid, server_answers, r);
}

static void stop_at_exit(void)
{
    redis_stop_all();
}

static struct redis_server *server_new(void)
{
    struct redis_server *r = mem_zero(sizeof *r);
    if (started.count == SERVERS_MAX)
        abort();
    if (!started.is_registered)
        atexit(stop_at_exit);
    started.is_registered = true;
    started.all[started.count++] = r;
    snprintf(r->dir, sizeof r->dir, "%s/redis-XXXXXX", unit_tmpdir());
    if (!mkdtemp(r->dir))
        abort();
    snprintf(r->conf, sizeof r->conf, "%s/redis.conf", r->dir);
    return r;
}

/* A port that was free a moment ago may be somebody's by now: another one. */
static struct redis_server *server_make(const char *common,
                                        const char *settings, bool is_sentinel)
{
    struct redis_server *r = server_new();
    const char *password = settings ? strstr(settings, "requirepass ") : NULL;
    r->is_sentinel = is_sentinel;
    if (password)
        sscanf(password, "requirepass %63s", r->password);
    for (int i = 0; i < 10; i++) {
        r->port = neighbour_port();
        FILE *conf = fopen(r->conf, "w");
        if (!conf)
            abort();
        fprintf(conf, "port %d\nbind 127.0.0.1\ndir %s\n%s\n%s\n", r->port,
                r->dir, common, settings ? settings : "");
        fclose(conf);
        if (server_start(r))
            return r;
    }
    printf("redis-server does not start: see %s/log\n", r->dir);
    abort();
}

struct redis_server *redis_start(const char *settings)
{
    return server_make("save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n"
                       "repl-ping-replica-period 1",
                       settings, false);
}

void redis_restart(struct redis_server *r)
{
    if (r->pid > 0)
        return;
    for (int i = 0; i < 50; i++)
        if (server_start(r))
            return;
    abort();
}

void redis_signal(struct redis_server *r, int signal)
{
    if (r->pid > 0)
        kill(r->pid, signal);
}

void redis_kill(struct redis_server *r)
{
    neighbour_kill(&r->pid);
}

void redis_stop_all(void)
{
    for (unsigned i = 0; i < started.count; i++) {
        redis_kill(started.all[i]);
        free(started.all[i]);
    }
    for (unsigned i = 0; i < started.groups_count; i++)
        free(started.groups[i]);
    started.count = started.groups_count = 0;
}

/* ---- a group ---- */

static struct redis_server *group_find(struct redis_group *g, const char *said)
{
    for (int i = 0; i < 3; i++) {
        char address[64];
        snprintf(address, sizeof address, "127.0.0.1 %d", g->servers[i]->port);
        if (strcmp(said, address) == 0)
            return g->servers[i];
    }
    return NULL;
}

struct redis_server *redis_group_master(struct redis_group *g, bool settled)
{
    char said[512];
    struct redis_server *master = NULL;
    for (int i = 0; i < 3; i++) {
        if (!g->sentinels[i]->pid)
            continue;
        redis_do(g->sentinels[i], said, sizeof said,
                 "SENTINEL GET-MASTER-ADDR-BY-NAME shop");
        struct redis_server *named = group_find(g, said);
        if (!named || (master && master != named))
            return NULL;
        master = named;
    }
    if (!master || !settled)
        return master;
    redis_do(master, said, sizeof said, "INFO replication");
    return strstr(said, "role:master") && strstr(said, "slave1:") &&
                   !strstr(said, "state=wait_bgsave") &&
                   !strstr(said, "state=send_bulk")
               ? master
               : NULL;
}

/* All know one another, and the replicas. */
static bool group_is_settled(struct redis_group *g)
{
    char said[8192];
    if (redis_group_master(g, true) != g->servers[0])
        return false;
    for (int i = 0; i < 3; i++) {
        redis_do(g->sentinels[i], said, sizeof said, "INFO sentinel");
        if (!strstr(said, "slaves=2,sentinels=3") || !strstr(said, "status=ok"))
            return false;
    }
    return true;
}

struct redis_group *redis_group_start(int down_ms)
{
    struct redis_group *g = mem_zero(sizeof *g);
    char settings[1024], said[64];
    long long end = now_ms() + UP_MS;
    started.groups[started.groups_count++] = g;
    g->servers[0] = redis_start(NULL);
    snprintf(settings, sizeof settings, "replicaof 127.0.0.1 %d",
             g->servers[0]->port);
    g->servers[1] = redis_start(settings);
    g->servers[2] = redis_start(settings);
    snprintf(settings, sizeof settings,
             "sentinel monitor shop 127.0.0.1 %d 2\n"
             "sentinel down-after-milliseconds shop %d\n"
             "sentinel failover-timeout shop %d\n"
             "sentinel parallel-syncs shop 2",
             g->servers[0]->port, down_ms, down_ms * 4);
    for (int i = 0; i < 3; i++)
        g->sentinels[i] = server_make("", settings, true);
    while (!group_is_settled(g)) {
        if (now_ms() > end) {
            printf("the sentinels do not come to terms: %s\n",
                   redis_do(g->sentinels[0], said, sizeof said, "PING"));
            abort();
        }
        poll(NULL, 0, 10);
    }
    snprintf(g->url, sizeof g->url,
             "redis-sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/shop",
             g->sentinels[0]->port, g->sentinels[1]->port,
             g->sentinels[2]->port);
    return g;
}
