/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/launcher_nodes.h"

#include "container/front.h"
#include "container/notify.h"
#include "session/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    AGAIN_MS = 250, /* until one that ended starts anew; doubled each time */
    AGAIN_MAX_MS = 30000,
    STABLE_MS = 30000,   /* ready so long: its ends are counted from 0 again */
    LAST_WORDS_MS = 200, /* until its pipes are given up */
    REWRITE_MS = 1000,   /* between two attempts at the balancer's file */
    LOOK_MS = 20,        /* between two looks whether the balancer is there */
    UNTOLD_MS = 500      /* so long it lives where looking is not possible */
};

int64_t launcher_clock(void)
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

bool launcher_start(struct launcher *l, struct child *c, const char *verb,
                    unsigned index)
{
    char **argv = arguments_new(l->options, verb, index);
    bool started = child_start(c, argv, &l->mask, strcmp(verb, "run") != 0);
    int why = errno;

    arguments_free(argv);
    errno = why;
    return started;
}

/* ---- one instance, or the balancer ---- */

static struct node *node_at(struct launcher *l, unsigned i)
{
    return &l->nodes[i];
}

static struct front *front_of(const struct launcher *l)
{
    return l->options->front;
}

/* For nginx, which asks nobody. */
static void tell_front(struct launcher *l, const struct node *n, bool away)
{
    struct front *f = front_of(l);

    if (!f || n == &l->door)
        return;
    if (front_away(f, (size_t)(n - l->nodes), away))
        child_signal(&l->door.child, FRONT_RELOAD);
    if (front_is_stale(f) && l->rewrite_at == 0) {
        child_say("the file of %s cannot be written: is there room in TMPDIR? "
                  "It does not know of %s, and is written as soon as it can be",
                  front_name(f), n->child.name);
        l->rewrite_at = launcher_clock() + REWRITE_MS;
    }
}

/* When to be called again. */
static int64_t rewrite(struct launcher *l, int64_t now)
{
    struct front *f = front_of(l);

    if (l->rewrite_at == 0)
        return INT64_MAX;
    if (front_is_stale(f) && l->rewrite_at > now)
        return l->rewrite_at;
    if (front_is_stale(f) && !front_rewrite(f))
        return l->rewrite_at = now + REWRITE_MS;
    l->rewrite_at = 0;
    child_say("the file of %s is written again", front_name(f));
    child_signal(&l->door.child, FRONT_RELOAD);
    return INT64_MAX;
}

static bool launch(struct launcher *l, struct node *n)
{
    n->patience_ms = l->patience_ms;
    if (n == &l->door)
        return child_start(&n->child, front_arguments(front_of(l)), &l->mask,
                           false);
    return launcher_start(l, &n->child, "run", (unsigned)(n - l->nodes));
}

static void node_start(struct launcher *l, struct node *n)
{
    if (launch(l, n)) {
        n->state = NODE_STARTING;
        n->due = launcher_clock();
        return;
    }
    child_say("%s cannot be started: %s", n->child.name, strerror(errno));
    n->state = NODE_DOWN;
    n->due = launcher_clock() + AGAIN_MAX_MS;
    l->failed |= !l->announced;
}

static void node_stop(struct node *n)
{
    n->state = NODE_LEAVING;
    n->due = launcher_clock() + n->patience_ms;
    child_signal(&n->child, SIGTERM);
}

void launcher_leave(struct launcher *l, struct node *n)
{
    tell_front(l, n, true);
    node_stop(n);
}

static int64_t delay_of(unsigned ends)
{
    return ends >= 8 ? AGAIN_MAX_MS : (int64_t)AGAIN_MS << (ends - 1);
}

const char *launcher_end_of(int status, char out[64])
{
    if (WIFSIGNALED(status))
        snprintf(out, 64, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
    return out;
}

/* ---- ready ---- */

enum door { DOOR_SHUT, DOOR_LISTENS, DOOR_UNKNOWN };

/* No balancer says when it serves. An address of this machine answers at once;
 * for any other nothing else may wait. */
static enum door door_look(const struct launcher *l)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    const struct timeval limit = {.tv_usec = LOOK_MS * 1000};
    struct addrinfo *at = NULL;
    bool there = false;
    char port[16];
    int fd;

    snprintf(port, sizeof port, "%u", front_port(front_of(l)));
    if (getaddrinfo(front_host(front_of(l)), port, &hints, &at) != 0)
        return DOOR_UNKNOWN; /* a name */
    fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        there = connect(fd, at->ai_addr, at->ai_addrlen) == 0;
        close(fd);
    }
    freeaddrinfo(at);
    return there ? DOOR_LISTENS : DOOR_SHUT;
}

