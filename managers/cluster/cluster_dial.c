/* SPDX-License-Identifier: Apache-2.0
 *
 * From a place's address to a link: numbers at once, names through the
 * resolver (on a thread of libuv's pool), each of a name's addresses in turn.
 */
#include "config.h"

#include "managers/cluster/cluster_impl.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

void cluster_out_dial(void *user, int place, const char *address)
{
    struct cluster *c = user;
    struct dial *d = mem_zero(sizeof *d);

    d->cluster = c;
    d->place = place;
    d->all_refused = true;
    snprintf(d->address, sizeof d->address, "%s", address);
    d->next = c->dials;
    c->dials = d;
}

static void dial_unlink(struct dial *d)
{
    struct dial **at = &d->cluster->dials;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    d->cluster = NULL;
}

static void dial_free(struct dial *d)
{
    if (d->list)
        freeaddrinfo(d->list);
    free(d);
}

void dial_done(struct dial *d)
{
    dial_unlink(d);
    dial_free(d);
}

static void dial_fail(struct dial *d, bool refused)
{
    struct cluster *c = d->cluster;
    int place = d->place;

    dial_done(d);
    cluster_core_lock(c);
    core_dial_failed(c->core, place, refused, instant_read());
    cluster_core_unlock(c);
}

/* false: that address may not be dialled. */
static bool dial_to(struct dial *d, const struct sockaddr *to)
{
    struct cluster *c = d->cluster;

    if (!c->key && !address_is_loopback(to)) {
        cluster_say(c, SAY_CLEAR,
                    "no link to %s: it is beyond loopback, and there is no "
                    "key: set cluster.key at all members",
                    d->address);
        return false;
    }
    d->link = link_dial(&c->owner, c, to);
    d->link->place = d->place;
    d->link->dial = d;
    c->links = mem_resize(c->links, (c->link_count + 1) * sizeof *c->links);
    c->links[c->link_count++] = d->link;
    c->handles++;
    return true;
}

/* The next address of a name. */
static void dial_next(struct dial *d)
{
    while (d->at) {
        struct sockaddr_storage to;
        unsigned port;
        char host[ADDRESS_HOST_MAX];

        memset(&to, 0, sizeof to);
        memcpy(&to, d->at->ai_addr, d->at->ai_addrlen);
        d->at = d->at->ai_next;
        if (address_split(d->address, host, &port))
            address_set_port((struct sockaddr *)&to, port);
        if (dial_to(d, (struct sockaddr *)&to))
            return;
        d->all_refused = false;
    }
    dial_fail(d, d->all_refused);
}

static void dial_resolved(uv_getaddrinfo_t *resolve, int status,
                          struct addrinfo *list)
{
    struct dial *d = resolve->data;

    /* what is left of a cluster that has ended is the dial alone */
    if (d->cluster)
        d->cluster->resolving--;
    d->list = d->at = list;
    if (!d->cluster) {
        dial_free(d);
        return;
    }
    if (status < 0)
        d->all_refused = false;
    dial_next(d);
}

static void dial_begin(struct dial *d)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct sockaddr_storage to;
    char host[ADDRESS_HOST_MAX];
    unsigned port;

    d->begun = true;
    if (!address_split(d->address, host, &port)) {
        dial_fail(d, false);
    } else if (address_numeric(host, port, &to)) {
        if (!dial_to(d, (struct sockaddr *)&to))
            dial_fail(d, false);
    } else {
        d->resolve.data = d;
        d->cluster->resolving++;
        if (uv_getaddrinfo(d->cluster->loop, &d->resolve, dial_resolved, host,
                           NULL, &hints) < 0) {
            d->cluster->resolving--;
            dial_fail(d, false);
        }
    }
}

static bool dial_may_begin(const struct dial *d)
{
    struct sockaddr_storage to;
    char host[ADDRESS_HOST_MAX];
    unsigned port;

    return !d->begun && (d->cluster->resolving < CLUSTER_RESOLVING_MAX ||
                         !address_split(d->address, host, &port) ||
                         address_numeric(host, port, &to));
}

static struct dial *dial_waiting(struct cluster *c)
{
    struct dial *d = c->dials;

    while (d && !dial_may_begin(d))
        d = d->next;
    return d;
}

void cluster_begin_dials(struct cluster *c)
{
    struct dial *d;

    while ((d = dial_waiting(c)))
        dial_begin(d);
}

void dial_link_ended(struct dial *d, bool refused)
{
    d->link = NULL;
    if (!refused)
        d->all_refused = false;
    if (d->cluster)
        dial_next(d);
}

void cluster_drop_dials(struct cluster *c)
{
    while (c->dials) {
        struct dial *d = c->dials;
        bool resolving = d->begun && !d->link;

        if (d->link)
            d->link->dial = NULL;
        dial_unlink(d);
        if (!resolving)
            dial_free(d);
        else
            uv_cancel((uv_req_t *)&d->resolve); /* too late is well, too */
    }
}
