/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/launcher_nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define SECONDS_MAX 1000000 /* of a drain; nobody means more */
#define TELL_MS 10000       /* between two lines about what is waited for */

static void roll_end(struct launcher *l)
{
    l->rolls = l->roll_again = false;
}

void roll_begin(struct launcher *l)
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
    l->roll_began = l->told_at = launcher_clock();
    l->check_due = l->roll_began + (l->patience_ms > LAUNCHER_GRACE_MS
                                        ? l->patience_ms
                                        : LAUNCHER_GRACE_MS);
    l->check_late = false;
    l->heard_ms = 0;
    if (launcher_start(l, &l->checker, "check", 0))
        return;
    child_say("rolling restart: %s cannot be run: %s; nothing was restarted",
              l->options->executable, strerror(errno));
    roll_end(l);
}

/* "stop  drain 3 s, then at most 10 s" */
void roll_heard(struct launcher *l, const char *line)
{
    long drain, timeout;

    if (sscanf(line, "stop drain %ld s, then at most %ld s", &drain,
               &timeout) == 2 &&
        drain >= 0 && drain <= SECONDS_MAX && timeout >= 0 &&
        timeout <= SECONDS_MAX)
        l->heard_ms = (drain + timeout) * 1000 + LAUNCHER_GRACE_MS;
}

void roll_checked(struct launcher *l, int status)
{
    char text[64];

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (l->heard_ms)
            l->patience_ms = l->heard_ms;
        return;
    }
    child_say("rolling restart: margay check %s; nothing was restarted: mend "
              "the configuration, and send SIGHUP again",
              l->check_late ? "did not end" : launcher_end_of(status, text));
    roll_end(l);
}

/* It reads a file that nobody writes, or from a folder that hangs. */
static int64_t check_on(struct launcher *l, int64_t now)
{
    if (now >= l->check_due) {
        l->check_late = true;
        child_signal(&l->checker, SIGKILL);
    }
    return now < l->check_due ? l->check_due : now + TELL_MS;
}

void roll_failed(struct launcher *l, const struct node *n)
{
    if (!l->rolls || l->rolled == 0 || n != &l->nodes[l->rolled - 1])
        return;
    child_say("rolling restart: stops here, since %s does not start; the "
              "others go on as they are: mend it, and send SIGHUP again",
              n->child.name);
    roll_end(l);
}

/* The first that is not ready, or NULL. */
static const struct node *waits_for(const struct launcher *l)
{
    for (unsigned i = 0; i < l->options->count; i++)
        if (l->nodes[i].state != NODE_READY)
            return &l->nodes[i];
    return l->options->front && l->door.state != NODE_READY ? &l->door : NULL;
}

static void roll_finish(struct launcher *l)
{
    bool again = l->roll_again;

    child_say("rolling restart: %u instances replaced in %.1f s",
              l->options->count,
              (double)(launcher_clock() - l->roll_began) / 1000);
    roll_end(l);
    if (again)
        roll_begin(l);
}

static void roll_next(struct launcher *l, int64_t now)
{
    struct node *next = &l->nodes[l->rolled];

    l->told_at = now;
    l->rolled++;
    child_say("rolling restart: %s (%u of %u)", next->child.name, l->rolled,
              l->options->count);
    launcher_leave(l, next);
}

int64_t roll_on(struct launcher *l, int64_t now)
{
    const struct node *slow;

    if (!l->rolls || l->stops > 0)
        return INT64_MAX;
    if (l->checker.pid > 0)
        return check_on(l, now);
    slow = waits_for(l);
    if (slow && now - l->told_at >= TELL_MS) {
        l->told_at = now;
        child_say("rolling restart: waits until %s is ready", slow->child.name);
    }
    if (slow)
        return now + TELL_MS;
    if (now < l->settled_at)
        return l->settled_at;
    if (l->rolled == l->options->count)
        roll_finish(l);
    else
        roll_next(l, now);
    return now + TELL_MS;
}
