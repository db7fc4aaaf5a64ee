/* SPDX-License-Identifier: Apache-2.0
 *
 * What libmicrohttpd 0.9.75 wants, and where we go round it:
 * - The handler is called with the header, for each piece of the body, and at
 *   the end. A response before the end closes the connection.
 * - It copies the Cookie header and parses it, and keeps 64 bytes of the
 *   connection's memory for each cookie and each parameter of the query. We
 *   parse both ourselves, by Tomcat's rules. An empty Cookie header of our own
 *   stands before the real one, so that it finds only that; the query is cut
 *   off before it is seen. So the memory of a connection, which is zeroed at
 *   every request, need not be twice as large.
 * - A suspended connection must not exist when the daemon stops, nor a call
 *   that resumes one. */
#include "config.h"

#include "container/connector.h"

#include "container/flow.h"
#include "container/header_scan.h"
#include "container/instance.h"
#include "container/listener.h"
#include "container/metrics.h"
#include "container/peer.h"
#include "container/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <microhttpd.h>

/* Beside the request's header, which may fill max_header_size, a connection's
 * memory holds 64 bytes per header line and the response's header: at least
 * what an ordinary one takes, so that no servlet runs in vain. The status line
 * and what libmicrohttpd adds are at most BARE_RESPONSE. */
enum { MEMORY_BESIDE = 4096, LEAST_FOR_RESPONSE = 1024, BARE_RESPONSE = 192 };

/* How often connector_stop looks, and how often everything must have been
 * quiet: the time between two looks is long enough for a thread to take a
 * request that it has read but not yet begun. */
enum { LOOK_MS = 10, QUIET_LOOKS = 3 };

/* How long the stop waits for the rest of a body, and for a reader that takes
 * nothing of its response. */
enum { BODY_GRACE_MS = 1000, READER_GRACE_MS = 2000 };

enum phase { PHASE_IDLE, PHASE_HEADER, PHASE_BODY, PHASE_FLOW, PHASE_SENDING };

/* Lives as long as the socket. In the hands of one HTTP thread, but for busy,
 * phase and fd, which connector_stop reads under the lock of the list. */
struct http_connection {
    struct http_connection *next, *prev;
    struct connector *connector;
    struct MHD_Connection *mhd;
    struct http_request *request; /* used again and again; one reference */
    int fd;
    atomic_bool busy; /* a header is there and its response not yet gone */
    _Atomic enum phase phase;
    int unsent; /* connector_stop: bytes, and since when so many */
    int64_t unsent_since;
    bool too_big, told;     /* the body; its sender knows */
    const char *target_end; /* as it came, in MHD's memory */
    size_t room;            /* for the response's header */
    int64_t swallowed, requests;
    char address[INET6_ADDRSTRLEN];
};

struct connector {
    struct instance *instance;
    struct connector_options options;
    struct MHD_Daemon *daemon;
    struct listener *listener;
    unsigned port;
    struct waits waits;
    atomic_bool closing;
    atomic_size_t suspended, resuming; /* connections; calls under way */
    pthread_mutex_t lock;              /* connections */
    struct http_connection *connections;
    atomic_size_t connection_count;
};

/* ---- connections ---- */

static void connection_opened(struct connector *c, struct MHD_Connection *mhd,
                              void **context)
{
    const union MHD_ConnectionInfo *info;
    struct http_connection *k = mem_zero(sizeof *k);
    k->connector = c;
    k->mhd = mhd;
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    k->fd = info ? info->connect_fd : -1;
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    listener_peer_text(info ? info->client_addr : NULL, k->address);
    pthread_mutex_lock(&c->lock);
    k->next = c->connections;
    if (k->next)
        k->next->prev = k;
    c->connections = k;
    pthread_mutex_unlock(&c->lock);
    *context = k;
}

static void let_go(struct http_connection *k)
{
    if (!k->request)
        return;
    k->request->connection = NULL;
    request_unref(k->request);
    k->request = NULL;
}

