/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/process.h"

#include "session/buf.h"
#include "tests/memcached_server.h"
#include "tests/redis_server.h"
#include "tests/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_MS 20000
#define STOP_MS 20000
#define FLEETS 4

/* CUnit's teardown has no argument, so what runs stands here. */
static struct {
    struct fleet *fleets[FLEETS];
    unsigned failures; /* records before this case */
} running;

/* ---- time ---- */

long long clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int setting_number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}

int slowness(void)
{
    int times = setting_number("MARGAY_TEST_SLOWNESS", 1);
    return times > 0 ? times : 1;
}

bool eventually(int ms, bool (*holds)(void *user), void *user)
{
    long long end = clock_ms() + (long long)ms * slowness();
    while (!holds(user)) {
        if (clock_ms() > end)
            return false;
        poll(NULL, 0, 5); /* a breath between two looks */
    }
    return true;
}

/* ---- what a server says ---- */

static void *server_listen(void *argument)
{
    struct server *s = argument;
    char bytes[4096];
    ssize_t n;
    while ((n = read(s->output, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno != EINTR)
            break;
        if (n < 0)
            continue;
        pthread_mutex_lock(&s->lock);
        s->log = mem_resize(s->log, s->log_len + (size_t)n + 1);
        memcpy(s->log + s->log_len, bytes, (size_t)n);
        s->log_len += (size_t)n;
        s->log[s->log_len] = 0;
        pthread_cond_broadcast(&s->said);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock);
    s->is_over = true;
    pthread_cond_broadcast(&s->said);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static struct timespec deadline(int ms)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += ms % 1000 * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    return end;
}

bool server_said(struct server *s, const char *text, int ms)
{
    struct timespec end = deadline(ms);
    bool said, late = false;
    pthread_mutex_lock(&s->lock);
    while (!(said = s->log && strstr(s->log, text)) && !late && !s->is_over)
        late = pthread_cond_timedwait(&s->said, &s->lock, &end) == ETIMEDOUT;
    pthread_mutex_unlock(&s->lock);
    return said;
}

unsigned server_said_times(struct server *s, const char *text)
{
    unsigned times = 0;
    pthread_mutex_lock(&s->lock);
    for (const char *at = s->log; at && (at = strstr(at, text)); times++) {
        at = strchr(at, '\n');
        if (!at)
            break;
    }
    pthread_mutex_unlock(&s->lock);
    return times;
}

/* ---- one server ---- */

/* $MARGAY_STAGE, else where make check or ./dev build put one. */
const char *stage_dir(void)
{
    static const char *const places[] = {"tests/stage", "build"};
    const char *given = getenv("MARGAY_STAGE");
    char path[PATH_MAX];
    if (given && *given)
        return given;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s/bin/margay", places[i]);
        if (access(path, X_OK) == 0)
            return places[i];
    }
    return "";
}

static void child_run(char **arguments, int output, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    dup2(output, STDERR_FILENO);
    dup2(output, STDOUT_FILENO);
    execv(arguments[0], arguments);
    _exit(127);
}

static bool server_spawn(struct server *s, char **arguments)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC))
        return false;
    s->pid = fork();
    if (s->pid == 0)
        child_run(arguments, ends[1], parent);
    close(ends[1]);
    s->output = ends[0];
    if (s->pid < 0)
        abort();
    s->pidfd = pidfd_open(s->pid, 0);
    s->is_over = false;
    if (s->pidfd < 0 || pthread_create(&s->reader, NULL, server_listen, s))
        abort();
    return true;
}

/* Reads the address from the ready line. The log may hold the line of an
 * earlier start, so the last one counts. */
