/* SPDX-License-Identifier: Apache-2.0
 *
 * The SQLite store among people who move, delete and fill, and among other
 * processes. Called with --child it is one of those.
 * Timeout: 300 s */
#include "config.h"

#include "managers/stores/gate.h"
#include "tests/ask.h"
#include "tests/child.h"
#include "tests/unit.h"
#include "tests/world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sqlite_options options(void)
{
    return (struct sqlite_options){.path = shelf_path("")};
}

static bool is_refusing(void *shop)
{
    return shop_get(shop, 1) == RC_UNAVAILABLE;
}

static bool is_serving(void *shop)
{
    return shop_get(shop, 1) != RC_UNAVAILABLE;
}

/* Row 1 is there, so this asks and changes nothing. */
static bool is_writable(void *shop)
{
    return shop_put(shop, 1, 0) == RC_CONFLICT;
}

/* Waits until the store refuses and says how long that took. */
static int64_t ms_until_refusing(struct shop *shop)
{
    int64_t start = instant_read().mono;

    CU_ASSERT(ask_until(is_refusing, shop));
    return instant_read().mono - start;
}

/* --- child processes ------------------------------------------------------ */

static void child_open(struct shop *shop)
{
    struct sqlite_options o = options();
    static struct sqlite_options kept;

    kept = o;
    shop_open(shop, &store_sqlite, &kept, NULL);
}

/* Has the file open. */
static int child_hold(void)
{
    struct shop shop;

    child_open(&shop);
    puts(shop_put(&shop, 500, 0) == RC_OK ? "open" : "not open");
    child_wait();
    shop_close(&shop);
    return 0;
}

/* Has the writer's turn, and keeps it. */
static int child_turn(void)
{
    struct err err = {""};
    struct gate gate;

    gate_init(&gate, NULL, shelf_path(""), NULL);
    puts(gate_lock(&gate, 1000, &err) == RC_OK ? "turn" : err.text);
    child_wait();
    return 0;
}

/* Writes rows and says each version that was acknowledged. */
static int child_acks(void)
{
    struct shop shop;
    struct ask ask;

    child_open(&shop);
    for (uint64_t i = 0; i < 2000; i++) {
        if (ask_put(&shop, &ask, i, 0, "row", 3) != RC_OK)
            return 1;
        printf("%llu %llu\n", (unsigned long long)i,
               (unsigned long long)ask.call.new_version);
    }
    child_wait();
    return 0;
}

/* 500 increments over four rows that all share. */
static int child_increments(void)
{
    struct shop shop;

    child_open(&shop);
    puts("open");
    for (uint64_t i = 0; i < 500; i++) {
        enum rc rc = ask_increment(&shop, i % 4);
        if (rc != RC_OK) {
            printf("%s\n%s", rc_name(rc), shop.lines);
            return 1;
        }
    }
    shop_close(&shop);
    puts("done");
    return 0;
}

/* Puts rows of 1 KiB until one is refused; returns how many were done. */
static uint64_t fill(struct shop *shop, uint64_t from, enum rc *rc)
{
    char bytes[1024];
    struct ask ask;

    memset(bytes, 'x', sizeof bytes);
    while ((*rc = ask_put(shop, &ask, from, 0, bytes, sizeof bytes)) == RC_OK)
        from++;
    ask_clear(&ask);
    return from;
}

static int full_disk(void)
{
    static char zeros[256 * 1024];
    struct shop shop;
    uint64_t done;
    enum rc rc;
    int fd = open(shelf_path(".filler"), O_WRONLY | O_CREAT, 0600);

    MUST(write(fd, zeros, sizeof zeros) == sizeof zeros);
    close(fd);
    child_open(&shop);
    done = fill(&shop, 0, &rc);
    MUST(rc == RC_UNAVAILABLE || rc == RC_UNCERTAIN);
    MUST(done > 10);
    MUST(shop_get(&shop, 0) == RC_OK); /* reading needs no room */
    /* The file's reserve and the log's own room go first. */
    for (uint64_t i = 50000; fill(&shop, i, &rc) > i + 5; i += 1000)
        MUST(i < 70000);
    for (uint64_t i = 100000; i < 100010; i++) {
        MUST(fill(&shop, i * 1000, &rc) < i * 1000 + 10);
        MUST(rc == RC_UNAVAILABLE || rc == RC_UNCERTAIN);
    }
    MUST(shop_logs(&shop, "make room") >= 1);
    MUST(shop_logged(&shop, "WARN") < 10);
    unlink(shelf_path(".filler"));
    MUST(shop_put(&shop, 1, 0) == RC_CONFLICT);
    MUST(shop_put(&shop, 99999, 0) == RC_OK);
    MUST(shop_logs(&shop, "can be written again") >= 1);
    for (uint64_t i = 0; i < done; i++)
        MUST(shop_get(&shop, i) == RC_OK);
    shop_close(&shop);
    puts("done");
    return 0;
}

