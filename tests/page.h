/* SPDX-License-Identifier: Apache-2.0
 *
 * page.h: what docs/stored-form.md shows is run. */
#ifndef MARGAY_TESTS_PAGE_H
#define MARGAY_TESTS_PAGE_H

#include "tests/process.h"

#include <stddef.h>

/* Runs the first block of that language behind that heading by `PROGRAM BLOCK
 * ARGUMENTS` and returns what it prints, with both outputs. */
const char *page_run(const struct fleet *f, const char *heading,
                     const char *language, const char *program,
                     const char *arguments, char *out, size_t size);

#endif
