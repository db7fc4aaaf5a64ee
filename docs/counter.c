/* SPDX-License-Identifier: Apache-2.0
 *
 * counter.c: sessions that outlive the process, with libmicrohttpd alone.
 *     cc counter.c -o counter `pkg-config --cflags --libs margay libmicrohttpd`
 *     ./counter 8090 sessions.db; curl -c jar -b jar http://127.0.0.1:8090/ */
#include <managers/managers.h>
#include <session/manager.h>
#include <arpa/inet.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void found(struct find_op *op) { sem_post(op->user_data); } /* ours to use */
static void kept(struct commit_op *op) { sem_post(op->session->user_data); }

/* The session of the cookie, or a new one where that names none that lives. */
static enum rc session_begin(struct manager *m, const char *cookie, sem_t *answered,
                             struct session *s)
{
    struct find_op find = {.done = found, .now = instant_read(), .user_data = answered};
    enum rc rc = RC_ABSENT;

    if (cookie && id_parse(cookie, strlen(cookie), find.id, NULL, NULL)) {
        rc = manager_find(m, &find);
        if (rc == RC_PENDING && sem_wait(answered) == 0)
            rc = find.rc;
    }
    if (rc == RC_OK)
        manager_attach(m, &find, s);
    return rc == RC_ABSENT ? manager_create(m, find.now, answered, s, NULL) : rc;
}

static enum MHD_Result answer(void *manager, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    const char *cookie = MHD_lookup_connection_value(c, MHD_COOKIE_KIND, "COUNTER");
    char text[32], header[96], id[ID_TEXT_SIZE];
    struct session s = {0};
    struct commit_op commit = {.done = kept, .session = &s, .now = instant_read()};
    int64_t hits = 0;
    sem_t answered;

    (void)url, (void)method, (void)version, (void)data, (void)size, (void)state;
    sem_init(&answered, 0, 0);
    enum rc rc = session_begin(manager, cookie, &answered, &s);
    if (rc == RC_OK && (rc = session_add(&s, "hits", 1, &hits, NULL)) == RC_OK)
        rc = manager_commit(manager, &commit); /* a number that is told is kept */
    if (rc == RC_PENDING && sem_wait(&answered) == 0)
        rc = commit.rc;
    snprintf(text, sizeof text, rc == RC_OK ? "%" PRId64 "\n" : "not now\n", hits);
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), text,
                                                             MHD_RESPMEM_MUST_COPY);
    if (rc == RC_OK && s.created) {
        snprintf(header, sizeof header, "COUNTER=%s; HttpOnly; SameSite=Lax",
                 id_format(session_id(&s), id));
        MHD_add_response_header(r, "Set-Cookie", header);
    }
    session_detach(&s);
    enum MHD_Result queued = MHD_queue_response(c, rc == RC_OK ? 200 : 503, r);
    MHD_destroy_response(r);
    return queued;
}

int main(int argc, char **argv)
{
    const struct manager_ops *kind = managers_find("PersistentManager");
    const struct store_ops *store = stores_find("SQLiteStore");
    struct kind_facts facts = managers_facts(kind), of_store = stores_facts(store);
    void *own = calloc(1, facts.options_size), *place = calloc(1, of_store.options_size);
    struct sockaddr_in at = {AF_INET, htons(argc > 1 ? atoi(argv[1]) : 0), {htonl(INADDR_LOOPBACK)}, {0}};
    struct manager_env env = {.app = "/counter", .node = "counter", .node_number = id_mint_node()};
    struct manager_options common;
    struct err err = {""};
    struct manager *m;
    sigset_t ends;

    sigemptyset(&ends), sigaddset(&ends, SIGTERM), sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* in the manager's threads, too */
    option_defaults(manager_option_table, &common);
    option_defaults(facts.options, own);
    option_defaults(of_store.options, place);
    if (argc != 3 || option_set(of_store.options, place, "path", argv[2], &err) != RC_OK ||
        manager_new(kind, &common, own, store, place, &env, &m, &err) != RC_OK ||
        manager_start(m, instant_read(), &err) != RC_OK)
        return fprintf(stderr, "counter PORT FILE: %s\n", err.text), 1;
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
        answer, m, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);
    while (d && sigtimedwait(&ends, NULL, &(struct timespec){.tv_sec = 1}) < 0)
        manager_tick(m, instant_read()); /* ends what has idled out */
    MHD_stop_daemon(d);
    manager_stop(m, instant_read(), 5000);
    manager_free(&m);
    return !d;
}