/* One row that is written again and again by two: the log fills the disk that
 * the file does not need. */
static int full_log(void)
{
    static const char block[4096];
    struct shop shop[2];
    char bytes[1024] = "";
    uint64_t version = 0;
    unsigned done = 0, refused = 0;
    struct stat st;
    int fd;

    child_open(&shop[0]);
    child_open(&shop[1]);
    MUST(shop_put(&shop[0], 1, 0) == RC_OK);
    fd = open(shelf_path(".filler"), O_WRONLY | O_CREAT, 0600);
    MUST(ftruncate(fd, 0) == 0);
    for (unsigned i = 0; i < 4000; i++) {
        struct ask ask;
        enum rc rc =
            ask_put(&shop[i % 2], &ask, 2, version, bytes, sizeof bytes);
        MUST(rc == RC_OK || rc == RC_UNAVAILABLE);
        if (rc == RC_OK)
            version = ask.call.new_version;
        done += rc == RC_OK;
        refused += rc != RC_OK;
        ask_clear(&ask);
        if (i == 100) /* no room but the log's own from here on */
            while (write(fd, block, sizeof block) > 0)
                ;
    }
    close(fd);
    MUST(refused >= 1); /* it was full */
    MUST(refused < 40); /* and went on all the same */
    MUST(shop_get(&shop[0], 1) == RC_OK);
    MUST(stat(shelf_path("-wal"), &st) == 0 && st.st_size < 1024 * 1024);
    MUST(done == 4000 - refused);
    MUST(shop_put(&shop[0], 2, version) == RC_OK ||
         shop_put(&shop[0], 2, version) == RC_OK);
    shop_close(&shop[1]);
    shop_close(&shop[0]);
    puts("done");
    return 0;
}

static const struct child_mode modes[] = {
    {"hold", child_hold, false}, {"turn", child_turn, false},
    {"acks", child_acks, false}, {"increments", child_increments, false},
    {"full", full_disk, true},   {"full-log", full_log, true},
    {NULL, NULL, false},
};

/* --- moved and deleted ---------------------------------------------------- */

static void moved_away_and_back(void)
{
    struct sqlite_options o = options();
    struct shop shop;
    struct ask ask;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "row", 3), RC_OK);
    CHECK_INT(rename(shelf_path(""), shelf_path(".away")), 0);
    /* Noticed by the very next write, and soon by reads. */
    CHECK_INT(shop_put(&shop, 1, ask.call.new_version), RC_UNAVAILABLE);
    CU_ASSERT(ms_until_refusing(&shop) < 1000);
    CHECK_INT(shop_put(&shop, 2, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&shop, "move it back"), 1);
    CHECK_INT(shop_logged(&shop, "WARN"), 1);
    CU_ASSERT_FALSE(shelf_has(""));
    CHECK_INT(rename(shelf_path(".away"), shelf_path("")), 0);
    CU_ASSERT(ask_until(is_serving, &shop));
    CHECK_INT(shop_put(&shop, 1, ask.call.new_version), RC_OK);
    CHECK_INT(shop_get(&shop, 2), RC_ABSENT);
    shop_close(&shop);
}

/* A put whose completion keeps the store's thread, within its transaction. */
struct plug {
    struct store_call call; /* first */
    sem_t reached, go;
};

