/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/sessions_command.h"

#include "session/instant.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char said[65536];

const char *sessions_said(void)
{
    return said;
}

struct fleet *patient(const char *conf)
{
    struct fleet *f = fleet_new(conf);
    if (f)
        fleet_define(f, "waitTimeout", "20");
    return f;
}

struct fleet *running(const char *conf)
{
    struct fleet *f = patient(conf);
    if (f)
        CU_ASSERT_FATAL(fleet_start(f, 1));
    return f;
}

const char *path_of(const char *name)
{
    static char paths[4][320];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", unit_tmpdir(), name);
    return path;
}

void command_line(char out[8192], const struct fleet *f, const char *before,
                  const char *verb, const char *more)
{
    int len = snprintf(out, 8192, "%s %s/bin/margay sessions %s -c ", before,
                       stage_dir(), verb);
    len += snprintf(out + len, 8192 - (size_t)len,
                    strchr(f->conf, '/') ? "%s%s" : "%s/etc/margay/%s",
                    strchr(f->conf, '/') ? "" : stage_dir(), f->conf);
    for (unsigned i = 0; i < f->defines; i++)
        len +=
            snprintf(out + len, 8192 - (size_t)len, " -D '%s'", f->define[i]);
    snprintf(out + len, 8192 - (size_t)len, " 2>&1 %s", more);
}

int sessions_after(const char *before, const struct fleet *f, const char *verb,
                   const char *more)
{
    char command[8192];
    command_line(command, f, before, verb, more);
    FILE *p = popen(command, "r");
    CU_ASSERT_FATAL(p != NULL);
    said[fread(said, 1, sizeof said - 1, p)] = '\0';
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int sessions(const struct fleet *f, const char *verb, const char *more)
{
    return sessions_after("timeout 30", f, verb, more);
}

bool says(const char *text)
{
    if (strstr(said, text))
        return true;
    printf("\"%s\" is not in: %s\n", text, said);
    return false;
}

void export_to(const struct fleet *f, const char *file)
{
    char more[400];
    snprintf(more, sizeof more, "--context /login -o %s", file);
    int status = sessions(f, "export", more);
    if (status != 0)
        printf("%s", said);
    CHECK_INT_FATAL(status, 0);
}

char *content_of(const char *file)
{
    static char text[65536];
    FILE *f = fopen(file, "re");
    CU_ASSERT_FATAL(f != NULL);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

const char *write_file(const char *name, const char *text, size_t len)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "we");
    CU_ASSERT_FATAL(f != NULL);
    CHECK_INT(fwrite(text, 1, len, f), len);
    fclose(f);
    return path;
}

int hits_of(struct browser *b, const struct server *s)
{
    char text[128];
    if (browser_get(b, s, "/login/me") != 200)
        return -1;
    return atoi(browser_line(b, "hits", text));
}

void log_in(struct browser *b, const struct server *s, const char *user,
            int hits)
{
    browser_open(b);
    CHECK_INT(browser_login(b, s, user), 303);
    while (hits-- > 0)
        CHECK_INT(browser_get(b, s, "/login/hit"), 200);
}

static bool is_past(void *user)
{
    return instant_read().wall > *(const int64_t *)user;
}

void wait_for_the_clock(void)
{
    int64_t now = instant_read().wall;
    CU_ASSERT_FATAL(eventually(20000, is_past, &now));
}

struct server *change_store(struct fleet *f, const char *from, const char *to)
{
    CHECK_INT(server_stop(&f->servers[0]), 0);
    CU_ASSERT_FATAL(fleet_edit(f, from, to));
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    return &f->servers[0];
}

struct fleet *three(char text[16384])
{
    struct fleet *f = running("sqlite.xml");
    struct browser b;
    char empty[300];

    if (!f)
        return NULL;
    for (int i = 0; i < 3; i++) {
        log_in(&b, &f->servers[0], "kim", 0);
        browser_close(&b);
    }
    export_to(f, path_of("three"));
    snprintf(text, 16384, "%s", content_of(path_of("three")));
    snprintf(empty, sizeof empty, "%s/empty.db", f->dir);
    fleet_define(f, "store.path", empty);
    return f;
}

char *line_at(char *text, int n)
{
    while (--n > 0)
        text = strchr(text, '\n') + 1;
    return text;
}
