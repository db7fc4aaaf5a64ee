/* SPDX-License-Identifier: Apache-2.0
 *
 * e_start.c: the command line: what it prints, how it ends, how fast it is
 * there, and what becomes of a cluster's children. */
#include "config.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define PATIENCE_MS 20000

/* One started program; both its outputs come through one pipe. */
struct program {
    pid_t pid;
    int from;
    struct buf said;
    int status; /* exit status; 128 + n: ended by signal n */
};

static struct program p;
static char home[PATH_MAX]; /* HOME and the state of this program's margays */

static void before(void)
{
    p = (struct program){.from = -1};
    buf_init(&p.said, 1 << 20);
    snprintf(home, sizeof home, "%s/home-XXXXXX", unit_tmpdir());
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(home));
    if (!getenv("MARGAY"))
        SKIP("no $MARGAY: run by make check, which installs one");
}

static void after(void)
{
    if (p.pid > 0) {
        kill(p.pid, SIGKILL);
        waitpid(p.pid, NULL, 0);
    }
    if (p.from >= 0)
        close(p.from);
    buf_release(&p.said);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *said(void)
{
    return buf_str(&p.said);
}

static void start(char *const *arguments)
{
    char *argv[16] = {getenv("MARGAY")};
    int ends[2];

    for (size_t i = 0; arguments[i]; i++)
        argv[i + 1] = arguments[i];
    CHECK_INT_FATAL(pipe2(ends, O_CLOEXEC), 0);
    p.pid = fork();
    CU_ASSERT_FATAL(p.pid >= 0);
    if (p.pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        setenv("HOME", home, 1);
        unsetenv("XDG_STATE_HOME");
        unsetenv("STATE_DIRECTORY");
        execv(argv[0], argv);
        _exit(126);
    }
    close(ends[1]);
    if (p.from >= 0)
        close(p.from);
    p.from = ends[0];
    buf_reset(&p.said);
}
#define START(...) start((char *[]){__VA_ARGS__, NULL})

/* Reads on until `text` was said, or, with NULL, until the end. */
static bool wait_for(const char *text)
{
    int64_t until = now_ms() + PATIENCE_MS;
    char bytes[4096];

    while (!text || !strstr(said(), text)) {
        struct pollfd fd = {.fd = p.from, .events = POLLIN};
        int64_t left = until - now_ms();
        ssize_t n;
        if (left <= 0 || poll(&fd, 1, (int)left) <= 0)
            return false;
        n = read(p.from, bytes, sizeof bytes);
        if (n <= 0)
            return !text;
        buf_add(&p.said, bytes, (size_t)n);
    }
    return true;
}

/* To its end. */
static int finish(void)
{
    int status = -1;

    CU_ASSERT(wait_for(NULL));
    CU_ASSERT_EQUAL(waitpid(p.pid, &status, 0), p.pid);
    p.pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
#define RUN(...) (START(__VA_ARGS__), finish())

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static char *write_file(const char *text)
{
    static char path[PATH_MAX + 16];
    FILE *f;

    snprintf(path, sizeof path, "%s/x.xml", home);
    f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static bool connects(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = connect(s, (struct sockaddr *)&to, sizeof to) == 0;

    close(s);
    return there;
}

/* The first of `count` ports in a row that nobody uses now. */
static unsigned free_ports(unsigned count)
{
    for (unsigned first = 20000 + (unsigned)getpid() % 10000; first < 60000;
         first += count) {
        unsigned n = 0;
        while (n < count) {
            struct sockaddr_in at = {.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)(first + n)),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
            int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            bool is_free = bind(s, (struct sockaddr *)&at, sizeof at) == 0;
            close(s);
            if (!is_free)
                break;
            n++;
        }
        if (n == count)
            return first;
    }
    return 0;
}

/* ---- what it prints, and its exit status ---- */

static void version_and_help(void)
{
    CHECK_INT(RUN("--version"), 0);
    CHECK_STR(said(), "margay " PACKAGE_VERSION "\n");
    CHECK_INT(RUN("--help"), 0);
    CU_ASSERT(strncmp(said(), "usage: margay run ", 18) == 0);
    CHECK_INT(RUN("run", "--help"), 0);
    CU_ASSERT(strncmp(said(), "usage: margay run ", 18) == 0);
    CU_ASSERT_PTR_NULL(strstr(said(), "--balancer"));
    CHECK_INT(RUN("cluster", "--help"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "\n  --balancer WHAT "));
}

static void wrong_usage(void)
{
    static char *const all[][6] = {
        {NULL},
        {"walk"},
        {"run", "now"},
        {"run", "-c"},
        {"run", "-x"},
        {"run", "-n", "3"},
        {"run", "-D", "port"},
        {"run", "-D", "=8081"},
        {"check", "--manager", "sqlite"},
        {"cluster", "-n", "0"},
        {"cluster", "-n", "65"},
        {"cluster", "-p", "x"},
        {"cluster", "-p", "65535"},
        {"cluster", "-D", "port=1"},
        {"cluster", "-D", "node=a"},
        {"cluster", "--balancer", "pound"},
        {"balancer"},
        {"balancer", "haproxy", "nginx"},
        {"run", "--sticky", "route"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        start(all[i]);
        unit_check_int(finish(), 2, all[i][0] ? all[i][0] : "nothing", __FILE__,
                       __LINE__, false);
        CU_ASSERT(strncmp(said(), "margay: ", 8) == 0);
    }
}

static void check_of_what_is_shipped(void)
{
    CHECK_INT(RUN("check"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "etc/margay/server.xml: understood"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "http://127.0.0.1:8080/"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "/login"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "PersistentManager"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "SQLiteStore"));
    CU_ASSERT_PTR_NULL(strstr(said(), "warning"));
    /* It reads, it makes nothing. */
    CU_ASSERT_EQUAL(rmdir(home), 0);
}

static void every_shipped_file_knows_the_properties(void)
{
    static const char *const files[] = {"server", "sqlite", "standard", "delta",
                                        "redis"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char file[PATH_MAX];
        snprintf(file, sizeof file, "%s/etc/margay/%s.xml",
                 getenv("MARGAY_STAGE"), files[i]);
        CHECK_INT(RUN("check", "-c", file, "-D", "address=127.0.0.2", "-D",
                      "maxInactive=60", "-D", "maxLifetime=600", "-D",
                      "waitTimeout=2", "-D", "manager.password=x"),
                  0);
        CU_ASSERT_PTR_NULL(strstr(said(), "warning"));
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), "http://127.0.0.2:8080/"));
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), "idle 60 s, at most 600 s"));
        CHECK_INT(RUN("check", "-c", file, "-D", "drain=5", "-D",
                      "store.path=/x/y.db", "-D", "metrics.allow=all", "-D",
                      "login.anyone=true", "-D", "node=n7"),
                  0);
        CU_ASSERT_PTR_NULL(strstr(said(), "warning"));
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), "n7"));
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), "drain 5 s"));
        if (strcmp(files[i], "redis") != 0)
            continue;
        CHECK_INT(RUN("check", "-c", file, "-D",
                      "store.url=redis://kim:se@cr:et@10.0.0.7:7/1"),
                  0);
        CU_ASSERT_PTR_NOT_NULL(
            strstr(said(), "store.url    redis://...@10.0.0.7:7/1\n"));
    }
}