static bool server_ready(struct server *s, size_t from)
{
    struct timespec end = deadline(READY_MS * slowness());
    const char *line = NULL, *at = NULL;
    bool late = false;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        line = s->log && s->log_len > from
                   ? strstr(s->log + from, " ready on http://")
                   : NULL;
        at = line && strchr(line, '\n') ? strrchr(line, ':') : NULL;
        if (at || late || s->is_over)
            break;
        late = pthread_cond_timedwait(&s->said, &s->lock, &end) == ETIMEDOUT;
    }
    int port = 0;
    if (at && sscanf(line, " ready on http://127.0.0.1:%d/", &port) != 1)
        at = NULL;
    if (at && port != s->port)
        s->port = port;
    pthread_mutex_unlock(&s->lock);
    /* clients read it while a server that came back says the same again */
    char url[sizeof s->url];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", s->port);
    if (strcmp(url, s->url) != 0)
        memcpy(s->url, url, sizeof url);
    return at != NULL;
}

static const char *fleet_conf(const struct fleet *f, char out[PATH_MAX])
{
    bool is_own = f->conf[0] == '/';
    snprintf(out, PATH_MAX, "%s%s%s", is_own ? "" : stage_dir(),
             is_own ? "" : "/etc/margay/", f->conf);
    return out;
}

static void list_members(const struct fleet *f, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "cluster.members=");

    for (unsigned i = 0; i < f->planned && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s127.0.0.1:%d", i ? "," : "",
                              f->relay_port[i] ? f->relay_port[i]
                                               : f->member_port[i]);
}

/* Ports that nobody has at this moment: a list of members is known before the
 * first of them starts. */
static void choose_member_ports(struct fleet *f)
{
    int sockets[FLEET_MAX];

    for (unsigned i = 0; i < FLEET_MAX; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 || bind(sockets[i], (struct sockaddr *)&a, len) ||
            getsockname(sockets[i], (struct sockaddr *)&a, &len))
            abort();
        f->member_port[i] = ntohs(a.sin_port);
    }
    for (unsigned i = 0; i < FLEET_MAX; i++)
        close(sockets[i]);
}

static bool server_start(struct fleet *f, struct server *s)
{
    char binary[PATH_MAX], conf[PATH_MAX], define[22][360];
    char *arguments[52];
    unsigned n = 0, d = 0;
    size_t from = s->log_len;
    const char *stage = f->stage[s - f->servers];
    snprintf(binary, sizeof binary, "%s/bin/margay",
             stage ? stage : stage_dir());
    arguments[n++] = binary;
    arguments[n++] = (char *)"run";
    arguments[n++] = (char *)"-c";
    arguments[n++] = (char *)fleet_conf(f, conf);
    snprintf(define[d++], sizeof define[0], "port=%d", s->port);
    snprintf(define[d++], sizeof define[0], "node=%s", s->node);
    for (unsigned i = 0; i < f->defines; i++)
        snprintf(define[d++], sizeof define[0], "%s", f->define[i]);
    if (f->member_port[0]) {
        snprintf(define[d++], sizeof define[0], "cluster.port=%d",
                 f->member_port[s - f->servers]);
        list_members(f, define[d++], sizeof define[0]);
    }
    if (f->relay_port[s - f->servers])
        snprintf(define[d++], sizeof define[0],
                 "cluster.advertise=127.0.0.1:%d",
                 f->relay_port[s - f->servers]);
    for (unsigned i = 0; i < d; i++) {
        arguments[n++] = (char *)"-D";
        arguments[n++] = define[i];
    }
    arguments[n] = NULL;
    return server_spawn(s, arguments) && server_ready(s, from);
}

bool server_runs(const struct server *s)
{
    return s->pid > 0;
}

void server_signal(struct server *s, int signal)
{
    if (s->pid > 0)
        kill(s->pid, signal);
}

int server_wait(struct server *s, int ms)
{
    struct pollfd ended = {.fd = s->pidfd, .events = POLLIN};
    if (s->pid <= 0)
        return -1;
    if (poll(&ended, 1, ms) != 1) {
        printf("%s does not end within %d ms\n", s->node, ms);
        kill(s->pid, SIGKILL);
    }
    waitpid(s->pid, &s->status, 0);
    pthread_join(s->reader, NULL);
    close(s->pidfd);
    close(s->output);
    s->pid = 0;
    return WIFEXITED(s->status) ? WEXITSTATUS(s->status) : -1;
}

