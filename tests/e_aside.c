/* SPDX-License-Identifier: Apache-2.0
 *
 * e_aside.c: attributes that stay in the process which set them
 * (sessionAttributeNameFilter), on real servers. */
#include "config.h"

#include "tests/client.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/buf.h"

#define SECRET "not-for-others"

static struct fleet *filtered(const char *conf, unsigned count)
{
    static const char from[] = "maxInactive=\"${maxInactive:-}\"";
    struct fleet *f = fleet_new(conf);
    char to[320];
    if (!f)
        return NULL;
    snprintf(to, sizeof to,
             "%s sessionAttributeNameFilter=\"shared[.]\\d+\" "
             "warnOnSessionAttributeFilterFailure=\"true\"%s",
             from, count == 1 ? " pathname=\"${store.path}.saved\"" : "");
    CU_ASSERT_FATAL(fleet_edit(f, from, to));
    CU_ASSERT_FATAL(fleet_start(f, count));
    return f;
}

static bool answers(struct browser *b, const struct server *s, const char *path,
                    const char *text)
{
    return browser_get(b, s, path) == 200 && strstr(b->body, text) != NULL;
}

static bool names_are(struct browser *b, const struct server *s,
                      const char *names)
{
    return answers(b, s, "/probe/names", names);
}

static bool file_has(const char *path, const char *text)
{
    FILE *file = fopen(path, "r");
    bool found = false;
    if (!file)
        return false;
    char *bytes = mem_alloc(1 << 20);
    size_t len = fread(bytes, 1, 1 << 20, file);
    found = memmem(bytes, len, text, strlen(text)) != NULL;
    free(bytes);
    fclose(file);
    return found;
}

/* Of the two attributes the shared one alone, wherever something is kept. */
static void check_kept(const struct fleet *f)
{
    static const char *const ends[] = {"", "-wal", ".saved.probe"};
    char database[320], path[400];
    bool shared = false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%s%s", fleet_database(f, database),
                 ends[i]);
        shared |= file_has(path, "shared.1");
        CU_ASSERT_FALSE(file_has(path, SECRET));
        CU_ASSERT_FALSE(file_has(path, "own.2"));
    }
    CHECK_INT(shared, !f->member_port[0]); /* members of a cluster write none */
}

static void what_does_not_match_stays(struct fleet *f)
{
    struct server *here = fleet_server(f, 0), *there = fleet_server(f, 1);
    bool alone = here == there;
    struct browser b;
    browser_open(&b);
    CHECK_INT(browser_get(&b, here,
                          "/probe/script?do=create,set:shared.1:all,"
                          "set:own.2:" SECRET),
              200);
    CU_ASSERT(names_are(&b, here, "[\"own.2\",\"shared.1\"]"));
    CU_ASSERT(names_are(&b, there,
                        alone ? "[\"own.2\",\"shared.1\"]" : "[\"shared.1\"]"));
    CHECK_INT((int)server_metric(here, "margay_sessions_aside"), 1);
    CU_ASSERT(server_said(here, "the attribute \"own.2\" of session ", 20000));

    CHECK_INT(browser_get(&b, here, "/probe/login?user=kim"), 200);
    CU_ASSERT(answers(&b, here, "/probe/get?name=own.2", SECRET));
    CU_ASSERT(answers(&b, there, "/probe/get?name=shared.1", "all"));
    CHECK_INT(browser_get(&b, there, "/probe/add?name=own.hits"), 200);
    CHECK_INT(browser_get(&b, there, "/probe/add?name=own.hits"), 200);
    CU_ASSERT(strstr(b.body, "\"value\":2") != NULL);
    CU_ASSERT(names_are(&b, here,
                        alone ? "[\"own.2\",\"own.hits\",\"shared.1\"]"
                              : "[\"own.2\",\"shared.1\"]"));

    CHECK_INT(server_stop(here), 0);
    check_kept(f);
    CU_ASSERT_FATAL(fleet_restart(f, 0));
    CU_ASSERT(names_are(&b, here, "[\"shared.1\"]"));
    CU_ASSERT(answers(&b, there, "/probe/get?name=shared.1", "all"));
    CHECK_INT(browser_get(&b, here, "/probe/invalidate"), 200);
    CHECK_INT(browser_get(&b, there, "/probe/names"), 401);
    browser_close(&b);
}

static void on(const char *conf, unsigned count)
{
    struct fleet *f = filtered(conf, count);
    if (f)
        what_does_not_match_stays(f);
}

static void what_does_not_match_stays_on_delta(void)
{
    on("delta.xml", 2);
}

static void what_does_not_match_stays_on_sqlite(void)
{
    on("sqlite.xml", 2);
}

static void what_does_not_match_stays_on_standard(void)
{
    on("standard.xml", 1);
}

UNIT_MAIN_AROUND("aside", NULL, fleet_end,
                 CASE(what_does_not_match_stays_on_delta),
                 CASE(what_does_not_match_stays_on_sqlite),
                 CASE(what_does_not_match_stays_on_standard))
