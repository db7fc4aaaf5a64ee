/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration files as trees: what is accepted, what is refused and where,
 * properties, limits. */
#include "config.h"

#include "container/xml.h"

#include "session/buf.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *lookup(void *user, const char *name)
{
    (void)user;
    if (!strcmp(name, "port"))
        return "8081";
    if (!strcmp(name, "cluster.members"))
        return "a:1,b:2";
    if (!strcmp(name, "none"))
        return "";
    if (!strcmp(name, "dollar"))
        return "${port}";
    return NULL;
}

static enum rc read_bytes(struct xml_document **doc, const char *xml,
                          size_t len, struct err *err)
{
    char *copy = mem_alloc(len);
    memcpy(copy, xml, len);
    enum rc rc = xml_read(doc, "t.xml", copy, len, lookup, NULL, err);
    free(copy);
    return rc;
}

static struct xml_document *read_good(const char *xml)
{
    struct xml_document *doc = NULL;
    struct err err = {""};
    CHECK_INT(read_bytes(&doc, xml, strlen(xml), &err), RC_OK);
    CHECK_STR(err.text, "");
    return doc;
}

/* The text must begin with `begins` and hold `holds`. */
static void check_bad(const char *xml, enum rc expected, const char *begins,
                      const char *holds)
{
    struct xml_document *doc = NULL;
    struct err err = {""};
    CHECK_INT(read_bytes(&doc, xml, strlen(xml), &err), expected);
    CU_ASSERT_PTR_NULL(doc);
    if (strncmp(err.text, begins, strlen(begins)) || !strstr(err.text, holds))
        CHECK_STR(err.text, holds);
    CHECK_INT(xml_read(&doc, "t.xml", xml, strlen(xml), lookup, NULL, NULL),
              expected);
}

