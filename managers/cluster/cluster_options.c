/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/cluster_options.h"

#include "managers/cluster/address.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AT(member) offsetof(struct cluster_options, member)
#define IGNORED(attribute, why)                                                \
    {                                                                          \
        .name = attribute, .kind = OPTION_IGNORED, .help = why                 \
    }
#define IN_JAVA "it makes sense in Java only"
#define BY_CORE "every member keeps links to all others, and their state"
#define BY_LINK "a link sets up its sockets itself"
#define BY_THREAD "one thread serves all links"
#define ONE_YEAR (365 * 24 * 3600)

static const struct option cluster_table[] = {
    {.name = "clusterName",
     .kind = OPTION_STRING,
     .offset = AT(name),
     .help = "only members of one name speak to each other; else margay"},
    {.name = "channelSendOptions",
     .kind = OPTION_STRING,
     .offset = AT(send_options),
     .help = "2, 4 or 6: a change waits for all copies; 8: for none"},
    {.name = "channelStartOptions",
     .kind = OPTION_INT,
     .offset = AT(start_options),
     .preset = "15",
     .min = 0,
     .max = 15,
     .help = "without 4 and 8 there is no multicast"},
    {.name = "dropTime",
     .kind = OPTION_INT,
     .offset = AT(drop_time),
     .min = 1,
     .max = 3600,
     .help = "seconds of silence after which a member is given up; else what "
             "<Membership> says, 3"},
    {.name = "forgetAfter",
     .kind = OPTION_INT,
     .offset = AT(forget_after),
     .preset = "3600",
     .min = 1,
     .max = ONE_YEAR,
     .help = "seconds apart after which the smaller side brings nothing"},
    {.name = "endedKeep",
     .kind = OPTION_INT,
     .offset = AT(ended_keep),
     .preset = "60",
     .min = 0,
     .max = ONE_YEAR,
     .help = "seconds for which the end of a session is remembered"},
    {.name = "address",
     .kind = OPTION_STRING,
     .offset = AT(address),
     .help = "where this member listens; else the Receiver's address"},
    {.name = "port",
     .kind = OPTION_INT,
     .offset = AT(port),
     .min = 1,
     .max = 65535,
     .help = "where this member listens; else the Receiver's port"},
    {.name = "advertise",
     .kind = OPTION_STRING,
     .offset = AT(advertise),
     .help = "host:port where the others reach this member, when that is not "
             "its address and port"},
    {.name = "members",
     .kind = OPTION_STRING,
     .offset = AT(members),
     .help = "host:port,host:port,...; empty: found by multicast"},
    {.name = "key",
     .kind = OPTION_STRING,
     .offset = AT(key),
     .help = "hex digits, the same at every member: links speak TLS"},
    {.name = "keyFile",
     .kind = OPTION_STRING,
     .offset = AT(key_file),
     .help = "a file that holds the key"},
    {.name = "certificateFile",
     .kind = OPTION_STRING,
     .offset = AT(certificate),
     .help = "instead of a key: this member's certificate"},
    {.name = "certificateKeyFile",
     .kind = OPTION_STRING,
     .offset = AT(certificate_key),
     .help = "the certificate's private key"},
    {.name = "caCertificateFile",
     .kind = OPTION_STRING,
     .offset = AT(authority),
     .help = "whose certificates make a member"},
    IGNORED("heartbeatBackgroundEnabled", BY_CORE),
    IGNORED("notifyLifecycleListenerOnFailure", IN_JAVA),
    {.name = NULL},
};

static const struct option channel_table[] = {
    IGNORED("name", IN_JAVA),
    IGNORED("heartbeat", BY_CORE),
    IGNORED("heartbeatSleeptime", BY_CORE),
    IGNORED("optionCheck", "interceptors have no option bits here"),
    IGNORED("jmxEnabled", IN_JAVA),
    IGNORED("jmxDomain", IN_JAVA),
    IGNORED("jmxPrefix", IN_JAVA),
    {.name = NULL},
};

