/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: the command line, and the one place that sees every room. */
#include "config.h"

#include "container/balancer.h"
#include "container/cmdline.h"
#include "container/front.h"
#include "container/instance.h"
#include "container/launcher.h"
#include "container/notify.h"
#include "container/properties.h"
#include "container/secrets.h"
#include "container/serverxml.h"
#include "container/sessions.h"
#include "container/state.h"
#include "managers/managers.h"
#include "session/buf.h"
#include "session/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Everything that has been read. */
struct loaded {
    struct manager_kind *managers;
    struct store_kind *stores;
    struct server_config *config;
    struct instance *instance;
};

/* ---- reading ---- */

static void print_warning(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%swarning: %s\n", notify_is_journal() ? "<4>" : "", line);
}

static void no_warning(void *user, const char *line)
{
    (void)user, (void)line;
}

static int refuse(const struct err *err)
{
    fprintf(stderr, "%s%s\n", notify_is_journal() ? "<3>" : "", err->text);
    return STATUS_REFUSED;
}

static struct kinds list_kinds(struct loaded *l)
{
    struct kinds kinds = {0};
    const struct manager_ops *m;
    const struct store_ops *s;

    for (size_t i = 0; (m = managers_at(i)); i++) {
        struct kind_facts f = managers_facts(m);
        l->managers = mem_resize(l->managers, (i + 1) * sizeof *l->managers);
        l->managers[i] = (struct manager_kind){
            f.name,        f.summary,      m, f.options, f.options_size,
            f.needs_store, f.needs_cluster};
        kinds.manager_count = i + 1;
    }
    for (size_t i = 0; (s = stores_at(i)); i++) {
        struct kind_facts f = stores_facts(s);
        l->stores = mem_resize(l->stores, (i + 1) * sizeof *l->stores);
        l->stores[i] = (struct store_kind){f.name, f.summary, s, f.options,
                                           f.options_size};
        kinds.store_count = i + 1;
    }
    kinds.cluster = &cluster_tcp;
    kinds.pair = &manager_succession;
    kinds.managers = l->managers;
    kinds.stores = l->stores;
    return kinds;
}

/* A folder and SQLite's file cannot share a name. */
static const char *default_store(const char *file)
{
    const char *slash = strrchr(file, '/');

    return strcmp(slash ? slash + 1 : file, "file.xml") == 0 ? "sessions"
                                                             : "sessions.db";
}

static void offer_properties(struct command *c)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof path, "%s/%s", c->state, default_store(c->file));
    properties_offer(c->properties, "store.path", path);
    properties_offer(c->properties, "webapps", c->webapps);
}

static void warn_of_unused(const struct command *c)
{
    const char *name;

    for (size_t i = 0; (name = properties_name(c->properties, i)); i++)
        if (!properties_known(c->properties, name))
            fprintf(stderr,
                    "warning: -D %s: no file asks for ${%s}: look whether its "
                    "name is right\n",
                    name, name);
}

static void unload(struct loaded *l)
{
    instance_free(&l->instance);
    server_config_free(&l->config);
    free(l->managers);
    free(l->stores);
}

/* Reads server.xml and what it names; opens nothing. */
static enum rc load(struct command *c, struct loaded *l, notes_fn *warn,
                    struct err *err)
{
    struct config_input input = {
        .file = c->file,
        .properties = c->properties,
        .notes = {.warn = warn},
        .state_dir = c->state,
        .webapps = access(c->webapps, F_OK) == 0 ? c->webapps : NULL,
    };
    enum rc rc;

    input.kinds = list_kinds(l);
    offer_properties(c);
    rc = server_config_read(&input, &l->config, err);
    if (rc == RC_OK)
        rc = instance_new(l->config, &l->instance, err);
    return rc;
}

/* Who runs waits until what is in a store's place has been removed. */
enum patience { REFUSES, WAITS };

/* What the managers say of their options, and of their stores: no line of
 * server.xml alone says whether those could ever work. */
