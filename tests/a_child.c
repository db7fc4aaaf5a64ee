/* SPDX-License-Identifier: Apache-2.0
 *
 * a_child.c: what a process says, passed on line by line. */
#include "config.h"

#include "container/child.h"
#include "tests/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A child whose standard error is ours to write, and to read passed on. */
struct speaker {
    struct child child;
    int says, heard;
    unsigned lines;
    char text[40000]; /* what was heard */
};

static void take_line(void *user, struct child *c, const char *line)
{
    (void)c;
    (void)line;
    ((struct speaker *)user)->lines++;
}

static void open_speaker(struct speaker *s)
{
    int in[2], out[2];

    CU_ASSERT_FATAL(pipe2(in, O_CLOEXEC | O_NONBLOCK) == 0);
    CU_ASSERT_FATAL(pipe2(out, O_CLOEXEC) == 0);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    child_init(&s->child, "node1", 0);
    s->child.err.from = in[0];
    s->child.err.to = out[1];
    s->says = in[1];
    s->heard = out[0];
    s->lines = 0;
    s->text[0] = '\0';
}

static void close_speaker(struct speaker *s)
{
    close(s->child.err.to);
    close(s->heard);
    close(s->says);
    child_release(&s->child);
}

static void say(struct speaker *s, const char *bytes, size_t len)
{
    CHECK_INT(write(s->says, bytes, len), len);
    for (size_t n = 0; n < len; n += 4096)
        child_read(&s->child, take_line, s);
}

static const char *hear(struct speaker *s)
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(s->heard, s->text + len, sizeof s->text - 1 - len)) > 0)
        len += (size_t)n;
    s->text[len] = '\0';
    return s->text;
}

/* The text of a line again; "" where it is not all there. */
static void join(const char *heard, char *out)
{
    static const char first[] = "node1 | ", next[] = "node1 + ";
    const char *head = first;

    *out = '\0';
    for (const char *end; (end = strchr(heard, '\n')); heard = end + 1) {
        if (end - heard + 1 > PIPE_BUF || strncmp(heard, head, strlen(head)))
            break;
        size_t len = (size_t)(end - heard) - strlen(head);
        bool more = end[-1] == '\\';
        strncat(out, heard + strlen(head), len - more);
        if (!more)
            return;
        head = next;
    }
    *out = '\0';
}

static void short_lines_stand_behind_the_name(void)
{
    struct speaker s;

    open_speaker(&s);
    say(&s, "one\n\ntwo\nthr", 12);
    CHECK_STR(hear(&s), "node1 | one\nnode1 | \nnode1 | two\n");
    say(&s, "ee\n", 3);
    CHECK_STR(hear(&s), "node1 | three\n");
    CHECK_INT(s.lines, 4);
    close_speaker(&s);
}

static void a_long_line_goes_on(void)
{
    static char line[20001], joined[20001];
    struct speaker s;

    for (size_t i = 0; i < sizeof line - 1; i++)
        line[i] = (char)('a' + i % 26);
    line[sizeof line - 2] = '\n';
    open_speaker(&s);
    say(&s, line, sizeof line - 1);
    say(&s, "next\n", 5);
    hear(&s);
    const char *next = strstr(s.text, "node1 | next\n");
    CU_ASSERT_PTR_NOT_NULL(next);
    join(s.text, joined);
    line[sizeof line - 2] = '\0';
    CHECK_STR(joined, line);
    CHECK_INT(s.lines, 6);
    close_speaker(&s);
}

/* It has no piece more than it takes. */
static void a_line_of_a_pieces_length_is_one(void)
{
    static char line[CHILD_LINE_SIZE];
    struct speaker s;
    size_t most = 0;

    for (size_t len = CHILD_LINE_SIZE - 8; len < CHILD_LINE_SIZE; len++) {
        memset(line, 'x', len);
        line[len - 1] = '\n';
        open_speaker(&s);
        say(&s, line, len);
        hear(&s);
        if (s.lines == 1 && !strchr(s.text, '\\'))
            most = len;
        CU_ASSERT(strcmp(s.text + strlen(s.text) - 2, "x\n") == 0);
        close_speaker(&s);
    }
    CHECK_INT(most, CHILD_LINE_SIZE - 3);
}

/* Nor is it cut within a character, or at a byte that ends text in C. */
static void a_cut_spares_characters(void)
{
    static char line[6001];
    struct speaker s;

    for (size_t shift = 0; shift < 3; shift++) {
        memset(line, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof line; i += 3)
            memcpy(line + i, "\xe2\x82\xac", 3);
        open_speaker(&s);
        say(&s, line, shift + 3 * ((sizeof line - 1 - shift) / 3));
        const char *cut = strstr(hear(&s), "\\\n");
        CU_ASSERT_PTR_NOT_NULL_FATAL(cut);
        CU_ASSERT(memcmp(cut - 3, "\xe2\x82\xac", 3) == 0);
        close_speaker(&s);
    }
    open_speaker(&s);
    say(&s, "a\0b\n", 4);
    hear(&s);
    CU_ASSERT(memcmp(s.text, "node1 | a\0b\n", 12) == 0);
    close_speaker(&s);
}

/* Of a line that nobody reads to its end what came is whole pieces, and the
 * next line begins a line. */
static void what_is_left_out_glues_nothing(void)
{
    static char line[16000];
    struct speaker s;

    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    open_speaker(&s);
    CHECK_INT(fcntl(s.child.err.to, F_SETPIPE_SZ, 4096), 4096);
    say(&s, line, sizeof line); /* the pipe takes one piece */
    hear(&s);
    CHECK_INT(strspn(s.text + strlen("node1 | "), "x"), CHILD_LINE_SIZE - 4);
    CHECK_STR(s.text + strlen("node1 | ") + CHILD_LINE_SIZE - 4, "\\\n");
    say(&s, "next\n", 5);
    CHECK_STR(hear(&s), "node1 | next\n");
    close_speaker(&s);
}

UNIT_MAIN("child", CASE(short_lines_stand_behind_the_name),
          CASE(a_long_line_goes_on), CASE(a_line_of_a_pieces_length_is_one),
          CASE(a_cut_spares_characters), CASE(what_is_left_out_glues_nothing))
