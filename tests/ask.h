/* SPDX-License-Identifier: Apache-2.0
 *
 * ask.h: questions to a store that wait for their answer.
 *
 * What    ask_get and ask_put submit a call and return when it was answered.
 *         A struct shop is a store with its options and a log that remembers.
 * Owns    The call's found bytes are the caller's: ask_clear.
 * Threads Any; CUnit's assertions stay in the thread that runs the case. */
#ifndef MARGAY_TESTS_ASK_H
#define MARGAY_TESTS_ASK_H

#include "managers/stores/stores.h"
#include "session/store.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

struct ask {
    struct store_call call; /* first, so that done finds the rest */
    sem_t answered;
};

#define ASK_LOG_SIZE 16384

struct shop {
    struct store *store;
    struct log log;
    struct store_env env;
    pthread_mutex_t lock;
    char lines[ASK_LOG_SIZE]; /* what was logged, cut at the end */
};

/* Opens a store into the shop; aborts when that fails. app NULL: "/shop". */
void shop_open(struct shop *shop, const struct store_ops *ops,
               const void *options, const char *app);
enum rc shop_try(struct shop *shop, const struct store_ops *ops,
                 const void *options, const char *app, struct err *err);
void shop_close(struct shop *shop);
/* How many logged lines contain the text. */
unsigned shop_logged(struct shop *shop, const char *text);
/* Waits until there is such a line; how many there are then. A line that tells
 * of an answer may come after it. */
unsigned shop_logs(struct shop *shop, const char *text);
struct store_stats shop_stats(struct shop *shop);

/* The id that a number stands for. */
void ask_id(uint8_t id[16], uint64_t number);
enum rc ask_get(struct shop *shop, struct ask *ask, uint64_t number,
                uint64_t version);
/* expiry is far away. */
enum rc ask_put(struct shop *shop, struct ask *ask, uint64_t number,
                uint64_t version, const void *bytes, size_t len);
enum rc ask_put_until(struct shop *shop, struct ask *ask, uint64_t number,
                      uint64_t version, const void *bytes, size_t len,
                      int64_t expiry);
void ask_clear(struct ask *ask);
/* The same where only the answer counts. What is put is "row". */
enum rc shop_put(struct shop *shop, uint64_t number, uint64_t version);
enum rc shop_get(struct shop *shop, uint64_t number);
/* Adds one to the 64-bit number in the row, with as many retries as it takes.
 * Returns the answer that ended it. */
enum rc ask_increment(struct shop *shop, uint64_t number);
/* That number; 0 where there is none. */
uint64_t ask_number(struct shop *shop, uint64_t number);

/* A directory for each case with room for a database, whose path is
 * shelf_path(""). The text is good for eight calls. */
void shelf_new(void);
/* The same path for another process. */
void shelf_at(const char *path);
char *shelf_path(const char *end);
bool shelf_has(const char *end);

/* Asks `is_so` again and again, at most 20 s; returns what it said last. */
bool ask_until(bool (*is_so)(void *user), void *user);

#endif
