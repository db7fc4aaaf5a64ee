/* SPDX-License-Identifier: Apache-2.0
 *
 * unit.h: one suite, one file, one program.
 *
 * What    A test file is cases and, as its last line, the list of them:
 *
 *             #include "tests/unit.h"
 *             static void keeps_the_ceiling(void) { CU_ASSERT(...); }
 *             UNIT_MAIN("buf", CASE(keeps_the_ceiling), CASE(takes))
 *
 *         tests/module.am gets one line. CUnit does the asserting; unit.c
 *         prints one line per case, one per failed assertion with file:line,
 *         and at the end "# cases PASSED FAILED SKIPPED", which ./dev test
 *         adds up. Arguments name the cases to run; none means all.
 *         Exit status: 0, 1 (something failed) or 77 (everything skipped).
 * Time    A program gets 120 s. A comment "Timeout: 300 s" among the first 30
 *         lines of its source asks for something else.
 * Threads CUnit's assertions belong to the thread that runs the case. */
#ifndef MARGAY_TESTS_UNIT_H
#define MARGAY_TESTS_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <CUnit/CUnit.h>

typedef void unit_fn(void);

struct unit_case {
    const char *name;
    unit_fn *run;
};

/* clang-format off */
#define CASE(function) {#function, function}
/* clang-format on */

/* The list of cases, and main. */
#define UNIT_MAIN(suite, ...) UNIT_MAIN_AROUND(suite, NULL, NULL, __VA_ARGS__)

/* The same with a function before and one after every case. A SKIP in
 * `before` skips the case; `after` runs all the same. */
#define UNIT_MAIN_AROUND(suite, before, after, ...)                            \
    int main(int argc, char **argv)                                            \
    {                                                                          \
        static const struct unit_case cases[] = {__VA_ARGS__};                 \
        return unit_run(suite, before, after, cases,                           \
                        sizeof cases / sizeof cases[0], argc, argv);           \
    }

/* Leaves the case (a function that returns void) as skipped. The reason, in
 * printf's manner, says what is missing: "no server at ...". */
#define SKIP(...)                                                              \
    do {                                                                       \
        unit_skip(__VA_ARGS__);                                                \
        return;                                                                \
    } while (0)

/* CU_ASSERT_EQUAL and CU_ASSERT_STRING_EQUAL that also show both values, what
 * was found first. The _FATAL ones leave the case. */
#define CHECK_INT(found, expected)                                             \
    unit_check_int((found), (expected), #found, __FILE__, __LINE__, false)
#define CHECK_INT_FATAL(found, expected)                                       \
    unit_check_int((found), (expected), #found, __FILE__, __LINE__, true)
#define CHECK_STR(found, expected)                                             \
    unit_check_str((found), (expected), #found, __FILE__, __LINE__, false)
#define CHECK_STR_FATAL(found, expected)                                       \
    unit_check_str((found), (expected), #found, __FILE__, __LINE__, true)

/* A directory of this program's own, gone when the program ends. */
const char *unit_tmpdir(void);
/* How long the process was ready to run while others did, in milliseconds: what
 * a busy machine adds to a time. 0 where the kernel does not say. */
int64_t unit_starved_ms(int pid);

/* What the macros call. */
int unit_run(const char *suite, unit_fn *before, unit_fn *after,
             const struct unit_case *cases, size_t count, int argc,
             char **argv);
void unit_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void unit_check_int(int64_t found, int64_t expected, const char *what,
                    const char *file, unsigned line, bool fatal);
/* NULL is a value like any other here, equal to NULL only. */
void unit_check_str(const char *found, const char *expected, const char *what,
                    const char *file, unsigned line, bool fatal);

#endif
