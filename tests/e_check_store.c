/* SPDX-License-Identifier: Apache-2.0
 *
 * e_check_store.c: what can never keep a session is refused before anything
 * is reached or made, by `margay check` and `margay run` alike, with the line
 * of the <Store>. */
#include "config.h"

#include "tests/process.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char said[65536];

/* What `margay VERB -c FILE MORE` says, with both outputs; its exit status.
 * A store that MORE gives no path is in a folder of ours. */
static int margay(const char *verb, const char *file, const char *more)
{
    char command[2048];
    snprintf(command, sizeof command,
             "timeout 20 %s/bin/margay %s -c %s -D port=0 "
             "-D store.path=%s/store %s 2>&1",
             stage_dir(), verb, file, unit_tmpdir(), more);
    FILE *p = popen(command, "r");
    CU_ASSERT_FATAL(p != NULL);
    said[fread(said, 1, sizeof said - 1, p)] = '\0';
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *shipped(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/etc/margay/%s", stage_dir(), name);
    return path;
}

/* The line of the shipped file that begins its <Store>. */
static unsigned store_line(const char *name)
{
    char line[1024];
    unsigned n = 1;
    FILE *f = fopen(shipped(name), "re");
    CU_ASSERT_FATAL(f != NULL);
    while (fgets(line, sizeof line, f) && !strstr(line, "<Store "))
        n++;
    fclose(f);
    return n;
}

static const char *file_in(const char *name, const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", unit_tmpdir(), name);
    FILE *f = fopen(path, "we");
    CU_ASSERT_FATAL(f != NULL);
    fputs(text, f);
    fclose(f);
    return path;
}

/* By `check`, or both. */
static void is_refused_by(int count, const char *name, const char *more,
                          const char *why)
{
    static const char *const verbs[] = {"check", "run"};
    char place[64];
    snprintf(place, sizeof place, "%s:%u: ", name, store_line(name));
    for (int i = 0; i < count; i++) {
        CHECK_INT(margay(verbs[i], shipped(name), more), 1);
        CU_ASSERT(strstr(said, place) != NULL);
        CU_ASSERT(strstr(said, why) != NULL);
        CU_ASSERT(strstr(said, "SECRET") == NULL);
    }
}

static void is_refused(const char *name, const char *more, const char *why)
{
    is_refused_by(2, name, more, why);
}

static void an_address_that_is_none_is_refused(void)
{
    is_refused("redis.xml", "-D store.url=redis://:SECRET@h:1x/0",
               "a host or its port is none");
    is_refused("redis.xml", "-D store.url=memcached://h:1",
               "it begins with neither");
    is_refused("redis.xml", "-D store.urlFile=/nowhere/url", "cannot be read");
#ifdef HAVE_MEMCACHED
    is_refused("memcached.xml", "-D store.url=memcached://h:1,h:1",
               "a host is named twice");
#endif
}

static void a_path_that_is_none_is_refused(void)
{
    char more[600];
    struct stat st;
    snprintf(more, sizeof more, "-D store.path=%s", file_in("plain", "text"));
    is_refused("file.xml", more, "is a file");
    is_refused("sqlite.xml", more, "is not a session file of Margay");
    snprintf(more, sizeof more, "-D store.path=%s/plain/below", unit_tmpdir());
    is_refused("file.xml", more, "is a file, or lies in one");
    is_refused_by(1, "sqlite.xml", more, "is a folder, or lies below a file");
    snprintf(more, sizeof more, "-D store.path=%s", unit_tmpdir());
    is_refused_by(1, "sqlite.xml", more, "is a folder, or lies below a file");
    snprintf(more, sizeof more, "-D store.path=%s/new", unit_tmpdir());
    CHECK_INT(margay("check", shipped("file.xml"), more), 0);
    CHECK_INT(margay("check", shipped("sqlite.xml"), more), 0);
    CU_ASSERT(stat(strchr(more, '/'), &st) != 0);
}

/* The file of a secret is one, and nobody else reads it. */
static void a_secret_is_for_one_user(void)
{
    static const struct {
        const char *conf, *name, *text;
    } all[] = {
        {"redis.xml", "store.urlFile", "redis://127.0.0.1:1/0\n"},
        {"delta.xml", "cluster.keyFile", "0123456789abcdef0123456789abcdef\n"},
        {"sqlite.xml", "manager.passwordFile", "SECRET\n"}};
    const char *path = unit_tmpdir();
    char more[600];

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(more, sizeof more, "-D %s=%s", all[i].name, unit_tmpdir());
        CHECK_INT(margay("check", shipped(all[i].conf), more), 1);
        CU_ASSERT(strstr(said, "Is a directory") != NULL);
        path = file_in("secret", all[i].text);
        snprintf(more, sizeof more, "-D %s=%s", all[i].name, path);
        CHECK_INT(chmod(path, 0604), 0);
        CHECK_INT(margay("check", shipped(all[i].conf), more), 0);
        CU_ASSERT(strstr(said, "warning: ") != NULL);
        CU_ASSERT(strstr(said, "everybody on this machine can read it") !=
                  NULL);
        CHECK_INT(chmod(path, 0600), 0);
        CHECK_INT(margay("check", shipped(all[i].conf), more), 0);
        CU_ASSERT(strstr(said, "can read it") == NULL);
    }
    /* who starts it is told as well */
    path = file_in("secret", "redis://h:x\n");
    CHECK_INT(chmod(path, 0604), 0);
    snprintf(more, sizeof more, "-D store.urlFile=%s", path);
    CHECK_INT(margay("run", shipped("redis.xml"), more), 1);
    CU_ASSERT(strstr(said, "everybody on this machine can read it") != NULL);
}

