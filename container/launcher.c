/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/launcher.h"

#include "container/child.h"
#include "container/notify.h"
#include "session/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    AGAIN_MS = 250, /* until one that ended starts anew; doubled each time */
    AGAIN_MAX_MS = 30000,
    STABLE_MS = 30000,   /* ready so long: its ends are counted from 0 again */
    LAST_WORDS_MS = 200, /* until its pipes are given up */
    TELL_MS = 10000      /* between two lines about what is waited for */
};

enum node_state {
    NODE_DOWN, /* starts at `due` */
    NODE_STARTING,
    NODE_READY,
    NODE_LEAVING /* was told to end; is killed at `due` */
};

struct node {
    struct child child;
    enum node_state state;
    int64_t due, ready_at;
    unsigned ends; /* by itself, one after another */
    char url[128];
};

struct launcher {
    const struct launcher_options *options;
    struct node *nodes;
    struct child checker; /* margay check, before a roll */
    sigset_t mask;        /* of the children */
    int signals;          /* signalfd */
    unsigned stops;
    bool has_terminal;
    bool announced, failed;

    bool rolls, roll_again;
    unsigned rolled; /* nodes before this one are done */
    int64_t roll_began, told_at;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- arguments ---- */

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

/* The arguments of `margay VERB` for the instance of that index. */
static char **arguments_new(const struct launcher_options *o, const char *verb,
                            unsigned index)
{
    /* program, verb, -c FILE, -D of each, -D port, -D node, -D of the cluster's
     * port and members, and the NULL */
    char **argv = mem_zero((13 + 2 * o->definition_count) * sizeof *argv);
    size_t n = 0;
    char text[64];

    argv[n++] = mem_strdup(o->executable);
    argv[n++] = mem_strdup(verb);
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
    snprintf(text, sizeof text, "node=node%u", index + 1);
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

static bool launch(struct launcher *l, struct child *c, const char *verb,
                   unsigned index)
{
    char **argv = arguments_new(l->options, verb, index);
    bool started = child_start(c, argv, &l->mask, strcmp(verb, "run") != 0);
    int why = errno;

    arguments_free(argv);
    errno = why;
    return started;
}

/* ---- one instance ---- */

static struct node *node_at(struct launcher *l, unsigned i)
{
    return &l->nodes[i];
}

static void node_start(struct launcher *l, struct node *n)
{
    unsigned index = (unsigned)(n - l->nodes);

    if (launch(l, &n->child, "run", index)) {
        n->state = NODE_STARTING;
        return;
    }
    child_say("%s cannot be started: %s", n->child.name, strerror(errno));
    n->state = NODE_DOWN;
    n->due = now_ms() + AGAIN_MAX_MS;
    l->failed |= !l->announced;
}

static void node_leave(struct launcher *l, struct node *n)
{
    n->state = NODE_LEAVING;
    n->due = now_ms() + l->options->patience_ms;
    child_signal(&n->child, SIGTERM);
}

static int64_t delay_of(unsigned ends)
{
    return ends >= 8 ? AGAIN_MAX_MS : (int64_t)AGAIN_MS << (ends - 1);
}

static const char *end_of(int status, char out[64])
{
    if (WIFSIGNALED(status))
        snprintf(out, 64, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
    return out;
}

/* ---- one after another ---- */

static void roll_end(struct launcher *l)
{
    l->rolls = l->roll_again = false;
}

static void roll_begin(struct launcher *l)
{
    if (l->rolls) {
        l->roll_again = true;
        child_say("rolling restart: begins anew when this one is over");
        return;
    }
    if (!l->announced) {
        child_say("rolling restart: not before all instances are ready");
        return;
    }
    child_say("rolling restart: checking the configuration");
    l->rolls = true;
    l->rolled = 0;
    l->roll_began = l->told_at = now_ms();
    if (launch(l, &l->checker, "check", 0))
        return;
    child_say("rolling restart: %s cannot be run: %s; nothing was restarted",
              l->options->executable, strerror(errno));
    roll_end(l);
}

static void roll_checked(struct launcher *l, int status)
{
    char text[64];

    child_reaped(&l->checker);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    child_say("rolling restart: margay check %s; nothing was restarted: mend "
              "the configuration, and send SIGHUP again",
              end_of(status, text));
    roll_end(l);
}

/* The first that is not ready, or NULL. */
static struct node *roll_waits_for(struct launcher *l)
{
    for (unsigned i = 0; i < l->options->count; i++)
        if (node_at(l, i)->state != NODE_READY)
            return node_at(l, i);
    return NULL;
}

static void roll_finish(struct launcher *l)
{
    bool again = l->roll_again;

    child_say("rolling restart: %u instances replaced in %.1f s",
              l->options->count, (double)(now_ms() - l->roll_began) / 1000);
    roll_end(l);
    if (again)
        roll_begin(l);
}

static void roll_on(struct launcher *l, int64_t now)
{
    const struct node *slow;

    if (!l->rolls || l->stops > 0 || l->checker.pid > 0)
        return;
    slow = roll_waits_for(l);
    if (slow && now - l->told_at >= TELL_MS) {
        l->told_at = now;
        child_say("rolling restart: waits until %s is ready", slow->child.name);
    }
    if (slow)
        return;
    if (l->rolled == l->options->count) {
        roll_finish(l);
        return;
    }
    l->told_at = now;
    child_say("rolling restart: %s (%u of %u)",
              node_at(l, l->rolled)->child.name, l->rolled + 1,
              l->options->count);
    node_leave(l, node_at(l, l->rolled++));
}

/* ---- what the children say ---- */

static void announce(struct launcher *l)
{
    for (unsigned i = 0; i < l->options->count; i++)
        if (node_at(l, i)->state != NODE_READY)
            return;
    l->announced = true;
    notify_send("READY=1\nSTATUS=%u instances are ready", l->options->count);
    child_say("%u instances are ready; Ctrl-C or SIGTERM stops them, SIGHUP "
              "replaces one after another:",
              l->options->count);
    for (unsigned i = 0; i < l->options->count; i++)
        child_say("  %s %s", node_at(l, i)->child.name, node_at(l, i)->url);
}

/* "margay: NODE ready on URL in N ms" */
static void look_for_ready(void *user, struct child *c, const char *line)
{
    struct launcher *l = user;
    struct node *n = (struct node *)((char *)c - offsetof(struct node, child));
    char mark[64];

    if (c == &l->checker || n->state != NODE_STARTING)
        return;
    snprintf(mark, sizeof mark, "margay: %s ready on ", c->name);
    if (strncmp(line, mark, strlen(mark)) != 0)
        return;
    line += strlen(mark);
    snprintf(n->url, sizeof n->url, "%.*s", (int)strcspn(line, " "), line);
    n->state = NODE_READY;
    n->ready_at = now_ms();
    if (!l->announced)
        announce(l);
}

/* ---- their ends ---- */

static void stop(struct launcher *l)
{
    if (l->stops++ == 0)
        notify_send("STOPPING=1");
    for (unsigned i = 0; i < l->options->count; i++)
        child_signal(&node_at(l, i)->child, l->stops > 2 ? SIGKILL : SIGTERM);
    child_signal(&l->checker, SIGTERM);
}

/* It was to end, and comes back. */
static void node_replaced(struct node *n, int status)
{
    char text[64];

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        child_say("%s %s when it was to end in order", n->child.name,
                  end_of(status, text));
    n->ends = 0;
    n->due = now_ms();
}

static void node_crashed(struct launcher *l, struct node *n, int status)
{
    int64_t now = now_ms();
    char text[64];

    if (n->state == NODE_READY && now - n->ready_at >= STABLE_MS)
        n->ends = 0;
    n->ends++;
    n->due = now + delay_of(n->ends);
    child_say("%s %s; it starts anew in %.2f s", n->child.name,
              end_of(status, text), (double)delay_of(n->ends) / 1000);
    if (!l->rolls || n->state != NODE_STARTING || l->rolled == 0 ||
        n != node_at(l, l->rolled - 1))
        return;
    child_say("rolling restart: stops here, since %s does not start; the "
              "others go on as they are: mend it, and send SIGHUP again",
              n->child.name);
    roll_end(l);
}

static void node_ended(struct launcher *l, struct node *n, int status)
{
    bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    char text[64];

    child_reaped(&n->child);
    if (l->stops > 0) {
        l->failed |= !in_order;
    } else if (!l->announced) { /* a start is all or nothing */
        child_say("%s %s", n->child.name, end_of(status, text));
        l->failed = true;
        stop(l);
    } else if (n->state == NODE_LEAVING) {
        node_replaced(n, status);
    } else {
        node_crashed(l, n, status);
    }
    n->state = NODE_DOWN;
}

static void reap(struct launcher *l)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == l->checker.pid)
            roll_checked(l, status);
        for (unsigned i = 0; i < l->options->count; i++)
            if (node_at(l, i)->child.pid == pid)
                node_ended(l, node_at(l, i), status);
    }
}