static char *delta_file(void)
{
    static char file[PATH_MAX];

    snprintf(file, sizeof file, "%s/etc/margay/delta.xml",
             getenv("MARGAY_STAGE"));
    return file;
}

static void check_tells_of_the_cluster(void)
{
    static char *const wrong[] = {"cluster.members=a", "cluster.key=xy",
                                  "cluster.address=192.0.2.1",
                                  "cluster.keyFile=/nowhere"};

    CHECK_INT(RUN("check", "-c", delta_file(), "-D", "cluster.port=4100"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "; replication all; idle 1800 s\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(said(), "cluster      SimpleTcpCluster\n"
                       "  \"margay\" at 127.0.0.1:4100, or the next free port "
                       "up to 4199\n"
                       "  members are found by multicast at "
                       "228.0.0.4:45564\n"
                       "  no key: members on this machine only\n"
                       "  a member is given up after 3000 ms of silence\n"));
    CHECK_INT(RUN("check", "-c", delta_file(), "-D",
                  "cluster.members=192.0.2.1:4000,192.0.2.2:4000", "-D",
                  "cluster.key=00112233445566778899aabbccddeeff", "-D",
                  "cluster.dropTime=5", "-D", "replication=one", "-D",
                  "cluster.address=192.0.2.1"),
              0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "; replication one; "));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(said(), "  \"margay\" at 192.0.2.1:4000\n"
                       "  members: 192.0.2.1:4000, 192.0.2.2:4000\n"
                       "  a key: links speak TLS\n"
                       "  a member is given up after 5000 ms of silence\n"));
    CU_ASSERT_PTR_NULL(strstr(said(), "00112233"));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_INT(RUN("check", "-c", delta_file(), "-D", wrong[i]), 1);
        CHECK_INT(count_lines(said()), 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), "/delta.xml:"));
    }
}

