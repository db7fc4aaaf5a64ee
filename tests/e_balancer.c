/* SPDX-License-Identifier: Apache-2.0
 *
 * e_balancer.c: what `margay balancer` prints for which instances. Whether the
 * balancers understand it: e_haproxy.c and its kin. */
#include "config.h"

#include "tests/front.h"
#include "tests/unit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char text[65536];

/* Arguments of margay, parted by blanks; its exit status. */
static int print(const char *arguments)
{
    char binary[PATH_MAX], path[320], words[1024], *list[32], *at = words;
    unsigned n = 0;
    FILE *file;

    snprintf(binary, sizeof binary, "%s/bin/margay", stage_dir());
    snprintf(path, sizeof path, "%s/printed", unit_tmpdir());
    snprintf(words, sizeof words, "balancer %s", arguments);
    remove(path);
    list[n++] = binary;
    while ((list[n] = strsep(&at, " ")))
        n++;
    int status = front_run(list, path, 10000);
    file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return status;
}

static bool prints(const char *part)
{
    return strstr(text, part) != NULL;
}

static void instances_by_number(void)
{
    CHECK_INT(print("haproxy -n 2 -p 9000"), 0);
    CU_ASSERT(prints("bind :8080\n"));
    CU_ASSERT(prints("server node1 127.0.0.1:9000 "));
    CU_ASSERT(prints("server node2 127.0.0.1:9001 "));
    CU_ASSERT_FALSE(prints("node3"));
    CHECK_INT(print("nginx --listen 127.0.0.1:80"), 0);
    CU_ASSERT(prints("listen 127.0.0.1:80;\n"));
    CU_ASSERT(prints("server 127.0.0.1:8083 "));
}

/* NAME.xml, whose properties may be set. */
static const char *write_file(void)
{
    static char path[320];
    FILE *file;

    snprintf(path, sizeof path, "%s/one.xml", unit_tmpdir());
    file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("<Server><Service name='s'>\n"
          "<Connector port='${p:-9100}' address='${a:-10.1.2.3}'/>\n"
          "<Engine name='e' defaultHost='localhost' jvmRoute='${r:-one}'>\n"
          "<Host name='localhost'><Context path='' docBase='/tmp'\n"
          "sessionCookieName='${c:-JSESSIONID}'/></Host>\n"
          "</Engine></Service></Server>\n",
          file);
    fclose(file);
    return path;
}

/* httpd of that file, with further arguments. */
static int print_of(const char *file, const char *more)
{
    char arguments[800];

    snprintf(arguments, sizeof arguments, "httpd -c %s%s", file, more);
    return print(arguments);
}

static void instances_of_files(void)
{
    const char *file = write_file();
    char again[400];

    CHECK_INT(print_of(file, ""), 0);
    CU_ASSERT(prints("\"http://10.1.2.3:9100\" route=one"));
    CHECK_INT(print_of(file, " -D a=::1"), 0);
    CU_ASSERT(prints("\"http://[::1]:9100\" route=one"));
    CHECK_INT(print_of(file, " -D a=*"), 0);
    CU_ASSERT(prints("\"http://127.0.0.1:9100\""));
    snprintf(again, sizeof again, " -c %s", file);
    CHECK_INT(print_of(file, again), 1);
    CU_ASSERT(prints("one.xml:1: ") && prints("jvmRoute=\"one\"> again"));
    CHECK_INT(print_of(file, " -D r="), 1);
    CU_ASSERT(prints("without a jvmRoute"));
    CHECK_INT(print_of(file, " -D p=0"), 1);
    CU_ASSERT(prints("one.xml:2: "));
    CHECK_INT(print_of(file, " -D c=MY-ID.1"), 0);
    CU_ASSERT(prints("stickysession=MY-ID.1|"));
    CHECK_INT(print_of(file, " -D c=a#b"), 1);
    CU_ASSERT(prints("named a#b"));
    snprintf(again, sizeof again, "nginx -c %s -D c=MY-ID", file);
    CHECK_INT(print(again), 1);
    CU_ASSERT(prints("named MY-ID"));
    CHECK_INT(print_of("no.xml", ""), 1);
    CU_ASSERT(prints("no.xml"));
}

static void wrong_usage(void)
{
    static const char *const all[] = {
        "pound",          "nginx --sticky honey", "nginx --listen x",
        "nginx -n 65",    "nginx --listen 1;:80", "nginx --listen 65536",
        "nginx -p 65535", "nginx -n 2 -c a.xml",  "nginx --manager delta",
        "nginx haproxy",
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CHECK_INT(print(all[i]), 2);
        CU_ASSERT(strncmp(text, "margay: ", 8) == 0);
    }
}

UNIT_MAIN_AROUND("balancer", NULL, NULL, CASE(instances_by_number),
                 CASE(instances_of_files), CASE(wrong_usage))