static void connection_closed(struct connector *c, void **context)
{
    struct http_connection *k = *context;
    if (!k)
        return;
    pthread_mutex_lock(&c->lock);
    if (k->next)
        k->next->prev = k->prev;
    *(k->prev ? &k->prev->next : &c->connections) = k->next;
    atomic_fetch_sub(&c->connection_count, 1);
    pthread_mutex_unlock(&c->lock);
    let_go(k);
    free(k);
    *context = NULL;
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_opened(cls, mhd, context);
    else
        connection_closed(cls, context);
}

/* ---- waiting ---- */

static struct http_connection *connection_of(const struct http_request *r)
{
    return r->connection;
}

static void resume_wait(struct wait *w)
{
    connector_resume(
        (struct http_request *)((char *)w -
                                offsetof(struct http_request, wait)));
}

static int64_t deadline_of(const struct http_request *r, int64_t at_least_ms)
{
    const struct connector_options *o = r->limits;
    int64_t ms =
        o->wait_timeout_ms > 0 ? o->wait_timeout_ms : o->wait_timeout * 1000;
    return instant_read().mono + (ms > at_least_ms ? ms : at_least_ms);
}

static bool put_aside(struct http_request *r)
{
    struct connector *c = r->connector;
    if (!r->parked) {
        r->parked = true;
        atomic_fetch_add(&c->suspended, 1);
        MHD_suspend_connection(connection_of(r)->mhd);
    }
    return waits_park(&c->waits, &r->wait);
}

bool connector_park(struct http_request *r, int64_t at_least_ms)
{
    return waits_enter(&r->connector->waits, &r->wait,
                       deadline_of(r, at_least_ms)) &&
           put_aside(r);
}

bool connector_park_job(struct http_request *r)
{
    return waits_enter_uncounted(&r->connector->waits, &r->wait,
                                 deadline_of(r, 0)) &&
           put_aside(r);
}

/* The connection is ours as long as the wait is open. A client may also close
 * its half only and read on: nobody is taken for gone who was served at once.
 */
enum connector_turn connector_begin(struct http_request *r)
{
    struct waits *waits = &r->connector->waits;
    if (!waits_reopen(waits, &r->wait))
        return TURN_LATE;
    if (r->job.had_to_wait && peer_has_left(connection_of(r)->fd))
        return TURN_VAIN;
    r->serving = true;
    if (waits_enter_uncounted(waits, &r->wait, WAIT_FOREVER) &&
        waits_park(waits, &r->wait))
        return TURN_SERVE;
    r->serving = false;
    return TURN_VAIN;
}

bool connector_answer(struct http_request *r)
{
    return waits_answer(&r->connector->waits, &r->wait);
}

bool connector_take_back(struct http_request *r)
{
    return waits_reopen(&r->connector->waits, &r->wait);
}

void connector_resume(struct http_request *r)
{
    struct connector *c = r->connector;
    atomic_fetch_add(&c->resuming, 1);
    MHD_resume_connection(connection_of(r)->mhd);
    atomic_fetch_sub(&c->resuming, 1);
}

/* ---- sending ---- */

/* MHD is done with our bytes. When the connection still has the request, this
 * is the moment to make it ready for the next one. */
static void body_sent(void *cls)
{
    struct http_request *r = cls;
    bool kept = r->connection != NULL;
    request_unref(r);
    if (kept && request_is_sole(r))
        request_reset(r);
}

static struct MHD_Response *make_response(struct http_request *r)
{
    struct http_response *w = &r->response;
    struct MHD_Response *m;
    if (w->fd >= 0 && w->file_size) {
        m = MHD_create_response_from_fd64(w->file_size, w->fd);
        if (m)
            w->fd = -1;
        return m;
    }
    if (!w->body.len)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    request_ref(r);
    m = MHD_create_response_from_buffer_with_free_callback_cls(
        w->body.len, w->body.data, body_sent, r);
    if (!m)
        request_unref(r);
    return m;
}

static bool is_closing(const struct connector *c)
{
    return atomic_load_explicit(&c->closing, memory_order_relaxed) ||
           atomic_load_explicit(&c->instance->state, memory_order_relaxed) >=
               INSTANCE_DRAINING;
}

/* A header that MHD refuses (there is no memory) is left out: the status and
 * the body are worth more than it. */