static enum rc examine_manager(const struct manager_config *m, const char *app,
                               enum patience patience, notes_fn *warn,
                               struct err *err)
{
    const struct notes notes = {.warn = warn};
    struct err why = {""};
    char text[256];
    enum rc rc;

    for (unsigned n = 0;
         *managers_advice(m->kind->ops, m->options, n, text, sizeof text); n++)
        notes_warn(&notes, m->at, "<Manager> %s", text);
    if (!m->store)
        return RC_OK;
    rc = managers_examine(m->kind->ops, m->options, m->store->kind->ops,
                          m->store->options, app, &why);
    if (rc == RC_OK || (rc == RC_ILLEGAL && patience == WAITS))
        return RC_OK;
    return xml_error(m->store->at, rc, err, "%s", why.text);
}

static enum rc examine_context(const struct context *x, enum patience patience,
                               notes_fn *warn, struct err *err)
{
    const struct manager_config *m = x->config->level.manager;
    enum rc rc = RC_OK;

    for (; m && rc == RC_OK; m = m->previous)
        rc =
            examine_manager(m, x->path[0] ? x->path : "/", patience, warn, err);
    return rc;
}

static enum rc examine(const struct loaded *l, enum patience patience,
                       notes_fn *warn, struct err *err)
{
    const struct instance *in = l->instance;
    const struct notes notes = {.warn = warn};
    enum rc rc = RC_OK;

    secrets_warn(in, &notes);
    for (size_t i = 0; i < in->context_count && rc == RC_OK; i++) {
        const void *manager = in->contexts[i]->config->level.manager;
        bool again =
            i > 0 && in->contexts[i - 1]->config->level.manager == manager;
        rc = examine_context(in->contexts[i], patience,
                             again ? no_warning : warn, err);
    }
    return rc;
}

/* ---- run ---- */

static const char *shown_name(const struct instance *in)
{
    return in->node[0] ? in->node : in->config->engine_name;
}

static void print_ready(struct instance *in, void *user)
{
    const struct command *c = user;
    char url[128];

    instance_url(in, url, sizeof url);
    fprintf(stderr, "margay: %s ready on %s in %" PRId64 " ms\n",
            shown_name(in), url,
            (command_clock_us() - c->begun_us + 500) / 1000);
    notify_send("READY=1\nSTATUS=ready on %s", url);
}

static int run(struct command *c)
{
    struct loaded l = {0};
    struct err err = {""};
    enum rc rc = load(c, &l, print_warning, &err);
    int status = STATUS_REFUSED;

    if (rc == RC_OK)
        rc = examine(&l, WAITS, print_warning, &err);
    if (rc == RC_OK) {
        warn_of_unused(c);
        rc = state_make(c, l.config, &err);
    }
    if (rc == RC_OK)
        rc = instance_start(l.instance, true, &err);
    if (rc == RC_OK) {
        instance_on_ready(l.instance, print_ready, c);
        status = instance_run(l.instance);
        /* Freeing would wait for what still runs. */
        if (l.instance->stuck)
            _exit(status);
    } else {
        refuse(&err);
    }
    unload(&l);
    return status;
}

/* ---- check ---- */

/* out: NULL, or for what the cluster says of itself. ports: that have to be
 * free. */
static enum rc understand_cluster(const struct cluster_config *c,
                                  unsigned ports, struct buf *out,
                                  struct err *err)
{
    struct err why = {""};
    struct buf unread;
    enum rc rc;

    buf_init(&unread, 65536);
    rc = c->ops->check(c->options, ports, out ? out : &unread, &why);
    buf_release(&unread);
    return rc == RC_OK ? rc : xml_error(c->at, rc, err, "%s", why.text);
}

static void print_cluster(const struct cluster_config *c, const char *lines)
{
    printf("cluster      %s\n", c->ops->name);
    while (*lines) {
        int len = (int)strcspn(lines, "\n");
        printf("  %.*s\n", len, lines);
        lines += len + (lines[len] != '\0');
    }
}