static const struct option mcast_table[] = {
    {.name = "address",
     .kind = OPTION_STRING,
     .offset = AT(mcast_address),
     .preset = "228.0.0.4",
     .help = "the group in which members announce themselves"},
    {.name = "port",
     .kind = OPTION_INT,
     .offset = AT(mcast_port),
     .preset = "45564",
     .min = 1,
     .max = 65535,
     .help = "the group's port"},
    {.name = "frequency",
     .kind = OPTION_INT,
     .offset = AT(mcast_frequency),
     .preset = "500",
     .min = 10,
     .max = 60000,
     .help = "milliseconds between two announcements"},
    {.name = "dropTime",
     .kind = OPTION_INT,
     .offset = AT(mcast_drop_time),
     .preset = "3000",
     .min = 100,
     .max = 3600000,
     .help = "milliseconds of silence after which a member is given up"},
    {.name = "bind",
     .kind = OPTION_STRING,
     .offset = AT(mcast_bind),
     .help = "the interface, by its address; else the Receiver's"},
    {.name = "ttl",
     .kind = OPTION_INT,
     .offset = AT(mcast_ttl),
     .preset = "1",
     .min = 0,
     .max = 255,
     .help = "how many routers an announcement may pass"},
    {.name = "localLoopbackDisabled",
     .kind = OPTION_BOOL,
     .offset = AT(mcast_loop_off),
     .preset = "false",
     .help = "true: members of the same machine do not hear it"},
    IGNORED("domain", "use a DomainFilterInterceptor"),
    IGNORED("soTimeout", BY_THREAD),
    IGNORED("recoveryEnabled", "it goes on after an error"),
    IGNORED("recoveryCounter", "it goes on after an error"),
    IGNORED("recoverySleepTime", "it goes on after an error"),
    {.name = NULL},
};

static const struct option static_table[] = {
    {.name = "expirationTime",
     .kind = OPTION_INT,
     .offset = AT(expiration_time),
     .min = 100,
     .max = 3600000,
     .help = "milliseconds of silence after which a member is given up"},
    IGNORED("connectTimeout", BY_CORE),
    IGNORED("rpcTimeout", BY_CORE),
    IGNORED("useThread", BY_THREAD),
    IGNORED("pingInterval", BY_CORE),
    {.name = NULL},
};

static const struct option member_table[] = {
    {.name = "host",
     .kind = OPTION_STRING,
     .offset = offsetof(struct cluster_member, host),
     .help = "name or number"},
    {.name = "port",
     .kind = OPTION_INT,
     .offset = offsetof(struct cluster_member, port),
     .min = 1,
     .max = 65535,
     .help = "where it listens"},
    {.name = "securePort",
     .kind = OPTION_LATER,
     .preset = "-1",
     .help = "with a key every port is secure; leave it out"},
    {.name = "udpPort",
     .kind = OPTION_LATER,
     .preset = "-1",
     .help = "nothing is sent by datagrams; leave it out"},
    IGNORED("uniqueId", "every start of a member has its own number"),
    IGNORED("domain", "use a DomainFilterInterceptor"),
    IGNORED("local", "a member knows itself"),
    {.name = NULL},
};