static void plug_done(struct store_call *call)
{
    struct plug *p = (struct plug *)call;

    sem_post(&p->reached);
    while (sem_wait(&p->go))
        ;
}

static atomic_uint answers;

static void count_answer(struct store_call *call)
{
    (void)call;
    answers++;
}

static bool two_answers(void *user)
{
    (void)user;
    return answers == 2;
}

/* Two puts of one row in one transaction, which is then rolled back: the
 * second must not have been shown what the first wrote. */
static void what_is_rolled_back_was_shown_to_nobody(void)
{
    struct sqlite_options o = options();
    struct store_call puts[2];
    struct plug plug = {.call = {.done = plug_done, .version = 1}};
    struct shop shop;
    struct ask ask;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(ask_put(&shop, &ask, 1, 0, "row", 3), RC_OK);
    sem_init(&plug.reached, 0, 0);
    sem_init(&plug.go, 0, 0);
    CHECK_INT_FATAL(store_put(shop.store, &plug.call), RC_PENDING);
    while (sem_wait(&plug.reached))
        ;
    answers = 0;
    for (int i = 0; i < 2; i++) {
        puts[i] = (struct store_call){.done = count_answer,
                                      .version = ask.call.new_version,
                                      .bytes = "new",
                                      .len = 3};
        ask_id(puts[i].id, 1);
        CHECK_INT(store_put(shop.store, &puts[i]), RC_PENDING);
    }
    rename(shelf_path(""), shelf_path(".away"));
    sem_post(&plug.go);
    CU_ASSERT(ask_until(two_answers, NULL));
    CHECK_INT(puts[0].rc, RC_UNAVAILABLE);
    CHECK_INT(puts[1].rc, RC_UNAVAILABLE);
    rename(shelf_path(".away"), shelf_path(""));
    CU_ASSERT(ask_until(is_writable, &shop));
    CHECK_INT(ask_get(&shop, &ask, 1, ask.call.new_version), RC_OK);
    CU_ASSERT(ask.call.unchanged);
    shop_close(&shop);
}

static void noticed_without_a_write(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(rename(shelf_path(""), shelf_path(".away")), 0);
    CU_ASSERT(ms_until_refusing(&shop) < 1000);
    shop_close(&shop);
    CU_ASSERT_FALSE(shelf_has(""));
}

static void moved_with_all_that_belongs_to_it(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    rename(shelf_path(""), shelf_path(".away"));
    rename(shelf_path("-wal"), shelf_path(".away-wal"));
    rename(shelf_path("-shm"), shelf_path(".away-shm"));
    CU_ASSERT(ms_until_refusing(&shop) < 1000);
    rename(shelf_path(".away-shm"), shelf_path("-shm"));
    rename(shelf_path(".away-wal"), shelf_path("-wal"));
    rename(shelf_path(".away"), shelf_path(""));
    CU_ASSERT(ask_until(is_writable, &shop));
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    CHECK_INT(shop_put(&shop, 2, 0), RC_OK);
    shop_close(&shop);
}

/* While it puts right what belongs to the file, the file itself goes. */
static void moved_while_it_opens_anew(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    unlink(shelf_path("-wal"));
    CHECK_INT(shop_put(&shop, 2, 0), RC_UNAVAILABLE);
    rename(shelf_path(""), shelf_path(".away"));
    CHECK_INT(shop_logs(&shop, "move it back"), 1);
    CU_ASSERT_FALSE(shelf_has(""));
    rename(shelf_path(".away"), shelf_path(""));
    CU_ASSERT(ask_until(is_writable, &shop));
    shop_close(&shop);
}

static void deleted_until_every_instance_is_restarted(void)
{
    struct sqlite_options o = options();
    struct shop old, fresh;

    shop_open(&old, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&old, 1, 0), RC_OK);
    CHECK_INT(unlink(shelf_path("")), 0);
    CHECK_INT(shop_put(&old, 2, 0), RC_UNAVAILABLE);
    CU_ASSERT(ms_until_refusing(&old) < 1000);
    CHECK_INT(shop_logs(&old, "restart every instance"), 1);
    /* The first that is restarted waits for the rest. */
    shop_open(&fresh, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&fresh, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&fresh, "other instances still hold it"), 1);
    CU_ASSERT_FALSE(shelf_has(""));
    shop_close(&old);
    CU_ASSERT(ask_until(is_serving, &fresh));
    CHECK_INT(shop_get(&fresh, 1), RC_ABSENT);
    CHECK_INT(shop_put(&fresh, 1, 0), RC_OK);
    shop_close(&fresh);
}