/* Of replicated sessions: what a change waits for. */
static void print_replication(const struct manager_config *m)
{
    const struct option *o = option_find(m->kind->options, "replication");
    const char *word = o && o->kind == OPTION_CHOICE ? o->choices : NULL;

    if (!word)
        return;
    for (int i = *(const int *)((const char *)m->options + o->offset); i; i--)
        word += strcspn(word, "|") + 1;
    printf("; replication %.*s", (int)strcspn(word, "|"), word);
    o = option_find(m->kind->options, "backups");
    if (o)
        printf(", backups %" PRId64,
               *(const int64_t *)((const char *)m->options + o->offset));
}

static void print_manager(const struct manager_config *m,
                          const struct manager_options *o)
{
    char cost[256];

    printf("%s: %s", m->kind->name, m->kind->summary);
    if (m->store)
        printf("; %s: %s", m->store->kind->name, m->store->kind->summary);
    print_replication(m);
    printf("; idle %" PRId64 " s", o->max_inactive);
    if (o->max_lifetime > 0)
        printf(", at most %" PRId64 " s", o->max_lifetime);
    printf("\n");
    if (*managers_cost(m->kind->ops, m->options, cost, sizeof cost))
        printf("  %s\n", cost);
}

/* A change is one rolling restart to both, and one to the next alone. */
static void print_previous(const struct manager_config *m,
                           const struct manager_options *o)
{
    printf("  previous   ");
    print_manager(m, o);
    printf("             a rolling change: what both keep is merged, what "
           "changes goes to both;\n"
           "             remove this <Manager> when every instance says "
           "margay_previous_complete 1;\n"
           "             until then a stop ends no sessions, as some options "
           "would have it\n");
}

/* A url, its password left out: whatever stands before the last @ may be a
 * part of it. */
static void print_url(const char *url)
{
    const char *from = strstr(url, "://"), *at = strrchr(url, '@');

    if (!from || !at || at < from)
        printf("%s\n", url);
    else
        printf("%.*s...%s\n", (int)(from + 3 - url), url, at);
}

static void print_understood(const struct command *c, const struct loaded *l,
                             const char *cluster)
{
    const struct server_config *config = l->config;

    printf("%s: understood\n", config->file);
    printf("node         %s\n", shown_name(l->instance));
    for (size_t i = 0; i < config->connector_count; i++) {
        const struct connector_options *o = &config->connectors[i]->options;
        printf("connector    http://%s:%" PRId64 "/\n",
               o->address ? o->address : "127.0.0.1", o->port);
    }
    for (size_t i = 0; i < l->instance->context_count; i++) {
        const struct context *x = l->instance->contexts[i];
        printf("application  %-8s %s, servlets: %zu\n",
               x->path[0] ? x->path : "/", x->doc_base, x->servlet_count);
        printf("  sessions   ");
        print_manager(x->config->level.manager, &x->manager_options);
        if (x->config->level.manager->previous)
            print_previous(x->config->level.manager->previous,
                           &x->manager_options);
    }
    if (config->cluster)
        print_cluster(config->cluster, cluster);
    if (properties_asked(c->properties, "store.path"))
        printf("store.path   %s\n",
               properties_get(c->properties, "store.path"));
    if (properties_asked(c->properties, "store.urlFile") &&
        properties_is_set(c->properties, "store.urlFile"))
        printf("store.url    the first line of %s\n",
               properties_get(c->properties, "store.urlFile"));
    else if (properties_asked(c->properties, "store.url") &&
             properties_get(c->properties, "store.url")) {
        printf("store.url    ");
        print_url(properties_get(c->properties, "store.url"));
    }
    printf("stop         drain %" PRId64 " s, then at most %" PRId64 " s\n",
           config->drain, config->stop_timeout);
}