/* ---- the loop ---- */

static bool is_hang_up(const struct launcher *l,
                       const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL || (l->has_terminal && !has_terminal());
}

static void signals_read(struct launcher *l)
{
    struct signalfd_siginfo info;

    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGCHLD)
            reap(l);
        else if (info.ssi_signo == SIGHUP && l->stops == 0 &&
                 !is_hang_up(l, &info))
            roll_begin(l);
        else
            stop(l);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Does what is due of one instance; when something is due next. */
static int64_t node_tend(struct launcher *l, struct node *n, int64_t now)
{
    if (n->state != NODE_DOWN && n->state != NODE_LEAVING)
        return INT64_MAX;
    if (n->due > now)
        return n->due;
    if (n->state == NODE_LEAVING) {
        child_say("%s does not end: it is killed", n->child.name);
        child_signal(&n->child, SIGKILL);
        return n->due = now + l->options->patience_ms;
    }
    if (!child_is_silent(&n->child) && now < n->due + LAST_WORDS_MS)
        return n->due + LAST_WORDS_MS;
    node_start(l, n);
    return INT64_MAX;
}

/* Does what is due; the milliseconds until something will be, -1: nothing. */
static int tend(struct launcher *l)
{
    int64_t now = now_ms(), next = INT64_MAX;

    roll_on(l, now);
    if (l->rolls)
        next = now + TELL_MS;
    for (unsigned i = 0; i < l->options->count && l->stops == 0; i++)
        next = sooner(next, node_tend(l, node_at(l, i), now));
    return next == INT64_MAX ? -1 : (int)(next - now);
}

