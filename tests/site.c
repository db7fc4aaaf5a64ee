/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/site.h"

#include "container/executor.h"
#include "container/http_session.h"
#include "container/metrics.h"
#include "container/static_files.h"
#include "session/buf.h"
#include "session/manager_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

/* ---- the manager ---- */

struct question {
    struct question *next;
    struct manager *m;
    struct find_op *find; /* or */
    struct manager_write *write;
    sem_t *answered; /* EARLY */
};

struct helper {
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    struct question *now, *held;
    unsigned held_count;
    enum site_when finds, writes;
    bool break_finds, break_writes, over;
    unsigned broken; /* writes */
};

struct site_manager {
    struct manager base;
    struct helper *helper;
};

struct site_manager_options {
    struct helper *helper;
};

static void answer(struct question *q)
{
    if (q->find) {
        q->find->rc = manager_find_local(q->m, q->find);
        manager_found(q->m, q->find);
    } else {
        q->write->rc = manager_write_local(q->m, q->write);
        q->write->done(q->write);
    }
    if (q->answered)
        sem_post(q->answered);
    free(q);
}

static void *helper_thread(void *arg)
{
    struct helper *h = arg;
    pthread_mutex_lock(&h->lock);
    while (h->now || !h->over) {
        struct question *q = h->now;
        if (!q) {
            pthread_cond_wait(&h->changed, &h->lock);
            continue;
        }
        h->now = q->next;
        pthread_mutex_unlock(&h->lock);
        answer(q);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static enum rc ask_later(struct helper *h, enum site_when when,
                         struct manager *m, struct find_op *find,
                         struct manager_write *write)
{
    sem_t answered;
    struct question *q = mem_zero(sizeof *q);
    bool early = when == SITE_EARLY;
    q->m = m;
    q->find = find;
    q->write = write;
    if (early) {
        sem_init(&answered, 0, 0);
        q->answered = &answered;
    }
    pthread_mutex_lock(&h->lock);
    struct question **list = when == SITE_HELD ? &h->held : &h->now;
    /* In the order of the questions: what was released comes before. */
    while (*list)
        list = &(*list)->next;
    *list = q;
    h->held_count += when == SITE_HELD;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    while (early && sem_wait(&answered))
        ;
    if (early)
        sem_destroy(&answered);
    return RC_PENDING;
}

static struct helper *helper_of(struct manager *m)
{
    return ((const struct site_manager_options *)m->options)->helper;
}

static enum rc site_find(struct manager *m, struct find_op *op)
{
    struct helper *h = helper_of(m);
    pthread_mutex_lock(&h->lock);
    enum site_when when = h->finds;
    bool broken = h->break_finds;
    pthread_mutex_unlock(&h->lock);
    if (broken)
        return err_set(&op->err, RC_UNAVAILABLE, "broken by the test");
    return when == SITE_AT_ONCE ? manager_find_local(m, op)
                                : ask_later(h, when, m, op, NULL);
}

static enum rc site_write(struct manager *m, struct manager_write *w)
{
    struct helper *h = helper_of(m);
    pthread_mutex_lock(&h->lock);
    enum site_when when = h->writes;
    bool broken = h->break_writes;
    h->broken += broken;
    pthread_mutex_unlock(&h->lock);
    if (broken)
        return err_set(&w->err, RC_UNAVAILABLE, "broken by the test");
    return when == SITE_AT_ONCE ? manager_write_local(m, w)
                                : ask_later(h, when, m, NULL, w);
}

/* As if a store had so many. */
static void site_stats(struct manager *m, struct manager_stats *out)
{
    (void)m;
    out->unreadable = 3;
}

static const struct manager_ops site_manager_ops = {
    .name = "SiteManager",
    .summary = "answers when the test wants it",
    .size = sizeof(struct site_manager),
    .stats = site_stats,
    .flags = MANAGER_LOCAL,
    .find = site_find,
    .write = site_write,
};

void site_when(struct site *s, enum site_when finds, enum site_when writes)
{
    pthread_mutex_lock(&s->helper->lock);
    s->helper->finds = finds;
    s->helper->writes = writes;
    pthread_mutex_unlock(&s->helper->lock);
}

void site_break(struct site *s, bool finds, bool writes)
{
    pthread_mutex_lock(&s->helper->lock);
    s->helper->break_finds = finds;
    s->helper->break_writes = writes;
    pthread_mutex_unlock(&s->helper->lock);
}

unsigned site_broken(struct site *s)
{
    pthread_mutex_lock(&s->helper->lock);
    unsigned count = s->helper->broken;
    pthread_mutex_unlock(&s->helper->lock);
    return count;
}

unsigned site_held(struct site *s)
{
    pthread_mutex_lock(&s->helper->lock);
    unsigned count = s->helper->held_count;
    pthread_mutex_unlock(&s->helper->lock);
    return count;
}

void site_release(struct site *s)
{
    struct helper *h = s->helper;
    pthread_mutex_lock(&h->lock);
    while (h->held) {
        struct question *q = h->held;
        h->held = q->next;
        q->next = h->now;
        h->now = q;
    }
    h->held_count = 0;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

/* ---- the site ---- */

static void fill_context(struct site *s, const char *path, const char *doc_base,
                         const struct site_servlet *servlets)
{
    struct context *c = &s->context;
    size_t count = 0;
    while (servlets[count].pattern)
        count++;
    c->instance = &s->in;
    c->path = mem_strdup(path);
    c->doc_base = doc_base ? mem_strdup(doc_base) : NULL;
    c->servlets = mem_zero((count + 1) * sizeof *c->servlets);
    c->mappings = mem_zero((count + 1) * sizeof *c->mappings);
    c->servlet_count = c->mapping_count = count;
    for (size_t i = 0; i < count; i++) {
        struct servlet *servlet = mem_zero(sizeof *servlet);
        servlet->service = servlets[i].service;
        c->servlets[i].context = c;
        c->servlets[i].async_supported = servlets[i].async;
        c->servlets[i].servlet = servlet;
        if (!servlet->service)
            *servlet = static_files_servlet;
        if (servlet->init)
            servlet->init(&c->servlets[i], &c->servlets[i].state);
        c->mappings[i].pattern = mem_strdup(servlets[i].pattern);
        c->mappings[i].servlet = &c->servlets[i];
        c->mappings[i].wish = servlets[i].wish;
    }
    c->cookies = c->url_tracking = true;
    c->session_cookie_name = mem_strdup("JSESSIONID");
    c->session_parameter_name = mem_strdup("jsessionid");
    cookie_config_init(&c->session_cookie);
    c->session_cookie.path = *path ? c->path : "/";
    c->session_cookie.same_site = COOKIE_SAME_SITE_LAX;
}

static void open_manager(struct site *s)
{
    struct site_manager_options *options = mem_zero(sizeof *options);
    struct manager_env env = {
        .log = &s->in.log,
        .app = "/site",
        .node = s->in.node,
        .node_number = 7,
        .listeners = http_session_listeners(&s->context),
    };
    struct err err;
    options->helper = s->helper;
    s->manager_options = options;
    option_defaults(manager_option_table, &s->context.manager_options);
    if (manager_new(&site_manager_ops, &s->context.manager_options, options,
                    NULL, NULL, &env, &s->context.manager, &err) != RC_OK ||
        manager_start(s->context.manager, instant_read(), &err) != RC_OK)
        abort();
    atomic_store(&s->context.running, true);
}

struct site *site_new(const char *path, const char *doc_base,
                      const struct site_servlet *servlets)
{
    struct site *s = mem_zero(sizeof *s);
    struct executor_options executor;
    option_defaults(executor_option_table, &executor);
    s->in.executor = executor_new(&executor, &s->in.log);
    option_release(executor_option_table, &executor);
    log_init(&s->in.log, "node1");
    s->in.log.level = LOG_WARN;
    snprintf(s->in.node, sizeof s->in.node, "node1");
    atomic_store(&s->in.state, INSTANCE_READY);
    if (metrics_new(NULL, &s->in.metrics, NULL) != RC_OK)
        abort();
    s->helper = mem_zero(sizeof *s->helper);
    pthread_mutex_init(&s->helper->lock, NULL);
    pthread_cond_init(&s->helper->changed, NULL);
    if (pthread_create(&s->helper->thread, NULL, helper_thread, s->helper))
        abort();
    fill_context(s, path, doc_base, servlets);
    s->in.contexts = mem_zero(sizeof(void *));
    s->in.contexts[0] = &s->context;
    s->in.context_count = 1;
    s->in.mapper = mapper_new(s->in.contexts, 1);
    open_manager(s);
    option_defaults(connector_option_table, &s->options);
    s->options.port = 0;
    s->options.threads = 2;
    return s;
}

void site_start(struct site *s)
{
    struct err err = {""};
    s->connector = connector_new(&s->in, &s->options);
    if (connector_start(s->connector, &err) != RC_OK) {
        fprintf(stderr, "site: %s\n", err.text);
        abort();
    }
    s->in.connectors = &s->connector;
    s->in.connector_count = 1;
    s->port = connector_port(s->connector);
}

static void free_context(struct context *c)
{
    for (size_t i = 0; i < c->servlet_count; i++) {
        const struct servlet *servlet = c->servlets[i].servlet;
        if (servlet->destroy)
            servlet->destroy(c->servlets[i].state);
        free((void *)servlet);
        free(c->mappings[i].pattern);
    }
    free(c->servlets);
    free(c->mappings);
    free(c->path);
    free(c->doc_base);
    free(c->session_cookie_name);
    free(c->session_parameter_name);
}

static void helper_free(struct helper *h)
{
    pthread_mutex_lock(&h->lock);
    h->over = true;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void site_free(struct site **site)
{
    struct site *s = *site;
    atomic_store(&s->in.state, INSTANCE_DRAINING);
    site_release(s);
    if (s->connector)
        connector_stop(s->connector, 5000);
    executor_free(&s->in.executor);
    connector_free(&s->connector);
    site_release(s);
    helper_free(s->helper);
    manager_stop(s->context.manager, instant_read(), 1000);
    manager_free(&s->context.manager);
    mapper_free(&s->in.mapper);
    metrics_free(&s->in.metrics);
    free_context(&s->context);
    free(s->manager_options);
    free(s->in.contexts);
    option_release(connector_option_table, &s->options);
    free(s);
    *site = NULL;
}

void site_tick(struct site *s, int64_t ms_later)
{
    struct instant now = instant_read();
    now.mono += ms_later;
    now.wall += ms_later;
    connector_tick(s->connector, now);
}

unsigned site_waiting(struct site *s)
{
    struct connector_stats stats;
    connector_stats(s->connector, &stats);
    return (unsigned)stats.waiting;
}

bool site_until(struct site *s, unsigned (*value)(struct site *s),
                unsigned expected)
{
    struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < 20000; i++) {
        if (value(s) == expected)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}

/* ---- the client ---- */

struct call_work {
    pthread_t thread;
    bool joined;
    char url[12000];
    char *header, *form;
    struct buf head, body;
    char value[1024];
};

static size_t take(char *bytes, size_t size, size_t count, void *user)
{
    (void)size;
    return buf_add(user, bytes, count) ? count : 0;
}

static void *call_thread(void *arg)
{
    struct call *c = arg;
    struct call_work *w = c->work;
    CURL *curl = curl_easy_init();
    struct curl_slist *lines = NULL;
    long status = 0;
    if (w->header)
        lines = curl_slist_append(lines, w->header);
    curl_easy_setopt(curl, CURLOPT_URL, w->url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &w->body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &w->head);
    if (w->form)
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, w->form);
    c->problem = (int)curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &c->seconds);
    c->status = c->problem ? 0 : (int)status;
    curl_slist_free_all(lines);
    curl_easy_cleanup(curl);
    return NULL;
}

struct call *call_start(struct site *s, const char *path, const char *header,
                        const char *form)
{
    struct call *c = mem_zero(sizeof *c);
    struct call_work *w = c->work = mem_zero(sizeof *w);
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%u%s", s->port, path);
    w->header = header ? mem_strdup(header) : NULL;
    w->form = form ? mem_strdup(form) : NULL;
    buf_init(&w->head, 1 << 20);
    buf_init(&w->body, 64 << 20);
    if (pthread_create(&w->thread, NULL, call_thread, c))
        abort();
    return c;
}

int call_wait(struct call *c)
{
    struct call_work *w = c->work;
    if (!w->joined)
        pthread_join(w->thread, NULL);
    w->joined = true;
    c->head = w->head.data ? w->head.data : (char *)"";
    c->body = w->body.data ? w->body.data : (char *)"";
    c->head_len = w->head.len;
    c->body_len = w->body.len;
    return c->status;
}

void call_free(struct call **call)
{
    struct call *c = *call;
    call_wait(c);
    buf_release(&c->work->head);
    buf_release(&c->work->body);
    free(c->work->header);
    free(c->work->form);
    free(c->work);
    free(c);
    *call = NULL;
}

struct call *site_get(struct site *s, const char *path, const char *header)
{
    struct call *c = call_start(s, path, header, NULL);
    call_wait(c);
    return c;
}

const char *call_header(struct call *c, const char *name, unsigned n)
{
    size_t len = strlen(name);
    char *value = c->work->value;
    for (const char *at = c->head; *at; at += strcspn(at, "\n") + 1) {
        if (strncasecmp(at, name, len) != 0 || at[len] != ':' || n-- > 0)
            continue;
        at += len + 1;
        at += strspn(at, " ");
        snprintf(value, sizeof c->work->value, "%.*s", (int)strcspn(at, "\r\n"),
                 at);
        return value;
    }
    return NULL;
}

char *site_raw(struct site *s, const char *bytes, size_t len)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)s->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct timeval most = {.tv_sec = 20};
    struct buf all;
    char piece[4096];
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    buf_init(&all, 1 << 20);
    if (!connect(fd, (struct sockaddr *)&to, sizeof to))
        while (len && (n = send(fd, bytes, len, MSG_NOSIGNAL)) > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
        buf_add(&all, piece, (size_t)n);
    close(fd);
    return all.data ? all.data : mem_strdup("");
}

int site_dial(struct site *s)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)s->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) {
        perror("site_dial");
        abort();
    }
    return fd;
}

void site_ask(int fd, const char *path, const char *header)
{
    char text[512];
    int len =
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n",
                 path, header);
    (void)!send(fd, text, (size_t)len, MSG_NOSIGNAL);
}

void site_hang_up(int fd, bool slam)
{
    struct linger now = {.l_onoff = 1};
    if (slam)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

void site_pause(int ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};
    nanosleep(&t, NULL);
}