static void builds_the_tree(void)
{
    struct xml_document *doc = read_good("<?xml version='1.0'?>\n"
                                         "<Server port='8005'>\n"
                                         "  <!-- ${unknown} -->\n"
                                         "  <Service name='a'>one\n"
                                         "    <Engine\n"
                                         "      name='x'/>two\n"
                                         "  </Service>\n"
                                         "  <Service name='b'/>\n"
                                         "  <Listener/>\n"
                                         "</Server>\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    const struct xml_element *server = doc->root;
    CHECK_STR(server->name, "Server");
    CHECK_INT(server->line, 2);
    CHECK_STR(server->file, "t.xml");
    CHECK_STR(server->text, "");
    CU_ASSERT_PTR_NULL(server->parent);
    CU_ASSERT_PTR_NULL(server->next);
    CHECK_STR(xml_get(server, "port"), "8005");
    CHECK_STR(xml_get(server, "Port"), NULL);

    const struct xml_element *a = xml_child(server, "Service", NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CHECK_STR(a->text, "one\n    two");
    CU_ASSERT(a->parent == server);
    const struct xml_element *engine = xml_child(a, NULL, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(engine);
    CHECK_INT(engine->line, 5);
    CU_ASSERT_PTR_NULL(xml_child(a, NULL, engine));

    const struct xml_element *b = xml_child(server, "Service", a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CHECK_STR(xml_get(b, "name"), "b");
    CU_ASSERT_PTR_NULL(xml_child(server, "Service", b));
    CHECK_STR(xml_child(server, NULL, b)->name, "Listener");
    CU_ASSERT_PTR_NULL(xml_child(server, "Nothing", NULL));
    xml_free(&doc);
    CU_ASSERT_PTR_NULL(doc);
    xml_free(&doc);
}

static void joins_and_trims_text(void)
{
    struct xml_document *doc =
        read_good("<a><b> x &lt;&amp;&#x41; </b><c><![CDATA[ <i>${port}</i> ]]>"
                  "</c><d>\t\r\n </d></a>");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CHECK_STR(xml_child_text(doc->root, "b"), "x <&A");
    CHECK_STR(xml_child_text(doc->root, "c"), "<i>8081</i>");
    CHECK_STR(xml_child_text(doc->root, "d"), "");
    CHECK_STR(xml_child_text(doc->root, "e"), NULL);
    xml_free(&doc);
}

static void tolerates_prefixes(void)
{
    struct xml_document *doc = read_good(
        "<j:web-app xmlns:j='urn:x' xmlns='urn:y' xsi:schemaLocation='a b' "
        "xml:lang='en' version='6.0'><j:servlet/></j:web-app>");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CHECK_STR(doc->root->name, "web-app");
    CU_ASSERT_PTR_NOT_NULL(xml_child(doc->root, "servlet", NULL));
    CHECK_INT((int64_t)doc->root->attribute_count, 5);
    size_t meta = 0;
    for (size_t i = 0; i < doc->root->attribute_count; i++)
        meta += xml_is_meta(doc->root->attributes[i].name);
    CHECK_INT((int64_t)meta, 4);
    CU_ASSERT(!xml_is_meta("version"));
    CU_ASSERT(!xml_is_meta("xmlnsx"));
    xml_free(&doc);
    doc = read_good("<a:b:c><:/><d:/></a:b:c>");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CHECK_STR(doc->root->name, "c");
    CU_ASSERT_PTR_NOT_NULL(xml_child(doc->root, ":", NULL));
    CU_ASSERT_PTR_NOT_NULL(xml_child(doc->root, "d:", NULL));
    xml_free(&doc);
}

static void understands_encodings(void)
{
    static const char utf16[] = "\377\376<\0a\0>\0\344\0<\0/\0a\0>\0";
    struct xml_document *doc =
        read_good("<?xml version='1.0' encoding='ISO-8859-1'?><a>\344</a>");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CHECK_STR(doc->root->text, "\303\244");
    xml_free(&doc);
    doc = read_good("\357\273\277<a>\303\244</a>");
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CHECK_STR(doc->root->text, "\303\244");
    xml_free(&doc);
    CHECK_INT(read_bytes(&doc, utf16, sizeof utf16 - 1, NULL), RC_OK);
    CHECK_STR(doc->root->text, "\303\244");
    xml_free(&doc);
    check_bad("<?xml version='1.0' encoding='EBCDIC-X'?><a/>", RC_INVALID,
              "t.xml:1: ", "encoding");
    check_bad("<a>\344</a>", RC_INVALID, "t.xml:1: ", "correct the XML");
}

static void replaces_properties(void)
{
    static const char *const rows[][2] = {
        {"${port}", "8081"},
        {"a${port}b${port}c", "a8081b8081c"},
        {"${cluster.members}", "a:1,b:2"},
        {"${port:-1}", "8081"},
        {"${x:-1}", "1"},
        {"${x:-}", ""},
        {"${x:-a b:-c}", "a b:-c"},
        {"${none}", ""},
        {"${none:-1}", ""},
        {"${x:-${y:-z}}", "z"},
        {"${x:-${port}}", "8081"},
        {"${x:-a${y:-b${port:-c}d}e}f", "ab8081def"},
        {"${port:-${unknown}}", "8081"},
        {"${port:-${unknown:-${other}}}", "8081"},
        {"$${port}", "${port}"},
        {"$${port}${port}", "${port}8081"},
        {"${x:-$${y}", "${y"},
        {"${dollar}", "${port}"},
        {"$", "$"},
        {"a$", "a$"},
        {"$$", "$$"},
        {"$1 $x }", "$1 $x }"},
        {"a}b", "a}b"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char xml[256];
        snprintf(xml, sizeof xml, "<a b='%s'>%s</a>", rows[i][0], rows[i][0]);
        struct xml_document *doc = read_good(xml);
        CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
        CHECK_STR(xml_get(doc->root, "b"), rows[i][1]);
        CHECK_STR(doc->root->text, rows[i][1]);
        xml_free(&doc);
    }
}

static void refuses_bad_properties(void)
{
    static const char *const rows[][2] = {
        {"${x}", "-D x=VALUE"},
        {"${x:-${y}}", "-D y=VALUE"},
        {"${}", "without a name"},
        {"${:-x}", "without a name"},
        {"${", "without its }"},
        {"${port", "without its }"},
        {"${x:-", "without its }"},
        {"${x:-${y:-z}", "without its }"},
        {"${port:-${}}", "without a name"},
        {"${a b}", "blank"},
        {"${${port}}", "$$"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char xml[256];
        snprintf(xml, sizeof xml, "<a>\n<b\n c='%s'/></a>", rows[i][0]);
        check_bad(xml, RC_INVALID, "t.xml:2: ", rows[i][1]);
        snprintf(xml, sizeof xml, "<a>\n\n<b>%s</b></a>", rows[i][0]);
        check_bad(xml, RC_INVALID, "t.xml:3: ", rows[i][1]);
    }
    struct xml_document *doc = NULL;
    CHECK_INT(xml_read(&doc, "t", "<a>${port}</a>", 14, NULL, NULL, NULL),
              RC_INVALID);
}

static void refuses_doctypes_and_entities(void)
{
    check_bad("<?xml version='1.0'?>\n<!DOCTYPE a>\n<a/>", RC_INVALID,
              "t.xml:2: ", "DOCTYPE");
    check_bad("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", RC_INVALID,
              "t.xml:1: ", "DOCTYPE");
    check_bad("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", RC_INVALID,
              "t.xml:1: ", "DOCTYPE");
    check_bad("<!DOCTYPE a [<!ENTITY x '1'><!ENTITY y '&x;&x;'>]>\n"
              "<a b='&y;'/>",
              RC_INVALID, "t.xml:1: ", "DOCTYPE");
    check_bad("<a>\n&nbsp;</a>", RC_INVALID, "t.xml:2: ", "unknown entity");
    check_bad("<a b='&x;'/>", RC_INVALID, "t.xml:1: ", "unknown entity");
}

static void refuses_what_is_not_well_formed(void)
{
    static const char *const rows[][2] = {
        {"", "t.xml:1: "},
        {" ", "t.xml:1: "},
        {"x", "t.xml:1: "},
        {"<a>", "t.xml:1: "},
        {"<a>\n<b>\n</a>", "t.xml:3: "},
        {"<a/><b/>", "t.xml:1: "},
        {"<a b='1' b='2'/>", "t.xml:1: "},
        {"<a b=1/>", "t.xml:1: "},
        {"<a>\n&#0;</a>", "t.xml:2: "},
        {"<a>\001</a>", "t.xml:1: "},
        {"<a/>trailing", "t.xml:1: "},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_bad(rows[i][0], RC_INVALID, rows[i][1], "correct the XML");
    struct xml_document *doc = NULL;
    CHECK_INT(read_bytes(&doc, "<a>\0</a>", 8, NULL), RC_INVALID);
}

static void check_limit(const char *xml, size_t len, enum rc expected)
{
    struct xml_document *doc = NULL;
    CHECK_INT(read_bytes(&doc, xml, len, NULL), expected);
    xml_free(&doc);
}

static void caps_depth_and_count(void)
{
    struct buf b;
    buf_init(&b, XML_MAX_BYTES);
    for (int depth = XML_MAX_DEPTH; depth <= XML_MAX_DEPTH + 1; depth++) {
        buf_reset(&b);
        for (int i = 0; i < depth; i++)
            buf_add_str(&b, "<a>");
        for (int i = 0; i < depth; i++)
            buf_add_str(&b, "</a>");
        check_limit(buf_str(&b), b.len,
                    depth > XML_MAX_DEPTH ? RC_TOOBIG : RC_OK);
    }
    for (int count = XML_MAX_ELEMENTS; count <= XML_MAX_ELEMENTS + 1; count++) {
        buf_reset(&b);
        buf_add_str(&b, "<r>");
        for (int i = 1; i < count; i++)
            buf_add_str(&b, "<a/>");
        buf_add_str(&b, "</r>");
        check_limit(buf_str(&b), b.len,
                    count > XML_MAX_ELEMENTS ? RC_TOOBIG : RC_OK);
    }
    for (int n = XML_MAX_ATTRIBUTES; n <= XML_MAX_ATTRIBUTES + 1; n++) {
        buf_reset(&b);
        buf_add_str(&b, "<a");
        for (int i = 0; i < n; i++)
            buf_addf(&b, " a%d=''", i);
        buf_add_str(&b, "/>");
        check_limit(buf_str(&b), b.len,
                    n > XML_MAX_ATTRIBUTES ? RC_TOOBIG : RC_OK);
    }
    buf_release(&b);
}

static void caps_values_and_defaults(void)
{
    struct buf b;
    buf_init(&b, XML_MAX_BYTES);
    buf_add_str(&b, "<a>");
    for (int i = 0; i <= XML_MAX_VALUE / 4; i++)
        buf_add_str(&b, "${port}");
    buf_add_str(&b, "</a>");
    check_limit(buf_str(&b), b.len, RC_TOOBIG);

    for (int depth = 16; depth <= 17; depth++) {
        buf_reset(&b);
        buf_add_str(&b, "<a>");
        for (int i = 0; i < depth; i++)
            buf_add_str(&b, "${x:-");
        for (int i = 0; i < depth; i++)
            buf_add_str(&b, "}");
        buf_add_str(&b, "</a>");
        check_limit(buf_str(&b), b.len, depth > 16 ? RC_TOOBIG : RC_OK);
    }
    buf_reset(&b);
    buf_add_str(&b, "<a>${");
    for (int i = 0; i < 128; i++)
        buf_add_char(&b, 'x');
    buf_add_str(&b, ":-1}</a>");
    check_limit(buf_str(&b), b.len, RC_INVALID);
    buf_release(&b);
}

static void caps_bytes(void)
{
    size_t len = XML_MAX_BYTES + 1;
    char *xml = mem_alloc(len);
    memset(xml, ' ', len);
    memcpy(xml, "<a/>", 4);
    check_limit(xml, len - 1, RC_OK);
    check_limit(xml, len, RC_TOOBIG);
    free(xml);
}

/* ---- files ---- */

static const char *write_file(const char *name, const char *bytes, size_t len)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", unit_tmpdir(), name);
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CHECK_INT((int64_t)fwrite(bytes, 1, len, f), (int64_t)len);
    CHECK_INT(fclose(f), 0);
    return path;
}

static void reads_files(void)
{
    static const char xml[] = "<a>\n<b c='${port}'/></a>\n";
    struct xml_document *doc = NULL;
    struct err err = {""};
    const char *path = write_file("good.xml", xml, sizeof xml - 1);
    CHECK_INT(xml_read_file(&doc, path, lookup, NULL, &err), RC_OK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
    CHECK_STR(doc->root->file, path);
    CHECK_STR(xml_get(doc->root->children, "c"), "8081");

    CHECK_INT(xml_error(doc->root->children, RC_INVALID, &err, "c is %d", 7),
              RC_INVALID);
    char expected[600];
    snprintf(expected, sizeof expected, "%s:2: c is 7", path);
    CHECK_STR(err.text, expected);
    xml_free(&doc);
}

static void says_why_a_file_cannot_be_read(void)
{
    struct xml_document *doc = NULL;
    struct err err = {""};
    char path[512];
    snprintf(path, sizeof path, "%s/none.xml", unit_tmpdir());
    CHECK_INT(xml_read_file(&doc, path, lookup, NULL, &err), RC_ABSENT);
    CU_ASSERT(!strncmp(err.text, path, strlen(path)));
    CHECK_INT(xml_read_file(&doc, unit_tmpdir(), lookup, NULL, &err),
              RC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "irectory"));

    size_t len = XML_MAX_BYTES + 1;
    char *big = mem_alloc(len);
    memset(big, ' ', len);
    CHECK_INT(xml_read_file(&doc, write_file("big.xml", big, len), lookup, NULL,
                            &err),
              RC_TOOBIG);
    free(big);
    CHECK_INT(
        xml_read_file(&doc, write_file("empty.xml", "", 0), lookup, NULL, &err),
        RC_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "empty.xml:1: "));
    CU_ASSERT_PTR_NULL(doc);
}

UNIT_MAIN("xml", CASE(builds_the_tree), CASE(joins_and_trims_text),
          CASE(tolerates_prefixes), CASE(understands_encodings),
          CASE(replaces_properties), CASE(refuses_bad_properties),
          CASE(refuses_doctypes_and_entities),
          CASE(refuses_what_is_not_well_formed), CASE(caps_depth_and_count),
          CASE(caps_values_and_defaults), CASE(caps_bytes), CASE(reads_files),
          CASE(says_why_a_file_cannot_be_read))