static void replaced_by_another(void)
{
    struct sqlite_options o = options(), other = options();
    struct shop shop, late;

    other.path = shelf_path(".other");
    shop_open(&shop, &store_sqlite, &other, NULL);
    shop_close(&shop);
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CHECK_INT(rename(other.path, shelf_path("")), 0);
    CHECK_INT(shop_put(&shop, 2, 0), RC_UNAVAILABLE);
    CU_ASSERT(ms_until_refusing(&shop) < 1000);
    CHECK_INT(shop_logs(&shop, "another file put there"), 1);
    shop_open(&late, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&late, 1, 0), RC_UNAVAILABLE);
    CHECK_INT(shop_logs(&late, "have another file open"), 1);
    shop_close(&shop);
    CU_ASSERT(ask_until(is_serving, &late));
    shop_close(&late);
}

static void no_new_file_while_a_process_holds_the_old(void)
{
    struct sqlite_options o = options();
    struct child child = child_start("hold");
    struct shop shop;

    child_expect(&child, "open");
    CHECK_INT(unlink(shelf_path("")), 0);
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_UNAVAILABLE);
    CU_ASSERT_FALSE(shelf_has(""));
    child_end(&child, SIGKILL);
    CU_ASSERT(ask_until(is_serving, &shop));
    CU_ASSERT(shelf_has(""));
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    shop_close(&shop);
}

static bool lock_is_there(void *user)
{
    (void)user;
    return shelf_has(".lock");
}

static void the_lock_file_comes_back(void)
{
    struct sqlite_options o = options();
    struct child child = child_start("hold");
    struct shop shop, late;

    child_expect(&child, "open");
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(unlink(shelf_path(".lock")), 0);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    CU_ASSERT(ask_until(lock_is_there, NULL));
    /* Who joins now finds those who were there before. */
    CHECK_INT(unlink(shelf_path("")), 0);
    shop_open(&late, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&late, 1, 0), RC_UNAVAILABLE);
    CU_ASSERT_FALSE(shelf_has(""));
    shop_close(&late);
    shop_close(&shop);
    child_end(&child, 0);
}

static void remove_and_go_on(const char *end)
{
    struct sqlite_options o = options();
    struct child child = child_start("hold");
    struct shop shop, beside;

    child_expect(&child, "open");
    shop_open(&shop, &store_sqlite, &o, NULL);
    shop_open(&beside, &store_sqlite, &o, NULL);
    for (uint64_t i = 1; i < 100; i++)
        CHECK_INT(shop_put(i % 2 ? &shop : &beside, i, 0), RC_OK);
    CHECK_INT(unlink(shelf_path(end)), 0);
    CHECK_INT(shop_put(&shop, 200, 0), RC_UNAVAILABLE);
    CU_ASSERT_FATAL(ask_until(is_writable, &shop));
    CU_ASSERT_FATAL(ask_until(is_writable, &beside));
    CHECK_INT(shop_put(&shop, 201, 0), RC_OK);
    CHECK_INT(shop_put(&beside, 202, 0), RC_OK);
    for (uint64_t i = 1; i < 100; i++)
        CHECK_INT(shop_get(&beside, i), RC_OK);
    CHECK_INT(shop_get(&beside, 200), RC_ABSENT);
    CHECK_INT(shop_get(&beside, 201), RC_OK);
    CHECK_INT(shop_get(&shop, 202), RC_OK);
    CHECK_INT(shop_get(&shop, 500), RC_OK); /* the child's */
    shop_close(&shop);
    shop_close(&beside);
    CHECK_INT(child_end(&child, 0), 0);
    shop_open(&shop, &store_sqlite, &o, NULL);
    for (uint64_t i = 1; i < 100; i++)
        CHECK_INT(shop_get(&shop, i), RC_OK);
    shop_close(&shop);
}