int server_stop(struct server *s)
{
    server_signal(s, SIGTERM);
    return server_wait(s, STOP_MS);
}

void server_kill(struct server *s)
{
    server_signal(s, SIGKILL);
    server_wait(s, STOP_MS);
}

/* ---- several ---- */

void fleet_define(struct fleet *f, const char *name, const char *value)
{
    size_t len = strlen(name);
    unsigned i = 0;
    while (i < f->defines &&
           (strncmp(f->define[i], name, len) != 0 || f->define[i][len] != '='))
        i++;
    if (i == sizeof f->define / sizeof f->define[0])
        abort();
    snprintf(f->define[i], sizeof f->define[0], "%s=%s", name, value);
    f->defines += i == f->defines;
}

const char *fleet_database(const struct fleet *f, char out[320])
{
    snprintf(out, 320, "%s/sessions.db", f->dir);
    return out;
}

/* A Redis of its own, unless the case has started one. */
static void fleet_take_redis(struct fleet *f)
{
    char url[320];
    int ms = 400 * slowness();

    fleet_define(f, "store.url", redis_address(redis_start(NULL), url));
    snprintf(url, sizeof url, "%d", ms < 10000 ? ms : 10000);
    fleet_define(f, "store.timeout", url);
}

/* Three Memcached servers of its own. */
static void fleet_take_memcached(struct fleet *f)
{
    char text[32];
    int ms = 400 * slowness();

    fleet_define(f, "store.url", memcached_group_start(NULL)->url);
    snprintf(text, sizeof text, "%d", ms < 10000 ? ms : 10000);
    fleet_define(f, "store.timeout", text);
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

/* In memory where that can be had: what is renamed on a disk waits for all that
 * other tests make it write. */
static void fleet_take_folder(struct fleet *f)
{
    snprintf(f->folder, sizeof f->folder, "/dev/shm/margay-fleet-XXXXXX");
    if (mkdtemp(f->folder))
        fleet_define(f, "store.path", f->folder);
    else
        f->folder[0] = '\0';
}

struct fleet *fleet_new(const char *conf)
{
    char path[PATH_MAX];
    unsigned slot = 0;
    if ((strcmp(conf, "redis.xml") == 0 && !redis_is_there()) ||
        (strcmp(conf, "memcached.xml") == 0 && !memcached_is_there()))
        return NULL;
    while (slot < FLEETS && running.fleets[slot])
        slot++;
    if (slot == FLEETS)
        abort();
    snprintf(path, sizeof path, "%s/bin/margay", stage_dir());
    if (access(path, X_OK)) {
        unit_skip("no server at %s: run make check or set MARGAY_STAGE", path);
        return NULL;
    }
    running.failures =
        slot ? running.failures : CU_get_number_of_failure_records();
    struct fleet *f = running.fleets[slot] = mem_zero(sizeof *f);
    snprintf(f->conf, sizeof f->conf, "%s", conf);
    snprintf(f->dir, sizeof f->dir, "%s/fleet-XXXXXX", unit_tmpdir());
    if (!mkdtemp(f->dir))
        abort();
    /* A sanitizer slows the server down, not the clock. */
    snprintf(path, sizeof path, "%d", slowness());
    fleet_define(f, "waitTimeout", path);
    fleet_define(f, "login.anyone", "true");
    fleet_define(f, "store.path", fleet_database(f, path));
    if (strcmp(conf, "file.xml") == 0)
        fleet_take_folder(f);
    if (strcmp(conf, "redis.xml") == 0)
        fleet_take_redis(f);
    if (strcmp(conf, "memcached.xml") == 0)
        fleet_take_memcached(f);
    if (strcmp(conf, "delta.xml") == 0 || strcmp(conf, "backup.xml") == 0) {
        snprintf(path, sizeof path, "%d", 3 * slowness());
        fleet_define(f, "cluster.dropTime", path);
        choose_member_ports(f);
    }
    return f;
}

bool fleet_start(struct fleet *f, unsigned count)
{
    f->planned = count;
    while (f->count < count) {
        struct server *s = &f->servers[f->count++];
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->said, NULL);
        snprintf(s->node, sizeof s->node, "node%u", f->count);
        if (!server_start(f, s))
            return false;
    }
    return true;
}

