/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/serverxml_reader.h"

#include "container/properties.h"
#include "session/buf.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED(attribute, why)                                                \
    {                                                                          \
        .name = attribute, .kind = OPTION_IGNORED, .help = why                 \
    }
#define IN_JAVA "it makes sense in Java only"
#define NO_JNDI "there is no JNDI"

/* ---- Executor, Connector ---- */

static enum rc read_executor(struct reader *r, const struct xml_element *e,
                             void *parent)
{
    struct server_config *config = r->config;
    struct executor_config *c = reader_alloc(r, sizeof *c);

    (void)parent;
    if (config->executor_count > 0)
        return reader_error(r, e, RC_INVALID,
                            "a second <Executor>: every Connector shares one; "
                            "remove it");
    c->at = e;
    reader_option_defaults(r, executor_option_table, &c->options);
    config->executors = reader_grow(r, config->executors, 0, sizeof c);
    config->executors[config->executor_count++] = c;
    return reader_attributes(
        r, e, &(struct option_target){executor_option_table, &c->options}, 1);
}

/* It only has to be there: the Executor serves every servlet that asks. */
struct pool_options {
    char *executor;
};
const struct option pool_option_table[] = {
    {.name = "executor",
     .kind = OPTION_STRING,
     .offset = offsetof(struct pool_options, executor),
     .help = "the name of the Executor; it serves every servlet that asks for "
             "one, named here or not"},
    {.name = NULL},
};

static enum rc check_connector(struct reader *r, const struct xml_element *e,
                               const struct pool_options *own,
                               const char *protocol)
{
    const struct xml_element *x;

    if (strcmp(protocol, "HTTP/1.1") != 0 &&
        strncmp(protocol, "org.apache.coyote.http11.", 25) != 0)
        return reader_error(r, e, RC_INVALID,
                            "<Connector protocol=\"%.64s\"> is not offered: "
                            "use HTTP/1.1",
                            protocol);
    if (!own->executor)
        return RC_OK;
    x = xml_child(e->parent, "Executor", NULL);
    if (x && xml_get(x, "name") && !strcmp(xml_get(x, "name"), own->executor))
        return RC_OK;
    return reader_error(r, e, RC_INVALID,
                        "<Connector executor=\"%.64s\">: there is no Executor "
                        "of that name: add it, or remove the attribute",
                        own->executor);
}

static const struct element_rule connector_rules[] = {
    {.name = "SSLHostConfig", .later = "let a balancer speak HTTPS"},
    {.name = "UpgradeProtocol", .ignored = "HTTP/1.1 is spoken"},
    {.name = "Listener", .read = reader_listener},
    {.name = NULL},
};

static enum rc read_connector(struct reader *r, const struct xml_element *e,
                              void *parent)
{
    struct server_config *config = r->config;
    struct pool_options *own =
        reader_options(r, pool_option_table, sizeof *own);
    struct connector_config *c = reader_alloc(r, sizeof *c);
    enum rc rc;

    (void)parent;
    c->at = e;
    reader_option_defaults(r, connector_option_table, &c->options);
    rc = reader_attributes(
        r, e,
        (const struct option_target[]){{pool_option_table, own},
                                       {connector_option_table, &c->options}},
        2);
    if (rc == RC_OK)
        rc = check_connector(r, e, own, c->options.protocol);
    if (rc == RC_OK)
        rc = reader_children(r, e, connector_rules, c);
    if (rc != RC_OK)
        return rc;
    if (!reader_get(e, "port"))
        return reader_error(r, e, RC_INVALID,
                            "<Connector> without a port: add port=\"8080\" "
                            "(0: any free one)");
    if (!c->options.address)
        notes_warn(&config->notes, e,
                   "<Connector> without address listens on 127.0.0.1 only: "
                   "say address=\"0.0.0.0\" to be reached from elsewhere");
    config->connectors =
        reader_grow(r, config->connectors, config->connector_count, sizeof c);
    config->connectors[config->connector_count++] = c;
    return RC_OK;
}

/* ---- Service, Server ---- */

struct service_options {
    char *name;
};
const struct option service_option_table[] = {
    {.name = "name",
     .kind = OPTION_STRING,
     .offset = offsetof(struct service_options, name),
     .help = "only for the reader"},
    {.name = NULL},
};

static const struct element_rule service_rules[] = {
    {.name = "Executor", .read = read_executor},
    {.name = "Connector", .read = read_connector},
    {.name = "Engine", .read = reader_engine},
    {.name = "Listener", .read = reader_listener},
    {.name = NULL},
};

