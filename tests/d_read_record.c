/* SPDX-License-Identifier: Apache-2.0
 *
 * Another language reads what we store: tests/read_record.py, which knows
 * nothing but docs/stored-form.md, beside what was written. */
#include "config.h"

#include "session/record_impl.h"

#include "session/buf.h"
#include "tests/records.h"
#include "tests/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t id[ID_SIZE] = "0123456789abcde";

static const char *python(void)
{
    const char *given = getenv("PYTHON");
    return given && *given ? given : "/usr/bin/python3";
}

/* What the script prints; "" when it fails. */
static void script_named(struct buf *out, const char *name,
                         const char *arguments)
{
    const char *srcdir = getenv("srcdir");
    char line[1024], part[512];
    size_t n;

    snprintf(line, sizeof line, "'%s' '%s/tests/%s' %s", python(),
             srcdir ? srcdir : ".", name, arguments);
    buf_init(out, 1 << 20);
    FILE *p = popen(line, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    while ((n = fread(part, 1, sizeof part, p)) > 0)
        buf_add(out, part, n);
    if (pclose(p) != 0)
        buf_reset(out);
}

static void script(struct buf *out, const char *arguments)
{
    script_named(out, "read_record.py", arguments);
}

static void script_on(struct buf *out, const struct record *r)
{
    char path[512], arguments[600];

    snprintf(path, sizeof path, "%s/block", unit_tmpdir());
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CHECK_INT(fwrite(r->bytes, 1, r->len, f), r->len);
    fclose(f);
    snprintf(arguments, sizeof arguments, "<'%s'", path);
    script(out, arguments);
}

#define HAS(out, text) CU_ASSERT(strstr(buf_str(out), text) != NULL)

static struct record *furnished(void)
{
    struct changes c;
    struct value v = value_text("kim");

    changes_init(&c);
    changes_set(&c, key_field(FIELD_USER), &v);
    changes_set(&c, key_text("name"), &v);
    v = (struct value){.type = VALUE_BYTES, .data = "\0\xff", .len = 2};
    changes_set(&c, key_text("bytes"), &v);
    v = value_number(VALUE_INT, INT64_MIN);
    changes_set(&c, key_text("least"), &v);
    v = (struct value){.type = VALUE_DOUBLE, .real = 1.5};
    changes_set(&c, key_text("half"), &v);
    v = (struct value){.type = VALUE_BOOL, .truth = true};
    changes_set(&c, key_text("truth"), &v);
    v = value_number(VALUE_COUNTER, 100);
    changes_set(&c, key_text("set"), &v);
    changes_remove(&c, key_text("gone"));
    changes_add(&c, key_text("hits"), 3);
    struct record *r = record_new(RECORD_SESSION, id, 1000, &c, 7);
    changes_release(&c);
    return r;
}

static void a_block_says_the_same(void)
{
    struct record *r = furnished();
    struct buf out;

    for (uint64_t node = 1; node <= 40; node++) {
        record_take(&r, delta_add(r, "hits", -10, 2000, node));
        record_take(&r, delta_add(r, "set", 1, 2000, node));
    }
    record_take(&r, delta_add(r, "wraps", INT64_MAX, 2000, 1));
    record_take(&r, delta_add(r, "wraps", 2, 2000, 2));
    script_on(&out, r);
    HAS(&out, "\"id\": \"30313233343536373839616263646500\"");
    HAS(&out, "\"kind\": \"session\"");
    HAS(&out, "\"whole\": true");
    HAS(&out, "\"birth\": 1000,");
    HAS(&out, "\"fields\": {\"user\": \"kim\"}");
    HAS(&out, "\"attributes\": {\"bytes\": {\"bytes\": \"00ff\"}, "
              "\"half\": 1.5, \"hits\": -397, "
              "\"least\": -9223372036854775808, \"name\": \"kim\", "
              "\"set\": 140, \"truth\": true, "
              "\"wraps\": -9223372036854775807}");
    buf_release(&out);
    record_take(&r, record_end_delta(r, REASON_LOGOUT, NULL, 3000, 7));
    script_on(&out, r);
    HAS(&out, "\"fields\": {\"ended\": [5, null]}");
    HAS(&out, "\"attributes\": {}");
    buf_release(&out);
    record_unref(&r);
}

static void a_row_of_sqlite_says_the_same(struct world *w)
{
    uint8_t guest[ID_SIZE], mine[ID_SIZE];
    char arguments[512], text[ID_TEXT_SIZE];
    struct buf out;

    CHECK_INT_FATAL(world_create(w, 0, guest), RC_OK);
    CHECK_INT_FATAL(world_login(w, 0, guest, "kim", mine), RC_OK);
    CHECK_INT_FATAL(world_put(w, 1, mine, "k", "kept"), RC_OK);
    for (unsigned i = 0; i < 5; i++)
        CHECK_INT_FATAL(world_hit(w, i % w->count, mine, "hits"), RC_OK);
    snprintf(arguments, sizeof arguments, "'%s/sessions.db' %s", w->dir,
             id_format(mine, text));
    script(&out, arguments);
    HAS(&out, "\"hits\": 5");
    HAS(&out, "\"k\": \"kept\"");
    HAS(&out, "\"user\": \"kim\"");
    HAS(&out, text);
    CU_ASSERT(strstr(buf_str(&out), "\"lastAccess\": null") == NULL);
    buf_release(&out);
    snprintf(arguments, sizeof arguments, "'%s/sessions.db' %s", w->dir,
             id_format(guest, text));
    script(&out, arguments);
    HAS(&out, "\"ended\": [10, {\"bytes\": "); /* renamed */
    buf_release(&out);
}

/* read_file.py looks at the file, and hands the block to the other one. */
static void a_file_says_the_same(struct world *w)
{
    uint8_t mine[ID_SIZE];
    char path[512], arguments[1536], text[ID_TEXT_SIZE];
    const char *srcdir = getenv("srcdir");
    struct buf out;

    CHECK_INT_FATAL(world_create(w, 0, mine), RC_OK);
    CHECK_INT_FATAL(world_put(w, 1, mine, "k", "kept"), RC_OK);
    id_format(mine, text);
    snprintf(path, sizeof path, "'%s/sessions/test/%.2s/%s.session'", w->dir,
             text, text);
    script_named(&out, "read_file.py", path);
    HAS(&out, text);
    HAS(&out, "\"access\": ");
    buf_release(&out);
    snprintf(arguments, sizeof arguments,
             "%s --block | '%s' '%s/tests/read_record.py'", path, python(),
             srcdir ? srcdir : ".");
    script_named(&out, "read_file.py", arguments);
    HAS(&out, "\"k\": \"kept\"");
    HAS(&out, text);
    buf_release(&out);
    snprintf(arguments, sizeof arguments,
             "/dev/null 2>&1; printf x | dd of=%s bs=1 seek=70 conv=notrunc "
             "2>/dev/null; '%s' '%s/tests/read_file.py' %s 2>&1; true",
             path, python(), srcdir ? srcdir : ".", path);
    script_named(&out, "read_file.py", arguments);
    HAS(&out, "damaged");
    buf_release(&out);
}

/* Also skips when this python3 is one without sqlite3. */
static void before(void)
{
    char line[512];
    snprintf(line, sizeof line, "'%s' -c 'import sqlite3' 2>/dev/null",
             python());
    int status = system(line);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        SKIP("%s with its sqlite3 module is not there", python());
}

STATEMENT_ON(a_row_of_sqlite_says_the_same, NULL, sqlite)
STATEMENT_ON(a_file_says_the_same, NULL, file)

UNIT_MAIN_AROUND("read_record", before, NULL, CASE(a_block_says_the_same),
                 CASE(a_row_of_sqlite_says_the_same_on_sqlite),
                 CASE(a_file_says_the_same_on_file))