static void the_log_is_removed(void)
{
    remove_and_go_on("-wal");
}

static void the_index_is_removed(void)
{
    remove_and_go_on("-shm");
}

static void everything_is_removed(void)
{
    struct sqlite_options o = options();
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    unlink(shelf_path("-wal"));
    unlink(shelf_path("-shm"));
    unlink(shelf_path(".lock"));
    unlink(shelf_path(""));
    CHECK_INT(shop_put(&shop, 2, 0), RC_UNAVAILABLE);
    CU_ASSERT(ms_until_refusing(&shop) < 1000);
    CHECK_INT(shop_logs(&shop, "restart every instance"), 1);
    shop_close(&shop);
    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    shop_close(&shop);
}

/* --- among processes ------------------------------------------------------ */

static void a_full_disk(void)
{
    child_case("full");
}

static void a_disk_that_the_log_filled(void)
{
    child_case("full-log");
}

/* Web pages show it. */
static void its_folders_are_not_told(void)
{
    struct sqlite_options o = options();
    char text[256];
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_STR(store_describe(shop.store, text, sizeof text),
              "SQLite file rows.db");
    CHECK_INT(shop_logged(&shop, shelf_path("")), 1);
    shop_close(&shop);
}

/* A log of a busy small file is not kept for ever. */
static void the_log_stays_small(void)
{
    struct sqlite_options o = options();
    char bytes[4096] = "";
    uint64_t version = 0;
    struct shop shop;
    struct stat st;

    shop_open(&shop, &store_sqlite, &o, NULL);
    for (unsigned i = 0; i < 1500; i++) {
        struct ask ask;
        CHECK_INT(ask_put(&shop, &ask, 1, version, bytes, sizeof bytes), RC_OK);
        version = ask.call.new_version;
        ask_clear(&ask);
    }
    CU_ASSERT(stat(shelf_path("-wal"), &st) == 0 && st.st_size < 1536 * 1024);
    shop_close(&shop);
}

static void a_stopped_neighbour_is_not_waited_for(void)
{
    struct sqlite_options o = options();
    struct child child;
    struct shop shop;
    int64_t start;

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(shop_put(&shop, 1, 0), RC_OK);
    child = child_start("turn");
    child_expect(&child, "turn");
    start = instant_read().mono;
    CHECK_INT(shop_put(&shop, 2, 0), RC_UNAVAILABLE);
    CU_ASSERT(instant_read().mono - start < 2500);
    CHECK_INT(shop_logs(&shop, "too long"), 1);
    CHECK_INT(shop_get(&shop, 1), RC_OK);
    child_end(&child, SIGKILL);
    CHECK_INT(shop_put(&shop, 2, 0), RC_OK);
    shop_close(&shop);
}

static void what_was_acknowledged_survives_kill(void)
{
    static uint64_t versions[2000];
    struct sqlite_options o = options();
    struct child child = child_start("acks");
    unsigned long long number, version;
    unsigned count = 0;
    struct shop shop;

    while (fscanf(child.out, "%llu %llu\n", &number, &version) == 2) {
        CU_ASSERT_FATAL(number < 2000);
        versions[number] = version;
        if (++count == 700)
            kill(child.pid, SIGKILL);
    }
    child_end(&child, SIGKILL);
    CU_ASSERT(count >= 700);
    CU_ASSERT(count < 2000);
    shop_open(&shop, &store_sqlite, &o, NULL);
    for (uint64_t i = 0; i < count; i++) {
        struct ask ask;
        CHECK_INT(ask_get(&shop, &ask, i, versions[i]), RC_OK);
        CU_ASSERT(ask.call.unchanged);
        ask_clear(&ask);
    }
    shop_close(&shop);
}

