/* SPDX-License-Identifier: Apache-2.0
 *
 * <Cluster> and what stands in it. The tables of its attributes are those of
 * the cluster that this program has (session/cluster.h). */
#include "config.h"

#include "container/serverxml_reader.h"

#include "session/buf.h"
#include "session/cluster.h"

#include <string.h>

static enum rc unknown_class(struct reader *r, const struct xml_element *e,
                             const char *name)
{
    const struct cluster_ops *ops = r->config->cluster->ops;
    const char *each;
    struct buf names;
    enum rc rc;

    if (strcmp(name, "CloudMembershipService") == 0)
        return reader_error(r, e, RC_INVALID,
                            "%s asks Kubernetes or a DNS server who is there: "
                            "use StaticMembershipService with a <Member> for "
                            "each member; its host may be a name",
                            name);
    buf_init(&names, 1024);
    for (size_t i = 0; (each = ops->class_name(e->name, i)); i++)
        buf_addf(&names, "%s%s", i ? ", " : "", each);
    rc = reader_error(r, e, RC_INVALID,
                      "unknown <%s className=\"%.64s\">: there are %s", e->name,
                      name, buf_str(&names));
    buf_release(&names);
    return rc;
}

/* Attributes into the cluster's options, then the children. */
static enum rc read_part(struct reader *r, const struct xml_element *e,
                         const struct element_rule *rules)
{
    struct cluster_config *c = r->config->cluster;
    const char *name = reader_class(e, NULL);
    const struct option *table = c->ops->table(e->name, name);
    enum rc rc;

    if (!table)
        return unknown_class(r, e, name ? name : "");
    rc = reader_attributes(r, e, &(struct option_target){table, c->options}, 1);
    return rc == RC_OK ? reader_children(r, e, rules, c) : rc;
}

static enum rc read_member(struct reader *r, const struct xml_element *e,
                           void *parent)
{
    struct cluster_config *c = parent;
    const char *name = reader_class(e, NULL);
    const struct option *table = c->ops->table(e->name, name);
    void *member = reader_alloc(r, c->ops->member_size);
    struct err why = {""};
    enum rc rc;

    if (!table)
        return unknown_class(r, e, name ? name : "");
    option_defaults(table, member);
    rc = reader_attributes(r, e, &(struct option_target){table, member}, 1);
    if (rc != RC_OK)
        return rc;
    rc = c->ops->add_member(c->options, member,
                            strcmp(e->name, "LocalMember") == 0, &why);
    return rc == RC_OK ? rc : reader_error(r, e, rc, "%s", why.text);
}

static const struct element_rule no_children[] = {{.name = NULL}};

static const struct element_rule member_rules[] = {
    {.name = "Member", .read = read_member},
    {.name = "LocalMember", .read = read_member},
    {.name = NULL},
};

static enum rc read_leaf(struct reader *r, const struct xml_element *e,
                         void *parent)
{
    (void)parent;
    return read_part(r, e, no_children);
}

static enum rc read_with_members(struct reader *r, const struct xml_element *e,
                                 void *parent)
{
    (void)parent;
    return read_part(r, e, member_rules);
}

static enum rc read_sender(struct reader *r, const struct xml_element *e,
                           void *parent)
{
    static const struct element_rule rules[] = {
        {.name = "Transport", .read = read_leaf},
        {.name = NULL},
    };

    (void)parent;
    return read_part(r, e, rules);
}

static enum rc read_channel(struct reader *r, const struct xml_element *e,
                            void *parent)
{
    static const struct element_rule rules[] = {
        {.name = "Membership", .read = read_with_members},
        {.name = "Sender", .read = read_sender},
        {.name = "Receiver", .read = read_leaf},
        {.name = "Interceptor", .read = read_with_members},
        {.name = "ChannelListener",
         .ignored = "listeners of the channel are Java's"},
        {.name = NULL},
    };

    (void)parent;
    return read_part(r, e, rules);
}

static enum rc read_valve(struct reader *r, const struct xml_element *e,
                          void *parent)
{
    (void)parent;
    return reader_valve(r, e, &r->config->valves);
}

/* The default of the applications below; one beside the <Cluster> wins. */
static enum rc read_manager(struct reader *r, const struct xml_element *e,
                            void *parent)
{
    struct cluster_config *c = parent;

    return reader_manager(r, e, &c->level);
}

static const struct element_rule cluster_rules[] = {
    {.name = "Manager", .read = read_manager},
    {.name = "Channel", .read = read_channel},
    {.name = "Valve", .read = read_valve},
    {.name = "Deployer",
     .ignored = "applications are installed on each machine"},
    {.name = "ClusterListener", .ignored = "its work is done without it"},
    {.name = "Listener", .read = reader_listener},
    {.name = NULL},
};

static enum rc find_replication(struct reader *r, struct cluster_config *c)
{
    struct err why = {""};
    enum rc rc = c->ops->replication(c->options, &c->replication, &why);

    return rc == RC_OK ? rc : reader_error(r, c->at, rc, "%s", why.text);
}

static enum rc read_cluster(struct reader *r, const struct xml_element *e)
{
    struct cluster_config *c = reader_alloc(r, sizeof *c);
    const char *name = reader_class(e, "SimpleTcpCluster");
    const struct option *table;
    enum rc rc;

    c->ops = r->input->kinds.cluster;
    c->at = e;
    if (!c->ops)
        return reader_error(r, e, RC_UNSUPPORTED,
                            "this build has no cluster: build it anew");
    table = c->ops->table("Cluster", name);
    r->config->cluster = c;
    c->options = reader_alloc(r, c->ops->options_size);
    c->ops->options_init(c->options);
    if (!table)
        return unknown_class(r, e, name);
    rc = reader_attributes(r, e, &(struct option_target){table, c->options}, 1);
    if (rc == RC_OK)
        rc = find_replication(r, c);
    if (rc == RC_OK)
        rc = reader_children(r, e, cluster_rules, c);
    if (rc == RC_OK && !c->level.manager)
        rc = reader_cluster_manager(r, &c->level);
    return rc;
}

enum rc reader_cluster(struct reader *r, const struct xml_element *engine)
{
    const struct xml_element *host = xml_child(engine, "Host", NULL);
    const struct xml_element *e = xml_child(engine, "Cluster", NULL);
    const struct xml_element *second =
        e ? xml_child(engine, "Cluster", e) : NULL;

    if (host && e && !second)
        second = xml_child(host, "Cluster", NULL);
    else if (host && !e) {
        e = xml_child(host, "Cluster", NULL);
        second = e ? xml_child(host, "Cluster", e) : NULL;
    }
    if (second)
        return reader_error(r, second, RC_INVALID,
                            "a second <Cluster>: keep one of them");
    if (e && !r->config->node[0])
        notes_warn(&r->config->notes, engine,
                   "<Engine> without a jvmRoute in a cluster: cookies name no "
                   "member to balancers and to replication=\"one\" or "
                   "\"none\": add one that no other member has");
    return e ? read_cluster(r, e) : RC_OK;
}

void reader_cluster_release(struct cluster_config *c)
{
    if (c && c->options)
        c->ops->options_release(c->options);
}
