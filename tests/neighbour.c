/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/neighbour.h"

#include "session/instant.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define UP_MS 20000

static int loopback(int port, struct sockaddr_in *a)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        abort();
    *a = (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd;
}

int neighbour_port(void)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int fd = loopback(0, &a);
    if (bind(fd, (struct sockaddr *)&a, len) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        abort();
    close(fd);
    return ntohs(a.sin_port);
}

int neighbour_listen(int *port)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int fd = loopback(0, &a);
    if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 10) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        abort();
    *port = ntohs(a.sin_port);
    return fd;
}

int neighbour_connect(int port)
{
    struct timeval limit = {.tv_sec = 2};
    struct sockaddr_in a;
    int fd = loopback(port, &a);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

void neighbour_begin(pid_t parent, const char *log)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || getppid() != parent)
        _exit(127);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
}

bool neighbour_is_up(pid_t *pid, bool (*answers)(void *server), void *server)
{
    int64_t end = instant_read().mono + UP_MS;
    while (instant_read().mono < end) {
        if (answers(server))
            return true;
        if (waitpid(*pid, NULL, WNOHANG) == *pid) {
            *pid = 0;
            return false;
        }
        poll(NULL, 0, 2);
    }
    return false;
}

void neighbour_kill(pid_t *pid)
{
    if (*pid <= 0)
        return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}
