/* SPDX-License-Identifier: Apache-2.0
 *
 * pages.c: makes a manual page out of a template and the program's own tables.
 *
 * What    pages TEMPLATE prints the template with the lines @usage@,
 *         @commands@, @options@ and @elements@ replaced by what cmdline_help.h
 *         and serverxml_manual.h have, and @conf@, @data@, @version@ in any
 *         line by their values.
 * Errors  Exit status 1: the template cannot be read, or an attribute has no
 *         help, which would be a hole in the page.
 * Threads One. */
#include "config.h"

#include "container/cmdline_help.h"
#include "container/serverxml_manual.h"
#include "container/valve.h"
#include "managers/managers.h"
#include "session/cluster.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- troff ---- */

/* One byte of text; a hyphen of code is a minus, so that it can be copied. */
static void put_char(char c)
{
    switch (c) {
    case '\\':
        fputs("\\e", stdout);
        break;
    case '-':
        fputs("\\-", stdout);
        break;
    case '^':
        fputs("\\(ha", stdout);
        break;
    case '~':
        fputs("\\(ti", stdout);
        break;
    case '`':
        fputs("\\(ga", stdout);
        break;
    case '\'':
        fputs("\\(aq", stdout);
        break;
    default:
        putchar(c);
    }
}

static const char *value_of(const char *mark, size_t *len)
{
    static const struct {
        const char *mark, *value;
    } all[] = {
        {"@conf@", MARGAY_SYSCONFDIR},
        {"@data@", MARGAY_DATADIR},
        {"@version@", PACKAGE_VERSION},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strncmp(mark, all[i].mark, strlen(all[i].mark)) == 0) {
            *len = strlen(all[i].mark);
            return all[i].value;
        }
    return NULL;
}

/* A path, which may be long, can be broken behind each slash. */
static void put_value(const char *value)
{
    for (; *value; value++) {
        put_char(*value);
        if (*value == '/')
            fputs("\\:", stdout);
    }
}

static void put_bytes(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t mark = 1;
        const char *value = value_of(text + i, &mark);
        if (value)
            put_value(value);
        else
            put_char(text[i]);
        i += mark;
    }
}

static void put(const char *text)
{
    put_bytes(text, strlen(text));
}

/* A long one may be broken behind a comma or a slash. */
static void put_word(const char *word, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; len > 24 && i + 1 < len; i++)
        if (strchr(",/", word[i]) && !strchr("/@", word[i + 1])) {
            put_bytes(word + from, i + 1 - from);
            fputs("\\:", stdout);
            from = i + 1;
        }
    put_bytes(word + from, len - from);
}

/* Words in lines of the page's source; none begins with a control. */
static void put_words(const char *text)
{
    size_t at = 0;

    while (*text) {
        size_t len = strcspn(text, " ");
        if (at > 0)
            putchar(at + len > 60 ? '\n' : ' ');
        at = at + len > 60 ? 0 : at;
        if (at == 0 && *text == '.')
            fputs("\\&", stdout);
        put_word(text, len);
        at += len + 1;
        text += len;
        text += strspn(text, " ");
    }
}

static void put_sentence(const char *text)
{
    size_t len = strlen(text);

    put_words(text);
    puts(len > 0 && strchr(".:", text[len - 1]) ? "" : ".");
}

/* ---- margay(1) ---- */

/* What stands in brackets is not broken. */
static void put_units(const char *usage)
{
    int depth = 0;

    for (; *usage; usage++) {
        depth += *usage == '[' ? 1 : *usage == ']' ? -1 : 0;
        if (*usage != ' ')
            put_char(*usage);
        else
            fputs(depth > 0 ? "\\ " : "\n", stdout);
    }
}

static void put_usage(void)
{
    for (const struct command_help *c = command_helps; c->name; c++) {
        printf(".B margay %s\n", c->name);
        put_units(c->usage);
        puts("\n.br");
    }
    puts(".B margay\n\\-\\-version | \\-\\-help");
}

static void put_commands(void)
{
    for (const struct command_help *c = command_helps; c->name; c++) {
        printf(".TP\n.B %s\n", c->name);
        put_sentence(c->text);
        if (c->more)
            put_sentence(c->more);
    }
}

static void put_options(void)
{
    for (const struct option_help *o = option_helps; o->name; o++) {
        printf(".TP\n.B%s ", o->argument ? "I" : "");
        put(o->name);
        if (o->argument) {
            fputs(" \" ", stdout);
            put(o->argument);
            putchar('"');
        }
        putchar('\n');
        put_sentence(o->text);
        if (o->commands[0])
            printf("(%s)\n", o->commands);
    }
}

/* ---- server.xml(5) ---- */

static void put_bounds(const struct option *o)
{
    if (o->min == 0 && o->max == 0)
        puts("A whole number.");
    else if (o->max >= INT32_MAX)
        printf("A whole number from %s%" PRId64 " on.\n",
               o->min < 0 ? "\\-" : "", o->min < 0 ? -o->min : o->min);
    else
        printf("A whole number, %s%" PRId64 " to %" PRId64 ".\n",
               o->min < 0 ? "\\-" : "", o->min < 0 ? -o->min : o->min, o->max);
}