/* Its own port, that is: a program that could not take it has ended. */
static bool door_is_ready(const struct launcher *l, int64_t now)
{
    enum door door = door_look(l);

    if (l->door.child.pid == 0)
        return false;
    return door == DOOR_LISTENS ||
           (door == DOOR_UNKNOWN && now - l->door.due >= UNTOLD_MS);
}

static void door_start(struct launcher *l)
{
    if (door_look(l) != DOOR_LISTENS) {
        node_start(l, &l->door);
        return;
    }
    child_say("%s cannot listen at %s: another program does: stop it, or "
              "choose another port (--listen)",
              l->door.child.name, l->door.url);
    l->failed = true;
}

static void announce(struct launcher *l)
{
    l->announced = true;
    notify_send("READY=1\nSTATUS=%u instances are ready", l->options->count);
    child_say("%u instances are ready; Ctrl-C or SIGTERM stops them, SIGHUP "
              "replaces one after another:",
              l->options->count);
    for (unsigned i = 0; i < l->options->count; i++)
        child_say("  %s %s", node_at(l, i)->child.name, node_at(l, i)->url);
    if (front_of(l))
        child_say("  %s %s", l->door.child.name, l->door.url);
}

static void node_ready(struct launcher *l, struct node *n)
{
    n->state = NODE_READY;
    n->ready_at = launcher_clock();
    tell_front(l, n, false);
    if (front_of(l))
        l->settled_at = n->ready_at + front_settle_ms(front_of(l));
    if (l->announced)
        return;
    for (unsigned i = 0; i < l->options->count; i++)
        if (node_at(l, i)->state != NODE_READY)
            return;
    if (!front_of(l) || l->door.state == NODE_READY)
        announce(l);
    else if (l->door.state == NODE_DOWN && l->stops == 0)
        door_start(l);
}

/* "margay: NODE ready on URL in N ms" */
static void look_for_ready(void *user, struct child *c, const char *line)
{
    struct launcher *l = user;
    struct node *n = (struct node *)((char *)c - offsetof(struct node, child));
    char mark[64];

    if (c == &l->checker)
        roll_heard(l, line);
    if (c == &l->checker || n == &l->door || n->state != NODE_STARTING)
        return;
    snprintf(mark, sizeof mark, "margay: %s ready on ", c->name);
    if (strncmp(line, mark, strlen(mark)) != 0)
        return;
    line += strlen(mark);
    snprintf(n->url, sizeof n->url, "%.*s", (int)strcspn(line, " "), line);
    node_ready(l, n);
}

/* ---- their ends ---- */

/* Until it is killed; of one that runs no more, until its pipes are given up.
 */
static int64_t end_due(const struct node *n)
{
    return launcher_clock() +
           (n->child.pid > 0 ? n->patience_ms : LAST_WORDS_MS);
}

static void stop(struct launcher *l)
{
    if (l->stops++ == 0) {
        notify_send("STOPPING=1");
        l->door.due = end_due(&l->door);
    }
    for (unsigned i = 0; i < l->options->count; i++) {
        if (l->stops == 1)
            node_at(l, i)->due = end_due(node_at(l, i));
        child_signal(&node_at(l, i)->child, l->stops > 2 ? SIGKILL : SIGTERM);
    }
    child_signal(&l->checker, l->stops > 2 ? SIGKILL : SIGTERM);
    if (l->stops > 2)
        child_signal(&l->door.child, SIGKILL);
}

