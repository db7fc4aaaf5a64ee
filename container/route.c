/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/route.h"

#include "container/request.h"
#include "container/serverxml.h"
#include "session/buf.h"
#include "session/cluster.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Clocks of one machine are read a little apart. */
#define TOLERANCE_MS 2

struct row {
    uint8_t id[ID_SIZE];
    int64_t last;                /* when its last request came here */
    struct record_others others; /* the most of it that was seen */
    unsigned count;
};

struct routes {
    pthread_mutex_t lock; /* all below */
    struct row rows[ROUTE_ROWS];
};

struct routes *routes_new(void)
{
    struct routes *routes = mem_zero(sizeof *routes);

    pthread_mutex_init(&routes->lock, NULL);
    return routes;
}

void routes_free(struct routes **routes)
{
    if (!*routes)
        return;
    pthread_mutex_destroy(&(*routes)->lock);
    free(*routes);
    *routes = NULL;
}

static bool was_elsewhere(const struct row *row, int64_t before,
                          const struct record_others *others)
{
    return before > row->last + TOLERANCE_MS ||
           others->newest > row->others.newest ||
           others->added > row->others.added;
}

bool routes_count(struct routes *routes, const uint8_t id[ID_SIZE],
                  int64_t before, int64_t now,
                  const struct record_others *others)
{
    struct row *row = &routes->rows[(id[0] | id[1] << 8) % ROUTE_ROWS];
    bool enough;

    pthread_mutex_lock(&routes->lock);
    if (!id_equal(row->id, id) || was_elsewhere(row, before, others)) {
        *row = (struct row){.last = now, .others = *others};
        memcpy(row->id, id, ID_SIZE);
    }
    if (now > row->last)
        row->last = now;
    if (row->count < ROUTE_ROW)
        row->count++;
    enough = row->count == ROUTE_ROW;
    pthread_mutex_unlock(&routes->lock);
    return enough;
}

/* What the cookie names: another instance; NULL: this one, or none. */
static const char *other_route(const struct http_request *r)
{
    const char *route = r->requested_id + 2 * ID_SIZE;

    if (!r->id_from_cookie || r->keeps_route || !r->instance->node[0] ||
        *route++ != '.' || !*route || !strcmp(route, r->instance->node))
        return NULL;
    return route;
}

void route_note(struct http_request *r)
{
    struct instance *in = r->instance;
    const struct session *s = r->session->session;

    struct record_others others;

    r->route_row = false;
    if (!in->routes || in->cluster || !other_route(r))
        return;
    session_others(s, &others);
    r->route_row =
        routes_count(in->routes, s->id, s->last_access, r->now.wall, &others);
}

bool route_is_stale(struct http_request *r)
{
    struct instance *in = r->instance;
    const char *route = other_route(r);

    if (!route || !in->cluster)
        return route && r->route_row;
    return in->config->cluster->ops->is_gone(in->cluster, route, strlen(route));
}
