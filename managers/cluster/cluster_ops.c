/* SPDX-License-Identifier: Apache-2.0
 *
 * The instance's view of a cluster (session/cluster.h) over cluster.h. */
#include "config.h"

#include "managers/cluster/cluster.h"
#include "managers/cluster/replica.h"
#include "managers/managers.h"
#include "session/cluster.h"

#include <string.h>

static void ops_init(void *options)
{
    cluster_options_init(options);
}

static void ops_release(void *options)
{
    cluster_options_release(options);
}

static const struct option *ops_table(const char *element,
                                      const char *class_name)
{
    const struct cluster_element *e = cluster_element_find(element, class_name);

    return e ? e->options : NULL;
}

static const char *ops_class_name(const char *element, size_t index)
{
    const struct cluster_element *e;

    for (size_t i = 0; (e = cluster_element_at(i)); i++)
        if (strcmp(e->element, element) == 0 && index-- == 0)
            return e->class_name;
    return NULL;
}

static enum rc ops_add_member(void *options, void *member, bool is_local,
                              struct err *err)
{
    return cluster_options_member(options, member, is_local, err);
}

static enum rc ops_send_options(const char *attribute, const char *text,
                                const char **out, struct err *err)
{
    enum copies copies;
    enum rc rc = cluster_send_options(attribute, text, &copies, err);

    if (rc == RC_OK)
        *out = copies == COPIES_NONE ? "none" : "all";
    return rc;
}

static enum rc ops_replication(const void *options, const char **out,
                               struct err *err)
{
    const struct cluster_options *o = options;

    return ops_send_options("channelSendOptions", o->send_options, out, err);
}

static enum rc ops_check(const void *options, unsigned ports, struct buf *out,
                         struct err *err)
{
    return cluster_check(options, ports, out, err);
}

static enum rc ops_open(const void *options, const struct cluster_self *self,
                        struct cluster **out, struct err *err)
{
    const struct cluster_env env = {self->log, self->name, self->node};
    struct cluster *c = NULL;
    enum rc rc = cluster_new(options, &env, &c, err);

    if (rc == RC_OK)
        rc = cluster_open(c, err);
    if (rc == RC_OK)
        *out = c;
    else
        cluster_free(&c);
    return rc;
}

static void ops_figures(struct cluster *c, struct cluster_figures *out)
{
    struct channel_figures f;

    cluster_figures(c, &f);
    *out = (struct cluster_figures){
        .members = f.members,
        .complete = f.complete,
        .bytes_sent = f.bytes_sent,
        .frames_sent = f.frames_sent,
        .bytes_received = f.bytes_received,
        .unacknowledged = f.unacknowledged,
        .oldest = f.oldest,
        .garbage = f.garbage,
        .compared = f.compared,
        .repaired = f.repaired,
        .resent = f.resent,
        .given_up = f.given_up,
        .version = f.version,
        .older = f.older,
        .releases = f.releases,
    };
}

static bool ops_is_gone(struct cluster *c, const char *name, size_t len)
{
    struct channel *channel = cluster_channel(c);
    uint64_t hash = replica_hash((const uint8_t *)name, len);
    unsigned slots =
        atomic_load_explicit(&channel->member_slots, memory_order_acquire);
    bool known = false;

    for (unsigned i = 0; i < slots; i++) {
        struct channel_member *m = &channel->members[i];
        unsigned state = atomic_load_explicit(&m->state, memory_order_relaxed);
        if (atomic_load_explicit(&m->name, memory_order_relaxed) != hash)
            continue;
        bool drains = atomic_load_explicit(&m->drains, memory_order_relaxed);
        if (state == MEMBER_HERE && !drains)
            return false;
        known |= state != MEMBER_UNKNOWN;
    }
    return known;
}

const struct cluster_ops cluster_tcp = {
    .name = "SimpleTcpCluster",
    .options_size = sizeof(struct cluster_options),
    .options_init = ops_init,
    .options_release = ops_release,
    .table = ops_table,
    .class_name = ops_class_name,
    .member_size = sizeof(struct cluster_member),
    .add_member = ops_add_member,
    .replication = ops_replication,
    .send_options = ops_send_options,
    .check = ops_check,
    .open = ops_open,
    .channel = cluster_channel,
    .start = cluster_start,
    .ready = cluster_ready,
    .drain = cluster_drain,
    .stop = cluster_stop,
    .free = cluster_free,
    .figures = ops_figures,
    .is_gone = ops_is_gone,
    .address = cluster_address,
};
