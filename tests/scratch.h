/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch.h: a scratch folder for tests of the configuration.
 *
 * What    A folder of its own with server.xml and applications, the kinds of
 *         managers and stores of this build, and the warnings that reading
 *         them gave.
 * Owns    scratch_release frees all; the folder goes with the program.
 * Threads One test. */
#ifndef MARGAY_TESTS_SCRATCH_H
#define MARGAY_TESTS_SCRATCH_H

#include "container/properties.h"
#include "container/serverxml.h"

#include <limits.h>

struct scratch {
    char folder[PATH_MAX];
    struct properties *properties;
    struct manager_kind managers[8];
    struct store_kind stores[8];
    struct kinds kinds;
    struct server_config *config; /* after scratch_read */
    struct err err;
    char *warnings[64]; /* without the folder's name */
    size_t warning_count;
};

/* A new folder with an empty webapps/ in it. */
void scratch_init(struct scratch *s);
void scratch_release(struct scratch *s);
/* Makes the folders above it too. */
void scratch_write(struct scratch *s, const char *path, const char *text);
void scratch_mkdir(struct scratch *s, const char *path);
/* Reads server.xml; what was read before is freed. */
enum rc scratch_read(struct scratch *s);
/* scratch_write of server.xml, and scratch_read. */
enum rc scratch_read_text(struct scratch *s, const char *text);
/* err's text without the folder's name: "server.xml:3: ...". */
const char *scratch_error(const struct scratch *s);
/* Is there such a warning? */
bool scratch_warned(const struct scratch *s, const char *line);

#endif