static int check(struct command *c)
{
    struct loaded l = {0};
    struct err err = {""};
    struct buf cluster;
    int status = STATUS_OK;
    enum rc rc = load(c, &l, print_warning, &err);

    if (rc == RC_OK)
        rc = examine(&l, REFUSES, print_warning, &err);
    buf_init(&cluster, 65536);
    if (rc == RC_OK && l.config->cluster)
        rc = understand_cluster(l.config->cluster, 0, &cluster, &err);
    if (rc == RC_OK) {
        warn_of_unused(c);
        print_understood(c, &l, buf_str(&cluster));
    } else {
        status = refuse(&err);
    }
    buf_release(&cluster);
    unload(&l);
    return status;
}

/* ---- sessions ---- */

static int sessions(struct command *c)
{
    struct loaded l = {0};
    struct err err = {""};
    int status = STATUS_OK;
    enum rc rc = load(c, &l, no_warning, &err);

    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error */
    if (rc == RC_OK)
        rc = examine(&l, REFUSES, no_warning, &err);
    if (rc == RC_OK)
        warn_of_unused(c);
    /* A folder that root makes is of no use to instances of another user. */
    if (rc == RC_OK && c->sessions.imports && geteuid() != 0)
        rc = state_make(c, l.config, &err);
    if (rc == RC_OK && c->sessions.imports)
        rc = sessions_import(l.instance, c->sessions.context, c->sessions.file,
                             &err);
    else if (rc == RC_OK)
        rc = sessions_export(l.instance, c->sessions.context, c->sessions.file,
                             &err);
    if (rc != RC_OK)
        status = refuse(&err);
    unload(&l);
    return status;
}

/* ---- what stands behind a balancer ---- */

struct balanced {
    struct balancer_plan plan;
    struct balancer_member members[LAUNCHER_MAX];
    char *texts[2 * LAUNCHER_MAX + 2]; /* names, hosts, and the cookie's two */
    size_t text_count;
};

static const char *keep_text(struct balanced *b, const char *text)
{
    return b->texts[b->text_count++] = mem_strdup(text);
}

/* Where the balancer reaches it, when they share a machine. */
static const char *reached_at(const struct connector_options *o, char out[128])
{
    const char *a = o->address;

    if (!a || !strcmp(a, "*") || !strcmp(a, "0.0.0.0") || !strcmp(a, "::"))
        return "127.0.0.1";
    snprintf(out, 128, strchr(a, ':') ? "[%s]" : "%s", a);
    return out;
}

/* What sessions are called there. */
static void learn_names(struct balanced *b, const struct loaded *l)
{
    struct context *const *x = l->instance->contexts;

    for (size_t i = 0; i < l->instance->context_count; i++)
        balancer_warn(x[i]->path, x[i]->session_cookie_name,
                      x[0]->session_cookie_name);
    if (l->instance->context_count == 0)
        return;
    b->plan.cookie = keep_text(b, x[0]->session_cookie_name);
    b->plan.parameter = keep_text(b, x[0]->session_parameter_name);
}

static enum rc check_names(const struct balanced *b, struct err *err)
{
    const char *names[] = {b->plan.cookie, b->plan.parameter};

    for (size_t i = 0; i < 2; i++)
        if (!balancer_cookie_is_good(b->plan.kind, names[i]))
            return err_set(err, RC_INVALID,
                           "margay: the balancer cannot read a session cookie "
                           "or parameter named %s: use letters, digits and _ "
                           "in sessionCookieName",
                           names[i]);
    return RC_OK;
}

static enum rc check_instance(const struct balanced *b, const struct loaded *l,
                              struct err *err)
{
    const struct connector_config *connector = l->config->connectors[0];
    const char *name = l->config->node;

    if (connector->options.port == 0)
        return xml_error(connector->at, RC_INVALID, err,
                         "<Connector port=\"0\">: a balancer has to know the "
                         "port");
    if (!name[0])
        return xml_error(l->config->at, RC_INVALID, err,
                         "<Engine> without a jvmRoute: give each instance one "
                         "that no other has");
    for (size_t i = 0; i < b->plan.count; i++)
        if (strcasecmp(b->members[i].name, name) == 0) /* as nginx */
            return xml_error(l->config->at, RC_INVALID, err,
                             "<Engine jvmRoute=\"%s\"> again: give each one "
                             "that no other has",
                             name);
    return RC_OK;
}

