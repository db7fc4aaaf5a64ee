/* SPDX-License-Identifier: Apache-2.0
 *
 * What Memcached forgets, as a manager sees it; and what only looks like a
 * Memcached, or like a row that is not there. */
#include "config.h"

#include "managers/stores/memcached.h"
#include "session/manager_impl.h"
#include "tests/ask.h"
#include "tests/memcached_server.h"
#include "tests/unit.h"
#include "tests/world.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef HAVE_MEMCACHED

/* ---- what the manager makes of it ---- */

static void a_lost_session_is_told_for_a_minute(void)
{
    if (!memcached_is_there())
        return;
    struct world *w = world_with(&fixture_memcached, "maxInactive", "3600");
    struct memcached_options *options = w->store_options;
    struct memc_url url;
    uint8_t id[ID_SIZE];
    CHECK_INT_FATAL(memc_url_read(options->url, &url, NULL), RC_OK);
    CHECK_INT(world_create(w, 0, id), RC_OK);
    CHECK_INT(world_put(w, 0, id, "k", "v"), RC_OK);
    for (unsigned i = 0; i < url.count; i++) {
        struct memcached_server m = {.port = (int)url.hosts[i].port};
        char said[64];
        memcached_do(&m, said, sizeof said, "flush_all");
    }
    /* Who had a copy says it again and again, who had none cannot know. */
    CHECK_INT(world_reason(w, 0, id), REASON_LOST);
    CHECK_INT(world_reason(w, 1, id), REASON_UNKNOWN);
    CHECK_INT(world_put(w, 0, id, "k", "w"), RC_ABSENT);
    world_pass(w, 59000);
    world_tick(w);
    CHECK_INT(world_reason(w, 0, id), REASON_LOST);
    for (int i = 0; i < 5; i++) {
        world_pass(w, 1000);
        world_tick(w);
    }
    CHECK_INT(world_reason(w, 0, id), REASON_UNKNOWN);
    world_free(&w);
}

/* The row of all zeros, which is the key of the users' records. */
static bool secret_is_there(void *user)
{
    struct world *w = user;
    struct memcached_options *options = w->store_options;
    struct memc_url url;
    char said[2048];
    bool found = false;
    memc_url_read(options->url, &url, NULL);
    world_tick(w);
    world_pass(w, 1000);
    for (unsigned i = 0; i < url.count; i++) {
        struct memcached_server m = {.port = (int)url.hosts[i].port};
        memcached_do(&m, said, sizeof said,
                     "me margay:/test:00000000000000000000000000000000");
        found = found || strncmp(said, "ME", 2) == 0;
    }
    return found;
}

static void the_key_of_the_users_survives_its_server(void)
{
    if (!memcached_is_there())
        return;
    struct world *w = world_with(&fixture_memcached, "maxSessionsPerUser", "1");
    struct memcached_options *options = w->store_options;
    struct memc_url url;
    uint8_t secret[ID_SIZE];
    CHECK_INT_FATAL(memc_url_read(options->url, &url, NULL), RC_OK);
    memcpy(secret, manager_secret(w->m[0]), ID_SIZE);
    CU_ASSERT(id_equal(secret, manager_secret(w->m[1])));
    CU_ASSERT(secret_is_there(w));
    for (unsigned i = 0; i < url.count; i++) {
        struct memcached_server m = {.port = (int)url.hosts[i].port};
        char said[64];
        memcached_do(&m, said, sizeof said, "flush_all");
    }
    CU_ASSERT(ask_until(secret_is_there, w));
    CU_ASSERT(id_equal(secret, manager_secret(w->m[0])));
    /* Who comes now learns the same one. */
    world_stop(w, 2);
    CHECK_INT(world_start(w, 2), RC_OK);
    CU_ASSERT(id_equal(secret, manager_secret(w->m[2])));
    world_free(&w);
}

/* ---- who is none ---- */

/* Plays a Memcached that answers `gets` and `add` with these lines, and then
 * perhaps hangs up. */
struct false_friend {
    int listener;
    unsigned port;
    pthread_t thread;
    const char *greeting; /* instead of any answer; NULL: as it should be */
    const char *answer;
    bool hangs_up, with_reset;
};