static void add_headers(struct http_connection *k, struct MHD_Response *m,
                        struct http_response *w)
{
    const struct connector *c = k->connector;
    int64_t most = c->options.max_keep_alive_requests;
    if (w->close || is_closing(c) || (most > 0 && k->requests >= most))
        MHD_add_response_header(m, "Connection", "close");
    if (w->content_type)
        MHD_add_response_header(m, "Content-Type", w->content_type);
    for (const struct response_header *h = w->headers; h; h = h->next)
        MHD_add_response_header(m, h->name, h->value);
    if (c->options.server)
        MHD_add_response_header(m, "Server", c->options.server);
}

static bool has_room(const struct http_connection *k,
                     const struct http_response *w)
{
    const char *server = k->connector->options.server;
    size_t need = BARE_RESPONSE + w->header_bytes;
    if (w->content_type)
        need += strlen("Content-Type: \r\n") + strlen(w->content_type);
    if (server)
        need += strlen("Server: \r\n") + strlen(server);
    return need <= k->room;
}

/* Where libmicrohttpd would close the connection without a word. */
static void say_and_end(struct http_connection *k, int status)
{
    metrics_count(k->connector->instance->metrics, (unsigned)k->fd, status);
    peer_tell(k->fd, status);
}

static enum MHD_Result send_response(struct http_connection *k,
                                     struct http_request *r)
{
    if (!has_room(k, &r->response)) {
        say_and_end(k, 431);
        return MHD_NO;
    }
    struct MHD_Response *m = make_response(r);
    if (!m)
        return MHD_NO;
    add_headers(k, m, &r->response);
    k->phase = PHASE_SENDING;
    metrics_count(r->instance->metrics, (unsigned)k->fd, r->response.status);
    enum MHD_Result sent =
        MHD_queue_response(k->mhd, (unsigned)r->response.status, m);
    MHD_destroy_response(m);
    return sent;
}

/* The servlet still runs on its thread, with the request, which is now its
 * own: at the stop of the server nobody waits for it. */
static enum MHD_Result send_abandoned(struct http_connection *k)
{
    static const char text[] = "The server is stopping.\n";
    struct MHD_Response *m = MHD_create_response_from_buffer(
        sizeof text - 1, (void *)text, MHD_RESPMEM_PERSISTENT);
    let_go(k);
    if (!m)
        return MHD_NO;
    k->phase = PHASE_SENDING;
    MHD_add_response_header(m, "Connection", "close");
    MHD_add_response_header(m, "Retry-After", "1");
    MHD_add_response_header(m, "Content-Type", "text/plain;charset=UTF-8");
    metrics_count(k->connector->instance->metrics, (unsigned)k->fd, 503);
    enum MHD_Result sent = MHD_queue_response(k->mhd, 503, m);
    MHD_destroy_response(m);
    return sent;
}

/* ---- the header ---- */

static enum MHD_Result scan_line(void *cls, enum MHD_ValueKind kind,
                                 const char *name, size_t name_len,
                                 const char *value, size_t value_len)
{
    (void)kind;
    header_line(cls, name, name_len, value, value_len);
    return MHD_YES;
}

static size_t room_beside(const struct connector *c, size_t size, size_t lines)
{
    size_t memory = (size_t)c->options.max_header_size + MEMORY_BESIDE;
    size_t used = size + 64 * (lines + 3);
    return memory > used ? memory - used : 0;
}

/* A connection that was put aside for an answer that came just then is still
 * suspended, and has to come back before it can be answered. */
static enum MHD_Result go_on(struct http_connection *k, struct http_request *r)
{
    if (!flow_run(r))
        return MHD_YES;
    if (!r->parked)
        return send_response(k, r);
    connector_resume(r);
    return MHD_YES;
}

static enum MHD_Result begin(struct http_connection *k, struct http_request *r)
{
    k->phase = PHASE_FLOW;
    r->now = instant_read();
    return go_on(k, r);
}

/* A header that cannot be served is answered at once, which closes the
 * connection: nobody knows where the next request begins. */
