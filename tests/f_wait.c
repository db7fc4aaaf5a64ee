/* SPDX-License-Identifier: Apache-2.0
 *
 * f_wait.c: requests that wait for their session, and how a server stops over
 * them. Timeout: 300 s */
#include "config.h"

#include "container/executor.h"
#include "tests/site.h"
#include "tests/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- servlets ---- */

static atomic_uint served;
static sem_t gate; /* of `blocked` */
static atomic_uint blocked_now;

static void hit(struct http_request *r, struct http_response *w)
{
    int64_t n = 0;
    atomic_fetch_add(&served, 1);
    struct http_session *s = http_request_session(r, false);
    if (!s) {
        http_response_set_status(w, 401);
        http_response_print(w, http_request_session_reason(r));
        return;
    }
    CU_ASSERT(http_session_add(s, "hits", 1, &n) == HTTP_OK);
    http_response_printf(w, "%lld", (long long)n);
}

static void see(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, false);
    atomic_fetch_add(&served, 1);
    if (!s) {
        http_response_set_status(w, 401);
        http_response_print(w, http_request_session_reason(r));
        return;
    }
    CU_ASSERT(http_session_set_int(s, "x", 1) == HTTP_ILLEGAL);
    http_response_printf(w, "%lld",
                         (long long)http_session_get_int(s, "hits", 0));
}

static void begin(struct http_request *r, struct http_response *w)
{
    struct http_session *s = http_request_session(r, true);
    http_response_print(w, s ? http_session_id(s) : "none");
}

static void big(struct http_request *r, struct http_response *w)
{
    static char piece[1 << 16];
    (void)r;
    for (int i = 0; i < 256; i++)
        http_response_write(w, piece, sizeof piece);
}

static void none(struct http_request *r, struct http_response *w)
{
    CU_ASSERT_PTR_NULL(http_request_session(r, true));
    http_response_print(w, "none");
}

static void blocked(struct http_request *r, struct http_response *w)
{
    atomic_fetch_add(&blocked_now, 1);
    while (sem_wait(&gate))
        ;
    hit(r, w);
    http_response_set_header(w, "X-Agent", http_request_header(r, "X-Agent"));
    atomic_fetch_sub(&blocked_now, 1);
}

static const struct site_servlet servlets[] = {
    {"/hit", hit, SESSION_WISH_WRITE, false},
    {"/hit-async", hit, SESSION_WISH_WRITE, true},
    {"/see", see, SESSION_WISH_READ, false},
    {"/begin", begin, SESSION_WISH_WRITE, false},
    {"/begin-async", begin, SESSION_WISH_WRITE, true},
    {"/big", big, SESSION_WISH_NONE, false},
    {"/none", none, SESSION_WISH_NONE, false},
    {"/blocked", blocked, SESSION_WISH_WRITE, true},
    {0},
};

static struct site *site;
static char cookie[128]; /* "Cookie: JSESSIONID=..." */

static void before(void)
{
    atomic_store(&served, 0);
    atomic_store(&blocked_now, 0);
    sem_init(&gate, 0, 0);
    site = site_new("", NULL, servlets);
}

static void after(void)
{
    if (site)
        site_free(&site);
    sem_destroy(&gate);
}

/* ---- helpers ---- */

static void log_in(void)
{
    struct call *c = site_get(site, "/begin", NULL);
    CHECK_INT_FATAL(c->status, 200);
    snprintf(cookie, sizeof cookie, "Cookie: JSESSIONID=%s.node1", c->body);
    call_free(&c);
}

static void check(const char *path, int status, const char *body)
{
    struct call *c = site_get(site, path, cookie);
    CHECK_INT(c->status, status);
    if (body)
        CHECK_STR(c->body, body);
    call_free(&c);
}

static void check_503(struct call *c)
{
    CHECK_INT(call_wait(c), 503);
    CHECK_STR(call_header(c, "Retry-After", 0), "1");
    CU_ASSERT_PTR_NULL(call_header(c, "Set-Cookie", 0));
}

static unsigned blocked_count(struct site *s)
{
    (void)s;
    return atomic_load(&blocked_now);
}

/* ---- cases ---- */