/* ---- one launcher ---- */

static bool is_free(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return bound;
}

/* The first of `count` ports in a row that nobody has now, below those that the
 * system gives to clients: an instance comes back to the port that it had. */
static int ports_in_a_row(unsigned count)
{
    for (;;) {
        unsigned port, i = 0;
        if (getrandom(&port, sizeof port, 0) != (ssize_t)sizeof port)
            abort();
        port = 10000 + port % 20000;
        while (i < count && is_free((int)(port + i)))
            i++;
        if (i == count)
            return (int)port;
    }
}

int fleet_free_port(void)
{
    return ports_in_a_row(1);
}

static bool launcher_start(struct fleet *f, unsigned count,
                           const char *const *more, int port)
{
    char binary[PATH_MAX], conf[PATH_MAX], n_text[16], p_text[16];
    char define[18][360];
    char *arguments[64];
    unsigned n = 0, d = 0;

    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    snprintf(n_text, sizeof n_text, "%u", count);
    snprintf(p_text, sizeof p_text, "%d", port);
    for (unsigned i = 0; i < f->defines; i++)
        snprintf(define[d++], sizeof define[0], "%s", f->define[i]);
    if (f->member_port[0])
        snprintf(define[d++], sizeof define[0], "cluster.port=%d",
                 ports_in_a_row(count));
    char *const fixed[] = {binary,       (char *)"cluster",
                           (char *)"-c", (char *)fleet_conf(f, conf),
                           (char *)"-n", n_text,
                           (char *)"-p", p_text};
    for (; n < sizeof fixed / sizeof fixed[0]; n++)
        arguments[n] = fixed[n];
    for (unsigned i = 0; i < d; i++) {
        arguments[n++] = (char *)"-D";
        arguments[n++] = define[i];
    }
    for (; more && *more; more++)
        arguments[n++] = (char *)*more;
    arguments[n] = NULL;
    if (!server_spawn(&f->launcher, arguments))
        return false;
    return server_said(&f->launcher, " instances are ready;",
                       READY_MS * slowness());
}

bool fleet_launch(struct fleet *f, unsigned count, const char *const *more)
{
    struct server *l = &f->launcher;
    int port = 0;

    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->said, NULL);
    snprintf(l->node, sizeof l->node, "launcher");
    for (unsigned tries = 0; tries < 5; tries++) {
        l->log_len = 0;
        port = ports_in_a_row(count);
        if (launcher_start(f, count, more, port))
            break;
        server_stop(l); /* another test was quicker with a port */
        port = 0;
    }
    for (; f->count < count; f->count++) {
        struct server *s = &f->servers[f->count];
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->said, NULL);
        s->port = port + (int)f->count;
        snprintf(s->node, sizeof s->node, "node%u", f->count + 1);
        snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", s->port);
    }
    return port != 0;
}

/* Is that process the instance with this port? */
static bool has_argument(pid_t pid, const char *argument)
{
    char path[64], text[8192];
    size_t len;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = 0;
    for (size_t i = 0; i < len; i += strlen(text + i) + 1)
        if (strcmp(text + i, argument) == 0)
            return true;
    return false;
}

pid_t fleet_child(const struct fleet *f, unsigned i)
{
    char path[64], port[32];
    int pid, found = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children",
             (int)f->launcher.pid, (int)f->launcher.pid);
    snprintf(port, sizeof port, "port=%d", f->servers[i % f->count].port);
    FILE *file = fopen(path, "r");
    while (file && fscanf(file, "%d", &pid) == 1)
        if (has_argument(pid, port) && has_argument(pid, "run"))
            found = pid;
    if (file)
        fclose(file);
    return found;
}