static const struct option receiver_table[] = {
    {.name = "address",
     .kind = OPTION_STRING,
     .offset = AT(receiver_address),
     .preset = "auto",
     .help = "where this member listens: an address of this machine"},
    {.name = "port",
     .kind = OPTION_INT,
     .offset = AT(receiver_port),
     .preset = "4000",
     .min = 1,
     .max = 65535,
     .help = "where this member listens: the port"},
    {.name = "autoBind",
     .kind = OPTION_INT,
     .offset = AT(auto_bind),
     .preset = "100",
     .min = 0,
     .max = 1000,
     .help = "with multicast, how many ports are tried"},
    {.name = "securePort",
     .kind = OPTION_LATER,
     .preset = "-1",
     .help = "with a key every port is secure; leave it out"},
    {.name = "udpPort",
     .kind = OPTION_LATER,
     .preset = "-1",
     .help = "nothing is sent by datagrams; leave it out"},
    IGNORED("selectorTimeout", BY_THREAD),
    IGNORED("maxThreads", BY_THREAD),
    IGNORED("minThreads", BY_THREAD),
    IGNORED("maxIdleTime", BY_THREAD),
    IGNORED("maxTasks", BY_THREAD),
    IGNORED("minTasks", BY_THREAD),
    IGNORED("direct", IN_JAVA),
    IGNORED("rxBufSize", BY_LINK),
    IGNORED("txBufSize", BY_LINK),
    IGNORED("udpRxBufSize", BY_LINK),
    IGNORED("udpTxBufSize", BY_LINK),
    IGNORED("tcpNoDelay", BY_LINK),
    IGNORED("soKeepAlive", BY_LINK),
    IGNORED("ooBInline", BY_LINK),
    IGNORED("soReuseAddress", BY_LINK),
    IGNORED("soLingerOn", BY_LINK),
    IGNORED("soLingerTime", BY_LINK),
    IGNORED("soTrafficClass", BY_LINK),
    IGNORED("timeout", BY_LINK),
    IGNORED("useBufferPool", IN_JAVA),
    IGNORED("daemon", IN_JAVA),
    {.name = NULL},
};

static const struct option sender_table[] = {
    {.name = NULL},
};

static const struct option transport_table[] = {
    IGNORED("rxBufSize", BY_LINK),
    IGNORED("txBufSize", BY_LINK),
    IGNORED("udpRxBufSize", BY_LINK),
    IGNORED("udpTxBufSize", BY_LINK),
    IGNORED("directBuffer", IN_JAVA),
    IGNORED("keepAliveCount", BY_CORE),
    IGNORED("keepAliveTime", BY_CORE),
    IGNORED("timeout", "dropTime says how long a member is waited for"),
    IGNORED("maxRetryAttempts", "it is sent again until it has arrived"),
    IGNORED("tcpNoDelay", BY_LINK),
    IGNORED("soKeepAlive", BY_LINK),
    IGNORED("ooBInline", BY_LINK),
    IGNORED("soReuseAddress", BY_LINK),
    IGNORED("soLingerOn", BY_LINK),
    IGNORED("soLingerTime", BY_LINK),
    IGNORED("soTrafficClass", BY_LINK),
    IGNORED("throwOnFailedAck", "replication says what is waited for"),
    IGNORED("poolSize", "there is one link to each member"),
    IGNORED("maxWait", "there is one link to each member"),
    {.name = NULL},
};

static const struct option dispatch_table[] = {
    IGNORED("optionFlag", "replication says what is waited for"),
    IGNORED("maxQueueSize", "what waits is bounded by the members' log"),
    IGNORED("alwaysSend", "what waits is bounded by the members' log"),
    IGNORED("maxThreads", BY_THREAD),
    IGNORED("maxSpareThreads", BY_THREAD),
    IGNORED("keepAliveTime", BY_THREAD),
    IGNORED("useDeepClone", IN_JAVA),
    {.name = NULL},
};

static const struct option detector_table[] = {
    IGNORED("optionFlag", BY_CORE),
    IGNORED("connectTimeout", BY_CORE),
    IGNORED("performSendTest", BY_CORE),
    IGNORED("performReadTest", BY_CORE),
    IGNORED("readTestTimeout", BY_CORE),
    IGNORED("removeSuspectsTimeout", BY_CORE),
    {.name = NULL},
};

static const struct option ping_table[] = {
    IGNORED("optionFlag", BY_CORE),
    IGNORED("interval", BY_CORE),
    IGNORED("useThread", BY_THREAD),
    IGNORED("staticOnly", BY_CORE),
    {.name = NULL},
};

static const struct option interceptor_table[] = {
    IGNORED("optionFlag", "it acts on everything"),
    {.name = NULL},
};

