/* SPDX-License-Identifier: Apache-2.0
 *
 * valve.h: what happens to every request before and after its servlet.
 *
 * What    A valve is a pair of functions, not a nested call: between `in` and
 *         `out` a request may be put aside and taken up by another thread. The
 *         valves of Engine and Host come first, then those of the Context;
 *         `out` runs in reverse order for every valve whose `in` ran, when the
 *         response is complete and before it leaves; not where none is made:
 *         the client hung up while its request waited, or a servlet was left
 *         alone at the stop. `absent` comes between the two, for a request that
 *         may have a session and brought none that lives.
 * New     One file that ends in one const struct valve_kind, one line in
 *         valve_list.h, one line in module.am. See remote_addr.c.
 * Owns    valve_new copies nothing of its options: they are borrowed until
 *         valve_free.
 * Threads new, free: one. in, absent, out: any, many at once. tick: one thread,
 *         about once a second. */
#ifndef MARGAY_CONTAINER_VALVE_H
#define MARGAY_CONTAINER_VALVE_H

#include "session/instant.h"
#include "session/log.h"
#include "session/option.h"
#include "session/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct http_request;
struct valve;

struct valve_env {
    struct log *log;
    const char *state_dir; /* relative paths are below it; NULL: the current */
};

enum valve_answer {
    VALVE_GO_ON,
    VALVE_STOP /* it has made the response: nothing further runs */
};

typedef enum rc valve_check_fn(const void *options, struct err *err);
typedef enum rc valve_open_fn(struct valve *v, struct err *err);
typedef void valve_close_fn(struct valve *v);
typedef enum valve_answer valve_in_fn(struct valve *v, struct http_request *r);
typedef void valve_out_fn(struct valve *v, struct http_request *r);
typedef void valve_tick_fn(struct valve *v, struct instant now);

struct valve_kind {
    const char *name; /* "RemoteAddrValve", as className */
    const char *summary;
    size_t size; /* of the struct that begins with struct valve */
    size_t options_size;
    const struct option *options;
    bool writes; /* below the state folder */
    bool
        in_cluster; /* for <Cluster>, Engine and Host; idle without a Cluster */
    /* Any of these may be NULL. */
    valve_check_fn *check; /* RC_INVALID: the options can never work */
    valve_open_fn *open;   /* the same, and whatever else keeps it closed */
    valve_close_fn *close;
    valve_in_fn *in;
    valve_in_fn *absent; /* before the servlet; in the order of `in` */
    valve_out_fn *out;
    valve_tick_fn *tick;
};

/* Begins the struct of every valve. */
struct valve {
    const struct valve_kind *kind;
    const void *options;
    struct valve_env env;
};

/* The kinds that there are; NULL ends the list. */
extern const struct valve_kind *const valve_kinds[];
/* The short name or Tomcat's full one; NULL: unknown. */
const struct valve_kind *valve_kind_find(const char *class_name);

enum rc valve_new(const struct valve_kind *kind, const void *options,
                  const struct valve_env *env, struct valve **out,
                  struct err *err);
void valve_free(struct valve **v);
static inline void valve_tick(struct valve *v, struct instant now)
{
    if (v->kind->tick)
        v->kind->tick(v, now);
}

#endif