static enum MHD_Result take_header(struct http_connection *k,
                                   struct http_request *r, const char *method,
                                   const char *protocol)
{
    struct header_scan s = {.r = r, .line = protocol + strlen(protocol) + 2};
    const char *why;
    k->phase = PHASE_BODY;
    k->requests++;
    atomic_store_explicit(&k->busy, true, memory_order_release);
    r->method = method;
    r->protocol = protocol;
    r->remote_addr = k->address;
    MHD_get_connection_values_n(k->mhd, MHD_HEADER_KIND, scan_line, &s);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        k->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t size = info ? info->header_size : 0;
    k->room = room_beside(k->connector, size, s.lines - 1);
    /* A line without a name ends the header, says MHD. */
    if (protocol != k->target_end + 1 || s.line + 2 != method + size)
        s.bad_line = true;
    int status = header_status(&s, &k->connector->options, size,
                               k->room >= LEAST_FOR_RESPONSE, &why);
    k->too_big = s.length > r->body.max;
    if (!status)
        return MHD_YES;
    r->refused = why ? why : response_reason(status);
    r->refused_status = status;
    r->response.close = true;
    return begin(k, r);
}

/* ---- the body ---- */

/* A sender that goes on and on is answered in between. What it has on its way
 * is still read: a socket with unread bytes would be reset, and the answer
 * lost. */
static enum MHD_Result swallow(struct http_connection *k, int64_t most)
{
    if (k->swallowed <= most)
        return MHD_YES;
    if (!k->told)
        say_and_end(k, 413);
    k->told = true;
    return k->swallowed <= most + SWALLOW ? MHD_YES : MHD_NO;
}

static enum MHD_Result take_body(struct http_connection *k,
                                 struct http_request *r, const char *bytes,
                                 size_t *len)
{
    size_t n = *len;
    *len = 0;
    if (!k->too_big && buf_add(&r->body, bytes, n))
        return MHD_YES;
    if (!k->too_big)
        k->swallowed = (int64_t)r->body.len;
    k->too_big = true;
    k->swallowed += (int64_t)n;
    return swallow(k, (int64_t)r->body.max + SWALLOW);
}

/* ---- what MHD calls ---- */

/* The name of a client's cookie is not for us to say: MHD looks at the first
 * Cookie header only. It writes to the query itself, hence the cast. */
static void hide_from_mhd(struct MHD_Connection *mhd, const char *target)
{
    MHD_set_connection_value_n(mhd, MHD_HEADER_KIND, "Cookie", 6, "", 0);
    char *query = strchr((char *)target, '?');
    if (query && query[1])
        query[1] = 0;
}

/* The request line is there. */
static void *on_request_line(void *cls, const char *target,
                             struct MHD_Connection *mhd)
{
    struct connector *c = cls;
    struct http_connection *k =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
            ->socket_context;
    struct http_request *r = k->request;
    if (r && !request_is_sole(r))
        let_go(k); /* an operation of the last use is still under way */
    r = k->request;
    if (!r) {
        r = k->request = request_new(c->instance, c, &c->options);
        r->connection = k;
    }
    request_reset(r);
    request_begin(r, "", target, "");
    k->target_end = target + strlen(target);
    k->phase = PHASE_HEADER;
    k->too_big = k->told = false;
    k->swallowed = 0;
    hide_from_mhd(mhd, target);
    return k;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd,
                                  const char *url, const char *method,
                                  const char *protocol, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct http_connection *k = *context;
    struct http_request *r = k->request;
    (void)cls, (void)mhd, (void)url;
    if (k->phase == PHASE_HEADER)
        return take_header(k, r, method, protocol);
    if (*upload_len)
        return take_body(k, r, upload, upload_len);
    if (k->phase == PHASE_BODY) {
        if (k->told)
            return MHD_NO;
        if (k->too_big) {
            r->refused = response_reason(413);
            r->refused_status = 413;
            r->response.close = true;
        }
        return begin(k, r);
    }
    if (!r || !r->parked)
        return MHD_YES;
    atomic_fetch_sub(&k->connector->suspended, 1);
    if (r->serving && wait_state(&r->wait) == WAIT_EXPIRED)
        return send_abandoned(k);
    waits_leave(&k->connector->waits, &r->wait);
    r->parked = false;
    return go_on(k, r);
}

/* The client hung up while its request was put aside: MHD ends it at once when
 * it is resumed, without asking us for a response. */
