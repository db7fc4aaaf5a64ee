/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit.h"

#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CUnit calls back without an argument, so one run's state stands here. */
static struct {
    unit_fn *before;
    const struct unit_case *cases;
    size_t count;
    size_t now; /* the case that runs */
    bool skipped;
    char reason[256]; /* of the last skip */
    unsigned passed, failed, skips;
    char tmpdir[PATH_MAX];
    pid_t tmpdir_owner; /* a forked child must not remove it */
} run;

static void case_run(void)
{
    if (run.before)
        run.before();
    if (!run.skipped)
        run.cases[run.now].run();
}

static void case_started(const CU_pTest test, const CU_pSuite suite)
{
    (void)suite;
    run.skipped = false;
    for (run.now = 0; run.now < run.count; run.now++)
        if (strcmp(run.cases[run.now].name, test->pName) == 0)
            break;
    /* Stays the last line when the case crashes or never ends. */
    printf("%s ...\n", test->pName);
}

static void case_ended(const CU_pTest test, const CU_pSuite suite,
                       const CU_pFailureRecord failures)
{
    (void)suite;
    for (CU_pFailureRecord f = failures; f; f = f->pNext)
        printf("%s:%u: %s: %s\n", f->strFileName ? f->strFileName : "?",
               f->uiLineNumber, test->pName,
               f->strCondition ? f->strCondition : "failed");
    if (failures) {
        run.failed++;
        printf("FAILED\n");
    } else if (run.skipped) {
        run.skips++;
        printf("skipped %s: %s\n", test->pName, run.reason);
    } else {
        run.passed++;
        printf("ok\n");
    }
}

void unit_skip(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(run.reason, sizeof run.reason, format, ap);
    va_end(ap);
    run.skipped = true;
}

void unit_check_int(int64_t found, int64_t expected, const char *what,
                    const char *file, unsigned line, bool fatal)
{
    char text[512] = "";
    if (found != expected)
        snprintf(text, sizeof text, "%s is %" PRId64 ", not %" PRId64, what,
                 found, expected);
    CU_assertImplementation(found == expected, line, text, file, "", fatal);
}

void unit_check_str(const char *found, const char *expected, const char *what,
                    const char *file, unsigned line, bool fatal)
{
    bool same =
        found && expected ? strcmp(found, expected) == 0 : found == expected;
    char text[1024] = "";
    if (!same)
        snprintf(text, sizeof text, "%s is \"%s\", not \"%s\"", what,
                 found ? found : "(NULL)", expected ? expected : "(NULL)");
    CU_assertImplementation(same, line, text, file, "", fatal);
}

int64_t unit_starved_ms(int pid)
{
    char path[64];
    uint64_t ran, waited;

    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    FILE *f = fopen(path, "r");
    bool said = f && fscanf(f, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2;
    if (f)
        fclose(f);
    return said ? (int64_t)(waited / 1000000) : 0;
}

static int entry_remove(const char *path, const struct stat *st, int flag,
                        struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void tmpdir_remove(void)
{
    if (run.tmpdir_owner == getpid())
        nftw(run.tmpdir, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

const char *unit_tmpdir(void)
{
    if (run.tmpdir_owner)
        return run.tmpdir;
    const char *base = getenv("TMPDIR");
    snprintf(run.tmpdir, sizeof run.tmpdir, "%s/margay-XXXXXX",
             base && *base ? base : "/tmp");
    if (!mkdtemp(run.tmpdir)) {
        perror(run.tmpdir);
        abort();
    }
    run.tmpdir_owner = getpid();
    atexit(tmpdir_remove);
    return run.tmpdir;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

static CU_ErrorCode suite_run(const char *name, unit_fn *after, int argc,
                              char **argv)
{
    CU_pSuite suite =
        CU_add_suite_with_setup_and_teardown(name, NULL, NULL, NULL, after);
    if (!suite)
        return CU_get_error();
    for (size_t i = 0; i < run.count; i++)
        if (is_wanted(run.cases[i].name, argc, argv) &&
            !CU_add_test(suite, run.cases[i].name, case_run))
            return CU_get_error();
    CU_set_test_start_handler(case_started);
    CU_set_test_complete_handler(case_ended);
    return CU_run_all_tests();
}

int unit_run(const char *suite, unit_fn *before, unit_fn *after,
             const struct unit_case *cases, size_t count, int argc, char **argv)
{
    /* What a crash interrupts is in the log up to its last line. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    run.before = before;
    run.cases = cases;
    run.count = count;

    CU_ErrorCode rc = CU_initialize_registry();
    if (rc == CUE_SUCCESS)
        rc = suite_run(suite, after, argc, argv);
    CU_cleanup_registry();
    if (rc != CUE_SUCCESS) {
        printf("CUnit: %s\n", CU_get_error_msg());
        run.failed++;
    }
    if (run.passed + run.failed + run.skips == 0) {
        printf("no such case in %s\n", suite);
        run.failed++;
    }
    printf("# cases %u %u %u\n", run.passed, run.failed, run.skips);
    if (run.failed)
        return 1;
    return run.passed ? 0 : 77;
}