static void answers_come_whenever_they_come(void)
{
    static const enum site_when all[] = {SITE_AT_ONCE, SITE_LATER, SITE_EARLY};
    int hits = 0;
    char text[16];
    site_start(site);
    log_in();
    for (int f = 0; f < 3; f++)
        for (int w = 0; w < 3; w++)
            for (int round = 0; round < 20; round++) {
                site_when(site, all[f], all[w]);
                snprintf(text, sizeof text, "%d", ++hits);
                check(round % 2 ? "/hit" : "/hit-async", 200, text);
                check("/see", 200, text);
            }
    site_when(site, SITE_EARLY, SITE_EARLY);
    struct call *c = site_get(site, "/begin-async", NULL);
    CHECK_INT(c->status, 200);
    CU_ASSERT_PTR_NOT_NULL(call_header(c, "Set-Cookie", 0));
    call_free(&c);
    CHECK_INT(site_waiting(site), 0);
}

static void a_held_answer_is_waited_for(void)
{
    site_start(site);
    log_in();
    site_when(site, SITE_HELD, SITE_AT_ONCE);
    struct call *c = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_held, 1));
    CU_ASSERT(site_until(site, site_waiting, 1));
    CHECK_INT(atomic_load(&served), 0);
    check("/none", 200, "none"); /* nobody else waits with it */
    site_release(site);
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body, "1");
    call_free(&c);

    site_when(site, SITE_AT_ONCE, SITE_HELD);
    c = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_held, 1));
    site_release(site);
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body, "2");
    call_free(&c);
}

static void a_find_over_its_time_is_503_without_the_servlet(void)
{
    site_start(site);
    log_in();
    site_when(site, SITE_HELD, SITE_AT_ONCE);
    struct call *c = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_waiting, 1));
    site_tick(site, 900);
    CHECK_INT(site_waiting(site), 1);
    site_tick(site, 1100);
    check_503(c);
    call_free(&c);
    CHECK_INT(atomic_load(&served), 0);
    CHECK_INT(site_waiting(site), 0);
    site_release(site); /* the late answer has a record, and lets it go */
    site_when(site, SITE_AT_ONCE, SITE_AT_ONCE);
    check("/hit", 200, "1");
}

static void a_commit_over_its_time_is_503_and_may_show_up_later(void)
{
    site_start(site);
    log_in();
    site_when(site, SITE_AT_ONCE, SITE_HELD);
    struct call *c = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_waiting, 1));
    site_tick(site, 1100);
    check_503(c);
    call_free(&c);
    CHECK_INT(atomic_load(&served), 1);
    c = call_start(site, "/begin-async", NULL, NULL);
    CU_ASSERT(site_until(site, site_waiting, 1));
    site_tick(site, 1100);
    check_503(c);
    call_free(&c);
    site_release(site);
    site_when(site, SITE_LATER, SITE_LATER);
    check("/hit", 200, "2");
}

/* The deadline by the real clock, ticked as the instance does it. */
static void the_wait_lasts_as_long_as_it_says(void)
{
    site->options.wait_timeout_ms = 200;
    site_start(site);
    log_in();
    site_when(site, SITE_HELD, SITE_HELD);
    struct call *c = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_waiting, 1));
    while (site_waiting(site))
        site_tick(site, 0);
    check_503(c);
    CU_ASSERT(c->seconds >= 0.18 && c->seconds < 1.0);
    call_free(&c);
}

static void no_more_than_max_waiting_wait(void)
{
    struct call *c[3];
    site->options.max_waiting = 3;
    site_start(site);
    log_in();
    site_when(site, SITE_HELD, SITE_AT_ONCE);
    for (int i = 0; i < 3; i++)
        c[i] = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_waiting, 3));
    struct call *over = call_start(site, "/hit", cookie, NULL);
    check_503(over);
    call_free(&over);
    check("/none", 200, "none");
    site_release(site);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(call_wait(c[i]), 200);
        call_free(&c[i]);
    }
}

static void a_broken_manager_is_503(void)
{
    site_start(site);
    log_in();
    site_break(site, true, false);
    struct call *c = call_start(site, "/hit", cookie, NULL);
    check_503(c);
    call_free(&c);
    CHECK_INT(atomic_load(&served), 0);
    site_break(site, false, true);
    c = call_start(site, "/hit", cookie, NULL);
    check_503(c);
    CU_ASSERT(strstr(c->body, "This was not done") != NULL);
    call_free(&c);
    c = call_start(site, "/begin", NULL, NULL);
    check_503(c);
    call_free(&c);
    check("/see", 200, "0"); /* changes nothing, so nothing can fail */
    site_break(site, false, false);
    check("/hit", 200, "1");
}