static void friend_hang_up(FILE *f, bool with_reset)
{
    struct linger at_once = {.l_onoff = 1};
    if (with_reset)
        setsockopt(fileno(f), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fclose(f);
}

static void friend_serve(const struct false_friend *t, FILE *f)
{
    char line[4096];
    bool gone = false;
    while (!gone && fgets(line, sizeof line, f)) {
        fseek(f, 0, SEEK_CUR); /* from reading to writing */
        if (t->greeting)
            fputs(t->greeting, f);
        else if (strncmp(line, "version", 7) == 0)
            fputs("VERSION 1.6.18\r\n", f);
        else if (strncmp(line, "stats settings", 14) == 0)
            fputs("STAT item_size_max 1048576\r\nEND\r\n", f);
        else if (strncmp(line, "stats", 5) == 0)
            fputs("STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 1800000000\r\n"
                  "END\r\n",
                  f);
        else if (strncmp(line, "gets", 4) == 0 ||
                 strncmp(line, "add", 3) == 0 || strncmp(line, "cas", 3) == 0) {
            /* A row is no answer to a put: libmemcached asserts that. */
            bool is_put = line[0] != 'g';
            gone = t->hangs_up || (is_put && t->answer[0] == 'V');
            if (is_put && !fgets(line, sizeof line, f))
                break;
            fseek(f, 0, SEEK_CUR);
            if (!is_put || !gone)
                fputs(t->answer, f);
        }
        fflush(f);
        fseek(f, 0, SEEK_CUR);
    }
    friend_hang_up(f, gone && t->with_reset);
}

static void *friend_run(void *user)
{
    struct false_friend *t = user;
    int fd;
    while ((fd = accept(t->listener, NULL, NULL)) >= 0) {
        FILE *f = fdopen(fd, "r+");
        if (f)
            friend_serve(t, f);
    }
    return NULL;
}

static void friend_start(struct false_friend *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    signal(SIGPIPE, SIG_IGN);
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->listener < 0 || bind(t->listener, (struct sockaddr *)&a, len) ||
        listen(t->listener, 8) ||
        getsockname(t->listener, (struct sockaddr *)&a, &len))
        abort();
    t->port = ntohs(a.sin_port);
    pthread_create(&t->thread, NULL, friend_run, t);
}

static void friend_stop(struct false_friend *t)
{
    shutdown(t->listener, SHUT_RDWR);
    pthread_join(t->thread, NULL);
    close(t->listener);
}

/* What a put and a get of the store are answered there. */
static void with_friend(struct false_friend *t, enum rc put, enum rc get,
                        const char *text)
{
    bool is_silent = !t->greeting && !t->hangs_up && !*t->answer;
    struct memcached_options options = {.timeout = is_silent ? 300 : 5000};
    char url[64];
    struct shop shop;
    struct ask ask;
    friend_start(t);
    snprintf(url, sizeof url, "memcached://127.0.0.1:%u", t->port);
    options.url = url;
    shop_open(&shop, &store_memcached, &options, NULL);
    CHECK_INT(ask_get(&shop, &ask, 1, 0), get);
    CU_ASSERT(!text || strstr(ask.call.err.text, text));
    if (text && !strstr(ask.call.err.text, text))
        puts(ask.call.err.text);
    ask_clear(&ask);
    shop_close(&shop);
    shop_open(&shop, &store_memcached, &options, NULL);
    CHECK_INT(ask_put(&shop, &ask, 2, 0, "x", 1), put);
    ask_clear(&ask);
    shop_close(&shop);
    friend_stop(t);
}

/* libmemcached calls most of these "not found": sessions would be over. */
static void a_failure_is_never_absent(void)
{
    static const struct false_friend friends[] = {
        {.answer = "", .hangs_up = true},
        {.answer = "", .hangs_up = true, .with_reset = true},
        {.answer = "VALUE k", .hangs_up = true},
        {.answer = "VALUE k 0 100 7\r\nabc", .hangs_up = true},
        {.answer = "VALUE another 0 9 7\r\n123456789\r\nEND\r\n"},
        {.answer = "SERVER_ERROR out of memory writing get response\r\n"},
        {.answer = "ERROR\r\n"},
        {.answer = "SERVER_ERROR proxy write to backend failed\r\n"},
        {.answer = "CLIENT_ERROR bad command line format\r\n"},
        {.answer = ""},
    };
    for (size_t i = 0; i < sizeof friends / sizeof *friends; i++) {
        struct false_friend t = friends[i];
        enum rc put = strstr(t.answer, "SERVER_ERROR out of memory")
                          ? RC_UNAVAILABLE
                          : RC_UNCERTAIN;
        with_friend(&t, put, RC_UNAVAILABLE, NULL);
    }
}

static void who_is_no_memcached_is_not_used(void)
{
    static const char *const greetings[] = {
        "-ERR unknown command\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "ERROR\r\n",
        "ERROR Too many open connections\r\n",
        "END\r\n",
        "\r\n"};
    for (size_t i = 0; i < sizeof greetings / sizeof *greetings; i++) {
        struct false_friend t = {.greeting = greetings[i]};
        with_friend(&t, RC_UNAVAILABLE, RC_UNAVAILABLE, "Memcached at");
    }
}

#else

static void it_is_built(void)
{
    memcached_is_there();
}

#endif

#ifdef HAVE_MEMCACHED
UNIT_MAIN("memcached_false", CASE(a_lost_session_is_told_for_a_minute),
          CASE(the_key_of_the_users_survives_its_server),
          CASE(a_failure_is_never_absent),
          CASE(who_is_no_memcached_is_not_used))
#else
UNIT_MAIN("memcached_false", CASE(it_is_built))
#endif
