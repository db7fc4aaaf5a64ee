/* SPDX-License-Identifier: Apache-2.0
 *
 * start PATH COMMAND...: starts a server once, and prints two numbers: the
 * microseconds from exec to its line "ready on http://ADDRESS:PORT/", and to
 * the end of the answer to a first GET of PATH. Then ends it with SIGTERM.
 * Exit 0 when the answer was 200 and the server ended with 0. */
#include "config.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The whole of it; SIGALRM then ends this program, and so the server. */
enum { PATIENCE_S = 30 };

static int64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The clock is read by the child, so that the cost of fork stays out. */
static pid_t launch(char **command, int output[2], int64_t *begun)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output[1], STDERR_FILENO);
    *begun = clock_us();
    execvp(command[0], command);
    _exit(127);
}

/* 0: it ended, or said something else for too long. */
static unsigned await_port(int fd, char *said, size_t size)
{
    static const char ready[] = " ready on http://";
    size_t len = 0;
    ssize_t n;

    while (len + 1 < size && (n = read(fd, said + len, size - len - 1)) > 0) {
        len += (size_t)n;
        said[len] = 0;
        const char *at = strstr(said, ready);
        if (!at || !strchr(at, '\n'))
            continue;
        at = strchr(at + sizeof(ready) - 1, ':');
        return at ? (unsigned)strtoul(at + 1, NULL, 10) : 0;
    }
    return 0;
}

static bool get(unsigned port, const char *path)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    char text[4096];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = false;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int len = snprintf(text, sizeof(text),
                       "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n"
                       "Connection: close\r\n\r\n",
                       path, port);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        write(fd, text, (size_t)len) == len) {
        ok = read(fd, text, sizeof(text)) > 12 &&
             memcmp(text, "HTTP/1.1 200", 12) == 0;
        while (read(fd, text, sizeof(text)) > 0)
            ;
    }
    close(fd);
    return ok;
}

int main(int argc, char **argv)
{
    int64_t *begun = mmap(NULL, sizeof(*begun), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char said[8192] = "";
    int output[2], status = 1;

    if (argc < 3 || begun == MAP_FAILED || pipe(output) != 0) {
        fprintf(stderr, "usage: start PATH COMMAND...\n");
        return 2;
    }
    alarm(PATIENCE_S);
    pid_t pid = launch(argv + 2, output, begun);
    if (pid < 0) {
        perror("start: fork");
        return 1;
    }
    close(output[1]);
    unsigned port = await_port(output[0], said, sizeof(said));
    int64_t ready = clock_us();
    bool ok = port && get(port, argv[1]);
    int64_t first = clock_us();
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    if (!ok || status != 0) {
        fprintf(stderr, "start: no answer, or status %d, from:\n%s\n", status,
                said);
        return 1;
    }
    printf("%lld %lld\n", (long long)(ready - *begun),
           (long long)(first - *begun));
    return 0;
}