static void the_executor_blocks_nobody(void)
{
    site_start(site);
    log_in();
    struct call *c[8];
    for (int i = 0; i < 8; i++)
        c[i] = call_start(site, "/blocked", cookie, NULL);
    CU_ASSERT(site_until(site, blocked_count, 8));
    check("/hit", 200, "1");
    for (int i = 0; i < 8; i++)
        sem_post(&gate);
    for (int i = 0; i < 8; i++) {
        CHECK_INT(call_wait(c[i]), 200);
        call_free(&c[i]);
    }
    check("/see", 200, "9");
}

static void one_thread(int64_t queue)
{
    struct executor_options few;
    option_defaults(executor_option_table, &few);
    few.max_threads = 1;
    few.max_queue_size = queue;
    executor_free(&site->in.executor);
    site->in.executor = executor_new(&few, &site->in.log);
    option_release(executor_option_table, &few);
}

static void a_full_executor_is_503(void)
{
    one_thread(0);
    site_start(site);
    log_in();
    struct call *c = call_start(site, "/blocked", cookie, NULL);
    CU_ASSERT(site_until(site, blocked_count, 1));
    struct call *over = call_start(site, "/hit-async", cookie, NULL);
    check_503(over);
    call_free(&over);
    sem_post(&gate);
    CHECK_INT(call_wait(c), 200);
    call_free(&c);
}

static unsigned queued(struct site *s)
{
    struct executor_stats stats;
    executor_stats(s->in.executor, &stats);
    return (unsigned)stats.queued;
}

/* Who has begun is never cut off; who has not, has waitTimeout. */
static void who_gets_no_thread_in_time_is_503(void)
{
    struct call *late[4];
    one_thread(100);
    site_start(site);
    log_in();
    struct call *c = call_start(site, "/blocked", cookie, NULL);
    CU_ASSERT(site_until(site, blocked_count, 1));
    for (int i = 0; i < 4; i++)
        late[i] = call_start(site, "/hit-async", cookie, NULL);
    CU_ASSERT(site_until(site, queued, 4));
    site_tick(site, 900);
    check("/none", 200, "none");
    CHECK_INT(site_waiting(site), 0);
    site_tick(site, 1100);
    for (int i = 0; i < 4; i++) {
        check_503(late[i]);
        CU_ASSERT_PTR_NULL(call_header(late[i], "Connection", 0));
        call_free(&late[i]);
    }
    site_tick(site, 100000);
    sem_post(&gate);
    CHECK_INT(call_wait(c), 200);
    CHECK_STR(c->body, "1");
    call_free(&c);
    check("/hit-async", 200, "2");
    CHECK_INT(atomic_load(&served), 2);
}

struct stopping {
    pthread_t thread;
    int within_ms;
    unsigned late;
};

static void *stop_thread(void *arg)
{
    struct stopping *s = arg;
    s->late = connector_stop(site->connector, s->within_ms);
    return NULL;
}

static void stop_begin(struct stopping *s, int within_ms)
{
    s->within_ms = within_ms;
    atomic_store(&site->in.state, INSTANCE_DRAINING);
    if (pthread_create(&s->thread, NULL, stop_thread, s))
        abort();
}

static void the_stop_answers_who_waits(void)
{
    struct stopping stop;
    site_start(site);
    log_in();
    site_when(site, SITE_HELD, SITE_HELD);
    struct call *find = call_start(site, "/hit", cookie, NULL);
    struct call *commit = call_start(site, "/begin", NULL, NULL);
    CU_ASSERT(site_until(site, site_waiting, 2));
    stop_begin(&stop, 10000);
    /* waitTimeout ends both, long before the stop would. */
    check_503(find);
    check_503(commit);
    CHECK_STR(call_header(find, "Connection", 0), "close");
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.late, 0);
    call_free(&find);
    call_free(&commit);
    CHECK_INT(call_wait(find = call_start(site, "/none", NULL, NULL)), 0);
    call_free(&find);
}

static void the_stop_waits_for_answers(void)
{
    struct stopping stop;
    struct call *c[16];
    site_start(site);
    log_in();
    site_when(site, SITE_AT_ONCE, SITE_HELD);
    for (int i = 0; i < 16; i++)
        c[i] = call_start(site, "/hit", cookie, NULL);
    CU_ASSERT(site_until(site, site_waiting, 16));
    stop_begin(&stop, 10000);
    site_release(site);
    for (int i = 0; i < 16; i++) {
        CHECK_INT(call_wait(c[i]), 200);
        call_free(&c[i]);
    }
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.late, 0);
}

