/* SPDX-License-Identifier: Apache-2.0
 *
 * c_realm.c: users, their hashes and roles. */
#include "config.h"

#include "container/realm.h"
#include "session/buf.h"
#include "tests/scratch.h"
#include "tests/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of "margay". */
#define YESCRYPT                                                               \
    "$y$j9T$/WbnzfOapwT6hdc7UQE8r/"                                            \
    "$hfrNoZtGcVAfsk3km3PIU7bSObum4GN.kLuhIuXslf6"
#define BCRYPT "$2b$05$abcdefghijklmnopqrstuug6zASXSRLw9Pn5ASsRe6/dwebK3T8T."

static struct scratch site;
static struct realm *realm;
static struct err err;
static struct realm_options options;

static void before(void)
{
    scratch_init(&site);
    realm = NULL;
    err.text[0] = '\0';
    option_defaults(realm_option_table, &options);
}

static void after(void)
{
    realm_free(&realm);
    option_release(realm_option_table, &options);
    scratch_release(&site);
}

static void set(const char *name, const char *value)
{
    CHECK_INT_FATAL(option_set(realm_option_table, &options, name, value, &err),
                    RC_OK);
}

static enum rc read_users(const char *text)
{
    char file[PATH_MAX + 16];

    realm_free(&realm);
    scratch_write(&site, "users.xml", text);
    snprintf(file, sizeof file, "%s/users.xml", site.folder);
    set("pathname", file);
    return realm_new(&options, NULL, NULL, NULL, &realm, &err);
}

static const char *error(void)
{
    return err.text + strlen(site.folder) + 1;
}

static void users_and_roles(void)
{
    CHECK_INT_FATAL(
        read_users("<tomcat-users xmlns='http://tomcat.apache.org/xml'>"
                   "<role rolename='user'/>"
                   "<user username='kim' password='" YESCRYPT
                   "' roles='user, manager-gui'/>"
                   "<user name='lee' password='" YESCRYPT "'/>"
                   "</tomcat-users>"),
        RC_OK);
    CHECK_INT(realm_count(realm), 2);
    CHECK_INT(realm_authenticate(realm, "kim", "margay"), true);
    CHECK_INT(realm_authenticate(realm, "lee", "margay"), true);
    CHECK_INT(realm_authenticate(realm, "kim", "Margay"), false);
    CHECK_INT(realm_authenticate(realm, "kim", ""), false);
    CHECK_INT(realm_authenticate(realm, "kim", YESCRYPT), false);
    CHECK_INT(realm_authenticate(realm, "Kim", "margay"), false);
    CHECK_INT(realm_authenticate(realm, "", "margay"), false);
    CHECK_INT(realm_has_role(realm, "kim", "user"), true);
    CHECK_INT(realm_has_role(realm, "kim", "manager-gui"), true);
    CHECK_INT(realm_has_role(realm, "kim", "manager"), false);
    CHECK_INT(realm_has_role(realm, "kim", ""), false);
    CHECK_INT(realm_has_role(realm, "lee", "user"), false);
    CHECK_INT(realm_has_role(realm, "park", "user"), false);
}

static void nobody(void)
{
    CHECK_INT(realm_authenticate(NULL, "kim", "margay"), false);
    CHECK_INT(realm_has_role(NULL, "kim", "user"), false);
    CHECK_INT_FATAL(realm_new(&options, NULL, NULL, NULL, &realm, &err), RC_OK);
    CHECK_INT(realm_count(realm), 0);
    CHECK_INT(realm_authenticate(realm, "admin", ""), false);
}

static void a_very_long_password(void)
{
    char *text = mem_zero(100001);

    memset(text, 'x', 100000);
    CHECK_INT_FATAL(read_users("<users><user username='kim' password='" YESCRYPT
                               "'/></users>"),
                    RC_OK);
    CHECK_INT(realm_authenticate(realm, "kim", text), false);
    free(text);
}

static void admin_by_password(void)
{
    set("adminPassword", "sesame");
    CHECK_INT_FATAL(realm_new(&options, NULL, NULL, NULL, &realm, &err), RC_OK);
    CHECK_INT(realm_count(realm), 1);
    CHECK_INT(realm_authenticate(realm, "admin", "sesame"), true);
    CHECK_INT(realm_authenticate(realm, "admin", "sesam"), false);
    CHECK_INT(realm_has_role(realm, "admin", "manager-script"), true);
    realm_free(&realm);
    char text[600];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    set("adminPassword", text);
    CHECK_INT(realm_new(&options, NULL, NULL, NULL, &realm, &err), RC_INVALID);
    /* instance.c puts the place of <Realm> before it */
    CU_ASSERT(strncmp(err.text, "adminPassword: ", 15) == 0);
}