static const struct option domain_table[] = {
    {.name = "domain",
     .kind = OPTION_STRING,
     .offset = AT(domain),
     .help = "only members of one domain speak to each other"},
    IGNORED("optionFlag", "it acts on everything"),
    IGNORED("logInterval", "what is refused is counted"),
    {.name = NULL},
};

static const struct option fragment_table[] = {
    IGNORED("optionFlag", "frames are as long as they have to be"),
    IGNORED("maxSize", "frames are as long as they have to be"),
    IGNORED("expire", "frames are as long as they have to be"),
    {.name = NULL},
};

static const struct option throughput_table[] = {
    IGNORED("optionFlag", "/metrics counts bytes and frames"),
    IGNORED("interval", "/metrics counts bytes and frames"),
    {.name = NULL},
};

static const struct option encrypt_table[] = {
    {.name = "encryptionKey",
     .kind = OPTION_STRING,
     .offset = AT(encryption_key),
     .help = "the cluster's key, hex digits"},
    IGNORED("optionFlag", "with a key everything is encrypted"),
    IGNORED("encryptionAlgorithm", "links speak TLS 1.3"),
    IGNORED("providerName", IN_JAVA),
    IGNORED("replayWindowTime", "TLS refuses what is replayed"),
    IGNORED("replayWindowMessageCount", "TLS refuses what is replayed"),
    {.name = NULL},
};

static const struct option gzip_table[] = {
    IGNORED("optionFlag", "changes are too short to be compressed"),
    IGNORED("compressionMinSize", "changes are too short to be compressed"),
    IGNORED("statsEnabled", "changes are too short to be compressed"),
    IGNORED("interval", "changes are too short to be compressed"),
    {.name = NULL},
};

static const struct option order_table[] = {
    IGNORED("optionFlag", "changes merge in any order"),
    IGNORED("expire", "changes merge in any order"),
    IGNORED("forwardExpired", "changes merge in any order"),
    IGNORED("maxQueue", "changes merge in any order"),
    {.name = NULL},
};

static const struct cluster_element elements[] = {
    {"Cluster", "SimpleTcpCluster", cluster_table},
    {"Channel", "GroupChannel", channel_table},
    {"Membership", "McastService", mcast_table},
    {"Membership", "StaticMembershipService", static_table},
    {"Member", "StaticMember", member_table},
    {"LocalMember", "StaticMember", member_table},
    {"Receiver", "NioReceiver", receiver_table},
    {"Sender", "ReplicationTransmitter", sender_table},
    {"Transport", "PooledParallelSender", transport_table},
    {"Transport", "PooledMultiSender", transport_table},
    {"Interceptor", "StaticMembershipInterceptor", interceptor_table},
    {"Interceptor", "MessageDispatchInterceptor", dispatch_table},
    {"Interceptor", "MessageDispatch15Interceptor", dispatch_table},
    {"Interceptor", "TcpFailureDetector", detector_table},
    {"Interceptor", "TcpPingInterceptor", ping_table},
    {"Interceptor", "DomainFilterInterceptor", domain_table},
    {"Interceptor", "FragmentationInterceptor", fragment_table},
    {"Interceptor", "ThroughputInterceptor", throughput_table},
    {"Interceptor", "EncryptInterceptor", encrypt_table},
    {"Interceptor", "GzipInterceptor", gzip_table},
    {"Interceptor", "OrderInterceptor", order_table},
    {NULL, NULL, NULL},
};

const struct cluster_element *cluster_element_at(size_t index)
{
    return index < sizeof elements / sizeof elements[0] - 1 ? &elements[index]
                                                            : NULL;
}

const struct cluster_element *cluster_element_find(const char *element,
                                                   const char *class_name)
{
    const char *dot = class_name ? strrchr(class_name, '.') : NULL;
    const char *name = dot ? dot + 1 : class_name;

    for (const struct cluster_element *e = elements; e->element; e++)
        if (strcmp(e->element, element) == 0 &&
            (!name || strcmp(e->class_name, name) == 0))
            return e;
    return NULL;
}

static bool is_of_members(const struct cluster_element *e)
{
    return e->options == member_table;
}