static void what_is_refused_is_one_line(void)
{
    char *bad = write_file("<Server>\n<Foo/></Server>");

    CHECK_INT(RUN("check", "-c", bad), 1);
    CHECK_INT(count_lines(said()), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "x.xml:2: unknown element <Foo>"));
    CHECK_INT(RUN("run", "-c", bad), 1);
    CHECK_INT(count_lines(said()), 1);
    CHECK_INT(RUN("cluster", "-c", bad), 1);
    CHECK_INT(count_lines(said()), 1);
    CHECK_INT(RUN("check", "-c", "/nowhere/server.xml"), 1);
    CHECK_INT(count_lines(said()), 1);
}

static void what_is_found_late_has_its_line_too(void)
{
    char *file =
        write_file("<Server\n metricsAllow='${m:-all}'><Service>"
                   "<Connector port='0' address='127.0.0.1'/><Engine>"
                   "<Host appBase='apps'/></Engine></Service></Server>");
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "%s/apps", home);
    mkdir(path, 0700);
    CHECK_INT(RUN("run", "-c", file, "-D", "m=nobody"), 1);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(said(), "x.xml:1: metrics.allow: \"nobody\""));
    snprintf(path, sizeof path, "%s/apps/a", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/apps/a/WEB-INF", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/apps/a/WEB-INF/web.xml", home);
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs("<web-app>\n<servlet><servlet-name>a</servlet-name>\n"
          "<servlet-class>nobody</servlet-class></servlet></web-app>",
          f);
    fclose(f);
    CHECK_INT(RUN("run", "-c", file), 1);
    CHECK_INT(count_lines(said()), 1);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(said(), "apps/a/WEB-INF/web.xml:2: class nobody: "));
}

static void who_refuses_to_start_is_named(void)
{
    CHECK_INT(RUN("run", "-D", "port=0", "-D", "login.playground=no"), 1);
    char *refused = strstr(said(), "/login/WEB-INF/web.xml:");
    CU_ASSERT_PTR_NOT_NULL_FATAL(refused);
    CU_ASSERT(strtol(refused + 23, NULL, 10) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(refused, " refused to start: see its lines"));
    snprintf(home, sizeof home, "/dev/null");
    CHECK_INT(RUN("run", "-D", "port=0"), 1);
    CHECK_INT(count_lines(said()), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        said(), ": the state folder /dev/null/.local/state/margay cannot be "));
    char *line = strstr(said(), "/server.xml:");
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    CU_ASSERT(strtol(line + 12, NULL, 10) > 1); /* its <Store> */
}

static void an_unknown_manager_is_one_line(void)
{
    CHECK_INT(RUN("cluster", "--manager", "etcd"), 1);
    CHECK_INT(count_lines(said()), 1);
}

static void a_switch_is_true_or_false(void)
{
    static char *const unusable[] = {"login.anyone=TRUE", "login.anyone=maybe",
                                     "login.playground=no"};
    for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
        CHECK_INT(RUN("run", "-D", "port=0", "-D", unusable[i]), 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), " ERROR "));
        CU_ASSERT_PTR_NOT_NULL(strstr(said(), "\": write true or false\n"));
    }
}

static void a_misspelt_property_is_told(void)
{
    CHECK_INT(RUN("check", "-D", "prot=1"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "warning: -D prot: no file asks for "
                                          "${prot}: look whether its name is "
                                          "right\n"));
}

/* ---- run ---- */