/* A servlet that does not end in time is left alone with its request. */
static void the_stop_leaves_a_stuck_servlet(void)
{
    struct stopping stop;
    site_start(site);
    log_in();
    struct call *c = call_start(site, "/blocked", cookie, NULL);
    CU_ASSERT(site_until(site, blocked_count, 1));
    stop_begin(&stop, 100);
    check_503(c);
    call_free(&c);
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.late, 1);
    sem_post(&gate);
}

/* ---- clients that do not wait ---- */

static unsigned connections(struct site *s)
{
    struct connector_stats stats;
    connector_stats(s->connector, &stats);
    return (unsigned)stats.connections;
}

enum { LEAVERS = 8 };

static void ask_and_leave(const char *path, unsigned (*value)(struct site *s))
{
    int fds[LEAVERS];
    for (int i = 0; i < LEAVERS; i++)
        site_ask(fds[i] = site_dial(site), path, cookie);
    CU_ASSERT(site_until(site, value, LEAVERS));
    for (int i = 0; i < LEAVERS; i++)
        site_hang_up(fds[i], i % 2); /* half of them slam the door */
}

static void stop_in_time(void)
{
    struct stopping stop;
    int64_t begun = instant_read().mono;
    stop_begin(&stop, 5000);
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.late, 0);
    CU_ASSERT(instant_read().mono - begun < 4000);
}

/* Strangers cannot take the descriptors that a store needs. */
static void the_limit_of_files_leaves_room(void)
{
    enum { FILES = 80, DIALLED = 60 };
    struct rlimit before_it, few;
    int fds[DIALLED];
    CHECK_INT_FATAL(getrlimit(RLIMIT_NOFILE, &before_it), 0);
    few = (struct rlimit){.rlim_cur = FILES, .rlim_max = before_it.rlim_max};
    CHECK_INT_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    site->in.log.level = LOG_ERROR;
    site_start(site);
    setrlimit(RLIMIT_NOFILE, &before_it);
    for (int i = 0; i < DIALLED; i++)
        fds[i] = site_dial(site);
    CU_ASSERT(site_until(site, connections, FILES / 2));
    CU_ASSERT_FALSE(connections(site) > FILES / 2);
    for (int i = 0; i < DIALLED; i++)
        close(fds[i]);
}

static void who_hangs_up_during_a_find_leaves_nothing(void)
{
    site_start(site);
    log_in();
    site_when(site, SITE_HELD, SITE_AT_ONCE);
    ask_and_leave("/hit", site_waiting);
    site_release(site); /* with a record, which nobody takes */
    CU_ASSERT(site_until(site, connections, 0));
    ask_and_leave("/hit", site_waiting);
    site_tick(site, 1100);
    CU_ASSERT(site_until(site, connections, 0));
    site_release(site);
    site_when(site, SITE_AT_ONCE, SITE_AT_ONCE);
    check("/hit", 200, NULL);
    stop_in_time();
}

static void who_hangs_up_during_a_commit_has_asked_for_it(void)
{
    site_start(site);
    log_in();
    site_when(site, SITE_AT_ONCE, SITE_HELD);
    ask_and_leave("/hit", site_waiting);
    site_release(site);
    CU_ASSERT(site_until(site, connections, 0));
    ask_and_leave("/hit", site_waiting);
    site_tick(site, 1100);
    CU_ASSERT(site_until(site, connections, 0));
    site_release(site);
    site_when(site, SITE_LATER, SITE_LATER);
    char text[16];
    snprintf(text, sizeof text, "%d", 2 * LEAVERS + 1);
    check("/hit-async", 200, text);
    stop_in_time();
}

static void who_hangs_up_during_a_long_servlet_does_not_stop_it(void)
{
    site_start(site);
    log_in();
    ask_and_leave("/blocked", blocked_count);
    for (int i = 0; i < LEAVERS; i++)
        sem_post(&gate);
    CU_ASSERT(site_until(site, connections, 0));
    site_when(site, SITE_AT_ONCE, SITE_LATER);
    ask_and_leave("/blocked", blocked_count);
    for (int i = 0; i < LEAVERS; i++)
        sem_post(&gate);
    CU_ASSERT(site_until(site, connections, 0));
    site_when(site, SITE_AT_ONCE, SITE_AT_ONCE);
    char text[16];
    snprintf(text, sizeof text, "%d", 2 * LEAVERS);
    check("/see", 200, text);
    stop_in_time();
}

