/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/cmdline.h"

#include "container/cmdline_help.h"
#include "container/launcher.h"
#include "container/properties.h"
#include "session/buf.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t command_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- where things are ---- */

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Beside the executable, else where `make install` put it. folder: that of the
 * executable. */
static void find_place(char out[PATH_MAX], const char *folder,
                       const char *beside, const char *probe,
                       const char *installed)
{
    char path[PATH_MAX + 64], resolved[PATH_MAX];

    snprintf(path, sizeof path, "%s/../%s/%s", folder, beside, probe);
    if (exists(path)) {
        snprintf(path, sizeof path, "%s/../%s", folder, beside);
        if (realpath(path, resolved))
            installed = resolved;
    }
    snprintf(out, PATH_MAX, "%s", installed);
}

/* A value of the environment that is there and not empty. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void find_state(char out[PATH_MAX])
{
    const char *place;

    if ((place = environment("STATE_DIRECTORY"))) /* systemd: a:b:c */
        snprintf(out, PATH_MAX, "%.*s", (int)strcspn(place, ":"), place);
    else if ((place = environment("XDG_STATE_HOME")))
        snprintf(out, PATH_MAX, "%s/margay", place);
    else if ((place = environment("HOME")))
        snprintf(out, PATH_MAX, "%s/.local/state/margay", place);
    else
        snprintf(out, PATH_MAX, "/var/lib/margay");
}

static void find_places(struct command *c)
{
    ssize_t len = readlink("/proc/self/exe", c->executable, PATH_MAX - 1);
    char folder[PATH_MAX];
    char *slash;

    c->executable[len > 0 ? len : 0] = '\0';
    snprintf(folder, sizeof folder, "%s", c->executable);
    slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    find_place(c->conf, folder, "etc/margay", "server.xml", MARGAY_SYSCONFDIR);
    find_place(c->webapps, folder, "share/margay/webapps", "",
               MARGAY_DATADIR "/webapps");
    find_state(c->state);
}

/* ---- options ---- */

static const struct {
    const char *word;
    enum command_verb verb;
} verbs[] = {
    {"run", COMMAND_RUN},           {"check", COMMAND_CHECK},
    {"cluster", COMMAND_CLUSTER},   {"balancer", COMMAND_BALANCER},
    {"sessions", COMMAND_SESSIONS},
};

static enum command_verb verb_of(const char *word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].word, word) == 0)
            return verbs[i].verb;
    return COMMAND_NONE;
}

static const char *word_of(enum command_verb verb)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (verbs[i].verb == verb)
            return verbs[i].word;
    return NULL;
}

static int wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int wrong(const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "margay: ");
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    command_help_usage(stderr, NULL);
    return STATUS_USAGE;
}

/* Nothing is left to do after it. command: NULL, all of them. */
static int say_help(struct command *c, const char *command)
{
    command_help_print(stdout, command, c->conf);
    c->verb = COMMAND_NONE;
    return STATUS_OK;
}

static bool read_number(const char *text, long min, long max, unsigned *out)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end || n < min || n > max)
        return false;
    *out = (unsigned)n;
    return true;
}

static int define(struct command *c, const char *definition)
{
    bool own = strncmp(definition, "port=", 5) == 0 ||
               strncmp(definition, "node=", 5) == 0;
    struct err err = {""};

    if (own && c->verb == COMMAND_CLUSTER)
        return wrong("-D %s: cluster gives each instance its own; use -p",
                     definition);
    if (properties_define(c->properties, definition, &err) != RC_OK)
        return wrong("%s", err.text);
    return STATUS_OK;
}

static int add_file(struct command *c, const char *file)
{
    if (c->balance.file_count == LAUNCHER_MAX)
        return wrong("-c %s: balancer takes at most 64", file);
    c->balance.files =
        mem_resize(c->balance.files,
                   (c->balance.file_count + 1) * sizeof *c->balance.files);
    c->balance.files[c->balance.file_count++] = mem_strdup(file);
    return STATUS_OK;
}

