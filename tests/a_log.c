/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "session/log.h"
#include "tests/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct memory {
    char line[2048];
    enum log_level level;
    int count;
};

static void keep(void *user, enum log_level level, const char *line)
{
    struct memory *m = user;

    snprintf(m->line, sizeof m->line, "%s", line);
    m->level = level;
    m->count++;
}

static struct log log_into(struct memory *m)
{
    struct log log;

    log_init(&log, "node7");
    log.sink = keep;
    log.user = m;
    return log;
}

static void a_line_has_time_level_node_area(void)
{
    struct memory m = {0};
    struct log log = log_into(&m);
    int year, ms;

    log_line(&log, LOG_WARN, "store", "%d rows", 3);
    CHECK_INT(m.count, 1);
    CHECK_INT(m.level, LOG_WARN);
    CHECK_INT(sscanf(m.line, "%d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ", &year, &ms),
              2);
    CU_ASSERT(year >= 2024);
    CHECK_STR(m.line + strlen("2024-01-01T00:00:00.000Z"),
              " WARN node7 store: 3 rows");
}

/* sd-daemon(3): the journal takes a line's priority from its beginning. */
static void the_journal_gets_a_priority(void)
{
    struct memory m = {0};
    struct log log = log_into(&m);

    log.journal = true;
    log_line(&log, LOG_WARN, "store", "%d rows", 3);
    CHECK_STR(m.line, "<4>node7 store: 3 rows");
    log_line(&log, LOG_ERROR, "store", "no");
    CHECK_STR(m.line, "<3>node7 store: no");
    log_line(&log, LOG_INFO, "store", "yes");
    CHECK_STR(m.line, "<6>node7 store: yes");
}

static void what_is_below_the_level_is_not_built(void)
{
    struct memory m = {0};
    struct log log = log_into(&m);

    log_line(&log, LOG_DEBUG, "store", "no");
    CHECK_INT(m.count, 0);
    log.level = LOG_DEBUG;
    log_line(&log, LOG_DEBUG, "store", "yes");
    CHECK_INT(m.count, 1);
    log_line(NULL, LOG_ERROR, "store", "nobody listens");
}

static void a_text_cannot_begin_another_line(void)
{
    struct memory m = {0};
    struct log log = log_into(&m);

    log_line(&log, LOG_INFO, "http", "a\nb\rc\x1b[2Jd");
    CU_ASSERT_PTR_NOT_NULL(strstr(m.line, "http: a?b?c?[2Jd"));
}

static void a_long_text_is_cut(void)
{
    struct memory m = {0};
    struct log log = log_into(&m);
    char text[5000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line(&log, LOG_INFO, "http", "%s", text);
    CHECK_INT(strlen(m.line), 1023);
    CHECK_STR(m.line + 1020, "...");
}

static void an_id_is_shown_in_part(void)
{
    const uint8_t id[16] = {0xab, 0xcd, 0xef, 0x01, 0x23, 0x45};
    char text[LOG_ID_SIZE];

    CHECK_STR(log_id(text, id), "ABCDEF01...");
}

enum { WRITERS = 4, LINES = 500 };

static void *write_lines(void *user)
{
    for (int i = 0; i < LINES; i++)
        log_line(user, LOG_INFO, "test", "%0100d", 0);
    return NULL;
}

/* Every line of several threads comes out whole. */
static void lines_do_not_mix(void)
{
    char path[512], line[512];
    pthread_t thread[WRITERS];
    struct log log;
    int count = 0, whole = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/log", unit_tmpdir());
    log_init(&log, "node1");
    log.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CU_ASSERT_FATAL(log.fd >= 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&thread[i], NULL, write_lines, &log);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(thread[i], NULL);
    close(log.fd);
    file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof line, file)) {
        count++;
        whole += strlen(line) ==
                 strlen("2024-01-01T00:00:00.000Z INFO node1 test: ") + 101;
    }
    fclose(file);
    CHECK_INT(count, WRITERS * LINES);
    CHECK_INT(whole, WRITERS * LINES);
}

/* Three applications notice the same outage, and its end. */
static void a_state_is_told_once(void)
{
    struct memory m = {0};
    struct log log = log_into(&m);

    for (int outage = 0; outage < 2; outage++) {
        for (int i = 0; i < 3; i++) {
            log_state(&log, LOG_WARN, "store", "%s is away", "it");
            log_line(&log, LOG_INFO, "manager", "something else");
        }
        for (int i = 0; i < 3; i++)
            log_state(&log, LOG_INFO, "store", "it is back");
    }
    CHECK_INT(m.count, 2 * (1 + 3 + 1));
    log_state(&log, LOG_WARN, "store", "another is away");
    log_state(&log, LOG_DEBUG, "store", "it is back");
    CHECK_INT(m.count, 2 * (1 + 3 + 1) + 1);
    log_line(&log, LOG_INFO, "test", "same");
    log_line(&log, LOG_INFO, "test", "same");
    CHECK_INT(m.count, 2 * (1 + 3 + 1) + 3);
}

UNIT_MAIN("log", CASE(a_line_has_time_level_node_area),
          CASE(the_journal_gets_a_priority),
          CASE(what_is_below_the_level_is_not_built),
          CASE(a_text_cannot_begin_another_line), CASE(a_long_text_is_cut),
          CASE(an_id_is_shown_in_part), CASE(lines_do_not_mix),
          CASE(a_state_is_told_once))