static void who_hangs_up_before_a_thread_begins_is_not_served(void)
{
    one_thread(100);
    site_start(site);
    log_in();
    struct call *c = call_start(site, "/blocked", cookie, NULL);
    CU_ASSERT(site_until(site, blocked_count, 1));
    ask_and_leave("/hit-async", queued);
    sem_post(&gate);
    CHECK_INT(call_wait(c), 200);
    call_free(&c);
    CU_ASSERT(site_until(site, connections, 0));
    CHECK_INT(atomic_load(&served), 1);
    check("/hit-async", 200, "2");
    stop_in_time();
}

static void the_stop_does_not_wait_for_who_hung_up(void)
{
    struct stopping stop;
    site_start(site);
    log_in();
    ask_and_leave("/blocked", blocked_count);
    site_when(site, SITE_HELD, SITE_HELD);
    ask_and_leave("/hit", site_waiting);
    stop_begin(&stop, 100);
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.late, 2 * LEAVERS);
    for (int i = 0; i < LEAVERS; i++)
        sem_post(&gate);
}

static int64_t stop_takes(void)
{
    struct stopping stop;
    int64_t begun = instant_read().mono;
    stop_begin(&stop, 20000);
    pthread_join(stop.thread, NULL);
    return instant_read().mono - begun;
}

/* A POST whose body does not come; the server has read its header. */
static int half_a_post(void)
{
    static const char half[] = "POST /hit HTTP/1.1\r\nHost: a\r\nExpect: "
                               "100-continue\r\nContent-Length: 9\r\n\r\n";
    char answer[64];
    int fd = site_dial(site);
    CU_ASSERT(send(fd, half, sizeof half - 1, MSG_NOSIGNAL) > 0);
    CU_ASSERT(recv(fd, answer, sizeof answer, 0) > 0);
    return fd;
}

static void the_stop_waits_a_second_for_half_a_post(void)
{
    int fd, header;
    site_start(site);
    fd = half_a_post();
    CU_ASSERT(send(fd, "abc", 3, MSG_NOSIGNAL) == 3);
    header = site_dial(site);
    CU_ASSERT(send(header, "GET /hit HT", 11, MSG_NOSIGNAL) == 11);
    int64_t took = stop_takes();
    CU_ASSERT(took >= 900 && took < 8000);
    close(fd);
    close(header);
}

static void the_stop_does_not_wait_for_half_a_header(void)
{
    int fd;
    site_start(site);
    fd = site_dial(site);
    CU_ASSERT(send(fd, "GET /hit HTTP/1.1\r\nHost", 23, MSG_NOSIGNAL) == 23);
    CU_ASSERT(site_until(site, connections, 1));
    CU_ASSERT(stop_takes() < 900);
    close(fd);
}

/* libmicrohttpd does not always see at once that a client has gone. */
static void the_stop_does_not_wait_for_half_a_post_that_left(void)
{
    site_start(site);
    for (int i = 0; i < LEAVERS; i++)
        site_hang_up(half_a_post(), i % 2);
    CU_ASSERT(stop_takes() < 900);
}

static void the_stop_waits_two_seconds_for_who_does_not_read(void)
{
    char byte;
    int fd, small = 4096;
    site_start(site);
    fd = site_dial(site);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    site_ask(fd, "/big", cookie);
    CU_ASSERT(recv(fd, &byte, 1, 0) == 1);
    int64_t took = stop_takes();
    CU_ASSERT(took >= 1900 && took < 9000);
    close(fd);
}

/* Connections that stood idle ask one after the other, also in the moment in
 * which the threads end: libmicrohttpd aborts where one of them waits then. The
 * stop is late, so it does not wait for silence. */
static void the_stop_ends_whatever_still_comes(void)
{
    enum { SLEEPERS = 150 };
    struct stopping stop;
    int fds[SLEEPERS];
    site_start(site);
    log_in();
    for (int i = 0; i < SLEEPERS; i++)
        fds[i] = site_dial(site);
    CU_ASSERT(site_until(site, connections, SLEEPERS));
    struct call *c = call_start(site, "/blocked", cookie, NULL);
    CU_ASSERT(site_until(site, blocked_count, 1));
    site_when(site, SITE_HELD, SITE_HELD);
    stop_begin(&stop, 5);
    check_503(c);
    call_free(&c);
    site_pause(15); /* all that waited has gone */
    for (int i = 0; i < SLEEPERS; i++) {
        site_ask(fds[i], "/hit", cookie);
        site_pause(1);
    }
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.late, 1);
    for (int i = 0; i < SLEEPERS; i++)
        close(fds[i]);
    sem_post(&gate);
}