static int take_balance(struct command *c, int option, const char *argument)
{
    if (c->verb != COMMAND_BALANCER && c->verb != COMMAND_CLUSTER)
        return wrong("--%s is for balancer and cluster",
                     option == 's' ? "sticky" : "listen");
    if (option == 's') {
        bool cookie = strcmp(argument, "cookie") == 0;
        c->balance.sticky = cookie ? STICKY_COOKIE : STICKY_ROUTE;
        return cookie || strcmp(argument, "route") == 0
                   ? STATUS_OK
                   : wrong("--sticky %s: there are route and cookie", argument);
    }
    c->balance.listen = argument;
    return balancer_listen_is_good(argument)
               ? STATUS_OK
               : wrong("--listen %s: use PORT, or ADDRESS:PORT", argument);
}

static int take_sessions(struct command *c, int option, const char *argument)
{
    if (c->verb != COMMAND_SESSIONS)
        return wrong("%s %s is for sessions",
                     option == 'o' ? "-o" : "--context", argument);
    if (option == 'o' && !*argument)
        return wrong("-o is empty: name a FILE, or - for standard output");
    if (option == 'o')
        c->sessions.file = argument;
    else
        c->sessions.context = argument;
    return STATUS_OK;
}

static int take_option(struct command *c, int option, const char *argument)
{
    bool many = c->verb == COMMAND_CLUSTER;
    bool ports = many || c->verb == COMMAND_BALANCER;

    c->balance.counts |= option == 'n' || option == 'p';

    switch (option) {
    case 'c':
        if (c->verb == COMMAND_BALANCER)
            return add_file(c, argument);
        free(c->file);
        c->file = mem_strdup(argument);
        return STATUS_OK;
    case 'D':
        return define(c, argument);
    case 'n':
        if (ports && read_number(argument, 1, LAUNCHER_MAX, &c->count))
            return STATUS_OK;
        return wrong("-n %s: cluster and balancer take 1 to 64", argument);
    case 'p':
        if (ports && read_number(argument, 1, 65535, &c->port))
            return STATUS_OK;
        return wrong("-p %s: cluster and balancer take 1 to 65535", argument);
    case 'm':
        c->manager = argument;
        return many ? STATUS_OK
                    : wrong("--manager %s is for cluster", argument);
    case 'b':
        c->balancer = argument;
        return many ? STATUS_OK
                    : wrong("--balancer %s is for cluster", argument);
    case 's':
    case 'l':
        return take_balance(c, option, argument);
    case 'o':
    case 'x':
        return take_sessions(c, option, argument);
    case 'h':
        return say_help(c, word_of(c->verb));
    default:
        return wrong("wrong option, or one without its value");
    }
}

static int read_options(struct command *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"manager", required_argument, NULL, 'm'},
        {"balancer", required_argument, NULL, 'b'},
        {"sticky", required_argument, NULL, 's'},
        {"listen", required_argument, NULL, 'l'},
        {"context", required_argument, NULL, 'x'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, status = STATUS_OK;

    opterr = 0;
    while (status == STATUS_OK && c->verb != COMMAND_NONE &&
           (option = getopt_long(argc, argv, "c:D:n:p:o:h", options, NULL)) !=
               -1)
        status = take_option(c, option, optarg);
    return status;
}

static int choose_balancer(struct command *c)
{
    bool placed = c->balance.listen || c->balance.sticky != STICKY_ROUTE;

    c->balance.runs = c->balancer && strcmp(c->balancer, "none") != 0;
    if (c->balance.runs && !c->balance.listen)
        c->balance.listen = "127.0.0.1:8080"; /* as the instances */
    if (!c->balance.listen)
        c->balance.listen = "8080";
    if (c->verb == COMMAND_CLUSTER && placed && !c->balance.runs)
        return wrong("--listen and --sticky are for a balancer: add "
                     "--balancer haproxy, nginx or httpd");
    if (c->balance.runs && !balancer_find(c->balancer, &c->balance.kind))
        return wrong("--balancer %s: there are haproxy, nginx, httpd and none",
                     c->balancer);
    return STATUS_OK;
}