static void a_check_reaches_nobody(void)
{
    CHECK_INT(margay("check", shipped("redis.xml"),
                     "-D store.url=redis://:SECRET@127.0.0.1:1/0"),
              0);
    CU_ASSERT(strstr(said, "SECRET") == NULL);
}

/* sqlite.xml, edited. */
static const char *edited(const char *expression)
{
    static char path[512];
    char command[2048];
    snprintf(path, sizeof path, "%s/edited.xml", unit_tmpdir());
    snprintf(command, sizeof command,
             "sed -e 's|users.xml|%s/etc/margay/users.xml|' -e '%s' %s >%s",
             stage_dir(), expression, shipped("sqlite.xml"), path);
    CHECK_INT_FATAL(system(command), 0);
    return path;
}

static const char *with_attributes(const char *attributes)
{
    char expression[256];
    snprintf(expression, sizeof expression, "s|\"PersistentManager\"|& %s|",
             attributes);
    return edited(expression);
}

static void that_of_the_previous_manager_as_well(void)
{
    static const char expression[] =
        "s|</Manager>|&\\n<Manager className=\"PersistentManager\" "
        "role=\"previous\"><Store className=\"RedisStore\" "
        "url=\"redis://h:x\"/></Manager>|";
    CHECK_INT(margay("check", edited(expression), ""), 1);
    CU_ASSERT(strstr(said, "a host or its port is none") != NULL);
}

static void replicas_are_asked_of_who_has_some(void)
{
    CHECK_INT(margay("check", with_attributes("minReplicas=\"1\""), ""), 1);
    CU_ASSERT(strstr(said, "SQLiteStore has no replicas") != NULL);
}

static void what_is_not_meant_is_told(void)
{
    static const struct {
        const char *attributes, *advice;
    } cases[] = {
        {"writeThrough=\"true\" maxIdleBackup=\"5\"",
         "writeThrough=\"true\" does nothing"},
        {"minIdleSwap=\"9\" maxIdleSwap=\"5\"",
         "minIdleSwap=\"9\" is above maxIdleSwap=\"5\""},
        {"minIdleSwap=\"5\" maxIdleSwap=\"9\"", NULL},
        {"writeThrough=\"true\"", NULL},
        {"writeThrough=\"false\" maxIdleBackup=\"5\"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *advice = cases[i].advice;
        CHECK_INT(margay("check", with_attributes(cases[i].attributes), ""), 0);
        const char *first = strstr(said, "warning: ");
        CU_ASSERT(!first == !advice);
        CU_ASSERT(!advice || strstr(said, advice) != NULL);
        /* once, however many applications there are */
        CU_ASSERT(!first || !strstr(first + 1, "warning: "));
    }
}

UNIT_MAIN("check_store", CASE(an_address_that_is_none_is_refused),
          CASE(a_path_that_is_none_is_refused), CASE(a_secret_is_for_one_user),
          CASE(a_check_reaches_nobody),
          CASE(that_of_the_previous_manager_as_well),
          CASE(replicas_are_asked_of_who_has_some),
          CASE(what_is_not_meant_is_told))