/* 64 connections that ask as fast as they can; in the midst of it the port
 * closes. Whoever was connected is answered, the others are refused. */
static atomic_bool go_on;
static atomic_uint answered, refused, broken;

static void *load_thread(void *arg)
{
    const char *path = arg;
    while (atomic_load(&go_on)) {
        struct call *c = site_get(site, path, cookie);
        if (c->status == 200)
            atomic_fetch_add(&answered, 1);
        else if (c->problem == 7) /* could not connect */
            atomic_fetch_add(&refused, 1);
        else if (!atomic_fetch_add(&broken, 1))
            fprintf(stderr, "%s: status %d, libcurl's code %d\n", path,
                    c->status, c->problem);
        call_free(&c);
        if (atomic_load(&refused))
            break;
    }
    return NULL;
}

static unsigned many_answered(struct site *s)
{
    (void)s;
    return atomic_load(&answered) > 500;
}

static void the_stop_under_load_loses_nobody(void)
{
    enum { THREADS = 64 };
    static const char *const paths[] = {"/hit", "/see", "/hit-async", "/none"};
    pthread_t threads[THREADS];
    struct stopping stop;
    site->options.accept_count = 256;
    site_start(site);
    log_in();
    site_when(site, SITE_LATER, SITE_LATER);
    atomic_store(&go_on, true);
    atomic_store(&answered, 0);
    atomic_store(&refused, 0);
    atomic_store(&broken, 0);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, load_thread,
                           (void *)paths[i % 4]))
            abort();
    CU_ASSERT(site_until(site, many_answered, 1));
    stop_begin(&stop, 20000);
    pthread_join(stop.thread, NULL);
    atomic_store(&go_on, false);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(stop.late, 0);
    CHECK_INT(atomic_load(&broken), 0);
    CU_ASSERT(atomic_load(&refused) > 0);
}

static void parallel_requests_all_count(void)
{
    enum { THREADS = 64, ROUNDS = 10 };
    struct call *c[THREADS];
    char text[16];
    site_start(site);
    log_in();
    site_when(site, SITE_LATER, SITE_LATER);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++)
            c[i] =
                call_start(site, i % 2 ? "/hit" : "/hit-async", cookie, NULL);
        for (int i = 0; i < THREADS; i++) {
            CHECK_INT(call_wait(c[i]), 200);
            call_free(&c[i]);
        }
    }
    site_when(site, SITE_AT_ONCE, SITE_AT_ONCE);
    snprintf(text, sizeof text, "%d", THREADS * ROUNDS);
    check("/see", 200, text);
}

UNIT_MAIN_AROUND(
    "wait", before, after, CASE(answers_come_whenever_they_come),
    CASE(a_held_answer_is_waited_for),
    CASE(a_find_over_its_time_is_503_without_the_servlet),
    CASE(a_commit_over_its_time_is_503_and_may_show_up_later),
    CASE(the_wait_lasts_as_long_as_it_says),
    CASE(no_more_than_max_waiting_wait), CASE(a_broken_manager_is_503),
    CASE(the_executor_blocks_nobody), CASE(a_full_executor_is_503),
    CASE(who_gets_no_thread_in_time_is_503), CASE(the_stop_answers_who_waits),
    CASE(the_stop_waits_for_answers), CASE(the_stop_leaves_a_stuck_servlet),
    CASE(the_limit_of_files_leaves_room),
    CASE(who_hangs_up_during_a_find_leaves_nothing),
    CASE(who_hangs_up_during_a_commit_has_asked_for_it),
    CASE(who_hangs_up_during_a_long_servlet_does_not_stop_it),
    CASE(who_hangs_up_before_a_thread_begins_is_not_served),
    CASE(the_stop_does_not_wait_for_who_hung_up),
    CASE(the_stop_waits_a_second_for_half_a_post),
    CASE(the_stop_does_not_wait_for_half_a_header),
    CASE(the_stop_does_not_wait_for_half_a_post_that_left),
    CASE(the_stop_waits_two_seconds_for_who_does_not_read),
    CASE(the_stop_ends_whatever_still_comes),
    CASE(the_stop_under_load_loses_nobody), CASE(parallel_requests_all_count))
