/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/cmdline_help.h"

#include <stdbool.h>
#include <string.h>

enum { WIDTH = 80 };

#define CONFIGURED "[-c FILE] [-D NAME=VALUE]..."
#define IN_FRONT "[--sticky route|cookie] [--listen [ADDRESS:]PORT]"

const struct command_help command_helps[] = {
    {"run", CONFIGURED,
     "one instance in the foreground; SIGTERM ends it in order",
     "It prints \"margay: NODE ready on URL in N ms\" on standard error "
     "once it serves and has its state."},
    {"cluster",
     CONFIGURED " [-n N] [-p PORT] [--manager NAME] "
                "[--balancer haproxy|nginx|httpd|none] " IN_FRONT,
     "N instances (3) on PORT (8081), PORT+1, ... named node1 ... One that "
     "crashes starts anew; SIGHUP replaces one after another",
     "The output of each is prefixed by its name."},
    {"check", CONFIGURED, "reads the configuration and says what it understood",
     "Nothing is made or changed, and nobody is reached; a mistake is told "
     "with file and line."},
    {"balancer",
     "haproxy|nginx|httpd [-n N] [-p PORT] [-c FILE]... "
     "[-D NAME=VALUE]... " IN_FRONT,
     "prints a configuration that shares users among N instances (3) on PORT "
     "(8081), PORT+1, ..., or among those of each FILE",
     NULL},
    {"sessions",
     "export|import " CONFIGURED " [--context PATH] [-o FILE|-] [FILE|-]",
     "a backup copy of the sessions in a PersistentManager's store, and back: "
     "export writes -o FILE (standard output), import reads FILE. It holds "
     "whole session ids and all that sessions hold: keep it secret",
     "One JSON object a line (docs/stored-form.md). No instance needs to run, "
     "and those that do go on; be the user that they run as. export -o makes a "
     "file for this user alone "
     "(0600), which is there when it is whole. import joins what it reads with "
     "what is stored: nothing newer is overwritten, and what the store knows "
     "to have ended stays ended (for how long it does: docs/stored-form.md). "
     "It "
     "stops at the first line that is wrong."},
    {NULL, NULL, NULL, NULL},
};

#define ALL "run cluster check balancer sessions"

const struct option_help option_helps[] = {
    {"-c", "FILE", ALL, "server.xml to read (@conf@/server.xml)"},
    {"-D", "NAME=VALUE", ALL,
     "the value of ${NAME} in it, for example port=8081"},
    {"-n", "N", "cluster balancer", "how many instances, 1 to 64 (3)"},
    {"-p", "PORT", "cluster balancer",
     "of the first instance; the others have the ports behind it (8081)"},
    {"--manager", "NAME", "cluster",
     "NAME.xml beside server.xml: standard, delta, backup, sqlite, file, "
     "redis, memcached"},
    {"--balancer", "WHAT", "cluster",
     "run haproxy, nginx or httpd in front of the instances (none)"},
    {"--sticky", "WHAT", "cluster balancer",
     "what tells a user's instance: the route in JSESSIONID, or a cookie of "
     "the balancer's own (route)"},
    {"--listen", "WHERE", "cluster balancer",
     "where the balancer listens, [ADDRESS:]PORT (8080; under cluster on "
     "loopback)"},
    {"--context", "PATH", "sessions",
     "the application, for example /login (export: the only one there is; "
     "import: the one that FILE names)"},
    {"-o", "FILE", "sessions",
     "where export writes; - is standard output, and no terminal (-)"},
    {"-h", NULL, ALL, "the same as --help"},
    {"--help", NULL, ALL, "says this; after a command, what concerns it"},
    {"--version", NULL, "", "says the version"},
    {NULL, NULL, NULL, NULL},
};

/* The length of what is not to be broken: up to a space outside brackets. */
static size_t unit_length(const char *text, bool brackets)
{
    size_t len = 0;
    int depth = 0;

    for (; text[len] && (text[len] != ' ' || depth > 0); len++)
        depth += brackets && text[len] == '['   ? 1
                 : brackets && text[len] == ']' ? -1
                                                : 0;
    return len;
}

/* Unit after unit; at is the column that has been reached. */
static void print_wrapped(FILE *out, const char *text, int at, int indent,
                          bool brackets)
{
    bool first = true;

    while (*text) {
        size_t len = unit_length(text, brackets);
        if (!first && at + 1 + (int)len > WIDTH - 1) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)len, text);
        at += (int)len + !first;
        first = false;
        text += len;
        text += *text == ' ';
    }
    fputc('\n', out);
}

static const char *after_conf(const char *text)
{
    const char *mark = strstr(text, "@conf@");

    return mark ? mark + strlen("@conf@") : NULL;
}

/* With the folder in the place of @conf@. */
static void print_text(FILE *out, const char *text, const char *conf,
                       int indent)
{
    char filled[4096];
    const char *rest = after_conf(text);

    if (!rest)
        snprintf(filled, sizeof filled, "%s", text);
    else
        snprintf(filled, sizeof filled, "%.*s%.3000s%s",
                 (int)(rest - text - (long)strlen("@conf@")), text, conf, rest);
    print_wrapped(out, filled, indent, indent, false);
}

void command_help_usage(FILE *out, const char *name)
{
    const char *begin = "usage:";

    for (const struct command_help *c = command_helps; c->name; c++) {
        if (name && strcmp(name, c->name) != 0)
            continue;
        int indent = name ? 14 + (int)strlen(name) + 1 : 23;
        int len = fprintf(out, "%-6s margay %s", begin, c->name);
        len += fprintf(out, "%*s", indent - len, "");
        print_wrapped(out, c->usage, len, indent, true);
        begin = "";
    }
    if (!name)
        fprintf(out, "       margay --version | --help\n");
}

static bool is_taken_by(const struct option_help *o, const char *command)
{
    const char *at = command ? strstr(o->commands, command) : o->commands;

    return at != NULL;
}

static void print_commands(FILE *out, const char *name, const char *conf)
{
    for (const struct command_help *c = command_helps; c->name; c++) {
        if (name && strcmp(name, c->name) != 0)
            continue;
        fprintf(out, "  %-9s ", c->name);
        print_text(out, c->text, conf, 12);
    }
}

void command_help_print(FILE *out, const char *name, const char *conf)
{
    command_help_usage(out, name);
    fputc('\n', out);
    print_commands(out, name, conf);
    fputc('\n', out);
    for (const struct option_help *o = option_helps; o->name; o++) {
        if (!is_taken_by(o, name))
            continue;
        int len = fprintf(out, "  %s%s%s", o->name, o->argument ? " " : "",
                          o->argument ? o->argument : "");
        fprintf(out, "%*s", len < 18 ? 18 - len : 1, "");
        print_text(out, o->text, conf, 18);
    }
    fprintf(out,
            "\nExit status: 0 in order, 1 refused to start, 2 wrong usage.\n");
}
