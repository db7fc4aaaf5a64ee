/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster_options.h: <Cluster> and what may stand inside it.
 *
 * What    All elements of a cluster write into one struct cluster_options;
 *         cluster_element_find names the table of each by element and
 *         className, with Tomcat's names and defaults. <Member> and
 *         <LocalMember> may stand there many times: each has its own struct,
 *         handed in by cluster_options_member.
 *
 *         Tomcat's way of saying "these members" is a StaticMembershipService,
 *         or a StaticMembershipInterceptor; ours is members="host:port,...".
 *         Where there is any member in either, multicast is not used.
 * Owns    Copies of all strings.
 * Errors  RC_INVALID: what is not acceptable, and what to do. (The tables'
 *         own checks are option_set's.)
 * Threads None: used while one thread configures.
 * Source  Tomcat: SimpleTcpCluster, GroupChannel, McastService,
 *         StaticMembershipService, ReceiverBase, AbstractSender, the
 *         interceptors of tribes.group */
#ifndef MARGAY_MANAGERS_CLUSTER_CLUSTER_OPTIONS_H
#define MARGAY_MANAGERS_CLUSTER_CLUSTER_OPTIONS_H

#include "managers/cluster/channel.h"
#include "session/buf.h"
#include "session/option.h"

struct cluster_options {
    /* <Cluster> */
    char *name;         /* clusterName; NULL: "margay" */
    char *send_options; /* channelSendOptions; see cluster_send_options */
    int64_t start_options;
    int64_t drop_time;                /* s; 0: the Membership's */
    int64_t forget_after, ended_keep; /* s */
    char *address;                    /* NULL, "" or "auto": the Receiver's */
    int64_t port;                     /* 0: the Receiver's */
    char *advertise;                  /* "host:port" where others reach it;
                                         NULL or "": address and port */
    char *members;                    /* "host:port,host:port" */
    char *key, *key_file;
    char *certificate, *certificate_key, *authority; /* files; all or none */

    /* <Membership className="McastService"> */
    char *mcast_address, *mcast_bind;
    int64_t mcast_port, mcast_frequency, mcast_ttl;
    bool mcast_loop_off;
    int64_t mcast_drop_time; /* ms */
    /* <Membership className="StaticMembershipService"> */
    int64_t expiration_time; /* ms; 0: not said */

    /* <Receiver> */
    char *receiver_address; /* "auto": loopback, or with a key the machine's
                               first address beyond it */
    int64_t receiver_port, auto_bind;

    /* <Interceptor>s */
    char *domain;         /* DomainFilterInterceptor */
    char *encryption_key; /* EncryptInterceptor: a key like `key` */

    struct buf list; /* of <Member>s: "host:port,host:port" */
};

/* One <Member>, <LocalMember>. */
struct cluster_member {
    char *host;
    int64_t port;
};

struct cluster_element {
    const char *element;          /* "Receiver" */
    const char *class_name;       /* short: "NioReceiver" */
    const struct option *options; /* of struct cluster_options; for <Member>
                                     of struct cluster_member */
};

/* class_name short or Tomcat's full one; NULL: the element's usual one. NULL:
 * there is none of that name. */
const struct cluster_element *cluster_element_find(const char *element,
                                                   const char *class_name);
/* The index-th; NULL behind the last. An element's usual class comes first. */
const struct cluster_element *cluster_element_at(size_t index);

void cluster_options_init(struct cluster_options *options);
void cluster_options_release(struct cluster_options *options);
/* A <Member> as read by its table, which is released here. is_local: the
 * <LocalMember>, which is only checked. */
enum rc cluster_options_member(struct cluster_options *options,
                               struct cluster_member *member, bool is_local,
                               struct err *err);

/* Tomcat's numbers and names in that attribute on our `replication`: without
 * any of them, or with 2 (use_ack) or 4 (sync) COPIES_ALL; with 8 (async), or 1
 * alone, COPIES_NONE. What is sent by other means than links is refused. */
enum rc cluster_send_options(const char *attribute, const char *text,
                             enum copies *out, struct err *err);

#endif
