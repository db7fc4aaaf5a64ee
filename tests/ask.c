/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/ask.h"

#include "session/store_impl.h"
#include "tests/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static void shop_note(void *user, enum log_level level, const char *line)
{
    struct shop *shop = user;
    size_t len;

    (void)level;
    pthread_mutex_lock(&shop->lock);
    len = strlen(shop->lines);
    snprintf(shop->lines + len, sizeof shop->lines - len, "%s\n", line);
    pthread_mutex_unlock(&shop->lock);
}

enum rc shop_try(struct shop *shop, const struct store_ops *ops,
                 const void *options, const char *app, struct err *err)
{
    memset(shop, 0, sizeof *shop);
    pthread_mutex_init(&shop->lock, NULL);
    log_init(&shop->log, "node1");
    shop->log.sink = shop_note;
    shop->log.user = shop;
    shop->env = (struct store_env){
        .log = &shop->log, .app = app ? app : "/shop", .node = "node1"};
    return store_open(ops, options, &shop->env, &shop->store, err);
}

void shop_open(struct shop *shop, const struct store_ops *ops,
               const void *options, const char *app)
{
    struct err err = {""};

    if (shop_try(shop, ops, options, app, &err) != RC_OK) {
        printf("%s: %s\n", ops->name, err.text);
        abort();
    }
}

void shop_close(struct shop *shop)
{
    store_close(&shop->store, 10000);
    pthread_mutex_destroy(&shop->lock);
}

unsigned shop_logged(struct shop *shop, const char *text)
{
    unsigned n = 0;

    pthread_mutex_lock(&shop->lock);
    for (const char *p = shop->lines; (p = strstr(p, text)); n++)
        p += strcspn(p, "\n");
    pthread_mutex_unlock(&shop->lock);
    return n;
}

struct expected {
    struct shop *shop;
    const char *text;
};

static bool is_logged(void *user)
{
    struct expected *e = user;

    return shop_logged(e->shop, e->text) > 0;
}

unsigned shop_logs(struct shop *shop, const char *text)
{
    struct expected e = {shop, text};

    ask_until(is_logged, &e);
    return shop_logged(shop, text);
}

struct store_stats shop_stats(struct shop *shop)
{
    struct store_stats stats;

    store_stats(shop->store, &stats);
    return stats;
}

void ask_id(uint8_t id[16], uint64_t number)
{
    uint64_t mixed = (number + 1) * 0x9e3779b97f4a7c15;

    memcpy(id, &mixed, 8);
    memcpy(id + 8, &number, 8);
}

static void ask_answered(struct store_call *call)
{
    sem_post(&((struct ask *)call)->answered);
}

static enum rc ask_wait(struct ask *ask, enum rc rc)
{
    struct timespec until;

    if (rc == RC_PENDING) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 60;
        if (sem_timedwait(&ask->answered, &until)) {
            puts("a call was not answered within 60 s");
            abort();
        }
        rc = ask->call.rc;
    }
    sem_destroy(&ask->answered);
    return rc;
}

static void ask_init(struct ask *ask, uint64_t number, uint64_t version)
{
    memset(ask, 0, sizeof *ask);
    sem_init(&ask->answered, 0, 0);
    ask->call.done = ask_answered;
    ask->call.version = version;
    ask_id(ask->call.id, number);
}

enum rc ask_get(struct shop *shop, struct ask *ask, uint64_t number,
                uint64_t version)
{
    ask_init(ask, number, version);
    return ask_wait(ask, store_get(shop->store, &ask->call));
}

enum rc ask_put_until(struct shop *shop, struct ask *ask, uint64_t number,
                      uint64_t version, const void *bytes, size_t len,
                      int64_t expiry)
{
    ask_init(ask, number, version);
    ask->call.bytes = bytes;
    ask->call.len = len;
    ask->call.expiry = expiry;
    return ask_wait(ask, store_put(shop->store, &ask->call));
}

enum rc ask_put(struct shop *shop, struct ask *ask, uint64_t number,
                uint64_t version, const void *bytes, size_t len)
{
    return ask_put_until(shop, ask, number, version, bytes, len,
                         instant_read().wall + 3600 * 1000);
}

void ask_clear(struct ask *ask)
{
    free(ask->call.found);
    ask->call.found = NULL;
}

enum rc shop_put(struct shop *shop, uint64_t number, uint64_t version)
{
    struct ask ask;
    enum rc rc = ask_put(shop, &ask, number, version, "row", 3);

    ask_clear(&ask);
    return rc;
}

enum rc shop_get(struct shop *shop, uint64_t number)
{
    struct ask ask;
    enum rc rc = ask_get(shop, &ask, number, 0);

    ask_clear(&ask);
    return rc;
}

/* One case runs at a time. */
static char shelf_db[512], shelf_texts[8][600];

void shelf_new(void)
{
    static unsigned number;

    snprintf(shelf_db, sizeof shelf_db, "%s/%u", unit_tmpdir(), ++number);
    mkdir(shelf_db, 0700);
    snprintf(shelf_db, sizeof shelf_db, "%s/%u/rows.db", unit_tmpdir(), number);
}

void shelf_at(const char *path)
{
    snprintf(shelf_db, sizeof shelf_db, "%s", path);
}

char *shelf_path(const char *end)
{
    static unsigned next;
    char *text = shelf_texts[next++ % 8];

    snprintf(text, sizeof shelf_texts[0], "%s%s", shelf_db, end);
    return text;
}

bool shelf_has(const char *end)
{
    struct stat st;

    return lstat(shelf_path(end), &st) == 0;
}

static uint64_t number_of(const struct ask *ask)
{
    uint64_t n = 0;

    if (ask->call.found_len == sizeof n)
        memcpy(&n, ask->call.found, sizeof n);
    return n;
}

enum rc ask_increment(struct shop *shop, uint64_t number)
{
    struct ask ask;
    uint64_t n;
    enum rc rc = ask_get(shop, &ask, number, 0);

    while (rc == RC_OK || rc == RC_CONFLICT || rc == RC_ABSENT) {
        uint64_t version = rc == RC_ABSENT ? 0 : ask.call.new_version;
        n = number_of(&ask) + 1;
        ask_clear(&ask);
        rc = ask_put(shop, &ask, number, version, &n, sizeof n);
        if (rc == RC_OK)
            return rc;
    }
    ask_clear(&ask);
    return rc;
}

uint64_t ask_number(struct shop *shop, uint64_t number)
{
    struct ask ask;
    uint64_t n = ask_get(shop, &ask, number, 0) == RC_OK ? number_of(&ask) : 0;

    ask_clear(&ask);
    return n;
}

bool ask_until(bool (*is_so)(void *user), void *user)
{
    struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = instant_read().mono + 20000;

    while (!is_so(user)) {
        if (instant_read().mono > until)
            return is_so(user);
        nanosleep(&pause, NULL);
    }
    return true;
}