static enum rc read_service(struct reader *r, const struct xml_element *e,
                            void *parent)
{
    struct server_config *config = r->config;
    struct service_options *own =
        reader_options(r, service_option_table, sizeof *own);
    enum rc rc;

    (void)parent;
    if (xml_child(e->parent, "Service", NULL) != e)
        return reader_error(r, e, RC_INVALID,
                            "a second <Service>: start a second margay run "
                            "for it");
    rc = reader_attributes(
        r, e, &(struct option_target){service_option_table, own}, 1);
    if (rc == RC_OK)
        rc = reader_children(r, e, service_rules, NULL);
    if (rc != RC_OK)
        return rc;
    if (config->connector_count == 0)
        return reader_error(r, e, RC_INVALID,
                            "<Service> without a <Connector>: add one with a "
                            "port");
    if (!config->engine_name)
        return reader_error(r, e, RC_INVALID,
                            "<Service> without an <Engine>: add one with a "
                            "<Host>");
    return RC_OK;
}

const struct option server_option_table[] = {
    {.name = "drain",
     .kind = OPTION_INT,
     .offset = offsetof(struct server_config, drain),
     .preset = "0",
     .min = 0,
     .max = 3600,
     .help = "seconds for which /health says draining at a stop, before the "
             "port closes"},
    {.name = "stopTimeout",
     .kind = OPTION_INT,
     .offset = offsetof(struct server_config, stop_timeout),
     .preset = "10",
     .min = 1,
     .max = 3600,
     .help = "seconds that a stop may take after that; what ends with the "
             "instance then is logged"},
    {.name = "metricsAllow",
     .kind = OPTION_STRING,
     .offset = offsetof(struct server_config, metrics_allow),
     .help = "addresses that may read /metrics, separated by commas: numbers, "
             "ADDRESS/BITS, loopback or all; others get 404"},
    IGNORED("address", "it belongs to the shutdown port"),
    IGNORED("port", "there is no shutdown port: end the process with SIGTERM"),
    IGNORED("portOffset", "say the Connector's port"),
    IGNORED("shutdown", "it belongs to the shutdown port"),
    IGNORED("utilityThreads", IN_JAVA),
    IGNORED("utilityThreadsAsDaemon", IN_JAVA),
    IGNORED("periodicEventDelay", IN_JAVA),
    {.name = NULL},
};

static const struct element_rule server_rules[] = {
    {.name = "GlobalNamingResources", .ignored = NO_JNDI},
    {.name = "Listener", .read = reader_listener},
    {.name = "Service", .read = read_service},
    {.name = NULL},
};

static enum rc read_server(struct reader *r, const struct xml_element *e)
{
    struct server_config *config = r->config;
    enum rc rc;

    if (strcmp(e->name, "Server") != 0)
        return reader_error(r, e, RC_INVALID,
                            "<%s> is no server.xml: it begins with <Server>",
                            e->name);
    config->at = e;
    reader_option_defaults(r, server_option_table, config);
    rc = reader_attributes(
        r, e, &(struct option_target){server_option_table, config}, 1);
    if (rc == RC_OK)
        rc = reader_children(r, e, server_rules, NULL);
    if (rc == RC_OK && !config->engine_name)
        rc = reader_error(r, e, RC_INVALID,
                          "<Server> without a <Service>: add one with a "
                          "<Connector> and an <Engine>");
    return rc;
}

/* The folder of the file, absolute where it can be. */
static char *folder_of(struct reader *r, const char *file)
{
    char resolved[PATH_MAX];
    char *folder = dirname(reader_strdup(r, file));

    return reader_strdup(r, realpath(folder, resolved) ? resolved : folder);
}

enum rc server_config_read(const struct config_input *input,
                           struct server_config **out, struct err *err)
{
    struct server_config *config = mem_zero(sizeof *config);
    struct reader r = {.config = config, .input = input, .err = err};
    struct xml_document *doc = NULL;
    enum rc rc;

    config->notes = input->notes;
    config->properties = input->properties;
    config->file = reader_strdup(&r, input->file);
    config->folder = folder_of(&r, input->file);
    config->pair = input->kinds.pair;
    config->state_dir = reader_strdup(&r, input->state_dir);
    rc = xml_read_file(&doc, input->file, properties_lookup, input->properties,
                       err);
    if (rc == RC_OK) {
        reader_keep(&r, doc);
        rc = read_server(&r, doc->root);
    }
    if (rc != RC_OK) {
        server_config_free(&config);
        return rc;
    }
    *out = config;
    return RC_OK;
}

void server_config_free(struct server_config **config)
{
    if (!*config)
        return;
    reader_cluster_release((*config)->cluster);
    reader_release(*config);
    free(*config);
    *config = NULL;
}

const struct context_config *server_config_context(
    const struct server_config *config, const char *path)
{
    for (size_t i = 0; i < config->context_count; i++)
        if (strcmp(config->contexts[i]->path, path) == 0)
            return config->contexts[i];
    return NULL;
}
