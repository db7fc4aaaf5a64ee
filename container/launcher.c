/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/launcher.h"

#include "session/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_SIZE 8192

/* One end of a child's output. */
struct stream {
    int from, to; /* from: -1 once it has ended */
    size_t len;
    char line[LINE_SIZE];
};

struct child {
    char name[16];
    pid_t pid; /* 0: it has ended */
    bool ready;
    char url[128];
    struct stream out, err;
};

struct launcher {
    const struct launcher_options *options;
    struct child *children;
    int signals; /* signalfd */
    unsigned stops;
    bool announced, failed;
};

/* ---- output ---- */

static bool is_coloured(int fd)
{
    return isatty(fd) && !getenv("NO_COLOR");
}

static void write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody reads: the instances go on */
        bytes += n;
        len -= (size_t)n;
    }
}

static void print_line(const struct launcher *l, const struct child *c, int fd,
                       const char *line)
{
    int colour = 31 + (int)((size_t)(c - l->children) % 6);
    struct buf text;

    buf_init(&text, LINE_SIZE + 64);
    if (is_coloured(fd))
        buf_addf(&text, "\033[%dm%s |\033[0m %s\n", colour, c->name, line);
    else
        buf_addf(&text, "%s | %s\n", c->name, line);
    write_all(fd, buf_str(&text), text.len);
    buf_release(&text);
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    struct buf text;
    va_list ap;

    buf_init(&text, LINE_SIZE);
    buf_add_str(&text, "margay: ");
    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    buf_add_char(&text, '\n');
    write_all(STDERR_FILENO, buf_str(&text), text.len);
    buf_release(&text);
}

static void announce(struct launcher *l)
{
    for (unsigned i = 0; i < l->options->count; i++)
        if (!l->children[i].ready)
            return;
    l->announced = true;
    say("%u instances are ready; Ctrl-C or SIGTERM stops them:",
        l->options->count);
    for (unsigned i = 0; i < l->options->count; i++)
        say("  %s %s", l->children[i].name, l->children[i].url);
}

/* "margay: NODE ready on URL in N ms" */
static void look_for_ready(struct child *c)
{
    char mark[64];
    const char *url;

    snprintf(mark, sizeof mark, "margay: %s ready on ", c->name);
    if (c->ready || strncmp(c->err.line, mark, strlen(mark)) != 0)
        return;
    url = c->err.line + strlen(mark);
    snprintf(c->url, sizeof c->url, "%.*s", (int)strcspn(url, " "), url);
    c->ready = true;
}

static void end_line(struct launcher *l, struct child *c, struct stream *s)
{
    s->line[s->len] = '\0';
    s->len = 0;
    print_line(l, c, s->to, s->line);
    if (s != &c->err || l->announced)
        return;
    look_for_ready(c);
    announce(l);
}

static void stream_read(struct launcher *l, struct child *c, struct stream *s)
{
    char bytes[4096];
    ssize_t n = read(s->from, bytes, sizeof bytes);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != '\n')
            s->line[s->len++] = bytes[i];
        if (bytes[i] == '\n' || s->len == sizeof s->line - 1)
            end_line(l, c, s);
    }
    if (n > 0)
        return;
    if (s->len > 0)
        end_line(l, c, s);
    close(s->from);
    s->from = -1;
}

/* ---- children ---- */

static char *members_of(const struct launcher_options *o)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_add_str(&text, "cluster.members=");
    for (unsigned i = 0; i < o->count; i++)
        buf_addf(&text, "%s%s:%u", i ? "," : "", o->member_address,
                 o->first_member_port + i);
    return buf_take(&text, NULL);
}

static char **child_arguments(const struct launcher_options *o, unsigned index,
                              const char *name)
{
    /* program, run, -c FILE, -D of each, -D port, -D node, -D of the cluster's
     * port and members, and the NULL */
    char **argv = mem_zero((13 + 2 * o->definition_count) * sizeof *argv);
    size_t n = 0;
    char text[64];

    argv[n++] = mem_strdup(o->executable);
    argv[n++] = mem_strdup("run");
    argv[n++] = mem_strdup("-c");
    argv[n++] = mem_strdup(o->file);
    for (size_t i = 0; i < o->definition_count; i++) {
        argv[n++] = mem_strdup("-D");
        argv[n++] = mem_strdup(o->definitions[i]);
    }
    argv[n++] = mem_strdup("-D");
    snprintf(text, sizeof text, "port=%u", o->first_port + index);
    argv[n++] = mem_strdup(text);
    argv[n++] = mem_strdup("-D");
    snprintf(text, sizeof text, "node=%s", name);
    argv[n++] = mem_strdup(text);
    if (o->first_member_port) {
        argv[n++] = mem_strdup("-D");
        snprintf(text, sizeof text, "cluster.port=%u",
                 o->first_member_port + index);
        argv[n++] = mem_strdup(text);
    }
    if (o->member_address) {
        argv[n++] = mem_strdup("-D");
        argv[n++] = members_of(o);
    }
    return argv;
}

