/* SPDX-License-Identifier: Apache-2.0
 *
 * balancer.h: configurations for the balancers that people have.
 *
 * What    `margay balancer haproxy|nginx|httpd`: one file, complete but for
 *         certificates, that sends a user to the instance that his cookie
 *         names, new users by turns, and everybody elsewhere when an instance
 *         is gone. What is told by whom (docs/balancers.md):
 *         ROUTE  the part of JSESSIONID behind the dot; route.h keeps it right
 *         COOKIE one of the balancer's own, MARGAY
 *         A request that reached an instance is sent to another one only when
 *         its method is safe to repeat.
 * Owns    The plan borrows all of its strings.
 * Threads Any. */
#ifndef MARGAY_CONTAINER_BALANCER_H
#define MARGAY_CONTAINER_BALANCER_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

enum balancer_kind { BALANCER_HAPROXY, BALANCER_NGINX, BALANCER_HTTPD };
enum balancer_sticky { STICKY_ROUTE, STICKY_COOKIE };

struct balancer_member {
    const char *name; /* jvmRoute; letters, digits, - and _ */
    const char *host; /* a number, in brackets if it is of IPv6, or a name */
    unsigned port;
    bool away; /* nginx: no request goes there */
};

struct balancer_plan {
    enum balancer_kind kind;
    enum balancer_sticky sticky;
    const char *listen;    /* "8080" or "ADDRESS:8080" */
    const char *cookie;    /* JSESSIONID */
    const char *parameter; /* jsessionid */
    const struct balancer_member *members;
    size_t count; /* at least one */
};

/* True: name is one of the three. */
bool balancer_find(const char *name, enum balancer_kind *out);
/* Is it [ADDRESS:]PORT? */
bool balancer_listen_is_good(const char *listen);
/* Can it read a cookie of that name? nginx's variables and HAProxy's
 * arguments have no way to write all that RFC 6265 allows. */
bool balancer_cookie_is_good(enum balancer_kind kind, const char *name);
void balancer_write(struct buf *out, const struct balancer_plan *plan);

/* ---- for balancer_*.c ---- */

typedef void balancer_fn(struct buf *out, const struct balancer_plan *plan);
balancer_fn balancer_haproxy, balancer_nginx, balancer_httpd;
/* The member that takes the users of member i first, second, ... (by: 1, 2,
 * ... count - 1). */
static inline const struct balancer_member *balancer_after(
    const struct balancer_plan *plan, size_t i, size_t by)
{
    return &plan->members[(i + by) % plan->count];
}

/* On standard error, when an application's cookie has another name. */
void balancer_warn(const char *path, const char *name, const char *other);

#endif