static enum rc add_instance(struct command *c, struct balanced *b,
                            const char *file, struct err *err)
{
    struct loaded l = {0};
    char host[128];
    enum rc rc;

    free(c->file);
    c->file = mem_strdup(file);
    rc = load(c, &l, no_warning, err);
    if (rc == RC_OK)
        rc = check_instance(b, &l, err);
    if (rc == RC_OK) {
        const struct connector_options *o = &l.config->connectors[0]->options;
        b->members[b->plan.count++] = (struct balancer_member){
            .name = keep_text(b, l.config->node),
            .host = keep_text(b, reached_at(o, host)),
            .port = (unsigned)o->port,
        };
        if (b->plan.count == 1)
            learn_names(b, &l);
    }
    unload(&l);
    return rc;
}

static void count_instances(const struct command *c, const char *host,
                            struct balanced *b)
{
    char name[16];

    for (unsigned i = 0; i < c->count; i++) {
        snprintf(name, sizeof name, "node%u", i + 1);
        b->members[b->plan.count++] = (struct balancer_member){
            .name = keep_text(b, name),
            .host = host,
            .port = c->port + i,
        };
    }
}

static void balanced_init(const struct command *c, struct balanced *b)
{
    *b = (struct balanced){.plan = {.kind = c->balance.kind,
                                    .sticky = c->balance.sticky,
                                    .listen = c->balance.listen,
                                    .cookie = "JSESSIONID",
                                    .parameter = "jsessionid"}};
    b->plan.members = b->members;
}

static void balanced_release(struct balanced *b)
{
    while (b->text_count > 0)
        free(b->texts[--b->text_count]);
}

/* ---- cluster ---- */

/* The instances of one machine know each other: they need not be found. */
static enum rc choose_members(struct command *c, struct launcher_options *o,
                              struct err *err)
{
    const char *port = properties_get(c->properties, "cluster.port");
    const char *address = properties_get(c->properties, "cluster.address");
    long first = port ? strtol(port, NULL, 10) : 0;

    if (!properties_asked(c->properties, "cluster.port") ||
        !properties_asked(c->properties, "cluster.members"))
        return RC_OK;
    if (first < 1 || first + (long)o->count > 65536)
        return err_set(err, RC_INVALID,
                       "-D cluster.port=%s: %u instances take the ports from "
                       "this one on: use 1 to %u",
                       port ? port : "", o->count, 65536 - o->count);
    o->first_member_port = (unsigned)first;
    if (!properties_is_set(c->properties, "cluster.members"))
        o->member_address = address && *address ? address : "127.0.0.1";
    return RC_OK;
}

/* Every instance says its own warnings; an error is said once, here. Sets what
 * the file is to hand on. */
static int launch_check(struct command *c, struct launcher_options *o,
                        struct balanced *b)
{
    struct loaded l = {0};
    struct err err = {""};
    int status = STATUS_OK;
    char host[128];
    enum rc rc;

    if (!properties_is_set(c->properties, "drain"))
        properties_set(c->properties, "drain", "3");
    properties_set(c->properties, "port", "0");
    properties_set(c->properties, "node", "node1");
    /* so that it shows whether the file asks for them */
    properties_offer(c->properties, "cluster.port", "4000");
    properties_offer(c->properties, "cluster.members", "");
    rc = load(c, &l, no_warning, &err);
    if (rc == RC_OK && (!properties_asked(c->properties, "port") ||
                        !properties_asked(c->properties, "node")))
        rc = err_set(&err, RC_INVALID,
                     "%s: uses no ${port} or no ${node}: without them the "
                     "instances cannot differ",
                     c->file);
    if (rc == RC_OK)
        rc = examine(&l, WAITS, no_warning, &err);
    if (rc == RC_OK && l.config->cluster)
        rc = choose_members(c, o, &err);
    if (rc == RC_OK)
        o->patience_ms =
            (long)(l.config->drain + l.config->stop_timeout) * 1000 +
            LAUNCHER_GRACE_MS;
    if (rc == RC_OK && l.config->cluster)
        rc = understand_cluster(
            l.config->cluster, o->first_member_port ? o->count : 0, NULL, &err);
    if (rc == RC_OK && c->balance.runs) {
        learn_names(b, &l);
        count_instances(
            c,
            keep_text(b, reached_at(&l.config->connectors[0]->options, host)),
            b);
        rc = check_names(b, &err);
        if (rc == RC_OK)
            rc = front_new(&b->plan, &o->front, &err);
    }
    if (rc != RC_OK)
        status = refuse(&err);
    unload(&l);
    return status;
}