static void arguments_free(char **argv)
{
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    free(argv);
}

/* In the child. Its own process group: Ctrl-C reaches the launcher alone,
 * which hands it on once. */
static void child_become(char **argv, pid_t parent, const sigset_t *mask,
                         int out, int err)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || nothing < 0)
        _exit(1);
    sigprocmask(SIG_SETMASK, mask, NULL);
    dup2(nothing, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(argv[0], argv);
    _exit(1);
}

static bool child_start(struct launcher *l, unsigned index,
                        const sigset_t *mask)
{
    struct child *c = &l->children[index];
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    pid_t parent = getpid();
    char **argv;

    snprintf(c->name, sizeof c->name, "node%u", index + 1);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        return false;
    argv = child_arguments(l->options, index, c->name);
    c->pid = fork();
    if (c->pid == 0)
        child_become(argv, parent, mask, out[1], err[1]);
    arguments_free(argv);
    close(out[1]);
    close(err[1]);
    if (c->pid < 0) {
        close(out[0]);
        close(err[0]);
        c->pid = 0;
        return false;
    }
    c->out = (struct stream){.from = out[0], .to = STDOUT_FILENO};
    c->err = (struct stream){.from = err[0], .to = STDERR_FILENO};
    return true;
}

static void signal_all(struct launcher *l, int number)
{
    for (unsigned i = 0; i < l->options->count; i++)
        if (l->children[i].pid > 0)
            kill(l->children[i].pid, number);
}

static void stop(struct launcher *l)
{
    l->stops++;
    signal_all(l, l->stops > 2 ? SIGKILL : SIGTERM);
}

static void child_ended(struct launcher *l, struct child *c, int status)
{
    bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    c->pid = 0;
    if (l->stops > 0) {
        l->failed |= !in_order;
        return;
    }
    if (WIFSIGNALED(status))
        say("%s was ended by signal %d", c->name, WTERMSIG(status));
    else
        say("%s ended with status %d", c->name, WEXITSTATUS(status));
    if (!l->announced) { /* a start is all or nothing */
        l->failed = true;
        stop(l);
    }
}

static void reap(struct launcher *l)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < l->options->count; i++)
            if (l->children[i].pid == pid)
                child_ended(l, &l->children[i], status);
}

/* ---- the loop ---- */

static void signals_read(struct launcher *l)
{
    struct signalfd_siginfo info;

    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGCHLD)
            reap(l);
        else
            stop(l);
}

/* False: no child is left, and nothing more comes from any. */
static bool turn(struct launcher *l)
{
    struct pollfd fds[2 * LAUNCHER_MAX + 1];
    struct stream *streams[2 * LAUNCHER_MAX];
    struct child *owners[2 * LAUNCHER_MAX];
    nfds_t n = 0;
    bool alive = false;

    for (unsigned i = 0; i < l->options->count; i++) {
        struct child *c = &l->children[i];
        struct stream *both[] = {&c->out, &c->err};
        alive |= c->pid > 0;
        for (unsigned k = 0; k < 2; k++) {
            if (both[k]->from < 0)
                continue;
            fds[n] = (struct pollfd){.fd = both[k]->from, .events = POLLIN};
            owners[n] = c;
            streams[n++] = both[k];
        }
    }
    if (!alive && n == 0)
        return false;
    fds[n] = (struct pollfd){.fd = l->signals, .events = POLLIN};
    if (poll(fds, n + 1, -1) < 0)
        return errno == EINTR;
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].revents)
            stream_read(l, owners[i], streams[i]);
    if (fds[n].revents)
        signals_read(l);
    return true;
}

static bool start_all(struct launcher *l, const sigset_t *mask)
{
    for (unsigned i = 0; i < l->options->count; i++) {
        l->children[i].out.from = l->children[i].err.from = -1;
        if (!l->failed && !child_start(l, i, mask)) {
            say("cannot start node%u: %s", i + 1, strerror(errno));
            l->failed = true;
        }
    }
    return !l->failed;
}

int launcher_run(const struct launcher_options *options)
{
    struct launcher l = {.options = options};
    sigset_t ours, before;

    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &before);
    l.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l.signals < 0) {
        say("cannot wait for signals: %s", strerror(errno));
        return 1;
    }
    l.children = mem_zero(options->count * sizeof *l.children);
    if (!start_all(&l, &before))
        stop(&l);
    while (turn(&l))
        ;
    close(l.signals);
    free(l.children);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return l.failed || l.stops == 0;
}
