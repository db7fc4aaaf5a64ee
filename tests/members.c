/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/members.h"

#include "tests/records.h"

#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct node nodes[NODES];
unsigned ports[NODES];

/* --- a manager that does no more than it must ------------------------------
 */

static enum rc bare_write(struct manager *m, struct manager_write *w)
{
    return manager_write_local(m, w);
}

static const struct manager_ops bare_ops = {
    .name = "BareManager",
    .summary = "a table",
    .size = sizeof(struct manager),
    .entry_extra = sizeof(struct replica_entry),
    .find = manager_find_local,
    .write = bare_write,
};

/* --- members ---------------------------------------------------------------
 */

static void node_line(void *user, enum log_level level, const char *line)
{
    struct node *n = user;

    (void)level;
    pthread_mutex_lock(&n->lock);
    buf_addf(&n->lines, "%s\n", line);
    pthread_mutex_unlock(&n->lock);
}

bool node_said(struct node *n, const char *words)
{
    bool said;

    pthread_mutex_lock(&n->lock);
    said = strstr(buf_str(&n->lines), words) != NULL;
    pthread_mutex_unlock(&n->lock);
    return said;
}

/* Ports that were free a moment ago. */
void choose_ports(void)
{
    int fds[NODES];

    for (int i = 0; i < NODES; i++) {
        struct sockaddr_in sa = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(fds[i], (struct sockaddr *)&sa, len) == 0 &&
            getsockname(fds[i], (struct sockaddr *)&sa, &len) == 0)
            ports[i] = ntohs(sa.sin_port);
    }
    for (int i = 0; i < NODES; i++)
        close(fds[i]);
}

void set(struct node *n, const char *element, const char *name,
         const char *value)
{
    struct err err = {""};
    enum rc rc = option_set(cluster_element_find(element, NULL)->options,
                            &n->options, name, value, &err);

    if (rc != RC_OK)
        fprintf(stderr, "%s\n", err.text);
    CHECK_INT(rc, RC_OK);
}

/* Member i of those that are listed, with what every test wants. */
struct node *node_prepare(unsigned i)
{
    struct node *n = &nodes[i];
    char text[128];

    memset(n, 0, sizeof *n);
    snprintf(n->name, sizeof n->name, "node%u", i + 1);
    log_init(&n->log, n->name);
    n->log.sink = node_line;
    n->log.user = n;
    pthread_mutex_init(&n->lock, NULL);
    buf_init(&n->lines, 1 << 20);
    cluster_options_init(&n->options);
    snprintf(text, sizeof text, "%u", ports[i]);
    set(n, "Cluster", "port", text);
    snprintf(text, sizeof text, "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
             ports[0], ports[1], ports[2]);
    set(n, "Cluster", "members", text);
    set(n, "Cluster", "address", "127.0.0.1");
    set(n, "Cluster", "dropTime", "2");
    return n;
}

static void on_end(uv_async_t *handle)
{
    uv_stop(handle->loop);
}

static void *node_thread(void *arg)
{
    struct node *n = arg;
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    cluster_stop(n->cluster, 3000);
    uv_close((uv_handle_t *)&n->end, NULL);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    return NULL;
}

enum rc node_open(struct node *n, struct err *err)
{
    const struct cluster_env env = {&n->log, n->name, id_mint_node()};
    enum rc rc = cluster_new(&n->options, &env, &n->cluster, err);

    return rc == RC_OK ? cluster_open(n->cluster, err) : rc;
}

static void node_join(struct node *n)
{
    const struct manager_env env = {
        .log = &n->log,
        .app = "/shop",
        .node = n->name,
        .node_number = cluster_channel(n->cluster)->node,
        .channel = cluster_channel(n->cluster),
    };
    struct manager_options common;
    struct err err = {""};

    option_defaults(manager_option_table, &common);
    CHECK_INT_FATAL(
        manager_new(&bare_ops, &common, NULL, NULL, NULL, &env, &n->m, &err),
        RC_OK);
    CHECK_INT(manager_start(n->m, instant_read(), &err), RC_OK);
    n->replica = n->called
                     ? replica_new_partial(n->m, cluster_channel(n->cluster))
                     : replica_new(n->m, cluster_channel(n->cluster));
    replica_serve(n->replica, NULL, n->called, n);
    channel_join(cluster_channel(n->cluster), n->replica);
}

