/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/ask.h"
#include "tests/child.h"
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

struct child child_start(const char *mode)
{
    int in[2], out[2];
    struct child c = {0};

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        abort();
    c.pid = fork();
    if (c.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/proc/self/exe", "child", "--child", mode, shelf_path(""),
              (char *)NULL);
        _exit(126);
    }
    close(in[0]);
    close(out[1]);
    c.in = in[1];
    c.out = fdopen(out[0], "r");
    return c;
}

static void child_line(struct child *c, char *line, int size)
{
    if (!fgets(line, size, c->out))
        snprintf(line, (size_t)size, "(nothing)\n");
    line[strcspn(line, "\n")] = '\0';
}

void child_expect(struct child *c, const char *line)
{
    char found[512];

    child_line(c, found, sizeof found);
    CHECK_STR(found, line);
}

int child_end(struct child *c, int sig)
{
    int status = 0;

    if (sig)
        kill(c->pid, sig);
    close(c->in);
    waitpid(c->pid, &status, 0);
    fclose(c->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_case(const char *mode)
{
    struct child child = child_start(mode);
    char line[512];
    int status;

    child_line(&child, line, sizeof line);
    status = child_end(&child, 0);
    if (status == 77)
        SKIP("%s", line);
    CHECK_STR(line, "done");
    CHECK_INT(status, 0);
}

/* --- inside --------------------------------------------------------------- */

void child_wait(void)
{
    char c;

    while (read(0, &c, 1) < 0 && errno == EINTR)
        ;
}

static int child_on_disk(int (*run)(void))
{
    char dir[512];

    snprintf(dir, sizeof dir, "%s", shelf_path(""));
    *strrchr(dir, '/') = '\0';
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWNS | CLONE_NEWUSER)) {
        puts("no mount namespace");
        return 77;
    }
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=1m")) {
        puts("no mount");
        return 77;
    }
    return run();
}

int child_main(const struct child_mode *modes, const char *mode,
               const char *shelf)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    shelf_at(shelf);
    for (; modes->name; modes++)
        if (strcmp(modes->name, mode) == 0)
            return modes->on_disk ? child_on_disk(modes->run) : modes->run();
    return 2;
}