/* --manager NAME is NAME.xml beside the file that would be read. */
static int choose_manager(struct command *c)
{
    int folder =
        (int)(strrchr(c->file, '/') ? strrchr(c->file, '/') - c->file : 0);
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "%.*s/%s.xml", folder ? folder : 1,
             folder ? c->file : ".", c->manager);
    if (strchr(c->manager, '/') || !exists(path)) {
        fprintf(stderr,
                "margay: --manager %s: there is no %s: this version has "
                "standard, delta, backup, sqlite, file, redis and memcached\n",
                c->manager, path);
        return STATUS_REFUSED;
    }
    free(c->file);
    c->file = mem_strdup(path);
    return STATUS_OK;
}

static int choose_file(struct command *c)
{
    char path[PATH_MAX + 64];

    if (!c->file) {
        snprintf(path, sizeof path, "%s/server.xml", c->conf);
        c->file = mem_strdup(path);
    }
    return c->manager ? choose_manager(c) : STATUS_OK;
}

static int read_balancer(struct command *c, int argc, char **argv)
{
    if (optind + 1 != argc)
        return wrong("balancer takes one of haproxy, nginx, httpd");
    if (!balancer_find(argv[optind], &c->balance.kind))
        return wrong("unknown balancer \"%s\": there are haproxy, nginx and "
                     "httpd",
                     argv[optind]);
    if (c->balance.counts && c->balance.file_count > 0)
        return wrong("-n and -p are for instances that no -c FILE names");
    return STATUS_OK;
}

static int read_sessions(struct command *c, int argc, char **argv)
{
    const char *what = optind < argc ? argv[optind] : "";

    c->sessions.imports = strcmp(what, "import") == 0;
    if (!c->sessions.imports && strcmp(what, "export") != 0)
        return wrong("sessions takes one of export, import");
    if (!c->sessions.imports && optind + 1 == argc) {
        if (!c->sessions.file)
            c->sessions.file = "-";
        return STATUS_OK;
    }
    if (!c->sessions.imports)
        return wrong("what is \"%s\"? export writes -o FILE", argv[optind + 1]);
    if (c->sessions.file)
        return wrong("-o %s is for sessions export", c->sessions.file);
    if (optind + 2 != argc)
        return wrong("sessions import takes one FILE, or - for standard input");
    c->sessions.file = argv[optind + 1];
    return STATUS_OK;
}

static int read_rest(struct command *c, int argc, char **argv)
{
    int status = read_options(c, argc, argv);

    if (status != STATUS_OK || c->verb == COMMAND_NONE)
        return status;
    if (c->verb == COMMAND_BALANCER) {
        status = read_balancer(c, argc, argv);
        if (status != STATUS_OK)
            return status;
    } else if (c->verb == COMMAND_SESSIONS) {
        status = read_sessions(c, argc, argv);
        if (status != STATUS_OK)
            return status;
    } else if (optind != argc) {
        return wrong("what is \"%s\"?", argv[optind]);
    }
    status = choose_balancer(c);
    if (status != STATUS_OK)
        return status;
    if (c->port + c->count > 65536)
        return wrong("-p and -n go beyond port 65535");
    return choose_file(c);
}

int command_read(struct command *c, int argc, char **argv)
{
    *c = (struct command){
        .count = 3,
        .port = 8081,
        .begun_us = command_clock_us(),
    };
    find_places(c);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("margay %s\n", PACKAGE_VERSION);
        return STATUS_OK;
    }
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return say_help(c, NULL);
    if (argc < 2)
        return wrong("a command is missing");
    c->verb = verb_of(argv[1]);
    if (c->verb == COMMAND_NONE)
        return wrong("what is \"%s\"?", argv[1]);
    c->properties = properties_new();
    return read_rest(c, argc - 1, argv + 1);
}

void command_release(struct command *c)
{
    if (c->properties)
        properties_free(&c->properties);
    free(c->file);
    while (c->balance.file_count > 0)
        free(c->balance.files[--c->balance.file_count]);
    free(c->balance.files);
}