/* Into out what text says, with every `from` in it replaced; how many. */
static unsigned text_replace(struct buf *out, const char *text,
                             const char *from, const char *to)
{
    unsigned times = 0;
    const char *at;
    for (; (at = strstr(text, from)); times++, text = at + strlen(from)) {
        buf_add(out, text, (size_t)(at - text));
        buf_add_str(out, to);
    }
    buf_add_str(out, text);
    return times;
}

bool fleet_edit(struct fleet *f, const char *from, const char *to)
{
    char path[PATH_MAX], text[32768], users[PATH_MAX];
    struct buf edited, whole;
    FILE *file = fopen(fleet_conf(f, path), "r");
    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    buf_init(&edited, sizeof text * 2);
    buf_init(&whole, sizeof text * 2);
    bool is_done = text_replace(&edited, text, from, to) > 0;
    /* What stands beside the file is not beside the copy. */
    snprintf(users, sizeof users, "\"%s/etc/margay/users.xml\"", stage_dir());
    text_replace(&whole, buf_str(&edited), "\"users.xml\"", users);
    snprintf(f->conf, sizeof f->conf, "%s/edited.xml", f->dir);
    file = fopen(f->conf, "w");
    if (!file || fputs(buf_str(&whole), file) < 0)
        is_done = false;
    if (file && fclose(file))
        is_done = false;
    buf_release(&edited);
    buf_release(&whole);
    return is_done;
}

struct fleet *fleet_run(const char *conf, unsigned count)
{
    struct fleet *f = fleet_new(conf);
    if (f)
        CU_ASSERT_FATAL(fleet_start(f, count));
    return f;
}

struct server *fleet_server(struct fleet *f, unsigned i)
{
    return &f->servers[i % f->count];
}

bool fleet_restart(struct fleet *f, unsigned i)
{
    return server_start(f, fleet_server(f, i));
}

/* What no server ever says, whatever happens to it. */
static const char *const unheard_of[] = {
    "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer",
    "runtime error:",   "Assertion",     "Fatal error in GNU libmicrohttpd"};

/* Every case ends with an orderly stop of what still runs. */
static void server_end(struct server *s)
{
    if (s->pid > 0)
        CHECK_INT(server_wait(s, STOP_MS), 0);
    for (size_t i = 0; i < sizeof unheard_of / sizeof unheard_of[0]; i++)
        CHECK_INT(server_said_times(s, unheard_of[i]), 0);
}

static void server_release(struct server *s, bool show)
{
    if (show && s->log)
        printf("--- %s said ---\n%s---\n", s->node, s->log);
    free(s->log);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->said);
}

static void fleet_each(void (*each)(struct fleet *f))
{
    for (unsigned n = 0; n < FLEETS; n++)
        if (running.fleets[n])
            each(running.fleets[n]);
}

static void fleet_signal(struct fleet *f)
{
    for (unsigned i = 0; i < f->count; i++)
        server_signal(&f->servers[i], SIGTERM);
    server_signal(&f->launcher, SIGTERM);
}

static void fleet_wait(struct fleet *f)
{
    for (unsigned i = 0; i < f->count; i++)
        server_end(&f->servers[i]);
    if (f->launcher.node[0])
        server_end(&f->launcher);
}

static void fleet_release(struct fleet *f)
{
    bool show = CU_get_number_of_failure_records() > running.failures;
    for (unsigned i = 0; i < f->count; i++)
        server_release(&f->servers[i], show);
    if (f->launcher.node[0])
        server_release(&f->launcher, show);
    if (f->folder[0])
        nftw(f->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
}

void fleet_end(void)
{
    fleet_each(fleet_signal);
    fleet_each(fleet_wait);
    fleet_each(fleet_release);
    redis_stop_all();
    memcached_stop_all();
    memset(running.fleets, 0, sizeof running.fleets);
}