/* Opens the member and lets it run. false, with the reason said, if not. */
bool node_run(struct node *n)
{
    struct err err = {""};

    CHECK_INT(node_open(n, &err), RC_OK);
    if (err.text[0]) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    node_join(n);
    uv_loop_init(&n->loop);
    uv_async_init(&n->loop, &n->end, on_end);
    CHECK_INT(cluster_start(n->cluster, &n->loop, &err), RC_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    n->runs = pthread_create(&n->thread, NULL, node_thread, n) == 0;
    return !err.text[0];
}

void node_end(struct node *n)
{
    if (!n->runs)
        return;
    n->runs = false;
    uv_async_send(&n->end);
    pthread_join(n->thread, NULL);
    CHECK_INT(uv_loop_close(&n->loop), 0);
}

static void node_release(struct node *n)
{
    if (!n->name[0])
        return;
    node_end(n);
    if (n->replica)
        channel_leave(cluster_channel(n->cluster), n->replica);
    replica_free(&n->replica);
    if (n->m)
        manager_stop(n->m, instant_read(), 100);
    manager_free(&n->m);
    cluster_free(&n->cluster);
    cluster_options_release(&n->options);
    pthread_mutex_destroy(&n->lock);
    buf_release(&n->lines);
    n->name[0] = '\0';
}

void nodes_release(void)
{
    for (unsigned i = 0; i < NODES; i++)
        node_release(&nodes[i]);
}

/* --- waiting ---------------------------------------------------------------
 */

struct channel_figures figures(struct node *n)
{
    struct channel_figures f;

    cluster_figures(n->cluster, &f);
    return f;
}

bool all_ready(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct channel_figures f = figures(&nodes[i]);
        if (f.members != count || f.complete != count - 1 ||
            !cluster_ready(nodes[i].cluster))
            return false;
    }
    return true;
}

/* --- sessions --------------------------------------------------------------
 */

struct waiting {
    struct channel_wait wait; /* first */
    sem_t sem;
    enum rc rc;
};

static void on_done(struct channel_wait *wait, enum rc rc)
{
    struct waiting *w = (struct waiting *)wait;

    w->rc = rc;
    sem_post(&w->sem);
}

static struct record *node_write(struct node *n, struct manager_write *w)
{
    struct table_stripe *stripe;
    struct entry *e;
    struct record *out = NULL;

    if (n->m->ops->write(n->m, w) != RC_OK)
        return NULL;
    stripe = table_lock(n->m->table, w->id);
    e = table_find(stripe, w->id);
    if (e) {
        replica_recount(n->replica, e, w->now);
        out = record_ref(e->record);
    }
    table_unlock(stripe);
    return out;
}

/* A new session with k=value here, sent to the others. */
enum rc node_put(struct node *n, uint8_t id[ID_SIZE], const char *value,
                 enum copies copies)
{
    struct instant now = instant_read();
    struct waiting w = {.wait.done = on_done};
    struct channel_update u = {
        .kind = UPDATE_RECORD,
        .app = replica_app(n->replica),
        .access = now.mono,
    };
    struct manager_write write = {0};
    struct changes changes;

    id_mint(id);
    memcpy(u.id, id, ID_SIZE);
    changes_init(&changes);
    struct value text = value_text(value);
    changes_set(&changes, key_text("k"), &text);
    manager_write_init(&write, WRITE_CREATE, id, now);
    write.record = record_new(RECORD_SESSION, id, now.wall, &changes,
                              n->m->env.node_number);
    changes_release(&changes);
    u.record = node_write(n, &write);
    record_unref(&write.record);
    manager_write_release(&write);
    if (!u.record)
        return RC_INVALID;
    if (copies == COPIES_NONE) {
        channel_send(cluster_channel(n->cluster), &u, NULL, copies);
        return RC_OK;
    }
    sem_init(&w.sem, 0, 0);
    channel_send(cluster_channel(n->cluster), &u, &w.wait, copies);
    while (sem_wait(&w.sem) < 0 && errno == EINTR)
        continue;
    sem_destroy(&w.sem);
    return w.rc;
}

bool node_has(struct node *n, const uint8_t id[ID_SIZE], const char *value)
{
    struct table_stripe *stripe = table_lock(n->m->table, id);
    struct entry *e = table_find(stripe, id);
    bool has = e && value_is_text(record_attribute(e->record, "k", 1), value);

    table_unlock(stripe);
    return has;
}

void nodes_start(unsigned count, const char *key)
{
    choose_ports();
    for (unsigned i = 0; i < count; i++) {
        struct node *n = node_prepare(i);
        if (key)
            set(n, "Cluster", "key", key);
        if (!node_run(n))
            return;
    }
}
