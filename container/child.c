/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/child.h"

#include "session/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Of 4 KiB each, as many as a full pipe takes (64 KiB), and one. */
#define READS 17
/* So long an output may stand still before lines are left out. */
#define READER_MS 500

/* ---- output ---- */

static bool is_coloured(int fd)
{
    return isatty(fd) && !getenv("NO_COLOR");
}

/* Does somebody take a piece now? */
static bool is_taken(int fd, bool *stuck)
{
    struct pollfd on = {.fd = fd, .events = POLLOUT};
    int n;

    do
        n = poll(&on, 1, *stuck ? 0 : READER_MS);
    while (n < 0 && errno == EINTR);
    *stuck = n == 0;
    return n > 0;
}

/* At most PIPE_BUF bytes: what poll calls writable takes them without waiting,
 * and all or none (pipe(7)). A terminal that is halted, or a pager that stands
 * still, must not halt the instances: what nobody takes within READER_MS is
 * left out. */
static void write_piece(int fd, const char *bytes, size_t len, bool *stuck)
{
    while (len > 0) {
        if (!is_taken(fd, stuck))
            return;
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody reads: the child goes on */
        bytes += n;
        len -= (size_t)n;
    }
}

/* more: the line goes on in the next piece. */
static void print_piece(const struct child *c, struct child_stream *s,
                        bool more)
{
    char mark = s->goes_on ? '+' : '|';
    struct buf text;

    buf_init(&text, PIPE_BUF);
    if (is_coloured(s->to))
        buf_addf(&text, "\033[%um%s %c\033[0m ", 31 + c->colour % 6, c->name,
                 mark);
    else
        buf_addf(&text, "%s %c ", c->name, mark);
    buf_add(&text, s->line, s->len);
    buf_add_str(&text, more ? "\\\n" : "\n");
    write_piece(s->to, buf_str(&text), text.len, &s->stuck);
    buf_release(&text);
    s->goes_on = more;
}

void child_say(const char *format, ...)
{
    struct buf text;
    bool stuck = false;
    va_list ap;

    buf_init(&text, CHILD_LINE_SIZE);
    buf_add_str(&text, "margay: ");
    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    buf_add_char(&text, '\n');
    write_piece(STDERR_FILENO, buf_str(&text), text.len, &stuck);
    buf_release(&text);
}

static void end_piece(struct child *c, struct child_stream *s, bool more,
                      child_line_fn *line, void *user)
{
    s->line[s->len] = '\0';
    if (!s->hushed)
        print_piece(c, s, more);
    s->len = 0;
    if (s == &c->err || s->hushed)
        line(user, c, s->line);
}

/* Not within a character of UTF-8, if it can be helped. */
static bool is_full(const struct child_stream *s, char next)
{
    bool begins = ((unsigned char)next & 0xc0) != 0x80;

    return s->len == sizeof s->line - 1 ||
           (s->len >= sizeof s->line - 4 && begins);
}

static void stream_close(struct child_stream *s)
{
    if (s->from >= 0)
        close(s->from);
    s->from = -1;
}

static void stream_read(struct child *c, struct child_stream *s,
                        child_line_fn *line, void *user)
{
    char bytes[4096];
    ssize_t n = s->from < 0 ? 0 : read(s->from, bytes, sizeof bytes);

    if (s->from < 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
        return;
    for (ssize_t i = 0; i < n; i++) {
        bool ends = bytes[i] == '\n';
        if (ends || is_full(s, bytes[i]))
            end_piece(c, s, !ends, line, user);
        if (!ends)
            s->line[s->len++] = bytes[i];
    }
    if (n > 0)
        return;
    if (s->len > 0)
        end_piece(c, s, false, line, user);
    stream_close(s);
}

void child_read(struct child *c, child_line_fn *line, void *user)
{
    stream_read(c, &c->out, line, user);
    stream_read(c, &c->err, line, user);
}

size_t child_poll(struct child *c, struct pollfd fds[2])
{
    size_t n = 0;

    if (c->out.from >= 0)
        fds[n++] = (struct pollfd){.fd = c->out.from, .events = POLLIN};
    if (c->err.from >= 0)
        fds[n++] = (struct pollfd){.fd = c->err.from, .events = POLLIN};
    return n;
}

bool child_is_silent(const struct child *c)
{
    return c->out.from < 0 && c->err.from < 0;
}

/* ---- the process ---- */

/* In the child. */
static void become(char *const *argv, pid_t parent, const sigset_t *mask,
                   int out, int err)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || nothing < 0)
        _exit(1);
    sigprocmask(SIG_SETMASK, mask, NULL);
    unsetenv("NOTIFY_SOCKET"); /* the service is this process's parent */
    unsetenv("JOURNAL_STREAM");
    dup2(nothing, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(argv[0], argv);
    dprintf(STDERR_FILENO, "%s cannot be run: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* The reading ends do not block: poll may tell of the other one. */
static bool open_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC) == 0 &&
           fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

static void close_pipe(int ends[2])
{
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

bool child_start(struct child *c, char *const *argv, const sigset_t *mask,
                 bool quiet)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    pid_t pid, parent = getpid();

    child_release(c);
    if (!open_pipe(err) || !open_pipe(out) || (pid = fork()) < 0) {
        int why = errno;
        close_pipe(out);
        close_pipe(err);
        errno = why;
        return false;
    }
    if (pid == 0)
        become(argv, parent, mask, out[1], err[1]);
    setpgid(pid, pid); /* whoever comes first */
    close(out[1]);
    close(err[1]);
    c->pid = pid;
    c->out.hushed = quiet;
    c->out.from = out[0];
    c->err.from = err[0];
    return true;
}

void child_init(struct child *c, const char *name, unsigned colour)
{
    *c = (struct child){.colour = colour};
    snprintf(c->name, sizeof c->name, "%s", name);
    c->out.from = c->err.from = -1;
    c->out.to = STDOUT_FILENO;
    c->err.to = STDERR_FILENO;
}

void child_signal(struct child *c, int number)
{
    if (c->pid > 0) /* what has no time to end its own does not leave them */
        kill(number == SIGKILL ? -c->pid : c->pid, number);
}

void child_reaped(struct child *c)
{
    c->pid = 0;
}

void child_hush(struct child *c, child_line_fn *line, void *user)
{
    for (int i = 0; i < READS && !child_is_silent(c); i++)
        child_read(c, line, user);
    if (c->out.len > 0)
        end_piece(c, &c->out, false, line, user);
    if (c->err.len > 0)
        end_piece(c, &c->err, false, line, user);
    child_release(c);
}

void child_release(struct child *c)
{
    stream_close(&c->out);
    stream_close(&c->err);
    c->out.len = c->err.len = 0;
    c->out.goes_on = c->err.goes_on = false;
}
