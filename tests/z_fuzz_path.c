/* SPDX-License-Identifier: Apache-2.0
 *
 * A request target, and a link in a page: a cleaned path never climbs, and a
 * link that gets an id leads to a path of the application which carries just
 * that id. */
#include "config.h"

#include "container/path.h"
#include "container/percent.h"

#include "session/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void expect_clean(const char *path, size_t len, size_t room)
{
    expect(len >= 1 && len <= room && path[0] == '/');
    expect(strlen(path) == len);
    expect(!strstr(path, "//") && !strstr(path, "/./") &&
           !strstr(path, "/../") && !strchr(path, '\\'));
    expect(len < 3 || strcmp(path + len - 3, "/..") != 0);
    expect(len < 2 || strcmp(path + len - 2, "/.") != 0);
    expect(utf8_valid(path, len));
}

/* Cleaned, written as a URL and cleaned again, it is the same. */
static void expect_stable(const struct path *p)
{
    struct buf b;
    struct path again;
    buf_init(&b, p->len * 3 + 1);
    expect(percent_encode_path(&b, p->text, p->len));
    char *out = mem_alloc(b.len + 1);
    expect(path_parse(&again, out, b.data, b.len, "x", NULL) == RC_OK);
    expect(again.len == p->len && !memcmp(again.text, p->text, p->len));
    expect(!again.id);
    free(out);
    buf_release(&b);
}

static void parse(const char *raw, size_t len)
{
    char *out = mem_alloc(len + 1);
    struct path p;
    if (path_parse(&p, out, raw, len, "jsessionid", NULL) == RC_OK) {
        expect_clean(p.text, p.len, len);
        expect(!p.id || (p.id > raw && p.id + p.id_len <= raw + len));
        expect_stable(&p);
    }
    free(out);
}

static void encode(const char *text, size_t len)
{
    static const struct path_base base = {
        .scheme = "http",
        .host = "h",
        .port = 80,
        .context = "/app",
        .path = "/app/a/b",
    };
    char *url = mem_strndup(text, len);
    struct buf b;
    buf_init(&b, 1 << 20);
    enum path_link kind = path_encode_url(&b, &base, url, "s", "ID.n1");
    if (kind != PATH_LINK_ENCODED) {
        expect(!strcmp(buf_str(&b), url));
    } else {
        struct path_target t;
        struct path p;
        size_t end = strcspn(buf_str(&b), "?#");
        const char *path = buf_str(&b);
        expect(strstr(path, ";s=ID.n1") != NULL);
        /* With its authority gone and a base before it, it can be parsed. */
        if (*path != '/' || path[1] != '/') {
            if (path_target(&t, path, end, NULL) == RC_OK) {
                char *out = mem_alloc(t.path_len + 1);
                if (path_parse(&p, out, t.path, t.path_len, "s", NULL) ==
                    RC_OK) {
                    expect(path_within(p.text, p.len, "/app"));
                    expect(p.id && p.id_len == 5 && !memcmp(p.id, "ID.n1", 5));
                }
                free(out);
            }
        }
    }
    buf_release(&b);
    free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct path_target t;
    parse(text, size);
    if (path_target(&t, text, size, NULL) == RC_OK) {
        expect(t.path_len && t.path[0] == '/');
        parse(t.path, t.path_len);
    }
    encode(text, size);

    char *out = mem_alloc(size + 6);
    size_t len = 0;
    if (path_resolve(out, &len, "/x/y", text, size) == RC_OK)
        expect_clean(out, len, size + 4);
    free(out);
    return 0;
}