static void hung_up(struct http_connection *k, struct http_request *r)
{
    atomic_fetch_sub(&k->connector->suspended, 1);
    if (r->serving && wait_state(&r->wait) == WAIT_EXPIRED) {
        let_go(k);
        return;
    }
    waits_leave(&k->connector->waits, &r->wait);
    r->parked = false;
    flow_drop(r);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_connection *k = *context;
    (void)cls, (void)mhd, (void)code;
    if (!k)
        return;
    if (k->request && k->request->parked)
        hung_up(k, k->request);
    if (k->request && request_is_sole(k->request))
        request_reset(k->request);
    k->phase = PHASE_IDLE;
    atomic_store_explicit(&k->busy, false, memory_order_release);
    *context = NULL;
}

static size_t leave_as_it_is(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls, (void)mhd;
    return strlen(text);
}

/* What MHD has to say is about what strangers send. */
__attribute__((format(printf, 2, 0))) static void on_message(void *cls,
                                                             const char *format,
                                                             va_list ap)
{
    struct connector *c = cls;
    char text[256];
    if (c->instance->log.level < LOG_DEBUG)
        return;
    int len = vsnprintf(text, sizeof text, format, ap);
    while (len > 0 && (size_t)len < sizeof text && text[len - 1] == '\n')
        text[--len] = 0;
    log_line(&c->instance->log, LOG_DEBUG, "http", "%s", text);
}

/* ---- the listener ---- */

static void on_accepted(void *user, int fd, const struct sockaddr *address,
                        socklen_t len)
{
    struct connector *c = user;
    atomic_fetch_add(&c->connection_count, 1);
    if (MHD_add_connection(c->daemon, fd, address, len) != MHD_YES)
        atomic_fetch_sub(&c->connection_count, 1);
}

static bool may_accept(void *user)
{
    struct connector *c = user;
    return atomic_load(&c->connection_count) <
           (size_t)c->options.max_connections;
}

/* ---- life ---- */

struct connector *connector_new(struct instance *in,
                                const struct connector_options *options)
{
    struct connector *c = mem_zero(sizeof *c);
    c->instance = in;
    c->options = *options;
    c->options.max_connections =
        connector_most_connections(options->max_connections, &in->log);
    if (c->options.threads <= 0)
        c->options.threads = sysconf(_SC_NPROCESSORS_ONLN);
    waits_init(&c->waits, (size_t)options->max_waiting, resume_wait);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static struct MHD_Daemon *start_daemon(struct connector *c)
{
    const struct connector_options *o = &c->options;
    unsigned threads = (unsigned)o->threads;
    /* Each thread has its share of the limit; the listener keeps the sum. */
    unsigned most = ((unsigned)o->max_connections + 1) * threads;
    unsigned silent = o->connection_timeout < 0
                          ? 0
                          : (unsigned)((o->connection_timeout + 999) / 1000);
    struct MHD_OptionItem pool[] = {
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (threads == 1)
        pool[0].option = MHD_OPTION_END;
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
            MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, c, MHD_OPTION_EXTERNAL_LOGGER, on_message, c,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)o->max_header_size + MEMORY_BESIDE, MHD_OPTION_CONNECTION_LIMIT,
        most, MHD_OPTION_CONNECTION_TIMEOUT, silent,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, c,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_as_it_is, c,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, c,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, c, MHD_OPTION_ARRAY, pool,
        MHD_OPTION_END);
}

enum rc connector_start(struct connector *c, struct err *err)
{
    const struct listener_handler handler = {
        .user = c,
        .accepted = on_accepted,
        .may_accept = may_accept,
    };
    c->daemon = start_daemon(c);
    if (!c->daemon)
        return err_set(err, RC_UNAVAILABLE,
                       "the HTTP threads cannot start: raise the limits of "
                       "open files and processes (ulimit -n -u)");
    enum rc rc = listener_open(c->options.address, (unsigned)c->options.port,
                               (int)c->options.accept_count, &handler,
                               &c->instance->log, &c->listener, err);
    if (rc != RC_OK) {
        MHD_stop_daemon(c->daemon);
        c->daemon = NULL;
        return rc;
    }
    c->port = listener_port(c->listener);
    return RC_OK;
}