static void admin_by_file(void)
{
    char file[PATH_MAX + 16];

    scratch_write(&site, "secret", "open sesame\r\nmore\n");
    snprintf(file, sizeof file, "%s/secret", site.folder);
    set("adminPasswordFile", file);
    CHECK_INT_FATAL(realm_new(&options, NULL, NULL, NULL, &realm, &err), RC_OK);
    CHECK_INT(realm_authenticate(realm, "admin", "open sesame"), true);
    realm_free(&realm);
    scratch_write(&site, "secret", "\n");
    CHECK_INT(realm_new(&options, NULL, NULL, NULL, &realm, &err), RC_INVALID);
    set("adminPasswordFile", "/nowhere/at/all");
    CHECK_INT(realm_new(&options, NULL, NULL, NULL, &realm, &err),
              RC_UNAVAILABLE);
    CHECK_STR(err.text, "adminPasswordFile /nowhere/at/all: No such file or "
                        "directory: name a file that this user may read");
}

static void what_is_wrong(void)
{
    static const struct {
        const char *text, *error;
    } all[] = {
        {"<Server/>", "users.xml:1: <Server> is no list of users: it begins "
                      "with <tomcat-users>"},
        {"<users>\n<user password='" YESCRYPT "'/></users>",
         "users.xml:2: user without a name: add username=\"...\""},
        {"<users>\n<user username='kim' password='margay'/></users>",
         "users.xml:2: user kim: the password is not a hash of crypt(5): "
         "write what `mkpasswd -m yescrypt` prints"},
        {"<users>\n<user username='kim'/></users>",
         "users.xml:2: user kim: the password is not a hash of crypt(5): "
         "write what `mkpasswd -m yescrypt` prints"},
        {"<users>\n<user username='kim' password='$y$j9T$'/></users>", NULL},
        {"<users><user username='kim' password='" YESCRYPT "'/>\n"
         "<user username='kim' password='" YESCRYPT "'/></users>",
         "users.xml:2: user kim stands here twice: remove one of them"},
        {"<users>\n<person/></users>",
         "users.xml:2: unknown element <person>: a list of users has <role> "
         "and <user>"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        enum rc rc = read_users(all[i].text);
        if (!all[i].error) { /* a setting without a hash opens to nobody */
            CU_ASSERT(rc != RC_OK || !realm_authenticate(realm, "kim", ""));
            continue;
        }
        CHECK_INT(rc, RC_INVALID);
        CHECK_STR(error(), all[i].error);
        CU_ASSERT_PTR_NULL(strstr(err.text, "j9T"));
    }
}

static int64_t microseconds(const char *user)
{
    struct timespec a, b;
    int64_t best = INT64_MAX;

    for (int i = 0; i < 5; i++) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        realm_authenticate(realm, user, "wrong");
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        int64_t us =
            (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
        best = us < best ? us : best;
    }
    return best;
}

/* Who asks must not learn from the time whether there is such a user. */
static void an_unknown_user_costs_the_same(void)
{
    static const char *const lists[] = {
        "<users><user username='kim' password='" YESCRYPT "'/></users>",
        "<users><user username='kim' password='" BCRYPT "'/></users>",
    };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        int64_t known, unknown;
        CHECK_INT_FATAL(read_users(lists[i]), RC_OK);
        known = microseconds("kim");
        unknown = microseconds("nobody");
        CU_ASSERT(unknown > known / 2 && unknown < known * 2);
    }
}

static void *check_password(void *arg)
{
    (void)arg;
    CU_ASSERT_FALSE(realm_authenticate(realm, "kim", "wrong"));
    return NULL;
}

/* kB; 0: the system does not say. */
static long most_memory(void)
{
    char line[128];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6))
            kb = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

/* Each hash fills 16 MB while it is computed. */
static void no_more_hashes_than_processors_at_a_time(void)
{
    enum { MOST = 256, HASH_KB = 16 << 10 };
    pthread_t threads[MOST];
    long processors = sysconf(_SC_NPROCESSORS_ONLN), before_kb;
    int count = processors * 8 > MOST ? MOST : (int)processors * 8;

    if (processors > MOST / 4)
        SKIP("too many processors to tell");
    CHECK_INT_FATAL(read_users("<users><user username='kim' password='" YESCRYPT
                               "'/></users>"),
                    RC_OK);
    before_kb = most_memory();
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, check_password, NULL))
            abort();
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT(most_memory() - before_kb < (processors + 1) * HASH_KB);
}

UNIT_MAIN_AROUND("realm", before, after, CASE(users_and_roles), CASE(nobody),
                 CASE(a_very_long_password), CASE(admin_by_password),
                 CASE(admin_by_file), CASE(what_is_wrong),
                 CASE(an_unknown_user_costs_the_same),
                 CASE(no_more_hashes_than_processors_at_a_time))