static bool is_over(struct launcher *l)
{
    if (l->stops == 0)
        return false;
    for (unsigned i = 0; i < l->options->count; i++)
        if (node_at(l, i)->child.pid > 0 ||
            !child_is_silent(&node_at(l, i)->child))
            return false;
    return l->checker.pid == 0;
}

static void turn(struct launcher *l)
{
    struct pollfd fds[2 * (LAUNCHER_MAX + 1) + 1];
    struct child *owners[2 * (LAUNCHER_MAX + 1)];
    nfds_t n = 0;
    int wait = tend(l);

    for (unsigned i = 0; i <= l->options->count; i++) {
        struct child *c =
            i < l->options->count ? &node_at(l, i)->child : &l->checker;
        size_t more = child_poll(c, fds + n);
        while (more-- > 0)
            owners[n++] = c;
    }
    fds[n] = (struct pollfd){.fd = l->signals, .events = POLLIN};
    if (poll(fds, n + 1, wait) < 0)
        return;
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].revents)
            child_read(owners[i], look_for_ready, l);
    if (fds[n].revents)
        signals_read(l);
}

static void start_all(struct launcher *l)
{
    char name[16];

    child_init(&l->checker, "check", l->options->count);
    for (unsigned i = 0; i < l->options->count; i++) {
        snprintf(name, sizeof name, "node%u", i + 1);
        child_init(&node_at(l, i)->child, name, i);
    }
    for (unsigned i = 0; i < l->options->count && !l->failed; i++)
        node_start(l, node_at(l, i));
    if (l->failed)
        stop(l);
}

int launcher_run(const struct launcher_options *options)
{
    struct launcher l = {.options = options, .has_terminal = has_terminal()};
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &l.mask);
    l.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l.signals < 0) {
        child_say("cannot wait for signals: %s", strerror(errno));
        return 1;
    }
    l.nodes = mem_zero(options->count * sizeof *l.nodes);
    start_all(&l);
    while (!is_over(&l))
        turn(&l);
    for (unsigned i = 0; i < options->count; i++)
        child_release(&l.nodes[i].child);
    child_release(&l.checker);
    close(l.signals);
    free(l.nodes);
    sigprocmask(SIG_SETMASK, &l.mask, NULL);
    return l.failed;
}