static void run_and_stop(void)
{
    char folder[PATH_MAX + 64];
    struct stat st;

    START("run", "-D", "port=0", "-D", "node=n1");
    CU_ASSERT(wait_for("margay: n1 ready on http://127.0.0.1:"));
    CU_ASSERT(wait_for(" ms\n"));
    kill(p.pid, SIGTERM);
    CHECK_INT(finish(), 0);
    snprintf(folder, sizeof folder, "%s/.local/state/margay", home);
    CHECK_INT_FATAL(stat(folder, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0700);
}

static bool is_there(unsigned port)
{
    for (int64_t until = now_ms() + PATIENCE_MS; now_ms() < until;) {
        if (connects(port))
            return true;
        poll(NULL, 0, 5);
    }
    return false;
}

/* As some supervisors start programs. */
static void run_without_standard_files(void)
{
    unsigned first = free_ports(1);
    char port[32];
    int status = -1;

    CU_ASSERT_FATAL(first > 0);
    snprintf(port, sizeof port, "port=%u", first);
    p.pid = fork();
    CU_ASSERT_FATAL(p.pid >= 0);
    if (p.pid == 0) {
        setenv("HOME", home, 1);
        for (int fd = 0; fd <= STDERR_FILENO; fd++)
            close(fd);
        execl(getenv("MARGAY"), "margay", "run", "-D", port, NULL);
        _exit(126);
    }
    CU_ASSERT(is_there(first));
    kill(p.pid, SIGTERM);
    CU_ASSERT_EQUAL(waitpid(p.pid, &status, 0), p.pid);
    p.pid = 0;
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void run_with_as_many_files_as_allowed(void)
{
    struct rlimit before, files;

    CHECK_INT_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    files = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
    CHECK_INT_FATAL(setrlimit(RLIMIT_NOFILE, &files), 0);
    START("run", "-D", "port=0");
    CU_ASSERT(wait_for(" ms\n"));
    CHECK_INT(prlimit(p.pid, RLIMIT_NOFILE, NULL, &files), 0);
    CHECK_INT((int64_t)files.rlim_cur, (int64_t)before.rlim_max);
    kill(p.pid, SIGTERM);
    CHECK_INT(finish(), 0);
    setrlimit(RLIMIT_NOFILE, &before);
}

/* A machine on which it never ran: the folder is there before it is needed. */
static void run_and_save(void)
{
    static const char text[] =
        "<Server><Service name='a'><Connector port='0' address='127.0.0.1'/>"
        "<Engine name='a'><Manager pathname='saved'/>"
        "<Host name='localhost' appBase='${webapps}'/></Engine></Service>"
        "</Server>";
    char path[PATH_MAX + 64];
    struct stat st;

    START("run", "-c", write_file(text));
    CU_ASSERT(wait_for(" ms\n"));
    snprintf(path, sizeof path, "%s/.local/state/margay", home);
    CHECK_INT_FATAL(stat(path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0700);
    kill(p.pid, SIGTERM);
    CHECK_INT(finish(), 0);
    CU_ASSERT_PTR_NULL(strstr(said(), "ERROR"));
}

static void interrupt_while_draining(void)
{
    START("run", "-D", "port=0", "-D", "drain=3600");
    CU_ASSERT(wait_for(" ms\n"));
    kill(p.pid, SIGINT);
    CU_ASSERT(wait_for("draining for 3600 s"));
    kill(p.pid, SIGINT);
    CHECK_INT(finish(), 0);
}

static void a_port_in_use_is_told(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    char port[32];
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_INT_FATAL(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_INT_FATAL(listen(s, 1), 0);
    CHECK_INT_FATAL(getsockname(s, (struct sockaddr *)&at, &len), 0);
    snprintf(port, sizeof port, "port=%u", ntohs(at.sin_port));
    CHECK_INT(RUN("run", "-D", port), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "etc/margay/server.xml:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), port + 5));
    close(s);
}

/* Whoever started this said that times mean little. */
static bool is_slow(void)
{
    const char *slowness = getenv("MARGAY_TEST_SLOWNESS");
    const char *sanitizers = getenv("SANITIZE");

    return (slowness && atoi(slowness) > 1) || (sanitizers && *sanitizers);
}

/* The aim is 30 ms from exec; the machine may be busy, so one start within
 * them is enough, and waiting for a processor is none of it. */
static void ready_at_once(void)
{
    int64_t best = INT64_MAX;

    if (is_slow())
        SKIP("sanitizers slow it down");
    for (int i = 0; i < 40 && best > 30; i++) {
        int64_t begun = now_ms(), took;
        char store[PATH_MAX + 64];
        snprintf(store, sizeof store, "store.path=%s/%d.db", home, i);
        START("run", "-D", "port=0", "-D", store);
        CU_ASSERT_FATAL(wait_for("ready on"));
        took = now_ms() - begun - unit_starved_ms(p.pid);
        best = took < best ? took : best;
        kill(p.pid, SIGTERM);
        CHECK_INT(finish(), 0);
    }
    printf("ready %d ms after fork\n", (int)best);
    CU_ASSERT(best <= 30);
}

/* ---- cluster ---- */

static void start_cluster(unsigned first)
{
    char port[16], store[PATH_MAX + 64];

    snprintf(port, sizeof port, "%u", first);
    snprintf(store, sizeof store, "store.path=%s/sessions.db", home);
    START("cluster", "-n", "2", "-p", port, "-D", store, "-D", "drain=0");
    CU_ASSERT_FATAL(wait_for("2 instances are ready"));
}

static void a_cluster_and_its_end(void)
{
    unsigned first = free_ports(2);
    char text[64];

    CU_ASSERT_FATAL(first > 0);
    start_cluster(first);
    snprintf(text, sizeof text, "  node2 http://127.0.0.1:%u/\n", first + 1);
    CU_ASSERT(wait_for(text));
    snprintf(text, sizeof text,
             "node1 | margay: node1 ready on http://127.0.0.1:%u/ in", first);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), text));
    CU_ASSERT(connects(first));
    CU_ASSERT(connects(first + 1));
    kill(p.pid, SIGTERM);
    CHECK_INT(finish(), 0);
    CU_ASSERT(!connects(first));
    CU_ASSERT(!connects(first + 1));
}

/* A launcher that is killed takes its instances along: they hold the other end
 * of the pipe, which ends when they do. */
static void a_killed_launcher(void)
{
    unsigned first = free_ports(2);

    CU_ASSERT_FATAL(first > 0);
    start_cluster(first);
    kill(p.pid, SIGKILL);
    CHECK_INT(finish(), 128 + SIGKILL);
    for (int64_t until = now_ms() + PATIENCE_MS;
         connects(first) || connects(first + 1);) {
        CU_ASSERT_FATAL(now_ms() < until);
        poll(NULL, 0, 5);
    }
}

/* A port that is taken: nothing stays behind. */
static void a_cluster_starts_whole_or_not(void)
{
    unsigned first = free_ports(2);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char port[16], store[PATH_MAX + 64];
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_port = htons((uint16_t)(first + 1));
    CHECK_INT_FATAL(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_INT_FATAL(listen(s, 1), 0);
    snprintf(port, sizeof port, "%u", first);
    snprintf(store, sizeof store, "store.path=%s/sessions.db", home);
    CHECK_INT(
        RUN("cluster", "-n", "2", "-p", port, "-D", store, "-D", "drain=0"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "node2 ended with status 1"));
    CU_ASSERT(!connects(first));
    close(s);
}

/* Tomcat's <Cluster/> alone: the Engine has no jvmRoute, so nobody has a name,
 * and members know each other all the same. */
static void members_need_no_names(void)
{
    char *file = write_file(
        "<Server><Service><Connector address='127.0.0.1' port='${port}'/>"
        "<Engine name='${node}'><Cluster className='SimpleTcpCluster' "
        "port='${cluster.port}' members='${cluster.members}'/>"
        "<Host appBase='apps'/></Engine></Service></Server>");
    unsigned first = free_ports(4);
    char port[16], member[32], list[96], apps[PATH_MAX + 64];

    CU_ASSERT_FATAL(first > 0);
    snprintf(apps, sizeof apps, "%s/apps", home);
    mkdir(apps, 0700);
    snprintf(port, sizeof port, "%u", first);
    snprintf(member, sizeof member, "cluster.port=%u", first + 2);
    snprintf(list, sizeof list, "cluster.members=127.0.0.1:%u,localhost:%u",
             first + 2, first + 3);
    for (int i = 0; i < 2; i++) { /* a list from the launcher, or given */
        START("cluster", "-c", file, "-n", "2", "-p", port, "-D", member, "-D",
              i ? list : "drain=0");
        CU_ASSERT(wait_for("cluster: linked to member-"));
        CU_ASSERT(wait_for("2 instances are ready"));
        kill(p.pid, SIGTERM);
        CHECK_INT(finish(), 0);
    }
}

/* The port of a member: said before anything is started. */
static void a_member_s_port_is_looked_at_first(void)
{
    unsigned first = free_ports(3);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    char port[16], member[32], holder[64];
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(first > 0);
    CHECK_INT_FATAL(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_INT_FATAL(listen(s, 1), 0);
    CHECK_INT_FATAL(getsockname(s, (struct sockaddr *)&at, &len), 0);
    snprintf(port, sizeof port, "%u", first);
    snprintf(member, sizeof member, "cluster.port=%u", ntohs(at.sin_port));
    snprintf(holder, sizeof holder, "127.0.0.1 port %u,", ntohs(at.sin_port));
    CHECK_INT(RUN("cluster", "--manager", "delta", "-p", port, "-D", member),
              1);
    CHECK_INT(count_lines(said()), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), "/delta.xml:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said(), holder));
    close(s);
}

/* ---- a member that waits for another ---- */

/* The status that /health answers; 0: nobody listens yet. */
static int health(unsigned port)
{
    static const char ask[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    char answer[64] = "";
    int status = 0, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(s, (struct sockaddr *)&to, sizeof to) == 0 &&
        send(s, ask, sizeof ask - 1, MSG_NOSIGNAL) > 0 &&
        recv(s, answer, sizeof answer - 1, MSG_WAITALL) > 0)
        sscanf(answer, "HTTP/1.1 %d", &status);
    close(s);
    return status;
}

static int listen_mutely(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_INT_FATAL(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_INT_FATAL(listen(s, 16), 0);
    return s;
}

/* Begins a member at first + 1, the other being at first + 2; its dropTime is a
 * second. When it began. */
static int64_t start_member(unsigned first)
{
    char port[32], member[32], members[96];
    int64_t begun = now_ms();

    snprintf(port, sizeof port, "port=%u", first);
    snprintf(member, sizeof member, "cluster.port=%u", first + 1);
    snprintf(members, sizeof members,
             "cluster.members=127.0.0.1:%u,127.0.0.1:%u", first + 1, first + 2);
    START("run", "-c", delta_file(), "-D", port, "-D", member, "-D", members,
          "-D", "cluster.dropTime=1");
    return begun;
}

/* It takes connections and says nothing, as a process that was stopped. What
 * it has is not known: until it may be given up nobody may answer. The first
 * answer may come too late on a busy machine. */
static void starting_until_the_silent_are_given_up(void)
{
    bool was_starting = false;

    for (int i = 0; i < 5 && !was_starting; i++) {
        unsigned first = free_ports(3);
        CU_ASSERT_FATAL(first > 0);
        int other = listen_mutely(first + 2), status;
        int64_t begun = start_member(first), answered;
        while ((status = health(first)) == 0 && now_ms() < begun + PATIENCE_MS)
            poll(NULL, 0, 2);
        answered = now_ms();
        CU_ASSERT(status == 503 || answered - begun >= 1000);
        was_starting = status == 503;
        CU_ASSERT_FATAL(wait_for("ready on"));
        CU_ASSERT(now_ms() - begun >= 1000);
        CHECK_INT(health(first), 200);
        kill(p.pid, SIGTERM);
        CHECK_INT(finish(), 0);
        close(other);
    }
    CU_ASSERT(was_starting || is_slow());
}

/* Nobody listens there: that member is not up, and nobody waits for it. */
static void a_dead_member_is_not_waited_for(void)
{
    int64_t best = INT64_MAX;

    for (int i = 0; i < 5 && best >= 1000; i++) {
        unsigned first = free_ports(3);
        CU_ASSERT_FATAL(first > 0);
        int64_t begun = start_member(first), took;
        CU_ASSERT_FATAL(wait_for("ready on"));
        took = now_ms() - begun - unit_starved_ms(p.pid);
        best = took < best ? took : best;
        CHECK_INT(health(first), 200);
        kill(p.pid, SIGTERM);
        CHECK_INT(finish(), 0);
    }
    CU_ASSERT(best < 1000 || is_slow());
}

UNIT_MAIN_AROUND(
    "start", before, after, CASE(version_and_help), CASE(wrong_usage),
    CASE(check_of_what_is_shipped),
    CASE(every_shipped_file_knows_the_properties),
    CASE(check_tells_of_the_cluster), CASE(what_is_refused_is_one_line),
    CASE(what_is_found_late_has_its_line_too),
    CASE(who_refuses_to_start_is_named), CASE(an_unknown_manager_is_one_line),
    CASE(a_switch_is_true_or_false), CASE(a_misspelt_property_is_told),
    CASE(run_and_stop), CASE(run_without_standard_files),
    CASE(run_with_as_many_files_as_allowed), CASE(run_and_save),
    CASE(interrupt_while_draining), CASE(a_port_in_use_is_told),
    CASE(ready_at_once), CASE(a_cluster_and_its_end), CASE(a_killed_launcher),
    CASE(a_cluster_starts_whole_or_not), CASE(members_need_no_names),
    CASE(a_member_s_port_is_looked_at_first),
    CASE(starting_until_the_silent_are_given_up),
    CASE(a_dead_member_is_not_waited_for))