static bool is_in_order(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* It was to end. */
static void say_end(const struct node *n, int status)
{
    char text[64];

    if (!is_in_order(status))
        child_say("%s %s when it was to end in order", n->child.name,
                  launcher_end_of(status, text));
}

/* It comes back. */
static void node_replaced(struct node *n, int status)
{
    say_end(n, status);
    n->ends = 0;
    n->due = launcher_clock();
}

static void node_crashed(struct launcher *l, struct node *n, int status)
{
    int64_t now = launcher_clock();
    char text[64];

    if (n->state == NODE_READY && now - n->ready_at >= STABLE_MS)
        n->ends = 0;
    n->ends++;
    n->due = now + delay_of(n->ends);
    child_say("%s %s; it starts anew in %.2f s", n->child.name,
              launcher_end_of(status, text), (double)delay_of(n->ends) / 1000);
    tell_front(l, n, true);
    if (n->state == NODE_STARTING)
        roll_failed(l, n);
}

static void node_ended(struct launcher *l, struct node *n, int status)
{
    char text[64];

    child_reaped(&n->child);
    if (l->stops > 0) {
        n->due = launcher_clock() + LAST_WORDS_MS;
        if (n != &l->door)
            say_end(n, status);
        l->failed |= !is_in_order(status) && n != &l->door;
    } else if (!l->announced) { /* a start is all or nothing */
        child_say("%s %s", n->child.name, launcher_end_of(status, text));
        l->failed = true;
        stop(l);
    } else if (n->state == NODE_LEAVING) {
        node_replaced(n, status);
    } else {
        node_crashed(l, n, status);
    }
    n->state = NODE_DOWN;
}

/* The next that has ended; 0: none. What nginx's master left behind would keep
 * the port: its group ends with it, as long as it has its number. */
static pid_t next_ended(struct launcher *l)
{
    siginfo_t info = {.si_pid = 0};

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return 0;
    if (info.si_pid > 0 && info.si_pid == l->door.child.pid)
        kill(-info.si_pid, SIGTERM);
    return info.si_pid;
}

static void reap(struct launcher *l)
{
    int status;
    pid_t pid;

    while ((pid = next_ended(l)) > 0 && waitpid(pid, &status, 0) == pid) {
        if (pid == l->checker.pid) {
            child_reaped(&l->checker);
            child_hush(&l->checker, look_for_ready, l);
            roll_checked(l, status);
        }
        if (pid == l->door.child.pid)
            node_ended(l, &l->door, status);
        for (unsigned i = 0; i < l->options->count; i++)
            if (node_at(l, i)->child.pid == pid)
                node_ended(l, node_at(l, i), status);
    }
}

/* ---- the loop ---- */

/* Its terminal has gone, says the kernel, or the shell that it began in. Who
 * was told not to mind (nohup) lives on, and a person may still want a roll. */
static bool is_hang_up(const struct launcher *l,
                       const struct signalfd_siginfo *info)
{
    if (info->ssi_code == SI_KERNEL)
        return true;
    return l->has_terminal && !has_terminal() &&
           (!l->outlives || (pid_t)info->ssi_pid == getsid(0));
}

static void signals_read(struct launcher *l)
{
    struct signalfd_siginfo info;

    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGCHLD)
            reap(l);
        else if (info.ssi_signo == SIGHUP && l->stops > 0)
            continue; /* a terminal that goes says so more than once */
        else if (info.ssi_signo == SIGHUP && !is_hang_up(l, &info))
            roll_begin(l);
        else if (info.ssi_signo == SIGHUP && l->outlives)
            continue;
        else
            stop(l);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t kill_late(struct node *n, int64_t now)
{
    if (n->due > now)
        return n->due;
    child_say("%s does not end: it is killed", n->child.name);
    child_signal(&n->child, SIGKILL);
    return n->due = now + n->patience_ms;
}

/* Does what is due of one; when something is due next. */
static int64_t node_tend(struct launcher *l, struct node *n, int64_t now)
{
    switch (n->state) {
    case NODE_LEAVING:
        return kill_late(n, now);
    case NODE_DOWN:
        if (n->due > now)
            return n->due;
        if (!child_is_silent(&n->child) && now < n->due + LAST_WORDS_MS)
            return n->due + LAST_WORDS_MS;
        node_start(l, n);
        return now;
    case NODE_STARTING:
        if (n != &l->door)
            return INT64_MAX;
        if (!door_is_ready(l, now))
            return now + LOOK_MS;
        node_ready(l, n);
        return now;
    case NODE_READY:
        break;
    }
    return INT64_MAX;
}

/* After it has ended: nothing more comes, also where a process that it started
 * keeps its outputs open. next: when to look again. */
static bool is_gone(struct launcher *l, struct node *n, int64_t now,
                    int64_t *next)
{
    if (n->child.pid > 0)
        return false;
    if (child_is_silent(&n->child))
        return true;
    *next = sooner(*next, n->due > now ? n->due : now);
    if (n->due > now)
        return false;
    child_hush(&n->child, look_for_ready, l);
    return true;
}

static bool instances_are_gone(struct launcher *l)
{
    for (unsigned i = 0; i < l->options->count; i++)
        if (node_at(l, i)->child.pid > 0 ||
            !child_is_silent(&node_at(l, i)->child))
            return false;
    return true;
}

/* The balancer goes last: until then it has something to hand on to. */
static int64_t stop_on(struct launcher *l, int64_t now)
{
    int64_t next = INT64_MAX;

    for (unsigned i = 0; i < l->options->count; i++)
        if (!is_gone(l, node_at(l, i), now, &next) &&
            node_at(l, i)->child.pid > 0)
            next = sooner(next, kill_late(node_at(l, i), now));
    if (is_gone(l, &l->door, now, &next) || l->door.child.pid == 0 ||
        !instances_are_gone(l))
        return next;
    if (l->door.state != NODE_LEAVING)
        node_stop(&l->door);
    return kill_late(&l->door, now);
}

/* Does what is due; the milliseconds until something will be, -1: nothing. */
static int tend(struct launcher *l)
{
    int64_t now = launcher_clock(), next = roll_on(l, now);

    if (l->failed && l->stops == 0) /* a start is all or nothing */
        stop(l);
    if (l->stops > 0)
        next = stop_on(l, now);
    else
        next = sooner(next, rewrite(l, now));
    for (unsigned i = 0; i < l->options->count && l->stops == 0; i++)
        next = sooner(next, node_tend(l, node_at(l, i), now));
    if (l->stops == 0 && (l->announced || l->door.state == NODE_STARTING))
        next = sooner(next, front_of(l) ? node_tend(l, &l->door, now) : next);
    return next == INT64_MAX ? -1 : next > now ? (int)(next - now) : 0;
}

static bool is_over(struct launcher *l)
{
    return l->stops > 0 && instances_are_gone(l) && l->checker.pid == 0 &&
           l->door.child.pid == 0 && child_is_silent(&l->door.child);
}

static void turn(struct launcher *l)
{
    struct pollfd fds[2 * (LAUNCHER_MAX + 2) + 1];
    struct child *owners[2 * (LAUNCHER_MAX + 2)];
    nfds_t n = 0;
    int wait = tend(l);

    for (unsigned i = 0; i < l->options->count + 2; i++) {
        struct child *c = i < l->options->count    ? &node_at(l, i)->child
                          : i == l->options->count ? &l->checker
                                                   : &l->door.child;
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

static void name_door(struct launcher *l)
{
    const struct front *front = front_of(l);
    const char *host = front_host(front);

    child_init(&l->door.child, front_name(front), l->options->count);
    snprintf(l->door.url, sizeof l->door.url,
             strchr(host, ':') ? "http://[%s]:%u/" : "http://%s:%u/", host,
             front_port(front));
}

static void start_all(struct launcher *l)
{
    char name[16];

    child_init(&l->checker, "check", l->options->count + 1);
    child_init(&l->door.child, "", 0);
    if (front_of(l))
        name_door(l);
    for (unsigned i = 0; i < l->options->count; i++) {
        snprintf(name, sizeof name, "node%u", i + 1);
        child_init(&node_at(l, i)->child, name, i);
    }
    for (unsigned i = 0; i < l->options->count && !l->failed; i++)
        node_start(l, node_at(l, i));
}

static bool is_ignored(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int launcher_run(const struct launcher_options *options)
{
    struct launcher l = {.options = options,
                         .patience_ms = options->patience_ms,
                         .has_terminal = has_terminal(),
                         .outlives = is_ignored(SIGHUP)};
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &l.mask);
    signal(SIGCHLD, SIG_DFL); /* ignored by our parent, it would not come */
    l.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l.signals < 0) {
        child_say("cannot wait for signals: %s", strerror(errno));
        return 1;
    }
    l.nodes = mem_zero(options->count * sizeof *l.nodes);
    start_all(&l);
    if (l.failed)
        stop(&l);
    while (!is_over(&l))
        turn(&l);
    for (unsigned i = 0; i < options->count; i++)
        child_release(&l.nodes[i].child);
    child_release(&l.checker);
    child_release(&l.door.child);
    close(l.signals);
    free(l.nodes);
    sigprocmask(SIG_SETMASK, &l.mask, NULL);
    return l.failed;
}
