/* SPDX-License-Identifier: Apache-2.0
 *
 * cmdline_help.h: what margay says of its commands and options.
 *
 * What    One table of commands and one of options. `margay --help`, the help
 *         of each command, the lines after a wrong word and the page margay(1)
 *         (man/) are printed from them, so that they cannot drift apart.
 *         In a text @conf@ stands for the folder of the shipped files.
 * New     A command or an option is a row here and a case in cmdline.c.
 * Owns    Constant data.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_CMDLINE_HELP_H
#define MARGAY_CONTAINER_CMDLINE_HELP_H

#include <stdio.h>

struct command_help {
    const char *name;  /* NULL ends the table */
    const char *usage; /* what follows it: "[-c FILE] [-D NAME=VALUE]..." */
    const char *text;  /* one sentence or two */
    const char *more;  /* what else the page says; NULL: nothing */
};
struct option_help {
    const char *name;     /* "-c", "--manager"; NULL ends the table */
    const char *argument; /* "FILE"; NULL: it takes none */
    const char *commands; /* which take it: "run cluster" */
    const char *text;
};

extern const struct command_help command_helps[];
extern const struct option_help option_helps[];

/* "usage: margay run ..." of one command; name NULL: of all. */
void command_help_usage(FILE *out, const char *name);
/* The same, and what they do, and their options. */
void command_help_print(FILE *out, const char *name, const char *conf);

#endif
