/* SPDX-License-Identifier: Apache-2.0
 *
 * What a cluster is configured to be, before anything is opened. */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include "managers/cluster/address.h"

#include <inttypes.h>
#include <unistd.h>

static void say_members(const struct cluster *c, struct buf *out)
{
    if (c->listed)
        buf_add_str(out, "members: ");
    for (size_t i = 0; i < c->member_count; i++)
        buf_addf(out, "%s%s", i ? ", " : "", c->members[i]);
    if (c->by_multicast)
        buf_addf(out, "members are found by multicast at %s:%u", c->mcast.group,
                 c->mcast.port);
    else if (!c->listed)
        buf_add_str(out, "members have to find this one");
    buf_add_char(out, '\n');
}

static void say_settings(const struct cluster *c, struct buf *out)
{
    char text[ADDRESS_MAX];

    buf_addf(out, "\"%s\" at %s", c->identity,
             address_join(c->host, c->port, text));
    if (c->port_tries > 1)
        buf_addf(out, ", or the next free port up to %u",
                 c->port + c->port_tries - 1);
    if (c->advertise)
        buf_addf(out, "; others reach it at %s", c->advertise);
    buf_add_char(out, '\n');
    say_members(c, out);
    if (!c->key)
        buf_add_str(out, "no key: members on this machine only\n");
    else if (tls_key_is_shared(c->key))
        buf_add_str(out, "a key: links speak TLS\n");
    else
        buf_add_str(out, "certificates: links speak TLS\n");
    buf_addf(out, "a member is given up after %" PRId64 " ms of silence\n",
             c->settings.drop_ms);
}

static enum rc try_ports(struct cluster *c, unsigned ports, struct err *err)
{
    enum rc rc = RC_OK;

    c->port_tries = 1;
    for (; ports && rc == RC_OK; ports--, c->port++) {
        rc = cluster_listen(c, err);
        if (c->listen_fd >= 0)
            close(c->listen_fd);
        c->listen_fd = -1;
    }
    return rc;
}

enum rc cluster_check(const struct cluster_options *options, unsigned ports,
                      struct buf *out, struct err *err)
{
    const struct cluster_env env = {.log = NULL, .name = "", .node = 1};
    struct cluster *c = NULL;
    enum rc rc = cluster_new(options, &env, &c, err);

    if (rc != RC_OK)
        return rc;
    rc = address_resolve(c->host, c->port, &c->bound, err);
    if (rc == RC_OK)
        rc = cluster_check_clear(c, err);
    if (rc == RC_OK)
        say_settings(c, out);
    if (rc == RC_OK)
        rc = try_ports(c, ports, err);
    cluster_free(&c);
    return rc;
}
