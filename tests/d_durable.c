/* SPDX-License-Identifier: Apache-2.0
 *
 * d_durable.c: in which order a store speaks to the disk and to who asked.
 * What is answered is at its place; with synchronous="FULL" it was brought to
 * the disk before. */
#include "config.h"

#include "tests/ask.h"
#include "tests/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- what is seen of it: this program's own fsync and rename ---- */

static struct {
    pthread_mutex_t lock;
    bool on;
    unsigned count;
    char steps[64]; /* F: a sync, R: a rename, A: the answer */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void see(char step)
{
    pthread_mutex_lock(&seen.lock);
    if (seen.on && seen.count < sizeof seen.steps - 1)
        seen.steps[seen.count++] = step;
    pthread_mutex_unlock(&seen.lock);
}

int fsync(int fd)
{
    see('F');
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    see('F');
    return (int)syscall(SYS_fdatasync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    see('R');
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

static void watch(bool on)
{
    pthread_mutex_lock(&seen.lock);
    seen.on = on;
    if (on)
        memset(seen.steps, 0, sizeof seen.steps);
    if (on)
        seen.count = 0;
    pthread_mutex_unlock(&seen.lock);
}

/* ---- one put ---- */

struct put {
    struct store_call call; /* first */
    sem_t answered;
};

static void put_answered(struct store_call *call)
{
    see('A');
    sem_post(&((struct put *)call)->answered);
}

/* The steps of a put that changes a row. */
static const char *steps_of_a_put(struct shop *shop)
{
    struct put put = {.call.done = put_answered};
    struct ask first;

    CHECK_INT(ask_put(shop, &first, 1, 0, "row", 3), RC_OK);
    sem_init(&put.answered, 0, 0);
    ask_id(put.call.id, 1);
    put.call.version = first.call.new_version;
    put.call.bytes = "new";
    put.call.len = 3;
    put.call.expiry = first.call.expiry;
    watch(true);
    if (store_put(shop->store, &put.call) == RC_PENDING)
        sem_wait(&put.answered);
    watch(false);
    CHECK_INT(put.call.rc, RC_OK);
    sem_destroy(&put.answered);
    return seen.steps;
}

static const char *steps_in_files(int synchronous)
{
    struct file_options o = {.directory = shelf_path(""),
                             .synchronous = synchronous};
    struct shop shop;

    shop_open(&shop, &store_file, &o, NULL);
    const char *steps = steps_of_a_put(&shop);
    shop_close(&shop);
    return steps;
}

static const char *steps_in_sqlite(int synchronous)
{
    struct sqlite_options o = {.path = shelf_path(""),
                               .synchronous = synchronous};
    struct shop shop;

    shop_open(&shop, &store_sqlite, &o, NULL);
    const char *steps = steps_of_a_put(&shop);
    shop_close(&shop);
    return steps;
}

static void a_file_is_at_its_place_before_the_answer(void)
{
    CHECK_STR(steps_in_files(FILE_SYNC_NORMAL), "RA");
}

/* The file, its name, the folder. */
static void a_full_file_is_on_the_disk_before_the_answer(void)
{
    CHECK_STR(steps_in_files(FILE_SYNC_FULL), "FRFA");
}

static void sqlite_asks_nothing_of_the_disk(void)
{
    CHECK_STR(steps_in_sqlite(DB_SYNC_NORMAL), "A");
}

static void full_sqlite_is_on_the_disk_before_the_answer(void)
{
    CHECK_STR(steps_in_sqlite(DB_SYNC_FULL), "FA");
}

UNIT_MAIN_AROUND("durable", shelf_new, NULL,
                 CASE(a_file_is_at_its_place_before_the_answer),
                 CASE(a_full_file_is_on_the_disk_before_the_answer),
                 CASE(sqlite_asks_nothing_of_the_disk),
                 CASE(full_sqlite_is_on_the_disk_before_the_answer))