unsigned connector_port(const struct connector *c)
{
    return c->port;
}

void connector_tick(struct connector *c, struct instant now)
{
    waits_expire(&c->waits, now.mono);
}

void connector_close(struct connector *c)
{
    listener_close(&c->listener);
    atomic_store(&c->closing, true);
}

/* Does its reader take nothing? */
static bool is_stuck(struct http_connection *k, int64_t now)
{
    int unsent = peer_unsent(k->fd);
    if (unsent != k->unsent || !k->unsent_since) {
        k->unsent = unsent;
        k->unsent_since = now;
    }
    return now - k->unsent_since >= READER_GRACE_MS;
}

/* since: when the stop began. */
static bool is_waited_for(struct http_connection *k, int64_t since, int64_t now)
{
    if (!atomic_load_explicit(&k->busy, memory_order_acquire))
        return k->fd >= 0 && peer_waits(k->fd);
    if (k->phase == PHASE_BODY)
        return now - since < BODY_GRACE_MS && !peer_has_left(k->fd);
    return k->phase != PHASE_SENDING || !is_stuck(k, now);
}

/* Requests under way, sockets that hold bytes nobody has read, and those that
 * no thread has taken over from the listener yet. */
static unsigned count_busy(struct connector *c, int64_t since, int64_t now)
{
    unsigned busy = 0;
    size_t opened = 0;
    pthread_mutex_lock(&c->lock);
    for (struct http_connection *k = c->connections; k; k = k->next) {
        opened++;
        busy += is_waited_for(k, since, now);
    }
    size_t accepted = atomic_load(&c->connection_count);
    pthread_mutex_unlock(&c->lock);
    return busy + (accepted > opened ? (unsigned)(accepted - opened) : 0);
}

static void pause_ms(int ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};
    nanosleep(&t, NULL);
}

/* Waits until nothing moves. Returns how many requests did when it was late. */
static unsigned let_finish(struct connector *c, int64_t until)
{
    unsigned busy = 0;
    int64_t since = instant_read().mono;
    for (int quiet = 0; quiet < QUIET_LOOKS;) {
        int64_t now = instant_read().mono;
        waits_expire(&c->waits, now);
        busy = count_busy(c, since, now);
        quiet = busy ? 0 : quiet + 1;
        if (now >= until)
            break;
        if (quiet < QUIET_LOOKS)
            pause_ms(LOOK_MS);
    }
    return busy;
}

/* Each of those that wait gets its 503, and nobody begins to. Who was let in
 * before is listed until it counts as suspended, and a connection that came
 * back may still have its waker in libmicrohttpd: hence the order. */
static void end_waits(struct connector *c)
{
    waits_close(&c->waits);
    while (!waits_empty(&c->waits) || atomic_load(&c->suspended) ||
           atomic_load(&c->resuming)) {
        waits_expire(&c->waits, WAIT_FOREVER);
        pause_ms(LOOK_MS);
    }
}

unsigned connector_stop(struct connector *c, int within_ms)
{
    int64_t until = instant_read().mono + within_ms;
    connector_close(c);
    if (!c->daemon)
        return 0;
    unsigned late = let_finish(c, until);
    end_waits(c);
    if (late)
        let_finish(c, instant_read().mono + 10 * LOOK_MS);
    MHD_stop_daemon(c->daemon);
    c->daemon = NULL;
    return late;
}

void connector_free(struct connector **connector)
{
    struct connector *c = *connector;
    if (!c)
        return;
    connector_stop(c, 0);
    waits_release(&c->waits);
    pthread_mutex_destroy(&c->lock);
    free(c);
    *connector = NULL;
}

void connector_stats(struct connector *c, struct connector_stats *out)
{
    pthread_mutex_lock(&c->waits.lock);
    size_t waiting = c->waits.count;
    pthread_mutex_unlock(&c->waits.lock);
    *out = (struct connector_stats){
        .connections = atomic_load(&c->connection_count),
        .waiting = waiting,
        .waits_expired = atomic_load(&c->waits.expired),
        .waits_refused = atomic_load(&c->waits.refused),
    };
}