static char *definition_of(const struct command *c, const char *name)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_addf(&text, "%s=%s", name, properties_get(c->properties, name));
    return buf_take(&text, NULL);
}

static int cluster(struct command *c)
{
    struct launcher_options o = {.executable = c->executable,
                                 .file = c->file,
                                 .count = c->count,
                                 .first_port = c->port};
    char **definitions = NULL;
    struct balanced b;
    const char *name;
    int status;

    balanced_init(c, &b);
    status = launch_check(c, &o, &b);
    if (status != STATUS_OK) {
        balanced_release(&b);
        return status;
    }
    for (size_t i = 0; (name = properties_name(c->properties, i)); i++) {
        bool own = !strcmp(name, "port") || !strcmp(name, "node") ||
                   (o.first_member_port && !strcmp(name, "cluster.port"));
        /* The drain that nobody asked for is no misspelling. */
        if (own ||
            (!strcmp(name, "drain") && !properties_asked(c->properties, name)))
            continue;
        definitions = mem_resize(definitions, (o.definition_count + 1) *
                                                  sizeof *definitions);
        definitions[o.definition_count++] = definition_of(c, name);
    }
    o.definitions = (const char *const *)definitions;
    status = launcher_run(&o);
    front_free(&o.front);
    balanced_release(&b);
    for (size_t i = 0; i < o.definition_count; i++)
        free(definitions[i]);
    free(definitions);
    return status;
}

/* ---- balancer ---- */

static int balancer(struct command *c)
{
    struct balanced b;
    struct err err = {""};
    struct buf out;
    int status = STATUS_OK;
    enum rc rc = RC_OK;

    balanced_init(c, &b);
    for (unsigned i = 0; rc == RC_OK && i < c->balance.file_count; i++)
        rc = add_instance(c, &b, c->balance.files[i], &err);
    if (c->balance.file_count == 0)
        count_instances(c, "127.0.0.1", &b);
    buf_init(&out, 4 << 20);
    if (rc == RC_OK)
        rc = check_names(&b, &err);
    if (rc == RC_OK) {
        balancer_write(&out, &b.plan);
        fputs(buf_str(&out), stdout);
        if (fflush(stdout) != 0)
            rc = err_set(&err, RC_UNAVAILABLE, "margay: cannot print: %s",
                         strerror(errno));
    }
    if (rc != RC_OK)
        status = refuse(&err);
    buf_release(&out);
    balanced_release(&b);
    return status;
}

/* Where 0, 1 and 2 are closed, sockets and files become them: the log would be
 * written into those, and libuv aborts when it is to close one. A file is the
 * lowest free number. What somebody wants printed fails still. */
static void open_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) < 0)
            return;
}

/* The usual soft limit is for programs that use select. */
static void allow_many_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    struct command c;
    int status;

    open_standard_files();
    allow_many_files();
    signal(SIGPIPE, SIG_IGN);
    status = command_read(&c, argc, argv);
    if (status == STATUS_OK) {
        if (c.verb == COMMAND_RUN)
            status = run(&c);
        else if (c.verb == COMMAND_CHECK)
            status = check(&c);
        else if (c.verb == COMMAND_CLUSTER)
            status = cluster(&c);
        else if (c.verb == COMMAND_BALANCER)
            status = balancer(&c);
        else if (c.verb == COMMAND_SESSIONS)
            status = sessions(&c);
    }
    command_release(&c);
    return status;
}