static void eight_processes_never_see_busy(void)
{
    enum { PROCESSES = 8 };
    struct sqlite_options o = options();
    struct child child[PROCESSES];
    int64_t start = instant_read().mono;
    struct shop shop;

    for (int i = 0; i < PROCESSES; i++)
        child[i] = child_start("increments");
    for (int i = 0; i < PROCESSES; i++) {
        child_expect(&child[i], "open");
        child_expect(&child[i], "done");
        CHECK_INT(child_end(&child[i], 0), 0);
    }
    printf("8 processes, 4000 increments on 4 rows: %lld ms\n",
           (long long)(instant_read().mono - start));
    shop_open(&shop, &store_sqlite, &o, NULL);
    for (uint64_t row = 0; row < 4; row++)
        CHECK_INT(ask_number(&shop, row), PROCESSES * 125);
    shop_close(&shop);
}

/* --- what a put writes ---------------------------------------------------- */

static int64_t log_size(const char *path)
{
    struct stat st;

    CHECK_INT_FATAL(stat(path, &st), 0);
    return st.st_size;
}

/* The row's page alone: that of the expiries stays as it is. */
static void the_same_expiry_is_written_once(void)
{
    struct sqlite_options o = options();
    struct shop shop;
    struct ask ask;
    int64_t size[4];

    shop_open(&shop, &store_sqlite, &o, NULL);
    CHECK_INT(ask_put_until(&shop, &ask, 1, 0, "row", 3, 5000), RC_OK);
    for (int i = 0; i < 4; i++) {
        size[i] = log_size(shelf_path("-wal"));
        CHECK_INT(ask_put_until(&shop, &ask, 1, ask.call.new_version, "new", 3,
                                i < 2 ? 5000 : 6000),
                  RC_OK);
    }
    CHECK_INT(size[2] - size[1], size[1] - size[0]);
    CU_ASSERT(size[3] - size[2] > size[1] - size[0]);
    CHECK_INT(ask_put_until(&shop, &ask, 1, 77, "old", 3, 6000), RC_CONFLICT);
    CHECK_INT(ask.call.found_len, 3);
    CU_ASSERT(ask.call.found && memcmp(ask.call.found, "new", 3) == 0);
    ask_clear(&ask);
    CHECK_INT(ask_put_until(&shop, &ask, 2, 77, "none", 4, 6000), RC_ABSENT);
    shop_close(&shop);
}

/* And so it is at the next request. */
static void requests_agree_on_an_expiry(void)
{
    struct world *w = world_new(&fixture_sqlite);
    uint8_t id[ID_SIZE];
    char path[512];
    int64_t size[3];

    w->now.wall = w->now.wall / 60000 * 60000 + 1;
    CHECK_INT_FATAL(world_open(w), RC_OK);
    CHECK_INT_FATAL(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    snprintf(path, sizeof path, "%s/%s-wal", w->dir,
             w->fixture->settings[0].value + 1);
    for (int i = 0; i < 3; i++) {
        world_pass(w, 1000);
        size[i] = log_size(path);
        CHECK_INT(world_hit(w, 0, id, "n"), RC_OK);
    }
    CHECK_INT(size[2] - size[1], 4096 + 24); /* one page */
    CHECK_INT(world_count(w, 0, id, "n"), 4);
    world_free(&w);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        CASE(moved_away_and_back),
        CASE(what_is_rolled_back_was_shown_to_nobody),
        CASE(noticed_without_a_write),
        CASE(moved_with_all_that_belongs_to_it),
        CASE(moved_while_it_opens_anew),
        CASE(deleted_until_every_instance_is_restarted),
        CASE(replaced_by_another),
        CASE(no_new_file_while_a_process_holds_the_old),
        CASE(the_lock_file_comes_back),
        CASE(the_log_is_removed),
        CASE(the_index_is_removed),
        CASE(everything_is_removed),
        CASE(a_full_disk),
        CASE(a_disk_that_the_log_filled),
        CASE(its_folders_are_not_told),
        CASE(the_log_stays_small),
        CASE(a_stopped_neighbour_is_not_waited_for),
        CASE(what_was_acknowledged_survives_kill),
        CASE(eight_processes_never_see_busy),
        CASE(the_same_expiry_is_written_once),
        CASE(requests_agree_on_an_expiry),
    };

    if (argc == 4 && strcmp(argv[1], "--child") == 0)
        return child_main(modes, argv[2], argv[3]);
    return unit_run("sqlite", shelf_new, NULL, cases,
                    sizeof cases / sizeof *cases, argc, argv);
}