static void put_choices(const char *choices)
{
    fputs("One of", stdout);
    while (*choices) {
        size_t len = strcspn(choices, "|");
        putchar(' ');
        for (size_t i = 0; i < len; i++)
            put_char(choices[i]);
        choices += len;
        if (*choices == '|') {
            putchar(',');
            choices++;
        }
    }
    puts(".");
}

/* May be broken behind each | of an expression. */
static void put_long(const char *text)
{
    for (; *text; text++) {
        put_bytes(text, 1);
        if (*text == '|')
            fputs("\\:\\c\n", stdout);
    }
}

static void put_default(const struct option *o)
{
    if (!o->preset) {
        puts("Not set by default.");
        return;
    }
    fputs("Default: ", stdout);
    if (o->preset[0] == '\0')
        fputs("empty", stdout);
    put_long(o->preset);
    putchar('\n');
}

static void put_offered(const struct option *o)
{
    printf(".TP\n.B ");
    put(o->name);
    putchar('\n');
    put_sentence(o->help);
    if (o->kind == OPTION_INT)
        put_bounds(o);
    else if (o->kind == OPTION_CHOICE)
        put_choices(o->choices);
    else if (o->kind == OPTION_BOOL)
        puts("True or false.");
    put_default(o);
}

/* Tomcat has more there. */
static void put_later(const struct option *o)
{
    printf(".TP\n.B ");
    put(o->name);
    putchar('\n');
    if (o->preset)
        printf("Only \\(lq%s\\(rq is offered:\n", o->preset);
    else
        puts("Not offered here:");
    put_sentence(o->help);
}

static bool is_first_with_why(const struct option *table,
                              const struct option *o)
{
    for (; table != o; table++)
        if (table->kind == OPTION_IGNORED && !strcmp(table->help, o->help))
            return false;
    return true;
}

/* Those that are ignored for the same reason stand together. */
static void put_ignored(const struct option *table)
{
    for (const struct option *o = table; o->name; o++) {
        if (o->kind != OPTION_IGNORED || !is_first_with_why(table, o))
            continue;
        puts(".TP");
        const char *comma = ".B ";
        for (const struct option *p = o; p->name; p++)
            if (p->kind == OPTION_IGNORED && !strcmp(p->help, o->help)) {
                printf("%s%s", comma, p->name);
                comma = ", ";
            }
        puts("\nIgnored:");
        put_sentence(o->help);
    }
}

static void put_table(const char *element, const struct option *table)
{
    for (const struct option *o = table; o && o->name; o++) {
        if (!o->help || !o->help[0]) {
            fprintf(stderr,
                    "pages: <%s %s> has no help: its table is to say "
                    "what it means\n",
                    element, o->name);
            exit(1);
        }
        if (o->kind == OPTION_LATER)
            put_later(o);
        else if (o->kind != OPTION_IGNORED)
            put_offered(o);
    }
    if (table)
        put_ignored(table);
}

static void put_class(const char *element, const char *name,
                      const char *summary, const struct option *table)
{
    printf(".PP\n.B <%s className=\\(dq%s\\(dq>\n", element, name);
    if (summary) {
        puts(".br");
        put_sentence(summary);
    }
    put_table(element, table);
}

static void put_classes(const struct manual_part *part)
{
    struct kind_facts f;

    for (size_t i = 0; part->classes == MANUAL_CLUSTER &&
                       cluster_tcp.class_name(part->element, i);
         i++) {
        const char *name = cluster_tcp.class_name(part->element, i);
        put_class(part->element, name, NULL,
                  cluster_tcp.table(part->element, name));
    }
    for (size_t i = 0; part->classes == MANUAL_MANAGERS && managers_at(i);
         i++) {
        f = managers_facts(managers_at(i));
        put_class(part->element, f.name, f.summary, f.options);
    }
    for (size_t i = 0; part->classes == MANUAL_STORES && stores_at(i); i++) {
        f = stores_facts(stores_at(i));
        put_class(part->element, f.name, f.summary, f.options);
    }
    for (size_t i = 0; part->classes == MANUAL_VALVES && valve_kinds[i]; i++)
        put_class(part->element, valve_kinds[i]->name, valve_kinds[i]->summary,
                  valve_kinds[i]->options);
}

static void put_elements(void)
{
    for (const struct manual_part *p = server_manual; p->element; p++) {
        printf(".SS <%s>\nIn: %s.\n", p->element, p->inside);
        put_sentence(p->text);
        put_table(p->element, p->tables[0]);
        put_table(p->element, p->tables[1]);
        put_table(p->element, p->tables[2]);
        put_classes(p);
    }
}

/* ---- templates ---- */

static void put_line(const char *line)
{
    while (*line) {
        size_t len = 1;
        const char *value = value_of(line, &len);
        if (value)
            put_value(value);
        else
            putchar(*line);
        line += len;
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const struct {
        const char *mark;
        void (*put)(void);
    } marks[] = {
        {"@usage@", put_usage},
        {"@commands@", put_commands},
        {"@options@", put_options},
        {"@elements@", put_elements},
    };
    FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL;
    char line[1024];

    if (!in) {
        fprintf(stderr, "usage: pages TEMPLATE\n");
        return 1;
    }
    while (fgets(line, sizeof line, in)) {
        bool marked = false;
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
            if (strcmp(line, marks[i].mark) == 0) {
                marks[i].put();
                marked = true;
            }
        if (!marked)
            put_line(line);
    }
    fclose(in);
    return fflush(stdout) == 0 ? 0 : 1;
}