void cluster_options_init(struct cluster_options *options)
{
    memset(options, 0, sizeof *options);
    buf_init(&options->list, (size_t)FRAME_MEMBERS_MAX * ADDRESS_MAX);
    for (const struct cluster_element *e = elements; e->element; e++)
        if (!is_of_members(e))
            option_defaults(e->options, options);
}

void cluster_options_release(struct cluster_options *options)
{
    for (const struct cluster_element *e = elements; e->element; e++)
        if (!is_of_members(e))
            option_release(e->options, options);
    buf_release(&options->list);
}

enum rc cluster_options_member(struct cluster_options *options,
                               struct cluster_member *member, bool is_local,
                               struct err *err)
{
    char text[ADDRESS_MAX], host[ADDRESS_HOST_MAX];
    enum rc rc = RC_OK;
    unsigned port;

    if (is_local && !member->host && !member->port) {
        option_release(member_table, member);
        return RC_OK;
    }
    if (!member->host || strlen(member->host) >= ADDRESS_HOST_MAX ||
        !member->port ||
        !address_split(address_join(member->host, (unsigned)member->port, text),
                       host, &port))
        rc = err_set(err, RC_INVALID,
                     "a member needs host and port: host=\"%.64s\" "
                     "port=\"%" PRId64 "\"",
                     member->host ? member->host : "", member->port);
    else if (!is_local && !buf_addf(&options->list, "%s%s",
                                    options->list.len ? "," : "", text))
        rc = err_set(err, RC_TOOBIG, "more than %d members", FRAME_MEMBERS_MAX);
    option_release(member_table, member);
    return rc;
}

/* ---- channelSendOptions ---- */

enum send_bit {
    SEND_BYTES = 1,
    SEND_ACK = 2,
    SEND_SYNC = 4,
    SEND_ASYNC = 8,
    SEND_ALL = 15,
    SEND_KNOWN = 127
};

/* Channel.parseSendOptions */
static const struct {
    const char *name;
    unsigned bit;
} send_names[] = {
    {"async", 8},
    {"asynchronous", 8},
    {"byte", 1},
    {"byte_message", 1},
    {"multicast", 64},
    {"secure", 16},
    {"synchronized_ack", 4},
    {"sync", 4},
    {"udp", 32},
    {"use_ack", 2},
};

static bool send_word(const char *word, size_t len, unsigned *bits)
{
    for (size_t i = 0; i < sizeof send_names / sizeof send_names[0]; i++)
        if (strlen(send_names[i].name) == len &&
            strncasecmp(send_names[i].name, word, len) == 0) {
            *bits |= send_names[i].bit;
            return true;
        }
    return false;
}

static bool send_words(const char *text, unsigned *bits)
{
    while (*text) {
        size_t len;
        text += strspn(text, " ,");
        len = strcspn(text, " ,");
        if (len && !send_word(text, len, bits))
            return false;
        text += len;
    }
    return true;
}

enum rc cluster_send_options(const char *attribute, const char *text,
                             enum copies *out, struct err *err)
{
    unsigned bits = 0;
    char *end;

    *out = COPIES_ALL;
    if (!text || !*text)
        return RC_OK;
    bits = (unsigned)strtoul(text, &end, 10);
    if (*end || text[0] == '-' || bits > SEND_KNOWN) {
        bits = 0;
        if (!send_words(text, &bits))
            return err_set(err, RC_INVALID,
                           "%s=\"%.64s\": say 8 (wait for no copy) or 6 (for "
                           "all), or replication=\"all\"",
                           attribute, text);
    }
    if (bits & ~(unsigned)SEND_ALL)
        return err_set(
            err, RC_UNSUPPORTED,
            "%s=\"%.64s\": secure (16), udp (32) and multicast (64) are not "
            "offered: leave them out; a key makes every link secure",
            attribute, text);
    if ((bits & SEND_ASYNC) || !(bits & (SEND_ACK | SEND_SYNC)))
        *out = COPIES_NONE;
    return RC_OK;
}
